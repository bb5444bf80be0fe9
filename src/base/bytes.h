/* bytes.h: a borrowed slice of bytes, and the few operations on it.
 *
 * Not NUL-terminated and may hold NULs. Who borrows says until when; nothing here allocates.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *base; /* may be NULL when size is 0 */
    size_t         size;
};

#define BYTES_EMPTY ((struct bytes){ NULL, 0 })
/* A string literal as bytes, without its NUL. */
#define BYTES(literal) ((struct bytes){ (const uint8_t *)("" literal), sizeof(literal) - 1 })
/* For printf's "%.*s". */
#define BYTES_FMT(slice)                                                                                     \
    (int)((slice).size > 512 ? 512 : (slice).size),                                                          \
        (const char *)((slice).base ? (slice).base : (const uint8_t *)"")

static inline struct bytes bytes_of(const void *base, size_t size)
{
    return (struct bytes){ base, size };
}

/* Of a NUL-terminated string that outlives the slice; NULL gives the empty slice. */
static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){ (const uint8_t *)text, text == NULL ? 0 : strlen(text) };
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.base, b.base, a.size) == 0);
}

static inline bool bytes_equal_text(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of_text(text));
}

static inline bool bytes_starts_with(struct bytes a, struct bytes prefix)
{
    return a.size >= prefix.size && (prefix.size == 0 || memcmp(a.base, prefix.base, prefix.size) == 0);
}

/* Order by bytes, a shorter prefix first; negative, zero or positive. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int    order = shared == 0 ? 0 : memcmp(a.base, b.base, shared);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Whether the slice is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). NUL is allowed. */
bool               bytes_is_utf8(struct bytes slice);
static inline bool bytes_has_nul(struct bytes slice)
{
    return slice.size != 0 && memchr(slice.base, 0, slice.size) != NULL;
}
#endif
