/* refill.c: reads rows into windows, sweeps queues that might have missed an offer, and forgets idle ones. */
#include "matching/matching_internal.h"

#define REFILL_SIZE_MAX (1U << 20)

static int32_t clamp_priority(int64_t major)
{
    return major < INT32_MIN ? INT32_MIN : major > INT32_MAX ? INT32_MAX : (int32_t)major;
}

/* Rows are worth reading only for pollers: the queue's own, or those of the normal queue when this one is dead. */
static bool queue_served(const struct matching_queue *queue)
{
    if (!list_empty(&queue->pollers))
        return true;
    return queue_dead(queue) && queue->family->workflow != NULL &&
           !list_empty(&queue->family->workflow->pollers);
}

static void match_served(struct matching_queue *queue)
{
    if (!queue_dead(queue))
        queue_match(queue);
    else if (queue->family->workflow != NULL)
        queue_match(queue->family->workflow);
}

static void refill_done(struct message *message)
{
    struct store_read     *read = CONTAINER_OF(message, struct store_read, message);
    struct matching_queue *queue = CONTAINER_OF(read, struct matching_queue, read);
    queue->matching->reads--;
    if (read->status != ST_OK) {
        window_refill_failed(&queue->window); /* the sweep tries again */
    } else {
        for (size_t i = 0; i < read->ready_count; i++) {
            struct matching_item *item = item_new(queue, &read->ready[i]);
            window_refill_row(&queue->window, &item->window, item_key(&read->ready[i]));
        }
        window_refill_end(&queue->window, !read->more);
    }
    arena_reset(&queue->read_arena);
    queue->sweeping = false;
    queue_restock(queue);
    match_served(queue);
    if (read->status == ST_OK && window_wants_refill(&queue->window))
        queue_work(queue);
    queue_schedule(queue);
}

/* Every batch that was sealed before the refill began is durable. */
static void refill_read(struct message *message)
{
    struct matching_queue *queue = CONTAINER_OF(message, struct matching_queue, sealed);
    struct matching       *matching = queue->matching;
    queue->read = (struct store_read){
        .kind = STORE_READ_READY,
        .namespace_number = queue->family->namespace_number,
        .queue = queue->name,
        .task_kind = queue->kind,
        .after_priority = clamp_priority(queue->window.mark.major),
        .after = queue->window.mark.minor,
        .limit = matching->window_size,
        .size_limit = REFILL_SIZE_MAX,
        .arena = &queue->read_arena,
        .home = lane_mailbox(matching->lane),
        .message.run = refill_done,
    };
    store_read(matching->store, &queue->read);
}

static void refill_begin(struct matching_queue *queue)
{
    window_refill_begin(&queue->window);
    queue->matching->reads++;
    queue->matching->refills++;
    queue->sealed.run = refill_read;
    lane_after_sealed(queue->matching->lane, &queue->sealed);
}

static void queue_look(struct matching_queue *queue)
{
    queue_match(queue);
    if (window_wants_refill(&queue->window) && queue_served(queue))
        refill_begin(queue);
    /* A poller of the normal queue also serves the sticky queues that died. */
    if (queue == queue->family->workflow && !list_empty(&queue->pollers)) {
        LIST_FOR_EACH (sticky, &queue->family->stocked, struct matching_queue, stock) {
            if (queue_dead(sticky) && window_wants_refill(&sticky->window))
                refill_begin(sticky);
        }
    }
}

/* Its time has come: a sweep, the death of a sticky queue, or nobody needs it any more. */
static void queue_strike(struct matching_queue *queue)
{
    struct matching *matching = queue->matching;
    int64_t          now = queue_now(queue);
    if (!list_empty(&queue->pollers) && now - queue->swept >= MATCHING_SWEEP_NS) {
        queue->swept = now;
        if (!queue->window.refilling) {
            queue->sweeping = window_first(&queue->window) == NULL && !queue->window.more;
            window_mark_dirty(&queue->window);
            queue_restock(queue);
            matching->swept++;
            queue_look(queue);
        }
    } else if (list_empty(&queue->pollers) && list_empty(&queue->directs) && !queue->window.refilling &&
               now - queue->last_used >= MATCHING_IDLE_NS) {
        queue_free(queue);
        return;
    } else if (queue_dead(queue)) {
        match_served(queue);
    }
    if (list_empty(&queue->pollers) && now - queue->last_used >= MATCHING_IDLE_NS)
        queue->last_used = now; /* something still hangs on it; look again later */
    queue_schedule(queue);
}

void matching_turn(struct matching *matching)
{
    int64_t now = lane_now(matching->lane);
    for (size_t i = 0; i < MATCHING_TURN_MAX; i++) {
        struct heap_link *first = heap_first(&matching->dues);
        if (first == NULL || first->due > now)
            break;
        struct matching_queue *queue = CONTAINER_OF(first, struct matching_queue, due);
        heap_remove(&matching->dues, first);
        queue_strike(queue);
    }
    for (size_t i = 0; i < MATCHING_TURN_MAX; i++) {
        struct list *first = list_take_first(&matching->work);
        if (first == NULL)
            break;
        queue_look(LIST_ENTRY(first, struct matching_queue, work));
    }
}

int64_t matching_next_due(const struct matching *matching)
{
    if (!list_empty(&matching->work))
        return lane_now(matching->lane);
    const struct heap_link *first = heap_first(&matching->dues);
    return first == NULL ? TIME_NEVER : first->due;
}

void matching_mark_dirty(struct matching *matching)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&matching->queues, &iterator)) != NULL;) {
        struct matching_queue *queue = CONTAINER_OF(at, struct matching_queue, table);
        window_mark_dirty(&queue->window);
        queue_restock(queue);
        queue->sweeping = false;
        queue_work(queue);
    }
}

struct matching *matching_new(struct lane *lane, size_t window_size)
{
    struct matching *matching = xcalloc(1, sizeof *matching);
    matching->lane = lane;
    matching->store = runtime_store(lane_runtime(lane));
    matching->window_size = window_size == 0 ? MATCHING_WINDOW_SIZE : window_size;
    table_init(&matching->families);
    table_init(&matching->queues);
    table_init(&matching->items);
    heap_init(&matching->dues);
    list_init(&matching->work);
    return matching;
}

bool matching_idle(const struct matching *matching)
{
    return matching->reads == 0 && matching->poller_count == 0;
}

void matching_abandon(struct matching *matching)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&matching->queues, &iterator)) != NULL;) {
        struct matching_queue *queue = CONTAINER_OF(at, struct matching_queue, table);
        list_init(&queue->pollers);
        list_init(&queue->directs);
        if (queue->window.refilling)
            window_refill_failed(&queue->window);
    }
    matching->poller_count = matching->reads = 0;
}

void matching_free(struct matching *matching)
{
    if (matching == NULL)
        return;
    assert(matching_idle(matching));
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&matching->queues, &iterator)) != NULL;)
        queue_free(CONTAINER_OF(at, struct matching_queue, table));
    assert(matching->families.count == 0);
    assert(matching->items.count == 0);
    table_release(&matching->families);
    table_release(&matching->queues);
    table_release(&matching->items);
    heap_release(&matching->dues);
    free(matching);
}

void matching_statistics(const struct matching *matching, struct matching_statistics *ret_statistics)
{
    *ret_statistics = (struct matching_statistics){
        .queues = matching->queues.count,
        .pollers = matching->poller_count,
        .items = matching->items.count,
        .offers = matching->offers,
        .matches = matching->matches,
        .reservations = matching->reservations,
        .refills = matching->refills,
        .swept = matching->swept,
    };
}
