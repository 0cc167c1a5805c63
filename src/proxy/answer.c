#include "proxy/answer.h"

#include "proxy/forward.h"
#include "proxy/grpc.h"
#include "proxy/writer.h"

struct status_text {
    uint16_t status;
    const char *reason;  /* of the status line */
    const char *message; /* of the body */
};

static const struct status_text status_texts[] = {
    {200, "OK", ""},
    {301, "Moved Permanently", ""},
    {302, "Found", ""},
    {307, "Temporary Redirect", ""},
    {308, "Permanent Redirect", ""},
    {400, "Bad Request", "Bad request"},
    {401, "Unauthorized", "Unauthorized"},
    {403, "Forbidden", "Forbidden"},
    {404, "Not Found", "Not found"},
    {405, "Method Not Allowed", "Method not allowed"},
    {408, "Request Timeout", "Request timeout"},
    {411, "Length Required", "Length required"},
    {413, "Payload Too Large", "Payload too large"},
    {414, "URI Too Long", "URI too long"},
    {415, "Unsupported Media Type", "Unsupported media type"},
    {417, "Expectation Failed", "Expectation failed"},
    {426, "Upgrade Required", "Please use HTTPS protocol"},
    {429, "Too Many Requests", "Too many requests"},
    {431, "Request Header Fields Too Large", "Request header or cookie too large"},
    {500, "Internal Server Error", "An unexpected error occurred"},
    {501, "Not Implemented", "Not implemented"},
    {502, "Bad Gateway", "An invalid response was received from the upstream server"},
    {503, "Service Unavailable", "The upstream server is currently unavailable"},
    {504, "Gateway Timeout", "The upstream server is timing out"},
    {505, "HTTP Version Not Supported", "HTTP version not supported"},
};

static const struct status_text *find_status(uint16_t status)
{
    static const struct status_text unknown = {0, "Error", "An unexpected error occurred"};
    for (size_t i = 0; i < sizeof(status_texts) / sizeof(status_texts[0]); i++)
        if (status_texts[i].status == status)
            return &status_texts[i];
    return &unknown;
}

const char *answer_message(uint16_t status)
{
    return find_status(status)->message;
}

/* --- the media type --- */

static bool media_of(struct str type, enum answer_media *ret)
{
    static const struct {
        struct str name;
        enum answer_media media;
    } known[] = {
        {{"application/json", 16}, ANSWER_JSON},
        {{"application/*", 13}, ANSWER_JSON},
        {{"*/*", 3}, ANSWER_JSON},
        {{"text/plain", 10}, ANSWER_PLAIN},
        {{"text/*", 6}, ANSWER_PLAIN},
        {{"text/html", 9}, ANSWER_HTML},
        {{"application/xml", 15}, ANSWER_XML},
        {{"text/xml", 8}, ANSWER_XML},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (str_equal_nocase(type, known[i].name)) {
            *ret = known[i].media;
            return true;
        }
    }
    return false;
}

/* "0.85" as 850; 1000 for anything that is no quality (RFC 9110, section 12.4.2). */
static unsigned parse_quality(struct str text)
{
    text = str_trim(text);
    if (text.len == 0 || text.len > 5 || (text.len > 1 && text.ptr[1] != '.'))
        return 1000;
    if (text.ptr[0] != '0')
        return 1000;
    unsigned quality = 0, scale = 100;
    for (size_t i = 2; i < text.len; i++, scale /= 10) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return 1000;
        quality += scale * (unsigned)(text.ptr[i] - '0');
    }
    return quality;
}

static unsigned quality_of(struct str params)
{
    while (params.len > 0) {
        struct str param = str_trim(str_cut(&params, ';'));
        if (param.len >= 2 && str_lower_char(param.ptr[0]) == 'q' && param.ptr[1] == '=')
            return parse_quality(str_make(param.ptr + 2, param.len - 2));
    }
    return 1000;
}

static enum answer_media media_by_accept(struct str accept)
{
    enum answer_media best = ANSWER_JSON;
    unsigned best_quality = 0;
    while (accept.len > 0) {
        struct str params = str_cut(&accept, ',');
        struct str type = str_trim(str_cut(&params, ';'));
        unsigned quality = quality_of(params);
        enum answer_media media;
        if (quality > best_quality && media_of(type, &media)) {
            best = media;
            best_quality = quality;
        }
    }
    return best;
}

enum answer_media answer_choose_media(const struct http_head *head, bool is_core)
{
    const struct http_field *accept = head ? http_head_find(head, HEADER_ACCEPT) : NULL;
    if (accept)
        return media_by_accept(http_field_value(head, accept));
    if (!is_core)
        return ANSWER_JSON;

    enum answer_media media = ANSWER_PLAIN;
    const struct http_field *content_type = head ? http_head_find(head, HEADER_CONTENT_TYPE) : NULL;
    if (content_type) {
        struct str value = http_field_value(head, content_type);
        (void)media_of(str_trim(str_cut(&value, ';')), &media);
    }
    return media;
}

/* --- the body --- */

struct body_template {
    struct str content_type;
    struct str before_message, between, after_id;
};

