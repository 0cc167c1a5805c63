/* access.h - the steps in which plugins have their say: before an upstream is asked, and before the
 * client is answered.
 *
 * Thread: the exchange's worker. */
#ifndef PROXY_ACCESS_H
#define PROXY_ACCESS_H

#include <stdbool.h>

struct exchange;

/* False: x->answer says what to answer. */
bool access_exchange(struct exchange *x);

/* The head of an upstream's response (x->reply) is about to be written. Only where plugins run
 * (x->plugins); once an exchange. False: plugins had no memory for what they do to it. */
bool access_response(struct exchange *x);
/* The same for weir's own answer, which is a bare 500 then. */
void access_answer(struct exchange *x);

#endif
