/* arena.c: chunks that double up to 64 KiB; larger requests get a chunk of their own. */
#include "base/arena.h"

#include <stdio.h>

#define CHUNK_SIZE_MIN 1024
#define CHUNK_SIZE_MAX (64 * 1024)

struct arena_chunk {
    struct arena_chunk *older;
    size_t              size;
    _Alignas(16) uint8_t data[];
};

void arena_init(struct arena *arena, size_t budget)
{
    *arena = (struct arena){ .budget = budget };
}

static void chunks_free(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
}

void arena_release(struct arena *arena)
{
    chunks_free(arena->chunk);
    arena_init(arena, arena->budget);
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *kept = arena->chunk;
    if (kept == NULL)
        return;
    chunks_free(kept->older);
    kept->older = NULL;
    if (kept->size > CHUNK_SIZE_MAX) { /* one huge request must not pin its memory */
        arena_release(arena);
        return;
    }
    arena->at = kept->data;
    arena->end = kept->data + kept->size;
    arena->used_total = kept->size;
}

void arena_trim(struct arena *arena)
{
    if (arena->chunk != NULL && arena->chunk->older == NULL && arena->at == arena->chunk->data)
        arena_release(arena);
}

void arena_adopt(struct arena *arena, struct arena *from)
{
    struct arena_chunk *oldest = from->chunk;
    if (oldest == NULL)
        return;
    if (arena->chunk == NULL) { /* the newest chunk is the one allocations come from */
        *arena = (struct arena){ from->chunk, from->at, from->end, from->used_total, arena->budget };
    } else {
        while (oldest->older != NULL)
            oldest = oldest->older;
        oldest->older = arena->chunk->older;
        arena->chunk->older = from->chunk;
        arena->used_total += from->used_total;
    }
    arena_init(from, from->budget);
}

static bool chunk_add(struct arena *arena, size_t need)
{
    size_t size = arena->chunk == NULL ? CHUNK_SIZE_MIN : MIN(arena->chunk->size * 2, (size_t)CHUNK_SIZE_MAX);
    if (size < need)
        size = need;
    if (size > arena->budget - MIN(arena->used_total, arena->budget)) {
        if (need > arena->budget - MIN(arena->used_total, arena->budget))
            return false;
        size = need;
    }
    struct arena_chunk *chunk = xmalloc(sizeof *chunk + size);
    chunk->older = arena->chunk;
    chunk->size = size;
    arena->chunk = chunk;
    arena->at = chunk->data;
    arena->end = chunk->data + size;
    arena->used_total += size;
    return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 7) & ~(size_t)7;
    if ((size_t)(arena->end - arena->at) < size && !chunk_add(arena, size))
        return NULL;
    void *memory = arena->at;
    arena->at += size;
    return memory;
}

void *arena_zalloc(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *memory = arena_alloc(arena, total);
    if (memory != NULL)
        memset(memory, 0, total);
    return memory;
}

struct bytes arena_copy(struct arena *arena, struct bytes slice)
{
    if (slice.size == 0)
        return BYTES_EMPTY;
    void *memory = arena_must(arena_alloc(arena, slice.size));
    memcpy(memory, slice.base, slice.size);
    return bytes_of(memory, slice.size);
}

struct bytes arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int   size = vsnprintf(NULL, 0, format, arguments);
    char *text = arena_must(arena_alloc(arena, (size_t)size + 1));
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    va_end(arguments);
    return bytes_of(text, (size_t)size);
}
