/* local_call.h: a call of the API from within the process: what the gateway sends, and whoever brings it to a lane (src/server in
 * the server, a script in tests). The same checks, limits and promises hold as for a call that came by a connection.
 *
 * Owns:    nothing: the request's slices may go as soon as `send` has returned; the struct is the caller's and lives until `done`
 *          or a cancel; the answer's slices live for as long as `done` runs.
 * Thread:  the client's, from send to done.
 * Ends:    `done` is called exactly once, later than send and never from inside it; not at all after a cancel.
 * Limits:  so many at once as the client was made for; past it the answer is RESOURCE_EXHAUSTED.
 */
#ifndef BASE_LOCAL_CALL_H
#define BASE_LOCAL_CALL_H
#include "base/base.h"

struct local_call {
    /* in */
    struct bytes path;        /* "/package.Service/Method" */
    struct bytes request;     /* the encoded message */
    int64_t      deadline_ns; /* monotonic; TIME_NEVER: none. The answer after it is DEADLINE_EXCEEDED */
    void (*done)(struct local_call *call);
    /* out: error.code is ST_OK, or says that there is no answer; UNAVAILABLE when the server goes down */
    struct bytes answer;
    struct error error;
    void        *transit; /* the client's */
};
struct local_client {
    void (*send)(void *context, struct local_call *call);
    /* `done` will not be called; what waits in the server is given up, what was decided there stays. Only for one that is under way. */
    void (*cancel)(void *context, struct local_call *call);
    void *context;
};
#endif
