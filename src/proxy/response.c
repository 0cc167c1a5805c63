#include "proxy/response.h"

#include <stdlib.h>

#include "balance/balancer.h"
#include "http/http2_head.h"
#include "http/websocket.h"
#include "net/stream_pipe.h"
#include "proxy/access.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/framing.h"
#include "proxy/grpc.h"
#include "proxy/outcome.h"
#include "proxy/try.h"
#include "proxy/tunnel.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_pool.h"
#include "proxy/upstream_side.h"
#include "proxy/worker_core.h"
#include "proxy/writer.h"

#define MAX_INTERIM 32
#define MIN_MOVED_BYTES 65536 /* as much as one read brings: less is copied as quickly */

void response_begin(struct exchange *x)
{
    x->interim_count = 0;
    x->response_part = RESPONSE_HEAD;
    x->is_held = false;
    x->head_ms = 0;
    buf_clear(&x->response_bytes);
}

static void begin_head(struct exchange *x)
{
    http1_begin_response(&x->reply->parser, &x->reply->head, x->worker->settings.max_head_bytes,
                         exchange_is_head_request(x));
}

/* Most responses come whole: all of them are parsed in the same, warm memory. */
static bool take_reply(struct exchange *x)
{
    if (x->reply)
        return true;
    struct list *spare = spare_list_take(&x->worker->spare_replies);
    x->reply = spare ? LIST_ENTRY(spare, struct reply, link) : malloc(sizeof(*x->reply));
    if (!x->reply) {
        try_fail(x, TRY_BAD_RESPONSE, UV_ENOMEM, NULL);
        return false;
    }
    list_init(&x->reply->link);
    begin_head(x);
    return true;
}

void response_end(struct exchange *x)
{
    if (x->upstream)
        x->upstream->stream.is_passing = false;
    struct reply *reply = x->reply;
    x->reply = NULL;
    if (reply && !spare_list_keep(&x->worker->spare_replies, &reply->link))
        free(reply);
}

static void write_to_client(struct exchange *x, const struct client_part *part)
{
    if (!x->is_client_gone && x->client->verbs->write(x->client, part))
        x->is_client_gone = true;
}

static bool may_keep_client(const struct exchange *x)
{
    return x->request.keep_alive && x->request_part == REQUEST_DONE && !x->has_client_ended &&
           !x->refused_status && x->worker->state == WORKER_RUNNING;
}

/* --- heads --- */

/* Interim responses belong to the exchange but end nothing. 100 is for those who asked. */
static void pass_on_interim(struct exchange *x)
{
    const struct http_head *head = &x->reply->head;
    bool is_wanted =
        x->request.minor_version > 0 && (head->status != 100 || x->request.expects_continue);
    if (!is_wanted)
        return;
    size_t len = forward_write_interim(head, x->worker->scratch, x->worker->scratch_bytes);
    const struct client_part part = {.head = str_make(x->worker->scratch, len), .is_interim = true};
    if (len > 0)
        write_to_client(x, &part);
}

/* Where the client cannot know the length beforehand, and is HTTP/1.0, the close tells it. */
static enum http_framing choose_client_framing(const struct exchange *x)
{
    enum http_framing framing = x->reply->head.framing;
    if (x->reply->head.status == 101)
        return HTTP_UNTIL_CLOSE;
    if (framing != HTTP_CHUNKED && framing != HTTP_UNTIL_CLOSE)
        return framing;
    return x->request.minor_version > 0 ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
}

/* Writes the final head to the worker's scratch space: it leaves together with the first content.
 */
