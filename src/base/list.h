/*
 * A doubly-linked list whose nodes are part of what they link.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A list's head, or a node in it. A node that is zeroed is in no list. */
struct list {
    struct list *previous, *next;
};

/* What a node is part of. in: type and member: where in it the node is */
#define LIST_OWNER(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* Make an empty list of a head. */
static inline void list_init(struct list *head)
{
    head->previous = head->next = head;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

/* Is the node in a list? */
static inline bool list_holds(const struct list *node)
{
    return node->next != NULL;
}

/* Add a node at the end. needs: !list_holds(node) */
static inline void list_append(struct list *head, struct list *node)
{
    node->previous = head->previous;
    node->next = head;
    head->previous->next = node;
    head->previous = node;
}

/* Take a node out, if it is in one. */
static inline void list_remove(struct list *node)
{
    if (!list_holds(node))
        return;
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->previous = node->next = NULL;
}

/* Move all nodes to the end of another list. */
static inline void list_move_all(struct list *from, struct list *to)
{
    if (list_is_empty(from))
        return;
    from->next->previous = to->previous;
    to->previous->next = from->next;
    from->previous->next = to;
    to->previous = from->previous;
    list_init(from);
}

#endif
