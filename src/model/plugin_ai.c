/* plugin_ai.c - services that are language models: the configuration of plugins that speak to
 * them. */
#include "model/plugin_schema.h"

/* ---- what they share ---- */

static const char *const auth_places[] = {"query", "body", NULL};
static const struct field auth_fields[] = {
    TEXT("header_name", .referenceable = true),
    TEXT("header_value", SECRET),
    TEXT("param_name", .referenceable = true),
    TEXT("param_value", SECRET),
    TEXT("param_location", ONE_OF(auth_places)),
    FLAG("gcp_use_service_account", "false"),
    TEXT("gcp_service_account_json", SECRET),
    TEXT("aws_access_key_id", SECRET),
    TEXT("aws_secret_access_key", SECRET),
    FLAG("allow_override", "false"),
    FIELDS_END,
};

static const struct field gemini_fields[] = {
    TEXT("api_endpoint"),
    TEXT("project_id"),
    TEXT("location_id"),
    FIELDS_END,
};
static const struct field bedrock_fields[] = {
    TEXT("aws_region"),
    FIELDS_END,
};
static const struct field huggingface_fields[] = {
    {.name = "use_cache", .type = FIELD_BOOLEAN},
    {.name = "wait_for_model", .type = FIELD_BOOLEAN},
    FIELDS_END,
};
#define SMALL_RECORD(field_name, table)                                                            \
    {                                                                                              \
        .name = (field_name), .type = FIELD_RECORD, .fields = (table)                              \
    }
static const char *const llama2_formats[] = {"raw", "openai", "ollama", NULL};
static const char *const mistral_formats[] = {"openai", "ollama", NULL};
static const struct field option_fields[] = {
    INTEGER("max_tokens", DEFAULT("256")),
    NUMBER("input_cost", MORE_THAN(0)),
    NUMBER("output_cost", MORE_THAN(0)),
    NUMBER("temperature", BETWEEN(0, 5)),
    NUMBER("top_p", BETWEEN(0, 1)),
    INTEGER("top_k", BETWEEN(0, 500)),
    TEXT("anthropic_version"),
    TEXT("azure_instance"),
    TEXT("azure_api_version", DEFAULT("\"2023-05-15\"")),
    TEXT("azure_deployment_id"),
    TEXT("llama2_format", ONE_OF(llama2_formats)),
    TEXT("mistral_format", ONE_OF(mistral_formats)),
    TEXT("upstream_url", .check = check_url),
    TEXT("upstream_path"),
    SMALL_RECORD("gemini", gemini_fields),
    SMALL_RECORD("bedrock", bedrock_fields),
    SMALL_RECORD("huggingface", huggingface_fields),
    FIELDS_END,
};
static const char *const providers[] = {"openai", "azure",  "anthropic", "cohere",      "mistral",
                                        "llama2", "gemini", "bedrock",   "huggingface", NULL};
static const struct field model_fields[] = {
    TEXT("provider", R, ONE_OF(providers)),
    TEXT("name"),
    RECORD_OF("options", option_fields),
    FIELDS_END,
};
static const struct field logging_fields[] = {
    FLAG("log_statistics", "false", R),
    FLAG("log_payloads", "false", R),
    FIELDS_END,
};
static const char *const route_types[] = {"llm/v1/chat", "llm/v1/completions", "preserve", NULL};
#define LLM                                                                                        \
    TEXT("route_type", R, ONE_OF(route_types)), RECORD_OF("auth", auth_fields),                    \
        RECORD_OF("model", model_fields, R), RECORD_OF("logging", logging_fields, R)

static const char *const with_key[] = {"openai", "azure", "anthropic", "cohere", NULL};
static const char *const self_hosted[] = {"mistral", "llama2", NULL};
static const char *const key_fields[] = {"auth.header_name", "auth.param_name", NULL};
static const char *const header_pair[] = {"auth.header_name", "auth.header_value", NULL};
static const char *const param_triple[] = {"auth.param_name", "auth.param_value",
                                           "auth.param_location", NULL};