static size_t write_head(struct exchange *x)
{
    const struct worker *worker = x->worker;
    const struct forward_response response = {
        .head = &x->reply->head,
        .framing = x->client_framing,
        .has_body = x->client_framing != HTTP_NO_BODY,
        .keep_alive = x->keep_client,
        .is_switch = x->reply->head.status == 101,
        .is_connect = x->websocket_key.len > 0,
        .is_to_http2 = x->request.is_http2,
        .client_minor_version = x->request.minor_version,
        .request_id = x->request_id,
        .date = str_make(worker->clock.http_text, WALL_CLOCK_HTTP_BYTES),
        .is_panicking = x->is_panicking,
        .set_cookie = x->set_cookie,
        .lines = x->response_lines,
        .upstream_latency_ms =
            worker->settings.add_latency_headers ? x->head_ms - x->sent_ms : FORWARD_NO_LATENCY,
        .proxy_latency_ms = x->sent_ms - x->started_ms,
        .tells_timing = worker->settings.add_server_timing,
        .upstream_ms = x->head_ms - x->sent_ms,
    };
    return forward_write_response(&response, worker->scratch, worker->scratch_bytes);
}

/* Reads a head from the bytes in place, or from all so far when it comes in pieces. On DONE the
 * rest is in *bytes and *len. */
static enum http1_result read_head(struct exchange *x, const char **bytes, size_t *len)
{
    bool in_place = buf_len(&x->response_bytes) == 0;
    struct str have = str_make(*bytes, *len);
    if (!in_place) {
        if (buf_append(&x->response_bytes, *bytes, *len))
            return HTTP1_REFUSED;
        have = buf_str(&x->response_bytes);
    }
    enum http1_result result = http1_read_head(&x->reply->parser, have.ptr, have.len);
    if (result == HTTP1_DONE) {
        *bytes = have.ptr + x->reply->head.len;
        *len = have.len - x->reply->head.len;
    } else if (result == HTTP1_MORE && in_place && buf_append(&x->response_bytes, *bytes, *len)) {
        return HTTP1_REFUSED;
    }
    return result;
}

/* The next head follows an interim one, perhaps in the same bytes. */
static void begin_after_interim(struct exchange *x, size_t *len)
{
    if (buf_len(&x->response_bytes) > 0) { /* the rest is in there */
        buf_consume(&x->response_bytes, x->reply->head.len);
        *len = 0;
    }
    begin_head(x);
}

/* Where the key is ours, so is it to check the answer; the client has no use for that. */
static bool has_accepted(struct exchange *x)
{
    struct http_head *head = &x->reply->head;
    bool is_right = false;
    for (unsigned i = 0; i < head->field_count; i++) {
        if (!str_equal_nocase(http_field_name(head, &head->fields[i]), STR("Sec-WebSocket-Accept")))
            continue;
        head->fields[i].is_hop_by_hop = true;
        is_right =
            websocket_is_accepted(x->websocket_key, http_field_value(head, &head->fields[i]));
    }
    return is_right;
}

/* An upstream may switch protocols only for a request that asked for it, and has to say to what. */
static bool is_switch(struct exchange *x)
{
    return x->reply->head.status == 101 && x->wants_upgrade && x->reply->head.has_upgrade &&
           (x->websocket_key.len == 0 || has_accepted(x));
}

/* True when the final head is there, or that of a switch; the rest is content. A target that says
 * nothing but "wait" is given up. */
static bool take_head(struct exchange *x, const char **bytes, size_t *len)
{
    while (*len > 0 || buf_len(&x->response_bytes) > 0) {
        enum http1_result result = read_head(x, bytes, len);
        if (result == HTTP1_MORE)
            return false;
        if (result == HTTP1_DONE && is_switch(x))
            return true;
        if (result == HTTP1_REFUSED || x->reply->head.status == 101) {
            try_fail(x, TRY_BAD_RESPONSE, 0,
                     result == HTTP1_REFUSED    ? x->reply->parser.reason
                     : x->websocket_key.len > 0 ? "it switched to something else than WebSocket"
                                                : "it switched protocols without being asked");
            return false;
        }
        if (x->reply->head.status >= 200)
            return true;
        if (++x->interim_count > MAX_INTERIM) {
            try_fail(x, TRY_BAD_RESPONSE, 0, "too many interim responses");
            return false;
        }
        pass_on_interim(x);
        begin_after_interim(x, len);
    }
    return false;
}

