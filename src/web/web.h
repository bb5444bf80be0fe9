/* web.h: the HTTP/1.1 side port: liveness, readiness and a page that says what this is.
 *
 * Owns:    its listening socket, its connections, and one thread with an event base of its own, so that neither a slow
 *          browser nor a busy lane waits for the other.
 * Thread:  web_new and web_free on one thread, not at once. `ready` is called on the web's own thread.
 * Serves:  GET and HEAD of /healthz, /readyz, / and its style sheet; nothing here reads or changes a workflow.
 * Limits:  WEB_CONNECTIONS_MAX open connections (more wait in the kernel's backlog), 8 KiB of headers, 4 KiB of body
 *          (ignored), 10 s without a byte.
 * Safety:  while bound to loopback only requests whose Host is a name of the loopback are answered: a page of somebody
 *          else's, whose name was pointed at 127.0.0.1, gets 403 and learns nothing.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H
#include "base/base.h"

#define WEB_CONNECTIONS_MAX 256

struct web_options {
    const char *address;      /* HOST:PORT; port 0 takes a free one */
    const char *grpc_address; /* said on the page; copied */
    const char *version;      /* said on the page; copied */
    /* Whether work is accepted right now. On the web's thread, so it must be thread-safe and must not block. NULL: yes. */
    bool (*ready)(void *context);
    void *context;
};
struct web;
/* Serves when it returns ST_OK. INVALID_ARGUMENT for an address that is none, UNAVAILABLE when it cannot be had. */
enum status web_new(const struct web_options *options, struct web **ret_web, struct error *error) MUST_USE;
uint16_t    web_port(const struct web *web);
/* Closes every connection and ends the thread. NULL is fine. */
void web_free(struct web *web);
#endif
