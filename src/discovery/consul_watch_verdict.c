#include "discovery/consul_watch_verdict.h"

#include "base/log.h"
#include "discovery/consul_watch_follow.h"
#include "discovery/consul_watch_read.h"
#include "discovery/consul_watch_trouble.h"
#include "discovery/protection.h"

#define QUIET_MS 5000     /* an answer after so long is no part of a run */
#define POLL_MS 1000      /* without an index there is no blocking */
#define HOLD_MS 300000    /* five minutes: then a removal that nobody confirms is believed */
#define STALE_MAX_MS 2000 /* a server that has not heard of its leader for longer lags */

/* Services register again only some time after an agent that has lost its state is back. In the
 * time of grace after trouble an answer that leaves nothing usable is asked for again before it is
 * believed. */
#define GRACE_MS 10000
#define CONFIRM_MS 1000

void consul_watch_set_holding(struct consul_watch *watch, bool is_holding)
{
    if (is_holding == watch->is_holding)
        return;
    watch->is_holding = is_holding;
    watch->held_ms = consul_watch_now(watch);
    consul_count(watch->consul, 0, is_holding ? 1 : -1);
    if (!is_holding)
        source_tell(&watch->source, "watch.settled", "what was held is decided");
}

/* True when the index went back: then the answer is that of another server or another time. */
static bool take_index(struct consul_watch *watch)
{
    if (!watch->head.has_index) {
        /* Something on the way eats the header, or it makes no sense: after a second time, poll. */
        watch->index = ++watch->reads_without_index > 1 ? 0 : 1;
        if (watch->reads_without_index == 2)
            log_warn("consul answers without index", LOG_CSTR("service", watch->source.name),
                     LOG_CSTR("effect", "asking once a second"));
        return false;
    }
    watch->reads_without_index = 0;
    if (watch->head.index < watch->asked_index) {
        watch->index = 0;
        return true;
    }
    watch->index = watch->head.index;
    return false;
}

static void on_damping_over(uv_timer_t *timer)
{
    struct consul_watch *watch = timer->data;
    watch->index = 0;
    if (consul_watch_stop_listening(watch))
        return;
    if (watch->phase != WATCH_READING || watch->asked_index == 0)
        return; /* the next answer will do */
    consul_cancel(watch->consul, &watch->transfer);
    uv_timer_stop(&watch->timer);
    consul_watch_read_after(watch, 0);
}

/* Takes over the list. */
static void publish(struct consul_watch *watch, struct discovered_list *list)
{
    uint64_t damped_ms = flaps_damp(&watch->flaps, list, consul_watch_now(watch));
    if (damped_ms > 0)
        uv_timer_start(&watch->damp_timer, on_damping_over, damped_ms, 0);
    else
        uv_timer_stop(&watch->damp_timer);
    watch->source.is_saved = false;
    source_publish(&watch->source, SOURCE_KNOWN, list);
}

void consul_watch_hold(struct consul_watch *watch, struct discovered_list *list, const char *why)
{
    if (!watch->is_holding)
        source_tell(&watch->source, "watch.held", why);
    if (!watch->is_holding)
        log_warn("consul answer held", LOG_CSTR("service", watch->source.name),
                 LOG_CSTR("why", why),
                 LOG_CSTR("effect", "the last known targets stay until it is confirmed"));
    consul_watch_set_holding(watch, true);
    watch->index = 0;
    watch->kind = READ_CONFIRM;
    struct discovered_list *merged;
    if (watch->source.last && !protection_merge(watch->source.last, list, &merged))
        publish(watch, merged);
    discovered_list_destroy(watch->pending);
    watch->pending = list;
    if (!watch->source.is_closing)
        consul_watch_repeat_after(watch, CONFIRM_MS);
}

/* Asks at once for more about a removal. Takes over the list. */
static void confirm(struct consul_watch *watch, struct discovered_list *list, enum read_kind kind)
{
    discovered_list_destroy(watch->pending);
    watch->pending = list;
    watch->pending_index = watch->head.index;
    watch->index = 0;
    watch->kind = kind;
    consul_watch_read_now(watch);
}

/* A quorum has said it for so long that it must be true. */
static bool is_hold_over(const struct consul_watch *watch)
{
    uint64_t hold_ms = consul_patience(watch->consul)->hold_ms;
    return watch->is_holding &&
           consul_watch_now(watch) - watch->held_ms >= (hold_ms ? hold_ms : HOLD_MS);
}

/* Why an answer that takes something away is not believed yet; NULL: it is. */
static const char *doubt(const struct consul_watch *watch, const struct discovered_list *list)
{
    const struct discovered_list *last = watch->source.last;
    uint64_t now_ms = consul_watch_now(watch);
    if (!last)
        return NULL;
    if (now_ms < watch->grace_until_ms && discovered_list_count_usable(last) > 0 &&
        discovered_list_count_usable(list) == 0)
        return "no usable instance right after trouble with consul";
    if (watch->head.is_leaderless && !watch->head.is_streaming && protection_takes_away(last, list))
        return "the server that answered knows no leader";
    if (!protection_is_mass_removal(last, list))
        return NULL;
    if (watch->kind != READ_CONFIRM) /* the last one has failed: this is any server's view */
        return "no quorum has confirmed it";
    if (is_hold_over(watch))
        return NULL;
    if (watch->is_limited) /* what is missing may be hidden, as other things have been all along */
        return "the token does not see all instances";
    if (watch->bad_count > 0)
        return "what is missing may be among the entries that make no sense";
    if (watch->known_index > 0 && !watch->head.has_index) /* it had one: who is speaking now? */
        return "an answer without index cannot confirm that most instances are missing";
    if (!watch->pending || !protection_agrees(last, watch->pending, list))
        return "two reads differ on which instances are missing";
    return NULL;
}

