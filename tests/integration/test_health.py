"""Health: a bad instance takes no traffic, and a good one is never lost."""

import json
import signal
import threading
import time

import pytest

from support.backends import response
from support.load import Load
from support.waiting import always, eventually

FAST = 0.1  # seconds between probes
NOT_FOUND_PEER = "failure to get a peer from the ring-balancer"

# As given by the users of the mock API, one command.
MOCK_API_FIELDS = [
    ("healthchecks.active.https_path", "/health"),
    ("healthchecks.active.https_verify_certificate", "false"),
    ("healthchecks.active.unhealthy.http_statuses[]", "500"),
    ("healthchecks.active.timeout", "2"),
    ("healthchecks.active.interval", "5"),
    ("healthchecks.active.healthy.successes", "3"),
    ("healthchecks.active.unhealthy.failures", "3"),
    ("healthchecks.passive.unhealthy.http_statuses[]", "500"),
    ("healthchecks.passive.healthy.http_statuses[]", "200"),
    ("healthchecks.passive.unhealthy.timeouts", "3"),
    ("healthchecks.passive.unhealthy.tcp_failures", "3"),
    ("healthchecks.passive.unhealthy.http_failures", "3"),
    ("healthchecks.passive.healthy.interval", "5"),
]


def active(path="/health", interval=FAST, timeout=1, successes=2, failures=2, **more):
    return {"active": {
        "type": "http", "http_path": path, "timeout": timeout,
        "healthy": {"interval": interval, "successes": successes},
        "unhealthy": {"interval": interval, "http_failures": failures,
                      "tcp_failures": failures, "timeouts": failures}, **more}}


def passive(failures=3, pause=None, successes=0):
    healthy = {"successes": successes}
    if pause:
        healthy["interval"] = pause
    return {"passive": {"healthy": healthy,
                        "unhealthy": {"http_failures": failures, "tcp_failures": failures,
                                      "timeouts": failures}}}


class Switch:
    """A backend's script: answers `status`, and the probes' path `probe_status`."""

    def __init__(self, status=200, probe_status=None):
        self.status = status
        self.probe_status = probe_status
        self.probes = 0

    def __call__(self, request, connection):
        if request.target.startswith("/health"):
            self.probes += 1
            return response(self.probe_status or self.status)
        return response(self.status, {"X-Backend": "switch"})


def health_of(weir, upstream="u"):
    rows = weir.admin.get(f"/upstreams/{upstream}/health").json()["data"]
    return {row["target"]: row["health"] for row in rows}


def wait_for_health(weir, backend, word, upstream="u"):
    eventually(lambda: health_of(weir, upstream).get(backend.address) == word,
               lambda: f"{backend.name} {word}: {health_of(weir, upstream)}")


def names(weir, count=10, target="/u"):
    return [weir.get(target).headers.get("X-Backend") for _ in range(count)]


