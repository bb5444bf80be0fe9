/* fuzz_grpc.c: the small grammars of gRPC: timeouts, lists, percent and base64, google.rpc.Status, gzip.
 *
 * Input: the first byte chooses the grammar, the rest is what is read or written.
 * What must hold: what is written is read back as it was; what is read is what the grammar says; a printed timeout is never
 * shorter than the time, and at most one step longer; what is unpacked stays within its limit.
 */
#include "fuzz.h"
#include "wire/grpc.h"
#include "wire/gzip.h"

static void check_timeout(struct bytes text)
{
    int64_t ns;
    bool    units = text.size >= 2 && memchr("HMSmun", text.base[text.size - 1], 6) != NULL;
    size_t  digits = 0;
    while (digits < text.size && text.base[digits] >= '0' && text.base[digits] <= '9')
        digits++;
    bool is_good = units && digits + 1 == text.size && digits <= 8;
    FUZZ_REQUIRE(grpc_timeout_parse(text, &ns) == is_good, "timeout %.*s", BYTES_FMT(text));
    FUZZ_REQUIRE(!is_good || ns >= 0, "timeout %.*s is %" PRId64, BYTES_FMT(text), ns);
}

static void check_printed_timeout(struct fuzz_input *input)
{
    char    text[GRPC_TIMEOUT_TEXT_SIZE];
    int64_t ns = (int64_t)(fuzz_number(input, 8) >> (1 + fuzz_below(input, 63))), back;
    size_t  size = grpc_timeout_print(ns, text);
    FUZZ_REQUIRE(size < sizeof text && grpc_timeout_parse(bytes_of(text, size), &back),
                 "%" PRId64 " ns prints as %s", ns, text);
    /* At most one step longer: the next unit is taken when there are 100,000 of it. */
    FUZZ_REQUIRE(back >= ns && back - ns <= ns / 100000, "%" PRId64 " ns reads as %" PRId64, ns, back);
}

static void check_list(struct fuzz_input *input)
{
    struct bytes item = fuzz_text(input), list = fuzz_rest(input);
    bool         has = false;
    for (size_t i = 0; i < item.size; i++)
        if (memchr(", ;", item.base[i], 3) != NULL)
            return; /* no name of an encoding */
    for (size_t begin = 0; begin <= list.size && item.size > 0;) {
        const uint8_t *comma = begin == list.size ? NULL : memchr(list.base + begin, ',', list.size - begin);
        size_t         end = comma == NULL ? list.size : (size_t)(comma - list.base), at = begin;
        while (at < end && list.base[at] == ' ')
            at++;
        struct bytes entry = bytes_of(list.base + at, end - at);
        bool         ends = entry.size == item.size ||
                    (entry.size > item.size && memchr(" ;", entry.base[item.size], 2) != NULL);
        has = has || (bytes_starts_with(entry, item) && ends);
        begin = end + 1;
    }
    FUZZ_REQUIRE(item.size == 0 || grpc_list_has(list, item) == has, "%.*s in %.*s: %d", BYTES_FMT(item),
                 BYTES_FMT(list), has);
}

static void check_percent(struct bytes text)
{
    struct buffer coded = { 0 }, back = { 0 };
    grpc_percent_encode(text, &coded);
    for (size_t i = 0; i < coded.size; i++)
        FUZZ_REQUIRE(coded.base[i] >= 0x20 && coded.base[i] <= 0x7E, "a header with byte %d", coded.base[i]);
    grpc_percent_decode(buffer_bytes(&coded), &back);
    FUZZ_REQUIRE(bytes_equal(buffer_bytes(&back), text), "percent-encoding loses something");
    buffer_clear(&back);
    grpc_percent_decode(text, &back);
    FUZZ_REQUIRE(back.size <= text.size, "percent-decoding grows");
    buffer_release(&coded);
    buffer_release(&back);
}

