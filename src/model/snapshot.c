#include "model/snapshot.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "model/acme_answers.h"
#include "model/compiled_route.h"
#include "model/compiled_service.h"
#include "model/consumers.h"
#include "model/meter.h"
#include "net/tls_client.h"
#include "net/tls_names.h"
#include "net/tls_tickets.h"

#define ARENA_BLOCK_BYTES (64 * 1024)

int snapshot_create(uint64_t version, struct snapshot **ret)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return UV_ENOMEM;
    atomic_init(&snapshot->refs, 1);
    snapshot->version = version;
    arena_init(&snapshot->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    *ret = snapshot;
    return 0;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (snapshot->router)
        snapshot->destroy_router(snapshot->router);
    if (snapshot->streams)
        snapshot->destroy_streams(snapshot->streams);
    tls_names_destroy(snapshot->names);
    tls_ticket_ring_destroy(snapshot->ticket_ring);
    acme_answers_destroy(snapshot->acme);
    tls_names_destroy(snapshot->acme_names);
    consumers_unref(snapshot->consumers);
    for (uint32_t i = 0; i < snapshot->route_count; i++) {
        meter_unref(snapshot->routes[i].meter);
        if (snapshot->compiled)
            compiled_route_unref(snapshot->compiled[i]);
    }
    for (uint32_t i = 0; i < snapshot->service_count; i++) {
        tls_client_unref(snapshot->services[i].tls);
        upstream_state_unref(snapshot->services[i].upstream);
        if (snapshot->compiled_services)
            compiled_service_unref(snapshot->compiled_services[i]);
    }
    arena_deinit(&snapshot->arena);
    free(snapshot);
}
