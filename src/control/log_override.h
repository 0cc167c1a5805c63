/* log_override.h - another log level for a while, and then the usual one again.
 *
 * Thread: control. Memory: storage is the caller's. */
#ifndef CONTROL_LOG_OVERRIDE_H
#define CONTROL_LOG_OVERRIDE_H

#include <stdint.h>

#include <uv.h>

#include "base/log.h"

struct log_override {
    uv_timer_t timer;
    enum log_level usual;
};

/* The level of now is the usual one. */
void log_override_init(struct log_override *override, uv_loop_t *loop);
/* 0: for good, which makes it the usual one. */
void log_override_set(struct log_override *override, enum log_level level, uint64_t for_ms);
void log_override_close(struct log_override *override);

#endif
