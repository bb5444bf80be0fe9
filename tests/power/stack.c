/* stack.c: the simulated server over the real store. */
#include "stack.h"

#include <sqlite3.h>
#include <stdio.h>

#include "check/check.h"
#include "engine/workflow.h"
#include "schedule/schedule.h"
#include "store/sqlite.h"

#define VERIFY_ONE_IN 4  /* times that the store is opened; and when it is closed */
#define OPENS_MAX     50 /* in a row, each of them failed by the plan */

static struct stack *stack_of(struct store *store)
{
    return CONTAINER_OF(store, struct stack, store);
}

static void wake(void *context)
{
    system_answer(context);
}

/* Passes something on and waits for it. */
static void wait_for(struct stack *stack, struct message *expected)
{
    system_await(&stack->answered);
    stack->answered = false;
    struct message *message = mailbox_take(&stack->box);
    assert(message == expected && message->next == NULL);
}

static void plan_next(struct stack *stack)
{
    struct stack_plan *plan = &stack->plan;
    system_cut(0, DISK_NOTHING);
    system_fail(0, SYSTEM_NO_FAULT);
    if (plan->events == 0)
        return;
    uint64_t at = plan->first != 0 ? plan->first : 1 + random_below(&stack->random, plan->distance);
    plan->events--;
    plan->first = 0;
    if (plan->event == STACK_FAULT)
        system_fail(at, plan->fault);
    else if (plan->event == STACK_KILL || random_below(&stack->random, 4) == 0)
        system_kill(at);
    else
        system_cut(at, (enum disk_survival)random_below(&stack->random, DISK_SURVIVAL_COUNT));
}

/* Something failed, and the process goes on. */
static void survive_fault(struct stack *stack)
{
    if (!system_has_failed() || system_must_stop() || system_is_off() || stack->damaged)
        return;
    stack->events++;
    plan_next(stack);
}

static void submit(struct store *store, struct store_batch *batch)
{
    struct stack   *stack = stack_of(store);
    struct mailbox *home = batch->home;
    bool            must_stop = system_must_stop();
    batch->home = &stack->box;
    store_submit(stack->inner, batch);
    wait_for(stack, &batch->message);
    batch->home = home;
    if (system_is_off()) /* nobody is there to answer any more, also not in a loop that settles before a restart */
        batch->outcome = STORE_UNKNOWN;
    if (batch->outcome == STORE_DURABLE) {
        stack->went_on = stack->went_on || must_stop;
        system_note_answer();
    }
    if (batch->outcome != STORE_UNKNOWN)
        survive_fault(stack);
    mailbox_post(home, &batch->message);
}

static void read(struct store *store, struct store_read *read_)
{
    struct stack   *stack = stack_of(store);
    struct mailbox *home = read_->home;
    read_->home = &stack->box;
    store_read(stack->inner, read_);
    wait_for(stack, &read_->message);
    read_->home = home;
    if (system_is_off())
        read_->status = error_set(&read_->error, ST_UNAVAILABLE, "the power is off");
    if (read_->status == ST_OK)
        system_note_answer();
    stack->damaged = stack->damaged || (read_->status == ST_DATA_LOSS && system_has_failed());
    survive_fault(stack);
    mailbox_post(home, &read_->message);
}

static enum status probe(struct store *store, struct error *error)
{
    return store_probe(stack_of(store)->inner, error);
}

static void statistics(struct store *store, struct store_statistics *ret_statistics)
{
    store_statistics(stack_of(store)->inner, ret_statistics);
}

/* --- Life and death --- */

/* The old process ends; the next one finds what is left. */
static void die(struct stack *stack)
{
    bool struck = system_is_off() || system_has_failed();
    stack->damaged = false;
    system_die();
    if (stack->inner != NULL)
        store_close(stack->inner);
    stack->inner = NULL;
    system_revive();
    stack->events += struck;
    if (struck)
        plan_next(stack);
}

static void found(void *context, const struct check_finding *finding)
{
    struct stack *stack = context;
    if (stack->findings++ < 10)
        fprintf(stderr, "found: %s: %.*s: %s\n", finding->rule, BYTES_FMT(finding->workflow_id),
                finding->what);
}

