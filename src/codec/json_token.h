/* json_token.h: JSON text to tokens, one at a time, strictly by RFC 8259.
 *
 * Owns:    nothing; tokens are slices of the text. A string without escapes is its own value, others are unescaped into the
 *          arena when asked for. Nesting is the caller's affair, so nothing here can overflow.
 */
#ifndef CODEC_JSON_TOKEN_H
#define CODEC_JSON_TOKEN_H
#include "base/arena.h"

enum json_kind {
    JSON_END,
    JSON_BAD, /* not JSON from here on */
    JSON_OBJECT_OPEN,
    JSON_OBJECT_CLOSE,
    JSON_ARRAY_OPEN,
    JSON_ARRAY_CLOSE,
    JSON_COLON,
    JSON_COMMA,
    JSON_STRING, /* `text` is what stands between the quotes */
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};
struct json_token {
    enum json_kind kind;
    bool           escaped;
    struct bytes   text;
};
struct json_reader {
    const uint8_t *start, *at, *end;
};
struct json_token json_next(struct json_reader *reader);
/* A string token's value. False: a bad escape, a lone surrogate, bad UTF-8, or the arena is spent. */
bool json_token_string(const struct json_token *token, struct arena *arena, struct bytes *ret) MUST_USE;
#endif
