#include "model/violation.h"

#include "unit/model/rows.h"

static void assert_body(struct violation *violation, int status, const char *wanted)
{
    json_t *body = violation_to_body(violation);
    char *text = json_dumps(body, JSON_COMPACT);
    assert_string_equal(text, wanted);
    assert_int_equal(violation_status(violation), status);
    free(text);
    json_decref(body);
    violation_deinit(violation);
}

TEST(a_lone_error_is_a_violation_and_several_are_counted)
{
    struct violation violation = {0};
    violation_add(&violation, "host", "required field missing");
    assert_body(&violation, 400,
                "{\"code\":2,\"name\":\"schema violation\",\"message\":\"schema violation (host: "
                "required field missing)\",\"fields\":{\"host\":\"required field missing\"}}");

    violation_add(&violation, "port", "expected an integer");
    violation_add(&violation, "host", "required field missing");
    violation_add_entity(&violation, "of all");
    assert_body(&violation, 400,
                "{\"code\":2,\"name\":\"schema violation\",\"message\":\"3 schema violations (of "
                "all; host: required field missing; port: expected an "
                "integer)\",\"fields\":{\"@entity\":[\"of all\"],\"host\":\"required field "
                "missing\",\"port\":\"expected an integer\"}}");
}

TEST(the_first_error_of_a_field_stays_unless_overruled)
{
    struct violation violation = {0};
    violation_add(&violation, "path", "first");
    violation_add(&violation, "path", "second");
    violation_add(&violation, "path.deeper", "third");
    assert_message(&violation, "schema violation (path: first)");

    violation_add(&violation, "path", "first");
    violation_overrule(&violation, "path", "second");
    assert_message(&violation, "schema violation (path: second)");
}

TEST(two_levels_are_flattened_and_deeper_ones_dumped)
{
    struct violation violation = {0};
    violation_add(&violation, "config.minute", "expected a number");
    violation_add(&violation, "healthchecks.active.timeout", "too %s", "long");
    violation_add(&violation, "healthchecks.active.type", "wrong");
    assert_message(&violation,
                   "2 schema violations (config.minute: expected a number; healthchecks.active: {\n"
                   "  timeout = \"too long\",\n  type = \"wrong\"\n})");
}

TEST(elements_are_counted_from_one)
{
    struct violation violation = {0};
    violation_add_tree(&violation, "paths", parse("[null,'bad',null,'worse']"));
    assert_message(&violation, "2 schema violations (paths.2: bad; paths.4: worse)");

    violation_add_tree(&violation, "sources", parse("[{'@entity':['none']}]"));
    assert_message(&violation, "schema violation (sources.1: {\n  [\"@entity\"] = {\n    "
                               "\"none\"\n  }\n})");
}

TEST(dumps_read_like_lua)
{
    static const char *const table[][2] = {
        {"{'name':'x','service':{'id':'1'}}", "{name=\"x\",service={id=\"1\"}}"},
        {"{'b':1,'a':true,'c':null}", "{a=true,b=1,c=null}"},
        {"{'a-b':0.5,'end':1,'1st':2,'_ok1':3}", "{[\"1st\"]=2,_ok1=3,[\"a-b\"]=0.5,[\"end\"]=1}"},
        {"['a',['b']]", "{\"a\",{\"b\"}}"},
        {"[null,'b']", "{[2]=\"b\"}"},
        {"{}", "{}"},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        json_t *value = parse(table[i][0]);
        char *dump = violation_dump(value);
        assert_string_equal(dump, table[i][1]);
        free(dump);
        json_decref(value);
    }
    json_t *value = json_string("say \"hi\" \\");
    char *dump = violation_dump(value);
    assert_string_equal(dump, "\"say \\\"hi\\\" \\\\\"");
    free(dump);
    json_decref(value);
}

TEST(other_codes_carry_their_own_message)
{
    struct violation violation = {0};
    violation_set(&violation, VIOLATION_UNIQUE, parse("{'name':'x'}"),
                  "UNIQUE violation detected on '%s'", "{name=\"x\"}");
    assert_body(&violation, 409,
                "{\"code\":5,\"name\":\"unique constraint violation\",\"message\":\"UNIQUE "
                "violation detected on '{name=\\\"x\\\"}'\",\"fields\":{\"name\":\"x\"}}");

    violation_set(&violation, VIOLATION_NOT_FOUND, NULL, "gone");
    assert_body(&violation, 404, "{\"code\":6,\"name\":\"not found\",\"message\":\"gone\"}");

    violation_set(&violation, VIOLATION_SIZE, NULL, "size must be a number");
    assert_body(&violation, 400,
                "{\"code\":9,\"name\":\"invalid size\",\"message\":\"size must be a number\"}");

    violation_set(&violation, VIOLATION_OPTIONS, parse("{'tags':'cannot be null'}"),
                  "invalid option (tags: cannot be null)");
    assert_body(&violation, 400,
                "{\"code\":11,\"name\":\"invalid options\",\"message\":\"invalid option (tags: "
                "cannot be null)\",\"options\":{\"tags\":\"cannot be null\"}}");

    violation_set(&violation, VIOLATION_UNIQUE_FIELD_INVALID, NULL, "bad");
    violation.what = strdup("name");
    assert_body(&violation, 400,
                "{\"code\":10,\"name\":\"invalid unique name\",\"message\":\"bad\"}");

    violation_set(&violation, VIOLATION_DATABASE, NULL, "secret");
    assert_body(&violation, 500, "{\"message\":\"An unexpected error occurred\"}");
}

TEST(what_is_no_utf8_does_not_silence_a_message)
{
    struct violation violation = {0};
    violation_add(&violation, "name", "invalid value '%s'", "a\xff");
    assert_message(&violation, "schema violation (name: invalid value 'a?')");
}

RUN(T(a_lone_error_is_a_violation_and_several_are_counted),
    T(the_first_error_of_a_field_stays_unless_overruled),
    T(two_levels_are_flattened_and_deeper_ones_dumped), T(elements_are_counted_from_one),
    T(dumps_read_like_lua), T(other_codes_carry_their_own_message),
    T(what_is_no_utf8_does_not_silence_a_message))
