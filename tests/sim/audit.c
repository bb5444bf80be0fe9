/* audit.c: everything is read back and compared with what clients and workers were told.
 *
 * All runs are listed, page by page; the history of each is read, checked by itself, and counted for the workflow it belongs
 * to. Then it is counted once more by status, by the server.
 */
#include <stdio.h>

#include "actors.h"

#define PAGE_SIZE   7
#define STATUSES    9
#define AUDIT_TURNS 4 /* histories that are read at once */

struct audit {
    struct sim        *sim;
    struct listed_run *runs;
    size_t             run_count, capacity, next, read;
    int64_t            by_status[STATUSES];
    int32_t            counting;
    bool               done;
    size_t             deleted;
};

static void list_page(struct audit *audit, struct bytes token);
static void list_all(struct sim *sim, void *audit);
static void read_next(struct audit *audit);
static void count_next(struct audit *audit);

/* --- the list --- */

static void add_run(struct audit *audit, const struct workflow_WorkflowExecutionInfo *info)
{
    struct sim *sim = audit->sim;
    if (audit->run_count == audit->capacity) {
        audit->capacity = audit->capacity * 2 + 16;
        audit->runs = xrealloc(audit->runs, audit->capacity * sizeof(audit->runs[0]));
    }
    audit->runs[audit->run_count++] = (struct listed_run){
        .workflow_id = arena_copy(&actors_of(sim)->arena, info->execution->workflow_id),
        .run_id = arena_copy(&actors_of(sim)->arena, info->execution->run_id),
        .status = info->status,
        .history_length = info->history_length,
    };
    if (info->status > 0 && info->status < STATUSES)
        audit->by_status[info->status]++;
    else
        sim_fail(sim, "run %.*s is listed with status %d", BYTES_FMT(info->execution->run_id), info->status);
}

/* Only of what does not change: a run that ends while pages are read may be on two. */
static void check_list(const struct audit *audit)
{
    for (size_t i = 0; i < audit->run_count; i++)
        for (size_t j = 0; j < i; j++)
            if (bytes_equal(audit->runs[i].run_id, audit->runs[j].run_id))
                sim_violated(audit->sim, "L4 listed-twice", "run %.*s is listed twice",
                             BYTES_FMT(audit->runs[i].run_id));
}

static void page_listed(struct sim *sim, void *context, const struct error *error UNUSED, const void *answer)
{
    struct audit                                                *audit = context;
    const struct workflowservice_ListWorkflowExecutionsResponse *response = answer;
    for (size_t i = 0; i < response->executions_count; i++)
        add_run(audit, &response->executions[i]);
    if (response->next_page_token.size != 0) {
        list_page(audit, arena_copy(&actors_of(sim)->arena, response->next_page_token));
        return;
    }
    if (audit->by_status[enums_WORKFLOW_EXECUTION_STATUS_RUNNING] +
            audit->by_status[enums_WORKFLOW_EXECUTION_STATUS_PAUSED] !=
        0) {
        sim_later_routine(sim, 5 * NS_PER_S, list_all, audit); /* children that were left behind */
        return;
    }
    check_list(audit);
    if (audit->run_count == 0) /* all are deleted */
        count_next(audit);
    for (unsigned i = 0; i < AUDIT_TURNS; i++)
        read_next(audit);
}

static void list_page(struct audit *audit, struct bytes token)
{
    ERRAND(audit->sim, ListWorkflowExecutions, 0, page_listed, audit, .page_size = PAGE_SIZE,
           .next_page_token = token);
}

/* Once more from the start until every run has ended. */
static void list_all(struct sim *sim UNUSED, void *context)
{
    struct audit *audit = context;
    audit->run_count = 0;
    memset(audit->by_status, 0, sizeof(audit->by_status));
    list_page(audit, BYTES_EMPTY);
}

/* --- one history --- */

struct reading {
    struct audit      *audit;
    struct listed_run *run;
    struct bytes       token;
};

static int32_t status_after(const struct history_HistoryEvent *last)
{
    switch (last->event_type) {
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
        return enums_WORKFLOW_EXECUTION_STATUS_COMPLETED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
        return enums_WORKFLOW_EXECUTION_STATUS_FAILED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
        return enums_WORKFLOW_EXECUTION_STATUS_CANCELED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
        return enums_WORKFLOW_EXECUTION_STATUS_TERMINATED;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
        return enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW;
    case enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
        return enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT;
    default:
        return enums_WORKFLOW_EXECUTION_STATUS_RUNNING;
    }
}

