/* random_test.c: random requests against the engine; the harness checks its invariants after every one.
 *
 * A failing seed is printed and repeats exactly.
 */
#include "engine/damage_harness.h"
#include "engine/message.h"
#include "engine/update_harness.h"

#define STEPS       20000
#define STEPS_WORLD 400
#define TOKENS_MAX  6

#define DAMAGES_WORLD 200

struct player {
    struct world       *w;
    struct task_ref     tasks[TOKENS_MAX];
    struct activity_ref activities[TOKENS_MAX];
    size_t              task_count, activity_count;
    uint64_t            next_name;
};

static uint64_t below(struct player *p, uint64_t bound)
{
    return random_below(&p->w->random, bound);
}
static bool chance(struct player *p, uint64_t percent)
{
    return below(p, 100) < percent;
}
static const char *name(struct player *p, const char *prefix, uint64_t variants)
{
    struct bytes text = arena_printf(&p->w->keep, "%s%" PRIu64, prefix, below(p, variants));
    char        *copy = ARENA_NEW_ARRAY(&p->w->keep, char, text.size + 1);
    memcpy(copy, text.base, text.size);
    return copy;
}
static struct google_Duration *seconds(struct player *p, uint64_t bound)
{
    return duration_of_ns(&p->w->arena, (int64_t)below(p, bound) * NS_PER_S);
}

static struct common_RetryPolicy *policy(struct player *p)
{
    struct common_RetryPolicy *made = ARENA_NEW(&p->w->arena, struct common_RetryPolicy);
    made->maximum_attempts = (int32_t)below(p, 4);
    if (chance(p, 20)) {
        made->non_retryable_error_types = ARENA_NEW_ARRAY(&p->w->arena, struct bytes, 1);
        made->non_retryable_error_types[0] = BYTES("f1");
        made->non_retryable_error_types_count = 1;
    }
    return made;
}

static void play_start(struct player *p)
{
    struct world                                         *w = p->w;
    struct workflowservice_StartWorkflowExecutionRequest *input = world_start_request(w,
                                                                                      name(p, "start-", 5));
    input->workflow_id_reuse_policy = (int32_t)below(p, 5);
    input->workflow_id_conflict_policy = (int32_t)below(p, 4);
    input->request_eager_execution = chance(p, 20);
    if (chance(p, 30))
        input->workflow_run_timeout = seconds(p, 200);
    if (chance(p, 20))
        input->workflow_execution_timeout = seconds(p, 400);
    if (chance(p, 30))
        input->retry_policy = policy(p);
    if (chance(p, 15))
        input->cron_schedule = BYTES("@every 20s");
    else if (chance(p, 15))
        input->workflow_start_delay = seconds(p, 20);
    if (chance(p, 20)) {
        input->on_conflict_options = ARENA_NEW(&w->arena, struct workflow_OnConflictOptions);
        input->on_conflict_options->attach_request_id = true;
    }
    if (!input->request_eager_execution && input->cron_schedule.size == 0 &&
        input->workflow_start_delay == NULL && chance(p, 20)) {
        w->request.base.command = WORKFLOW_UPDATE_WITH_START;
        w->request.update_input = update_input_of(w, name(p, "u", 20));
    }
    if (world_start_send(w) != NULL && w->request.has_delivery && p->task_count < TOKENS_MAX)
        p->tasks[p->task_count++] = w->request.delivery.task;
}

static void play_signal_with_start(struct player *p)
{
    struct world            *w = p->w;
    struct workflow_request *request = world_request(w, WORKFLOW_SIGNAL_WITH_START);
    struct workflowservice_SignalWithStartWorkflowExecutionRequest *input =
        ARENA_NEW(&w->arena, struct workflowservice_SignalWithStartWorkflowExecutionRequest);
    input->workflow_id = BYTES("wf");
    input->workflow_type = ARENA_NEW(&w->arena, struct common_WorkflowType);
    input->workflow_type->name = BYTES("Type");
    input->task_queue = ARENA_NEW(&w->arena, struct taskqueue_TaskQueue);
    input->task_queue->name = BYTES("queue");
    input->signal_name = BYTES("sws");
    input->request_id = bytes_of_text(name(p, "start-", 5));
    input->workflow_id_conflict_policy = chance(p, 10) ? enums_WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
                                                       : 0;
    request->input = input;
    world_step(w, world_current(w));
}

