#include "plugins/plugin.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uv.h> /* error codes only */

#include "http/http1.h"

#define LINES_BYTES 256 /* at first */

/* ---- lines ---- */

bool plugin_may_stand_in_a_line(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

size_t plugin_lines_room(size_t len)
{
    size_t room = LINES_BYTES;
    while (room < len)
        room *= 2;
    return room;
}

bool plugin_add_line(struct arena *arena, struct str *lines, struct str name, struct str value)
{
    size_t len = lines->len + name.len + value.len + 4;
    if (!http1_is_token(name) || !plugin_may_stand_in_a_line(value))
        return false;
    char *text = (char *)lines->ptr;
    if (!text || len > plugin_lines_room(lines->len)) {
        text = arena_alloc(arena, plugin_lines_room(len));
        if (!text)
            return false;
        if (lines->len > 0)
            memcpy(text, lines->ptr, lines->len);
    }
    char *at = text + lines->len;
    at = mempcpy(at, name.ptr, name.len);
    at = mempcpy(at, ": ", 2);
    if (value.len > 0)
        at = mempcpy(at, value.ptr, value.len);
    memcpy(at, "\r\n", 2);
    *lines = str_make(text, len);
    return true;
}

/* Cuts the first line off, with its end. */
static struct str next_line(struct str *rest)
{
    const char *end = memchr(rest->ptr, '\n', rest->len);
    size_t len = end ? (size_t)(end - rest->ptr) + 1 : rest->len;
    struct str line = str_make(rest->ptr, len);
    *rest = str_make(rest->ptr + len, rest->len - len);
    return line;
}

static bool is_line_of(struct str line, struct str name)
{
    return line.len > name.len && line.ptr[name.len] == ':' &&
           str_equal_nocase(str_make(line.ptr, name.len), name);
}

struct str plugin_find_line(struct str lines, struct str name)
{
    while (lines.len > 0) {
        struct str line = next_line(&lines);
        if (is_line_of(line, name)) /* ": " and the end */
            return str_make(line.ptr + name.len + 2, line.len - name.len - 4);
    }
    return STR_EMPTY;
}

/* Whatever stands in the arena may be written again: it is the exchange's own. */
void plugin_drop_lines(struct str *lines, struct str name)
{
    struct str rest = *lines;
    char *start = (char *)lines->ptr;
    char *to = start;
    while (rest.len > 0) {
        struct str line = next_line(&rest);
        if (is_line_of(line, name))
            continue;
        if (to != line.ptr)
            memmove(to, line.ptr, line.len);
        to += line.len;
    }
    *lines = str_make(start, (size_t)(to - start));
}

void plugin_rename_lines(struct arena *arena, struct str *lines, struct str name,
                         struct str new_name)
{
    struct str rest = *lines;
    struct str renamed = STR_EMPTY;
    while (rest.len > 0) {
        struct str line = next_line(&rest);
        size_t colon = (size_t)((const char *)memchr(line.ptr, ':', line.len) - line.ptr);
        struct str own = is_line_of(line, name) ? new_name : str_make(line.ptr, colon);
        plugin_add_line(arena, &renamed, own, str_make(line.ptr + colon + 2, line.len - colon - 4));
    }
    *lines = renamed;
}

/* ---- fields ---- */

struct str plugin_find_field(const struct http_head *head, struct str name)
{
    for (unsigned i = 0; i < head->field_count; i++)
        if (str_equal_nocase(http_field_name(head, &head->fields[i]), name))
            return http_field_value(head, &head->fields[i]);
    return STR_EMPTY;
}

unsigned plugin_count_fields(const struct http_head *head, struct str name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < head->field_count; i++)
        count += str_equal_nocase(http_field_name(head, &head->fields[i]), name);
    return count;
}

struct str plugin_find(const struct http_head *head, struct str lines, struct str name)
{
    struct str found = plugin_find_line(lines, name);
    for (unsigned i = 0; head && !found.ptr && i < head->field_count; i++)
        if (!head->fields[i].is_hop_by_hop &&
            str_equal_nocase(http_field_name(head, &head->fields[i]), name))
            found = http_field_value(head, &head->fields[i]);
    return found;
}

bool plugin_has(const struct http_head *head, struct str lines, struct str name)
{
    return plugin_find(head, lines, name).ptr != NULL;
}

/* What is not passed on is marked like what concerns one connection alone. */
void plugin_drop(struct http_head *head, struct str *lines, struct str name)
{
    for (unsigned i = 0; head && i < head->field_count; i++)
        if (str_equal_nocase(http_field_name(head, &head->fields[i]), name))
            head->fields[i].is_hop_by_hop = true;
    plugin_drop_lines(lines, name);
}

void plugin_drop_like(struct http_head *head, struct str name)
{
    for (unsigned i = 0; i < head->field_count; i++)
        if (header_is_like(http_field_name(head, &head->fields[i]), name))
            head->fields[i].is_hop_by_hop = true;
}

void plugin_set(struct arena *arena, struct http_head *head, struct str *lines, struct str name,
                struct str value)
{
    plugin_drop(head, lines, name);
    plugin_add_line(arena, lines, name, value);
}

