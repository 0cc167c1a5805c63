/* pool_explain.h - what probes, live traffic and orders say of one target at this moment, as JSON
 * for people.
 *
 * Thread: the control loop. Memory: the body is the caller's. */
#ifndef HEALTH_POOL_EXPLAIN_H
#define HEALTH_POOL_EXPLAIN_H

#include <jansson.h>

#include "health/pool_health.h"

/* Puts "health", "probe", "passive", "order" and "panic" into `body`; docs/health.md explains them.
 * A target that is no member of the pool is none of those. */
void pool_explain_target(const struct pool_health *pool, const struct target_state *target,
                         json_t *body);

#endif
