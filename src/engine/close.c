/* close.c: what follows from the end of a run. */
#include "engine/close.h"

#include "engine/callback.h"
#include "engine/child.h"
#include "engine/update.h"
#include "engine/workflow_task.h"

bool close_continues(const struct history_HistoryEvent *event)
{
    const void *attributes = event_attributes(event);
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return true;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return ((const struct history_WorkflowExecutionCompletedEventAttributes *)attributes)
                   ->new_execution_run_id.size != 0;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return ((const struct history_WorkflowExecutionFailedEventAttributes *)attributes)
                   ->new_execution_run_id.size != 0;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return ((const struct history_WorkflowExecutionTimedOutEventAttributes *)attributes)
                   ->new_execution_run_id.size != 0;
    default: /* canceled, terminated */
        return false;
    }
}

/* The ready rows of what is dropped go with it. */
static void drop_rows(struct draft *draft)
{
    if (!draft->state->task.is_speculative)
        draft_unready(draft, draft->state->task.sequence);
    for (uint32_t i = 0; i < draft->state->activity_count; i++)
        draft_unready(draft, draft->state->activities[i].record->sequence);
}

void close_effects(struct draft *draft, const struct history_HistoryEvent *event)
{
    drop_rows(draft);
    if (draft->state->task
            .is_speculative) /* what follows would write its events, and a row, for a run that is closed */
        task_drop_speculative(draft);
    updates_close(draft, event);
    if (draft->is_reset)
        return;
    child_close_effects(draft, event);
    callbacks_trigger(draft, event);
}
