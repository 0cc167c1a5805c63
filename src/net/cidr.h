/* cidr.h - sets of IP addresses, written as addresses and ranges: "10.0.0.0/8, ::1".
 *
 * IPv4 is kept as IPv4-mapped IPv6, so that a range means the same however a client came in.
 *
 * Thread: any; a set is not changed once it is made. Memory: the set owns its ranges. */
#ifndef NET_CIDR_H
#define NET_CIDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/str.h"

#define CIDR_MAX_RANGES 1024

struct cidr_address {
    uint8_t bytes[16];
};

struct cidr_range {
    struct cidr_address address;
    uint8_t bits; /* of the mapped form: 96 more than an IPv4 range's own */
};

struct cidr_set {
    struct cidr_range *ranges; /* owned; NULL when there are none */
    unsigned count;
    bool has_unix; /* "unix:" is in it */
};

void cidr_take_address(const struct sockaddr *from, struct cidr_address *ret);
/* Whether it is an IPv4 address, whose own bytes are the last four. */
bool cidr_is_v4(const struct cidr_address *address);
/* An address without mask or port, IPv6 with or without brackets. False when it is none. */
bool cidr_read_address(struct str text, struct cidr_address *ret);

/* An address, or a range of them. False when it is none. */
bool cidr_read_range(struct str text, struct cidr_range *ret);
bool cidr_range_has(const struct cidr_range *range, const struct cidr_address *address);

/* Reads a comma list of addresses, ranges and "unix:". 0; UV_EINVAL, and *ret_bad is the first item
 * that is none (in `text`); UV_ENOMEM. */
int cidr_set_init(struct cidr_set *set, struct str text, struct str *ret_bad);
void cidr_set_deinit(struct cidr_set *set); /* zeroed is fine */

bool cidr_set_has(const struct cidr_set *set, const struct cidr_address *address);

#endif
