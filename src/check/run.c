/* run.c: one run: its history folded from the first event, and all that ought to follow from it. */
#include "check/check_internal.h"

/* A run on its way through its history: the state that is folded from the first event, and beside it the one that a load
 * begins with, which must be the same where the snapshot was taken and at the end. */
struct folding {
    struct check           *check;
    const struct store_run *run;
    struct row_fold         full, loaded;
    bool                    has_snapshot, met; /* it was compared where it was taken */
    bool                    broken;            /* the history cannot be folded; that was told */
    int64_t closed_row, transitions_at_close;  /* the row that closed it, and how many there were then */
};

static struct bytes encode(const struct check *check, const void *state, struct buffer *to)
{
    buffer_clear(to);
    check->kind->snapshot(state, to);
    return buffer_bytes(to);
}

/* --- the history --- */

static void compare_states(struct folding *folding, const char *where)
{
    struct buffer full = { 0 }, loaded = { 0 };
    struct bytes  expected = encode(folding->check, folding->full.state, &full);
    struct bytes  found = encode(folding->check, folding->loaded.state, &loaded);
    size_t        at = 0;
    while (at < expected.size && at < found.size && expected.base[at] == found.base[at])
        at++;
    if (!bytes_equal(expected, found))
        check_found(
            folding->check, "state", folding->run,
            "the state that is loaded is not the fold of the history, %s: they differ from byte %zu of "
            "%zu (fold %zu)",
            where, at, found.size, expected.size);
    else if (folding->full.next_event_id != folding->loaded.next_event_id)
        check_found(folding->check, "state", folding->run,
                    "the snapshot says that event %" PRId64 " comes next, the history %" PRId64,
                    folding->loaded.next_event_id, folding->full.next_event_id);
    buffer_release(&full);
    buffer_release(&loaded);
}

static void broken(struct folding *folding, const char *rule, const struct error *error)
{
    folding->broken = true;
    check_found(folding->check, rule, folding->run, "%s", error->message);
}

/* Transitions go on after the close (callbacks), and the run's row does not follow them. */
static void note_close(struct folding *folding, struct arena *arena)
{
    const struct entity_kind *kind = folding->check->kind;
    struct entity_rows        rows;
    folding->closed_row = folding->full.row_number;
    if (kind->rows == NULL)
        return;
    kind->rows(folding->full.state, arena, &rows);
    folding->transitions_at_close = rows.run.state_transitions;
}

static void take_row(struct folding *folding, const struct store_transition *row, struct arena *arena)
{
    struct check *check = folding->check;
    struct error  error = { 0 };
    bool          is_own = row->branch == folding->run->number;
    if (fold_row(&folding->full, row, arena, &error) != ST_OK) {
        broken(folding, "history", &error);
        return;
    }
    check->counts.transitions += is_own;
    check->counts.events += is_own ? (uint64_t)row->event_count : 0;
    check->counts.bytes += is_own ? row->events.size + row->delta.size : 0;
    if (is_own && folding->closed_row == 0 && !check->kind->is_open(folding->full.state))
        note_close(folding, arena);
    if (!is_own || !folding->has_snapshot)
        return;
    if (row->number == folding->run->snapshot_transition) {
        folding->met = true;
        compare_states(folding, "where its snapshot was taken");
    } else if (row->number > folding->run->snapshot_transition &&
               fold_row(&folding->loaded, row, arena, &error) != ST_OK) {
        broken(folding, "state", &error);
    }
}

/* Folds a branch up to and including an event. */
static void fold_branch(struct folding *folding, store_number branch, int64_t last_event_id)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    folding->full.row_number = 0;
    folding->full.end_event_id = last_event_id == INT64_MAX ? INT64_MAX : last_event_id + 1;
    for (bool more = true; more && !folding->broken;) {
        struct store_read read = { .kind = STORE_READ_HISTORY,
                                   .number = branch,
                                   .from = folding->full.row_number + 1,
                                   .to = INT64_MAX,
                                   .size_limit = CHECK_PAGE_SIZE };
        if (!check_read(folding->check, &read, &arena)) {
            folding->broken = true;
            break;
        }
        more = read.more;
        for (size_t i = 0; i < read.transition_count && !folding->broken; i++) {
            if (folding->full.next_event_id > last_event_id || folding->full.is_torn) {
                more = false;
                break;
            }
            take_row(folding, &read.transitions[i], &arena);
        }
        arena_reset(&arena);
    }
    arena_release(&arena);
}

