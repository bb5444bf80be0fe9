/* entity_cache.c: which chains and runs are in memory, which leave it, and forgetting. */
#include "base/mutant.h"
#include "shard/shard_internal.h"

#include "base/hash.h"
#include "base/log.h"

uint64_t chain_hash(enum entity_kind_id kind, int64_t namespace_number, struct bytes business_id)
{
    return hash_combine(hash_combine(hash_bytes(business_id), (uint64_t)namespace_number), (uint64_t)kind);
}

struct chain *chain_get(struct lane *lane, enum entity_kind_id kind, int64_t namespace_number,
                        struct bytes business_id)
{
    uint64_t hash = chain_hash(kind, namespace_number, business_id);
    for (struct table_link *at = table_first(&lane->by_key, hash); at != NULL; at = table_next(at)) {
        struct chain *chain = CONTAINER_OF(at, struct chain, by_key);
        if (chain->kind == kind && chain->namespace_number == namespace_number &&
            bytes_equal(chain->business_id, business_id))
            return chain;
    }
    struct chain *chain = xcalloc(1, sizeof(*chain) + business_id.size);
    chain->kind = kind;
    chain->namespace_number = namespace_number;
    if (business_id.size != 0)
        memcpy(chain + 1, business_id.base, business_id.size);
    chain->business_id = bytes_of(chain + 1, business_id.size);
    list_init(&chain->entities);
    list_init(&chain->loads);
    list_init(&chain->active);
    list_init(&chain->quarantined);
    table_insert(&lane->by_key, &chain->by_key, hash);
    return chain;
}

static void chain_inactive(struct lane *lane, struct chain *chain)
{
    if (!list_linked(&chain->active))
        return;
    list_remove(&chain->active);
    lane->active_count--;
}

static void chain_free(struct lane *lane, struct chain *chain)
{
    assert(list_empty(&chain->entities) && list_empty(&chain->loads) && chain->pins == 0);
    chain_inactive(lane, chain);
    if (list_linked(&chain->quarantined)) {
        list_remove(&chain->quarantined);
        lane->quarantined_count--;
    }
    table_remove(&lane->by_key, &chain->by_key);
    free(chain);
}

void chain_free_if_idle(struct lane *lane, struct chain *chain)
{
    if (list_empty(&chain->entities) && list_empty(&chain->loads) && chain->pins == 0 &&
        chain->last_batch <= lane->durable_batch && !list_linked(&chain->quarantined))
        chain_free(lane, chain);
}

void cache_free_chains(struct lane *lane)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&lane->by_key, &iterator)) != NULL;) {
        struct chain *chain = CONTAINER_OF(at, struct chain, by_key);
        chain->pins = 0;
        chain_free(lane, chain);
    }
}

/* An open workflow that did something is about to do something again: a worker has its task, or a caller goes on. */
void chain_touch(struct lane *lane, struct chain *chain)
{
    chain_inactive(lane, chain);
    const struct entity *current = chain->current;
    if (current == NULL)
        return;
    if (current->kind->awaits_worker != NULL ? !current->kind->awaits_worker(current->state)
                                             : !current->kind->is_open(current->state))
        return;
    chain->active_at = lane->monotonic;
    list_append(&lane->active, &chain->active);
    lane->active_count++;
}

void cache_active_expire(struct lane *lane)
{
    while (!list_empty(&lane->active)) {
        struct chain *chain = LIST_ENTRY(lane->active.next, struct chain, active);
        if (lane->monotonic - chain->active_at < ACTIVE_NS)
            break;
        chain_inactive(lane, chain);
    }
}

/* --- entities --- */

struct entity *entity_find(struct lane *lane, store_number number)
{
    uint64_t hash = hash_u64((uint64_t)number);
    for (struct table_link *at = table_first(&lane->by_number, hash); at != NULL; at = table_next(at)) {
        struct entity *entity = CONTAINER_OF(at, struct entity, by_number);
        if (entity->number == number)
            return entity;
    }
    return NULL;
}

struct entity *entity_new(struct lane *lane, struct chain *chain, const struct entity_kind *kind,
                          const struct entity_identity *identity)
{
    struct entity *entity = xcalloc(1, sizeof(*entity));
    entity->lane = lane;
    entity->chain = chain;
    entity->kind = kind;
    entity->number = identity->number;
    entity->run_id = identity->run_id;
    entity->next_event_id = 1;
    entity->wakeup = entity->wakeup_durable = TIME_NEVER;
    entity->state = kind->state_new(identity);
    list_init(&entity->tail);
    list_init(&entity->lru);
    list_init(&entity->in_chain);
    heap_link_init(&entity->volatile_due);
    entity_resize(entity);
    return entity;
}

void entity_publish(struct entity *entity)
{
    struct lane *lane = entity->lane;
    assert(entity_find(lane, entity->number) == NULL);
    list_prepend(&entity->chain->entities, &entity->in_chain);
    table_insert(&lane->by_number, &entity->by_number, hash_u64((uint64_t)entity->number));
    list_append(&lane->lru, &entity->lru);
    entity->published = true;
    known_add(&lane->known, entity->chain->by_key.hash);
}

static void chain_lose(struct entity *entity)
{
    struct chain *chain = entity->chain;
    if (chain->current == entity) {
        chain->current = NULL;
        chain->current_known = false;
    }
    if (entity->published)
        table_remove(&entity->lane->by_number, &entity->by_number);
    entity->published = false;
}

