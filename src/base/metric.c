/* metric.c: cells by thread, and the text that is made of their sums. */
#include "base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static const struct metric_row {
    const char        *name, *constant, *help;
    enum metric_kind   kind;
    enum metric_labels labels;
    bool               by_namespace;
} rows[METRIC_COUNT] = {
#define METRIC_ROW(id, kind_, name_, labels_, by_namespace_, constant_, help_)                               \
    [METRIC_##id] = { name_, constant_, help_, kind_, labels_, by_namespace_ },
    METRICS(METRIC_ROW)
#undef METRIC_ROW
};

/* --- labels --- */

static const char *task_name(uint32_t index)
{
    return index == TASK_LABEL_WORKFLOW ? "Workflow" : index == TASK_LABEL_ACTIVITY ? "Activity" : NULL;
}

static const char *cache_name(uint32_t index)
{
    static const char *const names[CACHE_COUNT] = { "runs", "windows", "matching", "known_ids", "sqlite" };
    return index < CACHE_COUNT ? names[index] : NULL;
}

static const char *level_name(uint32_t index)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    return index < ARRAY_COUNT(names) ? names[index] : NULL;
}

/* As the reference server calls them, whose dashboards filter by these names. */
static const char *error_name(uint32_t code)
{
    static const char *const names[METRIC_ERRORS_MAX] = {
        "",
        "serviceerror_Canceled",
        "serviceerror_Unknown",
        "serviceerror_InvalidArgument",
        "serviceerror_DeadlineExceeded",
        "serviceerror_NotFound",
        "serviceerror_AlreadyExists",
        "serviceerror_PermissionDenied",
        "serviceerror_ResourceExhausted",
        "serviceerror_FailedPrecondition",
        "serviceerror_Aborted",
        "serviceerror_OutOfRange",
        "serviceerror_Unimplemented",
        "serviceerror_Internal",
        "serviceerror_Unavailable",
        "serviceerror_DataLoss",
        "serviceerror_Unauthenticated",
    };
    return code < METRIC_ERRORS_MAX ? names[code] : NULL;
}

typedef const char *label_names(uint32_t index);
/* `second` 1 when there is no second label. */
static struct label_set {
    const char            *label, *second_label;
    uint32_t               max, second;
    _Atomic(label_names *) name;
    const char *(*second_name)(uint32_t index);
} label_sets[LABELS_COUNT] = {
    [LABELS_NONE] = { NULL, NULL, 1, 1, NULL, NULL },
    [LABELS_OPERATION] = { "operation", NULL, METRIC_OPERATIONS_MAX, 1, NULL, NULL },
    [LABELS_OPERATION_ERROR] = { "operation", "error_type", METRIC_OPERATIONS_MAX, METRIC_ERRORS_MAX, NULL,
                                 error_name },
    [LABELS_STORE] = { "operation", NULL, 32, 1, NULL, NULL },
    [LABELS_TASK] = { "task_type", NULL, TASK_LABEL_COUNT, 1, task_name, NULL },
    [LABELS_EVENT] = { "event_type", NULL, 128, 1, NULL, NULL },
    [LABELS_CACHE] = { "cache", NULL, CACHE_COUNT, 1, cache_name, NULL },
    [LABELS_LEVEL] = { "level", NULL, 4, 1, level_name, NULL },
};

void metric_name_labels(enum metric_labels labels, const char *(*name)(uint32_t index))
{
    atomic_store(&label_sets[labels].name, name);
    if (labels == LABELS_OPERATION)
        atomic_store(&label_sets[LABELS_OPERATION_ERROR].name, name);
}

/* --- histograms --- */

/* The bounds of the reference server's timers up to 100 s, with finer ones below a millisecond, where most answers are. */
static const int64_t bounds_seconds[] = {
    250 * NS_PER_US, 500 * NS_PER_US, 1 * NS_PER_MS,   2 * NS_PER_MS,   5 * NS_PER_MS,   10 * NS_PER_MS,
    20 * NS_PER_MS,  50 * NS_PER_MS,  100 * NS_PER_MS, 200 * NS_PER_MS, 500 * NS_PER_MS, 1 * NS_PER_S,
    2 * NS_PER_S,    5 * NS_PER_S,    10 * NS_PER_S,   20 * NS_PER_S,   50 * NS_PER_S,   100 * NS_PER_S,
};
static const int64_t bounds_sizes[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024 };
#define BOUNDS_MAX 18
static_assert(ARRAY_COUNT(bounds_seconds) <= BOUNDS_MAX && ARRAY_COUNT(bounds_sizes) <= BOUNDS_MAX,
              "a sum has room for each");

