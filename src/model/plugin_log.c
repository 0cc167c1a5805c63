/* plugin_log.c - what is told about requests: the configuration of plugins that write logs and
 * metrics. */
#include "model/plugin_schema.h"

#include <stdio.h>

/* ---- file-log ---- */

static bool check_file_name(const json_t *value, char *message, size_t size)
{
    if (!strpbrk(json_string_value(value), "*&%\\`"))
        return true;
    snprintf(message, size, "not a valid filename");
    return false;
}

static const struct field file_log_config[] = {
    TEXT("path", R, .check = check_file_name),
    FLAG("reopen", "false", R),
    LUA_FIELDS,
    FIELDS_END,
};
const struct plugin_schema file_log_plugin = {
    .name = "file-log", .priority = 9, .config = file_log_config, .takes_streams = true};

/* ---- http-log ---- */

static const char *const http_log_methods[] = {"POST", "PUT", "PATCH", NULL};
static const char *const http_log_types[] = {"application/json", "application/json; charset=utf-8",
                                             NULL};

static bool check_log_header(const json_t *value, char *message, size_t size)
{
    static const char *const ours[] = {"Host", "Content-Length", "Content-Type"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (!str_equal_nocase(str_of(json_string_value(value)), str_of(ours[i])))
            continue;
        snprintf(message, size, "cannot contain '%s' header", ours[i]);
        return false;
    }
    return check_header_name(value, message, size);
}

static const struct field log_header_name = {.type = FIELD_STRING, .check = check_log_header};
static const struct field log_header_value = {.type = FIELD_STRING, .referenceable = true};
static const struct field http_log_config[] = {
    TEXT("http_endpoint", R, SECRET, .check = check_url),
    TEXT("method", DEFAULT("\"POST\""), ONE_OF(http_log_methods)),
    TEXT("content_type", DEFAULT("\"application/json\""), ONE_OF(http_log_types)),
    NUMBER("timeout", DEFAULT("10000")),
    NUMBER("keepalive", DEFAULT("60000")),
    OLD_QUEUE,
    {.name = "headers", .type = FIELD_MAP, .keys = &log_header_name, .values = &log_header_value},
    QUEUE(),
    LUA_FIELDS,
    FIELDS_END,
};
const struct plugin_schema http_log_plugin = {
    .name = "http-log", .priority = 12, .config = http_log_config, .takes_streams = true};

/* ---- tcp-log, udp-log ---- */

static const struct field tcp_log_config[] = {
    TEXT("host", R, .check = check_host),
    INTEGER("port", R, PORT),
    NUMBER("timeout", DEFAULT("10000")),
    NUMBER("keepalive", DEFAULT("60000")),
    FLAG("tls", "false", R),
    TEXT("tls_sni"),
    LUA_FIELDS,
    FIELDS_END,
};
const struct plugin_schema tcp_log_plugin = {
    .name = "tcp-log", .priority = 7, .config = tcp_log_config, .takes_streams = true};

static const struct field udp_log_config[] = {
    TEXT("host", R, .check = check_host),
    INTEGER("port", R, PORT),
    NUMBER("timeout", DEFAULT("10000")),
    LUA_FIELDS,
    FIELDS_END,
};
const struct plugin_schema udp_log_plugin = {
    .name = "udp-log", .priority = 8, .config = udp_log_config, .takes_streams = true};

/* ---- syslog, loggly ---- */

static const char *const facilities[] = {
    "auth",   "authpriv", "cron",   "daemon", "ftp",    "kern",   "lpr",
    "mail",   "news",     "syslog", "user",   "uucp",   "local0", "local1",
    "local2", "local3",   "local4", "local5", "local6", "local7", NULL};
static const struct field syslog_config[] = {
    SEVERITY("log_level"),
    SEVERITY("successful_severity"),
    SEVERITY("client_errors_severity"),
    SEVERITY("server_errors_severity"),
    LUA_FIELDS,
    TEXT("facility", DEFAULT("\"user\""), ONE_OF(facilities)),
    FIELDS_END,
};
const struct plugin_schema syslog_plugin = {
    .name = "syslog", .priority = 4, .config = syslog_config, .takes_streams = true};

static const struct field loggly_config[] = {
    TEXT("host", DEFAULT("\"logs-01.loggly.com\""), .check = check_host),
    INTEGER("port", DEFAULT("514"), PORT),
    TEXT("key", R, SECRET),
    SET_OF("tags", &text_element, DEFAULT("[\"kong\"]")),
    SEVERITY("log_level"),
    SEVERITY("successful_severity"),
    SEVERITY("client_errors_severity"),
    SEVERITY("server_errors_severity"),
    NUMBER("timeout", DEFAULT("10000")),
    LUA_FIELDS,
    FIELDS_END,
};
const struct plugin_schema loggly_plugin = {
    .name = "loggly", .priority = 6, .config = loggly_config, .takes_streams = true};

/* ---- metrics by UDP: datadog, statsd ---- */

static const char *const stat_types[] = {"counter", "gauge", "histogram", "meter",
                                         "set",     "timer", NULL};
