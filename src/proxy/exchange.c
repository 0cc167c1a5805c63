#include "proxy/exchange.h"

#include <stdlib.h>

#include "model/target_state.h"
#include "proxy/access.h"
#include "proxy/downstream.h"
#include "proxy/grpc.h"
#include "proxy/hedge.h"
#include "proxy/match.h"
#include "proxy/outcome.h"
#include "proxy/request.h"
#include "proxy/response.h"
#include "proxy/try.h"
#include "proxy/tunnel.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_pool.h"
#include "proxy/upstream_side.h"
#include "proxy/worker_core.h"

/* One request's life; in brackets what a step may WAIT for:
 *
 *   read_head --> match --> access --> pick --> lease --> send --> respond --> finish
 *    [client]       |         |      [first   [connection]        [response]  [client
 *                   |         |    endpoints,    |          |         |       has all]
 *                   |         |  a free target]  |          |         |
 *                   |         |        ^  |      v          v         v          ^
 *                   |         |        +--|-- RETRY: another target --+          |
 *                   v         v           v                           v          |
 *                 ANSWER: weir responds itself ----------------------------------+
 *
 * A step says NEXT, WAIT, RETRY, ANSWER, CUT or DONE and calls no other step. What happens outside
 * (bytes, drained queues, time-outs) leaves its mark on the exchange and runs it on from the step
 * that waits. So an exchange ends in one place, in run(), and nothing deeper has to fear for it. */

#define ARENA_BLOCK_BYTES 4096
/* A client that has closed its sending side may have closed altogether; TCP does not tell. A
 * response that comes soon is sent all the same. */
#define HALF_CLOSED_GRACE_MS 1000
#define STATUS_CLIENT_GONE 499 /* as nginx logs it */
#define MAX_SPARE_BUFFER_BYTES 4096

/* --- the steps --- */

static enum step_result step_read_head(struct exchange *x)
{
    return x->request_part == REQUEST_HEAD ? STEP_WAIT : STEP_NEXT;
}

static enum step_result step_match(struct exchange *x)
{
    return match_exchange(x) ? STEP_NEXT : STEP_ANSWER;
}

/* Where plugins get their say before an upstream is asked. */
static enum step_result step_access(struct exchange *x)
{
    if (!access_exchange(x))
        return STEP_ANSWER;
    return match_service(x) ? STEP_NEXT : STEP_ANSWER;
}

/* pick, lease, send and respond, the steps of a try, are try.c's. */

static bool is_upstream_reusable(const struct exchange *x)
{
    return x->upstream && x->response_part == RESPONSE_DONE && x->keep_upstream &&
           x->request_part == REQUEST_DONE && !x->is_send_broken && !x->has_failed &&
           stream_queued(&x->upstream->stream) == 0;
}

static enum step_result step_finish(struct exchange *x)
{
    try_leave(x, is_upstream_reusable(x));
    request_drop_rest(x);
    return client_queued(x->client) > 0 ? STEP_WAIT : STEP_DONE;
}

enum step_index {
    STEP_INDEX_READ_HEAD = 0,
    STEP_INDEX_MATCH,
    STEP_INDEX_ACCESS,
    STEP_INDEX_PICK,
    STEP_INDEX_LEASE,
    STEP_INDEX_SEND,
    STEP_INDEX_RESPOND,
    STEP_INDEX_FINISH,
};

static enum step_result (*const steps[])(struct exchange *x) = {
    [STEP_INDEX_READ_HEAD] = step_read_head, [STEP_INDEX_MATCH] = step_match,
    [STEP_INDEX_ACCESS] = step_access,       [STEP_INDEX_PICK] = try_pick,
    [STEP_INDEX_LEASE] = try_lease,          [STEP_INDEX_SEND] = try_send,
    [STEP_INDEX_RESPOND] = try_respond,      [STEP_INDEX_FINISH] = step_finish,
};

/* --- waiting --- */

/* A client that trickles is let go like one that has stopped: within the time-out it has to send,
 * or to take, more than a little. */
static void expect_progress(struct exchange *x)
{
    const struct worker_settings *settings = &x->worker->settings;
    struct deadline *deadline = &x->client->deadline;
    uint64_t moved = x->request_bytes + x->body_bytes - client_queued(x->client);
    if (x->is_watching_body && moved - x->moved_bytes < settings->client_progress_bytes)
        return;
    x->is_watching_body = true;
    x->moved_bytes = moved;
    deadline_set(&x->worker->wheel, deadline, settings->client_body_timeout_ms);
}

/* Either side of a call by gRPC may be silent for as long as the upstream may. That it is one is
 * not for the client alone to say. */
