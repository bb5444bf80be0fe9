/* commit.c: makes what was decided durable, then lets go what rests on it. Outputs leave from here and nowhere else.
 *
 *   open ──seal──> flight ──durable──> released        aborted: the same writes again
 *     ▲ joins      second, flight                      refused: the culprits' calls fail, they are forgotten; others released
 *     └──────────────┘                                 full: once more (the store gave its ballast up), then forgotten
 *                                                      lost fence: all of the lane is forgotten; unknown: the end
 *
 * A second batch may follow the one in flight when it rests on nothing of it: no entity or reserved number in common.
 * So nothing on its way to the disk ever rests on something that may still be refused or sent again. Answers of the store
 * are worked on in the order of the batches.
 */
#include "base/mutant.h"
#include <pthread.h>

#include "shard/shard_internal.h"

#include "base/log.h"
#include "base/metric.h"
#include "base/trace.h"
#include "history/batch.h"

static void batch_answered(struct message *message);

/* --- changes --- */

static bool batch_is_empty(const struct batch *batch)
{
    return list_empty(&batch->changes) && batch->strays == NULL && batch->acknowledged == NULL &&
           batch->received == NULL && batch->erasures == NULL;
}

/* Nothing but outbox rows that go because they were answered: nobody waits for that. */
static bool batch_only_acknowledges(const struct batch *batch)
{
    return batch->acknowledged != NULL && list_empty(&batch->changes) && batch->strays == NULL &&
           batch->received == NULL && batch->erasures == NULL && list_empty(&batch->outputs);
}

/* Something is about to join the open batch. */
void commit_opened(struct lane *lane)
{
    if (batch_is_empty(lane->open) || batch_only_acknowledges(lane->open))
        lane->open->opened_at = lane->monotonic;
}

static void change_recycle(struct lane *lane, struct change *change)
{
    struct buffer events = change->events, deltas = change->deltas;
    if (events.capacity > SEAL_SIZE ||
        deltas.capacity > SEAL_SIZE) { /* one huge transition must not pin its memory */
        buffer_release(&events);
        buffer_release(&deltas);
    }
    buffer_clear(&events);
    buffer_clear(&deltas);
    list_remove(&change->link);
    *change = (struct change){ .events = events, .deltas = deltas };
    list_append(&lane->changes_free, &change->link);
}

void commit_rests_on(struct batch *batch, const struct chain *chain)
{
    if (chain->group_batch > batch->lane->durable_batch)
        batch->depends_on = MAX(batch->depends_on, chain->group_batch);
}

struct change *commit_change(struct entity *entity)
{
    if (entity->open != NULL)
        return entity->open;
    struct lane   *lane = entity->lane;
    struct batch  *batch = lane->open;
    struct list   *free_one = list_take_first(&lane->changes_free);
    struct change *change = free_one == NULL ? xcalloc(1, sizeof(*change))
                                             : LIST_ENTRY(free_one, struct change, link);
    commit_opened(lane);
    change->entity = entity;
    change->batch = batch;
    change->ready_end = &change->ready;
    change->entities_end = &change->entities;
    change->messages_end = &change->messages;
    list_append(&batch->changes, &change->link);
    entity->open = change;
    if (entity->chain->joined_batch != batch->id) {
        entity->chain->joined_batch = batch->id;
        batch->chains++;
    }
    commit_rests_on(batch, entity->chain);
    return change;
}

void commit_entity_gone(struct entity *entity)
{
    if (entity->open != NULL)
        change_recycle(entity->lane, entity->open);
    if (entity->flight != NULL)
        change_recycle(entity->lane, entity->flight);
    entity->open = entity->flight = NULL;
}

void commit_stray_wakeup(struct lane *lane, store_number run)
{
    struct batch        *batch = lane->open;
    struct stray_wakeup *stray = ARENA_NEW(&batch->arena, struct stray_wakeup);
    commit_opened(lane);
    stray->entity = run;
    stray->next = batch->strays;
    batch->strays = stray;
}

