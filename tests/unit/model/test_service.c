#include "unit/model/rows.h"

TEST(a_service_from_a_url_has_every_field_in_order)
{
    struct violation violation = {0};
    json_t *row = make_row("services",
                           parse("{'name':'s','url':'http://h:8080/x','id':'4E13F54A-BBF1-47A8-"
                                 "8777-255FED7116F2','created_at':1731000000}"),
                           ENTITY_INSERT, NULL, &violation);
    json_object_set_new(row, "updated_at", json_integer(1731000000));
    json_t *body = entity_to_body(entity_named("services"), row);
    char *text = json_dumps(body, ENTITY_DUMP_FLAGS);
    assert_string_equal(
        text, "{\"id\":\"4e13f54a-bbf1-47a8-8777-255fed7116f2\",\"name\":\"s\",\"protocol\":"
              "\"http\",\"host\":\"h\",\"port\":8080,\"path\":\"/x\",\"retries\":5,\"connect_"
              "timeout\":60000,\"write_timeout\":60000,\"read_timeout\":60000,\"enabled\":true,"
              "\"tags\":null,\"client_certificate\":null,\"tls_verify\":null,\"tls_verify_depth\":"
              "null,\"ca_certificates\":null,\"created_at\":1731000000,\"updated_at\":1731000000}");
    free(text);
    json_decref(body);
    json_decref(row);
}

TEST(each_field_has_its_limits)
{
    static const struct refusal refusals[] = {
        {"{}", NULL},
        {"{'host':null}", "host: required field missing"},
        {"{'id':'x'}", "id: expected a valid UUID"},
        {"{'id':5}", "id: expected a string"},
        {"{'id':null}", NULL},
        {"{'created_at':1731000000}", NULL},
        {"{'created_at':0}", "created_at: expected a valid timestamp"},
        {"{'created_at':'now'}", "created_at: expected an integer"},
        {"{'updated_at':1}", NULL},
        {"{'name':'a.B-c_d~1\xc3\xbc'}", NULL},
        {"{'name':'a b'}", "name: invalid value 'a b': the only accepted ascii characters are "
                           "alphanumerics or ., -, _, and ~"},
        {"{'name':''}", "name: length must be at least 1"},
        {"{'name':5}", "name: expected a string"},
        {"{'protocol':null}", "protocol: required field missing"},
        {"{'protocol':'ftp'}", "protocol: expected one of: grpc, grpcs, http, https, tcp, tls, "
                               "tls_passthrough, udp"},
        {"{'protocol':'tls_passthrough'}", NULL},
        {"{'host':'10.0.0.1'}", NULL},
        {"{'host':'::1'}", NULL},
        {"{'host':'a b'}", "host: invalid value: a b"},
        {"{'host':'a:80'}", "host: must not have a port"},
        {"{'host':'a:99999'}", "host: must not have a port"},
        {"{'host':true}", "host: expected a string"},
        {"{'port':0}", NULL},
        {"{'port':65535.0}", NULL},
        {"{'port':65536}", "port: value should be between 0 and 65535"},
        {"{'port':-1}", "port: value should be between 0 and 65535"},
        {"{'port':80.5}", "port: expected an integer"},
        {"{'port':'80'}", "port: expected an integer"},
        {"{'port':null}", "port: required field missing"},
        {"{'path':'/a/b%20c:@!$&()*+,;=-._~'}", NULL},
        {"{'path':'a'}", "path: should start with: /"},
        {"{'path':'/a//b'}", "path: must not have empty segments"},
        {"{'path':'/a b'}", "path: invalid path: '/a b' (characters outside of the reserved list "
                            "of RFC 3986 found)"},
        {"{'path':'/a%zzb'}", "path: invalid url-encoded value: '%zz'"},
        {"{'path':'/a%4'}", "path: invalid url-encoded value: '%4'"},
        {"{'path':null}", NULL},
        {"{'retries':32767}", NULL},
        {"{'retries':32768}", "retries: value should be between 0 and 32767"},
        {"{'connect_timeout':0}", "connect_timeout: value should be between 1 and 2147483646"},
        {"{'write_timeout':2147483647}", "write_timeout: value should be between 1 and 2147483646"},
        {"{'read_timeout':2147483646}", NULL},
        {"{'read_timeout':null}", NULL},
        {"{'tags':['a','b c','\xc3\xbc','a']}", NULL},
        {"{'tags':[]}", NULL},
        {"{'tags':'a'}", "tags: expected a set"},
        {"{'tags':{'a':1}}", "tags: expected a set"},
        {"{'tags':['ok','a,b']}", "tags.2: invalid tag 'a,b': expected printable ascii (except "
                                  "`,` and `/`) or valid utf-8 sequences"},
        {"{'tags':[1,'a',null,'']}", "3 schema violations (tags.1: expected a string; tags.3: "
                                     "required field missing; tags.4: length must be at least 1)"},
        {"{'enabled':'true'}", "enabled: expected a boolean"},
        {"{'enabled':null}", "enabled: required field missing"},
        {"{'protocol':'https','client_certificate':{'id':'x'}}",
         "client_certificate.id: expected a valid UUID"},
        {"{'protocol':'https','client_certificate':{}}",
         "client_certificate.id: missing primary key"},
        {"{'protocol':'https','client_certificate':'x'}",
         "client_certificate.id: missing primary key"},
        {"{'protocol':'https','client_certificate':{'id':1}}",
         "client_certificate.id: expected a string"},
        {"{'protocol':'https','tls_verify':true,'tls_verify_depth':64}", NULL},
        {"{'protocol':'tls','tls_verify_depth':65}",
         "tls_verify_depth: value should be between 0 and 64"},
        {"{'protocol':'https','ca_certificates':['x']}",
         "ca_certificates.1: expected a valid UUID"},
        {"{'protocol':'https','ca_certificates':['4e13f54a-bbf1-47a8-8777-255fed7116f2']}", NULL},
        {"{'protocol':'https','ca_certificates':5}", "ca_certificates: expected an array"},
        {"{'foo':1}", "foo: unknown field"},
        {"{'a.b':null}", "a.b: unknown field"},
    };
    assert_refusals("services", "{'host':'h'}", NULL, refusals, COUNT_OF(refusals));
}