static bool is_call(const struct exchange *x)
{
    if (!x->is_grpc || x->step != STEP_INDEX_RESPOND)
        return false;
    const struct route *route = x->match.route;
    return (route->protocols | route->service->protocol) & (PROTOCOL_GRPC | PROTOCOL_GRPCS);
}

/* What we wait for, and how long, follows from the state alone. Called after every event, so each
 * of these times runs from the last one. */
static void watch_client(struct exchange *x)
{
    const struct worker_settings *settings = &x->worker->settings;
    struct deadline *deadline = &x->client->deadline;
    if (x->step == STEP_INDEX_READ_HEAD) {
        if (!x->is_watching_head) /* the whole head has this long */
            deadline_set(&x->worker->wheel, deadline, settings->client_header_timeout_ms);
        x->is_watching_head = true;
    } else if (client_queued(x->client) > 0 ||
               (x->request_part == REQUEST_BODY && *x->client->is_reading && !is_call(x))) {
        expect_progress(x);
        return;
    } else if (!x->has_client_ended || x->has_responded) {
        deadline_clear(deadline);
    }
    x->is_watching_body = false;
}

static void watch_upstream(struct exchange *x)
{
    if (x->step != STEP_INDEX_RESPOND) /* parked and connecting set theirs once */
        return;
    if (x->is_held) {
        if (x->deadline.at_ms > x->head_ms + EXCHANGE_MAX_HELD_MS) /* the first time */
            deadline_set(&x->worker->wheel, &x->deadline, EXCHANGE_MAX_HELD_MS);
        return;
    }
    const struct service *service = x->match.route->service;
    if (upstream_side_queued(x) > 0)
        deadline_set(&x->worker->wheel, &x->deadline, service->write_timeout_ms);
    else if ((x->request_part == REQUEST_DONE || is_call(x)) && upstream_side_is_reading(x))
        deadline_set(&x->worker->wheel, &x->deadline, service->read_timeout_ms);
    else
        deadline_clear(&x->deadline);
}

static void settle(struct exchange *x)
{
    request_steer(x);
    response_steer(x);
    watch_client(x);
    watch_upstream(x);
}

/* --- the beginning and the end --- */

static void on_due(struct timer_node *node)
{
    struct exchange *x = LIST_ENTRY(node, struct exchange, deadline.node);
    if (!deadline_has_passed(&x->worker->wheel, &x->deadline))
        return;
    deadline_clear(&x->deadline);
    if (x->step == STEP_INDEX_PICK)
        x->has_waited_out = true;
    else if (x->step == STEP_INDEX_LEASE)
        try_fail(x, TRY_CONNECT_TIMEOUT, UV_ETIMEDOUT, NULL);
    else if (x->is_tunnel)
        tunnel_timed_out(x);
    else if (x->is_held)
        response_let_go(x);
    else if (upstream_side_queued(x) > 0)
        try_fail(x, TRY_SEND_TIMEOUT, UV_ETIMEDOUT, NULL);
    else
        try_fail(x, TRY_READ_TIMEOUT, UV_ETIMEDOUT, NULL);
    exchange_endpoints_changed(x);
}

static void on_overdue(struct timer_node *node)
{
    struct exchange *x = LIST_ENTRY(node, struct exchange, total.node);
    if (!deadline_has_passed(&x->worker->wheel, &x->total))
        return;
    deadline_clear(&x->total);
    x->is_overdue = !x->is_tunnel;
    exchange_endpoints_changed(x);
}

static struct exchange *make(struct worker *worker)
{
    struct list *spare = spare_list_take(&worker->spare_exchanges);
    if (spare)
        return LIST_ENTRY(spare, struct exchange, link);
    struct exchange *x = malloc(sizeof(*x));
    if (!x)
        return NULL;
    size_t max_head_bytes = worker->settings.max_head_bytes;
    x->worker = worker;
    list_init(&x->link);
    deadline_init(&x->deadline, on_due);
    deadline_init(&x->total, on_overdue);
    arena_init(&x->arena, ARENA_BLOCK_BYTES, 16 * max_head_bytes + 65536);
    buf_init(&x->head_bytes, max_head_bytes + WORKER_READ_BYTES);
    buf_init(&x->response_bytes, max_head_bytes + WORKER_READ_BYTES + EXCHANGE_MAX_HELD_BYTES);
    buf_init(&x->kept, EXCHANGE_MAX_KEPT_BYTES + max_head_bytes + 2 * WORKER_READ_BYTES);
    return x;
}

