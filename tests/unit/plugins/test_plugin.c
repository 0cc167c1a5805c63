#include "plugins/plugin.h"

#include <stdio.h>

#include "unit/plugins/plugins.h"

#define HEAD(target, fields) "GET " target " HTTP/1.1\r\nHost: h\r\n" fields "\r\n"

TEST(lines_are_found_and_dropped_by_name)
{
    struct arena arena;
    struct str lines = STR_EMPTY;
    arena_init(&arena, 4096, 1 << 20);
    assert_true(plugin_add_line(&arena, &lines, STR("A"), STR("1")));
    assert_true(plugin_add_line(&arena, &lines, STR("AB"), STR("2")));
    assert_true(plugin_add_line(&arena, &lines, STR("a"), STR("3")));
    assert_str(lines, "A: 1\r\nAB: 2\r\na: 3\r\n");
    assert_str(plugin_find_line(lines, STR("ab")), "2");
    assert_null(plugin_find_line(lines, STR("b")).ptr);
    plugin_drop_lines(&lines, STR("A"));
    assert_str(lines, "AB: 2\r\n");
    plugin_drop_lines(&lines, STR("ab"));
    assert_str(lines, "");
    arena_deinit(&arena);
}

TEST(many_lines_take_little_more_than_they_are_long)
{
    struct arena arena;
    struct str lines = STR_EMPTY;
    char name[16];
    arena_init(&arena, 4096, 16384);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "Name-%u", i);
        assert_true(plugin_add_line(&arena, &lines, str_of(name), STR("value")));
        if (i % 3 == 0)
            plugin_drop_lines(&lines, str_of(name));
    }
    assert_null(plugin_find_line(lines, STR("Name-198")).ptr);
    assert_str(plugin_find_line(lines, STR("Name-199")), "value");
    assert_str(plugin_find_line(lines, STR("Name-1")), "value");
    arena_deinit(&arena);
}

TEST(nothing_that_ends_a_line_gets_into_one)
{
    struct arena arena;
    struct str lines = STR_EMPTY;
    arena_init(&arena, 4096, 1 << 20);
    assert_false(plugin_add_line(&arena, &lines, STR("A"), STR("1\r\nB: 2")));
    assert_false(plugin_add_line(&arena, &lines, STR("A"), STR("1\n")));
    assert_false(plugin_add_line(&arena, &lines, STR("A"), str_make("a\0b", 3)));
    assert_false(plugin_add_line(&arena, &lines, STR(""), STR("1")));
    assert_true(plugin_add_line(&arena, &lines, STR("A"), STR("\xc3\xa4\t1")));
    assert_str(lines, "A: \xc3\xa4\t1\r\n");
    arena_deinit(&arena);
}

TEST(a_set_field_stands_alone)
{
    struct seen seen;
    struct str lines = STR_EMPTY;
    seen_init(&seen, HEAD("/", "X: 1\r\nY: 2\r\nx: 3\r\n"));
    assert_int_equal(plugin_count_fields(&seen.head, STR("X")), 2);
    assert_true(plugin_has(&seen.head, lines, STR("x")));
    plugin_set(&seen.arena, &seen.head, &lines, STR("X"), STR("4"));
    plugin_set(&seen.arena, &seen.head, &lines, STR("X"), STR("5"));
    assert_str(lines, "X: 5\r\n");
    assert_true(seen.head.fields[1].is_hop_by_hop);
    assert_false(seen.head.fields[2].is_hop_by_hop);
    assert_true(seen.head.fields[3].is_hop_by_hop);
    plugin_drop(&seen.head, &lines, STR("x"));
    assert_false(plugin_has(&seen.head, lines, STR("x")));
    seen_deinit(&seen);
}

TEST(framing_is_not_for_plugins)
{
    assert_true(plugin_is_reserved(STR("content-LENGTH")));
    assert_true(plugin_is_reserved(STR("Transfer-Encoding")));
    assert_true(plugin_is_reserved(STR("Connection")));
    assert_false(plugin_is_reserved(STR("Content-Type")));
    assert_false(plugin_is_reserved(STR("X")));
}

TEST(arguments_are_found_by_what_they_mean)
{
    struct seen seen;
    unsigned count;
    seen_init(&seen, HEAD("/?a=1&%61=2&b&c=x+%2B%zz&ab=3&", ""));
    assert_str(plugin_find_argument(&seen.request, STR("a"), &count), "1");
    assert_int_equal(count, 2);
    assert_str(plugin_find_argument(&seen.request, STR("b"), &count), "");
    assert_int_equal(count, 1);
    assert_str(plugin_find_argument(&seen.request, STR("c"), NULL), "x +%zz");
    assert_null(plugin_find_argument(&seen.request, STR("d"), &count).ptr);
    assert_int_equal(count, 0);
    seen_deinit(&seen);
}

TEST(to_compare_an_argument_costs_no_memory)
{
    struct seen seen;
    unsigned count;
    seen_init(&seen, HEAD("/?%61=1&%61b=2&%62%6=3&+=4", ""));
    assert_non_null(arena_alloc(&seen.arena, seen.arena.max_bytes));
    assert_null(plugin_find_argument(&seen.request, STR("%"), &count).ptr);
    assert_null(plugin_find_argument(&seen.request, STR("ab%"), &count).ptr);
    assert_false(seen.arena.ran_out);
    plugin_find_argument(&seen.request, STR(" "), &count);
    assert_int_equal(count, 1);
    plugin_find_argument(&seen.request, STR("b%6"), &count);
    assert_int_equal(count, 1);
    seen_deinit(&seen);
}

TEST(an_argument_goes_and_the_others_stay_as_they_were)
{
    struct seen seen;
    seen_init(&seen, HEAD("/?a=1&b=%20&%61=2&c", ""));
    plugin_drop_argument(&seen.request, STR("d"));
    assert_str(seen.uri.query, "a=1&b=%20&%61=2&c");
    plugin_drop_argument(&seen.request, STR("a"));
    assert_str(seen.uri.query, "b=%20&c");
    plugin_drop_argument(&seen.request, STR("c"));
    plugin_drop_argument(&seen.request, STR("b"));
    assert_false(seen.uri.has_query);
    seen_deinit(&seen);
}

TEST(a_message_is_escaped)
{
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    assert_str(plugin_message_body(&arena, STR("say \"no\"")), "{\"message\":\"say \\\"no\\\"\"}");
    arena_deinit(&arena);
}

RUN(T(lines_are_found_and_dropped_by_name), T(many_lines_take_little_more_than_they_are_long),
    T(nothing_that_ends_a_line_gets_into_one), T(a_set_field_stands_alone),
    T(framing_is_not_for_plugins), T(arguments_are_found_by_what_they_mean),
    T(to_compare_an_argument_costs_no_memory), T(an_argument_goes_and_the_others_stay_as_they_were),
    T(a_message_is_escaped))
