/* upstream.h - one upstream that the configuration wants: from its spec and the sources behind it
 * to the endpoints that workers see.
 *
 * Thread: the control loop. Memory: owns a copy of its spec, holds references to its upstream state
 * and targets, and uses of its sources. */
#ifndef DISCOVERY_UPSTREAM_H
#define DISCOVERY_UPSTREAM_H

#include "base/list.h"
#include "discovery/registry.h"
#include "discovery/sources.h"
#include "health/monitor.h"

struct source_uses;
struct upstream;

/* What upstreams stand on; borrowed, outlives them. */
struct upstream_ground {
    struct sources *sources;
    struct monitor *monitor;
    uint32_t worker_count;
    void (*retire)(void *owner, struct endpoints *old);
    void *owner;
};

/* With the endpoints that are known at this moment. 0 or UV_ENOMEM. */
int upstream_create(const struct upstream_ground *ground, const struct upstream_spec *spec,
                    struct upstream **ret);
/* Takes a new spec; targets that stay keep their state. 0 or UV_ENOMEM: then the old one stays. */
int upstream_set_spec(struct upstream *upstream, const struct upstream_spec *spec);
/* A source has news: if it is one of ours, new endpoints are made and swapped in. */
void upstream_hear(struct upstream *upstream, const struct source *source);
struct upstream_state *upstream_get_state(struct upstream *upstream);

/* For /discovery: which sources it uses, what its targets came from, and what it is called; all
 * borrowed until the calling loop callback returns. No set (NULL): nothing is known yet. */
const struct source_uses *upstream_get_uses(const struct upstream *upstream);
const struct endpoint_set *upstream_get_set(const struct upstream *upstream);
const char *upstream_get_name(const struct upstream *upstream);

/* Nobody wants it any more: all targets leave, then it is destroyed. */
void upstream_withdraw(struct upstream *upstream);
/* Lets go of everything; what workers see stays as it is. NULL is fine. */
void upstream_destroy(struct upstream *upstream);

#endif
