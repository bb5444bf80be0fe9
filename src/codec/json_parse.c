/* json_parse.c: proto3 JSON straight to wire bytes.
 *
 * One loop over an explicit stack of the objects and lists that are open in the text. What they become on the wire is a
 * stack of its own, of length-delimited values whose length is not yet known ("slots"): an object may open several at once
 * (a map entry, its value, the Struct inside). A length gets one byte in advance; the few that need more move their bytes.
 * Fields stand on the wire in the order of the text.
 */
#include "codec/json_internal.h"
#include "codec/json_token.h"
#include "pb/google.pb.h"

#include <stdio.h>

#define FRAMES_MAX    (3 * MESSAGE_DEPTH_MAX) /* lists and maps open a frame without a level on the wire */
#define ANY_DEPTH_MAX 8

enum frame_kind { FRAME_MESSAGE, FRAME_MAP, FRAME_LIST, FRAME_ANY_VALUE };
struct frame {
    enum frame_kind          kind;
    bool                     started; /* something stands in it: a comma comes before the next */
    bool                     any;     /* an Any's object: "@type" was read ahead */
    const struct pb_message *message; /* of FRAME_MESSAGE; of FRAME_ANY_VALUE the type of "value" */
    const struct pb_field
            *field; /* of FRAME_MAP and FRAME_LIST; of FRAME_MESSAGE the one being read, for errors */
    size_t   slots_before;
    uint64_t seen[PB_FIELDS_MAX / 64];
    uint32_t oneofs_seen;
};
struct slot {
    size_t start, body; /* in the buffer: the tag, and behind the byte for the length */
    bool   drop_empty;
};
struct parser {
    struct json_reader reader;
    struct arena      *arena;
    struct buffer     *to;
    struct error      *error;
    size_t             frame_count, slot_count, any_count;
    struct frame       frames[FRAMES_MAX];
    struct slot        slots[MESSAGE_DEPTH_MAX + 4];
};

static enum status refuse(struct parser *parser, const char *problem)
{
    char   path[ERROR_MESSAGE_SIZE_MAX / 2]; /* the rest is for the problem */
    size_t at = 0;
    path[0] = '\0';
    for (size_t i = 0; i < parser->frame_count && at < sizeof path; i++)
        if (parser->frames[i].field != NULL && parser->frames[i].kind == FRAME_MESSAGE)
            at += (size_t)snprintf(path + at, sizeof path - at, "%s%s", at == 0 ? "" : ".",
                                   pb_field_name(parser->frames[i].field));
    error_set(parser->error, ST_INVALID_ARGUMENT, "JSON, byte %zu%s%s: %s",
              (size_t)(parser->reader.at - parser->reader.start), path[0] == '\0' ? "" : ", ", path, problem);
    return ST_INVALID_ARGUMENT;
}

static void put_tag(struct parser *parser, const struct pb_field *field, enum wire_type type)
{
    buffer_append_varint(parser->to, (uint64_t)field->number << 3 | type);
}

static void slot_open(struct parser *parser, uint32_t number, bool drop_empty)
{
    assert(parser->slot_count < ARRAY_COUNT(parser->slots));
    struct slot *slot = &parser->slots[parser->slot_count++];
    slot->start = parser->to->size;
    slot->drop_empty = drop_empty;
    buffer_append_varint(parser->to, (uint64_t)number << 3 | WIRE_BYTES);
    buffer_append_byte(parser->to, 0);
    slot->body = parser->to->size;
}

static void slot_close(struct parser *parser)
{
    struct slot *slot = &parser->slots[--parser->slot_count];
    uint64_t     size = parser->to->size - slot->body;
    size_t       extra = 0;
    if (size == 0 && slot->drop_empty) {
        parser->to->size = slot->start;
        return;
    }
    while (size >> (7 * (extra + 1)) != 0)
        extra++;
    buffer_reserve(parser->to, extra);
    uint8_t *body = parser->to->base + slot->body;
    memmove(body + extra, body, (size_t)size);
    parser->to->size += extra;
    uint8_t *at = body - 1;
    for (uint64_t left = size; extra != 0; extra--, left >>= 7)
        *at++ = (uint8_t)(left | 0x80);
    *at = (uint8_t)(size >> (7 * (size_t)(at - (body - 1))));
}

