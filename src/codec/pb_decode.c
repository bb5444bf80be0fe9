/* pb_decode.c: wire bytes to structs.
 *
 * One loop over an explicit stack. A frame without a record only checks: it is inside an opaque field, or nothing is built
 * at all. Arrays grow in the arena; eight bytes in front of each hold its capacity, which is set by counting ahead how many
 * elements follow in a row, so that the usual message is allocated exactly.
 */
#include "codec/pb_internal.h"

#include <stdio.h>

struct frame {
    const struct pb_message *message;
    const uint8_t           *end;
    uint8_t                 *record; /* NULL: check only */
    const struct pb_field   *field;  /* being read: the way to the next frame, and for errors */
};
struct decoder {
    struct arena *arena;
    struct error *error;
    size_t        depth, depth_max; /* index of the newest frame, and the last that may be used */
    struct frame  frames[MESSAGE_DEPTH_MAX + 1];
};

static enum status refuse(struct decoder *decoder, enum status code, const char *problem)
{
    char        path[ERROR_MESSAGE_SIZE_MAX / 2]; /* the rest is for the problem, which matters more */
    const char *root = pb_message_name(decoder->frames[0].message), *dot = strrchr(root, '.');
    size_t      at = (size_t)snprintf(path, sizeof path, "%s", dot == NULL ? root : dot + 1);
    for (size_t i = 0; i <= decoder->depth && at < sizeof path; i++)
        if (decoder->frames[i].field != NULL && decoder->frames[i].message->shape != PB_SHAPE_MAP_ENTRY)
            at += (size_t)snprintf(path + at, sizeof path - at, ".%s",
                                   pb_field_name(decoder->frames[i].field));
    error_set(decoder->error, code, "%s: %s", path, problem);
    return code;
}

static enum status refuse_memory(struct decoder *decoder)
{
    return refuse(decoder, ST_RESOURCE_EXHAUSTED, "the message needs more memory than a request may use");
}

/* How many elements of the field stand in a row from `at` on, the first of which is known to be whole. */
static size_t run_length(const uint8_t *at, const uint8_t *end, uint32_t number)
{
    struct wire_value value;
    const char       *problem;
    size_t            count = 0;
    while (at < end && (at = wire_read(at, end, &value, &problem)) != NULL && value.number == number)
        count++;
    return count;
}

/* The next free element of a repeated field, zeroed; NULL when the arena is spent. `ahead`: elements known to come. */
static uint8_t *array_extend(struct decoder *decoder, const struct frame *frame, size_t ahead)
{
    const struct pb_field *field = frame->field;
    uint8_t              **array = (uint8_t **)(void *)(frame->record + field->offset);
    size_t *count = (size_t *)(void *)(frame->record + field->presence), size = element_size(field);
    size_t  capacity = *array == NULL ? 0 : ((size_t *)(void *)*array)[-1];
    if (capacity - *count < ahead) {
        size_t wanted = MAX(*count + ahead, capacity * 2), total;
        if (__builtin_mul_overflow(wanted, size, &total) ||
            __builtin_add_overflow(total, sizeof(size_t), &total))
            return NULL;
        uint8_t *memory = arena_alloc(decoder->arena, total);
        if (memory == NULL)
            return NULL;
        *(size_t *)(void *)memory = wanted;
        memory += sizeof(size_t);
        if (*array != NULL)
            memcpy(memory, *array, *count * size);
        *array = memory;
    }
    assert(*array != NULL);
    uint8_t *slot = *array + *count * size;
    memset(slot, 0, size * ahead);
    return slot;
}

/* Where the value of the frame's field goes; NULL when the arena is spent. `start`: the field's tag. */
static uint8_t *slot_of(struct decoder *decoder, const struct frame *frame, const uint8_t *start)
{
    const struct pb_field *field = frame->field;
    uint8_t               *slot = frame->record + field->offset;
    if (field->flags & PB_REPEATED) {
        size_t *count = (size_t *)(void *)(frame->record + field->presence);
        void   *array = *(void **)(void *)slot;
        size_t  ahead = 1;
        if (array == NULL || ((size_t *)array)[-1] == *count)
            ahead = run_length(start, frame->end, field->number);
        slot = array_extend(decoder, frame, ahead);
        if (slot != NULL)
            (*count)++;
    } else if (field->flags & PB_ONEOF) {
        int32_t *oneof_case = (int32_t *)(void *)(frame->record + field->presence);
        if (*oneof_case != field->number)
            memset(slot, 0,
                   field->kind == PB_MESSAGE && !(field->flags & PB_OPAQUE) ? sizeof(void *)
                                                                            : element_size(field));
        *oneof_case = field->number;
    } else if (field->flags & PB_OPTIONAL) {
        *(bool *)(frame->record + field->presence) = true;
    }
    return slot;
}

