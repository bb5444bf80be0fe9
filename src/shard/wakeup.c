/* wakeup.c: due times. One row per entity, kept lazily; a window of them in memory; a request when one comes. */
#include "base/mutant.h"
#include "shard/shard_internal.h"

/* An internal request: the time of an entity has come. Pooled; its arena is reset with each use. The request stands last,
 * because the kind's own struct around it is larger (kind->request_size) and decide writes its answers there. */
struct due_request {
    struct list    all; /* in lane->due_all */
    struct arena   arena;
    int64_t        due;
    bool           is_volatile; /* no row stands behind it */
    struct request request;
};

struct wakeup_read {
    struct list       link;   /* in lane->wakeup_reads */
    struct message    sealed; /* posted when what was sealed before the refill is durable */
    struct store_read read;
    struct arena      arena;
    struct lane      *lane;
    bool              abandoned;
};

static void item_free(struct window_link *link)
{
    free(CONTAINER_OF(link, struct wakeup_item, link));
}

static struct window_link *item_new(store_number entity, int64_t due, enum entity_kind_id kind,
                                    int64_t namespace_number, struct bytes business_id)
{
    struct wakeup_item *item = xcalloc(1, sizeof(*item) + business_id.size);
    item->due = due;
    item->entity = entity;
    item->kind = kind;
    item->namespace_number = namespace_number;
    if (business_id.size != 0)
        memcpy(item + 1, business_id.base, business_id.size);
    item->business_id = bytes_of(item + 1, business_id.size);
    return &item->link;
}

/* --- firing --- */

void wakeup_look_again(struct lane *lane, int64_t wait)
{
    lane->due_retry_at = MIN(lane->due_retry_at, time_add(lane->now, wait));
}

static void due_done(struct request *request)
{
    struct due_request *due = CONTAINER_OF(request, struct due_request, request);
    struct lane        *lane = request->home;
    /* Its row is still there: what could not be done now (a read failed, a full disk) is found again later; what is
     * quarantined not before that ends, or one damaged run would have all rows of the lane read again every second. */
    if (request->error.code == ST_INTERNAL || request->error.code == ST_DATA_LOSS)
        wakeup_look_again(lane, QUARANTINE_NS);
    else if (request->error.code != ST_OK)
        wakeup_look_again(lane, RETRY_NS);
    lane->due_running--;
    arena_reset(&due->arena);
    list_append(&lane->due_free, &request->link);
}

static void submit_due(struct lane *lane, const struct wakeup_item *item, bool is_volatile)
{
    size_t              request_size = runtime_request_size(lane->runtime);
    struct list        *free_one = list_take_first(&lane->due_free);
    struct due_request *due;
    if (free_one != NULL) {
        due = CONTAINER_OF(LIST_ENTRY(free_one, struct request, link), struct due_request, request);
    } else {
        due = xcalloc(1, offsetof(struct due_request, request) + request_size);
        arena_init(&due->arena, SIZE_MAX);
        list_append(&lane->due_all, &due->all);
    }
    lane->due_running++;
    lane->statistics.wakeups++;
    due->due = item->due;
    due->is_volatile = is_volatile;
    memset(&due->request, 0, request_size);
    due->request = (struct request){
        .arena = &due->arena,
        .kind = item->kind,
        .namespace_number = item->namespace_number,
        .business_id = arena_copy(&due->arena, item->business_id),
        .command = ENTITY_COMMAND_DUE,
        .done = due_done,
    };
    request_prepare(lane, &due->request);
    due->request.number = item->entity;
    lane_enqueue(lane, &due->request);
}

