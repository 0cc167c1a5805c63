#include "health/pool_health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "health/board.h"
#include "health/pool_member.h"
#include "health/trial.h"

#define TOMBSTONE_MS 300000 /* Kong's: how long the state of a target that left is kept */
#define MAX_TOMBSTONES 1024 /* a pool */

/* --- news --- */

static struct pool_member *find(const struct pool_health *pool, const struct target_state *target)
{
    struct pool_member *member = pool ? map_get(&pool->by_name, str_of(target->name)) : NULL;
    return member && member->target == target ? member : NULL;
}

void pool_health_hear(struct pool_health *pool, struct target_state *target,
                      const struct passive_news *news)
{
    struct pool_member *member = find(pool, target);
    if (member)
        pool_member_hear(member, news);
}

void pool_health_hear_probe(struct check_watch *watch, const struct probe_result *result)
{
    pool_member_hear_probe(LIST_ENTRY(watch, struct pool_member, watch), result);
}

/* --- Consul and panic --- */

static bool is_believed_in(const struct pool_member *member)
{
    return member->has_passed && member->weight > 0 && !(member->consul & TARGET_OUT_MAINTENANCE);
}

static void look_for_panic(struct pool_health *pool)
{
    uint32_t known = 0, critical = 0;
    LIST_EACH(link, &pool->members)
    {
        struct pool_member *member = LIST_ENTRY(link, struct pool_member, link);
        if (member->consul == 0)
            member->has_passed = true;
        known += is_believed_in(member);
        critical += is_believed_in(member) && (member->consul & TARGET_OUT_CONSUL);
    }
    bool is_panic = board_is_panic(known, critical, pool->monitor->panic_percent);
    if (is_panic == pool->is_panic)
        return;
    pool->is_panic = is_panic;
    if (is_panic)
        log_warn("panic: Consul calls too many targets critical; each stays until it fails",
                 LOG_CSTR("upstream", pool->state->name), LOG_INT("targets", known),
                 LOG_INT("critical", critical));
    else
        log_notice("panic is over: Consul is believed again",
                   LOG_CSTR("upstream", pool->state->name), LOG_INT("targets", known),
                   LOG_INT("critical", critical));
    events_add(&pool->monitor->events,
               json_pack("{s:s, s:s, s:b, s:I, s:I}", "type", "upstream.panic", "upstream",
                         pool->state->name, "panic", (int)is_panic, "targets", (json_int_t)known,
                         "critical", (json_int_t)critical));
}

/* Changes of Consul's verdict are logged by discovery, which knows their text. */
static void settle(struct pool_health *pool)
{
    look_for_panic(pool);
    LIST_EACH(link, &pool->members)
    {
        struct pool_member *member = LIST_ENTRY(link, struct pool_member, link);
        board_hear_consul(member->target, member->consul, pool->is_panic && member->has_passed);
        checker_set_out(&member->watch, !target_state_is_usable(member->target));
        /* Offers that can't be claimed would be looked at with every pick. */
        if (atomic_load_explicit(&member->target->trial, memory_order_relaxed) ==
                TARGET_TRIAL_OFFERED &&
            !pool_member_may_try(member)) {
            trial_withdraw(pool->state, member->target);
            pool_member_wait_for_trial(member, member->pause_ms);
        }
    }
}

/* --- members --- */

static void destroy_member(struct pool_member *member)
{
    timer_wheel_disarm(&member->pool->monitor->wheel, &member->timer);
    checker_unwatch(&member->watch);
    list_remove(&member->link);
    target_state_unref(member->target);
    free(member->why);
    free(member);
}

static void bury(struct pool_member *tombstone)
{
    struct pool_health *pool = tombstone->pool;
    map_remove(&pool->departed_by_name, str_of(tombstone->target->name));
    pool->departed_count--;
    destroy_member(tombstone);
}

static void on_tombstone_old(struct timer_node *node)
{
    bury(LIST_ENTRY(node, struct pool_member, timer));
}

static void depart(struct pool_member *member)
{
    struct pool_health *pool = member->pool;
    checker_unwatch(&member->watch);
    pool_member_end_pause(member);
    list_remove(&member->link);
    map_remove(&pool->by_name, str_of(member->target->name));
    struct pool_member *before = map_get(&pool->departed_by_name, str_of(member->target->name));
    if (before)
        bury(before);
    if (pool->departed_count == MAX_TOMBSTONES)
        bury(LIST_ENTRY(pool->departed.next, struct pool_member, link));
    if (map_put(&pool->departed_by_name, str_of(member->target->name), member, NULL)) {
        destroy_member(member);
        return;
    }
    list_push_back(&pool->departed, &member->link);
    pool->departed_count++;
    timer_node_init(&member->timer, on_tombstone_old);
    timer_wheel_arm(&pool->monitor->wheel, &member->timer, TOMBSTONE_MS);
}

