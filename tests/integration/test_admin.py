"""The Admin API speaks Kong's language: bodies, defaults, errors and status codes."""

import re
import subprocess
import time
import uuid

import pytest

from support import wire
from support.waiting import eventually

ZERO = "00000000-0000-0000-0000-000000000000"


def is_uuid(text):
    return re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text)


def violation(answer):
    """The `fields` of a 400 with code 2, the schema violation."""
    body = answer.json()
    assert answer.status_code == 400, answer.text
    assert body["code"] == 2 and body["name"] == "schema violation", body
    return body["fields"]


def curl(*arguments):
    return subprocess.run(["curl", "--noproxy", "*", "-s", *arguments], check=True,
                          stdout=subprocess.PIPE, timeout=60).stdout.decode()


class TestFirstSteps:
    def test_the_three_commands_of_every_tutorial_work(self, weir, backend):
        """The service's host can't be `my-service` here, where no Consul and no DNS knows it."""
        admin, proxy = f"http://localhost:{weir.admin_port}", f"http://localhost:{weir.proxy_port}"
        created = curl("-i", "-X", "POST", f"{admin}/services/", "--data", "name=my-service",
                       "--data", f"url=http://localhost:{backend.port}")
        assert created.startswith("HTTP/1.1 201 Created\r\n")
        assert '"name":"my-service"' in created

        created = curl("-i", "-X", "POST", f"{admin}/services/my-service/routes", "--data",
                       "paths[]=/api", "--data", "name=api")
        assert created.startswith("HTTP/1.1 201 Created\r\n")
        assert '"paths":["/api"]' in created

        answered = curl("-i", f"{proxy}/api")
        assert answered.startswith("HTTP/1.1 200 ")
        assert backend.last.target == "/"

    def test_a_service_whose_name_nobody_knows_yet_can_be_created(self, weir):
        admin = f"http://localhost:{weir.admin_port}"
        created = curl("-i", "-X", "POST", f"{admin}/services/", "--data", "name=my-service",
                       "--data", "url=http://my-service:80")
        assert created.startswith("HTTP/1.1 201 Created\r\n")

    def test_the_node_describes_itself(self, weir):
        body = weir.admin.get("/").json()
        assert body["version"] == "3.9.1"
        assert is_uuid(body["node_id"])
        assert body["hostname"]
        assert body["configuration"]["proxy_listen"]
        assert weir.admin.get("/").json()["node_id"] == body["node_id"]

    def test_status_says_that_the_database_is_reachable_and_counts_requests(self, weir, backend):
        weir.serve("web", backend.url)
        before = weir.admin.get("/status").json()
        assert before["database"] == {"reachable": True}
        for _ in range(5):
            weir.get("/web")
        wanted = before["server"]["total_requests"] + 5  # a worker counts when its client has it all
        eventually(lambda: weir.admin.get("/status").json()["server"]["total_requests"] >= wanted)

    def test_every_answer_carries_kongs_headers(self, weir):
        answer = weir.admin.get("/services")
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["Server"] == "kong/3.9.1"
        assert int(answer.headers["X-Kong-Admin-Latency"]) >= 0
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert int(answer.headers["Content-Length"]) == len(answer.content)


