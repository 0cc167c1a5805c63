#include "control/snapshot_build.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "admin/server.h" /* UPSTREAM_KEY_PREFIX */
#include "base/map.h"
#include "control/plugin_compile.h"
#include "health/pool_orders.h"
#include "model/compiled_route.h"
#include "model/consumers.h"
#include "model/row.h"
#include "proxy/router.h"

#define MAX_KEY_BYTES 512
#define LIST_PAGE_ROWS 256

/* What one build passes around. */
struct build {
    const struct config *config;
    struct registry *registry;
    struct snapshot *snapshot;
    struct map service_by_id;    /* id → struct service of the snapshot */
    struct map upstream_by_name; /* name → struct upstream_state, borrowed from the registry */
    struct map upstream_rows;    /* name → its row */
    struct plugin_compiler *plugins;
    struct route_cache_cursor cursor;
    struct route_cache cache; /* of this build */
};

typedef int (*row_cb)(struct build *build, const json_t *row);

static int each_row(struct build *build, const char *entity_name, const char *field,
                    const char *parent_id, row_cb each)
{
    const struct entity *entity = entity_find(str_of(entity_name));
    const json_t *rows[LIST_PAGE_ROWS];
    const char *after = NULL;
    bool more = true;
    while (more) {
        size_t count = config_list(build->config, entity, after, field, parent_id, NULL, NULL, rows,
                                   LIST_PAGE_ROWS, &more);
        for (size_t i = 0; i < count; i++) {
            int rc = each(build, rows[i]);
            if (rc)
                return rc;
        }
        if (count == 0)
            break;
        after = json_string_value(json_object_get(rows[count - 1], "id"));
    }
    return 0;
}

static struct str copy_text(struct build *build, const json_t *row, const char *field)
{
    return arena_copy(&build->snapshot->arena, row_text(row, field));
}

/* ---- services ---- */

/* Kong appends the port to a Host of its own making unless it is the scheme's default (contract of
 * the balancer's Host header). */
static struct str own_host_header(struct build *build, const struct service *service)
{
    bool is_default = service->protocol & (PROTOCOL_HTTPS | PROTOCOL_GRPCS) ? service->port == 443
                                                                            : service->port == 80;
    bool is_ipv6 = service->host.len > 0 && service->host.ptr[0] != '[' &&
                   memchr(service->host.ptr, ':', service->host.len);
    char text[MAX_KEY_BYTES];
    int len = snprintf(text, sizeof(text), is_ipv6 ? "[%.*s]" : "%.*s", STR_ARG(service->host));
    if (len > 0 && !is_default && (size_t)len < sizeof(text))
        len += snprintf(text + len, sizeof(text) - (size_t)len, ":%u", service->port);
    if (len < 0 || (size_t)len >= sizeof(text))
        return STR_EMPTY;
    return arena_copy(&build->snapshot->arena, str_make(text, (size_t)len));
}

static int compile_service(struct build *build, const json_t *row)
{
    if (json_is_false(json_object_get(row, "enabled")))
        return 0;
    struct snapshot *snapshot = build->snapshot;
    struct service *service = &snapshot->services[snapshot->service_count];
    *service = (struct service){
        .id = copy_text(build, row, "id"),
        .name = copy_text(build, row, "name"),
        .protocol = (enum protocol)protocol_bit(row_text(row, "protocol")),
        .host = copy_text(build, row, "host"),
        .port = (uint16_t)row_number("services", row, "port"),
        .path = copy_text(build, row, "path"),
        .connect_timeout_ms = (uint32_t)row_number("services", row, "connect_timeout"),
        .write_timeout_ms = (uint32_t)row_number("services", row, "write_timeout"),
        .read_timeout_ms = (uint32_t)row_number("services", row, "read_timeout"),
        .retries = (uint32_t)row_number("services", row, "retries"),
    };
    const json_t *upstream = map_get(&build->upstream_rows, service->host);
    service->host_header =
        upstream ? copy_text(build, upstream, "host_header") : own_host_header(build, service);
    if (!service->id.ptr || !service->host.ptr || !service->host_header.ptr)
        return UV_ENOMEM;
    snapshot->service_count++;
    return map_put(&build->service_by_id, service->id, service, NULL);
}

/* ---- routes ---- */

static int compile_route(struct build *build, const json_t *row)
{
    struct snapshot *snapshot = build->snapshot;
    struct compiled_route *compiled = route_cache_next(&build->cursor, &build->cache, row);
    if (!compiled)
        return UV_ENOMEM;
    if (!(compiled->route.protocols & (PROTOCOL_HTTP | PROTOCOL_HTTPS)))
        return 0; /* stream and gRPC routes have no listener yet */
    const struct service *service = NULL;
    if (compiled->service_id.len > 0 &&
        !(service = map_get(&build->service_by_id, compiled->service_id)))
        return 0; /* its service is disabled: the route does not exist for traffic */

    struct route *route = &snapshot->routes[snapshot->route_count];
    *route = compiled->route;
    route->service = service;
    snapshot->compiled[snapshot->route_count++] = compiled_route_ref(compiled);
    return plugin_compile_route(build->plugins, route);
}

