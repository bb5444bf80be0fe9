/* bad_command_test.c: commands that a worker must not send. Each fails the workflow task with its cause and its words, and
 * nothing of what came with it happens; what is too large ends the run. */
#include "engine/engine_harness.h"

typedef struct workflowservice_RespondWorkflowTaskCompletedRequest completion_t;
typedef void breaker(struct world *w, completion_t *input);

static struct bytes filled(struct world *w, size_t size)
{
    char *text = ARENA_NEW_ARRAY(&w->arena, char, size);
    memset(text, 'x', size);
    return bytes_of(text, size);
}
static struct bytes too_long(struct world *w)
{
    return filled(w, w->limits.id_size_max + 1);
}
static struct bytes too_large(struct world *w)
{
    return filled(w, MAX(w->limits.payload_size_max, w->limits.memo_size_max) + 1);
}
static struct command_Command *last(completion_t *input)
{
    return &input->commands[input->commands_count - 1];
}
static struct taskqueue_TaskQueue *queue_named(struct world *w, struct bytes name)
{
    struct taskqueue_TaskQueue *queue = ARENA_NEW(&w->arena, struct taskqueue_TaskQueue);
    queue->name = name;
    return queue;
}
static struct bytes attribute(struct world *w, const char *name)
{
    struct common_Payload                             value = { .data = BYTES("1") };
    struct common_SearchAttributes_IndexedFieldsEntry entry = { .key = bytes_of_text(name) };
    struct common_SearchAttributes all = { .indexed_fields = &entry, .indexed_fields_count = 1 };
    entry.value = pb_encode_arena(&pb_common_Payload, &value, &w->arena);
    return pb_encode_arena(&pb_common_SearchAttributes, &all, &w->arena);
}
static void upsert(struct world *w, completion_t *input, struct bytes attributes)
{
    struct command_Command *command = command_add(input,
                                                  enums_COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES);
    command->attributes_case = 14;
    command->upsert_workflow_search_attributes_command_attributes =
        ARENA_NEW(&w->arena, struct command_UpsertWorkflowSearchAttributesCommandAttributes);
    command->upsert_workflow_search_attributes_command_attributes->search_attributes = attributes;
}
static void modify_memo(struct world *w, completion_t *input, struct bytes memo)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES);
    command->attributes_case = 17;
    command->modify_workflow_properties_command_attributes =
        ARENA_NEW(&w->arena, struct command_ModifyWorkflowPropertiesCommandAttributes);
    command->modify_workflow_properties_command_attributes->upserted_memo = memo;
}

/* A run whose first task a worker has, with a good command in its completion. */
static completion_t *begin(struct world **ret_world)
{
    struct world *w = world_new(1);
    world_start(w);
    completion_t *input = world_completion(w, world_poll(w));
    command_timer(w, input, "ok", NS_PER_S);
    *ret_world = w;
    return input;
}

