#include "unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "discovery/saved.h"
#include "unit/loop.h"

static uv_loop_t loop;
static char dir[] = "/tmp/weir-saved-XXXXXX", path[64];
static struct saved *saved;
static uint64_t renew_ms;
static struct source source = {.state = SOURCE_KNOWN, .key = "consul\nweb\n"};

static void collect(void *owner)
{
    assert_ptr_equal(owner, &loop);
    saved_put(saved, &source);
}

static void open_saved(void)
{
    assert_int_equal(saved_create(&loop, dir, collect, &loop, renew_ms, &saved), 0);
}

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_CRIT);
    memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/discovery.json", dir);
    source.is_saved = false;
    source.last = NULL;
    source.account.answered_ms = 0;
    renew_ms = 0;
    return uv_loop_init(&loop);
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_saved(void)
{
    bool closed = false;
    saved_close(saved, on_closed, &closed);
    assert_true(LOOP_UNTIL(&loop, closed));
}

static int teardown(void **state)
{
    (void)state;
    close_saved();
    discovered_list_destroy(source.last);
    unlink(path);
    rmdir(dir);
    return uv_loop_close(&loop);
}

static void know_two(void)
{
    assert_int_equal(discovered_list_create(&source.last), 0);
    const struct discovered items[] = {
        {.host = STR("10.0.0.1"),
         .port = 80,
         .instance = STR("a"),
         .node = STR("n"),
         .datacenter = STR("dc"),
         .weight = 3,
         .weight_warning = 2,
         .status = DISCOVERED_WARNING,
         .why = STR("a warning")},
        {.host = STR("::1"), .port = 81, .instance = STR("b"), .weight = 1},
    };
    for (int i = 0; i < 2; i++)
        discovered_list_add(source.last, &items[i]);
    discovered_list_seal(source.last);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* When Consul spoke of the source last, as it would be written now. */
static json_int_t written_age(void)
{
    unlink(path);
    saved_touch(saved);
    saved_flush(saved);
    assert_true(LOOP_UNTIL(&loop, access(path, F_OK) == 0));
    json_t *root = json_load_file(path, 0, NULL);
    json_t *entry = json_object_get(json_object_get(root, "sources"), source.key);
    json_int_t at = json_integer_value(json_object_get(entry, "at"));
    json_decref(root);
    return at;
}

TEST(what_was_known_is_there_after_a_restart)
{
    open_saved();
    assert_null(saved_find(saved, str_of(source.key)));
    know_two();
    saved_touch(saved);
    saved_flush(saved);
    close_saved();
    open_saved();
    struct discovered_list *list = saved_find(saved, str_of(source.key));
    assert_non_null(list);
    assert_true(discovered_list_equal(list, source.last));
    assert_null(saved_find(saved, STR("consul\nother\n")));
    discovered_list_destroy(list);
}

TEST(a_change_is_written_by_itself)
{
    open_saved();
    know_two();
    saved_touch(saved);
    assert_true(LOOP_UNTIL(&loop, access(path, F_OK) == 0));
}

TEST(what_never_changes_does_not_grow_old)
{
    renew_ms = 20;
    open_saved();
    know_two();
    saved_touch(saved);
    saved_flush(saved);
    assert_true(LOOP_UNTIL(&loop, access(path, F_OK) == 0));
    unlink(path);
    assert_true(LOOP_UNTIL(&loop, access(path, F_OK) == 0));
}

TEST(the_age_is_that_of_consuls_last_word)
{
    open_saved();
    know_two();
    uv_update_time(&loop);
    time_t now = time(NULL);
    source.account.answered_ms = uv_now(&loop) > 100000 ? uv_now(&loop) - 100000 : 1;
    json_int_t age = (json_int_t)(uv_now(&loop) - source.account.answered_ms) / 1000;
    json_int_t at = written_age();
    assert_in_range(at, now - age - 1, time(NULL) - age + 1); /* seconds have edges */
}

TEST(what_is_only_saved_keeps_its_age)
{
    char text[256];
    long long at = (long long)time(NULL) - 1000;
    snprintf(text, sizeof(text),
             "{\"format\":1,\"sources\":{\"consul\\nweb\\n\":{\"at\":%lld,\"targets\":"
             "[{\"host\":\"10.0.0.1\",\"port\":80}]}}}",
             at);
    write_file(text);
    open_saved();
    source.last = saved_find(saved, str_of(source.key));
    assert_non_null(source.last);
    source.is_saved = true;
    assert_int_equal(written_age(), at);
}

TEST(what_makes_no_sense_or_is_old_is_not_used)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "7",
        "{\"format\":2,\"sources\":{}}",
        "{\"format\":1,\"sources\":[]}",
        "{\"format\":1,\"sources\":{\"consul\\nweb\\n\":7}}",
        "{\"format\":1,\"sources\":{\"consul\\nweb\\n\":{\"at\":99999999999,\"targets\":[7,{}]}}}",
        "{\"format\":1,\"sources\":{\"consul\\nweb\\n\":{\"at\":1000,\"targets\":"
        "[{\"host\":\"10.0.0.1\",\"port\":80}]}}}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (i > 0)
            close_saved();
        write_file(texts[i]);
        open_saved();
        assert_null(saved_find(saved, str_of(source.key)));
    }
}

