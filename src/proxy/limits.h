/* limits.h - how much repeating a worker allows an upstream, so that targets in trouble get no
 * second flood.
 *
 * Tries that reached a target may be repeated for 20 % of the requests, and 10 times a second
 * besides, which keeps quiet upstreams going. A try that was refused burdens nobody and is repeated
 * freely.
 *
 * Thread: the worker's. Memory: none; the counts are in struct upstream_slot. */
#ifndef PROXY_LIMITS_H
#define PROXY_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/snapshot.h"

#define LIMITS_RETRY_PERCENT 20
#define LIMITS_RETRIES_PER_S 10  /* of each worker and upstream, whatever the traffic */
#define LIMITS_SAVED_RETRIES 500 /* what a quiet time leaves for a bad moment */
#define LIMITS_LEAST_TOTAL_MS 10000

/* Takes one retry out of the budget; false when it is spent. slot->first_tries is the caller's to
 * count up. */
bool limits_take_retry(struct upstream_slot *slot, uint64_t now_ms);

/* No try is begun later than that after its request: the sum of the service's three time-outs, as
 * one try may take as long, but at least LIMITS_LEAST_TOTAL_MS. */
uint64_t limits_total_ms(const struct service *service);

#endif
