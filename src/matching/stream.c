/* stream.c: the tasks of one priority and fairness key, and whose turn it is.
 *
 * Turns are weighted fair queueing: a task costs its stream 1 / weight, and the stream that has had least goes first. A
 * stream that comes back starts where the others are, so nobody saves turns up.
 */
#include "base/hash.h"
#include "base/mutant.h"
#include "matching/matching_internal.h"

#define TASK_COST INT64_C(1000000000) /* divided by a weight in thousandths */

struct matching_stream *stream_find(const struct matching_queue *queue, int32_t priority, struct bytes key)
{
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
        if (stream->priority == priority && bytes_equal(stream->key, key))
            return stream;
    }
    return NULL;
}

int queue_weight_order(const void *a, const void *b)
{
    return bytes_compare(((const struct queue_weight *)a)->key, ((const struct queue_weight *)b)->key);
}

static int32_t weight_of(const struct matching_queue *queue, struct bytes key, int32_t weight)
{
    const struct queue_config *config = queue->config;
    struct queue_weight        wanted = { .key = key }, *found = NULL;
    if (config != NULL && config->weight_count != 0)
        found = bsearch(&wanted, config->weights, config->weight_count, sizeof wanted, queue_weight_order);
    if (found != NULL)
        return found->weight;
    return weight <= 0 ? WEIGHT_DEFAULT : MIN(weight, WEIGHT_MAX);
}

void stream_set_weight(struct matching_stream *stream, int32_t weight)
{
    stream->task_weight = weight;
    stream->weight = weight_of(stream->queue, stream->key, weight);
}

struct matching_stream *stream_new(struct matching_queue *queue, int32_t priority, struct bytes key,
                                   int32_t weight)
{
    struct matching        *matching = queue->matching;
    struct matching_stream *stream = xcalloc(1, sizeof *stream);
    stream->queue = queue;
    stream->priority = priority;
    stream->key = bytes_own(key);
    stream_set_weight(stream, weight);
    heap_link_init(&stream->turn);
    size_t size = key.size == 0 ? matching->window_size
                                : MIN(matching->window_size, (size_t)STREAM_WINDOW_SIZE);
    window_init(&stream->window, size, item_free);
    arena_init(&stream->arena, SIZE_MAX);
    list_append(&queue->streams, &stream->siblings);
    queue->stream_count++;
    return stream;
}

void stream_free(struct matching_stream *stream)
{
    struct matching_queue *queue = stream->queue;
    assert(!stream->window.refilling);
    heap_remove(&queue->turns, &stream->turn);
    window_release(&stream->window);
    list_remove(&stream->siblings);
    queue->stream_count--;
    arena_release(&stream->arena);
    bytes_disown(&stream->key);
    free(stream);
}

struct matching_stream *stream_victim(const struct matching_queue *queue, int32_t priority, bool rotates)
{
    struct matching_stream *victim = NULL;
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
        if (stream_is_idle(stream))
            return stream;
        if (stream->window.refilling || stream->priority < priority ||
            (stream->priority == priority && !rotates))
            continue;
        if (victim == NULL || stream->priority > victim->priority ||
            (stream->priority == victim->priority && stream->pass > victim->pass))
            victim = stream;
    }
    return victim;
}

bool stream_is_idle(const struct matching_stream *stream)
{
    return stream_first(stream) == NULL && !stream->window.more && !stream->window.refilling;
}

void stream_settle(struct matching_stream *stream)
{
    struct matching_queue *queue = stream->queue;
    if (stream_first(stream) == NULL) {
        heap_remove(&queue->turns, &stream->turn);
        if (stream->key.size != 0 && stream_is_idle(stream))
            stream_free(stream);
        return;
    }
    if (heap_linked(&stream->turn))
        return;
    stream->pass = MAX(stream->pass, queue->passes[priority_slot(stream->priority)]);
    heap_push(&queue->turns, &stream->turn, MUTANT(priority_ignored) ? 0 : stream->priority,
              (uint64_t)stream->pass);
}

