#include "unit/model/rows.h"

TEST(an_upstream_has_every_default)
{
    struct violation violation = {0};
    json_t *row = make_row("upstreams",
                           parse("{'name':'u','id':'4e13f54a-bbf1-47a8-8777-255fed7116f2',"
                                 "'created_at':5}"),
                           ENTITY_INSERT, NULL, &violation);
    json_object_set_new(row, "updated_at", json_integer(6));
    json_t *body = entity_to_body(entity_named("upstreams"), row);
    char *text = json_dumps(body, ENTITY_DUMP_FLAGS);
    assert_string_equal(
        text,
        "{\"id\":\"4e13f54a-bbf1-47a8-8777-255fed7116f2\",\"name\":\"u\",\"algorithm\":\"round-"
        "robin\",\"hash_on\":\"none\",\"hash_fallback\":\"none\",\"hash_on_header\":null,\"hash_"
        "fallback_header\":null,\"hash_on_cookie\":null,\"hash_on_cookie_path\":\"/\",\"hash_on_"
        "query_arg\":null,\"hash_fallback_query_arg\":null,\"hash_on_uri_capture\":null,\"hash_"
        "fallback_uri_capture\":null,\"slots\":10000,\"healthchecks\":{\"active\":{\"type\":"
        "\"http\",\"timeout\":1,\"concurrency\":10,\"http_path\":\"/\",\"https_sni\":null,\"https_"
        "verify_certificate\":true,\"headers\":null,\"healthy\":{\"interval\":0,\"successes\":0,"
        "\"http_statuses\":[200,302]},\"unhealthy\":{\"interval\":0,\"tcp_failures\":0,"
        "\"timeouts\":0,\"http_failures\":0,\"http_statuses\":[429,404,500,501,502,503,504,505]}},"
        "\"passive\":{\"type\":\"http\",\"healthy\":{\"successes\":0,\"http_statuses\":[200,201,"
        "202,203,204,205,206,207,208,226,300,301,302,303,304,305,306,307,308]},\"unhealthy\":{"
        "\"tcp_failures\":0,\"timeouts\":0,\"http_failures\":0,\"http_statuses\":[429,500,503]}},"
        "\"threshold\":0},\"tags\":null,\"host_header\":null,\"client_certificate\":null,\"use_"
        "srv_name\":false,\"created_at\":5,\"updated_at\":6}");
    free(text);
    json_decref(body);
    json_decref(row);
}

#define HASH_INPUTS "none, consumer, ip, header, cookie, path, query_arg, uri_capture"

