/* works.c: what a seed wants done: for each workflow its program, its fate, and who disturbs it. */
#include <stdio.h>

#include "actors.h"

#define END(status) (UINT32_C(1) << enums_WORKFLOW_EXECUTION_STATUS_##status)

/* Which features a seed must have for an operation; SIM_FEATURE_COUNT: none. */
static const enum sim_feature operation_features[OPERATION_COUNT] = {
    [OPERATION_ACTIVITIES] = SIM_FEATURE_COUNT,
    [OPERATION_TIMER] = SIM_FEATURE_COUNT,
    [OPERATION_CHILDREN] = FEATURE_CHILDREN,
    [OPERATION_MARKER] = FEATURE_MARKERS,
    [OPERATION_UPSERT] = FEATURE_UPSERTS,
    [OPERATION_RACE] = FEATURE_RACES,
    [OPERATION_CANCELLED_ACTIVITY] = FEATURE_CANCELLED_ACTIVITIES,
    [OPERATION_FAILING_ACTIVITY] = FEATURE_FAILING_ACTIVITIES,
    [OPERATION_SIGNAL_OUT] = FEATURE_SIGNALS_OUT,
    [OPERATION_CANCELLED_CHILD] = FEATURE_CANCELLED_CHILDREN,
    [OPERATION_LEFT_CHILD] = FEATURE_LEFT_CHILDREN,
    [OPERATION_SIGNALS] = SIM_FEATURE_COUNT,
};

static const struct {
    enum sim_feature feature;
    uint32_t         ends;
} fates[FATE_COUNT] = {
    [FATE_COMPLETES] = { SIM_FEATURE_COUNT, END(COMPLETED) },
    [FATE_RETRIED] = { FEATURE_RETRIES, END(COMPLETED) },
    [FATE_CRON] = { FEATURE_CRON, END(CANCELED) },
    [FATE_TIMED_OUT] = { FEATURE_TIMEOUTS, END(COMPLETED) | END(TIMED_OUT) },
    [FATE_CANCELLED] = { FEATURE_CANCELS, END(COMPLETED) | END(CANCELED) },
    [FATE_TERMINATED] = { FEATURE_TERMINATIONS, END(COMPLETED) | END(TERMINATED) },
    [FATE_DELETED] = { FEATURE_DELETIONS, END(COMPLETED) | END(TERMINATED) },
    [FATE_RESET] = { FEATURE_RESETS, END(COMPLETED) },
};

static bool may(const struct sim *sim, enum sim_feature feature)
{
    return feature == SIM_FEATURE_COUNT || has_feature(sim, feature);
}

static enum operation_kind draw_kind(struct sim *sim, bool takes_signals)
{
    enum operation_kind kind;
    do
        kind = (enum operation_kind)sim_between(sim, 0, OPERATION_COUNT - (takes_signals ? 1 : 2));
    while (!may(sim, operation_features[kind]));
    return kind;
}

static void draw_operations(struct sim *sim, struct work *work)
{
    work->operation_count = (size_t)sim_between(sim, 0, SIM_OPS_MAX);
    for (size_t i = 0; i < work->operation_count; i++) {
        struct operation *operation = &work->operations[i];
        operation->kind = draw_kind(sim, work->signals != 0);
        operation->count = operation->kind == OPERATION_SIGNALS ? sim_between(sim, 1, work->signals)
                                                                : sim_between(sim, 1, 3);
        operation->duration = sim_chance(sim, 0.5) ? sim_between(sim, 1, NS_PER_S)
                                                   : sim_between(sim, NS_PER_S, 30 * NS_PER_S);
        if (sim->patient && sim_chance(sim, 0.4))
            operation->duration = sim_span(sim);
    }
}

static void draw_updates(struct sim *sim, struct work *work)
{
    static const char *names[] = { "now", "later", "reject" };
    work->update_count = has_feature(sim, FEATURE_UPDATES) ? (unsigned)sim_between(sim, 0, SIM_UPDATES_MAX)
                                                           : 0;
    for (unsigned i = 0; i < work->update_count; i++) {
        struct update *update = &work->updates[i];
        update->work = work;
        update->name = names[sim_between(sim, 0, 2)];
        update->waits_for_end = sim_chance(sim, 0.5);
        snprintf(update->id, sizeof(update->id), "%s-u%u", work->id, i);
    }
}

void work_draw(struct sim *sim, struct work *work, unsigned number)
{
    work->sim = sim;
    work->number = number;
    snprintf(work->id, sizeof(work->id), "workflow-%u", number);
    do
        work->fate = sim_chance(sim, 0.5) ? FATE_COMPLETES : (enum fate)sim_between(sim, 0, FATE_COUNT - 1);
    while (!may(sim, fates[work->fate].feature));
    work->ends = fates[work->fate].ends;
    work->exact = work->fate == FATE_COMPLETES;
    work->is_tinkered = !work->exact && has_feature(sim, FEATURE_OPTIONS);
    work->failures = work->fate == FATE_RETRIED ? (unsigned)sim_between(sim, 1, 2) : 0;
    /* A client's retry of a signal is recognised by the run it reached; so these have one run, and what was reset of it. */
    bool one_run = work->fate != FATE_RETRIED && work->fate != FATE_CRON;
    bool takes_signals = one_run && sim_chance(sim, 0.5);
    work->signals = takes_signals ? (unsigned)sim_between(sim, 1, SIM_SIGNALS_MAX) : 0;
    work->generations = takes_signals || work->fate != FATE_COMPLETES ? 1 : (unsigned)sim_between(sim, 1, 3);
    for (unsigned i = 0; i < work->signals; i++)
        snprintf(work->signal[i].request_id, sizeof(work->signal[i].request_id), "%s-%u", work->id, i);
    draw_operations(sim, work);
    draw_updates(sim, work);
    work->with_start = takes_signals && has_feature(sim, FEATURE_SIGNAL_WITH_START) ? WITH_SIGNAL
                       : work->update_count != 0 && one_run && has_feature(sim, FEATURE_UPDATE_WITH_START)
                           ? WITH_UPDATE
                           : WITH_NOTHING;
    bool ends_once = work->fate == FATE_COMPLETES || work->fate == FATE_RETRIED ||
                     work->fate == FATE_TIMED_OUT || work->fate == FATE_CANCELLED ||
                     work->fate == FATE_TERMINATED;
    work->callback.is_wanted = sim->callbacks && ends_once && work->with_start == WITH_NOTHING;
}
