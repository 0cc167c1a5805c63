#include "admin/connection.h"

#include <assert.h>
#include <stdlib.h>

#include "admin/answer.h"
#include "admin/audit.h"
#include "admin/dispatch.h"
#include "admin/endpoints.h"
#include "admin/event_stream.h"
#include "admin/guard.h"
#include "admin/problem.h"
#include "admin/request.h"
#include "admin/request_reader.h"
#include "admin/server.h"
#include "base/log.h"
#include "discovery/registry.h"
#include "net/ip.h"
#include "net/tls.h"

/*   IDLE -- a byte --> HEAD -- its end --> BODY -- its end --> ANSWERING -- sent --> IDLE
 *                       |                   |                              or LINGERING --> closed
 *                       +-- refused --------+--> ANSWERING --> STREAMING --> closed
 *
 * LINGERING: our side is closed for writing; what still comes is thrown away, so that the client
 * reads its answer before a reset can overtake it. */
enum connection_state {
    STATE_IDLE = 0,
    STATE_HEAD,
    STATE_BODY,
    STATE_ANSWERING,
    STATE_LINGERING,
    STATE_STREAMING, /* events, until either side closes */
};

#define IDLE_TIMEOUT_MS 60000
#define HANDSHAKE_TIMEOUT_MS 10000
#define REQUEST_TIMEOUT_MS 60000 /* from a request's first byte to its last */
#define SEND_TIMEOUT_MS 60000
#define LINGER_TIMEOUT_MS 1000
#define STREAM_KEEP_ALIVE_MS 15000

struct connection {
    struct stream stream; /* first: its callbacks turn it back */
    uv_timer_t timer;
    union ip_address peer;
    struct list link; /* on the set's idle or busy */
    struct connection_set *set;
    enum connection_state state;
    uint64_t since_ms; /* in it */
    bool is_closing;
    unsigned open_handles;
    struct request_reader reader;

    /* The request under way. */
    struct admin_request *request; /* owned, but for the time that a handler has it */
    uint64_t started_ns;
    bool keep; /* the connection, after this answer */
    struct event_stream events;

    char answer_head[ANSWER_MAX_HEAD_BYTES];
};

static void advance(struct connection *conn);

/* ---- closing ---- */

static void free_when_closed(struct connection *conn)
{
    if (--conn->open_handles > 0)
        return;
    struct connection_set *set = conn->set;
    request_reader_deinit(&conn->reader);
    free(conn);
    set->count--;
    set->on_freed(set);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free_when_closed(handle->data);
}

static void on_closed(struct stream *stream)
{
    free_when_closed((struct connection *)stream);
}

static void connection_close(struct connection *conn)
{
    if (conn->is_closing)
        return;
    conn->is_closing = true;
    list_remove(&conn->link);
    event_stream_end(&conn->events);
    if (conn->request && conn->state == STATE_ANSWERING)
        conn->request->connection = NULL; /* an orphan: it ends with its answer */
    else
        admin_request_destroy(conn->request);
    conn->request = NULL;
    uv_close((uv_handle_t *)&conn->timer, on_timer_closed);
    stream_close(&conn->stream);
}

bool connection_close_idle(struct connection_set *set)
{
    if (list_is_empty(&set->idle))
        return false;
    connection_close(LIST_ENTRY(set->idle.next, struct connection, link));
    return true;
}

static bool waits_for_its_client(const struct connection *conn)
{
    return conn->state == STATE_IDLE || conn->state == STATE_HEAD || conn->state == STATE_BODY;
}

bool connection_evict(struct connection_set *set)
{
    struct connection *oldest = NULL;
    if (!list_is_empty(&set->idle))
        oldest = LIST_ENTRY(set->idle.next, struct connection, link);
    LIST_EACH(node, &set->busy)
    {
        struct connection *conn = LIST_ENTRY(node, struct connection, link);
        if (waits_for_its_client(conn) && (!oldest || conn->since_ms <= oldest->since_ms))
            oldest = conn;
    }
    if (!oldest)
        return false;
    if (oldest->state != STATE_IDLE)
        log_notice("Admin API: an unfinished request gave way to a new connection");
    connection_close(oldest);
    return true;
}

