#include "admin/endpoints.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "admin/acme.h"
#include "admin/config.h"
#include "admin/crud.h"
#include "admin/discovery.h"
#include "admin/event_stream.h"
#include "admin/info.h"
#include "admin/kong_only.h"
#include "admin/metrics.h"
#include "admin/nodes.h"
#include "admin/openapi.h"
#include "admin/plugins.h"
#include "admin/schemas.h"
#include "admin/service_health.h"
#include "admin/tags.h"
#include "admin/target_order.h"
#include "admin/upstream_health.h"
#include "base/buf.h"

#define MAX_PATH_BYTES 512
#define MAX_PARAM_BYTES 64

/* Looked at before the entities' own, so that a word of theirs wins over a key. */
static const struct admin_endpoint fixed[] = {
    {.segments = {NULL}, .handlers = {[ADMIN_GET] = admin_info_root}},
    {.segments = {"status"},
     .handlers = {[ADMIN_GET] = admin_info_status, [ADMIN_POST] = admin_readiness_set}},
    {.segments = {"status", "ready"}, .handlers = {[ADMIN_GET] = admin_readiness_read}},
    {.segments = {"metrics"}, .handlers = {[ADMIN_GET] = admin_metrics}},
    {.segments = {"nodes"}, .handlers = {[ADMIN_GET] = admin_nodes_list}},
    {.segments = {"acme"}, .handlers = {[ADMIN_GET] = admin_acme_read}},
    {.segments = {"acme", "{host}"}, .handlers = {[ADMIN_POST] = admin_acme_retry}},
    {.segments = {"events"}, .handlers = {[ADMIN_GET] = admin_events}},
    {.segments = {"discovery"}, .handlers = {[ADMIN_GET] = admin_discovery}},
    {.segments = {"openapi.json"}, .handlers = {[ADMIN_GET] = admin_openapi}},
    {.segments = {"endpoints"}, .handlers = {[ADMIN_GET] = admin_endpoints_list}},
    {.segments = {"config"},
     .handlers = {[ADMIN_GET] = admin_config_read, [ADMIN_POST] = admin_config_replace},
     .takes_yaml = true},
    {.segments = {"filter-chains"},
     .handlers = {[ADMIN_GET] = admin_filter_chains, [ADMIN_POST] = admin_filter_chains}},
    {.segments = {"clustering", "data-planes"}, .handlers = {[ADMIN_GET] = admin_clustering}},
    {.segments = {"clustering", "status"}, .handlers = {[ADMIN_GET] = admin_clustering}},
    {.segments = {"status", "dns"}, .handlers = {[ADMIN_GET] = admin_dns_status}},
    {.segments = {"robots.txt"}, .handlers = {[ADMIN_GET] = admin_robots}},
    {.segments = {"timers"}, .handlers = {[ADMIN_GET] = admin_timers}},
    {.segments = {"cache"}, .handlers = {[ADMIN_DELETE] = admin_cache_remove}},
    {.segments = {"cache", "{key}"},
     .handlers = {[ADMIN_GET] = admin_cache_read, [ADMIN_DELETE] = admin_cache_remove}},
    {.segments = {"debug", "node", "log-level"}, .handlers = {[ADMIN_GET] = admin_log_level_read}},
    {.segments = {"debug", "node", "log-level", "{log_level}"},
     .handlers = {[ADMIN_PUT] = admin_log_level_set}},
    {.segments = {"debug", "cluster", "log-level", "{log_level}"},
     .handlers = {[ADMIN_PUT] = admin_log_level_cluster}},
    {.segments = {"tags"}, .handlers = {[ADMIN_GET] = admin_tags_list}},
    {.segments = {"tags", "{tags}"}, .handlers = {[ADMIN_GET] = admin_tags_list}},
    {.segments = {"schemas", "{name}"}, .handlers = {[ADMIN_GET] = admin_schemas_read}},
    {.segments = {"schemas", "{name}", "validate"},
     .handlers = {[ADMIN_POST] = admin_schemas_validate}},
    {.segments = {"schemas", "plugins", "{name}"},
     .handlers = {[ADMIN_GET] = admin_schemas_plugin}},
    {.segments = {"schemas", "vaults", "{name}"}, .handlers = {[ADMIN_GET] = admin_schemas_vault}},
    {.segments = {"plugins", "schema", "{name}"},
     .handlers = {[ADMIN_GET] = admin_schemas_plugin_config}},
    {.segments = {"plugins", "enabled"}, .handlers = {[ADMIN_GET] = admin_plugins_enabled}},
    {.segments = {"services", "{services}", "health"},
     .handlers = {[ADMIN_GET] = admin_service_health}},
    {.segments = {"services", "{services}", "targets", "explain"},
     .handlers = {[ADMIN_GET] = admin_service_explain}},
    {.segments = {"upstreams", "{upstreams}", "targets", "explain"},
     .handlers = {[ADMIN_GET] = admin_upstream_explain}},
    {.segments = {"upstreams", "{upstreams}", "health"},
     .handlers = {[ADMIN_GET] = admin_upstream_health}},
    {.segments = {"upstreams", "{upstreams}", "targets", "{targets}", "healthy"},
     .handlers = {[ADMIN_PUT] = admin_target_set_healthy}},
    {.segments = {"upstreams", "{upstreams}", "targets", "{targets}", "unhealthy"},
     .handlers = {[ADMIN_PUT] = admin_target_set_unhealthy}},
    {.segments = {"upstreams", "{upstreams}", "targets", "{targets}", "{address}", "healthy"},
     .handlers = {[ADMIN_PUT] = admin_target_set_healthy}},
    {.segments = {"upstreams", "{upstreams}", "targets", "{targets}", "{address}", "unhealthy"},
     .handlers = {[ADMIN_PUT] = admin_target_set_unhealthy}},
};
static const struct admin_endpoint status_only[] = {
    {.segments = {"status"}, .handlers = {[ADMIN_GET] = admin_info_status}},
    {.segments = {"status", "ready"}, .handlers = {[ADMIN_GET] = admin_readiness_read}},
    {.segments = {"metrics"}, .handlers = {[ADMIN_GET] = admin_metrics}},
};
#define STATUS_COUNT (sizeof(status_only) / sizeof(status_only[0]))
#define FIXED_COUNT (sizeof(fixed) / sizeof(fixed[0]))

