/* pb_test.c: decoding and encoding: what is kept, what is refused, and what it may cost. */
#include "base/testing.h"
#include "codec/pb_time.h"
#include "pb/all.pb.h"

static struct arena arena;
static struct error error;

static void start_over(size_t budget)
{
    arena_release(&arena);
    arena_init(&arena, budget);
    error_clear(&error);
}

/* A start request with something of every kind of field that the message has. */
static struct bytes sample(void)
{
    struct common_WorkflowType type = { .name = BYTES("greet") };
    struct taskqueue_TaskQueue queue = { .name = BYTES("hello"), .kind = enums_TASK_QUEUE_KIND_NORMAL };
    struct google_Duration     timeout = { .seconds = 3600, .nanos = 5 };
    struct bytes               kinds[2] = { BYTES("Bad"), BYTES("Worse") };
    struct common_RetryPolicy  retry = { .backoff_coefficient = 2.0,
                                         .maximum_attempts = -1,
                                         .non_retryable_error_types = kinds,
                                         .non_retryable_error_types_count = 2 };
    struct common_Payload_MetadataEntry entry = { .key = BYTES("encoding"), .value = BYTES("json/plain") };
    struct common_Payload  payload = { .metadata = &entry, .metadata_count = 1, .data = BYTES("\"x\"") };
    struct bytes           payload_bytes = pb_encode_arena(&pb_common_Payload, &payload, &arena);
    struct common_Payloads input = { .payloads = &payload_bytes, .payloads_count = 1 };
    struct workflowservice_StartWorkflowExecutionRequest request = {
        .namespace = BYTES("default"),
        .workflow_id = BYTES("w-1"),
        .workflow_type = &type,
        .task_queue = &queue,
        .input = pb_encode_arena(&pb_common_Payloads, &input, &arena),
        .workflow_run_timeout = &timeout,
        .retry_policy = &retry,
        .request_eager_execution = true,
        .workflow_id_reuse_policy = enums_WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
    };
    struct bytes wire = pb_encode_arena(&pb_workflowservice_StartWorkflowExecutionRequest, &request, &arena);
    CHECK_INT(wire.size, pb_encoded_size(&pb_workflowservice_StartWorkflowExecutionRequest, &request));
    return wire;
}

static void to_upper(void *context, const struct pb_message *parent, struct bytes whole, struct bytes part,
                     struct buffer *to)
{
    struct common_Payload payload;
    size_t               *count = context;
    CHECK(whole.size > part.size && (parent == &pb_common_Payloads || parent->shape == PB_SHAPE_MAP_ENTRY));
    CHECK_INT(pb_decode(&pb_common_Payload, part, &arena, &payload, NULL), ST_OK);
    payload.data = BYTES("\"something longer than what was there\"");
    pb_encode(&pb_common_Payload, &payload, to);
    ++*count;
}

TEST(parts_are_exchanged_wherever_they_stand)
{
    struct workflowservice_StartWorkflowExecutionRequest before, after;
    size_t                                               count = 0;
    struct pb_replace                                    rule = { &pb_common_Payload, to_upper, &count };
    struct buffer                                        wire = { 0 };
    start_over(SIZE_MAX);
    struct bytes whole = sample();
    CHECK_INT(pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest, whole, &arena, &before, NULL),
              ST_OK);
    CHECK_INT(pb_replace(&pb_workflowservice_StartWorkflowExecutionRequest, whole, &rule, &wire), ST_OK);
    CHECK(count > 0);
    CHECK_INT(pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest, buffer_bytes(&wire), &arena,
                        &after, NULL),
              ST_OK);
    CHECK(bytes_equal(before.workflow_id, after.workflow_id) && bytes_equal(before.identity, after.identity));
    CHECK(after.input.size > before.input.size);
    after.input = before.input;
    after.memo = before.memo;
    CHECK(bytes_equal(pb_encode_arena(&pb_workflowservice_StartWorkflowExecutionRequest, &before, &arena),
                      pb_encode_arena(&pb_workflowservice_StartWorkflowExecutionRequest, &after, &arena)));
    for (size_t size = 0; size < whole.size;
         size++) { /* what is cut is refused, or ends between two fields */
        buffer_clear(&wire);
        enum status status = pb_replace(&pb_workflowservice_StartWorkflowExecutionRequest,
                                        bytes_of(whole.base, size), &rule, &wire);
        CHECK(status == ST_OK || status == ST_INVALID_ARGUMENT);
    }
    buffer_release(&wire);
}

