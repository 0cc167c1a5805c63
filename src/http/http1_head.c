#include "http/http1_parts.h"

#include <endian.h>
#include <string.h>

#include "http/uri.h"

static const bool token_chars[256] = {
    ['!'] = true,         ['#'] = true,         ['$'] = true,         ['%'] = true, ['&'] = true,
    ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true, ['.'] = true,
    ['^'] = true,         ['_'] = true,         ['`'] = true,         ['|'] = true, ['~'] = true,
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

/* The part of the head that is still to be read. */
struct cursor {
    const char *base;
    const char *at;
    const char *end;
};

bool http1_is_token_char(char c)
{
    return token_chars[(unsigned char)c];
}

bool http1_is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!token_chars[(unsigned char)s.ptr[i]])
            return false;
    return s.len > 0;
}

static bool skip(struct cursor *cursor, struct str expected)
{
    if (!str_starts_with(str_make(cursor->at, (size_t)(cursor->end - cursor->at)), expected))
        return false;
    cursor->at += expected.len;
    return true;
}

static struct http_span span_to_cursor(const struct cursor *cursor, const char *start)
{
    return (struct http_span){(uint32_t)(start - cursor->base), (uint32_t)(cursor->at - start)};
}

static struct http_span read_token(struct cursor *cursor)
{
    const char *start = cursor->at, *at = start;
    while (at < cursor->end && token_chars[(unsigned char)*at])
        at++;
    cursor->at = at;
    return span_to_cursor(cursor, start);
}

/* How many of eight bytes stand in front of the first control character (tabs too) or DEL. A byte's
 * high bit is set where it is one; what the subtractions borrow is only wrong behind the first. */
static size_t count_text(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t bytes;
    memcpy(&bytes, at, sizeof(bytes));
    bytes = le64toh(bytes);
    uint64_t below_space = (bytes - ones * 0x20) & ~bytes;
    uint64_t del = bytes ^ (ones * 0x7f);
    uint64_t found = (below_space | ((del - ones) & ~del)) & highs;
    return found ? (size_t)__builtin_ctzll(found) / 8 : sizeof(bytes);
}

static bool may_stand_in_value(char c)
{
    unsigned char byte = (unsigned char)c;
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

/* Up to the first byte that no field value may hold, which the caller wants to be the CR. */
static struct http_span read_text(struct cursor *cursor)
{
    const char *start = cursor->at;
    const char *at = start;
    for (;;) {
        size_t count = 8;
        while (count == 8 && cursor->end - at >= 8) {
            count = count_text(at);
            at += count;
        }
        while (at < cursor->end && may_stand_in_value(*at) && *at != '\t')
            at++;
        if (at == cursor->end || *at != '\t')
            break;
        at++;
    }
    cursor->at = at;
    return span_to_cursor(cursor, start);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum http1_result read_version(struct http1_parser *parser, struct cursor *cursor)
{
    if (!skip(cursor, STR("HTTP/")) || cursor->end - cursor->at < 3 || !is_digit(cursor->at[0]) ||
        cursor->at[1] != '.' || !is_digit(cursor->at[2]))
        return http1_refuse(parser, 400, "bad version");
    parser->head->minor_version = (uint8_t)(cursor->at[2] - '0');
    if (cursor->at[0] != '1' || parser->head->minor_version > 1)
        return http1_refuse(parser, 505, "HTTP version that is not supported");
    cursor->at += 3;
    return HTTP1_DONE;
}

static enum http1_result take_http2_version(struct http1_parser *parser, struct cursor *cursor)
{
    parser->head->minor_version = 1;
    parser->head->is_http2 = true;
    return skip(cursor, STR("HTTP/2.0")) ? HTTP1_DONE : http1_refuse(parser, 400, "bad version");
}

/* Which llhttp knows of those that it reads itself. */
static bool find_method(struct str name, uint8_t *ret)
{
#define ROW(number, id, text) {STR_INIT(#text), number},
    static const struct {
        struct str name;
        uint8_t method;
    } methods[] = {HTTP_METHOD_MAP(ROW)};
#undef ROW
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (methods[i].method != HTTP_PRI && str_equal(name, methods[i].name)) {
            *ret = methods[i].method;
            return true;
        }
    }
    return false;
}

/* A target is in origin form but for proxies' clients (absolute) and OPTIONS (asterisk). */
static enum http1_result check_target(struct http1_parser *parser)
{
    struct http_head *head = parser->head;
    struct str target = http_span_str(head, head->target);
    struct uri uri;

    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= ' ' || target.ptr[i] >= 0x7f || target.ptr[i] == '#')
            return http1_refuse(parser, 400, "bad character in the request target");
    if (target.len > 0 && target.ptr[0] == '/')
        return HTTP1_DONE;
    if (!uri_parse(target, &uri))
        return http1_refuse(parser, 400, "bad request target");
    if (uri.authority.len == 0)
        return head->method == HTTP_OPTIONS ? HTTP1_DONE
                                            : http1_refuse(parser, 400, "bad request target");
    head->host.offset = (uint32_t)(uri.authority.ptr - head->base);
    head->host.len = (uint32_t)uri.authority.len; /* http1_framing.c cuts the port off */
    return HTTP1_DONE;
}

