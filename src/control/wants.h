/* wants.h - tells discovery which upstreams a configuration wants: its upstream entities, and the
 * hosts of services that name none. What hasn't changed since the build before is wanted as it was,
 * without being read again.
 *
 * Thread: control. Memory: the cache holds references to rows. */
#ifndef CONTROL_WANTS_H
#define CONTROL_WANTS_H

#include "base/str.h"
#include "discovery/registry.h"
#include "model/config.h"
#include "model/row_cache.h"
#include "model/snapshot.h"

/* Stamps of the tables that upstreams are made of. */
struct wants_stamps {
    uint64_t upstreams, targets, orders, certificates;
};

/* What one build leaves for the next; zeroed: nothing. */
struct wants_cache {
    struct row_cache upstreams;
    struct wants_stamps stamps;
};
void wants_cache_deinit(struct wants_cache *cache);

/* The row of the upstream that a service's host names, borrowed until the next change; NULL: none.
 */
const struct packed_row *wants_upstream_of(const struct config *config, struct str host);
/* Whether any row of an upstream is another one than when the cache was filled. */
bool wants_has_other_upstreams(const struct wants_cache *cache, const struct config *config);

/* Begins a round of the registry and wants all that the configuration does; gives each of the
 * snapshot's services its upstream. What isn't wanted any more goes on serving the snapshot before,
 * until registry_end. 0 or UV_ENOMEM: then the cache is empty, and no compiled service may be used
 * again. */
int wants_tell(struct wants_cache *cache, const struct config *config, struct registry *registry,
               struct snapshot *snapshot);

#endif
