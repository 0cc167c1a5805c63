/* dns.h - sources that ask the DNS again whenever the last answer has expired: addresses of a name
 * (hosts file first), and SRV records. One query is under way for a name at any time.
 *
 * A name that can't be looked up keeps its last answer without limit. One that is said not to exist
 * is asked for once more before that is believed, and so is an answer that would take half of the
 * targets away. Where an answer may have been cut, several are put together.
 *
 * Thread: the control loop. Memory: a source frees itself after source_close. */
#ifndef DISCOVERY_DNS_H
#define DISCOVERY_DNS_H

#include "discovery/source.h"
#include "net/resolver.h"

/* The name's addresses of both families, port 0. News comes later, never before return. 0 or
 * UV_ENOMEM. */
int dns_open(uv_loop_t *loop, struct resolver *resolver, struct str name,
             struct source_owner *owner, struct source **ret);

/* The targets of the SRV records, with their ports, weights and priorities; their hosts may be
 * names. Same rules. */
int dns_srv_open(uv_loop_t *loop, struct resolver *resolver, struct str name,
                 struct source_owner *owner, struct source **ret);

#endif
