#include "proxy/multiplex.h"

#include <stdlib.h>

#include "base/log.h"
#include "http/http2.h"
#include "proxy/client.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/worker_core.h"

/* Frames at one go: whole records of TLS, as many as leave together. What the kernel has not taken
 * waits in front of the rest. */
#define SEND_BYTES (5 * 16384u)
/* More than this waits for the kernel: no frame is made. */
#define MAX_QUEUED_BYTES 65536u
/* How long a client has to notice that the node is stopping, before that is final. */
#define FAREWELL_MS 1000
#define TOO_SLOW_STATUS 408 /* as HTTP/1's clients are counted */

/* What the connection's deadline is for; which one follows from the state alone. */
enum watch {
    WATCH_NOTHING = 0,
    WATCH_OUTPUT, /* some of what waits for the kernel has to be taken */
    WATCH_HEAD,   /* a head, or the client's preface and settings, has to become whole */
    WATCH_IDLE,   /* a request has to come */
};

struct multiplex {
    struct downstream *conn; /* owner */
    struct worker *worker;
    struct http2_session *session; /* owned */
    struct list dirty;             /* worker->dirty_multiplexes */
    struct list streams;
    struct deadline farewell;
    enum watch watch;
    uint64_t sent_bytes;  /* to the stream */
    uint64_t moved_bytes; /* mark: what the kernel had taken when the deadline was set */
    bool is_waiting;      /* counted so: nothing is under way */
    bool is_stopping;
};

/* One request: its exchange's client. */
struct multiplex_stream {
    struct client client;
    struct http2_stream stream;
    struct multiplex *multiplex;
    struct list link;
};

static void mark_dirty(struct multiplex *multiplex)
{
    struct worker *worker = multiplex->worker;
    if (list_is_linked(&multiplex->dirty))
        return;
    if (list_is_empty(&worker->dirty_multiplexes))
        worker_flush_soon(worker);
    list_push_back(&worker->dirty_multiplexes, &multiplex->dirty);
}

/* --- a stream as client --- */

static struct multiplex_stream *of_client(struct client *client)
{
    return LIST_ENTRY(client, struct multiplex_stream, client);
}

static struct multiplex_stream *of_stream(struct http2_stream *stream)
{
    return LIST_ENTRY(stream, struct multiplex_stream, stream);
}

static void forget_stream(struct multiplex_stream *one)
{
    mark_dirty(one->multiplex);
    deadline_stop(&one->multiplex->worker->wheel, &one->client.deadline);
    http2_stream_release(&one->stream);
    list_remove(&one->link);
    free(one);
}

static int write_part(struct client *client, const struct client_part *part)
{
    struct http2_stream *stream = &of_client(client)->stream;
    bool is_empty = part->total == 0 && part->trailers.len == 0;
    int rc = 0;
    mark_dirty(of_client(client)->multiplex);
    if (part->head.len > 0)
        rc = http2_stream_head(stream, part->head, part->is_interim, part->is_last && is_empty);
    if (rc == 0 && part->total > 0)
        rc = http2_stream_content(stream, part->pieces, part->count);
    if (rc == 0 && part->is_last)
        rc = http2_stream_end(stream, part->trailers);
    return rc;
}

static int read_on(struct client *client, bool is_wanted)
{
    http2_stream_read(&of_client(client)->stream, is_wanted);
    mark_dirty(of_client(client)->multiplex);
    return 0;
}

static void on_exchange_ended(struct client *client, bool keep_alive, bool has_unread)
{
    (void)keep_alive, (void)has_unread; /* the session knows what has come */
    forget_stream(of_client(client));
}

/* must_reset: the client is at fault, or the node stops. */
static void on_break_off(struct client *client, bool must_reset)
{
    http2_stream_reset(&of_client(client)->stream,
                       must_reset ? HTTP2_CANCEL : HTTP2_INTERNAL_ERROR);
    forget_stream(of_client(client));
}

static const struct client_verbs verbs = {
    .write = write_part,
    .read = read_on,
    .exchange_ended = on_exchange_ended,
    .break_off = on_break_off,
};

