/* deletion.c: runs that go, and their rows after them.
 *
 * A run is gone with one commit: its row, its wake-up, and a row of kind ENTITY_DELETION in their place, which says whose
 * transitions are still to go. Those follow in pieces, from the newest to the oldest, each a commit of its own; a process that
 * starts reads the rows and goes on. Messages that the run has sent stay in the outbox: they are sent all the same.
 *
 * Transitions may be the beginning of other runs (fork.c). Each of those has a row of kind ENTITY_BRANCH_USE: (branch, run) ->
 * the last event it uses. A branch whose own run is gone keeps what the highest of them needs. Uses are written with the run
 * that has them and go with it; new ones come only from runs that are there, so what is read here can only shrink.
 *
 *   row ──> each branch: [its run is there: leave it] ──> uses ──> newest row ──> delete a piece, durable ──> newest row ──> …
 *       ──> row deleted
 */
#include "base/mutant.h"
#include "shard/shard_internal.h"

#include "base/log.h"

#define PIECE_ROWS    256 /* transitions that go with one commit */
#define USES_PAGE     256
#define RECORDS_LIMIT 16

/* What an open batch takes away. */
struct erasure {
    struct erasure     *next;
    bool                is_row; /* the deletion's own row; else transitions */
    struct store_entity row;
    store_number        branch;
    int64_t             first, last;
};

enum deletion_step { STEP_RECORDS, STEP_OWNER, STEP_USES, STEP_NEWEST, STEP_CUT, STEP_DURABLE };

/* The one that is worked on. */
struct deletion {
    struct lane         *lane;
    struct arena         arena;   /* of reads */
    struct arena         records; /* rows that were read, or the keys of them */
    struct store_read    read;
    struct message       durable;
    enum deletion_step   step;
    bool                 busy; /* the store, or a batch, has something for it */
    bool                 more;
    struct store_entity *rows;
    size_t               row_count, row, branch;
    struct buffer        after; /* the last key that was read */
    bool                 worked;
    int64_t              kept;        /* the highest event that somebody else needs; 0: none */
    int64_t              first, last; /* rows that go */
};

/* --- with the transition that begins or ends a run --- */

static void note(struct change *change, enum entity_kind_id kind, struct bytes key, struct bytes state)
{
    struct entity_change *row = ARENA_NEW(&change->batch->arena, struct entity_change);
    row->row = (struct store_entity){ .kind = (int32_t)kind, .key = key, .state = state };
    *change->entities_end = row;
    change->entities_end = &row->next;
    change->batch->size += key.size + state.size;
}

void deletion_note_uses(struct change *change)
{
    struct arena                 *arena = &change->batch->arena;
    const struct history_segment *segments;
    size_t count = change->entity->kind->history_prefix(change->entity->state, &segments);
    for (size_t i = 0; i < count; i++) {
        uint8_t *last = arena_must(arena_alloc(arena, ROW_NUMBER_SIZE));
        row_put_number(last, segments[i].last_event_id);
        note(change, ENTITY_BRANCH_USE, branch_use_key(arena, segments[i].branch, change->entity->number),
             bytes_of(last, ROW_NUMBER_SIZE));
    }
}

/* What is to go after the run's own row, unless all of it goes now. */
static void note_history(struct change *change)
{
    struct entity                *entity = change->entity;
    struct arena                 *arena = &change->batch->arena;
    struct chain                 *chain = entity->chain;
    const struct history_segment *segments;
    size_t                        count = entity->kind->history_prefix(entity->state, &segments);
    uint8_t                      *branches = arena_must(arena_alloc(arena, (count + 1) * ROW_NUMBER_SIZE));
    uint8_t                      *at = branches;
    for (size_t i = 0; i < count; i++) {
        if (!MUTANT(uses_kept))
            note(change, ENTITY_BRANCH_USE, branch_use_key(arena, segments[i].branch, entity->number),
                 BYTES_EMPTY);
        at = row_put_number(at, segments[i].branch);
    }
    change->erases = count == 0 && entity->row_number <= PIECE_ROWS && entity->kind->is_forked != NULL &&
                     !entity->kind->is_forked(entity->state);
    if (change->erases)
        return;
    at = row_put_number(at, entity->number);
    note(change, ENTITY_DELETION,
         deletion_key(arena, runtime_range(chain->namespace_number, chain->business_id), entity->number),
         bytes_of(branches, (size_t)(at - branches)));
}

