/* refill.c: reads rows into windows, sweeps queues that might have missed an offer, and forgets idle ones. */
#include "base/mutant.h"
#include "matching/matching_internal.h"

#define REFILL_SIZE_MAX (1U << 20)

/* Workers that are all busy poll again soon. */
static bool is_polled(const struct matching_queue *queue)
{
    return !list_empty(&queue->pollers) ||
           (queue->last_poll != 0 && queue_now(queue) - queue->last_poll < MATCHING_ALIVE_NS);
}

/* Rows are worth reading only for pollers: the queue's own, or those of the normal queue when this one is dead. */
static bool queue_served(const struct matching_queue *queue)
{
    if (!queue_dead(queue))
        return is_polled(queue);
    return queue->family->workflow != NULL && is_polled(queue->family->workflow);
}

static void match_served(struct matching_queue *queue)
{
    if (!queue_dead(queue))
        queue_match(queue);
    else if (queue->family->workflow != NULL)
        queue_match(queue->family->workflow);
}

static void read_over(struct matching_queue *queue, bool good)
{
    queue_restock(queue);
    match_served(queue);
    /* After a failure the next poll or the sweep tries again. */
    if (good && queue_wants_read(queue))
        queue_work(queue);
    queue_schedule(queue);
}

/* --- a stream's rows --- */

static void refill_done(struct message *message)
{
    struct store_read      *read = CONTAINER_OF(message, struct store_read, message);
    struct matching_stream *stream = CONTAINER_OF(read, struct matching_stream, read);
    struct matching_queue  *queue = stream->queue;
    bool                    good = read->status == ST_OK;
    queue->matching->reads--;
    queue->refills--;
    stream->failed = !good;
    if (good) {
        for (size_t i = 0; i < read->ready_count; i++) {
            struct matching_item *item = item_new(stream, &read->ready[i]);
            window_refill_row(&stream->window, &item->window, item_key(&read->ready[i]));
        }
        window_refill_end(&stream->window, !read->more);
    } else {
        window_refill_failed(&stream->window);
    }
    arena_release(&stream->arena);
    arena_init(&stream->arena, SIZE_MAX);
    stream_settle(stream);
    read_over(queue, good);
}

/* Every batch that was sealed before the refill began is durable. */
static void refill_read(struct message *message)
{
    struct matching_stream *stream = CONTAINER_OF(message, struct matching_stream, sealed);
    struct matching_queue  *queue = stream->queue;
    stream->read = (struct store_read){
        .kind = STORE_READ_READY,
        .namespace_number = queue->family->namespace_number,
        .queue = queue->name,
        .task_kind = queue->kind,
        .priority = stream->priority,
        .fairness_key = stream->key,
        .after = stream->window.mark.minor,
        .limit = stream->window.capacity,
        .size_limit = REFILL_SIZE_MAX,
        .arena = &stream->arena,
        .home = lane_mailbox(queue->matching->lane),
        .message.run = refill_done,
    };
    store_read(queue->matching->store, &stream->read);
}

static void refill_begin(struct matching_stream *stream)
{
    struct matching_queue *queue = stream->queue;
    window_refill_begin(&stream->window);
    queue->refills++;
    queue->matching->reads++;
    queue->matching->refills++;
    stream->sealed.run = refill_read;
    lane_after_sealed(queue->matching->lane, &stream->sealed);
}

static struct matching_stream *stream_to_refill(const struct matching_queue *queue)
{
    struct matching_stream *best = NULL;
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
        if (window_wants_refill(&stream->window) &&
            (best == NULL || stream->priority < best->priority ||
             (stream->priority == best->priority && stream->pass < best->pass)))
            best = stream;
    }
    return best;
}

/* --- which streams there are: the first row of each --- */

static void scan_restart(struct matching_queue *queue)
{
    bytes_disown(&queue->scan_key);
    queue->scan_priority = INT32_MIN;
    queue->scan_whole = true;
}

static void scan_reached(struct matching_queue *queue, const struct store_ready *row)
{
    bytes_disown(&queue->scan_key);
    queue->scan_key = bytes_own(row->fairness_key);
    queue->scan_priority = row->priority;
}

