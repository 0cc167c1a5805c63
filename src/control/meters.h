/* meters.h - all meters of this node: a route of a service keeps its meter as long as the
 * configuration names it, however often that changes.
 *
 * Thread: control. Memory: holds a reference to each meter of the last snapshot. */
#ifndef CONTROL_METERS_H
#define CONTROL_METERS_H

#include <stdint.h>

#include "base/map.h"
#include "base/metrics_text.h"
#include "model/snapshot.h"

/* Routes beyond so many share one meter, called "(others)": memory and scrapes stay bounded. */
#define METERS_MAX 20000

struct meters {
    struct map by_labels; /* meter_labels() → its meter */
    uint32_t worker_count;
    uint32_t round; /* of meters_attach */
};

void meters_init(struct meters *meters, uint32_t worker_count);
void meters_deinit(struct meters *meters);

/* Gives each route of a snapshot that is not published yet its meter, and lets go of those that it
 * does not name. A route without service has none, as in Kong. Memory being short, a route goes
 * uncounted. `before` is the snapshot of the last call, or NULL: routes that are as they were there
 * need not be looked up. */
void meters_attach(struct meters *meters, struct snapshot *snapshot, const struct snapshot *before);

/* Kong's families by service and route, for requests and for streams. */
void meters_print(const struct meters *meters, struct metrics_text *text);

#endif
