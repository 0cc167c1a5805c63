/* Services, routes, upstreams and targets through the Admin API, as Kong's clients use it. */
#include "api.h"

TEST(first_steps_of_the_tutorial_work_as_they_stand)
{
    struct reply reply = call("POST", "/services/", "name=my-service&url=http://my-service:80");
    assert_int_equal(reply.status, 201);
    assert_string_equal(text_at(reply.body, "name"), "my-service");
    assert_string_equal(text_at(reply.body, "host"), "my-service");
    assert_string_equal(text_at(reply.body, "port"), "80");
    assert_string_equal(text_at(reply.body, "path"), "null");
    assert_string_equal(find_field(&reply, "Content-Type"), "application/json; charset=utf-8");
    char id[64];
    snprintf(id, sizeof(id), "%s", text_at(reply.body, "id"));
    free_reply(&reply);

    reply = call("POST", "/services/my-service/routes", "paths[]=/api&name=api");
    assert_int_equal(reply.status, 201);
    assert_string_equal(text_at(reply.body, "service.id"), id);
    assert_string_equal(text_at(reply.body, "paths"), "[\"/api\"]");
    free_reply(&reply);

    reply = call("GET", "/services/my-service/routes/api", NULL);
    assert_int_equal(reply.status, 200);
    free_reply(&reply);
}

TEST(a_row_is_found_by_id_and_by_name_and_slashes_at_the_end_count_for_nothing)
{
    struct reply made = call("POST", "/services", "{\"name\":\"a b\",\"host\":\"h\"}");
    assert_int_equal(made.status, 400); /* a space is no part of a name */
    free_reply(&made);
    made = call("POST", "/services", "{\"name\":\"caf\xc3\xa9\",\"host\":\"h\"}");
    assert_int_equal(made.status, 201);
    char target[128];
    snprintf(target, sizeof(target), "/services/%s", text_at(made.body, "id"));
    struct reply by_id = call("GET", target, NULL);
    struct reply by_name = call("GET", "/services/caf%C3%A9/", NULL);
    assert_int_equal(by_id.status, 200);
    assert_string_equal(by_id.text, made.text);
    assert_string_equal(by_name.text, made.text);
    free_reply(&made);
    free_reply(&by_id);
    free_reply(&by_name);

    assert_answer("GET", "/services/none", NULL, 404, "{\"message\":\"Not found\"}");
    assert_answer("GET", "/services/0a3b8c5e-6a36-4e6c-9a5e-27c0f3b0a001", NULL, 404,
                  "{\"message\":\"Not found\"}");
}

TEST(put_creates_and_replaces_and_patch_merges)
{
    struct reply reply = call("PUT", "/services/s", "{\"host\":\"h\",\"retries\":3}");
    assert_int_equal(reply.status, 200);
    assert_string_equal(text_at(reply.body, "name"), "s");
    assert_string_equal(text_at(reply.body, "retries"), "3");
    free_reply(&reply);

    reply = call("PATCH", "/services/s", "{\"port\":8080,\"tags\":[\"t\"]}");
    assert_int_equal(reply.status, 200);
    assert_string_equal(text_at(reply.body, "port"), "8080");
    assert_string_equal(text_at(reply.body, "retries"), "3");
    free_reply(&reply);

    reply = call("PUT", "/services/s", "{\"host\":\"g\"}");
    assert_int_equal(reply.status, 200);
    assert_string_equal(text_at(reply.body, "port"), "80");
    assert_string_equal(text_at(reply.body, "retries"), "5");
    assert_string_equal(text_at(reply.body, "tags"), "null");
    free_reply(&reply);

    assert_answer("PATCH", "/services/none", "{\"port\":1}", 404,
                  "{\"code\":6,\"fields\":{\"name\":\"none\"},"
                  "\"message\":\"could not find the entity with '{name=\\\"none\\\"}'\","
                  "\"name\":\"not found\"}");
}