static void activity_without_id(struct world *w, completion_t *input)
{
    command_activity(w, input, "");
}
static void activity_with_long_id(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->activity_id = too_long(w);
}
static void activity_without_type(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->activity_type = NULL;
}
static void activity_with_empty_type(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->activity_type->name = BYTES_EMPTY;
}
static void activity_with_long_type(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->activity_type->name = too_long(w);
}
static void activity_without_queue(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->task_queue = NULL;
}
static void activity_with_empty_queue(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->task_queue->name = BYTES_EMPTY;
}
static void activity_with_long_queue(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->task_queue->name = too_long(w);
}
static void activity_on_a_reserved_queue(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->task_queue->name = BYTES("/_sys/q");
}
static void activity_without_timeout(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->start_to_close_timeout = NULL;
}
static void activity_with_negative_heartbeat(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->heartbeat_timeout = duration_of_ns(&w->arena, -1);
}
static void activity_with_bad_policy(struct world *w, completion_t *input)
{
    struct common_RetryPolicy *policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
    policy->maximum_attempts = -1;
    command_activity(w, input, "a")->retry_policy = policy;
}
static void two_activities_of_one_id(struct world *w, completion_t *input)
{
    command_activity(w, input, "a");
    command_activity(w, input, "a");
}
static void cancel_of_no_activity(struct world *w, completion_t *input)
{
    command_cancel_activity(w, input, 3);
}
static void timer_without_id(struct world *w, completion_t *input)
{
    command_timer(w, input, "", 1);
}
static void timer_with_long_id(struct world *w, completion_t *input)
{
    command_timer(w, input, "x", 1);
    last(input)->start_timer_command_attributes->timer_id = too_long(w);
}
static void negative_timer(struct world *w, completion_t *input)
{
    command_timer(w, input, "negative", -1);
}
static void two_timers_of_one_id(struct world *w, completion_t *input)
{
    command_timer(w, input, "ok", 1);
}
static void cancel_of_an_unknown_timer(struct world *w, completion_t *input)
{
    command_cancel_timer(w, input, "unknown");
}
static void cancel_of_a_timer_without_id(struct world *w, completion_t *input)
{
    command_cancel_timer(w, input, "");
}
static void failing_without_failure(struct world *w, completion_t *input)
{
    command_fail(w, input, BYTES_EMPTY);
}
static void marker_without_name(struct world *w, completion_t *input)
{
    command_marker(w, input);
    last(input)->record_marker_command_attributes->marker_name = BYTES_EMPTY;
}
static void marker_with_long_name(struct world *w, completion_t *input)
{
    command_marker(w, input);
    last(input)->record_marker_command_attributes->marker_name = too_long(w);
}
static void command_without_attributes(struct world *w UNUSED, completion_t *input)
{
    command_add(input, enums_COMMAND_TYPE_RECORD_MARKER);
}
static void nexus_operation(struct world *w UNUSED, completion_t *input)
{
    command_add(input, enums_COMMAND_TYPE_SCHEDULE_NEXUS_OPERATION)->attributes_case = 18;
}
static void upsert_of_nothing(struct world *w, completion_t *input)
{
    upsert(w, input, BYTES_EMPTY);
}
static void upsert_of_unknown(struct world *w, completion_t *input)
{
    upsert(w, input, attribute(w, "Nobody"));
}
static void memo_of_nothing(struct world *w, completion_t *input)
{
    modify_memo(w, input, BYTES_EMPTY);
}
static void child_without_id(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_id = BYTES_EMPTY;
}
static void child_with_long_id(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_id = too_long(w);
}
static void child_without_type(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_type = NULL;
}
static void child_with_empty_type(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_type->name = BYTES_EMPTY;
}
static void child_with_long_type(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_type->name = too_long(w);
}
static void child_with_long_queue(struct world *w, completion_t *input)
{
    command_child(w, input)->task_queue = queue_named(w, too_long(w));
}
static void child_on_a_reserved_queue(struct world *w, completion_t *input)
{
    command_child(w, input)->task_queue = queue_named(w, BYTES("/_sys/q"));
}
static void child_of_another_namespace(struct world *w, completion_t *input)
{
    command_child(w, input)->namespace = BYTES("other");
}
static void child_with_negative_workflow_execution_timeout(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_execution_timeout = duration_of_ns(&w->arena, -1);
}
static void child_with_negative_workflow_run_timeout(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_run_timeout = duration_of_ns(&w->arena, -1);
}
static void child_with_negative_workflow_task_timeout(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_task_timeout = duration_of_ns(&w->arena, -1);
}
static void child_with_negative_close_policy(struct world *w, completion_t *input)
{
    command_child(w, input)->parent_close_policy = -1;
}
static void child_with_unknown_close_policy(struct world *w, completion_t *input)
{
    command_child(w, input)->parent_close_policy = 4;
}
static void child_with_negative_reuse_policy(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_id_reuse_policy = -1;
}
static void child_with_unknown_reuse_policy(struct world *w, completion_t *input)
{
    command_child(w, input)->workflow_id_reuse_policy = 5;
}
static void child_with_bad_retry_policy(struct world *w, completion_t *input)
{
    struct common_RetryPolicy *policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
    policy->maximum_attempts = -1;
    command_child(w, input)->retry_policy = policy;
}
static void child_with_bad_cron(struct world *w, completion_t *input)
{
    command_child(w, input)->cron_schedule = BYTES("often");
}
static void child_with_damaged_priority(struct world *w, completion_t *input)
{
    command_child(w, input)->priority = BYTES("\x0a\x7f");
}
static void child_with_unknown_attribute(struct world *w, completion_t *input)
{
    command_child(w, input)->search_attributes = attribute(w, "Nobody");
}
static void signal_without_execution(struct world *w, completion_t *input)
{
    command_signal(w, input, "other")->execution = NULL;
}
static void signal_without_id(struct world *w, completion_t *input)
{
    command_signal(w, input, "");
}
static void signal_to_a_long_id(struct world *w, completion_t *input)
{
    command_signal(w, input, "other")->execution->workflow_id = too_long(w);
}
static void signal_to_no_run_id(struct world *w, completion_t *input)
{
    command_signal(w, input, "other")->execution->run_id = BYTES("one");
}
static void signal_to_another_namespace(struct world *w, completion_t *input)
{
    command_signal(w, input, "other")->namespace = BYTES("other");
}
static void signal_without_name(struct world *w, completion_t *input)
{
    command_signal(w, input, "other")->signal_name = BYTES_EMPTY;
}
static void signal_with_long_name(struct world *w, completion_t *input)
{
    command_signal(w, input, "other")->signal_name = too_long(w);
}
static void cancel_without_id(struct world *w, completion_t *input)
{
    command_cancel(w, input, "");
}
static void cancel_to_no_run_id(struct world *w, completion_t *input)
{
    command_cancel(w, input, "other")->run_id = BYTES("one");
}
static void cancel_of_a_child_just_started(struct world *w, completion_t *input)
{
    command_child(w, input);
    command_cancel(w, input, "child");
}
static void continuing_as_a_long_type(struct world *w, completion_t *input)
{
    struct common_WorkflowType *type = ARENA_NEW(&w->arena, struct common_WorkflowType);
    type->name = too_long(w);
    command_continue(w, input)->workflow_type = type;
}
static void continuing_on_a_long_queue(struct world *w, completion_t *input)
{
    command_continue(w, input)->task_queue = queue_named(w, too_long(w));
}
static void continuing_on_a_reserved_queue(struct world *w, completion_t *input)
{
    command_continue(w, input)->task_queue = queue_named(w, BYTES("/_sys/q"));
}
static void continuing_with_negative_workflow_run_timeout(struct world *w, completion_t *input)
{
    command_continue(w, input)->workflow_run_timeout = duration_of_ns(&w->arena, -1);
}
static void continuing_with_negative_workflow_task_timeout(struct world *w, completion_t *input)
{
    command_continue(w, input)->workflow_task_timeout = duration_of_ns(&w->arena, -1);
}
static void continuing_with_negative_backoff_start_interval(struct world *w, completion_t *input)
{
    command_continue(w, input)->backoff_start_interval = duration_of_ns(&w->arena, -1);
}
static void continuing_with_bad_retry_policy(struct world *w, completion_t *input)
{
    struct common_RetryPolicy *policy = ARENA_NEW(&w->arena, struct common_RetryPolicy);
    policy->maximum_attempts = -1;
    command_continue(w, input)->retry_policy = policy;
}
static void continuing_with_bad_cron(struct world *w, completion_t *input)
{
    command_continue(w, input)->cron_schedule = BYTES("often");
}
static void continuing_with_unknown_attribute(struct world *w, completion_t *input)
{
    command_continue(w, input)->search_attributes = attribute(w, "Nobody");
}
static void place_of_no_message(struct world *w, completion_t *input)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_PROTOCOL_MESSAGE);
    command->attributes_case = 15;
    command->protocol_message_command_attributes = ARENA_NEW(&w->arena,
                                                             struct command_ProtocolMessageCommandAttributes);
    command->protocol_message_command_attributes->message_id = BYTES("none");
}

