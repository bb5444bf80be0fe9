/* json_text.h: single values in the spellings of JSON, for those who have one value and no message. Pure, any thread. */
#ifndef CODEC_JSON_TEXT_H
#define CODEC_JSON_TEXT_H
#include "base/buffer.h"

/* Whether the text is a JSON number, whole. */
bool json_is_number(struct bytes text);
/* RFC 3339 as proto3 JSON has it: "2006-01-02T15:04:05[.999999999](Z|+02:00)", in the years 1 to 9999. False: anything else. */
bool json_get_timestamp(struct bytes text, int64_t *ret_seconds, int32_t *ret_nanos) MUST_USE;
/* Such a text, in quotes. False: the time is out of those years. */
bool json_put_timestamp(struct buffer *to, int64_t seconds, int32_t nanos) MUST_USE;
/* A JSON number. False: it is none, or larger than a double can be. */
bool json_get_double(struct bytes text, double *ret_value) MUST_USE;
/* The shortest digits that read back as the same number; "NaN" and infinities are quoted. */
void json_put_double(struct buffer *to, double value);
#endif
