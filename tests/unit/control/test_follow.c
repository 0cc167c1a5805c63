#include "control/follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "unit/control/fake_store.h"
#include "unit/test.h"

#define ID_A "aaaaaaaa-0000-4000-8000-000000000001"
#define ID_B "bbbbbbbb-0000-4000-8000-000000000002"
#define ONE "{\"name\":\"one\",\"host\":\"h\"}"
#define TWO "{\"name\":\"two\",\"host\":\"h\"}"

struct fixture {
    struct fake_store store;
    struct config *config;
    struct follower *follower;
    unsigned published;
    unsigned turned;
    unsigned in_force;
    unsigned put_back;
};

static void on_publish(void *owner)
{
    ((struct fixture *)owner)->published++;
}

static void on_turned(void *owner)
{
    ((struct fixture *)owner)->turned++;
}

static void on_in_force(void *owner)
{
    ((struct fixture *)owner)->in_force++;
}

static void on_put_back(void *owner)
{
    ((struct fixture *)owner)->put_back++;
}

static struct fixture *setup_with(bool puts_back)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_int_equal(config_create(&fixture->config), 0);
    fixture->store.base.engine = &fake_engine;
    const struct follower_settings settings = {
        .config = fixture->config,
        .publish = on_publish,
        .turned = on_turned,
        .in_force = on_in_force,
        .put_back = puts_back ? on_put_back : NULL,
        .owner = fixture,
    };
    assert_int_equal(follower_create(&settings, &fixture->follower), 0);
    follower_watch(fixture->follower, &fixture->store.base);
    return fixture;
}

static struct fixture *setup(void)
{
    return setup_with(false);
}

static void teardown(struct fixture *fixture)
{
    follower_destroy(fixture->follower);
    config_destroy(fixture->config);
    free(fixture);
}

static bool has(const struct fixture *fixture, const char *name)
{
    return config_find(fixture->config, entity_find(STR("services")), str_of(name), NULL, NULL);
}

/* This node commits a service; in the commit's done(). */
static void commit(struct fixture *fixture, uint64_t sequence, const char *id, const char *name)
{
    json_t *row = json_pack("{s:s, s:s, s:s}", "id", id, "name", name, "host", "h");
    struct config_op op = {CONFIG_PUT, entity_find(STR("services")), row};
    struct config_change change = {&op, 1};
    config_apply(fixture->config, &change);
    fixture->store.committed = sequence;
    follower_note_commit(fixture->follower, &change);
    json_decref(row);
}

static json_t *skipped(const struct fixture *fixture)
{
    json_t *status = follower_status(fixture->follower);
    json_t *rows = json_incref(json_object_get(status, "skipped_rows"));
    json_decref(status);
    return rows;
}

static size_t skipped_count(const struct fixture *fixture)
{
    json_t *rows = skipped(fixture);
    size_t count = json_array_size(rows);
    json_decref(rows);
    return count;
}

TEST(what_another_node_wrote_is_applied_and_published_once)
{
    struct fixture *fixture = setup();
    struct store_change changes[] = {{1, STORE_PUT, "services", ID_A, ONE},
                                     {2, STORE_PUT, "services", ID_B, TWO}};
    fixture->store.sequence = 2;
    fixture->store.events->changed(fixture->store.events_arg, changes, 2);
    assert_true(has(fixture, "one") && has(fixture, "two"));
    assert_int_equal(fixture->published, 1);
    assert_int_equal(fixture->in_force, 1);
    fake_tell(&fixture->store, 3, "services", ID_A, NULL);
    assert_false(has(fixture, "one"));
    assert_int_equal(fixture->published, 2);
    teardown(fixture);
}

TEST(a_row_that_is_as_it_was_is_not_published_but_counts_as_in_force)
{
    struct fixture *fixture = setup();
    fake_tell(&fixture->store, 1, "services", ID_A, ONE);
    fake_tell(&fixture->store, 2, "services", ID_A, ONE);
    assert_int_equal(fixture->published, 1);
    assert_int_equal(fixture->in_force, 2);
    teardown(fixture);
}

TEST(a_row_that_no_worker_reads_is_applied_without_publishing)
{
    struct fixture *fixture = setup();
    fake_tell(&fixture->store, 1, "acme_leases", ID_A,
              "{\"key\":\"orders\",\"holder\":\"a\",\"token\":\"" ID_B "\"}");
    assert_int_equal(config_count(fixture->config, entity_find(STR("acme_leases"))), 1);
    assert_int_equal(fixture->published, 0);
    assert_int_equal(fixture->in_force, 1);
    fake_tell(&fixture->store, 2, "services", ID_A, ONE);
    assert_int_equal(fixture->published, 1);
    teardown(fixture);
}

