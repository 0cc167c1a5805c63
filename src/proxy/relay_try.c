/* relay_try.c - a relay's target: picked as for a request, connected to, and another one in its
 * place as long as no byte of the client's has gone out.
 *
 * A target is judged by whether a connection to it can be made; what is spoken over it isn't ours
 * to judge. Where all targets are at their limit a stream waits as a request does (pending.h),
 * unless it has tried one. */
#include <stdio.h>
#include <stdlib.h>

#include "balance/balancer.h"
#include "balance/consistent_hash.h"
#include "health/trial.h"
#include "model/target_state.h"
#include "net/tls.h"
#include "net/tls_client.h"
#include "proxy/limits.h"
#include "proxy/pending.h"
#include "proxy/relay.h"
#include "proxy/relay_parts.h"
#include "proxy/upstream_peer.h"
#include "proxy/upstream_pool.h"
#include "proxy/worker_core.h"

/* As if it were a request that may be sent twice (proxy/retry.h): nothing of it was sent. */
#define METHOD_GET 1

static struct endpoints *endpoints_of(const struct relay *relay)
{
    return upstream_state_endpoints(relay->plan.upstream);
}

/* --- health --- */

static void pass_on_news(struct relay *relay, const struct passive_news *news)
{
    const struct worker_settings *settings = &relay->worker->settings;
    if (news->turn != PASSIVE_NO_TURN && settings->on_health_news)
        settings->on_health_news(settings->owner, relay->plan.upstream, relay->pool->target, news);
}

static void tell_connected(struct relay *relay)
{
    struct target_state *target = relay->pool->target;
    struct passive_news news = relay->is_trial
                                   ? trial_end(relay->plan.upstream, target, HEALTH_SUCCESS, 0)
                                   : passive_connected(endpoints_of(relay)->rules, target);
    relay->is_trial = false;
    pass_on_news(relay, &news);
}

static void tell_failed(struct relay *relay, enum try_failure failure)
{
    struct target_state *target = relay->pool->target;
    enum health_result result =
        failure == TRY_CONNECT_TIMEOUT ? HEALTH_TIMEOUT : HEALTH_TCP_FAILURE;
    struct passive_news news = relay->is_trial
                                   ? trial_end(relay->plan.upstream, target, result, 0)
                                   : passive_failed(endpoints_of(relay)->rules, target, result);
    relay->is_trial = false;
    pass_on_news(relay, &news);
}

/* --- leaving --- */

static void let_go(struct relay_target *target, bool is_cut)
{
    target->end.relay = NULL;
    if (is_cut)
        stream_abort(&target->end.stream);
    else
        stream_close(&target->end.stream);
    if (target->peer)
        target->peer->conn_count--;
    upstream_pool_count_out(target->pool);
}

static void report(struct relay *relay)
{
    uint64_t now_ms = worker_now(relay->worker);
    bool was_opened = relay->opened_ms > 0;
    const struct balancer_report facts = {
        .worker_index = relay->worker->index,
        .now_ms = now_ms,
        .result = relay->has_failed ? BALANCER_BAD
                  : was_opened      ? BALANCER_GOOD
                                    : BALANCER_UNTOLD,
        .was_heard = was_opened,
        .waited_ms = (was_opened ? relay->opened_ms : now_ms) - relay->tried_at_ms,
    };
    balancer_report(relay->plan.upstream, relay->pool->target, &facts);
}

void relay_try_leave(struct relay *relay, bool is_cut)
{
    struct upstream_pool *pool = relay->pool;
    if (!pool)
        return;
    if (relay->is_trial) /* nothing has come of it */
        trial_end(relay->plan.upstream, pool->target, HEALTH_IGNORED, 0);
    relay->is_trial = false;
    report(relay);
    if (relay->target)
        let_go(relay->target, is_cut);
    relay->target = NULL;
    relay->pool = NULL;
    upstream_pool_leave(pool);
    pending_call_waiters(relay->plan.upstream);
}

/* --- picking --- */

static struct target_state *claim_trial(struct relay *relay)
{
    struct upstream_state *upstream = relay->plan.upstream;
    if (!trial_is_on_offer(upstream))
        return NULL;
    struct target_state *target = trial_claim(upstream, relay->tried, relay->tried_count);
    if (target)
        balancer_count_in(upstream, target, relay->worker->index, worker_now(relay->worker));
    relay->is_trial = target != NULL;
    return target;
}

