/* namespaces.c: the singleton that knows all namespaces, and the snapshot of its rows that decisions see.
 *
 * The kind is given from above (api). It is hosted on lane 0, is never evicted, and its rows are store entities of kind
 * ENTITY_NAMESPACES whose state is an encoded state_Namespace. On load `restore` is called once per row, on a state that
 * grows with it; live, `apply` folds the transition's delta. When rows are durable, every lane gets a new snapshot before
 * the requests that changed them are answered.
 */
#include "shard/shard_internal.h"

#include "base/log.h"
#include "base/metric.h"
#include "codec/pb.h"
#include "pb/enums.pb.h"
#include "pb/state.pb.h"

struct namespace_row {
    struct list  link;
    struct bytes key, state; /* behind the structure */
};
struct namespace_rows {
    struct list list;
};

/* On its way to the lanes: one message each, which comes back. */
struct publication {
    struct list           link; /* lane.publications of `from` */
    struct namespace_set *set;
    struct lane          *from;
    struct list           outputs;
    uint32_t              pending;
    struct publication_message {
        struct message      message;
        struct publication *publication;
        struct lane        *to;
    } messages[];
};

/* --- rows --- */

static void row_put(struct namespace_rows *rows, struct bytes key, struct bytes state)
{
    LIST_FOR_EACH (row, &rows->list, struct namespace_row, link) {
        if (bytes_equal(row->key, key)) {
            list_remove(&row->link);
            free(row);
        }
    }
    if (state.size == 0)
        return;
    struct namespace_row *new = xcalloc(1, sizeof(*new) + key.size + state.size);
    uint8_t *at = (uint8_t *)(new + 1);
    memcpy(at, key.base, key.size);
    memcpy(at + key.size, state.base, state.size);
    new->key = bytes_of(at, key.size);
    new->state = bytes_of(at + key.size, state.size);
    list_append(&rows->list, &new->link);
}

/* --- snapshots --- */

static int by_name(const void *a, const void *b)
{
    return bytes_compare(((const struct namespace_config *)a)->name,
                         ((const struct namespace_config *)b)->name);
}

static int by_id(const void *a, const void *b)
{
    return bytes_compare((*(struct namespace_config *const *)a)->id,
                         (*(struct namespace_config *const *)b)->id);
}

static int by_number(const void *a, const void *b)
{
    int64_t left = (*(struct namespace_config *const *)a)->number,
            right = (*(struct namespace_config *const *)b)->number;
    return (left > right) - (left < right);
}

/* A value that was refused when it was set cannot be here; one that a later release refuses leaves the server's in force. */
static const struct limits *limits_of(const struct runtime *runtime, const struct state_Namespace *record,
                                      struct arena *arena)
{
    struct limits *own = NULL;
    for (size_t i = 0; i < record->data_count; i++) {
        struct bytes key = record->data[i].key;
        struct error error;
        if (!bytes_starts_with(key, LIMIT_DATA_PREFIX))
            continue;
        if (own == NULL) {
            own = ARENA_NEW(arena, struct limits);
            *own = runtime->limits;
        }
        struct bytes name = bytes_of(key.base + LIMIT_DATA_PREFIX.size, key.size - LIMIT_DATA_PREFIX.size);
        if (limits_set(own, name, record->data[i].value, &error) != ST_OK)
            log_warn("namespace.limit", "namespace=%.*s error=%s", BYTES_FMT(record->name), error.message);
    }
    return own == NULL ? &runtime->limits : own;
}

/* A deleted one keeps no series: its name is another one with each deletion. */
static uint32_t metrics_of(const struct state_Namespace *record)
{
    return record->state == enums_NAMESPACE_STATE_DELETED ? METRIC_NAMESPACES_MAX - 1
                                                          : metric_namespace(record->name);
}

