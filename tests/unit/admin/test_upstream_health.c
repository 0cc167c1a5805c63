/* What GET /upstreams/{u}/health makes of stored and discovered targets. */
#include "api.h"

#include "model/endpoints.h"
#include "net/ip.h"

#define MAX_TARGETS 8

struct known {
    const char *host;
    const char *ip;
    uint16_t port;
    uint32_t weight;
    const char *instance;
    uint32_t health;
};

/* Creates upstream "u" from `body`, and what the registry knows of it. */
static void upstream_with(const char *body, const struct known *known, uint32_t count)
{
    struct reply reply = call("PUT", "/upstreams/u", body);
    assert_int_equal(reply.status, 200);
    snprintf(api.upstream_key, sizeof(api.upstream_key), "upstream:%s", text_at(reply.body, "id"));
    free_reply(&reply);

    struct endpoint items[MAX_TARGETS];
    for (uint32_t i = 0; i < count; i++) {
        union ip_address address = {.v6.sin6_family = AF_INET};
        if (uv_ip4_addr(known[i].ip, known[i].port, (struct sockaddr_in *)&address) != 0)
            assert_int_equal(
                uv_ip6_addr(known[i].ip, known[i].port, (struct sockaddr_in6 *)&address), 0);
        struct target_identity identity = {
            .host = str_of(known[i].host),
            .instance = str_of(known[i].instance),
            .node = known[i].instance ? STR("node-1") : STR_EMPTY,
            .address = (const struct sockaddr *)&address,
        };
        assert_int_equal(target_state_create(&identity, 1, &items[i].target), 0);
        atomic_store(&items[i].target->health, known[i].health);
        items[i].weight = known[i].weight;
    }
    struct endpoints *endpoints;
    assert_int_equal(endpoints_create(ENDPOINTS_KNOWN, items, count, &endpoints), 0);
    for (uint32_t i = 0; i < count; i++)
        target_state_unref(items[i].target);
    assert_int_equal(upstream_state_create(STR("u"), 1, &api.upstream), 0);
    endpoints_destroy(upstream_state_swap(api.upstream, endpoints));
}

/* The target of that name. */
static const json_t *row_of(const struct reply *reply, const char *target)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(reply->body, "data"), i,
                       row) if (strcmp(text_at(row, "target"), target) == 0) return row;
    fail_msg("no target %s in %s", target, reply->text);
    return NULL;
}

#define CHECKED "{\"healthchecks\":{\"passive\":{\"unhealthy\":{\"tcp_failures\":3}}}}"

TEST(a_stored_target_is_judged_only_where_checks_are_set_up)
{
    upstream_with("{}",
                  (struct known[]){{"10.0.0.1", "10.0.0.1", 80, 100, NULL, 0},
                                   {"a.example", "10.0.0.2", 80, 50, NULL, 0},
                                   {"a.example", "10.0.0.3", 80, 50, NULL, 0}},
                  3);
    assert_status("POST", "/upstreams/u/targets", "target=10.0.0.1:80", 201);
    assert_status("POST", "/upstreams/u/targets", "target=a.example:80&weight=50", 201);
    assert_status("POST", "/upstreams/u/targets", "target=gone.example:80", 201);
    assert_status("POST", "/upstreams/u/targets", "target=10.0.0.9:80&weight=0", 201);

    struct reply reply = call("GET", "/upstreams/u/health", NULL);
    assert_int_equal(reply.status, 200);
    assert_string_equal(text_at(reply.body, "next"), "null");
    assert_string_equal(text_at(reply.body, "node_id"), "a6a1f0d4-3b0c-4b6e-8f66-0d5f5f2f0001");
    assert_int_equal(json_array_size(json_object_get(reply.body, "data")), 4);
    const json_t *row = row_of(&reply, "10.0.0.9:80"); /* of weight 0 */
    assert_string_equal(text_at(row, "health"), "HEALTHCHECKS_OFF");
    row = row_of(&reply, "gone.example:80");
    assert_string_equal(text_at(row, "health"), "DNS_ERROR");
    assert_string_equal(text_at(row, "data.addresses"), "[]");
    row = row_of(&reply, "a.example:80");
    assert_string_equal(text_at(row, "health"), "HEALTHCHECKS_OFF");
    assert_string_equal(text_at(row, "data.weight"),
                        "{\"available\":100,\"total\":100,\"unavailable\":0}");
    assert_string_equal(text_at(row, "data.addresses.1.ip"), "10.0.0.3");
    row = row_of(&reply, "10.0.0.1:80");
    assert_string_equal(text_at(row, "data.host"), "10.0.0.1");
    assert_string_equal(text_at(row, "data.port"), "80");
    free_reply(&reply);
}