void deletion_join(struct entity *entity)
{
    struct change *change = commit_change(entity);
    struct batch  *batch = change->batch;
    struct chain  *chain = entity->chain;
    change->deletes = true;
    change->erases = true; /* a record has nothing but its rows */
    if (!entity->kind->is_record)
        note_history(change);
    change->wakeup = WAKEUP_CLEAR;
    entity->wakeup = TIME_NEVER;
    entity->version++;
    batch->transitions++;
    chain->last_batch = chain->deleted_batch = batch->id;
    entity_hide(entity);
}

void deletion_seal_change(struct change *change, uint32_t group)
{
    struct store_run *row = ARENA_NEW(&change->batch->store.arena, struct store_run);
    row->number = change->entity->number;
    store_batch_add(&change->batch->store, STORE_RUN_DELETE, group)->run = row;
    change->batch->store.size += 32;
    if (!change->erases || change->entity->kind->is_record)
        return;
    struct store_write *write = store_batch_add(&change->batch->store, STORE_TRANSITIONS_DELETE, group);
    write->transitions.branch = change->entity->number;
    write->transitions.first = 1;
    write->transitions.last = change->entity->row_number;
    change->batch->store.size += 64;
}

void deletion_released(struct lane *lane, struct entity *entity, bool erased)
{
    const struct lane_hooks *hooks = &lane->runtime->options.hooks;
    if (hooks->released != NULL) /* whoever waits for its events finds that it is gone */
        hooks->released(lane->runtime->options.hooks_context, lane, entity->number, entity->durable_event_id,
                        false);
    struct chain *chain = entity->chain;
    assert(entity->open == NULL && entity->flight == NULL);
    entity_free(entity);
    chain_free_if_idle(lane, chain);
    if (!erased)
        lane->deletion_at = lane->monotonic;
}

/* --- its rows --- */

void deletion_seal(struct batch *batch)
{
    for (struct erasure *at = batch->erasures; at != NULL; at = at->next) {
        struct store_write *write = store_batch_add(&batch->store,
                                                    at->is_row ? STORE_ENTITY_DELETE
                                                               : STORE_TRANSITIONS_DELETE,
                                                    batch->store.group_count++);
        if (at->is_row) {
            write->entity = at->row;
        } else {
            write->transitions.branch = at->branch;
            write->transitions.first = at->first;
            write->transitions.last = at->last;
        }
        batch->store.size += 64;
    }
}

static struct erasure *erase(struct lane *lane)
{
    struct batch   *batch = lane->open;
    struct erasure *erasure = ARENA_NEW(&batch->arena, struct erasure);
    commit_opened(lane);
    erasure->next = batch->erasures;
    batch->erasures = erasure;
    return erasure;
}

static void advance(struct deletion *deletion);

static void read_answered(struct message *message)
{
    struct deletion *deletion = CONTAINER_OF(CONTAINER_OF(message, struct store_read, message),
                                             struct deletion, read);
    struct lane     *lane = deletion->lane;
    deletion->busy = false;
    if (deletion->read.status != ST_OK) {
        log_warn("deletion.read", "lane=%u error=%s", lane->index, deletion->read.error.message);
        deletion_free(lane);
        lane->deletion_at = lane->monotonic + RETRY_NS;
        return;
    }
    advance(deletion);
}

static void ask(struct deletion *deletion, enum deletion_step step, struct store_read read)
{
    arena_reset(&deletion->arena);
    read.arena = &deletion->arena;
    read.home = &deletion->lane->mailbox;
    read.message = (struct message){ .run = read_answered };
    deletion->read = read;
    deletion->step = step;
    deletion->busy = true;
    store_read(deletion->lane->runtime->options.store, &deletion->read);
}

static void wait_durable(struct deletion *deletion)
{
    deletion->step = STEP_DURABLE;
    deletion->busy = true;
    commit_after(deletion->lane, deletion->lane->open->id, &deletion->durable);
}

static store_number branch_now(const struct deletion *deletion)
{
    return row_number_at(deletion->rows[deletion->row].state.base + deletion->branch * ROW_NUMBER_SIZE);
}

