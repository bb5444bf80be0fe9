/* act.h: what a schedule does when time has come, or a workflow has ended: on a copy of its record. For src/schedule only. */
#ifndef SCHEDULE_ACT_H
#define SCHEDULE_ACT_H
#include "schedule/schedule.h"

struct act {
    struct state_Schedule *record;
    struct spec           *spec;
    struct bytes           seed;
    struct arena          *arena;
    int64_t                now;
    bool                   orders; /* there are new ones */
};
/* Takes the times up to now and what backfills have, and starts what may start. */
void act_turn(struct act *act);
/* A time of its own, as by a trigger. */
void act_trigger(struct act *act, int64_t time, int32_t overlap_policy);
/* A workflow of its is closed; false: it is none. */
bool act_closed(struct act *act, const struct schedule_request *request);
void act_started(struct act *act, const struct schedule_request *request);
bool act_has_orders(const struct state_Schedule *record);
/* When it has to act next, or is to be looked at: wall ns, TIME_NEVER. */
int64_t act_next_due(const struct state_Schedule *record, struct spec *spec, struct bytes seed);
#endif