TEST(form_values_become_what_the_schema_says)
{
    struct reply reply =
        call("POST", "/services", "name=s&host=h&port=8080&enabled=false&tags[]=a&tags[]=b&path=");
    assert_int_equal(reply.status, 201);
    assert_string_equal(text_at(reply.body, "port"), "8080");
    assert_string_equal(text_at(reply.body, "enabled"), "false");
    assert_string_equal(text_at(reply.body, "tags"), "[\"a\",\"b\"]");
    assert_string_equal(text_at(reply.body, "path"), "null");
    free_reply(&reply);

    reply = call("POST", "/routes", "hosts=example.com&service.name=s&headers.x-v[]=1");
    assert_int_equal(reply.status, 201);
    assert_string_equal(text_at(reply.body, "hosts"), "[\"example.com\"]");
    assert_string_equal(text_at(reply.body, "headers"), "{\"x-v\":[\"1\"]}");
    free_reply(&reply);

    assert_answer("POST", "/services", "host=h&port=many", 400,
                  "{\"code\":2,\"fields\":{\"port\":\"expected an integer\"},"
                  "\"message\":\"schema violation (port: expected an integer)\","
                  "\"name\":\"schema violation\"}");
}

TEST(multipart_forms_are_forms)
{
    struct client client;
    connect_client(&client);
    send_request(&client, "POST", "/services", "multipart/form-data; boundary=b",
                 "--b\r\nContent-Disposition: form-data; name=\"host\"\r\n\r\nh\r\n"
                 "--b\r\nContent-Disposition: form-data; name=\"port\"\r\n\r\n81\r\n--b--\r\n");
    struct reply reply = read_reply(&client, false);
    assert_int_equal(reply.status, 201);
    assert_string_equal(text_at(reply.body, "port"), "81");
    free_reply(&reply);
    close_client(&client);
}

TEST(bad_input_is_named_and_nothing_is_stored)
{
    assert_answer("POST", "/services", "{\"name\":\"x\"}", 400,
                  "{\"code\":2,\"fields\":{\"host\":\"required field missing\"},"
                  "\"message\":\"schema violation (host: required field missing)\","
                  "\"name\":\"schema violation\"}");
    assert_answer("POST", "/services", "{\"host\":\"h\",\"foo\":1}", 400,
                  "{\"code\":2,\"fields\":{\"foo\":\"unknown field\"},"
                  "\"message\":\"schema violation (foo: unknown field)\","
                  "\"name\":\"schema violation\"}");
    assert_answer("POST", "/services", "{\"host\":", 400,
                  "{\"message\":\"Cannot parse JSON body\"}");
    /* The body comes before the parent. */
    assert_answer("POST", "/services/none/routes", "{", 400,
                  "{\"message\":\"Cannot parse JSON body\"}");
    assert_answer("POST", "/services/none/routes", "paths[]=/", 404, "{\"message\":\"Not found\"}");
    assert_answer("GET", "/services", NULL, 200, "{\"data\":[],\"next\":null}");
}

TEST(what_is_taken_or_referred_to_is_refused)
{
    assert_status("POST", "/services", "name=s&host=h", 201);
    assert_answer("POST", "/services", "name=s&host=h", 409,
                  "{\"code\":5,\"fields\":{\"name\":\"s\"},"
                  "\"message\":\"UNIQUE violation detected on '{name=\\\"s\\\"}'\","
                  "\"name\":\"unique constraint violation\"}");
    assert_answer(
        "POST", "/routes",
        "{\"paths\":[\"/\"],\"service\":{\"id\":\"0a3b8c5e-6a36-4e6c-9a5e-27c0f3b0a001\"}}", 400,
        "{\"code\":4,\"fields\":{\"service\":{\"id\":\"0a3b8c5e-6a36-4e6c-9a5e-"
        "27c0f3b0a001\"}},\"message\":\"the foreign key "
        "'{id=\\\"0a3b8c5e-6a36-4e6c-9a5e-27c0f3b0a001\\\"}' does not reference an "
        "existing 'services' entity.\",\"name\":\"foreign key violation\"}");
    assert_status("POST", "/services/s/routes", "paths[]=/&name=r", 201);
    assert_answer("DELETE", "/services/s", NULL, 400,
                  "{\"code\":4,\"fields\":{\"@referenced_by\":\"routes\"},"
                  "\"message\":\"an existing 'routes' entity references this 'services' entity\","
                  "\"name\":\"foreign key violation\"}");
}

