#include "proxy/client_address.h"

#include "../test.h"

#include <stdio.h>

#include "http/http1.h"

static char out[CLIENT_ADDRESS_BYTES];

/* What `fields` ("A: b\r\n" lines) say of the client when 10.0.0.0/8 and fd00::/8 are trusted. */
static const char *found(const char *header, bool is_recursive, const char *fields)
{
    static char bytes[1024];
    static struct http_head head;
    struct http1_parser parser;
    struct client_trust trust = {.header = str_of(header), .is_recursive = is_recursive};
    struct str bad;
    int len = snprintf(bytes, sizeof(bytes), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", fields);
    http1_begin_request(&parser, &head, sizeof(bytes));
    assert_int_equal(http1_read_head(&parser, bytes, (size_t)len), HTTP1_DONE);
    assert_int_equal(cidr_set_init(&trust.proxies, STR("10.0.0.0/8,fd00::/8"), &bad), 0);
    struct str address = client_address_find(&trust, &head, out);
    cidr_set_deinit(&trust.proxies);
    return address.len > 0 ? out : "";
}

TEST(the_header_names_the_client)
{
    assert_string_equal(found("X-Real-IP", false, "x-real-ip: 192.0.2.7\r\n"), "192.0.2.7");
    assert_string_equal(found("X-Real-IP", false, "x-real-ip: 2001:DB8::0007\r\n"), "2001:db8::7");
    assert_string_equal(found("X-Real-IP", false, "x-real-ip: 192.0.2.7:4711\r\n"), "192.0.2.7");
    assert_string_equal(found("X-Real-IP", false, "x-real-ip: [2001:db8::7]:80\r\n"),
                        "2001:db8::7");
    assert_string_equal(found("Cf-Ip", false, "cf-ip: 192.0.2.7\r\n"), "192.0.2.7");
    assert_string_equal(found("X-Real-IP", false, "x-forwarded-for: 192.0.2.7\r\n"), "");
}

TEST(the_last_address_of_a_list_counts)
{
    const char *list = "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n";
    assert_string_equal(found("X-Forwarded-For", false, list), "192.0.2.2");
    assert_string_equal(found("X-Forwarded-For", true, list), "192.0.2.2");
}

TEST(trusted_proxies_are_stepped_over)
{
    const char *list = "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n"
                       "X-Forwarded-For: 10.0.0.1,fd00::1\r\n";
    assert_string_equal(found("X-Forwarded-For", true, list), "192.0.2.2");
    assert_string_equal(found("X-Forwarded-For", false, list), "fd00::1");
    assert_string_equal(found("X-Forwarded-For", true, "X-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n"),
                        "10.0.0.2");
}

TEST(what_is_no_address_ends_the_search)
{
    assert_string_equal(found("X-Forwarded-For", true, "X-Forwarded-For: 192.0.2.1, unknown\r\n"),
                        "");
    assert_string_equal(
        found("X-Forwarded-For", true, "X-Forwarded-For: 192.0.2.1, evil, 10.0.0.1\r\n"),
        "10.0.0.1");
    assert_string_equal(found("X-Real-IP", false, "X-Real-IP:\r\n"), "");
    assert_string_equal(found("X-Real-IP", false, "X-Real-IP: ,\r\n"), "");
    assert_string_equal(found("X-Real-IP", false, "X-Real-IP: 1.2.3.4.5\r\n"), "");
    assert_string_equal(found("X-Real-IP", false, "X-Real-IP: []:1\r\n"), "");
}

RUN(T(the_header_names_the_client), T(the_last_address_of_a_list_counts),
    T(trusted_proxies_are_stepped_over), T(what_is_no_address_ends_the_search))
