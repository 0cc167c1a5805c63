#include "proxy/try.h"

#include <stdio.h>

#include "balance/balancer.h"
#include "health/board.h"
#include "health/trial.h"
#include "model/target_state.h"
#include "net/tls.h"
#include "proxy/access_log.h"
#include "proxy/exchange.h"
#include "proxy/hash_input.h"
#include "proxy/hedge.h"
#include "proxy/limits.h"
#include "proxy/outcome.h"
#include "proxy/pending.h"
#include "proxy/request.h"
#include "proxy/response.h"
#include "proxy/upstream_conn.h"
#include "proxy/upstream_http2.h"
#include "proxy/upstream_peer.h"
#include "proxy/upstream_pool.h"
#include "proxy/worker_core.h"

/* A client may allow a call less than any target needs: what was waited for this long is late. */
#define MIN_WAIT_MS 100

/* --- failing --- */

void try_fail(struct exchange *x, enum try_failure failure, int error, const char *reason)
{
    if (x->has_failed)
        return;
    x->has_failed = true;
    x->failure = failure;
    x->failure_error = error;
    x->failure_reason = reason;
}

static struct upstream_state *upstream_of(const struct exchange *x)
{
    return x->match.route->service->upstream;
}

static enum step_result answer_with(struct exchange *x, uint16_t status, const char *message)
{
    x->answer = (struct answer){.status = status, .message = message};
    return STEP_ANSWER;
}

/* No target takes traffic: beside Kong's text, why. */
static enum step_result answer_without_peer(struct exchange *x)
{
    const struct endpoints *endpoints = upstream_state_endpoints(upstream_of(x));
    char reasons[96], line[160];
    uint32_t word = 0;
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (endpoints->items[i].weight > 0)
            word |= atomic_load_explicit(&endpoints->items[i].target->health, memory_order_relaxed);
    board_reasons(word, reasons, sizeof(reasons));
    int len = snprintf(line, sizeof(line), "X-Weir-Reason: %s%s%s\r\n",
                       endpoints->count == 0 ? "no targets"
                       : endpoints->is_shut  ? "too little weight is in use"
                                             : "no target is in use",
                       reasons[0] ? ": " : "", reasons);
    answer_with(x, 503, "failure to get a peer from the ring-balancer");
    x->answer.fields = arena_copy(&x->arena, str_make(line, (size_t)len));
    return STEP_ANSWER;
}

static enum step_result answer_full(struct exchange *x, enum pending_verdict verdict)
{
    const char *message = verdict == PENDING_LATE      ? "no target became free in time"
                          : verdict == PENDING_NO_ROOM ? "too many requests wait for a target"
                                                       : "all targets are at their limit";
    x->answer =
        (struct answer){.status = 503, .message = message, .fields = STR("Retry-After: 1\r\n")};
    return STEP_ANSWER;
}

static enum step_result answer_for_failure(struct exchange *x)
{
    uint16_t status = retry_status(x->failure);
    x->answer = (struct answer){
        .status = status, .message = answer_message(status), .is_core = true, .is_proxied = true};
    return STEP_ANSWER;
}

/* --- the steps --- */

static enum step_result park(struct exchange *x)
{
    if (!list_is_linked(&x->link)) {
        list_push_back(&x->worker->parked, &x->link);
        deadline_set(&x->worker->wheel, &x->deadline, x->match.route->service->connect_timeout_ms);
    }
    return STEP_WAIT;
}

static void find_hash(struct exchange *x, struct upstream_state *upstream)
{
    const struct endpoints *endpoints = upstream_state_endpoints(upstream);
    if (endpoints->algorithm == BALANCING_CONSISTENT_HASH && !x->is_hashed)
        hash_input_find(x, endpoints->balancing);
}

/* A target that is to be tried half-open. One that may fail has to be one that can be repeated, or
 * the last hope. */
static struct target_state *claim_trial(struct exchange *x, bool is_last_hope)
{
    struct upstream_state *upstream = upstream_of(x);
    if (!trial_is_on_offer(upstream) ||
        !(is_last_hope || (retry_is_idempotent(x->request.method) && x->is_replayable)))
        return NULL;
    struct target_state *target = trial_claim(upstream, x->tried, x->tried_count);
    if (target)
        balancer_count_in(upstream, target, x->worker->index, worker_now(x->worker));
    x->is_trial = target != NULL;
    return target;
}

