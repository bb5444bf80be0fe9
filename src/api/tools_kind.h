/* tools_kind.h: the toolsets that were declared through the API, and the gateway's key, as a kind of entity: one for the cluster.
 *
 * The record is an encoded state_Tools, written whole with each change; there is none before something was declared or the
 * key was asked for. It belongs to no namespace (number 0); a toolset's document names its own.
 */
#ifndef API_TOOLS_KIND_H
#define API_TOOLS_KIND_H
#include "pb/all.pb.h"
#include "shard/entity.h"

#define TOOLS_ENTITY_ID        BYTES("tools") /* its business id */
#define TOOLSETS_MAX           1000
#define TOOLSET_DOCUMENT_MAX   ((size_t)256 << 10)
#define TOOLS_SIZE_MAX         ((size_t)1 << 20) /* of all documents: a record must fit a transition twice */
#define TOOLS_SEALING_KEY_SIZE 32

enum tools_command {
    TOOLS_GET = 1, /* out: record */
    TOOLS_APPLY,   /* in: api_ApplyToolsetRequest; out: toolset, changed */
    TOOLS_DELETE,  /* in: api_DeleteToolsetRequest */
    TOOLS_KEY,     /* in: fresh random bytes; out: record, which has a key then */
};
struct tools_request {
    struct request            base;
    const void               *input;
    uint8_t                   fresh[TOOLS_SEALING_KEY_SIZE];
    const struct state_Tools *record;  /* in the request's arena */
    const struct state_Tool  *toolset; /* within it */
    bool                      changed;
    struct bytes              words; /* the caller's: what is said of the document besides */
};
/* Addresses a request; the caller sets input and done. */
void tools_request_fill(struct tools_request *request, struct arena *arena, enum tools_command command);
#endif