static void play_commands(struct player *p, struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    struct world *w = p->w;
    size_t        count = (size_t)below(p, 5);
    for (size_t i = 0; i < count; i++) {
        switch (below(p, 12)) {
        case 9:
            command_child(w, input)->parent_close_policy = (int32_t)below(p, 4);
            break;
        case 10:
            command_signal(w, input, chance(p, 90) ? "other" : "wf");
            break;
        case 11:
            command_cancel(w, input, chance(p, 90) ? "other" : "wf");
            break;
        case 0:
        case 1:
        case 2: {
            struct command_ScheduleActivityTaskCommandAttributes *activity = command_activity(w, input,
                                                                                              name(p, "a",
                                                                                                   40));
            activity->request_eager_execution = chance(p, 20);
            if (chance(p, 50))
                activity->retry_policy = policy(p);
            if (chance(p, 30))
                activity->schedule_to_close_timeout = seconds(p, 60);
            if (chance(p, 30))
                activity->heartbeat_timeout = seconds(p, 10);
            if (chance(p, 20))
                activity->schedule_to_start_timeout = seconds(p, 10);
            break;
        }
        case 3:
        case 4:
            command_timer(w, input, name(p, "t", 12), (int64_t)below(p, 30) * NS_PER_S);
            break;
        case 5:
            command_cancel_timer(w, input, name(p, "t", 12));
            break;
        case 6: {
            const struct execution *state = world_state(w);
            int64_t                 id = state->activity_count != 0
                                             ? state->activities[below(p, state->activity_count)].scheduled_event_id
                                             : (int64_t)below(p, 50);
            command_cancel_activity(w, input, id);
            break;
        }
        case 7:
            command_marker(w, input);
            break;
        default: {
            struct command_Command        *command = command_add(input,
                                                                 enums_COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES);
            struct common_Memo_FieldsEntry field = { .key = bytes_of_text(name(p, "k", 3)) };
            struct common_Payload          payload = { .data = chance(p, 30) ? BYTES("null") : BYTES("1") };
            struct common_Memo             memo = { .fields = &field, .fields_count = 1 };
            field.value = pb_encode_arena(&pb_common_Payload, &payload, &w->arena);
            command->attributes_case = 17;
            command->modify_workflow_properties_command_attributes =
                ARENA_NEW(&w->arena, struct command_ModifyWorkflowPropertiesCommandAttributes);
            command->modify_workflow_properties_command_attributes->upserted_memo =
                pb_encode_arena(&pb_common_Memo, &memo, &w->arena);
            break;
        }
        }
    }
    if (!chance(p, 4))
        return;
    switch (below(p, 3)) {
    case 0:
        command_complete(w, input);
        break;
    case 1:
        command_fail(w, input, app_failure(&w->arena, name(p, "f", 3)));
        break;
    default:
        command_continue(w, input);
        break;
    }
}

/* What a worker says about the updates that it was given, or was not. */
static void play_messages(struct player *p, struct workflowservice_RespondWorkflowTaskCompletedRequest *input)
{
    struct world             *w = p->w;
    const struct update_book *book = execution_updates(world_state(w));
    for (uint32_t i = 0; i < book->waiting_count; i++) {
        struct bytes id = arena_copy(&w->arena, book->waiting[i].id);
        if (!book->waiting[i].is_sent || chance(p, 10))
            continue;
        if (chance(p, 40)) {
            message_reject(w, input, id);
            continue;
        }
        message_accept(w, input, id);
        if (chance(p, 50))
            message_respond(w, input, id);
    }
    for (uint32_t i = 0; i < book->update_count; i++)
        if (book->updates[i].completed_event_id == 0 && chance(p, 15))
            message_respond(w, input, arena_copy(&w->arena, book->updates[i].id));
    if (chance(p, 5)) /* unknown, or known and in whatever state */
        chance(p, 50) ? message_accept(w, input, bytes_of_text(name(p, "u", 25)))
                      : message_respond(w, input, bytes_of_text(name(p, "u", 25)));
}