static void check_base64(struct bytes data)
{
    struct buffer text = { 0 }, again = { 0 };
    struct bytes  back;
    struct arena  arena;
    arena_init(&arena, SIZE_MAX);
    grpc_base64_encode(data, &text);
    FUZZ_REQUIRE(grpc_base64_decode(buffer_bytes(&text), &arena, &back) && bytes_equal(back, data),
                 "base64 loses something");
    for (size_t i = data.size; i % 3 != 0; i++)
        buffer_append_byte(&text, '=');
    FUZZ_REQUIRE(grpc_base64_decode(buffer_bytes(&text), &arena, &back) && bytes_equal(back, data),
                 "padded base64 loses something");
    if (grpc_base64_decode(data, &arena, &back)) {
        grpc_base64_encode(back, &again);
        while (data.size > 0 && data.base[data.size - 1] == '=')
            data.size--;
        /* The last digit may hold bits that are no data. */
        FUZZ_REQUIRE(again.size == data.size &&
                         (again.size == 0 || memcmp(again.base, data.base, again.size - 1) == 0),
                     "base64 was read that is none");
    }
    buffer_release(&text);
    buffer_release(&again);
    arena_release(&arena);
}

static void check_status(struct fuzz_input *input)
{
    struct buffer wire = { 0 };
    struct bytes  type, detail;
    struct error  error;
    struct bytes  message = fuzz_text(input), wanted_type = fuzz_text(input), wanted = fuzz_rest(input);
    error_set(&error, ST_NOT_FOUND, "%.*s", BYTES_FMT(message));
    error.detail_type = wanted_type;
    error.detail = wanted;
    grpc_status_encode(&error, &wire);
    FUZZ_REQUIRE(grpc_status_decode(buffer_bytes(&wire), &type, &detail), "a status that is not read");
    if (wanted_type.size != 0 && memchr(wanted_type.base, '/', wanted_type.size) == NULL)
        FUZZ_REQUIRE(bytes_equal(type, wanted_type) && bytes_equal(detail, wanted), "a detail is lost");
    buffer_release(&wire);
    if (grpc_status_decode(wanted, &type, &detail))
        FUZZ_REQUIRE(type.size + detail.size <= wanted.size, "a status says more than it has");
}

static void check_gzip(struct fuzz_input *input)
{
    static struct gzip gzip; /* one for all messages, as a lane has */
    size_t             size_max = (size_t)fuzz_number(input, 2);
    struct bytes       data = fuzz_rest(input);
    struct buffer      packed = { 0 }, back = { 0 };
    struct error       error;
    buffer_append_text(&back, "before");
    if (gzip_unpack(&gzip, data, size_max, &back, &error) == ST_OK)
        FUZZ_REQUIRE(back.size - 6 <= size_max, "unpacked %zu of %zu", back.size - 6, size_max);
    FUZZ_REQUIRE(back.capacity <= 64 + 4 * (MAX(size_max, data.size * 8) + 4096), "%zu bytes of room for %zu",
                 back.capacity, size_max);
    buffer_clear(&back);
    gzip_pack(&gzip, data, &packed);
    enum status status = gzip_unpack(&gzip, buffer_bytes(&packed), data.size, &back, &error);
    FUZZ_REQUIRE(status == ST_OK && bytes_equal(buffer_bytes(&back), data), "gzip loses something: %s",
                 error.message);
    if (data.size != 0) {
        buffer_clear(&back);
        status = gzip_unpack(&gzip, buffer_bytes(&packed), data.size - 1, &back, &error);
        FUZZ_REQUIRE(status == ST_RESOURCE_EXHAUSTED, "one byte over the limit is unpacked");
        status = gzip_unpack(&gzip, bytes_of(packed.base, packed.size - 1), data.size, &back, &error);
        FUZZ_REQUIRE(status == ST_INTERNAL, "a torn message is unpacked");
    }
    buffer_release(&packed);
    buffer_release(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    switch (fuzz_below(&input, 8)) {
    case 0:
        check_timeout(fuzz_rest(&input));
        break;
    case 1:
        check_printed_timeout(&input);
        break;
    case 2:
        check_list(&input);
        break;
    case 3:
        check_percent(fuzz_rest(&input));
        break;
    case 4:
        check_base64(fuzz_rest(&input));
        break;
    case 5:
        check_status(&input);
        break;
    case 6:
        (void)grpc_content_type_ok(fuzz_rest(&input));
        break;
    default:
        check_gzip(&input);
        break;
    }
    return 0;
}