class TestServices:
    DEFAULTS = {
        "name": None, "protocol": "http", "host": "h", "port": 80, "path": None, "retries": 5,
        "connect_timeout": 60000, "write_timeout": 60000, "read_timeout": 60000, "enabled": True,
        "tags": None, "client_certificate": None, "tls_verify": None, "tls_verify_depth": None,
        "ca_certificates": None,
    }

    def test_every_field_is_answered_with_its_default(self, weir):
        before = int(time.time())
        created = weir.admin.create("/services", {"host": "h"})
        assert is_uuid(created.pop("id"))
        assert before - 1 <= created.pop("created_at") <= time.time() + 1
        assert isinstance(created.pop("updated_at"), int)
        assert created == self.DEFAULTS

    @pytest.mark.parametrize("url, protocol, host, port, path", [
        ("http://h", "http", "h", 80, None),
        ("https://h", "https", "h", 443, None),
        ("http://h:8080/x", "http", "h", 8080, "/x"),
        ("https://h.example/a/b", "https", "h.example", 443, "/a/b"),
        ("http://10.0.0.1:81", "http", "10.0.0.1", 81, None),
    ])
    def test_url_is_short_for_protocol_host_port_and_path(self, weir, url, protocol, host, port,
                                                          path):
        created = weir.admin.create("/services", {"url": url})
        assert (created["protocol"], created["host"], created["port"], created["path"]) == (
            protocol, host, port, path)
        assert "url" not in created

    def test_it_is_found_by_id_and_by_name(self, weir):
        created = weir.admin.create("/services", {"name": "s", "host": "h"})
        assert weir.admin.get("/services/s").json() == created
        assert weir.admin.get(f"/services/{created['id']}").json() == created
        assert weir.admin.get("/services/s/").json() == created

    def test_patch_changes_what_it_names(self, weir):
        created = weir.admin.create("/services", {"name": "s", "host": "h", "tags": ["a", "b"]})
        answer = weir.admin.patch("/services/s", {"retries": 2, "tags": ["c"]})
        assert answer.status_code == 200
        changed = answer.json()
        assert (changed["retries"], changed["tags"]) == (2, ["c"])
        assert (changed["id"], changed["host"], changed["created_at"]) == (
            created["id"], "h", created["created_at"])
        assert weir.admin.get("/services/s").json() == changed

    def test_patch_with_null_clears_a_field(self, weir):
        weir.admin.create("/services", {"name": "s", "host": "h", "path": "/x"})
        assert weir.admin.patch("/services/s", {"path": None}).json()["path"] is None

    def test_put_replaces_so_that_what_it_leaves_out_is_default_again(self, weir):
        created = weir.admin.create("/services", {"name": "s", "host": "h", "retries": 2})
        answer = weir.admin.put("/services/s", {"host": "other"})
        assert answer.status_code == 200
        replaced = answer.json()
        assert (replaced["id"], replaced["name"]) == (created["id"], "s")
        assert (replaced["host"], replaced["retries"]) == ("other", 5)

    def test_put_creates_under_a_name_and_under_an_id(self, weir):
        by_name = weir.admin.put("/services/new", {"host": "h"})
        assert by_name.status_code == 200
        assert by_name.json()["name"] == "new"
        id = str(uuid.uuid4())
        by_id = weir.admin.put(f"/services/{id}", {"host": "h"})
        assert by_id.status_code == 200
        assert (by_id.json()["id"], by_id.json()["name"]) == (id, None)
        assert weir.admin.get(f"/services/{id}").status_code == 200

    def test_the_client_may_choose_the_id(self, weir):
        id = str(uuid.uuid4())
        assert weir.admin.create("/services", {"id": id, "host": "h"})["id"] == id

    def test_delete_is_204_also_when_there_is_nothing(self, weir):
        weir.admin.create("/services", {"name": "s", "host": "h"})
        for _ in range(2):
            answer = weir.admin.delete("/services/s")
            assert (answer.status_code, answer.content) == (204, b"")
        assert weir.admin.get("/services/s").status_code == 404

    def test_one_with_routes_is_not_deleted(self, weir):
        service = weir.serve("s", "http://h")
        answer = weir.admin.delete("/services/s")
        assert answer.status_code == 400
        body = answer.json()
        assert (body["code"], body["name"]) == (4, "foreign key violation")
        assert body["message"] == ("an existing 'routes' entity references this 'services' entity")
        assert body["fields"] == {"@referenced_by": "routes"}
        assert weir.admin.get(f"/services/{service['id']}").status_code == 200

    @pytest.mark.parametrize("body, fields", [
        ({"name": "x"}, {"host": "required field missing"}),
        ({"host": "h", "port": "80"}, {"port": "expected an integer"}),
        ({"host": "h", "port": 1.5}, {"port": "expected an integer"}),
        ({"host": "h", "port": 65536}, {"port": "value should be between 0 and 65535"}),
        ({"host": "h", "retries": -1}, {"retries": "value should be between 0 and 32767"}),
        ({"host": "h", "read_timeout": 0},
         {"read_timeout": "value should be between 1 and 2147483646"}),
        ({"host": "h", "foo": 1}, {"foo": "unknown field"}),
        ({"host": 5}, {"host": "expected a string"}),
        ({"host": ""}, {"host": "length must be at least 1"}),
        ({"host": "h:80"}, {"host": "must not have a port"}),
        ({"host": "h", "enabled": "true"}, {"enabled": "expected a boolean"}),
        ({"host": "h", "tags": "a"}, {"tags": "expected a set"}),
        ({"host": "h", "path": "x"}, {"path": "should start with: /"}),
        ({"host": "h", "path": "/a//b"}, {"path": "must not have empty segments"}),
        ({"host": "h", "protocol": "ftp"},
         {"protocol": "expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp"}),
        ({"host": "h", "name": "a b"},
         {"name": "invalid value 'a b': the only accepted ascii characters are alphanumerics or "
                  "., -, _, and ~"}),
        ({"host": "h", "id": "x"}, {"id": "expected a valid UUID"}),
    ])
    def test_a_wrong_field_is_named_and_nothing_is_stored(self, weir, body, fields):
        answer = weir.admin.post("/services", body)
        assert violation(answer) == fields
        (field, text), = fields.items()
        assert answer.json()["message"] == f"schema violation ({field}: {text})"
        assert weir.admin.get("/services").json()["data"] == []

    def test_several_wrong_fields_are_all_named(self, weir):
        answer = weir.admin.post("/services", {"host": "h", "protocol": "tcp", "path": "/x",
                                               "foo": 1})
        assert violation(answer) == {
            "@entity": ["failed conditional validation given value of field 'protocol'"],
            "foo": "unknown field", "path": "value must be null"}
        assert answer.json()["message"] == (
            "3 schema violations (failed conditional validation given value of field 'protocol'; "
            "foo: unknown field; path: value must be null)")

    def test_a_name_that_is_taken_is_a_conflict(self, weir):
        weir.admin.create("/services", {"name": "s", "host": "h"})
        answer = weir.admin.post("/services", {"name": "s", "host": "other"})
        assert answer.status_code == 409
        body = answer.json()
        assert (body["code"], body["name"]) == (5, "unique constraint violation")
        assert body["message"] == "UNIQUE violation detected on '{name=\"s\"}'"
        assert body["fields"] == {"name": "s"}


