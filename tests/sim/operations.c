/* operations.c: the steps of a simulated workflow's program, each with the commands it needs. */
#include <stdio.h>

#include "program.h"

#define LONG_NS    (86400 * NS_PER_S)
#define PATIENT_NS (60 * NS_PER_S) /* an operation that is longer takes its time in all that it does */

/* --- commands --- */

void start_timer(struct program *program, const char *name, int64_t duration)
{
    struct sim                                 *sim = program->sim;
    struct command_StartTimerCommandAttributes *attributes = ADD_COMMAND(program, START_TIMER, 3, start_timer,
                                                                         command_StartTimerCommandAttributes);
    attributes->timer_id = sim_text(sim, name);
    attributes->start_to_fire_timeout = duration_of_ns(&actors_of(sim)->arena, duration);
}

static void cancel_timer(struct program *program, const char *name)
{
    struct command_CancelTimerCommandAttributes *attributes =
        ADD_COMMAND(program, CANCEL_TIMER, 7, cancel_timer, command_CancelTimerCommandAttributes);
    attributes->timer_id = sim_text(program->sim, name);
}

static struct command_ScheduleActivityTaskCommandAttributes *schedule_activity(struct program *program,
                                                                               const char     *name,
                                                                               const char     *type)
{
    struct sim                                           *sim = program->sim;
    struct arena                                         *arena = &actors_of(sim)->arena;
    struct command_ScheduleActivityTaskCommandAttributes *attributes =
        ADD_COMMAND(program, SCHEDULE_ACTIVITY_TASK, 2, schedule_activity_task,
                    command_ScheduleActivityTaskCommandAttributes);
    attributes->activity_id = sim_text(sim, name);
    attributes->activity_type = NEW(sim, struct common_ActivityType);
    attributes->activity_type->name = sim_text(sim, type);
    attributes->task_queue = sim_queue(sim, SIM_QUEUE, false);
    attributes->input = sim_payloads(sim, name);
    attributes->start_to_close_timeout = duration_of_ns(arena, 10 * NS_PER_S);
    attributes->request_eager_execution = has_feature(sim, FEATURE_EAGER);
    return attributes;
}

static void retries(struct sim *sim, struct common_RetryPolicy **policy, int32_t attempts, int64_t interval)
{
    struct arena *arena = &actors_of(sim)->arena;
    *policy = NEW(sim, struct common_RetryPolicy);
    (*policy)->initial_interval = duration_of_ns(arena, interval);
    (*policy)->backoff_coefficient = 2;
    (*policy)->maximum_attempts = attempts;
}

void signal_external(struct program *program, struct bytes workflow_id, struct bytes name,
                     struct bytes control)
{
    struct command_SignalExternalWorkflowExecutionCommandAttributes *attributes =
        ADD_COMMAND(program, SIGNAL_EXTERNAL_WORKFLOW_EXECUTION, 13, signal_external_workflow_execution,
                    command_SignalExternalWorkflowExecutionCommandAttributes);
    attributes->execution = sim_execution(program->sim, workflow_id, BYTES_EMPTY);
    attributes->signal_name = name;
    attributes->control = control;
}

static void start_child(struct program *program, const char *name, const char *type, int32_t close_policy)
{
    struct sim                                                  *sim = program->sim;
    struct command_StartChildWorkflowExecutionCommandAttributes *attributes =
        ADD_COMMAND(program, START_CHILD_WORKFLOW_EXECUTION, 12, start_child_workflow_execution,
                    command_StartChildWorkflowExecutionCommandAttributes);
    attributes->workflow_id = sim_text(sim, name);
    attributes->workflow_type = NEW(sim, struct common_WorkflowType);
    attributes->workflow_type->name = sim_text(sim, type);
    attributes->task_queue = sim_queue(sim, SIM_QUEUE, false);
    attributes->workflow_id_reuse_policy = enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE;
    attributes->parent_close_policy = close_policy;
}

/* --- operations --- */

