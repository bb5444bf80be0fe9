/* program.c: what simulated workflows do: a function of their history and of the seed, as with an SDK.
 *
 * A program looks for each of its steps in the history by name: one that is not there yet becomes commands, and one that is
 * not over holds up what comes behind it. So the same history gives the same commands, whoever decides.
 */
#include <stdio.h>

#include "program.h"

const struct history_HistoryEvent *event_at(const struct program *program, int64_t id)
{
    return journal_event(program->sim->journal, program->task->run_id, id);
}

static struct bytes name_of(const struct history_HistoryEvent *event)
{
    switch (event->event_type) {
    case enums_EVENT_TYPE_TIMER_STARTED:
        return event->timer_started_event_attributes->timer_id;
    case enums_EVENT_TYPE_TIMER_CANCELED:
        return event->timer_canceled_event_attributes->timer_id;
    case enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
        return event->activity_task_scheduled_event_attributes->activity_id;
    case enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
        return event->start_child_workflow_execution_initiated_event_attributes->workflow_id;
    case enums_EVENT_TYPE_MARKER_RECORDED:
        return event->marker_recorded_event_attributes->marker_name;
    case enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
        return event->signal_external_workflow_execution_initiated_event_attributes->control;
    case enums_EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
        return event->request_cancel_external_workflow_execution_initiated_event_attributes
            ->workflow_execution->workflow_id;
    default:
        return BYTES_EMPTY;
    }
}

int64_t find_event(const struct program *program, int32_t type, const char *name)
{
    for (int64_t id = 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type == type && (name == NULL || bytes_equal_text(name_of(event), name)))
            return id;
    }
    return 0;
}

int64_t count_events(const struct program *program, int32_t type)
{
    int64_t count = 0;
    for (int64_t id = 1; id <= program->task->last_stored; id++)
        count += event_at(program, id)->event_type == type;
    return count;
}

/* The event that an end refers to; 0: it is none. */
static int64_t ended_by(const struct history_HistoryEvent *event)
{
#define END(type, member, field)                                                                             \
    case enums_EVENT_TYPE_##type:                                                                            \
        return event->member##_event_attributes->field
    switch (event->event_type) {
        END(TIMER_FIRED, timer_fired, started_event_id);
        END(TIMER_CANCELED, timer_canceled, started_event_id);
        END(ACTIVITY_TASK_COMPLETED, activity_task_completed, scheduled_event_id);
        END(ACTIVITY_TASK_FAILED, activity_task_failed, scheduled_event_id);
        END(ACTIVITY_TASK_TIMED_OUT, activity_task_timed_out, scheduled_event_id);
        END(ACTIVITY_TASK_CANCELED, activity_task_canceled, scheduled_event_id);
        END(START_CHILD_WORKFLOW_EXECUTION_FAILED, start_child_workflow_execution_failed, initiated_event_id);
        END(CHILD_WORKFLOW_EXECUTION_COMPLETED, child_workflow_execution_completed, initiated_event_id);
        END(CHILD_WORKFLOW_EXECUTION_FAILED, child_workflow_execution_failed, initiated_event_id);
        END(CHILD_WORKFLOW_EXECUTION_CANCELED, child_workflow_execution_canceled, initiated_event_id);
        END(CHILD_WORKFLOW_EXECUTION_TIMED_OUT, child_workflow_execution_timed_out, initiated_event_id);
        END(CHILD_WORKFLOW_EXECUTION_TERMINATED, child_workflow_execution_terminated, initiated_event_id);
        END(EXTERNAL_WORKFLOW_EXECUTION_SIGNALED, external_workflow_execution_signaled, initiated_event_id);
        END(SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, signal_external_workflow_execution_failed,
            initiated_event_id);
    default:
        return 0;
    }
#undef END
}

bool is_over(const struct program *program, int64_t scheduled)
{
    for (int64_t id = scheduled + 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (ended_by(event) == scheduled)
            return true;
    }
    return false;
}

/* A child is there once its Started is. */
bool is_child_started(const struct program *program, int64_t initiated)
{
    for (int64_t id = initiated + 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED &&
            event->child_workflow_execution_started_event_attributes->initiated_event_id == initiated)
            return true;
    }
    return false;
}

unsigned generation_of(const struct program *program)
{
    struct bytes type =
        event_at(program, 1)->workflow_execution_started_event_attributes->workflow_type->name;
    return (unsigned)(type.base[type.size - 1] - '0');
}

/* What tells the runs of a workflow apart and is the same in a reset of the run. */
struct bytes original_run(const struct program *program)
{
    struct bytes id =
        event_at(program, 1)->workflow_execution_started_event_attributes->original_execution_run_id;
    assert(id.size > 8);
    return bytes_of(id.base + id.size - 8, 8);
}