void wakeup_fire(struct lane *lane)
{
    if (lane->read_only || lane->settling)
        return;
    if (lane->wakeup_retry_at <= lane->now)
        lane->wakeup_retry_at = TIME_NEVER;
    if (lane->due_retry_at <= lane->now) {
        lane->due_retry_at = TIME_NEVER;
        window_mark_dirty(&lane->wakeups);
    }
    for (unsigned i = 0; i < TURN_WAKEUPS_MAX && lane->due_running < TURN_WAKEUPS_MAX; i++) {
        struct window_link *link = window_first(&lane->wakeups);
        if (link == NULL || link->key.major > lane->now)
            break;
        window_take(&lane->wakeups, link);
        submit_due(lane, CONTAINER_OF(link, struct wakeup_item, link), false);
        item_free(link);
    }
    for (unsigned i = 0; i < TURN_WAKEUPS_MAX && lane->due_running < TURN_WAKEUPS_MAX; i++) {
        struct heap_link *first = heap_first(&lane->volatile_dues);
        if (first == NULL || first->due > lane->now)
            break;
        struct entity     *entity = CONTAINER_OF(first, struct entity, volatile_due);
        struct wakeup_item item = { .due = first->due,
                                    .entity = entity->number,
                                    .kind = entity->kind->id,
                                    .namespace_number = entity->chain->namespace_number,
                                    .business_id = entity->chain->business_id };
        heap_remove(&lane->volatile_dues, first);
        submit_due(lane, &item, true);
    }
}

void wakeup_adjust_volatile(struct entity *entity)
{
    struct heap *dues = &entity->lane->volatile_dues;
    if (entity->kind->volatile_due == NULL)
        return;
    int64_t due = entity->kind->volatile_due(entity->state);
    if (heap_linked(&entity->volatile_due) && entity->volatile_due.due == due)
        return;
    heap_remove(dues, &entity->volatile_due);
    if (due != TIME_NEVER)
        heap_push(dues, &entity->volatile_due, due, (uint64_t)entity->number);
}

static int64_t any_due(const struct entity *entity)
{
    int64_t due = entity->kind->next_due(entity->state);
    return entity->kind->volatile_due == NULL ? due : MIN(due, entity->kind->volatile_due(entity->state));
}

void wakeup_decide(struct lane *lane, struct chain *chain, struct entity *entity, struct request *request)
{
    struct due_request *due = CONTAINER_OF(request, struct due_request, request);
    if (entity == NULL && due->is_volatile) { /* it was forgotten, and what was due with it */
        lane_finish(lane, request);
        chain_free_if_idle(lane, chain);
        return;
    }
    if (entity == NULL) {
        commit_stray_wakeup(lane, request->number != 0 ? request->number : run_id_number(&request->run_id));
        lane_finish(lane, request);
        chain_free_if_idle(lane, chain);
        return;
    }
    if (!due->is_volatile) {
        if (entity->wakeup_durable == due->due)
            entity->wakeup_durable = TIME_NEVER;
        /* The row is spent, unless another one has been decided that replaces it. */
        if ((entity->wakeup_guessed || entity->wakeup == due->due) && !MUTANT(wakeup_cleared_early))
            entity->wakeup_fired = true;
    }
    if (any_due(entity) <= lane->now) {
        request_decide(lane, chain, entity, request);
        return;
    }
    wakeup_adjust(entity);
    wakeup_adjust_volatile(entity);
    lane_finish(lane, request);
}

/* --- the window --- */

void wakeup_released(struct entity *entity, const struct change *change)
{
    struct lane *lane = entity->lane;
    if (change->wakeup == WAKEUP_KEEP)
        return;
    if (entity->wakeup_durable != TIME_NEVER) {
        struct window_key   key = { entity->wakeup_durable, entity->number };
        struct window_link *link = window_removed(&lane->wakeups, key);
        if (link != NULL)
            item_free(link);
        entity->wakeup_durable = TIME_NEVER;
    }
    if (change->wakeup != WAKEUP_SET)
        return;
    entity->wakeup_durable = change->due;
    window_released(&lane->wakeups,
                    item_new(entity->number, change->due, entity->kind->id, entity->chain->namespace_number,
                             entity->chain->business_id),
                    (struct window_key){ change->due, entity->number });
}

static void read_free(struct wakeup_read *read)
{
    if (!read->abandoned)
        read->lane->wakeup_read = NULL;
    list_remove(&read->link);
    arena_release(&read->arena);
    free(read);
}