/* ---- upstreams ---- */

static int note_upstream(struct build *build, const json_t *row)
{
    return map_put(&build->upstream_rows, row_text(row, "name"), (void *)row, NULL);
}

/* "host:port", "[v6]:port", as the Admin API normalises targets. */
static bool split_target(struct str text, struct static_target *ret)
{
    const char *colon = memrchr(text.ptr, ':', text.len);
    uint64_t port;
    if (!colon ||
        !str_to_u64(str_make(colon + 1, (size_t)(text.ptr + text.len - colon) - 1), &port))
        return false;
    ret->host = str_make(text.ptr, (size_t)(colon - text.ptr));
    if (ret->host.len >= 2 && ret->host.ptr[0] == '[')
        ret->host = str_make(ret->host.ptr + 1, ret->host.len - 2);
    ret->port = (uint16_t)port;
    return true;
}

static int gather_targets(struct build *build, const char *upstream_id,
                          struct static_target **ret_targets, size_t *ret_count)
{
    const struct entity *entity = entity_find(STR("targets"));
    size_t max = config_count(build->config, entity);
    const json_t **rows = calloc(max + 1, sizeof(*rows));
    struct static_target *targets = calloc(max + 1, sizeof(*targets));
    bool more;
    if (!rows || !targets) {
        free(rows);
        free(targets);
        return UV_ENOMEM;
    }
    size_t listed = config_list(build->config, entity, NULL, "upstream", upstream_id, NULL, NULL,
                                rows, max, &more);
    size_t count = 0;
    for (size_t i = 0; i < listed; i++) {
        if (!split_target(row_text(rows[i], "target"), &targets[count]))
            continue;
        targets[count++].weight = (uint32_t)row_number("targets", rows[i], "weight");
    }
    free(rows);
    *ret_targets = targets;
    *ret_count = count;
    return 0;
}

/* What the row says, in the pool's terms. Borrows from the configuration. */
static void read_order(const struct build *build, const json_t *row, struct health_order *order)
{
    struct static_target at = {.port = 0};
    const json_t *target = json_object_get(row, "target");
    if (json_is_object(target))
        target = config_get(build->config, entity_find(STR("targets")), row_text(target, "id"));
    if (json_is_object(target))
        split_target(row_text(target, "target"), &at);
    *order = (struct health_order){
        .key = row_text(row, "key"),
        .token = row_text(row, "token"),
        .host = at.host,
        .port = at.port,
        .address = row_text(row, "address"),
        .instance = row_text(row, "instance"),
        .is_healthy = json_is_true(json_object_get(row, "healthy")),
        .stands = json_is_true(json_object_get(row, "stands")),
    };
}

static int gather_orders(struct build *build, const char *upstream_id, struct health_order **ret,
                         size_t *ret_count)
{
    const struct entity *entity = entity_find(STR("health_orders"));
    size_t max = config_count(build->config, entity), listed = 0;
    const json_t *first;
    bool more;
    *ret = NULL;
    *ret_count = 0;
    if (config_list(build->config, entity, NULL, "upstream", upstream_id, NULL, NULL, &first, 1,
                    &more) == 0)
        return 0; /* as for nearly all */
    const json_t **rows = calloc(max, sizeof(*rows));
    struct health_order *orders = calloc(max, sizeof(*orders));
    if (!rows || !orders) {
        free(rows);
        free(orders);
        return UV_ENOMEM;
    }
    listed = config_list(build->config, entity, NULL, "upstream", upstream_id, NULL, NULL, rows,
                         max, &more);
    for (size_t i = 0; i < listed; i++)
        read_order(build, rows[i], &orders[i]);
    free(rows);
    *ret = orders;
    *ret_count = listed;
    return 0;
}

/* What a row refers to as its client's certificate; NULL: nothing. */
static const json_t *client_certificate(struct build *build, const json_t *row)
{
    const json_t *reference = json_object_get(row, "client_certificate");
    return json_is_object(reference) ? config_get(build->config, entity_find(STR("certificates")),
                                                  row_text(reference, "id"))
                                     : NULL;
}