TEST(with_checks_a_target_is_as_healthy_as_its_addresses)
{
    upstream_with(CHECKED,
                  (struct known[]){{"10.0.0.1", "10.0.0.1", 80, 100, NULL, 0},
                                   {"::1", "::1", 80, 100, NULL, TARGET_OUT_PASSIVE},
                                   {"a.example", "10.0.0.2", 80, 50, NULL, TARGET_OUT_PROBE},
                                   {"a.example", "10.0.0.3", 80, 50, NULL, 0}},
                  4);
    assert_status("POST", "/upstreams/u/targets", "target=10.0.0.1:80", 201);
    assert_status("POST", "/upstreams/u/targets", "target=[::1]:80", 201);
    assert_status("POST", "/upstreams/u/targets", "target=a.example:80", 201);

    struct reply reply = call("GET", "/upstreams/u/health", NULL);
    assert_int_equal(json_array_size(json_object_get(reply.body, "data")), 3);
    const json_t *row = row_of(&reply, "a.example:80");
    assert_string_equal(text_at(row, "health"), "HEALTHY");
    assert_string_equal(text_at(row, "data.addresses.0.health"), "UNHEALTHY");
    assert_string_equal(text_at(row, "data.addresses.1.health"), "HEALTHY");
    assert_string_equal(text_at(row, "data.weight.available"), "50");
    row = row_of(&reply, "[0000:0000:0000:0000:0000:0000:0000:0001]:80");
    assert_string_equal(text_at(row, "health"), "UNHEALTHY");
    row = row_of(&reply, "10.0.0.1:80");
    assert_string_equal(text_at(row, "health"), "HEALTHY");
    free_reply(&reply);
}

TEST(discovered_targets_have_no_row_and_consuls_word)
{
    upstream_with("{}",
                  (struct known[]){{"10.0.0.1", "10.0.0.1", 80, 1, "users-1", 0},
                                   {"10.0.0.2", "10.0.0.2", 80, 1, "users-2", TARGET_OUT_CONSUL},
                                   {"10.0.0.3", "10.0.0.3", 80, 1, NULL, 0}},
                  3);
    struct reply reply = call("GET", "/upstreams/u/health", NULL);
    assert_int_equal(json_array_size(json_object_get(reply.body, "data")), 3);
    assert_string_equal(text_at(reply.body, "data.0.id"), "null");
    assert_string_equal(text_at(reply.body, "data.0.target"), "10.0.0.1:80");
    assert_string_equal(text_at(reply.body, "data.0.weight"), "1");
    assert_string_equal(text_at(reply.body, "data.0.health"), "HEALTHY");
    assert_string_equal(text_at(reply.body, "data.0.discovery"),
                        "{\"instance\":\"users-1\",\"node\":\"node-1\",\"source\":\"consul\"}");
    assert_string_equal(text_at(reply.body, "data.1.health"), "UNHEALTHY");
    assert_string_equal(text_at(reply.body, "data.1.data.addresses.0.health"), "UNHEALTHY");
    assert_string_equal(text_at(reply.body, "data.2.health"), "HEALTHCHECKS_OFF");
    free_reply(&reply);
}

TEST(the_balancers_health_follows_from_the_weight_that_is_left)
{
    upstream_with("{\"healthchecks\":{\"threshold\":50,"
                  "\"passive\":{\"unhealthy\":{\"tcp_failures\":3}}}}",
                  (struct known[]){{"10.0.0.1", "10.0.0.1", 80, 50, NULL, 0},
                                   {"10.0.0.2", "10.0.0.2", 80, 50, NULL, TARGET_OUT_PASSIVE}},
                  2);
    struct reply reply = call("GET", "/upstreams/u/health?balancer_health=1", NULL);
    assert_string_equal(text_at(reply.body, "data.health"), "UNHEALTHY"); /* not more than half */
    assert_string_equal(text_at(reply.body, "data.balancer_health"), "UNHEALTHY");
    assert_string_equal(text_at(reply.body, "data.details.healthy"), "false");
    assert_string_equal(text_at(reply.body, "data.details.weight"),
                        "{\"available\":50,\"total\":100,\"unavailable\":50}");
    assert_string_equal(text_at(reply.body, "data.details.hosts.1.addresses.0.healthy"), "false");
    free_reply(&reply);

    assert_status("PATCH", "/upstreams/u", "healthchecks.threshold=49", 200);
    reply = call("GET", "/upstreams/u/health?balancer_health=1", NULL);
    assert_string_equal(text_at(reply.body, "data.balancer_health"), "HEALTHY");
    free_reply(&reply);
}

TEST(an_upstream_that_nothing_uses_yet_has_health_too)
{
    assert_status("POST", "/upstreams", "name=new", 201);
    assert_status("POST", "/upstreams/new/targets", "target=10.0.0.1:80", 201);
    struct reply reply = call("GET", "/upstreams/new/health", NULL);
    assert_string_equal(text_at(reply.body, "data.0.health"), "DNS_ERROR");
    free_reply(&reply);
    assert_answer("GET", "/upstreams/none/health", NULL, 404, "{\"message\":\"Not found\"}");
}

RUN(A(a_stored_target_is_judged_only_where_checks_are_set_up),
    A(with_checks_a_target_is_as_healthy_as_its_addresses),
    A(discovered_targets_have_no_row_and_consuls_word),
    A(the_balancers_health_follows_from_the_weight_that_is_left),
    A(an_upstream_that_nothing_uses_yet_has_health_too))
