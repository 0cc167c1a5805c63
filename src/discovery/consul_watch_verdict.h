/* consul_watch_verdict.h - whether a watch believes an answer that makes sense: at once, after
 * another read has confirmed it, or only what it adds to what is known.
 *
 * Thread: the control loop. Memory: lists are taken over. */
#ifndef DISCOVERY_CONSUL_WATCH_VERDICT_H
#define DISCOVERY_CONSUL_WATCH_VERDICT_H

#include <stdbool.h>

#include "discovery/consul_watch_state.h"

/* The answer to any read but READ_AGE. Takes over the list. */
void consul_watch_take_answer(struct consul_watch *watch, struct discovered_list *list);
/* The answer to READ_AGE: its head decides on the pending list, which there must be. */
void consul_watch_take_age(struct consul_watch *watch);
/* What the answer brings is taken, what it takes away is not, and it is asked for again. Takes over
 * the list. */
void consul_watch_hold(struct consul_watch *watch, struct discovered_list *list, const char *why);
/* For the status of all watches too. */
void consul_watch_set_holding(struct consul_watch *watch, bool is_holding);

#endif
