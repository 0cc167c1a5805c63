/* checker.h - probes targets, each at its own pace: the first time at once, then by the interval of
 * its state, give or take a fifth.
 *
 * Who watches the same address by the same settings shares one prober, so that a target in many
 * pools is asked once. A pool has no more probes under way than its `concurrency`.
 *
 * Thread: the control loop. Memory: a prober lives as long as somebody watches it. */
#ifndef HEALTH_CHECKER_H
#define HEALTH_CHECKER_H

#include <stdbool.h>

#include "base/list.h"
#include "base/timer_wheel.h"
#include "health/probe.h"

struct checker;
struct prober;

/* How many probes one pool may have under way; embedded in it. */
struct check_quota {
    uint32_t limit;
    uint32_t in_flight;
    struct list waiting; /* probers that are due */
};

/* One pool's interest in one target; embedded, zeroed at first. */
struct check_watch {
    struct list link;      /* on its prober */
    struct prober *prober; /* NULL: not watched */
    struct check_quota *quota;
    bool is_out; /* takes no traffic: the unhealthy interval counts */
};

typedef void (*checker_result_cb)(struct check_watch *watch, const struct probe_result *result);

/* Runs its timers on `wheel`, which outlives it. on_result may not watch or unwatch. 0 or
 * UV_ENOMEM.
 */
int checker_create(uv_loop_t *loop, struct timer_wheel *wheel, checker_result_cb on_result,
                   struct checker **ret);
/* Nobody may watch any more. */
void checker_close(struct checker *checker, void (*closed)(void *arg), void *arg);

void check_quota_init(struct check_quota *quota);

/* References rules and target. 0 or UV_ENOMEM. */
int checker_watch(struct checker *checker, struct check_watch *watch, struct check_quota *quota,
                  struct health_rules *rules, struct target_state *target);
void checker_unwatch(struct check_watch *watch); /* twice is harmless */
void checker_set_out(struct check_watch *watch, bool is_out);

#endif
