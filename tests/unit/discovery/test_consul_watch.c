#include "unit/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "discovery/consul.h"
#include "discovery/consul_watch.h"
#include "unit/dead_port.h"
#include "unit/fake_consul.h"
#include "unit/loop.h"

static uv_loop_t loop;
static struct fake_consul fake;
static struct consul *consul;
static struct source *watch;
static unsigned news_count, closed_count;

static void on_news(struct source_owner *owner, struct source *source)
{
    (void)owner;
    (void)source;
    news_count++;
}

static void on_closed(struct source_owner *owner)
{
    (void)owner;
    closed_count++;
}

static struct source_owner owner = {.on_news = on_news, .on_closed = on_closed};

static struct consul_settings settings;

static int setup(void **state)
{
    (void)state;
    log_set_level(getenv("WEIR_TEST_LOG") ? LOG_DEBUG : LOG_CRIT);
    news_count = closed_count = 0;
    watch = NULL;
    uv_loop_init(&loop);
    fake_consul_open(&fake, &loop);
    settings = (struct consul_settings){.urls = fake.url, .token = "secret-token"};
    return consul_create(&loop, &settings, &consul);
}

static void on_consul_closed(void *arg)
{
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    (void)state;
    bool closed = false;
    if (watch)
        source_close(watch);
    consul_close(consul, on_consul_closed, &closed);
    fake_consul_stop(&fake);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(closed_count, watch ? 1 : 0);
    return uv_loop_close(&loop);
}

/* With the settings as they are now. */
static void reopen_consul(void)
{
    bool closed = false;
    consul_close(consul, on_consul_closed, &closed);
    assert_true(LOOP_UNTIL(&loop, closed));
    assert_int_equal(consul_create(&loop, &settings, &consul), 0);
}

static void open_watch(void)
{
    const struct consul_service service = {.name = STR("web")};
    assert_int_equal(consul_watch_open(consul, &service, &owner, &watch), 0);
}

static uint32_t count_known(void)
{
    return watch->state == SOURCE_KNOWN ? watch->last->count : 0;
}

/* Follows two instances, and its blocking query is under way. */
static void settle(void)
{
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_int_equal(count_known(), 2);
    assert_int_equal(news_count, 1);
}

/* The same, where the first address of two does not answer. */
static void settle_late(void)
{
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_int_equal(count_known(), 2);
}

TEST(the_first_read_has_no_index_and_the_next_waits_with_the_one_given)
{
    fake_consul_set(&fake, "web-1:5001:passing");
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_int_equal(fake.request_count, 2);
    assert_null(strstr(fake.heads[0], "index="));
    assert_non_null(strstr(fake.heads[1], "index=11&wait=60s"));
    assert_int_equal(watch->state, SOURCE_KNOWN);
    assert_int_equal(watch->last->items[0].port, 5001);
    assert_true(str_equal(watch->last->items[0].host, STR("127.0.0.1")));
}

TEST(a_change_is_news_at_once)
{
    settle();
    fake_consul_set(&fake, "web-2:5002:passing");
    assert_true(LOOP_UNTIL(&loop, news_count == 2));
    assert_int_equal(count_known(), 1);
    fake_consul_set(&fake, "");
    assert_true(LOOP_UNTIL(&loop, news_count == 3));
    assert_int_equal(count_known(), 0);
}

TEST(the_same_in_another_order_is_no_news)
{
    settle();
    fake_consul_set(&fake, "web-2:5002:passing web-1:5001:passing");
    unsigned before = fake.request_count;
    assert_true(LOOP_UNTIL(&loop, fake.request_count > before));
    assert_int_equal(news_count, 1);
}

TEST(an_index_that_went_back_is_forgotten)
{
    settle();
    fake_consul_script(&fake,
                       "HTTP/1.1 200 OK\r\nX-Consul-Index: 3\r\nContent-Length: 2\r\n\r\n[]");
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing web-3:5003:passing");
    /* By now: the answer to the query before, the scripted one, and what follows it. */
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_null(strstr(fake.heads[3], "index="));
    assert_int_equal(count_known(), 3);
}

static void expect_kept_after(const char *answer)
{
    settle();
    fake_consul_script(&fake, answer);
    unsigned before = fake.request_count;
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
    /* The scripted answer goes to request before + 1, the read after it is without index. */
    assert_true(LOOP_UNTIL(&loop, fake.request_count >= before + 3));
    assert_null(strstr(fake.heads[before + 1], "index="));
    assert_int_equal(count_known(), 2);
    assert_int_equal(news_count, 1);
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
}

