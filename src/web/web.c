/* web.c: evhttp on a thread of its own. */
#include "web/web.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/listener.h"
#include "web/web_internal.h"

#define HEADERS_SIZE_MAX 8192
#define BODY_SIZE_MAX    4096
#define SILENCE_S        10
#define POLICY                                                                                               \
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct web {
    struct event_base          *base;
    struct evhttp              *http;
    struct evhttp_bound_socket *socket;
    struct event               *stop;   /* readable when web_free wants the thread to end */
    struct event               *resume; /* looks whether there is room for connections again */
    struct buffer               landing;
    pthread_t                   thread;
    int                         stop_fd;
    uint16_t                    port;
    bool                        loopback, running;
    bool (*ready)(void *context);
    void *context;
};

struct page {
    const char *path;
    void (*serve)(struct web *web, struct evhttp_request *request);
};

static void answer(struct evhttp_request *request, int code, const char *reason, const char *type,
                   struct bytes body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "Content-Security-Policy", POLICY);
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
    /* evhttp would send a body after HEAD too. */
    if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) {
        char size[24];
        snprintf(size, sizeof size, "%zu", body.size);
        evhttp_add_header(headers, "Content-Length", size);
    } else {
        evbuffer_add(evhttp_request_get_output_buffer(request), body.base, body.size);
    }
    evhttp_send_reply(request, code, reason, NULL);
}

static void answer_text(struct evhttp_request *request, int code, const char *reason, const char *text)
{
    answer(request, code, reason, "text/plain; charset=utf-8", bytes_of_text(text));
}

static void serve_health(struct web *web UNUSED, struct evhttp_request *request)
{
    answer_text(request, HTTP_OK, "OK", "ok\n");
}

static void serve_readiness(struct web *web, struct evhttp_request *request)
{
    if (web->ready == NULL || web->ready(web->context))
        answer_text(request, HTTP_OK, "OK", "ok\n");
    else
        answer_text(request, HTTP_SERVUNAVAIL, "Service Unavailable", "not ready\n");
}

static void serve_style(struct web *web UNUSED, struct evhttp_request *request)
{
    answer(request, HTTP_OK, "OK", "text/css; charset=utf-8", bytes_of_text(page_style));
}

static void serve_landing(struct web *web, struct evhttp_request *request)
{
    answer(request, HTTP_OK, "OK", "text/html; charset=utf-8", buffer_bytes(&web->landing));
}

static const struct page pages[] = {
    { "/", serve_landing },
    { "/healthz", serve_health },
    { "/readyz", serve_readiness },
    { "/style.css", serve_style },
};

static void requested(struct evhttp_request *request, void *context)
{
    struct web              *web = context;
    enum evhttp_cmd_type     method = evhttp_request_get_command(request);
    const char              *host = evhttp_request_get_host(request);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char              *path = uri == NULL ? NULL : evhttp_uri_get_path(uri);
    /* A browser always says whom it means to talk to; who says nothing (a prober of HTTP/1.0) is no browser. */
    if (web->loopback && host != NULL && !host_is_loopback(host)) {
        answer_text(request, 403, "Forbidden", "this port answers to names of the loopback only\n");
        return;
    }
    if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
        evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
        answer_text(request, HTTP_BADMETHOD, "Method Not Allowed", "GET or HEAD only\n");
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++) {
        if (path != NULL && strcmp(path, pages[i].path) == 0) {
            pages[i].serve(web, request);
            return;
        }
    }
    answer_text(request, HTTP_NOTFOUND, "Not Found", "there is nothing here; see /\n");
}

/* evhttp does not count its connections, but each has at least one event in the base, which libevent counts once more
 * for its timeout. */
static bool has_room(struct web *web)
{
    return event_base_get_num_events(web->base, EVENT_BASE_COUNT_ADDED) < 2 * WEB_CONNECTIONS_MAX;
}

/* Called for each accepted connection; NULL lets evhttp make its own. Without room accepting rests. */
static struct bufferevent *accepted(struct event_base *base UNUSED, void *context)
{
    static const struct timeval soon = { .tv_usec = 50000 };
    struct web                 *web = context;
    if (!has_room(web)) {
        evconnlistener_disable(evhttp_bound_socket_get_listener(web->socket));
        event_add(web->resume, &soon);
    }
    return NULL;
}

