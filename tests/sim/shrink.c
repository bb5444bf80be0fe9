/* shrink.c: tries what may be left out, one thing after the other, until nothing more can.
 *
 * Leaving something out changes what follows, so an attempt may fail in another way or not at all; it is then taken back.
 */
#include "shrink.h"

#include <stdio.h>

#include "runner.h"

#define ROUNDS_MAX 4

struct shrinking {
    struct sim_options *options; /* the least that has failed so far */
    struct sim_outcome  outcome; /* of that */
    unsigned            tries;
};

static bool still_fails(struct shrinking *self, const struct sim_options *options)
{
    struct sim_outcome outcome;
    self->tries++;
    runner_try(options, false, NULL, &outcome);
    if (strcmp(outcome.invariant, self->outcome.invariant) != 0)
        return false;
    *self->options = *options;
    self->outcome = outcome;
    return true;
}

static bool shrink_kinds(struct shrinking *self)
{
    bool changed = false;
    for (int kind = 0; kind < SIM_FAULT_COUNT; kind++) {
        struct sim_options less = *self->options;
        if (less.without[kind])
            continue;
        less.without[kind] = true;
        changed |= still_fails(self, &less);
    }
    return changed;
}

/* What clients, workers and programs need not do. */
static bool shrink_features(struct shrinking *self)
{
    bool changed = false;
    for (int feature = 0; feature < SIM_FEATURE_COUNT; feature++) {
        struct sim_options less = *self->options;
        if (less.without_feature[feature])
            continue;
        less.without_feature[feature] = true;
        changed |= still_fails(self, &less);
    }
    return changed;
}

static bool shrink_workflows(struct shrinking *self)
{
    unsigned most = self->options->workflows_max == 0 ? 30 : self->options->workflows_max;
    for (unsigned count = 1; count < most; count++) {
        struct sim_options less = *self->options;
        less.workflows_max = count;
        if (still_fails(self, &less))
            return true;
    }
    return false;
}

/* Faults end early. Whether it fails need not be monotonic in how many there were; what is found has failed. */
static bool shrink_strikes(struct shrinking *self)
{
    bool     changed = false;
    uint64_t low = 0, high = MIN(self->options->strikes_max, self->outcome.strikes);
    while (low < high) {
        struct sim_options less = *self->options;
        less.strikes_max = low + (high - low) / 2;
        if (still_fails(self, &less)) {
            changed = true;
            high = less.strikes_max;
        } else {
            low = less.strikes_max + 1;
        }
    }
    return changed;
}

bool shrink(struct sim_options *options)
{
    struct shrinking self = { .options = options };
    runner_try(options, false, NULL, &self.outcome);
    if (self.outcome.invariant[0] == '\0')
        return false;
    fprintf(stderr, "seed %" PRIu64 ": %s: %s\n", options->seed, self.outcome.invariant,
            self.outcome.failure);
    for (int round = 0; round < ROUNDS_MAX; round++) {
        bool changed = shrink_kinds(&self);
        changed |= shrink_strikes(&self);
        changed |= shrink_features(&self);
        changed |= shrink_workflows(&self);
        fprintf(stderr, "%u tries, %" PRIu64 " steps, %" PRIu64 " strikes\n", self.tries, self.outcome.steps,
                self.outcome.strikes);
        if (!changed)
            break;
    }
    return true;
}
