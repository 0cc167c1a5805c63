/* handshake_limit.h - how many TLS handshakes a second a node begins, of all clients and of each:
 * one costs as much as a hundred requests, and whoever asks for it pays next to nothing.
 *
 * Clients are told apart by address, those of IPv6 by their /64.
 *
 * Thread: any; workers share it. Memory: one heap object. */
#ifndef PROXY_HANDSHAKE_LIMIT_H
#define PROXY_HANDSHAKE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct handshake_limit;

enum handshake_verdict { HANDSHAKE_MAY = 0, HANDSHAKE_RATE, HANDSHAKE_CLIENT_RATE };

/* Handshakes a second, of all and of one client; 0: any number. 0 or UV_ENOMEM. */
int handshake_limit_create(uint32_t per_s, uint32_t per_client_s, struct handshake_limit **ret);
void handshake_limit_destroy(struct handshake_limit *limit); /* NULL is fine */

/* Takes one handshake of the client at `address`, a text. A trusted one is many clients and is
 * bound by the limit of all alone. */
enum handshake_verdict handshake_limit_take(struct handshake_limit *limit, struct str address,
                                            bool is_trusted, uint64_t now_ms);

/* Whether a line about a refusal may be written now, one a second for all threads; then
 * *ret_unlogged is how many have been refused without one since the last. */
bool handshake_limit_may_log(struct handshake_limit *limit, uint64_t now_ms,
                             uint64_t *ret_unlogged);

#endif
