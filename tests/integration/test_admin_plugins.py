"""Plugins' configurations, of all that are bundled: tables of what is taken, filled in and refused.

What a field's good and bad values are is made from the schemas that the node itself describes; what
no schema says (defaults, rules between fields, messages) stands in tables here.
"""

import copy
import uuid

import pytest

from support.schemas import at, bad_values, error_at, fields_of, good_values, merged

URL = "http://logs.example/x"
LLM = {"route_type": "llm/v1/chat", "model": {"provider": "openai", "name": "m"},
       "auth": {"header_name": "Authorization", "header_value": "Bearer x"}}

# The least that each takes.
MINIMAL = {
    "acl": {"allow": ["g"]},
    "acme": {"account_email": "a@example.com"},
    "ai-prompt-decorator": {"prompts": {"append": [{"role": "user", "content": "c"}]}},
    "ai-prompt-guard": {"allow_patterns": [".*"]},
    "ai-prompt-template": {"templates": [{"name": "n", "template": "t"}]},
    "ai-proxy": LLM,
    "ai-request-transformer": {"prompt": "p", "llm": LLM},
    "ai-response-transformer": {"prompt": "p", "llm": LLM},
    "aws-lambda": {},
    "azure-functions": {"appname": "a", "functionname": "f"},
    "basic-auth": {}, "bot-detection": {}, "correlation-id": {}, "cors": {}, "datadog": {},
    "file-log": {"path": "/tmp/x"},
    "grpc-gateway": {}, "grpc-web": {}, "hmac-auth": {},
    "http-log": {"http_endpoint": URL},
    "ip-restriction": {"allow": ["10.0.0.0/8"]},
    "jwt": {}, "key-auth": {},
    "ldap-auth": {"ldap_host": "h", "base_dn": "dc=x", "attribute": "cn"},
    "loggly": {"key": "k"},
    "oauth2": {"enable_password_grant": True},
    "opentelemetry": {"traces_endpoint": URL},
    "post-function": {"log": ["x()"]}, "pre-function": {"access": ["x()"]},
    "prometheus": {},
    "proxy-cache": {"strategy": "memory"},
    "rate-limiting": {"minute": 5},
    "redirect": {"location": URL},
    "request-size-limiting": {}, "request-termination": {}, "request-transformer": {},
    "response-ratelimiting": {"limits": {"sms": {"minute": 1}}},
    "response-transformer": {}, "session": {},
    "standard-webhooks": {"secret_v1": "s"},
    "statsd": {}, "syslog": {},
    "tcp-log": {"host": "h", "port": 1}, "udp-log": {"host": "h", "port": 1},
    "zipkin": {},
}
MADE = {("oauth2", "provision_key"), ("session", "secret")}

QUEUE = {"max_batch_size": 1, "max_coalescing_delay": 1, "max_entries": 10000, "max_bytes": None,
         "max_retry_time": 60, "initial_retry_delay": 0.01, "max_retry_delay": 60,
         "concurrency_limit": 1}
REDIS = {"host": None, "port": 6379, "timeout": 2000, "username": None, "password": None,
         "database": 0, "ssl": False, "ssl_verify": False, "server_name": None}
REDIS_ECHO = {f"redis_{name}": value for name, value in REDIS.items()}
NO_ENTRIES = {"body": [], "headers": [], "querystring": []}

