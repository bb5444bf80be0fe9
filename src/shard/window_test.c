/* window_test.c: every rule of the protocol, with windows of 2: a key that is in neither memory nor a later refill is lost. */
#include "shard/window.h"

#include "base/testing.h"

struct row {
    struct window_link link;
};
static int rows_freed;

static void row_free(struct window_link *link)
{
    rows_freed++;
    free(CONTAINER_OF(link, struct row, link));
}

static struct window_link *row(void)
{
    struct row *new = xcalloc(1, sizeof(*new));
    return &new->link;
}

static struct window_key key(int64_t minor)
{
    return (struct window_key){ 0, minor };
}

static void release(struct window *window, int64_t minor)
{
    window_released(window, row(), key(minor));
}

static void refill_row(struct window *window, int64_t minor)
{
    window_refill_row(window, row(), key(minor));
}

static void removed(struct window *window, int64_t minor)
{
    struct window_link *link = window_removed(window, key(minor));
    if (link != NULL)
        row_free(link);
}

/* The lowest key, taken out; -1 when nothing is inside. */
static int64_t take(struct window *window)
{
    struct window_link *link = window_first(window);
    if (link == NULL)
        return -1;
    int64_t minor = link->key.minor;
    window_take(window, link);
    row_free(link);
    return minor;
}

static void at_end(struct window *window)
{
    window_init(window, 2, row_free);
    window_refill_begin(window);
    window_refill_end(window, true);
    CHECK(!window->more);
}

TEST(a_new_window_wants_a_refill_and_an_empty_index_ends_it)
{
    struct window window;
    window_init(&window, 2, row_free);
    CHECK(window_wants_refill(&window));
    window_refill_begin(&window);
    CHECK(!window_wants_refill(&window));
    window_refill_end(&window, true);
    CHECK(!window_wants_refill(&window));
    CHECK_EQ(take(&window), -1);
    window_release(&window);
}

TEST(keys_come_out_in_order_of_major_then_minor)
{
    struct window window;
    window_init(&window, 4, row_free);
    window_refill_begin(&window);
    window_refill_end(&window, true);
    window_released(&window, row(), (struct window_key){ 2, 1 });
    window_released(&window, row(), (struct window_key){ 1, 9 });
    window_released(&window, row(), (struct window_key){ 1, -3 });
    CHECK_EQ(take(&window), -3);
    CHECK_EQ(take(&window), 9);
    CHECK_EQ(take(&window), 1);
    window_release(&window);
}

TEST(a_key_above_the_mark_is_dropped_and_sets_more)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    refill_row(&window, 10);
    window_refill_end(&window, false); /* mark 10 */
    CHECK(window.more);
    window.more = false;
    release(&window, 11);
    CHECK(window.more);
    CHECK_EQ(take(&window), 10);
    CHECK_EQ(take(&window), -1);
    CHECK(window_wants_refill(&window));
    window_release(&window);
}

/* A hole between snapshot and commit: the reader was past 101 when 100 became durable, and its offer met a full window. */
TEST(a_key_below_the_mark_enters_a_full_window_and_the_highest_leaves)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    refill_row(&window, 99);
    refill_row(&window, 101);
    window_refill_end(&window, true);
    release(&window, 100);
    CHECK_EQ(window.items.count, 2);
    CHECK_EQ(take(&window), 99);
    CHECK_EQ(take(&window), 100);
    CHECK_EQ(take(&window), -1);
    /* 101 is not lost: the mark went below it. */
    CHECK(window_wants_refill(&window));
    CHECK_EQ(window.mark.minor, 100);
    window_refill_begin(&window);
    refill_row(&window, 101);
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), 101);
    window_release(&window);
}

/* The same hole of timers: T = 500 is beyond the window when it is applied; the refill's snapshot is older than its commit. */
TEST(a_key_released_during_a_refill_is_kept_and_merged)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    refill_row(&window, 400);
    window_refill_end(&window, false);
    CHECK_EQ(take(&window), 400);
    window_refill_begin(&window);
    release(&window, 500);
    refill_row(&window, 900);
    window_refill_end(&window, false);
    CHECK_EQ(window.mark.minor, 900);
    CHECK_EQ(take(&window), 500);
    CHECK_EQ(take(&window), 900);
    window_release(&window);
}

TEST(a_kept_key_beyond_the_end_of_the_rows_enters)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    release(&window, 500);
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), 500);
    CHECK(!window.more);
    window_release(&window);
}

TEST(a_kept_key_beyond_a_cut_page_waits_for_the_next_refill)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    release(&window, 500);
    refill_row(&window, 400);
    window_refill_end(&window, false);
    CHECK(window.more);
    CHECK_EQ(take(&window), 400);
    CHECK_EQ(take(&window), -1);
    CHECK(window_wants_refill(&window));
    window_release(&window);
}

TEST(a_key_that_is_kept_and_read_enters_once)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    release(&window, 5);
    refill_row(&window, 5);
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), 5);
    CHECK_EQ(take(&window), -1);
    window_release(&window);
}

TEST(a_key_removed_during_a_refill_does_not_come_back_with_its_rows)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    removed(&window, 5);
    refill_row(&window, 5);
    refill_row(&window, 6);
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), 6);
    CHECK_EQ(take(&window), -1);
    window_release(&window);
}

TEST(a_key_removed_and_released_again_during_a_refill_is_there)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    release(&window, 5);
    removed(&window, 5);
    release(&window, 5);
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), 5);
    window_release(&window);
}

