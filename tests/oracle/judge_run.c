/* judge_run.c: the run itself: start, signals, cancel requests, pauses, updates, what the program records, and the end. */
#include "base/hash.h"
#include "internal.h"

struct request {
    struct list  link;
    struct bytes id;
};

static const struct history_WorkflowExecutionStartedEventAttributes *start_of(const struct judge *judge)
{
    return judge->first == NULL ? NULL : judge->first->workflow_execution_started_event_attributes;
}

/* --- memo and search attributes --- */

/* A null or an empty list takes the key away. */
static bool removes(const struct common_Payload *payload)
{
    for (size_t i = 0; i < payload->metadata_count; i++) {
        if (bytes_equal_text(payload->metadata[i].key, "encoding") &&
            bytes_equal_text(payload->metadata[i].value, "binary/null"))
            return true;
    }
    return bytes_equal_text(payload->data, "[]") || bytes_equal_text(payload->data, "null");
}

static void merge(struct judge *judge, struct list *fields, struct bytes key, struct bytes wire)
{
    struct common_Payload payload;
    struct error          error;
    struct field         *found = NULL;
    if (pb_decode(&pb_common_Payload, wire, &judge->arena, &payload, &error) != ST_OK)
        return;
    LIST_FOR_EACH (field, fields, struct field, link) {
        if (bytes_equal(field->key, key))
            found = field;
    }
    if (removes(&payload)) {
        if (found != NULL)
            list_remove(&found->link);
        return;
    }
    if (found == NULL) {
        found = ARENA_NEW(&judge->arena, struct field);
        found->key = key;
        list_append(fields, &found->link);
    }
    found->data = payload.data;
}

static void merge_memo(struct judge *judge, struct bytes wire)
{
    struct common_Memo memo;
    struct error       error;
    if (wire.size == 0 || pb_decode(&pb_common_Memo, wire, &judge->arena, &memo, &error) != ST_OK)
        return;
    for (size_t i = 0; i < memo.fields_count; i++)
        merge(judge, &judge->memo, memo.fields[i].key, memo.fields[i].value);
}

static void merge_attributes(struct judge *judge, struct bytes wire)
{
    struct common_SearchAttributes attributes;
    struct error                   error;
    if (wire.size == 0 ||
        pb_decode(&pb_common_SearchAttributes, wire, &judge->arena, &attributes, &error) != ST_OK)
        return;
    for (size_t i = 0; i < attributes.indexed_fields_count; i++)
        merge(judge, &judge->attributes, attributes.indexed_fields[i].key,
              attributes.indexed_fields[i].value);
}

/* --- start --- */

void judge_run_started(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionStartedEventAttributes *attributes =
        event->workflow_execution_started_event_attributes;
    if (judge->first != NULL)
        return; /* reported already */
    judge->first = event;
    judge->status = enums_WORKFLOW_EXECUTION_STATUS_RUNNING;
    judge->task.needed = true; /* its code begins */
    merge_memo(judge, attributes->memo);
    merge_attributes(judge, attributes->search_attributes);
    bool continued = attributes->continued_execution_run_id.size != 0;
    if (attributes->workflow_type == NULL || attributes->task_queue == NULL ||
        attributes->workflow_id.size == 0 || attributes->first_workflow_task_backoff == NULL ||
        duration_ns(attributes->workflow_task_timeout) <= 0)
        judge_fail(judge, ORACLE_START, event,
                   "its id, type, task queue, task timeout or back-off is not filled");
    if (attributes->attempt < 1 ||
        (attributes->attempt > 1 && attributes->initiator != enums_CONTINUE_AS_NEW_INITIATOR_RETRY))
        judge_fail(judge, ORACLE_START, event, "attempt %d with initiator %d", attributes->attempt,
                   attributes->initiator);
    if (attributes->first_execution_run_id.size == 0 || attributes->original_execution_run_id.size == 0)
        judge_fail(judge, ORACLE_START, event, "it does not name the first run of its chain, or itself");
    if (continued && bytes_equal(attributes->continued_execution_run_id, judge->run->id))
        judge_fail(judge, ORACLE_START, event, "it continues itself");
    /* A reset keeps its base's start: then the original is another run. */
    if (!continued && !bytes_equal(attributes->first_execution_run_id, attributes->original_execution_run_id))
        judge_fail(judge, ORACLE_START, event, "a chain that begins here, and has another first run");
    if (attributes->parent_workflow_execution == NULL &&
        (attributes->root_workflow_execution != NULL || attributes->parent_initiated_event_id != 0))
        judge_fail(judge, ORACLE_START, event, "a root or initiated event without a parent");
}

/* --- what comes from outside --- */

static bool is_repeated(struct judge *judge, struct bytes id)
{
    if (id.size == 0)
        return false;
    LIST_FOR_EACH (other, &judge->signals, struct request, link) {
        if (bytes_equal(other->id, id))
            return true;
    }
    struct request *request = ARENA_NEW(&judge->arena, struct request);
    request->id = id;
    list_append(&judge->signals, &request->link);
    return false;
}

