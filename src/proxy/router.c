#include "proxy/router.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "proxy/router_parts.h"

#define ARENA_BLOCK_BYTES 65536

/* Nodes whose candidates are compared side by side. A request rarely meets more than four. */
#define MAX_CURSORS 16

/* The candidates of one node that are still to be looked at. */
struct cursor {
    const struct router_entry *at;
    const struct router_entry *end;
};

/* One request's search. */
struct search {
    const struct router *router;
    const struct router_query *query;
    uint32_t best; /* candidate, or candidate_count when none was met so far */
    uint32_t best_len;
    unsigned cursor_count;
    struct cursor cursors[MAX_CURSORS];
};

static uint32_t hosts_of(const struct router_candidate *candidate)
{
    return candidate->route->host_count > 0 ? candidate->route->host_count : 1;
}

/* A candidate stands once under each of its hosts. */
static void place_all(const struct router *router, struct router_placement *placements)
{
    for (uint32_t i = 0; i < router->candidate_count; i++) {
        const struct router_candidate *candidate = &router->candidates[i];
        for (uint32_t host = 0; host < hosts_of(candidate); host++, placements++) {
            *placements = (struct router_placement){
                .kind = ROUTER_HOST_ANY, .prefix = candidate->prefix, .entry = {i, 0}};
            uint16_t port = 0;
            if (candidate->route->host_count > 0)
                router_host_split(candidate->route->hosts[host], &placements->kind,
                                  &placements->host, &port);
            placements->entry.port = port;
        }
    }
}

/* Where the placements of the same host end. */
static uint32_t end_of_host(const struct router_placement *placements, uint32_t from,
                            uint32_t count)
{
    uint32_t at = from + 1;
    while (at < count && placements[at].kind == placements[from].kind &&
           str_equal(placements[at].host, placements[from].host))
        at++;
    return at;
}

static int create_host_tables(struct router *router, const struct router_placement *placements,
                              uint32_t count)
{
    uint32_t names[ROUTER_HOST_KINDS] = {0};
    for (uint32_t at = 0; at < count; at = end_of_host(placements, at, count))
        names[placements[at].kind]++;
    for (unsigned kind = ROUTER_HOST_PLAIN; kind < ROUTER_HOST_KINDS; kind++)
        if (router_hosts_create(router, kind, names[kind]) != 0)
            return UV_ENOMEM;
    return 0;
}

static int build_trees(struct router *router, struct router_placement *placements, uint32_t count,
                       struct router_range *scratch)
{
    /* A tree of n prefixes has fewer than n places where they part. */
    size_t room = (size_t)count * 2 + 1, hosts = 0;
    for (uint32_t at = 0; at < count; at = end_of_host(placements, at, count))
        hosts++;
    router->nodes = arena_alloc(&router->arena, room * sizeof(*router->nodes));
    router->first_bytes = arena_alloc(&router->arena, room);
    router->entries = arena_alloc(&router->arena, room * sizeof(*router->entries));
    router->filters = arena_alloc(&router->arena, (hosts + 1) * sizeof(*router->filters));
    if (!router->nodes || !router->first_bytes || !router->entries || !router->filters ||
        create_host_tables(router, placements, count) != 0)
        return UV_ENOMEM;

    for (uint32_t from = 0, to; from < count; from = to) {
        struct router_filter *filter;
        to = end_of_host(placements, from, count);
        if (router_filter_create(router, placements, from, to, &filter))
            return UV_ENOMEM;
        for (uint32_t i = from; i < to; i++)
            router->entries[i] = placements[i].entry;
        uint32_t tree = router_tree_build(router, placements, from, to, scratch);
        if (filter) {
            router->nodes[tree].filter = router->filter_count;
            router->filters[router->filter_count++] = filter;
        }
        if (placements[from].kind == ROUTER_HOST_ANY)
            router->any_host_tree = tree;
        else
            router_hosts_add(router, placements[from].kind, placements[from].host, tree);
    }
    return 0;
}