static void ask_records(struct deletion *deletion)
{
    ask(deletion, STEP_RECORDS,
        (struct store_read){ .kind = STORE_READ_ENTITIES,
                             .entity_kind = ENTITY_DELETION,
                             .after_key = buffer_bytes(&deletion->after),
                             .limit = RECORDS_LIMIT });
}

static void ask_owner(struct deletion *deletion)
{
    deletion->kept = 0;
    ask(deletion, STEP_OWNER, (struct store_read){ .kind = STORE_READ_RUN, .number = branch_now(deletion) });
}

static void ask_uses(struct deletion *deletion, store_number after_run)
{
    struct bytes key = branch_use_key(&deletion->records, branch_now(deletion), after_run);
    ask(deletion, STEP_USES,
        (struct store_read){ .kind = STORE_READ_ENTITIES,
                             .entity_kind = ENTITY_BRANCH_USE,
                             .after_key = key,
                             .limit = USES_PAGE });
}

static void ask_newest(struct deletion *deletion)
{
    ask(deletion, STEP_NEWEST,
        (struct store_read){ .kind = STORE_READ_HISTORY,
                             .number = branch_now(deletion),
                             .from = 1,
                             .to = INT64_MAX,
                             .backward = true,
                             .limit = 1 });
}

static void ask_cut(struct deletion *deletion)
{
    ask(deletion, STEP_CUT,
        (struct store_read){ .kind = STORE_READ_HISTORY,
                             .number = branch_now(deletion),
                             .from = 1,
                             .to = INT64_MAX,
                             .from_event = deletion->kept,
                             .limit = 1 });
}

/* Rows of this lane's ranges only; the others are other lanes'. */
static void take_records(struct deletion *deletion)
{
    const struct store_read *read = &deletion->read;
    struct lane             *lane = deletion->lane;
    arena_reset(&deletion->records);
    deletion->rows = ARENA_NEW_ARRAY(&deletion->records, struct store_entity, read->entity_count + 1);
    deletion->row_count = deletion->row = deletion->branch = 0;
    for (size_t i = 0; i < read->entity_count; i++) {
        const struct store_entity *row = &read->entities[i];
        if (i + 1 == read->entity_count) {
            buffer_clear(&deletion->after);
            buffer_append(&deletion->after, row->key);
        }
        if (row->key.size != DELETION_KEY_SIZE || row->state.size % ROW_NUMBER_SIZE != 0 ||
            row->state.size == 0 || row->key.base[0] >= SHARD_RANGE_COUNT) {
            log_error("deletion.damaged", "a row that says what is to be deleted is damaged");
            continue;
        }
        if (runtime_range_lane(lane->runtime, row->key.base[0]) != lane)
            continue;
        deletion->rows[deletion->row_count++] = (struct store_entity){
            .kind = ENTITY_DELETION,
            .key = arena_copy(&deletion->records, row->key),
            .state = arena_copy(&deletion->records, row->state)
        };
    }
    deletion->more = read->more;
}

static void next_row(struct deletion *deletion);

/* Uses come in the order of (branch, run). One that cannot be read may be the only one that keeps what another run's
 * history begins with: this deletion stays as it is then, also in later processes, and the others go on. */
static void take_uses(struct deletion *deletion)
{
    const struct store_read *read = &deletion->read;
    for (size_t i = 0; i < read->entity_count; i++) {
        const struct store_entity *row = &read->entities[i];
        bool                       key = row->key.size == BRANCH_USE_KEY_SIZE;
        if (key && row_number_at(row->key.base) != branch_now(deletion)) {
            ask_newest(deletion);
            return;
        }
        if (!key || row->state.size != ROW_NUMBER_SIZE || row_number_at(row->state.base) <= 0) {
            log_error("deletion.damaged",
                      "a row that says who uses the history of run %" PRId64 " is damaged: it stays",
                      branch_now(deletion));
            deletion->row++;
            deletion->branch = 0;
            next_row(deletion);
            return;
        }
        deletion->kept = MUTANT(deletion_takes_shared_rows)
                             ? 0
                             : MAX(deletion->kept, row_number_at(row->state.base));
    }
    if (read->more)
        ask_uses(deletion, row_number_at(read->entities[read->entity_count - 1].key.base + ROW_NUMBER_SIZE));
    else
        ask_newest(deletion);
}

