#include "unit/admin/api.h"

TEST(nodes_are_listed)
{
    assert_answer("GET", "/nodes", NULL, 200, "{\"data\":[{\"id\":\"n\"}],\"next\":null}");
}

TEST(a_node_is_ready_until_it_is_told_to_drain_and_again_when_that_is_taken_back)
{
    assert_answer("GET", "/status/ready", NULL, 200, "{\"message\":\"ready\"}");
    assert_answer("POST", "/status", "status=gone", 400,
                  "{\"message\":\"status must be draining or ready\"}");
    assert_status("POST", "/status", "{\"status\":1}", 400);
    assert_status("GET", "/status/ready", NULL, 200);

    assert_answer("POST", "/status", "status=draining", 200, "{\"message\":\"draining\"}");
    assert_true(api.is_draining);
    struct reply reply = call("GET", "/status/ready", NULL);
    assert_int_equal(reply.status, 503);
    assert_non_null(find_field(&reply, "Retry-After"));
    free_reply(&reply);

    assert_answer("POST", "/status", "{\"status\":\"ready\"}", 200, "{\"message\":\"ready\"}");
    assert_status("GET", "/status/ready", NULL, 200);
}

TEST(status_says_what_is_in_force)
{
    struct reply reply = call("GET", "/status", NULL);
    assert_string_equal(text_at(reply.body, "weir.configuration.sequence"), "5");
    free_reply(&reply);
}

TEST(a_write_waits_for_all_nodes_when_it_is_asked_to)
{
    assert_status("POST", "/services", "name=a&host=h", 201);
    assert_int_equal(api.wait_ms, 0);
    struct reply reply = call("POST", "/services?wait=all", "name=b&host=h");
    assert_int_equal(reply.status, 201);
    assert_int_equal(api.wait_ms, 5000);
    assert_null(find_field(&reply, "X-Weir-Behind"));
    free_reply(&reply);
    assert_status("PATCH", "/services/b?wait=all&wait_ms=1", "host=i", 200);
    assert_int_equal(api.wait_ms, 1);
    assert_status("DELETE", "/services/b?wait=all&wait_ms=60000", NULL, 204);
    assert_int_equal(api.wait_ms, 60000);
}

TEST(a_wait_that_makes_no_sense_is_refused_before_anything_is_written)
{
    static const char *const bad[] = {"0x5", "-1", "", "60001", "99999999999999999999"};
    char target[96];
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(target, sizeof(target), "/services?wait=all&wait_ms=%s", bad[i]);
        assert_answer("POST", target, "name=a&host=h", 400,
                      "{\"message\":\"wait_ms must be 0 to 60000 milliseconds\"}");
    }
    assert_answer("POST", "/services?wait=some", "name=a&host=h", 400,
                  "{\"message\":\"wait must be all\"}");
    assert_answer("DELETE", "/services/a?wait=", NULL, 400, "{\"message\":\"wait must be all\"}");
    assert_status("GET", "/services/a", NULL, 404);
}

TEST(a_write_that_some_node_does_not_have_in_time_says_which)
{
    api.behind = "n2 (host-2)";
    struct reply reply = call("POST", "/services?wait=all", "name=b&host=h");
    assert_int_equal(reply.status, 201);
    assert_string_equal(find_field(&reply, "X-Weir-Behind"), "n2 (host-2)");
    free_reply(&reply);
}

TEST(a_write_that_is_refused_waits_for_nobody)
{
    assert_status("POST", "/services?wait=all", "name=b", 400);
    assert_int_equal(api.wait_ms, 0);
}

static void assert_away(int refusal, const char *word)
{
    api.refusal = refusal;
    struct reply reply = call("POST", "/services", "name=a&host=h");
    assert_int_equal(reply.status, 503);
    assert_non_null(find_field(&reply, "Retry-After"));
    assert_non_null(strstr(text_at(reply.body, "message"), word));
    free_reply(&reply);
}

TEST(without_the_database_writes_are_refused_for_now_and_reads_answered)
{
    assert_away(UV_ENOTCONN, "nothing was written");
    assert_away(UV_ECONNABORTED, "whether");
    assert_status("GET", "/services", NULL, 200);
    assert_status("POST", "/services", "name=a", 400); /* what is wrong is wrong */
}

RUN(A(nodes_are_listed),
    A(a_node_is_ready_until_it_is_told_to_drain_and_again_when_that_is_taken_back),
    A(status_says_what_is_in_force),
    A(a_wait_that_makes_no_sense_is_refused_before_anything_is_written),
    A(a_write_waits_for_all_nodes_when_it_is_asked_to),
    A(a_write_that_some_node_does_not_have_in_time_says_which),
    A(a_write_that_is_refused_waits_for_nobody),
    A(without_the_database_writes_are_refused_for_now_and_reads_answered))
