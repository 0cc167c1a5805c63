"""What Prometheus sees: GET /metrics on the Admin API and on the status listener."""

import collections
import re
import socket
import time

import pytest
import requests

from support import REPOSITORY
from support.backends import response
from support.ports import free_port
from support.waiting import eventually

LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)")
ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class Metrics:
    """The text format, read strictly: what is not well-formed fails the test."""

    def __init__(self, text):
        self.kinds, self.helps = {}, {}
        self.samples = collections.defaultdict(dict)
        family = None
        assert text.endswith("\n")
        for line in text.splitlines():
            if line.startswith("# HELP "):
                _, _, family, help_text = line.split(" ", 3)
                assert family not in self.helps, f"{family} comes twice"
                self.helps[family] = help_text
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name == family and kind in ("counter", "gauge", "histogram")
                self.kinds[name] = kind
            else:
                self._take(line, family)

    def _take(self, line, family):
        match = LINE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        suffixes = ["_bucket", "_count", "_sum"] if self.kinds[family] == "histogram" else [""]
        assert name in [family + suffix for suffix in suffixes], line
        key = frozenset(self._labels(labels or "", line).items())
        assert key not in self.samples[name], f"twice: {line}"
        self.samples[name][key] = float(value)

    @staticmethod
    def _labels(text, line):
        labels = {}
        while text:
            match = LABEL.match(text)
            assert match, line
            labels[match[1]] = re.sub(r'\\[\\"n]', lambda m: ESCAPES[m[0]], match[2])
            text = text[match.end():]
        return labels

    def all(self, name, **labels):
        return {key: value for key, value in self.samples[name].items()
                if set(labels.items()) <= key}

    def get(self, name, **labels):
        found = self.all(name, **labels)
        assert len(found) <= 1, f"{name} {labels}: {found}"
        return next(iter(found.values()), None)


def read(weir):
    answer = weir.admin.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.text)


def counts(weir, name, **labels):
    return read(weir).get(name, **labels)


def read_after(weir, requests):
    """Once so many requests are over: a client has its answer a moment before that."""
    eventually(lambda: counts(weir, "kong_nginx_requests_total") >= requests)
    return read(weir)


