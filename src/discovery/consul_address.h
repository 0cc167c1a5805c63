/* consul_address.h - one address of Consul's, as it was written, and what libcurl must be told for
 * it.
 *
 * Thread: any. Memory: owns its strings. */
#ifndef DISCOVERY_CONSUL_ADDRESS_H
#define DISCOVERY_CONSUL_ADDRESS_H

#include <stdint.h>

#include <curl/curl.h>

#include "base/str.h"

#define CONSUL_IP_BYTES 64

struct consul_address {
    char *url;                     /* as it was written, for logs; without a final slash */
    char *base;                    /* what queries begin with */
    char *socket_path;             /* NULL: TCP */
    struct curl_slist *connect_to; /* where `base` names the certificate's host; or NULL */
    /* The name may fail while the agent does not: it was here when it answered last. */
    char last_ip[CONSUL_IP_BYTES]; /* empty: it never has */
    struct curl_slist *to_last_ip; /* NULL: its name is resolved */
    uint64_t to_last_since_ms;
};

/* `text` is a URL, "unix:///path", or either without "http://". `server_name`: in the server's
 * certificate, where it is not the address's host; may be NULL. 0 or UV_ENOMEM; deinit it anyway.
 */
int consul_address_init(struct consul_address *address, struct str text, const char *server_name);
/* Its name could not be resolved: for a while it is where it was. Harmless when that is unknown. */
void consul_address_use_last_ip(struct consul_address *address, uint64_t now_ms);
/* What libcurl is to be told: CURLOPT_CONNECT_TO's value, borrowed until the next call. */
struct curl_slist *consul_address_route(struct consul_address *address, uint64_t now_ms);
void consul_address_deinit(struct consul_address *address);

#endif
