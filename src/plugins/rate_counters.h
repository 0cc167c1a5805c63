/* rate_counters.h - how often something has happened in the second, minute… year that it is: one
 * table for the whole node, as long as the process lives.
 *
 * Windows are those of the calendar in UTC. A table in parts, each with its lock, which is held for
 * some hundred nanoseconds: workers meet there seldom. What is counted is known by a keyed hash of
 * its name, so that nobody can choose names that collide.
 *
 * Thread: any. Memory: grows to RATE_COUNTERS_MAX windows of 32 bytes, then those of others are
 * overwritten. */
#ifndef PLUGINS_RATE_COUNTERS_H
#define PLUGINS_RATE_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define RATE_COUNTERS_MAX (1u << 20)

enum rate_period {
    RATE_SECOND = 0,
    RATE_MINUTE,
    RATE_HOUR,
    RATE_DAY,
    RATE_MONTH,
    RATE_YEAR,
    RATE_PERIODS, /* keep last */
};

struct rate_limit {
    enum rate_period period;
    double max;
};

/* Begin and end of the window that it is, in Unix seconds. */
struct rate_window {
    int64_t begins_at;
    int64_t ends_at;
};
struct rate_window rate_window_of(enum rate_period period, int64_t now_s);

/* Counts once in the window of each limit, unless one of them is full; then in none. used[i] is
 * what had been counted before. Returns whether it counted. */
bool rate_counters_take(struct str name, const struct rate_limit *limits, unsigned count,
                        int64_t now_s, uint64_t *used);

#endif
