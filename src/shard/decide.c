/* decide.c: one request on one entity: decide, apply, join the open batch, and tie the answer to what it rests on. */
#include "base/mutant.h"
#include "shard/shard_internal.h"

#include "base/log.h"
#include "base/metric.h"
#include "base/trace.h"
#include "history/batch.h"

/* The smallest that state-size-warn may be: most states never come near. */
#define STATE_SIZE_NOTICED_MIN LIMIT_KIB(16)

static bool has_rows(const struct entity *entity)
{
    return !entity->kind->is_record;
}

/* --- what a transition adds to the open batch --- */

static void join_ready(struct change *change, const struct transition *transition)
{
    struct batch *batch = change->batch;
    for (size_t i = 0; i < transition->unready_count; i++) {
        /* A row that this very batch would insert is not written at all. */
        struct ready_change **at = &change->ready;
        while (*at != NULL && ((*at)->row == NULL || (*at)->sequence != transition->unready[i]))
            at = &(*at)->next;
        if (*at != NULL) {
            if (change->ready_end == &(*at)->next)
                change->ready_end = at;
            *at = (*at)->next;
            continue;
        }
        struct ready_change *gone = ARENA_NEW(&batch->arena, struct ready_change);
        gone->sequence = transition->unready[i];
        *change->ready_end = gone;
        change->ready_end = &gone->next;
    }
    for (size_t i = 0; i < transition->ready_count; i++) {
        struct ready_change *new = ARENA_NEW(&batch->arena, struct ready_change);
        new->row = &transition->ready[i];
        new->sequence = new->row->sequence;
        assert(new->sequence != 0);
        assert(new->row->run == change->entity->number);
        *change->ready_end = new;
        change->ready_end = &new->next;
        batch->size += sizeof(struct store_ready) + new->row->queue.size + new->row->workflow_id.size;
    }
}

static void join_run(struct change *change, const struct store_run *run)
{
    struct batch     *batch = change->batch;
    struct store_run *row = ARENA_NEW(&batch->arena, struct store_run);
    *row = *run;
    assert(row->number == change->entity->number);
    if (change->run != NULL && change->created) {
        /* An update of a row that is not written yet: the identity stays as inserted. */
        row->run_id = change->run->run_id;
        row->workflow_id = change->run->workflow_id;
        row->workflow_type = change->run->workflow_type;
        row->start_time = change->run->start_time;
        row->parent_workflow_id = change->run->parent_workflow_id;
        row->parent_run_id = change->run->parent_run_id;
        row->root_workflow_id = change->run->root_workflow_id;
        row->root_run_id = change->run->root_run_id;
    }
    change->run = row;
    batch->size += sizeof(*row) + row->workflow_id.size + row->memo.size + row->search_attributes.size +
                   row->attributes.size;
}

static void join_rows(struct change *change, const struct transition *transition)
{
    struct batch *batch = change->batch;
    if (transition->run != NULL)
        join_run(change, transition->run);
    join_ready(change, transition);
    link_join(change, transition);
    for (size_t i = 0; i < transition->entity_count; i++) {
        struct entity_change *row = ARENA_NEW(&batch->arena, struct entity_change);
        row->row = transition->entities[i];
        *change->entities_end = row;
        change->entities_end = &row->next;
        batch->size += row->row.key.size + row->row.state.size;
        if (row->row.kind == ENTITY_NAMESPACES)
            batch->namespaces_changed = true;
    }
}

static void apply_record(struct entity *entity, const struct transition_record *record)
{
    struct error error;
    if (entity->kind->apply(entity->state, record, &error) != ST_OK)
        panic("%s: apply refused what decide made: %s", entity->kind->name, error.message);
}

/* Folds one record and notes it behind those that the row has. */
static void record_join(struct entity *entity, struct change *change, struct bytes *events, size_t count,
                        struct bytes delta)
{
    struct transition_record record = { .number = change->row_number,
                                        .first_event_id = entity->next_event_id,
                                        .events = events,
                                        .event_count = count,
                                        .delta = delta };
    apply_record(entity, &record);
    batch_pack(&change->events, events, count);
    buffer_append_varint(&change->deltas, count);
    buffer_append_varint(&change->deltas, delta.size);
    buffer_append(&change->deltas, delta);
    change->event_count += count;
    entity->next_event_id += (int64_t)count;
}

static void apply_volatile(struct entity *entity, const struct transition *transition)
{
    struct transition_record record = { .number = entity->row_number,
                                        .first_event_id = entity->next_event_id,
                                        .delta = transition->volatile_delta };
    if (record.delta.size != 0)
        apply_record(entity, &record);
}