static bool activities_pass(struct program *program, size_t index, const struct operation *operation)
{
    bool pass = true;
    for (int64_t i = 0; i < operation->count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "a%zu.%d", index, (int)i);
        int64_t scheduled = find_event(program, enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, name);
        if (scheduled == 0) {
            struct command_ScheduleActivityTaskCommandAttributes *attributes = schedule_activity(program,
                                                                                                 name,
                                                                                                 "activity");
            if (program->work->number % 2 == 0)
                attributes->heartbeat_timeout = duration_of_ns(&actors_of(program->sim)->arena, 3 * NS_PER_S);
        }
        pass = pass && scheduled != 0 && is_over(program, scheduled);
    }
    return pass;
}

static bool timer_passes(struct program *program, size_t index, const struct operation *operation)
{
    char name[24];
    snprintf(name, sizeof(name), "t%zu", index);
    int64_t started = find_event(program, enums_EVENT_TYPE_TIMER_STARTED, name);
    if (started == 0)
        start_timer(program, name, operation->duration);
    return started != 0 && is_over(program, started);
}

static void child_name(const struct program *program, size_t index, int64_t i, char name[static 72])
{
    struct bytes run = original_run(program);
    snprintf(name, 72, "%s.%.*s.%zu.%d", program->work->id, BYTES_FMT(run), index, (int)i);
}

static bool children_pass(struct program *program, size_t index, const struct operation *operation)
{
    bool pass = true;
    for (int64_t i = 0; i < operation->count; i++) {
        char name[72];
        child_name(program, index, i, name);
        int64_t initiated = find_event(program, enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
                                       name);
        if (initiated == 0)
            start_child(program, name, CHILD_TYPE, 0);
        pass = pass && initiated != 0 && is_over(program, initiated);
    }
    return pass;
}

/* What an SDK does for versions, side effects and local activities: it does not wait. */
static bool marker_passes(struct program *program, size_t index, const struct operation *operation)
{
    for (int64_t i = 0; i < operation->count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "m%zu.%d", index, (int)i);
        if (find_event(program, enums_EVENT_TYPE_MARKER_RECORDED, name) != 0)
            continue;
        struct command_RecordMarkerCommandAttributes *attributes =
            ADD_COMMAND(program, RECORD_MARKER, 10, record_marker, command_RecordMarkerCommandAttributes);
        attributes->marker_name = sim_text(program->sim, name);
        attributes->details = NEW(program->sim, struct command_RecordMarkerCommandAttributes_DetailsEntry);
        attributes->details_count = 1;
        attributes->details[0].key = BYTES("data");
        attributes->details[0].value = sim_payloads(program->sim, name);
    }
    return true;
}

static struct bytes integer(struct sim *sim, int64_t value)
{
    struct arena                       *arena = &actors_of(sim)->arena;
    struct common_Payload_MetadataEntry metadata[2] = { { BYTES("encoding"), BYTES("json/plain") },
                                                        { BYTES("type"), BYTES("Int") } };
    struct common_Payload               payload = { .metadata = metadata,
                                                    .metadata_count = 2,
                                                    .data = arena_printf(arena, "%" PRId64, value) };
    return pb_encode_arena(&pb_common_Payload, &payload, arena);
}

/* How many such operations there are up to this one in the program. */
static int64_t ordinal(const struct program *program, size_t index, enum operation_kind kind)
{
    int64_t count = 0;
    for (size_t i = 0; i <= index; i++)
        count += program->work->operations[i].kind == kind;
    return count;
}

static bool upsert_passes(struct program *program, size_t index, const struct operation *operation)
{
    struct sim   *sim = program->sim;
    struct arena *arena = &actors_of(sim)->arena;
    if (count_events(program, enums_EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES) >=
        ordinal(program, index, OPERATION_UPSERT))
        return true;
    struct common_SearchAttributes_IndexedFieldsEntry attribute = { BYTES("Step"),
                                                                    integer(sim, operation->count) };
    struct common_SearchAttributes                    attributes = { &attribute, 1 };
    struct common_Memo_FieldsEntry                    field = { BYTES("step"), integer(sim, (int64_t)index) };
    struct common_Memo                                memo = { &field, 1 };
    ADD_COMMAND(program, UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, 14, upsert_workflow_search_attributes,
                command_UpsertWorkflowSearchAttributesCommandAttributes)
        ->search_attributes = pb_encode_arena(&pb_common_SearchAttributes, &attributes, arena);
    ADD_COMMAND(program, MODIFY_WORKFLOW_PROPERTIES, 17, modify_workflow_properties,
                command_ModifyWorkflowPropertiesCommandAttributes)
        ->upserted_memo = pb_encode_arena(&pb_common_Memo, &memo, arena);
    return true;
}

