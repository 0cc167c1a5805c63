#include "model/config.h"

#include <uv.h>

#include "base/random.h"
#include "unit/model/rows.h"

#define ID_A "aaaaaaaa-0000-4000-8000-000000000001"
#define ID_B "bbbbbbbb-0000-4000-8000-000000000002"
#define ID_C "cccccccc-0000-4000-8000-000000000003"
#define ID_D "dddddddd-0000-4000-8000-000000000004"

/* A configuration, and the write that is being tried on it. */
struct fixture {
    struct config *config;
    struct config_change change;
    struct violation violation;
    const json_t *row; /* as it will be */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    return f && config_create(&f->config) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    config_change_deinit(&f->change);
    violation_deinit(&f->violation);
    config_destroy(f->config);
    free(f);
    return 0;
}

#define PLANNING(name) static void name(void **state)
#define P(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void apply(struct fixture *f)
{
    config_apply(f->config, &f->change);
    config_change_deinit(&f->change);
    f->row = NULL;
}

static int insert(struct fixture *f, const char *kind, const char *text, const char *field,
                  const char *parent)
{
    json_t *input = parse(text);
    int rc = config_plan_insert(f->config, entity_named(kind), input, field, parent, &f->change,
                                &f->row, &f->violation);
    json_decref(input);
    return rc;
}

static int replace(struct fixture *f, const char *kind, const char *key, const char *text,
                   const char *field, const char *parent)
{
    json_t *input = parse(text);
    int rc = config_plan_replace(f->config, entity_named(kind), str_of(key), input, field, parent,
                                 &f->change, &f->row, &f->violation);
    json_decref(input);
    return rc;
}

static int update(struct fixture *f, const char *kind, const char *key, const char *text,
                  const char *field, const char *parent)
{
    json_t *input = parse(text);
    int rc = config_plan_update(f->config, entity_named(kind), str_of(key), input, field, parent,
                                &f->change, &f->row, &f->violation);
    json_decref(input);
    return rc;
}

static int removal(struct fixture *f, const char *kind, const char *key, const char *field,
                   const char *parent)
{
    return config_plan_remove(f->config, entity_named(kind), str_of(key), field, parent, &f->change,
                              &f->violation);
}

static void have(struct fixture *f, const char *kind, const char *text)
{
    assert_int_equal(insert(f, kind, text, NULL, NULL), 0);
    apply(f);
}

/* Checks code, message and fields, and that nothing has been planned. */
static void assert_violation(struct fixture *f, int code, const char *message, const char *fields)
{
    assert_int_equal(f->violation.code, code);
    assert_int_equal(f->change.count, 0);
    json_t *body = violation_to_body(&f->violation);
    assert_string_equal(json_string_value(json_object_get(body, "message")), message);
    if (fields)
        assert_same_json(json_object_get(body, "fields"), fields);
    else
        assert_null(json_object_get(body, "fields"));
    json_decref(body);
    violation_deinit(&f->violation);
}

static const char *text_of(const json_t *row, const char *field)
{
    return json_string_value(json_object_get(row, field));
}

PLANNING(an_insert_is_there_once_it_is_applied)
{
    struct fixture *f = *state;
    assert_int_equal(insert(f, "services", "{'name':'s','host':'h'}", NULL, NULL), 0);
    assert_int_equal(f->change.count, 1);
    assert_ptr_equal(f->change.ops[0].row, f->row);
    assert_null(config_find(f->config, entity_named("services"), STR("s"), NULL, NULL));
    apply(f);
    assert_non_null(config_find(f->config, entity_named("services"), STR("s"), NULL, NULL));
}

PLANNING(an_invalid_insert_plans_nothing)
{
    struct fixture *f = *state;
    assert_int_equal(insert(f, "services", "{'name':'x'}", NULL, NULL), UV_EINVAL);
    assert_violation(f, 2, "schema violation (host: required field missing)",
                     "{'host':'required field missing'}");
    assert_int_equal(insert(f, "services", "[1]", NULL, NULL), UV_EINVAL);
    assert_violation(f, 2, "schema violation (host: required field missing)",
                     "{'host':'required field missing'}");
}