static void slots_close_to(struct parser *parser, size_t count)
{
    while (parser->slot_count > count)
        slot_close(parser);
}

/* `slots_before`: what closing the frame leaves open. */
static enum status push(struct parser *parser, enum frame_kind kind, const struct pb_message *message,
                        const struct pb_field *field, size_t slots_before)
{
    if (parser->frame_count == FRAMES_MAX || parser->slot_count > MESSAGE_DEPTH_MAX)
        return refuse(parser, "nested too deeply");
    parser->frames[parser->frame_count++] = (struct frame){
        .kind = kind, .message = message, .field = field, .slots_before = slots_before
    };
    return ST_OK;
}

static enum status text_of(struct parser *parser, const struct json_token *token, struct bytes *ret)
{
    if (token->kind != JSON_STRING)
        return refuse(parser, "a string is expected");
    return json_token_string(token, parser->arena, ret) ? ST_OK : refuse(parser, "the string is not valid");
}

/* Bytes go through the buffer's end: decoded behind a slot of their own. */
static enum status put_text(struct parser *parser, const struct pb_field *field,
                            const struct json_token *token, bool always)
{
    struct bytes text = BYTES_EMPTY;
    enum status  status = text_of(parser, token, &text);
    if (status != ST_OK)
        return status;
    if (text.size == 0 && !always)
        return ST_OK;
    if (field->kind == PB_BYTES) {
        slot_open(parser, field->number, !always);
        bool fine = json_get_base64(text, parser->to);
        slot_close(parser);
        return fine ? ST_OK : refuse(parser, "not base64");
    }
    const char *problem = text_problem(text, (field->flags & PB_IDENTIFIER) != 0);
    if (problem != NULL)
        return refuse(parser, problem);
    put_tag(parser, field, WIRE_BYTES);
    buffer_append_varint(parser->to, text.size);
    buffer_append(parser->to, text);
    return ST_OK;
}

static enum status scalar_of(struct parser *parser, const struct pb_field *field,
                             const struct json_token *token, uint64_t *ret_wire)
{
    struct bytes text = token->text;
    int32_t      number;
    if (field->kind == PB_BOOL) {
        *ret_wire = token->kind == JSON_TRUE;
        return token->kind == JSON_TRUE || token->kind == JSON_FALSE
                   ? ST_OK
                   : refuse(parser, "true or false is expected");
    }
    *ret_wire = 0;
    if (token->kind == JSON_NULL) /* only NullValue comes here with it */
        return ST_OK;
    if (token->kind == JSON_STRING) {
        enum status status = text_of(parser, token, &text);
        if (status != ST_OK)
            return status;
        if (field->kind == PB_ENUM && pb_enum_value_find(pb_enums + field->type, text, &number)) {
            *ret_wire = (uint64_t)(int64_t)number;
            return ST_OK;
        }
    } else if (token->kind != JSON_NUMBER) {
        return refuse(parser, field->kind == PB_ENUM ? "the name of an enum value is expected"
                                                     : "a number is expected");
    }
    if (json_get_scalar(field->kind, text, ret_wire))
        return ST_OK;
    return refuse(parser, field->kind == PB_ENUM && token->kind == JSON_STRING
                              ? "no such enum value"
                              : "not a number of the field's type");
}

static void put_wire(struct parser *parser, enum wire_type type, uint64_t wire)
{
    if (type == WIRE_VARINT) {
        buffer_append_varint(parser->to, wire);
        return;
    }
    for (size_t i = 0; i < (type == WIRE_FIXED64 ? 8U : 4U); i++)
        buffer_append_byte(parser->to, (uint8_t)(wire >> (8 * i)));
}