static const char *const llama2_format[] = {"model.options.llama2_format", NULL};
static const char *const mistral_format[] = {"model.options.mistral_format", NULL};
static const char *const anthropic_version[] = {"model.options.anthropic_version", NULL};
static const char *const azure_instance[] = {"model.options.azure_instance", NULL};
static const char *const azure_deployment[] = {"model.options.azure_deployment_id", NULL};
static const char *const upstream_url[] = {"model.options.upstream_url", NULL};
#define PROVIDER_NEEDS(match, wanted, words)                                                       \
    {                                                                                              \
        .kind = RULE_CONDITIONAL_AT_LEAST_ONE, .if_field = "model.provider", .if_match = match,    \
        .fields = (wanted), .sentence = (words)                                                    \
    }
#define IS(text)                                                                                   \
    {                                                                                              \
        .eq = "\"" text "\""                                                                       \
    }
#define AMONG(names)                                                                               \
    {                                                                                              \
        .one_of = (names)                                                                          \
    }
static const struct entity_rule llm_rules[] = {
    PROVIDER_NEEDS(AMONG(with_key), key_fields,
                   "must set one of 'auth.header_name', 'auth.param_name', and its respective "
                   "options, when provider is not self-hosted"),
    {.kind = RULE_ALL_OR_NONE, .fields = header_pair},
    {.kind = RULE_ALL_OR_NONE, .fields = param_triple},
    PROVIDER_NEEDS(IS("llama2"), llama2_format,
                   "must set 'model.options.llama2_format' for llama2 provider"),
    PROVIDER_NEEDS(IS("mistral"), mistral_format,
                   "must set 'model.options.mistral_format' for mistral provider"),
    PROVIDER_NEEDS(IS("anthropic"), anthropic_version,
                   "must set 'model.options.anthropic_version' for anthropic provider"),
    PROVIDER_NEEDS(IS("azure"), azure_instance,
                   "must set 'model.options.azure_instance' for azure provider"),
    PROVIDER_NEEDS(IS("azure"), azure_deployment,
                   "must set 'model.options.azure_deployment_id' for azure provider"),
    PROVIDER_NEEDS(AMONG(self_hosted), upstream_url,
                   "must set 'model.options.upstream_url' for self-hosted providers/models"),
    RULES_END,
};

static const struct field llm_fields[] = {LLM, FIELDS_END};
#define BODY_SIZE INTEGER("max_request_body_size", DEFAULT("8192"), MORE_THAN(0))

/* ---- ai-proxy ---- */

static const char *const streamings[] = {"allow", "deny", "always", NULL};
static const struct field ai_proxy_config[] = {
    LLM,        TEXT("response_streaming", DEFAULT("\"allow\""), ONE_OF(streamings)),
    BODY_SIZE,  FLAG("model_name_header", "true"),
    FIELDS_END,
};
const struct plugin_schema ai_proxy_plugin = {
    .name = "ai-proxy", .priority = 770, .config = ai_proxy_config, .config_rules = llm_rules};

/* ---- ai-prompt-decorator ---- */

static const char *const roles[] = {"system", "assistant", "user", NULL};
static const struct field prompt_fields[] = {
    TEXT("role", R, DEFAULT("\"system\""), ONE_OF(roles)),
    TEXT("content", R, .len_min = 1, .len_max = 100000),
    FIELDS_END,
};
static const struct field prompt = {.type = FIELD_RECORD, .fields = prompt_fields};
static const struct field prompts_fields[] = {
    LIST_OF("prepend", &prompt, .len_max = 15),
    LIST_OF("append", &prompt, .len_max = 15),
    FIELDS_END,
};
static const struct field ai_prompt_decorator_config[] = {
    SMALL_RECORD("prompts", prompts_fields),
    BODY_SIZE,
    FIELDS_END,
};
static const char *const either_prompt[] = {"config.prompts.prepend", "config.prompts.append",
                                            NULL};