void judge_run_signaled(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionSignaledEventAttributes *attributes =
        event->workflow_execution_signaled_event_attributes;
    judge->signal_count++;
    if (attributes->signal_name.size == 0)
        judge_fail(judge, ORACLE_MALFORMED, event, "it has no name");
    if (is_repeated(judge, attributes->request_id))
        judge_fail(judge, ORACLE_SIGNAL, event, "request '%.*s' has been here",
                   BYTES_FMT(attributes->request_id));
}

void judge_run_cancel_requested(struct judge *judge, const struct history_HistoryEvent *event)
{
    if (judge->cancel_requested != 0)
        judge_fail(judge, ORACLE_CANCEL, event, "event %" PRId64 " asked already", judge->cancel_requested);
    judge->cancel_requested = event->event_id;
}

void judge_run_paused(struct judge *judge, const struct history_HistoryEvent *event)
{
    if (judge->paused)
        judge_fail(judge, ORACLE_PAUSE, event, "it is paused already");
    judge->paused = true;
}

void judge_run_unpaused(struct judge *judge, const struct history_HistoryEvent *event)
{
    if (!judge->paused)
        judge_fail(judge, ORACLE_PAUSE, event, "it is not paused");
    judge->paused = false;
}

void judge_options_updated(struct judge *judge, const struct history_HistoryEvent *event)
{
    if (is_repeated(judge, event->workflow_execution_options_updated_event_attributes->attached_request_id))
        judge_fail(judge, ORACLE_SIGNAL, event, "its request has been here");
}

/* --- updates --- */

void judge_update_admitted(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct update_Request *request =
        event->workflow_execution_update_admitted_event_attributes->request;
    if (request == NULL || request->meta == NULL || request->meta->update_id.size == 0)
        judge_fail(judge, ORACLE_UPDATE, event, "it carries no request");
    if (judge->reset == NULL)
        judge_fail(judge, ORACLE_UPDATE, event, "only a reset admits updates again");
}

void judge_update_accepted(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionUpdateAcceptedEventAttributes *attributes =
        event->workflow_execution_update_accepted_event_attributes;
    for (int64_t id = 1; id < judge->thing_capacity; id++) {
        const struct thing *other = judge->things[id];
        if (other != NULL && other->kind == THING_UPDATE &&
            bytes_equal(other->name, attributes->protocol_instance_id))
            judge_fail(judge, ORACLE_UPDATE, event, "'%.*s' was accepted by event %" PRId64,
                       BYTES_FMT(other->name), id);
    }
    if (attributes->protocol_instance_id.size == 0)
        judge_fail(judge, ORACLE_UPDATE, event, "it names no update");
    if (attributes->accepted_request_sequencing_event_id > judge->task.completed_started)
        judge_fail(judge, ORACLE_UPDATE, event, "it was sent with event %" PRId64 ", after its task",
                   attributes->accepted_request_sequencing_event_id);
    judge_begin(judge, THING_UPDATE, event, attributes->protocol_instance_id);
}

void judge_update_completed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionUpdateCompletedEventAttributes *attributes =
        event->workflow_execution_update_completed_event_attributes;
    struct thing *update = judge_open(judge, THING_UPDATE, ORACLE_UPDATE, event,
                                      attributes->accepted_event_id);
    if (update == NULL)
        return;
    if (attributes->meta == NULL || !bytes_equal(attributes->meta->update_id, update->name))
        judge_fail(judge, ORACLE_UPDATE, event, "it names another update than '%.*s'",
                   BYTES_FMT(update->name));
    if (attributes->outcome == NULL)
        judge_fail(judge, ORACLE_UPDATE, event, "it has no outcome");
    judge_end(judge, update, event);
}

/* --- what the program records --- */

void judge_marker(struct judge *judge, const struct history_HistoryEvent *event)
{
    judge_command(judge, event, event->marker_recorded_event_attributes->workflow_task_completed_event_id);
}

void judge_upsert(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_UpsertWorkflowSearchAttributesEventAttributes *attributes =
        event->upsert_workflow_search_attributes_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    merge_attributes(judge, attributes->search_attributes);
}

void judge_properties(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowPropertiesModifiedEventAttributes *attributes =
        event->workflow_properties_modified_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    merge_memo(judge, attributes->upserted_memo);
}

/* --- the end --- */

static void close_run(struct judge *judge, int32_t status)
{
    judge->status = status;
}

/* A next run has a reason: its schedule, or a retry that is in progress. */
static void check_next(struct judge *judge, const struct history_HistoryEvent *event, struct bytes next,
                       int32_t retry_state)
{
    const struct history_WorkflowExecutionStartedEventAttributes *start = start_of(judge);
    if (start == NULL)
        return;
    bool retries = retry_state == enums_RETRY_STATE_IN_PROGRESS;
    if (retries && (next.size == 0 || start->retry_policy == NULL))
        judge_fail(judge, ORACLE_CLOSE, event, "it is retried, without a %s",
                   next.size == 0 ? "next run" : "policy");
    if (!retries && next.size != 0 && start->cron_schedule.size == 0)
        judge_fail(judge, ORACLE_CLOSE, event, "run '%.*s' follows for no reason", BYTES_FMT(next));
    if (bytes_equal(next, judge->run->id))
        judge_fail(judge, ORACLE_CLOSE, event, "it follows itself");
}

