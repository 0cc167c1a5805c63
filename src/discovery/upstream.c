#include "discovery/upstream.h"

#include <stdio.h>
#include <stdlib.h>

#include "balance/balancer.h"
#include "base/log.h"
#include "discovery/endpoint_set.h"
#include "discovery/gathering.h"
#include "discovery/priorities.h"
#include "discovery/spec_copy.h"
#include "health/board.h"
#include "health/pool_health.h"
#include "model/row.h"

/* Whether requests can be served, as has been logged. */
enum availability {
    AVAILABILITY_UNKNOWN = 0,
    AVAILABILITY_SOME,
    AVAILABILITY_NONE,
    AVAILABILITY_UNRESOLVED
};

struct upstream {
    const struct upstream_ground *ground; /* borrowed */
    struct spec_copy *copy;
    struct source_uses uses;
    struct upstream_state *state; /* referenced */
    struct pool_health *health;
    struct health_rules *rules; /* referenced; NULL: no checks */
    struct endpoint_set *set;   /* what the endpoints were made from; NULL: nothing yet */
    enum endpoints_condition condition;
    enum availability availability;
    bool is_withdrawn;
    bool was_consul; /* the set was Consul's alone */
    unsigned portless_count;
};

static const char *name_of(const struct upstream *upstream)
{
    const struct upstream_spec *spec = &upstream->copy->spec;
    return spec->name.len ? spec->name.ptr : upstream->state->name; /* copies are terminated */
}

/* --- what the log says --- */

struct reporter {
    const struct upstream *upstream;
    bool is_consul; /* now */
};

static struct str why_joined(const struct endpoint_entry *entry)
{
    if (entry->why.len)
        return entry->why;
    return entry->kind == SOURCE_CONSUL   ? STR("registered")
           : entry->kind == SOURCE_STATIC ? STR("configured")
                                          : STR("found in DNS");
}

static struct str why_left(const struct reporter *reporter, const struct endpoint_entry *entry)
{
    if (reporter->upstream->is_withdrawn)
        return STR("its upstream is no longer configured");
    if (entry->kind == SOURCE_CONSUL)
        return STR("deregistered");
    if (entry->kind == SOURCE_STATIC)
        return STR("no longer configured");
    return reporter->is_consul ? STR("consul knows the service now") : STR("no longer in DNS");
}

static struct str why_changed(const struct endpoint_entry *before,
                              const struct endpoint_entry *after, char *text, size_t size)
{
    if (before->status == after->status) {
        snprintf(text, size, "weight was %u", before->weight);
        return str_of(text);
    }
    if (after->why.len)
        return after->why;
    return before->status == DISCOVERED_MAINTENANCE ? STR("maintenance is over")
                                                    : STR("its checks pass now");
}

static void announce(const struct upstream *upstream, const char *type,
                     const struct endpoint_entry *entry, struct str why)
{
    const struct target_state *target = entry->target;
    bool takes_traffic =
        entry->weight > 0 && target_state_is_usable(target) && strcmp(type, "target.left") != 0;
    events_add(&upstream->ground->monitor->events,
               json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:s%}", "type", type, "upstream",
                         name_of(upstream), "target", target->name, "instance", target->instance,
                         "node", target->node, "weight", (json_int_t)entry->weight, "takes_traffic",
                         (int)takes_traffic, "why", why.ptr ? why.ptr : "", why.len));
}

static void on_change(void *arg, enum endpoint_change change, const struct endpoint_entry *before,
                      const struct endpoint_entry *after)
{
    const struct reporter *reporter = arg;
    const char *name = name_of(reporter->upstream);
    char text[64];
    switch (change) {
    case ENDPOINT_STAYS:
        break;
    case ENDPOINT_JOINED:
        board_log(BOARD_JOINED, name, after->target, after->weight, why_joined(after));
        announce(reporter->upstream, "target.joined", after, why_joined(after));
        break;
    case ENDPOINT_LEFT:
        board_log(BOARD_LEFT, name, before->target, before->weight, why_left(reporter, before));
        announce(reporter->upstream, "target.left", before, why_left(reporter, before));
        break;
    case ENDPOINT_CHANGED:
        board_log(BOARD_CHANGED, name, after->target, after->weight,
                  why_changed(before, after, text, sizeof(text)));
        announce(reporter->upstream, "target.changed", after,
                 why_changed(before, after, text, sizeof(text)));
        break;
    }
}