TEST(targets_outlive_an_error_answer)
{
    expect_kept_after("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5\r\n\r\nsorry");
}

TEST(targets_outlive_garbage)
{
    expect_kept_after("HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\nContent-Length: 6\r\n\r\n<html>");
}

TEST(targets_outlive_no_array)
{
    expect_kept_after("HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\nContent-Length: 2\r\n\r\n{}");
}

TEST(targets_outlive_an_answer_that_is_no_http)
{
    expect_kept_after("SSH-2.0-OpenSSH_9.2\r\n");
}

TEST(targets_outlive_a_connection_that_breaks)
{
    expect_kept_after(FAKE_CONSUL_HANG_UP);
}

TEST(a_body_that_is_cut_short_is_not_believed)
{
    settle();
    fake_consul_script(&fake,
                       "HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\nContent-Length: 9\r\n\r\n[]");
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
    assert_true(LOOP_UNTIL(&loop, fake.script_at == 1));
    fake_consul_stop(&fake);
    LOOP_FOR(&loop, 50);
    assert_int_equal(count_known(), 2);
}

TEST(an_agent_that_comes_back_is_asked_and_believed)
{
    settle();
    fake_consul_stop(&fake);
    LOOP_FOR(&loop, 300);
    assert_int_equal(count_known(), 2);
    fake.index = 3; /* another life, smaller numbers */
    fake_consul_set(&fake, "web-3:5003:passing");
    fake_consul_start(&fake);
    assert_true(LOOP_UNTIL(&loop, news_count == 2));
    assert_int_equal(count_known(), 1);
    assert_int_equal(watch->last->items[0].port, 5003);
}

TEST(an_agent_that_has_lost_its_state_is_not_believed_at_once)
{
    settle();
    fake_consul_stop(&fake);
    fake.index = 3;
    fake_consul_set(&fake, "");
    fake_consul_start(&fake);
    unsigned before = fake.request_count;
    assert_true(LOOP_UNTIL(&loop, fake.request_count >= before + 2));
    assert_int_equal(news_count, 1);
    assert_int_equal(count_known(), 2);
    /* Nor is one that says that all are critical: checks start that way. */
    fake_consul_set(&fake, "web-1:5001:critical");
    before = fake.request_count;
    assert_true(LOOP_UNTIL(&loop, fake.request_count >= before + 2));
    assert_int_equal(count_known(), 2);
    /* The first that can be used ends the doubt. */
    fake_consul_set(&fake, "web-1:5001:passing");
    assert_true(LOOP_UNTIL(&loop, news_count == 2));
    assert_int_equal(count_known(), 1);
}

TEST(an_agent_that_insists_on_nothing_is_believed_in_the_end)
{
    settle();
    fake_consul_stop(&fake);
    fake_consul_set(&fake, "");
    fake_consul_start(&fake);
    assert_true(LOOP_UNTIL(&loop, news_count == 2));
    assert_int_equal(watch->state, SOURCE_KNOWN);
    assert_int_equal(count_known(), 0);
}

TEST(other_content_under_the_same_index_is_asked_for_again)
{
    settle();
    fake_consul_script(&fake,
                       "HTTP/1.1 200 OK\r\nX-Consul-Index: 12\r\nContent-Length: 2\r\n\r\n[]");
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing"); /* index 12 */
    assert_true(LOOP_UNTIL(&loop, fake.script_at == 1 && fake_consul_blocked(&fake) == 1));
    assert_int_equal(news_count, 1);
    assert_int_equal(count_known(), 2);
}

TEST(a_token_that_sees_less_takes_nothing_away)
{
    settle();
    fake_consul_script(&fake, "HTTP/1.1 200 OK\r\nX-Consul-Index: 50\r\nContent-Length: 2\r\n"
                              "X-Consul-Results-Filtered-By-ACLs: true\r\n\r\n[]");
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
    assert_true(LOOP_UNTIL(&loop, fake.script_at == 1));
    LOOP_FOR(&loop, 50);
    assert_int_equal(news_count, 1);
    assert_int_equal(count_known(), 2);
}

