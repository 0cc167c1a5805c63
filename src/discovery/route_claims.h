/* route_claims.h - which routes an instance claims by its tags and meta: weir's own
 * ("weir.route=/users methods=GET") and fabio's ("urlprefix-/users strip=/users").
 *
 * Thread: any. Memory: claims are text, in the caller's buffer; what is read from one borrows from
 * it. */
#ifndef DISCOVERY_ROUTE_CLAIMS_H
#define DISCOVERY_ROUTE_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/str.h"

#define ROUTE_CLAIMS_BYTES 4096 /* of one instance, at most */
#define ROUTE_CLAIMS_MAX 32     /* of one instance */
#define ROUTE_CLAIM_METHODS_MAX 16

/* One claim, in words of routes. */
struct route_claim {
    struct str host;     /* empty: any */
    struct str path;     /* "/users", "~/users/\d+" */
    struct str methods;  /* "GET,POST"; empty: all */
    struct str protocol; /* of the service: "http", "https" */
    struct str to;       /* what the service's paths begin with; empty: nothing */
    int64_t priority;    /* the highest of several that claim the same wins */
    bool strips;         /* the matched path is taken away */
    bool loses_host;     /* the service sees the target's name as Host */
};

/* Whether a tag says that the instance's claims are worth a look. */
bool route_claims_is_mark(struct str tag);
/* Writes the claims of a "Service" object, a line each, the same for the same meaning: and a line
 * that begins with '!' for each thing that is not understood, as a sentence. A claim may be
 * followed by a tab and a share of traffic in hundredths of a percent. Returns what was written. */
struct str route_claims_read(const json_t *service, char text[ROUTE_CLAIMS_BYTES]);

/* Whether these are lines that route_claims_read may have written: they come from a file. */
bool route_claims_are_sound(struct str lines);
/* A line's claim, without the share; and the share, 0 where there is none. */
struct str route_claims_key(struct str line, uint32_t *ret_share);
/* Reads a line that route_claims_read wrote. */
void route_claims_parse(struct str key, struct route_claim *ret);
/* The line of `lines` with that key: true, and its share (0: none). */
bool route_claims_find(struct str lines, struct str key, uint32_t *ret_share);

#endif
