#include "proxy/match.h"

#include "base/log.h"
#include "model/acme_answers.h"
#include "net/tls.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/grpc.h"
#include "proxy/outcome.h"
#include "proxy/worker_core.h"
#include "proxy/writer.h"

/* Most paths are normal already and stay where they are. */
static bool normalise_path(struct exchange *x)
{
    char *room = x->worker->scratch;
    if (str_equal(x->uri.path, STR("*"))) {
        x->path = x->uri.path;
        return true;
    }
    if (!uri_normalise(x->uri.path, room, &x->path)) {
        exchange_refuse(x, 400, "bad escape in the path");
        return false;
    }
    if (x->path.ptr == room) {
        x->path = arena_copy(&x->arena, x->path);
        if (!x->path.ptr) {
            exchange_refuse(x, 500, "out of memory");
            return false;
        }
    }
    return true;
}

static bool read_target(struct exchange *x)
{
    const struct http_head *head = &x->request;
    if (!uri_parse(http_span_str(head, head->target), &x->uri)) {
        exchange_refuse(x, 400, "bad request target");
        return false;
    }
    x->authority = x->uri.authority;
    const struct http_field *host = http_head_find(head, HEADER_HOST);
    if (x->authority.len == 0 && host)
        x->authority = http_field_value(head, host);
    return normalise_path(x);
}

static void answer(struct exchange *x, uint16_t status, const char *message)
{
    x->answer = (struct answer){.status = status, .message = message};
}

static void redirect(struct exchange *x, uint16_t status)
{
    const struct http_head *head = &x->request;
    struct str host = http_span_str(head, head->host);
    struct str target = http_span_str(head, head->target);
    size_t size = host.len + target.len + 32;
    char *line = arena_alloc(&x->arena, size);
    if (!line) {
        exchange_refuse(x, 500, "out of memory");
        return;
    }
    struct writer writer = writer_on(line, size);
    WRITER_LITERAL(&writer, "Location: https://");
    writer_str(&writer, host);
    if (x->uri.authority.len == 0) {
        writer_str(&writer, target);
    } else {
        writer_str(&writer, x->uri.path);
        writer_str(&writer, x->uri.has_query ? STR("?") : STR_EMPTY);
        writer_str(&writer, x->uri.query);
    }
    WRITER_LITERAL(&writer, "\r\n");
    x->answer = (struct answer){.status = status,
                                .message = "",
                                .has_no_body = true,
                                .fields = str_make(line, (size_t)(writer.at - line))};
}

/* For routes of gRPC, as Kong answers. */
static bool is_right_for_grpc(struct exchange *x, const struct route *route)
{
    if (!grpc_has_type(&x->request)) {
        answer(x, 415, "Non-gRPC request matched gRPC route");
        return false;
    }
    if (!x->request.is_http2) {
        answer(x, 426, "Please use HTTP2 protocol");
        x->answer.fields = STR("Connection: Upgrade\r\nUpgrade: HTTP/2\r\n");
        return false;
    }
    if (!(route->protocols & PROTOCOL_GRPC) && !x->is_secure) {
        answer(x, 426, "gRPC request matched gRPCs route");
        x->answer.grpc_status = GRPC_CANCELLED;
        return false;
    }
    return true;
}

static void answer_wrong_protocol(struct exchange *x, const struct route *route)
{
    if (route->https_redirect_status_code != 426) {
        redirect(x, (uint16_t)route->https_redirect_status_code);
    } else {
        answer(x, 426, "Please use HTTPS protocol");
        x->answer.fields = STR("Connection: Upgrade\r\nUpgrade: TLS/1.2, HTTP/1.1\r\n");
    }
}

static bool find_route(struct exchange *x)
{
    const struct http_head *head = &x->request;
    const struct router_query query = {
        .method = http_span_str(head, head->method_text),
        .host = http_span_str(head, head->host),
        .port = head->port,
        .listener_port = x->client->conn->port,
        .path = x->path,
        .head = head,
        .is_tls = x->client->conn->is_tls,
        .sni = tls_server_name(&x->client->conn->stream),
    };
    return x->config && x->config->snapshot->router &&
           router_find(x->config->snapshot->router, &query, &x->match);
}

