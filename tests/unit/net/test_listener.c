#include "net/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

static struct listener_spec specs[LISTENER_MAX];
static unsigned count;
static struct error err;

static int parse(const char *text)
{
    count = 99;
    err = (struct error){"", ""};
    return listener_parse(str_of(text), "WEIR_PROXY_LISTEN", specs, &count, &err);
}

static void off_is_no_listener(void **state)
{
    (void)state;
    assert_int_equal(parse(" off "), 0);
    assert_int_equal(count, 0);
}

static void addresses_of_both_families_are_parsed(void **state)
{
    (void)state;
    assert_int_equal(parse("0.0.0.0:8000, [::1]:8001"), 0);
    assert_int_equal(count, 2);
    assert_string_equal(specs[0].text, "0.0.0.0:8000");
    assert_int_equal(specs[0].port, 8000);
    assert_int_equal(specs[0].address.any.sa_family, AF_INET);
    assert_int_equal(ntohs(((struct sockaddr_in *)&specs[0].address)->sin_port), 8000);
    assert_string_equal(specs[1].text, "[::1]:8001");
    assert_int_equal(specs[1].address.any.sa_family, AF_INET6);
    assert_int_equal(ntohs(((struct sockaddr_in6 *)&specs[1].address)->sin6_port), 8001);
}

static void flags_that_are_built_are_taken(void **state)
{
    (void)state;
    assert_int_equal(parse("0.0.0.0:8000 reuseport backlog=16384  bind\tdeferred so_keepalive=on, "
                           "[::]:8000 ipv6only=off"),
                     0);
    assert_int_equal(specs[0].backlog, 16384);
    assert_true(specs[0].has_reuseport && specs[0].has_bind && specs[0].is_deferred);
    assert_true(specs[0].is_kept_alive && specs[0].is_v6_only);
    assert_int_equal(specs[1].backlog, SOMAXCONN);
    assert_false(specs[1].has_reuseport || specs[1].is_v6_only);
}

static void what_is_asked_of_clients_is_the_listeners(void **state)
{
    (void)state;
    struct tls_server_settings settings = {.client_ca_file = "/all.pem", .client_depth = 1};
    assert_int_equal(parse("0.0.0.0:1 ssl, 0.0.0.0:2 ssl verify_client=on verify_depth=0 "
                           "client_certificate=/own.pem, 0.0.0.0:3 verify_client=optional ssl"),
                     0);
    listener_ask_clients(&specs[0], &settings);
    assert_int_equal(settings.client_check, TLS_CLIENT_NONE);
    listener_ask_clients(&specs[2], &settings);
    assert_int_equal(settings.client_check, TLS_CLIENT_OPTIONAL);
    assert_string_equal(settings.client_ca_file, "/all.pem");
    assert_int_equal(settings.client_depth, 1);
    listener_ask_clients(&specs[1], &settings);
    assert_int_equal(settings.client_check, TLS_CLIENT_REQUIRED);
    assert_string_equal(settings.client_ca_file, "/own.pem");
    assert_int_equal(settings.client_depth, 0);
    assert_int_equal(parse("0.0.0.0:1 ssl verify_client=off"), 0);
    listener_ask_clients(&specs[0], &settings);
    assert_int_equal(settings.client_check, TLS_CLIENT_NONE);
}

static void what_would_check_nobody_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0.0.0.0:1 verify_client=on",
        "0.0.0.0:1 ssl verify_client",
        "0.0.0.0:1 ssl verify_client=required",
        "0.0.0.0:1 ssl client_certificate=/a",
        "0.0.0.0:1 ssl verify_client=off client_certificate=/a",
        "0.0.0.0:1 ssl verify_client=on client_certificate=",
        "0.0.0.0:1 ssl verify_depth=3",
        "0.0.0.0:1 ssl verify_client=on verify_depth=65",
        "0.0.0.0:1 ssl verify_client=on verify_depth=-1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(parse(bad[i]), UV_EINVAL);
}

static void kongs_default_line_is_taken(void **state)
{
    (void)state;
    assert_int_equal(parse("0.0.0.0:8000 reuseport backlog=16384, "
                           "0.0.0.0:8443 http2 ssl reuseport backlog=16384"),
                     0);
    assert_int_equal(count, 2);
    assert_false(specs[0].is_http2 || specs[0].is_tls);
    assert_true(specs[1].is_http2 && specs[1].is_tls);
}

