/* matching.c: pollers meet tasks. The rows behind the windows are read in refill.c. */
#include "base/hash.h"
#include "base/mutant.h"
#include "matching/matching_internal.h"

/* --- names, families, queues --- */

struct bytes bytes_own(struct bytes slice)
{
    uint8_t *copy = xmalloc(slice.size + 1);
    if (slice.size != 0)
        memcpy(copy, slice.base, slice.size);
    return bytes_of(copy, slice.size);
}

void bytes_disown(struct bytes *slice)
{
    free((void *)(uintptr_t)slice->base);
    *slice = BYTES_EMPTY;
}

static uint64_t family_hash(int64_t namespace_number, struct bytes normal)
{
    return hash_combine(hash_bytes(normal), (uint64_t)namespace_number);
}

static uint64_t queue_hash(const struct queue_name *name)
{
    return hash_combine(family_hash(name->namespace_number, name->name), (uint64_t)name->kind);
}

static struct bytes normal_of(const struct queue_name *name)
{
    return name->normal.size != 0 ? name->normal : name->name;
}

static struct queue_name name_of_task(const struct store_ready *task)
{
    return (struct queue_name){ task->namespace_number, task->queue, task->normal_queue, task->kind };
}

int64_t queue_now(const struct matching_queue *queue)
{
    return lane_now(queue->matching->lane);
}

static struct matching_family *family_find(const struct matching *matching, int64_t number,
                                           struct bytes normal)
{
    uint64_t hash = family_hash(number, normal);
    for (struct table_link *at = table_first(&matching->families, hash); at != NULL; at = table_next(at)) {
        struct matching_family *family = CONTAINER_OF(at, struct matching_family, table);
        if (family->namespace_number == number && bytes_equal(family->normal, normal))
            return family;
    }
    return NULL;
}

struct matching_queue *matching_queue_find(const struct matching *matching, const struct queue_name *name)
{
    uint64_t hash = queue_hash(name);
    for (struct table_link *at = table_first(&matching->queues, hash); at != NULL; at = table_next(at)) {
        struct matching_queue *queue = CONTAINER_OF(at, struct matching_queue, table);
        if (queue->kind == name->kind && queue->family->namespace_number == name->namespace_number &&
            bytes_equal(queue->name, name->name) && bytes_equal(queue->family->normal, normal_of(name)))
            return queue;
    }
    return NULL;
}

static struct matching_family *family_get(struct matching *matching, const struct queue_name *name)
{
    struct bytes            normal = normal_of(name);
    struct matching_family *family = family_find(matching, name->namespace_number, normal);
    if (family != NULL)
        return family;
    family = xcalloc(1, sizeof *family);
    family->namespace_number = name->namespace_number;
    family->normal = bytes_own(normal);
    list_init(&family->queues);
    list_init(&family->stocked);
    table_insert(&matching->families, &family->table, family_hash(name->namespace_number, normal));
    return family;
}

/* NULL when the lane holds as many queues as it may. */
struct matching_queue *queue_get(struct matching *matching, const struct queue_name *name)
{
    struct matching_queue *queue = matching_queue_find(matching, name);
    if (queue != NULL || matching->queues.count >= MATCHING_QUEUES_MAX)
        return queue;
    queue = xcalloc(1, sizeof *queue);
    queue->matching = matching;
    queue->family = family_get(matching, name);
    queue->name = bytes_own(name->name);
    queue->kind = name->kind;
    queue->sticky = name->normal.size != 0;
    queue->last_used = queue->swept = lane_now(matching->lane);
    list_init(&queue->stock);
    list_init(&queue->work);
    list_init(&queue->pollers);
    list_init(&queue->directs);
    list_init(&queue->fleeting);
    heap_link_init(&queue->due);
    list_init(&queue->streams);
    heap_init(&queue->turns);
    queue->heads_wanted = true;
    queue->scan_priority = INT32_MIN;
    arena_init(&queue->arena, SIZE_MAX);
    list_append(&queue->family->queues, &queue->siblings);
    if (!queue->sticky && queue->kind == STORE_TASK_WORKFLOW)
        queue->family->workflow = queue;
    table_insert(&matching->queues, &queue->table, queue_hash(name));
    queue_schedule(queue);
    return queue;
}

