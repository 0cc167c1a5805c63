/* What a route's requests come to. */
#include "unit/test.h"

#include "model/meter.h"

static struct meter *meter;

static int setup(void **state)
{
    (void)state;
    return meter_create(STR("users"), STR("all"), false, 2, &meter);
}

static int teardown(void **state)
{
    (void)state;
    meter_unref(meter);
    return 0;
}

static const struct meter_slot *slot(uint32_t worker)
{
    return atomic_load(&meter->slots[worker]);
}

static void count(uint32_t worker, uint16_t status, bool by_gateway)
{
    const struct meter_facts facts = {.status = status,
                                      .by_gateway = by_gateway,
                                      .ingress_bytes = 10,
                                      .egress_bytes = 20,
                                      .request_ms = 30,
                                      .gateway_ms = 2,
                                      .upstream_ms = by_gateway ? METER_NO_UPSTREAM : 28};
    meter_count(meter, worker, &facts);
}

TEST(each_worker_counts_in_a_slot_of_its_own)
{
    count(0, 200, false);
    assert_non_null(slot(0));
    assert_null(slot(1));
    count(1, 200, false);
    count(1, 200, false);
    assert_int_equal(metrics_read(&slot(0)->statuses[0].count), 1);
    assert_int_equal(metrics_read(&slot(1)->statuses[0].count), 2);
    assert_int_equal(metrics_read(&slot(1)->ingress_bytes), 20);
    assert_int_equal(metrics_read(&slot(1)->egress_bytes), 40);
}

TEST(a_status_of_weirs_own_is_another_one)
{
    count(0, 503, false);
    count(0, 503, true);
    assert_int_equal(slot(0)->statuses[0].key, 2 * 503);
    assert_int_equal(slot(0)->statuses[1].key, 2 * 503 + 1);
}

TEST(without_an_upstream_there_is_no_upstream_latency)
{
    count(0, 404, true);
    assert_int_equal(metrics_read(&slot(0)->upstream_ms[0]), 0);
    assert_int_equal(metrics_read(&slot(0)->gateway_ms[1]), 1); /* of at most 2 ms */
    assert_int_equal(metrics_read(&slot(0)->request_ms[1]), 1); /* of at most 50 ms */
    count(0, 200, false);
    assert_int_equal(metrics_read(&slot(0)->upstream_ms[1]), 1);
}

TEST(statuses_beyond_the_table_count_together)
{
    for (uint16_t i = 0; i < METER_STATUSES + 5; i++)
        count(0, 400 + i, false);
    assert_int_equal(metrics_read(&slot(0)->other_statuses), 5);
    count(0, 400, false);
    assert_int_equal(metrics_read(&slot(0)->statuses[0].count), 2);
}

TEST(labels_tell_requests_from_streams)
{
    struct meter *streams;
    assert_int_equal(meter_create(STR("users"), STR("all"), true, 2, &streams), 0);
    assert_true(str_equal(meter_labels(meter), STR("users\nall")));
    assert_true(str_equal(meter_labels(streams), STR("users\nall\n")));
    assert_true(str_equal(meter_service(meter), STR("users")));
    assert_true(str_equal(meter_route(meter), STR("all")));
    assert_true(str_equal(meter_service(streams), STR("users")));
    assert_true(str_equal(meter_route(streams), STR("all")));
    meter_unref(streams);
}

#define TM(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TM(each_worker_counts_in_a_slot_of_its_own), TM(a_status_of_weirs_own_is_another_one),
    TM(without_an_upstream_there_is_no_upstream_latency),
    TM(statuses_beyond_the_table_count_together), TM(labels_tell_requests_from_streams))
