/* discovery.h - GET /discovery: what is watched and how it goes; GET …/targets/explain: why each
 * target of an upstream, or of a service without one, takes traffic or not.
 *
 * Thread: control. Memory: the request's. */
#ifndef ADMIN_DISCOVERY_H
#define ADMIN_DISCOVERY_H

#include "admin/request.h"

void admin_discovery(struct admin_request *request);
void admin_upstream_explain(struct admin_request *request);
void admin_service_explain(struct admin_request *request);

#endif
