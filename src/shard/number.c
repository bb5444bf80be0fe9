/* number.c: numbers that grow with time. */
#include "shard/number.h"

#define LANE_MAX    ((UINT32_C(1) << NUMBER_LANE_BITS) - 1)
#define COUNTER_MAX ((INT64_C(1) << NUMBER_COUNTER_BITS) - 1)
#define MS_SHIFT    (NUMBER_LANE_BITS + NUMBER_COUNTER_BITS)

static store_number number_of(int64_t ms, uint32_t lane, int64_t counter)
{
    return ms << MS_SHIFT | (int64_t)lane << NUMBER_COUNTER_BITS | counter;
}

store_number number_next(struct number_source *source, int64_t now_ns)
{
    assert(source->lane <= LANE_MAX);
    int64_t      now_ms = MAX(now_ns / NS_PER_MS - NUMBER_EPOCH_MS, 1);
    int64_t      last_ms = source->last >> MS_SHIFT;
    store_number number = number_of(MAX(now_ms, last_ms), source->lane, 0);
    if (number <= source->last) {
        /* The same millisecond, or a clock that stepped back. `last` may be another lane's number (a run that this one
         * must follow), so the counter alone does not always bring us past it. */
        int64_t counter = (source->last & COUNTER_MAX) + 1;
        number = counter > COUNTER_MAX ? 0 : number_of(last_ms, source->lane, counter);
        if (number <= source->last)
            number = number_of(last_ms + 1, source->lane, 0);
    }
    assert(number > source->last);
    source->last = number;
    return number;
}

int64_t number_time(store_number number)
{
    return ((number >> MS_SHIFT) + NUMBER_EPOCH_MS) * NS_PER_MS;
}

/* 63 bits of number from the front, so that ids sort by time: 48 bits, the version, 12 bits, the variant, 3 bits. */
struct uuid run_id_make(store_number number, uint64_t entropy)
{
    assert(number > 0);
    struct uuid uuid;
    uint64_t    bits = (uint64_t)number;
    for (int i = 0; i < 6; i++)
        uuid.byte[i] = (uint8_t)(bits >> (55 - 8 * i));
    uuid.byte[6] = (uint8_t)(0x80 | (bits >> 11 & 0xF));
    uuid.byte[7] = (uint8_t)(bits >> 3);
    uuid.byte[8] = (uint8_t)(0x80 | (bits & 7) << 3 | (entropy >> 56 & 7));
    for (int i = 0; i < 7; i++)
        uuid.byte[9 + i] = (uint8_t)(entropy >> (8 * i));
    return uuid;
}

store_number run_id_number(const struct uuid *run_id)
{
    uint64_t bits = 0;
    for (int i = 0; i < 6; i++)
        bits = bits << 8 | run_id->byte[i];
    bits = bits << 4 | (run_id->byte[6] & 0xF);
    bits = bits << 8 | run_id->byte[7];
    bits = bits << 3 | (run_id->byte[8] >> 3 & 7);
    return (store_number)(bits & INT64_MAX);
}
