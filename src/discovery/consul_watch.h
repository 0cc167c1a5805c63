/* consul_watch.h - a source that follows one service in Consul by blocking queries.
 *
 * Thread: the control loop. Memory: frees itself after source_close. */
#ifndef DISCOVERY_CONSUL_WATCH_H
#define DISCOVERY_CONSUL_WATCH_H

#include "discovery/consul.h"
#include "discovery/consul_parse.h"
#include "discovery/source.h"

struct consul_service {
    struct str name;
    /* Empty: the agent's own, or none. */
    struct str datacenter, namespace, partition, peer;
    struct str filter;      /* Consul's expression; empty: none */
    const struct str *tags; /* instances must have all of them */
    size_t tag_count;
    bool is_cached;          /* the agent may answer from its cache */
    struct consul_view view; /* which instances count, and where they are */
};

/* Copies *service. News comes later, never before return. 0 or UV_ENOMEM. */
int consul_watch_open(struct consul *consul, const struct consul_service *service,
                      struct source_owner *owner, struct source **ret);

#endif
