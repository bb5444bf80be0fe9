/* window.c: the lowest keys of an ordered index of rows, and the refills that move its mark. */
#include "shard/window.h"
#include "base/mutant.h"

#include "base/hash.h"

#define KEY_LOWEST  ((struct window_key){ INT64_MIN, INT64_MIN })
#define KEY_HIGHEST ((struct window_key){ INT64_MAX, INT64_MAX })
/* Kept keys and tombstones, each: what a refill may meet, counted in windows. */
#define KEPT_WINDOWS 2

/* A key that was removed while a refill was under way: its row may still be in what was read. */
struct tombstone {
    struct table_link table;
    struct window_key key;
};

static int key_compare(struct window_key a, struct window_key b)
{
    if (a.major != b.major)
        return a.major < b.major ? -1 : 1;
    return (a.minor > b.minor) - (a.minor < b.minor);
}

static struct window_key key_before(struct window_key key)
{
    if (key.minor != INT64_MIN)
        return (struct window_key){ key.major, key.minor - 1 };
    assert(key.major != INT64_MIN);
    return (struct window_key){ key.major - 1, INT64_MAX };
}

static uint64_t key_hash(struct window_key key)
{
    return hash_combine(hash_u64((uint64_t)key.major), (uint64_t)key.minor);
}

static struct window_link *find(const struct table *table, struct window_key key)
{
    for (struct table_link *at = table_first(table, key_hash(key)); at != NULL; at = table_next(at)) {
        struct window_link *link = CONTAINER_OF(at, struct window_link, table);
        if (key_compare(link->key, key) == 0)
            return link;
    }
    return NULL;
}

static void insert(struct heap *heap, struct table *table, struct window_link *link)
{
    heap_link_init(&link->heap);
    /* The heap's tie is unsigned; flipping the sign bit keeps the order of signed numbers. */
    heap_push(heap, &link->heap, link->key.major, (uint64_t)link->key.minor ^ UINT64_C(1) << 63);
    table_insert(table, &link->table, key_hash(link->key));
}

static void extract(struct heap *heap, struct table *table, struct window_link *link)
{
    heap_remove(heap, &link->heap);
    table_remove(table, &link->table);
}

static struct window_link *lowest(const struct heap *heap)
{
    struct heap_link *first = heap_first(heap);
    return first == NULL ? NULL : CONTAINER_OF(first, struct window_link, heap);
}

static void drop_all(struct window *window, struct heap *heap, struct table *table)
{
    while (heap->count != 0) {
        struct window_link *link = CONTAINER_OF(heap->members[heap->count - 1], struct window_link, heap);
        extract(heap, table, link);
        window->item_free(link);
    }
}

static struct tombstone *tombstone_find(const struct window *window, struct window_key key)
{
    for (struct table_link *at = table_first(&window->tombstones, key_hash(key)); at != NULL;
         at = table_next(at)) {
        struct tombstone *tombstone = CONTAINER_OF(at, struct tombstone, table);
        if (key_compare(tombstone->key, key) == 0)
            return tombstone;
    }
    return NULL;
}

static void tombstone_drop(struct window *window, struct tombstone *tombstone)
{
    table_remove(&window->tombstones, &tombstone->table);
    free(tombstone);
}

static void tombstones_clear(struct window *window)
{
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&window->tombstones, &iterator)) != NULL;)
        tombstone_drop(window, CONTAINER_OF(at, struct tombstone, table));
}

/* The memory beside a refill is spent: the mark may not pass this key. */
static void kept_overflow(struct window *window, struct window_key key)
{
    if (!window->kept_overflow || key_compare(key, window->kept_lowest_dropped) < 0)
        window->kept_lowest_dropped = key;
    window->kept_overflow = true;
}

/* Takes a key up to the mark in. A full window gives its highest key up, and the mark goes below that. */
static void enter(struct window *window, struct window_link *link)
{
    if (find(&window->by_key, link->key) != NULL) {
        window->item_free(link);
        return;
    }
    insert(&window->items, &window->by_key, link);
    if (window->items.count <= window->capacity)
        return;
    struct window_link *highest = CONTAINER_OF(heap_last(&window->items), struct window_link, heap);
    assert(key_compare(highest->key, window->mark) <= 0);
    if (!MUTANT(window_mark_kept))
        window->mark = key_before(highest->key);
    window->more = true;
    window->refill_stopped = window->refilling;
    extract(&window->items, &window->by_key, highest);
    window->item_free(highest);
}

/* Moves the mark up to `key`, taking in what was kept on the way. False when it had to stop before. */
static bool advance(struct window *window, struct window_key key)
{
    while (!window->refill_stopped) {
        struct window_link *link = lowest(&window->kept);
        if (link == NULL || key_compare(link->key, key) > 0)
            break;
        if (window->kept_overflow && key_compare(link->key, window->kept_lowest_dropped) >= 0)
            break;
        extract(&window->kept, &window->kept_by_key, link);
        window->mark = link->key;
        enter(window, link);
    }
    if (window->refill_stopped)
        return false;
    if (window->kept_overflow && key_compare(key, window->kept_lowest_dropped) >= 0) {
        struct window_key limit = key_before(window->kept_lowest_dropped);
        if (key_compare(limit, window->mark) > 0)
            window->mark = limit;
        window->refill_stopped = true;
        return false;
    }
    window->mark = key;
    return true;
}