class TestRoutes:
    DEFAULTS = {
        "name": "r", "protocols": ["http", "https"], "methods": None, "hosts": None,
        "paths": ["/a"], "headers": None, "snis": None, "sources": None, "destinations": None,
        "https_redirect_status_code": 426, "regex_priority": 0, "strip_path": True,
        "path_handling": "v0", "preserve_host": False, "request_buffering": True,
        "response_buffering": True, "tags": None,
    }

    def test_every_field_is_answered_with_its_default(self, weir):
        service = weir.admin.create("/services", {"name": "s", "host": "h"})
        created = weir.admin.create("/services/s/routes", {"name": "r", "paths": ["/a"]})
        assert is_uuid(created.pop("id"))
        assert created.pop("service") == {"id": service["id"]}
        assert isinstance(created.pop("created_at"), int)
        assert isinstance(created.pop("updated_at"), int)
        assert created == self.DEFAULTS

    @pytest.mark.parametrize("by", ["id", "name"])
    def test_a_route_refers_to_its_service_by_id_or_name(self, weir, by):
        service = weir.admin.create("/services", {"name": "s", "host": "h"})
        created = weir.admin.create("/routes", {"paths": ["/a"], "service": {by: service[by]}})
        assert created["service"] == {"id": service["id"]}

    def test_a_service_that_does_not_exist_cannot_be_referred_to(self, weir):
        answer = weir.admin.post("/routes", {"paths": ["/a"], "service": {"id": ZERO}})
        assert answer.status_code == 400
        body = answer.json()
        assert (body["code"], body["name"]) == (4, "foreign key violation")
        assert body["message"] == (f"the foreign key '{{id=\"{ZERO}\"}}' does not reference an "
                                   "existing 'services' entity.")
        assert body["fields"] == {"service": {"id": ZERO}}

    def test_routes_of_one_service_are_listed_under_it(self, weir):
        weir.serve("one", "http://h")
        weir.serve("two", "http://h")
        names = [route["name"] for route in weir.admin.get("/services/one/routes").json()["data"]]
        assert names == ["one"]
        assert weir.admin.get("/services/one/routes/one").status_code == 200
        assert weir.admin.get("/services/one/routes/two").status_code == 404
        assert weir.admin.get("/routes/two/service").json()["name"] == "two"

    def test_a_route_without_anything_to_match_is_refused(self, weir):
        answer = weir.admin.post("/routes", {"name": "r", "protocols": ["http"]})
        assert violation(answer) == {"@entity": [
            "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'"]}

    @pytest.mark.parametrize("body, field, text", [
        ({"paths": ["a"]}, "paths",
         ["should start with: / (fixed path) or ~/ (regex path)"]),
        ({"paths": ["/ok", "/a//b"]}, "paths", [None, "must not have empty segments"]),
        ({"hosts": ["*.a.*"]}, "hosts", ["invalid wildcard: must have at most one wildcard"]),
        ({"methods": ["get"]}, "methods", ["invalid value: get"]),
        ({"paths": ["/a"], "strip_path": 1}, "strip_path", "expected a boolean"),
        ({"paths": ["/a"], "https_redirect_status_code": 200}, "https_redirect_status_code",
         "expected one of: 426, 301, 302, 307, 308"),
        ({"paths": ["/a"], "expression": "x"}, "expression", "unknown field"),
    ])
    def test_a_wrong_field_is_named(self, weir, body, field, text):
        assert violation(weir.admin.post("/routes", body)) == {field: text}

    def test_a_regex_that_does_not_compile_is_refused(self, weir):
        fields = violation(weir.admin.post("/routes", {"paths": ["~/a("]}))
        assert fields["paths"][0].startswith("invalid regex: '/a('")