/* --- outputs --- */

static void trace_durable(const struct lane *lane, const struct request *request)
{
    struct trace      *trace = request->trace;
    struct trace_span *span = trace_span_new(trace, false, TRACE_INTERNAL, BYTES("commit"), trace->decided,
                                             clock_wall_ns(&lane->runtime->options.clock));
    trace->decided = 0;
    if (span == NULL)
        return;
    trace_number(span, "perdure.lane", lane->index);
    trace_number(span, "perdure.batch", request->batch);
    trace_span_end(span);
}

/* The rule of the house: nothing leaves whose entity is ahead of the disk. Two independent counts say so. */
static void output_leave(struct lane *lane, struct request *request)
{
    assert(request->batch <= lane->durable_batch);
    if (request->number != 0) {
        struct entity *entity = entity_find(lane, request->number);
        if (entity != NULL && request->version > entity->durable_version)
            panic("an answer rests on version %" PRId64 " of run %" PRId64 ", of which %" PRId64
                  " is durable",
                  request->version, request->number, entity->durable_version);
    }
    if (request->trace != NULL && request->trace->decided != 0)
        trace_durable(lane, request);
    lane_finish(lane, request);
}

static struct batch *batch_of(struct lane *lane, int64_t id)
{
    struct batch *batch = lane->open;
    if (lane->flight != NULL && id == lane->flight->id)
        batch = lane->flight;
    else if (lane->second != NULL && id == lane->second->id)
        batch = lane->second;
    assert(id == batch->id);
    return batch;
}

void commit_output(struct lane *lane, struct request *request)
{
    if (MUTANT(ack_before_sync)) {
        lane_finish(lane, request);
        return;
    }
    if (request->batch <= lane->durable_batch) {
        output_leave(lane, request);
        return;
    }
    list_append(&batch_of(lane, request->batch)->outputs, &request->link);
}

void commit_after(struct lane *lane, int64_t id, struct message *message)
{
    struct batch *batch = batch_of(lane, id);
    assert(id > lane->durable_batch && !batch_is_empty(batch));
    message->next = batch->after;
    batch->after = message;
}

/* --- sealing --- */

bool commit_is_empty(const struct lane *lane)
{
    return batch_is_empty(lane->open) && list_empty(&lane->open->outputs);
}

bool commit_open_is_full(const struct lane *lane)
{
    return lane->open->size >= OPEN_SIZE_MAX || lane->open->transitions >= OPEN_TRANSITIONS_MAX;
}

/* Waiting gathers others into one flush; it is worth it only when others are under way. */
static bool others_may_join(struct lane *lane)
{
    cache_active_expire(lane);
    return lane->active_count >= SEAL_OUTSTANDING && lane->active_count > lane->open->chains;
}

/* Whether what the open batch holds would be right even if nothing of the one in flight ever came to be. */
static bool rests_on_nothing(const struct lane *lane)
{
    const struct batch *open = lane->open;
    /* Numbers past what is reserved for certain are no one's. */
    return (MUTANT(second_batch_rests_on_first) || open->depends_on <= lane->durable_batch) &&
           !open->namespaces_changed && !lane->flight->namespaces_changed &&
           lane->numbers.last <= lane->numbers_durable;
}

static bool ready_to_seal(struct lane *lane)
{
    const struct batch *open = lane->open;
    if (lane->second != NULL || lane->lost || batch_is_empty(open))
        return false;
    if (lane->flight != NULL)
        return open->transitions >= lane->runtime->options.second_after && lane->flight->abort_count == 0 &&
               !lane->read_only && rests_on_nothing(lane);
    if (batch_only_acknowledges(open) && !lane->settling)
        return lane->monotonic - open->opened_at >= ACKNOWLEDGE_NS;
    return open->transitions >= SEAL_TRANSITIONS || open->size >= SEAL_SIZE || lane->settling ||
           lane->monotonic - open->opened_at >= SEAL_NS || !others_may_join(lane);
}