static void config_free(struct queue_config *config)
{
    for (size_t i = 0; config != NULL && i < config->weight_count; i++)
        bytes_disown(&config->weights[i].key);
    if (config != NULL)
        free(config->weights);
    free(config);
}

/* NULL when nothing is set. */
static struct queue_config *config_copy(const struct queue_config *config)
{
    if (!config->has_rate && !config->has_key_rate && config->weight_count == 0)
        return NULL;
    struct queue_config *copy = xcalloc(1, sizeof *copy);
    *copy = *config;
    copy->weights = xcalloc(config->weight_count + 1, sizeof config->weights[0]);
    for (size_t i = 0; i < config->weight_count; i++)
        copy->weights[i] = (struct queue_weight){ bytes_own(config->weights[i].key),
                                                  config->weights[i].weight };
    qsort(copy->weights, copy->weight_count, sizeof copy->weights[0], queue_weight_order);
    return copy;
}

void queue_free(struct matching_queue *queue)
{
    struct matching        *matching = queue->matching;
    struct matching_family *family = queue->family;
    assert(list_empty(&queue->pollers));
    assert(list_empty(&queue->directs));
    assert(!queue->scanning && queue->refills == 0);
    fleeting_drop_all(queue);
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings)
        stream_free(stream);
    assert(queue->item_count == 0);
    heap_release(&queue->turns);
    list_remove(&queue->siblings);
    list_remove(&queue->stock);
    list_remove(&queue->work);
    heap_remove(&matching->dues, &queue->due);
    table_remove(&matching->queues, &queue->table);
    if (family->workflow == queue)
        family->workflow = NULL;
    for (size_t i = 0; i < queue->recent_count; i++)
        bytes_disown(&queue->recent[i].text);
    free(queue->recent);
    free(queue->rates);
    config_free(queue->config);
    arena_release(&queue->arena);
    bytes_disown(&queue->scan_key);
    bytes_disown(&queue->name);
    free(queue);
    if (list_empty(&family->queues)) {
        table_remove(&matching->families, &family->table);
        bytes_disown(&family->normal);
        free(family);
    }
}

/* --- life of a queue --- */

/* A poller that waits proves life; so does one that left with a task less than 10 s ago. */
bool queue_dead(const struct matching_queue *queue)
{
    if (!queue->sticky || MUTANT(dead_sticky_queue_kept))
        return false;
    if (queue->forgotten)
        return true;
    return list_empty(&queue->pollers) && queue_now(queue) - queue->last_poll >= MATCHING_ALIVE_NS;
}

void queue_restock(struct matching_queue *queue)
{
    bool stocked = queue->sticky && (queue->turns.count != 0 || queue_has_more(queue));
    if (stocked && !list_linked(&queue->stock))
        list_append(&queue->family->stocked, &queue->stock);
    else if (!stocked)
        list_remove(&queue->stock);
}

static int64_t queue_due_time(const struct matching_queue *queue)
{
    if (!list_empty(&queue->pollers)) {
        int64_t sweep = queue->swept + MATCHING_SWEEP_NS;
        return queue->resume == 0 ? sweep : MIN(sweep, queue->resume);
    }
    if (list_linked(&queue->stock) && !queue_dead(queue))
        return queue->last_poll + MATCHING_ALIVE_NS;
    return queue->last_used + MATCHING_IDLE_NS;
}

void queue_schedule(struct matching_queue *queue)
{
    int64_t due = queue_due_time(queue);
    if (heap_linked(&queue->due)) {
        if (queue->due.due <= due)
            return;
        heap_remove(&queue->matching->dues, &queue->due);
    }
    heap_push(&queue->matching->dues, &queue->due, due, 0);
}

void queue_work(struct matching_queue *queue)
{
    if (!list_linked(&queue->work))
        list_append(&queue->matching->work, &queue->work);
}

/* The slot of this identity: its own, a free one, or the one that was not heard of for longest. */
static struct recent_poller *recent_slot(struct matching_queue *queue, struct bytes identity)
{
    struct recent_poller *oldest = NULL;
    for (size_t i = 0; i < queue->recent_count; i++) {
        struct recent_poller *at = &queue->recent[i];
        if (bytes_equal(at->identity, identity))
            return at;
        if (oldest == NULL || at->last_access < oldest->last_access)
            oldest = at;
    }
    if (queue->recent_count == MATCHING_HISTORY_MAX)
        return oldest;
    if (queue->recent_count == queue->recent_capacity) {
        queue->recent_capacity = MAX(2 * queue->recent_capacity, 2U);
        queue->recent = xrealloc(queue->recent, queue->recent_capacity * sizeof queue->recent[0]);
    }
    queue->recent[queue->recent_count] = (struct recent_poller){ 0 };
    return &queue->recent[queue->recent_count++];
}