struct command_Command *add_command(struct program *program, int32_t type)
{
    assert(program->count < PROGRAM_COMMANDS_MAX);
    struct command_Command *command = &program->commands[program->count++];
    command->command_type = type;
    return command;
}

/* By its name: a signal that a reset applied again does not say any more whom it came from. */
bool is_client_signal(const struct history_HistoryEvent *event)
{
    return event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED &&
           bytes_starts_with(event->workflow_execution_signaled_event_attributes->signal_name,
                             BYTES("signal "));
}

/* --- ends --- */

static void complete(struct program *program)
{
    ADD_COMMAND(program, COMPLETE_WORKFLOW_EXECUTION, 4, complete_workflow_execution,
                command_CompleteWorkflowExecutionCommandAttributes);
}

static void fail(struct program *program)
{
    struct command_FailWorkflowExecutionCommandAttributes *attributes =
        ADD_COMMAND(program, FAIL_WORKFLOW_EXECUTION, 5, fail_workflow_execution,
                    command_FailWorkflowExecutionCommandAttributes);
    attributes->failure = sim_failure(program->sim, "this attempt fails", false);
}

static void continue_as_new(struct program *program, unsigned generation)
{
    struct sim                                                     *sim = program->sim;
    struct command_ContinueAsNewWorkflowExecutionCommandAttributes *attributes =
        ADD_COMMAND(program, CONTINUE_AS_NEW_WORKFLOW_EXECUTION, 11, continue_as_new_workflow_execution,
                    command_ContinueAsNewWorkflowExecutionCommandAttributes);
    char name[24];
    snprintf(name, sizeof(name), "generation %u", generation + 1);
    attributes->workflow_type = NEW(sim, struct common_WorkflowType);
    attributes->workflow_type->name = sim_text(sim, name);
    attributes->task_queue = sim_queue(sim, SIM_QUEUE, false);
}

static void end_run(struct program *program)
{
    unsigned generation = generation_of(program);
    int32_t  attempt = event_at(program, 1)->workflow_execution_started_event_attributes->attempt;
    if (generation + 1 < program->work->generations)
        continue_as_new(program, generation);
    else if (attempt <= (int32_t)program->work->failures)
        fail(program);
    else
        complete(program);
}

static void cancel(struct program *program)
{
    ADD_COMMAND(program, CANCEL_WORKFLOW_EXECUTION, 8, cancel_workflow_execution,
                command_CancelWorkflowExecutionCommandAttributes);
}

/* --- the programs --- */

static void run_work(struct program *program)
{
    struct work *work = program->work;
    for (size_t i = 0; i < work->operation_count; i++) {
        if (!operation_passes(program, i, &work->operations[i]))
            return;
    }
    end_run(program);
}

/* A child's program: it signals its parent, and completes when it knows what became of that. */
static void run_child(struct program *program)
{
    struct sim *sim = program->sim;
    int64_t asked = find_event(program, enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, NULL);
    const struct common_WorkflowExecution *parent =
        event_at(program, 1)->workflow_execution_started_event_attributes->parent_workflow_execution;
    const struct work *of = work_of(sim, parent->workflow_id);
    if (of != NULL && of->exact &&
        find_event(program, enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED, NULL) != 0)
        sim_fail(sim, "%.*s: its signal did not find its parent", BYTES_FMT(program->task->workflow_id));
    if (asked == 0)
        signal_external(program, parent->workflow_id, BYTES("child"), BYTES_EMPTY);
    else if (is_over(program, asked))
        complete(program);
}

/* A child that only waits: for its cancellation, or a minute. */
static void run_waiter(struct program *program)
{
    int64_t timer = find_event(program, enums_EVENT_TYPE_TIMER_STARTED, "wait");
    if (timer == 0)
        start_timer(program, "wait", 60 * NS_PER_S);
    else if (is_over(program, timer))
        complete(program);
}

void program_run(struct program *program)
{
    const struct history_WorkflowExecutionStartedEventAttributes *started =
        event_at(program, 1)->workflow_execution_started_event_attributes;
    program->commands = ARENA_NEW_ARRAY(&actors_of(program->sim)->arena, struct command_Command,
                                        PROGRAM_COMMANDS_MAX);
    if (find_event(program, enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED, NULL) != 0) {
        cancel(program);
        return;
    }
    program_updates(program);
    if (bytes_equal_text(started->workflow_type->name, WAITER_TYPE))
        run_waiter(program);
    else if (bytes_equal_text(started->workflow_type->name, CHILD_TYPE))
        run_child(program);
    else
        run_work(program);
}
