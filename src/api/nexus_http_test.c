/* nexus_http_test.c: payloads, failures, links and times as Nexus writes them. What is usual is tested over HTTP, see
 * tests/sdk/python/test_callbacks.py; here is what is not. */
#include "api/nexus_http.h"

#include "base/clock.h"
#include "base/testing.h"
#include "codec/pb.h"

static struct arena arena;

static struct bytes value_of(const struct nexus_message *message, const char *name)
{
    for (size_t i = 0; i < message->header_count; i++)
        if (bytes_equal_text(message->headers[i].name, name))
            return message->headers[i].value;
    return BYTES_EMPTY;
}

TEST(what_http_cannot_say_of_a_payload_goes_as_the_payload_itself)
{
    arena_init(&arena, SIZE_MAX);
    struct common_Payload_MetadataEntry metadata[] = { { BYTES("encoding"), BYTES("binary/protobuf") },
                                                       { BYTES("messageType"), BYTES("a\"b") } };
    struct common_Payload payload = { .metadata = metadata, .metadata_count = 2, .data = BYTES("x") };
    struct bytes          encoded = pb_encode_arena(&pb_common_Payload, &payload, &arena);
    struct nexus_message  message = { 0 };
    nexus_set_payload(&message, encoded, &arena);
    CHECK_BYTES(value_of(&message, "content-type"), BYTES("application/x-temporal-payload"));
    CHECK_BYTES(message.body, encoded);
    struct nexus_message none = { 0 };
    nexus_set_payload(&none, BYTES_EMPTY, &arena);
    CHECK_EQ(none.header_count, 0);
    arena_release(&arena);
}

TEST(a_long_chain_of_causes_is_nested_and_whole)
{
    arena_init(&arena, SIZE_MAX);
    struct bytes encoded = BYTES_EMPTY;
    for (int depth = 0; depth < 50; depth++) {
        struct failure_Failure failure = { .message = BYTES("say \"why\"\n"), .cause = encoded };
        encoded = pb_encode_arena(&pb_failure_Failure, &failure, &arena);
    }
    struct nexus_message message = { 0 };
    nexus_set_failure(&message, encoded, &arena);
    size_t open = 0, deepest = 0, causes = 0;
    bool   quoted = false;
    for (size_t i = 0; i < message.body.size; i++) {
        uint8_t c = message.body.base[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '{')
            deepest = MAX(deepest, ++open);
        else if (!quoted && c == '}')
            open--;
        if (!quoted && bytes_starts_with(bytes_of(message.body.base + i, message.body.size - i),
                                         BYTES(",\"cause\":{\"message\":\"say \\\"why\\\"\\n\",\"meta")))
            causes++;
    }
    CHECK_EQ(open, 0);
    CHECK_EQ(causes, 49);
    CHECK(deepest >= 50);
    arena_release(&arena);
}

TEST(a_link_is_escaped)
{
    arena_init(&arena, SIZE_MAX);
    struct common_Link_WorkflowEvent_RequestIdReference reference = {
        .request_id = BYTES("a b&c"), .event_type = enums_EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    };
    struct common_Link_WorkflowEvent event = { .namespace = BYTES("n"),
                                               .workflow_id = BYTES("a/b>\r\nx: y \xC3\xA4"),
                                               .run_id = BYTES("r"),
                                               .reference_case = 101 };
    event.request_id_ref = &reference;
    struct common_Link link = { .variant_case = 1 };
    link.workflow_event = &event;
    struct nexus_message message = { 0 };
    nexus_add_link(&message, pb_encode_arena(&pb_common_Link, &link, &arena), &arena);
    CHECK_BYTES(
        value_of(&message, "nexus-link"),
        BYTES("<temporal:///namespaces/n/workflows/a%2Fb%3E%0D%0Ax%3A%20y%20%C3%A4/r/history"
              "?eventType=WorkflowExecutionSignaled&referenceType=RequestIdReference&requestID=a%20b%26c>; "
              "type=\"temporal.api.common.v1.Link.WorkflowEvent\""));
    arena_release(&arena);
}

TEST(times_are_in_utc)
{
    arena_init(&arena, SIZE_MAX);
    int64_t time = INT64_C(1795450896) * NS_PER_S + 7;
    CHECK_BYTES(nexus_time(time, &arena), BYTES("2026-11-23T16:21:36.000000007Z"));
    CHECK_BYTES(nexus_http_date(time, &arena), BYTES("Mon, 23 Nov 2026 16:21:36 GMT"));
    arena_release(&arena);
}
