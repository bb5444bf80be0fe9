/* session_memory.c: allocates by moving on; pieces of the block are never reused. */
#include "wire/session_memory.h"

#define PAGE_SIZE 4096
#define BLOCK_SIZE                                                                                           \
    ((size_t)7 * PAGE_SIZE) /* 25.5 KiB with nghttp2 1.52; what does not fit comes from malloc */

/* Before every piece of the block, for realloc. Keeps pieces aligned. */
struct piece {
    _Alignas(16) size_t size;
};

static bool is_inside(const struct session_memory *memory, const void *pointer)
{
    const uint8_t *at = pointer;
    return at >= memory->block && at < memory->block + BLOCK_SIZE;
}

static void *take(size_t size, void *context)
{
    struct session_memory *memory = context;
    size_t                 whole = sizeof(struct piece) + ((size + 15) & ~(size_t)15);
    if (memory->sealed || size > BLOCK_SIZE || whole > BLOCK_SIZE - memory->used)
        return malloc(size);
    struct piece *piece = (struct piece *)(void *)(memory->block + memory->used);
    memory->used += whole;
    piece->size = size;
    return piece + 1;
}

static void give_back(void *pointer, void *context)
{
    if (!is_inside(context, pointer))
        free(pointer);
}

static void *take_zeroed(size_t count, size_t size, void *context)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total))
        return NULL;
    void *taken = take(total, context);
    return taken == NULL ? NULL : memset(taken, 0, total);
}

static void *resize(void *pointer, size_t size, void *context)
{
    if (pointer == NULL)
        return take(size, context);
    if (!is_inside(context, pointer))
        return realloc(pointer, size);
    const struct piece *piece = (const struct piece *)pointer - 1;
    void               *taken = take(size, context);
    return taken == NULL ? NULL : memcpy(taken, pointer, MIN(piece->size, size));
}

void *session_memory_block(size_t size)
{
    void *block;
    assert(size <= PAGE_SIZE);
    if (posix_memalign(&block, PAGE_SIZE, BLOCK_SIZE) != 0)
        panic("out of memory: %zu bytes", BLOCK_SIZE);
    return memset(block, 0, size);
}

void session_memory_init(struct session_memory *memory, void *block, size_t size)
{
    *memory = (struct session_memory){
        .block = block,
        .used = (size + 15) & ~(size_t)15,
        .functions = { memory, take, give_back, take_zeroed, resize },
    };
}

void session_memory_seal(struct session_memory *memory)
{
    memory->sealed = true;
}