static struct bytes append_text(uint8_t **at, struct bytes text)
{
    struct bytes copy = bytes_of(*at, text.size);
    if (text.size != 0)
        memcpy(*at, text.base, text.size);
    *at += text.size;
    return copy;
}

static void remember_poller(struct matching_queue *queue, struct bytes identity,
                            const struct poll_terms *terms)
{
    struct recent_poller *slot = recent_slot(queue, identity);
    queue->last_poll = queue->last_used = queue_now(queue);
    if (slot->text.base == NULL || !bytes_equal(slot->identity, identity) ||
        !bytes_equal(slot->build_id, terms->build_id) ||
        !bytes_equal(slot->deployment_name, terms->deployment_name)) {
        uint8_t *text = xmalloc(identity.size + terms->build_id.size + terms->deployment_name.size + 1);
        bytes_disown(&slot->text);
        slot->text = bytes_of(text, 0);
        slot->identity = append_text(&text, identity);
        slot->build_id = append_text(&text, terms->build_id);
        slot->deployment_name = append_text(&text, terms->deployment_name);
    }
    slot->versioning_mode = terms->versioning_mode;
    slot->use_versioning = terms->use_versioning;
    slot->has_rate = terms->has_rate;
    slot->rate = terms->rate;
    slot->last_access = queue->last_poll;
}

/* --- matching --- */

void poller_leave(struct poller *poller)
{
    struct matching_queue *queue = poller->queue;
    assert(queue != NULL);
    list_remove(&poller->link);
    poller->queue = NULL;
    queue->poller_count--;
    queue->matching->poller_count--;
}

/* The stream whose task this queue's pollers take next: one of its own, or of a dead sticky sibling. */
static struct matching_stream *source_of(struct matching_queue *queue, int64_t now, int64_t *ret_resume)
{
    struct matching_stream *best = stream_next(queue, now, ret_resume);
    if (queue->family->workflow != queue)
        return best;
    LIST_FOR_EACH (sticky, &queue->family->stocked, struct matching_queue, stock) {
        struct matching_stream *stream = queue_dead(sticky) ? stream_next(sticky, now, ret_resume) : NULL;
        if (stream == NULL)
            continue;
        if (best == NULL || stream->priority < best->priority ||
            (stream->priority == best->priority &&
             stream_first(stream)->task.sequence < stream_first(best)->task.sequence))
            best = stream;
    }
    return best;
}

static void hand_over(struct matching_queue *queue, struct matching_stream *stream, int64_t now)
{
    struct matching_queue *source = stream->queue;
    struct poller         *poller = LIST_ENTRY(queue->pollers.next, struct poller, link);
    struct matching_item  *item = stream_first(stream);
    window_take(&stream->window, &item->window);
    stream_charge(stream, now);
    queue_rate_take(queue, now);
    rates_add(source, stream->priority, true);
    poller_leave(poller);
    queue->last_poll = queue->last_used = now;
    queue->matching->matches++;
    poller->assign(poller, &item->task);
    item_free(&item->window);
    stream_settle(stream); /* which may end it */
    queue_restock(source);
    if (queue_wants_read(source))
        queue_work(source);
}

void queue_ask_config(struct matching_queue *queue)
{
    struct matching *matching = queue->matching;
    if (queue->config_known || queue->config_asked)
        return;
    if (matching->ask == NULL || queue->sticky) {
        queue->config_known = true;
        return;
    }
    struct queue_name name = { queue->family->namespace_number, queue->name, BYTES_EMPTY, queue->kind };
    queue->config_asked = true;
    matching->ask(matching->ask_context, &name);
}

void queue_match(struct matching_queue *queue)
{
    queue->resume = 0;
    if (!queue->config_known)
        return;
    while (!list_empty(&queue->pollers)) {
        int64_t                 now = queue_now(queue), resume = TIME_NEVER;
        struct matching_stream *stream = NULL;
        if (queue_rate_ready(queue, now, &resume))
            stream = source_of(queue, now, &resume);
        if (stream != NULL) {
            hand_over(queue, stream, now);
            continue;
        }
        if (resume != TIME_NEVER) {
            queue->resume = resume;
            queue_schedule(queue);
        }
        return;
    }
}

