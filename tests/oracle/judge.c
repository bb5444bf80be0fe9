/* judge.c: one history, event by event: what all events have in common, and which file knows each type. */
#include <stdio.h>

#include "internal.h"

enum event_flags {
    EVENT_COMMAND = 1,   /* comes from a command of the task that was completed just before */
    EVENT_BUFFERED = 2,  /* waits while a workflow task is in a worker's hands, and keeps its own time */
    EVENT_END = 4,       /* of an activity, child or Nexus operation: last when buffered */
    EVENT_TRIGGER = 8,   /* workflow code has to see it */
    EVENT_CLOSES = 16,   /* the run */
    EVENT_TASK_END = 32, /* of a workflow task */
    EVENT_MESSAGE = 64,  /* from an update's message, among commands */
};
struct event_type {
    judge_handler *handler;
    int32_t        attributes_case;
    unsigned       flags;
};

#define BUFFERED_TRIGGER (EVENT_BUFFERED | EVENT_TRIGGER)
#define BUFFERED_END     (EVENT_BUFFERED | EVENT_END | EVENT_TRIGGER)
#define TYPE(name)       [enums_EVENT_TYPE_##name]
static const struct event_type types[] = {
    TYPE(WORKFLOW_EXECUTION_STARTED) = { judge_run_started, 6, 0 },
    TYPE(WORKFLOW_EXECUTION_COMPLETED) = { judge_run_completed, 7, EVENT_COMMAND | EVENT_CLOSES },
    TYPE(WORKFLOW_EXECUTION_FAILED) = { judge_run_failed, 8, EVENT_COMMAND | EVENT_CLOSES },
    TYPE(WORKFLOW_EXECUTION_TIMED_OUT) = { judge_run_timed_out, 9, EVENT_CLOSES },
    TYPE(WORKFLOW_TASK_SCHEDULED) = { judge_task_scheduled, 10, 0 },
    TYPE(WORKFLOW_TASK_STARTED) = { judge_task_started, 11, 0 },
    TYPE(WORKFLOW_TASK_COMPLETED) = { judge_task_completed, 12, EVENT_TASK_END },
    TYPE(WORKFLOW_TASK_TIMED_OUT) = { judge_task_timed_out, 13, EVENT_TASK_END },
    TYPE(WORKFLOW_TASK_FAILED) = { judge_task_failed, 14, EVENT_TASK_END },
    TYPE(ACTIVITY_TASK_SCHEDULED) = { judge_activity_scheduled, 15, EVENT_COMMAND },
    TYPE(ACTIVITY_TASK_STARTED) = { judge_activity_started, 16, EVENT_BUFFERED },
    TYPE(ACTIVITY_TASK_COMPLETED) = { judge_activity_completed, 17, BUFFERED_END },
    TYPE(ACTIVITY_TASK_FAILED) = { judge_activity_failed, 18, BUFFERED_END },
    TYPE(ACTIVITY_TASK_TIMED_OUT) = { judge_activity_timed_out, 19, BUFFERED_END },
    TYPE(TIMER_STARTED) = { judge_timer_started, 20, EVENT_COMMAND },
    TYPE(TIMER_FIRED) = { judge_timer_fired, 21, BUFFERED_TRIGGER },
    TYPE(ACTIVITY_TASK_CANCEL_REQUESTED) = { judge_activity_cancel_requested, 22, EVENT_COMMAND },
    TYPE(ACTIVITY_TASK_CANCELED) = { judge_activity_canceled, 23, BUFFERED_END },
    TYPE(TIMER_CANCELED) = { judge_timer_canceled, 24, EVENT_COMMAND },
    TYPE(MARKER_RECORDED) = { judge_marker, 25, EVENT_COMMAND },
    TYPE(WORKFLOW_EXECUTION_SIGNALED) = { judge_run_signaled, 26, BUFFERED_TRIGGER },
    TYPE(WORKFLOW_EXECUTION_TERMINATED) = { judge_run_terminated, 27, EVENT_CLOSES },
    TYPE(WORKFLOW_EXECUTION_CANCEL_REQUESTED) = { judge_run_cancel_requested, 28, BUFFERED_TRIGGER },
    TYPE(WORKFLOW_EXECUTION_CANCELED) = { judge_run_canceled, 29, EVENT_COMMAND | EVENT_CLOSES },
    TYPE(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED) = { judge_cancel_initiated, 30,
                                                                   EVENT_COMMAND },
    TYPE(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED) = { judge_cancel_failed, 31, BUFFERED_TRIGGER },
    TYPE(EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED) = { judge_cancel_done, 32, BUFFERED_TRIGGER },
    TYPE(WORKFLOW_EXECUTION_CONTINUED_AS_NEW) = { judge_run_continued, 33, EVENT_COMMAND | EVENT_CLOSES },
    TYPE(START_CHILD_WORKFLOW_EXECUTION_INITIATED) = { judge_child_initiated, 34, EVENT_COMMAND },
    TYPE(START_CHILD_WORKFLOW_EXECUTION_FAILED) = { judge_child_start_failed, 35, BUFFERED_TRIGGER },
    TYPE(CHILD_WORKFLOW_EXECUTION_STARTED) = { judge_child_started, 36, BUFFERED_TRIGGER },
    TYPE(CHILD_WORKFLOW_EXECUTION_COMPLETED) = { judge_child_completed, 37, BUFFERED_END },
    TYPE(CHILD_WORKFLOW_EXECUTION_FAILED) = { judge_child_failed, 38, BUFFERED_END },
    TYPE(CHILD_WORKFLOW_EXECUTION_CANCELED) = { judge_child_canceled, 39, BUFFERED_END },
    TYPE(CHILD_WORKFLOW_EXECUTION_TIMED_OUT) = { judge_child_timed_out, 40, BUFFERED_END },
    TYPE(CHILD_WORKFLOW_EXECUTION_TERMINATED) = { judge_child_terminated, 41, BUFFERED_END },
    TYPE(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED) = { judge_signal_initiated, 42, EVENT_COMMAND },
    TYPE(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED) = { judge_signal_failed, 43, BUFFERED_TRIGGER },
    TYPE(EXTERNAL_WORKFLOW_EXECUTION_SIGNALED) = { judge_signal_done, 44, BUFFERED_TRIGGER },
    TYPE(UPSERT_WORKFLOW_SEARCH_ATTRIBUTES) = { judge_upsert, 45, EVENT_COMMAND },
    TYPE(WORKFLOW_EXECUTION_UPDATE_ACCEPTED) = { judge_update_accepted, 46, EVENT_MESSAGE },
    TYPE(WORKFLOW_EXECUTION_UPDATE_COMPLETED) = { judge_update_completed, 48, EVENT_MESSAGE },
    TYPE(WORKFLOW_PROPERTIES_MODIFIED) = { judge_properties, 51, EVENT_COMMAND },
    TYPE(WORKFLOW_EXECUTION_UPDATE_ADMITTED) = { judge_update_admitted, 52, BUFFERED_TRIGGER },
    TYPE(NEXUS_OPERATION_SCHEDULED) = { judge_nexus_scheduled, 53, EVENT_COMMAND },
    TYPE(NEXUS_OPERATION_STARTED) = { judge_nexus_started, 54, BUFFERED_TRIGGER },
    TYPE(NEXUS_OPERATION_COMPLETED) = { judge_nexus_completed, 55, BUFFERED_END },
    TYPE(NEXUS_OPERATION_FAILED) = { judge_nexus_failed, 56, BUFFERED_END },
    TYPE(NEXUS_OPERATION_CANCELED) = { judge_nexus_canceled, 57, BUFFERED_END },
    TYPE(NEXUS_OPERATION_TIMED_OUT) = { judge_nexus_timed_out, 58, BUFFERED_END },
    TYPE(NEXUS_OPERATION_CANCEL_REQUESTED) = { judge_nexus_cancel_requested, 59, EVENT_COMMAND },
    TYPE(WORKFLOW_EXECUTION_OPTIONS_UPDATED) = { judge_options_updated, 60, EVENT_BUFFERED },
    TYPE(NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED) = { judge_nexus_cancel_completed, 61, BUFFERED_TRIGGER },
    TYPE(NEXUS_OPERATION_CANCEL_REQUEST_FAILED) = { judge_nexus_cancel_failed, 62, BUFFERED_TRIGGER },
    TYPE(WORKFLOW_EXECUTION_PAUSED) = { judge_run_paused, 63, EVENT_BUFFERED },
    TYPE(WORKFLOW_EXECUTION_UNPAUSED) = { judge_run_unpaused, 64, BUFFERED_TRIGGER },
};
#undef TYPE

