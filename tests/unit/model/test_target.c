#include "unit/model/rows.h"

#define UPSTREAM "'upstream':{'id':'4e13f54a-bbf1-47a8-8777-255fed7116f2'}"

TEST(a_target_has_every_field_and_milliseconds)
{
    struct violation violation = {0};
    json_t *row = make_row("targets",
                           parse("{" UPSTREAM ",'target':'10.0.0.1','id':'4e13f54a-bbf1-47a8-8777-"
                                 "255fed7116f3','created_at':1731000000.123}"),
                           ENTITY_INSERT, NULL, &violation);
    assert_true(json_is_number(json_object_get(row, "updated_at")));
    json_object_set_new(row, "updated_at", json_real(1731000000.999));
    json_t *body = entity_to_body(entity_named("targets"), row);
    char *text = json_dumps(body, ENTITY_DUMP_FLAGS);
    assert_string_equal(
        text, "{\"id\":\"4e13f54a-bbf1-47a8-8777-255fed7116f3\",\"upstream\":{\"id\":\"4e13f54a-"
              "bbf1-47a8-8777-255fed7116f2\"},\"target\":\"10.0.0.1:8000\",\"weight\":100,\"tags\":"
              "null,\"created_at\":1731000000.123,\"updated_at\":1731000000.999}");
    free(text);
    json_decref(body);
    json_decref(row);
}

TEST(each_field_has_its_limits)
{
    static const struct refusal refusals[] = {
        {"{}", NULL},
        {"{'upstream':null}", "upstream: required field missing"},
        {"{'upstream':{'id':'x'}}", "upstream.id: expected a valid UUID"},
        {"{'target':null}", "target: required field missing"},
        {"{'target':'a b'}", "target: Invalid target ('a b'); not a valid hostname or ip address"},
        {"{'target':'10.0.0.1:99999'}",
         "target: Invalid target ('10.0.0.1:99999'); not a valid hostname or ip address"},
        {"{'target':''}", "target: length must be at least 1"},
        {"{'target':5}", "target: expected a string"},
        {"{'weight':0}", NULL},
        {"{'weight':65536}", "weight: value should be between 0 and 65535"},
        {"{'weight':null}", NULL},
        {"{'tags':['/']}", "tags.1: invalid tag '/': expected printable ascii (except `,` and `/`) "
                           "or valid utf-8 sequences"},
        {"{'created_at':1.5}", NULL},
        {"{'created_at':-1}", "created_at: expected a valid timestamp"},
        {"{'port':80}", "port: unknown field"},
    };
    assert_refusals("targets", "{" UPSTREAM ",'target':'a'}", NULL, refusals, COUNT_OF(refusals));
}

TEST(one_target_has_one_text)
{
    static const char *const cases[][2] = {
        {"a.example", "a.example:8000"},
        {"A.example:80", "A.example:80"},
        {"010.001.0.1", "10.1.0.1:8000"},
        {"::1", "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"},
        {"[FE80::1]:80", "[fe80:0000:0000:0000:0000:0000:0000:0001]:80"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct violation violation = {0};
        json_t *input = parse("{" UPSTREAM "}");
        json_object_set_new(input, "target", json_string(cases[i][0]));
        json_t *row = make_row("targets", input, ENTITY_INSERT, NULL, &violation);
        assert_string_equal(json_string_value(json_object_get(row, "target")), cases[i][1]);
        json_decref(row);
    }
}

RUN(T(a_target_has_every_field_and_milliseconds), T(each_field_has_its_limits),
    T(one_target_has_one_text))
