#include "base/timer_wheel.h"

/* A node lies in the slot of the first tick at or after its due time, modulo the wheel. Times
 * further off than one turn share slots with nearer ones, so each sweep looks at due_ms. */

static uint64_t tick_of(const struct timer_wheel *wheel, uint64_t ms)
{
    return (ms + wheel->tick_ms - 1) / wheel->tick_ms;
}

static void sweep_slot(struct timer_wheel *wheel, struct list *slot, uint64_t now_ms)
{
    struct list due; /* callbacks may arm and disarm any node, so the due ones move out first */
    list_init(&due);
    LIST_EACH(link, slot)
    {
        struct timer_node *node = LIST_ENTRY(link, struct timer_node, link);
        if (node->due_ms <= now_ms) {
            list_remove(link);
            list_push_back(&due, link);
        }
    }
    while (!list_is_empty(&due)) {
        struct timer_node *node = LIST_ENTRY(due.next, struct timer_node, link);
        list_remove(&node->link);
        wheel->armed_count--;
        node->on_due(node);
    }
}

static void on_tick(uv_timer_t *ticker)
{
    struct timer_wheel *wheel = ticker->data;
    uint64_t now_ms = uv_now(ticker->loop);
    uint64_t now_tick = now_ms / wheel->tick_ms;
    uint64_t first = wheel->swept_tick + 1;
    if (now_tick >= first + TIMER_WHEEL_SLOTS) /* after a long stall one turn is enough */
        first = now_tick - TIMER_WHEEL_SLOTS + 1;
    for (uint64_t tick = first; tick <= now_tick; tick++)
        sweep_slot(wheel, &wheel->slots[tick % TIMER_WHEEL_SLOTS], now_ms);
    if (wheel->swept_tick < now_tick)
        wheel->swept_tick = now_tick;
    if (wheel->armed_count == 0)
        uv_timer_stop(ticker);
}

int timer_wheel_init(struct timer_wheel *wheel, uv_loop_t *loop, uint64_t tick_ms, void *owner)
{
    int rc = uv_timer_init(loop, &wheel->ticker);
    if (rc)
        return rc;
    wheel->ticker.data = wheel;
    wheel->tick_ms = tick_ms;
    wheel->swept_tick = uv_now(loop) / tick_ms;
    wheel->armed_count = 0;
    wheel->owner = owner;
    for (int i = 0; i < TIMER_WHEEL_SLOTS; i++)
        list_init(&wheel->slots[i]);
    return 0;
}

void timer_wheel_close(struct timer_wheel *wheel)
{
    uv_close((uv_handle_t *)&wheel->ticker, NULL);
}

void timer_node_init(struct timer_node *node, timer_node_cb on_due)
{
    list_init(&node->link);
    node->due_ms = 0;
    node->on_due = on_due;
}

void timer_wheel_arm(struct timer_wheel *wheel, struct timer_node *node, uint64_t timeout_ms)
{
    uint64_t now_ms = uv_now(wheel->ticker.loop);
    if (list_is_linked(&node->link))
        list_remove(&node->link);
    else if (wheel->armed_count++ == 0 && !uv_is_active((uv_handle_t *)&wheel->ticker)) {
        wheel->swept_tick = now_ms / wheel->tick_ms;
        uv_timer_start(&wheel->ticker, on_tick, wheel->tick_ms, wheel->tick_ms);
    }
    node->due_ms = now_ms + timeout_ms;
    uint64_t tick = tick_of(wheel, node->due_ms);
    if (tick <= wheel->swept_tick)
        tick = wheel->swept_tick + 1;
    list_push_back(&wheel->slots[tick % TIMER_WHEEL_SLOTS], &node->link);
}

void timer_wheel_disarm(struct timer_wheel *wheel, struct timer_node *node)
{
    if (!list_is_linked(&node->link))
        return;
    list_remove(&node->link);
    wheel->armed_count--;
}
