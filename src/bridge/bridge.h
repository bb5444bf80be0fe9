/* bridge.h: `perdure mcp stdio`: an MCP host that speaks by stdin and stdout, and a server that speaks HTTP.
 *
 * Each line of stdin is posted; what comes back is a line of stdout. A request is kept until it has its answer: when the server
 * goes away meanwhile it is posted again, as the same attempt (HEADER_ATTEMPT), so that a restart of the server is no more than
 * a pause to the host. The end of stdin ends the bridge; what was begun goes on in the server.
 *
 * Owns:   stdin and stdout, one thread.
 * Limits: BRIDGE_LINE_MAX bytes a message, BRIDGE_REQUESTS_MAX requests under way.
 */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

#define GATEWAY_URL         "http://127.0.0.1:8233/mcp" /* of a server with its default address */
#define BRIDGE_LINE_MAX     ((size_t)4 << 20)
#define BRIDGE_REQUESTS_MAX 1000

/* argv is what follows "mcp stdio". Returns the exit code: 0 stdin ended, 1 it could not begin, 2 the command line is wrong. */
int  bridge_main(int argc, char **argv);
void bridge_print_summary(void);
/* The chapter of docs/reference/cli.md. */
void bridge_print_reference(void);
#endif
