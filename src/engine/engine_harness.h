/* engine_harness.h: a world for tests of the engine: one workflow id, its runs, a clock, and no I/O.
 *
 * Every step decides, checks that deciding changed nothing, applies, and then folds the run again from what would be
 * stored and restores it from a snapshot: all three states must be the same, byte for byte. It also keeps the ready rows
 * and checks that each belongs to something that waits, and that nothing waits without one.
 *
 * Test code: included by *_test.c files only. Owns everything in struct world.
 */
#ifndef ENGINE_ENGINE_HARNESS_H
#define ENGINE_ENGINE_HARNESS_H
#include "base/testing.h"
#include "engine/event.h"
#include "engine/execution.h"
#include "engine/fold.h"
#include "engine/server_attributes.h"
#include "engine/state.h"
#include "engine/workflow.h"
#include "engine/workflow_task.h"
#include "shard/number.h"

#define WORLD_RUNS_MAX     64
#define WORLD_NAMESPACE_ID "01234567-89ab-4def-8123-456789abcdef"
#define WORLD_T0           (INT64_C(1800000000) * NS_PER_S)

struct world_row {
    struct bytes  events_encoded; /* unused: events below */
    struct bytes *events;
    size_t        event_count;
    int64_t       first_event_id;
    struct bytes  delta;
};
struct world_run {
    struct execution      *state;
    struct entity_identity identity;
    struct world_row      *rows;
    size_t                 row_count, row_capacity;
    struct bytes          *events; /* all, by id - 1 */
    size_t                 event_count, event_capacity;
    struct store_ready     ready[4096];
    size_t                 ready_count;
    struct store_ready     offer; /* the last one: of a speculative task */
    struct store_run       row;   /* the last one written */
    struct world_run      *base; /* whose history before the event fork_event_id it begins with; NULL: none */
    int64_t                fork_event_id;
    bool                   has_snapshot_row;
};
/* A message that has been sent and not yet delivered. */
struct world_mail {
    struct entity_message message;
    bool                  is_delivered;
};
#define WORLD_MAIL_MAX 64
struct world {
    struct bytes         workflow_id;
    int64_t              now;
    struct number_source numbers;
    struct random        random;
    struct namespace_config namespace;
    struct limits           limits;
    struct world_run       *runs[WORLD_RUNS_MAX];
    size_t                  run_count;
    struct arena            keep;  /* history */
    struct arena            arena; /* of the step */
    struct workflow_request request;
    struct message_request  arrival;
    bool                    is_arrival; /* the step is about `arrival`, not about `request` */
    struct world_mail       mail[WORLD_MAIL_MAX];
    size_t                  mail_count;
    size_t                  refold_every;
    size_t                  steps;
    uint64_t                poll_count;
    bool                    last_changed, last_volatile;
    struct news             news[16]; /* of the last step; in its arena */
    size_t                  news_count;
};

static inline struct world *world_new(uint64_t seed)
{
    struct world *w = xcalloc(1, sizeof(*w));
    w->now = WORLD_T0;
    w->workflow_id = BYTES("wf");
    random_seed(&w->random, seed);
    w->namespace = (struct namespace_config){ .number = 7,
                                              .id = BYTES(WORLD_NAMESPACE_ID),
                                              .name = BYTES("default") };
    struct state_Namespace                       record = { .number = 7 };
    struct state_Namespace_SearchAttributesEntry custom = { .key = BYTES("CustomKeyword"),
                                                            .value = enums_INDEXED_VALUE_TYPE_KEYWORD };
    record.search_attributes = &custom;
    record.search_attributes_count = 1;
    arena_init(&w->keep, SIZE_MAX);
    arena_init(&w->arena, SIZE_MAX);
    w->namespace.record = pb_encode_arena(&pb_state_Namespace, &record, &w->keep);
    w->limits = limits_default;
    w->namespace.limits = &w->limits;
    w->refold_every = 1;
    return w;
}

static inline void world_run_free(struct world_run *run)
{
    execution_free(run->state);
    free(run->rows);
    free(run->events);
    free(run);
}

static inline void world_free(struct world *w)
{
    for (size_t i = 0; i < w->run_count; i++)
        world_run_free(w->runs[i]);
    arena_release(&w->keep);
    arena_release(&w->arena);
    free(w);
}

static inline struct world_run *world_current(struct world *w)
{
    return w->run_count == 0 ? NULL : w->runs[w->run_count - 1];
}
static inline struct execution *world_state(struct world *w)
{
    return world_current(w)->state;
}

/* --- checks --- */

static inline struct bytes world_snapshot(struct world *w, const struct execution *state)
{
    struct buffer buffer = { 0 };
    execution_snapshot(state, &buffer);
    struct bytes copy = arena_copy(&w->arena, buffer_bytes(&buffer));
    buffer_release(&buffer);
    return copy;
}

static inline void world_check_restore(struct world *w, struct world_run *run, struct bytes live)
{
    struct error      error = { 0 };
    struct execution *restored = workflow_kind.state_new(&run->identity);
    CHECK_INT(execution_restore(restored, live, &error), ST_OK);
    CHECK_BYTES(world_snapshot(w, restored), live);
    execution_free(restored);
}

/* A run whose rows are part of a history, and the first event that is not among those. */
struct world_part {
    struct world_run *run;
    int64_t           end;
};

/* Whose rows a run's history before `end` is made of, the last first: of every base no more than any run that came of it
 * shares with it, which is nothing at all where one was reset to before its own beginning. */
static inline size_t world_parts(struct world_run *run, int64_t end, struct world_part parts[WORLD_RUNS_MAX])
{
    size_t count = 0;
    for (struct world_run *at = run; at != NULL; at = at->base) {
        parts[count++] = (struct world_part){ .run = at, .end = end };
        end = MIN(end, at->fork_event_id);
    }
    return count;
}

/* What the runtime folds for a fork: the run as it was before `end`. False: that is within a transition. The caller frees. */
static inline bool world_fold_before(struct world_run *run, int64_t end, struct execution **ret_state)
{
    struct world_part parts[WORLD_RUNS_MAX];
    size_t            count = world_parts(run, end, parts);
    struct error      error = { 0 };
    int64_t           next = 1;
    *ret_state = workflow_kind.state_new(&run->identity);
    while (count-- > 0) {
        struct world_run *at = parts[count].run;
        for (size_t i = 0; i < at->row_count && next < parts[count].end; i++) {
            struct transition_record record = { .number = (int64_t)i + 1,
                                                .first_event_id = at->rows[i].first_event_id,
                                                .events = at->rows[i].events,
                                                .event_count = at->rows[i].event_count,
                                                .delta = at->rows[i].delta };
            if (next + (int64_t)record.event_count > parts[count].end)
                return false;
            CHECK_INT(execution_apply(*ret_state, &record, &error), ST_OK);
            next += (int64_t)record.event_count;
        }
    }
    return true;
}