/* A field that is not a message. `always`: also when it is the default. `bare`: without a tag, inside a packed list. */
static enum status put_scalar(struct parser *parser, const struct pb_field *field,
                              const struct json_token *token, bool always, bool bare)
{
    uint64_t    wire = 0;
    enum status status = ST_OK;
    if (wire_type_of(field->kind) == WIRE_BYTES)
        return put_text(parser, field, token, always);
    status = scalar_of(parser, field, token, &wire);
    if (status != ST_OK || (wire == 0 && !always))
        return status;
    if (!bare)
        put_tag(parser, field, wire_type_of(field->kind));
    put_wire(parser, wire_type_of(field->kind), wire);
    return ST_OK;
}

static void put_number(struct parser *parser, uint32_t number, uint64_t value)
{
    if (value == 0)
        return;
    buffer_append_varint(parser->to, (uint64_t)number << 3 | WIRE_VARINT);
    buffer_append_varint(parser->to, value);
}

static enum status put_mask(struct parser *parser, struct bytes text)
{
    while (text.size != 0) {
        const uint8_t *comma = memchr(text.base, ',', text.size);
        size_t         size = comma == NULL ? text.size : (size_t)(comma - text.base);
        slot_open(parser, 1, false);
        bool fine = size != 0 && json_get_path(bytes_of(text.base, size), parser->to);
        slot_close(parser);
        if (!fine)
            return refuse(parser, "not a lowerCamelCase path");
        text = comma == NULL ? BYTES_EMPTY : bytes_of(comma + 1, text.size - size - 1);
    }
    return ST_OK;
}

/* The body of a message that is one JSON value: Duration, Timestamp, FieldMask, wrappers. */
static enum status put_leaf(struct parser *parser, const struct pb_message *message,
                            const struct json_token *token)
{
    struct bytes text = BYTES_EMPTY;
    int64_t      seconds = 0;
    int32_t      nanos = 0;
    if (message->shape == PB_SHAPE_WRAPPER)
        return put_scalar(parser, pb_message_fields(message), token, false, false);
    enum status status = text_of(parser, token, &text);
    if (status != ST_OK)
        return status;
    if (message->shape == PB_SHAPE_FIELD_MASK)
        return put_mask(parser, text);
    bool is_duration = message->shape == PB_SHAPE_DURATION;
    if (is_duration ? !json_get_duration(text, &seconds, &nanos)
                    : !json_get_timestamp(text, &seconds, &nanos))
        return refuse(parser, is_duration ? "a duration looks like \"1.5s\""
                                          : "a time looks like \"2006-01-02T15:04:05Z\"");
    put_number(parser, 1, (uint64_t)seconds);
    put_number(parser, 2, (uint64_t)(int64_t)nanos);
    return ST_OK;
}

/* Finds "@type" among the keys of the object that the reader is in. */
static enum status find_type(struct parser *parser, struct bytes *ret_url)
{
    struct json_reader ahead = parser->reader;
    size_t             depth = 0;
    for (;;) {
        struct json_token token = json_next(&ahead);
        if (token.kind == JSON_OBJECT_OPEN || token.kind == JSON_ARRAY_OPEN)
            depth++;
        if (token.kind == JSON_BAD || token.kind == JSON_END)
            return refuse(parser, "not well-formed");
        if (token.kind == JSON_OBJECT_CLOSE || token.kind == JSON_ARRAY_CLOSE) {
            if (depth == 0)
                break;
            depth--;
        }
        if (depth != 0 || token.kind != JSON_STRING || !bytes_equal_text(token.text, "@type"))
            continue;
        token = json_next(&ahead);
        if (token.kind != JSON_COLON)
            continue; /* a value that happens to read so */
        token = json_next(&ahead);
        return text_of(parser, &token, ret_url);
    }
    *ret_url = BYTES_EMPTY;
    return ST_OK;
}

static enum status begin_value(struct parser *parser, const struct pb_message *message,
                               const struct json_token *token, size_t slots_before);

