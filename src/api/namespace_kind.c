/* namespace_kind.c: decides about namespaces and folds what was decided. */
#include "api/namespace_kind.h"

#include "api/api.h"
#include "codec/pb.h"
#include "codec/pb_time.h"

/* --- state: the records, encoded, with the fields they are found by --- */

struct known {
    struct bytes record;   /* owned */
    struct bytes id, name; /* within record */
};
struct namespaces {
    struct known *known;
    size_t        count, size;
};

static void *namespaces_new(const struct entity_identity *identity UNUSED)
{
    return xcalloc(1, sizeof(struct namespaces));
}

static void namespaces_free(void *state)
{
    struct namespaces *self = state;
    for (size_t i = 0; i < self->count; i++)
        free((void *)(uintptr_t)self->known[i].record.base);
    free(self->known);
    free(self);
}

static size_t namespaces_size(const void *state)
{
    const struct namespaces *self = state;
    return sizeof *self + self->count * sizeof self->known[0] + self->size;
}

static const struct known *find_name(const struct namespaces *self, struct bytes name)
{
    for (size_t i = 0; i < self->count; i++) {
        if (bytes_equal(self->known[i].name, name))
            return &self->known[i];
    }
    return NULL;
}

static void forget(struct namespaces *self, struct known *slot)
{
    self->size -= slot->record.size;
    free((void *)(uintptr_t)slot->record.base);
    *slot = self->known[--self->count];
}

/* Adds a record, replaces the one with its id, or takes that away. */
static enum status fold(struct namespaces *self, struct bytes encoded, struct error *error)
{
    struct arena           arena;
    struct state_Namespace record;
    uint8_t               *copy = xmalloc(encoded.size + 1);
    if (encoded.size != 0)
        memcpy(copy, encoded.base, encoded.size);
    arena_init(&arena, SIZE_MAX);
    enum status status = pb_decode(&pb_state_Namespace, bytes_of(copy, encoded.size), &arena, &record, error);
    arena_release(&arena);
    if (status != ST_OK || record.id.size == 0) {
        free(copy);
        return error_set(error, ST_DATA_LOSS, "a namespace's record does not decode");
    }
    struct known *slot = NULL;
    for (size_t i = 0; i < self->count && slot == NULL; i++) {
        if (bytes_equal(self->known[i].id, record.id))
            slot = &self->known[i];
    }
    if (record.erased) {
        free(copy);
        if (slot != NULL)
            forget(self, slot);
        return ST_OK;
    }
    if (slot == NULL) {
        self->known = xrealloc(self->known, (self->count + 1) * sizeof self->known[0]);
        slot = &self->known[self->count++];
    } else {
        self->size -= slot->record.size;
        free((void *)(uintptr_t)slot->record.base);
    }
    *slot = (struct known){ .record = bytes_of(copy, encoded.size), .id = record.id, .name = record.name };
    self->size += encoded.size;
    return ST_OK;
}

static enum status namespaces_apply(void *state, const struct transition_record *record, struct error *error)
{
    return fold(state, record->delta, error);
}

static enum status namespaces_restore(void *state, struct bytes snapshot, struct error *error)
{
    return fold(state, snapshot, error);
}

/* Rows are the durable form; this is for comparing states only. */
static void namespaces_snapshot(const void *state, struct buffer *to)
{
    const struct namespaces *self = state;
    for (size_t i = 0; i < self->count; i++)
        buffer_append(to, self->known[i].record);
}

static void namespaces_loaded(void *state UNUSED, int64_t now UNUSED) {}

static int64_t namespaces_next_due(const void *state UNUSED)
{
    return TIME_NEVER;
}

static int64_t namespaces_last_event_time(const void *state UNUSED)
{
    return 0;
}

static bool namespaces_is_open(const void *state UNUSED)
{
    return true;
}

/* --- decisions --- */

static void fail_detail(struct request *request, const struct pb_message *type, const void *detail)
{
    request->error.detail_type = bytes_of_text(pb_message_name(type));
    request->error.detail = pb_encode_arena(type, detail, request->arena);
}