/* The segments that a run names are where the runtime reads its history, so they are the rows that are folded here. */
static inline void world_check_prefix(struct world_run *run)
{
    const struct lineage *lineage = execution_lineage(run->state);
    struct world_part     parts[WORLD_RUNS_MAX];
    size_t                count = world_parts(run->base, run->fork_event_id, parts);
    uint32_t              named = 0;
    int64_t               last = 0;
    while (count-- > 0) {
        if (parts[count].end - 1 == last)
            continue;
        last = parts[count].end - 1;
        CHECK(named < lineage->prefix_count);
        CHECK_INT(lineage->prefix[named].branch, parts[count].run->identity.number);
        CHECK_INT(lineage->prefix[named].last_event_id, last);
        named++;
    }
    CHECK_INT(named, lineage->prefix_count);
}

static inline struct execution *world_new_state(struct world *w, struct world_run *run)
{
    struct execution *state = workflow_kind.state_new(&run->identity), *before;
    struct error      error = { 0 };
    if (run->base == NULL)
        return state;
    CHECK(world_fold_before(run->base, run->fork_event_id, &before));
    CHECK_INT(execution_restore(state, world_snapshot(w, before), &error), ST_OK);
    execution_free(before);
    return state;
}

static inline void world_check_refold(struct world *w, struct world_run *run, struct bytes live)
{
    struct error      error = { 0 };
    struct execution *folded = world_new_state(w, run);
    for (size_t i = 0; i < run->row_count; i++) {
        struct transition_record record = { .number = (int64_t)i + 1,
                                            .first_event_id = run->rows[i].first_event_id,
                                            .events = run->rows[i].events,
                                            .event_count = run->rows[i].event_count,
                                            .delta = run->rows[i].delta };
        enum status              status = execution_apply(folded, &record, &error);
        if (status != ST_OK)
            print_error("refold: %s\n", error.message);
        CHECK_INT(status, ST_OK);
    }
    CHECK_BYTES(world_snapshot(w, folded), live);
    execution_free(folded);
}

static inline bool world_has_row(const struct world_run *run, store_number sequence)
{
    for (size_t i = 0; i < run->ready_count; i++)
        if (run->ready[i].sequence == sequence)
            return true;
    return false;
}

static inline void world_check_rows(const struct world_run *run)
{
    const struct execution *state = run->state;
    size_t                  expected = 0;
    if (state->task.is_speculative) {
        CHECK((state->task.started_time == 0) == (state->task.sequence != 0));
        CHECK(state->task.started_time != 0 || run->offer.sequence == state->task.sequence);
    } else if (state->task.is_pending) {
        bool held = execution_is_paused(state) && state->task.started_time == 0;
        CHECK(held ? state->task.sequence == 0
                   : (state->task.started_time == 0) == (state->task.sequence != 0));
        if (state->task.sequence != 0) {
            CHECK(world_has_row(run, state->task.sequence));
            expected++;
        }
    }
    for (uint32_t i = 0; i < state->activity_count; i++) {
        const struct activity *activity = state->activities[i].record;
        if (activity->sequence == 0)
            continue;
        CHECK(activity->started_time == 0 && !activity_is_held(state, activity));
        CHECK(world_has_row(run, activity->sequence));
        expected++;
    }
    for (uint32_t i = 0; i < state->callback_count; i++) {
        const struct callback *callback = &state->callbacks[i];
        CHECK((callback->state == enums_CALLBACK_STATE_SCHEDULED) == (callback->sequence != 0));
        CHECK((callback->state == enums_CALLBACK_STATE_BACKING_OFF) == (callback->next_time != 0));
        if (callback->sequence == 0)
            continue;
        CHECK(!execution_is_open(state));
        CHECK(world_has_row(run, callback->sequence));
        expected++;
    }
    CHECK_INT(run->ready_count, expected);
}

static inline bool world_backs_off(const struct execution *state)
{
    for (uint32_t i = 0; i < state->callback_count; i++)
        if (state->callbacks[i].state == enums_CALLBACK_STATE_BACKING_OFF)
            return true;
    return false;
}

static inline void world_check_invariants(const struct world_run *run)
{
    const struct execution *state = run->state;
    CHECK_INT(state->next_event_id, (int64_t)run->event_count + 1);
    CHECK(state->buffer_count == 0 || task_is_started(state));
    const struct update_book *book = execution_updates(state);
    for (uint32_t i = 0; i < book->waiting_count; i++)
        for (uint32_t j = 0; j < book->update_count; j++)
            CHECK(!bytes_equal(book->waiting[i].id, book->updates[j].id));
    if (state->task.is_speculative) {
        CHECK(book->waiting_count != 0 && state->buffer_count == 0);
        CHECK_INT(state->task.scheduled_event_id, state->next_event_id);
    }
    CHECK(book->waiting_count == 0 || state->task.is_pending || state->awaits_parent ||
          execution_is_paused(state));
    if (!execution_is_open(state)) {
        CHECK(!state->task.is_pending && book->waiting_count == 0 && state->activity_count == 0 &&
              state->timer_count == 0);
        CHECK(state->child_count == 0 && state->external_signal_count == 0);
        CHECK(state->external_cancel_count == 0 && !state->awaits_parent);
        CHECK((execution_next_due(state) == TIME_NEVER) == !world_backs_off(state));
    }
    world_check_rows(run);
}

/* The scheduled event id of the activity that an event ends; 0: it ends none. */
static inline int64_t world_ended_activity(const struct history_HistoryEvent *event)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
        return event->activity_task_completed_event_attributes->scheduled_event_id;
    case enums_EVENT_TYPE_ACTIVITY_TASK_FAILED:
        return event->activity_task_failed_event_attributes->scheduled_event_id;
    case enums_EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
        return event->activity_task_timed_out_event_attributes->scheduled_event_id;
    case enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED:
        return event->activity_task_canceled_event_attributes->scheduled_event_id;
    default:
        return 0;
    }
}

