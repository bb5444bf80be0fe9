/* list_filter_test.c: list queries: what is understood, and where what is not is said to be wrong. */
#include <stdio.h>

#include "api/list_filter.h"
#include "base/buffer.h"
#include "base/random.h"
#include "base/testing.h"
#include "codec/pb.h"

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
        if (filter->attribute != NULL)
            buffer_printf(to, "%.*s:%d %s", BYTES_FMT(filter->attribute->name), (int)filter->attribute->type,
                          operator_names[filter->relation]);
        else
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

/* A namespace with an attribute of each type. */
static struct namespace_config namespace_make(struct arena *arena)
{
    static struct state_Namespace_SearchAttributesEntry custom[] = {
        { .key = BYTES("Words"), .value = enums_INDEXED_VALUE_TYPE_TEXT },
        { .key = BYTES("City"), .value = enums_INDEXED_VALUE_TYPE_KEYWORD },
        { .key = BYTES("Amount"), .value = enums_INDEXED_VALUE_TYPE_INT },
        { .key = BYTES("Rate"), .value = enums_INDEXED_VALUE_TYPE_DOUBLE },
        { .key = BYTES("Paid"), .value = enums_INDEXED_VALUE_TYPE_BOOL },
        { .key = BYTES("Due"), .value = enums_INDEXED_VALUE_TYPE_DATETIME },
        { .key = BYTES("Tags"), .value = enums_INDEXED_VALUE_TYPE_KEYWORD_LIST },
    };
    struct state_Namespace record = { .search_attributes = custom,
                                      .search_attributes_count = ARRAY_COUNT(custom) };
    return (struct namespace_config){ .record = pb_encode_arena(&pb_state_Namespace, &record, arena) };
}

