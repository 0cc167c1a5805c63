/* monitor.h - what all pools of a node share for judging their targets: the prober, the timers, the
 * list of what happened.
 *
 * Thread: the control loop. Memory: owns what it shares; pools are their upstreams'. */
#ifndef HEALTH_MONITOR_H
#define HEALTH_MONITOR_H

#include <uv.h>

#include "base/list.h"
#include "base/random.h"
#include "base/timer_wheel.h"
#include "health/checker.h"
#include "health/events.h"

#define MONITOR_TICK_MS 20
/* News come in bunches: pools are made new once for all that come within this time. What a worker
 * decided is in force before, by the health words. */
#define MONITOR_REPLAN_MS 5

struct monitor {
    uv_loop_t *loop;
    unsigned panic_percent;
    struct timer_wheel wheel;
    struct random_state random;
    struct checker *checker; /* owned */
    struct events events;
    struct list dirty; /* pools whose endpoints are to be made new */
    uv_timer_t replan_timer;
    unsigned open_handles;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* 0 or a negative UV_E…. */
int monitor_create(uv_loop_t *loop, unsigned panic_percent, struct monitor **ret);
/* No pool may be left. Calls back when all handles are closed; then the monitor is gone. */
void monitor_close(struct monitor *monitor, void (*closed)(void *arg), void *arg);

/* For pools: `link` is the pool's place among those to be made new. Twice is harmless. */
void monitor_replan_soon(struct monitor *monitor, struct list *link);

#endif