/* A stream of a better priority has its rows on disk only: what is in memory waits for the read. */
static bool is_outranked(const struct matching_queue *queue, int32_t priority)
{
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
        if (stream->priority < priority && stream_first(stream) == NULL && !stream->failed &&
            (stream->window.more || stream->window.refilling))
            return true;
    }
    return false;
}

static double key_rate(const struct matching_stream *stream)
{
    return stream->queue->config->key_rate * stream->weight / WEIGHT_DEFAULT;
}

/* With limits of keys the first in turn may have to wait while others go on. */
static struct matching_stream *next_within_limits(const struct matching_queue *queue, int64_t now,
                                                  int64_t *ret_resume)
{
    struct matching_stream *best = NULL;
    for (size_t i = 0; i < queue->turns.count; i++) {
        struct matching_stream *stream = CONTAINER_OF(queue->turns.members[i], struct matching_stream, turn);
        int64_t                 ready = bucket_ready(&stream->bucket, key_rate(stream));
        if (ready > now)
            *ret_resume = MIN(*ret_resume, ready);
        else if (best == NULL || stream->priority < best->priority ||
                 (stream->priority == best->priority && stream->pass < best->pass))
            best = stream;
    }
    return best;
}

struct matching_stream *stream_next(struct matching_queue *queue, int64_t now, int64_t *ret_resume)
{
    const struct heap_link *first = heap_first(&queue->turns);
    struct matching_stream *stream = first == NULL ? NULL : CONTAINER_OF(first, struct matching_stream, turn);
    if (stream != NULL && queue->config != NULL && queue->config->has_key_rate)
        stream = next_within_limits(queue, now, ret_resume);
    return stream == NULL || is_outranked(queue, stream->priority) ? NULL : stream;
}

void stream_charge(struct matching_stream *stream, int64_t now)
{
    struct matching_queue *queue = stream->queue;
    queue->passes[priority_slot(stream->priority)] = stream->pass;
    stream->pass += MUTANT(fairness_ignored) ? 0 : TASK_COST / stream->weight;
    if (queue->config != NULL && queue->config->has_key_rate)
        bucket_take(&stream->bucket, key_rate(stream), now);
    /* To its new place, or out. */
    heap_remove(&queue->turns, &stream->turn);
}

bool queue_has_more(const struct matching_queue *queue)
{
    if (queue->heads_wanted)
        return true;
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
        if (stream->window.more)
            return true;
    }
    return false;
}

/* --- items --- */

struct window_key item_key(const struct store_ready *task)
{
    return (struct window_key){ 0, task->sequence };
}

static struct bytes item_copy(uint8_t **at, struct bytes slice)
{
    struct bytes copy = bytes_of(*at, slice.size);
    if (slice.size != 0)
        memcpy(*at, slice.base, slice.size);
    *at += slice.size;
    return copy;
}

struct matching_item *item_new(struct matching_stream *stream, const struct store_ready *task)
{
    struct matching_queue *queue = stream->queue;
    struct matching_item  *item = xmalloc(sizeof *item + task->workflow_id.size + task->version.size);
    uint8_t               *at = (uint8_t *)(item + 1);
    *item = (struct matching_item){ .stream = stream, .task = *task };
    item->task.queue = queue->name;
    item->task.normal_queue = queue->sticky ? queue->family->normal : BYTES_EMPTY;
    item->task.fairness_key = stream->key;
    item->task.workflow_id = item_copy(&at, task->workflow_id);
    item->task.version = item_copy(&at, task->version);
    table_insert(&queue->matching->items, &item->by_sequence, hash_u64((uint64_t)task->sequence));
    queue->item_count++;
    return item;
}

void item_free(struct window_link *link)
{
    struct matching_item  *item = CONTAINER_OF(link, struct matching_item, window);
    struct matching_queue *queue = item->stream->queue;
    table_remove(&queue->matching->items, &item->by_sequence);
    queue->item_count--;
    free(item);
}