PLANNING(names_and_ids_are_taken_once)
{
    struct fixture *f = *state;
    have(f, "services", "{'id':'" ID_A "','name':'s','host':'h'}");
    assert_int_equal(insert(f, "services", "{'name':'s','host':'h'}", NULL, NULL), UV_EINVAL);
    assert_violation(f, 5, "UNIQUE violation detected on '{name=\"s\"}'", "{'name':'s'}");
    assert_int_equal(insert(f, "services",
                            "{'id':'AAAAAAAA-0000-4000-8000-000000000001',"
                            "'host':'h'}",
                            NULL, NULL),
                     UV_EINVAL);
    assert_violation(f, 3, "primary key violation on key '{id=\"" ID_A "\"}'", "{'id':'" ID_A "'}");

    have(f, "services", "{'id':'" ID_B "','name':'t','host':'h'}");
    assert_int_equal(update(f, "services", "t", "{'name':'s'}", NULL, NULL), UV_EINVAL);
    assert_violation(f, 5, "UNIQUE violation detected on '{name=\"s\"}'", "{'name':'s'}");
    assert_int_equal(replace(f, "services", ID_B, "{'name':'s','host':'h'}", NULL, NULL),
                     UV_EINVAL);
    assert_violation(f, 5, "UNIQUE violation detected on '{name=\"s\"}'", "{'name':'s'}");
    assert_int_equal(update(f, "services", "t", "{'name':'t','port':1}", NULL, NULL), 0);
}

PLANNING(a_foreign_key_is_an_id_or_a_name)
{
    struct fixture *f = *state;
    have(f, "services", "{'id':'" ID_A "','name':'s','host':'h'}");
    assert_int_equal(
        insert(f, "routes", "{'paths':['/'],'service':{'name':'s','x':1}}", NULL, NULL), 0);
    assert_same_json(json_object_get(f->row, "service"), "{'id':'" ID_A "'}");
    config_change_deinit(&f->change);

    assert_int_equal(insert(f, "routes", "{'paths':['/'],'service':{'id':'" ID_B "'}}", NULL, NULL),
                     UV_EINVAL);
    assert_violation(f, 4,
                     "the foreign key '{id=\"" ID_B
                     "\"}' does not reference an existing 'services' entity.",
                     "{'service':{'id':'" ID_B "'}}");
    assert_int_equal(insert(f, "routes", "{'service':{'name':'x'}}", NULL, NULL), UV_EINVAL);
    assert_violation(f, 13,
                     "foreign key unresolved (service.name: the foreign key cannot be resolved "
                     "with '{name=\"x\"}' for an existing 'services' entity)",
                     "{\"service\":{\"name\":\"the foreign key cannot be resolved with "
                     "`{name=\\\"x\\\"}` for an existing `services` entity\"}}");
    assert_int_equal(insert(f, "routes", "{'paths':['/'],'service':{'foo':'x'}}", NULL, NULL),
                     UV_EINVAL);
    assert_violation(f, 2, "schema violation (service.id: missing primary key)",
                     "{'service':{'id':'missing primary key'}}");
}

PLANNING(certificates_are_an_entity_that_has_no_rows)
{
    struct fixture *f = *state;
    assert_int_equal(
        insert(f, "upstreams", "{'name':'u','client_certificate':{'id':'" ID_B "'}}", NULL, NULL),
        UV_EINVAL);
    assert_violation(f, 4,
                     "the foreign key '{id=\"" ID_B
                     "\"}' does not reference an existing 'certificates' entity.",
                     "{'client_certificate':{'id':'" ID_B "'}}");
}

PLANNING(under_a_parent_the_path_is_the_foreign_key)
{
    struct fixture *f = *state;
    have(f, "services", "{'id':'" ID_A "','host':'h'}");
    have(f, "services", "{'id':'" ID_B "','host':'h'}");
    assert_int_equal(insert(f, "routes",
                            "{'id':'" ID_C "','name':'r','paths':['/'],"
                            "'service':{'id':'" ID_B "'}}",
                            "service", ID_A),
                     0);
    assert_same_json(json_object_get(f->row, "service"), "{'id':'" ID_A "'}");
    apply(f);

    assert_int_equal(update(f, "routes", "r", "{'paths':['/b']}", "service", ID_B), UV_ENOENT);
    assert_int_equal(update(f, "routes", "x", "{'paths':['/b']}", "service", ID_A), UV_ENOENT);
    assert_int_equal(removal(f, "routes", ID_C, "service", ID_B), UV_ENOENT);
    assert_int_equal(removal(f, "routes", ID_D, "service", ID_A), UV_ENOENT);
    assert_int_equal(f->violation.code, 0);
    assert_int_equal(update(f, "routes", "r", "{'paths':['/b']}", "service", ID_A), 0);
    apply(f);
    assert_int_equal(replace(f, "routes", ID_D, "{'paths':['/']}", "service", ID_B), 0);
    assert_same_json(json_object_get(f->row, "service"), "{'id':'" ID_B "'}");
    apply(f);
    assert_int_equal(removal(f, "routes", "r", "service", ID_A), 0);
    assert_int_equal(f->change.count, 1);
}

