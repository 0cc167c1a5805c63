#include "model/packed_row.h"

#include "model/config.h"
#include "unit/model/rows.h"

#define ID "00000000-0000-4000-8000-00000000000a"

static struct packed_row *packed(const char *entity, const json_t *row)
{
    struct packed_row *made = packed_row_create(row_layout_of(entity_named(entity)), row);
    assert_non_null(made);
    return made;
}

/* What is unpacked is what was packed, byte by byte where the fields are in schema order. Takes
 * the row over. */
static void assert_kept(const char *entity, json_t *row)
{
    struct packed_row *made = packed(entity, row);
    json_t *whole = packed_row_unpack(made);
    char *before = json_dumps(row, JSON_COMPACT), *after = json_dumps(whole, JSON_COMPACT);
    const char *name;
    json_t *value;
    assert_string_equal(after, before);
    json_object_foreach(row, name, value)
    {
        json_t *own = packed_row_get(made, name);
        assert_true(json_equal(own, value));
        json_decref(own);
    }
    assert_null(packed_row_get(made, "no such field"));
    free(before);
    free(after);
    json_decref(whole);
    packed_row_unref(made);
    json_decref(row);
}

TEST(rows_of_all_kinds_are_kept_as_they_are)
{
    static const struct {
        const char *entity, *input;
    } rows[] = {
        {"services", "{'name':'one','host':'h'}"},
        {"services", "{'name':null,'host':'h','port':8443,'retries':null,'protocol':'https',"
                     "'path':'/x','enabled':false,'tags':['a','b'],'tls_verify':true}"},
        {"routes", "{'name':'r','paths':['/a','~/b$'],'methods':['GET'],"
                   "'headers':{'x-one':['a','b'],'x-two':['c']},"
                   "'service':{'id':'00000000-0000-4000-8000-0000000000ff'}}"},
        {"routes", "{'protocols':['tcp'],'sources':[{'ip':'10.0.0.0/8'},{'port':9}]}"},
        {"upstreams", "{'name':'u','hash_on':'header','hash_on_header':'x',"
                      "'healthchecks':{'active':{'healthy':{'interval':0.5,'successes':2},"
                      "'headers':{'a':['b']}},'threshold':12.25}}"},
        {"consumers", "{'username':'someone','custom_id':''}"},
        {"plugins", "{'name':'cors','config':{'origins':['*'],'max_age':5}}"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct violation violation = {0};
        json_t *row =
            make_row(rows[i].entity, parse(rows[i].input), ENTITY_INSERT, NULL, &violation);
        violation_deinit(&violation);
        if (row)
            assert_kept(rows[i].entity, row);
    }
}

static const char *const values[] = {
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "63",
    "64",
    "-64",
    "-65",
    "9223372036854775807",
    "-9223372036854775808",
    "0.0",
    "-0.0",
    "1e308",
    "0.1",
    "''",
    "'text'",
    "'" ID "'",
    "'00000000-0000-4000-8000-00000000000A'", /* no id of ours: its case is to stay */
    "'00000000-0000-4000-8000_00000000000a'",
    "'http'",
    "80",
    "60000",
    "[]",
    "[[],[1,[2]],{}]",
    "{}",
    "{'id':'" ID "'}",
    "{'id':'x'}",
    "{'name':'n','id':'" ID "'}",
    "{'a':{'b':{'c':[null,true]}},'':1}",
};

TEST(any_value_of_any_field_is_kept_and_absent_is_not_null)
{
    const struct field *field = entity_named("upstreams")->fields;
    for (; field->name; field++) {
        for (size_t i = 0; strcmp(field->name, "id") != 0 && i < COUNT_OF(values); i++) {
            json_t *row = parse("{'id':'" ID "'}");
            json_object_set_new(row, field->name, parse(values[i]));
            assert_kept("upstreams", row);
        }
    }
    assert_kept("upstreams", parse("{'id':'" ID "'}"));
    assert_kept("upstreams", parse("{'id':'no uuid'}"));
}

TEST(a_default_is_kept_apart_from_null_and_from_what_is_absent)
{
    for (const struct field *field = entity_named("services")->fields; field->name; field++) {
        if (!field->default_json)
            continue;
        json_t *row = parse("{'id':'" ID "'}");
        json_object_set_new(row, field->name,
                            json_loads(field->default_json, JSON_DECODE_ANY, NULL));
        assert_kept("services", row);
    }
}

TEST(what_is_no_field_is_kept_behind_the_fields)
{
    assert_kept("services", parse("{'id':'" ID "','name':'n','later':{'x':[1]},'other':null}"));
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        json_t *row = parse("{'id':'" ID "','host':'h'}");
        json_object_set_new(row, "unheard of", parse(values[i]));
        assert_kept("services", row);
    }
}

