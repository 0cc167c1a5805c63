#include "proxy/router_parts.h"

#include <stdlib.h>
#include <string.h>

#include <uv.h> /* error codes only */

/* Routes and their texts lie all over memory, and a router is built with each change of the
 * configuration. So what is sorted are small keys side by side, with all or most of what decides;
 * who compares routes and texts themselves spends most of the time on waiting for memory. */

static int compare_text(struct str a, struct str b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* ---- keys ---- */

#define FEW_KEYS 32 /* are sorted by insertion */
#define KEY_BYTES 8

struct key {
    uint64_t bytes;
    uint32_t place; /* of what it stands for, before that is sorted */
};

static void sort_few(struct key *keys, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct key key = keys[i];
        uint32_t at = i;
        for (; at > 0 && keys[at - 1].bytes > key.bytes; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

/* By one byte of eight, from one array into the other. */
static void sort_by_byte(const struct key *from, struct key *to, uint32_t count, unsigned shift)
{
    uint32_t ends[256] = {0}, end = 0;
    for (uint32_t i = 0; i < count; i++)
        ends[from[i].bytes >> shift & 0xff]++;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint32_t begin = end;
        end += ends[byte];
        ends[byte] = begin;
    }
    for (uint32_t i = 0; i < count; i++)
        to[ends[from[i].bytes >> shift & 0xff]++] = from[i];
}

/* Those with the same bytes stay in their order. `scratch` has room for as many. */
static void sort_keys(struct key *keys, struct key *scratch, uint32_t count)
{
    uint64_t differing = 0;
    struct key *from = keys, *to = scratch;
    if (count < FEW_KEYS) {
        sort_few(keys, count);
        return;
    }
    for (uint32_t i = 1; i < count; i++)
        differing |= keys[i].bytes ^ keys[0].bytes;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if (!(differing >> shift & 0xff))
            continue;
        sort_by_byte(from, to, count, shift);
        struct key *swapped = from;
        from = to;
        to = swapped;
    }
    if (from != keys)
        memcpy(keys, from, count * sizeof(*keys));
}

/* ---- candidates, by precedence ---- */

/* More do not count; the field that Kong keeps the number in is one byte wide. */
#define MAX_RANKED_HEADERS 255

/* What decides, the lower the better; the last first. */
enum { RANK_CREATED_AT, RANK_WORTH, RANK_ATTRIBUTES, RANK_COUNT };

struct rank {
    uint64_t values[RANK_COUNT];
};

static uint64_t attributes_of(const struct router_candidate *candidate)
{
    uint32_t headers = candidate->route->header_count;
    if (headers > MAX_RANKED_HEADERS)
        headers = MAX_RANKED_HEADERS;
    return ~((uint64_t)candidate->attribute_count << 10 |
             (uint64_t)candidate->hosts_are_plain << 9 | (uint64_t)headers << 1 |
             (uint64_t)(candidate->regex != NULL));
}

/* A signed number as an unsigned one of the same order. */
static uint64_t unsigned_of(int64_t number)
{
    return (uint64_t)number ^ 1ull << 63;
}

/* A regex's priority, or how long a literal path is. */
static uint64_t worth_of(const struct router_candidate *candidate)
{
    return ~(candidate->regex ? unsigned_of(candidate->route->regex_priority)
                              : (uint64_t)candidate->prefix.len);
}

static int by_id(const void *left, const void *right, void *arg)
{
    const struct key *a = left, *b = right;
    const struct router_candidate *candidates = arg;
    int order = compare_text(candidates[a->place].route->id, candidates[b->place].route->id);
    return order ? order : compare_u64(a->place, b->place);
}

static bool is_in_order_of_ids(const struct router *router)
{
    for (uint32_t i = 1; i < router->candidate_count; i++) {
        const struct route *before = router->candidates[i - 1].route;
        const struct route *route = router->candidates[i].route;
        if (before != route && compare_text(before->id, route->id) >= 0)
            return false;
    }
    return true;
}

/* Kong's order (traditional_compatible): the first difference decides, of attributes, worth, age,
 * id and the place among the route's paths. So it is sorted by the last of them first. */
static void sort_ranks(const struct rank *ranks, struct key *keys, struct key *scratch,
                       uint32_t count)
{
    for (int value = 0; value < RANK_COUNT; value++) {
        for (uint32_t i = 0; i < count; i++)
            keys[i].bytes = ranks[keys[i].place].values[value];
        sort_keys(keys, scratch, count);
    }
}

int router_sort_candidates(struct router *router)
{
    uint32_t count = router->candidate_count;
    struct rank *ranks = malloc((count + 1) * sizeof(*ranks));
    struct key *keys = malloc(((size_t)count * 2 + 1) * sizeof(*keys));
    struct router_candidate *before = malloc((count + 1) * sizeof(*before));
    int rc = ranks && keys && before ? 0 : UV_ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        before[i] = router->candidates[i];
        keys[i].place = i;
        ranks[i].values[RANK_ATTRIBUTES] = attributes_of(&before[i]);
        ranks[i].values[RANK_WORTH] = worth_of(&before[i]);
        ranks[i].values[RANK_CREATED_AT] = unsigned_of(before[i].route->created_at);
    }
    if (rc == 0) {
        if (!is_in_order_of_ids(router)) /* the configuration's lists are */
            qsort_r(keys, count, sizeof(*keys), by_id, before);
        sort_ranks(ranks, keys, keys + count, count);
        for (uint32_t i = 0; i < count; i++)
            router->candidates[i] = before[keys[i].place];
    }
    free(ranks);
    free(keys);
    free(before);
    return rc;
}

