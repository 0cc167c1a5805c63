/* info.h - what the node says of itself: GET / and GET /status.
 *
 * Thread: control. */
#ifndef ADMIN_INFO_H
#define ADMIN_INFO_H

#include <stddef.h>

#include "admin/request.h"
#include "base/str.h"

/* Clients read the version from here and from the Server header, and choose by it what they may
 * ask for: it names the contract that we keep. */
#define ADMIN_KONG_VERSION "3.9.1"

void admin_info_root(struct admin_request *request);
void admin_info_status(struct admin_request *request);

/* 1048576 bytes as "1.00 MiB". unit: b, k, m or g in either case; scale: digits after the point, at
 * most 20. Returns false for an unknown unit. */
bool admin_info_format_bytes(size_t bytes, struct str unit, unsigned scale, char *text,
                             size_t size);

#endif
