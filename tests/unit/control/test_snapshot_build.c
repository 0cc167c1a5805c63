#include "control/snapshot_build.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "proxy/router.h"
#include "unit/test.h"

#define SERVICE_ID "00000000-0000-0000-0000-000000000001"
#define UPSTREAM_ID "00000000-0000-0000-0000-0000000000f1"

struct fixture {
    uv_loop_t loop;
    struct config *config;
    struct registry *registry;
    struct build_cache cache;
    struct snapshot *snapshot; /* the last one built */
};

static void retire(void *owner, struct endpoints *old)
{
    (void)owner;
    endpoints_destroy(old); /* no worker runs here */
}

static void setup(struct fixture *fixture)
{
    const struct registry_settings settings = {.worker_count = 1, .retire = retire};
    *fixture = (struct fixture){0};
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(config_create(&fixture->config), 0);
    assert_int_equal(registry_create(&fixture->loop, &settings, &fixture->registry), 0);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void teardown(struct fixture *fixture)
{
    snapshot_unref(fixture->snapshot);
    build_cache_deinit(&fixture->cache);
    registry_close(fixture->registry, on_closed, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    config_destroy(fixture->config);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
}

/* Inserts as the Admin API does, so that the row is complete. */
static void insert(struct fixture *fixture, const char *entity, const char *json)
{
    struct config_change change = {0};
    struct violation violation = {0};
    json_t *input = json_loads(json, 0, NULL);
    assert_non_null(input);
    int rc = config_plan_insert(fixture->config, entity_find(str_of(entity)), input, NULL, NULL,
                                &change, NULL, &violation);
    if (rc)
        print_error("%s: %s\n", json, violation.message);
    assert_int_equal(rc, 0);
    config_apply(fixture->config, &change);
    config_change_deinit(&change);
    violation_deinit(&violation);
    json_decref(input);
}

static void build(struct fixture *fixture)
{
    struct error err;
    struct snapshot *snapshot;
    assert_int_equal(
        snapshot_build(fixture->config, fixture->registry, &fixture->cache, 1, &snapshot, &err), 0);
    registry_end(fixture->registry);
    snapshot_unref(fixture->snapshot);
    fixture->snapshot = snapshot;
}

TEST(a_service_and_its_route_are_compiled_whole)
{
    struct fixture fixture;
    setup(&fixture);
    insert(&fixture, "services",
           "{\"id\":\"" SERVICE_ID "\",\"name\":\"s\",\"host\":\"127.0.0.1\",\"port\":8080,"
           "\"path\":\"/v1\",\"retries\":2,\"read_timeout\":3000}");
    insert(&fixture, "routes",
           "{\"paths\":[\"/a\",\"/b\"],\"hosts\":[\"Example.com\"],\"methods\":[\"GET\"],"
           "\"headers\":{\"X-Ver\":[\"One\"]},\"strip_path\":false,"
           "\"service\":{\"id\":\"" SERVICE_ID "\"}}");
    build(&fixture);

    assert_int_equal(fixture.snapshot->service_count, 1);
    assert_int_equal(fixture.snapshot->route_count, 1);
    const struct route *route = &fixture.snapshot->routes[0];
    assert_int_equal(route->path_count, 2);
    assert_true(str_equal(route->hosts[0], STR("example.com")));
    assert_true(str_equal(route->headers[0].name, STR("x-ver")));
    assert_true(str_equal(route->headers[0].values[0], STR("one")));
    assert_false(route->strip_path);
    const struct service *service = route->service;
    assert_true(str_equal(service->path, STR("/v1")));
    assert_int_equal(service->retries, 2);
    assert_int_equal(service->read_timeout_ms, 3000);
    assert_true(str_equal(service->host_header, STR("127.0.0.1:8080")));
    assert_int_equal(upstream_state_endpoints(service->upstream)->wheel_len, 1);
    teardown(&fixture);
}

TEST(a_header_regex_keeps_its_case)
{
    struct fixture fixture;
    setup(&fixture);
    insert(&fixture, "routes", "{\"headers\":{\"x\":[\"~*^\\\\D+$\"]}}");
    build(&fixture);
    assert_true(str_equal(fixture.snapshot->routes[0].headers[0].values[0], STR("~*^\\D+$")));
    teardown(&fixture);
}

TEST(a_number_that_was_cleared_works_as_its_default)
{
    struct fixture fixture;
    setup(&fixture);
    insert(&fixture, "services", "{\"host\":\"h\",\"read_timeout\":null,\"retries\":null}");
    build(&fixture);
    assert_int_equal(fixture.snapshot->services[0].read_timeout_ms, 60000);
    assert_int_equal(fixture.snapshot->services[0].retries, 5);
    teardown(&fixture);
}

TEST(the_port_of_a_host_header_is_left_out_where_the_scheme_says_it)
{
    static const struct {
        const char *json;
        const char *host_header;
    } cases[] = {
        {"{\"host\":\"h\",\"port\":80}", "h"},
        {"{\"host\":\"h\",\"port\":443}", "h:443"},
        {"{\"host\":\"h\",\"port\":443,\"protocol\":\"https\"}", "h"},
        {"{\"host\":\"h\",\"port\":80,\"protocol\":\"https\"}", "h:80"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct fixture fixture;
        setup(&fixture);
        insert(&fixture, "services", cases[i].json);
        build(&fixture);
        assert_true(
            str_equal(fixture.snapshot->services[0].host_header, str_of(cases[i].host_header)));
        teardown(&fixture);
    }
}

TEST(a_host_that_names_an_upstream_gets_its_targets_and_host_header)
{
    struct fixture fixture;
    setup(&fixture);
    insert(&fixture, "upstreams",
           "{\"id\":\"" UPSTREAM_ID "\",\"name\":\"pool\",\"host_header\":\"www.example.com\"}");
    insert(&fixture, "targets",
           "{\"target\":\"127.0.0.1:1001\",\"weight\":10,\"upstream\":{\"id\":\"" UPSTREAM_ID
           "\"}}");
    insert(&fixture, "targets",
           "{\"target\":\"[::1]:1002\",\"weight\":20,\"upstream\":{\"id\":\"" UPSTREAM_ID "\"}}");
    insert(&fixture, "services", "{\"host\":\"pool\"}");
    build(&fixture);
    const struct service *service = &fixture.snapshot->services[0];
    assert_true(str_equal(service->host_header, STR("www.example.com")));
    const struct endpoints *endpoints = upstream_state_endpoints(service->upstream);
    assert_int_equal(endpoints->count, 2);
    assert_int_equal(endpoints->wheel_len, 3); /* 10 and 20: one turn and two */
    teardown(&fixture);
}

TEST(an_upstream_and_its_target_states_survive_a_rebuild)
{
    struct fixture fixture;
    setup(&fixture);
    insert(&fixture, "services", "{\"host\":\"127.0.0.1\",\"port\":1001}");
    build(&fixture);
    struct upstream_state *upstream = fixture.snapshot->services[0].upstream;
    struct target_state *target = upstream_state_endpoints(upstream)->items[0].target;
    insert(&fixture, "services", "{\"host\":\"127.0.0.1\",\"port\":1002}");
    build(&fixture);
    bool found = false;
    for (uint32_t i = 0; i < fixture.snapshot->service_count; i++)
        found |= fixture.snapshot->services[i].upstream == upstream;
    assert_true(found);
    assert_ptr_equal(upstream_state_endpoints(upstream)->items[0].target, target);
    teardown(&fixture);
}

TEST(routes_of_a_disabled_service_do_not_exist_and_those_without_one_do)
{
    struct fixture fixture;
    setup(&fixture);
    insert(&fixture, "services", "{\"id\":\"" SERVICE_ID "\",\"host\":\"h\",\"enabled\":false}");
    insert(&fixture, "routes", "{\"paths\":[\"/a\"],\"service\":{\"id\":\"" SERVICE_ID "\"}}");
    insert(&fixture, "routes", "{\"paths\":[\"/b\"]}");
    build(&fixture);
    assert_int_equal(fixture.snapshot->service_count, 0);
    assert_int_equal(fixture.snapshot->route_count, 1);
    assert_true(str_equal(fixture.snapshot->routes[0].paths[0], STR("/b")));
    assert_null(fixture.snapshot->routes[0].service);
    teardown(&fixture);
}

static void remove_row(struct fixture *fixture, const char *entity, const char *id)
{
    struct config_change change = {0};
    struct violation violation = {0};
    assert_int_equal(config_plan_remove(fixture->config, entity_find(str_of(entity)), str_of(id),
                                        NULL, NULL, &change, &violation),
                     0);
    config_apply(fixture->config, &change);
    config_change_deinit(&change);
    violation_deinit(&violation);
}

static const struct endpoints *endpoints_of_first(const struct fixture *fixture)
{
    return upstream_state_endpoints(fixture->snapshot->services[0].upstream);
}

TEST(a_service_that_stays_follows_its_upstream)
{
    struct fixture fixture;
    setup(&fixture);
    insert(&fixture, "services", "{\"host\":\"pool\",\"port\":1001}");
    build(&fixture);
    build(&fixture); /* nothing has changed */
    struct upstream_state *of_host = fixture.snapshot->services[0].upstream;
    assert_ptr_equal(of_host, registry_find(fixture.registry, STR("host:pool:1001")));
    assert_true(str_equal(fixture.snapshot->services[0].host_header, STR("pool:1001")));

    insert(&fixture, "upstreams",
           "{\"id\":\"" UPSTREAM_ID "\",\"name\":\"pool\",\"host_header\":\"h\"}");
    build(&fixture);
    assert_int_equal(endpoints_of_first(&fixture)->count, 0);
    assert_null(registry_find(fixture.registry, STR("host:pool:1001")));
    assert_true(str_equal(fixture.snapshot->services[0].host_header, STR("h")));

    for (int count = 1; count <= 2; count++) {
        char json[128];
        snprintf(json, sizeof(json),
                 "{\"target\":\"127.0.0.1:%d\",\"upstream\":{\"id\":\"" UPSTREAM_ID "\"}}", count);
        insert(&fixture, "targets", json);
        build(&fixture);
        assert_int_equal(endpoints_of_first(&fixture)->count, count);
        build(&fixture);
        assert_int_equal(endpoints_of_first(&fixture)->count, count);
    }

    remove_row(&fixture, "upstreams", UPSTREAM_ID);
    build(&fixture);
    assert_ptr_equal(fixture.snapshot->services[0].upstream,
                     registry_find(fixture.registry, STR("host:pool:1001")));
    assert_null(registry_find(fixture.registry, STR("upstream:" UPSTREAM_ID)));
    assert_true(str_equal(fixture.snapshot->services[0].host_header, STR("pool:1001")));
    teardown(&fixture);
}

/* Ids in order, so that services can come before, between and behind those that are there. */
static void insert_pair(struct fixture *fixture, unsigned number)
{
    char json[256];
    snprintf(json, sizeof(json),
             "{\"id\":\"00000000-0000-0000-0000-0000000001%02u\",\"name\":\"n%u\","
             "\"host\":\"127.0.0.1\"}",
             number, number);
    insert(fixture, "services", json);
    snprintf(json, sizeof(json),
             "{\"name\":\"n%u\",\"paths\":[\"/%u\"],"
             "\"service\":{\"id\":\"00000000-0000-0000-0000-0000000001%02u\"}}",
             number, number, number);
    insert(fixture, "routes", json);
}

TEST(a_route_that_stays_finds_its_service_wherever_that_has_moved)
{
    static const unsigned order[] = {50, 40, 41, 60, 30, 55, 10, 11, 12, 13};
    struct fixture fixture;
    setup(&fixture);
    for (unsigned i = 0; i < sizeof(order) / sizeof(*order); i++) {
        insert_pair(&fixture, order[i]);
        build(&fixture);
        assert_int_equal(fixture.snapshot->route_count, i + 1);
        for (unsigned at = 0; at <= i; at++) {
            const struct route *route = &fixture.snapshot->routes[at];
            assert_true(str_equal(route->service->name, route->name));
            assert_non_null(route->service->upstream);
        }
    }
    remove_row(&fixture, "routes", "n41");
    remove_row(&fixture, "services", "n41");
    build(&fixture);
    for (unsigned at = 0; at < fixture.snapshot->route_count; at++)
        assert_true(str_equal(fixture.snapshot->routes[at].service->name,
                              fixture.snapshot->routes[at].name));
    teardown(&fixture);
}

TEST(after_a_build_that_failed_all_is_there_again)
{
    struct error err;
    struct snapshot *snapshot;
    struct fixture fixture;
    setup(&fixture);
    insert_pair(&fixture, 1);
    build(&fixture);
    /* No request can write it; a row in a database may hold it. */
    assert_int_equal(config_load(fixture.config, "routes", "00000000-0000-0000-0000-00000000000a",
                                 "{\"paths\":[\"~/(\"],\"protocols\":[\"http\"]}"),
                     0);
    assert_int_equal(
        snapshot_build(fixture.config, fixture.registry, &fixture.cache, 1, &snapshot, &err),
        UV_EINVAL);
    remove_row(&fixture, "routes", "00000000-0000-0000-0000-00000000000a");
    build(&fixture);
    assert_int_equal(fixture.snapshot->route_count, 1);
    assert_int_equal(endpoints_of_first(&fixture)->count, 1);
    teardown(&fixture);
}

TEST(what_is_not_wanted_any_more_serves_until_the_round_ends)
{
    struct error err;
    struct snapshot *snapshot;
    struct fixture fixture;
    setup(&fixture);
    insert(&fixture, "services", "{\"id\":\"" SERVICE_ID "\",\"host\":\"127.0.0.1\"}");
    build(&fixture);
    remove_row(&fixture, "services", SERVICE_ID);
    assert_int_equal(
        snapshot_build(fixture.config, fixture.registry, &fixture.cache, 1, &snapshot, &err), 0);
    assert_int_equal(snapshot->service_count, 0);
    assert_int_equal(endpoints_of_first(&fixture)->count, 1); /* it is in force */
    registry_end(fixture.registry);
    assert_int_equal(endpoints_of_first(&fixture)->count, 0);
    snapshot_unref(snapshot);
    teardown(&fixture);
}

RUN(T(a_service_and_its_route_are_compiled_whole), T(a_header_regex_keeps_its_case),
    T(a_number_that_was_cleared_works_as_its_default),
    T(the_port_of_a_host_header_is_left_out_where_the_scheme_says_it),
    T(a_host_that_names_an_upstream_gets_its_targets_and_host_header),
    T(an_upstream_and_its_target_states_survive_a_rebuild),
    T(routes_of_a_disabled_service_do_not_exist_and_those_without_one_do),
    T(a_service_that_stays_follows_its_upstream),
    T(a_route_that_stays_finds_its_service_wherever_that_has_moved),
    T(after_a_build_that_failed_all_is_there_again),
    T(what_is_not_wanted_any_more_serves_until_the_round_ends))