static void count_change(void *arg, enum endpoint_change change,
                         const struct endpoint_entry *before, const struct endpoint_entry *after)
{
    (void)before;
    (void)after;
    *(unsigned *)arg += change != ENDPOINT_STAYS;
}

static enum availability judge(const struct endpoint_set *set, enum endpoints_condition condition,
                               enum availability before)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->entries[i].weight > 0 && target_state_is_usable(set->entries[i].target))
            return AVAILABILITY_SOME;
    if (condition == ENDPOINTS_UNRESOLVED)
        return AVAILABILITY_UNRESOLVED;
    /* An upstream that is only being set up is no news. */
    return before == AVAILABILITY_UNKNOWN ? before : AVAILABILITY_NONE;
}

static void report_availability(struct upstream *upstream, const char *why)
{
    enum availability now = judge(upstream->set, upstream->condition, upstream->availability);
    if (now == upstream->availability)
        return;
    struct log_field name = LOG_CSTR("upstream", name_of(upstream));
    if (now == AVAILABILITY_UNRESOLVED)
        log_warn("upstream has no address", name, LOG_CSTR("why", why));
    else if (now == AVAILABILITY_NONE)
        log_warn("upstream has no usable target", name);
    else if (now == AVAILABILITY_SOME && upstream->availability != AVAILABILITY_UNKNOWN)
        log_info("upstream has usable targets again", name);
    const bool was_told = upstream->availability != AVAILABILITY_UNKNOWN;
    upstream->availability = now;
    if (was_told || now != AVAILABILITY_SOME)
        events_add(&upstream->ground->monitor->events,
                   json_pack("{s:s, s:s, s:b, s:s}", "type", "upstream.available", "upstream",
                             name_of(upstream), "available", now == AVAILABILITY_SOME, "why",
                             now == AVAILABILITY_SOME         ? "it has usable targets again"
                             : now == AVAILABILITY_UNRESOLVED ? why
                                                              : "it has no usable target"));
}

static void report_portless(struct upstream *upstream, unsigned count)
{
    if (count > 0 && count != upstream->portless_count)
        log_warn("instances left out", LOG_CSTR("upstream", name_of(upstream)),
                 LOG_INT("count", count), LOG_CSTR("why", "they have no port"));
    upstream->portless_count = count;
}

/* --- swapping --- */

/* Kong's rule: more than `threshold` percent of the weight must be usable. */
static bool is_too_little(const struct endpoint_set *set, const struct health_rules *rules)
{
    uint64_t all = 0, usable = 0;
    if (!rules || rules->threshold <= 0)
        return false;
    for (uint32_t i = 0; i < set->count; i++) {
        all += set->entries[i].weight;
        usable += target_state_is_usable(set->entries[i].target) ? set->entries[i].weight : 0;
    }
    return !((double)usable * 100.0 > rules->threshold * (double)all);
}

static int make_endpoints(const struct upstream *upstream, const struct endpoint_set *set,
                          enum endpoints_condition condition, struct endpoints **ret)
{
    struct health_rules *rules = upstream->rules;
    struct endpoint *items = set->count ? calloc(set->count, sizeof(*items)) : NULL;
    if (set->count && !items)
        return UV_ENOMEM;
    for (uint32_t i = 0; i < set->count; i++)
        items[i] =
            (struct endpoint){.target = set->entries[i].target, .weight = set->entries[i].weight};
    priorities_apply(set, items);
    struct endpoints *endpoints;
    int rc = endpoints_create(condition, items, set->count, &endpoints);
    free(items);
    if (rc)
        return rc;
    endpoints->rules = health_rules_ref(rules);
    endpoints->is_shut = is_too_little(set, rules);
    endpoints_set_balancing(endpoints, upstream->copy->balancing);
    if ((rc = balancer_plan(endpoints, uv_hrtime() / 1000000))) {
        endpoints_destroy(endpoints);
        return rc;
    }
    *ret = endpoints;
    return 0;
}

