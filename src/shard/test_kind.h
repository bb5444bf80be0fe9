/* test_kind.h: a small kind of entity for tests of the runtime: a ledger. Only *_test.c and tests/ include it.
 *
 * A run adds amounts (each request id once), has one timer, one ready task, and can be closed or continued by a new run. Its
 * state is the sum of its events and deltas, so a lost or doubled row shows in the total. Commands give every shape of
 * decision: nothing, an error, events, a volatile change, a new run, NEED.
 */
#ifndef SHARD_TEST_KIND_H
#define SHARD_TEST_KIND_H
#include "base/buffer.h"
#include "shard/entity.h"
#include "shard/lane.h"

enum ledger_command {
    LEDGER_DUE = ENTITY_COMMAND_DUE,
    LEDGER_START, /* opens a run; the same request id gets the same run; another one ALREADY_EXISTS */
    LEDGER_ADD,   /* amount, once per request id */
    LEDGER_READ,  /* nothing is written */
    LEDGER_CLOSE,
    LEDGER_NEXT,     /* closes and opens a new run */
    LEDGER_TIMER,    /* due in `amount` ns; 0: cancelled */
    LEDGER_SCHEDULE, /* makes a task ready */
    LEDGER_TAKE,     /* starts the task whose sequence is `amount`: stale or taken */
    LEDGER_BEAT,     /* volatile */
    LEDGER_SUM,      /* asks for all its events by NEED and adds them up */
    LEDGER_ASK,      /* asks for events `amount` to `request_id` by NEED, and is never content */
    LEDGER_FORK, /* the current run closes; a new one begins as `target_run` (or it) before event `amount` */
    LEDGER_DELETE,
    LEDGER_SEND, /* `amount` goes to the ledger `to`, by a message; once per request id. What cannot arrive is returned */
};
enum ledger_event {
    EVENT_START = 1,
    EVENT_ADD,
    EVENT_CLOSE,
    EVENT_FIRED,
    EVENT_SCHEDULED,
    EVENT_TAKEN,
    EVENT_SENT,
    EVENT_FORKED /* the segments behind it */
};

#define LEDGER_IDS_MAX    4096
#define LEDGER_PREFIX_MAX 12
struct ledger {
    store_number           number;
    struct uuid            run_id;
    int64_t                namespace_number;
    uint8_t                business_id[128];
    size_t                 business_id_size;
    bool                   is_open;
    int64_t                total, events, fired, taken, last_time;
    int64_t                due, sequence; /* TIME_NEVER; 0 */
    int64_t                fired_at_due;  /* the due time of the last firing */
    int64_t                beats;         /* volatile */
    int64_t                loads;         /* volatile */
    struct history_segment prefix[LEDGER_PREFIX_MAX];
    size_t                 prefix_count;
    uint64_t              *ids;
    size_t                 id_count;
};
/* What events do not say, as it is after the transition. */
struct ledger_delta {
    int64_t due, sequence;
};
struct ledger_event_bytes {
    int64_t  id, time, amount;
    uint64_t request_id;
    int32_t  type, padding;
};
struct ledger_request {
    struct request base;
    int64_t        amount;
    uint64_t       request_id;
    size_t         padding; /* bytes behind the event */
    struct bytes   to;
    bool           opens;  /* SEND: the target is opened if there is none, and pays 1 back */
    bool           to_run; /* SEND: to this run of the target; FORK: this one */
    struct uuid    target_run;
    /* out */
    int64_t      total, last_event_id, sequence, sum;
    struct uuid  run_id;
    store_number number;
    bool         stale;
    int          answers;
    void        *user;
};

static void *ledger_new(const struct entity_identity *identity)
{
    struct ledger *ledger = xcalloc(1, sizeof(*ledger));
    ledger->number = identity->number;
    ledger->run_id = identity->run_id;
    ledger->namespace_number = identity->namespace_number;
    assert(identity->business_id.size <= sizeof(ledger->business_id));
    memcpy(ledger->business_id, identity->business_id.base, identity->business_id.size);
    ledger->business_id_size = identity->business_id.size;
    ledger->due = TIME_NEVER;
    return ledger;
}

static void ledger_free(void *state)
{
    struct ledger *ledger = state;
    free(ledger->ids);
    free(ledger);
}

static size_t ledger_size(const void *state)
{
    return sizeof(struct ledger) + ((const struct ledger *)state)->id_count * sizeof(uint64_t);
}

