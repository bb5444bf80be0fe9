/* fork.c: runs that begin as the beginning of another one (a reset).
 *
 * The new run shares the rows of the old one: its history is a list of segments, (branch, up to event), and its own branch
 * behind them. What it needs of them is its state at the cut, which is folded here, page by page as loads are, from durable
 * rows only; and those later events that the decision wants to see. The new run's row holds that state as its snapshot,
 * so nobody folds the prefix again.
 *
 *   decide NEEDs ──> [the run's last batch durable] ──> pages folded up to the cut ──> later events kept ──> decide again
 *
 * Rows are never changed and the run is asked for again by every round, so what was folded stays true whatever happens to
 * the run meanwhile.
 */
#include "shard/shard_internal.h"

#include "history/batch.h"

#define FORK_KEEP_SIZE_MAX (8U << 20) /* all of it becomes one row */
#define FORK_RUNS_MAX      1000

struct fork {
    struct cold       cold;
    struct list       link; /* in lane->forks */
    struct lane      *lane;
    struct request   *request; /* NULL: forgotten */
    bool              reading; /* else the request is elsewhere, or being decided */
    struct arena      arena;
    struct store_read read;
    struct row_fold   fold;
    bool (*keep)(struct bytes event);
    struct history_segment *segments;
    size_t                  segment_count, segment;
    int64_t                 cut; /* the first event that is not folded, of the run that is read now */
    struct fork_view        view;
    bool         is_current; /* the run that was read last was the current one then, and may have gone on */
    size_t       capacity, kept_size;
    unsigned     runs;
    struct error error;
};

static void fork_release(struct fork *fork)
{
    list_remove(&fork->link);
    if (fork->fold.state != NULL)
        fork->fold.kind->state_free(fork->fold.state);
    arena_release(&fork->arena);
    free(fork->segments);
    free(fork);
}

void fork_free(struct request *request)
{
    assert(!request->fork->reading);
    fork_release(TAKE_PTR(request->fork));
}

/* What the current run wrote behind the rows that were read, a decision asks for as events. When another run has taken its place
 * meanwhile, nobody could: all is read again. */
const struct fork_view *fork_view(const struct chain *chain, struct request *request)
{
    struct fork *fork = request->fork;
    if (fork == NULL)
        return NULL;
    if (fork->is_current && (chain->current == NULL || chain->current->number != fork->view.last_run)) {
        fork_free(request);
        return NULL;
    }
    return &fork->view;
}

/* --- pages --- */

static void keep(struct fork *fork, struct bytes event)
{
    struct arena *arena = fork->request->arena;
    if (!fork->keep(event))
        return;
    fork->kept_size += event.size;
    if (fork->kept_size > FORK_KEEP_SIZE_MAX) {
        error_set(&fork->error, ST_INVALID_ARGUMENT,
                  "more than %u MiB of events would have to be applied again", FORK_KEEP_SIZE_MAX >> 20);
        return;
    }
    if (fork->view.count == fork->capacity) {
        size_t        capacity = MAX(fork->capacity * 2, (size_t)16);
        struct bytes *events = ARENA_NEW_ARRAY(arena, struct bytes, capacity);
        if (fork->view.count != 0)
            memcpy(events, fork->view.events, fork->view.count * sizeof(*events));
        fork->view.events = events;
        fork->capacity = capacity;
    }
    fork->view.events[fork->view.count++] = arena_copy(arena, event);
}

/* A row of the present segment: what lies before the cut is folded, what lies behind it and in the segment is kept. */
static enum status take_row(struct fork *fork, const struct store_transition *row)
{
    int64_t          last = fork->segments[fork->segment].last_event_id;
    struct row_fold *fold = &fork->fold;
    fold->end_event_id = last == INT64_MAX ? fork->cut : MIN(fork->cut, last + 1);
    enum status status = fold_row(fold, row, &fork->arena, &fork->error);
    if (status != ST_OK)
        return status;
    if (fold->is_torn && fold->end_event_id != fork->cut)
        return error_set(&fork->error, ST_DATA_LOSS, "a segment ends within a transition");
    for (size_t i = 0; i < fold->rest_count && fold->next_event_id <= last && !fold->is_torn; i++) {
        keep(fork, fold->rest[i]);
        fold->next_event_id++;
    }
    return fork->error.code;
}

