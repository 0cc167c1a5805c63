#include "proxy/forward.h"

#include "http/traceparent.h"
#include "model/target_state.h"
#include "proxy/path.h"
#include "proxy/writer.h"

#define HTTP_PORT 80
#define HTTPS_PORT 443

static void put_field(struct writer *out, const struct http_head *head,
                      const struct http_field *field)
{
    writer_str(out, http_field_name(head, field));
    WRITER_LITERAL(out, ": ");
    writer_str(out, http_field_value(head, field));
    WRITER_LITERAL(out, "\r\n");
}

/* All values of a field, each followed by ", ": for one more to be appended. */
static void put_values_so_far(struct writer *out, const struct http_head *head, enum header_id id)
{
    if (!head->first[id])
        return;
    for (unsigned i = head->first[id] - 1u; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->id != id || field->is_hop_by_hop || field->value_len == 0)
            continue;
        writer_str(out, http_field_value(head, field));
        WRITER_LITERAL(out, ", ");
    }
}

/* What the message is upgraded to, in the sender's words (RFC 9110, section 7.8). */
static void put_upgrade(struct writer *out, const struct http_head *head)
{
    for (unsigned i = 0; i < head->field_count; i++)
        if (head->fields[i].id == HEADER_UPGRADE)
            put_field(out, head, &head->fields[i]);
    WRITER_LITERAL(out, "Connection: Upgrade\r\n");
}

/* "Via" names the version of the message that came (RFC 9110, section 7.6.3). */
static void put_via(struct writer *out, const struct http_head *head)
{
    WRITER_LITERAL(out, "Via: ");
    put_values_so_far(out, head, HEADER_VIA);
    if (head->is_http2)
        WRITER_LITERAL(out, "2.0 weir\r\n");
    else if (head->minor_version == 0)
        WRITER_LITERAL(out, "1.0 weir\r\n");
    else
        WRITER_LITERAL(out, "1.1 weir\r\n");
}

static void put_request_id(struct writer *out, const char *request_id)
{
    WRITER_LITERAL(out, "X-Kong-Request-Id: ");
    writer_put(out, request_id, FORWARD_REQUEST_ID_BYTES);
    WRITER_LITERAL(out, "\r\n");
}

static void put_latency(struct writer *out, struct str name, uint64_t ms)
{
    writer_str(out, name);
    writer_number(out, ms);
    WRITER_LITERAL(out, "\r\n");
}

/* --- requests --- */

static void put_request_line(struct writer *out, const struct forward_request *request,
                             struct str *ret_prefix)
{
    writer_str(out, http_span_str(request->head, request->head->method_text));
    writer_char(out, ' ');
    *ret_prefix = STR_EMPTY;
    if (str_equal(request->path, STR("*"))) {
        writer_char(out, '*');
    } else {
        size_t room = (size_t)(out->end - out->at);
        size_t len =
            path_for_upstream(request->match->route, request->path, request->match->matched_len,
                              request->match->has_path, out->at, room, ret_prefix);
        if (request->own_path.len > 0)
            len = uri_escape_path(request->own_path, out->at, room);
        if (len > room)
            out->has_overflowed = true;
        else
            out->at += len;
    }
    if (request->uri->has_query) {
        writer_char(out, '?');
        writer_str(out, request->uri->query);
    }
    WRITER_LITERAL(out, " HTTP/1.1\r\n");
}

struct str forward_host(const struct route *route, struct str authority,
                        const struct target_state *target)
{
    struct str host = route->service->host_header;
    if (route->preserve_host && authority.len > 0)
        host = authority;
    else if (host.len == 0)
        return str_of(target->host);
    if (host.len > 0 && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', host.len);
        return end ? str_make(host.ptr + 1, (size_t)(end - host.ptr) - 1) : host;
    }
    const char *colon = memchr(host.ptr, ':', host.len);
    return colon ? str_make(host.ptr, (size_t)(colon - host.ptr)) : host;
}

static void put_host(struct writer *out, const struct forward_request *request)
{
    const struct route *route = request->match->route;
    const struct service *service = route->service;
    WRITER_LITERAL(out, "Host: ");
    if (request->own_host.len > 0) {
        writer_str(out, request->own_host);
    } else if (route->preserve_host && request->authority.len > 0) {
        writer_str(out, request->authority);
    } else if (service->host_header.len > 0) {
        writer_str(out, service->host_header);
    } else {
        struct str host = str_of(request->target->host);
        bool is_bare_ipv6 = memchr(host.ptr, ':', host.len) && host.ptr[0] != '[';
        if (is_bare_ipv6)
            writer_char(out, '[');
        writer_str(out, host);
        if (is_bare_ipv6)
            writer_char(out, ']');
        if (request->target->port != (service->tls ? HTTPS_PORT : HTTP_PORT)) {
            writer_char(out, ':');
            writer_number(out, request->target->port);
        }
    }
    WRITER_LITERAL(out, "\r\n");
}

