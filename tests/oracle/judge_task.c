/* judge_task.c: workflow tasks: scheduled, started, ended; attempts; what the server says when it ends one itself. */
#include "internal.h"

static bool has_failed_for(const struct task_judge *task, int32_t cause)
{
    return task->failed != 0 && task->failed_cause == cause;
}

/* The first attempt after a failure that counted is not written before something else happened, or it completed. */
static void check_attempt(struct judge *judge, const struct history_HistoryEvent *event, int32_t attempt)
{
    const struct task_judge *task = &judge->task;
    bool                     directly = task->failed != 0 && event->event_id == task->failed + 1;
    bool overflowed = has_failed_for(task, enums_WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND);
    if (attempt < 1)
        judge_fail(judge, ORACLE_TASK_ATTEMPT, event, "attempt %d", attempt);
    else if (attempt > 1 && (task->failed == 0 || task->failed_counts == COUNTS_NOT))
        judge_fail(judge, ORACLE_TASK_ATTEMPT, event, "attempt %d, and no attempt before it failed", attempt);
    else if (attempt > 1 && !directly && !overflowed)
        judge_fail(judge, ORACLE_TASK_ATTEMPT, event,
                   "attempt %d, though something has happened since the failure of event %" PRId64, attempt,
                   task->failed);
    else if (attempt == 1 && directly && task->failed_counts == COUNTS)
        judge_fail(judge, ORACLE_TASK_ATTEMPT, event, "attempt 1 directly after a failure that counts");
}

void judge_task_scheduled(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowTaskScheduledEventAttributes *attributes =
        event->workflow_task_scheduled_event_attributes;
    struct task_judge *task = &judge->task;
    if (task->state != TASK_NONE)
        judge_fail(judge, ORACLE_TASK_SCHEDULED, event, "the task of event %" PRId64 " is outstanding",
                   task->scheduled);
    if (judge->paused)
        judge_fail(judge, ORACLE_TASK_SCHEDULED, event, "the run is paused");
    if (attributes->task_queue == NULL || attributes->task_queue->name.size == 0)
        judge_fail(judge, ORACLE_TASK_SCHEDULED, event, "it names no task queue");
    check_attempt(judge, event, attributes->attempt);
    if (event->event_id != task->completed + 1)
        task->heartbeat_since = event_time(event);
    task->state = TASK_SCHEDULED;
    task->scheduled = event->event_id;
    task->scheduled_time = event_time(event);
    task->timeout = duration_ns(attributes->start_to_close_timeout);
    task->attempt = attributes->attempt;
    task->sticky = attributes->task_queue != NULL &&
                   attributes->task_queue->kind == enums_TASK_QUEUE_KIND_STICKY;
    task->after_completion = task->flush_has_ends = task->needed = false;
    if (task->timeout <= 0)
        judge_fail(judge, ORACLE_TASK_SCHEDULED, event, "it has no timeout");
}

void judge_task_started(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowTaskStartedEventAttributes *attributes =
        event->workflow_task_started_event_attributes;
    struct task_judge *task = &judge->task;
    if (task->state != TASK_SCHEDULED || attributes->scheduled_event_id != task->scheduled)
        judge_fail(judge, ORACLE_TASK_STARTED, event,
                   "it names Scheduled %" PRId64 ", outstanding is %" PRId64 "%s",
                   attributes->scheduled_event_id, task->state == TASK_NONE ? INT64_C(0) : task->scheduled,
                   task->state == TASK_STARTED ? ", started already" : "");
    if (task->attempt > 1 && event->event_id != task->scheduled + 1)
        judge_fail(judge, ORACLE_TASK_ATTEMPT, event, "attempt %d is written before it ended", task->attempt);
    if (event_time(event) < task->last_started_time)
        judge_fail(judge, ORACLE_BACKWARDS, event, "time goes backwards for workflow code");
    task->state = TASK_STARTED;
    task->needed = false;
    task->started = event->event_id;
    task->started_time = task->last_started_time = event_time(event);
}

static void check_end(struct judge *judge, const struct history_HistoryEvent *event, int64_t scheduled,
                      int64_t started)
{
    const struct task_judge *task = &judge->task;
    if (task->state == TASK_NONE || scheduled != task->scheduled ||
        started != (task->state == TASK_STARTED ? task->started : 0))
        judge_fail(judge, ORACLE_TASK_ENDED, event,
                   "it names Scheduled %" PRId64 " and Started %" PRId64 ", outstanding are %" PRId64
                   " and %" PRId64,
                   scheduled, started, task->state == TASK_NONE ? INT64_C(0) : task->scheduled,
                   task->state == TASK_STARTED ? task->started : INT64_C(0));
}