static void hear(void)
{
    saved_touch(saved);
    saved_flush(saved);
}

/* The source is closed, and another of the same key is there that has heard nothing. */
static struct discovered_list *release_and_find(void)
{
    saved_keep(saved, &source);
    discovered_list_destroy(source.last);
    source.last = NULL;
    return saved_find(saved, str_of(source.key));
}

TEST(what_a_source_heard_is_there_when_it_is_used_again)
{
    open_saved();
    know_two();
    hear();
    assert_null(saved_find(saved, str_of(source.key)));
    source.last = release_and_find();
    assert_non_null(source.last);
    assert_int_equal(source.last->count, 2);
    source.is_saved = true;
    assert_in_range(written_age(), time(NULL) - 100, time(NULL));
    source.last = release_and_find(); /* though nobody has spoken since */
    assert_non_null(source.last);
    source.is_saved = false;
    hear();
    assert_null(saved_find(saved, str_of(source.key)));
}

TEST(a_source_that_had_no_targets_at_last_has_none_when_it_is_used_again)
{
    open_saved();
    know_two();
    saved_keep(saved, &source);
    discovered_list_destroy(source.last);
    assert_int_equal(discovered_list_create(&source.last), 0);
    assert_null(release_and_find());
}

TEST(of_too_many_sources_that_are_not_used_the_oldest_are_forgotten)
{
    enum { COUNT = 10010 };
    char key[32];
    struct discovered_list *list;
    open_saved();
    know_two();
    struct source many = {.state = SOURCE_KNOWN, .key = key, .last = source.last};
    for (int i = 0; i < COUNT; i++) {
        snprintf(key, sizeof(key), "consul\n%d\n", i);
        saved_keep(saved, &many);
    }
    assert_null(saved_find(saved, STR("consul\n0\n")));
    assert_null(saved_find(saved, STR("consul\n9\n")));
    assert_non_null(list = saved_find(saved, str_of(key)));
    discovered_list_destroy(list);
    assert_non_null(list = saved_find(saved, STR("consul\n10\n")));
    discovered_list_destroy(list);
}

TEST(of_too_many_bytes_that_are_not_used_the_oldest_are_forgotten)
{
    static char why[1 << 20];
    memset(why, 'x', sizeof(why));
    char key[32];
    struct discovered_list *list;
    open_saved();
    assert_int_equal(discovered_list_create(&source.last), 0);
    const struct discovered item = {
        .host = STR("10.0.0.1"), .port = 80, .why = str_make(why, sizeof(why))};
    assert_int_equal(discovered_list_add(source.last, &item), 0);
    struct source many = {.state = SOURCE_KNOWN, .key = key, .last = source.last};
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "consul\n%d\n", i);
        saved_keep(saved, &many);
    }
    assert_null(saved_find(saved, STR("consul\n4\n")));
    assert_non_null(list = saved_find(saved, STR("consul\n5\n")));
    discovered_list_destroy(list);
    assert_non_null(list = saved_find(saved, str_of(key)));
    discovered_list_destroy(list);
}

#define TS(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

RUN(TS(what_was_known_is_there_after_a_restart), TS(a_change_is_written_by_itself),
    TS(what_never_changes_does_not_grow_old), TS(the_age_is_that_of_consuls_last_word),
    TS(what_is_only_saved_keeps_its_age), TS(what_makes_no_sense_or_is_old_is_not_used),
    TS(what_a_source_heard_is_there_when_it_is_used_again),
    TS(a_source_that_had_no_targets_at_last_has_none_when_it_is_used_again),
    TS(of_too_many_sources_that_are_not_used_the_oldest_are_forgotten),
    TS(of_too_many_bytes_that_are_not_used_the_oldest_are_forgotten))
