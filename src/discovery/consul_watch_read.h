/* consul_watch_read.h - the reads of a watch: one is under way at any time, or about to be sent.
 *
 * How an answer is received is here too; what it is worth is not (consul_watch_verdict.h).
 *
 * Thread: the control loop. Memory: the watch's. */
#ifndef DISCOVERY_CONSUL_WATCH_READ_H
#define DISCOVERY_CONSUL_WATCH_READ_H

#include <stdint.h>

#include "discovery/consul_watch_state.h"

/* The watch's transfer is new: tells libcurl where its answers go. */
void consul_watch_set_callbacks(struct consul_watch *watch);
/* Logs it. WATCH_CLOSED is the last. */
void consul_watch_turn_to(struct consul_watch *watch, enum watch_phase phase);
/* The next read without index is due in about five minutes (or consul_patience). */
void consul_watch_plan_audit(struct consul_watch *watch);
/* May find at once that the agent is lost, and then tells the watch's owner. */
void consul_watch_read_now(struct consul_watch *watch);
/* The next read, as soon as the rate of reads allows. */
void consul_watch_read_after(struct consul_watch *watch, uint64_t delay_ms);
/* A read that repeats another waits for its turn among those of all watches. */
void consul_watch_repeat_after(struct consul_watch *watch, uint64_t delay_ms);

#endif
