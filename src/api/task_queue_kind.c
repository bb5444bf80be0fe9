/* task_queue_kind.c: decides about the settings of a task queue. */
#include "api/task_queue_kind.h"

#include "api/api.h"
#include "codec/pb.h"
#include "codec/pb_time.h"

/* The state is the record, encoded. */
struct settings {
    struct bytes record; /* owned */
};

static void *settings_new(const struct entity_identity *identity UNUSED)
{
    return xcalloc(1, sizeof(struct settings));
}

static void settings_free(void *state)
{
    struct settings *self = state;
    free((void *)(uintptr_t)self->record.base);
    free(self);
}

static size_t settings_size(const void *state)
{
    return sizeof(struct settings) + ((const struct settings *)state)->record.size;
}

static enum status settings_set(void *state, struct bytes record, struct error *error)
{
    struct settings       *self = state;
    struct state_TaskQueue decoded;
    struct arena           arena;
    arena_init(&arena, SIZE_MAX);
    enum status status = pb_decode(&pb_state_TaskQueue, record, &arena, &decoded, error);
    arena_release(&arena);
    if (status != ST_OK)
        return error_set(error, ST_DATA_LOSS, "the settings of a task queue do not decode");
    uint8_t *copy = xmalloc(record.size + 1);
    if (record.size != 0)
        memcpy(copy, record.base, record.size);
    free((void *)(uintptr_t)self->record.base);
    self->record = bytes_of(copy, record.size);
    return ST_OK;
}

static enum status settings_apply(void *state, const struct transition_record *record, struct error *error)
{
    return settings_set(state, record->delta, error);
}

static void settings_snapshot(const void *state, struct buffer *to)
{
    buffer_append(to, ((const struct settings *)state)->record);
}

static void settings_loaded(void *state UNUSED, int64_t now UNUSED) {}

static int64_t settings_next_due(const void *state UNUSED)
{
    return TIME_NEVER;
}

static int64_t settings_last_event_time(const void *state UNUSED)
{
    return 0;
}

static bool settings_is_open(const void *state UNUSED)
{
    return true;
}

static bool settings_awaits_worker(const void *state UNUSED)
{
    return false;
}

/* --- decisions --- */

static struct taskqueue_RateLimitConfig *rate_limit(
    const struct workflowservice_UpdateTaskQueueConfigRequest_RateLimitUpdate *update, struct bytes identity,
    int64_t now, struct arena *arena)
{
    struct taskqueue_RateLimitConfig *config = ARENA_NEW(arena, struct taskqueue_RateLimitConfig);
    config->rate_limit = update->rate_limit; /* none: the limit is taken away, and who did so stays */
    config->metadata = ARENA_NEW(arena, struct taskqueue_ConfigMetadata);
    config->metadata->reason = update->reason;
    config->metadata->update_identity = identity;
    config->metadata->update_time = timestamp_of_ns(arena, now);
    return config;
}

static int by_key(const void *a, const void *b)
{
    return bytes_compare(((const struct taskqueue_TaskQueueConfig_FairnessWeightOverridesEntry *)a)->key,
                         ((const struct taskqueue_TaskQueueConfig_FairnessWeightOverridesEntry *)b)->key);
}

/* Those there are, those that are set, and those that are unset with a weight of 0: put in order, the last of each key holds. */
static size_t merge_weights(const struct taskqueue_TaskQueueConfig                         *config,
                            const struct workflowservice_UpdateTaskQueueConfigRequest      *input,
                            struct arena                                                   *arena,
                            struct taskqueue_TaskQueueConfig_FairnessWeightOverridesEntry **ret_merged)
{
    size_t set = input->set_fairness_weight_overrides_count,
           unset = input->unset_fairness_weight_overrides_count, all = set + unset, count = 0, old = 0;
    struct taskqueue_TaskQueueConfig_FairnessWeightOverridesEntry *changes =
        ARENA_NEW_ARRAY(arena, struct taskqueue_TaskQueueConfig_FairnessWeightOverridesEntry, all + 1);
    struct taskqueue_TaskQueueConfig_FairnessWeightOverridesEntry *merged =
        ARENA_NEW_ARRAY(arena, struct taskqueue_TaskQueueConfig_FairnessWeightOverridesEntry,
                        all + config->fairness_weight_overrides_count + 1);
    for (size_t i = 0; i < set; i++) {
        changes[i].key = input->set_fairness_weight_overrides[i].key;
        changes[i].value = input->set_fairness_weight_overrides[i].value;
    }
    for (size_t i = 0; i < unset; i++)
        changes[set + i].key = input->unset_fairness_weight_overrides[i];
    qsort(changes, all, sizeof changes[0], by_key);
    for (size_t i = 0; i < all; i++) {
        int order = -1;
        while (old < config->fairness_weight_overrides_count &&
               (order = by_key(&config->fairness_weight_overrides[old], &changes[i])) < 0)
            merged[count++] = config->fairness_weight_overrides[old++];
        if (old < config->fairness_weight_overrides_count && order == 0)
            old++;
        if (changes[i].value > 0 && (i + 1 == all || !bytes_equal(changes[i].key, changes[i + 1].key)))
            merged[count++] = changes[i];
    }
    while (old < config->fairness_weight_overrides_count)
        merged[count++] = config->fairness_weight_overrides[old++];
    *ret_merged = merged;
    return count;
}

