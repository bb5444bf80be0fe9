/* mailbox.h: how threads talk: intrusive messages from many senders to one receiver.
 *
 * A message is embedded in what it carries (a call, a store request, a batch), each of which exists only within a limit
 * of its own; so posting needs no memory and cannot fail, and the mailbox is bounded by those limits. A message is in
 * at most one mailbox at a time; until it has run, it belongs to the mailbox.
 *
 * Thread: mailbox_post from any; mailbox_take from the receiver only. `wake` is called after a post into an empty box, on
 * the posting thread, and must be thread-safe (an eventfd write; in a simulation a flag). The receiver may be quicker than
 * the wake, so what `wake_context` names must outlive the senders; the mailbox itself need not. `wake` is set before
 * the first post and does not change while there are senders.
 */
#ifndef BASE_MAILBOX_H
#define BASE_MAILBOX_H
#include <stdatomic.h>

#include "base/base.h"

struct message {
    struct message *next;
    void (*run)(struct message *message); /* on the receiver's thread */
};
struct mailbox {
    _Atomic(struct message *) newest; /* a stack; taken whole and reversed */
    void (*wake)(void *context);
    void *wake_context;
};
void mailbox_init(struct mailbox *mailbox, void (*wake)(void *context), void *wake_context);
void mailbox_post(struct mailbox *mailbox, struct message *message);
/* Everything posted so far, oldest first, linked by `next`; NULL when empty. */
struct message *mailbox_take(struct mailbox *mailbox);
#endif
