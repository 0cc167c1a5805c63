/* passive.h - judges targets by the traffic that they serve anyway.
 *
 * Four rows of results are counted for each target, by all workers together: a failure ends the row
 * of successes, a success ends those of failures, also where no number of successes is configured
 * ("in a row" means it). A row that reaches its limit turns the target, at once, for every worker's
 * next pick. A limit of 0 never turns anything. A target that is out collects no failures, one that
 * is in no successes.
 *
 * Where nothing is configured nothing is counted, but for a target that only panic keeps in use:
 * its first failure shows that Consul was right.
 *
 * Thread: any worker. Memory: none. Cost of a healthy target's success: one relaxed load. */
#ifndef HEALTH_PASSIVE_H
#define HEALTH_PASSIVE_H

#include "model/health_rules.h"
#include "model/target_state.h"

/* What a report changed. */
enum passive_turn {
    PASSIVE_NO_TURN = 0,
    PASSIVE_OUT,       /* a row of failures is full: TARGET_OUT_PASSIVE is set */
    PASSIVE_BACK,      /* a row of successes is full: it is cleared */
    PASSIVE_DISPROVED, /* failed while kept in panic: TARGET_OUT_CONSUL is set */
    PASSIVE_TRIAL_PASSED,
    PASSIVE_TRIAL_FAILED,
};

/* What control is told, in the words of the worker that saw it. */
struct passive_news {
    enum passive_turn turn;
    enum health_result cause;
    uint16_t status; /* of the answer; 0: there was none */
    uint8_t in_a_row;
};

/* An answer came with that status. `rules` may be NULL: none. */
struct passive_news passive_answered(const struct health_rules *rules, struct target_state *target,
                                     uint16_t status);
/* A connection was made, and nothing more is known: a stream's. */
struct passive_news passive_connected(const struct health_rules *rules,
                                      struct target_state *target);
/* None came: HEALTH_TCP_FAILURE or HEALTH_TIMEOUT. */
struct passive_news passive_failed(const struct health_rules *rules, struct target_state *target,
                                   enum health_result failure);
/* The target starts anew. */
void passive_forget(struct target_state *target);

#endif