static void count_events(const struct entity *entity, const struct transition *transition)
{
    if (entity->kind->event_type == NULL || transition->event_count == 0)
        return;
    const struct namespace_config *namespace = lane_namespace_by_number(entity->lane,
                                                                        entity->chain->namespace_number);
    for (size_t i = 0; i < transition->event_count; i++)
        metric_add(METRIC_EVENTS, namespace == NULL ? 0 : namespace->metrics,
                   (uint32_t)entity->kind->event_type(transition->events[i]), 1);
}

/* Several transitions of one run in one open batch are one row: their events behind each other, their deltas as a list. */
static void transition_join(struct entity *entity, const struct transition *transition)
{
    if (transition->is_volatile) {
        assert(transition->event_count == 0 && transition->delta.size == 0);
        assert(transition->ready_count == 0 && transition->unready_count == 0);
        apply_volatile(entity, transition);
        entity_resize(entity);
        return;
    }
    struct change *change = commit_change(entity);
    struct batch  *batch = change->batch;
    size_t         head = transition->head_count;
    if (has_rows(entity) && change->row_number == 0) {
        change->row_number = ++entity->row_number;
        change->first_event_id = entity->next_event_id;
    }
    assert(transition->event_count == 0 || transition->first_event_id == entity->next_event_id);
    assert(head <= transition->event_count);
    size_t before = change->events.size + change->deltas.size;
    if (head != 0)
        record_join(entity, change, transition->events, head, transition->head_delta);
    record_join(entity, change, transition->event_count == head ? NULL : transition->events + head,
                transition->event_count - head, transition->delta);
    apply_volatile(entity, transition);
    batch->size += change->events.size + change->deltas.size - before;
    batch->transitions++;
    join_rows(change, transition);
    entity->version++;
    entity->chain->last_batch = batch->id;
    entity->lane->statistics.transitions++;
    count_events(entity, transition);
    entity_resize(entity);
}

/* The stored wake-up may be too early, never too late; so a later due time writes nothing until the earlier one fires. */
void wakeup_adjust(struct entity *entity)
{
    if (!has_rows(entity) && entity->kind->number == NULL)
        return;
    int64_t next = entity->kind->next_due(entity->state);
    if (next == TIME_NEVER) {
        bool closed = !entity->kind->is_open(entity->state);
        if (!entity->wakeup_fired && (!closed || (entity->wakeup == TIME_NEVER && !entity->wakeup_guessed)))
            return;
        struct change *change = commit_change(entity);
        change->wakeup = change->created ? WAKEUP_KEEP : WAKEUP_CLEAR;
    } else {
        if (!entity->wakeup_fired &&
            (next >= entity->wakeup || (MUTANT(wakeup_too_late) && entity->wakeup != TIME_NEVER)))
            return;
        struct change *change = commit_change(entity);
        change->wakeup = WAKEUP_SET;
        change->due = next;
    }
    entity->wakeup = next;
    entity->wakeup_guessed = false;
    entity->wakeup_fired = false;
}

/* --- asking --- */

/* What the caller's trace says does not go with the run's: without a word of his own, the call is a part of what the run is. */
static void trace_decided(const struct lane *lane, struct request *request)
{
    struct trace *trace = request->trace, of_run;
    if (request->batch <= lane->durable_batch)
        return;
    trace->decided = clock_wall_ns(&lane->runtime->options.clock);
    if (!trace->has_parent && request->number != 0 && trace_recall(request->number, &of_run)) {
        memcpy(trace->id, of_run.id, sizeof trace->id);
        memcpy(trace->parent, of_run.span, sizeof trace->parent);
        trace->has_parent = true;
    }
    if (request->number != 0 && !trace->is_poll)
        trace_remember(request->number, trace);
}

static void tie(struct lane *lane, struct chain *chain, const struct entity *entity, struct request *request)
{
    request->chain = chain;
    request->batch = chain->last_batch;
    request->number = entity == NULL ? 0 : entity->number;
    request->version = entity == NULL ? 0 : entity->version;
    if (request->trace != NULL)
        trace_decided(lane, request);
    commit_output(lane, request);
}

/* NEED of another run, or of a fork: the request waits for it. */
static void ask_for_run(struct lane *lane, struct chain *chain, struct request *request,
                        const struct decision *decision)
{
    if (++request->rounds > NEED_ROUNDS_MAX)
        lane_fail(lane, request, ST_INTERNAL, "a decision asked for a run that it cannot have");
    else if (decision->fork_run != 0)
        fork_for_request(lane, chain, request, decision);
    else {
        request->other = decision->need_run;
        load_wait(lane, chain, decision->need_run, request);
    }
}

