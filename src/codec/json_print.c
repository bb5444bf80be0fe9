/* json_print.c: proto3 JSON straight from wire bytes.
 *
 * The bytes are checked first (pb_validate), so the walk here reads without doubt. It goes over a message's fields in the
 * order of the schema and looks up each that is present, because on the wire they may stand in any order, in parts, or
 * more than once. One loop over an explicit stack; a frame is one JSON object or list that is open.
 */
#include "codec/json_internal.h"

#define ANY_DEPTH_MAX    8
#define SCRATCH_SIZE_MAX (16 * MESSAGE_SIZE_MAX) /* for messages that came in parts, joined */

struct frame {
    const struct pb_message *message;
    struct bytes             wire;
    uint64_t                 present[PB_FIELDS_MAX / 64];
    size_t                   next_field;
    const struct pb_field   *open; /* a repeated field of messages that is under way, or NULL */
    const uint8_t           *at;   /* where its next element is looked for */
    bool                     bare; /* the object or list is that of the only field: Struct and ListValue */
    uint8_t                  anys; /* braces of Any around it, to be closed with it */
};
struct printer {
    struct buffer *to;
    struct error  *error;
    struct arena   scratch;
    size_t         frame_count, indent;
    bool           pretty, first; /* first: nothing stands in the newest object or list yet */
    struct frame   frames[MESSAGE_DEPTH_MAX + 1];
};

static void new_line(struct printer *printer)
{
    if (!printer->pretty)
        return;
    buffer_append_byte(printer->to, '\n');
    for (size_t i = 0; i < printer->indent; i++)
        buffer_append_text(printer->to, "  ");
}

static void item(struct printer *printer)
{
    if (!printer->first)
        buffer_append_byte(printer->to, ',');
    printer->first = false;
    new_line(printer);
}

static void open_with(struct printer *printer, char bracket)
{
    buffer_append_byte(printer->to, (uint8_t)bracket);
    printer->indent++;
    printer->first = true;
}

static void close_with(struct printer *printer, char bracket)
{
    printer->indent--;
    if (!printer->first)
        new_line(printer);
    buffer_append_byte(printer->to, (uint8_t)bracket);
    printer->first = false;
}

static void colon(struct printer *printer)
{
    buffer_append_text(printer->to, printer->pretty ? ": " : ":");
}

/* The next value in checked bytes; false at the end. */
static bool next_value(const uint8_t **at, const uint8_t *end, struct wire_value *ret_value)
{
    const char *problem;
    if (*at >= end)
        return false;
    *at = wire_read(*at, end, ret_value, &problem);
    assert(*at != NULL);
    return true;
}

/* The last value of a number in checked bytes; false when there is none. */
static bool last_value(struct bytes wire, uint32_t number, struct wire_value *ret_value)
{
    const uint8_t    *at = wire.base, *end = at + wire.size;
    struct wire_value value = { 0 };
    bool              found = false;
    while (next_value(&at, end, &value))
        if (value.number == number) {
            *ret_value = value;
            found = true;
        }
    return found;
}

/* Marks the fields that are present; of a oneof only the member that came last. */
static void mark_present(struct frame *frame)
{
    const uint8_t    *at = frame->wire.base, *end = at + frame->wire.size;
    uint8_t           oneof_last[PB_ONEOFS_MAX + 1] = { 0 }; /* field index + 1 */
    struct wire_value value = { 0 };
    while (next_value(&at, end, &value)) {
        const struct pb_field *field = pb_field_find(frame->message, value.number);
        if (field == NULL || (value.type != wire_type_of(field->kind) && value.bytes.size == 0))
            continue; /* unknown, or a packed list of nothing */
        size_t index = (size_t)(field - pb_message_fields(frame->message));
        assert(index < PB_FIELDS_MAX && field->oneof <= PB_ONEOFS_MAX);
        if (field->oneof != 0) {
            size_t last = oneof_last[field->oneof];
            if (last != 0 && last != index + 1)
                frame->present[(last - 1) / 64] &= ~(UINT64_C(1) << ((last - 1) % 64));
            oneof_last[field->oneof] = (uint8_t)(index + 1);
        }
        frame->present[index / 64] |= UINT64_C(1) << (index % 64);
    }
}

