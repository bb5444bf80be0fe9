/* chain.c: what several runs must say of each other: chains, resets, parents and children, messages, one open run. */
#include "internal.h"

static const struct history_WorkflowExecutionStartedEventAttributes *start_of(const struct run *run)
{
    return run->judge->first == NULL ? NULL : run->judge->first->workflow_execution_started_event_attributes;
}

struct bytes run_next(const struct run *run)
{
    const struct history_HistoryEvent *close = run->judge->close;
    if (close == NULL)
        return BYTES_EMPTY;
    switch (close->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return close->workflow_execution_completed_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return close->workflow_execution_failed_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return close->workflow_execution_timed_out_event_attributes->new_execution_run_id;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return close->workflow_execution_continued_as_new_event_attributes->new_execution_run_id;
    default:
        return BYTES_EMPTY;
    }
}

/* The last run of a chain that has been read; NULL when it leads to one that has not. */
static const struct run *end_of_chain(const struct oracle *oracle, const struct run *run)
{
    for (unsigned steps = 0; run != NULL && run_is_complete(run) && steps < 1000000; steps++) {
        struct bytes next = run_next(run);
        if (next.size == 0)
            return run;
        run = oracle_run(oracle, next);
    }
    return NULL;
}

static int64_t began(const struct run *run)
{
    return event_time(run->judge->reset != NULL ? run->judge->reset : run->judge->first);
}

static bool was_reset(const struct oracle *oracle, struct bytes workflow_id)
{
    struct table_iterator iterator = { 0 };
    for (const struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (bytes_equal(run->workflow_id, workflow_id) && run->judge->reset != NULL)
            return true;
    }
    return false;
}

static bool was_closed_by_reset(const struct run *run)
{
    const struct history_HistoryEvent *close = run->judge->close;
    return close != NULL && close->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED &&
           bytes_equal_text(close->workflow_execution_terminated_event_attributes->identity,
                            "history-resetter");
}

/* Whether what this run lacks will not come any more. */
static bool is_final(const struct oracle *oracle, const struct run *run)
{
    return oracle->settled != 0 || run->judge->close != NULL;
}

/* --- chains --- */

static bool same_queue(const struct taskqueue_TaskQueue *a, const struct taskqueue_TaskQueue *b)
{
    return a != NULL && b != NULL && bytes_equal(a->name, b->name);
}

static bool same_type(const struct common_WorkflowType *a, const struct common_WorkflowType *b)
{
    return a != NULL && b != NULL && bytes_equal(a->name, b->name);
}

/* What a retry or the next run of a schedule takes over from the first Started. */
static const char *differs_from_start(const struct history_WorkflowExecutionStartedEventAttributes *from,
                                      const struct history_WorkflowExecutionStartedEventAttributes *to)
{
    if (!same_type(from->workflow_type, to->workflow_type) || !same_queue(from->task_queue, to->task_queue))
        return "type or task queue";
    if (!bytes_equal(from->input, to->input) || !bytes_equal(from->header, to->header))
        return "input or header";
    if (!bytes_equal(from->memo, to->memo) || !bytes_equal(from->search_attributes, to->search_attributes))
        return "memo or search attributes";
    if (!bytes_equal(from->cron_schedule, to->cron_schedule) ||
        (from->retry_policy == NULL) != (to->retry_policy == NULL))
        return "schedule or retry policy";
    return NULL;
}

/* And what continue-as-new says. */
static const char *differs_from_command(
    const struct history_WorkflowExecutionContinuedAsNewEventAttributes *from,
    const struct history_WorkflowExecutionStartedEventAttributes        *to)
{
    if (!same_type(from->workflow_type, to->workflow_type) || !same_queue(from->task_queue, to->task_queue))
        return "type or task queue";
    if (!bytes_equal(from->input, to->input) || !bytes_equal(from->header, to->header))
        return "input or header";
    if (!bytes_equal(from->memo, to->memo) || !bytes_equal(from->search_attributes, to->search_attributes))
        return "memo or search attributes";
    if (duration_ns(to->first_workflow_task_backoff) < duration_ns(from->backoff_start_interval))
        return "back-off";
    return NULL;
}