/* A long timer that is cancelled when a short one has fired. */
static bool race_passes(struct program *program, size_t index, const struct operation *operation)
{
    char hare[24], tortoise[24];
    snprintf(hare, sizeof(hare), "hare%zu", index);
    snprintf(tortoise, sizeof(tortoise), "tortoise%zu", index);
    int64_t started = find_event(program, enums_EVENT_TYPE_TIMER_STARTED, hare);
    if (started == 0) {
        start_timer(program, tortoise, MAX(LONG_NS, operation->duration));
        start_timer(program, hare, MIN(operation->duration, NS_PER_S));
        return false;
    }
    if (!is_over(program, started))
        return false;
    /* In a run that was reset it may have had all the time it wanted. */
    int64_t slow = find_event(program, enums_EVENT_TYPE_TIMER_STARTED, tortoise);
    if (!is_over(program, slow))
        cancel_timer(program, tortoise);
    return true;
}

static bool is_cancel_requested(const struct program *program, int64_t scheduled)
{
    for (int64_t id = scheduled + 1; id <= program->task->last_stored; id++) {
        const struct history_HistoryEvent *event = event_at(program, id);
        if (event->event_type == enums_EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED &&
            event->activity_task_cancel_requested_event_attributes->scheduled_event_id == scheduled)
            return true;
    }
    return false;
}

/* An activity that goes on until it hears that it is cancelled. */
static bool cancelled_activity_passes(struct program *program, size_t index,
                                      const struct operation *operation)
{
    char name[24], timer[24];
    snprintf(name, sizeof(name), "w%zu", index);
    snprintf(timer, sizeof(timer), "tw%zu", index);
    int64_t scheduled = find_event(program, enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, name);
    if (scheduled == 0) {
        struct command_ScheduleActivityTaskCommandAttributes *attributes = schedule_activity(program, name,
                                                                                             "waits");
        attributes->heartbeat_timeout = duration_of_ns(&actors_of(program->sim)->arena, 5 * NS_PER_S);
        attributes->start_to_close_timeout = duration_of_ns(&actors_of(program->sim)->arena, 60 * NS_PER_S);
        start_timer(program, timer, MIN(operation->duration, NS_PER_S));
        return false;
    }
    if (is_over(program, scheduled))
        return true;
    int64_t started = find_event(program, enums_EVENT_TYPE_TIMER_STARTED, timer);
    if (is_over(program, started) && !is_cancel_requested(program, scheduled)) {
        struct command_RequestCancelActivityTaskCommandAttributes *attributes =
            ADD_COMMAND(program, REQUEST_CANCEL_ACTIVITY_TASK, 6, request_cancel_activity_task,
                        command_RequestCancelActivityTaskCommandAttributes);
        attributes->scheduled_event_id = scheduled;
    }
    return false;
}

/* Activities that do not end well: each of the four timeouts, and failures until the attempts are used up. */
static bool failing_activity_passes(struct program *program, size_t index, const struct operation *operation)
{
    struct sim   *sim = program->sim;
    struct arena *arena = &actors_of(sim)->arena;
    char          name[24];
    snprintf(name, sizeof(name), "f%zu", index);
    int64_t scheduled = find_event(program, enums_EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, name);
    if (scheduled != 0)
        return is_over(program, scheduled);
    int64_t                                               how = operation->duration % 5;
    bool                                                  patient = operation->duration > PATIENT_NS;
    struct command_ScheduleActivityTaskCommandAttributes *attributes = schedule_activity(program, name,
                                                                                         how == 4 ? "fails"
                                                                                                  : "silent");
    retries(sim, &attributes->retry_policy, (int32_t)operation->count,
            patient ? operation->duration / 4 : NS_PER_S);
    attributes->start_to_close_timeout = duration_of_ns(arena, 2 * NS_PER_S);
    if (how == 0) {
        attributes->task_queue = sim_queue(sim, "nobody", false);
        attributes->schedule_to_start_timeout = duration_of_ns(arena, 3 * NS_PER_S);
    } else if (how == 1) {
        retries(sim, &attributes->retry_policy, 0, patient ? operation->duration / 8 : NS_PER_S);
        attributes->schedule_to_close_timeout = duration_of_ns(arena,
                                                               patient ? operation->duration : 7 * NS_PER_S);
    } else if (how == 2) {
        attributes->start_to_close_timeout = duration_of_ns(arena, 20 * NS_PER_S);
        attributes->heartbeat_timeout = duration_of_ns(arena, 2 * NS_PER_S);
    }
    return false;
}