/* Of a stored event: timers are never early, an activity ends once, and ids refer to what they should. */
static inline void world_check_event(struct world *w, const struct world_run *run, struct bytes encoded)
{
    struct history_HistoryEvent *event, *other;
    struct error                 error = { 0 };
    CHECK_INT(event_decode(encoded, &w->arena, &event, &error), ST_OK);
    if (event->event_type == enums_EVENT_TYPE_TIMER_FIRED) {
        int64_t id = event->timer_fired_event_attributes->started_event_id;
        CHECK(id >= 1 && id < event->event_id);
        CHECK_INT(event_decode(run->events[id - 1], &w->arena, &other, &error), ST_OK);
        CHECK_INT(other->event_type, enums_EVENT_TYPE_TIMER_STARTED);
        CHECK(event_time(event) >=
              event_time(other) + duration_ns(other->timer_started_event_attributes->start_to_fire_timeout));
    }
    int64_t scheduled = world_ended_activity(event), started = 0;
    if (scheduled == 0)
        return;
    for (size_t i = 0; i + 1 < (size_t)event->event_id; i++) {
        CHECK_INT(event_decode(run->events[i], &w->arena, &other, &error), ST_OK);
        CHECK(world_ended_activity(other) != scheduled);
        if (other->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_STARTED &&
            other->activity_task_started_event_attributes->scheduled_event_id == scheduled)
            started = other->event_id;
    }
    if (event->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
        CHECK_INT(event->activity_task_completed_event_attributes->started_event_id, started);
}

/* --- steps --- */

static inline void world_post(struct world *w, const struct entity_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(w->mail_count < WORLD_MAIL_MAX);
        struct entity_message *kept = &w->mail[w->mail_count++].message;
        *kept = messages[i];
        kept->business_id = arena_copy(&w->keep, kept->business_id);
        kept->body = arena_copy(&w->keep, kept->body);
        CHECK_INT(kept->kind, ENTITY_WORKFLOW);
        CHECK_INT(kept->namespace_number, 7);
    }
}

static inline void world_store(struct world *w, struct world_run *run, const struct transition *given)
{
    struct transition        tail = *given;
    const struct transition *transition = &tail;
    if (given->head_count != 0) { /* a transition of its own */
        struct transition head = { .first_event_id = given->first_event_id,
                                   .events = given->events,
                                   .event_count = given->head_count,
                                   .delta = given->head_delta };
        world_store(w, run, &head);
        tail.head_count = 0;
        tail.first_event_id += (int64_t)given->head_count;
        tail.events += given->head_count;
        tail.event_count -= given->head_count;
    }
    struct error             error = { 0 };
    struct transition_record record = { .number = (int64_t)run->row_count + 1,
                                        .first_event_id = transition->first_event_id,
                                        .events = transition->events,
                                        .event_count = transition->event_count,
                                        .delta = transition->delta };
    CHECK_INT(transition->first_event_id, run->state->next_event_id);
    if (!transition->is_volatile) {
        enum status status = workflow_kind.apply(run->state, &record, &error);
        if (status != ST_OK)
            print_error("apply: %s\n", error.message);
        CHECK_INT(status, ST_OK);
    }
    if (transition->volatile_delta.size != 0) {
        struct bytes             before = world_snapshot(w, run->state);
        struct transition_record fleeting = { .number = (int64_t)run->row_count,
                                              .first_event_id = run->state->next_event_id,
                                              .delta = transition->volatile_delta };
        CHECK_INT(workflow_kind.apply(run->state, &fleeting, &error), ST_OK);
        CHECK_BYTES(world_snapshot(w, run->state), before); /* nothing durable comes of it */
    }
    w->last_volatile = transition->is_volatile;
    for (size_t i = 0; i < transition->news_count && w->news_count < ARRAY_COUNT(w->news); i++)
        w->news[w->news_count++] = transition->news[i];
    if (transition->offer != NULL) {
        run->offer = *transition->offer;
        CHECK(run->offer.run == run->identity.number && run->offer.sequence != 0 && run->offer.without_row);
        run->offer.queue = arena_copy(&w->keep, run->offer.queue);
        run->offer.normal_queue = arena_copy(&w->keep, run->offer.normal_queue);
    }
    if (transition->is_volatile) {
        CHECK_INT(transition->event_count, 0);
        CHECK_INT(transition->message_count, 0);
        CHECK(transition->delta.size == 0 && transition->ready_count == 0 && transition->unready_count == 0);
        return;
    }
    world_post(w, transition->messages, transition->message_count);
    if (run->row_count == run->row_capacity) {
        run->row_capacity = run->row_capacity == 0 ? 8 : run->row_capacity * 2;
        run->rows = xrealloc(run->rows, run->row_capacity * sizeof(*run->rows));
    }
    struct world_row *row = &run->rows[run->row_count++];
    *row = (struct world_row){ .event_count = transition->event_count,
                               .first_event_id = transition->first_event_id,
                               .delta = arena_copy(&w->keep, transition->delta) };
    row->events = ARENA_NEW_ARRAY(&w->keep, struct bytes, transition->event_count + 1);
    for (size_t i = 0; i < transition->event_count; i++) {
        row->events[i] = arena_copy(&w->keep, transition->events[i]);
        if (run->event_count == run->event_capacity) {
            run->event_capacity = run->event_capacity == 0 ? 16 : run->event_capacity * 2;
            run->events = xrealloc(run->events, run->event_capacity * sizeof(*run->events));
        }
        run->events[run->event_count++] = row->events[i];
        world_check_event(w, run, row->events[i]);
    }
    for (size_t i = 0; i < transition->unready_count; i++) {
        size_t at = 0;
        while (at < run->ready_count && run->ready[at].sequence != transition->unready[i])
            at++;
        CHECK(at < run->ready_count);
        memmove(&run->ready[at], &run->ready[at + 1], (run->ready_count - at - 1) * sizeof(run->ready[0]));
        run->ready_count--;
    }
    for (size_t i = 0; i < transition->ready_count; i++) {
        CHECK(run->ready_count < ARRAY_COUNT(run->ready));
        struct store_ready *copy = &run->ready[run->ready_count++];
        *copy = transition->ready[i];
        CHECK(copy->run == run->identity.number && copy->sequence != 0 && copy->queue.size != 0);
        copy->queue = arena_copy(&w->keep, copy->queue);
        copy->normal_queue = arena_copy(&w->keep, copy->normal_queue);
        copy->fairness_key = arena_copy(&w->keep, copy->fairness_key);
        copy->workflow_id = arena_copy(&w->keep, copy->workflow_id);
    }
    if (transition->run != NULL) {
        run->row = *transition->run;
        CHECK_INT(run->row.number, run->identity.number);
        CHECK_INT(run->row.status, run->state->status);
        if (run->state->close_time != 0)
            CHECK_BYTES(run->row.snapshot, world_snapshot(w, run->state));
        run->row.workflow_id = run->row.memo = run->row.snapshot = BYTES_EMPTY;
        run->row.search_attributes = arena_copy(&w->keep, run->row.search_attributes);
    }
    /* Lists show the row, so it is never behind. */
    CHECK_INT(run->row.status, run->state->status);
    CHECK_BYTES(run->row.search_attributes, execution_search_attributes(run->state, &w->arena));
}

static inline void world_check(struct world *w, struct world_run *run)
{
    struct bytes live = world_snapshot(w, run->state);
    world_check_invariants(run);
    world_check_restore(w, run, live);
    if (w->refold_every != 0 && w->steps % w->refold_every == 0)
        world_check_refold(w, run, live);
}

static inline struct world_run *world_run_find(struct world *w, store_number number)
{
    for (size_t i = 0; i < w->run_count; i++)
        if (w->runs[i]->identity.number == number)
            return w->runs[i];
    return NULL;
}