static struct store_write *add(struct batch *batch, enum store_write_kind kind, uint32_t group, size_t size)
{
    batch->store.size += size;
    return store_batch_add(&batch->store, kind, group);
}

static struct bytes seal_snapshot(struct change *change)
{
    struct entity *entity = change->entity;
    struct batch  *batch = change->batch;
    struct buffer *scratch = &batch->scratch;
    buffer_clear(scratch);
    snapshot_begin(scratch, entity->next_event_id);
    entity->kind->snapshot(entity->state, scratch);
    entity->snapshot_size = scratch->size;
    entity->unsnapped = 0;
    return arena_copy(&batch->store.arena, buffer_bytes(scratch));
}

static void seal_run(struct change *change, uint32_t group)
{
    struct entity *entity = change->entity;
    bool           open = entity->kind->is_open(entity->state);
    if (change->run == NULL)
        return;
    /* A closed run is never folded again; and an update of the row must not take an earlier snapshot away. */
    if (!entity->kind->is_record && (!open || entity->snapshot_size != 0)) {
        change->run->snapshot = seal_snapshot(change);
        change->run->snapshot_transition = entity->row_number;
    }
    struct store_write *write = add(change->batch, change->created ? STORE_RUN_INSERT : STORE_RUN_UPDATE,
                                    group,
                                    256 + change->run->workflow_id.size + change->run->memo.size +
                                        change->run->search_attributes.size + change->run->attributes.size +
                                        change->run->snapshot.size);
    write->run = change->run;
}

/* A long run gets a snapshot when the rows since the last one outgrow it, so that a load reads about twice the state. */
static void seal_outgrown(struct change *change, uint32_t group)
{
    struct entity *entity = change->entity;
    if (change->run != NULL || change->row_number == 0 ||
        entity->unsnapped < entity->lane->runtime->options.snapshot_after ||
        entity->unsnapped < 2 * entity->snapshot_size)
        return;
    struct store_run *row = ARENA_NEW(&change->batch->store.arena, struct store_run);
    row->number = entity->number;
    row->snapshot = seal_snapshot(change);
    row->snapshot_transition = entity->row_number - MUTANT(snapshot_one_behind);
    add(change->batch, STORE_RUN_SNAPSHOT, group, 32 + row->snapshot.size)->run = row;
}

static void seal_transition(struct change *change, uint32_t group)
{
    struct entity *entity = change->entity;
    struct batch  *batch = change->batch;
    if (change->row_number == 0)
        return;
    struct store_transition *row = ARENA_NEW(&batch->store.arena, struct store_transition);
    *row = (struct store_transition){
        .branch = entity->number,
        .number = change->row_number,
        .first_event_id = change->first_event_id,
        .event_count = (int32_t)change->event_count,
        .events = buffer_bytes(&change->events),
        .delta = buffer_bytes(&change->deltas),
    };
    row->checksum = batch_checksum(row->events, row->delta);
    entity->unsnapped += row->events.size + row->delta.size;
    if (change->event_count != 0)
        tail_append(entity, change->first_event_id, change->event_count, row->events);
    add(batch, STORE_TRANSITION_INSERT, group, 48 + row->events.size + row->delta.size)->transition = row;
}

