/* consul_catalog.h - follows Consul's list of services and their tags by one blocking query.
 *
 * The list only ever says where to look: what has gone from it, its services' own watches find out.
 *
 * Thread: the control loop. Memory: frees itself after consul_catalog_close. */
#ifndef DISCOVERY_CONSUL_CATALOG_H
#define DISCOVERY_CONSUL_CATALOG_H

#include <jansson.h>

#include "discovery/consul.h"

struct consul_catalog;

/* {"service": ["tag", …], …}, borrowed during the call; it may not close the catalog. */
struct consul_catalog_news {
    const json_t *services;
    uint64_t index;  /* Consul's; 0: unknown */
    bool may_differ; /* from what was told before; tags or what the list doesn't show */
};

typedef void (*consul_catalog_cb)(void *owner, const struct consul_catalog_news *news);

/* 0 or UV_ENOMEM. */
int consul_catalog_open(struct consul *consul, consul_catalog_cb on_services, void *owner,
                        struct consul_catalog **ret);
/* As a watch of GET /discovery (explain.h); owned, NULL without memory. */
json_t *consul_catalog_describe(const struct consul_catalog *catalog);
void consul_catalog_close(struct consul_catalog *catalog, void (*closed)(void *arg), void *arg);

#endif
