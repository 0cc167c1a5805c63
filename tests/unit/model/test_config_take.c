#include "model/config.h"

#include <uv.h>

#include "model/packed_row.h"
#include "unit/model/rows.h"

#define ID_A "aaaaaaaa-0000-4000-8000-000000000001"
#define ID_B "bbbbbbbb-0000-4000-8000-000000000002"

static struct config *config_with(void)
{
    struct config *config = NULL;
    assert_int_equal(config_create(&config), 0);
    return config;
}

struct taken {
    int rc;
    bool has_changed;
    struct error why;
};

static struct taken take(struct config *config, const char *kind, const char *id, const char *body)
{
    struct taken taken = {0};
    json_t *row = body ? parse(body) : NULL;
    char *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
    taken.rc = config_take_row(config, kind, id, text, &taken.has_changed, &taken.why);
    free(text);
    json_decref(row);
    return taken;
}

static const json_t *find(const struct config *config, const char *kind, const char *key)
{
    return config_find(config, entity_named(kind), str_of(key), NULL, NULL);
}

TEST(a_row_is_taken_changed_and_removed)
{
    struct config *config = config_with();
    assert_int_equal(take(config, "services", ID_A, "{'name':'one','host':'h'}").rc, 1);
    assert_non_null(find(config, "services", "one"));
    assert_int_equal(take(config, "services", ID_A, "{'name':'two','host':'h'}").rc, 1);
    assert_null(find(config, "services", "one"));
    assert_non_null(find(config, "services", "two"));
    assert_int_equal(take(config, "services", ID_A, NULL).rc, 1);
    assert_null(find(config, "services", "two"));
    config_destroy(config);
}

TEST(a_row_that_is_there_already_changes_nothing)
{
    struct config *config = config_with();
    take(config, "services", ID_A, "{'name':'one','host':'h'}");
    assert_int_equal(take(config, "services", ID_A, "{'host':'h','name':'one'}").rc, 0);
    assert_int_equal(take(config, "services", ID_B, NULL).rc, 0);
    config_destroy(config);
}

TEST(what_a_request_stored_is_valid_when_it_is_read_again)
{
    static const char *const rows[][2] = {
        {"services", "{'name':'s','url':'https://h:8443/p','tags':['a']}"},
        {"routes", "{'name':'r','paths':['/a','~/b/[0-9]+$'],'hosts':['*.h'],'methods':['GET'],"
                   "'headers':{'x-a':['1']},'tags':['t']}"},
        {"upstreams", "{'name':'u','hash_on':'header','hash_on_header':'x','slots':20}"},
        {"upstreams", "{'name':'v','discovery':{'type':'consul','service':'users'}}"},
        {"targets", "{'target':'::1','weight':7,'upstream':{'id':'" ID_B "'}}"},
        {"targets", "{'target':'10.1.1.1','upstream':{'id':'" ID_B "'}}"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct config *config = config_with();
        struct violation violation = {0};
        json_t *row = make_row(rows[i][0], parse(rows[i][1]), ENTITY_INSERT, NULL, &violation);
        assert_non_null(row);
        char *text = json_dumps(row, JSON_COMPACT);
        struct error why = {.sentence = ""};
        bool has_changed;
        const char *id = json_string_value(json_object_get(row, "id"));
        if (config_take_row(config, rows[i][0], id, text, &has_changed, &why) != 1)
            fail_msg("%s: %s", rows[i][1], why.sentence);
        free(text);
        json_decref(row);
        config_destroy(config);
    }
}

TEST(a_row_that_is_not_valid_is_left_out_and_says_why)
{
    struct config *config = config_with();
    struct taken taken = take(config, "services", ID_A, "{'host':'h','port':99999}");
    assert_int_equal(taken.rc, UV_EINVAL);
    assert_false(taken.has_changed);
    assert_non_null(strstr(taken.why.sentence, "port"));
    assert_int_equal(take(config, "gizmos", ID_A, "{}").rc, UV_EINVAL);
    assert_int_equal(take(config, "services", ID_A, "[]").rc, UV_EINVAL);
    assert_int_equal(config_count(config, entity_named("services")), 0);
    config_destroy(config);
}

TEST(a_row_that_becomes_invalid_takes_the_one_before_with_it)
{
    struct config *config = config_with();
    take(config, "services", ID_A, "{'name':'one','host':'h'}");
    struct taken taken = take(config, "services", ID_A, "{'name':'one','host':5}");
    assert_int_equal(taken.rc, UV_EINVAL);
    assert_true(taken.has_changed);
    assert_null(find(config, "services", "one"));
    config_destroy(config);
}

static int count_row(void *arg, const char *kind, const struct packed_row *row)
{
    assert_string_equal(kind, "services");
    assert_non_null(packed_row_id(row));
    return ++*(int *)arg == 2 ? UV_ECANCELED : 0;
}

TEST(each_visits_all_rows_until_it_is_told_to_stop)
{
    struct config *config = config_with();
    int count = 0;
    take(config, "services", ID_A, "{'name':'one','host':'h'}");
    assert_int_equal(config_each(config, count_row, &count), 0);
    assert_int_equal(count, 1);
    take(config, "services", ID_B, "{'name':'two','host':'h'}");
    count = 0;
    assert_int_equal(config_each(config, count_row, &count), UV_ECANCELED);
    config_destroy(config);
}

RUN(T(a_row_is_taken_changed_and_removed), T(a_row_that_is_there_already_changes_nothing),
    T(what_a_request_stored_is_valid_when_it_is_read_again),
    T(a_row_that_is_not_valid_is_left_out_and_says_why),
    T(a_row_that_becomes_invalid_takes_the_one_before_with_it),
    T(each_visits_all_rows_until_it_is_told_to_stop))
