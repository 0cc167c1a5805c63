#include "proxy/router_parts.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

/* Regexes that begin alike (or with nothing literal) stand in the same place of a tree: where there
 * are many, all would be tried one after the other. So each of them is found by four bytes that
 * every match of it holds somewhere: those of its literals that the fewest others have. A path is
 * looked through once, and only regexes whose four bytes it holds are tried. */

#define GRAM_BYTES 4
#define MANY 8         /* regexes in one place, from which on this is cheaper than trying them */
#define BITS_A_GRAM 16 /* of the first look, which nearly all of a path's fail at */

struct router_filter_slot {
    uint32_t gram;
    uint32_t entry_count; /* 0: free */
    const struct router_entry *entries;
};

/* A regex among those of one tree that are filtered. */
struct filtered {
    uint32_t gram;
    struct router_entry entry;
};

static uint32_t gram_at(const char *bytes)
{
    uint32_t gram;
    memcpy(&gram, bytes, sizeof(gram));
    return gram;
}

static uint32_t hash_of(uint32_t gram)
{
    uint32_t hash = gram * 2654435761u;
    return hash ^ hash >> 15;
}

/* ---- what is filtered ---- */

static struct str pattern_of(const struct router *router, const struct router_placement *placement)
{
    const struct router_candidate *candidate = &router->candidates[placement->entry.candidate];
    if (!candidate->regex)
        return STR_EMPTY;
    struct str path = candidate->route->paths[candidate->path_index];
    return str_make(path.ptr + 1, path.len - 1);
}

/* The literal that every match holds, in the arena; empty where it has less than a gram. */
static int find_literal(struct router *router, struct router_placement *placement)
{
    struct str pattern = pattern_of(router, placement);
    placement->literal = STR_EMPTY;
    if (pattern.len < GRAM_BYTES)
        return 0;
    char *room = malloc(2 * pattern.len);
    if (!room)
        return UV_ENOMEM;
    size_t len = router_regex_required_literal(pattern, room);
    if (len >= GRAM_BYTES)
        placement->literal = arena_copy(&router->arena, str_make(room, len));
    free(room);
    return len >= GRAM_BYTES && !placement->literal.ptr ? UV_ENOMEM : 0;
}

/* Where the placements with the same prefix end. */
static uint32_t end_of_prefix(const struct router_placement *placements, uint32_t from, uint32_t to)
{
    uint32_t at = from + 1;
    while (at < to && str_equal(placements[at].prefix, placements[from].prefix))
        at++;
    return at;
}

static int find_literals(struct router *router, struct router_placement *placements, uint32_t from,
                         uint32_t to, uint32_t *ret_count)
{
    uint32_t regexes = 0, found = 0;
    for (uint32_t i = from; i < to; i++)
        regexes += router->candidates[placements[i].entry.candidate].regex != NULL;
    if (regexes >= MANY) {
        for (uint32_t i = from; i < to; i++) {
            int rc = find_literal(router, &placements[i]);
            if (rc)
                return rc;
            found += placements[i].literal.len > 0;
        }
    }
    *ret_count = found >= MANY ? found : 0;
    return 0;
}

/* Puts those that are filtered behind the others of their prefix. 0 or UV_ENOMEM. */
static int set_apart(struct router_placement *placements, uint32_t from, uint32_t to)
{
    struct router_placement *apart = malloc((to - from) * sizeof(*apart));
    uint32_t kept = from, count = 0;
    if (!apart)
        return UV_ENOMEM;
    for (uint32_t i = from; i < to; i++) {
        placements[i].is_filtered = placements[i].literal.len > 0;
        if (placements[i].is_filtered)
            apart[count++] = placements[i];
        else
            placements[kept++] = placements[i];
    }
    memcpy(placements + kept, apart, count * sizeof(*apart));
    free(apart);
    return 0;
}

static int choose(struct router *router, struct router_placement *placements, uint32_t from,
                  uint32_t to, uint32_t *ret_count)
{
    *ret_count = 0;
    for (uint32_t end; from < to; from = end) {
        uint32_t count;
        end = end_of_prefix(placements, from, to);
        if (end - from < MANY)
            continue;
        int rc = find_literals(router, placements, from, end, &count);
        if (!rc && count > 0)
            rc = set_apart(placements, from, end);
        if (rc)
            return rc;
        *ret_count += count;
    }
    return 0;
}

/* ---- by which four bytes ---- */

static int compare_grams(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static int by_gram(const void *left, const void *right)
{
    const struct filtered *a = left, *b = right;
    int order = compare_grams(&a->gram, &b->gram);
    if (order)
        return order;
    return (a->entry.candidate > b->entry.candidate) - (a->entry.candidate < b->entry.candidate);
}

/* How many of the sorted ones are lower. */
static size_t lower_than(const uint32_t *grams, size_t count, uint64_t gram)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (grams[middle] < gram)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t rarest_gram(struct str literal, const uint32_t *grams, size_t count)
{
    uint32_t rarest = 0;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i + GRAM_BYTES <= literal.len; i++) {
        uint32_t gram = gram_at(literal.ptr + i);
        size_t others =
            lower_than(grams, count, (uint64_t)gram + 1) - lower_than(grams, count, gram);
        if (others < least) {
            least = others;
            rarest = gram;
        }
    }
    return rarest;
}

