/* mailbox.c: a lock-free stack that the receiver takes whole, so there is no ABA. */
#include "base/mailbox.h"

void mailbox_init(struct mailbox *mailbox, void (*wake)(void *context), void *wake_context)
{
    atomic_init(&mailbox->newest, NULL);
    mailbox->wake = wake;
    mailbox->wake_context = wake_context;
}

void mailbox_post(struct mailbox *mailbox, struct message *message)
{
    assert(message->run != NULL);
    /* Once the message is in, its receiver may run it and be gone: the mailbox is not looked at again. */
    void (*wake)(void *context) = mailbox->wake;
    void           *wake_context = mailbox->wake_context;
    struct message *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    do
        message->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &newest, message, memory_order_release,
                                                  memory_order_relaxed));
    if (newest == NULL && wake != NULL)
        wake(wake_context);
}

struct message *mailbox_take(struct mailbox *mailbox)
{
    struct message *at = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire),
                   *oldest = NULL;
    while (at != NULL) {
        struct message *older = at->next;
        at->next = oldest;
        oldest = at;
        at = older;
    }
    return oldest;
}