static bool ledger_knows(const struct ledger *ledger, uint64_t request_id)
{
    for (size_t i = 0; i < ledger->id_count; i++) {
        if (ledger->ids[i] == request_id)
            return true;
    }
    return false;
}

static void ledger_event(struct transition *transition, struct ledger_request *request,
                         const struct ledger *ledger, int64_t now, enum ledger_event type, int64_t amount)
{
    struct arena *arena = request->base.arena;
    if (transition->events == NULL) {
        transition->events = ARENA_NEW_ARRAY(arena, struct bytes, 4);
        transition->first_event_id = ledger == NULL ? 1 : ledger->events + 1;
    }
    struct ledger_event_bytes *event = arena_must(arena_zalloc(arena, 1, sizeof(*event) + request->padding));
    *event = (struct ledger_event_bytes){ .id = transition->first_event_id + (int64_t)transition->event_count,
                                          .time = now,
                                          .amount = amount,
                                          .request_id = request->request_id,
                                          .type = type };
    transition->events[transition->event_count++] = bytes_of(event, sizeof(*event) + request->padding);
}

static void ledger_delta(struct transition *transition, struct arena *arena, int64_t due, int64_t sequence)
{
    struct ledger_delta *delta = ARENA_NEW(arena, struct ledger_delta);
    *delta = (struct ledger_delta){ due, sequence };
    transition->delta = bytes_of(delta, sizeof(*delta));
}

static void ledger_run(struct transition *transition, struct arena *arena, int64_t namespace_number,
                       const struct entity_identity *identity, int32_t status, int64_t start, int64_t close)
{
    struct store_run *run = ARENA_NEW(arena, struct store_run);
    *run = (struct store_run){ .number = identity->number,
                               .namespace_number = namespace_number,
                               .run_id = identity->run_id,
                               .workflow_id = identity->business_id,
                               .workflow_type = BYTES("ledger"),
                               .task_queue = BYTES("q"),
                               .status = status,
                               .start_time = start,
                               .execution_time = start,
                               .close_time = close };
    transition->run = run;
}

static struct entity_identity ledger_identity(const struct ledger *ledger)
{
    return (struct entity_identity){ .namespace_number = ledger->namespace_number,
                                     .business_id = bytes_of(ledger->business_id, ledger->business_id_size),
                                     .number = ledger->number,
                                     .run_id = ledger->run_id };
}

static void ledger_start(struct ledger_request *request, struct env *env, struct decision *decision)
{
    struct arena          *arena = request->base.arena;
    struct entity_identity identity = { .namespace_number = request->base.namespace_number,
                                        .business_id = arena_copy(arena, request->base.business_id),
                                        .number = env_number(env) };
    identity.run_id = run_id_make(identity.number, env->entropy[0]);
    decision->creates = true;
    decision->created_identity = identity;
    ledger_event(&decision->created, request, NULL, env->now, EVENT_START, 0);
    ledger_delta(&decision->created, arena, TIME_NEVER, 0);
    ledger_run(&decision->created, arena, identity.namespace_number, &identity, 1, env->now, 0);
    request->run_id = identity.run_id;
    request->number = identity.number;
    request->total = 0;
    request->last_event_id = 1;
}

static void ledger_close(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                         struct decision *decision)
{
    struct entity_identity identity = ledger_identity(ledger);
    identity.business_id = arena_copy(request->base.arena, identity.business_id);
    ledger_event(&decision->self, request, ledger, env->now, EVENT_CLOSE, 0);
    ledger_run(&decision->self, request->base.arena, identity.namespace_number, &identity, 2, env->now,
               env->now);
    ledger_delta(&decision->self, request->base.arena, TIME_NEVER, 0);
    if (ledger->sequence != 0) {
        decision->self.unready = ARENA_NEW(request->base.arena, store_number);
        decision->self.unready[0] = ledger->sequence;
        decision->self.unready_count = 1;
    }
    decision->changes = true;
}

