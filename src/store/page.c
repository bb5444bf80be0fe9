/* page.c: the rows of an answer, cut by count and bytes in the same way by every store. */
#include "base/mutant.h"
#include "store/store_internal.h"

int64_t store_transition_of_event(int64_t first, int64_t last, int64_t event_id,
                                  int64_t (*first_event_id)(void *context, int64_t number), void *context)
{
    /* Event ids grow with numbers, so this is a binary search; `first` is the answer when all lie above. */
    while (first < last) {
        int64_t middle = first + (last - first + 1) / 2;
        int64_t at = first_event_id(context, middle);
        if (at < 0)
            return 0;
        if (at <= event_id)
            first = middle;
        else
            last = middle - 1;
    }
    return first;
}

void store_read_start(struct store_read *read)
{
    read->status = ST_OK;
    error_clear(&read->error);
    read->found = read->more = false;
    read->runs = NULL;
    read->transitions = NULL;
    read->ready = NULL;
    read->ready_counts = NULL;
    read->wakeups = NULL;
    read->branches = NULL;
    read->branch_count = 0;
    read->identities = NULL;
    read->outbox = NULL;
    read->links = NULL;
    read->entities = NULL;
    read->groups = NULL;
    read->run_count = read->transition_count = read->ready_count = read->wakeup_count = read->identity_count =
        0;
    read->outbox_count = read->link_count = read->entity_count = read->group_count = 0;
    read->ready_count_count = 0;
    read->count = 0;
}

#define PAGE(name, array, counter, row_type)                                                                 \
    void store_page_##name(struct store_page *page, struct store_read *read)                                 \
    {                                                                                                        \
        *page = (struct store_page){ .read = read,                                                           \
                                     .type = &store_row_##row_type,                                          \
                                     .rows = (void **)&read->array,                                          \
                                     .count = &read->counter };                                              \
    }
PAGE(runs, runs, run_count, run)
PAGE(transitions, transitions, transition_count, transition)
PAGE(ready, ready, ready_count, ready)
PAGE(wakeups, wakeups, wakeup_count, wakeup)
PAGE(branches, branches, branch_count, branch)
PAGE(identities, identities, identity_count, identity)
PAGE(outbox, outbox, outbox_count, outbox)
PAGE(links, links, link_count, link)
PAGE(entities, entities, entity_count, entity)

/* Makes room for one more element of an array in an arena; the smaller array before it stays there until the arena is
 * reset, which doubling keeps within twice the size. */
static bool array_grow(struct arena *arena, void **base, size_t count, size_t *capacity, size_t element_size)
{
    if (count < *capacity)
        return true;
    size_t larger = *capacity == 0 ? 4 : *capacity * 2;
    void  *moved = arena_zalloc(arena, larger, element_size);
    if (moved == NULL)
        return false;
    if (count > 0)
        memcpy(moved, *base, count * element_size);
    *base = moved;
    *capacity = larger;
    return true;
}

static enum status spent(struct store_read *read)
{
    read->status = error_set(&read->error, ST_RESOURCE_EXHAUSTED,
                             "the answer does not fit the memory of this request");
    return read->status;
}

enum store_page_step store_page_add(struct store_page *page, const void *row)
{
    struct store_read *read = page->read;
    size_t             size = store_row_page_size(page->type, row);
    bool               rows_end = read->limit != 0 && *page->count >= read->limit;
    bool bytes_end = read->size_limit != 0 && *page->count > 0 && page->size + size > read->size_limit;
    if (rows_end || bytes_end) {
        read->more = !MUTANT(page_end_swallows_row);
        return STORE_PAGE_END;
    }
    size_t   bytes = store_row_bytes(page->type, row);
    uint8_t *room = bytes == 0 ? NULL : arena_alloc(read->arena, bytes);
    if ((bytes != 0 && room == NULL) ||
        !array_grow(read->arena, page->rows, *page->count, &page->capacity, page->type->size)) {
        (void)spent(read);
        return STORE_PAGE_SPENT;
    }
    store_row_copy(page->type, (char *)*page->rows + *page->count * page->type->size, room, row);
    *page->count += 1;
    page->size += size;
    read->found = true;
    return STORE_PAGE_TAKEN;
}

enum status store_ready_count_add(struct store_read *read, size_t *capacity,
                                  const struct store_ready_count *count)
{
    if (!array_grow(read->arena, (void **)&read->ready_counts, read->ready_count_count, capacity,
                    sizeof *count))
        return spent(read);
    read->ready_counts[read->ready_count_count++] = *count;
    return ST_OK;
}

static bool values_equal(const struct store_value *a, const struct store_value *b)
{
    return a->is_text == b->is_text && store_value_compare(a, b) == 0;
}

static bool is_group(const struct store_group_count *group, const struct store_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!values_equal(&group->values[i], &values[i]))
            return false;
    }
    return true;
}

static bool value_copy(struct arena *arena, const struct store_value *value, struct store_value *ret_value)
{
    *ret_value = *value;
    if (value->text.size == 0)
        return true;
    uint8_t *text = arena_alloc(arena, value->text.size);
    if (text == NULL)
        return false;
    memcpy(text, value->text.base, value->text.size);
    ret_value->text.base = text;
    return true;
}

enum status store_groups_add(struct store_read *read, size_t *capacity, const struct store_value *values,
                             int64_t count)
{
    for (size_t i = 0; i < read->group_count; i++) {
        if (is_group(&read->groups[i], values, read->key_count)) {
            read->groups[i].count += count;
            return ST_OK;
        }
    }
    if (read->group_count == STORE_GROUPS_MAX) {
        read->status = error_set(&read->error, ST_INVALID_ARGUMENT,
                                 "the count has more than %d groups: narrow the query", STORE_GROUPS_MAX);
        return read->status;
    }
    if (!array_grow(read->arena, (void **)&read->groups, read->group_count, capacity, sizeof *read->groups))
        return spent(read);
    struct store_group_count *group = &read->groups[read->group_count];
    *group = (struct store_group_count){ .count = count };
    for (size_t i = 0; i < read->key_count; i++) {
        if (!value_copy(read->arena, &values[i], &group->values[i]))
            return spent(read);
    }
    read->group_count++;
    return ST_OK;
}

enum status store_last_keys_set(struct store_read *read, const struct store_column_value *keys)
{
    for (size_t i = 0; i < read->key_count; i++) {
        read->last_keys[i].is_null = keys[i].is_null;
        if (!value_copy(read->arena, &keys[i].value, &read->last_keys[i].value))
            return spent(read);
    }
    return ST_OK;
}
