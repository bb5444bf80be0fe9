/* ordered.c: lists of runs in the order of keys.
 *
 * When few runs may match they are sorted. Else, when an index has the order of the first key, the list goes along it: first
 * the runs that have a value, then those that have none, or the other way round. Else all are looked at, and the first ones
 * are kept. What takes longer than a slice goes through the runs in chunks, each in a transaction of its own (see lists.c),
 * and keeps the first ones so far.
 */
#include "store/sqlite/lists.h"

enum phase { PHASE_ALL, PHASE_SET, PHASE_UNSET }; /* whether the first key has a value */

static const struct store_key default_order = { .column = STORE_COLUMN_CLOSE_TIME,
                                                .descending = true,
                                                .nulls_first = true };

struct ordered {
    struct sqlite_connection *connection;
    struct store_read        *read;
    const struct sql_source  *source;
    struct sql_source         chunk_source;
    struct store_page         page;
    const struct store_key   *keys;
    size_t                    key_count;
    enum phase                phase;
    bool                      after_is_set; /* the last row that was added, here or on the page before */
    struct store_column_value after_keys[STORE_KEYS_MAX];
    store_number              after;
    bool                      in_chunk; /* numbers behind `first` up to `last` */
    store_number              first, last;
    struct arena              arena; /* of after_keys */
};

/* --- SQL --- */

/* Whether the query goes along the rows of the attribute that comes first. */
static bool leads_attribute(const struct ordered *ordered)
{
    return ordered->phase == PHASE_SET && ordered->keys[0].attribute != NULL;
}

static void add_key(struct sql *sql, const struct ordered *ordered, size_t i)
{
    if (i == 0 && leads_attribute(ordered))
        sql_add(sql, "lead.value");
    else
        sql_add_column(sql, ordered->keys[i].column, ordered->keys[i].attribute);
}

static void add_key_value(struct sql *sql, const struct ordered *ordered, size_t i)
{
    sql_add_value(sql, ordered->keys[i].column, ordered->keys[i].attribute, &ordered->after_keys[i].value);
}

static void add_from(struct sql *sql, const struct ordered *ordered)
{
    enum store_column column = ordered->keys[0].column;
    bool              walks = ordered->source->use != SOURCE_FEW && !ordered->in_chunk;
    bool              of_workflows = ordered->read->run_kind == STORE_RUN_WORKFLOW;
    if (leads_attribute(ordered)) {
        sql_add(sql, " FROM attribute AS lead INDEXED BY attribute_by_value CROSS JOIN run ON run.number = "
                     "lead.run WHERE lead.name");
        sql_add_names(sql, ordered->keys[0].attribute);
        sql_add(sql, " AND ");
        return;
    }
    if (!walks)
        sql_add(sql, " FROM run NOT INDEXED WHERE ");
    else if (column == STORE_COLUMN_START_TIME && of_workflows)
        sql_add(sql, " FROM run INDEXED BY run_by_start_time WHERE ");
    else if (column == STORE_COLUMN_CLOSE_TIME && of_workflows && ordered->phase == PHASE_SET)
        sql_add(sql, " FROM run INDEXED BY run_by_close_time WHERE close_time IS NOT NULL AND ");
    else if (column == STORE_COLUMN_CLOSE_TIME && of_workflows && ordered->phase == PHASE_UNSET)
        sql_add(sql, " FROM run INDEXED BY run_by_status WHERE status IN (0, 1, 8) AND ");
    else if (column == STORE_COLUMN_WORKFLOW_ID)
        sql_add(sql, " FROM run INDEXED BY run_by_workflow_id WHERE ");
    else if (ordered->phase == PHASE_UNSET)
        sql_add(sql, " FROM run NOT INDEXED WHERE ");
    else
        sql_add(sql, " FROM run WHERE ");
}

/* Behind the last row in one key: NULLs are last or first, whatever the direction. */
static void add_after_key(struct sql *sql, const struct ordered *ordered, size_t i)
{
    const struct store_key *key = &ordered->keys[i];
    if (ordered->after_keys[i].is_null) {
        add_key(sql, ordered, i);
        sql_add(sql, key->nulls_first ? " IS NOT NULL" : " IS NULL AND 0");
        return;
    }
    add_key(sql, ordered, i);
    sql_add(sql, key->descending ? " < " : " > ");
    add_key_value(sql, ordered, i);
    if (!key->nulls_first) {
        sql_add(sql, " OR ");
        add_key(sql, ordered, i);
        sql_add(sql, " IS NULL");
    }
}

