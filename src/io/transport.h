/* transport.h: the bytes of one connection, in the clear today; TLS will be a second set of operations.
 *
 * Owns:    the descriptor, closed by transport_close.
 * Thread:  the connection's loop. Never blocks.
 */
#ifndef IO_TRANSPORT_H
#define IO_TRANSPORT_H
#include <sys/types.h>

#include "base/base.h"

/* What read and write return instead of a count. */
enum { TRANSPORT_END = 0, TRANSPORT_AGAIN = -1, TRANSPORT_BROKEN = -2 };

struct transport {
    int                                fd; /* -1 when closed */
    const struct transport_operations *operations;
    void                              *state;  /* the operations' own: a TLS session */
    int                                reason; /* errno behind TRANSPORT_BROKEN */
};
struct transport_operations {
    ssize_t (*read)(struct transport *transport, void *to, size_t size);
    ssize_t (*write)(struct transport *transport, const void *from, size_t size);
    void (*end)(struct transport *transport);
    void (*close)(struct transport *transport);
};
/* Takes over a connected, non-blocking socket. */
void                  transport_init_plain(struct transport *transport, int fd);
static inline ssize_t transport_read(struct transport *transport, void *to, size_t size)
{
    return transport->operations->read(transport, to, size);
}
static inline ssize_t transport_write(struct transport *transport, const void *from, size_t size)
{
    return transport->operations->write(transport, from, size);
}
/* Says that nothing more will be written. */
static inline void transport_end(struct transport *transport)
{
    transport->operations->end(transport);
}
/* Safe when closed already. */
static inline void transport_close(struct transport *transport)
{
    if (transport->fd >= 0)
        transport->operations->close(transport);
}
#endif
