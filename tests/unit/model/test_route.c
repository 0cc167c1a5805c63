#include "unit/model/rows.h"

TEST(a_route_has_every_field_in_order)
{
    struct violation violation = {0};
    json_t *row =
        make_row("routes",
                 parse("{'name':'r','paths':['/a'],'id':'4e13f54a-bbf1-47a8-8777-255fed7116f2',"
                       "'service':{'id':'4E13F54A-bbf1-47a8-8777-255fed7116f3','name':'ignored'},"
                       "'created_at':5}"),
                 ENTITY_INSERT, NULL, &violation);
    json_object_set_new(row, "updated_at", json_integer(6));
    json_t *body = entity_to_body(entity_named("routes"), row);
    char *text = json_dumps(body, ENTITY_DUMP_FLAGS);
    assert_string_equal(
        text,
        "{\"id\":\"4e13f54a-bbf1-47a8-8777-255fed7116f2\",\"name\":\"r\",\"service\":{\"id\":"
        "\"4e13f54a-bbf1-47a8-8777-255fed7116f3\"},\"protocols\":[\"http\",\"https\"],\"methods\":"
        "null,\"hosts\":null,\"paths\":[\"/a\"],\"headers\":null,\"snis\":null,\"sources\":null,"
        "\"destinations\":null,\"https_redirect_status_code\":426,\"regex_priority\":0,\"strip_"
        "path\":true,\"path_handling\":\"v0\",\"preserve_host\":false,\"request_buffering\":true,"
        "\"response_buffering\":true,\"tags\":null,\"created_at\":5,\"updated_at\":6}");
    free(text);
    json_decref(body);
    json_decref(row);
}

#define PCRE "(PCRE returned: pcre2_compile() failed: "

