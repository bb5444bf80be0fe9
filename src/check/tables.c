/* tables.c: what is of no single run: namespaces and other entities, ready tasks, wake-ups, messages, branches. */
#include "check/check_internal.h"

#include "codec/pb.h"
#include "pb/state.pb.h"

/* Kinds beyond are the inspection's of the file. */
#define KIND_MAX 255

/* A page of entities of one kind behind `after`, which becomes the last key. False: that was all. */
static bool next_entities(struct check *check, int32_t kind, struct buffer *after, struct arena *arena,
                          struct store_read *read)
{
    arena_reset(arena);
    *read = (struct store_read){ .kind = STORE_READ_ENTITIES,
                                 .entity_kind = kind,
                                 .after_key = buffer_bytes(after),
                                 .limit = CHECK_PAGE_ROWS,
                                 .size_limit = CHECK_PAGE_SIZE };
    if (!check_read(check, read, arena) || read->entity_count == 0)
        return false;
    buffer_clear(after);
    buffer_append(after, read->entities[read->entity_count - 1].key);
    return true;
}

static void each_entity(struct check *check, int32_t kind,
                        void (*look)(struct check *check, const struct store_entity *row))
{
    struct arena      arena;
    struct buffer     after = { 0 };
    struct store_read read;
    arena_init(&arena, SIZE_MAX);
    while (next_entities(check, kind, &after, &arena, &read)) {
        for (size_t i = 0; i < read.entity_count && check_goes_on(check); i++) {
            check->counts.entities++;
            look(check, &read.entities[i]);
        }
        check_renew(check);
        if (!read.more)
            break;
    }
    buffer_release(&after);
    arena_release(&arena);
}

/* --- namespaces --- */

static void note_namespace(struct check *check, const struct state_Namespace *record)
{
    size_t at = check->namespace_count;
    /* Twice the room when it is full: sizes that are powers of two. */
    if ((at & (at - 1)) == 0)
        check->namespaces = xrealloc(check->namespaces, MAX(at * 2, (size_t)1) * sizeof(*check->namespaces));
    for (; at > 0 && check->namespaces[at - 1].number > record->number; at--)
        check->namespaces[at] = check->namespaces[at - 1];
    check->namespaces[at] = (struct check_namespace){ .number = record->number,
                                                      .id = arena_copy(&check->keep, record->id),
                                                      .name = arena_copy(&check->keep, record->name) };
    check->namespace_count++;
}

static void look_at_namespace(struct check *check, const struct store_entity *row)
{
    struct arena           arena;
    struct state_Namespace record = { 0 };
    struct error           error = { 0 };
    struct uuid            id;
    arena_init(&arena, SIZE_MAX);
    if (pb_decode(&pb_state_Namespace, row->state, &arena, &record, &error) != ST_OK)
        check_found(check, "entity", NULL, "the row of a namespace cannot be decoded: %s", error.message);
    else if (!bytes_equal(record.id, row->key) || !uuid_parse(record.id, &id) || record.name.size == 0)
        check_found(check, "entity", NULL, "the row of namespace %.*s is not its own",
                    BYTES_FMT(record.name));
    else if (check_namespace(check, record.number) != NULL)
        check_found(check, "entity", NULL, "namespace %.*s has the number of another one",
                    BYTES_FMT(record.name));
    else
        note_namespace(check, &record);
    arena_release(&arena);
}

void check_namespaces(struct check *check)
{
    if (check_kind(check, ENTITY_NAMESPACES) != NULL)
        each_entity(check, ENTITY_NAMESPACES, look_at_namespace);
}

/* --- clocks --- */

static void look_at_clock(struct check *check, const struct store_entity *row)
{
    if (row->key.size != CLOCK_KEY_SIZE || row->key.base[0] >= SHARD_RANGE_COUNT ||
        row->state.size != CLOCK_STATE_SIZE || row_number_at(row->state.base) <= 0 ||
        row_number_at(row->state.base + ROW_NUMBER_SIZE) <= 0)
        check_found(check, "entity", NULL, "the row of a lane's clock is damaged");
    else
        check->number_max = MAX(check->number_max, row_number_at(row->state.base + ROW_NUMBER_SIZE));
}

void check_clocks(struct check *check)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_ENTITIES, .entity_kind = ENTITY_CLOCK };
    arena_init(&arena, SIZE_MAX);
    if (check_read(check, &read, &arena)) {
        for (size_t i = 0; i < read.entity_count; i++)
            look_at_clock(check, &read.entities[i]);
    }
    arena_release(&arena);
}

/* --- other entities --- */

