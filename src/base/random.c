/* random.c: xoshiro256** and UUID text. */
#include "base/random.h"

#include <sys/random.h>

static inline uint64_t rotate(uint64_t value, unsigned count)
{
    return value << count | value >> (64 - count);
}

void random_seed(struct random *random, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) { /* splitmix64, as the generator's authors advise */
        seed += UINT64_C(0x9E3779B97F4A7C15);
        uint64_t mixed = (seed ^ seed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
        random->state[i] = mixed ^ mixed >> 31;
    }
}

void random_seed_from_system(struct random *random)
{
    if (getrandom(random->state, sizeof random->state, 0) != (ssize_t)sizeof random->state)
        panic("getrandom failed");
}

uint64_t random_next(struct random *random)
{
    uint64_t *s = random->state, result = rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    assert(bound > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound, value;
    do
        value = random_next(random);
    while (value >= limit);
    return value % bound;
}

struct uuid uuid_random(struct random *random)
{
    uint64_t    high = random_next(random), low = random_next(random);
    struct uuid uuid;
    memcpy(uuid.byte, &high, 8);
    memcpy(uuid.byte + 8, &low, 8);
    uuid.byte[6] = (uint8_t)((uuid.byte[6] & 0x0F) | 0x40);
    uuid.byte[8] = (uint8_t)((uuid.byte[8] & 0x3F) | 0x80);
    return uuid;
}

void uuid_print(const struct uuid *uuid, char text[UUID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0, at = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[at++] = '-';
        text[at++] = digits[uuid->byte[i] >> 4];
        text[at++] = digits[uuid->byte[i] & 15];
    }
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool uuid_parse(struct bytes text, struct uuid *ret_uuid)
{
    struct uuid uuid;
    if (text.size != UUID_TEXT_SIZE)
        return false;
    for (size_t i = 0, at = 0; i < 16; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && text.base[at++] != '-')
            return false;
        int high = hex_value(text.base[at]), low = hex_value(text.base[at + 1]);
        if (high < 0 || low < 0)
            return false;
        uuid.byte[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *ret_uuid = uuid;
    return true;
}