void entity_hide(struct entity *entity)
{
    chain_lose(entity);
    entity->deleted = true;
    entity->chain->incarnation++; /* loads under way may have seen it */
}

void entity_free(struct entity *entity)
{
    struct lane *lane = entity->lane;
    assert(entity->open == NULL && entity->flight == NULL);
    chain_lose(entity);
    for (struct list *at; (at = list_take_first(&entity->tail)) != NULL;)
        free(LIST_ENTRY(at, struct tail_row, link));
    list_remove(&entity->in_chain);
    list_remove(&entity->lru);
    heap_remove(&lane->volatile_dues, &entity->volatile_due);
    lane->entity_bytes -= entity->size;
    entity->kind->state_free(entity->state);
    free(entity);
}

void entity_resize(struct entity *entity)
{
    size_t size = sizeof(*entity) + sizeof(struct chain) + entity->chain->business_id.size +
                  entity->tail_size + entity->kind->state_size(entity->state);
    entity->lane->entity_bytes += size - entity->size;
    entity->size = size;
}

void entity_touch(struct entity *entity)
{
    list_remove(&entity->lru);
    list_append(&entity->lane->lru, &entity->lru);
}

/* Drops the oldest rows of the tail while they are durable and more than it may hold. */
void entity_trim_tail(struct entity *entity)
{
    while (entity->tail_size > TAIL_SIZE_MAX) {
        struct tail_row *row = LIST_ENTRY(entity->tail.next, struct tail_row, link);
        if (row->first_event_id + (int64_t)row->event_count - 1 > entity->durable_event_id)
            break;
        list_remove(&row->link);
        entity->tail_size -= sizeof(*row) + row->size;
        free(row);
    }
    entity_resize(entity);
}

/* --- leaving memory --- */

static bool evictable(const struct entity *entity)
{
    return entity->open == NULL && entity->chain->pins == 0 &&
           (MUTANT(evicts_undurable) ||
            (entity->flight == NULL && entity->chain->last_batch <= entity->lane->durable_batch)) &&
           entity != entity->lane->singleton &&
           (entity->kind->is_pinned == NULL || MUTANT(evicts_waiting_updates) ||
            !entity->kind->is_pinned(entity->state));
}

static void evict(struct lane *lane)
{
    size_t   limit = lane->runtime->options.memory_limit / lane->runtime->lane_count;
    unsigned seen = 0;
    for (struct list *at = lane->lru.next, *next; at != &lane->lru && lane->entity_bytes > limit; at = next) {
        next = at->next;
        if (seen++ == TURN_EVICT_MAX)
            break;
        struct entity *entity = LIST_ENTRY(at, struct entity, lru);
        if (!evictable(entity)) {
            entity_touch(entity); /* so that the next turn does not meet the same ones again */
            continue;
        }
        struct chain *chain = entity->chain;
        entity_free(entity);
        chain_free_if_idle(lane, chain);
        lane->statistics.evictions++;
    }
}

void cache_turn(struct lane *lane)
{
    while (!list_empty(&lane->quarantined)) {
        struct chain *chain = LIST_ENTRY(lane->quarantined.next, struct chain, quarantined);
        if (lane->monotonic < chain->quarantined_until)
            break;
        list_remove(&chain->quarantined);
        lane->quarantined_count--;
        chain_free_if_idle(lane, chain);
    }
    evict(lane);
}

/* --- forgetting --- */

/* Memory is ahead of the disk by something that will never be there: what is left is what the disk says. Outputs and
 * changes that are in flight are the caller's to see to. */
void chain_forget(struct lane *lane, struct chain *chain)
{
    LIST_FOR_EACH (entity, &chain->entities, struct entity, in_chain) {
        commit_entity_gone(entity);
        if (!MUTANT(lost_batch_kept_in_memory))
            entity_free(entity);
    }
    chain->current = NULL;
    chain->current_known = false;
    chain->last_batch = chain->deleted_batch = 0;
    chain->joined_batch = 0;
    chain->incarnation++;
    lane->forgets++;
    chain_inactive(lane, chain);
}

void chain_mark_quarantined(struct lane *lane, struct chain *chain, const char *reason)
{
    log_error("entity.quarantined", "namespace=%" PRId64 " workflow_id=%.*s reason=%s",
              chain->namespace_number, BYTES_FMT(chain->business_id), reason);
    if (list_linked(&chain->quarantined) || lane->quarantined_count >= QUARANTINED_MAX)
        return;
    chain->quarantined_until = lane->monotonic + QUARANTINE_NS;
    list_append(&lane->quarantined, &chain->quarantined);
    lane->quarantined_count++;
}

bool chain_is_quarantined(const struct lane *lane, const struct chain *chain)
{
    return list_linked(&chain->quarantined) && lane->monotonic < chain->quarantined_until;
}

void cache_forget_all(struct lane *lane)
{
    known_forget(lane);
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&lane->by_key, &iterator)) != NULL;) {
        struct chain *chain = CONTAINER_OF(at, struct chain, by_key);
        if (chain->kind == ENTITY_NAMESPACES)
            continue;
        chain_forget(lane, chain);
        chain_free_if_idle(lane, chain);
    }
}
