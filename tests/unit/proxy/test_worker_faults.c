/* A worker whose targets or clients fail: what is asked for again, what is told, what ends. */
#include "unit/proxy/peers.h"

static void a_get_goes_elsewhere_when_a_target_refuses(void **state)
{
    (void)state;
    struct stage stage = stage_with(3);
    close(stage.targets[0]);
    close(stage.targets[1]);
    stage.targets[0] = stage.targets[1] = -1;
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[2]);
    exchange_once(client, target); /* of two requests: the first one is written already */
    get_head(target);
    put(target, OK_3);
    close(client);
    close(target);
    stage_end(&stage);
}

static void a_post_goes_elsewhere_when_it_was_not_sent(void **state)
{
    (void)state;
    struct stage stage = stage_with(2);
    close(stage.targets[0]);
    stage.targets[0] = -1;
    stage_start(&stage);
    int client = stage_client(&stage);
    int target = -1;
    for (int i = 0; i < 2; i++) { /* one of them meets the dead target first */
        put(client, "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
        if (target < 0)
            target = accept_one(stage.targets[1]);
        get_until(target, "\r\n\r\nhi");
        put(target, OK_3);
        expect_text(get_until(client, "xyz"), " 200 OK\r\n");
    }
    close(client);
    close(target);
    stage_end(&stage);
}

static void a_post_that_was_sent_is_not_repeated(void **state)
{
    (void)state;
    struct stage stage = stage_with(2);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client,
        "POST /api HTTP/1.1\r\nHost: h\r\nAccept: text/plain\r\nContent-Length: 2\r\n\r\nhi");
    int target = accept_one(stage.targets[0]);
    get_until(target, "\r\n\r\nhi");
    reset(target);
    expect_text(get_until(client, "\nrequest_id: "), "HTTP/1.1 502 Bad Gateway\r\n");
    close(client);
    stage_end(&stage);
}

static void a_get_whose_target_dies_is_repeated_with_its_content(void **state)
{
    (void)state;
    struct stage stage = stage_with(2);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "PUT /api HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
    int target = accept_one(stage.targets[0]);
    get_until(target, "2\r\nab\r\n");
    put(target, "HTTP/1.1 200 O"); /* not a whole head: the client has seen nothing */
    reset(target);
    target = accept_one(stage.targets[1]);
    get_until(target, "2\r\nab\r\n");
    put(client, "1\r\nc\r\n0\r\n\r\n");
    get_until(target, "1\r\nc\r\n0\r\n\r\n");
    put(target, OK_3);
    get_until(client, "xyz");
    close(client);
    close(target);
    stage_end(&stage);
}

static void a_kept_connection_that_dies_is_no_failure(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.retries = 0;
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, OK_3);
    get_until(client, "xyz");
    put(client, GET);
    get_head(target);
    close(target); /* just when it is used again */
    target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, OK_3);
    get_until(client, "xyz");
    close(client);
    close(target);
    stage_end(&stage);
}

static void the_last_target_gone_is_a_502(void **state)
{
    (void)state;
    struct stage stage = stage_with(2);
    for (int i = 0; i < 2; i++) {
        close(stage.targets[i]);
        stage.targets[i] = -1;
    }
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "GET /api HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n");
    const char *answer = get_until(client, "\"\n}");
    expect_text(answer, "HTTP/1.1 502 Bad Gateway\r\n");
    expect_text(answer, "An invalid response was received from the upstream server");
    expect_text(answer, "\r\nVia: 1.1 weir\r\n");
    close(client);
    stage_end(&stage);
}

static void a_silent_target_is_a_504(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.timeout_ms = 150;
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "GET /api HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n");
    int target = accept_one(stage.targets[0]);
    get_head(target);
    expect_text(get_until(client, "\"\n}"), "HTTP/1.1 504 Gateway Timeout\r\n");
    expect_closed(target);
    close(client);
    close(target);
    stage_end(&stage);
}

static void garbage_from_a_target_is_a_502(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, "SSH-2.0-x\r\n\r\n");
    expect_text(get_until(client, "\nrequest_id: "), "HTTP/1.1 502 Bad Gateway\r\n");
    expect_closed(target);
    close(client);
    close(target);
    stage_end(&stage);
}

static void a_response_cut_short_cuts_the_clients(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n");
    get_until(client, "xyz\r\n");
    close(target);
    expect_closed(client);
    close(client);
    stage_end(&stage);
}

static void a_short_response_that_breaks_off_is_asked_for_elsewhere(void **state)
{
    (void)state;
    struct stage stage = stage_with(2);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
    reset(target);
    target = accept_one(stage.targets[1]);
    get_head(target);
    put(target, OK_3);
    get_until(client, "\r\n\r\nxyz");
    close(client);
    close(target);
    stage_end(&stage);
}

