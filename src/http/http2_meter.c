#include "http/http2_meter.h"

#define ONE 1000

static const struct {
    const char *reason;
    uint32_t burst;
    uint32_t per_second;
} allowances[HTTP2_NUISANCE_COUNT] = {
    /* A browser that leaves a page resets all it has under way, some pages in a row. */
    [HTTP2_RESETS] = {"too many resets of streams", 500, 50},
    [HTTP2_SETTINGS] = {"too many settings", 32, 2},
    /* Clients measure the way by pings, some with every window of content. */
    [HTTP2_PINGS] = {"too many pings", 200, 20},
    [HTTP2_EMPTY_FRAMES] = {"too many empty frames", 200, 20},
    [HTTP2_WINDOW_UPDATES] = {"too many window updates", 2000, 200},
    [HTTP2_PRIORITIES] = {"too many priorities", 1000, 100},
    [HTTP2_LATE_HEADS] = {"too many heads for streams that are over", 200, 20},
};

static uint32_t add_up_to(uint32_t sum, uint64_t more, uint32_t most)
{
    return more > most - sum ? most : sum + (uint32_t)more;
}

void http2_meter_init(struct http2_meter *meter, uint64_t now_ms)
{
    meter->counted_ms = now_ms;
    for (int kind = 0; kind < HTTP2_NUISANCE_COUNT; kind++)
        meter->left[kind] = allowances[kind].burst * ONE;
}

static void refill(struct http2_meter *meter, uint64_t now_ms)
{
    uint64_t elapsed_ms = now_ms - meter->counted_ms;
    if (elapsed_ms == 0)
        return;
    meter->counted_ms = now_ms;
    for (int kind = 0; kind < HTTP2_NUISANCE_COUNT; kind++)
        meter->left[kind] = add_up_to(meter->left[kind], elapsed_ms * allowances[kind].per_second,
                                      allowances[kind].burst * ONE);
}

bool http2_meter_take(struct http2_meter *meter, enum http2_nuisance kind, uint64_t now_ms)
{
    refill(meter, now_ms);
    if (meter->left[kind] < ONE)
        return false;
    meter->left[kind] -= ONE;
    return true;
}

void http2_meter_give(struct http2_meter *meter, enum http2_nuisance kind, unsigned count)
{
    meter->left[kind] =
        add_up_to(meter->left[kind], (uint64_t)count * ONE, allowances[kind].burst * ONE);
}

const char *http2_meter_reason(enum http2_nuisance kind)
{
    return allowances[kind].reason;
}