/* Asks until the kind has what it needs. False: the request waits for events, or was answered. */
static bool ask(struct lane *lane, struct chain *chain, struct entity *entity, struct request *request,
                struct number_source *numbers, struct decision *decision)
{
    const struct entity_kind *kind = runtime_kind(lane->runtime, request->kind);
    const void               *state = entity == NULL ? NULL : entity->state;
    struct env                env = {
                       .now = entity == NULL || !has_rows(entity) || MUTANT(event_time_goes_back)
                                  ? lane->now
                                  : MAX(lane->now, kind->last_event_time(state)),
                       .namespace = lane_namespace_by_number(lane, request->namespace_number),
    };
    env.limits = env.namespace == NULL ? &lane->runtime->limits : env.namespace->limits;
    for (;;) {
        /* A new run must come after every other of its chain, also when this lane's clock is behind. */
        *numbers = lane->numbers;
        if (chain->current != NULL)
            numbers->last = MAX(numbers->last, chain->current->number);
        env.numbers = numbers;
        env.cold = request->cold;
        for (size_t i = 0; i < ARRAY_COUNT(env.entropy); i++)
            env.entropy[i] = random_next(&lane->random);
        struct entity *other = request->other == 0 ? NULL : entity_find(lane, request->other);
        env.other = other == NULL || other->chain != chain ? NULL : other->state;
        env.fork = fork_view(chain, request);
        *decision = (struct decision){ 0 };
        error_clear(&request->error);
        kind->decide(state, request, &env, decision);
        if (!decision->needs && decision->need_run == 0 && decision->fork_run == 0)
            return true;
        assert(!decision->changes && !decision->creates && !decision->deletes);
        if (!decision->needs) {
            ask_for_run(lane, chain, request, decision);
            return false;
        }
        if (entity == NULL || ++request->rounds > NEED_ROUNDS_MAX || decision->need_from < 1 ||
            decision->need_to >= entity->next_event_id || decision->need_from > decision->need_to) {
            lane_fail(lane, request, ST_INTERNAL,
                      "%s asked for events %" PRId64 " to %" PRId64 " that it cannot have", kind->name,
                      decision->need_from, decision->need_to);
            return false;
        }
        if (!scan_for_request(entity, request, decision->need_from, decision->need_to))
            return false;
    }
}

/* --- news --- */

/* The news of one transition on their way out: an output like any other, that answers nobody. */
struct telling {
    struct list    all; /* in lane->tellings */
    struct arena   arena;
    store_number   run;
    struct news   *news;
    size_t         count;
    struct request request;
};

static void telling_free(struct telling *telling)
{
    list_remove(&telling->all);
    arena_release(&telling->arena);
    free(telling);
}

/* After a forgetting there is nothing to tell: the waiters were told that. */
static void telling_done(struct request *request)
{
    struct telling          *telling = CONTAINER_OF(request, struct telling, request);
    struct lane             *lane = request->home;
    const struct lane_hooks *hooks = &lane->runtime->options.hooks;
    for (size_t i = 0; i < telling->count && request->error.code == ST_OK; i++)
        hooks->noticed(lane->runtime->options.hooks_context, lane, telling->run, &telling->news[i]);
    telling_free(telling);
}

void tellings_free_all(struct lane *lane)
{
    while (!list_empty(&lane->tellings))
        telling_free(LIST_ENTRY(lane->tellings.next, struct telling, all));
}

static void tell(struct lane *lane, struct chain *chain, struct entity *entity,
                 const struct transition *transition)
{
    if (transition->news_count == 0 || lane->runtime->options.hooks.noticed == NULL)
        return;
    struct telling *telling = xcalloc(1, sizeof(*telling));
    arena_init(&telling->arena, SIZE_MAX);
    telling->run = entity->number;
    telling->count = transition->news_count;
    telling->news = ARENA_NEW_ARRAY(&telling->arena, struct news, telling->count);
    for (size_t i = 0; i < telling->count; i++) {
        const struct news *news = &transition->news[i];
        telling->news[i] = (struct news){ .subject = arena_copy(&telling->arena, news->subject),
                                          .what = news->what,
                                          .body = arena_copy(&telling->arena, news->body) };
    }
    list_append(&lane->tellings, &telling->all);
    telling->request.arena = &telling->arena;
    telling->request.done = telling_done;
    request_prepare(lane, &telling->request);
    tie(lane, chain, entity, &telling->request);
}

/* --- tasks that find their poller at once --- */

