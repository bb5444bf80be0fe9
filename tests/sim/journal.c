/* journal.c: events and attempts as clients and workers saw them, and what must hold between them. */
#include <stdio.h>

#include "base/hash.h"
#include "sim.h"

struct attempt {
    struct table_link link;
    struct bytes      run_id, activity_id;
    int32_t           attempt;
    unsigned          delivered, accepted;
};
/* A place in a run's history that a task filled with a virtual event. */
struct place {
    struct table_link link;
    struct bytes      run_id;
    int64_t           event_id;
};
struct journal {
    struct sim    *sim;
    struct arena   arena;
    struct table   attempts, places;
    struct oracle *oracle;
};

/* With SIM_PRINT_HISTORIES set, all that was seen of every run. */
static void report(void *context, enum oracle_check check, const char *text)
{
    sim_violated(context, oracle_check_name(check), "%s", text);
}

struct journal *journal_new(struct sim *sim)
{
    struct journal *journal = xcalloc(1, sizeof(*journal));
    journal->sim = sim;
    journal->oracle = oracle_new(report, sim);
    if (sim->configuration.calm) /* nothing but the disk holds a timer up */
        oracle_expect_timers_within(journal->oracle, 4 * NS_PER_S);
    arena_init(&journal->arena, SIZE_MAX);
    table_init(&journal->attempts);
    table_init(&journal->places);
    return journal;
}

void journal_free(struct journal *journal)
{
    oracle_free(journal->oracle);
    table_release(&journal->attempts);
    table_release(&journal->places);
    arena_release(&journal->arena);
    free(journal);
}

struct oracle *journal_oracle(struct journal *journal)
{
    return journal->oracle;
}

void journal_events(struct journal *journal, struct bytes run_id, struct bytes *events, size_t count,
                    int64_t up_to)
{
    oracle_events(journal->oracle, run_id, events, count, up_to);
}

static struct place *place_of(const struct journal *journal, struct bytes run_id, int64_t event_id)
{
    uint64_t hash = hash_combine(hash_bytes(run_id), (uint64_t)event_id);
    for (struct table_link *at = table_first(&journal->places, hash); at != NULL; at = table_next(at)) {
        struct place *place = CONTAINER_OF(at, struct place, link);
        if (place->event_id == event_id && bytes_equal(place->run_id, run_id))
            return place;
    }
    return NULL;
}

void journal_virtual(struct journal *journal, struct bytes run_id, int64_t event_id)
{
    if (place_of(journal, run_id, event_id) != NULL)
        return;
    struct place *place = ARENA_NEW(&journal->arena, struct place);
    place->run_id = arena_copy(&journal->arena, run_id);
    place->event_id = event_id;
    table_insert(&journal->places, &place->link, hash_combine(hash_bytes(run_id), (uint64_t)event_id));
}

const struct history_HistoryEvent *journal_event(struct journal *journal, struct bytes run_id,
                                                 int64_t event_id)
{
    static const struct history_HistoryEvent some_task = {
        .event_type = enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    };
    const struct history_HistoryEvent *event = oracle_event(journal->oracle, run_id, event_id);
    return event == NULL && place_of(journal, run_id, event_id) != NULL ? &some_task : event;
}

int64_t journal_last(struct journal *journal, struct bytes run_id)
{
    return oracle_last(journal->oracle, run_id);
}

/* --- attempts --- */

static struct attempt *attempt_of(struct journal *journal, struct bytes run_id, struct bytes activity_id,
                                  int32_t number)
{
    uint64_t hash = hash_combine(hash_combine(hash_bytes(run_id), hash_bytes(activity_id)), (uint64_t)number);
    for (struct table_link *at = table_first(&journal->attempts, hash); at != NULL; at = table_next(at)) {
        struct attempt *attempt = CONTAINER_OF(at, struct attempt, link);
        if (attempt->attempt == number && bytes_equal(attempt->run_id, run_id) &&
            bytes_equal(attempt->activity_id, activity_id))
            return attempt;
    }
    struct attempt *attempt = ARENA_NEW(&journal->arena, struct attempt);
    attempt->run_id = arena_copy(&journal->arena, run_id);
    attempt->activity_id = arena_copy(&journal->arena, activity_id);
    attempt->attempt = number;
    table_insert(&journal->attempts, &attempt->link, hash);
    return attempt;
}

void journal_attempt_delivered(struct journal *journal, struct bytes run_id, struct bytes activity_id,
                               int32_t number)
{
    if (++attempt_of(journal, run_id, activity_id, number)->delivered > 1)
        sim_violated(journal->sim, "E2 attempt-handed-out-twice",
                     "attempt %d of activity %.*s of run %.*s was handed out twice", number,
                     BYTES_FMT(activity_id), BYTES_FMT(run_id));
}

