#include "unit/test.h"

#include <stdio.h>
#include <string.h>

#include <uv.h>

#include "discovery/bell_table.h"

struct heard {
    unsigned count;
    enum bell_subject subject[16];
    uint64_t key[16];
};

static void on_ring(void *arg, enum bell_subject subject, uint64_t key)
{
    struct heard *heard = arg;
    assert_true(heard->count < 16);
    heard->subject[heard->count] = subject;
    heard->key[heard->count++] = key;
}

static int checks(struct bell_table *table, struct heard *heard, const char *body)
{
    *heard = (struct heard){0};
    bell_table_begin(table);
    for (const char *at = body; *at; at++) /* in the smallest pieces */
        bell_table_feed(table, str_make(at, 1));
    return bell_table_end(table, on_ring, heard);
}

static int catalog(struct bell_table *table, struct heard *heard, const char *body)
{
    *heard = (struct heard){0};
    return bell_table_take_catalog(table, str_of(body), on_ring, heard);
}

static bool has_rung(const struct bell_table *table, const struct heard *heard,
                     enum bell_subject subject, const char *name)
{
    for (unsigned i = 0; i < heard->count; i++)
        if (heard->subject[i] == subject && heard->key[i] == bell_table_key(table, str_of(name)))
            return true;
    return false;
}

#define A "{\"Node\":\"n1\",\"CheckID\":\"a\",\"ServiceName\":\"a\",\"Status\":\"passing\"}"
#define A_CRITICAL                                                                                 \
    "{\"Node\":\"n1\",\"CheckID\":\"a\",\"ServiceName\":\"a\",\"Status\":\"critical\"}"
#define B "{\"Node\":\"n1\",\"CheckID\":\"b\",\"ServiceName\":\"b\",\"Status\":\"passing\"}"
#define NODE                                                                                       \
    "{\"Node\":\"n1\",\"CheckID\":\"serfHealth\",\"ServiceName\":\"\",\"Status\":\"passing\"}"
#define NODE_CRITICAL                                                                              \
    "{\"Node\":\"n1\",\"CheckID\":\"serfHealth\",\"ServiceName\":\"\",\"Status\":\"critical\"}"

TEST(a_first_answer_rings_nobody)
{
    struct bell_table table;
    struct heard heard;
    bell_table_init(&table);
    assert_int_equal(checks(&table, &heard, "[" A "," B "," NODE "]"), 0);
    assert_int_equal(heard.count, 0);
    assert_int_equal(checks(&table, &heard, "[" NODE "," B "," A "]"), 0);
    assert_int_equal(heard.count, 0); /* the order says nothing */
    bell_table_deinit(&table);
}

TEST(what_changes_comes_or_goes_is_rung_and_nobody_else)
{
    struct bell_table table;
    struct heard heard;
    bell_table_init(&table);
    checks(&table, &heard, "[" A "," B "]");
    checks(&table, &heard, "[" A_CRITICAL "," B "]");
    assert_true(has_rung(&table, &heard, BELL_SERVICE, "a"));
    assert_false(has_rung(&table, &heard, BELL_SERVICE, "b"));
    checks(&table, &heard, "[" A_CRITICAL "]");
    assert_int_equal(heard.count, 1);
    assert_true(has_rung(&table, &heard, BELL_SERVICE, "b"));
    checks(&table, &heard, "[" A_CRITICAL "," B "]");
    assert_int_equal(heard.count, 1);
    assert_true(has_rung(&table, &heard, BELL_SERVICE, "B")); /* case does not matter to Consul */
    bell_table_deinit(&table);
}

TEST(a_check_of_a_node_rings_the_node)
{
    struct bell_table table;
    struct heard heard;
    bell_table_init(&table);
    checks(&table, &heard, "[" A "," NODE "]");
    checks(&table, &heard, "[" A "," NODE_CRITICAL "]");
    assert_true(has_rung(&table, &heard, BELL_NODE, "n1"));
    assert_false(has_rung(&table, &heard, BELL_SERVICE, "a"));
    bell_table_deinit(&table);
}

TEST(an_answer_that_is_no_list_changes_nothing)
{
    static const char *const bodies[] = {"", "{}", "[" A, "[" A "]x", "null", "[" A "," B};
    struct bell_table table;
    struct heard heard;
    bell_table_init(&table);
    checks(&table, &heard, "[" A "," B "]");
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        assert_int_equal(checks(&table, &heard, bodies[i]), UV_EINVAL);
        assert_int_equal(heard.count, 0);
    }
    checks(&table, &heard, "[" A "," B "]");
    assert_int_equal(heard.count, 0);
    bell_table_deinit(&table);
}

TEST(entries_that_are_no_checks_are_passed_over)
{
    struct bell_table table;
    struct heard heard;
    bell_table_init(&table);
    checks(&table, &heard, "[" A "]");
    assert_int_equal(
        checks(&table, &heard, "[1,null,{},\"x\",{\"ServiceName\":7},{\"Node\":[]},!," A "]"), 0);
    assert_int_equal(heard.count, 0);
    bell_table_deinit(&table);
}

TEST(tags_count_in_any_order)
{
    struct bell_table table;
    struct heard heard;
    bell_table_init(&table);
    catalog(&table, &heard, "{\"a\":[\"x\",\"y\"],\"b\":[]}");
    assert_int_equal(heard.count, 0);
    catalog(&table, &heard, "{\"b\":[],\"a\":[\"y\",\"x\"]}");
    assert_int_equal(heard.count, 0);
    catalog(&table, &heard, "{\"b\":[],\"a\":[\"y\"],\"c\":[]}");
    assert_true(has_rung(&table, &heard, BELL_SERVICE, "a"));
    assert_true(has_rung(&table, &heard, BELL_SERVICE, "c"));
    assert_false(has_rung(&table, &heard, BELL_SERVICE, "b"));
    assert_int_equal(catalog(&table, &heard, "[]"), UV_EINVAL);
    assert_int_equal(catalog(&table, &heard, "{\"a\":"), UV_EINVAL);
    bell_table_deinit(&table);
}

TEST(what_is_forgotten_is_not_compared_with)
{
    struct bell_table table;
    struct heard heard;
    bell_table_init(&table);
    checks(&table, &heard, "[" A "," B "]");
    bell_table_forget(&table);
    checks(&table, &heard, "[]");
    assert_int_equal(heard.count, 0);
    checks(&table, &heard, "[" A "]");
    assert_int_equal(heard.count, 1);
    bell_table_deinit(&table);
}

RUN(T(a_first_answer_rings_nobody), T(what_changes_comes_or_goes_is_rung_and_nobody_else),
    T(a_check_of_a_node_rings_the_node), T(an_answer_that_is_no_list_changes_nothing),
    T(entries_that_are_no_checks_are_passed_over), T(tags_count_in_any_order),
    T(what_is_forgotten_is_not_compared_with))
