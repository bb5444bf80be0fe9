/* known.h: the business ids that may have a run, so that a surely new one needs no read of the store.
 *
 * Owns:    a filter that never forgets: "no" is certain, "maybe" is asked of the store. Ids are added when a run comes into
 *          memory, thus before anything of it can be durable; those of earlier processes by listing the runs once in the
 *          background, and until that is done everything is a maybe.
 * Thread:  the lane's.
 * Durable: no.
 * Limits:  KNOWN_SIZE_MAX bytes, about eleven million ids a lane. With more the filter is given up, and every unknown id is
 *          asked of the store.
 */
#ifndef SHARD_KNOWN_H
#define SHARD_KNOWN_H
#include "store/store.h"

#define KNOWN_SIZE_MAX     (16U << 20)
#define KNOWN_SEGMENTS_MAX 16

struct known_block; /* a cache line: one id sets a few bits of one block */
struct known {
    /* Each has twice the room of the one before. */
    struct known_block *segments[KNOWN_SEGMENTS_MAX];
    size_t              segment_count;
    size_t              blocks, room; /* of the last segment; ids that it still takes */
    size_t              size;
    bool                given_up;
};
void known_release(struct known *known);
/* By a hash of all that makes the id. */
void known_add(struct known *known, uint64_t hash);
/* False only if it was never added. */
bool known_may_have(const struct known *known, uint64_t hash);
#endif
