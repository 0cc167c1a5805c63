#include "control/ticket_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/declarative.h"
#include "model/row.h"
#include "net/tls_tickets.h"
#include "unit/test.h"

#define LIFETIME_S 100 /* so a period has 50 */
#define START_S 100000u
#define PERIOD (START_S / 50)

static struct config *config;

static int set_up(void **state)
{
    (void)state;
    return config_create(&config);
}

static int tear_down(void **state)
{
    (void)state;
    config_destroy(config);
    return 0;
}

static const struct entity *keys(void)
{
    return entity_find(STR("ticket_keys"));
}

/* What a node would write then, written; returns how many rows it touched. */
static size_t look(uint32_t lifetime_s, uint64_t now_s)
{
    struct config_change change = {NULL, 0};
    assert_int_equal(ticket_keys_plan(config, lifetime_s, now_s, &change), 0);
    size_t count = change.count;
    config_apply(config, &change);
    config_change_deinit(&change);
    return count;
}

static struct tls_ticket_ring ring_at(uint64_t now_s)
{
    struct tls_ticket_ring *ring, copy = {.count = 0};
    assert_int_equal(ticket_keys_compile(config, LIFETIME_S, now_s, &ring), 0);
    if (ring)
        copy = *ring;
    tls_ticket_ring_destroy(ring);
    return copy;
}

TEST(a_node_makes_secrets_for_now_and_next_and_then_for_each_next)
{
    assert_int_equal(ring_at(START_S).count, 0);
    assert_int_equal(look(LIFETIME_S, START_S), 2);
    assert_int_equal(look(LIFETIME_S, START_S), 0);
    assert_int_equal(look(LIFETIME_S, START_S + 49), 0);
    struct tls_ticket_ring first = ring_at(START_S);
    assert_int_equal(first.count, 2);
    assert_int_equal(first.secrets[0].period, PERIOD);
    assert_int_equal(first.secrets[1].period, PERIOD + 1);
    assert_memory_not_equal(first.secrets[0].secret, first.secrets[1].secret,
                            TLS_TICKET_SECRET_BYTES);
    assert_int_equal(look(LIFETIME_S, START_S + 50), 1);
    struct tls_ticket_ring second = ring_at(START_S + 50);
    assert_int_equal(second.count, 3);
    assert_true(second.stamp != first.stamp);
    assert_memory_equal(second.secrets, first.secrets, 2 * sizeof(*first.secrets));
}

TEST(secrets_go_when_no_ticket_needs_them)
{
    for (unsigned i = 0; i < 20; i++) {
        look(LIFETIME_S, START_S + 50 * i);
        assert_true(config_count(config, keys()) <= TLS_TICKET_PERIODS + 1);
    }
    struct tls_ticket_ring ring = ring_at(START_S + 50 * 19);
    assert_int_equal(ring.secrets[ring.count - 1].period, PERIOD + 20);
    assert_true(ring.secrets[0].period <= PERIOD + 17); /* tickets of two periods before live */
}

TEST(after_a_long_absence_the_period_under_way_keeps_its_derived_secret)
{
    look(LIFETIME_S, START_S);
    /* Two periods on the newest row still serves: only the next is made. */
    assert_int_equal(look(LIFETIME_S, START_S + 100), 1);
    assert_int_equal(ring_at(START_S + 100).secrets[2].period, PERIOD + 3);
    /* When all are over, as at the first start. */
    assert_int_equal(look(LIFETIME_S, START_S + 5000), 5);
    assert_int_equal(config_count(config, keys()), 2);
}

TEST(nodes_with_another_lifetime_have_their_own)
{
    look(LIFETIME_S, START_S);
    assert_int_equal(look(2 * LIFETIME_S, START_S), 2);
    assert_int_equal(ring_at(START_S).count, 2);
}

TEST(rows_that_make_no_sense_count_for_nothing_and_go)
{
    static const char *const rows[][2] = {
        {"aaaaaaaa-0000-4000-8000-000000000001", "\"key\":\"100/2000\",\"secret\":\"00\""},
        {"aaaaaaaa-0000-4000-8000-000000000002", "\"key\":\"junk\",\"secret\":\"x\""},
        {"aaaaaaaa-0000-4000-8000-000000000003", "\"key\":\"0/5\",\"secret\":\"x\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char body[300];
        snprintf(body, sizeof(body), "{\"id\":\"%s\",%s}", rows[i][0], rows[i][1]);
        assert_int_equal(config_load(config, "ticket_keys", rows[i][0], body), 0);
    }
    assert_int_equal(ring_at(START_S).count, 0);
    assert_int_equal(look(LIFETIME_S, START_S), 3); /* two removed, the next made */
}

TEST(a_declarative_file_has_none)
{
    look(LIFETIME_S, START_S);
    json_t *file = declarative_export(config);
    char *text = json_dumps(file, JSON_COMPACT);
    assert_null(strstr(text, "ticket_keys"));
    assert_null(strstr(text, "secret"));
    free(text);
    json_decref(file);
}

#define KEPT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        KEPT(a_node_makes_secrets_for_now_and_next_and_then_for_each_next),
        KEPT(secrets_go_when_no_ticket_needs_them),
        KEPT(after_a_long_absence_the_period_under_way_keeps_its_derived_secret),
        KEPT(nodes_with_another_lifetime_have_their_own),
        KEPT(rows_that_make_no_sense_count_for_nothing_and_go),
        KEPT(a_declarative_file_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