static void on_stream_due(struct timer_node *node)
{
    struct client *client = LIST_ENTRY(node, struct client, deadline.node);
    if (deadline_has_passed(&client->conn->worker->wheel, &client->deadline))
        exchange_client_timed_out(client->exchange);
}

/* --- what the session tells --- */

static struct multiplex_stream *open_stream(struct multiplex *multiplex, int32_t id)
{
    struct multiplex_stream *one = calloc(1, sizeof(*one));
    if (!one)
        return NULL;
    one->multiplex = multiplex;
    one->client = (struct client){
        .verbs = &verbs,
        .conn = multiplex->conn,
        .queued = &one->stream.queued,
        .is_reading = &one->stream.is_reading,
    };
    deadline_init(&one->client.deadline, on_stream_due);
    list_push_back(&multiplex->streams, &one->link);
    http2_stream_open(multiplex->session, &one->stream, id);
    one->client.exchange = exchange_begin(&one->client);
    if (one->client.exchange)
        return one;
    forget_stream(one);
    return NULL;
}

static void on_request(void *owner, int32_t id, const struct http2_head *head, bool is_last)
{
    struct multiplex *multiplex = owner;
    struct multiplex_stream *one = open_stream(multiplex, id);
    if (multiplex->watch != WATCH_OUTPUT) { /* it may be over before anyone looks */
        multiplex->watch = WATCH_NOTHING;
        deadline_clear(&multiplex->conn->client.deadline);
    }
    if (one)
        exchange_client_head(one->client.exchange, head, is_last);
    else
        http2_refuse(multiplex->session, id);
}

static void on_content(struct http2_stream *stream, const char *bytes, size_t len)
{
    exchange_client_content(of_stream(stream)->client.exchange, bytes, len);
}

static void on_request_end(struct http2_stream *stream, struct str trailers)
{
    exchange_client_request_ended(of_stream(stream)->client.exchange, trailers);
}

static void on_stream_drained(struct http2_stream *stream)
{
    exchange_client_drained(of_stream(stream)->client.exchange, 0);
}

static void on_stream_gone(struct http2_stream *stream)
{
    exchange_cut(of_stream(stream)->client.exchange);
}

static void on_violation(void *owner, const char *reason, bool is_fatal)
{
    struct multiplex *multiplex = owner;
    tally_count(&multiplex->worker->stats.refused, 400, str_of(reason));
    if (outcome_may_log(multiplex->worker))
        log_info(is_fatal ? "HTTP/2 connection refused" : "bad HTTP/2 frame",
                 LOG_CSTR("reason", reason), LOG_STR("client", downstream_peer(multiplex->conn)));
}

static const struct http2_events events = {
    .on_request = on_request,
    .on_content = on_content,
    .on_request_end = on_request_end,
    .on_drained = on_stream_drained,
    .on_gone = on_stream_gone,
    .on_violation = on_violation,
};

/* --- time-outs --- */

static uint64_t moved_bytes(const struct multiplex *multiplex)
{
    return multiplex->sent_bytes - stream_queued(&multiplex->conn->stream);
}

static enum watch choose_watch(const struct multiplex *multiplex)
{
    if (stream_queued(&multiplex->conn->stream) > 0)
        return WATCH_OUTPUT;
    if (http2_is_within_head(multiplex->session) || !http2_is_greeted(multiplex->session))
        return WATCH_HEAD;
    return http2_stream_count(multiplex->session) == 0 ? WATCH_IDLE : WATCH_NOTHING;
}

/* Each time runs from when its state began, but for the output's: a client that takes more than a
 * little within it gets as much again. */
