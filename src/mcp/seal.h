/* seal.h: tokens that the server gives out and recognises again, without keeping a table: task ids, legacy session ids, requestState.
 *
 * A token is base64url( version | nonce | AES-256-GCM( expiry | payload ) | tag ), with its purpose and the caller it was given to
 * as additional data: so a task id is never taken for a session, and what one caller was given is worthless to another.
 *
 * Owns:    copies of the keys, which are wiped by seal_free.
 * Thread:  any; a sealer does not change. The nonce is 96 fresh bits of the system: at most 2^32 tokens per key are safe.
 * Limits:  SEAL_PAYLOAD_MAX bytes of payload, SEAL_CALLER_MAX of a caller's name; longer is INVALID_ARGUMENT.
 * Secret:  what was wrong with a token is not said, apart from that it has expired (which only its owner can learn).
 */
#ifndef MCP_SEAL_H
#define MCP_SEAL_H
#include "base/base.h"
#include "base/buffer.h"

#define SEAL_KEY_SIZE    32
#define SEAL_KEYS_MAX    8
#define SEAL_PAYLOAD_MAX (16U << 10)
#define SEAL_CALLER_MAX  1024
/* What sealing adds before base64url: version, nonce, expiry, tag. */
#define SEAL_OVERHEAD (1 + 12 + 8 + 16)

enum seal_purpose {
    SEAL_TASK = 1,
    SEAL_SESSION = 2,
    SEAL_REQUEST_STATE = 3,
    SEAL_CURSOR = 4,
    SEAL_EVENT = 5
};
struct seal_key {
    uint8_t version; /* written in front of each token; a new key has a new one */
    uint8_t byte[SEAL_KEY_SIZE];
};
struct seal;
/* Seals with the first key, opens with any of them. INVALID_ARGUMENT: none, too many, or a version twice. */
enum status seal_new(const struct seal_key *keys, size_t key_count, struct seal **ret_seal,
                     struct error *error) MUST_USE;
/* NULL is fine. */
void seal_free(struct seal *seal);
/* Fresh random bytes for a new key, from the system. */
void seal_key_make(uint8_t ret_key[SEAL_KEY_SIZE]);

/* Appends the token, printable ASCII, to `ret_text`. `expires_ns` is wall-clock time since 1970, TIME_NEVER: does not expire. */
enum status seal_close(const struct seal *seal, enum seal_purpose purpose, struct bytes caller,
                       int64_t expires_ns, struct bytes payload, struct buffer *ret_text,
                       struct error *error) MUST_USE;
/* Appends the payload to `ret_payload`. INVALID_ARGUMENT: not a token of this purpose and caller. FAILED_PRECONDITION: it was one, and
 * has expired at `now_ns`. */
enum status seal_open(const struct seal *seal, enum seal_purpose purpose, struct bytes caller, int64_t now_ns,
                      struct bytes text, struct buffer *ret_payload, struct error *error) MUST_USE;

/* base64url without padding. */
void base64url_encode(struct bytes raw, struct buffer *ret_text);
/* False, with nothing appended, for what is no canonical base64url: other letters, padding, stray bits. */
bool base64url_decode(struct bytes text, struct buffer *ret_raw) MUST_USE;
#endif