/* An Any: its URL, then the fields of its message, or "value". */
static enum status begin_any(struct parser *parser, size_t slots_before)
{
    struct bytes url = BYTES_EMPTY;
    enum status  status = find_type(parser, &url);
    if (status != ST_OK)
        return status;
    if (++parser->any_count > ANY_DEPTH_MAX) /* each looks ahead for its type: so few may nest */
        return refuse(parser, "nested too deeply");
    const uint8_t           *slash = url.size == 0 ? NULL : memrchr(url.base, '/', url.size);
    const uint8_t           *name = slash == NULL ? url.base : slash + 1;
    const struct pb_message *message = pb_message_find(bytes_of(name, url.size - (size_t)(name - url.base)));
    if (url.size != 0) {
        buffer_append_byte(parser->to, 1 << 3 | WIRE_BYTES);
        buffer_append_varint(parser->to, url.size);
        buffer_append(parser->to, url);
    }
    bool plain = url.size == 0 ||
                 (message != NULL && (message->shape == PB_SHAPE_PLAIN || message->shape == PB_SHAPE_EMPTY));
    if (plain && message != NULL)
        slot_open(parser, 2, true);
    if (url.size == 0)
        message = &pb_google_Empty; /* any key but "@type" is refused below */
    status = push(parser, plain ? FRAME_MESSAGE : FRAME_ANY_VALUE, message, NULL, slots_before);
    parser->frames[parser->frame_count - 1].any = true;
    return status;
}

/* A Value's body. */
static enum status begin_json_value(struct parser *parser, const struct pb_message *message,
                                    const struct json_token *token, size_t slots_before)
{
    const struct pb_field *fields = pb_message_fields(message);
    static const uint8_t   index_of[] = {
        [JSON_NULL] = 0,  [JSON_NUMBER] = 1,      [JSON_STRING] = 2,     [JSON_TRUE] = 3,
        [JSON_FALSE] = 3, [JSON_OBJECT_OPEN] = 4, [JSON_ARRAY_OPEN] = 5,
    };
    const struct pb_field *field = &fields[index_of[token->kind]];
    if (field->kind != PB_MESSAGE) {
        enum status status = put_scalar(parser, field, token, true, false);
        slots_close_to(parser, slots_before);
        return status;
    }
    slot_open(parser, field->number, false);
    return begin_value(parser, pb_field_message(field), token, slots_before);
}

/* Reads a message's value into the slots that are open, and closes them down to `slots_before`, now or when the frame
 * that it pushes is left. */
static enum status begin_value(struct parser *parser, const struct pb_message *message,
                               const struct json_token *token, size_t slots_before)
{
    enum status status;
    if (parser->slot_count > MESSAGE_DEPTH_MAX)
        return refuse(parser, "nested too deeply");
    switch (message->shape) {
    case PB_SHAPE_DURATION:
    case PB_SHAPE_TIMESTAMP:
    case PB_SHAPE_FIELD_MASK:
    case PB_SHAPE_WRAPPER:
        status = put_leaf(parser, message, token);
        slots_close_to(parser, slots_before);
        return status;
    case PB_SHAPE_VALUE:
        return begin_json_value(parser, message, token, slots_before);
    case PB_SHAPE_LIST_VALUE:
        if (token->kind != JSON_ARRAY_OPEN)
            return refuse(parser, "a list is expected");
        return push(parser, FRAME_LIST, NULL, pb_message_fields(message), slots_before);
    default:
        if (token->kind != JSON_OBJECT_OPEN)
            return refuse(parser, "an object is expected");
        if (message->shape == PB_SHAPE_STRUCT)
            return push(parser, FRAME_MAP, NULL, pb_message_fields(message), slots_before);
        if (message->shape == PB_SHAPE_ANY)
            return begin_any(parser, slots_before);
        return push(parser, FRAME_MESSAGE, message, NULL, slots_before);
    }
}

/* Whether null is a value of the field and not its absence. */
static bool takes_null(const struct pb_field *field)
{
    return field->kind == PB_MESSAGE && pb_field_message(field)->shape == PB_SHAPE_VALUE;
}