/* Of all that an upstream may hash on, a stream has its client's address. */
static void find_hash(const struct relay *relay, struct balancer_query *query)
{
    const struct balancing *balancing = endpoints_of(relay)->balancing;
    if (endpoints_of(relay)->algorithm != BALANCING_CONSISTENT_HASH || !balancing ||
        (balancing->hash_on.input != HASH_INPUT_IP &&
         balancing->hash_fallback.input != HASH_INPUT_IP))
        return;
    query->has_hash = true;
    query->hash = consistent_hash_key(relay_peer(relay));
}

static struct target_state *choose(struct relay *relay, bool *ret_was_full)
{
    struct balancer_query query = {
        .worker_index = relay->worker->index,
        .now_ms = worker_now(relay->worker),
        .random = &relay->worker->random,
        .tried = relay->tried,
        .tried_count = relay->tried_count,
    };
    find_hash(relay, &query);
    struct target_state *target = claim_trial(relay);
    if (!target && !endpoints_of(relay)->is_shut)
        target = balancer_pick(relay->plan.upstream, &query);
    *ret_was_full = query.was_full;
    return target;
}

static void finish_failed(struct relay *relay)
{
    uint16_t status = retry_status(relay->failure);
    relay_finish(relay, status,
                 status == 504 ? "the upstream server is timing out"
                               : "the upstream server cannot be reached",
                 true);
}

static const char *why_full(enum pending_verdict verdict)
{
    return verdict == PENDING_LATE      ? "no target became free in time"
           : verdict == PENDING_NO_ROOM ? "too many wait for a target"
                                        : "all targets are at their limit";
}

static void finish_without_target(struct relay *relay, bool was_full, enum pending_verdict verdict)
{
    if (relay->tried_count > 0)
        finish_failed(relay);
    else if (endpoints_of(relay)->condition != ENDPOINTS_KNOWN)
        relay_finish(relay, 503, "name resolution failed", true);
    else if (was_full)
        relay_finish(relay, 503, why_full(verdict), true);
    else
        relay_finish(relay, 503, "failure to get a peer from the ring-balancer", true);
}

/* --- connecting --- */

static void on_target_bytes(struct stream *stream, const char *bytes, size_t len)
{
    relay_pump_bytes((struct relay_end *)stream, bytes, len);
}

static void on_target_end(struct stream *stream, int error)
{
    struct relay_end *end = (struct relay_end *)stream;
    if (end->relay->state == RELAY_OPEN)
        relay_pump_ended(end, error);
    else
        relay_try_fail(end->relay, TRY_RESET, error, "it closed the connection");
}

static void on_target_drained(struct stream *stream, int error)
{
    struct relay_end *end = (struct relay_end *)stream;
    if (end->relay->state == RELAY_OPEN)
        relay_pump_drained(end, error);
}

static void on_target_closed(struct stream *stream)
{
    free((struct relay_target *)(void *)stream);
}

static void opened(struct relay *relay)
{
    uint64_t now_ms = worker_now(relay->worker);
    relay->opened_ms = now_ms ? now_ms : 1;
    relay->try_count++;
    balancer_hear(relay->pool->target, relay->worker->index, now_ms);
    tell_connected(relay);
    relay_open(relay);
}

static void on_target_secured(struct stream *stream, int error)
{
    struct relay *relay = ((struct relay_end *)stream)->relay;
    if (error)
        relay_try_fail(relay, TRY_CONNECT_FAILED, 0, tls_failure(stream));
    else
        opened(relay);
}

static const struct stream_events target_events = {
    .on_bytes = on_target_bytes,
    .on_end = on_target_end,
    .on_drained = on_target_drained,
    .on_closed = on_target_closed,
    .on_secured = on_target_secured,
};

/* In clear, in front of all else (TLS too), as readers of it expect. */
static int write_origin(struct relay *relay)
{
    char header[PROXY_PROTOCOL_WRITE_BYTES];
    size_t len = proxy_protocol_write(relay->plan.proxy_protocol, &relay->from, &relay->to,
                                      relay->server_name, header);
    uv_buf_t piece = uv_buf_init(header, (unsigned)len);
    return len > 0 ? stream_write(&relay->target->end.stream, &piece, 1) : 0;
}

