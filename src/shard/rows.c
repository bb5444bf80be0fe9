/* rows.c: what the runtime's rows mean. */
#include "shard/rows.h"

#include "base/hash.h"
#include "history/batch.h"

#define SNAPSHOT_VERSION 1

/* Shard = hash(namespace, business id), never run id: all runs of a workflow id are one lane's affair. */
int32_t runtime_range(int64_t namespace_number, struct bytes business_id)
{
    uint64_t hash = hash_combine(hash_u64((uint64_t)namespace_number), hash_stable(business_id));
    uint32_t shard = (uint32_t)(hash % SHARD_COUNT);
    return (int32_t)(shard / (SHARD_COUNT / SHARD_RANGE_COUNT));
}

/* --- keys --- */

uint8_t *row_put_number(uint8_t *at, int64_t number)
{
    for (int i = 0; i < ROW_NUMBER_SIZE; i++)
        *at++ = (uint8_t)((uint64_t)number >> (56 - 8 * i));
    return at;
}

int64_t row_number_at(const uint8_t *at)
{
    uint64_t number = 0;
    for (int i = 0; i < ROW_NUMBER_SIZE; i++)
        number = number << 8 | at[i];
    return (int64_t)number;
}

struct bytes entity_row_key(int64_t namespace_number, struct bytes business_id, struct arena *arena)
{
    uint8_t *key = arena_must(arena_alloc(arena, 8 + business_id.size));
    row_put_number(key, namespace_number);
    if (business_id.size != 0)
        memcpy(key + 8, business_id.base, business_id.size);
    return bytes_of(key, 8 + business_id.size);
}

struct bytes branch_use_key(struct arena *arena, store_number branch, store_number run)
{
    uint8_t *key = arena_must(arena_alloc(arena, BRANCH_USE_KEY_SIZE));
    row_put_number(row_put_number(key, branch), run);
    return bytes_of(key, BRANCH_USE_KEY_SIZE);
}

struct bytes deletion_key(struct arena *arena, int32_t range, store_number run)
{
    uint8_t *key = arena_must(arena_alloc(arena, DELETION_KEY_SIZE));
    key[0] = (uint8_t)range;
    row_put_number(key + 1, run);
    return bytes_of(key, DELETION_KEY_SIZE);
}

/* --- the body of an outbox row: whom, and what --- */

