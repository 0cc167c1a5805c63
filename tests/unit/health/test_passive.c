/* Rows of results of live traffic, counted by one worker and by many. */
#include "health/passive.h"

#include <pthread.h>
#include <stdlib.h>

#include "health.h"
#include "health/board.h"
#include "health/trial.h"

static struct health_rules *three_of_each(void)
{
    return rules_from("{}", "{\"unhealthy\":{\"http_failures\":3,\"tcp_failures\":3,"
                            "\"timeouts\":3}}");
}

struct fixture {
    struct target_state *target;
    struct health_rules *rules;
};

static struct fixture with(struct health_rules *rules)
{
    return (struct fixture){target_at("10.0.0.1", 80), rules};
}

static void done(struct fixture *f)
{
    target_state_unref(f->target);
    health_rules_unref(f->rules);
}

static enum passive_turn answer(struct fixture *f, uint16_t status)
{
    return passive_answered(f->rules, f->target, status).turn;
}

static enum passive_turn miss(struct fixture *f, enum health_result kind)
{
    return passive_failed(f->rules, f->target, kind).turn;
}

TEST(the_third_failure_in_a_row_takes_a_target_out)
{
    struct fixture f = with(three_of_each());
    assert_int_equal(answer(&f, 500), PASSIVE_NO_TURN);
    assert_int_equal(answer(&f, 503), PASSIVE_NO_TURN);
    assert_true(target_state_is_usable(f.target));
    struct passive_news news = passive_answered(f.rules, f.target, 500);
    assert_int_equal(news.turn, PASSIVE_OUT);
    assert_int_equal(news.cause, HEALTH_HTTP_FAILURE);
    assert_int_equal(news.status, 500);
    assert_int_equal(news.in_a_row, 3);
    assert_int_equal(word_of(f.target), TARGET_OUT_PASSIVE);
    assert_int_equal(answer(&f, 500), PASSIVE_NO_TURN); /* it is told once */
    done(&f);
}

TEST(a_success_ends_all_rows_of_failures)
{
    struct fixture f = with(three_of_each());
    for (int round = 0; round < 4; round++) {
        answer(&f, 500);
        answer(&f, 500);
        miss(&f, HEALTH_TIMEOUT);
        miss(&f, HEALTH_TCP_FAILURE);
        answer(&f, 200);
        assert_int_equal(atomic_load(&f.target->rows), 0);
    }
    assert_true(target_state_is_usable(f.target));
    done(&f);
}

TEST(kinds_of_failures_are_counted_apart)
{
    struct fixture f = with(three_of_each());
    for (int i = 0; i < 2; i++) {
        miss(&f, HEALTH_TIMEOUT);
        miss(&f, HEALTH_TCP_FAILURE);
        answer(&f, 500);
    }
    assert_true(target_state_is_usable(f.target));
    assert_int_equal(miss(&f, HEALTH_TIMEOUT), PASSIVE_OUT);
    done(&f);
}

TEST(a_limit_of_0_counts_nothing)
{
    struct fixture f = with(rules_from("{}", "{\"unhealthy\":{\"tcp_failures\":2}}"));
    for (int i = 0; i < 300; i++) {
        assert_int_equal(answer(&f, 500), PASSIVE_NO_TURN);
        assert_int_equal(miss(&f, HEALTH_TIMEOUT), PASSIVE_NO_TURN);
    }
    assert_int_equal(atomic_load(&f.target->rows), 0);
    done(&f);
}

TEST(a_status_in_neither_list_counts_for_nothing)
{
    struct fixture f = with(three_of_each());
    answer(&f, 500);
    answer(&f, 500);
    answer(&f, 404); /* neither: the row goes on */
    assert_int_equal(answer(&f, 500), PASSIVE_OUT);
    done(&f);
}

TEST(the_largest_limit_is_reached_and_not_passed)
{
    struct fixture f = with(rules_from("{}", "{\"unhealthy\":{\"http_failures\":255}}"));
    for (int i = 1; i < HEALTH_LIMIT_MAX; i++)
        assert_int_equal(answer(&f, 500), PASSIVE_NO_TURN);
    assert_int_equal(answer(&f, 500), PASSIVE_OUT);
    done(&f);
}

TEST(successes_of_requests_under_way_bring_a_target_back_where_a_number_is_given)
{
    struct fixture f = with(rules_from("{}", "{\"healthy\":{\"successes\":2},"
                                             "\"unhealthy\":{\"http_failures\":1}}"));
    assert_int_equal(answer(&f, 500), PASSIVE_OUT);
    assert_int_equal(answer(&f, 200), PASSIVE_NO_TURN);
    assert_int_equal(answer(&f, 500), PASSIVE_NO_TURN); /* ends the row of successes */
    assert_int_equal(answer(&f, 200), PASSIVE_NO_TURN);
    assert_int_equal(answer(&f, 200), PASSIVE_BACK);
    assert_true(target_state_is_usable(f.target));
    done(&f);
}

