/* stream_router.h - from a connection of which no request is known to its route: by where it comes
 * from and goes to, and by the server name that its TLS asks for.
 *
 * Of the routes that fit, that one wins which names more of snis, sources and destinations; then
 * the one whose name is exact, or has the longer wildcard; then the one with the narrower
 * destinations, then sources; then the older one.
 *
 * A name costs a look into a table, however many routes have one; all else is tried one by one.
 *
 * Thread: built by control, then immutable and shared by workers. Memory: owns its tables; borrows
 * the routes, which must outlive it (both hang on one snapshot). */
#ifndef PROXY_STREAM_ROUTER_H
#define PROXY_STREAM_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "model/snapshot.h"
#include "net/cidr.h"

struct stream_router;

struct stream_query {
    struct cidr_address source, destination;
    uint16_t source_port, destination_port;
    uint32_t protocols;     /* bits: those of which a route must have one */
    struct str server_name; /* in lower case; empty: none. Without TLS names are no matter */
    bool is_tls;
};

/* 0 and an owned router, of those routes that are for streams, or UV_ENOMEM. */
int stream_router_create(const struct route *routes, uint32_t count, struct stream_router **ret);
void stream_router_destroy(struct stream_router *router); /* NULL is fine */

/* NULL when no route matches. Allocates nothing. */
const struct route *stream_router_find(const struct stream_router *router,
                                       const struct stream_query *query);

#endif