TEST(each_field_has_its_limits)
{
    static const struct refusal refusals[] = {
        {"{'name':null}", "name: required field missing"},
        {"{'name':'my_up.service'}", NULL},
        {"{'name':'a b'}", "name: Invalid name ('a b'); must be a valid hostname"},
        {"{'name':'10.0.0.1'}", "name: Invalid name ('10.0.0.1'); no ip addresses allowed"},
        {"{'name':'a:80'}", "name: Invalid name ('a:80'); no port allowed"},
        {"{'limits':{'max_in_flight':1,'max_pending':5,'pending_timeout':0.5}}", NULL},
        {"{'limits':{'max_connections':1,'max_pending':5}}", NULL},
        {"{'hedging':{}}", NULL},
        {"{'hedging':{'delay':0.05}}", NULL},
        {"{'hedging':{'delay':-1}}", "hedging.delay: value should be between 0 and 3600"},
        {"{'hedging':{'percentile':100}}", "hedging.percentile: value should be between 50 and 99"},
        {"{'limits':{'max_connections':0}}",
         "limits.max_connections: value should be between 1 and 1000000"},
        {"{'limits':{'max_pending':5}}",
         "limits.max_pending: needs limits.max_in_flight or limits.max_connections"},
        {"{'limits':{'max_in_flight':5,'pending_timeout':1}}",
         "limits.pending_timeout: needs limits.max_pending"},
        {"{'algorithm':'latency'}", NULL},
        {"{'algorithm':'random'}", "algorithm: expected one of: consistent-hashing, "
                                   "least-connections, round-robin, latency"},
        {"{'algorithm':5}", "algorithm: expected a string"},
        {"{'hash_on':'ip'}", NULL},
        {"{'hash_on':'moon'}", "hash_on: expected one of: " HASH_INPUTS},
        {"{'hash_on':5}", "hash_on: expected a string"},
        {"{'hash_on':''}", "hash_on: length must be at least 1"},
        {"{'hash_fallback':'moon'}",
         "2 schema violations (failed conditional validation given value of field 'hash_on'; "
         "hash_fallback: expected one of: none)"},
        {"{'hash_on':'ip','hash_fallback':'moon'}", "hash_fallback: expected one of: " HASH_INPUTS},
        {"{'hash_on_header':'a b'}", "hash_on_header: bad header name 'a b', allowed characters "
                                     "are A-Z, a-z, 0-9, '_', and '-'"},
        {"{'hash_fallback_header':'x:'}", "hash_fallback_header: bad header name 'x:', allowed "
                                          "characters are A-Z, a-z, 0-9, '_', and '-'"},
        {"{'hash_on_cookie':'a;b'}", "hash_on_cookie: bad cookie name 'a;b', allowed characters "
                                     "are A-Z, a-z, 0-9, '_', and '-'"},
        {"{'hash_on_cookie_path':'a'}", "hash_on_cookie_path: should start with: /"},
        {"{'hash_on_query_arg':''}", "hash_on_query_arg: length must be at least 1"},
        {"{'hash_fallback_query_arg':1}", "hash_fallback_query_arg: expected a string"},
        {"{'hash_on_uri_capture':''}", "hash_on_uri_capture: length must be at least 1"},
        {"{'hash_fallback_uri_capture':''}",
         "hash_fallback_uri_capture: length must be at least 1"},
        {"{'slots':10}", NULL},
        {"{'slots':9}", "slots: value should be between 10 and 65536"},
        {"{'slots':65537}", "slots: value should be between 10 and 65536"},
        {"{'tags':['a,b']}", "tags.1: invalid tag 'a,b': expected printable ascii (except `,` and "
                             "`/`) or valid utf-8 sequences"},
        {"{'host_header':'a.com:80'}", NULL},
        {"{'host_header':'a b'}", "host_header: invalid hostname: a b"},
        {"{'host_header':'a:99999'}", "host_header: invalid port number"},
        {"{'client_certificate':{'id':'x'}}", "client_certificate.id: expected a valid UUID"},
        {"{'use_srv_name':'x'}", "use_srv_name: expected a boolean"},
        {"{'healthchecks':5}", "healthchecks: expected a record"},
        {"{'healthchecks':null}", NULL},
        {"{'healthchecks':{'threshold':100.5}}",
         "healthchecks.threshold: value should be between 0 and 100"},
        {"{'healthchecks':{'threshold':12.5}}", NULL},
        {"{'healthchecks':{'activ':{}}}", "healthchecks.activ: unknown field"},
        {"{'healthchecks':{'active':5}}", "healthchecks.active: expected a record"},
        {"{'healthchecks':{'active':{'timeout':0.5,'concurrency':2147483648}}}", NULL},
        {"{'healthchecks':{'active':{'timeout':65536}}}",
         "healthchecks.active: {\n  timeout = \"value should be between 0 and 65535\"\n}"},
        {"{'healthchecks':{'active':{'timeout':'1'}}}",
         "healthchecks.active: {\n  timeout = \"expected a number\"\n}"},
        {"{'healthchecks':{'active':{'concurrency':0}}}",
         "healthchecks.active: {\n  concurrency = \"value should be between 1 and 2147483648\"\n}"},
        {"{'healthchecks':{'active':{'type':'udp'}}}",
         "healthchecks.active: {\n  type = \"expected one of: tcp, http, https, grpc, grpcs\"\n}"},
        {"{'healthchecks':{'active':{'http_path':'a'}}}",
         "healthchecks.active: {\n  http_path = \"should start with: /\"\n}"},
        {"{'healthchecks':{'active':{'https_sni':'10.0.0.1'}}}",
         "healthchecks.active: {\n  https_sni = \"must not be an IP\"\n}"},
        {"{'healthchecks':{'active':{'headers':{'x-a':['1']}}}}", NULL},
        {"{'healthchecks':{'active':{'healthy':{'interval':65535.5,'successes':256}}}}",
         "healthchecks.active: {\n  healthy = {\n    interval = \"value should be between 0 and "
         "65535\",\n    successes = \"value should be between 0 and 255\"\n  }\n}"},
        {"{'healthchecks':{'active':{'unhealthy':{'http_statuses':[99,200,'x']}}}}",
         "healthchecks.active: {\n  unhealthy = {\n    http_statuses = {\n      \"value should be "
         "between 100 and 999\",\n      [3] = \"expected an integer\"\n    }\n  }\n}"},
        {"{'healthchecks':{'passive':{'unhealthy':{'timeouts':-1}}}}",
         "healthchecks.passive: {\n  unhealthy = {\n    timeouts = \"value should be between 0 and "
         "255\"\n  }\n}"},
        {"{'healthchecks':{'passive':{'timeout':1}}}",
         "healthchecks.passive: {\n  timeout = \"unknown field\"\n}"},
    };
    assert_refusals("upstreams", "{'name':'u'}", NULL, refusals, COUNT_OF(refusals));
}

