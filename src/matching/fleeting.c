/* fleeting.c: tasks that no row stands behind. They do not wait among the rows, whose windows may be read again at any time: a
 * list per queue keeps them in order of arrival, until a poller comes or their owner has given them up. */
#include "matching/matching_internal.h"

static void fleeting_drop(struct matching_queue *queue, struct fleeting_task *task)
{
    list_remove(&task->link);
    queue->fleeting_count--;
    free(task);
}

void fleeting_drop_all(struct matching_queue *queue)
{
    while (!list_empty(&queue->fleeting))
        fleeting_drop(queue, LIST_ENTRY(queue->fleeting.next, struct fleeting_task, link));
}

static struct bytes copy_behind(uint8_t **at, struct bytes slice)
{
    struct bytes copy = bytes_of(*at, slice.size);
    if (slice.size != 0)
        memcpy(*at, slice.base, slice.size);
    *at += slice.size;
    return copy;
}

static void fleeting_keep(struct matching_queue *queue, const struct store_ready *task)
{
    size_t                size = task->workflow_id.size + task->fairness_key.size + task->version.size;
    struct fleeting_task *kept = xmalloc(sizeof *kept + size);
    uint8_t              *at = (uint8_t *)(kept + 1);
    *kept = (struct fleeting_task){ .expires = queue_now(queue) + MATCHING_FLEETING_NS, .task = *task };
    kept->task.queue = queue->name;
    kept->task.normal_queue = queue->sticky ? queue->family->normal : BYTES_EMPTY;
    kept->task.workflow_id = copy_behind(&at, task->workflow_id);
    kept->task.fairness_key = copy_behind(&at, task->fairness_key);
    kept->task.version = copy_behind(&at, task->version);
    if (queue->fleeting_count >= MATCHING_FLEETING_MAX)
        fleeting_drop(queue, LIST_ENTRY(queue->fleeting.next, struct fleeting_task, link));
    list_append(&queue->fleeting, &kept->link);
    queue->fleeting_count++;
}

static void hand_over(struct matching_queue *queue, struct poller *poller, const struct store_ready *task)
{
    int64_t now = queue_now(queue);
    queue->last_poll = queue->last_used = now;
    queue_rate_take(queue, now);
    rates_add(queue, task->priority, false);
    rates_add(queue, task->priority, true);
    queue->matching->matches++;
    poller->assign(poller, task);
}

bool fleeting_assign(struct matching_queue *queue, struct poller *poller)
{
    while (!list_empty(&queue->fleeting)) {
        struct fleeting_task *first = LIST_ENTRY(queue->fleeting.next, struct fleeting_task, link);
        if (first->expires > queue_now(queue)) {
            hand_over(queue, poller, &first->task);
            fleeting_drop(queue, first);
            return true;
        }
        fleeting_drop(queue, first);
    }
    return false;
}

void fleeting_offer(struct matching *matching, const struct queue_name *name, const struct store_ready *task)
{
    struct matching_queue *queue = matching_queue_find(matching, name);
    if (name->normal.size != 0 && (queue == NULL || queue_dead(queue))) {
        struct queue_name normal = { name->namespace_number, name->normal, BYTES_EMPTY, name->kind };
        queue = queue_get(matching, &normal);
    } else if (queue == NULL) {
        queue = queue_get(matching, name);
    }
    if (queue == NULL)
        return;
    queue->last_used = queue_now(queue);
    if (list_empty(&queue->pollers)) {
        fleeting_keep(queue, task);
        return;
    }
    struct poller *poller = LIST_ENTRY(queue->pollers.next, struct poller, link);
    poller_leave(poller);
    hand_over(queue, poller, task);
}
