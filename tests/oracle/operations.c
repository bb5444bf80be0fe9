/* operations.c: what clients asked for, against what histories say happened: each acknowledged request took effect once, each
 * doubtful one at most once, what was refused did not, and effects keep the order in which their callers knew of each other.
 */
#include "base/hash.h"
#include "internal.h"

#define METHOD(name) PB_METHOD_WorkflowService_##name

/* Whether this answer says for certain that nothing happened in this call. */
static bool is_refusal(enum status code)
{
    return code == ST_INVALID_ARGUMENT || code == ST_NOT_FOUND || code == ST_ALREADY_EXISTS ||
           code == ST_FAILED_PRECONDITION || code == ST_PERMISSION_DENIED || code == ST_UNIMPLEMENTED ||
           code == ST_OUT_OF_RANGE;
}

static struct operation *operation_of(struct oracle *oracle, struct call *call, enum operation_kind kind,
                                      struct bytes workflow_id, struct bytes run_id, struct bytes key)
{
    struct operation **slot = kind == OPERATION_UPDATE ? &call->update : &call->operation;
    struct operation  *found = NULL;
    LIST_FOR_EACH (operation, &oracle->operations, struct operation, link) {
        if (key.size != 0 && operation->kind == kind && bytes_equal(operation->key, key) &&
            bytes_equal(operation->workflow_id, workflow_id) && bytes_equal(operation->run_id, run_id))
            found = operation;
    }
    if (found == NULL) {
        found = ARENA_NEW(&oracle->arena, struct operation);
        found->kind = kind;
        found->workflow_id = workflow_id;
        found->run_id = run_id;
        found->key = key;
        found->called = call->at;
        list_append(&oracle->operations, &found->link);
    }
    found->again = found->again || (kind == OPERATION_SIGNAL && found->acknowledged != 0);
    found->open++;
    found->calls++;
    *slot = found;
    return found;
}

static void called_on(struct oracle *oracle, struct call *call, enum operation_kind kind,
                      const struct common_WorkflowExecution *execution, struct bytes key)
{
    if (execution != NULL)
        (void)operation_of(oracle, call, kind, execution->workflow_id, execution->run_id, key);
}

static void activities_change(struct oracle *oracle, const struct common_WorkflowExecution *execution)
{
    if (execution != NULL)
        oracle_activities_changed(oracle, execution->workflow_id);
}

static void update_called(struct oracle *oracle, struct call *call,
                          const struct workflowservice_UpdateWorkflowExecutionRequest *request)
{
    if (request->request != NULL && request->request->meta != NULL)
        called_on(oracle, call, OPERATION_UPDATE, request->workflow_execution,
                  request->request->meta->update_id);
}