static void mark_gone(void *arg, enum endpoint_change change, const struct endpoint_entry *before,
                      const struct endpoint_entry *after)
{
    (void)arg;
    (void)after;
    if (change == ENDPOINT_LEFT)
        atomic_store_explicit(&before->target->gone, true, memory_order_release);
}

static int meet_targets(struct upstream *upstream, const struct endpoint_set *set)
{
    pool_health_begin(upstream->health);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct endpoint_entry *entry = &set->entries[i];
        int rc = pool_health_meet(upstream->health, entry->target, entry->weight, entry->out);
        if (rc)
            return rc;
    }
    pool_health_end(upstream->health);
    return 0;
}

/* The same targets, but their health or the rules have changed. */
static void replan(void *owner)
{
    struct upstream *upstream = owner;
    struct endpoints *endpoints;
    if (!upstream->set)
        return;
    int rc = make_endpoints(upstream, upstream->set, upstream->condition, &endpoints);
    if (rc) { /* workers look at the words as well */
        log_error("upstream is not planned anew", LOG_CSTR("upstream", name_of(upstream)),
                  LOG_CSTR("why", uv_strerror(rc)));
        return;
    }
    upstream->ground->retire(upstream->ground->owner,
                             upstream_state_swap(upstream->state, endpoints));
    report_availability(upstream, "it has no target");
}

/* Takes over `set`. 0 or UV_ENOMEM: then workers see what they saw before. */
static int swap(struct upstream *upstream, struct endpoint_set *set,
                enum endpoints_condition condition, bool is_consul)
{
    /* The words first: the plan looks at them, and so does a worker that still has the old array.
     */
    struct endpoints *endpoints;
    int rc = meet_targets(upstream, set);
    if (!rc)
        rc = make_endpoints(upstream, set, condition, &endpoints);
    if (rc) {
        endpoint_set_destroy(set);
        return rc;
    }
    endpoint_set_diff(upstream->set, set, mark_gone, NULL);
    struct endpoints *old = upstream_state_swap(upstream->state, endpoints);
    upstream->ground->retire(upstream->ground->owner, old);

    struct endpoint_set *before = upstream->set;
    upstream->set = set;
    upstream->condition = condition;
    upstream->was_consul = is_consul;
    endpoint_set_diff(before, set, on_change, &(struct reporter){upstream, is_consul});
    endpoint_set_destroy(before);
    return 0;
}

static int take(struct upstream *upstream, const struct gathering *gathering)
{
    enum endpoints_condition condition = gathering_condition(gathering);
    struct endpoint_set *set;
    int rc = endpoint_set_build(gathering->candidates, gathering->count, upstream->set,
                                upstream->ground->worker_count, &set);
    if (rc)
        return rc;
    unsigned changes = 0;
    endpoint_set_diff(upstream->set, set, count_change, &changes);
    if (changes == 0 && condition == upstream->condition && upstream->set) {
        endpoint_set_destroy(set);
    } else if (changes == 0 && condition == ENDPOINTS_PENDING && !upstream->set) {
        upstream->set = set; /* as it was created */
    } else if ((rc = swap(upstream, set, condition, gathering->is_consul))) {
        return rc;
    }
    report_portless(upstream, gathering->portless_count);
    report_availability(upstream, gathering->why ? gathering->why : "it has no target");
    return 0;
}

static int update(struct upstream *upstream)
{
    struct gathering gathering;
    int rc = gathering_make(&gathering, &upstream->copy->spec, &upstream->uses);
    if (!rc)
        rc = take(upstream, &gathering);
    gathering_deinit(&gathering);
    if (rc)
        log_error("upstream is not updated", LOG_CSTR("upstream", name_of(upstream)),
                  LOG_CSTR("why", uv_strerror(rc)));
    return rc;
}