/* A signal to another workflow, which may be there or not. */
static bool signal_out_passes(struct program *program, size_t index, const struct operation *operation)
{
    struct sim *sim = program->sim;
    char        name[24], target[40];
    snprintf(name, sizeof(name), "s%zu", index);
    int64_t initiated = find_event(program, enums_EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
                                   name);
    if (initiated != 0)
        return is_over(program, initiated);
    snprintf(target, sizeof(target), "workflow-%zu",
             (program->work->number + (size_t)operation->count) % actors_of(sim)->work_count);
    signal_external(program, sim_text(sim, target), BYTES("external"), sim_text(sim, name));
    return false;
}

static bool cancelled_child_passes(struct program *program, size_t index,
                                   const struct operation *operation UNUSED)
{
    char name[72];
    child_name(program, index, 0, name);
    int64_t initiated = find_event(program, enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED, name);
    if (initiated == 0) {
        start_child(program, name, WAITER_TYPE, 0);
        return false;
    }
    if (is_over(program, initiated))
        return true;
    if (is_child_started(program, initiated) &&
        find_event(program, enums_EVENT_TYPE_REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED, name) ==
            0) {
        struct command_RequestCancelExternalWorkflowExecutionCommandAttributes *attributes =
            ADD_COMMAND(program, REQUEST_CANCEL_EXTERNAL_WORKFLOW_EXECUTION, 9,
                        request_cancel_external_workflow_execution,
                        command_RequestCancelExternalWorkflowExecutionCommandAttributes);
        attributes->workflow_id = sim_text(program->sim, name);
        attributes->child_workflow_only = true;
    }
    return false;
}

/* A child that is left behind; its parent's end decides about it. */
static bool left_child_passes(struct program *program, size_t index, const struct operation *operation)
{
    char name[72];
    child_name(program, index, 0, name);
    int64_t initiated = find_event(program, enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED, name);
    if (initiated == 0)
        start_child(program, name, WAITER_TYPE, (int32_t)operation->count);
    return initiated != 0 && (is_child_started(program, initiated) || is_over(program, initiated));
}

static bool signals_pass(struct program *program, size_t index UNUSED, const struct operation *operation)
{
    int64_t count = 0;
    for (int64_t id = 1; id <= program->task->last_stored; id++)
        count += is_client_signal(event_at(program, id));
    return count >= operation->count;
}

bool operation_passes(struct program *program, size_t index, const struct operation *operation)
{
    static bool (*const passes[OPERATION_COUNT])(struct program *, size_t, const struct operation *) = {
        [OPERATION_ACTIVITIES] = activities_pass,
        [OPERATION_TIMER] = timer_passes,
        [OPERATION_CHILDREN] = children_pass,
        [OPERATION_MARKER] = marker_passes,
        [OPERATION_UPSERT] = upsert_passes,
        [OPERATION_RACE] = race_passes,
        [OPERATION_CANCELLED_ACTIVITY] = cancelled_activity_passes,
        [OPERATION_FAILING_ACTIVITY] = failing_activity_passes,
        [OPERATION_SIGNAL_OUT] = signal_out_passes,
        [OPERATION_CANCELLED_CHILD] = cancelled_child_passes,
        [OPERATION_LEFT_CHILD] = left_child_passes,
        [OPERATION_SIGNALS] = signals_pass,
    };
    return passes[operation->kind](program, index, operation);
}