#define FILTERED "X-Consul-Results-Filtered-By-ACLs: true\r\n"

static void expect_removals_under(const char *headers, bool has_token)
{
    settings.patience.hold_ms = 1500;
    settings.token = has_token ? "secret-token" : NULL;
    reopen_consul();
    fake.headers = headers;
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing web-3:5003:passing");
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_int_equal(count_known(), 3);
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
    assert_true(LOOP_UNTIL(&loop, count_known() == 2));
    uint64_t start_ms = uv_now(&loop);
    fake_consul_set(&fake, "");
    assert_true(LOOP_UNTIL(&loop, count_known() == 0));
    assert_true(uv_now(&loop) - start_ms >= 1500);
    json_t *status = consul_status(consul);
    assert_int_equal(json_integer_value(json_object_get(status, "refused")), 0);
    assert_int_equal(json_integer_value(json_object_get(status, "held")), 0);
    json_decref(status);
}

TEST(a_token_that_never_saw_all_has_one_removal_believed_and_most_of_them_late)
{
    expect_removals_under(FILTERED, true);
}

TEST(the_same_without_a_token_where_anybody_may_read_some)
{
    expect_removals_under("X-Consul-Default-Acl-Policy: deny\r\n", false);
}

TEST(a_token_that_sees_all_again_is_believed_at_once)
{
    settings.patience.hold_ms = 60000;
    reopen_consul();
    fake.headers = FILTERED;
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    fake_consul_set(&fake, "");
    assert_true(LOOP_UNTIL(&loop, fake.request_count >= 4));
    assert_int_equal(count_known(), 2);
    fake.headers = NULL;
    assert_true(LOOP_UNTIL(&loop, count_known() == 0));
}

TEST(a_server_that_answers_at_once_each_time_is_not_hammered)
{
    settle();
    uint64_t start_ms = uv_now(&loop);
    unsigned before = fake.request_count;
    while (uv_now(&loop) - start_ms < 1000) {
        fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
        LOOP_FOR(&loop, 5);
    }
    uint64_t took_ms = uv_now(&loop) - start_ms;
    assert_true(fake.request_count - before <= 5 + took_ms / 250 + 1);
}

TEST(without_an_index_it_still_follows)
{
    static const char *const bare = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
    fake_consul_script(&fake, bare);
    fake_consul_script(&fake, bare);
    fake_consul_script(&fake,
                       "HTTP/1.1 200 OK\r\nX-Consul-Index: 0\r\nContent-Length: 2\r\n\r\n[]");
    fake_consul_set(&fake, "web-1:5001:passing");
    open_watch();
    assert_true(LOOP_UNTIL(&loop, count_known() == 1));
    assert_null(strstr(fake.heads[2], "index="));
}

TEST(users_need_not_wait_for_an_agent_that_is_away)
{
    fake_consul_stop(&fake);
    open_watch();
    assert_true(LOOP_UNTIL(&loop, news_count == 1));
    assert_int_equal(watch->state, SOURCE_AWAY);
    json_t *status = consul_status(consul);
    assert_true(json_is_false(json_object_get(status, "reachable")));
    assert_true(json_is_string(json_object_get(status, "last_error")));
    json_decref(status);
}

TEST(users_need_not_wait_for_an_agent_that_hangs)
{
    fake_consul_script(&fake, FAKE_CONSUL_HANG);
    open_watch();
    assert_true(LOOP_UNTIL(&loop, news_count == 1));
    assert_int_equal(watch->state, SOURCE_AWAY);
    assert_int_equal(fake.request_count, 1);
    /* Its answer counts all the same when it comes. */
    for (int i = 0; i < FAKE_CONSUL_CLIENTS; i++)
        if (fake.clients[i])
            fake_consul_answer(fake.clients[i]);
    assert_true(LOOP_UNTIL(&loop, news_count == 2));
    assert_int_equal(watch->state, SOURCE_KNOWN);
}

TEST(the_token_goes_in_its_header_and_nowhere_else)
{
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake.request_count > 0));
    const char *found = strstr(fake.heads[0], "secret-token");
    assert_non_null(found);
    assert_memory_equal(found - strlen("X-Consul-Token: "), "X-Consul-Token: ", 16);
    assert_null(strstr(found + 1, "secret-token"));
}

