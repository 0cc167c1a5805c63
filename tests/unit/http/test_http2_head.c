#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/http2_head.h"

#define MAX_BYTES 1000
#define MAX_FIELDS 8

struct head_case {
    const char *fields[2 * MAX_FIELDS]; /* name, value, …, NULL */
    const char *text;                   /* or the status and reason of a refusal */
};

#define START ":method", "GET", ":scheme", "https", ":authority", "a.b:8443", ":path", "/x?y"
#define CONNECT ":method", "CONNECT", ":authority", "a", ":path", "/x"
#define LINES "GET /x?y HTTP/2.0\r\nhost: a.b:8443\r\n"

static const struct head_case requests[] = {
    {{START}, LINES "\r\n"},
    {{":path", "*", ":method", "OPTIONS", ":authority", "a"},
     "OPTIONS * HTTP/2.0\r\nhost: a\r\n\r\n"},
    {{":method", "GET", ":path", "/", "host", "c"}, "GET / HTTP/2.0\r\nhost: c\r\n\r\n"},
    {{START, "host", "A.b:8443"}, LINES "\r\n"},
    {{START, "x", "1", "x", "2\t3", "empty", ""}, LINES "x: 1\r\nx: 2\t3\r\nempty: \r\n\r\n"},
    {{START, "cookie", "a=1", "x", "1", "cookie", "b=2"}, LINES "x: 1\r\ncookie: a=1; b=2\r\n\r\n"},
    {{START, "host", "a.b"}, "400 Host differs from :authority"},
    {{START, "x", "1\r\ny: 2"}, "400 bad field"},
    {{START, "x", "\x7f"}, "400 bad field"},
    {{START, "x:", "1"}, "400 bad field"},
    {{START, "", "1"}, "400 bad field"},
    {{":path", "/ HTTP/1.1"}, "400 bad :path"},
    {{":path", "/\r\n"}, "400 bad :path"},
    {{":path", "http://a/"}, "400 bad :path"},
    {{":path", ""}, "400 bad :path"},
    {{":method", "G T"}, "400 bad :method"},
    {{":method", ""}, "400 bad :method"},
    {{":method", "CONNECT", ":authority", "a"}, "405 CONNECT and TRACE are not served"},
    {{CONNECT, ":protocol", "websocket"}, "GET /x HTTP/2.0\r\nhost: a\r\n\r\n"},
    {{":protocol", "WebSocket", CONNECT, "sec-websocket-key", "k", "sec-websocket-version", "13"},
     "GET /x HTTP/2.0\r\nhost: a\r\nsec-websocket-version: 13\r\n\r\n"},
    {{CONNECT, ":protocol", "websocket", "content-length", "0"},
     "400 CONNECT with a Content-Length"},
    {{CONNECT, ":protocol", "connect-udp"}, "501 unknown :protocol"},
    {{CONNECT, ":protocol", ""}, "501 unknown :protocol"},
    {{":authority", "a b"}, "400 bad :authority"},
    {{":authority", "a\r\nb: c"}, "400 bad :authority"},
    {{":scheme", "ftp"}, "400 bad :scheme"},
    {{START, ":protocol", "websocket"}, "400 :protocol without CONNECT"},
    {{":unknown", "x"}, "400 unknown pseudo field"},
};

static const struct head_case trailers[] = {
    {{"x-sum", "1", "y", ""}, "x-sum: 1\r\ny: \r\n"},
    {{"x", "1", "content-length", "5", "authorization", "b", "host", "c"}, "x: 1\r\n"},
    {{"x", "1\n"}, "400 bad field"},
    {{":path", "/"}, "400 bad field"},
};

static void add_all(struct http2_head *head, const char *const *fields)
{
    for (unsigned i = 0; i < 2 * MAX_FIELDS && fields[i]; i += 2)
        http2_head_add(head, str_of(fields[i]), str_of(fields[i + 1]));
}

static void say(const struct http2_head *head, char *out, size_t size)
{
    if (head->refused_status) {
        snprintf(out, size, "%u %s", head->refused_status, head->reason);
        return;
    }
    size_t len = http2_head_text_bytes(head);
    assert_true(len < size);
    http2_head_write(head, out);
    out[len] = '\0';
}

static void fields_become_the_text_of_a_head(void **state)
{
    (void)state;
    struct http2_head head;
    char text[2 * MAX_BYTES];
    http2_head_init(&head, MAX_BYTES);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        http2_head_begin(&head, false);
        add_all(&head, requests[i].fields);
        http2_head_end(&head, false);
        say(&head, text, sizeof(text));
        assert_string_equal(text, requests[i].text);
    }
    http2_head_deinit(&head);
}

static void a_tunnel_that_ends_with_its_head_is_none(void **state)
{
    (void)state;
    const char *const fields[2 * MAX_FIELDS] = {CONNECT, ":protocol", "websocket"};
    struct http2_head head;
    char text[MAX_BYTES];
    http2_head_init(&head, MAX_BYTES);
    http2_head_begin(&head, false);
    add_all(&head, fields);
    assert_true(head.is_websocket);
    http2_head_end(&head, true);
    say(&head, text, sizeof(text));
    assert_string_equal(text, "400 a tunnel that is closed at once");
    http2_head_begin(&head, false);
    assert_false(head.is_websocket);
    http2_head_deinit(&head);
}

static void trailers_are_lines_of_fields_that_may_stand_there(void **state)
{
    (void)state;
    struct http2_head head;
    http2_head_init(&head, MAX_BYTES);
    for (size_t i = 0; i < sizeof(trailers) / sizeof(trailers[0]); i++) {
        char text[MAX_BYTES] = "";
        http2_head_begin(&head, true);
        add_all(&head, trailers[i].fields);
        struct str lines = buf_str(&head.lines);
        if (head.refused_status)
            say(&head, text, sizeof(text));
        else
            memcpy(text, lines.ptr, lines.len);
        assert_string_equal(text, trailers[i].text);
    }
    http2_head_deinit(&head);
}

static void a_head_has_a_largest_size(void **state)
{
    (void)state;
    struct http2_head head;
    char long_value[MAX_BYTES + 1];
    memset(long_value, 'a', MAX_BYTES);
    long_value[0] = '/';
    long_value[MAX_BYTES] = '\0';
    http2_head_init(&head, MAX_BYTES);

    http2_head_begin(&head, false);
    http2_head_add(&head, STR(":path"), str_of(long_value));
    assert_int_equal(head.refused_status, 414);

    http2_head_begin(&head, false);
    for (unsigned i = 0; i < MAX_BYTES / (HTTP2_FIELD_OVERHEAD + 2); i++)
        http2_head_add(&head, STR("a"), STR("b"));
    assert_int_equal(head.refused_status, 0);
    http2_head_add(&head, STR("a"), STR("b"));
    assert_int_equal(head.refused_status, 431);
    http2_head_deinit(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_become_the_text_of_a_head),
        cmocka_unit_test(a_tunnel_that_ends_with_its_head_is_none),
        cmocka_unit_test(trailers_are_lines_of_fields_that_may_stand_there),
        cmocka_unit_test(a_head_has_a_largest_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
