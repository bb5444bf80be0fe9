/* apply.c: the tables of the memory store and the writes to them. Every step is noted, so that a group that turns out to
 * be refused in its middle is taken back. */
#include "base/mutant.h"
#include "store/memory/memory_internal.h"

struct memory_undo {
    struct order *order;
    void         *put, *taken; /* rows; NULL: none */
    bool          owner;       /* whether the order owns its rows */
};

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))
#define RETURN_IF_DIFFERENT(a, b)                                                                            \
    do {                                                                                                     \
        if ((a) != (b))                                                                                      \
            return (a) > (b) ? 1 : -1;                                                                       \
    } while (0)

static int compare_runs(const void *left, const void *right)
{
    const struct store_run *a = left, *b = right;
    return COMPARE(a->number, b->number);
}
static int compare_runs_by_workflow(const void *left, const void *right)
{
    const struct store_run *a = left, *b = right;
    RETURN_IF_DIFFERENT(a->namespace_number, b->namespace_number);
    int order = bytes_compare(a->workflow_id, b->workflow_id);
    return order != 0 ? order : COMPARE(a->number, b->number);
}
static int compare_transitions(const void *left, const void *right)
{
    const struct store_transition *a = left, *b = right;
    RETURN_IF_DIFFERENT(a->branch, b->branch);
    return COMPARE(a->number, b->number);
}
static int compare_ready(const void *left, const void *right)
{
    const struct store_ready *a = left, *b = right;
    return COMPARE(a->sequence, b->sequence);
}
static int compare_ready_by_queue(const void *left, const void *right)
{
    const struct store_ready *a = left, *b = right;
    RETURN_IF_DIFFERENT(a->namespace_number, b->namespace_number);
    int order = bytes_compare(a->queue, b->queue);
    if (order != 0)
        return order;
    RETURN_IF_DIFFERENT(a->kind, b->kind);
    RETURN_IF_DIFFERENT(a->priority, b->priority);
    order = bytes_compare(a->fairness_key, b->fairness_key);
    if (order != 0)
        return order;
    return COMPARE(a->sequence, b->sequence);
}
static int compare_wakeups(const void *left, const void *right)
{
    const struct store_wakeup *a = left, *b = right;
    return COMPARE(a->entity, b->entity);
}
static int compare_wakeups_by_due(const void *left, const void *right)
{
    const struct store_wakeup *a = left, *b = right;
    RETURN_IF_DIFFERENT(a->due, b->due);
    return COMPARE(a->entity, b->entity);
}
static int compare_outbox(const void *left, const void *right)
{
    const struct store_outbox *a = left, *b = right;
    RETURN_IF_DIFFERENT(a->source_range, b->source_range);
    RETURN_IF_DIFFERENT(a->target_range, b->target_range);
    return COMPARE(a->number, b->number);
}
static int compare_links(const void *left, const void *right)
{
    const struct store_link *a = left, *b = right;
    RETURN_IF_DIFFERENT(a->source_range, b->source_range);
    return COMPARE(a->target_range, b->target_range);
}
static int compare_entities(const void *left, const void *right)
{
    const struct store_entity *a = left, *b = right;
    RETURN_IF_DIFFERENT(a->kind, b->kind);
    return bytes_compare(a->key, b->key);
}

void memory_tables_init(struct memory_tables *tables)
{
    *tables = (struct memory_tables){ 0 };
    order_init(&tables->runs, compare_runs);
    order_init(&tables->runs_by_workflow, compare_runs_by_workflow);
    order_init(&tables->transitions, compare_transitions);
    order_init(&tables->ready, compare_ready);
    order_init(&tables->ready_by_queue, compare_ready_by_queue);
    order_init(&tables->wakeups, compare_wakeups);
    order_init(&tables->wakeups_by_due, compare_wakeups_by_due);
    order_init(&tables->outbox, compare_outbox);
    order_init(&tables->links, compare_links);
    order_init(&tables->entities, compare_entities);
}

void memory_tables_release(struct memory_tables *tables)
{
    assert(tables->undo_count == 0);
    order_release(&tables->runs_by_workflow, NULL);
    order_release(&tables->ready_by_queue, NULL);
    order_release(&tables->wakeups_by_due, NULL);
    order_release(&tables->runs, free);
    order_release(&tables->transitions, free);
    order_release(&tables->ready, free);
    order_release(&tables->wakeups, free);
    order_release(&tables->outbox, free);
    order_release(&tables->links, free);
    order_release(&tables->entities, free);
    free(tables->undo);
    tables->undo = NULL;
}

/* --- Steps that can be taken back --- */

static void note(struct memory_tables *tables, struct memory_undo undo)
{
    if (tables->undo_count == tables->undo_capacity) {
        tables->undo_capacity = tables->undo_capacity == 0 ? 64 : tables->undo_capacity * 2;
        tables->undo = xrealloc(tables->undo, tables->undo_capacity * sizeof *tables->undo);
    }
    tables->undo[tables->undo_count++] = undo;
}