static const admin_handler_cb collection[ADMIN_METHOD_COUNT] = {
    [ADMIN_GET] = admin_crud_list,
    [ADMIN_POST] = admin_crud_create,
};

static const admin_handler_cb single[ADMIN_METHOD_COUNT] = {
    [ADMIN_GET] = admin_crud_read,
    [ADMIN_PUT] = admin_crud_replace,
    [ADMIN_PATCH] = admin_crud_update,
    [ADMIN_DELETE] = admin_crud_remove,
};

static const admin_handler_cb foreign[ADMIN_METHOD_COUNT] = {
    [ADMIN_GET] = admin_crud_read_foreign,
    [ADMIN_PUT] = admin_crud_replace_foreign,
    [ADMIN_PATCH] = admin_crud_update_foreign,
    [ADMIN_DELETE] = admin_crud_remove_foreign,
};

struct admin_endpoints {
    unsigned refs;
    struct admin_endpoint *items; /* owned */
    size_t count;
    size_t capacity;
    struct arena arena; /* "{services}" and the like */
};

/* The next free entry, cleared; NULL when memory is short. */
static struct admin_endpoint *add(struct admin_endpoints *table)
{
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? table->capacity * 2 : 64;
        struct admin_endpoint *items = realloc(table->items, capacity * sizeof(*items));
        if (!items)
            return NULL;
        table->items = items;
        table->capacity = capacity;
    }
    struct admin_endpoint *endpoint = &table->items[table->count++];
    memset(endpoint, 0, sizeof(*endpoint));
    return endpoint;
}

static const char *param_of(struct admin_endpoints *table, const struct entity *entity)
{
    char *name = arena_alloc(&table->arena, MAX_PARAM_BYTES);
    if (name)
        snprintf(name, MAX_PARAM_BYTES, "{%s}", entity->name);
    return name;
}

