/* store_verify.c: looking through a store's file, and telling what was found. */
#include "server/store_verify.h"

#include <stdio.h>
#include <unistd.h>

#include "api/api.h"
#include "base/clock.h"
#include "check/check.h"
#include "codec/pb.h"
#include "engine/workflow.h"
#include "schedule/schedule.h"
#include "store/sqlite.h"

#define RENEW_NS    (500 * NS_PER_MS) /* how long one moment of a file is held, at the next chance */
#define PROGRESS_NS NS_PER_S

void print_readable(FILE *to, struct buffer *text)
{
    bool is_text = bytes_is_utf8(buffer_bytes(text));
    for (size_t i = 0; i < text->size && !is_text; i++)
        text->base[i] = text->base[i] < 0x80 ? text->base[i] : '?';
    fwrite(text->base, 1, text->size, to);
}

struct verify {
    struct store *view;
    bool          json, has_progress, is_first;
    int64_t       began, renewed, progressed;
    uint64_t      file_findings; /* of the inspection */
};

static void put_text(struct buffer *to, const char *name, struct bytes text)
{
    buffer_printf(to, "\"%s\": ", name);
    json_put_string(to, text);
}

static void clear_progress(const struct verify *verify)
{
    if (verify->has_progress)
        fputs("\r\033[K", stderr);
}

static void print_finding(struct verify *verify, const struct check_finding *finding)
{
    char          run_id[UUID_TEXT_SIZE + 1] = "";
    struct buffer text = { 0 };
    if (finding->has_run_id)
        uuid_print(&finding->run_id, run_id);
    clear_progress(verify);
    if (verify->json) {
        buffer_append_text(&text, verify->is_first ? "\n    {" : ",\n    {");
        put_text(&text, "rule", bytes_of_text(finding->rule));
        buffer_append_text(&text, ", ");
        put_text(&text, "namespace", finding->namespace_name);
        buffer_append_text(&text, ", ");
        put_text(&text, "workflowId", finding->workflow_id);
        buffer_append_text(&text, ", ");
        put_text(&text, "runId", bytes_of_text(run_id));
        buffer_append_text(&text, ", ");
        put_text(&text, "what", bytes_of_text(finding->what));
        buffer_append_text(&text, "}");
    } else {
        buffer_printf(&text, "%s: ", finding->rule);
        if (finding->workflow_id.size != 0)
            buffer_printf(&text, "%.*s/%.*s%s%s: ", BYTES_FMT(finding->namespace_name),
                          BYTES_FMT(finding->workflow_id), run_id[0] == '\0' ? "" : " run ", run_id);
        buffer_printf(&text, "%s\n", finding->what);
    }
    verify->is_first = false;
    print_readable(stdout, &text);
    buffer_release(&text);
}

static void on_found(void *context, const struct check_finding *finding)
{
    print_finding(context, finding);
}

static void on_inspected(void *context, const char *what)
{
    struct verify *verify = context;
    verify->file_findings++;
    print_finding(verify, &(struct check_finding){ .rule = "file", .what = what });
}

/* A server that writes meanwhile has its log grow as long as one moment of the file is looked at. */
static void on_renew(void *context)
{
    struct verify *verify = context;
    int64_t        now = clock_monotonic_ns(&clock_system);
    if (now - verify->renewed < RENEW_NS)
        return;
    store_sqlite_view_renew(verify->view);
    verify->renewed = now;
}

static void on_progress(void *context, const struct check_counts *counts)
{
    struct verify *verify = context;
    int64_t        now = clock_monotonic_ns(&clock_system);
    if (!verify->has_progress || now - verify->progressed < PROGRESS_NS)
        return;
    verify->progressed = now;
    fprintf(stderr, "\r\033[K%" PRIu64 " runs, %" PRIu64 " transitions, %" PRIu64 " found", counts->runs,
            counts->transitions, counts->findings + verify->file_findings);
}

static void print_result(const struct verify *verify, const char *path, const struct check_counts *counts)
{
    double   seconds = (double)(clock_monotonic_ns(&clock_system) - verify->began) / (double)NS_PER_S;
    uint64_t findings = counts->findings + verify->file_findings;
    clear_progress(verify);
    if (verify->json)
        printf("%s],\n  \"clean\": %s, \"runs\": %" PRIu64 ", \"transitions\": %" PRIu64
               ", \"events\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"ready\": %" PRIu64
               ", \"wakeups\": %" PRIu64 ", \"messages\": %" PRIu64 ", \"leftovers\": %" PRIu64
               ", \"seconds\": %.3f\n}\n",
               verify->is_first ? "" : "\n  ", findings == 0 ? "true" : "false", counts->runs,
               counts->transitions, counts->events, counts->bytes, counts->ready, counts->wakeups,
               counts->messages, counts->leftovers, seconds);
    else
        printf("%s: %" PRIu64 " runs, %" PRIu64 " transitions, %" PRIu64 " events (%.1f MB), %" PRIu64
               " ready tasks, %" PRIu64 " wake-ups, %" PRIu64 " messages in %.2f s: %" PRIu64 " found\n",
               path, counts->runs, counts->transitions, counts->events, (double)counts->bytes / 1e6,
               counts->ready, counts->wakeups, counts->messages, seconds, findings);
}

static enum status verify_view(struct verify *verify, const char *path, uint64_t *ret_findings,
                               struct error *error)
{
    static const struct entity_kind *const kinds[] = { &workflow_kind, &namespaces_kind, &task_queue_kind,
                                                       &tools_kind, &schedule_kind };
    struct check_counts                    counts = { 0 };
    struct check_options                   options = { .store = verify->view,
                                                       .kinds = kinds,
                                                       .kind_count = ARRAY_COUNT(kinds),
                                                       .found = on_found,
                                                       .progress = on_progress,
                                                       .renew = on_renew,
                                                       .context = verify };
    verify->began = verify->renewed = verify->progressed = clock_monotonic_ns(&clock_system);
    if (verify->json) {
        struct buffer text = { 0 };
        put_text(&text, "file", bytes_of_text(path));
        printf("{\n  %.*s,\n  \"findings\": [", BYTES_FMT(buffer_bytes(&text)));
        buffer_release(&text);
    }
    enum status status = store_sqlite_view_inspect(verify->view, on_inspected, verify, error);
    if (status == ST_OK) {
        store_sqlite_view_renew(verify->view);
        status = check_store(&options, &counts, error);
    }
    print_result(verify, path, &counts);
    *ret_findings = counts.findings + verify->file_findings;
    return status;
}

enum status store_verify(const char *path, bool json, uint64_t *ret_findings, struct error *error)
{
    struct verify verify = { .json = json, .has_progress = isatty(STDERR_FILENO) == 1, .is_first = true };
    enum status   status = store_sqlite_view(path, &verify.view, error);
    if (status != ST_OK)
        return status;
    status = verify_view(&verify, path, ret_findings, error);
    store_close(verify.view);
    return status;
}