/* The beginning that lies in other runs' branches, folded as it was when the run was made (shard/fork.c). */
static void fold_prefix(struct folding *folding, const struct history_segment *segments, size_t count)
{
    struct check           *check = folding->check;
    const struct store_run *run = folding->run;
    struct store_run        base = *run;
    base.number = segments[count - 1].branch;
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct store_read read = { .kind = STORE_READ_RUN, .number = base.number };
    if (check_read(check, &read, &arena) && read.found)
        base.run_id = read.runs[0].run_id;
    struct entity_identity identity = check_identity(check, &base);
    check->kind->state_free(folding->full.state);
    folding->full.state = check->kind->state_new(&identity);
    for (size_t i = 0; i < count && !folding->broken; i++) {
        fold_branch(folding, segments[i].branch, segments[i].last_event_id);
        if (!folding->broken &&
            (folding->full.is_torn || folding->full.next_event_id != segments[i].last_event_id + 1)) {
            folding->broken = true;
            check_found(check, "fork", run,
                        "its history begins with branch %" PRId64 " up to event %" PRId64
                        ", which has no transition that ends there",
                        segments[i].branch, segments[i].last_event_id);
        }
    }
    arena_release(&arena);
    if (folding->broken)
        return;
    struct buffer snapshot = { 0 };
    struct error  error = { 0 };
    struct bytes  state = encode(check, folding->full.state, &snapshot);
    identity = check_identity(check, run);
    check->kind->state_free(folding->full.state);
    folding->full.state = check->kind->state_new(&identity);
    if (check->kind->restore(folding->full.state, state, &error) != ST_OK)
        broken(folding, "fork", &error);
    buffer_release(&snapshot);
}

static void check_prefix_uses(struct check *check, const struct store_run *run,
                              const struct history_segment *segments, size_t count)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        struct store_read read = { .kind = STORE_READ_ENTITIES,
                                   .entity_kind = ENTITY_BRANCH_USE,
                                   .entity_key = branch_use_key(&arena, segments[i].branch, run->number) };
        if (!check_read(check, &read, &arena))
            break;
        if (read.entity_count != 1 || read.entities[0].state.size != ROW_NUMBER_SIZE ||
            row_number_at(read.entities[0].state.base) != segments[i].last_event_id)
            check_found(check, "fork", run,
                        "nothing keeps branch %" PRId64
                        ", with which its history begins, up to event %" PRId64,
                        segments[i].branch, segments[i].last_event_id);
    }
    arena_release(&arena);
}

/* The state as the row alone has it. */
static void begin_loaded(struct folding *folding)
{
    const struct store_run *run = folding->run;
    struct error            error = { 0 };
    struct bytes            state;
    if (run->snapshot.size == 0)
        return;
    folding->loaded.row_number = run->snapshot_transition;
    if (snapshot_open(run->snapshot, &state, &folding->loaded.next_event_id, &error) != ST_OK ||
        folding->check->kind->restore(folding->loaded.state, state, &error) != ST_OK)
        check_found(folding->check, "state", run, "%s", error.message);
    else
        folding->has_snapshot = true;
}

static void fold_history(struct folding *folding)
{
    struct check                 *check = folding->check;
    const struct store_run       *run = folding->run;
    const struct history_segment *segments = NULL;
    size_t                        count = 0;
    begin_loaded(folding);
    if (folding->has_snapshot && check->kind->history_prefix != NULL)
        count = check->kind->history_prefix(folding->loaded.state, &segments);
    if (count != 0) {
        struct history_segment *copy = xcalloc(count, sizeof(*copy)); /* folding goes on with that state */
        memcpy(copy, segments, count * sizeof(*copy));
        check_prefix_uses(check, run, copy, count);
        fold_prefix(folding, copy, count);
        free(copy);
    }
    if (!folding->broken)
        fold_branch(folding, run->number, INT64_MAX);
    if (folding->broken)
        return;
    if (folding->full.row_number == 0)
        check_found(check, "history", run, "it has no transition");
    if (folding->has_snapshot && !folding->met)
        check_found(check, "state", run, "its snapshot is of transition %" PRId64 ", and there are %" PRId64,
                    run->snapshot_transition, folding->full.row_number);
    else if (folding->has_snapshot)
        compare_states(folding, "after its last transition");
}

/* --- what follows from the state --- */

static void compare_number(struct folding *folding, const char *column, int64_t found, int64_t expected)
{
    if (found != expected)
        check_found(folding->check, "row", folding->run, "its row has %s %" PRId64 ", its state %" PRId64,
                    column, found, expected);
}

static void compare_bytes(struct folding *folding, const char *column, struct bytes found,
                          struct bytes expected)
{
    if (!bytes_equal(found, expected))
        check_found(folding->check, "row", folding->run,
                    "its row's %s (%zu bytes) is not what its state says (%zu bytes)", column, found.size,
                    expected.size);
}

static struct bytes uuid_slice(const struct uuid *uuid)
{
    return bytes_of(uuid->byte, sizeof(uuid->byte));
}