static const char *differs_in_chain(const struct run *run, const struct run *next)
{
    const struct history_WorkflowExecutionStartedEventAttributes *from = start_of(run), *to = start_of(next);
    const struct history_HistoryEvent                            *close = run->judge->close;
    bool    retries = close->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
                          ? close->workflow_execution_failed_event_attributes->retry_state ==
                             enums_RETRY_STATE_IN_PROGRESS
                          : close->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT &&
                             close->workflow_execution_timed_out_event_attributes->retry_state ==
                                 enums_RETRY_STATE_IN_PROGRESS;
    bool    continues = close->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW;
    int32_t initiator = continues ? enums_CONTINUE_AS_NEW_INITIATOR_WORKFLOW
                        : retries ? enums_CONTINUE_AS_NEW_INITIATOR_RETRY
                                  : enums_CONTINUE_AS_NEW_INITIATOR_CRON_SCHEDULE;
    if (!bytes_equal(to->continued_execution_run_id, run->id))
        return "the run that it continues";
    if (!bytes_equal(to->first_execution_run_id, from->first_execution_run_id))
        return "the first run";
    if (!bytes_equal(to->workflow_id, from->workflow_id))
        return "the workflow id";
    if (to->initiator != initiator || to->attempt != (retries ? from->attempt + 1 : 1))
        return "initiator or attempt";
    if ((to->parent_workflow_execution == NULL) != (from->parent_workflow_execution == NULL) ||
        to->parent_initiated_event_id != from->parent_initiated_event_id)
        return "the parent";
    /* A reset counts anew. */
    if (run->judge->reset == NULL && timestamp_ns(to->workflow_execution_expiration_time) !=
                                         timestamp_ns(from->workflow_execution_expiration_time))
        return "the expiration of the execution";
    if (event_time(next->judge->first) < event_time(close))
        return "time: it began before the other closed";
    /* At least a second between the runs of a chain, but for schedules; another server may look at its clock twice. */
    int64_t lifetime = event_time(close) - began(run) -
                       (run->judge->reset != NULL ? 0 : duration_ns(from->first_workflow_task_backoff));
    lifetime = MAX(lifetime, INT64_C(0)); /* an update may start it before its time */
    if ((continues || retries) &&
        duration_ns(to->first_workflow_task_backoff) < NS_PER_S - NS_PER_MS - lifetime)
        return "back-off: runs follow each other too fast";
    return continues ? differs_from_command(close->workflow_execution_continued_as_new_event_attributes, to)
                     : differs_from_start(from, to);
}

static void check_next(struct oracle *oracle, const struct run *run)
{
    struct bytes next_id = run_next(run);
    if (next_id.size == 0)
        return;
    const struct run *next = oracle_run(oracle, next_id);
    if (next == NULL || next->judge->first == NULL) {
        if (next == NULL || (next->missing && !next->deleted && !run->deleted))
            oracle_fail(oracle, ORACLE_CHAIN, "run %.*s is followed by run %.*s, which is not there",
                        BYTES_FMT(run->id), BYTES_FMT(next_id));
        return;
    }
    const char *what = differs_in_chain(run, next);
    if (what != NULL)
        oracle_fail(oracle, ORACLE_CHAIN, "run %.*s is followed by run %.*s, which does not fit: %s",
                    BYTES_FMT(run->id), BYTES_FMT(next_id), what);
}

static void check_previous(struct oracle *oracle, const struct run *run)
{
    struct bytes      previous_id = start_of(run)->continued_execution_run_id;
    const struct run *previous = previous_id.size == 0 ? NULL : oracle_run(oracle, previous_id);
    /* A reset run has the start of its base, which continues the same run. */
    if (previous != NULL && run->judge->reset == NULL && run_is_complete(previous) &&
        !bytes_equal(run_next(previous), run->id))
        oracle_fail(oracle, ORACLE_CHAIN, "run %.*s continues run %.*s, which is followed by '%.*s'",
                    BYTES_FMT(run->id), BYTES_FMT(previous_id), BYTES_FMT(run_next(previous)));
}

/* --- one open run --- */