#define BY_PROTOCOL "failed conditional validation given value of field 'protocol'"

TEST(some_fields_go_with_some_protocols_only)
{
    static const struct refusal refusals[] = {
        {"{'protocol':'tcp','path':'/x','foo':1}",
         "3 schema violations (" BY_PROTOCOL "; foo: unknown field; path: value must be null)"},
        {"{'protocol':'grpcs','path':'bad'}",
         "2 schema violations (" BY_PROTOCOL "; path: value must be null)"},
        {"{'protocol':'tls_passthrough','path':'/x'}", NULL},
        {"{'tls_verify':false,'tls_verify_depth':1}",
         "4 schema violations (" BY_PROTOCOL "; " BY_PROTOCOL
         "; tls_verify: value must be null; tls_verify_depth: value must be null)"},
        {"{'ca_certificates':[]}",
         "2 schema violations (" BY_PROTOCOL "; ca_certificates: value must be null)"},
        {"{'proxy_protocol':'v1'}",
         "2 schema violations (" BY_PROTOCOL "; proxy_protocol: value must be null)"},
        {"{'protocol':'tcp','proxy_protocol':'v3'}", "proxy_protocol: expected one of: v1, v2"},
        {"{'protocol':'tls_passthrough','proxy_protocol':'v2'}", NULL},
        {"{'protocol':'nonsense','path':'/x','tls_verify':true}",
         "protocol: expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp"},
    };
    assert_refusals("services", "{'host':'h'}", NULL, refusals, COUNT_OF(refusals));
}

struct url_case {
    const char *url;
    const char *parts; /* protocol, host, port, path; or the message */
};

