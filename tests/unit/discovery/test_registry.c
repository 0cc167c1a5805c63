#include "unit/test.h"

#include <stdlib.h>

#include "base/log.h"
#include "discovery/registry.h"
#include "unit/fake_consul.h"
#include "unit/fake_dns.h"
#include "unit/loop.h"

static uv_loop_t loop;
static struct fake_consul consul;
static struct fake_dns dns;
static struct registry *registry;
static unsigned retired_count;

static void retire(void *owner, struct endpoints *old)
{
    assert_ptr_equal(owner, &loop);
    retired_count++;
    endpoints_destroy(old);
}

static int open_registry(bool with_consul, uint32_t silent_ms)
{
    log_set_level(getenv("WEIR_TEST_LOG") ? LOG_DEBUG : LOG_CRIT);
    retired_count = 0;
    uv_loop_init(&loop);
    fake_consul_open(&consul, &loop);
    fake_dns_open(&dns, &loop);
    const struct registry_settings settings = {
        .consul = {.urls = with_consul ? consul.url : NULL, .patience = {.silent_ms = silent_ms}},
        .dns = {.servers = dns.servers},
        .worker_count = 2,
        .retire = retire,
        .owner = &loop};
    return registry_create(&loop, &settings, &registry);
}

static int setup(void **state)
{
    (void)state;
    return open_registry(true, 0);
}

static int setup_soon_silent(void **state)
{
    (void)state;
    return open_registry(true, 50);
}

static int setup_without_consul(void **state)
{
    (void)state;
    return open_registry(false, 0);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    (void)state;
    bool closed = false;
    registry_close(registry, on_closed, &closed);
    fake_consul_stop(&consul);
    fake_dns_close(&dns);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    return uv_loop_close(&loop);
}

/* --- wanting --- */

static struct upstream_state *want_spec(const struct upstream_spec *spec)
{
    struct wanted *wanted;
    assert_int_equal(registry_want(registry, spec, &wanted), 0);
    return registry_state(wanted);
}

/* A round with this one alone. */
static struct upstream_state *want(const struct upstream_spec *spec)
{
    registry_begin(registry);
    struct upstream_state *upstream = want_spec(spec);
    registry_end(registry);
    return upstream;
}

static struct upstream_spec host_spec(const char *host)
{
    return (struct upstream_spec){
        .key = str_of(host), .name = str_of(host), .host = str_of(host), .port = 80};
}

static struct upstream_state *want_host(const char *host)
{
    const struct upstream_spec spec = host_spec(host);
    return want(&spec);
}

static struct upstream_state *want_record(const char *text)
{
    json_t *record = json_loads(text, 0, NULL);
    assert_non_null(record);
    const struct upstream_spec spec = {.key = STR("u"), .name = STR("u"), .discovery = record};
    struct upstream_state *upstream = want(&spec);
    json_decref(record);
    return upstream;
}

/* "10.0.0.1:80*3 10.0.0.2:80!" with weights other than 1, and '!' for what takes no traffic; or the
 * condition, where it is not known. */
static const char *shown(struct upstream_state *upstream)
{
    static char text[1024];
    static const char *const conditions[] = {"pending", "", "unresolved"};
    const struct endpoints *endpoints = upstream_state_endpoints(upstream);
    text[0] = '\0';
    for (uint32_t i = 0; i < endpoints->count; i++) {
        const struct endpoint *endpoint = &endpoints->items[i];
        char one[128], weight[16] = "";
        if (endpoint->weight != 1)
            snprintf(weight, sizeof(weight), "*%u", endpoint->weight);
        snprintf(one, sizeof(one), "%s%s%s%s", i ? " " : "", endpoint->target->name, weight,
                 target_state_is_usable(endpoint->target) ? "" : "!");
        strcat(text, one);
    }
    return endpoints->count ? text : conditions[endpoints->condition];
}

static bool shows(struct upstream_state *upstream, const char *wanted)
{
    return strcmp(shown(upstream), wanted) == 0;
}

#define EXPECT(upstream, wanted)                                                                   \
    do {                                                                                           \
        if (!LOOP_UNTIL(&loop, shows((upstream), (wanted))))                                       \
            fail_msg("it shows '%s', wanted is '%s'", shown(upstream), (wanted));                  \
    } while (0)

static struct target_state *first_target(struct upstream_state *upstream)
{
    return upstream_state_endpoints(upstream)->items[0].target;
}

