#include "proxy/outcome.h"

#include "base/log.h"
#include "health/trial.h"
#include "model/meter.h"
#include "model/target_state.h"
#include "proxy/access_log.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "proxy/grpc.h"
#include "proxy/retry.h"
#include "proxy/upstream_pool.h"
#include "proxy/worker_core.h"

#define MAX_BAD_REQUEST_TEXT 200 /* of a line that could not be parsed */

/* --- the log --- */

bool outcome_may_log(struct worker *worker)
{
    struct failure_limit *limit = &worker->failure_limit;
    uint64_t second = worker_now(worker) / 1000;
    if (second != limit->second) {
        limit->second = second;
        limit->lines = 0;
        if (limit->suppressed > 0)
            log_warn("more requests failed than are logged", LOG_INT("count", limit->suppressed));
        limit->suppressed = 0;
    }
    if (limit->lines < FAILURE_LINES_PER_SECOND) {
        limit->lines++;
        return true;
    }
    limit->suppressed++;
    return false;
}

/* As nginx has it for a client that does not read. Its response has begun: nobody sees this status.
 */
#define TOO_SLOW_STATUS 408
static const struct str too_slow = STR("the response was not taken in time");

static struct str request_id_of(const struct exchange *x)
{
    return str_make(x->request_id, sizeof(x->request_id));
}

void outcome_log_try(struct exchange *x, const char *what_next)
{
    if (!outcome_may_log(x->worker))
        return;
    const struct target_state *target = x->pool->target;
    log_warn(
        "upstream failed", LOG_CSTR("failure", retry_failure_name(x->failure)),
        LOG_CSTR("reason", x->failure_error ? uv_strerror(x->failure_error) : x->failure_reason),
        LOG_CSTR("upstream", x->match.route->service->upstream->name),
        LOG_CSTR("target", target->name), LOG_CSTR("instance", target->instance),
        LOG_CSTR("next", what_next), LOG_STR("request_id", request_id_of(x)));
}

/* Empty for a request that matched none, or was refused before. */
static struct str route_of(const struct exchange *x)
{
    const struct route *route = x->match.route;
    return !route ? STR_EMPTY : route->name.len ? route->name : route->id;
}

static void log_client_fault(struct exchange *x, const char *what, struct str reason,
                             uint16_t status)
{
    if (!outcome_may_log(x->worker))
        return;
    log_info(what, LOG_STR("reason", reason), LOG_INT("status", status),
             LOG_STR("client", exchange_client(x)), LOG_STR("route", route_of(x)),
             LOG_STR("request_id", request_id_of(x)));
}

void outcome_log_refused(struct exchange *x)
{
    log_client_fault(x, "bad request", str_of(x->refused_reason), x->refused_status);
}

static void log_own_failure(struct exchange *x)
{
    if (!outcome_may_log(x->worker))
        return;
    const struct service *service = x->match.route->service;
    log_warn("request failed", LOG_CSTR("reason", x->answer.message),
             LOG_INT("status", x->answer.status), LOG_STR("service", service->name),
             LOG_CSTR("upstream", service->upstream->name), LOG_INT("tries", x->try_count),
             LOG_STR("request_id", request_id_of(x)));
}

/* --- health --- */

static enum health_result failure_kind(const struct exchange *x)
{
    switch (x->failure) {
    case TRY_CONNECT_TIMEOUT:
    case TRY_SEND_TIMEOUT:
    case TRY_READ_TIMEOUT:
        return HEALTH_TIMEOUT;
    default:
        return HEALTH_TCP_FAILURE;
    }
}

uint16_t outcome_status(const struct exchange *x)
{
    return __builtin_expect(x->is_grpc && x->grpc_status == GRPC_UNAVAILABLE, 0)
               ? 503
               : x->reply->head.status;
}

bool outcome_is_no_fault(const struct exchange *x)
{
    if (x->failure != TRY_RESET || x->has_news)
        return false;
    return x->is_reused || (x->was_refused && !x->needs_fresh);
}

static struct passive_news end_trial(struct exchange *x, struct upstream_state *upstream,
                                     const struct health_rules *rules)
{
    struct target_state *target = x->pool->target;
    bool has_answered = x->response_part != RESPONSE_HEAD;
    x->is_trial = false;
    if (x->has_failed && !outcome_is_no_fault(x))
        return trial_end(upstream, target, failure_kind(x), 0);
    if (x->has_failed || !has_answered)
        return trial_end(upstream, target, HEALTH_IGNORED, 0);
    uint16_t status = outcome_status(x);
    bool is_bad = rules && health_result_of_status(&rules->passive, status) == HEALTH_HTTP_FAILURE;
    return trial_end(upstream, target, is_bad ? HEALTH_HTTP_FAILURE : HEALTH_SUCCESS, status);
}

static struct passive_news count_result(struct exchange *x, const struct health_rules *rules)
{
    struct target_state *target = x->pool->target;
    if (x->has_failed && !outcome_is_no_fault(x))
        return passive_failed(rules, target, failure_kind(x));
    if (x->has_failed || x->response_part == RESPONSE_HEAD || x->has_told_health)
        return (struct passive_news){.turn = PASSIVE_NO_TURN};
    x->has_told_health = true;
    return passive_answered(rules, target, outcome_status(x));
}

static void pass_on_news(const struct exchange *x, struct target_state *target,
                         const struct passive_news *news)
{
    const struct worker_settings *settings = &x->worker->settings;
    if (news->turn != PASSIVE_NO_TURN && settings->on_health_news)
        settings->on_health_news(settings->owner, x->match.route->service->upstream, target, news);
}

