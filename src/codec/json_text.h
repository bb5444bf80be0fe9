/* json_text.h: single values in the spellings of JSON, for those who have one value and no message. Pure, any thread. */
#ifndef CODEC_JSON_TEXT_H
#define CODEC_JSON_TEXT_H
#include "base/base.h"

/* Whether the text is a JSON number, whole. */
bool json_is_number(struct bytes text);
/* RFC 3339 as proto3 JSON has it: "2006-01-02T15:04:05[.999999999](Z|+02:00)", in the years 1 to 9999. False: anything else. */
bool json_get_timestamp(struct bytes text, int64_t *ret_seconds, int32_t *ret_nanos) MUST_USE;
#endif
