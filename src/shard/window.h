/* window.h: the part of an ordered index of rows that is held in memory. One component for wake-ups, ready tasks, outbox.
 *
 * Rows are on disk; a window holds the lowest keys up to a mark, so that ten million rows cost disk and not RAM.
 * The protocol that loses nothing (each rule has its test here and in the simulator, with windows of 2):
 *  - a key enters when its batch is released, never when it is applied;
 *  - a refill reads the rows after the mark, once every batch that was sealed before it began is durable; keys released and
 *    keys removed while it is under way are kept beside it; then rows and kept keys are merged by key, tombstones drop
 *    out, and the mark moves to the last key read, or to the end;
 *  - a released key up to the mark always enters (when the window is full the highest one leaves and the mark goes below
 *    it); above the mark it is dropped and `more` is set.
 *
 * Thread: one lane's. Memory: capacity keys, and as many kept keys as a refill may meet (past it the mark stays below the
 * lowest key that was dropped).
 */
#ifndef SHARD_WINDOW_H
#define SHARD_WINDOW_H
#include "base/heap.h"
#include "base/table.h"
#include "store/store.h"

/* (major, minor): (due, entity) of a wake-up; (priority, sequence) of a ready task; (link, number) of an outbox row. */
struct window_key {
    int64_t major;
    int64_t minor;
};
struct window_item; /* the owner's row, with a struct window_link inside */
struct window_link {
    struct window_key key;
    struct heap_link  heap;  /* order within the window */
    struct table_link table; /* by key */
};
struct window {
    struct heap       items;
    struct table      by_key;
    size_t            capacity;
    struct window_key mark; /* every durable row up to and including it is inside, or was taken */
    bool              more; /* there may be rows above the mark */
    bool              refilling;
    bool refill_stopped; /* the mark may not follow the rows any more: a key went past the window's memory */
    struct heap       kept; /* released during a refill, above the mark */
    struct table      kept_by_key, tombstones;
    bool              kept_overflow;
    struct window_key kept_lowest_dropped;
    void (*item_free)(struct window_link *link); /* for keys that leave without being taken */
};
void window_init(struct window *window, size_t capacity, void (*item_free)(struct window_link *link));
void window_release(struct window *window);
/* A durable row appeared. Takes ownership of the link (frees it when it does not enter). */
void window_released(struct window *window, struct window_link *link, struct window_key key);
/* A durable row went, or is being worked on by its owner. Returns the link when it was inside; the caller's then. */
struct window_link *window_removed(struct window *window, struct window_key key);
/* The lowest inside; NULL: none inside (look at window_wants_refill). Stays inside until window_take. */
struct window_link *window_first(const struct window *window);
void                window_take(struct window *window, struct window_link *link);
bool                window_wants_refill(const struct window *window);
/* First this, then (once every batch sealed before is durable) read the rows whose key is greater than `mark`. */
void window_refill_begin(struct window *window);
/* One row of what was read, in order. Takes ownership. */
void window_refill_row(struct window *window, struct window_link *link, struct window_key key);
/* The rows up to this key are covered; those not given are of no interest here (another lane's). */
void window_refill_pass(struct window *window, struct window_key key);
/* `end`: there was no further row. */
void window_refill_end(struct window *window, bool end);
void window_refill_failed(struct window *window); /* the read failed; what was kept enters or sets more */
/* A new window of which it is known that there are no rows: what is released enters. */
void window_mark_empty(struct window *window);
/* Everything may be stale (a lost hint, another owner): start from the lowest key again. */
void window_mark_dirty(struct window *window);
#endif
