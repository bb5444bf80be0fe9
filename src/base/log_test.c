/* log_test.c: fields are where the format has them, whatever their values say; lines stay whole and are not too many. */
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

#include "base/metric.h"
#include "base/testing.h"

#define AT (INT64_C(1790000000) * NS_PER_S + 123 * NS_PER_MS)

static const char *text_of(struct buffer *line)
{
    buffer_append_byte(line, '\0');
    return (const char *)line->base;
}

TEST(text_quotes_what_is_not_one_word)
{
    struct buffer line = { 0 };
    log_print(&line, LOG_TEXT, LOG_WARN, "some.thing", AT, 0, "lane=%u workflow_id=%.*s error=%s: %d", 3U, 3,
              "a b\"", "no\nline=1", -7);
    CHECK_TEXT(text_of(&line), "2026-09-21T14:13:20.123Z warn some.thing lane=3 workflow_id=\"a b\" "
                               "error=\"no line=1: -7\"\n");
    buffer_release(&line);
}

TEST(json_has_numbers_strings_and_no_forged_fields)
{
    struct buffer line = { 0 };
    log_print(&line, LOG_JSON, LOG_ERROR, "rpc.failed", AT, 12, "took_ms=%" PRId64 " id=%s empty=%s size=%zu",
              INT64_C(-5), "x\",\"level\":\"\x01\xff\\", "", (size_t)9);
    CHECK_TEXT(
        text_of(&line),
        "{\"time\":\"2026-09-21T14:13:20.123Z\",\"level\":\"error\",\"event\":\"rpc.failed\",\"left_out\":12,"
        "\"took_ms\":-5,\"id\":\"x\\\",\\\"level\\\":\\\"\\u0001\\ufffd\\\\\",\"empty\":\"\",\"size\":9}\n");
    buffer_release(&line);
}

TEST(words_without_a_key_are_the_message)
{
    struct buffer line = { 0 };
    log_print(&line, LOG_JSON, LOG_INFO, "e", AT, 0, "%s was read again: 100%% of %d%s", "f.json", 2, " k=v");
    CHECK_TEXT(text_of(&line), "{\"time\":\"2026-09-21T14:13:20.123Z\",\"level\":\"info\",\"event\":\"e\","
                               "\"message\":\"f.json was read again: 100% of 2 k=v\"}\n");
    buffer_release(&line);
}

TEST(a_line_that_is_too_long_is_cut_and_still_whole)
{
    static char   long_text[2 * LOG_LINE_SIZE_MAX];
    struct buffer line = { 0 };
    memset(long_text, 1, sizeof long_text - 1); /* six characters each in JSON */
    log_print(&line, LOG_JSON, LOG_INFO, "e", AT, 0, "a=%s b=%s", long_text, long_text);
    CHECK(line.size <= LOG_LINE_SIZE_MAX);
    CHECK(memcmp(line.base + line.size - 3, "\"}\n", 3) == 0);
    CHECK(memchr(line.base, '\n', line.size - 1) == NULL);
    buffer_release(&line);
}

TEST(a_flood_of_one_event_is_bounded_and_counted)
{
    int pipes[2], saved = dup(STDERR_FILENO);
    CHECK_INT(pipe(pipes), 0);
    dup2(pipes[1], STDERR_FILENO);
    for (unsigned i = 0; i < 500; i++)
        log_write(LOG_ERROR, "flood", "i=%u", i);
    log_write(LOG_ERROR, "other", "x=%d", 1);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(pipes[1]);
    char    text[65536];
    size_t  lines = 0;
    ssize_t size = read(pipes[0], text, sizeof text - 1);
    close(pipes[0]);
    CHECK(size > 0);
    text[size] = '\0';
    for (ssize_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    CHECK(lines <= 2 * LOG_EVENT_LINES_MAX + 1); /* the second may change while this runs */
    CHECK(strstr(text, "other x=1\n") != NULL);
    CHECK_INT(metric_value(METRIC_LOG_LINES, 0, LOG_ERROR), lines);
    CHECK_INT(metric_value(METRIC_LOG_LEFT_OUT, 0, LOG_ERROR), 501 - lines);
}