static struct state_TaskQueueType *find_type(struct state_TaskQueue *record, int32_t type)
{
    for (size_t i = 0; i < record->types_count; i++) {
        if (record->types[i].type == type)
            return &record->types[i];
    }
    return NULL;
}

static struct state_TaskQueueType *add_type(struct state_TaskQueue *record, int32_t type, struct arena *arena)
{
    struct state_TaskQueueType *types = ARENA_NEW_ARRAY(arena, struct state_TaskQueueType,
                                                        record->types_count + 1);
    for (size_t i = 0; i < record->types_count; i++)
        types[i] = record->types[i];
    record->types = types;
    types[record->types_count].type = type;
    return &types[record->types_count++];
}

static void write_record(struct task_queue_request *self, const struct state_TaskQueue *record,
                         struct env *env, bool exists, struct decision *decision)
{
    struct arena        *arena = self->base.arena;
    struct store_entity *row = ARENA_NEW(arena, struct store_entity);
    *row = (struct store_entity){
        .kind = ENTITY_TASK_QUEUE,
        .key = entity_row_key(self->base.namespace_number, self->base.business_id, arena),
        .state = pb_encode_arena(&pb_state_TaskQueue, record, arena),
    };
    struct transition transition = {
        .delta = row->state, .entities = row, .entity_count = 1, .first_event_id = 1
    };
    if (exists) {
        decision->changes = true;
        decision->self = transition;
        return;
    }
    decision->creates = true;
    decision->created = transition;
    decision->created_identity = (struct entity_identity){ .namespace_number = self->base.namespace_number,
                                                           .business_id = self->base.business_id,
                                                           .number = env_number(env) };
}

static void decide_update(struct task_queue_request *self, struct state_TaskQueue *record, struct env *env,
                          bool exists, struct decision *decision)
{
    const struct workflowservice_UpdateTaskQueueConfigRequest *input = self->input;
    struct arena                                              *arena = self->base.arena;
    struct state_TaskQueueType                                *type = find_type(record, self->type);
    struct taskqueue_TaskQueueConfig *config = ARENA_NEW(arena, struct taskqueue_TaskQueueConfig);
    if (type != NULL && type->config != NULL)
        *config = *type->config;
    if (input->update_queue_rate_limit == NULL && input->update_fairness_key_rate_limit_default == NULL &&
        input->set_fairness_weight_overrides_count == 0 &&
        input->unset_fairness_weight_overrides_count == 0) {
        self->config = config;
        return;
    }
    if (input->update_queue_rate_limit != NULL)
        config->queue_rate_limit = rate_limit(input->update_queue_rate_limit, input->identity, env->now,
                                              arena);
    if (input->update_fairness_key_rate_limit_default != NULL)
        config->fairness_keys_rate_limit_default = rate_limit(input->update_fairness_key_rate_limit_default,
                                                              input->identity, env->now, arena);
    config->fairness_weight_overrides_count = merge_weights(config, input, arena,
                                                            &config->fairness_weight_overrides);
    if (config->fairness_weight_overrides_count > WEIGHTS_MAX) {
        error_set(&self->base.error, ST_INVALID_ARGUMENT,
                  "SetFairnessWeightOverrides: a task queue has %d of them at most.", WEIGHTS_MAX);
        return;
    }
    if (type == NULL)
        type = add_type(record, self->type, arena);
    type->config = config;
    self->config = config;
    write_record(self, record, env, exists, decision);
}

static void settings_decide(const void *state, struct request *request, struct env *env,
                            struct decision *decision)
{
    struct task_queue_request *self = CONTAINER_OF(request, struct task_queue_request, base);
    const struct settings     *settings = state;
    struct state_TaskQueue     record = { 0 };
    if (request->command == ENTITY_COMMAND_DUE)
        return;
    self->config = NULL;
    if (settings != NULL && pb_decode(&pb_state_TaskQueue, arena_copy(request->arena, settings->record),
                                      request->arena, &record, &request->error) != ST_OK) {
        error_set(&request->error, ST_INTERNAL, "the settings of task queue \"%.*s\" do not decode",
                  BYTES_FMT(request->business_id));
        return;
    }
    if (request->command == TASK_QUEUE_UPDATE) {
        decide_update(self, &record, env, settings != NULL, decision);
        return;
    }
    const struct state_TaskQueueType *type = find_type(&record, self->type);
    if (type != NULL)
        self->config = type->config;
}

const struct entity_kind task_queue_kind = {
    .id = ENTITY_TASK_QUEUE,
    .name = "task queue",
    .is_record = true,
    .request_size = sizeof(struct task_queue_request),
    .state_new = settings_new,
    .state_free = settings_free,
    .state_size = settings_size,
    .decide = settings_decide,
    .apply = settings_apply,
    .snapshot = settings_snapshot,
    .restore = settings_set,
    .loaded = settings_loaded,
    .next_due = settings_next_due,
    .last_event_time = settings_last_event_time,
    .is_open = settings_is_open,
    .awaits_worker = settings_awaits_worker,
};
