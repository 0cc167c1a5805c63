/* consul_head.h - what the head of an answer says: Consul's own words on what its body is worth.
 *
 * Thread: any. Memory: none of its own. */
#ifndef DISCOVERY_CONSUL_HEAD_H
#define DISCOVERY_CONSUL_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct consul_head {
    uint64_t index;
    bool has_index;
    bool is_filtered;   /* the token doesn't see all */
    bool is_denied;     /* nothing is seen without a token */
    bool is_streaming;  /* from the agent's own view: the three below mean nothing then */
    bool is_leaderless; /* the server knows no leader */
    uint64_t lag_ms;    /* since the server heard of its leader */
    uint64_t age_s;     /* of an answer from the agent's cache: since it heard of the servers */
    uint64_t retry_after_s;
};

/* One line of the head; others than ours are skipped. True for the first, which forgets what an
 * earlier head said. */
bool consul_head_take(struct consul_head *head, struct str line);

#endif
