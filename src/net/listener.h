/* listener.h - addresses to listen on, and the sockets behind them.
 *
 * Thread: any for the functions. Memory: specs are plain values. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/str.h"

#define LISTENER_MAX 16

struct listener_spec {
    struct sockaddr_storage address; /* the port may be 0 in tests: the kernel chooses */
    char text[64];                   /* "0.0.0.0:8000", as configured */
    uint16_t port;
    int backlog;                  /* for listen() */
    bool has_reuseport, has_bind; /* accepted for Kong's sake; weir always does both */
    bool is_deferred;             /* wake up for the first bytes, not for the handshake */
    bool is_tls;                  /* ssl: clients speak TLS */
    bool is_http2;                /* clients may speak HTTP/2: by ALPN, else by its preface */
    bool has_proxy_protocol;      /* a load balancer says first whose connection it is */
    bool is_kept_alive;           /* TCP keep-alive on accepted connections */
    bool is_v6_only; /* as nginx: on unless ipv6only=off, so v4 can have its own line */
};

/* Parses Kong's grammar: "off" (count 0) or a comma list of "<ip|[v6]>:<port> flags…". Flags that
 * are built: ssl, http2, proxy_protocol, reuseport, bind, deferred, backlog=N, so_keepalive=on|off,
 * ipv6only=on|off; http3 and the like are errors that say the flag is not built yet. 0 or UV_EINVAL
 * with *err (field: `name`). */
int listener_parse(struct str text, const char *name, struct listener_spec specs[LISTENER_MAX],
                   unsigned *ret_count, struct error *err);

/* A bound, non-blocking, close-on-exec TCP socket with SO_REUSEADDR, TCP_NODELAY (accepted sockets
 * inherit it), and SO_REUSEPORT if asked; not listening yet. *err names the address. 0 and *ret_fd,
 * or a negative UV_E…. */
int listener_bind(const struct listener_spec *spec, bool reuse_port, int *ret_fd,
                  struct error *err);

/* Whether nobody listens there. Sockets with SO_REUSEPORT share a port even between two nodes of
 * one user, so a node asks this before its workers bind theirs. 0, or a negative UV_E… with *err as
 * listener_bind does. */
int listener_check_free(const struct listener_spec *spec, struct error *err);

#endif
