/* reads.c: answers from the tables of the memory store. */
#include "store/memory/memory_internal.h"

/* Adds the transitions of a branch from `first` to `last`, in either direction. */
static void add_transitions(const struct memory_tables *tables, struct store_read *read, store_number branch,
                            int64_t first, int64_t last)
{
    struct store_page page;
    store_page_transitions(&page, read);
    struct store_transition        key = { .branch = branch, .number = read->backward ? last : first };
    const struct store_transition *row;
    bool                           inclusive = true;
    for (;; key.number = row->number, inclusive = false) {
        if (read->backward) {
            row = order_below(&tables->transitions, &key, inclusive);
        } else {
            const struct order_node *node = order_above(&tables->transitions, &key, inclusive);
            row = node == NULL ? NULL : node->row;
        }
        if (row == NULL || row->branch != branch || row->number < first || row->number > last)
            return;
        if (store_page_add(&page, row) != STORE_PAGE_TAKEN)
            return;
    }
}

struct branch_search {
    const struct memory_tables *tables;
    store_number                branch;
};

static int64_t first_event_of(void *context, int64_t number)
{
    const struct branch_search    *search = context;
    struct store_transition        key = { .branch = search->branch, .number = number };
    const struct store_transition *row = order_find(&search->tables->transitions, &key);
    return row == NULL ? -1 : row->first_event_id;
}

static void read_history(const struct memory_tables *tables, struct store_read *read)
{
    int64_t first = read->from, last = read->to;
    if (read->from_event != 0) {
        struct branch_search           search = { tables, read->number };
        struct store_transition        key = { .branch = read->number, .number = last };
        const struct store_transition *newest = order_below(&tables->transitions, &key, true);
        if (newest == NULL || newest->branch != read->number || newest->number < first)
            return;
        int64_t at = store_transition_of_event(first, newest->number, read->from_event, first_event_of,
                                               &search);
        first = read->backward ? first : at;
        last = read->backward ? at : last;
    }
    add_transitions(tables, read, read->number, first, last);
}

static void read_loaded(const struct memory_tables *tables, struct store_read *read,
                        const struct store_run *run)
{
    if (run == NULL)
        return;
    struct store_page page;
    store_page_runs(&page, read);
    struct store_run found = *run;
    if (!read->with_attributes)
        found.attributes = BYTES_EMPTY;
    if (store_page_add(&page, &found) == STORE_PAGE_TAKEN && read->with_history)
        add_transitions(tables, read, run->number, run->snapshot_transition + 1, INT64_MAX);
}

static void read_current_run(const struct memory_tables *tables, struct store_read *read)
{
    struct store_run        key = { .namespace_number = read->namespace_number,
                                    .workflow_id = read->workflow_id,
                                    .number = INT64_MAX };
    const struct store_run *run = order_below(&tables->runs_by_workflow, &key, true);
    bool                    found = run != NULL && run->namespace_number == read->namespace_number &&
                 bytes_equal(run->workflow_id, read->workflow_id);
    read_loaded(tables, read, found ? run : NULL);
}

static struct store_ready ready_key(const struct store_read *read, store_number sequence)
{
    return (struct store_ready){ .namespace_number = read->namespace_number,
                                 .queue = read->queue,
                                 .kind = read->task_kind,
                                 .priority = read->priority,
                                 .fairness_key = read->fairness_key,
                                 .sequence = sequence };
}

static bool same_queue(const struct store_ready *row, const struct store_ready *key)
{
    return row->namespace_number == key->namespace_number && bytes_equal(row->queue, key->queue) &&
           row->kind == key->kind;
}

static void read_ready(const struct memory_tables *tables, struct store_read *read)
{
    struct store_page page;
    store_page_ready(&page, read);
    struct store_ready key = ready_key(read, read->after);
    for (const struct order_node *node = order_above(&tables->ready_by_queue, &key, false); node != NULL;
         node = node->next[0]) {
        const struct store_ready *row = node->row;
        if (!same_queue(row, &key) || row->priority != key.priority ||
            !bytes_equal(row->fairness_key, key.fairness_key) ||
            store_page_add(&page, row) != STORE_PAGE_TAKEN)
            return;
    }
}

static void read_ready_heads(const struct memory_tables *tables, struct store_read *read)
{
    struct store_page page;
    store_page_ready(&page, read);
    struct store_ready key = ready_key(read, INT64_MAX);
    for (const struct order_node *node; (node = order_above(&tables->ready_by_queue, &key, false)) != NULL;) {
        const struct store_ready *row = node->row;
        if (!same_queue(row, &key) || store_page_add(&page, row) != STORE_PAGE_TAKEN)
            return;
        key.priority = row->priority;
        key.fairness_key = row->fairness_key;
    }
}

static void read_ready_counts(const struct memory_tables *tables, struct store_read *read)
{
    struct store_ready       key = ready_key(read, INT64_MIN);
    struct store_ready_count count = { 0 };
    store_number             oldest = 0;
    size_t                   capacity = 0;
    key.priority = INT32_MIN;
    key.fairness_key = BYTES_EMPTY;
    for (const struct order_node *node = order_above(&tables->ready_by_queue, &key, false); node != NULL;
         node = node->next[0]) {
        const struct store_ready *row = node->row;
        if (!same_queue(row, &key))
            break;
        if (count.count != 0 && row->priority != count.priority) {
            if (store_ready_count_add(read, &capacity, &count) != ST_OK)
                return;
            count.count = 0;
        }
        if (count.count == 0 || row->sequence < oldest) {
            oldest = row->sequence;
            count.oldest_created = row->created_time;
        }
        count.priority = row->priority;
        count.count++;
    }
    if (count.count != 0 && store_ready_count_add(read, &capacity, &count) != ST_OK)
        read->ready_count_count = 0;
}

