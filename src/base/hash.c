/* hash.c: SipHash-1-3, FNV-1a and CRC-32C (hardware where there is some). */
#include "base/hash.h"

#include <sys/random.h>

static uint64_t sip_key[2] = { UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908) };

void hash_seed_from_system(void)
{
    if (getrandom(sip_key, sizeof sip_key, 0) != (ssize_t)sizeof sip_key)
        panic("getrandom failed");
}

static inline uint64_t rotate(uint64_t value, unsigned count)
{
    return value << count | value >> (64 - count);
}

#define SIP_ROUND(v0, v1, v2, v3)                                                                            \
    do {                                                                                                     \
        v0 += v1;                                                                                            \
        v1 = rotate(v1, 13);                                                                                 \
        v1 ^= v0;                                                                                            \
        v0 = rotate(v0, 32);                                                                                 \
        v2 += v3;                                                                                            \
        v3 = rotate(v3, 16);                                                                                 \
        v3 ^= v2;                                                                                            \
        v0 += v3;                                                                                            \
        v3 = rotate(v3, 21);                                                                                 \
        v3 ^= v0;                                                                                            \
        v2 += v1;                                                                                            \
        v1 = rotate(v1, 17);                                                                                 \
        v1 ^= v2;                                                                                            \
        v2 = rotate(v2, 32);                                                                                 \
    } while (0)

uint64_t hash_bytes(struct bytes slice)
{
    uint64_t v0 = sip_key[0] ^ UINT64_C(0x736f6d6570736575), v1 = sip_key[1] ^ UINT64_C(0x646f72616e646f6d);
    uint64_t v2 = sip_key[0] ^ UINT64_C(0x6c7967656e657261), v3 = sip_key[1] ^ UINT64_C(0x7465646279746573);
    size_t   whole = slice.size & ~(size_t)7;
    for (size_t at = 0; at < whole; at += 8) {
        uint64_t word;
        memcpy(&word, slice.base + at, 8);
        v3 ^= word;
        SIP_ROUND(v0, v1, v2, v3);
        v0 ^= word;
    }
    uint64_t last = (uint64_t)slice.size << 56;
    if (slice.size != whole)
        memcpy(&last, slice.base + whole, slice.size - whole);
    last |= (uint64_t)slice.size << 56;
    v3 ^= last;
    SIP_ROUND(v0, v1, v2, v3);
    v0 ^= last;
    v2 ^= 0xff;
    SIP_ROUND(v0, v1, v2, v3);
    SIP_ROUND(v0, v1, v2, v3);
    SIP_ROUND(v0, v1, v2, v3);
    return v0 ^ v1 ^ v2 ^ v3;
}

uint64_t hash_u64(uint64_t value)
{
    value ^= value >> 30;
    value *= UINT64_C(0xbf58476d1ce4e5b9);
    value ^= value >> 27;
    value *= UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

uint64_t hash_stable(struct bytes slice)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < slice.size; i++)
        hash = (hash ^ slice.base[i]) * UINT64_C(0x100000001b3);
    return hash_u64(hash);
}

static uint32_t crc32c_table(uint32_t crc, struct bytes slice)
{
    for (size_t i = 0; i < slice.size; i++) {
        crc ^= slice.base[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (UINT32_C(0x82F63B78) & (0U - (crc & 1)));
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_hardware(uint32_t crc, struct bytes slice)
{
    size_t whole = slice.size & ~(size_t)7;
    for (size_t at = 0; at < whole; at += 8) {
        uint64_t word;
        memcpy(&word, slice.base + at, 8);
        crc = (uint32_t)__builtin_ia32_crc32di(crc, word);
    }
    for (size_t at = whole; at < slice.size; at++)
        crc = __builtin_ia32_crc32qi(crc, slice.base[at]);
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, struct bytes slice)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_hardware(~crc, slice);
#endif
    return ~crc32c_table(~crc, slice);
}
