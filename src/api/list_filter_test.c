/* list_filter_test.c: list queries: what is understood, and where what is not is said to be wrong. */
#include <stdio.h>

#include "api/list_filter.h"
#include "base/buffer.h"
#include "base/random.h"
#include "base/testing.h"

static const char *const operator_names[] = {
    [STORE_AND] = "and",
    [STORE_OR] = "or",
    [STORE_NOT] = "not",
    [STORE_EQUAL] = "=",
    [STORE_NOT_EQUAL] = "!=",
    [STORE_LESS] = "<",
    [STORE_LESS_EQUAL] = "<=",
    [STORE_GREATER] = ">",
    [STORE_GREATER_EQUAL] = ">=",
    [STORE_IN] = "in",
    [STORE_NOT_IN] = "not in",
    [STORE_BETWEEN] = "between",
    [STORE_NOT_BETWEEN] = "not between",
    [STORE_STARTS_WITH] = "starts with",
    [STORE_NOT_STARTS_WITH] = "not starts with",
    [STORE_IS_NULL] = "is null",
    [STORE_IS_NOT_NULL] = "is not null",
};

/* The tree as text: (and (1 = a) (8 = 2)); columns by number. Trees of tests are shallow. */
static void print(const struct store_filter *filter, struct buffer *to)
{
    buffer_append_text(to, "(");
    if (filter->relation <= STORE_NOT) {
        buffer_append_text(to, operator_names[filter->relation]);
        for (size_t i = 0; i < filter->child_count; i++) {
            buffer_append_text(to, " ");
            print(filter->children[i], to);
        }
    } else {
        buffer_printf(to, "%d %s", (int)filter->column, operator_names[filter->relation]);
        for (size_t i = 0; i < filter->value_count; i++) {
            if (filter->values[i].is_text)
                buffer_printf(to, " '%.*s'", BYTES_FMT(filter->values[i].text));
            else
                buffer_printf(to, " %" PRId64, filter->values[i].number);
        }
    }
    buffer_append_text(to, ")");
}

static void check_tree(const char *query, const char *wanted)
{
    struct arena      arena;
    struct list_query parsed;
    struct error      error;
    struct buffer     text;
    arena_init(&arena, SIZE_MAX);
    buffer_init(&text);
    if (list_query_parse(bytes_of_text(query), &arena, &parsed, &error) != ST_OK)
        fail_msg("%s: %s", query, error.message);
    if (parsed.filter != NULL)
        print(parsed.filter, &text);
    buffer_append_byte(&text, 0);
    assert_string_equal((char *)text.base, wanted);
    buffer_release(&text);
    arena_release(&arena);
}

static void check_error(const char *query, const char *part)
{
    struct arena      arena;
    struct list_query parsed;
    struct error      error;
    arena_init(&arena, SIZE_MAX);
    if (list_query_parse(bytes_of_text(query), &arena, &parsed, &error) != ST_INVALID_ARGUMENT)
        fail_msg("%s: is understood", query);
    if (strstr(error.message, part) == NULL || strstr(error.message, "invalid query") == NULL)
        fail_msg("%s: %s lacks %s", query, error.message, part);
    arena_release(&arena);
}

TEST(conditions_become_leaves)
{
    check_tree("", "");
    check_tree("  \t\n ", "");
    check_tree("WorkflowType = 'a'", "(2 = 'a')");
    check_tree("WorkflowType='a'", "(2 = 'a')");
    check_tree("`WorkflowType` <> \"a\"", "(2 != 'a')");
    check_tree("WorkflowId starts_with 'x-'", "(0 starts with 'x-')");
    check_tree("WorkflowId NOT STARTS_WITH 'x-'", "(0 not starts with 'x-')");
    check_tree("TaskQueue in ('a', 'b','c')", "(3 in 'a' 'b' 'c')");
    check_tree("TaskQueue NOT IN ('a')", "(3 not in 'a')");
    check_tree("HistoryLength BETWEEN 1 AND -20", "(8 between 1 -20)");
    check_tree("CloseTime IS NULL", "(7 is null)");
    check_tree("CloseTime is not null", "(7 is not null)");
}

