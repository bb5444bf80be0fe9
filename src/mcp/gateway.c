/* gateway.c: the gateway's lifetime, its routes and its catalog. */
#include "mcp/gateway.h"

#include "mcp/gateway_internal.h"
#include "mcp/payload_codec.h"

void recent_add(struct recent *recent, uint64_t hash)
{
    recent->hashes[recent->next++ % RECENT_MAX] = hash;
}

bool recent_has(const struct recent *recent, uint64_t hash)
{
    for (size_t i = 0; i < MIN(recent->next, (size_t)RECENT_MAX); i++) {
        if (recent->hashes[i] == hash)
            return true;
    }
    return false;
}

static void catalog_changed(void *context, struct catalog *catalog)
{
    struct gateway *gateway = context;
    struct catalog *before = gateway->catalog;
    gateway->catalog = catalog_ref(catalog);
    if (gateway->changed != NULL)
        gateway->changed(gateway->changed_context, catalog);
    if (before != NULL)
        listen_catalog_changed(gateway, before, catalog);
    catalog_unref(before);
}

enum status gateway_new(const struct gateway_options *options, struct gateway **ret_gateway,
                        struct error *error)
{
    struct gateway *gateway = xcalloc(1, sizeof *gateway);
    gateway->loop = options->loop;
    gateway->seal = options->seal;
    gateway->version = options->version;
    gateway->changed = options->changed;
    gateway->changed_context = options->changed_context;
    list_init(&gateway->requests);
    list_init(&gateway->listeners);
    list_init(&gateway->subscriptions);
    backend_init(&gateway->backend, options->client, options->loop);
    gateway->runs = runs_new(&gateway->backend);
    enum status status = config_watch_new(options->loop, options->config_path, catalog_changed, gateway,
                                          &gateway->watch, error);
    if (status != ST_OK) {
        gateway_free(gateway);
        return status;
    }
    if (gateway->catalog->listen != NULL && (gateway->listen = strdup(gateway->catalog->listen)) == NULL)
        panic("out of memory");
    if (gateway->catalog->codec.endpoint != NULL)
        status = payload_codec_new(gateway->loop, gateway->catalog->codec.endpoint,
                                   gateway->catalog->codec.timeout_ns, &gateway->backend.codec, error);
    if (status != ST_OK) {
        gateway_free(gateway);
        return status;
    }
    gateway->registry = registry_new(&gateway->backend, gateway->watch);
    *ret_gateway = gateway;
    return ST_OK;
}

void gateway_free(struct gateway *gateway)
{
    if (gateway == NULL)
        return;
    assert(list_empty(&gateway->requests)); /* their exchanges were closed first */
    subscriptions_forget(gateway);
    auth_free(gateway->auth);
    registry_free(gateway->registry);
    config_watch_free(gateway->watch);
    runs_free(gateway->runs);
    payload_codec_free(gateway->backend.codec);
    catalog_unref(gateway->catalog);
    free(gateway->listen);
    free(gateway);
}

void gateway_reload(struct gateway *gateway)
{
    config_watch_reload(gateway->watch);
}

void gateway_registry_changed(struct gateway *gateway)
{
    registry_changed(gateway->registry);
}

/* --- routes --- */

static void allowed(void *context, struct http_exchange *exchange, const struct caller *caller)
{
    rpc_handle(context, exchange, caller);
}

static void handle_mcp(void *context, struct http_exchange *exchange)
{
    struct gateway *gateway = context;
    if (exchange->method == HTTP_OPTIONS)
        auth_answer_preflight(gateway->auth, exchange);
    else
        auth_check(gateway->auth, exchange, NULL, allowed, gateway);
}

static void handle_metadata(void *context, struct http_exchange *exchange)
{
    struct gateway            *gateway = context;
    const struct auth_options *options = &gateway->catalog->auth;
    auth_answer_metadata(gateway->auth, exchange, options->scopes, options->scope_count);
}

