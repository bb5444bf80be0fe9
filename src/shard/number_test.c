/* number_test.c: numbers only grow, whatever the clock does; run ids carry them. */
#include "shard/number.h"

#include "base/testing.h"

#define NOW_NS (INT64_C(1790000000) * NS_PER_S)

TEST(numbers_grow_when_the_clock_steps_back)
{
    struct number_source source = { .lane = 3 };
    store_number         first = number_next(&source, NOW_NS);
    store_number         second = number_next(&source, NOW_NS - 3600 * NS_PER_S);
    CHECK(second > first);
    CHECK(number_next(&source, NOW_NS + NS_PER_MS) > second);
}

TEST(a_spent_counter_borrows_from_the_next_millisecond)
{
    struct number_source source = { .lane = 1 };
    store_number         last = 0;
    for (int i = 0; i < (1 << NUMBER_COUNTER_BITS) + 100; i++) {
        store_number number = number_next(&source, NOW_NS);
        CHECK(number > last);
        last = number;
    }
}

TEST(two_lanes_never_give_the_same_number)
{
    struct number_source low = { .lane = 0 }, high = { .lane = 63 };
    store_number         a = number_next(&low, NOW_NS), b = number_next(&high, NOW_NS);
    CHECK(a != b);
    /* A lane that must follow the number of a higher lane goes past it. */
    low.last = b;
    CHECK(number_next(&low, NOW_NS) > b);
}

TEST(a_run_id_gives_its_number_back)
{
    struct number_source source = { .lane = 5 };
    struct random        random;
    random_seed(&random, 7);
    for (int i = 0; i < 1000; i++) {
        store_number number = number_next(&source,
                                          NOW_NS + (int64_t)random_below(&random, UINT64_C(1) << 55));
        struct uuid  id = run_id_make(number, random_next(&random));
        CHECK_EQ(run_id_number(&id), number);
        CHECK_INT(id.byte[6] >> 4, 8);
        CHECK_INT(id.byte[8] >> 6, 2);
    }
    struct uuid largest = run_id_make(INT64_MAX, UINT64_MAX);
    CHECK_EQ(run_id_number(&largest), INT64_MAX);
}

TEST(the_same_number_gives_different_ids)
{
    struct uuid a = run_id_make(42, 1), b = run_id_make(42, 2);
    CHECK(memcmp(&a, &b, sizeof(a)) != 0);
}
