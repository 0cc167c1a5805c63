#include "control/disk_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/config.h"
#include "unit/test.h"

#define ID_A "aaaaaaaa-0000-4000-8000-000000000001"
#define ID_B "bbbbbbbb-0000-4000-8000-000000000002"

struct fixture {
    uv_loop_t loop;
    char dir[64];
    char path[96];
    struct config *config;
    struct disk_snapshot *snapshot;
};

static struct fixture *setup(void)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    strcpy(fixture->dir, "/tmp/weir-snapshot-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    snprintf(fixture->path, sizeof(fixture->path), "%s/snapshot", fixture->dir);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(config_create(&fixture->config), 0);
    assert_int_equal(
        disk_snapshot_create(&fixture->loop, fixture->dir, fixture->config, &fixture->snapshot), 0);
    return fixture;
}

static void stop(struct fixture *fixture)
{
    disk_snapshot_stop(fixture->snapshot);
    disk_snapshot_stop(fixture->snapshot);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
}

static void teardown(struct fixture *fixture)
{
    char command[96];
    stop(fixture);
    disk_snapshot_destroy(fixture->snapshot);
    config_destroy(fixture->config);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    snprintf(command, sizeof(command), "rm -r %s", fixture->dir);
    assert_int_equal(system(command), 0);
    free(fixture);
}

static void add_service(struct fixture *fixture, const char *id, const char *name)
{
    char body[200];
    bool has_changed;
    struct error why;
    snprintf(body, sizeof(body), "{\"name\":\"%s\",\"host\":\"h\",\"tags\":[\"a\",\"b\"]}", name);
    assert_int_equal(config_take_row(fixture->config, "services", id, body, &has_changed, &why), 1);
}

static int take_row(void *arg, const char *kind, const char *id, const char *body)
{
    bool has_changed;
    struct error why;
    return config_take_row(arg, kind, id, body, &has_changed, &why) < 0 ? UV_EINVAL : 0;
}

static int load(struct fixture *fixture, struct config **ret)
{
    struct error err = {.sentence = ""};
    assert_int_equal(config_create(ret), 0);
    int rc = disk_snapshot_load(fixture->dir, take_row, *ret, &err);
    assert_true(rc == 0 || strstr(err.field, "snapshot"));
    return rc;
}

static void replace(struct fixture *fixture, const char *text)
{
    FILE *file = fopen(fixture->path, "w");
    fputs(text, file);
    fclose(file);
}

static int load_rc(struct fixture *fixture)
{
    struct config *config;
    int rc = load(fixture, &config);
    config_destroy(config);
    return rc;
}

TEST(what_was_touched_is_written_and_loaded_again)
{
    struct fixture *fixture = setup();
    struct config *config;
    add_service(fixture, ID_A, "one");
    add_service(fixture, ID_B, "two");
    disk_snapshot_touch(fixture->snapshot, 7);
    stop(fixture);
    assert_int_equal(load(fixture, &config), 0);
    const struct entity *services = entity_find(STR("services"));
    assert_int_equal(config_count(config, services), 2);
    assert_true(json_equal((json_t *)(uintptr_t)config_get(config, services, STR(ID_A)),
                           (json_t *)(uintptr_t)config_get(fixture->config, services, STR(ID_A))));
    config_destroy(config);
    teardown(fixture);
}

TEST(it_is_written_a_moment_after_a_change_while_the_node_runs)
{
    struct fixture *fixture = setup();
    add_service(fixture, ID_A, "one");
    disk_snapshot_touch(fixture->snapshot, 7);
    assert_int_equal(load_rc(fixture), UV_ENOENT);
    while (access(fixture->path, F_OK) != 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(load_rc(fixture), 0);
    teardown(fixture);
}

TEST(nothing_is_written_when_nothing_was_touched)
{
    struct fixture *fixture = setup();
    stop(fixture);
    assert_int_equal(load_rc(fixture), UV_ENOENT);
    teardown(fixture);
}

TEST(a_file_that_is_not_whole_is_refused)
{
    struct fixture *fixture = setup();
    replace(fixture, "");
    assert_int_equal(load_rc(fixture), UV_EINVAL);
    replace(fixture, "somebody's diary\n");
    assert_int_equal(load_rc(fixture), UV_EINVAL);
    replace(fixture, "weir snapshot 1 7 2\nservices\t" ID_A "\t{\"host\":\"h\"}\n");
    assert_int_equal(load_rc(fixture), UV_EINVAL);
    replace(fixture, "weir snapshot 1 7 1\nservices\n");
    assert_int_equal(load_rc(fixture), UV_EINVAL);
    replace(fixture, "weir snapshot 1 7 1\nservices\t" ID_A "\t{\"host\":\"h\"}\n");
    assert_int_equal(load_rc(fixture), 0);
    teardown(fixture);
}

RUN(T(what_was_touched_is_written_and_loaded_again),
    T(it_is_written_a_moment_after_a_change_while_the_node_runs),
    T(nothing_is_written_when_nothing_was_touched), T(a_file_that_is_not_whole_is_refused))