/* One value of a field: an element, a map's value, or the whole of a field that is not repeated. */
static enum status put_field_value(struct parser *parser, const struct pb_field *field,
                                   const struct json_token *token, bool always, bool bare,
                                   size_t slots_before)
{
    enum status status;
    if (token->kind == JSON_BAD || token->kind == JSON_END || token->kind == JSON_COMMA ||
        token->kind == JSON_COLON || token->kind == JSON_OBJECT_CLOSE || token->kind == JSON_ARRAY_CLOSE)
        return refuse(parser, "a value is expected");
    if (field->kind == PB_MESSAGE) {
        if (parser->slot_count >= MESSAGE_DEPTH_MAX)
            return refuse(parser, "nested too deeply");
        slot_open(parser, field->number, false);
        return begin_value(parser, pb_field_message(field), token, slots_before);
    }
    status = put_scalar(parser, field, token, always, bare);
    slots_close_to(parser, slots_before);
    return status;
}

/* Counts a field in; a second one, or a second member of a oneof, is refused. */
static enum status mark_seen(struct parser *parser, struct frame *frame, const struct pb_field *field)
{
    size_t   index = (size_t)(field - pb_message_fields(frame->message));
    uint64_t bit = UINT64_C(1) << (index % 64);
    if (frame->seen[index / 64] & bit)
        return refuse(parser, "the field is given twice");
    frame->seen[index / 64] |= bit;
    if (field->oneof != 0 && frame->oneofs_seen >> field->oneof & 1)
        return refuse(parser, "another member of the same oneof is given");
    frame->oneofs_seen |= field->oneof == 0 ? 0 : UINT32_C(1) << field->oneof;
    return ST_OK;
}

static enum status read_message_field(struct parser *parser, struct frame *frame, struct bytes key)
{
    const struct pb_field *field = NULL;
    for (size_t i = 0; i < frame->message->field_count && field == NULL; i++)
        if (json_name_matches(key, pb_field_name(pb_message_fields(frame->message) + i)))
            field = pb_message_fields(frame->message) + i;
    frame->field = field;
    struct json_token token = json_next(&parser->reader);
    if (field == NULL)
        return error_set(parser->error, ST_INVALID_ARGUMENT, "JSON: %s has no field \"%.*s\"",
                         pb_message_name(frame->message), BYTES_FMT(key));
    bool singular = !(field->flags & PB_REPEATED);
    if (token.kind == JSON_NULL && !(singular && takes_null(field)))
        return ST_OK;
    enum status status = mark_seen(parser, frame, field);
    if (status != ST_OK)
        return status;
    if (singular)
        return put_field_value(parser, field, &token, (field->flags & (PB_ONEOF | PB_OPTIONAL)) != 0, false,
                               parser->slot_count);
    bool   is_map = (field->flags & PB_MAP) != 0;
    size_t slots = parser->slot_count;
    if (token.kind != (is_map ? JSON_OBJECT_OPEN : JSON_ARRAY_OPEN))
        return refuse(parser, is_map ? "an object is expected" : "a list is expected");
    if (field->flags & PB_PACKED)
        slot_open(parser, field->number, true);
    return push(parser, is_map ? FRAME_MAP : FRAME_LIST, NULL, field, slots);
}

static enum status read_map_entry(struct parser *parser, const struct pb_field *field, struct bytes key)
{
    const struct pb_field *halves = pb_message_fields(pb_field_message(field));
    struct json_token      token = json_next(&parser->reader), name = { .kind = JSON_STRING, .text = key };
    size_t                 slots = parser->slot_count;
    enum status            status = ST_OK;
    if (slots >= MESSAGE_DEPTH_MAX)
        return refuse(parser, "nested too deeply");
    slot_open(parser, field->number, false);
    if (halves[0].kind == PB_BOOL)
        name.kind = bytes_equal_text(key, "true")    ? JSON_TRUE
                    : bytes_equal_text(key, "false") ? JSON_FALSE
                                                     : JSON_BAD;
    status = put_scalar(parser, &halves[0], &name, true, false);
    if (status != ST_OK)
        return status;
    if (token.kind == JSON_NULL && !takes_null(&halves[1]))
        return refuse(parser, "null is no value of a map");
    return put_field_value(parser, &halves[1], &token, true, false, slots);
}

