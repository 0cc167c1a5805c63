/* snapshot_build.h - compiles the configuration into a snapshot, and tells discovery which
 * upstreams it wants.
 *
 * Thread: control. Memory: the snapshot copies all it needs; config is only borrowed. */
#ifndef CONTROL_SNAPSHOT_BUILD_H
#define CONTROL_SNAPSHOT_BUILD_H

#include "base/error.h"
#include "discovery/registry.h"
#include "model/compiled_route.h"
#include "model/config.h"
#include "model/snapshot.h"

/* 0 and an owned snapshot. On UV_EINVAL *err names the route or service that cannot be compiled;
 * then, and on UV_ENOMEM, the registry still serves what it served before. *cache, empty at first,
 * holds what one build leaves for the next. */
int snapshot_build(const struct config *config, struct registry *registry,
                   struct route_cache *cache, uint64_t version, struct snapshot **ret,
                   struct error *err);

#endif
