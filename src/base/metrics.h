/* metrics.h - counters and histograms that one thread writes and any thread reads: plain loads and
 * stores, no lock and no locked instruction. What several threads count is counted by each in cells
 * of its own and added up by who reads.
 *
 * A reader may see a histogram between two of its cells' updates; its numbers differ then by the
 * one observation that is going on.
 *
 * Thread: writes: the cells' owner; reads: any. Memory: the caller's. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t metrics_cell;

static inline void metrics_add(metrics_cell *cell, uint64_t by)
{
    uint64_t value = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, value + by, memory_order_relaxed);
}

static inline uint64_t metrics_read(const metrics_cell *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/* Which observations a histogram tells apart. */
struct metrics_shape {
    const uint32_t *bounds; /* the largest value of each bucket, ascending; then comes infinity */
    unsigned count;         /* of bounds */
};

/* Cells of a histogram with so many bounds: a bucket each, infinity's, and the sum. */
#define METRICS_CELLS(bound_count) ((bound_count) + 2)

/* Values lie mostly in the first buckets: a search from there is as quick as any. */
static inline void metrics_observe(struct metrics_shape shape, metrics_cell *cells, uint64_t value)
{
    unsigned i = 0;
    while (i < shape.count && value > shape.bounds[i])
        i++;
    metrics_add(&cells[i], 1);
    metrics_add(&cells[shape.count + 1], value);
}

#endif