static void add_after(struct sql *sql, const struct ordered *ordered)
{
    bool descending = ordered->keys[ordered->key_count - 1].descending;
    if (!ordered->after_is_set)
        return;
    if (ordered->phase == PHASE_SET && !ordered->after_keys[0].is_null) { /* for the index */
        sql_add(sql, " AND ");
        add_key(sql, ordered, 0);
        sql_add(sql, ordered->keys[0].descending ? " <= " : " >= ");
        add_key_value(sql, ordered, 0);
    }
    sql_add(sql, " AND (");
    for (size_t i = 0; i < ordered->key_count; i++) {
        add_after_key(sql, ordered, i);
        sql_add(sql, " OR (");
        add_key(sql, ordered, i);
        sql_add(sql, ordered->after_keys[i].is_null ? " IS NULL" : " = ");
        if (!ordered->after_keys[i].is_null)
            add_key_value(sql, ordered, i);
        sql_add(sql, " AND (");
    }
    sql_add(sql, descending ? "run.number < " : "run.number > ");
    sql_add_number(sql, ordered->after);
    for (size_t i = 0; i < ordered->key_count; i++)
        sql_add(sql, "))");
    sql_add(sql, ")");
}

static void add_order(struct sql *sql, const struct ordered *ordered)
{
    sql_add(sql, " ORDER BY ");
    for (size_t i = 0; i < ordered->key_count; i++) {
        const struct store_key *key = &ordered->keys[i];
        bool nulls_matter = i > 0 || ordered->phase == PHASE_ALL; /* else all are, or none is */
        add_key(sql, ordered, i);
        sql_add(sql, key->descending ? " DESC" : " ASC");
        if (nulls_matter && key->nulls_first == key->descending)
            sql_add(sql, key->nulls_first ? " NULLS FIRST" : " NULLS LAST");
        sql_add(sql, ", ");
    }
    sql_add(sql, leads_attribute(ordered) ? "lead.run" : "run.number");
    sql_add(sql, ordered->keys[ordered->key_count - 1].descending ? " DESC" : " ASC");
}

static size_t rows_wanted(const struct ordered *ordered)
{
    const struct store_read *read = ordered->read;
    return read->limit == 0 || read->limit >= INT32_MAX ? 0 : read->limit - read->run_count + 1;
}

static void build(struct sql *sql, const struct ordered *ordered)
{
    sql_add(sql, "SELECT run.number");
    for (size_t i = 0; i < ordered->key_count; i++) {
        sql_add(sql, ", ");
        add_key(sql, ordered, i);
    }
    add_from(sql, ordered);
    sql_add_scope(sql);
    if (ordered->phase == PHASE_UNSET) {
        sql_add(sql, " AND ");
        sql_add_column(sql, ordered->keys[0].column, ordered->keys[0].attribute);
        sql_add(sql, " IS NULL");
    }
    if (!ordered->in_chunk)
        sql_add_source(sql, ordered->source);
    sql_add(sql, " AND ");
    sql_add_filter(sql, ordered->read->filter);
    add_after(sql, ordered);
    if (ordered->in_chunk) {
        sql_add_chunk(sql, &ordered->chunk_source, ordered->first, ordered->last);
    }
    add_order(sql, ordered);
    if (rows_wanted(ordered) != 0) {
        sql_add(sql, " LIMIT ");
        sql_add_number(sql, (int64_t)rows_wanted(ordered));
    }
}

/* --- rows --- */

struct found {
    store_number              number;
    struct store_column_value keys[STORE_KEYS_MAX];
};

/* The slices are copied. */
static void take_keys(sqlite3_stmt *statement, const struct ordered *ordered, struct arena *arena,
                      struct store_column_value *ret_keys)
{
    for (size_t i = 0; i < ordered->key_count; i++) {
        struct store_column_value *key = &ret_keys[i];
        int                        column = (int)i + 1, type = sqlite3_column_type(statement, column);
        *key = (struct store_column_value){ .is_null = type == SQLITE_NULL };
        if (type == SQLITE_INTEGER) {
            key->value.number = sqlite3_column_int64(statement, column);
        } else if (type != SQLITE_NULL) {
            const void *base = sqlite3_column_blob(statement, column);
            key->value.is_text = true;
            key->value.text = arena_copy(arena,
                                         bytes_of(base, (size_t)sqlite3_column_bytes(statement, column)));
        }
    }
}

