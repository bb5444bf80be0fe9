/* list_filter.h: the language of list queries, parsed into the store's filter tree.
 *
 *   query := [expr] [GROUP BY ExecutionStatus]
 *   expr  := expr OR expr | expr AND expr | NOT expr | ( expr ) | cond
 *   cond  := column (= != <> < <= > >=) value | column [NOT] IN (value, ...) | column [NOT] BETWEEN value AND value
 *          | column [NOT] STARTS_WITH value | column IS [NOT] NULL
 *
 * Owns:    nothing; the tree lives in the caller's arena and keeps slices of the query.
 * Limits:  see below. Nothing recurses: two explicit stacks. Errors name the position, counted from 1, in bytes.
 */
#ifndef API_LIST_FILTER_H
#define API_LIST_FILTER_H
#include "base/arena.h"
#include "store/store.h"

#define LIST_QUERY_SIZE_MAX (64 * 1024)
#define LIST_STACK_MAX      128 /* operators and parentheses that are open */

struct list_query {
    struct store_filter *filter; /* NULL: all */
    bool                 group_by_status;
};
enum status list_query_parse(struct bytes text, struct arena *arena, struct list_query *ret_query,
                             struct error *error) MUST_USE;

/* --- for the files of the parser --- */
enum list_type { LIST_KEYWORD, LIST_UUID, LIST_STATUS, LIST_TIME, LIST_INT, LIST_DURATION };
struct list_column {
    const char       *name;
    enum store_column column;
    enum list_type    type;
};
/* False: there is no such column. */
bool list_column_find(struct bytes name, struct list_column *ret_column);

enum list_literal { LITERAL_STRING, LITERAL_INTEGER, LITERAL_FRACTION, LITERAL_BOOL };
/* What a literal means for a column; the text of a string is unescaped. */
bool        list_value_convert(const struct list_column *column, enum list_literal literal, struct bytes text,
                               struct arena *arena, struct store_value *ret_value);
const char *list_type_name(enum list_type type);
/* Running, Completed and so on; NULL for a number that is no status. */
const char *list_status_name(int64_t status);
#endif
