/* metrics.h: GET /metrics and what GET /readyz says, on the HTTP port.
 *
 * What is counted where it happens is in base/metric.h; here is added what somebody has to be asked for: each lane, on its own
 * thread, what it holds and which of its task queues have a backlog; the store; the process.
 *
 * Thread:  the web's, but for what runs on a lane between metrics_new and the end of the lanes' threads.
 * Order:   metrics_new after the lanes and web_new, before web_start; metrics_free after web_stop and the end of the lanes.
 * Limits:  one round of questions at a time; who asks meanwhile shares its answer. It waits LANE_NS for the lanes, then says what
 *          it has: a server that hangs still answers. At most BACKLOGS_MAX task queues of each lane.
 */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H
#include "base/buffer.h"

struct lane;
struct loop;
struct store;
struct wire_server;
struct web;
struct metrics;

struct metrics_lane {
    struct lane        *lane;
    struct loop        *loop;
    struct wire_server *wire;
};
struct metrics_options {
    struct web                *web;
    struct store              *store;
    const struct metrics_lane *lanes; /* copied */
    uint32_t                   lane_count;
};
struct metrics *metrics_new(const struct metrics_options *options);
void            metrics_free(struct metrics *metrics); /* NULL is fine */
/* What metric_print_reference does not know. */
void metrics_print_reference(struct buffer *to);
#endif