static void write_record(struct namespaces_request *self, const struct state_Namespace *record,
                         struct decision *decision)
{
    struct arena        *arena = self->base.arena;
    struct store_entity *row = ARENA_NEW(arena, struct store_entity);
    self->record = pb_encode_arena(&pb_state_Namespace, record, arena);
    *row = (struct store_entity){ .kind = ENTITY_NAMESPACES,
                                  .key = arena_copy(arena, record->id),
                                  .state = self->record };
    decision->changes = true;
    decision->self = (struct transition){ .delta = self->record, .entities = row, .entity_count = 1 };
}

static struct bytes make_id(const uint64_t *entropy, struct arena *arena)
{
    char        text[UUID_TEXT_SIZE];
    struct uuid id;
    memcpy(id.byte, entropy, sizeof id.byte);
    id.byte[6] = (uint8_t)((id.byte[6] & 0x0f) | 0x40);
    id.byte[8] = (uint8_t)((id.byte[8] & 0x3f) | 0x80);
    uuid_print(&id, text);
    return arena_copy(arena, bytes_of(text, sizeof text));
}

/* The id that every record has; a new one for the first. */
static struct bytes cluster_id(const struct namespaces *state, struct env *env, struct arena *arena)
{
    for (size_t i = 0; state != NULL && i < state->count; i++) {
        struct state_Namespace record;
        struct error           error;
        struct bytes           encoded = arena_copy(arena, state->known[i].record);
        if (pb_decode(&pb_state_Namespace, encoded, arena, &record, &error) == ST_OK &&
            record.cluster_id.size != 0)
            return record.cluster_id;
    }
    return make_id(&env->entropy[2], arena);
}

static void decide_register(const struct namespaces *state, struct namespaces_request *self, struct env *env,
                            struct decision *decision)
{
    const struct workflowservice_RegisterNamespaceRequest *input = self->input;
    if (state != NULL && find_name(state, input->namespace) != NULL) {
        struct errordetails_NamespaceAlreadyExistsFailure detail = { 0 };
        error_set(&self->base.error, ST_ALREADY_EXISTS, "Namespace already exists.");
        fail_detail(&self->base, &pb_errordetails_NamespaceAlreadyExistsFailure, &detail);
        return;
    }
    if (state != NULL && state->count >= NAMESPACES_MAX) {
        error_set(&self->base.error, ST_RESOURCE_EXHAUSTED,
                  "there are %d namespaces, and no more are allowed", NAMESPACES_MAX);
        return;
    }
    struct state_Namespace record = {
        .number = env_number(env),
        .id = make_id(&env->entropy[0], self->base.arena),
        .name = input->namespace,
        .state = enums_NAMESPACE_STATE_REGISTERED,
        .retention_ns = duration_ns(input->workflow_execution_retention_period),
        .description = input->description,
        .owner_email = input->owner_email,
        .create_time = env->now,
        .cluster_id = cluster_id(state, env, self->base.arena),
    };
    record.data = ARENA_NEW_ARRAY(self->base.arena, struct state_Namespace_DataEntry, input->data_count + 1);
    record.data_count = input->data_count;
    for (size_t i = 0; i < input->data_count; i++) {
        record.data[i].key = input->data[i].key;
        record.data[i].value = input->data[i].value;
    }
    write_record(self, &record, decision);
}

/* An empty value takes a limit back: the server's is in force again. */
static bool removes_limit(const struct state_Namespace_DataEntry *entry)
{
    return entry->value.size == 0 && bytes_starts_with(entry->key, LIMIT_DATA_PREFIX);
}

static void merge_data(struct state_Namespace *record, const struct namespace_UpdateNamespaceInfo *info,
                       struct arena *arena)
{
    struct state_Namespace_DataEntry *merged = ARENA_NEW_ARRAY(arena, struct state_Namespace_DataEntry,
                                                               record->data_count + info->data_count + 1);
    size_t                            count = 0;
    for (size_t i = 0; i < record->data_count; i++)
        merged[count++] = record->data[i];
    for (size_t i = 0; i < info->data_count; i++) {
        size_t at = 0;
        while (at < count && !bytes_equal(merged[at].key, info->data[i].key))
            at++;
        merged[at].key = info->data[i].key;
        merged[at].value = info->data[i].value;
        count = MAX(count, at + 1);
        if (removes_limit(&merged[at]))
            merged[at] = merged[--count];
    }
    record->data = merged;
    record->data_count = count;
}

