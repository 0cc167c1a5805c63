#include "control/snapshot_build.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "control/plugin_compile.h"
#include "model/compiled_route.h"
#include "model/compiled_service.h"
#include "model/consumers.h"
#include "model/row.h"
#include "proxy/router.h"
#include "proxy/stream_router.h"

/* What one build passes around. */
struct build {
    const struct config *config;
    struct snapshot *snapshot;
    const struct snapshot *before; /* NULL: none */
    uint64_t number;               /* of the build; those that failed count, too */
    struct plugin_compiler *plugins;
    bool has_other_upstreams; /* than the build before */
    struct row_cache_cursor old_services, old_routes;
    struct row_cache services, routes; /* of this build */
};

/* ---- services ---- */

static void unref_service(void *made)
{
    compiled_service_unref(made);
}

/* Of the row; `old` (NULL: none) where that would be the same. NULL: no memory. */
static struct compiled_service *compile_service_row(struct build *build,
                                                    const struct packed_row *packed,
                                                    struct compiled_service *old)
{
    json_t *row = packed_row_unpack(packed);
    if (!row)
        return NULL;
    const struct packed_row *named = wants_upstream_of(build->config, row_text(row, "host"));
    json_t *upstream = named ? packed_row_unpack(named) : NULL;
    struct compiled_service *made = NULL;
    if (upstream || !named)
        made = old && compiled_service_fits(old, upstream) ? old
                                                           : compiled_service_create(row, upstream);
    json_decref(upstream);
    json_decref(row);
    return made;
}

/* As it was where neither its row nor its upstream's part in it has changed. Borrowed from the
 * build; NULL: no memory. */
static struct compiled_service *take_service(struct build *build, const struct packed_row *row)
{
    struct compiled_service *old = row_cache_move(&build->old_services, row, &build->services);
    if (old && !build->has_other_upstreams)
        return old;
    struct compiled_service *fresh = compile_service_row(build, row, old);
    if (!fresh || fresh == old)
        return fresh;
    if (old)
        row_cache_replace(&build->services, fresh);
    else if (row_cache_add(&build->services, row, fresh))
        return NULL;
    return fresh;
}

static int compile_service(void *arg, const struct packed_row *row)
{
    struct build *build = arg;
    struct snapshot *snapshot = build->snapshot;
    struct compiled_service *compiled = take_service(build, row);
    if (!compiled)
        return UV_ENOMEM;
    compiled->build = build->number;
    if (!compiled->is_enabled)
        return 0;
    compiled->place = snapshot->service_count++;
    snapshot->services[compiled->place] = compiled->service;
    snapshot->compiled_services[compiled->place] = compiled_service_ref(compiled);
    return 0;
}

/* ---- routes ---- */

static void unref_route(void *made)
{
    compiled_route_unref(made);
}

/* That of the row, or NULL. The one that was found last has its id, too. */
static struct compiled_service *look_up_service(const struct build *build,
                                                const struct compiled_route *route)
{
    json_t *named = route->service ? NULL : packed_row_get(route->row, "service");
    struct str id = route->service ? route->service->service.id : row_text(named, "id");
    size_t at = row_cache_find(&build->services, id);
    json_decref(named);
    return at < build->services.count ? build->services.entries[at].made : NULL;
}

/* The one that was found last is still the one, unless it has been compiled anew. */
static const struct service *find_service(const struct build *build, struct compiled_route *route)
{
    if (!route->service || route->service->build != build->number) {
        struct compiled_service *found = look_up_service(build, route);
        compiled_service_unref(route->service);
        route->service = found ? compiled_service_ref(found) : NULL;
    }
    return route->service && route->service->is_enabled
               ? &build->snapshot->services[route->service->place]
               : NULL;
}

static struct compiled_route *take_route(struct build *build, const struct packed_row *packed)
{
    struct compiled_route *old = row_cache_move(&build->old_routes, packed, &build->routes);
    if (old)
        return old;
    json_t *row = packed_row_unpack(packed);
    struct compiled_route *compiled = row ? compiled_route_create(packed, row) : NULL;
    json_decref(row);
    return compiled && row_cache_add(&build->routes, packed, compiled) == 0 ? compiled : NULL;
}

