#include "http/uri.h"

#include <stdint.h>

enum {
    IN_TARGET = 1,      /* may stand in a request target: visible ASCII but '#' */
    IN_REG_NAME = 2,    /* of a host: unreserved and sub-delims (RFC 3986, section 3.2.2) */
    IN_PATH = 4,        /* needs no escape in an upstream path */
    IS_RESERVED = 8,    /* stays escaped when a path is normalised */
    IN_IPV6 = 16,       /* between the brackets */
    IS_SUSPICIOUS = 32, /* may start something that normalisation changes: '%' or '/' */
};

#define UNRESERVED (IN_TARGET | IN_REG_NAME | IN_PATH)
#define HEXADECIMAL (UNRESERVED | IN_IPV6)
#define SUB_DELIM (IN_TARGET | IN_REG_NAME | IN_PATH | IS_RESERVED)
#define GEN_DELIM (IN_TARGET | IN_PATH | IS_RESERVED)

static const uint8_t classes[256] = {
    ['!'] = SUB_DELIM,
    ['"'] = IN_TARGET,
    ['#'] = IN_PATH | IS_RESERVED,
    ['$'] = SUB_DELIM,
    ['%'] = IN_TARGET | IN_PATH | IS_RESERVED | IS_SUSPICIOUS,
    ['&'] = SUB_DELIM,
    ['\''] = SUB_DELIM,
    ['('] = SUB_DELIM,
    [')'] = SUB_DELIM,
    ['*'] = SUB_DELIM,
    ['+'] = SUB_DELIM,
    [','] = SUB_DELIM,
    ['-'] = UNRESERVED,
    ['.'] = UNRESERVED | IN_IPV6,
    ['/'] = GEN_DELIM | IS_SUSPICIOUS,
    ['0' ... '9'] = HEXADECIMAL,
    [':'] = GEN_DELIM | IN_IPV6,
    [';'] = SUB_DELIM,
    ['<'] = IN_TARGET,
    ['='] = SUB_DELIM,
    ['>'] = IN_TARGET,
    ['?'] = GEN_DELIM,
    ['@'] = GEN_DELIM,
    ['A' ... 'F'] = HEXADECIMAL,
    ['G' ... 'Z'] = UNRESERVED,
    ['['] = GEN_DELIM,
    ['\\'] = IN_TARGET,
    [']'] = GEN_DELIM,
    ['^'] = IN_TARGET,
    ['_'] = UNRESERVED,
    ['`'] = IN_TARGET,
    ['a' ... 'f'] = HEXADECIMAL,
    ['g' ... 'z'] = UNRESERVED,
    ['{'] = IN_TARGET,
    ['|'] = IN_TARGET,
    ['}'] = IN_TARGET,
    ['~'] = UNRESERVED,
};

static bool is_in(char c, uint8_t class)
{
    return classes[(unsigned char)c] & class;
}

static bool all_in(struct str s, uint8_t class)
{
    uint8_t common = class;
    for (size_t i = 0; i < s.len; i++)
        common &= classes[(unsigned char)s.ptr[i]];
    return common == class;
}

static bool skip_scheme(struct str *target)
{
    static const struct str schemes[] = {STR("http://"), STR("https://")};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (target->len >= schemes[i].len &&
            str_equal_nocase(str_make(target->ptr, schemes[i].len), schemes[i])) {
            target->ptr += schemes[i].len;
            target->len -= schemes[i].len;
            return true;
        }
    return false;
}

/* Cuts the authority off an absolute-form target whose scheme is gone. */
static struct str cut_authority(struct str *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != '/' && rest->ptr[len] != '?')
        len++;
    struct str authority = str_make(rest->ptr, len);
    rest->ptr += len;
    rest->len -= len;
    return authority;
}

bool uri_parse(struct str target, struct uri *ret)
{
    struct uri uri = {0};

    if (target.len == 0 || !all_in(target, IN_TARGET))
        return false;
    if (target.ptr[0] != '/') {
        if (str_equal(target, STR("*"))) {
            *ret = (struct uri){.path = target};
            return true;
        }
        struct str host;
        uint16_t port;
        if (!skip_scheme(&target))
            return false;
        uri.authority = cut_authority(&target);
        if (!uri_split_host(uri.authority, &host, &port))
            return false;
    }

    const char *mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;
    uri.path = target;
    if (mark) {
        uri.has_query = true;
        uri.path.len = (size_t)(mark - target.ptr);
        uri.query = str_make(mark + 1, target.len - uri.path.len - 1);
    }
    if (uri.path.len == 0)
        uri.path = STR("/"); /* "http://host?query" */
    *ret = uri;
    return true;
}

