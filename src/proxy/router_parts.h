/* router_parts.h - what the files of the router share; nobody else's business.
 *
 *   router_candidate.c   a route with one of its paths: its rank, and whether a request meets it
 *   router_sort.c        candidates by precedence, and what is to become trees
 *   router_regex.c       regexes
 *   router_patterns.c    regexes that one router leaves for the next
 *   router_required.c    what a regex's matches must hold
 *   router_filter.c      of many regexes in one place those that may match
 *   router_tree.c        path prefixes as trees, one for each host name
 *   router_hosts.c       host names to trees
 *   router.c             builds them, and finds
 *
 * A path prefix is one literal path, what a regex must start with, or "" for a route without paths.
 * All candidates that the request's host and path allow hang on one line from the root of a tree,
 * and there is one tree for each host name (and each wildcard): so few are ever looked at.
 *
 * Thread: as router.h says. Memory: everything hangs on the router's arena but compiled regexes. */
#ifndef PROXY_ROUTER_PARTS_H
#define PROXY_ROUTER_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "proxy/router.h"
#include "proxy/router_regex.h"

#define ROUTER_NO_TREE UINT32_MAX
#define ROUTER_NO_FILTER UINT32_MAX

/* A route with one of its paths, or with none when it has none. Their array is sorted by
 * precedence: the lower index wins. */
struct router_candidate {
    const struct route *route;
    struct router_regex *regex;         /* borrowed; NULL: the path is literal, or there is none */
    struct router_regex **header_regex; /* by the route's headers; borrowed; NULL: none has one */
    struct str prefix;
    uint32_t path_index; /* in the route's paths */
    uint8_t attribute_count;
    bool has_path;
    bool hosts_are_plain; /* there are hosts, and none is a wildcard */
    bool is_checked;      /* host and path do not decide alone */
};

/* Stands in a tree's node: the candidate, if the request came to this port (0: any). */
struct router_entry {
    uint32_t candidate;
    uint32_t port;
};

/* The end of a path prefix, or where several part. Children stand side by side. */
struct router_node {
    const char *label; /* what follows the parent's prefix */
    uint32_t label_len;
    uint32_t first_child;
    uint32_t child_count;
    uint32_t first_entry; /* entries whose prefix ends here, by candidate */
    uint32_t entry_count;
    uint32_t filter; /* of a root: where among the filters its tree's is; ROUTER_NO_FILTER: none */
};

enum router_host_kind {
    ROUTER_HOST_ANY = 0, /* routes without hosts */
    ROUTER_HOST_PLAIN,
    ROUTER_HOST_SUFFIX, /* "*.example.com" as ".example.com" */
    ROUTER_HOST_PREFIX, /* "example.*" as "example." */
    ROUTER_HOST_KINDS,  /* keep last */
};

/* One entry before the trees are built. */
struct router_placement {
    enum router_host_kind kind;
    struct str host;
    struct str prefix;
    struct router_entry entry;
    struct str literal; /* that a regex's matches hold; empty: not looked for, or none */
    bool is_filtered;   /* stands in the filter, behind the others of its prefix */
};

struct router_filter_slot;

/* Of one tree. */
struct router_filter {
    uint64_t *bits; /* which hashes there are */
    struct router_filter_slot *slots;
    uint32_t bit_mask, slot_mask;
};

struct router_host_slot {
    struct str name; /* ptr NULL: free */
    uint32_t tree;
};

struct router_host_table {
    struct router_host_slot *slots;
    uint32_t mask; /* slots - 1; without slots when empty */
};

struct router {
    struct arena arena;
    const struct router *before; /* while it is built; NULL: none */
    struct map patterns;         /* kind and text → struct router_pattern; owns references */
    struct router_candidate *candidates;
    uint32_t candidate_count;
    struct router_entry *entries;
    struct router_node *nodes;
    char *first_bytes; /* of the nodes' labels, so that a child is found by memchr */
    uint32_t node_count;
    const struct router_filter **filters; /* of trees that have one */
    uint32_t filter_count;
    uint32_t any_host_tree;
    struct router_host_table hosts[ROUTER_HOST_KINDS];
};

/* router_candidate.c */

/* All candidates of the routes, sorted. */
int router_candidates_create(struct router *router, const struct route *routes, uint32_t count,
                             struct error *err);
/* Whether the request meets all that host and path prefix do not tell. *ret_len is what the path
 * matcher takes of the path. */
bool router_candidate_is_met(const struct router_candidate *candidate,
                             const struct router_query *query, uint32_t *ret_len);

/* router_patterns.c */

enum router_pattern_kind {
    ROUTER_PATTERN_PATH = 'p',   /* anchored */
    ROUTER_PATTERN_HEADER = 'h', /* case is ignored */
};

/* The regex of that text, borrowed from the router: its own, that of the router before, or a new
 * one. As router_regex_compile. */
int router_patterns_get(struct router *router, enum router_pattern_kind kind, struct str text,
                        struct router_regex **ret, char *message, size_t size);
void router_patterns_deinit(struct router *router);

/* router_sort.c */

/* The lower index wins then. 0 or UV_ENOMEM. */
int router_sort_candidates(struct router *router);
/* By kind, host, prefix and candidate; they come in order of candidates. 0 or UV_ENOMEM. */
int router_sort_placements(struct router_placement *placements, uint32_t count);

/* router_tree.c */

/* A tree over placements of one host, sorted by prefix, then candidate; its entries are theirs.
 * Returns its root: an index into nodes, which have room. `scratch` has room for count * 2. */
struct router_range {
    uint32_t from;
    uint32_t to;
    uint32_t depth; /* bytes that all of the range share and the parents hold */
};
uint32_t router_tree_build(struct router *router, const struct router_placement *placements,
                           uint32_t from, uint32_t to, struct router_range *scratch);

/* Walks down from *node along the path as far as it goes. Returns the next node that has entries,
 * or NULL at the end. Start with *node = root and *at = 0. */
const struct router_node *router_tree_next(const struct router *router, struct str path,
                                           uint32_t *node, size_t *at);

/* router_filter.c */

/* Takes of a tree's placements those regexes that are better found by what they hold. *ret is in
 * the arena; NULL: none is. 0 or UV_ENOMEM. */
int router_filter_create(struct router *router, struct router_placement *placements, uint32_t from,
                         uint32_t to, struct router_filter **ret);
/* The next entries, by candidate, that a path may meet; NULL at the end. Start with *at = 0. */
const struct router_entry *router_filter_next(const struct router_filter *filter, struct str path,
                                              size_t *at, uint32_t *ret_count);

/* router_hosts.c */

/* Splits a host of a route: kind, name without the star, port (0: none given). */
void router_host_split(struct str host, enum router_host_kind *ret_kind, struct str *ret_name,
                       uint16_t *ret_port);
int router_hosts_create(struct router *router, enum router_host_kind kind, uint32_t count);
void router_hosts_add(struct router *router, enum router_host_kind kind, struct str name,
                      uint32_t tree);

/* A walk over the trees whose host fits the request's. */
struct router_host_walk {
    const struct router *router;
    struct str host;
    enum router_host_kind kind;
    size_t at;
    uint64_t hash;
};
void router_hosts_begin(const struct router *router, struct str host,
                        struct router_host_walk *walk);
/* The next tree's root, ROUTER_NO_TREE at the end. */
uint32_t router_hosts_next(struct router_host_walk *walk);

#endif