static bool is_same_instance(const struct target_state *a, const struct target_state *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->instance, b->instance) == 0 &&
           strcmp(a->node, b->node) == 0;
}

/* The target has been here lately: what was known of it holds on. */
static void inherit(struct pool_member *member)
{
    struct pool_member *before =
        map_get(&member->pool->departed_by_name, str_of(member->target->name));
    if (!before)
        return;
    if (is_same_instance(before->target, member->target)) {
        uint32_t word = pool_member_word(before);
        board_set(member->target, POOL_MEMBER_OURS | TARGET_DISPROVED, word);
        atomic_store_explicit(&member->target->rows,
                              atomic_load_explicit(&before->target->rows, memory_order_relaxed),
                              memory_order_relaxed);
        memcpy(member->rows, before->rows, sizeof(member->rows));
        pool_member_set_why(member, before->why);
        member->has_passed = before->has_passed;
        member->ejections = before->ejections;
        member->pause_ms = before->pause_ms;
        member->back_ms = before->back_ms;
        if (word & (TARGET_OUT_PASSIVE | TARGET_OUT_PROBE))
            pool_member_begin_pause(member);
    }
    bury(before);
}

/* What is stored about the target holds for one that joins, too. True: it took it out. */
static bool obey_standing(struct pool_member *member)
{
    const struct pool_health *pool = member->pool;
    const struct health_order *order = pool_orders_find(&pool->orders, member->target);
    if (!order || !order->stands || !pool_health_has_checks(pool) || pool_health_heals(pool))
        return false;
    if (!board_set(member->target, TARGET_OUT_MANUAL, TARGET_OUT_MANUAL))
        return false;
    pool_member_set_why(member, "ordered unhealthy by the Admin API");
    return true;
}

/* While it was away it may have been ordered healthy. Where no probe would ever end it, an order
 * that has gone (with the row of the target, say) is none any more. */
static void forget_revoked(struct pool_member *member)
{
    const struct pool_health *pool = member->pool;
    const struct health_order *order = pool_orders_find(&pool->orders, member->target);
    if (order ? order->is_healthy : pool->orders.is_known && !pool_health_heals(pool))
        board_set(member->target, TARGET_OUT_MANUAL, 0);
}

static void watch(struct pool_member *member)
{
    struct pool_health *pool = member->pool;
    member->watch.is_out = !target_state_is_usable(member->target);
    if (health_rules_probe(pool->rules) && checker_watch(pool->monitor->checker, &member->watch,
                                                         &pool->quota, pool->rules, member->target))
        log_error("a target is not probed: memory is short",
                  LOG_CSTR("upstream", pool->state->name),
                  LOG_CSTR("target", member->target->name));
}

static int join(struct pool_health *pool, struct target_state *target, struct pool_member **ret)
{
    struct pool_member *member = calloc(1, sizeof(*member));
    if (!member || map_put(&pool->by_name, str_of(target->name), member, NULL)) {
        free(member);
        return UV_ENOMEM;
    }
    member->pool = pool;
    member->target = target_state_ref(target);
    pool_member_init_pause(member);
    list_push_back(&pool->members, &member->link);
    inherit(member);
    forget_revoked(member);
    obey_standing(member);
    watch(member);
    *ret = member;
    return 0;
}

void pool_health_begin(struct pool_health *pool)
{
    LIST_EACH(link, &pool->members)
    LIST_ENTRY(link, struct pool_member, link)->is_met = false;
}

int pool_health_meet(struct pool_health *pool, struct target_state *target, uint32_t weight,
                     uint32_t consul)
{
    struct pool_member *member = map_get(&pool->by_name, str_of(target->name));
    if (member && member->target != target) { /* another instance at the same address */
        depart(member);
        member = NULL;
    }
    int rc = member ? 0 : join(pool, target, &member);
    if (rc)
        return rc;
    member->is_met = true;
    member->weight = weight;
    member->consul = consul;
    return 0;
}

void pool_health_end(struct pool_health *pool)
{
    LIST_EACH(link, &pool->members)
    {
        struct pool_member *member = LIST_ENTRY(link, struct pool_member, link);
        if (!member->is_met)
            depart(member);
    }
    settle(pool);
}

/* --- rules and orders --- */

static bool is_same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* What the new rules would never find out, and never take back. */
static uint32_t outdated(const struct health_rules *rules)
{
    if (!rules || !rules->has_checks)
        return POOL_MEMBER_OURS;
    uint32_t reasons = health_rules_probe(rules) ? 0 : TARGET_OUT_PROBE;
    bool counts = false;
    for (int kind = HEALTH_HTTP_FAILURE; kind < HEALTH_RESULT_COUNT; kind++)
        counts |= rules->passive.in_a_row[kind] > 0;
    return counts ? reasons : reasons | TARGET_OUT_PASSIVE;
}

