/* hedge.h - a second try beside the first, where that one takes longer than it should: who answers
 * first serves the client, the other is cancelled.
 *
 * Only where the upstream asks for it (its field `hedging`), for requests that may be repeated and
 * are at hand whole, once a request, at another target, and out of the budget for repeating
 * (proxy/limits.h). An answer of 500 or more doesn't win while the first try is still awaited.
 *
 * Thread: the worker's. Memory: from the worker's spare list, while a try might be hedged. */
#ifndef PROXY_HEDGE_H
#define PROXY_HEDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exchange;

/* The wheel for these delays: finer than the one for time-outs. */
#define HEDGE_TICK_MS 5

/* The request has been sent: a second try is due when no answer comes for long enough. */
void hedge_arm(struct exchange *x);

/* Bytes of an answer came, or the try is over: there is, or will be, no second one. For an exchange
 * that has a hedge. */
void hedge_cancel(struct exchange *x);

/* The first try of an exchange that has a hedge failed. True where the second one is under way: it
 * is the exchange's try from now on. The failed one has been left. */
bool hedge_take_over(struct exchange *x);

/* How long targets take, for upstreams that measure when to hedge; when a try is left. */
void hedge_learn(const struct exchange *x, uint64_t waited_ms);

/* Frees one of the spare list, by its link. */
struct list;
void hedge_free(struct list *link);

/* What happens on the second try's connection. May end the exchange. */
void hedge_connected(struct exchange *x, int error);
void hedge_upstream_bytes(struct exchange *x, const char *bytes, size_t len);
void hedge_upstream_ended(struct exchange *x, int error);

#endif
