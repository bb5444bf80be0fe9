/* check_history.c: reads histories from stdin and judges them: for histories that real SDKs made.
 *
 * A frame is a length (4 bytes, big endian) and that many bytes: the run id as a frame of its own, then one encoded
 * temporal.api.history.v1.History. The answer to each is one line: "ok" or what is wrong, joined by "; ".
 */
#include <stdio.h>

#include "oracle.h"

#define FRAME_MAX (UINT32_C(256) << 20)

struct verdict {
    unsigned count;
};

static void report(void *context, enum oracle_check check, const char *text)
{
    struct verdict *verdict = context;
    printf("%s%s: %s", verdict->count++ == 0 ? "" : "; ", oracle_check_name(check), text);
}

static bool read_frame(uint8_t **ret_base, size_t *ret_size)
{
    uint8_t head[4];
    if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
        return false;
    uint32_t size = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    if (size > FRAME_MAX)
        return false;
    *ret_base = xmalloc(size + 1);
    *ret_size = size;
    if (fread(*ret_base, 1, size, stdin) == size)
        return true;
    free(*ret_base);
    return false;
}

int main(void)
{
    uint8_t *run_id, *wire;
    size_t   run_id_size, size;
    unsigned wrong = 0;
    while (read_frame(&run_id, &run_id_size)) {
        if (!read_frame(&wire, &size)) {
            free(run_id);
            return 2;
        }
        struct verdict         verdict = { 0 };
        struct oracle         *oracle = oracle_new(report, &verdict);
        struct history_History history;
        struct arena           arena;
        struct error           error;
        arena_init(&arena, SIZE_MAX);
        if (pb_decode(&pb_history_History, bytes_of(wire, size), &arena, &history, &error) != ST_OK) {
            printf("%s", error.message);
            verdict.count++;
        } else {
            oracle_history(oracle, bytes_of(run_id, run_id_size), history.events, history.events_count);
        }
        printf("%s\n", verdict.count == 0 ? "ok" : "");
        fflush(stdout);
        wrong += verdict.count != 0;
        oracle_free(oracle);
        arena_release(&arena);
        free(run_id);
        free(wire);
    }
    return wrong == 0 ? 0 : 1;
}