static void on_connected(uv_connect_t *request, int status)
{
    struct relay_target *target = request->data;
    struct relay *relay = target->end.relay;
    struct stream *stream = &target->end.stream;
    if (!relay) /* it has been let go of meanwhile */
        return;
    if (status == 0)
        status = write_origin(relay);
    if (status == 0)
        status = stream_start_reading(stream);
    struct upstream_peer *peer = target->peer;
    if (status == 0 && peer)
        status = tls_client_begin(peer->tls, stream, str_make(peer->name, peer->name_len),
                                  TLS_ALPN_HTTP1, &peer->session);
    if (status)
        relay_try_fail(relay, TRY_CONNECT_FAILED, status, NULL);
    else if (!peer) /* else on_target_secured goes on */
        opened(relay);
}

static int make_target(struct relay *relay, struct relay_target **ret)
{
    struct upstream_pool *pool = relay->pool;
    struct upstream_peer *peer = NULL;
    if (relay->plan.tls) {
        struct str host = relay->plan.host.len ? relay->plan.host : str_of(pool->target->host);
        peer = upstream_peer_find(relay->worker, pool->target, relay->plan.tls, host);
        if (!peer)
            return UV_ENOMEM;
    }
    struct relay_target *target = calloc(1, sizeof(*target));
    if (!target)
        return UV_ENOMEM;
    int rc = stream_init(&target->end.stream, &relay->worker->loop, &target_events,
                         &relay->worker->read_buffer);
    if (rc) {
        free(target);
        return rc;
    }
    target->end.relay = relay;
    target->connect.data = target;
    target->pool = pool;
    target->peer = peer;
    if (peer)
        peer->conn_count++;
    upstream_pool_count_in(pool);
    *ret = target;
    return 0;
}

static void connect_to_target(struct relay *relay)
{
    const struct target_state *target = relay->pool->target;
    snprintf(relay->target_name, sizeof(relay->target_name), "%s", target->name);
    upstream_pool_make_way(relay->pool);
    int rc = make_target(relay, &relay->target);
    if (rc == 0) {
        uv_tcp_nodelay(&relay->target->end.stream.tcp, 1);
        rc = uv_tcp_connect(&relay->target->connect, &relay->target->end.stream.tcp,
                            &target->address.any, on_connected);
    }
    if (rc)
        relay_try_fail(relay, TRY_CONNECT_FAILED, rc, NULL);
    else
        deadline_set(&relay->worker->wheel, &relay->deadline, relay->plan.connect_timeout_ms);
}

static void wait_for_endpoints(struct relay *relay)
{
    relay->state = RELAY_WAITING;
    list_push_back(&relay->worker->waiting_relays, &relay->waiting);
    /* A later wait has what is left of the first one's time, or of the failed try's. One that was
     * too late has nothing left. */
    if (!relay->has_waited || relay->deadline.at_ms == DEADLINE_NEVER)
        deadline_set(&relay->worker->wheel, &relay->deadline, relay->plan.connect_timeout_ms);
    relay->has_waited = true;
}

/* --- waiting for one that is below its limits --- */

static void on_called(struct pending_place *place)
{
    relay_try_begin(LIST_ENTRY(place, struct relay, place));
}

/* All are at their limit, or others have waited for longer. */
static enum pending_verdict wait_for_place(struct relay *relay)
{
    struct upstream_state *upstream = relay->plan.upstream;
    uint32_t wait_ms;
    if (relay->place.is_taken && relay->has_waited_out) {
        pending_place_leave(relay->worker, upstream, &relay->place);
        upstream_state_count(upstream, UPSTREAM_PENDING_LATE);
        return PENDING_LATE;
    }
    if (relay->tried_count > 0)
        return PENDING_NO_QUEUE;
    relay->place.look_again = on_called;
    enum pending_verdict verdict =
        pending_place_take(relay->worker, upstream, &relay->place, &wait_ms);
    if (verdict == PENDING_NEW) {
        relay->state = RELAY_WAITING;
        relay->has_waited_out = false;
        deadline_set(&relay->worker->wheel, &relay->deadline, wait_ms);
    }
    return verdict;
}