/* True for the client's fields that the upstream must not see, or sees rewritten. */
static bool is_replaced_in_request(const struct forward_request *request,
                                   const struct http_field *field)
{
    const struct http_head *head = request->head;
    uint64_t hops;
    switch (field->id) {
    case HEADER_HOST:
    case HEADER_CONTENT_LENGTH:
    case HEADER_PROXY: /* CGI programs would take it for their own HTTP_PROXY */
    case HEADER_PROXY_CONNECTION:
    case HEADER_TE:
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
    case HEADER_EXPECT:
        return !head->expects_continue;
    case HEADER_TRACEPARENT:
    case HEADER_TRACESTATE:
        return request->span != 0;
    case HEADER_FORWARDED: /* RFC 7239: as true as who says it */
        return !request->is_trusted;
    case HEADER_MAX_FORWARDS:
        return http_head_max_forwards(head, &hops);
    default:
        return false;
    }
}

/* What a trusted proxy said of the client's side goes on as it came. True when there is such. */
static bool put_trusted(struct writer *out, const struct forward_request *request,
                        enum header_id id)
{
    const struct http_field *field = request->is_trusted ? http_head_find(request->head, id) : NULL;
    if (!field || field->is_hop_by_hop || field->value_len == 0)
        return false;
    put_field(out, request->head, field);
    return true;
}

static void put_line(struct writer *out, struct str name, struct str value)
{
    writer_str(out, name);
    writer_str(out, value);
    WRITER_LITERAL(out, "\r\n");
}

static void put_forwarded(struct writer *out, const struct forward_request *request,
                          struct str prefix)
{
    const struct http_head *head = request->head;
    put_line(out, STR("X-Real-IP: "), request->client);
    WRITER_LITERAL(out, "X-Forwarded-For: ");
    const char *start = out->at;
    put_values_so_far(out, head, HEADER_X_FORWARDED_FOR);
    writer_str(out, out->at > start ? request->peer : request->client);
    WRITER_LITERAL(out, "\r\n");
    if (!put_trusted(out, request, HEADER_X_FORWARDED_PROTO))
        put_line(out, STR("X-Forwarded-Proto: "), request->is_tls ? STR("https") : STR("http"));
    if (!put_trusted(out, request, HEADER_X_FORWARDED_HOST))
        put_line(out, STR("X-Forwarded-Host: "), http_span_str(head, head->host));
    if (!put_trusted(out, request, HEADER_X_FORWARDED_PORT)) {
        WRITER_LITERAL(out, "X-Forwarded-Port: ");
        writer_number(out, request->listener_port);
        WRITER_LITERAL(out, "\r\n");
    }
    if (!put_trusted(out, request, HEADER_X_FORWARDED_PATH))
        put_line(out, STR("X-Forwarded-Path: "), request->uri->path);
    if (!put_trusted(out, request, HEADER_X_FORWARDED_PREFIX) && prefix.len > 0 &&
        !str_equal(prefix, STR("/")))
        put_line(out, STR("X-Forwarded-Prefix: "), prefix);
}

/* The trace has the request's id, so that it is found in our log. Not sampled: that is for those
 * who record to decide. */
static void put_traceparent(struct writer *out, const struct forward_request *request)
{
    static const char digits[] = "0123456789abcdef";
    char parent[TRACEPARENT_PARENT_DIGITS];
    for (unsigned i = 0; i < sizeof(parent); i++)
        parent[i] = digits[request->span >> (4 * i) & 15];
    WRITER_LITERAL(out, "traceparent: 00-");
    writer_put(out, request->request_id, TRACEPARENT_TRACE_DIGITS);
    writer_char(out, '-');
    writer_put(out, parent, sizeof(parent));
    WRITER_LITERAL(out, "-00\r\n");
}

/* One less than came; the request wouldn't be here with none left. */
static void put_max_forwards(struct writer *out, const struct http_head *head)
{
    uint64_t hops;
    if (!http_head_max_forwards(head, &hops))
        return;
    WRITER_LITERAL(out, "Max-Forwards: ");
    writer_number(out, hops - 1);
    WRITER_LITERAL(out, "\r\n");
}

static void put_request_framing(struct writer *out, const struct http_head *head)
{
    if (head->framing == HTTP_CHUNKED) {
        WRITER_LITERAL(out, "Transfer-Encoding: chunked\r\n");
    } else if (head->has_content_length) {
        WRITER_LITERAL(out, "Content-Length: ");
        writer_number(out, head->content_length);
        WRITER_LITERAL(out, "\r\n");
    }
}

/* Its servers take a request without TE for one that has come through a proxy that can't. */
static bool is_for_grpc(const struct forward_request *request)
{
    return request->match->route->service->protocol & (PROTOCOL_GRPC | PROTOCOL_GRPCS);
}