static int build(struct router *router)
{
    size_t count = 0;
    for (uint32_t i = 0; i < router->candidate_count; i++)
        count += hosts_of(&router->candidates[i]);
    if (count > UINT32_MAX / 4)
        return UV_ENOMEM;
    int rc = UV_ENOMEM;
    struct router_placement *placements = malloc((count + 1) * sizeof(*placements));
    struct router_range *scratch = malloc((count * 2 + 1) * sizeof(*scratch));
    if (!placements || !scratch)
        goto out;
    place_all(router, placements);
    rc = router_sort_placements(placements, (uint32_t)count);
    if (!rc)
        rc = build_trees(router, placements, (uint32_t)count, scratch);
out:
    free(placements);
    free(scratch);
    return rc;
}

int router_create(const struct route *routes, uint32_t count, const struct router *before,
                  struct router **ret, struct error *err)
{
    struct router *router = calloc(1, sizeof(*router));
    if (!router)
        return UV_ENOMEM;
    arena_init(&router->arena, ARENA_BLOCK_BYTES, SIZE_MAX);
    router->any_host_tree = ROUTER_NO_TREE;
    router->before = before;

    int rc = router_candidates_create(router, routes, count, err);
    if (!rc)
        rc = build(router);
    router->before = NULL;
    if (rc) {
        router_destroy(router);
        return rc;
    }
    *ret = router;
    return 0;
}

void router_destroy(struct router *router)
{
    if (!router)
        return;
    router_patterns_deinit(router);
    arena_deinit(&router->arena);
    free(router);
}

static bool port_is_met(const struct router_entry *entry, const struct router_query *query)
{
    if (entry->port == 0)
        return true;
    return entry->port == (query->port ? query->port : query->listener_port);
}

/* The cursor whose next candidate outranks all others. */
static unsigned first_cursor(const struct search *search)
{
    unsigned first = 0;
    for (unsigned i = 1; i < search->cursor_count; i++)
        if (search->cursors[i].at->candidate < search->cursors[first].at->candidate)
            first = i;
    return first;
}

/* Looks at the collected candidates by precedence, until one is met or none can be better than the
 * best so far. */
static void compare(struct search *search)
{
    while (search->cursor_count > 0) {
        struct cursor *cursor = &search->cursors[first_cursor(search)];
        const struct router_entry *entry = cursor->at;
        if (entry->candidate >= search->best)
            break;
        if (port_is_met(entry, search->query) &&
            router_candidate_is_met(&search->router->candidates[entry->candidate], search->query,
                                    &search->best_len)) {
            search->best = entry->candidate;
            break;
        }
        if (++cursor->at == cursor->end)
            *cursor = search->cursors[--search->cursor_count];
    }
    search->cursor_count = 0;
}

static void add_cursor(struct search *search, const struct router_entry *entries, uint32_t count)
{
    if (search->cursor_count == MAX_CURSORS)
        compare(search);
    search->cursors[search->cursor_count++] = (struct cursor){entries, entries + count};
}

static void search_filter(struct search *search, const struct router_filter *filter)
{
    const struct router_entry *entries;
    uint32_t count;
    size_t at = 0;
    while ((entries = router_filter_next(filter, search->query->path, &at, &count)))
        add_cursor(search, entries, count);
}

static void search_tree(struct search *search, uint32_t node)
{
    const struct router *router = search->router;
    const struct router_node *found;
    size_t at = 0;
    if (router->nodes[node].filter != ROUTER_NO_FILTER)
        search_filter(search, router->filters[router->nodes[node].filter]);
    while ((found = router_tree_next(router, search->query->path, &node, &at))) {
        add_cursor(search, router->entries + found->first_entry, found->entry_count);
    }
}

bool router_find(const struct router *router, const struct router_query *query,
                 struct router_match *ret)
{
    struct search search; /* the cursors are not cleared */
    search.router = router;
    search.query = query;
    search.best = router->candidate_count;
    search.best_len = 0;
    search.cursor_count = 0;

    struct router_host_walk walk;
    uint32_t tree;
    router_hosts_begin(router, query->host, &walk);
    while ((tree = router_hosts_next(&walk)) != ROUTER_NO_TREE)
        search_tree(&search, tree);
    compare(&search);

    if (search.best == router->candidate_count)
        return false;
    const struct router_candidate *candidate = &router->candidates[search.best];
    *ret = (struct router_match){candidate->route, search.best_len, candidate->has_path,
                                 candidate->regex};
    return true;
}
