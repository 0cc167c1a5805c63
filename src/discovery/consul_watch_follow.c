#include "discovery/consul_watch_follow.h"

#include "base/log.h"
#include "discovery/consul_watch_read.h"
#include "discovery/consul_watch_trouble.h"

#define BUSY_MS 60000 /* a service that changes twice within it is worth a seat */

static struct consul_watch *watch_of(struct bell_member *member)
{
    return LIST_ENTRY(member, struct consul_watch, member);
}

/* --- seats --- */

static unsigned count_seated(struct consul *consul)
{
    unsigned count = 0;
    LIST_EACH(node, consul_seated(consul))
    {
        count++;
    }
    return count;
}

static bool has_seat(const struct consul_watch *watch)
{
    return list_is_linked(&watch->seat);
}

/* What the bell does not tell might have been missed in between. */
static void leave_seat(struct consul_watch *watch)
{
    list_remove(&watch->seat);
    watch->is_rung = true;
}

static uint64_t last_change_ms(const struct consul_watch *watch)
{
    return watch->source.account.changed_ms;
}

/* The one who has sat there without a change for the longest time goes, if that is long. */
static bool free_a_seat(struct consul_watch *watch)
{
    struct consul_watch *idle = NULL;
    LIST_EACH(node, consul_seated(watch->consul))
    {
        struct consul_watch *other = LIST_ENTRY(node, struct consul_watch, seat);
        if (!idle || last_change_ms(other) < last_change_ms(idle))
            idle = other;
    }
    if (!idle || consul_watch_now(watch) - last_change_ms(idle) < BUSY_MS)
        return false;
    leave_seat(idle);
    if (idle->phase == WATCH_READING && idle->asked_index > 0) {
        consul_cancel(idle->consul, &idle->transfer);
        uv_timer_stop(&idle->timer);
        consul_watch_read_after(idle, 0);
    }
    return true;
}

static bool take_seat(struct consul_watch *watch)
{
    struct list *seated = consul_seated(watch->consul);
    unsigned seats = consul_seats(watch->consul);
    uint64_t now_ms = consul_watch_now(watch);
    bool is_busy = watch->has_news && watch->changed_ms > 0 && now_ms - watch->changed_ms < BUSY_MS;
    if (watch->has_news)
        watch->changed_ms = now_ms;
    if (has_seat(watch)) {
        if (count_seated(watch->consul) <= seats)
            return true;
        leave_seat(watch); /* there are fewer now */
    }
    if (count_seated(watch->consul) >= seats && (!is_busy || !free_a_seat(watch)))
        return false;
    list_push_back(seated, &watch->seat);
    return true;
}

/* --- the bell --- */

/* Whoever has a query of its own under way will hear by that. */
static void on_ring(struct bell_member *member)
{
    struct consul_watch *watch = watch_of(member);
    watch->is_rung = true;
    consul_watch_stop_listening(watch);
}

static void on_lost(struct bell_member *member)
{
    struct consul_watch *watch = watch_of(member);
    watch->is_rung = true;
    if (watch->phase != WATCH_LISTENING)
        return;
    consul_watch_note_gap(watch);
    consul_bell_unlisten(member);
    consul_watch_read_after(watch, consul_first_delay_ms(watch->consul));
}

static bool is_on(struct bell_member *member, uint64_t node_key)
{
    const struct discovered_list *last = watch_of(member)->source.last;
    for (uint32_t i = 0; last && i < last->count; i++)
        if (consul_bell_key(member, last->items[i].node) == node_key)
            return true;
    return false;
}

bool consul_watch_stop_listening(struct consul_watch *watch)
{
    if (watch->phase != WATCH_LISTENING)
        return false;
    consul_bell_unlisten(&watch->member);
    consul_watch_read_after(watch, 0);
    return true;
}

enum read_kind consul_watch_kind_of_follow(const struct consul_watch *watch)
{
    /* Another server than the one that rang may not know it yet; the leader does. */
    bool is_rung = !has_seat(watch) && consul_bell_is_tuned(&watch->member);
    return is_rung && consul_is_crowded(watch->consul) ? READ_FRESH : READ_FOLLOW;
}

/* --- how to go on --- */

void consul_watch_follow(struct consul_watch *watch, uint64_t delay_ms)
{
    watch->takes_turns = false;
    if (!consul_is_crowded(watch->consul)) {
        consul_watch_follow_end(watch);
        consul_watch_read_after(watch, delay_ms);
        return;
    }
    int rc = consul_bell_join(watch->consul, &watch->member, watch->age_path,
                              str_of(watch->source.name));
    if (rc && rc != UV_EMFILE)
        log_warn("no memory for a list of consul's", LOG_CSTR("service", watch->source.name));
    if (take_seat(watch)) {
        consul_watch_read_after(watch, delay_ms);
    } else if (!consul_bell_is_tuned(&watch->member)) {
        watch->takes_turns = true;
        consul_watch_read_after(watch, delay_ms);
    } else if (watch->is_rung) {
        consul_watch_read_after(watch, delay_ms);
    } else {
        consul_watch_turn_to(watch, WATCH_LISTENING);
        consul_bell_listen(&watch->member);
    }
}

void consul_watch_follow_init(struct consul_watch *watch)
{
    watch->member.ring = on_ring;
    watch->member.on_lost = on_lost;
    watch->member.is_on = is_on;
    watch->is_rung = true;
}

void consul_watch_follow_end(struct consul_watch *watch)
{
    list_remove(&watch->seat);
    watch->is_rung = true;
    consul_bell_leave(&watch->member);
}
