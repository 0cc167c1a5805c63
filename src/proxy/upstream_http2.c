#include "proxy/upstream_http2.h"

#include <stdlib.h>

#include "base/log.h"
#include "http/http2_client.h"
#include "model/target_state.h"
#include "net/tls.h"
#include "proxy/exchange.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_pool.h"
#include "proxy/worker_core.h"

/* Frames at one go; what the kernel has not taken waits in front of the rest. */
#define SEND_BYTES 65536u
/* More than this waits for the kernel: no frame is made. */
#define MAX_QUEUED_BYTES 65536u

/* Servers take more resets than they like for an attack: of common ones Netty has the least
 * patience, with 200 in 30 seconds. Those of streams that are open by then come on top. */
#define MAX_RESETS 64
#define RESETS_WINDOW_MS 30000
/* A connection that has said nothing for this long to those who asked may be dead. */
#define MAX_SILENCE_MS 1000

struct upstream_http2 {
    struct upstream_conn *conn; /* owner */
    struct http2_session *session;
    struct list link;  /* its pool's */
    struct list dirty; /* worker->dirty_upstreams */
    struct list lanes;
    struct list failed; /* lanes that have been told so */
    unsigned lane_count;
    uint64_t heard_ms;
    uint64_t asked_ms; /* the first request since then was sent */
    uint64_t resets_since_ms;
    unsigned reset_count; /* of ours, within RESETS_WINDOW_MS from then on */
    bool is_connected;
    bool is_counted; /* in its slot, as one that is there for the taking while it is in use */
    bool is_leaving; /* no lane is added */
    bool is_mute;    /* writing has failed: what the target has said before is still to be read */
    bool is_dead;    /* nothing can be sent or comes */
};

static void mark_dirty(struct upstream_http2 *http2)
{
    struct worker *worker = http2->conn->worker;
    if (list_is_linked(&http2->dirty))
        return;
    worker_flush_soon(worker);
    list_push_back(&worker->dirty_upstreams, &http2->dirty);
}

static struct upstream_lane *of_stream(struct http2_stream *stream)
{
    return LIST_ENTRY(stream, struct upstream_lane, stream);
}

/* --- what the session tells --- */

static void on_response(struct http2_stream *stream, const struct http2_head *head, bool is_last)
{
    exchange_upstream_head(of_stream(stream)->exchange, head, is_last);
}

static void on_content(struct http2_stream *stream, const char *bytes, size_t len)
{
    exchange_upstream_content(of_stream(stream)->exchange, bytes, len);
}

static void on_response_end(struct http2_stream *stream, struct str trailers)
{
    exchange_upstream_response_ended(of_stream(stream)->exchange, trailers);
}

static void on_drained(struct http2_stream *stream)
{
    exchange_upstream_drained(of_stream(stream)->exchange, 0);
}

static void tell_failure(struct upstream_lane *lane, int error, const char *reason)
{
    lane->is_failed = true;
    list_remove(&lane->link);
    list_push_back(&lane->http2->failed, &lane->link);
    exchange_upstream_gone(lane->exchange, error, reason);
}

static void on_gone(struct http2_stream *stream)
{
    struct upstream_lane *lane = of_stream(stream);
    struct upstream_http2 *http2 = lane->http2;
    if (lane->is_failed)
        return;
    if (stream->is_refused && !http2_client_is_leaving(http2->session))
        http2_client_lower_limit(http2->session);
    tell_failure(lane, 0,
                 stream->is_refused  ? "the target refused the stream"
                 : stream->is_broken ? "the target broke HTTP/2's rules on the stream"
                                     : "the target reset the stream");
}

static void on_violation(void *owner, const char *reason, bool is_fatal)
{
    struct upstream_http2 *http2 = owner;
    if (is_fatal)
        http2->is_leaving = true;
    if (outcome_may_log(http2->conn->worker))
        log_warn("bad HTTP/2 from a target", LOG_CSTR("reason", reason),
                 LOG_CSTR("target", http2->conn->pool->target->name));
}

static const struct http2_events events = {
    .on_response = on_response,
    .on_content = on_content,
    .on_request_end = on_response_end,
    .on_drained = on_drained,
    .on_gone = on_gone,
    .on_violation = on_violation,
};

/* --- connections --- */

static int create(struct upstream_conn *conn, struct upstream_http2 **ret)
{
    const struct worker_settings *settings = &conn->worker->settings;
    struct upstream_http2 *http2 = calloc(1, sizeof(*http2));
    if (!http2)
        return UV_ENOMEM;
    int rc = http2_client_create(&events, http2, settings->max_head_bytes,
                                 settings->upstream_http2_streams, worker_now(conn->worker),
                                 &http2->session);
    if (rc) {
        free(http2);
        return rc;
    }
    http2->conn = conn;
    list_init(&http2->dirty);
    list_init(&http2->lanes);
    list_init(&http2->failed);
    list_push_front(&conn->pool->shared, &http2->link);
    metrics_add(&conn->worker->stats.upstream_http2, 1);
    *ret = http2;
    return 0;
}

