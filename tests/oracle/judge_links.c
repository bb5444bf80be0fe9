/* judge_links.c: timers, children, messages to other runs, Nexus operations: each begun once and ended once. */
#include "internal.h"

/* --- timers --- */

void judge_timer_started(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_TimerStartedEventAttributes *attributes = event->timer_started_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    LIST_FOR_EACH (other, &judge->open[THING_TIMER], struct thing, link) {
        if (bytes_equal(other->name, attributes->timer_id))
            judge_fail(judge, ORACLE_TIMER, event, "id '%.*s' is pending since event %" PRId64,
                       BYTES_FMT(other->name), other->event->event_id);
    }
    struct thing *timer = judge_begin(judge, THING_TIMER, event, attributes->timer_id);
    int64_t       timeout = duration_ns(attributes->start_to_fire_timeout);
    timer->due = timeout > INT64_MAX - event_time(event) ? TIME_NEVER : event_time(event) + timeout;
}

static struct thing *timer_of(struct judge *judge, const struct history_HistoryEvent *event, int64_t started,
                              struct bytes timer_id)
{
    struct thing *timer = judge_open(judge, THING_TIMER, ORACLE_TIMER, event, started);
    if (timer != NULL && !bytes_equal(timer->name, timer_id))
        judge_fail(judge, ORACLE_TIMER, event, "it is called '%.*s', the timer '%.*s'", BYTES_FMT(timer_id),
                   BYTES_FMT(timer->name));
    return timer;
}

void judge_timer_fired(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_TimerFiredEventAttributes *attributes = event->timer_fired_event_attributes;
    struct thing *timer = timer_of(judge, event, attributes->started_event_id, attributes->timer_id);
    if (timer == NULL)
        return;
    judge_end(judge, timer, event);
    int64_t late = event_time(event) - timer->due, late_max = judge->run->oracle->timer_late_max;
    if (late < 0)
        judge_fail(judge, ORACLE_TIMER_EARLY, event, "it fired %" PRId64 " ns early", -late);
    /* A reset writes the times of another life. */
    if (late_max != 0 && late > late_max && judge->reset == NULL)
        judge_fail(judge, ORACLE_TIMER_LATE, event, "it fired %" PRId64 " ns late", late);
    LIST_FOR_EACH (other, &judge->open[THING_TIMER], struct thing, link) {
        if (other->due < timer->due ||
            (other->due == timer->due && other->event->event_id < timer->event->event_id))
            judge_fail(judge, ORACLE_TIMER_ORDER, event, "the timer of event %" PRId64 " was due before",
                       other->event->event_id);
    }
}

void judge_timer_canceled(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_TimerCanceledEventAttributes *attributes = event->timer_canceled_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    struct thing *timer = timer_of(judge, event, attributes->started_event_id, attributes->timer_id);
    if (timer != NULL)
        judge_end(judge, timer, event);
}

/* --- children --- */

static bool names(const struct common_WorkflowExecution *execution, struct bytes workflow_id,
                  struct bytes run_id)
{
    return execution != NULL && bytes_equal(execution->workflow_id, workflow_id) &&
           (run_id.size == 0 || bytes_equal(execution->run_id, run_id));
}

void judge_child_initiated(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_StartChildWorkflowExecutionInitiatedEventAttributes *attributes =
        event->start_child_workflow_execution_initiated_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    if (attributes->workflow_id.size == 0 || attributes->workflow_type == NULL ||
        attributes->task_queue == NULL ||
        attributes->parent_close_policy == enums_PARENT_CLOSE_POLICY_UNSPECIFIED)
        judge_fail(judge, ORACLE_CHILD, event, "its id, type, task queue or close policy is not filled");
    judge_begin(judge, THING_CHILD, event, attributes->workflow_id);
}

void judge_child_start_failed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_StartChildWorkflowExecutionFailedEventAttributes *attributes =
        event->start_child_workflow_execution_failed_event_attributes;
    struct thing *child = judge_open(judge, THING_CHILD, ORACLE_CHILD, event, attributes->initiated_event_id);
    if (child == NULL)
        return;
    if (child->started != 0 || !bytes_equal(child->name, attributes->workflow_id))
        judge_fail(judge, ORACLE_CHILD, event, "child '%.*s' was started by event %" PRId64,
                   BYTES_FMT(child->name), child->started);
    judge_end(judge, child, event);
}

