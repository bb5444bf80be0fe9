/* buffer.h: bytes that grow at the end. Owned by one thread; buffer_release frees. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H
#include "base/base.h"

struct buffer {
    uint8_t *base;
    size_t   size, capacity;
};

static inline void buffer_init(struct buffer *buffer)
{
    *buffer = (struct buffer){ 0 };
}
static inline void buffer_release(struct buffer *buffer)
{
    free(buffer->base);
    buffer_init(buffer);
}
static inline void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
}
static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
    return bytes_of(buffer->base, buffer->size);
}
/* Makes room for `size` more bytes and returns where they go; the caller adds to buffer->size what it wrote. */
uint8_t *buffer_reserve(struct buffer *buffer, size_t size);
void     buffer_append(struct buffer *buffer, struct bytes slice);
void     buffer_append_byte(struct buffer *buffer, uint8_t byte);
void     buffer_append_text(struct buffer *buffer, const char *text);
void     buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A protobuf-style varint. */
void buffer_append_varint(struct buffer *buffer, uint64_t value);
/* Takes `size` bytes from the front. */
void buffer_consume(struct buffer *buffer, size_t size);
#endif
