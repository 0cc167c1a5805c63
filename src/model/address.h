/* address.h - hosts as people write them: a name, an IPv4 or an IPv6 address, with or without a
 * port; read by Kong's rules, with its words for what is wrong.
 *
 * Thread: any. Memory: none; a name's slice borrows from the text. */
#ifndef MODEL_ADDRESS_H
#define MODEL_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum address_kind { ADDRESS_NAME, ADDRESS_IPV4, ADDRESS_IPV6 };

/* The longest IPv6 address written out, in brackets, and the terminator. */
#define ADDRESS_IP_BYTES 42

struct address {
    enum address_kind kind;
    struct str name;           /* ADDRESS_NAME: as written, without port */
    char ip[ADDRESS_IP_BYTES]; /* IPv4 without leading zeros; IPv6 in full, in lower case, no
                                  brackets */
    bool has_port;
    uint16_t port;
};

enum address_error { ADDRESS_FINE, ADDRESS_BAD_HOST, ADDRESS_BAD_PORT };

/* "name", "name:80", "1.2.3.4:80", "::1", "[::1]:80". What has two colons is taken for IPv6, what
 * is digits and dots for IPv4. *ret is set only when it is fine; but its kind always is. */
enum address_error address_parse(struct str text, struct address *ret);

/* An address, or one with the length of a network's prefix: "10.0.0.0/8", "fe80::/10". Zeros that
 * lead a number of an IPv4 address are refused: some take them for octal. */
bool address_is_ip_or_cidr(struct str text);

#endif
