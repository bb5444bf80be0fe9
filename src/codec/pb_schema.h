/* pb_schema.h: the form of the generated tables that codec works from.
 *
 * Owns:    nothing; everything is constant. Tables refer to each other by index and names by offset, not by pointer, so that
 *          they need no relocation and stay shared, read-only pages.
 * Limits:  a message has at most PB_FIELDS_MAX fields, PB_ONEOFS_MAX oneofs and 64 KiB of struct; the generator sees to it.
 */
#ifndef CODEC_PB_SCHEMA_H
#define CODEC_PB_SCHEMA_H
#include "base/base.h"

#define PB_FIELDS_MAX 128
#define PB_ONEOFS_MAX 15

/* Numbered as in descriptors. Left out are those that no message of the schema uses: the generator refuses them. */
enum pb_kind {
    PB_DOUBLE = 1,
    PB_FLOAT = 2,
    PB_INT64 = 3,
    PB_UINT64 = 4,
    PB_INT32 = 5,
    PB_FIXED64 = 6,
    PB_BOOL = 8,
    PB_STRING = 9,
    PB_MESSAGE = 11,
    PB_BYTES = 12,
    PB_UINT32 = 13,
    PB_ENUM = 14,
};
enum pb_field_flags {
    PB_REPEATED = 1,    /* `presence` is the offset of the size_t count */
    PB_MAP = 2,         /* also repeated; its type is an entry {key; value;} */
    PB_ONEOF = 4,       /* `presence` is the offset of the int32_t case */
    PB_OPTIONAL = 8,    /* `presence` is the offset of the bool has_ */
    PB_OPAQUE = 16,     /* a message kept as its encoded bytes */
    PB_IDENTIFIER = 32, /* a string in which NUL is refused */
    PB_PACKED = 64,     /* repeated scalars that are encoded packed */
};
/* Messages that JSON writes in a form of their own. */
enum pb_shape {
    PB_SHAPE_PLAIN,
    PB_SHAPE_MAP_ENTRY,
    PB_SHAPE_ANY,
    PB_SHAPE_DURATION,
    PB_SHAPE_TIMESTAMP,
    PB_SHAPE_FIELD_MASK,
    PB_SHAPE_WRAPPER,
    PB_SHAPE_STRUCT,
    PB_SHAPE_VALUE,
    PB_SHAPE_LIST_VALUE,
    PB_SHAPE_EMPTY,
};
struct pb_field {
    uint32_t name; /* in pb_names */
    uint16_t number;
    uint16_t offset;   /* of the member */
    uint16_t presence; /* see the flags; otherwise 0 */
    uint16_t type;     /* in pb_messages or pb_enums */
    uint8_t  kind;
    uint8_t  flags;
    uint8_t  oneof; /* 1 and up within its message; 0 when in none */
    uint8_t  spare;
};
struct pb_message {
    uint32_t name;        /* the full name */
    uint32_t first_field; /* in pb_fields; a message's fields stand in the order of their numbers */
    uint16_t field_count;
    uint16_t size; /* of the C struct */
    uint8_t  shape;
    uint8_t  file; /* in pb_files */
    uint16_t spare;
};
struct pb_enum_value {
    int32_t  number;
    uint32_t name;
};
struct pb_enum {
    uint32_t name;
    uint32_t first_value; /* in pb_enum_values, in the order of the numbers */
    uint16_t value_count;
    uint8_t  file;
    uint8_t  spare;
};
struct pb_method {
    struct bytes path, service,
        name; /* "/package.Service/Method", "package.Service", "Method"; also NUL-terminated */
    const struct pb_message *request, *response;
    uint16_t                 index; /* PB_METHOD_... */
    uint8_t                  file;  /* in pb_files */
    bool                     client_streaming, server_streaming;
};
/* A file of the schema, as reflection serves it. */
struct pb_file {
    uint32_t name;
    uint32_t offset, size; /* of its FileDescriptorProto in pb_descriptors */
};

extern const char                 pb_names[];
extern const struct pb_field      pb_fields[];
extern const struct pb_message    pb_messages[];
extern const size_t               pb_message_count;
extern const struct pb_enum_value pb_enum_values[];
extern const struct pb_enum       pb_enums[];
extern const size_t               pb_enum_count;
extern const struct pb_method     pb_methods[]; /* in the order of paths */
extern const size_t               pb_method_count;
extern const struct pb_file       pb_files[];
extern const size_t               pb_file_count;
extern const uint8_t              pb_descriptors[]; /* a FileDescriptorSet */
extern const size_t               pb_descriptors_size;

static inline const struct pb_field *pb_message_fields(const struct pb_message *message)
{
    return pb_fields + message->first_field;
}
static inline const struct pb_message *pb_field_message(const struct pb_field *field)
{
    return pb_messages + field->type;
}
static inline const char *pb_field_name(const struct pb_field *field)
{
    return pb_names + field->name;
}
/* The full name, e.g. temporal.api.common.v1.Payload. */
static inline const char *pb_message_name(const struct pb_message *message)
{
    return pb_names + message->name;
}
/* The field with this number, or NULL. */
const struct pb_field *pb_field_find(const struct pb_message *message, uint32_t number);
/* By full name; NULL when the schema has none (the entries of maps are no messages here). A scan: for the edge. */
const struct pb_message *pb_message_find(struct bytes full_name);
const struct pb_enum    *pb_enum_find(struct bytes full_name);
/* The name of a number of an enum; NULL when it has none. */
const char *pb_enum_value_name(const struct pb_enum *type, int32_t number);
/* A number by its full name (WORKFLOW_EXECUTION_STATUS_RUNNING) or short form (Running). */
bool pb_enum_value_find(const struct pb_enum *type, struct bytes name, int32_t *ret_number) MUST_USE;
/* By "/package.Service/Method"; NULL when unknown. */
const struct pb_method *pb_method_find(struct bytes path);
#endif