void operations_called(struct oracle *oracle, struct call *call)
{
    switch (call->method->index) {
    case METHOD(StartWorkflowExecution): {
        const struct workflowservice_StartWorkflowExecutionRequest *request = call->request;
        (void)operation_of(oracle, call, OPERATION_START, request->workflow_id, BYTES_EMPTY,
                           request->request_id);
        break;
    }
    case METHOD(SignalWorkflowExecution): {
        const struct workflowservice_SignalWorkflowExecutionRequest *request = call->request;
        called_on(oracle, call, OPERATION_SIGNAL, request->workflow_execution, request->request_id);
        if (call->operation != NULL) {
            call->operation->name = request->signal_name;
            call->operation->input = request->input;
        }
        break;
    }
    case METHOD(SignalWithStartWorkflowExecution): {
        const struct workflowservice_SignalWithStartWorkflowExecutionRequest *request = call->request;
        struct operation *operation = operation_of(oracle, call, OPERATION_SIGNAL, request->workflow_id,
                                                   BYTES_EMPTY, request->request_id);
        operation->may_start = true;
        operation->name = request->signal_name;
        operation->input = request->signal_input;
        break;
    }
    case METHOD(RequestCancelWorkflowExecution): {
        const struct workflowservice_RequestCancelWorkflowExecutionRequest *request = call->request;
        called_on(oracle, call, OPERATION_CANCEL, request->workflow_execution, request->request_id);
        break;
    }
    case METHOD(TerminateWorkflowExecution): {
        const struct workflowservice_TerminateWorkflowExecutionRequest *request = call->request;
        called_on(oracle, call, OPERATION_TERMINATE, request->workflow_execution, BYTES_EMPTY);
        if (call->operation != NULL)
            call->operation->name = request->reason;
        break;
    }
    case METHOD(UpdateWorkflowExecution):
        update_called(oracle, call, call->request);
        break;
    case METHOD(ResetWorkflowExecution): {
        const struct workflowservice_ResetWorkflowExecutionRequest *request = call->request;
        called_on(oracle, call, OPERATION_RESET, request->workflow_execution, request->request_id);
        if (call->operation == NULL)
            break;
        call->operation->without_signals = request->reset_reapply_type == enums_RESET_REAPPLY_TYPE_NONE;
        for (size_t i = 0; i < request->reset_reapply_exclude_types_count; i++)
            call->operation->without_signals = call->operation->without_signals ||
                                               request->reset_reapply_exclude_types[i] ==
                                                   enums_RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL;
        break;
    }
    case METHOD(ExecuteMultiOperation): {
        const struct workflowservice_ExecuteMultiOperationRequest *request = call->request;
        for (size_t i = 0; i < request->operations_count; i++) {
            if (request->operations[i].operation_case == 1)
                (void)operation_of(oracle, call, OPERATION_START,
                                   request->operations[i].start_workflow->workflow_id, BYTES_EMPTY,
                                   request->operations[i].start_workflow->request_id);
            else if (request->operations[i].operation_case == 2)
                update_called(oracle, call, request->operations[i].update_workflow);
        }
        break;
    }
    case METHOD(DeleteWorkflowExecution): {
        const struct workflowservice_DeleteWorkflowExecutionRequest *request = call->request;
        struct table_iterator                                        iterator = { 0 };
        for (struct run *run;
             request->workflow_execution != NULL && (run = oracle_next_run(oracle, &iterator)) != NULL;) {
            if (bytes_equal(run->workflow_id, request->workflow_execution->workflow_id))
                run->deleted = true;
        }
        break;
    }
    case METHOD(PauseActivity):
        activities_change(oracle,
                          ((const struct workflowservice_PauseActivityRequest *)call->request)->execution);
        break;
    case METHOD(UnpauseActivity):
        activities_change(oracle,
                          ((const struct workflowservice_UnpauseActivityRequest *)call->request)->execution);
        break;
    case METHOD(ResetActivity):
        activities_change(oracle,
                          ((const struct workflowservice_ResetActivityRequest *)call->request)->execution);
        break;
    case METHOD(UpdateActivityOptions):
        activities_change(
            oracle, ((const struct workflowservice_UpdateActivityOptionsRequest *)call->request)->execution);
        break;
    default:
        break;
    }
}

/* --- answers --- */

static void started(struct oracle *oracle, struct operation *operation, struct bytes run_id, bool is_new)
{
    if (operation->ret_run_id.size != 0 && !bytes_equal(operation->ret_run_id, run_id))
        oracle_fail(oracle, ORACLE_START_TWICE,
                    "workflow '%.*s': request '%.*s' was told run %.*s, and then run %.*s",
                    BYTES_FMT(operation->workflow_id), BYTES_FMT(operation->key),
                    BYTES_FMT(operation->ret_run_id), BYTES_FMT(run_id));
    operation->ret_run_id = run_id;
    operation->ret_started = operation->ret_started || is_new;
    oracle_run_belongs(oracle, oracle_run_of(oracle, run_id), operation->workflow_id);
}

/* That it was admitted is no promise; that it was accepted is one. */
static void updated(const struct oracle *oracle, struct operation *operation,
                    const struct workflowservice_UpdateWorkflowExecutionResponse *reply)
{
    if (operation == NULL || reply->stage < enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED)
        return;
    /* Update ids are those of a run: a repetition that another run took is another update, acknowledged only now. */
    if (reply->update_ref != NULL && reply->update_ref->workflow_execution != NULL &&
        !bytes_equal(operation->ret_run_id, reply->update_ref->workflow_execution->run_id)) {
        operation->ret_run_id = reply->update_ref->workflow_execution->run_id;
        operation->acknowledged = 0;
        operation->ret_outcome = NULL;
    }
    /* A failure may be a rejection, after which the id is free. */
    if (operation->acknowledged == 0 && (reply->outcome == NULL || reply->outcome->value_case != 2))
        operation->acknowledged = oracle->now;
    operation->ret_stage = MAX(operation->ret_stage, reply->stage);
    if (reply->outcome != NULL)
        operation->ret_outcome = reply->outcome;
}

