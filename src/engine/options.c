/* options.c: changing options by field masks. */
#include "engine/options.h"

#include "engine/activity.h"
#include "engine/failure.h"
#include "engine/workflow_task.h"

/* --- masks --- */

bool mask_path_is(struct bytes path, const char *name)
{
    size_t at = 0;
    for (; *name != 0; name++, at++) {
        bool raised = *name == '_' && at < path.size && path.base[at] != '_';
        if (raised)
            name++;
        if (at == path.size || path.base[at] != (uint8_t)(raised ? *name - 'a' + 'A' : *name))
            return false;
    }
    return at == path.size;
}

enum status mask_not_provided(const char *what, struct error *error)
{
    return error_set(error, ST_INVALID_ARGUMENT, "%s is not provided, but named in UpdateMask.", what);
}

enum status mask_merge_priority(struct bytes *into, struct bytes from, struct bytes path, struct arena *arena,
                                bool *ret_known, struct error *error)
{
    struct common_Priority merged = { 0 }, given = { 0 };
    *ret_known = true;
    if (mask_path_is(path, "priority")) {
        *into = from;
        return ST_OK;
    }
    bool key = mask_path_is(path, "priority.priority_key"),
         fairness = mask_path_is(path, "priority.fairness_key");
    if (!key && !fairness && !mask_path_is(path, "priority.fairness_weight")) {
        *ret_known = false;
        return ST_OK;
    }
    if (from.base == NULL)
        return mask_not_provided("Priority", error);
    enum status status = pb_decode(&pb_common_Priority, from, arena, &given, error);
    if (status == ST_OK && into->size != 0)
        status = pb_decode(&pb_common_Priority, *into, arena, &merged, error);
    if (status != ST_OK)
        return status;
    if (key)
        merged.priority_key = given.priority_key;
    else if (fairness)
        merged.fairness_key = given.fairness_key;
    else
        merged.fairness_weight = given.fairness_weight;
    *into = pb_encode_arena(&pb_common_Priority, &merged, arena);
    return ST_OK;
}

/* --- the fold --- */

void options_fold(struct execution                                                    *execution,
                  const struct history_WorkflowExecutionOptionsUpdatedEventAttributes *updated,
                  struct arena                                                        *arena)
{
    if (updated->unset_versioning_override)
        execution_set(execution, &execution->versioning_override, BYTES_EMPTY);
    else if (updated->versioning_override != NULL)
        execution_set(execution, &execution->versioning_override,
                      pb_encode_arena(&pb_workflow_VersioningOverride, updated->versioning_override, arena));
    if (updated->priority.base != NULL)
        execution_set(execution, &execution->priority, updated->priority);
}

/* --- the request --- */

/* The same priority always as the same bytes: empty when it says nothing. */
static struct bytes priority_plain(struct bytes encoded, struct arena *arena)
{
    struct common_Priority priority;
    struct error           error;
    if (encoded.size == 0 || pb_decode(&pb_common_Priority, encoded, arena, &priority, &error) != ST_OK)
        return BYTES_EMPTY;
    return pb_encode_arena(&pb_common_Priority, &priority, arena);
}

struct workflow_VersioningOverride *execution_versioning_override(const struct execution *execution,
                                                                  struct arena           *arena)
{
    struct workflow_VersioningOverride *override = ARENA_NEW(arena, struct workflow_VersioningOverride);
    struct error                        error;
    if (execution->versioning_override.size == 0 ||
        pb_decode(&pb_workflow_VersioningOverride, arena_copy(arena, execution->versioning_override), arena,
                  override, &error) != ST_OK)
        return NULL;
    return override;
}

static struct bytes override_bytes(const struct workflow_VersioningOverride *override, struct arena *arena)
{
    return override == NULL ? BYTES_EMPTY : pb_encode_arena(&pb_workflow_VersioningOverride, override, arena);
}

/* Tasks that wait do so by their run's priority; an activity's own goes before it, but need not say everything. */
static void redispatch(struct draft *draft)
{
    const struct execution *state = draft->state;
    if (state->task.is_pending && state->task.started_time == 0 && state->task.sequence != 0)
        task_offer_again(draft);
    for (uint32_t i = 0; i < state->activity_count; i++) {
        const struct activity *activity = state->activities[i].record;
        if (activity->sequence != 0)
            activity_offer_again(draft, activity);
    }
}

enum status options_change(struct draft *draft, const struct workflow_WorkflowExecutionOptions *given,
                           const struct google_FieldMask *mask, struct bytes identity,
                           struct workflow_WorkflowExecutionOptions *ret_merged, bool *ret_changes,
                           struct error *error)
{
    const struct execution *state = draft->state;
    struct arena           *arena = draft->arena;
    ret_merged->versioning_override = execution_versioning_override(state, arena);
    ret_merged->priority = arena_copy(arena, state->priority);
    for (size_t i = 0; i < mask->paths_count; i++) {
        bool         known;
        struct bytes path = mask->paths[i];
        if (mask_merge_priority(&ret_merged->priority, given->priority, path, arena, &known, error) != ST_OK)
            return error->code;
        if (!known && !mask_path_is(path, "time_skipping_config"))
            ret_merged->versioning_override = given->versioning_override;
    }
    ret_merged->priority = priority_plain(ret_merged->priority, arena);
    bool priority_changes = !bytes_equal(ret_merged->priority,
                                         priority_plain(arena_copy(arena, state->priority), arena));
    bool override_changes = !bytes_equal(override_bytes(ret_merged->versioning_override, arena),
                                         state->versioning_override);
    if (ret_merged->priority.size ==
        0) /* what is empty is told as such: the event has to say that it is gone */
        ret_merged->priority = priority_changes ? BYTES("") : BYTES_EMPTY;
    *ret_changes = priority_changes || override_changes;
    if (!*ret_changes)
        return ST_OK;
    struct history_WorkflowExecutionOptionsUpdatedEventAttributes updated = {
        .versioning_override = ret_merged->versioning_override,
        .unset_versioning_override = ret_merged->versioning_override == NULL,
        .identity = identity,
        .priority = ret_merged->priority,
    };
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED,
                                                   &updated);
    draft_arrive(draft, &event);
    if (priority_changes)
        redispatch(draft);
    return ST_OK;
}

void decide_update_options(const struct execution *live, struct workflow_request *request, struct env *env,
                           struct decision *decision)
{
    const struct workflowservice_UpdateWorkflowExecutionOptionsRequest *input = request->input;
    struct arena                                                       *arena = request->base.arena;
    struct workflowservice_UpdateWorkflowExecutionOptionsResponse      *response =
        ARENA_NEW(arena, struct workflowservice_UpdateWorkflowExecutionOptionsResponse);
    response->workflow_execution_options = ARENA_NEW(arena, struct workflow_WorkflowExecutionOptions);
    struct draft draft;
    bool         changes = false;
    draft_begin(&draft, live, env, arena);
    if (options_change(&draft, input->workflow_execution_options, input->update_mask, input->identity,
                       response->workflow_execution_options, &changes, &request->base.error) != ST_OK)
        return;
    request->response = response;
    if (!changes)
        return;
    draft_settle(&draft, false);
    decision_finish(&draft, decision);
    response->update_time = timestamp_or_null(arena, env->now);
}