struct judge *judge_new(struct run *run)
{
    struct judge *judge = xcalloc(1, sizeof(*judge));
    judge->run = run;
    judge->time_max = INT64_MIN;
    judge->task.last_started_time = INT64_MIN;
    arena_init(&judge->arena, SIZE_MAX);
    for (size_t kind = 0; kind < THING_KIND_COUNT; kind++)
        list_init(&judge->open[kind]);
    list_init(&judge->updates);
    list_init(&judge->signals);
    list_init(&judge->memo);
    list_init(&judge->attributes);
    return judge;
}

void judge_free(struct judge *judge)
{
    if (judge == NULL)
        return;
    arena_release(&judge->arena);
    free(judge->things);
    free(judge);
}

void judge_fail(struct judge *judge, enum oracle_check check, const struct history_HistoryEvent *event,
                const char *format, ...)
{
    char    text[512];
    va_list arguments;
    if (judge->run->oracle->mute)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char *type = pb_enum_value_name(pb_enum_find(BYTES("temporal.api.enums.v1.EventType")),
                                          event->event_type);
    oracle_fail(judge->run->oracle, check, "run %.*s, event %" PRId64 " (%s): %s", BYTES_FMT(judge->run->id),
                event->event_id, type == NULL ? "?" : type, text);
}