/* Whether the segment that starts after a slash is "." or "..", or empty and not the last. */
static bool is_segment_to_resolve(const char *at, const char *end)
{
    if (at == end)
        return false;
    if (*at == '/')
        return true;
    if (*at != '.')
        return false;
    at++;
    if (at < end && *at == '.')
        at++;
    return at == end || *at == '/';
}

static bool is_normal(struct str path)
{
    const char *end = path.ptr + path.len;
    for (const char *at = path.ptr; at < end; at++)
        if (is_in(*at, IS_SUSPICIOUS) && (*at == '%' || is_segment_to_resolve(at + 1, end)))
            return false;
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = str_lower_char(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char hex_digits[] = "0123456789ABCDEF";

static char *write_escape(char *out, char c)
{
    unsigned char byte = (unsigned char)c;
    *out++ = '%';
    *out++ = hex_digits[byte >> 4];
    *out++ = hex_digits[byte & 15];
    return out;
}

/* Decodes what is not reserved. The result is never longer. */
static bool decode(struct str path, char *out, size_t *ret_len)
{
    char *to = out;
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '%') {
            *to++ = path.ptr[i];
            continue;
        }
        if (path.len - i < 3)
            return false;
        int high = hex_value(path.ptr[i + 1]), low = hex_value(path.ptr[i + 2]);
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return false;
        char c = (char)(high << 4 | low);
        if (is_in(c, IS_RESERVED))
            to = write_escape(to, c);
        else
            *to++ = c;
        i += 2;
    }
    *ret_len = (size_t)(to - out);
    return true;
}

/* Resolves dot segments and merges slashes in place: empty segments and "." are dropped, ".." takes
 * the one before with it, and a path that ends with one of them ends with a slash. */
static size_t resolve(char *path, size_t len)
{
    size_t kept = 0, at = 0;
    while (at < len) {
        size_t start = at + 1; /* path[at] is a slash */
        size_t end = start;
        while (end < len && path[end] != '/')
            end++;
        struct str segment = str_make(path + start, end - start);
        if (str_equal(segment, STR(".."))) {
            while (kept > 0 && path[--kept] != '/')
                ;
        } else if (segment.len > 0 && !str_equal(segment, STR("."))) {
            path[kept] = '/';
            memmove(path + kept + 1, segment.ptr, segment.len);
            kept += 1 + segment.len;
            at = end;
            continue;
        }
        if (end == len)
            path[kept++] = '/';
        at = end;
    }
    return kept;
}

bool uri_normalise(struct str path, char *out, struct str *ret)
{
    if (is_normal(path)) {
        *ret = path;
        return true;
    }
    size_t len;
    if (!decode(path, out, &len))
        return false;
    if (len > 0 && out[0] == '/')
        len = resolve(out, len);
    *ret = str_make(out, len);
    return true;
}

size_t uri_escape_path(struct str path, char *out, size_t size)
{
    size_t needed = path.len;
    for (size_t i = 0; i < path.len; i++)
        if (!is_in(path.ptr[i], IN_PATH))
            needed += 2;
    if (needed > size)
        return needed;
    if (needed == path.len) {
        if (needed)
            memcpy(out, path.ptr, needed);
        return needed;
    }
    for (size_t i = 0; i < path.len; i++) {
        if (is_in(path.ptr[i], IN_PATH))
            *out++ = path.ptr[i];
        else
            out = write_escape(out, path.ptr[i]);
    }
    return needed;
}

/* The length of the host at the front of an authority, 0 when there is none. */
static size_t host_length(struct str authority)
{
    size_t len = 0;
    if (authority.len > 0 && authority.ptr[0] == '[') {
        const char *close = memchr(authority.ptr, ']', authority.len);
        len = close ? (size_t)(close - authority.ptr) + 1 : 0;
        /* "[::]" is the shortest. */
        return len >= 4 && all_in(str_make(authority.ptr + 1, len - 2), IN_IPV6) ? len : 0;
    }
    for (; len < authority.len && authority.ptr[len] != ':'; len++) {
        if (is_in(authority.ptr[len], IN_REG_NAME))
            continue;
        if (authority.ptr[len] != '%' || authority.len - len < 3 ||
            hex_value(authority.ptr[len + 1]) < 0 || hex_value(authority.ptr[len + 2]) < 0)
            return 0;
        len += 2;
    }
    return len;
}

bool uri_split_host(struct str authority, struct str *ret_host, uint16_t *ret_port)
{
    size_t len = host_length(authority);
    uint64_t port = 0;
    if (len == 0)
        return false;
    if (len < authority.len) {
        struct str digits = str_make(authority.ptr + len + 1, authority.len - len - 1);
        if (authority.ptr[len] != ':' || digits.len > 5 || !str_to_u64(digits, &port) ||
            port == 0 || port > UINT16_MAX)
            return false;
    }
    *ret_host = str_make(authority.ptr, len);
    *ret_port = (uint16_t)port;
    return true;
}
