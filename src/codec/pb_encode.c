/* pb_encode.c: structs to wire bytes.
 *
 * Written from the last byte to the first: a message's length is known when its front is reached, so nothing is measured
 * twice on the way. A walk writes into a small space on the stack and is copied from there, as most messages fit; one that
 * does not fit is only counted from there on, and a second walk writes it into its place.
 * What is encoded was built by the server, or decoded within the depth limit: so the depth is asserted, not refused.
 */
#include "codec/pb_internal.h"

struct frame {
    const struct pb_message *message;
    const uint8_t           *record;
    size_t                   fields_left;   /* the next field to write is fields[fields_left - 1] */
    size_t                   elements_left; /* of that field, when it is repeated and under way */
    size_t                   written_before;
    bool                     under_way;
};
#define SMALL_SIZE 2048
struct encoder {
    uint8_t *end;   /* what is written grows down from here */
    size_t   space; /* below `end`; what is past it is only counted */
    size_t   written;
    size_t   depth;
    struct frame
        frames[MESSAGE_DEPTH_MAX + 8]; /* what arrived at the full depth goes out a few levels deeper */
};

static void put_bytes(struct encoder *encoder, struct bytes bytes)
{
    encoder->written += bytes.size;
    if (encoder->written <= encoder->space && bytes.size != 0)
        memcpy(encoder->end - encoder->written, bytes.base, bytes.size);
}

static inline void put_varint(struct encoder *encoder, uint64_t value)
{
    size_t size = value == 0 ? 1 : (size_t)(70 - __builtin_clzll(value)) / 7;
    encoder->written += size;
    if (encoder->written > encoder->space)
        return;
    uint8_t *at = encoder->end - encoder->written;
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at = (uint8_t)value;
}