TEST(each_field_has_its_limits)
{
    static const struct refusal refusals[] = {
        {"{}", NULL},
        {"{'name':'a/b'}", "name: invalid value 'a/b': the only accepted ascii characters are "
                           "alphanumerics or ., -, _, and ~"},
        {"{'service':null}", NULL},
        {"{'service':{'id':null}}", "service.id: missing primary key"},
        {"{'service':{'id':'x','other':1}}", "service.id: expected a valid UUID"},
        {"{'protocols':null}", "protocols: required field missing"},
        {"{'protocols':[]}", "protocols: unknown type: nil"},
        {"{'protocols':['ftp'],'paths':5}", "protocols: unknown type: ftp"},
        {"{'protocols':'ftp'}", "protocols: unknown type: ftp"},
        {"{'protocols':'http'}", "protocols: expected a set"},
        {"{'protocols':5}", "protocols: expected a set"},
        {"{'protocols':['http','ftp']}", "protocols.2: expected one of: grpc, grpcs, http, https, "
                                         "tcp, tls, tls_passthrough, udp"},
        {"{'protocols':['http','http']}", NULL},
        {"{'protocols':['http','tcp']}", "protocols: these sets are mutually exclusive: ('http', "
                                         "'https'), ('tcp', 'tls', 'udp')"},
        {"{'protocols':['grpc','https']}", "protocols: these sets are mutually exclusive: "
                                           "('http', 'https'), ('grpc', 'grpcs')"},
        {"{'protocols':['tls','tls_passthrough'],'snis':['a'],'paths':null}",
         "protocols: these sets are mutually exclusive: ('tcp', 'tls', 'udp'), "
         "('tls_passthrough')"},
        {"{'methods':['GET','PURGE','GET']}", NULL},
        {"{'methods':['get']}", "methods.1: invalid value: get"},
        {"{'methods':['GET,POST']}", "methods.1: invalid value: GET,POST"},
        {"{'methods':'GET'}", "methods: expected a set"},
        {"{'hosts':['a.com','a.com:80','*.a.com','a.*','*.a.com:80','10.0.0.1','[::1]:80']}", NULL},
        {"{'hosts':['*.a.*']}", "hosts.1: invalid wildcard: must have at most one wildcard"},
        {"{'hosts':['a.com','*a.com']}",
         "hosts.2: invalid wildcard: must be placed at leftmost or rightmost label"},
        {"{'hosts':['a.*.com']}",
         "hosts.1: invalid wildcard: must be placed at leftmost or rightmost label"},
        {"{'hosts':['/a']}", "hosts.1: invalid hostname: /a"},
        {"{'hosts':['a-.b']}", "hosts.1: invalid hostname: a-.b"},
        {"{'hosts':['*.a b']}", "hosts.1: invalid hostname: abc.a b"},
        {"{'hosts':['1.2.3']}", "hosts.1: invalid ipv4 address: 1.2.3"},
        {"{'hosts':['g::1']}", "hosts.1: invalid ipv6 address: g::1"},
        {"{'hosts':['a.com:100000']}", "hosts.1: invalid port number"},
        {"{'hosts':['']}", "hosts.1: length must be at least 1"},
        {"{'hosts':'a'}", "hosts: expected an array"},
        {"{'paths':['/','/a%2Fb','/a/','~/a/(?<id>[0-9]+)$','/a b']}", NULL},
        {"{'paths':['a']}", "paths.1: should start with: / (fixed path) or ~/ (regex path)"},
        {"{'paths':['~a']}", "paths.1: should start with: / (fixed path) or ~/ (regex path)"},
        {"{'paths':['/a//b']}", "paths.1: must not have empty segments"},
        {"{'paths':['~/a//b']}", "paths.1: must not have empty segments"},
        {"{'paths':['/a%zz']}", "paths.1: invalid url-encoded value: '%zz'"},
        {"{'paths':['/a/../b']}", "paths.1: non-normalized path, consider use '/b' instead"},
        {"{'paths':['/a%20b']}", "paths.1: non-normalized path, consider use '/a b' instead"},
        {"{'paths':['/%61']}", "paths.1: non-normalized path, consider use '/a' instead"},
        {"{'paths':['~/a(b']}",
         "paths.1: invalid regex: '/a(b' " PCRE "missing closing parenthesis in \"/a(b\")"},
        {"{'paths':['~/a)b']}", "paths.1: invalid regex: '/a)b' " PCRE
                                "unmatched closing parenthesis in \"/a)b\" at \")b\")"},
        {"{'headers':{'x-a':['1'],'X_b':['~*1','2']}}", NULL},
        {"{'headers':{'Host':['a']}}", "headers: cannot contain 'host' header, which must be "
                                       "specified in the 'hosts' attribute"},
        {"{'headers':{'a b':['a']}}", "headers: bad header name 'a b', allowed characters are A-Z, "
                                      "a-z, 0-9, '_', and '-'"},
        {"{'headers':{'a':['~*^v[12]$']}}", NULL},
        {"{'headers':{'a':['~*(']}}",
         "headers: invalid regex: '(' (PCRE returned: pcre2_compile() failed: missing closing "
         "parenthesis in \"(\")"},
        {"{'headers':{'a':'b'}}", "headers: expected an array"},
        {"{'headers':{'a':null}}", "headers: required field missing"},
        {"{'headers':{'a':['b',1]}}", "headers.2: expected a string"},
        {"{'headers':['a']}", "headers: expected a map"},
        {"{'headers':[]}", NULL},
        {"{'snis':['a.com','*.a.com','a.*']}", NULL},
        {"{'snis':['a*.com']}", "snis.1: wildcard must be leftmost or rightmost character"},
        {"{'snis':['*.a.*']}", "snis.1: only one wildcard must be specified"},
        {"{'snis':['10.0.0.1']}", "snis.1: must not be an IP"},
        {"{'snis':['a.com:80']}", "snis.1: must not have a port"},
        {"{'snis':['a b']}", "snis.1: invalid value: a b"},
        {"{'https_redirect_status_code':308}", NULL},
        {"{'https_redirect_status_code':404}",
         "https_redirect_status_code: expected one of: 426, 301, 302, 307, 308"},
        {"{'https_redirect_status_code':null}",
         "https_redirect_status_code: required field missing"},
        {"{'regex_priority':-5}", NULL},
        {"{'regex_priority':'1'}", "regex_priority: expected an integer"},
        {"{'strip_path':null}", "strip_path: required field missing"},
        {"{'path_handling':'v1'}", NULL},
        {"{'path_handling':'v2'}", "path_handling: expected one of: v0, v1"},
        {"{'preserve_host':1}", "preserve_host: expected a boolean"},
        {"{'request_buffering':'no'}", "request_buffering: expected a boolean"},
        {"{'response_buffering':null}", "response_buffering: required field missing"},
        {"{'tags':['a/b']}", "tags.1: invalid tag 'a/b': expected printable ascii (except `,` and "
                             "`/`) or valid utf-8 sequences"},
        {"{'expression':'true','priority':1}",
         "2 schema violations (expression: unknown field; priority: unknown field)"},
    };
    assert_refusals("routes", "{'paths':['/a']}", NULL, refusals, COUNT_OF(refusals));
}