static struct target_state *choose_target(struct exchange *x, bool *ret_was_full)
{
    struct upstream_state *upstream = upstream_of(x);
    find_hash(x, upstream);
    struct balancer_query query = {
        .worker_index = x->worker->index,
        .now_ms = worker_now(x->worker),
        .random = &x->worker->random,
        .tried = x->tried,
        .tried_count = x->tried_count,
        .has_hash = x->has_hash,
        .hash = x->hash,
    };
    struct target_state *target = claim_trial(x, false);
    if (!target && !upstream_state_endpoints(upstream)->is_shut)
        target = balancer_pick(upstream, &query);
    if (!target)
        target = claim_trial(x, true);
    *ret_was_full = query.was_full;
    return target;
}

/* A target, or the verdict on waiting for one; PENDING_NO_QUEUE where there is nothing to wait for.
 */
static struct target_state *choose_or_wait(struct exchange *x, enum pending_verdict *ret_verdict,
                                           bool *ret_was_full)
{
    struct target_state *target = NULL;
    *ret_was_full = true;
    *ret_verdict = PENDING_NO_QUEUE;
    if (pending_has_turn(x))
        target = choose_target(x, ret_was_full);
    if (!target && *ret_was_full && (*ret_verdict = pending_wait(x)) == PENDING_NEW &&
        pending_is_alone(x))
        target = choose_target(x, ret_was_full);
    return target;
}

static enum step_result answer_without_target(struct exchange *x, bool was_full,
                                              enum pending_verdict verdict)
{
    if (x->tried_count > 0)
        return answer_for_failure(x);
    if (upstream_state_endpoints(upstream_of(x))->condition != ENDPOINTS_KNOWN)
        return answer_with(x, 503, "name resolution failed");
    if (was_full)
        return answer_full(x, verdict);
    return answer_without_peer(x);
}

enum step_result try_pick(struct exchange *x)
{
    struct upstream_state *upstream = upstream_of(x);
    enum endpoints_condition condition = upstream_state_endpoints(upstream)->condition;
    if (condition == ENDPOINTS_PENDING && !x->has_waited_out)
        return park(x);
    if (!x->is_pending)
        list_remove(&x->link);

    enum pending_verdict verdict;
    bool was_full;
    struct target_state *target = choose_or_wait(x, &verdict, &was_full);
    if (!target && was_full && verdict <= PENDING_WAITS)
        return STEP_WAIT;
    pending_leave(x);
    upstream->per_worker[x->worker->index].first_tries += x->try_count == 0 && !x->needs_fresh;
    if (!target)
        return answer_without_target(x, was_full, verdict);

    x->is_panicking = atomic_load_explicit(&target->health, memory_order_relaxed) & TARGET_IN_PANIC;
    x->pool = upstream_pool_join(x->worker, upstream, target);
    if (!x->pool) {
        if (x->is_trial)
            trial_end(upstream, target, HEALTH_IGNORED, 0);
        x->is_trial = false;
        const struct balancer_report report = {.worker_index = x->worker->index,
                                               .now_ms = worker_now(x->worker),
                                               .result = BALANCER_UNTOLD};
        balancer_report(upstream, target, &report);
        return answer_with(x, 500, answer_message(500));
    }
    return STEP_NEXT;
}

/* How long the target has taken, or has let us wait in vain. */
static uint64_t waited_ms(const struct exchange *x)
{
    if (!x->has_sent_head)
        return 0;
    return (x->response_part == RESPONSE_HEAD ? worker_now(x->worker) : x->head_ms) - x->sent_ms;
}

static enum balancer_result result_of(const struct exchange *x)
{
    if (x->has_failed)
        return outcome_is_no_fault(x) ? BALANCER_UNTOLD : BALANCER_BAD;
    if (x->response_part == RESPONSE_HEAD)
        return BALANCER_UNTOLD;
    return outcome_status(x) >= 500 ? BALANCER_BAD : BALANCER_GOOD;
}

static void report_try(const struct exchange *x)
{
    bool has_told = x->response_part != RESPONSE_HEAD || x->has_hedged;
    if (__builtin_expect(upstream_state_endpoints(upstream_of(x))->is_hedged, 0) && has_told &&
        x->has_sent_head && !x->has_failed && !x->is_second)
        hedge_learn(x, waited_ms(x));
    const struct balancer_report report = {
        .worker_index = x->worker->index,
        .now_ms = worker_now(x->worker),
        .result = result_of(x),
        .was_heard = x->response_part != RESPONSE_HEAD,
        .waited_ms = waited_ms(x),
    };
    balancer_report(upstream_of(x), x->pool->target, &report);
}

