/* known_test.c: what was added is always found, what was not hardly ever; and past its limit the filter says maybe. */
#include "shard/known.h"

#include "base/hash.h"
#include "base/testing.h"

TEST(what_was_added_is_found_through_every_segment)
{
    struct known known = { 0 };
    CHECK(!known_may_have(&known, hash_u64(1)));
    for (uint64_t i = 0; i < 300000; i++)
        known_add(&known, hash_u64(i));
    CHECK(known.segment_count >= 3);
    size_t wrong = 0, missing = 0;
    for (uint64_t i = 0; i < 300000; i++) {
        missing += !known_may_have(&known, hash_u64(i));
        wrong += known_may_have(&known, hash_u64(i + 1000000));
    }
    CHECK_EQ(missing, 0);
    CHECK(wrong < 300000 / 20);
    CHECK(known.size <= 300000 * 4);
    known_release(&known);
    CHECK_EQ(known.size, 0);
}

TEST(an_id_that_comes_again_takes_no_room)
{
    struct known known = { 0 };
    for (uint64_t i = 0; i < 1000000; i++)
        known_add(&known, hash_u64(i % 100));
    CHECK_EQ(known.segment_count, 1);
    known_release(&known);
}

TEST(a_filter_past_its_limit_is_given_up)
{
    struct known known = { 0 };
    uint64_t     added = 0;
    while (!known.given_up && added < 40000000)
        known_add(&known, hash_u64(added++));
    CHECK(known.given_up);
    CHECK(added > 4000000);
    CHECK_EQ(known.size, 0);
    CHECK(known_may_have(&known, hash_u64(UINT64_MAX)));
    known_add(&known, 1); /* and takes nothing any more */
    CHECK_EQ(known.size, 0);
    known_release(&known);
}
