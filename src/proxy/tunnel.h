/* tunnel.h - an exchange whose upstream has switched to another protocol (WebSocket and the like):
 * from its 101 on bytes go both ways as they come (RFC 9110, section 7.8; RFC 6455). Its client is
 * a connection of HTTP/1, or a stream of HTTP/2 that was opened by CONNECT for WebSocket (RFC
 * 8441).
 *
 * A client that ends its side is passed on as such; when the upstream ends, so does the exchange.
 * A tunnel in which nothing moves for the service's read_timeout is closed.
 *
 * Thread: the worker's. Memory: the exchange's. */
#ifndef PROXY_TUNNEL_H
#define PROXY_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>

struct exchange;
struct http_head;

/* Whether the upstream is to be asked for what this request's Upgrade names. Not for h2c nor TLS,
 * which would carry requests past every check of ours, nor for a request with content. */
bool tunnel_is_wanted(const struct http_head *request);

/* The upstream has switched and its 101 is written: what the client sent early goes to it. */
void tunnel_begin(struct exchange *x);

/* What happens in a tunnel. None of these ends the exchange; it may be over (RESPONSE_DONE,
 * is_client_gone). */
void tunnel_from_client(struct exchange *x, const char *bytes, size_t len);
void tunnel_from_upstream(struct exchange *x, const char *bytes, size_t len);
void tunnel_client_ended(struct exchange *x, int error);
void tunnel_upstream_ended(struct exchange *x, int error);
void tunnel_upstream_drained(struct exchange *x);
/* Nothing has moved for too long. */
void tunnel_timed_out(struct exchange *x);

#endif