/* Both parts of one call share its fate. */
static void settle_call(struct oracle *oracle, struct operation *operation, enum status code)
{
    if (operation == NULL)
        return;
    operation->open--;
    if (code != ST_OK && !is_refusal(code)) {
        operation->doubtful = true;
        operation->doubts++;
    }
    if (code == ST_OK && operation->acknowledged == 0 && operation->kind != OPERATION_UPDATE)
        operation->acknowledged = oracle->now;
}

static void multi_answered(struct oracle *oracle, struct call *call,
                           const struct workflowservice_ExecuteMultiOperationResponse *reply)
{
    for (size_t i = 0; i < reply->responses_count; i++) {
        if (reply->responses[i].response_case == 1 && call->operation != NULL)
            /* A repetition is told that it has not started, of the run that it did start. */
            started(oracle, call->operation, reply->responses[i].start_workflow->run_id,
                    reply->responses[i].start_workflow->started || call->operation->calls > 1);
        else if (reply->responses[i].response_case == 2)
            updated(oracle, call->update, reply->responses[i].update_workflow);
    }
}

void operations_answered(struct oracle *oracle, struct call *call, enum status code, const void *response)
{
    struct operation *operation = call->operation;
    bool              is_multi = call->method->index == METHOD(ExecuteMultiOperation);
    /* Its code is that of one part; the other may have happened. */
    settle_call(oracle, operation, is_multi && code != ST_OK ? ST_UNKNOWN : code);
    settle_call(oracle, call->update, is_multi && code != ST_OK ? ST_UNKNOWN : code);
    if (code != ST_OK)
        return;
    switch (call->method->index) {
    case METHOD(StartWorkflowExecution): {
        const struct workflowservice_StartWorkflowExecutionResponse *reply = response;
        started(oracle, operation, reply->run_id, reply->started);
        break;
    }
    case METHOD(SignalWithStartWorkflowExecution): {
        const struct workflowservice_SignalWithStartWorkflowExecutionResponse *reply = response;
        /* Its repetition may meet another run than the first, doubtful one did. */
        operation->ret_run_id = reply->run_id;
        operation->ret_started = operation->ret_started || reply->started;
        oracle_run_belongs(oracle, oracle_run_of(oracle, reply->run_id), operation->workflow_id);
        break;
    }
    case METHOD(ExecuteMultiOperation):
        multi_answered(oracle, call, response);
        break;
    case METHOD(UpdateWorkflowExecution):
        updated(oracle, call->update, response);
        break;
    case METHOD(ResetWorkflowExecution): {
        const struct workflowservice_ResetWorkflowExecutionResponse *reply = response;
        if (operation == NULL)
            break;
        operation->ret_run_id = reply->run_id;
        oracle_run_belongs(oracle, oracle_run_of(oracle, reply->run_id), operation->workflow_id);
        break;
    }
    default:
        break;
    }
}

/* --- the audit --- */

/* Whether all runs of this workflow, as far as anybody knows of them, have been read. */
static bool is_known(const struct oracle *oracle, struct bytes workflow_id)
{
    struct table_iterator iterator = { 0 };
    bool                  any = false;
    for (const struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (!bytes_equal(run->workflow_id, workflow_id))
            continue;
        if (run->deleted || !run_is_complete(run))
            return false;
        any = true;
    }
    return any;
}

