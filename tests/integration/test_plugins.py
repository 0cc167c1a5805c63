"""Plugins that do their work: what they answer, and what they add on the way."""

import re
import uuid

import pytest

from support import wire

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture
def site(weir, backend):
    """A node with one service behind /web."""
    weir.serve("web", backend.url)
    return weir


def plug(node, name, config=None, path="", **fields):
    return node.admin.create(f"{path}/plugins", {"name": name, "config": config or {}, **fields})


class TestRequestTermination:
    def test_it_answers_in_place_of_the_service(self, site, backend):
        row = plug(site, "request-termination", {"status_code": 418, "message": 'so "be" it'})
        answer = site.get("/web")
        assert (answer.status, answer.json()) == (418, {"message": 'so "be" it'})
        assert answer.headers.get("Content-Type") == "application/json; charset=utf-8"
        assert not backend.requests
        site.admin.remove(f"/plugins/{row['id']}")
        assert site.get("/web").status == 200

    def test_no_content_is_none(self, site):
        plug(site, "request-termination", {"status_code": 204})
        with wire.Client(site.proxy_port) as client:
            for _ in range(2):  # nothing is left over for the second
                answer = client.get("/web")
                assert (answer.status, answer.body) == (204, b"")
                assert "Content-Length" not in answer.headers

    def test_it_is_no_failure(self, site):
        plug(site, "request-termination")
        assert site.get("/web").status == 503
        assert not site.log("request failed")

    @pytest.mark.parametrize("status, body", [
        (503, {"message": "Service unavailable"}), (401, {"message": "Unauthorized"}),
        (204, None), (418, {})])
    def test_a_status_has_its_usual_message(self, site, status, body):
        plug(site, "request-termination", {"status_code": status})
        answer = site.get("/web")
        assert answer.status == status
        if body is not None:
            assert answer.json() == body

    def test_a_body_is_sent_as_it_is(self, site):
        plug(site, "request-termination", {"body": "<p>away</p>", "content_type": "text/html"})
        answer = site.get("/web")
        assert (answer.text, answer.headers.get("Content-Type")) == ("<p>away</p>", "text/html")
        assert int(answer.headers.get("Content-Length")) == len("<p>away</p>")

    def test_a_trigger_is_a_header_or_an_argument(self, site):
        plug(site, "request-termination", {"trigger": "x-stop"})
        assert site.get("/web").status == 200
        assert site.get("/web", headers={"X-Stop": "1"}).status == 503
        assert site.get("/web?a=1&x-stop").status == 503
        assert site.get("/web?ax-stop=1").status == 200

    def test_an_echo_says_what_was_matched(self, site):
        plug(site, "request-termination", {"echo": True, "status_code": 200})
        body = site.get("/web/x?a=1", headers={"X-Own": "v"}).json()
        assert body["matched_service"]["name"] == "web"
        assert (body["request"]["path"], body["request"]["raw_query"]) == ("/web/x", "a=1")
        assert body["request"]["headers"]["X-Own"] == "v"

    def test_it_answers_on_a_route_without_a_service(self, weir):
        weir.admin.create("/routes", {"name": "r", "paths": ["/r"]})
        assert weir.get("/r").status == 503
        plug(weir, "request-termination", {"status_code": 200, "message": "hi"}, "/routes/r")
        assert weir.get("/r").json() == {"message": "hi"}

    def test_a_type_that_would_end_its_line_is_refused(self, site):
        answer = site.admin.post("/plugins", {"name": "request-termination", "config": {
            "body": "b", "content_type": "text/plain\r\nX-Own: 1"}})
        assert answer.status_code == 400
        assert "content_type" in answer.text

    def test_the_connection_goes_on(self, site):
        plug(site, "request-termination", {"status_code": 403})
        with wire.Client(site.proxy_port) as client:
            for _ in range(3):
                assert client.get("/web").status == 403


