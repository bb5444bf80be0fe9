/* task_queue_kind.h: what an operator has set for a task queue, as a kind of entity: one record per namespace and name.
 *
 * The record is an encoded state_TaskQueue; there is none before something is set. It lives on the lane of the queue, which
 * asks for it when the queue becomes known and is told of every change.
 */
#ifndef API_TASK_QUEUE_KIND_H
#define API_TASK_QUEUE_KIND_H
#include "pb/all.pb.h"
#include "shard/entity.h"

#define WEIGHTS_MAX 1000 /* overrides per queue */

enum task_queue_command {
    TASK_QUEUE_GET = 1, /* out: config of the type */
    TASK_QUEUE_UPDATE,  /* in: workflowservice_UpdateTaskQueueConfigRequest; out: config of the type */
};
struct task_queue_request {
    struct request                    base; /* business id: the queue's name */
    const void                       *input;
    int32_t                           type;
    struct taskqueue_TaskQueueConfig *config; /* in the request's arena; NULL: nothing was ever set */
    void                             *user;
};
#endif
