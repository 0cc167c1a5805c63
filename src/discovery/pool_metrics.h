/* pool_metrics.h - what Prometheus is told of each upstream and its targets.
 *
 * Upstream entities have their name as label, as in Kong; the pool of a service whose host names no
 * upstream has "host:port", or "service:id:host:port" with health checks of its own.
 *
 * Thread: the control loop. Memory: none. */
#ifndef DISCOVERY_POOL_METRICS_H
#define DISCOVERY_POOL_METRICS_H

#include "base/metrics_text.h"
#include "discovery/endpoint_set.h"
#include "health/events.h"
#include "model/upstream_state.h"

/* Targets that have lines of their own; beyond, scrapes would only grow. */
#define POOL_METRICS_MAX_TARGETS 20000

enum pool_metric {
    POOL_TARGET_HEALTH = 0, /* Kong's family */
    POOL_TARGETS,
    POOL_USABLE_TARGETS,
    POOL_IN_FLIGHT,
    POOL_PENDING,
    POOL_PANIC,
    POOL_EVENTS,
    POOL_METRIC_COUNT,
};

/* A family: its head, then the lines of each pool. `key` is the registry's; `set` may be NULL;
 * *left counts down the targets that may still have lines. */
void pool_metrics_begin(enum pool_metric metric, struct metrics_text *text);
void pool_metrics_print(enum pool_metric metric, const char *key,
                        const struct upstream_state *state, const struct endpoint_set *set,
                        uint32_t *left, struct metrics_text *text);

void pool_metrics_print_events(const struct events *events, struct metrics_text *text);

#endif