TEST(without_rules_only_panic_is_looked_at)
{
    struct fixture f = with(NULL);
    assert_int_equal(answer(&f, 500), PASSIVE_NO_TURN);
    assert_int_equal(miss(&f, HEALTH_TCP_FAILURE), PASSIVE_NO_TURN);
    board_hear_consul(f.target, TARGET_OUT_CONSUL, true);
    assert_int_equal(answer(&f, 200), PASSIVE_NO_TURN);
    assert_int_equal(answer(&f, 404), PASSIVE_NO_TURN);
    assert_int_equal(answer(&f, 500), PASSIVE_DISPROVED);
    assert_false(target_state_is_usable(f.target));
    done(&f);
}

/* --- half-open --- */

static struct upstream_state *upstream_of(struct target_state *target)
{
    struct upstream_state *upstream;
    struct endpoints *endpoints;
    const struct endpoint item = {.target = target, .weight = 1};
    assert_int_equal(upstream_state_create(STR("u"), 1, &upstream), 0);
    assert_int_equal(endpoints_create(ENDPOINTS_KNOWN, &item, 1, &endpoints), 0);
    endpoints_destroy(upstream_state_swap(upstream, endpoints));
    return upstream;
}

TEST(a_trial_is_claimed_once_and_decides)
{
    struct fixture f = with(rules_from("{}", "{\"unhealthy\":{\"http_failures\":1}}"));
    struct upstream_state *upstream = upstream_of(f.target);
    trial_offer(upstream, f.target);
    assert_null(trial_claim(upstream, NULL, 0)); /* it is not out */
    answer(&f, 500);
    assert_null(trial_claim(upstream, &f.target, 1)); /* tried by this exchange already */
    assert_ptr_equal(trial_claim(upstream, NULL, 0), f.target);
    assert_null(trial_claim(upstream, NULL, 0));

    /* The client left: somebody else tries. */
    assert_int_equal(trial_end(upstream, f.target, HEALTH_IGNORED, 0).turn, PASSIVE_NO_TURN);
    assert_ptr_equal(trial_claim(upstream, NULL, 0), f.target);
    assert_int_equal(trial_end(upstream, f.target, HEALTH_TIMEOUT, 0).turn, PASSIVE_TRIAL_FAILED);
    assert_false(target_state_is_usable(f.target));
    assert_false(trial_is_on_offer(upstream));

    trial_offer(upstream, f.target);
    assert_ptr_equal(trial_claim(upstream, NULL, 0), f.target);
    assert_int_equal(trial_end(upstream, f.target, HEALTH_SUCCESS, 200).turn, PASSIVE_TRIAL_PASSED);
    assert_true(target_state_is_usable(f.target));

    trial_offer(upstream, f.target);
    trial_withdraw(upstream, f.target);
    trial_withdraw(upstream, f.target);
    assert_int_equal(atomic_load(&upstream->trials), 0);
    upstream_state_unref(upstream);
    done(&f);
}

/* --- many workers --- */

#define WORKERS 4
#define ROUNDS 20000

static struct fixture shared;
static struct upstream_state *shared_upstream;
static _Atomic unsigned turned_out, trials_won;

static void *fail_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++)
        if (miss(&shared, HEALTH_TCP_FAILURE) == PASSIVE_OUT)
            atomic_fetch_add(&turned_out, 1);
    return NULL;
}

static void *succeed_and_fail(void *arg)
{
    unsigned *seed = arg;
    for (int i = 0; i < ROUNDS; i++) {
        answer(&shared, rand_r(seed) % 2 ? 200 : 500);
        if (trial_claim(shared_upstream, NULL, 0)) {
            atomic_fetch_add(&trials_won, 1);
            trial_end(shared_upstream, shared.target, HEALTH_SUCCESS, 200);
        }
        trial_offer(shared_upstream, shared.target);
    }
    return NULL;
}

static void run_workers(void *(*work)(void *arg))
{
    pthread_t threads[WORKERS];
    unsigned seeds[WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        seeds[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &seeds[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
}

TEST(many_workers_take_a_target_out_once)
{
    shared = with(three_of_each());
    atomic_store(&turned_out, 0);
    run_workers(fail_often);
    assert_int_equal(atomic_load(&turned_out), 1);
    assert_int_equal(word_of(shared.target), TARGET_OUT_PASSIVE);
    done(&shared);
}

TEST(many_workers_count_and_try_side_by_side)
{
    shared = with(three_of_each());
    shared_upstream = upstream_of(shared.target);
    run_workers(succeed_and_fail);
    trial_withdraw(shared_upstream, shared.target);
    assert_int_equal(atomic_load(&shared_upstream->trials), 0);
    assert_int_equal(word_of(shared.target) & ~(uint32_t)TARGET_OUT_PASSIVE, 0);
    upstream_state_unref(shared_upstream);
    done(&shared);
}

RUN(T(the_third_failure_in_a_row_takes_a_target_out), T(a_success_ends_all_rows_of_failures),
    T(kinds_of_failures_are_counted_apart), T(a_limit_of_0_counts_nothing),
    T(a_status_in_neither_list_counts_for_nothing), T(the_largest_limit_is_reached_and_not_passed),
    T(successes_of_requests_under_way_bring_a_target_back_where_a_number_is_given),
    T(without_rules_only_panic_is_looked_at), T(a_trial_is_claimed_once_and_decides),
    T(many_workers_take_a_target_out_once), T(many_workers_count_and_try_side_by_side))
