/* least_connections.h - the target with the fewest exchanges under way for its weight.
 *
 * Each worker counts its own: they see the same targets, so what is busy for one is busy for all. A
 * target that has nothing under way when its turn comes is taken at once, so that an idle pool is
 * used in turns, by weight.
 *
 * Thread: the picking worker's. Memory: none. */
#ifndef BALANCE_LEAST_CONNECTIONS_H
#define BALANCE_LEAST_CONNECTIONS_H

#include "balance/choice.h"

/* In larger pools the least among so many that come next is taken, to keep a pick O(1). */
#define LEAST_CONNECTIONS_MAX_LOOK 64

const struct endpoint *least_connections_pick(const struct choice *choice);

#endif