TEST(what_was_read_before_an_own_commit_does_not_undo_it)
{
    struct fixture *fixture = setup();
    commit(fixture, 7, ID_A, "mine");
    fake_tell(&fixture->store, 6, "services", ID_A, ONE);
    assert_true(has(fixture, "mine"));
    fake_tell(&fixture->store, 8, "services", ID_A, TWO);
    assert_true(has(fixture, "two"));
    teardown(fixture);
}

TEST(many_own_commits_are_forgotten_when_the_store_has_told_beyond)
{
    struct fixture *fixture = setup();
    for (unsigned i = 1; i <= 3000; i++) {
        char id[64], name[16];
        snprintf(id, sizeof(id), "aaaaaaaa-0000-4000-8000-%012u", i);
        snprintf(name, sizeof(name), "s%u", i);
        fixture->store.sequence = i - 1;
        commit(fixture, i, id, name);
    }
    fake_tell(&fixture->store, 2999, "services", "aaaaaaaa-0000-4000-8000-000000003000", ONE);
    assert_true(has(fixture, "s3000")); /* the last is remembered */
    teardown(fixture);
}

TEST(a_row_that_is_not_valid_is_left_out_and_named_until_it_is_mended)
{
    struct fixture *fixture = setup();
    fake_tell(&fixture->store, 1, "services", ID_A, ONE);
    fake_tell(&fixture->store, 2, "services", ID_A, "{\"name\":\"one\",\"host\":\"\"}");
    assert_false(has(fixture, "one"));
    json_t *rows = skipped(fixture);
    assert_int_equal(json_array_size(rows), 1);
    const json_t *row = json_array_get(rows, 0);
    assert_string_equal(json_string_value(json_object_get(row, "kind")), "services");
    assert_string_equal(json_string_value(json_object_get(row, "id")), ID_A);
    assert_non_null(strstr(json_string_value(json_object_get(row, "why")), "host"));
    json_decref(rows);
    fake_tell(&fixture->store, 3, "services", ID_A, TWO);
    assert_true(has(fixture, "two"));
    assert_int_equal(skipped_count(fixture), 0);

    follower_load_row(fixture->follower, "gizmos", ID_B, "{}");
    assert_int_equal(skipped_count(fixture), 1);
    commit(fixture, 4, ID_A, "mine");
    assert_int_equal(skipped_count(fixture), 1);
    teardown(fixture);
}

TEST(loading_anew_removes_what_is_gone_and_keeps_newer_commits)
{
    struct fixture *fixture = setup();
    follower_load_row(fixture->follower, "services", ID_A, ONE);
    fixture->store.events->reload(fixture->store.events_arg);
    fixture->store.events->reload(fixture->store.events_arg);
    assert_int_equal(fixture->store.loads, 1); /* one at a time */
    assert_false(follower_is_current(fixture->follower));
    commit(fixture, 50, "cccccccc-0000-4000-8000-000000000003", "mine");
    struct store_change rows[] = {{40, STORE_PUT, "services", ID_B, TWO}};
    fixture->store.sequence = 40;
    fake_end_load(&fixture->store, 0, rows, 1);
    assert_false(has(fixture, "one"));
    assert_true(has(fixture, "two"));
    assert_true(has(fixture, "mine"));
    assert_true(follower_is_current(fixture->follower));
    assert_int_equal(fixture->published, 1);
    teardown(fixture);
}

TEST(a_database_that_went_back_is_followed_back)
{
    struct fixture *fixture = setup();
    commit(fixture, 50, ID_A, "mine");
    fixture->store.events->reload(fixture->store.events_arg);
    struct store_change rows[] = {{40, STORE_PUT, "services", ID_B, TWO}};
    fixture->store.sequence = 40;
    fake_end_load(&fixture->store, 0, rows, 1);
    assert_false(has(fixture, "mine"));
    assert_true(has(fixture, "two"));
    teardown(fixture);
}

TEST(a_load_that_fails_changes_nothing_and_may_come_again)
{
    struct fixture *fixture = setup();
    follower_load_row(fixture->follower, "services", ID_A, ONE);
    fixture->store.events->reload(fixture->store.events_arg);
    fake_end_load(&fixture->store, UV_ENOTCONN, NULL, 0);
    assert_true(has(fixture, "one"));
    assert_false(follower_is_current(fixture->follower));
    fixture->store.events->reload(fixture->store.events_arg);
    assert_int_equal(fixture->store.loads, 2);
    fake_end_load(&fixture->store, 0, NULL, 0);
    assert_false(has(fixture, "one"));
    teardown(fixture);
}

TEST(a_database_that_goes_away_and_comes_back_is_told_once_each)
{
    struct fixture *fixture = setup();
    const struct store_events *events = fixture->store.events;
    assert_true(follower_is_current(fixture->follower));
    events->reachable(fixture->store.events_arg, 0, "connection refused");
    events->reachable(fixture->store.events_arg, 0, "connection refused");
    assert_int_equal(fixture->turned, 1);
    assert_false(follower_is_current(fixture->follower));
    json_t *status = follower_status(fixture->follower);
    assert_string_equal(json_string_value(json_object_get(status, "database_away")),
                        "connection refused");
    json_decref(status);
    events->reachable(fixture->store.events_arg, 1, NULL);
    assert_int_equal(fixture->turned, 2);
    assert_true(follower_is_current(fixture->follower));
    teardown(fixture);
}

