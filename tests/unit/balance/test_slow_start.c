#include "balance/slow_start.h"

#include "unit/balance/pools.h"

#define WINDOW_MS 10000

/* Ten targets, of which the last is ready only now. */
static void pool_with_newcomer(struct pool *pool, enum balancing_algorithm algorithm)
{
    pool_init(pool, algorithm, 10);
    pool->balancing.slow_start_ms = WINDOW_MS;
    atomic_store(&pool->targets[9]->ready_since_ms, pool->now_ms);
    pool_publish(pool);
}

static double share_of_newcomer(struct pool *pool)
{
    unsigned mine = 0;
    for (uint64_t n = 0; n < 20000; n++) {
        uint32_t index = pool_pick_key(pool, n);
        mine += index == 9;
        pool_report(pool, index, BALANCER_GOOD, 1);
    }
    return mine / 2000.0; /* 1: a tenth */
}

static void expect_growing_share(enum balancing_algorithm algorithm, double full)
{
    struct pool pool;
    pool_with_newcomer(&pool, algorithm);
    expect_near(share_of_newcomer(&pool), 0.1 * full, 30);
    pool.now_ms += WINDOW_MS / 2;
    expect_near(share_of_newcomer(&pool), 0.5 * full, 15);
    pool.now_ms += WINDOW_MS / 2;
    expect_near(share_of_newcomer(&pool), full, 2);
    pool_deinit(&pool);
}

TEST(the_share_grows_from_a_tenth_to_all)
{
    expect_growing_share(BALANCING_ROUND_ROBIN, 1);
}

TEST(it_does_with_least_connections)
{
    expect_growing_share(BALANCING_LEAST_CONNECTIONS, 1);
}

TEST(it_does_with_latency)
{
    expect_growing_share(BALANCING_LATENCY, 1);
}

TEST(with_hashing_it_takes_a_growing_part_of_its_keys)
{
    struct pool pool;
    pool_with_newcomer(&pool, BALANCING_CONSISTENT_HASH);
    pool.now_ms += 2 * WINDOW_MS;
    double full = share_of_newcomer(&pool);
    pool_deinit(&pool);
    expect_growing_share(BALANCING_CONSISTENT_HASH, full);
}

TEST(a_key_that_has_come_over_stays)
{
    struct pool pool;
    bool is_over[500] = {false};
    pool_with_newcomer(&pool, BALANCING_CONSISTENT_HASH);
    for (int step = 0; step <= 10; step++, pool.now_ms += WINDOW_MS / 10) {
        for (uint64_t key = 0; key < 500; key++) {
            uint32_t index = pool_pick_key(&pool, key);
            assert_true(index == 9 || !is_over[key]);
            is_over[key] = index == 9;
            pool_report(&pool, index, BALANCER_GOOD, 1);
        }
    }
    pool_deinit(&pool);
}

TEST(where_most_are_new_all_start_at_full_share)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROUND_ROBIN, 10);
    pool.balancing.slow_start_ms = WINDOW_MS;
    for (int i = 4; i < 10; i++)
        atomic_store(&pool.targets[i]->ready_since_ms, pool.now_ms);
    pool_publish(&pool);
    expect_near(share_of_newcomer(&pool), 1, 2);

    pool.now_ms += 10; /* one recovers later: it is slow all the same */
    atomic_store(&pool.targets[9]->ready_since_ms, pool.now_ms);
    expect_near(share_of_newcomer(&pool), 0.1, 30);
    pool_deinit(&pool);
}

TEST(the_only_target_takes_all)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROUND_ROBIN, 2);
    pool.balancing.slow_start_ms = WINDOW_MS;
    atomic_store(&pool.targets[1]->ready_since_ms, pool.now_ms);
    pool_publish(&pool);
    atomic_store(&pool.targets[0]->health, TARGET_OUT_PROBE);
    for (int i = 0; i < 100; i++)
        assert_int_equal(pool_pick(&pool), 1);
    pool_deinit(&pool);
}

RUN(T(the_share_grows_from_a_tenth_to_all), T(it_does_with_least_connections),
    T(it_does_with_latency), T(with_hashing_it_takes_a_growing_part_of_its_keys),
    T(a_key_that_has_come_over_stays), T(where_most_are_new_all_start_at_full_share),
    T(the_only_target_takes_all))
