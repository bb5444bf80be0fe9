/* order.h: rows in the order of their keys: a skip list whose shape depends on the history of insertions only.
 *
 * Owns:    its nodes, not the rows.
 * Thread:  the owner's; no locks.
 */
#ifndef STORE_MEMORY_ORDER_H
#define STORE_MEMORY_ORDER_H
#include "base/base.h"

#define ORDER_LEVELS 16

struct order_node {
    void              *row;
    struct order_node *next[]; /* of the node's own number of levels */
};
struct order {
    int (*compare)(const void *a,
                   const void *b); /* by the key's fields; a key is a row with those fields set */
    struct order_node *first[ORDER_LEVELS];
    size_t             count;
    uint64_t           draw; /* of levels */
};
void order_init(struct order *order, int (*compare)(const void *a, const void *b));
/* Frees the nodes, and every row too with `free_row` (NULL: they belong to someone else). */
void order_release(struct order *order, void (*free_row)(void *row));
/* Each returns the row that was there, or NULL. */
void *order_find(const struct order *order, const void *key);
void *order_put(struct order *order, void *row);
void *order_take(struct order *order, const void *key);
/* The first row above the key (or at it, if `inclusive`), from which node->next[0] goes on; NULL: none. */
struct order_node *order_above(const struct order *order, const void *key, bool inclusive);
/* The last row below the key (or at it); NULL: none. */
void *order_below(const struct order *order, const void *key, bool inclusive);
#endif
