/* tools.c: ApplyToolset, GetToolset, ListToolsets and DeleteToolset: what is declared for the MCP gateway through the API. The
 * documents are the gateway's to understand (src/mcp/config.h); here they are texts with a name and a version. */
#include <errno.h>
#include <sys/random.h>

#include "api/api_internal.h"

#define TOOLSET_NAME_MAX 64

static struct rpc *rpc_of_tools(struct request *request)
{
    return CONTAINER_OF(CONTAINER_OF(request, struct tools_request, base), struct rpc, tools);
}

static void tools_submit(struct rpc *rpc, enum tools_command command, struct bytes words,
                         void (*done)(struct request *request))
{
    tools_request_fill(&rpc->tools, &rpc->arena, command);
    rpc->tools.words = words;
    rpc->tools.input = rpc->request;
    rpc->tools.base.done = done;
    lane_submit(rpc_lane(rpc), &rpc->tools.base);
}

static void toolset_view(struct rpc *rpc, const struct state_Tool *from, bool with_document,
                         struct api_Toolset *to)
{
    to->name = from->name;
    to->version = from->version;
    to->identity = from->identity;
    to->update_time = timestamp_of_ns(&rpc->arena, from->update_time);
    if (with_document)
        to->document = from->document;
}

/* A part of a URL's path, so letters that need no escape. */
static enum status check_toolset_name(struct bytes name, struct error *error)
{
    bool fine = name.size != 0 && name.size <= TOOLSET_NAME_MAX;
    for (size_t i = 0; i < name.size && fine; i++) {
        uint8_t c = name.base[i];
        fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-' || (c == '.' && i != 0);
    }
    if (fine)
        return ST_OK;
    return error_set(error, ST_INVALID_ARGUMENT, "Name has 1 to %d of the characters A-Z a-z 0-9 _ - .",
                     TOOLSET_NAME_MAX);
}

static void tell_changed(struct rpc *rpc)
{
    const struct api *api = rpc->home->api;
    if (rpc->tools.changed && api->toolsets_changed != NULL)
        api->toolsets_changed(api->toolsets_context);
}

/* Lines as texts, in the arena. */
static void put_warnings(struct rpc *rpc, struct bytes lines, struct api_ApplyToolsetResponse *response)
{
    size_t count = 0;
    for (size_t i = 0; i < lines.size; i++)
        count += lines.base[i] == '\n';
    response->warnings = ARENA_NEW_ARRAY(&rpc->arena, struct bytes, count + 1);
    for (const uint8_t *end; (end = lines.size == 0 ? NULL : memchr(lines.base, '\n', lines.size)) != NULL;) {
        size_t size = (size_t)(end - lines.base);
        response->warnings[response->warnings_count++] = bytes_of(lines.base, size);
        lines = bytes_of(end + 1, lines.size - size - 1);
    }
}

static void applied(struct request *request)
{
    struct rpc *rpc = rpc_of_tools(request);
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    struct api_ApplyToolsetResponse *response = ARENA_NEW(&rpc->arena, struct api_ApplyToolsetResponse);
    response->toolset = ARENA_NEW(&rpc->arena, struct api_Toolset);
    response->changed = rpc->tools.changed;
    toolset_view(rpc, rpc->tools.toolset, false, response->toolset);
    put_warnings(rpc, rpc->tools.words, response);
    tell_changed(rpc);
    rpc_reply(rpc, response);
}

/* What is registered can be served: it is looked at before it is kept. */
static enum status check_document(struct rpc *rpc, struct bytes *ret_warnings, struct error *error)
{
    const struct api_ApplyToolsetRequest *request = rpc->request;
    const struct api                     *api = rpc->home->api;
    CLEANUP(buffer_release) struct buffer words = { 0 };
    if (api->toolset_check == NULL)
        return ST_OK;
    enum status status = api->toolset_check(api->toolsets_context, request->name, request->document, &words,
                                            error);
    *ret_warnings = arena_copy(&rpc->arena, buffer_bytes(&words));
    return status;
}

