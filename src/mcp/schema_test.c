#include "mcp/schema.h"

#include "base/testing.h"

static json_t *parsed(const char *text)
{
    json_t      *value = NULL;
    struct error error = { 0 };
    if (json_read(bytes_of_text(text), JSON_TEXT_SIZE_MAX, 0, &value, NULL, &error) != ST_OK)
        fail_msg("%s: %s", text, error.message);
    return value;
}

static struct schema *compiled(const char *text)
{
    JSON_CLEANUP json_t *document = parsed(text);
    struct schema       *schema = NULL;
    struct error         error = { 0 };
    if (schema_compile(document, NULL, &schema, NULL, &error) != ST_OK)
        fail_msg("%s: %s", text, error.message);
    return schema;
}

/* `words` NULL: it conforms. */
static void check_words(const char *schema_text, const char *instance_text, const char *words)
{
    CLEANUP(buffer_release) struct buffer said = { 0 };
    struct schema                        *schema = compiled(schema_text);
    JSON_CLEANUP json_t                  *instance = parsed(instance_text);
    enum status                           status = schema_check(schema, instance, &said);
    schema_free(schema);
    buffer_append_byte(&said, 0);
    CHECK_TEXT((const char *)said.base, words == NULL ? "" : words);
    CHECK_EQ(status, words == NULL ? ST_OK : ST_INVALID_ARGUMENT);
}

