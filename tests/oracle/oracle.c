/* oracle.c: what was shown: runs, their events, and that nobody is ever shown anything else. */
#include <stdio.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "internal.h"

struct operated {
    struct table_link link;
    struct bytes      workflow_id;
};
struct delivered {
    struct table_link link;
    struct bytes      run_id;
    int64_t           started;
};

const char *oracle_check_name(enum oracle_check check)
{
    static const char *const names[] = {
#define X(id, name, text) [ORACLE_##id] = (name),
        ORACLE_CHECKS(X)
#undef X
    };
    assert(check < ORACLE_CHECK_COUNT);
    return names[check];
}

const char *oracle_check_text(enum oracle_check check)
{
    static const char *const texts[] = {
#define X(id, name, text) [ORACLE_##id] = (text),
        ORACLE_CHECKS(X)
#undef X
    };
    assert(check < ORACLE_CHECK_COUNT);
    return texts[check];
}

struct oracle *oracle_new(oracle_report *report, void *context)
{
    struct oracle *oracle = xcalloc(1, sizeof(*oracle));
    oracle->report = report;
    oracle->context = context;
    arena_init(&oracle->arena, SIZE_MAX);
    table_init(&oracle->runs);
    table_init(&oracle->operated);
    table_init(&oracle->deliveries);
    table_init(&oracle->attempts);
    table_init(&oracle->pages);
    list_init(&oracle->calls);
    list_init(&oracle->operations);
    list_init(&oracle->views);
    table_init(&oracle->delivered);
    return oracle;
}

void oracle_free(struct oracle *oracle)
{
    if (oracle == NULL)
        return;
    struct table_iterator iterator = { 0 };
    for (struct table_link *at; (at = table_iterate(&oracle->runs, &iterator)) != NULL;) {
        struct run *run = CONTAINER_OF(at, struct run, link);
        judge_free(run->judge);
        free(run->events);
    }
    table_release(&oracle->runs);
    table_release(&oracle->operated);
    table_release(&oracle->deliveries);
    table_release(&oracle->attempts);
    table_release(&oracle->pages);
    table_release(&oracle->delivered);
    arena_release(&oracle->arena);
    free(oracle);
}

void oracle_fail(struct oracle *oracle, enum oracle_check check, const char *format, ...)
{
    char    text[1024];
    va_list arguments;
    if (oracle->mute)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    oracle->report(oracle->context, check, text);
}

void oracle_expect_timers_within(struct oracle *oracle, int64_t late_max)
{
    oracle->timer_late_max = late_max;
}

bool oracle_has_operated(const struct oracle *oracle, struct bytes workflow_id)
{
    for (struct table_link *at = table_first(&oracle->operated, hash_bytes(workflow_id)); at != NULL;
         at = table_next(at)) {
        if (bytes_equal(CONTAINER_OF(at, struct operated, link)->workflow_id, workflow_id))
            return true;
    }
    return false;
}

void oracle_activities_changed(struct oracle *oracle, struct bytes workflow_id)
{
    if (oracle_has_operated(oracle, workflow_id))
        return;
    struct operated *operated = ARENA_NEW(&oracle->arena, struct operated);
    operated->workflow_id = arena_copy(&oracle->arena, workflow_id);
    table_insert(&oracle->operated, &operated->link, hash_bytes(workflow_id));
}

static uint64_t delivered_hash(struct bytes run_id, int64_t started)
{
    return hash_combine(hash_bytes(run_id), (uint64_t)started);
}

bool oracle_was_delivered(const struct oracle *oracle, struct bytes run_id, int64_t started)
{
    for (struct table_link *at = table_first(&oracle->delivered, delivered_hash(run_id, started)); at != NULL;
         at = table_next(at)) {
        const struct delivered *delivered = CONTAINER_OF(at, struct delivered, link);
        if (delivered->started == started && bytes_equal(delivered->run_id, run_id))
            return true;
    }
    return false;
}

void oracle_task_delivered(struct oracle *oracle, struct bytes run_id, int64_t started_event_id)
{
    if (oracle_was_delivered(oracle, run_id, started_event_id))
        return;
    struct delivered *delivered = ARENA_NEW(&oracle->arena, struct delivered);
    delivered->run_id = arena_copy(&oracle->arena, run_id);
    delivered->started = started_event_id;
    table_insert(&oracle->delivered, &delivered->link, delivered_hash(run_id, started_event_id));
}

/* --- events --- */

