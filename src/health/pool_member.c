#include "health/pool_member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "health/board.h"
#include "health/trial.h"

#define PAUSE_MS 5000 /* before the first half-open trial; the n-th waits n times as long */
#define MAX_PAUSE_MS 300000
#define PAUSE_JITTER_PERCENT 20
#define WHY_BYTES 200
#define GOOD_CONDUCT_PAUSES 2 /* so many pauses without a failure make it the first one again */

/* --- telling --- */

void pool_member_set_why(struct pool_member *member, const char *why)
{
    free(member->why);
    member->why = why ? strdup(why) : NULL;
}

static void tell(struct pool_member *member, const char *why)
{
    struct pool_health *pool = member->pool;
    char reasons[96];
    pool_member_set_why(member, why);
    board_log(BOARD_CHANGED, pool->state->name, member->target, member->weight, str_of(why));
    board_reasons(pool_member_word(member), reasons, sizeof(reasons));
    events_add(&pool->monitor->events,
               json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s}", "type", "target.health", "upstream",
                         pool->state->name, "target", member->target->name, "instance",
                         member->target->instance, "takes_traffic",
                         (int)target_state_is_usable(member->target), "reasons", reasons, "why",
                         why));
}

void pool_member_turned(struct pool_member *member, const char *why)
{
    tell(member, why);
    checker_set_out(&member->watch, !target_state_is_usable(member->target));
    monitor_replan_soon(member->pool->monitor, &member->pool->dirty_link);
}

static const char *name_of_result(enum health_result result)
{
    static const char *const names[] = {
        [HEALTH_SUCCESS] = "succeeded",
        [HEALTH_HTTP_FAILURE] = "failed",
        [HEALTH_TCP_FAILURE] = "found no connection",
        [HEALTH_TIMEOUT] = "timed out",
        [HEALTH_IGNORED] = "told nothing",
    };
    return names[result];
}

/* --- half-open --- */

bool pool_member_heals_by_probes(const struct health_rules *rules)
{
    return rules->unhealthy_interval_ms > 0 && rules->active.in_a_row[HEALTH_SUCCESS] > 0;
}

static bool wants_trials(const struct pool_health *pool)
{
    return pool->rules && (pool->rules->pause_ms > 0 || !pool_member_heals_by_probes(pool->rules));
}

bool pool_member_may_try(const struct pool_member *member)
{
    uint32_t out = pool_member_word(member) & TARGET_OUT_ANY;
    uint32_t healable = TARGET_OUT_PASSIVE;
    if (member->pool->rules && !pool_member_heals_by_probes(member->pool->rules))
        healable |= TARGET_OUT_PROBE; /* nothing else would bring it back */
    return out && !(out & ~healable) && member->weight > 0;
}

void pool_member_wait_for_trial(struct pool_member *member, uint64_t ms)
{
    struct monitor *monitor = member->pool->monitor;
    uint64_t spread = ms * PAUSE_JITTER_PERCENT / 100; /* never shorter than was said */
    timer_wheel_arm(&monitor->wheel, &member->timer,
                    ms + (spread ? random_next(&monitor->random) % (spread + 1) : 0));
}

static void on_pause_over(struct timer_node *node)
{
    struct pool_member *member = LIST_ENTRY(node, struct pool_member, timer);
    struct pool_health *pool = member->pool;
    if (!(pool_member_word(member) & (TARGET_OUT_PASSIVE | TARGET_OUT_PROBE)))
        return;
    if (!pool_member_may_try(
            member)) { /* Consul, say, has its own reasons: they may end without our hearing */
        pool_member_wait_for_trial(member, member->pause_ms);
        return;
    }
    trial_offer(pool->state, member->target);
    log_debug("half-open: one request may go through", LOG_CSTR("upstream", pool->state->name),
              LOG_CSTR("target", member->target->name));
}

void pool_member_init_pause(struct pool_member *member)
{
    timer_node_init(&member->timer, on_pause_over);
}

void pool_member_begin_pause(struct pool_member *member)
{
    struct pool_health *pool = member->pool;
    if (!wants_trials(pool))
        return;
    uint64_t now_ms = uv_now(pool->monitor->loop);
    if (member->back_ms > 0 && now_ms - member->back_ms > GOOD_CONDUCT_PAUSES * member->pause_ms)
        member->ejections = 0;
    member->back_ms = 0;
    member->ejections++;
    uint64_t base = pool->rules->pause_ms > 0 ? pool->rules->pause_ms : PAUSE_MS;
    uint64_t ms = base * member->ejections;
    if (ms > MAX_PAUSE_MS)
        ms = base > MAX_PAUSE_MS ? base : MAX_PAUSE_MS;
    member->pause_ms = ms;
    pool_member_wait_for_trial(member, ms);
}

void pool_member_end_pause(struct pool_member *member)
{
    timer_wheel_disarm(&member->pool->monitor->wheel, &member->timer);
    trial_withdraw(member->pool->state, member->target);
}

void pool_member_clear(struct pool_member *member, uint32_t reasons)
{
    memset(member->rows, 0, sizeof(member->rows));
    passive_forget(member->target);
    board_set(member->target, reasons, 0);
    pool_member_end_pause(member);
    member->back_ms = uv_now(member->pool->monitor->loop);
}

/* --- news of live traffic --- */

