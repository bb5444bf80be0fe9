/* update.c: workflow updates. */
#include "engine/update.h"
#include "base/mutant.h"

#include "engine/close.h"
#include "engine/execution.h"
#include "engine/failure.h"
#include "engine/signal.h"
#include "engine/workflow_task.h"

/* From this attempt on a task counts as failing: an update would wait in vain. */
#define FAILING_FROM_ATTEMPT 3
/* Of all updates that a run may have, so many per cent make the server suggest to continue as new. */
#define SUGGEST_PERCENT 90

#define STAGE(name) enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_##name

/* --- look-ups --- */

static uint32_t find(const struct update_book *book, struct bytes id)
{
    uint32_t at = 0;
    while (at < book->update_count && !bytes_equal(book->updates[at].id, id))
        at++;
    return at;
}

const struct update *update_find(const struct execution *state, struct bytes id)
{
    const struct update_book *book = execution_updates(state);
    uint32_t                  at = find(book, id);
    return at == book->update_count ? NULL : &book->updates[at];
}

static uint32_t find_waiting(const struct update_book *book, struct bytes id)
{
    uint32_t at = 0;
    while (at < book->waiting_count && !bytes_equal(book->waiting[at].id, id))
        at++;
    return at;
}

const struct waiting_update *update_waiting(const struct execution *state, struct bytes id)
{
    const struct update_book *book = execution_updates(state);
    uint32_t                  at = find_waiting(book, id);
    return at == book->waiting_count ? NULL : &book->waiting[at];
}

bool updates_wait(const struct execution *state)
{
    return execution_updates(state)->waiting_count != 0;
}

static uint32_t in_flight(const struct update_book *book)
{
    uint32_t count = book->waiting_count;
    for (uint32_t i = 0; i < book->update_count; i++)
        count += book->updates[i].completed_event_id == 0;
    return count;
}

static size_t total(const struct execution *state)
{
    const struct update_book *book = execution_updates(state);
    return (size_t)book->update_count + book->waiting_count;
}

bool updates_suggest_continue(const struct execution *state, const struct limits *limits)
{
    return total(state) * 100 >= limits->updates_total_max * SUGGEST_PERCENT;
}

/* --- the fold --- */

void update_add(struct execution *state, const struct update *update)
{
    struct update_book *book = execution_updates_write(state);
    book->updates = execution_grow(state, book->updates, book->update_count, &book->update_capacity,
                                   sizeof(*book->updates));
    struct update *added = &book->updates[book->update_count++];
    *added = *update;
    added->id = BYTES_EMPTY;
    execution_set(state, &added->id, update->id);
}

static struct update *get(struct execution *state, struct bytes id)
{
    if (update_find(state, id) == NULL)
        update_add(state, &(struct update){ .id = id });
    struct update_book *book = execution_updates_write(state);
    return &book->updates[find(book, id)];
}

static void stop_waiting(struct execution *state, struct bytes id)
{
    if (update_waiting(state, id) == NULL)
        return;
    struct update_book *book = execution_updates_write(state);
    uint32_t            at = find_waiting(book, id);
    book->waiting_size -= book->waiting[at].request.size;
    execution_unset(state, &book->waiting[at].id);
    execution_unset(state, &book->waiting[at].request);
    book->waiting_count--;
    memmove(&book->waiting[at], &book->waiting[at + 1], (book->waiting_count - at) * sizeof(*book->waiting));
}

static struct bytes id_of_admitted(
    const struct history_WorkflowExecutionUpdateAdmittedEventAttributes *admitted)
{
    if (admitted->request == NULL || admitted->request->meta == NULL)
        return BYTES_EMPTY;
    return admitted->request->meta->update_id;
}