/* prefix[0..depth), and the entity's collection and single rows behind it. */
static int add_rows(struct admin_endpoints *table, const char *const *prefix, unsigned depth,
                    const struct entity *entity, const struct entity *parent, const char *field)
{
    const char *param = param_of(table, entity);
    if (!param)
        return UV_ENOMEM;
    for (int is_single = 0; is_single <= 1; is_single++) {
        struct admin_endpoint *endpoint = add(table);
        if (!endpoint)
            return UV_ENOMEM;
        for (unsigned i = 0; i < depth; i++)
            endpoint->segments[i] = prefix[i];
        endpoint->segments[depth] = depth ? entity_nested_path(entity) : entity->path;
        endpoint->segments[depth + 1] = is_single ? param : NULL;
        memcpy(endpoint->handlers, is_single ? single : collection, sizeof(endpoint->handlers));
        endpoint->entity = entity;
        endpoint->parent = parent;
        endpoint->foreign = field;
    }
    return 0;
}

/* What a foreign field of an entity brings: its rows under the parent, and the parent of a row. */
static int add_foreign(struct admin_endpoints *table, const struct entity *entity,
                       const struct field *field)
{
    const struct entity *parent = entity_find(str_of(field->reference));
    if (!parent || !parent->path)
        return 0;
    const char *prefix[] = {parent->path, param_of(table, parent)};
    const char *param = param_of(table, entity);
    if (!prefix[1] || !param)
        return UV_ENOMEM;
    int rc = add_rows(table, prefix, 2, entity, parent, field->name);
    if (rc != 0 || !entity->path || field->has_no_path)
        return rc;
    struct admin_endpoint *endpoint = add(table);
    if (!endpoint)
        return UV_ENOMEM;
    endpoint->segments[0] = entity->path;
    endpoint->segments[1] = param;
    endpoint->segments[2] = field->name;
    memcpy(endpoint->handlers, foreign, sizeof(endpoint->handlers));
    endpoint->entity = parent;
    endpoint->parent = entity;
    endpoint->foreign = field->name;
    return 0;
}

/* Kong's /upstreams/{u}/targets/all: the list by its older name. */
static int add_all_of_nested(struct admin_endpoints *table, const struct entity *entity)
{
    const struct field *field = entity_field(entity, str_of(entity->nested_under));
    const struct entity *parent = field ? entity_find(str_of(field->reference)) : NULL;
    if (!parent || !parent->path)
        return 0;
    struct admin_endpoint *endpoint = add(table);
    const char *param = param_of(table, parent);
    if (!endpoint || !param)
        return UV_ENOMEM;
    endpoint->segments[0] = parent->path;
    endpoint->segments[1] = param;
    endpoint->segments[2] = entity_nested_path(entity);
    endpoint->segments[3] = "all";
    endpoint->handlers[ADMIN_GET] = admin_crud_list;
    endpoint->entity = entity;
    endpoint->parent = parent;
    endpoint->foreign = entity->nested_under;
    return 0;
}

static int add_entity(struct admin_endpoints *table, const struct entity *entity)
{
    if (entity->is_internal)
        return 0;
    int rc = entity->path ? add_rows(table, NULL, 0, entity, NULL, NULL) : 0;
    if (rc == 0 && !entity->path && entity->nested_under)
        rc = add_all_of_nested(table, entity);
    for (const struct field *field = entity->fields; rc == 0 && field->name; field++)
        if (field->type == FIELD_FOREIGN)
            rc = add_foreign(table, entity, field);
    return rc;
}

static int add_fixed(struct admin_endpoints *table, const struct admin_endpoint *endpoints,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct admin_endpoint *endpoint = add(table);
        if (!endpoint)
            return UV_ENOMEM;
        *endpoint = endpoints[i];
    }
    return 0;
}

