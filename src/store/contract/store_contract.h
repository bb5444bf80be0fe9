/* store_contract.h: the suite that every store passes.
 *
 * A test binary describes its store as a subject and adds the suite to its tests; each test opens the store empty, on the
 * test's thread, which is also the lane. Not part of the product.
 */
#ifndef STORE_CONTRACT_STORE_CONTRACT_H
#define STORE_CONTRACT_STORE_CONTRACT_H
#include "store/store.h"

struct CMUnitTest;

struct store_contract_subject {
    const char *name;
    /* Opens the store at its place, which keeps its rows between two opens if it is durable. */
    struct store *(*open)(const struct store_contract_subject *subject);
    /* Removes everything at its place; called while it is closed. NULL: there is none. */
    void (*remove)(const struct store_contract_subject *subject);
    /* Makes progress on the caller's thread; NULL: the store has threads. False: there was nothing to do. */
    bool (*pump)(struct store *store);
    bool durable;
};
/* Adds the tests at tests[*count]; at most `capacity` in total. */
void store_contract_add(const struct store_contract_subject *subject, struct CMUnitTest *tests, size_t *count,
                        size_t capacity);
#endif