/* A singular message's bytes: all its parts joined, since the last time another member of its oneof was set. */
static bool joined(struct printer *printer, const struct frame *frame, const struct pb_field *field,
                   struct bytes *ret)
{
    const uint8_t    *at = frame->wire.base, *end = at + frame->wire.size, *since = at, *before = at;
    struct wire_value value = { 0 };
    size_t            parts = 0, size = 0;
    for (; next_value(&at, end, &value); before = at) {
        const struct pb_field *other = pb_field_find(frame->message, value.number);
        if (other == field) {
            since = parts++ == 0 ? before : since;
            size += value.bytes.size;
            *ret = value.bytes;
        } else if (field->oneof != 0 && other != NULL && other->oneof == field->oneof) {
            parts = size = 0;
        }
    }
    if (parts <= 1)
        return true;
    uint8_t *memory = arena_alloc(&printer->scratch, MAX(size, (size_t)1));
    if (memory == NULL)
        return false;
    *ret = bytes_of(memory, size);
    for (at = since; next_value(&at, end, &value);)
        if (value.number == field->number && value.bytes.size != 0) {
            memcpy(memory, value.bytes.base, value.bytes.size);
            memory += value.bytes.size;
        }
    return true;
}

static enum status refuse(struct printer *printer, const struct pb_message *message, const char *problem)
{
    error_set(printer->error, ST_INVALID_ARGUMENT, "%s: %s", pb_message_name(message), problem);
    return ST_INVALID_ARGUMENT;
}

static void put_value(struct printer *printer, const struct pb_field *field, const struct wire_value *value)
{
    if (field->kind == PB_STRING)
        json_put_string(printer->to, value->bytes);
    else if (field->kind == PB_BYTES)
        json_put_base64(printer->to, value->bytes);
    else
        json_put_scalar(printer->to, field, value->scalar);
}

static struct wire_value default_value(const struct pb_field *field)
{
    return (struct wire_value){ .number = field->number, .type = wire_type_of(field->kind) };
}

/* Durations, times, masks and wrappers: one JSON value each. */
static enum status put_leaf(struct printer *printer, const struct pb_message *message, struct bytes wire)
{
    const struct pb_field *field = pb_message_fields(message);
    struct wire_value      first = default_value(field), second = { 0 };
    if (message->shape == PB_SHAPE_WRAPPER) {
        last_value(wire, 1, &first);
        put_value(printer, field, &first);
        return ST_OK;
    }
    if (message->shape != PB_SHAPE_FIELD_MASK) {
        last_value(wire, 1, &first);
        last_value(wire, 2, &second);
        bool fine = message->shape == PB_SHAPE_DURATION
                        ? json_put_duration(printer->to, (int64_t)first.scalar, (int32_t)second.scalar)
                        : json_put_timestamp(printer->to, (int64_t)first.scalar, (int32_t)second.scalar);
        return fine ? ST_OK : refuse(printer, message, "out of range");
    }
    const uint8_t      *at = wire.base, *end = at + wire.size;
    struct buffer paths CLEANUP(buffer_release);
    buffer_init(&paths);
    while (next_value(&at, end, &first)) {
        if (first.number != 1)
            continue;
        if (paths.size != 0)
            buffer_append_byte(&paths, ',');
        if (!json_put_path(&paths, first.bytes))
            return refuse(printer, message, "a path has no JSON form");
    }
    json_put_string(printer->to, buffer_bytes(&paths));
    return ST_OK;
}

static enum status push(struct printer *printer, const struct pb_message *message, struct bytes wire,
                        size_t anys)
{
    if (printer->frame_count == ARRAY_COUNT(printer->frames))
        return refuse(printer, message, "the message is nested too deeply");
    struct frame *frame = &printer->frames[printer->frame_count++];
    *frame = (struct frame){ .message = message, .wire = wire, .anys = (uint8_t)anys };
    frame->bare = message->shape == PB_SHAPE_STRUCT || message->shape == PB_SHAPE_LIST_VALUE;
    mark_present(frame);
    return ST_OK;
}

/* Any: the type's URL, then the fields of the message, or its JSON value under "value". Returns through `ret_message` what
 * is still to be printed; NULL when nothing. */
static enum status open_any(struct printer *printer, const struct pb_message **ret_message,
                            struct bytes *wire, bool *ret_nested)
{
    struct wire_value url = { 0 }, value = { 0 };
    const bool        has_url = last_value(*wire, 1, &url) && url.bytes.size != 0;
    last_value(*wire, 2, &value);
    *ret_message = NULL;
    open_with(printer, '{');
    if (!has_url) {
        close_with(printer, '}');
        return ST_OK;
    }
    item(printer);
    buffer_append_text(printer->to, "\"@type\"");
    colon(printer);
    json_put_string(printer->to, url.bytes);
    const uint8_t           *slash = memrchr(url.bytes.base, '/', url.bytes.size);
    const uint8_t           *name = slash == NULL ? url.bytes.base : slash + 1;
    const struct pb_message *message = pb_message_find(
        bytes_of(name, (size_t)(url.bytes.base + url.bytes.size - name)));
    *ret_nested = message != NULL && message->shape != PB_SHAPE_PLAIN && message->shape != PB_SHAPE_EMPTY;
    if (message == NULL || *ret_nested) {
        item(printer);
        buffer_append_text(printer->to, "\"value\"");
        colon(printer);
    }
    if (message == NULL) { /* a type of others: its bytes as they are */
        json_put_base64(printer->to, value.bytes);
        close_with(printer, '}');
        return ST_OK;
    }
    *ret_message = message;
    *wire = value.bytes.base == NULL ? BYTES("") : value.bytes;
    return pb_validate(message, *wire, printer->error);
}

