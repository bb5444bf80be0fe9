/* json_test.c: proto3 JSON: spellings, refusals by path, hostile nesting. tests/contract compares it with the official one. */
#include "base/testing.h"
#include "codec/json_token.h"
#include "pb/all.pb.h"

static struct arena  arena;
static struct buffer buffer;
static struct error  error;

static void start_over(void)
{
    arena_release(&arena);
    arena_init(&arena, 64 * 1024 * 1024);
    buffer_clear(&buffer);
    error_clear(&error);
}

static void end(void)
{
    arena_release(&arena);
    buffer_release(&buffer);
}

static enum status parse(const struct pb_message *message, struct bytes json)
{
    start_over();
    return json_parse(message, json, &arena, &buffer, &error);
}

/* JSON to wire to JSON again. */
static void check_round_trip(const struct pb_message *message, struct bytes json, const char *expected)
{
    struct buffer again;
    buffer_init(&again);
    if (parse(message, json) != ST_OK)
        fail_msg("%s", error.message);
    if (json_print(message, buffer_bytes(&buffer), 0, &again, &error) != ST_OK)
        fail_msg("%s", error.message);
    buffer_append_byte(&again, 0);
    CHECK_TEXT((const char *)again.base, expected);
    buffer_release(&again);
    end();
}

TEST(names_are_written_in_lower_camel_and_read_in_both_forms)
{
    check_round_trip(&pb_common_WorkflowExecution, BYTES("{\"workflow_id\": \"w\", \"runId\": \"r\"}"),
                     "{\"workflowId\":\"w\",\"runId\":\"r\"}");
    check_round_trip(
        &pb_common_RetryPolicy,
        BYTES("{\"initialInterval\":\"1.5s\",\"backoffCoefficient\":2,\"nonRetryableErrorTypes\":[\"A\","
              "\"B\"]}"),
        "{\"initialInterval\":\"1.500s\",\"backoffCoefficient\":2,\"nonRetryableErrorTypes\":[\"A\",\"B\"]}");
}

TEST(numbers_bytes_enums_and_times_have_their_spellings)
{
    check_round_trip(
        &pb_history_HistoryEvent,
        BYTES(
            "{\"eventId\": 7, \"eventTime\": \"2026-11-23T10:00:00.5+01:00\", \"eventType\": \"TimerFired\","
            "\"timerFiredEventAttributes\": {\"timerId\": \"5\", \"startedEventId\": "
            "\"-9223372036854775808\"}}"),
        "{\"eventId\":\"7\",\"eventTime\":\"2026-11-23T09:00:00.500Z\",\"eventType\":\"EVENT_TYPE_TIMER_"
        "FIRED\","
        "\"timerFiredEventAttributes\":{\"timerId\":\"5\",\"startedEventId\":\"-9223372036854775808\"}}");
    check_round_trip(&pb_common_Payload,
                     BYTES("{\"metadata\":{\"encoding\":\"anNvbi9wbGFpbg==\"},\"data\":\"Ilx1MDAwMCI\"}"),
                     "{\"metadata\":{\"encoding\":\"anNvbi9wbGFpbg==\"},\"data\":\"Ilx1MDAwMCI=\"}");
}

TEST(numbers_of_64_bits_are_text)
{
    check_round_trip(&pb_token_ListPage, BYTES("{\"queryHash\":18446744073709551615}"),
                     "{\"queryHash\":\"18446744073709551615\"}");
}

