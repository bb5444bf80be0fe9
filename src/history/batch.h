/* batch.h: the bytes of a stored transition: events as (varint size, bytes) each, and their checksum.
 *
 * Owns nothing; works on slices. A cut inside a row (a page that ends there, a reset's fork point) is a walk over sizes.
 * Limits: an event is at most BATCH_EVENT_SIZE_MAX bytes; what claims more is damaged.
 */
#ifndef HISTORY_BATCH_H
#define HISTORY_BATCH_H
#include "base/arena.h"
#include "base/buffer.h"
#include "store/store.h"

#define BATCH_EVENT_SIZE_MAX (64U << 20)

/* Appends events to what a row holds. */
void batch_pack(struct buffer *to, const struct bytes *events, size_t count);
/* The checksum of a row: over its events, then its delta. */
uint32_t batch_checksum(struct bytes events, struct bytes delta);

/* A walk over packed events. */
struct batch_cursor {
    struct bytes rest;
};
static inline struct batch_cursor batch_begin(struct bytes packed)
{
    return (struct batch_cursor){ packed };
}
/* The next event, which points into the row. ST_OK with *ret_more false at the end; DATA_LOSS when sizes do not fit. */
enum status batch_next(struct batch_cursor *cursor, struct bytes *ret_event, bool *ret_more,
                       struct error *error) MUST_USE;

/* All of a row: verifies checksum and count. The slices point into the row's bytes; the array is in the arena. */
enum status batch_unpack(const struct store_transition *row, struct arena *arena, struct bytes **ret_events,
                         size_t *ret_count, struct error *error) MUST_USE;
#endif
