/* consul_entry.h - one entry of Consul's /v1/health/service/<name> to what may become a target.
 *
 * Thread: any. Memory: what is read borrows from the entry, and `why` from the caller's buffer. */
#ifndef DISCOVERY_CONSUL_ENTRY_H
#define DISCOVERY_CONSUL_ENTRY_H

#include <jansson.h>

#include "discovery/source.h"

#define CONSUL_ENTRY_WHY_BYTES 248

/* How instances are looked at. Zeroed: all count, at their plain address. */
struct consul_view {
    const struct str *excluded_tags; /* instances with any of these don't count */
    size_t excluded_count;
    struct str tagged_address;  /* "wan": that one where there is one; empty: the plain one */
    bool reads_routes;          /* instances may claim routes by their tags and meta */
    bool require_service_check; /* one without a check of its own is critical */
};

/* NULL, or what is wrong with the entry: a constant sentence. *ret_counts is false for one that the
 * view leaves out. */
const char *consul_entry_read(const json_t *entry, const struct consul_view *view,
                              char why[CONSUL_ENTRY_WHY_BYTES], struct discovered *ret,
                              bool *ret_counts);
/* "node/id", cut, or "entry <number>" where it has no such names. `entry` may be NULL. */
void consul_entry_name(const json_t *entry, uint32_t number, char *text, size_t size);

#endif