/* A target, or the verdict on waiting for one; as with requests (try.c). */
static struct target_state *choose_or_wait(struct relay *relay, enum pending_verdict *ret_verdict,
                                           bool *ret_was_full)
{
    const struct upstream_state *upstream = relay->plan.upstream;
    struct target_state *target = NULL;
    *ret_was_full = true;
    *ret_verdict = PENDING_NO_QUEUE;
    if (pending_place_has_turn(relay->worker, upstream, &relay->place))
        target = choose(relay, ret_was_full);
    if (!target && *ret_was_full && (*ret_verdict = wait_for_place(relay)) == PENDING_NEW &&
        pending_place_is_alone(relay->worker, upstream))
        target = choose(relay, ret_was_full);
    return target;
}

void relay_try_begin(struct relay *relay)
{
    struct worker *worker = relay->worker;
    struct upstream_state *upstream = relay->plan.upstream;
    list_remove(&relay->waiting);
    if (endpoints_of(relay)->condition == ENDPOINTS_PENDING && !relay->has_waited_out) {
        wait_for_endpoints(relay);
        return;
    }
    bool was_full;
    enum pending_verdict verdict;
    struct target_state *target = choose_or_wait(relay, &verdict, &was_full);
    if (!target && was_full && verdict <= PENDING_WAITS)
        return;
    if (relay->place.is_taken)
        deadline_clear(&relay->deadline);
    pending_place_leave(worker, upstream, &relay->place);
    relay->state = RELAY_CONNECTING;
    upstream->per_worker[worker->index].first_tries += relay->try_count == 0;
    if (!target) {
        finish_without_target(relay, was_full, verdict);
        return;
    }
    relay->has_failed = false;
    relay->tried_at_ms = worker_now(worker);
    relay->pool = upstream_pool_join(worker, upstream, target);
    if (relay->pool) {
        connect_to_target(relay);
        return;
    }
    if (relay->is_trial)
        trial_end(upstream, target, HEALTH_IGNORED, 0);
    relay->is_trial = false;
    const struct balancer_report facts = {
        .worker_index = worker->index, .now_ms = worker_now(worker), .result = BALANCER_UNTOLD};
    balancer_report(upstream, target, &facts);
    relay_finish(relay, 500, "memory is short", true);
}

/* --- failing --- */

static bool may_go_elsewhere(struct relay *relay, enum try_failure failure)
{
    uint64_t now_ms = worker_now(relay->worker);
    struct upstream_state *upstream = relay->plan.upstream;
    const struct retry_case facts = {
        .failure = failure,
        .method = METHOD_GET,
        .is_replayable = true,
        .needs_fresh = true,
        .is_late = now_ms - relay->matched_ms >= relay->plan.total_ms,
        .try_count = relay->try_count,
        .retries = relay->plan.retries,
    };
    if (retry_judge(&facts) != RETRY_ELSEWHERE)
        return false;
    if (!retry_costs(failure) ||
        limits_take_retry(&upstream->per_worker[relay->worker->index], now_ms))
        return true;
    upstream_state_count(upstream, UPSTREAM_RETRY_DENIED);
    return false;
}

void relay_try_fail(struct relay *relay, enum try_failure failure, int error, const char *reason)
{
    struct target_state *target = relay->pool->target;
    bool goes_on = may_go_elsewhere(relay, failure);
    relay->has_failed = true;
    relay->failure = failure;
    tell_failed(relay, failure);
    relay_outcome_failed_try(relay, target, failure, error, reason, !goes_on);
    relay_try_leave(relay, false);
    relay->try_count++;
    if (!goes_on) {
        finish_failed(relay);
        return;
    }
    upstream_state_count(relay->plan.upstream, UPSTREAM_RETRY);
    relay->tried[relay->tried_count++] = target;
    relay_try_begin(relay);
}

/* --- what happens to upstreams --- */

void relay_endpoints_changed(struct worker *worker)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_is_empty(&worker->waiting_relays)) {
        struct list *link = worker->waiting_relays.next;
        list_remove(link);
        list_push_back(&waiting, link);
    }
    while (!list_is_empty(&waiting)) /* who has to wait on does so on the worker's list */
        relay_try_begin(LIST_ENTRY(waiting.next, struct relay, waiting));
}

void relay_targets_left(struct worker *worker)
{
    LIST_EACH(link, &worker->relays)
    {
        struct relay *relay = LIST_ENTRY(link, struct relay, link);
        if (relay->state == RELAY_CONNECTING && relay->pool &&
            atomic_load_explicit(&relay->pool->target->gone, memory_order_relaxed))
            relay_try_fail(relay, TRY_CONNECT_FAILED, 0, "the target left before it was reached");
    }
}
