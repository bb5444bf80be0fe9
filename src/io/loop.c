/* loop.c: a thin order of events around libevent's epoll. Timers are one heap and one timerfd, not libevent's: those are
 * rounded to milliseconds of a coarse clock, and a timer of a durable workflow may be late but not early. */
#include "io/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define TIMERS_PER_TURN_MAX 1024

struct loop {
    struct event_base  *base;
    const struct clock *clock;
    void (*turn)(void *context);
    void          *context;
    struct mailbox mailbox;
    struct heap    timers;
    struct list    deferred;
    int64_t        now;       /* valid while now_known */
    int64_t        armed_due; /* what the timerfd waits for; TIME_NEVER when it rests */
    uint64_t       timer_count;
    int            wake_fd, timer_fd;
    struct event  *wake_event, *timer_event;
    atomic_bool    stop;
    bool           again;                    /* loop_again since the last turn began */
    bool           now_known, running, more; /* more: timers were left over, so the next turn must not wait */
    pthread_t      thread;
};

/* Both descriptors are watched edge-triggered, so a wake-up needs no read to be taken back. */
static void woken(evutil_socket_t fd UNUSED, short what UNUSED, void *context UNUSED) {}

static bool watch_own_fd(struct loop *loop, int fd, struct event **ret_event)
{
    *ret_event = event_new(loop->base, fd, EV_READ | EV_PERSIST | EV_ET, woken, loop);
    return *ret_event != NULL && event_add(*ret_event, NULL) == 0;
}

static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct loop *loop_new(const struct loop_options *options)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    loop->clock = options->clock == NULL ? &clock_system : options->clock;
    loop->turn = options->turn;
    loop->context = options->context;
    loop->armed_due = TIME_NEVER;
    mailbox_init(&loop->mailbox, loop_wake, loop);
    heap_init(&loop->timers);
    list_init(&loop->deferred);
    atomic_init(&loop->stop, false);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->base = base_new();
    if (loop->wake_fd < 0 || loop->timer_fd < 0 || loop->base == NULL ||
        !watch_own_fd(loop, loop->wake_fd, &loop->wake_event) ||
        !watch_own_fd(loop, loop->timer_fd, &loop->timer_event)) {
        int reason = errno;
        loop_free(loop);
        errno = reason;
        return NULL;
    }
    return loop;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    assert(!loop->running);
    if (loop->wake_event != NULL)
        event_free(loop->wake_event);
    if (loop->timer_event != NULL)
        event_free(loop->timer_event);
    if (loop->base != NULL)
        event_base_free(loop->base);
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    if (loop->timer_fd >= 0)
        close(loop->timer_fd);
    heap_release(&loop->timers);
    free(loop);
}

void loop_set_turn(struct loop *loop, void (*turn)(void *context), void *context)
{
    loop->turn = turn;
    loop->context = context;
}

struct mailbox *loop_mailbox(struct loop *loop)
{
    return &loop->mailbox;
}

void loop_wake(void *context)
{
    struct loop *loop = context;
    uint64_t     one = 1;
    int          reason = errno; /* may run inside a signal handler */
    if (write(loop->wake_fd, &one, sizeof one) < 0)
        assert(errno == EAGAIN); /* the counter is full, so a wake-up is certainly on its way */
    errno = reason;
}

void loop_again(struct loop *loop)
{
    assert(loop_is_mine(loop));
    loop->again = true;
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stop, true);
    loop_wake(loop);
}

int64_t loop_now(struct loop *loop)
{
    if (!loop->now_known) {
        loop->now = clock_monotonic_ns(loop->clock);
        loop->now_known = loop->running; /* outside of a turn nothing says when it gets old */
    }
    return loop->now;
}

bool loop_is_mine(const struct loop *loop)
{
    return !loop->running || pthread_equal(loop->thread, pthread_self());
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t due_monotonic_ns)
{
    assert(loop_is_mine(loop));
    heap_remove(&loop->timers, &timer->link);
    if (due_monotonic_ns != TIME_NEVER)
        heap_push(&loop->timers, &timer->link, due_monotonic_ns, loop->timer_count++);
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
    assert(loop_is_mine(loop));
    heap_remove(&loop->timers, &timer->link);
}

void loop_defer(struct loop *loop, struct loop_deferred *deferred)
{
    assert(loop_is_mine(loop));
    if (!list_linked(&deferred->link))
        list_append(&loop->deferred, &deferred->link);
}

