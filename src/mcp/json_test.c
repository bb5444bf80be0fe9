#include "mcp/json.h"

#include <stdio.h>

#include "base/testing.h"

static enum status read_text(const char *text, unsigned flags, json_t **ret, struct json_place *where,
                             struct error *error)
{
    return json_read(bytes_of_text(text), 4096, flags, ret, where, error);
}

static void check_refused(const char *text, uint32_t line, uint32_t column, const char *words)
{
    struct error      error;
    struct json_place where;
    json_t           *value;
    CHECK_EQ(read_text(text, JSON_WITH_COMMENTS, &value, &where, &error), ST_INVALID_ARGUMENT);
    if (strstr(error.message, words) == NULL || where.line != line || where.column != column)
        print_message("%s: %u:%u %s\n", text, where.line, where.column, error.message);
    CHECK(strstr(error.message, words) != NULL);
    CHECK_INT(where.line, line);
    CHECK_INT(where.column, column);
}

static void check_canonical(const char *text, const char *expected)
{
    CLEANUP(buffer_release) struct buffer to = { 0 };
    JSON_CLEANUP json_t                  *value = NULL;
    CHECK_EQ(read_text(text, 0, &value, NULL, NULL), ST_OK);
    CHECK(json_canonical(value, &to));
    buffer_append_byte(&to, 0);
    CHECK_TEXT((const char *)to.base, expected);
}

TEST(what_is_no_json_is_refused_with_its_place)
{
    check_refused("{\"a\": 1,\n \"a\": 2}", 2, 4, "duplicate");
    check_refused("{\"a\": NaN}", 1, 9, "invalid token");
    check_refused("[\"\\ud800\"]", 1, 9, "Unicode");
    check_refused("[\"a\\u0000\"]", 1, 10, "NUL");
    check_refused("[123456789012345678901]", 1, 22, "too large");
    check_refused("[1e999]", 1, 6, "too large");
    check_refused("[1] 2", 1, 5, "end of file");
    check_refused("[1, /* \n 2]", 1, 5, "comment");
    check_refused("{\"a\": [1,]}", 1, 10, "unexpected");
    check_refused("", 1, 1, "early");
    check_refused("\"\xff\"", 1, 1, "UTF-8");
}