void pool_health_set_rules(struct pool_health *pool, struct health_rules *rules)
{
    bool was_probing = health_rules_probe(pool->rules), probes = health_rules_probe(rules);
    bool is_same_probe = was_probing == probes &&
                         (!probes || is_same_text(pool->rules->probe_key, rules->probe_key));
    struct health_rules *before = pool->rules;
    pool->rules = health_rules_ref(rules);
    pool->quota.limit = rules ? rules->concurrency : 1;
    LIST_EACH(link, &pool->members)
    {
        struct pool_member *member = LIST_ENTRY(link, struct pool_member, link);
        uint32_t ends = outdated(rules) & pool_member_word(member);
        if (ends) {
            pool_member_clear(member, ends);
            pool_member_turned(member, "the checks that took it out are no longer configured");
        }
        if (obey_standing(member))
            pool_member_turned(member, "ordered unhealthy by the Admin API, which holds again");
        if (!is_same_probe) {
            checker_unwatch(&member->watch);
            watch(member);
        }
        bool may_wait = pool_member_may_try(member) && !list_is_linked(&member->timer.link);
        if (may_wait && atomic_load(&member->target->trial) == TARGET_NO_TRIAL)
            pool_member_begin_pause(member); /* the old rules had another way back */
    }
    health_rules_unref(before);
}

void pool_health_order(struct pool_health *pool, struct target_state *target, bool is_healthy)
{
    struct pool_member *member = find(pool, target);
    if (!member)
        return;
    pool_member_clear(member, POOL_MEMBER_OURS | TARGET_DISPROVED);
    member->ejections = 0;
    if (!is_healthy)
        board_set(member->target, TARGET_OUT_MANUAL, TARGET_OUT_MANUAL);
    settle(pool);
    pool_member_turned(member, is_healthy ? "ordered healthy by the Admin API"
                                          : "ordered unhealthy by the Admin API");
}

static void on_fresh_order(void *arg, const struct health_order *order)
{
    struct pool_health *pool = arg;
    LIST_EACH(link, &pool->members)
    {
        struct pool_member *member = LIST_ENTRY(link, struct pool_member, link);
        if (health_order_is_about(order, member->target))
            pool_health_order(pool, member->target, order->is_healthy);
    }
}

int pool_health_set_orders(struct pool_health *pool, const struct health_order *orders,
                           size_t count)
{
    return pool_orders_set(&pool->orders, orders, count, on_fresh_order, pool);
}

/* --- the rest --- */

bool pool_health_heals(const struct pool_health *pool)
{
    return pool->rules && pool_member_heals_by_probes(pool->rules);
}

bool pool_health_has_checks(const struct pool_health *pool)
{
    return pool && pool->rules && pool->rules->has_checks;
}

bool pool_health_is_panicking(const struct pool_health *pool)
{
    return pool && pool->is_panic;
}

const char *pool_health_why(const struct pool_health *pool, const struct target_state *target)
{
    const struct pool_member *member = find(pool, target);
    return member && member->why ? member->why : "";
}

struct pool_health *pool_health_of_dirty_link(struct list *link)
{
    return LIST_ENTRY(link, struct pool_health, dirty_link);
}

void pool_health_replan(struct pool_health *pool)
{
    pool->replan(pool->owner);
}

int pool_health_create(struct monitor *monitor, struct upstream_state *state,
                       pool_health_replan_cb replan, void *owner, struct pool_health **ret)
{
    struct pool_health *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return UV_ENOMEM;
    pool->monitor = monitor;
    pool->state = state;
    pool->replan = replan;
    pool->owner = owner;
    list_init(&pool->members);
    list_init(&pool->departed);
    list_init(&pool->dirty_link);
    check_quota_init(&pool->quota);
    state->health = pool;
    *ret = pool;
    return 0;
}

void pool_health_destroy(struct pool_health *pool)
{
    if (!pool)
        return;
    LIST_EACH(link, &pool->members)
    {
        struct pool_member *member = LIST_ENTRY(link, struct pool_member, link);
        pool_member_end_pause(member);
        destroy_member(member);
    }
    LIST_EACH(link, &pool->departed)
    destroy_member(LIST_ENTRY(link, struct pool_member, link));
    map_deinit(&pool->by_name);
    map_deinit(&pool->departed_by_name);
    pool_orders_deinit(&pool->orders);
    list_remove(&pool->dirty_link);
    health_rules_unref(pool->rules);
    pool->state->health = NULL;
    free(pool);
}
