/* priorities.h - who takes the traffic while there is enough of it: SRV records of the lowest
 * priority, and the next helps out as long as less than half of that before it can; of Consul's
 * instances, where the near ones are wanted, the nearest, as long as 70 % of them can.
 *
 * Thread: control. Memory: none. */
#ifndef DISCOVERY_PRIORITIES_H
#define DISCOVERY_PRIORITIES_H

#include "discovery/endpoint_set.h"
#include "model/endpoints.h"

/* items[n] belongs to the set's entry n: those that are to stand by get the weight 0. One
 * upstream has priorities of one kind. */
void priorities_apply(const struct endpoint_set *set, struct endpoint *items);

#endif
