#include "admin/upstream_health.h"

#include <stdlib.h>

#include <uv.h>

#include "admin/server.h"
#include "discovery/registry.h"
#include "health/board.h"
#include "health/pool_health.h"
#include "model/entity.h"

#define MAX_KEY_BYTES 128
#define LIST_CHUNK 256 /* rows read from the configuration at one time */

struct weights {
    json_int_t total;
    json_int_t available;
};

struct report {
    struct admin_request *request;
    const json_t *upstream;
    const char *upstream_id;
    struct upstream_state *state;      /* borrowed; NULL: no configuration in force names it yet */
    const struct endpoints *endpoints; /* borrowed; NULL with it */
    bool has_checks;
    bool *claimed;   /* in the arena: endpoints that belong to a stored target */
    json_t *targets; /* owned */
    json_t *hosts;   /* owned; of ?balancer_health=1 */
    struct weights weights;
};

/* ---- does anything judge targets? ---- */

static double number_at(const json_t *root, const char *const *path)
{
    for (; *path; path++)
        root = json_object_get(root, *path);
    return json_number_value(root);
}

/* Kong's rule: a checker exists when any of these is not 0. */
static bool has_checks(const json_t *upstream)
{
    static const char *const paths[][5] = {
        {"healthchecks", "active", "healthy", "interval"},
        {"healthchecks", "active", "unhealthy", "interval"},
        {"healthchecks", "passive", "unhealthy", "tcp_failures"},
        {"healthchecks", "passive", "unhealthy", "timeouts"},
        {"healthchecks", "passive", "unhealthy", "http_failures"},
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (number_at(upstream, paths[i]) > 0)
            return true;
    return false;
}

/* ---- one target ---- */

static bool is_discovered(const struct target_state *target)
{
    return target->instance[0] != '\0';
}

static struct weights add_weights(struct weights a, struct weights b)
{
    return (struct weights){a.total + b.total, a.available + b.available};
}

static json_t *weights_body(struct weights weights)
{
    return json_pack("{s:I, s:I, s:I}", "total", weights.total, "available", weights.available,
                     "unavailable", weights.total - weights.available);
}

static const char *word_of(const struct report *report, bool is_usable, bool is_judged)
{
    if (!is_usable)
        return "UNHEALTHY";
    return is_judged || report->has_checks ? "HEALTHY" : "HEALTHCHECKS_OFF";
}

/* One address of a target. The lists of both answers differ in how they say that it is healthy. */
static json_t *address_body(const struct report *report, const struct endpoint *endpoint,
                            bool for_balancer)
{
    const struct target_state *target = endpoint->target;
    char ip[INET6_ADDRSTRLEN] = "";
    if (target->address.any.sa_family == AF_INET6)
        uv_ip6_name(&target->address.v6, ip, sizeof(ip));
    else if (target->address.any.sa_family == AF_INET)
        uv_ip4_name(&target->address.v4, ip, sizeof(ip));
    bool is_usable = target_state_is_usable(target);
    json_t *body = json_pack("{s:s, s:i, s:I}", "ip", ip, "port", (int)target->port, "weight",
                             (json_int_t)endpoint->weight);
    uint32_t word = atomic_load_explicit(&target->health, memory_order_relaxed);
    const char *why = report->state ? pool_health_why(report->state->health, target) : "";
    if (word) {
        char reasons[96];
        json_object_set_new(body, "reasons",
                            json_string(board_reasons(word, reasons, sizeof(reasons))));
    }
    if (word && why[0])
        json_object_set_new(body, "why", json_string(why));
    if (for_balancer)
        json_object_set_new(body, "healthy", json_boolean(is_usable));
    else
        json_object_set_new(body, "health",
                            json_string(word_of(report, is_usable, is_discovered(target))));
    return body;
}

struct found {
    struct weights weights;
    json_t *addresses;          /* owned */
    json_t *balancer_addresses; /* owned */
    size_t count;
};

static void add_address(const struct report *report, struct found *found,
                        const struct endpoint *endpoint)
{
    bool is_usable = target_state_is_usable(endpoint->target);
    found->weights =
        add_weights(found->weights, (struct weights){endpoint->weight,
                                                     is_usable ? (json_int_t)endpoint->weight : 0});
    json_array_append_new(found->addresses, address_body(report, endpoint, false));
    json_array_append_new(found->balancer_addresses, address_body(report, endpoint, true));
    found->count++;
}

static json_t *host_body(const char *host, int port, const char *dns, json_int_t weight,
                         struct weights weights, json_t *addresses)
{
    return json_pack("{s:s, s:i, s:s, s:I, s:o, s:o}", "host", host, "port", port, "dns", dns,
                     "nodeWeight", weight, "weight", weights_body(weights), "addresses", addresses);
}

/* Adds a target to both answers; `body` is owned here. */
static void add_target(struct report *report, json_t *body, const char *health, const char *host,
                       int port, const char *dns, json_int_t weight, struct found *found)
{
    json_object_set_new(body, "health", json_string(health));
    json_object_set_new(body, "data",
                        host_body(host, port, dns, weight, found->weights, found->addresses));
    json_array_append_new(report->targets, body);
    json_array_append_new(report->hosts, host_body(host, port, dns, weight, found->weights,
                                                   found->balancer_addresses));
    report->weights = add_weights(report->weights, found->weights);
}

static struct found nothing_found(void)
{
    return (struct found){.addresses = json_array(), .balancer_addresses = json_array()};
}

/* ---- stored targets ---- */

/* "10.0.0.1:80", "[::1]:80": a stored target always has its port. */
static struct str split_target(struct str target, int *ret_port)
{
    const char *colon = target.len > 0 ? memrchr(target.ptr, ':', target.len) : NULL;
    uint64_t port = 0;
    if (!colon ||
        !str_to_u64(str_make(colon + 1, target.len - (size_t)(colon - target.ptr) - 1), &port))
        return target;
    *ret_port = (int)(port & 0xffff);
    struct str host = str_make(target.ptr, (size_t)(colon - target.ptr));
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_make(host.ptr + 1, host.len - 2);
    return host;
}

static const char *stored_health(const struct report *report, const struct found *found,
                                 json_int_t weight)
{
    if (weight == 0)
        return "HEALTHCHECKS_OFF";
    if (found->count == 0)
        return "DNS_ERROR";
    return word_of(report, found->weights.available > 0, false);
}

struct stored_host {
    char text[256]; /* longer than any name may be */
    int port;
};

static void parse_host(const char *target, struct stored_host *host)
{
    *host = (struct stored_host){.port = 0};
    struct str text = split_target(str_of(target), &host->port);
    snprintf(host->text, sizeof(host->text), "%.*s", STR_ARG(text));
}

static bool is_of_host(const struct stored_host *host, const struct target_state *target)
{
    return target_state_is_at(target, str_of(host->text), (uint16_t)host->port);
}

bool admin_is_target_of(const json_t *row, const struct target_state *target)
{
    struct stored_host host;
    parse_host(json_string_value(json_object_get(row, "target")), &host);
    return is_of_host(&host, target);
}

static void add_stored(struct report *report, const struct entity *entity, const json_t *row)
{
    json_int_t weight = json_integer_value(json_object_get(row, "weight"));
    struct stored_host host;
    parse_host(json_string_value(json_object_get(row, "target")), &host);
    struct found found = nothing_found();
    for (uint32_t i = 0; report->endpoints && i < report->endpoints->count; i++) {
        const struct endpoint *endpoint = &report->endpoints->items[i];
        if (report->claimed[i] || !is_of_host(&host, endpoint->target))
            continue;
        report->claimed[i] = true;
        add_address(report, &found, endpoint);
    }
    const char *dns = found.count > 0 ? "A" : "dns server error: 3 name error";
    add_target(report, entity_to_body(entity, row), stored_health(report, &found, weight),
               host.text, host.port, dns, weight, &found);
}

static void add_all_stored(struct report *report)
{
    const struct config *config = report->request->node->config;
    const struct entity *entity = entity_find(STR("targets"));
    const json_t *rows[LIST_CHUNK];
    const char *after = NULL;
    bool has_more = entity != NULL;
    while (has_more) {
        size_t count = config_list(config, entity, after, "upstream", report->upstream_id, rows,
                                   LIST_CHUNK, &has_more);
        for (size_t i = 0; i < count; i++)
            add_stored(report, entity, rows[i]);
        if (count == 0)
            break;
        after = json_string_value(json_object_get(rows[count - 1], "id"));
    }
}

/* ---- discovered targets ---- */

/* What a row would be if there was one. */
static json_t *discovered_body(const struct report *report, const struct endpoint *endpoint)
{
    const struct target_state *target = endpoint->target;
    json_t *body = json_pack("{s:n, s:{s:s}, s:s, s:I, s:n, s:n, s:n}", "id", "upstream", "id",
                             report->upstream_id, "target", target->name, "weight",
                             (json_int_t)endpoint->weight, "tags", "created_at", "updated_at");
    json_t *discovery = is_discovered(target)
                            ? json_pack("{s:s, s:s, s:s}", "source", "consul", "instance",
                                        target->instance, "node", target->node)
                            : json_pack("{s:s}", "source", "dns");
    json_object_set_new(body, "discovery", discovery);
    return body;
}

static void add_all_discovered(struct report *report)
{
    for (uint32_t i = 0; report->endpoints && i < report->endpoints->count; i++) {
        const struct endpoint *endpoint = &report->endpoints->items[i];
        const struct target_state *target = endpoint->target;
        if (report->claimed[i])
            continue;
        struct found found = nothing_found();
        add_address(report, &found, endpoint);
        bool is_judged = is_discovered(target);
        const char *health = endpoint->weight == 0 && !is_judged
                                 ? "HEALTHCHECKS_OFF"
                                 : word_of(report, target_state_is_usable(target), is_judged);
        add_target(report, discovered_body(report, endpoint), health, target->host, target->port,
                   is_judged ? "SRV" : "A", endpoint->weight, &found);
    }
}

/* ---- the answers ---- */

/* Kong's rule: more than `threshold` percent of the weight must be available. */
static json_t *balancer_body(struct report *report)
{
    static const char *const path[] = {"healthchecks", "threshold", NULL};
    double threshold = number_at(report->upstream, path);
    struct weights weights = report->weights;
    bool is_healthy =
        weights.total > 0 && (double)weights.available * 100.0 > threshold * (double)weights.total;
    const char *word = is_healthy ? "HEALTHY" : "UNHEALTHY";
    bool is_judged = report->has_checks || json_object_get(report->upstream, "discovery");
    json_t *body = json_pack("{s:s, s:s, s:s, s:{s:b, s:o, s:O}}", "id", report->upstream_id,
                             "health", is_judged ? word : "HEALTHCHECKS_OFF", "balancer_health",
                             word, "details", "healthy", (int)is_healthy, "weight",
                             weights_body(weights), "hosts", report->hosts);
    if (report->state && pool_health_is_panicking(report->state->health))
        json_object_set_new(body, "panic", json_true());
    return body;
}

struct upstream_state *admin_upstream_state(struct admin_request *request, const json_t *upstream)
{
    struct registry *registry = request->node->registry;
    char key[MAX_KEY_BYTES];
    int len = snprintf(key, sizeof(key), UPSTREAM_KEY_PREFIX "%s",
                       json_string_value(json_object_get(upstream, "id")));
    return registry ? registry_find(registry, str_make(key, (size_t)len)) : NULL;
}

static void find_endpoints(struct report *report)
{
    report->state = admin_upstream_state(report->request, report->upstream);
    const struct endpoints *endpoints =
        report->state ? upstream_state_endpoints(report->state) : NULL;
    if (!endpoints || endpoints->count == 0)
        return;
    report->claimed = arena_alloc(&report->request->arena, endpoints->count);
    if (!report->claimed)
        return;
    memset(report->claimed, 0, endpoints->count);
    report->endpoints = endpoints;
}

void admin_upstream_health(struct admin_request *request)
{
    const struct entity *entity = entity_find(STR("upstreams"));
    const json_t *upstream = config_find(request->node->config, entity, str_of(request->params[0]),
                                         NULL, &request->violation);
    if (!upstream) {
        if (request->violation.code)
            admin_request_answer_violation(request, &request->violation);
        else
            admin_request_answer_not_found(request);
        return;
    }
    struct report report = {
        .request = request,
        .upstream = upstream,
        .upstream_id = json_string_value(json_object_get(upstream, "id")),
        .has_checks = has_checks(upstream),
        .targets = json_array(),
        .hosts = json_array(),
    };
    find_endpoints(&report);
    add_all_stored(&report);
    add_all_discovered(&report);

    struct str wanted;
    bool for_balancer =
        admin_request_query(request, "balancer_health", &wanted) && str_equal(wanted, STR("1"));
    json_t *data = for_balancer ? balancer_body(&report) : json_incref(report.targets);
    json_decref(report.targets);
    json_decref(report.hosts);
    admin_request_answer(
        request, 200,
        json_pack("{s:o, s:n, s:s}", "data", data, "next", "node_id", request->node->node_id));
}
