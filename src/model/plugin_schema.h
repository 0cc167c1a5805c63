/* plugin_schema.h - what a plugin's configuration is made of: a table a plugin, in plugin_*.c.
 *
 * Says nothing about what a plugin does, or whether it does it yet.
 *
 * Thread: any (tables are constant). */
#ifndef MODEL_PLUGIN_SCHEMA_H
#define MODEL_PLUGIN_SCHEMA_H

#include "model/entity_rules.h"
#include "model/entity_shorthand.h"
#include "model/field_checks.h"

struct plugin_schema {
    const char *name;
    int priority;               /* Kong's: plugins run from high to low */
    const struct field *config; /* ends with a NULL name */
    const struct shorthand *shorthands;
    const struct entity_rule *config_rules; /* between the fields of config */
    const struct entity_rule *rules;        /* of the whole row: "config.allow" */
    field_check_cb check;                   /* of config as a whole */
    const char *protocols;                  /* their default, in JSON; NULL: HTTP's and gRPC's */
    bool takes_streams;                     /* may be for TCP, TLS and UDP, too */
    bool no_consumer;
    bool no_service;
    bool no_route;
};

/* All that are bundled, by name; ends with a zeroed one. */
extern const struct plugin_schema *const plugin_schemas[];
/* NULL: there is none of that name. */
const struct plugin_schema *plugin_schema_find(struct str name);

/* In groups: plugin_auth.c, plugin_traffic.c, plugin_transform.c, plugin_log.c, plugin_trace.c,
 * plugin_serverless.c, plugin_ai.c. */
extern const struct plugin_schema acl_plugin, basic_auth_plugin, hmac_auth_plugin, jwt_plugin,
    key_auth_plugin, ldap_auth_plugin, oauth2_plugin, session_plugin, acme_plugin,
    standard_webhooks_plugin;
extern const struct plugin_schema bot_detection_plugin, correlation_id_plugin, cors_plugin,
    ip_restriction_plugin, proxy_cache_plugin, rate_limiting_plugin, redirect_plugin,
    request_size_limiting_plugin, request_termination_plugin, response_ratelimiting_plugin;
extern const struct plugin_schema request_transformer_plugin, response_transformer_plugin,
    grpc_gateway_plugin, grpc_web_plugin;
extern const struct plugin_schema datadog_plugin, file_log_plugin, http_log_plugin, loggly_plugin,
    prometheus_plugin, statsd_plugin, syslog_plugin, tcp_log_plugin, udp_log_plugin;
extern const struct plugin_schema opentelemetry_plugin, zipkin_plugin;
extern const struct plugin_schema aws_lambda_plugin, azure_functions_plugin, post_function_plugin,
    pre_function_plugin;
extern const struct plugin_schema ai_prompt_decorator_plugin, ai_prompt_guard_plugin,
    ai_prompt_template_plugin, ai_proxy_plugin, ai_request_transformer_plugin,
    ai_response_transformer_plugin;

/* ---- words for the tables ---- */

#define TEXT(field_name, ...)                                                                      \
    {                                                                                              \
        .name = (field_name), .type = FIELD_STRING, ##__VA_ARGS__                                  \
    }
#define INTEGER(field_name, ...)                                                                   \
    {                                                                                              \
        .name = (field_name), .type = FIELD_INTEGER, ##__VA_ARGS__                                 \
    }
#define NUMBER(field_name, ...)                                                                    \
    {                                                                                              \
        .name = (field_name), .type = FIELD_NUMBER, ##__VA_ARGS__                                  \
    }
#define FLAG(field_name, default_text, ...)                                                        \
    {                                                                                              \
        .name = (field_name), .type = FIELD_BOOLEAN, .default_json = (default_text), ##__VA_ARGS__ \
    }
#define LIST_OF(field_name, element, ...)                                                          \
    {                                                                                              \
        .name = (field_name), .type = FIELD_ARRAY, .elements = (element), ##__VA_ARGS__            \
    }
#define SET_OF(field_name, element, ...)                                                           \
    {                                                                                              \
        .name = (field_name), .type = FIELD_SET, .elements = (element), ##__VA_ARGS__              \
    }
/* A record that is always there, with its fields' defaults. */
#define RECORD_OF(field_name, field_table, ...)                                                    \
    {                                                                                              \
        .name = (field_name), .type = FIELD_RECORD, .expanded = true, .fields = (field_table),     \
        ##__VA_ARGS__                                                                              \
    }
#define FIELDS_END                                                                                 \
    {                                                                                              \
        .name = NULL                                                                               \
    }
#define RULES_END                                                                                  \
    {                                                                                              \
        .kind = RULE_END                                                                           \
    }

#define R .required = true
#define DEFAULT(text) .default_json = (text)
#define ONE_OF(names) .one_of = (names)
#define MORE_THAN(limit) .has_more_than = true, .more_than = (limit)
#define PORT BETWEEN(0, 65535)
#define TIMEOUT_MS BETWEEN(0, 2147483646)
#define SECRET .encrypted = true, .referenceable = true
#define ANONYMOUS TEXT("anonymous")
#define REALM TEXT("realm")
#define HIDE_CREDENTIALS FLAG("hide_credentials", "false", R)

/* ---- shared by several plugins: plugin_shared.c ---- */

extern const struct field queue_fields[];
extern const struct field redis_fields[];
extern const struct shorthand redis_shorthands[]; /* redis_host … */
extern const struct field lua_fields_keys, lua_fields_values;
extern const struct field header_name_element;
extern const struct field url_element;
extern const char *const severities[];

#define QUEUE(...) RECORD_OF("queue", queue_fields, R, ##__VA_ARGS__)
/* The fields of every "redis" record. */
#define REDIS_FIELDS                                                                               \
    TEXT("host", .check = check_host), INTEGER("port", DEFAULT("6379"), PORT),                     \
        INTEGER("timeout", DEFAULT("2000"), TIMEOUT_MS), TEXT("username", .referenceable = true),  \
        TEXT("password", SECRET, .may_be_empty = true), INTEGER("database", DEFAULT("0")),         \
        FLAG("ssl", "false", R), FLAG("ssl_verify", "false", R),                                   \
        TEXT("server_name", .check = check_sni)
#define REDIS RECORD_OF("redis", redis_fields, R)
#define LUA_FIELDS                                                                                 \
    {                                                                                              \
        .name = "custom_fields_by_lua", .type = FIELD_MAP, .keys = &lua_fields_keys,               \
        .values = &lua_fields_values                                                               \
    }
/* Of the time before queues. */
#define OLD_QUEUE INTEGER("retry_count"), INTEGER("queue_size"), NUMBER("flush_timeout")
#define SEVERITY(field_name) TEXT(field_name, DEFAULT("\"info\""), ONE_OF(severities))

bool check_url(const json_t *value, char *message, size_t size);
bool check_regex_text(const json_t *value, char *message, size_t size);
/* second … year: a longer period's limit isn't lower than a shorter one's. */
bool check_periods(const json_t *record, char *message, size_t size);
#define PERIODS                                                                                    \
    NUMBER("second", MORE_THAN(0)), NUMBER("minute", MORE_THAN(0)), NUMBER("hour", MORE_THAN(0)),  \
        NUMBER("day", MORE_THAN(0)), NUMBER("month", MORE_THAN(0)), NUMBER("year", MORE_THAN(0))

#endif