/* Adds a run and remembers that the page goes on behind it; false: the page has ended, or the read has failed. */
static bool add_found(struct ordered *ordered, const struct found *found, bool may_be_gone)
{
    bool added;
    if (!sqlite_list_add(ordered->connection, &ordered->page, found->number, may_be_gone, &added))
        return false;
    if (!added)
        return true;
    ordered->after_is_set = true;
    ordered->after = found->number;
    memcpy(ordered->after_keys, found->keys, sizeof ordered->after_keys);
    return ordered->read->key_count == 0 || store_last_keys_set(ordered->read, found->keys) == ST_OK;
}

/* SQLITE_DONE: there are no more; SQLITE_ROW: the page has ended, or the read has failed; else why the query did. */
static int add_rows(struct ordered *ordered)
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    sql_init(&sql, ordered->connection, ordered->read);
    build(&sql, ordered);
    int code = sql_prepare(&sql, &statement);
    if (code == SQLITE_OK) {
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
            struct found found = { .number = sqlite3_column_int64(statement, 0) };
            take_keys(statement, ordered, &ordered->arena, found.keys);
            if (!add_found(ordered, &found, false))
                break;
        }
    }
    sqlite3_finalize(statement);
    sql_release(&sql);
    return code;
}

/* --- in chunks --- */

/* The first ones so far, in no order. */
struct firsts {
    struct found   *rows;
    size_t          count, capacity, wanted; /* 0: all */
    struct arena    arena, other;            /* of their keys; the other is empty */
    struct ordered *ordered;
};

static int compare_found(const void *left, const void *right, void *context)
{
    const struct found   *a = left, *b = right;
    const struct ordered *ordered = context;
    return store_keys_compare(ordered->keys, ordered->key_count, a->keys, a->number, b->keys, b->number);
}

static void firsts_sort(struct firsts *firsts)
{
    if (firsts->count > 1)
        qsort_r(firsts->rows, firsts->count, sizeof *firsts->rows, compare_found, firsts->ordered);
}

/* Forgets all but those that are wanted, and the memory of the others. */
static void firsts_cut(struct firsts *firsts)
{
    if (firsts->wanted == 0 || firsts->count < 2 * firsts->wanted)
        return;
    firsts_sort(firsts);
    firsts->count = firsts->wanted;
    for (size_t i = 0; i < firsts->count; i++) {
        for (size_t k = 0; k < firsts->ordered->key_count; k++) {
            struct bytes *text = &firsts->rows[i].keys[k].value.text;
            *text = arena_copy(&firsts->other, *text);
        }
    }
    struct arena emptied = firsts->arena;
    firsts->arena = firsts->other;
    arena_reset(&emptied);
    firsts->other = emptied;
}

static void firsts_add(struct firsts *firsts, sqlite3_stmt *statement)
{
    if (firsts->count == firsts->capacity) {
        firsts->capacity = firsts->capacity == 0 ? 64 : 2 * firsts->capacity;
        firsts->rows = xrealloc(firsts->rows, firsts->capacity * sizeof *firsts->rows);
    }
    struct found *row = &firsts->rows[firsts->count++];
    *row = (struct found){ .number = sqlite3_column_int64(statement, 0) };
    take_keys(statement, firsts->ordered, &firsts->arena, row->keys);
}

static int look_at_chunk(struct firsts *firsts)
{
    struct sql    sql;
    sqlite3_stmt *statement = NULL;
    sql_init(&sql, firsts->ordered->connection, firsts->ordered->read);
    build(&sql, firsts->ordered);
    int code = sql_prepare(&sql, &statement);
    if (code == SQLITE_OK) {
        while ((code = sqlite3_step(statement)) == SQLITE_ROW)
            firsts_add(firsts, statement);
    }
    sqlite3_finalize(statement);
    sql_release(&sql);
    firsts_cut(firsts);
    return code;
}

