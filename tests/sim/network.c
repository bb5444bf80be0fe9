/* network.c: calls on their way to the server and back, and what becomes of them there.
 *
 * A client that has been told an end (a reply, a deadline, a broken connection) goes on; the server may still be at work on
 * its call. What the client hears in doubt is UNAVAILABLE, DEADLINE_EXCEEDED or CANCELLED: it may have happened.
 */
#include "base/hash.h"
#include "sim.h"

struct sim_call {
    struct call      call;
    struct arena     arena;
    struct list      link;     /* in served or answered */
    struct heap_link deadline; /* while the client waits */
    struct heap_link travel;   /* on its way to the server, or its answer to the client */
    struct heap_link expiry;   /* of its deadline at the server, when its client does not wait any more */
    struct sim      *sim;
    unsigned         method, lane;
    uint64_t         asked; /* the oracle's number */
    int64_t          timeout;
    sim_answered    *answered;
    void            *context;
    bool             client_left, server_answered;
    bool             lost; /* it does not reach the server, and at the end of its way the client hears so */
    bool             is_twin; /* a second copy of a request: whatever is answered to it, nobody hears */
    bool             has_twin;
    struct sim_call *other;  /* of the two, until either has ended */
    bool             unseen; /* of the second namespace: the oracle is not shown it */
    bool             unsent; /* the process died while it answered: nothing of that left */
    struct error     error;
    struct bytes     reply;
};

static struct sim_call *call_of(struct call *call)
{
    return CONTAINER_OF(call, struct sim_call, call);
}

static void server_answered(struct sim_call *self)
{
    struct sim *sim = self->sim;
    if (self->server_answered)
        sim_violated(sim, "answered-twice", "a call was answered twice");
    self->server_answered = true;
    heap_remove(&sim->network.expiries, &self->expiry);
    list_remove(&self->link);
    if (!sim_leaves(sim)) {
        self->unsent = true;
        list_append(&sim->network.served, &self->link);
        return;
    }
    sim->statistics->answers[self->method][self->error.code]++;
    sim_log(sim, "answer %" PRIu64 "%s: %s", self->asked, self->is_twin ? " again" : "",
            status_name(self->error.code));
    if (sim_strikes(sim, FAULT_REPLY_DELAYED))
        heap_push(&sim->network.returning, &self->travel,
                  sim->now + sim_fault_between(sim, FAULT_REPLY_DELAYED, 0, 3 * NS_PER_S),
                  sim->action_count++);
    else
        list_append(&sim->network.answered, &self->link);
}

static void on_reply(struct call *call, struct bytes message)
{
    struct sim_call *self = call_of(call);
    self->reply = arena_copy(&self->arena, message);
    server_answered(self);
}

static void on_fail(struct call *call, const struct error *error)
{
    struct sim_call *self = call_of(call);
    self->error = *error;
    self->error.detail = arena_copy(&self->arena, error->detail);
    server_answered(self);
}

static bool alive(const struct call *call)
{
    return !call->gone;
}

static const struct call_operations call_operations = { on_reply, on_fail, alive };

/* Nobody repeats a request whose answer was heard: a copy that is still on its way does not arrive. */
static void part(struct sim_call *self)
{
    struct sim_call *other = self->other;
    if (other == NULL)
        return;
    if (other->is_twin && heap_linked(&other->travel))
        other->lost = true;
    self->other = other->other = NULL;
}

static void call_free(struct sim_call *self)
{
    part(self);
    if (self->is_twin && !self->unseen) { /* it may have happened, too */
        struct oracle *oracle = journal_oracle(self->sim->journal);
        oracle_answer(oracle, self->asked, ST_UNAVAILABLE, BYTES_EMPTY);
    }
    list_remove(&self->link);
    heap_remove(&self->sim->network.deadlines, &self->deadline);
    heap_remove(&self->sim->network.expiries, &self->expiry);
    arena_release(&self->arena);
    free(self);
}