class TestActive:
    def test_a_target_that_fails_its_probes_goes_and_comes_back(self, weir, new_backend):
        script = Switch()
        shaky, steady = new_backend("shaky", script), new_backend("steady")
        weir.pool("u", [shaky, steady], healthchecks=active())
        eventually(lambda: script.probes > 0)
        assert health_of(weir) == {shaky.address: "HEALTHY", steady.address: "HEALTHY"}

        script.probe_status = 500
        wait_for_health(weir, shaky, "UNHEALTHY")
        assert set(names(weir)) == {"steady"}
        lines = weir.log("target changed", target=shaky.address)
        assert lines[-1]["why"] == "2 probes in a row failed, the last answered 500"
        assert lines[-1]["takes_traffic"] is False

        script.probe_status = 200
        wait_for_health(weir, shaky, "HEALTHY")
        eventually(lambda: "switch" in names(weir))
        assert weir.log("target changed", target=shaky.address)[-1]["why"] == \
            "2 probes in a row succeeded"

    def test_the_first_probe_comes_at_once(self, weir, new_backend):
        script = Switch()
        weir.pool("u", [new_backend("one", script)], healthchecks=active(interval=3600))
        eventually(lambda: script.probes == 1, within=10)

    def test_a_probe_says_what_it_is_told_to_say(self, weir, backend):
        weir.pool("u", [backend], host_header="api.example", healthchecks=active(
            path="/health/deep", headers={"X-Probe": ["a", "b"]}))
        eventually(lambda: backend.requests)
        probe = backend.requests[0]
        assert (probe.method, probe.target) == ("GET", "/health/deep")
        assert probe.headers.get("Host") == "api.example"
        assert probe.headers.all("X-Probe") == ["a", "b"]
        assert probe.headers.get("Connection") == "close"

    def test_a_probe_has_one_host(self, weir, backend):
        # The one among the headers, which says more than the upstream's.
        weir.pool("u", [backend], host_header="api.example", healthchecks=active(
            headers={"host": ["probe.example"], "X-Probe": ["a"]}))
        eventually(lambda: backend.requests)
        probe = backend.requests[0]
        assert probe.headers.all("Host") == ["probe.example"]
        assert probe.headers.get("X-Probe") == "a"

    def test_a_refused_connection_is_a_tcp_failure(self, weir, new_backend):
        down, up = new_backend("down"), new_backend("up")
        weir.pool("u", [down, up], healthchecks={"active": {
            "healthy": {"interval": FAST}, "unhealthy": {"interval": FAST, "tcp_failures": 1}}})
        down.stop()
        wait_for_health(weir, down, "UNHEALTHY")
        assert "connection refused" in weir.log("target changed", target=down.address)[-1]["why"]

    def test_a_tcp_check_needs_no_more_than_a_connection(self, weir, new_backend):
        script = Switch(probe_status=500)
        mute = new_backend("mute", script)
        weir.pool("u", [mute], healthchecks={"active": {
            "type": "tcp", "healthy": {"interval": FAST, "successes": 1},
            "unhealthy": {"interval": FAST, "tcp_failures": 1}}})
        eventually(lambda: mute.connections >= 3)
        assert health_of(weir) == {mute.address: "HEALTHY"}
        mute.stop()
        wait_for_health(weir, mute, "UNHEALTHY")
        mute.start()
        wait_for_health(weir, mute, "HEALTHY")

    def test_a_status_in_neither_list_counts_for_nothing(self, weir, new_backend):
        script = Switch(probe_status=418)
        odd = new_backend("odd", script)
        weir.pool("u", [odd], healthchecks=active(failures=1))
        eventually(lambda: script.probes > 5)
        assert health_of(weir) == {odd.address: "HEALTHY"}

    @pytest.mark.parametrize("what", ["garbage", "endless", "silent", "closed"])
    def test_an_answer_that_makes_no_sense_is_a_failure(self, weir, new_backend, what):
        def misbehave(_request, connection):
            try:
                if what == "garbage":
                    connection.send(b"\x00\xffSSH-2.0-what\r\n\r\n")
                elif what == "endless":
                    connection.send(b"HTTP/1.1 200 OK\r\n")
                    while True:
                        connection.send(b"X-More: " + b"y" * 4000 + b"\r\n")
                elif what == "silent":
                    threading.Event().wait(5)
            except OSError:
                pass
            connection.close()
        bad = new_backend("bad", misbehave)
        weir.pool("u", [bad], healthchecks=active(timeout=0.2, failures=1))
        wait_for_health(weir, bad, "UNHEALTHY")
        assert weir.get("/u").status == 503
        assert weir.rss_kib() < 512 * 1024

    def test_two_pools_share_the_prober_of_a_target(self, weir, new_backend):
        script = Switch()
        shared = new_backend("shared", script)
        for name in ("u", "v"):
            weir.pool(name, [shared], healthchecks=active(interval=0.5))
        eventually(lambda: script.probes >= 1)
        before, start = script.probes, time.monotonic()
        eventually(lambda: script.probes >= before + 4)
        assert time.monotonic() - start > 4 * 0.5 * 0.8 * 0.75  # one at a time, not two
        script.probe_status = 500
        wait_for_health(weir, shared, "UNHEALTHY", "u")
        wait_for_health(weir, shared, "UNHEALTHY", "v")

    def test_probes_end_with_their_target(self, weir, new_backend):
        script = Switch()
        weir.pool("u", [new_backend("gone", script), new_backend("stays")], healthchecks=active())
        eventually(lambda: script.probes > 0)
        for row in weir.admin.get("/upstreams/u/targets").json()["data"]:
            weir.admin.remove(f"/upstreams/u/targets/{row['id']}")
        time.sleep(3 * FAST)
        probes = script.probes
        always(lambda: script.probes == probes, during=5 * FAST)

    def test_probes_over_tls_verify_unless_told_otherwise(self, weir, new_tls_backend):
        server = new_tls_backend()
        weir.pool("u", [server], healthchecks=active(type="https", failures=1))
        wait_for_health(weir, server, "UNHEALTHY")
        weir.admin.patch("/upstreams/u", {"healthchecks": {
            "active": {"https_verify_certificate": False, "https_sni": "api.example"}}})
        wait_for_health(weir, server, "HEALTHY")
        assert "api.example" in server.names

    def test_probes_show_the_certificate_of_their_upstream(self, weir, new_tls_backend):
        server = new_tls_backend(wants_certificate=True)
        weir.pool("u", [server], healthchecks=active(
            type="https", failures=1, https_verify_certificate=False))
        wait_for_health(weir, server, "UNHEALTHY")
        texts = [open(path, encoding="ascii").read() for path in server.files]
        certificate = weir.admin.create("/certificates", dict(zip(("cert", "key"), texts)))
        weir.admin.patch("/upstreams/u", {"client_certificate": {"id": certificate["id"]}})
        wait_for_health(weir, server, "HEALTHY")
        weir.admin.patch("/upstreams/u", {"client_certificate": None})
        wait_for_health(weir, server, "UNHEALTHY")


