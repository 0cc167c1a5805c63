#include "unit/test.h"

#include "net/ip.h"

TEST(literals_are_addresses_and_nothing_else_is)
{
    union ip_address address;
    assert_true(ip_parse(STR("10.0.0.1"), 80, &address));
    assert_int_equal(address.any.sa_family, AF_INET);
    assert_int_equal(ip_port(&address), 80);
    assert_true(ip_parse(STR("::1"), 81, &address));
    assert_int_equal(address.any.sa_family, AF_INET6);
    assert_int_equal(ip_port(&address), 81);
    assert_true(ip_parse(STR("[fd00::1]"), 82, &address));

    static const char *const others[] = {"",           "web",      "10.0.0",    "10.0.0.1:80",
                                         "10.0.0.256", "1.2.3.4 ", "[10.0.0.1", "::g"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(ip_parse(str_of(others[i]), 0, &address));
    assert_false(ip_parse(str_make("10.0.0.1\0", 9), 0, &address));
}

TEST(addresses_sort_by_family_number_and_port)
{
    static const char *const ips[] = {"9.255.0.0", "10.0.0.1", "10.0.0.2", "::1", "fd00::1"};
    union ip_address a, b;
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < 5; j++) {
            ip_parse(str_of(ips[i]), 1, &a);
            ip_parse(str_of(ips[j]), 1, &b);
            int order = ip_compare(&a, &b);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
    }
    ip_parse(STR("::1"), 1, &a);
    ip_parse(STR("::1"), 2, &b);
    assert_true(ip_compare(&a, &b) < 0);
}

RUN(T(literals_are_addresses_and_nothing_else_is), T(addresses_sort_by_family_number_and_port))