static void decide_update(struct namespaces_request *self, struct state_Namespace *record,
                          struct decision *decision)
{
    const struct workflowservice_UpdateNamespaceRequest *input = self->input;
    const struct namespace_UpdateNamespaceInfo          *info = input->update_info;
    if (info != NULL) {
        if (info->description.size != 0)
            record->description = info->description;
        if (info->owner_email.size != 0)
            record->owner_email = info->owner_email;
        if (info->state != enums_NAMESPACE_STATE_UNSPECIFIED)
            record->state = info->state;
        merge_data(record, info, self->base.arena);
    }
    if (input->config != NULL && input->config->workflow_execution_retention_ttl != NULL)
        record->retention_ns = duration_ns(input->config->workflow_execution_retention_ttl);
    if (record->data_count > NAMESPACE_DATA_MAX) {
        error_set(&self->base.error, ST_INVALID_ARGUMENT, "Data has more than %d keys.", NAMESPACE_DATA_MAX);
        return;
    }
    write_record(self, record, decision);
}

/* A name that exists stays as it is, also with another type. */
static void decide_add(struct namespaces_request *self, struct state_Namespace *record,
                       struct decision *decision)
{
    const struct operatorservice_AddSearchAttributesRequest *input = self->input;
    struct state_Namespace_SearchAttributesEntry            *merged =
        ARENA_NEW_ARRAY(self->base.arena, struct state_Namespace_SearchAttributesEntry,
                        record->search_attributes_count + input->search_attributes_count);
    size_t count = 0;
    for (size_t i = 0; i < record->search_attributes_count; i++)
        merged[count++] = record->search_attributes[i];
    for (size_t i = 0; i < input->search_attributes_count; i++) {
        size_t at = 0;
        while (at < count && !bytes_equal(merged[at].key, input->search_attributes[i].key))
            at++;
        if (at < count)
            continue;
        merged[count].key = input->search_attributes[i].key;
        merged[count++].value = input->search_attributes[i].value;
    }
    if (count > NAMESPACE_ATTRIBUTES_MAX) {
        error_set(&self->base.error, ST_INVALID_ARGUMENT, "SearchAttributes: a namespace has at most %d.",
                  NAMESPACE_ATTRIBUTES_MAX);
        return;
    }
    bool changed = count != record->search_attributes_count;
    record->search_attributes = merged;
    record->search_attributes_count = count;
    if (changed)
        write_record(self, record, decision);
}

static void decide_remove(struct namespaces_request *self, struct state_Namespace *record,
                          struct decision *decision)
{
    const struct operatorservice_RemoveSearchAttributesRequest *input = self->input;
    size_t kept = 0, before = record->search_attributes_count;
    for (size_t i = 0; i < before; i++) {
        bool goes = false;
        for (size_t k = 0; k < input->search_attributes_count && !goes; k++)
            goes = bytes_equal(record->search_attributes[i].key, input->search_attributes[k]);
        if (!goes)
            record->search_attributes[kept++] = record->search_attributes[i];
    }
    record->search_attributes_count = kept;
    if (kept != before)
        write_record(self, record, decision);
}

static void fail_not_found(struct namespaces_request *self)
{
    struct errordetails_NamespaceNotFoundFailure detail = { .namespace = self->name };
    error_set(&self->base.error, ST_NOT_FOUND, "Namespace %.*s is not found.", BYTES_FMT(self->name));
    fail_detail(&self->base, &pb_errordetails_NamespaceNotFoundFailure, &detail);
}

