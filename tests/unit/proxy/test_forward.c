#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/http1.h"
#include "model/target_state.h"
#include "proxy/forward.h"

#define REQUEST_ID "0123456789abcdef0123456789abcdef"

/* What a client sends, and the configuration it meets. */
struct scene {
    const char *request;
    bool preserve_host;
    const char *host_header;
    const char *service_path;
    const char *target_host;
    uint16_t target_port;
    const char *own_host; /* what plugins put in their place */
    const char *own_path;
};

static char written[4096];

static struct http_head parse(const char *bytes, bool is_request)
{
    static struct http_head head;
    struct http1_parser parser;
    if (is_request)
        http1_begin_request(&parser, &head, 8192);
    else
        http1_begin_response(&parser, &head, 8192, false);
    assert_int_equal(http1_read_head(&parser, bytes, strlen(bytes)), HTTP1_DONE);
    return head;
}

static size_t forward(const struct scene *scene, size_t size)
{
    struct http_head head = parse(scene->request, true);
    struct service service = {.path = str_of(scene->service_path),
                              .host_header = str_of(scene->host_header)};
    struct route route = {
        .strip_path = true, .preserve_host = scene->preserve_host, .service = &service};
    struct router_match match = {.route = &route, .matched_len = 4, .has_path = true};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(scene->target_port ? scene->target_port : 80)};
    struct target_identity identity = {
        .host = str_of(scene->target_host ? scene->target_host : "10.0.0.1"),
        .address = (struct sockaddr *)&address};
    struct target_state *target;
    struct uri uri;
    assert_int_equal(target_state_create(&identity, 1, &target), 0);
    assert_true(uri_parse(http_span_str(&head, head.target), &uri));
    const struct http_field *host = http_head_find(&head, HEADER_HOST);
    struct forward_request request = {
        .head = &head,
        .uri = &uri,
        .path = uri.path,
        .match = &match,
        .target = target,
        .authority = host ? http_field_value(&head, host) : STR_EMPTY,
        .peer = STR("192.0.2.7"),
        .client = STR("192.0.2.7"),
        .listener_port = 8000,
        .request_id = REQUEST_ID,
        .own_host = str_of(scene->own_host),
        .own_path = str_of(scene->own_path),
    };
    size_t len = forward_write_request(&request, written, size);
    written[len] = '\0';
    target_state_unref(target);
    return len;
}

static const char *forwarded(const struct scene *scene)
{
    assert_true(forward(scene, sizeof(written) - 1) > 0);
    return written;
}

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in \"%s\"", part, text);
}

static void expect_no(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("\"%s\" in \"%s\"", part, text);
}

static void a_request_is_written_whole(void **state)
{
    (void)state;
    struct scene scene = {.request =
                              "POST /api/x?a=b HTTP/1.1\r\nHost: h:81\r\nContent-Length:  3 \r\n"
                              "a:b\r\n\r\n"};
    assert_string_equal(forwarded(&scene), "POST /x?a=b HTTP/1.1\r\n"
                                           "Host: 10.0.0.1\r\n"
                                           "a: b\r\n"
                                           "Content-Length: 3\r\n"
                                           "Connection: keep-alive\r\n"
                                           "X-Real-IP: 192.0.2.7\r\n"
                                           "X-Forwarded-For: 192.0.2.7\r\n"
                                           "X-Forwarded-Proto: http\r\n"
                                           "X-Forwarded-Host: h\r\n"
                                           "X-Forwarded-Port: 8000\r\n"
                                           "X-Forwarded-Path: /api/x\r\n"
                                           "X-Forwarded-Prefix: /api\r\n"
                                           "Via: 1.1 weir\r\n"
                                           "X-Kong-Request-Id: " REQUEST_ID "\r\n\r\n");
}

static void the_host_follows_route_service_or_target(void **state)
{
    (void)state;
    const char *request = "GET /api HTTP/1.1\r\nHost: Client:1\r\n\r\n";
    expect(forwarded(&(struct scene){request, .target_port = 81}), "\r\nHost: 10.0.0.1:81\r\n");
    expect(forwarded(&(struct scene){request, .target_host = "::1", .target_port = 81}),
           "\r\nHost: [::1]:81\r\n");
    expect(forwarded(&(struct scene){request, .host_header = "svc"}), "\r\nHost: svc\r\n");
    expect(forwarded(&(struct scene){request, .host_header = "svc", .preserve_host = true}),
           "\r\nHost: Client:1\r\n");
}

static void a_clients_claims_are_replaced_or_appended_to(void **state)
{
    (void)state;
    struct scene scene = {.request =
                              "GET /api HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1\r\n"
                              "X-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
                              "X-Forwarded-Prefix: /evil\r\nX-Kong-Request-Id: mine\r\n"
                              "Via: 1.0 a\r\nX-Forwarded-For: 2.2.2.2\r\nVia: 1.1 b\r\n\r\n"};
    const char *head = forwarded(&scene);
    expect(head, "\r\nX-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\n");
    expect(head, "\r\nVia: 1.0 a, 1.1 b, 1.1 weir\r\n");
    expect_no(head, "6.6.6.6");
    expect_no(head, "https");
    expect_no(head, "evil");
    expect_no(head, "mine");
}