static bool is_histogram(enum metric metric)
{
    return rows[metric].kind == METRIC_SECONDS || rows[metric].kind == METRIC_SIZES;
}

static uint32_t bounds_of(enum metric metric, const int64_t **ret_bounds)
{
    bool sizes = rows[metric].kind == METRIC_SIZES;
    *ret_bounds = sizes ? bounds_sizes : bounds_seconds;
    return sizes ? ARRAY_COUNT(bounds_sizes) : ARRAY_COUNT(bounds_seconds);
}

/* Of one series: its value; or the buckets, the one without a bound, and the sum. */
static uint32_t series_size(enum metric metric)
{
    const int64_t *bounds;
    return is_histogram(metric) ? bounds_of(metric, &bounds) + 2 : 1;
}

static uint32_t index_max(enum metric metric)
{
    const struct label_set *set = &label_sets[rows[metric].labels];
    return set->max * set->second;
}

/* --- cells --- */

typedef _Atomic uint64_t cell;
struct thread_cells {
    struct thread_cells *next;
    bool                 taken; /* under `lock` */
    _Atomic(cell *)      of[METRIC_COUNT][METRIC_NAMESPACES_MAX];
};
static struct {
    pthread_mutex_t      lock;    /* a leaf */
    struct thread_cells *threads; /* never taken out, so that nothing counted is lost */
    struct bytes         namespaces[METRIC_NAMESPACES_MAX];
    uint32_t             namespace_count;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER, .namespace_count = 1 };
static _Thread_local struct thread_cells *mine;
static pthread_key_t                      at_exit;
static pthread_once_t                     once = PTHREAD_ONCE_INIT;

/* Counters stay; what a gauge said of this thread is over. */
static void thread_ends(void *context)
{
    struct thread_cells *cells = context;
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++) {
        cell *of = atomic_load_explicit(&cells->of[metric][0], memory_order_relaxed);
        for (uint32_t i = 0; of != NULL && rows[metric].kind == METRIC_GAUGE && i < index_max(metric); i++)
            atomic_store_explicit(&of[i], 0, memory_order_relaxed);
    }
    mine = NULL;
    pthread_mutex_lock(&registry.lock);
    cells->taken = false;
    pthread_mutex_unlock(&registry.lock);
}

static void make_key(void)
{
    if (pthread_key_create(&at_exit, thread_ends) != 0)
        panic("no key for the counters of threads");
}

static struct thread_cells *thread_begins(void)
{
    pthread_once(&once, make_key);
    pthread_mutex_lock(&registry.lock);
    struct thread_cells *cells = registry.threads;
    while (cells != NULL && cells->taken)
        cells = cells->next;
    if (cells == NULL) {
        cells = xcalloc(1, sizeof *cells);
        cells->next = registry.threads;
        registry.threads = cells;
    }
    cells->taken = true;
    pthread_mutex_unlock(&registry.lock);
    if (pthread_setspecific(at_exit, cells) != 0)
        panic("no memory for the counters of a thread");
    return mine = cells;
}

static cell *series(enum metric metric, uint32_t namespace, uint32_t index)
{
    struct thread_cells *cells = mine != NULL ? mine : thread_begins();
    assert(metric < METRIC_COUNT && namespace < METRIC_NAMESPACES_MAX);
    uint32_t slot = rows[metric].by_namespace ? namespace : 0;
    cell    *of = atomic_load_explicit(&cells->of[metric][slot], memory_order_relaxed);
    if (index >= index_max(metric))
        return NULL;
    if (of == NULL) {
        of = xcalloc((size_t)index_max(metric) * series_size(metric), sizeof *of);
        atomic_store_explicit(&cells->of[metric][slot], of, memory_order_release);
    }
    return &of[(size_t)index * series_size(metric)];
}

static void cell_add(cell *one, uint64_t value)
{
    atomic_store_explicit(one, atomic_load_explicit(one, memory_order_relaxed) + value, memory_order_relaxed);
}

void metric_add(enum metric metric, uint32_t namespace, uint32_t index, uint64_t value)
{
    cell *one = series(metric, namespace, index);
    if (one != NULL)
        cell_add(one, value);
}