/* What clients were told is there at most once in each run; in how many runs it is is added up. */
static void count_operations(struct sim *sim, struct work *work, struct bytes run_id, int64_t last)
{
    bool     is_reset = false;
    unsigned signals[SIM_SIGNALS_MAX] = { 0 }, updates[SIM_UPDATES_MAX] = { 0 };
    for (int64_t id = 1; id <= last; id++) {
        const struct history_HistoryEvent *event = journal_event(sim->journal, run_id, id);
        is_reset = is_reset ||
                   (event->event_type == enums_EVENT_TYPE_WORKFLOW_TASK_FAILED &&
                    bytes_equal(event->workflow_task_failed_event_attributes->new_run_id, run_id));
        if (is_client_signal(event)) {
            struct bytes name = event->workflow_execution_signaled_event_attributes->signal_name;
            signals[name.base[name.size - 1] - '0']++;
        }
        for (unsigned i = 0; event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED &&
                             i < work->update_count;
             i++)
            updates[i] +=
                bytes_equal_text(event->workflow_execution_update_completed_event_attributes->meta->update_id,
                                 work->updates[i].id);
    }
    for (unsigned i = 0; i < work->signals; i++) {
        if (signals[i] > 1)
            sim_violated(sim, "E1 signal-twice", "%s: signal %u is there %u times", work->id, i, signals[i]);
        work->audit_signals[i] += signals[i];
    }
    for (unsigned i = 0; i < work->update_count; i++) {
        if (updates[i] > 1)
            sim_violated(sim, "E1 update-twice", "%s: update %u is complete %u times", work->id, i,
                         updates[i]);
        work->audit_updates[i] += updates[i];
    }
    work->audit_runs++;
    work->audit_resets += is_reset;
}

static void check_history(struct audit *audit, const struct listed_run *run)
{
    struct sim  *sim = audit->sim;
    struct work *work = work_of(sim, run->workflow_id);
    int64_t      last = journal_last(sim->journal, run->run_id);
    journal_check_run(sim->journal, run->run_id, work != NULL && work->exact);
    if (sim_failed(sim))
        return;
    if (last == 0) {
        sim_fail(sim, "history of %.*s is empty", BYTES_FMT(run->run_id));
        return;
    }
    int32_t status = status_after(journal_event(sim->journal, run->run_id, last));
    if (last != run->history_length || status != run->status)
        sim_violated(sim, "L4 list-differs",
                     "run %.*s is listed with status %d and %" PRId64 " events, has status %d and %" PRId64,
                     BYTES_FMT(run->run_id), run->status, run->history_length, status, last);
    replay_run(sim, run->workflow_id, run->run_id, last);
    if (work == NULL)
        return;
    count_operations(sim, work, run->run_id, last);
    if (status != enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW &&
        !(work->fate == FATE_RETRIED && status == enums_WORKFLOW_EXECUTION_STATUS_FAILED))
        callback_check(sim, work, status);
}

static void read_more(struct reading *reading);

static void history_read(struct sim *sim, void *context, const struct error *error UNUSED, const void *answer)
{
    struct reading                                                   *reading = context;
    struct audit                                                     *audit = reading->audit;
    const struct workflowservice_GetWorkflowExecutionHistoryResponse *response = answer;
    size_t count = response->history == NULL ? 0 : response->history->events_count;
    if (count != 0)
        journal_events(sim->journal, reading->run->run_id, response->history->events, count, ORACLE_SETTLED);
    if (response->next_page_token.size != 0) {
        reading->token = arena_copy(&actors_of(sim)->arena, response->next_page_token);
        read_more(reading);
        return;
    }
    check_history(audit, reading->run);
    audit->read++;
    if (audit->read == audit->run_count)
        count_next(audit);
    else
        read_next(audit);
}

static void read_more(struct reading *reading)
{
    struct sim *sim = reading->audit->sim;
    ERRAND(sim, GetWorkflowExecutionHistory, 0, history_read, reading,
           .execution = sim_execution(sim, reading->run->workflow_id, reading->run->run_id),
           .next_page_token = reading->token);
}

static void read_next(struct audit *audit)
{
    if (audit->next == audit->run_count)
        return;
    struct reading *reading = NEW(audit->sim, struct reading);
    *reading = (struct reading){ .audit = audit, .run = &audit->runs[audit->next++] };
    read_more(reading);
}