/* The events before the fork are the new run's as well. */
static inline void world_share(struct world_run *run)
{
    run->event_count = run->event_capacity = (size_t)run->fork_event_id - 1;
    run->events = xcalloc(run->event_capacity + 1, sizeof(*run->events));
    memcpy(run->events, run->base->events, run->event_count * sizeof(*run->events));
}

/* What the runtime finds for a fork, in one answer or by one run more. */
static inline void world_fork(struct world *w, const struct decision *decision, struct fork_view *view)
{
    struct world_run *run = world_run_find(w, decision->fork_run);
    struct bytes     *events = ARENA_NEW_ARRAY(&w->arena, struct bytes, view->count + 10000);
    size_t            from = 0;
    if (view->count != 0)
        memcpy(events, view->events, view->count * sizeof(*events));
    view->events = events;
    view->last_run = decision->fork_run;
    view->last_event_id = run == NULL ? 0 : (int64_t)run->event_count;
    if (view->state == NULL) {
        struct execution *state;
        CHECK(run != NULL && decision->fork_event_id > 1 &&
              decision->fork_event_id <= (int64_t)run->event_count);
        view->is_torn = !world_fold_before(run, decision->fork_event_id, &state);
        view->state = state;
        view->fork_event_id = decision->fork_event_id;
        from = (size_t)decision->fork_event_id - 1;
    }
    for (size_t i = from; run != NULL && i < run->event_count; i++)
        if (decision->fork_keep(run->events[i]))
            events[view->count++] = run->events[i];
}

static inline void world_create(struct world *w, const struct decision *decision, struct world_run *base)
{
    CHECK(w->run_count < WORLD_RUNS_MAX);
    struct world_run *run = xcalloc(1, sizeof(*run));
    run->identity = decision->created_identity;
    run->identity.namespace_id = arena_copy(&w->keep, run->identity.namespace_id);
    run->identity.business_id = arena_copy(&w->keep, run->identity.business_id);
    run->base = base;
    run->fork_event_id = decision->created.first_event_id;
    run->state = world_new_state(w, run);
    if (base != NULL)
        world_share(run);
    w->runs[w->run_count++] = run;
    CHECK(decision->created.run != NULL);
    world_store(w, run, &decision->created);
    world_check_prefix(run);
    world_check(w, run);
}

static inline void world_forget(struct world *w, struct world_run *run)
{
    size_t at = 0;
    while (w->runs[at] != run)
        at++;
    memmove(&w->runs[at], &w->runs[at + 1], (w->run_count - at - 1) * sizeof(*w->runs));
    w->run_count--;
    for (size_t i = 0; i < w->run_count; i++)
        CHECK(w->runs[i]->base != run); /* the tests of the runtime are about rows that are shared */
    world_run_free(run);
}

/* Decides the prepared w->request on a run (NULL: there is none), as the runtime would. */
static inline void world_step(struct world *w, struct world_run *run)
{
    struct decision      decision = { 0 };
    struct env           env = { .namespace = &w->namespace, .limits = &w->limits, .numbers = &w->numbers };
    struct number_source numbers = w->numbers;
    struct bytes         before = BYTES_EMPTY;
    struct fork_view     fork = { 0 };
    env.now = MAX(w->now, run == NULL ? 0 : run->state->last_event_time);
    for (int i = 0; i < 4; i++)
        env.entropy[i] = random_next(&w->random);
    struct request *base = w->is_arrival ? &w->arrival.base : &w->request.base;
    base->arena = &w->arena;
    if (run != NULL)
        before = world_snapshot(w, run->state);
    for (int asked = 0;; asked++) {
        struct workflow_request copy = w->request;
        decision = (struct decision){ 0 };
        workflow_kind.decide(run == NULL ? NULL : run->state, base, &env, &decision);
        if (!decision.needs && decision.need_run == 0 && decision.fork_run == 0)
            break;
        CHECK(!w->is_arrival && asked < 70 && run != NULL && !decision.changes && !decision.creates);
        if (!decision.needs) {
            struct world_run *other = world_run_find(w, decision.need_run);
            if (decision.fork_run != 0) {
                world_fork(w, &decision, &fork);
                env.fork = &fork;
            } else if (other == NULL) {
                run = NULL;
            } else {
                env.other = other->state;
            }
            w->request = copy;
            w->numbers = numbers;
            continue;
        }
        CHECK(decision.need_from >= 1 && decision.need_to <= (int64_t)run->event_count);
        env.cold = (struct event_range){ .first_event_id = decision.need_from,
                                         .events = &run->events[decision.need_from - 1],
                                         .count = (size_t)(decision.need_to - decision.need_from + 1) };
        w->request = copy;
        w->numbers = numbers;
    }
    w->steps++;
    if (run != NULL)
        CHECK_BYTES(world_snapshot(w, run->state), before); /* deciding changes nothing */
    w->news_count = 0;
    w->last_changed = decision.changes || decision.creates;
    w->last_volatile = false;
    CHECK(decision.message_count == 0 || w->is_arrival);
    world_post(w, decision.messages, decision.message_count);
    if (decision.changes) {
        CHECK(run != NULL);
        world_store(w, run, &decision.self);
        world_check(w, run);
    }
    if (decision.changes_other) {
        struct world_run *other = world_run_find(w, decision.other);
        CHECK(other != NULL && other != run);
        world_store(w, other, &decision.other_self);
        world_check(w, other);
    }
    if (decision.creates)
        world_create(w, &decision,
                     decision.forks ? world_run_find(w, ((const struct execution *)fork.state)->number)
                                    : NULL);
    execution_free((void *)(uintptr_t)fork.state);
    if (decision.deletes)
        world_forget(w, run);
}

/* Begins a request; the caller fills input and steps. */
static inline struct workflow_request *world_request(struct world *w, int command)
{
    arena_reset(&w->arena);
    w->is_arrival = false;
    w->request = (struct workflow_request){ .base = { .command = command,
                                                      .kind = ENTITY_WORKFLOW,
                                                      .namespace_number = 7,
                                                      .business_id = w->workflow_id } };
    return &w->request;
}
/* Delivers a message to the run it names, or to the current one. */
static inline void world_receive(struct world *w, const struct entity_message *message)
{
    struct world_run *run = world_current(w);
    CHECK_BYTES(message->business_id, w->workflow_id);
    for (size_t i = 0; message->has_run_id && i < w->run_count; i++)
        if (memcmp(&w->runs[i]->identity.run_id, &message->run_id, sizeof(struct uuid)) == 0)
            run = w->runs[i];
    if (message->has_run_id && run != NULL &&
        memcmp(&run->identity.run_id, &message->run_id, sizeof(struct uuid)) != 0)
        run = NULL;
    arena_reset(&w->arena);
    w->is_arrival = true;
    w->arrival = (struct message_request){ .base = { .command = ENTITY_COMMAND_MESSAGE,
                                                     .kind = ENTITY_WORKFLOW,
                                                     .namespace_number = 7,
                                                     .business_id = w->workflow_id },
                                           .body = arena_copy(&w->arena, message->body) };
    world_step(w, run);
}
static inline enum status world_run_step(struct world *w, struct world_run *run)
{
    world_step(w, run);
    return w->request.base.error.code;
}