static void put(struct memory_tables *tables, struct order *order, void *row, bool owner)
{
    void *taken = order_put(order, row);
    note(tables, (struct memory_undo){ order, row, taken, owner });
}

static void take(struct memory_tables *tables, struct order *order, const void *key, bool owner)
{
    void *taken = order_take(order, key);
    if (taken != NULL)
        note(tables, (struct memory_undo){ order, NULL, taken, owner });
}

static void take_back(struct memory_tables *tables)
{
    while (tables->undo_count > 0) {
        const struct memory_undo *undo = &tables->undo[--tables->undo_count];
        if (undo->taken != NULL)
            (void)order_put(undo->order, undo->taken);
        else
            (void)order_take(undo->order, undo->put);
        if (undo->owner)
            free(undo->put);
    }
}

static void keep(struct memory_tables *tables)
{
    for (size_t i = 0; i < tables->undo_count; i++) {
        if (tables->undo[i].owner)
            free(tables->undo[i].taken);
    }
    tables->undo_count = 0;
}

static void *copy_row(const struct store_row_type *type, const void *row)
{
    uint8_t *copy = xmalloc(type->size + store_row_bytes(type, row));
    store_row_copy(type, copy, copy + type->size, row);
    return copy;
}

/* --- Writes --- */

static enum status exists(const struct store_row_type *type, struct error *error)
{
    return error_set(error, ST_ALREADY_EXISTS, "a %s with this key exists", type->name);
}

static enum status insert_run(struct memory_tables *tables, const struct store_run *run, struct error *error)
{
    if (order_find(&tables->runs, run) != NULL)
        return exists(&store_row_run, error);
    struct store_run *copy = copy_row(&store_row_run, run);
    put(tables, &tables->runs, copy, true);
    put(tables, &tables->runs_by_workflow, copy, false);
    return ST_OK;
}

static enum status update_run(struct memory_tables *tables, const struct store_run *run, struct error *error)
{
    const struct store_run *old = order_find(&tables->runs, run);
    if (old == NULL)
        return error_set(error, ST_NOT_FOUND, "no run %" PRId64 " to update", run->number);
    struct store_run changed = *run;
    changed.namespace_number = old->namespace_number;
    changed.run_id = old->run_id;
    changed.workflow_id = old->workflow_id;
    changed.workflow_type = old->workflow_type;
    changed.start_time = old->start_time;
    changed.parent_workflow_id = old->parent_workflow_id;
    changed.parent_run_id = old->parent_run_id;
    changed.root_workflow_id = old->root_workflow_id;
    changed.root_run_id = old->root_run_id;
    struct store_run *copy = copy_row(&store_row_run, &changed);
    put(tables, &tables->runs, copy, true);
    put(tables, &tables->runs_by_workflow, copy, false);
    return ST_OK;
}

static enum status put_snapshot(struct memory_tables *tables, const struct store_run *run,
                                struct error *error)
{
    const struct store_run *old = order_find(&tables->runs, run);
    if (old == NULL)
        return error_set(error, ST_NOT_FOUND, "no run %" PRId64 " to keep a snapshot of", run->number);
    struct store_run changed = *old;
    changed.snapshot = run->snapshot;
    changed.snapshot_transition = run->snapshot_transition;
    struct store_run *copy = copy_row(&store_row_run, &changed);
    put(tables, &tables->runs, copy, true);
    put(tables, &tables->runs_by_workflow, copy, false);
    return ST_OK;
}

static void delete_run(struct memory_tables *tables, const struct store_run *key)
{
    const struct store_run *old = order_find(&tables->runs, key);
    if (old == NULL)
        return;
    take(tables, &tables->runs_by_workflow, old, false);
    take(tables, &tables->runs, old, true);
}

static enum status insert(struct memory_tables *tables, struct order *order,
                          const struct store_row_type *type, const void *row, struct error *error)
{
    if (order_find(order, row) != NULL)
        return exists(type, error);
    put(tables, order, copy_row(type, row), true);
    return ST_OK;
}

static void delete_transitions(struct memory_tables *tables, const struct store_write *write)
{
    struct store_transition key = { .branch = write->transitions.branch, .number = write->transitions.first };
    const struct order_node *node;
    while ((node = order_above(&tables->transitions, &key, true)) != NULL) {
        const struct store_transition *row = node->row;
        if (row->branch != key.branch || row->number > write->transitions.last)
            break;
        take(tables, &tables->transitions, row, true);
    }
}

static enum status insert_ready(struct memory_tables *tables, const struct store_ready *ready,
                                struct error *error)
{
    if (order_find(&tables->ready, ready) != NULL)
        return exists(&store_row_ready, error);
    struct store_ready *copy = copy_row(&store_row_ready, ready);
    put(tables, &tables->ready, copy, true);
    put(tables, &tables->ready_by_queue, copy, false);
    return ST_OK;
}

