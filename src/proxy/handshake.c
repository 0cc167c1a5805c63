#include "proxy/handshake.h"

#include "base/log.h"
#include "net/tls.h"
#include "proxy/downstream.h"
#include "proxy/handshake_limit.h"
#include "proxy/worker_core.h"

/* `why` is one of a few constants, ours or OpenSSL's. */
static void count_failure(const struct handshake_client *client, const char *why)
{
    worker_count(&client->worker->stats.tls_failed, 1);
    tally_count(&client->worker->stats.tls_failures, 0, str_of(why));
}

static void log_refusal(const struct handshake_client *client, const char *why)
{
    struct worker *worker = client->worker;
    uint64_t unlogged;
    if (handshake_limit_may_log(worker->settings.handshake_limit, worker_now(worker), &unlogged))
        log_warn("TLS handshake refused", LOG_CSTR("why", why), LOG_STR("client", client->peer),
                 LOG_INT("port", client->port), LOG_INT("more", unlogged));
}

static void log_failure(const struct handshake_client *client, const char *why)
{
    log_debug("TLS handshake failed", LOG_STR("client", client->peer), LOG_CSTR("why", why));
}

bool handshake_client_may_begin(const struct handshake_client *client)
{
    struct worker *worker = client->worker;
    struct handshake_limit *limit = worker->settings.handshake_limit;
    if (!limit)
        return true;
    enum handshake_verdict verdict =
        handshake_limit_take(limit, client->peer, client->is_trusted, worker_now(worker));
    if (verdict == HANDSHAKE_MAY)
        return true;
    const char *why = verdict == HANDSHAKE_RATE ? "too many a second" : "too many of the client";
    count_failure(client, why);
    log_refusal(client, why);
    return false;
}

void handshake_client_succeeded(const struct handshake_client *client)
{
    struct worker_stats *stats = &client->worker->stats;
    worker_count(&stats->tls_handshakes, 1);
    if (tls_was_resumed(client->stream))
        worker_count(&stats->tls_resumed, 1);
}

void handshake_client_failed(const struct handshake_client *client)
{
    const char *why = tls_failure(client->stream);
    count_failure(client, why);
    log_failure(client, why);
}

void handshake_client_timed_out(const struct handshake_client *client)
{
    if (!tls_is_shaking_hands(client->stream))
        return;
    count_failure(client, "timed out");
    log_failure(client, "timed out");
}

/* --- downstreams --- */

static struct handshake_client client_of(const struct downstream *conn)
{
    return (struct handshake_client){
        .worker = conn->worker,
        .stream = &conn->stream,
        .peer = downstream_peer(conn),
        .port = conn->port,
        .is_trusted = conn->is_trusted,
    };
}

bool handshake_may_begin(struct downstream *conn)
{
    const struct handshake_client client = client_of(conn);
    return handshake_client_may_begin(&client);
}

void handshake_succeeded(struct downstream *conn)
{
    const struct handshake_client client = client_of(conn);
    handshake_client_succeeded(&client);
}

void handshake_failed(struct downstream *conn)
{
    const struct handshake_client client = client_of(conn);
    handshake_client_failed(&client);
}

void handshake_timed_out(struct downstream *conn)
{
    const struct handshake_client client = client_of(conn);
    handshake_client_timed_out(&client);
}
