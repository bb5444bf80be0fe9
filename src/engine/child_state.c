/* child_state.c: the part of an execution's state that is about others: its parent, its pending children, and signals and cancel requests
 * to other workflows that have no result yet.
 */
#include "engine/state.h"

/* --- where it comes from --- */

const struct family *execution_family(const struct execution *execution)
{
    static const struct family none;
    return execution->family == NULL ? &none : execution->family;
}

void execution_family_set(struct execution *execution, const struct family *family)
{
    assert(execution->family == NULL);
    if (family->parent_workflow_id.size == 0 && family->root_workflow_id.size == 0)
        return;
    struct family *copy;
    if (execution->arena != NULL) {
        copy = ARENA_NEW(execution->arena, struct family);
    } else {
        copy = xcalloc(1, sizeof(*copy));
        execution->memory += sizeof(*copy);
    }
    copy->parent_run_id = family->parent_run_id;
    copy->root_run_id = family->root_run_id;
    copy->parent_initiated_event_id = family->parent_initiated_event_id;
    execution_set(execution, &copy->parent_workflow_id, family->parent_workflow_id);
    execution_set(execution, &copy->root_workflow_id, family->root_workflow_id);
    execution->family = copy;
}

void execution_family_free(struct execution *execution)
{
    struct family *family = execution->family;
    execution->family = NULL;
    if (family == NULL || execution->arena != NULL)
        return;
    execution_set(execution, &family->parent_workflow_id, BYTES_EMPTY);
    execution_set(execution, &family->root_workflow_id, BYTES_EMPTY);
    execution->memory -= sizeof(*family);
    free(family);
}

/* --- children --- */

static_assert(offsetof(struct child_slot, initiated_event_id) == 0, "slots are found by their first member");
static bool child_find(const struct execution *execution, int64_t initiated_event_id, uint32_t *ret_at)
{
    return execution_slot_find(execution->children, execution->child_count, sizeof(*execution->children),
                               initiated_event_id, ret_at);
}

const struct child *execution_child(const struct execution *execution, int64_t initiated_event_id)
{
    uint32_t at;
    return child_find(execution, initiated_event_id, &at) ? execution->children[at].record : NULL;
}

struct child *execution_child_write(struct execution *execution, int64_t initiated_event_id)
{
    uint32_t at;
    if (!child_find(execution, initiated_event_id, &at))
        return NULL;
    struct child *record = execution->children[at].record;
    if (record->owner != execution) {
        assert(execution->arena != NULL);
        struct child *copy = ARENA_NEW(execution->arena, struct child);
        *copy = *record;
        copy->owner = execution;
        execution->children[at].record = record = copy;
    }
    return record;
}

struct child *execution_child_add(struct execution *execution, int64_t initiated_event_id)
{
    uint32_t at = execution->child_count;
    if (at != 0 && execution->children[at - 1].initiated_event_id >= initiated_event_id)
        return NULL;
    execution->children = execution_grow(execution, execution->children, at, &execution->child_capacity,
                                         sizeof(*execution->children));
    struct child *record;
    if (execution->arena != NULL) {
        record = ARENA_NEW(execution->arena, struct child);
    } else {
        record = xcalloc(1, sizeof(*record));
        execution->memory += sizeof(*record);
    }
    record->owner = execution;
    record->initiated_event_id = initiated_event_id;
    execution->children[at] = (struct child_slot){ initiated_event_id, record };
    execution->child_count++;
    return record;
}

static void child_free(struct execution *execution, struct child *child)
{
    if (execution->arena != NULL)
        return;
    execution_set(execution, &child->workflow_id, BYTES_EMPTY);
    execution_set(execution, &child->type, BYTES_EMPTY);
    execution->memory -= sizeof(*child);
    free(child);
}

static void array_drop(struct execution *execution, void *array, uint32_t *count, uint32_t *capacity,
                       size_t size)
{
    if (execution->arena == NULL) {
        free(array);
        execution->memory -= *capacity * size;
    }
    *count = *capacity = 0;
}

static void children_clear(struct execution *execution)
{
    array_drop(execution, execution->children, &execution->child_count, &execution->child_capacity,
               sizeof(*execution->children));
    execution->children = NULL;
}

void execution_child_remove(struct execution *execution, int64_t initiated_event_id)
{
    uint32_t at;
    if (!child_find(execution, initiated_event_id, &at))
        return;
    child_free(execution, execution->children[at].record);
    execution->child_count--;
    memmove(&execution->children[at], &execution->children[at + 1],
            (execution->child_count - at) * sizeof(*execution->children));
    if (execution->child_count == 0)
        children_clear(execution);
}

/* --- signals and cancel requests --- */

struct external {
    int64_t **ids;
    uint32_t *count, *capacity;
};

static struct external external_of(struct execution *execution, bool is_cancel)
{
    if (is_cancel)
        return (struct external){ &execution->external_cancels, &execution->external_cancel_count,
                                  &execution->external_cancel_capacity };
    return (struct external){ &execution->external_signals, &execution->external_signal_count,
                              &execution->external_signal_capacity };
}

void execution_external_add(struct execution *execution, bool is_cancel, int64_t initiated_event_id)
{
    struct external external = external_of(execution, is_cancel);
    *external.ids = execution_grow(execution, *external.ids, *external.count, external.capacity,
                                   sizeof(**external.ids));
    (*external.ids)[(*external.count)++] = initiated_event_id;
}

static void external_clear(struct execution *execution, bool is_cancel)
{
    struct external external = external_of(execution, is_cancel);
    array_drop(execution, *external.ids, external.count, external.capacity, sizeof(**external.ids));
    *external.ids = NULL;
}

void execution_external_remove(struct execution *execution, bool is_cancel, int64_t initiated_event_id)
{
    struct external external = external_of(execution, is_cancel);
    for (uint32_t i = 0; i < *external.count; i++) {
        if ((*external.ids)[i] != initiated_event_id)
            continue;
        (*external.ids)[i] = (*external.ids)[--*external.count]; /* their order means nothing */
        if (*external.count == 0)
            external_clear(execution, is_cancel);
        return;
    }
}

/* --- all of them --- */

void execution_children_drop(struct execution *execution)
{
    for (uint32_t i = 0; i < execution->child_count; i++)
        child_free(execution, execution->children[i].record);
    children_clear(execution);
    external_clear(execution, false);
    external_clear(execution, true);
}

static void *array_share(struct arena *arena, const void *array, uint32_t count, size_t size)
{
    return count == 0 ? NULL : (void *)(uintptr_t)arena_copy(arena, bytes_of(array, count * size)).base;
}

void execution_children_share(struct execution *draft, const struct execution *live)
{
    struct arena *arena = draft->arena;
    draft->children = array_share(arena, live->children, live->child_count, sizeof(*live->children));
    draft->external_signals = array_share(arena, live->external_signals, live->external_signal_count,
                                          sizeof(*live->external_signals));
    draft->external_cancels = array_share(arena, live->external_cancels, live->external_cancel_count,
                                          sizeof(*live->external_cancels));
    draft->child_capacity = live->child_count;
    draft->external_signal_capacity = live->external_signal_count;
    draft->external_cancel_capacity = live->external_cancel_count;
}
