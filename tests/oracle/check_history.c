/* check_history.c: reads histories from stdin and judges them, one by one and together: for what real SDKs made.
 *
 * A frame is a length (4 bytes, big endian) and that many bytes. First the ids of workflows whose activities operators changed,
 * a frame each, and an empty one. Then the runs: each a frame with its id, one for each encoded
 * GetWorkflowExecutionHistoryResponse, and an empty one. All are of one namespace. Each problem is one line of the output, the
 * last line says how much was judged; the exit code is 0 when there was none.
 */
#include <stdio.h>

#include "oracle.h"

#define FRAME_MAX (UINT32_C(256) << 20)

struct run_read {
    struct bytes *events;
    size_t        count, capacity;
};

static unsigned problems;

static void report(void *context UNUSED, enum oracle_check check, const char *text)
{
    printf("%s: %s\n", oracle_check_name(check), text);
    problems++;
}

/* False at the end of the input; a frame that is cut ends the program. */
static bool read_frame(struct arena *arena, struct bytes *ret_frame)
{
    uint8_t head[4];
    size_t  got = fread(head, 1, sizeof(head), stdin);
    if (got == 0)
        return false;
    uint32_t size = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    uint8_t *base = size > FRAME_MAX ? NULL : arena_must(arena_alloc(arena, size + 1));
    if (got != sizeof(head) || base == NULL || fread(base, 1, size, stdin) != size) {
        fprintf(stderr, "a frame is cut, or too long\n");
        exit(2);
    }
    *ret_frame = bytes_of(base, size);
    return true;
}

static void add_page(struct run_read *run, struct bytes page, struct arena *arena)
{
    struct workflowservice_GetWorkflowExecutionHistoryResponse response;
    struct error                                               error;
    if (pb_decode(&pb_workflowservice_GetWorkflowExecutionHistoryResponse, page, arena, &response, &error) !=
        ST_OK) {
        fprintf(stderr, "a page does not decode: %s\n", error.message);
        exit(2);
    }
    size_t more = response.history == NULL ? 0 : response.history->events_count;
    if (run->count + more > run->capacity) {
        run->capacity = (run->count + more) * 2;
        run->events = xrealloc(run->events, run->capacity * sizeof(run->events[0]));
    }
    for (size_t i = 0; i < more; i++)
        run->events[run->count++] = response.history->events[i];
}

int main(void)
{
    struct oracle *oracle = oracle_new(report, NULL);
    struct bytes   run_id, page, workflow_id;
    struct arena   arena;
    unsigned       runs = 0;
    arena_init(&arena, SIZE_MAX);
    while (read_frame(&arena, &workflow_id) && workflow_id.size != 0)
        oracle_activities_changed(oracle, workflow_id);
    while (read_frame(&arena, &run_id)) {
        struct run_read run = { 0 };
        while (read_frame(&arena, &page) && page.size != 0)
            add_page(&run, page, &arena);
        oracle_history(oracle, run_id, run.events, run.count);
        free(run.events);
        runs++;
        arena_reset(&arena);
    }
    oracle_audit(oracle);
    printf("%u histories, %" PRIu64 " events, %u problems\n", runs, oracle_judged(oracle), problems);
    oracle_free(oracle);
    arena_release(&arena);
    return problems == 0 ? 0 : 1;
}
