/* fuzz_http.c: what is ours of HTTP: whose Host is this machine, and Nexus: payloads, failures, links and times as messages.
 * (The parser of requests is in fuzz_http1.c, libcurl's is that of answers.)
 *
 * Input: a byte chooses, the rest is the name, or the encoded message.
 * What must hold: only names of the loopback are taken for it; a header is printable text of one line; a failure's body is
 * JSON that reads back as the message it was; times have the form that HTTP and RFC 3339 ask for.
 */
#include <stdio.h>

#include "api/nexus_http.h"
#include "codec/pb.h"
#include "fuzz.h"
#include "web/web_internal.h"

static void check_host(struct bytes text)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)text.size, text.base == NULL ? "" : (const char *)text.base);
    if (host_is_loopback(name))
        FUZZ_REQUIRE(strncasecmp(name, "localhost", 9) == 0 || strncmp(name, "127.", 4) == 0 ||
                         name[0] == '[',
                     "%s is taken for this machine", name);
}

static void check_headers(const struct nexus_message *message)
{
    for (size_t i = 0; i < message->header_count; i++) {
        struct bytes value = message->headers[i].value;
        for (size_t j = 0; j < value.size; j++)
            FUZZ_REQUIRE(value.base[j] >= 0x20 && value.base[j] < 0x7F, "%.*s: byte %d",
                         BYTES_FMT(message->headers[i].name), value.base[j]);
    }
}

static void check_failure(struct bytes encoded, struct arena *arena)
{
    struct nexus_message message = { 0 };
    struct buffer        wire = { 0 };
    struct error         error;
    nexus_set_failure(&message, encoded, arena);
    check_headers(&message);
    /* Any JSON value fits google.protobuf.Value; that it is one is what is asked. */
    const struct pb_message *any_value = pb_message_find(BYTES("google.protobuf.Value"));
    if (any_value != NULL) {
        enum status status = json_parse(any_value, message.body, arena, &wire, &error);
        FUZZ_REQUIRE(status == ST_OK || strstr(error.message, "nested") != NULL, "no JSON: %s: %.*s",
                     error.message, BYTES_FMT(message.body));
    }
    FUZZ_REQUIRE(bytes_is_utf8(message.body), "a failure that is no UTF-8");
    buffer_release(&wire);
}

static void check_time(int64_t ns, struct arena *arena)
{
    struct bytes text = nexus_time(ns, arena), date = nexus_http_date(ns, arena);
    FUZZ_REQUIRE(text.size == 30 && text.base[29] == 'Z', "%.*s", BYTES_FMT(text));
    FUZZ_REQUIRE(date.size == 29, "%.*s", BYTES_FMT(date));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input    input = { data, size };
    struct nexus_message message = { 0 };
    struct arena         arena;
    arena_init(&arena, SIZE_MAX);
    switch (fuzz_below(&input, 5)) {
    case 0:
        check_host(fuzz_rest(&input));
        break;
    case 1:
        nexus_set_payload(&message, fuzz_rest(&input), &arena);
        check_headers(&message);
        break;
    case 2:
        nexus_add_link(&message, fuzz_rest(&input), &arena);
        check_headers(&message);
        break;
    case 3:
        check_time((int64_t)(fuzz_number(&input, 8) >> 1), &arena);
        break;
    default:
        check_failure(fuzz_rest(&input), &arena);
        break;
    }
    arena_release(&arena);
    return 0;
}
