/* A worker between a client and its targets: what crosses, what is kept, what comes and goes. */
#include "unit/proxy/peers.h"

static void a_request_crosses_and_both_connections_are_kept(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "GET /api/x?q=1 HTTP/1.1\r\nHost: Example.com:81\r\nA: b\r\nConnection: "
                "x-hop\r\nX-Hop: 1\r\n\r\n");

    int target = accept_one(stage.targets[0]);
    const char *head = get_head(target);
    expect_text(head, "GET /x?q=1 HTTP/1.1\r\n");
    expect_text(head, "\r\nA: b\r\n");
    expect_text(head, "\r\nX-Forwarded-Host: Example.com\r\n");
    expect_text(head, "\r\nX-Forwarded-Prefix: /api\r\n");
    expect_text(head, "\r\nX-Real-IP: 127.0.0.1\r\n");
    expect_text(head, "\r\nVia: 1.1 weir\r\n");
    expect_no_text(head, "X-Hop");
    put(target, "HTTP/1.1 201 Made\r\nContent-Length: 3\r\nB: c\r\n\r\nxyz");
    const char *answer = get_until(client, "xyz");
    expect_text(answer, "HTTP/1.1 201 Made\r\n");
    expect_text(answer, "\r\nB: c\r\n");
    expect_text(answer, "\r\nServer: weir\r\n");
    expect_text(answer, "\r\nVia: 1.1 weir\r\n");
    expect_text(answer, "\r\nX-Kong-Upstream-Latency: ");
    expect_text(answer, "\r\nX-Kong-Request-Id: ");

    exchange_once(client, target);
    close(client);
    char *log = stage_stop(&stage);
    expect_text(log, "127.0.0.1 - - [");
    expect_text(log, "\"GET /api/x?q=1 HTTP/1.1\" 201 3 \"-\" \"-\" kong_request_id: \"");
    free(log);
    close(target);
}

static void a_chunked_request_stays_chunked_with_its_trailers(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "POST /api HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                "2\r\nab\r\n3\r\ncde\r\n0\r\nT: u\r\n\r\n");
    int target = accept_one(stage.targets[0]);
    const char *head = get_head(target);
    expect_text(head, "POST / HTTP/1.1\r\n");
    expect_text(head, "\r\nTransfer-Encoding: chunked\r\n");
    expect_text(get_until(target, "0\r\nT: u\r\n\r\n"), "5\r\nabcde\r\n");
    put(target, OK_3);
    get_until(client, "xyz");
    close(client);
    close(target);
    stage_end(&stage);
}

static void a_chunked_response_is_framed_anew(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n");
    expect_text(get_head(client), "\r\nTransfer-Encoding: chunked\r\n");
    get_until(client, "c\r\n");
    put(target, "0\r\nT: u\r\n\r\n");
    get_until(client, "0\r\nT: u\r\n\r\n");
    exchange_once(client, target);
    close(client);
    close(target);
    stage_end(&stage);
}

static void a_response_until_close_is_chunked_for_http_1_1(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, "HTTP/1.0 200 OK\r\n\r\nxyz");
    close(target);
    expect_text(get_head(client), "\r\nTransfer-Encoding: chunked\r\n");
    expect_text(get_until(client, "0\r\n\r\n"), "3\r\nxyz\r\n");

    put(client, GET);
    target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, OK_3);
    get_until(client, "xyz");
    close(client);
    close(target);
    stage_end(&stage);
}

static void an_http_1_0_client_gets_no_chunks(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "GET /api HTTP/1.0\r\n\r\n");
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n");
    const char *head = get_head(client);
    expect_no_text(head, "chunked");
    expect_text(head, "\r\nConnection: close\r\n");
    get_until(client, "xyz");
    expect_closed(client);
    close(client);
    close(target);
    stage_end(&stage);
}

static void responses_without_body_end_with_their_head(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "HEAD /api HTTP/1.1\r\nHost: h\r\n\r\n");
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
    expect_text(get_head(client), "\r\nContent-Length: 500\r\n");
    put(client, GET);
    get_head(target);
    put(target, "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n");
    expect_no_text(get_head(client), "Transfer-Encoding");
    exchange_once(client, target);
    close(client);
    close(target);
    stage_end(&stage);
}

