/* Bodies of all kinds, and with them the grammar of form keys. */
#include "admin/body.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/test.h"
#include <uv.h>

#include "admin/form.h"

static const struct str form_type = STR("application/x-www-form-urlencoded");

/* Decodes a copy in a block of just its size, so that a byte read too far is found. */
static int decode(struct str content_type, struct str text, json_t **ret, const char **ret_problem)
{
    char *copy = malloc(text.len ? text.len : 1);
    assert_non_null(copy);
    memcpy(copy, text.ptr ? text.ptr : "", text.len);
    *ret = NULL;
    *ret_problem = NULL;
    int rc = admin_body_decode(admin_body_type_of(content_type), content_type, copy, text.len, ret,
                               ret_problem);
    free(copy);
    return rc;
}

static void assert_decodes(struct str content_type, struct str text, const char *expected)
{
    json_t *input;
    const char *problem;
    assert_int_equal(decode(content_type, text, &input, &problem), 0);
    char *dump = json_dumps(input, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(dump, expected);
    free(dump);
    json_decref(input);
}

static void assert_refused(struct str content_type, struct str text, const char *expected)
{
    json_t *input;
    const char *problem;
    assert_int_equal(decode(content_type, text, &input, &problem), UV_EINVAL);
    assert_string_equal(problem, expected);
    assert_null(input);
}

TEST(the_content_type_decides_whatever_its_case_and_parameters)
{
    assert_int_equal(admin_body_type_of(STR("application/json; charset=utf-8")), ADMIN_BODY_JSON);
    assert_int_equal(admin_body_type_of(STR("APPLICATION/JSON")), ADMIN_BODY_JSON);
    assert_int_equal(admin_body_type_of(form_type), ADMIN_BODY_FORM);
    assert_int_equal(admin_body_type_of(STR("Multipart/Form-Data; boundary=x")),
                     ADMIN_BODY_MULTIPART);
    assert_int_equal(admin_body_type_of(STR("text/plain")), ADMIN_BODY_UNKNOWN);
    assert_int_equal(admin_body_type_of(STR_EMPTY), ADMIN_BODY_UNKNOWN);
}

TEST(form_keys_nest_by_their_grammar)
{
    static const char *const table[][2] = {
        {"", "{}"},
        {"name=my-service&url=http%3A%2F%2Fh%3A80%2Fx",
         "{\"name\":\"my-service\",\"url\":\"http://h:80/x\"}"},
        {"a.b.c=v", "{\"a\":{\"b\":{\"c\":\"v\"}}}"},
        {"a.b=1&a.c=2", "{\"a\":{\"b\":\"1\",\"c\":\"2\"}}"},
        {"service.id=x", "{\"service\":{\"id\":\"x\"}}"},
        {"paths[]=/a", "{\"paths\":[\"/a\"]}"},
        {"paths[]=/a&paths[]=/b", "{\"paths\":[\"/a\",\"/b\"]}"},
        {"paths%5B%5D=/a", "{\"paths\":[\"/a\"]}"},
        {"a[1]=x&a[2]=y", "{\"a\":[\"x\",\"y\"]}"},
        {"a[2]=y&a[1]=x", "{\"a\":[\"x\",\"y\"]}"},
        {"a[2]=y", "{\"a\":[null,\"y\"]}"},
        {"a=1&a=2&a=3", "{\"a\":[\"1\",\"2\",\"3\"]}"},
        {"a=1&a[]=2", "{\"a\":[\"1\",\"2\"]}"},
        {"a[]=1&a=2", "{\"a\":[\"1\",\"2\"]}"},
        {"headers[x-version][]=1&headers[x-version][]=2",
         "{\"headers\":{\"x-version\":[\"1\",\"2\"]}}"},
        {"headers.x-version[]=1", "{\"headers\":{\"x-version\":[\"1\"]}}"},
        {"limits[k.with.dot].minute=1", "{\"limits\":{\"k.with.dot\":{\"minute\":\"1\"}}}"},
        {"sources[1].ip=10.0.0.1&sources[1].port=80&sources[2].ip=::1",
         "{\"sources\":[{\"ip\":\"10.0.0.1\",\"port\":\"80\"},{\"ip\":\"::1\"}]}"},
        {"sources[].ip=10.0.0.1&sources[].port=80",
         "{\"sources\":[{\"ip\":\"10.0.0.1\",\"port\":\"80\"}]}"},
        {"healthchecks.active.healthy.http_statuses[]=200",
         "{\"healthchecks\":{\"active\":{\"healthy\":{\"http_statuses\":[\"200\"]}}}}"},
        {"config.add.headers[1]=x:y", "{\"config\":{\"add\":{\"headers\":[\"x:y\"]}}}"},
        {"m[a][b]=1", "{\"m\":{\"a\":{\"b\":\"1\"}}}"},
        {"tags=", "{\"tags\":\"\"}"},
        {"flag", "{\"flag\":\"\"}"},
        /* What is not of the grammar is a name as it is. */
        {".a=1", "{\".a\":\"1\"}"},
        {"a.=1", "{\"a.\":\"1\"}"},
        {"a..b=1", "{\"a..b\":\"1\"}"},
        {"a[b=1", "{\"a[b\":\"1\"}"},
        {"a[1]b=1", "{\"a[1]b\":\"1\"}"},
        {"[]=1", "{\"[]\":\"1\"}"},
        {"a[0]=1", "{\"a[0]\":\"1\"}"},
        {"=1", "{\"\":\"1\"}"},
        /* The later word wins where two can't stand together. */
        {"a=1&a.b=2", "{\"a\":{\"b\":\"2\"}}"},
        {"a[]=1&a.b=2", "{\"a\":{\"b\":\"2\"}}"},
        {"a.b=2&a=1", "{\"a\":\"1\"}"},
        {"a.b=2&a[]=1", "{\"a\":[\"1\"]}"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_decodes(form_type, str_of(table[i][0]), table[i][1]);
}

TEST(forms_have_limits)
{
    const char *too_many = "Too many arguments";
    char text[64 * 1024];
    size_t len = 0;
    for (int i = 0; i < 1000; i++)
        len += (size_t)sprintf(text + len, "%sa%d=1", i ? "&" : "", i);
    json_t *input;
    const char *problem;
    assert_int_equal(decode(form_type, str_make(text, len), &input, &problem), 0);
    assert_int_equal(json_object_size(input), 1000);
    json_decref(input);
    len += (size_t)sprintf(text + len, "&b=1");
    assert_refused(form_type, str_make(text, len), too_many);

    assert_refused(form_type, STR("a[1001]=1"), too_many);
}

TEST(a_key_nests_only_so_deep)
{
    char text[4 * FORM_MAX_DEPTH];
    size_t len = 0;
    for (int i = 0; i < FORM_MAX_DEPTH; i++)
        len += (size_t)sprintf(text + len, "%sa", i ? "." : "");
    json_t *input;
    const char *problem;
    assert_int_equal(decode(form_type, str_make(text, len), &input, &problem), 0);
    json_decref(input);
    len += (size_t)sprintf(text + len, ".a");
    assert_refused(form_type, str_make(text, len), "Too many arguments");
}

TEST(holes_in_arrays_cost_no_memory_without_bound)
{
    char text[2048];
    size_t len = 0;
    for (int i = 0; i < 20; i++)
        len += (size_t)sprintf(text + len, "%sa%d[1000]=1", i ? "&" : "", i);
    assert_refused(form_type, str_make(text, len), "Too many arguments");
}

TEST(text_that_is_none_is_refused)
{
    const char *problem = "Cannot parse form body: names and values must be UTF-8 without NUL";
    assert_refused(form_type, STR("a=%FF"), problem);
    assert_refused(form_type, STR("a=x%00y"), problem);
    assert_refused(form_type, STR("%FF=a"), problem);
    assert_refused(form_type, STR("a%00=a"), problem);
}

TEST(json_must_be_one_object)
{
    struct str type = STR("application/json");
    const char *problem = "Cannot parse JSON body";
    assert_decodes(type, STR(" {\"a\":[1,2.5,true,null,\"\\u00e9\"]} "),
                   "{\"a\":[1,2.5,true,null,\"\xc3\xa9\"]}");
    assert_decodes(type, STR("{\"a\":1,\"a\":2}"), "{\"a\":2}");
    static const char *const bad[] = {"",         "   ",   "{",    "[]",
                                      "1",        "\"a\"", "null", "{}}",
                                      "{\"a\":}", "{a:1}", "\xff", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(type, str_of(bad[i]), problem);
    assert_refused(type, STR("{\"a\":\"x\\u0000y\"}"),
                   "Cannot parse JSON body: a string holds a NUL character");
    assert_refused(type, STR("{\"a\\u0000\":1}"),
                   "Cannot parse JSON body: a string holds a NUL character");
}

TEST(json_nests_only_so_deep)
{
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH);
    assert_non_null(text);
    memcpy(text, "{\"a\":", 5);
    memset(text + 5, '[', DEPTH - 5);
    assert_refused(STR("application/json"), str_make(text, DEPTH), "Cannot parse JSON body");
    free(text);
}

TEST(multipart_parts_are_form_fields)
{
    struct str type = STR("multipart/form-data; boundary=\"x-y\"");
    assert_decodes(
        type,
        STR("--x-y\r\n"
            "Content-Disposition: form-data; name=\"name\"\r\n\r\n"
            "my-service\r\n"
            "--x-y\r\n"
            "content-disposition: form-data; filename=\"f\"; name=cert\r\n"
            "Content-Type: text/plain\r\n\r\n"
            "line 1\r\n--x-z\nline 2\n\r\n"
            "--x-y\r\n"
            "Content-Disposition: form-data; name=\"paths[]\"\r\n\r\n"
            "/a\r\n"
            "--x-y\r\n"
            "Content-Disposition: form-data; name=\"healthchecks\"\r\n"
            "Content-Type: application/json\r\n\r\n"
            "{\"threshold\":5}\r\n"
            "--x-y\r\n"
            "Content-Disposition: form-data; name=\"broken\"\r\n"
            "Content-Type: application/json\r\n\r\n"
            "{\r\n"
            "--x-y\r\n"
            "Content-Disposition: form-data; name=\"empty\"\r\n\r\n"
            "\r\n"
            "--x-y--\r\n"),
        "{\"broken\":\"{\",\"cert\":\"line 1\\r\\n--x-z\\nline 2\\n\",\"empty\":\"\","
        "\"healthchecks\":{\"threshold\":5},\"name\":\"my-service\",\"paths\":[\"/a\"]}");
}

TEST(broken_multipart_is_refused)
{
    const char *problem = "Cannot parse multipart body";
    struct str type = STR("multipart/form-data; boundary=x");
    assert_refused(STR("multipart/form-data"), STR("--x--"), problem);
    assert_refused(STR("multipart/form-data; boundary="), STR("--x--"), problem);
    static const char *const bad[] = {
        "",
        "x",
        "--x",
        "--x\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv",
        "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv\r\n--x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_refused(type, str_of(bad[i]), problem);
    assert_decodes(type, STR("--x--"), "{}");
}

RUN(T(the_content_type_decides_whatever_its_case_and_parameters),
    T(form_keys_nest_by_their_grammar), T(forms_have_limits), T(a_key_nests_only_so_deep),
    T(holes_in_arrays_cost_no_memory_without_bound), T(text_that_is_none_is_refused),
    T(json_must_be_one_object), T(json_nests_only_so_deep), T(multipart_parts_are_form_fields),
    T(broken_multipart_is_refused))