/* For a limit of connections: one that has room is no reason to wait. */
static void count_room(struct upstream_http2 *http2, bool has_room)
{
    const struct upstream_pool *pool = http2->conn->pool;
    if (http2->is_counted == has_room)
        return;
    http2->is_counted = has_room;
    if (has_room)
        pool->target->slots[pool->worker->index].idle_connections++;
    else
        pool->target->slots[pool->worker->index].idle_connections--;
}

void upstream_http2_destroy(struct upstream_http2 *http2)
{
    count_room(http2, false);
    list_remove(&http2->link);
    list_remove(&http2->dirty);
    http2_session_destroy(http2->session);
    free(http2);
}

struct upstream_conn *upstream_http2_find_idle(const struct list *shared)
{
    LIST_EACH(link, shared)
    {
        struct upstream_http2 *http2 = LIST_ENTRY(link, struct upstream_http2, link);
        if (http2->conn->state == UPSTREAM_IDLE)
            return http2->conn;
    }
    return NULL;
}

/* Until it says how many streams it wants, a target is taken to want as many as it did before. */
static bool is_at_its_limit(const struct upstream_http2 *http2)
{
    uint32_t known = http2->conn->pool->shared_streams;
    return known > 0 && !http2_is_greeted(http2->session) && http2->lane_count >= known;
}

static bool has_room(const struct upstream_http2 *http2)
{
    const struct upstream_conn *conn = http2->conn;
    const struct worker_settings *settings = &conn->worker->settings;
    return !http2->is_leaving && !http2->is_dead &&
           conn->request_count < settings->upstream_max_requests &&
           http2->lane_count < settings->upstream_http2_streams && !is_at_its_limit(http2) &&
           http2_client_has_room(http2->session);
}

static void fail_all(struct upstream_http2 *http2, int error, const char *reason)
{
    struct list kept; /* what came before is all there, for who takes it slowly */
    list_init(&kept);
    http2->is_leaving = true;
    http2->is_dead = true;
    while (!list_is_empty(&http2->lanes)) {
        struct upstream_lane *lane = LIST_ENTRY(http2->lanes.next, struct upstream_lane, link);
        if (!lane->is_open || !lane->stream.has_all) {
            if (lane->is_open && !lane->stream.has_sent_head) /* the target can't have seen it */
                lane->stream.is_refused = true;
            tell_failure(lane, error, reason);
            continue;
        }
        list_remove(&lane->link);
        list_push_back(&kept, &lane->link);
    }
    while (!list_is_empty(&kept)) {
        struct list *link = kept.next;
        list_remove(link);
        list_push_back(&http2->lanes, link);
    }
    mark_dirty(http2);
}

/* The end is told to who reads, behind a goodbye that says what was not looked at. */
static void fall_silent(struct upstream_http2 *http2, int error)
{
    http2->is_leaving = true;
    http2->is_mute = true;
    mark_dirty(http2); /* what frames that were made meanwhile have changed is still to be told */
    if (error == UV_ENOMEM) /* of ours: nothing is going to be told */
        fail_all(http2, error, NULL);
}

static void tell_all_connected(struct upstream_http2 *http2, int error, const char *reason)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_is_empty(&http2->lanes)) {
        struct list *link = http2->lanes.next;
        list_remove(link);
        list_push_back(&waiting, link);
    }
    while (!list_is_empty(&waiting)) { /* any of them may go while another is told */
        struct upstream_lane *lane = LIST_ENTRY(waiting.next, struct upstream_lane, link);
        list_remove(&lane->link);
        list_push_back(error ? &http2->failed : &http2->lanes, &lane->link);
        exchange_connected(lane->exchange, error, reason);
    }
}

void upstream_http2_connected(struct upstream_http2 *http2, int error, const char *reason)
{
    if (!error && http2->conn->peer && !tls_speaks_http2(&http2->conn->stream)) {
        error = UV_EPROTO;
        reason = "the target does not choose HTTP/2 by ALPN";
    }
    http2->is_connected = !error;
    http2->is_dead = http2->is_leaving = error != 0;
    mark_dirty(http2);
    tell_all_connected(http2, error, reason);
}

/* What nghttp2 could not go on from: its last word is ours to say. */
static void take_leave(struct upstream_http2 *http2)
{
    char goaway[HTTP2_GOAWAY_BYTES];
    size_t len = http2_write_goaway(http2->session, goaway);
    uv_buf_t piece = uv_buf_init(goaway, (unsigned)len);
    if (len > 0 && !http2->is_mute)
        (void)stream_write(&http2->conn->stream, &piece, 1); /* it is closed in either case */
    fail_all(http2, 0, "the target broke HTTP/2's rules");
}