/* --- static targets --- */

TEST(an_address_is_known_at_once)
{
    assert_string_equal(shown(want_host("10.0.0.1")), "10.0.0.1:80");
    assert_string_equal(shown(want_host("::1")), "[::1]:80");
    assert_int_equal(consul.request_count + dns.query_count, 0);
}

TEST(static_targets_have_their_weights_and_names_their_addresses)
{
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 60, "10.0.0.2"};
    dns.records[1] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 60, "10.0.0.3"};
    const struct static_target targets[] = {
        {STR("10.0.0.1"), 80, 100}, {STR("web.test"), 81, 7}, {STR("nosuch.test"), 82, 1}};
    const struct upstream_spec spec = {
        .key = STR("u"), .name = STR("u"), .targets = targets, .target_count = 3};
    struct upstream_state *upstream = want(&spec);
    assert_string_equal(shown(upstream), "10.0.0.1:80*100");
    EXPECT(upstream, "10.0.0.1:80*100 10.0.0.2:81*7 10.0.0.3:81*7");
    assert_string_equal(upstream_state_endpoints(upstream)->items[1].target->host, "web.test");
}

TEST(an_upstream_without_targets_is_known_to_be_empty)
{
    const struct upstream_spec spec = {.key = STR("u"), .name = STR("u")};
    assert_string_equal(shown(want(&spec)), "");
}

TEST(a_changed_spec_keeps_the_state_of_what_stays)
{
    const struct static_target targets[] = {{STR("10.0.0.1"), 80, 1}, {STR("10.0.0.2"), 80, 1}};
    struct upstream_spec spec = {
        .key = STR("u"), .name = STR("u"), .targets = targets, .target_count = 1};
    struct upstream_state *upstream = want(&spec);
    struct target_state *target = first_target(upstream);
    spec.target_count = 2;
    assert_ptr_equal(want(&spec), upstream);
    assert_string_equal(shown(upstream), "10.0.0.1:80 10.0.0.2:80");
    assert_ptr_equal(first_target(upstream), target);
    unsigned before = retired_count;
    want(&spec);
    assert_int_equal(retired_count, before); /* the same again is no news */
}

/* --- Consul --- */

TEST(a_service_of_consul_is_followed)
{
    struct upstream_state *upstream = want_host("web.service.consul");
    assert_string_equal(shown(upstream), "pending");
    EXPECT(upstream, "");
    fake_consul_set(&consul, "web-1:5001:passing web-2:5002:passing");
    EXPECT(upstream, "127.0.0.1:5001 127.0.0.1:5002");
    struct target_state *gone = target_state_ref(first_target(upstream));
    fake_consul_set(&consul, "web-2:5002:passing");
    EXPECT(upstream, "127.0.0.1:5002");
    assert_true(atomic_load(&gone->gone));
    assert_false(atomic_load(&first_target(upstream)->gone));
    target_state_unref(gone);
    fake_consul_set(&consul, "");
    EXPECT(upstream, "");
}

TEST(a_verdict_takes_a_target_off_the_wheel_and_back)
{
    fake_consul_set(&consul, "web-1:5001:passing web-2:5002:passing");
    struct upstream_state *upstream = want_host("web.service.consul");
    EXPECT(upstream, "127.0.0.1:5001 127.0.0.1:5002");
    struct target_state *target = first_target(upstream);
    fake_consul_set(&consul, "web-1:5001:critical web-2:5002:passing");
    EXPECT(upstream, "127.0.0.1:5001! 127.0.0.1:5002");
    assert_ptr_equal(first_target(upstream), target);
    assert_int_equal(upstream_state_endpoints(upstream)->wheel_len, 1);
    fake_consul_set(&consul, "web-1:5001:warning web-2:5002:passing");
    EXPECT(upstream, "127.0.0.1:5001 127.0.0.1:5002");
    assert_ptr_equal(first_target(upstream), target);
    assert_false(atomic_load(&target->gone));
    assert_int_equal(upstream_state_endpoints(upstream)->wheel_len, 2);
}

