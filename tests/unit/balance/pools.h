/* pools.h - an upstream with targets for the tests of algorithms: what is picked, and how it goes,
 * without any network. One worker, a clock that the test moves. */
#ifndef TESTS_UNIT_BALANCE_POOLS_H
#define TESTS_UNIT_BALANCE_POOLS_H

#include "balance/balancer.h"
#include "balance/consistent_hash.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit/test.h"

#define MAX_TARGETS 2000
#define FIRST_PORT 1000
/* Far from 0, and after all targets have been made. */
#define LATER_MS (UINT64_C(1) << 40)

struct pool {
    struct upstream_state *upstream;
    struct balancing balancing; /* in force with the next pool_publish */
    struct target_state *targets[MAX_TARGETS];
    uint32_t weights[MAX_TARGETS];
    uint32_t count;
    uint64_t now_ms;
    struct random_state random;
};

static inline void pool_publish(struct pool *pool)
{
    static struct endpoint items[MAX_TARGETS];
    struct endpoints *endpoints;
    for (uint32_t i = 0; i < pool->count; i++)
        items[i] = (struct endpoint){.target = pool->targets[i], .weight = pool->weights[i]};
    assert_int_equal(endpoints_create(ENDPOINTS_KNOWN, items, pool->count, &endpoints), 0);
    struct balancing *copy = malloc(sizeof(*copy)); /* freed with its last endpoints */
    *copy = pool->balancing;
    atomic_init(&copy->refs, 1);
    endpoints_set_balancing(endpoints, copy);
    balancing_unref(copy);
    assert_int_equal(balancer_plan(endpoints, pool->now_ms), 0);
    endpoints_destroy(upstream_state_swap(pool->upstream, endpoints));
}

static inline struct target_state *new_target(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct target_identity identity = {.host = STR("127.0.0.1"),
                                       .address = (const struct sockaddr *)&address};
    struct target_state *target;
    assert_int_equal(target_state_create(&identity, 1, &target), 0);
    atomic_store(&target->ready_since_ms, 0); /* it has been there for long */
    return target;
}

/* Targets of weight 100; the test may set others and publish again. */
static inline void pool_init(struct pool *pool, enum balancing_algorithm algorithm, uint32_t count)
{
    *pool = (struct pool){
        .count = count, .now_ms = LATER_MS, .random = {{1, 2, 3, 4}}, .balancing = {0}};
    pool->balancing.algorithm = algorithm;
    assert_int_equal(upstream_state_create(STR("u"), 1, &pool->upstream), 0);
    for (uint32_t i = 0; i < count; i++) {
        pool->targets[i] = new_target((uint16_t)(FIRST_PORT + i));
        pool->weights[i] = 100;
    }
    pool_publish(pool);
}

static inline void pool_deinit(struct pool *pool)
{
    upstream_state_unref(pool->upstream);
    for (uint32_t i = 0; i < MAX_TARGETS; i++)
        target_state_unref(pool->targets[i]);
}

static inline struct balancer_query pool_query(struct pool *pool)
{
    return (struct balancer_query){.now_ms = pool->now_ms, .random = &pool->random};
}

static inline uint32_t index_of(const struct target_state *target)
{
    return target->port - (uint32_t)FIRST_PORT;
}

/* The index of what is picked; it stays under way. */
static inline uint32_t pool_pick(struct pool *pool)
{
    struct balancer_query query = pool_query(pool);
    struct target_state *target = balancer_pick(pool->upstream, &query);
    assert_non_null(target);
    return index_of(target);
}

static inline uint32_t pool_pick_key(struct pool *pool, uint64_t number)
{
    char key[32];
    snprintf(key, sizeof(key), "user-%lu", (unsigned long)number);
    struct balancer_query query = pool_query(pool);
    query.has_hash = true;
    query.hash = consistent_hash_key(str_of(key));
    struct target_state *target = balancer_pick(pool->upstream, &query);
    assert_non_null(target);
    return index_of(target);
}

static inline void pool_report(struct pool *pool, uint32_t index, enum balancer_result result,
                               uint64_t waited_ms)
{
    struct balancer_report report = {.now_ms = pool->now_ms,
                                     .result = result,
                                     .was_heard = result == BALANCER_GOOD,
                                     .waited_ms = waited_ms};
    if (report.was_heard)
        balancer_hear(pool->targets[index], 0, pool->now_ms);
    balancer_report(pool->upstream, pool->targets[index], &report);
}

static inline uint32_t in_flight(const struct pool *pool, uint32_t index)
{
    return atomic_load(&pool->targets[index]->slots[0].in_flight);
}

/* One after the other, each answered at once. */
static inline void count_picks(struct pool *pool, unsigned picks, unsigned *counts)
{
    for (uint32_t i = 0; i < pool->count; i++)
        counts[i] = 0;
    for (unsigned n = 0; n < picks; n++) {
        uint32_t index = pool_pick(pool);
        counts[index]++;
        pool_report(pool, index, BALANCER_GOOD, 1);
    }
}

/* Within so many percent of what is due. */
static inline void expect_near(double value, double due, double percent)
{
    if (value < due * (1 - percent / 100) || value > due * (1 + percent / 100))
        fail_msg("%g is not within %g %% of %g", value, percent, due);
}

#endif