/* The name is free at once; the new one ends with as much of the id as makes it unique. */
static void decide_delete(const struct namespaces *state, struct namespaces_request *self,
                          struct state_Namespace *record, struct env *env, struct decision *decision)
{
    const struct operatorservice_DeleteNamespaceRequest *input = self->input;
    struct bytes                                         name = BYTES_EMPTY;
    for (size_t size = 5; size <= record->id.size; size++) {
        name = arena_printf(self->base.arena, "%.*s-deleted-%.*s", BYTES_FMT(record->name), (int)size,
                            (const char *)record->id.base);
        if (find_name(state, name) == NULL)
            break;
    }
    record->name = name;
    record->state = enums_NAMESPACE_STATE_DELETED;
    record->delete_time = time_add(env->now, duration_ns(input->namespace_delete_delay));
    write_record(self, record, decision);
}

static void decide_erase(struct namespaces_request *self, const struct state_Namespace *record,
                         struct decision *decision)
{
    const struct namespace_erasure *input = self->input;
    struct arena                   *arena = self->base.arena;
    struct store_entity   *rows = ARENA_NEW_ARRAY(arena, struct store_entity, input->queue_count + 1);
    struct state_Namespace gone = { .id = record->id, .erased = true };
    size_t                 count = 0;
    for (size_t i = 0; i < input->queue_count; i++)
        rows[count++] = (struct store_entity){ .kind = ENTITY_TASK_QUEUE, .key = input->queues[i] };
    if (input->is_all)
        rows[count++] = (struct store_entity){ .kind = ENTITY_NAMESPACES, .key = record->id };
    decision->changes = true;
    decision->self = (struct transition){ .delta = pb_encode_arena(&pb_state_Namespace,
                                                                   input->is_all ? &gone : record, arena),
                                          .entities = rows,
                                          .entity_count = count };
}

static void namespaces_decide(const void *state, struct request *request, struct env *env,
                              struct decision *decision)
{
    struct namespaces_request *self = CONTAINER_OF(request, struct namespaces_request, base);
    if (request->command == ENTITY_COMMAND_DUE)
        return;
    if (request->command == NAMESPACES_REGISTER) {
        decide_register(state, self, env, decision);
        return;
    }
    const struct known    *known = state == NULL ? NULL : find_name(state, self->name);
    struct state_Namespace record;
    if (known == NULL) {
        fail_not_found(self);
        return;
    }
    self->record = arena_copy(request->arena, known->record);
    if (pb_decode(&pb_state_Namespace, self->record, request->arena, &record, &request->error) != ST_OK) {
        error_set(&request->error, ST_INTERNAL, "the record of namespace %.*s does not decode",
                  BYTES_FMT(self->name));
        return;
    }
    if ((record.state == enums_NAMESPACE_STATE_DELETED) != (request->command == NAMESPACES_ERASE)) {
        fail_not_found(self);
        return;
    }
    switch ((enum namespaces_command)request->command) {
    case NAMESPACES_DELETE:
        decide_delete(state, self, &record, env, decision);
        break;
    case NAMESPACES_ERASE:
        decide_erase(self, &record, decision);
        break;
    case NAMESPACES_UPDATE:
        decide_update(self, &record, decision);
        break;
    case NAMESPACES_ADD_ATTRIBUTES:
        decide_add(self, &record, decision);
        break;
    case NAMESPACES_REMOVE_ATTRIBUTES:
        decide_remove(self, &record, decision);
        break;
    case NAMESPACES_DEPRECATE:
        record.state = enums_NAMESPACE_STATE_DEPRECATED;
        write_record(self, &record, decision);
        break;
    case NAMESPACES_REGISTER:
        break;
    }
}

const struct entity_kind namespaces_kind = {
    .id = ENTITY_NAMESPACES,
    .name = "namespaces",
    .is_record = true,
    .state_new = namespaces_new,
    .state_free = namespaces_free,
    .state_size = namespaces_size,
    .decide = namespaces_decide,
    .apply = namespaces_apply,
    .snapshot = namespaces_snapshot,
    .restore = namespaces_restore,
    .loaded = namespaces_loaded,
    .next_due = namespaces_next_due,
    .last_event_time = namespaces_last_event_time,
    .is_open = namespaces_is_open,
};
