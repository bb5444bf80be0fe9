/* message.c: messages that arrive, and who decides them. */
#include "engine/message.h"
#include "base/mutant.h"

#include "engine/child.h"
#include "engine/external.h"

void arrival_answer(const struct arrival *arrival, struct bytes workflow_id, const struct uuid *run_id,
                    const struct state_Message *message)
{
    struct entity_message *answer = ARENA_NEW(arrival->arena, struct entity_message);
    assert(arrival->decision->message_count == 0);
    *answer = message_make(arrival->arena, arrival->request->base.namespace_number, workflow_id, run_id,
                           message);
    arrival->decision->messages = answer;
    arrival->decision->message_count = 1;
}

struct state_Sender *sender_of(const struct execution *state, int64_t initiated_event_id, struct arena *arena)
{
    struct state_Sender *sender = ARENA_NEW(arena, struct state_Sender);
    *sender = (struct state_Sender){ .workflow_id = state->workflow_id,
                                     .run_id = uuid_bytes(&state->run_id),
                                     .original_run_id = uuid_bytes(&state->original_run_id),
                                     .initiated_event_id = initiated_event_id };
    return sender;
}

bool sender_is_parent(const struct execution *live, const struct state_Sender *sender)
{
    const struct family *family = execution_family(live);
    return family->parent_workflow_id.size != 0 &&
           bytes_equal(family->parent_workflow_id, sender->workflow_id) &&
           (bytes_equal(uuid_bytes(&family->parent_run_id), sender->run_id) ||
            bytes_equal(uuid_bytes(&family->parent_run_id), sender->original_run_id));
}

struct common_WorkflowExecution *sender_execution(const struct state_Sender *sender, struct arena *arena)
{
    struct common_WorkflowExecution *execution = ARENA_NEW(arena, struct common_WorkflowExecution);
    struct uuid                      run_id;
    execution->workflow_id = sender->workflow_id;
    if (uuid_of_bytes(sender->run_id, &run_id))
        execution->run_id = uuid_text(arena, &run_id);
    return execution;
}

static bool has_sender(const struct state_Sender *sender)
{
    return sender != NULL && sender->workflow_id.size != 0 && sender->run_id.size == sizeof(struct uuid);
}

/* What every handler takes for granted of bytes from the disk. */
static bool is_whole(const struct state_Message *message)
{
    switch (message->kind_case) {
    case MESSAGE_CHILD_START:
        return has_sender(message->child_start->parent);
    case MESSAGE_PARENT_END:
        return has_sender(message->parent_end->parent);
    case MESSAGE_EXTERNAL_SIGNAL:
        return has_sender(message->external_signal->sender);
    case MESSAGE_EXTERNAL_CANCEL:
        return has_sender(message->external_cancel->sender);
    default:
        return message->kind_case != 0;
    }
}

bool message_is_sound(struct bytes body)
{
    struct arena         arena;
    struct state_Message message = { 0 };
    struct error         why = { 0 };
    arena_init(&arena, SIZE_MAX);
    bool is_sound = pb_decode(&pb_state_Message, body, &arena, &message, &why) == ST_OK && is_whole(&message);
    arena_release(&arena);
    return is_sound;
}

static int64_t initiated_id_of(const struct state_Message *message)
{
    switch (message->kind_case) {
    case MESSAGE_CHILD_ANSWER:
        return message->child_answer->initiated_event_id;
    case MESSAGE_CHILD_END:
        return message->child_end->initiated_event_id;
    case MESSAGE_EXTERNAL_ANSWER:
        return message->external_answer->initiated_event_id;
    default:
        return INT64_MAX;
    }
}

/* Answers to what a run has begun go on to the run that it was reset to, if that one has begun it too: by an event that both
 * have. */
static bool goes_on(const struct execution *live, const struct state_Message *message)
{
    return live != NULL && !execution_is_open(live) &&
           (initiated_id_of(message) < execution_lineage(live)->reset_event_id ||
            MUTANT(child_end_applied_to_any));
}

void decide_message(const struct execution *live, struct message_request *request, struct env *env,
                    struct decision *decision)
{
    struct arena        *arena = request->base.arena;
    struct arrival       arrival = { live, request, env, decision, arena };
    struct state_Message message = { 0 };
    struct error         why = { 0 };
    if (pb_decode(&pb_state_Message, request->body, arena, &message, &why) != ST_OK || !is_whole(&message)) {
        error_set(&request->base.error, ST_DATA_LOSS, "a message that cannot be decoded: %s", why.message);
        return;
    }
    if (goes_on(live, &message)) {
        struct uuid run_id;
        if (uuid_parse(execution_lineage(live)->reset_run_id, &run_id))
            arrival_answer(&arrival, live->workflow_id, &run_id, &message);
        return;
    }
    switch (message.kind_case) {
    case MESSAGE_CHILD_START:
        child_arrive_start(&arrival, message.child_start);
        return;
    case MESSAGE_CHILD_ANSWER:
        child_arrive_answer(&arrival, message.child_answer);
        return;
    case MESSAGE_CHILD_RELEASE:
        child_arrive_release(&arrival, message.child_release);
        return;
    case MESSAGE_CHILD_END:
        child_arrive_end(&arrival, message.child_end);
        return;
    case MESSAGE_PARENT_END:
        child_arrive_parent_end(&arrival, message.parent_end);
        return;
    case MESSAGE_EXTERNAL_SIGNAL:
        external_arrive_signal(&arrival, message.external_signal);
        return;
    case MESSAGE_EXTERNAL_CANCEL:
        external_arrive_cancel(&arrival, message.external_cancel);
        return;
    default:
        external_arrive_answer(&arrival, message.external_answer);
        return;
    }
}