static const struct entity_rule ai_prompt_decorator_rules[] = {
    {.kind = RULE_AT_LEAST_ONE, .fields = either_prompt},
    RULES_END,
};
const struct plugin_schema ai_prompt_decorator_plugin = {.name = "ai-prompt-decorator",
                                                         .priority = 772,
                                                         .config = ai_prompt_decorator_config,
                                                         .rules = ai_prompt_decorator_rules};

/* ---- ai-prompt-guard ---- */

static const struct field pattern = {.type = FIELD_STRING, .len_min = 1, .len_max = 500};
static const struct field ai_prompt_guard_config[] = {
    LIST_OF("allow_patterns", &pattern, .len_max = 10),
    LIST_OF("deny_patterns", &pattern, .len_max = 10),
    FLAG("allow_all_conversation_history", "false", R),
    BODY_SIZE,
    FLAG("match_all_roles", "false", R),
    FIELDS_END,
};
static const char *const either_pattern[] = {"config.allow_patterns", "config.deny_patterns", NULL};
static const struct entity_rule ai_prompt_guard_rules[] = {
    {.kind = RULE_AT_LEAST_ONE, .fields = either_pattern},
    {.kind = RULE_CONDITIONAL,
     .if_field = "config.match_all_roles",
     .if_match = {.eq = "true"},
     .then_field = "config.allow_all_conversation_history",
     .then_match = {.eq = "false"}},
    RULES_END,
};
const struct plugin_schema ai_prompt_guard_plugin = {.name = "ai-prompt-guard",
                                                     .priority = 771,
                                                     .config = ai_prompt_guard_config,
                                                     .rules = ai_prompt_guard_rules};

/* ---- ai-prompt-template ---- */

static const struct field template_fields[] = {TEXT("name", R), TEXT("template", R), FIELDS_END};
static const struct field template_element = {.type = FIELD_RECORD, R, .fields = template_fields};
static const struct field ai_prompt_template_config[] = {
    LIST_OF("templates", &template_element, R),
    FLAG("allow_untemplated_requests", "true", R),
    FLAG("log_original_request", "false", R),
    BODY_SIZE,
    FIELDS_END,
};
const struct plugin_schema ai_prompt_template_plugin = {
    .name = "ai-prompt-template", .priority = 773, .config = ai_prompt_template_config};

/* ---- ai-request-transformer, ai-response-transformer ---- */

#define TRANSFORMER_HEAD TEXT("prompt", R), TEXT("transformation_extract_pattern")
#define TRANSFORMER_TAIL                                                                           \
    INTEGER("http_timeout", R, DEFAULT("60000")), FLAG("https_verify", "true", R), BODY_SIZE,      \
        TEXT("http_proxy_host", .check = check_host), INTEGER("http_proxy_port", PORT),            \
        TEXT("https_proxy_host", .check = check_host), INTEGER("https_proxy_port", PORT),          \
        RECORD_OF("llm", llm_fields, R, .rules = llm_rules)
static const struct field ai_request_transformer_config[] = {TRANSFORMER_HEAD, TRANSFORMER_TAIL,
                                                             FIELDS_END};
static const struct field ai_response_transformer_config[] = {
    TRANSFORMER_HEAD, FLAG("parse_llm_response_json_instructions", "false", R), TRANSFORMER_TAIL,
    FIELDS_END};
static const char *const http_proxy[] = {"config.http_proxy_host", "config.http_proxy_port", NULL};
static const char *const https_proxy[] = {"config.https_proxy_host", "config.https_proxy_port",
                                          NULL};
static const struct entity_rule transformer_rules[] = {
    {.kind = RULE_ALL_OR_NONE, .fields = http_proxy},
    {.kind = RULE_ALL_OR_NONE, .fields = https_proxy},
    RULES_END,
};
const struct plugin_schema ai_request_transformer_plugin = {.name = "ai-request-transformer",
                                                            .priority = 777,
                                                            .config = ai_request_transformer_config,
                                                            .rules = transformer_rules};
const struct plugin_schema ai_response_transformer_plugin = {.name = "ai-response-transformer",
                                                             .priority = 769,
                                                             .config =
                                                                 ai_response_transformer_config,
                                                             .rules = transformer_rules};
