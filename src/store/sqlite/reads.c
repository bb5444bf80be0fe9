/* reads.c: answers from a reader's connection. What comes from the file is checked: a row of the wrong shape is data loss
 * for its read, never more. */
#include "store/sqlite/sqlite_internal.h"

#define READ_NS_MAX (30 * NS_PER_S) /* past it the one who asked has given up */

/* SQLITE_ERROR comes up when the schema is not what it was made as. */
static bool is_damage(int code)
{
    int primary = code & 0xFF;
    return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_ERROR;
}

void sqlite_read_failed(const struct sqlite_connection *connection, struct store_read *read, int code)
{
    if ((code & 0xFF) == SQLITE_INTERRUPT) {
        read->status = error_set(&read->error, ST_DEADLINE_EXCEEDED,
                                 "the store took longer than %d s to look through %s",
                                 (int)(READ_NS_MAX / NS_PER_S), connection->path);
        return;
    }
    enum status status = is_damage(code) ? ST_DATA_LOSS : ST_UNAVAILABLE;
    read->status = sqlite_error(connection, status, "cannot read the store", &read->error);
}

void sqlite_read_slice(struct sqlite_connection *connection)
{
    connection->deadline_ns = clock_monotonic_ns(&clock_system) + connection->slice_ns;
}

void sqlite_read_whole(struct sqlite_connection *connection)
{
    connection->deadline_ns = clock_monotonic_ns(&clock_system) + READ_NS_MAX;
}

int sqlite_read_again(struct sqlite_connection *connection)
{
    int code = sqlite_run(connection, SQL_COMMIT);
    return code == SQLITE_OK ? sqlite_run(connection, SQL_BEGIN_READ) : code;
}

void sqlite_damaged(const struct sqlite_connection *connection, struct store_read *read, const char *what,
                    int64_t number)
{
    read->status = error_set(&read->error, ST_DATA_LOSS,
                             "the row of %s %" PRId64 " in the store %s is damaged", what, number,
                             connection->path);
}

/* --- Decoding: column by column, remembering whether any was wrong --- */

struct decoder {
    sqlite3_stmt *statement;
    int           column;
    bool          damaged;
};

static bool is_type(struct decoder *decoder, int type, bool may_be_null)
{
    int found = sqlite3_column_type(decoder->statement, decoder->column);
    if (found != type && !(may_be_null && found == SQLITE_NULL))
        decoder->damaged = true;
    return found == type;
}

static int64_t number(struct decoder *decoder)
{
    int64_t value = is_type(decoder, SQLITE_INTEGER, false)
                        ? sqlite3_column_int64(decoder->statement, decoder->column)
                        : 0;
    decoder->column++;
    return value;
}

static int64_t number_if_set(struct decoder *decoder)
{
    int64_t value = is_type(decoder, SQLITE_INTEGER, true)
                        ? sqlite3_column_int64(decoder->statement, decoder->column)
                        : 0;
    decoder->column++;
    return value;
}

static int32_t number_32(struct decoder *decoder)
{
    int64_t value = number(decoder);
    if (value < INT32_MIN || value > INT32_MAX)
        decoder->damaged = true;
    return (int32_t)value;
}

static struct bytes slice(struct decoder *decoder, int type, bool may_be_null)
{
    struct bytes value = BYTES_EMPTY;
    if (is_type(decoder, type, may_be_null)) {
        value.base = sqlite3_column_blob(decoder->statement, decoder->column); /* of a text: its bytes */
        value.size = (size_t)sqlite3_column_bytes(decoder->statement, decoder->column);
        if (value.base == NULL && value.size != 0) { /* no memory for what spans several pages */
            value.size = 0;
            decoder->damaged = true;
        }
    }
    decoder->column++;
    return value;
}

static struct bytes text(struct decoder *decoder)
{
    return slice(decoder, SQLITE_TEXT, false);
}
static struct bytes text_if_set(struct decoder *decoder)
{
    return slice(decoder, SQLITE_TEXT, true);
}
static struct bytes blob_if_set(struct decoder *decoder)
{
    return slice(decoder, SQLITE_BLOB, true);
}

