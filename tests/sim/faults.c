/* faults.c: which kinds of faults a seed has, and when they strike. */
#include "faults.h"

#include "base/hash.h"
#include "sim.h"

struct kind {
    const char *name;
    double      chance, rate;
};

static const struct kind kinds[SIM_FAULT_COUNT] = {
#define X(identifier, text, chance, rate) [FAULT_##identifier] = { text, chance, rate },
    SIM_FAULTS(X)
#undef X
};

const char *sim_fault_name(enum sim_fault kind)
{
    return kinds[kind].name;
}

enum sim_fault sim_fault_named(const char *name, size_t size)
{
    int kind = 0;
    while (kind < SIM_FAULT_COUNT &&
           (strncmp(kinds[kind].name, name, size) != 0 || kinds[kind].name[size] != '\0'))
        kind++;
    return (enum sim_fault)kind;
}

static double draw(struct random *random)
{
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

/* A kind that the seed has strikes between a third of and three times as often as the table says. */
void sim_faults_draw(struct sim *sim, const struct sim_options *options, bool calm)
{
    static const double strength[] = { 0.3, 0.6, 1, 1, 1.7, 3 };
    for (int kind = 0; kind < SIM_FAULT_COUNT; kind++) {
        struct random *random = &sim->faults.random[kind];
        random_seed(random, hash_combine(options->seed, (uint64_t)kind + 1));
        bool   has = draw(random) < kinds[kind].chance;
        double rate = kinds[kind].rate * strength[random_below(random, ARRAY_COUNT(strength))];
        bool   is_setting = kinds[kind].rate >= 1; /* not a fault, but what makes the rare common */
        if (has && (!calm || is_setting) && !options->without[kind])
            sim->faults.rate[kind] = rate;
    }
}

bool sim_may_strike(const struct sim *sim, enum sim_fault kind)
{
    return sim->faults.rate[kind] > 0;
}

bool sim_strikes(struct sim *sim, enum sim_fault kind)
{
    struct sim_faults *faults = &sim->faults;
    if (!sim->faulty || faults->rate[kind] <= 0 || draw(&faults->random[kind]) >= faults->rate[kind] ||
        faults->strikes >= sim->options->strikes_max)
        return false;
    faults->strikes++;
    sim_trace(sim, 2000 + (uint64_t)kind);
    sim_log(sim, "fault: %s", kinds[kind].name);
    statistics_struck(sim, kind);
    return true;
}

int64_t sim_fault_between(struct sim *sim, enum sim_fault kind, int64_t low, int64_t high)
{
    return low + (int64_t)random_below(&sim->faults.random[kind], (uint64_t)(high - low) + 1);
}
