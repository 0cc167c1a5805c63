/* plugin_transform.c - what is changed on the way: the configuration of plugins that rewrite
 * requests and responses, or translate protocols. */
#include "model/plugin_schema.h"

#include <ctype.h>
#include <stdio.h>

/* ---- entries: "name:value", or a name alone ---- */

static bool check_colon(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    const char *colon = strchr(text, ':');
    if (!colon || colon == text)
        snprintf(message, size, "invalid value: %s", text);
    else if (!colon[1])
        snprintf(message, size, "key '%.*s' has no value", (int)(colon - text), text);
    else
        return true;
    return false;
}

/* RFC 9110's token, and what templates are made of. */
static bool check_header_word(const char *name, size_t len, char *message, size_t size)
{
    for (size_t i = 0; i < len; i++) {
        if (isalnum((unsigned char)name[i]) || strchr("!#$%&'*+-.^_`|~()[]{}\"/", name[i]))
            continue;
        snprintf(message, size, "'%.*s' is not a valid header", (int)len, name);
        return false;
    }
    return true;
}

static bool check_header_entry(const json_t *value, char *message, size_t size)
{
    const char *text = json_string_value(value);
    return check_colon(value, message, size) &&
           check_header_word(text, (size_t)(strchr(text, ':') - text), message, size);
}

static bool check_header(const json_t *value, char *message, size_t size)
{
    return check_header_word(json_string_value(value), json_string_length(value), message, size);
}

static const struct field entry = {.type = FIELD_STRING, .check = check_colon};
static const struct field header_entry = {.type = FIELD_STRING, .check = check_header_entry};
static const struct field header_only = {.type = FIELD_STRING, .check = check_header};

/* ---- request-transformer ---- */

static const struct field removed[] = {
    LIST_OF("body", &text_element, DEFAULT("[]")),
    LIST_OF("headers", &header_only, DEFAULT("[]")),
    LIST_OF("querystring", &text_element, DEFAULT("[]")),
    FIELDS_END,
};
#define ENTRIES                                                                                    \
    LIST_OF("body", &entry, DEFAULT("[]")), LIST_OF("headers", &header_entry, DEFAULT("[]")),      \
        LIST_OF("querystring", &entry, DEFAULT("[]"))
static const struct field entries[] = {ENTRIES, FIELDS_END};
static const struct field replaced[] = {ENTRIES, TEXT("uri"), FIELDS_END};
static const struct field request_transformer_config[] = {
    TEXT("http_method", .check = check_method),
    RECORD_OF("remove", removed, R),
    RECORD_OF("rename", entries, R),
    RECORD_OF("replace", replaced, R),
    RECORD_OF("add", entries, R),
    RECORD_OF("append", entries, R),
    FIELDS_END,
};
const struct plugin_schema request_transformer_plugin = {
    .name = "request-transformer", .priority = 801, .config = request_transformer_config};

/* ---- response-transformer ---- */

static const char *const json_types[] = {"boolean", "number", "string", NULL};
static const struct field json_type_element = {.type = FIELD_STRING, ONE_OF(json_types)};
static const struct field response_removed[] = {
    LIST_OF("json", &text_element, DEFAULT("[]")),
    LIST_OF("headers", &text_element, DEFAULT("[]")),
    FIELDS_END,
};
static const struct field response_renamed[] = {
    LIST_OF("headers", &header_entry, DEFAULT("[]")),
    LIST_OF("json", &entry, DEFAULT("[]")),
    FIELDS_END,
};
static const struct field response_entries[] = {
    LIST_OF("json", &entry, DEFAULT("[]")),
    LIST_OF("json_types", &json_type_element, DEFAULT("[]")),
    LIST_OF("headers", &header_entry, DEFAULT("[]")),
    FIELDS_END,
};
static const struct field response_transformer_config[] = {
    RECORD_OF("remove", response_removed, R),  RECORD_OF("rename", response_renamed, R),
    RECORD_OF("replace", response_entries, R), RECORD_OF("add", response_entries, R),
    RECORD_OF("append", response_entries, R),  FIELDS_END,
};
const struct plugin_schema response_transformer_plugin = {
    .name = "response-transformer", .priority = 800, .config = response_transformer_config};

/* ---- gRPC ---- */

static const struct field grpc_gateway_config[] = {TEXT("proto"), FIELDS_END};
const struct plugin_schema grpc_gateway_plugin = {
    .name = "grpc-gateway", .priority = 998, .config = grpc_gateway_config};

static const struct field grpc_web_config[] = {
    TEXT("proto"),
    {.name = "pass_stripped_path", .type = FIELD_BOOLEAN},
    TEXT("allow_origin_header", DEFAULT("\"*\"")),
    FIELDS_END,
};
const struct plugin_schema grpc_web_plugin = {
    .name = "grpc-web", .priority = 3, .config = grpc_web_config};