static void refill_over(struct window *window)
{
    if (window->kept.count != 0 || window->kept_overflow || window->refill_stopped)
        window->more = true;
    drop_all(window, &window->kept, &window->kept_by_key);
    tombstones_clear(window);
    window->kept_overflow = false;
    window->refilling = false;
    window->refill_stopped = false;
}

void window_init(struct window *window, size_t capacity, void (*item_free)(struct window_link *link))
{
    assert(capacity > 0);
    *window = (struct window){
        .capacity = capacity, .mark = KEY_LOWEST, .more = !MUTANT(wakeups_not_loaded), .item_free = item_free
    };
    heap_init(&window->items);
    table_init(&window->by_key);
    heap_init(&window->kept);
    table_init(&window->kept_by_key);
    table_init(&window->tombstones);
}

void window_release(struct window *window)
{
    drop_all(window, &window->items, &window->by_key);
    drop_all(window, &window->kept, &window->kept_by_key);
    tombstones_clear(window);
    heap_release(&window->items);
    table_release(&window->by_key);
    heap_release(&window->kept);
    table_release(&window->kept_by_key);
    table_release(&window->tombstones);
}

void window_released(struct window *window, struct window_link *link, struct window_key key)
{
    link->key = key;
    if (key_compare(key, window->mark) <= 0) {
        enter(window, link);
        return;
    }
    if (!window->refilling) {
        window->more = true;
        window->item_free(link);
        return;
    }
    if (MUTANT(window_drops_kept)) {
        window->item_free(link);
        return;
    }
    struct tombstone *tombstone = tombstone_find(window, key);
    if (tombstone != NULL)
        tombstone_drop(window, tombstone);
    if (window->kept.count >= KEPT_WINDOWS * window->capacity) {
        kept_overflow(window, key);
        window->item_free(link);
    } else if (find(&window->kept_by_key, key) != NULL) {
        window->item_free(link);
    } else {
        insert(&window->kept, &window->kept_by_key, link);
    }
}

struct window_link *window_removed(struct window *window, struct window_key key)
{
    struct window_link *link = find(&window->by_key, key);
    if (link != NULL) {
        extract(&window->items, &window->by_key, link);
        return link;
    }
    if (!window->refilling || key_compare(key, window->mark) <= 0)
        return NULL;
    link = find(&window->kept_by_key, key);
    if (link != NULL)
        extract(&window->kept, &window->kept_by_key, link);
    if (tombstone_find(window, key) == NULL) {
        if (window->tombstones.count >= KEPT_WINDOWS * window->capacity) {
            kept_overflow(window, key);
        } else {
            struct tombstone *tombstone = xcalloc(1, sizeof(*tombstone));
            tombstone->key = key;
            table_insert(&window->tombstones, &tombstone->table, key_hash(key));
        }
    }
    return link;
}

struct window_link *window_first(const struct window *window)
{
    return lowest(&window->items);
}

void window_take(struct window *window, struct window_link *link)
{
    assert(heap_linked(&link->heap));
    extract(&window->items, &window->by_key, link);
}

bool window_wants_refill(const struct window *window)
{
    return window->more && !window->refilling && window->items.count * 2 <= window->capacity;
}

void window_refill_begin(struct window *window)
{
    assert(!window->refilling);
    assert(window->kept.count == 0 && window->tombstones.count == 0);
    window->refilling = true;
    window->refill_stopped = false;
    window->kept_overflow = false;
    /* Whatever sets it from now on sets it for good. */
    window->more = false;
}

void window_refill_row(struct window *window, struct window_link *link, struct window_key key)
{
    assert(window->refilling);
    link->key = key;
    if (key_compare(key, window->mark) <= 0 || window->refill_stopped || !advance(window, key) ||
        tombstone_find(window, key) != NULL)
        window->item_free(link);
    else
        enter(window, link);
}

void window_refill_pass(struct window *window, struct window_key key)
{
    assert(window->refilling);
    if (key_compare(key, window->mark) > 0)
        advance(window, key);
}

void window_refill_end(struct window *window, bool end)
{
    assert(window->refilling);
    if ((!end && !MUTANT(window_mark_to_end)) || window->refill_stopped)
        window->more = true;
    else
        advance(window, KEY_HIGHEST);
    refill_over(window);
}

void window_refill_failed(struct window *window)
{
    assert(window->refilling);
    window->more = true;
    refill_over(window);
}

void window_mark_empty(struct window *window)
{
    assert(!window->refilling && window->items.count == 0);
    window->mark = KEY_HIGHEST;
    window->more = false;
}

void window_mark_dirty(struct window *window)
{
    drop_all(window, &window->items, &window->by_key);
    drop_all(window, &window->kept, &window->kept_by_key);
    window->mark = KEY_LOWEST;
    window->more = true;
    /* What a refill under way brings lies above the old mark only: none of it may move the new one. */
    window->refill_stopped = window->refilling;
}
