/* metrics.c: what the api and matching tell of themselves. */
#include "api/api_internal.h"
#include "base/metric.h"

static const char *operation_name(uint32_t index)
{
    return index < pb_method_count ? (const char *)pb_methods[index].name.base : NULL;
}

static const char *event_name(uint32_t index)
{
    const char *name = pb_enum_value_name(pb_enum_find(BYTES("temporal.api.enums.v1.EventType")),
                                          (int32_t)index);
    return name == NULL ? NULL : name + strlen("EVENT_TYPE_");
}

void metrics_name_labels(void)
{
    static_assert(PB_METHOD_COUNT <= METRIC_OPERATIONS_MAX, "each method has its series");
    metric_name_labels(LABELS_OPERATION, operation_name);
    metric_name_labels(LABELS_EVENT, event_name);
}

/* An item with the names behind it, roughly. */
#define ITEM_SIZE (sizeof(struct store_ready) + 128)
void api_publish_metrics(struct lane *lane)
{
    const struct api_lane     *self = api_lane_of(lane);
    struct matching_statistics statistics;
    matching_statistics(self->matching, &statistics);
    metric_set(METRIC_SERVICE_PENDING_REQUESTS, 0, 0, self->rpc_count);
    metric_set(METRIC_LOADED_TASK_QUEUES, 0, 0, statistics.queues);
    metric_set(METRIC_CACHE_ENTRIES, 0, CACHE_MATCHING, statistics.items);
    metric_set(METRIC_CACHE_BYTES, 0, CACHE_MATCHING, statistics.items * ITEM_SIZE);
}

struct backlogs {
    struct lane *lane;
    size_t       left;
    bool         all;
    void (*each)(void *context, const struct api_backlog *backlog);
    void *context;
};

static void backlog_found(void *context, const struct matching_backlog *found)
{
    struct backlogs *backlogs = context;
    const struct namespace_config *namespace = lane_namespace_by_number(backlogs->lane,
                                                                        found->name.namespace_number);
    if (namespace == NULL)
        return;
    if (backlogs->left == 0) {
        backlogs->all = false;
        return;
    }
    backlogs->left--;
    backlogs->each(backlogs->context, &(struct api_backlog){ .namespace_number = namespace->number,
                                                             .namespace = namespace->name,
                                                             .queue = found->name.name,
                                                             .kind = found->name.kind,
                                                             .count = found->count,
                                                             .oldest_created = found->oldest_created,
                                                             .pollers = found->pollers,
                                                             .more = found->more });
}

bool api_backlogs(struct lane *lane, size_t                                             max,
                  void (*each)(void *context, const struct api_backlog *backlog), void *context)
{
    struct backlogs backlogs = { lane, max, true, each, context };
    matching_each_backlog(api_lane_of(lane)->matching, backlog_found, &backlogs);
    return backlogs.all;
}
