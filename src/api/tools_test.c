/* tools_test.c: toolsets that are declared through the API, and the gateway's key. */
#include "api/api_harness.h"
#include "api/tools_kind.h"

static struct recorded *apply(struct world *world, const char *name, const char *document, int64_t expected)
{
    struct api_ApplyToolsetRequest request = { .name = bytes_of_text(name),
                                               .document = bytes_of_text(document),
                                               .has_expected_version = expected >= 0,
                                               .expected_version = expected,
                                               .identity = BYTES("me") };
    return send(world, 0, PB_METHOD_ToolService_ApplyToolset, &request);
}

static int64_t applied_version(struct recorded *call, bool changed)
{
    const struct api_ApplyToolsetResponse *response = answer_of(call);
    int64_t                                version = response->toolset->version;
    CHECK_INT(response->changed, changed);
    recorded_free(call);
    return version;
}

static size_t listed(struct world *world, char *names, size_t size)
{
    struct api_ListToolsetsRequest request = { .with_documents = true };
    struct recorded               *call = send(world, 1, PB_METHOD_ToolService_ListToolsets, &request);
    const struct api_ListToolsetsResponse *response = answer_of(call);
    size_t                                 count = response->toolsets_count;
    names[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(names);
        snprintf(names + used, size - used, "%.*s=%.*s;", BYTES_FMT(response->toolsets[i].name),
                 BYTES_FMT(response->toolsets[i].document));
    }
    recorded_free(call);
    return count;
}

TEST(toolsets_are_applied_listed_and_deleted_by_version)
{
    struct world world;
    char         names[256];
    world_begin(&world, 2, false);
    CHECK_INT(listed(&world, names, sizeof names), 0);
    CHECK_INT(applied_version(apply(&world, "weather", "{}", -1), true), 1);
    CHECK_INT(applied_version(apply(&world, "invoice", "{\"a\":1}", 0), true), 2);
    CHECK_INT(applied_version(apply(&world, "weather", "{}", -1), false), 1);
    expect_code(apply(&world, "weather", "{\"b\":1}", 2), ST_FAILED_PRECONDITION);
    CHECK_INT(applied_version(apply(&world, "weather", "{\"b\":1}", 1), true), 3);
    CHECK_INT(listed(&world, names, sizeof names), 2);
    CHECK_TEXT(names, "invoice={\"a\":1};weather={\"b\":1};");

    struct api_GetToolsetRequest         one = { .name = BYTES("weather") };
    struct recorded                     *call = send(&world, 1, PB_METHOD_ToolService_GetToolset, &one);
    const struct api_GetToolsetResponse *response = answer_of(call);
    CHECK_INT(response->toolset->version, 3);
    CHECK(bytes_equal_text(response->toolset->identity, "me"));
    recorded_free(call);

    struct api_DeleteToolsetRequest gone = { .name = BYTES("weather"), .has_expected_version = true };
    expect_code(send(&world, 0, PB_METHOD_ToolService_DeleteToolset, &gone), ST_FAILED_PRECONDITION);
    gone.expected_version = 3;
    expect_code(send(&world, 0, PB_METHOD_ToolService_DeleteToolset, &gone), ST_OK);
    expect_code(send(&world, 0, PB_METHOD_ToolService_DeleteToolset, &gone), ST_NOT_FOUND);
    expect_code(send(&world, 0, PB_METHOD_ToolService_GetToolset, &one), ST_NOT_FOUND);
    CHECK_INT(listed(&world, names, sizeof names), 1);
    world_end(&world);
}

TEST(bad_names_and_too_much_are_refused)
{
    struct world world;
    char         names[256], name[32];
    world_begin(&world, 2, false);
    expect_code(apply(&world, "", "{}", -1), ST_INVALID_ARGUMENT);
    expect_code(apply(&world, "a/b", "{}", -1), ST_INVALID_ARGUMENT);
    expect_code(apply(&world, ".hidden", "{}", -1), ST_INVALID_ARGUMENT);
    expect_code(apply(&world, "weather", "", -1), ST_INVALID_ARGUMENT);
    char *large = xmalloc(TOOLSET_DOCUMENT_MAX + 2);
    memset(large, 'x', TOOLSET_DOCUMENT_MAX + 1);
    large[TOOLSET_DOCUMENT_MAX + 1] = '\0';
    expect_code(apply(&world, "large", large, -1), ST_INVALID_ARGUMENT);
    large[TOOLSET_DOCUMENT_MAX] = '\0';
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "large%d", i);
        expect_code(apply(&world, name, large, -1), ST_OK);
    }
    expect_code(apply(&world, "large4", large, -1), ST_RESOURCE_EXHAUSTED);
    CHECK_INT(listed(&world, names, sizeof names), 4);
    free(large);
    world_end(&world);
}

struct told {
    uint8_t key[TOOLS_SEALING_KEY_SIZE];
    int     count;
};
static void key_told(void *context, const uint8_t *key, const struct error *error)
{
    struct told *told = context;
    CHECK_INT(error->code, ST_OK);
    memcpy(told->key, key, sizeof told->key);
    told->count++;
}

TEST(the_key_is_made_once_and_survives_and_is_shown_to_nobody)
{
    struct world         world;
    struct told          first = { .count = 0 }, second = { .count = 0 };
    static const uint8_t none[TOOLS_SEALING_KEY_SIZE];
    world_begin(&world, 2, false);
    api_ensure_sealing_key(runtime_lane(world.runtime, 0), key_told, &first);
    world_run(&world);
    expect_code(apply(&world, "weather", "{}", -1), ST_OK);
    api_ensure_sealing_key(runtime_lane(world.runtime, 1), key_told, &second);
    world_run(&world);
    CHECK_INT(first.count + second.count, 2);
    CHECK(memcmp(first.key, second.key, sizeof first.key) == 0);
    CHECK(memcmp(first.key, none, sizeof none) != 0);
    struct api_ListToolsetsRequest all = { .with_documents = true };
    struct recorded               *call = send(&world, 0, PB_METHOD_ToolService_ListToolsets, &all);
    (void)answer_of(call);
    CHECK(memmem(call->reply.base, call->reply.size, first.key, sizeof first.key) == NULL);
    recorded_free(call);
    world_end(&world);
}
