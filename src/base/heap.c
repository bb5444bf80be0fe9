/* heap.c: sift up, sift down. */
#include "base/heap.h"

void heap_init(struct heap *heap)
{
    *heap = (struct heap){ 0 };
}

void heap_release(struct heap *heap)
{
    free(heap->members);
    heap_init(heap);
}

static bool before(const struct heap_link *a, const struct heap_link *b)
{
    return a->due != b->due ? a->due < b->due : a->tie < b->tie;
}

static void place(struct heap *heap, struct heap_link *link, size_t index)
{
    heap->members[index] = link;
    link->index = index;
}

static void sift_up(struct heap *heap, struct heap_link *link, size_t index)
{
    while (index > 0 && before(link, heap->members[(index - 1) / 2])) {
        place(heap, heap->members[(index - 1) / 2], index);
        index = (index - 1) / 2;
    }
    place(heap, link, index);
}

static void sift_down(struct heap *heap, struct heap_link *link, size_t index)
{
    for (;;) {
        size_t child = index * 2 + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(heap->members[child + 1], heap->members[child]))
            child++;
        if (!before(heap->members[child], link))
            break;
        place(heap, heap->members[child], index);
        index = child;
    }
    place(heap, link, index);
}

void heap_push(struct heap *heap, struct heap_link *link, int64_t due, uint64_t tie)
{
    assert(!heap_linked(link));
    if (heap->count == heap->capacity) {
        heap->capacity = MAX(heap->capacity * 2, (size_t)16);
        heap->members = xrealloc(heap->members, heap->capacity * sizeof(struct heap_link *));
    }
    link->due = due;
    link->tie = tie;
    heap->count++;
    sift_up(heap, link, heap->count - 1);
}

void heap_remove(struct heap *heap, struct heap_link *link)
{
    if (!heap_linked(link))
        return;
    size_t index = link->index;
    assert(index < heap->count && heap->members[index] == link);
    struct heap_link *last = heap->members[--heap->count];
    heap_link_init(link);
    if (last == link)
        return;
    if (index > 0 && before(last, heap->members[(index - 1) / 2]))
        sift_up(heap, last, index);
    else
        sift_down(heap, last, index);
}

struct heap_link *heap_first(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->members[0];
}

struct heap_link *heap_last(const struct heap *heap)
{
    struct heap_link *last = NULL;
    for (size_t i = heap->count / 2; i < heap->count; i++) {
        if (last == NULL || before(last, heap->members[i]))
            last = heap->members[i];
    }
    return last;
}