static void audit_signal(struct oracle *oracle, struct operation *operation)
{
    struct table_iterator iterator = { 0 };
    unsigned              count = 0;
    for (const struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        unsigned here = 0;
        if (!bytes_equal(run->workflow_id, operation->workflow_id))
            continue;
        for (int64_t id = 1; id <= run->last; id++) {
            const struct history_HistoryEvent *event = run_event(run, id);
            if (event == NULL || event->event_type != enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED)
                continue;
            const struct history_WorkflowExecutionSignaledEventAttributes *attributes =
                event->workflow_execution_signaled_event_attributes;
            if (operation->key.size == 0 || !bytes_equal(attributes->request_id, operation->key) ||
                !bytes_equal(attributes->signal_name, operation->name) ||
                !bytes_equal(attributes->input, operation->input))
                continue;
            here++;
            /* A reset run has its base's again. */
            if (run->judge->reset == NULL || operation->effect_run == NULL) {
                operation->effect_run = run;
                operation->effect_event = id;
            }
        }
        count += here;
        if (here > 1)
            oracle_fail(oracle, ORACLE_SIGNAL_PHANTOM, "run %.*s has signal '%.*s' (%.*s) %u times",
                        BYTES_FMT(run->id), BYTES_FMT(operation->name), BYTES_FMT(operation->key), here);
    }
    if (operation->key.size == 0)
        return;
    if (operation->acknowledged != 0 && count == 0)
        oracle_fail(oracle, ORACLE_SIGNAL_LOST, "workflow '%.*s' has no signal '%.*s' (%.*s)",
                    BYTES_FMT(operation->workflow_id), BYTES_FMT(operation->name), BYTES_FMT(operation->key));
    if (operation->acknowledged == 0 && !operation->doubtful && operation->open == 0 && count != 0)
        oracle_fail(oracle, ORACLE_SIGNAL_PHANTOM,
                    "workflow '%.*s' has signal '%.*s' (%.*s), which was refused",
                    BYTES_FMT(operation->workflow_id), BYTES_FMT(operation->name), BYTES_FMT(operation->key));
}

/* Signals of clients that nobody sent. What a reset applies again does not name the run that sent it. */
static void audit_strangers(struct oracle *oracle, const struct run *run)
{
    for (int64_t id = 1; id <= run->last; id++) {
        const struct history_HistoryEvent *event = run_event(run, id);
        bool                               found = false;
        if (event->event_type == enums_EVENT_TYPE_WORKFLOW_TASK_FAILED &&
            event->workflow_task_failed_event_attributes->base_run_id.size != 0)
            return;
        if (event->event_type != enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED ||
            event->workflow_execution_signaled_event_attributes->external_workflow_execution != NULL)
            continue;
        LIST_FOR_EACH (operation, &oracle->operations, struct operation, link)
            found = found || (operation->kind == OPERATION_SIGNAL &&
                              bytes_equal(operation->workflow_id, run->workflow_id) &&
                              bytes_equal(operation->name,
                                          event->workflow_execution_signaled_event_attributes->signal_name));
        if (!found)
            oracle_fail(oracle, ORACLE_SIGNAL_PHANTOM,
                        "run %.*s, event %" PRId64 ": nobody sent signal '%.*s'", BYTES_FMT(run->id), id,
                        BYTES_FMT(event->workflow_execution_signaled_event_attributes->signal_name));
    }
}

static bool is_origin(const struct run *run)
{
    const struct history_WorkflowExecutionStartedEventAttributes *start =
        run->judge->first == NULL ? NULL : run->judge->first->workflow_execution_started_event_attributes;
    return start != NULL && run->judge->reset == NULL && start->continued_execution_run_id.size == 0 &&
           start->parent_workflow_execution == NULL;
}

/* Each run that a client's start made is told by one acknowledged request, or owed to a doubtful one. */
static void audit_starts(struct oracle *oracle, struct bytes workflow_id)
{
    struct table_iterator iterator = { 0 };
    int64_t               strangers = 0, doubtful = 0, starts = 0;
    LIST_FOR_EACH (operation, &oracle->operations, struct operation, link)
        starts += bytes_equal(operation->workflow_id, workflow_id) && operation->kind == OPERATION_START;
    for (const struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        bool told = false;
        if (!bytes_equal(run->workflow_id, workflow_id) || !is_origin(run))
            continue;
        LIST_FOR_EACH (operation, &oracle->operations, struct operation, link)
            told = told || (bytes_equal(operation->ret_run_id, run->id) && operation->ret_started);
        strangers += !told;
    }
    LIST_FOR_EACH (operation, &oracle->operations, struct operation, link) {
        if (!bytes_equal(operation->workflow_id, workflow_id) ||
            (operation->kind != OPERATION_START && !operation->may_start))
            continue;
        /* A request is known by the current run only: each repetition of a signal-with-start may start again after the run closed,
         * and so may one of a start when another one has taken the place of its run. */
        if (operation->may_start || starts > 1)
            doubtful += operation->doubts + operation->open;
        else
            doubtful += (operation->doubtful || operation->open != 0) && !operation->ret_started;
    }
    if (strangers > doubtful)
        oracle_fail(oracle, ORACLE_START_TWICE,
                    "workflow '%.*s' has %" PRId64 " runs that nobody was told of, %" PRId64
                    " starts ended in doubt",
                    BYTES_FMT(workflow_id), strangers, doubtful);
}