enum status update_effect(struct execution *state, const struct history_HistoryEvent *event, int64_t id,
                          struct error *error)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
        get(state, id_of_admitted(event_attributes(event)))->admitted_event_id = id;
        return ST_OK;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: {
        const struct history_WorkflowExecutionUpdateAcceptedEventAttributes *accepted = event_attributes(
            event);
        stop_waiting(state, accepted->protocol_instance_id);
        get(state, accepted->protocol_instance_id)->accepted_event_id = id;
        return ST_OK;
    }
    default: {
        const struct history_WorkflowExecutionUpdateCompletedEventAttributes *completed = event_attributes(
            event);
        struct bytes update_id = completed->meta == NULL ? BYTES_EMPTY : completed->meta->update_id;
        if (update_find(state, update_id) == NULL)
            return error_set(error, ST_DATA_LOSS,
                             "history does not fit: an update ends that was not accepted");
        get(state, update_id)->completed_event_id = id;
        return ST_OK;
    }
    }
}

enum status update_change_forgotten(struct execution *state, struct bytes id, struct error *error)
{
    if (update_find(state, id) == NULL)
        return error_set(error, ST_DATA_LOSS, "a stored change names an update that is not there");
    struct update_book *book = execution_updates_write(state);
    uint32_t            at = find(book, id);
    execution_unset(state, &book->updates[at].id);
    book->update_count--;
    memmove(&book->updates[at], &book->updates[at + 1], (book->update_count - at) * sizeof(*book->updates));
    return ST_OK;
}

void update_change_volatile(struct execution *state, const struct state_Change *change)
{
    if (change->kind_case == CHANGE_UPDATE_GONE) {
        stop_waiting(state, change->update_gone);
        return;
    }
    struct update_book *book = execution_updates_write(state);
    if (change->kind_case == CHANGE_UPDATES_SENT) {
        for (uint32_t i = 0; i < book->waiting_count; i++)
            book->waiting[i].is_sent = true;
        return;
    }
    if (update_find(state, change->update_waits->update_id) != NULL)
        return; /* what was stored beside it has accepted it by now */
    book->waiting = execution_grow(state, book->waiting, book->waiting_count, &book->waiting_capacity,
                                   sizeof(*book->waiting));
    struct waiting_update *waiting = &book->waiting[book->waiting_count++];
    *waiting = (struct waiting_update){ .is_sent = false };
    execution_set(state, &waiting->id, change->update_waits->update_id);
    execution_set(state, &waiting->request, change->update_waits->request);
    book->waiting_size += waiting->request.size;
}

/* --- to workers --- */

bool updates_send(struct draft *draft, bool again,
                  struct workflowservice_PollWorkflowTaskQueueResponse *response)
{
    const struct execution   *state = draft->state;
    const struct update_book *book = execution_updates(state);
    bool                      news = false;
    if (book->waiting_count == 0)
        return false;
    response->messages = ARENA_NEW_ARRAY(draft->arena, struct protocol_Message, book->waiting_count);
    for (uint32_t i = 0; i < book->waiting_count; i++) {
        const struct waiting_update *update = &book->waiting[i];
        if (update->is_sent && !again)
            continue;
        news = news || !update->is_sent;
        struct google_Any body = { .type_url = BYTES("type.googleapis.com/temporal.api.update.v1.Request"),
                                   .value = update->request };
        struct protocol_Message *message = &response->messages[response->messages_count++];
        message->id = arena_printf(draft->arena, "%.*s/request", BYTES_FMT(update->id));
        message->protocol_instance_id = arena_copy(draft->arena, update->id);
        message->sequencing_id_case = 3;
        message->event_id = task_started_event_id(state) - 1;
        message->body = pb_encode_arena(&pb_google_Any, &body, draft->arena);
    }
    if (news)
        draft_volatile(draft,
                       (struct state_Change){ .kind_case = CHANGE_UPDATES_SENT, .updates_sent = true });
    return response->messages_count != 0;
}

/* --- ends --- */

static struct bytes outcome_failure(struct arena *arena, struct bytes failure)
{
    struct update_Outcome outcome = { .value_case = 2 };
    outcome.failure = failure.base == NULL ? BYTES("") : failure;
    return pb_encode_arena(&pb_update_Outcome, &outcome, arena);
}

static struct bytes server_verdict(struct arena *arena, struct bytes type, struct bytes message)
{
    struct failure_ApplicationFailureInfo info = { .type = type, .non_retryable = true };
    struct failure_Failure                failure = { .message = message,
                                                      .source = BYTES("Server"),
                                                      .failure_info_case = 5 };
    failure.application_failure_info = &info;
    return outcome_failure(arena, pb_encode_arena(&pb_failure_Failure, &failure, arena));
}