/* That a run's history begins with events of another branch. */
static void look_at_use(struct check *check, const struct store_entity *row)
{
    if (row->key.size != BRANCH_USE_KEY_SIZE || row->state.size != ROW_NUMBER_SIZE) {
        check_found(check, "fork", NULL, "a row that keeps a branch is damaged");
        return;
    }
    store_number                  branch = row_number_at(row->key.base);
    store_number                  number = row_number_at(row->key.base + ROW_NUMBER_SIZE);
    const struct history_segment *segments = NULL;
    const void                   *state = check_load(check, number, NULL);
    size_t                        count = 0;
    if (state != NULL && check->kind->history_prefix != NULL)
        count = check->kind->history_prefix(state, &segments);
    for (size_t i = 0; i < count; i++)
        if (segments[i].branch == branch && segments[i].last_event_id == row_number_at(row->state.base))
            return;
    check_found(check, "fork", NULL,
                "branch %" PRId64 " is kept for run %" PRId64 ", which does not begin with it", branch,
                number);
}

static void look_at_deletion(struct check *check, const struct store_entity *row)
{
    struct arena arena;
    bool         is_whole = row->key.size == DELETION_KEY_SIZE && row->key.base[0] < SHARD_RANGE_COUNT &&
                    row->state.size != 0 && row->state.size % ROW_NUMBER_SIZE == 0;
    if (is_whole)
        is_whole = row_number_at(row->key.base + 1) ==
                   row_number_at(row->state.base + row->state.size - ROW_NUMBER_SIZE);
    if (!is_whole) {
        check_found(check, "entity", NULL, "a row that says what is to be deleted is damaged");
        return;
    }
    struct store_read read = { .kind = STORE_READ_RUN, .number = row_number_at(row->key.base + 1) };
    arena_init(&arena, SIZE_MAX);
    check->counts.leftovers++;
    if (check_read(check, &read, &arena) && read.found)
        check_found(check, "entity", &read.runs[0], "it is there, and its history is to be deleted");
    arena_release(&arena);
}

/* The one row of a record, as the runtime restores it. */
static void look_at_record(struct check *check, const struct store_entity *row)
{
    const struct entity_kind *kind = check_kind(check, row->kind);
    struct error              error = { 0 };
    if (row->key.size < ROW_NUMBER_SIZE) {
        check_found(check, "entity", NULL, "the key of a %s is damaged", kind->name);
        return;
    }
    struct entity_identity identity = { .namespace_number = row_number_at(row->key.base),
                                        .business_id = bytes_of(row->key.base + ROW_NUMBER_SIZE,
                                                                row->key.size - ROW_NUMBER_SIZE),
                                        .number = 1 };
    void                  *state = kind->state_new(&identity);
    if (kind->restore(state, row->state, &error) != ST_OK)
        check_found(check, "entity", NULL, "the row of %s %.*s cannot be restored: %s", kind->name,
                    BYTES_FMT(identity.business_id), error.message);
    else if (identity.namespace_number != 0 && /* 0: the cluster itself */
             check_namespace(check, identity.namespace_number) == NULL)
        check_found(check, "entity", NULL, "%s %.*s is of namespace %" PRId64 ", which does not exist",
                    kind->name, BYTES_FMT(identity.business_id), identity.namespace_number);
    kind->state_free(state);
}

static void look_at_unknown(struct check *check, const struct store_entity *row)
{
    check_found(check, "entity", NULL, "an entity of unknown kind %d", row->kind);
}

void check_entities(struct check *check)
{
    for (int32_t kind = 0; kind <= KIND_MAX && check_goes_on(check); kind++) {
        const struct entity_kind *known = check_kind(check, kind);
        if (kind == ENTITY_CLOCK || kind == ENTITY_NAMESPACES)
            continue; /* they came first */
        if (kind == ENTITY_BRANCH_USE)
            each_entity(check, kind, look_at_use);
        else if (kind == ENTITY_DELETION)
            each_entity(check, kind, look_at_deletion);
        else
            each_entity(check, kind, known != NULL && known->is_record ? look_at_record : look_at_unknown);
    }
}

/* --- ready tasks --- */

static bool has_task(struct check *check, const void *state, store_number sequence)
{
    struct entity_rows rows;
    struct arena       arena;
    bool               found = false;
    arena_init(&arena, SIZE_MAX);
    check->kind->rows(state, &arena, &rows);
    for (size_t i = 0; i < rows.ready_count; i++)
        found = found || rows.ready[i].sequence == sequence;
    arena_release(&arena);
    return found;
}

