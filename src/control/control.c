#include "control/control.h"

#include <signal.h>
#include <stdio.h>

#include <uv.h>

#include "admin/server.h"
#include "base/log.h"
#include "control/acme.h"
#include "control/cluster.h"
#include "control/commit.h"
#include "control/consul_routes.h"
#include "control/handover.h"
#include "control/notify.h"
#include "control/options.h"
#include "control/snapshot_build.h"
#include "control/stapling.h"
#include "control/start.h"
#include "control/tls_compile.h"
#include "discovery/registry.h"
#include "proxy/handshake_limit.h"
#include "proxy/worker.h"

/*   start (any step may fail) --> run --SIGTERM, SIGINT--> wait WEIR_DRAIN_DELAY, not ready
 *     |                            |                         |
 *     |                            '--SIGUSR2, the new one   '--> drain: the Admin API closes,
 * workers |                               serves --------------------> end their exchanges | |
 *     '---------------------- failed -------------------------->'--> close: registry, store -->
 * done
 *
 * Each step on the way down takes what is there and goes on when it is closed, so that a start that
 * failed half-way ends by the same road. */
#define STEER_MS 300 /* handshakes under way end at the old sockets before these are closed */

/* ---- the way down ---- */

static void close_rest(struct control *control);

static void on_registry_closed(void *arg)
{
    struct control *control = arg;
    control->registry = NULL;
    close_rest(control);
}

static void on_cluster_stopped(void *arg)
{
    struct control *control = arg;
    control->is_cluster_open = false;
    close_rest(control);
}

/* Called after each end; goes on when nothing is left that needs what comes next. */
static void close_rest(struct control *control)
{
    if (control->admin || control->status || control->workers_running > 0)
        return;
    while (control->worker_count > 0)
        worker_join(control->workers[--control->worker_count]);
    if (control->registry) {
        registry_close(control->registry, on_registry_closed, control);
        return;
    }
    if (control->is_cluster_open) {
        cluster_stop(control->cluster, on_cluster_stopped, control);
        return;
    }
    uv_close((uv_handle_t *)&control->delay, NULL);
    log_override_close(&control->log_override);
    uv_close((uv_handle_t *)&control->turn, NULL);
    expiry_close(&control->expiry);
    stapling_close(control->stapling);
    control->stapling = NULL;
    acme_close(control->acme);
    control->acme = NULL;
    cert_expiry_close(&control->cert_expiry);
    ticket_keys_close(&control->ticket_keys);
    for (unsigned i = 0; i < control->signal_count; i++)
        uv_close((uv_handle_t *)&control->signals[i], NULL);
    control->signal_count = 0;
    mailbox_close(&control->mailbox);
}

static void on_admin_closed(void *arg)
{
    struct control *control = arg;
    control->admin = NULL;
    close_rest(control);
}

static void on_status_closed(void *arg)
{
    struct control *control = arg;
    control->status = NULL;
    close_rest(control);
}

static void on_worker_end(struct mail *mail, void *owner)
{
    struct control *control = owner;
    (void)mail;
    control->workers_running--;
    close_rest(control);
}

static void on_worker_stopped(void *arg) /* on the worker's thread, as its last act */
{
    struct worker_end *end = arg;
    mailbox_post(&end->control->mailbox, &end->mail);
}

static void stop(struct control *control)
{
    if (control->is_stopping)
        return;
    control->is_stopping = true;
    acme_stop(control->acme); /* has a last word to write */
    if (control->committer)
        committer_stop(control->committer);
    for (unsigned i = 0; i < control->worker_count; i++) {
        control->ends[i] = (struct worker_end){{.deliver = on_worker_end}, control};
        worker_stop(control->workers[i], control->options->stop_timeout_ms, on_worker_stopped,
                    &control->ends[i]);
    }
    if (control->status)
        admin_server_close(control->status, on_status_closed, control);
    if (control->admin)
        admin_server_close(control->admin, on_admin_closed, control);
    else
        close_rest(control);
}

static void on_delay_over(uv_timer_t *timer)
{
    stop(timer->data);
}

/* Readiness first: load balancers see that the node goes before it refuses anything. A second
 * signal meanwhile ends the wait. */
static void stop_after(struct control *control, uint64_t delay_ms)
{
    cluster_set_draining(control->cluster, true);
    if (delay_ms == 0 || control->is_delaying) {
        stop(control);
        return;
    }
    control->is_delaying = true;
    uv_timer_start(&control->delay, on_delay_over, delay_ms, 0);
}

/* ---- an upgrade on this host ---- */

