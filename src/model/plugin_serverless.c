/* plugin_serverless.c - code that is run elsewhere, or brought along: the configuration of plugins
 * that call functions. */
#include "model/plugin_schema.h"

/* ---- aws-lambda ---- */

static const char *const invocation_types[] = {"RequestResponse", "Event", "DryRun", NULL};
static const char *const log_types[] = {"Tail", "None", NULL};
static const char *const imds_versions[] = {"v1", "v2", NULL};
static const char *const empty_arrays[] = {"legacy", "correct", NULL};
static const char *const payload_versions[] = {"1.0", "2.0", NULL};
static const struct field aws_lambda_config[] = {
    NUMBER("timeout", R, DEFAULT("60000")),
    NUMBER("keepalive", R, DEFAULT("60000")),
    TEXT("aws_key", SECRET),
    TEXT("aws_secret", SECRET),
    TEXT("aws_assume_role_arn", SECRET),
    TEXT("aws_role_session_name", DEFAULT("\"kong\"")),
    TEXT("aws_sts_endpoint_url", .check = check_url),
    TEXT("aws_region", .check = check_host),
    TEXT("function_name"),
    TEXT("qualifier"),
    TEXT("invocation_type", R, DEFAULT("\"RequestResponse\""), ONE_OF(invocation_types)),
    TEXT("log_type", R, DEFAULT("\"Tail\""), ONE_OF(log_types)),
    TEXT("host", .check = check_host),
    INTEGER("port", DEFAULT("443"), PORT),
    FLAG("disable_https", "false"),
    INTEGER("unhandled_status", BETWEEN(100, 999)),
    FLAG("forward_request_method", "false"),
    FLAG("forward_request_uri", "false"),
    FLAG("forward_request_headers", "false"),
    FLAG("forward_request_body", "false"),
    FLAG("is_proxy_integration", "false"),
    FLAG("awsgateway_compatible", "false"),
    TEXT("awsgateway_compatible_payload_version", R, DEFAULT("\"1.0\""), ONE_OF(payload_versions)),
    TEXT("proxy_url", .check = check_url),
    FLAG("skip_large_bodies", "true"),
    FLAG("base64_encode_body", "true"),
    TEXT("aws_imds_protocol_version", R, DEFAULT("\"v1\""), ONE_OF(imds_versions)),
    TEXT("empty_arrays_mode", R, DEFAULT("\"legacy\""), ONE_OF(empty_arrays)),
    FIELDS_END,
};
static const char *const aws_pair[] = {"config.aws_key", "config.aws_secret", NULL};
static const struct entity_rule aws_lambda_rules[] = {
    {.kind = RULE_ALL_OR_NONE, .fields = aws_pair},
    RULES_END,
};
const struct plugin_schema aws_lambda_plugin = {
    .name = "aws-lambda", .priority = 750, .config = aws_lambda_config, .rules = aws_lambda_rules};

/* ---- azure-functions ---- */

static const struct field azure_functions_config[] = {
    NUMBER("timeout", DEFAULT("600000")),
    NUMBER("keepalive", DEFAULT("60000")),
    FLAG("https", "true"),
    FLAG("https_verify", "false"),
    TEXT("apikey", SECRET),
    TEXT("clientid", SECRET),
    TEXT("appname", R),
    TEXT("hostdomain", R, DEFAULT("\"azurewebsites.net\"")),
    TEXT("routeprefix", DEFAULT("\"api\"")),
    TEXT("functionname", R),
    FIELDS_END,
};
const struct plugin_schema azure_functions_plugin = {
    .name = "azure-functions", .priority = 749, .config = azure_functions_config};

/* ---- pre-function, post-function: Lua, which weir doesn't speak; kept as text ---- */

static const struct field function_config[] = {
    LIST_OF("certificate", &text_element, R, DEFAULT("[]")),
    LIST_OF("rewrite", &text_element, R, DEFAULT("[]")),
    LIST_OF("access", &text_element, R, DEFAULT("[]")),
    LIST_OF("header_filter", &text_element, R, DEFAULT("[]")),
    LIST_OF("body_filter", &text_element, R, DEFAULT("[]")),
    LIST_OF("log", &text_element, R, DEFAULT("[]")),
    FIELDS_END,
};
static const char *const phases[] = {"config.certificate",
                                     "config.rewrite",
                                     "config.access",
                                     "config.header_filter",
                                     "config.body_filter",
                                     "config.log",
                                     NULL};
static const struct entity_rule function_rules[] = {
    {.kind = RULE_AT_LEAST_ONE, .fields = phases},
    RULES_END,
};
#define FUNCTION(plugin_name, plugin_priority)                                                     \
    {                                                                                              \
        .name = (plugin_name), .priority = (plugin_priority), .config = function_config,           \
        .rules = function_rules, .takes_streams = true, .no_consumer = true                        \
    }
const struct plugin_schema pre_function_plugin = FUNCTION("pre-function", 1000000);
const struct plugin_schema post_function_plugin = FUNCTION("post-function", -1000);