static inline void world_advance(struct world *w, int64_t ns)
{
    w->now += ns;
}
static inline int64_t world_due_time(struct world *w)
{
    return MIN(execution_next_due(world_state(w)), execution_volatile_due(world_state(w)));
}
/* Lets everything happen that is due by now, on the current run; returns how often something was. */
static inline int world_due(struct world *w)
{
    int count = 0;
    while (world_current(w)->state->close_time == 0 && world_due_time(w) <= w->now) {
        CHECK(count < 1000);
        world_request(w, WORKFLOW_DUE);
        world_step(w, world_current(w));
        CHECK(w->last_changed);
        count++;
    }
    return count;
}
/* Moves the clock to the next due time and lets it happen. */
static inline void world_next(struct world *w)
{
    int64_t due = world_due_time(w);
    CHECK(due != TIME_NEVER);
    w->now = MAX(w->now, due);
    world_due(w);
}

/* --- payloads --- */

static inline struct bytes payloads_of(struct arena *arena, const char *json)
{
    struct common_Payload_MetadataEntry encoding = { .key = BYTES("encoding"), .value = BYTES("json/plain") };
    struct common_Payload               payload = { .metadata = &encoding,
                                                    .metadata_count = 1,
                                                    .data = bytes_of_text(json) };
    struct bytes                        encoded = pb_encode_arena(&pb_common_Payload, &payload, arena);
    struct common_Payloads              payloads = { .payloads = &encoded, .payloads_count = 1 };
    return pb_encode_arena(&pb_common_Payloads, &payloads, arena);
}
static inline struct bytes app_failure_full(struct arena *arena, const char *type, bool non_retryable,
                                            int64_t next_delay)
{
    struct failure_ApplicationFailureInfo info = { .type = bytes_of_text(type),
                                                   .non_retryable = non_retryable };
    if (next_delay >= 0)
        info.next_retry_delay = duration_of_ns(arena, next_delay);
    struct failure_Failure failure = { .message = bytes_of_text(type), .failure_info_case = 5 };
    failure.application_failure_info = &info;
    return pb_encode_arena(&pb_failure_Failure, &failure, arena);
}
static inline struct bytes app_failure(struct arena *arena, const char *type)
{
    return app_failure_full(arena, type, false, -1);
}

/* --- starts --- */

static inline struct workflowservice_StartWorkflowExecutionRequest *world_start_request(
    struct world *w, const char *request_id)
{
    struct workflow_request                              *request = world_request(w, WORKFLOW_START);
    struct workflowservice_StartWorkflowExecutionRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_StartWorkflowExecutionRequest);
    input->workflow_id = w->workflow_id;
    input->workflow_type = ARENA_NEW(&w->arena, struct common_WorkflowType);
    input->workflow_type->name = BYTES("Type");
    input->task_queue = ARENA_NEW(&w->arena, struct taskqueue_TaskQueue);
    input->task_queue->name = BYTES("queue");
    input->identity = BYTES("client");
    input->request_id = bytes_of_text(request_id);
    input->input = payloads_of(&w->arena, "\"in\"");
    request->input = input;
    return input;
}
static inline struct workflowservice_StartWorkflowExecutionResponse *world_start_send(struct world *w)
{
    world_step(w, world_current(w));
    return w->request.base.error.code == ST_OK ? w->request.response : NULL;
}
static inline void world_start(struct world *w)
{
    world_start_request(w, "start-1");
    CHECK(world_start_send(w) != NULL);
}
static inline enum status world_signal(struct world *w, const char *name, const char *request_id)
{
    struct workflow_request                               *request = world_request(w, WORKFLOW_SIGNAL);
    struct workflowservice_SignalWorkflowExecutionRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_SignalWorkflowExecutionRequest);
    input->signal_name = bytes_of_text(name);
    input->request_id = bytes_of_text(request_id);
    input->identity = BYTES("client");
    request->input = input;
    return world_run_step(w, world_current(w));
}
static inline enum status world_cancel(struct world *w)
{
    struct workflow_request *request = world_request(w, WORKFLOW_REQUEST_CANCEL);
    struct workflowservice_RequestCancelWorkflowExecutionRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_RequestCancelWorkflowExecutionRequest);
    input->identity = BYTES("client");
    input->reason = BYTES("enough");
    request->input = input;
    return world_run_step(w, world_current(w));
}
static inline enum status world_terminate(struct world *w)
{
    struct workflow_request                                  *request = world_request(w, WORKFLOW_TERMINATE);
    struct workflowservice_TerminateWorkflowExecutionRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_TerminateWorkflowExecutionRequest);
    input->reason = BYTES("stop");
    input->identity = BYTES("client");
    request->input = input;
    return world_run_step(w, world_current(w));
}

/* --- workflow tasks --- */

static inline const struct store_ready *world_find_ready(struct world *w, enum store_task_kind kind)
{
    struct world_run *run = world_current(w);
    for (size_t i = 0; i < run->ready_count; i++)
        if (run->ready[i].kind == kind)
            return &run->ready[i];
    if (kind == STORE_TASK_WORKFLOW && run->state->task.is_speculative && run->state->task.started_time == 0)
        return &run->offer;
    return NULL;
}
/* Takes the ready workflow task from its own queue; false: there is none. The token is kept by the caller. */
static inline bool world_poll_as(struct world *w, bool normal_queue, struct task_ref *ret_token)
{
    const struct store_ready *row = world_find_ready(w, STORE_TASK_WORKFLOW);
    if (row == NULL)
        return false;
    struct workflow_request *request = world_request(w, WORKFLOW_TASK_START);
    request->task = *row;
    request->poll.identity = BYTES("worker");
    request->poll.sticky = row->normal_queue.size != 0 && !normal_queue;
    request->poll.request_id = arena_printf(&w->arena, "poll-%" PRIu64, ++w->poll_count);
    world_step(w, world_current(w));
    CHECK_INT(request->base.error.code, ST_OK);
    CHECK(!request->stale && request->has_delivery);
    *ret_token = request->delivery.task;
    const struct workflowservice_PollWorkflowTaskQueueResponse *response = request->response;
    struct error                                                error = { 0 };
    struct task_ref                                             decoded;
    CHECK_INT(task_token_decode(response->task_token, &w->arena, &decoded, &error), ST_OK);
    CHECK(task_matches(world_state(w), &decoded));
    return true;
}
static inline struct task_ref world_poll(struct world *w)
{
    struct task_ref token;
    CHECK(world_poll_as(w, false, &token));
    return token;
}