/* That the row fits its task was seen with the run. */
static void look_at_ready(struct check *check, const struct store_ready *row)
{
    const void *state = check_load(check, row->run, NULL);
    check->counts.ready++;
    if (state != NULL && (check->kind->rows == NULL || has_task(check, state, row->sequence)))
        return;
    check_found(check, "ready",
                &(struct store_run){ .number = row->run,
                                     .namespace_number = row->namespace_number,
                                     .workflow_id = row->workflow_id },
                "a row of a task that does not wait for a poller: kind %d, event %" PRId64
                ", sequence %" PRId64,
                (int)row->kind, row->scheduled_event_id, row->sequence);
}

void check_ready(struct check *check)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_READY_ROWS, .after = INT64_MIN };
    arena_init(&arena, SIZE_MAX);
    for (bool more = true; more; arena_reset(&arena)) {
        read.limit = CHECK_PAGE_ROWS;
        read.size_limit = CHECK_PAGE_SIZE;
        if (!check_read(check, &read, &arena))
            break;
        more = read.more;
        store_number last = read.after;
        for (size_t i = 0; i < read.ready_count && check_goes_on(check); i++) {
            look_at_ready(check, &read.ready[i]);
            last = read.ready[i].sequence;
        }
        check_renew(check);
        read = (struct store_read){ .kind = STORE_READ_READY_ROWS, .after = last };
    }
    arena_release(&arena);
}

/* --- wake-ups --- */

static void look_at_wakeup(struct check *check, const struct store_wakeup *row)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_RUN, .number = row->entity };
    struct store_run  named = { .number = row->entity,
                                .namespace_number = row->namespace_number,
                                .workflow_id = row->workflow_id };
    arena_init(&arena, SIZE_MAX);
    check->counts.wakeups++;
    if (check_read(check, &read, &arena)) {
        if (!read.found)
            check_found(check, "wakeup", &named, "a wake-up of a run that does not exist");
        else if (read.runs[0].namespace_number != row->namespace_number ||
                 !bytes_equal(read.runs[0].workflow_id, row->workflow_id))
            check_found(check, "wakeup", &read.runs[0], "its wake-up names another workflow");
    }
    arena_release(&arena);
}

void check_wakeups(struct check *check)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_WAKEUPS, .after_due = INT64_MIN };
    arena_init(&arena, SIZE_MAX);
    for (bool more = true; more; arena_reset(&arena)) {
        read.limit = CHECK_PAGE_ROWS;
        if (!check_read(check, &read, &arena))
            break;
        more = read.more;
        struct store_wakeup last = { 0 };
        for (size_t i = 0; i < read.wakeup_count && check_goes_on(check); i++) {
            look_at_wakeup(check, &read.wakeups[i]);
            last = read.wakeups[i];
        }
        check_renew(check);
        read = (struct store_read){ .kind = STORE_READ_WAKEUPS, .after_due = last.due, .after = last.entity };
    }
    arena_release(&arena);
}

/* --- messages --- */

static bool is_range(int32_t range)
{
    return range >= 0 && range < SHARD_RANGE_COUNT;
}

static void look_at_message(struct check *check, const struct store_outbox *row)
{
    struct entity_message     message;
    const struct entity_kind *kind = NULL;
    struct arena              arena;
    check->counts.messages++;
    bool is_whole = message_unpack(row->body, &message);
    if (is_whole)
        kind = check_kind(check, (int64_t)message.kind);
    if (!is_range(row->source_range) || !is_range(row->target_range) || row->number < 1 || kind == NULL ||
        (kind->is_message != NULL && !kind->is_message(message.body))) {
        check_found(check, "message", NULL, "message %d -> %d number %" PRId64 " cannot be read",
                    row->source_range, row->target_range, row->number);
        return;
    }
    struct store_run named = { .namespace_number = message.namespace_number,
                               .workflow_id = message.business_id };
    if (runtime_range(message.namespace_number, message.business_id) != row->target_range)
        check_found(check, "message", &named,
                    "a message to it (%d -> %d number %" PRId64 ") is on another's link", row->source_range,
                    row->target_range, row->number);
    if (row->source_run == 0)
        return;
    struct store_read read = { .kind = STORE_READ_RUN, .number = row->source_run };
    arena_init(&arena, SIZE_MAX);
    if (check_read(check, &read, &arena) && read.found && /* or it was deleted */
        runtime_range(read.runs[0].namespace_number, read.runs[0].workflow_id) != row->source_range)
        check_found(check, "message", &read.runs[0],
                    "a message of it (%d -> %d number %" PRId64 ") is on another's link", row->source_range,
                    row->target_range, row->number);
    arena_release(&arena);
}

static void check_links(struct check *check)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_LINKS };
    arena_init(&arena, SIZE_MAX);
    if (check_read(check, &read, &arena)) {
        for (size_t i = 0; i < read.link_count; i++) {
            const struct store_link *link = &read.links[i];
            check->counts.links++;
            bool in_window = link->number > 64 || link->window >> MAX(link->number - 1, INT64_C(0)) == 0;
            if (!is_range(link->source_range) || !is_range(link->target_range) || link->number < 1 ||
                !in_window)
                check_found(check, "message", NULL, "the row of link %d -> %d is damaged", link->source_range,
                            link->target_range);
        }
    }
    arena_release(&arena);
}