TEST(parts_that_are_nested_too_deeply_are_refused)
{
    struct buffer     to = { 0 };
    size_t            count = 0;
    struct pb_replace rule = { &pb_common_Payload, to_upper, &count };
    struct bytes      cause = BYTES_EMPTY;
    start_over(SIZE_MAX);
    for (size_t i = 0; i < MESSAGE_DEPTH_MAX + 1; i++) {
        struct failure_Failure failure = { .message = BYTES("m"), .cause = cause };
        cause = pb_encode_arena(&pb_failure_Failure, &failure, &arena);
        if (i + 1 == MESSAGE_DEPTH_MAX)
            CHECK_INT(pb_replace(&pb_failure_Failure, cause, &rule, &to), ST_OK);
    }
    CHECK_INT(pb_replace(&pb_failure_Failure, cause, &rule, &to), ST_INVALID_ARGUMENT);
    buffer_release(&to);
}

TEST(a_request_survives_the_round_trip_and_its_opaque_parts_decode_on_demand)
{
    struct workflowservice_StartWorkflowExecutionRequest request;
    struct common_Payloads                               input;
    struct common_Payload                                payload;
    start_over(SIZE_MAX);
    struct bytes wire = sample();
    CHECK_INT(pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest, wire, &arena, &request, &error),
              ST_OK);
    CHECK_BYTES(request.workflow_type->name, BYTES("greet"));
    CHECK_INT(request.retry_policy->maximum_attempts, -1);
    CHECK_INT(request.retry_policy->non_retryable_error_types_count, 2);
    CHECK_BYTES(request.retry_policy->non_retryable_error_types[1], BYTES("Worse"));
    CHECK(request.request_eager_execution);
    CHECK_PTR(request.workflow_task_timeout, NULL);
    CHECK_PTR(request.memo.base, NULL);
    CHECK_INT(pb_decode(&pb_common_Payloads, request.input, &arena, &input, &error), ST_OK);
    CHECK_INT(pb_decode(&pb_common_Payload, input.payloads[0], &arena, &payload, &error), ST_OK);
    CHECK_BYTES(payload.metadata[0].value, BYTES("json/plain"));
    CHECK_BYTES(pb_encode_arena(&pb_workflowservice_StartWorkflowExecutionRequest, &request, &arena), wire);
}

TEST(a_message_cut_at_any_byte_is_refused_or_is_a_shorter_message_but_never_read_past)
{
    start_over(SIZE_MAX);
    struct bytes wire = sample();
    for (size_t size = 0; size < wire.size; size++) {
        struct workflowservice_StartWorkflowExecutionRequest request;
        uint8_t *copy = xmalloc(size); /* exactly as large, so that the sanitizer sees a read past it */
        memcpy(copy, wire.base, size);
        enum status status = pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest,
                                       bytes_of(copy, size), &arena, &request, &error);
        CHECK(status == ST_OK || status == ST_INVALID_ARGUMENT);
        CHECK_INT(status, pb_validate(&pb_workflowservice_StartWorkflowExecutionRequest, bytes_of(copy, size),
                                      &error));
        free(copy);
    }
}

/* Failure chains: cause is field 4. */
static struct bytes nested_failure(size_t depth)
{
    struct buffer inner, outer;
    buffer_init(&inner);
    for (size_t i = 0; i < depth; i++) {
        buffer_init(&outer);
        buffer_append_byte(&outer, 4 << 3 | 2);
        buffer_append_varint(&outer, inner.size);
        buffer_append(&outer, buffer_bytes(&inner));
        buffer_release(&inner);
        inner = outer;
    }
    struct bytes copy = arena_copy(&arena, buffer_bytes(&inner));
    buffer_release(&inner);
    return copy;
}

TEST(nesting_is_accepted_up_to_the_limit_and_ten_thousand_levels_are_refused)
{
    struct failure_Failure failure;
    start_over(SIZE_MAX);
    CHECK_INT(pb_decode(&pb_failure_Failure, nested_failure(MESSAGE_DEPTH_MAX), &arena, &failure, &error),
              ST_OK);
    CHECK_INT(pb_validate(&pb_failure_Failure, nested_failure(MESSAGE_DEPTH_MAX), &error), ST_OK);
    struct bytes deeper = nested_failure(MESSAGE_DEPTH_MAX + 1);
    CHECK_INT(pb_decode(&pb_failure_Failure, deeper, &arena, &failure, &error), ST_INVALID_ARGUMENT);
    CHECK(strstr(error.message, "Failure.cause.cause") != NULL &&
          strstr(error.message, "too deeply") != NULL);
    CHECK_INT(pb_validate(&pb_failure_Failure, nested_failure(10000), &error), ST_INVALID_ARGUMENT);
    CHECK_INT(pb_decode_within(&pb_failure_Failure, nested_failure(REQUEST_DEPTH_MAX + 1), REQUEST_DEPTH_MAX,
                               &arena, &failure, &error),
              ST_INVALID_ARGUMENT);
}

