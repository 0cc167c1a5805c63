/* dispatch.h - from a request that has come whole to the handler of its endpoint.
 *
 * Thread: control. */
#ifndef ADMIN_DISPATCH_H
#define ADMIN_DISPATCH_H

#include "admin/request.h"

/* Finds the endpoint, decodes the body and calls the handler; or answers why not. The bytes are
 * borrowed during the call, and changed. The request must not be used after. */
void admin_dispatch(struct admin_request *request, struct str content_type, char *body,
                    size_t body_len);

#endif
