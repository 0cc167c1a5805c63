#include "model/config.h"

#include <uv.h>

#include "model/packed_row.h"
#include "model/plan.h"
#include "unit/model/rows.h"

#define ID_A "aaaaaaaa-0000-4000-8000-000000000001"
#define ID_B "bbbbbbbb-0000-4000-8000-000000000002"
#define ID_C "cccccccc-0000-4000-8000-000000000003"
#define ID_D "dddddddd-0000-4000-8000-000000000004"

static struct config *config_with(void)
{
    struct config *config = NULL;
    assert_int_equal(config_create(&config), 0);
    return config;
}

static void load(struct config *config, const char *kind, const char *id, const char *body)
{
    json_t *row = parse(body);
    char *text = json_dumps(row, JSON_COMPACT);
    assert_int_equal(config_load(config, kind, id, text), 0);
    free(text);
    json_decref(row);
}

/* The ids of a page, by their first letters. */
static const char *page(const struct config *config, const char *kind, const char *after,
                        const char *field, const char *parent_id, const char *const *all,
                        const char *const *any, size_t max)
{
    static char letters[32];
    const struct packed_row *packed[16];
    const json_t *rows[16];
    bool more = false;
    size_t count = config_list_packed(config, entity_named(kind), after, field, parent_id, all, any,
                                      packed, max, &more);
    for (size_t i = 0; i < count; i++)
        letters[i] = packed_row_id(packed[i])[0];
    if (!all && !any) {
        bool lent_more;
        assert_int_equal(
            config_list(config, entity_named(kind), after, field, parent_id, rows, max, &lent_more),
            count);
        for (size_t i = 0; i < count; i++)
            assert_string_equal(plan_row_id(rows[i]), packed_row_id(packed[i]));
        assert_int_equal(lent_more, more);
    }
    letters[count] = '\0';
    return strcat(letters, more ? "+" : "");
}

TEST(rows_are_found_by_id_and_by_name)
{
    struct config *config = config_with();
    load(config, "services", ID_A, "{'name':'one','host':'h'}");
    load(config, "services", ID_B, "{'host':'h'}");
    const struct entity *services = entity_named("services");
    struct violation violation = {0};

    const json_t *row = config_get(config, services, STR(ID_A));
    assert_string_equal(json_string_value(json_object_get(row, "id")), ID_A);
    assert_int_equal(json_integer_value(json_object_get(row, "port")), 80);
    assert_ptr_equal(config_find(config, services, STR("one"), NULL, &violation), row);
    assert_ptr_equal(config_find(config, services, STR("AAAAAAAA-0000-4000-8000-000000000001"),
                                 NULL, &violation),
                     row);
    assert_null(config_find(config, services, STR("two"), NULL, &violation));
    assert_null(config_find(config, services, STR(ID_C), NULL, &violation));
    assert_int_equal(violation.code, VIOLATION_NONE);

    assert_null(config_find(config, services, STR("a b"), NULL, &violation));
    assert_int_equal(violation.code, VIOLATION_UNIQUE_FIELD_INVALID);
    assert_string_equal(violation.what, "name");
    assert_message(&violation, "invalid value 'a b': the only accepted ascii characters are "
                               "alphanumerics or ., -, _, and ~");
    assert_null(config_find(config, services, STR("a b"), NULL, NULL));
    config_destroy(config);
}

TEST(what_is_no_row_is_not_loaded)
{
    struct config *config = config_with();
    assert_int_equal(config_load(config, "gizmos", ID_A, "{}"), UV_EINVAL);
    assert_int_equal(config_load(config, "services", ID_A, "[]"), UV_EINVAL);
    assert_int_equal(config_load(config, "services", ID_A, "{"), UV_EINVAL);
    assert_int_equal(config_count(config, entity_named("services")), 0);
    config_destroy(config);
}

TEST(lists_go_by_id_in_pages)
{
    struct config *config = config_with();
    load(config, "services", ID_C, "{'host':'h'}");
    load(config, "services", ID_A, "{'host':'h'}");
    load(config, "services", ID_B, "{'host':'h'}");
    assert_string_equal(page(config, "services", NULL, NULL, NULL, NULL, NULL, 10), "abc");
    assert_string_equal(page(config, "services", NULL, NULL, NULL, NULL, NULL, 2), "ab+");
    assert_string_equal(page(config, "services", ID_B, NULL, NULL, NULL, NULL, 2), "c");
    assert_string_equal(page(config, "services", ID_C, NULL, NULL, NULL, NULL, 2), "");
    assert_string_equal(
        page(config, "services", "aaaaaaaa-f000-4000-8000-000000000001", NULL, NULL, NULL, NULL, 1),
        "b+"); /* that row has gone */
    assert_string_equal(page(config, "routes", NULL, NULL, NULL, NULL, NULL, 2), "");
    assert_int_equal(config_count(config, entity_named("services")), 3);
    config_destroy(config);
}

