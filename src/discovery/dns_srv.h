/* dns_srv.h - SRV records to targets; no sockets.
 *
 * Thread: any. Memory: the list is the caller's. */
#ifndef DISCOVERY_DNS_SRV_H
#define DISCOVERY_DNS_SRV_H

#include "discovery/source.h"
#include "net/resolver.h"

/* Sealed, of all priorities. Consul's names of addresses ("0a000001.addr.dc1.consul") are decoded
 * here, so that nobody has to be asked for them; so are those of another domain, if `asked`, the
 * name that was asked for, is a service of it ("users.service.corp"). 0 or UV_ENOMEM. */
int dns_srv_list(const struct resolver_services *services, struct str asked,
                 struct discovered_list **ret);

#endif