static enum status set_new(const struct runtime *runtime, uint64_t generation, struct namespace_set **ret_set,
                           struct error *error)
{
    const struct namespace_rows *rows = runtime->namespace_rows;
    struct namespace_set        *set = xcalloc(1, sizeof(*set));
    size_t                       count = 0;
    arena_init(&set->arena, SIZE_MAX);
    atomic_init(&set->references, 1);
    set->generation = generation;
    LIST_FOR_EACH (row, &rows->list, struct namespace_row, link)
        count++;
    set->by_name = ARENA_NEW_ARRAY(&set->arena, struct namespace_config, count + 1);
    set->by_id = ARENA_NEW_ARRAY(&set->arena, struct namespace_config *, count + 1);
    set->by_number = ARENA_NEW_ARRAY(&set->arena, struct namespace_config *, count + 1);
    LIST_FOR_EACH (row, &rows->list, struct namespace_row, link) {
        struct state_Namespace record;
        struct bytes           bytes = arena_copy(&set->arena, row->state);
        enum status            status = pb_decode(&pb_state_Namespace, bytes, &set->arena, &record, error);
        if (status != ST_OK) {
            namespace_set_release(set);
            return error_set(error, ST_DATA_LOSS, "the row of a namespace is damaged");
        }
        set->by_name[set->count++] = (struct namespace_config){ .number = record.number,
                                                                .id = record.id,
                                                                .name = record.name,
                                                                .state = record.state,
                                                                .retention_ns = record.retention_ns,
                                                                .record = bytes,
                                                                .limits = limits_of(runtime, &record,
                                                                                    &set->arena),
                                                                .metrics = metrics_of(&record) };
    }
    qsort(set->by_name, set->count, sizeof(set->by_name[0]), by_name);
    for (size_t i = 0; i < set->count; i++)
        set->by_id[i] = set->by_number[i] = &set->by_name[i];
    qsort(set->by_id, set->count, sizeof(set->by_id[0]), by_id);
    qsort(set->by_number, set->count, sizeof(set->by_number[0]), by_number);
    *ret_set = set;
    return ST_OK;
}