static void seal_change(struct change *change)
{
    struct entity *entity = change->entity;
    struct chain  *chain = entity->chain;
    struct batch  *batch = change->batch;
    if (chain->group_batch != batch->id) {
        chain->group_batch = batch->id;
        chain->group = batch->store.group_count++;
    }
    if (!entity->kind->is_record) {
        change->open = entity->kind->is_open(entity->state);
        assert(!change->created || change->run != NULL);
        if (!change->deletes)
            seal_run(change, chain->group);
        seal_transition(change, chain->group);
        if (!change->deletes)
            seal_outgrown(change, chain->group);
    } else if (!change->deletes) {
        seal_run(change, chain->group);
    }
    for (struct ready_change *at = change->ready; at != NULL; at = at->next) {
        if (at->row == NULL && MUTANT(ready_row_kept))
            continue;
        struct store_write *write = add(batch, at->row == NULL ? STORE_READY_DELETE : STORE_READY_INSERT,
                                        chain->group, 96);
        write->ready = at->row;
        if (at->row == NULL) {
            write->ready = ARENA_NEW(&batch->store.arena, struct store_ready);
            write->ready->sequence = at->sequence;
        }
    }
    for (struct entity_change *at = change->entities; at != NULL; at = at->next)
        add(batch, at->row.state.size == 0 ? STORE_ENTITY_DELETE : STORE_ENTITY_PUT, chain->group,
            at->row.key.size + at->row.state.size)
            ->entity = at->row;
    link_seal_change(change, chain->group);
    if (change->deletes)
        deletion_seal_change(change, chain->group);
    if (change->wakeup != WAKEUP_KEEP && !(change->wakeup == WAKEUP_CLEAR && MUTANT(wakeup_row_kept))) {
        struct store_write *write = add(batch,
                                        change->wakeup == WAKEUP_SET ? STORE_WAKEUP_SET : STORE_WAKEUP_DELETE,
                                        chain->group, 64);
        write->wakeup.entity = entity->number;
        write->wakeup.due = change->due;
        write->wakeup.namespace_number = chain->namespace_number;
        write->wakeup.workflow_id = chain->business_id;
        write->wakeup.kind = (int32_t)chain->kind;
    }
    change->version = entity->version;
    change->next_event_id = entity->next_event_id;
    entity->open = NULL;
    assert(entity->flight == NULL);
    entity->flight = change;
}

/* How far time has come, and how far numbers may go: after a restart neither is given again, whatever the clock says. A
 * batch with a number past what was reserved reserves more. */
static void seal_clock(struct lane *lane, struct batch *batch)
{
    struct number_source reserve = lane->numbers;
    lane->clock_written = lane->now;
    lane->numbers_reserved = number_next(&reserve,
                                         MAX(lane->now, number_time(reserve.last)) + 2 * CLOCK_PERIOD_NS);
    batch->reserved = lane->numbers_reserved;
    uint8_t *row = arena_must(arena_alloc(&batch->store.arena, 17));
    row[0] = (uint8_t)lane->index;
    row_put_number(row_put_number(row + 1, lane->now), lane->numbers_reserved);
    /* In each group: of what is durable when another group is refused, the numbers are not given again either. */
    if (batch->store.group_count == 0)
        batch->store.group_count = 1;
    for (uint32_t group = 0; group < batch->store.group_count; group++)
        add(batch, STORE_ENTITY_PUT, group, 17)->entity = (struct store_entity){ ENTITY_CLOCK,
                                                                                 bytes_of(row, 1),
                                                                                 bytes_of(row + 1, 16) };
}

static void seal_rest(struct lane *lane, struct batch *batch)
{
    for (struct stray_wakeup *stray = batch->strays; stray != NULL; stray = stray->next)
        add(batch, STORE_WAKEUP_DELETE, batch->store.group_count++, 16)->wakeup.entity = stray->entity;
    link_seal(batch);
    deletion_seal(batch);
    /* Not in a second batch: the one in flight, sent again after it, would put an older row in its place. */
    if (lane->flight == NULL &&
        (lane->now - lane->clock_written >= CLOCK_PERIOD_NS || lane->numbers.last > lane->numbers_reserved))
        seal_clock(lane, batch);
}

static struct batch *batch_free_one(struct lane *lane)
{
    for (size_t i = 0; i < ARRAY_COUNT(lane->batches); i++) {
        struct batch *batch = &lane->batches[i];
        if (batch != lane->open && batch != lane->flight && batch != lane->second)
            return batch;
    }
    panic("no batch is free");
}