TEST(operators_bind_not_before_and_before_or)
{
    check_tree("WorkflowId='a' OR WorkflowId='b' AND WorkflowId='c'",
               "(or (0 = 'a') (and (0 = 'b') (0 = 'c')))");
    check_tree("WorkflowId='a' AND WorkflowId='b' OR WorkflowId='c'",
               "(or (and (0 = 'a') (0 = 'b')) (0 = 'c'))");
    check_tree("(WorkflowId='a' OR WorkflowId='b') AND WorkflowId='c'",
               "(and (or (0 = 'a') (0 = 'b')) (0 = 'c'))");
    check_tree("NOT WorkflowId='a' AND WorkflowId='b'", "(and (not (0 = 'a')) (0 = 'b'))");
    check_tree("NOT (WorkflowId='a' AND NOT NOT WorkflowId='b')",
               "(not (and (0 = 'a') (not (not (0 = 'b')))))");
    check_tree("((((WorkflowId='a'))))", "(0 = 'a')");
    check_tree("HistoryLength BETWEEN 1 AND 2 AND HistoryLength = 3", "(and (8 between 1 2) (8 = 3))");
}

TEST(long_chains_stay_flat)
{
    struct arena      arena;
    struct buffer     text;
    struct list_query parsed;
    struct error      error;
    arena_init(&arena, SIZE_MAX);
    buffer_init(&text);
    for (size_t i = 0; i < 400; i++)
        buffer_printf(&text, "%sWorkflowId = 'w%zu'", i == 0 ? "" : " OR ", i);
    CHECK_INT(list_query_parse(buffer_bytes(&text), &arena, &parsed, &error), ST_OK);
    CHECK_EQ(parsed.filter->relation, STORE_OR);
    CHECK_INT(parsed.filter->child_count, 400);
    CHECK_BYTES(parsed.filter->children[399]->values[0].text, BYTES("w399"));
    buffer_release(&text);
    arena_release(&arena);
}

TEST(values_are_of_their_columns_type)
{
    check_tree("ExecutionStatus = 'Running'", "(4 = 1)");
    check_tree("ExecutionStatus IN ('ContinuedAsNew', 'TimedOut', 'Paused')", "(4 in 6 7 8)");
    check_tree("ExecutionStatus = 2", "(4 = 2)");
    check_tree("StartTime > '1970-01-01T00:00:01Z'", "(5 > 1000000000)");
    check_tree("StartTime > '1970-01-01T01:00:00.5+01:00'", "(5 > 500000000)");
    check_tree("StartTime >= '2024-02-29T12:00:00Z'", "(5 >= 1709208000000000000)");
    check_tree("StartTime < 17", "(5 < 17)");
    check_tree("ExecutionDuration > '1h30m'", "(11 > 5400000000000)");
    check_tree("ExecutionDuration > '1.5s'", "(11 > 1500000000)");
    check_tree("ExecutionDuration > '01:00:01'", "(11 > 3601000000000)");
    check_tree("ExecutionDuration = 5", "(11 = 5)");
    check_tree("WorkflowId = 'it''s' OR WorkflowId = \"a\\\"b\"", "(or (0 = 'it's') (0 = 'a\"b'))");
    check_tree("RunId = 'no uuid'", "(1 = 'no uuid')");
}

TEST(a_run_id_is_compared_as_sixteen_bytes)
{
    struct arena      arena;
    struct list_query parsed;
    struct error      error;
    arena_init(&arena, SIZE_MAX);
    CHECK_INT(list_query_parse(BYTES("RunId = '00112233-4455-8677-8899-aabbccddeeff'"), &arena, &parsed,
                               &error),
              ST_OK);
    CHECK_INT(parsed.filter->values[0].text.size, 16);
    CHECK_INT(parsed.filter->values[0].text.base[15], 0xff);
    arena_release(&arena);
}

