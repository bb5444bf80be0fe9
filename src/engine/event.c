/* event.c: the table of event types. */
#include "engine/event.h"

#define BUFFERED EVENT_BUFFERED
#define END      (EVENT_BUFFERED | EVENT_END | EVENT_WAKES)
#define CLOSE    EVENT_CLOSE
#define WAKES    (EVENT_BUFFERED | EVENT_WAKES)
#define ROW(name, field, flags, attributes)                                                                  \
    [enums_EVENT_TYPE_##                                                                                     \
        name] = { enums_EVENT_TYPE_##name, field, flags, &pb_history_##attributes##EventAttributes }

/* Indexed by type. */
static const struct event_type event_types[] = {
    ROW(WORKFLOW_EXECUTION_STARTED, 6, 0, WorkflowExecutionStarted),
    ROW(WORKFLOW_EXECUTION_COMPLETED, 7, CLOSE, WorkflowExecutionCompleted),
    ROW(WORKFLOW_EXECUTION_FAILED, 8, CLOSE, WorkflowExecutionFailed),
    ROW(WORKFLOW_EXECUTION_TIMED_OUT, 9, CLOSE, WorkflowExecutionTimedOut),
    ROW(WORKFLOW_TASK_SCHEDULED, 10, 0, WorkflowTaskScheduled),
    ROW(WORKFLOW_TASK_STARTED, 11, 0, WorkflowTaskStarted),
    ROW(WORKFLOW_TASK_COMPLETED, 12, 0, WorkflowTaskCompleted),
    ROW(WORKFLOW_TASK_TIMED_OUT, 13, 0, WorkflowTaskTimedOut),
    ROW(WORKFLOW_TASK_FAILED, 14, 0, WorkflowTaskFailed),
    ROW(ACTIVITY_TASK_SCHEDULED, 15, 0, ActivityTaskScheduled),
    ROW(ACTIVITY_TASK_STARTED, 16, BUFFERED, ActivityTaskStarted),
    ROW(ACTIVITY_TASK_COMPLETED, 17, END, ActivityTaskCompleted),
    ROW(ACTIVITY_TASK_FAILED, 18, END, ActivityTaskFailed),
    ROW(ACTIVITY_TASK_TIMED_OUT, 19, END, ActivityTaskTimedOut),
    ROW(TIMER_STARTED, 20, 0, TimerStarted),
    ROW(TIMER_FIRED, 21, WAKES, TimerFired),
    ROW(ACTIVITY_TASK_CANCEL_REQUESTED, 22, 0, ActivityTaskCancelRequested),
    ROW(ACTIVITY_TASK_CANCELED, 23, END, ActivityTaskCanceled),
    ROW(TIMER_CANCELED, 24, 0, TimerCanceled),
    ROW(MARKER_RECORDED, 25, 0, MarkerRecorded),
    ROW(WORKFLOW_EXECUTION_SIGNALED, 26, WAKES, WorkflowExecutionSignaled),
    ROW(WORKFLOW_EXECUTION_TERMINATED, 27, CLOSE, WorkflowExecutionTerminated),
    ROW(WORKFLOW_EXECUTION_CANCEL_REQUESTED, 28, WAKES, WorkflowExecutionCancelRequested),
    ROW(WORKFLOW_EXECUTION_CANCELED, 29, CLOSE, WorkflowExecutionCanceled),
    ROW(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, 30, 0,
        RequestCancelExternalWorkflowExecutionInitiated),
    ROW(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, 31, WAKES,
        RequestCancelExternalWorkflowExecutionFailed),
    ROW(EXTERNAL_WORKFLOW_EXECUTION_CANCEL_REQUESTED, 32, WAKES, ExternalWorkflowExecutionCancelRequested),
    ROW(WORKFLOW_EXECUTION_CONTINUED_AS_NEW, 33, CLOSE, WorkflowExecutionContinuedAsNew),
    ROW(START_CHILD_WORKFLOW_EXECUTION_INITIATED, 34, 0, StartChildWorkflowExecutionInitiated),
    ROW(START_CHILD_WORKFLOW_EXECUTION_FAILED, 35, WAKES, StartChildWorkflowExecutionFailed),
    ROW(CHILD_WORKFLOW_EXECUTION_STARTED, 36, WAKES, ChildWorkflowExecutionStarted),
    ROW(CHILD_WORKFLOW_EXECUTION_COMPLETED, 37, END, ChildWorkflowExecutionCompleted),
    ROW(CHILD_WORKFLOW_EXECUTION_FAILED, 38, END, ChildWorkflowExecutionFailed),
    ROW(CHILD_WORKFLOW_EXECUTION_CANCELED, 39, END, ChildWorkflowExecutionCanceled),
    ROW(CHILD_WORKFLOW_EXECUTION_TIMED_OUT, 40, END, ChildWorkflowExecutionTimedOut),
    ROW(CHILD_WORKFLOW_EXECUTION_TERMINATED, 41, END, ChildWorkflowExecutionTerminated),
    ROW(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, 42, 0, SignalExternalWorkflowExecutionInitiated),
    ROW(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, 43, WAKES, SignalExternalWorkflowExecutionFailed),
    ROW(EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, 44, WAKES, ExternalWorkflowExecutionSignaled),
    ROW(UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, 45, 0, UpsertWorkflowSearchAttributes),
    ROW(WORKFLOW_EXECUTION_UPDATE_ACCEPTED, 46, 0, WorkflowExecutionUpdateAccepted),
    ROW(WORKFLOW_EXECUTION_UPDATE_REJECTED, 47, 0, WorkflowExecutionUpdateRejected),
    ROW(WORKFLOW_EXECUTION_UPDATE_COMPLETED, 48, 0, WorkflowExecutionUpdateCompleted),
    ROW(WORKFLOW_PROPERTIES_MODIFIED_EXTERNALLY, 49, 0, WorkflowPropertiesModifiedExternally),
    ROW(ACTIVITY_PROPERTIES_MODIFIED_EXTERNALLY, 50, 0, ActivityPropertiesModifiedExternally),
    ROW(WORKFLOW_PROPERTIES_MODIFIED, 51, 0, WorkflowPropertiesModified),
    ROW(WORKFLOW_EXECUTION_UPDATE_ADMITTED, 52, BUFFERED | WAKES, WorkflowExecutionUpdateAdmitted),
    ROW(NEXUS_OPERATION_SCHEDULED, 53, 0, NexusOperationScheduled),
    ROW(NEXUS_OPERATION_STARTED, 54, WAKES, NexusOperationStarted),
    ROW(NEXUS_OPERATION_COMPLETED, 55, END, NexusOperationCompleted),
    ROW(NEXUS_OPERATION_FAILED, 56, END, NexusOperationFailed),
    ROW(NEXUS_OPERATION_CANCELED, 57, END, NexusOperationCanceled),
    ROW(NEXUS_OPERATION_TIMED_OUT, 58, END, NexusOperationTimedOut),
    ROW(NEXUS_OPERATION_CANCEL_REQUESTED, 59, 0, NexusOperationCancelRequested),
    ROW(WORKFLOW_EXECUTION_OPTIONS_UPDATED, 60, BUFFERED | EVENT_IGNORABLE, WorkflowExecutionOptionsUpdated),
    ROW(NEXUS_OPERATION_CANCEL_REQUEST_COMPLETED, 61, WAKES, NexusOperationCancelRequestCompleted),
    ROW(NEXUS_OPERATION_CANCEL_REQUEST_FAILED, 62, WAKES, NexusOperationCancelRequestFailed),
    ROW(WORKFLOW_EXECUTION_PAUSED, 63, BUFFERED | EVENT_IGNORABLE, WorkflowExecutionPaused),
    ROW(WORKFLOW_EXECUTION_UNPAUSED, 64, BUFFERED | EVENT_IGNORABLE, WorkflowExecutionUnpaused),
    ROW(WORKFLOW_EXECUTION_TIME_SKIPPING_TRANSITIONED, 65, 0, WorkflowExecutionTimeSkippingTransitioned),
};

const struct event_type *event_type_find(int32_t type)
{
    if (type <= 0 || (size_t)type >= ARRAY_COUNT(event_types) || event_types[type].type == 0)
        return NULL;
    return &event_types[type];
}

/* All members of the oneof are pointers to messages, so any of them reads the pointer. */
const void *event_attributes(const struct history_HistoryEvent *event)
{
    const struct event_type *type = event_type_find(event->event_type);
    if (type == NULL || event->attributes_case != type->field)
        return NULL;
    return event->workflow_execution_started_event_attributes;
}

struct history_HistoryEvent event_make(int32_t type, const void *attributes)
{
    const struct event_type *found = event_type_find(type);
    assert(found != NULL);
    struct history_HistoryEvent event = { .event_type = type, .attributes_case = found->field };
    event.workflow_execution_started_event_attributes = (void *)(uintptr_t)attributes;
    event.worker_may_ignore = (found->flags & EVENT_IGNORABLE) != 0;
    return event;
}

struct bytes event_encode(const struct history_HistoryEvent *event, struct arena *arena)
{
    return pb_encode_arena(&pb_history_HistoryEvent, event, arena);
}

enum status event_decode(struct bytes encoded, struct arena *arena, struct history_HistoryEvent **ret_event,
                         struct error *error)
{
    struct history_HistoryEvent *event = ARENA_NEW(arena, struct history_HistoryEvent);
    struct error                 why = { 0 };
    enum status                  status = pb_decode(&pb_history_HistoryEvent, encoded, arena, event, &why);
    if (status != ST_OK)
        return error_set(error, ST_DATA_LOSS, "a stored event cannot be decoded: %s", why.message);
    if (event_attributes(event) == NULL)
        return error_set(error, ST_DATA_LOSS, "a stored event of type %d has no attributes",
                         event->event_type);
    *ret_event = event;
    return ST_OK;
}

static bool take_varint(struct bytes *rest, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned at = 0; at < rest->size && at < 10; at++) {
        value |= (uint64_t)(rest->base[at] & 0x7F) << (7 * at);
        if ((rest->base[at] & 0x80) == 0) {
            *rest = bytes_of(rest->base + at + 1, rest->size - at - 1);
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* The type is the third field, behind the id and the time. */
int32_t event_peek_type(struct bytes encoded)
{
    struct bytes rest = encoded;
    uint64_t     tag, value;
    while (take_varint(&rest, &tag) && take_varint(&rest, &value)) {
        if (tag == (3 << 3))
            return (int32_t)value;
        if ((tag & 7) == 0)
            continue;
        if ((tag & 7) != 2 || value > rest.size)
            break;
        rest = bytes_of(rest.base + value, rest.size - value);
    }
    return 0;
}

/* --- times --- */

struct google_Timestamp *timestamp_or_null(struct arena *arena, int64_t ns)
{
    return ns == 0 ? NULL : timestamp_of_ns(arena, ns);
}

int64_t event_time(const struct history_HistoryEvent *event)
{
    return timestamp_ns(event->event_time);
}

struct bytes uuid_text(struct arena *arena, const struct uuid *uuid)
{
    char *text = ARENA_NEW_ARRAY(arena, char, UUID_TEXT_SIZE);
    uuid_print(uuid, text);
    return bytes_of(text, UUID_TEXT_SIZE);
}