void connection_close_all(struct connection_set *set)
{
    while (connection_close_idle(set))
        ;
    LIST_EACH(node, &set->busy)
    {
        connection_close(LIST_ENTRY(node, struct connection, link));
    }
}

/* ---- states ---- */

static void on_timeout(uv_timer_t *timer);

static void turn_to(struct connection *conn, enum connection_state state)
{
    static const uint64_t timeouts_ms[] = {
        [STATE_IDLE] = IDLE_TIMEOUT_MS,
        [STATE_HEAD] = REQUEST_TIMEOUT_MS,
        [STATE_BODY] = 0,      /* the head's goes on */
        [STATE_ANSWERING] = 0, /* a write takes what it takes; send() sets its own */
        [STATE_LINGERING] = LINGER_TIMEOUT_MS,
        [STATE_STREAMING] = STREAM_KEEP_ALIVE_MS,
    };
    assert(state != STATE_BODY || conn->state == STATE_HEAD);
    assert(conn->state != STATE_LINGERING);
    conn->state = state;
    conn->since_ms = uv_now(conn->set->loop);
    list_remove(&conn->link);
    bool may_be_closed = state == STATE_IDLE || state == STATE_STREAMING;
    list_push_back(may_be_closed ? &conn->set->idle : &conn->set->busy, &conn->link);
    if (timeouts_ms[state] > 0)
        uv_timer_start(&conn->timer, on_timeout, timeouts_ms[state], 0);
    else if (state == STATE_ANSWERING)
        uv_timer_stop(&conn->timer);
}

/* ---- answers ---- */

static void start_reading(struct connection *conn)
{
    if (stream_start_reading(&conn->stream) != 0)
        connection_close(conn);
}

static void linger(struct connection *conn)
{
    request_reader_drop(&conn->reader);
    turn_to(conn, STATE_LINGERING);
    stream_end_writing(&conn->stream);
    start_reading(conn);
}

static void on_sent(struct connection *conn)
{
    if (!conn->keep || conn->set->is_closing) {
        linger(conn);
        return;
    }
    request_reader_trim(&conn->reader);
    turn_to(conn, STATE_IDLE);
    advance(conn);
}

/* From the loop, so that a thousand requests that came together need no thousand stack frames. */
static void on_sent_at_once(uv_timer_t *timer)
{
    on_sent(timer->data);
}

static void on_drained(struct stream *stream, int error)
{
    struct connection *conn = (struct connection *)stream;
    if (error)
        connection_close(conn);
    else if (conn->state == STATE_ANSWERING)
        on_sent(conn);
}

/* Sends head and body, which it frees. */
static void send_answer(struct connection *conn, struct answer *answer, char *body, bool with_body)
{
    if (conn->set->is_closing || conn->set->is_full)
        conn->keep = false;
    answer->keep_alive = conn->keep;
    answer->latency_ms = (uv_hrtime() - conn->started_ns) / 1000000;
    answer->allowed_origin = admin_guard_allowed_origin(
        conn->set->node->guard, conn->reader.kept.origin, &answer->varies_by_origin);
    answer->wanted_headers = conn->reader.kept.wanted_headers;
    uv_buf_t bufs[2] = {
        uv_buf_init(conn->answer_head, (unsigned)answer_write_head(answer, conn->answer_head)),
        uv_buf_init(body, with_body ? (unsigned)answer->body_len : 0),
    };
    int rc = stream_write(&conn->stream, bufs, bufs[1].len > 0 ? 2 : 1);
    free(body);
    if (rc != 0)
        connection_close(conn);
    else if (stream_queued(&conn->stream) > 0)
        uv_timer_start(&conn->timer, on_timeout, SEND_TIMEOUT_MS, 0);
    else
        uv_timer_start(&conn->timer, on_sent_at_once, 0, 0);
}