static void seal(struct lane *lane)
{
    struct batch *batch = lane->open;
    assert(lane->second == NULL);
    LIST_FOR_EACH (change, &batch->changes, struct change, link)
        seal_change(change);
    seal_rest(lane, batch);
    if (lane->flight == NULL)
        lane->flight = batch;
    else {
        lane->second = batch;
        lane->statistics.seconds++;
    }
    lane->open = batch_free_one(lane);
    assert(batch_is_empty(lane->open) && list_empty(&lane->open->outputs));
    lane->open->id = ++lane->next_batch;
    lane->statistics.batches++;
    batch->sealed_at = lane->monotonic;
    metric_observe(METRIC_BATCH_TRANSITIONS, 0, 0, (int64_t)batch->transitions);
    store_submit(lane->runtime->options.store, &batch->store);
}

/* --- outcomes --- */

static void after_sealed(struct lane *lane, struct batch *batch)
{
    while (batch->after != NULL) {
        struct message *message = batch->after;
        batch->after = message->next;
        mailbox_post(&lane->mailbox, message);
    }
}

static void batch_clear(struct batch *batch)
{
    assert(list_empty(&batch->changes) && list_empty(&batch->outputs));
    store_batch_clear(&batch->store);
    arena_reset(&batch->arena);
    batch->strays = NULL;
    batch->acknowledged = NULL;
    batch->received = NULL;
    batch->erasures = NULL;
    batch->transitions = batch->chains = batch->size = 0;
    batch->full_count = batch->abort_count = 0;
    batch->namespaces_changed = batch->answered = false;
    batch->depends_on = 0;
    batch->reserved = 0;
}

static void release_change(struct lane *lane, struct change *change)
{
    const struct lane_hooks *hooks = &lane->runtime->options.hooks;
    void                    *context = lane->runtime->options.hooks_context;
    struct entity           *entity = change->entity;
    entity->flight = NULL;
    entity->durable_version = change->version;
    entity->durable_event_id = change->next_event_id - 1;
    wakeup_released(entity, change);
    link_released(change);
    for (struct ready_change *at = change->ready; at != NULL; at = at->next) {
        if (at->row == NULL && hooks->withdraw != NULL)
            hooks->withdraw(context, lane, at->sequence);
        else if (at->row != NULL && hooks->offer != NULL)
            hooks->offer(context, lane, at->row);
    }
    if (change->event_count != 0 && hooks->released != NULL)
        hooks->released(context, lane, entity->number, entity->durable_event_id, change->open);
    entity_trim_tail(entity);
    bool deletes = change->deletes, erases = change->erases;
    change_recycle(lane, change);
    if (deletes)
        deletion_released(lane, entity, erases);
}

static void remove_from_flight(struct lane *lane, const struct batch *batch)
{
    if (batch == lane->flight)
        lane->flight = lane->second;
    else
        assert(batch == lane->second);
    lane->second = NULL;
}

/* Hooks first, then outputs: rows and hooks live in the arenas of requests, which their owners free when they are done. */
static void release(struct lane *lane, struct batch *batch)
{
    lane->durable_batch = MAX(lane->durable_batch, batch->id);
    remove_from_flight(lane, batch);
    if (batch->reserved != 0 && lane->numbers_reserved != 0)
        lane->numbers_durable = batch->reserved;
    if (batch->namespaces_changed)
        namespaces_publish(lane, batch);
    LIST_FOR_EACH (change, &batch->changes, struct change, link)
        release_change(lane, change);
    for (struct list *at; (at = list_take_first(&batch->outputs)) != NULL;)
        output_leave(lane, LIST_ENTRY(at, struct request, link));
    link_batch_released(batch);
    after_sealed(lane, batch);
    batch_clear(batch);
}

static void fail_outputs_of(struct lane *lane, struct list *outputs, const struct chain *chain,
                            const char *reason)
{
    LIST_FOR_EACH (request, outputs, struct request, link) {
        if (request->chain != chain)
            continue;
        list_remove(&request->link);
        lane_fail(lane, request, ST_INTERNAL, "the store refused the change: %s", reason);
    }
}

