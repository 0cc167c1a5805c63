/* arena, buf and map: the three ways to hold memory. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"

#include <stdalign.h>
#include <stdio.h>

#include <uv.h>

#include "unit/test.h"

TEST(a_warm_arena_hands_out_the_same_memory_again)
{
    struct arena arena;
    arena_init(&arena, 1024, 1 << 20);
    void *first = arena_alloc(&arena, 100);
    arena_alloc(&arena, 5000); /* a block of its own */
    arena_reset(&arena);
    assert_ptr_equal(arena_alloc(&arena, 100), first);
    assert_int_equal(arena.total_bytes, 1024);
    arena_deinit(&arena);
}

TEST(arena_pieces_are_aligned_and_copies_terminated)
{
    struct arena arena;
    arena_init(&arena, 256, 1 << 20);
    struct str copy = arena_copy(&arena, STR("abc"));
    assert_string_equal(copy.ptr, "abc");
    assert_int_equal((uintptr_t)arena_alloc(&arena, 1) % alignof(max_align_t), 0);
    arena_deinit(&arena);
}

TEST(an_arena_refuses_more_than_its_maximum)
{
    struct arena arena;
    arena_init(&arena, 256, 1024);
    assert_non_null(arena_alloc(&arena, 900));
    assert_false(arena.ran_out);
    assert_null(arena_alloc(&arena, 900));
    assert_true(arena.ran_out);
    assert_non_null(arena_alloc(&arena, 1));
    assert_true(arena.ran_out); /* until all is forgotten */
    arena_reset(&arena);
    assert_false(arena.ran_out);
    assert_null(arena_alloc(&arena, SIZE_MAX - 3));
    assert_true(arena.ran_out);
    arena_deinit(&arena);
}

TEST(a_queue_keeps_its_order_and_its_maximum)
{
    struct buf buf;
    buf_init(&buf, 1000);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf_printf(&buf, "%05d", i), 0);
        if (i >= 50) {
            char expected[8];
            snprintf(expected, sizeof(expected), "%05d", i - 50);
            assert_true(str_starts_with(buf_str(&buf), str_of(expected)));
            buf_consume(&buf, 5);
        }
    }
    assert_int_equal(buf_len(&buf), 250);
    char large[800] = {0};
    assert_int_equal(buf_append(&buf, large, sizeof(large)), UV_ENOBUFS);
    assert_int_equal(buf_len(&buf), 250);
    assert_int_equal(buf_append(&buf, large, 750), 0);
    buf_deinit(&buf);
}

TEST(a_map_finds_what_was_put_whatever_was_removed)
{
    struct map map = {0};
    static int values[1000];
    char key[16];
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        assert_int_equal(map_put(&map, str_of(key), &values[i], NULL), 0);
    }
    for (int i = 0; i < 1000; i += 3) {
        snprintf(key, sizeof(key), "key-%d", i);
        assert_ptr_equal(map_remove(&map, str_of(key)), &values[i]);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        assert_ptr_equal(map_get(&map, str_of(key)), i % 3 ? &values[i] : NULL);
    }
    size_t at = 0, seen = 0;
    void *value;
    while (map_each(&map, &at, NULL, &value))
        seen++;
    assert_int_equal(seen, map.count);
    assert_int_equal(seen, 666);
    map_deinit(&map);
}

TEST(putting_twice_returns_the_old_value)
{
    struct map map = {0};
    int a, b;
    void *old = &b;
    map_put(&map, STR("k"), &a, &old);
    assert_null(old);
    map_put(&map, STR("k"), &b, &old);
    assert_ptr_equal(old, &a);
    assert_int_equal(map.count, 1);
    map_deinit(&map);
}

RUN(T(a_warm_arena_hands_out_the_same_memory_again),
    T(arena_pieces_are_aligned_and_copies_terminated), T(an_arena_refuses_more_than_its_maximum),
    T(a_queue_keeps_its_order_and_its_maximum), T(a_map_finds_what_was_put_whatever_was_removed),
    T(putting_twice_returns_the_old_value))