struct commands {
    struct command_Command list[2100];
    size_t                 count;
};
static inline struct workflowservice_RespondWorkflowTaskCompletedRequest *world_completion(
    struct world *w, struct task_ref token)
{
    struct workflow_request *request = world_request(w, WORKFLOW_TASK_COMPLETE);
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_RespondWorkflowTaskCompletedRequest);
    input->identity = BYTES("worker");
    input->commands = ARENA_NEW_ARRAY(&w->arena, struct command_Command, 2100);
    request->input = input;
    request->token = token;
    return input;
}
static inline struct command_Command *command_add(
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input, int32_t type)
{
    struct command_Command *command = &input->commands[input->commands_count++];
    command->command_type = type;
    return command;
}
static inline struct command_ScheduleActivityTaskCommandAttributes *command_activity(
    struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input, const char *id)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK);
    struct command_ScheduleActivityTaskCommandAttributes *attributes =
        ARENA_NEW(&w->arena, struct command_ScheduleActivityTaskCommandAttributes);
    command->attributes_case = 2;
    command->schedule_activity_task_command_attributes = attributes;
    attributes->activity_id = bytes_of_text(id);
    attributes->activity_type = ARENA_NEW(&w->arena, struct common_ActivityType);
    attributes->activity_type->name = BYTES("Act");
    attributes->task_queue = ARENA_NEW(&w->arena, struct taskqueue_TaskQueue);
    attributes->task_queue->name = BYTES("queue");
    attributes->start_to_close_timeout = duration_of_ns(&w->arena, 10 * NS_PER_S);
    attributes->input = payloads_of(&w->arena, "\"act\"");
    return attributes;
}
static inline void command_timer(struct world                                               *w,
                                 struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                                 const char *id, int64_t ns)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_START_TIMER);
    command->attributes_case = 3;
    command->start_timer_command_attributes = ARENA_NEW(&w->arena,
                                                        struct command_StartTimerCommandAttributes);
    command->start_timer_command_attributes->timer_id = bytes_of_text(id);
    command->start_timer_command_attributes->start_to_fire_timeout = duration_of_ns(&w->arena, ns);
}
static inline void command_cancel_timer(struct world                                               *w,
                                        struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                                        const char                                                 *id)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_CANCEL_TIMER);
    command->attributes_case = 7;
    command->cancel_timer_command_attributes = ARENA_NEW(&w->arena,
                                                         struct command_CancelTimerCommandAttributes);
    command->cancel_timer_command_attributes->timer_id = bytes_of_text(id);
}
static inline void command_cancel_activity(struct world                                               *w,
                                           struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                                           int64_t                                                     id)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK);
    command->attributes_case = 6;
    command->request_cancel_activity_task_command_attributes =
        ARENA_NEW(&w->arena, struct command_RequestCancelActivityTaskCommandAttributes);
    command->request_cancel_activity_task_command_attributes->scheduled_event_id = id;
}
static inline void command_marker(struct world                                               *w,
                                  struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_RECORD_MARKER);
    command->attributes_case = 10;
    command->record_marker_command_attributes = ARENA_NEW(&w->arena,
                                                          struct command_RecordMarkerCommandAttributes);
    command->record_marker_command_attributes->marker_name = BYTES("marker");
}
static inline void command_complete(struct world                                               *w,
                                    struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
    command->attributes_case = 4;
    command->complete_workflow_execution_command_attributes =
        ARENA_NEW(&w->arena, struct command_CompleteWorkflowExecutionCommandAttributes);
    command->complete_workflow_execution_command_attributes->result = payloads_of(&w->arena, "\"out\"");
}
static inline void command_fail(struct world                                               *w,
                                struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
                                struct bytes                                                failure)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION);
    command->attributes_case = 5;
    command->fail_workflow_execution_command_attributes =
        ARENA_NEW(&w->arena, struct command_FailWorkflowExecutionCommandAttributes);
    command->fail_workflow_execution_command_attributes->failure = failure;
}
static inline struct command_ContinueAsNewWorkflowExecutionCommandAttributes *command_continue(
    struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    struct command_Command *command = command_add(input,
                                                  enums_COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION);
    command->attributes_case = 11;
    command->continue_as_new_workflow_execution_command_attributes =
        ARENA_NEW(&w->arena, struct command_ContinueAsNewWorkflowExecutionCommandAttributes);
    return command->continue_as_new_workflow_execution_command_attributes;
}
static inline struct command_StartChildWorkflowExecutionCommandAttributes *command_child(
    struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    struct command_Command *command = command_add(input, enums_COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION);
    struct command_StartChildWorkflowExecutionCommandAttributes *child =
        ARENA_NEW(&w->arena, struct command_StartChildWorkflowExecutionCommandAttributes);
    command->attributes_case = 12;
    command->start_child_workflow_execution_command_attributes = child;
    child->workflow_id = BYTES("child");
    child->workflow_type = ARENA_NEW(&w->arena, struct common_WorkflowType);
    child->workflow_type->name = BYTES("Child");
    return child;
}

static inline struct command_SignalExternalWorkflowExecutionCommandAttributes *command_signal(
    struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
    const char *workflow_id)
{
    struct command_Command                                          *command = command_add(input,
                                                                                           enums_COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION);
    struct command_SignalExternalWorkflowExecutionCommandAttributes *signal =
        ARENA_NEW(&w->arena, struct command_SignalExternalWorkflowExecutionCommandAttributes);
    command->attributes_case = 13;
    command->signal_external_workflow_execution_command_attributes = signal;
    signal->execution = ARENA_NEW(&w->arena, struct common_WorkflowExecution);
    signal->execution->workflow_id = bytes_of_text(workflow_id);
    signal->signal_name = BYTES("hello");
    return signal;
}

static inline struct command_RequestCancelExternalWorkflowExecutionCommandAttributes *command_cancel(
    struct world *w, struct workflowservice_RespondWorkflowTaskCompletedRequest *input,
    const char *workflow_id)
{
    struct command_Command *command =
        command_add(input, enums_COMMAND_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION);
    struct command_RequestCancelExternalWorkflowExecutionCommandAttributes *cancel =
        ARENA_NEW(&w->arena, struct command_RequestCancelExternalWorkflowExecutionCommandAttributes);
    command->attributes_case = 9;
    command->request_cancel_external_workflow_execution_command_attributes = cancel;
    cancel->workflow_id = bytes_of_text(workflow_id);
    cancel->reason = BYTES("enough");
    return cancel;
}

