/* consul_routes.h - makes routes, services and upstreams of what instances in Consul claim by their
 * tags and meta (discovery/announced.h), as rows of the configuration that live in memory alone.
 *
 * What is written by hand comes first. Of two services that claim the same, the higher priority
 * wins, then the one with more instances; the other is logged, and keeps its other routes.
 *
 * Thread: control. Memory: owns what it remembers of its rows. */
#ifndef CONTROL_CONSUL_ROUTES_H
#define CONTROL_CONSUL_ROUTES_H

#include "discovery/registry.h"
#include "model/config.h"

struct consul_routes;

/* 0 or UV_ENOMEM. */
int consul_routes_create(struct consul_routes **ret);
void consul_routes_destroy(struct consul_routes *routes); /* NULL is fine */

/* Returns whether it has changed anything. Makes the configuration's made rows what the claims of
 * this moment ask for. To be called before each snapshot: the rows that are written by hand may
 * have changed too. NULL is fine. */
bool consul_routes_apply(struct consul_routes *routes, const struct registry *registry,
                         struct config *config);

#endif
