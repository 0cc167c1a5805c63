/* Health checks of services in short words, and what is compiled of a record. */
#include "model/healthchecks.h"

#include "model/health_rules.h"
#include "unit/test.h"

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    return value;
}

static json_t *service_with(const char *protocol, const char *healthchecks)
{
    struct violation violation = {0};
    json_t *row = NULL, *input = json_pack("{s:s, s:s, s:o}", "host", "h", "protocol", protocol,
                                           "healthchecks", parse(healthchecks));
    assert_int_equal(entity_make_row(entity_find(STR("services")), input, ENTITY_INSERT, NULL, NULL,
                                     &row, &violation),
                     0);
    json_decref(input);
    return row;
}

static const json_t *at(const json_t *row, const char *a, const char *b, const char *c)
{
    const json_t *value =
        json_object_get(json_object_get(json_object_get(row, "healthchecks"), a), b);
    return c ? json_object_get(value, c) : value;
}

TEST(short_names_stand_for_several_fields)
{
    json_t *row = service_with("http", "{\"active\":{\"https_path\":\"/up\",\"interval\":2.5,"
                                       "\"unhealthy\":{\"failures\":4}},"
                                       "\"passive\":{\"unhealthy\":{\"failures\":5}}}");
    assert_string_equal(json_string_value(at(row, "active", "http_path", NULL)), "/up");
    assert_string_equal(json_string_value(at(row, "active", "type", NULL)), "http");
    assert_true(json_number_value(at(row, "active", "healthy", "interval")) == 2.5);
    assert_true(json_number_value(at(row, "active", "unhealthy", "interval")) == 2.5);
    static const char *const kinds[] = {"http_failures", "tcp_failures", "timeouts"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(json_integer_value(at(row, "active", "unhealthy", kinds[i])), 4);
        assert_int_equal(json_integer_value(at(row, "passive", "unhealthy", kinds[i])), 5);
    }
    json_t *body = entity_to_body(entity_find(STR("services")), row);
    assert_null(at(body, "active", "https_path", NULL));
    assert_null(at(body, "active", "unhealthy", "failures"));
    assert_null(at(body, "passive", "healthy", "interval"));
    json_decref(body);
    json_decref(row);
}

TEST(https_path_is_probed_with_tls_where_the_service_has_it)
{
    json_t *row = service_with("https", "{\"active\":{\"https_path\":\"/up\"}}");
    assert_string_equal(json_string_value(at(row, "active", "type", NULL)), "https");
    json_decref(row);
}

TEST(what_is_not_said_short_stays_as_it_was)
{
    json_t *row = service_with("http", "{\"active\":{\"type\":\"https\",\"http_path\":\"/a\"}}");
    assert_string_equal(json_string_value(at(row, "active", "type", NULL)), "https");
    assert_string_equal(json_string_value(at(row, "active", "http_path", NULL)), "/a");
    json_decref(row);
}

TEST(a_record_is_compiled)
{
    json_t *record = parse(
        "{\"active\":{\"type\":\"tcp\",\"timeout\":0.25,\"concurrency\":3,\"http_path\":\"/x\","
        "\"headers\":{\"X-A\":[\"1\",\"2\"],\"X-B\":[\"bad\\r\\nX-C: 3\"]},"
        "\"healthy\":{\"interval\":0.0001,\"successes\":2,\"http_statuses\":[100,999]},"
        "\"unhealthy\":{\"interval\":0,\"timeouts\":255,\"http_statuses\":[163,164]}},"
        "\"passive\":{\"healthy\":{\"interval\":1.5}},\"threshold\":12.5}");
    struct health_rules *rules;
    assert_int_equal(health_rules_create(record, STR("api.example"), &rules), 0);
    assert_int_equal(rules->type, CHECK_TCP);
    assert_int_equal(rules->timeout_ms, 250);
    assert_int_equal(rules->concurrency, 3);
    assert_int_equal(rules->healthy_interval_ms, 1); /* not 0: that would be off */
    assert_int_equal(rules->unhealthy_interval_ms, 0);
    assert_int_equal(rules->pause_ms, 1500);
    assert_int_equal(rules->active.in_a_row[HEALTH_SUCCESS], 2);
    assert_int_equal(rules->active.in_a_row[HEALTH_TIMEOUT], HEALTH_LIMIT_MAX);
    assert_string_equal(rules->header_lines, "X-A: 1\r\nX-A: 2\r\n");
    assert_string_equal(rules->host, "api.example");
    assert_true(rules->has_checks);
    assert_true(rules->threshold == 12.5);
    assert_int_equal(health_result_of_status(&rules->active, 999), HEALTH_SUCCESS);
    assert_int_equal(health_result_of_status(&rules->active, 163), HEALTH_HTTP_FAILURE);
    assert_int_equal(health_result_of_status(&rules->active, 164), HEALTH_HTTP_FAILURE);
    assert_int_equal(health_result_of_status(&rules->active, 0), HEALTH_HTTP_FAILURE);
    assert_int_equal(health_result_of_status(&rules->active, 165), HEALTH_IGNORED);
    assert_int_equal(health_result_of_status(&rules->active, 65535), HEALTH_IGNORED);
    health_rules_unref(rules);
    json_decref(record);
}

TEST(probes_with_other_certificates_are_not_shared)
{
    json_t *record = parse("{\"active\":{\"type\":\"grpcs\",\"grpc_service\":\"a.B\"}}");
    struct health_rules *plain, *one, *two;
    assert_int_equal(health_rules_create(record, STR_EMPTY, &plain), 0);
    assert_int_equal(health_rules_create(record, STR_EMPTY, &one), 0);
    assert_int_equal(health_rules_create(record, STR_EMPTY, &two), 0);
    assert_int_equal(plain->type, CHECK_GRPCS);
    assert_string_equal(plain->grpc_service, "a.B");
    assert_string_equal(plain->probe_key, one->probe_key);
    assert_int_equal(health_rules_set_certificate(one, STR("cert"), STR("secret")), 0);
    assert_int_equal(health_rules_set_certificate(two, STR("cert"), STR("other")), 0);
    assert_string_equal(one->client_key, "secret");
    assert_string_not_equal(plain->probe_key, one->probe_key);
    assert_string_not_equal(two->probe_key, one->probe_key);
    assert_null(strstr(one->probe_key, "secret"));
    health_rules_unref(plain);
    health_rules_unref(one);
    health_rules_unref(two);
    json_decref(record);
}

TEST(where_all_is_0_there_are_no_checks)
{
    json_t *record = parse("{\"active\":{\"healthy\":{\"successes\":3}},"
                           "\"passive\":{\"healthy\":{\"successes\":3}}}");
    struct health_rules *rules;
    assert_int_equal(health_rules_create(record, STR_EMPTY, &rules), 0);
    assert_false(rules->has_checks);
    health_rules_unref(rules);
    json_decref(record);
}

RUN(T(short_names_stand_for_several_fields),
    T(https_path_is_probed_with_tls_where_the_service_has_it),
    T(what_is_not_said_short_stays_as_it_was), T(a_record_is_compiled),
    T(probes_with_other_certificates_are_not_shared), T(where_all_is_0_there_are_no_checks))
