/* compiled_route.h - a route's row in the form that workers need, kept from one snapshot to the
 * next for as long as the row stays (row_cache.h).
 *
 * Thread: made by control, then immutable; the last snapshot that holds it may go on any thread.
 * Memory: one block with all its texts but the id, which is the row's. */
#ifndef MODEL_COMPILED_ROUTE_H
#define MODEL_COMPILED_ROUTE_H

#include <stdatomic.h>
#include <stddef.h>

#include <jansson.h>

#include "model/packed_row.h"
#include "model/snapshot.h"

struct compiled_route {
    _Atomic uint32_t refs;
    bool has_service;
    struct packed_row *row;           /* a reference; the route's id is in it */
    struct route route;               /* without its service and meter, which are the snapshot's */
    struct compiled_service *service; /* control's: what was found last; a reference, or NULL */
};

/* With one reference; NULL when memory is short. `row` is what `packed` holds: it is copied, as far
 * as it is needed, and `packed` kept. */
struct compiled_route *compiled_route_create(const struct packed_row *packed, const json_t *row);
struct compiled_route *compiled_route_ref(struct compiled_route *compiled);
void compiled_route_unref(struct compiled_route *compiled); /* NULL is fine */

/* The bit of a protocol's name; 0: it is none. */
uint32_t protocol_bit(struct str name);

#endif