/* Who sent it, and how, where the peer is a proxy that may say so. */
static void find_client(struct exchange *x)
{
    const struct http_head *head = &x->request;
    const struct client_trust *trust = x->worker->settings.trust;
    const struct http_field *proto = http_head_find(head, HEADER_X_FORWARDED_PROTO);
    x->is_secure = x->client->conn->is_tls;
    if (!x->client->conn->is_trusted)
        return;
    x->client_address = client_address_find(trust, head, x->client_text);
    if (proto && proto->value_len > 0)
        x->is_secure = str_equal_nocase(http_field_value(head, proto), STR("https"));
}

static bool is_right_protocol(struct exchange *x, const struct route *route)
{
    if (__builtin_expect(route->protocols & (PROTOCOL_GRPC | PROTOCOL_GRPCS), 0))
        return is_right_for_grpc(x, route);
    if (route->protocols & (PROTOCOL_HTTP | (x->is_secure ? PROTOCOL_HTTPS : 0u)))
        return true;
    answer_wrong_protocol(x, route);
    return false;
}

/* How long the client waits is how long it may take. */
static void begin_call(struct exchange *x)
{
    uint32_t timeout_ms;
    uint64_t limit_ms = x->worker->settings.request_timeout_ms;
    x->is_grpc = true;
    x->grpc_status = GRPC_NO_STATUS;
    if (grpc_read_timeout(&x->request, &timeout_ms) && (limit_ms == 0 || timeout_ms < limit_ms))
        deadline_set(&x->worker->wheel, &x->total, timeout_ms);
}

/* Who was let in under one name may not ask for another. Without a name there is nothing to
 * compare. */
static bool is_for_another_host(const struct exchange *x)
{
    if (!x->client->conn->checks_server_name)
        return false;
    struct str name = tls_server_name(&x->client->conn->stream);
    return name.len > 0 && !str_equal_nocase(name, http_span_str(&x->request, x->request.host));
}

/* An authority that validates a host is answered before any route is looked for; who asks for what
 * is not under way gets what the routes say. */
static bool answers_validation(struct exchange *x)
{
    const struct acme_answers *answers = x->config ? x->config->snapshot->acme : NULL;
    if (!answers || (x->request.method != HTTP_GET && x->request.method != HTTP_HEAD))
        return false;
    struct str text =
        acme_answers_find(answers, http_span_str(&x->request, x->request.host), x->path);
    if (text.len == 0)
        return false;
    x->answer = (struct answer){.status = 200,
                                .message = "",
                                .is_intended = true,
                                .content_type = STR("application/octet-stream"),
                                .body = text};
    return true;
}

bool match_exchange(struct exchange *x)
{
    if (tls_is_misdirected(&x->client->conn->stream)) {
        exchange_refuse_saying(x, 400, "The plain HTTP request was sent to HTTPS port");
        return false;
    }
    bool is_tunnel = x->websocket_key.len > 0; /* to whom a 200 with a status of gRPC's says yes */
    if (x->request.is_http2 && !is_tunnel && grpc_is_request(&x->request))
        begin_call(x);
    find_client(x);
    if (!read_target(x))
        return false;
    if (is_for_another_host(x)) {
        answer(x, 421, "The request is for another host than its TLS connection");
        return false;
    }
    uint64_t hops;
    if (http_head_max_forwards(&x->request, &hops) && hops == 0) {
        x->answer = (struct answer){.status = 200, .message = "", .has_no_body = true};
        return false;
    }
    x->config = worker_lease_config(x->worker);
    if (answers_validation(x))
        return false;
    if (!find_route(x)) {
        answer(x, 404, "no Route matched with those values");
        return false;
    }
    return is_right_protocol(x, x->match.route);
}

bool match_service(struct exchange *x)
{
    if (!x->match.route->service) {
        answer(x, 503, "no Service found with those values");
        return false;
    }
    const struct service *service = x->match.route->service;
    if (!(service->protocol & (PROTOCOL_HTTP | PROTOCOL_GRPC)) &&
        (!service->tls || service->protocol == PROTOCOL_TLS)) {
        /* Sending in clear what was to be encrypted would be worse than failing. */
        if (outcome_may_log(x->worker))
            log_error("service cannot be served: its protocol is one of streams, or its TLS is not "
                      "to be set up",
                      LOG_STR("service", service->name), LOG_STR("host", service->host));
        answer(x, 502, "the protocol of this Service is not supported");
        return false;
    }
    return true;
}
