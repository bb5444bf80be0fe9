/* history_read.c: pages of history, made of what memory holds (the tail) and of stored rows.
 *
 * The tail is pinned (copied) first, then rows below it are read: what the tail has dropped by then is durable, so there is
 * no gap between the two whatever becomes durable in between. Clients see durable events only; decide may see all.
 */
#include "base/mutant.h"
#include "shard/shard_internal.h"

#include "history/batch.h"

#define SCAN_PAGE_SIZE  (1U << 20)
#define SCAN_PAGE_ROWS  256
#define EVENTS_CAPACITY 32

struct pinned_row {
    int64_t       first_event_id;
    struct bytes *events;
    size_t        count;
};

struct scan {
    struct cold       cold;
    struct list       link; /* in lane->scans while the store works for it */
    struct lane      *lane;
    bool              forgotten;
    struct arena      arena;
    struct store_read read;
    /* what */
    store_number branch; /* the run's own */
    int64_t      first, last;
    bool         backward;
    size_t       count_limit, size_limit;
    /* where in the store: the branches of the run's history, and the one that is read now */
    struct history_segment *segments;
    size_t                  segment_count, segment;
    /* from memory: all events from memory_from on, as far as they are asked for */
    struct pinned_row *pinned;
    size_t             pinned_count;
    int64_t            memory_from;
    /* the answer so far */
    int64_t       expected; /* the next event id to come: up, or down when backward */
    struct bytes *events;
    size_t        count, capacity, size;
    bool          done;
    uint64_t      forgets; /* of the lane, when memory was pinned */
    struct error  error;
    /* for whom: one of them */
    struct request      *request;
    struct history_read *page;
};

/* --- the tail --- */

void tail_append(struct entity *entity, int64_t first_event_id, size_t event_count, struct bytes packed)
{
    struct tail_row *row = xmalloc(sizeof(*row) + packed.size);
    row->first_event_id = first_event_id;
    row->event_count = event_count;
    row->size = packed.size;
    memcpy(row->data, packed.base, packed.size);
    list_append(&entity->tail, &row->link);
    entity->tail_size += sizeof(*row) + row->size;
}

static void pin(struct scan *scan, int64_t first_event_id, size_t count, struct bytes packed)
{
    struct pinned_row *row = &scan->pinned[scan->pinned_count++];
    struct bytes       copy = arena_copy(&scan->arena, packed);
    row->first_event_id = first_event_id;
    row->events = ARENA_NEW_ARRAY(&scan->arena, struct bytes, count);
    struct batch_cursor cursor = batch_begin(copy);
    for (bool more = true;;) {
        struct bytes event;
        struct error error;
        if (batch_next(&cursor, &event, &more, &error) != ST_OK)
            panic("a row in memory is damaged: %s", error.message);
        if (!more)
            break;
        assert(row->count < count);
        row->events[row->count++] = event;
    }
    assert(row->count == count);
}

/* Copies what memory holds of [first, last]; `undurable` with what the open batch holds. */
static void pin_memory(struct scan *scan, struct entity *entity, bool undurable)
{
    size_t rows = 1;
    scan->memory_from = INT64_MAX;
    if (entity == NULL)
        return;
    LIST_FOR_EACH (row, &entity->tail, struct tail_row, link) {
        rows++;
        if (scan->memory_from == INT64_MAX)
            scan->memory_from = row->first_event_id;
    }
    const struct change *open = undurable ? entity->open : NULL;
    if (open != NULL && open->event_count != 0)
        scan->memory_from = MIN(scan->memory_from, open->first_event_id);
    scan->pinned = ARENA_NEW_ARRAY(&scan->arena, struct pinned_row, rows);
    LIST_FOR_EACH (row, &entity->tail, struct tail_row, link) {
        if (row->first_event_id <= scan->last &&
            row->first_event_id + (int64_t)row->event_count > scan->first)
            pin(scan, row->first_event_id, row->event_count, bytes_of(row->data, row->size));
    }
    if (open != NULL && open->event_count != 0 && open->first_event_id <= scan->last)
        pin(scan, open->first_event_id, open->event_count, buffer_bytes(&open->events));
}

/* --- branches --- */

