/* outcome.h - what is told about an exchange when it is over: counters, the access log, and a
 * line in the log when the gateway failed it.
 *
 * Thread: the worker's. Memory: none. */
#ifndef PROXY_OUTCOME_H
#define PROXY_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

struct exchange;
struct target_state;
struct worker;

/* Failures come in floods: this many lines a second a worker, the rest is counted. */
#define FAILURE_LINES_PER_SECOND 20

struct failure_limit {
    uint64_t second;
    uint32_t lines;
    uint64_t suppressed;
};

/* Counts and logs an exchange that is over. */
void outcome_record(struct exchange *x);

/* Whether a line about what peers cause may be written now; counts it. */
bool outcome_may_log(struct worker *worker);

/* Of a try that failed: a kept connection that turns out to be closed says nothing of its target,
 * and one that takes leave is not down. */
bool outcome_is_no_fault(const struct exchange *x);

/* What the response says of its target, as a status of HTTP's: 503 for gRPC's UNAVAILABLE. */
uint16_t outcome_status(const struct exchange *x);

/* Counts how the try under way went for its target's health, once its answer's head is there and
 * when the target is left. */
void outcome_tell_health(struct exchange *exchange);

/* The same for a second try beside it (proxy/hedge.h) that failed, or was answered with `status`.
 */
void outcome_tell_second(struct exchange *x, struct target_state *target, uint16_t status);

/* Logs a failed try (more may follow). */
void outcome_log_try(struct exchange *x, const char *what_next);

/* Logs a request that weir refused as bad. */
void outcome_log_refused(struct exchange *x);

#endif
