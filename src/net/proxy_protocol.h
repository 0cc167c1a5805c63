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
    struct sockaddr_storage client;
};

/* Reads the header that `bytes` begin with. On DONE *ret is set. */
enum proxy_protocol_result proxy_protocol_read(const char *bytes, size_t len,
                                               struct proxy_protocol *ret);

#endif
