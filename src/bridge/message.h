/* message.h: what clients of the gateway have in common: headers of a request, and the events of an answer.
 *
 * Owns:    a list of headers is the caller's (curl.slist_free_all); a message_stream its unread bytes.
 * Thread:  the caller's.
 * Limits:  MESSAGE_ANSWER_MAX of one message, on which message_stream_take says false.
 */
#ifndef BRIDGE_MESSAGE_H
#define BRIDGE_MESSAGE_H
#include "base/buffer.h"
#include "outbound/curl_library.h"

#define MESSAGE_ANSWER_MAX ((size_t)8 << 20)
#define HEADER_ATTEMPT     "Perdure-Attempt-Id" /* as in mcp/gateway.h */
#define META_VERSION       "io.modelcontextprotocol/protocolVersion"

/* Each appends to the list and gives it back. */
struct curl_slist *message_header(struct curl_slist *headers, const char *name, const char *value);
/* Mcp-Name; what a header cannot carry as it is goes in base64, marked as such. */
struct curl_slist *message_name_header(struct curl_slist *headers, const char *value);
struct curl_slist *message_bearer_header(struct curl_slist *headers, const char *token); /* NULL: none */

/* An answer as it comes: a body, or a stream of events. */
struct message_stream {
    /* Each event's data; of a body the whole, at message_stream_end. */
    void (*message)(void *context, struct bytes text);
    void         *context;
    bool          begun, is_stream;
    struct buffer rest; /* a body, or of a stream what is after the last whole line */
    struct buffer data; /* of the event that is being read */
};
/* Forgets what was read: the next answer begins. */
void message_stream_clear(struct message_stream *stream);
void message_stream_release(struct message_stream *stream);
/* `easy` says of what type the answer is. */
bool message_stream_take(struct message_stream *stream, CURL *easy, struct bytes piece) MUST_USE;
/* The transfer has ended well. */
void message_stream_end(struct message_stream *stream);
#endif