static int compile_route(void *arg, const struct packed_row *row)
{
    struct build *build = arg;
    struct snapshot *snapshot = build->snapshot;
    struct compiled_route *compiled = take_route(build, row);
    if (!compiled)
        return UV_ENOMEM;
    if (!(compiled->route.protocols & (PLUGIN_REQUEST_PROTOCOLS | STREAM_PROTOCOLS)))
        return 0; /* UDP routes have no listener yet */
    const struct service *service = NULL;
    if (compiled->has_service && !(service = find_service(build, compiled)))
        return 0; /* its service is disabled: the route does not exist for traffic */

    struct route *route = &snapshot->routes[snapshot->route_count];
    *route = compiled->route;
    route->service = service;
    snapshot->compiled[snapshot->route_count++] = compiled_route_ref(compiled);
    return plugin_compile_route(build->plugins, route);
}

/* ---- consumers ---- */

static int compile_consumers(struct build *build)
{
    return consumers_create(build->config, build->before ? build->before->consumers : NULL,
                            &build->snapshot->consumers);
}

/* ---- the whole ---- */

static int make_room(struct build *build)
{
    struct snapshot *snapshot = build->snapshot;
    size_t services = config_count(build->config, entity_find(STR("services")));
    size_t routes = config_count(build->config, entity_find(STR("routes")));
    snapshot->services = arena_alloc(&snapshot->arena, services * sizeof(*snapshot->services));
    snapshot->compiled_services =
        arena_alloc(&snapshot->arena, services * sizeof(struct compiled_service *));
    snapshot->routes = arena_alloc(&snapshot->arena, routes * sizeof(*snapshot->routes));
    snapshot->compiled = arena_alloc(&snapshot->arena, routes * sizeof(struct compiled_route *));
    return snapshot->services && snapshot->compiled_services && snapshot->routes &&
                   snapshot->compiled
               ? 0
               : UV_ENOMEM;
}

static int compile(struct build *build, struct error *err)
{
    struct snapshot *snapshot = build->snapshot;
    int rc = make_room(build);
    if (!rc)
        rc =
            config_walk_packed(build->config, entity_find(STR("services")), compile_service, build);
    if (!rc)
        rc = compile_consumers(build);
    if (!rc)
        rc = plugin_compiler_create(build->config, &snapshot->arena, &build->plugins);
    if (!rc)
        rc = config_walk_packed(build->config, entity_find(STR("routes")), compile_route, build);
    if (rc)
        return rc;
    snapshot->destroy_router = router_destroy;
    snapshot->destroy_streams = stream_router_destroy;
    rc = router_create(snapshot->routes, snapshot->route_count,
                       build->before ? build->before->router : NULL, &snapshot->router, err);
    return rc ? rc
              : stream_router_create(snapshot->routes, snapshot->route_count, &snapshot->streams);
}

int snapshot_build(const struct config *config, struct registry *registry,
                   struct build_cache *cache, uint64_t version, struct snapshot **ret,
                   struct error *err)
{
    struct build build = {
        .config = config,
        .before = cache->last,
        .number = ++cache->builds,
        .has_other_upstreams = wants_has_other_upstreams(&cache->wants, config),
        .old_services = {.before = &cache->services},
        .old_routes = {.before = &cache->routes},
        .services = {.unref = unref_service},
        .routes = {.unref = unref_route},
    };
    int rc = snapshot_create(version, &build.snapshot);
    if (rc)
        return rc;
    rc = compile(&build, err);
    plugin_compiler_destroy(build.plugins);
    if (rc == 0) /* discovery hears of it only when nothing can be wrong any more */
        rc = wants_tell(&cache->wants, config, registry, build.snapshot);
    row_cache_clear(&cache->services);
    row_cache_clear(&cache->routes);
    if (rc) { /* the next one begins with nothing */
        row_cache_clear(&build.services);
        row_cache_clear(&build.routes);
        snapshot_unref(build.snapshot);
        return rc;
    }
    cache->services = build.services;
    cache->routes = build.routes;
    snapshot_unref(cache->last);
    cache->last = snapshot_ref(build.snapshot);
    *ret = build.snapshot;
    return 0;
}

void build_cache_deinit(struct build_cache *cache)
{
    row_cache_clear(&cache->services);
    row_cache_clear(&cache->routes);
    wants_cache_deinit(&cache->wants);
    snapshot_unref(cache->last);
    cache->last = NULL;
}