struct run *oracle_run(const struct oracle *oracle, struct bytes run_id)
{
    for (struct table_link *at = table_first(&oracle->runs, hash_bytes(run_id)); at != NULL;
         at = table_next(at)) {
        struct run *run = CONTAINER_OF(at, struct run, link);
        if (bytes_equal(run->id, run_id))
            return run;
    }
    return NULL;
}

struct run *oracle_run_of(struct oracle *oracle, struct bytes run_id)
{
    struct run *run = oracle_run(oracle, run_id);
    if (run != NULL)
        return run;
    run = ARENA_NEW(&oracle->arena, struct run);
    run->oracle = oracle;
    run->id = arena_copy(&oracle->arena, run_id);
    run->known = oracle->now;
    run->judge = judge_new(run);
    table_insert(&oracle->runs, &run->link, hash_bytes(run_id));
    return run;
}

void oracle_run_belongs(struct oracle *oracle, struct run *run, struct bytes workflow_id)
{
    if (run->workflow_id.size == 0)
        run->workflow_id = arena_copy(&oracle->arena, workflow_id);
}

struct run *oracle_next_run(const struct oracle *oracle, struct table_iterator *iterator)
{
    struct table_link *at = table_iterate(&oracle->runs, iterator);
    return at == NULL ? NULL : CONTAINER_OF(at, struct run, link);
}

bool run_is_complete(const struct run *run)
{
    return run->read != 0 && !run->missing && run->judge->last == run->last;
}

int64_t oracle_last_known(const struct run *run, uint64_t moment)
{
    int64_t id = run->last;
    while (id > 0 && (run->events[id] == NULL || run->events[id]->known > moment))
        id--;
    return id;
}

static void make_room(struct run *run, int64_t event_id)
{
    if (event_id < run->capacity)
        return;
    int64_t capacity = MAX(run->capacity * 2, event_id + 16);
    run->events = xrealloc(run->events, (size_t)capacity * sizeof(struct seen *));
    memset(run->events + run->capacity, 0, (size_t)(capacity - run->capacity) * sizeof(struct seen *));
    run->capacity = capacity;
}

static void add_event(struct run *run, struct bytes raw, int64_t event_id)
{
    struct oracle *oracle = run->oracle;
    struct error   error;
    make_room(run, event_id);
    struct seen *seen = run->events[event_id];
    if (seen != NULL) {
        if (!bytes_equal(seen->raw, raw))
            oracle_fail(oracle, ORACLE_REWRITTEN, "event %" PRId64 " of run %.*s: type %d, now %zu bytes",
                        event_id, BYTES_FMT(run->id), seen->event.event_type, raw.size);
        return;
    }
    seen = ARENA_NEW(&oracle->arena, struct seen);
    seen->raw = arena_copy(&oracle->arena, raw);
    seen->known = oracle->now;
    if (pb_decode(&pb_history_HistoryEvent, seen->raw, &oracle->arena, &seen->event, &error) != ST_OK) {
        oracle_fail(oracle, ORACLE_MALFORMED, "event %" PRId64 " of run %.*s: %s", event_id,
                    BYTES_FMT(run->id), error.message);
        return;
    }
    run->events[event_id] = seen;
    run->last = MAX(run->last, event_id);
}

static void mentions(struct oracle *oracle, struct bytes run_id, struct bytes workflow_id)
{
    if (run_id.size != 0)
        oracle_run_belongs(oracle, oracle_run_of(oracle, run_id), workflow_id);
}

/* Other runs that this event names are there. */
static void note_mentions(struct run *run, const struct history_HistoryEvent *event)
{
    struct oracle *oracle = run->oracle;
    if (event->event_id == 1 && run->judge->first == event) {
        const struct history_WorkflowExecutionStartedEventAttributes *start =
            event->workflow_execution_started_event_attributes;
        oracle_run_belongs(oracle, run, start->workflow_id);
        mentions(oracle, start->continued_execution_run_id, run->workflow_id);
        if (start->parent_workflow_execution != NULL)
            mentions(oracle, start->parent_workflow_execution->run_id,
                     start->parent_workflow_execution->workflow_id);
    }
    if (run->judge->close == event)
        mentions(oracle, run_next(run), run->workflow_id);
    if (run->judge->reset == event)
        mentions(oracle, event->workflow_task_failed_event_attributes->base_run_id, run->workflow_id);
    if (event->attributes_case == 36 &&
        event->child_workflow_execution_started_event_attributes->workflow_execution != NULL)
        mentions(oracle, event->child_workflow_execution_started_event_attributes->workflow_execution->run_id,
                 event->child_workflow_execution_started_event_attributes->workflow_execution->workflow_id);
}