static const char *const consumer_identifiers[] = {"consumer_id", "custom_id", "username", NULL};
static const char *const sampled[] = {"counter", "gauge", NULL};
static const char *const of_users[] = {"status_count_per_user", "request_per_user", "unique_users",
                                       NULL};
static const char *const counted[] = {"status_count", "status_count_per_user", "request_per_user",
                                      NULL};

#define METRIC_RULES                                                                               \
    {.kind = RULE_CONDITIONAL,                                                                     \
     .if_field = "name",                                                                           \
     .if_match = {.eq = "\"unique_users\""},                                                       \
     .then_field = "stat_type",                                                                    \
     .then_match = {.eq = "\"set\""}},                                                             \
        {.kind = RULE_CONDITIONAL,                                                                 \
         .if_field = "stat_type",                                                                  \
         .if_match = {.one_of = sampled},                                                          \
         .then_field = "sample_rate",                                                              \
         .then_match = {.required = true}},                                                        \
    {                                                                                              \
        .kind = RULE_CONDITIONAL, .if_field = "name", .if_match = {.one_of = counted},             \
        .then_field = "stat_type", .then_match = {                                                 \
            .eq = "\"counter\""                                                                    \
        }                                                                                          \
    }

static const char *const datadog_names[] = {"kong_latency",
                                            "latency",
                                            "request_count",
                                            "request_per_user",
                                            "request_size",
                                            "response_size",
                                            "status_count",
                                            "status_count_per_user",
                                            "unique_users",
                                            "upstream_latency",
                                            NULL};

static bool check_metric_tag(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] != ':')
        return true;
    snprintf(message, size, "invalid value: %s", text);
    return false;
}

static const struct field metric_tag = {.type = FIELD_STRING, .check = check_metric_tag};
static const struct field datadog_metric_fields[] = {
    TEXT("name", R, ONE_OF(datadog_names)),
    TEXT("stat_type", R, ONE_OF(stat_types)),
    LIST_OF("tags", &metric_tag),
    NUMBER("sample_rate", BETWEEN(0, 1)),
    TEXT("consumer_identifier", ONE_OF(consumer_identifiers)),
    FIELDS_END,
};
static const struct entity_rule datadog_metric_rules[] = {
    METRIC_RULES,
    {.kind = RULE_CONDITIONAL,
     .if_field = "name",
     .if_match = {.one_of = of_users},
     .then_field = "consumer_identifier",
     .then_match = {.required = true}},
    RULES_END,
};
static const struct field datadog_metric = {
    .type = FIELD_RECORD, .fields = datadog_metric_fields, .rules = datadog_metric_rules};
#define APP_TAG "\"tags\":[\"app:kong\"]"
static const struct field datadog_config[] = {
    TEXT("host", DEFAULT("\"localhost\""), .referenceable = true, .check = check_host),
    INTEGER("port", R, DEFAULT("8125"), PORT),
    TEXT("prefix", DEFAULT("\"kong\"")),
    TEXT("service_name_tag", DEFAULT("\"name\"")),
    TEXT("status_tag", DEFAULT("\"status\"")),
    TEXT("consumer_tag", DEFAULT("\"consumer\"")),
    OLD_QUEUE,
    QUEUE(),
    LIST_OF("metrics", &datadog_metric, R,
            DEFAULT("[{\"name\":\"request_count\",\"stat_type\":\"counter\",\"sample_rate\":"
                    "1," APP_TAG "},"
                    "{\"name\":\"latency\",\"stat_type\":\"timer\"," APP_TAG "},"
                    "{\"name\":\"request_size\",\"stat_type\":\"timer\"," APP_TAG "},"
                    "{\"name\":\"status_count\",\"stat_type\":\"counter\",\"sample_rate\":"
                    "1," APP_TAG "},"
                    "{\"name\":\"response_size\",\"stat_type\":\"timer\"," APP_TAG "},"
                    "{\"name\":\"unique_users\",\"stat_type\":\"set\",\"consumer_identifier\":"
                    "\"custom_id\"," APP_TAG "},"
                    "{\"name\":\"request_per_user\",\"stat_type\":\"counter\",\"sample_rate\":1,"
                    "\"consumer_identifier\":\"custom_id\"," APP_TAG "},"
                    "{\"name\":\"upstream_latency\",\"stat_type\":\"timer\"," APP_TAG "},"
                    "{\"name\":\"kong_latency\",\"stat_type\":\"timer\"," APP_TAG "},"
                    "{\"name\":\"status_count_per_user\",\"stat_type\":\"counter\","
                    "\"sample_rate\":1,\"consumer_identifier\":\"custom_id\"," APP_TAG "}]")),
    FIELDS_END,
};
const struct plugin_schema datadog_plugin = {
    .name = "datadog", .priority = 10, .config = datadog_config, .takes_streams = true};

static const char *const statsd_names[] = {"kong_latency",
                                           "latency",
                                           "request_count",
                                           "request_per_user",
                                           "request_size",
                                           "response_size",
                                           "status_count",
                                           "status_count_per_user",
                                           "unique_users",
                                           "upstream_latency",
                                           "status_count_per_workspace",
                                           "status_count_per_user_per_route",
                                           "shdict_usage",
                                           "cache_datastore_hits_total",
                                           "cache_datastore_misses_total",
                                           NULL};