static struct bytes outcome_unfinished(struct arena *arena)
{
    return server_verdict(arena, BYTES("AcceptedUpdateCompletedWorkflow"),
                          BYTES("Workflow Update failed because the Workflow completed before the Update "
                                "completed."));
}

/* It waits no longer, and leaves no trace. The id may be the record's own. */
static void gone(struct draft *draft, struct bytes id, int what, struct bytes body)
{
    struct bytes copy = arena_copy(draft->arena, id);
    draft_tell(draft, copy, what, body);
    draft_volatile(draft, (struct state_Change){ .kind_case = CHANGE_UPDATE_GONE, .update_gone = copy });
}

/* The book of a draft is another one once it was written, so it is asked for again and again. */
static const struct waiting_update *waiting_at(const struct draft *draft, uint32_t index)
{
    return &execution_updates(draft->state)->waiting[index];
}

void updates_reject_unprocessed(struct draft *draft)
{
    for (uint32_t i = execution_updates(draft->state)->waiting_count; i-- > 0;) {
        if (!waiting_at(draft, i)->is_sent && !MUTANT(update_of_late_arrival_rejected))
            continue;
        gone(draft, waiting_at(draft, i)->id, UPDATE_COMPLETED,
             server_verdict(draft->arena, BYTES("UnprocessedUpdate"),
                            BYTES("Workflow Update is rejected because it wasn't processed by worker. "
                                  "Probably, Workflow Update is not supported by the worker.")));
    }
}

void updates_abort(struct draft *draft)
{
    for (uint32_t i = execution_updates(draft->state)->waiting_count; i-- > 0;)
        gone(draft, waiting_at(draft, i)->id,
             waiting_at(draft, i)->is_sent ? UPDATE_TASK_FAILED : UPDATE_LOST, BYTES_EMPTY);
}

void updates_close(struct draft *draft, const struct history_HistoryEvent *event)
{
    const struct update_book *book = execution_updates(draft->state);
    int                       what = close_continues(event) ? UPDATE_CONTINUES : UPDATE_CLOSED;
    for (uint32_t i = 0; i < book->waiting_count; i++)
        draft_tell(draft, book->waiting[i].id, what, BYTES_EMPTY);
    for (uint32_t i = 0; i < book->update_count; i++) {
        const struct update *update = &book->updates[i];
        if (update->completed_event_id != 0)
            continue;
        if (update->accepted_event_id != 0)
            draft_tell(draft, update->id, UPDATE_COMPLETED, outcome_unfinished(draft->arena));
        else
            draft_tell(draft, update->id, what, BYTES_EMPTY);
    }
}

/* --- from workers --- */

static enum status bad_state(struct error *error, struct bytes id, const char *message)
{
    return error_set(error, ST_INVALID_ARGUMENT, "Update %.*s cannot take the message %s in its state.",
                     BYTES_FMT(id), message);
}

static enum status missing(struct error *error, const char *message, const char *field)
{
    return error_set(error, ST_INVALID_ARGUMENT, "%s.%s is not set.", message, field);
}

/* A worker may have been given an update that the server has since forgotten. It sends the request along. */
static enum status resurrect(struct draft *draft, struct bytes id, const struct update_Request *request,
                             struct error *error)
{
    if (update_waiting(draft->state, id) != NULL || update_find(draft->state, id) != NULL)
        return ST_OK;
    if (request == NULL)
        return error_set(error, ST_INVALID_ARGUMENT,
                         "update %.*s is not known. This is most likely transient: a retry resolves it.",
                         BYTES_FMT(id));
    if (total(draft->state) >= draft->env->limits->updates_total_max)
        return error_set(error, ST_INVALID_ARGUMENT, "the run has its limit of %zu updates",
                         draft->env->limits->updates_total_max);
    struct state_UpdateWaits *waits = ARENA_NEW(draft->arena, struct state_UpdateWaits);
    *waits = (struct state_UpdateWaits){
        .update_id = id, .request = pb_encode_arena(&pb_update_Request, request, draft->arena)
    };
    draft_volatile(draft, (struct state_Change){ .kind_case = CHANGE_UPDATE_WAITS, .update_waits = waits });
    return ST_OK;
}

