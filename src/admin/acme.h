/* acme.h - certificates by ACME in the Admin API.
 *
 *     GET /acme            the chosen hosts, and how it is with each
 *     POST /acme/{host}    forgets that the host's last attempt failed: the next may be at once
 *
 * Thread: control. */
#ifndef ADMIN_ACME_H
#define ADMIN_ACME_H

#include "admin/request.h"

void admin_acme_read(struct admin_request *request);
void admin_acme_retry(struct admin_request *request);

#endif