#define BY_HASH_ON "failed conditional validation given value of field 'hash_on'"
#define BY_FALLBACK "failed conditional validation given value of field 'hash_fallback'"

TEST(hashing_needs_what_it_hashes_on)
{
    static const struct refusal refusals[] = {
        {"{'hash_on':'header'}",
         "2 schema violations (" BY_HASH_ON "; hash_on_header: required field missing)"},
        {"{'hash_on':'cookie'}",
         "2 schema violations (" BY_HASH_ON "; hash_on_cookie: required field missing)"},
        {"{'hash_on':'query_arg'}",
         "2 schema violations (" BY_HASH_ON "; hash_on_query_arg: required field missing)"},
        {"{'hash_on':'uri_capture'}",
         "2 schema violations (" BY_HASH_ON "; hash_on_uri_capture: required field missing)"},
        {"{'hash_on':'header','hash_on_header':'x'}", NULL},
        {"{'hash_on':'ip','hash_fallback':'header'}",
         "2 schema violations (" BY_FALLBACK "; hash_fallback_header: required field missing)"},
        {"{'hash_on':'ip','hash_fallback':'cookie'}",
         "2 schema violations (" BY_FALLBACK "; hash_on_cookie: required field missing)"},
        {"{'hash_on':'ip','hash_fallback':'query_arg'}",
         "2 schema violations (" BY_FALLBACK "; hash_fallback_query_arg: required field missing)"},
        {"{'hash_on':'ip','hash_fallback':'uri_capture'}",
         "2 schema violations (" BY_FALLBACK
         "; hash_fallback_uri_capture: required field missing)"},
        {"{'hash_fallback':'ip'}",
         "2 schema violations (" BY_HASH_ON "; hash_fallback: expected one of: none)"},
        {"{'hash_on':'cookie','hash_on_cookie':'c','hash_fallback':'ip'}",
         "2 schema violations (" BY_HASH_ON "; hash_fallback: expected one of: none)"},
        {"{'hash_on':'consumer','hash_fallback':'consumer'}",
         "2 schema violations (" BY_HASH_ON "; hash_fallback: expected one of: none, ip, header, "
         "cookie, path, query_arg, uri_capture)"},
        {"{'hash_on':'ip','hash_fallback':'ip'}",
         "2 schema violations (" BY_HASH_ON "; hash_fallback: expected one of: none, consumer, "
         "header, cookie, path, query_arg, uri_capture)"},
        {"{'hash_on':'path','hash_fallback':'path'}",
         "2 schema violations (" BY_HASH_ON "; hash_fallback: expected one of: none, consumer, ip, "
         "header, cookie, query_arg, uri_capture)"},
        {"{'hash_on':'header','hash_fallback':'header','hash_on_header':'x',"
         "'hash_fallback_header':'x'}",
         "values of these fields must be distinct: 'hash_on_header', 'hash_fallback_header'"},
        {"{'hash_on':'header','hash_fallback':'header','hash_on_header':'x',"
         "'hash_fallback_header':'y'}",
         NULL},
        {"{'hash_on_query_arg':'x','hash_fallback_query_arg':'x'}",
         "values of these fields must be distinct: 'hash_on_query_arg', "
         "'hash_fallback_query_arg'"},
        {"{'hash_on_uri_capture':'x','hash_fallback_uri_capture':'x'}",
         "values of these fields must be distinct: 'hash_on_uri_capture', "
         "'hash_fallback_uri_capture'"},
    };
    assert_refusals("upstreams", "{'name':'u'}", NULL, refusals, COUNT_OF(refusals));
}