static void set_segments(struct scan *scan, const struct entity *entity, const struct history_read *page)
{
    const struct history_segment *prefix = page == NULL ? NULL : page->prefix;
    size_t                        count = page == NULL ? 0 : page->prefix_count;
    if (entity != NULL)
        count = entity->kind->history_prefix(entity->state, &prefix);
    scan->segments = ARENA_NEW_ARRAY(&scan->arena, struct history_segment, count + 1);
    if (count != 0)
        memcpy(scan->segments, prefix, count * sizeof(*prefix));
    scan->segments[count] = (struct history_segment){ scan->branch, INT64_MAX };
    scan->segment_count = count + 1;
}

/* The branch that has the next event. */
static size_t segment_of(const struct scan *scan)
{
    size_t at = 0;
    while (scan->segments[at].last_event_id < scan->expected)
        at++;
    return at;
}

/* --- adding rows to the answer --- */

static void add_event(struct scan *scan, struct bytes event)
{
    if (scan->count == scan->capacity) {
        size_t        capacity = MAX(scan->capacity * 2, (size_t)EVENTS_CAPACITY);
        struct bytes *events = ARENA_NEW_ARRAY(&scan->arena, struct bytes, capacity);
        if (scan->count != 0)
            memcpy(events, scan->events, scan->count * sizeof(*events));
        scan->events = events;
        scan->capacity = capacity;
    }
    scan->events[scan->count++] = event;
    scan->size += event.size;
}

static void page_end(struct scan *scan)
{
    bool over = scan->backward ? scan->expected < scan->first : scan->expected > scan->last;
    if (over || (scan->count_limit != 0 && scan->count >= scan->count_limit) ||
        (scan->size_limit != 0 && scan->size >= scan->size_limit))
        scan->done = true;
}

/* A whole row; what lies outside of what is asked for is left out. False: it does not follow what was there before. */
static bool add_row(struct scan *scan, int64_t first_event_id, const struct bytes *events, size_t count)
{
    int64_t end = first_event_id + (int64_t)count;
    if (count == 0 || (scan->backward ? first_event_id > scan->expected : end <= scan->expected))
        return true;
    if (scan->backward ? end - 1 < scan->expected : first_event_id > scan->expected)
        return false;
    if (scan->backward) {
        for (; scan->expected >= MAX(first_event_id, scan->first); scan->expected--)
            add_event(scan, events[scan->expected - first_event_id]);
    } else {
        for (; scan->expected <= MIN(end - 1, scan->last); scan->expected++)
            add_event(scan, events[scan->expected - first_event_id]);
    }
    page_end(scan);
    return true;
}

static void add_pinned(struct scan *scan)
{
    for (size_t i = 0; i < scan->pinned_count && !scan->done; i++) {
        const struct pinned_row *row = &scan->pinned[scan->backward ? scan->pinned_count - 1 - i : i];
        if (!add_row(scan, row->first_event_id, row->events, row->count))
            panic("memory has a gap before event %" PRId64 " of run %" PRId64, row->first_event_id,
                  scan->branch);
    }
}

/* --- the end --- */

static void page_home(struct message *message)
{
    struct history_read *page = CONTAINER_OF(message, struct history_read, message);
    page->done(page);
}

static void page_over(struct scan *scan)
{
    struct history_read *page = scan->page;
    struct lane         *lane = scan->lane;
    page->error = scan->error;
    page->events = scan->events;
    page->event_count = scan->count;
    page->next = 0;
    if (scan->error.code == ST_OK &&
        (scan->backward ? scan->expected >= scan->first : scan->expected <= scan->last))
        page->next = scan->expected;
    arena_adopt(page->arena, &scan->arena);
    if (page->home == lane) {
        list_append(&lane->reads_finished, &page->link);
        return;
    }
    page->message.run = page_home;
    mailbox_post(&page->home->mailbox, &page->message);
}

static void scan_free(struct scan *scan)
{
    list_remove(&scan->link);
    arena_release(&scan->arena);
    free(scan);
}

static void request_ready(struct scan *scan)
{
    struct request *request = scan->request;
    assert(request != NULL); /* a page has no decision that waits for it */
    request->cold = (struct event_range){ scan->first, scan->events, scan->count };
    arena_adopt(request->arena, &scan->arena);
}

