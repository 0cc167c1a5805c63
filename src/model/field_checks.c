#include "model/field_checks.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/uri.h"
#include "model/address.h"

const char *const protocol_names[] = {"grpc", "grpcs",           "http", "https", "tcp",
                                      "tls",  "tls_passthrough", "udp",  NULL};
const struct field tag_element = {.type = FIELD_STRING, .check = check_tag};
const struct field text_element = {.type = FIELD_STRING};
const struct field uuid_element = {.type = FIELD_STRING, .uuid = true};
const struct field header_values = {.type = FIELD_ARRAY, .elements = &text_element};

static struct str text_of(const json_t *value)
{
    return str_make(json_string_value(value), json_string_length(value));
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (str_lower_char(c) >= 'a' && str_lower_char(c) <= 'z');
}

/* False, with the message: `return refuse(…)`. */
static __attribute__((format(printf, 3, 4))) bool refuse(char *message, size_t size,
                                                         const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(message, size, format, args);
    va_end(args);
    return false;
}

/* ---- names and tags ---- */

static bool check_utf8(struct str text, char *message, size_t size)
{
    for (size_t at = 0; at < text.len;) {
        size_t len = str_utf8_len(str_make(text.ptr + at, text.len - at));
        if (len == 0)
            return refuse(message, size,
                          "invalid utf-8 character sequence detected at position %zu", at + 1);
        at += len;
    }
    return true;
}

bool check_name(const json_t *value, char *message, size_t size)
{
    struct str text = text_of(value);
    if (!check_utf8(text, message, size))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if ((unsigned char)c < 0x80 && !is_alnum(c) && !strchr(".-_~", c))
            return refuse(message, size,
                          "invalid value '%.*s': the only accepted ascii characters are "
                          "alphanumerics or ., -, _, and ~",
                          STR_ARG(text));
    }
    return true;
}

bool check_tag(const json_t *value, char *message, size_t size)
{
    struct str text = text_of(value);
    if (!check_utf8(text, message, size))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if ((unsigned char)c < 0x80 && (c < ' ' || c > '~' || c == ',' || c == '/'))
            return refuse(message, size,
                          "invalid tag '%.*s': expected printable ascii (except `,` and `/`) or "
                          "valid utf-8 sequences",
                          STR_ARG(text));
    }
    return true;
}

/* ---- hosts ---- */

static bool check_without_port(struct str text, bool names_only, char *message, size_t size)
{
    struct address address;
    enum address_error error = address_parse(text, &address);
    if (error == ADDRESS_BAD_HOST)
        return refuse(message, size, "invalid value: %.*s", STR_ARG(text));
    if (names_only && !error && address.kind != ADDRESS_NAME)
        return refuse(message, size, "must not be an IP");
    if (error == ADDRESS_BAD_PORT || address.has_port)
        return refuse(message, size, "must not have a port");
    return true;
}

bool check_host(const json_t *value, char *message, size_t size)
{
    return check_without_port(text_of(value), false, message, size);
}

bool check_sni(const json_t *value, char *message, size_t size)
{
    return check_without_port(text_of(value), true, message, size);
}

static bool check_with_port(struct str text, char *message, size_t size)
{
    static const char *const kinds[] = {
        [ADDRESS_NAME] = "hostname",
        [ADDRESS_IPV4] = "ipv4 address",
        [ADDRESS_IPV6] = "ipv6 address",
    };
    struct address address;
    switch (address_parse(text, &address)) {
    case ADDRESS_BAD_PORT:
        return refuse(message, size, "invalid port number");
    case ADDRESS_BAD_HOST:
        return refuse(message, size, "invalid %s: %.*s", kinds[address.kind], STR_ARG(text));
    default:
        return true;
    }
}

bool check_host_and_port(const json_t *value, char *message, size_t size)
{
    return check_with_port(text_of(value), message, size);
}

static size_t count_stars(struct str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '*';
    return count;
}

/* The text with its first star replaced, for a check of the rest; owned, NULL: no memory. */
static char *replace_star(struct str text, const char *by)
{
    size_t star = (size_t)((const char *)memchr(text.ptr, '*', text.len) - text.ptr);
    char *replaced = NULL;
    if (asprintf(&replaced, "%.*s%s%.*s", (int)star, text.ptr, by, (int)(text.len - star - 1),
                 text.ptr + star + 1) < 0)
        return NULL;
    return replaced;
}

bool check_route_host(const json_t *value, char *message, size_t size)
{
    struct str text = text_of(value);
    size_t stars = count_stars(text);
    if (stars == 0)
        return check_with_port(text, message, size);
    if (stars > 1)
        return refuse(message, size, "invalid wildcard: must have at most one wildcard");
    if (!str_starts_with(text, STR("*.")) && !str_ends_with(text, STR(".*")))
        return refuse(message, size,
                      "invalid wildcard: must be placed at leftmost or rightmost label");
    char *plain = replace_star(text, "abc");
    bool is_fine = plain && check_with_port(str_of(plain), message, size);
    free(plain);
    return is_fine;
}

bool check_wildcard_sni(const json_t *value, char *message, size_t size)
{
    struct str text = text_of(value);
    size_t stars = count_stars(text);
    if (stars == 0)
        return check_without_port(text, true, message, size);
    const char *first = memchr(text.ptr, '*', text.len);
    if (first != text.ptr && first != text.ptr + text.len - 1)
        return refuse(message, size, "wildcard must be leftmost or rightmost character");
    if (stars > 1)
        return refuse(message, size, "only one wildcard must be specified");
    char *plain = replace_star(text, "wildcard");
    bool is_fine = plain && check_without_port(str_of(plain), true, message, size);
    free(plain);
    return is_fine;
}

