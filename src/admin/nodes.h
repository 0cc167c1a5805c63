/* nodes.h - this node among the others: GET /nodes, and whether it should be given traffic.
 *
 *     GET /status/ready             200 {"message": "ready"} or "degraded"; 503 when draining
 *     POST /status status=draining  and status=ready, which takes it back
 *
 * A degraded node serves what it knew last, and is as good as the others for traffic.
 *
 * Thread: control. */
#ifndef ADMIN_NODES_H
#define ADMIN_NODES_H

#include "admin/request.h"

void admin_nodes_list(struct admin_request *request);
void admin_readiness_read(struct admin_request *request);
void admin_readiness_set(struct admin_request *request);

#endif
