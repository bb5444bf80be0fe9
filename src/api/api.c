/* api.c: one object per lane, and the points where runtime and matching meet. */
#include "api/api_internal.h"
#include "base/hash.h"
#include "base/mutant.h"
#include "engine/update.h"
#include "schedule/schedule.h"

/* --- offers between lanes --- */

struct offer {
    struct message     message;
    struct api_lane   *from, *to;
    struct store_ready task; /* its slices stand behind the struct */
};

static struct bytes offer_copy(uint8_t **at, struct bytes slice)
{
    struct bytes copy = bytes_of(*at, slice.size);
    if (slice.size != 0)
        memcpy(*at, slice.base, slice.size);
    *at += slice.size;
    return copy;
}

static void offer_arrived(struct message *message)
{
    struct offer *offer = CONTAINER_OF(message, struct offer, message);
    matching_offer(offer->to->matching, &offer->task);
    atomic_fetch_sub_explicit(&offer->from->offers_out, 1, memory_order_relaxed);
    free(offer);
}

/* A hint: past the limit it is dropped, and the other lane's queues read their rows again. */
static void offer_send(struct api_lane *from, struct api_lane *to, const struct store_ready *task)
{
    if (atomic_fetch_add_explicit(&from->offers_out, 1, memory_order_relaxed) >= OFFERS_MAX) {
        atomic_fetch_sub_explicit(&from->offers_out, 1, memory_order_relaxed);
        atomic_store_explicit(&to->offers_lost, true, memory_order_release);
        return;
    }
    size_t size = task->queue.size + task->normal_queue.size + task->fairness_key.size + task->version.size +
                  task->workflow_id.size;
    struct offer *offer = xmalloc(sizeof *offer + size);
    uint8_t      *at = (uint8_t *)(offer + 1);
    *offer = (struct offer){ .message.run = offer_arrived, .from = from, .to = to, .task = *task };
    offer->task.queue = offer_copy(&at, task->queue);
    offer->task.normal_queue = offer_copy(&at, task->normal_queue);
    offer->task.fairness_key = offer_copy(&at, task->fairness_key);
    offer->task.version = offer_copy(&at, task->version);
    offer->task.workflow_id = offer_copy(&at, task->workflow_id);
    lane_post(to->lane, &offer->message);
}

/* --- hooks --- */

static struct request *hook_reserve(void *context UNUSED, struct lane *lane, const struct store_ready *task)
{
    struct api_lane *self = api_lane_of(lane);
    return self == NULL ? NULL : poll_reserve(self, task);
}

static void hook_offer(void *context UNUSED, struct lane *lane, const struct store_ready *task)
{
    struct api_lane *self = api_lane_of(lane);
    if (self == NULL)
        return;
    struct bytes     normal = task->normal_queue.size != 0 ? task->normal_queue : task->queue;
    struct api_lane *to = api_lane_of(runtime_queue_lane(self->api->runtime, task->namespace_number, normal));
    if (to == self)
        matching_offer(self->matching, task);
    else
        offer_send(self, to, task);
}

/* A task that another lane's queue holds is found stale when it is taken; that is rare, and harmless. */
static void hook_withdraw(void *context UNUSED, struct lane *lane, store_number sequence)
{
    struct api_lane *self = api_lane_of(lane);
    if (self != NULL)
        matching_withdraw(self->matching, sequence);
}

static void hook_released(void *context UNUSED, struct lane *lane, store_number run, int64_t last_event_id,
                          bool open)
{
    struct api_lane *self = api_lane_of(lane);
    if (self == NULL)
        return;
    wait_released(self, run, last_event_id, open);
    if (!MUTANT(query_not_released))
        query_released(self, run);
}

static void hook_noticed(void *context UNUSED, struct lane *lane, store_number run, const struct news *news)
{
    struct api_lane *self = api_lane_of(lane);
    if (self == NULL)
        return;
    if (news->what == SCHEDULE_NEWS_ORDERS)
        schedule_noticed(self, row_number_at(news->body.base), news->subject);
    else if (news->what == SCHEDULE_NEWS_COUNTS)
        schedule_counted(self, news->body);
    else if (news->what == UPDATE_TASK_GONE)
        query_released(self, run);
    else
        update_noticed(self, run, news);
}

static void hook_forgotten(void *context UNUSED, struct lane *lane)
{
    struct api_lane *self = api_lane_of(lane);
    if (self == NULL)
        return;
    wait_forgotten(self);
    query_forgotten(self);
    update_forgotten(self);
    matching_mark_dirty(self->matching);
}

struct lane_hooks api_hooks(void)
{
    return (struct lane_hooks){ .reserve = hook_reserve,
                                .offer = hook_offer,
                                .withdraw = hook_withdraw,
                                .released = hook_released,
                                .noticed = hook_noticed,
                                .forgotten = hook_forgotten };
}

/* --- life --- */

static void lane_init(struct api *api, struct api_lane *self, struct lane *lane,
                      const struct api_options *options)
{
    self->api = api;
    self->lane = lane;
    self->matching = matching_new(lane, options->window_size, queue_config_ask, self);
    if (options->seed == 0)
        random_seed_from_system(&self->random);
    else
        random_seed(&self->random, hash_combine(options->seed, lane_index(lane) + 1));
    heap_init(&self->timers);
    list_init(&self->waiting);
    list_init(&self->pool);
    list_init(&self->rpcs);
    list_init(&self->errands);
    list_init(&self->all_waits);
    list_init(&self->sleepers);
    table_init(&self->waits);
    table_init(&self->queries_by_id);
    table_init(&self->queries_by_run);
    table_init(&self->updates);
    lane_set_user(lane, self);
}

