/* relay_route.c - which route a relay takes, and what of it the relay keeps. */
#include <stdlib.h>

#include "model/meter.h"
#include "net/ip.h"
#include "net/tls_client.h"
#include "plugins/chain.h"
#include "proxy/limits.h"
#include "proxy/relay_parts.h"
#include "proxy/stream_router.h"
#include "proxy/worker_core.h"

#define PLUGIN_ARENA_BYTES 1024

void relay_plan_deinit(struct relay_plan *plan)
{
    upstream_state_unref(plan->upstream);
    tls_client_unref(plan->tls);
    meter_unref(plan->meter);
    free(plan->texts);
    *plan = (struct relay_plan){0};
}

static const struct route *find(const struct relay *relay, const struct snapshot *snapshot)
{
    struct stream_query query = {
        .source_port = ip_port(&relay->from),
        .destination_port = ip_port(&relay->to),
        .protocols = relay->is_tls ? PROTOCOL_TLS | PROTOCOL_TLS_PASSTHROUGH : PROTOCOL_TCP,
        .server_name = relay->server_name,
        .is_tls = relay->is_tls,
    };
    cidr_take_address((const struct sockaddr *)&relay->from, &query.source);
    cidr_take_address((const struct sockaddr *)&relay->to, &query.destination);
    return snapshot && snapshot->streams ? stream_router_find(snapshot->streams, &query) : NULL;
}

/* What is passed through brings its own TLS, whatever the service would add. */
static bool is_served(enum protocol protocol, const struct service *service)
{
    if (!service)
        return false;
    switch (service->protocol) {
    case PROTOCOL_TCP:
        return true;
    case PROTOCOL_TLS: /* never in clear what was to be encrypted */
        return protocol == PROTOCOL_TLS_PASSTHROUGH || service->tls;
    case PROTOCOL_TLS_PASSTHROUGH:
        return protocol == PROTOCOL_TLS_PASSTHROUGH;
    default:
        return false;
    }
}

static bool is_let_in(struct relay *relay, const struct route *route)
{
    struct arena arena;
    struct plugin_effect effect = {.status = 0};
    if (!route->plugins)
        return true;
    arena_init(&arena, PLUGIN_ARENA_BYTES, 64 * PLUGIN_ARENA_BYTES);
    const struct plugin_request request = {
        .client = relay_peer(relay),
        .is_secure = relay->is_tls,
        .listener_port = relay->port,
        .route = route,
        .random = &relay->worker->random,
        .arena = &arena,
    };
    plugin_chain_access_stream(route->plugins, &request, &effect);
    arena_deinit(&arena);
    return effect.status == 0;
}

static struct str put_text(char **at, struct str text)
{
    char *copy = *at;
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *at += text.len + 1;
    return str_make(copy, text.len);
}

static struct str without_port(struct str host)
{
    if (host.len > 0 && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        return end ? str_make(host.ptr + 1, (size_t)(end - host.ptr) - 1) : host;
    }
    const char *colon = host.len > 0 ? memchr(host.ptr, ':', host.len) : NULL;
    return colon ? str_make(host.ptr, (size_t)(colon - host.ptr)) : host;
}

static int copy_texts(struct relay_plan *plan, const struct route *route)
{
    const struct service *service = route->service;
    struct str name = route->name.len ? route->name : route->id;
    struct str service_name = !service            ? STR_EMPTY
                              : service->name.len ? service->name
                                                  : service->host;
    struct str host = service ? without_port(service->host_header) : STR_EMPTY;
    char *at = malloc(name.len + service_name.len + host.len + 3);
    if (!at)
        return UV_ENOMEM;
    plan->texts = at;
    plan->route = put_text(&at, name);
    plan->service = put_text(&at, service_name);
    plan->host = put_text(&at, host);
    return 0;
}

static int fill_plan(struct relay *relay, const struct route *route)
{
    const struct service *service = route->service;
    struct relay_plan *plan = &relay->plan;
    if (copy_texts(plan, route))
        return UV_ENOMEM;
    if (!service)
        return 0;
    uint64_t total_ms = limits_total_ms(service);
    plan->upstream = upstream_state_ref(service->upstream);
    plan->meter = route->meter ? meter_ref(route->meter) : NULL;
    plan->proxy_protocol = service->proxy_protocol;
    plan->connect_timeout_ms = service->connect_timeout_ms;
    plan->write_timeout_ms = service->write_timeout_ms;
    plan->read_timeout_ms = service->read_timeout_ms;
    plan->total_ms = total_ms < UINT32_MAX ? (uint32_t)total_ms : UINT32_MAX;
    plan->retries = service->retries;
    if (service->tls && relay->protocol != PROTOCOL_TLS_PASSTHROUGH)
        plan->tls = tls_client_ref(service->tls);
    return 0;
}

enum relay_verdict relay_route(struct relay *relay)
{
    const struct route *route = find(relay, worker_look_at_config(relay->worker));
    relay->protocol = relay->is_tls ? PROTOCOL_TLS : PROTOCOL_TCP;
    if (!route)
        return RELAY_NO_ROUTE;
    if (relay->is_tls && (route->protocols & PROTOCOL_TLS_PASSTHROUGH))
        relay->protocol = PROTOCOL_TLS_PASSTHROUGH;
    relay->matched_ms = worker_now(relay->worker);
    if (fill_plan(relay, route))
        return RELAY_NO_MEMORY;
    if (!is_let_in(relay, route))
        return RELAY_DENIED;
    return is_served(relay->protocol, route->service) ? RELAY_ROUTED : RELAY_BAD_SERVICE;
}
