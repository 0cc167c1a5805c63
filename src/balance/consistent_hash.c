#include "balance/consistent_hash.h"

#include <stdlib.h>

#include <uv.h> /* error codes only */

#include "balance/round_robin.h"

/* Points of the heaviest target: more spread keys more evenly and take memory. */
#define POINTS 160
#define POINTS_OF_LARGE_POOL 40
#define LARGE_POOL 512
/* Steps from point to point before any target in turn is taken instead. */
#define MAX_STEPS 2048

/* Spreads every bit over all (the last step of splitmix64). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t consistent_hash_key(struct str key)
{
    return mix(str_hash(key));
}

static uint32_t heaviest(const struct endpoints *endpoints)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (endpoints->items[i].weight > most)
            most = endpoints->items[i].weight;
    return most;
}

static uint32_t points_of(const struct endpoints *endpoints, uint32_t weight, uint32_t most)
{
    uint64_t points = endpoints->count > LARGE_POOL ? POINTS_OF_LARGE_POOL : POINTS;
    points = (points * weight + most / 2) / most;
    return weight == 0 ? 0 : points == 0 ? 1 : (uint32_t)points;
}

static int by_place(const void *left, const void *right)
{
    const struct ring_point *a = left, *b = right;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* A table by the top bits of a place, with about one point each, finds a key's point at once. */
static int index_ring(struct endpoints *endpoints)
{
    uint32_t bits = 1;
    while (bits < 24 && (uint32_t)1 << bits < endpoints->ring_len)
        bits++;
    uint32_t buckets = (uint32_t)1 << bits;
    endpoints->ring_shift = 32 - bits;
    endpoints->ring_starts = malloc(buckets * sizeof(*endpoints->ring_starts));
    if (!endpoints->ring_starts)
        return UV_ENOMEM;
    uint32_t point = 0;
    for (uint32_t bucket = 0; bucket < buckets; bucket++) {
        while (point < endpoints->ring_len &&
               endpoints->ring[point].place >> endpoints->ring_shift < bucket)
            point++;
        endpoints->ring_starts[bucket] = point;
    }
    return 0;
}

int consistent_hash_plan(struct endpoints *endpoints)
{
    uint32_t most = heaviest(endpoints);
    size_t len = 0;
    for (uint32_t i = 0; most && i < endpoints->count; i++)
        len += points_of(endpoints, endpoints->items[i].weight, most);
    if (len == 0)
        return 0;
    endpoints->ring = malloc(len * sizeof(*endpoints->ring));
    if (!endpoints->ring)
        return UV_ENOMEM;
    for (uint32_t i = 0; i < endpoints->count; i++) {
        uint64_t name = consistent_hash_key(str_of(endpoints->items[i].target->name));
        uint32_t points = points_of(endpoints, endpoints->items[i].weight, most);
        for (uint32_t k = 0; k < points; k++)
            endpoints->ring[endpoints->ring_len++] =
                (struct ring_point){(uint32_t)(mix(name + (k + 1) * 0x9e3779b97f4a7c15u) >> 32), i};
    }
    qsort(endpoints->ring, endpoints->ring_len, sizeof(*endpoints->ring), by_place);
    return index_ring(endpoints);
}

static bool is_session(const struct balancing *balancing)
{
    return balancing && (balancing->hash_on.input == HASH_INPUT_COOKIE ||
                         balancing->hash_fallback.input == HASH_INPUT_COOKIE);
}

/* With this exchange it would have more than its bounded part of all. */
static bool is_overloaded(const struct choice *choice, const struct endpoint *endpoint)
{
    uint64_t has = choice_in_flight(choice, endpoint->target) + (uint64_t)1;
    uint64_t all = choice->slot->in_flight + (uint64_t)1;
    return has > CONSISTENT_HASH_FREE_LOAD &&
           has * 100 * choice->endpoints->weight_sum >
               all * CONSISTENT_HASH_MAX_LOAD_PERCENT * endpoint->weight;
}

static uint32_t point_of(const struct endpoints *endpoints, uint32_t place)
{
    uint32_t point = endpoints->ring_starts[place >> endpoints->ring_shift];
    while (point < endpoints->ring_len && endpoints->ring[point].place < place)
        point++;
    return point < endpoints->ring_len ? point : 0;
}

const struct endpoint *consistent_hash_pick(const struct choice *choice)
{
    const struct endpoints *endpoints = choice->endpoints;
    uint64_t hash = choice->query->hash;
    uint32_t token = (uint32_t)mix(hash ^ 0x5851f42d4c957f2du); /* says who follows a slow start */
    bool is_bounded = !is_session(endpoints->balancing);
    if (endpoints->ring_len == 0)
        return NULL;
    uint32_t point = point_of(endpoints, (uint32_t)(hash >> 32));
    uint32_t last = UINT32_MAX;
    for (uint32_t steps = 0; steps < MAX_STEPS && steps < endpoints->ring_len; steps++) {
        uint32_t index = endpoints->ring[point].index;
        const struct endpoint *endpoint = &endpoints->items[index];
        if (index != last && choice_allows(choice, endpoint->target) &&
            !(is_bounded && is_overloaded(choice, endpoint)) &&
            choice_admits(choice, endpoint->target, token))
            return endpoint;
        last = index;
        point = point + 1 == endpoints->ring_len ? 0 : point + 1;
    }
    return round_robin_pick(choice);
}