#define TEMPLATE_STR(literal)                                                                      \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static const struct body_template templates[] = {
    [ANSWER_JSON] = {TEMPLATE_STR("application/json; charset=utf-8"),
                     TEMPLATE_STR("{\n  \"message\":\""), TEMPLATE_STR("\",\n  \"request_id\":\""),
                     TEMPLATE_STR("\"\n}")},
    [ANSWER_PLAIN] = {TEMPLATE_STR("text/plain; charset=utf-8"), TEMPLATE_STR(""),
                      TEMPLATE_STR("\nrequest_id: "), TEMPLATE_STR("\n")},
    [ANSWER_HTML] = {TEMPLATE_STR("text/html; charset=utf-8"),
                     TEMPLATE_STR(
                         "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n"
                         "    <title>Error</title>\n  </head>\n  <body>\n"
                         "    <h1>Error</h1>\n    <p>"),
                     TEMPLATE_STR(".</p>\n    <p>request_id: "),
                     TEMPLATE_STR("</p>\n  </body>\n</html>\n")},
    [ANSWER_XML] = {TEMPLATE_STR("application/xml; charset=utf-8"),
                    TEMPLATE_STR(
                        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>"),
                    TEMPLATE_STR("</message>\n  <requestid>"),
                    TEMPLATE_STR("</requestid>\n</error>\n")},
};

static size_t body_length(const struct body_template *template, struct str message)
{
    return template->before_message.len + message.len + template->between.len +
           FORWARD_REQUEST_ID_BYTES + template->after_id.len;
}

static void put_body(struct writer *out, const struct body_template *template, struct str message,
                     const char *request_id)
{
    writer_str(out, template->before_message);
    writer_str(out, message);
    writer_str(out, template->between);
    writer_put(out, request_id, FORWARD_REQUEST_ID_BYTES);
    writer_str(out, template->after_id);
}

/* --- the head --- */

static void put_line(struct writer *out, struct str name, struct str value)
{
    writer_str(out, name);
    writer_str(out, value);
    WRITER_LITERAL(out, "\r\n");
}

static void put_number_line(struct writer *out, struct str name, uint64_t value)
{
    writer_str(out, name);
    writer_number(out, value);
    WRITER_LITERAL(out, "\r\n");
}

static void put_latencies(struct writer *out, const struct answer *answer,
                          const struct answer_context *context)
{
    if (answer->is_proxied)
        WRITER_LITERAL(out, "Via: 1.1 weir\r\n");
    if (!context->add_latency)
        return;
    if (answer->is_proxied) {
        put_number_line(out, STR("X-Kong-Upstream-Latency: "), context->upstream_latency_ms);
        put_number_line(out, STR("X-Kong-Proxy-Latency: "), context->gateway_latency_ms);
    } else {
        put_number_line(out, STR("X-Kong-Response-Latency: "), context->gateway_latency_ms);
    }
}

size_t answer_write(const struct answer *answer, const struct answer_context *context, char *out,
                    size_t size, struct str *ret_body)
{
    struct writer writer = writer_on(out, size);
    struct str message = str_of(answer->message);
    const struct body_template *template =
        &templates[answer_choose_media(context->request, answer->is_core)];
    bool is_raw = answer->content_type.len > 0;
    bool is_empty = answer->has_no_body || answer->status == 204 || answer->status == 304;
    size_t body_len = is_empty ? 0 : is_raw ? answer->body.len : body_length(template, message);

    WRITER_LITERAL(&writer, "HTTP/1.1 ");
    writer_number(&writer, answer->status);
    writer_char(&writer, ' ');
    put_line(&writer, str_of(find_status(answer->status)->reason), STR_EMPTY);
    put_line(&writer, STR("Date: "), context->date);
    if (body_len > 0)
        put_line(&writer, STR("Content-Type: "),
                 is_raw ? answer->content_type : template->content_type);
    if (answer->status != 204) /* RFC 9110, section 8.6 */
        put_number_line(&writer, STR("Content-Length: "), body_len);
    if (!context->keep_alive)
        WRITER_LITERAL(&writer, "Connection: close\r\n");
    else if (context->client_minor_version == 0)
        WRITER_LITERAL(&writer, "Connection: keep-alive\r\n");
    writer_str(&writer, answer->fields);
    WRITER_LITERAL(&writer, "Server: weir\r\n");
    put_latencies(&writer, answer, context);
    put_line(&writer, STR("X-Kong-Request-Id: "),
             str_make(context->request_id, FORWARD_REQUEST_ID_BYTES));
    WRITER_LITERAL(&writer, "\r\n");

    size_t head_len = (size_t)(writer.at - out);
    if (body_len > 0 && !is_raw && !context->is_head)
        put_body(&writer, template, message, context->request_id);
    *ret_body = STR_EMPTY;
    if (writer.has_overflowed)
        return 0;
    if (body_len > 0 && !context->is_head)
        *ret_body = is_raw ? answer->body : str_make(out + head_len, body_len);
    return head_len;
}

size_t answer_write_grpc(const struct answer *answer, const struct answer_context *context,
                         char *out, size_t size)
{
    struct writer writer = writer_on(out, size);
    bool has_message = answer->message && answer->message[0] != '\0';
    const char *message = has_message ? answer->message : answer_message(answer->status);
    enum grpc_status status = answer->grpc_status ? (enum grpc_status)answer->grpc_status
                                                  : grpc_status_of_http(answer->status);

    WRITER_LITERAL(&writer, "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n");
    grpc_write_status(&writer, status, str_of(message));
    put_line(&writer, STR("Date: "), context->date);
    writer_str(&writer, answer->fields);
    WRITER_LITERAL(&writer, "Server: weir\r\n");
    put_latencies(&writer, answer, context);
    put_line(&writer, STR("X-Kong-Request-Id: "),
             str_make(context->request_id, FORWARD_REQUEST_ID_BYTES));
    WRITER_LITERAL(&writer, "\r\n");
    return writer.has_overflowed ? 0 : (size_t)(writer.at - out);
}
