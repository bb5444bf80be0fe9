/* crypto.c: libcrypto, loaded late. */
#include "mcp/crypto.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>

#define LIBRARY "libcrypto.so.3"
#define FUNCTIONS(X)                                                                                         \
    X(EVP_Digest)                                                                                            \
    X(EVP_sha256)                                                                                            \
    X(EVP_aes_256_gcm)                                                                                       \
    X(EVP_CIPHER_CTX_new)                                                                                    \
    X(EVP_CIPHER_CTX_free)                                                                                   \
    X(EVP_CIPHER_CTX_ctrl)                                                                                   \
    X(EVP_CipherInit_ex)                                                                                     \
    X(EVP_CipherUpdate)                                                                                      \
    X(EVP_CipherFinal_ex)
#define MEMBER(name) __typeof__(name) *name;
static struct {
    FUNCTIONS(MEMBER)
} lib;
static pthread_once_t loading = PTHREAD_ONCE_INIT;
static bool           loaded;
static char           problem[256];

static bool find_function(void *library, const char *name, void *ret_function)
{
    void *symbol = dlsym(library, name);
    memcpy(ret_function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    loaded = library != NULL;
#define FIND(name) loaded = loaded && find_function(library, #name, &lib.name);
    FUNCTIONS(FIND)
    if (!loaded) {
        const char *why = dlerror();
        snprintf(problem, sizeof problem, LIBRARY " cannot be loaded: %s", why == NULL ? "?" : why);
    }
}

enum status crypto_prepare(struct error *error)
{
    pthread_once(&loading, load);
    return loaded ? ST_OK : error_set(error, ST_UNAVAILABLE, "%s", problem);
}

static void need(void)
{
    pthread_once(&loading, load);
    if (!loaded)
        panic("%s", problem);
}

void crypto_sha256(struct bytes text, uint8_t ret_digest[CRYPTO_DIGEST_SIZE])
{
    need();
    if (lib.EVP_Digest(text.base, text.size, ret_digest, NULL, lib.EVP_sha256(), NULL) != 1)
        panic("libcrypto has no SHA-256");
}

bool crypto_equal(const uint8_t *a, const uint8_t *b, size_t size)
{
    volatile uint8_t different = 0;
    for (size_t i = 0; i < size; i++)
        different = (uint8_t)(different | (a[i] ^ b[i]));
    return different == 0;
}

/* The cipher after all that is only authenticated. */
static EVP_CIPHER_CTX *begin(bool seals, const uint8_t *key, const uint8_t *nonce, const struct bytes *also,
                             size_t also_count)
{
    int ignored;
    need();
    EVP_CIPHER_CTX *cipher = lib.EVP_CIPHER_CTX_new();
    if (cipher == NULL || lib.EVP_CipherInit_ex(cipher, lib.EVP_aes_256_gcm(), NULL, key, nonce, seals) != 1)
        panic("libcrypto has no AES-256-GCM");
    for (size_t i = 0; i < also_count; i++) {
        if (also[i].size != 0 &&
            lib.EVP_CipherUpdate(cipher, NULL, &ignored, also[i].base, (int)also[i].size) != 1)
            panic("libcrypto does not authenticate");
    }
    return cipher;
}

void crypto_seal(const uint8_t key[CRYPTO_KEY_SIZE], const uint8_t nonce[CRYPTO_NONCE_SIZE],
                 const struct bytes *also, size_t also_count, struct bytes in, uint8_t *out,
                 uint8_t ret_tag[CRYPTO_TAG_SIZE])
{
    uint8_t         last[CRYPTO_TAG_SIZE];
    int             size = 0, last_size = 0;
    EVP_CIPHER_CTX *cipher = begin(true, key, nonce, also, also_count);
    bool            done = lib.EVP_CipherUpdate(cipher, out, &size, in.base, (int)in.size) == 1 &&
                lib.EVP_CipherFinal_ex(cipher, last, &last_size) == 1 &&
                lib.EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, CRYPTO_TAG_SIZE, ret_tag) == 1;
    lib.EVP_CIPHER_CTX_free(cipher);
    if (!done || (size_t)size != in.size || last_size != 0)
        panic("libcrypto does not seal");
}

bool crypto_open(const uint8_t key[CRYPTO_KEY_SIZE], const uint8_t nonce[CRYPTO_NONCE_SIZE],
                 const struct bytes *also, size_t also_count, struct bytes in, uint8_t *out,
                 const uint8_t tag[CRYPTO_TAG_SIZE])
{
    uint8_t         last[CRYPTO_TAG_SIZE], own_tag[CRYPTO_TAG_SIZE];
    int             size = 0, last_size = 0;
    EVP_CIPHER_CTX *cipher = begin(false, key, nonce, also, also_count);
    memcpy(own_tag, tag, sizeof own_tag);
    bool done = lib.EVP_CipherUpdate(cipher, out, &size, in.base, (int)in.size) == 1 &&
                lib.EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, CRYPTO_TAG_SIZE, own_tag) == 1 &&
                lib.EVP_CipherFinal_ex(cipher, last, &last_size) == 1;
    lib.EVP_CIPHER_CTX_free(cipher);
    return done && (size_t)size == in.size;
}
