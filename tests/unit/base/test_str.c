#include "base/str.h"

#include <stdlib.h>

#include "unit/test.h"

TEST(comparison_minds_or_ignores_case)
{
    assert_true(str_equal(STR("Host"), STR("Host")));
    assert_false(str_equal(STR("Host"), STR("host")));
    assert_true(str_equal_nocase(STR("Host"), STR("hOST")));
    assert_false(str_equal_nocase(STR("Host"), STR("Hos")));
    assert_true(str_equal(STR_EMPTY, STR("")));
}

TEST(cut_walks_a_list)
{
    struct str rest = STR("a,,b");
    assert_true(str_equal(str_cut(&rest, ','), STR("a")));
    assert_true(str_equal(str_cut(&rest, ','), STR("")));
    assert_true(str_equal(str_cut(&rest, ','), STR("b")));
    assert_null(rest.ptr);
}

TEST(trim_takes_blanks_from_both_ends)
{
    assert_true(str_equal(str_trim(STR(" \ta b\t ")), STR("a b")));
    assert_int_equal(str_trim(STR(" \t ")).len, 0);
}

TEST(numbers_are_digits_and_nothing_else)
{
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616"};
    uint64_t value = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(str_to_u64(str_of(bad[i]), &value));
    assert_int_equal(value, 7);
    assert_true(str_to_u64(STR("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_true(str_hex_to_u64(STR("fF"), &value));
    assert_int_equal(value, 255);
    assert_false(str_hex_to_u64(STR("10000000000000000"), &value));
    assert_false(str_hex_to_u64(STR("g"), &value));
}

TEST(prefix_and_suffix)
{
    assert_true(str_starts_with(STR("/foobar"), STR("/foo")));
    assert_false(str_starts_with(STR("/fo"), STR("/foo")));
    assert_true(str_ends_with(STR("a.consul"), STR(".consul")));
    assert_false(str_ends_with(STR("consul"), STR(".consul")));
}

RUN(T(comparison_minds_or_ignores_case), T(cut_walks_a_list), T(trim_takes_blanks_from_both_ends),
    T(numbers_are_digits_and_nothing_else), T(prefix_and_suffix))