enum status matching_poll(struct matching *matching, const struct queue_name *name, struct poller *poller,
                          const struct poll_terms *terms, struct error *error)
{
    assert(poller->queue == NULL);
    struct matching_queue *queue = queue_get(matching, name);
    if (queue == NULL)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "too many task queues on this server");
    if (matching->poller_count >= MATCHING_POLLERS_MAX || queue->poller_count >= MATCHING_QUEUE_POLLERS_MAX)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "too many pollers wait for task queue \"%.*s\"",
                         BYTES_FMT(queue->name));
    queue->forgotten = false;
    remember_poller(queue, poller->identity, terms);
    queue_ask_config(queue);
    if (terms->has_rate) {
        queue->has_worker_rate = true; /* the last word of any worker holds for all */
        queue->worker_rate = terms->rate;
    }
    if (!list_empty(&queue->directs) && list_empty(&queue->pollers)) {
        struct direct_task *direct = LIST_ENTRY(list_take_first(&queue->directs), struct direct_task, link);
        direct->queue = NULL;
        queue->direct_count--;
        poller->assign_direct(poller, direct);
        return ST_OK;
    }
    if (list_empty(&queue->pollers) && fleeting_assign(queue, poller))
        return ST_OK;
    if (poller->since == 0)
        poller->since = queue->last_poll;
    poller->queue = queue;
    list_append(&queue->pollers, &poller->link);
    queue->poller_count++;
    matching->poller_count++;
    queue_match(queue);
    if (!list_empty(&queue->pollers)) {
        if (queue_wants_read(queue) || !list_empty(&queue->family->stocked))
            queue_work(queue);
        queue_schedule(queue);
    }
    return ST_OK;
}

void matching_cancel(struct matching *matching, struct poller *poller)
{
    if (poller->queue == NULL)
        return;
    struct matching_queue *queue = poller->queue;
    assert(queue->matching == matching);
    poller_leave(poller);
    queue->last_used = queue_now(queue);
    queue_schedule(queue);
}

void matching_expire(struct matching *matching, struct poller *poller)
{
    struct matching_queue *queue = poller->queue;
    matching_cancel(matching, poller);
    if (queue != NULL)
        queue->last_poll = queue_now(queue);
}

/* Nothing older can be waiting: neither here nor on disk. */
static bool caught_up(const struct matching_queue *queue)
{
    if (queue->turns.count != 0 || queue->heads_wanted || (queue->scanning && !queue->sweeping))
        return false;
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
        if (stream->window.more || stream->window.refilling)
            return false;
    }
    return true;
}

struct poller *matching_reserve(struct matching *matching, const struct store_ready *task)
{
    struct queue_name      name = name_of_task(task);
    struct matching_queue *queue = matching_queue_find(matching, &name);
    if (name.normal.size != 0 && (queue == NULL || queue_dead(queue))) {
        if (queue != NULL && !caught_up(queue))
            return NULL;
        name = (struct queue_name){ name.namespace_number, name.normal, BYTES_EMPTY, name.kind };
        queue = matching_queue_find(matching, &name);
    }
    int64_t resume = TIME_NEVER;
    if (queue == NULL || list_empty(&queue->pollers) || !queue->config_known ||
        (!caught_up(queue) && !MUTANT(new_task_overtakes)))
        return NULL;
    int64_t now = queue_now(queue);
    /* A key's own limit is left to its stream, which a task that is not written yet has not. */
    if ((queue->config != NULL && queue->config->has_key_rate) || !queue_rate_ready(queue, now, &resume) ||
        source_of(queue, now, &resume) != NULL)
        return NULL;
    struct poller *poller = LIST_ENTRY(queue->pollers.next, struct poller, link);
    poller_leave(poller);
    queue->last_poll = queue->last_used = now;
    queue_rate_take(queue, now);
    rates_add(queue, task->priority, false);
    rates_add(queue, task->priority, true);
    matching->reservations++;
    return poller;
}

