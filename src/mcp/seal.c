/* seal.c: AES-256-GCM by OpenSSL, and base64url. */
#include "mcp/seal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#define NONCE_SIZE  12
#define TAG_SIZE    16
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
    OPENSSL_cleanse(seal, sizeof *seal);
    free(seal);
}

/* --- the cipher --- */

/* What is authenticated beside the token's own bytes: a label, the version and the purpose, and then the caller, which is last, so its
 * length needs no saying. */
static bool add_context(EVP_CIPHER_CTX *cipher, uint8_t version, enum seal_purpose purpose,
                        struct bytes caller)
{
    uint8_t label[] = { 'p', 'e', 'r', 'd',     'u',
                        'r', 'e', '.', 's',     'e',
                        'a', 'l', 1,   version, (uint8_t)purpose };
    int     ignored;
    return EVP_CipherUpdate(cipher, NULL, &ignored, label, sizeof label) == 1 &&
           (caller.size == 0 || EVP_CipherUpdate(cipher, NULL, &ignored, caller.base, (int)caller.size) == 1);
}

static EVP_CIPHER_CTX *cipher_new(const struct seal_key *key, const uint8_t *nonce, bool seals)
{
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    if (cipher == NULL || EVP_CipherInit_ex(cipher, EVP_aes_256_gcm(), NULL, key->byte, nonce, seals) != 1)
        panic("libcrypto has no AES-256-GCM");
    return cipher;
}

enum status seal_close(const struct seal *seal, enum seal_purpose purpose, struct bytes caller,
                       int64_t expires_ns, struct bytes payload, struct buffer *ret_text, struct error *error)
{
    const struct seal_key *key = &seal->keys[0];
    if (payload.size > SEAL_PAYLOAD_MAX || caller.size > SEAL_CALLER_MAX)
        return error_set(error, ST_INVALID_ARGUMENT, "what is to be sealed is too large");
    uint8_t expiry[EXPIRY_SIZE];
    for (size_t i = 0; i < EXPIRY_SIZE; i++)
        expiry[i] = (uint8_t)((uint64_t)expires_ns >> (8 * i));
    struct buffer raw = { 0 };
    uint8_t      *to = buffer_reserve(&raw, SEAL_OVERHEAD + payload.size);
    to[0] = key->version;
    random_bytes(to + 1, NONCE_SIZE);
    EVP_CIPHER_CTX *cipher = cipher_new(key, to + 1, true);
    uint8_t        *out = to + 1 + NONCE_SIZE, last[TAG_SIZE];
    int             first_size = 0, size = 0, last_size = 0;
    bool            done = add_context(cipher, key->version, purpose, caller) &&
                EVP_CipherUpdate(cipher, out, &first_size, expiry, EXPIRY_SIZE) == 1 &&
                (payload.size == 0 ||
                 EVP_CipherUpdate(cipher, out + EXPIRY_SIZE, &size, payload.base, (int)payload.size) == 1) &&
                EVP_CipherFinal_ex(cipher, last, &last_size) == 1 &&
                EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE,
                                    out + EXPIRY_SIZE + payload.size) == 1;
    EVP_CIPHER_CTX_free(cipher);
    if (!done || first_size != EXPIRY_SIZE || (size_t)size != payload.size || last_size != 0)
        panic("libcrypto does not seal");
    raw.size = SEAL_OVERHEAD + payload.size;
    base64url_encode(buffer_bytes(&raw), ret_text);
    buffer_release(&raw);
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
    uint8_t                last[TAG_SIZE];
    int                    size = 0, last_size = 0;
    if (key == NULL)
        return false;
    uint8_t        *in = raw->base + 1 + NONCE_SIZE;
    size_t          in_size = raw->size - 1 - NONCE_SIZE - TAG_SIZE;
    EVP_CIPHER_CTX *cipher = cipher_new(key, raw->base + 1, false);
    bool            done = add_context(cipher, key->version, purpose, caller) &&
                EVP_CipherUpdate(cipher, out, &size, in, (int)in_size) == 1 &&
                EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, in + in_size) == 1 &&
                EVP_CipherFinal_ex(cipher, last, &last_size) == 1;
    EVP_CIPHER_CTX_free(cipher);
    *ret_size = (size_t)size;
    return done && (size_t)size == in_size;
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
