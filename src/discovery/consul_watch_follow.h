/* consul_watch_follow.h - how a watch that knows its service goes on: by a blocking query of its
 * own; by listening to a bell (consul_bell.h) where there are more services than connections; and
 * by short blocking queries in turn with others where no bell rings.
 *
 * Where it is crowded, some watches have a seat, that is, a connection of their own: who comes
 * first; then one whose service changes twice in a minute takes the seat of the one whose service
 * has not for the longest time, if that is a minute.
 *
 *   seated   <-- changes often --  listening  <-- the bell is in tune --  taking turns
 *            --- changes least -->            --- the bell is lost ---->
 *
 * Thread: the control loop. Memory: the watch's. */
#ifndef DISCOVERY_CONSUL_WATCH_FOLLOW_H
#define DISCOVERY_CONSUL_WATCH_FOLLOW_H

#include "discovery/consul_watch_state.h"

void consul_watch_follow_init(struct consul_watch *watch);
/* The watch is closing. */
void consul_watch_follow_end(struct consul_watch *watch);
/* After an answer that was believed: the next read, now or when there is reason for it. */
void consul_watch_follow(struct consul_watch *watch, uint64_t delay_ms);
/* It listens: reads now instead. False: it doesn't. */
bool consul_watch_stop_listening(struct consul_watch *watch);
/* What the next read that follows is to be. */
enum read_kind consul_watch_kind_of_follow(const struct consul_watch *watch);

#endif