static struct task_ref take_task(struct player *p)
{
    size_t          at = (size_t)below(p, p->task_count);
    struct task_ref task = p->tasks[at];
    if (!chance(p, 10)) /* now and then it is used twice */
        p->tasks[at] = p->tasks[--p->task_count];
    task.workflow_id = BYTES("wf");
    task.namespace_id = BYTES(WORLD_NAMESPACE_ID);
    return task;
}

static void play_task(struct player *p)
{
    struct world *w = p->w;
    if (p->task_count == 0) {
        if (world_poll_as(w, chance(p, 20), &p->tasks[0]))
            p->task_count = 1;
        return;
    }
    struct task_ref task = take_task(p);
    switch (below(p, 12)) {
    case 0:
        world_task_fail(w, task);
        return;
    case 1:
        world_request(w, WORKFLOW_TASK_RETURN)->token = task;
        world_step(w, world_current(w));
        return;
    case 2:
        return; /* lost: it times out */
    default:
        break;
    }
    struct workflowservice_RespondWorkflowTaskCompletedRequest *input = world_completion(w, task);
    input->return_new_workflow_task = chance(p, 60);
    input->force_create_new_workflow_task = chance(p, 10);
    if (chance(p, 60))
        completion_sticky(w, input);
    if (chance(p, 50)) { /* a task of which nothing may remain */
        input->capabilities =
            ARENA_NEW(&w->arena, struct workflowservice_RespondWorkflowTaskCompletedRequest_Capabilities);
        input->capabilities->discard_speculative_workflow_task_with_events = true;
    }
    play_messages(p, input);
    if (!world_state(w)->task.is_speculative || chance(p, 40))
        play_commands(p, input);
    if (world_send(w) == ST_OK && w->request.has_delivery && p->task_count < TOKENS_MAX)
        p->tasks[p->task_count++] = w->request.delivery.task;
}

static void play_activity(struct player *p)
{
    struct world *w = p->w;
    if (p->activity_count == 0 || (p->activity_count < TOKENS_MAX && chance(p, 30))) {
        if (world_poll_activity_if(w, &p->activities[p->activity_count]))
            p->activity_count++;
        return;
    }
    size_t              at = (size_t)below(p, p->activity_count);
    struct activity_ref ref = p->activities[at];
    if (chance(p, 5)) {
        ref.by_id = true;
        ref.activity_id = bytes_of_text(name(p, "a", 40));
    }
    static const int kinds[] = { ACTIVITY_TASK_COMPLETE, ACTIVITY_TASK_FAIL, ACTIVITY_TASK_CANCEL,
                                 ACTIVITY_TASK_HEARTBEAT };
    int              kind = kinds[below(p, 4)];
    if (chance(p, 5)) {
        world_request(w, ACTIVITY_TASK_RETURN)->token = ref.task;
        world_step(w, world_current(w));
    } else {
        struct bytes payload = kind == ACTIVITY_TASK_FAIL ? app_failure(&w->keep, name(p, "f", 3))
                               : chance(p, 50)            ? payloads_of(&w->keep, "1")
                                                          : BYTES_EMPTY;
        world_activity(w, kind, ref, payload);
    }
    if (kind != ACTIVITY_TASK_HEARTBEAT && !chance(p, 10))
        p->activities[at] = p->activities[--p->activity_count];
}

static struct activity_ActivityOptions *random_options(struct player *p)
{
    struct activity_ActivityOptions *options = ARENA_NEW(&p->w->arena, struct activity_ActivityOptions);
    options->task_queue = ARENA_NEW(&p->w->arena, struct taskqueue_TaskQueue);
    options->task_queue->name = BYTES("queue");
    options->retry_policy = policy(p);
    options->start_to_close_timeout = seconds(p, 20);
    options->heartbeat_timeout = seconds(p, 10);
    return options;
}

