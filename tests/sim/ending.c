/* ending.c: the end of a seed, when every run has ended and all was read: nothing is left over.
 *
 *      all was read -> the process dies -> all is read again -> workers go -> nothing is under way, no callback either
 *                   -> the store is checked -> all runs are deleted -> the store is empty -> the process stops
 *
 * The store is checked after each crash in between, too. Not on a disk of its own (tests/power), which verifies itself.
 */
#include <stdio.h>

#include "check/check.h"
#include "sim.h"

#define PAGE_ROWS 256

static void need_not_wait(void *context UNUSED) {}

/* One page of the store as it is on the disk; false: there is no such row. */
static bool read_page(struct sim *sim, struct store_read *read, struct arena *arena)
{
    arena_reset(arena);
    read->arena = arena;
    read->limit = PAGE_ROWS;
    store_read_blocking(sim->store.inner, read, need_not_wait, NULL);
    assert(read->status == ST_OK); /* it is memory */
    return read->found || read->more || read->ready_count != 0 || read->outbox_count != 0 ||
           read->wakeup_count != 0 || read->branch_count != 0 || read->identity_count != 0 ||
           read->entity_count != 0;
}

/* --- what nobody may still have to do --- */

static bool is_quiet(struct sim *sim)
{
    if (heap_first(&sim->actions) != NULL || heap_first(&sim->routines) != NULL ||
        !sim_network_is_empty(sim) || !list_empty(&sim->store.pending) || !list_empty(&sim->store.done))
        return false;
    for (unsigned i = 0; i < sim->configuration.lanes; i++)
        if (sim->lanes[i].woken || !lane_idle(runtime_lane(sim->runtime, i)) ||
            !api_idle(runtime_lane(sim->runtime, i)))
            return false;
    return true;
}

static void found(void *context, const struct check_finding *finding)
{
    sim_violated(context, "D2 store-check", "%s: run %" PRId64 " of %.*s: %s", finding->rule, finding->run,
                 BYTES_FMT(finding->workflow_id), finding->what);
}

/* A callback whose answer was lost comes again, after a back-off of up to an hour: its run's wake-up is none that was left. */
static bool callbacks_are_over(struct sim *sim)
{
    struct arena      arena;
    struct store_read wakeups = { .kind = STORE_READ_WAKEUPS, .after_due = INT64_MIN };
    if (!is_quiet(sim))
        return false;
    arena_init(&arena, SIZE_MAX);
    bool over = !read_page(sim, &wakeups, &arena);
    arena_release(&arena);
    return over;
}

/* What the store says of itself. */
static struct check_counts verify(struct sim *sim)
{
    struct check_options options = {
        .store = sim->store.inner, .found = found, .context = sim, .wait = need_not_wait
    };
    struct check_counts counts;
    struct error        error;
    options.kinds = sim_kinds(&options.kind_count);
    if (check_store(&options, &counts, &error) != ST_OK)
        sim_violated(sim, "D2 store-check", "the store cannot be read: %s", error.message);
    return counts;
}

void sim_verify_crashed(struct sim *sim)
{
    if (sim->options->disk == NULL)
        (void)verify(sim);
}

/* Of all that is open nothing is there any more. */
static void check_rows(struct sim *sim)
{
    struct check_counts counts = verify(sim);
    if (counts.ready + counts.wakeups + counts.messages + counts.leftovers != 0)
        sim_violated(sim, "leftover",
                     "%" PRIu64 " ready tasks, %" PRIu64 " wake-ups, %" PRIu64 " messages and %" PRIu64
                     " deletions are left when all runs have ended",
                     counts.ready, counts.wakeups, counts.messages, counts.leftovers);
}

/* --- when all runs are deleted --- */

struct rest {
    size_t runs, branches, wakeups, uses, deletions;
};

static struct rest count_rest(struct sim *sim)
{
    struct rest       rest = { 0 };
    struct arena      arena;
    struct store_read runs = { .kind = STORE_READ_IDENTITIES, .namespace_number = INT64_MIN };
    struct store_read branches = { .kind = STORE_READ_BRANCHES, .after = INT64_MIN };
    struct store_read wakeups = { .kind = STORE_READ_WAKEUPS, .after_due = INT64_MIN };
    struct store_read uses = { .kind = STORE_READ_ENTITIES, .entity_kind = ENTITY_BRANCH_USE };
    struct store_read deletions = { .kind = STORE_READ_ENTITIES, .entity_kind = ENTITY_DELETION };
    arena_init(&arena, SIZE_MAX);
    if (read_page(sim, &runs, &arena))
        rest.runs = runs.identity_count;
    if (read_page(sim, &branches, &arena))
        rest.branches = branches.branch_count;
    if (read_page(sim, &wakeups, &arena))
        rest.wakeups = wakeups.wakeup_count;
    if (read_page(sim, &uses, &arena))
        rest.uses = uses.entity_count;
    if (read_page(sim, &deletions, &arena))
        rest.deletions = deletions.entity_count;
    arena_release(&arena);
    return rest;
}

static bool is_empty(struct sim *sim)
{
    if (!actors_deleted(sim) || !is_quiet(sim))
        return false;
    struct rest rest = count_rest(sim);
    return rest.runs + rest.branches + rest.wakeups + rest.uses + rest.deletions == 0;
}

/* The last run takes all with it that it left in the store. */
static void delete_all(struct sim *sim)
{
    actors_delete_all(sim);
    if (sim_run_until(sim, is_empty, QUIET_MAX_NS, "undeleted") ||
        strcmp(sim->outcome->invariant, "undeleted") != 0)
        return;
    struct rest rest = count_rest(sim);
    snprintf(sim->outcome->failure, sizeof(sim->outcome->failure),
             "%zu runs, %zu branches, %zu wake-ups, %zu uses of branches, %zu deletions are left (of each at "
             "most %d) when all runs are deleted",
             rest.runs, rest.branches, rest.wakeups, rest.uses, rest.deletions, PAGE_ROWS);
}

/* --- */

void sim_end(struct sim *sim)
{
    if (sim->options->disk != NULL)
        return;
    sim_crash(sim);
    actors_audit(sim);
    if (!sim_run_until(sim, actors_audited, LIVENESS_NS, "audit-liveness"))
        return;
    sim->closing = true;
    if (!sim_run_until(sim, is_quiet, QUIET_MAX_NS, "unquiet"))
        return;
    if (sim->callbacks && !sim_run_until(sim, callbacks_are_over, LIVENESS_NS, "callback-left"))
        return;
    check_rows(sim);
    if (!sim_failed(sim))
        delete_all(sim);
    if (!sim_failed(sim))
        sim_stop(sim);
}
