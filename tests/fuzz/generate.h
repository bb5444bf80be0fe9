/* generate.h: messages out of fuzz bytes: mostly what a client would say, with some of it changed.
 *
 * A message starts from what calls cannot do without (names, ids, tokens that are known) and then gets edits: a field by its
 * number of order, and a value that fits what the field is called. So a few bytes are a meaningful call, each byte changes
 * one thing, and every field of every message is within reach.
 *
 * Owns:    the pools: values that the server gave out, the newest replacing the oldest; released by pools_release.
 * Limits:  GENERATE_DEPTH_MAX levels; edits as the input says, at most 7 a message.
 */
#ifndef FUZZ_GENERATE_H
#define FUZZ_GENERATE_H
#include "base/buffer.h"
#include "codec/pb.h"
#include "fuzz.h"

#define GENERATE_DEPTH_MAX 7
#define POOL_MAX           8

struct pool {
    struct buffer values[POOL_MAX];
    size_t        taken; /* of all times */
};
struct pools {
    struct pool run_ids, task_tokens, page_tokens;
    int64_t     now;   /* wall ns */
    size_t      bytes; /* of what is generated, at most */
};
void pools_release(struct pools *pools);
void pool_add(struct pool *pool, struct bytes value);

/* Appends the encoded message. */
void generate(struct fuzz_input *input, struct pools *pools, const struct pb_message *message,
              struct buffer *to);
/* Takes tokens and run ids out of an encoded message. */
void harvest(struct pools *pools, const struct pb_message *message, struct bytes wire);
#endif
