#include "model/endpoints.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

int endpoints_create(enum endpoints_condition condition, const struct endpoint *items,
                     uint32_t count, struct endpoints **ret)
{
    struct endpoints *endpoints = calloc(1, sizeof(*endpoints));
    if (!endpoints)
        return UV_ENOMEM;
    endpoints->condition = condition;
    if (count > 0) {
        endpoints->items = calloc(count, sizeof(*items));
        if (!endpoints->items) {
            endpoints_destroy(endpoints);
            return UV_ENOMEM;
        }
    }
    for (; endpoints->count < count; endpoints->count++) {
        endpoints->items[endpoints->count] = items[endpoints->count];
        target_state_ref(items[endpoints->count].target);
    }
    *ret = endpoints;
    return 0;
}

void endpoints_destroy(struct endpoints *endpoints)
{
    if (!endpoints)
        return;
    for (uint32_t i = 0; i < endpoints->count; i++)
        target_state_unref(endpoints->items[i].target);
    health_rules_unref(endpoints->rules);
    balancing_unref(endpoints->balancing);
    free(endpoints->items);
    free(endpoints->wheel);
    free(endpoints->ring);
    free(endpoints->ring_starts);
    free(endpoints);
}

void endpoints_set_balancing(struct endpoints *endpoints, struct balancing *balancing)
{
    if (!balancing)
        return;
    endpoints->balancing = balancing_ref(balancing);
    endpoints->algorithm = balancing->algorithm;
    endpoints->max_in_flight = balancing->max_in_flight;
    endpoints->max_connections = balancing->max_connections;
    endpoints->is_hedged = balancing->is_hedged;
}
