/* grpc.h - what a gateway has to know of gRPC's protocol over HTTP/2: which requests are its, how
 * long they may take, and how a status is told and read.
 *
 * Bytes to bytes. Thread: any. Memory: the caller's. */
#ifndef PROXY_GRPC_H
#define PROXY_GRPC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/message.h"

struct writer;

enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
    GRPC_NO_STATUS = 255, /* none was told */
};

/* By HTTP/2, and of gRPC's content type; gRPC-Web is another protocol. */
bool grpc_is_request(const struct http_head *head);
/* The same for Kong's routes of gRPC, which look at how the content type begins. */
bool grpc_has_type(const struct http_head *head);

/* "grpc-timeout" in milliseconds, rounded up, one at least. False: none, or none that is one. */
bool grpc_read_timeout(const struct http_head *head, uint32_t *ret_ms);

/* What weir's own answer of that HTTP status is to a client of gRPC. */
enum grpc_status grpc_status_of_http(uint16_t status);
/* "grpc-status: 14\r\ngrpc-message: …\r\n". */
void grpc_write_status(struct writer *out, enum grpc_status status, struct str message);

/* The status told by a response's head, or by trailers in whole lines. */
enum grpc_status grpc_find_status(const struct http_head *head);
enum grpc_status grpc_find_status_in(struct str trailers);

#endif
