/* The Admin API's server: how it speaks HTTP, whatever the client does. */
#include "api.h"

#define GET "GET /services HTTP/1.1\r\nHost: a\r\n"
#define EMPTY_LIST "{\"data\":[],\"next\":null}"

static void wait_for_close(struct client *client)
{
    while (!client->is_closed)
        receive_more(client);
    assert_int_equal(client->len, 0);
}

TEST(every_answer_has_kongs_headers)
{
    struct reply reply = call("GET", "/services", NULL);
    assert_string_equal(find_field(&reply, "Server"), "kong/3.9.1");
    assert_string_equal(find_field(&reply, "Access-Control-Allow-Origin"), "*");
    assert_string_equal(find_field(&reply, "Access-Control-Allow-Credentials"), "true");
    assert_string_equal(find_field(&reply, "Connection"), "keep-alive");
    assert_string_equal(find_field(&reply, "Content-Length"), "23");
    assert_non_null(find_field(&reply, "Date"));
    assert_non_null(find_field(&reply, "X-Kong-Admin-Latency"));
    assert_null(find_field(&reply, "Allow"));
    free_reply(&reply);
}

TEST(unknown_paths_and_verbs_have_answers_of_their_own)
{
    static const char *const unknown[] = {"/none",           "/services/a/b",      "/services//",
                                          "//services",      "/status/x",          "/a/b/c/d/e/f/g",
                                          "/services/a/b/c", "/upstreams/u/x/y/z", "/Services"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        assert_answer("GET", unknown[i], NULL, 404, "{\"message\":\"Not found\"}");
    struct reply reply = call("DELETE", "/services", NULL);
    assert_int_equal(reply.status, 405);
    assert_string_equal(reply.text, "{\"message\":\"Method not allowed\"}");
    assert_string_equal(find_field(&reply, "Allow"), "GET, HEAD, OPTIONS, POST");
    assert_null(find_field(&reply, "Access-Control-Allow-Methods"));
    free_reply(&reply);
    assert_status("POST", "/services/x", "host=h", 405);
    assert_status("PROPFIND", "/services", NULL, 405);
}

TEST(a_body_of_unknown_type_is_refused_without_a_word)
{
    struct client client;
    connect_client(&client);
    static const char *const types[] = {"text/plain", NULL};
    for (size_t i = 0; i < 2; i++) {
        send_request(&client, "POST", "/services", types[i], "host=h");
        struct reply reply = read_reply(&client, false);
        assert_int_equal(reply.status, 415);
        assert_string_equal(reply.text, "");
        assert_string_equal(find_field(&reply, "Content-Length"), "0");
        free_reply(&reply);
    }
    /* A path that is not there is said first; a verb that is not there, after. */
    send_request(&client, "POST", "/none", "text/plain", "x");
    struct reply reply = read_reply(&client, false);
    assert_int_equal(reply.status, 404);
    free_reply(&reply);
    send_request(&client, "POST", "/services/x", "text/plain", "x");
    reply = read_reply(&client, false);
    assert_int_equal(reply.status, 415);
    free_reply(&reply);
    /* No body needs no type. */
    send_request(&client, "PUT", "/services/x", NULL, NULL);
    reply = read_reply(&client, false);
    assert_int_equal(reply.status, 400);
    assert_string_equal(text_at(reply.body, "fields.host"), "required field missing");
    free_reply(&reply);
    close_client(&client);
}

TEST(head_is_get_without_the_body)
{
    struct client client;
    connect_client(&client);
    send_request(&client, "HEAD", "/services", NULL, NULL);
    send_request(&client, "GET", "/services", NULL, NULL);
    struct reply reply = read_reply(&client, true);
    assert_int_equal(reply.status, 200);
    assert_string_equal(find_field(&reply, "Content-Length"), "23");
    free_reply(&reply);
    reply = read_reply(&client, false); /* nothing of the first one's body is in between */
    assert_string_equal(reply.text, EMPTY_LIST);
    free_reply(&reply);
    close_client(&client);
}

TEST(options_tell_browsers_what_they_may_do)
{
    struct client client;
    connect_client(&client);
    send_text(&client, "OPTIONS /services/x HTTP/1.1\r\nHost: a\r\nOrigin: http://gui:8002\r\n"
                       "Access-Control-Request-Headers: X-One, X-Two\r\n\r\n");
    struct reply reply = read_reply(&client, false);
    assert_int_equal(reply.status, 204);
    assert_string_equal(find_field(&reply, "Allow"), "DELETE, GET, HEAD, OPTIONS, PATCH, PUT");
    assert_string_equal(find_field(&reply, "Access-Control-Allow-Methods"),
                        "DELETE, GET, HEAD, OPTIONS, PATCH, PUT");
    assert_string_equal(find_field(&reply, "Access-Control-Allow-Headers"), "X-One, X-Two");
    assert_string_equal(find_field(&reply, "Access-Control-Allow-Origin"), "http://gui:8002");
    free_reply(&reply);
    send_request(&client, "OPTIONS", "/services", NULL, NULL);
    reply = read_reply(&client, false);
    assert_string_equal(find_field(&reply, "Access-Control-Allow-Headers"), "Content-Type");
    free_reply(&reply);
    close_client(&client);
    assert_status("OPTIONS", "/none", NULL, 404);
}

TEST(a_connection_serves_one_request_after_another)
{
    struct client client;
    connect_client(&client);
    for (int i = 0; i < 5; i++) {
        send_request(&client, "GET", "/services", NULL, NULL);
        struct reply reply = read_reply(&client, false);
        assert_string_equal(reply.text, EMPTY_LIST);
        free_reply(&reply);
    }
    close_client(&client);
}

TEST(requests_that_come_together_are_answered_in_their_order)
{
    struct client client;
    connect_client(&client);
    api.is_deferring = true; /* the first one takes its time */
    send_text(&client, "POST /services HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n"
                       "Content-Type: application/x-www-form-urlencoded\r\n\r\nname=s&host=h"
                       "GET /services/s HTTP/1.1\r\nHost: a\r\n\r\n"
                       "DELETE /nowhere HTTP/1.1\r\nHost: a\r\n\r\n\r\n"
                       "GET /services/none HTTP/1.1\r\nHost: a\r\n\r\n");
    while (list_is_empty(&api.writes))
        uv_run(&api.loop, UV_RUN_ONCE);
    carry_out_deferred();
    static const int statuses[] = {201, 200, 404, 404};
    for (size_t i = 0; i < 4; i++) {
        struct reply reply = read_reply(&client, false);
        assert_int_equal(reply.status, statuses[i]);
        free_reply(&reply);
    }
    close_client(&client);
}

TEST(many_requests_at_once_are_all_answered)
{
    enum { COUNT = 2000 };
    struct client client;
    connect_client(&client);
    for (int i = 0; i < COUNT; i++)
        send_bytes(&client, STR(GET "\r\n"));
    for (int i = 0; i < COUNT; i++) {
        struct reply reply = read_reply(&client, false);
        assert_int_equal(reply.status, 200);
        free_reply(&reply);
    }
    close_client(&client);
}

TEST(a_connection_ends_when_the_client_says_so)
{
    static const char *const requests[] = {GET "Connection: close\r\n\r\n",
                                           "GET /services HTTP/1.0\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct client client;
        connect_client(&client);
        send_text(&client, requests[i]);
        struct reply reply = read_reply(&client, false);
        assert_int_equal(reply.status, 200);
        assert_string_equal(find_field(&reply, "Connection"), "close");
        free_reply(&reply);
        wait_for_close(&client);
        close_client(&client);
    }
}

TEST(a_client_that_has_closed_its_side_gets_its_answer)
{
    struct client client;
    connect_client(&client);
    send_text(&client, GET "\r\n");
    shutdown(client.fd, SHUT_WR);
    struct reply reply = read_reply(&client, false);
    assert_int_equal(reply.status, 200);
    free_reply(&reply);
    wait_for_close(&client);
    close_client(&client);
}

TEST(requests_may_come_byte_by_byte)
{
    struct client client;
    connect_client(&client);
    static const char text[] = "\r\nPOST /services?x=1 HTTP/1.1\r\nHost: a\r\n"
                               "Content-Type: application/json\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"
                               "5\r\n{\"hos\r\n8\r\nt\":\"h\"}\n\r\n0\r\n\r\n" GET "\r\n";
    for (size_t i = 0; text[i]; i++) {
        send_bytes(&client, str_make(text + i, 1));
        uv_run(&api.loop, UV_RUN_NOWAIT);
    }
    struct reply reply = read_reply(&client, false);
    assert_int_equal(reply.status, 201);
    free_reply(&reply);
    reply = read_reply(&client, false);
    assert_int_equal(reply.status, 200);
    free_reply(&reply);
    close_client(&client);
}

TEST(what_is_no_request_is_refused_and_the_connection_closed)
{
    static const struct {
        const char *text;
        int status;
    } table[] = {
        {"\x16\x03\x01\x02", 400}, /* TLS on a plain port */
        {"GET /\r\n\r\n", 0},      /* HTTP/0.9: no version */
        {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
        {"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /services/%FF HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 0},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct client client;
        connect_client(&client);
        send_text(&client, table[i].text);
        struct reply reply = read_reply(&client, false);
        if (table[i].status)
            assert_int_equal(reply.status, table[i].status);
        assert_true(reply.status >= 400);
        assert_string_equal(find_field(&reply, "Connection"), "close");
        assert_non_null(reply.body);
        free_reply(&reply);
        wait_for_close(&client);
        close_client(&client);
    }
}

TEST(heads_and_bodies_have_a_limit)
{
    struct client client;
    char field[1024];
    connect_client(&client);
    send_text(&client, GET);
    for (int i = 0; i < 20; i++) {
        int len = snprintf(field, sizeof(field), "X-%d: %0900d\r\n", i, 0);
        send_bytes(&client, str_make(field, (size_t)len));
    }
    struct reply reply = read_reply(&client, false);
    assert_int_equal(reply.status, 431);
    free_reply(&reply);
    close_client(&client);

    connect_client(&client);
    send_text(&client, "POST /services HTTP/1.1\r\nHost: a\r\nContent-Length: 10485761\r\n"
                       "Content-Type: application/json\r\n\r\n");
    reply = read_reply(&client, false);
    assert_int_equal(reply.status, 413);
    assert_string_equal(reply.text, "{\"message\":\"Payload too large\"}");
    free_reply(&reply);
    close_client(&client);

    connect_client(&client);
    send_text(&client, "POST /services HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                       "Content-Type: application/json\r\n\r\n");
    static char chunk[65536 + 16];
    int head = sprintf(chunk, "10000\r\n");
    memset(chunk + head, ' ', 65536);
    memcpy(chunk + head + 65536, "\r\n", 2);
    for (int i = 0; i < 161; i++)
        send_bytes(&client, str_make(chunk, (size_t)head + 65536 + 2));
    reply = read_reply(&client, false);
    assert_int_equal(reply.status, 413);
    free_reply(&reply);
    wait_for_close(&client);
    close_client(&client);
}

TEST(too_many_arguments_are_too_many)
{
    char target[4096] = "/services?";
    for (int i = 0; i < 1001; i++)
        strcat(target, "a&");
    struct client client;
    connect_client(&client);
    send_text(&client, "GET ");
    send_text(&client, target);
    send_text(&client, " HTTP/1.1\r\nHost: a\r\n\r\n");
    struct reply reply = read_reply(&client, false);
    assert_int_equal(reply.status, 400);
    assert_string_equal(reply.text, "{\"message\":\"Too many arguments\"}");
    free_reply(&reply);
    close_client(&client);
}

TEST(a_large_body_that_asks_first_is_told_to_come)
{
    struct client client;
    connect_client(&client);
    send_text(&client, "POST /services HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n"
                       "Content-Type: application/x-www-form-urlencoded\r\n"
                       "Expect: 100-continue\r\n\r\n");
    struct reply reply = read_reply(&client, false);
    assert_int_equal(reply.status, 100);
    free_reply(&reply);
    send_text(&client, "host=h");
    reply = read_reply(&client, false);
    assert_int_equal(reply.status, 201);
    free_reply(&reply);
    close_client(&client);
}

TEST(a_client_may_go_while_its_write_is_under_way)
{
    api.is_deferring = true;
    struct client client;
    connect_client(&client);
    send_request(&client, "POST", "/services", "application/json",
                 "{\"name\":\"s\",\"host\":\"h\"}");
    while (list_is_empty(&api.writes))
        uv_run(&api.loop, UV_RUN_ONCE);
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close_client(&client);
    uv_run(&api.loop, UV_RUN_NOWAIT);
    carry_out_deferred();
    api.is_deferring = false;
    assert_status("GET", "/services/s", NULL, 200); /* it was sent: it is done */
}

TEST(a_write_outlives_the_server)
{
    api.is_deferring = true;
    struct client client;
    connect_client(&client);
    send_request(&client, "POST", "/services", "application/json", "{\"host\":\"h\"}");
    while (list_is_empty(&api.writes))
        uv_run(&api.loop, UV_RUN_ONCE);
    close_client(&client);
    /* Teardown closes the server, which waits its second, and then carries the write out. */
}

TEST(an_answer_under_way_is_sent_before_the_server_closes)
{
    api.is_deferring = true;
    struct client idle, busy;
    connect_client(&idle);
    connect_client(&busy);
    send_request(&busy, "POST", "/services", "application/json", "{\"host\":\"h\"}");
    while (list_is_empty(&api.writes))
        uv_run(&api.loop, UV_RUN_ONCE);
    admin_server_close(api.server, on_api_closed, &api);
    wait_for_close(&idle);
    carry_out_deferred();
    struct reply reply = read_reply(&busy, false);
    assert_int_equal(reply.status, 201);
    assert_string_equal(find_field(&reply, "Connection"), "close");
    free_reply(&reply);
    wait_for_close(&busy);
    close_client(&busy);
    close_client(&idle);
}

TEST(connections_are_bounded_and_the_longest_idle_gives_way)
{
    enum { COUNT = 300 };
    static struct client clients[COUNT];
    for (int i = 0; i < COUNT; i++) {
        connect_client(&clients[i]);
        send_request(&clients[i], "GET", "/services", NULL, NULL);
        struct reply reply = read_reply(&clients[i], false);
        assert_int_equal(reply.status, 200);
        free_reply(&reply);
    }
    wait_for_close(&clients[0]);
    send_request(&clients[COUNT - 1], "GET", "/services", NULL, NULL);
    struct reply reply = read_reply(&clients[COUNT - 1], false);
    assert_int_equal(reply.status, 200);
    free_reply(&reply);
    for (int i = 0; i < COUNT; i++)
        close_client(&clients[i]);
}

TEST(with_all_places_busy_a_connection_waits_its_turn)
{
    enum { PLACES = 256 };
    static struct client clients[PLACES + 1];
    api.is_deferring = true;
    for (int i = 0; i < PLACES; i++) {
        connect_client(&clients[i]);
        send_request(&clients[i], "POST", "/services", "application/json", "{\"host\":\"h\"}");
    }
    size_t waiting = 0;
    while (waiting < PLACES) {
        uv_run(&api.loop, UV_RUN_ONCE);
        waiting = 0;
        LIST_EACH(node, &api.writes)
        waiting += node != NULL;
    }
    connect_client(&clients[PLACES]);
    send_request(&clients[PLACES], "GET", "/services", NULL, NULL);
    for (int i = 0; i < 10; i++)
        uv_run(&api.loop, UV_RUN_NOWAIT);
    carry_out_deferred();
    struct reply reply = read_reply(&clients[PLACES], false);
    assert_int_equal(reply.status, 200);
    free_reply(&reply);
    for (int i = 0; i <= PLACES; i++)
        close_client(&clients[i]);
}

TEST(the_node_says_who_it_is)
{
    struct reply reply = call("GET", "/", NULL);
    assert_int_equal(reply.status, 200);
    assert_string_equal(text_at(reply.body, "version"), "3.9.1");
    assert_string_equal(text_at(reply.body, "edition"), "community");
    assert_string_equal(text_at(reply.body, "weir.version"), WEIR_VERSION);
    assert_string_equal(text_at(reply.body, "node_id"), "a6a1f0d4-3b0c-4b6e-8f66-0d5f5f2f0001");
    assert_string_equal(text_at(reply.body, "configuration.database"), "postgres");
    assert_string_equal(text_at(reply.body, "plugins.available_on_server.cors.version"), "3.9.1");
    assert_string_equal(text_at(reply.body, "plugins.enabled_in_cluster"), "[]");
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(reply.body, "pids"), "workers")), 2);
    free_reply(&reply);
}

TEST(the_node_says_how_it_is)
{
    struct reply reply = call("GET", "/status", NULL);
    assert_int_equal(reply.status, 200);
    assert_string_equal(text_at(reply.body, "database.reachable"), "true");
    assert_string_equal(text_at(reply.body, "server.total_requests"), "7");
    assert_string_equal(text_at(reply.body, "weir.discovery.consul.reachable"), "true");
    assert_non_null(
        strstr(text_at(reply.body, "memory.workers_lua_vms.0.http_allocated_gc"), "MiB"));
    free_reply(&reply);
    reply = call("GET", "/status?unit=K&scale=0", NULL);
    const char *memory = text_at(reply.body, "memory.workers_lua_vms.0.http_allocated_gc");
    assert_non_null(strstr(memory, " KiB"));
    assert_null(strchr(memory, '.'));
    free_reply(&reply);
    assert_answer("GET", "/status?unit=x", NULL, 400,
                  "{\"message\":\"invalid unit 'x' (expected 'k/K', 'm/M', or 'g/G')\"}");
    assert_answer("GET", "/status?scale=-1", NULL, 400,
                  "{\"message\":\"scale must be equal or greater than 0\"}");
    assert_status("GET", "/status?scale=1e300", NULL, 200);
}

TEST(the_paths_are_listed)
{
    struct reply reply = call("GET", "/endpoints", NULL);
    static const char *const expected[] = {"/",
                                           "/routes/{routes}/service",
                                           "/services",
                                           "/services/{services}",
                                           "/services/{services}/routes",
                                           "/services/{services}/routes/{routes}",
                                           "/status",
                                           "/upstreams/{upstreams}/health",
                                           "/upstreams/{upstreams}/targets",
                                           "/upstreams/{upstreams}/targets/all",
                                           "/upstreams/{upstreams}/targets/{targets}"};
    const json_t *data = json_object_get(reply.body, "data");
    size_t found = 0;
    for (size_t i = 0; i < json_array_size(data); i++) {
        const char *path = json_string_value(json_array_get(data, i));
        assert_true(strncmp(path, "/targets", 8) != 0);
        if (found < sizeof(expected) / sizeof(expected[0]) && strcmp(path, expected[found]) == 0)
            found++; /* both are sorted */
    }
    assert_int_equal(found, sizeof(expected) / sizeof(expected[0]));
    free_reply(&reply);
}

RUN(A(every_answer_has_kongs_headers), A(unknown_paths_and_verbs_have_answers_of_their_own),
    A(a_body_of_unknown_type_is_refused_without_a_word), A(head_is_get_without_the_body),
    A(options_tell_browsers_what_they_may_do), A(a_connection_serves_one_request_after_another),
    A(requests_that_come_together_are_answered_in_their_order),
    A(many_requests_at_once_are_all_answered), A(a_connection_ends_when_the_client_says_so),
    A(a_client_that_has_closed_its_side_gets_its_answer), A(requests_may_come_byte_by_byte),
    A(what_is_no_request_is_refused_and_the_connection_closed), A(heads_and_bodies_have_a_limit),
    A(too_many_arguments_are_too_many), A(a_large_body_that_asks_first_is_told_to_come),
    A(a_client_may_go_while_its_write_is_under_way), A(a_write_outlives_the_server),
    A(an_answer_under_way_is_sent_before_the_server_closes),
    A(connections_are_bounded_and_the_longest_idle_gives_way),
    A(with_all_places_busy_a_connection_waits_its_turn), A(the_node_says_who_it_is),
    A(the_node_says_how_it_is), A(the_paths_are_listed))