size_t forward_write_request(const struct forward_request *request, char *out, size_t size)
{
    const struct http_head *head = request->head;
    struct writer writer = writer_on(out, size);
    struct str prefix;

    put_request_line(&writer, request, &prefix);
    put_host(&writer, request);
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!field->is_hop_by_hop && !is_replaced_in_request(request, field))
            put_field(&writer, head, field);
    }
    put_request_framing(&writer, head);
    put_max_forwards(&writer, head);
    if (request->span)
        put_traceparent(&writer, request);
    if (request->wants_upgrade)
        put_upgrade(&writer, head);
    else if (head->te_trailers || is_for_grpc(request))
        WRITER_LITERAL(&writer, "TE: trailers\r\nConnection: keep-alive, TE\r\n");
    else
        WRITER_LITERAL(&writer, "Connection: keep-alive\r\n");
    put_forwarded(&writer, request, prefix);
    put_via(&writer, head);
    put_request_id(&writer, request->request_id);
    writer_str(&writer, request->lines);
    WRITER_LITERAL(&writer, "\r\n");
    return writer.has_overflowed ? 0 : (size_t)(writer.at - out);
}

/* --- responses --- */

static void put_status_line(struct writer *out, const struct http_head *head)
{
    WRITER_LITERAL(out, "HTTP/1.1 ");
    writer_number(out, head->status);
    writer_char(out, ' ');
    writer_str(out, http_span_str(head, head->reason));
    WRITER_LITERAL(out, "\r\n");
}

static bool is_replaced_in_response(const struct http_field *field)
{
    return field->id == HEADER_CONTENT_LENGTH || field->id == HEADER_VIA ||
           field->id == HEADER_X_KONG_REQUEST_ID;
}

static void put_fields_of_response(struct writer *out, const struct http_head *head)
{
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!field->is_hop_by_hop && !is_replaced_in_response(field))
            put_field(out, head, field);
    }
}

/* A response without body may tell the length it would have: to HEAD, and 304 (RFC 9110, section
 * 8.6). 204 never has one. */
static void put_response_framing(struct writer *out, const struct forward_response *response)
{
    const struct http_head *head = response->head;
    bool tells_length = response->has_body ? response->framing == HTTP_BY_LENGTH
                                           : head->has_content_length && head->status != 204;
    if (tells_length && !head->has_content_length && response->is_to_http2)
        return;
    if (tells_length) {
        WRITER_LITERAL(out, "Content-Length: ");
        writer_number(out, head->content_length);
        WRITER_LITERAL(out, "\r\n");
    } else if (response->has_body && response->framing == HTTP_CHUNKED) {
        WRITER_LITERAL(out, "Transfer-Encoding: chunked\r\n");
    }
}

static void put_connection(struct writer *out, const struct forward_response *response)
{
    if (response->is_switch)
        put_upgrade(out, response->head);
    else if (!response->keep_alive)
        WRITER_LITERAL(out, "Connection: close\r\n");
    else if (response->client_minor_version == 0)
        WRITER_LITERAL(out, "Connection: keep-alive\r\n");
}

size_t forward_write_response(const struct forward_response *response, char *out, size_t size)
{
    const struct http_head *head = response->head;
    struct writer writer = writer_on(out, size);

    if (response->is_switch && response->is_connect)
        WRITER_LITERAL(&writer, "HTTP/1.1 200 OK\r\n");
    else
        put_status_line(&writer, head);
    put_fields_of_response(&writer, head);
    if (!head->first[HEADER_SERVER])
        WRITER_LITERAL(&writer, "Server: weir\r\n");
    if (!head->first[HEADER_DATE]) { /* RFC 9110, section 6.6.1 */
        WRITER_LITERAL(&writer, "Date: ");
        writer_str(&writer, response->date);
        WRITER_LITERAL(&writer, "\r\n");
    }
    writer_str(&writer, response->set_cookie);
    writer_str(&writer, response->lines);
    if (response->is_panicking)
        WRITER_LITERAL(&writer, "X-Weir-Panic: on\r\n");
    put_response_framing(&writer, response);
    put_connection(&writer, response);
    put_via(&writer, head);
    if (response->upstream_latency_ms != FORWARD_NO_LATENCY) {
        put_latency(&writer, STR("X-Kong-Upstream-Latency: "), response->upstream_latency_ms);
        put_latency(&writer, STR("X-Kong-Proxy-Latency: "), response->proxy_latency_ms);
    }
    if (response->tells_timing) {
        WRITER_LITERAL(&writer, "Server-Timing: gateway;dur=");
        writer_number(&writer, response->proxy_latency_ms);
        put_latency(&writer, STR(", upstream;dur="), response->upstream_ms);
    }
    put_request_id(&writer, response->request_id);
    WRITER_LITERAL(&writer, "\r\n");
    return writer.has_overflowed ? 0 : (size_t)(writer.at - out);
}

size_t forward_write_interim(const struct http_head *head, char *out, size_t size)
{
    struct writer writer = writer_on(out, size);
    put_status_line(&writer, head);
    put_fields_of_response(&writer, head);
    WRITER_LITERAL(&writer, "\r\n");
    return writer.has_overflowed ? 0 : (size_t)(writer.at - out);
}
