#include "admin/urlencoded.h"

#include <stdio.h>

#include "unit/test.h"

TEST(a_percent_encoding_is_undone_and_what_is_none_stays)
{
    static const struct {
        const char *text;
        bool plus_is_space;
        const char *decoded;
    } table[] = {
        {"", true, ""},         {"plain", true, "plain"}, {"a%20b", true, "a b"},
        {"a+b", true, "a b"},   {"a+b", false, "a+b"},    {"%41%62%C3%a9", true, "Ab\xc3\xa9"},
        {"100%", true, "100%"}, {"%4", true, "%4"},       {"%zz%2", true, "%zz%2"},
        {"%%41", true, "%A"},   {"%255B", true, "%5B"}, /* once, not twice */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char text[32];
        snprintf(text, sizeof(text), "%s", table[i].text);
        size_t len = urlencoded_decode(text, strlen(text), table[i].plus_is_space);
        assert_true(str_equal(str_make(text, len), str_of(table[i].decoded)));
    }
}

TEST(arguments_are_split_before_they_are_decoded)
{
    char text[] = "a=1&b=x%26y%3Dz&&c&d=&%65=e=f";
    struct urlencoded_arg args[8];
    assert_true(urlencoded_count(str_of(text)) <= 8);
    size_t count = urlencoded_split(text, strlen(text), args, 8);

    assert_int_equal(count, 5);
    static const char *const expected[][2] = {
        {"a", "1"}, {"b", "x&y=z"}, {"c", ""}, {"d", ""}, {"e", "e=f"}};
    for (size_t i = 0; i < count; i++) {
        assert_true(str_equal(args[i].name, str_of(expected[i][0])));
        assert_true(str_equal(args[i].value, str_of(expected[i][1])));
    }
}

TEST(no_more_arguments_are_taken_than_there_is_room)
{
    char text[] = "a=1&b=2&c=3";
    struct urlencoded_arg args[2];
    assert_int_equal(urlencoded_split(text, strlen(text), args, 2), 2);
}

TEST(escaping_spares_only_what_needs_none)
{
    char out[64];
    urlencoded_escape(STR("aZ9-._~ /+=\xc3"), out);
    assert_string_equal(out, "aZ9-._~%20%2F%2B%3D%C3");
}

RUN(T(a_percent_encoding_is_undone_and_what_is_none_stays),
    T(arguments_are_split_before_they_are_decoded),
    T(no_more_arguments_are_taken_than_there_is_room), T(escaping_spares_only_what_needs_none))
