/* headers.h - the header names that weir acts on, recognised once, so that a lookup is an array
 * index.
 *
 * Thread: any. Memory: none. */
#ifndef HTTP_HEADERS_H
#define HTTP_HEADERS_H

#include "base/str.h"

enum header_id {
    HEADER_OTHER = 0,
    HEADER_ACCEPT,
    HEADER_CONNECTION,
    HEADER_CONTENT_LENGTH,
    HEADER_CONTENT_TYPE,
    HEADER_DATE,
    HEADER_EXPECT,
    HEADER_FORWARDED,
    HEADER_HOST,
    HEADER_KEEP_ALIVE,
    HEADER_MAX_FORWARDS,
    HEADER_PROXY,
    HEADER_PROXY_AUTHENTICATE,
    HEADER_PROXY_AUTHORIZATION,
    HEADER_PROXY_CONNECTION,
    HEADER_SERVER,
    HEADER_TE,
    HEADER_TRACEPARENT,
    HEADER_TRACESTATE,
    HEADER_TRAILER,
    HEADER_TRANSFER_ENCODING,
    HEADER_UPGRADE,
    HEADER_VIA,
    HEADER_X_FORWARDED_FOR,
    HEADER_X_FORWARDED_HOST,
    HEADER_X_FORWARDED_PATH,
    HEADER_X_FORWARDED_PORT,
    HEADER_X_FORWARDED_PREFIX,
    HEADER_X_FORWARDED_PROTO,
    HEADER_X_KONG_REQUEST_ID,
    HEADER_X_REAL_IP,
    HEADER_COUNT, /* keep last */
};

/* Case-blind; HEADER_OTHER for all that are not in the list. */
enum header_id header_recognise(struct str name);

/* Case-blind, and '_' counts as '-', as many servers read names. */
bool header_is_like(struct str name, struct str known);
/* Whether an upstream may take it for what the gateway says of who asks: X-Consumer-…,
 * X-Credential-… and X-Anonymous-Consumer, spelled as header_is_like reads them. */
bool header_tells_consumer(struct str name);

#endif
