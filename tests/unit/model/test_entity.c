#include "model/entity.h"

#include "unit/model/rows.h"

TEST(entities_are_found_by_name)
{
    assert_string_equal(entity_find(STR("routes"))->path, "routes");
    assert_null(entity_find(STR("route")));
    assert_null(entity_find(STR("targets"))->path);
    assert_int_equal(entity_field(entity_named("services"), STR("port"))->type, FIELD_INTEGER);
    assert_null(entity_field(entity_named("services"), STR("url")));
}

TEST(uuids_are_hexadecimal_with_dashes_in_place)
{
    assert_true(entity_is_uuid(STR("4e13f54a-bbf1-47a8-8777-255fed7116f2")));
    assert_true(entity_is_uuid(STR("4E13F54A-BBF1-07A8-0777-255FED7116F2")));
    assert_false(entity_is_uuid(STR("4e13f54a-bbf1-47a8-8777-255fed7116f")));
    assert_false(entity_is_uuid(STR("4e13f54abbf1-47a8-8777-255fed7116f2-")));
    assert_false(entity_is_uuid(STR("4e13f54g-bbf1-47a8-8777-255fed7116f2")));
}

TEST(keys_are_checked_like_their_field)
{
    char message[256] = "";
    assert_true(entity_check_key(entity_named("services"), STR("a~b"), message, sizeof(message)));
    assert_false(entity_check_key(entity_named("services"), STR("a b"), message, sizeof(message)));
    assert_string_equal(message, "invalid value 'a b': the only accepted ascii characters are "
                                 "alphanumerics or ., -, _, and ~");
    assert_false(
        entity_check_key(entity_named("services"), STR("a\xff"), message, sizeof(message)));
    assert_string_equal(message, "invalid utf-8 character sequence detected at position 2");
}

struct coercion {
    const char *entity;
    const char *form; /* all strings */
    const char *wanted;
};

TEST(forms_become_what_the_schema_says)
{
    static const struct coercion cases[] = {
        {"services", "{'port':'80','retries':'0x10','name':'5','enabled':'true'}",
         "{'port':80,'retries':16,'name':'5','enabled':true}"},
        {"services", "{'port':'eighty','retries':'5 ','enabled':'True','read_timeout':'1e3'}",
         "{'port':'eighty','retries':5,'enabled':'True','read_timeout':1000}"},
        {"services", "{'port':'nan','retries':'inf','write_timeout':'1.5','connect_timeout':'5x'}",
         "{'port':'nan','retries':'inf','write_timeout':1.5,'connect_timeout':'5x'}"},
        {"services", "{'tags':'a,b','path':'','url':'','nonsense':''}",
         "{'tags':['a,b'],'path':null,'url':null,'nonsense':null}"},
        {"services", "{'url':'http://h','nonsense':'5','client_certificate':{'id':''}}",
         "{'url':'http://h','nonsense':'5','client_certificate':{'id':null}}"},
        {"routes", "{'methods':'GET','paths':['/a','/b'],'headers':{'x':'1'},'hosts':['']}",
         "{'methods':['GET'],'paths':['/a','/b'],'headers':{'x':['1']},'hosts':[null]}"},
        {"routes", "{'sources':{'ip':'::1','port':'80'},'strip_path':'false'}",
         "{'sources':[{'ip':'::1','port':80}],'strip_path':false}"},
        {"upstreams",
         "{'healthchecks':{'active':{'timeout':'0.5','unhealthy':{'http_statuses':'500'}}},"
         "'discovery':{'port':'80','passing_only':'true','tags':'v2'}}",
         "{'healthchecks':{'active':{'timeout':0.5,'unhealthy':{'http_statuses':[500]}}},"
         "'discovery':{'port':80,'passing_only':true,'tags':['v2']}}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *input = parse(cases[i].form);
        entity_coerce(entity_named(cases[i].entity), input, NULL);
        assert_same_json(input, cases[i].wanted);
        json_decref(input);
    }
}

TEST(a_nul_in_a_text_is_refused)
{
    struct violation violation = {0};
    json_t *input = parse("{'host':'h'}");
    json_object_set_new(input, "name", json_stringn_nocheck("a\0b", 3));
    assert_null(make_row("services", input, ENTITY_INSERT, NULL, &violation));
    assert_message(&violation, "schema violation (name: invalid value: a)");
}

TEST(a_stored_row_gets_the_fields_that_are_younger_than_it)
{
    json_t *stored = parse("{'id':'4e13f54a-bbf1-47a8-8777-255fed7116f2','name':'u'}");
    json_t *row = entity_complete_row(entity_named("upstreams"), stored);
    assert_same_json(json_object_get(row, "slots"), "10000");
    assert_same_json(json_object_get(row, "discovery"), "null");
    json_decref(row);
    json_decref(stored);
}

TEST(long_values_do_not_overflow_messages)
{
    char *name = malloc(200001);
    memset(name, ' ', 200000);
    name[200000] = '\0';
    struct violation violation = {0};
    json_t *input = json_pack("{ssss}", "host", "h", "name", name);
    assert_null(make_row("services", input, ENTITY_INSERT, NULL, &violation));
    const char *message = json_string_value(json_object_get(violation.fields, "name"));
    assert_true(strlen(message) > 200000);
    violation_deinit(&violation);
    free(name);
}

RUN(T(entities_are_found_by_name), T(uuids_are_hexadecimal_with_dashes_in_place),
    T(keys_are_checked_like_their_field), T(forms_become_what_the_schema_says),
    T(a_nul_in_a_text_is_refused), T(a_stored_row_gets_the_fields_that_are_younger_than_it),
    T(long_values_do_not_overflow_messages))