/* The row of the clock may not be on disk: the next batch writes it again. */
static void clock_lost(struct lane *lane)
{
    lane->clock_written = 0;
    lane->numbers_reserved = lane->numbers_durable = 0;
}

static void refused(struct lane *lane, struct batch *batch)
{
    clock_lost(lane);
    const char *reason = batch->store.error.message;
    link_batch_refused(batch);
    LIST_FOR_EACH (change, &batch->changes, struct change, link) {
        struct chain *chain = change->entity->chain;
        assert(chain->group_batch == batch->id);
        if (!batch->store.refused[chain->group])
            continue;
        link_chain_refused(lane->open, chain);
        if (!MUTANT(refused_group_acknowledged))
            fail_outputs_of(lane, &batch->outputs, chain, reason);
        fail_outputs_of(lane, &lane->open->outputs, chain, reason);
        if (chain->kind == ENTITY_NAMESPACES) {
            log_error("namespaces.refused", "%s", reason);
            continue;
        }
        if (!chain_is_quarantined(lane, chain)) /* by another of its runs, or by a row that was damaged */
            chain_mark_quarantined(lane, chain, reason);
    }
    /* Forgetting removes changes of several runs at once, so it comes after the walk. */
    bool namespaces = false;
    for (struct list *at = batch->changes.next; at != &batch->changes;) {
        struct chain *chain = LIST_ENTRY(at, struct change, link)->entity->chain;
        if (!batch->store.refused[chain->group]) {
            at = at->next;
            continue;
        }
        namespaces = namespaces || chain->kind == ENTITY_NAMESPACES;
        if (chain->kind == ENTITY_NAMESPACES) {
            batch->namespaces_changed = false;
            namespaces_rebuild(lane);
        } else {
            chain_forget(lane, chain);
            wakeup_look_again(
                lane, QUARANTINE_NS); /* one that was taken may have been answered by what was refused */
        }
        at = batch->changes.next;
    }
    release(lane, batch);
}

/* Everything of these batches is forgotten; `fail` says what their callers hear. */
static void forget_batch(struct lane *lane, struct batch *batch,
                         void (*fail)(struct lane *lane, struct request *request))
{
    for (struct list *at; (at = list_take_first(&batch->outputs)) != NULL;)
        fail(lane, LIST_ENTRY(at, struct request, link));
    link_batch_lost(batch);
    while (!list_empty(&batch->changes)) {
        struct chain *chain = LIST_ENTRY(batch->changes.next, struct change, link)->entity->chain;
        if (chain->kind == ENTITY_NAMESPACES)
            namespaces_rebuild(lane);
        else
            chain_forget(lane, chain);
        chain_free_if_idle(lane, chain);
    }
    after_sealed(lane, batch);
    batch_clear(batch);
}

/* Nothing of what is under way, nor of what is open, will ever be. Batches that are durable in spite of that are released:
 * they rest on nothing else. */
static void all_lost(struct lane *lane, void (*fail)(struct lane *lane, struct request *request))
{
    clock_lost(lane);
    lane->lost = false;
    if (lane->second != NULL && lane->second->store.outcome == STORE_DURABLE)
        release(lane, lane->second);
    else if (lane->second != NULL && lane->second->store.outcome == STORE_REFUSED)
        refused(lane, lane->second);
    while (lane->flight != NULL) {
        struct batch *flight = lane->flight;
        lane->durable_batch = MAX(lane->durable_batch, flight->id); /* nobody waits for it any more */
        remove_from_flight(lane, flight);
        forget_batch(lane, flight, fail);
    }
    forget_batch(lane, lane->open, fail);
}

