#include "discovery/pool_metrics.h"

#include <stdio.h>
#include <string.h>

#include "health/pool_health.h"

#define MAX_TARGET_BYTES 300
#define MAX_LABEL_BYTES 512

static const struct {
    const char *name;
    const char *help;
} families[POOL_METRIC_COUNT] = {
    [POOL_TARGET_HEALTH] = {"kong_upstream_target_health",
                            "Health status of targets of upstream. States = "
                            "healthchecks_off|healthy|unhealthy|dns_error, value is 1 when state "
                            "is populated."},
    [POOL_TARGETS] = {"weir_upstream_targets", "Targets that the upstream has"},
    [POOL_USABLE_TARGETS] = {"weir_upstream_usable_targets", "Of these, those that take traffic"},
    [POOL_IN_FLIGHT] = {"weir_upstream_in_flight", "Requests under way at its targets"},
    [POOL_PENDING] = {"weir_upstream_pending", "Requests that wait for a target below its limits"},
    [POOL_EVENTS] = {"weir_upstream_events_total",
                     "Retries, and requests that met a limit of their targets"},
    [POOL_PANIC] = {"weir_upstream_panic",
                    "Whether Consul calls too many targets critical to be believed"},
};

void pool_metrics_begin(enum pool_metric metric, struct metrics_text *text)
{
    metrics_text_family(text, families[metric].name,
                        metric == POOL_EVENTS ? METRICS_COUNTER : METRICS_GAUGE,
                        families[metric].help);
}

/* An entity's name is unique among entities and has no colon; the other keys are unique and have
 * one. */
static struct str label_of(const char *key, const struct upstream_state *state)
{
    if (strncmp(key, "upstream:", strlen("upstream:")) == 0)
        return str_of(state->name);
    return str_of(strncmp(key, "host:", strlen("host:")) == 0 ? key + strlen("host:") : key);
}

static bool takes_traffic(const struct endpoint_entry *entry)
{
    return entry->weight > 0 && target_state_is_usable(entry->target);
}

static void print_target(struct str upstream, const struct upstream_state *state,
                         const struct endpoint_entry *entry, struct metrics_text *text)
{
    static const char *const names[] = {"healthchecks_off", "healthy", "unhealthy", "dns_error"};
    const struct target_state *target = entry->target;
    bool is_judged = entry->kind == SOURCE_CONSUL || pool_health_has_checks(state->health);
    const char *now = entry->weight == 0 && !is_judged  ? "healthchecks_off"
                      : !target_state_is_usable(target) ? "unhealthy"
                      : is_judged                       ? "healthy"
                                                        : "healthchecks_off";
    char name[MAX_TARGET_BYTES];
    snprintf(name, sizeof(name), strchr(target->host, ':') ? "[%s]:%u" : "%s:%u", target->host,
             target->port);
    struct metrics_label labels[] = {
        {"upstream", upstream}, {"target", str_of(name)},   {"address", str_of(target->name)},
        {"state", STR_EMPTY},   {"subsystem", STR("http")},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        labels[3].value = str_of(names[i]);
        metrics_text_count(text, labels, 5, strcmp(names[i], now) == 0);
    }
}

static uint64_t in_flight(const struct target_state *target)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < target->worker_count; i++)
        sum += atomic_load_explicit(&target->slots[i].in_flight, memory_order_relaxed);
    return sum;
}

static uint64_t value_of(enum pool_metric metric, const struct upstream_state *state,
                         const struct endpoint_set *set)
{
    uint64_t sum = 0;
    if (metric == POOL_PENDING)
        return atomic_load_explicit(&state->pending, memory_order_relaxed);
    if (metric == POOL_PANIC)
        return state->health && pool_health_is_panicking(state->health);
    for (uint32_t i = 0; set && i < set->count; i++) {
        const struct endpoint_entry *entry = &set->entries[i];
        sum += metric == POOL_TARGETS          ? 1
               : metric == POOL_USABLE_TARGETS ? takes_traffic(entry)
                                               : in_flight(entry->target);
    }
    return sum;
}

static void print_events(struct str upstream, const struct upstream_state *state,
                         struct metrics_text *text)
{
    static const char *const names[UPSTREAM_EVENT_COUNT] = {
        [UPSTREAM_RETRY] = "retry",
        [UPSTREAM_RETRY_DENIED] = "retry_denied",
        [UPSTREAM_LIMITED] = "limited",
        [UPSTREAM_PENDING] = "waited",
        [UPSTREAM_PENDING_LATE] = "waited_in_vain",
        [UPSTREAM_PENDING_NO_ROOM] = "no_room",
        [UPSTREAM_HEDGE] = "hedge",
        [UPSTREAM_HEDGE_WON] = "hedge_won",
    };
    for (int i = 0; i < UPSTREAM_EVENT_COUNT; i++) {
        const struct metrics_label labels[] = {{"upstream", upstream}, {"event", str_of(names[i])}};
        metrics_text_count(text, labels, 2,
                           atomic_load_explicit(&state->events[i], memory_order_relaxed));
    }
}

void pool_metrics_print(enum pool_metric metric, const char *key,
                        const struct upstream_state *state, const struct endpoint_set *set,
                        uint32_t *left, struct metrics_text *text)
{
    struct str upstream = label_of(key, state);
    if (metric == POOL_EVENTS) {
        print_events(upstream, state, text);
        return;
    }
    if (metric != POOL_TARGET_HEALTH) {
        metrics_text_count(text, &(struct metrics_label){"upstream", upstream}, 1,
                           value_of(metric, state, set));
        return;
    }
    for (uint32_t i = 0; set && i<set->count && * left> 0; i++, --*left)
        print_target(upstream, state, &set->entries[i], text);
}

void pool_metrics_print_events(const struct events *events, struct metrics_text *text)
{
    metrics_text_family(text, "weir_events_total", METRICS_COUNTER,
                        "Events by type; of targets also what became of them and why");
    const struct tally *counts = &events->counts;
    uint32_t rows = atomic_load_explicit(&counts->row_count, memory_order_acquire);
    for (uint32_t i = 0; i < rows; i++)
        metrics_text_count(text, &(struct metrics_label){"event", str_of(counts->rows[i].text)}, 1,
                           metrics_read(&counts->rows[i].count));
    if (metrics_read(&counts->others) > 0)
        metrics_text_count(text, &(struct metrics_label){"event", STR("other")}, 1,
                           metrics_read(&counts->others));
}
