/* tools.c: what the gateway needs of a server. */
#include "server/tools.h"

#include <stdatomic.h>

#include "mcp/gateway.h"

/* Calls of the API under way at once: each request that waits for a run shares its long poll, so this is runs, not requests. */
#define CALLS_MAX 20000

struct tools {
    struct local_server_client *client;
    struct seal                *seal;
    struct gateway             *gateway;
    struct loop                *loop;
    struct message              reload, registry; /* on their way when the flags say so */
    atomic_bool                 reloading, registry_told;
    bool                        closed;
};

static void reload_now(struct message *message)
{
    struct tools *tools = CONTAINER_OF(message, struct tools, reload);
    atomic_store(&tools->reloading, false);
    gateway_reload(tools->gateway);
}

static void registry_now(struct message *message)
{
    struct tools *tools = CONTAINER_OF(message, struct tools, registry);
    atomic_store(&tools->registry_told, false);
    gateway_registry_changed(tools->gateway);
}

enum status tools_new(const struct tools_options *options, struct tools **ret_tools, struct error *error)
{
    struct http_server *http = web_http(options->web);
    struct tools       *tools = xcalloc(1, sizeof *tools);
    struct seal_key     key = { .version = 1 };
    *ret_tools = tools;
    memcpy(key.byte, options->key, SEAL_KEY_SIZE);
    tools->loop = http_server_loop(http);
    tools->reload.run = reload_now;
    tools->registry.run = registry_now;
    tools->client = local_client_new(&(struct local_client_options){ .loop = tools->loop,
                                                                     .lanes = options->lanes,
                                                                     .lane_count = options->lane_count,
                                                                     .calls_max = CALLS_MAX,
                                                                     .client_name = "perdure-mcp",
                                                                     .client_version = PERDURE_VERSION });
    enum status status = seal_new(&key, 1, &tools->seal, error);
    if (status == ST_OK)
        status = gateway_new(&(struct gateway_options){ .loop = tools->loop,
                                                        .client = local_client_face(tools->client),
                                                        .seal = tools->seal,
                                                        .config_path = options->config_path,
                                                        .version = PERDURE_VERSION },
                             &tools->gateway, error);
    return status == ST_OK ? gateway_serve(tools->gateway, http, error) : status;
}

void tools_reload(struct tools *tools)
{
    if (!atomic_exchange(&tools->reloading, true))
        mailbox_post(loop_mailbox(tools->loop), &tools->reload);
}

void tools_registry_changed(struct tools *tools)
{
    if (!atomic_exchange(&tools->registry_told, true))
        mailbox_post(loop_mailbox(tools->loop), &tools->registry);
}

void tools_close(struct tools *tools)
{
    if (tools == NULL || tools->closed)
        return;
    tools->closed = true;
    gateway_free(TAKE_PTR(tools->gateway));
    local_client_close(tools->client);
}

void tools_free(struct tools *tools)
{
    if (tools == NULL)
        return;
    tools_close(tools);
    local_client_free(tools->client);
    seal_free(tools->seal);
    free(tools);
}
