/* table.h: a hash table whose links live in its members.
 *
 * The caller hashes (hash_bytes, hash_u64) and compares; the table only chains. Grows by doubling, never shrinks.
 * Iteration order depends on nothing but the hashes and the order of insertion, so a simulation replays exactly.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H
#include "base/base.h"

struct table_link {
    struct table_link *next;
    uint64_t           hash;
};
struct table {
    struct table_link **buckets; /* NULL until the first insertion */
    size_t              bucket_count, count;
};

void table_init(struct table *table);
void table_release(struct table *table); /* frees the buckets, not the members */
void table_insert(struct table *table, struct table_link *link, uint64_t hash);
void table_remove(struct table *table, struct table_link *link);
/* The first member with this hash, or NULL; then table_next for the others with the same hash. */
struct table_link *table_first(const struct table *table, uint64_t hash);
struct table_link *table_next(const struct table_link *link);
/* Any order that is stable while the table does not change. `cursor` starts as 0; NULL at the end. The member that was
 * returned last may be removed before the next call. */
struct table_iterator {
    size_t             bucket;
    struct table_link *next;
};
struct table_link *table_iterate(const struct table *table, struct table_iterator *iterator);
#endif
