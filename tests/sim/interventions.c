/* interventions.c: what befalls simulated workflows: cancellation, termination, deletion, resets, each at a time of its own. */
#include <stdio.h>

#include "actors.h"

#define RESETS_MAX 2

struct intervention {
    struct work *work;
    struct bytes run_id; /* of the run to reset */
    unsigned     number, tries;
};

static void over(struct intervention *self)
{
    struct work *work = self->work;
    assert(work->interventions != 0);
    work->interventions--;
    client_watch(work);
}

static void acted(struct sim *sim, void *context, const struct error *error, const void *response UNUSED)
{
    struct intervention *self = context;
    sim_log(sim, "fate %d of %s: %s", self->work->fate, self->work->id, status_name(error->code));
    over(self);
}

static void cancel(struct sim *sim, void *context)
{
    struct intervention *self = context;
    ERRAND(sim, RequestCancelWorkflowExecution, CODE(ST_NOT_FOUND), acted, self,
           .workflow_execution = sim_execution(sim, bytes_of_text(self->work->id), BYTES_EMPTY),
           .identity = BYTES("client"), .request_id = bytes_of_text(self->work->id),
           .reason = BYTES("simulated"));
}

static void terminate(struct sim *sim, void *context)
{
    struct intervention *self = context;
    ERRAND(sim, TerminateWorkflowExecution, CODE(ST_NOT_FOUND), acted, self,
           .workflow_execution = sim_execution(sim, bytes_of_text(self->work->id), BYTES_EMPTY),
           .identity = BYTES("client"), .reason = BYTES("simulated"));
}

static void delete(struct sim *sim, void *context)
{
    struct intervention *self = context;
    self->work->deleted = true;
    ERRAND(sim, DeleteWorkflowExecution, CODE(ST_NOT_FOUND), acted, self,
           .workflow_execution = sim_execution(sim, bytes_of_text(self->work->id), BYTES_EMPTY));
}

/* --- resets: to the end of some workflow task of the current run --- */

static void reset(struct sim *sim, void *context);

static void was_reset(struct sim *sim, void *context, const struct error *error, const void *response)
{
    struct intervention *self = context;
    sim_log(sim, "reset of %s: %s %s", self->work->id, status_name(error->code), error->message);
    if (response != NULL)
        self->work->resets++;
    /* Where two met, one may have ended a run that the other had made: what that was told it alone knew. */
    if (response != NULL && self->work->resets > 1)
        client_signals_again(self->work);
    over(self);
}

static void history_read(struct sim *sim, void *context, const struct error *error UNUSED, const void *answer)
{
    struct intervention                                              *self = context;
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *response = answer;
    size_t  count = response == NULL || response->history == NULL ? 0 : response->history->events_count;
    int64_t points[64];
    size_t  point_count = 0;
    if (count != 0)
        journal_events(sim->journal, self->run_id, response->history->events, count, ORACLE_SETTLED);
    for (int64_t id = 1; id <= (int64_t)count && point_count < ARRAY_COUNT(points); id++) {
        const struct history_HistoryEvent *event = journal_event(sim->journal, self->run_id, id);
        if (event != NULL && event->event_type == enums_EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
            points[point_count++] = id;
    }
    if (point_count == 0) {
        if (self->tries++ < 10)
            sim_later(sim, NS_PER_S, reset, self);
        else
            over(self);
        return;
    }
    char request_id[48];
    snprintf(request_id, sizeof(request_id), "%s-reset-%u", self->work->id, self->number);
    int64_t point = points[random_below(&sim->random, point_count)];
    bool    reapply = sim_chance(sim, 0.8);
    /* INVALID_ARGUMENT: the task was for an update, and all of it was written at once. */
    ERRAND(sim, ResetWorkflowExecution, CODE(ST_NOT_FOUND) | CODE(ST_INVALID_ARGUMENT), was_reset, self,
           .workflow_execution = sim_execution(sim, bytes_of_text(self->work->id), self->run_id),
           .reason = BYTES("simulated"), .workflow_task_finish_event_id = point,
           .request_id = sim_text(sim, request_id),
           .reset_reapply_type = reapply ? enums_RESET_REAPPLY_TYPE_ALL_ELIGIBLE
                                         : enums_RESET_REAPPLY_TYPE_SIGNAL);
}

static void run_known(struct sim *sim, void *context, const struct error *error UNUSED, const void *answer)
{
    struct intervention                                            *self = context;
    const struct workflowservice_DescribeWorkflowExecutionResponse *response = answer;
    self->run_id = arena_copy(&actors_of(sim)->arena, response->workflow_execution_info->execution->run_id);
    ERRAND(sim, GetWorkflowExecutionHistory, 0, history_read, self,
           .execution = sim_execution(sim, bytes_of_text(self->work->id), self->run_id));
}

static void reset(struct sim *sim, void *context)
{
    struct intervention *self = context;
    ERRAND(sim, DescribeWorkflowExecution, 0, run_known, self,
           .execution = sim_execution(sim, bytes_of_text(self->work->id), BYTES_EMPTY));
}

/* --- */

static void begin(struct intervention *self)
{
    static void (*const acts[FATE_COUNT])(struct sim *sim, void *context) = {
        [FATE_CRON] = cancel,    [FATE_CANCELLED] = cancel, [FATE_TERMINATED] = terminate,
        [FATE_DELETED] = delete, [FATE_RESET] = reset,
    };
    struct sim *sim = self->work->sim;
    if (acts[self->work->fate] == NULL)
        return;
    self->work->interventions++;
    int64_t delay = sim_between(sim, 0, self->work->fate == FATE_CRON ? 200 * NS_PER_S : 20 * NS_PER_S);
    if (sim->patient && sim_chance(sim, 0.5))
        delay = sim_span(sim);
    sim_later(sim, delay, acts[self->work->fate], self);
}

void interventions_start(struct work *work)
{
    unsigned count = work->fate == FATE_RESET ? (unsigned)sim_between(work->sim, 1, RESETS_MAX) : 1;
    for (unsigned i = 0; i < count; i++) {
        struct intervention *self = NEW(work->sim, struct intervention);
        *self = (struct intervention){ .work = work, .number = i };
        begin(self);
    }
}
