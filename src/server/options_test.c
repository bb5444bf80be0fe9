/* options_test.c: what the command line of the server takes and refuses. */
#include "server/options.h"

#include <stdio.h>

#include "base/testing.h"

static enum status parse(struct options *options, struct error *error, int argc, const char **argv)
{
    return options_parse(argc, (char **)argv, options, error);
}

TEST(defaults_are_loopback_and_an_embedded_store)
{
    struct options options;
    struct error   error;
    CHECK_EQ(parse(&options, &error, 0, NULL), ST_OK);
    CHECK_TEXT(options.grpc_address, "127.0.0.1:7233");
    CHECK_TEXT(options.store_url, "sqlite:perdure.db");
    CHECK_EQ(options.memory_limit, (size_t)256 << 20);
}

TEST(values_come_behind_a_space_or_an_equals_sign_and_namespaces_repeat)
{
    struct options options;
    struct error   error;
    const char    *argv[] = { "--namespace", "a", "--namespace=b", "--memory=128M", "--lanes", "3" };
    CHECK_EQ(parse(&options, &error, (int)ARRAY_COUNT(argv), argv), ST_OK);
    CHECK_INT(options.namespace_count, 2);
    CHECK_TEXT(options.namespaces[1], "b");
    CHECK_EQ(options.memory_limit, (size_t)128 << 20);
    CHECK_INT(options.lane_count, 3);
}

TEST(bad_values_are_refused_with_the_flags_name)
{
    static const char *const bad[][2] = { { "--memory", "12Q" },
                                          { "--memory", "10" },
                                          { "--memory", "-1" },
                                          { "--lanes", "65" },
                                          { "--lanes", "x" },
                                          { "--grpc", "nowhere" },
                                          { "--store", "file" },
                                          { "--log-level", "x" },
                                          { "--log-format", "x" },
                                          { "--time-skipping", "x" },
                                          { "--otlp-endpoint", "localhost:4318" },
                                          { "--otlp-sample", "1.5" },
                                          { "--namespace", "" },
                                          { "--memory", "99999999999999G" },
                                          { "--limit", "signals-max" },
                                          { "--limit", "signals-max=0" },
                                          { "--limit", "no-such=1" },
                                          { "--limit", "payload-size-max=17592186044417M" }, /* 2^64 and 1M */
                                          { "--limit", "=1" },
                                          { "--callback-url", "" },
                                          { "--callback-url", ",insecure" },
                                          { "--callback-url", "a,secure" },
                                          { "--callback-url", "http://a" } };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct options options;
        struct error   error;
        CHECK_EQ(parse(&options, &error, 2, (const char **)bad[i]), ST_INVALID_ARGUMENT);
        CHECK(strstr(error.message, bad[i][0]) != NULL);
    }
    struct options options;
    struct error   error;
    const char    *unknown[] = { "--nonsense" }, *missing[] = { "--store" };
    CHECK_EQ(parse(&options, &error, 1, unknown), ST_INVALID_ARGUMENT);
    CHECK_EQ(parse(&options, &error, 1, missing), ST_INVALID_ARGUMENT);
}

TEST(limits_and_places_for_callbacks_repeat)
{
    struct options options;
    struct error   error;
    const char    *argv[] = { "--limit",
                              "signals-max=7",
                              "--limit=payload-size-max=1M",
                              "--limit",
                              "workflow-task-timeout-default=3",
                              "--callback-url",
                              "*.example:80,insecure",
                              "--callback-url=hooks.example" };
    CHECK_EQ(parse(&options, &error, (int)ARRAY_COUNT(argv), argv), ST_OK);
    CHECK_EQ(options.limits.signals_max, 7);
    CHECK_EQ(options.limits.payload_size_max, (size_t)1 << 20);
    CHECK_INT(options.limits.workflow_task_timeout_default_ns, 3 * NS_PER_S);
    CHECK_EQ(options.limits.memo_size_max, limits_default.memo_size_max);
    CHECK_INT(options.callback_count, 2);
    CHECK_BYTES(bytes_of(options.callbacks[0].pattern, options.callbacks[0].size), BYTES("*.example:80"));
    CHECK(options.callbacks[0].insecure);
    CHECK_BYTES(bytes_of(options.callbacks[1].pattern, options.callbacks[1].size), BYTES("hooks.example"));
    CHECK(!options.callbacks[1].insecure);
}

TEST(every_limit_has_a_default_within_its_range_and_a_name_of_its_own)
{
    for (size_t i = 0; i < limits_count(); i++) {
        struct limit  limit = limits_row(i);
        struct limits limits = limits_default;
        struct error  error;
        char          text[32];
        CHECK(limit.value_default >= limit.value_min && limit.value_default <= limit.value_max);
        CHECK(strstr(limit.name, "_") == NULL && *limit.meaning != '\0');
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(limits_row(k).name, limit.name) != 0);
        snprintf(text, sizeof text, "%" PRId64, limit.value_max);
        CHECK_EQ(limits_set(&limits, bytes_of_text(limit.name), bytes_of_text(text), &error), ST_OK);
        snprintf(text, sizeof text, "%" PRId64, limit.value_max + 1);
        CHECK_EQ(limits_set(&limits, bytes_of_text(limit.name), bytes_of_text(text), &error),
                 ST_INVALID_ARGUMENT);
        CHECK(limits_known(bytes_of_text(limit.name)));
    }
}