static bool begin_response(struct exchange *x, struct str *ret_head)
{
    /* To a CONNECT any 2xx would say that there is a tunnel. */
    if (x->websocket_key.len > 0 && x->reply->head.status < 300 && x->reply->head.status != 101) {
        exchange_refuse_saying(x, 502, "the upstream did not switch to WebSocket");
        return false;
    }
    if (x->head_ms == 0)
        x->head_ms = worker_now(x->worker);
    wall_clock_turn(&x->worker->clock, worker_now(x->worker));
    x->client_framing = choose_client_framing(x);
    x->keep_client = may_keep_client(x) && x->client_framing != HTTP_UNTIL_CLOSE;
    x->keep_upstream = x->reply->head.keep_alive && x->reply->head.framing != HTTP_UNTIL_CLOSE;
    if (x->reply->head.framing == HTTP_CHUNKED && !x->lane)
        x->reply->parser.trailers = arena_alloc(&x->arena, HTTP1_MAX_TRAILER_BYTES);

    if (x->plugins && !access_response(x)) { /* which is no fault of the target's */
        exchange_refuse(x, 500, "no memory for what plugins do to the response");
        return false;
    }
    size_t len = write_head(x);
    if (len == 0) {
        try_fail(x, TRY_BAD_RESPONSE, 0, "no room for the response's head");
        return false;
    }
    *ret_head = str_make(x->worker->scratch, len);
    x->response_head_bytes = (uint32_t)len;
    x->status = x->reply->head.status;
    x->has_responded = true;
    x->response_part = http1_body_is_done(&x->reply->parser) ? RESPONSE_DONE : RESPONSE_BODY;
    balancer_hear(x->pool->target, x->worker->index, x->head_ms);
    /* Before the client knows: its next request goes elsewhere. gRPC's status comes last. */
    if (!x->is_grpc || (x->is_trial && !x->lane))
        outcome_tell_health(x);
    return true;
}

/* --- content --- */

static void pass_on(struct exchange *x, struct str head, const struct str *pieces, unsigned count)
{
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += pieces[i].len;
    x->body_bytes += total;

    bool is_last = x->response_part == RESPONSE_DONE;
    const struct client_part part = {
        .head = head,
        .pieces = pieces,
        .count = count,
        .total = total,
        .framing = x->client_framing,
        .is_last = is_last,
        .trailers = is_last ? http1_trailers(&x->reply->parser) : STR_EMPTY,
    };
    write_to_client(x, &part);
}

/* Whether the rest of the body may go on without being looked at. */
static bool may_move(const struct exchange *x)
{
    return x->response_part == RESPONSE_BODY && x->client->plain && x->worker->pipe &&
           !x->upstream->stream.tls && !x->is_tunnel && !x->is_client_gone && !x->has_failed &&
           http1_body_left(&x->reply->parser) >= MIN_MOVED_BYTES;
}

static void take_body(struct exchange *x, struct str head, const char *bytes, size_t len)
{
    do {
        struct str pieces[FRAMING_MAX_PIECES];
        unsigned count = 0;
        if (x->response_part == RESPONSE_BODY && len > 0) {
            size_t taken = 0;
            enum http1_result result = http1_read_body(&x->reply->parser, bytes, len, &taken,
                                                       pieces, FRAMING_MAX_PIECES, &count);
            if (result == HTTP1_REFUSED) {
                try_fail(x, TRY_BAD_RESPONSE, 0, x->reply->parser.reason);
                return;
            }
            if (result == HTTP1_DONE)
                x->response_part = RESPONSE_DONE;
            bytes += taken;
            len -= taken;
        }
        pass_on(x, head, pieces, count);
        head = STR_EMPTY;
    } while (len > 0 && x->response_part == RESPONSE_BODY && !x->is_client_gone);

    if (len > 0) /* more than its response: what is it worth? */
        x->keep_upstream = false;
    else if (may_move(x))
        x->upstream->stream.is_passing = true;
}