static void full(struct lane *lane, struct batch *batch)
{
    if (!lane->read_only)
        log_error("store.full", "lane=%u error=%s; starts and signals are refused until there is space",
                  lane->index, batch->store.error.message);
    lane->read_only = true;
    if (!lane->probing)
        lane->probe_at = lane->monotonic + RETRY_NS;
    if (batch->full_count++ == 0) { /* the store has given its ballast up */
        batch->answered = false;
        store_submit(lane->runtime->options.store, &batch->store);
    } else {
        lane->lost = true;
    }
}

static void fail_unavailable(struct lane *lane, struct request *request)
{
    lane_fail(lane, request, ST_UNAVAILABLE, "the shard moved; nothing is known but that a retry is right");
}

static void lost_fence(struct lane *lane)
{
    struct list waiters;
    list_init(&waiters);
    log_warn("shards.dropped", "lane=%u", lane->index);
    all_lost(lane, fail_unavailable);
    load_forget_all(lane, &waiters);
    scan_forget_all(lane, &waiters);
    fork_forget_all(lane, &waiters);
    for (struct list *at; (at = list_take_first(&waiters)) != NULL;)
        fail_unavailable(lane, LIST_ENTRY(at, struct request, link));
    wakeup_forget_all(lane);
    cache_forget_all(lane);
    if (lane->runtime->options.hooks.forgotten != NULL)
        lane->runtime->options.hooks.forgotten(lane->runtime->options.hooks_context, lane);
}

/* Done or not, nobody can say: nothing may leave any more, and the disk is asked after a restart. */
static void unknown(struct lane *lane, const struct batch *batch)
{
    lane->dead = true;
    if (lane->runtime->options.fatal == NULL)
        panic("the store cannot say what it has done: %s", batch->store.error.message);
    lane->runtime->options.fatal(lane->runtime->options.fatal_context, &batch->store.error);
}

static void work_on(struct lane *lane, struct batch *batch)
{
    switch (batch->store.outcome) {
    case STORE_DURABLE:
        release(lane, batch);
        return;
    case STORE_REFUSED:
        refused(lane, batch);
        return;
    case STORE_ABORTED: {
        int64_t wait = ABORT_BACKOFF_NS << MIN(batch->abort_count, 7U);
        batch->abort_count++;
        batch->answered = false;
        lane->resubmit_at = MUTANT(aborted_batch_dropped)
                                ? TIME_NEVER
                                : lane->monotonic +
                                      (batch->abort_count == 1 ? 0 : MIN(wait, ABORT_BACKOFF_MAX_NS));
        return;
    }
    case STORE_FULL:
        if (MUTANT(full_disk_acknowledged)) {
            release(lane, batch);
            return;
        }
        full(lane, batch);
        return;
    case STORE_LOST_FENCE:
        lane->lost = true;
        return;
    case STORE_UNKNOWN:
        if (MUTANT(unknown_outcome_acknowledged)) {
            release(lane, batch);
            return;
        }
        unknown(lane, batch);
        return;
    }
}

static void batch_answered(struct message *message)
{
    struct batch *batch = CONTAINER_OF(CONTAINER_OF(message, struct store_batch, message), struct batch,
                                       store);
    struct lane  *lane = batch->lane;
    assert(batch == lane->flight || batch == lane->second);
    batch->answered = true;
    while (lane->flight != NULL && lane->flight->answered && !lane->lost && !lane->dead)
        work_on(lane, lane->flight);
    /* What is lost is forgotten when the store holds nothing of it any more. */
    if (!lane->lost || (lane->second != NULL && !lane->second->answered))
        return;
    assert(lane->flight != NULL);
    bool fence = lane->flight->store.outcome == STORE_LOST_FENCE ||
                 (lane->second != NULL && lane->second->store.outcome == STORE_LOST_FENCE);
    if (lane->second != NULL && lane->second->store.outcome == STORE_UNKNOWN)
        unknown(lane, lane->second);
    else if (fence)
        lost_fence(lane);
    else
        all_lost(lane, lane_refuse_full);
}

/* --- turns --- */