bool check_ip_or_cidr(const json_t *value, char *message, size_t size)
{
    struct str text = text_of(value);
    if (address_is_ip_or_cidr(text))
        return true;
    return refuse(message, size, "invalid ip or cidr range: '%.*s'", STR_ARG(text));
}

/* ---- paths ---- */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (str_lower_char(c) >= 'a' && str_lower_char(c) <= 'f');
}

static bool has_empty_segment(struct str path)
{
    return path.len >= 2 && memmem(path.ptr, path.len, "//", 2);
}

static bool check_escapes(struct str path, char *message, size_t size)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '%')
            continue;
        size_t left = path.len - i;
        if (left < 3 || !is_hex(path.ptr[i + 1]) || !is_hex(path.ptr[i + 2]))
            return refuse(message, size, "invalid url-encoded value: '%.*s'",
                          (int)(left < 3 ? left : 3), path.ptr + i);
        i += 2;
    }
    return true;
}

bool check_path(const json_t *value, char *message, size_t size)
{
    struct str path = text_of(value);
    if (path.ptr[0] != '/')
        return refuse(message, size, "should start with: /");
    if (has_empty_segment(path))
        return refuse(message, size, "must not have empty segments");
    for (size_t i = 0; i < path.len; i++)
        if (!is_alnum(path.ptr[i]) && !strchr("./-_~%:@!$&'()*+,;=", path.ptr[i]))
            return refuse(message, size,
                          "invalid path: '%.*s' (characters outside of the reserved list of RFC "
                          "3986 found)",
                          STR_ARG(path));
    return check_escapes(path, message, size);
}

static bool check_regex(struct str regex, char *message, size_t size)
{
    int code;
    size_t at;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)regex.ptr, regex.len, PCRE2_ANCHORED, &code, &at, NULL);
    if (compiled) {
        pcre2_code_free(compiled);
        return true;
    }
    PCRE2_UCHAR reason[128];
    pcre2_get_error_message(code, reason, sizeof(reason));
    if (at >= regex.len)
        return refuse(message, size,
                      "invalid regex: '%.*s' (PCRE returned: pcre2_compile() failed: %s in "
                      "\"%.*s\")",
                      STR_ARG(regex), (const char *)reason, STR_ARG(regex));
    return refuse(message, size,
                  "invalid regex: '%.*s' (PCRE returned: pcre2_compile() failed: %s in \"%.*s\" "
                  "at \"%.*s\")",
                  STR_ARG(regex), (const char *)reason, STR_ARG(regex), (int)(regex.len - at),
                  regex.ptr + at);
}

static bool check_normal(struct str path, char *message, size_t size)
{
    char *room = malloc(path.len + 1);
    struct str normal;
    if (!room)
        return refuse(message, size, "out of memory");
    bool is_fine = true;
    if (!uri_normalise(path, room, &normal))
        is_fine = refuse(message, size, "invalid path: '%.*s'", STR_ARG(path));
    else if (!str_equal(path, normal))
        is_fine = refuse(message, size, "non-normalized path, consider use '%.*s' instead",
                         STR_ARG(normal));
    free(room);
    return is_fine;
}

bool check_route_header_values(const json_t *value, char *message, size_t size)
{
    if (json_array_size(value) != 1 || !json_is_string(json_array_get(value, 0)))
        return true;
    struct str text = text_of(json_array_get(value, 0));
    return !str_starts_with(text, STR("~*")) ||
           check_regex(str_make(text.ptr + 2, text.len - 2), message, size);
}

bool check_route_path(const json_t *value, char *message, size_t size)
{
    struct str path = text_of(value);
    if (has_empty_segment(path))
        return refuse(message, size, "must not have empty segments");
    bool is_regex = str_starts_with(path, STR("~/"));
    if (!is_regex && path.ptr[0] != '/')
        return refuse(message, size, "should start with: / (fixed path) or ~/ (regex path)");
    if (is_regex)
        return check_regex(str_make(path.ptr + 1, path.len - 1), message, size);
    return check_escapes(path, message, size) && check_normal(path, message, size);
}

/* ---- tokens ---- */

bool check_method(const json_t *value, char *message, size_t size)
{
    struct str text = text_of(value);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < 'A' || text.ptr[i] > 'Z')
            return refuse(message, size, "invalid value: %.*s", STR_ARG(text));
    return true;
}

bool check_header_name(const json_t *value, char *message, size_t size)
{
    struct str text = text_of(value);
    for (size_t i = 0; i < text.len; i++)
        if (!is_alnum(text.ptr[i]) && text.ptr[i] != '-' && text.ptr[i] != '_')
            return refuse(message, size,
                          "bad header name '%.*s', allowed characters are A-Z, a-z, 0-9, '_', and "
                          "'-'",
                          STR_ARG(text));
    return true;
}

bool check_route_header_name(const json_t *value, char *message, size_t size)
{
    if (str_equal_nocase(text_of(value), STR("host")))
        return refuse(message, size,
                      "cannot contain 'host' header, which must be specified in the 'hosts' "
                      "attribute");
    return check_header_name(value, message, size);
}

bool check_cookie_name(const json_t *value, char *message, size_t size)
{
    struct str text = text_of(value);
    for (size_t i = 0; i < text.len; i++)
        if (!is_alnum(text.ptr[i]) && !strchr("!#$%&'*+-.^_`|~", text.ptr[i]))
            return refuse(message, size,
                          "bad cookie name '%.*s', allowed characters are A-Z, a-z, 0-9, '_', and "
                          "'-'",
                          STR_ARG(text));
    return true;
}

bool check_made_of(const json_t *value, char *message, size_t size)
{
    (void)value;
    snprintf(message, size, "is set by weir alone, for what it makes of tags in Consul");
    return false;
}
