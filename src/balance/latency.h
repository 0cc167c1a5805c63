/* latency.h - of two targets the one that will answer sooner: its answering time, as a moving
 * average that jumps up with a peak and sinks slowly, times what it has under way.
 *
 * The first of the two is whose turn it is, the second any other; the second is taken only where
 * it is clearly better. So equal targets take turns, and a slow one is left alone until its average
 * has sunk.
 *
 * Thread: shared words, written by the reporting workers; latency_plan on control. Memory: none. */
#ifndef BALANCE_LATENCY_H
#define BALANCE_LATENCY_H

#include "balance/choice.h"

#define LATENCY_MEMORY_MS 10000 /* an average sinks to 1/e of itself in that time */
/* What a failure counts as at least, or a target that fails fast would draw all traffic. */
#define LATENCY_OF_FAILURE_MS 1000

const struct endpoint *latency_pick(const struct choice *choice);
void latency_report(struct target_state *target, const struct balancer_report *report);

/* Targets that nobody has measured yet start at the median of the others. */
void latency_plan(struct endpoints *endpoints, uint64_t now_ms);

/* The average at this time, in microseconds; 0: not measured. */
uint32_t latency_average_us(const struct target_state *target, uint64_t now_ms);

#endif
