/* tools_kind.c: decides about declared toolsets. */
#include "api/tools_kind.h"

#include "api/api.h"
#include "codec/pb.h"

/* The state is the record, encoded. */
struct tools {
    struct bytes record; /* owned */
};

static void *tools_new(const struct entity_identity *identity UNUSED)
{
    return xcalloc(1, sizeof(struct tools));
}

static void tools_free(void *state)
{
    struct tools *self = state;
    free((void *)(uintptr_t)self->record.base);
    free(self);
}

static size_t tools_size(const void *state)
{
    return sizeof(struct tools) + ((const struct tools *)state)->record.size;
}

static enum status tools_set(void *state, struct bytes record, struct error *error)
{
    struct tools      *self = state;
    struct state_Tools decoded;
    struct arena       arena;
    arena_init(&arena, SIZE_MAX);
    enum status status = pb_decode(&pb_state_Tools, record, &arena, &decoded, error);
    arena_release(&arena);
    if (status != ST_OK)
        return error_set(error, ST_DATA_LOSS, "the record of the toolsets does not decode");
    uint8_t *copy = xmalloc(record.size + 1);
    if (record.size != 0)
        memcpy(copy, record.base, record.size);
    free((void *)(uintptr_t)self->record.base);
    self->record = bytes_of(copy, record.size);
    return ST_OK;
}

static enum status tools_apply(void *state, const struct transition_record *record, struct error *error)
{
    return tools_set(state, record->delta, error);
}

static void tools_snapshot(const void *state, struct buffer *to)
{
    buffer_append(to, ((const struct tools *)state)->record);
}

static void tools_loaded(void *state UNUSED, int64_t now UNUSED) {}

static int64_t tools_next_due(const void *state UNUSED)
{
    return TIME_NEVER;
}

static int64_t tools_last_event_time(const void *state UNUSED)
{
    return 0;
}

static bool tools_is_open(const void *state UNUSED)
{
    return true;
}

static bool tools_awaits_worker(const void *state UNUSED)
{
    return false;
}

/* --- decisions --- */

void tools_request_fill(struct tools_request *request, struct arena *arena, enum tools_command command)
{
    *request = (struct tools_request){ .base.arena = arena };
    list_init(&request->base.link);
    request->base.kind = ENTITY_TOOLS;
    request->base.business_id = TOOLS_ENTITY_ID;
    request->base.command = (int)command;
}

static void write_record(struct tools_request *self, struct state_Tools *record, struct env *env, bool exists,
                         struct decision *decision)
{
    struct arena        *arena = self->base.arena;
    struct store_entity *row = ARENA_NEW(arena, struct store_entity);
    *row = (struct store_entity){ .kind = ENTITY_TOOLS,
                                  .key = entity_row_key(0, TOOLS_ENTITY_ID, arena),
                                  .state = pb_encode_arena(&pb_state_Tools, record, arena) };
    struct transition transition = {
        .delta = row->state, .entities = row, .entity_count = 1, .first_event_id = 1
    };
    self->record = record;
    if (exists) {
        decision->changes = true;
        decision->self = transition;
        return;
    }
    decision->creates = true;
    decision->created = transition;
    decision->created_identity = (struct entity_identity){ .business_id = TOOLS_ENTITY_ID,
                                                           .number = env_number(env) };
}

/* Where the name stands, or would stand. */
static size_t position_of(const struct state_Tools *record, struct bytes name, bool *ret_found)
{
    size_t at = 0;
    while (at < record->toolsets_count && bytes_compare(record->toolsets[at].name, name) < 0)
        at++;
    *ret_found = at < record->toolsets_count && bytes_equal(record->toolsets[at].name, name);
    return at;
}

static bool version_fits(struct tools_request *self, bool has_expected, int64_t expected, int64_t version,
                         struct bytes name)
{
    if (!has_expected || expected == version)
        return true;
    error_set(&self->base.error, ST_FAILED_PRECONDITION,
              "toolset \"%.*s\" has version %" PRId64 ", not %" PRId64, BYTES_FMT(name), version, expected);
    return false;
}

static bool fits(struct tools_request *self, const struct state_Tools *record)
{
    size_t size = 0;
    for (size_t i = 0; i < record->toolsets_count; i++)
        size += record->toolsets[i].document.size;
    if (record->toolsets_count > TOOLSETS_MAX)
        error_set(&self->base.error, ST_RESOURCE_EXHAUSTED, "there are %d toolsets, and no more are allowed",
                  TOOLSETS_MAX);
    else if (size > TOOLS_SIZE_MAX)
        error_set(&self->base.error, ST_RESOURCE_EXHAUSTED, "all toolsets together may have %zu bytes",
                  TOOLS_SIZE_MAX);
    else
        return true;
    return false;
}

