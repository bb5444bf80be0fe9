/* rows.c: what the store's rows of a run say, given its state. */
#include "engine/rows.h"

#include "engine/draft.h"
#include "engine/search_attributes.h"
#include "engine/server_attributes.h"

struct store_run execution_run_row(const struct execution *state, const struct namespace_config *namespace,
                                   struct arena           *arena)
{
    const struct family *family = execution_family(state);
    struct store_run     run = {
            .number = state->number,
            .namespace_number = state->namespace_number,
            .run_id = state->run_id,
            .workflow_id = arena_copy(arena, state->workflow_id),
            .workflow_type = arena_copy(arena, state->type),
            .task_queue = arena_copy(arena, state->queue),
            .status = state->status,
            .start_time = state->start_time,
            .execution_time = state->execution_time,
            .close_time = state->close_time,
            .memo = arena_copy(arena, state->memo),
            .search_attributes = execution_search_attributes(state, arena),
            .parent_workflow_id = arena_copy(arena, family->parent_workflow_id),
            .parent_run_id = family->parent_run_id,
            .root_workflow_id = arena_copy(arena, family->root_workflow_id),
            .root_run_id = family->root_run_id,
    };
    bool apart;
    run.attributes = search_attributes_values(namespace, run.search_attributes, arena, &apart);
    run.kind = apart ? STORE_RUN_APART : STORE_RUN_WORKFLOW;
    if (state->close_time != 0) {
        run.history_length = state->next_event_id - 1;
        run.history_size = state->history_size;
        run.state_transitions = state->transitions;
    }
    return run;
}

static struct store_ready *add(struct entity_rows *rows, const struct execution *state,
                               enum store_task_kind kind, store_number sequence)
{
    struct store_ready *row = &rows->ready[rows->ready_count++];
    *row = (struct store_ready){ .sequence = sequence,
                                 .kind = kind,
                                 .namespace_number = state->namespace_number,
                                 .run = state->number,
                                 .workflow_id = state->workflow_id };
    return row;
}

void execution_rows(const struct execution *state, struct arena *arena, struct entity_rows *ret_rows)
{
    const struct workflow_task *task = &state->task;
    size_t                      count_max = (size_t)1 + state->activity_count + state->callback_count;
    *ret_rows = (struct entity_rows){ .run = execution_run_row(state, NULL, arena),
                                      .ready = ARENA_NEW_ARRAY(arena, struct store_ready, count_max) };
    if (execution_lineage(state)->prefix_count ==
        0) /* its first event says so; of a reset's it is the other run's */
        ret_rows->run.run_id = state->original_run_id;
    if (task->is_pending && !task->is_speculative && task->sequence != 0) {
        struct store_ready *row = add(ret_rows, state, STORE_TASK_WORKFLOW, task->sequence);
        row->queue = task->is_sticky ? state->sticky_queue : state->queue;
        row->normal_queue = task->is_sticky ? state->queue : BYTES_EMPTY;
        row->scheduled_event_id = task->is_transient ? 0 : task->scheduled_event_id;
        row->stamp = task->attempt;
        draft_row_priority(row, state->priority, BYTES_EMPTY, arena);
    }
    for (uint32_t i = 0; i < state->activity_count; i++) {
        const struct activity *activity = state->activities[i].record;
        if (activity->sequence == 0)
            continue;
        struct store_ready *row = add(ret_rows, state, STORE_TASK_ACTIVITY, activity->sequence);
        row->queue = activity->queue;
        row->scheduled_event_id = activity->scheduled_event_id;
        row->stamp = activity->stamp;
        draft_row_priority(row, state->priority, activity->priority, arena);
    }
    for (uint32_t i = 0; i < state->callback_count; i++) {
        const struct callback *callback = &state->callbacks[i];
        if (callback->sequence == 0)
            continue;
        struct store_ready *row = add(ret_rows, state, STORE_TASK_CALLBACK, callback->sequence);
        row->namespace_number = 0;
        row->priority = 1;
        row->scheduled_event_id = i;
        row->stamp = callback->attempt + 1;
    }
}