void loop_defer_cancel(struct loop *loop UNUSED, struct loop_deferred *deferred)
{
    list_remove(&deferred->link);
}

static void run_messages(struct loop *loop)
{
    struct message *message = mailbox_take(&loop->mailbox);
    while (message != NULL) {
        struct message *next = message->next; /* running may free or post it again */
        message->run(message);
        message = next;
    }
}

static void run_timers(struct loop *loop)
{
    loop->more = false;
    for (size_t fired = 0;; fired++) {
        struct heap_link *first = heap_first(&loop->timers);
        if (first == NULL || first->due > loop_now(loop))
            return;
        if (fired == TIMERS_PER_TURN_MAX) {
            loop->more = true;
            return;
        }
        struct loop_timer *timer = CONTAINER_OF(first, struct loop_timer, link);
        heap_remove(&loop->timers, first);
        if (timer->fire != NULL)
            timer->fire(timer);
    }
}

static void run_deferred(struct loop *loop)
{
    struct list now, *link;
    list_init(&now);
    list_splice(&now, &loop->deferred);
    while ((link = list_take_first(&now)) != NULL) {
        struct loop_deferred *deferred = CONTAINER_OF(link, struct loop_deferred, link);
        deferred->run(deferred);
    }
}

/* Moves the timerfd only when it would fire too late; one that fires too early costs a turn that finds nothing. */
static void arm_timer(struct loop *loop)
{
    struct heap_link *first = heap_first(&loop->timers);
    if (first == NULL || first->due >= loop->armed_due)
        return;
    int64_t           wait_ns = MAX(first->due - clock_monotonic_ns(loop->clock), INT64_C(1));
    struct itimerspec at = { .it_value = { wait_ns / NS_PER_S, wait_ns % NS_PER_S } };
    if (timerfd_settime(loop->timer_fd, 0, &at, NULL) != 0)
        panic("timerfd_settime: %s", strerror(errno));
    loop->armed_due = first->due;
}

void loop_run(struct loop *loop)
{
    assert(!loop->running);
    loop->thread = pthread_self();
    loop->running = true;
    while (!atomic_exchange(&loop->stop, false)) {
        arm_timer(loop);
        bool wait = !loop->more && !loop->again && list_empty(&loop->deferred);
        loop->again = false;
        loop->now_known = false;
        if (event_base_loop(loop->base, EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK)) < 0)
            panic("the event loop failed: %s", strerror(errno));
        run_messages(loop);
        if (loop->armed_due <= loop_now(loop))
            loop->armed_due = TIME_NEVER; /* it has fired or is about to; what is still due is armed again */
        run_timers(loop);
        if (loop->turn != NULL)
            loop->turn(loop->context);
        run_deferred(loop);
    }
    loop->now_known = false;
    loop->running = false;
}

/* --- watches --- */

struct loop_watch {
    struct loop  *loop;
    struct event *event;
    void (*ready)(void *context, unsigned what);
    void    *context;
    int      fd;
    unsigned what;
};

static void watch_ready(evutil_socket_t fd UNUSED, short what, void *context)
{
    struct loop_watch *watch = context;
    watch->ready(watch->context, ((what & EV_READ) ? LOOP_READ : 0u) | ((what & EV_WRITE) ? LOOP_WRITE : 0u));
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, void (*ready)(void *context, unsigned what),
                                  void *context)
{
    struct loop_watch *watch = xcalloc(1, sizeof *watch);
    *watch = (struct loop_watch){ .loop = loop, .ready = ready, .context = context, .fd = fd };
    watch->event = event_new(loop->base, fd, EV_PERSIST, watch_ready, watch);
    if (watch->event == NULL)
        panic("out of memory");
    return watch;
}

void loop_watch_set(struct loop_watch *watch, unsigned what)
{
    assert(loop_is_mine(watch->loop));
    if (what == watch->what)
        return;
    short events = (short)(EV_PERSIST | ((what & LOOP_READ) ? EV_READ : 0) |
                           ((what & LOOP_WRITE) ? EV_WRITE : 0));
    event_del(watch->event);
    event_assign(watch->event, watch->loop->base, watch->fd, events, watch_ready, watch);
    if (what != 0 && event_add(watch->event, NULL) != 0)
        panic("cannot watch descriptor %d: %s", watch->fd, strerror(errno));
    watch->what = what;
}

void loop_watch_free(struct loop_watch *watch)
{
    if (watch == NULL)
        return;
    event_free(watch->event);
    free(watch);
}
