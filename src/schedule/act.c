/* act.c: times are taken into the buffer, and the overlap policy lets them out of it. */
#include "schedule/act.h"

#include "base/civil.h"
#include "base/clock.h"
#include "codec/pb_time.h"

enum end_wanted { END_NONE, END_CANCEL, END_TERMINATE };

bool schedule_is_active(const struct state_Schedule *record)
{
    const struct schedule_ScheduleState *state = record->schedule->state;
    return !state->paused && (!state->limited_actions || state->remaining_actions > 0);
}

bool act_has_orders(const struct state_Schedule *record)
{
    for (size_t i = 0; i < record->running_count; i++) {
        if (record->running[i].run_id.size == 0 || record->running[i].end_wanted != END_NONE)
            return true;
    }
    return false;
}

static bool is_going_to_act(const struct state_Schedule *record)
{
    return record->buffer_count != 0 || record->running_count != 0 || record->backfills_count != 0;
}

int64_t act_next_due(const struct state_Schedule *record, struct spec *spec, struct bytes seed)
{
    struct spec_time next;
    if (record->backfills_count != 0 && record->buffer_count < SCHEDULE_BUFFER_MAX)
        return 0;
    if (schedule_is_active(record) && spec_next(spec, record->processed, seed, &next))
        return next.actual;
    return record->idle_since == 0 ? TIME_NEVER : time_add(record->idle_since, SCHEDULE_IDLE_NS);
}

/* --- the buffer --- */

static void push(struct act *act, struct spec_time time, int32_t overlap_policy, bool is_manual)
{
    struct state_Schedule *record = act->record;
    if (record->buffer_count >= SCHEDULE_BUFFER_MAX) {
        record->buffer_dropped++;
        return;
    }
    struct state_ScheduledStart *buffer = ARENA_NEW_ARRAY(act->arena, struct state_ScheduledStart,
                                                          record->buffer_count + 1);
    if (record->buffer_count != 0)
        memcpy(buffer, record->buffer, record->buffer_count * sizeof *buffer);
    buffer[record->buffer_count++] = (struct state_ScheduledStart){ .id = ++record->last_id,
                                                                    .nominal_time = time.nominal,
                                                                    .actual_time = time.actual,
                                                                    .overlap_policy = overlap_policy,
                                                                    .is_manual = is_manual };
    record->buffer = buffer;
}

static void take_times(struct act *act)
{
    struct state_Schedule *record = act->record;
    int64_t                catchup = duration_ns(record->schedule->policies->catchup_window);
    struct spec_time       time;
    if (!schedule_is_active(record)) { /* these times are lost */
        record->processed = MAX(record->processed, act->now);
        return;
    }
    for (int i = 0; i < SCHEDULE_TIMES_MAX; i++) {
        if (!spec_next(act->spec, record->processed, act->seed, &time) || time.actual > act->now)
            return;
        record->processed = time.nominal;
        if (time.actual < act->now - catchup)
            record->missed_catchup_window++;
        else
            push(act, time, enums_SCHEDULE_OVERLAP_POLICY_UNSPECIFIED, false);
    }
}

/* The oldest backfill first, some of its times at once. */
static void take_backfills(struct act *act)
{
    struct state_Schedule *record = act->record;
    for (int i = 0; i < SCHEDULE_BACKFILL_ROUND && record->backfills_count != 0; i++) {
        struct state_ScheduledBackfill *first = &record->backfills[0];
        struct spec_time                time;
        if (record->buffer_count >= SCHEDULE_BUFFER_MAX)
            return;
        if (spec_next(act->spec, first->next_time - 1, act->seed, &time) && time.nominal <= first->end_time) {
            first->next_time = time.nominal + 1;
            push(act, (struct spec_time){ time.nominal, act->now }, first->overlap_policy, true);
        } else {
            record->backfills++;
            record->backfills_count--;
        }
    }
}

void act_trigger(struct act *act, int64_t time, int32_t overlap_policy)
{
    push(act, (struct spec_time){ time, act->now }, overlap_policy, true);
}

/* --- out of it --- */

static struct bytes workflow_id_of(const struct act *act, const struct state_ScheduledStart *start)
{
    const struct schedule_Schedule *schedule = act->record->schedule;
    struct bytes                    base = schedule->action->start_workflow->workflow_id;
    int64_t                         seconds = start->nominal_time / NS_PER_S, year, month, day;
    if (schedule->policies->keep_original_workflow_id)
        return base;
    civil_date(seconds / 86400, &year, &month, &day);
    return arena_printf(act->arena,
                        "%.*s-%04" PRId64 "-%02" PRId64 "-%02" PRId64 "T%02" PRId64 ":%02" PRId64
                        ":%02" PRId64 "Z",
                        BYTES_FMT(base), year, month, day, seconds / 3600 % 24, seconds / 60 % 60,
                        seconds % 60);
}

