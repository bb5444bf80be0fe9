/* update_harness.h: updates in the world of the engine's tests: requests for them, and a worker's messages about them. */
#ifndef ENGINE_UPDATE_HARNESS_H
#define ENGINE_UPDATE_HARNESS_H
#include "engine/engine_harness.h"
#include "engine/update.h"

#define MESSAGES_MAX 32

static inline struct update_Request *update_request_of(struct world *w, const char *id)
{
    struct update_Request *request = ARENA_NEW(&w->arena, struct update_Request);
    request->meta = ARENA_NEW(&w->arena, struct update_Meta);
    request->meta->update_id = bytes_of_text(id);
    request->meta->identity = BYTES("client");
    request->input = ARENA_NEW(&w->arena, struct update_Input);
    request->input->name = BYTES("up");
    request->input->args = payloads_of(&w->arena, "1");
    return request;
}
static inline struct workflowservice_UpdateWorkflowExecutionRequest *update_input_of(struct world *w,
                                                                                     const char   *id)
{
    struct workflowservice_UpdateWorkflowExecutionRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_UpdateWorkflowExecutionRequest);
    input->request = update_request_of(w, id);
    return input;
}
/* The status; w->request.update says what is known of the update. */
static inline enum status world_update(struct world *w, const char *id)
{
    struct workflow_request *request = world_request(w, WORKFLOW_UPDATE);
    request->input = update_input_of(w, id);
    return world_run_step(w, world_current(w));
}
static inline enum status world_update_poll(struct world *w, struct world_run *run, const char *id)
{
    struct workflow_request *request = world_request(w, WORKFLOW_UPDATE_POLL);
    struct workflowservice_PollWorkflowExecutionUpdateRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_PollWorkflowExecutionUpdateRequest);
    input->update_ref = ARENA_NEW(&w->arena, struct update_UpdateRef);
    input->update_ref->update_id = bytes_of_text(id);
    request->input = input;
    return world_run_step(w, run);
}

/* --- a worker's messages --- */

static inline struct protocol_Message *message_add(
    struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input, struct bytes id,
    const struct pb_message *type, const void *body)
{
    if (input->messages == NULL)
        input->messages = ARENA_NEW_ARRAY(&w->arena, struct protocol_Message, MESSAGES_MAX);
    CHECK(input->messages_count < MESSAGES_MAX);
    struct protocol_Message *message = &input->messages[input->messages_count++];
    struct google_Any        any = { .type_url = arena_printf(&w->arena, "type.googleapis.com/%s",
                                                              pb_message_name(type)),
                                     .value = pb_encode_arena(type, body, &w->arena) };
    message->id = arena_printf(&w->arena, "%.*s/%zu", BYTES_FMT(id), input->messages_count);
    message->protocol_instance_id = arena_copy(&w->arena, id);
    message->body = pb_encode_arena(&pb_google_Any, &any, &w->arena);
    return message;
}
/* The place of the last message among the commands. */
static inline void message_place(struct world                                               *w,
                                 struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_PROTOCOL_MESSAGE);
    command->attributes_case = 15;
    command->protocol_message_command_attributes = ARENA_NEW(&w->arena,
                                                             struct command_ProtocolMessageCommandAttributes);
    command->protocol_message_command_attributes->message_id = input->messages[input->messages_count - 1].id;
}
static inline struct update_Acceptance acceptance_of(struct world *w, struct bytes id)
{
    struct update_Acceptance acceptance = { .accepted_request_message_id = BYTES("m"),
                                            .accepted_request_sequencing_event_id = 1 };
    acceptance.accepted_request = update_request_of(w, "");
    acceptance.accepted_request->meta->update_id = id;
    return acceptance;
}
static inline void message_accept(struct world                                               *w,
                                  struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                                  struct bytes                                                id)
{
    struct update_Acceptance acceptance = acceptance_of(w, id);
    message_add(w, input, id, &pb_update_Acceptance, &acceptance);
    message_place(w, input);
}
static inline void message_reject(struct world                                               *w,
                                  struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                                  struct bytes                                                id)
{
    struct update_Rejection rejection = { .rejected_request_message_id = BYTES("m"),
                                          .failure = app_failure(&w->arena, "no") };
    message_add(w, input, id, &pb_update_Rejection, &rejection);
}
static inline void message_respond(struct world                                               *w,
                                   struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                                   struct bytes                                                id)
{
    struct update_Meta     meta = { .update_id = id };
    struct update_Outcome  outcome = { .value_case = 1 };
    struct update_Response response = { .meta = &meta, .outcome = &outcome };
    outcome.success = payloads_of(&w->arena, "\"done\"");
    message_add(w, input, id, &pb_update_Response, &response);
    message_place(w, input);
}

/* What the last step told of this update; 0: nothing. */
static inline int world_news(const struct world *w, const char *id)
{
    for (size_t i = 0; i < w->news_count; i++)
        if (bytes_equal_text(w->news[i].subject, id))
            return w->news[i].what;
    return 0;
}
#endif