static enum status read_text(struct decoder *decoder, const struct frame *frame, const uint8_t *start,
                             struct bytes bytes)
{
    const struct pb_field *field = frame->field;
    if (field->kind == PB_STRING) {
        const char *problem = text_problem(bytes, (field->flags & PB_IDENTIFIER) != 0);
        if (problem != NULL)
            return refuse(decoder, ST_INVALID_ARGUMENT, problem);
    }
    if (frame->record == NULL)
        return ST_OK;
    uint8_t *slot = slot_of(decoder, frame, start);
    if (slot == NULL)
        return refuse_memory(decoder);
    *(struct bytes *)(void *)slot = bytes;
    return ST_OK;
}

/* Sets an opaque field, or appends to it: a message that comes in parts is the concatenation of them. */
static bool opaque_add(struct decoder *decoder, struct bytes *slot, struct bytes part)
{
    if (slot->size == 0)
        *slot = part;
    if (slot->base == part.base || part.size == 0)
        return true;
    uint8_t *memory = arena_alloc(decoder->arena, slot->size + part.size);
    if (memory == NULL)
        return false;
    memcpy(memory, slot->base, slot->size);
    memcpy(memory + slot->size, part.base, part.size);
    *slot = bytes_of(memory, slot->size + part.size);
    return true;
}

/* Makes room for a message field's value and opens its frame. */
static enum status enter(struct decoder *decoder, const uint8_t *start, struct bytes bytes)
{
    const struct frame      *frame = &decoder->frames[decoder->depth];
    const struct pb_field   *field = frame->field;
    const struct pb_message *message = pb_field_message(field);
    uint8_t                 *record = NULL;
    if (decoder->depth == decoder->depth_max)
        return refuse(decoder, ST_INVALID_ARGUMENT, "the message is nested too deeply");
    if (frame->record != NULL) {
        uint8_t *slot = slot_of(decoder, frame, start);
        if (slot == NULL)
            return refuse_memory(decoder);
        if (field->flags & PB_OPAQUE) {
            if (!opaque_add(decoder, (struct bytes *)(void *)slot, bytes))
                return refuse_memory(decoder);
        } else if (field->flags & PB_REPEATED) {
            record = slot;
        } else {
            void **pointer = (void **)(void *)slot;
            if (*pointer == NULL)
                *pointer = arena_zalloc(decoder->arena, 1, message->size);
            if (*pointer == NULL)
                return refuse_memory(decoder);
            record = *pointer;
        }
    }
    decoder->frames[++decoder->depth] = (struct frame){ message, bytes.base + bytes.size, record, NULL };
    return ST_OK;
}

/* A map entry whose value, a message, was left out has an empty one. */
static enum status leave(struct decoder *decoder)
{
    const struct frame *frame = &decoder->frames[decoder->depth];
    if (frame->message->shape == PB_SHAPE_MAP_ENTRY && frame->record != NULL) {
        const struct pb_field *value = pb_message_fields(frame->message) + 1;
        void                  *slot = frame->record + value->offset;
        assert(value->number == 2);
        if (value->kind == PB_MESSAGE && value->flags & PB_OPAQUE) {
            if (((struct bytes *)slot)->base == NULL)
                *(struct bytes *)slot = bytes_of(frame->end, 0);
        } else if (value->kind == PB_MESSAGE && *(void **)slot == NULL) {
            *(void **)slot = arena_zalloc(decoder->arena, 1, pb_field_message(value)->size);
            if (*(void **)slot == NULL)
                return refuse_memory(decoder);
        }
    }
    decoder->depth--;
    return ST_OK;
}

/* The number of values in packed bytes, if whole. */
static bool packed_count(uint8_t kind, struct bytes bytes, size_t *ret_count)
{
    enum wire_type type = wire_type_of(kind);
    if (type != WIRE_VARINT) {
        size_t size = type == WIRE_FIXED64 ? 8 : 4;
        *ret_count = bytes.size / size;
        return bytes.size % size == 0;
    }
    size_t count = 0;
    for (size_t i = 0; i < bytes.size; i++)
        count += bytes.base[i] < 0x80;
    *ret_count = count;
    return bytes.size == 0 || bytes.base[bytes.size - 1] < 0x80;
}

