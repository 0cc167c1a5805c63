#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/headers.h"

static const struct {
    enum header_id id;
    const char *name;
} known[] = {
    {HEADER_ACCEPT, "Accept"},
    {HEADER_CONNECTION, "Connection"},
    {HEADER_CONTENT_LENGTH, "Content-Length"},
    {HEADER_CONTENT_TYPE, "Content-Type"},
    {HEADER_DATE, "Date"},
    {HEADER_EXPECT, "Expect"},
    {HEADER_HOST, "Host"},
    {HEADER_KEEP_ALIVE, "Keep-Alive"},
    {HEADER_MAX_FORWARDS, "Max-Forwards"},
    {HEADER_PROXY, "Proxy"},
    {HEADER_PROXY_AUTHENTICATE, "Proxy-Authenticate"},
    {HEADER_PROXY_AUTHORIZATION, "Proxy-Authorization"},
    {HEADER_PROXY_CONNECTION, "Proxy-Connection"},
    {HEADER_SERVER, "Server"},
    {HEADER_TE, "TE"},
    {HEADER_TRACEPARENT, "Traceparent"},
    {HEADER_TRACESTATE, "Tracestate"},
    {HEADER_TRAILER, "Trailer"},
    {HEADER_TRANSFER_ENCODING, "Transfer-Encoding"},
    {HEADER_UPGRADE, "Upgrade"},
    {HEADER_VIA, "Via"},
    {HEADER_FORWARDED, "Forwarded"},
    {HEADER_X_FORWARDED_FOR, "X-Forwarded-For"},
    {HEADER_X_FORWARDED_HOST, "X-Forwarded-Host"},
    {HEADER_X_FORWARDED_PATH, "X-Forwarded-Path"},
    {HEADER_X_FORWARDED_PORT, "X-Forwarded-Port"},
    {HEADER_X_FORWARDED_PREFIX, "X-Forwarded-Prefix"},
    {HEADER_X_FORWARDED_PROTO, "X-Forwarded-Proto"},
    {HEADER_X_KONG_REQUEST_ID, "X-Kong-Request-Id"},
    {HEADER_X_REAL_IP, "X-Real-IP"},
};

#define KNOWN_COUNT (sizeof(known) / sizeof(known[0]))

static void every_known_name_is_recognised_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(KNOWN_COUNT, HEADER_COUNT - 1);
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        char name[32];
        size_t len = strlen(known[i].name);
        assert_int_equal(header_recognise(str_of(known[i].name)), known[i].id);
        for (size_t at = 0; at < len; at++)
            name[at] = str_lower_char(known[i].name[at]);
        assert_int_equal(header_recognise(str_make(name, len)), known[i].id);
        for (size_t at = 0; at < len; at++)
            if (name[at] >= 'a' && name[at] <= 'z')
                name[at] = (char)(name[at] - 'a' + 'A');
        assert_int_equal(header_recognise(str_make(name, len)), known[i].id);
    }
}

static void a_name_that_differs_in_one_byte_is_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        char name[32];
        size_t len = strlen(known[i].name);
        for (size_t at = 0; at < len; at++) {
            memcpy(name, known[i].name, len);
            name[at] = name[at] == '_' ? 'q' : '_';
            assert_int_equal(header_recognise(str_make(name, len)), HEADER_OTHER);
        }
        memcpy(name, known[i].name, len);
        name[len] = 's';
        assert_int_equal(header_recognise(str_make(name, len + 1)), HEADER_OTHER);
        assert_int_equal(header_recognise(str_make(name, len - 1)), HEADER_OTHER);
    }
}

static void other_names_are_other(void **state)
{
    (void)state;
    static const char *others[] = {"",
                                   "a",
                                   "User-Agent",
                                   "Accept-Encoding",
                                   "Cookie",
                                   "X-Forwarded-Pest",
                                   "X-Forwarded-Past",
                                   "Authorization",
                                   "a-name-that-is-longer-than-all-the-known-ones"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(header_recognise(str_of(others[i])), HEADER_OTHER);
}

static void what_tells_who_asks_is_known_however_it_is_spelled(void **state)
{
    (void)state;
    static const char *const telling[] = {"X-Consumer-ID", "x_consumer_groups",
                                          "X-Consumer_Username", "X-CREDENTIAL-IDENTIFIER",
                                          "X_Anonymous_Consumer"};
    static const char *const others[] = {"", "X-Consumer", "X-Consumers-ID",
                                         "X-Anonymous-Consumers", "XX-Consumer-ID"};
    for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++)
        assert_true(header_tells_consumer(str_of(telling[i])));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(header_tells_consumer(str_of(others[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_known_name_is_recognised_in_any_case),
        cmocka_unit_test(a_name_that_differs_in_one_byte_is_another),
        cmocka_unit_test(other_names_are_other),
        cmocka_unit_test(what_tells_who_asks_is_known_however_it_is_spelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
