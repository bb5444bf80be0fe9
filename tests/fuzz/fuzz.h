/* fuzz.h: how a target takes its input apart, and how it says what is wrong.
 *
 * A target is one function over bytes. It checks what must hold, and panics with words when it does not; whoever runs it
 * (libFuzzer, or replay.c over the kept corpus) shows the input. Reading past the end gives zeros, so that every input means
 * something and a short one is a simple one.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_REQUIRE(condition, ...)                                                                         \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            panic(__VA_ARGS__);                                                                              \
    } while (0)

struct fuzz_input {
    const uint8_t *at;
    size_t         left;
};

static UNUSED uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->at++;
}

/* Of 2, 4 or 8 bytes, the low one first. */
static UNUSED uint64_t fuzz_number(struct fuzz_input *input, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)fuzz_byte(input) << (8 * i);
    return number;
}

static UNUSED unsigned fuzz_below(struct fuzz_input *input, unsigned bound)
{
    assert(bound > 0 && bound <= 256);
    return fuzz_byte(input) % bound;
}

static UNUSED struct bytes fuzz_take(struct fuzz_input *input, size_t size)
{
    struct bytes taken = bytes_of(input->at, MIN(size, input->left));
    input->at += taken.size;
    input->left -= taken.size;
    return taken;
}

/* A byte says how many follow. */
static UNUSED struct bytes fuzz_text(struct fuzz_input *input)
{
    return fuzz_take(input, fuzz_byte(input));
}

static UNUSED struct bytes fuzz_rest(struct fuzz_input *input)
{
    return fuzz_take(input, input->left);
}
#endif