/* --- what events begin and end --- */

struct thing *judge_begin(struct judge *judge, enum thing_kind kind, const struct history_HistoryEvent *event,
                          struct bytes name)
{
    if (event->event_id >= judge->thing_capacity) {
        int64_t capacity = MAX(judge->thing_capacity * 2, event->event_id + 16);
        judge->things = xrealloc(judge->things, (size_t)capacity * sizeof(struct thing *));
        memset(judge->things + judge->thing_capacity, 0,
               (size_t)(capacity - judge->thing_capacity) * sizeof(struct thing *));
        judge->thing_capacity = capacity;
    }
    struct thing *thing = ARENA_NEW(&judge->arena, struct thing);
    thing->kind = kind;
    thing->event = event;
    thing->name = name;
    judge->things[event->event_id] = thing;
    list_append(&judge->open[kind], &thing->link);
    judge->open_count[kind]++;
    return thing;
}

struct thing *judge_open(struct judge *judge, enum thing_kind kind, enum oracle_check check,
                         const struct history_HistoryEvent *event, int64_t begun_by)
{
    struct thing *thing = begun_by >= 1 && begun_by < judge->thing_capacity ? judge->things[begun_by] : NULL;
    if (thing == NULL || thing->kind != kind) {
        judge_fail(judge, check, event, "it refers to event %" PRId64 ", which did not begin it", begun_by);
        return NULL;
    }
    if (thing->ended != 0) {
        judge_fail(judge, check, event, "what event %" PRId64 " began had ended with event %" PRId64,
                   begun_by, thing->ended);
        return NULL;
    }
    return thing;
}

void judge_end(struct judge *judge, struct thing *thing, const struct history_HistoryEvent *event)
{
    thing->ended = event->event_id;
    list_remove(&thing->link);
    judge->open_count[thing->kind]--;
}

/* --- one event --- */

void judge_command(struct judge *judge, const struct history_HistoryEvent *event, int64_t completed)
{
    if (!judge->task.in_commands)
        judge_fail(judge, ORACLE_COMMAND, event, "no task was completed just before, it names %" PRId64,
                   completed);
    else if (completed != judge->task.completed)
        judge_fail(judge, ORACLE_COMMAND, event, "it names task completion %" PRId64 ", not %" PRId64,
                   completed, judge->task.completed);
}

