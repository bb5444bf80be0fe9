/* config.c: documents to a catalog. */
#include "mcp/config.h"

enum status config_build(const struct config_source *sources UNUSED, size_t count UNUSED,
                         struct catalog **ret_catalog UNUSED, struct config_report *report UNUSED)
{
    return ST_UNIMPLEMENTED;
}