PLANNING(put_creates_or_replaces)
{
    struct fixture *f = *state;
    assert_int_equal(replace(f, "services", "s",
                             "{'name':'other','host':'h','port':1,"
                             "'created_at':5}",
                             NULL, NULL),
                     0);
    assert_string_equal(text_of(f->row, "name"), "s");
    char id[UUID_TEXT_BYTES];
    strcpy(id, text_of(f->row, "id"));
    apply(f);

    assert_int_equal(replace(f, "services", "s", "{'host':'g'}", NULL, NULL), 0);
    assert_string_equal(text_of(f->row, "id"), id);
    assert_same_json(json_object_get(f->row, "port"), "80");
    assert_true(json_integer_value(json_object_get(f->row, "created_at")) > 5);
    apply(f);

    assert_int_equal(replace(f, "services", id, "{'host':'g'}", NULL, NULL), 0);
    assert_same_json(json_object_get(f->row, "name"), "null");
    apply(f);
    assert_null(config_find(f->config, entity_named("services"), STR("s"), NULL, NULL));

    assert_int_equal(replace(f, "services", ID_B, "{'host':'g','id':'" ID_C "'}", NULL, NULL), 0);
    assert_string_equal(text_of(f->row, "id"), ID_B);
    apply(f);
    assert_int_equal(replace(f, "services", "t", "{'host':'g','id':'" ID_B "'}", NULL, NULL),
                     UV_EINVAL);
    assert_violation(f, 3, "primary key violation on key '{id=\"" ID_B "\"}'", "{'id':'" ID_B "'}");
    assert_int_equal(replace(f, "services", "a b", "{'host':'g'}", NULL, NULL), UV_EINVAL);
    assert_violation(f, 10,
                     "invalid value 'a b': the only accepted ascii characters are alphanumerics "
                     "or ., -, _, and ~",
                     NULL);
}

PLANNING(a_patch_needs_its_row)
{
    struct fixture *f = *state;
    assert_int_equal(update(f, "services", "s", "{'port':1}", NULL, NULL), UV_EINVAL);
    assert_violation(f, 6, "could not find the entity with '{name=\"s\"}'", "{'name':'s'}");
    assert_int_equal(update(f, "services", ID_A, "{'port':1}", NULL, NULL), UV_EINVAL);
    assert_violation(f, 6, "could not find the entity with primary key '{id=\"" ID_A "\"}'",
                     "{'id':'" ID_A "'}");
    have(f, "services", "{'id':'" ID_A "','name':'s','host':'h'}");
    assert_int_equal(update(f, "services", "s", "{'port':1,'id':'" ID_B "'}", NULL, NULL), 0);
    assert_string_equal(text_of(f->row, "id"), ID_A);
    assert_same_json(json_object_get(f->row, "port"), "1");
}

PLANNING(removing_what_is_not_there_plans_nothing)
{
    struct fixture *f = *state;
    assert_int_equal(removal(f, "services", "s", NULL, NULL), 0);
    assert_int_equal(removal(f, "services", ID_A, NULL, NULL), 0);
    assert_int_equal(f->change.count, 0);
    assert_int_equal(removal(f, "services", "a b", NULL, NULL), UV_EINVAL);
    assert_int_equal(f->violation.code, VIOLATION_UNIQUE_FIELD_INVALID);
}

