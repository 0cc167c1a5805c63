/* relay.h - a stream: a client's connection that is passed on to a target as bytes, by the routes
 * with protocols tcp, tls and tls_passthrough.
 *
 * Where it goes is decided when it begins, by its addresses and, on listeners of TLS, by the server
 * name in its ClientHello. Targets are picked, tried and judged like those of requests. Bytes go
 * both ways with backpressure; an end of one side is passed on, a reset too.
 *
 * Thread: its worker's. Memory: one block a stream, one a connection to a target; neither holds a
 * buffer while bytes flow. It keeps no configuration in use: what its route says is copied. */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include <uv.h>

struct acceptor;
struct worker;

/* Takes the waiting connection of a listener, or one that is already accepted. */
void relay_accept(const struct acceptor *acceptor, uv_stream_t *listener);
void relay_adopt(const struct acceptor *acceptor, int fd);

/* Upstreams have other endpoints: those that wait for their first ones go on. */
void relay_endpoints_changed(struct worker *worker);
/* Some target has left: one that is still being connected to is not waited for. */
void relay_targets_left(struct worker *worker);
/* The worker stops and does not wait any longer: all are cut. */
void relay_cut_all(struct worker *worker);

#endif
