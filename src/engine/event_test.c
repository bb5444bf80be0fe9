/* event_test.c: stored events and failures as bytes: a type read without decoding, texts that are cut, names of causes. */
#include "engine/event.h"

#include "base/testing.h"
#include "engine/failure.h"

TEST(the_type_of_an_event_is_read_without_decoding_it)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    struct history_HistoryEvent event = { .event_id = 300,
                                          .event_time = timestamp_of_ns(&arena,
                                                                        INT64_C(1790000000) * NS_PER_S),
                                          .event_type = enums_EVENT_TYPE_TIMER_FIRED };
    struct bytes                encoded = pb_encode_arena(&pb_history_HistoryEvent, &event, &arena);
    CHECK_INT(event_peek_type(encoded), enums_EVENT_TYPE_TIMER_FIRED);
    for (size_t cut = 0; cut < encoded.size - 1; cut++) /* no prefix is taken for another type */
        CHECK_INT(event_peek_type(bytes_of(encoded.base, cut)), 0);
    arena_release(&arena);
}

TEST(what_is_no_event_has_no_type)
{
    CHECK_INT(event_peek_type(BYTES_EMPTY), 0);
    CHECK_INT(event_peek_type(BYTES("\x08")), 0); /* a tag alone */
    CHECK_INT(event_peek_type(BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")), 0); /* too long */
    CHECK_INT(event_peek_type(BYTES("\x12\x7f\x01")), 0);     /* a length past the end */
    CHECK_INT(event_peek_type(BYTES("\x0d\x01\x18\x05")), 0); /* four bytes that no event begins with */
}

TEST(failures_are_cut_between_characters)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    char text[3000];
    for (size_t i = 0; i + 3 <= sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3); /* the euro sign: three bytes */
    struct failure_Failure failure = { .message = bytes_of(text, sizeof(text)),
                                       .stack_trace = bytes_of(text, sizeof(text)) };
    struct bytes           encoded = pb_encode_arena(&pb_failure_Failure, &failure, &arena);
    for (size_t size = 500; size < 2000; size += 167) {
        struct failure_Failure cut = { 0 }, cause = { 0 };
        struct bytes           bounded = failure_bounded(&arena, encoded, size, true);
        CHECK_INT(pb_decode(&pb_failure_Failure, bounded, &arena, &cut, NULL),
                  ST_OK); /* which checks UTF-8 */
        CHECK_BYTES(cut.message, BYTES("Failure exceeds size limit."));
        CHECK(cut.server_failure_info->non_retryable);
        CHECK_INT(pb_decode(&pb_failure_Failure, cut.cause, &arena, &cause, NULL), ST_OK);
        CHECK(cause.message.size <= size / 2 && cause.message.size + 3 > size / 2);
        CHECK_INT(cause.message.size % 3, 0);
        CHECK((cause.stack_trace.size == 0) == (size <= 602));
    }
    CHECK_BYTES(failure_bounded(&arena, encoded, encoded.size, true), encoded);
    arena_release(&arena);
}

TEST(a_failure_that_is_none_is_still_bounded)
{
    struct arena           arena;
    struct failure_Failure cut = { 0 };
    arena_init(&arena, SIZE_MAX);
    struct bytes bounded = failure_bounded(&arena, BYTES("\x0a\x7f nonsense"), 4, false);
    CHECK_INT(pb_decode(&pb_failure_Failure, bounded, &arena, &cut, NULL), ST_OK);
    CHECK_BYTES(cut.message, BYTES("Failure exceeds size limit."));
    CHECK(!cut.server_failure_info->non_retryable && cut.cause.size == 0);
    arena_release(&arena);
}

TEST(causes_have_the_names_that_clients_know)
{
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    CHECK_BYTES(cause_name(&arena, enums_WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND),
                BYTES("UnhandledCommand"));
    CHECK_BYTES(cause_name(&arena, enums_WORKFLOW_TASK_FAILED_CAUSE_GRPC_MESSAGE_TOO_LARGE),
                BYTES("GrpcMessageTooLarge"));
    CHECK_BYTES(cause_name(&arena, 999), BYTES("Cause999"));
    arena_release(&arena);
}
