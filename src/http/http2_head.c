#include "http/http2_head.h"

#include "http/http1_parts.h"

#define KEPT_BUFFER_BYTES 2048
#define VERSION " HTTP/2.0\r\n"
#define HOST "host: "
#define COOKIE "cookie: "
#define STATUS_LINE "HTTP/2.0 200 \r\n"

void http2_head_init(struct http2_head *head, size_t max_bytes)
{
    *head = (struct http2_head){.max_bytes = max_bytes};
    /* Each field's overhead is more than what a line adds to it. */
    buf_init(&head->pseudo, max_bytes);
    buf_init(&head->lines, max_bytes);
    buf_init(&head->cookies, max_bytes);
}

void http2_head_deinit(struct http2_head *head)
{
    buf_deinit(&head->pseudo);
    buf_deinit(&head->lines);
    buf_deinit(&head->cookies);
}

void http2_head_begin(struct http2_head *head, bool is_trailers)
{
    buf_clear(&head->pseudo);
    buf_clear(&head->lines);
    buf_clear(&head->cookies);
    head->bytes = 0;
    head->is_trailers = is_trailers;
    head->method = head->path = head->authority = (struct http_span){0, 0};
    head->is_connect = head->has_protocol = head->is_websocket = false;
    head->is_of_head_request = false;
    head->status = 0;
    head->refused_status = 0;
    head->reason = NULL;
}

static void give_back(struct buf *buf)
{
    if (buf->capacity > KEPT_BUFFER_BYTES)
        buf_deinit(buf);
}

void http2_head_rest(struct http2_head *head)
{
    give_back(&head->pseudo);
    give_back(&head->lines);
    give_back(&head->cookies);
}

void http2_head_refuse(struct http2_head *head, uint16_t status, const char *reason)
{
    if (head->refused_status)
        return;
    head->refused_status = status;
    head->reason = reason;
}

static void put(struct http2_head *head, struct buf *buf, struct str s)
{
    if (buf_append(buf, s.ptr, s.len))
        http2_head_refuse(head, 431, "no room for the head");
}

/* --- pseudo fields --- */

static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
            return false;
    return s.len > 0;
}

static void keep_pseudo(struct http2_head *head, struct str value, struct http_span *ret)
{
    *ret = (struct http_span){(uint32_t)buf_len(&head->pseudo), (uint32_t)value.len};
    put(head, &head->pseudo, value);
}

static void take_method(struct http2_head *head, struct str value)
{
    head->is_connect = str_equal(value, STR("CONNECT"));
    if (!http1_is_token(value))
        http2_head_refuse(head, 400, "bad :method");
    else
        keep_pseudo(head, head->is_connect ? STR("GET") : value, &head->method);
}

/* For more than WebSocket there is nothing to map it to (RFC 8441, section 4). */
static void take_protocol(struct http2_head *head, struct str value)
{
    head->has_protocol = true;
    head->is_websocket = str_equal_nocase(value, STR("websocket"));
    if (!head->is_websocket)
        http2_head_refuse(head, 501, "unknown :protocol");
}

static void take_path(struct http2_head *head, struct str value)
{
    if (!is_visible(value) || (value.ptr[0] != '/' && !str_equal(value, STR("*"))))
        http2_head_refuse(head, 400, "bad :path");
    else
        keep_pseudo(head, value, &head->path);
}

static void take_status(struct http2_head *head, struct str name, struct str value)
{
    uint64_t status;
    if (str_equal(name, STR(":status")) && value.len == 3 && str_to_u64(value, &status) &&
        status >= 100)
        head->status = (uint16_t)status;
    else
        http2_head_refuse(head, 502, "bad :status");
}

static void take_pseudo(struct http2_head *head, struct str name, struct str value)
{
    if (head->is_response) {
        take_status(head, name, value);
    } else if (str_equal(name, STR(":method"))) {
        take_method(head, value);
    } else if (str_equal(name, STR(":path"))) {
        take_path(head, value);
    } else if (str_equal(name, STR(":authority"))) {
        if (is_visible(value))
            keep_pseudo(head, value, &head->authority);
        else
            http2_head_refuse(head, 400, "bad :authority");
    } else if (str_equal(name, STR(":scheme"))) {
        if (!str_equal_nocase(value, STR("https")) && !str_equal_nocase(value, STR("http")))
            http2_head_refuse(head, 400, "bad :scheme");
    } else if (str_equal(name, STR(":protocol"))) {
        take_protocol(head, value);
    } else {
        http2_head_refuse(head, 400, "unknown pseudo field");
    }
}

/* --- other fields --- */

static struct str pseudo_str(const struct http2_head *head, struct http_span span)
{
    return str_make(buf_str(&head->pseudo).ptr + span.offset, span.len);
}

static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static void put_line(struct http2_head *head, struct str name, struct str value)
{
    put(head, &head->lines, name);
    put(head, &head->lines, STR(": "));
    put(head, &head->lines, value);
    put(head, &head->lines, STR("\r\n"));
}

