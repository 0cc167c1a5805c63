#include "control/start.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/server.h"
#include "base/log.h"
#include "control/acme.h"
#include "control/acme_rows.h"
#include "control/cluster.h"
#include "control/commit.h"
#include "control/config_events.h"
#include "control/consul_routes.h"
#include "control/descriptors.h"
#include "control/first_process.h"
#include "control/handover.h"
#include "control/plugin_notice.h"
#include "control/preflight.h"
#include "control/publish.h"
#include "control/snapshot_build.h"
#include "control/stapling.h"
#include "control/tls_compile.h"
#include "discovery/registry.h"
#include "net/tls_client.h"
#include "net/tls_identity.h"
#include "proxy/handshake_limit.h"
#include "proxy/worker.h"

/* ---- what the other layers call back ---- */

/* A file's secret goes before the database's; and there must be a database. */
static bool shares_tickets(const struct control *control)
{
    const struct options *options = control->options;
    return control->tls.identity && !options->ssl_ticket_secret_file &&
           options->database != STORE_MEMORY;
}

static int compile_tls(struct control *control, struct snapshot *snapshot)
{
    int rc = tls_compile(control->tls_compiler, control->config, snapshot);
    if (!rc)
        rc = acme_rows_compile(control->config, snapshot);
    if (rc || !shares_tickets(control))
        return rc;
    return ticket_keys_compile(control->config, control->options->ssl_session_timeout_s,
                               (uint64_t)time(NULL), &snapshot->ticket_ring);
}

static void publish(void *arg)
{
    struct control *control = arg;
    struct error err = {.sentence = "memory is short"};
    struct snapshot *snapshot;
    if (control->is_stopping)
        return; /* the registry may be gone while the store still tells */
    consul_routes_apply(control->consul_routes, control->registry, control->config);
    uint64_t begun_ns = uv_hrtime();
    int rc = snapshot_build(control->config, control->registry, &control->build,
                            control->version + 1, &snapshot, &err);
    if (!rc) {
        rc = compile_tls(control, snapshot);
        if (rc)
            snapshot_unref(snapshot);
    }
    uint64_t build_ns = uv_hrtime() - begun_ns;
    metrics_note_build(&control->builds, build_ns, rc != 0);
    if (rc) {
        config_events_failed(registry_events(control->registry), &err);
        log_error("configuration cannot be compiled; the one before stays in force",
                  LOG_CSTR("at", err.field), LOG_CSTR("why", err.sentence));
        return;
    }
    control->version++;
    log_debug("snapshot published", LOG_INT("version", control->version),
              LOG_INT("services", snapshot->service_count),
              LOG_INT("routes", snapshot->route_count));
    if (control->options->has_metrics)
        meters_attach(&control->meters, snapshot, control->snapshot);
    snapshot_unref(control->snapshot);
    control->snapshot = snapshot_ref(snapshot);
    publish_snapshot(control->workers, control->worker_count, snapshot);
    registry_end(control->registry); /* not before: requests still used what goes now */
    config_events_published(registry_events(control->registry), control->snapshot, build_ns);
}

/* Instances claim other routes now. */
static void on_routes(void *arg)
{
    struct control *control = arg;
    if (!control->is_stopping &&
        consul_routes_apply(control->consul_routes, control->registry, control->config))
        publish(control);
}

/* On the way down the registry goes, and its events with it, while the store may still tell. */
static bool has_events(const struct control *control)
{
    return control->registry && !control->is_stopping;
}

/* Whether what workers read may be another for it: a lease that is renewed is nothing to them. */
static bool is_compiled(const struct config_change *change)
{
    for (size_t i = 0; i < change->count; i++)
        if (!change->ops[i].entity->is_uncompiled)
            return true;
    return false;
}

static void publish_commit(void *arg, const struct config_change *change)
{
    struct control *control = arg;
    plugin_notice_change(change);
    if (has_events(control))
        config_events_commit(registry_events(control->registry), change);
    if (is_compiled(change))
        publish(control);
    cluster_note_commit(control->cluster, change);
}

static void on_told(void *arg, const char *kind, const char *id, size_t count)
{
    struct control *control = arg;
    if (!has_events(control))
        return;
    if (kind)
        config_events_row(registry_events(control->registry), control->config, kind, id);
    else
        config_events_more(registry_events(control->registry), count, "another node");
}

static void on_turned(void *arg)
{
    struct control *control = arg;
    if (!has_events(control) || !control->cluster)
        return;
    const char *now = cluster_state(control->cluster);
    if (control->told_state != now)
        config_events_state(registry_events(control->registry), now);
    control->told_state = now;
}

static void retire(void *arg, struct endpoints *old)
{
    struct control *control = arg;
    publish_retire(control->workers, control->worker_count, old);
}

/* ---- what workers tell of targets ---- */