TEST(url_is_a_shorthand)
{
    static const struct url_case cases[] = {
        {"http://h", "['http','h',80,null]"},
        {"https://h", "['https','h',443,null]"},
        {"https://h:8443/", "['https','h',8443,'/']"},
        {"http://h/a/b?q=1#f", "['http','h',80,'/a/b']"},
        {"http://user:pw@h:81/a;p", "['http','h',81,'/a']"},
        {"http://[::1]:81/a", "['http','::1',81,'/a']"},
        {"http://[::1]", "['http','::1',80,null]"},
        {"//h:443/a", "['https','h',443,'/a']"},
        {"//h:80", "['http','h',80,null]"},
        {"//h", "['http','h',80,null]"},
        {"tcp://h:5432", "['tcp','h',5432,null]"},
        {"grpc://h", "['grpc','h',80,null]"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct violation violation = {0};
        json_t *row = make_row("services", json_pack("{ss}", "url", cases[i].url), ENTITY_INSERT,
                               NULL, &violation);
        assert_non_null(row);
        json_t *parts =
            json_pack("[O,O,O,O]", json_object_get(row, "protocol"), json_object_get(row, "host"),
                      json_object_get(row, "port"), json_object_get(row, "path"));
        assert_same_json(parts, cases[i].parts);
        json_decref(parts);
        json_decref(row);
    }
    static const struct refusal refusals[] = {
        {"{'url':'/only/path'}", "host: required field missing"},
        {"{'url':'http://'}", "host: required field missing"},
        {"{'url':'h:8080'}",
         "3 schema violations (host: required field missing; path: should start with: /; protocol: "
         "expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp)"},
        {"{'url':'http://h:x/'}", "port: expected an integer"},
        {"{'url':'http://h:99999'}", "port: value should be between 0 and 65535"},
        {"{'url':''}", "url: length must be at least 1"},
        {"{'url':5}", "url: expected a string"},
        {"{'url':null}", "host: required field missing"},
        {"{'url':'http://h','host':'other','port':1}", NULL},
    };
    assert_refusals("services", "{}", NULL, refusals, COUNT_OF(refusals));
}

TEST(a_patch_changes_what_it_names)
{
    struct violation violation = {0};
    json_t *row = make_row("services",
                           parse("{'name':'s','url':'http://h:81/x','tags':['a'],'created_at':5}"),
                           ENTITY_INSERT, NULL, &violation);
    json_t *id = json_incref(json_object_get(row, "id"));
    json_t *next = make_row("services", parse("{'retries':1,'tags':['b'],'name':null}"),
                            ENTITY_UPDATE, row, &violation);
    assert_same_json(json_object_get(next, "retries"), "1");
    assert_same_json(json_object_get(next, "tags"), "['b']");
    assert_same_json(json_object_get(next, "name"), "null");
    assert_same_json(json_object_get(next, "path"), "'/x'");
    assert_same_json(json_object_get(next, "created_at"), "5");
    assert_true(json_equal(json_object_get(next, "id"), id));
    json_decref(next);

    next = make_row("services", parse("{'url':'http://other'}"), ENTITY_UPDATE, row, &violation);
    assert_same_json(json_object_get(next, "path"), "null");
    json_decref(next);

    next =
        make_row("services", parse("{'host':'z','created_at':7}"), ENTITY_REPLACE, row, &violation);
    assert_same_json(json_object_get(next, "name"), "null");
    assert_same_json(json_object_get(next, "created_at"), "7");
    json_decref(next);

    static const struct refusal refusals[] = {
        {"{'host':null}", "host: required field missing"},
        {"{'protocol':'tcp'}", "2 schema violations (" BY_PROTOCOL "; path: value must be null)"},
        {"{'protocol':'tcp','path':null}", NULL},
        {"{'nonsense':1}", "nonsense: unknown field"},
    };
    assert_refusals("services", "{}", row, refusals, COUNT_OF(refusals));
    json_decref(id);
    json_decref(row);
}

RUN(T(a_service_from_a_url_has_every_field_in_order), T(each_field_has_its_limits),
    T(some_fields_go_with_some_protocols_only), T(url_is_a_shorthand),
    T(a_patch_changes_what_it_names))
