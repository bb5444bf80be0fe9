/* local_client.h: calls of the API from a thread of the process that is no lane, as if they had come by a connection.
 *
 * Each call goes to a lane (one after the other in turn), whose mailbox carries it there; the answer comes back by mailbox to the
 * client's loop. An answer never waits for the client, and a lane never does.
 *
 * Owns:    the calls under way (struct transit), from send until the lane has answered and knows of a cancel.
 * Thread:  made, used and closed on the loop's thread; local_client_free on any, when no lane runs any more. Within, `call` and what
 *          it calls run on the lane's thread.
 * Ends:    local_client_close, before the loop dies: every call that is under way ends UNAVAILABLE, and what the lanes still answer
 *          comes to nothing. What is sent later is never answered.
 * Limits:  calls_max at once; each decodes within LOCAL_CALL_ARENA_MAX.
 */
#ifndef SERVER_LOCAL_CLIENT_H
#define SERVER_LOCAL_CLIENT_H
#include "base/buffer.h"
#include "base/call.h"
#include "base/limits.h"
#include "base/local_call.h"
#include "io/loop.h"

#define LOCAL_CALL_ARENA_MAX (64U << 20)

struct local_lane {
    struct mailbox *mailbox; /* of the loop that runs the lane */
    /* On the lane's thread. */
    void (*call)(void *context, struct call *call);
    void *context;
    void *home; /* as in struct call */
};
struct local_client_options {
    struct loop             *loop;
    const struct local_lane *lanes; /* copied */
    size_t                   lane_count;
    size_t                   calls_max;
    const char *client_name, *client_version; /* which the api is told; live as long as the client */
};
struct local_server_client;
struct local_server_client *local_client_new(const struct local_client_options *options);
struct local_client         local_client_face(struct local_server_client *client);
void                        local_client_close(struct local_server_client *client);
void                        local_client_free(struct local_server_client *client);        /* NULL is fine */
size_t                      local_client_count(const struct local_server_client *client); /* under way */
#endif
