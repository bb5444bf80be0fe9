/* base.h: what every file may use: statuses, slices, and the macros of the house. */
#ifndef BASE_BASE_H
#define BASE_BASE_H
#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define ARRAY_COUNT(array)                  (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))
#define CLEANUP(function)                   __attribute__((cleanup(function)))
#define UNUSED                              __attribute__((unused))
#define NORETURN                            __attribute__((noreturn))

/* Takes the pointer out of a variable and leaves NULL, to hand ownership on. */
#define TAKE_PTR(variable)                                                                                   \
    ({                                                                                                       \
        __typeof__(variable) taken = (variable);                                                             \
        (variable) = NULL;                                                                                   \
        taken;                                                                                               \
    })

#define MIN(a, b)                                                                                            \
    ({                                                                                                       \
        __typeof__(a) min_a = (a);                                                                           \
        __typeof__(b) min_b = (b);                                                                           \
        min_a < min_b ? min_a : min_b;                                                                       \
    })
#define MAX(a, b)                                                                                            \
    ({                                                                                                       \
        __typeof__(a) max_a = (a);                                                                           \
        __typeof__(b) max_b = (b);                                                                           \
        max_a > max_b ? max_a : max_b;                                                                       \
    })

/* Asserts that walk whole structures: on in builds with -DPERDURE_ASSERT_SLOW. */
#ifdef PERDURE_ASSERT_SLOW
#define assert_slow(condition) assert(condition)
#else
#define assert_slow(condition) ((void)0)
#endif

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)
/* A due time or deadline that never comes. */
#define TIME_NEVER INT64_MAX
#define TIME_FAR   (TIME_NEVER / 2) /* after anything that comes, and before never */

/* Allocation that aborts the server when memory is out: the disk is the truth, so dying is safe. Never for the C SDK. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *memory, size_t size);
void  free_pointer(void *pointer_to_pointer); /* for CLEANUP(free_pointer) */

/* Prints and aborts: for bugs only, never for what came from outside. */
NORETURN void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
