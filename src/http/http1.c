#include "http/http1.h"

#include <assert.h>
#include <string.h>

#include "http/http1_parts.h"

/* Stops llhttp at the end of the head: bodies are read without it. */
static int on_headers_complete(llhttp_t *llhttp)
{
    (void)llhttp;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {.on_headers_complete = on_headers_complete};

/* Clears all but the fields, which field_count says are empty. */
static void clear_head(struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, fields));
}

static void begin(struct http1_parser *parser, struct http_head *head, size_t max_head_bytes,
                  llhttp_type_t type)
{
    memset(parser, 0, sizeof(*parser));
    llhttp_init(&parser->llhttp, type, &settings);
    clear_head(head);
    parser->head = head;
    /* Offsets have 32 bits. */
    parser->max_head_bytes = max_head_bytes < UINT32_MAX ? max_head_bytes : UINT32_MAX;
    parser->is_request = type == HTTP_REQUEST;
}

void http1_begin_request(struct http1_parser *parser, struct http_head *head, size_t max_head_bytes)
{
    begin(parser, head, max_head_bytes, HTTP_REQUEST);
}

void http1_begin_response(struct http1_parser *parser, struct http_head *head,
                          size_t max_head_bytes, bool answers_head)
{
    begin(parser, head, max_head_bytes, HTTP_RESPONSE);
    parser->answers_head = answers_head;
}

enum http1_result http1_refuse(struct http1_parser *parser, uint16_t status, const char *reason)
{
    parser->refused_status = parser->is_request ? status : 502;
    parser->reason = reason;
    parser->body_done = false;
    return HTTP1_REFUSED;
}

/* Whether both digits were read and are not ours. */
static bool has_other_version(const llhttp_t *llhttp)
{
    return llhttp->http_major > 1 || llhttp->http_minor > 1;
}

static enum http1_result refuse_for_llhttp(struct http1_parser *parser, llhttp_errno_t error,
                                           const char *base)
{
    switch (error) {
    case HPE_INVALID_METHOD:
        /* The first letter alone is sure to be here: it tells methods from other protocols. */
        return http1_refuse(parser, *base >= 'A' && *base <= 'Z' ? 501 : 400, "unknown method");
    case HPE_INVALID_VERSION:
        return http1_refuse(parser, has_other_version(&parser->llhttp) ? 505 : 400, "bad version");
    case HPE_PAUSED_H2_UPGRADE:
        return http1_refuse(parser, 505, "HTTP/2 where HTTP/1 is spoken");
    default:
        return http1_refuse(parser, 400, llhttp_get_error_reason(&parser->llhttp));
    }
}

static enum http1_result refuse_for_size(struct http1_parser *parser, const char *base)
{
    const char *first_line_end = memchr(base, '\n', parser->max_head_bytes);
    if (!first_line_end)
        return http1_refuse(parser, 414, "request line too long");
    return http1_refuse(parser, 431, "head too long");
}

static enum http1_result finish_head(struct http1_parser *parser, const char *base, size_t len)
{
    struct http_head *head = parser->head;
    enum http1_result result = http1_find_fields(parser, base, len);
    if (result != HTTP1_DONE)
        return result;
    if (head->framing == HTTP_BY_LENGTH)
        parser->body_left = head->content_length;
    parser->body_done =
        head->framing == HTTP_NO_BODY || (head->framing == HTTP_BY_LENGTH && !parser->body_left);
    return HTTP1_DONE;
}

enum http1_result http1_read_head(struct http1_parser *parser, const char *base, size_t have)
{
    if (parser->refused_status)
        return HTTP1_REFUSED;

    assert(have >= parser->fed);
    size_t limit = have < parser->max_head_bytes ? have : parser->max_head_bytes;
    llhttp_errno_t error = llhttp_execute(&parser->llhttp, base + parser->fed, limit - parser->fed);
    /* Also of what is refused: its answer goes by it. */
    if (parser->is_request && error != HPE_INVALID_METHOD)
        parser->head->method = parser->llhttp.method;
    /* llhttp takes a request line without a version for HTTP/0.9. */
    if (parser->is_request && parser->llhttp.http_minor == 9)
        return http1_refuse(parser, 505, "HTTP version that is not supported");
    if (error == HPE_PAUSED)
        return finish_head(parser, base, (size_t)(llhttp_get_error_pos(&parser->llhttp) - base));
    if (error != HPE_OK)
        return refuse_for_llhttp(parser, error, base);
    parser->fed = limit;
    return limit == parser->max_head_bytes ? refuse_for_size(parser, base) : HTTP1_MORE;
}

enum http1_result http1_take_head(struct http1_parser *parser, const char *base, size_t len,
                                  bool is_last)
{
    parser->is_http2 = true;
    parser->has_open_end = !is_last;
    return finish_head(parser, base, len);
}

enum http1_result http1_read_body(struct http1_parser *parser, const char *bytes, size_t len,
                                  size_t *taken, struct str *pieces, unsigned max, unsigned *count)
{
    *taken = 0;
    *count = 0;
    if (parser->refused_status)
        return HTTP1_REFUSED;
    if (parser->body_done)
        return HTTP1_DONE;
    if (parser->head->framing == HTTP_CHUNKED)
        return http1_read_chunks(parser, bytes, len, taken, pieces, max, count);
    if (len == 0 || max == 0)
        return HTTP1_MORE;

    bool is_counted = parser->head->framing == HTTP_BY_LENGTH;
    size_t cut = is_counted && parser->body_left < len ? (size_t)parser->body_left : len;
    pieces[0] = str_make(bytes, cut);
    *count = 1;
    *taken = cut;
    if (is_counted)
        parser->body_left -= cut;
    parser->body_done = is_counted && parser->body_left == 0;
    return parser->body_done ? HTTP1_DONE : HTTP1_MORE;
}

uint64_t http1_body_left(const struct http1_parser *parser)
{
    return parser->head->framing == HTTP_BY_LENGTH && !parser->refused_status ? parser->body_left
                                                                              : 0;
}

void http1_skip_body(struct http1_parser *parser, uint64_t len)
{
    assert(len <= http1_body_left(parser));
    parser->body_left -= len;
    parser->body_done = parser->body_left == 0;
}

bool http1_body_is_done(const struct http1_parser *parser)
{
    return parser->body_done;
}

struct str http1_trailers(const struct http1_parser *parser)
{
    return str_make(parser->trailers, parser->trailer_len);
}
