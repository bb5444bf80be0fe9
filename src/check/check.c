/* check.c: reading, telling, and the order in which a store is gone through. */
#include <stdio.h>

#include "check/check_internal.h"

/* --- reading --- */

bool check_read(struct check *check, struct store_read *read, struct arena *arena)
{
    const struct check_options *options = check->options;
    read->arena = arena;
    if (!check_goes_on(check))
        return false;
    store_read_blocking(options->store, read, options->wait, options->wait_context);
    if (read->status == ST_OK)
        return true;
    if (read->status == ST_DATA_LOSS)
        check_found(check, "read", NULL, "%s", read->error.message);
    else
        check->failure = read->error;
    return false;
}

/* --- telling --- */

void check_found(struct check *check, const char *rule, const struct store_run *run, const char *format, ...)
{
    char                 what[1024];
    struct check_finding finding = { .rule = rule, .what = what };
    va_list              arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (run != NULL) {
        static const struct uuid unset;
        const struct check_namespace *namespace = check_namespace(check, run->namespace_number);
        finding.workflow_id = run->workflow_id;
        finding.run = run->number;
        finding.run_id = run->run_id;
        finding.has_run_id = memcmp(&run->run_id, &unset, sizeof unset) != 0;
        if (namespace != NULL)
            finding.namespace_name = namespace->name;
    }
    check->counts.findings++;
    check->options->found(check->options->context, &finding);
}

/* --- what is known --- */

const struct check_namespace *check_namespace(const struct check *check, int64_t number)
{
    size_t low = 0, high = check->namespace_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (check->namespaces[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < check->namespace_count && check->namespaces[low].number == number ? &check->namespaces[low]
                                                                                   : NULL;
}

const struct entity_kind *check_kind(const struct check *check, int64_t id)
{
    for (size_t i = 0; i < check->options->kind_count; i++) {
        if ((int64_t)check->options->kinds[i]->id == id)
            return check->options->kinds[i];
    }
    return NULL;
}

struct entity_identity check_identity(const struct check *check, const struct store_run *run)
{
    const struct check_namespace *namespace = check_namespace(check, run->namespace_number);
    return (struct entity_identity){ .namespace_number = run->namespace_number,
                                     .namespace_id = namespace == NULL ? BYTES_EMPTY : namespace->id,
                                     .business_id = run->workflow_id,
                                     .number = run->number,
                                     .run_id = run->run_id };
}

void check_number(struct check *check, const struct store_run *run, const char *what, store_number number)
{
    if (number > check->number_max) /* the clocks may have gone on since they were read */
        check_clocks(check);
    if (number <= 0 || (check->number_max != 0 && number > check->number_max))
        check_found(check, "entity", run,
                    "%s %" PRId64 " is beyond what the clocks' rows reserve (%" PRId64 ")", what, number,
                    check->number_max);
}

/* --- the order of things --- */

void check_renew(struct check *check)
{
    check_load_forget(check);
    if (check->options->renew != NULL)
        check->options->renew(check->options->context);
    if (check->options->progress != NULL)
        check->options->progress(check->options->context, &check->counts);
}

/* Whether the next row of the index is of the same workflow. */
static bool is_same_workflow(const struct store_identity *a, const struct store_identity *b)
{
    return a->namespace_number == b->namespace_number && bytes_equal(a->workflow_id, b->workflow_id);
}

/* In the order of workflow ids, so that the runs of one follow each other. The last row of a page is looked at with the next. */
static void check_runs(struct check *check)
{
    struct arena          arena, next_arena;
    struct store_read     read = { .kind = STORE_READ_IDENTITIES, .namespace_number = INT64_MIN };
    struct store_identity last = { 0 };
    bool                  has_last = false, more = true;
    arena_init(&arena, SIZE_MAX);
    arena_init(&next_arena, SIZE_MAX);
    while (more) {
        read.limit = CHECK_PAGE_ROWS;
        read.size_limit = CHECK_PAGE_SIZE;
        if (!check_read(check, &read, &arena))
            break;
        more = read.more;
        for (size_t i = 0; i < read.identity_count && check_goes_on(check); i++) {
            if (has_last)
                check_one_run(check, &last, !is_same_workflow(&last, &read.identities[i]));
            last = read.identities[i];
            has_last = true;
            check_renew(check);
        }
        if (read.identity_count == 0)
            break;
        arena_reset(&next_arena);
        last.workflow_id = arena_copy(&next_arena, last.workflow_id);
        arena_reset(&arena);
        read = (struct store_read){ .kind = STORE_READ_IDENTITIES,
                                    .namespace_number = last.namespace_number,
                                    .workflow_id = last.workflow_id,
                                    .after = last.number };
    }
    if (has_last && check_goes_on(check))
        check_one_run(check, &last, true);
    arena_release(&arena);
    arena_release(&next_arena);
}

enum status check_store(const struct check_options *options, struct check_counts *ret_counts,
                        struct error *error)
{
    static void (*const tables[])(struct check *check) = { check_namespaces, check_clocks,  check_runs,
                                                           check_ready,      check_wakeups, check_messages,
                                                           check_branches,   check_entities };
    struct check check = { .options = options };
    arena_init(&check.keep, SIZE_MAX);
    arena_init(&check.loaded_arena, SIZE_MAX);
    for (size_t i = 0; i < options->kind_count && check.kind == NULL; i++) {
        if (!options->kinds[i]->is_record)
            check.kind = options->kinds[i];
    }
    assert(check.kind != NULL);
    for (size_t i = 0; i < ARRAY_COUNT(tables) && check_goes_on(&check); i++) {
        tables[i](&check);
        check_renew(&check);
    }
    check_load_forget(&check);
    arena_release(&check.loaded_arena);
    arena_release(&check.keep);
    free(check.namespaces);
    *ret_counts = check.counts;
    if (!check_goes_on(&check))
        *error = check.failure;
    return check.failure.code;
}
