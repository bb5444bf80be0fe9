/* reading.c: at the end every run that anybody heard of is read as a whole, for the oracle to judge them together. */
#include "actors.h"

#define QUIET_NS (60 * NS_PER_S) /* messages between runs may be under way when the last client is content */

static void read_next(struct sim *sim, void *context);

struct reading {
    bool        *done;
    struct bytes workflow_id, run_id;
};

static void read_page(struct sim *sim, struct reading *self, struct bytes token);

static void page_read(struct sim *sim, void *context, const struct error *error UNUSED, const void *response)
{
    struct reading                                                   *self = context;
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *page = response;
    if (page != NULL && page->next_page_token.size != 0)
        read_page(sim, self, arena_copy(&actors_of(sim)->arena, page->next_page_token));
    else
        read_next(sim, self);
}

static void read_page(struct sim *sim, struct reading *self, struct bytes token)
{
    ERRAND(sim, GetWorkflowExecutionHistory, CODE(ST_NOT_FOUND), page_read, self,
           .execution = sim_execution(sim, self->workflow_id, self->run_id), .next_page_token = token);
}

static void described(struct sim *sim, void *context, const struct error *error UNUSED,
                      const void *response UNUSED)
{
    read_page(sim, context, BYTES_EMPTY);
}

static void read_next(struct sim *sim, void *context)
{
    struct reading *self = context;
    if (!oracle_unread(journal_oracle(sim->journal), &self->workflow_id, &self->run_id)) {
        oracle_audit(journal_oracle(sim->journal));
        *self->done = true;
        return;
    }
    ERRAND(sim, DescribeWorkflowExecution, CODE(ST_NOT_FOUND), described, self,
           .execution = sim_execution(sim, self->workflow_id, self->run_id));
}

static void settle(struct sim *sim, void *context)
{
    oracle_settle(journal_oracle(sim->journal));
    read_next(sim, context);
}

void reading_start(struct sim *sim, bool *ret_done)
{
    struct reading *self = NEW(sim, struct reading);
    self->done = ret_done;
    sim_later(sim, QUIET_NS, settle, self);
}