/* Finds or makes the stream of a first row. False: there is no room for it. */
static bool scan_take(struct matching_queue *queue, const struct store_ready *row, size_t *rotated)
{
    struct matching        *matching = queue->matching;
    struct matching_stream *stream = stream_find(queue, row->priority, row->fairness_key);
    if (stream != NULL) {
        /* What a sweep finds was handed out and is not gone yet, or its offer went astray. */
        if (queue->swept_scan) {
            window_mark_dirty(&stream->window);
            stream_settle(stream);
        }
        return true;
    }
    if (queue->stream_count >= matching->streams_max) {
        bool rotates = queue->swept_scan && *rotated < matching->streams_max / 2;
        stream = stream_victim(queue, row->priority, rotates);
        if (stream == NULL)
            return false;
        if (!stream_is_idle(stream)) {
            queue->heads_wanted = true;
            ++*rotated;
        }
        stream_free(stream);
    }
    stream_new(queue, row->priority, row->fairness_key, row->fairness_weight);
    return true;
}

static void scan_take_all(struct matching_queue *queue, const struct store_read *read)
{
    size_t rotated = 0;
    for (size_t i = 0; i < read->ready_count; i++) {
        if (!scan_take(queue, &read->ready[i], &rotated)) {
            queue->heads_wanted = true;
            queue->scan_whole = false;
            return;
        }
        scan_reached(queue, &read->ready[i]);
    }
    if (read->more) {
        queue->heads_wanted = true;
        return;
    }
    /* What was left out before this scan's beginning is looked for by the next one. */
    if (!queue->scan_whole)
        queue->heads_wanted = true;
    scan_restart(queue);
}

static void scan_done(struct message *message)
{
    struct store_read     *read = CONTAINER_OF(message, struct store_read, message);
    struct matching_queue *queue = CONTAINER_OF(read, struct matching_queue, read);
    bool                   good = read->status == ST_OK;
    queue->matching->reads--;
    queue->scanning = false;
    if (good)
        scan_take_all(queue, read);
    else
        queue->heads_wanted = true;
    queue->sweeping = queue->swept_scan = false;
    arena_release(&queue->arena);
    arena_init(&queue->arena, SIZE_MAX);
    read_over(queue, good);
}

static void scan_read(struct message *message)
{
    struct matching_queue *queue = CONTAINER_OF(message, struct matching_queue, sealed);
    struct matching       *matching = queue->matching;
    queue->read = (struct store_read){
        .kind = STORE_READ_READY_HEADS,
        .namespace_number = queue->family->namespace_number,
        .queue = queue->name,
        .task_kind = queue->kind,
        .priority = queue->scan_priority,
        .fairness_key = arena_copy(&queue->arena, queue->scan_key),
        .limit = matching->streams_max,
        .size_limit = REFILL_SIZE_MAX,
        .arena = &queue->arena,
        .home = lane_mailbox(matching->lane),
        .message.run = scan_done,
    };
    store_read(matching->store, &queue->read);
}

static void scan_begin(struct matching_queue *queue)
{
    queue->scanning = true;
    queue->heads_wanted = false;
    queue->matching->reads++;
    queue->matching->refills++;
    queue->sealed.run = scan_read;
    lane_after_sealed(queue->matching->lane, &queue->sealed);
}

/* A scan is for several streams at a time: each costs the store a search of its index. */
static bool scan_has_room(const struct matching_queue *queue)
{
    size_t most = queue->matching->streams_max, idle = 0;
    if (queue->stream_count + MAX(most / 4, (size_t)1) <= most || queue->swept_scan)
        return true;
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings)
        idle += stream_is_idle(stream) ? 1 : 0;
    return queue->stream_count - idle + MAX(most / 4, (size_t)1) <= most;
}

/* --- what to read --- */

bool queue_wants_read(const struct matching_queue *queue)
{
    if (queue->heads_wanted && !queue->scanning && scan_has_room(queue))
        return true;
    return queue->refills < STREAM_REFILLS_MAX && stream_to_refill(queue) != NULL;
}

void queue_read(struct matching_queue *queue)
{
    if (queue->heads_wanted && !queue->scanning && scan_has_room(queue))
        scan_begin(queue);
    while (queue->refills < STREAM_REFILLS_MAX) {
        struct matching_stream *stream = stream_to_refill(queue);
        if (stream == NULL)
            return;
        refill_begin(stream);
    }
}

