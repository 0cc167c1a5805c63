/* dns_message.h - the SRV records of a DNS answer, as it came from the wire; no sockets.
 *
 * Only records that answer the question count: those of its name, or of the name that its aliases
 * lead to. Other sections and other types are passed over.
 *
 * Thread: any. Memory: texts go to the caller's arena. */
#ifndef NET_DNS_MESSAGE_H
#define NET_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define DNS_MESSAGE_MAX_SERVICES 4096 /* more don't fit into 64 KiB, one by one */

#define DNS_MESSAGE_SKIPPED_MAX 8

struct dns_service {
    const char *host; /* without the final dot, in lower case; "" for the root */
    uint16_t port;
    uint16_t priority; /* the lowest is to be used first */
    uint16_t weight;
};

struct dns_services {
    struct dns_service *items;
    unsigned count;
    unsigned skipped_count;                       /* whose target is no name that a host may have */
    unsigned skipped_at[DNS_MESSAGE_SKIPPED_MAX]; /* the first of them, by place: from 1 */
    uint32_t ttl_s; /* the shortest of what counted; 0 when nothing did */
    bool has_edns;  /* the server speaks EDNS, so it had more than 512 bytes */
};

/* 0, with as many as there are (none: the name exists, but has no such record); UV_EPROTO for what
 * is no whole and sound answer; UV_ELOOP where aliases lead in a circle or too far; UV_ENOMEM. */
int dns_message_read_services(const uint8_t *bytes, size_t len, struct arena *arena,
                              struct dns_services *ret);

#endif
