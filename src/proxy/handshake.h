/* handshake.h - the TLS handshakes of clients: whether one may begin, and what is counted of it.
 *
 * Thread: the worker's. Memory: none. */
#ifndef PROXY_HANDSHAKE_H
#define PROXY_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct downstream;
struct stream;
struct worker;

/* False when there are too many, which is counted and logged: the connection is to be closed. */
bool handshake_may_begin(struct downstream *conn);

void handshake_succeeded(struct downstream *conn);
void handshake_failed(struct downstream *conn);    /* by an alert, or the client's leaving */
void handshake_timed_out(struct downstream *conn); /* does nothing when none is under way */

/* The same for a client that is no downstream: a stream's (proxy/relay.h). */
struct handshake_client {
    struct worker *worker;
    const struct stream *stream;
    struct str peer;
    uint16_t port; /* the listener's */
    bool is_trusted;
};

bool handshake_client_may_begin(const struct handshake_client *client);
void handshake_client_succeeded(const struct handshake_client *client);
void handshake_client_failed(const struct handshake_client *client);
void handshake_client_timed_out(const struct handshake_client *client);

#endif
