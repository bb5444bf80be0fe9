/* mailbox_test.c: many senders, one receiver. Lanes, the store and the loop stand on this order: what one sender posted
 * first runs first, and a message is seen exactly once. Runs under ThreadSanitizer, too (tools/tsan_targets). */
#include "base/mailbox.h"

#include <pthread.h>
#include <semaphore.h>

#include "base/testing.h"

#define SENDERS  4
#define MESSAGES 20000

struct letter {
    struct message message;
    int            sender, number;
    uint64_t       content; /* plain memory: the post must publish it */
};
struct sender {
    struct mailbox *mailbox;
    struct letter  *letters;
    int             index;
};
struct receiver {
    struct mailbox mailbox;
    sem_t          wake;
    uint64_t       wakes; /* counted by whoever posts into an empty box; read at the end */
};

static void wake(void *context)
{
    struct receiver *receiver = context;
    __atomic_fetch_add(&receiver->wakes, 1, __ATOMIC_RELAXED);
    sem_post(&receiver->wake);
}

static void never_run(struct message *message UNUSED) {}

static uint64_t content_of(int sender, int number)
{
    return (uint64_t)sender << 32 | (uint64_t)number;
}

static void *send_all(void *context)
{
    struct sender *sender = context;
    for (int i = 0; i < MESSAGES; i++) {
        struct letter *letter = &sender->letters[i];
        *letter = (struct letter){ .message.run = never_run, .sender = sender->index, .number = i };
        letter->content = content_of(sender->index, i);
        mailbox_post(sender->mailbox, &letter->message);
    }
    return NULL;
}

/* Sleeps only when the box was empty: a wake that is lost would hang here, and the test's time limit would tell. */
static size_t receive_all(struct receiver *receiver, int *next)
{
    size_t received = 0;
    while (received < SENDERS * MESSAGES) {
        struct message *message = mailbox_take(&receiver->mailbox);
        if (message == NULL) {
            while (sem_wait(&receiver->wake) != 0)
                ;
            continue;
        }
        for (; message != NULL; message = message->next) {
            const struct letter *letter = CONTAINER_OF(message, struct letter, message);
            CHECK_EQ(letter->number, next[letter->sender]);
            CHECK(letter->content == content_of(letter->sender, letter->number));
            next[letter->sender]++;
            received++;
        }
    }
    return received;
}

TEST(every_sender_is_heard_in_its_order_and_no_wake_is_lost)
{
    struct receiver receiver = { .wakes = 0 };
    struct sender   senders[SENDERS];
    pthread_t       threads[SENDERS];
    int             next[SENDERS] = { 0 };
    sem_init(&receiver.wake, 0, 0);
    mailbox_init(&receiver.mailbox, wake, &receiver);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ &receiver.mailbox, xcalloc(MESSAGES, sizeof(struct letter)), i };
        CHECK_EQ(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    CHECK_EQ(receive_all(&receiver, next), SENDERS * MESSAGES);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    CHECK_PTR(mailbox_take(&receiver.mailbox), NULL);
    CHECK(receiver.wakes >= 1);
    for (int i = 0; i < SENDERS; i++) {
        CHECK_EQ(next[i], MESSAGES);
        free(senders[i].letters);
    }
    sem_destroy(&receiver.wake);
}