/* Value: a plain JSON value, or the Struct or ListValue inside, which is left to the caller. */
static enum status open_value(struct printer *printer, const struct pb_message **message, struct bytes *wire)
{
    struct frame           frame = { .message = *message, .wire = *wire };
    const struct pb_field *fields = pb_message_fields(*message);
    struct wire_value      value = { 0 };
    mark_present(&frame);
    for (size_t i = 0; i < (*message)->field_count; i++) {
        if (!(frame.present[0] >> i & 1))
            continue;
        if (fields[i].kind == PB_MESSAGE) {
            *message = pb_field_message(&fields[i]);
            return joined(printer, &frame, &fields[i], wire) ? ST_OK : refuse(printer, *message, "too large");
        }
        last_value(*wire, fields[i].number, &value);
        if (fields[i].kind == PB_DOUBLE && (value.scalar >> 52 & 0x7FF) == 0x7FF)
            return refuse(printer, *message, "a JSON number is finite");
        put_value(printer, &fields[i], &value);
        *message = NULL;
        return ST_OK;
    }
    buffer_append_text(printer->to, "null");
    *message = NULL;
    return ST_OK;
}

/* Prints a message that fits in one value, or opens it and pushes a frame for the rest. */
static enum status begin(struct printer *printer, const struct pb_message *message, struct bytes wire)
{
    enum status status = ST_OK;
    size_t      anys = 0; /* whose value is a JSON value of its own */
    bool        nested = true;
    wire = wire.base == NULL ? BYTES("") : wire;
    while (status == ST_OK && message != NULL &&
           (message->shape == PB_SHAPE_ANY || message->shape == PB_SHAPE_VALUE)) {
        if (message->shape == PB_SHAPE_VALUE) {
            status = open_value(printer, &message, &wire);
            continue;
        }
        if (anys == ANY_DEPTH_MAX)
            return refuse(printer, message, "the message is nested too deeply");
        status = open_any(printer, &message, &wire, &nested);
        anys += message != NULL && nested;
    }
    if (status != ST_OK)
        return status;
    if (message != NULL && (message->shape == PB_SHAPE_PLAIN || message->shape == PB_SHAPE_EMPTY ||
                            message->shape == PB_SHAPE_STRUCT || message->shape == PB_SHAPE_LIST_VALUE)) {
        if (nested) /* otherwise an Any has opened the object */
            open_with(printer, message->shape == PB_SHAPE_LIST_VALUE ? '[' : '{');
        return push(printer, message, wire, anys);
    }
    if (message != NULL)
        status = put_leaf(printer, message, wire);
    for (; anys != 0; anys--)
        close_with(printer, '}');
    return status;
}

static bool is_default(const struct pb_field *field, const struct wire_value *value)
{
    if (field->flags & (PB_ONEOF | PB_OPTIONAL))
        return false;
    if (wire_type_of(field->kind) == WIRE_BYTES)
        return value->bytes.size == 0;
    return element_size(field) == 4 ? (uint32_t)value->scalar == 0 : value->scalar == 0;
}

/* All elements of a repeated field that are not messages. */
static void put_scalars(struct printer *printer, const struct frame *frame, const struct pb_field *field)
{
    const uint8_t    *at = frame->wire.base, *end = at + frame->wire.size;
    enum wire_type    type = wire_type_of(field->kind);
    struct wire_value value = { 0 };
    while (next_value(&at, end, &value)) {
        if (value.number != field->number)
            continue;
        if (value.type == type) {
            item(printer);
            put_value(printer, field, &value);
            continue;
        }
        const uint8_t *packed = value.bytes.base, *packed_end = packed + value.bytes.size;
        while (packed < packed_end) {
            packed = type == WIRE_VARINT
                         ? varint_read(packed, packed_end, &value.scalar)
                         : fixed_read(packed, packed_end, type == WIRE_FIXED64 ? 8 : 4, &value.scalar);
            assert(packed != NULL);
            item(printer);
            put_value(printer, field, &value);
        }
    }
}

