#include "proxy/downstream.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "http/http2.h"
#include "net/cidr.h"
#include "net/ip.h"
#include "net/proxy_protocol.h"
#include "net/tls.h"
#include "proxy/exchange.h"
#include "proxy/framing.h"
#include "proxy/handshake.h"
#include "proxy/multiplex.h"
#include "proxy/worker_core.h"

/* How long, and for how many bytes, a client may go on sending what nobody reads, so that the
 * response reaches it before a reset would (RFC 9112, section 9.6). */
#define LINGER_TIMEOUT_MS 5000
#define LINGER_MAX_BYTES 8388608u
/* A connection that was accepted just before a stop may have its first request on the way. */
#define STOP_FIRST_REQUEST_MS 1000

static void pump(struct downstream *conn, const char *bytes, size_t len);
static void take_origin(struct downstream *conn, const char *bytes, size_t len);
static void take_preface(struct downstream *conn, const char *bytes, size_t len);

/* --- closing --- */

static void forget(struct downstream *conn)
{
    struct multiplex *multiplex = conn->multiplex;
    assert(!conn->client.exchange);
    conn->multiplex = NULL;
    if (multiplex)
        multiplex_destroy(multiplex);
    if (conn->state == DOWNSTREAM_IDLE)
        worker_count(&conn->worker->stats.connections_waiting, -1);
    conn->state = DOWNSTREAM_CLOSED;
    deadline_stop(&conn->worker->wheel, &conn->client.deadline);
}

void downstream_close(struct downstream *conn)
{
    if (conn->state == DOWNSTREAM_CLOSED)
        return;
    forget(conn);
    stream_close(&conn->stream);
}

void downstream_abort(struct downstream *conn)
{
    if (conn->state == DOWNSTREAM_CLOSED)
        return;
    forget(conn);
    stream_abort(&conn->stream);
}

static void linger(struct downstream *conn)
{
    conn->state = DOWNSTREAM_LINGERING;
    conn->lingered_bytes = 0;
    stream_end_writing(&conn->stream);
    deadline_set(&conn->worker->wheel, &conn->client.deadline, LINGER_TIMEOUT_MS);
    if (stream_start_reading(&conn->stream))
        downstream_close(conn);
}

void downstream_finish(struct downstream *conn)
{
    struct multiplex *multiplex = conn->multiplex;
    conn->multiplex = NULL;
    if (multiplex)
        multiplex_destroy(multiplex);
    if (conn->has_ended || conn->worker->state != WORKER_RUNNING)
        downstream_close(conn);
    else
        linger(conn);
}

void downstream_cut(struct downstream *conn)
{
    if (conn->multiplex)
        multiplex_cut(conn->multiplex);
    else if (conn->client.exchange)
        exchange_cut(conn->client.exchange);
    else
        downstream_close(conn);
}

void downstream_target_left(struct downstream *conn)
{
    if (conn->multiplex)
        multiplex_target_left(conn->multiplex);
    else if (conn->client.exchange)
        exchange_target_left(conn->client.exchange);
}

static void on_closed(struct stream *stream)
{
    struct downstream *conn = (struct downstream *)stream;
    struct worker *worker = conn->worker;
    free(conn->early);
    conn->early = NULL;
    list_remove(&conn->link);
    worker_count(&worker->stats.connections_active, -1);
    if (!spare_list_keep(&worker->spare_clients, &conn->link))
        free(conn);
    worker_client_gone(worker);
}

/* --- bytes --- */

static void hand_out(struct downstream *conn, const char *bytes, size_t len)
{
    if (conn->state == DOWNSTREAM_IDLE) {
        conn->client.exchange = exchange_begin(&conn->client);
        if (!conn->client.exchange) {
            downstream_abort(conn);
            return;
        }
        conn->state = DOWNSTREAM_BUSY;
        conn->has_begun = true;
        worker_count(&conn->worker->stats.connections_waiting, -1);
    }
    exchange_client_bytes(conn->client.exchange, bytes, len);
}

/* One exchange after another as long as there are bytes for it: a loop, because an exchange may end
 * at once and a client may send a thousand in one read. */
static void pump(struct downstream *conn, const char *bytes, size_t len)
{
    conn->is_pumping = true;
    if (len > 0)
        hand_out(conn, bytes, len);
    while (conn->state == DOWNSTREAM_IDLE && conn->early) {
        const char *next = conn->early + conn->early_start;
        size_t next_len = conn->early_end - conn->early_start;
        conn->early_start = conn->early_end; /* what is not used comes back */
        hand_out(conn, next, next_len);
        if (conn->early_start == conn->early_end) {
            free(conn->early);
            conn->early = NULL;
        }
    }
    conn->is_pumping = false;
    if (conn->state == DOWNSTREAM_IDLE && (conn->has_ended || stream_start_reading(&conn->stream)))
        downstream_close(conn);
}