TEST(what_goes_is_gone_and_at_the_top_may_go_twice)
{
    assert_status("POST", "/services", "name=s&host=h", 201);
    assert_status("POST", "/services", "name=other&host=h", 201);
    assert_status("POST", "/services/s/routes", "paths[]=/&name=r", 201);
    assert_answer("DELETE", "/services/other/routes/r", NULL, 404, "{\"message\":\"Not found\"}");
    struct reply reply = call("DELETE", "/services/s/routes/r", NULL);
    assert_int_equal(reply.status, 204);
    assert_null(find_field(&reply, "Content-Type"));
    assert_null(find_field(&reply, "Content-Length"));
    free_reply(&reply);
    assert_answer("DELETE", "/services/s/routes/r", NULL, 404, "{\"message\":\"Not found\"}");
    assert_status("DELETE", "/routes/r", NULL, 204);
    assert_status("DELETE", "/services/s", NULL, 204);
    assert_status("DELETE", "/services/s", NULL, 204);
}

TEST(a_row_under_another_parent_is_not_there)
{
    assert_status("POST", "/services", "name=a&host=h", 201);
    assert_status("POST", "/services", "name=b&host=h", 201);
    assert_status("POST", "/services/a/routes", "paths[]=/&name=r", 201);
    assert_status("GET", "/services/a/routes/r", NULL, 200);
    assert_status("GET", "/services/b/routes/r", NULL, 404);
    assert_status("PATCH", "/services/b/routes/r", "paths[]=/x", 404);
    assert_status("PATCH", "/services/a/routes/r", "paths[]=/x", 200);
    struct reply reply = call("GET", "/services/b/routes", NULL);
    assert_string_equal(reply.text, "{\"data\":[],\"next\":null}");
    free_reply(&reply);
    assert_status("PUT", "/services/b/routes/new", "paths[]=/y", 200);
    reply = call("GET", "/services/b/routes", NULL);
    assert_string_equal(text_at(reply.body, "data.0.name"), "new");
    free_reply(&reply);
}

TEST(the_entity_that_a_row_refers_to_has_a_path)
{
    assert_status("POST", "/services", "name=s&host=h", 201);
    assert_status("POST", "/services/s/routes", "paths[]=/&name=r", 201);
    assert_status("POST", "/routes", "paths[]=/&name=free", 201);
    struct reply reply = call("GET", "/routes/r/service", NULL);
    assert_string_equal(text_at(reply.body, "name"), "s");
    free_reply(&reply);
    reply = call("PATCH", "/routes/r/service", "port=99");
    assert_int_equal(reply.status, 200);
    assert_string_equal(text_at(reply.body, "port"), "99");
    free_reply(&reply);
    assert_answer("DELETE", "/routes/r/service", NULL, 405, "{\"message\":\"Method not allowed\"}");

    assert_status("GET", "/routes/free/service", NULL, 404);
    assert_status("PATCH", "/routes/free/service", "port=99", 404);
    assert_status("DELETE", "/routes/free/service", NULL, 404);
    assert_status("GET", "/routes/none/service", NULL, 404);
    assert_status("PUT", "/routes/free/service", "port=x", 400);
    assert_status("PUT", "/routes/free/service", "host=new&name=new", 200);
    reply = call("GET", "/routes/free/service", NULL);
    assert_string_equal(text_at(reply.body, "name"), "new");
    free_reply(&reply);
    reply = call("PUT", "/routes/free/service", "host=newer&name=new");
    assert_int_equal(reply.status, 200);
    assert_string_equal(text_at(reply.body, "host"), "newer");
    free_reply(&reply);
}

