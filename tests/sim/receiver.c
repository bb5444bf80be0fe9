/* receiver.c: who is told by HTTP how a workflow has ended: takes completion callbacks, refuses some, and loses some answers.
 *
 *      the server sends -> on its way, or lost -> received: noted, compared -> answered -> on its way back, or lost
 *
 * A callback arrives at least once after its workflow has ended, each time with the same content, which says what history
 * says. Once an answer is on disk it does not come again; when it comes again is not before its back-off.
 */
#include <stdio.h>

#include "actors.h"
#include "base/hash.h"

#define URL_PREFIX   "http://receiver.test/callback/"
#define FAST_MAX_NS  (20 * NS_PER_MS)
#define SLOW_MAX_NS  (15 * NS_PER_S)   /* more than the server waits for */
#define FIRST_OFF_NS (700 * NS_PER_MS) /* of 1 s, at least 0.8 s; and clocks that differ a little */

/* One request; it goes on its way whatever becomes of the process that sent it. */
struct delivery {
    struct list      link; /* while the server waits */
    struct sim      *sim;
    struct lane     *lane;
    struct outbound *outbound; /* NULL: nobody waits for the answer any more */
    struct work     *work;
    struct bytes     state;
    uint64_t         content;
    int              status; /* of the answer; 0: none comes */
};

/* --- the answer --- */

static void forget(struct delivery *self)
{
    self->outbound = NULL;
    list_remove(&self->link);
}

static void answer(struct sim *sim, void *context)
{
    struct delivery *self = context;
    struct outbound *outbound = self->outbound;
    if (outbound == NULL)
        return;
    forget(self);
    outbound->status = self->status;
    outbound->retryable = -1;
    if (self->status == 0)
        error_set(&outbound->error, ST_UNAVAILABLE, "simulated");
    sim->lanes[lane_index(self->lane)].woken = true;
    lane_tell_time(self->lane);
    outbound->done(outbound);
}

static void answer_later(struct delivery *self)
{
    struct sim *sim = self->sim;
    int64_t     delay = sim_between(sim, 0, FAST_MAX_NS);
    if (sim_strikes(sim, FAULT_CALLBACK_ANSWER_LOST))
        self->status = 0;
    if (sim_strikes(sim, FAULT_CALLBACK_SLOW))
        delay = sim_fault_between(sim, FAULT_CALLBACK_SLOW, NS_PER_S, SLOW_MAX_NS);
    sim_later(sim, delay, answer, self);
}

/* --- the request --- */

/* Whether what the server notes of an attempt may be lost with its row left as it was, which is sent again at once. */
static bool may_forget(const struct sim *sim)
{
    static const enum sim_fault kinds[] = {
        FAULT_STORE_LOST_FENCE,   FAULT_STORE_REFUSED, FAULT_STORE_REFUSED_GROUP, FAULT_STORE_FULL,
        FAULT_STORE_FULL_BALLAST, FAULT_READ_ERROR,    FAULT_READ_ERRORS,         FAULT_READ_CORRUPT,
    };
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        if (sim_may_strike(sim, kinds[i]))
            return true;
    return false;
}

static void check_again(struct sim *sim, const struct callback *callback)
{
    if (callback->boots == sim->statistics->boots && callback->refused_at != 0 && !may_forget(sim) &&
        callback->forward == sim->forward && sim->now < callback->refused_at + FIRST_OFF_NS)
        sim_violated(sim, "E1 callback-soon", "a callback came again %.3f s after it was refused",
                     (double)(sim->now - callback->refused_at) / 1e9);
    /* A fault of before, such as an unknown outcome on its way, may end the process when no new ones strike. */
    if (callback->taken_calmly && callback->boots == sim->statistics->boots)
        sim_violated(sim, "E1 callback-again", "a callback came again after it was taken, and no fault");
}

static void arrive(struct sim *sim, void *context)
{
    struct delivery *self = context;
    struct callback *callback = &self->work->callback;
    check_again(sim, callback);
    if (callback->arrivals++ != 0 && callback->content != self->content)
        sim_violated(sim, "E1 callback-differs", "%s: arrival %u has another content than the first",
                     self->work->id, callback->arrivals);
    callback->content = self->content;
    callback->state = self->state;
    self->status = 200;
    callback->refused_at = 0;
    if (sim_strikes(sim, FAULT_CALLBACK_REFUSED)) {
        self->status = sim_fault_between(sim, FAULT_CALLBACK_REFUSED, 0, 1) == 0 ? 500 : 503;
        callback->refused_at = self->outbound != NULL ? sim->now : 0; /* else nobody hears of it */
        callback->forward = sim->forward;
    } else if (sim_strikes(sim, FAULT_CALLBACK_REFUSED_FOR_GOOD)) {
        self->status = 400;
    }
    callback->boots = sim->statistics->boots;
    callback->is_over = callback->is_over || self->status == 200 || self->status == 400;
    callback->taken_calmly = self->status == 200 && !sim->faulty && self->outbound != NULL;
    sim_log(sim, "callback of %s: %d", self->work->id, self->status);
    answer_later(self);
}

