/* program.c: what simulated workflows do: a function of their history and of the seed, as with an SDK. */
#include <stdio.h>

#include "actors.h"

static const struct history_HistoryEvent *event_at(const struct program *program, int64_t id)
{
    return journal_event(program->sim->journal, program->task->run_id, id);
}

/* The event id of what was scheduled under a name, or 0. */
static int64_t find_scheduled(const struct program *program, int32_t type, const char *name)
{
    for (int64_t id = 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type != type)
            continue;
        struct bytes of = type == enums_EVENT_TYPE_TIMER_STARTED
                              ? event->timer_started_event_attributes->timer_id
                          : type == enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
                              ? event->activity_task_scheduled_event_attributes->activity_id
                              : event->start_child_workflow_execution_initiated_event_attributes->workflow_id;
        if (bytes_equal_text(of, name))
            return id;
    }
    return 0;
}

static unsigned generation_of(const struct task *task)
{
    return (unsigned)(task->type.base[task->type.size - 1] - '0');
}

static bool is_over(const struct program *program, int64_t scheduled)
{
    for (int64_t id = scheduled + 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type == enums_EVENT_TYPE_TIMER_FIRED &&
            event->timer_fired_event_attributes->started_event_id == scheduled)
            return true;
        if (event->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_COMPLETED &&
            event->activity_task_completed_event_attributes->scheduled_event_id == scheduled)
            return true;
        if (event->event_type == enums_EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED &&
            event->child_workflow_execution_completed_event_attributes->initiated_event_id == scheduled)
            return true;
    }
    return false;
}

static struct command_Command *add_command(struct program *program, int32_t type)
{
    struct command_Command *command = &program->commands[program->count++];
    command->command_type = type;
    return command;
}

static void schedule_activity(struct program *program, const char *name)
{
    struct sim             *sim = program->sim;
    struct arena           *arena = &actors_of(sim)->arena;
    struct command_Command *command = add_command(program, enums_COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK);
    struct command_ScheduleActivityTaskCommandAttributes *attributes =
        NEW(sim, struct command_ScheduleActivityTaskCommandAttributes);
    attributes->activity_id = sim_text(sim, name);
    attributes->activity_type = NEW(sim, struct common_ActivityType);
    attributes->activity_type->name = BYTES("activity");
    attributes->task_queue = sim_queue(sim, SIM_QUEUE, false);
    attributes->input = sim_payloads(sim, name);
    attributes->start_to_close_timeout = duration_of_ns(arena, 10 * NS_PER_S);
    if (program->work->number % 2 == 0)
        attributes->heartbeat_timeout = duration_of_ns(arena, 3 * NS_PER_S);
    command->attributes_case = 2;
    command->schedule_activity_task_command_attributes = attributes;
}

static void start_timer(struct program *program, const char *name, int64_t duration)
{
    struct sim             *sim = program->sim;
    struct command_Command *command = add_command(program, enums_COMMAND_TYPE_START_TIMER);
    struct command_StartTimerCommandAttributes *attributes = NEW(sim,
                                                                 struct command_StartTimerCommandAttributes);
    attributes->timer_id = sim_text(sim, name);
    attributes->start_to_fire_timeout = duration_of_ns(&actors_of(sim)->arena, duration);
    command->attributes_case = 3;
    command->start_timer_command_attributes = attributes;
}

static bool activities_pass(struct program *program, size_t index, const struct operation *operation)
{
    bool pass = true;
    for (int64_t i = 0; i < operation->count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "a%zu.%d", index, (int)i);
        int64_t scheduled = find_scheduled(program, enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, name);
        if (scheduled == 0)
            schedule_activity(program, name);
        pass = pass && scheduled != 0 && is_over(program, scheduled);
    }
    return pass;
}

static bool timer_passes(struct program *program, size_t index, const struct operation *operation)
{
    char name[24];
    snprintf(name, sizeof(name), "t%zu", index);
    int64_t started_id = find_scheduled(program, enums_EVENT_TYPE_TIMER_STARTED, name);
    if (started_id == 0)
        start_timer(program, name, operation->duration);
    return started_id != 0 && is_over(program, started_id);
}

static void start_child(struct program *program, const char *name)
{
    struct sim             *sim = program->sim;
    struct command_Command *command = add_command(program, enums_COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION);
    struct command_StartChildWorkflowExecutionCommandAttributes *attributes =
        NEW(sim, struct command_StartChildWorkflowExecutionCommandAttributes);
    attributes->workflow_id = sim_text(sim, name);
    attributes->workflow_type = NEW(sim, struct common_WorkflowType);
    attributes->workflow_type->name = BYTES(CHILD_TYPE);
    attributes->task_queue = sim_queue(sim, SIM_QUEUE, false);
    attributes->workflow_id_reuse_policy = enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    command->attributes_case = 12;
    command->start_child_workflow_execution_command_attributes = attributes;
}

