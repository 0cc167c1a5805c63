#include "balance/slow_start.h"

void slow_start_plan(const struct endpoints *endpoints, uint64_t now_ms)
{
    uint32_t cold = 0, takers = 0;
    if (!endpoints->balancing || endpoints->balancing->slow_start_ms == 0)
        return;
    for (uint32_t i = 0; i < endpoints->count; i++) {
        const struct endpoint *endpoint = &endpoints->items[i];
        if (endpoint->weight == 0 || !target_state_is_usable(endpoint->target))
            continue;
        takers++;
        cold += slow_start_share(endpoints, endpoint->target, now_ms) != UINT32_MAX;
    }
    if (cold * 2 <= takers)
        return;
    for (uint32_t i = 0; i < endpoints->count; i++)
        atomic_store_explicit(&endpoints->items[i].target->ready_since_ms, 0, memory_order_relaxed);
}
