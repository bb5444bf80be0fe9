/* delivery.c: a started workflow task gets its history, the token for the rest of it, and the queries that ride on it. */
#include "api/api_internal.h"

struct task_ref task_ref_copy(const struct task_ref *task, struct arena *arena)
{
    struct task_ref copy = *task;
    copy.namespace_id = arena_copy(arena, task->namespace_id);
    copy.workflow_id = arena_copy(arena, task->workflow_id);
    copy.activity_id = arena_copy(arena, task->activity_id);
    copy.query_id = arena_copy(arena, task->query_id);
    return copy;
}

void token_set_prefix(struct token_HistoryPage *token, const struct history_segment *prefix, size_t count,
                      struct arena *arena)
{
    token->prefix = ARENA_NEW_ARRAY(arena, struct token_HistorySegment, count + 1);
    token->prefix_count = count;
    for (size_t i = 0; i < count; i++)
        token->prefix[i] = (struct token_HistorySegment){ prefix[i].branch, prefix[i].last_event_id };
}

static void set_token(struct rpc *rpc, int64_t next)
{
    const struct workflow_delivery *delivery = rpc->delivery.delivery;
    struct token_HistoryPage        token = {
               .namespace_id = rpc->ns.id,
               .workflow_id = delivery->task.workflow_id,
               .run_id = bytes_of(delivery->run_id.byte, sizeof delivery->run_id.byte),
               .branch = delivery->branch,
               .next_event_id = next,
               .last_event_id = delivery->last_event_id,
               .virtual_events = delivery->virtual_events,
               .virtual_events_count = delivery->virtual_event_count,
               .format = PAGE_TOKEN_FORMAT,
    };
    token_set_prefix(&token, delivery->prefix, delivery->prefix_count, &rpc->arena);
    rpc->delivery.response->next_page_token = pb_encode_arena(&pb_token_HistoryPage, &token, &rpc->arena);
}

static void delivery_set_events(struct rpc *rpc, const struct bytes *events, size_t count, bool last_page)
{
    struct rpc_delivery            *self = &rpc->delivery;
    const struct workflow_delivery *delivery = self->delivery;
    size_t                          virtual_count = last_page ? delivery->virtual_event_count : 0;
    struct history_History         *history = ARENA_NEW(&rpc->arena, struct history_History);
    history->events = ARENA_NEW_ARRAY(&rpc->arena, struct bytes, count + virtual_count);
    history->events_count = count + virtual_count;
    for (size_t i = 0; i < count; i++)
        history->events[i] = events[i];
    for (size_t i = 0; i < virtual_count; i++)
        history->events[count + i] = delivery->virtual_events[i];
    self->response->history = history;
}

static void history_read_done(struct history_read *read)
{
    struct rpc *rpc = CONTAINER_OF(CONTAINER_OF(read, struct rpc_delivery, read), struct rpc, delivery);
    if (read->error.code != ST_OK) {
        rpc_fail_error(rpc, &read->error); /* and the task goes back */
        return;
    }
    delivery_set_events(rpc, read->events, read->event_count, read->next == 0);
    if (read->next != 0)
        set_token(rpc, read->next);
    rpc->delivery.ready(rpc);
}

static void read_history(struct rpc *rpc)
{
    struct rpc_delivery            *self = &rpc->delivery;
    const struct workflow_delivery *delivery = self->delivery;
    if (delivery->last_event_id < delivery->first_event_id) {
        delivery_set_events(rpc, NULL, 0, true);
        self->ready(rpc);
        return;
    }
    self->read = (struct history_read){
        .arena = &rpc->arena,
        .namespace_number = rpc->ns.number,
        .business_id = delivery->task.workflow_id,
        .branch = delivery->branch,
        .prefix = delivery->prefix,
        .prefix_count = delivery->prefix_count,
        .first = delivery->first_event_id,
        .last = delivery->last_event_id,
        .count_limit = HISTORY_PAGE_MAX,
        .size_limit = HISTORY_PAGE_SIZE,
        .done = history_read_done,
    };
    list_init(&self->read.link);
    lane_read_history(rpc_lane(rpc), &self->read);
}

/* On the run's owner lane. */
static void attach_queries(struct rpc *rpc)
{
    struct rpc_delivery *self = &rpc->delivery;
    query_attach(rpc_at(rpc), self->delivery, self->response, &rpc->arena);
    rpc_move(rpc, self->back->lane, read_history);
}

void delivery_begin(struct rpc *rpc, const struct workflow_delivery *delivery,
                    struct workflowservice_PollWorkflowTaskQueueResponse *response,
                    void (*ready)(struct rpc *rpc))
{
    struct rpc_delivery *self = &rpc->delivery;
    self->delivery = delivery;
    self->response = response;
    self->ready = ready;
    self->back = rpc_at(rpc);
    rpc_hand(rpc, delivery->task.is_query ? HANDED_QUERY : HANDED_WORKFLOW_TASK, &delivery->task);
    if (delivery->attach_queries)
        rpc_move(rpc, rpc_owner(rpc, delivery->task.workflow_id), attach_queries);
    else
        read_history(rpc);
}
