/* compiled_route.h - a route's row in the form that workers need, kept from one snapshot to the
 * next for as long as the row stays (row_cache.h).
 *
 * Thread: made by control, then immutable; the last snapshot that holds it may go on any thread.
 * Memory: one block with all its texts. */
#ifndef MODEL_COMPILED_ROUTE_H
#define MODEL_COMPILED_ROUTE_H

#include <stdatomic.h>
#include <stddef.h>

#include <jansson.h>

#include "model/snapshot.h"

struct compiled_route {
    _Atomic uint32_t refs;
    struct route route;               /* without its service and meter, which are the snapshot's */
    struct str service_id;            /* empty: none */
    struct compiled_service *service; /* control's: what was found by that last; a reference */
};

/* With one reference; NULL when memory is short. Copies all it needs of the row. */
struct compiled_route *compiled_route_create(const json_t *row);
struct compiled_route *compiled_route_ref(struct compiled_route *compiled);
void compiled_route_unref(struct compiled_route *compiled); /* NULL is fine */

/* The bit of a protocol's name; 0: it is none. */
uint32_t protocol_bit(struct str name);

#endif
