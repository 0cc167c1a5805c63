/* target_order.h - PUT /upstreams/{u}/targets/{t}/healthy and …/unhealthy, also of one address of a
 * target: …/targets/{t}/{ip:port}/healthy.
 *
 * {t} is a stored target, by id or by name, or the address of a discovered one. Kong's answers:
 * 204; 404 where there is no such upstream or target; 400 where nothing checks it, or the address
 * is not one of its.
 *
 * Thread: control. */
#ifndef ADMIN_TARGET_ORDER_H
#define ADMIN_TARGET_ORDER_H

#include "admin/request.h"

void admin_target_set_healthy(struct admin_request *request);
void admin_target_set_unhealthy(struct admin_request *request);

#endif