TEST(a_record_says_what_to_follow)
{
    struct upstream_state *upstream =
        want_record("{\"type\": \"consul\", \"service\": \"web\", \"tags\": [\"v2\", \"a\"],"
                    " \"datacenter\": \"dc9\", \"passing_only\": true}");
    fake_consul_set(&consul, "web-1:5001:warning web-2:5002:passing");
    EXPECT(upstream, "127.0.0.1:5001! 127.0.0.1:5002");
    static const char line[] = "GET /v1/health/service/web?dc=dc9&tag=a&tag=v2&";
    assert_memory_equal(consul.heads[0], line, sizeof(line) - 1);
}

TEST(an_instance_without_port_has_the_one_configured_or_is_left_out)
{
    fake_consul_set(&consul, "web-1:0:passing web-2:5002:passing");
    struct upstream_state *upstream = want_record("{\"type\": \"consul\", \"service\": \"web\"}");
    EXPECT(upstream, "127.0.0.1:5002");
    upstream = want_record("{\"type\": \"consul\", \"service\": \"web\", \"port\": 99}");
    EXPECT(upstream, "127.0.0.1:99 127.0.0.1:5002");
}

TEST(an_instance_whose_address_is_a_name_is_looked_up)
{
    dns.records[0] = (struct fake_dns_record){"db.test", FAKE_DNS_A, 60, "10.0.0.5"};
    fake_consul_set_body(&consul, "[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.0.0.1\"},"
                                  "\"Service\":{\"ID\":\"a\",\"Address\":\"db.test\","
                                  "\"Port\":5432}}]");
    struct upstream_state *upstream = want_host("db.service.consul");
    EXPECT(upstream, "10.0.0.5:5432");
    assert_string_equal(first_target(upstream)->instance, "a");
}

TEST(one_query_serves_all_that_follow_a_service)
{
    const struct upstream_spec a = host_spec("web.service.consul"), b = host_spec("web");
    fake_consul_set(&consul, "web-1:5001:passing");
    registry_begin(registry);
    struct upstream_state *one = want_spec(&a), *other = want_spec(&b);
    registry_end(registry);
    EXPECT(one, "127.0.0.1:5001");
    EXPECT(other, "127.0.0.1:5001");
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&consul) == 1));
    assert_int_equal(consul.request_count, 2);
    assert_ptr_not_equal(first_target(one), first_target(other));
    /* With one of them gone it goes on, with both it ends. */
    want(&a);
    fake_consul_set(&consul, "web-2:5002:passing");
    EXPECT(one, "127.0.0.1:5002");
    registry_begin(registry);
    registry_end(registry);
    assert_true(LOOP_UNTIL(&loop, fake_consul_blocked(&consul) == 0));
}

TEST(known_targets_outlive_consul)
{
    fake_consul_set(&consul, "web-1:5001:passing");
    struct upstream_state *upstream = want_host("web");
    EXPECT(upstream, "127.0.0.1:5001");
    fake_consul_stop(&consul);
    LOOP_FOR(&loop, 300);
    assert_string_equal(shown(upstream), "127.0.0.1:5001");
    fake_consul_set(&consul, "web-1:5001:passing web-2:5002:passing");
    fake_consul_start(&consul);
    EXPECT(upstream, "127.0.0.1:5001 127.0.0.1:5002");
}

TEST(what_nobody_wants_any_more_is_emptied)
{
    fake_consul_set(&consul, "web-1:5001:passing");
    struct upstream_state *upstream = upstream_state_ref(want_host("web"));
    EXPECT(upstream, "127.0.0.1:5001");
    struct target_state *target = target_state_ref(first_target(upstream));
    registry_begin(registry);
    registry_end(registry);
    assert_string_equal(shown(upstream), "");
    assert_true(atomic_load(&target->gone));
    assert_null(registry_find(registry, STR("web")));
    target_state_unref(target);
    upstream_state_unref(upstream);
}

/* --- names --- */

TEST(a_single_label_is_consuls_as_soon_as_consul_has_it)
{
    dns.records[0] = (struct fake_dns_record){"web", FAKE_DNS_A, 60, "10.0.0.1"};
    struct upstream_state *upstream = want_host("web");
    EXPECT(upstream, "10.0.0.1:80");
    fake_consul_set(&consul, "web-1:5001:passing");
    EXPECT(upstream, "127.0.0.1:5001");
    /* From now on Consul is the truth, also when it has none. */
    fake_consul_set(&consul, "");
    EXPECT(upstream, "");
    LOOP_FOR(&loop, 50);
    assert_string_equal(shown(upstream), "");
}