TEST(errors_name_the_position)
{
    check_error("Nonsense = 'x'", "\"Nonsense\" is not defined");
    check_error("WorkflowId", "an operator is expected after WorkflowId at position 11");
    check_error("WorkflowId =", "a value for WorkflowId is missing at position 13");
    check_error("WorkflowId = x", "text needs quotes");
    check_error("WorkflowId = 'x", "closing quote at position 14");
    check_error("WorkflowId = 5", "WorkflowId is of type Keyword");
    check_error("StartTime = 'yesterday'", "StartTime is of type Datetime");
    check_error("StartTime = '2023-02-29T00:00:00Z'", "StartTime is of type Datetime");
    check_error("HistoryLength = 1.5", "HistoryLength is of type Int");
    check_error("HistoryLength STARTS_WITH '1'", "STARTS_WITH is not for HistoryLength");
    check_error("ExecutionStatus = 'running'", "a status");
    check_error("WorkflowId = 'a' AND", "a search attribute is expected at position 21");
    check_error("WorkflowId = 'a' WorkflowId = 'b'", "AND, OR or the end is expected at position 18");
    check_error("(WorkflowId = 'a'", "a closing parenthesis is missing");
    check_error("WorkflowId = 'a')", "a closing parenthesis without an opening one at position 17");
    check_error("WorkflowId LIKE 'a'", "an operator is expected");
    check_error("WorkflowId IN 'a'", "IN needs values in parentheses");
    check_error("WorkflowId IN ()", "a value for WorkflowId is missing");
    check_error("WorkflowId IN ('a'", "closing parenthesis");
    check_error("HistoryLength BETWEEN 1", "BETWEEN lacks its AND");
    check_error("WorkflowId = 'a' ORDER BY StartTime", "ORDER BY is not supported");
    check_error("WorkflowId = 'a' LIMIT 5", "LIMIT is not supported");
    check_error("GROUP BY WorkflowType", "ExecutionStatus only");
    check_error("GROUP BY ExecutionStatus, WorkflowType", "the end is expected");
    check_error("WorkflowId = 'a' ; DROP TABLE run", "unexpected character at position 18");
    check_error("WorkflowId \x01", "unexpected character at position 12");
}

TEST(counts_may_group_by_status)
{
    struct arena      arena;
    struct list_query parsed;
    struct error      error;
    arena_init(&arena, SIZE_MAX);
    CHECK_INT(list_query_parse(BYTES("group by ExecutionStatus"), &arena, &parsed, &error), ST_OK);
    CHECK(parsed.group_by_status);
    CHECK_PTR(parsed.filter, NULL);
    CHECK_INT(list_query_parse(BYTES("WorkflowId='a' GROUP BY ExecutionStatus"), &arena, &parsed, &error),
              ST_OK);
    CHECK(parsed.group_by_status);
    CHECK(parsed.filter != NULL);
    arena_release(&arena);
}

/* Depth and size are bounded by stacks that are no call stack. */
TEST(deep_and_long_queries_are_refused)
{
    struct arena      arena;
    struct buffer     text;
    struct list_query parsed;
    struct error      error;
    arena_init(&arena, SIZE_MAX);
    buffer_init(&text);
    for (size_t i = 0; i < 10000; i++)
        buffer_append_text(&text, i % 2 == 0 ? "(" : "NOT ");
    CHECK_INT(list_query_parse(buffer_bytes(&text), &arena, &parsed, &error), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "nested deeper") != NULL);
    for (size_t i = 0; i < 10000; i++)
        buffer_append_text(&text, "xxxxxxxxxx");
    CHECK_INT(list_query_parse(buffer_bytes(&text), &arena, &parsed, &error), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "longer than") != NULL);
    buffer_release(&text);
    arena_release(&arena);
}

TEST(random_tokens_never_break_the_parser)
{
    static const char *const pieces[] = { "WorkflowId",
                                          "=",
                                          "'a'",
                                          "AND",
                                          "OR",
                                          "NOT",
                                          "(",
                                          ")",
                                          "IN",
                                          ",",
                                          "BETWEEN",
                                          "5",
                                          "StartTime",
                                          "IS",
                                          "NULL",
                                          "STARTS_WITH",
                                          "GROUP",
                                          "BY",
                                          "ExecutionStatus",
                                          "-",
                                          "'",
                                          "\"",
                                          "`",
                                          "1.5e3",
                                          "!=",
                                          "\xff",
                                          "true",
                                          "WorkflowId = 'a'",
                                          "WorkflowId IN ('a', 'b')",
                                          "HistoryLength > 5",
                                          "AND",
                                          "OR" };
    struct random            random;
    random_seed(&random, 42);
    size_t understood = 0;
    for (size_t round = 0; round < 20000; round++) {
        struct arena      arena;
        struct buffer     text;
        struct list_query parsed;
        struct error      error;
        arena_init(&arena, SIZE_MAX);
        buffer_init(&text);
        for (uint64_t count = random_below(&random, 12); count > 0; count--) {
            buffer_append_text(&text, pieces[random_below(&random, ARRAY_COUNT(pieces))]);
            buffer_append_text(&text, random_below(&random, 4) == 0 ? "" : " ");
        }
        enum status status = list_query_parse(buffer_bytes(&text), &arena, &parsed, &error);
        assert_true(status == ST_OK || status == ST_INVALID_ARGUMENT);
        understood += status == ST_OK && parsed.filter != NULL;
        buffer_release(&text);
        arena_release(&arena);
    }
    CHECK(understood > 10);
}