static void read_from(struct store_page *page, const struct order_node *node)
{
    for (; node != NULL && store_page_add(page, node->row) == STORE_PAGE_TAKEN; node = node->next[0])
        ;
}

static void read_entities(const struct memory_tables *tables, struct store_read *read)
{
    bool                one = read->entity_key.size != 0;
    struct store_entity key = { .kind = read->entity_kind, .key = one ? read->entity_key : read->after_key };
    const struct order_node *node = order_above(&tables->entities, &key, one || key.key.size == 0);
    struct store_page        page;
    store_page_entities(&page, read);
    for (; node != NULL; node = node->next[0]) {
        const struct store_entity *row = node->row;
        if (row->kind != key.kind || (one && !bytes_equal(row->key, key.key)) ||
            store_page_add(&page, row) != STORE_PAGE_TAKEN)
            return;
    }
}

static void read_identities(const struct memory_tables *tables, struct store_read *read)
{
    struct store_page page;
    struct store_run  key = { .namespace_number = read->namespace_number,
                              .workflow_id = read->workflow_id,
                              .number = read->after };
    store_page_identities(&page, read);
    for (const struct order_node *node = order_above(&tables->runs_by_workflow, &key, false); node != NULL;
         node = node->next[0]) {
        const struct store_run *run = node->row;
        struct store_identity   identity = { run->namespace_number, run->workflow_id, run->number };
        if (store_page_add(&page, &identity) != STORE_PAGE_TAKEN)
            return;
    }
}

static void read_wakeup(const struct memory_tables *tables, struct store_read *read)
{
    const struct store_wakeup *row = order_find(&tables->wakeups,
                                                &(struct store_wakeup){ .entity = read->number });
    struct store_page          page;
    store_page_wakeups(&page, read);
    if (row != NULL && store_page_add(&page, row) != STORE_PAGE_TAKEN)
        read->found = false;
}

static void read_branches(const struct memory_tables *tables, struct store_read *read)
{
    struct store_transition key = { .branch = read->after, .number = INT64_MAX };
    struct store_page       page;
    store_page_branches(&page, read);
    for (const struct order_node *node = order_above(&tables->transitions, &key, false); node != NULL;) {
        const struct store_transition *first = node->row, *last = first;
        struct store_branch            branch = { .number = first->branch, .first = first->number };
        for (; node != NULL && ((const struct store_transition *)node->row)->branch == branch.number;
             node = node->next[0]) {
            last = node->row;
            branch.count++;
        }
        branch.last = last->number;
        if (store_page_add(&page, &branch) != STORE_PAGE_TAKEN)
            return;
    }
}

void memory_read(const struct memory_tables *tables, struct store_read *read)
{
    struct store_page page;
    store_read_start(read);
    switch (read->kind) {
    case STORE_READ_CURRENT_RUN:
        read_current_run(tables, read);
        return;
    case STORE_READ_RUN:
        read_loaded(tables, read, order_find(&tables->runs, &(struct store_run){ .number = read->number }));
        return;
    case STORE_READ_HISTORY:
        read_history(tables, read);
        return;
    case STORE_READ_READY:
        read_ready(tables, read);
        return;
    case STORE_READ_READY_HEADS:
        read_ready_heads(tables, read);
        return;
    case STORE_READ_READY_COUNTS:
        read_ready_counts(tables, read);
        return;
    case STORE_READ_WAKEUPS:
        store_page_wakeups(&page, read);
        read_from(&page, order_above(&tables->wakeups_by_due,
                                     &(struct store_wakeup){ .due = read->after_due, .entity = read->after },
                                     false));
        return;
    case STORE_READ_READY_ROWS:
        store_page_ready(&page, read);
        read_from(&page,
                  order_above(&tables->ready, &(struct store_ready){ .sequence = read->after }, false));
        return;
    case STORE_READ_WAKEUP:
        read_wakeup(tables, read);
        return;
    case STORE_READ_BRANCHES:
        read_branches(tables, read);
        return;
    case STORE_READ_IDENTITIES:
        read_identities(tables, read);
        return;
    case STORE_READ_OUTBOX:
        store_page_outbox(&page, read);
        read_from(&page, order_above(&tables->outbox,
                                     &(struct store_outbox){ .source_range = read->after_source_range,
                                                             .target_range = read->after_target_range,
                                                             .number = read->after },
                                     false));
        return;
    case STORE_READ_LINKS:
        store_page_links(&page, read);
        read_from(&page, tables->links.first[0]);
        return;
    case STORE_READ_ENTITIES:
        read_entities(tables, read);
        return;
    case STORE_READ_LIST:
        memory_read_list(tables, read);
        return;
    case STORE_READ_COUNT:
        memory_read_count(tables, read);
        return;
    }
    read->status = error_set(&read->error, ST_INTERNAL, "a read of unknown kind %d", (int)read->kind);
}
