/* arena.h: memory that is freed all at once.
 *
 * Owns:    its chunks. Everything allocated lives until arena_reset or arena_release.
 * Thread:  whoever owns the request; no locks. It may move to another thread together with the request.
 * Limits:  `budget` bytes in total. Past it arena_alloc returns NULL when the arena is `bounded` (input from outside), and
 *          the caller answers RESOURCE_EXHAUSTED; an unbounded arena aborts only when the machine's memory is out.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include "base/base.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *chunk; /* the newest; older ones are linked behind it */
    uint8_t            *at, *end;
    size_t              used_total; /* bytes taken from malloc by this arena */
    size_t              budget;     /* SIZE_MAX: unbounded */
};

void arena_init(struct arena *arena, size_t budget);
void arena_release(struct arena *arena);
/* Frees all but one chunk and starts again with the same budget. */
void arena_reset(struct arena *arena);
/* Gives back what a reset had kept, if nothing was allocated since: for what is about to wait for long. */
void arena_trim(struct arena *arena);

/* Moves what `from` holds to `arena`, whatever its budget; `from` is empty afterwards. */
void arena_adopt(struct arena *arena, struct arena *from);

/* Aligned to 8 bytes, not zeroed. NULL when the budget is spent. */
void *arena_alloc(struct arena *arena, size_t size) MUST_USE;
/* Zeroed; NULL when the budget is spent or count * size overflows. */
void *arena_zalloc(struct arena *arena, size_t count, size_t size) MUST_USE;
/* Copies; an empty slice stays empty. Aborts when a bounded arena is spent: copy only what was decoded within it. */
struct bytes arena_copy(struct arena *arena, struct bytes slice);
struct bytes arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One object, zeroed, of an arena that may not run out. */
#define ARENA_NEW(arena, type)              ((type *)arena_must(arena_zalloc((arena), 1, sizeof(type))))
#define ARENA_NEW_ARRAY(arena, type, count) ((type *)arena_must(arena_zalloc((arena), (count), sizeof(type))))
static inline void *arena_must(void *memory)
{
    if (memory == NULL)
        panic("arena budget spent where it cannot be");
    return memory;
}
#endif