class TestPassive:
    def test_three_failures_in_a_row_and_the_next_request_goes_elsewhere(self, weir, new_backend):
        script = Switch(500)
        bad = new_backend("bad", script)
        weir.pool("u", [bad], healthchecks=passive())
        assert [weir.get("/u").status for _ in range(5)] == [500, 500, 500, 503, 503]
        assert len(bad.requests) == 3
        assert NOT_FOUND_PEER in weir.get("/u").text
        wait_for_health(weir, bad, "UNHEALTHY")
        eventually(lambda: weir.log("target changed", why="3 requests in a row answered 500"))

    def test_a_success_ends_the_row(self, weir, new_backend):
        script = Switch()
        shaky = new_backend("shaky", script)
        weir.pool("u", [shaky], healthchecks=passive())
        for status in (500, 500, 200) * 5:
            script.status = status
            assert weir.get("/u").status == status

    def test_refused_connections_are_counted(self, weir, new_backend):
        down, up = new_backend("down"), new_backend("up")
        weir.pool("u", [down, up], healthchecks=passive())
        down.stop()
        for _ in range(10):
            assert weir.get("/u").status == 200
        wait_for_health(weir, down, "UNHEALTHY")

    def test_timeouts_are_counted(self, weir, new_backend):
        def stall(_request, _connection):
            threading.Event().wait(5)
        slow = new_backend("slow", stall)
        weir.admin.create("/upstreams", {"name": "u", "healthchecks": passive(failures=2)})
        weir.admin.create("/upstreams/u/targets", {"target": slow.address})
        weir.serve("u", host="u", read_timeout=200, retries=0)
        assert [weir.get("/u").status for _ in range(3)] == [504, 504, 503]

    def test_a_passive_pool_heals_by_a_half_open_trial(self, weir, new_backend):
        script = Switch(500)
        bad = new_backend("bad", script)
        weir.pool("u", [bad], healthchecks=passive(pause=0.3))
        assert [weir.get("/u").status for _ in range(4)] == [500, 500, 500, 503]
        # One request is let through; it fails, so it is one only.
        statuses = []
        eventually(lambda: statuses.append(weir.get("/u").status) or 500 in statuses)
        assert statuses.count(500) == 1
        assert weir.get("/u").status == 503
        script.status = 200
        eventually(lambda: weir.get("/u").status == 200)
        assert [weir.get("/u").status for _ in range(5)] == [200] * 5
        eventually(lambda: weir.log("target changed", why="half-open: a request succeeded"))

    def test_exactly_one_request_tries_a_target_half_open(self, weir, new_backend):
        gate, script = threading.Event(), Switch(500)

        def answer(request, connection):
            if script.status == 200:
                gate.wait(20)
            return script(request, connection)
        bad = new_backend("bad", answer)
        weir.pool("u", [bad], healthchecks=passive(pause=0.2))
        for _ in range(3):
            weir.get("/u")
        script.status = 200
        results = []

        def ask_until_through():
            eventually(lambda: weir.get("/u").status == 200)
            results.append(True)
        threads = [threading.Thread(target=ask_until_through) for _ in range(8)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(bad.requests) == 4)
        always(lambda: len(bad.requests) == 4, during=0.5)  # while the first is under way
        gate.set()
        for thread in threads:
            thread.join()
        assert len(results) == 8

    def test_active_probes_bring_back_what_traffic_took_out(self, weir, new_backend):
        script = Switch(500, probe_status=200)
        bad = new_backend("bad", script)
        weir.pool("u", [bad], healthchecks={**active(successes=2), **passive()})
        assert [weir.get("/u").status for _ in range(3)] == [500] * 3
        script.status = 200
        eventually(lambda: weir.get("/u").status == 200)

    def test_where_nothing_is_configured_nothing_is_taken_out(self, weir, new_backend):
        weir.pool("u", [new_backend("bad", Switch(500))])
        assert {weir.get("/u").status for _ in range(20)} == {500}

    def test_too_little_weight_is_none(self, weir, new_backend):
        script = Switch(500)
        bad, good = new_backend("bad", script), new_backend("good")
        weir.pool("u", [bad, good], healthchecks={**passive(failures=1), "threshold": 60})
        eventually(lambda: weir.get("/u").status == 503)
        always(lambda: weir.get("/u").status == 503, during=0.2)
        body = weir.admin.get("/upstreams/u/health?balancer_health=1").json()["data"]
        assert body["balancer_health"] == "UNHEALTHY"


