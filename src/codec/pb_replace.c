/* pb_replace.c: an encoded message with some of its parts exchanged: what stands around them is copied as it is. */
#include "codec/pb_internal.h"

/* A message that is open: where it goes on, and what is written of it so far. */
struct level {
    const struct pb_message *message;
    struct bytes             whole;
    const uint8_t           *at;
    struct buffer            written;
};

static void put_varint(struct buffer *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buffer_append_byte(to, (uint8_t)(value | 0x80));
    buffer_append_byte(to, (uint8_t)value);
}

static void put_bytes(struct buffer *to, uint32_t number, struct bytes value)
{
    put_varint(to, (uint64_t)number << 3 | WIRE_BYTES);
    put_varint(to, value.size);
    buffer_append(to, value);
}

struct walk {
    const struct pb_replace *rule;
    size_t                   depth; /* of what is open, at least 1 */
    uint32_t                 numbers[MESSAGE_DEPTH_MAX];
    struct level             levels[MESSAGE_DEPTH_MAX];
};

static void enter(struct walk *walk, const struct pb_message *message, struct bytes wire)
{
    struct level *level = &walk->levels[walk->depth++];
    level->message = message;
    level->whole = wire;
    level->at = wire.base;
    buffer_clear(&level->written);
}

/* One field of the innermost message; false: it is not well-formed, or nested too deeply. */
static bool step(struct walk *walk)
{
    struct level     *level = &walk->levels[walk->depth - 1];
    const uint8_t    *end = level->whole.base + level->whole.size, *before = level->at;
    const char       *problem;
    struct wire_value value;
    level->at = wire_read(before, end, &value, &problem);
    if (level->at == NULL)
        return false;
    const struct pb_field *field = value.type == WIRE_BYTES ? pb_field_find(level->message, value.number)
                                                            : NULL;
    if (field == NULL || field->kind != PB_MESSAGE) {
        buffer_append(&level->written, bytes_of(before, (size_t)(level->at - before)));
        return true;
    }
    if (pb_field_message(field) == walk->rule->wanted) {
        struct buffer part = { 0 };
        walk->rule->replace(walk->rule->context, level->message, level->whole, value.bytes, &part);
        put_bytes(&level->written, value.number, buffer_bytes(&part));
        buffer_release(&part);
        return true;
    }
    if (walk->depth == MESSAGE_DEPTH_MAX)
        return false;
    walk->numbers[walk->depth] = value.number;
    enter(walk, pb_field_message(field), value.bytes);
    return true;
}

enum status pb_replace(const struct pb_message *message, struct bytes wire, const struct pb_replace *rule,
                       struct buffer *to)
{
    struct walk *walk = xcalloc(1, sizeof *walk);
    bool         fine = true;
    walk->rule = rule;
    enter(walk, message, wire);
    while (fine && walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        if (level->whole.size != 0 && level->at < level->whole.base + level->whole.size) {
            fine = step(walk);
            continue;
        }
        walk->depth--;
        if (walk->depth == 0)
            buffer_append(to, buffer_bytes(&level->written));
        else
            put_bytes(&walk->levels[walk->depth - 1].written, walk->numbers[walk->depth],
                      buffer_bytes(&level->written));
    }
    for (size_t i = 0; i < MESSAGE_DEPTH_MAX; i++)
        buffer_release(&walk->levels[i].written);
    free(walk);
    return fine ? ST_OK : ST_INVALID_ARGUMENT;
}
