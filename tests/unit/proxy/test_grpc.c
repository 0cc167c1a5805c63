#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/http1.h"
#include "proxy/grpc.h"
#include "proxy/writer.h"

static struct http_head head;

static const struct http_head *read_with(const char *fields)
{
    static char text[512];
    struct http1_parser parser;
    int len = snprintf(text, sizeof(text), "POST /a HTTP/2.0\r\nhost: a\r\n%s\r\n", fields);
    http1_begin_request(&parser, &head, sizeof(text));
    assert_int_equal(http1_take_head(&parser, text, (size_t)len, false), HTTP1_DONE);
    return &head;
}

static void its_requests_are_known_by_their_content_type(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool is_request, has_type;
    } table[] = {
        {"content-type: application/grpc\r\n", true, true},
        {"content-type: application/grpc+proto\r\n", true, true},
        {"content-type: Application/gRPC; a=b\r\n", true, true},
        {"content-type: application/grpc-web\r\n", false, true},
        {"content-type: application/grp\r\n", false, false},
        {"content-type: application/json\r\n", false, false},
        {"", false, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        assert_int_equal(grpc_is_request(read_with(table[i].type)), table[i].is_request);
        assert_int_equal(grpc_has_type(&head), table[i].has_type);
    }
}

static void a_timeout_is_eight_digits_and_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *field;
        uint32_t ms; /* 0: none */
    } table[] = {
        {"grpc-timeout: 100m\r\n", 100},
        {"grpc-timeout: 1S\r\n", 1000},
        {"grpc-timeout: 2M\r\n", 120000},
        {"grpc-timeout: 1H\r\n", 3600000},
        {"grpc-timeout: 99999999H\r\n", UINT32_MAX},
        {"grpc-timeout: 1500u\r\n", 2},
        {"grpc-timeout: 1n\r\n", 1},
        {"grpc-timeout: 0m\r\n", 1},
        {"grpc-timeout: 123456789m\r\n", 0},
        {"grpc-timeout: m\r\n", 0},
        {"grpc-timeout: 5\r\n", 0},
        {"grpc-timeout: 5s\r\n", 0},
        {"grpc-timeout: -5S\r\n", 0},
        {"grpc-timeout: \r\n", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint32_t ms = 0;
        assert_int_equal(grpc_read_timeout(read_with(table[i].field), &ms), table[i].ms > 0);
        assert_int_equal(ms, table[i].ms);
    }
}

static void a_message_is_written_so_that_any_text_may_stand_in_a_field(void **state)
{
    (void)state;
    char out[128];
    struct writer writer = writer_on(out, sizeof(out));
    grpc_write_status(&writer, GRPC_UNAVAILABLE, STR("5% \xc3\xa9\r\n~"));
    assert_int_equal(writer.at - out, strlen("grpc-status: 14\r\n"
                                             "grpc-message: 5%25 %C3%A9%0D%0A~\r\n"));
    assert_memory_equal(out, "grpc-status: 14\r\ngrpc-message: 5%25 %C3%A9%0D%0A~\r\n",
                        (size_t)(writer.at - out));
}

static void a_status_is_found_in_heads_and_trailers(void **state)
{
    (void)state;
    assert_int_equal(grpc_find_status(read_with("grpc-status: 14\r\n")), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_find_status(read_with("grpc-status: x\r\n")), GRPC_NO_STATUS);
    assert_int_equal(grpc_find_status(read_with("")), GRPC_NO_STATUS);
    assert_int_equal(grpc_find_status_in(STR("a: 1\r\ngrpc-status: 5\r\n")), 5);
    assert_int_equal(grpc_find_status_in(STR("a: 1\r\n")), GRPC_NO_STATUS);
    assert_int_equal(grpc_find_status_in(STR("grpc-status: 300\r\n")), GRPC_NO_STATUS);
}

static void answers_of_weirs_own_have_a_status_of_its(void **state)
{
    (void)state;
    assert_int_equal(grpc_status_of_http(404), GRPC_UNIMPLEMENTED);
    assert_int_equal(grpc_status_of_http(401), GRPC_UNAUTHENTICATED);
    assert_int_equal(grpc_status_of_http(403), GRPC_PERMISSION_DENIED);
    assert_int_equal(grpc_status_of_http(429), GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(grpc_status_of_http(502), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of_http(503), GRPC_UNAVAILABLE);
    assert_int_equal(grpc_status_of_http(504), GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(grpc_status_of_http(418), GRPC_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_requests_are_known_by_their_content_type),
        cmocka_unit_test(a_timeout_is_eight_digits_and_a_unit),
        cmocka_unit_test(a_message_is_written_so_that_any_text_may_stand_in_a_field),
        cmocka_unit_test(a_status_is_found_in_heads_and_trailers),
        cmocka_unit_test(answers_of_weirs_own_have_a_status_of_its),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