void journal_attempt_accepted(struct journal *journal, struct bytes run_id, struct bytes activity_id,
                              int32_t number)
{
    if (++attempt_of(journal, run_id, activity_id, number)->accepted > 1)
        sim_violated(journal->sim, "E2 completion-accepted-twice",
                     "two completions of attempt %d of activity %.*s of run %.*s were accepted", number,
                     BYTES_FMT(activity_id), BYTES_FMT(run_id));
}

int32_t journal_attempt_of(struct journal *journal, struct bytes run_id, struct bytes activity_id)
{
    struct table_iterator iterator = { 0 };
    int32_t               found = 0;
    for (struct table_link *at; (at = table_iterate(&journal->attempts, &iterator)) != NULL;) {
        struct attempt *attempt = CONTAINER_OF(at, struct attempt, link);
        if (attempt->accepted != 0 && bytes_equal(attempt->run_id, run_id) &&
            bytes_equal(attempt->activity_id, activity_id))
            found = attempt->attempt;
    }
    return found;
}

/* --- histories that have ended --- */

/* The acknowledged completion is the one that history has. Results name their attempt. */
static void check_activity(struct journal *journal, struct bytes run_id,
                           const struct history_HistoryEvent *completed)
{
    const struct history_ActivityTaskCompletedEventAttributes *attributes =
        completed->activity_task_completed_event_attributes;
    const struct history_HistoryEvent *scheduled = journal_event(journal, run_id,
                                                                 attributes->scheduled_event_id);
    if (scheduled == NULL || scheduled->event_type != enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) {
        sim_violated(journal->sim, "E2 completion-unknown",
                     "run %.*s: an activity completed that was not scheduled", BYTES_FMT(run_id));
        return;
    }
    struct bytes activity_id = scheduled->activity_task_scheduled_event_attributes->activity_id;
    int32_t      accepted = journal_attempt_of(journal, run_id, activity_id);
    char         expected[32];
    int          size = snprintf(expected, sizeof(expected), "attempt %d.", accepted);
    if (accepted != 0 &&
        memmem(attributes->result.base, attributes->result.size, expected, (size_t)size) == NULL)
        sim_violated(journal->sim, "E2 completion-other",
                     "run %.*s: activity %.*s has another result than was acknowledged for attempt %d",
                     BYTES_FMT(run_id), BYTES_FMT(activity_id), accepted);
}

/* A child is started once, signals once and ends once. */
static void check_child(struct journal *journal, struct bytes run_id,
                        const struct history_HistoryEvent *initiated)
{
    struct bytes child = initiated->start_child_workflow_execution_initiated_event_attributes->workflow_id;
    unsigned     started = 0, signals = 0, ends = 0;
    for (int64_t id = initiated->event_id + 1; id <= journal_last(journal, run_id); id++) {
        const struct history_HistoryEvent *event = journal_event(journal, run_id, id);
        if (event == NULL)
            return;
        if (event->event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
            started += event->child_workflow_execution_started_event_attributes->initiated_event_id ==
                       initiated->event_id;
        else if (event->event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED)
            ends += event->child_workflow_execution_completed_event_attributes->initiated_event_id ==
                    initiated->event_id;
        else if (event->event_type == enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED)
            sim_violated(journal->sim, "E1 child-failed", "child %.*s could not be started",
                         BYTES_FMT(child));
        else if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED &&
                 event->workflow_execution_signaled_event_attributes->external_workflow_execution != NULL)
            signals += bytes_equal(
                event->workflow_execution_signaled_event_attributes->external_workflow_execution->workflow_id,
                child);
    }
    if (started != 1 || signals != 1 || ends != 1)
        sim_violated(journal->sim, "E1 child-count",
                     "child %.*s was started %u times, signalled %u times and ended %u times",
                     BYTES_FMT(child), started, signals, ends);
}

void journal_check_run(struct journal *journal, struct bytes run_id, bool exact)
{
    for (int64_t id = 1; id <= journal_last(journal, run_id); id++) {
        const struct history_HistoryEvent *event = journal_event(journal, run_id, id);
        if (event == NULL)
            return; /* the oracle said so */
        if (event->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
            check_activity(journal, run_id, event);
        else if (exact && event->event_type == enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED &&
                 bytes_equal_text(
                     event->start_child_workflow_execution_initiated_event_attributes->workflow_type->name,
                     "child"))
            check_child(journal, run_id, event);
    }
}
