/* service.c - what a client wants to reach: the table of its fields, and its rules. */
#include "model/entities.h"
#include "model/field_checks.h"
#include "model/healthchecks.h"

static const char *const proxy_protocols[] = {"v1", "v2", NULL};

#define TIMEOUT_MAX_MS 2147483646.0 /* Kong's: one less than what 31 bits hold */

static const struct field fields[] = {
    FIELD_ID,
    {.name = "name", .type = FIELD_STRING, .unique = true, .check = check_name},
    {.name = "protocol",
     .type = FIELD_STRING,
     .required = true,
     .default_json = "\"http\"",
     .one_of = protocol_names},
    {.name = "host", .type = FIELD_STRING, .required = true, .check = check_host},
    {.name = "port",
     .type = FIELD_INTEGER,
     .required = true,
     .default_json = "80",
     BETWEEN(0, 65535)},
    {.name = "path", .type = FIELD_STRING, .check = check_path},
    {.name = "retries", .type = FIELD_INTEGER, .default_json = "5", BETWEEN(0, 32767)},
    {.name = "connect_timeout",
     .type = FIELD_INTEGER,
     .default_json = "60000",
     BETWEEN(1, TIMEOUT_MAX_MS)},
    {.name = "write_timeout",
     .type = FIELD_INTEGER,
     .default_json = "60000",
     BETWEEN(1, TIMEOUT_MAX_MS)},
    {.name = "read_timeout",
     .type = FIELD_INTEGER,
     .default_json = "60000",
     BETWEEN(1, TIMEOUT_MAX_MS)},
    {.name = "enabled", .type = FIELD_BOOLEAN, .required = true, .default_json = "true"},
    FIELD_TAGS,
    FIELD_ORIGIN,
    {.name = "client_certificate", .type = FIELD_FOREIGN, .reference = "certificates"},
    {.name = "tls_verify", .type = FIELD_BOOLEAN},
    {.name = "tls_verify_depth", .type = FIELD_INTEGER, BETWEEN(0, 64)},
    {.name = "ca_certificates",
     .type = FIELD_ARRAY,
     .elements = &uuid_element,
     .reference = "ca_certificates"},
    /* Of the upstream that a service is whose host names none. Kong's clients don't know it. */
    {.name = "healthchecks",
     .type = FIELD_RECORD,
     .hidden_when_null = true,
     .fields = service_healthchecks_fields},
    /* The header that targets of streams are told the client by. Nor do they know this one. */
    {.name = "proxy_protocol",
     .type = FIELD_STRING,
     .hidden_when_null = true,
     .one_of = proxy_protocols},
    FIELD_SECONDS_AT("created_at"),
    FIELD_SECONDS_AT("updated_at"),
    {.name = NULL},
};

/* ---- url: a shorthand for protocol, host, port and path ---- */

/* As Kong's URL parser cuts it; each part's ptr is NULL when the part is absent. */
struct url_parts {
    struct str scheme;
    struct str host;
    struct str port;
    struct str path;
};

static bool is_scheme_char(char c, bool is_first)
{
    bool is_alnum =
        (c >= '0' && c <= '9') || (str_lower_char(c) >= 'a' && str_lower_char(c) <= 'z');
    return is_alnum || (!is_first && (c == '+' || c == '-' || c == '.'));
}

static struct str cut_scheme(struct str *url)
{
    size_t len = 0;
    while (len < url->len && is_scheme_char(url->ptr[len], len == 0))
        len++;
    if (len == 0 || len == url->len || url->ptr[len] != ':')
        return STR_EMPTY;
    struct str scheme = str_make(url->ptr, len);
    *url = str_make(url->ptr + len + 1, url->len - len - 1);
    return scheme;
}

static void split_authority(struct str authority, struct url_parts *ret)
{
    const char *at = memchr(authority.ptr, '@', authority.len);
    if (at)
        authority = str_make(at + 1, authority.len - (size_t)(at + 1 - authority.ptr));
    /* The port begins at the last colon, unless that stands in an IPv6 address's brackets. */
    const char *colon = memrchr(authority.ptr, ':', authority.len);
    size_t behind = colon ? authority.len - (size_t)(colon + 1 - authority.ptr) : 0;
    if (colon && !memchr(colon, ']', behind + 1)) {
        ret->port = str_make(colon + 1, behind);
        authority.len -= behind + 1;
    }
    if (authority.len > 2 && authority.ptr[0] == '[' && authority.ptr[authority.len - 1] == ']')
        authority = str_make(authority.ptr + 1, authority.len - 2);
    if (authority.len > 0)
        ret->host = authority;
}