# What the API's users know by heart: the whole answer of each.
DEFAULTS = {
    "acl": {"allow": ["g"], "deny": None, "hide_groups_header": False,
            "always_use_authenticated_groups": False},
    "basic-auth": {"anonymous": None, "hide_credentials": False, "realm": "service"},
    "bot-detection": {"allow": [], "deny": []},
    "correlation-id": {"header_name": "Kong-Request-ID", "generator": "uuid#counter",
                       "echo_downstream": False},
    "cors": {"origins": None, "headers": None, "exposed_headers": None,
             "methods": ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE",
                         "CONNECT"], "max_age": None, "credentials": False,
             "private_network": False, "preflight_continue": False},
    "file-log": {"path": "/tmp/x", "reopen": False, "custom_fields_by_lua": None},
    "hmac-auth": {"hide_credentials": False, "clock_skew": 300, "anonymous": None,
                  "validate_request_body": False, "enforce_headers": [],
                  "algorithms": ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"],
                  "realm": None},
    "http-log": {"http_endpoint": URL, "method": "POST", "content_type": "application/json",
                 "timeout": 10000, "keepalive": 60000, "retry_count": None, "queue_size": None,
                 "flush_timeout": None, "headers": None, "queue": QUEUE,
                 "custom_fields_by_lua": None},
    "ip-restriction": {"allow": ["10.0.0.0/8"], "deny": None, "status": None, "message": None},
    "jwt": {"uri_param_names": ["jwt"], "cookie_names": [], "key_claim_name": "iss",
            "secret_is_base64": False, "claims_to_verify": None, "anonymous": None,
            "run_on_preflight": True, "maximum_expiration": 0, "header_names": ["authorization"],
            "realm": None},
    "key-auth": {"key_names": ["apikey"], "hide_credentials": False, "anonymous": None,
                 "key_in_header": True, "key_in_query": True, "key_in_body": False,
                 "run_on_preflight": True, "realm": None},
    "opentelemetry": {"traces_endpoint": URL, "logs_endpoint": None, "endpoint": URL,
                      "headers": None, "resource_attributes": None,
                      "queue": {**QUEUE, "max_batch_size": 200}, "batch_span_count": None,
                      "batch_flush_delay": None, "connect_timeout": 1000, "send_timeout": 5000,
                      "read_timeout": 5000, "http_response_header_for_traceid": None,
                      "header_type": "preserve", "sampling_rate": None,
                      "propagation": {"extract": None, "clear": None, "inject": None,
                                      "default_format": "w3c"}},
    "prometheus": {"per_consumer": False, "status_code_metrics": False, "ai_metrics": False,
                   "latency_metrics": False, "bandwidth_metrics": False,
                   "upstream_health_metrics": False},
    "proxy-cache": {"response_code": [200, 301, 404], "request_method": ["GET", "HEAD"],
                    "content_type": ["text/plain", "application/json"], "cache_ttl": 300,
                    "strategy": "memory", "cache_control": False, "ignore_uri_case": False,
                    "storage_ttl": None, "memory": {"dictionary_name": "kong_db_cache"},
                    "vary_query_params": None, "vary_headers": None,
                    "response_headers": {"age": True, "X-Cache-Status": True,
                                         "X-Cache-Key": True}},
    "rate-limiting": {"second": None, "minute": 5, "hour": None, "day": None, "month": None,
                      "year": None, "limit_by": "consumer", "header_name": None, "path": None,
                      "policy": "local", "fault_tolerant": True, "hide_client_headers": False,
                      "error_code": 429, "error_message": "API rate limit exceeded",
                      "sync_rate": -1, "redis": REDIS, **REDIS_ECHO},
    "redirect": {"status_code": 301, "location": URL, "keep_incoming_path": False},
    "request-size-limiting": {"allowed_payload_size": 128, "size_unit": "megabytes",
                              "require_content_length": False},
    "request-termination": {"status_code": 503, "message": None, "content_type": None,
                            "body": None, "echo": False, "trigger": None},
    "request-transformer": {"http_method": None, "remove": NO_ENTRIES, "rename": NO_ENTRIES,
                            "replace": {**NO_ENTRIES, "uri": None}, "add": NO_ENTRIES,
                            "append": NO_ENTRIES},
    "response-ratelimiting": {"header_name": "x-kong-limit", "limit_by": "consumer",
                              "policy": "local", "fault_tolerant": True, "redis": REDIS,
                              "block_on_first_violation": False, "hide_client_headers": False,
                              "limits": {"sms": {"second": None, "minute": 1, "hour": None,
                                                 "day": None, "month": None, "year": None}},
                              **REDIS_ECHO},
    "tcp-log": {"host": "h", "port": 1, "timeout": 10000, "keepalive": 60000, "tls": False,
                "tls_sni": None, "custom_fields_by_lua": None},
    "udp-log": {"host": "h", "port": 1, "timeout": 10000, "custom_fields_by_lua": None},
}