/* A waiting poller starts a task in the very batch that makes the task ready: no commit, no row of its own. */
static bool fuse_one(struct lane *lane, struct chain *chain, struct entity *entity,
                     const struct store_ready *task)
{
    const struct lane_hooks *hooks = &lane->runtime->options.hooks;
    if (hooks->reserve == NULL || lane->read_only || lane->draining)
        return false;
    struct request *request = hooks->reserve(lane->runtime->options.hooks_context, lane, task);
    if (request == NULL)
        return false;
    request_prepare(lane, request);
    struct decision      decision;
    struct number_source numbers;
    if (!ask(lane, chain, entity, request, &numbers, &decision))
        return true;
    lane->numbers = numbers;
    /* A start neither creates runs nor makes tasks ready, so this does not go deeper. */
    assert(!decision.creates && decision.self.ready_count == 0 && decision.self.offer == NULL);
    if (decision.changes) {
        transition_join(entity, &decision.self);
        tell(lane, chain, entity, &decision.self);
    }
    tie(lane, chain, entity, request);
    return true;
}

static void fuse(struct lane *lane, struct chain *chain, struct entity *entity,
                 const struct transition *transition)
{
    const struct lane_hooks *hooks = &lane->runtime->options.hooks;
    assert(entity != NULL);
    for (size_t i = 0; i < transition->ready_count; i++)
        fuse_one(lane, chain, entity, &transition->ready[i]);
    /* No row will bring this one to anybody's mind. Its start is tied to what it rests on, so nobody needs to wait. */
    if (transition->offer != NULL && !fuse_one(lane, chain, entity, transition->offer) &&
        hooks->offer != NULL)
        hooks->offer(lane->runtime->options.hooks_context, lane, transition->offer);
}

static void log_limit(struct lane *lane, const struct entity *entity, const char *limit, int64_t value)
{
    const struct namespace_config *namespace = lane_namespace_by_number(lane,
                                                                        entity->chain->namespace_number);
    char run_id[UUID_TEXT_SIZE];
    uuid_print(&entity->run_id, run_id);
    log_warn("limit.run", "limit=%s value=%" PRId64 " namespace=%.*s workflow_id=%.*s run_id=%.*s", limit,
             value, BYTES_FMT(namespace == NULL ? BYTES_EMPTY : namespace->name),
             BYTES_FMT(entity->chain->business_id), UUID_TEXT_SIZE, run_id);
}

/* Warn limits that this decision crossed. What a state takes is known only now that the decision was applied. */
static void log_limits(struct lane *lane, const struct entity *entity, const struct decision *decision,
                       size_t size_before)
{
    for (uint32_t i = 0; i < decision->notice_count; i++)
        log_limit(lane, entity, decision->notices[i].limit, decision->notices[i].value);
    size_t size = entity->kind->state_size(entity->state);
    if (size <= size_before || size < STATE_SIZE_NOTICED_MIN)
        return;
    const struct namespace_config *namespace = lane_namespace_by_number(lane,
                                                                        entity->chain->namespace_number);
    if (namespace != NULL && size_before <= namespace->limits->state_size_warn &&
        size > namespace->limits->state_size_warn)
        log_limit(lane, entity, "state-size-warn", (int64_t)size);
}