bool response_move(struct exchange *x)
{
    int error = 0;
    size_t count = 0;
    x->upstream->stream.is_passing = may_move(x);
    if (x->upstream->stream.is_passing && client_queued(x->client) == 0)
        count = stream_pipe_move(x->worker->pipe, &x->upstream->stream, x->client->plain,
                                 http1_body_left(&x->reply->parser), &error);
    if (count == 0)
        return false;
    http1_skip_body(&x->reply->parser, count);
    x->body_bytes += count;
    x->is_client_gone = x->is_client_gone || error;
    if (http1_body_is_done(&x->reply->parser)) {
        x->response_part = RESPONSE_DONE;
        if (stream_has_news(&x->upstream->stream)) /* more than its response, or its end */
            x->keep_upstream = false;
    }
    return true;
}

/* The 101 leaves, and from here on nothing is a message any more. */
static void switch_protocol(struct exchange *x, struct str head, const char *bytes, size_t len)
{
    struct str piece = str_make(bytes, len);
    const struct client_part part = {
        .head = head, .pieces = &piece, .count = 1, .total = len, .framing = HTTP_UNTIL_CLOSE};
    x->body_bytes = len;
    if (x->websocket_key.len > 0)
        x->status = 200; /* which is what the client is told */
    x->response_part = RESPONSE_BODY;
    write_to_client(x, &part);
    tunnel_begin(x);
}

static void respond(struct exchange *x, const char *bytes, size_t len)
{
    struct str head = STR_EMPTY;
    if (x->response_part == RESPONSE_HEAD && !begin_response(x, &head))
        return;
    if (x->status == 101) {
        switch_protocol(x, head, bytes, len);
        return;
    }
    take_body(x, head, bytes, len);
}

/* --- short responses --- */

/* Many servers write a head and its content apart. A short response is held until it is whole: it
 * leaves in one write, and when its target dies in between, another one may still be asked. */
static bool hold_if_short(struct exchange *x, size_t len)
{
    const struct http_head *head = &x->reply->head;
    if (head->framing != HTTP_BY_LENGTH || head->content_length > EXCHANGE_MAX_HELD_BYTES ||
        len >= head->content_length)
        return false;
    if (buf_len(&x->response_bytes) == 0 &&
        buf_append(&x->response_bytes, head->base, head->len + len))
        return false;
    x->is_held = true;
    x->head_ms = worker_now(x->worker);
    return true;
}

static size_t missing_bytes(const struct exchange *x)
{
    return x->reply->head.len + (size_t)x->reply->head.content_length - buf_len(&x->response_bytes);
}

void response_let_go(struct exchange *x)
{
    struct str held = buf_str(&x->response_bytes);
    x->is_held = false;
    x->reply->head.base = held.ptr;
    respond(x, held.ptr + x->reply->head.len, held.len - x->reply->head.len);
}

static void take_held(struct exchange *x, const char *bytes, size_t len)
{
    size_t missing = missing_bytes(x);
    size_t taken = len < missing ? len : missing;
    if (buf_append(&x->response_bytes, bytes, taken)) {
        try_fail(x, TRY_BAD_RESPONSE, UV_ENOMEM, NULL);
        return;
    }
    if (taken == missing)
        response_let_go(x);
    if (taken < len)
        x->keep_upstream = false;
}

/* --- what happens --- */

void response_take(struct exchange *x, const char *bytes, size_t len)
{
    x->has_news = true;
    if (x->is_tunnel) {
        tunnel_from_upstream(x, bytes, len);
        return;
    }
    if (x->response_part == RESPONSE_DONE) {
        x->keep_upstream = false;
        return;
    }
    if (!take_reply(x))
        return;
    if (x->is_held) {
        take_held(x, bytes, len);
        return;
    }
    if (x->response_part == RESPONSE_HEAD && (!take_head(x, &bytes, &len) || hold_if_short(x, len)))
        return;
    respond(x, bytes, len);
}

void response_upstream_ended(struct exchange *x, int error)
{
    x->keep_upstream = false;
    if (x->response_part == RESPONSE_DONE)
        return;
    if (x->is_tunnel) {
        tunnel_upstream_ended(x, error);
        return;
    }
    if (x->response_part == RESPONSE_BODY && x->reply->head.framing == HTTP_UNTIL_CLOSE && !error) {
        x->response_part = RESPONSE_DONE;
        pass_on(x, STR_EMPTY, NULL, 0);
        return;
    }
    try_fail(x, TRY_RESET, error,
             x->is_held || x->response_part == RESPONSE_BODY ? "closed within its response"
             : x->has_news                                   ? "closed within its response's head"
                                                             : "closed without a response");
}