void matching_unreserve(struct matching *matching, const struct queue_name *name, struct poller *poller)
{
    assert(poller->queue == NULL);
    struct matching_queue *queue = queue_get(matching, name);
    assert(queue != NULL); /* it was just polled, and a queue lives on for minutes */
    poller->queue = queue;
    list_prepend(&queue->pollers, &poller->link);
    queue->poller_count++;
    matching->poller_count++;
    queue_match(queue);
    queue_work(queue);
    queue_schedule(queue);
}

/* The queue whose pollers get what this one holds. */
static struct matching_queue *server_of(struct matching_queue *queue)
{
    return queue_dead(queue) ? queue->family->workflow : queue;
}

/* Whether it is worth holding tasks in memory for this queue: it was polled lately, or others poll in its stead. */
static bool is_served(const struct matching_queue *queue)
{
    if (queue->last_poll != 0)
        return true;
    return queue->sticky && queue->family->workflow != NULL;
}

/* The stream that a durable row belongs to; NULL: memory has no room for it, or no use. */
static struct matching_stream *stream_for(struct matching_queue *queue, const struct store_ready *task)
{
    struct matching_stream *stream = stream_find(queue, task->priority, task->fairness_key);
    if (stream != NULL)
        return stream;
    if (queue->stream_count >= queue->matching->streams_max) {
        struct matching_stream *victim = stream_victim(queue, task->priority, false);
        queue->heads_wanted = true;
        if (victim == NULL)
            return NULL;
        stream_free(victim);
    }
    stream = stream_new(queue, task->priority, task->fairness_key, task->fairness_weight);
    if (!queue->heads_wanted && !queue->scanning)
        window_mark_empty(&stream->window);
    return stream;
}

void matching_offer(struct matching *matching, const struct store_ready *task)
{
    struct queue_name name = name_of_task(task);
    matching->offers++;
    if (task->without_row) {
        fleeting_offer(matching, &name, task);
        return;
    }
    struct matching_queue *queue = matching_queue_find(matching, &name);
    /* For its statistics. Queues that nobody polls must not take all the room of those that somebody will. */
    if (queue == NULL && (name.normal.size != 0 || matching->queues.count < MATCHING_QUEUES_MAX / 2))
        queue = queue_get(matching, &name);
    if (queue == NULL)
        return; /* the row waits on disk; the first poller reads it */
    rates_add(queue, task->priority, false);
    if (!is_served(queue)) {
        queue_schedule(queue);
        return;
    }
    struct matching_stream *stream = stream_for(queue, task);
    if (stream != NULL) {
        struct matching_item *item = item_new(stream, task);
        if (task->fairness_weight != 0)
            stream_set_weight(stream, task->fairness_weight);
        window_released(&stream->window, &item->window, item_key(task));
        stream_settle(stream);
    }
    queue_restock(queue);
    struct matching_queue *server = server_of(queue);
    if (server != NULL)
        queue_match(server);
    if (queue_wants_read(queue))
        queue_work(queue);
    queue_schedule(queue);
}

void matching_withdraw(struct matching *matching, store_number sequence)
{
    for (struct table_link *at = table_first(&matching->items, hash_u64((uint64_t)sequence)); at != NULL;
         at = table_next(at)) {
        struct matching_item *item = CONTAINER_OF(at, struct matching_item, by_sequence);
        if (item->task.sequence != sequence)
            continue;
        struct matching_stream *stream = item->stream;
        struct matching_queue  *queue = stream->queue;
        struct window_link     *link = window_removed(&stream->window, item_key(&item->task));
        assert(link == &item->window);
        item_free(link);
        stream_settle(stream);
        queue_restock(queue);
        if (queue_wants_read(queue))
            queue_work(queue);
        return;
    }
    /* Not in memory: taken by a poller, or never read. A refill under way may still bring the row, and then its start is
     * answered as stale. */
}

/* --- direct tasks --- */

enum status matching_direct(struct matching *matching, const struct queue_name *name,
                            struct direct_task *direct, struct error *error)
{
    struct matching_queue *queue = queue_get(matching, name);
    if (queue == NULL)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "too many task queues on this server");
    queue->last_used = queue_now(queue);
    if (!list_empty(&queue->pollers)) {
        struct poller *poller = LIST_ENTRY(queue->pollers.next, struct poller, link);
        poller_leave(poller);
        queue->last_poll = queue->last_used;
        direct->queue = NULL;
        poller->assign_direct(poller, direct);
        return ST_OK;
    }
    if (queue->direct_count >= MATCHING_DIRECT_MAX)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "too many queries wait for task queue \"%.*s\"",
                         BYTES_FMT(queue->name));
    direct->queue = queue;
    list_append(&queue->directs, &direct->link);
    queue->direct_count++;
    return ST_OK;
}