void judge_child_started(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ChildWorkflowExecutionStartedEventAttributes *attributes =
        event->child_workflow_execution_started_event_attributes;
    struct thing *child = judge_open(judge, THING_CHILD, ORACLE_CHILD, event, attributes->initiated_event_id);
    if (child == NULL)
        return;
    if (child->started != 0)
        judge_fail(judge, ORACLE_CHILD, event, "it was started by event %" PRId64, child->started);
    if (!names(attributes->workflow_execution, child->name, BYTES_EMPTY) ||
        attributes->workflow_execution->run_id.size == 0)
        judge_fail(judge, ORACLE_CHILD, event, "it does not name child '%.*s' and a run",
                   BYTES_FMT(child->name));
    else
        child->run_id = attributes->workflow_execution->run_id;
    child->started = event->event_id;
    child->started_event = event;
}

static void end_child(struct judge *judge, const struct history_HistoryEvent *event, int64_t initiated,
                      int64_t started, const struct common_WorkflowExecution *execution)
{
    struct thing *child = judge_open(judge, THING_CHILD, ORACLE_CHILD, event, initiated);
    if (child == NULL)
        return;
    if (child->started == 0 || child->started != started)
        judge_fail(judge, ORACLE_CHILD, event, "it names Started %" PRId64 ", that is %" PRId64, started,
                   child->started);
    if (!names(execution, child->name, BYTES_EMPTY) || execution->run_id.size == 0)
        judge_fail(judge, ORACLE_CHILD, event, "it does not name child '%.*s' and a run",
                   BYTES_FMT(child->name));
    judge_end(judge, child, event);
}

#define CHILD_END(suffix, member)                                                                            \
    void judge_child_##suffix(struct judge *judge, const struct history_HistoryEvent *event)                 \
    {                                                                                                        \
        end_child(judge, event, event->member->initiated_event_id, event->member->started_event_id,          \
                  event->member->workflow_execution);                                                        \
    }
CHILD_END(completed, child_workflow_execution_completed_event_attributes)
CHILD_END(failed, child_workflow_execution_failed_event_attributes)
CHILD_END(canceled, child_workflow_execution_canceled_event_attributes)
CHILD_END(timed_out, child_workflow_execution_timed_out_event_attributes)
CHILD_END(terminated, child_workflow_execution_terminated_event_attributes)

/* --- signals and cancel requests to other runs --- */

static void begin_external(struct judge *judge, enum thing_kind kind,
                           const struct history_HistoryEvent *event, int64_t completed,
                           const struct common_WorkflowExecution *execution)
{
    judge_command(judge, event, completed);
    if (execution == NULL || execution->workflow_id.size == 0)
        judge_fail(judge, ORACLE_EXTERNAL, event, "it names no workflow");
    struct thing *thing = judge_begin(judge, kind, event,
                                      execution == NULL ? BYTES_EMPTY : execution->workflow_id);
    thing->run_id = execution == NULL ? BYTES_EMPTY : execution->run_id;
}

static void end_external(struct judge *judge, enum thing_kind kind, const struct history_HistoryEvent *event,
                         int64_t initiated, const struct common_WorkflowExecution *execution, bool succeeded)
{
    struct thing *thing = judge_open(judge, kind, ORACLE_EXTERNAL, event, initiated);
    if (thing == NULL)
        return;
    if (!names(execution, thing->name, thing->run_id))
        judge_fail(judge, ORACLE_EXTERNAL, event, "it does not name workflow '%.*s'", BYTES_FMT(thing->name));
    if (succeeded && judge->first != NULL &&
        bytes_equal(thing->name, judge->first->workflow_execution_started_event_attributes->workflow_id) &&
        bytes_equal(thing->run_id, judge->run->id))
        judge_fail(judge, ORACLE_EXTERNAL, event, "a run reached itself");
    judge_end(judge, thing, event);
}

void judge_signal_initiated(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_SignalExternalWorkflowExecutionInitiatedEventAttributes *attributes =
        event->signal_external_workflow_execution_initiated_event_attributes;
    begin_external(judge, THING_SIGNAL_OUT, event, attributes->workflow_task_completed_event_id,
                   attributes->workflow_execution);
}

void judge_signal_failed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_SignalExternalWorkflowExecutionFailedEventAttributes *attributes =
        event->signal_external_workflow_execution_failed_event_attributes;
    end_external(judge, THING_SIGNAL_OUT, event, attributes->initiated_event_id,
                 attributes->workflow_execution, false);
}

void judge_signal_done(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ExternalWorkflowExecutionSignaledEventAttributes *attributes =
        event->external_workflow_execution_signaled_event_attributes;
    end_external(judge, THING_SIGNAL_OUT, event, attributes->initiated_event_id,
                 attributes->workflow_execution, true);
}