class TestScopes:
    def test_the_most_specific_one_runs(self, site):
        def say(message, path="", **fields):
            return plug(site, "request-termination", {"message": message}, path, **fields)

        route = site.admin.get("/services/web/routes").json()["data"][0]
        say("all")
        assert site.get("/web").json() == {"message": "all"}
        say("service", "/services/web")
        assert site.get("/web").json() == {"message": "service"}
        say("route", f"/routes/{route['id']}")
        assert site.get("/web").json() == {"message": "route"}
        both = say("both", f"/routes/{route['id']}", service={"name": "web"})
        assert site.get("/web").json() == {"message": "both"}
        site.admin.patch(f"/plugins/{both['id']}", {"enabled": False})
        assert site.get("/web").json() == {"message": "route"}

    def test_one_for_another_route_or_for_streams_or_a_consumer_does_not(self, site, backend):
        site.serve("other", backend.url)
        site.admin.create("/consumers", {"username": "c"})
        plug(site, "request-termination", path="/services/other")
        plug(site, "request-termination", path="/consumers/c")
        plug(site, "ip-restriction", {"deny": ["127.0.0.1"]}, protocols=["tcp"])
        assert site.get("/web").status == 200
        assert site.get("/other").status == 503

    @pytest.mark.parametrize("protocol", ["http", "https", "grpc"])
    def test_protocols_choose_between_requests_and_streams_alone(self, site, protocol):
        plug(site, "request-termination", protocols=[protocol])
        assert site.get("/web").status == 503

    def test_a_row_for_streams_hides_none_for_requests(self, site):
        site.admin.create("/services/web/routes",
                          {"protocols": ["tcp"], "destinations": [{"port": 1}]})
        plug(site, "ip-restriction", {"deny": ["127.0.0.1"]}, protocols=["http", "tcp"])
        plug(site, "ip-restriction", {"deny": ["10.0.0.1"]}, "/services/web", protocols=["tcp"])
        assert site.get("/web").status == 403

    def test_it_runs_after_a_restart(self, site):
        plug(site, "request-termination", path="/services/web")
        site.restart()
        assert site.get("/web").status == 503
        available = site.admin.get("/").json()["plugins"]["available_on_server"]
        assert available["request-termination"]["implemented"]
        assert not site.log("a plugin is configured that does nothing yet")


class TestMemory:
    @pytest.mark.parametrize("size", [160_000, 300_000])
    def test_a_head_that_finds_no_room_is_answered_500(self, site, size):
        row = plug(site, "response-transformer", {"add": {"headers": ["X-Long:" + "a" * size]}})
        termination = plug(site, "request-termination")
        for _ in range(2):  # an answer of weir's, then one of the service
            answer = site.get("/web")
            assert (answer.status, answer.json()["message"]) == (500, "An unexpected error occurred")
            assert "X-Long" not in answer.headers
            site.admin.patch(f"/plugins/{termination['id']}", {"enabled": False})
        blamed = "no room for the response's head" in site.log_text()
        assert blamed == (size == 160_000)  # an arena that runs out is no fault of the target's
        site.admin.remove(f"/plugins/{row['id']}")
        assert site.get("/web").status == 200

    def test_a_request_that_plugins_have_no_memory_for_goes_no_further(self, site, backend):
        plug(site, "request-transformer", {"remove": {"querystring": ["admin"]}})
        assert site.get("/web?admin=1&x=2").status == 200
        assert backend.last.target.endswith("?x=2")
        backend.requests.clear()
        answer = site.get("/web?admin=1" + "&" * 14000)
        assert (answer.status, answer.json()["message"]) == (500, "An unexpected error occurred")
        assert not backend.requests
        assert site.get("/web").status == 200


