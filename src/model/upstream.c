/* upstream.c - a pool of targets that a service's host may name: the table of its fields, and its
 * rules, most of them about what to hash on. */
#include "model/address.h"
#include "model/entities.h"
#include "model/field_checks.h"
#include "model/healthchecks.h"

#include <stdio.h>

static const char *const algorithms[] = {"consistent-hashing", "least-connections", "round-robin",
                                         "latency", NULL};
static const char *const hash_inputs[] = {"none", "consumer",  "ip",          "header", "cookie",
                                          "path", "query_arg", "uri_capture", NULL};
static const char *const discovery_types[] = {"consul", "dns-srv", "dns", NULL};
static const char *const discovery_statuses[] = {"passing", "passing+warning", "any", NULL};

static const char *const discovery_nearness[] = {"node", "zone", NULL};

#define FILTER_MAX_BYTES 1024
#define NAME_MAX_BYTES 128

static bool check_upstream_name(const json_t *value, char *message, size_t size)
{
    const char *name = json_string_value(value);
    struct address address;
    const char *problem = NULL;
    if (address_parse(str_of(name), &address))
        problem = "must be a valid hostname";
    else if (address.kind != ADDRESS_NAME)
        problem = "no ip addresses allowed";
    else if (address.has_port)
        problem = "no port allowed";
    if (!problem)
        return true;
    snprintf(message, size, "Invalid name ('%s'); %s", name, problem);
    return false;
}

static bool check_filter(const json_t *value, char *message, size_t size)
{
    if (json_string_length(value) <= FILTER_MAX_BYTES)
        return true;
    snprintf(message, size, "length must be at most %d", FILTER_MAX_BYTES);
    return false;
}

static bool check_consul_name(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            break;
    if (!*text && json_string_length(value) > 0 && json_string_length(value) <= NAME_MAX_BYTES)
        return true;
    snprintf(message, size, "must be a name of 1 to %d characters without spaces", NAME_MAX_BYTES);
    return false;
}

/* Where targets come from, when not from the Admin API. Kong's clients don't know this field, so it
 * shows only where it is set. */
static const struct field discovery_fields[] = {
    {.name = "type", .type = FIELD_STRING, .required = true, .one_of = discovery_types},
    {.name = "service", .type = FIELD_STRING}, /* consul */
    {.name = "name", .type = FIELD_STRING},    /* dns-srv, dns */
    {.name = "tags", .type = FIELD_ARRAY, .elements = &text_element},
    {.name = "datacenter", .type = FIELD_STRING},
    {.name = "port", .type = FIELD_INTEGER, BETWEEN(0, 65535)}, /* where the source names none */
    {.name = "passing_only", .type = FIELD_BOOLEAN, .default_json = "false"},
    /* Which instances take traffic; null: as passing_only says. Maintenance never does. */
    {.name = "status", .type = FIELD_STRING, .one_of = discovery_statuses},
    /* What follows is Consul's alone. */
    {.name = "exclude_tags", .type = FIELD_ARRAY, .elements = &text_element},
    {.name = "filter", .type = FIELD_STRING, .check = check_filter},
    {.name = "namespace", .type = FIELD_STRING, .check = check_consul_name},
    {.name = "partition", .type = FIELD_STRING, .check = check_consul_name},
    {.name = "peer", .type = FIELD_STRING, .check = check_consul_name},
    {.name = "tagged_address", .type = FIELD_STRING, .check = check_consul_name},
    {.name = "near", .type = FIELD_STRING, .one_of = discovery_nearness},
    {.name = "cached", .type = FIELD_BOOLEAN, .default_json = "false"}, /* by its agent */
    {.name = "require_service_check", .type = FIELD_BOOLEAN, .default_json = "false"},
    /* Instances that claim this route alone; upstreams that are made from tags have it. */
    {.name = "route", .type = FIELD_STRING, .hidden_when_null = true},
    {.name = NULL},
};

/* What Kong has no words for; likewise. */
#define LIMIT(field_name, most)                                                                    \
    {                                                                                              \
        .name = (field_name), .type = FIELD_INTEGER, .hidden_when_null = true, BETWEEN(1, most)    \
    }

static const struct field limits_fields[] = {
    LIMIT("max_in_flight", 1000000),   /* of a target */
    LIMIT("max_connections", 1000000), /* likewise */
    /* Requests that wait for a place, of the upstream, and for how many seconds. */
    LIMIT("max_pending", 100000),
    {.name = "pending_timeout", .type = FIELD_NUMBER, .hidden_when_null = true, BETWEEN(0, 3600)},
    {.name = NULL},
};

static const struct field hedging_fields[] = {
    /* Seconds before the second try; null or 0: measured. */
    {.name = "delay", .type = FIELD_NUMBER, .hidden_when_null = true, BETWEEN(0, 3600)},
    {.name = "percentile", .type = FIELD_NUMBER, .default_json = "95", BETWEEN(50, 99)},
    {.name = NULL},
};

