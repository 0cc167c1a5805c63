#include "model/compiled_route.h"

#include <stdio.h>

#include "unit/test.h"

#define ROW_COUNT 6

static json_t *rows[ROW_COUNT];

static json_t *make_row(int number)
{
    return json_pack("{s:o, s:s, s:[s], s:[s], s:[s,s]}", "id",
                     json_sprintf("00000000-0000-4000-8000-%012d", number), "name", "r", "paths",
                     "/a", "hosts", "Example.COM", "protocols", "http", "https");
}

static void make_rows(void)
{
    for (int i = 0; i < ROW_COUNT; i++)
        rows[i] = make_row(i);
}

static void drop_rows(void)
{
    for (int i = 0; i < ROW_COUNT; i++)
        json_decref(rows[i]);
}

/* Compiles rows[from..to), leaving `out` out (-1: none). Returns how many were compiled anew. */
static unsigned compile(struct route_cache *cache, int from, int to, int out)
{
    struct route_cache now = {0};
    struct route_cache_cursor cursor = {.before = cache};
    unsigned fresh = 0;
    for (int i = from; i < to; i++) {
        if (i == out)
            continue;
        struct compiled_route *compiled = route_cache_next(&cursor, &now, rows[i]);
        assert_non_null(compiled);
        assert_true(str_equal(compiled->route.id,
                              str_of(json_string_value(json_object_get(rows[i], "id")))));
        fresh += atomic_load(&compiled->refs) == 1;
    }
    route_cache_deinit(cache);
    *cache = now;
    return fresh;
}

TEST(rows_that_stay_are_not_compiled_again)
{
    struct route_cache cache = {0};
    make_rows();
    assert_int_equal(compile(&cache, 0, ROW_COUNT, -1), ROW_COUNT);
    assert_int_equal(compile(&cache, 0, ROW_COUNT, -1), 0);
    route_cache_deinit(&cache);
    drop_rows();
}

TEST(one_that_is_replaced_goes_or_comes_is_the_only_one)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        struct route_cache cache = {0};
        make_rows();
        compile(&cache, 0, ROW_COUNT, -1);
        json_t *old = rows[i];
        rows[i] = make_row(i);
        assert_int_equal(compile(&cache, 0, ROW_COUNT, -1), 1);
        json_decref(old);
        assert_int_equal(compile(&cache, 0, ROW_COUNT, i), 0);
        assert_int_equal(compile(&cache, 0, ROW_COUNT, -1), 1);
        route_cache_deinit(&cache);
        drop_rows();
    }
}

TEST(after_a_large_change_all_is_right_again)
{
    struct route_cache cache = {0};
    make_rows();
    compile(&cache, 0, ROW_COUNT, -1);
    compile(&cache, 4, ROW_COUNT, -1); /* four went: what is right is checked in there */
    assert_int_equal(compile(&cache, 4, ROW_COUNT, -1), 0);
    compile(&cache, 0, ROW_COUNT, -1);
    assert_int_equal(compile(&cache, 0, ROW_COUNT, -1), 0);
    route_cache_deinit(&cache);
    drop_rows();
}

TEST(a_compiled_route_owes_nothing_to_its_row)
{
    json_t *row = json_loads("{\"id\":\"i\",\"name\":\"n\",\"paths\":[\"/a\",\"~/b\"],"
                             "\"hosts\":[\"A.b\"],\"snis\":[\"S\"],\"methods\":[\"GET\"],"
                             "\"headers\":{\"X-A\":[\"One\",\"Two\"],\"X-B\":[\"~*^A$\"]},"
                             "\"protocols\":[\"https\"],\"service\":{\"id\":\"s\"}}",
                             0, NULL);
    struct compiled_route *compiled = compiled_route_create(row);
    json_decref(row);
    const struct route *route = &compiled->route;
    assert_true(str_equal(route->id, STR("i")) && str_equal(route->name, STR("n")));
    assert_int_equal(route->path_count, 2);
    assert_true(str_equal(route->paths[1], STR("~/b")));
    assert_true(str_equal(route->hosts[0], STR("a.b")));
    assert_true(str_equal(route->snis[0], STR("s")));
    assert_true(str_equal(route->methods[0], STR("GET")));
    assert_int_equal(route->header_count, 2);
    assert_true(str_equal(route->headers[0].name, STR("x-a")));
    assert_true(str_equal(route->headers[0].values[1], STR("two")));
    assert_true(str_equal(route->headers[1].values[0], STR("~*^A$")));
    assert_int_equal(route->protocols, PROTOCOL_HTTPS);
    assert_int_equal(route->https_redirect_status_code, 426);
    assert_true(str_equal(compiled->service_id, STR("s")));
    compiled_route_unref(compiled);
}

RUN(T(rows_that_stay_are_not_compiled_again), T(one_that_is_replaced_goes_or_comes_is_the_only_one),
    T(after_a_large_change_all_is_right_again), T(a_compiled_route_owes_nothing_to_its_row))