PLANNING(a_service_with_routes_stays)
{
    struct fixture *f = *state;
    have(f, "services", "{'id':'" ID_A "','name':'s','host':'h'}");
    have(f, "routes", "{'id':'" ID_B "','paths':['/'],'service':{'id':'" ID_A "'}}");
    assert_int_equal(removal(f, "services", "s", NULL, NULL), UV_EINVAL);
    assert_violation(f, 4, "an existing 'routes' entity references this 'services' entity",
                     "{'@referenced_by':'routes'}");
    assert_int_equal(removal(f, "routes", ID_B, NULL, NULL), 0);
    assert_int_equal(removal(f, "services", "s", NULL, NULL), 0); /* in the same change */
    assert_int_equal(f->change.count, 2);
    apply(f);
    assert_int_equal(config_count(f->config, entity_named("services")), 0);
    assert_int_equal(config_count(f->config, entity_named("routes")), 0);
}

PLANNING(targets_go_with_their_upstream)
{
    struct fixture *f = *state;
    have(f, "upstreams", "{'id':'" ID_A "','name':'u'}");
    have(f, "upstreams", "{'id':'" ID_B "','name':'v'}");
    assert_int_equal(insert(f, "targets", "{'target':'a'}", "upstream", ID_A), 0);
    apply(f);
    assert_int_equal(insert(f, "targets", "{'target':'b'}", "upstream", ID_A), 0);
    apply(f);
    assert_int_equal(insert(f, "targets", "{'target':'a'}", "upstream", ID_B), 0);
    apply(f);
    assert_int_equal(removal(f, "upstreams", "u", NULL, NULL), 0);
    assert_int_equal(f->change.count, 3);
    assert_ptr_equal(f->change.ops[0].entity, entity_named("targets"));
    assert_ptr_equal(f->change.ops[2].entity, entity_named("upstreams"));
    apply(f);
    assert_int_equal(config_count(f->config, entity_named("targets")), 1);
    assert_int_equal(config_count(f->config, entity_named("upstreams")), 1);
}

PLANNING(a_target_is_unique_within_its_upstream)
{
    struct fixture *f = *state;
    have(f, "upstreams", "{'id':'" ID_A "','name':'u'}");
    assert_int_equal(
        insert(f, "targets", "{'target':'10.0.0.1','id':'" ID_C "'}", "upstream", ID_A), 0);
    apply(f);
    assert_int_equal(insert(f, "targets", "{'target':'010.0.0.1:8000'}", "upstream", ID_A),
                     UV_EINVAL);
    assert_violation(f, 5,
                     "UNIQUE violation detected on '{target=\"10.0.0.1:8000\",upstream={id=\"" ID_A
                     "\"}}'",
                     "{'target':'10.0.0.1:8000','upstream':{'id':'" ID_A "'}}");
    assert_int_equal(insert(f, "targets", "{'target':'a'}", "upstream", ID_B), UV_EINVAL);
    assert_int_equal(f->violation.code, VIOLATION_FOREIGN_KEY);
}

PLANNING(putting_a_target_does_not_create_it)
{
    struct fixture *f = *state;
    have(f, "upstreams", "{'id':'" ID_A "','name':'u'}");
    assert_int_equal(replace(f, "targets", ID_C, "{'target':'a'}", "upstream", ID_A), UV_EINVAL);
    assert_violation(f, 6, "could not find the entity with primary key '{id=\"" ID_C "\"}'",
                     "{'id':'" ID_C "'}");
    assert_int_equal(update(f, "targets", "a:80", "{'weight':1}", "upstream", ID_A), UV_EINVAL);
    assert_violation(f, 6, "could not find the entity with '{target=\"a:80\"}'",
                     "{'target':'a:80'}");
    assert_int_equal(removal(f, "targets", "a:80", "upstream", ID_A), UV_ENOENT);

    assert_int_equal(insert(f, "targets", "{'target':'a','id':'" ID_C "'}", "upstream", ID_A), 0);
    apply(f);
    assert_int_equal(replace(f, "targets", "a:8000", "{'weight':7}", "upstream", ID_A), 0);
    assert_string_equal(text_of(f->row, "target"), "a:8000");
    assert_string_equal(text_of(f->row, "id"), ID_C);
    assert_same_json(json_object_get(f->row, "weight"), "7");
    apply(f);
    assert_int_equal(update(f, "targets", ID_C, "{'target':'b'}", "upstream", ID_A), 0);
    apply(f);
    assert_non_null(config_find(f->config, entity_named("targets"), STR("b:8000"), ID_A, NULL));
    assert_null(config_find(f->config, entity_named("targets"), STR("a:8000"), ID_A, NULL));
}

