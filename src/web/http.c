/* http.c: the server as a whole, and questions about a request. */
#include "web/http.h"

#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "web/http_internal.h"
#include "web/web_internal.h"

static void limits_fill(struct http_limits *limits)
{
#define DEFAULT(name, value) limits->name = limits->name == 0 ? (value) : limits->name
    DEFAULT(connections_max, 6144);
    DEFAULT(head_size_max, 16U << 10);
    DEFAULT(stream_bytes_max, 1U << 20);
    DEFAULT(bytes_max, 256U << 20);
    DEFAULT(head_ns, 10 * NS_PER_S);
    DEFAULT(body_ns, 30 * NS_PER_S);
    DEFAULT(idle_ns, 60 * NS_PER_S);
    DEFAULT(send_ns, 30 * NS_PER_S);
    DEFAULT(drain_ns, 2 * NS_PER_S);
#undef DEFAULT
}

static void tell_drained(struct loop_deferred *deferred)
{
    struct http_server *server = CONTAINER_OF(deferred, struct http_server, drained_later);
    void (*drained)(void *context) = TAKE_PTR(server->drained);
    loop_timer_clear(server->loop, &server->drain_timer);
    if (drained != NULL)
        drained(server->drained_context);
}

static void close_all(struct http_server *server)
{
    struct list *link;
    /* A handler that is told of one may not touch another, but taking the first each time costs nothing. */
    while ((link = server->connections.next) != &server->connections)
        http_connection_close(LIST_ENTRY(link, struct http_connection, link));
}

static void drain_over(struct loop_timer *timer)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, drain_timer);
    close_all(server);
    loop_defer(server->loop, &server->drained_later);
}

enum status http_server_new(const struct http_server_options *options, struct http_server **ret_server,
                            struct error *error)
{
    struct http_server *server = xcalloc(1, sizeof *server);
    char                host[300];
    server->loop = options->loop;
    server->limits = options->limits;
    limits_fill(&server->limits);
    list_init(&server->connections);
    loop_timer_init(&server->drain_timer, drain_over);
    loop_deferred_init(&server->drained_later, tell_drained);
    struct listener_target target = { .adopt = http_adopt, .context = server };
    enum status            status = listener_new(&(struct listener_options){ .loop = options->loop,
                                                                             .host = options->host,
                                                                             .port = options->port,
                                                                             .targets = &target,
                                                                             .target_count = 1 },
                                                 &server->listener, error);
    if (status != ST_OK) {
        free(server);
        return status;
    }
    server->port = listener_port(server->listener);
    /* What was asked for says it: a name of the loopback is bound to nothing else. */
    snprintf(host, sizeof host, strchr(options->host, ':') == NULL ? "%s" : "[%s]", options->host);
    server->loopback = host_is_loopback(host);
    *ret_server = server;
    return ST_OK;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    listener_free(TAKE_PTR(server->listener));
    close_all(server);
    assert(server->counters.connections_open == 0 && server->counters.exchanges_open == 0);
    assert(server->counters.bytes_held == 0);
    loop_timer_clear(server->loop, &server->drain_timer);
    loop_defer_cancel(server->loop, &server->drained_later);
    free(server);
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

bool http_server_is_loopback(const struct http_server *server)
{
    return server->loopback;
}

struct loop *http_server_loop(const struct http_server *server)
{
    return server->loop;
}

const struct http_counters *http_server_counters(const struct http_server *server)
{
    return &server->counters;
}

void http_server_route(struct http_server *server, const struct http_route *route)
{
    assert(server->route_count < HTTP_ROUTES_MAX);
    assert(route->path[0] == '/' && route->methods != 0);
    struct http_route *own = &server->routes[server->route_count++];
    *own = *route;
    if ((own->methods & HTTP_GET) != 0)
        own->methods |= HTTP_HEAD;
}

void http_server_drain(struct http_server *server, void (*drained)(void *context), void *context)
{
    assert(!server->draining);
    listener_free(TAKE_PTR(server->listener));
    server->draining = true;
    server->drained = drained;
    server->drained_context = context;
    LIST_FOR_EACH (connection, &server->connections, struct http_connection, link)
        http_connection_leave(connection);
    for (size_t i = 0; i < server->route_count; i++) {
        if (server->routes[i].drain != NULL)
            server->routes[i].drain(server->routes[i].context);
    }
    loop_timer_set(server->loop, &server->drain_timer,
                   time_add(loop_now(server->loop), server->limits.drain_ns));
    if (list_empty(&server->connections))
        loop_defer(server->loop, &server->drained_later);
}

/* --- questions about a request --- */

static bool is_named(const struct http_header *header, const char *name)
{
    return header->name.size == strlen(name) &&
           strncasecmp((const char *)header->name.base, name, header->name.size) == 0;
}

struct bytes http_header_first(const struct http_exchange *exchange, const char *name)
{
    for (size_t i = 0; i < exchange->header_count; i++) {
        if (is_named(&exchange->headers[i], name))
            return exchange->headers[i].value;
    }
    return BYTES_EMPTY;
}

size_t http_header_count(const struct http_exchange *exchange, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < exchange->header_count; i++)
        count += is_named(&exchange->headers[i], name);
    return count;
}

bool http_header_single(const struct http_exchange *exchange, const char *name, struct bytes *ret_value)
{
    *ret_value = http_header_first(exchange, name);
    return http_header_count(exchange, name) <= 1;
}

static bool list_has_token(struct bytes list, const char *token)
{
    size_t size = strlen(token), at = 0;
    while (at < list.size) {
        while (at < list.size && (list.base[at] == ' ' || list.base[at] == '\t' || list.base[at] == ','))
            at++;
        size_t begin = at;
        while (at < list.size && strchr(" \t,;", list.base[at]) == NULL)
            at++;
        if (at - begin == size && strncasecmp((const char *)list.base + begin, token, size) == 0)
            return true;
        while (at < list.size && list.base[at] != ',')
            at++;
    }
    return false;
}

bool http_header_has_token(const struct http_exchange *exchange, const char *name, const char *token)
{
    for (size_t i = 0; i < exchange->header_count; i++) {
        if (is_named(&exchange->headers[i], name) && list_has_token(exchange->headers[i].value, token))
            return true;
    }
    return false;
}