static void what_is_for_this_hop_only_stays_here(void **state)
{
    (void)state;
    struct scene scene = {
        .request = "GET /api HTTP/1.1\r\nHost: h\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n"
                   "Keep-Alive: 5\r\nProxy: p\r\nProxy-Connection: x\r\nTE: gzip, trailers\r\n"
                   "Upgrade: websocket\r\n\r\n"};
    const char *head = forwarded(&scene);
    expect(head, "\r\nTE: trailers\r\nConnection: keep-alive, TE\r\n");
    expect_no(head, "X-Mine");
    expect_no(head, "Keep-Alive: ");
    expect_no(head, "Proxy");
    expect_no(head, "gzip");
    expect_no(head, "websocket");
}

static void an_http_1_0_client_is_told_in_via(void **state)
{
    (void)state;
    struct scene scene = {.request = "GET /api HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"};
    const char *head = forwarded(&scene);
    expect(head, "GET / HTTP/1.1\r\n");
    expect(head, "\r\nVia: 1.0 weir\r\n");
    expect_no(head, "Expect");
}

static void a_head_without_room_is_not_written(void **state)
{
    (void)state;
    struct scene scene = {.request = "GET /api/x?a=b HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"};
    size_t len = forward(&scene, sizeof(written) - 1);
    assert_true(len > 0);
    for (size_t size = 0; size < len; size++)
        assert_int_equal(forward(&scene, size), 0);
    assert_int_equal(forward(&scene, len), len);
}

/* --- responses --- */

static struct forward_response response_to(const struct http_head *head)
{
    return (struct forward_response){
        .head = head,
        .framing = head->framing,
        .has_body = head->framing != HTTP_NO_BODY,
        .keep_alive = true,
        .client_minor_version = 1,
        .request_id = REQUEST_ID,
        .date = STR("Sun, 06 Nov 1994 08:49:37 GMT"),
        .upstream_latency_ms = 12,
        .proxy_latency_ms = 3,
    };
}

static const char *responded(const struct forward_response *response)
{
    size_t len = forward_write_response(response, written, sizeof(written) - 1);
    assert_true(len > 0);
    written[len] = '\0';
    return written;
}

static void a_response_is_written_whole(void **state)
{
    (void)state;
    struct http_head head = parse("HTTP/1.1 404 Not  Here\r\nContent-Length: 3\r\nA: b\r\n"
                                  "Connection: close\r\nX-Kong-Request-Id: theirs\r\n\r\n",
                                  false);
    struct forward_response response = response_to(&head);
    assert_string_equal(responded(&response), "HTTP/1.1 404 Not  Here\r\n"
                                              "A: b\r\n"
                                              "Server: weir\r\n"
                                              "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                              "Content-Length: 3\r\n"
                                              "Via: 1.1 weir\r\n"
                                              "X-Kong-Upstream-Latency: 12\r\n"
                                              "X-Kong-Proxy-Latency: 3\r\n"
                                              "X-Kong-Request-Id: " REQUEST_ID "\r\n\r\n");
}

static void an_upstreams_server_and_date_stay(void **state)
{
    (void)state;
    struct http_head head =
        parse("HTTP/1.0 200 OK\r\nServer: s\r\nDate: d\r\nVia: 1.1 v\r\n\r\n", false);
    struct forward_response response = response_to(&head);
    response.framing = HTTP_CHUNKED;
    response.keep_alive = false;
    response.upstream_latency_ms = FORWARD_NO_LATENCY;
    const char *text = responded(&response);
    expect(text, "\r\nServer: s\r\nDate: d\r\n");
    expect(text, "\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n");
    expect(text, "\r\nVia: 1.1 v, 1.0 weir\r\n");
    expect_no(text, "Latency");
    expect_no(text, "1994");
}

static void an_http_1_0_client_is_told_that_it_is_kept(void **state)
{
    (void)state;
    struct http_head head = parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false);
    struct forward_response response = response_to(&head);
    response.client_minor_version = 0;
    expect(responded(&response), "\r\nContent-Length: 0\r\nConnection: keep-alive\r\n");
}

static void what_plugins_put_in_place_of_host_and_path_is_sent(void **state)
{
    (void)state;
    const char *text =
        forwarded(&(struct scene){.request = "GET /api/x?q HTTP/1.1\r\nHost: h\r\n\r\n",
                                  .preserve_host = true,
                                  .service_path = "/base",
                                  .own_host = "other:81",
                                  .own_path = "/own path/%3F"});
    static const char start[] = "GET /own%20path/%3F?q HTTP/1.1\r\nHost: other:81\r\n";
    assert_memory_equal(text, start, sizeof(start) - 1);
    assert_null(strstr(text, "\nHost: h"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_plugins_put_in_place_of_host_and_path_is_sent),
        cmocka_unit_test(a_request_is_written_whole),
        cmocka_unit_test(the_host_follows_route_service_or_target),
        cmocka_unit_test(a_clients_claims_are_replaced_or_appended_to),
        cmocka_unit_test(what_is_for_this_hop_only_stays_here),
        cmocka_unit_test(an_http_1_0_client_is_told_in_via),
        cmocka_unit_test(a_head_without_room_is_not_written),
        cmocka_unit_test(a_response_is_written_whole),
        cmocka_unit_test(an_upstreams_server_and_date_stay),
        cmocka_unit_test(an_http_1_0_client_is_told_that_it_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