TEST(a_single_label_that_consul_has_never_shows_what_dns_says)
{
    dns.records[0] = (struct fake_dns_record){"web", FAKE_DNS_A, 60, "10.0.0.1"};
    fake_consul_set(&consul, "web-1:5001:passing");
    struct upstream_state *upstream = want_host("web");
    while (shows(upstream, "pending"))
        uv_run(&loop, UV_RUN_ONCE);
    assert_string_equal(shown(upstream), "127.0.0.1:5001");
}

TEST(a_single_label_that_nobody_knows_is_unresolved_until_somebody_does)
{
    struct upstream_state *upstream = want_host("web");
    assert_string_equal(shown(upstream), "pending");
    EXPECT(upstream, "unresolved");
    fake_consul_set(&consul, "web-1:5001:passing");
    EXPECT(upstream, "127.0.0.1:5001");
}

TEST(dns_helps_out_while_consul_is_away)
{
    dns.records[0] = (struct fake_dns_record){"web", FAKE_DNS_A, 60, "10.0.0.1"};
    fake_consul_stop(&consul);
    struct upstream_state *upstream = want_host("web");
    EXPECT(upstream, "10.0.0.1:80");
}

TEST(with_consul_away_and_dns_failing_nobody_waits_for_ever)
{
    dns.mood = FAKE_DNS_SERVFAIL;
    fake_consul_stop(&consul);
    struct upstream_state *upstream = want_host("web");
    EXPECT(upstream, "unresolved");
    fake_consul_set(&consul, "web-1:5001:passing");
    fake_consul_start(&consul);
    EXPECT(upstream, "127.0.0.1:5001");
}

TEST(a_dotted_name_is_never_consuls)
{
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 60, "10.0.0.1"};
    EXPECT(want_host("web.test"), "10.0.0.1:80");
    assert_int_equal(consul.request_count, 0);
}

TEST(addresses_are_asked_for_again_when_they_expire)
{
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 0, "10.0.0.1"};
    struct upstream_state *upstream = want_host("web.test");
    EXPECT(upstream, "10.0.0.1:80");
    dns.records[0].value = "10.0.0.2";
    EXPECT(upstream, "10.0.0.2:80");
    /* A server that fails takes nothing away. */
    dns.mood = FAKE_DNS_SERVFAIL;
    unsigned before = dns.query_count;
    assert_true(LOOP_UNTIL(&loop, dns.query_count >= before + 4));
    assert_string_equal(shown(upstream), "10.0.0.2:80");
    /* Nor does a single "no such name"; the second does. */
    dns.mood = FAKE_DNS_ANSWERS;
    dns.records[0].name = "other.test";
    before = dns.query_count;
    assert_true(LOOP_UNTIL(&loop, dns.query_count >= before + 2));
    assert_string_equal(shown(upstream), "10.0.0.2:80");
    EXPECT(upstream, "unresolved");
    dns.records[0].name = "web.test";
    EXPECT(upstream, "10.0.0.2:80");
}

TEST(srv_records_bring_ports_weights_and_names)
{
    dns.records[0] =
        (struct fake_dns_record){"_web._tcp.test", FAKE_DNS_SRV, 60, "1 3 8080 a.test"};
    dns.records[1] = (struct fake_dns_record){"_web._tcp.test", FAKE_DNS_SRV, 60,
                                              "1 1 8081 0a000002.addr.dc1.consul"};
    dns.records[2] = (struct fake_dns_record){"a.test", FAKE_DNS_A, 60, "10.0.0.1"};
    EXPECT(want_record("{\"type\": \"dns-srv\", \"name\": \"_web._tcp.test\"}"),
           "10.0.0.1:8080*3 10.0.0.2:8081");
}

TEST(addresses_of_both_families_are_targets)
{
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 0, "127.0.0.2"};
    dns.records[1] = (struct fake_dns_record){"web.test", FAKE_DNS_AAAA, 0, "::1"};
    struct upstream_state *upstream = want_host("web.test");
    EXPECT(upstream, "127.0.0.2:80 [::1]:80");
    /* One that can't be told stays, while the other is followed. */
    dns.failing_type = FAKE_DNS_AAAA;
    dns.records[0].value = "127.0.0.3";
    EXPECT(upstream, "127.0.0.3:80 [::1]:80");
}

