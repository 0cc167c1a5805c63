/* process_metrics.h - memory, CPU time, descriptors: the names that all Prometheus clients use.
 *
 * Thread: any. Memory: none. */
#ifndef CONTROL_PROCESS_METRICS_H
#define CONTROL_PROCESS_METRICS_H

#include "base/metrics_text.h"

/* What the machine does not tell is left out. */
void process_metrics_print(struct metrics_text *text);

#endif
