/* main.c: perdure-sim --seed S [--runs N] [--verbose] [--twice] */
#include <stdio.h>

#include "base/log.h"
#include "sim.h"

static uint64_t number(const char *text)
{
    char    *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, runs = 1, failed = 0, all = 0;
    bool     verbose = false, twice = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = number(argv[++i]);
        } else if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
            runs = number(argv[++i]);
        } else if (strcmp(argv[i], "--verbose") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--twice") == 0) {
            twice = true;
        } else {
            fprintf(stderr, "usage: perdure-sim [--seed S] [--runs N] [--verbose] [--twice]\n");
            return 2;
        }
    }
    log_set_level(verbose ? LOG_INFO : LOG_OFF);
    for (uint64_t i = 0; i < runs; i++) {
        uint64_t trace, again;
        if (!sim_run(seed + i, NULL, verbose, &trace))
            failed++;
        if (twice && (!sim_run(seed + i, NULL, false, &again) || again != trace)) {
            fprintf(stderr, "seed %" PRIu64 ": two runs differ (%016" PRIx64 ", %016" PRIx64 ")\n", seed + i,
                    trace, again);
            failed++;
        }
        all ^= trace;
    }
    printf("%" PRIu64 " runs from seed %" PRIu64 ", %" PRIu64 " failed, trace %016" PRIx64 "\n", runs, seed,
           failed, all);
    return failed == 0 ? 0 : 1;
}
