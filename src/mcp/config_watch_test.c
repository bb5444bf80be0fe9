/* The looks are made by hand (config_watch_reload) or waited for by turning the loop: no sleeping for files. */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/testing.h"
#include "io/loop.h"
#include "mcp/config.h"

static unsigned             calls;
static struct loop         *loop;
static struct config_watch *watch;
static char                 directory[] = "/tmp/config_watch_XXXXXX", path[64], part[64];

static void changed(void *context, struct catalog *catalog)
{
    CHECK(context == &calls);
    calls++;
    CHECK_INT(catalog->version, calls);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "wb");
    CHECK(file != NULL && fputs(text, file) >= 0);
    CHECK_EQ(fclose(file), 0);
}

#define WITH_INPUT                                                                                           \
    "{\"toolsets\":{\"a\":{\"tools\":{\"x\":{\"description\":\"d\",\"input\":{\"$ref\":\"in.json\"},"        \
    "\"query\":{"                                                                                            \
    "\"workflow_id\":\"{caller}\",\"name\":\"n\"}}}}}}"

static enum status start(const char *text, struct error *error)
{
    calls = 0;
    strcpy(directory + sizeof directory - 7, "XXXXXX");
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/mcp.json", directory);
    snprintf(part, sizeof part, "%s/in.json", directory);
    write_file(path, text);
    log_set_level(LOG_OFF);
    loop = loop_new(&(struct loop_options){ 0 });
    watch = NULL;
    return config_watch_new(loop, path, changed, &calls, &watch, error);
}

static void stop(void)
{
    config_watch_free(watch);
    loop_free(loop);
    unlink(path);
    unlink(part);
    CHECK_EQ(rmdir(directory), 0);
}

TEST(a_bad_file_changes_nothing)
{
    struct error error;
    CHECK_EQ(start("{\"toolsets\":{\"a\":{\"title\":\"one\"}}}", &error), ST_OK);
    CHECK_INT(calls, 1);
    write_file(path, "{\"toolsets\":{\"a\":{\"title\":2}}}");
    config_watch_reload(watch);
    CHECK_INT(calls, 1);
    CHECK_TEXT(config_watch_catalog(watch)->toolsets[0]->title, "one");
    CHECK_EQ(unlink(path), 0);
    config_watch_reload(watch);
    CHECK_INT(calls, 1);
    write_file(path, "{\"toolsets\":{\"a\":{\"title\":\"two\"}}}");
    struct catalog *kept = catalog_ref(config_watch_catalog(watch));
    config_watch_reload(watch);
    CHECK_INT(calls, 2);
    CHECK_TEXT(config_watch_catalog(watch)->toolsets[0]->title, "two");
    CHECK_TEXT(kept->toolsets[0]->title, "one"); /* a call that began with it goes on with it */
    catalog_unref(kept);
    config_watch_reload(watch); /* and the same text is no change */
    CHECK_INT(calls, 2);
    stop();
}

TEST(the_first_reading_must_succeed)
{
    struct error error;
    CHECK_EQ(start("{\n\"toolset\":{}}", &error), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "mcp.json:2:1: /toolset: no such field") != NULL);
    CHECK(strstr(error.message, "and more, in the log") != NULL);
    CHECK_INT(calls, 0);
    stop();
}

TEST(the_registry_is_heard_beside_the_file)
{
    struct error         error;
    struct config_source documents[] = { { "registry:b", BYTES("{\"title\":\"b\"}"), "b", 1 },
                                         { "registry:c", BYTES("{\"titel\":\"c\"}"), "c", 1 } };
    CHECK_EQ(start("{\"toolsets\":{\"a\":{}}}", &error), ST_OK);
    config_watch_registry(watch, documents, 2); /* c has a mistake */
    CHECK_INT(calls, 2);
    CHECK_INT(config_watch_catalog(watch)->toolset_count, 2);
    CHECK(catalog_toolset(config_watch_catalog(watch), BYTES("b")) != NULL);
    documents[1].text = BYTES("{\"title\":\"c\"}");
    config_watch_registry(watch, documents, 2);
    CHECK_INT(config_watch_catalog(watch)->toolset_count, 3);
    write_file(path, "{"); /* the file is bad, and still the registry is heard */
    config_watch_reload(watch);
    config_watch_registry(watch, documents, 1);
    CHECK_INT(config_watch_catalog(watch)->toolset_count, 2);
    config_watch_registry(watch, NULL, 0);
    CHECK_INT(config_watch_catalog(watch)->toolset_count, 1);
    stop();
}

static void end_loop(void *context UNUSED, struct catalog *catalog UNUSED)
{
    if (++calls == 2)
        loop_stop(loop);
}

/* By the watch's own timer: the file that mcp.json names is changed. */
TEST(a_named_file_is_looked_at_too)
{
    struct error error;
    CHECK_EQ(start("{\"toolsets\":{}}", &error), ST_OK);
    write_file(part, "{\"type\":\"object\"}");
    write_file(path, WITH_INPUT);
    config_watch_free(TAKE_PTR(watch));
    calls = 0;
    CHECK_EQ(config_watch_new(loop, path, end_loop, NULL, &watch, &error), ST_OK);
    write_file(part, "{\"type\":\"object\",\"title\":\"new\"}");
    loop_run(loop);
    CHECK_INT(calls, 2);
    const struct tool *tool = toolset_tool(config_watch_catalog(watch)->toolsets[0], BYTES("x"));
    CHECK_TEXT(json_string_value(json_object_get(tool->input, "title")), "new");
    stop();
}