static enum http1_result read_request_line(struct http1_parser *parser, struct cursor *cursor)
{
    struct http_head *head = parser->head;
    while (skip(cursor, STR("\r\n")))
        ;
    head->method_text = read_token(cursor);
    if (head->method_text.len == 0 || !skip(cursor, STR(" ")))
        return http1_refuse(parser, 400, "bad request line");
    const char *target = cursor->at;
    const char *space = memchr(target, ' ', (size_t)(cursor->end - target));
    if (!space)
        return http1_refuse(parser, 400, "bad request line");
    cursor->at = space;
    head->target = span_to_cursor(cursor, target);
    cursor->at++;
    if ((parser->is_http2 ? take_http2_version(parser, cursor) : read_version(parser, cursor)) !=
        HTTP1_DONE)
        return HTTP1_REFUSED;
    if (!skip(cursor, STR("\r\n")))
        return http1_refuse(parser, 400, "bad request line");
    if (parser->is_http2 && !find_method(http_span_str(head, head->method_text), &head->method))
        return http1_refuse(parser, 501, "unknown method");
    if (head->method == HTTP_CONNECT || head->method == HTTP_TRACE)
        return http1_refuse(parser, 405, "CONNECT and TRACE are not served");
    return check_target(parser);
}

static enum http1_result read_status_line(struct http1_parser *parser, struct cursor *cursor)
{
    struct http_head *head = parser->head;
    uint64_t status;
    if ((parser->is_http2 ? take_http2_version(parser, cursor) : read_version(parser, cursor)) !=
        HTTP1_DONE)
        return HTTP1_REFUSED;
    if (!skip(cursor, STR(" ")))
        return http1_refuse(parser, 502, "bad status line");
    if (cursor->end - cursor->at < 3 || !str_to_u64(str_make(cursor->at, 3), &status) ||
        status < 100)
        return http1_refuse(parser, 502, "bad status");
    cursor->at += 3;
    head->status = (uint16_t)status;
    head->reason = span_to_cursor(cursor, cursor->at);
    if (skip(cursor, STR(" ")))
        head->reason = read_text(cursor);
    if (!skip(cursor, STR("\r\n")))
        return http1_refuse(parser, 502, "bad status line");
    return HTTP1_DONE;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The fields that concern one hop only, whether or not Connection names them. */
#define HOP_BY_HOP                                                                                 \
    (1u << HEADER_CONNECTION | 1u << HEADER_KEEP_ALIVE | 1u << HEADER_PROXY_CONNECTION |           \
     1u << HEADER_TE | 1u << HEADER_TRANSFER_ENCODING | 1u << HEADER_UPGRADE)

/* Reads "name: value" and the line's end; a name or value is what grammar allows and no more. */
static enum http1_result read_field(struct http1_parser *parser, struct cursor *cursor,
                                    struct http_field *field)
{
    struct http_span name = read_token(cursor);
    if (name.len == 0 || !skip(cursor, STR(":")))
        return http1_refuse(parser, 400, "bad field name");
    if (name.len > UINT16_MAX)
        return http1_refuse(parser, 431, "field name too long");
    while (cursor->at < cursor->end && is_blank(*cursor->at))
        cursor->at++;
    struct http_span value = read_text(cursor);
    if (!skip(cursor, STR("\r\n")))
        return http1_refuse(parser, 400, "bad character in a field value");
    while (value.len > 0 && is_blank(cursor->base[value.offset + value.len - 1]))
        value.len--;

    field->name_offset = name.offset;
    field->name_len = (uint16_t)name.len;
    field->value_offset = value.offset;
    field->value_len = value.len;
    field->id = (uint8_t)header_recognise(str_make(cursor->base + name.offset, name.len));
    field->is_hop_by_hop = HOP_BY_HOP >> field->id & 1;
    return HTTP1_DONE;
}

enum http1_result http1_find_fields(struct http1_parser *parser, const char *base, size_t len)
{
    struct http_head *head = parser->head;
    struct cursor cursor = {base, base, base + len};
    uint32_t repeated = 0;

    head->base = base;
    enum http1_result result =
        parser->is_request ? read_request_line(parser, &cursor) : read_status_line(parser, &cursor);
    if (result != HTTP1_DONE)
        return result;

    while (!skip(&cursor, STR("\r\n"))) {
        if (head->field_count == HTTP_MAX_FIELDS)
            return http1_refuse(parser, 431, "too many fields");
        struct http_field *field = &head->fields[head->field_count];
        result = read_field(parser, &cursor, field);
        if (result != HTTP1_DONE)
            return result;
        head->field_count++;
        if (head->first[field->id])
            repeated |= 1u << field->id;
        else
            head->first[field->id] = (uint8_t)head->field_count;
    }
    if (cursor.at != cursor.end)
        return http1_refuse(parser, 400, "head ends where it should not");
    head->len = (uint32_t)len;
    return http1_apply_fields(parser, repeated);
}
