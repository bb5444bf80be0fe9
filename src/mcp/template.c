/* template.c: see template.h. */
#include "mcp/template.h"

enum status template_compile(const json_t *source UNUSED, enum template_kind kind UNUSED,
                             const struct schema *input UNUSED, struct template **ret_template UNUSED,
                             struct error *error)
{
    return error_set(error, ST_UNIMPLEMENTED, "not yet");
}