static void flags_to_come_are_errors_that_say_so(void **state)
{
    (void)state;
    assert_int_equal(parse("0.0.0.0:8000 reuseport, 0.0.0.0:8443 http3 ssl"), UV_EINVAL);
    assert_int_equal(count, 99); /* untouched */
    assert_string_equal(err.field, "WEIR_PROXY_LISTEN");
    assert_string_equal(err.sentence, "\"http3\" in \"0.0.0.0:8443 http3 ssl\" is not built yet; "
                                      "leave this address out");
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ",",
        "8000",
        "localhost:8000",
        "0.0.0.0",
        "0.0.0.0:",
        "0.0.0.0:x",
        "0.0.0.0:65536",
        "0.0.0.0:-1",
        "256.0.0.1:80",
        "::1:8000",
        "[::1:8000",
        "[::1]8000",
        "[]:8000",
        "[:8000",
        "0.0.0.0:8000,",
        "0.0.0.0:8000, 0.0.0.0:8000",
        "0.0.0.0:8000 sslx",
        "0.0.0.0:8000 backlog",
        "0.0.0.0:8000 backlog=0",
        "0.0.0.0:8000 backlog=65536",
        "0.0.0.0:8000 so_keepalive=30m::10",
        "off, 0.0.0.0:8000",
        "0.0.0.0:1,0.0.0.0:2,0.0.0.0:3,0.0.0.0:4,0.0.0.0:5,0.0.0.0:6,0.0.0.0:7,0.0.0.0:8,"
        "0.0.0.0:9,0.0.0.0:10,0.0.0.0:11,0.0.0.0:12,0.0.0.0:13,0.0.0.0:14,0.0.0.0:15,0.0.0.0:16,"
        "0.0.0.0:17",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i]) != UV_EINVAL)
            fail_msg("accepted: \"%s\"", bad[i]);
        assert_string_equal(err.field, "WEIR_PROXY_LISTEN");
        assert_true(err.sentence[0] != '\0');
    }
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void a_socket_has_what_workers_rely_on(void **state)
{
    (void)state;
    assert_int_equal(parse("127.0.0.1:0 deferred so_keepalive=on"), 0);
    int fd = -1;
    assert_int_equal(listener_bind(&specs[0], true, &fd, &err), 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEPORT), 1);
    assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_true(option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
    assert_int_equal(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
    close(fd);
}

/* The address that `fd` was given, as a spec. */
static struct listener_spec spec_of(int fd)
{
    struct listener_spec spec = {.backlog = 16};
    socklen_t len = sizeof(spec.address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&spec.address, &len), 0);
    spec.port = ntohs(((struct sockaddr_in *)&spec.address)->sin_port);
    snprintf(spec.text, sizeof(spec.text), "127.0.0.1:%u", spec.port);
    return spec;
}

static void sockets_with_reuseport_share_a_port(void **state)
{
    (void)state;
    assert_int_equal(parse("127.0.0.1:0"), 0);
    int first, second;
    assert_int_equal(listener_bind(&specs[0], true, &first, &err), 0);
    assert_int_equal(listen(first, 16), 0);
    struct listener_spec spec = spec_of(first);
    assert_int_equal(listener_bind(&spec, true, &second, &err), 0);
    close(second);
    close(first);
}

static void a_port_in_use_is_an_error_that_names_it(void **state)
{
    (void)state;
    assert_int_equal(parse("127.0.0.1:0"), 0);
    int first, second = -1;
    assert_int_equal(listener_bind(&specs[0], true, &first, &err), 0);
    assert_int_equal(listen(first, 16), 0);
    struct listener_spec spec = spec_of(first);
    assert_int_equal(listener_bind(&spec, false, &second, &err), UV_EADDRINUSE);
    assert_int_equal(second, -1);
    assert_string_equal(err.field, spec.text);
    assert_string_equal(err.sentence, "cannot be listened on: address already in use");
    assert_int_equal(listener_check_free(&spec, &err), UV_EADDRINUSE);
    close(first);
    assert_int_equal(listener_check_free(&spec, &err), 0);
    assert_int_equal(listener_check_free(&spec, &err), 0); /* it takes nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_is_no_listener),
        cmocka_unit_test(addresses_of_both_families_are_parsed),
        cmocka_unit_test(flags_that_are_built_are_taken),
        cmocka_unit_test(what_is_asked_of_clients_is_the_listeners),
        cmocka_unit_test(what_would_check_nobody_is_refused),
        cmocka_unit_test(kongs_default_line_is_taken),
        cmocka_unit_test(flags_to_come_are_errors_that_say_so),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(a_socket_has_what_workers_rely_on),
        cmocka_unit_test(sockets_with_reuseport_share_a_port),
        cmocka_unit_test(a_port_in_use_is_an_error_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
