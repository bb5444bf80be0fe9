/* message.h: what workflow executions say to each other.
 *
 *   parent                                            child
 *     | Initiated ------------- ChildStart ----------> | Started (no workflow task yet), or its id is taken
 *     | ChildStarted <--------- ChildAnswer ---------- |
 *     | ----------------------- ChildRelease --------> | first WorkflowTaskScheduled; with a parent that is gone: the end
 *     | ChildCompleted, ... <-- ChildEnd ------------- | the last run of its chain has closed
 *     | (closes) -------------- ParentEnd -----------> | Terminated or CancelRequested, as its parent close policy says
 *
 *   sender                                            target
 *     | Initiated ------ ExternalSignal, -Cancel ----> | Signaled, CancelRequested, or nothing
 *     | Signaled, ... <-------- ExternalAnswer ------- |
 *
 * Each is sent with the transition that writes the event on its side, and has its effect once (shard/link.c). Nothing
 * rests on the order in which messages of one pair arrive.
 */
#ifndef ENGINE_MESSAGE_H
#define ENGINE_MESSAGE_H
#include "engine/draft.h"

/* The members of state_Message's oneof. */
enum message_kind {
    MESSAGE_CHILD_START = 1,
    MESSAGE_CHILD_ANSWER = 2,
    MESSAGE_CHILD_RELEASE = 3,
    MESSAGE_CHILD_END = 4,
    MESSAGE_PARENT_END = 5,
    MESSAGE_EXTERNAL_SIGNAL = 6,
    MESSAGE_EXTERNAL_CANCEL = 7,
    MESSAGE_EXTERNAL_ANSWER = 8,
};

/* A message that has arrived: at `live`, which may be closed, or NULL when there is no such run. */
struct arrival {
    const struct execution *live;
    struct message_request *request;
    struct env             *env;
    struct decision        *decision;
    struct arena           *arena;
};
/* Answers that came when the run had closed are kept for a run that may begin again from it; so many bytes at most. */
#define LATE_ANSWERS_SIZE_MAX (1U << 20)
enum status fold_late_answer(struct fold *fold, struct bytes message, struct error *error);
/* To the draft of a run that begins again from one: each one that it waits for. `late_answers` is the run's own. */
void messages_apply_late(struct draft *draft, struct bytes late_answers);

/* The command ENTITY_COMMAND_MESSAGE. */
void decide_message(const struct execution *live, struct message_request *request, struct env *env,
                    struct decision *decision);
/* Whether decide_message can work with these bytes. */
bool message_is_sound(struct bytes body);
/* Answers where this run, if there is one, has nothing to write. */
void arrival_answer(const struct arrival *arrival, struct bytes workflow_id, const struct uuid *run_id,
                    const struct state_Message *message);

/* Who sends because of one of its events; in the arena. */
struct state_Sender *sender_of(const struct execution *state, int64_t initiated_event_id,
                               struct arena *arena);
/* Whether `sender` is this run's parent, also when the parent was reset meanwhile. */
bool sender_is_parent(const struct execution *live, const struct state_Sender *sender);
struct common_WorkflowExecution *sender_execution(const struct state_Sender *sender, struct arena *arena);

static inline struct bytes uuid_bytes(const struct uuid *uuid)
{
    return bytes_of(uuid->byte, sizeof(uuid->byte));
}
/* False when they are no UUID. */
static inline bool uuid_of_bytes(struct bytes bytes, struct uuid *ret_uuid)
{
    if (bytes.size != sizeof(ret_uuid->byte))
        return false;
    memcpy(ret_uuid->byte, bytes.base, sizeof(ret_uuid->byte));
    return true;
}
#endif
