#include "control/log_override.h"

void log_override_init(struct log_override *override, uv_loop_t *loop)
{
    override->usual = log_get_level();
    uv_timer_init(loop, &override->timer);
    override->timer.data = override;
}

static void on_over(uv_timer_t *timer)
{
    const struct log_override *override = timer->data;
    log_notice("log level is the usual one again",
               LOG_CSTR("now", log_level_name(override->usual)));
    log_set_level(override->usual);
}

void log_override_set(struct log_override *override, enum log_level level, uint64_t for_ms)
{
    log_notice("log level changes", LOG_CSTR("now", log_level_name(level)),
               LOG_INT("for_ms", for_ms));
    log_set_level(level);
    uv_timer_stop(&override->timer);
    if (for_ms > 0)
        uv_timer_start(&override->timer, on_over, for_ms, 0);
    else
        override->usual = level;
}

void log_override_close(struct log_override *override)
{
    uv_close((uv_handle_t *)&override->timer, NULL);
}
