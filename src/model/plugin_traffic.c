/* plugin_traffic.c - how much, from where, and what comes back without asking a service: the
 * configuration of plugins that shape traffic. */
#include "model/plugin_schema.h"

#include <stdio.h>

/* ---- bot-detection ---- */

static const struct field regex_element = {.type = FIELD_STRING, .check = check_regex_text};
static const struct field bot_detection_config[] = {
    LIST_OF("allow", &regex_element, DEFAULT("[]")),
    LIST_OF("deny", &regex_element, DEFAULT("[]")),
    FIELDS_END,
};
const struct plugin_schema bot_detection_plugin = {
    .name = "bot-detection", .priority = 2500, .config = bot_detection_config, .no_consumer = true};

/* ---- correlation-id ---- */

static const char *const id_generators[] = {"uuid", "uuid#counter", "tracker", NULL};
static const struct field correlation_id_config[] = {
    TEXT("header_name", DEFAULT("\"Kong-Request-ID\""), .check = check_header_name),
    TEXT("generator", R, DEFAULT("\"uuid#counter\""), ONE_OF(id_generators)),
    FLAG("echo_downstream", "false", R),
    FIELDS_END,
};
const struct plugin_schema correlation_id_plugin = {
    .name = "correlation-id", .priority = 100001, .config = correlation_id_config};

/* ---- cors ---- */

static const char *const cors_method_names[] = {"GET",    "HEAD",    "PUT",   "PATCH",   "POST",
                                                "DELETE", "OPTIONS", "TRACE", "CONNECT", NULL};
static const struct field cors_method = {.type = FIELD_STRING, ONE_OF(cors_method_names)};

static bool check_origin(const json_t *value, char *message, size_t size)
{
    const char *origin = json_string_value(value);
    char ignored[16];
    if (strcmp(origin, "*") == 0 || check_regex_text(value, ignored, sizeof(ignored)))
        return true;
    snprintf(message, size, "'%s' is not a valid regex", origin);
    return false;
}

static const struct field cors_origin = {.type = FIELD_STRING, .check = check_origin};
static const struct field cors_config[] = {
    LIST_OF("origins", &cors_origin),
    LIST_OF("headers", &text_element),
    LIST_OF("exposed_headers", &text_element),
    LIST_OF("methods", &cors_method,
            DEFAULT("[\"GET\",\"HEAD\",\"PUT\",\"PATCH\",\"POST\",\"DELETE\",\"OPTIONS\",\"TRACE\","
                    "\"CONNECT\"]")),
    NUMBER("max_age"),
    FLAG("credentials", "false", R),
    FLAG("private_network", "false", R),
    FLAG("preflight_continue", "false", R),
    FIELDS_END,
};
const struct plugin_schema cors_plugin = {
    .name = "cors", .priority = 2000, .config = cors_config, .no_consumer = true};

/* ---- ip-restriction ---- */

static const struct field ip_element = {.type = FIELD_STRING, .check = check_ip_or_cidr};
static const struct field ip_restriction_config[] = {
    LIST_OF("allow", &ip_element),
    LIST_OF("deny", &ip_element),
    NUMBER("status"),
    TEXT("message"),
    FIELDS_END,
};
static const char *const allow_deny[] = {"config.allow", "config.deny", NULL};
static const struct entity_rule ip_restriction_rules[] = {
    {.kind = RULE_AT_LEAST_ONE, .fields = allow_deny},
    RULES_END,
};
const struct plugin_schema ip_restriction_plugin = {
    .name = "ip-restriction",
    .priority = 990,
    .config = ip_restriction_config,
    .rules = ip_restriction_rules,
    .protocols = "[\"http\",\"https\",\"tcp\",\"tls\",\"grpc\",\"grpcs\"]",
    .takes_streams = true};

/* ---- proxy-cache ---- */