/* A map's key: JSON has only strings. */
static void put_key(struct printer *printer, const struct pb_field *field, struct bytes entry)
{
    struct wire_value key = default_value(field);
    last_value(entry, 1, &key);
    bool quoted = field->kind == PB_STRING ||
                  element_size(field) == 8; /* 64-bit numbers are strings already */
    if (!quoted)
        buffer_append_byte(printer->to, '"');
    put_value(printer, field, &key);
    if (!quoted)
        buffer_append_byte(printer->to, '"');
    colon(printer);
}

/* One map entry; its value may open a frame. */
static enum status put_entry(struct printer *printer, const struct pb_field *field, struct bytes entry)
{
    const struct pb_message *type = pb_field_message(field);
    const struct pb_field   *halves = pb_message_fields(type);
    struct wire_value        value = default_value(&halves[1]);
    item(printer);
    put_key(printer, &halves[0], entry);
    if (halves[1].kind == PB_MESSAGE) {
        struct frame frame = { .message = type, .wire = entry };
        if (!joined(printer, &frame, &halves[1], &value.bytes))
            return refuse(printer, type, "too large");
        return begin(printer, pb_field_message(&halves[1]), value.bytes);
    }
    last_value(entry, 2, &value);
    put_value(printer, &halves[1], &value);
    return ST_OK;
}

/* Goes on with the repeated field of messages that is open: its next element, or its end. */
static enum status continue_field(struct printer *printer, struct frame *frame)
{
    const struct pb_field *field = frame->open;
    struct wire_value      value = { 0 };
    while (next_value(&frame->at, frame->wire.base + frame->wire.size, &value)) {
        if (value.number != field->number)
            continue;
        if (field->flags & PB_MAP)
            return put_entry(printer, field, value.bytes);
        item(printer);
        return begin(printer, pb_field_message(field), value.bytes);
    }
    frame->open = NULL;
    if (!frame->bare)
        close_with(printer, field->flags & PB_MAP ? '}' : ']');
    return ST_OK;
}

static void put_field_name(struct printer *printer, const struct pb_field *field)
{
    item(printer);
    json_put_name(printer->to, pb_field_name(field));
    colon(printer);
}

static enum status put_field(struct printer *printer, struct frame *frame, const struct pb_field *field)
{
    if (field->flags & PB_REPEATED) {
        if (!frame->bare) {
            put_field_name(printer, field);
            open_with(printer, field->flags & PB_MAP ? '{' : '[');
        }
        if (field->kind == PB_MESSAGE) {
            frame->open = field;
            frame->at = frame->wire.base;
            return ST_OK;
        }
        put_scalars(printer, frame, field);
        close_with(printer, ']');
        return ST_OK;
    }
    struct wire_value value = default_value(field);
    if (field->kind == PB_MESSAGE) {
        put_field_name(printer, field);
        if (!joined(printer, frame, field, &value.bytes))
            return refuse(printer, frame->message, "too large");
        return begin(printer, pb_field_message(field), value.bytes);
    }
    last_value(frame->wire, field->number, &value);
    if (is_default(field, &value))
        return ST_OK;
    put_field_name(printer, field);
    put_value(printer, field, &value);
    return ST_OK;
}

static enum status run(struct printer *printer)
{
    while (printer->frame_count != 0) {
        struct frame *frame = &printer->frames[printer->frame_count - 1];
        enum status   status = ST_OK;
        if (frame->open != NULL) {
            status = continue_field(printer, frame);
        } else if (frame->next_field == frame->message->field_count) {
            close_with(printer, frame->message->shape == PB_SHAPE_LIST_VALUE ? ']' : '}');
            for (; frame->anys != 0; frame->anys--)
                close_with(printer, '}');
            printer->frame_count--;
        } else {
            size_t index = frame->next_field++;
            if (frame->present[index / 64] >> (index % 64) & 1)
                status = put_field(printer, frame, pb_message_fields(frame->message) + index);
        }
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

enum status json_print(const struct pb_message *message, struct bytes wire, unsigned flags, struct buffer *to,
                       struct error *error)
{
    size_t         size_before = to->size;
    struct printer printer = {
        .to = to, .error = error, .pretty = (flags & JSON_PRETTY) != 0, .first = true
    };
    enum status status = pb_validate(message, wire, error);
    if (status != ST_OK)
        return status;
    arena_init(&printer.scratch, SCRATCH_SIZE_MAX);
    status = begin(&printer, message, wire);
    if (status == ST_OK)
        status = run(&printer);
    arena_release(&printer.scratch);
    if (status != ST_OK)
        to->size = size_before;
    return status;
}
