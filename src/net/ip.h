/* ip.h - IP literals to socket addresses.
 *
 * Thread: any. Memory: none. */
#ifndef NET_IP_H
#define NET_IP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/str.h"

/* "10.0.0.1", "::1" or "[::1]". False, and *ret untouched, when `text` is no IP address. */
bool ip_parse(struct str text, uint16_t port, struct sockaddr_storage *ret);
void ip_set_port(struct sockaddr_storage *address, uint16_t port);
/* Whether this machine knows a way to there; no packet is sent. */
bool ip_is_routable(const struct sockaddr_storage *address);
uint16_t ip_port(const struct sockaddr_storage *address);
/* IPv4 before IPv6, then by number, then by port: <0, 0 or >0. */
int ip_compare(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

#endif
