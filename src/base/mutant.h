/* mutant.h: planted defects, for the tests of the tests. `MUTANT(name)` stands where the rule is that `name` breaks.
 *
 * A build with -DPERDURE_MUTANTS=ON holds all of them and plants the one that the environment names, at its
 * start and never again. In every other build MUTANT is the constant false: nothing of it is compiled. tools/mutants runs
 * each of them until a test sees it; mutants.def says which rule each breaks.
 */
#ifndef BASE_MUTANT_H
#define BASE_MUTANT_H
#include "base/base.h"

#ifdef PERDURE_MUTANTS
enum mutant {
    MUTANT_NONE,
#define X(name, rule) MUTANT_##name,
#include "base/mutants.def"
#undef X
    MUTANT_COUNT
};
extern enum mutant mutant_planted; /* written by mutant_plant only, before there are threads */
#define MUTANT(name) __builtin_expect(mutant_planted == MUTANT_##name, 0)

/* The mains of test binaries and of the server call it: what PERDURE_MUTANT names, nothing when it is not set. An unknown name ends the process. */
void mutant_plant(void);
#else
#define MUTANT(name) false
static inline void mutant_plant(void) {}
#endif
#endif