/* False: it cannot be now. */
static bool begin(struct act *act, const struct state_ScheduledStart *start, bool is_untracked)
{
    struct state_Schedule         *record = act->record;
    struct schedule_ScheduleState *state = record->schedule->state;
    if (!start->is_manual && state->limited_actions && state->remaining_actions <= 0)
        return true; /* there are none left: it is gone */
    if (record->running_count >= SCHEDULE_RUNNING_MAX)
        return false;
    struct state_ScheduledRun   *running = ARENA_NEW_ARRAY(act->arena, struct state_ScheduledRun,
                                                           record->running_count + 1);
    struct state_ScheduledStart *copy = ARENA_NEW(act->arena, struct state_ScheduledStart);
    if (record->running_count != 0)
        memcpy(running, record->running, record->running_count * sizeof *running);
    *copy = *start;
    running[record->running_count++] = (struct state_ScheduledRun){ .start = copy,
                                                                    .workflow_id = workflow_id_of(act, start),
                                                                    .is_untracked = is_untracked,
                                                                    .start_time = act->now };
    record->running = running;
    act->orders = true;
    if (!start->is_manual && state->limited_actions)
        state->remaining_actions--;
    return true;
}

static struct state_ScheduledRun *tracked(struct state_Schedule *record)
{
    for (size_t i = 0; i < record->running_count; i++) {
        if (!record->running[i].is_untracked)
            return &record->running[i];
    }
    return NULL;
}

static void want_end(struct act *act, struct state_ScheduledRun *run, enum end_wanted how)
{
    if (run->end_wanted >= (int32_t)how)
        return;
    run->end_wanted = (int32_t)how;
    act->orders = true;
}

/* What is to become of the one behind which this one waits; false: it does not wait, and is left out. */
static bool may_wait(struct act *act, int32_t policy, struct state_ScheduledRun *other, size_t kept)
{
    switch (policy) {
    case enums_SCHEDULE_OVERLAP_POLICY_BUFFER_ONE:
        return kept == 0;
    case enums_SCHEDULE_OVERLAP_POLICY_BUFFER_ALL:
        return true;
    case enums_SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER:
        want_end(act, other, END_CANCEL);
        return true;
    case enums_SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER:
        want_end(act, other, END_TERMINATE);
        return true;
    default:
        return false;
    }
}

/* Each in its turn: it starts, waits, or is left out. Of those that end the other one the last one alone waits. */
static void release(struct act *act)
{
    struct state_Schedule *record = act->record;
    size_t                 kept = 0;
    for (size_t i = 0; i < record->buffer_count; i++) {
        struct state_ScheduledStart item = record->buffer[i];
        int32_t                     policy = item.overlap_policy;
        if (policy == enums_SCHEDULE_OVERLAP_POLICY_UNSPECIFIED)
            policy = record->schedule->policies->overlap_policy;
        bool                       is_free = policy == enums_SCHEDULE_OVERLAP_POLICY_ALLOW_ALL;
        struct state_ScheduledRun *other = is_free ? NULL : tracked(record);
        bool                       ends = policy == enums_SCHEDULE_OVERLAP_POLICY_CANCEL_OTHER ||
                    policy == enums_SCHEDULE_OVERLAP_POLICY_TERMINATE_OTHER;
        if (other == NULL && begin(act, &item, is_free))
            continue;
        if (other != NULL && !may_wait(act, policy, other, kept)) {
            record->overlap_skipped++;
            continue;
        }
        if (other != NULL && ends && kept != 0) { /* it takes the place of the one before */
            record->overlap_skipped++;
            kept--;
        }
        record->buffer[kept++] = item;
    }
    record->buffer_count = kept;
}

void act_turn(struct act *act)
{
    struct state_Schedule *record = act->record;
    struct spec_time       next;
    take_times(act);
    take_backfills(act);
    release(act);
    bool is_idle = !is_going_to_act(record) && (!schedule_is_active(record) ||
                                                !spec_next(act->spec, record->processed, act->seed, &next));
    if (record->schedule->state->paused)
        is_idle = false; /* it may be resumed any time */
    if (!is_idle)
        record->idle_since = 0;
    else if (record->idle_since == 0)
        record->idle_since = act->now;
}