/* Judges what is known without a gap by now. */
static void advance(struct run *run)
{
    while (run->judge->last < run->last && run->events[run->judge->last + 1] != NULL) {
        const struct history_HistoryEvent *event = &run->events[run->judge->last + 1]->event;
        judge_event(run->judge, event);
        note_mentions(run, event);
        run->oracle->judged++;
    }
}

/* How many of the events have their place for good: the last ones may be a workflow task that is transient or speculative. */
static size_t count_settled(const struct run *run, const struct history_HistoryEvent *events, size_t count)
{
    if (count > 0 && events[count - 1].event_type == enums_EVENT_TYPE_WORKFLOW_TASK_STARTED &&
        events[count - 1].event_id > run->last)
        count--;
    if (count > 0 && events[count - 1].event_type == enums_EVENT_TYPE_WORKFLOW_TASK_SCHEDULED &&
        events[count - 1].event_id > run->last)
        count--;
    return count;
}

void oracle_events(struct oracle *oracle, struct bytes run_id, const struct bytes *events, size_t count,
                   int64_t up_to)
{
    struct run                  *run = oracle_run_of(oracle, run_id);
    struct history_HistoryEvent *decoded = xcalloc(count + 1, sizeof(*decoded));
    struct arena                 arena;
    size_t                       good = 0;
    arena_init(&arena, SIZE_MAX);
    for (; good < count; good++) {
        struct error error;
        if (pb_decode(&pb_history_HistoryEvent, events[good], &arena, &decoded[good], &error) != ST_OK) {
            oracle_fail(oracle, ORACLE_MALFORMED, "an event of run %.*s: %s", BYTES_FMT(run_id),
                        error.message);
            break;
        }
        int64_t expected = good == 0 ? MAX(decoded[0].event_id, INT64_C(1)) : decoded[good - 1].event_id + 1;
        if (decoded[good].event_id != expected) {
            oracle_fail(oracle, ORACLE_GAP, "run %.*s: event %" PRId64 " where %" PRId64 " should be",
                        BYTES_FMT(run_id), decoded[good].event_id, expected);
            break;
        }
    }
    if (up_to == ORACLE_SETTLED)
        good = count_settled(run, decoded, good);
    for (size_t i = 0; i < good; i++) {
        if (up_to == ORACLE_SETTLED || decoded[i].event_id <= up_to)
            add_event(run, events[i], decoded[i].event_id);
    }
    free(decoded);
    arena_release(&arena);
    advance(run);
}

void oracle_history(struct oracle *oracle, struct bytes run_id, const struct bytes *events, size_t count)
{
    oracle_events(oracle, run_id, events, count, ORACLE_SETTLED);
    struct run *run = oracle_run(oracle, run_id);
    run->read = ++oracle->now;
    run->read_last = (int64_t)count;
    if (run->last > (int64_t)count || run->judge->last != run->last)
        oracle_fail(oracle, ORACLE_SHORT,
                    "run %.*s: somebody saw event %" PRId64 ", history has %zu, known from 1 up to %" PRId64,
                    BYTES_FMT(run_id), run->last, count, run->judge->last);
}

const struct history_HistoryEvent *oracle_event(const struct oracle *oracle, struct bytes run_id,
                                                int64_t event_id)
{
    const struct run *run = oracle_run(oracle, run_id);
    if (run == NULL || event_id < 0 || event_id >= run->capacity || run->events[event_id] == NULL)
        return NULL;
    return &run->events[event_id]->event;
}

int64_t oracle_last(const struct oracle *oracle, struct bytes run_id)
{
    const struct run *run = oracle_run(oracle, run_id);
    return run == NULL ? 0 : run->last;
}

uint64_t oracle_judged(const struct oracle *oracle)
{
    return oracle->judged;
}

static void print_run(const struct run *run, FILE *to)
{
    struct buffer text;
    buffer_init(&text);
    fprintf(to, "run %.*s of %.*s\n", BYTES_FMT(run->id), BYTES_FMT(run->workflow_id));
    for (int64_t id = 1; id <= run->last; id++) {
        struct error error;
        buffer_clear(&text);
        if (run->events[id] == NULL)
            fprintf(to, "%" PRId64 " unknown\n", id);
        else if (json_print(&pb_history_HistoryEvent, run->events[id]->raw, 0, &text, &error) == ST_OK)
            fprintf(to, "%.*s\n", (int)text.size, (const char *)text.base);
    }
    buffer_release(&text);
}

void oracle_print(const struct oracle *oracle, FILE *to)
{
    struct table_iterator iterator = { 0 };
    for (const struct run *run; (run = oracle_next_run(oracle, &iterator)) != NULL;)
        print_run(run, to);
}
