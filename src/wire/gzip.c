/* gzip.c: zlib with a gzip header. */
#include "wire/gzip.h"

#define GZIP_WINDOW (15 + 16) /* zlib's way to say "with a gzip header" */

void gzip_init(struct gzip *gzip)
{
    *gzip = (struct gzip){ 0 };
}

void gzip_release(struct gzip *gzip)
{
    if (gzip->inflater_made)
        inflateEnd(&gzip->inflater);
    if (gzip->deflater_made)
        deflateEnd(&gzip->deflater);
    gzip_init(gzip);
}

/* The size that the stream's last four bytes claim: a hint for the first allocation and for the error's text only. */
static size_t claimed_size(struct bytes packed)
{
    if (packed.size < 18)
        return 0;
    const uint8_t *at = packed.base + packed.size - 4;
    return (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
}

enum status gzip_unpack(struct gzip *gzip, struct bytes packed, size_t size_max, struct buffer *to,
                        struct error *error)
{
    int outcome = gzip->inflater_made ? inflateReset(&gzip->inflater)
                                      : inflateInit2(&gzip->inflater, GZIP_WINDOW);
    if (outcome != Z_OK)
        panic("zlib has no memory for a decompressor");
    gzip->inflater_made = true;
    z_stream *stream = &gzip->inflater;
    stream->next_in = (Bytef *)(uintptr_t)packed.base; /* zlib only reads it */
    stream->avail_in = (uInt)packed.size;
    size_t unpacked = 0, claimed = claimed_size(packed);
    size_t room = MIN(MAX(claimed, (size_t)256), MAX(packed.size * 8, (size_t)4096));
    for (;;) {
        room = MIN(room, size_max - unpacked + 1); /* one byte over the limit is enough to know */
        stream->next_out = buffer_reserve(to, room);
        stream->avail_out = (uInt)room;
        outcome = inflate(stream, Z_NO_FLUSH);
        size_t got = room - stream->avail_out;
        to->size += got;
        unpacked += got;
        if (unpacked > size_max)
            return error_set(error, ST_RESOURCE_EXHAUSTED,
                             "grpc: received message larger than max (%zu vs. %zu)", MAX(claimed, unpacked),
                             size_max);
        if (outcome == Z_STREAM_END)
            break;
        if (outcome != Z_OK || (got == 0 && stream->avail_in == 0))
            return error_set(error, ST_INTERNAL, "grpc: failed to decompress the received message: %s",
                             stream->msg == NULL ? "it is truncated" : stream->msg);
        room = MAX(unpacked, (size_t)4096);
    }
    if (stream->avail_in != 0)
        return error_set(error, ST_INTERNAL,
                         "grpc: failed to decompress the received message: data after its end");
    return ST_OK;
}

void gzip_pack(struct gzip *gzip, struct bytes plain, struct buffer *to)
{
    int outcome = gzip->deflater_made ? deflateReset(&gzip->deflater)
                                      : deflateInit2(&gzip->deflater, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW,
                                                     8, Z_DEFAULT_STRATEGY);
    if (outcome != Z_OK)
        panic("zlib has no memory for a compressor");
    gzip->deflater_made = true;
    z_stream *stream = &gzip->deflater;
    uLong     room = deflateBound(stream, plain.size);
    stream->next_in = (Bytef *)(uintptr_t)plain.base;
    stream->avail_in = (uInt)plain.size;
    stream->next_out = buffer_reserve(to, room);
    stream->avail_out = (uInt)room;
    outcome = deflate(stream, Z_FINISH);
    assert(outcome == Z_STREAM_END); /* deflateBound is enough for one call */
    to->size += room - stream->avail_out;
}