static void fork_answered(struct message *message);

static void fork_read(struct fork *fork)
{
    fork->read = (struct store_read){
        .kind = STORE_READ_HISTORY,
        .number = fork->segments[fork->segment].branch,
        .from = fork->fold.row_number + 1,
        .to = INT64_MAX,
        .size_limit = LOAD_PAGE_SIZE,
        .arena = &fork->arena,
        .home = &fork->lane->mailbox,
        .message = { .run = fork_answered },
    };
    store_read(fork->lane->runtime->options.store, &fork->read);
}

static void fork_start(struct cold *cold)
{
    struct fork *fork = CONTAINER_OF(cold, struct fork, cold);
    fork_read(fork);
}

static void fork_over(struct fork *fork)
{
    struct lane    *lane = fork->lane;
    struct request *request = fork->request;
    fork->reading = false;
    fork->view.state = fork->fold.state;
    fork->view.is_torn = fork->fold.is_torn;
    fork->view.last_event_id = fork->fold.next_event_id - 1;
    lane->waiting--;
    arena_reset(&fork->arena);
    if (request == NULL) {
        fork_release(fork);
    } else if (fork->error.code != ST_OK) {
        enum status  code = fork->error.code;
        bool         is_callers = code == ST_INVALID_ARGUMENT || code == ST_DATA_LOSS;
        struct error error = fork->error;
        lane_fail(lane, request, is_callers ? code : ST_UNAVAILABLE, "%s", error.message);
    } else {
        request->rounds = 0; /* it came further */
        request_process(lane, request);
    }
    cold_end(lane);
}

static void fork_answered(struct message *message)
{
    struct fork *fork = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message), struct fork, read);
    if (fork->read.status != ST_OK)
        fork->error = fork->read.error;
    int64_t last = fork->segments[fork->segment].last_event_id;
    for (size_t i = 0; i < fork->read.transition_count && fork->request != NULL; i++) {
        if (fork->error.code != ST_OK || fork->fold.is_torn || fork->fold.next_event_id > last ||
            take_row(fork, &fork->read.transitions[i]) != ST_OK)
            break;
    }
    if (fork->request == NULL || fork->error.code != ST_OK || fork->fold.is_torn) {
        fork_over(fork);
        return;
    }
    if (!fork->read.more || fork->fold.next_event_id > last) {
        if (fork->segment + 1 == fork->segment_count) {
            if (fork->fold.next_event_id < fork->cut)
                error_set(&fork->error, ST_DATA_LOSS, "the history ends before event %" PRId64,
                          fork->cut - 1);
            fork_over(fork);
            return;
        }
        fork->segment++;
        fork->fold.row_number = 0;
    }
    arena_reset(&fork->arena);
    fork_read(fork);
}

/* --- asking --- */

static void set_segments(struct fork *fork, const struct entity *base, store_number run)
{
    const struct history_segment *prefix = NULL;
    size_t                        count = 0;
    if (base != NULL && base->kind->history_prefix != NULL)
        count = base->kind->history_prefix(base->state, &prefix);
    free(fork->segments);
    fork->segments = xcalloc(count + 1, sizeof(*fork->segments));
    if (count != 0)
        memcpy(fork->segments, prefix, count * sizeof(*prefix));
    fork->segments[count] = (struct history_segment){ run, INT64_MAX };
    fork->segment_count = count + 1;
    fork->segment = 0;
    fork->fold.row_number = 0;
    fork->fold.next_event_id = 1;
}