static void watch(struct multiplex *multiplex)
{
    const struct worker_settings *settings = &multiplex->worker->settings;
    const uint32_t timeouts_ms[] = {
        [WATCH_OUTPUT] = settings->client_body_timeout_ms,
        [WATCH_HEAD] = settings->client_header_timeout_ms,
        [WATCH_IDLE] = settings->client_idle_timeout_ms,
    };
    enum watch wanted = choose_watch(multiplex);
    bool has_moved = wanted == WATCH_OUTPUT && moved_bytes(multiplex) - multiplex->moved_bytes >=
                                                   settings->client_progress_bytes;
    if (wanted == multiplex->watch && !has_moved)
        return;
    multiplex->watch = wanted;
    multiplex->moved_bytes = moved_bytes(multiplex);
    if (wanted == WATCH_NOTHING)
        deadline_clear(&multiplex->conn->client.deadline);
    else
        deadline_set(&multiplex->worker->wheel, &multiplex->conn->client.deadline,
                     timeouts_ms[wanted]);
}

static void refuse_slow(struct multiplex *multiplex, const char *reason)
{
    tally_count(&multiplex->worker->stats.refused, TOO_SLOW_STATUS, str_of(reason));
    if (outcome_may_log(multiplex->worker))
        log_info("client let go", LOG_CSTR("reason", reason),
                 LOG_STR("client", downstream_peer(multiplex->conn)));
}

void multiplex_timed_out(struct multiplex *multiplex)
{
    switch (multiplex->watch) {
    case WATCH_OUTPUT:
        if (moved_bytes(multiplex) - multiplex->moved_bytes >=
            multiplex->worker->settings.client_progress_bytes) {
            watch(multiplex);
            return;
        }
        refuse_slow(multiplex, "the response was not taken in time");
        downstream_abort(multiplex->conn);
        return;
    case WATCH_HEAD:
        refuse_slow(multiplex, "the request did not come in time");
        multiplex_close(multiplex);
        return;
    default:
        multiplex_close(multiplex);
        return;
    }
}

static void on_farewell_due(struct timer_node *node)
{
    struct multiplex *multiplex = LIST_ENTRY(node, struct multiplex, farewell.node);
    if (!deadline_has_passed(&multiplex->worker->wheel, &multiplex->farewell))
        return;
    deadline_clear(&multiplex->farewell);
    http2_goaway(multiplex->session);
    mark_dirty(multiplex);
}

/* --- sending --- */

static bool is_taken(const struct multiplex *multiplex)
{
    return stream_queued(&multiplex->conn->stream) == 0;
}

static int send_frames(struct multiplex *multiplex)
{
    struct worker *worker = multiplex->worker;
    for (;;) {
        http2_tell(multiplex->session);
        if (stream_queued(&multiplex->conn->stream) >= MAX_QUEUED_BYTES)
            return 0;
        size_t most = worker->scratch_bytes < SEND_BYTES ? worker->scratch_bytes : SEND_BYTES;
        size_t len = http2_send(multiplex->session, worker->scratch, most);
        if (len == 0 && !http2_has_news(multiplex->session))
            return 0;
        if (len == 0)
            continue;
        uv_buf_t piece = uv_buf_init(worker->scratch, (unsigned)len);
        int rc = stream_write(&multiplex->conn->stream, &piece, 1);
        if (rc)
            return rc;
        multiplex->sent_bytes += len;
    }
}

static void count_waiting(struct multiplex *multiplex)
{
    bool is_waiting = http2_stream_count(multiplex->session) == 0;
    if (is_waiting == multiplex->is_waiting)
        return;
    multiplex->is_waiting = is_waiting;
    worker_count(&multiplex->worker->stats.connections_waiting, is_waiting ? 1 : -1);
    if (is_waiting)
        http2_rest(multiplex->session);
}

/* The connection may be gone afterwards. */
static void flush(struct multiplex *multiplex)
{
    struct downstream *conn = multiplex->conn;
    if (multiplex->is_stopping && http2_is_goaway_known(multiplex->session))
        http2_goaway(multiplex->session);
    if (send_frames(multiplex)) {
        downstream_close(conn);
        return;
    }
    if (http2_is_over(multiplex->session) && is_taken(multiplex)) {
        downstream_finish(conn);
        return;
    }
    count_waiting(multiplex);
    watch(multiplex);
}

void multiplex_flush_all(struct worker *worker)
{
    while (!list_is_empty(&worker->dirty_multiplexes)) {
        struct list *link = worker->dirty_multiplexes.next;
        list_remove(link);
        flush(LIST_ENTRY(link, struct multiplex, dirty));
    }
}

