#include "unit/model/rows.h"

#include "model/entity_rules.h"

static const char *const ab[] = {"a", "b", NULL};
static const char *const nested[] = {"in.a", "in.b", NULL};

/* What the rule says of an object, as JSON; NULL: nothing. Owned. */
static char *said(struct entity_rule rule, const char *object, enum entity_operation operation)
{
    const struct entity_rule rules[] = {rule, {.kind = RULE_END}};
    json_t *given = parse(object);
    json_t *errors = NULL;
    rules_check(rules, given, operation, &errors);
    char *text = errors ? json_dumps(errors, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(errors);
    json_decref(given);
    return text;
}

static void expect_on(struct entity_rule rule, const char *object, enum entity_operation operation,
                      const char *wanted)
{
    char *text = said(rule, object, operation);
    if (wanted) {
        assert_non_null(text);
        assert_string_equal(text, wanted);
    } else {
        assert_null(text);
    }
    free(text);
}

static void expect(struct entity_rule rule, const char *object, const char *wanted)
{
    expect_on(rule, object, ENTITY_INSERT, wanted);
}

TEST(one_at_least_must_be_there_and_not_empty)
{
    const struct entity_rule rule = {.kind = RULE_AT_LEAST_ONE, .fields = ab};
    const char *words =
        "{\"@entity\":[\"at least one of these fields must be non-empty: 'a', 'b'\"]}";
    expect(rule, "{'a':1}", NULL);
    expect(rule, "{'b':false}", NULL);
    expect(rule, "{'a':null,'b':[]}", words);
    expect(rule, "{'a':'','b':{}}", words);
    expect_on(rule, "{}", ENTITY_UPDATE,
              "{\"@entity\":[\"when updating, at least one of these fields must be non-empty: 'a', "
              "'b'\"]}");
}

TEST(fields_are_found_in_records)
{
    const struct entity_rule rule = {.kind = RULE_EXACTLY_ONE, .fields = nested};
    const char *words =
        "{\"@entity\":[\"exactly one of these fields must be non-empty: 'in.a', 'in.b'\"]}";
    expect(rule, "{'in':{'a':1}}", NULL);
    expect(rule, "{'in':{'a':1,'b':2}}", words);
    expect(rule, "{'in':null}", words);
    expect(rule, "{'in':7}", words);
}

TEST(some_go_together_and_some_dont)
{
    const struct entity_rule together = {.kind = RULE_ALL_OR_NONE, .fields = ab};
    expect(together, "{}", NULL);
    expect(together, "{'a':1,'b':1}", NULL);
    expect(together, "{'b':1}",
           "{\"@entity\":[\"all or none of these fields must be set: 'a', 'b'\"]}");
    const struct entity_rule apart = {.kind = RULE_AT_MOST_ONE, .fields = ab};
    expect(apart, "{}", NULL);
    expect(apart, "{'a':1,'b':1}",
           "{\"@entity\":[\"only one or none of these fields must be set: 'a', 'b'\"]}");
    const struct entity_rule distinct = {.kind = RULE_DISTINCT, .fields = ab};
    expect(distinct, "{'a':'x','b':'y'}", NULL);
    expect(distinct, "{'a':null,'b':null}", NULL);
    expect(distinct, "{'a':'x','b':'x'}",
           "{\"@entity\":[\"values of these fields must be distinct: 'a', 'b'\"]}");
}

#define FAILED "\"@entity\":[\"failed conditional validation given value of field 'a'\"]"

TEST(a_condition_names_the_field_that_depends)
{
    struct entity_rule rule = {.kind = RULE_CONDITIONAL,
                               .if_field = "a",
                               .if_match = {.eq = "\"x\""},
                               .then_field = "in.b",
                               .then_match = {.required = true}};
    expect(rule, "{'a':'y'}", NULL);
    expect(rule, "{'a':'x','in':{'b':1}}", NULL);
    expect(rule, "{'a':'x','in':{'b':null}}",
           "{" FAILED ",\"in\":{\"b\":\"required field missing\"}}");
    rule.then_match = (struct rule_match){.eq = "null"};
    expect(rule, "{'a':'x','in':{'b':1}}", "{" FAILED ",\"in\":{\"b\":\"value must be null\"}}");
    rule.then_match = (struct rule_match){.contains = "exp"};
    expect(rule, "{'a':'x','in':{'b':['exp']}}", NULL);
    expect(rule, "{'a':'x','in':{'b':['nbf']}}",
           "{" FAILED ",\"in\":{\"b\":\"expected to contain: exp\"}}");
    rule.if_match = (struct rule_match){.has_more_than = true, .more_than = 0};
    expect(rule, "{'a':0}", NULL);
    expect(rule, "{'a':1,'in':{'b':null}}",
           "{" FAILED ",\"in\":{\"b\":\"expected to contain: exp\"}}");
    rule.if_match = (struct rule_match){.one_of = ab};
    rule.sentence = "so it is";
    expect(rule, "{'a':null}", NULL);
    expect(rule, "{'a':'b','in':{'b':[]}}",
           "{\"@entity\":[\"so it is\"],\"in\":{\"b\":\"expected to contain: exp\"}}");
}

TEST(a_field_that_is_wrong_by_itself_is_not_judged_again)
{
    const struct entity_rule rules[] = {{.kind = RULE_EXACTLY_ONE, .fields = ab},
                                        {.kind = RULE_END}};
    json_t *object = parse("{'a':1,'b':2}");
    json_t *errors = parse("{'a':'expected a string'}");
    rules_check(rules, object, ENTITY_INSERT, &errors);
    assert_null(json_object_get(errors, "@entity"));
    json_decref(errors);
    json_decref(object);
}

/* ---- older names ---- */

TEST(an_older_name_is_taken_and_repeated)
{
    struct violation violation = {0};
    json_t *row = make_row("plugins",
                           parse("{'name':'rate-limiting','config':{'minute':1,'redis_host':'h',"
                                 "'redis_port':null}}"),
                           ENTITY_INSERT, NULL, &violation);
    const json_t *config = json_object_get(row, "config");
    assert_null(json_object_get(config, "redis_host"));
    assert_string_equal(json_string_value(rules_value(config, "redis.host")), "h");
    assert_true(json_is_null(rules_value(config, "redis.port")));
    json_t *body = entity_to_body(entity_named("plugins"), row);
    assert_string_equal(json_string_value(rules_value(body, "config.redis_host")), "h");
    json_decref(body);
    json_decref(row);
}

TEST(an_older_name_may_not_contradict_the_newer_one)
{
    struct violation violation = {0};
    json_t *input = parse("{'name':'rate-limiting','config':{'minute':1,'redis_port':1,'redis':"
                          "{'port':2}}}");
    json_t *row = NULL;
    assert_int_not_equal(entity_make_row(entity_named("plugins"), input, ENTITY_INSERT, NULL, NULL,
                                         &row, &violation),
                         0);
    const json_t *config = json_object_get(violation.fields, "config");
    assert_string_equal(json_string_value(json_object_get(config, "redis_port")),
                        "both deprecated and new field are used but their values mismatch: "
                        "redis_port = 1 vs redis.port = 2");
    violation_deinit(&violation);
    json_decref(input);
}

RUN(T(one_at_least_must_be_there_and_not_empty), T(fields_are_found_in_records),
    T(some_go_together_and_some_dont), T(a_condition_names_the_field_that_depends),
    T(a_field_that_is_wrong_by_itself_is_not_judged_again), T(an_older_name_is_taken_and_repeated),
    T(an_older_name_may_not_contradict_the_newer_one))