static void say_failures(const struct passive_news *news, char *why, size_t size)
{
    if (news->status)
        snprintf(why, size, "%u %s in a row answered %u", news->in_a_row,
                 news->in_a_row == 1 ? "request" : "requests", news->status);
    else
        snprintf(why, size, "%u %s in a row %s", news->in_a_row,
                 news->in_a_row == 1 ? "request" : "requests", name_of_result(news->cause));
}

void pool_member_hear(struct pool_member *member, const struct passive_news *news)
{
    char why[WHY_BYTES], failures[96];
    bool is_out = pool_member_word(member) & (TARGET_OUT_PASSIVE | TARGET_OUT_PROBE);
    say_failures(news, failures, sizeof(failures));
    switch (news->turn) {
    case PASSIVE_NO_TURN:
        return;
    case PASSIVE_OUT:
        memset(member->rows, 0, sizeof(member->rows));
        if (is_out)
            pool_member_begin_pause(member);
        pool_member_turned(member, failures);
        return;
    case PASSIVE_BACK:
        pool_member_end_pause(member);
        member->back_ms = uv_now(member->pool->monitor->loop);
        pool_member_turned(member, failures);
        return;
    case PASSIVE_DISPROVED:
        snprintf(why, sizeof(why), "critical in Consul, was kept in panic, and failed: %s",
                 failures);
        pool_member_turned(member, why);
        return;
    case PASSIVE_TRIAL_PASSED:
        pool_member_clear(member, TARGET_OUT_PASSIVE | TARGET_OUT_PROBE);
        pool_member_turned(member, "half-open: a request succeeded");
        return;
    case PASSIVE_TRIAL_FAILED:
        if (!is_out)
            return;
        pool_member_begin_pause(member);
        snprintf(why, sizeof(why), "half-open: %s", failures);
        tell(member, why);
        return;
    }
}

/* --- news of probes --- */

static enum health_result judge(const struct health_limits *limits,
                                const struct probe_result *result)
{
    switch (result->end) {
    case PROBE_CONNECTED:
    case PROBE_SERVING:
        return HEALTH_SUCCESS;
    case PROBE_ANSWERED:
        return health_result_of_status(limits, result->status);
    case PROBE_NOT_SERVING:
    case PROBE_GARBAGE:
        return HEALTH_HTTP_FAILURE;
    case PROBE_FAILED:
        return HEALTH_TCP_FAILURE;
    case PROBE_TIMED_OUT:
        break;
    }
    return HEALTH_TIMEOUT;
}

static bool fills_row(struct pool_member *member, enum health_result kind)
{
    uint8_t limit = member->pool->rules->active.in_a_row[kind];
    if (limit == 0 || ++member->rows[kind] < limit)
        return false;
    memset(member->rows, 0, sizeof(member->rows));
    return true;
}

static void hear_good_probe(struct pool_member *member)
{
    char why[WHY_BYTES];
    memset(&member->rows[HEALTH_HTTP_FAILURE], 0, HEALTH_RESULT_COUNT - HEALTH_HTTP_FAILURE);
    if (!(pool_member_word(member) & POOL_MEMBER_OURS) || !fills_row(member, HEALTH_SUCCESS))
        return;
    pool_member_clear(member, POOL_MEMBER_OURS);
    snprintf(why, sizeof(why), "%u probes in a row succeeded",
             member->pool->rules->active.in_a_row[HEALTH_SUCCESS]);
    pool_member_turned(member, why);
}

static void say_probe(const struct probe_result *result, enum health_result kind, char *text,
                      size_t size)
{
    if (result->end == PROBE_ANSWERED)
        snprintf(text, size, "answered %u", result->status);
    else if (result->end == PROBE_NOT_SERVING && result->status)
        snprintf(text, size, "%s %u", result->why, result->status);
    else if (result->end == PROBE_NOT_SERVING)
        snprintf(text, size, "said %s", result->why);
    else if (result->end == PROBE_GARBAGE)
        snprintf(text, size, "got no sane answer%s%s", result->why ? ": " : "",
                 result->why ? result->why : "");
    else
        snprintf(text, size, "%s%s%s", name_of_result(kind), result->why ? ": " : "",
                 result->why ? result->why : "");
}

static void hear_bad_probe(struct pool_member *member, enum health_result kind,
                           const struct probe_result *result)
{
    char why[WHY_BYTES], how[128];
    say_probe(result, kind, how, sizeof(how));
    member->rows[HEALTH_SUCCESS] = 0;
    if (board_disprove(member->target)) {
        snprintf(why, sizeof(why), "critical in Consul, was kept in panic, and a probe %s", how);
        pool_member_turned(member, why);
    }
    if ((pool_member_word(member) & TARGET_OUT_PROBE) || !fills_row(member, kind))
        return;
    board_set(member->target, TARGET_OUT_PROBE, TARGET_OUT_PROBE);
    if (pool_member_heals_by_probes(member->pool->rules))
        pool_member_end_pause(member);
    else
        pool_member_begin_pause(member);
    snprintf(why, sizeof(why), "%u probes in a row failed, the last %s",
             member->pool->rules->active.in_a_row[kind], how);
    pool_member_turned(member, why);
}

void pool_member_hear_probe(struct pool_member *member, const struct probe_result *result)
{
    enum health_result kind = judge(&member->pool->rules->active, result);
    if (kind == HEALTH_SUCCESS)
        hear_good_probe(member);
    else if (kind != HEALTH_IGNORED)
        hear_bad_probe(member, kind, result);
}
