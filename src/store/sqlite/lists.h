/* lists.h: what the ways to make a list share: how runs are found by a condition, and the page.
 *
 * A list goes along an index that has its order (lists.c, ordered.c), or, when one of the filter's conditions has an index
 * that says that few runs meet it, finds those and sorts them. In between, where sorting would take long and what matches is
 * still rare, it goes along the order's index and looks each run up in the set of those that the condition gives.
 */
#ifndef STORE_SQLITE_LISTS_H
#define STORE_SQLITE_LISTS_H
#include "store/sqlite/filter_sql.h"

/* How many runs may be looked at one by one and sorted, and how many may be in a set, within what a page may take. */
#define FEW_RUNS  8000
#define SOME_RUNS 100000
/* How many may be fetched one by one, in chunks: from about here on it is faster to look at all runs in their order. */
#define MANY_RUNS 2000000

enum sql_source_use { SOURCE_NONE, SOURCE_FEW, SOURCE_SET };
/* A condition (or all those of the same column) that an index serves. */
struct sql_source {
    enum sql_source_use        use;
    const struct store_filter *condition; /* in the read's filter */
    int64_t                    count;     /* of the runs it gives, but no more than so many were counted */
};
/* Finds the best one; an SQLite result code. */
int sql_source_choose(struct sqlite_connection *connection, const struct store_read *read,
                      struct sql_source *ret_source) MUST_USE;
/* Appends " AND run.number IN (...)", nothing when there is no source. */
void sql_add_source(struct sql *sql, const struct sql_source *source);
/* For what is done in chunks: a condition whose runs an index has in the order of their numbers, the one with the fewest, so that
 * chunks are of these runs instead of all. An SQLite result code. */
int sql_chunk_source_choose(struct sqlite_connection *connection, const struct store_read *read,
                            struct sql_source *ret_source) MUST_USE;
/* The same as sql_add_source, of numbers behind `after` up to `last`; without a source all of these. */
void sql_add_chunk(struct sql *sql, const struct sql_source *source, store_number after, store_number last);

/* Adds the run with this number; false: the page has ended, or the read has failed. One that may be gone is passed over. */
bool sqlite_list_add(struct sqlite_connection *connection, struct store_page *page, int64_t number,
                     bool may_be_gone, bool *ret_added);
/* The number so many runs (of the source) behind `after`, or the greatest there can be. */
int sqlite_chunk_end(struct sqlite_connection *connection, const struct store_read *read,
                     const struct sql_source *source, store_number after, store_number *ret_last) MUST_USE;
/* A list in the order of keys, of which there is one at least: those of the read, or those of the default order. */
void sqlite_list_ordered(struct sqlite_connection *connection, struct store_read *read,
                         const struct sql_source *source);
#endif
