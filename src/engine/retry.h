/* retry.h: one algorithm that says whether and when a failed attempt is made again, for activities and workflows. */
#ifndef ENGINE_RETRY_H
#define ENGINE_RETRY_H
#include "base/arena.h"
#include "codec/pb.h"
#include "pb/all.pb.h"

struct retry_question {
    struct bytes policy;  /* encoded RetryPolicy; empty: none */
    int32_t      attempt; /* that failed, from 1 */
    struct bytes failure; /* encoded; empty: none was given, which is retried */
    int64_t      now;
    int64_t      expiration; /* no attempt may begin after it; 0: never ends */
    bool         caps_delay; /* next_retry_delay is bounded by the maximum interval: workflows */
    bool         cancel_requested;
    bool         is_paused; /* it is tried again when the pause ends, whatever its attempts and its time */
};
struct retry_answer {
    int32_t state; /* enums_RetryState; IN_PROGRESS: again, after delay */
    int64_t delay;
};
struct retry_answer retry_decide(const struct retry_question *question, struct arena *arena);
/* How long an encoded, complete policy waits after this attempt; 0 without a policy. */
int64_t retry_delay(struct bytes policy, int32_t attempt, struct arena *arena);

/* Checks a policy as given and fills its defaults (1 s, 2.0, 100 times the first interval) into *policy.
 * INVALID_ARGUMENT names what is wrong with it. */
enum status retry_policy_complete(struct common_RetryPolicy *policy, struct arena *arena,
                                  struct error *error) MUST_USE;
#endif