/* --- what happens --- */

/* What nghttp2 could not go on from: its last word is ours to say. */
static void fail(struct multiplex *multiplex)
{
    struct downstream *conn = multiplex->conn;
    char goaway[HTTP2_GOAWAY_BYTES];
    size_t len = http2_write_goaway(multiplex->session, goaway);
    uv_buf_t piece = uv_buf_init(goaway, (unsigned)len);
    if (len > 0 && stream_write(&conn->stream, &piece, 1) == 0 && is_taken(multiplex))
        downstream_finish(conn);
    else
        downstream_close(conn);
}

void multiplex_take(struct multiplex *multiplex, const char *bytes, size_t len)
{
    if (http2_receive(multiplex->session, bytes, len, worker_now(multiplex->worker)))
        fail(multiplex);
    else
        mark_dirty(multiplex);
}

void multiplex_drained(struct multiplex *multiplex)
{
    mark_dirty(multiplex);
}

void multiplex_target_left(struct multiplex *multiplex)
{
    LIST_EACH(link, &multiplex->streams)
    {
        exchange_target_left(LIST_ENTRY(link, struct multiplex_stream, link)->client.exchange);
    }
}

bool multiplex_is_idle(const struct multiplex *multiplex)
{
    return http2_is_greeted(multiplex->session) && http2_stream_count(multiplex->session) == 0 &&
           !http2_is_within_head(multiplex->session);
}

void multiplex_stop(struct multiplex *multiplex)
{
    multiplex->is_stopping = true;
    http2_announce_goaway(multiplex->session);
    deadline_set(&multiplex->worker->wheel, &multiplex->farewell, FAREWELL_MS);
    mark_dirty(multiplex);
}

void multiplex_close(struct multiplex *multiplex)
{
    struct downstream *conn = multiplex->conn;
    http2_end(multiplex->session, HTTP2_NO_ERROR);
    if (send_frames(multiplex) == 0 && is_taken(multiplex))
        downstream_finish(conn);
    else
        downstream_close(conn);
}

static void cut_streams(struct multiplex *multiplex)
{
    while (!list_is_empty(&multiplex->streams))
        exchange_cut(
            LIST_ENTRY(multiplex->streams.next, struct multiplex_stream, link)->client.exchange);
}

void multiplex_cut(struct multiplex *multiplex)
{
    struct downstream *conn = multiplex->conn;
    cut_streams(multiplex);
    if (send_frames(multiplex)) /* the resets, which the connection's end would swallow */
        downstream_close(conn);
    else
        multiplex_close(multiplex);
}

/* --- the beginning and the end --- */

int multiplex_begin(struct downstream *conn)
{
    struct worker *worker = conn->worker;
    struct multiplex *multiplex = calloc(1, sizeof(*multiplex));
    if (!multiplex)
        return UV_ENOMEM;
    int rc = http2_session_create(&events, multiplex, worker->settings.max_head_bytes,
                                  worker_now(worker), &multiplex->session);
    if (rc) {
        free(multiplex);
        return rc;
    }
    multiplex->conn = conn;
    multiplex->worker = worker;
    multiplex->is_waiting = true; /* as its downstream was */
    list_init(&multiplex->dirty);
    list_init(&multiplex->streams);
    deadline_init(&multiplex->farewell, on_farewell_due);
    conn->multiplex = multiplex;
    metrics_add(&worker->stats.http2_connections, 1);
    if (worker->state != WORKER_RUNNING)
        multiplex_stop(multiplex);
    mark_dirty(multiplex);
    return 0;
}

void multiplex_destroy(struct multiplex *multiplex)
{
    cut_streams(multiplex);
    if (multiplex->is_waiting)
        worker_count(&multiplex->worker->stats.connections_waiting, -1);
    list_remove(&multiplex->dirty);
    deadline_stop(&multiplex->worker->wheel, &multiplex->farewell);
    http2_session_destroy(multiplex->session);
    free(multiplex);
}