TEST(a_bad_command_fails_the_task_and_nothing_of_it_happens)
{
    static const struct {
        breaker    *breaks;
        const char *cause, *words;
    } rows[] = {
        { activity_without_id, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "ActivityId is not set" },
        { activity_with_long_id, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "ActivityId is not set or longer" },
        { activity_without_type, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "ActivityType is not set" },
        { activity_with_empty_type, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "ActivityType is not set" },
        { activity_with_long_type, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "ActivityType is not set or longer" },
        { activity_without_queue, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "TaskQueue is not set" },
        { activity_with_empty_queue, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "TaskQueue is not set" },
        { activity_with_long_queue, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "TaskQueue is not set or longer" },
        { activity_on_a_reserved_queue, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "reserved prefix" },
        { activity_without_timeout, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "" },
        { activity_with_negative_heartbeat, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "" },
        { activity_with_bad_policy, "BAD_SCHEDULE_ACTIVITY_ATTRIBUTES", "MaximumAttempts" },
        { two_activities_of_one_id, "SCHEDULE_ACTIVITY_DUPLICATE_ID", "" },
        { cancel_of_no_activity, "BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES", "ACTIVITY_UNKNOWN" },
        { timer_without_id, "BAD_START_TIMER_ATTRIBUTES", "TimerId is not set" },
        { timer_with_long_id, "BAD_START_TIMER_ATTRIBUTES", "TimerId is not set or longer" },
        { negative_timer, "BAD_START_TIMER_ATTRIBUTES", "StartToFireTimeout is negative" },
        { two_timers_of_one_id, "START_TIMER_DUPLICATE_ID", "" },
        { cancel_of_an_unknown_timer, "BAD_CANCEL_TIMER_ATTRIBUTES", "TIMER_UNKNOWN" },
        { cancel_of_a_timer_without_id, "BAD_CANCEL_TIMER_ATTRIBUTES", "TimerId is not set" },
        { failing_without_failure, "BAD_FAIL_WORKFLOW_EXECUTION_ATTRIBUTES", "Failure is not set" },
        { marker_without_name, "BAD_RECORD_MARKER_ATTRIBUTES", "MarkerName is not set" },
        { marker_with_long_name, "BAD_RECORD_MARKER_ATTRIBUTES", "MarkerName is not set or longer" },
        { command_without_attributes, "BAD_RECORD_MARKER_ATTRIBUTES", "no attributes of its type" },
        { nexus_operation, "BAD_SCHEDULE_NEXUS_OPERATION_ATTRIBUTES", "not supported yet" },
        { upsert_of_nothing, "BAD_SEARCH_ATTRIBUTES", "SearchAttributes is not set" },
        { upsert_of_unknown, "BAD_SEARCH_ATTRIBUTES", "Nobody is not defined" },
        { memo_of_nothing, "BAD_MODIFY_WORKFLOW_PROPERTIES_ATTRIBUTES", "UpsertedMemo is not set" },
        { child_without_id, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "WorkflowId is not set" },
        { child_with_long_id, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "WorkflowId is not set or longer" },
        { child_without_type, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "WorkflowType is not set" },
        { child_with_empty_type, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "WorkflowType is not set" },
        { child_with_long_type, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "WorkflowType is not set or longer" },
        { child_with_long_queue, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "TaskQueue is longer" },
        { child_on_a_reserved_queue, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "reserved prefix" },
        { child_of_another_namespace, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "namespace" },
        { child_with_negative_workflow_execution_timeout, "BAD_START_CHILD_EXECUTION_ATTRIBUTES",
          "A timeout is negative" },
        { child_with_negative_workflow_run_timeout, "BAD_START_CHILD_EXECUTION_ATTRIBUTES",
          "A timeout is negative" },
        { child_with_negative_workflow_task_timeout, "BAD_START_CHILD_EXECUTION_ATTRIBUTES",
          "A timeout is negative" },
        { child_with_negative_close_policy, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "ParentClosePolicy" },
        { child_with_unknown_close_policy, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "ParentClosePolicy" },
        { child_with_negative_reuse_policy, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "WorkflowIdReusePolicy" },
        { child_with_unknown_reuse_policy, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "WorkflowIdReusePolicy" },
        { child_with_bad_retry_policy, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "MaximumAttempts" },
        { child_with_bad_cron, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "CronSchedule" },
        { child_with_damaged_priority, "BAD_START_CHILD_EXECUTION_ATTRIBUTES", "priority" },
        { child_with_unknown_attribute, "BAD_SEARCH_ATTRIBUTES", "Nobody" },
        { signal_without_execution, "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES", "Execution is not set" },
        { signal_without_id, "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES", "WorkflowId is not set" },
        { signal_to_a_long_id, "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES", "is longer than" },
        { signal_to_no_run_id, "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES", "Invalid RunId" },
        { signal_to_another_namespace, "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES", "cross namespace" },
        { signal_without_name, "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES", "SignalName is not set" },
        { signal_with_long_name, "BAD_SIGNAL_WORKFLOW_EXECUTION_ATTRIBUTES",
          "SignalName is not set or longer" },
        { cancel_without_id, "BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES",
          "WorkflowId is not set" },
        { cancel_to_no_run_id, "BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES", "Invalid RunId" },
        { cancel_of_a_child_just_started, "BAD_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_ATTRIBUTES",
          "not allowed in same workflow task" },
        { continuing_as_a_long_type, "BAD_CONTINUE_AS_NEW_ATTRIBUTES", "WorkflowType or TaskQueue" },
        { continuing_on_a_long_queue, "BAD_CONTINUE_AS_NEW_ATTRIBUTES", "WorkflowType or TaskQueue" },
        { continuing_on_a_reserved_queue, "BAD_CONTINUE_AS_NEW_ATTRIBUTES", "reserved prefix" },
        { continuing_with_negative_workflow_run_timeout, "BAD_CONTINUE_AS_NEW_ATTRIBUTES", "negative" },
        { continuing_with_negative_workflow_task_timeout, "BAD_CONTINUE_AS_NEW_ATTRIBUTES", "negative" },
        { continuing_with_negative_backoff_start_interval, "BAD_CONTINUE_AS_NEW_ATTRIBUTES", "negative" },
        { continuing_with_bad_retry_policy, "BAD_CONTINUE_AS_NEW_ATTRIBUTES", "MaximumAttempts" },
        { continuing_with_bad_cron, "BAD_CONTINUE_AS_NEW_ATTRIBUTES", "CronSchedule" },
        { continuing_with_unknown_attribute, "BAD_SEARCH_ATTRIBUTES", "Nobody" },
        { place_of_no_message, "BAD_UPDATE_WORKFLOW_EXECUTION_MESSAGE", "absent message" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct world *w;
        completion_t *input = begin(&w);
        rows[i].breaks(w, input);
        enum status status = world_send(w);
        const char *history = world_history(w, 4), *said = w->request.base.error.message;
        if (status != ST_INVALID_ARGUMENT || strstr(history, rows[i].cause) == NULL ||
            strstr(history, "TIMER_STARTED") != NULL || strstr(said, rows[i].words) == NULL)
            fail_msg("row %zu (%s, \"%s\"): %s\n%s", i, rows[i].cause, rows[i].words, said, history);
        CHECK_INT(world_state(w)->task.attempt, 2);
        world_free(w);
    }
}

static void large_activity_input(struct world *w, completion_t *input)
{
    command_activity(w, input, "a")->input = too_large(w);
}
static void large_result(struct world *w, completion_t *input)
{
    command_complete(w, input);
    last(input)->complete_workflow_execution_command_attributes->result = too_large(w);
}
static void large_failure(struct world *w, completion_t *input)
{
    command_fail(w, input, too_large(w));
}
static void large_marker_failure(struct world *w, completion_t *input)
{
    command_marker(w, input);
    last(input)->record_marker_command_attributes->failure = too_large(w);
}
static void large_child_input(struct world *w, completion_t *input)
{
    command_child(w, input)->input = too_large(w);
}
static void large_child_memo(struct world *w, completion_t *input)
{
    command_child(w, input)->memo = too_large(w);
}
static void large_signal_input(struct world *w, completion_t *input)
{
    command_signal(w, input, "other")->input = too_large(w);
}
static void large_cancel_reason(struct world *w, completion_t *input)
{
    command_cancel(w, input, "other")->reason = too_large(w);
}
static void large_continued_input(struct world *w, completion_t *input)
{
    command_continue(w, input)->input = too_large(w);
}
static void large_continued_memo(struct world *w, completion_t *input)
{
    command_continue(w, input)->memo = too_large(w);
}
static void large_memo(struct world *w, completion_t *input)
{
    modify_memo(w, input, too_large(w));
}
static void large_attributes(struct world *w, completion_t *input)
{
    upsert(w, input, too_large(w));
}

TEST(what_is_too_large_ends_the_run)
{
    static const struct {
        breaker    *breaks;
        const char *words;
    } rows[] = {
        { large_activity_input, "ScheduleActivityTaskCommandAttributes.Input" },
        { large_result, "CompleteWorkflowExecutionCommandAttributes.Result" },
        { large_failure, "FailWorkflowExecutionCommandAttributes.Failure" },
        { large_marker_failure, "RecordMarkerCommandAttributes.Details" },
        { large_child_input, "StartChildWorkflowExecutionCommandAttributes.Input" },
        { large_child_memo, "StartChildWorkflowExecutionCommandAttributes.Memo" },
        { large_signal_input, "SignalExternalWorkflowExecutionCommandAttributes.Input" },
        { large_cancel_reason, "RequestCancelExternalWorkflowExecutionCommandAttributes.Reason" },
        { large_continued_input, "ContinueAsNewWorkflowExecutionCommandAttributes.Input" },
        { large_continued_memo, "ContinueAsNewWorkflowExecutionCommandAttributes.Memo" },
        { large_memo, "Memo" },
        { large_attributes, "SearchAttributes" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct world *w;
        completion_t *input = begin(&w);
        rows[i].breaks(w, input);
        enum status status = world_send(w);
        const char *history = world_history(w, 4), *said = w->request.base.error.message;
        if (status != ST_INVALID_ARGUMENT || strstr(history, "WORKFLOW_EXECUTION_TERMINATED") == NULL ||
            strstr(history, "TIMER_STARTED") != NULL || strstr(said, rows[i].words) == NULL ||
            strstr(said, "exceeds size limit") == NULL)
            fail_msg("row %zu (\"%s\"): %s\n%s", i, rows[i].words, said, history);
        world_free(w);
    }
}
