#include "control/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/node_id.h"
#include "unit/control/fake_store.h"
#include "unit/loop.h"
#include "unit/test.h"

struct fixture {
    struct node_id id;
    uv_loop_t loop;
    struct fake_store store;
    const char *state;
    struct nodes *nodes;
    unsigned answers;
    char behind[256]; /* "everywhere", or who is behind */
    json_t *list;     /* owned */
};

static const char *state_of(void *owner)
{
    return ((struct fixture *)owner)->state;
}

static struct fixture *setup(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->store.base.engine = &fake_engine;
    fixture->state = "ready";
    fixture->id = (struct node_id){.text = "self", .fd = -1};
    const struct nodes_settings settings = {&fixture->loop, &fixture->store.base, &fixture->id,
                                            state_of, fixture};
    assert_int_equal(nodes_create(&settings, &fixture->nodes), 0);
    return fixture;
}

static void teardown(struct fixture *fixture)
{
    nodes_stop(fixture->nodes);
    nodes_stop(fixture->nodes);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    nodes_destroy(fixture->nodes);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    json_decref(fixture->list);
    free(fixture);
}

static void on_everywhere(void *arg, const char *behind)
{
    struct fixture *fixture = arg;
    fixture->answers++;
    snprintf(fixture->behind, sizeof(fixture->behind), "%s", behind ? behind : "everywhere");
}

static void on_list(void *arg, json_t *list)
{
    struct fixture *fixture = arg;
    fixture->answers++;
    json_decref(fixture->list);
    fixture->list = list;
}

static struct store_node node(const char *id, uint64_t sequence, uint64_t age_ms)
{
    return (struct store_node){id, "host-of-it", "1", "ready", sequence, 1000, age_ms};
}

/* The store answers the next heartbeat: this node, and another at that sequence. */
static void beat(struct fixture *fixture, uint64_t sequence, uint64_t age_ms)
{
    assert_true(LOOP_UNTIL(&fixture->loop, fixture->store.beaten != NULL));
    struct store_node nodes[] = {node("self", fixture->store.own_sequence, 0),
                                 node("other", sequence, age_ms)};
    fake_end_beat(&fixture->store, 0, nodes, 2);
}

TEST(a_heartbeat_says_the_state_and_what_is_in_force)
{
    struct fixture *fixture = setup();
    assert_int_equal(fixture->store.beats, 1);
    assert_string_equal(fixture->store.state, "ready");
    beat(fixture, 0, 0);
    fixture->store.sequence = 5;
    fixture->state = "draining";
    nodes_touch(fixture->nodes);
    assert_true(LOOP_UNTIL(&fixture->loop, fixture->store.beats == 2));
    assert_string_equal(fixture->store.state, "draining");
    assert_int_equal(fixture->store.own_sequence, 5);
    teardown(fixture);
}

TEST(what_changes_during_a_heartbeat_makes_another)
{
    struct fixture *fixture = setup();
    fixture->store.sequence = 5;
    nodes_touch(fixture->nodes);
    nodes_touch(fixture->nodes);
    assert_int_equal(fixture->store.beats, 1);
    beat(fixture, 0, 0);
    assert_true(LOOP_UNTIL(&fixture->loop, fixture->store.beats == 2));
    assert_int_equal(fixture->store.own_sequence, 5);
    teardown(fixture);
}

TEST(a_write_waits_until_the_other_node_has_it)
{
    struct fixture *fixture = setup();
    beat(fixture, 3, 0);
    nodes_wait(fixture->nodes, 4, 60000, on_everywhere, fixture);
    beat(fixture, 3, 0);
    assert_int_equal(fixture->answers, 0);
    beat(fixture, 4, 0);
    assert_int_equal(fixture->answers, 1);
    assert_string_equal(fixture->behind, "everywhere");
    teardown(fixture);
}

TEST(a_node_without_heartbeat_is_not_waited_for)
{
    struct fixture *fixture = setup();
    beat(fixture, 3, 0);
    nodes_wait(fixture->nodes, 4, 60000, on_everywhere, fixture);
    beat(fixture, 3, 5000);
    assert_string_equal(fixture->behind, "everywhere");
    teardown(fixture);
}

TEST(at_the_limit_it_says_who_is_behind)
{
    struct fixture *fixture = setup();
    beat(fixture, 3, 0);
    nodes_wait(fixture->nodes, 4, 1, on_everywhere, fixture);
    assert_true(LOOP_UNTIL(&fixture->loop, fixture->answers == 1));
    assert_string_equal(fixture->behind, "other (host-of-it)");
    teardown(fixture);
}

TEST(a_wait_ends_when_the_node_stops)
{
    struct fixture *fixture = setup();
    nodes_wait(fixture->nodes, 4, 60000, on_everywhere, fixture);
    nodes_stop(fixture->nodes);
    assert_int_equal(fixture->answers, 1);
    assert_string_equal(fixture->behind, "unknown");
    assert_true(fixture->store.has_left);
    nodes_wait(fixture->nodes, 4, 60000, on_everywhere, fixture);
    assert_int_equal(fixture->answers, 2);
    teardown(fixture);
}

TEST(a_node_that_is_alone_waits_for_nobody)
{
    struct fixture *fixture = setup();
    nodes_wait(fixture->nodes, 4, 60000, on_everywhere, fixture);
    fake_end_beat(&fixture->store, UV_ENOTSUP, NULL, 0);
    assert_string_equal(fixture->behind, "everywhere");
    teardown(fixture);
}

TEST(the_list_has_every_node_with_its_lag)
{
    struct fixture *fixture = setup();
    beat(fixture, 3, 0);
    fixture->store.sequence = 9;
    nodes_list(fixture->nodes, on_list, fixture);
    beat(fixture, 7, 6000);
    assert_int_equal(fixture->answers, 1);
    assert_int_equal(json_array_size(fixture->list), 2);
    const json_t *other = json_array_get(fixture->list, 1);
    assert_string_equal(json_string_value(json_object_get(other, "id")), "other");
    assert_int_equal(json_integer_value(json_object_get(other, "lag")), 2);
    assert_true(json_is_false(json_object_get(other, "is_live")));
    const json_t *self = json_array_get(fixture->list, 0);
    assert_true(json_is_true(json_object_get(self, "is_self")));
    assert_int_equal(json_integer_value(json_object_get(self, "lag")), 0);
    teardown(fixture);
}

TEST(the_list_is_what_was_known_when_the_database_is_away)
{
    struct fixture *fixture = setup();
    beat(fixture, 3, 0);
    nodes_list(fixture->nodes, on_list, fixture);
    assert_true(LOOP_UNTIL(&fixture->loop, fixture->store.beaten != NULL));
    fake_end_beat(&fixture->store, UV_ENOTCONN, NULL, 0);
    assert_int_equal(json_array_size(fixture->list), 2);
    teardown(fixture);
}

RUN(T(a_heartbeat_says_the_state_and_what_is_in_force),
    T(what_changes_during_a_heartbeat_makes_another), T(a_write_waits_until_the_other_node_has_it),
    T(a_node_without_heartbeat_is_not_waited_for), T(at_the_limit_it_says_who_is_behind),
    T(a_wait_ends_when_the_node_stops), T(a_node_that_is_alone_waits_for_nobody),
    T(the_list_has_every_node_with_its_lag),
    T(the_list_is_what_was_known_when_the_database_is_away))