/* The client hears the end, whatever becomes of the call. */
static void tell(struct sim_call *self, const struct error *error)
{
    assert(!self->client_left);
    part(self);
    self->client_left = true;
    heap_remove(&self->sim->network.deadlines, &self->deadline);
    if (!self->unseen)
        oracle_answer(journal_oracle(self->sim->journal), self->asked, error->code,
                      error->code == ST_OK ? self->reply : BYTES_EMPTY);
    self->answered(self->sim, self->context, error, error->code == ST_OK ? self->reply : BYTES_EMPTY,
                   &self->arena);
}

static void tell_doubt(struct sim_call *self, enum status code, const char *what)
{
    struct error error;
    error_set(&error, code, "%s", what);
    tell(self, &error);
}

/* The server notices that the client is not there any more. */
static void server_notices(struct sim_call *self)
{
    if (self->server_answered || heap_linked(&self->travel) || self->call.gone || !list_linked(&self->link))
        return;
    self->call.gone = true;
    if (self->call.on_gone != NULL)
        self->call.on_gone(&self->call);
    self->sim->lanes[self->lane].woken = true;
}

/* The deadline passed, or the client hung up: the server is told, the client goes on. */
static void leave(struct sim_call *self, enum status code)
{
    server_notices(self);
    if (!self->client_left)
        tell_doubt(self, code, "simulated");
}

/* --- to the server --- */

/* At a server that does not listen: it starts, or drains. Its client hears so a little later. */
static void refuse(struct sim_call *self)
{
    struct sim *sim = self->sim;
    self->lost = true;
    heap_push(&sim->network.travelling, &self->travel, sim->now + NS_PER_MS, sim->action_count++);
}

static void arrive(struct sim_call *self)
{
    struct sim *sim = self->sim;
    if (sim->draining) {
        refuse(self);
        return;
    }
    self->lane = (unsigned)random_below(&sim->random, sim->configuration.lanes);
    self->call.deadline_ns = sim->monotonic + self->timeout;
    self->call.home = runtime_lane(sim->runtime, self->lane);
    sim_log(sim, "call %" PRIu64 "%s: %s, lane %u", self->asked, self->is_twin ? " again" : "",
            pb_methods[self->method].name.base, self->lane);
    list_append(&sim->network.served, &self->link);
    if (self->client_left)
        heap_push(&sim->network.expiries, &self->expiry, sim->now + self->timeout, sim->action_count++);
    sim->lanes[self->lane].woken = true;
    api_call(runtime_lane(sim->runtime, self->lane), &self->call);
}

static bool is_poll(unsigned method)
{
    return method == PB_METHOD_WorkflowService_PollWorkflowTaskQueue ||
           method == PB_METHOD_WorkflowService_PollActivityTaskQueue;
}

static struct sim_call *call_new(struct sim *sim, unsigned method, const void *request, int64_t timeout)
{
    static struct metadata  as_cli = { BYTES("client-name"), BYTES("temporal-cli") };
    const struct pb_method *description = &pb_methods[method];
    struct sim_call        *self = xcalloc(1, sizeof(*self));
    arena_init(&self->arena, SIZE_MAX);
    list_init(&self->link);
    heap_link_init(&self->deadline);
    heap_link_init(&self->travel);
    heap_link_init(&self->expiry);
    self->sim = sim;
    self->method = method;
    self->unseen = sim->unseen;
    self->timeout = timeout;
    self->call = (struct call){
        .path = description->path,
        .request = pb_encode_arena(description->request, request, &self->arena),
        .arena = &self->arena,
        .metadata = &as_cli,
        .metadata_count = 1,
        .operations = &call_operations,
    };
    return self;
}

