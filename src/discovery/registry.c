#include "discovery/registry.h"

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "discovery/explain.h"
#include "discovery/gathering.h"
#include "discovery/pool_metrics.h"
#include "discovery/pulse.h"
#include "discovery/sources.h"
#include "discovery/upstream.h"
#include "health/pool_health.h"

struct registry {
    struct sources *sources;
    struct monitor *monitor;
    struct announced *announced; /* NULL: routes are made by hand alone */
    void (*on_routes)(void *owner);
    void *owner;
    struct pulse pulse;
    struct upstream_ground ground;
    struct map by_key;     /* of struct wanted */
    struct list upstreams; /* the same, for walks */
    size_t wanted_count;   /* of them, in the round that is going on */
    uint64_t round;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct wanted {
    struct list link;
    char *key;
    struct upstream *upstream;
    uint64_t round; /* that wanted it last */
};

static void on_news(void *owner, struct source *source)
{
    struct registry *registry = owner;
    if (registry->announced)
        announced_hear(registry->announced, source);
    LIST_EACH(node, &registry->upstreams)
    upstream_hear(LIST_ENTRY(node, struct wanted, link)->upstream, source);
}

static void on_event(void *owner, json_t *event)
{
    struct registry *registry = owner;
    if (registry->monitor)
        events_add(&registry->monitor->events, event);
    else
        json_decref(event);
}

static void on_resume(void *arg)
{
    struct registry *registry = arg;
    sources_resume(registry->sources);
}

static void on_claims(void *owner)
{
    const struct registry *registry = owner;
    registry->on_routes(registry->owner);
}

int registry_create(uv_loop_t *loop, const struct registry_settings *settings,
                    struct registry **ret)
{
    struct registry *registry = calloc(1, sizeof(*registry));
    if (!registry)
        return UV_ENOMEM;
    list_init(&registry->upstreams);
    int rc = sources_create(loop, &settings->consul, &settings->dns, settings->data_dir, on_news,
                            registry, &registry->sources);
    if (rc) {
        free(registry);
        return rc;
    }
    if ((rc = monitor_create(loop, settings->panic_percent, &registry->monitor))) {
        sources_close(registry->sources, free, registry);
        return rc;
    }
    sources_set_listener(registry->sources, on_event);
    registry->ground = (struct upstream_ground){
        .sources = registry->sources,
        .monitor = registry->monitor,
        .worker_count = settings->worker_count,
        .retire = settings->retire,
        .owner = settings->owner,
    };
    pulse_start(&registry->pulse, loop, on_resume, registry);
    registry->on_routes = settings->on_routes;
    registry->owner = settings->owner;
    *ret = registry;
    if (settings->on_routes && !sources_has_consul(registry->sources))
        log_warn("no routes are made of tags", LOG_CSTR("why", "no Consul is configured"));
    /* After it is known to its owner, who is told of claims. */
    return settings->on_routes && sources_has_consul(registry->sources)
               ? announced_create(loop, registry->sources, on_claims, registry,
                                  &registry->announced)
               : 0;
}

void registry_begin(struct registry *registry)
{
    registry->round++;
    registry->wanted_count = 0;
}

static int add(struct registry *registry, const struct upstream_spec *spec, struct wanted **ret)
{
    int rc = UV_ENOMEM;
    struct wanted *wanted = calloc(1, sizeof(*wanted));
    if (!wanted)
        return rc;
    if (!(wanted->key = str_dup(spec->key)) ||
        (rc = map_put(&registry->by_key, spec->key, wanted, NULL)))
        goto fail;
    if ((rc = upstream_create(&registry->ground, spec, &wanted->upstream))) {
        map_remove(&registry->by_key, spec->key);
        goto fail;
    }
    list_push_back(&registry->upstreams, &wanted->link);
    *ret = wanted;
    return 0;
fail:
    free(wanted->key);
    free(wanted);
    return rc;
}

int registry_want(struct registry *registry, const struct upstream_spec *spec, struct wanted **ret)
{
    struct wanted *wanted = map_get(&registry->by_key, spec->key);
    int rc = wanted ? upstream_set_spec(wanted->upstream, spec) : add(registry, spec, &wanted);
    if (rc)
        return rc;
    registry_keep(registry, wanted);
    *ret = wanted;
    return 0;
}

void registry_keep(struct registry *registry, struct wanted *wanted)
{
    registry->wanted_count += wanted->round != registry->round;
    wanted->round = registry->round;
}

struct upstream_state *registry_state(const struct wanted *wanted)
{
    return upstream_get_state(wanted->upstream);
}

static struct upstream *take_out(struct registry *registry, struct wanted *wanted)
{
    struct upstream *upstream = wanted->upstream;
    list_remove(&wanted->link);
    map_remove(&registry->by_key, str_of(wanted->key));
    free(wanted->key);
    free(wanted);
    return upstream;
}

void registry_end(struct registry *registry)
{
    if (registry->wanted_count == registry->by_key.count)
        return;
    LIST_EACH(node, &registry->upstreams)
    {
        struct wanted *wanted = LIST_ENTRY(node, struct wanted, link);
        if (wanted->round != registry->round)
            upstream_withdraw(take_out(registry, wanted));
    }
}

struct upstream_state *registry_find(struct registry *registry, struct str key)
{
    struct wanted *wanted = map_get(&registry->by_key, key);
    return wanted ? upstream_get_state(wanted->upstream) : NULL;
}

void registry_hear(struct registry *registry, struct upstream_state *upstream,
                   struct target_state *target, const struct passive_news *news)
{
    (void)registry;
    pool_health_hear(upstream->health, target, news);
}

size_t registry_claims(const struct registry *registry, const struct announced_claim **ret)
{
    return registry->announced ? announced_claims(registry->announced, ret) : 0;
}

struct events *registry_events(struct registry *registry)
{
    return &registry->monitor->events;
}

json_t *registry_status(struct registry *registry)
{
    json_t *status = sources_status(registry->sources);
    json_object_set_new(status, "stalls", json_integer((json_int_t)registry->pulse.stall_count));
    json_object_set_new(status, "longest_stall_ms",
                        json_integer((json_int_t)registry->pulse.longest_stall_ms));
    return status;
}

/* Which upstreams each source serves, by its key. */
static json_t *collect_users(const struct registry *registry)
{
    json_t *users = json_object();
    LIST_EACH(node, &registry->upstreams)
    {
        const struct upstream *upstream = LIST_ENTRY(node, struct wanted, link)->upstream;
        const struct source_uses *uses = upstream_get_uses(upstream);
        for (size_t i = 0; i < uses->count; i++) {
            const char *key = uses->items[i].source->key;
            if (!json_object_get(users, key))
                json_object_set_new(users, key, json_array());
            json_array_append_new(json_object_get(users, key),
                                  json_string(upstream_get_name(upstream)));
        }
    }
    return users;
}

json_t *registry_discovery(struct registry *registry)
{
    json_t *users = collect_users(registry);
    json_t *list = sources_describe(registry->sources, users);
    json_decref(users);
    if (registry->announced)
        json_array_append_new(list, announced_describe(registry->announced));
    return list;
}

void registry_print_metrics(const struct registry *registry, struct metrics_text *text)
{
    sources_print_metrics(registry->sources, text);
    for (enum pool_metric metric = 0; metric < POOL_METRIC_COUNT; metric++) {
        uint32_t left = POOL_METRICS_MAX_TARGETS;
        pool_metrics_begin(metric, text);
        LIST_EACH(node, &registry->upstreams)
        {
            struct wanted *wanted = LIST_ENTRY(node, struct wanted, link);
            pool_metrics_print(metric, wanted->key, upstream_get_state(wanted->upstream),
                               upstream_get_set(wanted->upstream), &left, text);
        }
    }
    pool_metrics_print_events(&registry->monitor->events, text);
}

json_t *registry_explain(struct registry *registry, struct str key)
{
    struct wanted *wanted = map_get(&registry->by_key, key);
    if (!wanted)
        return NULL;
    return explain_targets(upstream_get_set(wanted->upstream),
                           upstream_get_state(wanted->upstream));
}

static void on_sources_closed(void *arg)
{
    struct registry *registry = arg;
    void (*closed)(void *) = registry->closed;
    void *closed_arg = registry->closed_arg;
    map_deinit(&registry->by_key);
    free(registry);
    closed(closed_arg);
}

static void on_pulse_closed(uv_handle_t *timer)
{
    struct registry *registry = timer->data;
    sources_close(registry->sources, on_sources_closed, registry);
}

static void on_monitor_closed(void *arg)
{
    struct registry *registry = arg;
    registry->monitor = NULL;
    pulse_close(&registry->pulse, on_pulse_closed);
}

static void close_monitor(void *arg)
{
    struct registry *registry = arg;
    monitor_close(registry->monitor, on_monitor_closed, registry);
}

void registry_close(struct registry *registry, void (*closed)(void *arg), void *arg)
{
    registry->closed = closed;
    registry->closed_arg = arg;
    sources_save(registry->sources);
    LIST_EACH(node, &registry->upstreams)
    upstream_destroy(take_out(registry, LIST_ENTRY(node, struct wanted, link)));
    if (registry->announced)
        announced_close(registry->announced, close_monitor, registry);
    else
        close_monitor(registry);
    registry->announced = NULL;
}