void apply_toolset(struct rpc *rpc)
{
    const struct api_ApplyToolsetRequest *request = rpc->request;
    struct error                         *error = &rpc->error;
    struct bytes                          warnings = BYTES_EMPTY;
    if (check_toolset_name(request->name, error) != ST_OK ||
        check_id_optional("Identity", request->identity, error) != ST_OK)
        rpc_fail_error(rpc, error);
    else if (request->document.size == 0 || request->document.size > TOOLSET_DOCUMENT_MAX)
        rpc_fail(rpc, ST_INVALID_ARGUMENT, "Document has 1 to %zu bytes.", TOOLSET_DOCUMENT_MAX);
    else if (check_document(rpc, &warnings, error) != ST_OK)
        rpc_fail_error(rpc, error);
    else
        tools_submit(rpc, TOOLS_APPLY, warnings, applied);
}

static void got(struct request *request)
{
    struct rpc                         *rpc = rpc_of_tools(request);
    const struct api_GetToolsetRequest *input = rpc->request;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    for (size_t i = 0; i < rpc->tools.record->toolsets_count; i++) {
        if (!bytes_equal(rpc->tools.record->toolsets[i].name, input->name))
            continue;
        struct api_GetToolsetResponse *response = ARENA_NEW(&rpc->arena, struct api_GetToolsetResponse);
        response->toolset = ARENA_NEW(&rpc->arena, struct api_Toolset);
        toolset_view(rpc, &rpc->tools.record->toolsets[i], true, response->toolset);
        rpc_reply(rpc, response);
        return;
    }
    rpc_fail(rpc, ST_NOT_FOUND, "there is no toolset \"%.*s\"", BYTES_FMT(input->name));
}

void get_toolset(struct rpc *rpc)
{
    tools_submit(rpc, TOOLS_GET, BYTES_EMPTY, got);
}

static void listed(struct request *request)
{
    struct rpc                           *rpc = rpc_of_tools(request);
    const struct api_ListToolsetsRequest *input = rpc->request;
    const struct state_Tools             *record = rpc->tools.record;
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    struct api_ListToolsetsResponse *response = ARENA_NEW(&rpc->arena, struct api_ListToolsetsResponse);
    response->version = record->version;
    response->toolsets = ARENA_NEW_ARRAY(&rpc->arena, struct api_Toolset, record->toolsets_count + 1);
    response->toolsets_count = record->toolsets_count;
    for (size_t i = 0; i < record->toolsets_count; i++)
        toolset_view(rpc, &record->toolsets[i], input->with_documents, &response->toolsets[i]);
    rpc_reply(rpc, response);
}

void list_toolsets(struct rpc *rpc)
{
    tools_submit(rpc, TOOLS_GET, BYTES_EMPTY, listed);
}

static void deleted(struct request *request)
{
    struct rpc *rpc = rpc_of_tools(request);
    if (request->error.code != ST_OK) {
        rpc_fail_error(rpc, &request->error);
        return;
    }
    tell_changed(rpc);
    rpc_reply(rpc, NULL);
}

void delete_toolset(struct rpc *rpc)
{
    tools_submit(rpc, TOOLS_DELETE, BYTES_EMPTY, deleted);
}

/* --- the key --- */

struct key_errand {
    struct errand        errand;
    struct tools_request request;
    void (*done)(void *context, const uint8_t *key, const struct error *error);
    void *context;
};

static void key_known(struct request *request)
{
    struct key_errand *self = CONTAINER_OF(CONTAINER_OF(request, struct tools_request, base),
                                           struct key_errand, request);
    bool               fine = request->error.code == ST_OK;
    assert(!fine || self->request.record->sealing_key.size == TOOLS_SEALING_KEY_SIZE);
    self->done(self->context, fine ? self->request.record->sealing_key.base : NULL, &request->error);
    errand_end(&self->errand);
}

void api_ensure_sealing_key(struct lane *lane,
                            void (*done)(void *context, const uint8_t *key, const struct error *error),
                            void *context)
{
    struct key_errand *self = CONTAINER_OF(errand_new(api_lane_of(lane), sizeof *self), struct key_errand,
                                           errand);
    self->done = done;
    self->context = context;
    tools_request_fill(&self->request, &self->errand.arena, TOOLS_KEY);
    if (getrandom(self->request.fresh, sizeof self->request.fresh, 0) != (ssize_t)sizeof self->request.fresh)
        panic("the system has no random bytes: %s", strerror(errno));
    self->request.base.done = key_known;
    lane_submit(lane, &self->request.base);
}
