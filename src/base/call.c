/* call.c: look-ups in a call. */
#include "base/call.h"

struct bytes call_metadata(const struct call *call, const char *name)
{
    for (size_t i = 0; i < call->metadata_count; i++) {
        if (bytes_equal_text(call->metadata[i].name, name))
            return call->metadata[i].value;
    }
    return BYTES_EMPTY;
}
