/* runtime.c: all lanes of a process: start, owners, end. */
#include "base/mutant.h"
#include <time.h>

#include "base/hash.h"
#include "base/log.h"
#include "shard/shard_internal.h"

void runtime_read_blocking(struct runtime *runtime, struct store_read *read)
{
    store_read_blocking(runtime->options.store, read, runtime->options.wait, runtime->options.wait_context);
}

/* How far time had come when the store was last written, and how far numbers may have gone: see seal_clock. */
struct persisted {
    int64_t time, number;
};

static enum status load_clock(struct runtime *runtime, struct persisted *ret_persisted, struct error *error)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct store_read read = { .kind = STORE_READ_ENTITIES, .entity_kind = ENTITY_CLOCK, .arena = &arena };
    runtime_read_blocking(runtime, &read);
    enum status status = read.status;
    if (status != ST_OK)
        *error = read.error;
    *ret_persisted = (struct persisted){ 0 };
    for (size_t i = 0; status == ST_OK && i < read.entity_count; i++) {
        struct bytes state = read.entities[i].state;
        if (state.size != CLOCK_STATE_SIZE) {
            status = error_set(error, ST_DATA_LOSS, "the row of the clock is damaged");
            break;
        }
        ret_persisted->time = MAX(ret_persisted->time, row_number_at(state.base));
        ret_persisted->number = MAX(ret_persisted->number, row_number_at(state.base + ROW_NUMBER_SIZE));
    }
    arena_release(&arena);
    return status;
}

static struct lane *new_lane(struct runtime *runtime, uint32_t index, uint64_t seed,
                             const struct persisted *persisted)
{
    struct lane *lane = xcalloc(1, sizeof(*lane));
    lane->runtime = runtime;
    lane->index = index;
    mailbox_init(&lane->mailbox, NULL, NULL);
    if (seed == 0)
        random_seed_from_system(&lane->random);
    else
        random_seed(&lane->random, hash_combine(seed, index + 1));
    lane->wall = clock_wall_ns(&runtime->options.clock);
    lane->monotonic = clock_monotonic_ns(&runtime->options.clock);
    lane->now = MUTANT(clock_not_restored) ? lane->wall : MAX(lane->wall, persisted->time);
    lane->numbers.lane = index;
    lane->numbers.last = MUTANT(numbers_given_again) ? 0 : persisted->number;
    list_init(&lane->queue);
    list_init(&lane->publications);
    list_init(&lane->finished);
    list_init(&lane->lru);
    list_init(&lane->active);
    list_init(&lane->quarantined);
    list_init(&lane->loads);
    list_init(&lane->scans);
    list_init(&lane->forks);
    list_init(&lane->colds_queued);
    list_init(&lane->reads_finished);
    lane->known.given_up = !runtime->options.know_ids;
    table_init(&lane->by_key);
    table_init(&lane->by_number);
    commit_init(lane);
    wakeup_init(lane);
    list_init(&lane->tellings);
    return lane;
}

enum status runtime_new(const struct runtime_options *options, struct runtime **ret_runtime,
                        struct error *error)
{
    assert(options->lane_count >= 1 && options->lane_count <= SHARD_RANGE_COUNT);
    assert(options->kind_count <= ARRAY_COUNT(((struct runtime *)0)->kinds));
    static_assert(SHARD_RANGE_COUNT <= 1 << NUMBER_LANE_BITS, "every lane has its own numbers");
    struct runtime *runtime = xcalloc(1, sizeof(*runtime));
    runtime->options = *options;
    runtime->limits = options->limits == NULL ? limits_default : *options->limits;
    runtime->kind_count = options->kind_count;
    for (size_t i = 0; i < options->kind_count; i++)
        runtime->kinds[i] = options->kinds[i];
    if (runtime->options.window_size == 0)
        runtime->options.window_size = WINDOW_SIZE_DEFAULT;
    if (runtime->options.second_after == 0)
        runtime->options.second_after = SECOND_TRANSITIONS;
    if (runtime->options.snapshot_after == 0)
        runtime->options.snapshot_after = SNAPSHOT_AFTER;
    if (runtime->options.memory_limit == 0)
        runtime->options.memory_limit = SIZE_MAX;
    runtime->lane_count = options->lane_count;
    runtime->lanes = xcalloc(options->lane_count, sizeof(struct lane *));
    struct persisted persisted;
    enum status      status = load_clock(runtime, &persisted, error);
    for (uint32_t i = 0; i < options->lane_count && status == ST_OK; i++)
        runtime->lanes[i] = new_lane(runtime, i, options->seed, &persisted);
    if (status == ST_OK)
        status = namespaces_load(runtime, error);
    if (status == ST_OK)
        status = links_load(runtime, error);
    if (status != ST_OK) {
        runtime_abandon(runtime);
        return status;
    }
    for (uint32_t i = 0; i < runtime->lane_count && runtime->options.know_ids; i++)
        known_begin(runtime->lanes[i]);
    *ret_runtime = runtime;
    return ST_OK;
}

