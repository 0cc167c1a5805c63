#include "balance/consistent_hash.h"

#include "unit/balance/pools.h"

#define KEYS 20000

/* Where each key goes, one after the other. */
static void map_keys(struct pool *pool, uint32_t *owners)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        owners[key] = pool_pick_key(pool, key);
        pool_report(pool, owners[key], BALANCER_GOOD, 1);
    }
}

TEST(a_key_stays_with_its_target)
{
    struct pool pool;
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 10);
    uint32_t owner = pool_pick_key(&pool, 4711);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pool_pick_key(&pool, 4711), owner);
    pool_publish(&pool);
    assert_int_equal(pool_pick_key(&pool, 4711), owner);
    pool_deinit(&pool);
}

TEST(of_a_hundred_targets_one_that_goes_moves_its_own_keys_only)
{
    struct pool pool;
    static uint32_t before[KEYS], after[KEYS];
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 100);
    map_keys(&pool, before);
    for (uint32_t gone = 0; gone < 100; gone += 33) {
        unsigned moved = 0;
        pool.weights[gone] = 0;
        pool_publish(&pool);
        map_keys(&pool, after);
        for (int key = 0; key < KEYS; key++) {
            moved += before[key] != after[key];
            assert_true(before[key] == after[key] || before[key] == gone);
        }
        assert_true(moved <= KEYS * 22 / 1000);
        pool.weights[gone] = 100;
    }
    pool_deinit(&pool);
}

/* It leaves the array too, so that the others have other places in it. */
TEST(it_is_the_name_that_keys_follow_and_not_the_place)
{
    struct pool pool;
    static struct pool rest;
    static uint32_t before[KEYS], after[KEYS];
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 100);
    map_keys(&pool, before);
    rest = pool;
    rest.count = 99;
    memmove(&rest.targets[31], &rest.targets[32], 68 * sizeof(rest.targets[0]));
    pool_publish(&rest);
    map_keys(&pool, after);
    unsigned moved = 0;
    for (int key = 0; key < KEYS; key++) {
        moved += before[key] != after[key];
        assert_true(before[key] == after[key] || before[key] == 31);
    }
    assert_in_range(moved, 1, KEYS * 22 / 1000);
    pool_deinit(&pool);
}

TEST(one_that_is_out_for_a_while_gets_its_keys_back)
{
    struct pool pool;
    static uint32_t before[KEYS], meanwhile[KEYS], after[KEYS];
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 10);
    map_keys(&pool, before);
    atomic_store(&pool.targets[5]->health, TARGET_OUT_PROBE);
    pool_publish(&pool);
    map_keys(&pool, meanwhile);
    for (int key = 0; key < KEYS; key++) {
        assert_int_not_equal(meanwhile[key], 5);
        assert_true(before[key] == meanwhile[key] || before[key] == 5);
    }
    atomic_store(&pool.targets[5]->health, 0);
    pool_publish(&pool);
    map_keys(&pool, after);
    assert_memory_equal(before, after, sizeof(before));
    pool_deinit(&pool);
}

TEST(keys_are_spread_by_weight)
{
    struct pool pool;
    static uint32_t owners[KEYS];
    unsigned counts[4] = {0};
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 4);
    pool.weights[3] = 200;
    pool_publish(&pool);
    map_keys(&pool, owners);
    for (int key = 0; key < KEYS; key++)
        counts[owners[key]]++;
    for (int i = 0; i < 4; i++)
        expect_near(counts[i], KEYS * (i == 3 ? 2 : 1) / 5.0, 25);
    pool_deinit(&pool);
}

/* A key of rank r comes 1/r times as often as the first: some keys are most of the traffic. */
static uint64_t zipf_key(struct pool *pool)
{
    enum { RANKS = 10000 };
    static double up_to[RANKS + 1]; /* the sum of the parts of all ranks so far */
    for (int rank = 1; up_to[RANKS] == 0 && rank <= RANKS; rank++)
        up_to[rank] = up_to[rank - 1] + 1.0 / rank;
    double at = (double)(random_next(&pool->random) >> 11) / (double)(UINT64_C(1) << 53);
    uint64_t low = 0, high = RANKS;
    while (low + 1 < high) {
        uint64_t middle = (low + high) / 2;
        if (up_to[middle] <= at * up_to[RANKS])
            low = middle;
        else
            high = middle;
    }
    return high;
}

