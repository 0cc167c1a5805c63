#include "unit/test.h"

#include <uv.h> /* error codes only */

#include "net/dns_message.h"

static uint8_t message[2048];
static size_t len;
static struct arena arena;
static struct dns_services found;

static void put(uint64_t number, int size)
{
    while (size-- > 0)
        message[len++] = (uint8_t)(number >> (8 * size));
}

static void put_name(const char *name)
{
    while (*name) {
        size_t label = strcspn(name, ".");
        message[len++] = (uint8_t)label;
        memcpy(message + len, name, label);
        len += label;
        name += label + (name[label] == '.');
    }
    message[len++] = 0;
}

/* An answer to the question for _web._tcp.test, at offset 12. */
static void begin(unsigned answers, unsigned additional)
{
    len = 0;
    put(7, 2);
    put(0x8180, 2);
    put(1, 2);
    put(answers, 2);
    put(0, 2);
    put(additional, 2);
    put_name("_web._tcp.test");
    put(33, 2);
    put(1, 2);
}

/* The data's length is filled in by end_record. */
static size_t begin_record(int type, uint32_t ttl_s)
{
    put((uint32_t)type, 2);
    put(1, 2);
    put(ttl_s, 4);
    put(0, 2);
    return len;
}

static void end_record(size_t data)
{
    message[data - 2] = (uint8_t)((len - data) >> 8);
    message[data - 1] = (uint8_t)(len - data);
}

static void put_service(uint32_t ttl_s, uint32_t weight, const char *target)
{
    put(0xc00c, 2);
    size_t data = begin_record(33, ttl_s);
    put(1, 2);
    put(weight, 2);
    put(8080, 2);
    put_name(target);
    end_record(data);
}

static void put_alias(const char *owner, const char *target)
{
    put_name(owner);
    size_t data = begin_record(5, 9);
    put_name(target);
    end_record(data);
}

static int read_it(void)
{
    return dns_message_read_services(message, len, &arena, &found);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 512, 1 << 20);
    memset(&found, 0, sizeof(found));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

TEST(records_come_in_their_order_with_the_shortest_ttl)
{
    begin(2, 1);
    put_service(60, 5, "A.Test");
    put_service(7, 0, "b.test");
    put_name("");
    size_t data = begin_record(41, 0);
    end_record(data);
    assert_int_equal(read_it(), 0);
    assert_int_equal(found.count, 2);
    assert_int_equal(found.ttl_s, 7);
    assert_true(found.has_edns);
    assert_string_equal(found.items[0].host, "a.test");
    assert_int_equal(found.items[0].weight, 5);
    assert_int_equal(found.items[0].port, 8080);
    assert_string_equal(found.items[1].host, "b.test");
}

TEST(other_types_and_other_names_are_passed_over)
{
    begin(3, 0);
    put(0xc00c, 2);
    size_t data = begin_record(16, 1);
    put_name("text");
    end_record(data);
    put_name("_other._tcp.test");
    data = begin_record(33, 1);
    put(0, 6);
    put_name("evil.test");
    end_record(data);
    put_service(60, 1, "a.test");
    assert_int_equal(read_it(), 0);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.ttl_s, 60);
    assert_false(found.has_edns);
}

TEST(an_alias_is_followed)
{
    begin(2, 0);
    put_alias("_web._TCP.test", "real.test");
    put_name("real.test");
    size_t data = begin_record(33, 60);
    put(0, 6);
    put_name("a.test");
    end_record(data);
    assert_int_equal(read_it(), 0);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.ttl_s, 9);
}

TEST(aliases_in_a_circle_end)
{
    begin(2, 0);
    put_alias("_web._tcp.test", "a.test");
    put_alias("a.test", "_web._tcp.test");
    assert_int_equal(read_it(), UV_ELOOP);
}

TEST(pointers_in_a_circle_are_refused)
{
    for (unsigned to = 0; to < 0x60; to++) {
        begin(1, 0);
        put(0xc000 | to, 2); /* forward, to itself, into the header, into the middle of things */
        size_t data = begin_record(33, 1);
        put(0, 6);
        put(0xc000 | (uint32_t)(data + 6), 2); /* to itself */
        end_record(data);
        int rc = read_it();
        assert_true(rc == UV_EPROTO || (rc == 0 && found.count == 0));
    }
}

TEST(whatever_is_cut_is_refused)
{
    begin(1, 0);
    put_service(60, 5, "a.test");
    size_t whole = len;
    for (len = 0; len < whole; len++)
        assert_int_equal(read_it(), UV_EPROTO);
    assert_int_equal(read_it(), 0);
}

TEST(a_target_that_no_host_is_called_is_left_out)
{
    begin(2, 0);
    put_service(60, 5, "a\n.test");
    put_service(60, 5, "b.test");
    assert_int_equal(read_it(), 0);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.skipped_count, 1);
}

TEST(a_ttl_beyond_31_bits_is_none)
{
    begin(1, 0);
    put_service(0x80000000u, 5, "a.test");
    assert_int_equal(read_it(), 0);
    assert_int_equal(found.ttl_s, 0);
}

TEST(a_name_longer_than_names_are_is_refused)
{
    char name[300];
    memset(name, 'a', sizeof(name));
    for (size_t at = 60; at < sizeof(name); at += 60)
        name[at] = '.';
    name[sizeof(name) - 1] = '\0';
    begin(1, 0);
    put_service(60, 5, name);
    assert_int_equal(read_it(), UV_EPROTO);
}

TEST(the_root_as_a_target_is_an_empty_name)
{
    begin(1, 0);
    put_service(60, 5, "");
    assert_int_equal(read_it(), 0);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.items[0].host, "");
}

#define TL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TL(records_come_in_their_order_with_the_shortest_ttl),
    TL(other_types_and_other_names_are_passed_over), TL(an_alias_is_followed),
    TL(aliases_in_a_circle_end), TL(pointers_in_a_circle_are_refused),
    TL(whatever_is_cut_is_refused), TL(a_target_that_no_host_is_called_is_left_out),
    TL(a_ttl_beyond_31_bits_is_none), TL(a_name_longer_than_names_are_is_refused),
    TL(the_root_as_a_target_is_an_empty_name))