TEST(an_srv_target_with_more_addresses_has_the_same_share)
{
    dns.records[0] = (struct fake_dns_record){"_web._tcp.test", FAKE_DNS_SRV, 60, "1 1 81 a.test"};
    dns.records[1] = (struct fake_dns_record){"_web._tcp.test", FAKE_DNS_SRV, 60, "1 1 82 b.test"};
    dns.records[2] = (struct fake_dns_record){"a.test", FAKE_DNS_A, 60, "10.0.0.1"};
    dns.records[3] = (struct fake_dns_record){"a.test", FAKE_DNS_A, 60, "10.0.0.2"};
    dns.records[4] = (struct fake_dns_record){"b.test", FAKE_DNS_A, 60, "10.0.0.3"};
    EXPECT(want_record("{\"type\": \"dns-srv\", \"name\": \"_web._tcp.test\"}"),
           "10.0.0.1:81 10.0.0.2:81 10.0.0.3:82*2");
}

TEST(a_higher_priority_stands_by)
{
    dns.records[0] = (struct fake_dns_record){"_web._tcp.test", FAKE_DNS_SRV, 60,
                                              "1 3 81 0a000001.addr.dc1.consul"};
    dns.records[1] = (struct fake_dns_record){"_web._tcp.test", FAKE_DNS_SRV, 60,
                                              "2 5 82 0a000002.addr.dc1.consul"};
    EXPECT(want_record("{\"type\": \"dns-srv\", \"name\": \"_web._tcp.test\"}"),
           "10.0.0.1:81*3 10.0.0.2:82*0");
}

TEST(an_answer_that_takes_much_away_is_asked_for_again)
{
    for (int i = 0; i < 3; i++)
        dns.records[i] = (struct fake_dns_record){
            "web.test", FAKE_DNS_A, 0, (const char *[]){"10.0.0.1", "10.0.0.2", "10.0.0.3"}[i]};
    struct upstream_state *upstream = want_host("web.test");
    EXPECT(upstream, "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80");
    unsigned before = dns.query_count;
    dns.records[1].name = dns.records[2].name = "no.test";
    assert_true(LOOP_UNTIL(&loop, dns.query_count >= before + 2));
    LOOP_FOR(&loop, 50);
    assert_string_equal(shown(upstream), "10.0.0.1:80 10.0.0.2:80 10.0.0.3:80");
    EXPECT(upstream, "10.0.0.1:80");
}

/* --- DNS in the place of a Consul that is silent --- */

#define OF_CONSUL "127.0.0.1:5001 127.0.0.1:5002 127.0.0.1:5003 127.0.0.1:5004"

/* Consul tells of four, and then nothing more. */
static struct upstream_state *want_of_silent_consul(void)
{
    fake_consul_set(&consul, "web-1:5001:passing web-2:5002:passing web-3:5003:passing "
                             "web-4:5004:passing");
    struct upstream_state *upstream = want_host("web.service.consul");
    EXPECT(upstream, OF_CONSUL);
    fake_consul_stop(&consul);
    return upstream;
}

static struct fake_dns_record srv_of_web(const char *value)
{
    return (struct fake_dns_record){"web.service.consul", FAKE_DNS_SRV, 0, value};
}

TEST(a_first_answer_of_dns_does_not_take_most_of_consuls_away)
{
    dns.records[0] = srv_of_web("1 1 5005 7f000001.addr.dc1.consul");
    struct upstream_state *upstream = want_of_silent_consul();
    bool is_believed = false;
    assert_true(LOOP_UNTIL(&loop, dns.query_count >= 1));
    dns.records[1] = srv_of_web("1 1 5001 7f000001.addr.dc1.consul");
    dns.records[2] = srv_of_web("1 1 5002 7f000001.addr.dc1.consul");
    dns.records[3] = srv_of_web("1 1 5003 7f000001.addr.dc1.consul");
    assert_true(LOOP_UNTIL(&loop, (is_believed |= shows(upstream, "127.0.0.1:5005"),
                                   shows(upstream, "127.0.0.1:5001 127.0.0.1:5002 127.0.0.1:5003 "
                                                   "127.0.0.1:5005"))));
    assert_false(is_believed);
}

