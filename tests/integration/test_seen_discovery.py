"""What is seen of discovery from outside: GET /discovery and GET …/targets/explain."""

import json

import pytest

from support.backends import response
from support.dns import FakeDns, addr, srv
from support.waiting import eventually


def watch(weir, name, source="consul"):
    found = [row for row in weir.admin.get("/discovery").json()["data"]
             if row["name"] == name and row["source"] == source]
    return found[0] if found else None


def explained(weir, path):
    answer = weir.admin.get(f"{path}/targets/explain")
    assert answer.status_code == 200, answer.text
    return {row["target"]: row for row in answer.json()["data"]}


def answer_of(consul, entries, index=99):
    headers = [("Content-Type", "application/json"), ("X-Consul-Index", index),
               ("X-Consul-KnownLeader", "true"), ("X-Consul-LastContact", "0")]
    return response(200, headers, json.dumps(entries))


@pytest.mark.consul
class TestDiscovery:
    def test_a_watch_says_what_it_asks_and_how_it_goes(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        backend = new_backend()
        consul.register("web", backend.port)
        weir.serve("web", "http://web.service.consul")
        eventually(lambda: weir.get("/web").status == 200)
        before = watch(weir, "web")
        assert before["address"] == f"http://{consul.address}"
        assert before["query"] == "/v1/health/service/web"
        assert before["state"] == "known" and before["phase"] in ("reading", "waiting")
        assert before["pools"] == ["web.service.consul"]
        assert before["targets"] == before["usable"] == 1
        assert before["last_error"] is None
        assert not before["stale"] and not before["held"] and not before["partial"]
        assert before["unconfirmed"] == before["skipped_count"] == 0
        assert 0 <= before["age"] <= 60 and before["changed_age"] >= before["age"]

        second = new_backend("second")
        consul.register("web", second.port)
        eventually(lambda: watch(weir, "web")["targets"] == 2)
        after = watch(weir, "web")
        assert after["index"] > before["index"]
        assert after["wake_ups"] > before["wake_ups"] and after["reads"] > before["reads"]
        assert after["changes"] > before["changes"]

    def test_with_consul_away_the_watch_is_stale_and_names_the_error(self, new_weir, consul,
                                                                     backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        consul.register("web", backend.port)
        weir.serve("web", "http://web.service.consul")
        eventually(lambda: weir.get("/web").status == 200)
        consul.stop()
        eventually(lambda: watch(weir, "web")["stale"])
        row = watch(weir, "web")
        assert row["errors"] > 0 and row["last_error"]["text"]
        assert row["last_error"]["age"] >= 0
        assert row["targets"] == 1, "what was known stays"

        consul.start()
        consul.register("web", backend.port)
        eventually(lambda: not watch(weir, "web")["stale"])
        assert watch(weir, "web")["last_error"] is not None, "the last one stays to be read"


class TestWhatIsLeftOut:
    def test_entries_that_make_no_sense_are_counted_and_named(self, new_weir, fake_consul):
        weir = new_weir(CONSUL_ADDR=f"127.0.0.1:{fake_consul.port}")
        fake_consul.set("web", [5001, 5002, 5003])
        weir.serve("web", "http://web.service.consul")
        eventually(lambda: (watch(weir, "web") or {}).get("targets") == 3)

        entries = [fake_consul.entry("web", port) for port in (5001, 5002, 5003)]
        bad = fake_consul.entry("web", 70000)
        nameless = fake_consul.entry("web", 5004)
        del nameless["Service"]["ID"]
        fake_consul.misbehave = answer_of(fake_consul, [*entries, bad, nameless])
        eventually(lambda: watch(weir, "web")["skipped_count"] == 2)
        row = watch(weir, "web")
        assert row["skipped"] == [{"entry": "fake-node/web-70000", "why": "a port is out of range"},
                                  {"entry": "fake-node/", "why": "an entry has no Service.ID"}]
        assert row["partial"] and row["targets"] == 3

        fake_consul.misbehave = answer_of(fake_consul, entries, index=100)
        eventually(lambda: watch(weir, "web")["skipped_count"] == 0)
        assert not watch(weir, "web")["partial"]

    def test_a_held_removal_counts_the_targets_that_nobody_confirms(self, new_weir, fake_consul):
        weir = new_weir(CONSUL_ADDR=f"127.0.0.1:{fake_consul.port}")
        fake_consul.set("web", [5001, 5002, 5003, 5004])
        weir.serve("web", "http://web.service.consul")
        eventually(lambda: (watch(weir, "web") or {}).get("targets") == 4)
        one = [fake_consul.entry("web", 5001)]
        headers = [("Content-Type", "application/json"), ("X-Consul-Index", 99),
                   ("X-Consul-KnownLeader", "false"), ("X-Consul-LastContact", "0")]
        fake_consul.misbehave = response(200, headers, json.dumps(one))
        eventually(lambda: watch(weir, "web")["held"])
        eventually(lambda: watch(weir, "web")["unconfirmed"] == 3)
        assert watch(weir, "web")["targets"] == 4


class TestDns:
    @pytest.fixture
    def dns(self):
        server = FakeDns()
        yield server
        server.stop()

    def test_a_name_of_the_hosts_file_is_a_watch_too(self, weir):
        weir.serve("local", "http://localhost:1")
        eventually(lambda: (watch(weir, "localhost", "dns") or {}).get("state") == "known")
        row = watch(weir, "localhost", "dns")
        assert row["pools"] == ["localhost"] and row["targets"] >= 1
        assert row["reads"] >= 1 and row["wake_ups"] >= 1
        assert row["address"], "the servers that would be asked"
        assert not row["partial"] and row["skipped"] == [] and row["skipped_count"] == 0

    def test_who_is_asked_and_what_is_left_out(self, new_weir, dns):
        weir = new_weir(DNS_RESOLVER=dns.address)
        name = "_web._tcp.test"
        dns.set(name, addr(5001, name), srv(name, 5002, "no host.test"))
        weir.admin.create("/upstreams", {"name": "srv", "discovery": {
            "type": "dns-srv", "name": name}})
        weir.serve("srv", "http://srv")
        row = eventually(lambda: next((row for row in weir.admin.get("/discovery").json()["data"]
                                       if row["source"] == "dns-srv" and row["targets"]), None))
        assert row["address"] == dns.address
        assert row["skipped_count"] == 1 and row["partial"]
        assert row["skipped"] == [{"entry": "record 2", "why": "its target is no name of a host"}]


class TestRoutesOfTags:
    def test_the_list_of_services_is_a_watch_and_its_refusal_is_no_secret(self, new_weir,
                                                                          fake_consul):
        fake_consul.set("web", [5001])
        weir = new_weir(CONSUL_ADDR=fake_consul.address, CONSUL_ROUTES="on")
        row = eventually(lambda: watch(weir, "services", "consul-catalog"))
        eventually(lambda: watch(weir, "services", "consul-catalog")["state"] == "known")
        row = watch(weir, "services", "consul-catalog")
        assert row["services"] == 1 and row["query"] == "/v1/catalog/services"
        assert row["address"] == f"http://{fake_consul.address}" and row["wake_ups"] >= 1
        assert weir.admin.get("/status").json()["weir"]["discovery"]["state"] == "ready"

        fake_consul.misbehave = response(403, [], "ACL not found")
        eventually(lambda: weir.admin.get("/status").json()["weir"]["discovery"]["state"] ==
                   "degraded")
        row = watch(weir, "services", "consul-catalog")
        assert row["stale"] and row["last_error"]["text"] and row["errors"] >= 1
        status = weir.admin.get("/status").json()["weir"]["discovery"]["consul"]
        assert status["refused"] == 1 and status["reachable"]

        fake_consul.misbehave = None
        eventually(lambda: weir.admin.get("/status").json()["weir"]["discovery"]["state"] ==
                   "ready", within=60)


class TestExplain:
    def test_what_is_configured_and_healthy_is_in(self, weir, backend):
        weir.pool("web", [backend])
        assert weir.get("/web").status == 200
        row = explained(weir, "/upstreams/web")[backend.address]
        assert row["source"] == "static" and row["consul"] is None
        assert row["takes_traffic"] and row["why"] == "in"
        assert row["weight"] == row["effective_weight"] == 100
        assert row["slow_start"] is None
        assert row["probe"] is None and row["passive"] is None and row["order"] is None

    def test_passive_counts_and_their_end_are_shown(self, weir, new_backend):
        backend = new_backend(answer=lambda *_: response(500))
        weir.pool("web", [backend],
                  healthchecks={"passive": {"unhealthy": {"http_failures": 2}}})
        weir.get("/web")
        row = explained(weir, "/upstreams/web")[backend.address]
        assert row["passive"]["in_a_row"]["http_failures"] == {"count": 1, "limit": 2}
        assert row["takes_traffic"]

        weir.get("/web")
        eventually(lambda: explained(weir, "/upstreams/web")[backend.address]["health"][
            "last_change"])
        row = explained(weir, "/upstreams/web")[backend.address]
        assert not row["takes_traffic"] and row["effective_weight"] == 0
        assert row["passive"]["verdict"] == "unhealthy" and row["passive"]["ejections"] == 1
        assert row["why"].startswith("out by passive: ") and "500" in row["why"]

    def test_an_order_is_shown(self, weir, backend):
        weir.pool("web", [backend],
                  healthchecks={"passive": {"unhealthy": {"http_failures": 2}}})
        weir.admin.put(f"/upstreams/web/targets/{backend.address}/unhealthy")
        row = explained(weir, "/upstreams/web")[backend.address]
        assert row["order"] == "unhealthy" and not row["takes_traffic"]
        assert "manual" in row["why"]

    def test_probes_are_shown(self, weir, new_backend):
        backend = new_backend(answer=lambda *_: response(500))
        weir.pool("web", [backend], healthchecks={"active": {
            "healthy": {"interval": 0.1, "successes": 1},
            "unhealthy": {"interval": 0.1, "http_failures": 1}}})
        eventually(lambda: explained(weir, "/upstreams/web")[backend.address]["probe"][
            "verdict"] == "unhealthy")
        row = explained(weir, "/upstreams/web")[backend.address]
        assert row["probe"]["probed"] and row["why"].startswith("out by probe")

    def test_requests_under_way_are_counted(self, weir, new_backend):
        import threading
        release = threading.Event()

        def slow(*_):
            release.wait(30)
            return response(200)
        backend = new_backend(answer=slow)
        weir.pool("web", [backend])
        caller = threading.Thread(target=lambda: weir.get("/web"))
        caller.start()
        try:
            eventually(lambda: explained(weir, "/upstreams/web")[backend.address]["in_flight"] == 1)
        finally:
            release.set()
            caller.join()
        eventually(lambda: explained(weir, "/upstreams/web")[backend.address]["in_flight"] == 0)

    def test_a_target_without_weight_says_so(self, weir, backend):
        weir.pool("web", [backend])
        weir.admin.patch(f"/upstreams/web/targets/{backend.address}", {"weight": 0})
        row = explained(weir, "/upstreams/web")[backend.address]
        assert not row["takes_traffic"] and row["why"] == "out: its weight is 0"

    def test_a_service_without_upstream_has_a_pool_of_its_own(self, weir, backend):
        weir.serve("web", f"http://{backend.address}")
        weir.get("/web")
        assert explained(weir, "/services/web")[backend.address]["takes_traffic"]

    def test_a_service_whose_host_is_an_upstream_shows_that_one(self, weir, backend):
        weir.pool("web", [backend])
        assert explained(weir, "/services/web") == explained(weir, "/upstreams/web")

    def test_what_does_not_exist_is_not_found(self, weir):
        assert weir.admin.get("/upstreams/none/targets/explain").status_code == 404
        assert weir.admin.get("/services/none/targets/explain").status_code == 404

    @pytest.mark.consul
    def test_consuls_verdict_is_shown_with_its_text(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        good, bad = new_backend("good"), new_backend("bad")
        consul.register("web", good.port)
        id = consul.register("web", bad.port, ttl_check=True)
        weir.serve("web", "http://web.service.consul")
        eventually(lambda: len(explained(weir, "/services/web")) == 2)
        row = explained(weir, "/services/web")[bad.address]
        assert row["source"] == "consul" and row["instance"] == id
        assert row["node"] == "test-node" and row["datacenter"] == "dc1"
        assert row["consul"]["status"] == "critical"
        assert not row["takes_traffic"] and row["why"].startswith("out by consul")
        consul.set_check(id, "passing")
        eventually(lambda: explained(weir, "/services/web")[bad.address]["takes_traffic"])
        assert explained(weir, "/services/web")[bad.address]["consul"]["status"] == "passing"