/* Fills `list` with those that are filtered, by gram. 0 or UV_ENOMEM. */
static int list_filtered(const struct router_placement *placements, uint32_t from, uint32_t to,
                         struct filtered *list)
{
    size_t total = 0, count = 0, listed = 0;
    for (uint32_t i = from; i < to; i++)
        if (placements[i].is_filtered)
            total += placements[i].literal.len;
    uint32_t *grams = malloc((total + 1) * sizeof(*grams));
    if (!grams)
        return UV_ENOMEM;
    for (uint32_t i = from; i < to; i++) {
        struct str literal = placements[i].literal;
        for (size_t at = 0; placements[i].is_filtered && at + GRAM_BYTES <= literal.len; at++)
            grams[count++] = gram_at(literal.ptr + at);
    }
    qsort(grams, count, sizeof(*grams), compare_grams);
    for (uint32_t i = from; i < to; i++)
        if (placements[i].is_filtered)
            list[listed++] = (struct filtered){rarest_gram(placements[i].literal, grams, count),
                                               placements[i].entry};
    free(grams);
    qsort(list, listed, sizeof(*list), by_gram);
    return 0;
}

/* ---- the table ---- */

static uint32_t power_above(uint32_t least)
{
    uint32_t power = 64;
    while (power < least)
        power *= 2;
    return power;
}

static int make_room(struct router *router, struct router_filter *filter, uint32_t count)
{
    uint32_t bits = power_above(count * BITS_A_GRAM), slots = power_above(count * 2);
    filter->bits = arena_alloc(&router->arena, bits / 8);
    filter->slots = arena_alloc(&router->arena, slots * sizeof(*filter->slots));
    if (!filter->bits || !filter->slots)
        return UV_ENOMEM;
    memset(filter->bits, 0, bits / 8);
    memset(filter->slots, 0, slots * sizeof(*filter->slots));
    filter->bit_mask = bits - 1;
    filter->slot_mask = slots - 1;
    return 0;
}

static void add_gram(struct router_filter *filter, uint32_t gram,
                     const struct router_entry *entries, uint32_t count)
{
    uint32_t hash = hash_of(gram), at = hash & filter->slot_mask;
    while (filter->slots[at].entry_count > 0)
        at = (at + 1) & filter->slot_mask;
    filter->slots[at] = (struct router_filter_slot){gram, count, entries};
    filter->bits[(hash & filter->bit_mask) / 64] |= 1ull << (hash & 63);
}

static int fill(struct router *router, struct router_filter *filter, const struct filtered *list,
                uint32_t count)
{
    struct router_entry *entries = arena_alloc(&router->arena, count * sizeof(*entries));
    if (!entries || make_room(router, filter, count))
        return UV_ENOMEM;
    for (uint32_t from = 0, to; from < count; from = to) {
        for (to = from; to < count && list[to].gram == list[from].gram; to++)
            entries[to] = list[to].entry;
        add_gram(filter, list[from].gram, entries + from, to - from);
    }
    return 0;
}

int router_filter_create(struct router *router, struct router_placement *placements, uint32_t from,
                         uint32_t to, struct router_filter **ret)
{
    uint32_t count;
    *ret = NULL;
    int rc = choose(router, placements, from, to, &count);
    if (rc || count == 0)
        return rc;
    struct router_filter *filter = arena_alloc(&router->arena, sizeof(*filter));
    struct filtered *list = malloc(count * sizeof(*list));
    rc = filter && list ? list_filtered(placements, from, to, list) : UV_ENOMEM;
    if (!rc)
        rc = fill(router, filter, list, count);
    free(list);
    if (!rc)
        *ret = filter;
    return rc;
}

const struct router_entry *router_filter_next(const struct router_filter *filter, struct str path,
                                              size_t *at, uint32_t *ret_count)
{
    while (*at + GRAM_BYTES <= path.len) {
        uint32_t gram = gram_at(path.ptr + (*at)++);
        uint32_t hash = hash_of(gram);
        if (!(filter->bits[(hash & filter->bit_mask) / 64] >> (hash & 63) & 1))
            continue;
        for (uint32_t i = hash & filter->slot_mask; filter->slots[i].entry_count > 0;
             i = (i + 1) & filter->slot_mask) {
            if (filter->slots[i].gram != gram)
                continue;
            *ret_count = filter->slots[i].entry_count;
            return filter->slots[i].entries;
        }
    }
    return NULL;
}