static enum status read_packed(struct decoder *decoder, const struct frame *frame, struct bytes bytes)
{
    const struct pb_field *field = frame->field;
    size_t                 count, size = element_size(field);
    uint8_t               *slot = NULL;
    if (!packed_count(field->kind, bytes, &count))
        return refuse(decoder, ST_INVALID_ARGUMENT, "the packed numbers are cut");
    if (count == 0)
        return ST_OK;
    if (frame->record != NULL && (slot = array_extend(decoder, frame, count)) == NULL)
        return refuse_memory(decoder);
    enum wire_type type = wire_type_of(field->kind);
    const uint8_t *at = bytes.base, *end = at + bytes.size;
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        at = type == WIRE_VARINT ? varint_read(at, end, &value)
                                 : fixed_read(at, end, type == WIRE_FIXED64 ? 8 : 4, &value);
        if (at == NULL)
            return refuse(decoder, ST_INVALID_ARGUMENT, "a packed number is too long");
        if (slot != NULL)
            scalar_store(field->kind, value, slot + i * size);
    }
    if (slot != NULL)
        *(size_t *)(void *)(frame->record + field->presence) += count;
    return ST_OK;
}

static enum status read_value(struct decoder *decoder, const uint8_t *start, const struct wire_value *value)
{
    const struct frame    *frame = &decoder->frames[decoder->depth];
    const struct pb_field *field = frame->field;
    enum wire_type         type = wire_type_of(field->kind);
    if (type != value->type) {
        if (value->type != WIRE_BYTES || !(field->flags & PB_REPEATED))
            return refuse(decoder, ST_INVALID_ARGUMENT, "the wire type is not the field's");
        return read_packed(decoder, frame, value->bytes);
    }
    if (field->kind == PB_MESSAGE)
        return enter(decoder, start, value->bytes);
    if (type == WIRE_BYTES)
        return read_text(decoder, frame, start, value->bytes);
    if (frame->record == NULL)
        return ST_OK;
    uint8_t *slot = slot_of(decoder, frame, start);
    if (slot == NULL)
        return refuse_memory(decoder);
    scalar_store(field->kind, value->scalar, slot);
    return ST_OK;
}

static enum status run(struct decoder *decoder, struct bytes wire)
{
    const uint8_t    *at = wire.base;
    struct wire_value value = { 0 };
    const char       *problem;
    for (;;) {
        struct frame *frame = &decoder->frames[decoder->depth];
        if (at == frame->end) {
            if (decoder->depth == 0)
                return ST_OK;
            enum status status = leave(decoder);
            if (status != ST_OK)
                return status;
            continue;
        }
        frame->field = NULL;
        const uint8_t *next = wire_read(at, frame->end, &value, &problem);
        if (next == NULL)
            return refuse(decoder, ST_INVALID_ARGUMENT, problem);
        frame->field = pb_field_find(frame->message, value.number);
        size_t depth = decoder->depth;
        if (frame->field != NULL) {
            enum status status = read_value(decoder, at, &value);
            if (status != ST_OK)
                return status;
        }
        at = decoder->depth > depth ? value.bytes.base : next; /* into the message, or past the value */
        assert(at != NULL);
    }
}

static enum status start(const struct pb_message *message, struct bytes wire, size_t depth_max,
                         struct arena *arena, void *record, struct error *error)
{
    struct decoder decoder;
    if (wire.base == NULL)
        wire.base = (const uint8_t *)"";
    decoder.arena = arena;
    decoder.error = error;
    decoder.depth = 0;
    decoder.depth_max = depth_max;
    decoder.frames[0] = (struct frame){ message, wire.base + wire.size, record, NULL };
    return run(&decoder, wire);
}

enum status pb_decode_within(const struct pb_message *message, struct bytes wire, size_t depth_max,
                             struct arena *arena, void *ret_struct, struct error *error)
{
    assert(ret_struct != NULL && depth_max <= MESSAGE_DEPTH_MAX);
    memset(ret_struct, 0, message->size);
    return start(message, wire, depth_max, arena, ret_struct, error);
}

enum status pb_decode(const struct pb_message *message, struct bytes wire, struct arena *arena,
                      void *ret_struct, struct error *error)
{
    return pb_decode_within(message, wire, MESSAGE_DEPTH_MAX, arena, ret_struct, error);
}

enum status pb_validate(const struct pb_message *message, struct bytes wire, struct error *error)
{
    return start(message, wire, MESSAGE_DEPTH_MAX, NULL, NULL, error);
}