static int look_at_chunks(struct ordered *ordered, struct firsts *firsts)
{
    int code = sql_chunk_source_choose(ordered->connection, ordered->read, &ordered->chunk_source);
    code = code == SQLITE_OK ? SQLITE_DONE : code;
    ordered->last = INT64_MIN;
    while (code == SQLITE_DONE && ordered->last != INT64_MAX) {
        ordered->first = ordered->last;
        code = sqlite_read_again(ordered->connection);
        if (code == SQLITE_OK)
            code = sqlite_chunk_end(ordered->connection, ordered->read, &ordered->chunk_source,
                                    ordered->first, &ordered->last);
        if (code == SQLITE_OK)
            code = look_at_chunk(firsts);
    }
    return code;
}

static int add_by_chunks(struct ordered *ordered)
{
    struct firsts firsts = { .ordered = ordered, .wanted = rows_wanted(ordered) };
    arena_init(&firsts.arena, SIZE_MAX);
    arena_init(&firsts.other, SIZE_MAX);
    ordered->in_chunk = true;
    ordered->phase = PHASE_ALL;
    int code = look_at_chunks(ordered, &firsts);
    firsts_sort(&firsts);
    for (size_t i = 0; code == SQLITE_DONE && i < firsts.count; i++) {
        if (!add_found(ordered, &firsts.rows[i], true))
            code = SQLITE_ROW;
        memset(ordered->after_keys, 0, sizeof ordered->after_keys); /* they were the list's, which goes */
    }
    free(firsts.rows);
    arena_release(&firsts.arena);
    arena_release(&firsts.other);
    return code;
}

/* --- the whole --- */

/* Whether no run that matches has no value for the first key. */
static bool first_key_is_set(const struct ordered *ordered)
{
    const struct store_key *key = &ordered->keys[0];
    struct sql_conditions   conditions;
    sql_conditions_begin(&conditions, ordered->read->filter);
    for (const struct store_filter *at; (at = sql_conditions_next(&conditions)) != NULL;) {
        bool is_same = at->column == key->column &&
                       (key->attribute == NULL || (at->attribute->type == key->attribute->type &&
                                                   bytes_equal(at->attribute->name, key->attribute->name)));
        if (is_same && at->relation != STORE_IS_NULL)
            return true;
    }
    return false;
}

/* Those that have a value and those that have none, each along its index. */
static int add_phases(struct ordered *ordered)
{
    const struct store_key *key = &ordered->keys[0];
    int                     code = SQLITE_DONE;
    for (int i = 0; i < 2 && code == SQLITE_DONE; i++) {
        bool unset = (i == 0) == key->nulls_first;
        bool was_unset = ordered->after_is_set && ordered->after_keys[0].is_null;
        bool is_behind = i == 0 && ordered->after_is_set && was_unset != unset;
        if (is_behind || (unset && first_key_is_set(ordered)))
            continue;
        ordered->phase = unset ? PHASE_UNSET : PHASE_SET;
        code = add_rows(ordered);
    }
    return code;
}

static void start(struct ordered *ordered)
{
    struct store_read *read = ordered->read;
    ordered->keys = read->key_count == 0 ? &default_order : read->keys;
    ordered->key_count = read->key_count == 0 ? 1 : read->key_count;
    ordered->after_is_set = read->after_is_set;
    ordered->after = read->after;
    if (read->key_count != 0)
        memcpy(ordered->after_keys, read->after_keys, sizeof ordered->after_keys);
    else
        ordered->after_keys[0] = (struct store_column_value){ .is_null = read->after_open,
                                                              .value.number = read->after_close_time };
    arena_init(&ordered->arena, SIZE_MAX);
    store_page_runs(&ordered->page, read);
}

void sqlite_list_ordered(struct sqlite_connection *connection, struct store_read *read,
                         const struct sql_source *source)
{
    struct ordered ordered = { .connection = connection, .read = read, .source = source };
    int            code = SQLITE_INTERRUPT;
    start(&ordered);
    bool has_phases = source->use != SOURCE_FEW && (ordered.keys[0].attribute != NULL ||
                                                    (ordered.keys[0].column == STORE_COLUMN_CLOSE_TIME &&
                                                     read->run_kind == STORE_RUN_WORKFLOW));
    if (source->use == SOURCE_FEW) {
        code = add_rows(&ordered);
    } else {
        sqlite_read_slice(connection);
        if (connection->slice_ns > 0)
            code = has_phases ? add_phases(&ordered) : add_rows(&ordered);
        if (code == SQLITE_INTERRUPT) {
            sqlite_read_whole(connection);
            code = add_by_chunks(&ordered);
        }
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        sqlite_read_failed(connection, read, code);
    arena_release(&ordered.arena);
}