static struct uuid uuid(struct decoder *decoder, bool may_be_null)
{
    struct uuid  value = { { 0 } };
    struct bytes bytes = slice(decoder, SQLITE_BLOB, may_be_null);
    if (bytes.size == sizeof value.byte)
        memcpy(value.byte, bytes.base, sizeof value.byte);
    else if (bytes.size != 0 || !may_be_null)
        decoder->damaged = true;
    return value;
}

bool sqlite_decode_run(sqlite3_stmt *statement, struct store_run *ret_run)
{
    struct decoder decoder = { .statement = statement };
    ret_run->number = number(&decoder);
    ret_run->namespace_number = number(&decoder);
    ret_run->workflow_id = text(&decoder);
    ret_run->run_id = uuid(&decoder, false);
    ret_run->workflow_type = text(&decoder);
    ret_run->task_queue = text(&decoder);
    ret_run->status = number_32(&decoder);
    ret_run->start_time = number(&decoder);
    ret_run->execution_time = number(&decoder);
    ret_run->close_time = number_if_set(&decoder);
    ret_run->history_length = number(&decoder);
    ret_run->history_size = number(&decoder);
    ret_run->state_transitions = number(&decoder);
    ret_run->parent_workflow_id = text_if_set(&decoder);
    ret_run->parent_run_id = uuid(&decoder, true);
    ret_run->root_workflow_id = text_if_set(&decoder);
    ret_run->root_run_id = uuid(&decoder, true);
    ret_run->memo = blob_if_set(&decoder);
    ret_run->search_attributes = blob_if_set(&decoder);
    ret_run->snapshot_transition = number(&decoder);
    ret_run->kind = (enum store_run_kind)number_32(&decoder);
    ret_run->attributes = BYTES_EMPTY;
    (void)number_if_set(&decoder); /* the digest of the attributes, which are rows of their own */
    ret_run->snapshot = blob_if_set(&decoder);
    return !decoder.damaged;
}

/* Columns 7 and 8 repeat the key as the log has it: the position must lead to the row it is of. */
static bool decode_transition(sqlite3_stmt *statement, void *row)
{
    struct store_transition *transition = row;
    struct decoder           decoder = { .statement = statement };
    transition->branch = number(&decoder);
    transition->number = number(&decoder);
    transition->first_event_id = number(&decoder);
    transition->event_count = number_32(&decoder);
    int64_t checksum = number(&decoder);
    transition->checksum = (uint32_t)checksum;
    transition->events = blob_if_set(&decoder);
    transition->delta = blob_if_set(&decoder);
    bool same = number(&decoder) == transition->branch;
    same = number(&decoder) == transition->number && same;
    return !decoder.damaged && same && checksum >= 0 && checksum <= UINT32_MAX;
}

static bool decode_ready(sqlite3_stmt *statement, void *row)
{
    struct store_ready *ready = row;
    struct decoder      decoder = { .statement = statement };
    ready->sequence = number(&decoder);
    ready->namespace_number = number(&decoder);
    ready->queue = text(&decoder);
    int32_t kind = number_32(&decoder);
    ready->kind = (enum store_task_kind)kind;
    ready->priority = number_32(&decoder);
    ready->normal_queue = text_if_set(&decoder);
    ready->fairness_key = text_if_set(&decoder);
    ready->version = text_if_set(&decoder);
    ready->run = number(&decoder);
    ready->workflow_id = text(&decoder);
    ready->scheduled_event_id = number(&decoder);
    ready->stamp = number(&decoder);
    ready->created_time = number(&decoder);
    int64_t weight = number_if_set(&decoder);
    ready->fairness_weight = weight < 0 || weight > INT32_MAX ? 0 : (int32_t)weight;
    return !decoder.damaged && kind >= STORE_TASK_WORKFLOW && kind <= STORE_TASK_CALLBACK;
}

static bool decode_wakeup(sqlite3_stmt *statement, void *row)
{
    struct store_wakeup *wakeup = row;
    struct decoder       decoder = { .statement = statement };
    wakeup->entity = number(&decoder);
    wakeup->due = number(&decoder);
    wakeup->namespace_number = number(&decoder);
    wakeup->workflow_id = text(&decoder);
    wakeup->kind = number_32(&decoder);
    return !decoder.damaged;
}