void metric_set(enum metric metric, uint32_t namespace, uint32_t index, uint64_t value)
{
    cell *one = series(metric, namespace, index);
    if (one != NULL)
        atomic_store_explicit(one, value, memory_order_relaxed);
}

void metric_observe(enum metric metric, uint32_t namespace, uint32_t index, int64_t value)
{
    const int64_t *bounds;
    uint32_t       count = bounds_of(metric, &bounds), at = 0;
    cell          *cells = series(metric, namespace, index);
    assert(is_histogram(metric));
    if (cells == NULL)
        return;
    while (at < count && value > bounds[at])
        at++;
    cell_add(&cells[at], 1);
    cell_add(&cells[count + 1], (uint64_t)MAX(value, INT64_C(0)));
}

uint32_t metric_namespace(struct bytes name)
{
    uint32_t slot = 1;
    pthread_mutex_lock(&registry.lock);
    while (slot < registry.namespace_count && !bytes_equal(registry.namespaces[slot], name))
        slot++;
    if (slot == registry.namespace_count && slot < METRIC_NAMESPACES_MAX - 1) {
        uint8_t *copy = xmalloc(name.size + 1);
        memcpy(copy, name.base, name.size);
        registry.namespaces[slot] = bytes_of(copy, name.size);
        registry.namespace_count++;
    }
    pthread_mutex_unlock(&registry.lock);
    return slot; /* the last one is everybody's who came later */
}

/* --- sums --- */

struct sums {
    uint64_t value[BOUNDS_MAX + 2];
};

/* False: nobody has counted any of this. */
static bool sum_series(enum metric metric, uint32_t slot, uint32_t index, struct sums *sums)
{
    uint32_t size = series_size(metric);
    bool     any = false;
    memset(sums, 0, sizeof *sums);
    for (const struct thread_cells *at = registry.threads; at != NULL; at = at->next) {
        cell *of = atomic_load_explicit(&at->of[metric][slot], memory_order_acquire);
        for (uint32_t i = 0; of != NULL && i < size; i++) {
            uint64_t value = atomic_load_explicit(&of[(size_t)index * size + i], memory_order_relaxed);
            sums->value[i] += value;
            any = any || value != 0;
        }
    }
    return any;
}

uint64_t metric_value(enum metric metric, uint32_t namespace, uint32_t index)
{
    struct sums sums;
    pthread_mutex_lock(&registry.lock);
    sum_series(metric, rows[metric].by_namespace ? namespace : 0, index, &sums);
    pthread_mutex_unlock(&registry.lock);
    return sums.value[0];
}

/* --- text --- */

void metric_print_label(struct buffer *to, struct bytes value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.base[i] == '\n') {
            buffer_append_text(to, "\\n");
            continue;
        }
        if (value.base[i] == '"' || value.base[i] == '\\')
            buffer_append_byte(to, '\\');
        buffer_append_byte(to, value.base[i]);
    }
}

