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
#include "net/ip.h"
#include "net/tls_server.h"

#define LISTENER_MAX 16
#define LISTENER_PATH_BYTES 256

/* What a listener asks of its TLS clients, where it says so itself. */
struct listener_clients {
    bool is_own; /* it does: it has the flag verify_client */
    bool has_depth;
    enum tls_client_check check;
    uint32_t depth;
    char ca_file[LISTENER_PATH_BYTES]; /* empty: as the settings say */
};

struct listener_spec {
    union ip_address address; /* the port may be 0 in tests: the kernel chooses */
    char text[64];            /* "0.0.0.0:8000", as configured */
    uint16_t port;
    int backlog;                  /* for listen() */
    bool has_reuseport, has_bind; /* accepted for Kong's sake; weir always does both */
    bool is_deferred;             /* wake up for the first bytes, not for the handshake */
    bool is_tls;                  /* ssl: clients speak TLS */
    bool is_http2;                /* clients may speak HTTP/2: by ALPN, else by its preface */
    bool has_proxy_protocol;      /* a load balancer says first whose connection it is */
    bool is_kept_alive;           /* TCP keep-alive on accepted connections */
    struct listener_clients clients;
    bool is_v6_only; /* as nginx: on unless ipv6only=off, so v4 can have its own line */
};

/* Parses Kong's grammar: "off" (count 0) or a comma list of "<ip|[v6]>:<port> flags…". Flags that
 * are built: ssl, http2, proxy_protocol, reuseport, bind, deferred, backlog=N, so_keepalive=on|off,
 * ipv6only=on|off, and with ssl verify_client=on|optional|off, client_certificate=<path> and
 * verify_depth=N; http3 and the like are errors that say the flag is not built yet. 0 or UV_EINVAL
 * with *err (field: `name`). */
int listener_parse(struct str text, const char *name, struct listener_spec specs[LISTENER_MAX],
                   unsigned *ret_count, struct error *err);

/* Puts what the listener asks of its clients itself in the place of what the settings say. The
 * settings borrow from `spec`. */
void listener_ask_clients(const struct listener_spec *spec, struct tls_server_settings *settings);

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