TEST(well_known_types_are_json_values)
{
    check_round_trip(&pb_google_Value, BYTES(" [null, {\"a\": [1, true, \"\\ud83d\\ude00\\n\"]}, {}, []] "),
                     "[null,{\"a\":[1,true,\"\xF0\x9F\x98\x80\\n\"]},{},[]]");
    check_round_trip(&pb_google_FieldMask, BYTES("\"a.bC,d\""), "\"a.bC,d\"");
    check_round_trip(&pb_google_Any, BYTES("{\"value\":\"-0.5s\",\"@type\":\"t/google.protobuf.Duration\"}"),
                     "{\"@type\":\"t/google.protobuf.Duration\",\"value\":\"-0.500s\"}");
    check_round_trip(&pb_google_Any,
                     BYTES("{\"@type\":\"t/temporal.api.common.v1.WorkflowType\",\"name\":\"n\"}"),
                     "{\"@type\":\"t/temporal.api.common.v1.WorkflowType\",\"name\":\"n\"}");
    check_round_trip(&pb_google_Any, BYTES("{\"@type\":\"t/some.body.Else\",\"value\":\"AAE=\"}"),
                     "{\"@type\":\"t/some.body.Else\",\"value\":\"AAE=\"}");
    check_round_trip(&pb_google_Any,
                     BYTES("{\"@type\":\"t/google.protobuf.Any\",\"value\":{\"@type\":\"t/"
                           "google.protobuf.Struct\",\"value\":{}}}"),
                     "{\"@type\":\"t/google.protobuf.Any\",\"value\":{\"@type\":\"t/"
                     "google.protobuf.Struct\",\"value\":{}}}");
}

TEST(long_values_move_behind_their_longer_lengths)
{
    struct buffer json, again;
    buffer_init(&json);
    buffer_init(&again);
    buffer_append_text(&json, "{\"workflowType\":{\"name\":\"");
    for (size_t i = 0; i < 20000; i++)
        buffer_append_byte(&json, 'x');
    buffer_append_text(&json, "\"}}");
    CHECK_INT(parse(&pb_workflowservice_StartWorkflowExecutionRequest, buffer_bytes(&json)), ST_OK);
    CHECK_INT(buffer.size, 20000 + 4 + 4);
    CHECK_INT(json_print(&pb_workflowservice_StartWorkflowExecutionRequest, buffer_bytes(&buffer), 0, &again,
                         &error),
              ST_OK);
    CHECK_BYTES(buffer_bytes(&again), buffer_bytes(&json));
    buffer_release(&json);
    buffer_release(&again);
    end();
}

TEST(a_refusal_names_the_place_and_leaves_the_output_as_it_was)
{
    start_over();
    buffer_append_text(&buffer, "kept");
    CHECK_INT(json_parse(&pb_workflowservice_StartWorkflowExecutionRequest,
                         BYTES("{\"namespace\":\"n\",\"retryPolicy\":{\"maximumAttempts\":\"many\"}}"),
                         &arena, &buffer, &error),
              ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "retry_policy.maximum_attempts") != NULL);
    CHECK_BYTES(buffer_bytes(&buffer), BYTES("kept"));
    CHECK_INT(json_print(&pb_google_Timestamp, BYTES("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), 0, &buffer,
                         &error),
              ST_INVALID_ARGUMENT);
    CHECK_BYTES(buffer_bytes(&buffer), BYTES("kept"));
    end();
}

TEST(nesting_is_bounded_in_every_direction)
{
    struct buffer json;
    buffer_init(&json);
    for (size_t i = 0; i < 10000; i++)
        buffer_append_text(&json, "{\"cause\":");
    CHECK_INT(parse(&pb_failure_Failure, buffer_bytes(&json)), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "nested too deeply") != NULL);
    buffer_clear(&json);
    for (size_t i = 0; i < 10000; i++)
        buffer_append_text(&json, "[");
    CHECK_INT(parse(&pb_google_Value, buffer_bytes(&json)), ST_INVALID_ARGUMENT);
    buffer_clear(&json);
    for (size_t i = 0; i < 10000; i++)
        buffer_append_text(&json, "{\"@type\":\"t/google.protobuf.Any\",\"value\":");
    CHECK_INT(parse(&pb_google_Any, buffer_bytes(&json)), ST_INVALID_ARGUMENT);
    buffer_release(&json);
    end();
}