/* How long the request is on its way; negative: it gets lost. */
static int64_t draw_travel(struct sim *sim, struct sim_call *self)
{
    if (sim_strikes(sim, FAULT_REQUEST_LOST)) {
        self->lost = true;
        return sim_fault_between(sim, FAULT_REQUEST_LOST, 0, 5 * NS_PER_S);
    }
    if (is_poll(self->method) && sim->network.pollers_gone_until > sim->now)
        return sim->network.pollers_gone_until - sim->now;
    if (is_poll(self->method) && sim_strikes(sim, FAULT_POLLER_SLOW))
        return sim_fault_between(sim, FAULT_POLLER_SLOW, NS_PER_S, 60 * NS_PER_S);
    if (sim_strikes(sim, FAULT_REQUEST_DELAYED))
        return sim_fault_between(sim, FAULT_REQUEST_DELAYED, 0, 3 * NS_PER_S);
    return 0;
}

static void travel(struct sim_call *self, int64_t duration)
{
    if (duration == 0)
        arrive(self);
    else
        heap_push(&self->sim->network.travelling, &self->travel, self->sim->now + duration,
                  self->sim->action_count++);
}

void sim_send(struct sim *sim, unsigned method, const void *request, int64_t timeout, sim_answered *answered,
              void *context)
{
    if (sim_strikes(sim, FAULT_DEADLINE_SHORT))
        timeout = sim_fault_between(sim, FAULT_DEADLINE_SHORT, NS_PER_US, 30 * NS_PER_MS);
    struct sim_call *self = call_new(sim, method, request, timeout);
    int64_t          duration = draw_travel(sim, self);
    self->answered = answered;
    self->context = context;
    if (!self->unseen)
        self->asked = oracle_call(journal_oracle(sim->journal), method, self->call.request);
    if (is_poll(method)) /* a slow poller polls later, no shorter */
        timeout += duration;
    heap_push(&sim->network.deadlines, &self->deadline, sim->now + timeout, sim->action_count++);
    if (!self->lost && sim_strikes(sim, FAULT_REQUEST_DUPLICATED)) {
        struct sim_call *twin = call_new(sim, method, request, timeout);
        twin->client_left = twin->is_twin = self->has_twin = true;
        if (!twin->unseen)
            twin->asked = oracle_call(journal_oracle(sim->journal), method, twin->call.request);
        twin->other = self;
        self->other = twin;
        travel(twin, sim_fault_between(sim, FAULT_REQUEST_DUPLICATED, NS_PER_US, NS_PER_S));
    }
    travel(self, duration);
}

bool sim_network_arrive(struct sim *sim)
{
    struct heap_link *first = heap_first(&sim->network.travelling);
    if (first == NULL || first->due > sim->now)
        return false;
    struct sim_call *self = CONTAINER_OF(first, struct sim_call, travel);
    heap_remove(&sim->network.travelling, &self->travel);
    bool given_up = self->client_left && !self->is_twin; /* whoever gives a call up takes it back */
    if (!self->lost && !given_up) {
        arrive(self);
        return true;
    }
    if (!self->client_left)
        tell_doubt(self, ST_UNAVAILABLE, "the request was lost");
    call_free(self);
    return true;
}

/* --- to the client --- */

static struct sim_call *draw_answer(struct sim *sim)
{
    struct list *answered = &sim->network.answered;
    size_t       count = 0;
    struct list *picked = answered->next;
    if (sim_strikes(sim, FAULT_REPLIES_REORDERED)) {
        LIST_FOR_EACH (self, answered, struct sim_call, link)
            if (sim_fault_between(sim, FAULT_REPLIES_REORDERED, 0, (int64_t)count++) == 0)
                picked = &self->link;
    }
    return LIST_ENTRY(picked, struct sim_call, link);
}

