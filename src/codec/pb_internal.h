/* pb_internal.h: the wire form itself, shared by decoder, encoder and JSON. Inside codec only. */
#ifndef CODEC_PB_INTERNAL_H
#define CODEC_PB_INTERNAL_H
#include "codec/pb.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };
#define VARINT_SIZE_MAX  10
#define FIELD_NUMBER_MAX ((1U << 29) - 1)

/* The wire type of one value of a kind, when it is not packed. */
static inline enum wire_type wire_type_of(uint8_t kind)
{
    static const uint8_t types[] = {
        [PB_DOUBLE] = WIRE_FIXED64, [PB_FLOAT] = WIRE_FIXED32, [PB_FIXED64] = WIRE_FIXED64,
        [PB_STRING] = WIRE_BYTES,   [PB_MESSAGE] = WIRE_BYTES, [PB_BYTES] = WIRE_BYTES,
        [PB_ENUM] = WIRE_VARINT,
    };
    return (enum wire_type)types[kind];
}

/* The size of one element in C. */
static inline size_t element_size(const struct pb_field *field)
{
    switch (field->kind) {
    case PB_BOOL:
        return sizeof(bool);
    case PB_FLOAT:
    case PB_INT32:
    case PB_UINT32:
    case PB_ENUM:
        return 4;
    case PB_STRING:
    case PB_BYTES:
        return sizeof(struct bytes);
    case PB_MESSAGE:
        return field->flags & PB_OPAQUE ? sizeof(struct bytes) : pb_field_message(field)->size;
    default:
        return 8;
    }
}

/* Reads a varint of at most 10 bytes and 64 bits; NULL when it is cut or too long. */
static inline const uint8_t *varint_read(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && at < end; shift += 7) {
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            if (shift == 63 && byte > 1)
                return NULL;
            *ret_value = value;
            return at;
        }
    }
    return NULL;
}

/* One value as it stands on the wire: a number, or the bytes of a length-delimited one. */
struct wire_value {
    uint32_t       number; /* of the field */
    enum wire_type type;
    uint64_t       scalar; /* of a varint or fixed value */
    struct bytes   bytes;  /* of WIRE_BYTES */
};
static inline const uint8_t *fixed_read(const uint8_t *at, const uint8_t *end, size_t size,
                                        uint64_t *ret_value)
{
    if ((size_t)(end - at) < size)
        return NULL;
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    *ret_value = value;
    return at + size;
}
/* Reads tag and value. NULL: not well-formed (`*ret_problem` says how, for people). */
static inline const uint8_t *wire_read(const uint8_t *at, const uint8_t *end, struct wire_value *ret_value,
                                       const char **ret_problem)
{
    uint64_t tag, size;
    *ret_problem = "the tag is not well-formed";
    at = at < end && *at < 0x80 ? (tag = *at, at + 1) : varint_read(at, end, &tag);
    if (at == NULL || tag > UINT32_MAX || tag >> 3 == 0)
        return NULL;
    ret_value->number = (uint32_t)(tag >> 3);
    ret_value->type = (enum wire_type)(tag & 7);
    switch (tag & 7) {
    case WIRE_VARINT:
        *ret_problem = "the number is cut or too long";
        return varint_read(at, end, &ret_value->scalar);
    case WIRE_FIXED64:
        *ret_problem = "the number is cut";
        return fixed_read(at, end, 8, &ret_value->scalar);
    case WIRE_FIXED32:
        *ret_problem = "the number is cut";
        return fixed_read(at, end, 4, &ret_value->scalar);
    case WIRE_BYTES:
        *ret_problem = "the value is cut";
        at = varint_read(at, end, &size);
        if (at == NULL || size > (uint64_t)(end - at))
            return NULL;
        ret_value->bytes = bytes_of(at, (size_t)size);
        return at + size;
    default:
        *ret_problem = "groups and unknown wire types are not accepted";
        return NULL;
    }
}

/* Writes the wire's number of a scalar kind where C keeps it, and reads it back. */
void     scalar_store(uint8_t kind, uint64_t wire, void *to);
uint64_t scalar_load(uint8_t kind, const void *from);

/* What is wrong with text for a string field; NULL when nothing. */
const char *text_problem(struct bytes text, bool identifier);
#endif