TEST(a_text_may_be_of_any_length_and_of_any_bytes)
{
    static const size_t lengths[] = {1, 127, 128, 900, 1023, 1024, 1025, 16384, 3 << 20};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        char *text = malloc(lengths[i]);
        memset(text, 'x', lengths[i]);
        text[lengths[i] / 2] = '\0';
        json_t *row = parse("{'id':'" ID "','port':1}");
        json_object_set_new(row, "name", json_stringn(text, lengths[i]));
        struct packed_row *made = packed("services", row);
        json_t *name = packed_row_get(made, "name");
        assert_int_equal(json_string_length(name), lengths[i]);
        assert_memory_equal(json_string_value(name), text, lengths[i]);
        assert_true(packed_row_is(made, row));
        json_decref(name);
        packed_row_unref(made);
        json_decref(row);
        free(text);
    }
}

TEST(rows_are_equal_whatever_the_order_of_their_members)
{
    static const char *const rows[] = {
        "{'id':'" ID "','headers':{'a':['1'],'b':['2']},'new':1}",
        "{'new':1,'headers':{'b':['2'],'a':['1']},'id':'" ID "'}",
        "{'id':'" ID "','headers':{'a':['1'],'b':['3']},'new':1}",
        "{'id':'" ID "','headers':{'a':['1'],'b':['2']}}",
        "{'id':'" ID "','headers':{'a':['1'],'b':['2']},'new':1,'name':null}",
    };
    for (size_t a = 0; a < COUNT_OF(rows); a++) {
        json_t *one = parse(rows[a]);
        struct packed_row *row = packed("routes", one);
        for (size_t b = 0; b < COUNT_OF(rows); b++) {
            json_t *another = parse(rows[b]);
            struct packed_row *other = packed("routes", another);
            bool is_same = a == b || (a < 2 && b < 2);
            assert_true(packed_row_equal(row, other) == is_same);
            assert_true(packed_row_is(row, another) == is_same);
            packed_row_unref(other);
            json_decref(another);
        }
        packed_row_unref(row);
        json_decref(one);
    }
}

TEST(the_text_of_a_unique_field_is_found_in_the_row)
{
    static const char *const names[] = {"a", ID, "http", "null"};
    const struct field *field = entity_field(entity_named("services"), STR("name"));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        json_t *row = parse("{'id':'" ID "','host':'h'}");
        json_object_set_new(row, "name", json_string(names[i]));
        struct packed_row *made = packed("services", row);
        assert_true(str_equal(packed_row_unique(made, field), str_of(names[i])));
        packed_row_unref(made);
        json_object_set_new(row, "name", json_null());
        made = packed("services", row);
        assert_null(packed_row_unique(made, field).ptr);
        packed_row_unref(made);
        json_decref(row);
    }
}

TEST(a_row_knows_its_id_its_age_and_whether_its_time_is_over)
{
    json_t *row = parse("{'id':'" ID "','created_at':12,'key':'k'}");
    struct packed_row *made = packed("keyauth_credentials", row);
    assert_string_equal(packed_row_id(made), ID);
    assert_true(made->created_at == 12.0);
    assert_false(made->is_made);
    assert_false(packed_row_is_over(made));
    packed_row_unref(made);
    json_object_set_new(row, "expires_at", json_integer(1));
    made = packed("keyauth_credentials", row);
    assert_true(packed_row_is_over(made));
    packed_row_unref(made);
    json_object_set_new(row, "expires_at", json_integer(INT64_MAX));
    json_object_set_new(row, "origin", json_string("consul"));
    made = packed("keyauth_credentials", row);
    assert_false(packed_row_is_over(made));
    assert_true(made->is_made);
    packed_row_unref(made);
    json_decref(row);
}

RUN(T(the_text_of_a_unique_field_is_found_in_the_row), T(rows_of_all_kinds_are_kept_as_they_are),
    T(any_value_of_any_field_is_kept_and_absent_is_not_null),
    T(a_default_is_kept_apart_from_null_and_from_what_is_absent),
    T(what_is_no_field_is_kept_behind_the_fields), T(a_text_may_be_of_any_length_and_of_any_bytes),
    T(rows_are_equal_whatever_the_order_of_their_members),
    T(a_row_knows_its_id_its_age_and_whether_its_time_is_over))