PLANNING(a_change_sees_what_it_has_planned_itself)
{
    struct fixture *f = *state;
    have(f, "routes", "{'id':'" ID_B "','name':'r','paths':['/']}");
    assert_int_equal(replace(f, "services", ID_A, "{'name':'s','host':'h'}", NULL, NULL), 0);
    assert_int_equal(update(f, "routes", "r", "{'service':{'name':'s'}}", NULL, NULL), 0);
    assert_same_json(json_object_get(f->row, "service"), "{'id':'" ID_A "'}");
    assert_int_equal(insert(f, "services", "{'name':'s','host':'h'}", NULL, NULL), UV_EINVAL);
    assert_int_equal(f->violation.code, VIOLATION_UNIQUE);
    violation_deinit(&f->violation);
    assert_int_equal(f->change.count, 2);
    assert_int_equal(update(f, "services", "s", "{'name':'t'}", NULL, NULL), 0);
    assert_int_equal(insert(f, "services", "{'name':'s','host':'h'}", NULL, NULL), 0);
    apply(f);
    assert_int_equal(config_count(f->config, entity_named("services")), 2);
    assert_non_null(config_find(f->config, entity_named("services"), STR("t"), NULL, NULL));
}

PLANNING(a_name_given_up_in_a_change_is_free_in_it)
{
    struct fixture *f = *state;
    have(f, "services", "{'name':'s','host':'h'}");
    assert_int_equal(update(f, "services", "s", "{'name':'t'}", NULL, NULL), 0);
    assert_int_equal(insert(f, "services", "{'name':'s','host':'h'}", NULL, NULL), 0);
    apply(f);
    assert_int_equal(config_count(f->config, entity_named("services")), 2);
    assert_int_equal(removal(f, "services", "s", NULL, NULL), 0);
    assert_int_equal(insert(f, "services", "{'name':'s','host':'h'}", NULL, NULL), 0);
    assert_int_equal(f->change.count, 2);
}

/* A scan per uniqueness check or per list of children would take minutes here under sanitizers. */
PLANNING(many_routes_are_no_burden)
{
    struct fixture *f = *state;
    const int count = 10000;
    have(f, "services", "{'id':'" ID_A "','name':'s','host':'h'}");
    char text[128];
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "{'name':'r%d','paths':['/%d']}", i, i);
        assert_int_equal(insert(f, "routes", text, "service", ID_A), 0);
        apply(f);
    }
    const struct entity *routes = entity_named("routes");
    assert_int_equal(config_count(f->config, routes), count);

    const json_t *rows[1000];
    const char *after = NULL;
    bool more = true;
    int seen = 0;
    while (more) {
        size_t got = config_list(f->config, routes, after, "service", ID_A, rows, 1000, &more);
        for (size_t i = 0; i < got; i++) {
            assert_true(!after || strcmp(after, text_of(rows[i], "id")) < 0);
            after = text_of(rows[i], "id");
        }
        seen += (int)got;
    }
    assert_int_equal(seen, count);
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "r%d", i);
        assert_int_equal(removal(f, "routes", text, NULL, NULL), 0);
        apply(f);
    }
    assert_int_equal(removal(f, "services", "s", NULL, NULL), 0);
}

RUN(P(an_insert_is_there_once_it_is_applied), P(an_invalid_insert_plans_nothing),
    P(names_and_ids_are_taken_once), P(a_foreign_key_is_an_id_or_a_name),
    P(certificates_are_an_entity_that_has_no_rows), P(under_a_parent_the_path_is_the_foreign_key),
    P(put_creates_or_replaces), P(a_patch_needs_its_row),
    P(removing_what_is_not_there_plans_nothing), P(a_service_with_routes_stays),
    P(targets_go_with_their_upstream), P(a_target_is_unique_within_its_upstream),
    P(putting_a_target_does_not_create_it), P(a_change_sees_what_it_has_planned_itself),
    P(a_name_given_up_in_a_change_is_free_in_it), P(many_routes_are_no_burden))