# plugin, config, and the fields (under config, unless they are the row's) of the refusal.
ENTITY = "@entity"
RULES = [
    ("acl", {}, {ENTITY: ["exactly one of these fields must be non-empty: 'config.allow', "
                          "'config.deny'"]}),
    ("acl", {"allow": ["a"], "deny": ["b"]},
     {ENTITY: ["exactly one of these fields must be non-empty: 'config.allow', 'config.deny'"]}),
    ("acme", {}, {"config": {"account_email": "required field missing"}}),
    ("ai-proxy", {"route_type": "llm/v1/chat", "model": {"provider": "openai"}},
     {"config": {ENTITY: ["must set one of 'auth.header_name', 'auth.param_name', and its "
                          "respective options, when provider is not self-hosted"]}}),
    ("ai-prompt-guard", {}, {ENTITY: ["at least one of these fields must be non-empty: "
                                      "'config.allow_patterns', 'config.deny_patterns'"]}),
    ("aws-lambda", {"aws_key": "k"},
     {ENTITY: ["all or none of these fields must be set: 'config.aws_key', 'config.aws_secret'"]}),
    ("bot-detection", {"allow": ["("]}, {"config": {"allow": ["not a valid regex: ("]}}),
    ("cors", {"origins": ["("]}, {"config": {"origins": ["'(' is not a valid regex"]}}),
    ("cors", {"methods": ["GET", "PULL"]},
     {"config": {"methods": [None, "expected one of: GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS, "
                             "TRACE, CONNECT"]}}),
    ("datadog", {"metrics": [{"name": "latency", "stat_type": "counter"}]},
     {"config": {"metrics": [{"sample_rate": "required field missing", ENTITY: [
         "failed conditional validation given value of field 'stat_type'"]}]}}),
    ("file-log", {"path": "a*b"}, {"config": {"path": "not a valid filename"}}),
    ("http-log", {"http_endpoint": "nowhere"},
     {"config": {"http_endpoint": "missing host in url"}}),
    ("http-log", {"http_endpoint": URL, "headers": {"host": "x"}},
     {"config": {"headers": "cannot contain 'Host' header"}}),
    ("http-log", {"http_endpoint": URL, "queue": {"concurrency_limit": 2}},
     {"config": {"queue": {"concurrency_limit": "expected one of: -1, 1"}}}),
    ("ip-restriction", {}, {ENTITY: ["at least one of these fields must be non-empty: "
                                     "'config.allow', 'config.deny'"]}),
    ("ip-restriction", {"deny": ["10.0.0.1", "x/y"]},
     {"config": {"deny": [None, "invalid ip or cidr range: 'x/y'"]}}),
    ("jwt", {"maximum_expiration": 60},
     {"config": {"claims_to_verify": "expected to contain: exp"},
      ENTITY: ["failed conditional validation given value of field 'config.maximum_expiration'"]}),
    ("key-auth", {"garbage": True}, {"config": {"garbage": "unknown field"}}),
    ("key-auth", {"key_names": ["a b"]},
     {"config": {"key_names": ["bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', "
                               "and '-'"]}}),
    ("ldap-auth", {**MINIMAL["ldap-auth"], "ldaps": True, "start_tls": True},
     {"config": {"start_tls": "value must be false"},
      ENTITY: ["'ldaps' and 'start_tls' cannot be enabled simultaneously"]}),
    ("oauth2", {}, {"config": "at least one of these fields must be true: "
                    "enable_authorization_code, enable_implicit_grant, enable_client_credentials, "
                    "enable_password_grant"}),
    ("oauth2", {"enable_password_grant": True, "mandatory_scope": True},
     {"config": {"scopes": "required field missing"},
      ENTITY: ["failed conditional validation given value of field 'config.mandatory_scope'"]}),
    ("opentelemetry", {}, {"config": {ENTITY: ["at least one of these fields must be non-empty: "
                                               "'traces_endpoint', 'logs_endpoint'"]}}),
    ("pre-function", {}, {ENTITY: [
        "at least one of these fields must be non-empty: 'config.certificate', 'config.rewrite', "
        "'config.access', 'config.header_filter', 'config.body_filter', 'config.log'"]}),
    ("proxy-cache", {}, {"config": {"strategy": "required field missing"}}),
    ("proxy-cache", {"strategy": "memory", "response_code": []},
     {"config": {"response_code": "length must be at least 1"}}),
    ("rate-limiting", {}, {ENTITY: [
        "at least one of these fields must be non-empty: 'config.second', 'config.minute', "
        "'config.hour', 'config.day', 'config.month', 'config.year'"]}),
    ("rate-limiting", {"minute": 0}, {"config": {"minute": "value must be greater than 0"}}),
    ("rate-limiting", {"minute": 5, "hour": 1},
     {"config": "The limit for hour(1.0) cannot be lower than the limit for minute(5.0)"}),
    ("rate-limiting", {"minute": 5, "limit_by": "header"},
     {"config": {"header_name": "required field missing"},
      ENTITY: ["failed conditional validation given value of field 'config.limit_by'"]}),
    ("rate-limiting", {"minute": 5, "sync_rate": 1},
     {ENTITY: ["sync_rate can only be used with the redis policy"]}),
    ("rate-limiting", {"minute": 5, "policy": "redis"},
     {"config": {"redis": {"host": "required field missing"}},
      ENTITY: ["failed conditional validation given value of field 'config.policy'"]}),
    ("rate-limiting", {"minute": 5, "redis_host": "a", "redis": {"host": "b"}},
     {"config": {"redis_host": "both deprecated and new field are used but their values mismatch: "
                 "redis_host = a vs redis.host = b"}}),
    ("redirect", {}, {"config": {"location": "required field missing"}}),
    ("request-termination", {"message": "m", "body": "b"},
     {"config": "message cannot be used with content_type or body"}),
    ("request-termination", {"content_type": "text/plain"},
     {"config": "content_type requires a body"}),
    ("request-termination", {"echo": True, "body": "b"},
     {"config": "echo cannot be used with content_type and body"}),
    ("request-transformer", {"add": {"headers": ["x"]}},
     {"config": {"add": {"headers": ["invalid value: x"]}}}),
    ("request-transformer", {"add": {"body": ["x:"]}},
     {"config": {"add": {"body": ["key 'x' has no value"]}}}),
    ("request-transformer", {"add": {"headers": ["x y:1"]}},
     {"config": {"add": {"headers": ["'x y' is not a valid header"]}}}),
    ("response-ratelimiting", {"limits": {}}, {"config": {"limits": "length must be at least 1"}}),
    ("response-ratelimiting", {"limits": {"a": {}}},
     {"config": {"limits": {ENTITY: ["at least one of these fields must be non-empty: 'second', "
                                     "'minute', 'hour', 'day', 'month', 'year'"]}}}),
    ("zipkin", {"static_tags": [{"name": "lc", "value": "x"}]}, None),
    ("zipkin", {"static_tags": [{"name": "a", "value": "x"}, {"name": "a", "value": "y"}]},
     {"config": {"static_tags": "repeated tags are not allowed: a"}}),
]