TEST(names_tags_and_datacenter_are_escaped)
{
    const struct str tags[] = {STR("v 2"), STR("b&c")};
    const struct consul_service service = {
        .name = STR("a/b?c@d"), .datacenter = STR("dc#1"), .tags = tags, .tag_count = 2};
    assert_int_equal(consul_watch_open(consul, &service, &owner, &watch), 0);
    assert_true(LOOP_UNTIL(&loop, fake.request_count > 0));
    static const char line[] =
        "GET /v1/health/service/a%2Fb%3Fc%40d?dc=dc%231&tag=v%202&tag=b%26c&stale HTTP/1.1\r\n";
    assert_memory_equal(fake.heads[0], line, sizeof(line) - 1);
}

TEST(closing_in_the_middle_of_a_query_leaves_nothing)
{
    fake_consul_script(&fake, FAKE_CONSUL_HANG);
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake.request_count == 1));
    assert_int_equal(news_count, 0);
    /* teardown closes, and checks */
}

TEST(closing_while_the_agent_is_away_leaves_nothing)
{
    fake_consul_stop(&fake);
    open_watch();
    assert_true(LOOP_UNTIL(&loop, news_count == 1));
}

TEST(many_parked_watches_all_come_back)
{
    struct source *others[3];
    const struct consul_service service = {.name = STR("other")};
    for (int i = 0; i < 3; i++)
        consul_watch_open(consul, &service, &owner, &others[i]);
    fake_consul_set(&fake, "web-1:5001:passing");
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 3));
    fake_consul_stop(&fake);
    LOOP_FOR(&loop, 100);
    fake_consul_start(&fake);
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 3));
    for (int i = 0; i < 3; i++)
        source_close(others[i]);
    assert_true(LOOP_UNTIL(&loop, closed_count == 3));
    closed_count = 0;
}

/* --- protection --- */

static const char three[] = "web-1:5001:passing web-2:5002:passing web-3:5003:passing";

static void settle_with_three(void)
{
    fake_consul_set(&fake, three);
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_int_equal(count_known(), 3);
}

/* The catalog says `instances` from now on, but the scripted answer comes to the read that is to
 * confirm it. */
static void lose(const char *instances, const char *confirming)
{
    unsigned before = fake.request_count;
    fake_consul_script(&fake, confirming);
    fake_consul_set(&fake, instances);
    assert_true(LOOP_UNTIL(&loop, fake.request_count > before && fake.script_at == 1));
    assert_non_null(strstr(fake.heads[before], "?consistent HTTP"));
}

#define EMPTY_WITH(headers)                                                                        \
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Consul-Index: 99\r\n" headers "\r\n[]"

TEST(reads_are_stale_ones)
{
    settle();
    assert_non_null(strstr(fake.heads[0], "?stale HTTP"));
    assert_non_null(strstr(fake.heads[1], "?stale&index="));
}

TEST(one_removal_of_three_needs_no_second_read)
{
    settle_with_three();
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing");
    assert_true(LOOP_UNTIL(&loop, count_known() == 2));
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    for (unsigned i = 0; i < fake.request_count; i++)
        assert_null(strstr(fake.heads[i], "consistent"));
}

TEST(a_mass_removal_is_confirmed_by_a_quorum_and_applied)
{
    settle_with_three();
    unsigned before = fake.request_count;
    fake_consul_set(&fake, "web-1:5001:passing");
    assert_true(LOOP_UNTIL(&loop, count_known() == 1));
    assert_non_null(strstr(fake.heads[before], "?consistent HTTP"));
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_non_null(strstr(fake_consul_last(&fake), "stale&index="));
}

static void expect_held(const char *confirming)
{
    settle_with_three();
    lose("", confirming);
    LOOP_FOR(&loop, 50);
    assert_int_equal(count_known(), 3);
}

TEST(a_removal_that_a_leaderless_server_confirms_waits)
{
    expect_held(EMPTY_WITH("X-Consul-KnownLeader: false\r\n"));
}

TEST(a_removal_that_a_blind_token_confirms_waits)
{
    expect_held(EMPTY_WITH("X-Consul-Results-Filtered-By-ACLs: true\r\n"));
}

TEST(a_removal_whose_confirmation_fails_waits)
{
    expect_held("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 17\r\n\r\n"
                "No cluster leader");
}