TEST(what_is_parsed_to_the_full_depth_is_printed_again)
{
    struct buffer json, again;
    buffer_init(&json);
    buffer_init(&again);
    for (size_t i = 0; i < MESSAGE_DEPTH_MAX; i++)
        buffer_append_text(&json, "{\"cause\":");
    buffer_append_text(&json, "{}");
    for (size_t i = 0; i < MESSAGE_DEPTH_MAX; i++)
        buffer_append_text(&json, "}");
    CHECK_INT(parse(&pb_failure_Failure, buffer_bytes(&json)), ST_OK);
    CHECK_INT(json_print(&pb_failure_Failure, buffer_bytes(&buffer), 0, &again, &error), ST_OK);
    CHECK_BYTES(buffer_bytes(&again), buffer_bytes(&json));
    buffer_release(&json);
    buffer_release(&again);
    end();
}

/* Refused, and why. */
static void check_refused(const struct pb_message *message, struct bytes json, const char *why)
{
    CHECK_INT(parse(message, json), ST_INVALID_ARGUMENT);
    if (strstr(error.message, why) == NULL)
        fail_msg("%.*s: %s", BYTES_FMT(json), error.message);
    end();
}

TEST(each_kind_of_mistake_is_named)
{
    const struct pb_message *start = &pb_workflowservice_StartWorkflowExecutionRequest;
    check_refused(start, BYTES("{\"retryPolicy\":{\"nonRetryableErrorTypes\":[null]}}"),
                  "null is no element");
    check_refused(start, BYTES("{\"memo\":{\"fields\":{\"k\":null}}}"), "null is no value of a map");
    check_refused(start, BYTES("{\"retryPolicy\":{\"maximumAttempts\":true}}"), "a number is expected");
    check_refused(start, BYTES("{\"workflowIdReusePolicy\":true}"), "the name of an enum value");
    check_refused(start, BYTES("{\"workflowIdReusePolicy\":1.5}"), "not a number of the field's type");
    check_refused(start, BYTES("{\"workflowIdReusePolicy\":\"Nothing\"}"), "no such enum value");
    check_refused(start, BYTES("{\"identit\":\"\"}"), "has no field");
    check_refused(&pb_common_Callback, BYTES("{\"nexus\":{},\"internal\":{}}"), "another member");
    check_refused(&pb_history_HistoryEvent, BYTES("{\"eventId\":\"18446744073709551619\"}"),
                  "not a number of the field's type");
    check_refused(&pb_common_WorkflowExecution, BYTES_EMPTY, "");
    CHECK_INT(parse(start, BYTES("{\t\"workflowIdReusePolicy\":null}")), ST_OK); /* as if it were not there */
    CHECK_INT(buffer.size, 0);
    CHECK_INT(parse(&pb_common_Payload, BYTES("{\"data\":\"_-8\"}")), ST_OK); /* the other base64 */
    CHECK_BYTES(buffer_bytes(&buffer), BYTES("\x12\x02\xFF\xEF"));
    end();
}

static void check_time(const char *text, bool good)
{
    struct buffer json = { 0 };
    buffer_printf(&json, "{\"eventTime\":\"%s\"}", text);
    enum status status = parse(&pb_history_HistoryEvent, buffer_bytes(&json));
    if ((status == ST_OK) != good)
        fail_msg("%s: %s", text, status_name(status));
    buffer_release(&json);
    end();
}

TEST(times_that_are_no_times_are_refused)
{
    check_time("2024-02-29T00:00:00Z", true);
    check_time("2000-02-29T00:00:00Z", true);
    check_time("2023-02-29T00:00:00Z", false);
    check_time("1900-02-29T00:00:00Z", false);
    check_time("2024-01-01T00:00:00+23:59", true);
    check_time("2024-01-01T00:00:00+24:00", false);
    check_time("2024-01-01T00:00:00-00:60", false);
    check_time("0000-01-01T00:00:00Z", false);
    check_time("0001-01-01T00:00:00Z", true);
    check_time("9999-12-31T23:59:59Z", true);
    check_time("9999-12-31T23:59:59-00:01", false);
}