void upstream_http2_take(struct upstream_http2 *http2, const char *bytes, size_t len)
{
    http2->heard_ms = worker_now(http2->conn->worker);
    mark_dirty(http2);
    if (!http2->is_dead && http2_receive(http2->session, bytes, len, http2->heard_ms))
        take_leave(http2);
    if (http2_is_greeted(http2->session))
        http2->conn->pool->shared_streams = http2_client_allowed(http2->session);
}

void upstream_http2_ended(struct upstream_http2 *http2, int error)
{
    fail_all(http2, error, error ? NULL : "closed without a whole response");
}

void upstream_http2_drained(struct upstream_http2 *http2, int error)
{
    if (error)
        fall_silent(http2, error);
    mark_dirty(http2);
}

/* --- sending --- */

static int send_frames(struct upstream_http2 *http2)
{
    struct worker *worker = http2->conn->worker;
    struct stream *stream = &http2->conn->stream;
    for (;;) {
        http2_tell(http2->session);
        if (http2->is_dead || http2->is_mute || stream_queued(stream) >= MAX_QUEUED_BYTES)
            return 0;
        size_t most = worker->scratch_bytes < SEND_BYTES ? worker->scratch_bytes : SEND_BYTES;
        size_t len = http2_send(http2->session, worker->scratch, most);
        if (len == 0 && !http2_has_news(http2->session))
            return 0;
        if (len == 0)
            continue;
        uv_buf_t piece = uv_buf_init(worker->scratch, (unsigned)len);
        int rc = stream_write(stream, &piece, 1);
        if (rc)
            return rc;
    }
}

/* The connection may be gone afterwards. */
static void rest(struct upstream_http2 *http2)
{
    http2_rest(http2->session);
    upstream_pool_release(http2->conn);
}

static void flush(struct upstream_http2 *http2)
{
    struct upstream_conn *conn = http2->conn;
    if (http2->is_connected) {
        int rc = send_frames(http2);
        if (rc)
            fall_silent(http2, rc);
        if (http2_is_over(http2->session) && !http2->is_dead)
            fail_all(http2, 0, "the target ended its connection");
    }
    bool is_used = http2->lane_count > 0;
    count_room(http2, is_used && http2->is_connected && has_room(http2));
    if (is_used)
        return;
    if (!http2->is_connected || !has_room(http2))
        upstream_conn_close(conn);
    else if (conn->state != UPSTREAM_IDLE)
        rest(http2);
}

void upstream_http2_flush_all(struct worker *worker)
{
    while (!list_is_empty(&worker->dirty_upstreams)) {
        struct list *link = worker->dirty_upstreams.next;
        list_remove(link);
        flush(LIST_ENTRY(link, struct upstream_http2, dirty));
    }
}

/* --- lanes --- */

static struct upstream_lane *add_lane(struct upstream_http2 *http2, struct exchange *exchange)
{
    struct worker *worker = http2->conn->worker;
    struct list *spare = spare_list_take(&worker->spare_lanes);
    struct upstream_lane *lane =
        spare ? LIST_ENTRY(spare, struct upstream_lane, link) : malloc(sizeof(*lane));
    if (!lane)
        return NULL;
    *lane = (struct upstream_lane){.http2 = http2, .exchange = exchange};
    list_push_back(&http2->lanes, &lane->link);
    http2->lane_count++;
    http2->conn->request_count++;
    if (http2->conn->state == UPSTREAM_IDLE)
        upstream_pool_take_from_idle(http2->conn);
    count_room(http2, http2->is_connected && has_room(http2));
    return lane;
}

void upstream_lane_free(struct list *link)
{
    free(LIST_ENTRY(link, struct upstream_lane, link));
}

static struct upstream_http2 *find(const struct upstream_pool *pool,
                                   const struct upstream_peer *peer, bool is_connected)
{
    LIST_EACH(link, &pool->shared)
    {
        struct upstream_http2 *http2 = LIST_ENTRY(link, struct upstream_http2, link);
        if (http2->conn->peer == peer && http2->is_connected == is_connected && has_room(http2) &&
            !(http2->conn->state == UPSTREAM_IDLE && stream_has_news(&http2->conn->stream)))
            return http2; /* one whose end has not been told yet would fail its lane */
    }
    return NULL;
}

struct upstream_lane *upstream_lane_find(struct upstream_pool *pool, struct upstream_peer *peer,
                                         struct exchange *exchange)
{
    struct upstream_http2 *http2 = find(pool, peer, true);
    return http2 ? add_lane(http2, exchange) : NULL;
}

