/* suite.h - what every engine must do, as tests: included by the test of each engine, after its own
 * open_store, close_store, loop, store and err. */
#ifndef TESTS_UNIT_STORE_SUITE_H
#define TESTS_UNIT_STORE_SUITE_H

#include "commits.h"

static void what_was_put_is_loaded_again(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_string_equal(load(), "");
    assert_int_equal(COMMIT(PUT("services", "s2", "{\"name\":\"b\"}"),
                            PUT("routes", "r1", "{}", REF("service", "services", "s2")),
                            PUT("services", "s1", "{\"name\":\"ä\"}")),
                     0);
    static const char expected[] = "routes r1 {}\n"
                                   "services s1 {\"name\":\"ä\"}\n"
                                   "services s2 {\"name\":\"b\"}\n";
    assert_string_equal(load(), expected);
    close_store();
    assert_int_equal(open_store(), 0);
    assert_string_equal(load(), expected);
}

static void a_row_is_replaced_and_removed(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1", KEY("name", "a"))), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "2", KEY("name", "a"))), 0);
    assert_string_equal(load(), "services s1 2\n");
    assert_int_equal(COMMIT(REMOVE("services", "s1")), 0);
    assert_int_equal(COMMIT(REMOVE("services", "s1")), 0); /* what is gone is gone */
    assert_string_equal(load(), "");
    assert_int_equal(COMMIT(PUT("services", "s2", "3", KEY("name", "a"))), 0); /* free again */
}

static int refuse(void *arg, const char *kind, const char *id, const char *body)
{
    (void)kind, (void)id, (void)body;
    ++*(int *)arg;
    return UV_EINVAL;
}

static void what_load_all_is_told_stops_it(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1"), PUT("services", "s2", "2")), 0);
    int calls = 0;
    assert_int_equal(store_load_all(store, refuse, &calls, &err), UV_EINVAL);
    assert_int_equal(calls, 1);
    assert_non_null(strstr(err.sentence, "holds a row that can't be loaded: services 00000000-"));
}

static void a_taken_value_is_refused(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1", KEY("name", "a"))), 0);
    assert_int_equal(COMMIT(PUT("services", "s2", "2", KEY("name", "a"))), UV_EEXIST);
    assert_int_equal(COMMIT(PUT("routes", "r1", "3", KEY("name", "a"))), 0);   /* another kind */
    assert_int_equal(COMMIT(PUT("services", "s2", "4", KEY("path", "a"))), 0); /* another field */
    assert_int_equal(store_is_reachable(store), 1);
    assert_string_equal(load(), "routes r1 3\nservices s1 1\nservices s2 4\n");
}

static void two_rows_may_swap_a_value_in_one_commit(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1", KEY("name", "a")),
                            PUT("services", "s2", "2", KEY("name", "b"))),
                     0);
    assert_int_equal(COMMIT(PUT("services", "s1", "3", KEY("name", "b")),
                            PUT("services", "s2", "4", KEY("name", "a"))),
                     0);
    assert_int_equal(COMMIT(PUT("services", "s3", "5", KEY("name", "a")), REMOVE("services", "s2")),
                     0);
}

static void a_row_named_twice_ends_as_the_last_op_says(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1", KEY("name", "a")),
                            PUT("services", "s1", "2", KEY("name", "b")),
                            PUT("services", "s2", "3", KEY("name", "a")),
                            PUT("services", "s3", "4", KEY("name", "c")), REMOVE("services", "s3")),
                     0);
    assert_string_equal(load(), "services s1 2\nservices s2 3\n");
}

static void a_reference_to_nothing_is_refused(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("routes", "r1", "1", REF("service", "services", "s1"))), UV_ENOENT);
    assert_int_equal(COMMIT(PUT("routes", "r1", "1", REF("service", "services", "s1")),
                            PUT("services", "s1", "2")),
                     0); /* in whatever order */
    assert_int_equal(COMMIT(PUT("routes", "r2", "1", REF("service", "services", "s1")),
                            REMOVE("routes", "r1"), REMOVE("services", "s1")),
                     UV_ENOENT);
    assert_string_equal(load(), "routes r1 1\nservices s1 2\n");
}

static void a_row_that_is_referred_to_stays(void **state)
{
    (void)state;
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", "1"), PUT("services", "s2", "2"),
                            PUT("routes", "r1", "3", REF("service", "services", "s1"))),
                     0);
    assert_int_equal(COMMIT(REMOVE("services", "s1")), UV_EBUSY);
    assert_int_equal(COMMIT(REMOVE("services", "s1"), REMOVE("routes", "r1")), 0);
    assert_int_equal(COMMIT(PUT("routes", "r1", "3", REF("service", "services", "s2"))), 0);
    assert_int_equal(COMMIT(PUT("routes", "r1", "4")), 0); /* lets go of it */
    assert_int_equal(COMMIT(REMOVE("services", "s2")), 0);
}

static void texts_are_kept_byte_for_byte(void **state)
{
    (void)state;
    static const char body[] = "{\"b\": 1.0,  \"a\":[\"\\u00e4\\\\{},'\"],\"c\":1e3}";
    assert_int_equal(open_store(), 0);
    assert_int_equal(COMMIT(PUT("services", "s1", body, KEY("na,me", "{\"a\\'b\",NULL}"))), 0);
    assert_int_equal(COMMIT(PUT("services", "s2", "{}", KEY("na,me", "{\"a\\'b\",NULL}"))),
                     UV_EEXIST);
    assert_int_equal(COMMIT(PUT("services", "s3", "{}", KEY("na,me", "NULL"))), 0);
    char expected[128];
    snprintf(expected, sizeof(expected), "services s1 %s\nservices s3 {}\n", body);
    assert_string_equal(load(), expected);
}

static int finished;

static void on_in_order(void *arg, int rc)
{
    assert_int_equal(rc, 0);
    assert_int_equal((intptr_t)arg, finished++);
}

static void commits_are_carried_out_in_order(void **state)
{
    (void)state;
    struct store_op op = PUT("services", "s1", NULL);
    assert_int_equal(open_store(), 0);
    finished = 0;
    for (int i = 0; i < 100; i++) {
        char body[16];
        snprintf(body, sizeof(body), "%d", i);
        op.body = body; /* copied: the next round overwrites it */
        assert_int_equal(store_commit(store, &op, 1, on_in_order, (void *)(intptr_t)i), 0);
    }
    close_store(); /* ends after those under way */
    assert_int_equal(finished, 100);
    assert_int_equal(open_store(), 0);
    assert_string_equal(load(), "services s1 99\n");
}

#define SUITE_TESTS                                                                                \
    TEST(what_was_put_is_loaded_again), TEST(a_row_is_replaced_and_removed),                       \
        TEST(what_load_all_is_told_stops_it), TEST(a_taken_value_is_refused),                      \
        TEST(two_rows_may_swap_a_value_in_one_commit),                                             \
        TEST(a_row_named_twice_ends_as_the_last_op_says), TEST(a_reference_to_nothing_is_refused), \
        TEST(a_row_that_is_referred_to_stays), TEST(texts_are_kept_byte_for_byte),                 \
        TEST(commits_are_carried_out_in_order)

#endif