static void note_recovery(struct consul_watch *watch)
{
    if (watch->failing_status)
        source_tell(&watch->source, "watch.recovered", "");
    if (watch->failing_status)
        log_info("consul query answers again", LOG_CSTR("service", watch->source.name));
    consul_watch_set_failing(watch, 0);
    backoff_reset(&watch->backoff);
    consul_good(watch->consul);
    if (watch->was_in_trouble || (watch->had_gap && consul_broke_within(watch->consul, GRACE_MS)))
        watch->grace_until_ms = consul_watch_now(watch) + GRACE_MS;
    watch->was_in_trouble = watch->had_gap = false;
}

static void count_idle(struct consul_watch *watch, bool is_news)
{
    uint64_t now_ms = consul_watch_now(watch);
    bool is_run = now_ms - watch->answered_ms < QUIET_MS;
    watch->idle_run = is_news || !is_run ? 0 : watch->idle_run + 1;
    watch->answered_ms = now_ms;
    watch->has_news = is_news;
}

static void note_missed(struct consul_watch *watch, bool is_news)
{
    if (watch->audited_index == 0 || !is_news || watch->head.index > watch->audited_index)
        return;
    watch->missed_count++;
    log_warn("consul change missed", LOG_CSTR("service", watch->source.name),
             LOG_INT("count", watch->missed_count),
             LOG_CSTR("why", "a read without index shows what the blocking query did not"));
}

/* Believes all of it. Takes over the list. */
static void believe(struct consul_watch *watch, struct discovered_list *list)
{
    consul_watch_set_holding(watch, false);
    discovered_list_destroy(watch->pending);
    watch->pending = NULL;
    watch->kind = READ_FOLLOW;
    if (watch->head.has_index)
        watch->known_index = watch->head.index;
    /* Answers of the streaming backend don't say whether they show all. */
    if (!watch->head.is_streaming)
        watch->saw_all = !watch->is_limited;
    publish(watch, list);
    if (!watch->source.is_closing)
        consul_watch_follow(watch, watch->reads_without_index > 1 ? POLL_MS : 0);
}

/* The server has not heard of its leader, or the agent of its servers, for too long. */
static bool is_old(const struct consul_watch *watch)
{
    const struct consul_head *head = &watch->head;
    return (watch->is_cached && head->age_s > STALE_MAX_MS / 1000) ||
           (!head->is_streaming && head->lag_ms > STALE_MAX_MS);
}

/* A server that lags shows an earlier time: to one who was told of a later one, say before its
 * leader died, instances that came meanwhile seem to have gone. */
static bool is_of_before(const struct consul_watch *watch, const struct discovered_list *list)
{
    const struct discovered_list *last = watch->source.last;
    return last && watch->head.has_index && watch->head.index < watch->known_index &&
           protection_takes_away(last, list);
}

void consul_watch_take_answer(struct consul_watch *watch, struct discovered_list *list)
{
    const struct discovered_list *last = watch->source.last;
    bool is_news = !last || !discovered_list_equal(list, last);
    count_idle(watch, is_news);
    note_recovery(watch);

    if (watch->kind == READ_FOLLOW && (is_old(watch) || is_of_before(watch, list))) {
        watch->kind = READ_FRESH;
        watch->index = 0;
        discovered_list_destroy(list);
        consul_watch_repeat_after(watch, 0);
        return;
    }
    if (take_index(watch)) {
        watch->grace_until_ms = consul_watch_now(watch) + GRACE_MS;
        discovered_list_destroy(list);
        consul_watch_read_after(watch, 0);
        return;
    }
    if (is_news && watch->asked_index > 0 && watch->asked_index == watch->head.index) {
        /* Other content under the same index: a policy has changed, or worse. Only a read without
         * index can be trusted now. */
        watch->index = 0;
        discovered_list_destroy(list);
        consul_watch_read_after(watch, 0);
        return;
    }
    const char *why = doubt(watch, list);
    bool is_mass = protection_is_mass_removal(last, list);
    if (watch->kind != READ_CONFIRM && is_mass && !watch->is_holding) {
        confirm(watch, list, READ_CONFIRM);
        return;
    }
    if (why) {
        consul_watch_hold(watch, list, why);
        return;
    }
    if (is_mass && !is_hold_over(watch) && watch->head.has_index &&
        watch->head.index < watch->known_index) {
        confirm(watch, list, READ_AGE);
        return;
    }
    note_missed(watch, is_news);
    believe(watch, list);
}

/* The index of all services grows with every removal, also where that of one service falls: when it
 * gets another name. So if it is smaller than what was known, Consul's state has gone back. */
void consul_watch_take_age(struct consul_watch *watch)
{
    struct discovered_list *pending = watch->pending;
    watch->pending = NULL;
    note_recovery(watch);
    if (watch->head.has_index && watch->head.index > watch->known_index) {
        watch->index = 0;
        watch->head.index = watch->pending_index;
        believe(watch, pending);
    } else {
        consul_watch_hold(watch, pending,
                          "most instances are missing after consul's state went back");
    }
}