/* Both may be there when they say the same (RFC 9113, section 8.3.1). */
static void take_host(struct http2_head *head, struct str name, struct str value)
{
    if (head->authority.len == 0)
        put_line(head, name, value);
    else if (!str_equal_nocase(pseudo_str(head, head->authority), value))
        http2_head_refuse(head, 400, "Host differs from :authority");
}

static void take_cookie(struct http2_head *head, struct str value)
{
    if (buf_len(&head->cookies) > 0)
        put(head, &head->cookies, STR("; "));
    put(head, &head->cookies, value);
}

/* What stands in for them is the gateway's business (RFC 8441, section 5). */
static bool is_of_handshake(struct str name)
{
    return str_equal(name, STR("sec-websocket-key")) ||
           str_equal(name, STR("sec-websocket-accept"));
}

static void take_field(struct http2_head *head, struct str name, struct str value)
{
    if (!http1_is_token(name) || !is_text(value))
        http2_head_refuse(head, 400, "bad field");
    else if (head->is_trailers && !http1_may_be_trailer(name))
        return;
    else if (head->is_trailers)
        put_line(head, name, value);
    else if (head->is_connect && str_equal(name, STR("content-length")))
        http2_head_refuse(head, 400, "CONNECT with a Content-Length");
    else if (head->is_connect && is_of_handshake(name))
        return;
    else if (!head->is_response && str_equal(name, STR("host")))
        take_host(head, name, value);
    else if (!head->is_response && str_equal(name, STR("cookie")))
        take_cookie(head, value);
    else
        put_line(head, name, value);
}

void http2_head_add(struct http2_head *head, struct str name, struct str value)
{
    head->bytes += name.len + value.len + HTTP2_FIELD_OVERHEAD;
    if (!head->is_trailers && str_equal(name, STR(":method")))
        head->is_of_head_request = str_equal(value, STR("HEAD"));
    if (head->refused_status)
        return;
    if (head->bytes > head->max_bytes) {
        bool is_path = str_equal(name, STR(":path")) && value.len > head->max_bytes / 2;
        http2_head_refuse(head, is_path ? 414 : 431, is_path ? "path too long" : "head too long");
    } else if (name.len > 0 && name.ptr[0] == ':' && !head->is_trailers) {
        take_pseudo(head, name, value);
    } else {
        take_field(head, name, value);
    }
}

void http2_head_end(struct http2_head *head, bool is_last)
{
    if (head->is_connect && !head->has_protocol)
        http2_head_refuse(head, 405, "CONNECT and TRACE are not served");
    else if (head->has_protocol && !head->is_connect)
        http2_head_refuse(head, 400, ":protocol without CONNECT");
    else if (head->has_protocol && is_last)
        http2_head_refuse(head, 400, "a tunnel that is closed at once");
}

/* --- the text --- */

static char *copy(char *out, struct str s)
{
    if (s.len > 0)
        memcpy(out, s.ptr, s.len);
    return out + s.len;
}

size_t http2_head_text_bytes(const struct http2_head *head)
{
    if (head->is_response)
        return sizeof(STATUS_LINE) - 1 + buf_len(&head->lines) + 2;
    size_t bytes = head->method.len + 1 + head->path.len + sizeof(VERSION) - 1;
    if (head->authority.len > 0)
        bytes += sizeof(HOST) - 1 + head->authority.len + 2;
    if (buf_len(&head->cookies) > 0)
        bytes += sizeof(COOKIE) - 1 + buf_len(&head->cookies) + 2;
    return bytes + buf_len(&head->lines) + 2;
}

static void write_response(const struct http2_head *head, char *out)
{
    char *digits = out + sizeof("HTTP/2.0 ") - 1;
    out = copy(out, STR(STATUS_LINE));
    digits[0] = (char)('0' + head->status / 100);
    digits[1] = (char)('0' + head->status / 10 % 10);
    digits[2] = (char)('0' + head->status % 10);
    out = copy(out, buf_str(&head->lines));
    copy(out, STR("\r\n"));
}

void http2_head_write(const struct http2_head *head, char *out)
{
    if (head->is_response) {
        write_response(head, out);
        return;
    }
    out = copy(out, pseudo_str(head, head->method));
    *out++ = ' ';
    out = copy(out, pseudo_str(head, head->path));
    out = copy(out, STR(VERSION));
    if (head->authority.len > 0) {
        out = copy(out, STR(HOST));
        out = copy(out, pseudo_str(head, head->authority));
        out = copy(out, STR("\r\n"));
    }
    out = copy(out, buf_str(&head->lines));
    if (buf_len(&head->cookies) > 0) {
        out = copy(out, STR(COOKIE));
        out = copy(out, buf_str(&head->cookies));
        out = copy(out, STR("\r\n"));
    }
    copy(out, STR("\r\n"));
}