class TestUpstreams:
    def test_every_field_is_answered_with_its_default(self, weir):
        created = weir.admin.create("/upstreams", {"name": "u"})
        assert created["algorithm"] == "round-robin"
        assert (created["hash_on"], created["hash_fallback"]) == ("none", "none")
        assert created["hash_on_cookie_path"] == "/"
        assert created["slots"] == 10000
        assert created["use_srv_name"] is False
        for field in ("hash_on_header", "hash_on_cookie", "host_header", "tags",
                      "client_certificate"):
            assert created[field] is None
        checks = created["healthchecks"]
        assert checks["threshold"] == 0
        assert checks["active"]["type"] == "http"
        assert checks["active"]["http_path"] == "/"
        assert checks["active"]["healthy"] == {"interval": 0, "successes": 0,
                                               "http_statuses": [200, 302]}
        assert checks["passive"]["unhealthy"] == {"tcp_failures": 0, "timeouts": 0,
                                                  "http_failures": 0,
                                                  "http_statuses": [429, 500, 503]}

    @pytest.mark.parametrize("name, text", [
        ("10.0.0.1", "Invalid name ('10.0.0.1'); no ip addresses allowed"),
        ("u:80", "Invalid name ('u:80'); no port allowed"),
        ("a b", "Invalid name ('a b'); must be a valid hostname"),
    ])
    def test_its_name_is_a_host_name(self, weir, name, text):
        assert violation(weir.admin.post("/upstreams", {"name": name})) == {"name": text}

    def test_nested_records_are_merged_and_their_errors_nested(self, weir):
        weir.admin.create("/upstreams", {"name": "u"})
        changed = weir.admin.patch("/upstreams/u", {
            "healthchecks": {"passive": {"unhealthy": {"tcp_failures": 3}}}}).json()
        assert changed["healthchecks"]["passive"]["unhealthy"]["tcp_failures"] == 3
        assert changed["healthchecks"]["passive"]["unhealthy"]["http_statuses"] == [429, 500, 503]
        answer = weir.admin.patch("/upstreams/u", {
            "healthchecks": {"active": {"concurrency": 0}}})
        assert list(violation(answer)["healthchecks"]["active"]) == ["concurrency"]

    def test_a_hash_needs_what_it_hashes(self, weir):
        fields = violation(weir.admin.post("/upstreams", {"name": "u", "hash_on": "header"}))
        assert fields == {
            "hash_on_header": "required field missing",
            "@entity": ["failed conditional validation given value of field 'hash_on'"]}

    def test_targets_are_normalized_and_listed_newest_first(self, weir):
        upstream = weir.admin.create("/upstreams", {"name": "u"})
        created = weir.admin.create("/upstreams/u/targets", {"target": "10.0.0.1"})
        assert is_uuid(created["id"])
        assert created["target"] == "10.0.0.1:8000"
        assert created["weight"] == 100
        assert created["upstream"] == {"id": upstream["id"]}
        assert isinstance(created["created_at"], float)
        weir.admin.create("/upstreams/u/targets", {"target": "host.example:99", "weight": 5})
        listed = weir.admin.get("/upstreams/u/targets").json()["data"]
        assert [target["target"] for target in listed] == ["host.example:99", "10.0.0.1:8000"]

    def test_a_target_is_found_by_id_or_address_and_only_under_its_upstream(self, weir):
        weir.admin.create("/upstreams", {"name": "u"})
        created = weir.admin.create("/upstreams/u/targets", {"target": "10.0.0.1:80"})
        assert weir.admin.get("/upstreams/u/targets/10.0.0.1:80").json()["id"] == created["id"]
        assert weir.admin.get(f"/upstreams/u/targets/{created['id']}").status_code == 200
        assert weir.admin.get("/targets").status_code == 404
        weir.admin.remove("/upstreams/u/targets/10.0.0.1:80")
        assert weir.admin.get("/upstreams/u/targets").json()["data"] == []

    def test_the_same_target_twice_is_a_conflict(self, weir):
        weir.admin.create("/upstreams", {"name": "u"})
        weir.admin.create("/upstreams/u/targets", {"target": "10.0.0.1:80"})
        answer = weir.admin.post("/upstreams/u/targets", {"target": "10.0.0.1:80"})
        assert (answer.status_code, answer.json()["code"]) == (409, 5)

    def test_a_target_that_is_no_address_is_refused(self, weir):
        weir.admin.create("/upstreams", {"name": "u"})
        fields = violation(weir.admin.post("/upstreams/u/targets", {"target": "a b"}))
        assert fields == {"target": "Invalid target ('a b'); not a valid hostname or ip address"}

    def test_deleting_an_upstream_deletes_its_targets(self, weir):
        weir.admin.create("/upstreams", {"name": "u"})
        weir.admin.create("/upstreams/u/targets", {"target": "10.0.0.1:80"})
        weir.admin.remove("/upstreams/u")
        assert weir.admin.get("/upstreams/u/targets").status_code == 404
        weir.admin.create("/upstreams", {"name": "u"})
        assert weir.admin.get("/upstreams/u/targets").json()["data"] == []

    def test_health_shows_every_target(self, weir, backend):
        weir.pool("u", [backend])
        body = weir.admin.get("/upstreams/u/health").json()
        target, = body["data"]
        assert target["target"] == backend.address
        assert target["health"] == "HEALTHCHECKS_OFF"
        assert target["data"]["addresses"][0]["port"] == backend.port
        assert is_uuid(body["node_id"])
        assert weir.admin.get("/upstreams/none/health").status_code == 404


