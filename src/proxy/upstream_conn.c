#include "proxy/upstream_conn.h"

#include <stdlib.h>

#include "model/target_state.h"
#include "net/tls.h"
#include "net/tls_client.h"
#include "proxy/exchange.h"
#include "proxy/hedge.h"
#include "proxy/upstream_http2.h"
#include "proxy/upstream_peer.h"
#include "proxy/upstream_pool.h"
#include "proxy/worker_core.h"

static void on_bytes(struct stream *stream, const char *bytes, size_t len)
{
    struct upstream_conn *conn = (struct upstream_conn *)stream;
    if (conn->http2)
        upstream_http2_take(conn->http2, bytes, len);
    else if (conn->is_hedge)
        hedge_upstream_bytes(conn->exchange, bytes, len);
    else if (conn->exchange)
        exchange_upstream_bytes(conn->exchange, bytes, len);
    else
        upstream_conn_close(conn); /* nobody asked */
}

static bool on_readable(struct stream *stream)
{
    struct upstream_conn *conn = (struct upstream_conn *)stream;
    return conn->exchange && !conn->is_hedge && exchange_upstream_readable(conn->exchange);
}

static void on_end(struct stream *stream, int error)
{
    struct upstream_conn *conn = (struct upstream_conn *)stream;
    if (conn->http2)
        upstream_http2_ended(conn->http2, error);
    else if (conn->is_hedge)
        hedge_upstream_ended(conn->exchange, error);
    else if (conn->exchange)
        exchange_upstream_ended(conn->exchange, error);
    else
        upstream_conn_close(conn);
}

static void on_drained(struct stream *stream, int error)
{
    struct upstream_conn *conn = (struct upstream_conn *)stream;
    if (conn->http2)
        upstream_http2_drained(conn->http2, error);
    else if (conn->exchange && !conn->is_hedge)
        exchange_upstream_drained(conn->exchange, error);
}

static void on_closed(struct stream *stream)
{
    struct upstream_conn *conn = (struct upstream_conn *)stream;
    if (!spare_list_keep(&conn->worker->spare_upstreams, &conn->link))
        free(conn);
}

static void tell_connected(struct upstream_conn *conn, int error, const char *reason)
{
    if (error == 0)
        conn->state = UPSTREAM_BUSY;
    if (conn->http2)
        upstream_http2_connected(conn->http2, error, reason);
    else if (conn->is_hedge)
        hedge_connected(conn->exchange, error);
    else
        exchange_connected(conn->exchange, error, reason);
}

static void on_secured(struct stream *stream, int error)
{
    tell_connected((struct upstream_conn *)stream, error, error ? tls_failure(stream) : NULL);
}

static const struct stream_events events = {
    .on_bytes = on_bytes,
    .on_readable = on_readable,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_closed = on_closed,
    .on_secured = on_secured,
};

static void on_connected(uv_connect_t *request, int status)
{
    struct upstream_conn *conn = request->data;
    struct stream *stream = &conn->stream;
    if (conn->state != UPSTREAM_CONNECTING)
        return; /* closed meanwhile */
    if (status == 0)
        status = stream_start_reading(stream);
    struct upstream_peer *peer = conn->peer;
    if (status == 0 && peer) {
        static const enum tls_alpn alpn[] = {
            [UPSTREAM_HTTP1] = TLS_ALPN_HTTP1,
            [UPSTREAM_EITHER] = TLS_ALPN_HTTP2_OR_HTTP1,
            [UPSTREAM_HTTP2] = TLS_ALPN_HTTP2,
        };
        status = tls_client_begin(peer->tls, stream, str_make(peer->name, peer->name_len),
                                  alpn[conn->version], &peer->session);
        if (status == 0)
            return; /* on_secured goes on */
    }
    tell_connected(conn, status, NULL);
}

static struct upstream_conn *take_struct(struct worker *worker)
{
    struct list *spare = spare_list_take(&worker->spare_upstreams);
    return spare ? LIST_ENTRY(spare, struct upstream_conn, link)
                 : malloc(sizeof(struct upstream_conn));
}

int upstream_conn_open(struct upstream_pool *pool, struct upstream_peer *peer,
                       struct exchange *exchange, enum upstream_version version,
                       struct upstream_conn **ret)
{
    struct worker *worker = pool->worker;
    struct upstream_conn *conn = take_struct(worker);
    if (!conn)
        return UV_ENOMEM;
    int rc = stream_init(&conn->stream, &worker->loop, &events, &worker->read_buffer);
    if (rc) {
        free(conn);
        return rc;
    }
    list_init(&conn->link);
    list_init(&conn->age);
    conn->worker = worker;
    conn->http2 = NULL;
    conn->exchange = exchange;
    conn->version = version;
    conn->peer = peer;
    if (peer)
        peer->conn_count++;
    conn->request_count = 0;
    conn->is_hedge = false;
    conn->state = UPSTREAM_CONNECTING;
    conn->connect.data = conn;
    upstream_pool_add(pool, conn);

    uv_tcp_nodelay(&conn->stream.tcp, 1);
    rc =
        uv_tcp_connect(&conn->connect, &conn->stream.tcp, &pool->target->address.any, on_connected);
    if (rc) {
        upstream_conn_close(conn);
        return rc;
    }
    *ret = conn;
    return 0;
}

void upstream_conn_close(struct upstream_conn *conn)
{
    if (conn->state == UPSTREAM_CLOSED)
        return;
    if (conn->http2)
        upstream_http2_destroy(conn->http2);
    conn->http2 = NULL;
    upstream_pool_remove(conn);
    conn->state = UPSTREAM_CLOSED;
    conn->exchange = NULL;
    conn->is_hedge = false;
    stream_close(&conn->stream);
    if (conn->peer)
        conn->peer->conn_count--;
    conn->peer = NULL;
}
