/* payload.h: between JSON and the payloads that workers of every SDK read with their default converter ("json/plain").
 *
 * Owns: nothing. Thread: any. Limits: JSON_TEXT_SIZE_MAX and JSON_DEPTH_MAX of json.h.
 */
#ifndef MCP_PAYLOAD_H
#define MCP_PAYLOAD_H
#include "base/arena.h"
#include "mcp/json.h"
#include "pb/all.pb.h"

/* An encoded common.Payload of a value. */
struct bytes payload_of_json(const json_t *value, struct arena *arena);
struct bytes payload_of_text(struct bytes text, struct arena *arena);
/* An encoded common.Payloads of a JSON array's members; not present (base NULL) for NULL and for no members. */
struct bytes payloads_of_array(const json_t *array, struct arena *arena);

enum payload_form {
    PAYLOAD_NONE,   /* there is none, or it is binary/null */
    PAYLOAD_JSON,   /* `value` */
    PAYLOAD_BINARY, /* `data` */
    PAYLOAD_OTHER,  /* encoded by a codec, or broken: `words` say so */
};
struct payload_view {
    enum payload_form form;
    json_t           *value; /* a new reference */
    struct bytes      data;  /* borrowed */
    size_t            size;
    const char       *words; /* in the arena */
};
/* `payload` is an encoded common.Payload. */
struct payload_view payload_read(struct bytes payload, struct arena *arena);
/* Of an encoded common.Payloads: its first. */
struct payload_view payloads_read_first(struct bytes payloads, struct arena *arena);
/* The JSON under a name in an encoded common.Memo (a new reference), or NULL. */
json_t *memo_json(struct bytes memo, const char *name, struct arena *arena);
#endif