static void audit_start(struct oracle *oracle, struct operation *operation)
{
    const struct run *run = oracle_run(oracle, operation->ret_run_id);
    if (operation->acknowledged == 0 || !operation->ret_started || (run != NULL && run->deleted))
        return;
    if (run == NULL || run->missing)
        oracle_fail(oracle, ORACLE_START_LOST, "workflow '%.*s': run %.*s is not there",
                    BYTES_FMT(operation->workflow_id), BYTES_FMT(operation->ret_run_id));
    if (run == NULL)
        return;
    operation->effect_run = run;
    operation->effect_event = 1;
}

/* The run that a request went to, when the request or the facts name it: the only one there is. */
static const struct run *addressed(const struct oracle *oracle, const struct operation *operation)
{
    struct table_iterator iterator = { 0 };
    const struct run     *found = NULL;
    if (operation->run_id.size != 0)
        return oracle_run(oracle, operation->run_id);
    for (const struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (!bytes_equal(run->workflow_id, operation->workflow_id))
            continue;
        if (found != NULL)
            return NULL;
        found = run;
    }
    return found;
}

static void audit_cancel(struct oracle *oracle, struct operation *operation)
{
    const struct run *run = addressed(oracle, operation);
    if (operation->acknowledged == 0 || run == NULL || !run_is_complete(run))
        return;
    if (run->judge->cancel_requested != 0) {
        operation->effect_run = run;
        operation->effect_event = run->judge->cancel_requested;
    } else if (run->judge->close == NULL) {
        oracle_fail(oracle, ORACLE_CANCEL_LOST, "run %.*s is open and was not asked to cancel",
                    BYTES_FMT(run->id));
    }
}

static void audit_terminate(struct oracle *oracle, struct operation *operation)
{
    struct table_iterator iterator = { 0 };
    const struct run     *run = addressed(oracle, operation);
    bool                  found = false;
    if (operation->acknowledged == 0)
        return;
    for (const struct run *one; (one = oracle_next_run(oracle, &iterator)) != NULL;) {
        if ((run == NULL || one == run) && bytes_equal(one->workflow_id, operation->workflow_id) &&
            one->judge->status == enums_WORKFLOW_EXECUTION_STATUS_TERMINATED) {
            found = true;
            if (run != NULL) {
                operation->effect_run = run;
                operation->effect_event = run->judge->close->event_id;
            }
        }
    }
    if (!found)
        oracle_fail(oracle, ORACLE_TERMINATE_LOST, "workflow '%.*s' was not terminated",
                    BYTES_FMT(operation->workflow_id));
}

static struct bytes outcome_bytes(struct oracle *oracle, const struct update_Outcome *outcome)
{
    return pb_encode_arena(&pb_update_Outcome, outcome, &oracle->arena);
}

static void audit_update(struct oracle *oracle, struct operation *operation)
{
    const struct run   *run = oracle_run(oracle, operation->ret_run_id);
    const struct thing *update = NULL;
    if (run == NULL || !run_is_complete(run))
        return;
    for (int64_t id = 1; id < run->judge->thing_capacity; id++) {
        const struct thing *thing = run->judge->things[id];
        if (thing != NULL && thing->kind == THING_UPDATE && bytes_equal(thing->name, operation->key))
            update = thing;
    }
    if (update != NULL) {
        operation->effect_run = run;
        operation->effect_event = update->event->event_id;
    }
    const struct update_Outcome *outcome = operation->ret_outcome;
    bool                         failed = outcome != NULL && outcome->value_case == 2;
    if (update == NULL && !failed && operation->acknowledged != 0)
        oracle_fail(oracle, ORACLE_UPDATE_LOST, "run %.*s has not accepted update '%.*s'", BYTES_FMT(run->id),
                    BYTES_FMT(operation->key));
    if (update == NULL || outcome == NULL)
        return;
    if (update->ended == 0) {
        /* Its caller is told that the workflow closed first. */
        if (!failed)
            oracle_fail(oracle, ORACLE_UPDATE_LOST, "run %.*s has not completed update '%.*s'",
                        BYTES_FMT(run->id), BYTES_FMT(operation->key));
        return;
    }
    const struct history_WorkflowExecutionUpdateCompletedEventAttributes *completed =
        run_event(run, update->ended)->workflow_execution_update_completed_event_attributes;
    /* A caller of before, which was rejected, was told another failure. */
    bool rejected = failed && operation->acknowledged == 0;
    if (completed->outcome != NULL && !rejected &&
        !bytes_equal(outcome_bytes(oracle, completed->outcome), outcome_bytes(oracle, outcome)))
        oracle_fail(oracle, ORACLE_UPDATE_LOST, "run %.*s: update '%.*s' has another outcome than its caller",
                    BYTES_FMT(run->id), BYTES_FMT(operation->key));
}