TEST(under_zipf_keys_no_target_has_more_than_five_quarters_of_the_mean)
{
    enum { UNDER_WAY = 400, TARGETS = 20 };
    struct pool pool;
    static uint32_t under_way[UNDER_WAY];
    pool_init(&pool, BALANCING_CONSISTENT_HASH, TARGETS);
    for (int i = 0; i < UNDER_WAY; i++)
        under_way[i] = pool_pick_key(&pool, zipf_key(&pool));
    uint64_t sums[TARGETS] = {0};
    for (int i = 0; i < 40000; i++) {
        uint32_t *one = &under_way[random_next(&pool.random) % UNDER_WAY];
        pool_report(&pool, *one, BALANCER_GOOD, 1);
        *one = pool_pick_key(&pool, zipf_key(&pool));
        for (uint32_t target = 0; target < TARGETS; target++) {
            assert_true(in_flight(&pool, target) <= UNDER_WAY / TARGETS * 125 / 100);
            sums[target] += in_flight(&pool, target);
        }
    }
    for (uint32_t target = 0; target < TARGETS; target++)
        assert_true(sums[target] <= UINT64_C(40000) * UNDER_WAY / TARGETS * 125 / 100);
    pool_deinit(&pool);
}

TEST(sessions_stay_even_where_load_is_uneven)
{
    struct pool pool;
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 10);
    pool.balancing.hash_on.input = HASH_INPUT_COOKIE;
    pool_publish(&pool);
    uint32_t owner = pool_pick_key(&pool, 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(pool_pick_key(&pool, 1), owner);
    pool_deinit(&pool);
}

TEST(requests_without_a_key_are_spread)
{
    struct pool pool;
    unsigned counts[4];
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 4);
    count_picks(&pool, 400, counts);
    for (int i = 0; i < 4; i++)
        assert_int_equal(counts[i], 100);
    pool_deinit(&pool);
}

TEST(a_retry_goes_elsewhere_and_to_the_same_place_each_time)
{
    struct pool pool;
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 10);
    struct balancer_query query = pool_query(&pool);
    query.has_hash = true;
    query.hash = consistent_hash_key(STR("key"));
    struct target_state *first = balancer_pick(pool.upstream, &query);
    query.tried = &first;
    query.tried_count = 1;
    struct target_state *second = balancer_pick(pool.upstream, &query);
    assert_ptr_not_equal(first, second);
    assert_ptr_equal(balancer_pick(pool.upstream, &query), second);
    pool_deinit(&pool);
}

TEST(a_pool_without_weight_has_nobody_to_pick)
{
    struct pool pool;
    pool_init(&pool, BALANCING_CONSISTENT_HASH, 2);
    pool.weights[0] = pool.weights[1] = 0;
    pool_publish(&pool);
    struct balancer_query query = pool_query(&pool);
    query.has_hash = true;
    assert_null(balancer_pick(pool.upstream, &query));
    pool.weights[0] = 1;
    pool_publish(&pool);
    atomic_store(&pool.targets[0]->health, TARGET_OUT_PROBE);
    assert_null(balancer_pick(pool.upstream, &query));
    pool_deinit(&pool);
}

RUN(T(a_key_stays_with_its_target), T(of_a_hundred_targets_one_that_goes_moves_its_own_keys_only),
    T(it_is_the_name_that_keys_follow_and_not_the_place),
    T(one_that_is_out_for_a_while_gets_its_keys_back), T(keys_are_spread_by_weight),
    T(under_zipf_keys_no_target_has_more_than_five_quarters_of_the_mean),
    T(sessions_stay_even_where_load_is_uneven), T(requests_without_a_key_are_spread),
    T(a_retry_goes_elsewhere_and_to_the_same_place_each_time),
    T(a_pool_without_weight_has_nobody_to_pick))