static void ledger_schedule(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                            struct decision *decision)
{
    struct arena       *arena = request->base.arena;
    struct store_ready *ready = ARENA_NEW(arena, struct store_ready);
    *ready = (struct store_ready){ .sequence = env_number(env),
                                   .namespace_number = ledger->namespace_number,
                                   .queue = BYTES("q"),
                                   .kind = STORE_TASK_WORKFLOW,
                                   .priority = 3,
                                   .run = ledger->number,
                                   .workflow_id = arena_copy(arena, bytes_of(ledger->business_id,
                                                                             ledger->business_id_size)),
                                   .created_time = env->now };
    ledger_event(&decision->self, request, ledger, env->now, EVENT_SCHEDULED, 0);
    ledger_delta(&decision->self, arena, ledger->due, ready->sequence);
    decision->self.ready = ready;
    decision->self.ready_count = 1;
    decision->changes = true;
    request->sequence = ready->sequence;
}

static void ledger_take(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                        struct decision *decision)
{
    request->stale = ledger->sequence != request->amount || ledger->sequence == 0;
    if (request->stale)
        return;
    ledger_event(&decision->self, request, ledger, env->now, EVENT_TAKEN, 0);
    ledger_delta(&decision->self, request->base.arena, ledger->due, 0);
    decision->self.unready = ARENA_NEW(request->base.arena, store_number);
    decision->self.unready[0] = ledger->sequence;
    decision->self.unready_count = 1;
    decision->changes = true;
}

static void ledger_due(const struct ledger *ledger, struct request *base, struct env *env,
                       struct decision *decision)
{
    struct ledger_request request = { .base = { .arena = base->arena } };
    if (ledger->due > env->now)
        return;
    ledger_event(&decision->self, &request, ledger, env->now, EVENT_FIRED, ledger->due);
    ledger_delta(&decision->self, base->arena, TIME_NEVER, ledger->sequence);
    decision->changes = true;
}

static void ledger_sum(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                       struct decision *decision)
{
    if (env->cold.count == 0) {
        decision->needs = true;
        decision->need_from = 1;
        decision->need_to = ledger->events;
        return;
    }
    request->sum = 0;
    for (size_t i = 0; i < env->cold.count; i++) {
        struct ledger_event_bytes event;
        memcpy(&event, env->cold.events[i].base, sizeof(event));
        assert(event.id == (int64_t)i + 1);
        if (event.type == EVENT_ADD)
            request->sum += event.amount;
    }
}

/* What goes is gone here at once, and there once: the sum over all ledgers and messages never changes. */
struct ledger_mail {
    int64_t amount;
    bool    opens, is_return;
    char    from[24];
};

static struct entity_message *ledger_mail(struct arena *arena, int64_t namespace_number, struct bytes to,
                                          const struct ledger_mail *mail)
{
    struct entity_message *message = ARENA_NEW(arena, struct entity_message);
    *message = (struct entity_message){ .kind = ENTITY_TEST,
                                        .namespace_number = namespace_number,
                                        .business_id = arena_copy(arena, to),
                                        .body = arena_copy(arena, bytes_of(mail, sizeof(*mail))) };
    return message;
}

static void ledger_send(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                        struct decision *decision)
{
    struct arena      *arena = request->base.arena;
    struct ledger_mail mail = { .amount = request->amount, .opens = request->opens };
    if (ledger_knows(ledger, request->request_id))
        return;
    assert(ledger->business_id_size < sizeof(mail.from));
    memcpy(mail.from, ledger->business_id, ledger->business_id_size);
    ledger_event(&decision->self, request, ledger, env->now, EVENT_SENT, request->amount);
    ledger_delta(&decision->self, arena, ledger->due, ledger->sequence);
    decision->self.messages = ledger_mail(arena, ledger->namespace_number, request->to, &mail);
    decision->self.messages->has_run_id = request->to_run;
    decision->self.messages->run_id = request->target_run;
    decision->self.message_count = 1;
    decision->changes = true;
}

/* No request id: that it comes once is the link's affair. Where nobody takes it the whole amount goes back, without a
 * transition; who was opened by it sends 1 back with its first. */
