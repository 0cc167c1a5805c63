/* response.h - the upstream's half of an exchange: its response's head, rewritten, and its content
 * on the way to the client.
 *
 * Thread: the worker's. Memory: the exchange's. */
#ifndef PROXY_RESPONSE_H
#define PROXY_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "proxy/grpc.h"

struct exchange;
struct http2_head;

/* Ready for the first bytes of a try. */
void response_begin(struct exchange *x);

/* Takes bytes from the upstream and passes them on. May complete the response (response_part), fail
 * the try, or find that the client is gone. Never ends the exchange. */
void response_take(struct exchange *x, const char *bytes, size_t len);

/* The upstream has more of a large body: moves it to the client inside the kernel. False: it is to
 * be read. The same may happen as in response_take. */
bool response_move(struct exchange *x);

/* The same from HTTP/2, whose parts come one by one: heads, interim ones too (which may have been
 * refused), content, the end with trailer lines, or without; and that no more comes (`error`, or 0
 * and `reason` says it). */
void response_take_head(struct exchange *x, const struct http2_head *head, bool is_last);
void response_take_content(struct exchange *x, struct str bytes);
void response_take_end(struct exchange *x, struct str trailers);
void response_upstream_gone(struct exchange *x, int error, const char *reason);

/* A short response that is held back until it is whole has been for long enough. */
void response_let_go(struct exchange *x);

/* The upstream closed (error 0) or its connection failed: the end of the response or of the try. */
void response_upstream_ended(struct exchange *x, int error);

/* The try is over, however it went. */
void response_end(struct exchange *x);

/* Writes weir's own answer (exchange->answer). */
void response_answer(struct exchange *x);

/* A call by gRPC whose response has begun ends with that status, in trailers of weir's own. False:
 * it is none, or they have no place. */
bool response_end_call(struct exchange *x, enum grpc_status status);

/* Reads from the upstream, or stops, as the client can take more or not. */
void response_steer(struct exchange *x);

#endif