struct health_mail {
    struct mail mail;                /* first: a mail is its health_mail */
    struct upstream_state *upstream; /* referenced */
    struct target_state *target;     /* referenced */
    struct passive_news news;
};

static void on_health_mail(struct mail *mail, void *owner)
{
    struct health_mail *letter = (struct health_mail *)mail;
    struct control *control = owner;
    if (control->registry)
        registry_hear(control->registry, letter->upstream, letter->target, &letter->news);
    upstream_state_unref(letter->upstream);
    target_state_unref(letter->target);
    free(letter);
}

static void on_health_news(void *arg, struct upstream_state *upstream, struct target_state *target,
                           const struct passive_news *news) /* on a worker's thread */
{
    struct control *control = arg;
    struct health_mail *letter = malloc(sizeof(*letter));
    if (!letter) {
        log_error("no memory to tell why a target has turned", LOG_CSTR("target", target->name));
        return;
    }
    *letter = (struct health_mail){
        {.deliver = on_health_mail}, upstream_state_ref(upstream), target_state_ref(target), *news};
    mailbox_post(&control->mailbox, &letter->mail);
}

void start_submit(void *arg, struct config_write *write)
{
    committer_submit(((struct control *)arg)->committer, write);
}

static const char *state(void *arg)
{
    return cluster_state(((struct control *)arg)->cluster);
}

static json_t *status(void *arg)
{
    return cluster_status(((struct control *)arg)->cluster);
}

static void set_draining(void *arg, bool is_draining)
{
    cluster_set_draining(((struct control *)arg)->cluster, is_draining);
}

static void list_nodes(void *arg, void (*done)(void *arg, json_t *list), void *done_arg)
{
    cluster_list_nodes(((struct control *)arg)->cluster, done, done_arg);
}

static void wait_all(void *arg, uint64_t limit_ms, void (*done)(void *arg, const char *behind),
                     void *done_arg)
{
    cluster_wait_all(((struct control *)arg)->cluster, limit_ms, done, done_arg);
}

static json_t *acme(void *arg)
{
    return acme_to_json(((struct control *)arg)->acme);
}

static const struct admin_cluster admin_cluster = {
    .state = state,
    .status = status,
    .set_draining = set_draining,
    .list_nodes = list_nodes,
    .wait_all = wait_all,
};

static json_t *server_counters(void *arg)
{
    const struct control *control = arg;
    struct worker_counters sum = {0};
    for (unsigned i = 0; i < control->worker_count; i++)
        worker_read_counters(control->workers[i], &sum);
    json_int_t accepted = (json_int_t)(sum.connections_accepted + sum.streams_accepted);
    json_int_t active = (json_int_t)(sum.connections_active + sum.streams_active);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "connections_accepted", accepted,
                     "connections_handled", accepted, "connections_active", active,
                     "connections_reading", (json_int_t)0, "connections_writing",
                     (json_int_t)sum.exchanges_active, "connections_waiting",
                     (json_int_t)sum.connections_waiting, "total_requests",
                     (json_int_t)sum.requests_total);
}

/* ---- the way up ---- */

static int start_signals(struct control *control, uv_signal_cb on_signal)
{
    static const int signums[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2};
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(signums) / sizeof(*signums); i++) {
        uv_signal_t *handle = &control->signals[i];
        int rc = uv_signal_init(&control->loop, handle);
        if (rc)
            return rc;
        control->signal_count++;
        handle->data = control;
        rc = uv_signal_start(handle, on_signal, signums[i]);
        if (rc)
            return rc;
    }
    int rc = first_process_reap(&control->loop, &control->signals[control->signal_count]);
    control->signal_count += rc == 0;
    return rc;
}

static bool has_tls(const struct listener_spec *listeners, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (listeners[i].is_tls)
            return true;
    return false;
}

/* The machine's certificates are read even where no service is verified: later is too late to say
 * that they can't be. That there are none is an error only where somebody asked for others. */
static int create_tls_compiler(struct control *control, struct error *err)
{
    const struct options *options = control->options;
    struct tls_out_defaults defaults = {.verifies = options->upstream_tls_verify,
                                        .depth = options->upstream_tls_verify_depth};
    int rc = tls_store_load(options->lua_ssl_trusted_certificate,
                            "WEIR_LUA_SSL_TRUSTED_CERTIFICATE", &defaults.trusted, err);
    if (rc && strcmp(options->lua_ssl_trusted_certificate, "system") == 0)
        log_notice("the machine has no trusted certificates: no upstream can be verified by them");
    else if (rc)
        return rc;
    rc = tls_setup_read_client(options, &defaults.identity, err);
    if (!rc)
        rc = tls_compiler_create(&defaults, &control->tls_compiler);
    if (rc) {
        tls_store_unref(defaults.trusted);
        tls_identity_unref(defaults.identity);
    }
    return rc;
}