bool sim_network_deliver(struct sim *sim)
{
    const struct heap_link *first = heap_first(&sim->network.returning);
    if (first != NULL && first->due <= sim->now) {
        struct sim_call *late = CONTAINER_OF(first, struct sim_call, travel);
        heap_remove(&sim->network.returning, &late->travel);
        list_append(&sim->network.answered, &late->link);
    }
    if (list_empty(&sim->network.answered))
        return false;
    struct sim_call *self = draw_answer(sim);
    list_remove(&self->link);
    sim_trace(sim, 1000 + self->error.code);
    sim_trace(sim, hash_bytes(self->reply));
    if (!self->client_left) {
        if (sim_strikes(sim, FAULT_REPLY_LOST))
            tell_doubt(self, ST_UNAVAILABLE, "the reply was lost");
        else if (self->has_twin && self->error.code != ST_OK) /* it may be for what the other one did */
            tell_doubt(self, ST_UNAVAILABLE, "answered twice");
        else
            tell(self, &self->error);
    }
    call_free(self);
    return true;
}

/* One of the clients that wait. */
static struct sim_call *draw_client(struct sim *sim, enum sim_fault kind)
{
    const struct heap *waiting = &sim->network.deadlines;
    size_t             index = (size_t)sim_fault_between(sim, kind, 0, (int64_t)waiting->count - 1);
    return CONTAINER_OF(waiting->members[index], struct sim_call, deadline);
}

/* The connections of a lane, or (SIM_LANES_MAX) of all. Who hears of it may call again at once. */
static void cut_connections(struct sim *sim, unsigned lane)
{
    struct list cut;
    list_init(&cut);
    LIST_FOR_EACH (self, &sim->network.served, struct sim_call, link) {
        if (lane == SIM_LANES_MAX || self->lane == lane) {
            list_remove(&self->link);
            list_append(&cut, &self->link);
        }
    }
    for (struct list *at; (at = list_take_first(&cut)) != NULL;) {
        list_append(&sim->network.served, at);
        leave(LIST_ENTRY(at, struct sim_call, link), ST_UNAVAILABLE);
    }
}

static void vanish(struct sim *sim)
{
    struct sim_call *self = draw_client(sim, FAULT_CLIENT_VANISHED);
    if (!self->server_answered && !heap_linked(&self->travel))
        heap_push(&sim->network.expiries, &self->expiry, self->deadline.due, sim->action_count++);
    tell_doubt(self, ST_UNAVAILABLE, "the network was lost");
}

bool sim_network_leave(struct sim *sim)
{
    struct heap_link *first = heap_first(&sim->network.expiries);
    if (first != NULL && first->due <= sim->now) {
        heap_remove(&sim->network.expiries, first);
        server_notices(CONTAINER_OF(first, struct sim_call, expiry));
        return true;
    }
    first = heap_first(&sim->network.deadlines);
    if (first == NULL)
        return false;
    if (first->due <= sim->now) {
        leave(CONTAINER_OF(first, struct sim_call, deadline), ST_DEADLINE_EXCEEDED);
        return true;
    }
    if (sim_strikes(sim, FAULT_CLIENT_GONE))
        leave(draw_client(sim, FAULT_CLIENT_GONE), ST_CANCELLED);
    else if (sim_strikes(sim, FAULT_CLIENT_VANISHED))
        vanish(sim);
    else if (sim_strikes(sim, FAULT_CONNECTIONS_CUT))
        cut_connections(sim, (unsigned)sim_fault_between(sim, FAULT_CONNECTIONS_CUT, 0,
                                                         sim->configuration.lanes - 1));
    else
        return false;
    return true;
}

void sim_network_turn(struct sim *sim)
{
    if (sim_strikes(sim, FAULT_POLLERS_GONE))
        sim->network.pollers_gone_until = sim->now +
                                          sim_fault_between(sim, FAULT_POLLERS_GONE, NS_PER_S, 60 * NS_PER_S);
}

static int64_t due_of(const struct heap *heap)
{
    const struct heap_link *first = heap_first(heap);
    return first == NULL ? TIME_NEVER : first->due;
}

int64_t sim_network_due(const struct sim *sim)
{
    int64_t due = MIN(due_of(&sim->network.deadlines), due_of(&sim->network.expiries));
    due = MIN(due, due_of(&sim->network.travelling));
    return MIN(due, due_of(&sim->network.returning));
}

bool sim_network_arrives(const struct sim *sim)
{
    return due_of(&sim->network.travelling) <= sim->now;
}

