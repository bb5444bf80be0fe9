/* grpc_test.c: header grammars. */
#include "wire/grpc.h"

#include "base/testing.h"

static int64_t timeout_of(const char *text)
{
    int64_t ns;
    return grpc_timeout_parse(bytes_of_text(text), &ns) ? ns : -1;
}

TEST(timeouts_of_every_unit)
{
    CHECK_EQ(timeout_of("1H"), 3600 * NS_PER_S);
    CHECK_EQ(timeout_of("2M"), 120 * NS_PER_S);
    CHECK_EQ(timeout_of("3S"), 3 * NS_PER_S);
    CHECK_EQ(timeout_of("250m"), 250 * NS_PER_MS);
    CHECK_EQ(timeout_of("99999999u"), 99999999 * NS_PER_US);
    CHECK_EQ(timeout_of("0n"), 0);
    CHECK_EQ(timeout_of("99999999H"), TIME_NEVER); /* more than an int64 of nanoseconds */
    const char *bad[] = { "", "1", "S", "1s", "1X", "-1S", "1.5S", " 1S", "1S ", "123456789S" };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK_EQ(timeout_of(bad[i]), -1);
}

TEST(a_printed_timeout_is_never_shorter)
{
    const int64_t values[] = { 0, 1, 99999999, 100000000, 123456789012, 3600 * NS_PER_S, INT64_MAX - 1 };
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        char    text[GRPC_TIMEOUT_TEXT_SIZE];
        int64_t back;
        size_t  size = grpc_timeout_print(values[i], text);
        CHECK(grpc_timeout_parse(bytes_of(text, size), &back));
        CHECK(back >= values[i]);
    }
}

TEST(content_types)
{
    CHECK(grpc_content_type_ok(BYTES("application/grpc")));
    CHECK(grpc_content_type_ok(BYTES("application/grpc+proto")));
    CHECK(grpc_content_type_ok(BYTES("application/grpc;charset=utf-8")));
    CHECK(!grpc_content_type_ok(BYTES("application/grpc-web")));
    CHECK(!grpc_content_type_ok(BYTES("application/grpc-web+proto")));
    CHECK(!grpc_content_type_ok(BYTES("application/grpc+json")));
    CHECK(!grpc_content_type_ok(BYTES("application/json")));
    CHECK(!grpc_content_type_ok(BYTES("")));
}

TEST(lists_of_encodings)
{
    CHECK(grpc_list_has(BYTES("identity, deflate, gzip"), BYTES("gzip")));
    CHECK(grpc_list_has(BYTES("gzip"), BYTES("gzip")));
    CHECK(grpc_list_has(BYTES("gzip;q=1,br"), BYTES("gzip")));
    CHECK(!grpc_list_has(BYTES("xgzip,gzipx"), BYTES("gzip")));
    CHECK(!grpc_list_has(BYTES(""), BYTES("gzip")));
    CHECK(!grpc_list_has(BYTES(" , ;,"), BYTES("gzip")));
}

static void check_percent(struct bytes plain, struct bytes encoded)
{
    struct buffer out, back;
    buffer_init(&out);
    buffer_init(&back);
    grpc_percent_encode(plain, &out);
    CHECK_BYTES(buffer_bytes(&out), encoded);
    grpc_percent_decode(encoded, &back);
    CHECK_BYTES(buffer_bytes(&back), plain);
    buffer_release(&out);
    buffer_release(&back);
}

TEST(messages_are_percent_encoded)
{
    check_percent(BYTES("plain text, 1+1=2"), BYTES("plain text, 1+1=2"));
    check_percent(BYTES("100%"), BYTES("100%25"));
    check_percent(BYTES("a\r\nb\t"), BYTES("a%0D%0Ab%09"));
    check_percent(BYTES("f\xC3\xBCnf"), BYTES("f%C3%BCnf"));
    struct buffer back;
    buffer_init(&back);
    grpc_percent_decode(BYTES("%zz%4"), &back); /* malformed: as it is */
    CHECK_BYTES(buffer_bytes(&back), BYTES("%zz%4"));
    buffer_release(&back);
}

static void check_base64(struct bytes data, const char *text)
{
    struct arena  arena;
    struct buffer out;
    struct bytes  back;
    arena_init(&arena, SIZE_MAX);
    buffer_init(&out);
    grpc_base64_encode(data, &out);
    CHECK_BYTES(buffer_bytes(&out), bytes_of_text(text));
    CHECK(grpc_base64_decode(bytes_of_text(text), &arena, &back));
    CHECK_BYTES(back, data);
    buffer_release(&out);
    arena_release(&arena);
}

TEST(binary_metadata)
{
    check_base64(BYTES(""), "");
    check_base64(BYTES("f"), "Zg");
    check_base64(BYTES("fo"), "Zm8");
    check_base64(BYTES("foo"), "Zm9v");
    check_base64(BYTES("\xFF\xFE\x00\x01"), "//4AAQ");
    struct arena arena;
    struct bytes back;
    arena_init(&arena, SIZE_MAX);
    CHECK(grpc_base64_decode(BYTES("Zg=="), &arena, &back)); /* padding is allowed */
    CHECK_BYTES(back, BYTES("f"));
    CHECK(!grpc_base64_decode(BYTES("Z"), &arena, &back));
    CHECK(!grpc_base64_decode(BYTES("Zm9v!"), &arena, &back));
    CHECK(!grpc_base64_decode(BYTES("Zm 9"), &arena, &back));
    arena_release(&arena);
}

TEST(a_status_with_a_detail_comes_back)
{
    struct error  error;
    struct buffer wire;
    struct bytes  type, detail;
    char          large[400];
    memset(large, 'd', sizeof large); /* sizes of two bytes */
    buffer_init(&wire);
    (void)error_set(&error, ST_NOT_FOUND, "nothing of the kind");
    error.detail_type = BYTES("temporal.api.errordetails.v1.NotFoundFailure");
    error.detail = bytes_of(large, sizeof large);
    grpc_status_encode(&error, &wire);
    CHECK(grpc_status_decode(buffer_bytes(&wire), &type, &detail));
    CHECK_BYTES(type, error.detail_type);
    CHECK_BYTES(detail, error.detail);
    for (size_t cut = 0; cut < wire.size;
         cut++) /* a cut one is refused or has no detail; never read past its end */
        (void)!grpc_status_decode(bytes_of(wire.base, cut), &type, &detail);
    buffer_release(&wire);
}

TEST(prefixes)
{
    uint8_t prefix[GRPC_PREFIX_SIZE];
    grpc_prefix_write(prefix, true, 0x01020304);
    CHECK_BYTES(bytes_of(prefix, sizeof prefix), BYTES("\x01\x01\x02\x03\x04"));
    CHECK_EQ(grpc_prefix_size(prefix), 0x01020304);
    memset(prefix, 0xFF, sizeof prefix);
    CHECK_EQ(grpc_prefix_size(prefix), UINT32_MAX);
}