void matching_direct_cancel(struct direct_task *direct)
{
    if (direct->queue == NULL)
        return;
    list_remove(&direct->link);
    direct->queue->direct_count--;
    direct->queue = NULL;
}

/* --- what others want to know --- */

bool matching_alive(const struct matching *matching, const struct queue_name *name)
{
    const struct matching_queue *queue = matching_queue_find(matching, name);
    if (queue == NULL || queue->forgotten)
        return false;
    return !list_empty(&queue->pollers) || queue_now(queue) - queue->last_poll < MATCHING_ALIVE_NS;
}

void matching_forget_sticky(struct matching *matching, const struct queue_name *name)
{
    struct matching_queue *queue = matching_queue_find(matching, name);
    if (queue == NULL || !queue->sticky)
        return;
    queue->forgotten = true;
    if (queue->family->workflow != NULL)
        queue_match(queue->family->workflow);
}

void matching_forget_sticky_name(struct matching *matching, int64_t namespace_number, struct bytes name)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&matching->queues, &iterator)) != NULL;) {
        struct matching_queue *queue = CONTAINER_OF(at, struct matching_queue, table);
        if (!queue->sticky || queue->family->namespace_number != namespace_number ||
            !bytes_equal(queue->name, name))
            continue;
        queue->forgotten = true;
        if (queue->family->workflow != NULL)
            queue_match(queue->family->workflow);
    }
}

void matching_each_poller(struct matching *matching, int64_t namespace_number,
                          struct bytes worker_instance_key,
                          void (*each)(void *context, struct poller *poller), void *context)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&matching->queues, &iterator)) != NULL;) {
        struct matching_queue *queue = CONTAINER_OF(at, struct matching_queue, table);
        if (queue->family->namespace_number != namespace_number)
            continue;
        LIST_FOR_EACH (poller, &queue->pollers, struct poller, link) {
            if (bytes_equal(poller->worker_instance_key, worker_instance_key))
                each(context, poller);
        }
    }
}

void matching_describe(const struct matching *matching, const struct queue_name *name,
                       struct queue_description *ret_description)
{
    *ret_description = (struct queue_description){ .rate = queue_rate_default };
    const struct matching_queue *queue = matching_queue_find(matching, name);
    if (queue == NULL)
        return;
    int64_t now = queue_now(queue);
    ret_description->known = true;
    for (size_t i = 0; i < queue->recent_count; i++) {
        const struct recent_poller *at = &queue->recent[i];
        if (now - at->last_access < MATCHING_IDLE_NS)
            ret_description->pollers[ret_description->poller_count++] = (struct poller_record){
                .identity = at->identity,
                .build_id = at->build_id,
                .deployment_name = at->deployment_name,
                .versioning_mode = at->versioning_mode,
                .use_versioning = at->use_versioning,
                .rate = at->has_rate ? at->rate : queue_rate_default,
                .last_access = at->last_access,
            };
    }
    ret_description->rate = queue_rate(queue, &ret_description->rate_source);
    ret_description->limited = queue->resume > now;
    rates_describe(queue, ret_description);
}

size_t matching_backlog(const struct matching *matching, const struct queue_name *name)
{
    const struct matching_queue *queue = matching_queue_find(matching, name);
    return queue == NULL ? 0 : queue->item_count;
}

void matching_configure(struct matching *matching, const struct queue_name *name,
                        const struct queue_config *config)
{
    struct matching_queue *queue = matching_queue_find(matching, name);
    if (queue == NULL)
        return; /* it asks when there is a poller */
    config_free(queue->config);
    queue->config = config_copy(config);
    queue->config_known = true;
    queue->config_asked = false;
    queue->bucket = (struct bucket){ 0 };
    LIST_FOR_EACH (stream, &queue->streams, struct matching_stream, siblings) {
        stream->bucket = (struct bucket){ 0 };
        stream_set_weight(stream, stream->task_weight);
    }
    queue_match(queue);
    queue_schedule(queue);
}

void matching_configure_failed(struct matching *matching, const struct queue_name *name)
{
    struct matching_queue *queue = matching_queue_find(matching, name);
    if (queue != NULL)
        queue->config_asked = false;
}
