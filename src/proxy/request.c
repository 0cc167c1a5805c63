#include "proxy/request.h"

#include "http/http2_head.h"
#include "http/traceparent.h"
#include "http/websocket.h"
#include "model/target_state.h"
#include "plugins/chain.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/framing.h"
#include "proxy/try.h"
#include "proxy/tunnel.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_pool.h"
#include "proxy/upstream_side.h"
#include "proxy/worker_core.h"

#define MAX_BAD_TEXT_BYTES 200 /* of a head that was refused */

static size_t min_len(size_t a, size_t b)
{
    return a < b ? a : b;
}

void request_begin(struct exchange *x)
{
    x->request_part = REQUEST_HEAD;
    x->is_replayable = true;
    http1_begin_request(&x->request_parser, &x->request, x->worker->settings.max_head_bytes);
}

/* --- the head --- */

/* The head was parsed where it was read to, and has to outlive that. */
static bool keep_head(struct exchange *x)
{
    char *copy = arena_alloc(&x->arena, x->request.len);
    if (!copy)
        return false;
    memcpy(copy, x->request.base, x->request.len);
    x->request.base = copy;
    return true;
}

static void begin_body(struct exchange *x)
{
    const struct http_head *head = &x->request;
    uint64_t max_body_bytes = x->worker->settings.max_body_bytes;

    if (max_body_bytes && head->framing == HTTP_BY_LENGTH && head->content_length > max_body_bytes)
        exchange_refuse(x, 413, "Content-Length is over the limit");
    if (head->framing == HTTP_CHUNKED && !head->is_http2)
        x->request_parser.trailers = arena_alloc(&x->arena, HTTP1_MAX_TRAILER_BYTES);
    x->request_part = http1_body_is_done(&x->request_parser) ? REQUEST_DONE : REQUEST_BODY;
    x->wants_upgrade = tunnel_is_wanted(head);
}

/* False while the head is not whole, or when it is refused. */
static bool take_head(struct exchange *x, const char **bytes, size_t *len)
{
    bool in_place = buf_len(&x->head_bytes) == 0;
    struct str have = str_make(*bytes, *len);
    if (!in_place) {
        if (buf_append(&x->head_bytes, *bytes, *len)) {
            exchange_refuse(x, 431, "no room for the head");
            return false;
        }
        have = buf_str(&x->head_bytes);
    }
    switch (http1_read_head(&x->request_parser, have.ptr, have.len)) {
    case HTTP1_MORE:
        if (in_place && buf_append(&x->head_bytes, have.ptr, have.len))
            exchange_refuse(x, 431, "no room for the head");
        return false;
    case HTTP1_REFUSED:
        if (in_place) /* for the access log */
            (void)buf_append(&x->head_bytes, have.ptr, min_len(have.len, MAX_BAD_TEXT_BYTES));
        exchange_refuse(x, x->request_parser.refused_status, x->request_parser.reason);
        return false;
    case HTTP1_DONE:
        break;
    }
    *bytes = have.ptr + x->request.len;
    *len = have.len - x->request.len;
    if (in_place && !keep_head(x)) {
        exchange_refuse(x, 500, "out of memory");
        return false;
    }
    begin_body(x);
    return x->refused_status == 0;
}

/* --- the content --- */

static void stop_keeping(struct exchange *x)
{
    x->is_replayable = false;
    buf_deinit(&x->kept);
}

static void keep_content(struct exchange *x, const struct str *pieces, unsigned count, size_t total)
{
    if (!x->is_replayable)
        return;
    if (x->has_responded ||
        (x->has_sent_head && buf_len(&x->kept) + total > EXCHANGE_MAX_KEPT_BYTES)) {
        stop_keeping(x);
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        if (buf_append(&x->kept, pieces[i].ptr, pieces[i].len) == 0)
            continue;
        if (!x->has_sent_head)
            exchange_refuse(x, 500, "out of memory");
        stop_keeping(x);
        return;
    }
}

static void send_on_lane(struct exchange *x, const struct str *pieces, unsigned count, bool is_last)
{
    int rc = count > 0 ? upstream_lane_content(x->lane, pieces, count) : 0;
    if (rc == 0 && is_last)
        rc = upstream_lane_end(x->lane, http1_trailers(&x->request_parser));
    if (rc)
        x->is_send_broken = true;
}

static void send_content(struct exchange *x, const struct str *pieces, unsigned count, size_t total,
                         bool is_last)
{
    if (x->lane) {
        send_on_lane(x, pieces, count, is_last);
        return;
    }
    struct framing_gather gather;
    framing_begin(&gather, STR_EMPTY);
    framing_add(&gather, x->request.framing, pieces, count, total);
    if (is_last)
        framing_end(&gather, x->request.framing, http1_trailers(&x->request_parser));
    if (gather.count > 0 && stream_write(&x->upstream->stream, gather.pieces, gather.count))
        x->is_send_broken = true; /* what it may have responded before is still to be read */
}

bool request_check_size(struct exchange *x)
{
    const struct plugin_effect *effect = x->plugins ? &x->plugins->effect : NULL;
    if (!effect || !effect->has_max_body || x->request_bytes <= effect->max_body_bytes)
        return true;
    exchange_refuse_saying(x, 413, "Request size limit exceeded");
    return false;
}