TEST(a_removal_that_nobody_confirms_in_time_waits_and_then_applies)
{
    settle_with_three();
    lose("", FAKE_CONSUL_HANG);
    LOOP_FOR(&loop, 50);
    assert_int_equal(count_known(), 3);
    json_t *status = consul_status(consul);
    assert_true(json_is_true(json_object_get(status, "reachable")));
    json_decref(status);
    assert_true(LOOP_UNTIL(&loop, count_known() == 0));
}

TEST(what_is_held_is_believed_of_a_quorum_alone)
{
    unsigned quorums = 0;
    settle_with_three();
    fake_consul_script(&fake, FAKE_CONSUL_HANG);
    fake_consul_script(&fake, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    fake_consul_set(&fake, "web-1:5001:passing");
    assert_true(LOOP_UNTIL(&loop, fake.script_at == 2));
    assert_true(LOOP_UNTIL(&loop, count_known() == 1));
    for (unsigned i = 0; i < fake.request_count; i++)
        quorums += strstr(fake.heads[i], "/service/web?consistent HTTP") != NULL;
    assert_in_range(quorums, 3, 9); /* a late one, one that failed, one that answered */
}

TEST(entries_that_make_no_sense_are_no_mass_removal)
{
    fake_consul_set(&fake, "web-1:5001:passing web-2:5002:passing web-3:5003:passing "
                           "web-4:5004:passing");
    open_watch();
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    char body[sizeof(fake.body)];
    snprintf(body, sizeof(body), "%s", fake.body);
    for (const char *id = "34"; *id; id++) {
        char port[16];
        snprintf(port, sizeof(port), ":500%c}", *id);
        memcpy(strstr(body, port), ":null}", 6);
    }
    unsigned before = fake.request_count;
    fake_consul_set_body(&fake, body);
    assert_true(LOOP_UNTIL(&loop, fake.request_count >= before + 2));
    assert_int_equal(count_known(), 4);
    json_t *status = consul_status(consul);
    assert_int_equal(json_integer_value(json_object_get(status, "held")), 1);
    json_decref(status);
}

TEST(what_a_held_answer_brings_is_taken)
{
    settle_with_three();
    fake.index = 1; /* back in time */
    fake_consul_set(&fake, "web-8:5008:passing web-9:5009:passing");
    assert_true(LOOP_UNTIL(&loop, count_known() == 5));
    LOOP_FOR(&loop, 100);
    assert_int_equal(count_known(), 5);
    json_t *status = consul_status(consul);
    assert_int_equal(json_integer_value(json_object_get(status, "held")), 1);
    json_decref(status);
    /* All that were missing register again: the doubt is over. */
    fake_consul_set(&fake, three);
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_int_equal(count_known(), 3);
}

TEST(an_index_that_fell_with_a_new_name_is_no_lost_state)
{
    settle_with_three();
    unsigned before = fake.request_count;
    fake_consul_script(&fake,
                       "HTTP/1.1 200 OK\r\nX-Consul-Index: 5\r\nContent-Length: 2\r\n\r\n[]");
    fake_consul_script(&fake, EMPTY_WITH(""));
    fake_consul_set(&fake, "");
    assert_true(LOOP_UNTIL(&loop, count_known() == 0));
    assert_non_null(strstr(fake.heads[before], "/v1/health/service/web?consistent HTTP"));
    assert_non_null(strstr(fake.heads[before + 1], "/v1/catalog/services?consistent HTTP"));
    json_t *status = consul_status(consul);
    assert_int_equal(json_integer_value(json_object_get(status, "held")), 0);
    json_decref(status);
}

TEST(a_state_that_stays_lost_is_believed_when_its_time_is_over)
{
    settings.patience.hold_ms = 1500;
    reopen_consul();
    settle_with_three();
    fake.index = 1;
    fake_consul_set(&fake, "web-9:5009:passing");
    assert_true(LOOP_UNTIL(&loop, count_known() == 4));
    assert_true(LOOP_UNTIL(&loop, count_known() == 1));
}

TEST(a_server_without_leader_adds_but_takes_nothing_away)
{
    settle();
    fake_consul_script(&fake, "HTTP/1.1 200 OK\r\nX-Consul-Index: 50\r\nContent-Length: 2\r\n"
                              "X-Consul-KnownLeader: false\r\n\r\n[]");
    fake_consul_drop(&fake);
    assert_true(LOOP_UNTIL(&loop, fake.script_at == 1));
    LOOP_FOR(&loop, 50);
    assert_int_equal(count_known(), 2);
}

TEST(a_streaming_answer_always_denies_a_leader_and_is_believed)
{
    settle();
    fake_consul_script(&fake, "HTTP/1.1 200 OK\r\nX-Consul-Index: 50\r\nContent-Length: 2\r\n"
                              "X-Consul-Query-Backend: streaming\r\n"
                              "X-Consul-LastContact: 9000\r\n"
                              "X-Consul-KnownLeader: false\r\n\r\n[]");
    unsigned before = fake.request_count;
    fake_consul_drop(&fake);
    assert_true(LOOP_UNTIL(&loop, fake.script_at == 1 && fake.request_count >= before + 2));
    assert_non_null(strstr(fake.heads[before + 1], "consistent")); /* and not a fresh read */
}

TEST(a_server_that_lags_is_asked_for_the_leaders_view)
{
    settle();
    fake_consul_script(&fake, "HTTP/1.1 200 OK\r\nX-Consul-Index: 50\r\nContent-Length: 2\r\n"
                              "X-Consul-LastContact: 2500\r\n\r\n[]");
    unsigned before = fake.request_count;
    fake_consul_drop(&fake);
    assert_true(LOOP_UNTIL(&loop, fake.script_at == 1 && fake_consul_blocked(&fake) == 1));
    assert_non_null(strstr(fake.heads[before + 1], "/web? HTTP"));
    assert_int_equal(news_count, 1);
    assert_int_equal(count_known(), 2);
}

TEST(a_server_that_shows_an_earlier_time_takes_nothing_away)
{
    settle();
    fake_consul_script(&fake, "HTTP/1.1 200 OK\r\nX-Consul-Index: 1\r\nContent-Length: 2\r\n"
                              "X-Consul-LastContact: 0\r\n\r\n[]");
    unsigned before = fake.request_count;
    fake_consul_drop(&fake);
    assert_true(LOOP_UNTIL(&loop, fake.script_at == 1 && fake_consul_blocked(&fake) == 1));
    assert_non_null(strstr(fake.heads[before + 1], "/web? HTTP")); /* the leader's view */
    assert_int_equal(news_count, 1);
    assert_int_equal(count_known(), 2);
}

TEST(an_audit_asks_without_index)
{
    settings.patience.audit_ms = 100;
    reopen_consul();
    settle();
    LOOP_FOR(&loop, 150);
    unsigned before = fake.request_count;
    fake_consul_set(&fake, "web-1:5001:passing");
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_null(strstr(fake.heads[before], "index="));
    assert_int_equal(count_known(), 1);
}

/* --- addresses and tokens --- */

TEST(the_next_address_is_asked_when_one_is_down)
{
    char urls[160];
    uint16_t port;
    int dead = dead_port(&port);
    snprintf(urls, sizeof(urls), "http://127.0.0.1:%u,%s", port, fake.url);
    settings.urls = urls;
    reopen_consul();
    settle_late();
    json_t *status = consul_status(consul);
    assert_string_equal(json_string_value(json_object_get(status, "address")), fake.url);
    json_decref(status);
    close(dead);
}

static void write_token(const char *path, const char *token)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s\n", token);
    fclose(file);
}

