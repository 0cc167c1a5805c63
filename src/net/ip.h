/* ip.h - IP literals to socket addresses.
 *
 * Thread: any. Memory: none. */
#ifndef NET_IP_H
#define NET_IP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/str.h"

/* An address of IPv4 or IPv6 with its port, in 28 bytes; sockaddr_storage takes 128, for each of
 * many targets. */
union ip_address {
    struct sockaddr any; /* any.sa_family says which; AF_UNSPEC: none */
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* "10.0.0.1", "::1" or "[::1]". False, and *ret untouched, when `text` is no IP address. */
bool ip_parse(struct str text, uint16_t port, union ip_address *ret);
void ip_set_port(union ip_address *address, uint16_t port);
/* Whether this machine knows a way to there; no packet is sent. */
bool ip_is_routable(const union ip_address *address);
uint16_t ip_port(const union ip_address *address);
/* IPv4 before IPv6, then by number, then by port: <0, 0 or >0. */
int ip_compare(const union ip_address *a, const union ip_address *b);

#endif