static struct bytes header_of(const struct outbound *outbound, const char *name)
{
    for (size_t i = 0; i < outbound->header_count; i++)
        if (bytes_equal_text(outbound->headers[i].name, name))
            return outbound->headers[i].value;
    return BYTES_EMPTY;
}

static uint64_t content_of(const struct outbound *outbound)
{
    uint64_t hash = hash_bytes(outbound->body);
    for (size_t i = 0; i < outbound->header_count; i++)
        hash = hash_combine(hash_combine(hash, hash_bytes(outbound->headers[i].name)),
                            hash_bytes(outbound->headers[i].value));
    return hash;
}

static void send(void *context, struct lane *lane, struct outbound *outbound)
{
    struct sim      *sim = context;
    struct delivery *self = NEW(sim, struct delivery);
    struct bytes     id = header_of(outbound, "workflow");
    *self = (struct delivery){ .sim = sim, .lane = lane, .outbound = outbound, .work = work_of(sim, id) };
    list_init(&self->link);
    outbound->transfer = self;
    if (self->work == NULL || !self->work->callback.is_wanted ||
        !bytes_equal(outbound->url, callback_url(sim, self->work))) {
        sim_violated(sim, "E1 callback-unasked", "a callback to %.*s that nobody asked for",
                     BYTES_FMT(outbound->url));
        return;
    }
    list_append(&sim->deliveries, &self->link);
    if (!sim_leaves(sim))
        return;
    self->state = arena_copy(&actors_of(sim)->arena, header_of(outbound, "nexus-operation-state"));
    self->content = content_of(outbound);
    if (sim_strikes(sim, FAULT_CALLBACK_LOST))
        sim_later(sim, sim_fault_between(sim, FAULT_CALLBACK_LOST, 0, 10 * NS_PER_S), answer, self);
    else
        sim_later(sim, sim_between(sim, 0, FAST_MAX_NS), arrive, self);
}

static void cancel(void *context UNUSED, struct lane *lane UNUSED, struct outbound *outbound)
{
    struct delivery *self = outbound->transfer;
    if (self != NULL && self->outbound == outbound)
        forget(self);
}

/* --- */

struct outbound_sender receiver_sender(struct sim *sim)
{
    return (struct outbound_sender){ .send = sim->callbacks ? send : NULL, .cancel = cancel, .context = sim };
}

void receiver_crash(struct sim *sim)
{
    LIST_FOR_EACH (delivery, &sim->deliveries, struct delivery, link)
        forget(delivery);
}

struct bytes callback_url(struct sim *sim, const struct work *work)
{
    return arena_printf(&actors_of(sim)->arena, URL_PREFIX "%s?token=%u", work->id, work->number * 7919);
}

struct bytes callback_encoded(struct sim *sim, const struct work *work)
{
    struct common_Callback_Nexus_HeaderEntry header = { BYTES("Workflow"), bytes_of_text(work->id) };
    struct common_Callback_Nexus             nexus = { callback_url(sim, work), &header, 1 };
    struct common_Callback                   callback = { .variant_case = 2, .nexus = &nexus };
    return pb_encode_arena(&pb_common_Callback, &callback, &actors_of(sim)->arena);
}

/* `status` of the run whose end is the workflow's. */
void callback_check(struct sim *sim, const struct work *work, int32_t status)
{
    const struct callback *callback = &work->callback;
    const char            *expected = status == enums_WORKFLOW_EXECUTION_STATUS_COMPLETED  ? "succeeded"
                                      : status == enums_WORKFLOW_EXECUTION_STATUS_CANCELED ? "canceled"
                                                                                           : "failed";
    if (callback->is_wanted && !bytes_equal_text(callback->state, expected))
        sim_violated(sim, "E1 callback-wrong", "%s ended with status %d, and its callback said '%.*s'",
                     work->id, status, BYTES_FMT(callback->state));
}
