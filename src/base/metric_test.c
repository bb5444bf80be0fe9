/* metric_test.c: what several threads count is summed, and printed as Prometheus reads it. */
#include "base/metric.h"

#include <pthread.h>
#include <stdio.h>

#include "base/testing.h"

static void *count_some(void *context)
{
    uint32_t namespace = *(const uint32_t *)context;
    for (unsigned i = 0; i < 1000; i++) {
        metric_add(METRIC_POLL_SUCCESS, namespace, TASK_LABEL_ACTIVITY, 2);
        metric_observe(METRIC_POLL_LATENCY, namespace, TASK_LABEL_WORKFLOW, 3 * NS_PER_MS);
    }
    metric_set(METRIC_LANES, 0, 0, 7);
    return NULL;
}

static bool has(const struct buffer *text, const char *line)
{
    return memmem(text->base, text->size, line, strlen(line)) != NULL;
}

TEST(what_threads_counted_is_summed_also_after_their_end)
{
    uint32_t namespace = metric_namespace(BYTES("shop"));
    pthread_t threads[4];
    assert_int_equal(metric_namespace(BYTES("shop")), namespace);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_some, &namespace), 0);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    count_some(&namespace);
    CHECK_INT(metric_value(METRIC_POLL_SUCCESS, namespace, TASK_LABEL_ACTIVITY), 10000);
    CHECK_INT(metric_value(METRIC_POLL_SUCCESS, namespace, TASK_LABEL_WORKFLOW), 0);
    CHECK_INT(metric_value(METRIC_LANES, 0, 0), 7); /* a gauge of a thread goes with it */
}

TEST(the_text_is_cumulative_and_escaped)
{
    struct buffer text = { 0 };
    uint32_t namespace = metric_namespace(BYTES("a\"b\\c\nd"));
    metric_observe(METRIC_POLL_LATENCY, namespace, TASK_LABEL_ACTIVITY, 250 * NS_PER_US); /* at a bound */
    metric_observe(METRIC_POLL_LATENCY, namespace, TASK_LABEL_ACTIVITY, 250 * NS_PER_US + 1);
    metric_observe(METRIC_POLL_LATENCY, namespace, TASK_LABEL_ACTIVITY, 1000 * NS_PER_S);
    metric_print(&text);
    CHECK(has(&text, "# TYPE poll_latency histogram\n"));
#define SERIES "{namespace=\"a\\\"b\\\\c\\nd\",task_type=\"Activity\",service_name=\"matching\""
    CHECK(has(&text, "poll_latency_bucket" SERIES ",le=\"0.00025\"} 1\n"));
    CHECK(has(&text, "poll_latency_bucket" SERIES ",le=\"0.0005\"} 2\n"));
    CHECK(has(&text, "poll_latency_bucket" SERIES ",le=\"100\"} 2\n"));
    CHECK(has(&text, "poll_latency_bucket" SERIES ",le=\"+Inf\"} 3\n"));
    CHECK(has(&text, "poll_latency_count" SERIES "} 3\n"));
    CHECK(has(&text, "poll_latency_sum" SERIES "} 1000.0005\n"));
    CHECK(has(&text, "\nperdure_wakeups_total 0\n")); /* there from the beginning */
    buffer_release(&text);
}

TEST(namespaces_past_the_limit_are_counted_together)
{
    char     name[32];
    uint32_t last = 0;
    for (unsigned i = 0; i < 2 * METRIC_NAMESPACES_MAX; i++) {
        snprintf(name, sizeof name, "ns-%u", i);
        last = metric_namespace(bytes_of_text(name));
    }
    CHECK_INT(last, METRIC_NAMESPACES_MAX - 1);
    CHECK_INT(metric_namespace(BYTES("ns-0")), metric_namespace(BYTES("ns-0")));
    CHECK(metric_namespace(BYTES("ns-0")) < last);
    metric_add(METRIC_SERVICE_REQUESTS, last, METRIC_OPERATIONS_MAX,
               1); /* no such label: not counted, and no harm */
    metric_add(METRIC_SERVICE_REQUESTS, last, 1, 1);
    CHECK_INT(metric_value(METRIC_SERVICE_REQUESTS, last, 1), 1);
}
