#include "model/declarative.h"

#include <uv.h>

#include "model/yaml_read.h"
#include "unit/model/rows.h"

/* ---- YAML ---- */

static json_t *yaml(const char *text)
{
    json_t *value = NULL;
    struct yaml_places places = {{0}};
    struct error err = {.sentence = ""};
    unsigned line;
    if (yaml_read(text, strlen(text), &value, &places, &line, &err))
        fail_msg("%s: %s", text, err.sentence);
    yaml_places_deinit(&places);
    return value;
}

TEST(scalars_are_what_they_look_like)
{
    static const char *const cases[][2] = {
        {"a: 1", "{'a':1}"},
        {"a: -0x1F", "{'a':-31}"},
        {"a: 017", "{'a':15}"},
        {"a: 0o17", "{'a':15}"},
        {"a: 1.5e1", "{'a':15.0}"},
        {"a: ~", "{'a':null}"},
        {"a:", "{'a':null}"},
        {"a: yes", "{'a':true}"},
        {"a: Off", "{'a':false}"},
        {"a: '1'", "{'a':'1'}"},
        {"a: \"no\"", "{'a':'no'}"},
        {"a: !!str 5", "{'a':'5'}"},
        {"a: 10.0.0.1:80", "{'a':'10.0.0.1:80'}"},
        {"a: 12:30", "{'a':'12:30'}"},
        {"a: 089", "{'a':'089'}"},
        {"a: .", "{'a':'.'}"},
        {"a: 1e", "{'a':'1e'}"},
        {"a: 99999999999999999999", "{'a':1e20}"},
        {"- 1\n- x", "[1,'x']"},
        {"", "null"},
        {"a: &x [1]\nb: *x", "{'a':[1],'b':[1]}"},
        {"{\"a\": {\"b\": [true]}}", "{'a':{'b':[true]}}"},
        {"{a: b}", "{'a':'b'}"},
        {"a: &x {k: 1, m: 2}\nb: {<<: *x, k: 3}", "{'a':{'k':1,'m':2},'b':{'k':3,'m':2}}"},
        {"x: [&a {p: 1}, &b {q: 2}]\ny: {<<: [*a, *b]}",
         "{'x':[{'p':1},{'q':2}],'y':{'p':1,'q':2}}"},
        {"{\"a\": \"\\ud83d\\ude00\"}", "{'a':'\xf0\x9f\x98\x80'}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *value = yaml(cases[i][0]);
        assert_same_json(value, cases[i][1]);
        json_decref(value);
    }
}

TEST(what_cannot_be_read_says_where)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *words;
    } cases[] = {
        {"a: 1\na: 2", 2, "\"a\" is there twice"},
        {"a: 1\nb: [", 3, "expected"},
        {"a: *b", 1, "names no anchor"},
        {"a: &a {b: *a}", 1, "within what it stands for"},
        {"? [a]\n: b", 1, "a key must be text"},
        {"a: 1\n---\nb: 2", 2, "one document"},
        {"a: \"\\0\"", 1, "NUL"},
        {"<<: 5", 1, "<< takes a mapping"},
        {"{\"a\":1,\n\"a\":2}", 2, "duplicate"},
        {"a: \xff", 1, "UTF-8"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *value = NULL;
        struct yaml_places places = {{0}};
        struct error err = {.sentence = ""};
        unsigned line;
        int rc = yaml_read(cases[i].text, strlen(cases[i].text), &value, &places, &line, &err);
        if (rc != UV_EINVAL || line != cases[i].line || !strstr(err.sentence, cases[i].words))
            fail_msg("%s: %d, line %u, %s", cases[i].text, rc, line, err.sentence);
        yaml_places_deinit(&places);
    }
}

TEST(keys_know_their_lines)
{
    static const char text[] = "a: 1\nb:\n- c: 1\n  d: 2\n";
    json_t *value = NULL;
    struct yaml_places places = {{0}};
    struct error err;
    unsigned line;
    assert_int_equal(yaml_read(text, strlen(text), &value, &places, &line, &err), 0);
    const json_t *inner = json_array_get(json_object_get(value, "b"), 0);
    assert_int_equal(yaml_line(&places, value, "b"), 2);
    assert_int_equal(yaml_line(&places, inner, "d"), 4);
    assert_int_equal(yaml_line(&places, inner, NULL), 3);
    assert_int_equal(yaml_line(&places, inner, "e"), 0);
    json_decref(value);
    yaml_places_deinit(&places);
}