class TestIpRestriction:
    @pytest.mark.parametrize("config, status", [
        ({"allow": ["127.0.0.1"]}, 200), ({"allow": ["127.0.0.0/8", "::1"]}, 200),
        ({"allow": ["10.0.0.0/8"]}, 403), ({"deny": ["127.0.0.1"]}, 403),
        ({"deny": ["10.0.0.1"]}, 200),
        ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.1"]}, 403),
    ])
    def test_addresses(self, site, config, status):
        plug(site, "ip-restriction", config)
        assert site.get("/web").status == status

    def test_its_words(self, site):
        row = plug(site, "ip-restriction", {"deny": ["127.0.0.1"]})
        body = site.get("/web").json()
        assert body["message"] == "IP address not allowed: 127.0.0.1"
        assert re.fullmatch("[0-9a-f]{32}", body["request_id"])
        site.admin.patch(f"/plugins/{row['id']}", {"config": {"status": 404, "message": 'no "one"'}})
        answer = site.get("/web")
        assert (answer.status, answer.json()["message"]) == (404, 'no "one"')

    @pytest.mark.parametrize("status", [100, 101, 103])
    def test_no_interim_status_ends_an_exchange(self, site, status):
        plug(site, "ip-restriction", {"deny": ["127.0.0.1"], "status": status})
        assert site.get("/web").status == 403

    def test_what_is_no_address_to_it_is_refused(self, site):
        answer = site.admin.post("/plugins", {
            "name": "ip-restriction", "config": {"deny": ["127.0.0.001"]}})
        assert answer.status_code == 400
        assert "invalid ip or cidr range" in answer.text


class TestCorrelationId:
    @pytest.mark.parametrize("generator, form", [
        ("uuid", UUID), ("uuid#counter", UUID + r"#\d+"),
        ("tracker", r"127\.0\.0\.1-\d+-\d+-\d+-1-\d+\.\d{3}")])
    def test_the_upstream_sees_an_id(self, site, backend, generator, form):
        plug(site, "correlation-id", {"generator": generator, "header_name": "X-Id"})
        ids = []
        for _ in range(2):
            answer = site.get("/web")
            assert "X-Id" not in answer.headers
            ids.append(backend.last.headers.get("x-id"))
        assert all(re.fullmatch(form, text) for text in ids), ids
        assert ids[0] != ids[1]

    def test_the_client_sees_it_where_asked(self, site, backend):
        plug(site, "correlation-id", {"echo_downstream": True})
        answer = site.get("/web")
        assert answer.headers.get("Kong-Request-ID") == backend.last.headers.get("kong-request-id")
        own = str(uuid.uuid4())
        answer = site.get("/web", headers={"Kong-Request-ID": own})
        assert answer.headers.get("Kong-Request-ID") == own
        assert backend.last.headers.get("kong-request-id") == own

    def test_an_id_that_is_not_passed_on_is_none(self, site, backend):
        plug(site, "correlation-id", {"generator": "uuid", "echo_downstream": True})
        answer = site.get("/web", headers={"Kong-Request-ID": "1", "Connection": "Kong-Request-ID"})
        assert re.fullmatch(UUID, backend.last.headers.get("kong-request-id"))
        assert answer.headers.get("Kong-Request-ID") == backend.last.headers.get("kong-request-id")

    @pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Host"])
    def test_a_header_that_frames_a_message_holds_no_id(self, site, backend, name):
        plug(site, "correlation-id", {"header_name": name, "echo_downstream": True})
        plain = site.get("/web", headers={"Connection": "close"})
        assert plain.status == 200
        assert "#" not in str(backend.last.headers.get(name)) + str(plain.headers.get(name))
        assert site.log("a plugin's configuration asks for what it does not do yet")

    def test_an_answer_of_a_later_plugin_has_it(self, site):
        plug(site, "correlation-id", {"echo_downstream": True})
        plug(site, "request-termination")
        answer = site.get("/web")
        assert answer.status == 503
        assert re.fullmatch(UUID + r"#\d+", answer.headers.get("Kong-Request-ID"))
