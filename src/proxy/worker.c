#include "proxy/worker.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "model/target_state.h"
#include "net/stream_pipe.h"
#include "net/tls.h"
#include "net/tls_server.h"
#include "proxy/access_log.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/hedge.h"
#include "proxy/multiplex.h"
#include "proxy/pending.h"
#include "proxy/relay.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_http2.h"
#include "proxy/upstream_peer.h"
#include "proxy/upstream_pool.h"
#include "proxy/worker_core.h"

/* --- the configuration --- */

static void free_config_if_unused(struct snapshot_use *config)
{
    if (config->is_current || config->exchange_count > 0)
        return;
    snapshot_unref(config->snapshot);
    free(config);
}

static void let_go_of_config(struct worker *worker)
{
    struct snapshot_use *config = worker->config;
    worker->config = NULL;
    if (!config)
        return;
    config->is_current = false;
    free_config_if_unused(config);
}

static void take_next_config(struct worker *worker)
{
    struct snapshot *snapshot = atomic_exchange_explicit(&worker->next, NULL, memory_order_acquire);
    if (!snapshot)
        return;
    struct snapshot_use *config = calloc(1, sizeof(*config));
    if (!config) { /* the one we have stays in force */
        log_error("out of memory for a new configuration");
        snapshot_unref(snapshot);
        return;
    }
    config->snapshot = snapshot;
    config->is_current = true;
    let_go_of_config(worker);
    worker->config = config;
}

static void on_config_news(uv_async_t *async)
{
    take_next_config(async->data);
}

struct snapshot_use *worker_lease_config(struct worker *worker)
{
    if (atomic_load_explicit(&worker->next, memory_order_relaxed))
        take_next_config(worker);
    if (worker->config)
        worker->config->exchange_count++;
    return worker->config;
}

const struct snapshot *worker_look_at_config(struct worker *worker)
{
    if (atomic_load_explicit(&worker->next, memory_order_relaxed))
        take_next_config(worker);
    return worker->config ? worker->config->snapshot : NULL;
}

void worker_release_config(struct worker *worker, struct snapshot_use *config)
{
    (void)worker;
    config->exchange_count--;
    free_config_if_unused(config);
}

void worker_publish(struct worker *worker, struct snapshot *snapshot)
{
    snapshot_unref(
        atomic_exchange_explicit(&worker->next, snapshot, memory_order_acq_rel)); /* or NULL */
    uv_async_send(&worker->config_news);
}

static void on_call(uv_async_t *async)
{
    struct worker *worker = async->data;
    pending_serve(worker);
    upstream_pool_make_room(worker);
}

static void on_flush(uv_prepare_t *prepare)
{
    struct worker *worker = prepare->data;
    uv_prepare_stop(prepare);
    do { /* what one side says is news to the other */
        multiplex_flush_all(worker);
        upstream_http2_flush_all(worker);
    } while (!list_is_empty(&worker->dirty_multiplexes));
}

void worker_flush_soon(struct worker *worker)
{
    uv_prepare_start(&worker->flush, on_flush);
}

/* --- mail --- */

void worker_post(struct worker *worker, struct mail *mail)
{
    mailbox_post(&worker->mailbox, mail);
}

static void wake_parked(struct worker *worker)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_is_empty(&worker->parked)) {
        struct list *link = worker->parked.next;
        list_remove(link);
        list_push_back(&waiting, link);
    }
    while (!list_is_empty(&waiting)) { /* who has to wait on parks again, on the worker's list */
        struct exchange *x = LIST_ENTRY(waiting.next, struct exchange, link);
        list_remove(&x->link);
        exchange_endpoints_changed(x);
    }
    pending_serve(worker);
}

/* An address that nobody answers at any more would hold its request until the connect time-out. */
static void give_up_connecting(struct worker *worker)
{
    LIST_EACH(link, &worker->clients)
    {
        downstream_target_left(LIST_ENTRY(link, struct downstream, link));
    }
    relay_targets_left(worker);
}

void worker_endpoints_changed(struct worker *worker, const struct endpoints *old)
{
    bool is_in_use = false;
    for (uint32_t i = 0; i < old->count; i++) {
        struct target_state *target = old->items[i].target;
        if (!target->slots[worker->index].pool ||
            !atomic_load_explicit(&target->gone, memory_order_relaxed))
            continue;
        upstream_pool_close_idle(target->slots[worker->index].pool);
        is_in_use = is_in_use || target->slots[worker->index].pool;
    }
    if (is_in_use)
        give_up_connecting(worker);
    wake_parked(worker);
    relay_endpoints_changed(worker);
}

