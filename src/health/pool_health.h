/* pool_health.h - how the targets of one upstream are, and why: where Consul's verdict, probes,
 * live traffic and orders come together. What they add up to is board.h's.
 *
 * State belongs to the target, not to the configuration: it stays over discovery updates and
 * changes of the rules, and comes back with a target that returns within five minutes.
 *
 * Thread: the control loop. Memory: owned by its upstream in discovery/; references rules and
 * targets. */
#ifndef HEALTH_POOL_HEALTH_H
#define HEALTH_POOL_HEALTH_H

#include <stdbool.h>
#include <stddef.h>

#include "health/monitor.h"
#include "health/passive.h"
#include "model/upstream_state.h"

struct health_order; /* health/pool_orders.h */
struct pool_health;

/* Words have changed: the endpoints are to be made new. */
typedef void (*pool_health_replan_cb)(void *owner);

/* Sets state->health. `state` is borrowed and outlives the pool. 0 or UV_ENOMEM. */
int pool_health_create(struct monitor *monitor, struct upstream_state *state,
                       pool_health_replan_cb replan, void *owner, struct pool_health **ret);
void pool_health_destroy(struct pool_health *pool); /* NULL is fine */

/* References `rules`; NULL: none. What only the old ones could have found ends with them. */
void pool_health_set_rules(struct pool_health *pool, struct health_rules *rules);

/* One round of the targets that there are: begin, meet each, end. `consul` is what Consul says
 * (TARGET_OUT_CONSUL, TARGET_OUT_MAINTENANCE or 0). Who was not met has left. Afterwards all words
 * are as they should be. meet returns 0 or UV_ENOMEM. */
void pool_health_begin(struct pool_health *pool);
int pool_health_meet(struct pool_health *pool, struct target_state *target, uint32_t weight,
                     uint32_t consul);
void pool_health_end(struct pool_health *pool);

/* A worker's news. */
void pool_health_hear(struct pool_health *pool, struct target_state *target,
                      const struct passive_news *news);
/* A probe's (for the monitor). */
void pool_health_hear_probe(struct check_watch *watch, const struct probe_result *result);

/* Somebody's order: healthy forgets all that probes, traffic and orders have said; unhealthy stands
 * until the next such order, or until enough probes in a row succeed. */
void pool_health_order(struct pool_health *pool, struct target_state *target, bool is_healthy);
/* The orders that are stored about this pool's targets, all of them; borrowed. New ones are carried
 * out at once. Those that were there when the pool was made, or when a target joins, are so where
 * they stand and no probes would bring the target back. 0 or UV_ENOMEM. */
int pool_health_set_orders(struct pool_health *pool, const struct health_order *orders,
                           size_t count);
/* Whether probes bring back what is out. */
bool pool_health_heals(const struct pool_health *pool);

bool pool_health_has_checks(const struct pool_health *pool);
bool pool_health_is_panicking(const struct pool_health *pool);
/* Why the target's word last changed, for people; "" when it never did. Borrowed. */
const char *pool_health_why(const struct pool_health *pool, const struct target_state *target);

/* For the monitor. */
struct pool_health *pool_health_of_dirty_link(struct list *link);
void pool_health_replan(struct pool_health *pool);

#endif
