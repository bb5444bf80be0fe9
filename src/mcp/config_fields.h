/* config_fields.h: the tables of what a document may say: parser, published schema and reference are all made from them. */
#ifndef MCP_CONFIG_FIELDS_H
#define MCP_CONFIG_FIELDS_H
#include "mcp/config.h"

enum field_kind {
    FIELD_TEXT,     /* a string that is not empty: const char * */
    FIELD_DURATION, /* "25s", "1h30m": int64_t nanoseconds */
    FIELD_BOOL,     /* bool */
    FIELD_COUNT,    /* uint32_t */
    FIELD_CHOICE,   /* "a|b|c": an enum */
    FIELD_TEXTS,    /* an array of strings: const char *const *, and a size_t behind it */
    /* What follows is always read by hand; the table says what it is. */
    FIELD_JSON,     /* a JSON value of the types in `choices` */
    FIELD_TEMPLATE, /* a string with placeholders */
    FIELD_VALUES,   /* an array with placeholders */
    FIELD_SCHEMA,   /* a JSON Schema, "@other_tool" or {"$ref": "file"} */
    FIELD_OBJECT,   /* of `table` */
    FIELD_MAP,      /* names to objects of `table` */
    FIELD_LIST,     /* an array of objects of `table` */
};
struct config_table;
struct config_field {
    const char     *name;
    enum field_kind kind;
    size_t          offset; /* in the struct that the table fills; for those that are not read by hand */
    const char     *choices;
    int64_t         least, most; /* of counts, and of durations in nanoseconds */
    const char     *fallback;    /* as it would be written; NULL: none, or said by `help` */
    const struct config_table *table;
    bool                       needed, by_hand; /* by hand: the table says only what it is */
    const char                *help;
};
struct config_table {
    const char                *name, *title, *help;
    const struct config_field *fields;
    size_t                     count;
    /* Fields that objects of this table may have besides: their own tables fill the same struct. */
    const struct config_table *also[2];
};
extern const struct config_table table_document, table_auth, table_codec, table_toolset, table_defaults,
    table_tool, table_start, table_update_with_start, table_signal_with_start, table_signal, table_update,
    table_query, table_approval, table_condition, table_rule, table_prompt, table_resource, table_policy,
    table_waiting;
extern const struct config_table *const config_tables[];
extern const size_t                     config_table_count;

/* NULL: the table (and what it has besides) knows no such field. */
const struct config_field *config_field_named(const struct config_table *table, const char *name);
bool                       config_duration(const char *text, int64_t *ret_ns) MUST_USE;
#endif
