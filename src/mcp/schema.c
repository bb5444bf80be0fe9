/* schema.c: see schema.h. */
#include "mcp/schema.h"

enum status schema_compile(json_t *document UNUSED, const struct schema_warnings *warnings UNUSED,
                           struct schema **ret_schema UNUSED, struct buffer *ret_pointer UNUSED,
                           struct error *error)
{
    return error_set(error, ST_UNIMPLEMENTED, "not yet");
}
