/* traceparent.h - W3C Trace Context, level 1, section 3.2: the field by which a request says of
 * which trace it is a part.
 *
 * Thread: any. Memory: none. */
#ifndef HTTP_TRACEPARENT_H
#define HTTP_TRACEPARENT_H

#include <stdbool.h>

#include "http/message.h"

#define TRACEPARENT_TRACE_DIGITS 32
#define TRACEPARENT_PARENT_DIGITS 16

/* Whether the request has one field of that name whose value others will understand: of version 00,
 * or of a later one that begins alike. */
bool traceparent_is_there(const struct http_head *request);

#endif
