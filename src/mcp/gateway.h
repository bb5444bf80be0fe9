/* gateway.h: MCP on an HTTP server: /mcp for all toolsets, /mcp/NAME for one.
 *
 * Two generations of the protocol are served at the same paths. 2026-07-28: each request stands alone. 2025-03-26 to 2025-11-25:
 * there is a session, but it is a sealed token that says all there is to know, so none is kept and none dies with the server.
 * What a request waits for is a run (run.h): the request may go, the run goes on.
 *
 * Owns:    the requests that are under way, and nothing that outlives them.
 * Thread:  the loop's; gateway_new and gateway_free also when it does not run.
 * Survives a crash: nothing here. Task ids, sessions, requestState and event ids are sealed with a durable key (seal.h).
 * Limits:  GATEWAY_REQUESTS_MAX requests under way, the sizes of json.h, the rates and counts of the configuration.
 */
#ifndef MCP_GATEWAY_H
#define MCP_GATEWAY_H
#include "base/local_call.h"
#include "mcp/config.h"
#include "mcp/seal.h"
#include "web/http.h"

#define GATEWAY_REQUESTS_MAX 20000 /* listening streams among them */
#define GATEWAY_BODY_MAX     ((size_t)4 << 20)

/* A UUID that names a call and its repetitions, which then happen once: what `perdure mcp stdio` and others who ask again send. */
#define HEADER_ATTEMPT "Perdure-Attempt-Id"

struct gateway;
struct gateway_options {
    struct loop        *loop;
    struct local_client client;
    const struct seal  *seal;        /* borrowed */
    const char         *config_path; /* mcp.json */
    const char         *version;     /* of the server, as told to clients */
    /* Called with each catalog that comes into force, on the loop's thread, first from within gateway_new. May be NULL. */
    config_changed *changed;
    void           *changed_context;
};
/* INVALID_ARGUMENT: the configuration cannot be read; the words say where. */
enum status gateway_new(const struct gateway_options *options, struct gateway **ret_gateway,
                        struct error *error) MUST_USE;
/* Adds the paths to a server. INVALID_ARGUMENT: without tokens it may only be reached by the loopback. */
enum status gateway_serve(struct gateway *gateway, struct http_server *http, struct error *error) MUST_USE;
/* Looks at the configuration now. */
void gateway_reload(struct gateway *gateway);
/* A toolset was applied or deleted through the API. */
void gateway_registry_changed(struct gateway *gateway);
/* A part of a page for people: where tools are, and (where nobody has to show a token) which. On the loop's thread. */
void gateway_print_page(void *gateway, struct buffer *to);
/* Requests that are under way are forgotten; whoever closes their exchanges does it before. NULL is fine. */
void gateway_free(struct gateway *gateway);
#endif
