/* rows.c: the slices of each row structure as data, so that copying and counting is written once. */
#include "store/store_internal.h"

#define ROW_OVERHEAD 64 /* fixed columns and bookkeeping, as a page counts them */

static const size_t run_slices[] = {
    offsetof(struct store_run, workflow_id),       offsetof(struct store_run, workflow_type),
    offsetof(struct store_run, task_queue),        offsetof(struct store_run, parent_workflow_id),
    offsetof(struct store_run, root_workflow_id),  offsetof(struct store_run, memo),
    offsetof(struct store_run, search_attributes), offsetof(struct store_run, snapshot),
    offsetof(struct store_run, attributes),
};
static const size_t transition_slices[] = {
    offsetof(struct store_transition, events),
    offsetof(struct store_transition, delta),
};
static const size_t ready_slices[] = {
    offsetof(struct store_ready, queue),        offsetof(struct store_ready, normal_queue),
    offsetof(struct store_ready, fairness_key), offsetof(struct store_ready, version),
    offsetof(struct store_ready, workflow_id),
};
static const size_t identity_slices[] = { offsetof(struct store_identity, workflow_id) };
static const size_t wakeup_slices[] = { offsetof(struct store_wakeup, workflow_id) };
static const size_t outbox_slices[] = { offsetof(struct store_outbox, body) };
static const size_t entity_slices[] = { offsetof(struct store_entity, key),
                                        offsetof(struct store_entity, state) };

const struct store_row_type store_row_run = { "run", sizeof(struct store_run), run_slices,
                                              ARRAY_COUNT(run_slices) };
const struct store_row_type store_row_transition = { "transition", sizeof(struct store_transition),
                                                     transition_slices, ARRAY_COUNT(transition_slices) };
const struct store_row_type store_row_ready = { "ready task", sizeof(struct store_ready), ready_slices,
                                                ARRAY_COUNT(ready_slices) };
const struct store_row_type store_row_identity = { "identity", sizeof(struct store_identity), identity_slices,
                                                   ARRAY_COUNT(identity_slices) };
const struct store_row_type store_row_wakeup = { "wake-up", sizeof(struct store_wakeup), wakeup_slices,
                                                 ARRAY_COUNT(wakeup_slices) };
const struct store_row_type store_row_branch = { "branch", sizeof(struct store_branch), NULL, 0 };
const struct store_row_type store_row_outbox = { "outbox message", sizeof(struct store_outbox), outbox_slices,
                                                 ARRAY_COUNT(outbox_slices) };
const struct store_row_type store_row_link = { "link", sizeof(struct store_link), NULL, 0 };
const struct store_row_type store_row_entity = { "entity", sizeof(struct store_entity), entity_slices,
                                                 ARRAY_COUNT(entity_slices) };

static const struct bytes *slice_at(const void *row, size_t offset)
{
    return (const struct bytes *)(const void *)((const char *)row + offset);
}

size_t store_row_bytes(const struct store_row_type *type, const void *row)
{
    size_t size = 0;
    for (size_t i = 0; i < type->slice_count; i++)
        size += slice_at(row, type->slices[i])->size;
    return size;
}

size_t store_row_page_size(const struct store_row_type *type, const void *row)
{
    return store_row_bytes(type, row) + ROW_OVERHEAD;
}

void store_row_copy(const struct store_row_type *type, void *to, uint8_t *bytes, const void *row)
{
    memcpy(to, row, type->size);
    for (size_t i = 0; i < type->slice_count; i++) {
        struct bytes *slice = (struct bytes *)(void *)((char *)to + type->slices[i]);
        if (slice->size == 0) {
            *slice = BYTES_EMPTY;
            continue;
        }
        memcpy(bytes, slice->base, slice->size);
        slice->base = bytes;
        bytes += slice->size;
    }
}

static enum status check_size(const struct store_row_type *type, const void *row, struct error *error)
{
    size_t size = store_row_bytes(type, row);
    if (size <= STORE_ROW_SIZE_MAX)
        return ST_OK;
    return error_set(error, ST_RESOURCE_EXHAUSTED, "a %s of %zu bytes is larger than the store's limit of %u",
                     type->name, size, STORE_ROW_SIZE_MAX);
}

/* UNSPECIFIED, RUNNING and PAUSED of WorkflowExecutionStatus; the store knows no protobuf, hence the numbers. */
const int32_t store_open_statuses[STORE_OPEN_STATUS_COUNT] = { 0, 1, 8 };

bool store_status_is_open(int64_t status)
{
    for (size_t i = 0; i < STORE_OPEN_STATUS_COUNT; i++) {
        if (store_open_statuses[i] == status)
            return true;
    }
    return false;
}

static enum status check_run(const struct store_run *run, struct error *error)
{
    if (run->close_time == 0 && !store_status_is_open(run->status))
        return error_set(error, ST_INTERNAL, "run %" PRId64 " of status %d has no close time", run->number,
                         run->status);
    if (run->kind >= STORE_RUN_KIND_COUNT)
        return error_set(error, ST_INTERNAL, "run %" PRId64 " is of unknown kind %d", run->number,
                         (int)run->kind);
    struct bytes                 attributes = run->attributes;
    struct store_attribute_value value;
    while (store_attributes_next(&attributes, &value))
        continue;
    if (attributes.size != 0)
        return error_set(error, ST_INTERNAL, "the attributes of run %" PRId64 " are damaged", run->number);
    return check_size(&store_row_run, run, error);
}

enum status store_write_check(const struct store_write *write, struct error *error)
{
    switch (write->kind) {
    case STORE_RUN_INSERT:
    case STORE_RUN_UPDATE:
        return check_run(write->run, error);
    case STORE_RUN_SNAPSHOT:
        return check_size(&store_row_run, write->run, error);
    case STORE_TRANSITION_INSERT:
        return check_size(&store_row_transition, write->transition, error);
    case STORE_READY_INSERT:
        return check_size(&store_row_ready, write->ready, error);
    case STORE_WAKEUP_SET:
        if (write->wakeup.workflow_id.size > STORE_ROW_SIZE_MAX)
            return error_set(error, ST_RESOURCE_EXHAUSTED, "a wake-up's workflow id is too large");
        return ST_OK;
    case STORE_OUTBOX_INSERT:
        return check_size(&store_row_outbox, write->outbox, error);
    case STORE_ENTITY_PUT:
        return check_size(&store_row_entity, &write->entity, error);
    case STORE_RUN_DELETE:
    case STORE_TRANSITIONS_DELETE:
    case STORE_READY_DELETE:
    case STORE_WAKEUP_DELETE:
    case STORE_OUTBOX_DELETE:
    case STORE_LINK_TAKE:
    case STORE_ENTITY_DELETE:
        return ST_OK;
    }
    return error_set(error, ST_INTERNAL, "a write of unknown kind %d", (int)write->kind);
}
