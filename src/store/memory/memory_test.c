/* memory_test.c: the memory store keeps the contract in both modes; and what only a simulation asks of it. */
#include "store/memory.h"

#include "base/testing.h"
#include "store/contract/store_contract.h"

static struct store *open_immediate(const struct store_contract_subject *subject UNUSED)
{
    return store_memory_open(STORE_MEMORY_IMMEDIATE);
}
static struct store *open_manual(const struct store_contract_subject *subject UNUSED)
{
    return store_memory_open(STORE_MEMORY_MANUAL);
}
static const struct store_contract_subject immediate = { .name = "memory, immediate",
                                                         .open = open_immediate };
static const struct store_contract_subject manual = { .name = "memory, manual",
                                                      .open = open_manual,
                                                      .pump = store_memory_step };

__attribute__((constructor)) static void add_contract(void)
{
    store_contract_add(&immediate, testing_tests, &testing_count, TEST_COUNT_MAX);
    store_contract_add(&manual, testing_tests, &testing_count, TEST_COUNT_MAX);
}

static void nothing(struct message *message UNUSED) {}

static void put(struct store *store, struct store_batch *batch, struct mailbox *home, const char *key)
{
    store_batch_init(batch, home, nothing);
    store_batch_add(batch, STORE_ENTITY_PUT, 0)->entity = (struct store_entity){ .kind = 1,
                                                                                 .key = bytes_of_text(key),
                                                                                 .state = BYTES("state") };
    store_submit(store, batch);
}

static void ask(struct store *store, struct store_read *read, struct arena *arena, struct mailbox *home)
{
    *read = (struct store_read){
        .kind = STORE_READ_ENTITIES, .entity_kind = 1, .arena = arena, .home = home, .message.run = nothing
    };
    store_read(store, read);
}

TEST(a_manual_store_does_one_step_at_a_time)
{
    struct store      *store = store_memory_open(STORE_MEMORY_MANUAL);
    struct mailbox     mailbox;
    struct store_batch batch;
    struct store_read  read;
    struct arena       arena;
    mailbox_init(&mailbox, NULL, NULL);
    arena_init(&arena, SIZE_MAX);
    put(store, &batch, &mailbox, "a");
    ask(store, &read, &arena, &mailbox);
    CHECK_EQ(store_memory_pending(store), 2);
    CHECK_PTR(mailbox_take(&mailbox), NULL);
    CHECK(store_memory_step(store));
    CHECK_PTR(mailbox_take(&mailbox), &batch.message);
    CHECK(store_memory_step(store));
    CHECK_PTR(mailbox_take(&mailbox), &read.message);
    CHECK_EQ(read.entity_count, 1);
    CHECK(!store_memory_step(store));
    store_batch_release(&batch);
    arena_release(&arena);
    store_close(store);
}

TEST(a_crash_forgets_what_is_pending_and_keeps_the_rest)
{
    struct store      *store = store_memory_open(STORE_MEMORY_MANUAL);
    struct mailbox     mailbox;
    struct store_batch first, second;
    struct store_read  read;
    struct arena       arena;
    mailbox_init(&mailbox, NULL, NULL);
    arena_init(&arena, SIZE_MAX);
    put(store, &first, &mailbox, "a");
    put(store, &second, &mailbox, "b");
    CHECK(store_memory_step(store));
    store_memory_crash(store);
    CHECK_EQ(store_memory_pending(store), 0);
    ask(store, &read, &arena, &mailbox);
    CHECK(store_memory_step(store));
    CHECK_EQ(read.entity_count, 1);
    CHECK_BYTES(read.entities[0].key, BYTES("a"));
    store_batch_release(&first);
    store_batch_release(&second);
    arena_release(&arena);
    store_close(store);
}

/* Draws until a read asked after two batches came before both, between them and after both: all are legal. */
TEST(random_steps_keep_batches_in_order_and_let_reads_overtake)
{
    struct random random;
    bool          seen[3] = { false };
    random_seed(&random, 5);
    for (int round = 0; round < 100; round++) {
        struct store      *store = store_memory_open(STORE_MEMORY_MANUAL);
        struct mailbox     mailbox;
        struct store_batch first, second;
        struct store_read  read;
        struct arena       arena;
        mailbox_init(&mailbox, NULL, NULL);
        arena_init(&arena, SIZE_MAX);
        put(store, &first, &mailbox, "a");
        put(store, &second, &mailbox, "b");
        ask(store, &read, &arena, &mailbox);
        while (store_memory_step_random(store, &random))
            ;
        bool first_done = false;
        for (struct message *message = mailbox_take(&mailbox); message != NULL; message = message->next) {
            first_done = first_done || message == &first.message;
            CHECK(message != &second.message || first_done);
        }
        seen[read.entity_count] = true;
        store_batch_release(&first);
        store_batch_release(&second);
        arena_release(&arena);
        store_close(store);
    }
    CHECK(seen[0] && seen[1] && seen[2]);
}
