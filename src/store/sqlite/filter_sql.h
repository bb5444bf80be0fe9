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
    struct buffer         text;
    struct sql_parameter *parameters;
    size_t                parameter_count, parameter_capacity;
    struct arena          arena;
};
void sql_init(struct sql *sql);
void sql_release(struct sql *sql);
void sql_add(struct sql *sql, const char *text);
/* Appends "?n", a parameter of this value. */
void sql_add_number(struct sql *sql, int64_t number);
/* Appends a checked filter as one condition in parentheses; NULL gives "1". */
void sql_add_filter(struct sql *sql, const struct store_filter *filter);
/* The expression of a column of a list. */
const char *sql_column(enum store_column column);
/* Prepares the text and binds the parameters; an SQLite result code. */
int sql_prepare(struct sql *sql, sqlite3 *handle, sqlite3_stmt **ret_statement) MUST_USE;

/* The value that every match of a checked filter has in a column, where the filter says so at its top; NULL: it does not. */
const struct store_value *sql_filter_equal(const struct store_filter *filter, enum store_column column);
#endif
