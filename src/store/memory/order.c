/* order.c: a skip list with a quarter of the nodes on each next level. */
#include "store/memory/order.h"

void order_init(struct order *order, int (*compare)(const void *a, const void *b))
{
    *order = (struct order){ .compare = compare, .draw = UINT64_C(0x2545F4914F6CDD1D) };
}

void order_release(struct order *order, void (*free_row)(void *row))
{
    for (struct order_node *node = order->first[0], *next; node != NULL; node = next) {
        next = node->next[0];
        if (free_row != NULL)
            free_row(node->row);
        free(node);
    }
    order_init(order, order->compare);
}

static int draw_levels(struct order *order)
{
    uint64_t draw = order->draw;
    draw ^= draw << 13;
    draw ^= draw >> 7;
    draw ^= draw << 17;
    order->draw = draw;
    int levels = 1;
    while (levels < ORDER_LEVELS && (draw & 3) == 0) {
        levels++;
        draw >>= 2;
    }
    return levels;
}

/* Per level the link that leads to the first row at or above the key. A node at level i has at least i + 1 levels, so
 * the links of a node may be taken for a head from there. */
static void find_links(const struct order *order, const void *key, bool past_equal,
                       struct order_node ***links)
{
    struct order_node **level_links = (struct order_node **)(uintptr_t)order->first;
    for (int level = ORDER_LEVELS - 1; level >= 0; level--) {
        for (struct order_node *node; (node = level_links[level]) != NULL; level_links = node->next) {
            int sign = order->compare(node->row, key);
            if (sign > 0 || (sign == 0 && !past_equal))
                break;
        }
        links[level] = &level_links[level];
    }
}

void *order_find(const struct order *order, const void *key)
{
    struct order_node **links[ORDER_LEVELS];
    find_links(order, key, false, links);
    struct order_node *node = *links[0];
    return node != NULL && order->compare(node->row, key) == 0 ? node->row : NULL;
}

void *order_put(struct order *order, void *row)
{
    struct order_node **links[ORDER_LEVELS];
    find_links(order, row, false, links);
    struct order_node *node = *links[0];
    if (node != NULL && order->compare(node->row, row) == 0) {
        void *old = node->row;
        node->row = row;
        return old;
    }
    int levels = draw_levels(order);
    node = xmalloc(sizeof *node + (size_t)levels * sizeof node->next[0]);
    node->row = row;
    for (int level = 0; level < levels; level++) {
        node->next[level] = *links[level];
        *links[level] = node;
    }
    order->count++;
    return NULL;
}

void *order_take(struct order *order, const void *key)
{
    struct order_node **links[ORDER_LEVELS];
    find_links(order, key, false, links);
    struct order_node *node = *links[0];
    if (node == NULL || order->compare(node->row, key) != 0)
        return NULL;
    for (int level = 0; level < ORDER_LEVELS && *links[level] == node; level++)
        *links[level] = node->next[level];
    void *row = node->row;
    free(node);
    order->count--;
    return row;
}

struct order_node *order_above(const struct order *order, const void *key, bool inclusive)
{
    struct order_node **links[ORDER_LEVELS];
    find_links(order, key, !inclusive, links);
    return *links[0];
}

void *order_below(const struct order *order, const void *key, bool inclusive)
{
    struct order_node *const *level_links = order->first;
    struct order_node        *last = NULL;
    for (int level = ORDER_LEVELS - 1; level >= 0; level--) {
        for (struct order_node *node; (node = level_links[level]) != NULL; level_links = node->next) {
            int sign = order->compare(node->row, key);
            if (sign > 0 || (sign == 0 && !inclusive))
                break;
            last = node;
        }
    }
    return last == NULL ? NULL : last->row;
}