class TestOrders:
    def test_a_target_is_taken_out_and_put_back_by_hand(self, weir, new_backend):
        one, two = new_backend("one"), new_backend("two")
        weir.pool("u", [one, two], healthchecks=passive())
        for path in (f"/upstreams/u/targets/{one.address}",
                     f"/upstreams/u/targets/{one.address}/{one.address}"):
            assert weir.admin.put(f"{path}/unhealthy").status_code == 204
            assert set(names(weir)) == {"two"}
            assert health_of(weir)[one.address] == "UNHEALTHY"
            assert weir.admin.put(f"{path}/healthy").status_code == 204
            eventually(lambda: set(names(weir)) == {"one", "two"})
            assert health_of(weir)[one.address] == "HEALTHY"

    def test_a_target_that_is_made_anew_is_under_no_order(self, weir, new_backend):
        one = new_backend("one")
        weir.pool("u", [one], healthchecks=passive())
        path = f"/upstreams/u/targets/{one.address}"
        assert weir.admin.put(f"{path}/unhealthy").status_code == 204
        weir.admin.remove(path)
        weir.admin.create("/upstreams/u/targets", {"target": one.address})
        assert health_of(weir)[one.address] == "HEALTHY"
        assert weir.get("/u").status == 200

    def test_an_order_ends_what_traffic_said(self, weir, new_backend):
        script = Switch(500)
        bad = new_backend("bad", script)
        weir.pool("u", [bad], healthchecks=passive())
        assert [weir.get("/u").status for _ in range(4)] == [500] * 3 + [503]
        script.status = 200
        assert weir.admin.put(f"/upstreams/u/targets/{bad.address}/healthy").status_code == 204
        eventually(lambda: weir.get("/u").status == 200)

    def test_what_cannot_be_ordered(self, weir, new_backend):
        one = new_backend("one")
        weir.pool("u", [one], healthchecks=passive())
        weir.pool("plain", [one])
        put = weir.admin.put
        assert put("/upstreams/none/targets/x/healthy").status_code == 404
        assert put("/upstreams/u/targets/10.9.9.9:80/healthy").status_code == 404
        answer = put(f"/upstreams/u/targets/{one.address}/10.9.9.9:80/healthy")
        assert answer.status_code == 400
        answer = put(f"/upstreams/plain/targets/{one.address}/unhealthy")
        assert answer.status_code == 400
        assert answer.json() == {"message": "no healthchecker found for plain"}
        assert weir.admin.post(f"/upstreams/u/targets/{one.address}/healthy").status_code == 405


