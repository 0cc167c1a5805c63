/* request.h - the client's half of an exchange: its head, and its content on the way to the
 * upstream, kept for another try as long as that stays small.
 *
 * Thread: the worker's. Memory: the exchange's. */
#ifndef PROXY_REQUEST_H
#define PROXY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct exchange;
struct http2_head;
struct target_state;
struct upstream_conn;

/* Ready for the first bytes. */
void request_begin(struct exchange *x);

/* Takes bytes from the client: may complete the head, pass on content, refuse the request
 * (refused_status), or give back what belongs to the next one (downstream_keep_early). Never ends
 * the exchange. */
void request_take(struct exchange *x, const char *bytes, size_t len);

/* The same for requests of HTTP/2, whose parts come one by one: the head (which may have been
 * refused), content, the end with trailer lines, or without. */
void request_take_head(struct exchange *x, const struct http2_head *head, bool is_last);
void request_take_content(struct exchange *x, struct str bytes);
void request_take_end(struct exchange *x, struct str trailers);

/* False, and the request is refused: more content has come than a plugin allows. */
bool request_check_size(struct exchange *x);

/* Sends the head and all content so far to the upstream of this try. */
void request_send(struct exchange *x);

/* Writes the same to another target beside it; all content must be at hand. 0, or a negative
 * UV_E…: UV_ENOBUFS when the head has become too long. */
int request_send_to(struct exchange *x, const struct target_state *target,
                    struct upstream_conn *conn);

/* Reads from the client, or stops, as the upstream can take more or not. */
void request_steer(struct exchange *x);

/* No upstream will get the rest of the content any more. */
void request_drop_rest(struct exchange *x);

#endif