/* ---- the table ---- */

#define HASH_INPUT(field_name)                                                                     \
    {                                                                                              \
        .name = (field_name), .type = FIELD_STRING, .default_json = "\"none\"",                    \
        .one_of = hash_inputs                                                                      \
    }

static const struct field fields[] = {
    FIELD_ID,
    {.name = "name",
     .type = FIELD_STRING,
     .required = true,
     .unique = true,
     .check = check_upstream_name},
    {.name = "algorithm",
     .type = FIELD_STRING,
     .default_json = "\"round-robin\"",
     .one_of = algorithms},
    HASH_INPUT("hash_on"),
    HASH_INPUT("hash_fallback"),
    {.name = "hash_on_header", .type = FIELD_STRING, .check = check_header_name},
    {.name = "hash_fallback_header", .type = FIELD_STRING, .check = check_header_name},
    {.name = "hash_on_cookie", .type = FIELD_STRING, .check = check_cookie_name},
    {.name = "hash_on_cookie_path",
     .type = FIELD_STRING,
     .default_json = "\"/\"",
     .check = check_path},
    {.name = "hash_on_query_arg", .type = FIELD_STRING},
    {.name = "hash_fallback_query_arg", .type = FIELD_STRING},
    {.name = "hash_on_uri_capture", .type = FIELD_STRING},
    {.name = "hash_fallback_uri_capture", .type = FIELD_STRING},
    {.name = "slots", .type = FIELD_INTEGER, .default_json = "10000", BETWEEN(10, 65536)},
    {.name = "healthchecks", .type = FIELD_RECORD, .expanded = true, .fields = healthchecks_fields},
    FIELD_TAGS,
    FIELD_ORIGIN,
    {.name = "host_header", .type = FIELD_STRING, .check = check_host_and_port},
    {.name = "client_certificate", .type = FIELD_FOREIGN, .reference = "certificates"},
    {.name = "use_srv_name", .type = FIELD_BOOLEAN, .default_json = "false"},
    {.name = "discovery",
     .type = FIELD_RECORD,
     .hidden_when_null = true,
     .fields = discovery_fields},
    {.name = "slow_start", .type = FIELD_NUMBER, .hidden_when_null = true, BETWEEN(0, 3600)},
    {.name = "limits", .type = FIELD_RECORD, .hidden_when_null = true, .fields = limits_fields},
    {.name = "hedging", .type = FIELD_RECORD, .hidden_when_null = true, .fields = hedging_fields},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

/* ---- side effects: the algorithm follows hash_on, and the other way round ---- */

static bool is_text_or_null(const json_t *value, const char *field, struct violation *violation)
{
    if (json_is_null(value))
        return true;
    if (!json_is_string(value))
        violation_add(violation, field, "expected a string");
    else if (json_string_length(value) == 0)
        violation_add(violation, field, "length must be at least 1");
    else
        return true;
    return false;
}

static void prepare(json_t *input, enum entity_operation operation, struct violation *violation)
{
    (void)operation;
    const json_t *algorithm = json_object_get(input, "algorithm");
    if (algorithm && is_text_or_null(algorithm, "algorithm", violation)) {
        const char *name = json_string_value(algorithm);
        if (name && (strcmp(name, "least-connections") == 0 || strcmp(name, "latency") == 0))
            json_object_set_new(input, "hash_on", json_null());
    }
    const json_t *hash_on = json_object_get(input, "hash_on");
    if (!hash_on || !is_text_or_null(hash_on, "hash_on", violation))
        return;
    if (json_is_null(hash_on))
        json_object_set_new(input, "hash_on", json_string("none"));
    else if (strcmp(json_string_value(hash_on), "none") == 0)
        json_object_set_new(input, "algorithm", json_string("round-robin"));
    else
        json_object_set_new(input, "algorithm", json_string("consistent-hashing"));
}

/* ---- rules ---- */

static bool is_value(const json_t *row, const char *field, const char *wanted)
{
    const char *text = json_string_value(json_object_get(row, field));
    return text && strcmp(text, wanted) == 0;
}

static void fail_condition(const char *given, struct violation *violation)
{
    violation_add_entity(violation, "failed conditional validation given value of field '%s'",
                         given);
}

struct need {
    const char *given;
    const char *value;
    const char *needed;
};

static void check_needs(const json_t *row, struct violation *violation)
{
    static const struct need needs[] = {
        {"hash_on", "header", "hash_on_header"},
        {"hash_fallback", "header", "hash_fallback_header"},
        {"hash_on", "cookie", "hash_on_cookie"},
        {"hash_fallback", "cookie", "hash_on_cookie"},
        {"hash_on", "query_arg", "hash_on_query_arg"},
        {"hash_fallback", "query_arg", "hash_fallback_query_arg"},
        {"hash_on", "uri_capture", "hash_on_uri_capture"},
        {"hash_fallback", "uri_capture", "hash_fallback_uri_capture"},
    };
    for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
        if (!is_value(row, needs[i].given, needs[i].value) ||
            !json_is_null(json_object_get(row, needs[i].needed)))
            continue;
        violation_overrule(violation, needs[i].needed, "required field missing");
        fail_condition(needs[i].given, violation);
    }
}

