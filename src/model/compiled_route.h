/* compiled_route.h - a route's row in the form that workers need, kept from one snapshot to the
 * next for as long as the row stays: most changes leave nearly all rows alone.
 *
 * Thread: made by control, then immutable; the last snapshot that holds it may go on any thread.
 * Memory: one block with all its texts. The cache is control's. */
#ifndef MODEL_COMPILED_ROUTE_H
#define MODEL_COMPILED_ROUTE_H

#include <stdatomic.h>
#include <stddef.h>

#include <jansson.h>

#include "model/snapshot.h"

struct compiled_route {
    _Atomic uint32_t refs;
    struct route route;    /* without its service and meter, which are the snapshot's */
    struct str service_id; /* empty: none */
};

/* With one reference; NULL when memory is short. Copies all it needs of the row. */
struct compiled_route *compiled_route_create(const json_t *row);
struct compiled_route *compiled_route_ref(struct compiled_route *compiled);
void compiled_route_unref(struct compiled_route *compiled); /* NULL is fine */

/* What goes from one snapshot to the next: the routes of the last one, in list order, and who may
 * use them. */
struct route_cache {
    struct consumers *consumers;       /* a reference; NULL: none yet */
    struct route_cache_entry *entries; /* owned */
    size_t count, capacity;
};

struct route_cache_entry {
    json_t *row; /* a reference: while it is held, no other row can have this address */
    struct compiled_route *compiled; /* a reference */
};

/* Walks through `before` in step with rows in list order. */
struct route_cache_cursor {
    const struct route_cache *before;
    size_t at;
};

/* The row's compiled form, borrowed from `now`, to which it is added: that of `before` where the
 * row was there, else a new one. NULL when memory is short. */
struct compiled_route *route_cache_next(struct route_cache_cursor *cursor, struct route_cache *now,
                                        const json_t *row);
void route_cache_deinit(struct route_cache *cache); /* zeroed is fine */

/* The bit of a protocol's name; 0: it is none. */
uint32_t protocol_bit(struct str name);

#endif
