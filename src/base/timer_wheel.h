/* timer_wheel.h - many coarse time-outs on one libuv timer.
 *
 * Arming and disarming cost a few pointer writes. A node fires at its time or up to one tick later,
 * never before. The uv timer runs only while a node is armed.
 *
 * Thread: the loop's. Memory: nodes are embedded in their owners. */
#ifndef BASE_TIMER_WHEEL_H
#define BASE_TIMER_WHEEL_H

#include <stdint.h>

#include <uv.h>

#include "base/list.h"

#define TIMER_WHEEL_SLOTS 512

struct timer_node;
/* The node is disarmed before the call; it may be armed again or freed in it. */
typedef void (*timer_node_cb)(struct timer_node *node);

struct timer_node {
    struct list link;
    uint64_t due_ms; /* loop time */
    timer_node_cb on_due;
};

struct timer_wheel {
    uv_timer_t ticker;
    struct list slots[TIMER_WHEEL_SLOTS];
    uint64_t tick_ms;
    uint64_t swept_tick; /* all slots up to this tick have been looked at */
    uint32_t armed_count;
    void *owner; /* for the users' callbacks */
};

int timer_wheel_init(struct timer_wheel *wheel, uv_loop_t *loop, uint64_t tick_ms, void *owner);
/* Closes the uv timer. Nodes that are still armed never fire. */
void timer_wheel_close(struct timer_wheel *wheel);

void timer_node_init(struct timer_node *node, timer_node_cb on_due);
/* Fires timeout_ms from now (the loop's now); an armed node is moved. */
void timer_wheel_arm(struct timer_wheel *wheel, struct timer_node *node, uint64_t timeout_ms);
/* Twice is harmless. */
void timer_wheel_disarm(struct timer_wheel *wheel, struct timer_node *node);

#endif
