/* batch.c: the bytes of a stored transition. */
#include "history/batch.h"
#include "base/mutant.h"

#include "base/hash.h"

void batch_pack(struct buffer *to, const struct bytes *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert(events[i].size <= BATCH_EVENT_SIZE_MAX);
        buffer_append_varint(to, events[i].size);
        buffer_append(to, events[i]);
    }
}

uint32_t batch_checksum(struct bytes events, struct bytes delta)
{
    return crc32c(crc32c(0, events), delta);
}

enum status batch_next(struct batch_cursor *cursor, struct bytes *ret_event, bool *ret_more,
                       struct error *error)
{
    if (cursor->rest.size == 0) {
        *ret_more = false;
        return ST_OK;
    }
    uint64_t size = 0;
    size_t   at = 0;
    unsigned shift = 0;
    for (;; shift += 7) {
        if (at == cursor->rest.size || shift > 28)
            return error_set(error, ST_DATA_LOSS, "a history row has a damaged event size");
        uint8_t byte = cursor->rest.base[at++];
        size |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0)
            break;
    }
    if (size > BATCH_EVENT_SIZE_MAX || size > cursor->rest.size - at)
        return error_set(error, ST_DATA_LOSS, "a history row ends within an event");
    *ret_event = bytes_of(cursor->rest.base + at, (size_t)size);
    *ret_more = true;
    cursor->rest = bytes_of(cursor->rest.base + at + size, cursor->rest.size - at - (size_t)size);
    return ST_OK;
}

enum status batch_unpack(const struct store_transition *row, struct arena *arena, struct bytes **ret_events,
                         size_t *ret_count, struct error *error)
{
    if (batch_checksum(row->events, row->delta) != row->checksum && !MUTANT(checksum_ignored))
        return error_set(error, ST_DATA_LOSS,
                         "history row %" PRId64 " of branch %" PRId64 " has a wrong checksum", row->number,
                         row->branch);
    if (row->event_count < 0 || (size_t)row->event_count > row->events.size)
        return error_set(error, ST_DATA_LOSS,
                         "history row %" PRId64 " of branch %" PRId64 " has a wrong count", row->number,
                         row->branch);
    size_t        count = (size_t)row->event_count;
    struct bytes *events = arena_zalloc(arena, count == 0 ? 1 : count, sizeof(*events));
    if (events == NULL)
        return error_set(error, ST_RESOURCE_EXHAUSTED, "no memory for a history row of %zu events", count);
    struct batch_cursor cursor = batch_begin(row->events);
    bool                more = true;
    size_t              at = 0;
    for (;;) {
        struct bytes event;
        enum status  status = batch_next(&cursor, &event, &more, error);
        if (status != ST_OK)
            return status;
        if (!more)
            break;
        if (at == count)
            return error_set(error, ST_DATA_LOSS, "history row %" PRId64 " holds more events than it says",
                             row->number);
        events[at++] = event;
    }
    if (at != count)
        return error_set(error, ST_DATA_LOSS, "history row %" PRId64 " holds fewer events than it says",
                         row->number);
    *ret_events = events;
    *ret_count = count;
    return ST_OK;
}