struct fallback_rule {
    const char *hash_on;
    const char *allowed; /* as the message lists them */
};

/* What to fall back on must be something else; with none or a cookie there is nothing to fall back
 * from. */
static void check_fallback(const json_t *row, struct violation *violation)
{
    static const struct fallback_rule rules[] = {
        {"none", "none"},
        {"cookie", "none"},
        {"consumer", "none, ip, header, cookie, path, query_arg, uri_capture"},
        {"ip", "none, consumer, header, cookie, path, query_arg, uri_capture"},
        {"path", "none, consumer, ip, header, cookie, query_arg, uri_capture"},
    };
    const char *fallback = json_string_value(json_object_get(row, "hash_fallback"));
    if (!fallback || strcmp(fallback, "none") == 0)
        return;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        bool allows_only_none = strcmp(rules[i].allowed, "none") == 0;
        if (!is_value(row, "hash_on", rules[i].hash_on) ||
            (!allows_only_none && strcmp(fallback, rules[i].hash_on) != 0))
            continue;
        violation_overrule(violation, "hash_fallback", "expected one of: %s", rules[i].allowed);
        fail_condition("hash_on", violation);
    }
}

static void check_distinct(const json_t *row, struct violation *violation)
{
    static const char *const pairs[][2] = {
        {"hash_on_header", "hash_fallback_header"},
        {"hash_on_query_arg", "hash_fallback_query_arg"},
        {"hash_on_uri_capture", "hash_fallback_uri_capture"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const char *text = json_string_value(json_object_get(row, pairs[i][0]));
        if (text && *text && is_value(row, pairs[i][1], text))
            violation_add_entity(violation, "values of these fields must be distinct: '%s', '%s'",
                                 pairs[i][0], pairs[i][1]);
    }
}

static void check_discovery(const json_t *row, struct violation *violation)
{
    const json_t *discovery = json_object_get(row, "discovery");
    if (!json_is_object(discovery))
        return;
    bool is_consul = is_value(discovery, "type", "consul");
    bool is_dns = is_value(discovery, "type", "dns") || is_value(discovery, "type", "dns-srv");
    if (is_consul && json_is_null(json_object_get(discovery, "service")))
        violation_add(violation, "discovery.service", "required field missing");
    if (is_dns && json_is_null(json_object_get(discovery, "name")))
        violation_add(violation, "discovery.name", "required field missing");
    if (json_is_true(json_object_get(discovery, "passing_only")) &&
        json_is_string(json_object_get(discovery, "status")) &&
        !is_value(discovery, "status", "passing"))
        violation_add(violation, "discovery.status", "contradicts passing_only");
    static const char *const consuls[][2] = {
        {"exclude_tags", "discovery.exclude_tags"},
        {"filter", "discovery.filter"},
        {"namespace", "discovery.namespace"},
        {"partition", "discovery.partition"},
        {"peer", "discovery.peer"},
        {"tagged_address", "discovery.tagged_address"},
        {"near", "discovery.near"},
    };
    for (size_t i = 0; is_dns && i < sizeof(consuls) / sizeof(consuls[0]); i++) {
        const json_t *value = json_object_get(discovery, consuls[i][0]);
        if (value && !json_is_null(value))
            violation_add(violation, consuls[i][1], "only for type consul");
    }
}

/* Without a limit nobody would ever wait. */
static void check_limits(const json_t *row, struct violation *violation)
{
    const json_t *limits = json_object_get(row, "limits");
    bool has_limit = json_is_integer(json_object_get(limits, "max_in_flight")) ||
                     json_is_integer(json_object_get(limits, "max_connections"));
    bool has_queue = json_is_integer(json_object_get(limits, "max_pending"));
    if (has_queue && !has_limit)
        violation_add(violation, "limits.max_pending",
                      "needs limits.max_in_flight or limits.max_connections");
    if (!has_queue && json_is_number(json_object_get(limits, "pending_timeout")))
        violation_add(violation, "limits.pending_timeout", "needs limits.max_pending");
}

static void check(const json_t *row, const json_t *input, enum entity_operation operation,
                  struct violation *violation)
{
    (void)input;
    (void)operation;
    check_needs(row, violation);
    check_fallback(row, violation);
    check_distinct(row, violation);
    check_discovery(row, violation);
    check_limits(row, violation);
}

const struct entity upstream_entity = {
    .name = "upstreams",
    .path = "upstreams",
    .endpoint_key = "name",
    .fields = fields,
    .prepare = prepare,
    .check = check,
};