void worker_read_counters(const struct worker *worker, struct worker_counters *sum)
{
    const struct worker_stats *stats = &worker->stats;
    sum->connections_accepted +=
        atomic_load_explicit(&stats->connections_accepted, memory_order_relaxed);
    sum->connections_active +=
        atomic_load_explicit(&stats->connections_active, memory_order_relaxed);
    sum->connections_waiting +=
        atomic_load_explicit(&stats->connections_waiting, memory_order_relaxed);
    sum->streams_accepted += atomic_load_explicit(&stats->streams_accepted, memory_order_relaxed);
    sum->streams_active += atomic_load_explicit(&stats->streams_active, memory_order_relaxed);
    sum->accept_pauses += atomic_load_explicit(&stats->accept_pauses, memory_order_relaxed);
    sum->requests_total += atomic_load_explicit(&stats->requests_total, memory_order_relaxed);
    sum->exchanges_active += atomic_load_explicit(&stats->exchanges_active, memory_order_relaxed);
    sum->tls_handshakes += atomic_load_explicit(&stats->tls_handshakes, memory_order_relaxed);
    sum->tls_resumed += atomic_load_explicit(&stats->tls_resumed, memory_order_relaxed);
    sum->http2_connections += metrics_read(&stats->http2_connections);
    sum->tls_failed += atomic_load_explicit(&stats->tls_failed, memory_order_relaxed);
    for (int i = 0; i < TRY_FAILURE_COUNT; i++)
        sum->failures[i] += metrics_read(&stats->failures[i]);
    sum->upstream_opened += metrics_read(&stats->upstream_opened);
    sum->upstream_http2 += metrics_read(&stats->upstream_http2);
    sum->upstream_reused += metrics_read(&stats->upstream_reused);
    sum->upstream_open += metrics_read(&stats->upstream_open);
    sum->upstream_idle += metrics_read(&stats->upstream_idle);
    tally_add(&sum->tls_failures, &stats->tls_failures);
    tally_add(&sum->refused, &stats->refused);
    tally_add(&sum->answered, &stats->answered);
    tally_add(&sum->streams_failed, &stats->streams_failed);
}

/* --- listening --- */

uint16_t worker_port(const struct worker *worker, unsigned listener)
{
    return worker->acceptors[listener].port;
}

int worker_listener_fd(const struct worker *worker, unsigned listener)
{
    int fd;
    const struct acceptor *acceptor = &worker->acceptors[listener];
    return uv_fileno((const uv_handle_t *)&acceptor->tcp, &fd) ? -1 : fd;
}

/* --- the end --- */

static void free_worker(struct worker *worker)
{
    let_go_of_config(worker);
    snapshot_unref(atomic_exchange(&worker->next, NULL));
    spares_free(worker);
    upstream_peer_free_all(worker);
    for (unsigned i = 0; i < ACCEPTOR_MAX; i++)
        if (worker->acceptors[i].owns_tls)
            tls_server_destroy(worker->acceptors[i].tls);
    tls_server_destroy(worker->tls);
    tls_server_destroy(worker->stream_tls);
    tls_io_destroy(worker->read_buffer.tls);
    stream_pipe_destroy(worker->pipe);
    free(worker->read_buffer.bytes);
    free(worker->scratch);
    free(worker);
}

/* No client is left: what remains on the loop goes, and with it the loop. The mailbox stays to the
 * last, for control may post until it joins. */
static void end_loop(struct worker *worker)
{
    worker->state = WORKER_ENDING;
    upstream_pool_close_all(worker);
    timer_wheel_disarm(&worker->wheel, &worker->grace);
    timer_wheel_disarm(&worker->wheel, &worker->idle_sweep);
    timer_wheel_disarm(&worker->wheel, &worker->spares_look);
    uv_unref((uv_handle_t *)&worker->wheel.ticker); /* the access log may have a node on it */
}

static bool has_clients(const struct worker *worker)
{
    return !list_is_empty(&worker->clients) || !list_is_empty(&worker->relays);
}

void worker_client_gone(struct worker *worker)
{
    acceptors_resume(worker);
    spares_look_later(worker);
    if (worker->state == WORKER_STOPPING && !has_clients(worker))
        end_loop(worker);
}

static void on_grace_over(struct timer_node *node)
{
    struct worker *worker = LIST_ENTRY(node, struct worker, grace);
    LIST_EACH(link, &worker->clients)
    {
        downstream_cut(LIST_ENTRY(link, struct downstream, link));
    }
    relay_cut_all(worker);
}

