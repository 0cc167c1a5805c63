/* route.c - what selects a service: the table of its fields, and its rules, which depend on the
 * family of protocols that it is for. */
#include "model/entities.h"
#include "model/field_checks.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t redirect_codes[] = {426, 301, 302, 307, 308, 0};
static const char *const path_handlings[] = {"v0", "v1", NULL};
static const char *const ip_or_port[] = {"ip", "port", NULL};

static bool check_protocols(const json_t *value, char *message, size_t size);

static const struct field protocol_element = {.type = FIELD_STRING, .one_of = protocol_names};
static const struct field method_element = {.type = FIELD_STRING, .check = check_method};
static const struct field host_element = {.type = FIELD_STRING, .check = check_route_host};
static const struct field path_element = {.type = FIELD_STRING, .check = check_route_path};
static const struct field sni_element = {.type = FIELD_STRING, .check = check_wildcard_sni};
static const struct field header_name = {.type = FIELD_STRING, .check = check_route_header_name};
static const struct field matched_header_values = {
    .type = FIELD_ARRAY, .elements = &text_element, .check = check_route_header_values};

static const struct field peer_fields[] = {
    {.name = "ip", .type = FIELD_STRING, .check = check_ip_or_cidr},
    {.name = "port", .type = FIELD_INTEGER, BETWEEN(0, 65535)},
    {.name = NULL},
};
static const struct field peer_element = {
    .type = FIELD_RECORD, .fields = peer_fields, .at_least_one_of = ip_or_port};

