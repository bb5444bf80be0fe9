/* matching.c: pollers meet tasks. The rows behind the windows are read in refill.c. */
#include "base/hash.h"
#include "matching/matching_internal.h"

/* --- names, families, queues --- */

static struct bytes bytes_own(struct bytes slice)
{
    uint8_t *copy = xmalloc(slice.size + 1);
    if (slice.size != 0)
        memcpy(copy, slice.base, slice.size);
    return bytes_of(copy, slice.size);
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

static struct matching_queue *queue_find(const struct matching *matching, const struct queue_name *name)
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
static struct matching_queue *queue_get(struct matching *matching, const struct queue_name *name)
{
    struct matching_queue *queue = queue_find(matching, name);
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
    heap_link_init(&queue->due);
    window_init(&queue->window, matching->window_size, item_free);
    arena_init(&queue->read_arena, SIZE_MAX);
    list_append(&queue->family->queues, &queue->siblings);
    if (!queue->sticky && queue->kind == STORE_TASK_WORKFLOW)
        queue->family->workflow = queue;
    table_insert(&matching->queues, &queue->table, queue_hash(name));
    queue_schedule(queue);
    return queue;
}

void queue_free(struct matching_queue *queue)
{
    struct matching        *matching = queue->matching;
    struct matching_family *family = queue->family;
    assert(list_empty(&queue->pollers));
    assert(list_empty(&queue->directs));
    assert(!queue->window.refilling);
    window_release(&queue->window);
    list_remove(&queue->siblings);
    list_remove(&queue->stock);
    list_remove(&queue->work);
    heap_remove(&matching->dues, &queue->due);
    table_remove(&matching->queues, &queue->table);
    if (family->workflow == queue)
        family->workflow = NULL;
    for (size_t i = 0; i < queue->recent_count; i++)
        free((void *)(uintptr_t)queue->recent[i].identity.base);
    arena_release(&queue->read_arena);
    free((void *)(uintptr_t)queue->name.base);
    free(queue);
    if (list_empty(&family->queues)) {
        table_remove(&matching->families, &family->table);
        free((void *)(uintptr_t)family->normal.base);
        free(family);
    }
}

/* --- items --- */

struct window_key item_key(const struct store_ready *task)
{
    return (struct window_key){ task->priority, task->sequence };
}

static struct bytes item_copy(uint8_t **at, struct bytes slice)
{
    struct bytes copy = bytes_of(*at, slice.size);
    if (slice.size != 0)
        memcpy(*at, slice.base, slice.size);
    *at += slice.size;
    return copy;
}

struct matching_item *item_new(struct matching_queue *queue, const struct store_ready *task)
{
    size_t                size = task->workflow_id.size + task->fairness_key.size + task->version.size;
    struct matching_item *item = xmalloc(sizeof *item + size);
    uint8_t              *at = (uint8_t *)(item + 1);
    *item = (struct matching_item){ .queue = queue, .task = *task };
    item->task.queue = queue->name;
    item->task.normal_queue = queue->sticky ? queue->family->normal : BYTES_EMPTY;
    item->task.workflow_id = item_copy(&at, task->workflow_id);
    item->task.fairness_key = item_copy(&at, task->fairness_key);
    item->task.version = item_copy(&at, task->version);
    table_insert(&queue->matching->items, &item->by_sequence, hash_u64((uint64_t)task->sequence));
    return item;
}

void item_free(struct window_link *link)
{
    struct matching_item *item = CONTAINER_OF(link, struct matching_item, window);
    table_remove(&item->queue->matching->items, &item->by_sequence);
    free(item);
}

/* --- life of a queue --- */

/* A poller that waits proves life; so does one that left with a task less than 10 s ago. */
bool queue_dead(const struct matching_queue *queue)
{
    if (!queue->sticky)
        return false;
    if (queue->forgotten)
        return true;
    return list_empty(&queue->pollers) && queue_now(queue) - queue->last_poll >= MATCHING_ALIVE_NS;
}

void queue_restock(struct matching_queue *queue)
{
    bool stocked = queue->sticky && (window_first(&queue->window) != NULL || queue->window.more);
    if (stocked && !list_linked(&queue->stock))
        list_append(&queue->family->stocked, &queue->stock);
    else if (!stocked)
        list_remove(&queue->stock);
}

static int64_t queue_due_time(const struct matching_queue *queue)
{
    if (!list_empty(&queue->pollers))
        return queue->swept + MATCHING_SWEEP_NS;
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

static void remember_poller(struct matching_queue *queue, struct bytes identity)
{
    int64_t now = queue_now(queue);
    size_t  oldest = 0;
    queue->last_poll = queue->last_used = now;
    for (size_t i = 0; i < queue->recent_count; i++) {
        if (bytes_equal(queue->recent[i].identity, identity)) {
            queue->recent[i].last_access = now;
            return;
        }
        if (queue->recent[i].last_access < queue->recent[oldest].last_access)
            oldest = i;
    }
    if (queue->recent_count < MATCHING_HISTORY_MAX)
        oldest = queue->recent_count++;
    else
        free((void *)(uintptr_t)queue->recent[oldest].identity.base);
    queue->recent[oldest] = (struct recent_poller){ bytes_own(identity), now };
}

/* --- matching --- */

static void poller_leave(struct poller *poller)
{
    struct matching_queue *queue = poller->queue;
    assert(queue != NULL);
    list_remove(&poller->link);
    poller->queue = NULL;
    queue->poller_count--;
    queue->matching->poller_count--;
}

/* The queue that holds the lowest task which this queue's pollers may take: its own, or a dead sticky sibling. */
static struct matching_queue *source_of(struct matching_queue *queue)
{
    struct matching_queue *best = window_first(&queue->window) != NULL ? queue : NULL;
    if (queue->family->workflow != queue)
        return best;
    LIST_FOR_EACH (sticky, &queue->family->stocked, struct matching_queue, stock) {
        if (window_first(&sticky->window) == NULL || !queue_dead(sticky))
            continue;
        struct window_key key = window_first(&sticky->window)->key;
        if (best == NULL) {
            best = sticky;
            continue;
        }
        struct window_key lowest = window_first(&best->window)->key;
        if (key.major < lowest.major || (key.major == lowest.major && key.minor < lowest.minor))
            best = sticky;
    }
    return best;
}

void queue_match(struct matching_queue *queue)
{
    while (!list_empty(&queue->pollers)) {
        struct matching_queue *source = source_of(queue);
        if (source == NULL)
            return;
        struct poller        *poller = LIST_ENTRY(queue->pollers.next, struct poller, link);
        struct window_link   *link = window_first(&source->window);
        struct matching_item *item = CONTAINER_OF(link, struct matching_item, window);
        window_take(&source->window, link);
        queue_restock(source);
        if (window_wants_refill(&source->window))
            queue_work(source);
        poller_leave(poller);
        queue->last_poll = queue->last_used = queue_now(queue);
        queue->dispatched++;
        queue->matching->matches++;
        poller->assign(poller, &item->task);
        item_free(link);
    }
}

enum status matching_poll(struct matching *matching, const struct queue_name *name, struct poller *poller,
                          struct error *error)
{
    assert(poller->queue == NULL);
    struct matching_queue *queue = queue_get(matching, name);
    if (queue == NULL)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "too many task queues on this server");
    if (matching->poller_count >= MATCHING_POLLERS_MAX || queue->poller_count >= MATCHING_QUEUE_POLLERS_MAX)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "too many pollers wait for task queue \"%.*s\"",
                         BYTES_FMT(queue->name));
    queue->forgotten = false;
    remember_poller(queue, poller->identity);
    if (!list_empty(&queue->directs) && list_empty(&queue->pollers)) {
        struct direct_task *direct = LIST_ENTRY(list_take_first(&queue->directs), struct direct_task, link);
        direct->queue = NULL;
        queue->direct_count--;
        poller->assign_direct(poller, direct);
        return ST_OK;
    }
    poller->since = queue->last_poll;
    poller->queue = queue;
    list_append(&queue->pollers, &poller->link);
    queue->poller_count++;
    matching->poller_count++;
    queue_match(queue);
    if (!list_empty(&queue->pollers)) {
        if (window_wants_refill(&queue->window) || !list_empty(&queue->family->stocked))
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
    return window_first(&queue->window) == NULL && !queue->window.more &&
           (!queue->window.refilling || queue->sweeping);
}

struct poller *matching_reserve(struct matching *matching, const struct store_ready *task)
{
    struct queue_name      name = name_of_task(task);
    struct matching_queue *queue = queue_find(matching, &name);
    if (name.normal.size != 0 && (queue == NULL || queue_dead(queue))) {
        if (queue != NULL && !caught_up(queue))
            return NULL;
        name = (struct queue_name){ name.namespace_number, name.normal, BYTES_EMPTY, name.kind };
        queue = queue_find(matching, &name);
    }
    if (queue == NULL || list_empty(&queue->pollers) || !caught_up(queue) || source_of(queue) != NULL)
        return NULL;
    struct poller *poller = LIST_ENTRY(queue->pollers.next, struct poller, link);
    poller_leave(poller);
    queue->last_poll = queue->last_used = queue_now(queue);
    queue->dispatched++;
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

void matching_offer(struct matching *matching, const struct store_ready *task)
{
    struct queue_name      name = name_of_task(task);
    struct matching_queue *queue = queue_find(matching, &name);
    matching->offers++;
    if (queue == NULL && name.normal.size != 0) {
        /* Nobody polls this sticky queue here: after a restart, its worker may be gone. The normal queue serves it. */
        struct matching_family *family = family_find(matching, name.namespace_number, name.normal);
        if (family != NULL && family->workflow != NULL)
            queue = queue_get(matching, &name);
    }
    if (queue == NULL)
        return; /* the row waits on disk; the first poller reads it */
    struct matching_item *item = item_new(queue, task);
    queue->offered++;
    window_released(&queue->window, &item->window, item_key(task));
    queue_restock(queue);
    struct matching_queue *server = server_of(queue);
    if (server != NULL)
        queue_match(server);
    if (window_wants_refill(&queue->window))
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
        struct matching_queue *queue = item->queue;
        struct window_link    *link = window_removed(&queue->window, item_key(&item->task));
        assert(link == &item->window);
        item_free(link);
        queue_restock(queue);
        if (window_wants_refill(&queue->window))
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
    const struct matching_queue *queue = queue_find(matching, name);
    if (queue == NULL || queue->forgotten)
        return false;
    return !list_empty(&queue->pollers) || queue_now(queue) - queue->last_poll < MATCHING_ALIVE_NS;
}

void matching_forget_sticky(struct matching *matching, const struct queue_name *name)
{
    struct matching_queue *queue = queue_find(matching, name);
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

void matching_each_poller(struct matching *matching, struct bytes                   worker_instance_key,
                          void (*each)(void *context, struct poller *poller), void *context)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&matching->queues, &iterator)) != NULL;) {
        struct matching_queue *queue = CONTAINER_OF(at, struct matching_queue, table);
        LIST_FOR_EACH (poller, &queue->pollers, struct poller, link) {
            if (bytes_equal(poller->worker_instance_key, worker_instance_key))
                each(context, poller);
        }
    }
}

void matching_describe(const struct matching *matching, const struct queue_name *name,
                       struct queue_description *ret_description)
{
    *ret_description = (struct queue_description){ 0 };
    const struct matching_queue *queue = queue_find(matching, name);
    if (queue == NULL)
        return;
    ret_description->known = true;
    for (size_t i = 0; i < queue->recent_count; i++) {
        if (queue_now(queue) - queue->recent[i].last_access < MATCHING_IDLE_NS)
            ret_description->pollers[ret_description->poller_count++] = (struct poller_record){
                queue->recent[i].identity, queue->recent[i].last_access
            };
    }
    ret_description->backlog = queue->window.items.count;
    ret_description->more = queue->window.more;
    ret_description->offered = queue->offered;
    ret_description->dispatched = queue->dispatched;
    const struct window_link *first = window_first(&queue->window);
    if (first != NULL)
        ret_description->oldest_created =
            CONTAINER_OF(first, struct matching_item, window)->task.created_time;
}

size_t matching_backlog(const struct matching *matching, const struct queue_name *name)
{
    const struct matching_queue *queue = queue_find(matching, name);
    return queue == NULL ? 0 : queue->window.items.count;
}
