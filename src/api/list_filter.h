/* list_filter.h: the language of list queries, parsed into the store's filter tree.
 *
 *   query := [expr] [ORDER BY column [ASC | DESC], ...] | [expr] GROUP BY column, ...
 *   expr  := expr OR expr | expr AND expr | NOT expr | ( expr ) | cond
 *   cond  := column (= != <> < <= > >=) value | column [NOT] IN (value, ...) | column [NOT] BETWEEN value AND value
 *          | column [NOT] STARTS_WITH value | column IS [NOT] NULL
 *
 * A column is a search attribute: the system's, one that every namespace has, or the namespace's own. Texts are compared
 * by word: = is true when any word of the value is one of theirs.
 *
 * Owns:    nothing; the tree lives in the caller's arena and keeps slices of the query.
 * Limits:  see below. Nothing recurses: two explicit stacks. Errors name the position, counted from 1, in bytes.
 */
#ifndef API_LIST_FILTER_H
#define API_LIST_FILTER_H
#include "base/arena.h"
#include "engine/search_attributes.h"
#include "store/store.h"

#define LIST_QUERY_SIZE_MAX (64 * 1024)
#define LIST_STACK_MAX      128 /* operators and parentheses that are open */

enum list_type {
    LIST_KEYWORD,
    LIST_UUID,
    LIST_STATUS,
    LIST_TIME,
    LIST_INT,
    LIST_DURATION,
    LIST_WORKER_STATUS,
    LIST_DOUBLE,
    LIST_BOOL,
    LIST_TEXT,
    LIST_KEYWORDS,
    LIST_SCHEDULE /* a schedule's id, which stands behind a prefix */
};
/* Of the store's values. */
static inline bool list_type_is_text(enum list_type type)
{
    return type == LIST_KEYWORD || type == LIST_SCHEDULE || type == LIST_UUID || type == LIST_TEXT ||
           type == LIST_KEYWORDS;
}
struct list_query {
    struct store_filter *filter; /* NULL: all */
    struct store_key     keys[STORE_KEYS_MAX];
    enum list_type       key_types[STORE_KEYS_MAX];
    size_t               key_count;
    bool                 is_grouped;     /* the keys are those of GROUP BY, else of ORDER BY */
    bool                 names_division; /* else only runs of no division are meant */
};
/* The namespace says which attributes it has of its own; NULL: none. */
enum status list_query_parse(struct bytes text, const struct namespace_config *namespace, struct arena *arena,
                             struct list_query *ret_query, struct error *error) MUST_USE;
/* The same language over workers, see list_worker_columns; no ORDER BY, no GROUP BY. */
enum status list_query_parse_workers(struct bytes text, struct arena *arena, struct store_filter **ret_filter,
                                     struct error *error) MUST_USE;

/* --- for the files of the parser --- */
struct list_column {
    const char                   *name;
    enum store_column             column;
    enum list_type                type;
    const struct store_attribute *attribute; /* of STORE_COLUMN_ATTRIBUTE */
};
/* Of workers: columns of the store's trees with meanings of their own. */
#define WORKER_INSTANCE_KEY    STORE_COLUMN_WORKFLOW_ID
#define WORKER_IDENTITY        STORE_COLUMN_WORKFLOW_TYPE
#define WORKER_TASK_QUEUE      STORE_COLUMN_TASK_QUEUE
#define WORKER_HOST_NAME       STORE_COLUMN_PARENT_WORKFLOW_ID
#define WORKER_DEPLOYMENT_NAME STORE_COLUMN_ROOT_WORKFLOW_ID
#define WORKER_BUILD_ID        STORE_COLUMN_RUN_ID
#define WORKER_SDK_NAME        STORE_COLUMN_PARENT_RUN_ID
#define WORKER_SDK_VERSION     STORE_COLUMN_ROOT_RUN_ID
#define WORKER_STATUS          STORE_COLUMN_STATUS
#define WORKER_START_TIME      STORE_COLUMN_START_TIME
#define WORKER_HEARTBEAT_TIME  STORE_COLUMN_EXECUTION_TIME
/* False: there is no such column. */
bool list_column_find(struct bytes name, bool of_workers, struct list_column *ret_column);
/* The column of a search attribute of such a type (enums_IndexedValueType). The name is copied. */
struct list_column list_column_of_attribute(struct bytes name, int32_t type, struct arena *arena);
/* Whether it may have several values: it has no order then, and its conditions are about any of them. */
static inline bool list_column_is_many(const struct list_column *column)
{
    return column->type == LIST_TEXT || column->type == LIST_KEYWORDS;
}

enum list_literal { LITERAL_STRING, LITERAL_INTEGER, LITERAL_FRACTION, LITERAL_BOOL };
/* What a literal means for a column; the text of a string is unescaped. */
bool        list_value_convert(const struct list_column *column, enum list_literal literal, struct bytes text,
                               struct arena *arena, struct store_value *ret_value);
const char *list_type_name(enum list_type type);
/* Running, Completed and so on; NULL for a number that is no status. */
const char *list_status_name(int64_t status);
#endif