static void deliver_stop(struct mail *mail, void *owner)
{
    struct worker *worker = owner;
    (void)mail;
    acceptors_drain(worker);
    acceptors_close(worker);
    worker->state = WORKER_STOPPING;
    LIST_EACH(link, &worker->clients)
    {
        downstream_stop(LIST_ENTRY(link, struct downstream, link));
    }
    if (!has_clients(worker))
        end_loop(worker);
    else
        timer_wheel_arm(&worker->wheel, &worker->grace, worker->grace_ms);
}

static void deliver_reopen(struct mail *mail, void *owner)
{
    struct worker *worker = owner;
    (void)mail;
    atomic_store(&worker->is_reopening, false);
    if (worker->access_log)
        access_log_reopen(worker->access_log);
}

void worker_reopen_log(struct worker *worker)
{
    if (atomic_exchange(&worker->is_reopening, true))
        return;
    worker->reopen_mail.deliver = deliver_reopen;
    mailbox_post(&worker->mailbox, &worker->reopen_mail);
}

void worker_stop(struct worker *worker, uint32_t grace_ms, void (*on_stopped)(void *arg), void *arg)
{
    worker->grace_ms = grace_ms;
    worker->on_stopped = on_stopped;
    worker->on_stopped_arg = arg;
    worker->stop_mail.deliver = deliver_stop;
    mailbox_post(&worker->mailbox, &worker->stop_mail);
}

/* On control's thread again. */
static void close_loop(struct worker *worker)
{
    mailbox_close(&worker->mailbox);
    uv_close((uv_handle_t *)&worker->config_news, NULL);
    uv_close((uv_handle_t *)&worker->calls, NULL);
    uv_close((uv_handle_t *)&worker->flush, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&worker->loop);
    assert(rc == 0);
    (void)rc;
}

void worker_join(struct worker *worker)
{
    if (!worker)
        return;
    uv_thread_join(&worker->thread);
    close_loop(worker);
    free_worker(worker);
}

/* --- the beginning --- */

static void run_loop(void *arg)
{
    struct worker *worker = arg;
    sigset_t pipe; /* it would tell of every client that leaves, and end the process */
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    access_log_close(worker->access_log);
    worker->access_log = NULL;
    timer_wheel_close(&worker->wheel);
    timer_wheel_close(&worker->hedge_wheel);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    worker->on_stopped(worker->on_stopped_arg);
}

static const struct tls_names *names_of_config(void *owner)
{
    const struct snapshot *snapshot = worker_look_at_config(owner);
    return snapshot ? snapshot->names : NULL;
}

static const struct tls_names *acme_names_of_config(void *owner)
{
    const struct snapshot *snapshot = worker_look_at_config(owner);
    return snapshot ? snapshot->acme_names : NULL;
}

static const struct tls_ticket_ring *ring_of_config(void *owner)
{
    const struct snapshot *snapshot = worker_look_at_config(owner);
    return snapshot ? snapshot->ticket_ring : NULL;
}

static struct worker *make(const struct worker_settings *settings, unsigned index)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        return NULL;
    worker->settings = *settings;
    worker->settings.snapshot = NULL;
    worker->settings.tls = NULL;
    worker->settings.stream_tls = NULL;
    atomic_init(&worker->next, settings->snapshot ? snapshot_ref(settings->snapshot) : NULL);
    worker->index = index;
    list_init(&worker->clients);
    list_init(&worker->dirty_multiplexes);
    list_init(&worker->dirty_upstreams);
    list_init(&worker->relays);
    list_init(&worker->waiting_relays);
    list_init(&worker->parked);
    list_init(&worker->pendings);
    list_init(&worker->pools);
    list_init(&worker->peers.by_age);
    list_init(&worker->idle_upstreams);
    spares_init(worker);
    timer_node_init(&worker->grace, on_grace_over);
    timer_node_init(&worker->idle_sweep, upstream_pool_on_sweep);
    random_init(&worker->random);
    /* A head may grow by what we add, and by escapes in its path. */
    worker->scratch_bytes = 4 * settings->max_head_bytes + 16 * 1024;
    worker->scratch = malloc(worker->scratch_bytes);
    worker->read_buffer.size = WORKER_READ_BYTES;
    worker->read_buffer.bytes = malloc(WORKER_READ_BYTES);
    if (!worker->scratch || !worker->read_buffer.bytes ||
        tls_io_create(WORKER_READ_BYTES, &worker->read_buffer.tls)) {
        free_worker(worker);
        return NULL;
    }
    (void)stream_pipe_create(&worker->pipe); /* without one, bodies are copied */
    return worker;
}

