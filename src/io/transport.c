/* transport.c: plain sockets. */
#include "io/transport.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t outcome(struct transport *transport, ssize_t count)
{
    if (count >= 0)
        return count;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return TRANSPORT_AGAIN;
    transport->reason = errno;
    return TRANSPORT_BROKEN;
}

static ssize_t plain_read(struct transport *transport, void *to, size_t size)
{
    return outcome(transport, recv(transport->fd, to, size, 0));
}

static ssize_t plain_write(struct transport *transport, const void *from, size_t size)
{
    return outcome(transport, send(transport->fd, from, size, MSG_NOSIGNAL));
}

static void plain_end(struct transport *transport)
{
    (void)shutdown(transport->fd, SHUT_WR); /* fails only when the peer is gone already */
}

static void plain_close(struct transport *transport)
{
    close(transport->fd);
    transport->fd = -1;
}

static const struct transport_operations plain = { plain_read, plain_write, plain_end, plain_close };

void transport_init_plain(struct transport *transport, int fd)
{
    *transport = (struct transport){ .fd = fd, .operations = &plain };
}
