#include "health/monitor.h"

#include <stdlib.h>

#include "health/pool_health.h"

static void on_replan(uv_timer_t *timer)
{
    struct monitor *monitor = timer->data;
    while (!list_is_empty(&monitor->dirty)) {
        struct list *link = monitor->dirty.next;
        list_remove(link);
        pool_health_replan(pool_health_of_dirty_link(link));
    }
}

void monitor_replan_soon(struct monitor *monitor, struct list *link)
{
    if (list_is_linked(link))
        return;
    if (list_is_empty(&monitor->dirty))
        uv_timer_start(&monitor->replan_timer, on_replan, MONITOR_REPLAN_MS, 0);
    list_push_back(&monitor->dirty, link);
}

int monitor_create(uv_loop_t *loop, unsigned panic_percent, struct monitor **ret)
{
    struct monitor *monitor = calloc(1, sizeof(*monitor));
    if (!monitor)
        return UV_ENOMEM;
    monitor->loop = loop;
    monitor->panic_percent = panic_percent;
    int rc = checker_create(loop, &monitor->wheel, pool_health_hear_probe, &monitor->checker);
    if (rc) {
        free(monitor);
        return rc;
    }
    list_init(&monitor->dirty);
    events_init(&monitor->events);
    random_init(&monitor->random);
    /* Neither can fail on Linux. */
    timer_wheel_init(&monitor->wheel, loop, MONITOR_TICK_MS, monitor);
    uv_timer_init(loop, &monitor->replan_timer);
    monitor->replan_timer.data = monitor;
    monitor->open_handles = 2;
    *ret = monitor;
    return 0;
}

static void on_checker_closed(void *arg)
{
    struct monitor *monitor = arg;
    void (*closed)(void *) = monitor->closed;
    void *closed_arg = monitor->closed_arg;
    events_deinit(&monitor->events);
    free(monitor);
    closed(closed_arg);
}

static void on_closed(uv_handle_t *handle)
{
    struct monitor *monitor = handle->data;
    if (--monitor->open_handles == 0)
        checker_close(monitor->checker, on_checker_closed, monitor);
}

void monitor_close(struct monitor *monitor, void (*closed)(void *arg), void *arg)
{
    monitor->closed = closed;
    monitor->closed_arg = arg;
    monitor->wheel.ticker.data = monitor; /* no node is armed any more */
    uv_close((uv_handle_t *)&monitor->replan_timer, on_closed);
    uv_close((uv_handle_t *)&monitor->wheel.ticker, on_closed);
}
