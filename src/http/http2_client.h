/* http2_client.h - the client's side of an HTTP/2 connection: a session that sends requests. How
 * bytes come and go, content is written and read, and flow control works, is http2.h's.
 *
 * A server can't push. What it may send ahead is bounded for each stream, by
 * HTTP2_CLIENT_STREAM_WINDOW, and for the connection only by what all of them may, so that one
 * whose response nobody takes holds up no other.
 *
 * Thread: one owner. Memory: as http2.h's. */
#ifndef HTTP_HTTP2_CLIENT_H
#define HTTP_HTTP2_CLIENT_H

#include "http/http2.h"

#define HTTP2_CLIENT_STREAM_WINDOW 131072

/* 0, or UV_ENOMEM. `owner` and *events are borrowed; max_streams is how many there may be at a time
 * where the server doesn't want fewer. */
int http2_client_create(const struct http2_events *events, void *owner, size_t max_head_bytes,
                        unsigned max_streams, uint64_t now_ms, struct http2_session **ret);

/* Whether another request can be sent: neither too many are under way, nor has the server said that
 * it goes. */
bool http2_client_has_room(const struct http2_session *session);
/* How many the server allows at a time, as far as is known. */
uint32_t http2_client_allowed(const struct http2_session *session);
/* Never again. */
bool http2_client_is_leaving(const struct http2_session *session);
/* The server has refused a stream, not yet released, for no reason but that there were others: no
 * more at a time than those. Each stream that ends well allows one more. */
void http2_client_lower_limit(struct http2_session *session);

/* Sends a request's head, which is as HTTP/1 writes it, in memory that is written to: names get
 * lower case, Host becomes :authority, fields of connections are left out. is_last: it has nothing
 * else; otherwise http2_stream_content and http2_stream_end follow. The stream is reading. 0, or a
 * negative UV_E…, and then there is nothing to release. */
int http2_client_open(struct http2_session *session, struct http2_stream *stream, struct str head,
                      bool is_secure, bool is_last);

#endif