void downstream_keep_early(struct downstream *conn, const char *bytes, size_t len)
{
    stream_stop_reading(&conn->stream);
    if (conn->early && bytes + len == conn->early + conn->early_end) { /* the rest of them */
        conn->early_start = (uint32_t)(bytes - conn->early);
        return;
    }
    char *copy = malloc(len);
    if (!copy) {
        conn->has_ended = true; /* what comes next is lost, so nothing may come next */
        return;
    }
    memcpy(copy, bytes, len);
    assert(!conn->early || conn->early_start == conn->early_end);
    free(conn->early);
    conn->early = copy;
    conn->early_start = 0;
    conn->early_end = (uint32_t)len;
}

char *downstream_take_early(struct downstream *conn, size_t *ret_len)
{
    char *early = conn->early;
    if (!early)
        return NULL;
    *ret_len = conn->early_end - conn->early_start;
    memmove(early, early + conn->early_start, *ret_len);
    conn->early = NULL;
    return early;
}

static void on_bytes(struct stream *stream, const char *bytes, size_t len)
{
    struct downstream *conn = (struct downstream *)stream;
    if (conn->multiplex) {
        multiplex_take(conn->multiplex, bytes, len);
        return;
    }
    if (conn->awaits_origin) {
        take_origin(conn, bytes, len);
        return;
    }
    if (conn->awaits_preface) {
        take_preface(conn, bytes, len);
        return;
    }
    if (conn->state != DOWNSTREAM_LINGERING) {
        pump(conn, bytes, len);
        return;
    }
    conn->lingered_bytes += (uint32_t)len;
    if (conn->lingered_bytes > LINGER_MAX_BYTES)
        downstream_close(conn);
}

static void on_end(struct stream *stream, int error)
{
    struct downstream *conn = (struct downstream *)stream;
    conn->has_ended = true;
    if (conn->state == DOWNSTREAM_BUSY)
        exchange_client_ended(conn->client.exchange, error);
    else
        downstream_close(conn);
}

static void on_drained(struct stream *stream, int error)
{
    struct downstream *conn = (struct downstream *)stream;
    if (conn->state == DOWNSTREAM_BUSY)
        exchange_client_drained(conn->client.exchange, error);
    else if (conn->multiplex && error)
        downstream_close(conn);
    else if (conn->multiplex)
        multiplex_drained(conn->multiplex);
}

/* The client has chosen HTTP/2. */
static void begin_sharing(struct downstream *conn)
{
    if (multiplex_begin(conn)) {
        downstream_abort(conn);
        return;
    }
    conn->state = DOWNSTREAM_SHARED;
    conn->has_begun = true;
}

/* The first request has its time from here on. */
static void on_secured(struct stream *stream, int error)
{
    struct downstream *conn = (struct downstream *)stream;
    if (error) {
        handshake_failed(conn);
        downstream_close(conn);
        return;
    }
    handshake_succeeded(conn);
    deadline_set(&conn->worker->wheel, &conn->client.deadline,
                 conn->worker->settings.client_header_timeout_ms);
    if (tls_speaks_http2(stream))
        begin_sharing(conn);
}

static const struct stream_events events = {
    .on_bytes = on_bytes,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_closed = on_closed,
    .on_secured = on_secured,
};

static void on_due(struct timer_node *node)
{
    struct downstream *conn = LIST_ENTRY(node, struct downstream, client.deadline.node);
    if (!deadline_has_passed(&conn->worker->wheel, &conn->client.deadline))
        return;
    if (conn->state == DOWNSTREAM_BUSY) {
        exchange_client_timed_out(conn->client.exchange);
        return;
    }
    if (conn->multiplex) {
        multiplex_timed_out(conn->multiplex);
        return;
    }
    handshake_timed_out(conn);
    downstream_close(conn);
}

/* --- from one exchange to the next --- */

static bool may_go_on(struct downstream *conn)
{
    if (conn->has_ended)
        return conn->early != NULL; /* sent before it ended its side */
    if (conn->worker->state == WORKER_RUNNING)
        return true;
    return conn->early || stream_has_news(&conn->stream); /* told that it may, it sent another */
}

static struct downstream *conn_of(struct client *client)
{
    return LIST_ENTRY(client, struct downstream, client);
}

static void on_exchange_ended(struct client *client, bool keep_alive, bool has_unread)
{
    struct downstream *conn = conn_of(client);
    if (keep_alive && may_go_on(conn)) {
        conn->state = DOWNSTREAM_IDLE;
        worker_count(&conn->worker->stats.connections_waiting, 1);
        deadline_set(&conn->worker->wheel, &client->deadline,
                     conn->worker->settings.client_idle_timeout_ms);
        if (!conn->is_pumping)
            pump(conn, NULL, 0);
    } else if ((has_unread || conn->early) && !conn->has_ended) {
        linger(conn);
    } else {
        downstream_close(conn);
    }
}