static const char *const service_identifiers[] = {"service_id", "service_name", "service_host",
                                                  "service_name_or_host", NULL};
static const char *const workspace_identifiers[] = {"workspace_id", "workspace_name", NULL};
static const char *const tag_styles[] = {"dogstatsd", "influxdb", "librato", "signalfx", NULL};
static const struct field statsd_metric_fields[] = {
    TEXT("name", R, ONE_OF(statsd_names)),
    TEXT("stat_type", R, ONE_OF(stat_types)),
    NUMBER("sample_rate", MORE_THAN(0)),
    TEXT("consumer_identifier", ONE_OF(consumer_identifiers)),
    TEXT("service_identifier", ONE_OF(service_identifiers)),
    TEXT("workspace_identifier", ONE_OF(workspace_identifiers)),
    FIELDS_END,
};
static const struct entity_rule statsd_metric_rules[] = {METRIC_RULES, RULES_END};
static const struct field statsd_metric = {
    .type = FIELD_RECORD, .fields = statsd_metric_fields, .rules = statsd_metric_rules};

static bool check_status_range(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    unsigned low, high;
    int end = 0;
    if (sscanf(text, "%3u-%3u%n", &low, &high, &end) == 2 && text[end] == '\0')
        return true;
    snprintf(message, size, "invalid value: %s", text);
    return false;
}

static const struct field status_range = {.type = FIELD_STRING, .check = check_status_range};
#define STAT(stat_name, stat_kind, more)                                                           \
    "{\"name\":\"" stat_name "\",\"stat_type\":\"" stat_kind "\"" more                             \
    ",\"service_identifier\":\"service_name_or_host\"}"
#define ONCE ",\"sample_rate\":1"
#define BY_CUSTOM_ID ",\"consumer_identifier\":\"custom_id\""
static const struct field statsd_config[] = {
    TEXT("host", DEFAULT("\"localhost\""), .check = check_host),
    INTEGER("port", DEFAULT("8125"), PORT),
    TEXT("prefix", DEFAULT("\"kong\"")),
    LIST_OF("metrics", &statsd_metric,
            DEFAULT(
                "[" STAT("request_count", "counter", ONCE) "," STAT("latency", "timer", "") "," STAT(
                    "request_size",
                    "counter", ONCE) "," STAT("status_count", "counter",
                                              ONCE) "," STAT("response_size", "counter",
                                                             ONCE) "," STAT("unique_users", "set",
                                                                            BY_CUSTOM_ID) "," STAT("request_per_user",
                                                                                                   "counter", ONCE BY_CUSTOM_ID) "," STAT("upstream_latency", "timer", "") "," STAT("kong_latency", "timer", "") "," STAT("status_count_per_user", "counter", ONCE BY_CUSTOM_ID) ","
                                                                                                                                                                                                                                                                                 "{\"name\":\"status_count_per_workspace\",\"stat_type\":\"counter\","
                                                                                                                                                                                                                                                                                 "\"sample_rate\":1,\"workspace_identifier\":\"workspace_id\"}," STAT("status_count_per_user_per_route", "counter", ONCE BY_CUSTOM_ID) "," STAT("shdict_usage",
                                                                                                                                                                                                                                                                                                                                                                                                                                "gauge",
                                                                                                                                                                                                                                                                                                                                                                                                                                ONCE) "," STAT("cache_datastore_hits_total", "counter", ONCE) "," STAT("cache_datastore_misses_total", "counter", ONCE) "]")),
    LIST_OF("allow_status_codes", &status_range),
    NUMBER("udp_packet_size", DEFAULT("0"), BETWEEN(0, 65507)),
    FLAG("use_tcp", "false"),
    FLAG("hostname_in_prefix", "false"),
    TEXT("consumer_identifier_default", R, DEFAULT("\"custom_id\""), ONE_OF(consumer_identifiers)),
    TEXT("service_identifier_default", R, DEFAULT("\"service_name_or_host\""),
         ONE_OF(service_identifiers)),
    TEXT("workspace_identifier_default", R, DEFAULT("\"workspace_id\""),
         ONE_OF(workspace_identifiers)),
    OLD_QUEUE,
    TEXT("tag_style", ONE_OF(tag_styles)),
    QUEUE(),
    FIELDS_END,
};
const struct plugin_schema statsd_plugin = {
    .name = "statsd", .priority = 11, .config = statsd_config, .takes_streams = true};

/* ---- prometheus ---- */

static const struct field prometheus_config[] = {
    FLAG("per_consumer", "false"),
    FLAG("status_code_metrics", "false"),
    FLAG("ai_metrics", "false"),
    FLAG("latency_metrics", "false"),
    FLAG("bandwidth_metrics", "false"),
    FLAG("upstream_health_metrics", "false"),
    FIELDS_END,
};
const struct plugin_schema prometheus_plugin = {
    .name = "prometheus", .priority = 13, .config = prometheus_config, .takes_streams = true};