/* --- what was acknowledged, over all runs of a workflow --- */

static void check_work(struct sim *sim, const struct work *work)
{
    if (work->fate == FATE_DELETED)
        return;
    if (work->audit_runs == 0)
        sim_violated(sim, "D1 start-lost", "%s, which was acknowledged, has no run", work->id);
    for (unsigned i = 0; i < work->signals; i++) {
        if (work->signal[i].acknowledged && work->audit_signals[i] == 0)
            sim_violated(sim, "E1 signal-lost", "%s: signal %u was acknowledged and is not there", work->id,
                         i);
        if (work->exact && work->audit_signals[i] > 1)
            sim_violated(sim, "E1 signal-twice", "%s: signal %u is there %u times", work->id, i,
                         work->audit_signals[i]);
    }
    for (unsigned i = 0; i < work->update_count; i++)
        if (work->updates[i].completed && work->audit_updates[i] == 0)
            sim_violated(sim, "E1 update-lost", "%s: update %u was complete and is not there", work->id, i);
    if (work->fate == FATE_RESET && work->audit_resets != work->resets)
        sim_violated(sim, "D3 reset-twice", "%s has %u runs of resets after %u resets", work->id,
                     work->audit_resets, work->resets);
}

/* --- the counts --- */

static void counted(struct sim *sim, void *context, const struct error *error UNUSED, const void *answer)
{
    struct audit                                                 *audit = context;
    const struct workflowservice_CountWorkflowExecutionsResponse *response = answer;
    if (response->count != audit->by_status[audit->counting])
        sim_violated(sim, "L4 count-differs",
                     "%" PRId64 " runs of status %d are counted, %" PRId64 " are listed", response->count,
                     audit->counting, audit->by_status[audit->counting]);
    count_next(audit);
}

static void count_next(struct audit *audit)
{
    static const char *const names[] = { "Running",    "Completed",      "Failed",  "Canceled",
                                         "Terminated", "ContinuedAsNew", "TimedOut" };
    struct sim              *sim = audit->sim;
    struct actors           *actors = actors_of(sim);
    if (audit->counting++ == 0) {
        for (size_t i = 0; i < actors->work_count; i++)
            check_work(sim, &actors->works[i]);
        rivals_audit(sim, audit->runs, audit->run_count);
    }
    if (audit->counting > (int32_t)ARRAY_COUNT(names)) {
        reading_start(sim, &audit->done);
        return;
    }
    ERRAND(sim, CountWorkflowExecutions, 0, counted, audit,
           .query = arena_printf(&actors->arena, "ExecutionStatus = '%s'", names[audit->counting - 1]));
}

void actors_audit(struct sim *sim)
{
    struct actors *actors = actors_of(sim);
    struct audit  *audit = NEW(sim, struct audit);
    audit_free(actors->audit);
    actors->audit = audit;
    for (size_t i = 0; i < actors->work_count; i++) {
        struct work *work = &actors->works[i];
        work->audit_runs = work->audit_resets = 0;
        memset(work->audit_signals, 0, sizeof(work->audit_signals));
        memset(work->audit_updates, 0, sizeof(work->audit_updates));
    }
    audit->sim = sim;
    shadows_audit(sim);
    list_all(sim, audit);
}

bool actors_audited(struct sim *sim)
{
    return sim->actors->audit->done && shadows_audited(sim);
}

/* --- the end of all runs --- */

static void delete_next(struct audit *audit);

static void deleted(struct sim *sim UNUSED, void *context, const struct error *error UNUSED,
                    const void *response UNUSED)
{
    delete_next(context);
}

static void delete_next(struct audit *audit)
{
    if (audit->deleted++ == audit->run_count)
        return;
    const struct listed_run *run = &audit->runs[audit->deleted - 1];
    ERRAND(audit->sim, DeleteWorkflowExecution, CODE(ST_NOT_FOUND), deleted, audit,
           .workflow_execution = sim_execution(audit->sim, run->workflow_id, run->run_id));
}

void actors_delete_all(struct sim *sim)
{
    shadows_delete(sim);
    delete_next(sim->actors->audit);
}

bool actors_deleted(struct sim *sim)
{
    const struct audit *audit = sim->actors->audit;
    return audit->deleted > audit->run_count && shadows_deleted(sim);
}

void audit_free(struct audit *audit)
{
    if (audit != NULL)
        free(audit->runs);
}