/* --- HTTP/2 --- */

static bool is_past_length(const struct exchange *x, size_t more)
{
    const struct http_head *head = &x->reply->head;
    return head->framing == HTTP_BY_LENGTH && more > head->content_length - x->body_bytes;
}

/* The head of http2_head.h as text, judged like any other. */
static bool read_http2_head(struct exchange *x, const struct http2_head *head, bool is_last)
{
    if (head->refused_status) {
        try_fail(x, TRY_BAD_RESPONSE, 0, head->reason);
        return false;
    }
    size_t len = http2_head_text_bytes(head);
    char *text = arena_alloc(&x->arena, len);
    if (!text) {
        try_fail(x, TRY_BAD_RESPONSE, UV_ENOMEM, NULL);
        return false;
    }
    http2_head_write(head, text);
    const struct http_head *read = &x->reply->head;
    if (http1_take_head(&x->reply->parser, text, len, is_last) != HTTP1_DONE)
        try_fail(x, TRY_BAD_RESPONSE, 0, x->reply->parser.reason);
    else if (is_last && read->framing == HTTP_BY_LENGTH && read->content_length > 0)
        try_fail(x, TRY_BAD_RESPONSE, 0, "shorter than its Content-Length");
    return !x->has_failed;
}

void response_take_head(struct exchange *x, const struct http2_head *head, bool is_last)
{
    x->has_news = true;
    if (x->response_part != RESPONSE_HEAD || !take_reply(x) || !read_http2_head(x, head, is_last))
        return;
    if (x->reply->head.status < 200) {
        if (++x->interim_count > MAX_INTERIM) {
            try_fail(x, TRY_BAD_RESPONSE, 0, "too many interim responses");
            return;
        }
        pass_on_interim(x);
        begin_head(x);
        return;
    }
    struct str text = STR_EMPTY;
    if (!begin_response(x, &text))
        return;
    if (x->is_grpc && is_last)
        x->grpc_status = (uint8_t)grpc_find_status(&x->reply->head);
    else if (x->is_trial) /* the call may last for hours: that it is answered is enough */
        outcome_tell_health(x);
    bool has_end = is_last || x->reply->head.framing == HTTP_NO_BODY;
    x->response_part = has_end ? RESPONSE_DONE : RESPONSE_BODY;
    pass_on(x, text, NULL, 0);
}

void response_take_content(struct exchange *x, struct str bytes)
{
    if (x->response_part != RESPONSE_BODY || x->has_failed)
        return;
    if (is_past_length(x, bytes.len))
        try_fail(x, TRY_BAD_RESPONSE, 0, "longer than its Content-Length");
    else
        pass_on(x, STR_EMPTY, &bytes, 1);
}

void response_take_end(struct exchange *x, struct str trailers)
{
    if (x->response_part != RESPONSE_BODY || x->has_failed)
        return;
    if (x->reply->head.framing == HTTP_BY_LENGTH && x->body_bytes < x->reply->head.content_length) {
        try_fail(x, TRY_BAD_RESPONSE, 0, "shorter than its Content-Length");
        return;
    }
    struct str kept = trailers.len > 0 ? arena_copy(&x->arena, trailers) : STR_EMPTY;
    x->reply->parser.trailers = (char *)kept.ptr;
    x->reply->parser.trailer_len = (uint16_t)kept.len;
    x->response_part = RESPONSE_DONE;
    if (x->is_grpc)
        x->grpc_status = (uint8_t)grpc_find_status_in(kept);
    pass_on(x, STR_EMPTY, NULL, 0);
}