TEST(two_byte_items_cost_no_more_than_the_budget)
{
    struct buffer buffer;
    buffer_init(&buffer);
    /* Commands, an empty one each; then empty map entries; then the same singular message again and again. */
    const struct {
        const struct pb_message *message;
        uint8_t                  tag;
        enum status              expected;
    } cases[] = {
        { &pb_workflowservice_RespondWorkflowTaskCompletedRequest, 2 << 3 | 2, ST_RESOURCE_EXHAUSTED },
        { &pb_common_Header, 1 << 3 | 2, ST_RESOURCE_EXHAUSTED },
        { &pb_workflowservice_StartWorkflowExecutionRequest, 5 << 3 | 2, ST_OK },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        union {
            struct workflowservice_RespondWorkflowTaskCompletedRequest completed;
            struct workflowservice_StartWorkflowExecutionRequest       start;
            struct common_Header                                       header;
        } record;
        buffer_clear(&buffer);
        for (size_t n = 0; n < 2 * 1024 * 1024; n++) {
            buffer_append_byte(&buffer, cases[i].tag);
            buffer_append_byte(&buffer, 0);
        }
        start_over(8 * buffer.size + 1024 * 1024);
        CHECK_INT(pb_decode(cases[i].message, buffer_bytes(&buffer), &arena, &record, &error),
                  cases[i].expected);
        CHECK(arena.used_total <= arena.budget);
    }
    buffer_release(&buffer);
}

static enum status decode_start(struct bytes wire)
{
    static struct workflowservice_StartWorkflowExecutionRequest request;
    return pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest, wire, &arena, &request, &error);
}

TEST(bad_text_is_refused_by_name)
{
    start_over(SIZE_MAX);
    CHECK_INT(decode_start(BYTES("\x0A\x02\xC3\x28")), ST_INVALID_ARGUMENT);
    CHECK_TEXT(error.message, "StartWorkflowExecutionRequest.namespace: not valid UTF-8");
    CHECK_INT(decode_start(BYTES("\x1A\x05\x0A\x03"
                                 "a\0b")),
              ST_INVALID_ARGUMENT);
    CHECK_TEXT(error.message, "StartWorkflowExecutionRequest.workflow_type.name: contains a NUL byte");
    /* Inside what stays opaque: memo { fields { key } }. */
    CHECK_INT(decode_start(BYTES("\x72\x05\x0A\x03\x0A\x01\xFF")), ST_INVALID_ARGUMENT);
    /* Free text may hold anything that is UTF-8. */
    CHECK_INT(pb_validate(&pb_failure_Failure,
                          BYTES("\x0A\x03"
                                "a\0b"),
                          &error),
              ST_OK);
}

TEST(malformed_tags_numbers_groups_and_wire_types_are_refused)
{
    start_over(SIZE_MAX);
    CHECK_INT(decode_start(BYTES("\x00\x00")), ST_INVALID_ARGUMENT); /* field 0 */
    CHECK_INT(decode_start(BYTES("\x80")), ST_INVALID_ARGUMENT);     /* cut tag */
    CHECK_INT(decode_start(BYTES("\x0B\x0C")), ST_INVALID_ARGUMENT); /* a group */
    CHECK_INT(decode_start(BYTES("\x08\x01")), ST_INVALID_ARGUMENT); /* namespace as number */
    CHECK_INT(decode_start(BYTES("\x58\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")),
              ST_INVALID_ARGUMENT); /* 11 bytes */
    CHECK_INT(decode_start(BYTES("\x58\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02")),
              ST_INVALID_ARGUMENT); /* 65 bits */
    CHECK_INT(decode_start(BYTES("\x58\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")), ST_OK);
    CHECK_INT(decode_start(BYTES("\xC2\x3E\x01x")), ST_OK); /* an unknown field is skipped */
    CHECK_INT(decode_start(BYTES("\xC3\x3E\xC4\x3E")), ST_INVALID_ARGUMENT);
}

