#include "health/pool_explain.h"

#include "health/board.h"
#include "health/pool_member.h"

/* Results of each kind in a row, and how many of them turn the target. */
static json_t *rows_body(const uint8_t rows[HEALTH_RESULT_COUNT],
                         const struct health_limits *limits)
{
    static const char *const names[HEALTH_RESULT_COUNT] = {
        [HEALTH_SUCCESS] = "successes",
        [HEALTH_HTTP_FAILURE] = "http_failures",
        [HEALTH_TCP_FAILURE] = "tcp_failures",
        [HEALTH_TIMEOUT] = "timeouts",
    };
    json_t *body = json_object();
    for (int kind = 0; kind < HEALTH_RESULT_COUNT; kind++)
        json_object_set_new(
            body, names[kind],
            json_pack("{s:i, s:i}", "count", rows[kind], "limit", limits->in_a_row[kind]));
    return body;
}

static json_t *probe_body(const struct pool_member *member)
{
    const struct health_rules *rules = member->pool->rules;
    if (!health_rules_probe(rules))
        return json_null();
    bool is_out = pool_member_word(member) & TARGET_OUT_PROBE;
    return json_pack("{s:s, s:b, s:o}", "verdict", is_out ? "unhealthy" : "healthy", "probed",
                     member->watch.prober != NULL, "in_a_row",
                     rows_body(member->rows, &rules->active));
}

static bool counts_traffic(const struct health_rules *rules)
{
    for (int kind = 0; rules && kind < HEALTH_RESULT_COUNT; kind++)
        if (kind != HEALTH_SUCCESS && rules->passive.in_a_row[kind] > 0)
            return true;
    return false;
}

static const char *trial_name(const struct target_state *target)
{
    switch (atomic_load_explicit(&target->trial, memory_order_relaxed)) {
    case TARGET_TRIAL_OFFERED:
        return "offered";
    case TARGET_TRIAL_CLAIMED:
        return "under way";
    default:
        return "none";
    }
}

static json_t *passive_body(const struct pool_member *member)
{
    const struct health_rules *rules = member->pool->rules;
    if (!counts_traffic(rules))
        return json_null();
    uint32_t packed = atomic_load_explicit(&member->target->rows, memory_order_relaxed);
    uint8_t rows[HEALTH_RESULT_COUNT];
    for (int kind = 0; kind < HEALTH_RESULT_COUNT; kind++)
        rows[kind] = (uint8_t)(packed >> (kind * 8)); /* as passive.c keeps them */
    bool is_out = pool_member_word(member) & TARGET_OUT_PASSIVE;
    return json_pack("{s:s, s:o, s:i, s:f, s:s}", "verdict", is_out ? "unhealthy" : "healthy",
                     "in_a_row", rows_body(rows, &rules->passive), "ejections",
                     (int)member->ejections, "pause", (double)member->pause_ms / 1000.0, "trial",
                     trial_name(member->target));
}

void pool_explain_target(const struct pool_health *pool, const struct target_state *target,
                         json_t *body)
{
    const struct pool_member *member = map_get(&pool->by_name, str_of(target->name));
    if (!member || member->target != target)
        return;
    uint32_t word = pool_member_word(member);
    char reasons[96];
    json_object_set_new(body, "health",
                        json_pack("{s:b, s:s, s:s}", "usable", (int)!(word & TARGET_OUT_ANY),
                                  "reasons", board_reasons(word, reasons, sizeof(reasons)),
                                  "last_change", member->why ? member->why : ""));
    json_object_set_new(body, "probe", probe_body(member));
    json_object_set_new(body, "passive", passive_body(member));
    json_object_set_new(body, "order",
                        word & TARGET_OUT_MANUAL ? json_string("unhealthy") : json_null());
    json_object_set_new(body, "panic", json_boolean(word & TARGET_IN_PANIC));
}
