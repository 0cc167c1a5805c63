#include "proxy/handshake.h"

#include "base/log.h"
#include "net/tls.h"
#include "proxy/downstream.h"
#include "proxy/handshake_limit.h"
#include "proxy/worker_core.h"

/* `why` is one of a few constants, ours or OpenSSL's. */
static void count_failure(struct downstream *conn, const char *why)
{
    worker_count(&conn->worker->stats.tls_failed, 1);
    tally_count(&conn->worker->stats.tls_failures, 0, str_of(why));
}

static void log_refusal(struct downstream *conn, const char *why)
{
    struct worker *worker = conn->worker;
    uint64_t unlogged;
    if (handshake_limit_may_log(worker->settings.handshake_limit, worker_now(worker), &unlogged))
        log_warn("TLS handshake refused", LOG_CSTR("why", why),
                 LOG_STR("client", downstream_peer(conn)), LOG_INT("port", conn->port),
                 LOG_INT("more", unlogged));
}

bool handshake_may_begin(struct downstream *conn)
{
    struct worker *worker = conn->worker;
    struct handshake_limit *limit = worker->settings.handshake_limit;
    if (!limit)
        return true;
    enum handshake_verdict verdict =
        handshake_limit_take(limit, downstream_peer(conn), conn->is_trusted, worker_now(worker));
    if (verdict == HANDSHAKE_MAY)
        return true;
    const char *why = verdict == HANDSHAKE_RATE ? "too many a second" : "too many of the client";
    count_failure(conn, why);
    log_refusal(conn, why);
    return false;
}

void handshake_succeeded(struct downstream *conn)
{
    struct worker_stats *stats = &conn->worker->stats;
    worker_count(&stats->tls_handshakes, 1);
    if (tls_was_resumed(&conn->stream))
        worker_count(&stats->tls_resumed, 1);
}

void handshake_failed(struct downstream *conn)
{
    const char *why = tls_failure(&conn->stream);
    count_failure(conn, why);
    log_debug("TLS handshake failed", LOG_STR("client", downstream_peer(conn)),
              LOG_CSTR("why", why));
}

void handshake_timed_out(struct downstream *conn)
{
    if (!tls_is_shaking_hands(&conn->stream))
        return;
    count_failure(conn, "timed out");
    log_debug("TLS handshake failed", LOG_STR("client", downstream_peer(conn)),
              LOG_CSTR("why", "timed out"));
}
