#include "proxy/handshake_limit.h"

#include "unit/test.h"

static enum handshake_verdict take(struct handshake_limit *limit, const char *address)
{
    return handshake_limit_take(limit, str_of(address), false, 5000);
}

TEST(a_client_over_its_limit_takes_nothing_from_the_others)
{
    struct handshake_limit *limit;
    assert_int_equal(handshake_limit_create(3, 2, &limit), 0);
    assert_int_equal(take(limit, "192.0.2.1"), HANDSHAKE_MAY);
    assert_int_equal(take(limit, "192.0.2.1"), HANDSHAKE_MAY);
    for (int i = 0; i < 100; i++)
        assert_int_equal(take(limit, "192.0.2.1"), HANDSHAKE_CLIENT_RATE);
    assert_int_equal(take(limit, "192.0.2.2"), HANDSHAKE_MAY);
    assert_int_equal(take(limit, "192.0.2.2"), HANDSHAKE_RATE);
    handshake_limit_destroy(limit);
}

TEST(addresses_of_a_64_are_one_client_and_a_mapped_one_is_its_ipv4)
{
    struct handshake_limit *limit;
    assert_int_equal(handshake_limit_create(0, 1, &limit), 0);
    assert_int_equal(take(limit, "2001:db8::1"), HANDSHAKE_MAY);
    assert_int_equal(take(limit, "2001:db8::ffff:1"), HANDSHAKE_CLIENT_RATE);
    assert_int_equal(take(limit, "2001:db8:0:1::1"), HANDSHAKE_MAY);
    assert_int_equal(take(limit, "192.0.2.9"), HANDSHAKE_MAY);
    assert_int_equal(take(limit, "::ffff:192.0.2.9"), HANDSHAKE_CLIENT_RATE);
    handshake_limit_destroy(limit);
}

TEST(a_trusted_address_is_bound_by_the_limit_of_all_alone)
{
    struct handshake_limit *limit;
    assert_int_equal(handshake_limit_create(5, 1, &limit), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(handshake_limit_take(limit, STR("192.0.2.1"), true, 5000), HANDSHAKE_MAY);
    assert_int_equal(handshake_limit_take(limit, STR("192.0.2.1"), true, 5000), HANDSHAKE_RATE);
    handshake_limit_destroy(limit);
}

TEST(one_line_a_second_tells_how_many_had_none)
{
    struct handshake_limit *limit;
    uint64_t unlogged = 99;
    assert_int_equal(handshake_limit_create(1, 0, &limit), 0);
    assert_true(handshake_limit_may_log(limit, 5000, &unlogged));
    assert_int_equal(unlogged, 0);
    for (int i = 0; i < 7; i++)
        assert_false(handshake_limit_may_log(limit, 5999, &unlogged));
    assert_true(handshake_limit_may_log(limit, 6000, &unlogged));
    assert_int_equal(unlogged, 7);
    handshake_limit_destroy(limit);
    handshake_limit_destroy(NULL);
}

RUN(T(a_client_over_its_limit_takes_nothing_from_the_others),
    T(addresses_of_a_64_are_one_client_and_a_mapped_one_is_its_ipv4),
    T(a_trusted_address_is_bound_by_the_limit_of_all_alone),
    T(one_line_a_second_tells_how_many_had_none))