static int want_upstream(struct build *build, const json_t *row)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    const json_t *discovery = json_object_get(row, "discovery");
    struct static_target *targets;
    size_t count;
    int rc = gather_targets(build, id, &targets, &count);
    if (rc)
        return rc;
    char key[MAX_KEY_BYTES];
    snprintf(key, sizeof(key), UPSTREAM_KEY_PREFIX "%s", id);
    struct upstream_spec spec = {
        .key = str_of(key),
        .name = row_text(row, "name"),
        .targets = targets,
        .target_count = count,
        .discovery = json_is_object(discovery) ? discovery : NULL,
        .healthchecks = json_object_get(row, "healthchecks"),
        .client_certificate = client_certificate(build, row),
        .host_header = row_text(row, "host_header"),
    };
    struct upstream_state *upstream;
    struct health_order *orders = NULL;
    rc = balancing_create(row, &spec.balancing);
    if (!rc)
        rc = gather_orders(build, id, &orders, &spec.order_count);
    spec.orders = orders;
    if (!rc)
        rc = registry_want(build->registry, &spec, &upstream);
    balancing_unref(spec.balancing);
    free(orders);
    free(targets);
    return rc ? rc : map_put(&build->upstream_by_name, spec.name, upstream, NULL);
}

/* Services with the same host share what is behind it; one with checks of its own stands alone. */
static int want_host(struct build *build, struct service *service, struct upstream_state **ret)
{
    char key[MAX_KEY_BYTES];
    const json_t *row = config_get(build->config, entity_find(STR("services")), service->id);
    const json_t *healthchecks = json_object_get(row, "healthchecks");
    struct upstream_spec spec = {
        .name = service->host, .host = service->host, .port = service->port};
    if (json_is_object(healthchecks)) {
        spec.healthchecks = healthchecks;
        spec.client_certificate = client_certificate(build, row);
        spec.host_header = service->host_header;
        snprintf(key, sizeof(key), SERVICE_KEY_PREFIX "%.*s:%.*s:%u", STR_ARG(service->id),
                 STR_ARG(service->host), service->port);
    } else {
        snprintf(key, sizeof(key), HOST_KEY_PREFIX "%.*s:%u", STR_ARG(service->host),
                 service->port);
    }
    spec.key = str_of(key);
    return registry_want(build->registry, &spec, ret);
}

static int connect_upstreams(struct build *build)
{
    struct snapshot *snapshot = build->snapshot;
    int rc = each_row(build, "upstreams", NULL, NULL, want_upstream);
    for (uint32_t i = 0; rc == 0 && i < snapshot->service_count; i++) {
        struct service *service = &snapshot->services[i];
        struct upstream_state *upstream = map_get(&build->upstream_by_name, service->host);
        if (!upstream)
            rc = want_host(build, service, &upstream);
        if (rc == 0)
            service->upstream = upstream_state_ref(upstream);
    }
    return rc;
}

/* ---- consumers ---- */

/* The snapshot has a reference, and so has what the next one is made from. */
static int compile_consumers(struct build *build)
{
    int rc =
        consumers_create(build->config, build->cursor.before->consumers, &build->cache.consumers);
    if (rc == 0)
        build->snapshot->consumers = consumers_ref(build->cache.consumers);
    return rc;
}

/* ---- the whole ---- */

static int compile(struct build *build, struct error *err)
{
    struct snapshot *snapshot = build->snapshot;
    size_t services = config_count(build->config, entity_find(STR("services")));
    size_t routes = config_count(build->config, entity_find(STR("routes")));
    snapshot->services = arena_alloc(&snapshot->arena, services * sizeof(*snapshot->services));
    snapshot->routes = arena_alloc(&snapshot->arena, routes * sizeof(*snapshot->routes));
    snapshot->compiled = arena_alloc(&snapshot->arena, routes * sizeof(struct compiled_route *));
    if (!snapshot->services || !snapshot->routes || !snapshot->compiled)
        return UV_ENOMEM;

    int rc = each_row(build, "upstreams", NULL, NULL, note_upstream);
    if (!rc)
        rc = each_row(build, "services", NULL, NULL, compile_service);
    if (!rc)
        rc = compile_consumers(build);
    if (!rc)
        rc = plugin_compiler_create(build->config, &snapshot->arena, &build->plugins);
    if (!rc)
        rc = each_row(build, "routes", NULL, NULL, compile_route);
    if (rc)
        return rc;
    snapshot->destroy_router = router_destroy;
    return router_create(snapshot->routes, snapshot->route_count, &snapshot->router, err);
}

int snapshot_build(const struct config *config, struct registry *registry,
                   struct route_cache *cache, uint64_t version, struct snapshot **ret,
                   struct error *err)
{
    struct build build = {.config = config, .registry = registry, .cursor = {.before = cache}};
    int rc = snapshot_create(version, &build.snapshot);
    if (rc)
        return rc;
    rc = compile(&build, err);
    if (rc == 0) { /* discovery hears of it only when nothing can be wrong any more */
        registry_begin(registry);
        rc = connect_upstreams(&build);
        registry_end(registry);
    }
    map_deinit(&build.service_by_id);
    map_deinit(&build.upstream_by_name);
    map_deinit(&build.upstream_rows);
    plugin_compiler_destroy(build.plugins);
    if (rc) {
        route_cache_deinit(&build.cache);
        snapshot_unref(build.snapshot);
        return rc;
    }
    route_cache_deinit(cache);
    *cache = build.cache;
    *ret = build.snapshot;
    return 0;
}
