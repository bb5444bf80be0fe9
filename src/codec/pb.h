/* pb.h: protobuf messages to C structs and back, and to and from proto3 JSON, from generated tables.
 *
 * Owns:    nothing. Decoded structs live in the caller's arena and their slices point into the wire bytes, which must
 *          outlive them; the caller's struct itself is filled, not allocated.
 * Thread:  any; there is no state.
 * Limits:  MESSAGE_DEPTH_MAX levels; memory by the arena's budget (RESOURCE_EXHAUSTED when it is spent). Nothing recurses.
 *
 * Structs come from pb/<prefix>.pb.h (see docs/design/002-wire-schema.md). Absent: scalars 0, slices empty, messages NULL,
 * opaque fields base == NULL. Opaque fields hold an encoded message, checked when it was decoded: decode it on demand.
 */
#ifndef CODEC_PB_H
#define CODEC_PB_H
#include "base/arena.h"
#include "base/buffer.h"
#include "base/limits.h"
#include "codec/pb_schema.h"

/* Checks everything, including what stays opaque: form, wire types, depth, UTF-8, and no NUL in identifiers. On failure the
 * status is INVALID_ARGUMENT or RESOURCE_EXHAUSTED, the error names the field's path, and the struct is not to be used. */
enum status pb_decode(const struct pb_message *message, struct bytes wire, struct arena *arena,
                      void *ret_struct, struct error *error) MUST_USE;
/* The same with fewer levels, for requests (REQUEST_DEPTH_MAX). */
enum status pb_decode_within(const struct pb_message *message, struct bytes wire, size_t depth_max,
                             struct arena *arena, void *ret_struct, struct error *error) MUST_USE;
/* The same check; builds nothing. */
enum status pb_validate(const struct pb_message *message, struct bytes wire, struct error *error) MUST_USE;

/* Appends. Fields go in the order of their numbers; defaults without presence are left out. Opaque bytes are copied. */
void   pb_encode(const struct pb_message *message, const void *record, struct buffer *to);
size_t pb_encoded_size(const struct pb_message *message, const void *record);
/* The base is never NULL, so that the result can be set as an opaque field that is present. */
struct bytes pb_encode_arena(const struct pb_message *message, const void *record, struct arena *arena);

/* Copies an encoded message and exchanges in it every message of the type `wanted`, at any depth: `replace` appends what stands there instead
 * of `part`, which is a member of `whole`, a `parent`. INVALID_ARGUMENT: not well-formed, or deeper than MESSAGE_DEPTH_MAX. */
struct pb_replace {
    const struct pb_message *wanted;
    void (*replace)(void *context, const struct pb_message *parent, struct bytes whole, struct bytes part,
                    struct buffer *to);
    void *context;
};
enum status pb_replace(const struct pb_message *message, struct bytes wire, const struct pb_replace *rule,
                       struct buffer *to) MUST_USE;

enum json_flags {
    JSON_PRETTY = 1,            /* two spaces a level */
    JSON_PAYLOAD_SHORTHAND = 2, /* reserved: payloads as plain values */
};
/* proto3 JSON of an encoded message, which is checked on the way. On failure `to` is as it was. */
enum status json_print(const struct pb_message *message, struct bytes wire, unsigned flags, struct buffer *to,
                       struct error *error) MUST_USE;
/* Appends a quoted, escaped string, for JSON that is put together by hand. */
void json_put_string(struct buffer *to, struct bytes text);
/* Encodes what the JSON says. Names in either form; unknown names are refused. The arena holds unescaped text meanwhile.
 * On failure `to_wire` is as it was. */
enum status json_parse(const struct pb_message *message, struct bytes json, struct arena *arena,
                       struct buffer *to_wire, struct error *error) MUST_USE;
/* Appends one text as JSON: quoted and escaped. */
void json_put_string(struct buffer *to, struct bytes text);
#endif
