/* json.h: JSON as it comes from strangers, and as it is hashed and spoken about. The values are jansson's (json_t).
 *
 * Owns:    nothing; json_read gives one reference to the caller.
 * Thread:  any. A json_t that several threads see must not change any more; its reference count is atomic.
 * Limits:  text of `size_max` bytes, JSON_DEPTH_MAX open arrays and objects (looked at before jansson, which recurses, is
 *          asked). Refused are also: duplicate keys, ill-formed UTF-8, lone surrogates, NUL in strings, NaN, numbers that
 *          neither 64 bits nor a double can hold, and what follows the value.
 */
#ifndef MCP_JSON_H
#define MCP_JSON_H
#include <jansson.h>

#include "base/base.h"
#include "base/buffer.h"

#define JSON_DEPTH_MAX     64
#define JSON_DIGEST_SIZE   32
#define JSON_TEXT_SIZE_MAX ((size_t)4 * 1024 * 1024) /* of a request's body */

enum json_read_flags {
    JSON_WITH_COMMENTS = 1, /* slash-slash and slash-star comments are read as spaces */
};
/* One-based; the column counts bytes. Zero: unknown. */
struct json_place {
    uint32_t line, column;
};

/* The message of an error is words alone; `ret_where` (NULL is fine) says where, also after an error. */
enum status json_read(struct bytes text, size_t size_max, unsigned flags, json_t **ret_value,
                      struct json_place *ret_where, struct error *error) MUST_USE;
/* Where the value at a JSON pointer ("/tools/greet/id") stands in a text that json_read has taken. When the text has no such
 * place, that of its nearest ancestor: so a missing field is looked for in the object that lacks it. */
struct json_place json_locate(struct bytes text, unsigned flags, const char *pointer);

/* RFC 6901: appends "/token" with ~ and / escaped. */
void json_pointer_append(struct buffer *pointer, struct bytes token);
void json_pointer_append_index(struct buffer *pointer, size_t index);
/* The value at a pointer (borrowed); NULL: there is none. */
json_t *json_pointer_get(json_t *root, struct bytes pointer);

/* Appends the one spelling of a value: keys in the order of their bytes, no space, and one form per number (1.0, 1e0 and 1
 * are the same). False: deeper than JSON_DEPTH_MAX. */
bool json_canonical(const json_t *value, struct buffer *to) MUST_USE;
/* SHA-256 of the canonical form. False: deeper than JSON_DEPTH_MAX. */
bool json_digest(const json_t *value, uint8_t ret_digest[JSON_DIGEST_SIZE]) MUST_USE;
/* Whether two values are the same as JSON Schema sees it: 1 is 1.0, the order of keys does not matter. */
bool json_same(const json_t *a, const json_t *b) MUST_USE;

/* A string's bytes (they may be looked at as long as the value lives); empty when it is none. */
static inline struct bytes json_text(const json_t *value)
{
    return json_is_string(value) ? bytes_of(json_string_value(value), json_string_length(value))
                                 : BYTES_EMPTY;
}
static inline void json_decref_cleanup(json_t **value)
{
    json_decref(*value);
}
#define JSON_CLEANUP CLEANUP(json_decref_cleanup)
#endif