/* Where only the close tells the client its end, a reset tells the truth. */
static void on_break_off(struct client *client, bool must_reset)
{
    if (must_reset)
        downstream_abort(conn_of(client));
    else
        downstream_close(conn_of(client));
}

static int write_part(struct client *client, const struct client_part *part)
{
    struct framing_gather gather;
    framing_begin(&gather, part->head);
    framing_add(&gather, part->framing, part->pieces, part->count, part->total);
    if (part->is_last)
        framing_end(&gather, part->framing, part->trailers);
    return gather.count > 0 ? stream_write(&conn_of(client)->stream, gather.pieces, gather.count)
                            : 0;
}

static int read_on(struct client *client, bool is_wanted)
{
    if (is_wanted)
        return stream_start_reading(&conn_of(client)->stream);
    stream_stop_reading(&conn_of(client)->stream);
    return 0;
}

static const struct client_verbs verbs = {
    .write = write_part,
    .read = read_on,
    .exchange_ended = on_exchange_ended,
    .break_off = on_break_off,
};

void downstream_close_if_idle(struct downstream *conn)
{
    if (conn->multiplex && multiplex_is_idle(conn->multiplex) && !stream_has_news(&conn->stream)) {
        multiplex_close(conn->multiplex);
        downstream_close(conn); /* its place is wanted: the GOAWAY has left, and nobody lingers */
    }
    if (conn->state == DOWNSTREAM_IDLE && conn->has_begun && !stream_has_news(&conn->stream))
        downstream_close(conn);
}

void downstream_stop(struct downstream *conn)
{
    if (conn->multiplex)
        multiplex_stop(conn->multiplex);
    if (conn->state == DOWNSTREAM_LINGERING)
        downstream_close(conn);
    if (conn->state != DOWNSTREAM_IDLE || stream_has_news(&conn->stream))
        return;
    if (conn->has_begun)
        downstream_close(conn);
    else
        deadline_set(&conn->worker->wheel, &conn->client.deadline, STOP_FIRST_REQUEST_MS);
}

/* --- the beginning --- */

static struct downstream *make(const struct acceptor *acceptor)
{
    struct worker *worker = acceptor->worker;
    struct list *spare = spare_list_take(&worker->spare_clients);
    struct downstream *conn =
        spare ? LIST_ENTRY(spare, struct downstream, link) : malloc(sizeof(*conn));
    if (!conn)
        return NULL;
    memset(conn, 0, sizeof(*conn));
    if (stream_init(&conn->stream, &worker->loop, &events, &worker->read_buffer)) {
        free(conn);
        return NULL;
    }
    conn->worker = worker;
    conn->port = acceptor->port;
    conn->is_tls = acceptor->is_tls;
    conn->tls_server = acceptor->tls;
    conn->checks_server_name = acceptor->checks_server_name;
    conn->offers_http2 = acceptor->offers_http2;
    conn->awaits_preface = acceptor->offers_http2 && !acceptor->is_tls;
    conn->awaits_origin = acceptor->has_proxy_protocol;
    conn->state = DOWNSTREAM_IDLE;
    conn->client.verbs = &verbs;
    conn->client.conn = conn;
    conn->client.plain = conn->is_tls ? NULL : &conn->stream;
    conn->client.queued = &conn->stream.tcp.write_queue_size;
    conn->client.is_reading = &conn->stream.is_reading;
    deadline_init(&conn->client.deadline, on_due);
    list_push_back(&worker->clients, &conn->link);
    worker_count(&worker->stats.connections_accepted, 1);
    worker_count(&worker->stats.connections_active, 1);
    worker_count(&worker->stats.connections_waiting, 1);
    return conn;
}

/* --- whose connection it is --- */

/* IPv4 clients of an IPv6 socket are shown as what they are. */
static int set_peer(struct downstream *conn, const struct sockaddr *from)
{
    struct cidr_address address;
    cidr_take_address(from, &address);
    struct str text = client_address_write(&address, conn->peer);
    conn->peer_len = (uint8_t)text.len;
    conn->is_trusted = cidr_set_has(&conn->worker->settings.trust->proxies, &address);
    return text.len > 0 ? 0 : UV_EINVAL;
}

static int read_peer(struct downstream *conn)
{
    union ip_address address;
    int len = sizeof(address);
    int rc = uv_tcp_getpeername(&conn->stream.tcp, (struct sockaddr *)&address, &len);
    return rc ? rc : set_peer(conn, (const struct sockaddr *)&address);
}

