#include "net/cidr.h"

#include "../test.h"

#include <string.h>

#include <uv.h>

static bool has(const char *ranges, const char *address)
{
    struct cidr_set set;
    struct str bad;
    struct cidr_address parsed;
    assert_int_equal(cidr_set_init(&set, str_of(ranges), &bad), 0);
    assert_true(cidr_read_address(str_of(address), &parsed));
    bool found = cidr_set_has(&set, &parsed);
    cidr_set_deinit(&set);
    return found;
}

TEST(a_range_holds_its_addresses_and_no_other)
{
    assert_true(has("10.0.0.0/8", "10.255.0.1"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.1.2.3", "10.1.2.3"));
    assert_false(has("10.1.2.3", "10.1.2.2"));
    assert_true(has("192.168.4.0/22", "192.168.7.255"));
    assert_false(has("192.168.4.0/22", "192.168.8.0"));
    assert_true(has("0.0.0.0/0", "1.2.3.4"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("[::1]", "::1"));
}

TEST(ranges_of_one_family_say_nothing_of_the_other)
{
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("::/0", "1.2.3.4"));               /* all there is */
    assert_true(has("10.0.0.0/8", "::ffff:10.0.0.1")); /* the same address */
}

TEST(a_list_is_searched_to_its_end)
{
    assert_true(has("10.0.0.1, 10.0.0.2 ,unix:,fe80::/10", "fe80::7"));
    assert_false(has("10.0.0.1,10.0.0.2", "10.0.0.3"));
    assert_false(has("", "10.0.0.3"));
}

TEST(what_is_no_address_is_refused_by_name)
{
    static const char *const bads[] = {"10.0.0.0/33", "10.0.0",     "::/129", "host",
                                       "10.0.0.1/",   "1.2.3.4:80", "/8",     "10.0.0.1/-1"};
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        char text[64] = "127.0.0.1,";
        struct cidr_set set;
        struct str bad;
        strcat(text, bads[i]);
        assert_int_equal(cidr_set_init(&set, str_of(text), &bad), UV_EINVAL);
        assert_true(str_equal(bad, str_of(bads[i])));
        assert_null(set.ranges);
    }
}

TEST(a_list_without_end_is_refused)
{
    char text[CIDR_MAX_RANGES * 4 + 16] = "::1";
    struct cidr_set set;
    struct str bad;
    for (unsigned i = 0; i < CIDR_MAX_RANGES; i++)
        strcat(text, ",::1");
    assert_int_equal(cidr_set_init(&set, str_of(text), &bad), UV_EINVAL);
}

RUN(T(a_range_holds_its_addresses_and_no_other), T(ranges_of_one_family_say_nothing_of_the_other),
    T(a_list_is_searched_to_its_end), T(what_is_no_address_is_refused_by_name),
    T(a_list_without_end_is_refused))