/* What is printed under a name of its own although it is counted as a part of something else. */
static const struct view {
    const char *name, *constant, *help;
    enum metric source;
    bool        of_error; /* `part` is the second label, else the only one */
    uint32_t    part;
} views[] = {
#define ENDED "operation=\"CompletionStats\",service_name=\"history\""
#define TASKS "service_name=\"history\""
#define TOLD  "service_name=\"frontend\""
#define WORDS "operation=\"RespondWorkflowTaskCompleted\",service_name=\"history\""
    { "service_errors_entity_not_found", TOLD, "Calls that were answered NOT_FOUND.",
      METRIC_SERVICE_ERROR_WITH_TYPE, true, ST_NOT_FOUND },
    { "service_errors_execution_already_started", TOLD, "Calls that were answered ALREADY_EXISTS.",
      METRIC_SERVICE_ERROR_WITH_TYPE, true, ST_ALREADY_EXISTS },
    { "service_errors_resource_exhausted", TOLD, "Calls that were answered RESOURCE_EXHAUSTED.",
      METRIC_SERVICE_ERROR_WITH_TYPE, true, ST_RESOURCE_EXHAUSTED },
    { "service_errors_invalid_argument", TOLD, "Calls that were answered INVALID_ARGUMENT.",
      METRIC_SERVICE_ERROR_WITH_TYPE, true, ST_INVALID_ARGUMENT },
    { "workflow_success", ENDED, "Runs that completed.", METRIC_EVENTS, false, 2 },
    { "workflow_failed", ENDED, "Runs that failed.", METRIC_EVENTS, false, 3 },
    { "workflow_timeout", ENDED, "Runs that timed out.", METRIC_EVENTS, false, 4 },
    { "workflow_cancel", ENDED, "Runs that ended as canceled.", METRIC_EVENTS, false, 21 },
    { "workflow_terminate", ENDED, "Runs that were terminated.", METRIC_EVENTS, false, 27 },
    { "workflow_continued_as_new", ENDED, "Runs that continued as new ones.", METRIC_EVENTS, false, 28 },
    { "activity_success", TASKS, "Activities that completed.", METRIC_EVENTS, false, 12 },
    { "activity_fail", TASKS, "Activities that failed for good.", METRIC_EVENTS, false, 13 },
    { "activity_timeout", TASKS, "Activities that timed out for good.", METRIC_EVENTS, false, 14 },
    { "activity_cancel", TASKS, "Activities that ended as canceled.", METRIC_EVENTS, false, 16 },
    { "schedule_activity_command", WORDS, "Commands of workflows: activities.", METRIC_EVENTS, false, 10 },
    { "start_timer_command", WORDS, "Commands of workflows: timers.", METRIC_EVENTS, false, 17 },
    { "record_marker_command", WORDS, "Commands of workflows: markers.", METRIC_EVENTS, false, 25 },
    { "child_workflow_command", WORDS, "Commands of workflows: children.", METRIC_EVENTS, false, 29 },
    { "signal_external_workflow_command", WORDS, "Commands of workflows: signals to others.", METRIC_EVENTS,
      false, 37 },
    { "continue_as_new_command", WORDS, "Commands of workflows: continue-as-new.", METRIC_EVENTS, false, 28 },
    { "upsert_workflow_search_attributes_command", WORDS, "Commands of workflows: search attributes.",
      METRIC_EVENTS, false, 40 },
    { "modify_workflow_properties_command", WORDS, "Commands of workflows: memos.", METRIC_EVENTS, false,
      46 },
};

struct labels {
    char   text[512];
    size_t size;
};

static void label_add(struct labels *labels, const char *name, const char *value)
{
    int size = snprintf(labels->text + labels->size, sizeof labels->text - labels->size, "%s%s=\"%s\"",
                        labels->size == 0 ? "" : ",", name, value);
    assert(size > 0 && labels->size + (size_t)size < sizeof labels->text);
    labels->size += (size_t)size;
}

static void print_labels(struct buffer *to, const struct labels *labels, const char *constant,
                         bool by_namespace, struct bytes namespace, const char *bound)
{
    const char *between = "{";
    if (by_namespace) {
        buffer_append_text(to, "{namespace=\"");
        metric_print_label(to, namespace);
        buffer_append_text(to, "\"");
        between = ",";
    }
    if (labels->size != 0) {
        buffer_printf(to, "%s%.*s", between, (int)labels->size, labels->text);
        between = ",";
    }
    if (*constant != '\0') {
        buffer_printf(to, "%s%s", between, constant);
        between = ",";
    }
    if (bound != NULL) {
        buffer_printf(to, "%sle=\"%s\"", between, bound);
        between = ",";
    }
    buffer_append_text(to, *between == ',' ? "} " : " ");
}

static struct bytes namespace_label(uint32_t slot)
{
    return slot == 0                           ? BYTES("_unknown_")
           : slot == METRIC_NAMESPACES_MAX - 1 ? BYTES("_other_")
                                               : registry.namespaces[slot];
}

static void print_histogram(struct buffer *to, enum metric metric, const struct sums *sums,
                            const struct labels *labels, struct bytes namespace)
{
    const struct metric_row *row = &rows[metric];
    const int64_t           *bounds;
    uint32_t                 count = bounds_of(metric, &bounds);
    double                   scale = row->kind == METRIC_SECONDS ? 1e-9 : 1;
    uint64_t                 below = 0;
    for (uint32_t i = 0; i <= count; i++) {
        char bound[32] = "+Inf";
        if (i < count)
            snprintf(bound, sizeof bound, "%.9g", (double)bounds[i] * scale);
        below += sums->value[i];
        buffer_printf(to, "%s_bucket", row->name);
        print_labels(to, labels, row->constant, row->by_namespace, namespace, bound);
        buffer_printf(to, "%" PRIu64 "\n", below);
    }
    buffer_printf(to, "%s_sum", row->name);
    print_labels(to, labels, row->constant, row->by_namespace, namespace, NULL);
    buffer_printf(to, "%.9g\n%s_count", (double)sums->value[count + 1] * scale, row->name);
    print_labels(to, labels, row->constant, row->by_namespace, namespace, NULL);
    buffer_printf(to, "%" PRIu64 "\n", below);
}

