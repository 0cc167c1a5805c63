"""Faults of targets and of what Consul says of them, each by its number in the list of faults, with
real processes where a process can have it. Others of them are in test_health.py."""

import collections
import json
import signal
import socket
import struct
import threading

import pytest

from support.backends import response
from support.load import Load
from support.ports import free_port
from support.waiting import eventually

FAST = 0.1


def checks(failures=2, pause=None, probes=True):
    limits = {"http_failures": failures, "tcp_failures": failures, "timeouts": failures}
    healthy = {"interval": pause} if pause else {}
    record = {"passive": {"healthy": healthy, "unhealthy": limits}}
    if probes:
        record["active"] = {"http_path": "/health", "timeout": 1,
                            "healthy": {"interval": FAST, "successes": 1},
                            "unhealthy": {"interval": FAST, **limits}}
    return record


def health(weir):
    rows = weir.admin.get("/upstreams/u/health").json()["data"]
    return {row["target"]: row["health"] for row in rows}


def consul_pool(weir, service="web", **upstream):
    weir.admin.create("/upstreams", {
        "name": "u", "discovery": {"type": "consul", "service": service}, **upstream})


@pytest.mark.consul
class TestConsulsVerdict:
    def test_fault_25_panic_and_its_end_are_seen(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        backends = [new_backend(name) for name in "ab"]
        ids = [consul.register("web", backend.port, ttl_check=True) for backend in backends]
        for instance in ids:
            consul.set_check(instance, "passing")
        consul_pool(weir)
        weir.serve("u", host="u")
        weir.wait_until_answers("/u")
        eventually(lambda: len(weir.targets_in_use()) == 2)
        assert "X-Weir-Panic" not in weir.get("/u").headers
        for instance in ids:
            consul.set_check(instance, "critical")
        eventually(lambda: weir.get("/u").headers.get("X-Weir-Panic") == "on")
        data = weir.admin.get("/upstreams/u/health?balancer_health=1").json()["data"]
        assert data["panic"] is True
        assert {address["reasons"] for host in data["details"]["hosts"]
                for address in host["addresses"]} == {"kept in panic"}

        for backend in backends:
            backend.stop()
        eventually(lambda: weir.get("/u").headers.get("X-Weir-Reason") ==
                   "no target is in use: consul")
        assert len([line for line in weir.log() if line["msg"].startswith("panic")]) == 1

    def test_fault_26_maintenance_is_told_as_the_reason(self, new_weir, consul, backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        instance = consul.register("web", backend.port)
        consul_pool(weir)
        weir.serve("u", host="u")
        weir.wait_until_answers("/u")
        consul.maintenance(instance, True)
        weir.wait_until_answers("/u", 503)
        answer = weir.get("/u")
        assert answer.headers.get("X-Weir-Reason") == "no target is in use: maintenance"
        assert "failure to get a peer from the ring-balancer" in answer.text
        assert not any(line["msg"].startswith("panic") for line in weir.log())

    def test_fault_27_a_reload_that_flips_all_checks_loses_nothing(
            self, new_weir, consul_binary, tmp_path, new_flask):
        """Checks that a reload brings are critical until they have told their first result."""
        from support.consul import Consul
        folder = tmp_path / "services"
        folder.mkdir()
        instances = [new_flask(name) for name in ("one", "two", "three")]

        def define(generation):
            services = [{"name": "web", "id": one.name, "address": "127.0.0.1", "port": one.port,
                         "check": {"id": f"ttl:{generation}:{one.name}", "ttl": "1h"}}
                        for one in instances]
            (folder / "web.json").write_text(json.dumps({"services": services}))

        def pass_checks(generation):
            for one in instances:
                consul.set_check(f"{generation}:{one.name}", "passing")
            eventually(lambda: self.statuses(consul) == ["passing"] * 3)

        define(0)
        consul = Consul(consul_binary, str(tmp_path / "consul"), directories=[str(folder)])
        try:
            pass_checks(0)
            weir = new_weir(CONSUL_ADDR=consul.address)
            weir.serve("u", "http://web")
            weir.wait_until_answers("/u")
            eventually(lambda: len(weir.targets_in_use()) == 3)
            with Load(weir.proxy_port, "/u") as load:
                for generation in range(1, 4):
                    define(generation)
                    consul.put("/v1/agent/reload")
                    eventually(lambda: self.statuses(consul) == ["critical"] * 3)
                    load.wait_for_more(20)
                    pass_checks(generation)
                    load.wait_for_more(20)
            load.assert_all_fine(60)
            eventually(lambda: weir.log("panic is over: Consul is believed again"))
            eventually(lambda: len(weir.targets_in_use()) == 3)
        finally:
            consul.stop()

    @staticmethod
    def statuses(consul):
        return [check["Status"] for entry in consul.instances("web") for check in entry["Checks"]
                if check["CheckID"] != "serfHealth"]

    def test_fault_30_a_check_that_is_added_later_gates_it(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        ready, early = new_backend("ready"), new_backend("early")
        consul.set_check(consul.register("web", ready.port, ttl_check=True), "passing")
        weir.admin.create("/upstreams", {"name": "u", "discovery": {
            "type": "consul", "service": "web", "require_service_check": True}})
        weir.serve("u", host="u")
        weir.wait_until_answers("/u")
        instance = consul.register("web", early.port)  # no check yet
        eventually(lambda: early.address in health(weir))
        assert {weir.get("/u").headers.get("X-Backend") for _ in range(8)} == {"ready"}
        consul.put("/v1/agent/check/register", {
            "Name": "late", "ID": f"ttl:{instance}", "ServiceID": instance, "TTL": "1h"})
        assert {weir.get("/u").headers.get("X-Backend") for _ in range(8)} == {"ready"}
        consul.set_check(instance, "passing")
        eventually(lambda: weir.get("/u").headers.get("X-Backend") == "early")


class Lossy:
    """Listens, and does with each connection what the kernel of a sick host would."""

    def __init__(self, behave):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.name = "lossy"
        self.count = 0
        self._behave = behave
        self._kept = []
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.count += 1
            self._kept.append(sock)  # none is closed by accident
            try:
                self._behave(sock)
            except OSError:
                pass

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for sock in self._kept:
            sock.close()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def reset_after(count):
    """Reads the request, sends so many bytes of an answer, and resets."""
    def behave(sock):
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"[:count])
        reset(sock)
    return behave


class TestConnections:
    @pytest.fixture
    def lossy(self):
        servers = []

        def make(behave):
            servers.append(Lossy(behave))
            return servers[-1]
        yield make
        for server in servers:
            server.stop()

    def pool(self, weir, lossy, new_backend, **service):
        good = [new_backend(name) for name in "ab"]
        weir.admin.create("/upstreams", {"name": "u", "healthchecks": checks(probes=False)})
        for target in (lossy, *good):
            weir.admin.create("/upstreams/u/targets", {"target": target.address})
        weir.serve("u", host="u", **service)

    @pytest.mark.parametrize("count", [0, 5, 30, 43])
    def test_fault_50_reset_after_some_bytes(self, weir, lossy, new_backend, count):
        """Of a short answer no byte has left yet, so it is asked for elsewhere."""
        target = lossy(reset_after(count))
        self.pool(weir, target, new_backend)
        assert {weir.get("/u").status for _ in range(20)} == {200}
        assert health(weir)[target.address] == "UNHEALTHY"
        assert target.count == 2

    def test_fault_50_reset_before_the_request(self, weir, lossy, new_backend):
        target = lossy(reset)
        self.pool(weir, target, new_backend)
        assert {weir.get("/u").status for _ in range(20)} == {200}
        assert health(weir)[target.address] == "UNHEALTHY"

    def test_fault_50_packets_that_are_dropped(self, weir, new_backend):
        """A listener whose queue is full answers no SYN, as behind a firewall that drops them."""
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen(0)
            fillers = []
            for _ in range(8):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(mute.getsockname())
                fillers.append(filler)
            address = "127.0.0.1:%d" % mute.getsockname()[1]
            target = collections.namedtuple("Target", "address")(address)
            self.pool(weir, target, new_backend, connect_timeout=200)
            assert {weir.get("/u").status for _ in range(20)} == {200}
            assert health(weir)[address] == "UNHEALTHY"
            eventually(lambda: "timed out" in weir.log("target changed", target=address)[-1]["why"])
            for filler in fillers:
                filler.close()


class TestSlowAndFailing:
    @pytest.mark.consul
    def test_fault_51_one_of_eleven_that_hangs_is_stepped_over(self, new_weir, consul, new_backend):
        """With defaults: no upstream, no check."""
        weir = new_weir(WORKERS=1, CONSUL_ADDR=consul.address)
        stalled = threading.Event()

        def stall(_request, _connection):
            stalled.wait(60)
            return response(200)
        slow = new_backend("slow", stall)
        backends = [slow, *(new_backend(f"b{number}") for number in range(10))]
        for backend in backends:
            consul.register("web", backend.port)
        weir.serve("u", "http://web")
        try:
            eventually(lambda: len(weir.targets_in_use()) == 11)
            clients = [threading.Thread(target=weir.get, args=("/u",), daemon=True)
                       for _ in range(40)]
            for client in clients:
                client.start()
            eventually(lambda: slow.requests)
            eventually(lambda: sum(client.is_alive() for client in clients) == len(slow.requests))
            held_up = len(slow.requests)
            assert held_up <= 5
            with weir.client() as client:
                for _ in range(300):
                    assert client.get("/u").status == 200
            assert len(slow.requests) == held_up
        finally:
            stalled.set()

    def test_fault_52_fast_503s_with_retry_after_are_not_repeated_there(self, weir, new_backend):
        bad = new_backend("bad", response(503, [("Retry-After", "30"), ("X-Backend", "bad")]))
        good = new_backend("good")
        weir.pool("u", [bad, good], healthchecks=checks(probes=False))
        answers = [weir.get("/u") for _ in range(40)]
        assert [answer.status for answer in answers].count(503) == 2
        assert {answer.headers.get("Retry-After") for answer in answers
                if answer.status == 503} == {"30"}
        assert len(bad.requests) == 2

    def test_fault_53_the_first_one_back_is_not_run_over(self, weir, new_backend):
        backends = [new_backend(name) for name in "abc"]
        weir.pool("u", backends, healthchecks=checks(failures=1, pause=0.3, probes=False),
                  limits={"max_in_flight": 4, "max_pending": 1000, "pending_timeout": 60})
        for backend in backends:
            backend.stop()
        eventually(lambda: [weir.get("/u").status for _ in range(4)] == [503] * 4)
        for backend in backends:
            backend.start()
        # Half-open: of many clients one request goes through to each, before all may.
        with Load(weir.proxy_port, "/u", connections=20, rate=500) as load:
            eventually(lambda: set(health(weir).values()) == {"HEALTHY"})
            before = load.statuses[200]
            eventually(lambda: load.statuses[200] > before + 50)
        assert set(load.statuses) <= {200, 503} and not load.errors

    def test_fault_54_a_pool_of_one_with_limits_is_503_and_heals(self, weir, new_backend):
        state = {"status": 500}
        alone = new_backend("alone", lambda *_: response(state["status"]))
        weir.pool("u", [alone], healthchecks=checks(failures=3, pause=0.3, probes=False))
        assert [weir.get("/u").status for _ in range(5)] == [500, 500, 500, 503, 503]
        assert weir.get("/u").headers.get("X-Weir-Reason") == "no target is in use: passive"
        state["status"] = 200
        eventually(lambda: weir.get("/u").status == 200)
        assert [weir.get("/u").status for _ in range(5)] == [200] * 5


@pytest.mark.consul
class TestComingAndGoing:
    def test_fault_55_a_hundred_come_and_go(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        ports = [new_backend(f"b{number}").port for number in range(10)]
        consul_pool(weir, healthchecks=checks(), slow_start=5)
        weir.serve("u", host="u")
        weir.wait_until_answers("/u", 503)

        def scale(count):
            """A hundred instances at ten ports: addresses of the loopback net differ."""
            have = {entry["Service"]["ID"] for entry in consul.instances("web")}
            want = {f"web-{number}" for number in range(count)}
            for number in range(count):
                if f"web-{number}" not in have:
                    consul.register("web", ports[number % 10], id=f"web-{number}",
                                    address=f"127.0.{number // 10}.1")
            for instance in have - want:
                consul.deregister(instance)
            eventually(lambda: len(weir.targets_in_use()) == count,
                       lambda: f"{count} in use: {len(weir.targets_in_use())}")
        scale(1)  # from none
        weir.wait_until_answers("/u")
        with Load(weir.proxy_port, "/u") as load:
            for count in (10, 1, 10, 3):
                scale(count)
                load.wait_for_more(30)
        load.assert_all_fine()
        scale(0)
        weir.wait_until_answers("/u", 503)
        assert weir.get("/u").headers.get("X-Weir-Reason") == "no targets"
        scale(2)
        weir.wait_until_answers("/u")

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_fault_56_deregistered_and_terminated_at_once(self, new_weir, consul, new_flask,
                                                          method):
        weir = new_weir(CONSUL_ADDR=consul.address)
        instances = [new_flask(name, consul, service="web") for name in ("one", "two", "three")]
        consul_pool(weir)
        weir.serve("u", host="u")
        eventually(lambda: len(weir.targets_in_use()) == 3)
        connections = 4
        with Load(weir.proxy_port, "/u", method, b"x" if method == "POST" else b"",
                  connections=connections) as load:
            load.wait_for_more(40)
            instances[0].signal(signal.SIGTERM)  # it deregisters itself and ends
            eventually(lambda: len(weir.targets_in_use()) == 2)
            load.wait_for_more(40)
        failed = len(load.errors) + len([1 for status, _ in load.unexpected if status >= 500])
        assert failed <= (0 if method == "GET" else connections), (load.errors, load.unexpected)