static struct namespace_set *set_ref(struct namespace_set *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void namespace_set_release(struct namespace_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    arena_release(&set->arena);
    free(set);
}

static void set_adopt(struct lane *lane, struct namespace_set *set)
{
    if (lane->namespaces != NULL && lane->namespaces->generation > set->generation)
        return;
    namespace_set_release(lane->namespaces);
    lane->namespaces = set_ref(set);
}

const struct namespace_config *lane_namespace_by_name(struct lane *lane, struct bytes name)
{
    const struct namespace_set *set = lane->namespaces;
    struct namespace_config     key = { .name = name };
    return set->count == 0 ? NULL : bsearch(&key, set->by_name, set->count, sizeof(key), by_name);
}

const struct namespace_config *lane_namespace_by_id(struct lane *lane, struct bytes id_text)
{
    const struct namespace_set *set = lane->namespaces;
    struct namespace_config     key = { .id = id_text }, *pointer = &key, **found;
    found = set->count == 0 ? NULL : bsearch(&pointer, set->by_id, set->count, sizeof(pointer), by_id);
    return found == NULL ? NULL : *found;
}

const struct namespace_config *lane_namespace_by_number(struct lane *lane, int64_t number)
{
    const struct namespace_set *set = lane->namespaces;
    struct namespace_config     key = { .number = number }, *pointer = &key, **found;
    found = set->count == 0 ? NULL
                            : bsearch(&pointer, set->by_number, set->count, sizeof(pointer), by_number);
    return found == NULL ? NULL : *found;
}

size_t lane_namespaces(struct lane *lane, const struct namespace_config **ret_first)
{
    *ret_first = lane->namespaces->by_name;
    return lane->namespaces->count;
}

/* --- the singleton --- */

static enum status singleton_new(struct lane *lane, struct error *error)
{
    const struct entity_kind *kind = runtime_kind(lane->runtime, ENTITY_NAMESPACES);
    if (kind == NULL)
        return ST_OK;
    struct chain          *chain = chain_get(lane, ENTITY_NAMESPACES, 0, BYTES_EMPTY);
    struct entity_identity identity = { 0 };
    struct entity         *entity = entity_new(lane, chain, kind, &identity);
    entity_publish(entity);
    lane->singleton = entity;
    LIST_FOR_EACH (row, &lane->runtime->namespace_rows->list, struct namespace_row, link) {
        enum status status = kind->restore(entity->state, row->state, error);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

/* Its last changes will never be durable: what the rows say holds again. */
void namespaces_rebuild(struct lane *lane)
{
    struct error error;
    chain_forget(lane, lane->singleton->chain);
    lane->singleton = NULL;
    if (singleton_new(lane, &error) != ST_OK)
        panic("namespaces: %s", error.message);
}

enum status namespaces_load(struct runtime *runtime, struct error *error)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    runtime->namespace_rows = xcalloc(1, sizeof(*runtime->namespace_rows));
    list_init(&runtime->namespace_rows->list);
    struct store_read read = { .kind = STORE_READ_ENTITIES,
                               .entity_kind = ENTITY_NAMESPACES,
                               .arena = &arena };
    runtime_read_blocking(runtime, &read);
    enum status status = read.status;
    if (status != ST_OK)
        *error = read.error;
    for (size_t i = 0; i < read.entity_count && status == ST_OK; i++)
        row_put(runtime->namespace_rows, read.entities[i].key, read.entities[i].state);
    arena_release(&arena);
    struct namespace_set *set = NULL;
    if (status == ST_OK)
        status = set_new(runtime, 1, &set, error);
    if (status != ST_OK)
        return status;
    for (uint32_t i = 0; i < runtime->lane_count; i++)
        set_adopt(runtime->lanes[i], set);
    namespace_set_release(set);
    return singleton_new(runtime->lanes[0], error);
}

/* Only a crash finds some. */
void namespaces_abandon(struct lane *lane)
{
    for (struct list *at; (at = list_take_first(&lane->publications)) != NULL;) {
        struct publication *publication = LIST_ENTRY(at, struct publication, link);
        namespace_set_release(publication->set);
        free(publication);
    }
}

void namespaces_free(struct runtime *runtime)
{
    if (runtime->namespace_rows == NULL)
        return;
    for (struct list *at; (at = list_take_first(&runtime->namespace_rows->list)) != NULL;)
        free(LIST_ENTRY(at, struct namespace_row, link));
    free(runtime->namespace_rows);
}

/* --- publication --- */

static void published(struct publication *publication)
{
    if (--publication->pending != 0)
        return;
    for (struct list *at; (at = list_take_first(&publication->outputs)) != NULL;)
        lane_finish(publication->from, LIST_ENTRY(at, struct request, link));
    list_remove(&publication->link);
    namespace_set_release(publication->set);
    free(publication);
}

static void adopted(struct message *message)
{
    published(CONTAINER_OF(message, struct publication_message, message)->publication);
}

static void adopt_here(struct message *message)
{
    struct publication_message *self = CONTAINER_OF(message, struct publication_message, message);
    set_adopt(self->to, self->publication->set);
    message->run = adopted;
    mailbox_post(&self->publication->from->mailbox, message);
}

void namespaces_publish(struct lane *lane, struct batch *batch)
{
    struct runtime *runtime = lane->runtime;
    assert(lane->index == 0);
    LIST_FOR_EACH (change, &batch->changes, struct change, link) {
        for (const struct entity_change *at = change->entities; at != NULL; at = at->next) {
            if (at->row.kind == ENTITY_NAMESPACES)
                row_put(runtime->namespace_rows, at->row.key, at->row.state);
        }
    }
    struct publication *publication = xcalloc(1, sizeof(*publication) +
                                                     runtime->lane_count * sizeof(publication->messages[0]));
    struct error        error;
    publication->from = lane;
    publication->pending = runtime->lane_count;
    list_init(&publication->outputs);
    if (set_new(runtime, lane->namespaces->generation + 1, &publication->set, &error) != ST_OK)
        panic("namespaces: %s", error.message); /* decide made it: it was durable before it was wrong */
    list_append(&lane->publications, &publication->link);
    LIST_FOR_EACH (request, &batch->outputs, struct request, link) {
        if (request->kind != ENTITY_NAMESPACES)
            continue;
        list_remove(&request->link);
        list_append(&publication->outputs, &request->link);
    }
    set_adopt(lane, publication->set);
    for (uint32_t i = 1; i < runtime->lane_count; i++) {
        struct publication_message *message = &publication->messages[i];
        message->publication = publication;
        message->to = runtime->lanes[i];
        message->message.run = adopt_here;
        mailbox_post(&message->to->mailbox, &message->message);
    }
    published(publication);
}
