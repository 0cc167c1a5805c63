/* answer.h - the head of an answer: status line and the fields that Kong's clients look for.
 *
 * Thread: control. Memory: the caller's. */
#ifndef ADMIN_ANSWER_H
#define ADMIN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define ANSWER_MAX_HEAD_BYTES 4096
#define ANSWER_MAX_ECHOED_BYTES 1024 /* of an Origin or a list of headers */

#define ANSWER_RETRY_AFTER_S 2 /* a store that is away is looked for more often than that */

struct answer {
    int status;
    size_t body_len;
    bool keep_alive;
    const char *type; /* of the body; NULL: JSON */
    uint64_t latency_ms;
    const char *allow;      /* the verbs of the path; NULL: not said */
    const char *behind;     /* X-Weir-Behind: nodes that a write has not reached; NULL: not said */
    unsigned retry_after_s; /* Retry-After; 0: not said */
    const char *challenge;  /* WWW-Authenticate; NULL: not said */
    bool is_preflight;      /* OPTIONS: say more for browsers */
    /* What the request had, sent back; at most ANSWER_MAX_ECHOED_BYTES each, empty: none. */
    struct str wanted_headers;
    struct str allowed_origin; /* for browsers; empty: no page may read the answer */
    bool varies_by_origin;
};

/* Writes the head with its empty line; returns its length. */
size_t answer_write_head(const struct answer *answer, char head[ANSWER_MAX_HEAD_BYTES]);

#endif