@pytest.fixture
def admin(node):
    yield node.admin
    for path in ("plugins", "routes", "services", "consumers"):
        for row in node.admin.get(f"/{path}?size=1000").json()["data"]:
            node.admin.remove(f"/{path}/{row['id']}")


def refused(answer, fields):
    body = answer.json()
    assert answer.status_code == 400, answer.text
    assert (body["code"], body["name"]) == (2, "schema violation"), body
    if fields is not None:
        assert body["fields"] == fields


def default_of(schema):
    """What a client computes that fills defaults from a schema."""
    if schema["type"] == "record" and (schema.get("required") or has_defaults(schema)):
        return filled(schema, schema.get("default", {}))
    return copy.deepcopy(schema.get("default"))


def has_defaults(schema):
    return not schema["fields"] or any("default" in field or (field["type"] == "record" and has_defaults(field))
               for entry in schema["fields"] for field in entry.values())


def filled(schema, given):
    whole = {}
    for entry in schema["fields"]:
        for name, field in entry.items():
            value = given[name] if name in given else default_of(field)
            whole[name] = filled_value(field, value)
    for entry in schema.get("shorthand_fields", []):
        for name, field in entry.items():
            if "translate_backwards" in field:
                value = whole
                for step in field["translate_backwards"]:
                    value = value[step]
                whole[name] = value
    return whole


def filled_value(field, value):
    if value is None:
        return None
    if field["type"] == "record":
        return filled(field, value)
    if field["type"] in ("array", "set"):
        return [filled_value(field["elements"], element) for element in value]
    if field["type"] == "map":
        return {key: filled_value(field["values"], element) for key, element in value.items()}
    return value


def config_schema(admin, name):
    schema = admin.get(f"/schemas/plugins/{name}").json()
    return next(field["config"] for field in schema["fields"] if "config" in field)


