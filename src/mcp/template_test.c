#include "mcp/template.h"

#include "base/testing.h"

static json_t *parsed(const char *text)
{
    json_t      *value = NULL;
    struct error error = { 0 };
    if (json_read(bytes_of_text(text), JSON_TEXT_SIZE_MAX, 0, &value, NULL, &error) != ST_OK)
        fail_msg("%s: %s", text, error.message);
    return value;
}

static enum status rendered(const char *source, enum template_kind kind, const char *arguments,
                            struct buffer *to)
{
    JSON_CLEANUP json_t   *text = kind == TEMPLATE_VALUE ? parsed(source) : json_string(source);
    JSON_CLEANUP json_t   *object = parsed(arguments);
    struct template_values values = { object, BYTES("al-ice%"), BYTES("tool"), BYTES("00ff"), BYTES("u-u") };
    struct template *template = NULL;
    struct error error = { 0 };
    enum status  status = template_compile(text, kind, NULL, &template, &error);
    if (status == ST_OK && kind != TEMPLATE_VALUE)
        status = template_text(template, &values, to, &error);
    if (status == ST_OK && kind == TEMPLATE_VALUE) {
        JSON_CLEANUP json_t *value = NULL;
        status = template_value(template, &values, &value, &error);
        CHECK(value == NULL || json_canonical(value, to));
    }
    if (status != ST_OK)
        buffer_append_text(to, error.message);
    buffer_append_byte(to, 0);
    template_free(template);
    return status;
}

static void check(const char *source, enum template_kind kind, const char *arguments, const char *expected)
{
    CLEANUP(buffer_release) struct buffer to = { 0 };
    (void)!rendered(source, kind, arguments, &to);
    CHECK_TEXT((const char *)to.base, expected);
}

static void check_refused(const char *source, enum template_kind kind, const char *arguments,
                          const char *words)
{
    CLEANUP(buffer_release) struct buffer to = { 0 };
    CHECK_EQ(rendered(source, kind, arguments, &to), ST_INVALID_ARGUMENT);
    if (strstr((const char *)to.base, words) == NULL)
        print_message("%s: %s\n", source, (const char *)to.base);
    CHECK(strstr((const char *)to.base, words) != NULL);
}

TEST(texts_and_ids_are_made_of_arguments)
{
    check("alerts-{state|lower}", TEMPLATE_ID, "{\"state\":\"CA\"}", "alerts-ca");
    check("f-{a|fixed:4}_{b|fixed:0}", TEMPLATE_ID, "{\"a\":1.23456,\"b\":-0.2}", "f-1.2346_0");
    check("{name|slug}", TEMPLATE_ID, "{\"name\":\" New  York, \\u00fc \"}", "new-york");
    check("{customer.lines.1}", TEMPLATE_TEXT, "{\"customer\":{\"lines\":[1,2.0]}}", "2");
    check("{@.caller} by {caller}", TEMPLATE_TEXT, "{\"caller\":\"x\"}", "x by al-ice%");
    check("{{{x}}} {tool} {hash}", TEMPLATE_TEXT, "{\"x\":true}", "{true} tool 00ff");
    check("{x|default:none}-{y|default:uuid}", TEMPLATE_ID, "{\"x\":null}", "none-u-u");
    check("{x|default:n|upper}", TEMPLATE_TEXT, "{}", "N");
    check("{@}", TEMPLATE_TEXT, "{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}");
}

TEST(a_caller_in_an_id_ends_at_its_separators)
{
    check("chat-{caller}-{x}", TEMPLATE_ID, "{\"x\":\"1\"}", "chat-al%2Dice%25-1");
    check("chat/{caller}/{x}", TEMPLATE_ID, "{\"x\":\"1\"}", "chat/al-ice%25/1");
    check_refused("{caller}{x}", TEMPLATE_ID, "{\"x\":1}", "needs a separator");
    check_refused("a-{caller|lower}", TEMPLATE_ID, "{}", "no filters");
}

TEST(a_value_keeps_the_types_of_what_it_names)
{
    check("[\"{n}\",\"{n|fixed:1}\",\"n={n}\",\"{gone}\",\"{@}\",{\"k{n}\":[true,null,\"{l}\"]}]",
          TEMPLATE_VALUE, "{\"n\":5,\"l\":[1]}",
          "[5,\"5.0\",\"n=5\",null,{\"l\":[1],\"n\":5},{\"k{n}\":[true,null,[1]]}]");
    check("\"{n|default:x}\"", TEMPLATE_VALUE, "{\"n\":5}", "5");
    check("\"{n|default:x}\"", TEMPLATE_VALUE, "{}", "\"x\"");
    check("[\"\",[],{}]", TEMPLATE_VALUE, "{}", "[\"\",[],{}]");
}

TEST(mistakes_are_found_when_they_can_be)
{
    check_refused("{x|fixed:2}", TEMPLATE_TEXT, "{\"x\":\"1\"}", "must be a number");
    check_refused("id-{x}", TEMPLATE_ID, "{}", "/x: is needed");
    check_refused("id-{x}", TEMPLATE_ID, "{\"x\":\"\"}", "must not be empty");
    check_refused("{x", TEMPLATE_TEXT, "{}", "without its }");
    check_refused("x}", TEMPLATE_TEXT, "{}", "without its {");
    check_refused("{x|shout}", TEMPLATE_TEXT, "{}", "the filters are");
    check_refused("{x..y}", TEMPLATE_TEXT, "{}", "names with dots");
    check_refused("{}", TEMPLATE_TEXT, "{}", "names with dots");
    check_refused("", TEMPLATE_ID, "{}", "may not be empty");
    JSON_CLEANUP json_t *document = parsed(
        "{\"type\":\"object\",\"properties\":{\"state\":{\"type\":\"string\"}}}");
    JSON_CLEANUP json_t *source = json_string("alerts-{stat}");
    struct schema       *schema = NULL;
    struct template *template = NULL;
    struct error error = { 0 };
    CHECK_EQ(schema_compile(document, NULL, &schema, NULL, &error), ST_OK);
    CHECK_EQ(template_compile(source, TEMPLATE_ID, schema, &template, &error), ST_INVALID_ARGUMENT);
    CHECK_TEXT(error.message, "{stat}: the input has no such field");
    schema_free(schema);
}

TEST(an_id_has_a_bound)
{
    CLEANUP(buffer_release) struct buffer arguments = { 0 };
    buffer_append_text(&arguments, "{\"x\":\"");
    for (int i = 0; i < ID_SIZE_MAX; i++)
        buffer_append_byte(&arguments, 'x');
    buffer_append_text(&arguments, "\"}");
    buffer_append_byte(&arguments, 0);
    check_refused("i{x}", TEMPLATE_ID, (const char *)arguments.base, "1001 bytes");
}
