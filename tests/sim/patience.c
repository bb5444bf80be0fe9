/* patience.c: spans in which nothing happens but that time goes by, which cost nothing.
 *
 * When nobody has anything to do before some workflow's timer, workers and those who watch stay away until shortly before it:
 * their long polls end, and the next thing that is due is the timer, be it months away. The store knows it: its wake-ups are
 * never later than what runs wait for.
 */
#include "sim.h"

#define DOZE_MIN_NS (300 * NS_PER_S)         /* less is not worth it */
#define DOZE_MAX_NS (400 * 86400 * NS_PER_S) /* nothing that is waited for is as far away */

int64_t sim_span(struct sim *sim)
{
    static const int64_t scales[] = { 600, 36000, 864000, 60 * 86400 };
    int64_t              scale = scales[sim_between(sim, 0, 3)] * NS_PER_S;
    return sim_between(sim, scale / 10, scale);
}

/* The first row of the store, if there is any. */
static bool read_first(struct sim *sim, struct store_read *read, struct arena *arena)
{
    read->arena = arena;
    read->limit = 1;
    store_read_blocking(sim->store.inner, read, NULL, NULL);
    return read->ready_count + read->outbox_count + read->wakeup_count != 0;
}

/* When the first run wakes up; TIME_NEVER: none will, or there is work now. */
static int64_t first_wakeup(struct sim *sim)
{
    struct arena      arena;
    struct store_read ready = { .kind = STORE_READ_READY_ROWS, .after = INT64_MIN };
    struct store_read outbox = { .kind = STORE_READ_OUTBOX,
                                 .after_source_range = INT32_MIN,
                                 .after_target_range = INT32_MIN,
                                 .after = INT64_MIN };
    struct store_read wakeups = { .kind = STORE_READ_WAKEUPS, .after_due = INT64_MIN };
    int64_t           due = TIME_NEVER;
    arena_init(&arena, SIZE_MAX);
    if (!read_first(sim, &ready, &arena) && !read_first(sim, &outbox, &arena) &&
        read_first(sim, &wakeups, &arena))
        due = sim->now + wakeups.wakeups[0].due - sim->wall;
    arena_release(&arena);
    return due;
}

void sim_doze(struct sim *sim)
{
    const struct heap_link *first = heap_first(&sim->actions);
    if (!sim->patient || !sim->namespace_ready || sim->draining || sim->now < sim->doze_until ||
        (first != NULL && first->due < sim->now + DOZE_MIN_NS) || !list_empty(&sim->store.pending) ||
        !list_empty(&sim->store.done) || !sim_network_only_polls(sim))
        return;
    int64_t due = first_wakeup(sim);

    if (first != NULL)
        due = MIN(due, first->due);
    if (due < sim->now + DOZE_MIN_NS || due > sim->now + DOZE_MAX_NS)
        return;
    sim->doze_until = due - sim_between(sim, NS_PER_S, 60 * NS_PER_S);
    sim->dozed += sim->doze_until - sim->now;
    sim->statistics->dozes++;
    sim_log(sim, "nothing to do for %.0f s", (double)(sim->doze_until - sim->now) / 1e9);
}

void sim_wake(struct sim *sim)
{
    if (sim->doze_until <= sim->now)
        return;
    sim->dozed -= sim->doze_until - sim->now;
    sim->doze_until = sim->now;
}