static enum status take_acceptance(struct draft *draft, struct bytes id,
                                   const struct update_Acceptance *message, struct error *error)
{
    enum status status = resurrect(draft, id, message->accepted_request, error);
    if (status != ST_OK)
        return status;
    const struct waiting_update *waiting = update_waiting(draft->state, id);
    const struct update         *known = update_find(draft->state, id);
    if (waiting == NULL && known->accepted_event_id != 0)
        return bad_state(error, id, "Acceptance");
    if (message->accepted_request_sequencing_event_id == 0)
        return missing(error, "Acceptance", "accepted_request_sequencing_event_id");
    if (message->accepted_request_message_id.size == 0)
        return missing(error, "Acceptance", "accepted_request_message_id");
    struct history_WorkflowExecutionUpdateAcceptedEventAttributes accepted = {
        .protocol_instance_id = arena_copy(draft->arena, id),
        .accepted_request_message_id = arena_printf(draft->arena, "%.*s/request", BYTES_FMT(id)),
        .accepted_request_sequencing_event_id = message->accepted_request_sequencing_event_id,
    };
    if (waiting != NULL) {
        accepted.accepted_request = ARENA_NEW(draft->arena, struct update_Request);
        if (pb_decode(&pb_update_Request, waiting->request, draft->arena, accepted.accepted_request, error) !=
            ST_OK)
            panic("a waiting update does not decode: %s", error->message);
    }
    draft_write(draft, enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED, &accepted);
    draft_tell(draft, id, UPDATE_ACCEPTED, BYTES_EMPTY);
    return ST_OK;
}

static enum status take_rejection(struct draft *draft, struct bytes id,
                                  const struct update_Rejection *message, struct error *error)
{
    enum status status = resurrect(draft, id, message->rejected_request, error);
    if (status != ST_OK)
        return status;
    struct bytes outcome = outcome_failure(draft->arena, message->failure);
    if (update_waiting(draft->state, id) != NULL) {
        gone(draft, id, UPDATE_COMPLETED, outcome);
        return ST_OK;
    }
    if (update_find(draft->state, id)->accepted_event_id != 0)
        return bad_state(error, id, "Rejection");
    draft_tell(draft, id, UPDATE_COMPLETED, outcome);
    draft_change(draft, (struct state_Change){ .kind_case = CHANGE_UPDATE_FORGOTTEN,
                                               .update_forgotten = arena_copy(draft->arena, id) });
    return ST_OK;
}

static enum status take_response(struct draft *draft, struct bytes id, const struct update_Response *message,
                                 struct error *error)
{
    const struct update *known = update_find(draft->state, id);
    if (known == NULL && update_waiting(draft->state, id) == NULL)
        return resurrect(draft, id, NULL, error);
    if (known == NULL || known->accepted_event_id == 0 ||
        (known->completed_event_id != 0 && !MUTANT(update_completed_twice)))
        return bad_state(error, id, "Response");
    if (message->meta == NULL || message->meta->update_id.size == 0)
        return missing(error, "Response", "meta.update_id");
    if (!bytes_equal(message->meta->update_id, id))
        return error_set(error, ST_INVALID_ARGUMENT, "Response.meta.update_id is not that of the message.");
    if (message->outcome == NULL)
        return missing(error, "Response", "outcome");
    struct history_WorkflowExecutionUpdateCompletedEventAttributes completed = {
        .meta = message->meta, .outcome = message->outcome, .accepted_event_id = known->accepted_event_id
    };
    draft_write(draft, enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED, &completed);
    if (!MUTANT(update_not_told))
        draft_tell(draft, id, UPDATE_COMPLETED,
                   pb_encode_arena(&pb_update_Outcome, message->outcome, draft->arena));
    return ST_OK;
}

/* The name after the last slash of a type's address. */
static struct bytes type_of(const struct google_Any *any)
{
    struct bytes name = any->type_url;
    for (size_t i = any->type_url.size; i-- > 0;)
        if (any->type_url.base[i] == '/')
            return bytes_of(name.base + i + 1, name.size - i - 1);
    return name;
}

