/* explain.h - what is known of sources and targets, and why, as JSON for people: GET /discovery and
 * GET /upstreams/{u}/targets/explain.
 *
 * Thread: the control loop. Memory: what is returned is the caller's; NULL without memory. */
#ifndef DISCOVERY_EXPLAIN_H
#define DISCOVERY_EXPLAIN_H

#include <jansson.h>

#include "discovery/endpoint_set.h"
#include "discovery/source.h"
#include "model/upstream_state.h"

const char *explain_kind(enum source_kind kind); /* "consul", "dns", "dns-srv", "static" */

/* What became of asking: "age", "changed_age", "reads", "wake_ups", "changes", "errors", "stale",
 * "last_error". */
json_t *explain_account(const struct source_account *account, uint64_t now_ms);
/* One watch. */
json_t *explain_source(const struct source *source, uint64_t now_ms);

/* All targets of an upstream; `set` NULL: none are known. */
json_t *explain_targets(const struct endpoint_set *set, struct upstream_state *state);

#endif
