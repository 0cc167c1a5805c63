#include "model/address.h"

#include "unit/model/rows.h"

struct parse_case {
    const char *text;
    enum address_error error;
    enum address_kind kind;
    const char *host;
    int port; /* -1: none */
};

TEST(addresses_are_read_by_kind)
{
    static const struct parse_case cases[] = {
        {"example.com", ADDRESS_FINE, ADDRESS_NAME, "example.com", -1},
        {"Example.COM:80", ADDRESS_FINE, ADDRESS_NAME, "Example.COM", 80},
        {"my_host-1", ADDRESS_FINE, ADDRESS_NAME, "my_host-1", -1},
        {"example.com.", ADDRESS_FINE, ADDRESS_NAME, "example.com.", -1},
        {"-a.b", ADDRESS_FINE, ADDRESS_NAME, "-a.b", -1},
        {"example.com:0", ADDRESS_FINE, ADDRESS_NAME, "example.com", 0},
        {"example.com:65536", ADDRESS_BAD_PORT, ADDRESS_NAME, NULL, 0},
        {"example.com:99999999999999999999999", ADDRESS_BAD_PORT, ADDRESS_NAME, NULL, 0},
        {"example.com:", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"example.com:http", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"a-.b", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"a-", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {".a", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"a..b", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"a..", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {":", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {":80", ADDRESS_BAD_HOST, ADDRESS_IPV4, NULL, 0},
        {"a/b", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"a b", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"\xc3\xbc.de", ADDRESS_BAD_HOST, ADDRESS_NAME, NULL, 0},
        {"10.0.0.1", ADDRESS_FINE, ADDRESS_IPV4, "10.0.0.1", -1},
        {"010.000.00.1:080", ADDRESS_FINE, ADDRESS_IPV4, "10.0.0.1", 80},
        {"10.0.0.256", ADDRESS_BAD_HOST, ADDRESS_IPV4, NULL, 0},
        {"10.0.0", ADDRESS_BAD_HOST, ADDRESS_IPV4, NULL, 0},
        {"10.0.0.1.2", ADDRESS_BAD_HOST, ADDRESS_IPV4, NULL, 0},
        {"10.0.0.", ADDRESS_BAD_HOST, ADDRESS_IPV4, NULL, 0},
        {"0010.0.0.1", ADDRESS_BAD_HOST, ADDRESS_IPV4, NULL, 0},
        {"1234", ADDRESS_BAD_HOST, ADDRESS_IPV4, NULL, 0},
        {"10.0.0.1:", ADDRESS_BAD_HOST, ADDRESS_IPV4, NULL, 0},
        {"10.0.0.1:65536", ADDRESS_BAD_PORT, ADDRESS_IPV4, NULL, 0},
        {"::1", ADDRESS_FINE, ADDRESS_IPV6, "0000:0000:0000:0000:0000:0000:0000:0001", -1},
        {"[FE80::a]:80", ADDRESS_FINE, ADDRESS_IPV6, "fe80:0000:0000:0000:0000:0000:0000:000a", 80},
        {"[::1]", ADDRESS_FINE, ADDRESS_IPV6, "0000:0000:0000:0000:0000:0000:0000:0001", -1},
        {"[::1", ADDRESS_BAD_HOST, ADDRESS_IPV6, NULL, 0},
        {"[::1]80", ADDRESS_BAD_HOST, ADDRESS_IPV6, NULL, 0},
        {"[::1]:", ADDRESS_BAD_HOST, ADDRESS_IPV6, NULL, 0},
        {"[::1]:70000", ADDRESS_BAD_PORT, ADDRESS_IPV6, NULL, 0},
        {"some::thing", ADDRESS_BAD_HOST, ADDRESS_IPV6, NULL, 0},
        {":::", ADDRESS_BAD_HOST, ADDRESS_IPV6, NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct address address = {0};
        enum address_error error = address_parse(str_of(cases[i].text), &address);
        if (error != cases[i].error || address.kind != cases[i].kind)
            fail_msg("%s: error %d, kind %d", cases[i].text, error, address.kind);
        if (error)
            continue;
        struct str host = address.kind == ADDRESS_NAME ? address.name : str_of(address.ip);
        int port = address.has_port ? address.port : -1;
        if (!str_equal(host, str_of(cases[i].host)) || port != cases[i].port)
            fail_msg("%s: %.*s port %d", cases[i].text, STR_ARG(host), port);
    }
}

TEST(networks_have_a_prefix_that_fits)
{
    static const char *const good[] = {"10.0.0.1", "10.0.0.0/8", "0.0.0.0/0",
                                       "::1",      "fe80::/10",  "::/128"};
    static const char *const bad[] = {"10.0.0.0/33",
                                      "10.0.0.0/",
                                      "10.0.0/8",
                                      "::/129",
                                      "a/8",
                                      "[::1]",
                                      "",
                                      "1.1.1.1/-1",
                                      "192.168.001.010",
                                      "010.0.0.0/8",
                                      "10.0.0.1,10.0.0.2",
                                      "unix:"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(address_is_ip_or_cidr(str_of(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(address_is_ip_or_cidr(str_of(bad[i])));
}

RUN(T(addresses_are_read_by_kind), T(networks_have_a_prefix_that_fits))
