#include "unit/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "net/ip.h"
#include "net/resolver.h"
#include "unit/dead_port.h"
#include "unit/fake_dns.h"
#include "unit/loop.h"

static uv_loop_t loop;
static struct fake_dns dns;
static struct resolver *resolver;

/* What a look-up came to. */
static struct {
    unsigned calls;
    int status;
    bool is_over;
    enum resolver_family_state states[2];
    unsigned count;
    uint32_t ttl_s;
    union ip_address addresses[8];
    char host[128];
    uint16_t port, priority, weight;
} result;
static struct resolver_query *query, *other_query;

static int setup(void **state)
{
    (void)state;
    memset(&result, 0, sizeof(result));
    uv_loop_init(&loop);
    fake_dns_open(&dns, &loop);
    return resolver_create(&loop, &(struct resolver_settings){.servers = dns.servers}, &resolver,
                           NULL);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    (void)state;
    bool closed = false;
    resolver_close(resolver, on_closed, &closed);
    fake_dns_close(&dns);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(closed);
    return uv_loop_close(&loop);
}

static void on_answer(void *arg, int status, const char *reason,
                      const struct resolver_family families[2])
{
    (void)arg;
    assert_non_null(reason);
    result.calls++;
    result.status = status;
    result.is_over = query == NULL;
    if (status)
        return;
    result.count = 0;
    result.ttl_s = UINT32_MAX;
    for (int f = 0; f < 2; f++) {
        result.states[f] = families[f].state;
        if (families[f].count && families[f].ttl_s < result.ttl_s)
            result.ttl_s = families[f].ttl_s;
        for (unsigned i = 0; i < families[f].count && result.count < 8; i++)
            result.addresses[result.count++] = families[f].addresses[i];
    }
}

static void on_services(void *arg, int status, const char *reason,
                        const struct resolver_services *services)
{
    (void)arg;
    (void)reason;
    result.calls++;
    result.status = status;
    if (status)
        return;
    result.count = services->count;
    result.ttl_s = services->ttl_s;
    snprintf(result.host, sizeof(result.host), "%s", services->items[0].host);
    result.port = services->items[0].port;
    result.priority = services->items[0].priority;
    result.weight = services->items[0].weight;
}

static void look_up(const char *name)
{
    assert_int_equal(resolver_look_up(resolver, name, on_answer, NULL, &query), 0);
    assert_true(LOOP_UNTIL(&loop, result.calls > 0 && result.is_over));
}

static void expect_address(unsigned i, const char *ip)
{
    union ip_address wanted;
    assert_true(ip_parse(str_of(ip), 0, &wanted));
    assert_int_equal(ip_compare(&result.addresses[i], &wanted), 0);
}

TEST(addresses_of_both_families_come_with_the_shortest_ttl)
{
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 60, "10.0.0.1"};
    dns.records[1] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 7, "10.0.0.2"};
    dns.records[2] = (struct fake_dns_record){"web.test", FAKE_DNS_AAAA, 60, "fd00::1"};
    look_up("web.test");
    assert_int_equal(result.status, 0);
    assert_int_equal(result.count, 3);
    assert_int_equal(result.ttl_s, 7);
    expect_address(0, "10.0.0.1");
    expect_address(1, "10.0.0.2");
    expect_address(2, "fd00::1");
}

TEST(a_family_that_fails_is_told_from_one_that_is_not_there)
{
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 60, "10.0.0.1"};
    dns.failing_type = FAKE_DNS_AAAA;
    look_up("web.test");
    assert_int_equal(result.status, 0);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.states[1], RESOLVER_FAILED);
}

TEST(ipv6_is_used_where_there_is_no_ipv4)
{
    dns.records[0] = (struct fake_dns_record){"six.test", FAKE_DNS_AAAA, 60, "fd00::1"};
    look_up("six.test");
    assert_int_equal(result.status, 0);
    assert_int_equal(result.count, 1);
    expect_address(0, "fd00::1");
}

TEST(a_name_that_does_not_exist_is_told_from_a_failure)
{
    look_up("nosuch.test");
    assert_int_equal(result.status, UV_EAI_NONAME);
}

TEST(a_name_without_addresses_counts_as_not_existing)
{
    dns.records[0] = (struct fake_dns_record){"srv.test", FAKE_DNS_SRV, 60, "1 1 80 web.test"};
    look_up("srv.test");
    assert_int_equal(result.status, UV_EAI_NONAME);
}

