/* heap.h: a binary heap of intrusive members, soonest first.
 *
 * Order is (due, tie): members with one due time come out by `tie`, which callers give in commit order, because replay
 * depends on it. A member must leave the heap before it dies.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H
#include "base/base.h"

#define HEAP_IDLE SIZE_MAX
struct heap_link {
    int64_t  due;
    uint64_t tie;
    size_t   index; /* HEAP_IDLE while in no heap */
};
struct heap {
    struct heap_link **members;
    size_t             count, capacity;
};
static inline void heap_link_init(struct heap_link *link)
{
    link->index = HEAP_IDLE;
}
static inline bool heap_linked(const struct heap_link *link)
{
    return link->index != HEAP_IDLE;
}
void heap_init(struct heap *heap);
void heap_release(struct heap *heap);
void heap_push(struct heap *heap, struct heap_link *link, int64_t due, uint64_t tie);
/* Safe on a member that is in no heap. */
void heap_remove(struct heap *heap, struct heap_link *link);
/* The soonest; NULL when empty. It stays inside. */
struct heap_link *heap_first(const struct heap *heap);
/* The one that would come out last (a walk over the leaves: O(n/2)); NULL when empty. */
struct heap_link *heap_last(const struct heap *heap);
#endif