static void probed(struct lane *lane, enum status status)
{
    if (status != ST_OK) {
        lane->probe_at = lane->monotonic + RETRY_NS;
        return;
    }
    log_info("store.writable", "lane=%u", lane->index);
    lane->read_only = false;
    /* Timers that were parked, or lost with what was forgotten, are found again in the store. */
    wakeup_forget_all(lane);
}

/* The probe writes to the disk, so it has a thread of its own for that moment. */
struct probe {
    struct message message;
    struct lane   *lane;
    enum status    status;
};

static void probe_answered(struct message *message)
{
    struct probe *probe = CONTAINER_OF(message, struct probe, message);
    struct lane  *lane = probe->lane;
    lane->probing = false;
    probed(lane, probe->status);
    free(probe);
}

static void *probe_main(void *context)
{
    struct probe *probe = context;
    struct error  error;
    probe->status = store_probe(probe->lane->runtime->options.store, &error);
    mailbox_post(&probe->lane->mailbox, &probe->message);
    return NULL;
}

static void probe(struct lane *lane)
{
    pthread_t    thread;
    struct error error;
    lane->probe_at = TIME_NEVER;
    if (lane->runtime->options.wait != NULL) { /* a simulation has one thread */
        probed(lane, store_probe(lane->runtime->options.store, &error));
        return;
    }
    struct probe *new = xcalloc(1, sizeof(*new));
    new->lane = lane;
    new->message.run = probe_answered;
    lane->probing = true;
    if (pthread_create(&thread, NULL, probe_main, new) == 0) {
        pthread_detach(thread);
        return;
    }
    lane->probing = false;
    lane->probe_at = lane->monotonic + RETRY_NS;
    free(new);
}

void commit_turn(struct lane *lane)
{
    if (lane->resubmit_at <= lane->monotonic) {
        lane->resubmit_at = TIME_NEVER;
        store_submit(lane->runtime->options.store, &lane->flight->store);
    }
    if (lane->probe_at <= lane->monotonic)
        probe(lane);
    if (ready_to_seal(lane))
        seal(lane);
}

int64_t commit_next_due(const struct lane *lane)
{
    int64_t due = MIN(lane->resubmit_at, lane->probe_at);
    if (lane->flight == NULL && !batch_is_empty(lane->open))
        due = MIN(due,
                  lane->open->opened_at +
                      (batch_only_acknowledges(lane->open) && !lane->settling ? ACKNOWLEDGE_NS : SEAL_NS));
    return due;
}

void lane_after_sealed(struct lane *lane, struct message *message)
{
    struct batch *newest = lane->second != NULL ? lane->second : lane->flight;
    if (newest == NULL) {
        mailbox_post(&lane->mailbox, message);
        return;
    }
    message->next = newest->after;
    newest->after = message;
}

void commit_init(struct lane *lane)
{
    list_init(&lane->changes_free);
    for (size_t i = 0; i < ARRAY_COUNT(lane->batches); i++) {
        struct batch *batch = &lane->batches[i];
        batch->lane = lane;
        store_batch_init(&batch->store, &lane->mailbox, batch_answered);
        arena_init(&batch->arena, SIZE_MAX);
        list_init(&batch->changes);
        list_init(&batch->outputs);
        buffer_init(&batch->scratch);
    }
    lane->open = &lane->batches[0];
    lane->open->id = lane->next_batch = 1;
    lane->resubmit_at = lane->probe_at = TIME_NEVER;
}

void commit_free(struct lane *lane)
{
    for (struct list *at; (at = list_take_first(&lane->changes_free)) != NULL;) {
        struct change *change = LIST_ENTRY(at, struct change, link);
        buffer_release(&change->events);
        buffer_release(&change->deltas);
        free(change);
    }
    for (size_t i = 0; i < ARRAY_COUNT(lane->batches); i++) {
        struct batch *batch = &lane->batches[i];
        store_batch_release(&batch->store);
        arena_release(&batch->arena);
        buffer_release(&batch->scratch);
    }
}