static void ledger_message(const struct ledger *ledger, struct request *base, struct env *env,
                           struct decision *decision)
{
    struct message_request *message = CONTAINER_OF(base, struct message_request, base);
    struct ledger_request   request = { .base = { .arena = base->arena,
                                                  .namespace_number = base->namespace_number,
                                                  .business_id = base->business_id } };
    struct ledger_mail      mail;
    assert(message->body.size == sizeof(mail));
    memcpy(&mail, message->body.base, sizeof(mail));
    struct ledger_mail     back = { .amount = mail.opens ? 1 : mail.amount, .is_return = true };
    struct entity_message *answer = ledger_mail(base->arena, base->namespace_number, bytes_of_text(mail.from),
                                                &back);
    bool                   takes = ledger != NULL && ledger->is_open;
    if (!takes && !mail.opens) {
        assert(!mail.is_return);
        decision->messages = answer;
        decision->message_count = 1;
        return;
    }
    struct transition *transition = takes ? &decision->self : &decision->created;
    if (takes)
        decision->changes = true;
    else
        ledger_start(&request, env, decision);
    ledger_event(transition, &request, ledger, env->now, EVENT_ADD, mail.amount);
    ledger_delta(transition, base->arena, takes ? ledger->due : TIME_NEVER, takes ? ledger->sequence : 0);
    if (mail.opens) {
        ledger_event(transition, &request, ledger, env->now, EVENT_SENT, back.amount);
        transition->messages = answer;
        transition->message_count = 1;
    }
}

static bool ledger_keeps(struct bytes encoded)
{
    struct ledger_event_bytes event;
    memcpy(&event, encoded.base, sizeof(event));
    return event.type == EVENT_ADD;
}

/* What a fork rests on: the run, its state, and what was added to it later. False: that has to be asked for, or is wrong. */
static bool ledger_fork_ready(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                              struct decision *decision, const struct ledger **ret_base)
{
    const struct ledger    *base = ledger;
    const struct fork_view *fork = env->fork;
    if (request->to_run && memcmp(&ledger->run_id, &request->target_run, sizeof(struct uuid)) != 0) {
        base = env->other;
        if (base == NULL) {
            decision->need_run = run_id_number(&request->target_run);
            return false;
        }
    }
    *ret_base = base;
    if (request->amount < 2 || request->amount > base->events || base->prefix_count == LEDGER_PREFIX_MAX) {
        error_set(&request->base.error, ST_INVALID_ARGUMENT, "no such event");
        return false;
    }
    if (fork == NULL) {
        decision->fork_run = base->number;
        decision->fork_event_id = request->amount;
        decision->fork_keep = ledger_keeps;
        return false;
    }
    if (fork->is_torn) {
        error_set(&request->base.error, ST_INVALID_ARGUMENT, "within a transition");
        return false;
    }
    if (fork->last_run == ledger->number && fork->last_event_id < ledger->events && env->cold.count == 0) {
        decision->needs = true;
        decision->need_from = fork->last_event_id + 1;
        decision->need_to = ledger->events;
        return false;
    }
    return true;
}

static int64_t ledger_later(const struct env *env)
{
    struct ledger_event_bytes event;
    int64_t                   sum = 0;
    for (size_t i = 0; i < env->fork->count; i++) {
        memcpy(&event, env->fork->events[i].base, sizeof(event));
        sum += event.amount;
    }
    for (size_t i = 0; i < env->cold.count; i++) {
        memcpy(&event, env->cold.events[i].base, sizeof(event));
        sum += event.type == EVENT_ADD ? event.amount : 0;
    }
    return sum;
}

static void ledger_fork(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                        struct decision *decision)
{
    struct arena        *arena = request->base.arena;
    const struct ledger *base;
    if (!ledger_fork_ready(ledger, request, env, decision, &base))
        return;
    if (ledger->is_open)
        ledger_close(ledger, request, env, decision);
    if (base != ledger) {
        decision->changes_other = true;
        decision->other = base->number;
        decision->other_self.first_event_id = base->events + 1;
        ledger_delta(&decision->other_self, arena, base->due, base->sequence);
    }
    const struct ledger   *fork = env->fork->state;
    struct entity_identity identity = ledger_identity(ledger);
    identity.business_id = arena_copy(arena, identity.business_id);
    identity.number = env_number(env);
    identity.run_id = run_id_make(identity.number, env->entropy[0]);
    struct history_segment segments[LEDGER_PREFIX_MAX];
    size_t                 count = 0;
    for (size_t i = 0; i <= base->prefix_count; i++) {
        segments[count] = i < base->prefix_count ? base->prefix[i]
                                                 : (struct history_segment){ base->number, INT64_MAX };
        segments[count].last_event_id = MIN(segments[count].last_event_id, request->amount - 1);
        if (segments[count++].last_event_id == request->amount - 1)
            break;
    }
    size_t padding = request->padding;
    request->padding = count * sizeof(segments[0]);
    ledger_event(&decision->created, request, fork, env->now, EVENT_FORKED, 0);
    struct bytes forked = decision->created.events[0];
    memcpy((uint8_t *)(uintptr_t)forked.base + sizeof(struct ledger_event_bytes), segments, request->padding);
    request->padding = padding;
    ledger_event(&decision->created, request, fork, env->now, EVENT_ADD, ledger_later(env));
    ledger_delta(&decision->created, arena, TIME_NEVER, 0);
    ledger_run(&decision->created, arena, identity.namespace_number, &identity, 1, env->now, 0);
    decision->creates = decision->forks = true;
    decision->created_identity = identity;
    request->run_id = identity.run_id;
    request->number = identity.number;
}