/* ---- placements, by host, prefix and candidate ---- */

/* Texts that are still the same after so many steps are compared as they are. */
#define MAX_STEPS 16

enum text { TEXT_HOST, TEXT_PREFIX, TEXT_NONE };

struct range {
    const struct router_placement *placements;
    struct key *keys; /* by candidate, as long as they are the same otherwise */
    struct key *scratch;
    uint32_t count;
    enum text text;
};

static struct str text_of(const struct range *range, uint32_t at)
{
    const struct router_placement *placement = &range->placements[range->keys[at].place];
    return range->text == TEXT_HOST ? placement->host : placement->prefix;
}

static int by_place(const void *left, const void *right, void *arg)
{
    const struct router_placement *placements = arg;
    const struct key *x = left, *y = right;
    const struct router_placement *a = &placements[x->place], *b = &placements[y->place];
    int order = compare_text(a->host, b->host);
    if (!order)
        order = compare_text(a->prefix, b->prefix);
    return order ? order : compare_u64(x->place, y->place);
}

static void sort_plainly(const struct range *range)
{
    qsort_r(range->keys, range->count, sizeof(*range->keys), by_place,
            (void *)(uintptr_t)range->placements);
}

static size_t common_length(struct str a, struct str b, size_t from, size_t to)
{
    size_t end = a.len < b.len ? a.len : b.len;
    if (end > to)
        end = to;
    while (from < end && a.ptr[from] == b.ptr[from])
        from++;
    return from;
}

/* How much of their texts all share, from `depth`, to which they are known to. */
static size_t shared_length(const struct range *range, size_t depth)
{
    struct str first = text_of(range, 0);
    size_t shared = first.len;
    for (uint32_t i = 1; i < range->count && shared > depth; i++)
        shared = common_length(first, text_of(range, i), depth, shared);
    return shared;
}

/* A text that ends is filled up with zeros. */
static uint64_t bytes_at(struct str text, size_t from)
{
    uint64_t bytes = 0;
    for (size_t i = from; i < from + KEY_BYTES; i++)
        bytes = bytes << 8 | (i < text.len ? (unsigned char)text.ptr[i] : 0);
    return bytes;
}

static void sort_range(struct range range, size_t depth, unsigned steps);

/* Of texts that are the same up to `end`, as far as they have so many bytes. */
static void sort_same(struct range range, size_t end, unsigned steps)
{
    bool have_ended = true, go_on = true, are_alike = true;
    size_t len = text_of(&range, 0).len;
    for (uint32_t i = 0; i < range.count; i++) {
        size_t of_this = text_of(&range, i).len;
        have_ended = have_ended && of_this <= end;
        go_on = go_on && of_this >= end;
        are_alike = are_alike && of_this == len;
    }
    if (have_ended && are_alike) {
        range.text++;
        if (range.text != TEXT_NONE)
            sort_range(range, 0, 0);
    } else if (go_on && steps < MAX_STEPS) {
        sort_range(range, end, steps + 1);
    } else { /* one that ended and one with a byte that is zero, or very long ones */
        sort_plainly(&range);
    }
}

static struct range part_of(const struct range *range, uint32_t from, uint32_t to)
{
    return (struct range){range->placements, range->keys + from, range->scratch + from, to - from,
                          range->text};
}

static void sort_range(struct range range, size_t depth, unsigned steps)
{
    if (range.count < 2)
        return;
    size_t shared = shared_length(&range, depth);
    for (uint32_t i = 0; i < range.count; i++)
        range.keys[i].bytes = bytes_at(text_of(&range, i), shared);
    sort_keys(range.keys, range.scratch, range.count);
    for (uint32_t from = 0, to; from < range.count; from = to) {
        for (to = from + 1; to < range.count; to++)
            if (range.keys[to].bytes != range.keys[from].bytes)
                break;
        if (to - from > 1)
            sort_same(part_of(&range, from, to), shared + KEY_BYTES, steps);
    }
}

static void sort_kinds(struct range all)
{
    for (uint32_t i = 0; i < all.count; i++)
        all.keys[i] = (struct key){all.placements[i].kind, i};
    sort_keys(all.keys, all.scratch, all.count);
    for (uint32_t from = 0, to; from < all.count; from = to) {
        uint64_t kind = all.keys[from].bytes;
        for (to = from + 1; to < all.count; to++)
            if (all.keys[to].bytes != kind)
                break;
        sort_range(part_of(&all, from, to), 0, 0);
    }
}

int router_sort_placements(struct router_placement *placements, uint32_t count)
{
    struct key *keys = malloc(((size_t)count * 2 + 1) * sizeof(*keys));
    struct router_placement *before = malloc((count + 1) * sizeof(*before));
    int rc = keys && before ? 0 : UV_ENOMEM;
    if (rc == 0 && count > 0) {
        memcpy(before, placements, count * sizeof(*before));
        sort_kinds((struct range){before, keys, keys + count, count, TEXT_HOST});
        for (uint32_t i = 0; i < count; i++)
            placements[i] = before[keys[i].place];
    }
    free(keys);
    free(before);
    return rc;
}
