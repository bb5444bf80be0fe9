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

struct bytes sim_failure(struct sim *sim, const char *message, bool for_good)
{
    struct failure_ApplicationFailureInfo information = { .type = BYTES("Simulated"),
                                                          .non_retryable = for_good };
    struct failure_Failure                failure = { .message = bytes_of_text(message),
                                                      .failure_info_case = 5,
                                                      .application_failure_info = &information };
    return pb_encode_arena(&pb_failure_Failure, &failure, &actors_of(sim)->arena);
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
           error->code == ST_CANCELLED || error->code == ST_RESOURCE_EXHAUSTED ||
           error->code == ST_INTERNAL || error->code == ST_DATA_LOSS;
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
    return (sim->actors->features & (UINT64_C(1) << feature)) != 0 && !sim->options->without_feature[feature];
}

/* The attribute that workflows set has to be known before the first of them runs. */
static void prepared(struct sim *sim, void *context UNUSED, const struct error *error UNUSED,
                     const void *response UNUSED)
{
    struct actors *actors = actors_of(sim);
    for (unsigned i = 0; i < actors->work_count; i++)
        sim_later(sim, sim_between(sim, 0, sim->configuration.busy ? 100 * NS_PER_MS : 10 * NS_PER_S),
                  client_start, &actors->works[i]);
    visitors_start(sim);
    tinkerers_start(sim);
    rivals_start(sim);
    shadows_start(sim);
}

static void prepare(struct sim *sim, void *context UNUSED)
{
    struct operatorservice_AddSearchAttributesRequest *request =
        NEW(sim, struct operatorservice_AddSearchAttributesRequest);
    request->namespace = BYTES("default");
    request->search_attributes = NEW(sim,
                                     struct operatorservice_AddSearchAttributesRequest_SearchAttributesEntry);
    request->search_attributes_count = 1;
    request->search_attributes[0].key = BYTES("Step");
    request->search_attributes[0].value = enums_INDEXED_VALUE_TYPE_INT;
    errand_run(sim, PB_METHOD_OperatorService_AddSearchAttributes, request, CODE(ST_ALREADY_EXISTS), prepared,
               NULL);
}

void actors_start(struct sim *sim)
{
    struct actors *actors = xcalloc(1, sizeof(*actors));
    sim->actors = actors;
    actors->sim = sim;
    arena_init(&actors->arena, SIZE_MAX);
    actors->features = random_next(&sim->random);
    /* Who delivers callbacks looks for them every few seconds. */
    sim->patient = has_feature(sim, FEATURE_PATIENCE) && sim->options->disk == NULL && !sim->callbacks;
    actors->work_count = sim->configuration.workflows;
    actors->works = xcalloc(actors->work_count, sizeof(struct work));
    for (unsigned i = 0; i < actors->work_count; i++)
        work_draw(sim, &actors->works[i], i);
    sim_later(sim, 0, prepare, NULL);
    for (unsigned i = 0; i < sim->configuration.workflow_workers; i++)
        new_worker(sim, SIM_QUEUE, false, false);
    for (unsigned i = 0; i < sim->configuration.sticky_workers; i++) {
        char name[24];
        snprintf(name, sizeof(name), "sticky-%u", i);
        new_worker(sim, name, true, false);
    }
    for (unsigned i = 0; i < sim->configuration.activity_workers; i++)
        new_worker(sim, SIM_QUEUE, false, true);
}

bool actors_finished(struct sim *sim, bool explain)
{
    struct actors *actors = actors_of(sim);
    bool           finished = operators_finished(sim) && visitors_finished(sim) && tinkerers_finished(sim) &&
                    rivals_finished(sim) && shadows_finished(sim);
    for (size_t i = 0; i < actors->work_count; i++) {
        struct work *work = &actors->works[i];
        bool         settled = work->closed && work->interventions == 0 &&
                       (!work->callback.is_wanted || work->callback.is_over);
        for (unsigned at = 0; at < work->signals; at++)
            settled = settled && (work->signal[at].acknowledged || work->signal[at].refused);
        for (unsigned at = 0; at < work->update_count; at++)
            settled = settled && work->updates[at].settled;
        if (explain && !settled)
            sim_log(sim, "%s: fate %d, started=%d closed=%d interventions=%u callback=%d", work->id,
                    work->fate, work->started, work->closed, work->interventions, work->callback.is_over);
        finished = finished && settled;
    }
    return finished;
}

void actors_free(struct sim *sim)
{
    audit_free(sim->actors->audit);
    arena_release(&sim->actors->arena);
    free(sim->actors->works);
    free(sim->actors);
}
