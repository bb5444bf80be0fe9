/* outcome_test.c: what becomes of results and failures, in a table. */
#include "mcp/outcome.h"

#include <stdio.h>

#include "base/testing.h"
#include "codec/pb.h"

static void check_json(const struct outcome *outcome, const char *wanted)
{
    char                *text = json_dumps(outcome->result, JSON_COMPACT | JSON_SORT_KEYS);
    JSON_CLEANUP json_t *json = json_loads(wanted, 0, NULL);
    if (!json_equal(outcome->result, json))
        fail_msg("%s instead of %s", text, wanted);
    free(text);
}

TEST(results)
{
    static const struct {
        const char      *json, *wanted;
        enum result_form form;
    } rows[] = {
        { "\"sunny\"", "{\"content\":[{\"type\":\"text\",\"text\":\"sunny\"}]}", RESULT_PLAIN },
        { "{\"a\":1}",
          "{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"a\\\":1}\"}],\"structuredContent\":{\"a\":1}}",
          RESULT_PLAIN },
        { "[1]", "{\"content\":[{\"type\":\"text\",\"text\":\"[1]\"}],\"structuredContent\":[1]}",
          RESULT_PLAIN },
        { "{\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"isError\":true}",
          "{\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"isError\":true}", RESULT_RAW },
        { "{\"content\":\"no array\"}",
          "{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"content\\\":\\\"no "
          "array\\\"}\"}],\"structuredContent\":{\"content\":\"no array\"}}",
          RESULT_RAW },
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct tool          tool = { .name = "tool", .result = rows[i].form };
        struct arena         arena;
        JSON_CLEANUP json_t *args = json_array();
        arena_init(&arena, SIZE_MAX);
        json_array_append_new(args, json_loads(rows[i].json, JSON_DECODE_ANY, NULL));
        struct outcome outcome = outcome_payloads(&tool, payloads_of_array(args, &arena), NULL);
        CHECK_INT(outcome.kind, OUTCOME_RESULT);
        check_json(&outcome, rows[i].wanted);
        outcome_release(&outcome);
        arena_release(&arena);
    }
}

TEST(a_result_that_does_not_conform_names_the_place)
{
    json_t *schema = json_loads("{\"type\":\"object\",\"properties\":{\"sum\":{\"type\":\"number\"}}}", 0,
                                NULL);
    struct schema *compiled;
    struct error   error;
    CHECK_INT(schema_compile(schema, NULL, &compiled, NULL, &error), ST_OK);
    struct tool    tool = { .name = "tool", .output = schema, .output_schema = compiled };
    struct outcome outcome = outcome_value(&tool, json_loads("{\"sum\":\"much\"}", 0, NULL));
    const json_t  *text = json_object_get(json_array_get(json_object_get(outcome.result, "content"), 0),
                                          "text");
    CHECK(json_is_true(json_object_get(outcome.result, "isError")));
    CHECK(strstr(json_string_value(text), "/sum") != NULL);
    outcome_release(&outcome);
    schema_free(compiled);
    json_decref(schema);
}

TEST(what_is_large_is_a_link)
{
    struct run_name run = { "default", "w/1", "r" };
    struct arena    arena;
    char           *large = xcalloc(1, OUTCOME_INLINE_MAX + 2);
    memset(large, 'x', OUTCOME_INLINE_MAX + 1);
    arena_init(&arena, SIZE_MAX);
    JSON_CLEANUP json_t *args = json_pack("[s]", large);
    struct outcome       outcome = outcome_payloads(NULL, payloads_of_array(args, &arena), &run);
    const json_t        *link = json_array_get(json_object_get(outcome.result, "content"), 0);
    CHECK_TEXT(json_string_value(json_object_get(link, "type")), "resource_link");
    CHECK_TEXT(json_string_value(json_object_get(link, "uri")), "temporal://default/w%2F1/r/result");
    outcome_release(&outcome);
    arena_release(&arena);
    free(large);
}

TEST(failures_are_whole_chains)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct failure_ApplicationFailureInfo why = { .type = BYTES("InsufficientFunds") };
    struct failure_Failure                inner = { .message = BYTES("line 2"),
                                                    .failure_info_case = 5,
                                                    .application_failure_info = &why };
    struct common_ActivityType            type = { BYTES("pay") };
    struct failure_ActivityFailureInfo    activity = {
           .activity_type = &type, .retry_state = enums_RETRY_STATE_MAXIMUM_ATTEMPTS_REACHED
    };
    struct failure_Failure outer = { .message = BYTES("Activity task failed"),
                                     .cause = pb_encode_arena(&pb_failure_Failure, &inner, &arena),
                                     .failure_info_case = 11,
                                     .activity_failure_info = &activity };
    struct bytes           encoded = pb_encode_arena(&pb_failure_Failure, &outer, &arena);
    struct outcome         outcome = outcome_failure("InvoiceWorkflow failed", encoded, 3);
    check_json(&outcome,
               "{\"isError\":true,\"content\":[{\"type\":\"text\",\"text\":\"InvoiceWorkflow failed: "
               "activity pay failed "
               "after 3 attempts (all attempts are used up)\\ncaused by InsufficientFunds: line 2\"}]}");
    outcome_release(&outcome);

    JSON_CLEANUP json_t *details = json_pack("[{s:i}]", "code", -32001);
    why = (struct failure_ApplicationFailureInfo){ .type = BYTES(PROTOCOL_ERROR_TYPE),
                                                   .details = payloads_of_array(details, &arena) };
    outcome = outcome_failure("x", pb_encode_arena(&pb_failure_Failure, &inner, &arena), 0);
    CHECK_INT(outcome.kind, OUTCOME_PROTOCOL);
    CHECK_INT(outcome.code, -32001);
    CHECK_TEXT(outcome.message, "line 2");
    outcome_release(&outcome);
    arena_release(&arena);
}

TEST(ends_that_are_no_results)
{
    struct history_WorkflowExecutionTerminatedEventAttributes terminated = { .reason = BYTES("enough") };
    struct history_HistoryEvent event = { .event_type = enums_EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
                                          .attributes_case = 27,
                                          .workflow_execution_terminated_event_attributes = &terminated };
    struct outcome              outcome = outcome_close_event(NULL, &event, NULL, NULL, 0);
    CHECK_INT(outcome.kind, OUTCOME_PROTOCOL);
    CHECK_TEXT(outcome.message, "the workflow was terminated: enough");
    outcome_release(&outcome);
    event = (struct history_HistoryEvent){ .event_type = enums_EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT };
    outcome = outcome_close_event(NULL, &event, NULL, "activity pay waits for a worker", 0);
    check_json(&outcome, "{\"isError\":true,\"content\":[{\"type\":\"text\",\"text\":\"the workflow failed: "
                         "it did not end within its "
                         "execution timeout; at last: activity pay waits for a worker\"}]}");
    outcome_release(&outcome);
    event.event_type = enums_EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED;
    outcome = outcome_close_event(NULL, &event, NULL, NULL, 0);
    CHECK_INT(outcome.kind, OUTCOME_CANCELLED);
    outcome_release(&outcome);
}