static void decide_apply(struct tools_request *self, struct state_Tools *record, struct env *env, bool exists,
                         struct decision *decision)
{
    const struct api_ApplyToolsetRequest *input = self->input;
    bool                                  found;
    size_t                                at = position_of(record, input->name, &found);
    int64_t                               version = found ? record->toolsets[at].version : 0;
    if (!version_fits(self, input->has_expected_version, input->expected_version, version, input->name))
        return;
    self->record = record;
    self->toolset = found ? &record->toolsets[at] : NULL;
    if (found && bytes_equal(record->toolsets[at].document, input->document))
        return;
    struct state_Tool *toolsets = ARENA_NEW_ARRAY(self->base.arena, struct state_Tool,
                                                  record->toolsets_count + 1);
    for (size_t i = 0; i < at; i++)
        toolsets[i] = record->toolsets[i];
    for (size_t i = at + found; i < record->toolsets_count; i++)
        toolsets[i + 1 - found] = record->toolsets[i];
    toolsets[at] = (struct state_Tool){ .name = input->name,
                                        .document = input->document,
                                        .version = ++record->version,
                                        .update_time = env->now,
                                        .identity = input->identity };
    record->toolsets = toolsets;
    record->toolsets_count += !found;
    self->toolset = &toolsets[at];
    if (!fits(self, record))
        return;
    self->changed = true;
    write_record(self, record, env, exists, decision);
}

static void decide_delete(struct tools_request *self, struct state_Tools *record, struct env *env,
                          bool exists, struct decision *decision)
{
    const struct api_DeleteToolsetRequest *input = self->input;
    bool                                   found;
    size_t                                 at = position_of(record, input->name, &found);
    if (!found) {
        error_set(&self->base.error, ST_NOT_FOUND, "there is no toolset \"%.*s\"", BYTES_FMT(input->name));
        return;
    }
    if (!version_fits(self, input->has_expected_version, input->expected_version,
                      record->toolsets[at].version, input->name))
        return;
    memmove(record->toolsets + at, record->toolsets + at + 1,
            (record->toolsets_count - at - 1) * sizeof record->toolsets[0]);
    record->toolsets_count--;
    record->version++;
    self->changed = true;
    write_record(self, record, env, exists, decision);
}

/* Made once: of the system's random bytes and of the runtime's, so that neither alone says what it is. */
static void decide_key(struct tools_request *self, struct state_Tools *record, struct env *env, bool exists,
                       struct decision *decision)
{
    self->record = record;
    if (record->sealing_key.size == TOOLS_SEALING_KEY_SIZE)
        return;
    uint8_t *key = arena_must(arena_alloc(self->base.arena, TOOLS_SEALING_KEY_SIZE));
    static_assert(sizeof env->entropy == TOOLS_SEALING_KEY_SIZE, "one word of entropy for each of the key");
    memcpy(key, env->entropy, TOOLS_SEALING_KEY_SIZE);
    for (size_t i = 0; i < TOOLS_SEALING_KEY_SIZE; i++)
        key[i] ^= self->fresh[i];
    record->sealing_key = bytes_of(key, TOOLS_SEALING_KEY_SIZE);
    write_record(self, record, env, exists, decision);
}

static void tools_decide(const void *state, struct request *request, struct env *env,
                         struct decision *decision)
{
    struct tools_request *self = CONTAINER_OF(request, struct tools_request, base);
    const struct tools   *tools = state;
    struct state_Tools   *record = ARENA_NEW(request->arena, struct state_Tools);
    if (request->command == ENTITY_COMMAND_DUE)
        return;
    self->record = record;
    self->toolset = NULL;
    self->changed = false;
    if (tools != NULL && pb_decode(&pb_state_Tools, arena_copy(request->arena, tools->record), request->arena,
                                   record, &request->error) != ST_OK) {
        error_set(&request->error, ST_INTERNAL, "the record of the toolsets does not decode");
        return;
    }
    switch ((enum tools_command)request->command) {
    case TOOLS_APPLY:
        decide_apply(self, record, env, tools != NULL, decision);
        break;
    case TOOLS_DELETE:
        decide_delete(self, record, env, tools != NULL, decision);
        break;
    case TOOLS_KEY:
        decide_key(self, record, env, tools != NULL, decision);
        break;
    case TOOLS_GET:
        break;
    }
}

const struct entity_kind tools_kind = {
    .id = ENTITY_TOOLS,
    .name = "toolsets",
    .is_record = true,
    .request_size = sizeof(struct tools_request),
    .state_new = tools_new,
    .state_free = tools_free,
    .state_size = tools_size,
    .decide = tools_decide,
    .apply = tools_apply,
    .snapshot = tools_snapshot,
    .restore = tools_set,
    .loaded = tools_loaded,
    .next_due = tools_next_due,
    .last_event_time = tools_last_event_time,
    .is_open = tools_is_open,
    .awaits_worker = tools_awaits_worker,
};
