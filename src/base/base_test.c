/* base_test.c: the containers and slices that everything stands on. */
#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/random.h"
#include "base/table.h"
#include "base/testing.h"

TEST(utf8_accepts_well_formed_and_refuses_overlong_surrogates_and_cut_sequences)
{
    CHECK(bytes_is_utf8(BYTES("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")));
    CHECK(!bytes_is_utf8(BYTES("\xC0\xAF")));
    CHECK(!bytes_is_utf8(BYTES("\xED\xA0\x80")));
    CHECK(!bytes_is_utf8(BYTES("\xE2\x82")));
    CHECK(!bytes_is_utf8(BYTES("\xF4\x90\x80\x80")));
    CHECK(bytes_is_utf8(BYTES("nul\0inside")));
}

TEST(an_error_message_is_cut_at_a_character_boundary)
{
    struct error error;
    char         text[ERROR_MESSAGE_SIZE_MAX + 8];
    memset(text, 'x', sizeof text);
    memcpy(text + ERROR_MESSAGE_SIZE_MAX - 3, "\xE2\x82\xAC", 3);
    text[sizeof text - 1] = '\0';
    CHECK_EQ(error_set(&error, ST_NOT_FOUND, "%s", text), ST_NOT_FOUND);
    CHECK(bytes_is_utf8(bytes_of_text(error.message)));
    CHECK_INT(strlen(error.message), ERROR_MESSAGE_SIZE_MAX - 3);
}

TEST(an_arena_is_trimmed_only_while_nothing_is_in_it)
{
    struct arena arena;
    arena_init(&arena, 4096);
    arena_trim(&arena);
    memcpy(arena_must(arena_alloc(&arena, 5)), "bytes", 5);
    void *kept = arena.at - 8;
    arena_trim(&arena);
    CHECK(memcmp(kept, "bytes", 5) == 0);
    CHECK(arena.used_total > 0);
    arena_reset(&arena);
    arena_trim(&arena);
    CHECK_EQ(arena.used_total, 0);
    CHECK_PTR(arena.chunk, NULL);
    CHECK(arena_alloc(&arena, 4000) != NULL);
    arena_release(&arena);
}

TEST(a_bounded_arena_refuses_past_its_budget)
{
    struct arena arena;
    arena_init(&arena, 4096);
    CHECK(arena_alloc(&arena, 4000) != NULL);
    CHECK_PTR(arena_alloc(&arena, 4000), NULL);
    arena_reset(&arena);
    CHECK(arena_alloc(&arena, 4000) != NULL);
    CHECK_PTR(arena_zalloc(&arena, SIZE_MAX / 2, 4), NULL);
    arena_release(&arena);
}

TEST(heap_gives_equal_due_times_in_tie_order_and_removes_from_the_middle)
{
    struct heap      heap;
    struct heap_link links[100];
    struct random    random;
    random_seed(&random, 7);
    heap_init(&heap);
    for (size_t i = 0; i < ARRAY_COUNT(links); i++) {
        heap_link_init(&links[i]);
        heap_push(&heap, &links[i], (int64_t)random_below(&random, 10), i);
    }
    for (size_t i = 0; i < ARRAY_COUNT(links); i += 3)
        heap_remove(&heap, &links[i]);
    int64_t  due = INT64_MIN;
    uint64_t tie = 0;
    size_t   seen = 0;
    for (struct heap_link *first; (first = heap_first(&heap)) != NULL; seen++) {
        CHECK(first->due > due || (first->due == due && first->tie > tie));
        due = first->due;
        tie = first->tie;
        heap_remove(&heap, first);
    }
    CHECK_INT(seen, 66);
    heap_release(&heap);
}

TEST(table_finds_every_member_and_iterates_each_once)
{
    struct member {
        struct table_link link;
        uint64_t          key;
    } members[1000];
    struct table table;
    table_init(&table);
    for (uint64_t i = 0; i < 1000; i++) {
        members[i].key = i;
        table_insert(&table, &members[i].link, hash_u64(i) & 255); /* collisions on purpose */
    }
    for (uint64_t i = 0; i < 1000; i++) {
        struct table_link *at = table_first(&table, hash_u64(i) & 255);
        while (CONTAINER_OF(at, struct member, link)->key != i)
            at = table_next(at);
    }
    struct table_iterator iterator = { 0 };
    size_t                count = 0;
    for (struct table_link *at; (at = table_iterate(&table, &iterator)) != NULL; count++)
        table_remove(&table, at);
    CHECK_INT(count, 1000);
    CHECK_INT(table.count, 0);
    table_release(&table);
}

TEST(crc32c_matches_the_published_check_value)
{
    CHECK_EQ(crc32c(0, BYTES("123456789")), 0xE3069283U);
    CHECK_EQ(crc32c(crc32c(0, BYTES("12345")), BYTES("6789")), 0xE3069283U);
}

TEST(siphash_depends_on_every_byte_and_the_size)
{
    CHECK(hash_bytes(BYTES("abcdefgh")) != hash_bytes(BYTES("abcdefgi")));
    CHECK(hash_bytes(BYTES("a")) != hash_bytes(BYTES("a\0")));
    CHECK_EQ(hash_stable(BYTES("")), hash_stable(BYTES_EMPTY));
}

TEST(uuid_text_round_trips_and_bad_text_is_refused)
{
    struct random random;
    random_seed(&random, 1);
    struct uuid uuid = uuid_random(&random), again;
    char        text[UUID_TEXT_SIZE];
    uuid_print(&uuid, text);
    CHECK(uuid_parse(bytes_of(text, sizeof text), &again));
    CHECK(memcmp(&uuid, &again, sizeof uuid) == 0);
    text[3] = 'g';
    CHECK(!uuid_parse(bytes_of(text, sizeof text), &again));
    CHECK(!uuid_parse(BYTES("superneverexistwf!"), &again));
}

static int  woken;
static void wake(void *context UNUSED)
{
    woken++;
}
static void run(struct message *message UNUSED) {}

TEST(mailbox_wakes_once_and_keeps_the_order)
{
    struct mailbox mailbox;
    struct message messages[3] = { { NULL, run }, { NULL, run }, { NULL, run } };
    mailbox_init(&mailbox, wake, NULL);
    for (size_t i = 0; i < 3; i++)
        mailbox_post(&mailbox, &messages[i]);
    CHECK_INT(woken, 1);
    struct message *taken = mailbox_take(&mailbox);
    for (size_t i = 0; i < 3; i++, taken = taken->next)
        CHECK_PTR(taken, &messages[i]);
    CHECK_PTR(taken, NULL);
}

TEST(time_addition_stops_at_never)
{
    CHECK_EQ(time_add(INT64_MAX - 1, 5), TIME_NEVER);
    CHECK_EQ(time_add(TIME_NEVER, -5), TIME_NEVER);
    CHECK_EQ(time_add(3, 4), 7);
}
