/* web.h: the HTTP/1.1 side port: liveness, readiness, a page that says what this is, and the routes of others (the MCP gateway).
 *
 * Owns:    one thread with a loop of its own and the HTTP server on it (http.h), so that neither a slow browser nor a busy
 *          lane waits for the other.
 * Thread:  web_new, web_start, web_stop and web_free on one thread, not at once. `ready` and all handlers run on the web's own.
 * Order:   web_new (listens, so whoever comes waits in the backlog) · routes by http_server_route(web_http(web), …), and what they
 *          need on its loop · web_start · … · web_stop (drains: streams get a last word; on_close for what is left) · those who
 *          registered routes are freed · web_free.
 * Serves:  GET and HEAD of /healthz, /readyz, / and its style sheet; nothing here reads or changes a workflow.
 * Limits:  struct http_limits; 4 KiB of body (ignored) on the pages.
 * Safety:  while bound to loopback only requests whose Host is a name of the loopback are answered: a page of somebody
 *          else's, whose name was pointed at 127.0.0.1, gets 403 and learns nothing.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H
#include "base/base.h"
#include "web/http.h"

struct web_options {
    const char *address;      /* HOST:PORT; port 0 takes a free one */
    const char *grpc_address; /* said on the page; copied */
    const char *version;      /* said on the page; copied */
    /* Whether work is accepted right now. On the web's thread, so it must be thread-safe and must not block. NULL: yes. */
    bool (*ready)(void *context);
    void              *context;
    struct http_limits limits;
};
struct web;
/* Listens when it returns ST_OK. INVALID_ARGUMENT for an address that is none, UNAVAILABLE when it cannot be had. */
enum status web_new(const struct web_options *options, struct web **ret_web, struct error *error) MUST_USE;
struct http_server *web_http(struct web *web);
uint16_t            web_port(const struct web *web);
/* Another address on the same thread, with routes of its own and none of the pages; once, before web_start. Errors as web_new's. */
enum status web_listen(struct web *web, const char *address, struct http_server **ret_http,
                       struct error *error) MUST_USE;
/* A part of the landing page, printed on the web's thread whenever somebody asks for it; set before web_start. What is printed is HTML. */
void web_page_section(struct web *web, void (*print)(void *context, struct buffer *html), void *context);
/* Asked by /readyz where `ready` says yes; answers the exchange, now or later, on the web's thread. Before web_start. */
void web_ready_check(struct web *web, void (*check)(void *context, struct http_exchange *exchange),
                     void       *context);
/* From here on the web's thread serves. */
enum status web_start(struct web *web, struct error *error) MUST_USE;
/* Ends the thread, after at most limits.drain_ns. Its loop and server stay until web_free. NULL is fine, and so is a web that was not
 * started or was stopped. */
void web_stop(struct web *web);
/* Stops it when it runs. NULL is fine. */
void web_free(struct web *web);
#endif