void try_leave(struct exchange *x, bool is_reusable)
{
    if (x->hedge)
        hedge_cancel(x);
    if (x->pool) { /* while it is known what the target said */
        outcome_tell_health(x);
        report_try(x);
    }
    pending_leave(x);
    response_end(x);
    if (x->upstream && is_reusable)
        upstream_pool_release(x->upstream);
    else if (x->upstream)
        upstream_conn_close(x->upstream);
    x->upstream = NULL;
    if (x->lane)
        upstream_lane_close(x->lane, x->has_failed && x->failure == TRY_READ_TIMEOUT);
    x->lane = NULL;
    if (x->pool) {
        if (x->worker->access_log && access_log_wants_all(x->worker->access_log))
            snprintf(x->target_name, sizeof(x->target_name), "%s", x->pool->target->name);
        upstream_pool_leave(x->pool);
        pending_call_waiters(upstream_of(x));
    }
    x->pool = NULL;
    deadline_clear(&x->deadline);
}

static void forget_try(struct exchange *x)
{
    x->has_failed = false;
    x->has_sent_head = false;
    x->is_send_broken = false;
    x->has_news = false;
    x->is_reused = false;
    x->was_refused = false;
    x->has_told_health = false;
    x->is_second = false;
}

void try_leave_overdue(struct exchange *x)
{
    bool was_in_vain = x->pool && x->has_sent_head && x->response_part == RESPONSE_HEAD &&
                       x->request_part == REQUEST_DONE && waited_ms(x) >= MIN_WAIT_MS;
    if (was_in_vain && !x->has_failed)
        try_fail(x, TRY_READ_TIMEOUT, UV_ETIMEDOUT, NULL);
    try_leave(x, false);
    forget_try(x);
}

void try_resume(struct exchange *x, struct upstream_pool *pool, struct upstream_conn *conn)
{
    forget_try(x);
    x->pool = pool;
    x->upstream = conn;
    x->has_sent_head = true;
    response_begin(x);
}

static enum step_result end_failed_try(struct exchange *x)
{
    if (x->hedge && hedge_take_over(x))
        return STEP_WAIT;
    const struct retry_case facts = {
        .failure = x->failure,
        .method = x->request.method,
        .was_sent = x->has_sent_head,
        .is_replayable = x->is_replayable,
        .is_reused = x->is_reused,
        .has_news = x->has_news,
        .was_refused = x->was_refused,
        .needs_fresh = x->needs_fresh,
        .try_count = x->try_count,
        .is_late =
            worker_now(x->worker) - x->started_ms >= limits_total_ms(x->match.route->service),
        .retries = x->match.route->service->retries,
    };
    metrics_add(&x->worker->stats.failures[x->failure], 1);
    enum retry_verdict verdict = x->has_responded ? RETRY_NO : retry_judge(&facts);
    if (verdict == RETRY_ELSEWHERE && retry_costs(x->failure) &&
        !limits_take_retry(&upstream_of(x)->per_worker[x->worker->index], worker_now(x->worker))) {
        verdict = RETRY_NO;
        upstream_state_count(upstream_of(x), UPSTREAM_RETRY_DENIED);
    }
    if (verdict != RETRY_AFRESH) /* that is the usual end of a kept connection */
        outcome_log_try(x, verdict == RETRY_NO ? "none" : "another target, where there is one");

    struct target_state *target = x->pool->target;
    bool ended = response_end_call(x, grpc_status_of_http(retry_status(x->failure)));
    try_leave(x, false);
    forget_try(x);
    switch (verdict) {
    case RETRY_AFRESH:
        x->needs_fresh = true;
        return STEP_RETRY;
    case RETRY_ELSEWHERE:
        upstream_state_count(upstream_of(x), UPSTREAM_RETRY);
        x->tried[x->tried_count++] = target;
        x->try_count++;
        return STEP_RETRY;
    case RETRY_NO:
        break;
    }
    x->try_count++;
    if (!x->has_responded)
        return answer_for_failure(x);
    return ended ? STEP_NEXT : STEP_CUT;
}

