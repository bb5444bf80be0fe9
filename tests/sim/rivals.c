/* rivals.c: simulated clients that want the same workflow ids, with every policy of reuse and conflict there is.
 *
 * What was started and acknowledged is there in the end, and no two runs of one id were ever open at once.
 */
#include <stdio.h>

#include "actors.h"

#define RIVALS     3
#define ROUNDS_MAX 6
#define IDS        2

struct rival {
    struct sim  *sim;
    unsigned     number, rounds;
    char         workflow_id[24];
    struct bytes runs[ROUNDS_MAX]; /* that it was told it has started */
    size_t       run_count;
};
struct rivals {
    struct rival rival[RIVALS];
};

static void contend(struct sim *sim, void *context);

static void next_round(struct rival *self)
{
    if (--self->rounds != 0)
        sim_later(self->sim, sim_between(self->sim, 0, 15 * NS_PER_S), contend, self);
}

static void contended(struct sim *sim, void *context, const struct error *error UNUSED, const void *answer)
{
    struct rival                                                *self = context;
    const struct workflowservice_StartWorkflowExecutionResponse *response = answer;
    if (response != NULL && response->started)
        self->runs[self->run_count++] = arena_copy(&actors_of(sim)->arena, response->run_id);
    next_round(self);
}

static void contend(struct sim *sim, void *context)
{
    static const int32_t conflicts[] = { enums_WORKFLOW_ID_CONFLICT_POLICY_FAIL,
                                         enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
                                         enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING };
    static const int32_t reuses[] = { enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
                                      enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
                                      enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
                                      enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING };
    struct rival        *self = context;
    char                 request_id[48];
    int32_t              conflict = conflicts[sim_between(sim, 0, 2)];
    int32_t              reuse = reuses[sim_between(sim, 0, 3)];
    if (reuse == enums_WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING)
        conflict = enums_WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED;
    else if (conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING &&
             reuse == enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE)
        reuse = enums_WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE;
    struct workflow_OnConflictOptions *options = NULL;
    if (conflict == enums_WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING && sim_chance(sim, 0.5)) {
        options = NEW(sim, struct workflow_OnConflictOptions);
        options->attach_request_id = true;
    }
    struct common_WorkflowType *type = NEW(sim, struct common_WorkflowType);
    type->name = BYTES(WAITER_TYPE);
    snprintf(self->workflow_id, sizeof(self->workflow_id), "contested-%d", (int)sim_between(sim, 0, IDS - 1));
    snprintf(request_id, sizeof(request_id), "rival-%u-%u", self->number, self->rounds);
    ERRAND(sim, StartWorkflowExecution, CODE(ST_ALREADY_EXISTS), contended, self,
           .workflow_id = sim_text(sim, self->workflow_id), .workflow_type = type,
           .task_queue = sim_queue(sim, SIM_QUEUE, false), .identity = BYTES("client"),
           .request_id = sim_text(sim, request_id), .workflow_id_reuse_policy = reuse,
           .workflow_id_conflict_policy = conflict, .on_conflict_options = options);
}

void rivals_start(struct sim *sim)
{
    struct rivals *rivals = NEW(sim, struct rivals);
    actors_of(sim)->rivals = rivals;
    for (unsigned i = 0; i < RIVALS; i++) {
        struct rival *self = &rivals->rival[i];
        self->sim = sim;
        self->number = i;
        self->rounds = has_feature(sim, FEATURE_RIVALS) ? (unsigned)sim_between(sim, 1, ROUNDS_MAX) : 0;
        if (self->rounds != 0)
            sim_later(sim, sim_between(sim, 0, 15 * NS_PER_S), contend, self);
    }
}

bool rivals_finished(const struct sim *sim)
{
    const struct rivals *rivals = sim->actors->rivals;
    if (rivals == NULL)
        return false;
    for (unsigned i = 0; i < RIVALS; i++)
        if (rivals->rival[i].rounds != 0)
            return false;
    return true;
}

static int64_t time_of(struct sim *sim, struct bytes run_id, int64_t event_id)
{
    return timestamp_ns(journal_event(sim->journal, run_id, event_id)->event_time);
}

/* One began before another one of the same id had ended. */
static void check_pair(struct sim *sim, const struct listed_run *a, const struct listed_run *b)
{
    if (!bytes_equal(a->workflow_id, b->workflow_id) ||
        !bytes_starts_with(a->workflow_id, BYTES("contested-")))
        return;
    int64_t a_begins = time_of(sim, a->run_id, 1), a_ends = time_of(sim, a->run_id, a->history_length);
    int64_t b_begins = time_of(sim, b->run_id, 1), b_ends = time_of(sim, b->run_id, b->history_length);
    if (a_begins < b_ends && b_begins < a_ends)
        sim_violated(sim, "L3 two-open-runs", "runs %.*s and %.*s of %.*s were open at once",
                     BYTES_FMT(a->run_id), BYTES_FMT(b->run_id), BYTES_FMT(a->workflow_id));
}

void rivals_audit(struct sim *sim, const struct listed_run *runs, size_t count)
{
    const struct rivals *rivals = sim->actors->rivals;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i && !sim_failed(sim); j++)
            check_pair(sim, &runs[i], &runs[j]);
    for (unsigned i = 0; i < RIVALS; i++) {
        const struct rival *self = &rivals->rival[i];
        for (size_t run = 0; run < self->run_count; run++) {
            bool found = false;
            for (size_t at = 0; at < count; at++)
                found = found || bytes_equal(runs[at].run_id, self->runs[run]);
            if (!found)
                sim_violated(sim, "D1 start-lost", "run %.*s was acknowledged and is not there",
                             BYTES_FMT(self->runs[run]));
        }
    }
}