/* Eight random bytes, of which the low halves count, as eight hexadecimal digits. */
static void write_digits(char *out, uint64_t bytes)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t digits = bytes & ones * 15;
    uint64_t letters = (digits + ones * 6) >> 4 & ones; /* 1 in the bytes of 10 and more */
    digits += ones * '0' + letters * ('a' - '0' - 10);
    memcpy(out, &digits, sizeof(digits));
}

static void write_request_id(struct exchange *x)
{
    for (size_t at = 0; at < sizeof(x->request_id); at += 16) {
        uint64_t bits = random_next(&x->worker->random);
        write_digits(x->request_id + at, bits);
        write_digits(x->request_id + at + 8, bits >> 4);
    }
}

struct exchange *exchange_begin(struct client *client)
{
    struct worker *worker = client->conn->worker;
    struct exchange *x = make(worker);
    if (!x)
        return NULL;
    memset(&x->client, 0, offsetof(struct exchange, answer) - offsetof(struct exchange, client));
    x->client = client;
    x->started_ms = worker_now(worker);
    write_request_id(x);
    request_begin(x);
    if (worker->settings.request_timeout_ms)
        deadline_set(&worker->wheel, &x->total, worker->settings.request_timeout_ms);
    worker_count(&worker->stats.exchanges_active, 1);
    return x;
}

void exchange_destroy(struct exchange *x)
{
    deadline_stop(&x->worker->wheel, &x->deadline);
    deadline_stop(&x->worker->wheel, &x->total);
    arena_deinit(&x->arena);
    buf_deinit(&x->head_bytes);
    buf_deinit(&x->response_bytes);
    buf_deinit(&x->kept);
    free(x);
}

/* Small buffers stay for the next exchange. */
static void empty_buffer(struct buf *buf)
{
    if (buf->capacity > MAX_SPARE_BUFFER_BYTES)
        buf_deinit(buf);
    else
        buf_clear(buf);
}

static void give_back(struct exchange *x)
{
    struct worker *worker = x->worker;
    list_remove(&x->link);
    deadline_clear(&x->total);
    try_leave(x, false);
    if (x->config)
        worker_release_config(worker, x->config);
    arena_reset(&x->arena);
    empty_buffer(&x->head_bytes);
    empty_buffer(&x->response_bytes);
    empty_buffer(&x->kept);
    if (!spare_list_keep(&worker->spare_exchanges, &x->link))
        exchange_destroy(x);
}

static void end(struct exchange *x)
{
    struct client *client = x->client;
    bool keep_alive = x->keep_client && x->request_part == REQUEST_DONE && !x->refused_status;
    bool has_unread = x->request_part != REQUEST_DONE || x->refused_status || x->is_tunnel;
    outcome_record(x);
    give_back(x);
    client->exchange = NULL;
    client->verbs->exchange_ended(client, keep_alive, has_unread);
}

/* Without a whole response. */
static void break_off(struct exchange *x)
{
    struct client *client = x->client;
    bool must_reset = x->is_client_gone || x->client_framing == HTTP_UNTIL_CLOSE;
    if (x->status == 0)
        x->status = STATUS_CLIENT_GONE;
    outcome_record(x);
    give_back(x);
    client->exchange = NULL;
    client->verbs->break_off(client, must_reset);
}

struct str exchange_client(const struct exchange *x)
{
    return x->client_address.len > 0 ? x->client_address : downstream_peer(x->client->conn);
}

/* --- running --- */

static void answer(struct exchange *x)
{
    if (x->refused_status)
        x->answer = (struct answer){
            .status = x->refused_status,
            .message = x->refused_message ? x->refused_message : answer_message(x->refused_status),
            .is_core = true};
    try_leave(x, false);
    list_remove(&x->link);
    response_answer(x);
    request_drop_rest(x);
}

/* What the client still sends is its own fault, all else the upstream's. */
static enum step_result end_overdue(struct exchange *x)
{
    x->is_overdue = false;
    if (x->step == STEP_INDEX_RESPOND && response_end_call(x, GRPC_DEADLINE_EXCEEDED)) {
        try_leave(x, false);
        return STEP_NEXT;
    }
    if (x->has_responded)
        return STEP_CUT;
    uint16_t status = x->request_part == REQUEST_DONE || x->is_grpc ? 504 : 408;
    x->answer = (struct answer){.status = status,
                                .message = answer_message(status),
                                .is_core = true,
                                .is_proxied = x->sent_ms > 0};
    try_leave_overdue(x);
    return STEP_ANSWER;
}

