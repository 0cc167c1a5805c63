#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <llhttp.h>

#include "proxy/retry.h"

/* A GET whose connection was reset after it was sent, on the first of six tries. */
static struct retry_case sent_get(void)
{
    return (struct retry_case){.failure = TRY_RESET,
                               .method = HTTP_GET,
                               .was_sent = true,
                               .is_replayable = true,
                               .retries = 5};
}

static void a_get_is_tried_elsewhere(void **state)
{
    (void)state;
    const enum try_failure failures[] = {TRY_CONNECT_FAILED, TRY_CONNECT_TIMEOUT, TRY_RESET,
                                         TRY_SEND_TIMEOUT, TRY_READ_TIMEOUT};
    struct retry_case facts = sent_get();
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        facts.failure = failures[i];
        assert_int_equal(retry_judge(&facts), RETRY_ELSEWHERE);
    }
    facts.failure = TRY_BAD_RESPONSE;
    assert_int_equal(retry_judge(&facts), RETRY_NO);
}

static void a_post_is_tried_elsewhere_only_when_it_was_not_sent(void **state)
{
    (void)state;
    const uint8_t methods[] = {HTTP_POST, HTTP_PATCH, HTTP_LOCK};
    struct retry_case facts = sent_get();
    for (size_t i = 0; i < sizeof(methods); i++) {
        facts.method = methods[i];
        facts.was_sent = true;
        assert_int_equal(retry_judge(&facts), RETRY_NO);
        facts.was_sent = false;
        assert_int_equal(retry_judge(&facts), RETRY_ELSEWHERE);
    }
}

static void tries_are_limited(void **state)
{
    (void)state;
    struct retry_case facts = sent_get();
    facts.retries = 1;
    assert_int_equal(retry_judge(&facts), RETRY_ELSEWHERE);
    facts.try_count = 1;
    assert_int_equal(retry_judge(&facts), RETRY_NO);
    facts.retries = 32767;
    facts.try_count = RETRY_MAX_TRIES;
    assert_int_equal(retry_judge(&facts), RETRY_NO);
}

static void content_that_is_not_at_hand_cannot_be_repeated(void **state)
{
    (void)state;
    struct retry_case facts = sent_get();
    facts.is_replayable = false;
    assert_int_equal(retry_judge(&facts), RETRY_NO);
}

static void a_kept_connection_found_dead_is_no_try(void **state)
{
    (void)state;
    struct retry_case facts = sent_get();
    facts.is_reused = true;
    facts.retries = 0;
    assert_int_equal(retry_judge(&facts), RETRY_AFRESH);
    facts.needs_fresh = true; /* once is enough */
    assert_int_equal(retry_judge(&facts), RETRY_NO);
    facts.needs_fresh = false;
    facts.has_news = true; /* it was not dead */
    assert_int_equal(retry_judge(&facts), RETRY_NO);
    facts.has_news = false;
    facts.method = HTTP_POST; /* may have been done */
    assert_int_equal(retry_judge(&facts), RETRY_NO);
}

static void no_try_begins_after_the_total_time(void **state)
{
    (void)state;
    struct retry_case facts = sent_get();
    facts.is_late = true;
    assert_int_equal(retry_judge(&facts), RETRY_NO);
}

static void a_refused_connection_costs_nothing(void **state)
{
    (void)state;
    assert_false(retry_costs(TRY_CONNECT_FAILED));
    assert_true(retry_costs(TRY_CONNECT_TIMEOUT));
    assert_true(retry_costs(TRY_RESET));
    assert_true(retry_costs(TRY_READ_TIMEOUT));
}

static void timeouts_are_504_all_else_502(void **state)
{
    (void)state;
    assert_int_equal(retry_status(TRY_CONNECT_TIMEOUT), 504);
    assert_int_equal(retry_status(TRY_SEND_TIMEOUT), 504);
    assert_int_equal(retry_status(TRY_READ_TIMEOUT), 504);
    assert_int_equal(retry_status(TRY_CONNECT_FAILED), 502);
    assert_int_equal(retry_status(TRY_RESET), 502);
    assert_int_equal(retry_status(TRY_BAD_RESPONSE), 502);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_is_tried_elsewhere),
        cmocka_unit_test(a_post_is_tried_elsewhere_only_when_it_was_not_sent),
        cmocka_unit_test(tries_are_limited),
        cmocka_unit_test(content_that_is_not_at_hand_cannot_be_repeated),
        cmocka_unit_test(a_kept_connection_found_dead_is_no_try),
        cmocka_unit_test(no_try_begins_after_the_total_time),
        cmocka_unit_test(a_refused_connection_costs_nothing),
        cmocka_unit_test(timeouts_are_504_all_else_502),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
