/* list.h: a doubly linked list whose links live in its members. A member is in at most one list per link. */
#ifndef BASE_LIST_H
#define BASE_LIST_H
#include "base/base.h"

struct list {
    struct list *next, *previous; /* of a head: first and last; of a member that is in no list: itself */
};

static inline void list_init(struct list *list)
{
    list->next = list->previous = list;
}
static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}
/* Whether a member is in some list. Its link must have been initialised. */
static inline bool list_linked(const struct list *link)
{
    return link->next != link;
}
static inline void list_insert_before(struct list *position, struct list *link)
{
    link->previous = position->previous;
    link->next = position;
    position->previous->next = link;
    position->previous = link;
}
static inline void list_append(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}
static inline void list_prepend(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}
/* Safe on a member that is in no list. */
static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}
/* Takes the first member out; NULL when empty. */
static inline struct list *list_take_first(struct list *head)
{
    if (list_empty(head))
        return NULL;
    struct list *first = head->next;
    list_remove(first);
    return first;
}
/* Moves all members of `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}
#define LIST_ENTRY(link, type, member) CONTAINER_OF(link, type, member)
/* The current member may be removed in the body. */
#define LIST_FOR_EACH(variable, head, type, member)                                                          \
    for (struct list *list_at_##variable = (head)->next, *list_next_##variable = list_at_##variable->next;   \
         list_at_##variable != (head);                                                                       \
         list_at_##variable = list_next_##variable, list_next_##variable = list_at_##variable->next)         \
        for (type *variable = LIST_ENTRY(list_at_##variable, type, member); variable != NULL; variable = NULL)
#endif