static void compare_row(struct folding *folding, const struct store_run *expected)
{
    const struct store_run *found = folding->run;
    compare_bytes(folding, "run id", uuid_slice(&found->run_id), uuid_slice(&expected->run_id));
    compare_bytes(folding, "workflow type", found->workflow_type, expected->workflow_type);
    compare_bytes(folding, "task queue", found->task_queue, expected->task_queue);
    compare_number(folding, "status", found->status, expected->status);
    compare_number(folding, "start time", found->start_time, expected->start_time);
    compare_number(folding, "execution time", found->execution_time, expected->execution_time);
    compare_number(folding, "close time", found->close_time, expected->close_time);
    compare_number(folding, "history length", found->history_length, expected->history_length);
    compare_number(folding, "history size", found->history_size, expected->history_size);
    if (found->close_time == 0)
        compare_number(folding, "state transitions", found->state_transitions, expected->state_transitions);
    else if (found->state_transitions < folding->closed_row ||
             found->state_transitions > folding->transitions_at_close)
        check_found(folding->check, "row", folding->run,
                    "its row has %" PRId64 " transitions, and at its close there were %" PRId64,
                    found->state_transitions, folding->transitions_at_close);
    compare_bytes(folding, "parent workflow id", found->parent_workflow_id, expected->parent_workflow_id);
    compare_bytes(folding, "parent run id", uuid_slice(&found->parent_run_id),
                  uuid_slice(&expected->parent_run_id));
    compare_bytes(folding, "root workflow id", found->root_workflow_id, expected->root_workflow_id);
    compare_bytes(folding, "root run id", uuid_slice(&found->root_run_id),
                  uuid_slice(&expected->root_run_id));
    compare_bytes(folding, "memo", found->memo, expected->memo);
    compare_bytes(folding, "search attributes", found->search_attributes, expected->search_attributes);
}

static bool is_task(const struct store_ready *found, const struct store_ready *expected)
{
    return found->sequence == expected->sequence && found->namespace_number == expected->namespace_number &&
           found->kind == expected->kind && found->run == expected->run && found->stamp == expected->stamp &&
           found->priority == expected->priority && found->fairness_weight == expected->fairness_weight &&
           bytes_equal(found->workflow_id, expected->workflow_id) &&
           (expected->queue.size == 0 || (bytes_equal(found->queue, expected->queue) &&
                                          bytes_equal(found->normal_queue, expected->normal_queue) &&
                                          bytes_equal(found->fairness_key, expected->fairness_key))) &&
           (expected->scheduled_event_id == 0 || found->scheduled_event_id == expected->scheduled_event_id);
}

static void check_task(struct folding *folding, const struct store_ready *expected, struct arena *arena)
{
    struct store_read read = { .kind = STORE_READ_READY_ROWS, .after = expected->sequence - 1, .limit = 1 };
    check_number(folding->check, folding->run, "the task", expected->sequence);
    if (!check_read(folding->check, &read, arena))
        return;
    if (read.ready_count == 0 || read.ready[0].sequence != expected->sequence)
        check_found(folding->check, "ready", folding->run,
                    "a task of kind %d (event %" PRId64
                    ") waits for a poller and has no row (sequence %" PRId64 ")",
                    (int)expected->kind, expected->scheduled_event_id, expected->sequence);
    else if (!is_task(&read.ready[0], expected))
        check_found(folding->check, "ready", folding->run,
                    "the row of a task that waits for a poller (sequence %" PRId64
                    ") is not what the task says",
                    expected->sequence);
}

static void check_wakeup(struct folding *folding, struct arena *arena)
{
    const struct entity_kind *kind = folding->check->kind;
    struct store_read         read = { .kind = STORE_READ_WAKEUP, .number = folding->run->number };
    if (kind->loaded != NULL)
        kind->loaded(folding->full.state, TIME_FAR);
    int64_t due = kind->next_due(folding->full.state);
    if (!check_read(folding->check, &read, arena))
        return;
    if (due != TIME_NEVER && read.wakeup_count == 0)
        check_found(folding->check, "wakeup", folding->run, "it waits for a time, and nothing will wake it");
    else if (due < TIME_FAR && read.wakeups[0].due > due)
        check_found(folding->check, "wakeup", folding->run,
                    "it waits for %" PRId64 ", and its wake-up comes later, at %" PRId64, due,
                    read.wakeups[0].due);
}