TEST(what_comes_from_disk_is_stale_until_all_is_loaded)
{
    struct fixture *fixture = setup();
    follower_set_stale(fixture->follower);
    assert_false(follower_is_current(fixture->follower));
    fixture->store.events->reachable(fixture->store.events_arg, 1, NULL);
    assert_false(follower_is_current(fixture->follower));
    fixture->store.events->reload(fixture->store.events_arg);
    fake_end_load(&fixture->store, 0, NULL, 0);
    assert_true(follower_is_current(fixture->follower));
    teardown(fixture);
}

/* Row A is in memory, and then the database tells to load anew. */
static struct fixture *reload_with_a_row(bool puts_back, bool is_new)
{
    struct fixture *fixture = setup_with(puts_back);
    fake_tell(&fixture->store, 1, "services", ID_A, ONE);
    fixture->store.is_new = is_new;
    fixture->store.events->reload(fixture->store.events_arg);
    return fixture;
}

TEST(a_new_database_gets_what_is_in_memory_once_it_takes_writes)
{
    struct fixture *fixture = reload_with_a_row(true, true);
    fixture->store.is_away = true; /* until the load has ended */
    fake_end_load(&fixture->store, 0, NULL, 0);
    assert_int_equal(fixture->put_back, 0);
    assert_true(has(fixture, "one"));
    assert_false(follower_is_current(fixture->follower));

    fixture->store.is_away = false;
    fixture->store.events->reachable(fixture->store.events_arg, 1, "");
    assert_int_equal(fixture->put_back, 1);
    assert_false(follower_is_current(fixture->follower));
    follower_note_put_back(fixture->follower, 0);
    assert_true(follower_is_current(fixture->follower));
    assert_int_equal(fixture->published, 1); /* for row A, once */
    fixture->store.events->reachable(fixture->store.events_arg, 1, "");
    assert_int_equal(fixture->put_back, 1);
    teardown(fixture);
}

TEST(a_database_that_goes_away_meanwhile_gets_it_when_it_is_back)
{
    struct fixture *fixture = reload_with_a_row(true, true);
    fake_end_load(&fixture->store, 0, NULL, 0);
    assert_int_equal(fixture->put_back, 1);
    follower_note_put_back(fixture->follower, UV_ENOTCONN);
    assert_false(follower_is_current(fixture->follower));
    fixture->store.events->reachable(fixture->store.events_arg, 1, "");
    assert_int_equal(fixture->put_back, 2);
    teardown(fixture);
}

TEST(a_database_that_was_emptied_or_is_not_ours_to_fill_is_obeyed)
{
    struct fixture *fixture = reload_with_a_row(true, false); /* somebody removed all rows */
    fake_end_load(&fixture->store, 0, NULL, 0);
    assert_false(has(fixture, "one"));
    assert_int_equal(fixture->put_back, 0);
    teardown(fixture);

    fixture = reload_with_a_row(false, true); /* without WEIR_MIGRATE=auto */
    fake_end_load(&fixture->store, 0, NULL, 0);
    assert_false(has(fixture, "one"));
    teardown(fixture);
}

TEST(a_new_database_with_rows_is_believed)
{
    struct fixture *fixture = reload_with_a_row(true, true);
    struct store_change row = {5, STORE_PUT, "services", ID_B, TWO};
    fake_end_load(&fixture->store, 0, &row, 1);
    assert_true(has(fixture, "two") && !has(fixture, "one"));
    assert_int_equal(fixture->put_back, 0);
    teardown(fixture);
}

RUN(T(what_another_node_wrote_is_applied_and_published_once),
    T(a_row_that_is_as_it_was_is_not_published_but_counts_as_in_force),
    T(a_row_that_no_worker_reads_is_applied_without_publishing),
    T(what_was_read_before_an_own_commit_does_not_undo_it),
    T(many_own_commits_are_forgotten_when_the_store_has_told_beyond),
    T(a_row_that_is_not_valid_is_left_out_and_named_until_it_is_mended),
    T(loading_anew_removes_what_is_gone_and_keeps_newer_commits),
    T(a_database_that_went_back_is_followed_back),
    T(a_load_that_fails_changes_nothing_and_may_come_again),
    T(a_database_that_goes_away_and_comes_back_is_told_once_each),
    T(what_comes_from_disk_is_stale_until_all_is_loaded),
    T(a_new_database_gets_what_is_in_memory_once_it_takes_writes),
    T(a_database_that_goes_away_meanwhile_gets_it_when_it_is_back),
    T(a_database_that_was_emptied_or_is_not_ours_to_fill_is_obeyed),
    T(a_new_database_with_rows_is_believed))