void gateway_print_page(void *context, struct buffer *to)
{
    const struct gateway *gateway = context;
    const struct catalog *catalog = gateway->catalog;
    buffer_append_text(to, "<h2>Tools</h2>\n<p>MCP clients connect to <code>");
    if (gateway->listen != NULL) /* an address that could be had: nothing in it needs an escape */
        buffer_printf(to, "http://%s", gateway->listen);
    buffer_append_text(to, "/mcp</code> for all tools");
    if (catalog->auth.mode != AUTH_NONE) {
        buffer_append_text(to, ", with a token.</p>\n");
        return;
    }
    buffer_append_text(to, ", or to one toolset");
    if (gateway->listen == NULL)
        buffer_append_text(to, ". <a href=\"" SCHEMA_PATH "\">" SCHEMA_PATH
                               "</a> is the form of <code>mcp.json</code>; <a href=\"" DECLARED_PATH
                               "\">" DECLARED_PATH "</a> says more of what is here");
    buffer_append_text(to, ":</p>\n<ul>\n");
    for (size_t i = 0; i < catalog->toolset_count; i++) {
        const struct toolset *toolset =
            catalog->toolsets[i]; /* names of toolsets and tools need no escapes */
        buffer_printf(to, "<li><code>/mcp/%s</code>:", toolset->name);
        for (size_t k = 0; k < toolset->tool_count; k++)
            if (toolset->tools[k].exposed)
                buffer_printf(to, " %s", toolset->tools[k].name);
        buffer_append_text(to, "</li>\n");
    }
    buffer_append_text(to, "</ul>\n");
}

/* Whoever waits gets what can be said now: a handle, a task, a state to come again with; and streams end. */
static void drain(void *context)
{
    struct gateway *gateway = context;
    gateway->draining = true;
    listen_drain(gateway);
    for (struct list *link = gateway->requests.next, *next; link != &gateway->requests; link = next) {
        struct request *request = CONTAINER_OF(link, struct request, link);
        next = link->next;
        if (request->drain != NULL)
            request->drain(request);
    }
}

enum status gateway_serve(struct gateway *gateway, struct http_server *http, struct error *error)
{
    const struct auth_options *declared = &gateway->catalog->auth;
    struct auth_rules          rules = { .mode = declared->mode,
                                         .tokens_file = declared->tokens_file,
                                         .issuer = declared->issuer,
                                         .audience = declared->audience,
                                         .jwks = declared->jwks,
                                         .caller_claim = declared->caller_claim,
                                         .scope_claim = declared->scope_claim,
                                         .authorization_servers = declared->authorization_servers,
                                         .authorization_server_count = declared->authorization_server_count,
                                         .scopes = declared->scopes,
                                         .scope_count = declared->scope_count,
                                         .hosts = gateway->catalog->hosts,
                                         .host_count = gateway->catalog->host_count,
                                         .jwks_refresh_ns = declared->jwks_refresh_ns,
                                         .origins = gateway->catalog->origins,
                                         .origin_count = gateway->catalog->origin_count,
                                         .resource = declared->resource,
                                         .rate = gateway->catalog->calls_per_second,
                                         .burst = gateway->catalog->calls_burst,
                                         .leeway_ns = declared->leeway_ns,
                                         .loopback = http_server_is_loopback(http) };
    enum status                status = auth_new(&rules, gateway->loop, &gateway->auth, error);
    if (status != ST_OK)
        return status;
    http_server_route(http,
                      &(struct http_route){ .path = "/mcp",
                                            .below = true,
                                            .methods = HTTP_GET | HTTP_POST | HTTP_DELETE | HTTP_OPTIONS,
                                            .body_size_max = GATEWAY_BODY_MAX,
                                            .checks_host = true,
                                            .handle = handle_mcp,
                                            .drain = drain,
                                            .context = gateway });
    http_server_route(http, &(struct http_route){ .path = DECLARED_PATH,
                                                  .below = true,
                                                  .methods = HTTP_GET | HTTP_PUT | HTTP_DELETE | HTTP_OPTIONS,
                                                  .body_size_max = GATEWAY_BODY_MAX,
                                                  .checks_host = true,
                                                  .handle = declared_handle,
                                                  .context = gateway });
    http_server_route(http, &(struct http_route){ .path = SCHEMA_PATH,
                                                  .methods = HTTP_GET,
                                                  .handle = declared_schema,
                                                  .context = gateway });
    http_server_route(http, &(struct http_route){ .path = "/.well-known/oauth-protected-resource",
                                                  .below = true,
                                                  .methods = HTTP_GET,
                                                  .checks_host = true,
                                                  .handle = handle_metadata,
                                                  .context = gateway });
    return ST_OK;
}
