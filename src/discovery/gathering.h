/* gathering.h - what an upstream's spec and its sources say at this moment: which targets there may
 * be, and whether that is all.
 *
 * The rules of names are here: which sources a host or a discovery record means, and which of them
 * is believed.
 *
 * Thread: control. Memory: candidates borrow from the spec and the sources: use them before
 * returning to the loop. */
#ifndef DISCOVERY_GATHERING_H
#define DISCOVERY_GATHERING_H

#include "discovery/endpoint_set.h"
#include "discovery/registry.h"
#include "discovery/sources.h"
#include "model/endpoints.h"

/* Which sources an upstream uses. */
struct source_uses {
    struct sources *sources;
    struct source_use *items; /* owned */
    size_t count, capacity;
};

struct source_use {
    struct source *source;
    bool is_needed; /* by the gathering that is going on */
};

void source_uses_init(struct source_uses *uses, struct sources *sources);
/* Releases them all. */
void source_uses_deinit(struct source_uses *uses);
bool source_uses_has(const struct source_uses *uses, const struct source *source);

struct gathering {
    struct candidate *candidates; /* owned */
    size_t count, capacity;
    bool is_known;           /* a source has answered for good, be it with nothing */
    bool is_pending;         /* a source may still answer */
    bool is_consul;          /* the candidates are Consul's alone */
    const char *why;         /* why there is nothing: a constant sentence; NULL: nothing failed */
    unsigned portless_count; /* instances left out because nobody knows their port */
};

/* Opens the sources that are needed (news comes later) and releases those that are not any more.
 * 0 or UV_ENOMEM; deinit in either case. */
int gathering_make(struct gathering *gathering, const struct upstream_spec *spec,
                   struct source_uses *uses);
void gathering_deinit(struct gathering *gathering);

enum endpoints_condition gathering_condition(const struct gathering *gathering);

#endif
