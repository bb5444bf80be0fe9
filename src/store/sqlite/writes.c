/* writes.c: each kind of write as a prepared statement. */
#include "base/hash.h"
#include "base/mutant.h"
#include "store/sqlite/sqlite_internal.h"

/* Runs a statement whose values are bound. The bindings stay until the next use binds all of them again. */
static int finish(const struct sqlite_binder *binder)
{
    if (binder->code != SQLITE_OK)
        return binder->code;
    (void)sqlite3_step(binder->statement);
    return sqlite3_reset(binder->statement);
}

static int start(struct sqlite_connection *connection, enum sqlite_statement which,
                 struct sqlite_binder *binder)
{
    *binder = (struct sqlite_binder){ .code = SQLITE_OK };
    binder->code = sqlite_statement(connection, which, &binder->statement);
    return binder->code;
}

/* --- attributes: rows for what is set; the digest in the run's row tells whether an update changes them --- */

static int64_t attributes_digest(const struct store_run *run)
{
    return (int64_t)hash_combine(hash_stable(run->attributes), (uint64_t)run->kind);
}

int sqlite_attribute_number(struct sqlite_connection *connection, int64_t namespace_number, int kind,
                            const struct store_attribute *attribute, int64_t *ret_number)
{
    struct sqlite_binder binder;
    *ret_number = 0;
    if (start(connection, SQL_ATTRIBUTE_NAME, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, namespace_number);
    sqlite_bind_number(&binder, kind);
    sqlite_bind_text(&binder, attribute->name);
    sqlite_bind_number(&binder, attribute->type);
    if (binder.code != SQLITE_OK)
        return binder.code;
    if (sqlite3_step(binder.statement) == SQLITE_ROW)
        *ret_number = sqlite3_column_int64(binder.statement, 0);
    return sqlite3_reset(binder.statement);
}

static int name_attribute(struct sqlite_connection *connection, const struct store_run *run,
                          const struct store_attribute *attribute, int64_t *ret_number)
{
    struct sqlite_binder binder;
    int code = sqlite_attribute_number(connection, run->namespace_number, (int)run->kind, attribute,
                                       ret_number);
    if (code != SQLITE_OK || *ret_number != 0)
        return code;
    if (start(connection, SQL_ATTRIBUTE_NAME_INSERT, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, run->namespace_number);
    sqlite_bind_number(&binder, run->kind);
    sqlite_bind_text(&binder, attribute->name);
    sqlite_bind_number(&binder, attribute->type);
    code = finish(&binder);
    *ret_number = sqlite3_last_insert_rowid(connection->handle);
    return code;
}

static int insert_attributes(struct sqlite_connection *connection, const struct store_run *run)
{
    struct bytes                 rest = run->attributes;
    struct store_attribute_value value;
    while (store_attributes_next(&rest, &value)) {
        struct sqlite_binder binder;
        int64_t              number;
        int                  code = name_attribute(connection, run, &value.attribute, &number);
        if (code != SQLITE_OK)
            return code;
        if (start(connection, SQL_ATTRIBUTE_INSERT, &binder) != SQLITE_OK)
            return binder.code;
        sqlite_bind_number(&binder, run->number);
        sqlite_bind_number(&binder, number);
        if (value.value.is_text)
            sqlite_bind_text(&binder, value.value.text);
        else
            sqlite_bind_number(&binder, value.value.number);
        if ((code = finish(&binder)) != SQLITE_OK)
            return code;
    }
    return SQLITE_OK;
}

static int insert_run(struct sqlite_connection *connection, const struct store_run *run)
{
    struct sqlite_binder binder;
    if (start(connection, SQL_RUN_INSERT, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, run->number);
    sqlite_bind_number(&binder, run->namespace_number);
    sqlite_bind_text(&binder, run->workflow_id);
    sqlite_bind_blob(&binder, bytes_of(run->run_id.byte, sizeof run->run_id.byte));
    sqlite_bind_text(&binder, run->workflow_type);
    sqlite_bind_text(&binder, run->task_queue);
    sqlite_bind_number(&binder, run->status);
    sqlite_bind_number(&binder, run->start_time);
    sqlite_bind_number(&binder, run->execution_time);
    sqlite_bind_number_if(&binder, run->close_time != 0, run->close_time);
    sqlite_bind_number(&binder, run->history_length);
    sqlite_bind_number(&binder, run->history_size);
    sqlite_bind_number(&binder, run->state_transitions);
    sqlite_bind_text_if_set(&binder, run->parent_workflow_id);
    sqlite_bind_uuid_if_set(&binder, &run->parent_run_id);
    sqlite_bind_text_if_set(&binder, run->root_workflow_id);
    sqlite_bind_uuid_if_set(&binder, &run->root_run_id);
    sqlite_bind_blob_if_set(&binder, run->memo);
    sqlite_bind_blob_if_set(&binder, run->search_attributes);
    sqlite_bind_number(&binder, run->snapshot_transition);
    sqlite_bind_number(&binder, run->kind);
    sqlite_bind_number_if(&binder, run->attributes.size != 0, attributes_digest(run));
    sqlite_bind_blob_if_set(&binder, run->snapshot);
    int code = finish(&binder);
    return code != SQLITE_OK || run->attributes.size == 0 ? code : insert_attributes(connection, run);
}

static int update_run_by(struct sqlite_connection *connection, enum sqlite_statement which,
                         const struct store_run *run)
{
    struct sqlite_binder binder;
    if (start(connection, which, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, run->number);
    sqlite_bind_text(&binder, run->task_queue);
    sqlite_bind_number(&binder, run->execution_time);
    sqlite_bind_number(&binder, run->history_length);
    sqlite_bind_number(&binder, run->history_size);
    sqlite_bind_number(&binder, run->state_transitions);
    sqlite_bind_blob_if_set(&binder, run->memo);
    sqlite_bind_blob_if_set(&binder, run->search_attributes);
    sqlite_bind_blob_if_set(&binder, run->snapshot);
    sqlite_bind_number(&binder, run->snapshot_transition);
    sqlite_bind_number_if(&binder, run->attributes.size != 0, attributes_digest(run));
    sqlite_bind_number(&binder, MUTANT(list_row_stale) ? 1 : run->status);
    if (which == SQL_RUN_UPDATE)
        sqlite_bind_number_if(&binder, run->close_time != 0, run->close_time);
    return finish(&binder);
}

static int delete_by_number(struct sqlite_connection *connection, enum sqlite_statement which, int64_t number)
{
    struct sqlite_binder binder;
    if (start(connection, which, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, number);
    return finish(&binder);
}

/* Leaves the number of changed runs in sqlite3_changes. */
static int replace_attributes(struct sqlite_connection *connection, const struct store_run *run)
{
    struct sqlite_binder binder;
    int                  code = delete_by_number(connection, SQL_ATTRIBUTES_DELETE, run->number);
    if (code == SQLITE_OK)
        code = insert_attributes(connection, run);
    if (code != SQLITE_OK || start(connection, SQL_RUN_ATTRIBUTES, &binder) != SQLITE_OK)
        return code != SQLITE_OK ? code : binder.code;
    sqlite_bind_number(&binder, run->number);
    sqlite_bind_number_if(&binder, run->attributes.size != 0, attributes_digest(run));
    sqlite_bind_number(&binder, run->kind);
    return finish(&binder);
}

/* A run that stays open with its status (a snapshot, an upsert) has nothing new for the indexes, so they are left alone;
 * whether that is so costs a look at the row that the update needs anyway. */
static int update_run(struct sqlite_connection *connection, const struct store_run *run, struct error *error)
{
    if (run->close_time == 0) {
        int code = update_run_by(connection, SQL_RUN_UPDATE_OPEN, run);
        if (code != SQLITE_OK || sqlite3_changes(connection->handle) > 0)
            return code;
    }
    int code = update_run_by(connection, SQL_RUN_UPDATE, run);
    if (code != SQLITE_OK || sqlite3_changes(connection->handle) > 0)
        return code;
    code = replace_attributes(connection, run);
    if (code != SQLITE_OK || sqlite3_changes(connection->handle) > 0)
        return code != SQLITE_OK ? code : update_run_by(connection, SQL_RUN_UPDATE, run);
    (void)error_set(error, ST_NOT_FOUND, "no run %" PRId64 " to update", run->number);
    return SQLITE_CONSTRAINT;
}

static int put_snapshot(struct sqlite_connection *connection, const struct store_run *run,
                        struct error *error)
{
    struct sqlite_binder binder;
    if (start(connection, SQL_RUN_SNAPSHOT, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, run->number);
    sqlite_bind_blob_if_set(&binder, run->snapshot);
    sqlite_bind_number(&binder, run->snapshot_transition);
    int code = finish(&binder);
    if (code != SQLITE_OK || sqlite3_changes(connection->handle) > 0)
        return code;
    (void)error_set(error, ST_NOT_FOUND, "no run %" PRId64 " to keep a snapshot of", run->number);
    return SQLITE_CONSTRAINT;
}

static int insert_transition(struct sqlite_connection *connection, const struct store_transition *transition,
                             int64_t *sequence)
{
    struct sqlite_binder binder;
    if (start(connection, SQL_TRANSITION_INSERT, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, ++*sequence);
    sqlite_bind_number(&binder, transition->branch);
    sqlite_bind_number(&binder, transition->number);
    sqlite_bind_number(&binder, transition->first_event_id);
    sqlite_bind_number(&binder, transition->event_count);
    sqlite_bind_number(&binder, transition->checksum);
    sqlite_bind_blob_if_set(&binder, transition->events);
    sqlite_bind_blob_if_set(&binder, transition->delta);
    int code = finish(&binder);
    if (code != SQLITE_OK || start(connection, SQL_POSITION_INSERT, &binder) != SQLITE_OK)
        return code != SQLITE_OK ? code : binder.code;
    sqlite_bind_number(&binder, transition->branch);
    sqlite_bind_number(&binder, transition->number);
    sqlite_bind_number(&binder, *sequence);
    return finish(&binder);
}

static int delete_by_range(struct sqlite_connection *connection, enum sqlite_statement which, int64_t first,
                           int64_t second, int64_t third)
{
    struct sqlite_binder binder;
    if (start(connection, which, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, first);
    sqlite_bind_number(&binder, second);
    sqlite_bind_number(&binder, third);
    return finish(&binder);
}

static int delete_transitions(struct sqlite_connection *connection, const struct store_write *write)
{
    int code = delete_by_range(connection, SQL_TRANSITIONS_DELETE, write->transitions.branch,
                               write->transitions.first, write->transitions.last);
    if (code != SQLITE_OK)
        return code;
    return delete_by_range(connection, SQL_POSITIONS_DELETE, write->transitions.branch,
                           write->transitions.first, write->transitions.last);
}

static int insert_ready(struct sqlite_connection *connection, const struct store_ready *ready)
{
    struct sqlite_binder binder;
    if (start(connection, SQL_READY_INSERT, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, ready->sequence);
    sqlite_bind_number(&binder, ready->namespace_number);
    sqlite_bind_text(&binder, ready->queue);
    sqlite_bind_number(&binder, ready->kind);
    sqlite_bind_number(&binder, ready->priority);
    sqlite_bind_text_if_set(&binder, ready->normal_queue);
    sqlite_bind_text_if_set(&binder, ready->fairness_key);
    sqlite_bind_text_if_set(&binder, ready->version);
    sqlite_bind_number(&binder, ready->run);
    sqlite_bind_text(&binder, ready->workflow_id);
    sqlite_bind_number(&binder, ready->scheduled_event_id);
    sqlite_bind_number(&binder, ready->stamp);
    sqlite_bind_number(&binder, ready->created_time);
    sqlite_bind_number_if(&binder, ready->fairness_weight != 0, ready->fairness_weight);
    return finish(&binder);
}

static int set_wakeup(struct sqlite_connection *connection, const struct store_write *write)
{
    struct sqlite_binder binder;
    if (start(connection, SQL_WAKEUP_SET, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, write->wakeup.entity);
    sqlite_bind_number(&binder, write->wakeup.due);
    sqlite_bind_number(&binder, write->wakeup.namespace_number);
    sqlite_bind_text(&binder, write->wakeup.workflow_id);
    sqlite_bind_number(&binder, write->wakeup.kind);
    return finish(&binder);
}

static int insert_outbox(struct sqlite_connection *connection, const struct store_outbox *outbox)
{
    struct sqlite_binder binder;
    if (start(connection, SQL_OUTBOX_INSERT, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, outbox->source_range);
    sqlite_bind_number(&binder, outbox->target_range);
    sqlite_bind_number(&binder, outbox->number);
    sqlite_bind_number(&binder, outbox->source_run);
    sqlite_bind_blob_if_set(&binder, outbox->body);
    return finish(&binder);
}

static int take_link(struct sqlite_connection *connection, const struct store_link *link)
{
    struct sqlite_binder binder;
    if (start(connection, SQL_LINK_TAKE, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, link->source_range);
    sqlite_bind_number(&binder, link->target_range);
    sqlite_bind_number(&binder, link->number);
    return finish(&binder);
}

static int put_entity(struct sqlite_connection *connection, enum sqlite_statement which,
                      const struct store_entity *entity)
{
    struct sqlite_binder binder;
    if (start(connection, which, &binder) != SQLITE_OK)
        return binder.code;
    sqlite_bind_number(&binder, entity->kind);
    sqlite_bind_blob(&binder, entity->key);
    if (which == SQL_ENTITY_PUT)
        sqlite_bind_blob_if_set(&binder, entity->state);
    return finish(&binder);
}

int sqlite_write(struct sqlite_connection *connection, const struct store_write *write, int64_t *sequence,
                 struct error *error)
{
    if (store_write_check(write, error) != ST_OK)
        return SQLITE_CONSTRAINT;
    switch (write->kind) {
    case STORE_RUN_INSERT:
        return insert_run(connection, write->run);
    case STORE_RUN_UPDATE:
        return update_run(connection, write->run, error);
    case STORE_RUN_SNAPSHOT:
        return put_snapshot(connection, write->run, error);
    case STORE_RUN_DELETE:
        return delete_by_number(connection, SQL_RUN_DELETE, write->run->number);
    case STORE_TRANSITION_INSERT:
        return insert_transition(connection, write->transition, sequence);
    case STORE_TRANSITIONS_DELETE:
        return delete_transitions(connection, write);
    case STORE_READY_INSERT:
        return insert_ready(connection, write->ready);
    case STORE_READY_DELETE:
        return delete_by_number(connection, SQL_READY_DELETE, write->ready->sequence);
    case STORE_WAKEUP_SET:
        return set_wakeup(connection, write);
    case STORE_WAKEUP_DELETE:
        return delete_by_number(connection, SQL_WAKEUP_DELETE, write->wakeup.entity);
    case STORE_OUTBOX_INSERT:
        return insert_outbox(connection, write->outbox);
    case STORE_OUTBOX_DELETE:
        return delete_by_range(connection, SQL_OUTBOX_DELETE, write->outbox->source_range,
                               write->outbox->target_range, write->outbox->number);
    case STORE_LINK_TAKE:
        return take_link(connection, &write->link);
    case STORE_ENTITY_PUT:
        return put_entity(connection, SQL_ENTITY_PUT, &write->entity);
    case STORE_ENTITY_DELETE:
        return put_entity(connection, SQL_ENTITY_DELETE, &write->entity);
    }
    panic("a checked write of kind %d", (int)write->kind);
}
