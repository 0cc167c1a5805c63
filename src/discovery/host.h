/* host.h - what the host of a service means: an address, a Consul service, a DNS name.
 *
 * Thread: any. Memory: slices into the host. */
#ifndef DISCOVERY_HOST_H
#define DISCOVERY_HOST_H

#include <sys/socket.h>

#include "base/str.h"
#include "net/ip.h"

enum host_kind {
    HOST_ADDRESS, /* an IP literal */
    HOST_DNS,     /* localhost, or a name with dots */
    HOST_CONSUL, /* [tag.]name.service[.<place>].consul, or RFC 2782's _name._tag.service…: any of
                    "<ns>.ns", "<partition>.ap", "<dc>.dc", "<peer>.peer"; or "[<ns>.]<dc>" */
    HOST_EITHER, /* a single label: a Consul service of that name, or a name that DNS knows */
};

struct host {
    enum host_kind kind;
    union ip_address address; /* of HOST_ADDRESS; port 0 */
    struct str name;          /* the DNS name, without the final dot */
    struct str service, tag;  /* for Consul; all but the service may be empty */
    struct str datacenter, namespace, partition, peer;
};

/* Every text means something: what is no more than a strange name is left to DNS to refuse. */
void host_classify(struct str text, struct host *ret);

#endif
