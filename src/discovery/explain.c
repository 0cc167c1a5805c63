#include "discovery/explain.h"

#include <stdio.h>
#include <string.h>

#include <uv.h> /* its clock only */

#include "balance/latency.h"
#include "balance/slow_start.h"
#include "health/board.h"
#include "health/pool_explain.h"
#include "health/pool_health.h"

const char *explain_kind(enum source_kind kind)
{
    static const char *const names[] = {
        [SOURCE_STATIC] = "static",
        [SOURCE_CONSUL] = "consul",
        [SOURCE_DNS] = "dns",
        [SOURCE_DNS_SRV] = "dns-srv",
    };
    return names[kind];
}

/* --- sources --- */

/* Seconds since `then_ms`, with three places; null: never. */
static json_t *age_body(uint64_t then_ms, uint64_t now_ms)
{
    if (then_ms == 0)
        return json_null();
    return json_real(now_ms > then_ms ? (double)(now_ms - then_ms) / 1000.0 : 0.0);
}

static json_t *error_body(const struct source_account *account, uint64_t now_ms)
{
    if (account->failed_ms == 0)
        return json_null();
    json_t *age = age_body(account->failed_ms, now_ms);
    json_t *error = json_pack("{s:s%, s:O}", "text", account->last_error,
                              strnlen(account->last_error, SOURCE_ERROR_BYTES), "age", age);
    if (!error) /* a peer's bytes in it are no text */
        error = json_pack("{s:s, s:O}", "text", "(not printable)", "age", age);
    json_decref(age);
    return error;
}

json_t *explain_account(const struct source_account *account, uint64_t now_ms)
{
    return json_pack(
        "{s:o, s:o, s:I, s:I, s:I, s:I, s:b, s:o}", "age", age_body(account->answered_ms, now_ms),
        "changed_age", age_body(account->changed_ms, now_ms), "reads", (json_int_t)account->reads,
        "wake_ups", (json_int_t)account->wake_ups, "changes", (json_int_t)account->changes,
        "errors", (json_int_t)account->errors, "stale", account->failed_ms > account->answered_ms,
        "last_error", error_body(account, now_ms));
}

json_t *explain_source(const struct source *source, uint64_t now_ms)
{
    static const char *const states[] = {
        [SOURCE_PENDING] = "pending",
        [SOURCE_KNOWN] = "known",
        [SOURCE_ABSENT] = "absent",
        [SOURCE_AWAY] = "away",
    };
    const struct discovered_list *last = source->last;
    json_t *body = json_pack("{s:s, s:s, s:s, s:i, s:i, s:b}", "source", explain_kind(source->kind),
                             "name", source->name, "state", states[source->state], "targets",
                             last ? (int)last->count : 0, "usable",
                             last ? (int)discovered_list_count_usable(last) : 0, "saved",
                             (int)source->is_saved);
    json_t *account = explain_account(&source->account, now_ms);
    json_object_update(body, account);
    json_decref(account);
    if (source->describe)
        source->describe(source, body);
    return body;
}

/* --- targets --- */

static json_t *verdict_body(const struct endpoint_entry *entry)
{
    static const char *const names[] = {
        [DISCOVERED_PASSING] = "passing",
        [DISCOVERED_WARNING] = "warning",
        [DISCOVERED_CRITICAL] = "critical",
        [DISCOVERED_MAINTENANCE] = "maintenance",
    };
    if (entry->kind != SOURCE_CONSUL)
        return json_null();
    return json_pack("{s:s, s:s%}", "status", names[entry->status], "why",
                     entry->why.len ? entry->why.ptr : "", entry->why.len);
}

static json_t *in_flight_body(const struct target_state *target)
{
    json_int_t sum = 0;
    for (uint32_t i = 0; i < target->worker_count; i++)
        sum += atomic_load_explicit(&target->slots[i].in_flight, memory_order_relaxed);
    return json_integer(sum);
}

/* The share of its turns that a target takes which is new or has recovered; 1: all. */
static double share_of(const struct endpoints *endpoints, const struct target_state *target,
                       uint64_t now_ms)
{
    return (double)slow_start_share(endpoints, target, now_ms) / (double)UINT32_MAX;
}

