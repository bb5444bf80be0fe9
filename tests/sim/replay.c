/* replay.c: a history is played again as an SDK does that has lost its cache: each task's commands must be those that it has.
 *
 * So what a worker was acknowledged is there, whole and in its order, whatever happened in between.
 */
#include <stdio.h>

#include "program.h"

/* What a command of this type writes; 0: nothing of its own. */
static int32_t event_of(int32_t command_type)
{
#define WRITES(command, event)                                                                               \
    case enums_COMMAND_TYPE_##command:                                                                       \
        return enums_EVENT_TYPE_##event
    switch (command_type) {
        WRITES(SCHEDULE_ACTIVITY_TASK, ACTIVITY_TASK_SCHEDULED);
        WRITES(REQUEST_CANCEL_ACTIVITY_TASK, ACTIVITY_TASK_CANCEL_REQUESTED);
        WRITES(START_TIMER, TIMER_STARTED);
        WRITES(CANCEL_TIMER, TIMER_CANCELED);
        WRITES(COMPLETE_WORKFLOW_EXECUTION, WORKFLOW_EXECUTION_COMPLETED);
        WRITES(FAIL_WORKFLOW_EXECUTION, WORKFLOW_EXECUTION_FAILED);
        WRITES(CANCEL_WORKFLOW_EXECUTION, WORKFLOW_EXECUTION_CANCELED);
        WRITES(CONTINUE_AS_NEW_WORKFLOW_EXECUTION, WORKFLOW_EXECUTION_CONTINUED_AS_NEW);
        WRITES(START_CHILD_WORKFLOW_EXECUTION, START_CHILD_WORKFLOW_EXECUTION_INITIATED);
        WRITES(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED);
        WRITES(REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION,
               REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED);
        WRITES(RECORD_MARKER, MARKER_RECORDED);
        WRITES(UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, UPSERT_WORKFLOW_SEARCH_ATTRIBUTES);
        WRITES(MODIFY_WORKFLOW_PROPERTIES, WORKFLOW_PROPERTIES_MODIFIED);
    default:
        return 0;
    }
#undef WRITES
}

static bool is_written_by_command(int32_t event_type)
{
    for (int32_t type = 1; type <= enums_COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES; type++)
        if (event_of(type) == event_type)
            return true;
    return false;
}

/* The event of the task's next command from this one on; 0: there is none. */
static int64_t next_of_task(const struct program *program, int64_t id, int64_t last)
{
    for (; id <= last; id++) {
        int32_t type = event_at(program, id)->event_type;
        if (is_written_by_command(type))
            return id;
        /* An activity that nobody has started is cancelled at once. */
        if (type != enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED)
            return 0;
    }
    return 0;
}

static bool has_updates(const struct program *program, int64_t completed, int64_t last)
{
    for (int64_t id = completed + 1; id <= last; id++) {
        int32_t type = event_at(program, id)->event_type;
        if (type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED ||
            type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED)
            return true;
        if (!is_written_by_command(type) && type != enums_EVENT_TYPE_ACTIVITY_TASK_CANCELED)
            return false;
    }
    return false;
}

static void replay_task(struct program *program, int64_t completed, int64_t last)
{
    struct sim *sim = program->sim;
    int64_t     at = next_of_task(program, completed + 1, last);
    /* Messages are nowhere in history, so what they brought cannot be told; nor can a heartbeat be from nothing to do. */
    if (has_updates(program, completed, last) || (at == 0 && has_feature(sim, FEATURE_HEARTBEATS)))
        return;
    for (size_t i = 0; i < program->count; i++) {
        int32_t expected = event_of(program->commands[i].command_type);
        if (expected == 0)
            continue;
        if (at == 0 || event_at(program, at)->event_type != expected) {
            sim_violated(sim, "D2 command-lost",
                         "run %.*s: command %zu (type %d) of the task that event %" PRId64
                         " completed is not there",
                         BYTES_FMT(program->task->run_id), i, program->commands[i].command_type, completed);
            return;
        }
        at = next_of_task(program, at + 1, last);
    }
    if (at != 0)
        sim_violated(sim, "D2 command-unknown",
                     "run %.*s: event %" PRId64 " is of no command of the task that event %" PRId64
                     " completed",
                     BYTES_FMT(program->task->run_id), at, completed);
}

void replay_run(struct sim *sim, struct bytes workflow_id, struct bytes run_id, int64_t last)
{
    struct task    task = { .run_id = run_id, .workflow_id = workflow_id };
    struct program program = { .sim = sim, .work = work_of(sim, workflow_id), .task = &task };
    for (int64_t id = 1; id <= last && !sim_failed(sim); id++) {
        const struct history_HistoryEvent *event = event_at(&program, id);
        if (event->event_type != enums_EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
            continue;
        task.last_stored = event->workflow_task_completed_event_attributes->started_event_id;
        program.count = program.message_count = 0;
        program_run(&program);
        replay_task(&program, id, last);
    }
}
