/* relay_outcome.c - what is told of a relay: counters, the access log, and a line in the log when
 * it failed. */
#include "base/log.h"
#include "model/meter.h"
#include "model/target_state.h"
#include "proxy/access_log.h"
#include "proxy/outcome.h"
#include "proxy/relay_parts.h"
#include "proxy/worker_core.h"

#define FIRST_FAILURE_STATUS 500

void relay_outcome_failed_try(struct relay *relay, const struct target_state *target,
                              enum try_failure failure, int error, const char *reason, bool is_last)
{
    metrics_add(&relay->worker->stats.failures[failure], 1);
    if (!outcome_may_log(relay->worker))
        return;
    log_warn("upstream failed", LOG_CSTR("failure", retry_failure_name(failure)),
             LOG_CSTR("reason", error ? uv_strerror(error) : reason),
             LOG_CSTR("upstream", relay->plan.upstream->name), LOG_CSTR("target", target->name),
             LOG_CSTR("instance", target->instance),
             LOG_CSTR("next", is_last ? "none" : "another target, where there is one"),
             LOG_STR("client", relay_peer(relay)), LOG_INT("port", relay->port));
}

static void log_failure(struct relay *relay, uint16_t status, const char *reason)
{
    if (!outcome_may_log(relay->worker))
        return;
    enum log_level level = status >= FIRST_FAILURE_STATUS ? LOG_WARN : LOG_INFO;
    LOG_AT(level, "stream failed", LOG_CSTR("reason", reason), LOG_INT("status", status),
           LOG_STR("client", relay_peer(relay)), LOG_INT("port", relay->port),
           LOG_STR("server_name", relay->server_name), LOG_STR("route", relay->plan.route),
           LOG_STR("service", relay->plan.service), LOG_INT("tries", relay->try_count));
}

static struct str scheme_of(const struct relay *relay)
{
    return relay->protocol == PROTOCOL_TLS               ? STR("tls")
           : relay->protocol == PROTOCOL_TLS_PASSTHROUGH ? STR("tls_passthrough")
                                                         : STR("tcp");
}

static void write_access_line(struct relay *relay, uint16_t status, uint64_t now_ms)
{
    struct worker *worker = relay->worker;
    wall_clock_turn(&worker->clock, now_ms);
    const struct access_line line = {
        .peer = relay->peer_len ? relay_peer(relay) : STR("-"), /* gone before it was seen */
        .time = str_make(worker->clock.log_text, WALL_CLOCK_LOG_BYTES),
        .iso_time = str_make(worker->clock.iso_text, WALL_CLOCK_ISO_BYTES),
        .scheme = scheme_of(relay),
        .server_name = relay->server_name,
        .status = status,
        .body_bytes = relay->sent_bytes,
        .received_bytes = relay->received_bytes,
        .is_tls = relay->is_tls,
        .service = relay->plan.service,
        .route = relay->plan.route,
        .upstream = relay->plan.upstream ? str_of(relay->plan.upstream->name) : STR_EMPTY,
        .target = str_of(relay->target_name),
        .tries = relay->try_count,
        .request_ms = now_ms - relay->started_ms,
        .upstream_ms =
            relay->opened_ms ? relay->opened_ms - relay->tried_at_ms : ACCESS_LOG_NO_TIME,
    };
    access_log_add_stream(worker->access_log, &line);
}

void relay_outcome_record(struct relay *relay, uint16_t status, const char *reason)
{
    struct worker *worker = relay->worker;
    uint64_t now_ms = worker_now(worker);
    const struct meter_facts facts = {
        .status = status,
        .by_gateway = relay->opened_ms == 0,
        .ingress_bytes = relay->received_bytes,
        .egress_bytes = relay->sent_bytes,
        .request_ms = now_ms - relay->started_ms,
        .gateway_ms = (relay->opened_ms ? relay->opened_ms : now_ms) - relay->started_ms,
        .upstream_ms = METER_NO_UPSTREAM,
    };
    if (relay->plan.meter)
        meter_count(relay->plan.meter, worker->index, &facts);
    if (reason) {
        tally_count(&worker->stats.streams_failed, status, str_of(reason));
        log_failure(relay, status, reason);
    }
    if (worker->access_log)
        write_access_line(relay, status, now_ms);
}