static void ledger_delete(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                          struct decision *decision)
{
    if (ledger->is_open)
        ledger_close(ledger, request, env, decision);
    decision->deletes = true;
}

static void ledger_open(const struct ledger *ledger, struct ledger_request *request, struct env *env,
                        struct decision *decision)
{
    switch (request->base.command) {
    case LEDGER_SEND:
        ledger_send(ledger, request, env, decision);
        return;
    case LEDGER_ADD:
        if (ledger_knows(ledger, request->request_id))
            return;
        ledger_event(&decision->self, request, ledger, env->now, EVENT_ADD, request->amount);
        ledger_delta(&decision->self, request->base.arena, ledger->due, ledger->sequence);
        request->total += request->amount;
        decision->changes = true;
        return;
    case LEDGER_CLOSE:
        ledger_close(ledger, request, env, decision);
        return;
    case LEDGER_NEXT:
        ledger_close(ledger, request, env, decision);
        ledger_start(request, env, decision);
        return;
    case LEDGER_TIMER:
        ledger_delta(&decision->self, request->base.arena,
                     request->amount == 0 ? TIME_NEVER : env->now + request->amount, ledger->sequence);
        decision->changes = true;
        return;
    case LEDGER_SCHEDULE:
        ledger_schedule(ledger, request, env, decision);
        return;
    case LEDGER_TAKE:
        ledger_take(ledger, request, env, decision);
        return;
    case LEDGER_BEAT:
        decision->changes = true;
        decision->self.is_volatile = true;
        return;
    default:
        return;
    }
}

static void ledger_decide(const void *state, struct request *base, struct env *env, struct decision *decision)
{
    const struct ledger *ledger = state;
    if (base->command == LEDGER_DUE) {
        ledger_due(ledger, base, env, decision);
        return;
    }
    if (base->command == ENTITY_COMMAND_MESSAGE) {
        ledger_message(ledger, base, env, decision);
        return;
    }
    struct ledger_request *request = CONTAINER_OF(base, struct ledger_request, base);
    if (ledger != NULL) {
        request->run_id = ledger->run_id;
        request->number = ledger->number;
        request->total = ledger->total;
        request->last_event_id = ledger->events;
    }
    if (base->command == LEDGER_START) {
        if (ledger == NULL || !ledger->is_open)
            ledger_start(request, env, decision);
        else if (!ledger_knows(ledger, request->request_id))
            error_set(&base->error, ST_ALREADY_EXISTS, "there is a run");
        return;
    }
    if (ledger == NULL) {
        error_set(&base->error, ST_NOT_FOUND, "no such ledger");
        return;
    }
    if (base->command == LEDGER_SUM) {
        ledger_sum(ledger, request, env, decision);
        return;
    }
    if (base->command == LEDGER_ASK) {
        decision->needs = true;
        decision->need_from = request->amount;
        decision->need_to = (int64_t)request->request_id;
        return;
    }
    if (base->command == LEDGER_FORK) {
        ledger_fork(ledger, request, env, decision);
        return;
    }
    if (base->command == LEDGER_DELETE) {
        ledger_delete(ledger, request, env, decision);
        return;
    }
    if (!ledger->is_open && base->command != LEDGER_READ) {
        error_set(&base->error, ST_NOT_FOUND, "the ledger is closed");
        return;
    }
    ledger_open(ledger, request, env, decision);
    if (decision->changes)
        request->last_event_id = ledger->events + (int64_t)decision->self.event_count;
}