void judge_run_completed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionCompletedEventAttributes *attributes =
        event->workflow_execution_completed_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    check_next(judge, event, attributes->new_execution_run_id, enums_RETRY_STATE_UNSPECIFIED);
    close_run(judge, enums_WORKFLOW_EXECUTION_STATUS_COMPLETED);
}

static void check_retry_state(struct judge *judge, const struct history_HistoryEvent *event, int32_t state,
                              bool retryable)
{
    const struct history_WorkflowExecutionStartedEventAttributes *start = start_of(judge);
    if (start == NULL)
        return;
    const struct common_RetryPolicy *policy = start->retry_policy;
    bool                             exhausted = policy != NULL && policy->maximum_attempts > 0 &&
                     start->attempt >= policy->maximum_attempts;
    const char *why = NULL;
    switch (state) {
    case enums_RETRY_STATE_IN_PROGRESS:
        why = exhausted ? "attempts were used up" : !retryable ? "the failure may not be retried" : NULL;
        break;
    case enums_RETRY_STATE_RETRY_POLICY_NOT_SET:
        why = policy != NULL ? "there is a policy" : NULL;
        break;
    case enums_RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED:
        why = !exhausted ? "attempts were left" : NULL;
        break;
    case enums_RETRY_STATE_NON_RETRYABLE_FAILURE:
        why = retryable ? "the failure may be retried" : NULL;
        break;
    case enums_RETRY_STATE_TIMEOUT:
        why = duration_ns(start->workflow_execution_timeout) <= 0 ? "there is no execution timeout" : NULL;
        break;
    default:
        why = "it says nothing";
    }
    if (why != NULL)
        judge_fail(judge, ORACLE_CLOSE, event, "retry state %d at attempt %d: %s", state, start->attempt,
                   why);
}

void judge_run_failed(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionFailedEventAttributes *attributes =
        event->workflow_execution_failed_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    check_next(judge, event, attributes->new_execution_run_id, attributes->retry_state);
    if (start_of(judge) != NULL)
        check_retry_state(judge, event, attributes->retry_state,
                          failure_is_retryable(&judge->arena, attributes->failure,
                                               start_of(judge)->retry_policy));
    close_run(judge, enums_WORKFLOW_EXECUTION_STATUS_FAILED);
}

void judge_run_timed_out(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionTimedOutEventAttributes *attributes =
        event->workflow_execution_timed_out_event_attributes;
    const struct history_WorkflowExecutionStartedEventAttributes *start = start_of(judge);
    check_next(judge, event, attributes->new_execution_run_id, attributes->retry_state);
    close_run(judge, enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT);
    if (start == NULL)
        return;
    /* A reset run's times count from the reset. */
    int64_t began = event_time(judge->reset != NULL ? judge->reset : judge->first);
    int64_t backoff = judge->reset != NULL ? 0 : duration_ns(start->first_workflow_task_backoff);
    int64_t run = duration_ns(start->workflow_run_timeout);
    int64_t execution = duration_ns(start->workflow_execution_timeout);
    int64_t expires = judge->reset != NULL ? began + execution
                                           : timestamp_ns(start->workflow_execution_expiration_time);
    bool    run_is_due = run > 0 && event_time(event) >= began + backoff + run;
    bool    execution_is_due = execution > 0 && event_time(event) >= expires;
    if (!run_is_due && !execution_is_due)
        judge_fail(judge, ORACLE_TIMEOUT_EARLY, event,
                   "%" PRId64 " ns after its start; run timeout %" PRId64 ", execution timeout %" PRId64,
                   event_time(event) - began, run, execution);
    if (attributes->retry_state != enums_RETRY_STATE_TIMEOUT)
        check_retry_state(judge, event, attributes->retry_state, true);
}

void judge_run_canceled(struct judge *judge, const struct history_HistoryEvent *event)
{
    judge_command(judge, event,
                  event->workflow_execution_canceled_event_attributes->workflow_task_completed_event_id);
    close_run(judge, enums_WORKFLOW_EXECUTION_STATUS_CANCELED);
}

void judge_run_terminated(struct judge *judge, const struct history_HistoryEvent *event)
{
    if (event->workflow_execution_terminated_event_attributes->identity.size == 0)
        judge_fail(judge, ORACLE_CLOSE, event, "nobody terminated it");
    close_run(judge, enums_WORKFLOW_EXECUTION_STATUS_TERMINATED);
}

void judge_run_continued(struct judge *judge, const struct history_HistoryEvent *event)
{
    const struct history_WorkflowExecutionContinuedAsNewEventAttributes *attributes =
        event->workflow_execution_continued_as_new_event_attributes;
    judge_command(judge, event, attributes->workflow_task_completed_event_id);
    if (attributes->new_execution_run_id.size == 0 ||
        bytes_equal(attributes->new_execution_run_id, judge->run->id))
        judge_fail(judge, ORACLE_CLOSE, event, "it names no next run");
    close_run(judge, enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW);
}
