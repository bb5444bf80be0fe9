/* tinkerers.c: simulated operators who change the options of workflows and of their activities, and set activities back.
 *
 * They keep to workflows that are not exact: what attempts an activity has is up to them then.
 */
#include <stdio.h>

#include "actors.h"

#define ROUNDS_MAX 12

struct tinkerer {
    struct sim  *sim;
    struct work *work; /* of this round */
    unsigned     rounds;
};

static void tinker(struct sim *sim, void *context);

static void tinkered(struct sim *sim, void *context, const struct error *error UNUSED,
                     const void *response UNUSED)
{
    struct tinkerer *self = context;
    if (--self->rounds != 0)
        sim_later(sim, sim_between(sim, 0, 5 * NS_PER_S), tinker, self);
}

static struct common_WorkflowExecution *its_execution(const struct tinkerer *self)
{
    return sim_execution(self->sim, bytes_of_text(self->work->id), BYTES_EMPTY);
}

static struct google_FieldMask *mask_of(struct sim *sim, struct bytes path)
{
    struct google_FieldMask *mask = NEW(sim, struct google_FieldMask);
    mask->paths = NEW(sim, struct bytes);
    mask->paths[0] = path;
    mask->paths_count = 1;
    return mask;
}

static void update_activities(struct tinkerer *self)
{
    static const struct bytes        paths[] = { BYTES("start_to_close_timeout"), BYTES("heartbeat_timeout"),
                                                 BYTES("retry_policy"), BYTES("priority") };
    struct sim                      *sim = self->sim;
    struct arena                    *arena = &actors_of(sim)->arena;
    struct activity_ActivityOptions *options = NEW(sim, struct activity_ActivityOptions);
    options->start_to_close_timeout = duration_of_ns(arena, sim_between(sim, NS_PER_S, 20 * NS_PER_S));
    options->heartbeat_timeout = duration_of_ns(arena, sim_between(sim, NS_PER_S, 5 * NS_PER_S));
    options->retry_policy = NEW(sim, struct common_RetryPolicy);
    options->retry_policy->initial_interval = duration_of_ns(arena, NS_PER_S / 2);
    options->retry_policy->backoff_coefficient = 1;
    options->retry_policy->maximum_attempts = (int32_t)sim_between(sim, 0, 3);
    struct common_Priority priority = { .priority_key = 1 };
    options->priority = pb_encode_arena(&pb_common_Priority, &priority, arena);
    bool restore = sim_chance(sim, 0.2);
    ERRAND(sim, UpdateActivityOptions, CODE(ST_NOT_FOUND), tinkered, self, .execution = its_execution(self),
           .identity = BYTES("operator"), .activity_options = restore ? NULL : options,
           .update_mask = restore ? NULL : mask_of(sim, paths[sim_between(sim, 0, 3)]),
           .restore_original = restore, .activity_case = 9, .match_all = true);
}

static void reset_activities(struct tinkerer *self)
{
    struct sim *sim = self->sim;
    bool        heartbeat = sim_chance(sim, 0.5), restore = sim_chance(sim, 0.3);
    ERRAND(sim, ResetActivity, CODE(ST_NOT_FOUND), tinkered, self, .execution = its_execution(self),
           .identity = BYTES("operator"), .activity_case = 5, .type = BYTES("activity"),
           .reset_heartbeat = heartbeat, .restore_original_options = restore,
           .jitter = heartbeat ? duration_of_ns(&actors_of(sim)->arena, NS_PER_S) : NULL);
}

static void update_workflow(struct tinkerer *self)
{
    struct sim                               *sim = self->sim;
    struct workflow_WorkflowExecutionOptions *options = NEW(sim, struct workflow_WorkflowExecutionOptions);
    struct common_Priority                    priority = { .priority_key = (int32_t)sim_between(sim, 1, 5) };
    options->priority = pb_encode_arena(&pb_common_Priority, &priority, &actors_of(sim)->arena);
    ERRAND(sim, UpdateWorkflowExecutionOptions, CODE(ST_NOT_FOUND), tinkered, self,
           .workflow_execution = its_execution(self), .identity = BYTES("operator"),
           .workflow_execution_options = options, .update_mask = mask_of(sim, BYTES("priority")));
}

static void tinker(struct sim *sim, void *context)
{
    static void (*const acts[])(struct tinkerer *self) = { update_activities, reset_activities,
                                                           update_workflow };
    struct tinkerer *self = context;
    struct actors   *actors = actors_of(sim);
    size_t           first = (size_t)random_below(&sim->random, actors->work_count);
    self->work = NULL;
    for (size_t i = 0; i < actors->work_count && self->work == NULL; i++) {
        struct work *work = &actors->works[(first + i) % actors->work_count];
        if (work->is_tinkered)
            self->work = work;
    }
    if (self->work == NULL) {
        self->rounds = 0;
        return;
    }
    oracle_activities_changed(journal_oracle(sim->journal), bytes_of_text(self->work->id));
    acts[sim_between(sim, 0, (int64_t)ARRAY_COUNT(acts) - 1)](self);
}

void tinkerers_start(struct sim *sim)
{
    struct tinkerer *self = NEW(sim, struct tinkerer);
    actors_of(sim)->tinkerer = self;
    self->sim = sim;
    self->rounds = has_feature(sim, FEATURE_OPTIONS) ? (unsigned)sim_between(sim, 1, ROUNDS_MAX) : 0;
    if (self->rounds != 0)
        sim_later(sim, sim_between(sim, 0, 5 * NS_PER_S), tinker, self);
}

bool tinkerers_finished(const struct sim *sim)
{
    return sim->actors->tinkerer != NULL && sim->actors->tinkerer->rounds == 0;
}