static const struct field fields[] = {
    FIELD_ID,
    {.name = "name", .type = FIELD_STRING, .unique = true, .check = check_name},
    {.name = "service", .type = FIELD_FOREIGN, .reference = "services"},
    {.name = "protocols",
     .type = FIELD_SET,
     .required = true,
     .default_json = "[\"http\",\"https\"]",
     .len_min = 1,
     .elements = &protocol_element,
     .check = check_protocols},
    {.name = "methods", .type = FIELD_SET, .elements = &method_element},
    {.name = "hosts", .type = FIELD_ARRAY, .elements = &host_element},
    {.name = "paths", .type = FIELD_ARRAY, .elements = &path_element},
    {.name = "headers", .type = FIELD_MAP, .keys = &header_name, .values = &matched_header_values},
    {.name = "snis", .type = FIELD_SET, .elements = &sni_element},
    {.name = "sources", .type = FIELD_SET, .elements = &peer_element},
    {.name = "destinations", .type = FIELD_SET, .elements = &peer_element},
    {.name = "https_redirect_status_code",
     .type = FIELD_INTEGER,
     .required = true,
     .default_json = "426",
     .one_of_integers = redirect_codes},
    {.name = "regex_priority", .type = FIELD_INTEGER, .default_json = "0"},
    {.name = "strip_path", .type = FIELD_BOOLEAN, .required = true, .default_json = "true"},
    {.name = "path_handling",
     .type = FIELD_STRING,
     .default_json = "\"v0\"",
     .one_of = path_handlings},
    {.name = "preserve_host", .type = FIELD_BOOLEAN, .required = true, .default_json = "false"},
    {.name = "request_buffering", .type = FIELD_BOOLEAN, .required = true, .default_json = "true"},
    {.name = "response_buffering", .type = FIELD_BOOLEAN, .required = true, .default_json = "true"},
    FIELD_TAGS,
    FIELD_ORIGIN,
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

/* ---- families of protocols: a route is for one of them ---- */

struct family {
    const char *const *protocols; /* that exclude those of the other families */
    const char *shown;
};

static const char *const http_protocols[] = {"http", "https", NULL};
static const char *const stream_protocols[] = {"tcp", "tls", "udp", NULL};
static const char *const passthrough_protocols[] = {"tls_passthrough", NULL};
static const char *const grpc_protocols[] = {"grpc", "grpcs", NULL};

enum family_index { FAMILY_HTTP, FAMILY_STREAM, FAMILY_PASSTHROUGH, FAMILY_GRPC, FAMILY_NONE };

static const struct family families[] = {
    [FAMILY_HTTP] = {http_protocols, "('http', 'https')"},
    [FAMILY_STREAM] = {stream_protocols, "('tcp', 'tls', 'udp')"},
    [FAMILY_PASSTHROUGH] = {passthrough_protocols, "('tls_passthrough')"},
    [FAMILY_GRPC] = {grpc_protocols, "('grpc', 'grpcs')"},
};

static enum family_index family_of_protocol(const char *protocol)
{
    for (int family = 0; protocol && family < FAMILY_NONE; family++)
        for (const char *const *name = families[family].protocols; *name; name++)
            if (strcmp(*name, protocol) == 0)
                return (enum family_index)family;
    return FAMILY_NONE;
}

/* That of the first protocol that has one. */
static enum family_index family_of(const json_t *protocols)
{
    if (json_is_string(protocols))
        return family_of_protocol(json_string_value(protocols));
    for (size_t i = 0; i < json_array_size(protocols); i++) {
        const char *protocol = json_string_value(json_array_get(protocols, i));
        enum family_index family = family_of_protocol(protocol);
        if (family != FAMILY_NONE)
            return family;
    }
    return FAMILY_NONE;
}

static bool has_protocol(const json_t *protocols, const char *name)
{
    for (size_t i = 0; i < json_array_size(protocols); i++)
        if (strcmp(json_string_value(json_array_get(protocols, i)), name) == 0)
            return true;
    return false;
}

static bool check_protocols(const json_t *value, char *message, size_t size)
{
    bool is_present[FAMILY_NONE] = {false};
    for (size_t i = 0; i < json_array_size(value); i++)
        is_present[family_of_protocol(json_string_value(json_array_get(value, i)))] = true;
    const char *first = NULL;
    for (int family = 0; family < FAMILY_NONE; family++) {
        if (!is_present[family])
            continue;
        if (first) {
            snprintf(message, size, "these sets are mutually exclusive: %s, %s", first,
                     families[family].shown);
            return false;
        }
        first = families[family].shown;
    }
    return true;
}

/* ---- what a family forbids ---- */

static void forbid(const json_t *row, const char *const *names, const char *protocols,
                   struct violation *violation)
{
    for (; *names; names++)
        if (!json_is_null(json_object_get(row, *names)))
            violation_add(violation, *names, "cannot set '%s' when 'protocols' is %s", *names,
                          protocols);
}

static void forbid_by_family(const json_t *row, enum family_index family,
                             struct violation *violation)
{
    static const char *const not_http[] = {"sources", "destinations", NULL};
    static const char *const not_stream[] = {"methods", "hosts", "paths", "headers", NULL};
    static const char *const not_grpc[] = {"methods", "sources", "destinations", NULL};
    static const char grpc_shown[] = "'grpc' or 'grpcs'";
    switch (family) {
    case FAMILY_HTTP:
        forbid(row, not_http, "'http' or 'https'", violation);
        break;
    case FAMILY_STREAM:
    case FAMILY_PASSTHROUGH:
        forbid(row, not_stream, "'tcp', 'tls', 'tls_passthrough' or 'udp'", violation);
        break;
    case FAMILY_GRPC:
        forbid(row, not_grpc, grpc_shown, violation);
        if (json_is_true(json_object_get(row, "strip_path")))
            violation_add(violation, "strip_path", "cannot set 'strip_path' when 'protocols' is %s",
                          grpc_shown);
        break;
    case FAMILY_NONE:
        break;
    }
}

/* A route of no known family has no rules to be checked by. */
static bool precheck(const json_t *row, struct violation *violation)
{
    const json_t *protocols = json_object_get(row, "protocols");
    if (!protocols || json_is_null(protocols)) {
        violation_add(violation, "protocols", "required field missing");
        return false;
    }
    enum family_index family = family_of(protocols);
    if (family == FAMILY_NONE && (json_is_array(protocols) || json_is_string(protocols))) {
        const json_t *first = json_is_array(protocols) ? json_array_get(protocols, 0) : protocols;
        char *shown = json_is_string(first) ? NULL : first ? violation_dump(first) : NULL;
        violation_add(violation, "protocols", "unknown type: %s",
                      json_is_string(first) ? json_string_value(first)
                      : shown               ? shown
                                            : "nil");
        free(shown);
        return false;
    }
    forbid_by_family(row, family, violation);
    return true;
}

/* ---- what a family demands ---- */

static bool is_empty(const json_t *row, const char *field)
{
    const json_t *value = json_object_get(row, field);
    return !value || json_is_null(value) || (json_is_array(value) && !json_array_size(value)) ||
           (json_is_object(value) && !json_object_size(value)) ||
           (json_is_string(value) && !json_string_length(value));
}

struct matcher_rule {
    const char *protocol; /* the first rule whose protocol the route has is the one that counts */
    const char *matchers[6];
    const char *sentence;
};

static const struct matcher_rule matcher_rules[] = {
    {"https",
     {"methods", "hosts", "headers", "paths", "snis"},
     "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'"},
    {"http",
     {"methods", "hosts", "headers", "paths"},
     "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'"},
    {"grpcs",
     {"hosts", "headers", "paths", "snis"},
     "must set one of 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'grpcs'"},
    {"grpc",
     {"hosts", "headers", "paths"},
     "must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'"},
    {"tcp",
     {"sources", "destinations", "snis"},
     "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'"},
    {"tls",
     {"sources", "destinations", "snis"},
     "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'"},
    {"udp",
     {"sources", "destinations", "snis"},
     "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'"},
    {"tls_passthrough", {"snis"}, "must set snis when 'protocols' is 'tls_passthrough'"},
};

static void demand_matcher(const json_t *row, const json_t *protocols, struct violation *violation)
{
    const struct matcher_rule *rule = matcher_rules;
    while (!has_protocol(protocols, rule->protocol))
        rule++; /* valid protocols: there is one */
    for (const char *const *matcher = rule->matchers; *matcher; matcher++)
        if (!is_empty(row, *matcher))
            return;
    violation_add_entity(violation, "%s", rule->sentence);
}

static void check(const json_t *row, const json_t *input, enum entity_operation operation,
                  struct violation *violation)
{
    static const char *const with_sni[] = {"grpcs", "https", "tls", "tls_passthrough"};
    (void)input;
    (void)operation;
    if (violation_has(violation, "protocols"))
        return;
    const json_t *protocols = json_object_get(row, "protocols");
    bool may_have_snis = false;
    for (size_t i = 0; i < sizeof(with_sni) / sizeof(with_sni[0]); i++)
        may_have_snis |= has_protocol(protocols, with_sni[i]);
    if (!may_have_snis && !is_empty(row, "snis")) {
        violation_overrule(violation, "snis", "length must be 0");
        violation_add_entity(violation, "'snis' can only be set when 'protocols' is 'grpcs', "
                                        "'https', 'tls' or 'tls_passthrough'");
    }
    demand_matcher(row, protocols, violation);
}

/* A gRPC path is the method's name: nothing is to be stripped from it. */
static void prepare(json_t *input, enum entity_operation operation, struct violation *violation)
{
    (void)violation;
    if (operation != ENTITY_UPDATE && !json_object_get(input, "strip_path") &&
        family_of(json_object_get(input, "protocols")) == FAMILY_GRPC)
        json_object_set_new(input, "strip_path", json_false());
}

const struct entity route_entity = {
    .name = "routes",
    .path = "routes",
    .endpoint_key = "name",
    .fields = fields,
    .prepare = prepare,
    .precheck = precheck,
    .check = check,
};
