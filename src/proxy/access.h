/* access.h - the step in which plugins have their say before an upstream is asked.
 *
 * Thread: the exchange's worker. */
#ifndef PROXY_ACCESS_H
#define PROXY_ACCESS_H

#include <stdbool.h>

struct exchange;

/* False: x->answer says what to answer. */
bool access_exchange(struct exchange *x);

#endif