static void print_one(struct buffer *to, enum metric metric, uint32_t slot, uint32_t index,
                      const struct view *view)
{
    const struct metric_row *row = &rows[metric];
    const struct label_set  *set = &label_sets[row->labels];
    label_names             *name = atomic_load(&set->name);
    struct labels            labels = { .size = 0 };
    struct sums              sums;
    /* Where there are no labels there is always a value, so that a rate has a beginning. */
    if (!sum_series(metric, slot, index, &sums) && (set->label != NULL || row->by_namespace))
        return;
    const char *value = name == NULL ? "?" : name(index / set->second);
    if (set->label != NULL && (view == NULL || view->of_error))
        label_add(&labels, set->label, value == NULL ? "?" : value);
    if (set->second_label != NULL && view == NULL)
        label_add(&labels, set->second_label, set->second_name(index % set->second));
    if (is_histogram(metric)) {
        print_histogram(to, metric, &sums, &labels, namespace_label(slot));
        return;
    }
    buffer_append_text(to, view == NULL ? row->name : view->name);
    print_labels(to, &labels, view == NULL ? row->constant : view->constant, row->by_namespace,
                 namespace_label(slot), NULL);
    buffer_printf(to, "%" PRIu64 "\n", sums.value[0]);
}

static void print_head(struct buffer *to, const char *name, enum metric_kind kind, const char *help)
{
    static const char *const types[] = { "counter", "gauge", "histogram", "histogram" };
    buffer_printf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[kind]);
}

static bool is_counted(enum metric metric, uint32_t slot)
{
    for (const struct thread_cells *at = registry.threads; at != NULL; at = at->next) {
        if (atomic_load_explicit(&at->of[metric][slot], memory_order_acquire) != NULL)
            return true;
    }
    return !rows[metric].by_namespace;
}

void metric_print(struct buffer *to)
{
    pthread_mutex_lock(&registry.lock);
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++) {
        print_head(to, rows[metric].name, rows[metric].kind, rows[metric].help);
        for (uint32_t slot = 0; slot < (rows[metric].by_namespace ? METRIC_NAMESPACES_MAX : 1); slot++) {
            for (uint32_t i = 0; is_counted(metric, slot) && i < index_max(metric); i++)
                print_one(to, metric, slot, i, NULL);
        }
    }
    for (size_t at = 0; at < ARRAY_COUNT(views); at++) {
        const struct view *view = &views[at];
        uint32_t           count = view->of_error ? METRIC_OPERATIONS_MAX : 1;
        print_head(to, view->name, METRIC_COUNTER, view->help);
        for (uint32_t slot = 0; slot < METRIC_NAMESPACES_MAX; slot++) {
            for (uint32_t i = 0; is_counted(view->source, slot) && i < count; i++)
                print_one(to, view->source, slot,
                          view->of_error ? i * METRIC_ERRORS_MAX + view->part : view->part, view);
        }
    }
    pthread_mutex_unlock(&registry.lock);
}

void metric_print_reference(struct buffer *to)
{
    static const char *const types[] = { "counter", "gauge", "histogram, seconds", "histogram" };
    buffer_append_text(to, "| name | type | labels | meaning |\n|---|---|---|---|\n");
    for (enum metric metric = 0; metric < METRIC_COUNT; metric++) {
        const struct metric_row *row = &rows[metric];
        const struct label_set  *set = &label_sets[row->labels];
        buffer_printf(to, "| `%s` | %s | %s%s%s%s%s | %s |\n", row->name, types[row->kind],
                      row->by_namespace ? "namespace" : "",
                      row->by_namespace && set->label != NULL ? ", " : "",
                      set->label == NULL ? "" : set->label, set->second_label == NULL ? "" : ", ",
                      set->second_label == NULL ? "" : set->second_label, row->help);
    }
    for (size_t i = 0; i < ARRAY_COUNT(views); i++)
        buffer_printf(to, "| `%s` | counter | namespace, operation | %s |\n", views[i].name, views[i].help);
}
