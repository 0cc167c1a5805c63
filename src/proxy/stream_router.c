#include "proxy/stream_router.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

#define NO_ENTRY UINT32_MAX

enum name_kind { NAME_EXACT = 0, NAME_WILD_LEFT, NAME_WILD_RIGHT, NAME_STAR, NAME_NONE };

/* A route with one of its names, or with none when it has none. Their array is sorted by
 * precedence: the lower index wins. */
struct entry {
    const struct route *route;
    struct str name; /* without the star */
    uint8_t name_kind;
    uint8_t attribute_count;
    uint32_t next; /* with the same exact name; NO_ENTRY: the last */
};

struct stream_router {
    struct entry *entries; /* owned */
    uint32_t count;
    uint32_t *buckets; /* owned: the first entry with an exact name of that hash */
    uint32_t bucket_mask;
    uint32_t *others; /* owned: entries without an exact name, by precedence */
    uint32_t other_count;
};

/* --- precedence --- */

static uint8_t count_attributes(const struct route *route)
{
    return (uint8_t)((route->sni_count > 0) + (route->source_count > 0) +
                     (route->destination_count > 0));
}

/* Of several the widest: it says what the route may get. 0: none. */
static uint32_t narrowness(const struct route_peer *peers, uint32_t count)
{
    uint32_t least = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t own =
            1 + 2 * (peers[i].has_range ? peers[i].range.bits + 1u : 0u) + peers[i].has_port;
        least = i == 0 || own < least ? own : least;
    }
    return least;
}

static int compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_precedence(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = compare(b->attribute_count, a->attribute_count);
    if (!order)
        order = compare(a->name_kind, b->name_kind);
    if (!order)
        order = compare(b->name.len, a->name.len);
    if (!order)
        order = compare(narrowness(b->route->destinations, b->route->destination_count),
                        narrowness(a->route->destinations, a->route->destination_count));
    if (!order)
        order = compare(narrowness(b->route->sources, b->route->source_count),
                        narrowness(a->route->sources, a->route->source_count));
    if (!order)
        order = (a->route->created_at > b->route->created_at) -
                (a->route->created_at < b->route->created_at);
    if (!order)
        order = compare((uintptr_t)a->route, (uintptr_t)b->route); /* in list order */
    return order;
}

/* --- building --- */

static bool is_for_streams(const struct route *route)
{
    return (route->protocols & STREAM_PROTOCOLS) != 0;
}

static struct entry make_entry(const struct route *route, struct str name)
{
    struct entry entry = {.route = route,
                          .name = name,
                          .name_kind = NAME_NONE,
                          .attribute_count = count_attributes(route),
                          .next = NO_ENTRY};
    if (str_equal(name, STR("*"))) {
        entry.name_kind = NAME_STAR;
    } else if (name.len > 0 && name.ptr[0] == '*') {
        entry.name_kind = NAME_WILD_LEFT;
        entry.name = str_make(name.ptr + 1, name.len - 1);
    } else if (name.len > 0 && name.ptr[name.len - 1] == '*') {
        entry.name_kind = NAME_WILD_RIGHT;
        entry.name = str_make(name.ptr, name.len - 1);
    } else if (name.len > 0) {
        entry.name_kind = NAME_EXACT;
    }
    return entry;
}

static uint32_t count_entries(const struct route *routes, uint32_t count)
{
    uint32_t entries = 0;
    for (uint32_t i = 0; i < count; i++)
        if (is_for_streams(&routes[i]))
            entries += routes[i].sni_count > 0 ? routes[i].sni_count : 1;
    return entries;
}

static void fill_entries(struct stream_router *router, const struct route *routes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct route *route = &routes[i];
        if (!is_for_streams(route))
            continue;
        if (route->sni_count == 0)
            router->entries[router->count++] = make_entry(route, STR_EMPTY);
        for (uint32_t name = 0; name < route->sni_count; name++)
            router->entries[router->count++] = make_entry(route, route->snis[name]);
    }
    if (router->count > 0)
        qsort(router->entries, router->count, sizeof(*router->entries), by_precedence);
}

static uint32_t *bucket_of(const struct stream_router *router, struct str name)
{
    return &router->buckets[str_hash(name) & router->bucket_mask];
}

