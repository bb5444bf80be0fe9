/* gzip_test.c: round trips, bombs and broken streams. */
#include "wire/gzip.h"

#include "base/testing.h"

static struct gzip   gzip;
static struct buffer packed, plain;

static void start(void)
{
    gzip_init(&gzip);
    buffer_init(&packed);
    buffer_init(&plain);
}
static void stop(void)
{
    gzip_release(&gzip);
    buffer_release(&packed);
    buffer_release(&plain);
}
static enum status unpack(size_t size_max, struct error *error)
{
    buffer_clear(&plain);
    return gzip_unpack(&gzip, buffer_bytes(&packed), size_max, &plain, error);
}

TEST(what_is_packed_comes_back_also_the_second_time)
{
    struct error error;
    start();
    for (size_t round = 0; round < 3; round++) {
        buffer_clear(&packed);
        gzip_pack(&gzip, BYTES("hello hello hello hello hello"), &packed);
        CHECK_EQ(unpack(1000, &error), ST_OK);
        CHECK_BYTES(buffer_bytes(&plain), BYTES("hello hello hello hello hello"));
    }
    buffer_clear(&packed);
    gzip_pack(&gzip, BYTES_EMPTY, &packed);
    CHECK_EQ(unpack(0, &error), ST_OK);
    CHECK_EQ(plain.size, 0);
    stop();
}

TEST(a_bomb_stops_at_the_limit)
{
    struct error  error;
    struct buffer zeros = { 0 };
    start();
    memset(buffer_reserve(&zeros, 32 << 20), 0, 32 << 20);
    zeros.size = 32 << 20;
    gzip_pack(&gzip, buffer_bytes(&zeros), &packed);
    CHECK(packed.size < 200000);
    CHECK_EQ(unpack((1 << 20) - 1, &error), ST_RESOURCE_EXHAUSTED);
    CHECK_TEXT(error.message, "grpc: received message larger than max (33554432 vs. 1048575)");
    CHECK(plain.capacity <= 4 << 20);
    CHECK_EQ(unpack(32 << 20, &error), ST_OK); /* exactly the limit */
    CHECK_EQ(unpack((32 << 20) - 1, &error), ST_RESOURCE_EXHAUSTED);
    buffer_release(&zeros);
    stop();
}

TEST(a_cut_stream_is_refused_at_every_length)
{
    struct error error;
    start();
    gzip_pack(&gzip, BYTES("some text that is packed and then cut somewhere"), &packed);
    size_t whole = packed.size;
    for (packed.size = 0; packed.size < whole; packed.size++)
        CHECK_EQ(unpack(1000, &error), ST_INTERNAL);
    CHECK_EQ(unpack(1000, &error), ST_OK);
    buffer_append_byte(&packed, 0);
    CHECK_EQ(unpack(1000, &error), ST_INTERNAL); /* something behind it */
    packed.base[0] = 'x';
    CHECK_EQ(unpack(1000, &error), ST_INTERNAL);
    stop();
}
