/* random.h: one generator per owner (xoshiro256**), seeded: from the system in a server, by the seed in a simulation. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H
#include "base/base.h"

struct random {
    uint64_t state[4];
};
void     random_seed(struct random *random, uint64_t seed);
void     random_seed_from_system(struct random *random);
uint64_t random_next(struct random *random);
/* Uniform in [0, bound); bound > 0. */
uint64_t random_below(struct random *random, uint64_t bound);

/* UUIDs as 16 bytes; text is 36 lower-case characters, without NUL. */
struct uuid {
    uint8_t byte[16];
};
#define UUID_TEXT_SIZE 36
struct uuid uuid_random(struct random *random);
void        uuid_print(const struct uuid *uuid, char text[UUID_TEXT_SIZE]);
bool        uuid_parse(struct bytes text, struct uuid *ret_uuid) MUST_USE;
#endif