TEST(algorithm_and_hash_on_follow_each_other)
{
    static const char *const cases[][3] = {
        {"{}", "round-robin", "none"},
        {"{'hash_on':'ip'}", "consistent-hashing", "ip"},
        {"{'hash_on':'ip','algorithm':'round-robin'}", "consistent-hashing", "ip"},
        {"{'hash_on':'none','algorithm':'consistent-hashing'}", "round-robin", "none"},
        {"{'algorithm':'consistent-hashing'}", "consistent-hashing", "none"},
        {"{'algorithm':'least-connections','hash_on':'ip'}", "least-connections", "none"},
        {"{'algorithm':'latency'}", "latency", "none"},
        {"{'hash_on':null}", "round-robin", "none"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct violation violation = {0};
        json_t *row = make_row("upstreams", merged("{'name':'u'}", cases[i][0]), ENTITY_INSERT,
                               NULL, &violation);
        assert_string_equal(json_string_value(json_object_get(row, "algorithm")), cases[i][1]);
        assert_string_equal(json_string_value(json_object_get(row, "hash_on")), cases[i][2]);
        json_decref(row);
    }
}

TEST(healthchecks_merge_deep_and_lists_in_them_whole)
{
    struct violation violation = {0};
    json_t *row = make_row("upstreams",
                           parse("{'name':'u','healthchecks':{'active':{'timeout':2.0,'healthy':{"
                                 "'interval':5}}}}"),
                           ENTITY_INSERT, NULL, &violation);
    json_t *next = make_row("upstreams",
                            parse("{'healthchecks':{'active':{'healthy':{'http_statuses':[204],"
                                  "'successes':3}},'threshold':50}}"),
                            ENTITY_UPDATE, row, &violation);
    json_t *health = json_object_get(next, "healthchecks");
    json_t *active = json_object_get(health, "active");
    assert_same_json(json_object_get(active, "timeout"), "2");
    assert_same_json(json_object_get(active, "healthy"),
                     "{'interval':5,'successes':3,'http_statuses':[204]}");
    assert_same_json(json_object_get(health, "threshold"), "50");
    assert_same_json(json_object_get(json_object_get(health, "passive"), "type"), "'http'");
    json_decref(row);

    row = make_row("upstreams", parse("{'healthchecks':{'active':null}}"), ENTITY_UPDATE, next,
                   &violation);
    active = json_object_get(json_object_get(row, "healthchecks"), "active");
    assert_same_json(json_object_get(active, "timeout"), "1");
    assert_same_json(json_object_get(json_object_get(row, "healthchecks"), "threshold"), "50");
    json_decref(next);
    json_decref(row);
}

TEST(discovery_says_where_targets_come_from)
{
    static const struct refusal refusals[] = {
        {"{'discovery':{'type':'consul','service':'users','tags':['v2'],'datacenter':'dc1',"
         "'port':80,'passing_only':true}}",
         NULL},
        {"{'discovery':{'type':'dns-srv','name':'_users._tcp.example'}}", NULL},
        {"{'discovery':{'type':'dns','name':'users.example','port':8080}}", NULL},
        {"{'discovery':null}", NULL},
        {"{'discovery':{'type':'consul','service':'x','status':'any','exclude_tags':['old'],"
         "'filter':'Service.Meta.a == b','namespace':'n','partition':'p','peer':'q',"
         "'tagged_address':'wan','near':'zone','cached':true,'require_service_check':true}}",
         NULL},
        {"{'discovery':{'type':'consul','service':'x','status':'critical'}}",
         "discovery.status: expected one of: passing, passing+warning, any"},
        {"{'discovery':{'type':'consul','service':'x','status':'any','passing_only':true}}",
         "discovery.status: contradicts passing_only"},
        {"{'discovery':{'type':'consul','service':'x','namespace':'a b'}}",
         "discovery.namespace: must be a name of 1 to 128 characters without spaces"},
        {"{'discovery':{'type':'dns','name':'x','filter':'y'}}",
         "discovery.filter: only for type consul"},
        {"{'discovery':{}}", "discovery.type: required field missing"},
        {"{'discovery':{'type':'etcd'}}", "discovery.type: expected one of: consul, dns-srv, dns"},
        {"{'discovery':{'type':'consul'}}", "discovery.service: required field missing"},
        {"{'discovery':{'type':'dns-srv','service':'x'}}",
         "discovery.name: required field missing"},
        {"{'discovery':{'type':'dns'}}", "discovery.name: required field missing"},
        {"{'discovery':{'type':'consul','service':'x','tags':'v2'}}",
         "discovery.tags: expected an array"},
        {"{'discovery':{'type':'consul','service':'x','tags':['a',1]}}",
         "discovery.tags: {\n  [2] = \"expected a string\"\n}"},
        {"{'discovery':{'type':'consul','service':'x','port':65536}}",
         "discovery.port: value should be between 0 and 65535"},
        {"{'discovery':{'type':'consul','service':'x','passing_only':'yes'}}",
         "discovery.passing_only: expected a boolean"},
        {"{'discovery':{'type':'consul','service':'','dc':'x'}}",
         "2 schema violations (discovery.dc: unknown field; discovery.service: length must be at "
         "least 1)"},
        {"{'discovery':'consul'}", "discovery: expected a record"},
    };
    assert_refusals("upstreams", "{'name':'u'}", NULL, refusals, COUNT_OF(refusals));
}

TEST(discovery_shows_only_where_it_is_set)
{
    struct violation violation = {0};
    const struct entity *entity = entity_named("upstreams");
    json_t *row =
        make_row("upstreams", parse("{'name':'u','discovery':{'type':'consul','service':'x'}}"),
                 ENTITY_INSERT, NULL, &violation);
    json_t *body = entity_to_body(entity, row);
    assert_same_json(
        json_object_get(body, "discovery"),
        "{'type':'consul','service':'x','name':null,'tags':null,'datacenter':null,"
        "'port':null,'passing_only':false,'status':null,'exclude_tags':null,'filter':null,"
        "'namespace':null,'partition':null,'peer':null,'tagged_address':null,'near':null,'cached':"
        "false,"
        "'require_service_check':false}");
    json_decref(body);

    json_t *next =
        make_row("upstreams", parse("{'discovery':null}"), ENTITY_UPDATE, row, &violation);
    body = entity_to_body(entity, next);
    assert_null(json_object_get(body, "discovery"));
    json_decref(body);
    json_decref(row);

    row = make_row("upstreams", parse("{'discovery':{'type':'dns','name':'a'}}"), ENTITY_UPDATE,
                   next, &violation);
    assert_same_json(json_object_get(json_object_get(row, "discovery"), "passing_only"), "false");
    json_decref(next);
    json_decref(row);
}

RUN(T(an_upstream_has_every_default), T(each_field_has_its_limits),
    T(hashing_needs_what_it_hashes_on), T(algorithm_and_hash_on_follow_each_other),
    T(healthchecks_merge_deep_and_lists_in_them_whole), T(discovery_says_where_targets_come_from),
    T(discovery_shows_only_where_it_is_set))
