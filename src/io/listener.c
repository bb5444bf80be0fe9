/* listener.c: accept, then deal. */
#include "io/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN_MAX 64
#define PAUSE_NS             (100 * NS_PER_MS)

struct listener {
    struct loop            *loop;
    struct loop_watch      *watch;
    struct loop_timer       pause;
    int                     fd;
    uint16_t                port;
    bool                    paused; /* by listener_pause */
    size_t                  target_count, target_next;
    struct listener_target *targets;
};
/* A connection on its way to another lane. There are never more than the backlog and the lanes' limits let be. */
struct handover {
    struct message message;
    void (*adopt)(void *context, int fd);
    void *context;
    int   fd;
};

static void handover_run(struct message *message)
{
    struct handover *handover = CONTAINER_OF(message, struct handover, message);
    handover->adopt(handover->context, handover->fd);
    free(handover);
}

static void deal(struct listener *listener, int fd)
{
    const struct listener_target *target = &listener->targets[listener->target_next];
    listener->target_next = (listener->target_next + 1) % listener->target_count;
    int one = 1;
    /* Without it a reply of two writes would wait for the peer's delayed acknowledgement. Not every family has it. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (target->mailbox == NULL) {
        target->adopt(target->context, fd);
        return;
    }
    struct handover *handover = xmalloc(sizeof *handover);
    *handover = (struct handover){ { NULL, handover_run }, target->adopt, target->context, fd };
    mailbox_post(target->mailbox, &handover->message);
}

static void pause_over(struct loop_timer *timer)
{
    struct listener *listener = CONTAINER_OF(timer, struct listener, pause);
    loop_watch_set(listener->watch, listener->paused ? 0 : LOOP_READ);
}

static void acceptable(void *context, unsigned what UNUSED)
{
    struct listener *listener = context;
    for (size_t i = 0; i < ACCEPTS_PER_TURN_MAX && !listener->paused; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            deal(listener, fd);
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (errno != EAGAIN) { /* no descriptors or memory: whoever waits in the backlog waits on */
            loop_watch_set(listener->watch, 0);
            loop_timer_set(listener->loop, &listener->pause, time_add(loop_now(listener->loop), PAUSE_NS));
        }
        return;
    }
}

static int listen_on(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    address->ai_protocol);
    int one = 1;
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, 4096) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t               size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

enum status listener_new(const struct listener_options *options, struct listener **ret_listener,
                         struct error *error)
{
    assert(options->target_count > 0);
    assert(options->host != NULL);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV },
                    *found = NULL;
    char port[8];
    snprintf(port, sizeof port, "%u", options->port);
    int failure = getaddrinfo(options->host, port, &hints, &found);
    if (failure != 0)
        return error_set(error, ST_UNAVAILABLE, "cannot listen on %s:%s: %s", options->host, port,
                         gai_strerror(failure));
    int fd = -1;
    for (const struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next)
        fd = listen_on(at);
    int reason = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return error_set(error, ST_UNAVAILABLE, "cannot listen on %s:%s: %s", options->host, port,
                         strerror(reason));

    struct listener *listener = xcalloc(1, sizeof *listener);
    listener->loop = options->loop;
    listener->fd = fd;
    listener->port = bound_port(fd);
    listener->target_count = options->target_count;
    listener->targets = xcalloc(options->target_count, sizeof *listener->targets);
    memcpy(listener->targets, options->targets, options->target_count * sizeof *listener->targets);
    loop_timer_init(&listener->pause, pause_over);
    listener->watch = loop_watch_new(options->loop, fd, acceptable, listener);
    loop_watch_set(listener->watch, LOOP_READ);
    *ret_listener = listener;
    return ST_OK;
}

void listener_free(struct listener *listener)
{
    if (listener == NULL)
        return;
    loop_timer_clear(listener->loop, &listener->pause);
    loop_watch_free(listener->watch);
    close(listener->fd);
    free(listener->targets);
    free(listener);
}

void listener_pause(struct listener *listener, bool paused)
{
    listener->paused = paused;
    loop_timer_clear(listener->loop, &listener->pause);
    loop_watch_set(listener->watch, paused ? 0 : LOOP_READ);
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

bool address_parse(const char *text, char *ret_host, size_t host_size, uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || colon[1] == '\0')
        return false;
    unsigned long port = 0;
    for (const char *at = colon + 1; *at != '\0'; at++) {
        if (*at < '0' || *at > '9')
            return false;
        port = port * 10 + (unsigned long)(*at - '0');
        if (port > UINT16_MAX)
            return false;
    }
    const char *start = text, *end = colon;
    if (*start == '[') {
        if (end - start < 3 || end[-1] != ']')
            return false;
        start++;
        end--;
    } else if (memchr(start, ':', (size_t)(end - start)) != NULL) {
        return false; /* a bare IPv6 address: where it ends is not certain */
    }
    if ((size_t)(end - start) >= host_size)
        return false;
    memcpy(ret_host, start, (size_t)(end - start));
    ret_host[end - start] = '\0';
    *ret_port = (uint16_t)port;
    return true;
}