/* What came from the store is complete, or it failed. */
static void scan_over(struct scan *scan)
{
    struct lane *lane = scan->lane;
    lane->waiting--;
    if (scan->page != NULL) {
        page_over(scan);
    } else if (scan->error.code != ST_OK) {
        bool as_it_is = scan->error.code == ST_DATA_LOSS || scan->error.code == ST_INTERNAL;
        lane_fail(lane, scan->request, as_it_is ? scan->error.code : ST_UNAVAILABLE,
                  "the history could not be read: %s", scan->error.message);
    } else {
        /* Something was forgotten meanwhile, perhaps the very events that were pinned: without them it asks again. */
        if (scan->forgets == lane->forgets)
            request_ready(scan);
        request_process(lane, scan->request);
    }
    scan_free(scan);
    cold_end(lane);
}

/* --- the store's part --- */

static void scan_answered(struct message *message);

static void scan_read(struct scan *scan, int64_t from, int64_t to)
{
    scan->read = (struct store_read){
        .kind = STORE_READ_HISTORY,
        .number = scan->segments[scan->segment].branch,
        .from = from,
        .to = to,
        .from_event = from == 1 && to == INT64_MAX ? scan->expected : 0, /* the first page: where to start */
        .backward = scan->backward,
        .limit = SCAN_PAGE_ROWS,
        .size_limit = SCAN_PAGE_SIZE,
        .arena = &scan->arena,
        .home = &scan->lane->mailbox,
        .message = { .run = scan_answered },
    };
    store_read(scan->lane->runtime->options.store, &scan->read);
}

static void scan_start(struct cold *cold)
{
    struct scan *scan = CONTAINER_OF(cold, struct scan, cold);
    if (scan->forgotten) {
        struct lane *lane = scan->lane;
        scan_free(scan);
        cold_end(lane);
        return;
    }
    scan->segment = segment_of(scan);
    scan_read(scan, 1, INT64_MAX);
}

/* Whether the store has nothing more to give: the answer is complete, or goes on in memory. */
static bool store_part_done(const struct scan *scan)
{
    return scan->done || (!scan->backward && scan->expected >= scan->memory_from);
}

static void add_stored(struct scan *scan)
{
    const struct store_read *read = &scan->read;
    int64_t                  last = scan->segments[scan->segment].last_event_id;
    for (size_t i = 0; i < read->transition_count && !store_part_done(scan); i++) {
        const struct store_transition *row = &read->transitions[i];
        struct bytes                  *events;
        size_t                         count;
        if (batch_unpack(row, &scan->arena, &events, &count, &scan->error) != ST_OK)
            return;
        if (row->first_event_id + (int64_t)count - 1 > last) /* what follows is of the other run */
            count = row->first_event_id > last ? 0 : (size_t)(last - row->first_event_id + 1);
        if (!add_row(scan, row->first_event_id, events, count)) {
            error_set(&scan->error, ST_DATA_LOSS, "history of run %" PRId64 " lacks event %" PRId64,
                      scan->branch, scan->expected);
            return;
        }
    }
    if (store_part_done(scan) || read->more || segment_of(scan) != scan->segment)
        return;
    if (scan->count == 0 && read->transition_count == 0)
        error_set(&scan->error, ST_NOT_FOUND, "the history of this run is not there any more");
    else
        error_set(&scan->error, ST_DATA_LOSS, "history of run %" PRId64 " ends before event %" PRId64,
                  scan->branch, scan->expected);
}

static void scan_answered(struct message *message)
{
    struct scan *scan = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message), struct scan, read);
    if (scan->forgotten) {
        struct lane *lane = scan->lane;
        scan_free(scan);
        cold_end(lane);
        return;
    }
    if (scan->read.status != ST_OK)
        scan->error = scan->read.error;
    else
        add_stored(scan);
    if (scan->error.code == ST_OK && !store_part_done(scan)) {
        size_t segment = segment_of(scan);
        if (segment != scan->segment) {
            scan->segment = segment;
            scan_read(scan, 1, INT64_MAX);
            return;
        }
        int64_t last = scan->read.transitions[scan->read.transition_count - 1].number;
        if (scan->backward)
            scan_read(scan, 1, last - 1);
        else
            scan_read(scan, last + 1, INT64_MAX);
        return;
    }
    if (scan->error.code == ST_OK && !scan->backward)
        add_pinned(scan);
    if (scan->error.code == ST_OK && scan->request != NULL && scan->size > COLD_SIZE_MAX)
        error_set(&scan->error, ST_INTERNAL, "a decision asked for %zu bytes of history", scan->size);
    scan_over(scan);
}

