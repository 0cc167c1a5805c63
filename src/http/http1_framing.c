#include "http/http1_parts.h"

#include "http/uri.h"

/* More options than this are an attack: each is looked for among all fields. */
#define MAX_CONNECTION_OPTIONS 32

enum connection_option {
    OPTION_CLOSE = 1,
    OPTION_KEEP_ALIVE = 2,
    OPTION_UPGRADE = 4,
};

/* A field that Connection names belongs to this hop. Names that weir acts on are never taken away
 * like that: "Connection: host" would be a way to make the next hop see another request. */
static void mark_hop_by_hop(struct http_head *head, struct str name)
{
    if (header_recognise(name) != HEADER_OTHER)
        return;
    for (unsigned i = 0; i < head->field_count; i++) {
        struct http_field *field = &head->fields[i];
        if (field->name_len == name.len && str_equal_nocase(http_field_name(head, field), name))
            field->is_hop_by_hop = true;
    }
}

static unsigned apply_option(struct http_head *head, struct str option)
{
    if (str_equal_nocase(option, STR("keep-alive")))
        return OPTION_KEEP_ALIVE;
    if (str_equal_nocase(option, STR("close")))
        return OPTION_CLOSE;
    if (str_equal_nocase(option, STR("upgrade")))
        return OPTION_UPGRADE;
    mark_hop_by_hop(head, option);
    return 0;
}

static enum http1_result apply_connection(struct http1_parser *parser)
{
    struct http_head *head = parser->head;
    unsigned options = 0, count = 0;

    unsigned from = head->first[HEADER_CONNECTION];
    for (unsigned i = from ? from - 1u : head->field_count; i < head->field_count; i++) {
        if (head->fields[i].id != HEADER_CONNECTION)
            continue;
        struct str rest = http_field_value(head, &head->fields[i]);
        while (rest.len > 0) {
            struct str option = str_trim(str_cut(&rest, ','));
            if (option.len == 0)
                continue;
            if (++count > MAX_CONNECTION_OPTIONS)
                return http1_refuse(parser, 400, "too many connection options");
            options |= apply_option(head, option);
        }
    }

    head->keep_alive =
        !(options & OPTION_CLOSE) && (head->minor_version == 1 || (options & OPTION_KEEP_ALIVE));
    head->has_upgrade =
        (options & OPTION_UPGRADE) && head->first[HEADER_UPGRADE] && head->minor_version == 1;
    return HTTP1_DONE;
}

/* Whether a TE field names trailers; its other words are of no use to us. */
static bool names_trailers(const struct http_head *head)
{
    if (!head->first[HEADER_TE])
        return false;
    for (unsigned i = head->first[HEADER_TE] - 1u; i < head->field_count; i++) {
        if (head->fields[i].id != HEADER_TE)
            continue;
        struct str rest = http_field_value(head, &head->fields[i]);
        while (rest.len > 0)
            if (str_equal_nocase(str_trim(str_cut(&rest, ',')), STR("trailers")))
                return true;
    }
    return false;
}

/* Chunked alone, in one field, is all that we decode. A list that ends with chunked is framed well
 * and only lacks a decoder: 501. All else has no sure end: 400. */
static enum http1_result check_transfer_encoding(struct http1_parser *parser, bool is_repeated)
{
    struct http_head *head = parser->head;
    struct str value = http_field_value(head, http_head_find(head, HEADER_TRANSFER_ENCODING));

    if (head->minor_version == 0)
        return http1_refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
    if (head->first[HEADER_CONTENT_LENGTH])
        return http1_refuse(parser, 400, "both Content-Length and Transfer-Encoding");
    if (is_repeated)
        return http1_refuse(parser, 400, "several Transfer-Encoding fields");
    if (str_equal_nocase(value, STR("chunked")))
        return HTTP1_DONE;

    struct str coding = STR_EMPTY;
    bool is_unknown = false;
    while (value.len > 0) {
        coding = str_trim(str_cut(&value, ','));
        if (!http1_is_token(coding))
            return http1_refuse(parser, 400, "bad Transfer-Encoding");
        if (!str_equal_nocase(coding, STR("chunked")))
            is_unknown = true;
        else if (value.ptr)
            return http1_refuse(parser, 400, "chunked is not the last transfer coding");
    }
    if (!is_unknown || !str_equal_nocase(coding, STR("chunked")))
        return http1_refuse(parser, 400, "chunked is not the last transfer coding");
    return http1_refuse(parser, 501, "transfer coding that is not supported");
}