static enum status ledger_apply(void *state, const struct transition_record *record, struct error *error)
{
    struct ledger *ledger = state;
    if (record->event_count == 0 && record->delta.size == 0) {
        ledger->beats++;
        return ST_OK;
    }
    if (record->delta.size != sizeof(struct ledger_delta))
        return error_set(error, ST_DATA_LOSS, "a delta of %zu bytes", record->delta.size);
    for (size_t i = 0; i < record->event_count; i++) {
        struct ledger_event_bytes event;
        memcpy(&event, record->events[i].base, sizeof(event));
        if (event.id != ledger->events + 1)
            return error_set(error, ST_DATA_LOSS, "event %" PRId64 " follows %" PRId64, event.id,
                             ledger->events);
        ledger->events++;
        ledger->last_time = event.time;
        if (event.type == EVENT_START)
            ledger->is_open = true;
        else if (event.type == EVENT_CLOSE)
            ledger->is_open = false;
        else if (event.type == EVENT_FORKED) {
            size_t size = record->events[i].size - sizeof(event);
            assert(size <= sizeof(ledger->prefix));
            memcpy(ledger->prefix, record->events[i].base + sizeof(event), size);
            ledger->prefix_count = size / sizeof(ledger->prefix[0]);
            ledger->due = TIME_NEVER;
        } else if (event.type == EVENT_FIRED)
            ledger->fired++, ledger->fired_at_due = event.amount;
        else if (event.type == EVENT_TAKEN)
            ledger->taken++;
        else if (event.type == EVENT_ADD)
            ledger->total += event.amount;
        else if (event.type == EVENT_SENT)
            ledger->total -= event.amount;
        if (event.type == EVENT_ADD || event.type == EVENT_START || event.type == EVENT_SENT) {
            ledger->ids = xrealloc(ledger->ids, (ledger->id_count + 1) * sizeof(uint64_t));
            ledger->ids[ledger->id_count++] = event.request_id;
        }
    }
    struct ledger_delta delta;
    memcpy(&delta, record->delta.base, sizeof(delta));
    ledger->due = delta.due;
    ledger->sequence = delta.sequence;
    return ST_OK;
}

static void ledger_snapshot(const void *state, struct buffer *to)
{
    const struct ledger *ledger = state;
    buffer_append(to, bytes_of(ledger, sizeof(*ledger)));
    buffer_append(to, bytes_of(ledger->ids, ledger->id_count * sizeof(uint64_t)));
}

static enum status ledger_restore(void *state, struct bytes snapshot, struct error *error)
{
    struct ledger *ledger = state;
    if (snapshot.size < sizeof(*ledger))
        return error_set(error, ST_DATA_LOSS, "a snapshot of %zu bytes", snapshot.size);
    struct ledger named = *ledger; /* a fork's state is another run's */
    memcpy(ledger, snapshot.base, sizeof(*ledger));
    ledger->number = named.number;
    ledger->run_id = named.run_id;
    ledger->ids = xmalloc(ledger->id_count * sizeof(uint64_t) + 1);
    memcpy(ledger->ids, snapshot.base + sizeof(*ledger), ledger->id_count * sizeof(uint64_t));
    return ST_OK;
}

static void ledger_loaded(void *state, int64_t now UNUSED)
{
    ((struct ledger *)state)->loads++;
}

static int64_t ledger_next_due(const void *state)
{
    const struct ledger *ledger = state;
    return ledger->is_open ? ledger->due : TIME_NEVER;
}

static size_t ledger_history_prefix(const void *state, const struct history_segment **ret_segments)
{
    const struct ledger *ledger = state;
    *ret_segments = ledger->prefix;
    return ledger->prefix_count;
}

static int64_t ledger_last_event_time(const void *state)
{
    return ((const struct ledger *)state)->last_time;
}

static bool ledger_is_open(const void *state)
{
    return ((const struct ledger *)state)->is_open;
}

static bool ledger_adds_work(const struct request *request)
{
    return request->command == LEDGER_START || request->command == LEDGER_ADD;
}

static const struct entity_kind ledger_kind = {
    .id = ENTITY_TEST,
    .name = "ledger",
    .state_new = ledger_new,
    .state_free = ledger_free,
    .state_size = ledger_size,
    .decide = ledger_decide,
    .apply = ledger_apply,
    .snapshot = ledger_snapshot,
    .restore = ledger_restore,
    .loaded = ledger_loaded,
    .history_prefix = ledger_history_prefix,
    .next_due = ledger_next_due,
    .last_event_time = ledger_last_event_time,
    .is_open = ledger_is_open,
    .adds_work = ledger_adds_work,
};
#endif
