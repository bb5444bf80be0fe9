/* listener.h: accepts TCP connections and deals them out to lanes in turn.
 *
 * Owns:    the listening sockets. An accepted descriptor belongs to the lane that adopts it.
 * Thread:  the accepting loop's. Hand-over to other lanes is a message to their mailbox, so that the dealing order is the
 *          accepting order: tests can say which lane gets which connection.
 * Limits:  accepts per turn; the adopter refuses (closes) what is above its own limit. When the process is out of
 *          descriptors accepting pauses for 100 ms instead of spinning.
 */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H
#include "base/base.h"
#include "io/loop.h"

struct listener_target {
    struct mailbox *mailbox; /* of the lane's loop; NULL: adopt at once (the lane is the accepting one) */
    void (*adopt)(void *context,
                  int   fd); /* non-blocking, close-on-exec, TCP_NODELAY; now the adopter's to close */
    void *context;
};
struct listener_options {
    struct loop                  *loop;
    const char                   *host;    /* a numeric address or a name; never NULL */
    uint16_t                      port;    /* 0: any free one, see listener_port */
    const struct listener_target *targets; /* copied */
    size_t                        target_count;
};
struct listener;
/* Fails with UNAVAILABLE and the system's words when the address cannot be had. */
enum status listener_new(const struct listener_options *options, struct listener **ret_listener,
                         struct error *error) MUST_USE;
/* Stops accepting; hand-overs on their way still arrive. NULL is fine. */
void listener_free(struct listener *listener);
/* While it pauses, whoever comes waits in the kernel's backlog. May be called by an adopter. */
void     listener_pause(struct listener *listener, bool paused);
uint16_t listener_port(const struct listener *listener);

/* Splits "host:port" ("[::1]:7233" too); false when it is none. */
bool address_parse(const char *text, char *ret_host, size_t host_size, uint16_t *ret_port) MUST_USE;
#endif
