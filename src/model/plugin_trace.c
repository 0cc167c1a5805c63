/* plugin_trace.c - where requests come from and go to: the configuration of plugins that trace. */
#include "model/plugin_schema.h"

#include <stdio.h>

static const char *const extracted[] = {"ot", "w3c", "datadog", "b3", "gcp", "jaeger", "aws", NULL};
static const char *const injected[] = {"preserve",  "ot",  "w3c",    "datadog", "b3",
                                       "b3-single", "gcp", "jaeger", "aws",     NULL};
static const char *const default_formats[] = {"ot",     "w3c", "datadog",   "b3", "gcp",
                                              "jaeger", "aws", "b3-single", NULL};
static const char *const header_types[] = {
    "preserve", "ignore", "b3", "b3-single", "w3c", "jaeger", "ot", "aws", "gcp", "datadog", NULL};
static const struct field extract_element = {.type = FIELD_STRING, ONE_OF(extracted)};
static const struct field inject_element = {.type = FIELD_STRING, ONE_OF(injected)};
static const struct field propagation_fields[] = {
    LIST_OF("extract", &extract_element),
    LIST_OF("clear", &text_element),
    LIST_OF("inject", &inject_element),
    TEXT("default_format", R, ONE_OF(default_formats)),
    FIELDS_END,
};
#define PROPAGATION(format)                                                                        \
    RECORD_OF("propagation", propagation_fields, R, DEFAULT("{\"default_format\":\"" format "\"}"))

/* ---- opentelemetry ---- */

static const struct field otel_header_value = {.type = FIELD_STRING, .referenceable = true};
static const struct field opentelemetry_config[] = {
    TEXT("traces_endpoint", .referenceable = true, .check = check_url),
    TEXT("logs_endpoint", .referenceable = true, .check = check_url),
    {.name = "headers",
     .type = FIELD_MAP,
     .keys = &header_name_element,
     .values = &otel_header_value},
    {.name = "resource_attributes",
     .type = FIELD_MAP,
     .keys = &text_element,
     .values = &text_element},
    QUEUE(DEFAULT("{\"max_batch_size\":200}")),
    INTEGER("batch_span_count"),
    INTEGER("batch_flush_delay"),
    INTEGER("connect_timeout", DEFAULT("1000"), TIMEOUT_MS),
    INTEGER("send_timeout", DEFAULT("5000"), TIMEOUT_MS),
    INTEGER("read_timeout", DEFAULT("5000"), TIMEOUT_MS),
    TEXT("http_response_header_for_traceid"),
    TEXT("header_type", DEFAULT("\"preserve\""), ONE_OF(header_types)),
    NUMBER("sampling_rate", BETWEEN(0, 1)),
    PROPAGATION("w3c"),
    FIELDS_END,
};
static const struct shorthand opentelemetry_shorthands[] = {
    {TEXT("endpoint", .check = check_url), "traces_endpoint", false},
    {FIELDS_END, NULL, false},
};
static const char *const endpoints[] = {"traces_endpoint", "logs_endpoint", NULL};
static const struct entity_rule opentelemetry_rules[] = {
    {.kind = RULE_AT_LEAST_ONE, .fields = endpoints},
    RULES_END,
};
const struct plugin_schema opentelemetry_plugin = {.name = "opentelemetry",
                                                   .priority = 14,
                                                   .config = opentelemetry_config,
                                                   .shorthands = opentelemetry_shorthands,
                                                   .config_rules = opentelemetry_rules};

/* ---- zipkin ---- */

static const int64_t id_sizes[] = {8, 16, 0};
static const char *const default_header_types[] = {"b3",  "b3-single", "w3c", "jaeger", "ot",
                                                   "aws", "datadog",   "gcp", NULL};
static const char *const span_names[] = {"method", "method_path", NULL};
static const char *const duration_flavors[] = {"annotations", "tags", NULL};
static const char *const protected_tags[] = {"error",
                                             "http.method",
                                             "http.path",
                                             "http.status_code",
                                             "kong.balancer.state",
                                             "kong.balancer.try",
                                             "kong.consumer",
                                             "kong.credential",
                                             "kong.node.id",
                                             "kong.route",
                                             "kong.service",
                                             "lc",
                                             "peer.hostname",
                                             NULL};
static const struct field static_tag_fields[] = {
    TEXT("name", R, .not_one_of = protected_tags),
    TEXT("value", R),
    FIELDS_END,
};
static const struct field static_tag = {.type = FIELD_RECORD, .fields = static_tag_fields};

static bool check_static_tags(const json_t *tags, char *message, size_t size)
{
    for (size_t i = 0; i < json_array_size(tags); i++)
        for (size_t j = 0; j < i; j++) {
            const json_t *name = json_object_get(json_array_get(tags, i), "name");
            if (!json_equal(name, json_object_get(json_array_get(tags, j), "name")))
                continue;
            snprintf(message, size, "repeated tags are not allowed: %s", json_string_value(name));
            return false;
        }
    return true;
}

static const struct field zipkin_config[] = {
    TEXT("local_service_name", R, DEFAULT("\"kong\"")),
    TEXT("http_endpoint", .referenceable = true, .check = check_url),
    NUMBER("sample_ratio", DEFAULT("0.001"), BETWEEN(0, 1)),
    TEXT("default_service_name"),
    FLAG("include_credential", "true", R),
    INTEGER("traceid_byte_count", R, DEFAULT("16"), .one_of_integers = id_sizes),
    TEXT("header_type", R, DEFAULT("\"preserve\""), ONE_OF(header_types)),
    TEXT("default_header_type", R, DEFAULT("\"b3\""), ONE_OF(default_header_types)),
    TEXT("tags_header", R, DEFAULT("\"Zipkin-Tags\"")),
    LIST_OF("static_tags", &static_tag, .check = check_static_tags),
    TEXT("http_span_name", R, DEFAULT("\"method\""), ONE_OF(span_names)),
    INTEGER("connect_timeout", DEFAULT("2000"), TIMEOUT_MS),
    INTEGER("send_timeout", DEFAULT("5000"), TIMEOUT_MS),
    INTEGER("read_timeout", DEFAULT("5000"), TIMEOUT_MS),
    TEXT("http_response_header_for_traceid"),
    TEXT("phase_duration_flavor", R, DEFAULT("\"annotations\""), ONE_OF(duration_flavors)),
    QUEUE(),
    PROPAGATION("b3"),
    FIELDS_END,
};
const struct plugin_schema zipkin_plugin = {
    .name = "zipkin", .priority = 100000, .config = zipkin_config, .takes_streams = true};