TEST(targets_live_under_their_upstream)
{
    assert_status("POST", "/upstreams", "name=u", 201);
    struct reply reply = call("POST", "/upstreams/u/targets", "target=10.0.0.1");
    assert_int_equal(reply.status, 201);
    assert_string_equal(text_at(reply.body, "target"), "10.0.0.1:8000");
    assert_string_equal(text_at(reply.body, "weight"), "100");
    const char *created = strstr(reply.text, "\"created_at\":");
    assert_non_null(created);
    assert_true(strcspn(created, ",}") <= strlen("\"created_at\":1731000000.123"));
    free_reply(&reply);
    assert_status("GET", "/upstreams/u/targets/10.0.0.1:8000", NULL, 200);
    assert_status("GET", "/upstreams/u/targets/all", NULL, 200);
    assert_status("PATCH", "/upstreams/u/targets/10.0.0.1:8000", "weight=5", 200);
    assert_status("PUT", "/upstreams/u/targets/0a3b8c5e-6a36-4e6c-9a5e-27c0f3b0a001",
                  "target=10.0.0.2:80", 404);
    assert_status("GET", "/targets", NULL, 404);
    assert_status("GET", "/targets/10.0.0.1:8000", NULL, 404);
    assert_status("DELETE", "/upstreams/u/targets/10.0.0.1:8000", NULL, 204);
    assert_status("DELETE", "/upstreams/u/targets/10.0.0.1:8000", NULL, 404);
}

TEST(lists_come_in_pages_that_lead_to_one_another)
{
    char body[64];
    for (int i = 0; i < 7; i++) {
        snprintf(body, sizeof(body), "name=s%d&host=h&tags[]=%s", i, i % 2 ? "odd" : "even");
        assert_status("POST", "/services", body, 201);
    }
    char target[256] = "/services?size=3&tags=even";
    size_t seen = 0;
    for (int page = 0; page < 2; page++) {
        struct reply reply = call("GET", target, NULL);
        assert_int_equal(reply.status, 200);
        seen += json_array_size(json_object_get(reply.body, "data"));
        if (page == 0) {
            const char *next = json_string_value(json_object_get(reply.body, "next"));
            assert_non_null(next);
            assert_non_null(json_object_get(reply.body, "offset"));
            snprintf(target, sizeof(target), "%s", next);
        } else {
            assert_true(json_is_null(json_object_get(reply.body, "next")));
            assert_null(json_object_get(reply.body, "offset"));
        }
        free_reply(&reply);
    }
    assert_int_equal(seen, 4);
    assert_answer("GET", "/services?size=0", NULL, 400,
                  "{\"code\":9,\"message\":\"size must be an integer between 1 and 1000\","
                  "\"name\":\"invalid size\"}");
    assert_status("GET", "/services?offset=%2F%2F%2F", NULL, 400);
    assert_status("GET", "/services?tags=", NULL, 400);
}

TEST(a_nested_list_leads_on_by_its_offset_alone)
{
    assert_status("POST", "/upstreams", "name=u", 201);
    for (int i = 1; i <= 3; i++) {
        char body[64];
        snprintf(body, sizeof(body), "target=10.0.0.%d:80", i);
        assert_status("POST", "/upstreams/u/targets", body, 201);
    }
    struct reply reply = call("GET", "/upstreams/u/targets?size=2&tags=", NULL);
    assert_int_equal(reply.status, 200);
    const json_t *data = json_object_get(reply.body, "data");
    assert_int_equal(json_array_size(data), 2);
    double first = json_number_value(json_object_get(json_array_get(data, 0), "created_at"));
    double second = json_number_value(json_object_get(json_array_get(data, 1), "created_at"));
    assert_true(first >= second); /* newest first */
    char next[256];
    snprintf(next, sizeof(next), "%s", text_at(reply.body, "next"));
    assert_non_null(strstr(next, "/targets?offset="));
    assert_null(strchr(next, '&'));
    struct reply last = call("GET", next, NULL);
    data = json_object_get(last.body, "data");
    assert_int_equal(json_array_size(data), 1);
    assert_null(strstr(reply.text, text_at(data, "0.target"))); /* none comes twice */
    assert_string_equal(text_at(last.body, "next"), "null");
    free_reply(&reply);
    free_reply(&last);
}

