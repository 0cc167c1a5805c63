/* upstream_side.h - an exchange's upstream, whichever it is: a connection of HTTP/1 that it has for
 * itself, or a lane on one of HTTP/2.
 *
 * Thread: the worker's. Memory: none. */
#ifndef PROXY_UPSTREAM_SIDE_H
#define PROXY_UPSTREAM_SIDE_H

#include "proxy/exchange.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_http2.h"

/* Bytes of the request that wait to be taken. */
static inline size_t upstream_side_queued(const struct exchange *x)
{
    return __builtin_expect(x->lane != NULL, 0) ? upstream_lane_queued(x->lane)
                                                : stream_queued(&x->upstream->stream);
}

static inline bool upstream_side_is_reading(const struct exchange *x)
{
    return __builtin_expect(x->lane != NULL, 0) ? x->lane->stream.is_reading
                                                : x->upstream->stream.is_reading;
}

#endif
