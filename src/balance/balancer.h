/* balancer.h - picks the target of an exchange, and hears how it went.
 *
 * Which algorithm picks is said by the endpoints (model/balancing.h); each has a file of its own
 * here.
 *
 * Thread: the worker whose index is given; balancer_plan on control. Memory: none but what the plan
 * adds to the endpoints. */
#ifndef BALANCE_BALANCER_H
#define BALANCE_BALANCER_H

#include "base/random.h"
#include "model/upstream_state.h"

struct balancer_query {
    uint32_t worker_index;
    uint64_t now_ms; /* of the loop */
    struct random_state *random;
    struct target_state *const *tried; /* not to be picked again */
    unsigned tried_count;
    bool has_hash;
    uint64_t hash; /* by consistent_hash_key, of what the upstream hashes on */
    bool was_full; /* set when a target was left out for being at its limit */
};

/* The next usable target that is not among those tried; NULL when there is none. It counts as
 * carrying one exchange more until that is reported. Borrowed until the calling loop callback
 * returns: who needs it longer takes a reference. O(1) while targets are healthy. */
struct target_state *balancer_pick(struct upstream_state *upstream, struct balancer_query *query);

/* Counts an exchange in at a target that was chosen by other means; it is reported all the same. */
void balancer_count_in(struct upstream_state *upstream, struct target_state *target,
                       uint32_t worker_index, uint64_t now_ms);

enum balancer_result {
    BALANCER_GOOD = 0, /* answered */
    BALANCER_BAD,      /* it failed, or answered that it had */
    BALANCER_UNTOLD,   /* given up before there was an answer, for no fault that is known */
};

struct balancer_report {
    uint32_t worker_index;
    uint64_t now_ms;
    enum balancer_result result;
    bool was_heard;     /* balancer_hear was called */
    uint64_t waited_ms; /* from sending to the answer's head, or to giving up; 0 where never sent */
};

/* The head of the answer came: says that the target is alive, however long the rest takes. */
static inline void balancer_hear(struct target_state *target, uint32_t worker_index,
                                 uint64_t now_ms)
{
    target->slots[worker_index].awaited--;
    target->slots[worker_index].silent_since_ms = now_ms;
}

/* Once for each exchange that was picked for or counted in, when it leaves the target. */
void balancer_report(struct upstream_state *upstream, struct target_state *target,
                     const struct balancer_report *report);

/* Prepares endpoints for the picks of their algorithm, before they are published. 0 or UV_ENOMEM.
 */
int balancer_plan(struct endpoints *endpoints, uint64_t now_ms);

#endif