static enum step_result run_step(struct exchange *x)
{
    if (x->is_client_gone)
        return STEP_CUT;
    if (x->refused_status && !x->has_answered)
        return x->has_responded ? STEP_CUT : STEP_ANSWER;
    if (x->is_overdue)
        return end_overdue(x);
    return steps[x->step](x);
}

/* Goes on from the step that waited. The exchange may be gone afterwards. */
static void run(struct exchange *x)
{
    for (;;) {
        switch (run_step(x)) {
        case STEP_NEXT:
            x->step++;
            break;
        case STEP_WAIT:
            settle(x);
            if (!x->is_client_gone && !x->has_failed)
                return;
            break;
        case STEP_RETRY:
            x->step = STEP_INDEX_PICK;
            break;
        case STEP_ANSWER:
            answer(x);
            x->step = STEP_INDEX_FINISH;
            break;
        case STEP_CUT:
            break_off(x);
            return;
        case STEP_DONE:
            end(x);
            return;
        }
    }
}

/* --- what happens --- */

void exchange_client_bytes(struct exchange *x, const char *bytes, size_t len)
{
    request_take(x, bytes, len);
    run(x);
}

void exchange_client_head(struct exchange *x, const struct http2_head *head, bool is_last)
{
    request_take_head(x, head, is_last);
    run(x);
}

void exchange_client_content(struct exchange *x, const char *bytes, size_t len)
{
    request_take_content(x, str_make(bytes, len));
    run(x);
}

void exchange_client_request_ended(struct exchange *x, struct str trailers)
{
    request_take_end(x, trailers);
    run(x);
}

void exchange_client_ended(struct exchange *x, int error)
{
    x->has_client_ended = true;
    if (x->is_tunnel)
        tunnel_client_ended(x, error);
    else if (error || x->request_part != REQUEST_DONE || x->is_pending)
        x->is_client_gone = true; /* to wait on would be for nobody, most likely */
    else if (!x->has_responded)
        deadline_set(&x->worker->wheel, &x->client->deadline, HALF_CLOSED_GRACE_MS);
    run(x);
}

void exchange_client_drained(struct exchange *x, int error)
{
    if (error)
        x->is_client_gone = true;
    run(x);
}

void exchange_client_timed_out(struct exchange *x)
{
    x->is_client_too_slow = client_queued(x->client) > 0;
    if (x->is_client_too_slow || x->has_client_ended)
        x->is_client_gone = true;
    else
        exchange_refuse(x, 408, "the request did not come in time");
    run(x);
}

void exchange_connected(struct exchange *x, int error, const char *reason)
{
    deadline_clear(&x->deadline);
    if (error)
        try_fail(x, TRY_CONNECT_FAILED, reason ? 0 : error, reason);
    run(x);
}

void exchange_upstream_bytes(struct exchange *x, const char *bytes, size_t len)
{
    if (x->hedge)
        hedge_cancel(x);
    response_take(x, bytes, len);
    run(x);
}

bool exchange_upstream_readable(struct exchange *x)
{
    bool has_moved = response_move(x);
    if (has_moved)
        run(x);
    return has_moved;
}

void exchange_upstream_head(struct exchange *x, const struct http2_head *head, bool is_last)
{
    response_take_head(x, head, is_last);
    run(x);
}

void exchange_upstream_content(struct exchange *x, const char *bytes, size_t len)
{
    response_take_content(x, str_make(bytes, len));
    run(x);
}

void exchange_upstream_response_ended(struct exchange *x, struct str trailers)
{
    response_take_end(x, trailers);
    run(x);
}

void exchange_upstream_gone(struct exchange *x, int error, const char *reason)
{
    response_upstream_gone(x, error, reason);
    run(x);
}

void exchange_upstream_ended(struct exchange *x, int error)
{
    response_upstream_ended(x, error);
    run(x);
}

/* That writing failed is no news of its own: what the upstream has responded, or the end, is. */
void exchange_upstream_drained(struct exchange *x, int error)
{
    if (error)
        x->is_send_broken = true;
    else if (x->is_tunnel)
        tunnel_upstream_drained(x);
    run(x);
}

void exchange_endpoints_changed(struct exchange *x)
{
    run(x);
}

void exchange_target_left(struct exchange *x)
{
    bool is_connecting = x->step == STEP_INDEX_LEASE &&
                         ((x->upstream && x->upstream->state == UPSTREAM_CONNECTING) || x->lane);
    if (!is_connecting || !atomic_load_explicit(&x->pool->target->gone, memory_order_relaxed))
        return;
    try_fail(x, TRY_CONNECT_FAILED, 0, "the target left before it was reached");
    run(x);
}

void exchange_cut(struct exchange *x)
{
    x->is_client_gone = true;
    run(x);
}
