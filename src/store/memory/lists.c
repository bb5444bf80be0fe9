/* lists.c: lists and counts of the memory store: a walk over all runs. */
#include "store/memory/memory_internal.h"

/* A run with what it is sorted by. */
struct listed {
    const struct store_run   *run;
    const struct store_read  *read;
    struct store_column_value keys[STORE_KEYS_MAX];
};

/* The order of lists: open runs first, newest first; then closed ones, last closed first. */
static int compare_by_default(const struct store_run *a, const struct store_run *b)
{
    bool a_open = a->close_time == 0, b_open = b->close_time == 0;
    if (a_open != b_open)
        return a_open ? -1 : 1;
    if (a->close_time != b->close_time)
        return a->close_time > b->close_time ? -1 : 1;
    return (a->number < b->number) - (a->number > b->number);
}

static int compare_listed(const void *left, const void *right)
{
    const struct listed *a = left, *b = right;
    if (a->read->key_count == 0)
        return compare_by_default(a->run, b->run);
    return store_keys_compare(a->read->keys, a->read->key_count, a->keys, a->run->number, b->keys,
                              b->run->number);
}

static bool is_behind(const struct store_read *read, const struct listed *listed)
{
    if (!read->after_is_set)
        return true;
    struct store_run last = { .number = read->after,
                              .close_time = read->after_open ? 0 : read->after_close_time };
    struct listed    after = { .run = &last, .read = read };
    memcpy(after.keys, read->after_keys, sizeof after.keys);
    return compare_listed(listed, &after) > 0;
}

static bool is_of(const struct store_read *read, const struct store_run *run)
{
    return run->namespace_number == read->namespace_number &&
           (read->run_kind == STORE_RUN_ANY_KIND || (int)run->kind == read->run_kind);
}

static struct listed listed_of(const struct store_read *read, const struct store_run *run)
{
    struct listed listed = { .run = run, .read = read };
    for (size_t i = 0; i < read->key_count; i++)
        listed.keys[i] = store_key_of(run, &read->keys[i]);
    return listed;
}

static bool check(struct store_read *read)
{
    read->status = store_filter_check(read->filter, &read->error);
    if (read->status == ST_OK)
        read->status = store_keys_check(read, &read->error);
    return read->status == ST_OK;
}

void memory_read_list(const struct memory_tables *tables, struct store_read *read)
{
    if (!check(read))
        return;
    CLEANUP(free_pointer) struct listed *all = xcalloc(tables->runs.count, sizeof *all);
    size_t                               count = 0;
    for (const struct order_node *node = tables->runs.first[0]; node != NULL; node = node->next[0]) {
        const struct store_run *run = node->row;
        if (!is_of(read, run))
            continue;
        all[count] = listed_of(read, run);
        if (is_behind(read, &all[count]) && store_filter_matches_run(read->filter, run))
            count++;
    }
    if (count != 0)
        qsort(all, count, sizeof *all, compare_listed);
    struct store_page page;
    store_page_runs(&page, read);
    for (size_t i = 0; i < count; i++) {
        struct store_run run = *all[i].run;
        run.snapshot = BYTES_EMPTY;
        run.attributes = BYTES_EMPTY;
        if (store_page_add(&page, &run) != STORE_PAGE_TAKEN ||
            store_last_keys_set(read, all[i].keys) != ST_OK)
            return;
    }
}

/* A list counts once for each of its values. */
static bool count_run(struct store_read *read, const struct store_run *run, size_t *capacity)
{
    struct store_value      values[STORE_KEYS_MAX];
    const struct store_key *many = NULL;
    size_t                  place = 0;
    for (size_t i = 0; i < read->key_count; i++) {
        struct store_column_value column = store_key_of(run, &read->keys[i]);
        if (column.is_null)
            return true;
        values[i] = column.value;
        if (read->keys[i].attribute != NULL && store_attribute_is_many(read->keys[i].attribute->type)) {
            many = &read->keys[i];
            place = i;
        }
    }
    if (many == NULL)
        return store_groups_add(read, capacity, values, 1) == ST_OK;
    struct bytes attributes = run->attributes;
    while (store_attributes_find(&attributes, many->attribute, &values[place])) {
        if (store_groups_add(read, capacity, values, 1) != ST_OK)
            return false;
    }
    return true;
}

void memory_read_count(const struct memory_tables *tables, struct store_read *read)
{
    size_t capacity = 0;
    if (!check(read))
        return;
    for (const struct order_node *node = tables->runs.first[0]; node != NULL; node = node->next[0]) {
        const struct store_run *run = node->row;
        if (!is_of(read, run) || !store_filter_matches_run(read->filter, run))
            continue;
        read->count++;
        if (read->key_count != 0 && !count_run(read, run, &capacity))
            return;
    }
    read->found = read->count > 0;
}
