/* outbound.h: HTTP requests out of the server: one client per lane, by libcurl's multi interface on the lane's loop.
 *
 * Owns:    connections to other servers (kept open for reuse), and the transfers under way.
 * Thread:  the loop's. Names are resolved on threads of libcurl, so nothing here blocks.
 * Limits:  how many at once is the caller's affair; every request has a timeout; redirects are not followed, so that nothing
 *          leads to where the caller did not look.
 */
#ifndef OUTBOUND_OUTBOUND_H
#define OUTBOUND_OUTBOUND_H
#include "base/outbound.h"
#include "io/loop.h"

struct outbound_client;
/* Loads libcurl, which the first request does otherwise: UNAVAILABLE says what is missing. */
enum status             outbound_prepare(struct error *error) MUST_USE;
struct outbound_client *outbound_client_new(struct loop *loop);
/* What is under way ends without an answer. NULL is fine. */
void outbound_client_free(struct outbound_client *client);
void outbound_client_send(struct outbound_client *client, struct outbound *outbound);
void outbound_client_cancel(struct outbound_client *client, struct outbound *outbound);
#endif
