/* due.c: everything that is due at one moment, in one transition.
 *
 * A run or execution that times out ends, whatever else is due. Otherwise timers and activities come first, in the order
 * of (due time, event id), then the workflow task's own timeouts, so that a new task sees all of it.
 */
#include "engine/due.h"

#include "engine/activity.h"
#include "engine/callback.h"
#include "engine/execution.h"
#include "engine/workflow_task.h"

struct due_item {
    int64_t      due, event_id;
    struct bytes timer_id; /* base NULL: an activity */
};

static int item_compare(const void *left, const void *right)
{
    const struct due_item *a = left, *b = right;
    if (a->due != b->due)
        return a->due < b->due ? -1 : 1;
    return (a->event_id > b->event_id) - (a->event_id < b->event_id);
}

static size_t items_collect(const struct execution *live, int64_t now, struct due_item *items)
{
    size_t count = 0;
    for (uint32_t i = 0; i < live->timer_count; i++)
        if (live->timers[i].fire_time <= now)
            items[count++] = (struct due_item){ live->timers[i].fire_time, live->timers[i].started_event_id,
                                                live->timers[i].id };
    for (uint32_t i = 0; i < live->activity_count; i++) {
        int32_t type;
        int64_t due = activity_due(live, live->activities[i].record, &type);
        if (due <= now)
            items[count++] = (struct due_item){ due, live->activities[i].scheduled_event_id, BYTES_EMPTY };
    }
    if (count > 1)
        qsort(items, count, sizeof(*items), item_compare);
    return count;
}

static void fire(struct draft *draft, const struct due_item *item)
{
    struct history_TimerFiredEventAttributes fired = { .timer_id = item->timer_id,
                                                       .started_event_id = item->event_id };
    struct history_HistoryEvent              event = event_make(enums_EVENT_TYPE_TIMER_FIRED, &fired);
    draft_arrive(draft, &event);
}

static void task_due(struct draft *draft)
{
    const struct execution     *state = draft->state;
    const struct workflow_task *task = &state->task;
    int64_t                     now = draft->env->now;
    if (state->backoff_pending && state->execution_time <= now) {
        draft->wants_task = true;
        task_materialize(draft); /* an update brought the first task early, and its time has come now */
    }
    if (!task->is_pending)
        return;
    if (task->started_time == 0) {
        if ((task->is_speculative && execution_volatile_due(state) <= now) ||
            (task->is_sticky && state->sticky_timeout != 0 &&
             time_add(task->scheduled_time, state->sticky_timeout) <= now))
            task_time_out_unstarted(draft);
    } else if (time_add(task->started_time, task->timeout) <= now) {
        struct task_failure timed_out = { .timed_out = true, .counts = true };
        task_fail(draft, &timed_out);
    }
}

void decide_due(const struct execution *live, struct workflow_request *request, struct env *env,
                struct decision *decision)
{
    if (MIN(execution_next_due(live), execution_volatile_due(live)) > env->now)
        return;
    if (!execution_is_open(live)) {
        callbacks_due(live, request, env, decision);
        return;
    }
    struct draft draft;
    draft_begin(&draft, live, env, request->base.arena);
    bool whole = live->execution_expiration != 0 && live->execution_expiration <= env->now;
    if (whole || (live->run_expiration != 0 && live->run_expiration <= env->now)) {
        if (execution_time_out(&draft, decision, whole))
            decision_finish(&draft, decision);
        return;
    }
    struct due_item *items = ARENA_NEW_ARRAY(request->base.arena, struct due_item,
                                             live->timer_count + live->activity_count + 1);
    size_t           count = items_collect(live, env->now, items);
    for (size_t i = 0; i < count; i++) {
        if (items[i].timer_id.base != NULL)
            fire(&draft, &items[i]);
        else
            activity_time_out(&draft, items[i].event_id);
    }
    task_due(&draft);
    draft_settle(&draft, live->execution_time <= env->now);
    decision_finish(&draft, decision);
}