static bool decode_branch(sqlite3_stmt *statement, void *row)
{
    struct store_branch *branch = row;
    struct decoder       decoder = { .statement = statement };
    branch->number = number(&decoder);
    branch->count = number(&decoder);
    branch->first = number(&decoder);
    branch->last = number(&decoder);
    return !decoder.damaged;
}

static bool decode_identity(sqlite3_stmt *statement, void *row)
{
    struct store_identity *identity = row;
    struct decoder         decoder = { .statement = statement };
    identity->namespace_number = number(&decoder);
    identity->workflow_id = text(&decoder);
    identity->number = number(&decoder);
    return !decoder.damaged;
}

static bool decode_outbox(sqlite3_stmt *statement, void *row)
{
    struct store_outbox *outbox = row;
    struct decoder       decoder = { .statement = statement };
    outbox->source_range = number_32(&decoder);
    outbox->target_range = number_32(&decoder);
    outbox->number = number(&decoder);
    outbox->source_run = number(&decoder);
    outbox->body = blob_if_set(&decoder);
    return !decoder.damaged;
}

static bool decode_link(sqlite3_stmt *statement, void *row)
{
    struct store_link *link = row;
    struct decoder     decoder = { .statement = statement };
    link->source_range = number_32(&decoder);
    link->target_range = number_32(&decoder);
    link->number = number(&decoder);
    link->window = (uint64_t)number(&decoder);
    return !decoder.damaged;
}

static bool decode_entity(sqlite3_stmt *statement, void *row)
{
    struct store_entity *entity = row;
    struct decoder       decoder = { .statement = statement };
    entity->kind = number_32(&decoder);
    entity->key = slice(&decoder, SQLITE_BLOB, false);
    entity->state = blob_if_set(&decoder);
    return !decoder.damaged;
}

static bool decode_run(sqlite3_stmt *statement, void *row)
{
    return sqlite_decode_run(statement, row);
}

/* --- Pages --- */

union row {
    struct store_run        run;
    struct store_transition transition;
    struct store_ready      ready;
    struct store_wakeup     wakeup;
    struct store_branch     branch;
    struct store_identity   identity;
    struct store_outbox     outbox;
    struct store_link       link;
    struct store_entity     entity;
};

/* Steps through a bound statement until the page is full. A damaged row ends the read: what follows could be anything. */
static void fill_page(struct sqlite_connection *connection, const struct sqlite_binder *binder,
                      struct store_page *page, bool (*decode)(sqlite3_stmt *statement, void *row))
{
    struct store_read *read = page->read;
    union row          row;
    int                code = binder->code;
    bool               going = code == SQLITE_OK;
    while (going && (code = sqlite3_step(binder->statement)) == SQLITE_ROW) {
        if (decode(binder->statement, &row)) {
            going = store_page_add(page, &row) == STORE_PAGE_TAKEN;
        } else {
            sqlite_damaged(connection, read, page->type->name, sqlite3_column_int64(binder->statement, 0));
            going = false;
        }
    }
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE)
        sqlite_read_failed(connection, read, code);
    sqlite3_reset(binder->statement);
}

static struct sqlite_binder start(struct sqlite_connection *connection, enum sqlite_statement which)
{
    struct sqlite_binder binder = { .code = SQLITE_OK };
    binder.code = sqlite_statement(connection, which, &binder.statement);
    return binder;
}

static void read_transitions(struct sqlite_connection *connection, struct store_read *read,
                             store_number branch, int64_t first, int64_t last)
{
    struct store_page    page;
    struct sqlite_binder binder = start(connection,
                                        read->backward ? SQL_READ_HISTORY_BACKWARD : SQL_READ_HISTORY);
    sqlite_bind_number(&binder, branch);
    sqlite_bind_number(&binder, first);
    sqlite_bind_number(&binder, last);
    store_page_transitions(&page, read);
    fill_page(connection, &binder, &page, decode_transition);
}

struct branch_search {
    struct sqlite_connection *connection;
    struct store_read        *read;
};

