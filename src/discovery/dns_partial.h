/* dns_partial.h - a pool put together from answers that may each show a part of it.
 *
 * Servers cut long answers without saying so, and show other parts the next time. A target that an
 * answer doesn't show stays for half a minute at least, and for as long as it takes to be shown
 * again with near certainty.
 *
 * Thread: one owner. Memory: owns its times. */
#ifndef DISCOVERY_DNS_PARTIAL_H
#define DISCOVERY_DNS_PARTIAL_H

#include "discovery/source.h"

/* Zeroed, it is ready. */
struct dns_partial {
    uint64_t *seen_ms; /* owned; when each target of the last merged list was last shown */
    uint32_t count;
    uint64_t merged_ms;
};

void dns_partial_deinit(struct dns_partial *partial);
/* Forgets what was seen: an answer is whole. */
void dns_partial_reset(struct dns_partial *partial);
/* All of `now`, and of `last` (what was published before; NULL: nothing) what was seen lately. Both
 * are sealed. 0 and a sealed list, or UV_ENOMEM. */
int dns_partial_merge(struct dns_partial *partial, const struct discovered_list *last,
                      const struct discovered_list *now, uint64_t now_ms,
                      struct discovered_list **ret);

#endif