void queue_mark_dirty(struct matching_queue *queue)
{
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
        window_mark_dirty(&stream->window);
        stream_settle(stream);
    }
    queue->heads_wanted = true;
    queue->sweeping = false;
    if (queue->scanning)
        queue->scan_whole = false; /* what it finds may be stale: another one follows it */
    else
        scan_restart(queue);
    queue_restock(queue);
}

static void queue_look(struct matching_queue *queue)
{
    queue_match(queue);
    if (queue_served(queue))
        queue_read(queue);
    /* A poller of the normal queue also serves the sticky queues that died. */
    if (queue == queue->family->workflow && !list_empty(&queue->pollers)) {
        LIST_FOR_EACH (sticky, &queue->family->stocked, struct matching_queue, stock) {
            if (queue_dead(sticky))
                queue_read(sticky);
        }
    }
}

static bool caught_up(const struct matching_queue *queue)
{
    return queue->turns.count == 0 && !queue_has_more(queue) && queue->refills == 0;
}

/* Reads all heads again: an offer may have been lost. */
static void queue_sweep(struct matching_queue *queue, int64_t now)
{
    queue->swept = now;
    queue_ask_config(queue);
    if (queue->scanning)
        return;
    queue->sweeping = caught_up(queue);
    queue->swept_scan = true;
    queue->heads_wanted = true;
    /* With too many streams a sweep goes on where the last one ended, so that each has its turn. */
    if (queue->stream_count < queue->matching->streams_max)
        scan_restart(queue);
    queue_restock(queue);
    queue->matching->swept++;
    queue_look(queue);
}

/* Its time has come: a sweep, the end of a wait for a limit, the death of a sticky queue, or nobody needs it any more. */
static void queue_strike(struct matching_queue *queue)
{
    int64_t now = queue_now(queue);
    if (!list_empty(&queue->pollers)) {
        queue_match(queue);
        if (now - queue->swept >= MATCHING_SWEEP_NS && !MUTANT(offer_lost_for_ever))
            queue_sweep(queue, now);
    } else if (list_empty(&queue->directs) && !queue->scanning && queue->refills == 0 &&
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
        if (MUTANT(dirty_queue_not_read))
            continue;
        queue_mark_dirty(queue);
        queue_work(queue);
    }
}

struct matching *matching_new(struct lane *lane, size_t                                        window_size,
                              void (*ask)(void *context, const struct queue_name *name), void *context)
{
    struct matching *matching = xcalloc(1, sizeof *matching);
    matching->lane = lane;
    matching->ask = ask;
    matching->ask_context = context;
    matching->store = runtime_store(lane_runtime(lane));
    matching->window_size = window_size == 0 ? MATCHING_WINDOW_SIZE : window_size;
    matching->streams_max = MIN(matching->window_size, (size_t)STREAMS_MAX);
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

bool matching_reads(const struct matching *matching)
{
    return matching->reads != 0;
}

void matching_abandon(struct matching *matching)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&matching->queues, &iterator)) != NULL;) {
        struct matching_queue *queue = CONTAINER_OF(at, struct matching_queue, table);
        list_init(&queue->pollers);
        list_init(&queue->directs);
        queue->scanning = false;
        queue->refills = 0;
        LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
            if (stream->window.refilling)
                window_refill_failed(&stream->window);
        }
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

void matching_each_backlog(const struct matching *matching,
                           void (*each)(void *context, const struct matching_backlog *backlog), void *context)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&matching->queues, &iterator)) != NULL;) {
        const struct matching_queue *queue = CONTAINER_OF(at, struct matching_queue, table);
        struct matching_backlog backlog = { .name = { .namespace_number = queue->family->namespace_number,
                                                      .name = queue->name,
                                                      .kind = queue->kind },
                                            .count = queue->item_count + queue->fleeting_count,
                                            .pollers = queue->poller_count,
                                            .more = queue_has_more(queue) };
        if (queue->sticky || queue->kind == STORE_TASK_CALLBACK)
            continue;
        LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
            const struct matching_item *first = stream_first(stream);
            if (first != NULL &&
                (backlog.oldest_created == 0 || first->task.created_time < backlog.oldest_created))
                backlog.oldest_created = first->task.created_time;
        }
        each(context, &backlog);
    }
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
