/* network.c: calls on their way to the server and back, and what becomes of them there.
 *
 * A client that has been told an end (a reply, a deadline, a broken connection) goes on; the server may still be at work on
 * its call. What the client hears in doubt is UNAVAILABLE, DEADLINE_EXCEEDED or CANCELLED: it may have happened.
 */
#include "sim.h"

struct sim_call {
    struct call      call;
    struct arena     arena;
    struct list      link; /* in served or answered */
    struct heap_link deadline;
    struct sim      *sim;
    unsigned         method, lane;
    uint64_t         asked; /* the oracle's number */
    sim_answered    *answered;
    void            *context;
    bool             client_left, server_answered;
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
    sim->statistics->answers[self->method][self->error.code]++;
    list_remove(&self->link);
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

static void call_free(struct sim_call *self)
{
    list_remove(&self->link);
    heap_remove(&self->sim->network.deadlines, &self->deadline);
    arena_release(&self->arena);
    free(self);
}

/* The client hears the end, whatever becomes of the call. */
static void tell(struct sim_call *self, const struct error *error)
{
    assert(!self->client_left);
    self->client_left = true;
    heap_remove(&self->sim->network.deadlines, &self->deadline);
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

/* The deadline passed, or the client hung up: the server is told, the client goes on. */
static void leave(struct sim_call *self, enum status code)
{
    if (!self->server_answered) {
        self->call.gone = true;
        if (self->call.on_gone != NULL)
            self->call.on_gone(&self->call);
        self->sim->lanes[self->lane].woken = true;
    }
    tell_doubt(self, code, "simulated");
}

void sim_send(struct sim *sim, unsigned method, const void *request, int64_t timeout, sim_answered *answered,
              void *context)
{
    static struct metadata  as_cli = { BYTES("client-name"), BYTES("temporal-cli") };
    const struct pb_method *description = &pb_methods[method];
    struct sim_call        *self = xcalloc(1, sizeof(*self));
    arena_init(&self->arena, SIZE_MAX);
    self->sim = sim;
    self->method = method;
    self->answered = answered;
    self->context = context;
    self->lane = (unsigned)random_below(&sim->random, sim->configuration.lanes);
    self->call = (struct call){
        .path = description->path,
        .request = pb_encode_arena(description->request, request, &self->arena),
        .arena = &self->arena,
        .metadata = &as_cli,
        .metadata_count = 1,
        .deadline_ns = sim->monotonic + timeout,
        .home = runtime_lane(sim->runtime, self->lane),
        .operations = &call_operations,
    };
    self->asked = oracle_call(journal_oracle(sim->journal), method, self->call.request);
    list_init(&self->link);
    list_append(&sim->network.served, &self->link);
    heap_link_init(&self->deadline);
    heap_push(&sim->network.deadlines, &self->deadline, sim->now + timeout, sim->action_count++);
    sim->lanes[self->lane].woken = true;
    api_call(runtime_lane(sim->runtime, self->lane), &self->call);
}

bool sim_network_deliver(struct sim *sim)
{
    if (list_empty(&sim->network.answered))
        return false;
    struct sim_call *self = LIST_ENTRY(list_take_first(&sim->network.answered), struct sim_call, link);
    sim_trace(sim, 1000 + self->error.code);
    if (!self->client_left) {
        if (sim_strikes(sim, FAULT_REPLY_LOST))
            tell_doubt(self, ST_UNAVAILABLE, "the reply was lost");
        else
            tell(self, &self->error);
    }
    call_free(self);
    return true;
}

/* One of those that wait. */
static struct sim_call *draw_client(struct sim *sim)
{
    const struct heap *waiting = &sim->network.deadlines;
    if (waiting->count == 0)
        return NULL;
    return CONTAINER_OF(waiting->members[random_below(&sim->random, waiting->count)], struct sim_call,
                        deadline);
}

bool sim_network_leave(struct sim *sim)
{
    const struct heap_link *first = heap_first(&sim->network.deadlines);
    if (first == NULL)
        return false;
    if (first->due <= sim->now) {
        leave(CONTAINER_OF(first, struct sim_call, deadline), ST_DEADLINE_EXCEEDED);
        return true;
    }
    if (sim_strikes(sim, FAULT_CLIENT_GONE)) {
        leave(draw_client(sim), ST_CANCELLED);
        return true;
    }
    return false;
}

int64_t sim_network_due(const struct sim *sim)
{
    const struct heap_link *first = heap_first(&sim->network.deadlines);
    return first == NULL ? TIME_NEVER : first->due;
}

void sim_network_under_way(const struct sim *sim, uint64_t hit[][SIM_FAULT_COUNT], enum sim_fault kind)
{
    LIST_FOR_EACH (self, &sim->network.served, struct sim_call, link)
        hit[self->method][kind]++;
    LIST_FOR_EACH (self, &sim->network.answered, struct sim_call, link)
        hit[self->method][kind]++;
}

/* What the dead process was at work on; the new one hears nothing of it. */
void sim_network_crash(struct sim *sim, struct list *ret_broken)
{
    list_splice(ret_broken, &sim->network.answered);
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

void sim_network_init(struct sim_network *network)
{
    list_init(&network->served);
    list_init(&network->answered);
    heap_init(&network->deadlines);
}

void sim_network_release(struct sim_network *network)
{
    struct list rest;
    list_init(&rest);
    list_splice(&rest, &network->served);
    list_splice(&rest, &network->answered);
    for (struct list *at; (at = list_take_first(&rest)) != NULL;)
        call_free(LIST_ENTRY(at, struct sim_call, link));
    heap_release(&network->deadlines);
}