TEST(anys_without_a_type_and_anys_within_anys)
{
    struct buffer inner = { 0 };
    start_over();
    CHECK_INT(json_print(&pb_google_Any, BYTES("\x12\x01x"), 0, &buffer, &error), ST_OK);
    CHECK_BYTES(buffer_bytes(&buffer), BYTES("{}"));
    buffer_clear(&buffer);
    CHECK_INT(json_print(&pb_google_Any, BYTES("\x0A\x00\x12\x01x"), 0, &buffer, &error), ST_OK);
    CHECK_BYTES(buffer_bytes(&buffer), BYTES("{}"));
    for (size_t i = 0; i < 300; i++) {
        struct buffer outer = { 0 };
        buffer_append(&outer, BYTES("\x0A\x15t/google.protobuf.Any\x12"));
        buffer_append_varint(&outer, inner.size);
        buffer_append(&outer, buffer_bytes(&inner));
        buffer_release(&inner);
        inner = outer;
    }
    CHECK_INT(json_print(&pb_google_Any, buffer_bytes(&inner), 0, &buffer, &error), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "nested too deeply") != NULL);
    buffer_release(&inner);
    end();
}

TEST(text_that_needs_more_memory_than_there_is_is_refused)
{
    struct json_reader reader;
    struct bytes       json = BYTES("\"\\u00e9\""), text;
    reader = (struct json_reader){ json.base, json.base, json.base + json.size };
    struct json_token token = json_next(&reader);
    arena_release(&arena);
    arena_init(&arena, 1);
    CHECK(!json_token_string(&token, &arena, &text));
    end();
}

TEST(text_cut_at_any_byte_is_refused)
{
    struct bytes json = BYTES(
        "{\"workflowId\":\"w\\u00e9\",\"retryPolicy\":{\"maximumAttempts\":12,\"backoffCoefficient\":-1.5e2,"
        "\"nonRetryableErrorTypes\":[\"a\"]},\"memo\":{\"fields\":{\"k\":{\"data\":\"YWJj\"}}},"
        "\"requestEagerExecution\":true,\"identity\":null}");
    CHECK_INT(parse(&pb_workflowservice_StartWorkflowExecutionRequest, json), ST_OK);
    for (size_t size = 0; size < json.size; size++) {
        uint8_t *copy = xmalloc(size);
        memcpy(copy, json.base, size);
        CHECK_INT(parse(&pb_workflowservice_StartWorkflowExecutionRequest, bytes_of(copy, size)),
                  ST_INVALID_ARGUMENT);
        free(copy);
    }
    end();
}

TEST(a_message_in_parts_and_a_oneof_set_twice_print_as_they_decode)
{
    start_over();
    CHECK_INT(json_print(&pb_workflowservice_StartWorkflowExecutionRequest,
                         BYTES("\x22\x03\x0A\x01q\x22\x02\x10\x01"), 0, &buffer, &error),
              ST_OK);
    CHECK_BYTES(buffer_bytes(&buffer),
                BYTES("{\"taskQueue\":{\"name\":\"q\",\"kind\":\"TASK_QUEUE_KIND_NORMAL\"}}"));
    buffer_clear(&buffer);
    /* nexus { url }, internal { data }, nexus {}: only the last one is left, without the url of the first. */
    CHECK_INT(json_print(&pb_common_Callback, BYTES("\x12\x05\x0A\x03url\x1A\x03\x0A\x01z\x12\x00"), 0,
                         &buffer, &error),
              ST_OK);
    CHECK_BYTES(buffer_bytes(&buffer), BYTES("{\"nexus\":{}}"));
    end();
}
