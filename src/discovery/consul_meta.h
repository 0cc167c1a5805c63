/* consul_meta.h - which services have an instance that claims routes by its meta.
 *
 * Consul's list of services (consul_catalog.h) shows no meta, and of one service after another it
 * would take thousands of reads to know. So it is asked what its own user interface asks, all
 * services in one, with a filter on their instances: what comes back are those that claim. The read
 * doesn't block, as any check anywhere would wake it; the list's wakes say when to ask.
 *
 * Like the list it only ever says where to look. A Consul that doesn't answer it is logged, and
 * routes of tags go on.
 *
 * Thread: the control loop. Memory: frees itself after consul_meta_close. */
#ifndef DISCOVERY_CONSUL_META_H
#define DISCOVERY_CONSUL_META_H

#include <jansson.h>

#include "discovery/consul.h"

struct consul_meta;

/* [{"Name": "service", …}, …], borrowed during the call; it may not close. */
typedef void (*consul_meta_cb)(void *owner, const json_t *services);

/* 0 or UV_ENOMEM. */
int consul_meta_open(struct consul *consul, consul_meta_cb on_services, void *owner,
                     struct consul_meta **ret);
/* Something may have changed by that index of Consul's (0: unknown): asks, soon. */
void consul_meta_ask(struct consul_meta *meta, uint64_t index);
/* {"known": how many or null, "age", "reads", "errors", "last_error", …}; owned, NULL without
 * memory. */
json_t *consul_meta_describe(const struct consul_meta *meta);
void consul_meta_close(struct consul_meta *meta, void (*closed)(void *arg), void *arg);

#endif
