/* flaps.h - instances that come and go: out at once, back the later the more often they went.
 *
 * One that went more than three times within a minute waits 1 s, then 2, 4… up to 60 s before it is
 * let in again. An upstream never loses its last usable target to this.
 *
 * Thread: one owner. Memory: an entry for each usable instance, and for those that went within the
 * last minutes. */
#ifndef DISCOVERY_FLAPS_H
#define DISCOVERY_FLAPS_H

#include "base/map.h"
#include "discovery/source.h"

struct flaps {
    struct map by_instance;
};

void flaps_init(struct flaps *flaps);
void flaps_deinit(struct flaps *flaps);

/* Takes note of a new list, and marks critical whom it would admit too early. Returns in how many
 * milliseconds the next of them may come back; 0: there is none. */
uint64_t flaps_damp(struct flaps *flaps, struct discovered_list *list, uint64_t now_ms);

#endif