static int open_handles(struct worker *worker)
{
    int rc = mailbox_init(&worker->mailbox, &worker->loop, worker);
    if (rc)
        return rc;
    rc = uv_async_init(&worker->loop, &worker->config_news, on_config_news);
    if (rc)
        return rc;
    worker->config_news.data = worker;
    uv_unref((uv_handle_t *)&worker->config_news);
    rc = uv_async_init(&worker->loop, &worker->calls, on_call);
    if (rc)
        return rc;
    worker->calls.data = worker;
    uv_unref((uv_handle_t *)&worker->calls);
    rc = uv_prepare_init(&worker->loop, &worker->flush);
    if (rc)
        return rc;
    worker->flush.data = worker;
    uv_unref((uv_handle_t *)&worker->flush);
    rc = timer_wheel_init(&worker->hedge_wheel, &worker->loop, HEDGE_TICK_MS, worker);
    if (rc)
        return rc;
    return timer_wheel_init(&worker->wheel, &worker->loop, WORKER_TICK_MS, worker);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

/* Of a start that failed half-way: nothing runs on the loop yet. */
static void undo_start(struct worker *worker)
{
    uv_walk(&worker->loop, close_handle, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    uv_loop_close(&worker->loop);
    access_log_close(worker->access_log);
    free_worker(worker);
}

static int make_tls(struct worker *worker, const struct tls_server_settings *settings,
                    struct tls_server **ret, struct error *err)
{
    int rc = tls_server_create(settings, names_of_config, worker, ret, err);
    if (rc)
        return rc;
    tls_server_share_tickets(*ret, ring_of_config);
    if (!settings->carries_streams)
        tls_server_answer_acme(*ret, acme_names_of_config);
    return 0;
}

/* `settings` and `shared` are for all listeners of its kind; one that asks something else of its
 * clients has a context of its own. */
static int give_tls(struct worker *worker, struct acceptor *acceptor,
                    const struct listener_spec *spec, const struct tls_server_settings *settings,
                    struct tls_server *shared, struct error *err)
{
    if (!spec->is_tls || !settings)
        return 0;
    struct tls_server_settings own = *settings;
    listener_ask_clients(spec, &own);
    acceptor->checks_server_name =
        worker->settings.checks_server_name ||
        (!worker->settings.never_checks_server_name && own.client_check != TLS_CLIENT_NONE);
    acceptor->tls = shared;
    if (!spec->clients.is_own)
        return 0;
    int rc = make_tls(worker, &own, &acceptor->tls, err);
    acceptor->owns_tls = rc == 0;
    return rc;
}

static int open_listeners(struct worker *worker, const struct worker_settings *settings,
                          struct error *err)
{
    int rc = 0;
    struct acceptor *next = worker->acceptors;
    if (settings->tls)
        rc = make_tls(worker, settings->tls, &worker->tls, err);
    if (rc == 0 && settings->stream_tls)
        rc = make_tls(worker, settings->stream_tls, &worker->stream_tls, err);
    for (unsigned i = 0; rc == 0 && i < settings->listener_count; i++, next++) {
        const struct listener_spec *spec = &settings->listeners[i];
        rc = give_tls(worker, next, spec, settings->tls, worker->tls, err);
        if (rc == 0)
            rc = acceptor_open(worker, next, spec, false, err);
    }
    for (unsigned i = 0; rc == 0 && i < settings->stream_listener_count; i++, next++) {
        const struct listener_spec *spec = &settings->stream_listeners[i];
        rc = give_tls(worker, next, spec, settings->stream_tls, worker->stream_tls, err);
        if (rc == 0)
            rc = acceptor_open(worker, next, spec, true, err);
    }
    return rc;
}

int worker_start(const struct worker_settings *settings, unsigned index, struct worker **ret,
                 struct error *err)
{
    struct worker *worker = make(settings, index);
    if (!worker)
        return UV_ENOMEM;
    int rc = uv_loop_init(&worker->loop);
    if (rc) {
        free_worker(worker);
        return rc;
    }
    worker->loop.data = worker;
    rc = open_handles(worker);
    if (rc == 0 && settings->access_log_path)
        rc = access_log_open(&worker->loop, &worker->wheel, settings->access_log_path,
                             &worker->access_log, err);
    if (worker->access_log)
        access_log_set_format(worker->access_log, settings->access_log_format);
    if (rc == 0)
        rc = open_listeners(worker, settings, err);
    if (rc == 0)
        rc = uv_thread_create(&worker->thread, run_loop, worker);
    if (rc) {
        undo_start(worker);
        return rc;
    }
    *ret = worker;
    return 0;
}