static struct fork *fork_new(struct lane *lane, struct chain *chain, const struct entity *base,
                             struct request *request, const struct decision *decision)
{
    assert(base != NULL); /* decide has just looked at its state */
    struct fork *fork = xcalloc(1, sizeof(*fork));
    const struct namespace_config *namespace = lane_namespace_by_number(lane, chain->namespace_number);
    struct entity_identity identity = { .namespace_number = chain->namespace_number,
                                        .namespace_id = namespace == NULL ? BYTES_EMPTY : namespace->id,
                                        .business_id = chain->business_id,
                                        .number = base->number,
                                        .run_id = base->run_id };
    fork->lane = lane;
    fork->request = request;
    fork->cold.start = fork_start;
    fork->cut = fork->view.fork_event_id = decision->fork_event_id;
    fork->keep = decision->fork_keep;
    fork->fold.kind = base->kind;
    fork->fold.state = base->kind->state_new(&identity);
    arena_init(&fork->arena, SIZE_MAX);
    list_append(&lane->forks, &fork->link);
    request->fork = fork;
    return fork;
}

/* The rows that are folded are durable, which is all that is asked of the current run: what it has written since then is asked for
 * by the NEED of events. A run that is written to all the time would otherwise never be forked. */
static bool is_known_to_store(const struct chain *chain, const struct entity *base,
                              const struct request *request, const struct decision *decision)
{
    return base == chain->current &&
           (request->fork != NULL || base->durable_event_id >= decision->fork_event_id);
}

void fork_for_request(struct lane *lane, struct chain *chain, struct request *request,
                      const struct decision *decision)
{
    struct entity *base = entity_find(lane, decision->fork_run);
    if (base != NULL && (base->open != NULL || base->flight != NULL) &&
        !is_known_to_store(chain, base, request, decision)) {
        request_wait_for_batch(lane, request,
                               base->open != NULL ? base->open->batch->id : base->flight->batch->id);
        return;
    }
    if (lane->waiting >= LOAD_WAITERS_MAX) {
        lane_refuse_overloaded(lane, request);
        return;
    }
    struct fork *fork = request->fork;
    if (fork == NULL)
        fork = fork_new(lane, chain, base, request, decision);
    else
        fork->cut = 1; /* nothing more is folded */
    if (fork->runs++ == FORK_RUNS_MAX) {
        lane_fail(lane, request, ST_INVALID_ARGUMENT, "more than %d runs follow the one that is reset",
                  FORK_RUNS_MAX);
        return;
    }
    set_segments(fork, base, decision->fork_run);
    fork->view.last_run = decision->fork_run;
    fork->is_current = chain->current != NULL && chain->current->number == decision->fork_run;
    fork->reading = true;
    lane->waiting++;
    cold_begin(lane, &fork->cold);
}

void fork_begin_entity(const struct fork *fork, struct entity *created)
{
    struct buffer snapshot = { 0 };
    struct error  error;
    created->kind->snapshot(fork->fold.state, &snapshot);
    if (created->kind->restore(created->state, buffer_bytes(&snapshot), &error) != ST_OK)
        panic("%s: a state cannot be restored from what it says: %s", created->kind->name, error.message);
    created->next_event_id = fork->view.fork_event_id;
    created->durable_event_id = fork->view.fork_event_id - 1;
    created->snapshot_size = MAX(snapshot.size, (size_t)1); /* from now on its row always has one */
    buffer_release(&snapshot);
}

/* --- the end --- */

void fork_forget_all(struct lane *lane, struct list *ret_requests)
{
    LIST_FOR_EACH (fork, &lane->forks, struct fork, link) {
        if (!fork->reading || fork->request == NULL)
            continue;
        fork->request->fork = NULL;
        list_append(ret_requests, &fork->request->link);
        fork->request = NULL;
    }
}

void fork_free_all(struct lane *lane)
{
    while (!list_empty(&lane->forks)) {
        struct fork *fork = LIST_ENTRY(lane->forks.next, struct fork, link);
        fork_release(fork);
    }
}