static void refill_answered(struct message *message)
{
    struct wakeup_read *read = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message),
                                            struct wakeup_read, read);
    struct lane        *lane = read->lane;
    if (read->abandoned) {
        read_free(read);
        return;
    }
    if (read->read.status != ST_OK) {
        window_refill_failed(&lane->wakeups);
        lane->wakeup_retry_at = MIN(lane->wakeup_retry_at, time_add(lane->now, RETRY_NS));
        read_free(read);
        return;
    }
    for (size_t i = 0; i < read->read.wakeup_count; i++) {
        const struct store_wakeup *row = &read->read.wakeups[i];
        struct window_key          key = { row->due, row->entity };
        if (runtime_kind(lane->runtime, (enum entity_kind_id)row->kind) != NULL &&
            runtime_owner(lane->runtime, row->namespace_number, row->workflow_id) == lane)
            window_refill_row(&lane->wakeups,
                              item_new(row->entity, row->due, (enum entity_kind_id)row->kind,
                                       row->namespace_number, row->workflow_id),
                              key);
        else
            window_refill_pass(&lane->wakeups, key);
    }
    window_refill_end(&lane->wakeups, !read->read.more);
    read_free(read);
}

static void refill_read(struct message *message)
{
    struct wakeup_read *read = CONTAINER_OF(message, struct wakeup_read, sealed);
    struct lane        *lane = read->lane;
    if (read->abandoned) {
        read_free(read);
        return;
    }
    read->read = (struct store_read){
        .kind = STORE_READ_WAKEUPS,
        .after_due = lane->wakeups.mark.major,
        .after = lane->wakeups.mark.minor,
        .limit = lane->runtime->options.window_size * lane->runtime->lane_count,
        .arena = &read->arena,
        .home = &lane->mailbox,
        .message = { .run = refill_answered },
    };
    store_read(lane->runtime->options.store, &read->read);
}

void wakeup_refill(struct lane *lane)
{
    if (lane->wakeup_read != NULL || lane->settling || lane->read_only ||
        !window_wants_refill(&lane->wakeups) || lane->wakeup_retry_at != TIME_NEVER)
        return;
    struct wakeup_read *read = xcalloc(1, sizeof(*read));
    read->lane = lane;
    arena_init(&read->arena, SIZE_MAX);
    read->sealed.run = refill_read;
    lane->wakeup_read = read;
    list_append(&lane->wakeup_reads, &read->link);
    window_refill_begin(&lane->wakeups);
    lane_after_sealed(lane, &read->sealed);
}

int64_t wakeup_next_due(const struct lane *lane)
{
    if (lane->read_only || lane->settling)
        return TIME_NEVER;
    const struct window_link *link = window_first(&lane->wakeups);
    int64_t                   due = MIN(lane->wakeup_retry_at, lane->due_retry_at);
    if (link != NULL && lane->due_running < TURN_WAKEUPS_MAX)
        due = MIN(due, link->key.major);
    const struct heap_link *first = heap_first(&lane->volatile_dues);
    if (first != NULL && lane->due_running < TURN_WAKEUPS_MAX)
        due = MIN(due, first->due);
    return due;
}

void wakeup_init(struct lane *lane)
{
    window_init(&lane->wakeups, lane->runtime->options.window_size, item_free);
    lane->wakeup_retry_at = lane->due_retry_at = TIME_NEVER;
    heap_init(&lane->volatile_dues);
    list_init(&lane->due_free);
    list_init(&lane->due_all);
    list_init(&lane->wakeup_reads);
}

void wakeup_forget_all(struct lane *lane)
{
    if (lane->wakeup_read != NULL) {
        lane->wakeup_read->abandoned = true;
        lane->wakeup_read = NULL;
        window_refill_failed(&lane->wakeups);
    }
    window_mark_dirty(&lane->wakeups);
}

void wakeup_free(struct lane *lane)
{
    while (!list_empty(&lane->wakeup_reads))
        read_free(LIST_ENTRY(lane->wakeup_reads.next, struct wakeup_read, link));
    for (struct list *at; (at = list_take_first(&lane->due_all)) != NULL;) {
        struct due_request *due = LIST_ENTRY(at, struct due_request, all);
        arena_release(&due->arena);
        free(due);
    }
    heap_release(&lane->volatile_dues);
    window_release(&lane->wakeups);
}