TEST(when_the_kept_keys_are_too_many_the_mark_stays_below_the_first_dropped)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    for (int64_t minor = 20; minor <= 24; minor++)
        release(&window, minor); /* 4 are kept, 24 is dropped */
    release(&window, 15);        /* dropped too, and lower */
    refill_row(&window, 10);
    refill_row(&window, 30);
    window_refill_end(&window, true);
    CHECK(window.mark.minor < 15);
    CHECK(window.more);
    CHECK_EQ(take(&window), 10);
    CHECK_EQ(take(&window), -1);
    window_release(&window);
}

TEST(when_the_tombstones_are_too_many_the_mark_stays_below_the_first_dropped)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    for (int64_t minor = 1; minor <= 5; minor++)
        removed(&window, minor);
    refill_row(&window, 5); /* its tombstone had no room */
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), -1);
    CHECK(window.mark.minor < 5);
    CHECK(window.more);
    window_release(&window);
}

TEST(rows_past_the_capacity_stay_on_disk)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    for (int64_t minor = 1; minor <= 4; minor++)
        refill_row(&window, minor);
    window_refill_end(&window, true);
    CHECK_EQ(window.items.count, 2);
    CHECK_EQ(window.mark.minor, 2);
    CHECK(window.more);
    window_release(&window);
}

/* A task of a higher priority comes while a page of the lower one is on its way: it is below the mark, so it enters; the
 * mark goes down, and rows that were read for the old one must not jump it. */
TEST(the_mark_that_went_down_during_a_refill_is_not_moved_by_its_rows)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    refill_row(&window, 10);
    refill_row(&window, 20);
    window_refill_end(&window, false);
    CHECK_EQ(take(&window), 10);
    window_refill_begin(&window);
    release(&window, 1);
    release(&window, 2); /* 20 leaves */
    refill_row(&window, 30);
    window_refill_end(&window, true);
    CHECK_EQ(window.mark.minor, 19);
    CHECK_EQ(take(&window), 1);
    CHECK_EQ(take(&window), 2);
    CHECK_EQ(take(&window), -1);
    CHECK(window_wants_refill(&window));
    window_release(&window);
}

TEST(a_failed_refill_loses_nothing_that_was_kept)
{
    struct window window;
    window_init(&window, 2, row_free);
    window_refill_begin(&window);
    release(&window, 5);
    window_refill_failed(&window);
    CHECK(window.more);
    CHECK_EQ(take(&window), -1);
    window_refill_begin(&window);
    refill_row(&window, 5);
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), 5);
    window_release(&window);
}

TEST(a_dirty_window_starts_from_the_lowest_key_also_in_the_middle_of_a_refill)
{
    struct window window;
    at_end(&window);
    release(&window, 7);
    window_mark_dirty(&window);
    CHECK(window_wants_refill(&window));
    window_refill_begin(&window);
    refill_row(&window, 3);
    window_mark_dirty(&window);
    refill_row(&window, 7);
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), -1);
    CHECK(window_wants_refill(&window));
    window_refill_begin(&window);
    refill_row(&window, 3);
    refill_row(&window, 7);
    window_refill_end(&window, true);
    CHECK_EQ(take(&window), 3);
    CHECK_EQ(take(&window), 7);
    window_release(&window);
}

TEST(the_owner_of_a_removed_key_gets_its_row)
{
    struct window window;
    at_end(&window);
    release(&window, 7);
    struct window_link *link = window_removed(&window, key(7));
    CHECK(link != NULL);
    row_free(link);
    CHECK_PTR(window_removed(&window, key(7)), NULL);
    window_release(&window);
}

/* A model of disk and window: rows appear and go at random, refills read a snapshot taken at any point after they began,
 * pages are cut at random. At the end every row comes out once and in the end nothing is left. */
static void run_random(uint64_t seed)
{
    struct random random;
    random_seed(&random, seed);
    struct window window;
    window_init(&window, 2, row_free);
    bool    on_disk[64] = { false }, snapshot[64];
    int64_t snapshot_mark = 0;
    enum { IDLE, BEGUN, READ } phase = IDLE;
    for (int step = 0; step < 3000; step++) {
        bool    quiet = step >= 300; /* the rest only drains: everything must come out */
        int64_t minor = (int64_t)random_below(&random, 64);
        switch (random_below(&random, 6)) {
        case 0:
        case 1:
            if (!quiet && !on_disk[minor]) {
                on_disk[minor] = true;
                release(&window, minor);
            }
            break;
        case 2:
            if (!quiet && on_disk[minor]) {
                on_disk[minor] = false;
                removed(&window, minor);
            }
            break;
        case 3: {
            int64_t at = take(&window);
            if (at >= 0) {
                CHECK(on_disk[at]); /* never a row that is gone */
                on_disk[at] = false;
                removed(&window, at);
            }
            break;
        }
        default:
            if (phase == IDLE && window_wants_refill(&window)) {
                window_refill_begin(&window);
                phase = BEGUN;
            } else if (phase == BEGUN) {
                memcpy(snapshot, on_disk, sizeof(snapshot));
                snapshot_mark = window.mark.major < 0 ? -1 : window.mark.minor;
                phase = READ;
            } else if (phase == READ) {
                size_t limit = 1 + random_below(&random, 3);
                bool   end = true, failed = random_below(&random, 8) == 0;
                for (int64_t i = snapshot_mark + 1; i < 64 && !failed; i++) {
                    if (!snapshot[i])
                        continue;
                    if (limit-- == 0) {
                        end = false;
                        break;
                    }
                    refill_row(&window, i);
                }
                if (failed)
                    window_refill_failed(&window);
                else
                    window_refill_end(&window, end);
                phase = IDLE;
            }
        }
    }
    for (int i = 0; i < 64; i++)
        CHECK(!on_disk[i]);
    window_release(&window);
}

TEST(no_row_is_lost_or_comes_back_whatever_the_order)
{
    for (uint64_t seed = 1; seed <= 3000; seed++)
        run_random(seed);
}
