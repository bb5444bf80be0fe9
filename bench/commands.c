/* commands.c: what the light workers answer with. */
#include "bench.h"

struct command_Command *command_schedule_activity(struct arena *arena, int number, bool eager)
{
    struct command_Command                               *command = ARENA_NEW(arena, struct command_Command);
    struct command_ScheduleActivityTaskCommandAttributes *schedule =
        ARENA_NEW(arena, struct command_ScheduleActivityTaskCommandAttributes);
    schedule->activity_id = arena_printf(arena, "%d", number);
    schedule->activity_type = ARENA_NEW(arena, struct common_ActivityType);
    schedule->activity_type->name = BYTES("echo");
    schedule->task_queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    schedule->task_queue->name = BYTES(BENCH_QUEUE);
    schedule->start_to_close_timeout = ARENA_NEW(arena, struct google_Duration);
    schedule->start_to_close_timeout->seconds = 10;
    schedule->request_eager_execution = eager;
    command->command_type = enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK;
    command->attributes_case = 2;
    command->schedule_activity_task_command_attributes = schedule;
    return command;
}

struct command_Command *command_start_timer(struct arena *arena, int64_t seconds)
{
    struct command_Command                     *command = ARENA_NEW(arena, struct command_Command);
    struct command_StartTimerCommandAttributes *timer = ARENA_NEW(arena,
                                                                  struct command_StartTimerCommandAttributes);
    timer->timer_id = BYTES("1");
    timer->start_to_fire_timeout = ARENA_NEW(arena, struct google_Duration);
    timer->start_to_fire_timeout->seconds = seconds;
    command->command_type = enums_COMMAND_TYPE_START_TIMER;
    command->attributes_case = 3;
    command->start_timer_command_attributes = timer;
    return command;
}

struct command_Command *command_complete_workflow(struct arena *arena)
{
    struct command_Command *command = ARENA_NEW(arena, struct command_Command);
    command->command_type = enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION;
    command->attributes_case = 4;
    command->complete_workflow_execution_command_attributes =
        ARENA_NEW(arena, struct command_CompleteWorkflowExecutionCommandAttributes);
    return command;
}

struct command_Command *command_start_child(struct arena *arena, struct bytes workflow_id)
{
    struct command_Command *command = ARENA_NEW(arena, struct command_Command);
    struct command_StartChildWorkflowExecutionCommandAttributes *start =
        ARENA_NEW(arena, struct command_StartChildWorkflowExecutionCommandAttributes);
    start->workflow_id = workflow_id;
    start->workflow_type = ARENA_NEW(arena, struct common_WorkflowType);
    start->workflow_type->name = BYTES("empty");
    start->task_queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    start->task_queue->name = BYTES(BENCH_QUEUE);
    command->command_type = enums_COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION;
    command->attributes_case = 12;
    command->start_child_workflow_execution_command_attributes = start;
    return command;
}

struct command_Command *command_markers(struct arena *arena, size_t count)
{
    struct command_Command *commands = ARENA_NEW_ARRAY(arena, struct command_Command, count);
    struct command_RecordMarkerCommandAttributes *marker =
        ARENA_NEW(arena, struct command_RecordMarkerCommandAttributes);
    marker->marker_name = BYTES("bench");
    for (size_t i = 0; i < count; i++) {
        commands[i].command_type = enums_COMMAND_TYPE_RECORD_MARKER;
        commands[i].attributes_case = 10;
        commands[i].record_marker_command_attributes = marker;
    }
    return commands;
}

static struct bytes packed(struct arena *arena, const struct pb_message *type, const char *type_url,
                           const void *record)
{
    struct google_Any any = { .type_url = bytes_of_text(type_url),
                              .value = pb_encode_arena(type, record, arena) };
    return pb_encode_arena(&pb_google_Any, &any, arena);
}

void update_answers(struct arena *arena, const struct workflowservice_PollWorkflowTaskQueueResponse *task,
                    struct workflowservice_RespondWorkflowTaskCompletedRequest *request)
{
    size_t                   count = task->messages_count * 2;
    struct command_Command  *commands = ARENA_NEW_ARRAY(arena, struct command_Command, count);
    struct protocol_Message *messages = ARENA_NEW_ARRAY(arena, struct protocol_Message, count);
    for (size_t i = 0; i < task->messages_count; i++) {
        const struct protocol_Message *asked = &task->messages[i];
        struct google_Any              any = { 0 };
        struct update_Request          update = { 0 };
        struct error                   problem;
        if (pb_decode(&pb_google_Any, asked->body, arena, &any, &problem) != ST_OK ||
            pb_decode(&pb_update_Request, any.value, arena, &update, &problem) != ST_OK)
            panic("undecodable update: %s", problem.message);
        struct update_Acceptance acceptance = { .accepted_request_message_id = asked->id,
                                                .accepted_request_sequencing_event_id = asked->event_id,
                                                .accepted_request = &update };
        struct update_Outcome    outcome = { .value_case = 1, .success = BYTES_EMPTY };
        struct update_Response   response = { .meta = update.meta, .outcome = &outcome };
        messages[2 * i].id = arena_printf(arena, "%.*s/accept", BYTES_FMT(asked->protocol_instance_id));
        messages[2 * i].body = packed(arena, &pb_update_Acceptance,
                                      "type.googleapis.com/temporal.api.update.v1.Acceptance", &acceptance);
        messages[2 * i + 1].id = arena_printf(arena, "%.*s/complete", BYTES_FMT(asked->protocol_instance_id));
        messages[2 * i + 1].body = packed(arena, &pb_update_Response,
                                          "type.googleapis.com/temporal.api.update.v1.Response", &response);
        for (size_t j = 2 * i; j < 2 * i + 2; j++) {
            struct command_ProtocolMessageCommandAttributes *attributes =
                ARENA_NEW(arena, struct command_ProtocolMessageCommandAttributes);
            attributes->message_id = messages[j].id;
            messages[j].protocol_instance_id = asked->protocol_instance_id;
            commands[j].command_type = enums_COMMAND_TYPE_PROTOCOL_MESSAGE;
            commands[j].attributes_case = 15;
            commands[j].protocol_message_command_attributes = attributes;
        }
    }
    request->commands = commands;
    request->commands_count = count;
    request->messages = messages;
    request->messages_count = count;
}
