/* service_health.h - GET /services/{s}/health: what is behind a service whose host names no
 * upstream, and whether it takes traffic. Kong has no such path.
 *
 *     {"data": [{"target": "10.0.0.1:5000", "weight": 1, "health": "UNHEALTHY",
 *                "reasons": "passive", "why": "3 requests in a row answered 500"}],
 *      "panic": false, "node_id": "…"}
 *
 * Of a service whose host does name an upstream the answer is that of /upstreams/{u}/health.
 *
 * Thread: control. */
#ifndef ADMIN_SERVICE_HEALTH_H
#define ADMIN_SERVICE_HEALTH_H

#include "admin/request.h"

void admin_service_health(struct admin_request *request);

/* The upstream entity that a service's host names; NULL: none. Borrowed from the configuration. */
const json_t *admin_service_upstream(struct admin_request *request, const json_t *service);
/* The key under which the registry knows the pool of a service whose host names none. */
void admin_service_key(const json_t *service, char *key, size_t size);

#endif