TEST(what_the_store_refuses_another_node_did_first)
{
    static const struct {
        int refusal;
        int status;
        const char *code;
    } table[] = {{UV_EEXIST, 409, "5"}, {UV_ENOENT, 400, "4"}, {UV_EBUSY, 400, "4"}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        api.refusal = table[i].refusal;
        struct reply reply = call("POST", "/services", "host=h");
        assert_int_equal(reply.status, table[i].status);
        assert_string_equal(text_at(reply.body, "code"), table[i].code);
        free_reply(&reply);
    }
    api.refusal = UV_EIO;
    assert_answer("POST", "/services", "host=h", 500,
                  "{\"message\":\"An unexpected error occurred\"}");
    assert_answer("GET", "/services", NULL, 200, "{\"data\":[],\"next\":null}");
}

TEST(schemas_show_the_tables)
{
    struct reply reply = call("GET", "/schemas/services", NULL);
    assert_int_equal(reply.status, 200);
    const json_t *fields = json_object_get(reply.body, "fields");
    assert_true(json_array_size(fields) > 10);
    assert_string_equal(text_at(fields, "0.id.uuid"), "true");
    bool has_retries = false;
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *retries = json_object_get(json_array_get(fields, i), "retries");
        if (!retries)
            continue;
        has_retries = true;
        assert_string_equal(text_at(retries, "default"), "5");
        assert_string_equal(text_at(retries, "between"), "[0,32767]");
        assert_string_equal(text_at(retries, "type"), "integer");
    }
    assert_true(has_retries);
    free_reply(&reply);
    for (const struct entity *const *entity = entities; *entity; entity++) {
        char target[64];
        snprintf(target, sizeof(target), "/schemas/%s", (*entity)->name);
        assert_status("GET", target, NULL, (*entity)->is_internal ? 404 : 200);
    }
    assert_answer("GET", "/schemas/x", NULL, 404, "{\"message\":\"No entity named 'x'\"}");
    assert_answer("POST", "/schemas/services/validate", "{\"host\":\"h\"}", 200,
                  "{\"message\":\"schema validation successful\"}");
    assert_status("POST", "/schemas/services/validate", "host=h&port=80", 200);
    assert_status("POST", "/schemas/services/validate", "{\"port\":80}", 400);
    assert_answer("GET", "/services", NULL, 200, "{\"data\":[],\"next\":null}");
}

RUN(A(first_steps_of_the_tutorial_work_as_they_stand),
    A(a_row_is_found_by_id_and_by_name_and_slashes_at_the_end_count_for_nothing),
    A(put_creates_and_replaces_and_patch_merges), A(form_values_become_what_the_schema_says),
    A(multipart_forms_are_forms), A(bad_input_is_named_and_nothing_is_stored),
    A(what_is_taken_or_referred_to_is_refused), A(what_goes_is_gone_and_at_the_top_may_go_twice),
    A(a_row_under_another_parent_is_not_there), A(the_entity_that_a_row_refers_to_has_a_path),
    A(targets_live_under_their_upstream), A(lists_come_in_pages_that_lead_to_one_another),
    A(a_nested_list_leads_on_by_its_offset_alone), A(what_the_store_refuses_another_node_did_first),
    A(schemas_show_the_tables))
