/* proxy_protocol.h - the PROXY protocol, versions 1 and 2: the line or block by which a load
 * balancer says, before anything else on a connection, whose connection it carries.
 *
 * The rules are those of HAProxy's doc/proxy-protocol.txt, sections 2.1 and 2.2. Bytes in, no
 * sockets.
 *
 * Thread: any. Memory: the caller's. */
#ifndef NET_PROXY_PROTOCOL_H
#define NET_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/str.h"
#include "net/ip.h"

/* The longest header that is taken. Version 2 could have 64 KiB of extensions, which nobody sends.
 */
#define PROXY_PROTOCOL_MAX_BYTES 4096

enum proxy_protocol_result {
    PROXY_PROTOCOL_MORE = 0, /* all so far may be the start of a header */
    PROXY_PROTOCOL_DONE,
    PROXY_PROTOCOL_REFUSED, /* no header, a bad one, or one that is too long */
};

struct proxy_protocol {
    size_t len;      /* of the header: what follows is the client's */
    bool has_client; /* false: the balancer speaks for itself (health checks), or doesn't know */
    union ip_address client;
};

/* Reads the header that `bytes` begin with. On DONE *ret is set. */
enum proxy_protocol_result proxy_protocol_read(const char *bytes, size_t len,
                                               struct proxy_protocol *ret);

/* Room for any header that is written: version 2, IPv6, and a server name. */
#define PROXY_PROTOCOL_WRITE_BYTES 320

enum proxy_protocol_version { PROXY_PROTOCOL_NONE = 0, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };

/* Writes a header for a TCP connection from `client` to `server`; where one of them is IPv6 and the
 * other not, the other is told as a mapped address. Version 2 tells `server_name` too (at most 255
 * bytes; empty: none). Returns its length; 0 for PROXY_PROTOCOL_NONE. */
size_t proxy_protocol_write(enum proxy_protocol_version version, const union ip_address *client,
                            const union ip_address *server, struct str server_name,
                            char out[PROXY_PROTOCOL_WRITE_BYTES]);

#endif