/* Where each request keeps its namespace, so that it can be checked before anything else. */
static void find_namespace_fields(struct api *api)
{
    api->namespace_offsets = xcalloc(PB_METHOD_COUNT, sizeof api->namespace_offsets[0]);
    for (size_t i = 0; i < pb_method_count; i++) {
        const struct pb_method *method = &pb_methods[i];
        const struct pb_field  *fields = pb_message_fields(method->request);
        bool                    found = false;
        for (size_t k = 0; k < method->request->field_count && !found; k++) {
            if (strcmp(pb_field_name(&fields[k]), "namespace") != 0 || fields[k].kind != PB_STRING)
                continue;
            api->namespace_offsets[method->index] = fields[k].offset;
            found = true;
        }
        assert(found || rpc_entry(method->index)->need == NAMESPACE_NONE);
    }
}

struct api *api_new(struct runtime *runtime, const struct api_options *options)
{
    struct api *api = xcalloc(1, sizeof *api);
    metrics_name_labels();
    api->runtime = runtime;
    api->limits = options->limits != NULL ? *options->limits : limits_default;
    api->cluster_name = options->cluster_name != NULL ? options->cluster_name : "active";
    api->sender = options->sender;
    api->toolsets_changed = options->toolsets_changed;
    api->toolset_check = options->toolset_check;
    api->toolsets_context = options->toolsets_context;
    api->callback_rules = options->callback_rules;
    api->callback_rule_count = options->callback_rule_count;
    api->store_name = options->store_name != NULL ? options->store_name : "";
    api->lane_count = runtime_lane_count(runtime);
    api->lanes = xcalloc(api->lane_count, sizeof api->lanes[0]);
    find_namespace_fields(api);
    api->workers = workers_new();
    for (uint32_t i = 0; i < api->lane_count; i++)
        lane_init(api, &api->lanes[i], runtime_lane(runtime, i), options);
    api->skipping = options->skipping;
    api->time_locks = 1;
    assert(api->skipping == NULL || api->lane_count == 1);
    api->boot = (uint32_t)random_next(&api->lanes[0].random);
    if (options->sweeps)
        retention_begin(&api->lanes[0]);
    return api;
}

void api_free(struct api *api)
{
    if (api == NULL)
        return;
    for (uint32_t i = 0; i < api->lane_count; i++) {
        callbacks_free(&api->lanes[i]);
        retention_free(&api->lanes[i]);
        matching_free(api->lanes[i].matching);
        api_lane_release(&api->lanes[i]);
        lane_set_user(api->lanes[i].lane, NULL);
    }
    workers_free(api->workers);
    free(api->lanes);
    free(api->namespace_offsets);
    free(api);
}

/* What is on its way between lanes and belongs to no call. */
static void abandon_mail(struct api_lane *lane)
{
    struct message *next;
    for (struct message *at = mailbox_take(lane_mailbox(lane->lane)); at != NULL; at = next) {
        next = at->next;
        if (at->run == offer_arrived)
            free(CONTAINER_OF(at, struct offer, message));
        else
            (void)query_abandon_message(at);
    }
}

void api_abandon(struct api *api)
{
    for (uint32_t i = 0; i < api->lane_count; i++)
        abandon_mail(&api->lanes[i]); /* it names what other lanes have, too */
    for (uint32_t i = 0; i < api->lane_count; i++) {
        callbacks_free(&api->lanes[i]);
        matching_abandon(api->lanes[i].matching);
    }
    for (uint32_t i = 0; i < api->lane_count; i++)
        api_lane_abandon(&api->lanes[i]);
    api_free(api);
}

void api_call(struct lane *lane, struct call *call)
{
    rpc_start(api_lane_of(lane), call);
}

bool api_is_method(struct bytes path)
{
    return bytes_starts_with(path, BYTES("/temporal.api.workflowservice.v1.WorkflowService/")) ||
           bytes_starts_with(path, BYTES("/temporal.api.operatorservice.v1.OperatorService/")) ||
           bytes_starts_with(path, BYTES("/perdure.api.v1.ToolService/")) ||
           bytes_starts_with(path, BYTES("/temporal.api.testservice.v1.TestService/"));
}

void api_lane_turn(struct lane *lane)
{
    struct api_lane *self = api_lane_of(lane);
    if (atomic_load_explicit(&self->offers_lost, memory_order_relaxed) &&
        atomic_exchange_explicit(&self->offers_lost, false, memory_order_acquire))
        matching_mark_dirty(self->matching);
    api_timers_fire(self);
    callbacks_turn(self);
    matching_turn(self->matching);
    time_skipping_turn(self);
}

int64_t api_lane_next_due(struct lane *lane)
{
    struct api_lane *self = api_lane_of(lane);
    if (callbacks_want_turn(self))
        return lane_now(lane);
    int64_t due = MIN(api_timers_due(self), time_skipping_due(self));
    return MIN(due, matching_next_due(self->matching));
}

void api_drain(struct lane *lane)
{
    struct api_lane *self = api_lane_of(lane);
    self->draining = true;
    LIST_FOR_EACH (rpc, &self->waiting, struct rpc, waiting)
        rpc->expire(rpc);
    callbacks_drain(self);
    retention_drain(self);
}

bool api_reads(const struct api *api)
{
    for (uint32_t i = 0; i < api->lane_count; i++)
        if (api->lanes[i].reads != 0 || matching_reads(api->lanes[i].matching))
            return true;
    return false;
}

bool api_idle(struct lane *lane)
{
    const struct api_lane *self = api_lane_of(lane);
    return self->rpc_count == 0 && self->callback_busy == 0 && list_empty(&self->errands) &&
           !matching_reads(self->matching);
}
