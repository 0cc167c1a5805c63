/* tags.h - GET /tags and /tags/{tag}: which rows have which tags, of all entities.
 *
 * Made of the rows on each request, a page at a time.
 *
 * Thread: control. */
#ifndef ADMIN_TAGS_H
#define ADMIN_TAGS_H

#include "admin/request.h"

void admin_tags_list(struct admin_request *request);

#endif
