/* hash.h: the hashes of the server.
 *
 * hash_stable never changes between releases: shards are derived from it. hash_bytes is keyed per process (SipHash-1-3),
 * for tables whose keys come from the network; in a simulation the key is fixed so that runs repeat.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H
#include "base/base.h"

uint64_t               hash_bytes(struct bytes slice);
uint64_t               hash_u64(uint64_t value);
static inline uint64_t hash_combine(uint64_t a, uint64_t b)
{
    return hash_u64(a ^ (b * UINT64_C(0x9E3779B97F4A7C15)));
}
/* FNV-1a with a final mix; stable for ever. */
uint64_t hash_stable(struct bytes slice);
/* CRC-32C (Castagnoli), as stored with every history row. `crc` continues an earlier value; start with 0. */
uint32_t crc32c(uint32_t crc, struct bytes slice);
/* Draws the key of hash_bytes from the system; without it the key is fixed. Once, before any table is filled. */
void hash_seed_from_system(void);
#endif
