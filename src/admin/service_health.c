#include "admin/service_health.h"

#include <stdio.h>

#include "admin/server.h"
#include "admin/upstream_health.h"
#include "discovery/registry.h"
#include "health/board.h"
#include "health/pool_health.h"
#include "model/entity.h"

#define MAX_KEY_BYTES 512

/* As control/snapshot_build.c makes it. */
void admin_service_key(const json_t *service, char *key, size_t size)
{
    const char *host = json_string_value(json_object_get(service, "host"));
    json_int_t port = json_integer_value(json_object_get(service, "port"));
    if (json_is_object(json_object_get(service, "healthchecks")))
        snprintf(key, size, SERVICE_KEY_PREFIX "%s:%s:%lld",
                 json_string_value(json_object_get(service, "id")), host, (long long)port);
    else
        snprintf(key, size, HOST_KEY_PREFIX "%s:%lld", host, (long long)port);
}

static struct upstream_state *find_state(struct admin_request *request, const json_t *service)
{
    char key[MAX_KEY_BYTES];
    admin_service_key(service, key, sizeof(key));
    return request->node->registry ? registry_find(request->node->registry, str_of(key)) : NULL;
}

static json_t *target_body(const struct upstream_state *state, const struct endpoint *endpoint)
{
    const struct target_state *target = endpoint->target;
    uint32_t word = atomic_load_explicit(&target->health, memory_order_relaxed);
    const char *why = pool_health_why(state->health, target);
    bool is_judged = target->instance[0] || pool_health_has_checks(state->health);
    const char *health = !target_state_is_usable(target) ? "UNHEALTHY"
                         : is_judged                     ? "HEALTHY"
                                                         : "HEALTHCHECKS_OFF";
    json_t *body = json_pack("{s:s, s:I, s:s}", "target", target->name, "weight",
                             (json_int_t)endpoint->weight, "health", health);
    char reasons[96];
    if (word)
        json_object_set_new(body, "reasons",
                            json_string(board_reasons(word, reasons, sizeof(reasons))));
    if (word && why[0])
        json_object_set_new(body, "why", json_string(why));
    return body;
}

static void answer_alone(struct admin_request *request, const json_t *service)
{
    struct upstream_state *state = find_state(request, service);
    const struct endpoints *endpoints = state ? upstream_state_endpoints(state) : NULL;
    json_t *data = json_array();
    for (uint32_t i = 0; endpoints && i < endpoints->count; i++)
        json_array_append_new(data, target_body(state, &endpoints->items[i]));
    bool is_panic = state && pool_health_is_panicking(state->health);
    admin_request_answer(request, 200,
                         json_pack("{s:o, s:b, s:s}", "data", data, "panic", (int)is_panic,
                                   "node_id", request->node->node_id));
}

const json_t *admin_service_upstream(struct admin_request *request, const json_t *service)
{
    const char *host = json_string_value(json_object_get(service, "host"));
    struct violation no_name = {0}; /* a host that can't be an upstream's name names none */
    const json_t *upstream = config_find(request->node->config, entity_find(STR("upstreams")),
                                         str_of(host), NULL, &no_name);
    violation_deinit(&no_name);
    bool is_named =
        upstream && strcmp(json_string_value(json_object_get(upstream, "name")), host) == 0;
    return is_named ? upstream : NULL;
}

void admin_service_health(struct admin_request *request)
{
    const struct config *config = request->node->config;
    const json_t *service = config_find(config, entity_find(STR("services")),
                                        str_of(request->params[0]), NULL, &request->violation);
    if (!service) {
        if (request->violation.code)
            admin_request_answer_violation(request, &request->violation);
        else
            admin_request_answer_not_found(request);
        return;
    }
    const json_t *upstream = admin_service_upstream(request, service);
    if (!upstream) {
        answer_alone(request, service);
        return;
    }
    request->params[0] = json_string_value(json_object_get(upstream, "id"));
    admin_upstream_health(request);
}
