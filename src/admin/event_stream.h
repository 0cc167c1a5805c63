/* event_stream.h - GET /events: what happens to targets, discovery and configuration, as
 * server-sent events.
 *
 *     id: 17
 *     data: {"type":"target.health","upstream":"users","target":"10.0.0.1:80",…}
 *
 * A stream begins with what happens next, or with what is kept of the past: behind the number in
 * ?after= or in Last-Event-ID (0: from the oldest). A client that does not read is let go.
 *
 * Thread: control. Memory: each event is copied until it is sent, up to a limit. */
#ifndef ADMIN_EVENT_STREAM_H
#define ADMIN_EVENT_STREAM_H

#include <stdbool.h>

#include "admin/request.h"
#include "health/events.h"

struct stream; /* net/stream.h */

/* Embedded in a connection; zeroed at first. */
struct event_stream {
    struct events_listener listener;
    struct stream *out; /* borrowed */
    bool is_broken;     /* no more can be sent: the owner closes it with its next alive() */
};

/* The handler of GET /events. */
void admin_events(struct admin_request *request);

/* Sends the head, for web pages of that origin (empty: none), and what is kept behind number
 * `after`; from here on all that happens. */
void event_stream_begin(struct event_stream *stream, struct stream *out, struct events *events,
                        uint64_t after, struct str allowed_origin);
/* Sends a comment, so that a client that is gone shows. False when the stream has to be closed. */
bool event_stream_keep_alive(struct event_stream *stream);
void event_stream_end(struct event_stream *stream); /* twice is harmless */

#endif