class TestStateIsKept:
    def test_over_changes_of_the_configuration(self, weir, new_backend):
        bad, good = new_backend("bad", Switch(500)), new_backend("good")
        weir.pool("u", [bad, good], healthchecks=passive(failures=1))
        eventually(lambda: health_of(weir)[bad.address] == "UNHEALTHY" or weir.get("/u") is None)
        for number in range(20):
            weir.admin.create("/services", {"name": f"s{number}", "host": "10.0.0.1"})
        weir.admin.create("/upstreams/u/targets", {"target": new_backend("new").address})
        weir.admin.patch("/upstreams/u", {"healthchecks": passive(failures=2)})
        assert health_of(weir)[bad.address] == "UNHEALTHY"

    def test_a_target_that_returns_soon_is_what_it_was(self, weir, new_backend):
        bad, good = new_backend("bad", Switch(500)), new_backend("good")
        weir.pool("u", [bad, good], healthchecks=passive(failures=1))
        eventually(lambda: health_of(weir)[bad.address] == "UNHEALTHY" or weir.get("/u") is None)
        weir.admin.remove(f"/upstreams/u/targets/{bad.address}")
        assert bad.address not in health_of(weir)
        weir.admin.create("/upstreams/u/targets", {"target": bad.address})
        assert health_of(weir)[bad.address] == "UNHEALTHY"
        assert set(names(weir)) == {"good"}

    def test_over_a_thousand_discovery_updates(self, new_weir, fake_consul, new_backend):
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        bad, good = new_backend("bad", Switch(500)), new_backend("good")
        fake_consul.set("web", [bad.port, good.port])
        weir.admin.create("/upstreams", {
            "name": "u", "healthchecks": passive(failures=1),
            "discovery": {"type": "consul", "service": "web"}})
        weir.serve("u", host="u")
        weir.wait_until_answers("/u")
        eventually(lambda: health_of(weir)[bad.address] == "UNHEALTHY" or weir.get("/u") is None)
        asked = len(bad.requests)
        for number in range(1000):
            fake_consul.set("web", [bad.port, good.port] + [1] * (number % 2))
            if number % 100 == 0:
                assert weir.get("/u").headers.get("X-Backend") == "good"
        assert health_of(weir)[bad.address] == "UNHEALTHY"
        assert len(bad.requests) == asked


class TestServices:
    @pytest.fixture
    def mock_api(self, new_backend):
        return new_backend("mock-api", Switch())

    def patch(self, weir, fields):
        return weir.admin.request("PATCH", "/services/mock-api", data=fields)

    def serve(self, weir, mock_api):
        weir.admin.create("/services", {"name": "mock-api", "url": mock_api.url})
        weir.admin.create("/services/mock-api/routes", {
            "name": "hello", "paths": ["/hello"], "strip_path": False})

    def test_the_thirteen_fields_are_understood(self, weir, mock_api):
        self.serve(weir, mock_api)
        answer = self.patch(weir, MOCK_API_FIELDS)
        assert answer.status_code == 200, answer.text
        checks = answer.json()["healthchecks"]
        assert checks["active"]["type"] == "http"
        assert checks["active"]["http_path"] == "/health"
        assert checks["active"]["https_verify_certificate"] is False
        assert checks["active"]["timeout"] == 2
        assert checks["active"]["healthy"] == {
            "interval": 5, "successes": 3, "http_statuses": [200, 302]}
        assert checks["active"]["unhealthy"] == {
            "interval": 5, "http_failures": 3, "tcp_failures": 3, "timeouts": 3,
            "http_statuses": [500]}
        assert checks["passive"]["healthy"] == {
            "interval": 5, "successes": 0, "http_statuses": [200]}
        assert checks["passive"]["unhealthy"] == {
            "http_failures": 3, "tcp_failures": 3, "timeouts": 3, "http_statuses": [500]}
        assert self.patch(weir, MOCK_API_FIELDS).json()["healthchecks"] == checks

    def test_three_failures_in_a_row_are_503_and_it_works_again(self, weir, mock_api):
        self.serve(weir, mock_api)
        assert self.patch(weir, MOCK_API_FIELDS).status_code == 200
        assert [weir.get("/hello").status for _ in range(3)] == [200] * 3
        eventually(lambda: mock_api.answer.probes > 0)  # by http, at /health
        mock_api.answer.status = 500
        assert [weir.get("/hello").status for _ in range(5)] == [500, 500, 500, 503, 503]
        mock_api.answer.status = 200
        eventually(lambda: weir.get("/hello").status == 200)
        assert [weir.get("/hello").status for _ in range(5)] == [200] * 5

    def test_what_is_behind_a_service_is_shown(self, weir, new_backend):
        backend = new_backend("one", Switch(500))
        weir.serve("checked", backend.url, healthchecks=passive(failures=1))
        weir.serve("free", backend.url)
        weir.get("/checked")
        row = {"target": backend.address, "weight": 1}

        def data(service):
            return weir.admin.get(f"/services/{service}/health").json()["data"]
        eventually(lambda: data("checked") == [{
            **row, "health": "UNHEALTHY", "reasons": "passive",
            "why": "1 request in a row answered 500"}], lambda: data("checked"))
        assert data("free") == [{**row, "health": "HEALTHCHECKS_OFF"}]
        weir.pool("u", [backend])
        assert data("u")[0]["target"] == backend.address and data("u")[0]["id"]
        assert weir.admin.get("/services/none/health").status_code == 404

    def test_over_https_the_path_is_probed_with_tls(self, weir):
        weir.admin.create("/services", {"name": "s", "url": "https://127.0.0.1:9"})
        answer = weir.admin.patch("/services/s", {"healthchecks": {"active": {
            "https_path": "/health"}}})
        assert answer.json()["healthchecks"]["active"]["type"] == "https"

    def test_the_field_is_absent_until_it_is_set_and_after(self, weir):
        weir.admin.create("/services", {"name": "s", "url": "http://127.0.0.1:9"})
        assert "healthchecks" not in weir.admin.get("/services/s").json()
        assert "healthchecks" not in weir.admin.patch("/services/s", {"retries": 1}).json()
        weir.admin.patch("/services/s", {"healthchecks": {"threshold": 10}})
        assert weir.admin.get("/services/s").json()["healthchecks"]["threshold"] == 10
        assert "healthchecks" not in weir.admin.patch("/services/s", {"healthchecks": None}).json()

    def test_two_services_of_one_host_have_checks_of_their_own(self, weir, new_backend):
        script = Switch(500)
        backend = new_backend("one", script)
        weir.serve("checked", backend.url, healthchecks=passive(failures=1))
        weir.serve("free", backend.url)
        assert [weir.get("/checked").status for _ in range(2)] == [500, 503]
        assert [weir.get("/free").status for _ in range(3)] == [500] * 3

    @pytest.mark.parametrize("fields, name, message", [
        ({"active": {"interval": -1}}, "interval", "value should be between 0 and 65535"),
        ({"active": {"concurrency": 0}}, "concurrency",
         "value should be between 1 and 2147483648"),
        ({"active": {"https_path": "health"}}, "https_path", "should start with: /"),
        ({"active": {"nonsense": 1}}, "nonsense", "unknown field"),
    ])
    def test_what_is_wrong_is_said(self, weir, fields, name, message):
        answer = weir.admin.post("/services", {"name": "s", "host": "h", "healthchecks": fields})
        assert answer.status_code == 400
        assert answer.json()["fields"]["healthchecks"]["active"] == {name: message}