/* The text of the answer's body; an object that jansson can't print is our mistake. */
static char *body_text(struct admin_request *request, size_t *ret_len)
{
    char *text = request->body ? json_dumps(request->body, ENTITY_DUMP_FLAGS) : NULL;
    *ret_len = text ? strlen(text) : 0;
    return text;
}

/* Where the client wants to go on from; by default from now. */
static uint64_t stream_start(const struct connection *conn, const struct admin_request *request,
                             const struct events *events)
{
    uint64_t last;
    if (request->has_events_after)
        return request->events_after;
    return str_to_u64(conn->reader.kept.last_event_id, &last) ? last : events->next - 1;
}

static void begin_stream(struct connection *conn, struct admin_request *request)
{
    struct events *events = registry_events(request->node->registry);
    uint64_t after = stream_start(conn, request, events);
    admin_request_destroy(request);
    if (conn->set->is_closing) {
        connection_close(conn);
        return;
    }
    turn_to(conn, STATE_STREAMING);
    bool varies;
    event_stream_begin(
        &conn->events, &conn->stream, events, after,
        admin_guard_allowed_origin(conn->set->node->guard, conn->reader.kept.origin, &varies));
    start_reading(conn);
}

static void on_answered(struct admin_request *request)
{
    struct connection *conn = request->connection;
    audit_tell(request);
    if (!conn) { /* the client went away meanwhile */
        admin_request_destroy(request);
        return;
    }
    assert(conn->request == request && conn->state == STATE_ANSWERING);
    conn->request = NULL;
    if (request->wants_events && !request->is_head) {
        begin_stream(conn, request);
        return;
    }

    char allow[ADMIN_ALLOW_BYTES];
    struct answer answer = {.status = request->status};
    bool shows_allow =
        request->endpoint && (request->status == 405 || request->method == ADMIN_OPTIONS);
    if (shows_allow) {
        admin_endpoint_allow(request->endpoint, allow);
        answer.allow = allow;
        answer.is_preflight = request->method == ADMIN_OPTIONS;
    }
    answer.retry_after_s = request->is_temporary ? ANSWER_RETRY_AFTER_S : 0;
    answer.behind = request->behind;
    char *text = request->text;
    answer.body_len = request->text_len;
    answer.type = request->text_type;
    if (text)
        request->text = NULL;
    else
        text = body_text(request, &answer.body_len);
    send_answer(conn, &answer, text, !request->is_head);
    admin_request_destroy(request);
}

/* What the server itself refuses: the connection can't go on. */
static void refuse_with(struct connection *conn, struct answer *answer, const char *message)
{
    bool with_body = !conn->request || !conn->request->is_head;
    turn_to(conn, STATE_ANSWERING);
    stream_stop_reading(&conn->stream);
    admin_request_destroy(conn->request);
    conn->request = NULL;
    conn->keep = false;
    json_t *problem = admin_problem_message(message);
    char *text = problem ? json_dumps(problem, ENTITY_DUMP_FLAGS) : NULL;
    json_decref(problem);
    answer->body_len = text ? strlen(text) : 0;
    send_answer(conn, answer, text, with_body);
}

static void refuse_saying(struct connection *conn, int status, const char *message)
{
    refuse_with(conn, &(struct answer){.status = status}, message);
}

static void refuse(struct connection *conn, int status)
{
    refuse_saying(conn, status, admin_problem_of_status(status));
}

static void on_timeout(uv_timer_t *timer)
{
    struct connection *conn = timer->data;
    if (conn->state == STATE_HEAD || conn->state == STATE_BODY)
        refuse(conn, 408);
    else if (conn->state == STATE_STREAMING && event_stream_keep_alive(&conn->events))
        uv_timer_start(&conn->timer, on_timeout, STREAM_KEEP_ALIVE_MS, 0);
    else
        connection_close(conn);
}

