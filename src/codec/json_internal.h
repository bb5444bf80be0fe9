/* json_internal.h: the spellings of proto3 JSON, both ways. Inside codec only. */
#ifndef CODEC_JSON_INTERNAL_H
#define CODEC_JSON_INTERNAL_H
#include "codec/json_text.h"
#include "codec/pb_internal.h"

/* Appends a field's lowerCamel name, quoted. */
void json_put_name(struct buffer *to, const char *name);
/* Whether a JSON key names the field: its own name or lowerCamel. */
bool json_name_matches(struct bytes key, const char *name);
void json_put_base64(struct buffer *to, struct bytes bytes);
void json_put_float(struct buffer *to, float value);
/* One number of a kind as the wire has it. */
void json_put_scalar(struct buffer *to, const struct pb_field *field, uint64_t wire);
/* Quoted. False: out of the range that JSON can say. */
bool json_put_duration(struct buffer *to, int64_t seconds, int32_t nanos) MUST_USE;
/* Appends paths in lowerCamel. False: a path that would not come back the same. */
bool json_put_path(struct buffer *to, struct bytes path) MUST_USE;

/* And back. False: not of the form, or out of range. */
bool json_get_base64(struct bytes   text,
                     struct buffer *to) MUST_USE; /* either alphabet, with or without padding */
bool json_get_duration(struct bytes text, int64_t *ret_seconds, int32_t *ret_nanos) MUST_USE;
bool json_get_path(struct bytes text, struct buffer *to) MUST_USE;
/* A number in JSON's form, or in a string; integers also as 1e3 and 1.0. The result is what goes on the wire. */
bool json_get_scalar(uint8_t kind, struct bytes text, uint64_t *ret_wire) MUST_USE;
#endif