/* One number of a statement of (branch, number); -1: there is no such row, or the read has failed. */
static int64_t read_number(struct sqlite_connection *connection, struct store_read *read,
                           enum sqlite_statement which, int64_t number)
{
    struct sqlite_binder binder = start(connection, which);
    int64_t              found = -1;
    sqlite_bind_number(&binder, read->number);
    sqlite_bind_number(&binder, number);
    int code = binder.code;
    if (code == SQLITE_OK && (code = sqlite3_step(binder.statement)) == SQLITE_ROW &&
        sqlite3_column_type(binder.statement, 0) == SQLITE_INTEGER)
        found = sqlite3_column_int64(binder.statement, 0);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        sqlite_read_failed(connection, read, code);
    sqlite3_reset(binder.statement);
    return found;
}

static int64_t first_event_of(void *context, int64_t number)
{
    const struct branch_search *search = context;
    return read_number(search->connection, search->read, SQL_READ_FIRST_EVENT, number);
}

static void read_history(struct sqlite_connection *connection, struct store_read *read)
{
    int64_t first = read->from, last = read->to;
    if (read->from_event != 0) {
        struct branch_search search = { connection, read };
        int64_t              newest = read_number(connection, read, SQL_READ_NEWEST_TRANSITION, last);
        if (newest < first)
            return;
        int64_t at = store_transition_of_event(first, newest, read->from_event, first_event_of, &search);
        if (at == 0)
            return;
        first = read->backward ? first : at;
        last = read->backward ? at : last;
    }
    if (read->status == ST_OK)
        read_transitions(connection, read, read->number, first, last);
}

static bool decode_attribute(sqlite3_stmt *statement, struct arena *arena,
                             struct store_attribute_value *ret_value)
{
    struct decoder decoder = { .statement = statement };
    *ret_value = (struct store_attribute_value){ .value.number = 0 };
    ret_value->attribute.name = arena_copy(arena, text(&decoder));
    ret_value->attribute.type = (enum store_attribute_type)number_32(&decoder);
    ret_value->value.is_text = sqlite3_column_type(statement, 2) != SQLITE_INTEGER;
    if (ret_value->value.is_text)
        ret_value->value.text = arena_copy(arena, text(&decoder));
    else
        ret_value->value.number = number(&decoder);
    return !decoder.damaged && ret_value->attribute.type >= STORE_ATTRIBUTE_TEXT &&
           ret_value->attribute.type <= STORE_ATTRIBUTE_LIST &&
           ret_value->value.is_text == store_attribute_is_text(ret_value->attribute.type);
}

static void read_attributes(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_run             *run = &read->runs[0];
    struct store_attribute_value *values = NULL;
    size_t                        count = 0, capacity = 0;
    struct sqlite_binder          binder = start(connection, SQL_READ_ATTRIBUTES);
    sqlite_bind_number(&binder, run->number);
    int code = binder.code;
    while (binder.code == SQLITE_OK && (code = sqlite3_step(binder.statement)) == SQLITE_ROW) {
        if (count == capacity) {
            capacity = capacity == 0 ? 8 : 2 * capacity;
            values = xrealloc(values, capacity * sizeof *values);
        }
        if (!decode_attribute(binder.statement, read->arena, &values[count++])) {
            sqlite_damaged(connection, read, "the attributes of run", run->number);
            break;
        }
    }
    if (code != SQLITE_DONE && code != SQLITE_ROW)
        sqlite_read_failed(connection, read, code);
    if (binder.statement != NULL)
        sqlite3_reset(binder.statement);
    if (read->status == ST_OK)
        run->attributes = store_attributes_encode(values, count, read->arena);
    free(values);
}

static void read_loaded(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    bool                 current = read->kind == STORE_READ_CURRENT_RUN;
    struct sqlite_binder binder = start(connection, current ? SQL_READ_CURRENT_RUN : SQL_READ_RUN);
    if (current) {
        sqlite_bind_number(&binder, read->namespace_number);
        sqlite_bind_text(&binder, read->workflow_id);
    } else {
        sqlite_bind_number(&binder, read->number);
    }
    store_page_runs(&page, read);
    fill_page(connection, &binder, &page, decode_run);
    if (read->status == ST_OK && read->found && read->with_attributes)
        read_attributes(connection, read);
    if (read->status == ST_OK && read->found && read->with_history)
        read_transitions(connection, read, read->runs[0].number, read->runs[0].snapshot_transition + 1,
                         INT64_MAX);
}