static void interim_responses_pass(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client,
        "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    int target = accept_one(stage.targets[0]);
    expect_text(get_head(target), "\r\nExpect: 100-continue\r\n");
    put(target, "HTTP/1.1 100 Continue\r\n\r\n");
    expect_text(get_head(client), "HTTP/1.1 100 Continue\r\n");
    put(client, "hi");
    get_until(target, "hi");
    put(target, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK_3);
    expect_text(get_head(client), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n");
    get_until(client, "xyz");
    close(client);
    close(target);
    stage_end(&stage);
}

static void heads_in_pieces_are_put_together(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    const char *request = "POST /api/y HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
    const char *response =
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nxyz";
    int one = 1;
    setsockopt(client, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    for (const char *at = request; *at; at++) {
        put_bytes(client, at, 1);
        usleep(500); /* so that they are read one by one; nothing depends on it */
    }
    int target = accept_one(stage.targets[0]);
    expect_text(get_until(target, "\r\n\r\nhi"), "POST /y HTTP/1.1\r\n");
    setsockopt(target, IPPROTO_TCP, 1, &one, sizeof(one));
    for (const char *at = response; *at; at++) {
        put_bytes(target, at, 1);
        usleep(500);
    }
    get_head(client);
    get_until(client, "xyz");
    exchange_once(client, target);
    close(client);
    close(target);
    stage_end(&stage);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, "GET /api/1 HTTP/1.1\r\nHost: h\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n"
                "GET /api/3 HTTP/1.1\r\nHost: h\r\n\r\n");
    shutdown(client, SHUT_WR);
    int target = accept_one(stage.targets[0]);
    expect_text(get_head(target), "GET /1 ");
    put(target, OK_3);
    get_until(client, "xyz");
    expect_text(get_until(client, "\"\n}"), "HTTP/1.1 404 ");
    expect_text(get_head(target), "GET /3 ");
    put(target, OK_3);
    get_until(client, "xyz");
    expect_closed(client);
    close(client);
    close(target);
    stage_end(&stage);
}

static void many_pipelined_requests_need_no_deep_stack(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    static char requests[2000 * 32];
    char *end = requests;
    for (int i = 0; i < 1500; i++)
        end += sprintf(end, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n");
    put_bytes(client, requests, (size_t)(end - requests));
    for (int i = 0; i < 1500; i++)
        get_until(client, "\"\n}");
    close(client);
    stage_end(&stage);
}

static void an_https_route_asks_for_https(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.protocols = PROTOCOL_HTTPS;
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    const char *answer = get_until(client, "\"\n}");
    expect_text(answer, "HTTP/1.1 426 Upgrade Required\r\n");
    expect_text(answer, "\r\nUpgrade: TLS/1.2, HTTP/1.1\r\n");
    close(client);
    stage_end(&stage);
}

static void a_new_snapshot_is_in_force_at_once(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    for (uint64_t version = 2; version < 5; version++) /* under a running exchange */
        worker_publish(stage.worker, stage_snapshot(&stage, version, version < 4 ? "/a" : "/b"));
    put(target, OK_3);
    get_until(client, "xyz");
    put(client, GET);
    expect_text(get_head(target), "GET /b/x ");
    put(target, OK_3);
    get_until(client, "xyz");
    close(client);
    close(target);
    stage_end(&stage);
}

/* --- endpoints --- */

struct change_mail {
    struct mail mail;
    struct endpoints *old;
    uv_sem_t done;
};

static void deliver_change(struct mail *mail, void *owner)
{
    struct change_mail *change = (struct change_mail *)mail;
    worker_endpoints_changed(owner, change->old);
    uv_sem_post(&change->done);
}

static void change_endpoints(struct stage *stage, struct endpoints *endpoints)
{
    struct change_mail change = {.mail.deliver = deliver_change,
                                 .old = upstream_state_swap(stage->upstream, endpoints)};
    uv_sem_init(&change.done, 0);
    worker_post(stage->worker, &change.mail);
    uv_sem_wait(&change.done);
    uv_sem_destroy(&change.done);
    endpoints_destroy(change.old);
}

static void requests_wait_for_the_first_endpoints(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.is_pending = true;
    stage_start(&stage);
    int clients[3];
    struct worker_counters counters = {0};
    for (int i = 0; i < 3; i++) {
        clients[i] = stage_client(&stage);
        put(clients[i], GET);
    }
    while (counters.exchanges_active < 3) {
        counters = (struct worker_counters){0};
        worker_read_counters(stage.worker, &counters);
    }
    reset(clients[2]);
    change_endpoints(&stage, stage_endpoints(&stage));
    for (int i = 0; i < 2; i++) {
        int target = accept_one(stage.targets[0]);
        get_head(target);
        put(target, OK_3);
        close(target);
    }
    for (int i = 0; i < 2; i++) {
        get_until(clients[i], "xyz");
        close(clients[i]);
    }
    stage_end(&stage);
}

static void endpoints_that_never_come_are_a_503(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage.is_pending = true;
    stage.timeout_ms = 150;
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    const char *answer = get_until(client, "\"\n}");
    expect_text(answer, "HTTP/1.1 503 Service Unavailable\r\n");
    expect_text(answer, "name resolution failed");
    close(client);
    stage_end(&stage);
}

static void connections_to_a_target_that_left_are_closed(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int clients[2], targets[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = stage_client(&stage);
        put(clients[i], GET);
        targets[i] = accept_one(stage.targets[0]);
        get_head(targets[i]);
    }
    put(targets[0], OK_3);
    get_until(clients[0], "xyz");

    struct endpoints *none;
    assert_int_equal(endpoints_create(ENDPOINTS_KNOWN, NULL, 0, &none), 0);
    atomic_store(&stage.target_states[0]->gone, true);
    change_endpoints(&stage, none);
    expect_closed(targets[0]); /* was idle */
    put(targets[1], OK_3);     /* was busy */
    get_until(clients[1], "xyz");
    expect_closed(targets[1]);

    put(clients[0], GET);
    expect_text(get_until(clients[0], "\"\n}"), "failure to get a peer from the ring-balancer");
    for (int i = 0; i < 2; i++) {
        close(clients[i]);
        close(targets[i]);
    }
    stage_end(&stage);
}

/* --- large bodies --- */

#define LARGE_BYTES (24 * 1024 * 1024)

static void write_large(void *arg)
{
    static char block[100 * 1000];
    int fd = *(int *)arg;
    memset(block, 'x', sizeof(block));
    for (size_t left = LARGE_BYTES; left > 0;) {
        size_t len = left < sizeof(block) ? left : sizeof(block);
        if (send(fd, block, len, MSG_NOSIGNAL) != (ssize_t)len)
            return; /* the reader sees that it is short */
        left -= len;
    }
}

static void read_large(int fd)
{
    static char block[64 * 1024];
    for (size_t left = LARGE_BYTES; left > 0;) {
        ssize_t count = recv(fd, block, left < sizeof(block) ? left : sizeof(block), 0);
        assert_true(count > 0);
        for (ssize_t i = 0; i < count; i++)
            assert_int_equal(block[i], 'x');
        left -= (size_t)count;
    }
}

static size_t resident_kib(void)
{
    size_t total, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_int_equal(fscanf(file, "%zu %zu", &total, &resident), 2);
    fclose(file);
    return resident * 4;
}

static void large_bodies_stream_both_ways_in_bounded_memory(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    char head[128];
    sprintf(head, "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", LARGE_BYTES);
    put(client, head);
    uv_thread_t writer;
    uv_thread_create(&writer, write_large, &client);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    usleep(200 * 1000); /* the writer meets a wall meanwhile; nothing depends on it */
    size_t before = resident_kib();
    read_large(target);
    uv_thread_join(&writer);

    sprintf(head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE_BYTES);
    put(target, head);
    uv_thread_create(&writer, write_large, &target);
    get_head(client);
    usleep(200 * 1000);
    read_large(client);
    uv_thread_join(&writer);
    assert_true(resident_kib() < before + LARGE_BYTES / 1024 / 2);
    exchange_once(client, target);
    close(client);
    close(target);
    stage_end(&stage);
}

/* --- the end --- */

static void a_stop_lets_exchanges_end(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int idle = stage_client(&stage);
    put(idle, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    put(target, OK_3);
    get_until(idle, "xyz");
    int busy = stage_client(&stage);
    put(busy, GET);
    get_head(target);

    worker_stop(stage.worker, 10000, ignore_stop, NULL);
    expect_closed(idle);
    put(target, OK_3);
    expect_text(get_until(busy, "xyz"), "\r\nConnection: close\r\n");
    expect_closed(busy);
    expect_closed(target);
    close(idle);
    close(busy);
    close(target);
    worker_join(stage.worker);
    target_state_unref(stage.target_states[0]);
    upstream_state_unref(stage.upstream);
    close(stage.targets[0]);
    unlink(stage.log_path);
}

static void a_stop_cuts_what_takes_too_long(void **state)
{
    (void)state;
    struct stage stage = stage_with(1);
    stage_start(&stage);
    int client = stage_client(&stage);
    put(client, GET);
    int target = accept_one(stage.targets[0]);
    get_head(target);
    worker_stop(stage.worker, 150, ignore_stop, NULL);
    expect_closed(client);
    expect_closed(target);
    close(client);
    close(target);
    worker_join(stage.worker);
    target_state_unref(stage.target_states[0]);
    upstream_state_unref(stage.upstream);
    close(stage.targets[0]);
    unlink(stage.log_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_crosses_and_both_connections_are_kept),
        cmocka_unit_test(a_chunked_request_stays_chunked_with_its_trailers),
        cmocka_unit_test(a_chunked_response_is_framed_anew),
        cmocka_unit_test(a_response_until_close_is_chunked_for_http_1_1),
        cmocka_unit_test(an_http_1_0_client_gets_no_chunks),
        cmocka_unit_test(responses_without_body_end_with_their_head),
        cmocka_unit_test(interim_responses_pass),
        cmocka_unit_test(heads_in_pieces_are_put_together),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(many_pipelined_requests_need_no_deep_stack),
        cmocka_unit_test(an_https_route_asks_for_https),
        cmocka_unit_test(a_new_snapshot_is_in_force_at_once),
        cmocka_unit_test(requests_wait_for_the_first_endpoints),
        cmocka_unit_test(endpoints_that_never_come_are_a_503),
        cmocka_unit_test(connections_to_a_target_that_left_are_closed),
        cmocka_unit_test(large_bodies_stream_both_ways_in_bounded_memory),
        cmocka_unit_test(a_stop_lets_exchanges_end),
        cmocka_unit_test(a_stop_cuts_what_takes_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
