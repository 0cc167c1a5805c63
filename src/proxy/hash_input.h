/* hash_input.h - finds in a request what its upstream hashes on: the client's address, a header, a
 * cookie, the path, a query argument or a part of the path that the route's regex names.
 *
 * Thread: the worker's. Memory: the exchange's arena. */
#ifndef PROXY_HASH_INPUT_H
#define PROXY_HASH_INPUT_H

struct exchange;
struct balancing;

/* Sets x->hash and x->has_hash: false where the request has neither what is hashed on nor the
 * fallback. A cookie that is missing is made up, and x->set_cookie then is a line for the response.
 */
void hash_input_find(struct exchange *exchange, const struct balancing *balancing);

#endif