TEST(what_is_written_is_read_again)
{
    static const char *const cases[] = {
        "{'a':'1','b':'no','c':'','d':' x','e':'a\\nb\\n','f':'\\n','g':'# x','h':'<<'}",
        "{'a':[],'b':{},'c':[{}],'d':[[1,2.5],[true,null]],'e':'=','f':'0x1f','g':'a: b'}",
        "{'key with space':'\xc3\xa4','-':'- x','?':'12:30','x':'a\\tb','y':'\\u0007','z':'1.0'}",
        "{'a':'-----BEGIN-----\\nabc\\n-----END-----\\n','b':'trail "
        "\\nspace','c':'\xf0\x9f\x98\x80'}",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *value = parse(cases[i]);
        char *text = declarative_to_yaml(value);
        json_t *again = yaml(text);
        if (!json_equal(value, again))
            fail_msg("%s became %s", cases[i], text);
        json_decref(again);
        json_decref(value);
        free(text);
    }
}

/* ---- files ---- */

static struct config *empty(void)
{
    struct config *config = NULL;
    assert_int_equal(config_create(&config), 0);
    return config;
}

/* Takes the file in; what is wrong with it goes to `problems`. */
static int take(struct config *config, const char *text, bool is_all,
                struct declarative_counts *counts, struct declarative_problems *problems)
{
    struct declarative *file = NULL;
    struct config_change change = {0};
    int rc = declarative_read(text, strlen(text), &file, problems);
    if (rc == 0)
        rc = declarative_plan(file, config, is_all, &change, counts, problems);
    if (rc == 0)
        config_apply(config, &change);
    config_change_deinit(&change);
    declarative_destroy(file);
    return rc;
}

static void must_take(struct config *config, const char *text, bool is_all, size_t created,
                      size_t changed, size_t removed, size_t unchanged)
{
    struct declarative_counts counts;
    struct declarative_problems problems = {0};
    if (take(config, text, is_all, &counts, &problems))
        fail_msg("%s", problems.count ? problems.list[0].sentence : "no memory");
    assert_int_equal(counts.created, created);
    assert_int_equal(counts.changed, changed);
    assert_int_equal(counts.removed, removed);
    assert_int_equal(counts.unchanged, unchanged);
}

static const char *id_of(const struct config *config, const char *kind, const char *key)
{
    const json_t *row = config_find(config, entity_named(kind), str_of(key), NULL, NULL);
    return row ? json_string_value(json_object_get(row, "id")) : "none";
}

#define V3 "_format_version: '3.0'\n"

TEST(ids_follow_from_names)
{
    char id[37];
    /* uuid.uuid5(uuid.uuid5(uuid.UUID("fd02801f-…"), "services"), "orders") of Python */
    declarative_make_id("services", "orders", id);
    assert_string_equal(id, "580c8aca-d632-5804-b307-a24326e1e2d5");

    struct config *config = empty();
    must_take(config,
              V3 "services: [{name: orders, host: h, routes: [{paths: [/a]}, {paths: [/a]}]}]",
              true, 3, 0, 0, 0);
    assert_string_equal(id_of(config, "services", "orders"), id);
    must_take(config,
              V3 "services: [{name: orders, host: h, routes: [{paths: [/a]}, {paths: [/a]}]}]",
              true, 0, 0, 0, 3);
    config_destroy(config);
}

TEST(a_row_of_that_name_keeps_its_id_and_what_was_made_for_it)
{
    struct config *config = empty();
    const char *id = "aaaaaaaa-0000-4000-8000-000000000001";
    assert_int_equal(config_load(config, "consumers", id,
                                 "{\"username\":\"ann\",\"created_at\":5,\"updated_at\":5}"),
                     0);
    assert_int_equal(config_load(config, "keyauth_credentials",
                                 "aaaaaaaa-0000-4000-8000-000000000002",
                                 "{\"key\":\"k\",\"created_at\":7,\"consumer\":{\"id\":"
                                 "\"aaaaaaaa-0000-4000-8000-000000000001\"}}"),
                     0);
    must_take(config, V3 "consumers: [{username: ann, keyauth_credentials: [{key: k}]}]", false, 0,
              0, 0, 2);
    must_take(config, V3 "consumers: [{username: ann, custom_id: c}]", false, 0, 1, 0, 1);
    const json_t *row = config_get(config, entity_named("consumers"), str_of(id));
    assert_int_equal(json_integer_value(json_object_get(row, "created_at")), 5);
    /* A made key stays, too. */
    must_take(config, V3 "consumers: [{username: bob, jwt_secrets: [{tags: [t]}]}]", false, 2, 0, 0,
              2);
    must_take(config, V3 "consumers: [{username: bob, jwt_secrets: [{tags: [t]}]}]", false, 0, 0, 0,
              4);
    config_destroy(config);
}