class TestEveryPlugin:
    def test_the_tables_and_the_node_know_the_same_plugins(self, admin):
        assert sorted(admin.get("/plugins/enabled").json()["enabled_plugins"]) == sorted(MINIMAL)
        available = admin.get("/").json()["plugins"]["available_on_server"]
        assert sorted(available) == sorted(MINIMAL)
        for name, plugin in available.items():
            assert plugin["version"] == "3.9.1", name
            assert isinstance(plugin["priority"], int), name
            assert isinstance(plugin["implemented"], bool), name
        assert available["key-auth"]["priority"] == 1250
        assert available["correlation-id"]["priority"] > available["cors"]["priority"]

    @pytest.mark.parametrize("name", MINIMAL)
    def test_minimal_configuration_is_filled_in_as_the_schema_says(self, admin, name):
        given = {"name": name, "config": MINIMAL[name]}
        assert admin.post("/schemas/plugins/validate", given).json() == {
            "message": "schema validation successful"}
        row = admin.create("/plugins", given)
        assert admin.get(f"/plugins/{row['id']}").json() == row
        expected = filled(config_schema(admin, name), MINIMAL[name])
        for plugin, field in MADE:
            if plugin == name:
                assert len(row["config"][field]) == 32
                expected[field] = row["config"][field]
        assert row["config"] == expected
        if name in DEFAULTS:
            assert row["config"] == DEFAULTS[name]
        if name == "ip-restriction":
            assert row.pop("protocols") == ["http", "https", "tcp", "tls", "grpc", "grpcs"]
        else:
            assert row.pop("protocols") == ["grpc", "grpcs", "http", "https"]
        assert {key: row[key] for key in row if key not in ("id", "created_at", "updated_at",
                                                            "config")} == {
            "name": name, "instance_name": None, "route": None, "service": None, "consumer": None,
            "enabled": True, "tags": None}

    @pytest.mark.parametrize("name", MINIMAL)
    def test_what_was_answered_can_be_sent_again(self, admin, name):
        row = admin.create("/plugins", {"name": name, "config": MINIMAL[name]})
        again = admin.put(f"/plugins/{row['id']}", row)
        assert again.status_code == 200, again.text
        assert {**again.json(), "updated_at": 0} == {**row, "updated_at": 0}
        patched = admin.patch(f"/plugins/{row['id']}", {"config": row["config"]})
        assert patched.json()["config"] == row["config"]

    @pytest.mark.parametrize("name", MINIMAL)
    def test_every_field_refuses_what_is_not_of_its_kind(self, admin, name):
        """At every depth: a value of another type, one out of range, one that isn't listed."""
        for path, field in fields_of(config_schema(admin, name)):
            for bad, message in bad_values(field):
                if bad == "" and field["type"] == "string":
                    continue  # some may be empty, which no schema says
                config = merged(MINIMAL[name], at(path, bad))
                answer = admin.post("/schemas/plugins/validate", {"name": name, "config": config})
                assert answer.status_code == 400, (path, bad)
                error = error_at(answer.json()["fields"].get("config"), path)
                assert error == message, (path, bad, answer.text)

    @pytest.mark.parametrize("name", MINIMAL)
    def test_every_field_takes_what_its_schema_allows(self, admin, name):
        """Each listed value, both ends of each range, both booleans."""
        for path, field in fields_of(config_schema(admin, name)):
            for good in good_values(field):
                config = merged(MINIMAL[name], at(path, good))
                answer = admin.post("/schemas/plugins/validate", {"name": name, "config": config})
                if answer.status_code == 400:  # a rule between fields may speak, not this field
                    fields = answer.json()["fields"]
                    assert ENTITY in fields or ENTITY in str(fields) or isinstance(
                        fields.get("config"), str), (path, good, answer.text)

    @pytest.mark.parametrize("name", MINIMAL)
    def test_both_schema_paths_describe_it(self, admin, name):
        schema = admin.get(f"/schemas/plugins/{name}").json()
        names = [key for field in schema["fields"] for key in field]
        assert names[-2:] == ["protocols", "config"]
        older = admin.get(f"/plugins/schema/{name}").json()
        assert older == {"fields": config_schema(admin, name)["fields"]}

    def test_a_warning_says_that_one_does_nothing_yet(self, node, admin):
        available = admin.get("/").json()["plugins"]["available_on_server"]
        for name in MINIMAL:
            admin.create("/plugins", {"name": name, "config": MINIMAL[name]})
        warned = {entry["plugin"]
                  for entry in node.log("a plugin is configured that does nothing yet")}
        assert {name for name in available if not available[name]["implemented"]} <= warned
        in_use = admin.get("/").json()["plugins"]["enabled_in_cluster"]
        assert sorted(in_use) == sorted(MINIMAL)


