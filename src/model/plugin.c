/* plugin.c - a plugin's row: the fields that all have, and for each plugin a variant with the table
 * of its configuration. */
#include "model/plugin_schema.h"

#include <pthread.h>

#include "model/entities.h"
#include "model/plugin_protocols.h"

#define HTTP_PROTOCOLS "[\"grpc\",\"grpcs\",\"http\",\"https\"]"

const struct plugin_schema *const plugin_schemas[] = {
    &acl_plugin,
    &acme_plugin,
    &ai_prompt_decorator_plugin,
    &ai_prompt_guard_plugin,
    &ai_prompt_template_plugin,
    &ai_proxy_plugin,
    &ai_request_transformer_plugin,
    &ai_response_transformer_plugin,
    &aws_lambda_plugin,
    &azure_functions_plugin,
    &basic_auth_plugin,
    &bot_detection_plugin,
    &correlation_id_plugin,
    &cors_plugin,
    &datadog_plugin,
    &file_log_plugin,
    &grpc_gateway_plugin,
    &grpc_web_plugin,
    &hmac_auth_plugin,
    &http_log_plugin,
    &ip_restriction_plugin,
    &jwt_plugin,
    &key_auth_plugin,
    &ldap_auth_plugin,
    &loggly_plugin,
    &oauth2_plugin,
    &opentelemetry_plugin,
    &post_function_plugin,
    &pre_function_plugin,
    &prometheus_plugin,
    &proxy_cache_plugin,
    &rate_limiting_plugin,
    &redirect_plugin,
    &request_size_limiting_plugin,
    &request_termination_plugin,
    &request_transformer_plugin,
    &response_ratelimiting_plugin,
    &response_transformer_plugin,
    &session_plugin,
    &standard_webhooks_plugin,
    &statsd_plugin,
    &syslog_plugin,
    &tcp_log_plugin,
    &udp_log_plugin,
    &zipkin_plugin,
    NULL,
};
#define PLUGIN_COUNT (sizeof(plugin_schemas) / sizeof(plugin_schemas[0]) - 1)

const struct plugin_schema *plugin_schema_find(struct str name)
{
    for (size_t i = 0; i < PLUGIN_COUNT; i++)
        if (str_equal(name, str_of(plugin_schemas[i]->name)))
            return plugin_schemas[i];
    return NULL;
}

/* ---- the fields that all have ---- */

static const char *const http_protocol_names[] = {"grpc", "grpcs", "http", "https", NULL};
static const struct field any_protocol = {.type = FIELD_STRING, ONE_OF(protocol_names)};
static const struct field http_protocol = {.type = FIELD_STRING, ONE_OF(http_protocol_names)};
static const struct field no_fields[] = {FIELDS_END};

#define SCOPE(field_name, entity_name)                                                             \
    {                                                                                              \
        .name = (field_name), .type = FIELD_FOREIGN, .reference = (entity_name), .cascade = true   \
    }

enum {
    AT_ID,
    AT_NAME,
    AT_INSTANCE_NAME,
    AT_CREATED_AT,
    AT_UPDATED_AT,
    AT_ROUTE,
    AT_SERVICE,
    AT_CONSUMER,
    AT_CONFIG,
    AT_PROTOCOLS,
    AT_ENABLED,
    AT_TAGS,
    AT_END,
};

static const struct field fields[] = {
    [AT_ID] = FIELD_ID,
    [AT_NAME] = TEXT("name", R),
    [AT_INSTANCE_NAME] = TEXT("instance_name", .unique = true, .check = check_name),
    [AT_CREATED_AT] = FIELD_SECONDS_AT("created_at"),
    [AT_UPDATED_AT] = FIELD_SECONDS_AT("updated_at"),
    [AT_ROUTE] = SCOPE("route", "routes"),
    [AT_SERVICE] = SCOPE("service", "services"),
    [AT_CONSUMER] = SCOPE("consumer", "consumers"),
    [AT_CONFIG] = RECORD_OF("config", no_fields, R),
    [AT_PROTOCOLS] = SET_OF("protocols", &any_protocol, R, DEFAULT(HTTP_PROTOCOLS), .len_min = 1),
    [AT_ENABLED] = FLAG("enabled", "true", R),
    [AT_TAGS] = FIELD_TAGS,
    [AT_END] = FIELDS_END,
};

/* What clients of other editions send along when they mean nothing by it. */
static void prepare(json_t *input, enum entity_operation operation, struct violation *violation)
{
    static const char *const foreign_words[] = {"ordering", "consumer_group", "condition"};
    (void)operation;
    (void)violation;
    for (size_t i = 0; i < sizeof(foreign_words) / sizeof(foreign_words[0]); i++)
        if (json_is_null(json_object_get(input, foreign_words[i])))
            json_object_del(input, foreign_words[i]);
}

static const struct entity *find_variant(struct str name);

static const char *name_at(size_t i)
{
    return i < PLUGIN_COUNT ? plugin_schemas[i]->name : NULL;
}

static const struct entity_variants variants = {
    .key = "name",
    .find = find_variant,
    .name_at = name_at,
    .unknown = {"plugin '", "' not enabled; add it to the 'plugins' configuration property"},
};

static const char *const name_and_scope[] = {"name", "route", "service", "consumer", NULL};

const struct entity plugin_entity = {
    .name = "plugins",
    .path = "plugins",
    .endpoint_key = "instance_name",
    .unique_together = name_and_scope,
    .together_with_nulls = true,
    .variants = &variants,
    .fields = fields,
    .prepare = prepare,
    .check_among = plugin_check_protocols,
};

/* ---- variants ---- */

static struct {
    struct entity entity;
    struct field fields[AT_END + 1];
} built[PLUGIN_COUNT];

static void build(void)
{
    for (size_t i = 0; i < PLUGIN_COUNT; i++) {
        const struct plugin_schema *schema = plugin_schemas[i];
        struct field *own = built[i].fields;
        memcpy(own, fields, sizeof(fields));
        own[AT_ROUTE].null_only = schema->no_route;
        own[AT_SERVICE].null_only = schema->no_service;
        own[AT_CONSUMER].null_only = schema->no_consumer;
        own[AT_CONFIG].fields = schema->config;
        own[AT_CONFIG].rules = schema->config_rules;
        own[AT_CONFIG].shorthands = schema->shorthands;
        own[AT_CONFIG].check = schema->check;
        own[AT_PROTOCOLS].elements = schema->takes_streams ? &any_protocol : &http_protocol;
        if (schema->protocols)
            own[AT_PROTOCOLS].default_json = schema->protocols;
        built[i].entity = plugin_entity;
        built[i].entity.fields = own;
        built[i].entity.rules = schema->rules;
        built[i].entity.variants = NULL;
    }
}

static const struct entity *find_variant(struct str name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, build);
    for (size_t i = 0; i < PLUGIN_COUNT; i++)
        if (str_equal(name, str_of(plugin_schemas[i]->name)))
            return &built[i].entity;
    return NULL;
}
