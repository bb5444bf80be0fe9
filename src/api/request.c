/* request.c: calls as requests to entities. */
#include "api/api_internal.h"

struct lane *rpc_owner(const struct rpc *rpc, struct bytes workflow_id)
{
    return runtime_owner(rpc->home->api->runtime, rpc->ns.number, workflow_id);
}

void rpc_address(struct rpc *rpc, int command, struct bytes workflow_id, const struct uuid *run_id)
{
    memset(&rpc->work, 0, sizeof rpc->work);
    struct request *request = &rpc->work.base;
    list_init(&request->link);
    request->arena = &rpc->arena;
    request->kind = ENTITY_WORKFLOW;
    request->namespace_number = rpc->ns.number;
    request->business_id = workflow_id;
    request->command = command;
    if (run_id != NULL) {
        request->has_run_id = true;
        request->run_id = *run_id;
    }
    request->trace = rpc->trace;
    rpc->work.input = rpc->request;
}

void rpc_submit(struct rpc *rpc, void (*done)(struct request *request))
{
    rpc->work.base.done = done;
    lane_submit(rpc_lane(rpc), &rpc->work.base);
}

void rpc_answer(struct request *request)
{
    struct rpc *rpc = rpc_of_work(request);
    if (request->error.code != ST_OK)
        rpc_fail_error(rpc, &request->error);
    else
        rpc_reply(rpc, rpc->work.response);
}

/* --- errands --- */

struct errand *errand_new(struct api_lane *lane, size_t size)
{
    struct errand *errand = xcalloc(1, size);
    arena_init(&errand->arena, SIZE_MAX);
    list_append(&lane->errands, &errand->link);
    return errand;
}

void errand_end(struct errand *errand)
{
    list_remove(&errand->link);
    arena_release(&errand->arena);
    free(errand);
}

void errands_abandon(struct api_lane *lane)
{
    for (struct list *at; (at = list_take_first(&lane->errands)) != NULL;) {
        struct errand *errand = LIST_ENTRY(at, struct errand, link);
        arena_release(&errand->arena);
        free(errand);
    }
}

struct sticky_reset {
    struct errand           errand;
    struct workflow_request work;
};

static void sticky_was_reset(struct request *request)
{
    struct workflow_request *work = CONTAINER_OF(request, struct workflow_request, base);
    errand_end(
        &CONTAINER_OF(work, struct sticky_reset, work)->errand); /* a run that is gone has no sticky queue */
}

void errand_reset_sticky(struct api_lane *lane, int64_t namespace_number, struct bytes workflow_id,
                         const struct uuid *run_id, struct bytes sticky_queue)
{
    struct sticky_reset *self = CONTAINER_OF(errand_new(lane, sizeof *self), struct sticky_reset, errand);
    struct request      *request = &self->work.base;
    list_init(&request->link);
    request->arena = &self->errand.arena;
    request->kind = ENTITY_WORKFLOW;
    request->namespace_number = namespace_number;
    request->business_id = arena_copy(&self->errand.arena, workflow_id);
    request->has_run_id = true;
    request->run_id = *run_id;
    request->command = WORKFLOW_RESET_STICKY;
    request->done = sticky_was_reset;
    self->work.poll.queue = arena_copy(&self->errand.arena, sticky_queue);
    lane_submit(lane->lane, request);
}

/* --- tasks that nobody received --- */

static void taken_back(struct request *request)
{
    /* A refusal is fine: the task ended otherwise, or its timeout will find it. */
    rpc_returned(rpc_of_work(request));
}

void rpc_hand(struct rpc *rpc, enum handed_kind kind, const struct task_ref *task)
{
    struct handed_task *handed = ARENA_NEW(&rpc->arena, struct handed_task);
    handed->next = rpc->handed;
    handed->kind = kind;
    handed->task = task_ref_copy(task, &rpc->arena);
    rpc->handed = handed;
}

void rpc_take_back(struct rpc *rpc)
{
    const struct handed_task *handed = rpc->handed;
    if (handed->kind == HANDED_QUERY) {
        query_take_back(rpc);
        return;
    }
    rpc->request = NULL; /* it went with the call */
    rpc_address(rpc, handed->kind == HANDED_WORKFLOW_TASK ? WORKFLOW_TASK_RETURN : ACTIVITY_TASK_RETURN,
                handed->task.workflow_id, &handed->task.run_id);
    rpc->work.token = handed->task;
    rpc->work.activity.task = handed->task;
    rpc_submit(rpc, taken_back);
}

struct store_read *rpc_read_new(struct rpc *rpc)
{
    rpc->list.read = ARENA_NEW(&rpc->arena, struct rpc_read);
    rpc->list.read->rpc = rpc;
    return &rpc->list.read->read;
}

void rpc_read_submit(struct rpc *rpc, struct store_read *read)
{
    rpc->home->reads++;
    store_read(runtime_store(rpc->home->api->runtime), read);
}

struct rpc *rpc_read_answered(struct message *message)
{
    struct store_read *read = CONTAINER_OF(message, struct store_read, message);
    struct rpc        *rpc = CONTAINER_OF(read, struct rpc_read, read)->rpc;
    assert(rpc->home->reads > 0);
    rpc->home->reads--;
    return rpc;
}