class TestForms:
    FORM = {"Content-Type": "application/x-www-form-urlencoded"}

    @pytest.mark.parametrize("form, expected", [
        ("paths[]=/a&paths[]=/b", {"paths": ["/a", "/b"]}),
        ("paths=/a", {"paths": ["/a"]}),
        ("paths=/a&paths=/b", {"paths": ["/a", "/b"]}),
        ("paths[1]=/a&paths[2]=/b", {"paths": ["/a", "/b"]}),
        ("paths%5B%5D=%2Fa", {"paths": ["/a"]}),
        ("paths[]=/a&strip_path=false&regex_priority=3",
         {"strip_path": False, "regex_priority": 3}),
        ("paths[]=/a&headers.x-version[]=1&headers.x-version[]=2",
         {"headers": {"x-version": ["1", "2"]}}),
        ("paths[]=/a&name=", {"name": None}),
        ("paths[]=/a&tags[]=a+b", {"tags": ["a b"]}),
    ])
    def test_values_take_the_type_of_their_field(self, weir, form, expected):
        answer = weir.admin.request("POST", "/routes", data=form, headers=self.FORM)
        assert answer.status_code == 201, answer.text
        created = answer.json()
        assert {name: created[name] for name in expected} == expected

    def test_a_reference_is_given_by_a_dotted_name(self, weir):
        service = weir.admin.create("/services", {"name": "s", "host": "h"})
        answer = weir.admin.request("POST", "/routes", headers=self.FORM,
                                    data=f"paths[]=/a&service.id={service['id']}")
        assert answer.json()["service"] == {"id": service["id"]}

    def test_commas_are_not_split(self, weir):
        answer = weir.admin.request("POST", "/routes", headers=self.FORM,
                                    data="paths[]=/a&methods=GET,POST")
        assert violation(answer) == {"methods": ["invalid value: GET,POST"]}

    def test_what_is_no_number_stays_text_and_is_refused(self, weir):
        answer = weir.admin.request("POST", "/services", headers=self.FORM, data="host=h&port=x")
        assert violation(answer) == {"port": "expected an integer"}