TEST(lists_are_filtered_by_tags)
{
    struct config *config = config_with();
    load(config, "services", ID_A, "{'host':'h','tags':['x','y']}");
    load(config, "services", ID_B, "{'host':'h','tags':['y']}");
    load(config, "services", ID_C, "{'host':'h'}");
    static const char *const x_and_y[] = {"x", "y", NULL};
    static const char *const y[] = {"y", NULL};
    static const char *const z[] = {"z", NULL};
    assert_string_equal(page(config, "services", NULL, NULL, NULL, x_and_y, NULL, 10), "a");
    assert_string_equal(page(config, "services", NULL, NULL, NULL, NULL, x_and_y, 10), "ab");
    assert_string_equal(page(config, "services", NULL, NULL, NULL, y, NULL, 1), "a+");
    assert_string_equal(page(config, "services", ID_A, NULL, NULL, y, NULL, 1), "b");
    assert_string_equal(page(config, "services", NULL, NULL, NULL, z, NULL, 1), "");
    config_destroy(config);
}

TEST(children_are_listed_by_their_parent)
{
    struct config *config = config_with();
    load(config, "services", ID_A, "{'host':'h'}");
    load(config, "routes", ID_B, "{'service':{'id':'" ID_A "'},'paths':['/']}");
    load(config, "routes", ID_C, "{'paths':['/']}");
    load(config, "routes", ID_D, "{'service':{'id':'" ID_A "'},'paths':['/']}");
    assert_string_equal(page(config, "routes", NULL, "service", ID_A, NULL, NULL, 10), "bd");
    assert_string_equal(page(config, "routes", ID_B, "service", ID_A, NULL, NULL, 10), "d");
    assert_string_equal(page(config, "routes", ID_C, "service", ID_A, NULL, NULL, 10), "d");
    assert_string_equal(page(config, "routes", NULL, "service", ID_B, NULL, NULL, 10), "");

    struct violation violation = {0};
    const struct entity *routes = entity_named("routes");
    assert_non_null(config_find(config, routes, STR(ID_B), ID_A, &violation));
    assert_null(config_find(config, routes, STR(ID_C), ID_A, &violation));
    config_destroy(config);
}

TEST(targets_are_listed_newest_first_and_named_within_their_upstream)
{
    struct config *config = config_with();
    load(config, "upstreams", ID_A, "{'name':'u'}");
    load(config, "upstreams", ID_B, "{'name':'v'}");
    load(config, "targets", ID_C,
         "{'upstream':{'id':'" ID_A "'},'target':'10.0.0.1:80','created_at':1.25}");
    load(config, "targets", ID_D,
         "{'upstream':{'id':'" ID_A "'},'target':'a:8000','created_at':1.5}");
    load(config, "targets", ID_B,
         "{'upstream':{'id':'" ID_B "'},'target':'a:8000','created_at':1.5}");
    assert_string_equal(page(config, "targets", NULL, "upstream", ID_A, NULL, NULL, 10), "dc");
    assert_string_equal(page(config, "targets", NULL, "upstream", ID_A, NULL, NULL, 1), "d+");
    assert_string_equal(page(config, "targets", ID_D, "upstream", ID_A, NULL, NULL, 1), "c");
    assert_string_equal(page(config, "targets", ID_A, "upstream", ID_A, NULL, NULL, 1), "");

    struct violation violation = {0};
    const struct entity *targets = entity_named("targets");
    const json_t *row = config_find(config, targets, STR("a:8000"), ID_A, &violation);
    assert_string_equal(json_string_value(json_object_get(row, "id")), ID_D);
    assert_ptr_equal(config_find(config, targets, STR("a"), ID_A, &violation), row);
    row = config_find(config, targets, STR("a"), ID_B, &violation);
    assert_string_equal(json_string_value(json_object_get(row, "id")), ID_B);
    assert_non_null(config_find(config, targets, STR("010.0.0.1:80"), ID_A, &violation));
    assert_null(config_find(config, targets, STR("10.0.0.1:80"), ID_B, &violation));
    assert_null(config_find(config, targets, STR(ID_C), ID_B, &violation));
    assert_null(config_find(config, targets, STR("a:8000"), NULL, &violation));
    assert_null(config_find(config, targets, STR("no such one"), ID_A, &violation));
    assert_int_equal(violation.code, VIOLATION_NONE);
    config_destroy(config);
}

TEST(loading_a_row_again_moves_what_it_is_found_by)
{
    struct config *config = config_with();
    load(config, "services", ID_A, "{'host':'h','name':'one'}");
    load(config, "routes", ID_C, "{'paths':['/'],'service':{'id':'" ID_A "'}}");
    load(config, "services", ID_A, "{'host':'h','name':'two'}");
    load(config, "routes", ID_C, "{'paths':['/']}");
    const struct entity *services = entity_named("services");
    assert_null(config_find(config, services, STR("one"), NULL, NULL));
    assert_non_null(config_find(config, services, STR("two"), NULL, NULL));
    assert_string_equal(page(config, "routes", NULL, "service", ID_A, NULL, NULL, 10), "");
    assert_int_equal(config_count(config, services), 1);
    config_destroy(config);
}

RUN(T(rows_are_found_by_id_and_by_name), T(what_is_no_row_is_not_loaded),
    T(lists_go_by_id_in_pages), T(lists_are_filtered_by_tags),
    T(children_are_listed_by_their_parent),
    T(targets_are_listed_newest_first_and_named_within_their_upstream),
    T(loading_a_row_again_moves_what_it_is_found_by))
