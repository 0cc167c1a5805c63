/* snapshot_build.h - compiles the configuration into a snapshot, and tells discovery which
 * upstreams it wants.
 *
 * Thread: control. Memory: the snapshot copies all it needs; config is only borrowed. */
#ifndef CONTROL_SNAPSHOT_BUILD_H
#define CONTROL_SNAPSHOT_BUILD_H

#include "base/error.h"
#include "control/wants.h"
#include "discovery/registry.h"
#include "model/config.h"
#include "model/row_cache.h"
#include "model/snapshot.h"

/* What one build leaves for the next; zeroed: nothing. */
struct build_cache {
    struct row_cache services, routes;
    struct wants_cache wants;
    struct snapshot *last; /* a reference */
    uint64_t builds;       /* so far */
};
void build_cache_deinit(struct build_cache *cache);

/* 0 and an owned snapshot: the caller publishes it and then ends the registry's round
 * (registry_end), which lets go what only the snapshot before wanted. On UV_EINVAL *err names the
 * route or service that cannot be compiled; then, and on UV_ENOMEM, the registry still serves what
 * it served before. *cache, empty at first, holds what one build leaves for the next, of one and
 * the same config and registry. */
int snapshot_build(const struct config *config, struct registry *registry,
                   struct build_cache *cache, uint64_t version, struct snapshot **ret,
                   struct error *err);

#endif
