/* rows.h: what the runtime's rows mean: their keys, the bodies of messages, and the fold of a run's rows.
 *
 * The runtime writes and reads rows by these, and so does whoever checks a store without a runtime. Pure functions of bytes;
 * results lie in the arena or in what was given. Bytes from the disk may be anything: they are answered with false or DATA_LOSS.
 */
#ifndef SHARD_ROWS_H
#define SHARD_ROWS_H
#include "base/buffer.h"
#include "shard/entity.h"

#define ROW_NUMBER_SIZE 8
/* A number within a key or state: big-endian, so that keys are in its order. Answers what is behind it. */
uint8_t *row_put_number(uint8_t *at, int64_t number);
int64_t  row_number_at(const uint8_t *at);

#define SHARD_COUNT       4096
#define SHARD_RANGE_COUNT 64
/* Of a workflow id, 0 to SHARD_RANGE_COUNT - 1: what links go between, and what lanes own. */
int32_t runtime_range(int64_t namespace_number, struct bytes business_id);

/* --- rows of the runtime's own kinds --- */

/* ENTITY_CLOCK: lane (one byte) -> how far time had come, and the last number that may have been given. */
#define CLOCK_KEY_SIZE   1
#define CLOCK_STATE_SIZE (2 * ROW_NUMBER_SIZE)
/* ENTITY_BRANCH_USE: branch, run -> the last event of the branch that the run's history begins with. */
#define BRANCH_USE_KEY_SIZE (2 * ROW_NUMBER_SIZE)
struct bytes branch_use_key(struct arena *arena, store_number branch, store_number run);
/* ENTITY_DELETION: range (one byte), run -> the branches whose transitions may have to go; the last one is the run's own. */
#define DELETION_KEY_SIZE (1 + ROW_NUMBER_SIZE)
struct bytes deletion_key(struct arena *arena, int32_t range, store_number run);

/* --- bodies of outbox rows --- */

struct bytes message_pack(struct arena *arena, const struct entity_message *message);
/* Slices point into the body. */
bool message_unpack(struct bytes body, struct entity_message *ret_message);

/* --- states --- */

/* What a row's snapshot begins with; the kind's own bytes are behind it. */
void        snapshot_begin(struct buffer *to, int64_t next_event_id);
enum status snapshot_open(struct bytes snapshot, struct bytes *ret_state, int64_t *ret_next_event_id,
                          struct error *error) MUST_USE;

/* Folding rows one after the other, up to an event. */
struct row_fold {
    const struct entity_kind *kind;
    void                     *state;
    int64_t                   row_number, next_event_id;
    int64_t       end_event_id; /* what begins here or later is not folded; INT64_MAX: everything is */
    bool          is_torn;      /* a transition goes beyond end_event_id: it was left out as a whole */
    struct bytes *rest;         /* events of the last row that were not folded; in the arena */
    size_t        rest_count;
};
enum status fold_row(struct row_fold *fold, const struct store_transition *row, struct arena *arena,
                     struct error *error) MUST_USE;
#endif
