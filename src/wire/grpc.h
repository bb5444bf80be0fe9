/* grpc.h: the small grammars of gRPC over HTTP/2: pure functions over bytes, shared by both halves. */
#ifndef WIRE_GRPC_H
#define WIRE_GRPC_H
#include "base/arena.h"
#include "base/base.h"
#include "base/buffer.h"

#define GRPC_PREFIX_SIZE 5 /* compressed flag, then the message's size in 4 bytes, big end first */

static inline void grpc_prefix_write(uint8_t prefix[GRPC_PREFIX_SIZE], bool compressed, uint32_t size)
{
    prefix[0] = compressed ? 1 : 0;
    prefix[1] = (uint8_t)(size >> 24);
    prefix[2] = (uint8_t)(size >> 16);
    prefix[3] = (uint8_t)(size >> 8);
    prefix[4] = (uint8_t)size;
}
static inline uint32_t grpc_prefix_size(const uint8_t prefix[GRPC_PREFIX_SIZE])
{
    return (uint32_t)prefix[1] << 24 | (uint32_t)prefix[2] << 16 | (uint32_t)prefix[3] << 8 | prefix[4];
}

/* "1S", "250m", "20000000n": at most 8 digits and one unit of H M S m u n. */
bool grpc_timeout_parse(struct bytes text, int64_t *ret_ns) MUST_USE;
/* Rounded up to what 8 digits can say, so the server never gives up before the caller. Returns the text's size. */
#define GRPC_TIMEOUT_TEXT_SIZE 12
size_t grpc_timeout_print(int64_t ns, char text[GRPC_TIMEOUT_TEXT_SIZE]);

/* application/grpc, with +proto or parameters; not application/grpc-web, not +json. */
bool grpc_content_type_ok(struct bytes value);
/* Whether a comma-separated list of encodings names this one. */
bool grpc_list_has(struct bytes list, struct bytes item);

/* grpc-message: bytes that are not printable ASCII, and '%', as %XX. Decoding keeps what is malformed as it is. */
void grpc_percent_encode(struct bytes text, struct buffer *to);
void grpc_percent_decode(struct bytes text, struct buffer *to);

/* Binary metadata. Encoding has no padding; decoding takes padding or none, and is strict otherwise. */
void grpc_base64_encode(struct bytes data, struct buffer *to);
bool grpc_base64_decode(struct bytes text, struct arena *arena, struct bytes *ret_data) MUST_USE;

/* The google.rpc.Status of grpc-status-details-bin: code, message and the first detail. The slices borrow from `wire`. */
void grpc_status_encode(const struct error *error, struct buffer *to);
bool grpc_status_decode(struct bytes wire, struct bytes *ret_detail_type, struct bytes *ret_detail) MUST_USE;
#endif