static void delete_ready(struct memory_tables *tables, const struct store_ready *key)
{
    const struct store_ready *old = order_find(&tables->ready, key);
    if (old == NULL)
        return;
    take(tables, &tables->ready_by_queue, old, false);
    take(tables, &tables->ready, old, true);
}

static void delete_wakeup(struct memory_tables *tables, store_number entity)
{
    struct store_wakeup        key = { .entity = entity };
    const struct store_wakeup *old = order_find(&tables->wakeups, &key);
    if (old == NULL)
        return;
    take(tables, &tables->wakeups_by_due, old, false);
    take(tables, &tables->wakeups, old, true);
}

static void set_wakeup(struct memory_tables *tables, const struct store_write *write)
{
    struct store_wakeup wakeup = { .entity = write->wakeup.entity,
                                   .due = write->wakeup.due,
                                   .namespace_number = write->wakeup.namespace_number,
                                   .workflow_id = write->wakeup.workflow_id,
                                   .kind = write->wakeup.kind };
    delete_wakeup(tables, wakeup.entity);
    struct store_wakeup *copy = copy_row(&store_row_wakeup, &wakeup);
    put(tables, &tables->wakeups, copy, true);
    put(tables, &tables->wakeups_by_due, copy, false);
}

static void take_link(struct memory_tables *tables, const struct store_link *taken)
{
    struct store_link        link = { taken->source_range, taken->target_range, 0, 0 };
    const struct store_link *stored = order_find(&tables->links, &link);
    if (stored != NULL)
        link = *stored;
    store_link_take(&link, taken->number);
    put(tables, &tables->links, copy_row(&store_row_link, &link), true);
}

static enum status apply_write(struct memory_tables *tables, const struct store_write *write,
                               struct error *error)
{
    enum status status = store_write_check(write, error);
    if (status != ST_OK)
        return status;
    switch (write->kind) {
    case STORE_RUN_INSERT:
        return insert_run(tables, write->run, error);
    case STORE_RUN_UPDATE:
        return update_run(tables, write->run, error);
    case STORE_RUN_SNAPSHOT:
        return put_snapshot(tables, write->run, error);
    case STORE_RUN_DELETE:
        delete_run(tables, write->run);
        return ST_OK;
    case STORE_TRANSITION_INSERT:
        return insert(tables, &tables->transitions, &store_row_transition, write->transition, error);
    case STORE_TRANSITIONS_DELETE:
        delete_transitions(tables, write);
        return ST_OK;
    case STORE_READY_INSERT:
        return insert_ready(tables, write->ready, error);
    case STORE_READY_DELETE:
        delete_ready(tables, write->ready);
        return ST_OK;
    case STORE_WAKEUP_SET:
        set_wakeup(tables, write);
        return ST_OK;
    case STORE_WAKEUP_DELETE:
        delete_wakeup(tables, write->wakeup.entity);
        return ST_OK;
    case STORE_OUTBOX_INSERT:
        return insert(tables, &tables->outbox, &store_row_outbox, write->outbox, error);
    case STORE_OUTBOX_DELETE:
        take(tables, &tables->outbox, write->outbox, true);
        return ST_OK;
    case STORE_LINK_TAKE:
        take_link(tables, &write->link);
        return ST_OK;
    case STORE_ENTITY_PUT:
        put(tables, &tables->entities, copy_row(&store_row_entity, &write->entity), true);
        return ST_OK;
    case STORE_ENTITY_DELETE:
        take(tables, &tables->entities, &write->entity, true);
        return ST_OK;
    }
    panic("a checked write of kind %d", (int)write->kind);
}

static enum store_outcome apply_groups(struct memory_tables *tables, struct store_batch *batch)
{
    const size_t      *order = store_batch_by_group(batch);
    enum store_outcome outcome = STORE_DURABLE;
    batch->refused = ARENA_NEW_ARRAY(&batch->arena, bool, batch->group_count);
    for (size_t at = 0; at < batch->write_count;) {
        uint32_t group = batch->writes[order[at]].group;
        for (; at < batch->write_count && batch->writes[order[at]].group == group; at++) {
            if (batch->refused[group])
                continue;
            if (apply_write(tables, &batch->writes[order[at]], &batch->error) != ST_OK) {
                batch->refused[group] = true;
                outcome = STORE_REFUSED;
                take_back(tables);
            }
        }
        keep(tables);
    }
    return outcome;
}

enum store_outcome memory_apply(struct memory_tables *tables, struct store_batch *batch)
{
    assert(tables->undo_count == 0);
    for (size_t i = 0; i + (MUTANT(commit_in_part) && batch->write_count > 6) < batch->write_count; i++) {
        if (apply_write(tables, &batch->writes[i], &batch->error) != ST_OK) {
            take_back(tables);
            return apply_groups(tables, batch);
        }
    }
    keep(tables);
    return STORE_DURABLE;
}
