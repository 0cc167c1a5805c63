/* client_address.h - who sent a request, where proxies that are trusted stand in between.
 *
 * As nginx's realip module: the address in a header is taken for the client's when the connection
 * comes from a trusted proxy. Headers from anyone else say nothing.
 *
 * Thread: any. Memory: the caller's. */
#ifndef PROXY_CLIENT_ADDRESS_H
#define PROXY_CLIENT_ADDRESS_H

#include <stdbool.h>

#include "base/str.h"
#include "http/message.h"
#include "net/cidr.h"

#define CLIENT_ADDRESS_BYTES 46 /* an IPv6 address as text, with its terminator */

/* Set at start. */
struct client_trust {
    struct cidr_set proxies;
    struct str header; /* borrowed: "X-Real-IP", "X-Forwarded-For" or any other */
    bool is_recursive; /* proxies that are trusted are stepped over, from the last one back */
};

/* The client's address by the request's head, whose sender has to be trusted. Of a list the last
 * address counts, or the last that is no trusted proxy's; what is none ends the search. The text is
 * in `out`; empty when the header names nobody, and then it is the peer's. */
struct str client_address_find(const struct client_trust *trust, const struct http_head *head,
                               char out[CLIENT_ADDRESS_BYTES]);

/* An address as text in `out`, which it returns; empty when it cannot be written. */
struct str client_address_write(const struct cidr_address *address, char out[CLIENT_ADDRESS_BYTES]);

#endif
