/* spares.h - structs of a worker that wait for their next use instead of being freed.
 *
 * What a busy time has left behind is given back: each SPARES_INTERVAL_MS those go that nobody
 * needed since the last look, so that a steady load keeps what it uses and allocates nothing.
 *
 * Thread: the worker's. Memory: a list owns its items. */
#ifndef PROXY_SPARES_H
#define PROXY_SPARES_H

#include <stdbool.h>

#include "base/list.h"
#include "base/timer_wheel.h"

#define SPARES_MAX 1024 /* of one kind */
/* Long enough that a load with pauses keeps its structs, short enough to be seen on a graph. */
#define SPARES_INTERVAL_MS 5000

/* Structs of one kind, the last one given back first. */
struct spare_list {
    struct list items;
    unsigned count;
    unsigned least; /* the smallest count since the last look: so many were not needed */
};

struct worker;

/* NULL when there is none: the caller allocates. */
static inline struct list *spare_list_take(struct spare_list *spares)
{
    if (spares->count == 0)
        return NULL;
    struct list *item = spares->items.next;
    list_remove(item);
    if (--spares->count < spares->least)
        spares->least = spares->count;
    return item;
}

/* False when there are enough: the caller frees. */
static inline bool spare_list_keep(struct spare_list *spares, struct list *item)
{
    if (spares->count >= SPARES_MAX)
        return false;
    list_push_front(&spares->items, item);
    spares->count++;
    return true;
}

void spares_init(struct worker *worker);
/* Frees all; the lists can be used further. */
void spares_free(struct worker *worker);

/* A client has left: what it no longer needs is looked after, soon. */
void spares_look_later(struct worker *worker);

#endif
