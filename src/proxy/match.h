/* match.h - the first step of an exchange: from a whole request head to its route.
 *
 * Thread: the worker's. Memory: the exchange's arena. */
#ifndef PROXY_MATCH_H
#define PROXY_MATCH_H

#include <stdbool.h>

struct exchange;

/* Fills in uri, path, authority and match. False when weir has to answer itself: then `answer` or
 * refused_status is set. */
bool match_exchange(struct exchange *x);
/* Whether the route has a service that can be asked; else as above. */
bool match_service(struct exchange *x);

#endif
