#include "balance/latency.h"

#include <stdlib.h>

#include "balance/round_robin.h"

/* A better one must cost less than 4/5: a smaller difference is noise. */
#define CLEARLY_BETTER 0.8
#define RANDOM_TRIES 4
#define DEFAULT_US 1000 /* where nothing has been measured */
/* The loop's clock counts milliseconds, and a busy loop is late by some: what that explains makes
 * no target better and is no peak. */
#define CLOCK_NOISE_US 5000
/* The least that a sample counts in the average, however short the time since the last. */
#define LEAST_SHARE (1.0 / 32)

/* The word: microseconds in the upper half, and the loop's milliseconds (modulo 2^32) in the lower.
 */
static uint64_t word_of(double average_us, uint64_t now_ms)
{
    uint64_t whole = average_us < 1            ? 1
                     : average_us > UINT32_MAX ? UINT32_MAX
                                               : (uint64_t)average_us;
    return whole << 32 | (now_ms & UINT32_MAX);
}

static uint32_t average_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* Near enough to e^(-age / memory), with a longer tail: (1 + x / 16)^-16. */
static double fading(uint64_t word, uint64_t now_ms)
{
    uint32_t age_ms = (uint32_t)now_ms - (uint32_t)word;
    if (age_ms > UINT32_MAX / 2) /* another thread's clock is ahead */
        age_ms = 0;
    double base = 1 / (1 + (double)age_ms / (16.0 * LATENCY_MEMORY_MS));
    base *= base;
    base *= base;
    base *= base;
    return base * base;
}

uint32_t latency_average_us(const struct target_state *target, uint64_t now_ms)
{
    uint64_t word = atomic_load_explicit(&target->latency, memory_order_relaxed);
    if (word == 0)
        return 0;
    double average = average_of(word) * fading(word, now_ms);
    return average < 1 ? 1 : (uint32_t)average;
}

void latency_report(struct target_state *target, const struct balancer_report *report)
{
    uint64_t word = atomic_load_explicit(&target->latency, memory_order_relaxed);
    double average = average_of(word), sample = (double)report->waited_ms * 1000;
    if (report->result == BALANCER_UNTOLD && sample <= average)
        return;
    if (report->result == BALANCER_BAD && sample < LATENCY_OF_FAILURE_MS * 1000.0)
        sample = LATENCY_OF_FAILURE_MS * 1000.0;
    if (word != 0 && sample < 2 * average + CLOCK_NOISE_US) {
        double share = 1 - fading(word, report->now_ms);
        if (share < LEAST_SHARE)
            share = LEAST_SHARE;
        sample = average + share * (sample - average);
    }
    /* Of two workers that do this at once, one's sample is lost: there are more. */
    atomic_store_explicit(&target->latency, word_of(sample, report->now_ms), memory_order_relaxed);
}

/* What is under way counts by weight; what is idle costs no more for being light: that it is picked
 * less often is the wheel's doing. */
static double cost_of(const struct choice *choice, const struct endpoint *endpoint)
{
    const struct endpoints *endpoints = choice->endpoints;
    uint32_t average = latency_average_us(endpoint->target, choice->query->now_ms);
    double per_weight =
        (double)endpoints->weight_sum / ((double)endpoints->taker_count * (double)endpoint->weight);
    return ((average ? average : DEFAULT_US) + (double)CLOCK_NOISE_US) *
           (choice_in_flight(choice, endpoint->target) * per_weight + 1);
}

static const struct endpoint *draw_other(const struct choice *choice, const struct endpoint *first)
{
    for (int tries = 0; tries < RANDOM_TRIES; tries++) {
        uint32_t steps =
            (uint32_t)(random_next(choice->query->random) % choice->endpoints->wheel_len);
        const struct endpoint *other = round_robin_peek(choice, steps);
        if (other != first && choice_allows(choice, other->target) &&
            choice_admits_now(choice, other->target))
            return other;
    }
    return NULL;
}

const struct endpoint *latency_pick(const struct choice *choice)
{
    const struct endpoint *first = round_robin_pick(choice);
    const struct endpoint *other = first ? draw_other(choice, first) : NULL;
    if (!other)
        return first;
    return cost_of(choice, other) < CLEARLY_BETTER * cost_of(choice, first) ? other : first;
}

static int by_size(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

void latency_plan(struct endpoints *endpoints, uint64_t now_ms)
{
    uint32_t known = 0;
    uint32_t *averages = endpoints->count ? malloc(endpoints->count * sizeof(*averages)) : NULL;
    if (!averages) /* they start as if fast, then */
        return;
    for (uint32_t i = 0; i < endpoints->count; i++) {
        uint32_t average = latency_average_us(endpoints->items[i].target, now_ms);
        if (average)
            averages[known++] = average;
    }
    if (known > 0) {
        qsort(averages, known, sizeof(*averages), by_size);
        uint64_t word = word_of(averages[known / 2], now_ms);
        for (uint32_t i = 0; i < endpoints->count; i++) {
            uint64_t none = 0;
            atomic_compare_exchange_strong_explicit(&endpoints->items[i].target->latency, &none,
                                                    word, memory_order_relaxed,
                                                    memory_order_relaxed);
        }
    }
    free(averages);
}