static void next_branch(struct deletion *deletion)
{
    struct lane *lane = deletion->lane;
    if (++deletion->branch * ROW_NUMBER_SIZE < deletion->rows[deletion->row].state.size) {
        ask_owner(deletion);
        return;
    }
    struct erasure *erasure = erase(lane);
    erasure->is_row = true;
    erasure->row = (struct store_entity){
        .kind = ENTITY_DELETION, .key = arena_copy(&lane->open->arena, deletion->rows[deletion->row].key)
    };
    deletion->row++;
    deletion->branch = 0;
    wait_durable(deletion);
}

/* A piece from the newest end, down to `first`. */
static void delete_piece(struct deletion *deletion, int64_t first)
{
    if (deletion->last < first) {
        next_branch(deletion);
        return;
    }
    struct erasure *erasure = erase(deletion->lane);
    erasure->branch = branch_now(deletion);
    erasure->last = deletion->last;
    erasure->first = MAX(first, deletion->last - PIECE_ROWS + 1);
    wait_durable(deletion);
}

static void next_row(struct deletion *deletion)
{
    struct lane *lane = deletion->lane;
    if (deletion->row < deletion->row_count) {
        ask_owner(deletion);
    } else if (deletion->more) {
        ask_records(deletion);
    } else {
        bool worked = deletion->worked;
        deletion_free(lane);
        if (worked) /* what was erased in a batch that was lost is still there */
            lane->deletion_at = MIN(lane->deletion_at, lane->monotonic + RETRY_NS);
    }
}

static void newest_known(struct deletion *deletion)
{
    const struct store_read *read = &deletion->read;
    if (read->transition_count == 0) {
        next_branch(deletion);
        return;
    }
    deletion->last = read->transitions[0].number;
    if (deletion->kept == 0)
        delete_piece(deletion, 1);
    else
        ask_cut(deletion);
}

static void advance(struct deletion *deletion)
{
    struct lane *lane = deletion->lane;
    if (lane->draining || lane->settling) { /* the next process goes on */
        deletion_free(lane);
        lane->deletion_at = TIME_NEVER;
        return;
    }
    switch (deletion->step) {
    case STEP_RECORDS:
        take_records(deletion);
        next_row(deletion);
        return;
    case STEP_OWNER:
        if (deletion->read.found)
            next_branch(deletion);
        else
            ask_uses(deletion, 0);
        return;
    case STEP_USES:
        take_uses(deletion);
        return;
    case STEP_NEWEST:
        newest_known(deletion);
        return;
    case STEP_CUT: /* the row that holds the last event which is kept */
        delete_piece(deletion, deletion->read.transition_count == 0
                                   ? deletion->last + 1
                                   : deletion->read.transitions[0].number + 1);
        return;
    case STEP_DURABLE:
        deletion->worked = true; /* whether it came to be is for the store to say */
        if (lane->read_only) {   /* one piece at a time gives space back, and does not press a full disk */
            deletion_free(lane);
            lane->deletion_at = lane->monotonic + RETRY_NS;
            return;
        }
        next_row(deletion);
        return;
    }
}

static void batch_done(struct message *message)
{
    struct deletion *deletion = CONTAINER_OF(message, struct deletion, durable);
    deletion->busy = false;
    advance(deletion);
}

/* --- turns --- */

void deletion_turn(struct lane *lane)
{
    if (lane->deletion != NULL || lane->deletion_at > lane->monotonic || lane->draining || lane->settling)
        return;
    struct deletion *deletion = xcalloc(1, sizeof(*deletion));
    lane->deletion_at = TIME_NEVER;
    deletion->lane = lane;
    deletion->durable.run = batch_done;
    arena_init(&deletion->arena, SIZE_MAX);
    arena_init(&deletion->records, SIZE_MAX);
    lane->deletion = deletion;
    ask_records(deletion);
}

int64_t deletion_next_due(const struct lane *lane)
{
    return lane->deletion != NULL || lane->draining || lane->settling ? TIME_NEVER : lane->deletion_at;
}

bool deletion_is_idle(const struct lane *lane)
{
    return lane->deletion == NULL;
}

void deletion_free(struct lane *lane)
{
    struct deletion *deletion = TAKE_PTR(lane->deletion);
    if (deletion == NULL)
        return;
    arena_release(&deletion->arena);
    arena_release(&deletion->records);
    buffer_release(&deletion->after);
    free(deletion);
}
