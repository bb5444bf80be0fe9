/* check_internal.h: what the files of the check share.
 *
 *   check.c    reading, telling, the order of things
 *   run.c      one run: its history, state, row, tasks and wake-up
 *   tables.c   what is of no single run
 */
#ifndef CHECK_CHECK_INTERNAL_H
#define CHECK_CHECK_INTERNAL_H
#include "base/random.h"
#include "check/check.h"
#include "shard/number.h"
#include "shard/rows.h"

#define CHECK_PAGE_ROWS 256
#define CHECK_PAGE_SIZE (1U << 20)

struct check_namespace {
    int64_t      number;
    struct bytes id, name;
};
struct check {
    const struct check_options *options;
    struct check_counts         counts;
    const struct entity_kind   *kind;       /* of runs */
    struct arena                keep;       /* namespaces */
    struct check_namespace     *namespaces; /* by number */
    size_t                      namespace_count;
    store_number                number_max; /* that may have been given; 0: unknown */
    struct error                failure;    /* not ST_OK: the store cannot be read any more */
    /* The state that was folded last: rows of one run are often neighbours. */
    struct arena loaded_arena;
    store_number loaded_number;
    void        *loaded;
};

/* Asks; the answer is in `read`, its rows in `arena`. False: it could not be read, which was told. */
bool check_read(struct check *check, struct store_read *read, struct arena *arena);
/* Whether to go on: nothing has failed for good. */
static inline bool check_goes_on(const struct check *check)
{
    return check->failure.code == ST_OK;
}
/* What is read from here on may be of a later moment. */
void check_renew(struct check *check);
void check_found(struct check *check, const char *rule, const struct store_run *run, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
const struct check_namespace *check_namespace(const struct check *check, int64_t number);
const struct entity_kind     *check_kind(const struct check *check, int64_t id);
/* The identity that a state of this run begins with. */
struct entity_identity check_identity(const struct check *check, const struct store_run *run);
/* What was given at some time is not above what the clocks' rows reserve. */
void check_number(struct check *check, const struct store_run *run, const char *what, store_number number);

/* --- run.c --- */
/* `is_newest`: of its workflow id. */
void check_one_run(struct check *check, const struct store_identity *identity, bool is_newest);
/* The state of a run by its snapshot; NULL: there is no such run, or it is damaged (which is told with the run). Good until the
 * next call. `ret_run` (may be NULL) gets its row. */
const void *check_load(struct check *check, store_number number, struct store_run *ret_run);
void        check_load_forget(struct check *check);

/* --- tables.c --- */
void check_namespaces(struct check *check);
void check_clocks(struct check *check);
void check_entities(struct check *check);
void check_ready(struct check *check);
void check_wakeups(struct check *check);
void check_messages(struct check *check);
void check_branches(struct check *check);
#endif