class TestRequests:
    @pytest.mark.parametrize("body", [b"{", b"", b"[1,", b"nonsense", b'{"a":1}x'])
    def test_what_is_no_json_is_refused(self, weir, body):
        answer = weir.admin.request("POST", "/services", data=body,
                                    headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json() == {"message": "Cannot parse JSON body"}

    def test_another_content_type_is_415_without_a_body(self, weir):
        answer = weir.admin.request("POST", "/services", data=b"x",
                                    headers={"Content-Type": "text/plain"})
        assert (answer.status_code, answer.content) == (415, b"")

    def test_an_unknown_path_is_404(self, weir):
        answer = weir.admin.get("/nothing")
        assert (answer.status_code, answer.json()) == (404, {"message": "Not found"})

    @pytest.mark.parametrize("path", ["/services/none", f"/services/{ZERO}", "/routes/none",
                                      "/upstreams/none", "/services/none/routes"])
    def test_an_entity_that_is_not_there_is_404(self, weir, path):
        answer = weir.admin.get(path)
        assert (answer.status_code, answer.json()) == (404, {"message": "Not found"})

    @pytest.mark.parametrize("method, path", [("PUT", "/services"), ("DELETE", "/services"),
                                              ("POST", "/services/s"), ("POST", "/"),
                                              ("DELETE", "/status")])
    def test_a_verb_that_a_path_does_not_have_is_405(self, weir, method, path):
        answer = weir.admin.request(method, path)
        assert (answer.status_code, answer.json()) == (405, {"message": "Method not allowed"})

    def test_patching_what_is_not_there_is_404(self, weir):
        answer = weir.admin.patch("/services/none", {"retries": 1})
        assert answer.status_code == 404

    def test_options_lists_the_verbs(self, weir):
        answer = weir.admin.request("OPTIONS", "/services")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"

    def test_head_is_get_without_the_body(self, weir):
        weir.admin.create("/services", {"name": "s", "host": "h"})
        answer = weir.admin.request("HEAD", "/services/s")
        assert (answer.status_code, answer.content) == (200, b"")

    def test_a_body_over_10_mib_is_413(self, weir):
        with wire.Client(weir.admin_port) as client:
            client.send(b"POST /services HTTP/1.1\r\nHost: localhost\r\n"
                        b"Content-Type: application/json\r\nContent-Length: 10485761\r\n\r\n")
            try:
                client.send(b" " * 10485761)
            except ConnectionError:
                pass  # it need not read it all before it answers
            assert client.read().status == 413

    def test_a_head_that_is_no_http_is_400(self, weir):
        with wire.Client(weir.admin_port) as client:
            client.send(b"nonsense\r\n\r\n")
            assert client.read().status == 400

    def test_requests_on_one_connection_are_answered_in_order(self, weir):
        with wire.Client(weir.admin_port) as client:
            for name in ("a", "b", "c"):
                body = b'{"name":"%s","host":"h"}' % name.encode()
                client.send_request("POST", "/services", {"Content-Type": "application/json"}, body)
            assert [client.read().json()["name"] for _ in range(3)] == ["a", "b", "c"]

    def test_unicode_goes_in_and_out_unharmed(self, weir):
        name = "dienst-\u00fc\u6c34"
        created = weir.admin.create("/services", {"name": name, "host": "h"})
        assert created["name"] == name
        assert weir.admin.get(f"/services/{name}").json()["id"] == created["id"]


class TestLists:
    @pytest.fixture
    def names(self, weir):
        names = [f"s{n}" for n in range(7)]
        for number, name in enumerate(names):
            weir.admin.create("/services", {"name": name, "host": "h", "tags": [
                "even" if number % 2 == 0 else "odd", "all"]})
        return names

    def test_a_short_list_is_one_page(self, weir, names):
        body = weir.admin.get("/services").json()
        assert sorted(entry["name"] for entry in body["data"]) == names
        assert body["next"] is None
        assert "offset" not in body
        assert [e["id"] for e in body["data"]] == sorted(e["id"] for e in body["data"])

    def test_pages_are_walked_by_next(self, weir, names):
        found, pages, path = [], 0, "/services?size=3"
        while path:
            body = weir.admin.get(path).json()
            found += [entry["name"] for entry in body["data"]]
            path, pages = body["next"], pages + 1
        assert (sorted(found), pages) == (names, 3)

    def test_pages_are_walked_by_offset(self, weir, names):
        found, offset = [], None
        while True:
            body = weir.admin.get("/services", params={"size": 2, "offset": offset}).json()
            found += [entry["name"] for entry in body["data"]]
            offset = body.get("offset")
            if offset is None:
                break
        assert sorted(found) == names

    def test_an_empty_list_is_an_array(self, weir):
        assert weir.admin.get("/routes").json() == {"data": [], "next": None}

    @pytest.mark.parametrize("size, text", [
        ("0", "size must be an integer between 1 and 1000"),
        ("1001", "size must be an integer between 1 and 1000"),
        ("x", "size must be a number"),
    ])
    def test_a_wrong_size_is_refused(self, weir, size, text):
        answer = weir.admin.get(f"/services?size={size}")
        assert answer.status_code == 400
        assert (answer.json()["code"], answer.json()["message"]) == (9, text)

    def test_a_wrong_offset_is_refused(self, weir):
        answer = weir.admin.get("/services?offset=x")
        assert (answer.status_code, answer.json()["code"]) == (400, 7)

    @pytest.mark.parametrize("tags, count", [("even", 4), ("all,odd", 3), ("even/odd", 7),
                                             ("none", 0)])
    def test_tags_filter(self, weir, names, tags, count):
        assert len(weir.admin.get(f"/services?tags={tags}").json()["data"]) == count


class TestInForceAtOnce:
    @pytest.mark.threads
    def test_a_created_route_serves_the_very_next_request(self, weir, backend, is_sanitized):
        weir.admin.create("/services", {"name": "s", "url": backend.url})
        # Several connections, so that both workers are asked.
        clients = [weir.client() for _ in range(8)]
        for number in range(50 if is_sanitized else 200):
            weir.admin.create("/services/s/routes", {"name": f"r{number}",
                                                     "paths": [f"/in-force-{number}"]})
            for client in (clients[number % 8], clients[(number + 3) % 8]):
                assert client.get(f"/in-force-{number}").status == 200, number

    @pytest.mark.threads
    def test_a_deleted_route_serves_no_further_request(self, weir, backend):
        weir.admin.create("/services", {"name": "s", "url": backend.url})
        clients = [weir.client() for _ in range(8)]
        for number in range(50):
            weir.admin.create("/services/s/routes", {"name": "r", "paths": ["/r"]})
            assert clients[number % 8].get("/r").status == 200
            weir.admin.remove("/routes/r")
            for client in clients:
                assert client.get("/r").status == 404, number

    def test_a_changed_service_sends_the_very_next_request_elsewhere(self, weir, new_backend):
        one, two = new_backend("one"), new_backend("two")
        weir.serve("s", one.url)
        with weir.client() as client:
            for number in range(50):
                wanted = (one, two)[number % 2]
                weir.admin.patch("/services/s", {"port": wanted.port})
                assert client.get("/s").headers.get("X-Backend") == wanted.name, number

    def test_a_new_target_takes_the_next_requests(self, weir, new_backend):
        one, two = new_backend("one"), new_backend("two")
        weir.pool("u", [one])
        assert weir.get("/u").headers.get("X-Backend") == "one"
        weir.admin.create("/upstreams/u/targets", {"target": two.address})
        with weir.client() as client:
            assert {client.get("/u").headers.get("X-Backend") for _ in range(4)} == {"one", "two"}
        weir.admin.remove(f"/upstreams/u/targets/{one.address}")
        with weir.client() as client:
            assert {client.get("/u").headers.get("X-Backend") for _ in range(4)} == {"two"}

    def test_a_disabled_service_has_no_routes(self, weir, backend):
        weir.serve("s", backend.url)
        assert weir.get("/s").status == 200
        weir.admin.patch("/services/s", {"enabled": False})
        assert weir.get("/s").status == 404
        weir.admin.patch("/services/s", {"enabled": True})
        assert weir.get("/s").status == 200

    @pytest.mark.threads
    def test_changes_under_load_fail_no_request(self, weir, new_fast_backend):
        from support.load import Load
        weir.serve("s", new_fast_backend().url)
        with Load(weir.proxy_port, "/s", rate=400) as load:
            for number in range(100):
                weir.admin.create("/services/s/routes", {"name": f"r{number}",
                                                         "paths": [f"/other-{number}"]})
                if number % 2:
                    weir.admin.remove(f"/routes/r{number}")
            load.wait_for_more(50)
        load.assert_all_fine()