int upstream_lane_lease(struct upstream_pool *pool, struct upstream_peer *peer,
                        struct exchange *exchange, bool needs_new, struct upstream_lane **ret)
{
    struct upstream_http2 *http2 = needs_new ? NULL : find(pool, peer, true);
    struct upstream_conn *conn;
    if (!http2)
        http2 = find(pool, peer, false);
    if (!http2) {
        upstream_pool_make_way(pool);
        int rc = upstream_conn_open(pool, peer, NULL, UPSTREAM_HTTP2, &conn);
        if (rc)
            return rc;
        rc = create(conn, &conn->http2);
        if (rc) {
            upstream_conn_close(conn);
            return rc;
        }
        http2 = conn->http2;
    }
    *ret = add_lane(http2, exchange);
    if (!*ret) {
        mark_dirty(http2);
        return UV_ENOMEM;
    }
    return http2->is_connected;
}

int upstream_lane_take_over(struct upstream_conn *conn, struct upstream_lane **ret)
{
    struct upstream_http2 *http2;
    int rc = create(conn, &http2);
    if (rc)
        return rc;
    struct upstream_lane *lane = add_lane(http2, conn->exchange);
    if (!lane) {
        upstream_http2_destroy(http2);
        return UV_ENOMEM;
    }
    http2->is_connected = true;
    conn->http2 = http2;
    conn->exchange = NULL;
    *ret = lane;
    return 0;
}

bool upstream_lane_is_connecting(const struct upstream_lane *lane)
{
    return !lane->http2->is_connected;
}

bool upstream_lane_is_alone(const struct upstream_lane *lane)
{
    return lane->http2->lane_count == 1;
}

/* Both sides have said all: nghttp2 is about to close it, or has. */
static bool is_over(const struct http2_stream *stream)
{
    bool has_sent = stream->has_body ? stream->has_sent_last : stream->has_sent_head;
    return stream->has_all && stream->is_last && has_sent;
}

/* So that what some clients cancel does not end the calls of all. */
static void count_reset(struct upstream_http2 *http2)
{
    uint64_t now_ms = worker_now(http2->conn->worker);
    if (now_ms - http2->resets_since_ms >= RESETS_WINDOW_MS) {
        http2->resets_since_ms = now_ms;
        http2->reset_count = 0;
    }
    if (++http2->reset_count >= MAX_RESETS)
        http2->is_leaving = true;
}

/* For clients that don't wait long: whether nobody was answered for a while. */
static bool is_silent(const struct upstream_lane *lane)
{
    const struct upstream_http2 *http2 = lane->http2;
    return lane->is_open && !lane->stream.has_head && http2->asked_ms > http2->heard_ms &&
           worker_now(http2->conn->worker) - http2->asked_ms >= MAX_SILENCE_MS;
}

void upstream_lane_close(struct upstream_lane *lane, bool was_silent)
{
    struct upstream_http2 *http2 = lane->http2;
    struct worker *worker = http2->conn->worker;
    if (was_silent ? http2->heard_ms <= lane->sent_ms : is_silent(lane))
        http2->is_leaving = true; /* it may be dead, and nobody has said so */
    if (lane->is_open) {
        if (!is_over(&lane->stream) && !lane->stream.is_closed) {
            http2_stream_reset(&lane->stream, HTTP2_CANCEL);
            count_reset(http2);
        }
        http2_stream_release(&lane->stream);
    }
    list_remove(&lane->link);
    http2->lane_count--;
    mark_dirty(http2);
    if (!spare_list_keep(&worker->spare_lanes, &lane->link))
        free(lane);
}

int upstream_lane_head(struct upstream_lane *lane, struct str head, bool is_last)
{
    struct upstream_http2 *http2 = lane->http2;
    if (http2->is_dead)
        return UV_EPIPE;
    int rc =
        http2_client_open(http2->session, &lane->stream, head, http2->conn->peer != NULL, is_last);
    lane->is_open = rc == 0;
    lane->sent_ms = worker_now(http2->conn->worker);
    if (http2->asked_ms <= http2->heard_ms)
        http2->asked_ms = lane->sent_ms;
    mark_dirty(http2);
    return rc;
}

int upstream_lane_content(struct upstream_lane *lane, const struct str *pieces, unsigned count)
{
    mark_dirty(lane->http2);
    return lane->is_failed ? UV_EPIPE : http2_stream_content(&lane->stream, pieces, count);
}

int upstream_lane_end(struct upstream_lane *lane, struct str trailers)
{
    mark_dirty(lane->http2);
    return lane->is_failed ? UV_EPIPE : http2_stream_end(&lane->stream, trailers);
}

void upstream_lane_read(struct upstream_lane *lane, bool is_wanted)
{
    if (!lane->is_open || lane->stream.is_reading == is_wanted)
        return;
    http2_stream_read(&lane->stream, is_wanted);
    mark_dirty(lane->http2);
}
