/* mutant.c: the one planted defect of this process. Empty but in a build for planted defects. */
#include "base/mutant.h"

#ifdef PERDURE_MUTANTS
#include <stdio.h>

enum mutant mutant_planted = MUTANT_NONE;

static const char *const names[MUTANT_COUNT] = {
#define X(name, rule) [MUTANT_##name] = #name,
#include "base/mutants.def"
#undef X
};

void mutant_plant(void)
{
    const char *wanted = getenv("PERDURE_MUTANT");
    if (wanted == NULL || *wanted == '\0')
        return;
    for (int i = MUTANT_NONE + 1; i < MUTANT_COUNT; i++) {
        if (strcmp(names[i], wanted) == 0)
            mutant_planted = (enum mutant)i;
    }
    if (mutant_planted == MUTANT_NONE) {
        fprintf(stderr, "no mutant is called %s\n", wanted);
        exit(2);
    }
}
#endif
