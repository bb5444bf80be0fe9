/* actors.c: the simulated clients and workers as a whole: what they are to do, and whether it is done.
 *
 * A workflow's program is a list of steps drawn from the seed and its number: activities in parallel, a timer, waiting for
 * signals, children in parallel; its runs follow each other by continue-as-new. A child signals its parent, hears that it
 * arrived, and completes. A worker decides from events alone, as an SDK's replay would.
 */
#include <stdio.h>

#include "actors.h"

struct actors *actors_of(struct sim *sim)
{
    return sim->actors;
}

struct bytes sim_text(struct sim *sim, const char *from)
{
    return arena_copy(&actors_of(sim)->arena, bytes_of_text(from));
}

struct taskqueue_TaskQueue *sim_queue(struct sim *sim, const char *name, bool sticky)
{
    struct taskqueue_TaskQueue *queue_ = NEW(sim, struct taskqueue_TaskQueue);
    queue_->name = sim_text(sim, name);
    queue_->kind = sticky ? enums_TASK_QUEUE_KIND_STICKY : enums_TASK_QUEUE_KIND_NORMAL;
    if (sticky)
        queue_->normal_name = BYTES(SIM_QUEUE);
    return queue_;
}

struct bytes sim_payloads(struct sim *sim, const char *data)
{
    struct arena          *arena = &actors_of(sim)->arena;
    struct common_Payload  payload = { .data = sim_text(sim, data) };
    struct bytes          *one = NEW(sim, struct bytes);
    struct common_Payloads all = { .payloads = one, .payloads_count = 1 };
    *one = pb_encode_arena(&pb_common_Payload, &payload, arena);
    return pb_encode_arena(&pb_common_Payloads, &all, arena);
}

struct common_WorkflowExecution *sim_execution(struct sim *sim, struct bytes workflow_id, struct bytes run_id)
{
    struct common_WorkflowExecution *one = NEW(sim, struct common_WorkflowExecution);
    one->workflow_id = workflow_id;
    one->run_id = run_id;
    return one;
}

bool sim_try_again(const struct error *error)
{
    return error->code == ST_UNAVAILABLE || error->code == ST_DEADLINE_EXCEEDED ||
           error->code == ST_CANCELLED || error->code == ST_RESOURCE_EXHAUSTED || error->code == ST_INTERNAL;
}

int64_t sim_backoff(struct sim *sim)
{
    return sim_between(sim, NS_PER_MS, 500 * NS_PER_MS);
}

struct work *work_of(struct sim *sim, struct bytes workflow_id)
{
    struct actors *actors = actors_of(sim);
    for (size_t i = 0; i < actors->work_count; i++) {
        if (bytes_equal_text(workflow_id, actors->works[i].id))
            return &actors->works[i];
    }
    return NULL;
}

bool has_feature(const struct sim *sim, enum sim_feature feature)
{
    return (sim->actors->features & (UINT64_C(1) << feature)) != 0;
}

static void draw_work(struct sim *sim, struct work *work, unsigned number)
{
    work->sim = sim;
    work->number = number;
    snprintf(work->id, sizeof(work->id), "workflow-%u", number);
    /* A client's retry of a signal is recognised by the run it reached; so these do not continue as new. */
    bool takes_signals = sim_chance(sim, 0.5);
    work->signals = takes_signals ? (unsigned)sim_between(sim, 1, SIM_SIGNALS_MAX) : 0;
    work->generations = takes_signals ? 1 : (unsigned)sim_between(sim, 1, 3);
    for (unsigned i = 0; i < work->signals; i++)
        snprintf(work->signal[i].request_id, sizeof(work->signal[i].request_id), "%s-%u", work->id, i);
    work->operation_count = (size_t)sim_between(sim, 0, SIM_OPS_MAX);
    for (size_t i = 0; i < work->operation_count; i++) {
        struct operation *operation = &work->operations[i];
        operation->kind = (enum operation_kind)sim_between(sim, 0,
                                                           takes_signals ? OPERATION_SIGNALS
                                                                         : OPERATION_CHILDREN);
        operation->count = operation->kind == OPERATION_SIGNALS ? sim_between(sim, 1, work->signals)
                                                                : sim_between(sim, 1, 3);
        operation->duration = sim_chance(sim, 0.5) ? sim_between(sim, 1, NS_PER_S)
                                                   : sim_between(sim, NS_PER_S, 30 * NS_PER_S);
    }
}

void actors_start(struct sim *sim)
{
    struct actors *actors = xcalloc(1, sizeof(*actors));
    sim->actors = actors;
    actors->sim = sim;
    arena_init(&actors->arena, SIZE_MAX);
    actors->features = random_next(&sim->random);
    actors->work_count = sim->configuration.workflows;
    actors->works = xcalloc(actors->work_count, sizeof(struct work));
    for (unsigned i = 0; i < actors->work_count; i++) {
        draw_work(sim, &actors->works[i], i);
        sim_later(sim, sim_between(sim, 0, sim->configuration.busy ? 100 * NS_PER_MS : 10 * NS_PER_S),
                  client_start, &actors->works[i]);
    }
    for (unsigned i = 0; i < sim->configuration.workflow_workers; i++)
        new_worker(sim, SIM_QUEUE, false, false);
    for (unsigned i = 0; i < sim->configuration.sticky_workers; i++) {
        char name[24];
        snprintf(name, sizeof(name), "sticky-%u", i);
        new_worker(sim, name, true, false);
    }
    for (unsigned i = 0; i < sim->configuration.activity_workers; i++)
        new_worker(sim, SIM_QUEUE, false, true);
    visitors_start(sim);
}

bool actors_finished(struct sim *sim, bool explain)
{
    struct actors *actors = actors_of(sim);
    bool           finished = operators_finished(sim) && visitors_finished(sim);
    for (size_t i = 0; i < actors->work_count; i++) {
        struct work *work = &actors->works[i];
        bool         settled = work->closed;
        for (unsigned at = 0; at < work->signals; at++)
            settled = settled && (work->signal[at].acknowledged || work->signal[at].refused);
        if (explain && !settled)
            sim_log(sim, "%s: started=%d closed=%d", work->id, work->started, work->closed);
        finished = finished && settled;
    }
    return finished;
}

void actors_free(struct sim *sim)
{
    arena_release(&sim->actors->arena);
    free(sim->actors->works);
    free(sim->actors);
}
