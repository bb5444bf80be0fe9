/* seal.c: the form of a token, and base64url. */
#include "mcp/seal.h"

#include <errno.h>
#include <sys/random.h>

#include "mcp/crypto.h"

#define NONCE_SIZE  CRYPTO_NONCE_SIZE
#define TAG_SIZE    CRYPTO_TAG_SIZE
#define EXPIRY_SIZE 8
static_assert(SEAL_OVERHEAD == 1 + NONCE_SIZE + EXPIRY_SIZE + TAG_SIZE, "what a token adds");

struct seal {
    struct seal_key keys[SEAL_KEYS_MAX];
    size_t          key_count;
};

static void random_bytes(uint8_t *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t some = getrandom(to + got, size - got, 0);
        if (some < 0 && errno != EINTR)
            panic("getrandom: %s", strerror(errno)); /* a nonce that is not fresh would give the key away */
        got += some < 0 ? 0 : (size_t)some;
    }
}

void seal_key_make(uint8_t ret_key[SEAL_KEY_SIZE])
{
    random_bytes(ret_key, SEAL_KEY_SIZE);
}

enum status seal_new(const struct seal_key *keys, size_t key_count, struct seal **ret_seal,
                     struct error *error)
{
    if (key_count == 0 || key_count > SEAL_KEYS_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "between 1 and %d sealing keys are needed",
                         SEAL_KEYS_MAX);
    for (size_t i = 0; i < key_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (keys[i].version == keys[j].version)
                return error_set(error, ST_INVALID_ARGUMENT, "two sealing keys have the version %u",
                                 keys[i].version);
        }
    }
    enum status status = crypto_prepare(error);
    if (status != ST_OK)
        return status;
    struct seal *seal = xcalloc(1, sizeof *seal);
    memcpy(seal->keys, keys, key_count * sizeof *keys);
    seal->key_count = key_count;
    *ret_seal = seal;
    return ST_OK;
}

void seal_free(struct seal *seal)
{
    if (seal == NULL)
        return;
    explicit_bzero(seal, sizeof *seal);
    free(seal);
}

/* --- tokens --- */

/* What is authenticated beside the token's own bytes: a label, the version and the purpose, and then the caller, which is last, so its
 * length needs no saying. */
#define LABEL_SIZE 15
static void print_label(uint8_t label[LABEL_SIZE], uint8_t version, enum seal_purpose purpose)
{
    memcpy(label, "perdure.seal\1", LABEL_SIZE - 2);
    label[LABEL_SIZE - 2] = version;
    label[LABEL_SIZE - 1] = (uint8_t)purpose;
}

enum status seal_close(const struct seal *seal, enum seal_purpose purpose, struct bytes caller,
                       int64_t expires_ns, struct bytes payload, struct buffer *ret_text, struct error *error)
{
    const struct seal_key *key = &seal->keys[0];
    uint8_t                label[LABEL_SIZE];
    if (payload.size > SEAL_PAYLOAD_MAX || caller.size > SEAL_CALLER_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "what is to be sealed is too large");
    struct buffer raw = { 0 }, plain = { 0 };
    for (size_t i = 0; i < EXPIRY_SIZE; i++)
        buffer_append_byte(&plain, (uint8_t)((uint64_t)expires_ns >> (8 * i)));
    buffer_append(&plain, payload);
    uint8_t *to = buffer_reserve(&raw, SEAL_OVERHEAD + payload.size);
    to[0] = key->version;
    random_bytes(to + 1, NONCE_SIZE);
    print_label(label, key->version, purpose);
    crypto_seal(key->byte, to + 1, (const struct bytes[]){ bytes_of(label, sizeof label), caller }, 2,
                buffer_bytes(&plain), to + 1 + NONCE_SIZE, to + 1 + NONCE_SIZE + plain.size);
    raw.size = SEAL_OVERHEAD + payload.size;
    base64url_encode(buffer_bytes(&raw), ret_text);
    buffer_release(&raw);
    buffer_release(&plain);
    return ST_OK;
}

static const struct seal_key *find_key(const struct seal *seal, uint8_t version)
{
    for (size_t i = 0; i < seal->key_count; i++) {
        if (seal->keys[i].version == version)
            return &seal->keys[i];
    }
    return NULL;
}