/* From the last to the first, so that each chain is by precedence. */
static void fill_tables(struct stream_router *router)
{
    for (uint32_t i = 0; i <= router->bucket_mask; i++)
        router->buckets[i] = NO_ENTRY;
    for (uint32_t i = router->count; i-- > 0;) {
        struct entry *entry = &router->entries[i];
        if (entry->name_kind != NAME_EXACT)
            continue;
        uint32_t *bucket = bucket_of(router, entry->name);
        entry->next = *bucket;
        *bucket = i;
    }
    for (uint32_t i = 0; i < router->count; i++)
        if (router->entries[i].name_kind != NAME_EXACT)
            router->others[router->other_count++] = i;
}

int stream_router_create(const struct route *routes, uint32_t count, struct stream_router **ret)
{
    struct stream_router *router = calloc(1, sizeof(*router));
    if (!router)
        return UV_ENOMEM;
    uint32_t most = count_entries(routes, count), buckets = 16;
    while (buckets < most)
        buckets *= 2;
    router->bucket_mask = buckets - 1;
    router->entries = calloc(most ? most : 1, sizeof(*router->entries));
    router->buckets = calloc(buckets, sizeof(*router->buckets));
    router->others = calloc(most ? most : 1, sizeof(*router->others));
    if (!router->entries || !router->buckets || !router->others) {
        stream_router_destroy(router);
        return UV_ENOMEM;
    }
    fill_entries(router, routes, count);
    fill_tables(router);
    *ret = router;
    return 0;
}

void stream_router_destroy(struct stream_router *router)
{
    if (!router)
        return;
    free(router->entries);
    free(router->buckets);
    free(router->others);
    free(router);
}

/* --- finding --- */

static bool peer_is_met(const struct route_peer *peers, uint32_t count,
                        const struct cidr_address *address, uint16_t port)
{
    for (uint32_t i = 0; i < count; i++)
        if ((!peers[i].has_range || cidr_range_has(&peers[i].range, address)) &&
            (!peers[i].has_port || peers[i].port == port))
            return true;
    return count == 0;
}

static bool name_is_met(const struct entry *entry, const struct stream_query *query)
{
    struct str name = query->server_name;
    if (!query->is_tls) /* as Kong: there is no name to compare */
        return true;
    switch (entry->name_kind) {
    case NAME_EXACT:
        return str_equal(entry->name, name);
    case NAME_WILD_LEFT:
        return name.len > 0 && str_ends_with(name, entry->name);
    case NAME_WILD_RIGHT:
        return name.len > 0 && str_starts_with(name, entry->name);
    case NAME_STAR:
        return name.len > 0;
    default:
        return true;
    }
}

static bool is_met(const struct entry *entry, const struct stream_query *query)
{
    const struct route *route = entry->route;
    return (route->protocols & query->protocols) && name_is_met(entry, query) &&
           peer_is_met(route->destinations, route->destination_count, &query->destination,
                       query->destination_port) &&
           peer_is_met(route->sources, route->source_count, &query->source, query->source_port);
}

static uint32_t find_named(const struct stream_router *router, const struct stream_query *query)
{
    uint32_t at = *bucket_of(router, query->server_name);
    while (at != NO_ENTRY && !is_met(&router->entries[at], query))
        at = router->entries[at].next;
    return at;
}

/* The first of those without an exact name that is better than `best`. */
static uint32_t find_other(const struct stream_router *router, const struct stream_query *query,
                           uint32_t best)
{
    for (uint32_t i = 0; i < router->other_count && router->others[i] < best; i++)
        if (is_met(&router->entries[router->others[i]], query))
            return router->others[i];
    return best;
}

const struct route *stream_router_find(const struct stream_router *router,
                                       const struct stream_query *query)
{
    uint32_t best = NO_ENTRY;
    if (query->is_tls && query->server_name.len > 0)
        best = find_named(router, query);
    for (uint32_t i = 0; !query->is_tls && best == NO_ENTRY && i < router->count; i++)
        if (is_met(&router->entries[i], query))
            best = i;
    if (query->is_tls)
        best = find_other(router, query, best);
    return best == NO_ENTRY ? NULL : router->entries[best].route;
}
