/* client.h - what an exchange knows of its client: a few verbs, and on whose connection it came.
 *
 * Two things are one: a connection of HTTP/1 (downstream.h), which has one exchange after another,
 * and a stream of an HTTP/2 connection (multiplex.h), which has one. Heads cross as HTTP/1 writes
 * them, so that one reader judges all requests and one writer makes all responses; what differs is
 * how they, the content and its end look on the wire.
 *
 * Thread: its worker's. Memory: embedded in its owner. */
#ifndef PROXY_CLIENT_H
#define PROXY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "http/message.h"
#include "proxy/deadline.h"

struct client;
struct downstream;
struct exchange;
struct stream;

/* Some of a response, in the order in which it leaves. All borrowed during the call. */
struct client_part {
    struct str head; /* whole, with its empty line, in memory that may be written to; or empty */
    bool is_interim; /* it is a 1xx: another one follows */
    const struct str *pieces; /* of content, FRAMING_MAX_PIECES at most */
    unsigned count;
    size_t total; /* the sum of their lengths */
    enum http_framing framing;
    bool is_last;        /* the response ends here */
    struct str trailers; /* whole lines, with is_last */
};

struct client_verbs {
    /* Writes or queues. 0, or a negative UV_E… when nothing can be written any more. */
    int (*write)(struct client *client, const struct client_part *part);
    /* Reads the request on, or stops. 0 or a negative UV_E…. */
    int (*read)(struct client *client, bool is_wanted);
    /* The exchange is over and gone. keep_alive: another may follow; has_unread: the request was
     * not read to its end. */
    void (*exchange_ended)(struct client *client, bool keep_alive, bool has_unread);
    /* The same, without a whole response. must_reset: that must not look like one. */
    void (*break_off)(struct client *client, bool must_reset);
};

struct client {
    const struct client_verbs *verbs;
    struct downstream *conn; /* on which it came: its owner, or borrowed */
    struct exchange *exchange;
    struct stream *plain;     /* takes content as it is, unframed; borrowed; NULL: there is none */
    const size_t *queued;     /* bytes of the response that wait to be taken */
    const bool *is_reading;   /* whether more of the request may come */
    struct deadline deadline; /* for what the client has to do */
};

static inline size_t client_queued(const struct client *client)
{
    return *client->queued;
}

#endif
