/* metrics.h - GET /metrics, for Prometheus.
 *
 * Thread: control. Memory: the request's. */
#ifndef ADMIN_METRICS_H
#define ADMIN_METRICS_H

#include "admin/request.h"

/* 404 where metrics are switched off, as Kong without its plugin. */
void admin_metrics(struct admin_request *request);

#endif