class TestRequests:
    def test_requests_are_counted_by_service_route_and_status(self, weir, new_backend):
        answers = iter([200, 200, 404, 500])
        backend = new_backend(answer=lambda *_: response(next(answers)))
        weir.serve("web", f"http://{backend.address}", retries=0)
        for _ in range(4):
            weir.get("/web")
        metrics = read_after(weir, 4)
        labels = {"service": "web", "route": "web", "source": "service", "workspace": "default",
                  "consumer": ""}
        name = "kong_http_requests_total"
        assert metrics.kinds[name] == "counter"
        assert metrics.get(name, code="200", **labels) == 2
        assert metrics.get(name, code="404", **labels) == 1
        assert metrics.get(name, code="500", **labels) == 1

    def test_what_weir_answers_itself_has_another_source(self, weir):
        weir.serve("dead", f"http://127.0.0.1:{free_port()}", retries=0)
        assert weir.get("/dead").status == 502
        assert read_after(weir, 1).get("kong_http_requests_total", service="dead", code="502",
                                       source="kong") == 1

    def test_latencies_fall_into_kongs_buckets(self, weir, new_backend):
        def slow(*_):
            time.sleep(0.06)
            return response(200)
        weir.serve("web", f"http://{new_backend(answer=slow).address}")
        weir.get("/web")
        metrics = read_after(weir, 1)
        for name, bounds in (
                ("kong_kong_latency_ms",
                 [1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000]),
                ("kong_upstream_latency_ms",
                 [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000]),
                ("kong_request_latency_ms",
                 [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000])):
            assert metrics.kinds[name] == "histogram"
            buckets = {dict(key)["le"]: value
                       for key, value in metrics.all(name + "_bucket", service="web").items()}
            assert sorted(float(bound) for bound in buckets) == [*map(float, bounds), float("inf")]
            ordered = [buckets[bound] for bound in sorted(buckets, key=float)]
            assert ordered == sorted(ordered), "buckets are cumulative"
            assert buckets["+Inf"] == metrics.get(name + "_count", service="web") == 1
            labels = {label for key in metrics.samples[name + "_sum"] for label, _ in key}
            assert labels == {"service", "route", "workspace"}
        assert metrics.get("kong_upstream_latency_ms_bucket", service="web", le="50") == 0
        assert metrics.get("kong_upstream_latency_ms_sum", service="web") >= 55

    def test_bandwidth_counts_heads_and_bodies(self, weir, new_backend):
        backend = new_backend(answer=lambda *_: response(200, [], b"x" * 5000))
        weir.serve("web", f"http://{backend.address}")
        weir.request("POST", "/web", body=b"y" * 3000)
        metrics = read_after(weir, 1)
        ingress = metrics.get("kong_bandwidth_bytes", service="web", direction="ingress")
        egress = metrics.get("kong_bandwidth_bytes", service="web", direction="egress")
        assert 3000 < ingress < 3500 and 5000 < egress < 5800

    def test_all_workers_counts_are_added_up(self, new_weir, new_backend):
        weir = new_weir(WORKERS=4)
        weir.serve("web", f"http://{new_backend().address}")
        for _ in range(40):
            weir.get("/web")  # each on a connection of its own, so on any worker
        metrics = read_after(weir, 40)
        assert metrics.get("kong_http_requests_total", service="web", code="200") == 40
        assert metrics.get("kong_nginx_requests_total") == 40

    def test_counts_survive_changes_of_the_configuration(self, weir, backend):
        weir.serve("web", f"http://{backend.address}")
        weir.get("/web")
        weir.admin.patch("/services/web", {"retries": 2})
        weir.admin.patch("/routes/web", {"paths": ["/web", "/else"]})
        weir.serve("other", f"http://{backend.address}")
        weir.get("/else")
        assert read_after(weir, 2).get("kong_http_requests_total", service="web", route="web",
                                       code="200") == 2

    def test_what_is_no_longer_configured_is_no_longer_told(self, weir, backend):
        weir.serve("web", f"http://{backend.address}")
        weir.get("/web")
        assert read_after(weir, 1).get("kong_http_requests_total", service="web") == 1
        weir.admin.remove("/routes/web")
        assert counts(weir, "kong_http_requests_total", service="web") is None

    def test_labels_are_names_or_what_stands_for_them(self, weir, backend):
        service = weir.admin.create("/services", {"url": f"http://{backend.address}"})
        route = weir.admin.create(f"/services/{service['id']}/routes", {"paths": ["/x"]})
        weir.get("/x")
        assert read_after(weir, 1).get("kong_http_requests_total", service="127.0.0.1",
                                       route=route["id"]) == 1

    def test_many_statuses_are_bounded(self, weir, new_backend):
        codes = iter(range(400, 440))
        backend = new_backend(answer=lambda *_: response(next(codes)))
        weir.serve("web", f"http://{backend.address}")
        client = weir.client()
        for _ in range(40):
            client.get("/web")
        found = read_after(weir, 40).all("kong_http_requests_total", service="web")
        assert len(found) == 25 and sum(found.values()) == 40
        assert counts(weir, "kong_http_requests_total", service="web", code="other") == 16