static void a_short_response_is_not_held_for_long(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na");
    get_until(client, "\r\n\r\na");
    put(target, "bc");
    get_until(client, "bc");
    exchange_once(client, target);
    close(client);
    close(target);
    stage_end(&stage);
}

static void slow_heads_are_told_408(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.settings.client_header_timeout_ms = 150;
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "GET /api HT");
    expect_text(get_until(client, "\nrequest_id: "), "HTTP/1.1 408 Request Timeout\r\n");
    close(client);
    char *log = stage_stop(&stage);
    expect_text(log, "\"GET /api HT\" 408 ");
    free(log);
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.settings.client_idle_timeout_ms = 150;
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, OK_3);
    get_until(client, "xyz");
    expect_closed(client);
    close(client);
    close(target);
    stage_end(&stage);
}

static void a_slow_body_is_told_408(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.settings.client_body_timeout_ms = 150;
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
    int target = accept_one(stage.targets[0]);
    get_until(target, "\r\n\r\nab");
    expect_text(get_until(client, "\nrequest_id: "), "HTTP/1.1 408 Request Timeout\r\n");
    expect_closed(target);
    close(client);
    close(target);
    stage_end(&stage);
}

static void bad_and_oversized_requests_are_refused(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.settings.max_body_bytes = 10;
    stage.settings.max_head_bytes = 1024;
    stage_start(&stage);
    static char long_head[4096];
    sprintf(long_head, "GET /api HTTP/1.1\r\nHost: h\r\nA: %02000d\r\n\r\n", 1);
    const struct {
        const char *request;
        const char *status;
    } cases[] = {
        {"GET /api HTTP/1.1\r\nHost h\r\n\r\n", "HTTP/1.1 400 "},
        {"FETCH /api HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 501 "},
        {"GET /api HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET /api HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /api HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
         "HTTP/1.1 400 "},
        {"POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", "HTTP/1.1 413 "},
        {"POST /api HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n",
         "HTTP/1.1 413 "},
        {long_head, "HTTP/1.1 431 "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int client = stage_client(&stage);
        put(client, cases[i].request);
        const char *answer = get_until(client, "\nrequest_id: ");
        expect_text(answer, cases[i].status);
        expect_text(answer, "\r\nConnection: close\r\n");
        char rest[64];
        assert_true(recv(client, rest, sizeof(rest), 0) > 0);
        expect_closed(client);
        close(client);
    }
    char *log = stage_stop(&stage);
    expect_text(log, "\"FETCH /api HTTP/1.1\" 501 ");
    expect_text(log, "\"POST /api HTTP/1.1\" 413 ");
    free(log);
}

static void a_client_that_aborts_is_logged_as_499(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    reset(client);
    expect_closed(target);
    close(target);
    client = stage_client(&stage);
    put(client, GET);
    target = accept_one(stage.targets[0]);
    get_head(target);
    close(client); /* without a reset, this takes a moment */
    expect_closed(target);
    close(target);
    char *log = stage_stop(&stage);
    const char *first = strstr(log, "\" 499 0 ");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "\" 499 0 "));
    free(log);
}

static void a_half_closed_client_is_answered(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    shutdown(client, SHUT_WR);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, OK_3);
    get_until(client, "xyz");
    expect_closed(client);
    close(client);
    close(target);
    stage_end(&stage);
}

static void an_early_response_ends_the_connection(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nab");
    int target = accept_one(stage.targets[0]);
    get_until(target, "\r\n\r\nab");
    put(target, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    expect_text(get_until(client, "\r\n\r\nno"), "\r\nConnection: close\r\n");
    put(client, "more of what nobody reads");
    expect_closed(client);
    expect_closed(target);
    close(client);
    close(target);
    stage_end(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_goes_elsewhere_when_a_target_refuses),
        cmocka_unit_test(a_post_goes_elsewhere_when_it_was_not_sent),
        cmocka_unit_test(a_post_that_was_sent_is_not_repeated),
        cmocka_unit_test(a_get_whose_target_dies_is_repeated_with_its_content),
        cmocka_unit_test(a_kept_connection_that_dies_is_no_failure),
        cmocka_unit_test(the_last_target_gone_is_a_502),
        cmocka_unit_test(a_silent_target_is_a_504),
        cmocka_unit_test(garbage_from_a_target_is_a_502),
        cmocka_unit_test(a_response_cut_short_cuts_the_clients),
        cmocka_unit_test(a_short_response_that_breaks_off_is_asked_for_elsewhere),
        cmocka_unit_test(a_short_response_is_not_held_for_long),
        cmocka_unit_test(slow_heads_are_told_408),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(a_slow_body_is_told_408),
        cmocka_unit_test(bad_and_oversized_requests_are_refused),
        cmocka_unit_test(a_client_that_aborts_is_logged_as_499),
        cmocka_unit_test(a_half_closed_client_is_answered),
        cmocka_unit_test(an_early_response_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