bool update_message_is_rejection(const struct protocol_Message *message, struct arena *arena)
{
    struct google_Any body = { 0 };
    struct error      error;
    return message->body.base != NULL &&
           pb_decode(&pb_google_Any, message->body, arena, &body, &error) == ST_OK &&
           bytes_equal_text(type_of(&body), "temporal.api.update.v1.Rejection");
}

enum status update_message(struct draft *draft, const struct protocol_Message *message, bool *ret_request,
                           struct error *error)
{
    struct google_Any body = { 0 };
    struct bytes      id = message->protocol_instance_id;
    *ret_request = true;
    if (message->body.base == NULL)
        return error_set(error, ST_INVALID_ARGUMENT, "Message.body is not set.");
    if (pb_decode(&pb_google_Any, message->body, draft->arena, &body, error) != ST_OK)
        return error->code;
    *ret_request = false;
    struct bytes name = type_of(&body);
    bool         is_rejection = bytes_equal_text(name, "temporal.api.update.v1.Rejection");
    if (!execution_is_open(draft->state) && !is_rejection)
        return ST_OK; /* the close has answered it */
    union {
        struct update_Acceptance acceptance;
        struct update_Rejection  rejection;
        struct update_Response   response;
    } decoded = { 0 };
    enum status status;
    if (bytes_equal_text(name, "temporal.api.update.v1.Acceptance")) {
        status = pb_decode(&pb_update_Acceptance, body.value, draft->arena, &decoded.acceptance, error);
        return status != ST_OK ? status : take_acceptance(draft, id, &decoded.acceptance, error);
    }
    if (is_rejection) {
        status = pb_decode(&pb_update_Rejection, body.value, draft->arena, &decoded.rejection, error);
        return status != ST_OK ? status : take_rejection(draft, id, &decoded.rejection, error);
    }
    if (bytes_equal_text(name, "temporal.api.update.v1.Response")) {
        status = pb_decode(&pb_update_Response, body.value, draft->arena, &decoded.response, error);
        return status != ST_OK ? status : take_response(draft, id, &decoded.response, error);
    }
    return error_set(error, ST_INVALID_ARGUMENT, "Message.body is of the unsupported type %.*s.",
                     BYTES_FMT(name));
}

/* --- requests --- */

static bool completed_report(const struct update *update, struct workflow_request *request, struct env *env,
                             struct decision *decision)
{
    struct arena                      *arena = request->base.arena;
    const struct history_HistoryEvent *event = cold_event(env, decision, update->completed_event_id, arena);
    if (event == NULL)
        return false;
    const struct history_WorkflowExecutionUpdateCompletedEventAttributes *completed = event_attributes(event);
    static const struct update_Outcome                                    none = { 0 };
    request->update.outcome = pb_encode_arena(&pb_update_Outcome,
                                              completed->outcome == NULL ? &none : completed->outcome, arena);
    return true;
}

bool update_report(const struct execution *live, struct bytes id, struct workflow_request *request,
                   struct env *env, struct decision *decision)
{
    const struct update *known = update_find(live, id);
    request->update.stage = 0;
    if (known == NULL) {
        if (update_waiting(live, id) == NULL)
            return false;
        request->update.stage = STAGE(ADMITTED);
        return true;
    }
    if (known->completed_event_id != 0) {
        request->update.stage = STAGE(COMPLETED);
        return completed_report(known, request, env, decision);
    }
    request->update.stage = known->accepted_event_id != 0 ? STAGE(ACCEPTED) : STAGE(ADMITTED);
    if (execution_is_open(live))
        return true;
    if (known->accepted_event_id == 0)
        return false; /* it went with the run */
    request->update.stage = STAGE(COMPLETED);
    request->update.outcome = outcome_unfinished(request->base.arena);
    return true;
}