static const char *const cache_strategies[] = {"memory", NULL};
static const char *const cached_methods[] = {"HEAD", "GET", "POST", "PATCH", "PUT", NULL};
static const struct field cached_status = {.type = FIELD_INTEGER, BETWEEN(100, 900)};
static const struct field cached_method = {.type = FIELD_STRING, ONE_OF(cached_methods)};
static const struct field cache_memory[] = {
    TEXT("dictionary_name", R, DEFAULT("\"kong_db_cache\"")),
    FIELDS_END,
};
static const struct field cache_headers[] = {
    FLAG("age", "true"),
    FLAG("X-Cache-Status", "true"),
    FLAG("X-Cache-Key", "true"),
    FIELDS_END,
};
static const struct field proxy_cache_config[] = {
    LIST_OF("response_code", &cached_status, R, DEFAULT("[200,301,404]"), .len_min = 1),
    LIST_OF("request_method", &cached_method, R, DEFAULT("[\"GET\",\"HEAD\"]")),
    LIST_OF("content_type", &text_element, R, DEFAULT("[\"text/plain\",\"application/json\"]")),
    INTEGER("cache_ttl", DEFAULT("300"), MORE_THAN(0)),
    TEXT("strategy", R, ONE_OF(cache_strategies)),
    FLAG("cache_control", "false", R),
    FLAG("ignore_uri_case", "false"),
    INTEGER("storage_ttl"),
    RECORD_OF("memory", cache_memory),
    LIST_OF("vary_query_params", &text_element),
    LIST_OF("vary_headers", &text_element),
    RECORD_OF("response_headers", cache_headers),
    FIELDS_END,
};
const struct plugin_schema proxy_cache_plugin = {
    .name = "proxy-cache", .priority = 100, .config = proxy_cache_config};

/* ---- rate-limiting ---- */

static const char *const limited_by[] = {"consumer", "credential", "ip", "service",
                                         "header",   "path",       NULL};
static const char *const limit_policies[] = {"local", "cluster", "redis", NULL};
static const struct field rate_limiting_config[] = {
    PERIODS,
    TEXT("limit_by", DEFAULT("\"consumer\""), ONE_OF(limited_by)),
    TEXT("header_name", .check = check_header_name),
    TEXT("path", .check = check_path),
    TEXT("policy", DEFAULT("\"local\""), ONE_OF(limit_policies)),
    FLAG("fault_tolerant", "true", R),
    REDIS,
    FLAG("hide_client_headers", "false", R),
    NUMBER("error_code", DEFAULT("429"), MORE_THAN(0)),
    TEXT("error_message", DEFAULT("\"API rate limit exceeded\"")),
    NUMBER("sync_rate", R, DEFAULT("-1")),
    FIELDS_END,
};
static const char *const limits[] = {"config.second", "config.minute", "config.hour", "config.day",
                                     "config.month",  "config.year",   NULL};

static void check_sync_rate(const json_t *row, enum entity_operation operation, json_t **errors)
{
    (void)operation;
    const json_t *policy = rules_value(row, "config.policy");
    const json_t *rate = rules_value(row, "config.sync_rate");
    bool is_redis = json_is_string(policy) && strcmp(json_string_value(policy), "redis") == 0;
    /* -1: in step with every request. */
    bool is_off =
        !json_is_number(rate) || (json_is_integer(rate) && json_integer_value(rate) == -1);
    if (!is_off && !is_redis)
        rules_add_entity(errors,
                         violation_text("sync_rate can only be used with the redis policy"));
}

#define NEEDS_REDIS(field)                                                                         \
    {                                                                                              \
        .kind = RULE_CONDITIONAL, .if_field = "config.policy", .if_match = {.eq = "\"redis\""},    \
        .then_field = "config.redis." field, .then_match = {                                       \
            .required = true                                                                       \
        }                                                                                          \
    }

static const char *const sync_fields[] = {"config.policy", "config.sync_rate", NULL};
static const struct entity_rule rate_limiting_rules[] = {
    {.kind = RULE_AT_LEAST_ONE, .fields = limits},
    NEEDS_REDIS("host"),
    NEEDS_REDIS("port"),
    {.kind = RULE_CONDITIONAL,
     .if_field = "config.limit_by",
     .if_match = {.eq = "\"header\""},
     .then_field = "config.header_name",
     .then_match = {.required = true}},
    {.kind = RULE_CONDITIONAL,
     .if_field = "config.limit_by",
     .if_match = {.eq = "\"path\""},
     .then_field = "config.path",
     .then_match = {.required = true}},
    NEEDS_REDIS("timeout"),
    {.kind = RULE_CUSTOM, .fields = sync_fields, .custom = check_sync_rate},
    RULES_END,
};
const struct plugin_schema rate_limiting_plugin = {.name = "rate-limiting",
                                                   .priority = 910,
                                                   .config = rate_limiting_config,
                                                   .shorthands = redis_shorthands,
                                                   .rules = rate_limiting_rules,
                                                   .check = check_periods};