TEST(what_is_not_in_the_file_stays_or_goes)
{
    struct config *config = empty();
    must_take(config,
              V3 "services: [{name: a, host: h}, {name: b, host: h, routes: [{name: r, paths: "
                 "[/]}]}]",
              true, 3, 0, 0, 0);
    must_take(config, V3 "services: [{name: c, host: h}]", false, 1, 0, 0, 3);
    must_take(config, V3 "services: [{name: a, host: other}]", true, 0, 1, 3, 0);
    must_take(config, V3, true, 0, 0, 1, 0);
    config_destroy(config);
}

TEST(entities_nest_and_refer)
{
    struct config *config = empty();
    must_take(config,
              V3 "_comment: x\n_ignore: [y]\n_transform: true\n"
                 "_info: {select_tags: [team]}\n_workspace: default\n"
                 "_plugin_configs: {c: {minute: 5, policy: local}}\n"
                 "services:\n"
                 "- name: s\n  _comment: y\n  _ignore: [z]\n  url: http://h:8000/p\n"
                 "  routes:\n  - name: r\n    paths: [/a]\n    plugins: [{name: key-auth}]\n"
                 "  plugins: [{name: rate-limiting, _config: c, config: {minute: 6}}]\n"
                 "routes:\n"
                 "- {name: r2, paths: [/b], service: s}\n"
                 "- {name: r3, paths: [/c], service: {name: s}}\n"
                 "plugins:\n- {name: acl, route: r2, config: {allow: [x]}}\n"
                 "upstreams: [{name: u.x, targets: [{target: 10.0.0.1}, {target: '10.0.0.2:1'}]}]\n"
                 "key_sets: [{name: ks}]\n"
                 "consumers: [{username: c, acls: [{group: g}], basicauth_credentials: "
                 "[{username: x, password: p}]}]\n",
              true, 14, 0, 0, 0);
    const json_t *service = config_find(config, entity_named("services"), STR("s"), NULL, NULL);
    const json_t *route = config_find(config, entity_named("routes"), STR("r2"), NULL, NULL);
    assert_same_json(json_object_get(service, "tags"), "['team']");
    assert_int_equal(json_integer_value(json_object_get(service, "port")), 8000);
    assert_string_equal(json_string_value(json_object_get(json_object_get(route, "service"), "id")),
                        json_string_value(json_object_get(service, "id")));
    config_destroy(config);
}

TEST(secrets_are_taken_as_they_are_stored_where_the_file_says_so)
{
    struct config *config = empty();
    must_take(config,
              V3 "consumers: [{username: c, basicauth_credentials: [{username: x, password: "
                 "p}]}]",
              true, 2, 0, 0, 0);
    json_t *file = declarative_export(config);
    assert_true(json_is_false(json_object_get(file, "_transform")));
    char *text = declarative_to_yaml(file);
    must_take(config, text, true, 0, 0, 0, 2);
    struct config *other = empty();
    must_take(other, text, true, 2, 0, 0, 0);
    must_take(other,
              V3 "consumers: [{username: c, basicauth_credentials: [{username: x, password: "
                 "p}]}]",
              true, 0, 0, 0, 2);
    free(text);
    json_decref(file);
    config_destroy(other);
    config_destroy(config);
}

TEST(a_certificate_s_names_are_its_own_or_stand_by_themselves)
{
    struct config *config = empty();
    assert_int_equal(config_load(config, "certificates", "aaaaaaaa-0000-4000-8000-000000000001",
                                 "{\"cert\":\"x\",\"key\":\"y\"}"),
                     0);
    must_take(config,
              V3 "snis: [{name: a.com, certificate: aaaaaaaa-0000-4000-8000-000000000001}, "
                 "{name: b.com, certificate: {id: aaaaaaaa-0000-4000-8000-000000000001}}]",
              false, 2, 0, 0, 1);
    json_t *file = declarative_export(config);
    const json_t *certificate = json_array_get(json_object_get(file, "certificates"), 0);
    assert_int_equal(json_array_size(json_object_get(certificate, "snis")), 2);
    json_decref(file);
    config_destroy(config);
}

