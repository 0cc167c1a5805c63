#include "model/upstream_state.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

int upstream_state_create(struct str name, uint32_t worker_count, struct upstream_state **ret)
{
    size_t bytes = sizeof(struct upstream_state) + worker_count * sizeof(struct upstream_slot);
    struct upstream_state *upstream = aligned_alloc(alignof(struct upstream_slot), bytes);
    if (!upstream)
        return UV_ENOMEM;
    memset(upstream, 0, bytes);
    atomic_init(&upstream->refs, 1);
    upstream->worker_count = worker_count;
    struct endpoints *pending;
    upstream->name = str_dup(name);
    if (!upstream->name || endpoints_create(ENDPOINTS_PENDING, NULL, 0, &pending)) {
        free(upstream->name);
        free(upstream);
        return UV_ENOMEM;
    }
    atomic_init(&upstream->endpoints, pending);
    *ret = upstream;
    return 0;
}

struct upstream_state *upstream_state_ref(struct upstream_state *upstream)
{
    atomic_fetch_add_explicit(&upstream->refs, 1, memory_order_relaxed);
    return upstream;
}

void upstream_state_unref(struct upstream_state *upstream)
{
    if (!upstream || atomic_fetch_sub_explicit(&upstream->refs, 1, memory_order_acq_rel) != 1)
        return;
    endpoints_destroy(atomic_load_explicit(&upstream->endpoints, memory_order_acquire));
    free(upstream->name);
    free(upstream);
}

struct endpoints *upstream_state_swap(struct upstream_state *upstream, struct endpoints *endpoints)
{
    return atomic_exchange_explicit(&upstream->endpoints, endpoints, memory_order_acq_rel);
}