static void resume(evutil_socket_t fd UNUSED, short what UNUSED, void *context)
{
    static const struct timeval soon = { .tv_usec = 50000 };
    struct web                 *web = context;
    if (has_room(web))
        evconnlistener_enable(evhttp_bound_socket_get_listener(web->socket));
    else
        event_add(web->resume, &soon);
}

static void stop(evutil_socket_t fd UNUSED, short what UNUSED, void *context)
{
    struct web *web = context;
    event_base_loopbreak(web->base);
}

static void *web_main(void *context)
{
    struct web *web = context;
    event_base_dispatch(web->base);
    return NULL;
}

static void note_address(struct web *web)
{
    struct sockaddr_storage address = { 0 };
    socklen_t               size = sizeof address;
    if (getsockname(evhttp_bound_socket_get_fd(web->socket), (struct sockaddr *)&address, &size) != 0)
        return;
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&address;
        web->port = ntohs(four->sin_port);
        web->loopback = (ntohl(four->sin_addr.s_addr) >> 24) == 127;
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address;
        web->port = ntohs(six->sin6_port);
        web->loopback = memcmp(&six->sin6_addr, &in6addr_loopback, sizeof six->sin6_addr) == 0;
    }
}

/* One thread touches the base at a time (it is made before the thread and freed after it), so it needs no locks. */
static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static enum status start(struct web *web, const char *host, uint16_t port, struct error *error)
{
    web->base = new_base();
    web->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (web->base == NULL || web->stop_fd < 0)
        return error_set(error, ST_UNAVAILABLE, "HTTP: no event loop: %s", strerror(errno));
    web->http = evhttp_new(web->base);
    web->stop = event_new(web->base, web->stop_fd, EV_READ, stop, web);
    web->resume = evtimer_new(web->base, resume, web);
    if (web->http == NULL || web->stop == NULL || web->resume == NULL || event_add(web->stop, NULL) != 0)
        return error_set(error, ST_UNAVAILABLE, "HTTP: no memory for its server");
    evhttp_set_max_headers_size(web->http, HEADERS_SIZE_MAX);
    evhttp_set_max_body_size(web->http, BODY_SIZE_MAX);
    evhttp_set_timeout(web->http, SILENCE_S);
    evhttp_set_default_content_type(web->http, NULL);
    /* All that libevent knows, so that each of them gets the 405 of `requested` and not evhttp's own page. */
    evhttp_set_allowed_methods(web->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                              EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                              EVHTTP_REQ_TRACE | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(web->http, requested, web);
    evhttp_set_bevcb(web->http, accepted, web);
    errno = 0;
    web->socket = evhttp_bind_socket_with_handle(web->http, host, port);
    if (web->socket == NULL)
        return error_set(error, ST_UNAVAILABLE, "HTTP cannot listen on %s port %u: %s", host, port,
                         errno == 0 ? "the address cannot be resolved" : strerror(errno));
    note_address(web);
    if (pthread_create(&web->thread, NULL, web_main, web) != 0)
        return error_set(error, ST_UNAVAILABLE, "HTTP: no thread");
    web->running = true;
    return ST_OK;
}

enum status web_new(const struct web_options *options, struct web **ret_web, struct error *error)
{
    char     host[256];
    uint16_t port;
    if (!address_parse(options->address, host, sizeof host, &port))
        return error_set(error, ST_INVALID_ARGUMENT, "%s is not HOST:PORT", options->address);
    struct web *web = xcalloc(1, sizeof *web);
    web->stop_fd = -1;
    web->ready = options->ready;
    web->context = options->context;
    page_print_landing(&web->landing, options->version, options->grpc_address);
    enum status status = start(web, host, port, error);
    if (status != ST_OK) {
        web_free(web);
        return status;
    }
    assert(web->port != 0);
    *ret_web = web;
    return ST_OK;
}

uint16_t web_port(const struct web *web)
{
    return web->port;
}

void web_free(struct web *web)
{
    if (web == NULL)
        return;
    if (web->running) {
        uint64_t one = 1;
        if (write(web->stop_fd, &one, sizeof one) != sizeof one)
            panic("the web's thread cannot be told to stop: %s", strerror(errno));
        pthread_join(web->thread, NULL);
    }
    if (web->stop != NULL)
        event_free(web->stop);
    if (web->resume != NULL)
        event_free(web->resume);
    if (web->http != NULL)
        evhttp_free(web->http);
    if (web->base != NULL)
        event_base_free(web->base);
    if (web->stop_fd >= 0)
        close(web->stop_fd);
    buffer_release(&web->landing);
    free(web);
}