TEST(a_refused_token_is_read_again_from_its_file)
{
    char path[] = "/tmp/weir-token-XXXXXX";
    close(mkstemp(path));
    write_token(path, "first-token");
    settings.token_file = path;
    reopen_consul();
    settle();
    assert_non_null(strstr(fake.heads[0], "X-Consul-Token: first-token"));
    fake.wanted_token = "X-Consul-Token: second-token";
    unsigned asked = fake.request_count;
    fake_consul_drop(&fake);
    assert_true(LOOP_UNTIL(&loop, fake.request_count > asked));
    write_token(path, "second-token");
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_non_null(strstr(fake_consul_last(&fake), "X-Consul-Token: second-token"));
    assert_int_equal(count_known(), 2);
    unlink(path);
}

TEST(after_a_sleep_of_the_machine_all_is_asked_anew)
{
    settle();
    unsigned asked = fake.request_count;
    consul_resume(consul);
    assert_true(LOOP_UNTIL(&loop, fake.request_count == asked + 2));
    assert_null(strstr(fake.heads[asked], "index="));
    assert_non_null(strstr(fake.heads[asked + 1], "index="));
    assert_int_equal(news_count, 1);
}

TEST(the_wait_is_the_operators)
{
    settings.wait_ms = 7000;
    reopen_consul();
    settle();
    assert_non_null(strstr(fake_consul_last(&fake), "&wait=7s"));
}

