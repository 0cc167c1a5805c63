/* endpoints.h - the immutable array of an upstream's targets that workers balance over at this
 * moment.
 *
 * Made by discovery on the control thread, handed to workers by one pointer swap
 * (upstream_state.h), and destroyed when every worker has turned its loop since.
 *
 * Thread: immutable once published. Memory: owns its arrays and one reference to each target. */
#ifndef MODEL_ENDPOINTS_H
#define MODEL_ENDPOINTS_H

#include <stdint.h>

#include "model/balancing.h"
#include "model/health_rules.h"
#include "model/target_state.h"

enum endpoints_condition {
    ENDPOINTS_PENDING = 0, /* the source has not answered yet: requests wait for it */
    ENDPOINTS_KNOWN,       /* the source answered; there may be no target all the same */
    ENDPOINTS_UNRESOLVED,  /* the name does not exist, or nobody could say */
};

struct endpoint {
    struct target_state *target;
    uint32_t weight; /* 0: no traffic */
    bool stands_by;  /* 0 for now: others are to be preferred, but it is better than nobody */
};

struct ring_point {
    uint32_t place;
    uint32_t index; /* into items */
};

struct endpoints {
    enum endpoints_condition condition;
    uint32_t count;
    uint32_t wheel_len;
    bool
        is_shut; /* too little weight is usable (healthchecks.threshold): nothing is to be picked */
    struct health_rules *rules; /* referenced; NULL: no checks of live traffic */
    struct endpoint *items;
    uint32_t
        *wheel; /* indexes into items in order of turn (balance/round_robin.h); NULL: none usable */
    enum balancing_algorithm algorithm; /* the balancing's, at hand */
    uint32_t max_in_flight;             /* likewise */
    uint32_t max_connections;           /* likewise */
    bool is_hedged;                     /* likewise */
    struct balancing *balancing;        /* referenced; NULL: all defaults */
    uint64_t weight_sum;                /* of the targets that stand on the wheel */
    uint32_t taker_count;               /* how many those are */
    struct ring_point *ring; /* in order of place (balance/consistent_hash.h); NULL: none */
    uint32_t *ring_starts;   /* by the top bits of a place: the first point there or after */
    uint32_t ring_len;
    uint32_t ring_shift; /* how many bits of a place are not the top bits */
};

/* Copies the items and takes a reference to each target; the wheel is left empty.
 * 0 and an owned object, or UV_ENOMEM. */
int endpoints_create(enum endpoints_condition condition, const struct endpoint *items,
                     uint32_t count, struct endpoints **ret);
/* How workers are to balance over them, before they are planned; NULL: by default. */
void endpoints_set_balancing(struct endpoints *endpoints, struct balancing *balancing);
void endpoints_destroy(struct endpoints *endpoints); /* NULL is fine */

/* Whether targets may be at a limit, and requests wait for a place. */
static inline bool endpoints_are_limited(const struct endpoints *endpoints)
{
    return endpoints->max_in_flight > 0 || endpoints->max_connections > 0;
}

#endif