/* Into `out`, which has room for all of `raw`. False: not ours. */
static bool open_raw(const struct seal *seal, enum seal_purpose purpose, struct bytes caller,
                     const struct buffer *raw, uint8_t *out, size_t *ret_size)
{
    const struct seal_key *key = raw->size < SEAL_OVERHEAD ? NULL : find_key(seal, raw->base[0]);
    uint8_t                label[LABEL_SIZE];
    if (key == NULL)
        return false;
    const uint8_t *in = raw->base + 1 + NONCE_SIZE;
    *ret_size = raw->size - 1 - NONCE_SIZE - TAG_SIZE;
    print_label(label, key->version, purpose);
    return crypto_open(key->byte, raw->base + 1,
                       (const struct bytes[]){ bytes_of(label, sizeof label), caller }, 2,
                       bytes_of(in, *ret_size), out, in + *ret_size);
}

enum status seal_open(const struct seal *seal, enum seal_purpose purpose, struct bytes caller, int64_t now_ns,
                      struct bytes text, struct buffer *ret_payload, struct error *error)
{
    struct buffer raw = { 0 }, plain = { 0 };
    size_t        size = 0;
    enum status   status = ST_OK;
    bool          opened = text.size <= (SEAL_OVERHEAD + SEAL_PAYLOAD_MAX) / 3 * 4 + 4 &&
                  caller.size <= SEAL_CALLER_MAX && base64url_decode(text, &raw);
    if (opened)
        opened = open_raw(seal, purpose, caller, &raw, buffer_reserve(&plain, raw.size + 1), &size);
    if (!opened) {
        status = error_set(error, ST_INVALID_ARGUMENT, "not a token that was given out for this");
    } else {
        uint64_t expires = 0;
        for (size_t i = 0; i < EXPIRY_SIZE; i++)
            expires |= (uint64_t)plain.base[i] << (8 * i);
        if ((int64_t)expires <= now_ns)
            status = error_set(error, ST_FAILED_PRECONDITION, "the token has expired");
        else
            buffer_append(ret_payload, bytes_of(plain.base + EXPIRY_SIZE, size - EXPIRY_SIZE));
    }
    buffer_release(&raw);
    buffer_release(&plain);
    return status;
}

/* --- base64url --- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(struct bytes raw, struct buffer *ret_text)
{
    char  *to = (char *)buffer_reserve(ret_text, (raw.size + 2) / 3 * 4);
    size_t size = 0;
    for (size_t i = 0; i < raw.size; i += 3) {
        size_t   left = MIN(raw.size - i, (size_t)3);
        uint32_t bits = (uint32_t)raw.base[i] << 16 | (left > 1 ? (uint32_t)raw.base[i + 1] << 8 : 0) |
                        (left > 2 ? (uint32_t)raw.base[i + 2] : 0);
        for (size_t j = 0; j <= left; j++)
            to[size++] = letters[bits >> (18 - 6 * j) & 63];
    }
    ret_text->size += size;
}

static int value_of(uint8_t letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '-' ? 62 : letter == '_' ? 63 : -1;
}

bool base64url_decode(struct bytes text, struct buffer *ret_raw)
{
    if (text.size % 4 == 1)
        return false;
    uint8_t *to = buffer_reserve(ret_raw, text.size / 4 * 3 + 3);
    size_t   size = 0;
    for (size_t i = 0; i < text.size; i += 4) {
        size_t   left = MIN(text.size - i, (size_t)4);
        uint32_t bits = 0;
        for (size_t j = 0; j < left; j++) {
            int value = value_of(text.base[i + j]);
            if (value < 0)
                return false;
            bits |= (uint32_t)value << (18 - 6 * j);
        }
        uint8_t bytes[3] = { (uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits };
        /* Two texts of the same bytes would be two ids of the same task. */
        if ((left == 2 && (bytes[1] != 0 || bytes[2] != 0)) || (left == 3 && bytes[2] != 0))
            return false;
        memcpy(to + size, bytes, left - 1);
        size += left - 1;
    }
    ret_raw->size += size;
    return true;
}