/* ---- requests ---- */

static const char *action_of(const struct admin_request *request, bool *ret_is_write)
{
    *ret_is_write = false;
    if (request->method == ADMIN_GET || request->method == ADMIN_OPTIONS ||
        admin_request_only_reads(request))
        return "read";
    *ret_is_write = true;
    return request->method == ADMIN_POST     ? "create"
           : request->method == ADMIN_DELETE ? "delete"
                                             : "update";
}

/* Before anything of a body is taken. False when the request has been refused. */
static bool ask_guard(struct connection *conn)
{
    struct admin_request *request = conn->request;
    struct admin_guard *guard = conn->set->node->guard;
    if (!guard)
        return true;
    struct guard_question question = {
        .from = &conn->peer,
        .kong_admin_token = conn->reader.kept.kong_admin_token,
        .authorization = conn->reader.kept.authorization,
        .origin = conn->reader.kept.origin,
        .is_preflight = request->method == ADMIN_OPTIONS,
        .now_ms = uv_now(conn->set->loop),
    };
    struct guard_verdict verdict;
    question.action = action_of(request, &question.is_write);
    admin_guard_ask(guard, &question, &verdict);
    if (verdict.status) {
        struct answer answer = {.status = verdict.status,
                                .challenge = verdict.challenge,
                                .retry_after_s = verdict.status == 429 ? 1 : 0};
        refuse_with(conn, &answer, verdict.message);
        return false;
    }
    request->is_audited = admin_guard_audits(guard);
    request->hides_secrets = verdict.hides_secrets;
    uv_ip_name((const struct sockaddr *)&conn->peer, request->client, sizeof(request->client));
    if (verdict.name[0])
        memcpy(request->caller, verdict.name, sizeof(request->caller));
    else
        tls_peer_name(&conn->stream, request->caller, sizeof(request->caller));
    return true;
}

/* Makes a request of the head. False when it has been refused. */
static bool take_head(struct connection *conn)
{
    const struct http_head *head = &conn->reader.head;
    conn->keep = head->keep_alive;
    if (tls_is_misdirected(&conn->stream)) {
        refuse_saying(conn, 400, "The plain HTTP request was sent to HTTPS port");
        return false;
    }

    if (admin_request_create(&conn->request) != 0) {
        conn->request = NULL;
        refuse(conn, 500);
        return false;
    }
    struct admin_request *request = conn->request;
    admin_request_set_method(request, head->method);
    request->node = conn->set->node;
    request->endpoints = admin_endpoints_ref(conn->set->endpoints);
    request->connection = conn;
    request->answered = on_answered;
    int rc = admin_request_set_target(request, http_span_str(head, head->target));
    if (rc != 0) {
        if (rc == UV_E2BIG)
            refuse_saying(conn, 400, "Too many arguments");
        else
            refuse(conn, rc == UV_EINVAL ? 400 : 500);
        return false;
    }
    if (!ask_guard(conn))
        return false;
    if (request_reader_is_too_long(&conn->reader)) {
        refuse(conn, 413);
        return false;
    }
    return true;
}

static void answer_request(struct connection *conn)
{
    turn_to(conn, STATE_ANSWERING);
    stream_stop_reading(&conn->stream);
    struct str body = request_reader_body(&conn->reader);
    admin_dispatch(conn->request, conn->reader.kept.content_type, (char *)(uintptr_t)body.ptr,
                   body.len);
}

/* ---- reading ---- */

static void read_head(struct connection *conn)
{
    int refused_status;
    switch (request_reader_read_head(&conn->reader, &refused_status)) {
    case HTTP1_MORE:
        return;
    case HTTP1_REFUSED:
        refuse(conn, refused_status);
        return;
    case HTTP1_DONE:
        break;
    }
    if (!take_head(conn))
        return;
    request_reader_end_head(&conn->reader);
    turn_to(conn, STATE_BODY);
}

