#include "control/wants.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "admin/server.h" /* UPSTREAM_KEY_PREFIX */
#include "discovery/registry.h"
#include "health/pool_orders.h"
#include "model/compiled_service.h"
#include "model/row.h"

#define MAX_KEY_BYTES 512

/* What one round passes around. */
struct wants {
    const struct config *config;
    struct registry *registry;
    struct row_cache_cursor cursor; /* over the upstreams of the build before */
    struct row_cache now;
    bool has_other_upstreams; /* than in the build before */
    bool has_other_members;   /* targets, or orders about their health */
    bool has_other_certificates;
};

/* ---- what they are made of ---- */

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

static int gather_targets(const struct wants *wants, const char *upstream_id,
                          struct static_target **ret_targets, size_t *ret_count)
{
    const struct entity *entity = entity_find(STR("targets"));
    size_t max = config_children_count(wants->config, entity, "upstream", upstream_id);
    const json_t **rows = calloc(max + 1, sizeof(*rows));
    struct static_target *targets = calloc(max + 1, sizeof(*targets));
    bool more;
    if (!rows || !targets) {
        free(rows);
        free(targets);
        return UV_ENOMEM;
    }
    size_t listed =
        config_list(wants->config, entity, NULL, "upstream", upstream_id, rows, max, &more);
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
static void read_order(const struct wants *wants, const json_t *row, struct health_order *order)
{
    struct static_target at = {.port = 0};
    const json_t *target = json_object_get(row, "target");
    if (json_is_object(target))
        target = config_get(wants->config, entity_find(STR("targets")), row_text(target, "id"));
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

static int gather_orders(const struct wants *wants, const char *upstream_id,
                         struct health_order **ret, size_t *ret_count)
{
    const struct entity *entity = entity_find(STR("health_orders"));
    size_t max = config_children_count(wants->config, entity, "upstream", upstream_id);
    bool more;
    *ret = NULL;
    *ret_count = 0;
    if (max == 0)
        return 0; /* as for nearly all */
    const json_t **rows = calloc(max, sizeof(*rows));
    struct health_order *orders = calloc(max, sizeof(*orders));
    if (!rows || !orders) {
        free(rows);
        free(orders);
        return UV_ENOMEM;
    }
    size_t listed =
        config_list(wants->config, entity, NULL, "upstream", upstream_id, rows, max, &more);
    for (size_t i = 0; i < listed; i++)
        read_order(wants, rows[i], &orders[i]);
    free(rows);
    *ret = orders;
    *ret_count = listed;
    return 0;
}

/* What a row refers to as its client's certificate; NULL: nothing. */
static const json_t *client_certificate(const struct wants *wants, const json_t *row)
{
    const json_t *reference = json_object_get(row, "client_certificate");
    return json_is_object(reference) ? config_get(wants->config, entity_find(STR("certificates")),
                                                  row_text(reference, "id"))
                                     : NULL;
}

/* ---- upstream entities ---- */

/* What an upstream's row amounted to. */
struct kept {
    struct wanted *wanted;    /* borrowed */
    uint64_t targets, orders; /* the stamps of its rows of these kinds */
};

static int want_upstream(const struct wants *wants, const json_t *row, struct wanted **ret)
{
    const char *id = json_string_value(json_object_get(row, "id"));
    const json_t *discovery = json_object_get(row, "discovery");
    struct static_target *targets;
    size_t count;
    int rc = gather_targets(wants, id, &targets, &count);
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
        .client_certificate = client_certificate(wants, row),
        .host_header = row_text(row, "host_header"),
    };
    struct health_order *orders = NULL;
    rc = balancing_create(row, &spec.balancing);
    if (!rc)
        rc = gather_orders(wants, id, &orders, &spec.order_count);
    spec.orders = orders;
    if (!rc)
        rc = registry_want(wants->registry, &spec, ret);
    balancing_unref(spec.balancing);
    free(orders);
    free(targets);
    return rc;
}

static void read_stamps(const struct wants *wants, const struct packed_row *row, struct kept *kept)
{
    const char *id = packed_row_id(row);
    kept->targets =
        config_children_stamp(wants->config, entity_find(STR("targets")), "upstream", id);
    kept->orders =
        config_children_stamp(wants->config, entity_find(STR("health_orders")), "upstream", id);
}

/* Whether nothing has changed that an upstream whose row is the same was made of. */
static bool is_as_before(const struct wants *wants, const struct packed_row *row,
                         const struct kept *kept)
{
    struct kept now;
    if (wants->has_other_certificates)
        return false;
    if (!wants->has_other_members)
        return true;
    read_stamps(wants, row, &now);
    return now.targets == kept->targets && now.orders == kept->orders;
}

static int keep_or_want(void *arg, const struct packed_row *row)
{
    struct wants *wants = arg;
    struct kept *kept = row_cache_move(&wants->cursor, row, &wants->now);
    if (kept && is_as_before(wants, row, kept)) {
        registry_keep(wants->registry, kept->wanted);
        return 0;
    }
    if (!kept) {
        kept = calloc(1, sizeof(*kept));
        if (!kept || row_cache_add(&wants->now, row, kept))
            return UV_ENOMEM;
    }
    read_stamps(wants, row, kept);
    json_t *json = packed_row_unpack(row);
    int rc = json ? want_upstream(wants, json, &kept->wanted) : UV_ENOMEM;
    json_decref(json);
    return rc;
}

/* ---- hosts of services ---- */

/* Services with the same host share what is behind it; one with checks of its own stands alone. */
static int want_host(const struct wants *wants, const struct service *service, struct wanted **ret)
{
    char key[MAX_KEY_BYTES];
    const json_t *row = config_get(wants->config, entity_find(STR("services")), service->id);
    const json_t *healthchecks = json_object_get(row, "healthchecks");
    struct upstream_spec spec = {
        .name = service->host, .host = service->host, .port = service->port};
    if (json_is_object(healthchecks)) {
        spec.healthchecks = healthchecks;
        spec.client_certificate = client_certificate(wants, row);
        spec.host_header = service->host_header;
        snprintf(key, sizeof(key), SERVICE_KEY_PREFIX "%.*s:%.*s:%u", STR_ARG(service->id),
                 STR_ARG(service->host), service->port);
    } else {
        snprintf(key, sizeof(key), HOST_KEY_PREFIX "%.*s:%u", STR_ARG(service->host),
                 service->port);
    }
    spec.key = str_of(key);
    return registry_want(wants->registry, &spec, ret);
}

static int want_service(const struct wants *wants, struct compiled_service *compiled)
{
    const struct packed_row *upstream = wants_upstream_of(wants->config, compiled->service.host);
    if (!upstream)
        return want_host(wants, &compiled->service, &compiled->wanted);
    size_t at = row_cache_find(&wants->now, str_of(packed_row_id(upstream)));
    if (at == wants->now.count)
        return UV_ENOENT;
    compiled->wanted = ((struct kept *)wants->now.entries[at].made)->wanted;
    return 0;
}

static int connect_services(const struct wants *wants, struct snapshot *snapshot)
{
    bool is_same = !wants->has_other_upstreams && !wants->has_other_certificates;
    for (uint32_t i = 0; i < snapshot->service_count; i++) {
        struct compiled_service *compiled = snapshot->compiled_services[i];
        if (is_same && compiled->wanted) {
            registry_keep(wants->registry, compiled->wanted);
        } else {
            size_t lent = config_lent(wants->config);
            int rc = want_service(wants, compiled);
            config_take_back(wants->config, lent);
            if (rc)
                return rc;
        }
        snapshot->services[i].upstream = upstream_state_ref(registry_state(compiled->wanted));
    }
    return 0;
}

/* ---- the whole ---- */

const struct packed_row *wants_upstream_of(const struct config *config, struct str host)
{
    return config_find_packed(config, entity_find(STR("upstreams")), "name", host);
}

static uint64_t stamp_of(const struct config *config, const char *entity)
{
    return config_stamp(config, entity_find(str_of(entity)));
}

static struct wants_stamps read_all_stamps(const struct config *config)
{
    return (struct wants_stamps){
        .upstreams = stamp_of(config, "upstreams"),
        .targets = stamp_of(config, "targets"),
        .orders = stamp_of(config, "health_orders"),
        .certificates = stamp_of(config, "certificates"),
    };
}

bool wants_has_other_upstreams(const struct wants_cache *cache, const struct config *config)
{
    return cache->stamps.upstreams != stamp_of(config, "upstreams");
}

int wants_tell(struct wants_cache *cache, const struct config *config, struct registry *registry,
               struct snapshot *snapshot)
{
    struct wants_stamps stamps = read_all_stamps(config);
    struct wants wants = {
        .config = config,
        .registry = registry,
        .cursor = {.before = &cache->upstreams},
        .now = {.unref = free},
        .has_other_upstreams = stamps.upstreams != cache->stamps.upstreams,
        .has_other_members =
            stamps.targets != cache->stamps.targets || stamps.orders != cache->stamps.orders,
        .has_other_certificates = stamps.certificates != cache->stamps.certificates,
    };
    registry_begin(registry);
    int rc = config_walk_packed(config, entity_find(STR("upstreams")), keep_or_want, &wants);
    if (!rc)
        rc = connect_services(&wants, snapshot);
    wants_cache_deinit(cache);
    *cache = (struct wants_cache){.upstreams = wants.now, .stamps = stamps};
    if (rc)
        wants_cache_deinit(cache);
    return rc;
}

void wants_cache_deinit(struct wants_cache *cache)
{
    row_cache_clear(&cache->upstreams);
    *cache = (struct wants_cache){0};
}