static void check_state(struct folding *folding)
{
    const struct entity_kind *kind = folding->check->kind;
    struct arena              arena;
    arena_init(&arena, SIZE_MAX);
    if (kind->is_open(folding->full.state) != (folding->run->close_time == 0))
        check_found(folding->check, "row", folding->run,
                    "its row and its state do not agree whether it is open");
    if (kind->rows != NULL) {
        struct entity_rows rows;
        kind->rows(folding->full.state, &arena, &rows);
        compare_row(folding, &rows.run);
        for (size_t i = 0; i < rows.ready_count; i++)
            check_task(folding, &rows.ready[i], &arena);
    }
    check_wakeup(folding, &arena);
    arena_release(&arena);
}

/* --- one run --- */

static void check_row(struct check *check, const struct store_run *run, const struct store_identity *identity,
                      bool is_newest)
{
    if (run->namespace_number != identity->namespace_number ||
        !bytes_equal(run->workflow_id, identity->workflow_id))
        check_found(check, "run", run, "the index of workflow ids has it elsewhere");
    if (check_namespace(check, run->namespace_number) == NULL && check_kind(check, ENTITY_NAMESPACES) != NULL)
        check_found(check, "run", run, "its namespace %" PRId64 " does not exist", run->namespace_number);
    if (run_id_number(&run->run_id) != run->number)
        check_found(check, "run", run, "its run id is that of run %" PRId64, run_id_number(&run->run_id));
    if (run->close_time == 0 && !is_newest)
        check_found(check, "run", run, "it is open, and there is a later run of its workflow id");
    check_number(check, run, "the run", run->number);
}

static void fold_begin(struct row_fold *fold, const struct check *check, const struct store_run *run)
{
    struct entity_identity identity = check_identity(check, run);
    *fold = (struct row_fold){ .kind = check->kind,
                               .state = check->kind->state_new(&identity),
                               .next_event_id = 1,
                               .end_event_id = INT64_MAX };
}

void check_one_run(struct check *check, const struct store_identity *identity, bool is_newest)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_RUN, .number = identity->number };
    arena_init(&arena, SIZE_MAX);
    if (!check_read(check, &read, &arena) || !read.found) { /* or it was deleted since */
        arena_release(&arena);
        return;
    }
    struct folding folding = { .check = check, .run = &read.runs[0] };
    if (!store_run_is_workflow(folding.run)) { /* its record says the rest */
        check_row(check, folding.run, identity, is_newest);
        arena_release(&arena);
        return;
    }
    fold_begin(&folding.full, check, folding.run);
    fold_begin(&folding.loaded, check, folding.run);
    check->counts.runs++;
    check_row(check, folding.run, identity, is_newest);
    fold_history(&folding);
    if (!folding.broken)
        check_state(&folding);
    check->kind->state_free(folding.full.state);
    check->kind->state_free(folding.loaded.state);
    arena_release(&arena);
}

/* --- states for others --- */

void check_load_forget(struct check *check)
{
    if (check->loaded != NULL)
        check->kind->state_free(TAKE_PTR(check->loaded));
    check->loaded_number = 0;
    arena_reset(&check->loaded_arena);
}

/* Folds what follows the snapshot. */
static bool load_rest(struct check *check, struct row_fold *fold, store_number branch,
                      struct store_read *read)
{
    struct arena arena;
    bool         good = true;
    arena_init(&arena, SIZE_MAX);
    for (bool more = true; more && good; arena_reset(&arena)) {
        struct error error;
        *read = (struct store_read){ .kind = STORE_READ_HISTORY,
                                     .number = branch,
                                     .from = fold->row_number + 1,
                                     .to = INT64_MAX,
                                     .size_limit = CHECK_PAGE_SIZE };
        good = check_read(check, read, &arena);
        more = good && read->more;
        for (size_t i = 0; good && i < read->transition_count; i++)
            good = fold_row(fold, &read->transitions[i], &arena, &error) == ST_OK;
    }
    arena_release(&arena);
    return good;
}

const void *check_load(struct check *check, store_number number, struct store_run *ret_run)
{
    struct store_read read = { .kind = STORE_READ_RUN, .number = number };
    if (check->loaded_number == number && ret_run == NULL)
        return check->loaded;
    check_load_forget(check);
    if (!check_read(check, &read, &check->loaded_arena) || !read.found)
        return NULL;
    struct store_run run = read.runs[0];
    struct row_fold  fold;
    struct bytes     state;
    struct error     error;
    fold_begin(&fold, check, &run);
    bool good = true;
    if (run.snapshot.size != 0) {
        fold.row_number = run.snapshot_transition;
        good = snapshot_open(run.snapshot, &state, &fold.next_event_id, &error) == ST_OK &&
               check->kind->restore(fold.state, state, &error) == ST_OK;
    }
    if (!good || !load_rest(check, &fold, number, &read)) {
        check->kind->state_free(fold.state);
        return NULL;
    }
    check->loaded = fold.state;
    check->loaded_number = number;
    if (ret_run != NULL)
        *ret_run = run;
    return check->loaded;
}
