/* session_memory.h: one block for what an HTTP/2 session allocates when it is made.
 *
 * A session is 9 KiB in five pieces and a frame buffer of 16 KiB, of which an idle connection touches some hundred bytes. On
 * a heap those bytes cost a page of their own. In one block the buffer comes last and begins on the page where the pieces
 * end; what it never uses stays untouched memory. With ten thousand idle pollers that is worth tens of megabytes.
 *
 * Owns:    nothing but the bookkeeping, which lives in the owner's struct at the front of the block. What the session
 *          allocates later comes from malloc as usual.
 * Thread:  the connection's. The block must outlive the session.
 */
#ifndef WIRE_SESSION_MEMORY_H
#define WIRE_SESSION_MEMORY_H
#include <nghttp2/nghttp2.h>

#include "base/base.h"

struct session_memory {
    uint8_t    *block;
    size_t      used;
    bool        sealed; /* the session is made */
    nghttp2_mem functions;
};
/* A block whose first `size` bytes are the owner's, zeroed. Aborts when memory is out; ends by free. */
void *session_memory_block(size_t size);
/* `memory` lies within those bytes. Pass &memory->functions when the session is made, then seal. */
void session_memory_init(struct session_memory *memory, void *block, size_t size);
void session_memory_seal(struct session_memory *memory);
#endif