void check_messages(struct check *check)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_OUTBOX,
                               .after_source_range = INT32_MIN,
                               .after_target_range = INT32_MIN,
                               .after = INT64_MIN };
    check_links(check);
    arena_init(&arena, SIZE_MAX);
    for (bool more = true; more; arena_reset(&arena)) {
        read.limit = CHECK_PAGE_ROWS;
        read.size_limit = CHECK_PAGE_SIZE;
        if (!check_read(check, &read, &arena))
            break;
        more = read.more;
        struct store_outbox last = { 0 };
        for (size_t i = 0; i < read.outbox_count && check_goes_on(check); i++) {
            look_at_message(check, &read.outbox[i]);
            last = read.outbox[i];
        }
        check_renew(check);
        read = (struct store_read){ .kind = STORE_READ_OUTBOX,
                                    .after_source_range = last.source_range,
                                    .after_target_range = last.target_range,
                                    .after = last.number };
    }
    arena_release(&arena);
}

/* --- branches without a run --- */

/* Whether some run's history begins with it. */
static bool is_used(struct check *check, store_number branch)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct store_read read = { .kind = STORE_READ_ENTITIES,
                               .entity_kind = ENTITY_BRANCH_USE,
                               .after_key = branch_use_key(&arena, branch, 0),
                               .limit = 1 };
    bool              used = check_read(check, &read, &arena) && read.entity_count != 0 &&
                read.entities[0].key.size == BRANCH_USE_KEY_SIZE &&
                row_number_at(read.entities[0].key.base) == branch;
    arena_release(&arena);
    return used;
}

/* Whether a deletion that is under way will come to it: mostly its own run's, whose range is not known any more. */
static bool will_go(struct check *check, store_number branch)
{
    struct arena      arena;
    struct buffer     after = { 0 };
    struct store_read read;
    bool              found = false;
    arena_init(&arena, SIZE_MAX);
    for (int32_t range = 0; range < SHARD_RANGE_COUNT && !found && check_goes_on(check); range++) {
        read = (struct store_read){ .kind = STORE_READ_ENTITIES,
                                    .entity_kind = ENTITY_DELETION,
                                    .entity_key = deletion_key(&arena, range, branch) };
        found = check_read(check, &read, &arena) && read.entity_count != 0;
    }
    while (!found && next_entities(check, ENTITY_DELETION, &after, &arena, &read)) {
        for (size_t i = 0; i < read.entity_count && !found; i++) {
            struct bytes branches = read.entities[i].state;
            for (size_t at = 0; at + ROW_NUMBER_SIZE <= branches.size && !found; at += ROW_NUMBER_SIZE)
                found = row_number_at(branches.base + at) == branch;
        }
        if (!read.more)
            break;
    }
    buffer_release(&after);
    arena_release(&arena);
    return found;
}

static void look_at_branch(struct check *check, const struct store_branch *branch)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_RUN, .number = branch->number };
    check->counts.branches++;
    arena_init(&arena, SIZE_MAX);
    bool has_run = check_read(check, &read, &arena) && read.found;
    arena_release(&arena);
    if (has_run || !check_goes_on(check))
        return; /* gaps were seen with the run */
    if (branch->first != 1 || branch->last != branch->count)
        check_found(check, "branch", NULL,
                    "branch %" PRId64 " has %" PRId64 " transitions, and they go from %" PRId64
                    " to %" PRId64,
                    branch->number, branch->count, branch->first, branch->last);
    if (!is_used(check, branch->number) && !will_go(check, branch->number))
        check_found(check, "branch", NULL, "branch %" PRId64 " (%" PRId64 " transitions) belongs to no run",
                    branch->number, branch->count);
}

void check_branches(struct check *check)
{
    struct arena      arena;
    struct store_read read = { .kind = STORE_READ_BRANCHES, .after = INT64_MIN };
    arena_init(&arena, SIZE_MAX);
    for (bool more = true; more; arena_reset(&arena)) {
        read.limit = CHECK_PAGE_ROWS;
        if (!check_read(check, &read, &arena))
            break;
        more = read.more;
        store_number last = read.after;
        for (size_t i = 0; i < read.branch_count && check_goes_on(check); i++) {
            look_at_branch(check, &read.branches[i]);
            last = read.branches[i].number;
        }
        check_renew(check);
        read = (struct store_read){ .kind = STORE_READ_BRANCHES, .after = last };
    }
    arena_release(&arena);
}