class TestTheNode:
    def test_bad_requests_are_counted_by_reason(self, weir):
        with socket.create_connection(("127.0.0.1", weir.proxy_port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            assert b" 400 " in client.recv(4096)
        refused = eventually(lambda: read(weir).all("weir_requests_refused_total", code="400"))
        assert sum(refused.values()) == 1
        reason = dict(next(iter(refused)))["reason"]
        assert "Host" in reason or "host" in reason

    def test_requests_without_a_route_are_counted(self, weir):
        weir.get("/nowhere")
        assert read_after(weir, 1).get("weir_own_answers_total", code="404",
                                       reason="no Route matched with those values") == 1

    def test_failed_tries_and_retries_are_counted(self, weir, backend):
        weir.admin.create("/upstreams", {"name": "web"})
        weir.admin.create("/upstreams/web/targets", {"target": f"127.0.0.1:{free_port()}"})
        weir.admin.create("/upstreams/web/targets", {"target": backend.address})
        weir.serve("web", host="web")
        for _ in range(4):
            assert weir.get("/web").status == 200
        metrics = read_after(weir, 4)
        assert metrics.get("weir_upstream_events_total", upstream="web", event="retry") >= 1
        assert sum(metrics.all("weir_upstream_failures_total").values()) >= 1

    def test_upstream_connections_are_counted(self, weir, backend):
        weir.serve("web", f"http://{backend.address}")
        client = weir.client()
        for _ in range(5):
            client.get("/web")
        metrics = read_after(weir, 5)
        assert metrics.get("weir_upstream_connections_opened_total") == 1
        assert metrics.get("weir_upstream_connections_reused_total") == 4
        assert metrics.get("weir_upstream_connections", state="idle") == 1
        assert metrics.get("weir_upstream_connections", state="busy") == 0
        assert metrics.get("kong_nginx_connections_total", state="active") >= 1
        backend.stop()
        eventually(lambda: counts(weir, "weir_upstream_connections", state="idle") == 0)

    def test_the_state_of_targets_has_kongs_form(self, weir, new_backend):
        good, bad = new_backend("good"), new_backend("bad")
        weir.pool("web", [good, bad],
                  healthchecks={"passive": {"unhealthy": {"http_failures": 2}}})
        weir.admin.put(f"/upstreams/web/targets/{bad.address}/unhealthy")
        metrics = read(weir)
        for backend, state in ((good, "healthy"), (bad, "unhealthy")):
            rows = metrics.all("kong_upstream_target_health", upstream="web",
                               address=backend.address)
            assert {dict(key)["state"]: value for key, value in rows.items()} == {
                "healthy": float(state == "healthy"), "unhealthy": float(state == "unhealthy"),
                "healthchecks_off": 0, "dns_error": 0}
        assert metrics.get("weir_upstream_targets", upstream="web") == 2
        assert metrics.get("weir_upstream_usable_targets", upstream="web") == 1
        assert metrics.get("weir_upstream_panic", upstream="web") == 0
        assert metrics.get("weir_events_total", event="target.health, out: manual") == 1

    def test_odd_names_are_escaped(self, weir, backend):
        weir.admin.create("/services", {"name": "héllo", "url": f"http://{backend.address}"})
        weir.admin.create("/services/héllo/routes", {"name": "röute", "paths": ["/h"]})
        weir.get("/h")
        assert read_after(weir, 1).get("kong_http_requests_total", service="héllo",
                                       route="röute") == 1

    def test_figures_of_the_node(self, weir):
        metrics = read(weir)
        node_id = weir.admin.get("/").json()["node_id"]
        assert metrics.get("kong_node_info", node_id=node_id) == 1
        assert metrics.get("kong_datastore_reachable") == 1
        assert metrics.get("weir_node_state", state="ready") == 1
        assert metrics.get("weir_node_state", state="draining") == 0
        assert metrics.get("process_resident_memory_bytes") > 1e6
        assert metrics.get("process_open_fds") > 3
        assert abs(metrics.get("process_start_time_seconds") - time.time()) < 600
        assert metrics.get("weir_config_build_seconds_count") >= 1
        before = metrics.get("weir_config_version")
        weir.serve("web", "http://127.0.0.1:1")
        after = read(weir)
        assert after.get("weir_config_version") > before
        assert after.get("weir_config_services") == after.get("weir_config_routes") == 1

    def test_an_outage_of_the_database_shows(self, new_weir, postgres):
        weir = new_weir(**postgres.settings, MIGRATE="auto")
        assert counts(weir, "kong_datastore_reachable") == 1
        postgres.stop()
        eventually(lambda: counts(weir, "kong_datastore_reachable") == 0)
        assert counts(weir, "weir_node_state", state="degraded") == 1

    def test_metrics_can_be_off(self, new_weir, backend):
        weir = new_weir(METRICS="off")
        weir.serve("web", f"http://{backend.address}")
        assert weir.get("/web").status == 200
        assert weir.admin.get("/metrics").status_code == 404


@pytest.mark.consul
class TestDiscovery:
    def test_what_consul_brings_is_measured(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        consul.register("web", new_backend("one").port)
        weir.serve("web", "http://web.service.consul")
        eventually(lambda: weir.get("/web").status == 200)
        before = read(weir)
        assert before.get("weir_consul_reachable") == 1
        assert before.get("weir_discovery_targets", source="consul", watch="web") == 1
        assert before.get("weir_discovery_age_seconds", watch="web") >= 0
        consul.register("web", new_backend("two").port)
        eventually(lambda: counts(weir, "weir_discovery_targets", watch="web") == 2)
        after = read(weir)
        for name in ("weir_discovery_wake_ups_total", "weir_discovery_changes_total"):
            assert after.get(name, watch="web") > before.get(name, watch="web")
        count = "weir_discovery_propagation_seconds_count"
        assert after.get(count) > before.get(count)
        assert after.get("weir_discovery_propagation_seconds_sum") > 0
        assert after.get("weir_upstream_targets", upstream="web.service.consul:80") == 2
        consul.stop()
        eventually(lambda: counts(weir, "weir_consul_reachable") == 0)
        assert counts(weir, "weir_discovery_errors_total", watch="web") > 0


class TestTheStatusListener:
    @pytest.fixture
    def port(self):
        return free_port()

    def test_it_shows_and_does_no_more(self, new_weir, port):
        weir = new_weir(STATUS_LISTEN=f"127.0.0.1:{port}")
        url = f"http://127.0.0.1:{port}"
        assert requests.get(url + "/status", timeout=30).json()["server"]["total_requests"] >= 0
        assert requests.get(url + "/status/ready", timeout=30).json() == {"message": "ready"}
        assert Metrics(requests.get(url + "/metrics", timeout=30).text).get("kong_node_info") == 1
        for path in ("/", "/services", "/upstreams", "/discovery", "/events", "/endpoints"):
            assert requests.get(url + path, timeout=30).status_code == 404, path
        assert requests.post(url + "/status", json={"status": "draining"},
                             timeout=30).status_code == 405
        assert weir.admin.get("/status/ready").status_code == 200

        weir.admin.post("/status", {"status": "draining"})
        answer = requests.get(url + "/status/ready", timeout=30)
        assert answer.status_code == 503 and answer.json() == {"message": "draining"}

    def test_kongs_variable_is_understood(self, new_weir, port):
        new_weir(KONG_STATUS_LISTEN=f"127.0.0.1:{port} reuseport backlog=16384")
        assert requests.get(f"http://127.0.0.1:{port}/status", timeout=30).status_code == 200

    def test_an_address_in_use_is_refused_by_its_name(self, weir_command, port):
        result = weir_command("run", WEIR_PROXY_LISTEN="off", WEIR_ADMIN_LISTEN=f"127.0.0.1:{port}",
                              WEIR_STATUS_LISTEN=f"127.0.0.1:{port}", WEIR_CONSUL_ADDR="off")
        assert result.returncode == 1
        assert "WEIR_STATUS_LISTEN" in result.stderr


class TestTheDocumentation:
    """docs/metrics.md lists what /metrics prints: no more, no less."""

    @pytest.mark.consul
    def test_the_table_is_what_is_printed(self, new_tls_weir, consul):
        weir = new_tls_weir(CONSUL_ADDR=consul.address, SSL_STAPLING="on", ACME_AGREE_TOS="on",
                            ACME_HOSTS="a.example", ACME_DIRECTORY="http://127.0.0.1:1/")
        printed = read(weir)
        listed = {}
        text = (REPOSITORY / "docs/metrics.md").read_text(encoding="utf-8")
        for row in re.findall(r"^\| `([a-z0-9_]+)` \| (\w+) \|", text, re.M):
            assert row[0] not in listed, f"{row[0]} is listed twice"
            listed[row[0]] = row[1]
        assert listed == printed.kinds
