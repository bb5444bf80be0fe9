/* errand.c: one request, repeated with the same content until its outcome is known, as an SDK's client does. */
#include <stdio.h>

#include "actors.h"

struct errand {
    struct sim  *sim;
    unsigned     method;
    const void  *request;
    uint32_t     codes;
    errand_done *done;
    void        *context;
};

static void errand_send(struct sim *sim, void *context);

static void errand_answered(struct sim *sim, void *context, const struct error *error, struct bytes reply,
                            struct arena *arena)
{
    struct errand          *self = context;
    const struct pb_method *method = &pb_methods[self->method];
    struct error            bad;
    void                   *response = NULL;
    if (sim_try_again(error) && (self->codes & CODE(error->code)) == 0) {
        /* What took so long is waited for. */
        if (error->code == ST_DEADLINE_EXCEEDED)
            sim_later_routine(sim, sim_backoff(sim), errand_send, self);
        else
            sim_later(sim, sim_backoff(sim), errand_send, self);
        return;
    }
    if (error->code == ST_OK) {
        response = arena_must(arena_zalloc(arena, 1, (size_t)method->response->size + 1));
        if (pb_decode(method->response, reply, arena, response, &bad) != ST_OK) {
            sim_fail(sim, "the answer of %.*s does not decode: %s", BYTES_FMT(method->name), bad.message);
            return;
        }
    } else if ((self->codes & CODE(error->code)) == 0) {
        sim_fail(sim, "%.*s: %s %s", BYTES_FMT(method->name), status_name(error->code), error->message);
        return;
    }
    if (self->done != NULL)
        self->done(sim, self->context, error, response);
}

static void errand_send(struct sim *sim, void *context)
{
    struct errand *self = context;
    sim_send(sim, self->method, self->request, RPC_NS, errand_answered, self);
}

const void *errand_keep(struct sim *sim, const void *request, size_t size)
{
    return arena_copy(&actors_of(sim)->arena, bytes_of(request, size)).base;
}

void errand_run(struct sim *sim, unsigned method, const void *request, uint32_t codes, errand_done *done,
                void *context)
{
    struct errand *self = NEW(sim, struct errand);
    *self = (struct errand){ sim, method, request, codes, done, context };
    errand_send(sim, self);
}
