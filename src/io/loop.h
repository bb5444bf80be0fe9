/* loop.h: the event loop of one thread: sockets, timers, a mailbox, and one end-of-turn per iteration.
 *
 * An iteration ("turn") is: what sockets brought, what other threads posted, what timers are due, then the host's `turn`
 * (where a lane seals its batch), then the deferred work, each item once: so a connection that was written to by fifty
 * replies is flushed once. The order is fixed and hosts may rely on it.
 *
 * Owns:    its event_base, mailbox and clock reading; not the watches, timers and deferrals linked into it: their owners
 *          take them out before they die.
 * Thread:  the one that calls loop_run. From elsewhere only loop_wake, loop_stop and mailbox_post(loop_mailbox(...)).
 * Limits:  work posted during the deferred phase waits for the next turn, so a turn ends.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H
#include "base/base.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mailbox.h"

struct loop;
struct loop_options {
    const struct clock
        *clock; /* NULL: the system's. Only its monotonic half is read; it must run at the real pace */
    /* Called in every turn after sockets, mailbox and timers, before the deferred work; may be NULL. */
    void (*turn)(void *context);
    void *context;
};
/* NULL only when the system has no descriptors left; errno says so. */
struct loop *loop_new(const struct loop_options *options) MUST_USE;
void         loop_free(struct loop *loop);
/* For hosts that are made after their loop. */
void loop_set_turn(struct loop *loop, void (*turn)(void *context), void *context);
/* Turns until loop_stop. May be called again afterwards. */
void loop_run(struct loop *loop);
/* Thread-safe and safe in a signal handler: the running turn is finished, then loop_run returns. */
void loop_stop(struct loop *loop);
/* Thread-safe: makes the loop turn at least once more. Takes a void pointer to serve as a mailbox's `wake`. */
void loop_wake(void *loop);
/* The loop's own mailbox: messages run on the loop's thread. */
struct mailbox *loop_mailbox(struct loop *loop);
/* On the loop's thread: another turn follows without waiting. For what deferred work brings to the host, whose turn is over. */
void loop_again(struct loop *loop);
/* Monotonic nanoseconds, read at most once per turn. */
int64_t loop_now(struct loop *loop);
/* Whether the caller runs on the thread that is inside loop_run (or none is). For asserts. */
bool loop_is_mine(const struct loop *loop);

/* --- timers: never early, resolution of the system's. --- */
struct loop_timer {
    struct heap_link link;
    void (*fire)(struct loop_timer
                     *timer); /* the timer is out of the loop by then and may be set again; NULL: only turn */
};
static inline void loop_timer_init(struct loop_timer *timer, void (*fire)(struct loop_timer *timer))
{
    heap_link_init(&timer->link);
    timer->fire = fire;
}
/* Sets or moves it; TIME_NEVER clears. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t due_monotonic_ns);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/* --- deferred work: runs once at the end of the turn, after the host's `turn`. --- */
struct loop_deferred {
    struct list link;
    void (*run)(struct loop_deferred *deferred);
};
static inline void loop_deferred_init(struct loop_deferred *deferred,
                                      void (*run)(struct loop_deferred *deferred))
{
    list_init(&deferred->link);
    deferred->run = run;
}
/* No effect when it is waiting already. Deferring from within the deferred phase means the next turn, which then comes
 * without waiting for anything. */
void loop_defer(struct loop *loop, struct loop_deferred *deferred);
void loop_defer_cancel(struct loop *loop, struct loop_deferred *deferred);

/* --- watches: level-triggered readiness of descriptors. --- */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_watch; /* one per descriptor */
struct loop_watch *loop_watch_new(struct loop *loop, int fd, void (*ready)(void *context, unsigned what),
                                  void *context);
/* What to wait for: LOOP_READ | LOOP_WRITE; 0 rests. Cheap when nothing changes. */
void loop_watch_set(struct loop_watch *watch, unsigned what);
/* Does not close the descriptor. NULL is fine. */
void loop_watch_free(struct loop_watch *watch);
#endif
