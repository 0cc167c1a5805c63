/* upstream_health.h - GET /upstreams/{u}/health: the targets of an upstream and whether they take
 * traffic.
 *
 * Stored targets come first, in the order of their list. Behind them come the discovered ones,
 * which no row stores: they have the same shape with "id", "created_at" and "updated_at" null and
 * "tags" null, and an extra "discovery" object that names the Consul instance and node. (Clients
 * made for Kong read target, weight and health, and take a null id as absent; an id made up here
 * would lead them to paths that answer 404.)
 *
 * A target's word is Kong's: DNS_ERROR when no address is known for it; HEALTHCHECKS_OFF when
 * nothing judges it (no checks are set up, or its weight is 0); else HEALTHY or UNHEALTHY. Consul
 * judges what it knows: a discovered target is HEALTHY or UNHEALTHY with or without checks of ours.
 *
 * Ours besides, at each address that takes no traffic (or would take none but for panic):
 * "reasons", as the log names them, and "why", the last news of it. At the top of
 * ?balancer_health=1: "panic".
 *
 * Thread: control. */
#ifndef ADMIN_UPSTREAM_HEALTH_H
#define ADMIN_UPSTREAM_HEALTH_H

#include "admin/request.h"
#include "model/upstream_state.h"

void admin_upstream_health(struct admin_request *request);

/* The upstream as it is in force; NULL: not yet. Borrowed. */
struct upstream_state *admin_upstream_state(struct admin_request *request, const json_t *upstream);
/* Whether the stored target `row` is where this one comes from. */
bool admin_is_target_of(const json_t *row, const struct target_state *target);

#endif