void judge_task_completed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowTaskCompletedEventAttributes *attributes =
        event->workflow_task_completed_event_attributes;
    struct task_judge *task = &judge->task;
    check_end(judge, event, attributes->scheduled_event_id, attributes->started_event_id);
    if (task->state == TASK_SCHEDULED)
        judge_fail(judge, ORACLE_TASK_ENDED, event, "a task is completed that was not started");
    task->state = TASK_NONE;
    task->completed = event->event_id;
    task->completed_time = event_time(event);
    task->completed_started = attributes->started_event_id;
    task->in_commands = task->after_completion = true;
    task->flush_has_ends = false;
    task->failed = 0;
    task->failed_cause = 0;
}

static void end_without_completion(struct judge *judge, const struct history_HistoryEvent *event,
                                   int32_t cause, bool counts)
{
    struct task_judge *task = &judge->task;
    task->failed = event->event_id;
    task->failed_cause = cause;
    task->failed_attempt = task->attempt;
    /* On a sticky queue it does not count, unless the task was taken from the normal queue after all: nothing says so. */
    task->failed_counts = !counts ? COUNTS_NOT : task->sticky ? COUNTS_PERHAPS : COUNTS;
    task->state = TASK_NONE;
    task->after_completion = false;
    task->needed = true;
}

void judge_task_failed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowTaskFailedEventAttributes *attributes =
        event->workflow_task_failed_event_attributes;
    check_end(judge, event, attributes->scheduled_event_id, attributes->started_event_id);
    if (judge->task.state == TASK_SCHEDULED)
        judge_fail(judge, ORACLE_TASK_ENDED, event, "a task failed that was not started");
    if (attributes->cause == enums_WORKFLOW_TASK_FAILED_CAUSE_UNSPECIFIED && attributes->failure.size == 0 &&
        attributes->identity.size == 0)
        judge_fail(judge, ORACLE_TASK_CAUSE, event, "it has neither cause nor failure nor identity");
    /* A worker may say this cause of its task, too; it names no run, and its failure counts as any. */
    bool resets = attributes->cause == enums_WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW &&
                  attributes->base_run_id.size != 0;
    if (resets) {
        /* One that names another run came with what was copied from a run that was itself the end of a reset. */
        if (bytes_equal(attributes->base_run_id, judge->run->id) || attributes->new_run_id.size == 0)
            judge_fail(judge, ORACLE_TASK_CAUSE, event, "a reset from run '%.*s' to run '%.*s'",
                       BYTES_FMT(attributes->base_run_id), BYTES_FMT(attributes->new_run_id));
        judge->reset = event;
    } else if (attributes->base_run_id.size != 0 || attributes->new_run_id.size != 0) {
        judge_fail(judge, ORACLE_TASK_CAUSE, event, "it names runs, and is no reset");
    }
    if (attributes->cause == enums_WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND &&
        !bytes_equal_text(attributes->identity, "history-service"))
        judge_fail(judge, ORACLE_TASK_CAUSE, event, "only the server forces a task to end");
    end_without_completion(judge, event, attributes->cause, !resets);
}

/* A row of completions that did nothing ends after half an hour as if the last had timed out. */
#define HEARTBEATS_MAX (1800 * NS_PER_S)

void judge_task_timed_out(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowTaskTimedOutEventAttributes *attributes =
        event->workflow_task_timed_out_event_attributes;
    struct task_judge *task = &judge->task;
    check_end(judge, event, attributes->scheduled_event_id, attributes->started_event_id);
    bool counts = false, returned = false;
    if (attributes->timeout_type == enums_TIMEOUT_TYPE_START_TO_CLOSE) {
        int64_t took = event_time(event) - task->started_time;
        bool    is_due = took >= task->timeout || event_time(event) - task->heartbeat_since >= HEARTBEATS_MAX;
        returned = !oracle_was_delivered(judge->run->oracle, judge->run->id, task->started);
        if (task->state != TASK_STARTED)
            judge_fail(judge, ORACLE_TASK_ENDED, event, "start-to-close, and it was not started");
        else if (!is_due && !returned)
            judge_fail(judge, ORACLE_TIMEOUT_EARLY, event, "after %" PRId64 " ns, the timeout is %" PRId64,
                       took, task->timeout);
        counts = is_due; /* a task that never reached its poller comes back as it was */
    } else if (attributes->timeout_type == enums_TIMEOUT_TYPE_SCHEDULE_TO_START) {
        if (task->state == TASK_STARTED)
            judge_fail(judge, ORACLE_TASK_ENDED, event, "schedule-to-start, and it was started");
    } else {
        judge_fail(judge, ORACLE_TASK_ENDED, event, "timeout type %d", attributes->timeout_type);
    }
    end_without_completion(judge, event, 0, counts);
    if (returned && task->failed_counts == COUNTS) /* whichever came first */
        task->failed_counts = COUNTS_PERHAPS;
}