static enum http1_result read_content_length(struct http1_parser *parser, bool is_repeated)
{
    struct http_head *head = parser->head;
    struct str value = http_field_value(head, http_head_find(head, HEADER_CONTENT_LENGTH));

    if (is_repeated)
        return http1_refuse(parser, 400, "several Content-Length fields");
    /* Up to the largest signed number: nobody downstream of us may see it turn negative. */
    if (!str_to_u64(value, &head->content_length) || head->content_length > INT64_MAX)
        return http1_refuse(parser, 400, "bad Content-Length");
    head->has_content_length = true;
    return HTTP1_DONE;
}

static enum http1_result apply_lengths(struct http1_parser *parser, uint32_t repeated)
{
    struct http_head *head = parser->head;
    enum http1_result result = HTTP1_DONE;

    if (head->first[HEADER_TRANSFER_ENCODING]) {
        result = check_transfer_encoding(parser, repeated >> HEADER_TRANSFER_ENCODING & 1);
        head->framing = HTTP_CHUNKED;
    } else if (head->first[HEADER_CONTENT_LENGTH]) {
        result = read_content_length(parser, repeated >> HEADER_CONTENT_LENGTH & 1);
        head->framing = HTTP_BY_LENGTH;
    }
    return result;
}

/* The status or the request may say that there is no body, whatever the fields say. */
static void apply_status(struct http1_parser *parser)
{
    struct http_head *head = parser->head;
    bool is_told = head->framing == HTTP_CHUNKED || head->content_length > 0;

    if (head->status < 200 || head->status == 204) {
        /* Fields that tell of a body here come from a server whose next bytes we cannot trust. */
        if (is_told)
            head->keep_alive = false;
        head->has_content_length = false;
        head->content_length = 0;
        head->framing = HTTP_NO_BODY;
    } else if (parser->answers_head || head->status == 304) {
        head->framing = HTTP_NO_BODY;
    } else if (parser->is_http2) {
        if (head->framing == HTTP_NO_BODY) /* it ended with its head, as nothing says */
            head->framing = HTTP_BY_LENGTH;
    } else if (head->framing == HTTP_NO_BODY) {
        head->framing = HTTP_UNTIL_CLOSE;
        head->keep_alive = false;
    }
}

/* The authority of an absolute-form target, which read_request_line left in head->host, outranks
 * the Host field; that must be there and be well-formed all the same. */
static enum http1_result apply_host(struct http1_parser *parser, bool is_repeated)
{
    struct http_head *head = parser->head;
    const struct http_field *field = http_head_find(head, HEADER_HOST);
    struct str name;

    if (is_repeated)
        return http1_refuse(parser, 400, "several Host fields");
    if (!field && head->minor_version == 1)
        return http1_refuse(parser, 400, "no Host");
    if (field && !uri_split_host(http_field_value(head, field), &name, &head->port))
        return http1_refuse(parser, 400, "bad Host");
    if (head->host.len > 0 && !uri_split_host(http_span_str(head, head->host), &name, &head->port))
        return http1_refuse(parser, 400, "bad host in the request target");
    if (field || head->host.len > 0)
        head->host = (struct http_span){(uint32_t)(name.ptr - head->base), (uint32_t)name.len};
    return HTTP1_DONE;
}

static void apply_expect(struct http_head *head)
{
    const struct http_field *field = http_head_find(head, HEADER_EXPECT);
    bool has_body = head->framing == HTTP_CHUNKED || head->content_length > 0;
    if (field && has_body && head->minor_version == 1)
        head->expects_continue =
            str_equal_nocase(http_field_value(head, field), STR("100-continue"));
}

enum http1_result http1_apply_fields(struct http1_parser *parser, uint32_t repeated)
{
    struct http_head *head = parser->head;

    enum http1_result result = apply_connection(parser);
    if (result != HTTP1_DONE)
        return result;
    result = apply_lengths(parser, repeated);
    if (result != HTTP1_DONE)
        return result;
    if (parser->has_open_end && head->framing == HTTP_NO_BODY)
        head->framing = HTTP_CHUNKED;
    if (!parser->is_request) {
        apply_status(parser);
        return HTTP1_DONE;
    }
    apply_expect(head);
    head->te_trailers = names_trailers(head);
    return apply_host(parser, repeated >> HEADER_HOST & 1);
}