TEST(a_message_that_comes_in_parts_is_merged)
{
    struct workflowservice_StartWorkflowExecutionRequest request;
    start_over(SIZE_MAX);
    struct bytes wire = BYTES("\x22\x03\x0A\x01q"
                              "\x72\x03\x0A\x01\x0A" /* cut inside: refused below */);
    CHECK_INT(pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest, wire, &arena, &request, &error),
              ST_INVALID_ARGUMENT);
    wire = BYTES("\x22\x03\x0A\x01q\x22\x02\x10\x01\x22\x00"
                 "\x72\x02\x0A\x00\x72\x05\x0A\x03\x0A\x01k");
    CHECK_INT(pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest, wire, &arena, &request, &error),
              ST_OK);
    CHECK_BYTES(request.task_queue->name, BYTES("q"));
    CHECK_INT(request.task_queue->kind, 1);
    CHECK_BYTES(request.memo, BYTES("\x0A\x00\x0A\x03\x0A\x01k"));
    struct common_Memo memo;
    CHECK_INT(pb_decode(&pb_common_Memo, request.memo, &arena, &memo, &error), ST_OK);
    CHECK_INT(memo.fields_count, 2);
    CHECK(memo.fields[0].value.base != NULL); /* a left-out value is an empty message */
}

TEST(the_last_member_of_a_oneof_wins)
{
    struct common_Callback callback;
    start_over(SIZE_MAX);
    struct bytes wire = BYTES("\x12\x05\x0A\x03url\x1A\x03\x0A\x01z");
    CHECK_INT(pb_decode(&pb_common_Callback, wire, &arena, &callback, &error), ST_OK);
    CHECK_INT(callback.variant_case, 3);
    CHECK_BYTES(callback.internal->data, BYTES("z"));
    CHECK_BYTES(pb_encode_arena(&pb_common_Callback, &callback, &arena), BYTES("\x1A\x03\x0A\x01z"));
}

TEST(a_present_empty_opaque_field_differs_from_an_absent_one)
{
    struct workflowservice_StartWorkflowExecutionRequest request;
    start_over(SIZE_MAX);
    CHECK_INT(pb_decode(&pb_workflowservice_StartWorkflowExecutionRequest, BYTES("\x2A\x00"), &arena,
                        &request, &error),
              ST_OK);
    CHECK(request.input.base != NULL && request.input.size == 0);
    CHECK_BYTES(pb_encode_arena(&pb_workflowservice_StartWorkflowExecutionRequest, &request, &arena),
                BYTES("\x2A\x00"));
    struct common_Memo memo = { 0 };
    CHECK(pb_encode_arena(&pb_common_Memo, &memo, &arena).base != NULL);
}

TEST(what_was_said_to_be_there_and_is_not_is_written_empty)
{
    struct common_Callback callback = { .variant_case = 2 };
    struct common_Memo     memo = { 0 };
    struct buffer          buffer = { 0 };
    start_over(SIZE_MAX);
    CHECK_BYTES(pb_encode_arena(&pb_common_Callback, &callback, &arena), BYTES("\x12\x00"));
    pb_encode(&pb_common_Memo, &memo, &buffer);
    CHECK_INT(buffer.size, 0);
    buffer_release(&buffer);
}

TEST(memory_that_ends_anywhere_is_refused_as_such)
{
    /* Messages, lists of them, maps whose values were left out, packed numbers, opaque fields in parts. */
    const struct {
        const struct pb_message *message;
        struct bytes             wire;
    } cases[] = {
        { &pb_workflowservice_StartWorkflowExecutionRequest, BYTES("\x22\x03\x0A\x01q\x3A\x02\x08\x01") },
        { &pb_workflowservice_StartWorkflowExecutionRequest,
          BYTES("\x72\x02\x0A\x00\x72\x05\x0A\x03\x0A\x01k\x72\x05\x0A\x03\x0A\x01l") },
        { &pb_workflowservice_RespondWorkflowTaskCompletedRequest,
          BYTES("\x12\x02\x08\x01\x12\x02\x08\x02") },
        { &pb_common_Header, BYTES("\x0A\x03\x0A\x01k\x0A\x03\x0A\x01l") },
        { &pb_sdk_WorkflowTaskCompletedMetadata, BYTES("\x0A\x03\x01\x02\x03\x0A\x01\x04\x08\x05") },
        { &pb_sdk_WorkflowTaskCompletedMetadata, BYTES("\x08\x05\x08\x06") },
        { &pb_taskqueue_TaskQueueVersionInfo, BYTES("\x0A\x02\x08\x01\x0A\x02\x08\x02") },
        { &pb_common_RetryPolicy, BYTES("\x2A\x01\x61\x2A\x01\x62") },
    };
    size_t room = 0, refused = 0;
    start_over(4096);
    while (arena_alloc(&arena, 8) != NULL)
        room++;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        enum status status = ST_RESOURCE_EXHAUSTED;
        for (size_t left = 0; status != ST_OK; left++) {
            uint64_t record[64];
            CHECK(left <= room && cases[i].message->size <= sizeof record);
            start_over(4096);
            for (size_t taken = 0; taken + left < room; taken++)
                CHECK(arena_alloc(&arena, 8) != NULL);
            status = pb_decode(cases[i].message, cases[i].wire, &arena, record, &error);
            CHECK(status == ST_OK || status == ST_RESOURCE_EXHAUSTED);
            refused += status != ST_OK;
        }
    }
    CHECK(refused > 2 * ARRAY_COUNT(cases));
}

