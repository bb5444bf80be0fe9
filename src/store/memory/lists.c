/* lists.c: lists and counts of the memory store: a walk over all runs. */
#include "store/memory/memory_internal.h"

/* The order of lists: open runs first, newest first; then closed ones, last closed first. */
static int compare_listed(const void *left, const void *right)
{
    const struct store_run *a = *(const struct store_run *const *)left,
                           *b = *(const struct store_run *const *)right;
    bool a_open = a->close_time == 0, b_open = b->close_time == 0;
    if (a_open != b_open)
        return a_open ? -1 : 1;
    if (a->close_time != b->close_time)
        return a->close_time > b->close_time ? -1 : 1;
    return (a->number < b->number) - (a->number > b->number);
}

static bool is_behind(const struct store_read *read, const struct store_run *run)
{
    if (!read->after_is_set)
        return true;
    struct store_run        last = { .number = read->after,
                                     .close_time = read->after_open ? 0 : read->after_close_time };
    const struct store_run *last_pointer = &last, *run_pointer = run;
    return compare_listed(&run_pointer, &last_pointer) > 0;
}

void memory_read_list(const struct memory_tables *tables, struct store_read *read)
{
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status != ST_OK)
        return;
    CLEANUP(free_pointer) const struct store_run **listed = xcalloc(tables->runs.count, sizeof *listed);
    size_t                                         count = 0;
    for (const struct order_node *node = tables->runs.first[0]; node != NULL; node = node->next[0]) {
        const struct store_run *run = node->row;
        if (run->namespace_number == read->namespace_number && is_behind(read, run) &&
            store_filter_matches_run(read->filter, run))
            listed[count++] = run;
    }
    qsort(listed, count, sizeof *listed, compare_listed);
    struct store_page page;
    store_page_runs(&page, read);
    for (size_t i = 0; i < count; i++) {
        struct store_run run = *listed[i];
        run.snapshot = BYTES_EMPTY;
        if (store_page_add(&page, &run) != STORE_PAGE_TAKEN)
            return;
    }
}

void memory_read_count(const struct memory_tables *tables, struct store_read *read)
{
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status != ST_OK)
        return;
    if (read->group_column >= STORE_COLUMN_COUNT) {
        read->status = error_set(&read->error, ST_INVALID_ARGUMENT, "unknown column %d", read->group_column);
        return;
    }
    size_t capacity = 0;
    for (const struct order_node *node = tables->runs.first[0]; node != NULL; node = node->next[0]) {
        const struct store_run *run = node->row;
        if (run->namespace_number != read->namespace_number || !store_filter_matches_run(read->filter, run))
            continue;
        read->count++;
        if (read->group_column < 0)
            continue;
        struct store_column_value column = store_run_column(run, (enum store_column)read->group_column);
        if (!column.is_null && store_groups_add(read, &capacity, &column.value, 1) != ST_OK)
            return;
    }
    read->found = read->count > 0;
}
