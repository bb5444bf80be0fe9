/* crypto.h: SHA-256 and AES-256-GCM, by OpenSSL's libcrypto.
 *
 * libcrypto is a sixth of what an idle server takes of memory and a third of its time to start, and most servers have no tools: so it is
 * loaded when it is needed first, as libcurl is. What is used before crypto_prepare loads it, and ends the process when it cannot.
 *
 * Owns:    nothing. Thread: any.
 */
#ifndef MCP_CRYPTO_H
#define MCP_CRYPTO_H
#include "base/base.h"

#define CRYPTO_DIGEST_SIZE 32
#define CRYPTO_KEY_SIZE    32
#define CRYPTO_NONCE_SIZE  12
#define CRYPTO_TAG_SIZE    16

/* UNAVAILABLE says what is missing. */
enum status crypto_prepare(struct error *error) MUST_USE;
void        crypto_sha256(struct bytes text, uint8_t ret_digest[CRYPTO_DIGEST_SIZE]);
/* Takes the same time whatever is different. */
bool crypto_equal(const uint8_t *a, const uint8_t *b, size_t size);
/* `also` are authenticated as if they stood one behind the other. `out` has room for in.size bytes. */
void crypto_seal(const uint8_t key[CRYPTO_KEY_SIZE], const uint8_t nonce[CRYPTO_NONCE_SIZE],
                 const struct bytes *also, size_t also_count, struct bytes in, uint8_t *out,
                 uint8_t ret_tag[CRYPTO_TAG_SIZE]);
/* False: something of it is not what was sealed; `out` means nothing then. */
bool crypto_open(const uint8_t key[CRYPTO_KEY_SIZE], const uint8_t nonce[CRYPTO_NONCE_SIZE],
                 const struct bytes *also, size_t also_count, struct bytes in, uint8_t *out,
                 const uint8_t tag[CRYPTO_TAG_SIZE]) MUST_USE;
#endif
