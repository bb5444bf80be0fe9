/* tools.c: what the gateway needs of a server. */
#include "server/tools.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "mcp/gateway.h"

/* Calls of the API under way at once: each request that waits for a run shares its long poll, so this is runs, not requests. */
#define CALLS_MAX 20000

struct tools {
    struct local_server_client *client;
    struct seal                *seal;
    struct gateway             *gateway;
    struct catalog             *catalog; /* in force, with a reference; under the mutex */
    pthread_mutex_t             mutex;   /* for lanes; a leaf */
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

static void catalog_changed(void *context, struct catalog *catalog)
{
    struct tools *tools = context;
    pthread_mutex_lock(&tools->mutex);
    struct catalog *before = tools->catalog;
    tools->catalog = catalog_ref(catalog);
    pthread_mutex_unlock(&tools->mutex);
    catalog_unref(before);
}

enum status tools_new(const struct tools_options *options, struct tools **ret_tools, struct error *error)
{
    struct http_server *http = web_http(options->web);
    struct tools       *tools = xcalloc(1, sizeof *tools);
    struct seal_key     key = { .version = 1 };
    *ret_tools = tools;
    pthread_mutex_init(&tools->mutex, NULL);
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
                                                        .version = PERDURE_VERSION,
                                                        .changed = catalog_changed,
                                                        .changed_context = tools },
                             &tools->gateway, error);
    if (status == ST_OK)
        web_page_section(options->web, gateway_print_page, tools->gateway);
    if (status == ST_OK && tools->catalog->listen != NULL) {
        status = web_listen(options->web, tools->catalog->listen, &http, error);
        if (status == ST_OK)
            log_info("mcp.listening", "address=%s port=%u", tools->catalog->listen, http_server_port(http));
    }
    return status == ST_OK ? gateway_serve(tools->gateway, http, error) : status;
}

enum status tools_check_document(struct tools *tools, struct bytes name, struct bytes document,
                                 struct buffer *warnings, struct error *error)
{
    struct catalog *catalog = NULL;
    if (tools != NULL) {
        pthread_mutex_lock(&tools->mutex);
        catalog = tools->catalog == NULL ? NULL : catalog_ref(tools->catalog);
        pthread_mutex_unlock(&tools->mutex);
    }
    enum status status = config_check_toolset(catalog, name, document, warnings, error);
    catalog_unref(catalog);
    return status;
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
    catalog_unref(tools->catalog);
    pthread_mutex_destroy(&tools->mutex);
    free(tools);
}
