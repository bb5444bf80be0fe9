/* time_skipping.c: TestService. Tests of workflows that sleep for days: time jumps when there is nothing else to do.
 *
 * Time is held by locks, of which there is one from the start, and by activities that a worker has or is to get. An unlock takes one
 * of them away: so an activity may sleep, and have its own time-out come. While no more are left, no call is being worked on, no workflow
 * task is pending and nothing is on its way to the disk, the clock is put forward to the next wake-up of an execution or the
 * next end of a sleep, whichever is sooner. Held, time goes on as it always does.
 */
#include "api/api_internal.h"

#define UNLOCKS_MAX 65536

static bool is_served(struct rpc *rpc)
{
    if (rpc->home->api->skipping != NULL)
        return true;
    rpc_fail(rpc, ST_UNIMPLEMENTED, "time does not skip here: start the server with --time-skipping on");
    return false;
}

void time_lock(struct rpc *rpc)
{
    if (!is_served(rpc))
        return;
    rpc->home->api->time_locks++;
    rpc_reply(rpc, NULL);
}

static bool unlock(struct rpc *rpc)
{
    if (rpc->home->api->time_locks <= -UNLOCKS_MAX) {
        rpc_fail(rpc, ST_FAILED_PRECONDITION, "there were %d more unlocks than locks", UNLOCKS_MAX);
        return false;
    }
    rpc->home->api->time_locks--;
    return true;
}

void time_unlock(struct rpc *rpc)
{
    if (is_served(rpc) && unlock(rpc))
        rpc_reply(rpc, NULL);
}

static void sleep_over(struct rpc *rpc)
{
    list_remove(&rpc->sleep.link);
    rpc->home->api->time_locks += rpc->sleep.locks;
    rpc_reply(rpc, NULL);
}

static void sleep_begin(struct rpc *rpc, int64_t until, bool locks)
{
    list_init(&rpc->sleep.link);
    rpc->sleep.until = until;
    rpc->sleep.locks = locks;
    list_append(&rpc->home->sleepers, &rpc->sleep.link);
    rpc_wait(rpc, sleep_over, sleep_over);
}

static int64_t sleep_end(const struct rpc *rpc)
{
    const struct testservice_SleepRequest *request = rpc->request;
    int64_t duration = request->duration == NULL ? 0 : duration_ns(request->duration);
    return time_add(lane_now(rpc_lane(rpc)), MAX(duration, INT64_C(0)));
}

void time_sleep(struct rpc *rpc)
{
    if (is_served(rpc))
        sleep_begin(rpc, sleep_end(rpc), false);
}

void time_sleep_until(struct rpc *rpc)
{
    const struct testservice_SleepUntilRequest *request = rpc->request;
    if (is_served(rpc))
        sleep_begin(rpc, request->timestamp == NULL ? 0 : timestamp_ns(request->timestamp), false);
}

void time_unlock_and_sleep(struct rpc *rpc)
{
    if (is_served(rpc) && unlock(rpc))
        sleep_begin(rpc, sleep_end(rpc), true);
}

void time_current(struct rpc *rpc)
{
    if (!is_served(rpc))
        return;
    struct testservice_GetCurrentTimeResponse *response =
        ARENA_NEW(&rpc->arena, struct testservice_GetCurrentTimeResponse);
    response->time = timestamp_of_ns(&rpc->arena, lane_now(rpc_lane(rpc)));
    rpc_reply(rpc, response);
}

/* --- the clock --- */

static bool calls_are_worked_on(const struct api_lane *lane)
{
    LIST_FOR_EACH (rpc, &lane->rpcs, struct rpc, all) {
        if (!list_linked(&rpc->waiting))
            return true;
    }
    return false;
}

static int64_t next_sleeper(const struct api_lane *lane)
{
    int64_t next = TIME_NEVER;
    LIST_FOR_EACH (rpc, &lane->sleepers, struct rpc, sleep.link)
        next = MIN(next, rpc->sleep.until);
    return next;
}

int64_t time_skipping_due(const struct api_lane *lane)
{
    return next_sleeper(lane);
}

void time_skipping_turn(struct api_lane *lane)
{
    struct api *api = lane->api;
    int64_t     now = lane_now(lane->lane);
    if (api->skipping == NULL)
        return;
    LIST_FOR_EACH (rpc, &lane->sleepers, struct rpc, sleep.link) {
        if (rpc->sleep.until <= now)
            sleep_over(rpc);
    }
    if (calls_are_worked_on(lane) || !list_empty(&lane->errands) || lane->callback_busy != 0)
        return;
    int64_t holders = lane_time_holders(lane->lane);
    if (holders == INT64_MAX || api->time_locks + holders > 0)
        return;
    int64_t next = MIN(lane_next_wakeup(lane->lane), next_sleeper(lane));
    if (next != TIME_NEVER && next > now)
        skipping_clock_skip(api->skipping,
                            next - clock_wall_ns(&api->skipping->clock)); /* which may be behind */
}