void response_upstream_gone(struct exchange *x, int error, const char *reason)
{
    if (x->response_part == RESPONSE_DONE)
        return;
    const struct http2_stream *stream = x->lane->is_open ? &x->lane->stream : NULL;
    x->was_refused = stream && stream->is_refused;
    if (stream && stream->is_closed) /* by itself: its connection lives */
        x->is_reused = false;
    try_fail(x, stream && stream->is_broken ? TRY_BAD_RESPONSE : TRY_RESET, error, reason);
}

/* --- weir's own --- */

static size_t write_answer(struct exchange *x, const struct answer_context *context,
                           struct str *ret_body)
{
    struct worker *worker = x->worker;
    *ret_body = STR_EMPTY;
    if (x->is_grpc && x->answer.status >= 300)
        return answer_write_grpc(&x->answer, context, worker->scratch, worker->scratch_bytes);
    return answer_write(&x->answer, context, worker->scratch, worker->scratch_bytes, ret_body);
}

bool response_end_call(struct exchange *x, enum grpc_status status)
{
    char lines[128];
    struct writer writer = writer_on(lines, sizeof(lines));
    if (!x->is_grpc || !x->has_responded || x->response_part != RESPONSE_BODY ||
        x->client_framing != HTTP_CHUNKED)
        return false;
    grpc_write_status(&writer, status,
                      status == GRPC_DEADLINE_EXCEEDED ? STR("deadline exceeded")
                                                       : STR("the upstream was lost"));
    const struct client_part part = {
        .framing = x->client_framing,
        .is_last = true,
        .trailers = str_make(lines, (size_t)(writer.at - lines)),
    };
    write_to_client(x, &part);
    return true;
}

void response_answer(struct exchange *x)
{
    struct worker *worker = x->worker;
    bool has_head = x->request_part != REQUEST_HEAD;
    uint64_t now_ms = worker_now(worker);
    uint64_t upstream_ms = x->answer.is_proxied && x->sent_ms ? now_ms - x->sent_ms : 0;
    struct str body;

    wall_clock_turn(&worker->clock, now_ms);
    x->keep_client = may_keep_client(x);
    if (x->websocket_key.len > 0 && x->answer.status < 300) /* a plugin's; there is no tunnel */
        x->answer = (struct answer){.status = 400, .message = "no WebSocket is served here"};
    if (x->plugins)
        access_answer(x);
    const struct answer_context context = {
        .request = has_head ? &x->request : NULL,
        .is_head = exchange_is_head_request(x),
        .keep_alive = x->keep_client,
        .client_minor_version = has_head ? x->request.minor_version : 1,
        .request_id = x->request_id,
        .date = str_make(worker->clock.http_text, WALL_CLOCK_HTTP_BYTES),
        .add_latency = worker->settings.add_latency_headers,
        .upstream_latency_ms = upstream_ms,
        .gateway_latency_ms = now_ms - x->started_ms - upstream_ms,
    };
    size_t len = write_answer(x, &context, &body);
    if (len == 0) { /* with all that its fields hold */
        x->answer = (struct answer){.status = 500, .message = answer_message(500)};
        len = write_answer(x, &context, &body);
    }
    x->status = x->answer.status;
    x->has_responded = true;
    x->has_answered = true;
    x->body_bytes = body.len;
    x->response_head_bytes = (uint32_t)len;

    const struct client_part part = {
        .head = str_make(worker->scratch, len),
        .pieces = &body,
        .count = 1,
        .total = body.len,
        .framing = HTTP_BY_LENGTH,
        .is_last = true,
    };
    write_to_client(x, &part);
}

void response_steer(struct exchange *x)
{
    if (x->lane && !x->has_failed) {
        upstream_lane_read(x->lane, client_queued(x->client) < EXCHANGE_MAX_QUEUED_BYTES);
        return;
    }
    if (!x->upstream || x->has_failed)
        return;
    if (client_queued(x->client) >= EXCHANGE_MAX_QUEUED_BYTES)
        stream_stop_reading(&x->upstream->stream);
    else if (x->upstream->state == UPSTREAM_BUSY && stream_start_reading(&x->upstream->stream))
        try_fail(x, TRY_RESET, UV_ENOTCONN, "cannot be read");
}
