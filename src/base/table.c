/* table.c: separate chaining, load factor at most one. */
#include "base/table.h"

#define BUCKET_COUNT_MIN 8

void table_init(struct table *table)
{
    *table = (struct table){ 0 };
}

void table_release(struct table *table)
{
    free(table->buckets);
    table_init(table);
}

static void grow(struct table *table)
{
    size_t              count = table->bucket_count == 0 ? BUCKET_COUNT_MIN : table->bucket_count * 2;
    struct table_link **buckets = xcalloc(count, sizeof(struct table_link *));
    for (size_t i = 0; i < table->bucket_count; i++) {
        for (struct table_link *link = table->buckets[i], *next; link != NULL; link = next) {
            next = link->next;
            link->next = buckets[link->hash & (count - 1)];
            buckets[link->hash & (count - 1)] = link;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
}

void table_insert(struct table *table, struct table_link *link, uint64_t hash)
{
    if (table->count >= table->bucket_count)
        grow(table);
    struct table_link **bucket = &table->buckets[hash & (table->bucket_count - 1)];
    link->hash = hash;
    link->next = *bucket;
    *bucket = link;
    table->count++;
}

void table_remove(struct table *table, struct table_link *link)
{
    assert(table->count > 0);
    struct table_link **at = &table->buckets[link->hash & (table->bucket_count - 1)];
    while (*at != link) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    table->count--;
}

static struct table_link *skip_to(struct table_link *link, uint64_t hash)
{
    while (link != NULL && link->hash != hash)
        link = link->next;
    return link;
}

struct table_link *table_first(const struct table *table, uint64_t hash)
{
    return table->count == 0 ? NULL : skip_to(table->buckets[hash & (table->bucket_count - 1)], hash);
}

struct table_link *table_next(const struct table_link *link)
{
    return skip_to(link->next, link->hash);
}

struct table_link *table_iterate(const struct table *table, struct table_iterator *iterator)
{
    struct table_link *link = iterator->next;
    while (link == NULL) {
        if (iterator->bucket >= table->bucket_count)
            return NULL;
        link = table->buckets[iterator->bucket++];
    }
    iterator->next = link->next;
    return link;
}