static json_t *slow_start_body(const struct endpoints *endpoints, const struct target_state *target,
                               uint64_t now_ms)
{
    uint32_t window_ms = endpoints->balancing ? endpoints->balancing->slow_start_ms : 0;
    double share = share_of(endpoints, target, now_ms);
    if (share >= 1.0)
        return json_null();
    uint64_t end_ms =
        atomic_load_explicit(&target->ready_since_ms, memory_order_relaxed) + window_ms;
    return json_pack("{s:f, s:f}", "share", share, "ends_in",
                     end_ms > now_ms ? (double)(end_ms - now_ms) / 1000.0 : 0.0);
}

static json_t *avoided_body(const struct target_state *target, uint64_t now_ms)
{
    uint64_t until_ms = atomic_load_explicit(&target->avoided_until_ms, memory_order_relaxed);
    return until_ms > now_ms ? json_real((double)(until_ms - now_ms) / 1000.0) : json_null();
}

/* One sentence on why it is picked or not: the first thing that settles it. */
static void write_why(const struct endpoint_entry *entry, const struct endpoints *endpoints,
                      const struct pool_health *health, uint64_t now_ms, char *text, size_t size)
{
    const struct target_state *target = entry->target;
    uint32_t word = atomic_load_explicit(&target->health, memory_order_relaxed);
    const char *last = health ? pool_health_why(health, target) : "";
    char reasons[96];
    if (word & TARGET_OUT_ANY) {
        board_reasons(word, reasons, sizeof(reasons));
        const char *sep = last[0] || entry->why.len ? ": " : "";
        bool is_consul = word & (TARGET_OUT_CONSUL | TARGET_OUT_MAINTENANCE);
        if (is_consul && entry->why.len)
            snprintf(text, size, "out by %s%s%.*s", reasons, sep, STR_ARG(entry->why));
        else
            snprintf(text, size, "out by %s%s%s", reasons, sep, last);
    } else if (entry->weight == 0) {
        snprintf(text, size, "out: its weight is 0");
    } else if (endpoints->is_shut) {
        snprintf(text, size, "out: less of the pool is usable than its threshold asks for");
    } else if (word & TARGET_IN_PANIC) {
        snprintf(text, size, "in by panic, although Consul calls it critical");
    } else if (atomic_load_explicit(&target->avoided_until_ms, memory_order_relaxed) > now_ms) {
        snprintf(text, size, "in, but avoided while others answer better");
    } else if (share_of(endpoints, target, now_ms) < 1.0) {
        snprintf(text, size, "in, and starting slowly");
    } else {
        snprintf(text, size, "in");
    }
}

static json_t *target_body(const struct endpoint_entry *entry, struct upstream_state *state,
                           uint64_t now_ms)
{
    const struct target_state *target = entry->target;
    const struct endpoints *endpoints = upstream_state_endpoints(state);
    bool takes_traffic = entry->weight > 0 && target_state_is_usable(target) && !endpoints->is_shut;
    double effective = takes_traffic ? entry->weight * share_of(endpoints, target, now_ms) : 0;
    char why[400];
    write_why(entry, endpoints, state->health, now_ms, why, sizeof(why));
    json_t *body = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s%, s:b, s:s, s:I, s:f, s:o, s:o, s:f, s:o, s:o}", "target",
        target->name, "host", target->host, "source", explain_kind(entry->kind), "instance",
        target->instance, "node", target->node, "datacenter",
        entry->datacenter.len ? entry->datacenter.ptr : "", entry->datacenter.len, "takes_traffic",
        (int)takes_traffic, "why", why, "weight", (json_int_t)entry->weight, "effective_weight",
        effective, "slow_start", slow_start_body(endpoints, target, now_ms), "in_flight",
        in_flight_body(target), "latency_ms", (double)latency_average_us(target, now_ms) / 1000.0,
        "avoided_for", avoided_body(target, now_ms), "consul", verdict_body(entry));
    if (state->health)
        pool_explain_target(state->health, target, body);
    return body;
}

json_t *explain_targets(const struct endpoint_set *set, struct upstream_state *state)
{
    json_t *list = json_array();
    uint64_t now_ms = uv_hrtime() / 1000000;
    for (uint32_t i = 0; set && i < set->count; i++)
        json_array_append_new(list, target_body(&set->entries[i], state, now_ms));
    return list;
}
