/* meter.h - what the requests of one route of one service have come to: how many by status, bytes,
 * and how long they took. It outlives the snapshots that name it, so that counts go on over changes
 * of the configuration.
 *
 * Each worker counts in a slot of its own, made with its first request. Buckets are those of Kong's
 * prometheus plugin.
 *
 * Thread: meter_count: the worker of that index; the rest any. Memory: reference-counted. */
#ifndef MODEL_METER_H
#define MODEL_METER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "base/str.h"

#define METER_STATUSES 24 /* that a worker tells apart on one route; the rest count together */
#define METER_GATEWAY_BOUNDS 17
#define METER_LATENCY_BOUNDS 13

extern const struct metrics_shape meter_gateway_shape; /* milliseconds in the gateway */
extern const struct metrics_shape meter_latency_shape; /* milliseconds all in all, or upstream */

struct meter_status {
    _Atomic uint32_t key; /* status × 2, and 1 more where the gateway answered itself; 0: free */
    metrics_cell count;
};

struct meter_slot {
    struct meter_status statuses[METER_STATUSES];
    metrics_cell other_statuses;
    metrics_cell ingress_bytes, egress_bytes;
    metrics_cell gateway_ms[METRICS_CELLS(METER_GATEWAY_BOUNDS)];
    metrics_cell request_ms[METRICS_CELLS(METER_LATENCY_BOUNDS)];
    metrics_cell upstream_ms[METRICS_CELLS(METER_LATENCY_BOUNDS)];
};

struct meter {
    _Atomic uint32_t refs;
    uint32_t worker_count;
    uint32_t named_in;    /* control's mark: the last round in which a route had it */
    uint32_t service_len; /* of the labels' text, which is in the same block */
    uint32_t labels_len;
    bool is_of_streams;                   /* what it counts are streams, not requests */
    _Atomic(struct meter_slot *) slots[]; /* owned; NULL: that worker had no request yet */
};

/* Copies the names. 0 and the first reference, or UV_ENOMEM. */
int meter_create(struct str service, struct str route, bool is_of_streams, uint32_t worker_count,
                 struct meter **ret);
/* Service, newline, route, and a newline if it is of streams; and the two by themselves. Borrowed
 * from the meter. */
struct str meter_labels(const struct meter *meter);
struct str meter_service(const struct meter *meter);
struct str meter_route(const struct meter *meter);
struct meter *meter_ref(struct meter *meter);
void meter_unref(struct meter *meter); /* NULL is fine; thread: any */

#define METER_NO_UPSTREAM UINT64_MAX

struct meter_facts {
    uint16_t status;
    bool by_gateway; /* the answer was weir's own */
    uint64_t ingress_bytes, egress_bytes;
    uint64_t request_ms, gateway_ms;
    uint64_t upstream_ms; /* METER_NO_UPSTREAM: none was asked */
};

/* Counts one request that is over. */
void meter_count(struct meter *meter, uint32_t worker, const struct meter_facts *facts);

#endif
