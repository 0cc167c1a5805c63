/* publish.h - hands what control made to the workers, and takes back what they have let go.
 *
 * Thread: control. */
#ifndef CONTROL_PUBLISH_H
#define CONTROL_PUBLISH_H

#include "model/endpoints.h"
#include "model/snapshot.h"
#include "proxy/worker.h"

/* Every exchange that begins from here on, on any worker, uses `snapshot` (takes the reference). */
void publish_snapshot(struct worker *const *workers, unsigned count, struct snapshot *snapshot);

/* Endpoints that have been swapped out: every worker is told, and the last one to hear destroys
 * them (a worker keeps no such pointer from one callback to the next, so hearing is letting go). */
void publish_retire(struct worker *const *workers, unsigned count, struct endpoints *old);

#endif
