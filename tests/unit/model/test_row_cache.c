#include "model/row_cache.h"

#include "model/entity.h"
#include "unit/test.h"

#define ROW_COUNT 6

static struct packed_row *rows[ROW_COUNT];

static struct packed_row *make_row(int number)
{
    json_t *json = json_pack("{s:o}", "id", json_sprintf("00000000-0000-4000-8000-%012d", number));
    struct packed_row *row = packed_row_create(row_layout_of(entity_find(STR("services"))), json);
    json_decref(json);
    return row;
}

static void make_rows(void)
{
    for (int i = 0; i < ROW_COUNT; i++)
        rows[i] = make_row(i);
}

static void drop_rows(void)
{
    for (int i = 0; i < ROW_COUNT; i++)
        packed_row_unref(rows[i]);
}

/* What is made of a row here: its id again. */
static void *make(const struct packed_row *row)
{
    return packed_row_get(row, "id");
}

static void unref(void *made)
{
    json_decref(made);
}

/* Walks rows[from..to), leaving `out` out (-1: none). Returns how many were made anew. */
static unsigned walk(struct row_cache *cache, int from, int to, int out)
{
    struct row_cache now = {.unref = unref};
    struct row_cache_cursor cursor = {.before = cache};
    unsigned fresh = 0;
    for (int i = from; i < to; i++) {
        if (i == out)
            continue;
        json_t *made = row_cache_move(&cursor, rows[i], &now);
        fresh += made == NULL;
        if (!made) {
            made = make(rows[i]);
            assert_int_equal(row_cache_add(&now, rows[i], made), 0);
        }
        assert_string_equal(json_string_value(made), packed_row_id(rows[i]));
    }
    row_cache_clear(cache);
    *cache = now;
    return fresh;
}

TEST(what_was_made_of_rows_that_stay_is_kept)
{
    struct row_cache cache = {.unref = unref};
    make_rows();
    assert_int_equal(walk(&cache, 0, ROW_COUNT, -1), ROW_COUNT);
    assert_int_equal(walk(&cache, 0, ROW_COUNT, -1), 0);
    row_cache_clear(&cache);
    drop_rows();
}

TEST(one_that_is_replaced_goes_or_comes_is_the_only_one)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        struct row_cache cache = {.unref = unref};
        make_rows();
        walk(&cache, 0, ROW_COUNT, -1);
        struct packed_row *old = rows[i];
        rows[i] = make_row(i);
        assert_int_equal(walk(&cache, 0, ROW_COUNT, -1), 1);
        packed_row_unref(old);
        assert_int_equal(walk(&cache, 0, ROW_COUNT, i), 0);
        assert_int_equal(walk(&cache, 0, ROW_COUNT, -1), 1);
        row_cache_clear(&cache);
        drop_rows();
    }
}

TEST(however_much_has_changed_the_rest_is_kept)
{
    struct row_cache cache = {.unref = unref};
    make_rows();
    walk(&cache, 0, ROW_COUNT, -1);
    assert_int_equal(walk(&cache, 4, ROW_COUNT, -1), 0); /* four went */
    assert_int_equal(walk(&cache, 0, ROW_COUNT, 5), 4);  /* they came, and one of the others went */
    assert_int_equal(walk(&cache, 0, ROW_COUNT, -1), 1);
    row_cache_clear(&cache);
    drop_rows();
}

TEST(a_row_is_found_by_its_id)
{
    struct row_cache cache = {.unref = unref};
    make_rows();
    walk(&cache, 0, ROW_COUNT, 2);
    assert_int_equal(row_cache_find(&cache, str_of("00000000-0000-4000-8000-000000000000")), 0);
    assert_int_equal(row_cache_find(&cache, str_of("00000000-0000-4000-8000-000000000005")), 4);
    assert_int_equal(row_cache_find(&cache, str_of("00000000-0000-4000-8000-000000000002")),
                     cache.count);
    assert_int_equal(row_cache_find(&cache, str_of("ffffffff-0000-4000-8000-000000000002")),
                     cache.count);
    row_cache_clear(&cache);
    drop_rows();
}

RUN(T(what_was_made_of_rows_that_stay_is_kept),
    T(one_that_is_replaced_goes_or_comes_is_the_only_one),
    T(however_much_has_changed_the_rest_is_kept), T(a_row_is_found_by_its_id))