/* A kept connection whose end has not been told yet would fail a request that can't be repeated. */
static struct upstream_conn *lease_kept(struct exchange *x, struct upstream_peer *peer)
{
    struct upstream_conn *conn = NULL;
    if (x->needs_fresh)
        return NULL;
    while ((conn = upstream_pool_lease(x->pool, peer, x)) != NULL) {
        if (retry_is_idempotent(x->request.method) || !stream_has_news(&conn->stream))
            break;
        upstream_conn_close(conn);
    }
    return conn;
}

int try_find_peer(struct exchange *x, struct target_state *target, struct upstream_peer **ret)
{
    struct tls_client *tls = x->match.route->service->tls;
    *ret = tls ? upstream_peer_find(x->worker, target, tls,
                                    forward_host(x->match.route, x->authority, target))
               : NULL;
    return tls && !*ret ? UV_ENOMEM : 0;
}

static enum upstream_version version_of(const struct exchange *x)
{
    const struct service *service = x->match.route->service;
    if (__builtin_expect(service->protocol & (PROTOCOL_GRPC | PROTOCOL_GRPCS), 0))
        return UPSTREAM_HTTP2;
    bool is_offered = service->protocol == PROTOCOL_HTTPS && x->worker->settings.upstream_http2 &&
                      !x->wants_upgrade;
    return is_offered ? UPSTREAM_EITHER : UPSTREAM_HTTP1;
}

static bool note_reuse(struct exchange *x)
{
    x->is_reused = !x->lane || upstream_lane_is_alone(x->lane);
    metrics_add(&x->worker->stats.upstream_reused, 1);
    return true;
}

/* A connection, or a lane, that is there. */
static bool lease_there(struct exchange *x, struct upstream_peer *peer,
                        enum upstream_version version)
{
    if (version == UPSTREAM_EITHER && !x->needs_fresh)
        x->lane = upstream_lane_find(x->pool, peer, x);
    if (version != UPSTREAM_HTTP2 && !x->lane)
        x->upstream = lease_kept(x, peer);
    return (x->upstream || x->lane) && note_reuse(x);
}

/* One that is on its way. True: it was there. */
static int lease_new(struct exchange *x, struct upstream_peer *peer, enum upstream_version version)
{
    if (version == UPSTREAM_HTTP2) {
        int rc = upstream_lane_lease(x->pool, peer, x, x->needs_fresh, &x->lane);
        return rc > 0 ? note_reuse(x) : rc;
    }
    upstream_pool_make_way(x->pool);
    return upstream_conn_open(x->pool, peer, x, version, &x->upstream);
}

static enum step_result await_connection(struct exchange *x)
{
    if (x->lane)
        return upstream_lane_is_connecting(x->lane) ? STEP_WAIT : STEP_NEXT;
    if (x->upstream->state == UPSTREAM_CONNECTING)
        return STEP_WAIT;
    if (x->upstream->version != UPSTREAM_EITHER || !tls_speaks_http2(&x->upstream->stream))
        return STEP_NEXT;
    int rc = upstream_lane_take_over(x->upstream, &x->lane);
    if (rc) {
        try_fail(x, TRY_CONNECT_FAILED, rc, NULL);
        return end_failed_try(x);
    }
    x->upstream = NULL;
    return STEP_NEXT;
}

enum step_result try_lease(struct exchange *x)
{
    if (x->has_failed)
        return end_failed_try(x);
    if (x->upstream || x->lane)
        return await_connection(x);

    struct upstream_peer *peer;
    if (try_find_peer(x, x->pool->target, &peer))
        return answer_with(x, 500, answer_message(500));
    enum upstream_version version = version_of(x);
    if (lease_there(x, peer, version))
        return STEP_NEXT;
    int rc = lease_new(x, peer, version);
    if (rc > 0)
        return STEP_NEXT;
    if (rc) {
        try_fail(x, TRY_CONNECT_FAILED, rc, "no connection could be begun");
        return end_failed_try(x);
    }
    deadline_set(&x->worker->wheel, &x->deadline, x->match.route->service->connect_timeout_ms);
    return STEP_WAIT;
}

enum step_result try_send(struct exchange *x)
{
    response_begin(x);
    request_send(x);
    if (__builtin_expect(upstream_state_endpoints(upstream_of(x))->is_hedged, 0) && x->upstream)
        hedge_arm(x);
    return STEP_NEXT; /* what failed is seen there */
}

enum step_result try_respond(struct exchange *x)
{
    if (x->response_part == RESPONSE_DONE)
        return STEP_NEXT;
    return x->has_failed ? end_failed_try(x) : STEP_WAIT;
}
