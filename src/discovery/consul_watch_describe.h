/* consul_watch_describe.h - what a Consul watch tells of itself in GET /discovery.
 *
 * Thread: the control loop. Memory: none of its own. */
#ifndef DISCOVERY_CONSUL_WATCH_DESCRIBE_H
#define DISCOVERY_CONSUL_WATCH_DESCRIBE_H

#include "discovery/source.h"

/* For source.describe: address, query, phase, index, what is held, left out and missed. */
void consul_watch_describe(const struct source *source, json_t *body);

#endif