TEST(each_family_of_protocols_needs_a_matcher)
{
    static const struct refusal refusals[] = {
        {"{}", "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is "
               "'https'"},
        {"{'protocols':['http'],'paths':[],'headers':{}}",
         "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'"},
        {"{'protocols':['https'],'snis':['a']}", NULL},
        {"{'protocols':['http'],'snis':['a']}",
         "3 schema violations ('snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' "
         "or 'tls_passthrough'; must set one of 'methods', 'hosts', 'headers', 'paths' when "
         "'protocols' is 'http'; snis: length must be 0)"},
        {"{'protocols':['http'],'snis':['a b'],'paths':['/']}",
         "2 schema violations ('snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' "
         "or 'tls_passthrough'; snis: length must be 0)"},
        {"{'protocols':['http'],'snis':[],'paths':['/']}", NULL},
        {"{'protocols':['grpcs']}",
         "must set one of 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'grpcs'"},
        {"{'protocols':['grpc']}",
         "must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'"},
        {"{'protocols':['tcp']}", "must set one of 'sources', 'destinations', 'snis' when "
                                  "'protocols' is 'tcp', 'tls' or 'udp'"},
        {"{'protocols':['udp','tcp']}", "must set one of 'sources', 'destinations', 'snis' when "
                                        "'protocols' is 'tcp', 'tls' or 'udp'"},
        {"{'protocols':['tls_passthrough']}",
         "must set snis when 'protocols' is 'tls_passthrough'"},
        {"{'protocols':['tls'],'snis':['a']}", NULL},
        {"{'protocols':['tcp'],'sources':[{'ip':'10.0.0.0/8'},{'port':80}]}", NULL},
        {"{'protocols':['tcp'],'destinations':[{'ip':'10.0.0.0/33'}]}",
         "destinations.1: {\n  ip = \"invalid ip or cidr range: '10.0.0.0/33'\"\n}"},
        {"{'protocols':['tcp'],'sources':[{}]}",
         "sources.1: {\n  [\"@entity\"] = {\n    \"at least one of these fields must be "
         "non-empty: 'ip', 'port'\"\n  }\n}"},
        {"{'protocols':['tcp'],'sources':[{'port':1,'x':1}]}",
         "sources.1: {\n  x = \"unknown field\"\n}"},
        {"{'protocols':['tcp'],'sources':['a']}", "sources.1: expected a record"},
    };
    assert_refusals("routes", "{}", NULL, refusals, COUNT_OF(refusals));
}

TEST(each_family_forbids_the_others_matchers)
{
    static const struct refusal refusals[] = {
        {"{'sources':[],'paths':['/']}",
         "sources: cannot set 'sources' when 'protocols' is 'http' or 'https'"},
        {"{'destinations':[{'port':1}],'paths':['/']}",
         "destinations: cannot set 'destinations' when 'protocols' is 'http' or 'https'"},
        {"{'protocols':['grpc'],'methods':'GET','paths':['/']}",
         "methods: cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs'"},
        {"{'protocols':['grpc'],'strip_path':true,'paths':['/']}",
         "strip_path: cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'"},
        {"{'protocols':['grpc'],'strip_path':5,'paths':['/']}", "strip_path: expected a boolean"},
        {"{'protocols':['tcp'],'sources':[{'port':1}],'paths':['/']}",
         "paths: cannot set 'paths' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'"},
    };
    assert_refusals("routes", "{}", NULL, refusals, COUNT_OF(refusals));
}

TEST(grpc_routes_keep_their_path)
{
    struct violation violation = {0};
    json_t *row = make_row("routes", parse("{'protocols':['grpc'],'hosts':['a']}"), ENTITY_INSERT,
                           NULL, &violation);
    assert_same_json(json_object_get(row, "strip_path"), "false");
    json_decref(row);
}

TEST(sets_collapse_and_records_in_them_are_whole)
{
    struct violation violation = {0};
    json_t *row = make_row(
        "routes", parse("{'protocols':['tcp','tcp'],'sources':[{'port':80}],'tags':['b','a','b']}"),
        ENTITY_INSERT, NULL, &violation);
    assert_same_json(json_object_get(row, "protocols"), "['tcp']");
    assert_same_json(json_object_get(row, "tags"), "['b','a']");
    assert_same_json(json_object_get(row, "sources"), "[{'ip':null,'port':80}]");
    json_decref(row);
}

TEST(a_patch_is_checked_with_what_stays)
{
    struct violation violation = {0};
    json_t *row = make_row("routes", parse("{'paths':['/a']}"), ENTITY_INSERT, NULL, &violation);
    static const struct refusal refusals[] = {
        {"{'paths':null}", "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when "
                           "'protocols' is 'https'"},
        {"{'paths':null,'hosts':['a']}", NULL},
        {"{'protocols':['grpc']}",
         "strip_path: cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'"},
        {"{'protocols':['tcp'],'paths':null,'sources':[{}]}",
         "sources.1: {\n  [\"@entity\"] = {\n    \"when updating, at least one of these fields "
         "must be non-empty: 'ip', 'port'\"\n  }\n}"},
    };
    assert_refusals("routes", "{}", row, refusals, COUNT_OF(refusals));
    json_decref(row);
}

RUN(T(a_route_has_every_field_in_order), T(each_field_has_its_limits),
    T(each_family_of_protocols_needs_a_matcher), T(each_family_forbids_the_others_matchers),
    T(grpc_routes_keep_their_path), T(sets_collapse_and_records_in_them_are_whole),
    T(a_patch_is_checked_with_what_stays))
