/* consistent_hash.h - the same key to the same target, on every node; a target that comes or goes
 * moves its own keys and no others.
 *
 * Each target has points on a ring by its name and weight, and a key belongs to the first point
 * after it. Targets that can't take it now are stepped over but keep their points, so its keys come
 * back to a target that recovers. A target that has more than 1.25 times its part of what is under
 * way is stepped over too (bounded load), but for keys that stand for sessions.
 *
 * Thread: consistent_hash_plan on control, before the endpoints are published; the rest the picking
 * worker's. */
#ifndef BALANCE_CONSISTENT_HASH_H
#define BALANCE_CONSISTENT_HASH_H

#include "balance/choice.h"

#define CONSISTENT_HASH_MAX_LOAD_PERCENT 125
/* So many under way, in one worker, are never too much: at low load keys stay where they are. */
#define CONSISTENT_HASH_FREE_LOAD 8

/* Fills endpoints->ring from the weights. 0 or UV_ENOMEM. */
int consistent_hash_plan(struct endpoints *endpoints);

/* For a query that has a hash. */
const struct endpoint *consistent_hash_pick(const struct choice *choice);

uint64_t consistent_hash_key(struct str key);

#endif