static void check_tree(const char *query, const char *wanted)
{
    struct arena      arena;
    struct list_query parsed;
    struct error      error;
    struct buffer     text;
    arena_init(&arena, SIZE_MAX);
    struct namespace_config namespace = namespace_make(&arena);
    buffer_init(&text);
    if (list_query_parse(bytes_of_text(query), &namespace, &arena, &parsed, &error) != ST_OK)
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
    struct namespace_config namespace = namespace_make(&arena);
    if (list_query_parse(bytes_of_text(query), &namespace, &arena, &parsed, &error) != ST_INVALID_ARGUMENT)
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
    CHECK_INT(list_query_parse(buffer_bytes(&text), NULL, &arena, &parsed, &error), ST_OK);
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

TEST(search_attributes_are_found_by_name_and_have_the_values_of_their_types)
{
    check_tree("City = 'a' AND Amount > -5", "(and (City:2 = 'a') (Amount:3 > -5))");
    check_tree("City STARTS_WITH 'a' OR City BETWEEN 'a' AND 'b'",
               "(or (City:2 starts with 'a') (City:2 between 'a' 'b'))");
    check_tree("Rate = 0", "(Rate:4 = 0)");
    check_tree("Paid = true OR Paid = FALSE OR Paid != 'true'",
               "(or (Paid:5 = 1) (Paid:5 = 0) (Paid:5 != 1))");
    check_tree("Due < '1970-01-01T00:00:01Z'", "(Due:6 < 1000000000)");
    check_tree("Tags = 'a' OR Tags NOT IN ('b', 'c') OR Tags STARTS_WITH 'd'",
               "(or (Tags:7 = 'a') (Tags:7 not in 'b' 'c') (Tags:7 starts with 'd'))");
    check_tree("Words = 'Red, GREEN'", "(Words:1 in 'red' 'green')");
    check_tree("Words != 'Red'", "(Words:1 not in 'red')");
    check_tree("Words IS NULL", "(Words:1 is null)");
    check_tree("BuildIds IS NOT NULL", "(BuildIds:7 is not null)");
    check_tree("ScheduledById = 's'", "(TemporalScheduledById:2 = 's')");
    check_tree("TemporalWorkflowId = 'w'", "(0 = 'w')");
    check_tree("TemporalCity = 'a'", "(City:2 = 'a')");
    check_error("Words = '--'", "\"--\" has no words, and Words is a Text at position 9");
    check_error("Words > 'a'", "> is not for Words");
    check_error("Words STARTS_WITH 'a'", "STARTS_WITH is not for Words");
    check_error("ORDER BY Words", "Words is of type Text, which has no order");
    check_error("Amount = 'five'", "Amount is of type Int");
    check_error("Rate = 'five'", "Rate is of type Double");
}

TEST(lists_are_ordered_by_any_search_attribute)
{
    struct arena      arena;
    struct list_query parsed;
    struct error      error;
    arena_init(&arena, SIZE_MAX);
    struct namespace_config namespace = namespace_make(&arena);
    CHECK_INT(list_query_parse(BYTES("City = 'a' order by Amount desc, StartTime ASC, Rate"), &namespace,
                               &arena, &parsed, &error),
              ST_OK);
    CHECK(!parsed.is_grouped && !parsed.names_division);
    CHECK_INT(parsed.key_count, 3);
    CHECK_BYTES(parsed.keys[0].attribute->name, BYTES("Amount"));
    CHECK(parsed.keys[0].descending && !parsed.keys[1].descending && !parsed.keys[2].descending);
    CHECK_EQ(parsed.keys[1].column, STORE_COLUMN_START_TIME);
    CHECK_EQ(parsed.key_types[2], LIST_DOUBLE);
    CHECK_INT(list_query_parse(BYTES("TemporalNamespaceDivision IS NULL"), &namespace, &arena, &parsed,
                               &error),
              ST_OK);
    CHECK(parsed.names_division);
    arena_release(&arena);
}

TEST(a_run_id_is_compared_as_sixteen_bytes)
{
    struct arena      arena;
    struct list_query parsed;
    struct error      error;
    arena_init(&arena, SIZE_MAX);
    CHECK_INT(list_query_parse(BYTES("RunId = '00112233-4455-8677-8899-aabbccddeeff'"), NULL, &arena, &parsed,
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
    check_tree("HistoryLength = -9223372036854775808", "(8 = -9223372036854775808)");
    check_tree("HistoryLength = +9223372036854775807", "(8 = 9223372036854775807)");
    check_error("HistoryLength = 9223372036854775808", "HistoryLength is of type Int");
    check_error("HistoryLength = -9223372036854775809", "HistoryLength is of type Int");
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
    check_error("WorkflowId = 'a' LIMIT 5", "LIMIT is not supported");
    check_error("GROUP ExecutionStatus", "GROUP lacks its BY at position 7");
    check_error("ORDER BY StartTime ASC DESC", "the end is expected after ORDER BY at position 24");
    check_error("ORDER BY StartTime,", "a search attribute is expected at position 20");
    check_error("ORDER BY Nonsense", "\"Nonsense\" is not defined, or cannot be filtered by at position 10");
    check_error("ORDER BY BuildIds", "BuildIds is of type KeywordList, which has no order at position 10");
    check_error("GROUP BY BuildIds, BinaryChecksums",
                "one search attribute with several values at position 20");
    check_error("ORDER BY RunId, RunId, RunId, RunId, RunId", "more than 4 search attributes after ORDER BY");
    check_error("BuildIds > 'a'", "> is not for BuildIds, which may have several values at position 10");
    check_error("BuildIds BETWEEN 'a' AND 'b'", "BETWEEN is not for BuildIds");
    check_error("BatcherUser = 5", "BatcherUser is of type Keyword");
    check_error("TemporalSchedulePaused = 'maybe'", "TemporalSchedulePaused is of type Bool");
    check_error("WorkflowId = 'a' ; DROP TABLE run", "unexpected character at position 18");
    check_error("WorkflowId \x01", "unexpected character at position 12");
}

TEST(counts_may_group_by_status)
{
    struct arena      arena;
    struct list_query parsed;
    struct error      error;
    arena_init(&arena, SIZE_MAX);
    CHECK_INT(list_query_parse(BYTES("group by ExecutionStatus"), NULL, &arena, &parsed, &error), ST_OK);
    CHECK(parsed.is_grouped && parsed.key_count == 1);
    CHECK_PTR(parsed.filter, NULL);
    CHECK_INT(list_query_parse(BYTES("WorkflowId='a' GROUP BY ExecutionStatus"), NULL, &arena, &parsed,
                               &error),
              ST_OK);
    CHECK(parsed.is_grouped && parsed.key_count == 1);
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
    CHECK_INT(list_query_parse(buffer_bytes(&text), NULL, &arena, &parsed, &error), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "nested deeper") != NULL);
    for (size_t i = 0; i < 10000; i++)
        buffer_append_text(&text, "xxxxxxxxxx");
    CHECK_INT(list_query_parse(buffer_bytes(&text), NULL, &arena, &parsed, &error), ST_INVALID_ARGUMENT);
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
        enum status status = list_query_parse(buffer_bytes(&text), NULL, &arena, &parsed, &error);
        assert_true(status == ST_OK || status == ST_INVALID_ARGUMENT);
        understood += status == ST_OK && parsed.filter != NULL;
        buffer_release(&text);
        arena_release(&arena);
    }
    CHECK(understood > 10);
}
