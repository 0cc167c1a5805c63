#include "control/expiry.h"

#include <string.h>

#include <uv.h>

#include "base/log.h"

#define PERIOD_MS 60000
#define MAX_ROWS 1000 /* a transaction; the rest is next minute's */

static int plan(struct config_write *write, const struct config *config)
{
    return config_plan_expiry(config, &write->change, MAX_ROWS);
}

static void done(struct config_write *write, int rc)
{
    struct expiry *expiry = LIST_ENTRY(write, struct expiry, write);
    if (rc == 0 && write->change.count > 0)
        log_info("rows removed whose time is over", LOG_INT("count", write->change.count));
    config_change_deinit(&write->change); /* on failure: next minute again */
    expiry->is_writing = false;
}

static void on_time(uv_timer_t *timer)
{
    struct expiry *expiry = timer->data;
    if (expiry->is_writing)
        return;
    expiry->is_writing = true;
    expiry->submit(expiry->control, &expiry->write);
}

void expiry_init(struct expiry *expiry, uv_loop_t *loop)
{
    uv_timer_init(loop, &expiry->timer);
    expiry->timer.data = expiry;
}

void expiry_start(struct expiry *expiry, config_submit_cb submit, void *control)
{
    memset(&expiry->write, 0, sizeof(expiry->write));
    expiry->write.plan = plan;
    expiry->write.done = done;
    expiry->submit = submit;
    expiry->control = control;
    expiry->is_writing = false;
    uv_timer_start(&expiry->timer, on_time, PERIOD_MS, PERIOD_MS);
}

void expiry_close(struct expiry *expiry)
{
    uv_close((uv_handle_t *)&expiry->timer, NULL);
}
