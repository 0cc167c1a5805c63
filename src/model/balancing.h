/* balancing.h - how an upstream spreads its requests, compiled: the algorithm, what it hashes on,
 * slow start and limits. Made from an upstream's row; workers find it at the endpoints.
 *
 * Thread: immutable once made. Memory: one block, reference-counted. */
#ifndef MODEL_BALANCING_H
#define MODEL_BALANCING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/str.h"

enum balancing_algorithm {
    /* For pools that no upstream describes: turns, but for targets that lag behind the others. */
    BALANCING_ROTATION = 0,
    BALANCING_ROUND_ROBIN,
    BALANCING_LEAST_CONNECTIONS,
    BALANCING_CONSISTENT_HASH,
    BALANCING_LATENCY,
    BALANCING_ALGORITHM_COUNT, /* keep last */
};

enum hash_input {
    HASH_INPUT_NONE = 0,
    HASH_INPUT_CONSUMER,
    HASH_INPUT_IP,
    HASH_INPUT_HEADER,
    HASH_INPUT_COOKIE,
    HASH_INPUT_PATH,
    HASH_INPUT_QUERY_ARG,
    HASH_INPUT_URI_CAPTURE,
};

struct hash_source {
    enum hash_input input;
    struct str name; /* of the header, cookie, argument or capture */
};

struct balancing {
    _Atomic uint32_t refs;
    enum balancing_algorithm algorithm;
    struct hash_source hash_on;
    struct hash_source hash_fallback;
    struct str cookie_path;
    uint32_t slow_start_ms; /* 0: none */
    /* Of a target, all workers together; 0: no limit. */
    uint32_t max_in_flight;
    uint32_t max_connections;
    /* Of the upstream: how many requests may wait for a target below its limits; 0: none. */
    uint32_t max_pending;
    uint32_t pending_timeout_ms;
    /* A second try beside one that takes long. */
    bool is_hedged;
    uint32_t hedge_delay_ms; /* 0: what is measured */
    double hedge_percentile; /* of answers, that come sooner than the measured delay */
};

/* Of a complete row of an upstream (borrowed). 0 and an owned object, or UV_ENOMEM. */
int balancing_create(const json_t *upstream, struct balancing **ret);
struct balancing *balancing_ref(struct balancing *balancing); /* NULL is fine */
void balancing_unref(struct balancing *balancing);            /* NULL is fine */
/* NULL is equal to NULL alone. */
bool balancing_equal(const struct balancing *a, const struct balancing *b);

#endif