static void split_url(struct str url, struct url_parts *ret)
{
    *ret = (struct url_parts){.scheme = cut_scheme(&url)};
    if (str_starts_with(url, STR("//"))) {
        struct str rest = str_make(url.ptr + 2, url.len - 2);
        const char *slash = memchr(rest.ptr, '/', rest.len);
        size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;
        split_authority(str_make(rest.ptr, len), ret);
        url = str_make(rest.ptr + len, rest.len - len);
    }
    for (const char *end = "#?;"; *end; end++)
        url = str_cut(&url, *end);
    if (url.len > 0)
        ret->path = url;
}

static json_t *text_or_null(struct str text)
{
    return text.ptr ? json_stringn_nocheck(text.ptr, text.len) : json_null();
}

static void apply_url(json_t *input, const json_t *url)
{
    struct url_parts parts;
    split_url(str_make(json_string_value(url), json_string_length(url)), &parts);

    uint64_t number = 0;
    bool is_number = parts.port.len <= 9 && str_to_u64(parts.port, &number);
    struct str protocol = parts.scheme;
    if (!protocol.ptr)
        protocol = is_number && number == 443 ? STR("https") : STR("http");
    json_t *port;
    if (is_number)
        port = json_integer((json_int_t)number);
    else if (parts.port.ptr)
        port = text_or_null(parts.port); /* refused later: no integer */
    else
        port = json_integer(str_equal(protocol, STR("https")) ? 443 : 80);

    json_object_set_new(input, "protocol", text_or_null(protocol));
    json_object_set_new(input, "host", text_or_null(parts.host));
    json_object_set_new(input, "port", port);
    json_object_set_new(input, "path", text_or_null(parts.path));
}

static void prepare(json_t *input, enum entity_operation operation, struct violation *violation)
{
    (void)operation;
    json_t *url = json_incref(json_object_get(input, "url"));
    if (!url)
        return;
    json_object_del(input, "url");
    if (json_is_string(url) && json_string_length(url) > 0)
        apply_url(input, url);
    else if (json_is_string(url))
        violation_add(violation, "url", "length must be at least 1");
    else if (!json_is_null(url))
        violation_add(violation, "url", "expected a string");
    json_decref(url);
}

/* ---- rules ---- */

static bool is_among(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static void demand_null(const json_t *row, const char *field, struct violation *violation)
{
    const json_t *value = json_object_get(row, field);
    if (!value || json_is_null(value))
        return;
    violation_overrule(violation, field, "value must be null");
    violation_add_entity(violation,
                         "failed conditional validation given value of field 'protocol'");
}

static void check(const json_t *row, const json_t *input, enum entity_operation operation,
                  struct violation *violation)
{
    static const char *const without_path[] = {"tcp", "tls", "udp", "grpc", "grpcs", NULL};
    static const char *const with_tls[] = {"https", "tls", NULL};
    static const char *const of_streams[] = {"tcp", "tls", "tls_passthrough", NULL};
    static const char *const tls_fields[] = {"client_certificate", "tls_verify", "tls_verify_depth",
                                             "ca_certificates"};
    (void)input;
    (void)operation;
    const char *protocol = json_string_value(json_object_get(row, "protocol"));
    if (!protocol || violation_has(violation, "protocol"))
        return;
    if (is_among(protocol, without_path))
        demand_null(row, "path", violation);
    if (!is_among(protocol, of_streams) && !violation_has(violation, "proxy_protocol"))
        demand_null(row, "proxy_protocol", violation);
    if (!is_among(protocol, with_tls))
        for (size_t i = 0; i < sizeof(tls_fields) / sizeof(tls_fields[0]); i++)
            demand_null(row, tls_fields[i], violation);
}

static void finish(json_t *row)
{
    static const char *const with_tls[] = {"https", "tls", "grpcs", NULL};
    const char *protocol = json_string_value(json_object_get(row, "protocol"));
    healthchecks_spell_out(json_object_get(row, "healthchecks"),
                           !protocol || !is_among(protocol, with_tls));
}

const struct entity service_entity = {
    .name = "services",
    .path = "services",
    .endpoint_key = "name",
    .fields = fields,
    .prepare = prepare,
    .check = check,
    .finish = finish,
};