void request_decide(struct lane *lane, struct chain *chain, struct entity *entity, struct request *request)
{
    struct decision      decision;
    struct number_source numbers;
    if (request->command == ENTITY_COMMAND_MESSAGE && link_is_received(lane, request, &request->batch)) {
        commit_output(lane, request);
        chain_free_if_idle(lane, chain);
        return;
    }
    if (!ask(lane, chain, entity, request, &numbers, &decision)) {
        chain_free_if_idle(lane, chain);
        return;
    }
    lane->numbers = numbers;
    assert(decision.message_count == 0 || request->command == ENTITY_COMMAND_MESSAGE);
    struct entity *created = NULL;
    if (decision.changes) {
        assert(entity != NULL);
        size_t size = entity->kind->state_size(entity->state);
        transition_join(entity, &decision.self);
        log_limits(lane, entity, &decision, size);
        tell(lane, chain, entity, &decision.self);
    }
    if (decision.changes_other) {
        struct entity *other = entity_find(lane, decision.other);
        assert(other != NULL && other->chain == chain && decision.other_self.ready_count == 0);
        transition_join(other, &decision.other_self);
        tell(lane, chain, other, &decision.other_self);
        wakeup_adjust(other);
        wakeup_adjust_volatile(other);
    }
    if (decision.creates) {
        assert(chain->current == NULL || decision.created_identity.number > chain->current->number);
        assert((decision.created.run != NULL) ==
               entity_kind_is_listed(runtime_kind(lane->runtime, request->kind)));
        assert(!decision.created.is_volatile);
        created = entity_new(lane, chain, runtime_kind(lane->runtime, request->kind),
                             &decision.created_identity);
        entity_publish(created);
        commit_change(created)->created = true;
        if (decision.forks)
            fork_begin_entity(request->fork, created);
        transition_join(created, &decision.created);
        if (decision.forks && !MUTANT(uses_not_noted))
            deletion_note_uses(created->open);
        chain->current = created;
        chain->current_known = true;
    }
    if (request->command == ENTITY_COMMAND_MESSAGE)
        link_receive(lane, request, chain, &decision);
    if (decision.deletes)
        deletion_join(entity);
    if (MUTANT(no_op_answered_early) && !decision.changes && !decision.creates)
        chain->last_batch = MIN(chain->last_batch, lane->durable_batch);
    tie(lane, chain, created != NULL ? created : entity, request);
    if (decision.changes && !decision.deletes)
        fuse(lane, chain, entity, &decision.self);
    if (created != NULL) {
        fuse(lane, chain, created, &decision.created);
        wakeup_adjust(created);
        wakeup_adjust_volatile(created);
    }
    if (entity != NULL && !entity->deleted) {
        wakeup_adjust(entity);
        wakeup_adjust_volatile(entity);
        entity_touch(entity);
    }
    if (decision.changes || decision.creates)
        chain_touch(lane, chain);
    chain_free_if_idle(lane, chain);
}

/* The run a request means, when memory can say. False: it waits for the store. */
static bool locate(struct lane *lane, struct chain *chain, struct request *request,
                   struct entity **ret_entity)
{
    *ret_entity = NULL;
    if (request->kind == ENTITY_NAMESPACES) {
        *ret_entity = lane->singleton;
        return true;
    }
    bool none = chain->current_known && chain->current == NULL && !chain->has_old_runs;
    if (request->number == 0 && !request->has_run_id) {
        bool is_record = runtime_kind(lane->runtime, request->kind)->is_record;
        if (!chain->current_known && !is_record && known_surely_new(lane, chain)) {
            assert(list_empty(&chain->entities));
            chain->current = NULL;
            chain->current_known = true;
            chain->has_old_runs = false;
        }
        if (!chain->current_known) {
            load_wait(lane, chain, 0, request);
            return false;
        }
        *ret_entity = chain->current;
        return true;
    }
    store_number   number = request->number != 0 ? request->number : run_id_number(&request->run_id);
    struct entity *entity = number == 0 || none ? NULL : entity_find(lane, number);
    if (entity != NULL) {
        if (entity->chain == chain &&
            (!request->has_run_id || memcmp(&entity->run_id, &request->run_id, sizeof(struct uuid)) == 0))
            *ret_entity = entity;
        return true;
    }
    if (number == 0 || none || (chain->current != NULL && number > chain->current->number))
        return true; /* no such run */
    load_wait(lane, chain, number, request);
    return false;
}

void request_process(struct lane *lane, struct request *request)
{
    const struct entity_kind *kind = runtime_kind(lane->runtime, request->kind);
    assert(kind != NULL);
    if (request->command > ENTITY_COMMAND_DUE && kind->adds_work != NULL && kind->adds_work(request)) {
        if (lane->draining) {
            lane_fail(lane, request, ST_UNAVAILABLE, "the server is shutting down");
            return;
        }
        if (lane->read_only) {
            lane_refuse_full(lane, request);
            return;
        }
    }
    struct chain *chain = chain_get(lane, request->kind, request->namespace_number, request->business_id);
    if (chain_is_quarantined(lane, chain)) {
        /* Messages wait for better times. */
        lane_fail(lane, request, request->command == ENTITY_COMMAND_MESSAGE ? ST_UNAVAILABLE : ST_INTERNAL,
                  "execution %.*s is quarantined; the server's log says why",
                  BYTES_FMT(request->business_id));
        return;
    }
    if (chain->deleted_batch > lane->durable_batch) { /* what the store has of it is still too much */
        request_wait_for_batch(lane, request, chain->deleted_batch);
        return;
    }
    struct entity *entity;
    if (!locate(lane, chain, request, &entity))
        return;
    if (request->command == ENTITY_COMMAND_DUE && request->kind != ENTITY_NAMESPACES)
        wakeup_decide(lane, chain, entity, request);
    else
        request_decide(lane, chain, entity, request);
}
