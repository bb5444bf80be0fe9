/* web.c: the pages, and a thread with a loop for them and for whoever registers routes. */
#include "web/web.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "io/listener.h"
#include "web/web_internal.h"

#define BODY_SIZE_MAX 4096 /* of pages, who ignore it */

struct web {
    struct loop        *loop;
    struct http_server *http;
    struct http_server *other;    /* web_listen's; NULL: none */
    size_t              draining; /* servers that are not done yet */
    struct http_limits  limits;
    struct buffer       landing;
    struct message      leave; /* tells the thread to end */
    pthread_t           thread;
    bool                running;
    bool (*ready)(void *context);
    void *context;
    void (*print)(void *context, struct buffer *html);
    void *print_context;
    void (*check)(void *context, struct http_exchange *exchange);
    void *check_context;
};

static void serve_health(void *context UNUSED, struct http_exchange *exchange)
{
    http_answer_text(exchange, 200, "ok");
}

static void serve_readiness(void *context, struct http_exchange *exchange)
{
    struct web *web = context;
    if (web->ready != NULL && !web->ready(web->context))
        http_answer_text(exchange, 503, "not ready");
    else if (web->check != NULL)
        web->check(web->check_context, exchange);
    else
        http_answer_text(exchange, 200, "ok");
}

static void serve_style(void *context UNUSED, struct http_exchange *exchange)
{
    http_answer_page(exchange, "text/css; charset=utf-8", bytes_of_text(page_style));
}

static void serve_landing(void *context, struct http_exchange *exchange)
{
    struct web                           *web = context;
    CLEANUP(buffer_release) struct buffer page = { 0 };
    buffer_append(&page, buffer_bytes(&web->landing));
    if (web->print != NULL)
        web->print(web->print_context, &page);
    buffer_append_text(&page, page_end);
    http_answer_page(exchange, "text/html; charset=utf-8", buffer_bytes(&page));
}

static const struct {
    const char *path;
    void (*serve)(void *context, struct http_exchange *exchange);
} pages[] = {
    { "/", serve_landing },
    { "/healthz", serve_health },
    { "/readyz", serve_readiness },
    { "/style.css", serve_style },
};

static void *web_main(void *context)
{
    struct web *web = context;
    loop_run(web->loop);
    return NULL;
}

enum status web_new(const struct web_options *options, struct web **ret_web, struct error *error)
{
    char     host[256];
    uint16_t port;
    if (!address_parse(options->address, host, sizeof host, &port))
        return error_set(error, ST_INVALID_ARGUMENT, "%s is not HOST:PORT", options->address);
    struct loop *loop = loop_new(&(struct loop_options){ 0 });
    if (loop == NULL)
        return error_set(error, ST_UNAVAILABLE, "HTTP: no event loop: %s", strerror(errno));
    struct web *web = xcalloc(1, sizeof *web);
    web->loop = loop;
    web->ready = options->ready;
    web->context = options->context;
    web->limits = options->limits;
    page_print_landing(&web->landing, options->version, options->grpc_address);
    struct http_server_options http = { .loop = loop, .host = host, .port = port, .limits = options->limits };
    enum status                status = http_server_new(&http, &web->http, error);
    if (status != ST_OK) {
        web_free(web);
        return status;
    }
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++)
        http_server_route(web->http, &(struct http_route){ .path = pages[i].path,
                                                           .methods = HTTP_GET,
                                                           .body_size_max = BODY_SIZE_MAX,
                                                           .handle = pages[i].serve,
                                                           .context = web });
    *ret_web = web;
    return ST_OK;
}

struct http_server *web_http(struct web *web)
{
    return web->http;
}

enum status web_listen(struct web *web, const char *address, struct http_server **ret_http,
                       struct error *error)
{
    char     host[256];
    uint16_t port;
    assert(web->other == NULL && !web->running);
    if (!address_parse(address, host, sizeof host, &port))
        return error_set(error, ST_INVALID_ARGUMENT, "%s is not HOST:PORT", address);
    struct http_server_options http = {
        .loop = web->loop, .host = host, .port = port, .limits = web->limits
    };
    enum status status = http_server_new(&http, &web->other, error);
    if (status == ST_OK)
        *ret_http = web->other;
    return status;
}

void web_page_section(struct web *web, void (*print)(void *context, struct buffer *html), void *context)
{
    web->print = print;
    web->print_context = context;
}

void web_ready_check(struct web *web, void (*check)(void *context, struct http_exchange *exchange),
                     void       *context)
{
    web->check = check;
    web->check_context = context;
}

uint16_t web_port(const struct web *web)
{
    return http_server_port(web->http);
}

enum status web_start(struct web *web, struct error *error)
{
    assert(!web->running);
    if (pthread_create(&web->thread, NULL, web_main, web) != 0)
        return error_set(error, ST_UNAVAILABLE, "HTTP: no thread");
    web->running = true;
    return ST_OK;
}

static void drained(void *context)
{
    struct web *web = context;
    assert(web->draining > 0);
    if (--web->draining == 0)
        loop_stop(web->loop);
}

static void leave(struct message *message)
{
    struct web *web = CONTAINER_OF(message, struct web, leave);
    web->draining = web->other == NULL ? 1 : 2;
    http_server_drain(web->http, drained, web);
    if (web->other != NULL)
        http_server_drain(web->other, drained, web);
}

void web_stop(struct web *web)
{
    if (web == NULL || !web->running)
        return;
    web->leave.run = leave;
    mailbox_post(loop_mailbox(web->loop), &web->leave);
    pthread_join(web->thread, NULL);
    web->running = false;
}

void web_free(struct web *web)
{
    if (web == NULL)
        return;
    web_stop(web);
    http_server_free(web->http);
    http_server_free(web->other);
    loop_free(web->loop);
    buffer_release(&web->landing);
    free(web);
}