TEST(times_at_and_past_their_ends)
{
    const struct google_Duration  bad[] = { { .seconds = 315576000001 },
                                            { .seconds = -315576000001 },
                                            { .nanos = -1000000000 },
                                            { .seconds = 1, .nanos = -1 },
                                            { .seconds = -1, .nanos = 1 } };
    const struct google_Timestamp never[] = { { .seconds = -62135596801 },
                                              { .seconds = 253402300800 },
                                              { .nanos = 1000000000 } };
    int64_t                       ns = 1;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        CHECK_INT(duration_check(&bad[i], "x", &ns, &error), ST_INVALID_ARGUMENT);
        CHECK_TEXT(error.message, "x is not a valid duration");
    }
    CHECK_INT(duration_check(&(struct google_Duration){ .nanos = -1 }, "x", &ns, &error),
              ST_INVALID_ARGUMENT);
    CHECK_TEXT(error.message, "x is negative");
    CHECK_INT(duration_check(NULL, "x", &ns, &error), ST_OK);
    CHECK_EQ(ns, 0);
    for (size_t i = 0; i < ARRAY_COUNT(never); i++)
        CHECK_INT(timestamp_check(&never[i], "x", &ns, &error), ST_INVALID_ARGUMENT);
    CHECK_INT(timestamp_check(&(struct google_Timestamp){ 1, 2 }, "x", &ns, &error), ST_OK);
    CHECK_EQ(ns, 1000000002);
    CHECK_INT(timestamp_check(NULL, "x", &ns, &error), ST_OK);
    CHECK_EQ(ns, 0);
    CHECK_EQ(timestamp_ns(&(struct google_Timestamp){ .seconds = INT64_MIN }), INT64_MIN);
    CHECK_EQ(timestamp_ns(&(struct google_Timestamp){ 9223372036, 999999999 }), INT64_MAX);
    start_over(SIZE_MAX);
    CHECK_INT(timestamp_of_ns(&arena, 1500000000)->nanos, 500000000);
}

TEST(durations_saturate_and_bad_ones_are_named)
{
    int64_t ns;
    start_over(SIZE_MAX);
    CHECK_EQ(duration_ns(&(struct google_Duration){ .seconds = INT64_MAX }), INT64_MAX);
    CHECK_EQ(duration_ns(NULL), 0);
    CHECK_INT(duration_check(&(struct google_Duration){ .seconds = -1 }, "run_timeout", &ns, &error),
              ST_INVALID_ARGUMENT);
    CHECK_TEXT(error.message, "run_timeout is negative");
    CHECK_INT(duration_check(&(struct google_Duration){ .nanos = 1000000000 }, "x", &ns, &error),
              ST_INVALID_ARGUMENT);
    CHECK_INT(duration_check(&(struct google_Duration){ 2, 5 }, "x", &ns, &error), ST_OK);
    CHECK_EQ(ns, 2000000005);
    CHECK_INT(timestamp_check(&(struct google_Timestamp){ .nanos = -1 }, "x", &ns, &error),
              ST_INVALID_ARGUMENT);
    CHECK_EQ(timestamp_ns(timestamp_of_ns(&arena, -1)), -1);
    CHECK_INT(timestamp_of_ns(&arena, -1)->nanos, 999999999);
    CHECK_INT(duration_of_ns(&arena, -1500000000)->nanos, -500000000);
    arena_release(&arena);
}