/* --- what became of a workflow --- */

static size_t run_index(const struct state_Schedule *record, int64_t id)
{
    size_t at = 0;
    while (at < record->running_count && record->running[at].start->id != id)
        at++;
    return at;
}

static void run_remove(struct state_Schedule *record, size_t at)
{
    record->running_count--;
    memmove(record->running + at, record->running + at + 1,
            (record->running_count - at) * sizeof record->running[0]);
}

static void note_recent(struct act *act, const struct state_ScheduledRun *run)
{
    struct state_Schedule                *record = act->record;
    size_t                                skip = record->recent_actions_count >= SCHEDULE_RECENT_MAX ? 1 : 0;
    size_t                                count = record->recent_actions_count - skip;
    struct schedule_ScheduleActionResult *recent = ARENA_NEW_ARRAY(act->arena,
                                                                   struct schedule_ScheduleActionResult,
                                                                   count + 1);
    struct common_WorkflowExecution      *execution = ARENA_NEW(act->arena, struct common_WorkflowExecution);
    if (count != 0)
        memcpy(recent, record->recent_actions + skip, count * sizeof *recent);
    *execution = (struct common_WorkflowExecution){ .workflow_id = run->workflow_id, .run_id = run->run_id };
    recent[count] = (struct schedule_ScheduleActionResult){
        .schedule_time = timestamp_of_ns(act->arena, run->start->nominal_time),
        .actual_time = timestamp_of_ns(act->arena, act->now),
        .start_workflow_result = execution,
        .start_workflow_status = enums_WORKFLOW_EXECUTION_STATUS_RUNNING,
    };
    record->recent_actions = recent;
    record->recent_actions_count = count + 1;
}

void act_started(struct act *act, const struct schedule_request *request)
{
    struct state_Schedule *record = act->record;
    size_t                 at = run_index(record, request->id);
    if (at == record->running_count || record->running[at].run_id.size != 0)
        return;
    if (request->is_refused) {
        record->overlap_skipped++;
        run_remove(record, at);
        return;
    }
    record->running[at].run_id = request->run_id;
    record->action_count++;
    note_recent(act, &record->running[at]);
}

static void pause_after(struct act *act, const struct schedule_request *request)
{
    struct schedule_ScheduleState *state = act->record->schedule->state;
    struct failure_Failure         failure = { 0 };
    struct error                   why;
    bool                           is_failed = request->status == enums_WORKFLOW_EXECUTION_STATUS_FAILED;
    bool is_timed_out = request->status == enums_WORKFLOW_EXECUTION_STATUS_TIMED_OUT;
    if (!act->record->schedule->policies->pause_on_failure || !(is_failed || is_timed_out))
        return;
    state->paused = true;
    if (is_timed_out)
        state->notes = arena_printf(act->arena, "paused due to workflow timeout: %.*s",
                                    BYTES_FMT(request->workflow_id));
    else if (pb_decode(&pb_failure_Failure, request->failure, act->arena, &failure, &why) == ST_OK)
        state->notes = arena_printf(act->arena, "paused due to workflow failure: %.*s: %.*s",
                                    BYTES_FMT(request->workflow_id), BYTES_FMT(failure.message));
    act->record->conflict_token++;
}

static void status_set(struct state_Schedule *record, const struct state_ScheduledRun *run, int32_t status)
{
    for (size_t i = 0; i < record->recent_actions_count; i++) {
        struct schedule_ScheduleActionResult *recent = &record->recent_actions[i];
        if (bytes_equal(recent->start_workflow_result->run_id, run->run_id))
            recent->start_workflow_status = status;
    }
}

bool act_closed(struct act *act, const struct schedule_request *request)
{
    struct state_Schedule *record = act->record;
    size_t                 at = run_index(record, request->id);
    if (at == record->running_count)
        return false;
    if (record->running[at].run_id.size == 0) /* it was faster than the report of its start */
        act_started(act, request);
    struct state_ScheduledRun run = record->running[at];
    status_set(record, &run, request->status);
    run_remove(record, at);
    if (run.is_untracked)
        return true;
    if (request->status == enums_WORKFLOW_EXECUTION_STATUS_COMPLETED) {
        record->last_result = request->result;
        record->last_failure = BYTES_EMPTY;
    } else if (request->failure.size != 0) {
        record->last_failure = request->failure;
    }
    pause_after(act, request);
    return true;
}