TEST(orders_by_hand_are_kept)
{
    struct config *config = empty();
    const char *file = V3 "upstreams: [{name: u.x, targets: [{target: '10.0.0.1:1'}]}]";
    must_take(config, file, true, 2, 0, 0, 0);
    char *order = NULL;
    assert_true(asprintf(&order,
                         "{\"key\":\"k\",\"upstream\":{\"id\":\"%s\"},\"healthy\":false,"
                         "\"stands\":true,\"created_at\":1,\"updated_at\":1,"
                         "\"token\":\"aaaaaaaa-0000-4000-8000-000000000009\"}",
                         id_of(config, "upstreams", "u.x")) > 0);
    assert_int_equal(
        config_load(config, "health_orders", "aaaaaaaa-0000-4000-8000-000000000003", order), 0);
    free(order);
    must_take(config, file, true, 0, 0, 0, 3);
    json_t *exported = declarative_export(config);
    char *text = declarative_to_yaml(exported);
    struct config *other = empty();
    must_take(other, text, true, 3, 0, 0, 0);
    must_take(config, V3, true, 0, 0, 3, 0); /* it goes with what it is about */
    free(text);
    json_decref(exported);
    config_destroy(other);
    config_destroy(config);
}

TEST(problems_name_their_entity_and_line)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *where, *sentence;
    } cases[] = {
        {"[]", 1, NULL, "is not an object with lists of entities"},
        {"services: []", 1, NULL, "_format_version: required field missing"},
        {V3 "_transform: 5", 2, NULL, "_transform: expected a boolean"},
        {V3 "_info: {defaults: {service: {}}}", 2, NULL,
         "defaults: is for decK to carry out: run the file through `deck file render`"},
        {V3 "nodes: []", 2, NULL, "nodes: unknown field"},
        {V3 "health_orders: []", 2, NULL, "health_orders: unknown field"},
        {V3 "services: 5", 2, NULL, "services: expected an array"},
        {V3 "services: [5]", 2, NULL, "services: expected records"},
        {V3 "services:\n- name: a\n", 3, "services \"a\"", "host: required field missing"},
        {V3 "services:\n- name: a\n  host: h\n  port: x\n", 5, "services \"a\"",
         "port: expected an integer"},
        {V3 "upstreams:\n- name: a\n  healthchecks:\n    active:\n      timeout: -1\n", 5,
         "upstreams \"a\"", NULL},
        {V3 "services:\n- name: a\n  host: h\n  routes:\n  - paths: [/]\n    service: a\n", 7,
         "routes #1", "service: follows from where the entity stands"},
        {V3 "services:\n- {name: a, host: h, id: x}\n", 3, "services \"a\"",
         "id: expected a valid UUID"},
        {V3 "services:\n- {host: h, id: aaaaaaaa-0000-4000-8000-000000000001}\n"
            "- {host: h, id: AAAAAAAA-0000-4000-8000-000000000001}\n",
         4, "services \"AAAAAAAA-0000-4000-8000-000000000001\"",
         "id: uniqueness violation: 'services' entity with primary key set to "
         "'AAAAAAAA-0000-4000-8000-000000000001' already declared"},
        {V3 "plugins:\n- name: key-auth\n  consumer: {username: x}\n", 4, "plugins \"key-auth\"",
         "consumer: invalid reference '{username=\"x\"}' (no such entry in 'consumers')"},
        {V3 "plugins:\n- name: key-auth\n  _config: x\n", 4, "plugins \"key-auth\"",
         "_config: names none of _plugin_configs"},
    };
    struct config *config = empty();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct declarative_counts counts;
        struct declarative_problems problems = {0};
        assert_int_equal(take(config, cases[i].text, true, &counts, &problems), UV_EINVAL);
        const struct declarative_problem *first = &problems.list[0];
        bool is_right = problems.count == 1 && first->line == cases[i].line;
        is_right &= !cases[i].where == !first->where;
        is_right &= !cases[i].where || strcmp(first->where, cases[i].where) == 0;
        is_right &= !cases[i].sentence || strcmp(first->sentence, cases[i].sentence) == 0;
        if (!is_right)
            fail_msg("%s: %zu, line %u, %s: %s", cases[i].text, problems.count, first->line,
                     first->where ? first->where : "-", first->sentence);
        declarative_problems_deinit(&problems);
    }
    assert_int_equal(config_count(config, entity_named("services")), 0);
    config_destroy(config);
}

RUN(T(scalars_are_what_they_look_like), T(what_cannot_be_read_says_where), T(keys_know_their_lines),
    T(what_is_written_is_read_again), T(ids_follow_from_names),
    T(a_row_of_that_name_keeps_its_id_and_what_was_made_for_it),
    T(what_is_not_in_the_file_stays_or_goes), T(entities_nest_and_refer),
    T(secrets_are_taken_as_they_are_stored_where_the_file_says_so),
    T(a_certificate_s_names_are_its_own_or_stand_by_themselves), T(orders_by_hand_are_kept),
    T(problems_name_their_entity_and_line))