TEST(what_dns_says_twice_is_believed_until_consul_speaks)
{
    dns.records[0] = srv_of_web("1 1 5005 7f000001.addr.dc1.consul");
    struct upstream_state *upstream = want_of_silent_consul();
    EXPECT(upstream, "127.0.0.1:5005");
    assert_true(dns.query_count >= 2);
    /* What changes then is believed as ever: Consul's don't come back. */
    bool is_back = false;
    dns.records[1] = srv_of_web("1 1 5006 7f000001.addr.dc1.consul");
    assert_true(LOOP_UNTIL(&loop, (is_back |= shows(upstream, OF_CONSUL),
                                   shows(upstream, "127.0.0.1:5005 127.0.0.1:5006"))));
    assert_false(is_back);
    fake_consul_start(&consul);
    EXPECT(upstream, OF_CONSUL);
}

TEST(a_part_that_dns_tells_takes_none_of_consuls_away)
{
    dns.refuses_tcp = true; /* over UDP, and without EDNS, so few records may be a part */
    dns.records[0] = srv_of_web("1 1 5001 7f000001.addr.dc1.consul");
    dns.records[1] = srv_of_web("1 1 5002 7f000001.addr.dc1.consul");
    dns.records[2] = srv_of_web("1 1 5003 7f000001.addr.dc1.consul");
    dns.records[3] = srv_of_web("1 1 5005 7f000001.addr.dc1.consul");
    struct upstream_state *upstream = want_of_silent_consul();
    EXPECT(upstream, OF_CONSUL " 127.0.0.1:5005");
}

TEST(a_record_of_type_dns_has_its_port)
{
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 60, "10.0.0.1"};
    EXPECT(want_record("{\"type\": \"dns\", \"name\": \"web.test\", \"port\": 81}"), "10.0.0.1:81");
}

/* --- without Consul --- */

TEST(without_consul_names_are_dns_alone)
{
    dns.records[0] = (struct fake_dns_record){"web", FAKE_DNS_A, 60, "10.0.0.1"};
    dns.records[1] = (struct fake_dns_record){"web.service.consul", FAKE_DNS_A, 60, "10.0.0.2"};
    EXPECT(want_host("web"), "10.0.0.1:80");
    EXPECT(want_host("web.service.consul"), "10.0.0.2:80");
    assert_string_equal(shown(want_record("{\"type\": \"consul\", \"service\": \"web\"}")),
                        "unresolved");
    json_t *status = registry_status(registry);
    assert_true(json_is_false(json_object_get(json_object_get(status, "consul"), "configured")));
    json_decref(status);
    assert_int_equal(consul.request_count, 0);
}

#define TL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define SILENT(name) cmocka_unit_test_setup_teardown(name, setup_soon_silent, teardown)

RUN(TL(an_address_is_known_at_once),
    TL(static_targets_have_their_weights_and_names_their_addresses),
    TL(an_upstream_without_targets_is_known_to_be_empty),
    TL(a_changed_spec_keeps_the_state_of_what_stays), TL(a_service_of_consul_is_followed),
    TL(a_verdict_takes_a_target_off_the_wheel_and_back), TL(a_record_says_what_to_follow),
    TL(an_instance_without_port_has_the_one_configured_or_is_left_out),
    TL(an_instance_whose_address_is_a_name_is_looked_up),
    TL(one_query_serves_all_that_follow_a_service), TL(known_targets_outlive_consul),
    TL(what_nobody_wants_any_more_is_emptied),
    TL(a_single_label_is_consuls_as_soon_as_consul_has_it),
    TL(a_single_label_that_consul_has_never_shows_what_dns_says),
    TL(a_single_label_that_nobody_knows_is_unresolved_until_somebody_does),
    TL(dns_helps_out_while_consul_is_away),
    TL(with_consul_away_and_dns_failing_nobody_waits_for_ever), TL(a_dotted_name_is_never_consuls),
    TL(addresses_are_asked_for_again_when_they_expire), TL(addresses_of_both_families_are_targets),
    TL(an_srv_target_with_more_addresses_has_the_same_share), TL(a_higher_priority_stands_by),
    TL(an_answer_that_takes_much_away_is_asked_for_again),
    TL(srv_records_bring_ports_weights_and_names), TL(a_record_of_type_dns_has_its_port),
    SILENT(a_first_answer_of_dns_does_not_take_most_of_consuls_away),
    SILENT(what_dns_says_twice_is_believed_until_consul_speaks),
    SILENT(a_part_that_dns_tells_takes_none_of_consuls_away),
    cmocka_unit_test_setup_teardown(without_consul_names_are_dns_alone, setup_without_consul,
                                    teardown))
