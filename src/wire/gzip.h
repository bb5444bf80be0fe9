/* gzip.h: per-message compression. One of each per lane, reset for every message, made when first needed.
 *
 * Thread:  the lane's.
 * Limits:  decompression stops at the message limit, however much a bomb would still unpack.
 */
#ifndef WIRE_GZIP_H
#define WIRE_GZIP_H
#include <zlib.h>

#include "base/base.h"
#include "base/buffer.h"

struct gzip {
    z_stream inflater, deflater;
    bool     inflater_made, deflater_made;
};
void gzip_init(struct gzip *gzip);
void gzip_release(struct gzip *gzip);
/* Appends the unpacked bytes. RESOURCE_EXHAUSTED above `size_max`, INTERNAL for what is not exactly one gzip stream. */
enum status gzip_unpack(struct gzip *gzip, struct bytes packed, size_t size_max, struct buffer *to,
                        struct error *error) MUST_USE;
/* Appends the packed bytes; fast rather than small. */
void gzip_pack(struct gzip *gzip, struct bytes plain, struct buffer *to);
#endif