static inline void completion_sticky(struct world                                               *w,
                                     struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    input->sticky_attributes = ARENA_NEW(&w->arena, struct taskqueue_StickyExecutionAttributes);
    input->sticky_attributes->worker_task_queue = ARENA_NEW(&w->arena, struct taskqueue_TaskQueue);
    input->sticky_attributes->worker_task_queue->name = BYTES("sticky");
    input->sticky_attributes->schedule_to_start_timeout = duration_of_ns(&w->arena, 5 * NS_PER_S);
}
static inline enum status world_send(struct world *w)
{
    return world_run_step(w, world_current(w));
}
/* Completes without commands. */
static inline void world_complete_empty(struct world *w, struct task_ref token)
{
    world_completion(w, token);
    CHECK_INT(world_send(w), ST_OK);
}
static inline enum status world_task_fail(struct world *w, struct task_ref token)
{
    struct workflow_request                                 *request = world_request(w, WORKFLOW_TASK_FAIL);
    struct workflowservice_RespondWorkflowTaskFailedRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_RespondWorkflowTaskFailedRequest);
    input->cause = enums_WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE;
    input->failure = app_failure(&w->arena, "boom");
    input->identity = BYTES("worker");
    request->input = input;
    request->token = token;
    return world_run_step(w, world_current(w));
}

/* --- reset, delete --- */

/* Resets a run (by index; -1: the current one, without naming it); the caller may fill in more before it is sent. */
static inline struct workflowservice_ResetWorkflowExecutionRequest *world_reset_request(
    struct world *w, int index, int64_t event_id, const char *request_id)
{
    struct workflow_request                              *request = world_request(w, WORKFLOW_RESET);
    struct workflowservice_ResetWorkflowExecutionRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_ResetWorkflowExecutionRequest);
    input->workflow_execution = ARENA_NEW(&w->arena, struct common_WorkflowExecution);
    input->workflow_execution->workflow_id = w->workflow_id;
    if (index >= 0)
        input->workflow_execution->run_id = uuid_text(&w->arena, &w->runs[index]->identity.run_id);
    input->workflow_task_finish_event_id = event_id;
    input->reason = BYTES("again");
    input->request_id = bytes_of_text(request_id);
    request->input = input;
    return input;
}
static inline enum status world_reset(struct world *w, int index, int64_t event_id, const char *request_id)
{
    world_reset_request(w, index, event_id, request_id);
    return world_run_step(w, world_current(w));
}
static inline enum status world_delete(struct world *w)
{
    struct workflow_request *request = world_request(w, WORKFLOW_DELETE);
    request->input = ARENA_NEW(&w->arena, struct workflowservice_DeleteWorkflowExecutionRequest);
    return world_run_step(w, world_current(w));
}

/* --- activities --- */

/* Takes a ready activity task; false: there is none. */
static inline bool world_poll_activity_if(struct world *w, struct activity_ref *ret)
{
    const struct store_ready *row = world_find_ready(w, STORE_TASK_ACTIVITY);
    if (row == NULL)
        return false;
    struct workflow_request *request = world_request(w, ACTIVITY_TASK_START);
    request->task = *row;
    request->poll.identity = BYTES("worker");
    request->poll.request_id = arena_printf(&w->arena, "poll-%" PRIu64, ++w->poll_count);
    world_step(w, world_current(w));
    CHECK_INT(request->base.error.code, ST_OK);
    CHECK(!request->stale);
    const struct workflowservice_PollActivityTaskQueueResponse *response = request->response;
    CHECK(response->input.size != 0);
    struct error error = { 0 };
    *ret = (struct activity_ref){ .identity = BYTES("worker") };
    CHECK_INT(task_token_decode(arena_copy(&w->keep, response->task_token), &w->keep, &ret->task, &error),
              ST_OK);
    return true;
}
static inline struct activity_ref world_poll_activity(struct world *w)
{
    struct activity_ref ref;
    CHECK(world_poll_activity_if(w, &ref));
    return ref;
}
static inline enum status world_activity(struct world *w, int command, struct activity_ref ref,
                                         struct bytes payload)
{
    /* payload is in w->keep or literal: world_request resets the step's arena */
    struct workflow_request *request = world_request(w, command);
    request->activity = ref;
    request->payload = payload;
    return world_run_step(w, world_current(w));
}
static inline enum status world_activity_complete(struct world *w, struct activity_ref ref)
{
    return world_activity(w, ACTIVITY_TASK_COMPLETE, ref, payloads_of(&w->keep, "\"done\""));
}
static inline enum status world_activity_fail(struct world *w, struct activity_ref ref, struct bytes failure)
{
    return world_activity(w, ACTIVITY_TASK_FAIL, ref, failure);
}

/* --- histories as text --- */

static inline const char *short_name(const struct pb_enum *type, const char *prefix, int32_t value)
{
    const char *name = pb_enum_value_name(type, value);
    return name == NULL ? "?" : strncmp(name, prefix, strlen(prefix)) == 0 ? name + strlen(prefix) : name;
}
#define RETRY_STATE_TEXT(value) short_name(&pb_enum_enums_RetryState, "RETRY_STATE_", value)
#define TIMEOUT_TEXT(value)     short_name(&pb_enum_enums_TimeoutType, "TIMEOUT_TYPE_", value)
#define CAUSE_TEXT(value)                                                                                    \
    short_name(&pb_enum_enums_WorkflowTaskFailedCause, "WORKFLOW_TASK_FAILED_CAUSE_", value)

/* "StartToClose<-HEARTBEAT": type of a failure and its causes. */
static inline void failure_text(struct buffer *to, struct bytes encoded, struct arena *arena)
{
    for (int depth = 0; encoded.size != 0 && depth < 5; depth++) {
        struct failure_Failure failure = { 0 };
        struct error           error;
        if (pb_decode(&pb_failure_Failure, encoded, arena, &failure, &error) != ST_OK)
            return;
        if (depth != 0)
            buffer_append_text(to, "<-");
        if (failure.failure_info_case == 5)
            buffer_printf(to, "%.*s", BYTES_FMT(failure.application_failure_info->type));
        else if (failure.failure_info_case == 6)
            buffer_printf(to, "%s", TIMEOUT_TEXT(failure.timeout_failure_info->timeout_type));
        else if (failure.failure_info_case == 9)
            buffer_append_text(to, "server");
        else
            buffer_append_text(to, "other");
        encoded = failure.cause;
    }
}