@pytest.mark.parametrize("name, config, fields", RULES)
def test_rules_between_fields_speak(admin, name, config, fields):
    refused(admin.post("/plugins", {"name": name, "config": config}), fields)
    refused(admin.post("/schemas/plugins/validate", {"name": name, "config": config}), fields)


class TestRows:
    def test_without_a_name_nothing_else_is_looked_at(self, admin):
        refused(admin.post("/plugins", {"garbage": 1}), {"name": "required field missing"})
        refused(admin.post("/plugins", {"name": 7, "config": 1}), {"name": "expected a string"})
        refused(admin.post("/plugins", {"name": "nope", "config": 1, "x": 2}), {
            "name": "plugin 'nope' not enabled; add it to the 'plugins' configuration property"})
        missing = admin.get("/schemas/plugins/nope")
        assert (missing.status_code, missing.json()) == (404, {"message": "No plugin named 'nope'"})

    def test_kongs_message_for_an_unknown_field(self, admin):
        answer = admin.post("/plugins", {"name": "key-auth", "config": {"garbage": True}})
        assert answer.json()["message"] == "schema violation (config.garbage: unknown field)"

    def test_it_belongs_to_what_the_path_says(self, admin):
        service = admin.create("/services", {"name": "s", "host": "h"})
        route = admin.create("/services/s/routes", {"name": "r", "paths": ["/"]})
        consumer = admin.create("/consumers", {"username": "c"})
        for path, scope, parent in (("/services/s", "service", service),
                                    ("/routes/r", "route", route),
                                    ("/consumers/c", "consumer", consumer)):
            row = admin.create(f"{path}/plugins", {"name": "rate-limiting", "config": {"hour": 1}})
            assert row[scope] == {"id": parent["id"]}
            assert admin.get(f"{path}/plugins").json()["data"] == [row]
            assert admin.get(f"/plugins/{row['id']}/{scope}").json() == parent
            assert admin.get(f"{path}/plugins/{row['id']}").json() == row
        for path in ("/consumers/c", "/routes/r", "/services/s"):
            admin.remove(path)
        assert admin.get("/plugins").json()["data"] == []

    def test_one_of_a_name_and_scope_is_enough(self, admin):
        service = admin.create("/services", {"name": "s", "host": "h"})
        admin.create("/plugins", {"name": "basic-auth"})
        row = admin.create("/services/s/plugins", {"name": "basic-auth"})
        answer = admin.post("/services/s/plugins", {"name": "basic-auth"})
        assert answer.status_code == 409
        assert answer.json()["message"] == (
            "UNIQUE violation detected on '{consumer=null,name=\"basic-auth\",route=null,service="
            f"{{id=\"{service['id']}\"}}}}'")
        assert answer.json()["fields"] == {"consumer": None, "name": "basic-auth", "route": None,
                                           "service": {"id": service["id"]}}
        assert admin.post("/plugins", {"name": "basic-auth"}).status_code == 409
        admin.remove(f"/plugins/{row['id']}")
        admin.create("/services/s/plugins", {"name": "basic-auth"})

    @pytest.mark.parametrize("name", ["acl", "basic-auth", "bot-detection", "cors", "hmac-auth",
                                      "jwt", "key-auth", "ldap-auth", "oauth2", "session",
                                      "pre-function", "post-function", "acme"])
    def test_what_finds_the_consumer_cant_be_a_consumers(self, admin, name):
        consumer = admin.create("/consumers", {"username": "c"})
        answer = admin.post("/plugins", {"name": name, "config": MINIMAL[name],
                                         "consumer": {"id": consumer["id"]}})
        refused(answer, {"consumer": "value must be null"})

    def test_acme_is_global(self, admin):
        admin.create("/services", {"name": "s", "host": "h"})
        refused(admin.post("/services/s/plugins", {"name": "acme", "config": MINIMAL["acme"]}),
                {"service": "value must be null"})

    def test_protocols_must_be_the_routes(self, admin):
        admin.create("/services", {"name": "s", "host": "h"})
        admin.create("/services/s/plugins", {"name": "cors", "protocols": ["grpc"]})
        admin.create("/services/s/routes", {"name": "r", "paths": ["/"], "protocols": ["http"]})
        refused(admin.post("/routes/r/plugins", {"name": "cors", "protocols": ["https"]}),
                {"protocols": "must match the associated route's protocols"})
        refused(admin.post("/services/s/plugins", {"name": "key-auth", "protocols": ["grpc"]}),
                {"protocols": "must match the protocols of at least one route pointing to this "
                              "Plugin's service"})
        refused(admin.post("/routes/r/plugins", {"name": "cors", "protocols": ["tcp"]}),
                {"protocols": ["expected one of: grpc, grpcs, http, https"]})

    def test_patch_merges_records_and_replaces_lists(self, admin):
        row = admin.create("/plugins", {"name": "request-transformer", "config": {
            "add": {"headers": ["a:1"]}, "remove": {"body": ["x"]}}})
        changed = admin.patch(f"/plugins/{row['id']}", {"config": {"add": {"headers": ["b:2"]}}})
        config = changed.json()["config"]
        assert (config["add"]["headers"], config["remove"]["body"]) == (["b:2"], ["x"])
        missing = admin.patch(f"/plugins/{uuid.uuid4()}", {"enabled": False})
        assert (missing.status_code, missing.json()) == (404, {"message": "Not found"})

    def test_instance_names_are_keys(self, admin):
        row = admin.create("/plugins", {"name": "cors", "instance_name": "mine"})
        assert admin.get("/plugins/mine").json() == row
        answer = admin.post("/plugins", {"name": "key-auth", "instance_name": "mine"})
        assert (answer.status_code, answer.json()["fields"]) == (409, {"instance_name": "mine"})

    def test_other_editions_words_mean_nothing_when_null(self, admin):
        admin.create("/plugins", {"name": "cors", "ordering": None, "consumer_group": None})
        refused(admin.post("/plugins", {"name": "cors", "ordering": {}}),
                {"ordering": "unknown field"})

    def test_older_names_are_taken_and_repeated(self, admin):
        row = admin.create("/plugins", {"name": "rate-limiting", "config": {
            "minute": 1, "redis_host": "r.example", "redis_port": 6380}})
        config = row["config"]
        assert (config["redis"]["host"], config["redis_host"]) == ("r.example", "r.example")
        assert (config["redis"]["port"], config["redis_port"]) == (6380, 6380)
        schema = config_schema(admin, "rate-limiting")
        shorthand = next(entry["redis_host"] for entry in schema["shorthand_fields"]
                         if "redis_host" in entry)
        assert shorthand["deprecation"]["replaced_with"] == [{"path": ["redis", "host"]}]
        patched = admin.patch(f"/plugins/{row['id']}", {"config": {"redis_host": "other"}})
        assert patched.json()["config"]["redis"]["host"] == "other"
        session = admin.create("/plugins", {"name": "session", "config": {"cookie_lifetime": 5}})
        assert session["config"]["rolling_timeout"] == 5
        assert "cookie_lifetime" not in session["config"]

    @pytest.mark.parametrize("form, expected", [
        ({"name": "rate-limiting", "config.minute": "5", "config.redis_port": "7"},
         {"minute": 5, "redis_port": 7}),
        ({"name": "key-auth", "config.key_names": "x", "config.key_in_body": "true"},
         {"key_names": ["x"], "key_in_body": True}),
        ({"name": "request-transformer", "config.add.headers[1]": "x:y"}, {}),
        ({"name": "response-ratelimiting", "config.limits.sms.minute": "10"}, {}),
        ({"name": "cors", "config.origins": "*", "config.max_age": "3600"},
         {"origins": ["*"], "max_age": 3600}),
    ])
    def test_forms_are_coerced_by_the_plugins_own_schema(self, admin, form, expected):
        answer = admin.request("POST", "/plugins", data=form)
        assert answer.status_code == 201, answer.text
        config = answer.json()["config"]
        assert {name: config[name] for name in expected} == expected
        where = f"/plugins/{answer.json()['id']}"
        assert admin.request("PATCH", where, data={"enabled": "false"}).json()["enabled"] is False
        if "minute" in expected:
            patched = admin.request("PATCH", where, data={"config.minute": "6"})
            assert patched.json()["config"]["minute"] == 6

    def test_a_form_that_doesnt_fit_is_refused(self, admin):
        answer = admin.request("POST", "/plugins", data={"name": "rate-limiting",
                                                         "config.minute": "five"})
        refused(answer, {"config": {"minute": "expected a number"}})
