/* complete.c: what clients give, checked and completed. */
#include "base/clock.h"
#include "codec/pb_time.h"
#include "schedule/schedule.h"

#define NOTES_MAX 1000

static enum status policies_complete(const struct schedule_SchedulePolicies *given, struct arena *arena,
                                     struct schedule_SchedulePolicies **ret_policies, struct error *error)
{
    struct schedule_SchedulePolicies *policies = ARENA_NEW(arena, struct schedule_SchedulePolicies);
    int64_t                           catchup = 0;
    enum status                       status = ST_OK;
    if (given != NULL) {
        *policies = *given;
        status = duration_check(given->catchup_window, "Policies.CatchupWindow", &catchup, error);
    }
    if (policies->overlap_policy < 0 || policies->overlap_policy > enums_SCHEDULE_OVERLAP_POLICY_ALLOW_ALL)
        return error_set(error, ST_INVALID_ARGUMENT, "Policies.OverlapPolicy %d is unknown",
                         policies->overlap_policy);
    if (policies->overlap_policy == enums_SCHEDULE_OVERLAP_POLICY_UNSPECIFIED)
        policies->overlap_policy = enums_SCHEDULE_OVERLAP_POLICY_SKIP;
    catchup = catchup == 0 ? SCHEDULE_CATCHUP_DEFAULT : MAX(catchup, SCHEDULE_CATCHUP_MIN);
    policies->catchup_window = duration_of_ns(arena, catchup);
    *ret_policies = policies;
    return status;
}

enum status schedule_complete(const struct schedule_Schedule *given, struct arena *arena,
                              struct schedule_Schedule *ret_schedule, struct error *error)
{
    *ret_schedule = (struct schedule_Schedule){ .action = given->action };
    ret_schedule->spec = ARENA_NEW(arena, struct schedule_ScheduleSpec);
    ret_schedule->state = ARENA_NEW(arena, struct schedule_ScheduleState);
    enum status status = spec_canonical(given->spec, arena, ret_schedule->spec, error);
    if (status == ST_OK)
        status = policies_complete(given->policies, arena, &ret_schedule->policies, error);
    if (status != ST_OK)
        return status;
    if (given->state != NULL)
        *ret_schedule->state = *given->state;
    if (ret_schedule->state->notes.size > NOTES_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "State.Notes is longer than %d bytes", NOTES_MAX);
    if (ret_schedule->state->remaining_actions < 0)
        return error_set(error, ST_INVALID_ARGUMENT, "State.RemainingActions is negative");
    return ST_OK;
}

static enum status overlap_check(int32_t policy, const char *field, struct error *error)
{
    return policy >= 0 && policy <= enums_SCHEDULE_OVERLAP_POLICY_ALLOW_ALL
               ? ST_OK
               : error_set(error, ST_INVALID_ARGUMENT, "%s %d is unknown", field, policy);
}

enum status schedule_patch_check(const struct schedule_SchedulePatch *patch, struct error *error)
{
    int64_t     scratch;
    enum status status = ST_OK;
    if (patch == NULL)
        return ST_OK;
    if (patch->pause.size > NOTES_MAX || patch->unpause.size > NOTES_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "Patch.Pause or Unpause is longer than %d bytes",
                         NOTES_MAX);
    if (patch->backfill_request_count > SCHEDULE_BACKFILLS_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "Patch.BackfillRequest has more than %d items",
                         SCHEDULE_BACKFILLS_MAX);
    if (patch->trigger_immediately != NULL) {
        status = overlap_check(patch->trigger_immediately->overlap_policy,
                               "Patch.TriggerImmediately.OverlapPolicy", error);
        if (status == ST_OK)
            status = timestamp_check(patch->trigger_immediately->scheduled_time,
                                     "Patch.TriggerImmediately.ScheduledTime", &scratch, error);
    }
    for (size_t i = 0; i < patch->backfill_request_count && status == ST_OK; i++) {
        const struct schedule_BackfillRequest *request = &patch->backfill_request[i];
        if (request->start_time == NULL || request->end_time == NULL)
            return error_set(error, ST_INVALID_ARGUMENT,
                             "Patch.BackfillRequest[%zu] lacks its start or end time", i);
        if ((status = timestamp_check(request->start_time, "Patch.BackfillRequest.StartTime", &scratch,
                                      error)) == ST_OK &&
            (status = timestamp_check(request->end_time, "Patch.BackfillRequest.EndTime", &scratch, error)) ==
                ST_OK)
            status = overlap_check(request->overlap_policy, "Patch.BackfillRequest.OverlapPolicy", error);
    }
    return status;
}
