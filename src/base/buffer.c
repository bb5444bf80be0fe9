/* buffer.c: growth by doubling. */
#include "base/buffer.h"

#include <stdio.h>

uint8_t *buffer_reserve(struct buffer *buffer, size_t size)
{
    if (buffer->capacity - buffer->size < size) {
        size_t wanted = MAX(buffer->capacity * 2, buffer->size + size);
        buffer->capacity = MAX(wanted, (size_t)64);
        buffer->base = xrealloc(buffer->base, buffer->capacity);
    }
    return buffer->base + buffer->size;
}

void buffer_append(struct buffer *buffer, struct bytes slice)
{
    if (slice.size == 0)
        return;
    memcpy(buffer_reserve(buffer, slice.size), slice.base, slice.size);
    buffer->size += slice.size;
}

void buffer_append_byte(struct buffer *buffer, uint8_t byte)
{
    *buffer_reserve(buffer, 1) = byte;
    buffer->size++;
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, bytes_of_text(text));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t size = (size_t)vsnprintf(NULL, 0, format, arguments);
    vsnprintf((char *)buffer_reserve(buffer, size + 1), size + 1, format, again);
    buffer->size += size;
    va_end(again);
    va_end(arguments);
}

void buffer_append_varint(struct buffer *buffer, uint64_t value)
{
    uint8_t *at = buffer_reserve(buffer, 10), *start = at;
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    buffer->size += (size_t)(at - start);
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    assert(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size != 0)
        memmove(buffer->base, buffer->base + size, buffer->size);
}