@pytest.mark.consul
class TestConsulAndPanic:
    @pytest.fixture
    def pool(self, new_weir, consul, new_backend):
        """Three instances of "web", all passing, behind /web."""
        weir = new_weir(CONSUL_ADDR=consul.address)
        backends = [new_backend(name, Switch()) for name in ("a", "b", "c")]
        ids = [consul.register("web", backend.port, ttl_check=True) for backend in backends]
        for instance in ids:
            consul.set_check(instance, "passing")
        weir.serve("web", "http://web")
        weir.wait_until_answers("/web")
        eventually(lambda: len(weir.targets_in_use()) == 3)
        return weir, consul, backends, ids

    def asked(self, weir, backends, requests=12):
        before = [len(backend.requests) for backend in backends]
        statuses = {weir.get("/web").status for _ in range(requests)}
        return statuses, [len(backend.requests) > count
                          for backend, count in zip(backends, before)]

    def test_fault_25_all_critical_by_mistake_loses_nothing(self, pool):
        weir, consul, backends, ids = pool
        for instance in ids:
            consul.set_check(instance, "critical")
        eventually(lambda: weir.log(
            "panic: Consul calls too many targets critical; each stays until it fails"))
        assert self.asked(weir, backends) == ({200}, [True] * 3)

        # One that really fails is out at its first failure, and that is repeated elsewhere.
        backends[0].stop()
        for _ in range(12):
            assert weir.get("/web").status == 200
        backends[0].start()
        assert self.asked(weir, backends) == ({200}, [False, True, True])

        # All really dead: a try each, then 503.
        for backend in backends:
            backend.answer.status = 500
        statuses = [weir.get("/web").status for _ in range(6)]
        assert sorted(set(statuses)) == [500, 503] and statuses.count(500) <= 2

        for backend, instance in zip(backends, ids):
            backend.answer.status = 200
            consul.set_check(instance, "passing")
        eventually(lambda: self.asked(weir, backends) == ({200}, [True] * 3))
        assert weir.log("panic is over: Consul is believed again")

    def test_fault_26_all_in_maintenance_is_503_at_once(self, pool):
        weir, consul, backends, ids = pool
        for instance in ids:
            consul.maintenance(instance, True)
        eventually(lambda: weir.get("/web").status == 503)
        assert self.asked(weir, backends) == ({503}, [False] * 3)

    def test_fault_28_a_flapping_check_disturbs_nobody(self, pool):
        weir, consul, _, ids = pool
        with Load(weir.proxy_port, "/web") as load:
            for _ in range(5):
                consul.set_check(ids[0], "critical")
                eventually(lambda: len(weir.targets_in_use()) == 2)
                consul.set_check(ids[0], "passing")
                eventually(lambda: len(weir.targets_in_use()) == 3)
            load.wait_for_more(20)
        load.assert_all_fine()

    def test_fault_30_what_never_passed_is_not_panicked_in(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        cold = [new_backend(name) for name in ("x", "y")]
        for backend in cold:
            consul.register("web", backend.port, ttl_check=True)
        weir.serve("web", "http://web")
        eventually(lambda: len(weir.log("target joined")) == 2)
        assert weir.get("/web").status == 503

    def test_with_0_percent_consul_is_always_believed(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address, PANIC_PERCENT=0)
        instance = consul.register("web", new_backend("one").port, ttl_check=True)
        consul.set_check(instance, "passing")
        weir.serve("web", "http://web")
        weir.wait_until_answers("/web")
        consul.set_check(instance, "critical")
        weir.wait_until_answers("/web", 503)


class TestFaultsUnderLoad:
    def test_fault_50_a_killed_instance_fails_no_get(self, weir, new_backend):
        backends = [new_backend(name) for name in ("a", "b", "c", "d")]
        weir.pool("u", backends, healthchecks=passive(failures=3, pause=0.3))
        with Load(weir.proxy_port, "/u") as load:
            load.wait_for_more(20)
            backends[0].stop()
            wait_for_health(weir, backends[0], "UNHEALTHY")
            load.wait_for_more(20)
            backends[0].start()
            wait_for_health(weir, backends[0], "HEALTHY")
            load.wait_for_more(20)
        load.assert_all_fine()

    def test_fault_51_one_that_never_answers_is_left_alone(self, weir, new_backend):
        def stall(_request, _connection):
            threading.Event().wait(5)
        stalled, good = new_backend("stalled", stall), new_backend("good")
        weir.admin.create("/upstreams", {"name": "u", "healthchecks": passive(failures=2)})
        for backend in (stalled, good):
            weir.admin.create("/upstreams/u/targets", {"target": backend.address})
        weir.serve("u", host="u", read_timeout=200)
        assert {weir.get("/u").status for _ in range(20)} == {200}
        assert len(stalled.requests) == 2
        assert health_of(weir)[stalled.address] == "UNHEALTHY"

    def test_fault_55_growing_and_shrinking_loses_nothing(self, new_weir, fake_consul, new_backend):
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        backends = [new_backend(f"b{number}") for number in range(20)]
        ports = [backend.port for backend in backends]
        fake_consul.set("web", ports[:1])
        weir.admin.create("/upstreams", {
            "name": "u", "healthchecks": {**active(path="/"), **passive()},
            "discovery": {"type": "consul", "service": "web"}})
        weir.serve("u", host="u")
        weir.wait_until_answers("/u")
        with Load(weir.proxy_port, "/u") as load:
            for count in (20, 1, 20, 5):
                fake_consul.set("web", ports[:count])
                eventually(lambda: len(weir.targets_in_use()) == count)
                load.wait_for_more(30)
        load.assert_all_fine()

    def test_fault_52_fast_failures_attract_nobody(self, weir, new_backend):
        script = Switch(500)
        bad, good = new_backend("bad", script), new_backend("good")
        weir.pool("u", [bad, good], healthchecks=passive(failures=2))
        statuses = [weir.get("/u").status for _ in range(50)]
        assert statuses.count(500) == 2

    def test_fault_53_all_down_then_all_up(self, weir, new_backend):
        backends = [new_backend(name) for name in ("a", "b", "c")]
        weir.pool("u", backends, healthchecks=active())
        for backend in backends:
            backend.stop()
        weir.wait_until_answers("/u", 503)
        for backend in backends:
            backend.start()
        eventually(lambda: set(names(weir)) == {"a", "b", "c"})

    def test_fault_54_a_pool_of_one_without_checks_shows_its_errors(self, weir, new_backend):
        alone = new_backend("alone", Switch(500))
        weir.serve("alone", alone.url)
        assert [weir.get("/alone").status for _ in range(10)] == [500] * 10
        alone.stop()
        assert [weir.get("/alone").status for _ in range(10)] == [502] * 10


class TestEvents:
    def read(self, weir, query="", **headers):
        """A function that returns the next event of a target; the stream is closed with the
        session."""
        answer = weir.admin.get(f"/events{query}", stream=True, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)

        def following():
            number = None
            for line in lines:
                if line.startswith("id: "):
                    number = int(line[4:])
                if line.startswith("data: ") and '"type":"target.' in line:
                    return number, json.loads(line[6:])
            raise AssertionError("the stream has ended")
        return following

    def test_what_happens_to_targets_is_told_while_it_happens(self, weir, new_backend):
        following = self.read(weir)
        backend = new_backend("one", Switch(500))
        weir.admin.create("/upstreams", {"name": "u", "healthchecks": passive(failures=1)})
        weir.admin.create("/upstreams/u/targets", {"target": backend.address})
        weir.serve("u", host="u")
        first, joined = following()
        assert joined["type"] == "target.joined" and joined["target"] == backend.address
        assert weir.get("/u").status == 500
        second, out = following()
        assert (out["type"], out["reasons"]) == ("target.health", "passive")
        assert out["why"] == "1 request in a row answered 500"
        assert out["takes_traffic"] is False and second > first

        # Who comes late reads what is kept.
        assert self.read(weir, "?after=0")() == (first, joined)
        assert self.read(weir, **{"Last-Event-ID": str(first)})() == (second, out)

    def test_a_stream_does_not_hold_up_the_stop(self, weir):
        self.read(weir, "?after=0")
        weir.stop()

    def test_what_is_no_number_is_refused(self, weir):
        assert weir.admin.get("/events?after=x").status_code == 400


@pytest.mark.consul
class TestRealProcesses:
    """The demo's Flask service, killed, stopped, and taken down in good and bad order."""

    @pytest.fixture
    def pool(self, new_weir, consul, new_flask):
        weir = new_weir(CONSUL_ADDR=consul.address)
        instances = [new_flask(name, consul, service="web") for name in ("one", "two", "three")]
        weir.admin.create("/upstreams", {
            "name": "u", "healthchecks": {**active(interval=0.2, timeout=0.5, failures=1),
                                          **passive(failures=2)},
            "discovery": {"type": "consul", "service": "web"}})
        weir.serve("u", host="u", read_timeout=500)
        eventually(lambda: len(weir.targets_in_use()) == 3)
        weir.wait_until_answers("/u")
        return weir, consul, instances

    def test_fault_50_killed_fails_no_get(self, pool):
        weir, _, instances = pool
        with Load(weir.proxy_port, "/u") as load:
            load.wait_for_more(20)
            instances[0].kill()
            wait_for_health(weir, instances[0], "UNHEALTHY")
            load.wait_for_more(20)
        load.assert_all_fine()

    def test_fault_50_stopped_is_ejected_and_comes_back(self, pool):
        weir, _, instances = pool
        with Load(weir.proxy_port, "/u", connections=2, rate=50) as load:
            load.wait_for_more(20)
            instances[0].signal(signal.SIGSTOP)
            try:
                wait_for_health(weir, instances[0], "UNHEALTHY")
                load.wait_for_more(20)
            finally:
                instances[0].signal(signal.SIGCONT)
            wait_for_health(weir, instances[0], "HEALTHY")
        load.assert_all_fine()  # what timed out was repeated elsewhere

    def test_fault_56_deregister_and_sigterm_at_once(self, pool):
        weir, consul, instances = pool
        with Load(weir.proxy_port, "/u") as load:
            load.wait_for_more(20)
            consul.deregister(instances[0].name)
            instances[0].kill()
            eventually(lambda: len(weir.targets_in_use()) == 2)
            load.wait_for_more(20)
        load.assert_all_fine()

    def test_fault_29_a_mass_flap_loses_nothing(self, pool):
        weir, consul, instances = pool
        with Load(weir.proxy_port, "/u") as load:
            load.wait_for_more(20)
            for instance in instances:  # as when the node's own check fails
                consul.put("/v1/agent/check/register", {
                    "Name": "cut", "ID": f"cut-{instance.name}", "ServiceID": instance.name,
                    "TTL": "1h", "Status": "critical"})
            eventually(lambda: any(entry["msg"].startswith("panic:") for entry in weir.log()))
            load.wait_for_more(50)
            for instance in instances:
                consul.put(f"/v1/agent/check/deregister/cut-{instance.name}")
            eventually(lambda: weir.log("panic is over: Consul is believed again"))
            load.wait_for_more(20)
        load.assert_all_fine()