static enum status check_limits(const struct draft *draft, size_t size, struct error *error)
{
    const struct update_book *book = execution_updates(draft->state);
    const struct limits      *limits = draft->env->limits;
    if (in_flight(book) >= limits->updates_in_flight_max)
        return error_concurrent(error, draft->arena,
                                "limit on number of concurrent in-flight updates has been reached (%zu)",
                                limits->updates_in_flight_max);
    if (total(draft->state) >= limits->updates_total_max)
        return error_set(
            error, ST_FAILED_PRECONDITION,
            "The limit on the total number of distinct updates in this workflow has been reached "
            "(%zu). Updates that share an id count once, rejected ones not at all; "
            "Continue-as-New begins anew.",
            limits->updates_total_max);
    if (book->waiting_size + size >= limits->updates_in_flight_size_max)
        return error_concurrent(
            error, draft->arena,
            "limit on total payload size of in-flight updates has been reached (%zu bytes)",
            limits->updates_in_flight_size_max);
    return ST_OK;
}

bool update_admit(struct draft *draft, const struct update_Request *request, struct error *error)
{
    struct bytes id = request->meta->update_id;
    if (!MUTANT(update_applied_twice) &&
        (update_find(draft->state, id) != NULL || update_waiting(draft->state, id) != NULL))
        return true;
    struct bytes encoded = pb_encode_arena(&pb_update_Request, request, draft->arena);
    if (check_limits(draft, encoded.size, error) != ST_OK)
        return false;
    struct state_UpdateWaits *waits = ARENA_NEW(draft->arena, struct state_UpdateWaits);
    *waits = (struct state_UpdateWaits){ .update_id = id, .request = encoded };
    draft_volatile(draft, (struct state_Change){ .kind_case = CHANGE_UPDATE_WAITS, .update_waits = waits });
    if (!draft->state->task.is_pending && !draft->state->awaits_parent)
        task_schedule_speculative(draft, false);
    return true;
}

static bool may_be_updated(const struct execution *live, struct workflow_request *request)
{
    struct arena *arena = request->base.arena;
    struct error *error = &request->base.error;
    if (live->status == enums_WORKFLOW_EXECUTION_STATUS_PAUSED) {
        error_set(error, ST_FAILED_PRECONDITION, "Workflow is paused. Cannot update the workflow.");
        return false;
    }
    if (live->task.is_pending && live->task.attempt >= FAILING_FROM_ATTEMPT) {
        error_not_ready(error, arena, "Unable to update a workflow whose workflow task keeps failing.");
        return false;
    }
    if (live->close_blocked && task_is_started(live)) {
        error_busy(error, arena, "workflow operation can not be applied because workflow is closing");
        return false;
    }
    return true;
}

bool update_existing(const struct execution                                      *live,
                     const struct workflowservice_UpdateWorkflowExecutionRequest *input,
                     struct workflow_request *request, struct env *env, struct decision *decision)
{
    struct bytes id = input->request->meta->update_id;
    if (!may_be_updated(live, request))
        return false;
    if (!MUTANT(update_applied_twice) && update_report(live, id, request, env, decision))
        return true;
    if (decision->needs)
        return false;
    struct draft draft;
    draft_begin(&draft, live, env, request->base.arena);
    if (!update_admit(&draft, input->request, &request->base.error))
        return false;
    request->update.stage = STAGE(ADMITTED);
    decision_finish(&draft, decision);
    return true;
}

void decide_update(const struct execution *live, struct workflow_request *request, struct env *env,
                   struct decision *decision)
{
    const struct workflowservice_UpdateWorkflowExecutionRequest *input = request->input;
    struct arena                                                *arena = request->base.arena;
    if (!chain_matches(live, input->first_execution_run_id)) {
        error_not_found(&request->base.error, arena, "workflow execution not found");
        return;
    }
    if (execution_is_open(live))
        update_existing(live, input, request, env, decision);
    else if (!update_report(live, input->request->meta->update_id, request, env, decision) &&
             !decision->needs)
        error_not_found(&request->base.error, arena, "workflow execution already completed");
}

void decide_update_poll(const struct execution *live, struct workflow_request *request, struct env *env,
                        struct decision *decision)
{
    const struct workflowservice_PollWorkflowExecutionUpdateRequest *input = request->input;
    struct bytes                                                     id = input->update_ref->update_id;
    if (!update_report(live, id, request, env, decision) && !decision->needs)
        error_not_found(&request->base.error, request->base.arena, "update not found");
}