/* The client itself may speak from here on. */
static int start_talking(struct downstream *conn)
{
    const struct worker_settings *settings = &conn->worker->settings;
    bool shakes_hands = conn->is_tls && !conn->awaits_origin;
    deadline_set(&conn->worker->wheel, &conn->client.deadline,
                 shakes_hands ? settings->tls_handshake_timeout_ms
                              : settings->client_header_timeout_ms);
    if (!shakes_hands)
        return 0;
    return handshake_may_begin(conn)
               ? tls_accept(&conn->stream, conn->tls_server, conn->offers_http2)
               : UV_ECONNABORTED;
}

/* A balancer that is not among the trusted ones, where some are named, is not believed. */
static int learn_origin(struct downstream *conn, const struct proxy_protocol *header)
{
    bool is_believed = conn->is_trusted || conn->worker->settings.trust->proxies.count == 0;
    int rc = 0;
    conn->awaits_origin = false;
    if (header->has_client && is_believed)
        rc = set_peer(conn, (const struct sockaddr *)&header->client);
    return rc ? rc : start_talking(conn);
}

static bool keep_part(struct downstream *conn, const char *bytes, size_t len)
{
    char *early = realloc(conn->early, conn->early_end + len);
    if (!early)
        return false;
    memcpy(early + conn->early_end, bytes, len);
    conn->early = early;
    conn->early_end += (uint32_t)len;
    return true;
}

static void refuse_origin(struct downstream *conn)
{
    tally_count(&conn->worker->stats.refused, 400, STR("bad PROXY protocol header"));
    if (outcome_may_log(conn->worker))
        log_info("bad PROXY protocol header", LOG_STR("peer", downstream_peer(conn)),
                 LOG_INT("port", conn->port));
    downstream_close(conn);
}

/* Mostly the header comes whole, in front of the first request or handshake. */
static void take_origin(struct downstream *conn, const char *bytes, size_t len)
{
    struct proxy_protocol header;
    char *parts = NULL;
    if (conn->early) {
        if (!keep_part(conn, bytes, len)) {
            downstream_close(conn);
            return;
        }
        bytes = conn->early;
        len = conn->early_end;
    }
    enum proxy_protocol_result result = proxy_protocol_read(bytes, len, &header);
    if (result == PROXY_PROTOCOL_MORE && (conn->early || keep_part(conn, bytes, len)))
        return;
    parts = conn->early;
    conn->early = NULL;
    conn->early_end = 0;
    if (result != PROXY_PROTOCOL_DONE)
        refuse_origin(conn);
    else if (learn_origin(conn, &header))
        downstream_close(conn);
    else if (len > header.len)
        stream_take_again(&conn->stream, bytes + header.len, len - header.len);
    free(parts);
}

/* HTTP/2 by prior knowledge (RFC 9113, section 3.3) begins with bytes that are no request of
 * HTTP/1; the first one mostly tells. */
static void take_preface(struct downstream *conn, const char *bytes, size_t len)
{
    const struct str preface = HTTP2_PREFACE;
    if (conn->early) {
        if (!keep_part(conn, bytes, len)) {
            downstream_close(conn);
            return;
        }
        bytes = conn->early;
        len = conn->early_end;
    }
    bool is_preface = memcmp(bytes, preface.ptr, len < preface.len ? len : preface.len) == 0;
    if (is_preface && len < preface.len) {
        if (!conn->early && !keep_part(conn, bytes, len))
            downstream_close(conn);
        return;
    }
    char *parts = conn->early;
    conn->early = NULL;
    conn->early_end = 0;
    conn->awaits_preface = false;
    if (is_preface)
        begin_sharing(conn);
    if (conn->state != DOWNSTREAM_CLOSED)
        on_bytes(&conn->stream, bytes, len);
    free(parts);
}

static void start(struct downstream *conn, int rc)
{
    if (rc == 0)
        rc = read_peer(conn);
    if (rc == 0)
        rc = start_talking(conn);
    if (rc == 0)
        rc = stream_start_reading(&conn->stream);
    if (rc) /* mostly gone already */
        downstream_close(conn);
}

void downstream_accept(const struct acceptor *acceptor, uv_stream_t *listener)
{
    struct downstream *conn = make(acceptor);
    if (conn)
        start(conn, uv_accept(listener, (uv_stream_t *)&conn->stream.tcp));
    else
        log_error("out of memory for a client's connection"); /* taken when there is some */
}

void downstream_adopt(const struct acceptor *acceptor, int fd)
{
    struct downstream *conn = make(acceptor);
    if (conn)
        start(conn, uv_tcp_open(&conn->stream.tcp, fd));
    else
        close(fd);
}