static void need_not_wait(void *context UNUSED) {}

/* All of it, as `perdure store verify` would. Reads that are to fail would be findings, too. */
static void verify(struct stack *stack)
{
    static const struct entity_kind *const kinds[] = { &workflow_kind, &namespaces_kind, &task_queue_kind,
                                                       &tools_kind, &schedule_kind };
    const struct check_options             options = { .store = &stack->store,
                                                       .kinds = kinds,
                                                       .kind_count = ARRAY_COUNT(kinds),
                                                       .found = found,
                                                       .context = stack,
                                                       .wait = need_not_wait };
    struct check_counts                    counts;
    struct error                           error;
    if (stack->plan.event == STACK_FAULT || system_is_off())
        return;
    if (check_store(&options, &counts, &error) != ST_OK)
        panic("the store cannot be verified: %s", error.message);
    stack->verified++;
}

static struct store *open_store(void *context)
{
    struct stack *stack = context;
    struct error  error;
    for (int i = 0; i < OPENS_MAX; i++) {
        struct store_sqlite_options options = {
            .path = system_path(),
            .checkpoint_size = (int64_t)(20000 + random_below(&stack->random, 200000)),
        };
        /* What SQLite draws, such as the salts of a log, is drawn by our seed. */
        sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, 1 + (int)random_below(&stack->random, INT32_MAX - 1),
                             NULL);
        enum status status = store_sqlite_open(&options, &stack->inner, &error);
        if (status == ST_OK && !system_is_off()) {
            stack->answered = true;
            system_await(&stack->answered);
            stack->answered = false;
            if (random_below(&stack->random, VERIFY_ONE_IN) == 0)
                verify(stack);
            return &stack->store;
        }
        if (status != ST_OK && !system_is_off() && !system_has_failed())
            break;
        stack->opens_failed++;
        die(stack);
    }
    panic("the store does not open: %s", error.message);
}

static struct store *restart(void *context)
{
    struct stack *stack = context;
    stack->deaths++;
    die(stack);
    return open_store(stack);
}

static bool is_off(void *context)
{
    return system_is_off() || ((struct stack *)context)->damaged;
}

static void close_store(struct store *store)
{
    struct stack *stack = stack_of(store);
    verify(stack);
    system_let_copy();
    store_close(stack->inner);
    stack->inner = NULL;
}

bool stack_run(struct stack *stack, const struct sim_options *options, const struct stack_plan *plan,
               struct system_trace *trace, enum system_flushes flushes)
{
    static const struct store_operations operations = {
        "stack", submit, read, probe, statistics, close_store
    };
    const struct sim_disk disk = {
        .open = open_store, .restart = restart, .is_off = is_off, .context = stack
    };
    struct sim_options    on_disk = *options;
    struct sim_statistics statistics_ = { 0 };
    struct sim_outcome    outcome;
    *stack = (struct stack){ .store.operations = &operations, .plan = *plan };
    random_seed(&stack->random, options->seed ^ UINT64_C(0x5EED));
    mailbox_init(&stack->box, wake, &stack->answered);
    system_begin(options->seed, trace, flushes);
    plan_next(stack);
    on_disk.disk = &disk;
    sim_run(&on_disk, &statistics_, NULL, NULL, &outcome);
    bool good = outcome.invariant[0] == '\0';
    if (!good)
        fprintf(stderr, "seed %" PRIu64 ": %s: %s; the last call that failed: %s\n", options->seed,
                outcome.invariant, outcome.failure, system_failed_call());
    if (system_flushed_again()[0] != '\0')
        fprintf(stderr, "seed %" PRIu64 ": a flush that failed was tried again: %s\n", options->seed,
                system_flushed_again());
    if (stack->went_on)
        fprintf(stderr, "seed %" PRIu64 ": durable although the disk had failed\n", options->seed);
    good = good && !stack->went_on && stack->findings == 0 && system_flushed_again()[0] == '\0';
    system_end();
    return good;
}