static bool children_pass(struct program *program, size_t index, const struct operation *operation)
{
    bool pass = true;
    for (int64_t i = 0; i < operation->count; i++) {
        char name[72];
        snprintf(name, sizeof(name), "%s.%u.%zu.%d", program->work->id, generation_of(program->task), index,
                 (int)i);
        int64_t initiated = find_scheduled(program, enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
                                           name);
        if (initiated == 0)
            start_child(program, name);
        pass = pass && initiated != 0 && is_over(program, initiated);
    }
    return pass;
}

bool is_client_signal(const struct history_HistoryEvent *event)
{
    return event->event_type == enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED &&
           event->workflow_execution_signaled_event_attributes->external_workflow_execution == NULL;
}

static bool signals_pass(const struct program *program, const struct operation *operation)
{
    int64_t count = 0;
    for (int64_t id = 1; id <= program->task->last_stored; id++)
        count += is_client_signal(event_at(program, id));
    return count >= operation->count;
}

static void end_run(struct program *program, unsigned generation)
{
    struct sim *sim = program->sim;
    if (generation + 1 >= program->work->generations) {
        struct command_Command *command = add_command(program,
                                                      enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
        command->attributes_case = 4;
        command->complete_workflow_execution_command_attributes =
            NEW(sim, struct command_CompleteWorkflowExecutionCommandAttributes);
        return;
    }
    struct command_Command                                         *command = add_command(program,
                                                                                          enums_COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION);
    struct command_ContinueAsNewWorkflowExecutionCommandAttributes *attributes =
        NEW(sim, struct command_ContinueAsNewWorkflowExecutionCommandAttributes);
    char name[24];
    snprintf(name, sizeof(name), "generation %u", generation + 1);
    attributes->workflow_type = NEW(sim, struct common_WorkflowType);
    attributes->workflow_type->name = sim_text(sim, name);
    attributes->task_queue = sim_queue(sim, SIM_QUEUE, false);
    command->attributes_case = 11;
    command->continue_as_new_workflow_execution_command_attributes = attributes;
}

/* What the program does next, given everything that happened. */
static void run_program(struct program *program)
{
    struct work *work = program->work;
    for (size_t i = 0; i < work->operation_count; i++) {
        const struct operation *operation = &work->operations[i];
        bool pass = operation->kind == OPERATION_ACTIVITIES ? activities_pass(program, i, operation)
                    : operation->kind == OPERATION_TIMER    ? timer_passes(program, i, operation)
                    : operation->kind == OPERATION_CHILDREN ? children_pass(program, i, operation)
                                                            : signals_pass(program, operation);
        if (!pass)
            return;
    }
    end_run(program, generation_of(program->task));
}

/* A child's program: it signals its parent, and completes when it knows that the signal is there. */
static void run_child(struct program *program)
{
    struct sim *sim = program->sim;
    bool        asked = false;
    for (int64_t id = 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        asked = asked || event->event_type == enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED;
        if (event->event_type == enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_FAILED)
            sim_fail(sim, "%.*s: its signal did not find its parent", BYTES_FMT(program->task->workflow_id));
        if (event->event_type != enums_EVENT_TYPE_EXTERNAL_WORKFLOW_EXECUTION_SIGNALED)
            continue;
        struct command_Command *command = add_command(program,
                                                      enums_COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION);
        command->attributes_case = 4;
        command->complete_workflow_execution_command_attributes =
            NEW(sim, struct command_CompleteWorkflowExecutionCommandAttributes);
        return;
    }
    if (asked)
        return;
    const struct common_WorkflowExecution *parent =
        event_at(program, 1)->workflow_execution_started_event_attributes->parent_workflow_execution;
    struct command_Command                                          *command = add_command(program,
                                                                                           enums_COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION);
    struct command_SignalExternalWorkflowExecutionCommandAttributes *attributes =
        NEW(sim, struct command_SignalExternalWorkflowExecutionCommandAttributes);
    attributes->execution = sim_execution(sim, parent->workflow_id, BYTES_EMPTY);
    attributes->signal_name = BYTES("child");
    command->attributes_case = 13;
    command->signal_external_workflow_execution_command_attributes = attributes;
}

void program_run(struct program *program)
{
    (program->work == NULL ? run_child : run_program)(program);
}