TEST(depth_is_refused_before_it_is_followed)
{
    char              text[2 * JSON_DEPTH_MAX + 3];
    json_t           *value;
    struct error      error;
    struct json_place where;
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    text[2 * (size_t)JSON_DEPTH_MAX] = '\0';
    CHECK_EQ(read_text(text, 0, &value, NULL, &error), ST_OK);
    json_decref(value);
    memset(text, '[', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    CHECK_EQ(read_text(text, 0, &value, &where, &error), ST_INVALID_ARGUMENT);
    CHECK_INT(where.column, JSON_DEPTH_MAX + 1);
    CHECK_EQ(json_read(BYTES("[1, 2]"), 3, 0, &value, NULL, &error), ST_RESOURCE_EXHAUSTED);
    /* Brackets in strings open nothing. */
    CHECK_EQ(read_text("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"", 0,
                       &value, NULL, &error),
             ST_OK);
    json_decref(value);
}

TEST(comments_are_spaces_where_they_are_asked_for)
{
    static const char    text[] = "// first\n{\"a//\": /* x */ \"/* no */\", // y\n \"b\": 1}";
    JSON_CLEANUP json_t *value = NULL;
    struct error         error;
    CHECK_EQ(read_text(text, 0, &value, NULL, &error), ST_INVALID_ARGUMENT);
    CHECK_EQ(read_text(text, JSON_WITH_COMMENTS, &value, NULL, &error), ST_OK);
    CHECK_TEXT(json_string_value(json_object_get(value, "a//")), "/* no */");
    CHECK_INT(json_integer_value(json_object_get(value, "b")), 1);
}

TEST(a_place_is_found_by_its_pointer)
{
    static const char text[] =
        "{ // \"b\": 1\n  \"a\": [1, {\"x\\\"y\": [] , \"z\": 2}, \"}\"],\n  \"b/c\": true }";
    static const struct {
        const char *pointer;
        uint32_t    line, column;
    } cases[] = {
        { "", 1, 1 },         { "/a", 2, 3 },         { "/a/0", 2, 9 },          { "/a/1", 2, 12 },
        { "/a/1/z", 2, 26 },  { "/a/1/x\"y", 2, 13 }, { "/a/2", 2, 35 },         { "/b~1c", 3, 3 },
        { "/missing", 1, 1 }, { "/a/7", 2, 3 },       { "/a/1/nothing", 2, 12 },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct json_place place = json_locate(bytes_of_text(text), JSON_WITH_COMMENTS, cases[i].pointer);
        if (place.line != cases[i].line || place.column != cases[i].column)
            print_message("%s: %u:%u\n", cases[i].pointer, place.line, place.column);
        CHECK_INT(place.line, cases[i].line);
        CHECK_INT(place.column, cases[i].column);
    }
}

TEST(what_is_the_same_has_one_canonical_form)
{
    check_canonical("{\"b\": 1.0, \"a\": [1e2, -0.0, 0.1, 1.5e300]}", "{\"a\":[100,0,0.1,1.5e+300],\"b\":1}");
    check_canonical("\"\\u00e4\\n\\\"\\\\\"", "\"\xc3\xa4\\u000a\\\"\\\\\"");
    check_canonical("[null, true, false, {}, [], {\"\": 1}]", "[null,true,false,{},[],{\"\":1}]");
    check_canonical("9223372036854775807", "9223372036854775807");
    check_canonical("9223372036854775808.0", "9.223372036854776e+18");
}

TEST(a_digest_tells_values_apart_and_forms_not)
{
    uint8_t              a[JSON_DIGEST_SIZE], b[JSON_DIGEST_SIZE];
    JSON_CLEANUP json_t *one = NULL, *same = NULL, *other = NULL;
    CHECK_EQ(read_text("{\"a\": 1, \"b\": [true]}", 0, &one, NULL, NULL), ST_OK);
    CHECK_EQ(read_text("{\"b\": [true], \"a\": 1.0}", 0, &same, NULL, NULL), ST_OK);
    CHECK_EQ(read_text("{\"b\": [true], \"a\": \"1\"}", 0, &other, NULL, NULL), ST_OK);
    CHECK(json_digest(one, a) && json_digest(same, b));
    CHECK(memcmp(a, b, sizeof a) == 0);
    CHECK(json_digest(other, b));
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(json_same(one, same) && !json_same(one, other));
    /* SHA-256 of "true", from elsewhere. */
    CHECK(json_digest(json_true(), a));
    CHECK_INT(a[0], 0xb5);
    CHECK_INT(a[1], 0xbe);
}

TEST(pointers_escape_what_they_must)
{
    CLEANUP(buffer_release) struct buffer pointer = { 0 };
    JSON_CLEANUP json_t                  *value = NULL;
    CHECK_EQ(read_text("{\"a/b\": {\"~\": [5]}}", 0, &value, NULL, NULL), ST_OK);
    json_pointer_append(&pointer, BYTES("a/b"));
    json_pointer_append(&pointer, BYTES("~"));
    json_pointer_append_index(&pointer, 0);
    CHECK_BYTES(buffer_bytes(&pointer), BYTES("/a~1b/~0/0"));
    CHECK_INT(json_integer_value(json_pointer_get(value, buffer_bytes(&pointer))), 5);
    CHECK_PTR(json_pointer_get(value, BYTES("/a~1b/x")), NULL);
    CHECK_PTR(json_pointer_get(value, BYTES("/a~1b/~0/00")), NULL);
    CHECK_PTR(json_pointer_get(value, BYTES("")), value);
}
