#include "control/commit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "store/engine.h"
#include "unit/test.h"

/* Writes carried out against a real embedded store in a directory of the test's own. */
struct fixture {
    uv_loop_t loop;
    char dir[64];
    struct config *config;
    struct store *store;
    struct committer *committer;
    unsigned published;
    unsigned done;
    char order[16]; /* the marks of writes in the order of their done() */
};

struct write {
    struct config_write base; /* first: a config_write is its write */
    struct fixture *fixture;
    const char *name; /* of the service to insert; NULL: nothing to change */
    int plan_rc;      /* plan() says this instead */
    char mark;
    int rc;
    unsigned published_before;
};

static void on_publish(void *arg, const struct config_change *change)
{
    assert_true(change->count > 0);
    ((struct fixture *)arg)->published++;
}

static void open_all(struct fixture *fixture)
{
    struct error err;
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(store_open_sqlite(&fixture->loop, fixture->dir, &fixture->store, &err), 0);
    assert_int_equal(config_create(&fixture->config), 0);
    assert_int_equal(
        committer_create(fixture->config, fixture->store, on_publish, fixture, &fixture->committer),
        0);
}

static struct fixture *setup(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->dir, "/tmp/weir-commit-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    open_all(fixture);
    return fixture;
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void close_all(struct fixture *fixture)
{
    store_close(fixture->store, on_closed, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    committer_destroy(fixture->committer);
    config_destroy(fixture->config);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
}

static void teardown(struct fixture *fixture)
{
    char command[96];
    close_all(fixture);
    snprintf(command, sizeof(command), "rm -r %s", fixture->dir);
    assert_int_equal(system(command), 0);
    free(fixture);
}

static int plan(struct config_write *base, const struct config *config)
{
    struct write *write = (struct write *)base;
    struct violation violation = {0};
    write->published_before = write->fixture->published;
    if (write->plan_rc || !write->name)
        return write->plan_rc;
    json_t *input = json_pack("{s:s, s:s}", "name", write->name, "host", "h");
    int rc = config_plan_insert(config, entity_find(STR("services")), input, NULL, NULL,
                                &base->change, NULL, &violation);
    json_decref(input);
    violation_deinit(&violation);
    return rc;
}

static void done(struct config_write *base, int rc)
{
    struct write *write = (struct write *)base;
    write->rc = rc;
    write->fixture->order[write->fixture->done++] = write->mark;
    config_change_deinit(&base->change);
}

static struct write new_write(struct fixture *fixture, const char *name, char mark)
{
    return (struct write){
        .base = {.plan = plan, .done = done}, .fixture = fixture, .name = name, .mark = mark};
}

static const json_t *find_service(const struct config *config, const char *name)
{
    return config_find(config, entity_find(STR("services")), str_of(name), NULL, NULL);
}

TEST(a_write_that_is_done_is_applied_published_and_stored)
{
    struct fixture *fixture = setup();
    struct write write = new_write(fixture, "a", 'a');
    committer_submit(fixture->committer, &write.base);
    assert_int_equal(fixture->done, 0); /* the store is at work */
    assert_null(find_service(fixture->config, "a"));
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->done, 1);
    assert_int_equal(write.rc, 0);
    assert_int_equal(fixture->published, 1);
    assert_non_null(find_service(fixture->config, "a"));
    teardown(fixture);
}

static int load(void *arg, const char *kind, const char *id, const char *body)
{
    return config_load(arg, kind, id, body);
}

TEST(what_was_stored_is_there_after_a_restart)
{
    struct fixture *fixture = setup();
    struct write write = new_write(fixture, "a", 'a');
    struct error err;
    committer_submit(fixture->committer, &write.base);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    close_all(fixture);
    open_all(fixture);
    assert_int_equal(store_load_all(fixture->store, load, fixture->config, &err), 0);
    assert_non_null(find_service(fixture->config, "a"));
    teardown(fixture);
}

TEST(writes_take_turns_and_each_plans_on_what_the_one_before_left)
{
    struct fixture *fixture = setup();
    struct write first = new_write(fixture, "same", '1');
    struct write second = new_write(fixture, "same", '2');
    struct write third = new_write(fixture, "other", '3');
    committer_submit(fixture->committer, &first.base);
    committer_submit(fixture->committer, &second.base);
    committer_submit(fixture->committer, &third.base);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_string_equal(fixture->order, "123");
    assert_int_equal(first.rc, 0);
    assert_int_equal(second.rc, UV_EINVAL); /* its plan saw the first one's row */
    assert_int_equal(third.rc, 0);
    assert_int_equal(third.published_before, 1);
    teardown(fixture);
}

TEST(a_plan_that_changes_nothing_is_done_without_the_store)
{
    struct fixture *fixture = setup();
    struct write nothing = new_write(fixture, NULL, 'n');
    struct write refused = new_write(fixture, NULL, 'r');
    refused.plan_rc = UV_ENOENT;
    committer_submit(fixture->committer, &nothing.base);
    committer_submit(fixture->committer, &refused.base);
    assert_string_equal(fixture->order, "nr");
    assert_int_equal(nothing.rc, 0);
    assert_int_equal(refused.rc, UV_ENOENT);
    assert_int_equal(fixture->published, 0);
    teardown(fixture);
}

TEST(after_a_stop_writes_are_refused_but_the_one_under_way_ends)
{
    struct fixture *fixture = setup();
    struct write under_way = new_write(fixture, "a", 'a');
    struct write waiting = new_write(fixture, "b", 'b');
    struct write late = new_write(fixture, "c", 'c');
    committer_submit(fixture->committer, &under_way.base);
    committer_submit(fixture->committer, &waiting.base);
    committer_stop(fixture->committer);
    committer_submit(fixture->committer, &late.base);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(under_way.rc, 0);
    assert_int_equal(waiting.rc, UV_ECANCELED);
    assert_int_equal(late.rc, UV_ECANCELED);
    teardown(fixture);
}

/* ---- what another node was first to do ---- */

/* A store in which others are always first. */
struct contested {
    struct store base; /* first */
    struct config *config;
    uint64_t sequence;
    int refusals[16]; /* what commits are told, one after the other */
    bool is_silent;   /* refuses without that anybody has changed anything */
    unsigned commits;
    store_commit_cb end; /* of the commit under way; NULL: none */
    void *end_arg;
};

static int contested_commit(struct store *base, const struct store_op *ops, size_t count,
                            store_commit_cb end, void *arg)
{
    struct contested *store = (struct contested *)base;
    assert_true(ops && count == 1);
    store->end = end;
    store->end_arg = arg;
    return 0;
}

static void end_commits(struct contested *store)
{
    while (store->end) {
        store_commit_cb end = store->end;
        int rc = store->refusals[store->commits++];
        if (rc != 0 && !store->is_silent)
            store->sequence++;
        store->end = NULL;
        end(store->end_arg, rc);
    }
}

static uint64_t contested_sequence(const struct store *base)
{
    return ((const struct contested *)base)->sequence;
}

struct attempt {
    struct config_write base; /* first */
    const struct contested *store;
    unsigned plans;
    int rc;
};

static int plan_attempt(struct config_write *base, const struct config *config)
{
    struct attempt *attempt = (struct attempt *)base;
    struct violation violation = {0};
    assert_int_equal(attempt->plans++, attempt->store->commits);
    config_change_deinit(&base->change);
    json_t *input = json_pack("{s:s, s:s}", "name", "s", "host", "h");
    int rc = config_plan_insert(config, entity_find(STR("services")), input, NULL, NULL,
                                &base->change, NULL, &violation);
    json_decref(input);
    violation_deinit(&violation);
    return rc;
}

static void on_attempt_done(struct config_write *base, int rc)
{
    ((struct attempt *)base)->rc = rc;
    config_change_deinit(&base->change);
}

static void ignore_publish(void *arg, const struct config_change *change)
{
    (void)arg, (void)change;
}

static struct attempt attempt_in(struct contested *store)
{
    static const struct store_engine engine = {.commit = contested_commit,
                                               .sequence = contested_sequence};
    struct committer *committer;
    struct attempt attempt = {
        .base = {.plan = plan_attempt, .done = on_attempt_done}, .store = store, .rc = 1};
    store->base.engine = &engine;
    assert_int_equal(config_create(&store->config), 0);
    assert_int_equal(
        committer_create(store->config, &store->base, ignore_publish, NULL, &committer), 0);
    committer_submit(committer, &attempt.base);
    end_commits(store);
    committer_destroy(committer);
    config_destroy(store->config);
    return attempt;
}

TEST(a_write_is_planned_again_when_another_node_was_first)
{
    struct contested changed = {.refusals = {UV_EAGAIN, UV_EEXIST, UV_ENOENT, UV_EBUSY, 0}};
    struct attempt attempt = attempt_in(&changed);
    assert_int_equal(attempt.rc, 0);
    assert_int_equal(attempt.plans, 5);
}

TEST(a_refusal_that_no_other_node_explains_is_final)
{
    struct contested silent = {.refusals = {UV_EEXIST, 0}, .is_silent = true};
    struct attempt attempt = attempt_in(&silent);
    assert_int_equal(attempt.rc, UV_EEXIST);
    assert_int_equal(attempt.plans, 1);
    struct contested away = {.refusals = {UV_ENOTCONN, 0}};
    assert_int_equal(attempt_in(&away).rc, UV_ENOTCONN);
}

TEST(a_write_that_never_gets_its_turn_ends)
{
    struct contested store = {.commits = 0};
    for (size_t i = 0; i < 16; i++)
        store.refusals[i] = UV_EAGAIN;
    struct attempt attempt = attempt_in(&store);
    assert_int_equal(attempt.rc, UV_EAGAIN);
    assert_int_equal(attempt.plans, 8);
}

RUN(T(a_write_that_is_done_is_applied_published_and_stored),
    T(what_was_stored_is_there_after_a_restart),
    T(writes_take_turns_and_each_plans_on_what_the_one_before_left),
    T(a_plan_that_changes_nothing_is_done_without_the_store),
    T(after_a_stop_writes_are_refused_but_the_one_under_way_ends),
    T(a_write_is_planned_again_when_another_node_was_first),
    T(a_refusal_that_no_other_node_explains_is_final), T(a_write_that_never_gets_its_turn_ends))
