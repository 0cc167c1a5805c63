/* pool_orders.h - the orders about an upstream's targets that are stored (model/health_order.c), as
 * its pool keeps them: which are new, and which one a target is under.
 *
 * Thread: the control loop. Memory: owns copies. */
#ifndef HEALTH_POOL_ORDERS_H
#define HEALTH_POOL_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "model/target_state.h"

struct health_order {
    struct str key;      /* of what is spoken of: one order each */
    struct str token;    /* new with each order */
    struct str host;     /* of the stored target; empty: a discovered one */
    uint16_t port;       /* … its port */
    struct str address;  /* "10.0.0.1:80"; empty: all addresses of the stored target */
    struct str instance; /* Consul's, of a discovered target; else empty */
    bool is_healthy;
    bool stands; /* holds until the next order, also for who starts later */
};

struct pool_orders {
    struct health_order *items; /* owned, with their texts */
    size_t count;
    bool is_known; /* has been set once */
};

void pool_orders_deinit(struct pool_orders *orders); /* zeroed is fine */

/* Takes copies in place of what was there, and calls fresh() for each that is new, those of whole
 * targets first; none is the first time. 0 or UV_ENOMEM: then nothing has changed. */
int pool_orders_set(struct pool_orders *orders, const struct health_order *items, size_t count,
                    void (*fresh)(void *arg, const struct health_order *order), void *arg);

bool health_order_is_about(const struct health_order *order, const struct target_state *target);
/* The order that the target is under: of its address, else of all; NULL: none. Borrowed. */
const struct health_order *pool_orders_find(const struct pool_orders *orders,
                                            const struct target_state *target);

#endif