/* Takes what has come of the body. False when it has been refused. */
static bool read_body(struct connection *conn)
{
    int refused_status = request_reader_read_body(&conn->reader);
    if (refused_status)
        refuse(conn, refused_status);
    return !refused_status;
}

static void begin_request(struct connection *conn)
{
    request_reader_begin(&conn->reader);
    conn->started_ns = uv_hrtime();
    turn_to(conn, STATE_HEAD);
}

/* Tells a client that waits for it to send the body. */
static void send_continue(struct connection *conn)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t bytes = uv_buf_init(text, sizeof(text) - 1);
    conn->reader.head.expects_continue = false;
    if (stream_write(&conn->stream, &bytes, 1) != 0)
        connection_close(conn);
}

/* Goes on with what has been read, up to the next answer or the end of the bytes. */
static void advance(struct connection *conn)
{
    /* Empty lines before a request are let pass (RFC 9112, section 2.2): llhttp does. */
    if (conn->state == STATE_IDLE && request_reader_has_bytes(&conn->reader))
        begin_request(conn);
    if (conn->state == STATE_HEAD)
        read_head(conn);
    if (conn->state == STATE_BODY && !read_body(conn))
        return;
    if (conn->state == STATE_BODY && http1_body_is_done(&conn->reader.parser)) {
        answer_request(conn);
        return;
    }
    if (conn->is_closing || conn->state == STATE_ANSWERING || conn->state == STATE_LINGERING ||
        conn->state == STATE_STREAMING)
        return;
    if (conn->state == STATE_BODY && request_reader_is_waited_for(&conn->reader))
        send_continue(conn);
    start_reading(conn);
}

static void on_bytes(struct stream *stream, const char *bytes, size_t len)
{
    struct connection *conn = (struct connection *)stream;
    if (conn->state == STATE_LINGERING || conn->state == STATE_STREAMING)
        return;
    if (request_reader_add(&conn->reader, bytes, len) != 0)
        connection_close(conn);
    else
        advance(conn);
}

static void on_end(struct stream *stream, int error)
{
    (void)error; /* whoever leaves before the answer doesn't want it */
    connection_close((struct connection *)stream);
}

static void on_secured(struct stream *stream, int error)
{
    struct connection *conn = (struct connection *)stream;
    if (error)
        connection_close(conn);
    else
        turn_to(conn, STATE_IDLE);
}

static const struct stream_events stream_events = {
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_closed = on_closed,
    .on_secured = on_secured,
};

int connection_accept(struct connection_set *set, uv_stream_t *listener, struct tls_server *tls)
{
    struct connection *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return UV_ENOMEM;
    int rc = stream_init(&conn->stream, set->loop, &stream_events, &set->buffer);
    if (rc != 0) {
        free(conn);
        return rc;
    }
    conn->set = set;
    conn->timer.data = conn;
    request_reader_init(&conn->reader, set->node->max_body_bytes);
    uv_timer_init(set->loop, &conn->timer);
    conn->open_handles = 2;
    set->count++;
    list_push_back(&set->busy, &conn->link);
    rc = uv_accept(listener, (uv_stream_t *)&conn->stream.tcp);
    if (rc == 0)
        rc = uv_tcp_nodelay(&conn->stream.tcp, 1);
    int peer_len = sizeof(conn->peer);
    if (rc == 0)
        rc = uv_tcp_getpeername(&conn->stream.tcp, (struct sockaddr *)&conn->peer, &peer_len);
    if (rc == 0 && tls)
        rc = tls_accept(&conn->stream, tls, false);
    if (rc != 0) {
        connection_close(conn);
        return rc;
    }
    turn_to(conn, STATE_IDLE);
    if (tls)
        uv_timer_start(&conn->timer, on_timeout, HANDSHAKE_TIMEOUT_MS, 0);
    advance(conn);
    return 0;
}
