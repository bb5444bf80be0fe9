/* server.h: the whole server: start order, lanes' threads, stop order.
 *
 * Start:   store, runtime, lanes' threads, namespaces, and only then the listeners: who can connect is served.
 * Stop:    listeners, GOAWAY and empty answers to long polls, running calls, lanes, store: nothing acknowledged is open.
 * Thread:  server_new, server_run and server_free on the main thread; one thread per lane inside.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H
#include "server/options.h"

struct server;
enum status server_new(const struct options *options, struct server **ret_server,
                       struct error *error) MUST_USE;
/* Prints the ready line, then waits for SIGTERM or SIGINT and drains. A second signal ends the wait at once. The signals
 * must be blocked in every thread before server_new. */
void server_run(struct server *server);
void server_free(struct server *server);
#endif