static void read_ready(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    struct sqlite_binder binder = start(connection, SQL_READ_READY);
    sqlite_bind_number(&binder, read->namespace_number);
    sqlite_bind_text(&binder, read->queue);
    sqlite_bind_number(&binder, read->task_kind);
    sqlite_bind_number(&binder, read->priority);
    sqlite_bind_text_if_set(&binder, read->fairness_key);
    sqlite_bind_number(&binder, read->after);
    store_page_ready(&page, read);
    fill_page(connection, &binder, &page, decode_ready);
}

/* A skip scan, one search of the index for each stream: the next key of the same priority, or the next priority. Rows
 * without a key are NULL there and come before all others of their priority. */
static void read_ready_heads(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page page;
    int32_t           priority = read->priority;
    struct bytes      key = read->fairness_key;
    bool              of_keys = true;
    store_page_ready(&page, read);
    for (;;) {
        size_t               before = read->ready_count;
        struct sqlite_binder binder = start(connection, of_keys ? SQL_READ_READY_HEAD_OF_KEYS
                                                                : SQL_READ_READY_HEAD_OF_PRIORITIES);
        sqlite_bind_number(&binder, read->namespace_number);
        sqlite_bind_text(&binder, read->queue);
        sqlite_bind_number(&binder, read->task_kind);
        sqlite_bind_number(&binder, priority);
        if (of_keys)
            sqlite_bind_text(&binder, key);
        fill_page(connection, &binder, &page, decode_ready);
        if (read->status != ST_OK || read->more)
            return;
        if (read->ready_count == before) {
            if (!of_keys)
                return;
            of_keys = false;
            continue;
        }
        priority = read->ready[before].priority;
        key = read->ready[before].fairness_key;
        of_keys = true;
    }
}

static void read_ready_counts(struct sqlite_connection *connection, struct store_read *read)
{
    struct sqlite_binder binder = start(connection, SQL_READ_READY_COUNTS);
    size_t               capacity = 0;
    sqlite_bind_number(&binder, read->namespace_number);
    sqlite_bind_text(&binder, read->queue);
    sqlite_bind_number(&binder, read->task_kind);
    int code = binder.code;
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        if ((code = sqlite3_step(binder.statement)) != SQLITE_ROW)
            break;
        struct decoder           decoder = { .statement = binder.statement };
        struct store_ready_count count;
        count.priority = number_32(&decoder);
        count.count = number(&decoder);
        count.oldest_created = number(&decoder);
        if (decoder.damaged)
            sqlite_damaged(connection, read, "ready task", 0);
        else if (store_ready_count_add(read, &capacity, &count) == ST_OK)
            continue;
        break;
    }
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE)
        sqlite_read_failed(connection, read, code);
    sqlite3_reset(binder.statement);
}

static void read_wakeups(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    struct sqlite_binder binder = start(connection, SQL_READ_WAKEUPS);
    sqlite_bind_number(&binder, read->after_due);
    sqlite_bind_number(&binder, read->after);
    store_page_wakeups(&page, read);
    fill_page(connection, &binder, &page, decode_wakeup);
}

/* A statement whose only parameter is a number. */
static struct sqlite_binder start_with(struct sqlite_connection *connection, enum sqlite_statement which,
                                       int64_t value)
{
    struct sqlite_binder binder = start(connection, which);
    sqlite_bind_number(&binder, value);
    return binder;
}

static void read_ready_rows(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    struct sqlite_binder binder = start_with(connection, SQL_READ_READY_ROWS, read->after);
    store_page_ready(&page, read);
    fill_page(connection, &binder, &page, decode_ready);
}

static void read_wakeup(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    struct sqlite_binder binder = start_with(connection, SQL_READ_WAKEUP, read->number);
    store_page_wakeups(&page, read);
    fill_page(connection, &binder, &page, decode_wakeup);
}

static void read_branches(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    struct sqlite_binder binder = start_with(connection, SQL_READ_BRANCHES, read->after);
    store_page_branches(&page, read);
    fill_page(connection, &binder, &page, decode_branch);
}