/* ---- response-ratelimiting ---- */

static const char *const response_limited_by[] = {"consumer", "credential", "ip", NULL};
static const char *const any_period[] = {"second", "minute", "hour", "day", "month", "year", NULL};
static const struct field response_limit_fields[] = {PERIODS, FIELDS_END};
static const struct field response_limit = {.type = FIELD_RECORD,
                                            R,
                                            .fields = response_limit_fields,
                                            .at_least_one_of = any_period,
                                            .check = check_periods};
static const struct field response_ratelimiting_config[] = {
    TEXT("header_name", DEFAULT("\"x-kong-limit\"")),
    TEXT("limit_by", DEFAULT("\"consumer\""), ONE_OF(response_limited_by)),
    TEXT("policy", DEFAULT("\"local\""), ONE_OF(limit_policies)),
    FLAG("fault_tolerant", "true", R),
    REDIS,
    FLAG("block_on_first_violation", "false", R),
    FLAG("hide_client_headers", "false", R),
    {.name = "limits",
     .type = FIELD_MAP,
     R,
     .len_min = 1,
     .keys = &text_element,
     .values = &response_limit},
    FIELDS_END,
};
static const struct entity_rule response_ratelimiting_rules[] = {
    NEEDS_REDIS("host"),
    NEEDS_REDIS("port"),
    NEEDS_REDIS("timeout"),
    RULES_END,
};
const struct plugin_schema response_ratelimiting_plugin = {.name = "response-ratelimiting",
                                                           .priority = 900,
                                                           .config = response_ratelimiting_config,
                                                           .shorthands = redis_shorthands,
                                                           .rules = response_ratelimiting_rules};

/* ---- redirect ---- */

static const struct field redirect_config[] = {
    INTEGER("status_code", R, DEFAULT("301"), BETWEEN(100, 599)),
    TEXT("location", R, .check = check_url),
    FLAG("keep_incoming_path", "false"),
    FIELDS_END,
};
const struct plugin_schema redirect_plugin = {
    .name = "redirect", .priority = 779, .config = redirect_config};

/* ---- request-size-limiting ---- */

static const char *const size_units[] = {"megabytes", "kilobytes", "bytes", NULL};
static const struct field request_size_limiting_config[] = {
    INTEGER("allowed_payload_size", DEFAULT("128")),
    TEXT("size_unit", R, DEFAULT("\"megabytes\""), ONE_OF(size_units)),
    FLAG("require_content_length", "false", R),
    FIELDS_END,
};
const struct plugin_schema request_size_limiting_plugin = {
    .name = "request-size-limiting", .priority = 951, .config = request_size_limiting_config};

/* ---- request-termination ---- */

/* It is written into a line of the answer's head. */
static bool check_content_type(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    for (size_t i = 0; i < json_string_length(value); i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c >= 0x20 && c != 0x7f) || c == '\t')
            continue;
        snprintf(message, size, "cannot contain control characters");
        return false;
    }
    return true;
}

static const struct field request_termination_config[] = {
    INTEGER("status_code", R, DEFAULT("503"), BETWEEN(100, 599)),
    TEXT("message"),
    TEXT("content_type", .check = check_content_type),
    TEXT("body"),
    FLAG("echo", "false", R),
    TEXT("trigger", .check = check_header_name),
    FIELDS_END,
};

static bool has_text(const json_t *config, const char *field)
{
    return json_string_length(json_object_get(config, field)) > 0;
}

static bool check_termination(const json_t *config, char *message, size_t size)
{
    const char *problem = NULL;
    bool has_type = has_text(config, "content_type");
    bool has_body = has_text(config, "body");
    if (has_text(config, "message") && (has_type || has_body))
        problem = "message cannot be used with content_type or body";
    else if (has_type && !has_body)
        problem = "content_type requires a body";
    else if (json_is_true(json_object_get(config, "echo")) && (has_type || has_body))
        problem = "echo cannot be used with content_type and body";
    if (problem)
        snprintf(message, size, "%s", problem);
    return !problem;
}

const struct plugin_schema request_termination_plugin = {.name = "request-termination",
                                                         .priority = 2,
                                                         .config = request_termination_config,
                                                         .check = check_termination};
