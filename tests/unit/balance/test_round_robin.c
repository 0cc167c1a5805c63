#include "balance/round_robin.h"

#include "unit/balance/pools.h"

static struct pool pool_with(uint32_t count, const uint32_t *weights)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROUND_ROBIN, count);
    for (uint32_t i = 0; i < count; i++)
        pool.weights[i] = weights[i];
    pool_publish(&pool);
    return pool;
}

static void publish(struct pool *pool, const uint32_t *weights)
{
    for (uint32_t i = 0; i < pool->count; i++)
        pool->weights[i] = weights[i];
    pool_publish(pool);
}

static struct target_state *pick(struct pool *pool, struct target_state *const *tried,
                                 unsigned tried_count)
{
    struct balancer_query query = pool_query(pool);
    query.tried = tried;
    query.tried_count = tried_count;
    return balancer_pick(pool->upstream, &query);
}

TEST(equal_weights_take_turns)
{
    struct pool pool = pool_with(3, (uint32_t[]){100, 100, 100});
    unsigned counts[3];
    count_picks(&pool, 3000, counts);
    for (int i = 0; i < 3; i++)
        assert_int_equal(counts[i], 1000);
    pool_deinit(&pool);
}

TEST(shares_follow_weights_exactly)
{
    struct pool pool = pool_with(3, (uint32_t[]){500, 100, 300});
    unsigned counts[3];
    count_picks(&pool, 900, counts);
    assert_int_equal(counts[0], 500);
    assert_int_equal(counts[1], 100);
    assert_int_equal(counts[2], 300);
    pool_deinit(&pool);
}

TEST(a_heavy_target_is_spread_and_not_in_one_run)
{
    struct pool pool = pool_with(3, (uint32_t[]){5, 1, 1});
    unsigned run = 0, longest = 0;
    for (int i = 0; i < 70; i++) {
        run = pick(&pool, NULL, 0) == pool.targets[0] ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_true(longest <= 5); /* 3 + 2 where the wheel joins */
    pool_deinit(&pool);
}

TEST(large_weights_are_scaled_and_nobody_is_left_out)
{
    struct pool pool = pool_with(3, (uint32_t[]){65535, 1, 65534});
    unsigned counts[3];
    struct endpoints *endpoints = upstream_state_endpoints(pool.upstream);
    assert_true(endpoints->wheel_len <= ROUND_ROBIN_MAX_WHEEL + 3);
    count_picks(&pool, endpoints->wheel_len, counts);
    assert_true(counts[1] == 1);
    assert_in_range(counts[0], counts[2] - 2, counts[2] + 2);
    pool_deinit(&pool);
}

TEST(many_targets_all_take_a_turn)
{
    uint32_t weights[MAX_TARGETS];
    unsigned counts[MAX_TARGETS];
    for (int i = 0; i < MAX_TARGETS; i++)
        weights[i] = 100;
    struct pool pool = pool_with(MAX_TARGETS, weights);
    count_picks(&pool, MAX_TARGETS, counts);
    for (int i = 0; i < MAX_TARGETS; i++)
        assert_int_equal(counts[i], 1);
    pool_deinit(&pool);
}

TEST(weight_zero_and_unusable_targets_get_nothing)
{
    struct pool pool = pool_with(3, (uint32_t[]){100, 0, 100});
    unsigned counts[3];
    atomic_store(&pool.targets[2]->health, TARGET_OUT_CONSUL); /* after the plan: stepped over */
    count_picks(&pool, 100, counts);
    assert_int_equal(counts[0], 100);

    publish(&pool, (uint32_t[]){100, 0, 100}); /* planned without it */
    assert_int_equal(upstream_state_endpoints(pool.upstream)->wheel_len, 1);
    atomic_store(&pool.targets[0]->health, TARGET_OUT_CONSUL);
    assert_null(pick(&pool, NULL, 0));
    publish(&pool, (uint32_t[]){100, 0, 100});
    assert_null(pick(&pool, NULL, 0));
    pool_deinit(&pool);
}

TEST(twenty_equal_targets_are_even_within_2_percent)
{
    struct pool pool;
    unsigned counts[20];
    pool_init(&pool, BALANCING_ROUND_ROBIN, 20);
    count_picks(&pool, 10007, counts);
    for (int i = 0; i < 20; i++)
        expect_near(counts[i], 10007 / 20.0, 2);
    pool_deinit(&pool);
}

TEST(the_turns_of_a_target_that_went_out_are_spread_over_all_others)
{
    struct pool pool;
    unsigned counts[10];
    pool_init(&pool, BALANCING_ROUND_ROBIN, 10);
    atomic_store(&pool.targets[4]->health, TARGET_OUT_PASSIVE); /* since the plan */
    count_picks(&pool, 90000, counts);
    assert_int_equal(counts[4], 0);
    for (int i = 0; i < 10; i++)
        if (i != 4)
            expect_near(counts[i], 10000, 5);
    pool_deinit(&pool);
}

TEST(a_target_at_its_limit_is_left_out_and_the_last_one_full_is_told)
{
    struct pool pool;
    pool_init(&pool, BALANCING_ROUND_ROBIN, 2);
    pool.balancing.max_in_flight = 2;
    pool_publish(&pool);
    for (int i = 0; i < 4; i++)
        pool_pick(&pool);
    assert_int_equal(in_flight(&pool, 0), 2);
    assert_int_equal(in_flight(&pool, 1), 2);
    struct balancer_query query = pool_query(&pool);
    assert_null(balancer_pick(pool.upstream, &query));
    assert_true(query.was_full);
    pool_report(&pool, 1, BALANCER_GOOD, 1);
    assert_int_equal(pool_pick(&pool), 1);
    pool_deinit(&pool);
}

TEST(a_retry_goes_to_a_target_that_was_not_tried)
{
    struct pool pool = pool_with(3, (uint32_t[]){1, 1, 1});
    struct target_state *tried[3];
    for (unsigned n = 0; n < 3; n++) {
        tried[n] = pick(&pool, tried, n);
        assert_non_null(tried[n]);
        for (unsigned i = 0; i < n; i++)
            assert_ptr_not_equal(tried[n], tried[i]);
    }
    assert_null(pick(&pool, tried, 3));
    pool_deinit(&pool);
}

TEST(a_shorter_wheel_does_not_confuse_the_cursor)
{
    struct pool pool = pool_with(3, (uint32_t[]){1, 1, 1});
    unsigned counts[3];
    count_picks(&pool, 2, counts);
    pool.count = 1;
    publish(&pool, (uint32_t[]){1});
    assert_ptr_equal(pick(&pool, NULL, 0), pool.targets[0]);
    pool.count = 3;
    pool_deinit(&pool);
}

RUN(T(twenty_equal_targets_are_even_within_2_percent),
    T(the_turns_of_a_target_that_went_out_are_spread_over_all_others),
    T(a_target_at_its_limit_is_left_out_and_the_last_one_full_is_told), T(equal_weights_take_turns),
    T(shares_follow_weights_exactly), T(a_heavy_target_is_spread_and_not_in_one_run),
    T(large_weights_are_scaled_and_nobody_is_left_out), T(many_targets_all_take_a_turn),
    T(weight_zero_and_unusable_targets_get_nothing), T(a_retry_goes_to_a_target_that_was_not_tried),
    T(a_shorter_wheel_does_not_confuse_the_cursor))
