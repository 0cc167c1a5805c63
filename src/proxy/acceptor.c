#include "proxy/acceptor.h"

#include <netinet/in.h>
#include <unistd.h>

#include "base/log.h"
#include "net/ip.h"
#include "proxy/downstream.h"
#include "proxy/relay.h"
#include "proxy/worker_core.h"

/* Connections that are looked at, and closed when idle, when there is no room. */
#define IDLE_SCAN_COUNT 64
/* Fewer than so many percent of the limit: the trouble is over, and worth another line if it comes
 * again. */
#define RELIEF_PERCENT 90

static uint64_t client_count(const struct worker *worker)
{
    return atomic_load_explicit(&worker->stats.connections_active, memory_order_relaxed) +
           atomic_load_explicit(&worker->stats.streams_active, memory_order_relaxed);
}

static bool has_room(const struct worker *worker)
{
    return client_count(worker) < worker->settings.max_clients;
}

/* Those that came first are looked at first, and go to the end when they are busy. */
static void close_idle_clients(struct worker *worker)
{
    for (unsigned i = 0; i < IDLE_SCAN_COUNT && !list_is_empty(&worker->clients); i++) {
        struct downstream *conn = LIST_ENTRY(worker->clients.next, struct downstream, link);
        list_remove(&conn->link);
        list_push_back(&worker->clients, &conn->link);
        downstream_close_if_idle(conn);
    }
}

/* Until acceptors_resume takes it in, libuv holds this client and polls for no other. */
static void hold(struct acceptor *acceptor)
{
    struct worker *worker = acceptor->worker;
    acceptor->is_holding = true;
    worker_count(&worker->stats.accept_pauses, 1);
    if (!worker->is_full)
        log_warn("connections are at their limit: new clients wait",
                 LOG_INT("limit", worker->settings.max_clients), LOG_INT("worker", worker->index),
                 LOG_INT("port", acceptor->port));
    worker->is_full = true;
    close_idle_clients(worker);
}

static void accept_from(struct acceptor *acceptor, uv_stream_t *listener)
{
    if (acceptor->is_for_streams)
        relay_accept(acceptor, listener);
    else
        downstream_accept(acceptor, listener);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct acceptor *acceptor = listener->data;
    if (status && outcome_may_log(acceptor->worker))
        log_error("a connection could not be accepted", LOG_INT("port", acceptor->port),
                  LOG_CSTR("error", uv_strerror(status)));
    if (status)
        return;
    if (has_room(acceptor->worker))
        accept_from(acceptor, listener);
    else
        hold(acceptor);
}

static void take_held(struct acceptor *acceptor)
{
    acceptor->is_holding = false;
    accept_from(acceptor, (uv_stream_t *)&acceptor->tcp);
}

void acceptors_resume(struct worker *worker)
{
    if (!worker->is_full || worker->state != WORKER_RUNNING)
        return;
    for (unsigned i = 0; i < ACCEPTOR_MAX; i++)
        if (worker->acceptors[i].is_holding && has_room(worker))
            take_held(&worker->acceptors[i]);
    if (client_count(worker) * 100 > (uint64_t)worker->settings.max_clients * RELIEF_PERCENT)
        return;
    worker->is_full = false;
    log_notice("connections are below their limit again",
               LOG_INT("limit", worker->settings.max_clients), LOG_INT("worker", worker->index));
}

static uint16_t port_of_socket(const uv_tcp_t *tcp, uint16_t otherwise)
{
    union ip_address address;
    int len = sizeof(address);
    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &len))
        return otherwise;
    return ntohs(address.any.sa_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                   : ((struct sockaddr_in *)&address)->sin_port);
}

int acceptor_open(struct worker *worker, struct acceptor *acceptor,
                  const struct listener_spec *spec, bool is_for_streams, struct error *err)
{
    int fd;
    int rc = listener_bind(spec, true, &fd, err);
    if (rc)
        return rc;
    rc = uv_tcp_init(&worker->loop, &acceptor->tcp);
    if (rc) {
        close(fd);
        goto fail;
    }
    acceptor->is_open = true;
    acceptor->worker = worker;
    acceptor->is_tls = spec->is_tls;
    acceptor->offers_http2 = spec->is_http2;
    acceptor->has_proxy_protocol = spec->has_proxy_protocol;
    acceptor->is_for_streams = is_for_streams;
    acceptor->tcp.data = acceptor;
    rc = uv_tcp_open(&acceptor->tcp, fd);
    if (rc) {
        close(fd);
        goto fail;
    }
    rc = uv_listen((uv_stream_t *)&acceptor->tcp, spec->backlog, on_connection);
    if (rc)
        goto fail;
    acceptor->port = port_of_socket(&acceptor->tcp, spec->port);
    return 0;
fail:
    error_set(err, is_for_streams ? "stream_listen" : "proxy_listen", "%s: %s", spec->text,
              uv_strerror(rc));
    return rc;
}

void acceptors_drain(struct worker *worker)
{
    for (unsigned i = 0; i < ACCEPTOR_MAX; i++) {
        struct acceptor *acceptor = &worker->acceptors[i];
        int listener, fd;
        if (!acceptor->is_open || uv_fileno((uv_handle_t *)&acceptor->tcp, &listener))
            continue;
        if (acceptor->is_holding)
            take_held(acceptor);
        while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
            if (acceptor->is_for_streams)
                relay_adopt(acceptor, fd);
            else
                downstream_adopt(acceptor, fd);
    }
}

void acceptors_close(struct worker *worker)
{
    for (unsigned i = 0; i < ACCEPTOR_MAX; i++) {
        struct acceptor *acceptor = &worker->acceptors[i];
        if (acceptor->is_open)
            uv_close((uv_handle_t *)&acceptor->tcp, NULL);
        acceptor->is_open = false;
    }
}
