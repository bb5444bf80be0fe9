/* filter_sql.h: SQL text with numbered parameters, and filters as conditions in it.
 *
 * Owns:    the text, and the few bytes that parameters need beyond the filter's own.
 */
#ifndef STORE_SQLITE_FILTER_SQL_H
#define STORE_SQLITE_FILTER_SQL_H
#include "store/sqlite/sqlite_internal.h"

struct sql_parameter {
    enum { SQL_NUMBER, SQL_TEXT, SQL_BLOB } type;
    int64_t      number;
    struct bytes bytes;
};
struct sql {
    struct sqlite_connection *connection; /* whose file says by which numbers rows name attributes */
    const struct store_read  *read;       /* in which namespace, and of which kind of runs */
    int                       code;       /* why that could not be told */
    struct buffer             text;
    struct sql_parameter     *parameters;
    size_t                    parameter_count, parameter_capacity;
    struct arena              arena;
};
void sql_init(struct sql *sql, struct sqlite_connection *connection, const struct store_read *read);
void sql_release(struct sql *sql);
void sql_add(struct sql *sql, const char *text);
/* Appends "?n", a parameter of this value. */
void sql_add_number(struct sql *sql, int64_t number);
/* Appends a checked filter as one condition in parentheses; NULL gives "1". */
void sql_add_filter(struct sql *sql, const struct store_filter *filter);
/* Appends "namespace = ?n", and of which kind runs are, in the words that the indexes need. */
void sql_add_scope(struct sql *sql);
/* Appends a value of a column, or of an attribute (NULL: none). */
void sql_add_value(struct sql *sql, enum store_column column, const struct store_attribute *attribute,
                   const struct store_value *value);
/* Appends the expression of a column of a list, or of an attribute that has one value. */
void sql_add_column(struct sql *sql, enum store_column column, const struct store_attribute *attribute);
/* Appends " IN (?n)" or so: the numbers by which rows name an attribute. */
void sql_add_names(struct sql *sql, const struct store_attribute *attribute);
/* The value as the comparison of a condition has it, "value = ?n", for one that is true where there are values and one
 * of them is so; `subject` is the value's expression. */
void sql_add_comparison(struct sql *sql, const struct store_filter *filter, const char *subject);
/* Prepares the text and binds the parameters; an SQLite result code. */
int sql_prepare(struct sql *sql, sqlite3_stmt **ret_statement) MUST_USE;

/* The value that every match of a checked filter has in a column, where the filter says so at its top; NULL: it does not. */
const struct store_value *sql_filter_equal(const struct store_filter *filter, enum store_column column);
/* Goes through the conditions that every match meets, those at the top: NULL begins and ends. */
struct sql_conditions {
    struct {
        const struct store_filter *filter;
        size_t                     next_child;
    } stack[STORE_FILTER_DEPTH_MAX];
    size_t                     depth;
    const struct store_filter *next;
};
void sql_conditions_begin(struct sql_conditions *conditions, const struct store_filter *filter);
const struct store_filter *sql_conditions_next(struct sql_conditions *conditions);
#endif