void judge_cancel_initiated(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_RequestCancelExternalWorkflowExecutionInitiatedEventAttributes *attributes =
        event->request_cancel_external_workflow_execution_initiated_event_attributes;
    begin_external(judge, THING_CANCEL_OUT, event, attributes->workflow_task_completed_event_id,
                   attributes->workflow_execution);
}

void judge_cancel_failed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_RequestCancelExternalWorkflowExecutionFailedEventAttributes *attributes =
        event->request_cancel_external_workflow_execution_failed_event_attributes;
    end_external(judge, THING_CANCEL_OUT, event, attributes->initiated_event_id,
                 attributes->workflow_execution, false);
}

void judge_cancel_done(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_ExternalWorkflowExecutionCancelRequestedEventAttributes *attributes =
        event->external_workflow_execution_cancel_requested_event_attributes;
    end_external(judge, THING_CANCEL_OUT, event, attributes->initiated_event_id,
                 attributes->workflow_execution, true);
}

/* --- Nexus operations --- */

void judge_nexus_scheduled(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_NexusOperationScheduledEventAttributes *attributes =
        event->nexus_operation_scheduled_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    judge_begin(judge, THING_NEXUS, event, attributes->request_id);
}

void judge_nexus_started(struct judge *judge, const struct history_HistoryEvent *event)
{
    struct thing *operation = judge_open(judge, THING_NEXUS, ORACLE_NEXUS, event,
                                         event->nexus_operation_started_event_attributes->scheduled_event_id);
    if (operation == NULL)
        return;
    if (operation->started != 0)
        judge_fail(judge, ORACLE_NEXUS, event, "it was started by event %" PRId64, operation->started);
    operation->started = event->event_id;
}

static void end_nexus(struct judge *judge, const struct history_HistoryEvent *event, int64_t scheduled)
{
    struct thing *operation = judge_open(judge, THING_NEXUS, ORACLE_NEXUS, event, scheduled);
    if (operation != NULL)
        judge_end(judge, operation, event);
}

void judge_nexus_completed(struct judge *judge, const struct history_HistoryEvent *event)
{
    end_nexus(judge, event, event->nexus_operation_completed_event_attributes->scheduled_event_id);
}

void judge_nexus_failed(struct judge *judge, const struct history_HistoryEvent *event)
{
    end_nexus(judge, event, event->nexus_operation_failed_event_attributes->scheduled_event_id);
}

void judge_nexus_canceled(struct judge *judge, const struct history_HistoryEvent *event)
{
    end_nexus(judge, event, event->nexus_operation_canceled_event_attributes->scheduled_event_id);
}

void judge_nexus_timed_out(struct judge *judge, const struct history_HistoryEvent *event)
{
    end_nexus(judge, event, event->nexus_operation_timed_out_event_attributes->scheduled_event_id);
}

void judge_nexus_cancel_requested(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_NexusOperationCancelRequestedEventAttributes *attributes =
        event->nexus_operation_cancel_requested_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    struct thing *operation = judge_open(judge, THING_NEXUS, ORACLE_NEXUS, event,
                                         attributes->scheduled_event_id);
    if (operation == NULL)
        return;
    if (operation->canceling != 0)
        judge_fail(judge, ORACLE_NEXUS, event, "its cancel was requested by event %" PRId64,
                   operation->canceling);
    operation->canceling = event->event_id;
}

/* The result of a request to cancel: it names the request; the operation itself may have ended meanwhile. */
static void end_nexus_cancel(struct judge *judge, const struct history_HistoryEvent *event, int64_t requested,
                             int64_t scheduled)
{
    const struct thing *operation = scheduled >= 1 && scheduled < judge->thing_capacity
                                        ? judge->things[scheduled]
                                        : NULL;
    if (operation == NULL || operation->kind != THING_NEXUS || operation->canceling != requested)
        judge_fail(judge, ORACLE_NEXUS, event,
                   "it names operation %" PRId64 " and cancel request %" PRId64 ", which do not fit",
                   scheduled, requested);
}

void judge_nexus_cancel_completed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_NexusOperationCancelRequestCompletedEventAttributes *attributes =
        event->nexus_operation_cancel_request_completed_event_attributes;
    end_nexus_cancel(judge, event, attributes->requested_event_id, attributes->scheduled_event_id);
}

void judge_nexus_cancel_failed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_NexusOperationCancelRequestFailedEventAttributes *attributes =
        event->nexus_operation_cancel_request_failed_event_attributes;
    end_nexus_cancel(judge, event, attributes->requested_event_id, attributes->scheduled_event_id);
}