/* "value" of an Any whose message is a JSON value of its own, or of an unknown type (then base64). */
static enum status read_any_value(struct parser *parser, struct frame *frame, struct bytes key)
{
    struct json_token token = json_next(&parser->reader);
    if (!bytes_equal_text(key, "value") || frame->seen[0] != 0)
        return refuse(parser, "only one \"value\" is expected here");
    frame->seen[0] = 1;
    slot_open(parser, 2, true);
    if (frame->message != NULL)
        return begin_value(parser, frame->message, &token, parser->slot_count - 1);
    struct bytes text = BYTES_EMPTY;
    enum status  status = text_of(parser, &token, &text);
    if (status == ST_OK && !json_get_base64(text, parser->to))
        status = refuse(parser, "not base64");
    slot_close(parser);
    return status;
}

static enum status read_member(struct parser *parser, struct frame *frame, const struct json_token *token)
{
    struct bytes key = BYTES_EMPTY;
    enum status  status = text_of(parser, token, &key);
    if (status != ST_OK)
        return status;
    if (json_next(&parser->reader).kind != JSON_COLON)
        return refuse(parser, "a colon is expected");
    if (frame->any && bytes_equal_text(key, "@type")) /* was read ahead; a second one is found here */
        return json_next(&parser->reader).kind == JSON_STRING && !(frame->oneofs_seen & 1)
                   ? (frame->oneofs_seen |= 1, ST_OK)
                   : refuse(parser, "\"@type\" is expected once, as a string");
    switch (frame->kind) {
    case FRAME_MAP:
        return read_map_entry(parser, frame->field, key);
    case FRAME_ANY_VALUE:
        return read_any_value(parser, frame, key);
    default:
        return read_message_field(parser, frame, key);
    }
}

static void leave(struct parser *parser)
{
    const struct frame *frame = &parser->frames[--parser->frame_count];
    parser->any_count -= frame->any;
    slots_close_to(parser, frame->slots_before);
}

static enum status run(struct parser *parser)
{
    while (parser->frame_count != 0) {
        struct frame     *frame = &parser->frames[parser->frame_count - 1];
        bool              is_list = frame->kind == FRAME_LIST;
        struct json_token token = json_next(&parser->reader);
        if (token.kind == (is_list ? JSON_ARRAY_CLOSE : JSON_OBJECT_CLOSE)) {
            leave(parser);
            continue;
        }
        if (frame->started) {
            if (token.kind != JSON_COMMA)
                return refuse(parser, "a comma or the end is expected");
            token = json_next(&parser->reader);
        }
        frame->started = true;
        enum status status;
        if (!is_list)
            status = read_member(parser, frame, &token);
        else if (token.kind == JSON_NULL && !takes_null(frame->field))
            status = refuse(parser, "null is no element of a list");
        else
            status = put_field_value(parser, frame->field, &token, true,
                                     (frame->field->flags & PB_PACKED) != 0, parser->slot_count);
        if (status != ST_OK)
            return status;
    }
    return json_next(&parser->reader).kind == JSON_END ? ST_OK
                                                       : refuse(parser, "something follows the value");
}

enum status json_parse(const struct pb_message *message, struct bytes json, struct arena *arena,
                       struct buffer *to_wire, struct error *error)
{
    size_t         size_before = to_wire->size;
    struct parser *parser = xcalloc(1,
                                    sizeof *parser); /* a few dozen KiB: too much for the stack of a lane */
    const uint8_t *start = json.base == NULL ? (const uint8_t *)"" : json.base;
    parser->reader = (struct json_reader){ start, start, start + json.size };
    parser->arena = arena;
    parser->to = to_wire;
    parser->error = error;
    struct json_token token = json_next(&parser->reader);
    enum status       status = begin_value(parser, message, &token, 0);
    if (status == ST_OK)
        status = run(parser);
    if (status != ST_OK)
        to_wire->size = size_before;
    free(parser);
    return status;
}