/* An operator and the activities: one by id, those of the one type that there is, or all. */
static void play_operator_on_activities(struct player *p)
{
    static const char *const paths[] = { "start_to_close_timeout",        "heartbeatTimeout", "retry_policy",
                                         "retry_policy.maximum_attempts", "task_queue.name",  "priority" };
    struct world            *w = p->w;
    struct workflow_request *request = world_request(w, ACTIVITY_PAUSE + (int)below(p, 4));
    struct bytes             id = bytes_of_text(name(p, "a", 40));
    const struct execution  *state = world_state(w);
    if (state->activity_count != 0 && chance(p, 90))
        id = arena_copy(&w->arena, state->activities[below(p, state->activity_count)].record->activity_id);
    bool all = chance(p, 20);
    if (request->base.command == ACTIVITY_PAUSE) {
        struct workflowservice_PauseActivityRequest *input =
            ARENA_NEW(&w->arena, struct workflowservice_PauseActivityRequest);
        *input = (struct workflowservice_PauseActivityRequest){ .activity_case = 4, .id = id };
        if (all) {
            input->activity_case = 5;
            input->type = BYTES("Act");
        }
        request->input = input;
    } else if (request->base.command == ACTIVITY_UNPAUSE) {
        struct workflowservice_UnpauseActivityRequest *input =
            ARENA_NEW(&w->arena, struct workflowservice_UnpauseActivityRequest);
        *input = (struct workflowservice_UnpauseActivityRequest){ .activity_case = all ? 6 : 4,
                                                                  .id = all ? BYTES_EMPTY : id,
                                                                  .reset_attempts = chance(p, 30),
                                                                  .reset_heartbeat = chance(p, 30) };
        input->jitter = chance(p, 50) ? seconds(p, 10) : NULL;
        request->input = input;
    } else if (request->base.command == ACTIVITY_RESET) {
        struct workflowservice_ResetActivityRequest *input =
            ARENA_NEW(&w->arena, struct workflowservice_ResetActivityRequest);
        *input = (struct workflowservice_ResetActivityRequest){ .activity_case = all ? 10 : 4,
                                                                .id = all ? BYTES_EMPTY : id,
                                                                .reset_heartbeat = chance(p, 30),
                                                                .keep_paused = chance(p, 50),
                                                                .restore_original_options = chance(p, 50) };
        input->jitter = chance(p, 50) ? seconds(p, 10) : NULL;
        request->input = input;
    } else {
        struct workflowservice_UpdateActivityOptionsRequest *input =
            ARENA_NEW(&w->arena, struct workflowservice_UpdateActivityOptionsRequest);
        *input = (struct workflowservice_UpdateActivityOptionsRequest){ .activity_case = all ? 9 : 6,
                                                                        .id = all ? BYTES_EMPTY : id,
                                                                        .restore_original = chance(p, 20) };
        input->activity_options = random_options(p);
        input->update_mask = ARENA_NEW(&w->arena, struct google_FieldMask);
        input->update_mask->paths = ARENA_NEW_ARRAY(&w->arena, struct bytes, 1);
        input->update_mask->paths[0] = bytes_of_text(paths[below(p, ARRAY_COUNT(paths))]);
        input->update_mask->paths_count = 1;
        request->input = input;
    }
    world_step(w, world_current(w));
}