bool sim_network_returns(const struct sim *sim)
{
    return !list_empty(&sim->network.answered) || due_of(&sim->network.returning) <= sim->now;
}

bool sim_network_serves(const struct sim *sim)
{
    return !list_empty(&sim->network.served);
}

static bool is_long_poll(const struct sim_call *self)
{
    return is_poll(self->method) || self->method == PB_METHOD_WorkflowService_GetWorkflowExecutionHistory ||
           self->method == PB_METHOD_WorkflowService_UpdateWorkflowExecution ||
           self->method == PB_METHOD_WorkflowService_PollWorkflowExecutionUpdate;
}

bool sim_network_only_polls(const struct sim *sim)
{
    LIST_FOR_EACH (self, &sim->network.served, struct sim_call, link)
        if (!is_long_poll(self))
            return false;
    return list_empty(&sim->network.answered) && sim->network.travelling.count == 0 &&
           sim->network.returning.count == 0;
}

bool sim_network_is_empty(const struct sim *sim)
{
    const struct sim_network *network = &sim->network;
    return list_empty(&network->served) && list_empty(&network->answered) && network->travelling.count == 0 &&
           network->returning.count == 0 && network->deadlines.count == 0 && network->expiries.count == 0;
}

void sim_network_under_way(const struct sim *sim, uint64_t hit[][SIM_FAULT_COUNT], enum sim_fault kind)
{
    LIST_FOR_EACH (self, &sim->network.served, struct sim_call, link)
        hit[self->method][kind]++;
    LIST_FOR_EACH (self, &sim->network.answered, struct sim_call, link)
        hit[self->method][kind]++;
    for (size_t i = 0; i < sim->network.travelling.count; i++)
        hit[CONTAINER_OF(sim->network.travelling.members[i], struct sim_call, travel)->method][kind]++;
    for (size_t i = 0; i < sim->network.returning.count; i++)
        hit[CONTAINER_OF(sim->network.returning.members[i], struct sim_call, travel)->method][kind]++;
}

/* --- the end of a process --- */

/* Some of the answers that were out reach their clients all the same. */
void sim_network_crash(struct sim *sim, struct list *ret_broken)
{
    LIST_FOR_EACH (self, &sim->network.answered, struct sim_call, link) {
        if (sim_chance(sim, 0.5)) {
            list_remove(&self->link);
            list_append(ret_broken, &self->link);
        }
    }
    list_splice(ret_broken, &sim->network.served);
}

void sim_network_break(struct list *broken)
{
    for (struct list *at; (at = list_take_first(broken)) != NULL;) {
        struct sim_call *self = LIST_ENTRY(at, struct sim_call, link);
        if (!self->client_left)
            tell_doubt(self, ST_UNAVAILABLE, "connection reset");
        call_free(self);
    }
}

void sim_network_close(struct sim *sim)
{
    cut_connections(sim, SIM_LANES_MAX);
}

void sim_network_init(struct sim_network *network)
{
    list_init(&network->served);
    list_init(&network->answered);
    heap_init(&network->deadlines);
    heap_init(&network->expiries);
    heap_init(&network->travelling);
    heap_init(&network->returning);
}

static void release_travellers(struct heap *heap)
{
    for (struct heap_link *first; (first = heap_first(heap)) != NULL;) {
        struct sim_call *self = CONTAINER_OF(first, struct sim_call, travel);
        heap_remove(heap, first);
        call_free(self);
    }
    heap_release(heap);
}

void sim_network_release(struct sim_network *network)
{
    struct list rest;
    list_init(&rest);
    list_splice(&rest, &network->served);
    list_splice(&rest, &network->answered);
    for (struct list *at; (at = list_take_first(&rest)) != NULL;)
        call_free(LIST_ENTRY(at, struct sim_call, link));
    release_travellers(&network->travelling);
    release_travellers(&network->returning);
    heap_release(&network->deadlines);
    heap_release(&network->expiries);
}