static void audit_reset(struct oracle *oracle, const struct operation *operation)
{
    const struct run *run = oracle_run(oracle, operation->ret_run_id);
    if (operation->acknowledged == 0 || (run != NULL && run->deleted))
        return;
    if (run == NULL || run->missing || (run_is_complete(run) && run->judge->reset == NULL))
        oracle_fail(oracle, ORACLE_RESET_LOST, "workflow '%.*s': run %.*s is not there, or no reset",
                    BYTES_FMT(operation->workflow_id), BYTES_FMT(operation->ret_run_id));
}

/* When it was asked for first, whichever run that named. */
static uint64_t first_called(const struct oracle *oracle, const struct operation *operation)
{
    uint64_t at = operation->called;
    LIST_FOR_EACH (other, &oracle->operations, struct operation, link) {
        if (operation->key.size != 0 && other->kind == operation->kind &&
            bytes_equal(other->key, operation->key) &&
            bytes_equal(other->workflow_id, operation->workflow_id))
            at = MIN(at, other->called);
    }
    return at;
}

/* Who was told of one before asking for the other knows their order. */
static void audit_order(struct oracle *oracle, const struct operation *first)
{
    if (first->effect_run == NULL || first->acknowledged == 0 || first->again)
        return;
    LIST_FOR_EACH (second, &oracle->operations, struct operation, link) {
        if (second->effect_run != first->effect_run || second->effect_event > first->effect_event ||
            first_called(oracle, second) < first->acknowledged)
            continue;
        /* What cancels first, and comes again, has no effect of its own. */
        if (second->kind == OPERATION_CANCEL && first->kind == OPERATION_CANCEL)
            continue;
        /* A start that found the run; a repetition. */
        if (second->kind == OPERATION_START || second == first)
            continue;
        oracle_fail(oracle, ORACLE_ORDER,
                    "run %.*s: event %" PRId64 " was asked for after event %" PRId64 " had been acknowledged",
                    BYTES_FMT(first->effect_run->id), second->effect_event, first->effect_event);
    }
}

void operations_audit(struct oracle *oracle)
{
    struct table_iterator iterator = { 0 };
    LIST_FOR_EACH (operation, &oracle->operations, struct operation, link) {
        if (operation->kind == OPERATION_START)
            audit_start(oracle, operation);
        if (operation->kind == OPERATION_RESET)
            audit_reset(oracle, operation);
        if (!is_known(oracle, operation->workflow_id))
            continue;
        switch (operation->kind) {
        case OPERATION_START:
            audit_starts(oracle, operation->workflow_id);
            break;
        case OPERATION_SIGNAL:
            audit_signal(oracle, operation);
            break;
        case OPERATION_CANCEL:
            audit_cancel(oracle, operation);
            break;
        case OPERATION_TERMINATE:
            audit_terminate(oracle, operation);
            break;
        case OPERATION_UPDATE:
            audit_update(oracle, operation);
            break;
        case OPERATION_RESET:
            break;
        }
    }
    LIST_FOR_EACH (operation, &oracle->operations, struct operation, link)
        audit_order(oracle, operation);
    for (const struct run *run;
         oracle->call_count != 0 && (run = oracle_next_run(oracle, &iterator)) != NULL;) {
        if (run_is_complete(run))
            audit_strangers(oracle, run);
    }
}
