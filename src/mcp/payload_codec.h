/* payload_codec.h: payloads that only the workers can read, by the codec server that their users run: POST ENDPOINT/encode and /decode with
 * {"payloads": [...]} in proto3 JSON and X-Namespace, as Temporal's web UI and command line ask it.
 *
 * What the gateway sends is encoded: arguments of workflows, signals, updates and queries, and the arguments that it keeps in a memo. Of what
 * it reads, those are decoded whose encoding it does not know itself. Search attributes and the rest of its memo stay readable.
 *
 * Owns:    its HTTP client and the messages under way. Thread: the loop's.
 * Ends:    `done` once, later than codec_apply and never from within it; not after codec_cancel.
 * Limits:  CODEC_MESSAGE_MAX bytes of an answer.
 */
#ifndef MCP_PAYLOAD_CODEC_H
#define MCP_PAYLOAD_CODEC_H
#include "base/buffer.h"
#include "codec/pb_schema.h"
#include "io/loop.h"

#define CODEC_MESSAGE_MAX ((size_t)16 << 20)

enum codec_direction { CODEC_ENCODE, CODEC_DECODE };
struct payload_codec;
/* UNAVAILABLE: there is no library for HTTP. `endpoint` is copied. */
enum status payload_codec_new(struct loop *loop, const char *endpoint, int64_t timeout_ns,
                              struct payload_codec **ret_codec, struct error *error) MUST_USE;
void        payload_codec_free(struct payload_codec *codec); /* nothing may be under way; NULL is fine */

struct codec_job;
/* The message with its payloads exchanged, borrowed; or what was wrong. */
typedef void codec_done(void *context, struct bytes message, const struct error *error);
/* NULL: there is nothing to exchange, so `message` may be used as it is, and `done` will not be called. */
struct codec_job *codec_apply(struct payload_codec *codec, enum codec_direction direction,
                              struct bytes namespace_name, const struct pb_message *type,
                              struct bytes message, codec_done *done, void *context);
void              codec_cancel(struct codec_job *job); /* NULL is fine */
#endif