/* --- starting --- */

/* True when memory alone gave the answer. */
static bool scan_memory(struct scan *scan, struct entity *entity, bool undurable)
{
    scan->expected = scan->backward ? scan->last : scan->first;
    pin_memory(scan, entity, undurable);
    if (scan->first > scan->last) {
        scan->done = true;
        return true;
    }
    if (scan->backward) {
        if (scan->memory_from <= scan->last)
            add_pinned(scan);
        return scan->done;
    }
    if (scan->memory_from > scan->first)
        return false;
    add_pinned(scan);
    return true;
}

static void scan_submit(struct lane *lane, const struct scan *template)
{
    struct scan *scan = xmalloc(sizeof(*scan));
    *scan = *template;
    scan->forgets = lane->forgets;
    scan->cold.start = scan_start;
    list_init(&scan->link);
    list_append(&lane->scans, &scan->link);
    lane->waiting++;
    cold_begin(lane, &scan->cold);
}

bool scan_for_request(struct entity *entity, struct request *request, int64_t from, int64_t to)
{
    struct lane *lane = entity->lane;
    struct scan  scan = {
         .lane = lane, .branch = entity->number, .first = from, .last = to, .request = request
    };
    arena_init(&scan.arena, SIZE_MAX);
    set_segments(&scan, entity, NULL);
    if (scan_memory(&scan, entity, true)) {
        request_ready(&scan);
        return true;
    }
    if (lane->waiting < LOAD_WAITERS_MAX) {
        scan_submit(lane, &scan);
        return false;
    }
    arena_release(&scan.arena);
    lane_refuse_overloaded(lane, request);
    return false;
}

static void read_here(struct lane *lane, struct history_read *page)
{
    struct entity *entity = entity_find(lane, page->branch);
    int64_t        last = entity == NULL || MUTANT(history_before_durable)
                              ? page->last
                              : MIN(page->last, entity->durable_event_id);
    struct scan    scan = {
           .lane = lane,
           .branch = page->branch,
           .first = MAX(page->first, INT64_C(1)),
           .last = last,
           .backward = page->backward,
           .count_limit = page->count_limit,
           .size_limit = page->size_limit,
           .page = page,
    };
    arena_init(&scan.arena, SIZE_MAX);
    set_segments(&scan, entity, page);
    list_init(&page->link);
    if (lane->waiting >= LOAD_WAITERS_MAX) {
        error_set(&scan.error, ST_RESOURCE_EXHAUSTED, "too many requests wait for history");
        page_over(&scan);
    } else if (scan_memory(&scan, entity, false)) {
        page_over(&scan);
    } else {
        scan_submit(lane, &scan);
    }
}

static void page_arrived(struct message *message)
{
    struct history_read *page = CONTAINER_OF(message, struct history_read, message);
    read_here(runtime_owner(page->home->runtime, page->namespace_number, page->business_id), page);
}

void lane_read_history(struct lane *from, struct history_read *page)
{
    assert(page->done != NULL && page->arena != NULL);
    page->home = from;
    struct lane *owner = runtime_owner(from->runtime, page->namespace_number, page->business_id);
    if (owner == from) {
        read_here(from, page);
        return;
    }
    page->message.run = page_arrived;
    mailbox_post(&owner->mailbox, &page->message);
}

void scan_forget_all(struct lane *lane, struct list *ret_requests)
{
    LIST_FOR_EACH (scan, &lane->scans, struct scan, link) {
        if (scan->forgotten || scan->page != NULL) /* pages rest on durable rows; they may go on */
            continue;
        scan->forgotten = true;
        lane->waiting--;
        list_append(ret_requests, &scan->request->link);
    }
}

void scan_free_all(struct lane *lane)
{
    while (!list_empty(&lane->scans))
        scan_free(LIST_ENTRY(lane->scans.next, struct scan, link));
}