void outcome_tell_health(struct exchange *x)
{
    struct upstream_state *upstream = x->match.route->service->upstream;
    const struct health_rules *rules = upstream_state_endpoints(upstream)->rules;
    struct passive_news news = x->is_trial ? end_trial(x, upstream, rules) : count_result(x, rules);
    pass_on_news(x, x->pool->target, &news);
}

void outcome_tell_second(struct exchange *x, struct target_state *target, uint16_t status)
{
    struct upstream_state *upstream = x->match.route->service->upstream;
    const struct health_rules *rules = upstream_state_endpoints(upstream)->rules;
    struct passive_news news = status ? passive_answered(rules, target, status)
                                      : passive_failed(rules, target, HEALTH_TCP_FAILURE);
    pass_on_news(x, target, &news);
}

/* --- the access log --- */

/* A request line as it came; of one that was refused, what there is of it. */
static struct str request_line(const struct exchange *x)
{
    const struct http_head *head = &x->request;
    if (x->request_part != REQUEST_HEAD) {
        uint32_t start = head->method_text.offset;
        uint32_t end = head->target.offset + head->target.len + 9; /* " HTTP/1.x" */
        return str_make(head->base + start, end - start);
    }
    struct str line = buf_str(&x->head_bytes);
    if (line.len > MAX_BAD_REQUEST_TEXT)
        line.len = MAX_BAD_REQUEST_TEXT;
    line = str_cut(&line, '\n');
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

static void find_texts(const struct exchange *x, struct access_line *line)
{
    const struct http_head *head = &x->request;
    if (x->request_part == REQUEST_HEAD)
        return;
    for (unsigned i = 0; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (field->id != HEADER_OTHER || (field->name_len != 7 && field->name_len != 10))
            continue;
        struct str name = http_field_name(head, field);
        if (str_equal_nocase(name, STR("user-agent")))
            line->user_agent = http_field_value(head, field);
        else if (str_equal_nocase(name, STR("referer")))
            line->referer = http_field_value(head, field);
    }
}

/* What only a format of log_format.h can say. */
static void find_rest(const struct exchange *x, struct access_line *line)
{
    const struct service *service = x->match.route ? x->match.route->service : NULL;
    uint64_t now_ms = worker_now(x->worker);
    line->iso_time = str_make(x->worker->clock.iso_text, WALL_CLOCK_ISO_BYTES);
    line->head = x->request_part == REQUEST_HEAD ? NULL : &x->request;
    line->is_tls = x->client->conn->is_tls;
    line->route = route_of(x);
    if (service) {
        line->service = service->name.len ? service->name : service->host;
        line->upstream = str_of(service->upstream->name);
    }
    line->target = str_make(x->target_name, strnlen(x->target_name, sizeof(x->target_name)));
    line->tries = x->try_count + (x->has_responded && !x->has_answered);
    line->received_bytes = (line->head ? x->request.len : 0) + x->request_bytes;
    line->request_ms = now_ms - x->started_ms;
    line->upstream_ms =
        x->sent_ms == 0 ? ACCESS_LOG_NO_TIME : (x->head_ms > 0 ? x->head_ms : now_ms) - x->sent_ms;
}

static void write_access_line(const struct exchange *x)
{
    struct access_line line = {
        .peer = exchange_client(x),
        .time = str_make(x->worker->clock.log_text, WALL_CLOCK_LOG_BYTES),
        .request = request_line(x),
        .status = x->status,
        .body_bytes = x->body_bytes,
        .request_id = request_id_of(x),
    };
    find_texts(x, &line);
    if (access_log_wants_all(x->worker->access_log))
        find_rest(x, &line);
    access_log_add(x->worker->access_log, &line);
}

/* --- metrics --- */

static void meter_exchange(const struct exchange *x, uint64_t now_ms)
{
    bool was_sent = x->sent_ms > 0;
    uint64_t waited_until_ms = x->head_ms > 0 ? x->head_ms : now_ms;
    const struct meter_facts facts = {
        .status = x->status,
        .by_gateway = x->has_answered || !x->has_responded, /* the latter: the client left */
        .ingress_bytes = x->request.len + x->request_bytes,
        .egress_bytes = x->response_head_bytes + x->body_bytes,
        .request_ms = now_ms - x->started_ms,
        .gateway_ms = (was_sent ? x->sent_ms : now_ms) - x->started_ms,
        .upstream_ms = was_sent ? waited_until_ms - x->sent_ms : METER_NO_UPSTREAM,
    };
    meter_count(x->match.route->meter, x->worker->index, &facts);
}

static void count_exchange(struct exchange *x)
{
    struct worker_stats *stats = &x->worker->stats;
    if (x->match.route && x->match.route->meter)
        meter_exchange(x, worker_now(x->worker));
    if (x->refused_status)
        tally_count(&stats->refused, x->refused_status,
                    str_of(x->refused_reason ? x->refused_reason : ""));
    else if (x->is_client_too_slow)
        tally_count(&stats->refused, TOO_SLOW_STATUS, too_slow);
    else if (x->has_answered)
        tally_count(&stats->answered, x->answer.status,
                    str_of(x->answer.message ? x->answer.message : ""));
    metrics_add(&stats->requests_total, 1);
    worker_count(&stats->exchanges_active, -1);
}

/* --- */

void outcome_record(struct exchange *x)
{
    struct worker *worker = x->worker;
    wall_clock_turn(&worker->clock, worker_now(worker));
    count_exchange(x);
    if (x->refused_status)
        outcome_log_refused(x);
    else if (x->is_client_too_slow)
        log_client_fault(x, "client let go", too_slow, TOO_SLOW_STATUS);
    else if (x->has_answered && x->answer.status >= 500 && !x->answer.is_intended &&
             x->match.route && x->match.route->service)
        log_own_failure(x);
    if (worker->access_log)
        write_access_line(x);
}