static inline void event_text_attributes(struct buffer *to, const struct history_HistoryEvent *event,
                                         struct arena *arena)
{
    const void *any = event_attributes(event);
    switch (event->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED: {
        const struct history_WorkflowTaskScheduledEventAttributes *a = any;
        buffer_printf(to, "{%.*s,%d}", BYTES_FMT(a->task_queue->name), a->attempt);
        break;
    }
    case enums_EVENT_TYPE_WORKFLOW_TASK_STARTED:
        buffer_printf(
            to, "{%d}",
            (int)((const struct history_WorkflowTaskStartedEventAttributes *)any)->scheduled_event_id);
        break;
    case enums_EVENT_TYPE_WORKFLOW_TASK_COMPLETED: {
        const struct history_WorkflowTaskCompletedEventAttributes *a = any;
        buffer_printf(to, "{%d,%d}", (int)a->scheduled_event_id, (int)a->started_event_id);
        break;
    }
    case enums_EVENT_TYPE_WORKFLOW_TASK_FAILED: {
        const struct history_WorkflowTaskFailedEventAttributes *a = any;
        buffer_printf(to, "{%d,%d,%s,%.*s", (int)a->scheduled_event_id, (int)a->started_event_id,
                      CAUSE_TEXT(a->cause), BYTES_FMT(a->identity));
        if (a->failure.size != 0)
            buffer_append_text(to, ",");
        failure_text(to, a->failure, arena);
        buffer_append_text(to, "}");
        break;
    }
    case enums_EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT: {
        const struct history_WorkflowTaskTimedOutEventAttributes *a = any;
        buffer_printf(to, "{%d,%d,%s}", (int)a->scheduled_event_id, (int)a->started_event_id,
                      TIMEOUT_TEXT(a->timeout_type));
        break;
    }
    case enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: {
        const struct history_ActivityTaskScheduledEventAttributes *a = any;
        buffer_printf(to, "{%.*s,wftc %d}", BYTES_FMT(a->activity_id),
                      (int)a->workflow_task_completed_event_id);
        break;
    }
    case enums_EVENT_TYPE_ACTIVITY_TASK_STARTED: {
        const struct history_ActivityTaskStartedEventAttributes *a = any;
        buffer_printf(to, "{%d,attempt %d", (int)a->scheduled_event_id, a->attempt);
        if (a->last_failure.size != 0)
            buffer_append_text(to, ",last ");
        failure_text(to, a->last_failure, arena);
        buffer_append_text(to, "}");
        break;
    }
    case enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED: {
        const struct history_ActivityTaskCompletedEventAttributes *a = any;
        buffer_printf(to, "{%d,%d}", (int)a->scheduled_event_id, (int)a->started_event_id);
        break;
    }
    case enums_EVENT_TYPE_ACTIVITY_TASK_FAILED: {
        const struct history_ActivityTaskFailedEventAttributes *a = any;
        buffer_printf(to, "{%d,%d,%s,", (int)a->scheduled_event_id, (int)a->started_event_id,
                      RETRY_STATE_TEXT(a->retry_state));
        failure_text(to, a->failure, arena);
        buffer_append_text(to, "}");
        break;
    }
    case enums_EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: {
        const struct history_ActivityTaskTimedOutEventAttributes *a = any;
        buffer_printf(to, "{%d,%d,%s,", (int)a->scheduled_event_id, (int)a->started_event_id,
                      RETRY_STATE_TEXT(a->retry_state));
        failure_text(to, a->failure, arena);
        buffer_append_text(to, "}");
        break;
    }
    case enums_EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: {
        const struct history_ActivityTaskCancelRequestedEventAttributes *a = any;
        buffer_printf(to, "{%d,wftc %d}", (int)a->scheduled_event_id,
                      (int)a->workflow_task_completed_event_id);
        break;
    }
    case enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED: {
        const struct history_ActivityTaskCanceledEventAttributes *a = any;
        buffer_printf(to, "{%d,%d,requested %d}", (int)a->scheduled_event_id, (int)a->started_event_id,
                      (int)a->latest_cancel_requested_event_id);
        break;
    }
    case enums_EVENT_TYPE_TIMER_STARTED: {
        const struct history_TimerStartedEventAttributes *a = any;
        buffer_printf(to, "{%.*s,wftc %d}", BYTES_FMT(a->timer_id), (int)a->workflow_task_completed_event_id);
        break;
    }
    case enums_EVENT_TYPE_TIMER_FIRED: {
        const struct history_TimerFiredEventAttributes *a = any;
        buffer_printf(to, "{%.*s,%d}", BYTES_FMT(a->timer_id), (int)a->started_event_id);
        break;
    }
    case enums_EVENT_TYPE_TIMER_CANCELED: {
        const struct history_TimerCanceledEventAttributes *a = any;
        buffer_printf(to, "{%.*s,%d,wftc %d}", BYTES_FMT(a->timer_id), (int)a->started_event_id,
                      (int)a->workflow_task_completed_event_id);
        break;
    }
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        buffer_printf(
            to, "{%.*s}",
            BYTES_FMT(((const struct history_WorkflowExecutionSignaledEventAttributes *)any)->signal_name));
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        buffer_printf(
            to, "{%.*s}",
            BYTES_FMT(((const struct history_WorkflowExecutionTerminatedEventAttributes *)any)->identity));
        break;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: {
        const struct history_WorkflowExecutionFailedEventAttributes *a = any;
        buffer_printf(to, "{%s%s,wftc %d}", RETRY_STATE_TEXT(a->retry_state),
                      a->new_execution_run_id.size != 0 ? ",new run" : "",
                      (int)a->workflow_task_completed_event_id);
        break;
    }
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: {
        const struct history_WorkflowExecutionTimedOutEventAttributes *a = any;
        buffer_printf(to, "{%s%s}", RETRY_STATE_TEXT(a->retry_state),
                      a->new_execution_run_id.size != 0 ? ",new run" : "");
        break;
    }
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: {
        const struct history_WorkflowExecutionCompletedEventAttributes *a = any;
        buffer_printf(to, "{wftc %d%s}", (int)a->workflow_task_completed_event_id,
                      a->new_execution_run_id.size != 0 ? ",new run" : "");
        break;
    }
    default:
        break;
    }
}

/* "1 WorkflowExecutionStarted · 2 ..." from event id `from` on; one event a line. */
static inline const char *world_history_of(struct world *w, struct world_run *run, int64_t from)
{
    struct buffer text = { 0 };
    for (size_t i = (size_t)from - 1; i < run->event_count; i++) {
        struct history_HistoryEvent *event;
        struct error                 error = { 0 };
        CHECK_INT(event_decode(run->events[i], &w->arena, &event, &error), ST_OK);
        CHECK_INT(event->event_id, (int64_t)i + 1);
        CHECK(event_time(event) != 0);
        buffer_printf(&text, "%s%d ", text.size == 0 ? "" : "\n", (int)event->event_id);
        const char *name = short_name(&pb_enum_enums_EventType, "EVENT_TYPE_", event->event_type);
        buffer_append_text(&text, name);
        event_text_attributes(&text, event, &w->arena);
    }
    struct bytes copy = arena_printf(&w->keep, "%.*s", (int)text.size, (const char *)text.base);
    buffer_release(&text);
    char *terminated = ARENA_NEW_ARRAY(&w->keep, char, copy.size + 1);
    memcpy(terminated, copy.base, copy.size);
    return terminated;
}
static inline const char *world_history(struct world *w, int64_t from)
{
    return world_history_of(w, world_current(w), from);
}
static inline const struct history_HistoryEvent *world_event(struct world *w, struct world_run *run,
                                                             int64_t id)
{
    struct history_HistoryEvent *event;
    struct error                 error = { 0 };
    CHECK(id >= 1 && id <= (int64_t)run->event_count);
    CHECK_INT(event_decode(run->events[id - 1], &w->arena, &event, &error), ST_OK);
    return event;
}
#endif