static void put_fixed(struct encoder *encoder, uint64_t value, size_t size)
{
    encoder->written += size;
    if (encoder->written > encoder->space)
        return;
    uint8_t *at = encoder->end - encoder->written;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static inline void put_tag(struct encoder *encoder, const struct pb_field *field, enum wire_type type)
{
    put_varint(encoder, (uint64_t)field->number << 3 | type);
}

static void put_scalar(struct encoder *encoder, uint8_t kind, uint64_t value)
{
    switch (wire_type_of(kind)) {
    case WIRE_FIXED64:
        put_fixed(encoder, value, 8);
        return;
    case WIRE_FIXED32:
        put_fixed(encoder, value, 4);
        return;
    default:
        put_varint(encoder, value);
        return;
    }
}

static void put_delimited(struct encoder *encoder, const struct pb_field *field, struct bytes bytes)
{
    put_bytes(encoder, bytes);
    put_varint(encoder, bytes.size);
    put_tag(encoder, field, WIRE_BYTES);
}

static void put_packed(struct encoder *encoder, const struct pb_field *field, const uint8_t *array,
                       size_t count)
{
    size_t before = encoder->written, size = element_size(field);
    for (size_t i = count; i-- > 0;)
        put_scalar(encoder, field->kind, scalar_load(field->kind, array + i * size));
    put_varint(encoder, encoder->written - before);
    put_tag(encoder, field, WIRE_BYTES);
}

static void push(struct encoder *encoder, const struct pb_message *message, const uint8_t *record)
{
    assert(encoder->depth + 1 < ARRAY_COUNT(encoder->frames));
    encoder->frames[++encoder->depth] = (struct frame){ message, record,           message->field_count,
                                                        0,       encoder->written, false };
}

/* One element of a field that is text or a message kept as bytes; true when it was written. */
static bool put_bytes_like(struct encoder *encoder, const struct pb_field *field, const uint8_t *element)
{
    if (field->kind == PB_STRING || field->kind == PB_BYTES || field->flags & PB_OPAQUE) {
        put_delimited(encoder, field, *(const struct bytes *)(const void *)element);
        return true;
    }
    return false;
}

/* Writes one element of the field under way; returns false when a message was entered for it. */
static bool put_element(struct encoder *encoder, struct frame *frame, const struct pb_field *field)
{
    const uint8_t *array = *(uint8_t *const *)(const void *)(frame->record + field->offset);
    const uint8_t *element = array + --frame->elements_left * element_size(field);
    if (put_bytes_like(encoder, field, element))
        return true;
    if (field->kind == PB_MESSAGE) {
        push(encoder, pb_field_message(field), element);
        return false;
    }
    put_scalar(encoder, field->kind, scalar_load(field->kind, element));
    put_tag(encoder, field, wire_type_of(field->kind));
    return true;
}

/* Whether a field that is not repeated is to be written. */
static bool is_present(const struct frame *frame, const struct pb_field *field)
{
    const uint8_t *value = frame->record + field->offset;
    if (field->flags & PB_ONEOF)
        return *(const int32_t *)(const void *)(frame->record + field->presence) == field->number;
    if (frame->message->shape == PB_SHAPE_MAP_ENTRY)
        return true; /* an entry always has both halves */
    if (field->flags & PB_OPTIONAL)
        return *(const bool *)(frame->record + field->presence);
    if (field->flags & PB_OPAQUE)
        return ((const struct bytes *)(const void *)value)->base != NULL;
    switch (field->kind) {
    case PB_MESSAGE:
        return *(void *const *)(const void *)value != NULL;
    case PB_STRING:
    case PB_BYTES:
        return ((const struct bytes *)(const void *)value)->size != 0;
    default:
        return scalar_load(field->kind, value) != 0;
    }
}

/* Writes a field that is not repeated; returns false when a message was entered for it. */
static bool put_single(struct encoder *encoder, const struct frame *frame, const struct pb_field *field)
{
    const uint8_t *value = frame->record + field->offset;
    if (put_bytes_like(encoder, field, value))
        return true;
    if (field->kind == PB_MESSAGE) {
        const uint8_t *record = *(uint8_t *const *)(const void *)value;
        if (record == NULL) { /* of a map entry, or of a oneof whose case alone was set */
            put_delimited(encoder, field, BYTES_EMPTY);
            return true;
        }
        push(encoder, pb_field_message(field), record);
        return false;
    }
    put_scalar(encoder, field->kind, scalar_load(field->kind, value));
    put_tag(encoder, field, wire_type_of(field->kind));
    return true;
}

/* Writes the next element or field of the frame; returns false when a message was entered. */
static bool step(struct encoder *encoder, struct frame *frame)
{
    const struct pb_field *field = pb_message_fields(frame->message) + frame->fields_left - 1;
    if (!(field->flags & PB_REPEATED)) {
        frame->fields_left--;
        return !is_present(frame, field) || put_single(encoder, frame, field);
    }
    size_t count = *(const size_t *)(const void *)(frame->record + field->presence);
    if (count != 0 && field->flags & PB_PACKED) {
        put_packed(encoder, field, *(uint8_t *const *)(const void *)(frame->record + field->offset), count);
        count = 0;
    }
    if (!frame->under_way) {
        frame->under_way = true;
        frame->elements_left = count;
    }
    while (frame->elements_left != 0)
        if (!put_element(encoder, frame, field))
            return false;
    frame->under_way = false;
    frame->fields_left--;
    return true;
}

static size_t walk(const struct pb_message *message, const void *record, uint8_t *end, size_t space)
{
    struct encoder encoder;
    encoder.end = end;
    encoder.space = space;
    encoder.written = 0;
    encoder.depth = 0;
    encoder.frames[0] = (struct frame){ message, record, message->field_count, 0, 0, false };
    for (;;) {
        struct frame *frame = &encoder.frames[encoder.depth];
        while (frame->fields_left != 0 && step(&encoder, frame))
            continue;
        if (frame != &encoder.frames[encoder.depth])
            continue; /* entered a message */
        assert(frame->fields_left == 0);
        if (encoder.depth == 0)
            return encoder.written;
        struct frame *parent = &encoder.frames[--encoder.depth];
        /* A repeated field is still the parent's current one, a single one was counted off. */
        const struct pb_field *field = pb_message_fields(parent->message) + parent->fields_left -
                                       (parent->under_way ? 1 : 0);
        put_varint(&encoder, encoder.written - frame->written_before);
        put_tag(&encoder, field, WIRE_BYTES);
    }
}

size_t pb_encoded_size(const struct pb_message *message, const void *record)
{
    return walk(message, record, NULL, 0);
}

/* The size, after a walk that wrote all of it if it is small. */
static size_t walk_small(const struct pb_message *message, const void *record, uint8_t small[SMALL_SIZE])
{
    return walk(message, record, small + SMALL_SIZE, SMALL_SIZE);
}

static void finish(const struct pb_message *message, const void *record, const uint8_t small[SMALL_SIZE],
                   uint8_t *to, size_t size)
{
    if (size <= SMALL_SIZE) {
        memcpy(to, small + SMALL_SIZE - size, size);
        return;
    }
    size_t written = walk(message, record, to + size, size);
    assert(written == size);
}

void pb_encode(const struct pb_message *message, const void *record, struct buffer *to)
{
    uint8_t  small[SMALL_SIZE];
    size_t   size = walk_small(message, record, small);
    uint8_t *at = buffer_reserve(to, size);
    if (size != 0)
        finish(message, record, small, at, size);
    to->size += size;
}

struct bytes pb_encode_arena(const struct pb_message *message, const void *record, struct arena *arena)
{
    uint8_t  small[SMALL_SIZE];
    size_t   size = walk_small(message, record, small);
    uint8_t *at = arena_must(arena_alloc(arena, MAX(size, (size_t)1)));
    finish(message, record, small, at, size);
    return bytes_of(at, size);
}
