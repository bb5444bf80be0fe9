/* known.c: a Bloom filter that grows by segments, each bit pattern within one cache line; and its background fill. */
#include "shard/known.h"
#include "base/mutant.h"

#include "base/buffer.h"
#include "base/hash.h"
#include "shard/shard_internal.h"

#define FIRST_BLOCKS  1024
#define BLOCK_IDS     42 /* 12 bits for each */
#define PROBES        6
#define FILL_ROWS     2000
#define FILL_RETRY_NS NS_PER_S

struct known_block {
    uint64_t words[8];
};

/* --- the filter --- */

void known_release(struct known *known)
{
    for (size_t i = 0; i < known->segment_count; i++)
        free(known->segments[i]);
    *known = (struct known){ .given_up = known->given_up };
}

static bool known_grow(struct known *known)
{
    size_t blocks = known->segment_count == 0 ? FIRST_BLOCKS : known->blocks * 2;
    size_t size = blocks * sizeof(struct known_block);
    if (known->segment_count == KNOWN_SEGMENTS_MAX || known->size + size > KNOWN_SIZE_MAX)
        return false;
    struct known_block *segment = aligned_alloc(sizeof(struct known_block), size);
    if (segment == NULL)
        return false;
    memset(segment, 0, size);
    known->segments[known->segment_count++] = segment;
    known->blocks = blocks;
    known->room = blocks * BLOCK_IDS;
    known->size += size;
    return true;
}

/* The bits of one id: the block from the upper half of the hash, the rest from a second one. */
static size_t block_of(uint64_t hash, size_t blocks)
{
    return (size_t)(hash >> 32) & (blocks - 1);
}

static bool block_has(const struct known_block *block, uint64_t bits)
{
    for (unsigned i = 0; i < PROBES; i++, bits >>= 9)
        if ((block->words[bits >> 6 & 7] >> (bits & 63) & 1) == 0)
            return false;
    return true;
}

bool known_may_have(const struct known *known, uint64_t hash)
{
    uint64_t bits = hash_u64(hash);
    size_t   blocks = FIRST_BLOCKS;
    if (known->given_up)
        return true;
    for (size_t i = 0; i < known->segment_count; i++, blocks *= 2)
        if (block_has(&known->segments[i][block_of(hash, blocks)], bits))
            return true;
    return false;
}

void known_add(struct known *known, uint64_t hash)
{
    if (known_may_have(known, hash))
        return;
    if (known->room == 0 && !known_grow(known)) {
        known->given_up = true;
        known_release(known);
        return;
    }
    known->room--;
    struct known_block *block = &known->segments[known->segment_count - 1][block_of(hash, known->blocks)];
    uint64_t            bits = hash_u64(hash);
    for (unsigned i = 0; i < PROBES; i++, bits >>= 9)
        block->words[bits >> 6 & 7] |= UINT64_C(1) << (bits & 63);
}

/* --- the fill: runs of earlier processes ---
 *
 * Pages of an index, each of its own moment, in the order of its keys: a run of an earlier process has been there all the
 * time, and one that is made meanwhile is added by whoever makes it. */

static void fill_answered(struct message *message);

struct known_fill {
    struct lane      *lane;
    struct arena      arena;
    struct store_read read;
    int64_t           namespace_number; /* the last row of the page before */
    struct buffer     workflow_id;
    store_number      number;
    int64_t           retry_at; /* monotonic; 0: not waiting */
    bool              reading;
};

static void fill_end(struct lane *lane, bool complete)
{
    struct known_fill *fill = TAKE_PTR(lane->known_fill);
    lane->known_complete = complete;
    arena_release(&fill->arena);
    buffer_release(&fill->workflow_id);
    free(fill);
}

static void fill_ask(struct known_fill *fill)
{
    fill->reading = true;
    fill->retry_at = 0;
    fill->read = (struct store_read){ .kind = STORE_READ_IDENTITIES,
                                      .namespace_number = fill->namespace_number,
                                      .workflow_id = buffer_bytes(&fill->workflow_id),
                                      .after = fill->number,
                                      .limit = FILL_ROWS,
                                      .arena = &fill->arena,
                                      .home = &fill->lane->mailbox,
                                      .message.run = fill_answered };
    store_read(fill->lane->runtime->options.store, &fill->read);
}

static void fill_rows(struct known_fill *fill)
{
    struct lane *lane = fill->lane;
    for (size_t i = 0; i < fill->read.identity_count; i++) {
        const struct store_identity *run = &fill->read.identities[i];
        if (runtime_owner(lane->runtime, run->namespace_number, run->workflow_id) == lane &&
            !(MUTANT(filter_misses_ids) && i % 2 == 1))
            known_add(&lane->known, chain_hash(ENTITY_WORKFLOW, run->namespace_number, run->workflow_id));
    }
}

static void fill_answered(struct message *message)
{
    struct known_fill *fill = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message),
                                           struct known_fill, read);
    struct lane       *lane = fill->lane;
    struct store_read *read = &fill->read;
    fill->reading = false;
    if (lane->known.given_up || lane->draining || lane->settling) {
        fill_end(lane, false);
        return;
    }
    if (read->status != ST_OK) {
        fill->retry_at = lane->monotonic + FILL_RETRY_NS;
        arena_reset(&fill->arena);
        return;
    }
    fill_rows(fill);
    if (!read->more || read->identity_count == 0) {
        fill_end(lane, true);
        return;
    }
    const struct store_identity *last = &read->identities[read->identity_count - 1];
    fill->namespace_number = last->namespace_number;
    fill->number = last->number;
    buffer_clear(&fill->workflow_id);
    buffer_append(&fill->workflow_id, last->workflow_id);
    arena_reset(&fill->arena);
    fill_ask(fill);
}

void known_begin(struct lane *lane)
{
    struct known_fill *fill = xcalloc(1, sizeof(*fill));
    fill->lane = lane;
    fill->namespace_number = INT64_MIN;
    arena_init(&fill->arena, SIZE_MAX);
    buffer_init(&fill->workflow_id);
    lane->known_fill = fill;
    fill->retry_at = 1; /* asked for by the first turn */
}

void known_turn(struct lane *lane)
{
    struct known_fill *fill = lane->known_fill;
    if (fill == NULL || fill->reading || lane->monotonic < fill->retry_at)
        return;
    if (lane->draining || lane->settling)
        fill_end(lane, false);
    else
        fill_ask(fill);
}

bool known_is_reading(const struct lane *lane)
{
    return lane->known_fill != NULL && lane->known_fill->reading;
}

bool known_surely_new(const struct lane *lane, const struct chain *chain)
{
    return lane->known_complete && chain->kind == ENTITY_WORKFLOW &&
           !known_may_have(&lane->known, chain->by_key.hash);
}

/* Somebody else may have made runs: nothing is certain any more. */
void known_forget(struct lane *lane)
{
    lane->known_complete = false;
    lane->known.given_up = true;
    known_release(&lane->known);
}

void known_free(struct lane *lane)
{
    if (lane->known_fill != NULL)
        fill_end(lane, false);
    known_release(&lane->known);
}