/* Little-endian, as it stays on the disk. */
static uint8_t *put(uint8_t *at, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint64_t get(const uint8_t *at, int size)
{
    uint64_t value = 0;
    for (int i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* kind (its highest bit: to a run), size of the business id, namespace; then the run id, if any, the business id, the body */
#define BODY_HEAD   16
#define BODY_TO_RUN (UINT32_C(1) << 31)

static uint8_t *put_bytes(uint8_t *at, const void *base, size_t size)
{
    if (size != 0)
        memcpy(at, base, size);
    return at + size;
}

struct bytes message_pack(struct arena *arena, const struct entity_message *message)
{
    size_t   run_size = message->has_run_id ? sizeof(message->run_id.byte) : 0;
    size_t   size = BODY_HEAD + run_size + message->business_id.size + message->body.size;
    uint8_t *base = arena_must(arena_alloc(arena, size));
    uint32_t kind = (uint32_t)message->kind | (message->has_run_id ? BODY_TO_RUN : 0);
    uint8_t *at = put(put(put(base, kind, 4), message->business_id.size, 4),
                      (uint64_t)message->namespace_number, 8);
    at = put_bytes(at, message->run_id.byte, run_size);
    at = put_bytes(at, message->business_id.base, message->business_id.size);
    at = put_bytes(at, message->body.base, message->body.size);
    assert(at == base + size);
    return bytes_of(base, size);
}

bool message_unpack(struct bytes body, struct entity_message *ret_message)
{
    if (body.size < BODY_HEAD)
        return false;
    uint32_t kind = (uint32_t)get(body.base, 4);
    size_t   id_size = (size_t)get(body.base + 4, 4);
    size_t   run_size = (kind & BODY_TO_RUN) != 0 ? sizeof(ret_message->run_id.byte) : 0;
    if (body.size - BODY_HEAD < run_size || body.size - BODY_HEAD - run_size < id_size)
        return false;
    const uint8_t *at = body.base + BODY_HEAD + run_size;
    *ret_message = (struct entity_message){
        .kind = (enum entity_kind_id)(kind & ~BODY_TO_RUN),
        .namespace_number = (int64_t)get(body.base + 8, 8),
        .has_run_id = run_size != 0,
        .business_id = bytes_of(at, id_size),
        .body = bytes_of(at + id_size, body.size - BODY_HEAD - run_size - id_size),
    };
    memcpy(ret_message->run_id.byte, body.base + BODY_HEAD, run_size);
    return true;
}

/* --- folding --- */

static bool take_varint(struct bytes *rest, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned at = 0; at < rest->size && at < 10; at++) {
        value |= (uint64_t)(rest->base[at] & 0x7F) << (7 * at);
        if ((rest->base[at] & 0x80) == 0) {
            *rest = bytes_of(rest->base + at + 1, rest->size - at - 1);
            *ret_value = value;
            return true;
        }
    }
    return false;
}

/* One record for each transition that was joined in the row. */
enum status fold_row(struct row_fold *fold, const struct store_transition *row, struct arena *arena,
                     struct error *error)
{
    struct bytes *events, rest = row->delta;
    size_t        count, used = 0;
    enum status   status = batch_unpack(row, arena, &events, &count, error);
    if (status != ST_OK)
        return status;
    if (row->number != fold->row_number + 1 || (count != 0 && row->first_event_id != fold->next_event_id))
        return error_set(error, ST_DATA_LOSS,
                         "row %" PRId64 " (event %" PRId64 ") follows row %" PRId64 " (event %" PRId64 ")",
                         row->number, row->first_event_id, fold->row_number, fold->next_event_id - 1);
    fold->row_number = row->number;
    while (rest.size != 0 && fold->next_event_id < fold->end_event_id) {
        uint64_t event_count, size;
        if (!take_varint(&rest, &event_count) || !take_varint(&rest, &size) || size > rest.size ||
            event_count > count - used)
            return error_set(error, ST_DATA_LOSS, "row %" PRId64 " has a damaged list of deltas",
                             row->number);
        if ((int64_t)event_count > fold->end_event_id - fold->next_event_id) {
            fold->is_torn = true;
            break;
        }
        struct transition_record record = { .number = row->number,
                                            .first_event_id = fold->next_event_id,
                                            .events = events + used,
                                            .event_count = (size_t)event_count,
                                            .delta = bytes_of(rest.base, (size_t)size) };
        status = fold->kind->apply(fold->state, &record, error);
        if (status != ST_OK)
            return status;
        rest = bytes_of(rest.base + size, rest.size - (size_t)size);
        used += (size_t)event_count;
        fold->next_event_id += (int64_t)event_count;
    }
    if (used != count && fold->end_event_id == INT64_MAX)
        return error_set(error, ST_DATA_LOSS, "row %" PRId64 " has events without a transition", row->number);
    fold->rest = events + used;
    fold->rest_count = count - used;
    return ST_OK;
}

void snapshot_begin(struct buffer *to, int64_t next_event_id)
{
    buffer_append_varint(to, SNAPSHOT_VERSION);
    buffer_append_varint(to, (uint64_t)next_event_id);
}

enum status snapshot_open(struct bytes snapshot, struct bytes *ret_state, int64_t *ret_next_event_id,
                          struct error *error)
{
    uint64_t version, next_event_id;
    if (!take_varint(&snapshot, &version) || version != SNAPSHOT_VERSION ||
        !take_varint(&snapshot, &next_event_id) || next_event_id < 1 || next_event_id > INT32_MAX)
        return error_set(error, ST_DATA_LOSS, "a snapshot of unknown form");
    *ret_state = snapshot;
    *ret_next_event_id = (int64_t)next_event_id;
    return ST_OK;
}
