#include "model/meter.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

static const uint32_t gateway_bounds[METER_GATEWAY_BOUNDS] = {
    1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000};
static const uint32_t latency_bounds[METER_LATENCY_BOUNDS] = {
    25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000};

const struct metrics_shape meter_gateway_shape = {gateway_bounds, METER_GATEWAY_BOUNDS};
const struct metrics_shape meter_latency_shape = {latency_bounds, METER_LATENCY_BOUNDS};

static char *put(char *at, struct str text)
{
    if (text.len > 0)
        memcpy(at, text.ptr, text.len);
    return at + text.len;
}

int meter_create(struct str service, struct str route, bool is_of_streams, uint32_t worker_count,
                 struct meter **ret)
{
    size_t size = sizeof(struct meter) + worker_count * sizeof(_Atomic(struct meter_slot *));
    size_t len = service.len + 1 + route.len + is_of_streams;
    struct meter *meter = len <= UINT32_MAX ? calloc(1, size + len) : NULL;
    if (!meter)
        return UV_ENOMEM;
    atomic_init(&meter->refs, 1);
    meter->worker_count = worker_count;
    meter->service_len = (uint32_t)service.len;
    meter->labels_len = (uint32_t)len;
    meter->is_of_streams = is_of_streams;
    char *labels = put((char *)meter + size, service);
    labels = put(labels, STR("\n"));
    labels = put(labels, route);
    put(labels, is_of_streams ? STR("\n") : STR_EMPTY);
    *ret = meter;
    return 0;
}

struct str meter_labels(const struct meter *meter)
{
    return str_make((const char *)&meter->slots[meter->worker_count], meter->labels_len);
}

struct str meter_service(const struct meter *meter)
{
    return str_make(meter_labels(meter).ptr, meter->service_len);
}

struct str meter_route(const struct meter *meter)
{
    struct str labels = meter_labels(meter);
    size_t from = meter->service_len + 1u;
    return str_make(labels.ptr + from, labels.len - from - meter->is_of_streams);
}

struct meter *meter_ref(struct meter *meter)
{
    atomic_fetch_add_explicit(&meter->refs, 1, memory_order_relaxed);
    return meter;
}

void meter_unref(struct meter *meter)
{
    if (!meter || atomic_fetch_sub_explicit(&meter->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < meter->worker_count; i++)
        free(atomic_load_explicit(&meter->slots[i], memory_order_relaxed));
    free(meter);
}

/* Once a worker and route, so no request in the steady state allocates. Without memory that request
 * goes uncounted. */
static struct meter_slot *make_slot(struct meter *meter, uint32_t worker)
{
    struct meter_slot *slot = aligned_alloc(64, (sizeof(*slot) + 63) / 64 * 64);
    if (!slot)
        return NULL;
    memset(slot, 0, sizeof(*slot));
    atomic_store_explicit(&meter->slots[worker], slot, memory_order_release);
    return slot;
}

static void count_status(struct meter_slot *slot, uint32_t key)
{
    for (unsigned i = 0; i < METER_STATUSES; i++) {
        struct meter_status *status = &slot->statuses[i];
        uint32_t known = atomic_load_explicit(&status->key, memory_order_relaxed);
        if (known == 0)
            atomic_store_explicit(&status->key, key, memory_order_relaxed);
        if (known == key || known == 0) {
            metrics_add(&status->count, 1);
            return;
        }
    }
    metrics_add(&slot->other_statuses, 1);
}

void meter_count(struct meter *meter, uint32_t worker, const struct meter_facts *facts)
{
    struct meter_slot *slot = atomic_load_explicit(&meter->slots[worker], memory_order_relaxed);
    if (!slot && !(slot = make_slot(meter, worker)))
        return;
    count_status(slot, facts->status * 2u + facts->by_gateway);
    metrics_add(&slot->ingress_bytes, facts->ingress_bytes);
    metrics_add(&slot->egress_bytes, facts->egress_bytes);
    metrics_observe(meter_gateway_shape, slot->gateway_ms, facts->gateway_ms);
    metrics_observe(meter_latency_shape, slot->request_ms, facts->request_ms);
    if (facts->upstream_ms != METER_NO_UPSTREAM)
        metrics_observe(meter_latency_shape, slot->upstream_ms, facts->upstream_ms);
}