static int set_up_tls(struct control *control, struct error *err)
{
    const struct options *options = control->options;
    if (!has_tls(options->proxy_listeners, options->proxy_listener_count) &&
        !has_tls(options->stream_listeners, options->stream_listener_count) &&
        !has_tls(options->admin_listeners, options->admin_listener_count) &&
        !has_tls(options->status_listeners, options->status_listener_count))
        return 0;
    int rc = tls_setup_init(&control->tls, options, err);
    bool has_limit = options->ssl_handshake_rate > 0 || options->ssl_client_handshake_rate > 0;
    return rc || !has_limit ? rc
                            : handshake_limit_create(options->ssl_handshake_rate,
                                                     options->ssl_client_handshake_rate,
                                                     &control->handshake_limit);
}

static int start_stapling(struct control *control, struct error *err)
{
    const struct stapling_settings settings = {.asks = control->options->has_ssl_stapling,
                                               .files = control->options->ssl_stapling_file,
                                               .certs = &control->cert_expiry};
    bool is_wanted = settings.asks || settings.files;
    return is_wanted && control->tls.identity
               ? stapling_create(&control->loop, &settings, &control->stapling, err)
               : 0;
}

static int create_acme(struct control *control, struct error *err)
{
    const struct acme_settings settings = {.options = control->options,
                                           .config = control->config,
                                           .node_id = control->node_id.text,
                                           .submit = start_submit,
                                           .wait_all = wait_all,
                                           .control = control};
    return acme_create(&control->loop, &settings, &control->acme, err);
}

static int load_config(struct control *control, struct error *err)
{
    int rc = config_create(&control->config);
    if (rc)
        return rc;
    const struct cluster_settings settings = {
        .loop = &control->loop,
        .options = control->options,
        .config = control->config,
        .node_id = &control->node_id,
        .publish = publish,
        .submit = start_submit,
        .told = on_told,
        .turned = on_turned,
        .owner = control,
    };
    rc = cluster_open(&settings, &control->cluster, err);
    control->is_cluster_open = control->cluster != NULL;
    if (!rc)
        rc = file_config_load(&control->file_config, control->options, control->config, err);
    return rc;
}

static int start_discovery(struct control *control)
{
    const struct options *options = control->options;
    const struct registry_settings settings = {
        .consul = {.urls = options->consul_url,
                   .token = options->consul_token,
                   .token_file = options->consul_token_file,
                   .ca_cert = options->consul_cacert,
                   .client_cert = options->consul_client_cert,
                   .client_key = options->consul_client_key,
                   .server_name = options->consul_server_name,
                   .node = options->consul_node,
                   .zone = options->zone,
                   .wait_ms = options->consul_wait_ms},
        .data_dir = options->data_dir,
        .dns = {.servers = options->dns_servers, .forwards = options->dns_forwards},
        .panic_percent = options->panic_percent,
        .worker_count = options->workers,
        .on_routes = options->has_consul_routes ? on_routes : NULL,
        .retire = retire,
        .owner = control,
    };
    int rc = options->has_consul_routes ? consul_routes_create(&control->consul_routes) : 0;
    return rc ? rc : registry_create(&control->loop, &settings, &control->registry);
}

