#include "control/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "base/metrics_text.h"
#include "control/acme.h"
#include "control/cluster.h"
#include "control/meters.h"
#include "control/process_metrics.h"
#include "control/stapling.h"
#include "control/start.h"
#include "discovery/registry.h"
#include "model/snapshot.h"
#include "proxy/retry.h"
#include "proxy/worker.h"
#include "store/store.h"

static const uint32_t build_bounds_us[BUILD_BOUNDS] = {1000,  2500,   5000,   10000,  25000,
                                                       50000, 100000, 500000, 5000000};
static const struct metrics_shape build_shape = {build_bounds_us, BUILD_BOUNDS};

void metrics_note_build(struct build_metrics *metrics, uint64_t ns, bool has_failed)
{
    metrics_observe(build_shape, metrics->build_us, ns / 1000);
    metrics_add(&metrics->failures, has_failed);
}

static void print_one(struct metrics_text *text, const char *name, enum metrics_kind kind,
                      const char *help, uint64_t value)
{
    metrics_text_family(text, name, kind, help);
    metrics_text_count(text, NULL, 0, value);
}

/* --- Kong's families of the node --- */

static void print_connections(const struct control *control, const struct worker_counters *sum,
                              struct metrics_text *text)
{
    const struct {
        const char *state;
        uint64_t value, of_streams;
    } rows[] = {
        {"accepted", sum->connections_accepted, sum->streams_accepted},
        {"active", sum->connections_active, sum->streams_active},
        {"handled", sum->connections_accepted, sum->streams_accepted},
        {"reading", 0, 0},
        {"total", sum->requests_total, sum->streams_accepted},
        {"waiting", sum->connections_waiting, 0},
        {"writing", sum->exchanges_active, sum->streams_active},
    };
    struct metrics_label labels[] = {{"node_id", str_of(control->node_id.text)},
                                     {"subsystem", STR("http")},
                                     {"state", STR_EMPTY}};
    metrics_text_family(text, "kong_nginx_connections_total", METRICS_GAUGE,
                        "Number of connections by subsystem");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        labels[2].value = str_of(rows[i].state);
        metrics_text_count(text, labels, 3, rows[i].value);
    }
    labels[1].value = STR("stream");
    bool has_streams = control->options->stream_listener_count > 0;
    for (size_t i = 0; has_streams && i < sizeof(rows) / sizeof(*rows); i++) {
        labels[2].value = str_of(rows[i].state);
        metrics_text_count(text, labels, 3, rows[i].of_streams);
    }
    labels[1].value = STR("http");
    metrics_text_family(text, "kong_nginx_requests_total", METRICS_COUNTER,
                        "Total number of requests");
    metrics_text_count(text, labels, 2, sum->requests_total);
}

static void print_node(const struct control *control, struct metrics_text *text)
{
    const struct metrics_label info[] = {{"node_id", str_of(control->node_id.text)},
                                         {"version", STR(WEIR_VERSION)}};
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    const struct metrics_label memory[] = {
        info[0], {"pid", str_of(pid)}, {"kong_subsystem", STR("http")}};
    size_t resident = 0;
    const struct store *store = cluster_store(control->cluster);
    print_one(text, "kong_datastore_reachable", METRICS_GAUGE,
              "Datastore reachable from Kong, 0 is unreachable",
              store && store_is_reachable(store));
    metrics_text_family(text, "kong_node_info", METRICS_GAUGE, "Kong Node metadata information");
    metrics_text_count(text, info, 2, 1);
    /* Kong's Lua machines are its memory; all of ours is the process's. */
    if (uv_resident_set_memory(&resident) == 0) {
        metrics_text_family(text, "kong_memory_workers_lua_vms_bytes", METRICS_GAUGE,
                            "Allocated bytes: the resident memory of all of weir");
        metrics_text_count(text, memory, 3, resident);
    }
}

/* --- workers --- */

static void print_tally(struct metrics_text *text, const char *name, const char *help,
                        const struct tally *tally)
{
    metrics_text_family(text, name, METRICS_COUNTER, help);
    for (uint32_t i = 0; i < tally->row_count; i++) {
        char code[16];
        snprintf(code, sizeof(code), "%u", tally->rows[i].code);
        const struct metrics_label labels[] = {{"code", str_of(code)},
                                               {"reason", str_of(tally->rows[i].text)}};
        metrics_text_count(text, labels, 2, metrics_read(&tally->rows[i].count));
    }
    if (metrics_read(&tally->others) == 0)
        return;
    const struct metrics_label labels[] = {{"code", STR("other")}, {"reason", STR("other")}};
    metrics_text_count(text, labels, 2, metrics_read(&tally->others));
}

static void print_reasons(struct metrics_text *text, const char *name, const char *help,
                          const struct tally *tally)
{
    metrics_text_family(text, name, METRICS_COUNTER, help);
    for (uint32_t i = 0; i < tally->row_count; i++)
        metrics_text_count(text, &(struct metrics_label){"reason", str_of(tally->rows[i].text)}, 1,
                           metrics_read(&tally->rows[i].count));
    if (metrics_read(&tally->others) > 0)
        metrics_text_count(text, &(struct metrics_label){"reason", STR("other")}, 1,
                           metrics_read(&tally->others));
}

static void print_failures(const struct worker_counters *sum, struct metrics_text *text)
{
    metrics_text_family(text, "weir_upstream_failures_total", METRICS_COUNTER,
                        "Tries that failed at a target, whether or not another followed");
    for (int i = 0; i < TRY_FAILURE_COUNT; i++)
        metrics_text_count(
            text,
            &(struct metrics_label){"failure", str_of(retry_failure_name((enum try_failure)i))}, 1,
            sum->failures[i]);
}

