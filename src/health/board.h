/* board.h - the one table that says how everything known of a target combines into its health word,
 * and the one form of the log lines that say what became of it and why.
 *
 *     Consul says     panic   failed before   word gets            takes traffic, if also no
 *                             in this panic                        PROBE, PASSIVE, MANUAL
 *     maintenance     any     any             OUT_MAINTENANCE      no
 *     nothing, or     any     any             (nothing)            yes
 *       passing
 *     critical        no      any             OUT_CONSUL           no
 *     critical        yes     no              IN_PANIC             yes
 *     critical        yes     yes             OUT_CONSUL           no
 *
 * OUT_PROBE, OUT_PASSIVE and OUT_MANUAL are facts of their own: each alone takes a target out,
 * whatever Consul says, and none of them is ever overruled by panic. docs/health.md explains it.
 *
 * Thread: any. Memory: none. */
#ifndef HEALTH_BOARD_H
#define HEALTH_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "model/target_state.h"

/* The word that follows from `before`, from what Consul says now (TARGET_OUT_CONSUL,
 * TARGET_OUT_MAINTENANCE or 0) and from panic. */
uint32_t board_word(uint32_t before, uint32_t consul, bool is_panic);

/* Whether Consul calls so many of the targets critical that it is not believed: fewer than
 * `percent` of the `known` would be left. 0 percent: never. */
bool board_is_panic(uint32_t known, uint32_t critical, unsigned percent);

/* Puts what Consul says on the target. True when the word changed. Workers see it with their next
 * pick. */
bool board_hear_consul(struct target_state *target, uint32_t consul, bool is_panic);

/* Of the reasons in `mask` exactly those in `reasons` hold from now on. True for the one caller who
 * changed the word by it. */
bool board_set(struct target_state *target, uint32_t mask, uint32_t reasons);

/* A worker saw a target fail that only panic keeps in use: Consul is right about it. False when it
 * was no such target any more. */
bool board_disprove(struct target_state *target);

enum board_event { BOARD_JOINED, BOARD_LEFT, BOARD_CHANGED };

/* Logs "target joined", "target left" or "target changed". */
void board_log(enum board_event event, const char *upstream, const struct target_state *target,
               uint32_t weight, struct str why);

/* The names of the reasons in the word, "consul, probe": for people. Returns text. */
const char *board_reasons(uint32_t word, char *text, size_t size);

#endif
