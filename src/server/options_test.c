/* options_test.c: what the command line of the server takes and refuses. */
#include "server/options.h"

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
    static const char *const bad[][2] = { { "--memory", "12Q" }, { "--memory", "10" },
                                          { "--memory", "-1" },  { "--lanes", "65" },
                                          { "--lanes", "x" },    { "--grpc", "nowhere" },
                                          { "--store", "file" }, { "--log-level", "x" },
                                          { "--namespace", "" }, { "--memory", "99999999999999G" } };
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
