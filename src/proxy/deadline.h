/* deadline.h - a time-out that is moved with every message and hardly ever passes.
 *
 * Moving it later is one store: the node on the wheel stays where it is, and when it fires too
 * early it is armed again for what is left. So a busy connection touches the wheel about once per
 * time-out, not once per request.
 *
 * Thread: the wheel's. Memory: embedded in its owner. */
#ifndef PROXY_DEADLINE_H
#define PROXY_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/timer_wheel.h"

#define DEADLINE_NEVER UINT64_MAX

struct deadline {
    struct timer_node node;
    uint64_t at_ms; /* loop time, or DEADLINE_NEVER */
};

static inline void deadline_init(struct deadline *deadline, timer_node_cb on_due)
{
    timer_node_init(&deadline->node, on_due);
    deadline->at_ms = DEADLINE_NEVER;
}

/* timeout_ms from the loop's now. */
static inline void deadline_set(struct timer_wheel *wheel, struct deadline *deadline,
                                uint64_t timeout_ms)
{
    deadline->at_ms = uv_now(wheel->ticker.loop) + timeout_ms;
    if (!list_is_linked(&deadline->node.link) || deadline->node.due_ms > deadline->at_ms)
        timer_wheel_arm(wheel, &deadline->node, timeout_ms);
}

/* The node may still fire; deadline_has_passed then says no. */
static inline void deadline_clear(struct deadline *deadline)
{
    deadline->at_ms = DEADLINE_NEVER;
}

/* For the on_due callback: true when it is time; otherwise the node is armed again if need be. */
static inline bool deadline_has_passed(struct timer_wheel *wheel, struct deadline *deadline)
{
    uint64_t now_ms = uv_now(wheel->ticker.loop);
    if (deadline->at_ms <= now_ms)
        return true;
    if (deadline->at_ms != DEADLINE_NEVER)
        timer_wheel_arm(wheel, &deadline->node, deadline->at_ms - now_ms);
    return false;
}

/* Takes the node off the wheel: before its owner's memory goes. */
static inline void deadline_stop(struct timer_wheel *wheel, struct deadline *deadline)
{
    deadline->at_ms = DEADLINE_NEVER;
    timer_wheel_disarm(wheel, &deadline->node);
}

#endif
