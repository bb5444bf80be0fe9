/* pb_scalar.c: single values. */
#include "codec/pb_internal.h"

void scalar_store(uint8_t kind, uint64_t wire, void *to)
{
    uint32_t half = (uint32_t)wire;
    switch (kind) {
    case PB_BOOL:
        *(bool *)to = wire != 0;
        return;
    case PB_FLOAT:
    case PB_INT32:
    case PB_UINT32:
    case PB_ENUM:
        memcpy(to, &half, sizeof half);
        return;
    default:
        memcpy(to, &wire, sizeof wire);
        return;
    }
}

uint64_t scalar_load(uint8_t kind, const void *from)
{
    uint64_t whole;
    uint32_t half;
    switch (kind) {
    case PB_BOOL:
        return *(const bool *)from;
    case PB_INT32:
    case PB_ENUM:
        return (uint64_t)(int64_t)*(const int32_t *)from; /* negative numbers take ten bytes */
    case PB_FLOAT:
    case PB_UINT32:
        memcpy(&half, from, sizeof half);
        return half;
    default:
        memcpy(&whole, from, sizeof whole);
        return whole;
    }
}

/* Plain ASCII without NUL, eight bytes at a time: nearly all text is. */
static bool is_plain(struct bytes text)
{
    const uint64_t high = UINT64_C(0x8080808080808080), low = UINT64_C(0x0101010101010101);
    size_t         i = 0;
    for (uint64_t word; i + 8 <= text.size; i += 8) {
        memcpy(&word, text.base + i, 8);
        if (((word | (word - low)) & high) != 0) /* a byte of 0x80 and above, or, with a borrow, a NUL */
            return false;
    }
    for (; i < text.size; i++)
        if (text.base[i] == 0 || text.base[i] >= 0x80)
            return false;
    return true;
}

const char *text_problem(struct bytes text, bool identifier)
{
    if (is_plain(text))
        return NULL;
    if (!bytes_is_utf8(text))
        return "not valid UTF-8";
    return identifier && bytes_has_nul(text) ? "contains a NUL byte" : NULL;
}
