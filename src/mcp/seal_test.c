/* seal_test.c: a token opens for whom and what it was made, until it expires, and not otherwise. */
#include "mcp/seal.h"

#include "base/testing.h"

static struct seal *sealer(uint8_t version, uint8_t other)
{
    struct error    error;
    struct seal    *seal = NULL;
    struct seal_key keys[2] = { { version, { version } }, { other, { other } } };
    CHECK_EQ(seal_new(keys, 2, &seal, &error), ST_OK);
    return seal;
}

static enum status open_it(struct seal *seal, enum seal_purpose purpose, const char *caller, int64_t now,
                           struct bytes text, struct buffer *payload)
{
    struct error error;
    buffer_clear(payload);
    return seal_open(seal, purpose, bytes_of_text(caller), now, text, payload, &error);
}

TEST(a_token_is_for_one_purpose_and_one_caller)
{
    struct error  error;
    struct seal  *seal = sealer(1, 0);
    struct buffer text = { 0 }, again = { 0 }, payload = { 0 };
    CHECK_EQ(seal_close(seal, SEAL_TASK, BYTES("ann"), 1000, BYTES("what it names"), &text, &error), ST_OK);
    CHECK_EQ(seal_close(seal, SEAL_TASK, BYTES("ann"), 1000, BYTES("what it names"), &again, &error), ST_OK);
    CHECK(!bytes_equal(buffer_bytes(&text), buffer_bytes(&again))); /* a fresh nonce each */
    CHECK_EQ(open_it(seal, SEAL_TASK, "ann", 999, buffer_bytes(&text), &payload), ST_OK);
    CHECK_BYTES(buffer_bytes(&payload), BYTES("what it names"));
    CHECK_EQ(open_it(seal, SEAL_SESSION, "ann", 999, buffer_bytes(&text), &payload), ST_INVALID_ARGUMENT);
    CHECK_EQ(open_it(seal, SEAL_TASK, "bob", 999, buffer_bytes(&text), &payload), ST_INVALID_ARGUMENT);
    CHECK_EQ(open_it(seal, SEAL_TASK, "", 999, buffer_bytes(&text), &payload), ST_INVALID_ARGUMENT);
    CHECK_EQ(open_it(seal, SEAL_TASK, "ann", 1000, buffer_bytes(&text), &payload), ST_FAILED_PRECONDITION);
    CHECK_EQ(open_it(seal, SEAL_TASK, "bob", 1000, buffer_bytes(&text), &payload), ST_INVALID_ARGUMENT);
    CHECK_INT(payload.size, 0);
    buffer_release(&text);
    buffer_release(&again);
    buffer_release(&payload);
    seal_free(seal);
}

TEST(no_bit_of_a_token_can_be_changed)
{
    struct error  error;
    struct seal  *seal = sealer(1, 0);
    struct buffer text = { 0 }, raw = { 0 }, forged = { 0 }, payload = { 0 };
    CHECK_EQ(seal_close(seal, SEAL_TASK, BYTES("ann"), TIME_NEVER, BYTES("x"), &text, &error), ST_OK);
    CHECK(base64url_decode(buffer_bytes(&text), &raw));
    CHECK_INT(raw.size, SEAL_OVERHEAD + 1);
    for (size_t bit = 0; bit < raw.size * 8; bit++) {
        raw.base[bit / 8] ^= (uint8_t)(1u << bit % 8);
        buffer_clear(&forged);
        base64url_encode(buffer_bytes(&raw), &forged);
        CHECK_EQ(open_it(seal, SEAL_TASK, "ann", 0, buffer_bytes(&forged), &payload), ST_INVALID_ARGUMENT);
        raw.base[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < text.size; size++)
        CHECK_EQ(open_it(seal, SEAL_TASK, "ann", 0, bytes_of(text.base, size), &payload),
                 ST_INVALID_ARGUMENT);
    CHECK_EQ(open_it(seal, SEAL_TASK, "ann", INT64_MAX - 1, buffer_bytes(&text), &payload), ST_OK);
    buffer_release(&text);
    buffer_release(&raw);
    buffer_release(&forged);
    buffer_release(&payload);
    seal_free(seal);
}

TEST(keys_change_and_old_tokens_open_until_their_key_is_dropped)
{
    struct error    error;
    struct seal    *old = sealer(1, 0), *both = sealer(2, 1), *later = sealer(3, 2), *none = NULL;
    struct buffer   text = { 0 }, payload = { 0 };
    struct seal_key twice[2] = { { 7, { 1 } }, { 7, { 2 } } };
    CHECK_EQ(seal_close(old, SEAL_TASK, BYTES("ann"), TIME_NEVER, BYTES_EMPTY, &text, &error), ST_OK);
    CHECK_EQ(open_it(both, SEAL_TASK, "ann", 0, buffer_bytes(&text), &payload), ST_OK);
    CHECK_EQ(open_it(later, SEAL_TASK, "ann", 0, buffer_bytes(&text), &payload), ST_INVALID_ARGUMENT);
    CHECK_EQ(seal_new(twice, 2, &none, &error), ST_INVALID_ARGUMENT);
    CHECK_EQ(seal_new(twice, 0, &none, &error), ST_INVALID_ARGUMENT);
    buffer_release(&text);
    buffer_release(&payload);
    seal_free(old);
    seal_free(both);
    seal_free(later);
}

TEST(what_is_too_large_is_not_sealed)
{
    static uint8_t large[SEAL_PAYLOAD_MAX + 1];
    struct error   error;
    struct seal   *seal = sealer(1, 0);
    struct buffer  text = { 0 }, payload = { 0 };
    CHECK_EQ(seal_close(seal, SEAL_TASK, BYTES("a"), 1, bytes_of(large, sizeof large), &text, &error),
             ST_INVALID_ARGUMENT);
    CHECK_EQ(seal_close(seal, SEAL_TASK, BYTES("a"), 1, bytes_of(large, SEAL_PAYLOAD_MAX), &text, &error),
             ST_OK);
    CHECK_EQ(open_it(seal, SEAL_TASK, "a", 0, buffer_bytes(&text), &payload), ST_OK);
    CHECK_INT(payload.size, SEAL_PAYLOAD_MAX);
    buffer_release(&text);
    buffer_release(&payload);
    seal_free(seal);
}

TEST(base64url_is_canonical)
{
    static const char *const bad[] = { "A", "A=", "AA==", "AB", "AAB", "A+", "A/", "A A", "AAAAA", "AA\n" };
    struct buffer            raw = { 0 }, text = { 0 };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK(!base64url_decode(bytes_of_text(bad[i]), &raw));
    CHECK_INT(raw.size, 0);
    for (size_t size = 0; size < 40; size++) {
        uint8_t bytes[40];
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)(255 - 7 * i);
        buffer_clear(&raw);
        buffer_clear(&text);
        base64url_encode(bytes_of(bytes, size), &text);
        CHECK(base64url_decode(buffer_bytes(&text), &raw));
        CHECK_BYTES(buffer_bytes(&raw), bytes_of(bytes, size));
    }
    buffer_release(&raw);
    buffer_release(&text);
}