TEST(an_old_answer_of_the_agents_cache_is_asked_for_again_without_it)
{
    const struct consul_service service = {.name = STR("web"), .is_cached = true};
    fake_consul_set(&fake, "web-1:5001:passing");
    fake_consul_script(&fake, "HTTP/1.1 200 OK\r\nX-Consul-Index: 11\r\nX-Cache: HIT\r\nAge: 5\r\n"
                              "Content-Length: 2\r\n\r\n[]");
    assert_int_equal(consul_watch_open(consul, &service, &owner, &watch), 0);
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&fake) == 1));
    assert_non_null(strstr(fake.heads[0], "?stale&cached "));
    assert_null(strstr(fake.heads[1], "cached"));
    assert_non_null(strstr(fake.heads[2], "?stale&cached&index="));
    assert_int_equal(count_known(), 1);
    assert_int_equal(news_count, 1);
}

#define TL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TL(the_first_read_has_no_index_and_the_next_waits_with_the_one_given),
    TL(a_change_is_news_at_once), TL(the_same_in_another_order_is_no_news),
    TL(an_index_that_went_back_is_forgotten), TL(targets_outlive_an_error_answer),
    TL(targets_outlive_garbage), TL(targets_outlive_no_array),
    TL(targets_outlive_an_answer_that_is_no_http), TL(targets_outlive_a_connection_that_breaks),
    TL(a_body_that_is_cut_short_is_not_believed),
    TL(an_agent_that_comes_back_is_asked_and_believed),
    TL(an_agent_that_has_lost_its_state_is_not_believed_at_once),
    TL(an_agent_that_insists_on_nothing_is_believed_in_the_end),
    TL(other_content_under_the_same_index_is_asked_for_again),
    TL(a_token_that_sees_less_takes_nothing_away),
    TL(a_token_that_never_saw_all_has_one_removal_believed_and_most_of_them_late),
    TL(the_same_without_a_token_where_anybody_may_read_some),
    TL(a_token_that_sees_all_again_is_believed_at_once),
    TL(a_server_that_answers_at_once_each_time_is_not_hammered),
    TL(without_an_index_it_still_follows), TL(users_need_not_wait_for_an_agent_that_is_away),
    TL(users_need_not_wait_for_an_agent_that_hangs),
    TL(the_token_goes_in_its_header_and_nowhere_else), TL(names_tags_and_datacenter_are_escaped),
    TL(closing_in_the_middle_of_a_query_leaves_nothing),
    TL(closing_while_the_agent_is_away_leaves_nothing), TL(many_parked_watches_all_come_back),
    TL(reads_are_stale_ones), TL(one_removal_of_three_needs_no_second_read),
    TL(a_mass_removal_is_confirmed_by_a_quorum_and_applied),
    TL(a_removal_that_a_leaderless_server_confirms_waits),
    TL(a_removal_that_a_blind_token_confirms_waits), TL(a_removal_whose_confirmation_fails_waits),
    TL(a_removal_that_nobody_confirms_in_time_waits_and_then_applies),
    TL(what_is_held_is_believed_of_a_quorum_alone),
    TL(entries_that_make_no_sense_are_no_mass_removal), TL(what_a_held_answer_brings_is_taken),
    TL(an_index_that_fell_with_a_new_name_is_no_lost_state),
    TL(a_state_that_stays_lost_is_believed_when_its_time_is_over),
    TL(a_server_without_leader_adds_but_takes_nothing_away),
    TL(a_streaming_answer_always_denies_a_leader_and_is_believed),
    TL(a_server_that_lags_is_asked_for_the_leaders_view),
    TL(a_server_that_shows_an_earlier_time_takes_nothing_away), TL(an_audit_asks_without_index),
    TL(the_next_address_is_asked_when_one_is_down), TL(a_refused_token_is_read_again_from_its_file),
    TL(after_a_sleep_of_the_machine_all_is_asked_anew), TL(the_wait_is_the_operators),
    TL(an_old_answer_of_the_agents_cache_is_asked_for_again_without_it))