static void print_workers(const struct worker_counters *sum, struct metrics_text *text)
{
    print_tally(text, "weir_requests_refused_total",
                "Requests refused as bad or over a limit, by reason", &sum->refused);
    print_tally(text, "weir_own_answers_total",
                "Requests that weir answered itself: no route, no target, failed upstream",
                &sum->answered);
    print_tally(text, "weir_streams_failed_total",
                "Streams that found no route or no target, or began badly", &sum->streams_failed);
    print_failures(sum, text);
    print_one(text, "weir_upstream_connections_opened_total", METRICS_COUNTER,
              "Connections begun to targets", sum->upstream_opened);
    print_one(text, "weir_upstream_http2_connections_total", METRICS_COUNTER,
              "Of these, those that speak HTTP/2", sum->upstream_http2);
    print_one(text, "weir_upstream_connections_reused_total", METRICS_COUNTER,
              "Tries that went over a kept connection", sum->upstream_reused);
    print_one(text, "weir_accept_pauses_total", METRICS_COUNTER,
              "Times that a listener let new clients wait, at the limit of connections",
              sum->accept_pauses);
    print_one(text, "weir_http2_connections_total", METRICS_COUNTER,
              "Connections of clients that spoke HTTP/2", sum->http2_connections);
    metrics_text_family(text, "weir_tls_handshakes_total", METRICS_COUNTER,
                        "TLS handshakes with clients of the proxy");
    uint64_t full =
        sum->tls_handshakes > sum->tls_resumed ? sum->tls_handshakes - sum->tls_resumed : 0;
    metrics_text_count(text, &(struct metrics_label){"result", STR("full")}, 1, full);
    metrics_text_count(text, &(struct metrics_label){"result", STR("resumed")}, 1,
                       sum->tls_resumed);
    metrics_text_count(text, &(struct metrics_label){"result", STR("failed")}, 1, sum->tls_failed);
    print_reasons(text, "weir_tls_handshakes_failed_total",
                  "TLS handshakes with clients of the proxy that failed or were refused, by reason",
                  &sum->tls_failures);
    metrics_text_family(text, "weir_upstream_connections", METRICS_GAUGE,
                        "Connections to targets at this moment");
    uint64_t busy = sum->upstream_open > sum->upstream_idle
                        ? sum->upstream_open - sum->upstream_idle
                        : 0; /* read at two moments */
    metrics_text_count(text, &(struct metrics_label){"state", STR("busy")}, 1, busy);
    metrics_text_count(text, &(struct metrics_label){"state", STR("idle")}, 1, sum->upstream_idle);
}

/* --- configuration and node --- */

static void print_configuration(const struct control *control, struct metrics_text *text)
{
    static const char *const states[] = {"ready", "degraded", "draining"};
    const struct snapshot *snapshot = control->snapshot;
    const char *now = cluster_state(control->cluster);
    metrics_text_family(text, "weir_node_state", METRICS_GAUGE,
                        "1 for the state that GET /status/ready tells");
    for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
        metrics_text_count(text, &(struct metrics_label){"state", str_of(states[i])}, 1,
                           str_equal(str_of(now), str_of(states[i])));
    print_one(text, "weir_config_version", METRICS_GAUGE,
              "Counts up with each configuration that this node puts in force", control->version);
    print_one(text, "weir_config_services", METRICS_GAUGE, "Services in force",
              snapshot ? snapshot->service_count : 0);
    print_one(text, "weir_config_routes", METRICS_GAUGE, "Routes in force",
              snapshot ? snapshot->route_count : 0);
    print_one(text, "weir_config_build_failures_total", METRICS_COUNTER,
              "Configurations that could not be compiled: the one before stayed",
              metrics_read(&control->builds.failures));
    uint64_t cells[METRICS_CELLS(BUILD_BOUNDS)];
    for (unsigned i = 0; i < METRICS_CELLS(BUILD_BOUNDS); i++)
        cells[i] = metrics_read(&control->builds.build_us[i]);
    metrics_text_family(text, "weir_config_build_seconds", METRICS_HISTOGRAM,
                        "How long it took to compile a configuration");
    metrics_text_histogram(text, NULL, 0, build_shape, cells, 1e-6);
}

int metrics_print(void *arg, char **ret, size_t *ret_len)
{
    const struct control *control = arg;
    struct metrics_text text;
    struct worker_counters *sum = calloc(1, sizeof(*sum)); /* large, for its tallies */
    if (!sum)
        return UV_ENOMEM;
    for (unsigned i = 0; i < control->worker_count; i++)
        worker_read_counters(control->workers[i], sum);
    metrics_text_init(&text);
    meters_print(&control->meters, &text);
    print_connections(control, sum, &text);
    print_node(control, &text);
    print_workers(sum, &text);
    print_configuration(control, &text);
    if (control->registry)
        registry_print_metrics(control->registry, &text);
    cert_expiry_print(&control->cert_expiry, &text);
    stapling_print(control->stapling, &text);
    acme_print(control->acme, &text);
    process_metrics_print(&text);
    free(sum);

    char *copy = text.has_failed ? NULL : str_dup(buf_str(&text.buf));
    *ret_len = buf_len(&text.buf);
    metrics_text_deinit(&text);
    if (!copy)
        return UV_ENOMEM;
    *ret = copy;
    return 0;
}