static void play_operator(struct player *p)
{
    struct world *w = p->w;
    if (!chance(p, 30)) {
        play_operator_on_activities(p);
        return;
    }
    /* Pauses end more often than they begin, so that there is something to pause. */
    int command = chance(p, 30) ? WORKFLOW_PAUSE : chance(p, 70) ? WORKFLOW_UNPAUSE : WORKFLOW_UPDATE_OPTIONS;
    struct workflow_request *request = world_request(w, command);
    if (command == WORKFLOW_PAUSE) {
        request->input = ARENA_NEW(&w->arena, struct workflowservice_PauseWorkflowExecutionRequest);
    } else if (command == WORKFLOW_UNPAUSE) {
        request->input = ARENA_NEW(&w->arena, struct workflowservice_UnpauseWorkflowExecutionRequest);
    } else {
        struct common_Priority priority = { .priority_key = (int32_t)below(p, 4) };
        struct workflowservice_UpdateWorkflowExecutionOptionsRequest *input =
            ARENA_NEW(&w->arena, struct workflowservice_UpdateWorkflowExecutionOptionsRequest);
        input->workflow_execution_options = ARENA_NEW(&w->arena, struct workflow_WorkflowExecutionOptions);
        input->workflow_execution_options->priority = pb_encode_arena(&pb_common_Priority, &priority,
                                                                      &w->arena);
        input->update_mask = ARENA_NEW(&w->arena, struct google_FieldMask);
        input->update_mask->paths = ARENA_NEW_ARRAY(&w->arena, struct bytes, 1);
        input->update_mask->paths[0] = BYTES("priority");
        input->update_mask->paths_count = 1;
        request->input = input;
    }
    world_step(w, world_current(w));
}

static void play_read(struct player *p)
{
    struct world            *w = p->w;
    static const int         kinds[] = { WORKFLOW_DESCRIBE, WORKFLOW_HISTORY, WORKFLOW_QUERY };
    struct workflow_request *request = world_request(w, kinds[below(p, 3)]);
    request->reader_sees_virtual_events = true;
    request->input = ARENA_NEW(&w->arena, struct workflowservice_QueryWorkflowRequest);
    world_step(w, world_current(w));
    CHECK(!w->last_changed);
}

/* Any run, at any event, but most often at the end of a workflow task. */
static void play_reset(struct player *p)
{
    struct world     *w = p->w;
    size_t            index = (size_t)below(p, w->run_count);
    struct world_run *run = w->runs[index];
    int64_t           event_id = (int64_t)below(p, run->event_count + 2);
    for (size_t i = (size_t)event_id; chance(p, 80) && i < run->event_count; i++)
        if (event_peek_type(run->events[i]) == enums_EVENT_TYPE_WORKFLOW_TASK_COMPLETED) {
            event_id = (int64_t)i + 1;
            break;
        }
    enum status status = world_reset(w, (int)index, event_id, chance(p, 90) ? "" : "the same reset");
    CHECK(status == ST_OK || status == ST_INVALID_ARGUMENT);
}

static void play_delete(struct player *p)
{
    struct world *w = p->w;
    for (size_t i = 0; i < w->run_count; i++)
        if (w->runs[i]->base == world_current(w))
            return;
    CHECK_INT(world_delete(w), ST_OK);
}

/* --- what others say --- */

static struct bytes run_id_of(struct player *p)
{
    struct uuid id = p->w->run_count != 0 && chance(p, 90) ? world_state(p->w)->run_id
                                                           : (struct uuid){ { 1 } };
    return arena_copy(&p->w->arena, bytes_of(id.byte, sizeof(id.byte)));
}

/* A child that is pending, or (0) none. */
static const struct child *any_child(struct player *p)
{
    const struct execution *state = p->w->run_count == 0 ? NULL : world_state(p->w);
    return state == NULL || state->child_count == 0 ? NULL
                                                    : state->children[below(p, state->child_count)].record;
}

static int64_t any_external(struct player *p, bool is_cancel)
{
    const struct execution *state = p->w->run_count == 0 ? NULL : world_state(p->w);
    uint32_t                count = state == NULL ? 0
                                    : is_cancel   ? state->external_cancel_count
                                                  : state->external_signal_count;
    if (count == 0)
        return (int64_t)below(p, 50);
    return (is_cancel ? state->external_cancels : state->external_signals)[below(p, count)];
}

static struct state_Sender *any_sender(struct player *p)
{
    struct state_Sender *sender = ARENA_NEW(&p->w->arena, struct state_Sender);
    *sender = (struct state_Sender){ .workflow_id = BYTES("other"),
                                     .run_id = run_id_of(p),
                                     .original_run_id = run_id_of(p),
                                     .initiated_event_id = 5 };
    return sender;
}