bool plugin_is_options(const struct http_head *head)
{
    return str_equal(http_span_str(head, head->method_text), STR("OPTIONS"));
}

bool plugin_is_reserved(struct str name)
{
    switch (header_recognise(name)) {
    case HEADER_CONNECTION:
    case HEADER_CONTENT_LENGTH:
    case HEADER_EXPECT:
    case HEADER_HOST:
    case HEADER_KEEP_ALIVE:
    case HEADER_MAX_FORWARDS:
    case HEADER_PROXY:
    case HEADER_PROXY_CONNECTION:
    case HEADER_TE:
    case HEADER_TRAILER:
    case HEADER_TRANSFER_ENCODING:
    case HEADER_UPGRADE:
    case HEADER_VIA:
    case HEADER_X_FORWARDED_FOR:
    case HEADER_X_FORWARDED_HOST:
    case HEADER_X_FORWARDED_PATH:
    case HEADER_X_FORWARDED_PORT:
    case HEADER_X_FORWARDED_PREFIX:
    case HEADER_X_FORWARDED_PROTO:
    case HEADER_X_KONG_REQUEST_ID:
    case HEADER_X_REAL_IP:
        return true;
    default:
        return false;
    }
}

/* ---- the query ---- */

static int hex_digit(char c)
{
    char lower = str_lower_char(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* What the first of the rest means, which isn't empty. */
static char next_char(struct str *rest)
{
    const char *at = rest->ptr;
    size_t taken = 1;
    char c = *at;
    if (c == '%' && rest->len > 2 && hex_digit(at[1]) >= 0 && hex_digit(at[2]) >= 0) {
        c = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
        taken = 3;
    } else if (c == '+') {
        c = ' ';
    }
    *rest = str_make(at + taken, rest->len - taken);
    return c;
}

struct str plugin_unescape(struct arena *arena, struct str text)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    while (out && text.len > 0)
        out[len++] = next_char(&text);
    return str_make(out, len);
}

static bool is_argument(struct str key, struct str name)
{
    size_t len = 0;
    while (key.len > 0)
        if (len == name.len || next_char(&key) != name.ptr[len++])
            return false;
    return len == name.len;
}

struct str plugin_find_argument(const struct plugin_request *request, struct str name,
                                unsigned *ret_count)
{
    struct str query = request->uri->query;
    struct str found = STR_EMPTY;
    unsigned count = 0;
    while (query.len > 0) {
        struct str value = str_cut(&query, '&');
        struct str key = str_cut(&value, '=');
        if (is_argument(key, name) && count++ == 0)
            found = plugin_unescape(request->arena, value);
    }
    if (ret_count)
        *ret_count = count;
    return found;
}

void plugin_set_query(const struct plugin_request *request, struct str query)
{
    request->uri->query = query;
    request->uri->has_query = query.len > 0;
}

void plugin_drop_argument(const struct plugin_request *request, struct str name)
{
    struct str query = request->uri->query;
    unsigned count;
    plugin_find_argument(request, name, &count);
    char *out = count > 0 ? arena_alloc(request->arena, query.len + 1) : NULL;
    size_t len = 0;
    if (!out)
        return;
    while (query.len > 0) {
        struct str argument = str_cut(&query, '&');
        struct str value = argument;
        if (is_argument(str_cut(&value, '='), name))
            continue;
        if (len > 0)
            out[len++] = '&';
        if (argument.len > 0)
            memcpy(out + len, argument.ptr, argument.len);
        len += argument.len;
    }
    plugin_set_query(request, str_make(out, len));
}

/* ---- answers ---- */

void plugin_refuse(struct plugin_effect *effect, uint16_t status, const char *message)
{
    effect->status = status;
    effect->message = message;
}

struct str plugin_message_body(struct arena *arena, struct str message)
{
    json_t *body = json_pack("{s:s%}", "message", message.ptr ? message.ptr : "", message.len);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct str copy = text ? arena_copy(arena, str_of(text)) : STR_EMPTY;
    free(text);
    json_decref(body);
    return copy;
}

static bool needs_escaping(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || memchr("\"\\<>&", text.ptr[i], 5))
            return true;
    return false;
}

int plugin_saying_compile(struct arena *arena, struct str text, struct plugin_saying *ret)
{
    bool is_plain = !needs_escaping(text);
    struct str own = is_plain ? arena_copy(arena, text) : plugin_message_body(arena, text);
    *ret = (struct plugin_saying){.message = is_plain ? own.ptr : NULL,
                                  .body = is_plain ? STR_EMPTY : own};
    return own.ptr ? 0 : UV_ENOMEM;
}

void plugin_refuse_saying(struct plugin_effect *effect, uint16_t status,
                          const struct plugin_saying *saying)
{
    plugin_refuse(effect, status, saying->message);
    if (saying->message)
        return;
    effect->body = saying->body;
    effect->content_type = PLUGIN_JSON_TYPE;
}

int64_t plugin_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec;
}
