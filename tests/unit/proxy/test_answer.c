#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/http1.h"
#include "proxy/answer.h"

#define REQUEST_ID "0123456789abcdef0123456789abcdef"

static char written[4096];

static struct http_head *parse(const char *fields)
{
    static struct http_head head;
    static char bytes[512];
    struct http1_parser parser;
    strcpy(bytes, "POST / HTTP/1.1\r\nHost: h\r\n");
    strcat(bytes, fields);
    strcat(bytes, "\r\n");
    http1_begin_request(&parser, &head, 8192);
    assert_int_equal(http1_read_head(&parser, bytes, strlen(bytes)), HTTP1_DONE);
    return &head;
}

static void the_media_type_is_the_best_that_is_accepted(void **state)
{
    (void)state;
    const struct {
        const char *fields;
        bool is_core;
        enum answer_media media;
    } cases[] = {
        {"", false, ANSWER_JSON},
        {"", true, ANSWER_PLAIN},
        {"Content-Type: application/json; charset=x\r\n", true, ANSWER_JSON},
        {"Content-Type: image/png\r\n", true, ANSWER_PLAIN},
        {"Accept: */*\r\n", true, ANSWER_JSON},
        {"Accept: text/html\r\n", false, ANSWER_HTML},
        {"Accept: TEXT/*\r\n", false, ANSWER_PLAIN},
        {"Accept: application/xml\r\n", false, ANSWER_XML},
        {"Accept: image/png\r\n", true, ANSWER_JSON},
        {"Accept: text/html;q=0.5, application/xml ; q=0.85,*/*;q=0.1\r\n", false, ANSWER_XML},
        {"Accept: text/plain, text/html\r\n", false, ANSWER_PLAIN},
        {"Accept: text/html;q=0, application/json;q=0.001\r\n", false, ANSWER_JSON},
        {"Accept: ,;q=,;;q==,text/html;q=nonsense\r\n", false, ANSWER_HTML},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(answer_choose_media(parse(cases[i].fields), cases[i].is_core),
                         cases[i].media);
    assert_int_equal(answer_choose_media(NULL, true), ANSWER_PLAIN);
}

static const char *answered(const struct answer *answer, const struct answer_context *context,
                            size_t *ret_body_len)
{
    struct str body;
    size_t len = answer_write(answer, context, written, sizeof(written) - 1, &body);
    assert_true(len > 0);
    if (body.len > 0)
        memmove(written + len, body.ptr, body.len);
    written[len + body.len] = '\0';
    *ret_body_len = body.len;
    return written;
}

static struct answer_context context_of(const struct http_head *head)
{
    return (struct answer_context){.request = head,
                                   .keep_alive = true,
                                   .client_minor_version = 1,
                                   .request_id = REQUEST_ID,
                                   .date = STR("Sun, 06 Nov 1994 08:49:37 GMT"),
                                   .add_latency = true,
                                   .upstream_latency_ms = 7,
                                   .gateway_latency_ms = 2};
}

static void an_answer_is_written_whole(void **state)
{
    (void)state;
    struct answer answer = {.status = 404, .message = "no Route matched with those values"};
    struct answer_context context = context_of(parse(""));
    size_t body_len;
    assert_string_equal(answered(&answer, &context, &body_len),
                        "HTTP/1.1 404 Not Found\r\n"
                        "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                        "Content-Type: application/json; charset=utf-8\r\n"
                        "Content-Length: 103\r\n"
                        "Server: weir\r\n"
                        "X-Kong-Response-Latency: 2\r\n"
                        "X-Kong-Request-Id: " REQUEST_ID "\r\n\r\n"
                        "{\n  \"message\":\"no Route matched with those values\",\n"
                        "  \"request_id\":\"" REQUEST_ID "\"\n}");
    assert_int_equal(body_len, 103);
}

static void every_media_type_has_its_body(void **state)
{
    (void)state;
    const struct {
        const char *accept;
        const char *body;
    } cases[] = {
        {"Accept: text/plain\r\n", "\r\n\r\nText\nrequest_id: " REQUEST_ID "\n"},
        {"Accept: application/xml\r\n",
         "\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>Text</message>\n"
         "  <requestid>" REQUEST_ID "</requestid>\n</error>\n"},
        {"Accept: text/html\r\n", "<p>Text.</p>\n    <p>request_id: " REQUEST_ID "</p>"},
    };
    struct answer answer = {.status = 500, .message = "Text"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct answer_context context = context_of(parse(cases[i].accept));
        size_t body_len;
        const char *text = answered(&answer, &context, &body_len);
        if (!strstr(text, cases[i].body))
            fail_msg("no \"%s\" in \"%s\"", cases[i].body, text);
        char length[64];
        snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", body_len);
        assert_non_null(strstr(text, length));
        assert_int_equal(strlen(strstr(text, "\r\n\r\n") + 4), body_len);
    }
}

static void an_answer_to_head_has_a_length_and_no_body(void **state)
{
    (void)state;
    struct answer answer = {.status = 404, .message = "x"};
    struct answer_context context = context_of(parse(""));
    size_t body_len;
    context.is_head = true;
    const char *text = answered(&answer, &context, &body_len);
    assert_int_equal(body_len, 0);
    assert_non_null(strstr(text, "\r\nContent-Length: 70\r\n"));
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
}

static void an_answer_after_a_try_tells_the_upstreams_part(void **state)
{
    (void)state;
    struct answer answer = {.status = 504, .message = "x", .is_proxied = true};
    struct answer_context context = context_of(parse(""));
    size_t body_len;
    context.keep_alive = false;
    const char *text = answered(&answer, &context, &body_len);
    assert_non_null(strstr(text, "\r\nVia: 1.1 weir\r\nX-Kong-Upstream-Latency: 7\r\n"
                                 "X-Kong-Proxy-Latency: 2\r\n"));
    assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
    assert_null(strstr(text, "Response-Latency"));
}

static void an_answer_without_room_is_not_written(void **state)
{
    (void)state;
    struct answer answer = {.status = 404, .message = "x"};
    struct answer_context context = context_of(parse(""));
    struct str body;
    size_t body_len;
    size_t len = strlen(answered(&answer, &context, &body_len));
    for (size_t size = 0; size < len; size++)
        assert_int_equal(answer_write(&answer, &context, written, size, &body), 0);
    assert_true(answer_write(&answer, &context, written, len, &body) > 0);
}

static void a_body_of_its_own_needs_no_room(void **state)
{
    (void)state;
    static char long_body[2 * sizeof(written)];
    struct answer answer = {.status = 503,
                            .message = "",
                            .body = {long_body, sizeof(long_body)},
                            .content_type = STR("text/plain")};
    struct answer_context context = context_of(parse(""));
    struct str body;
    size_t len = answer_write(&answer, &context, written, sizeof(written), &body);
    assert_true(len > 0 && len < sizeof(written));
    assert_memory_equal(written + len - 4, "\r\n\r\n", 4);
    assert_ptr_equal(body.ptr, long_body);
    assert_int_equal(body.len, sizeof(long_body));
    context.is_head = true;
    assert_int_equal(answer_write(&answer, &context, written, sizeof(written), &body), len);
    assert_int_equal(body.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_media_type_is_the_best_that_is_accepted),
        cmocka_unit_test(an_answer_is_written_whole),
        cmocka_unit_test(every_media_type_has_its_body),
        cmocka_unit_test(an_answer_to_head_has_a_length_and_no_body),
        cmocka_unit_test(an_answer_after_a_try_tells_the_upstreams_part),
        cmocka_unit_test(an_answer_without_room_is_not_written),
        cmocka_unit_test(a_body_of_its_own_needs_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