static struct bytes child_initiated(struct player *p)
{
    struct arena                                                       *arena = &p->w->arena;
    struct history_StartChildWorkflowExecutionInitiatedEventAttributes *initiated =
        ARENA_NEW(arena, struct history_StartChildWorkflowExecutionInitiatedEventAttributes);
    initiated->workflow_type = ARENA_NEW(arena, struct common_WorkflowType);
    initiated->workflow_type->name = BYTES("Type");
    initiated->task_queue = ARENA_NEW(arena, struct taskqueue_TaskQueue);
    initiated->task_queue->name = BYTES("queue");
    initiated->workflow_task_timeout = duration_of_ns(arena, 10 * NS_PER_S);
    initiated->workflow_id_reuse_policy = 1 + (int32_t)below(p, 4);
    initiated->cron_schedule = chance(p, 20) ? BYTES("@every 20s") : BYTES_EMPTY;
    struct history_HistoryEvent event = event_make(enums_EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
                                                   initiated);
    return event_encode(&event, arena);
}

static struct state_ChildEnd *child_end(struct player *p)
{
    static const int32_t   types[] = { enums_EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
                                       enums_EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
                                       enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
                                       enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
                                       enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED };
    const struct child    *child = any_child(p);
    struct state_ChildEnd *end = ARENA_NEW(&p->w->arena, struct state_ChildEnd);
    *end = (struct state_ChildEnd){ .parent_run_id = run_id_of(p),
                                    .initiated_event_id = child == NULL ? 7 : child->initiated_event_id,
                                    .first_run_id = run_id_of(p),
                                    .run_id = run_id_of(p),
                                    .event_type = types[below(p, ARRAY_COUNT(types))] };
    if (child != NULL && child->is_started)
        end->first_run_id = arena_copy(&p->w->arena,
                                       bytes_of(child->first_run_id.byte, sizeof(child->first_run_id.byte)));
    return end;
}

static void message_draw(struct player *p, struct state_Message *message)
{
    struct arena       *arena = &p->w->arena;
    const struct child *child = any_child(p);
    message->kind_case = 1 + (int)below(p, 8);
    switch (message->kind_case) {
    case MESSAGE_CHILD_START:
        message->child_start = ARENA_NEW(arena, struct state_ChildStart);
        message->child_start->parent = any_sender(p);
        message->child_start->initiated = child_initiated(p);
        break;
    case MESSAGE_CHILD_ANSWER:
        message->child_answer = ARENA_NEW(arena, struct state_ChildAnswer);
        message->child_answer->initiated_event_id = child == NULL ? 7 : child->initiated_event_id;
        message->child_answer->workflow_id = BYTES("child");
        message->child_answer->run_id = chance(p, 80) ? run_id_of(p) : BYTES_EMPTY;
        message->child_answer->cause = 1;
        break;
    case MESSAGE_CHILD_RELEASE:
        message->child_release = ARENA_NEW(arena, struct state_ChildRelease);
        message->child_release->is_orphan = chance(p, 20);
        break;
    case MESSAGE_CHILD_END:
        message->child_end = child_end(p);
        break;
    case MESSAGE_PARENT_END:
        message->parent_end = ARENA_NEW(arena, struct state_ParentEnd);
        message->parent_end->parent = any_sender(p);
        message->parent_end->first_run_id = run_id_of(p);
        message->parent_end->cancel = chance(p, 90);
        break;
    case MESSAGE_EXTERNAL_SIGNAL:
        message->external_signal = ARENA_NEW(arena, struct state_ExternalSignal);
        message->external_signal->sender = any_sender(p);
        message->external_signal->child_workflow_only = chance(p, 50);
        message->external_signal->signal_name = BYTES("external");
        break;
    case MESSAGE_EXTERNAL_CANCEL:
        message->external_cancel = ARENA_NEW(arena, struct state_ExternalCancel);
        message->external_cancel->sender = any_sender(p);
        message->external_cancel->child_workflow_only = chance(p, 50);
        break;
    default:
        message->external_answer = ARENA_NEW(arena, struct state_ExternalAnswer);
        message->external_answer->is_cancel = chance(p, 50);
        message->external_answer->initiated_event_id = any_external(p, message->external_answer->is_cancel);
        message->external_answer->cause = (int32_t)below(p, 2);
        break;
    }
}

