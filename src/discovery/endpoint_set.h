/* endpoint_set.h - the targets of one upstream, sorted by address, and the difference of two such
 * sets. A target that stays keeps its target state.
 *
 * Thread: control. Memory: a set owns its strings and one reference to each target. */
#ifndef DISCOVERY_ENDPOINT_SET_H
#define DISCOVERY_ENDPOINT_SET_H

#include "base/arena.h"
#include "discovery/source.h"
#include "model/target_state.h"
#include "net/ip.h"

/* What may become a target. */
struct candidate {
    enum source_kind kind;
    enum discovered_status status;
    uint32_t weight;        /* as the status has it */
    uint32_t out;           /* bits of enum target_out that follow from the status */
    uint16_t priority;      /* the lowest takes traffic; higher ones help out */
    uint32_t share;         /* of the traffic, in hundredths of a percent; 0: by its weight */
    uint32_t sibling_count; /* addresses of the same name; 0: it has an address of its own */
    struct str host, instance, node, datacenter, why;
    union ip_address address; /* with its port */
};

struct endpoint_entry {
    struct target_state *target; /* referenced */
    enum source_kind kind;
    enum discovered_status status;
    uint32_t weight;
    uint32_t out;
    uint16_t priority;
    struct str datacenter;
    struct str why;
};

struct endpoint_set {
    struct endpoint_entry *entries; /* by address, each once */
    uint32_t count;
    struct arena arena;
};

/* Of candidates with the same address the one with the best status counts, with the largest weight
 * among those: they are one process, registered more than once. A target is taken over from `old`
 * (NULL: none) where address, host and identity are the same, else created. Borrows candidates
 * during the call. 0 or UV_ENOMEM. */
int endpoint_set_build(const struct candidate *candidates, size_t count,
                       const struct endpoint_set *old, uint32_t worker_count,
                       struct endpoint_set **ret);
void endpoint_set_destroy(struct endpoint_set *set); /* NULL is fine */

enum endpoint_change { ENDPOINT_STAYS, ENDPOINT_JOINED, ENDPOINT_LEFT, ENDPOINT_CHANGED };

/* `before` is NULL for one that joined, `after` for one that left. */
typedef void (*endpoint_change_cb)(void *arg, enum endpoint_change change,
                                   const struct endpoint_entry *before,
                                   const struct endpoint_entry *after);
/* Walks both sets (NULL: empty) in order of address. */
void endpoint_set_diff(const struct endpoint_set *before, const struct endpoint_set *after,
                       endpoint_change_cb on_change, void *arg);

#endif
