/* journal.c: events and attempts as clients and workers saw them, and what must hold between them. */
#include <stdio.h>

#include "base/hash.h"
#include "sim.h"

struct seen {
    struct bytes                raw;
    struct history_HistoryEvent event;
};
struct run {
    struct table_link link;
    struct bytes      id;
    struct seen     **events; /* by event id */
    int64_t           capacity, last;
};
struct attempt {
    struct table_link link;
    struct bytes      run_id, activity_id;
    int32_t           attempt;
    unsigned          delivered, accepted;
};
struct journal {
    struct sim  *sim;
    struct arena arena;
    struct table runs, attempts;
};

struct journal *journal_new(struct sim *sim)
{
    struct journal *journal = xcalloc(1, sizeof(*journal));
    journal->sim = sim;
    arena_init(&journal->arena, SIZE_MAX);
    table_init(&journal->runs);
    table_init(&journal->attempts);
    return journal;
}

void journal_free(struct journal *journal)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&journal->runs, &iterator)) != NULL;)
        free(CONTAINER_OF(at, struct run, link)->events);
    table_release(&journal->runs);
    table_release(&journal->attempts);
    arena_release(&journal->arena);
    free(journal);
}

static struct run *run_of(struct journal *journal, struct bytes run_id)
{
    uint64_t hash = hash_bytes(run_id);
    for (struct table_link *at = table_first(&journal->runs, hash); at != NULL; at = table_next(at)) {
        struct run *run = CONTAINER_OF(at, struct run, link);
        if (bytes_equal(run->id, run_id))
            return run;
    }
    struct run *run = ARENA_NEW(&journal->arena, struct run);
    run->id = arena_copy(&journal->arena, run_id);
    table_insert(&journal->runs, &run->link, hash);
    return run;
}

static void add_event(struct journal *journal, struct run *run, struct bytes raw, int64_t event_id)
{
    struct error error;
    if (event_id >= run->capacity) {
        int64_t capacity = MAX(run->capacity * 2, event_id + 16);
        run->events = xrealloc(run->events, (size_t)capacity * sizeof(struct seen *));
        memset(run->events + run->capacity, 0, (size_t)(capacity - run->capacity) * sizeof(struct seen *));
        run->capacity = capacity;
    }
    struct seen *seen = run->events[event_id];
    if (seen != NULL) {
        if (!bytes_equal(seen->raw, raw))
            sim_violated(journal->sim, "L2 history-rewritten",
                         "event %" PRId64 " of run %.*s was rewritten: type %d, now %zu bytes", event_id,
                         BYTES_FMT(run->id), seen->event.event_type, raw.size);
        return;
    }
    seen = ARENA_NEW(&journal->arena, struct seen);
    seen->raw = arena_copy(&journal->arena, raw);
    if (pb_decode(&pb_history_HistoryEvent, seen->raw, &journal->arena, &seen->event, &error) != ST_OK) {
        sim_fail(journal->sim, "an event does not decode: %s", error.message);
        return;
    }
    run->events[event_id] = seen;
    run->last = MAX(run->last, event_id);
}

void journal_events(struct journal *journal, struct bytes run_id, struct bytes *events, size_t count,
                    int64_t up_to)
{
    struct run  *run = run_of(journal, run_id);
    int64_t      expected = 0;
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        struct history_HistoryEvent event;
        struct error                error;
        if (pb_decode(&pb_history_HistoryEvent, events[i], &arena, &event, &error) != ST_OK) {
            sim_fail(journal->sim, "an event does not decode: %s", error.message);
            break;
        }
        if (expected != 0 && event.event_id != expected)
            sim_violated(journal->sim, "L2 history-gap",
                         "run %.*s: event %" PRId64 " where %" PRId64 " should be", BYTES_FMT(run_id),
                         event.event_id, expected);
        expected = event.event_id + 1;
        if (event.event_id >= 1 && event.event_id <= up_to)
            add_event(journal, run, events[i], event.event_id);
    }
    arena_release(&arena);
}

const struct history_HistoryEvent *journal_event(struct journal *journal, struct bytes run_id,
                                                 int64_t event_id)
{
    struct run *run = run_of(journal, run_id);
    return event_id < run->capacity && run->events[event_id] != NULL ? &run->events[event_id]->event : NULL;
}