/* --- the verbs --- */

static int set_rules(struct upstream *upstream, const struct upstream_spec *spec)
{
    struct health_rules *rules = NULL;
    int rc =
        spec->healthchecks ? health_rules_create(spec->healthchecks, spec->host_header, &rules) : 0;
    if (!rc && rules && spec->client_certificate)
        rc = health_rules_set_certificate(rules, row_text(spec->client_certificate, "cert"),
                                          row_text(spec->client_certificate, "key"));
    if (rc) {
        health_rules_unref(rules);
        return rc;
    }
    bool says_nothing = rules && !rules->has_checks && rules->threshold <= 0;
    if (says_nothing) {
        health_rules_unref(rules);
        rules = NULL;
    }
    pool_health_set_rules(upstream->health, rules);
    health_rules_unref(upstream->rules);
    upstream->rules = rules;
    return 0;
}

int upstream_create(const struct upstream_ground *ground, const struct upstream_spec *spec,
                    struct upstream **ret)
{
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    if (!upstream)
        return UV_ENOMEM;
    upstream->ground = ground;
    source_uses_init(&upstream->uses, ground->sources);
    int rc = spec_copy_create(spec, &upstream->copy);
    if (!rc)
        rc = upstream_state_create(spec->name, ground->worker_count, &upstream->state);
    if (!rc)
        rc = pool_health_create(ground->monitor, upstream->state, replan, upstream,
                                &upstream->health);
    if (!rc)
        rc = set_rules(upstream, spec);
    if (!rc)
        rc = pool_health_set_orders(upstream->health, spec->orders, spec->order_count);
    if (!rc)
        rc = update(upstream);
    if (rc) {
        upstream_destroy(upstream);
        return rc;
    }
    *ret = upstream;
    return 0;
}

int upstream_set_spec(struct upstream *upstream, const struct upstream_spec *spec)
{
    struct spec_copy *copy, *before = upstream->copy;
    int rc = pool_health_set_orders(upstream->health, spec->orders, spec->order_count);
    if (rc || spec_equal(&upstream->copy->spec, spec))
        return rc;
    rc = spec_copy_create(spec, &copy);
    if (rc)
        return rc;
    upstream->copy = copy;
    if ((rc = update(upstream))) {
        upstream->copy = before;
        spec_copy_destroy(copy);
        return rc;
    }
    bool has_other_checks = !spec_equal_checks(&before->spec, spec);
    if (has_other_checks)
        rc = set_rules(upstream, spec);
    if (has_other_checks || !balancing_equal(before->balancing, copy->balancing))
        replan(upstream);
    spec_copy_destroy(before);
    return rc;
}

void upstream_hear(struct upstream *upstream, const struct source *source)
{
    if (source_uses_has(&upstream->uses, source))
        update(upstream);
}

struct upstream_state *upstream_get_state(struct upstream *upstream)
{
    return upstream->state;
}

const struct source_uses *upstream_get_uses(const struct upstream *upstream)
{
    return &upstream->uses;
}

const struct endpoint_set *upstream_get_set(const struct upstream *upstream)
{
    return upstream->set;
}

const char *upstream_get_name(const struct upstream *upstream)
{
    return name_of(upstream);
}

void upstream_withdraw(struct upstream *upstream)
{
    upstream->is_withdrawn = true;
    struct endpoint_set *none;
    if (endpoint_set_build(NULL, 0, NULL, 0, &none) || swap(upstream, none, ENDPOINTS_KNOWN, false))
        log_error("targets stay after their upstream has gone",
                  LOG_CSTR("upstream", name_of(upstream)));
    upstream_destroy(upstream);
}

void upstream_destroy(struct upstream *upstream)
{
    if (!upstream)
        return;
    source_uses_deinit(&upstream->uses);
    pool_health_destroy(upstream->health);
    health_rules_unref(upstream->rules);
    endpoint_set_destroy(upstream->set);
    upstream_state_unref(upstream->state);
    spec_copy_destroy(upstream->copy);
    free(upstream);
}
