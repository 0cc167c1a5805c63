/* metrics.h - all that GET /metrics says of this node: Kong's families under Kong's names, and
 * weir's own. docs/metrics.md lists them.
 *
 * Thread: control. Memory: none of its own. */
#ifndef CONTROL_METRICS_H
#define CONTROL_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"

struct control;

#define BUILD_BOUNDS 9

/* How long snapshots took to compile; control's own. */
struct build_metrics {
    metrics_cell build_us[METRICS_CELLS(BUILD_BOUNDS)];
    metrics_cell failures;
};
void metrics_note_build(struct build_metrics *metrics, uint64_t ns, bool has_failed);

/* For admin_node.metrics: *ret is owned by the caller. 0 or UV_ENOMEM. */
int metrics_print(void *control, char **ret, size_t *ret_len);

#endif