static void on_handed_over(void *arg, bool serves, unsigned workers)
{
    struct control *control = arg;
    control->is_handing_over = false;
    if (!serves) {
        log_error("the new process does not serve; this one goes on");
        return;
    }
    if (control->is_stopping)
        return;
    unsigned listeners =
        control->options->proxy_listener_count + control->options->stream_listener_count;
    for (unsigned i = 0; control->worker_count && i < listeners; i++) {
        int fd = worker_listener_fd(control->workers[0], i);
        int rc = handover_steer(fd, control->worker_count, workers);
        if (rc)
            log_warn("new connections cannot be steered to the new process",
                     LOG_CSTR("error", uv_strerror(rc)));
    }
    log_notice("the new process serves; this one stops",
               LOG_INT("grace_ms", control->options->stop_timeout_ms));
    stop_after(control, STEER_MS);
}

static void hand_over(struct control *control)
{
    struct store_settings store;
    options_store_settings(control->options, &store);
    if (store.engine == STORE_SQLITE) {
        log_warn("SIGUSR2 ignored: two processes cannot share an embedded database");
        return;
    }
    if (!file_config_is_in_force(&control->file_config)) {
        log_warn("SIGUSR2 ignored: a new process would not know what was POSTed to /config");
        return;
    }
    if (control->is_handing_over || control->is_delaying)
        return;
    int rc = handover_start(&control->loop, on_handed_over, control);
    control->is_handing_over = rc == 0;
    if (rc)
        log_error("the new process cannot be started", LOG_CSTR("error", uv_strerror(rc)));
}

/* Settings are read at start, and all else changes at run time: files are what is left. */
static void reload(struct control *control)
{
    if (control->is_stopping)
        return;
    log_notice("opening the access log anew; settings are read at start only");
    file_config_reload(&control->file_config, start_submit, control);
    for (unsigned i = 0; i < control->worker_count; i++)
        worker_reopen_log(control->workers[i]);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct control *control = handle->data;
    if (signum == SIGHUP || signum == SIGUSR1) {
        reload(control);
        return;
    }
    if (control->is_stopping) {
        log_warn("second signal: stopping at once", LOG_INT("signal", signum));
        _exit(1);
    }
    if (signum == SIGUSR2) {
        hand_over(control);
        return;
    }
    notify_stopping(); /* not in a handover: the service goes on, as the new process */
    log_notice("stopping", LOG_INT("signal", signum),
               LOG_INT("delay_ms", control->options->drain_delay_ms),
               LOG_INT("grace_ms", control->options->stop_timeout_ms));
    stop_after(control, control->options->drain_delay_ms);
}

/* Whoever was lent rows has looked at them by now. */
static void on_turn(uv_check_t *handle)
{
    const struct control *control = handle->data;
    config_take_back(control->config, 0);
}

int control_run(const struct options *options)
{
    struct control control = {.options = options};
    struct error err = {.sentence = ""};
    log_set_level(options->log_level);
    control.node_id.fd = -1;
    meters_init(&control.meters, options->workers);
    control.settings = options_to_json(options);
    if (!control.settings || uv_loop_init(&control.loop)) {
        fputs("error: memory is short\n", stderr);
        return 1;
    }
    uv_timer_init(&control.loop, &control.delay);
    control.delay.data = &control;
    log_override_init(&control.log_override, &control.loop);
    uv_check_init(&control.loop, &control.turn);
    control.turn.data = &control;
    expiry_init(&control.expiry, &control.loop);
    cert_expiry_init(&control.cert_expiry, &control.loop);
    ticket_keys_init(&control.ticket_keys, &control.loop);
    int rc = mailbox_init(&control.mailbox, &control.loop, &control);
    if (!rc)
        rc = start_node(&control, on_signal, &err);
    if (rc) {
        fprintf(stderr, "error: %s%s%s\n", err.field, err.field[0] ? ": " : "",
                err.sentence[0] ? err.sentence : uv_strerror(rc));
        stop(&control);
    } else {
        uv_check_start(&control.turn, on_turn);
        uv_unref((uv_handle_t *)&control.turn);
        handover_tell(control.worker_count);
        notify_ready();
    }
    /* The mailbox keeps no loop alive; the signal handles do until the way down has closed them. */
    uv_run(&control.loop, UV_RUN_DEFAULT);

    committer_destroy(control.committer);
    consul_routes_destroy(control.consul_routes);
    cluster_destroy(control.cluster);
    snapshot_unref(control.snapshot);
    meters_deinit(&control.meters);
    build_cache_deinit(&control.build);
    config_destroy(control.config);
    node_id_deinit(&control.node_id);
    json_decref(control.settings);
    tls_compiler_destroy(control.tls_compiler);
    handshake_limit_destroy(control.handshake_limit);
    admin_setup_deinit(&control.admin_setup);
    tls_setup_deinit(&control.tls);
    int leftover = uv_loop_close(&control.loop);
    if (leftover)
        log_warn("handles were left open at the end", LOG_CSTR("why", uv_strerror(leftover)));
    if (!rc)
        log_notice("stopped");
    return rc ? 1 : 0;
}