TEST(a_server_that_fails_is_a_failure)
{
    dns.mood = FAKE_DNS_SERVFAIL;
    look_up("web.test");
    assert_int_not_equal(result.status, 0);
    assert_int_not_equal(result.status, UV_EAI_NONAME);
}

TEST(a_server_that_is_silent_is_a_failure_in_the_end)
{
    dns.mood = FAKE_DNS_SILENT;
    look_up("web.test");
    assert_int_not_equal(result.status, 0);
    assert_int_not_equal(result.status, UV_EAI_NONAME);
}

TEST(the_hosts_file_is_believed_and_dns_not_asked)
{
    char path[] = "/tmp/weir-hosts-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "10.9.8.7 box\n";
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    setenv("CARES_HOSTS", path, 1);
    look_up("box");
    unsetenv("CARES_HOSTS");
    unlink(path);
    assert_int_equal(result.status, 0);
    expect_address(0, "10.9.8.7");
    assert_int_equal(dns.query_count, 0);
}

TEST(localhost_needs_no_server)
{
    dns.mood = FAKE_DNS_SILENT;
    look_up("localhost");
    assert_int_equal(result.status, 0);
    expect_address(0, "127.0.0.1");
    assert_int_equal(dns.query_count, 0);
}

TEST(a_cancelled_query_says_nothing)
{
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 60, "10.0.0.1"};
    resolver_look_up(resolver, "web.test", on_answer, NULL, &query);
    assert_non_null(query);
    resolver_cancel(&query);
    assert_null(query);
    resolver_cancel(&query);
    assert_true(LOOP_UNTIL(&loop, dns.query_count >= 2));
    LOOP_FOR(&loop, 20);
    assert_int_equal(result.calls, 0);
}

TEST(closing_ends_queries_without_a_word)
{
    dns.mood = FAKE_DNS_SILENT;
    resolver_look_up(resolver, "web.test", on_answer, NULL, &query);
    resolver_look_up_services(resolver, "web.test", on_services, NULL, &other_query);
    assert_true(LOOP_UNTIL(&loop, dns.tcp_query_count > 0));
    /* teardown closes */
}

TEST(services_come_over_tcp_with_their_ttl)
{
    dns.records[0] = (struct fake_dns_record){"_web._tcp.test", FAKE_DNS_SRV, 9, "1 5 8080 a.test"};
    resolver_look_up_services(resolver, "_web._tcp.test", on_services, NULL, &query);
    assert_true(LOOP_UNTIL(&loop, result.calls > 0));
    assert_int_equal(result.status, 0);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.ttl_s, 9);
    assert_string_equal(result.host, "a.test");
    assert_int_equal(result.port, 8080);
    assert_int_equal(result.weight, 5);
    assert_int_equal(dns.tcp_query_count, 1);
}

TEST(where_tcp_does_not_work_services_come_over_udp)
{
    dns.records[0] = (struct fake_dns_record){"_web._tcp.test", FAKE_DNS_SRV, 9, "1 5 8080 a.test"};
    dns.refuses_tcp = true;
    for (int round = 0; round < 2; round++) {
        result.calls = 0;
        resolver_look_up_services(resolver, "_web._tcp.test", on_services, NULL, &query);
        assert_true(LOOP_UNTIL(&loop, result.calls > 0));
        assert_int_equal(result.status, 0);
        assert_int_equal(result.port, 8080);
    }
    assert_int_equal(dns.tcp_query_count, 0);
    assert_int_equal(dns.query_count, 2);
    assert_true(dns.last_had_edns);
}

TEST(a_zone_has_servers_of_its_own)
{
    struct resolver *forwarding;
    char forwards[128], nobody[32];
    uint16_t port;
    int dead = dead_port(&port);
    snprintf(nobody, sizeof(nobody), "127.0.0.1:%u", port);
    snprintf(forwards, sizeof(forwards), "consul=%s,other=%s", dns.servers, nobody);
    const struct resolver_settings settings = {.servers = nobody, .forwards = forwards};
    dns.records[0] = (struct fake_dns_record){"web.service.CONSUL", FAKE_DNS_A, 60, "10.0.0.1"};
    dns.records[1] = (struct fake_dns_record){"web.notconsul", FAKE_DNS_A, 60, "10.0.0.1"};
    assert_int_equal(resolver_create(&loop, &settings, &forwarding, NULL), 0);
    resolver_look_up(forwarding, "web.service.CONSUL.", on_answer, NULL, &query);
    assert_true(LOOP_UNTIL(&loop, result.calls > 0 && result.is_over));
    assert_int_equal(result.status, 0);
    result.calls = 0;
    resolver_look_up(forwarding, "web.notconsul", on_answer, NULL, &query);
    assert_true(LOOP_UNTIL(&loop, result.calls > 0 && result.is_over));
    assert_int_not_equal(result.status, 0);
    bool closed = false;
    resolver_close(forwarding, on_closed, &closed);
    assert_true(LOOP_UNTIL(&loop, closed));
    close(dead);
}

