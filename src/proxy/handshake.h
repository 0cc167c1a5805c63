/* handshake.h - the TLS handshakes of clients: whether one may begin, and what is counted of it.
 *
 * Thread: the worker's. Memory: none. */
#ifndef PROXY_HANDSHAKE_H
#define PROXY_HANDSHAKE_H

#include <stdbool.h>

struct downstream;

/* False when there are too many, which is counted and logged: the connection is to be closed. */
bool handshake_may_begin(struct downstream *conn);

void handshake_succeeded(struct downstream *conn);
void handshake_failed(struct downstream *conn);    /* by an alert, or the client's leaving */
void handshake_timed_out(struct downstream *conn); /* does nothing when none is under way */

#endif