/* A message, sent by somebody who may be wrong about everything. */
static void play_message(struct player *p)
{
    struct world        *w = p->w;
    struct state_Message message = { 0 };
    message_draw(p, &message);
    struct bytes          body = pb_encode_arena(&pb_state_Message, &message, &w->arena);
    struct entity_message sent = { .kind = ENTITY_WORKFLOW,
                                   .namespace_number = 7,
                                   .business_id = w->workflow_id,
                                   .body = arena_copy(&w->keep, body) };
    world_receive(w, &sent);
    CHECK(w->arrival.base.error.code == ST_OK || w->arrival.base.error.code == ST_RESOURCE_EXHAUSTED);
}

static void play(struct player *p)
{
    struct world *w = p->w;
    uint64_t      dice = below(p, 100);
    w->mail_count = 0; /* nobody reads it */
    if (chance(p, 12))
        play_message(p);
    else if (world_current(w) == NULL || (world_state(w)->close_time != 0 && dice < 70))
        chance(p, 70) ? play_start(p) : play_signal_with_start(p);
    else if (dice < 3)
        play_start(p);
    else if (dice < 5)
        play_signal_with_start(p);
    else if (dice < 15)
        world_signal(w, "s", chance(p, 50) ? name(p, "signal-", 30) : "");
    else if (dice < 17)
        world_cancel(w);
    else if (dice == 17 && chance(p, 30))
        world_terminate(w);
    else if (dice < 20)
        world_advance(w, (int64_t)below(p, 8) * NS_PER_S), world_due(w);
    else if (dice < 25)
        world_advance(w, (int64_t)below(p, 900) * NS_PER_MS), world_due(w);
    else if (dice < 27)
        play_read(p);
    else if (dice < 29) {
        world_request(w, WORKFLOW_RESET_STICKY);
        world_step(w, world_current(w));
    } else if (dice == 29 && chance(p, 50))
        play_reset(p);
    else if (dice == 30 && chance(p, 3))
        play_delete(p);
    else if (dice < 36)
        play_operator(p);
    else if (dice < 44)
        world_update(w, name(p, "u", 20));
    else if (dice == 44)
        world_update_poll(w, world_current(w), name(p, "u", 20));
    else if (dice < 64)
        play_activity(p);
    else
        play_task(p);
}

/* What was made is read back from a disk that has changed it. */
static void damage(struct player *p)
{
    for (int round = 0; round < DAMAGES_WORLD; round++) {
        struct world_run *run = p->w->runs[below(p, p->w->run_count)];
        damage_fold(p->w, run);
        damage_restore(p->w, run);
        arena_reset(&p->w->arena);
    }
}

static size_t play_world(uint64_t seed)
{
    struct player p = { .w = world_new(seed) };
    p.w->refold_every = 5;
    p.w->limits.buffered_events_max = 6;
    p.w->limits.pending_activities_max = 6;
    p.w->limits.pending_children_max = 5;
    p.w->limits.pending_external_signals_max = p.w->limits.pending_external_cancels_max = 3;
    p.w->limits.signals_max = 60;
    p.w->limits.updates_in_flight_max = 4;
    p.w->limits.updates_total_max = 12;
    p.w->limits.history_events_max = 500;
    p.w->limits.suggest_events = 100;
    while (p.w->steps < STEPS_WORLD && p.w->run_count < WORLD_RUNS_MAX - 1)
        play(&p);
    size_t steps = p.w->steps;
    damage(&p);
    world_free(p.w);
    return steps;
}

TEST(random_requests_keep_the_invariants)
{
    const char *given = getenv("ENGINE_SEED");
    if (given != NULL) {
        play_world(strtoull(given, NULL, 10));
        return;
    }
    size_t steps = 0;
    for (uint64_t seed = 1; steps < STEPS; seed++) {
        print_message("seed %" PRIu64 "\n", seed);
        steps += play_world(seed);
    }
    CHECK(steps >= STEPS);
}
