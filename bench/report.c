/* report.c: Markdown as it is measured, and the goals at the end. */
#include <stdarg.h>
#include <stdio.h>

#include "bench.h"

#define GOALS_MAX 32

struct goal {
    const char    *what, *unit;
    struct spread  measured;
    enum goal_kind kind;
    double         limit;
};
struct report {
    FILE       *file;
    struct goal goals[GOALS_MAX];
    size_t      goal_count;
};

struct report *report_new(const char *path)
{
    struct report *report = xcalloc(1, sizeof *report);
    if (path != NULL && (report->file = fopen(path, "w")) == NULL)
        panic("%s cannot be written", path);
    return report;
}

void report_line(struct report *report, const char *format, ...)
{
    FILE *const outputs[] = { stdout, report->file };
    for (size_t i = 0; i < ARRAY_COUNT(outputs) && outputs[i] != NULL; i++) {
        va_list arguments;
        va_start(arguments, format);
        vfprintf(outputs[i], format, arguments);
        va_end(arguments);
        fputc('\n', outputs[i]);
        fflush(outputs[i]);
    }
}

void report_goal(struct report *report, const char *what, struct spread measured, const char *unit,
                 enum goal_kind kind, double limit)
{
    assert(report->goal_count < GOALS_MAX);
    report->goals[report->goal_count++] = (struct goal){ what, unit, measured, kind, limit };
}

/* By the median: one run on a busy machine proves nothing either way. */
static bool is_met(const struct goal *goal)
{
    return goal->kind == AT_MOST ? goal->measured.median <= goal->limit
                                 : goal->measured.median >= goal->limit;
}

size_t report_end(struct report *report)
{
    size_t missed = 0;
    if (report->goal_count > 0) {
        report_line(report, "\n## Goals\n\n| goal | | min | median | max | |\n|---|---|---|---|---|---|");
        for (size_t i = 0; i < report->goal_count; i++) {
            const struct goal *goal = &report->goals[i];
            missed += !is_met(goal);
            report_line(report, "| %s | %s %.4g %s | %.4g | **%.4g** | %.4g | %s |", goal->what,
                        goal->kind == AT_MOST ? "at most" : "at least", goal->limit, goal->unit,
                        goal->measured.min, goal->measured.median, goal->measured.max,
                        is_met(goal) ? "met" : "**missed**");
        }
    }
    if (report->file != NULL)
        fclose(report->file);
    free(report);
    return missed;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct spread spread_of(double *values, size_t count)
{
    assert(count > 0);
    qsort(values, count, sizeof(double), compare);
    double median = count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    return (struct spread){ values[0], median, values[count - 1] };
}
