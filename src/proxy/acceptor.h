/* acceptor.h - a worker's listening sockets: takes clients in, as many as it may have.
 *
 * Beyond the limit new clients wait in the kernel's queue, so that the process never runs out of
 * descriptors: it would then refuse the Admin API, and targets, too. Connections that are idle make
 * room first.
 *
 * Thread: the worker's, but for acceptor_open and what says otherwise. Memory: embedded in the
 * worker. */
#ifndef PROXY_ACCEPTOR_H
#define PROXY_ACCEPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "base/error.h"
#include "net/listener.h"

#define ACCEPTOR_MAX (2 * LISTENER_MAX) /* for requests, and for streams */

struct tls_server;
struct worker;

struct acceptor {
    uv_tcp_t tcp; /* its data points to the acceptor */
    struct worker *worker;
    uint16_t port;
    bool is_open;
    bool is_tls;
    bool owns_tls;           /* it asks something of its clients that others don't */
    bool checks_server_name; /* a request must be for the host that its handshake named */
    bool offers_http2;
    bool has_proxy_protocol;
    bool is_for_streams;    /* its clients are relays: proxy/relay.h */
    struct tls_server *tls; /* the worker's, or its own; NULL: none */
    bool is_holding; /* a client is accepted by libuv, which asks for no other until we take it */
};

/* Binds and listens. On failure *err names the address, and acceptors_close is still due. */
int acceptor_open(struct worker *worker, struct acceptor *acceptor,
                  const struct listener_spec *spec, bool is_for_streams, struct error *err);

/* Takes all in that waits in the queues, whatever the limit: closing a listener resets those. */
void acceptors_drain(struct worker *worker);
void acceptors_close(struct worker *worker);

/* A client has gone: one that waits may come in. */
void acceptors_resume(struct worker *worker);

#endif