TEST(bad_forwards_are_named)
{
    static const char *const bad[] = {
        "consul",      "consul=", "=127.0.0.1",
        "consul=name", "a=1,b",   "a=::1,b=::1,c=::1,d=::1,e=::1,f=::1,g=::1,h=::1,i=::1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct resolver *none = NULL;
        struct error err = {.sentence = ""};
        const struct resolver_settings settings = {.forwards = bad[i]};
        assert_int_equal(resolver_create(&loop, &settings, &none, &err), UV_EINVAL);
        assert_null(none);
        assert_non_null(strstr(err.sentence, bad[i]));
    }
}

static void write_resolv_conf(const char *path, const char *servers)
{
    FILE *file = fopen(path, "we");
    fprintf(file, "nameserver %s\n", servers);
    fclose(file);
}

TEST(a_changed_resolv_conf_is_followed)
{
    char path[] = "/tmp/weir-resolv-XXXXXX";
    close(mkstemp(path));
    struct resolver *following;
    write_resolv_conf(path, "127.0.0.2");
    const struct resolver_settings settings = {
        .resolv_conf = path, .resolv_conf_port = (uint16_t)atoi(strchr(dns.servers, ':') + 1)};
    dns.records[0] = (struct fake_dns_record){"web.test", FAKE_DNS_A, 60, "10.0.0.1"};
    assert_int_equal(resolver_create(&loop, &settings, &following, NULL), 0);
    resolver_look_up(following, "web.test", on_answer, NULL, &query);
    assert_true(LOOP_UNTIL(&loop, result.calls > 0 && result.is_over));
    assert_int_not_equal(result.status, 0);
    bool found = false;
    for (int turn = 0; !found && turn < 400; turn++) {
        if (turn % 40 == 0) /* again, as one before the first look at the file is no change */
            write_resolv_conf(path, "127.0.0.1");
        result.calls = 0;
        resolver_look_up(following, "web.test", on_answer, NULL, &query);
        assert_true(LOOP_UNTIL(&loop, result.calls > 0 && result.is_over));
        found = result.status == 0;
        LOOP_FOR(&loop, 50);
    }
    assert_true(found);
    unlink(path);
    bool closed = false;
    resolver_close(following, on_closed, &closed);
    assert_true(LOOP_UNTIL(&loop, closed));
}

TEST(a_bad_list_of_servers_is_named)
{
    struct resolver *none = NULL;
    struct error err = {.sentence = ""};
    assert_int_equal(resolver_create(&loop,
                                     &(struct resolver_settings){.servers = "not an address"},
                                     &none, &err),
                     UV_EINVAL);
    assert_null(none);
    assert_non_null(strstr(err.sentence, "not an address"));
}

#define TL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TL(addresses_of_both_families_come_with_the_shortest_ttl),
    TL(a_family_that_fails_is_told_from_one_that_is_not_there),
    TL(ipv6_is_used_where_there_is_no_ipv4), TL(a_name_that_does_not_exist_is_told_from_a_failure),
    TL(a_name_without_addresses_counts_as_not_existing), TL(a_server_that_fails_is_a_failure),
    TL(a_server_that_is_silent_is_a_failure_in_the_end),
    TL(the_hosts_file_is_believed_and_dns_not_asked), TL(localhost_needs_no_server),
    TL(a_cancelled_query_says_nothing), TL(closing_ends_queries_without_a_word),
    TL(services_come_over_tcp_with_their_ttl), TL(a_bad_list_of_servers_is_named),
    TL(where_tcp_does_not_work_services_come_over_udp), TL(a_zone_has_servers_of_its_own),
    TL(bad_forwards_are_named), TL(a_changed_resolv_conf_is_followed))
