/* bridge_internal.h: what lines and posts share. */
#ifndef BRIDGE_BRIDGE_INTERNAL_H
#define BRIDGE_BRIDGE_INTERNAL_H
#include <jansson.h>

#include "base/list.h"
#include "base/random.h"
#include "bridge/bridge.h"
#include "bridge/message.h"

/* What the server said last of itself, and what it was asked then: said again, while it is away, to a host that asks the same. */
#define GREETING_COUNT 2 /* initialize, server/discover */
struct greeting {
    json_t *params, *result; /* NULL: it said nothing yet */
};

struct bridge {
    const char   *url, *token; /* token NULL: none */
    int64_t       reconnect_ns;
    CURLM        *multi;
    struct list   posts;
    size_t        post_count;
    struct random random;
    struct buffer input;    /* of stdin, after the last whole line */
    bool          skipping; /* the rest of a line that was too long */
    bool          ended;    /* stdin has */
    bool          closed;   /* nobody reads stdout any more */
    /* Of a session of the older generation; NULL before it. */
    char *session, *version;
    json_t *
        initialize; /* the request that began it: begins it again when the server does not know it any more */
    bool            listening; /* for what the server says unasked */
    struct greeting greetings[GREETING_COUNT];
};

enum post_kind {
    POST_REQUEST,    /* ends with its answer */
    POST_MESSAGE,    /* a notification, or an answer to the server: ends when it was taken */
    POST_LISTEN,     /* a GET: what the server says unasked */
    POST_INITIALIZE, /* the session's beginning once more, of which the host hears nothing */
};
/* A message on its way, as often as it takes. */
struct post {
    struct list           link;
    struct bridge        *bridge;
    enum post_kind        kind;
    json_t               *message; /* NULL for a GET */
    char                 *body;
    CURL                 *easy; /* NULL while it waits to be sent again */
    struct curl_slist    *headers;
    struct message_stream answer;
    char                  attempt[UUID_TEXT_SIZE + 1];
    bool                  answered;                /* the host has its answer */
    bool                  gone;                    /* taken back by the host */
    int64_t               failing_since, again_at; /* monotonic; 0: all is well */
    int64_t               pause_ns;
};

/* --- post.c --- */
void post_new(struct bridge *bridge, enum post_kind kind, json_t *message);
void post_free(struct post *post);
/* The host does not wait for it any more. */
void post_cancel(struct bridge *bridge, const json_t *id);
/* Goes on with what is due and what libcurl has; the monotonic time when it wants to be called again. */
int64_t posts_turn(struct bridge *bridge);

/* --- bridge.c --- */
/* One message, whole, to the host: line breaks between its tokens become spaces. */
void bridge_say(struct bridge *bridge, struct bytes text);
void bridge_say_error(struct bridge *bridge, const json_t *id, int code, const char *words);
#endif
