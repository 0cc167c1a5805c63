/* grpc_health.h - gRPC's health protocol as bytes: the question of grpc.health.v1.Health/Check and
 * its answer, both of one field. No sockets, no HTTP.
 *
 * Thread: any. Memory: the caller's. */
#ifndef HEALTH_GRPC_HEALTH_H
#define HEALTH_GRPC_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define GRPC_HEALTH_PATH "/grpc.health.v1.Health/Check"
#define GRPC_HEALTH_MAX_SERVICE 255                           /* bytes of its name */
#define GRPC_HEALTH_MAX_REQUEST (GRPC_HEALTH_MAX_SERVICE + 8) /* prefix, tag and length with it */
#define GRPC_HEALTH_MAX_RESPONSE 256 /* more than any sane answer: its one field has two bytes */

enum grpc_health_status {
    GRPC_HEALTH_UNKNOWN = 0,
    GRPC_HEALTH_SERVING,
    GRPC_HEALTH_NOT_SERVING,
    GRPC_HEALTH_SERVICE_UNKNOWN,
    /* None of gRPC's own: */
    GRPC_HEALTH_OTHER,
};

/* Writes the message, framed as gRPC does, that asks for `service` (empty: the whole server), which
 * has at most GRPC_HEALTH_MAX_SERVICE bytes. Returns its length. */
size_t grpc_health_write_request(struct str service, uint8_t out[GRPC_HEALTH_MAX_REQUEST]);

/* Reads the framed message of an answer. False when it is none. */
bool grpc_health_read_response(const uint8_t *bytes, size_t len, enum grpc_health_status *ret);

#endif
