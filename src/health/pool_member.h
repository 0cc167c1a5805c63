/* pool_member.h - one target of a pool: what probes, live traffic and orders have said of it
 * lately, how that turns its health word, and the pauses and half-open trials by which it comes
 * back.
 *
 * For pool_health.c, which knows who belongs to the pool, and pool_member.c; others use
 * pool_health.h.
 *
 * Thread: the control loop. Memory: its pool's; references its target. */
#ifndef HEALTH_POOL_MEMBER_H
#define HEALTH_POOL_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "base/timer_wheel.h"
#include "health/checker.h"
#include "health/pool_health.h"
#include "health/pool_orders.h"

/* The reasons that are ours to give and to take back: Consul's are not. */
#define POOL_MEMBER_OURS (TARGET_OUT_PROBE | TARGET_OUT_PASSIVE | TARGET_OUT_MANUAL)

/* One target, in the pool or, for a while, departed from it. */
struct pool_member {
    struct list link;
    struct pool_health *pool;
    struct target_state *target; /* referenced */
    uint32_t weight;
    uint32_t consul;
    bool is_met;     /* in the round that is going on */
    bool has_passed; /* Consul has at some time called it good: only then is panic for it */
    struct check_watch watch;
    uint8_t rows[HEALTH_RESULT_COUNT]; /* results of probes in a row */
    unsigned ejections;                /* by live traffic, in close succession */
    uint64_t pause_ms;                 /* the last one */
    uint64_t back_ms;                  /* when it ended well */
    struct timer_node timer;           /* the pause, or the tombstone's end */
    char *why; /* owned; of the last turn; NULL: there was none, as with most of a large pool */
};

/* All of them; its working is pool_health.c's. */
struct pool_health {
    struct monitor *monitor;      /* borrowed */
    struct upstream_state *state; /* borrowed */
    struct health_rules *rules;   /* referenced; NULL: none */
    pool_health_replan_cb replan;
    void *owner;
    struct list members;
    struct map by_name; /* of members */
    struct list departed;
    struct map departed_by_name;
    unsigned departed_count;
    struct check_quota quota;
    struct pool_orders orders;
    bool is_panic;
    struct list dirty_link;
};

static inline uint32_t pool_member_word(const struct pool_member *member)
{
    return atomic_load_explicit(&member->target->health, memory_order_relaxed);
}

/* Why it takes traffic or not, from now on; copied. Without memory it isn't said. */
void pool_member_set_why(struct pool_member *member, const char *why);

/* No pause is under way; for a new one. */
void pool_member_init_pause(struct pool_member *member);

/* The word has changed by what we know: workers see it, the rest follows. */
void pool_member_turned(struct pool_member *member, const char *why);

/* All that is ours to say is forgotten; of the word, `reasons`. */
void pool_member_clear(struct pool_member *member, uint32_t reasons);

/* Whether probes of these rules bring back what is out, whatever took it out. */
bool pool_member_heals_by_probes(const struct health_rules *rules);
/* Whether a half-open trial could bring it back. */
bool pool_member_may_try(const struct pool_member *member);
/* The next trial is offered after `ms`, and a little. */
void pool_member_wait_for_trial(struct pool_member *member, uint64_t ms);
/* A pause before the next trial, longer each time; none where the rules want no trials. */
void pool_member_begin_pause(struct pool_member *member);
void pool_member_end_pause(struct pool_member *member);

/* A worker's news, and a probe's. */
void pool_member_hear(struct pool_member *member, const struct passive_news *news);
void pool_member_hear_probe(struct pool_member *member, const struct probe_result *result);

#endif