int64_t journal_last(struct journal *journal, struct bytes run_id)
{
    return run_of(journal, run_id)->last;
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

static void check_timer(struct journal *journal, struct run *run, const struct history_HistoryEvent *fired)
{
    const struct history_TimerFiredEventAttributes *attributes = fired->timer_fired_event_attributes;
    const struct history_HistoryEvent              *started = journal_event(journal, run->id,
                                                                            attributes->started_event_id);
    if (started == NULL || started->event_type != enums_EVENT_TYPE_TIMER_STARTED) {
        sim_violated(journal->sim, "T1 timer-unknown", "run %.*s: a timer fired that was not started",
                     BYTES_FMT(run->id));
        return;
    }
    int64_t asked = duration_ns(started->timer_started_event_attributes->start_to_fire_timeout);
    int64_t took = timestamp_ns(fired->event_time) - timestamp_ns(started->event_time);
    if (took < asked)
        sim_violated(journal->sim, "T1 timer-early",
                     "run %.*s: a timer of %" PRId64 " ns fired after %" PRId64, BYTES_FMT(run->id), asked,
                     took);
    /* Where nothing fails, nothing but the disk holds a timer up. */
    if (journal->sim->configuration.calm && took > asked + 4 * NS_PER_S)
        sim_violated(journal->sim, "T1 timer-late",
                     "run %.*s: a timer of %" PRId64 " ns fired as late as %" PRId64, BYTES_FMT(run->id),
                     asked, took);
}

/* The acknowledged completion is the one that history has. Results name their attempt. */
static void check_activity(struct journal *journal, struct run *run,
                           const struct history_HistoryEvent *completed)
{
    const struct history_ActivityTaskCompletedEventAttributes *attributes =
        completed->activity_task_completed_event_attributes;
    const struct history_HistoryEvent *scheduled = journal_event(journal, run->id,
                                                                 attributes->scheduled_event_id);
    if (scheduled == NULL || scheduled->event_type != enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) {
        sim_violated(journal->sim, "E2 completion-unknown",
                     "run %.*s: an activity completed that was not scheduled", BYTES_FMT(run->id));
        return;
    }
    struct bytes activity_id = scheduled->activity_task_scheduled_event_attributes->activity_id;
    int32_t      accepted = journal_attempt_of(journal, run->id, activity_id);
    char         expected[32];
    int          size = snprintf(expected, sizeof(expected), "attempt %d.", accepted);
    if (accepted != 0 &&
        memmem(attributes->result.base, attributes->result.size, expected, (size_t)size) == NULL)
        sim_violated(journal->sim, "E2 completion-other",
                     "run %.*s: activity %.*s has another result than was acknowledged for attempt %d",
                     BYTES_FMT(run->id), BYTES_FMT(activity_id), accepted);
}

/* A child is started once, signals once and ends once. */
static void check_child(struct journal *journal, const struct run *run,
                        const struct history_HistoryEvent *initiated)
{
    struct bytes child = initiated->start_child_workflow_execution_initiated_event_attributes->workflow_id;
    unsigned     started = 0, signals = 0, ends = 0;
    for (int64_t id = initiated->event_id + 1; id <= run->last; id++) {
        const struct history_HistoryEvent *event = journal_event(journal, run->id, id);
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

void journal_check_run(struct journal *journal, struct bytes run_id)
{
    struct run *run = run_of(journal, run_id);
    for (int64_t id = 1; id <= run->last; id++) {
        const struct history_HistoryEvent *event = journal_event(journal, run_id, id);
        if (event == NULL) {
            sim_violated(journal->sim, "L2 history-gap",
                         "run %.*s: event %" PRId64 " of %" PRId64 " is missing", BYTES_FMT(run_id), id,
                         run->last);
            return;
        }
        if (event->event_type == enums_EVENT_TYPE_TIMER_FIRED)
            check_timer(journal, run, event);
        else if (event->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
            check_activity(journal, run, event);
        else if (event->event_type == enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
            check_child(journal, run, event);
    }
}