/* One byte at least: who sends nothing makes no progress. */
static uint32_t client_progress_bytes(const struct options *options)
{
    uint64_t bytes = (uint64_t)options->client_min_rate * options->client_body_timeout_ms / 1000;
    return bytes < 1 ? 1 : bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

static int start_workers(struct control *control, struct error *err)
{
    const struct options *options = control->options;
    const struct descriptor_shares shares =
        descriptors_take(options->workers, options->max_connections, options->upstream_pool_size);
    const struct worker_settings settings = {
        .listeners = options->proxy_listeners,
        .listener_count = options->proxy_listener_count,
        .stream_listeners = options->stream_listeners,
        .stream_listener_count = options->stream_listener_count,
        .tls = control->tls.identity ? &control->tls.proxy : NULL,
        .stream_tls = control->tls.identity && options->stream_listener_count > 0
                          ? &control->tls.streams
                          : NULL,
        .tls_handshake_timeout_ms = options->ssl_handshake_timeout_ms,
        .handshake_limit = control->handshake_limit,
        .checks_server_name = options->ssl_checks_host,
        .never_checks_server_name = options->ssl_never_checks_host,
        .client_header_timeout_ms = options->client_header_timeout_ms,
        .client_idle_timeout_ms = options->client_idle_timeout_ms,
        .client_body_timeout_ms = options->client_body_timeout_ms,
        .client_progress_bytes = client_progress_bytes(options),
        .trust = &options->trust,
        .request_timeout_ms = options->request_timeout_ms,
        .upstream_idle_timeout_ms = options->upstream_idle_timeout_ms,
        .upstream_pool_size = shares.idle_upstreams,
        .max_clients = shares.clients,
        .upstream_max_requests = options->upstream_max_requests,
        .upstream_http2 = options->upstream_http2,
        .upstream_http2_streams = options->upstream_http2_streams,
        .max_head_bytes = options->max_head_bytes,
        .max_body_bytes = options->max_body_bytes,
        .add_latency_headers = options->add_latency_headers,
        .add_server_timing = options->add_server_timing,
        .starts_traces = options->starts_traces,
        .access_log_format = options->access_log_format,
        .access_log_path = options->access_log_path,
        .snapshot = control->snapshot,
        .on_health_news = on_health_news,
        .owner = control,
    };
    bool has_listeners = options->proxy_listener_count + options->stream_listener_count > 0;
    unsigned count = has_listeners ? options->workers : 0;
    for (unsigned i = 0; i < count; i++) {
        int rc = worker_start(&settings, i, &control->workers[i], err);
        if (rc)
            return rc;
        control->worker_count++;
        control->workers_running++;
    }
    return 0;
}

static void set_log_level(void *arg, enum log_level level, uint64_t for_ms)
{
    struct control *control = arg;
    log_override_set(&control->log_override, level, for_ms);
}

static int start_admin(struct control *control, struct error *err)
{
    const struct options *options = control->options;
    struct admin_node node = {
        .config = control->config,
        .registry = control->registry,
        .store = cluster_store(control->cluster),
        .submit = start_submit,
        .control = control,
        .node_id = control->node_id.text,
        .settings = control->settings,
        .server_counters = server_counters,
        .set_log_level = set_log_level,
        .cluster = &admin_cluster,
        .metrics = options->has_metrics ? metrics_print : NULL,
        .acme = acme,
        .tls = control->tls.identity ? &control->tls.admin : NULL,
        .guard = control->admin_setup.guard,
        .max_body_bytes = options->admin_max_body_bytes,
        .config_hash = control->file_config.options ? control->file_config.hash : NULL,
        .worker_count = control->worker_count,
    };
    int rc = admin_server_start(&control->loop, options->admin_listeners,
                                options->admin_listener_count, &node, &control->admin, err);
    node.is_status_only = true;
    node.guard = NULL; /* who looks there has no token, and no certificate */
    if (node.tls)
        node.tls = &control->tls.status;
    if (!rc && options->status_listener_count > 0)
        rc = admin_server_start(&control->loop, options->status_listeners,
                                options->status_listener_count, &node, &control->status, err);
    return rc;
}

static void log_started(const struct options *options)
{
    log_notice(
        "weir is running", LOG_CSTR("version", WEIR_VERSION),
        LOG_CSTR("proxy", options->proxy_listener_count ? options->proxy_listeners[0].text : "off"),
        LOG_CSTR("stream",
                 options->stream_listener_count ? options->stream_listeners[0].text : "off"),
        LOG_CSTR("admin", options->admin_listener_count ? options->admin_listeners[0].text : "off"),
        LOG_CSTR("consul", options->consul_url ? options->consul_url : "off"),
        LOG_CSTR("data", options->data_dir), LOG_INT("workers", options->workers));
}

int start_node(struct control *control, uv_signal_cb on_signal, struct error *err)
{
    int rc = handover_is_receiver() ? 0 : preflight_check(control->options, err);
    if (!rc)
        rc = start_signals(control, on_signal);
    if (!rc)
        rc = load_config(control, err);
    if (!rc)
        rc = set_up_tls(control, err);
    if (!rc)
        rc = admin_setup_init(&control->admin_setup, control->options, err);
    if (!rc)
        rc = create_tls_compiler(control, err);
    if (!rc) {
        node_id_init(&control->node_id, control->options->data_dir);
        rc = start_discovery(control);
    }
    if (!rc)
        rc = committer_create(control->config, cluster_store(control->cluster), publish_commit,
                              control, &control->committer);
    if (!rc)
        rc = create_acme(control, err);
    if (rc)
        return rc;
    expiry_start(&control->expiry, start_submit, control);
    plugin_notice_all(control->config);
    cert_expiry_start(&control->cert_expiry, &control->tls, control->tls_compiler);
    rc = start_stapling(control, err);
    if (rc)
        return rc;
    publish(control); /* before a worker listens: its first request finds its route */
    malloc_trim(0);   /* what loading and compiling took, and glibc would keep for good */
    rc = start_workers(control, err);
    if (!rc)
        rc = cluster_start(control->cluster);
    if (!rc && shares_tickets(control))
        ticket_keys_start(&control->ticket_keys, control->config,
                          control->options->ssl_session_timeout_s, start_submit, control);
    if (!rc)
        rc = start_admin(control, err);
    if (!rc) {
        log_started(control->options);
        acme_start(control->acme); /* not before validations can be answered */
    }
    return rc;
}