static void pass_on(struct exchange *x, const struct str *pieces, unsigned count, bool is_last)
{
    uint64_t max_body_bytes = x->worker->settings.max_body_bytes;
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += pieces[i].len;

    x->request_bytes += total;
    if (max_body_bytes && x->request_bytes > max_body_bytes) {
        exchange_refuse(x, 413, "the body is over the limit");
        return;
    }
    if (!request_check_size(x))
        return;
    keep_content(x, pieces, count, total);
    if (x->has_sent_head && !x->is_send_broken)
        send_content(x, pieces, count, total, is_last);
}

static void take_body(struct exchange *x, const char **bytes, size_t *len)
{
    while (*len > 0 && x->request_part == REQUEST_BODY && !x->refused_status) {
        struct str pieces[FRAMING_MAX_PIECES];
        size_t taken = 0;
        unsigned count = 0;
        enum http1_result result = http1_read_body(&x->request_parser, *bytes, *len, &taken, pieces,
                                                   FRAMING_MAX_PIECES, &count);
        if (result == HTTP1_REFUSED) {
            exchange_refuse(x, x->request_parser.refused_status, x->request_parser.reason);
            return;
        }
        *bytes += taken;
        *len -= taken;
        pass_on(x, pieces, count, result == HTTP1_DONE);
        if (result == HTTP1_DONE)
            x->request_part = REQUEST_DONE;
    }
}

void request_take(struct exchange *x, const char *bytes, size_t len)
{
    if (x->refused_status)
        return; /* the connection closes: what comes is dropped */
    if (x->is_tunnel) {
        tunnel_from_client(x, bytes, len);
        return;
    }
    if (x->request_part == REQUEST_HEAD && !take_head(x, &bytes, &len))
        return;
    if (x->request_part == REQUEST_BODY)
        take_body(x, &bytes, &len);
    if (x->request_part == REQUEST_DONE && len > 0 && !x->refused_status)
        downstream_keep_early(x->client->conn, bytes, len);
}

/* --- HTTP/2 --- */

#define WEBSOCKET_LINES "upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-key: "
#define WEBSOCKET_LINES_BYTES (sizeof(WEBSOCKET_LINES) + WEBSOCKET_KEY_BYTES + 2)

/* A CONNECT for it is to the upstream the request that HTTP/1.1 has in its place (RFC 8441, section
 * 5). Its lines take the place of the text's empty one. Returns the length. */
static size_t ask_for_websocket(struct exchange *x, char *text, size_t len)
{
    uint64_t random[2] = {random_next(&x->worker->random), random_next(&x->worker->random)};
    char *at = text + len - 2;
    memcpy(at, WEBSOCKET_LINES, sizeof(WEBSOCKET_LINES) - 1);
    at += sizeof(WEBSOCKET_LINES) - 1;
    websocket_write_key((const uint8_t *)random, at);
    x->websocket_key = str_make(at, WEBSOCKET_KEY_BYTES);
    at += WEBSOCKET_KEY_BYTES;
    memcpy(at, "\r\n\r\n", 4);
    return (size_t)(at + 4 - text);
}

void request_take_head(struct exchange *x, const struct http2_head *head, bool is_last)
{
    if (head->refused_status) {
        if (head->is_of_head_request)
            x->request.method = HTTP_HEAD; /* the answer goes by it */
        exchange_refuse(x, head->refused_status, head->reason);
        return;
    }
    size_t len = http2_head_text_bytes(head);
    char *text = arena_alloc(&x->arena, len + WEBSOCKET_LINES_BYTES);
    if (!text) {
        exchange_refuse(x, 500, "out of memory");
        return;
    }
    http2_head_write(head, text);
    if (head->is_websocket)
        len = ask_for_websocket(x, text, len);
    is_last = is_last || head->is_websocket; /* what follows is no content */
    if (http1_take_head(&x->request_parser, text, len, is_last) == HTTP1_DONE) {
        begin_body(x);
        return;
    }
    (void)buf_append(&x->head_bytes, text, min_len(len, MAX_BAD_TEXT_BYTES)); /* for the log */
    exchange_refuse(x, x->request_parser.refused_status, x->request_parser.reason);
}

/* That it is as long as announced is nghttp2's to check too; who frames by it must not rely on
 * others. */
static bool is_past_length(const struct exchange *x, size_t more)
{
    return x->request.framing == HTTP_BY_LENGTH &&
           more > x->request.content_length - x->request_bytes;
}

void request_take_content(struct exchange *x, struct str bytes)
{
    if (x->is_tunnel) {
        tunnel_from_client(x, bytes.ptr, bytes.len);
        return;
    }
    if (x->refused_status || x->request_part != REQUEST_BODY)
        return;
    if (is_past_length(x, bytes.len))
        exchange_refuse(x, 400, "the body is longer than its Content-Length");
    else
        pass_on(x, &bytes, 1, false);
}