TEST(what_is_wrong_is_said_with_its_pointer)
{
    static const struct {
        const char *schema, *instance, *words;
    } cases[] = {
        { "{\"properties\":{\"state\":{\"pattern\":\"^[A-Za-z]{2}$\"}}}", "{\"state\":\"California\"}",
          "/state: must match ^[A-Za-z]{2}$" },
        { "{\"properties\":{\"state\":{\"pattern\":\"^[A-Za-z]{2}$\"}}}", "{\"state\":\"CA\\n\"}",
          "/state: must match ^[A-Za-z]{2}$" },
        { "{\"type\":\"object\",\"required\":[\"a\",\"b\"]}", "{}",
          "(root): \"a\" is missing\n(root): \"b\" is missing" },
        { "{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"x\":1}",
          "/x: must not be there: the known properties are a" },
        { "{\"additionalProperties\":false}", "{\"x\":1}",
          "/x: must not be there: no such property is known" },
        { "{\"type\":[\"string\",\"null\"]}", "1", "(root): must be null or a string" },
        { "{\"type\":\"integer\"}", "1.5", "(root): must be a whole number" },
        { "{\"type\":\"integer\"}", "1.0", NULL },
        { "{\"items\":{\"minimum\":1,\"exclusiveMaximum\":3}}", "[1,0,3]",
          "/1: must be at least 1\n/2: must be less than 3" },
        { "{\"multipleOf\":0.0001}", "0.0075", NULL },
        { "{\"multipleOf\":0.0001}", "0.00751", "(root): must be a multiple of 0.0001" },
        { "{\"enum\":[\"a\",1]}", "\"b\"", "(root): must be one of \"a\", 1" },
        { "{\"enum\":[1,[2.0]]}", "[2]", NULL },
        { "{\"const\":{\"a\":1}}", "{\"a\":2}", "(root): must be {\"a\":1}" },
        { "{\"maxLength\":2}", "\"\\u00e4\\ud83d\\ude00\"", NULL },
        { "{\"maxLength\":1}", "\"\\u00e4\\ud83d\\ude00\"",
          "(root): must have at most 1 characters, and has 2" },
        { "{\"uniqueItems\":true}", "[1,{\"a\":1,\"b\":2},{\"b\":2,\"a\":1.0}]",
          "(root): must have no two equal items, and item 2 is there twice" },
        { "{\"anyOf\":[{\"type\":\"string\"},{\"properties\":{\"a\":{\"type\":\"string\"}}}]}", "{\"a\":1}",
          "(root): must be one of 2 forms; the nearest is missed at /a: must be a string" },
        { "{\"oneOf\":[{\"minimum\":1},{\"minimum\":2}]}", "3",
          "(root): must be exactly one of 2 forms, and is more than one of them" },
        { "{\"not\":{\"type\":\"null\"}}", "null", "(root): must not be what \"not\" describes" },
        { "{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]},\"else\":false}", "{\"a\":1}",
          "(root): \"b\" is missing" },
        { "{\"dependentRequired\":{\"card\":[\"cvv\"]}}", "{\"card\":1}",
          "(root): \"cvv\" is missing, which must be there because \"card\" is" },
        { "{\"$defs\":{\"t\":{\"items\":{\"$ref\":\"#/$defs/t\"},\"type\":\"array\"}},\"$ref\":\"#/$defs/"
          "t\"}",
          "[[],[1]]", "/1/0: must be an array" },
        { "{\"$defs\":{\"t\":{\"$anchor\":\"it\",\"type\":\"null\"}},\"items\":{\"$ref\":\"#it\"}}", "[1]",
          "/0: must be null" },
        { "{\"patternProperties\":{\"^n_\":{\"type\":\"number\"}},\"propertyNames\":{\"maxLength\":3}}",
          "{\"n_1\":\"x\",\"long\":1}",
          "/n_1: must be a number\n/long: must have at most 3 characters, and has 4" },
        { "false", "1", "(root): must not be there" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        check_words(cases[i].schema, cases[i].instance, cases[i].words);
}

static void check_refused(const char *text, const char *pointer, const char *words)
{
    CLEANUP(buffer_release) struct buffer at = { 0 };
    JSON_CLEANUP json_t                  *document = parsed(text);
    struct schema                        *schema = NULL;
    struct error                          error = { 0 };
    CHECK_EQ(schema_compile(document, NULL, &schema, &at, &error), ST_INVALID_ARGUMENT);
    if (strstr(error.message, words) == NULL)
        print_message("%s: %s\n", text, error.message);
    CHECK(strstr(error.message, words) != NULL);
    CHECK_BYTES(buffer_bytes(&at), bytes_of_text(pointer));
}

TEST(what_cannot_be_a_schema_is_refused_at_its_place)
{
    check_refused("1", "", "must be a schema");
    check_refused("{\"type\":\"text\"}", "/type", "must be one of null");
    check_refused("{\"properties\":{\"a\":1}}", "/properties", "must be a schema");
    check_refused("{\"properties\":{\"a\":{\"pattern\":\"(\"}}}", "/properties/a/pattern", "no pattern");
    check_refused("{\"$ref\":\"http://example.com/x\"}", "/$ref", "do not leave the document");
    check_refused("{\"$ref\":\"other.json\"}", "/$ref", "do not leave the document");
    check_refused("{\"$ref\":\"#/nothing\"}", "/$ref", "refers to nothing");
    check_refused("{\"anyOf\":[]}", "/anyOf", "not empty");
    check_refused("{\"minLength\":-1}", "/minLength", "whole number");
    check_refused("{\"multipleOf\":0}", "/multipleOf", "above 0");
    check_refused("{\"$ref\":\"#\"}", "", "without end");
    check_refused(
        "{\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/b\"}]},\"b\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}",
        "/$defs/a", "without end");
}

static void note(void *context, const char *pointer, const char *words)
{
    CHECK(strstr(words, "not known") != NULL);
    CHECK_TEXT(pointer, "/items/unevaluatedItems");
    ++*(int *)context;
}

TEST(an_unknown_keyword_is_a_warning)
{
    int                    count = 0;
    struct schema_warnings warnings = { note, &count };
    struct schema         *schema = NULL;
    JSON_CLEANUP json_t   *document = parsed(
        "{\"items\":{\"unevaluatedItems\":false,\"title\":\"x\",\"x-own\":1}}");
    CHECK_EQ(schema_compile(document, &warnings, &schema, NULL, NULL), ST_OK);
    CHECK_INT(count, 1);
    schema_free(schema);
}

/* Each doubles the work of the one before: 2^40 without a bound. */
TEST(effort_is_bounded)
{
    CLEANUP(buffer_release) struct buffer text = { 0 }, said = { 0 };
    buffer_append_text(&text, "{\"$defs\":{");
    for (int i = 0; i < 40; i++)
        buffer_printf(&text, "\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},",
                      i, i + 1, i + 1);
    buffer_append_text(&text, "\"d40\":{\"type\":\"null\"}},\"$ref\":\"#/$defs/d0\"}");
    buffer_append_byte(&text, 0);
    struct schema *schema = compiled((const char *)text.base);
    CHECK_EQ(schema_check(schema, json_true(), &said), ST_RESOURCE_EXHAUSTED);
    CHECK(said.size > 0);
    schema_free(schema);

    schema = compiled("{\"pattern\":\"^(a+)+$\"}");
    JSON_CLEANUP json_t *subject = json_string("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
    buffer_clear(&said);
    CHECK_EQ(schema_check(schema, subject, &said), ST_RESOURCE_EXHAUSTED);
    /* And "does not match" must not be had by it. */
    schema_free(schema);
    schema = compiled("{\"not\":{\"pattern\":\"^(a+)+$\"}}");
    buffer_clear(&said);
    CHECK_EQ(schema_check(schema, subject, &said), ST_RESOURCE_EXHAUSTED);
    schema_free(schema);
}

TEST(paths_are_looked_up_in_what_a_schema_says)
{
    struct schema *schema = compiled(
        "{\"type\":\"object\",\"properties\":{\"customer\":{\"$ref\":\"#/$defs/c\"},\"any\":{},"
        "\"lines\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"sum\":{}}}},"
        "\"open\":{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":"
        "\"string\"}}},"
        "\"$defs\":{\"c\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"}}}}}");
    static const struct {
        struct bytes       names[3];
        size_t             count;
        enum schema_answer answer;
    } cases[] = {
        { { BYTES("customer"), BYTES("name") }, 2, SCHEMA_YES },
        { { BYTES("customer"), BYTES("age") }, 2, SCHEMA_NO },
        { { BYTES("custmer") }, 1, SCHEMA_NO },
        { { BYTES("any"), BYTES("thing") }, 2, SCHEMA_MAYBE },
        { { BYTES("lines"), BYTES("0"), BYTES("sum") }, 3, SCHEMA_YES },
        { { BYTES("lines"), BYTES("0"), BYTES("som") }, 3, SCHEMA_NO },
        { { BYTES("customer"), BYTES("name"), BYTES("x") }, 3, SCHEMA_NO },
        { { BYTES("open"), BYTES("b") }, 2, SCHEMA_MAYBE },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        CHECK_INT(schema_has_path(schema, cases[i].names, cases[i].count), cases[i].answer);
    CHECK(schema_is_of_objects(schema));
    schema_free(schema);
}