int admin_endpoints_create(bool is_status_only, struct admin_endpoints **ret)
{
    struct admin_endpoints *table = calloc(1, sizeof(*table));
    if (!table)
        return UV_ENOMEM;
    table->refs = 1;
    arena_init(&table->arena, 4096, (size_t)1 << 20);
    int rc = is_status_only ? add_fixed(table, status_only, STATUS_COUNT)
                            : add_fixed(table, fixed, FIXED_COUNT);
    for (const struct entity *const *entity = entities; rc == 0 && !is_status_only && *entity;
         entity++)
        rc = add_entity(table, *entity);
    if (rc != 0) {
        admin_endpoints_unref(table);
        return rc;
    }
    *ret = table;
    return 0;
}

struct admin_endpoints *admin_endpoints_ref(struct admin_endpoints *endpoints)
{
    endpoints->refs++;
    return endpoints;
}

void admin_endpoints_unref(struct admin_endpoints *endpoints)
{
    if (!endpoints || --endpoints->refs > 0)
        return;
    arena_deinit(&endpoints->arena);
    free(endpoints->items);
    free(endpoints);
}

static bool matches(const struct admin_endpoint *endpoint, struct admin_request *request)
{
    unsigned param_count = 0;
    unsigned i = 0;
    for (; endpoint->segments[i]; i++) {
        const char *pattern = endpoint->segments[i];
        if (i == request->segment_count)
            return false;
        if (pattern[0] == '{')
            request->params[param_count++] = request->segments[i].ptr;
        else if (!str_equal(request->segments[i], str_of(pattern)))
            return false;
    }
    return i == request->segment_count;
}

const struct admin_endpoint *admin_endpoints_match(const struct admin_endpoints *endpoints,
                                                   struct admin_request *request)
{
    for (size_t i = 0; i < endpoints->count; i++)
        if (matches(&endpoints->items[i], request))
            return &endpoints->items[i];
    return NULL;
}

void admin_endpoint_allow(const struct admin_endpoint *endpoint, char text[ADMIN_ALLOW_BYTES])
{
    static const struct {
        enum admin_method method; /* ADMIN_METHOD_COUNT: always */
        const char *name;
    } sorted[] = {
        {ADMIN_DELETE, "DELETE"}, {ADMIN_GET, "GET"},
        {ADMIN_GET, "HEAD"},      {ADMIN_METHOD_COUNT, "OPTIONS"},
        {ADMIN_PATCH, "PATCH"},   {ADMIN_POST, "POST"},
        {ADMIN_PUT, "PUT"},
    };
    size_t len = 0;
    for (size_t i = 0; i < sizeof(sorted) / sizeof(sorted[0]); i++) {
        if (sorted[i].method != ADMIN_METHOD_COUNT && !endpoint->handlers[sorted[i].method])
            continue;
        len += (size_t)snprintf(text + len, ADMIN_ALLOW_BYTES - len, "%s%s", len ? ", " : "",
                                sorted[i].name);
    }
}

const struct admin_endpoint *admin_endpoints_all(const struct admin_endpoints *endpoints,
                                                 size_t *ret_count)
{
    *ret_count = endpoints->count;
    return endpoints->items;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *path_of(struct arena *arena, const struct admin_endpoint *endpoint)
{
    char *path = arena_alloc(arena, MAX_PATH_BYTES);
    if (!path)
        return NULL;
    size_t len = (size_t)snprintf(path, MAX_PATH_BYTES, "%s", endpoint->segments[0] ? "" : "/");
    for (unsigned i = 0; endpoint->segments[i]; i++)
        len += (size_t)snprintf(path + len, MAX_PATH_BYTES - len, "/%s", endpoint->segments[i]);
    return path;
}

void admin_endpoints_list(struct admin_request *request)
{
    const struct admin_endpoints *table = request->endpoints;
    char **paths = arena_alloc(&request->arena, table->count * sizeof(*paths));
    json_t *data = json_array();
    size_t count = 0;
    for (size_t i = 0; paths && i < table->count; i++)
        if ((paths[count] = path_of(&request->arena, &table->items[i])))
            count++;
    if (count > 0)
        qsort(paths, count, sizeof(*paths), compare_paths);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(data, json_string(paths[i]));
    admin_request_answer(request, 200, json_pack("{s:o}", "data", data));
}
