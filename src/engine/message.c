/* message.c: messages that arrive, and who decides them. */
#include "engine/message.h"
#include "base/mutant.h"

#include "engine/child.h"
#include "engine/external.h"
#include "engine/fold.h"
#include "engine/workflow_task.h"

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

/* --- answers to a run that has closed --- */

enum status fold_late_answer(struct fold *fold, struct bytes message, struct error *error)
{
    if (!message_is_sound(message))
        return error_set(error, ST_DATA_LOSS, "a late answer that cannot be decoded");
    struct lineage          *lineage = execution_lineage_write(fold->state);
    struct state_LateAnswers one = { .messages = &message, .messages_count = 1 };
    struct bytes             added = pb_encode_arena(&pb_state_LateAnswers, &one, fold->arena);
    struct bytes             old = lineage->late_answers;
    uint8_t                 *all = arena_alloc(fold->arena, old.size + added.size);
    if (old.size != 0)
        memcpy(all, old.base, old.size);
    memcpy(all + old.size, added.base, added.size);
    execution_set(fold->state, &lineage->late_answers, bytes_of(all, old.size + added.size));
    return ST_OK;
}

static void apply_late(struct draft *draft, struct bytes body)
{
    struct state_Message message = { 0 };
    struct error         why = { 0 };
    if (pb_decode(&pb_state_Message, body, draft->arena, &message, &why) != ST_OK)
        panic("a late answer that was stored is none: %s", why.message);
    switch (message.kind_case) {
    case MESSAGE_CHILD_ANSWER:
        child_apply_answer(draft, message.child_answer);
        return;
    case MESSAGE_CHILD_END:
        child_apply_end(draft, message.child_end);
        return;
    case MESSAGE_EXTERNAL_ANSWER:
        external_apply_answer(draft, message.external_answer);
        return;
    default:
        return;
    }
}

void messages_apply_late(struct draft *draft, struct bytes late_answers)
{
    struct state_LateAnswers late = { 0 };
    struct error             why = { 0 };
    if (pb_decode(&pb_state_LateAnswers, late_answers, draft->arena, &late, &why) != ST_OK)
        panic("the late answers that were stored are none: %s", why.message);
    for (size_t i = 0; i < late.messages_count; i++)
        apply_late(draft, late.messages[i]);
}

/* An answer to what a run has begun is kept, for runs that begin again from it after this, and goes on to the run that it was
 * reset to, if that one has begun it too: by an event that both have. */
static void arrive_late(const struct arrival *arrival, const struct state_Message *message)
{
    const struct execution *live = arrival->live;
    const struct lineage   *lineage = execution_lineage(live);
    struct draft            draft;
    struct uuid             run_id;
    draft_begin(&draft, live, arrival->env, arrival->arena);
    if (lineage->late_answers.size + arrival->request->body.size <= LATE_ANSWERS_SIZE_MAX)
        draft_change(&draft, (struct state_Change){ .kind_case = CHANGE_LATE_ANSWER,
                                                    .late_answer = arrival->request->body });
    if (initiated_id_of(message) >= lineage->reset_event_id && !MUTANT(child_end_applied_to_any)) {
        if (message->kind_case == MESSAGE_CHILD_ANSWER)
            child_answer_orphan(&draft, message->child_answer);
    } else if (uuid_parse(lineage->reset_run_id, &run_id)) {
        draft_send(&draft, live->workflow_id, &run_id, message);
    }
    decision_finish(&draft, arrival->decision);
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
    if (live != NULL && !execution_is_open(live) && initiated_id_of(&message) != INT64_MAX) {
        arrive_late(&arrival, &message);
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
