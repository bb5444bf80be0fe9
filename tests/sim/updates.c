/* updates.c: how a simulated workflow answers updates: its name says whether it is rejected, completed at once or later. */
#include <stdio.h>

#include "program.h"

#define ANY_PREFIX "type.googleapis.com/temporal.api.update.v1."

static void add_message(struct program *program, struct bytes id, struct bytes instance,
                        const struct pb_message *type, struct bytes type_url, const void *body,
                        bool with_command)
{
    struct sim       *sim = program->sim;
    struct arena     *arena = &actors_of(sim)->arena;
    struct google_Any any = { .type_url = type_url, .value = pb_encode_arena(type, body, arena) };
    assert(program->message_count < PROGRAM_MESSAGES_MAX);
    struct protocol_Message *message = &program->messages[program->message_count++];
    message->id = id;
    message->protocol_instance_id = instance;
    message->body = pb_encode_arena(&pb_google_Any, &any, arena);
    if (with_command)
        ADD_COMMAND(program, PROTOCOL_MESSAGE, 15, protocol_message, command_ProtocolMessageCommandAttributes)
            ->message_id = id;
}

static void respond(struct program *program, const struct update_Meta *meta, const char *result)
{
    struct arena          *arena = &actors_of(program->sim)->arena;
    struct update_Outcome  outcome = { .value_case = 1, .success = sim_payloads(program->sim, result) };
    struct update_Response response = { .meta = (struct update_Meta *)meta, .outcome = &outcome };
    add_message(program, arena_printf(arena, "%.*s/complete", BYTES_FMT(meta->update_id)), meta->update_id,
                &pb_update_Response, BYTES(ANY_PREFIX "Response"), &response, true);
}

static void reject(struct program *program, const struct task_message *message)
{
    struct arena           *arena = &actors_of(program->sim)->arena;
    struct update_Rejection rejection = {
        .rejected_request_message_id = message->id,
        .rejected_request_sequencing_event_id = message->event_id,
        .rejected_request = message->request,
        .failure = sim_failure(program->sim, "rejected", true),
    };
    add_message(program, arena_printf(arena, "%.*s/reject", BYTES_FMT(message->instance)), message->instance,
                &pb_update_Rejection, BYTES(ANY_PREFIX "Rejection"), &rejection, false);
}

static void start_update_timer(struct program *program, struct bytes update_id)
{
    char name[40];
    snprintf(name, sizeof(name), "u%.*s", BYTES_FMT(update_id));
    start_timer(program, name, NS_PER_S);
}

static void answer(struct program *program, const struct task_message *message)
{
    struct arena *arena = &actors_of(program->sim)->arena;
    if (bytes_equal_text(message->request->input->name, "reject")) {
        reject(program, message);
        return;
    }
    struct update_Acceptance acceptance = {
        .accepted_request_message_id = message->id,
        .accepted_request_sequencing_event_id = message->event_id,
        .accepted_request = message->request,
    };
    add_message(program, arena_printf(arena, "%.*s/accept", BYTES_FMT(message->instance)), message->instance,
                &pb_update_Acceptance, BYTES(ANY_PREFIX "Acceptance"), &acceptance, true);
    if (bytes_equal_text(message->request->input->name, "now"))
        respond(program, message->request->meta, "at once");
    else
        start_update_timer(program, message->instance);
}

static bool has_update_event(const struct program *program, int32_t type, struct bytes update_id)
{
    for (int64_t id = 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type != type)
            continue;
        struct bytes of =
            type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
                ? event->workflow_execution_update_accepted_event_attributes->protocol_instance_id
                : event->workflow_execution_update_completed_event_attributes->meta->update_id;
        if (bytes_equal(of, update_id))
            return true;
    }
    return false;
}

/* One that was accepted and is not complete: when its timer has fired. */
static void go_on(struct program *program, struct bytes update_id)
{
    struct update_Meta meta = { .update_id = update_id, .identity = BYTES("client") };
    char               name[40];
    if (has_update_event(program, enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED, update_id))
        return;
    snprintf(name, sizeof(name), "u%.*s", BYTES_FMT(update_id));
    int64_t timer = find_event(program, enums_EVENT_TYPE_TIMER_STARTED, name);
    if (timer == 0)
        start_update_timer(program, update_id);
    else if (is_over(program, timer))
        respond(program, &meta, "later");
}

void program_updates(struct program *program)
{
    program->messages = ARENA_NEW_ARRAY(&actors_of(program->sim)->arena, struct protocol_Message,
                                        PROGRAM_MESSAGES_MAX);
    for (int64_t id = 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED) {
            go_on(program, event->workflow_execution_update_accepted_event_attributes->protocol_instance_id);
        } else if (event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED) {
            /* In a run that was reset: the event stands for the message. */
            struct update_Request *request =
                event->workflow_execution_update_admitted_event_attributes->request;
            struct task_message message = {
                .id = arena_printf(&actors_of(program->sim)->arena, "%.*s/request",
                                   BYTES_FMT(request->meta->update_id)),
                .instance = request->meta->update_id,
                .event_id = id,
                .request = request,
            };
            if (!has_update_event(program, enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
                                  message.instance))
                answer(program, &message);
        }
    }
    for (size_t i = 0; i < program->task->message_count; i++)
        answer(program, &program->task->messages[i]);
}
