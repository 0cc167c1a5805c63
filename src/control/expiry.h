/* expiry.h - takes rows out whose time is over (keys with a ttl). They count as gone from that
 * moment; this is so that they don't pile up.
 *
 * Thread: control. Memory: storage is the caller's, until it is closed and no write is under way.
 */
#ifndef CONTROL_EXPIRY_H
#define CONTROL_EXPIRY_H

#include <stdbool.h>

#include <uv.h>

#include "model/config.h"

struct expiry {
    uv_timer_t timer;
    struct config_write write;
    config_submit_cb submit;
    void *control;
    bool is_writing;
};

void expiry_init(struct expiry *expiry, uv_loop_t *loop);
/* From now on looks once a minute. */
void expiry_start(struct expiry *expiry, config_submit_cb submit, void *control);
void expiry_close(struct expiry *expiry);

#endif