static void check_overlap(struct oracle *oracle, const struct run *run)
{
    struct table_iterator iterator = { 0 };
    for (const struct run *other; (other = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (other == run || other->judge->first == NULL ||
            !bytes_equal(other->workflow_id, run->workflow_id) || !run_is_complete(other) ||
            began(other) < began(run) ||
            (began(other) == began(run) && bytes_compare(other->id, run->id) < 0))
            continue;
        if (!is_final(oracle, run))
            continue;
        /* This one began first; it has to be closed by then. Runs that began at one time are ordered by their ends. */
        bool good = run->judge->close != NULL && event_time(run->judge->close) <= began(other);
        if (!good && began(other) == began(run))
            good = other->judge->close != NULL && event_time(other->judge->close) <= began(run);
        if (!good)
            oracle_fail(oracle, ORACLE_TWO_OPEN, "workflow '%.*s': runs %.*s and %.*s were open together",
                        BYTES_FMT(run->workflow_id), BYTES_FMT(run->id), BYTES_FMT(other->id));
    }
}

/* --- resets --- */

static const struct operation *reset_of(const struct oracle *oracle, const struct run *run)
{
    LIST_FOR_EACH (operation, &oracle->operations, struct operation, link) {
        if (operation->kind == OPERATION_RESET && bytes_equal(operation->ret_run_id, run->id))
            return operation;
    }
    return NULL;
}

/* The signals that the base had after the cut are there again, in their order. */
static void check_signals_again(struct oracle *oracle, const struct run *base, const struct run *run)
{
    int64_t at = run->judge->reset->event_id;
    for (int64_t id = run->judge->reset->event_id; id <= base->last; id++) {
        const struct history_HistoryEvent *signal = run_event(base, id);
        if (signal->event_type != enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
            continue;
        bool found = false;
        while (!found && ++at <= run->last) {
            const struct history_HistoryEvent *event = run_event(run, at);
            found = event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED &&
                    bytes_equal(event->workflow_execution_signaled_event_attributes->signal_name,
                                signal->workflow_execution_signaled_event_attributes->signal_name) &&
                    bytes_equal(event->workflow_execution_signaled_event_attributes->input,
                                signal->workflow_execution_signaled_event_attributes->input);
        }
        if (!found) {
            oracle_fail(oracle, ORACLE_RESET, "run %.*s has not the signal of event %" PRId64 " of its base",
                        BYTES_FMT(run->id), id);
            return;
        }
    }
}

static void check_reset(struct oracle *oracle, const struct run *run)
{
    const struct history_WorkflowTaskFailedEventAttributes *reset =
        run->judge->reset->workflow_task_failed_event_attributes;
    const struct run *base = oracle_run(oracle, reset->base_run_id);
    if (!bytes_equal(reset->new_run_id, run->id))
        oracle_fail(oracle, ORACLE_RESET, "run %.*s was made by a reset to run '%.*s'", BYTES_FMT(run->id),
                    BYTES_FMT(reset->new_run_id));
    if (base == NULL || !run_is_complete(base))
        return;
    int64_t cut = run->judge->reset->event_id;
    for (int64_t id = 1; id < cut; id++) {
        const struct history_HistoryEvent *event = run_event(run, id);
        bool made_up = id == cut - 1 && event->event_type == enums_EVENT_TYPE_WORKFLOW_TASK_STARTED &&
                       bytes_equal_text(event->workflow_task_started_event_attributes->identity,
                                        "history-service");
        if (!made_up &&
            (run_event(base, id) == NULL || !bytes_equal(run->events[id]->raw, base->events[id]->raw))) {
            oracle_fail(oracle, ORACLE_RESET, "event %" PRId64 " of run %.*s is not that of its base %.*s",
                        id, BYTES_FMT(run->id), BYTES_FMT(base->id));
            return;
        }
    }
    if (base->judge->close == NULL)
        oracle_fail(oracle, ORACLE_RESET, "run %.*s was reset, and is open", BYTES_FMT(base->id));
    const struct operation *operation = reset_of(oracle, run);
    if (operation != NULL && !operation->without_signals)
        check_signals_again(oracle, base, run);
}

/* --- parents and children --- */

static const struct thing *child_of(const struct run *parent, int64_t initiated)
{
    const struct thing *thing = initiated >= 1 && initiated < parent->judge->thing_capacity
                                    ? parent->judge->things[initiated]
                                    : NULL;
    return thing != NULL && thing->kind == THING_CHILD ? thing : NULL;
}

/* The child's side: its parent asked for it, once. */
static void check_parent(struct oracle *oracle, const struct run *run)
{
    const struct history_WorkflowExecutionStartedEventAttributes *start = start_of(run);
    const struct run *parent = start->parent_workflow_execution == NULL
                                   ? NULL
                                   : oracle_run(oracle, start->parent_workflow_execution->run_id);
    if (parent == NULL || !run_is_complete(parent) || start->continued_execution_run_id.size != 0 ||
        run->judge->reset != NULL || parent->judge->first == NULL)
        return;
    const struct thing *child = child_of(parent, start->parent_initiated_event_id);
    const char         *what = NULL;
    if (child == NULL || !bytes_equal(child->name, run->workflow_id)) {
        what = "did not ask for it";
    } else {
        const struct history_StartChildWorkflowExecutionInitiatedEventAttributes *asked =
            child->event->start_child_workflow_execution_initiated_event_attributes;
        if (child->run_id.size != 0 && !bytes_equal(child->run_id, run->id))
            what = "has another for the same command";
        else if (!same_type(asked->workflow_type, start->workflow_type) ||
                 !bytes_equal(asked->input, start->input))
            what = "asked for another type or input";
        else if (child->started == 0 && run->judge->task.scheduled != 0 && !was_closed_by_reset(parent) &&
                 is_final(oracle, parent))
            what = "does not know that it began";
    }
    if (what != NULL)
        oracle_fail(oracle, ORACLE_PARENT, "run %.*s: its parent, run %.*s, %s", BYTES_FMT(run->id),
                    BYTES_FMT(parent->id), what);
}

/* Whether the end that the parent has of a child is the one of the child's last run. */
static const char *end_differs(const struct history_HistoryEvent *end, const struct run *last)
{
    const struct history_HistoryEvent     *close = last->judge->close;
    const struct common_WorkflowExecution *execution;
    int32_t                                status;
    bool                                   same = true;
    if (close == NULL)
        return "it is open";
    switch (end->event_type) {
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
        execution = end->child_workflow_execution_completed_event_attributes->workflow_execution;
        status = enums_WORKFLOW_EXECUTION_STATUS_COMPLETED;
        same = last->judge->status == status &&
               bytes_equal(end->child_workflow_execution_completed_event_attributes->result,
                           close->workflow_execution_completed_event_attributes->result);
        break;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
        execution = end->child_workflow_execution_failed_event_attributes->workflow_execution;
        status = enums_WORKFLOW_EXECUTION_STATUS_FAILED;
        same = last->judge->status == status &&
               bytes_equal(end->child_workflow_execution_failed_event_attributes->failure,
                           close->workflow_execution_failed_event_attributes->failure);
        break;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
        execution = end->child_workflow_execution_canceled_event_attributes->workflow_execution;
        status = enums_WORKFLOW_EXECUTION_STATUS_CANCELED;
        break;
    case enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
        execution = end->child_workflow_execution_timed_out_event_attributes->workflow_execution;
        status = enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT;
        break;
    default:
        execution = end->child_workflow_execution_terminated_event_attributes->workflow_execution;
        status = enums_WORKFLOW_EXECUTION_STATUS_TERMINATED;
        break;
    }
    if (last->judge->status != status)
        return "it ended otherwise";
    if (execution == NULL || !bytes_equal(execution->run_id, last->id))
        return "another run was the last one";
    return same ? NULL : "with another result or failure";
}

static void check_child(struct oracle *oracle, const struct run *parent, const struct thing *child)
{
    const struct run *first = oracle_run(oracle, child->run_id);
    if (first == NULL || first->deleted || was_reset(oracle, child->name))
        return;
    if (first->missing) {
        oracle_fail(oracle, ORACLE_PARENT, "run %.*s has child run %.*s, which is not there",
                    BYTES_FMT(parent->id), BYTES_FMT(child->run_id));
        return;
    }
    const struct run *last = end_of_chain(oracle, first);
    if (last == NULL)
        return;
    if (child->ended != 0) {
        const char *what = end_differs(run_event(parent, child->ended), last);
        if (what != NULL)
            oracle_fail(oracle, ORACLE_PARENT, "run %.*s, event %" PRId64 " ends child '%.*s': %s",
                        BYTES_FMT(parent->id), child->ended, BYTES_FMT(child->name), what);
        return;
    }
    if (parent->judge->close == NULL) {
        /* While a task is in a worker's hands the end may wait in the buffer. */
        if (last->judge->close != NULL && parent->judge->task.state != TASK_STARTED &&
            is_final(oracle, parent))
            oracle_fail(oracle, ORACLE_DELIVERY, "run %.*s was not told the end of child '%.*s'",
                        BYTES_FMT(parent->id), BYTES_FMT(child->name));
        return;
    }
    if (was_closed_by_reset(parent) || !is_final(oracle, last))
        return;
    int32_t policy =
        child->event->start_child_workflow_execution_initiated_event_attributes->parent_close_policy;
    if (policy == enums_PARENT_CLOSE_POLICY_TERMINATE && last->judge->close == NULL)
        oracle_fail(oracle, ORACLE_CLOSE_POLICY, "run %.*s closed, its child '%.*s' was not terminated",
                    BYTES_FMT(parent->id), BYTES_FMT(child->name));
    if (policy == enums_PARENT_CLOSE_POLICY_REQUEST_CANCEL && last->judge->close == NULL &&
        last->judge->cancel_requested == 0)
        oracle_fail(oracle, ORACLE_CLOSE_POLICY, "run %.*s closed, its child '%.*s' was not asked to cancel",
                    BYTES_FMT(parent->id), BYTES_FMT(child->name));
}

/* --- messages between runs --- */

/* How many signals of this name from this run have arrived at a workflow. */
static int64_t count_arrived(const struct oracle *oracle, const struct run *sender, struct bytes target,
                             struct bytes name, bool *ret_known)
{
    struct table_iterator iterator = { 0 };
    int64_t               count = 0;
    *ret_known = true;
    for (const struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (!bytes_equal(run->workflow_id, target))
            continue;
        *ret_known = *ret_known && run_is_complete(run) && run->judge->reset == NULL && is_final(oracle, run);
        for (int64_t id = 1; id <= run->last; id++) {
            const struct history_HistoryEvent *event = run_event(run, id);
            if (event == NULL || event->event_type != enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
                continue;
            const struct history_WorkflowExecutionSignaledEventAttributes *signal =
                event->workflow_execution_signaled_event_attributes;
            count += signal->external_workflow_execution != NULL &&
                     bytes_equal(signal->external_workflow_execution->run_id, sender->id) &&
                     bytes_equal(signal->signal_name, name);
        }
    }
    return count;
}

static bool was_delivered(const struct run *sender, const struct thing *thing)
{
    const struct history_HistoryEvent *end = thing->ended == 0 ? NULL : run_event(sender, thing->ended);
    return end != NULL && end->event_type == enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED;
}

static bool is_like(const struct thing *a, const struct thing *b)
{
    return b != NULL && b->kind == THING_SIGNAL_OUT && bytes_equal(a->name, b->name) &&
           bytes_equal(a->event->signal_external_workflow_execution_initiated_event_attributes->signal_name,
                       b->event->signal_external_workflow_execution_initiated_event_attributes->signal_name);
}

static void check_signal_out(struct oracle *oracle, const struct run *run, const struct thing *signal)
{
    int64_t asked = 0, delivered = 0;
    bool    known;
    for (int64_t id = 1; id < run->judge->thing_capacity; id++) {
        const struct thing *other = run->judge->things[id];
        if (!is_like(signal, other))
            continue;
        if (id < signal->event->event_id)
            return; /* those of one name are counted once */
        asked++;
        delivered += was_delivered(run, other);
    }
    int64_t arrived = count_arrived(
        oracle, run, signal->name,
        signal->event->signal_external_workflow_execution_initiated_event_attributes->signal_name, &known);
    if (known && run->judge->reset == NULL && is_final(oracle, run) &&
        (arrived < delivered || arrived > asked))
        oracle_fail(oracle, ORACLE_DELIVERY,
                    "run %.*s sent %" PRId64 " signals to '%.*s' and was told of %" PRId64
                    " arrivals; %" PRId64 " arrived",
                    BYTES_FMT(run->id), asked, BYTES_FMT(signal->name), delivered, arrived);
}

void chain_audit(struct oracle *oracle)
{
    struct table_iterator iterator = { 0 };
    for (const struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (!run_is_complete(run) || run->judge->first == NULL)
            continue;
        check_next(oracle, run);
        check_previous(oracle, run);
        check_overlap(oracle, run);
        check_parent(oracle, run);
        if (run->judge->reset != NULL)
            check_reset(oracle, run);
        for (int64_t id = 1; id < run->judge->thing_capacity; id++) {
            const struct thing *thing = run->judge->things[id];
            if (thing != NULL && thing->kind == THING_CHILD && thing->started != 0)
                check_child(oracle, run, thing);
            else if (thing != NULL && thing->kind == THING_SIGNAL_OUT)
                check_signal_out(oracle, run, thing);
        }
    }
}