static void lane_free(struct lane *lane)
{
    load_free_all(lane);
    scan_free_all(lane);
    fork_free_all(lane);
    tellings_free_all(lane);
    /* Chains without entities are freed with the table: nothing is in use any more. */
    while (!list_empty(&lane->lru)) {
        struct entity *entity = LIST_ENTRY(lane->lru.next, struct entity, lru);
        commit_entity_gone(entity);
        entity_free(entity);
    }
    cache_free_chains(lane);
    known_free(lane);
    wakeup_free(lane);
    links_free(lane);
    deletion_free(lane);
    commit_free(lane);
    namespaces_abandon(lane);
    namespace_set_release(lane->namespaces);
    table_release(&lane->by_key);
    table_release(&lane->by_number);
    free(lane);
}

void runtime_abandon(struct runtime *runtime)
{
    for (uint32_t i = 0; i < runtime->lane_count; i++) {
        if (runtime->lanes[i] != NULL)
            lane_free(runtime->lanes[i]);
    }
    namespaces_free(runtime);
    free(runtime->lanes);
    free(runtime);
}

void runtime_free(struct runtime *runtime)
{
    for (uint32_t i = 0; i < runtime->lane_count; i++)
        assert(lane_idle(runtime->lanes[i]));
    runtime_abandon(runtime);
}

void runtime_settle(struct runtime *runtime)
{
    /* The lanes' hosts stay who wakes them: threads of the store may be reading that at this moment. So this one looks. */
    const struct timespec look = { .tv_nsec = NS_PER_MS };
    for (uint32_t i = 0; i < runtime->lane_count; i++)
        runtime->lanes[i]->settling = true;
    for (;;) {
        bool idle = true, dead = false;
        for (uint32_t i = 0; i < runtime->lane_count; i++)
            lane_turn(runtime->lanes[i]);
        for (uint32_t i = 0; i < runtime->lane_count; i++) {
            idle = idle && lane_idle(runtime->lanes[i]);
            dead = dead || runtime->lanes[i]->dead;
        }
        if (idle || dead) /* a dead lane answers no other one either: there is nothing to wait for */
            return;
        if (runtime->options.wait != NULL)
            runtime->options.wait(runtime->options.wait_context);
        else
            nanosleep(&look, NULL);
    }
}

struct lane *runtime_lane(struct runtime *runtime, uint32_t index)
{
    assert(index < runtime->lane_count);
    return runtime->lanes[index];
}

uint32_t runtime_lane_count(const struct runtime *runtime)
{
    return runtime->lane_count;
}

struct store *runtime_store(struct runtime *runtime)
{
    return runtime->options.store;
}

const struct entity_kind *runtime_kind(const struct runtime *runtime, enum entity_kind_id id)
{
    for (size_t i = 0; i < runtime->kind_count; i++) {
        if (runtime->kinds[i]->id == id)
            return runtime->kinds[i];
    }
    return NULL;
}

size_t runtime_request_size(const struct runtime *runtime)
{
    size_t size = sizeof(struct request);
    for (size_t i = 0; i < runtime->kind_count; i++)
        size = MAX(size, runtime->kinds[i]->request_size);
    return size;
}

struct lane *runtime_range_lane(struct runtime *runtime, int32_t range)
{
    return runtime->lanes[(uint32_t)range % runtime->lane_count];
}

static struct lane *lane_of(struct runtime *runtime, int64_t namespace_number, struct bytes name)
{
    if (runtime->lane_count == 1)
        return runtime->lanes[0];
    return runtime_range_lane(runtime, runtime_range(namespace_number, name));
}

struct lane *runtime_owner(struct runtime *runtime, int64_t namespace_number, struct bytes business_id)
{
    return lane_of(runtime, namespace_number, business_id);
}

struct lane *runtime_queue_lane(struct runtime *runtime, int64_t namespace_number, struct bytes normal_queue)
{
    return lane_of(runtime, namespace_number, normal_queue);
}