/* While a task is in a worker's hands the next event is its end; after a completion commands come first. */
static void check_place(struct judge *judge, const struct history_HistoryEvent *event, unsigned flags)
{
    struct task_judge *task = &judge->task;
    if (task->state == TASK_STARTED && (flags & EVENT_TASK_END) == 0)
        judge_fail(judge, ORACLE_TASK_STARTED, event, "the task of event %" PRId64 " has not ended",
                   task->started);
    if ((flags & EVENT_MESSAGE) != 0 && !task->in_commands)
        judge_fail(judge, ORACLE_UPDATE, event, "no task was completed just before");
    if ((flags & (EVENT_COMMAND | EVENT_MESSAGE)) == 0)
        task->in_commands = false;
    if (task->failed_cause == enums_WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND &&
        event->event_id == task->failed + 1 && (flags & EVENT_BUFFERED) == 0)
        judge_fail(judge, ORACLE_TASK_CAUSE, event,
                   "the task was refused for what was buffered: nothing was");
    /* In one flush the ends come last. What is older than the completion waited in the buffer; the real start of an
     * activity is older in any case. While paused nothing is scheduled, and several commits follow each other. */
    if (task->after_completion && !judge->paused && (flags & EVENT_BUFFERED) != 0 &&
        event->event_type != enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED) {
        if ((flags & EVENT_END) != 0)
            task->flush_has_ends = true;
        else if (task->flush_has_ends && event_time(event) < task->completed_time &&
                 event->event_type != enums_EVENT_TYPE_ACTIVITY_TASK_STARTED)
            judge_fail(judge, ORACLE_FLUSH, event, "it comes after the end of something in one flush");
    }
    if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED)
        task->after_completion = false;
}

/* What waits in the buffer keeps the time at which it came; all else has the time of its commit. */
static void check_time(struct judge *judge, const struct history_HistoryEvent *event, unsigned flags)
{
    int64_t time = event_time(event);
    if (event->event_time == NULL)
        judge_fail(judge, ORACLE_MALFORMED, event, "it has no time");
    if ((flags & EVENT_BUFFERED) == 0 && time < judge->time_max)
        judge_fail(judge, ORACLE_BACKWARDS, event, "it is %" PRId64 " ns older than an event before it",
                   judge->time_max - time);
    if (judge->first != NULL && time < event_time(judge->first))
        judge_fail(judge, ORACLE_BACKWARDS, event, "it is older than its run");
    judge->time_max = MAX(judge->time_max, time);
}

void judge_event(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct event_type *type = event->event_type > 0 && (size_t)event->event_type < ARRAY_COUNT(types)
                                        ? &types[event->event_type]
                                        : NULL;
    if (event->event_id != judge->last + 1)
        judge_fail(judge, ORACLE_GAP, event, "it follows event %" PRId64, judge->last);
    judge->last = event->event_id;
    if (type == NULL || type->handler == NULL) {
        judge_fail(judge, ORACLE_MALFORMED, event, "no server writes this type");
        return;
    }
    if (event->attributes_case != type->attributes_case) {
        judge_fail(judge, ORACLE_MALFORMED, event, "its attributes are of another type: field %d",
                   event->attributes_case);
        return;
    }
    if (judge->close != NULL)
        judge_fail(judge, ORACLE_AFTER_CLOSE, event, "the run was closed by event %" PRId64,
                   judge->close->event_id);
    if ((event->event_id == 1) != (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_STARTED))
        judge_fail(judge, ORACLE_START, event, "the first event, and only it, is the start");
    check_time(judge, event, type->flags);
    check_place(judge, event, type->flags);
    type->handler(judge, event);
    if ((type->flags & EVENT_TRIGGER) != 0)
        judge->task.needed = true;
    if ((type->flags & EVENT_CLOSES) != 0) {
        judge->close = event;
        judge->task.needed = false;
    }
}