static void read_identities(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    struct sqlite_binder binder = start(connection, SQL_READ_IDENTITIES);
    sqlite_bind_number(&binder, read->namespace_number);
    sqlite_bind_text(&binder, read->workflow_id);
    sqlite_bind_number(&binder, read->after);
    store_page_identities(&page, read);
    fill_page(connection, &binder, &page, decode_identity);
}

static void read_outbox(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    struct sqlite_binder binder = start(connection, SQL_READ_OUTBOX);
    sqlite_bind_number(&binder, read->after_source_range);
    sqlite_bind_number(&binder, read->after_target_range);
    sqlite_bind_number(&binder, read->after);
    store_page_outbox(&page, read);
    fill_page(connection, &binder, &page, decode_outbox);
}

static void read_links(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    struct sqlite_binder binder = start(connection, SQL_READ_LINKS);
    store_page_links(&page, read);
    fill_page(connection, &binder, &page, decode_link);
}

static void read_entities(struct sqlite_connection *connection, struct store_read *read)
{
    struct store_page    page;
    bool                 one = read->entity_key.size != 0;
    struct sqlite_binder binder = start(connection, one ? SQL_READ_ENTITY : SQL_READ_ENTITIES);
    sqlite_bind_number(&binder, read->entity_kind);
    sqlite_bind_blob(&binder, one ? read->entity_key : read->after_key);
    store_page_entities(&page, read);
    fill_page(connection, &binder, &page, decode_entity);
}

static void read_by_kind(struct sqlite_connection *connection, struct store_read *read)
{
    switch (read->kind) {
    case STORE_READ_CURRENT_RUN:
    case STORE_READ_RUN:
        read_loaded(connection, read);
        return;
    case STORE_READ_HISTORY:
        read_history(connection, read);
        return;
    case STORE_READ_READY:
        read_ready(connection, read);
        return;
    case STORE_READ_READY_HEADS:
        read_ready_heads(connection, read);
        return;
    case STORE_READ_READY_COUNTS:
        read_ready_counts(connection, read);
        return;
    case STORE_READ_WAKEUPS:
        read_wakeups(connection, read);
        return;
    case STORE_READ_READY_ROWS:
        read_ready_rows(connection, read);
        return;
    case STORE_READ_WAKEUP:
        read_wakeup(connection, read);
        return;
    case STORE_READ_BRANCHES:
        read_branches(connection, read);
        return;
    case STORE_READ_IDENTITIES:
        read_identities(connection, read);
        return;
    case STORE_READ_OUTBOX:
        read_outbox(connection, read);
        return;
    case STORE_READ_LINKS:
        read_links(connection, read);
        return;
    case STORE_READ_ENTITIES:
        read_entities(connection, read);
        return;
    case STORE_READ_LIST:
        sqlite_read_list(connection, read);
        return;
    case STORE_READ_COUNT:
        sqlite_read_count(connection, read);
        return;
    }
    read->status = error_set(&read->error, ST_INTERNAL, "a read of unknown kind %d", (int)read->kind);
}

static void end_transaction(struct sqlite_connection *connection)
{
    if (!sqlite3_get_autocommit(connection->handle))
        sqlite3_exec(connection->handle, "ROLLBACK", NULL, NULL, NULL);
}

/* One transaction per read, so that a run and its transitions are of one moment; it ends with the read, because an open
 * one keeps the log from being reset. */
void sqlite_read(struct sqlite_connection *connection, struct store_read *read)
{
    store_read_start(read);
    if (connection->holds) {
        read_by_kind(connection, read);
        return;
    }
    sqlite_read_whole(connection);
    end_transaction(connection); /* of the read before, when there was no memory to end it */
    int code = sqlite_run(connection, SQL_BEGIN_READ);
    if (code != SQLITE_OK) {
        sqlite_read_failed(connection, read, code);
        return;
    }
    read_by_kind(connection, read);
    code = sqlite_run(connection, SQL_COMMIT);
    if (code != SQLITE_OK && read->status == ST_OK)
        sqlite_read_failed(connection, read, code);
    end_transaction(connection); /* also after a deadline */
}