void request_take_end(struct exchange *x, struct str trailers)
{
    if (x->websocket_key.len > 0) { /* of what is, or will be, a tunnel */
        x->has_client_ended = true;
        if (x->is_tunnel)
            tunnel_client_ended(x, 0);
        return;
    }
    if (x->refused_status || x->request_part != REQUEST_BODY)
        return;
    if (x->request.framing == HTTP_BY_LENGTH && x->request_bytes < x->request.content_length) {
        exchange_refuse(x, 400, "the body is shorter than its Content-Length");
        return;
    }
    struct str kept = trailers.len > 0 ? arena_copy(&x->arena, trailers) : STR_EMPTY;
    x->request_parser.trailers = (char *)kept.ptr;
    x->request_parser.trailer_len = (uint16_t)kept.len;
    pass_on(x, NULL, 0, true);
    x->request_part = x->refused_status ? x->request_part : REQUEST_DONE;
}

/* --- towards the upstream --- */

/* 0 where the client has begun a trace, or nobody wants one. */
static uint64_t new_span(struct exchange *x)
{
    if (!x->worker->settings.starts_traces || traceparent_is_there(&x->request))
        return 0;
    return random_next(&x->worker->random) | 1;
}

static size_t write_head(struct exchange *x, const struct target_state *target)
{
    const struct forward_request request = {
        .head = &x->request,
        .uri = &x->uri,
        .path = x->path,
        .match = &x->match,
        .target = target,
        .authority = x->authority,
        .peer = downstream_peer(x->client->conn),
        .client = exchange_client(x),
        .is_trusted = x->client->conn->is_trusted,
        .listener_port = x->client->conn->port,
        .is_tls = x->client->conn->is_tls,
        .request_id = x->request_id,
        .wants_upgrade = x->wants_upgrade,
        .span = new_span(x),
        .lines = x->request_lines,
        .own_host = x->plugins ? x->plugins->effect.host : STR_EMPTY,
        .own_path = x->plugins ? x->plugins->effect.path : STR_EMPTY,
    };
    return forward_write_request(&request, x->worker->scratch, x->worker->scratch_bytes);
}

int request_send_to(struct exchange *x, const struct target_state *target,
                    struct upstream_conn *conn)
{
    size_t head_len = write_head(x, target);
    if (head_len == 0)
        return UV_ENOBUFS;
    struct framing_gather gather;
    struct str kept = buf_str(&x->kept);
    framing_begin(&gather, str_make(x->worker->scratch, head_len));
    framing_add(&gather, x->request.framing, &kept, 1, kept.len);
    if (x->request_part == REQUEST_DONE)
        framing_end(&gather, x->request.framing, http1_trailers(&x->request_parser));
    conn->request_count++;
    return stream_write(&conn->stream, gather.pieces, gather.count);
}

/* The same on a lane. */
static int send_all_on_lane(struct exchange *x)
{
    struct str kept = buf_str(&x->kept), trailers = http1_trailers(&x->request_parser);
    size_t head_len = write_head(x, x->pool->target);
    if (head_len == 0)
        return UV_ENOBUFS;
    bool is_whole = x->request_part == REQUEST_DONE;
    bool is_all_head = is_whole && kept.len == 0 && trailers.len == 0;
    int rc = upstream_lane_head(x->lane, str_make(x->worker->scratch, head_len), is_all_head);
    if (rc == 0 && kept.len > 0)
        rc = upstream_lane_content(x->lane, &kept, 1);
    if (rc == 0 && is_whole && !is_all_head)
        rc = upstream_lane_end(x->lane, trailers);
    return rc;
}

void request_send(struct exchange *x)
{
    int rc = x->lane ? send_all_on_lane(x) : request_send_to(x, x->pool->target, x->upstream);
    if (rc == UV_ENOBUFS) {
        exchange_refuse(x, 431, "no room for the head to the upstream");
        return;
    }
    x->has_sent_head = true;
    x->sent_ms = worker_now(x->worker);
    if (rc)
        try_fail(x, TRY_RESET, rc, "the request could not be written");
    if (buf_len(&x->kept) > EXCHANGE_MAX_KEPT_BYTES)
        stop_keeping(x);
}

void request_drop_rest(struct exchange *x)
{
    x->is_send_broken = true;
    stop_keeping(x);
}

static bool wants_bytes(const struct exchange *x)
{
    if (x->websocket_key.len > 0 && !x->is_tunnel)
        return x->is_send_broken; /* it has to wait for the switch, or is dropped */
    if (x->request_part == REQUEST_DONE && !x->is_tunnel)
        return x->client->conn->early == NULL; /* read on only to see it leave */
    if (x->refused_status || x->is_send_broken)
        return true; /* and drop */
    if (!x->has_sent_head)
        return buf_len(&x->kept) < EXCHANGE_MAX_KEPT_BYTES;
    return !(x->upstream || x->lane) || upstream_side_queued(x) < EXCHANGE_MAX_QUEUED_BYTES;
}

void request_steer(struct exchange *x)
{
    if (x->has_client_ended)
        return;
    bool is_wanted = wants_bytes(x);
    if (is_wanted != *x->client->is_reading && x->client->verbs->read(x->client, is_wanted))
        x->is_client_gone = true;
}
