/* protection.h - what an answer would take away, and what is left of it while that is in doubt.
 *
 * Lists are sealed. Thread: any. Memory: lists are the caller's. */
#ifndef DISCOVERY_PROTECTION_H
#define DISCOVERY_PROTECTION_H

#include "discovery/source.h"

/* Whether `now` lacks half of the usable targets of `last` (of three or more), or the last of them.
 * NULL for `last`: nothing can be lost. One that turned critical is not lost: it is still known. */
bool protection_is_mass_removal(const struct discovered_list *last,
                                const struct discovered_list *now);
/* Whether `now` makes any usable target of `last` worse, or lacks it. */
bool protection_takes_away(const struct discovered_list *last, const struct discovered_list *now);
/* Whether all usable targets of `last` that `now` lacks were missing from `earlier` too. */
bool protection_agrees(const struct discovered_list *last, const struct discovered_list *earlier,
                       const struct discovered_list *now);
/* All of `now`, and of `last` what is not in it; where they differ, the better status of the two. 0
 * or UV_ENOMEM. */
int protection_merge(const struct discovered_list *last, const struct discovered_list *now,
                     struct discovered_list **ret);

/* How many of `last` are not in `now`. */
uint32_t protection_count_missing(const struct discovered_list *last,
                                  const struct discovered_list *now);

#endif
