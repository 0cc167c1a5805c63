"""Thousands of clients that hold on, and everything changing at once: no request fails, and what was
taken is given back.

    WEIR_SOAK_SECONDS=1200 tests/run integration -n 0 -k soak      # twenty minutes instead of twenty seconds
"""

import itertools
import os
import random
import resource
import threading
import time

import pytest

from support import wire
from support.load import Load
from support.waiting import eventually

SOAK_S = float(os.environ.get("WEIR_SOAK_SECONDS", "20"))
LARGE_BODY = b"x" * (256 << 10)  # more than the kernel's buffers take from a reader that stalls


def descriptors(weir):
    return len(os.listdir(f"/proc/{weir.pid}/fd"))


def settled_descriptors(weir):
    """How many there are once connections to targets have had their time and two looks agree."""
    last = None

    def is_settled():
        nonlocal last
        previous, last = last, descriptors(weir)
        return previous == last

    eventually(lambda: active(weir) == 0)
    eventually(is_settled, every=1.2)
    return last


def own_memory_kib(weir):
    """What is weir's alone and no file's."""
    with open(f"/proc/{weir.pid}/smaps_rollup", encoding="ascii") as rollup:
        for line in rollup:
            if line.startswith("Anonymous:"):
                return int(line.split()[1])
    raise RuntimeError("no Anonymous")


def active(weir):
    return weir.admin.get("/status").json()["server"]["connections_active"]


def room_for_clients():
    """How many connections this process may hold, each of which is two of its own descriptors when it
    plays the target, too."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return (hard - 500) // 2


class Slow:
    """Clients that send a head or a body byte by byte, or take what they asked for not at all."""

    def __init__(self, weir, count):
        self.clients = []
        self._dribblers = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._dribble)
        for number in range(count):
            kind = number % 4
            client = weir.client(receive_buffer=4096 if kind == 3 else None)
            if kind < 2:
                client.send(b"GET /good HTTP/1.1\r\nHost: h\r\nX-Slow: ")
            elif kind == 2:
                client.send(b"POST /good HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
            else:
                client.send_request("GET", "/large")
            self.clients.append(client)
            if kind < 3:
                self._dribblers.append(client)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        for client in self.clients:
            client.close()

    def _dribble(self):
        while not self._is_over.is_set():
            for client in self._dribblers:
                client.send(b"x")
                if self._is_over.is_set():
                    return
            self._is_over.wait(0.2)


class TestManyClients:
    def hold_and_leave(self, weir, count):
        """So many slow clients and as many idle ones, good requests meanwhile, then all leave."""
        idle = [weir.client() for _ in range(count)]
        try:
            for client in idle:
                assert client.get("/good").status == 200
            with Slow(weir, count), Load(weir.proxy_port, "/good", rate=200) as load:
                eventually(lambda: active(weir) >= 2 * count)
                load.wait_for_more(500)
            load.assert_all_fine(at_least=500)
            assert all(client.get("/good").status == 200 for client in idle[:50])
        finally:
            for client in idle:
                client.close()

    def test_thousands_slow_and_thousands_idle(self, new_weir, new_fast_backend, is_sanitized):
        count = min(300 if is_sanitized else 2000, room_for_clients() // 3)
        weir = new_weir(UPSTREAM_KEEPALIVE_IDLE_TIMEOUT=0.2)
        weir.serve("good", new_fast_backend().url)
        weir.serve("large", new_fast_backend("large", body=LARGE_BODY).url)
        assert weir.get("/good").status == 200
        before, memory_before = settled_descriptors(weir), own_memory_kib(weir)

        self.hold_and_leave(weir, count)
        eventually(lambda: active(weir) == 0)
        eventually(lambda: descriptors(weir) <= before, lambda: (descriptors(weir), before))
        memory_then = own_memory_kib(weir)
        if not is_sanitized:  # a sanitizer keeps what was freed
            eventually(lambda: own_memory_kib(weir) < memory_before + 2048,
                       lambda: f"{own_memory_kib(weir)} KiB, {memory_before} before", every=0.5)
        print(f"anonymous memory: {memory_before} KiB, {memory_then} when {count} slow and {count} "
              f"idle clients left, {own_memory_kib(weir)} at the end")
        assert not weir.log("a connection could not be accepted")


class Churn:
    """Threads that do something again and again; the first exception ends the soak."""

    def __init__(self):
        self.counts = {}
        self.errors = []
        self.is_over = threading.Event()
        self._threads = []

    def add(self, name, act, every_s):
        def run():
            for number in itertools.count():
                if self.is_over.is_set():
                    return
                try:
                    act(number)
                except Exception as error:  # pylint: disable=broad-except
                    self.errors.append(f"{name}: {error!r}")
                    self.is_over.set()
                    return
                self.counts[name] = number + 1
                self.is_over.wait(every_s)
        self._threads.append(threading.Thread(target=run))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self._threads:
            thread.join()


class TestSoak:
    @pytest.mark.consul
    def test_clients_targets_and_configuration_change_at_once(self, new_weir, new_fast_backend,
                                                              consul, is_sanitized):
        weir = new_weir(CONSUL_ADDR=consul.address, UPSTREAM_KEEPALIVE_IDLE_TIMEOUT=0.5)
        stay = [new_fast_backend(f"stays-{number}") for number in range(3)]
        go = [new_fast_backend(f"goes-{number}") for number in range(3)]
        slow = new_fast_backend("slow", delay=0.05)
        weir.pool("pool", stay)
        for backend in stay:
            consul.register("found", backend.port)
        weir.admin.create("/upstreams", {
            "name": "found", "discovery": {"type": "consul", "service": "found"}})
        weir.serve("found", host="found")
        weir.serve("slow", slow.url)
        for path in ("/pool", "/found", "/slow"):
            weir.wait_until_answers(path)
        before = settled_descriptors(weir)

        churn = Churn()
        self.churn_clients(churn, weir)
        self.churn_targets(churn, weir, consul, go)
        self.churn_configuration(churn, weir)
        loads = [Load(weir.proxy_port, "/pool?a", rate=100), Load(weir.proxy_port, "/found", rate=100),
                 Load(weir.proxy_port, "/pool", "POST", b"p" * 3000, connections=2, rate=30)]
        began = time.monotonic()
        early = None
        with churn:
            for load in loads:
                load.__enter__()
            while not churn.is_over.is_set() and time.monotonic() < began + SOAK_S:
                churn.is_over.wait(SOAK_S / 20)
                if not early and time.monotonic() > began + SOAK_S * 0.4:
                    early = own_memory_kib(weir)
            late = own_memory_kib(weir)
            for load in loads:
                load.stop()
        print(f"{SOAK_S:.0f} s: {[load.answered for load in loads]} requests under load, "
              f"{churn.counts}; anonymous memory {early} KiB at two fifths, {late} KiB at the end")
        assert not churn.errors
        assert weir.log(level="error") == []
        for load in loads:
            load.assert_all_fine(at_least=SOAK_S)
        if not is_sanitized:
            assert late < early + 3072
        eventually(lambda: active(weir) == 0)
        eventually(lambda: descriptors(weir) <= before, lambda: (descriptors(weir), before))

    @staticmethod
    def churn_clients(churn, weir):
        def come_and_go(number):
            with weir.client() as client:
                path = ("/pool", "/found", "/slow")[number % 3]
                assert client.get(path).status == 200
                if number % 2:
                    client.half_close()
                    assert client.is_closed_by_peer()

        def leave_early(number):
            """In the head, in the body, and while the answer is awaited."""
            client = weir.client()
            client.send((b"GET /slow HTTP/1.1\r\nHo",
                         b"POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc",
                         b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")[number % 3])
            time.sleep(0.005 * (number % 3))  # lets some of them reach the target; any order is right
            client.reset() if number % 2 else client.close()

        def ask_badly(_):
            answer = wire.exchange(weir.proxy_port, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400 ")

        churn.add("clients that come and go", come_and_go, 0.01)
        churn.add("clients that leave early", leave_early, 0.01)
        churn.add("refused requests", ask_badly, 0.1)

    @staticmethod
    def churn_targets(churn, weir, consul, backends):
        address = {backend.port: backend.address for backend in backends}

        def static(number):
            target = address[backends[number // 2 % len(backends)].port]
            if number % 2 == 0:
                weir.admin.create("/upstreams/pool/targets", {"target": target})
            else:
                weir.admin.remove(f"/upstreams/pool/targets/{target}")

        def found(number):
            backend = backends[number // 2 % len(backends)]
            if number % 2 == 0:
                consul.register("found", backend.port)
            else:
                consul.deregister(f"found-{backend.port}")

        churn.add("static targets", static, 0.05)
        churn.add("instances in Consul", found, 0.2)

    @staticmethod
    def churn_configuration(churn, weir):
        admin = type(weir.admin)(weir.admin.url)  # a session of its own: two threads share none
        pick = random.Random(7)

        def change(number):
            name = f"more-{number % 10}"
            if number % 20 < 10:
                admin.create("/services", {"name": name, "url": "http://127.0.0.1:9"})
                admin.create(f"/services/{name}/routes",
                             {"name": name, "paths": [f"/{name}"], "hosts": [f"{name}.test"]})
                admin.create("/plugins", {"name": "correlation-id", "service": {"name": name}})
            else:
                admin.remove(f"/routes/{name}")
                admin.remove(f"/services/{name}")
            answer = admin.patch("/routes/pool", {"tags": [f"t{pick.randrange(100)}"]})
            assert answer.status_code == 200

        def reopen(_):
            weir.signal(1)
            assert admin_of_logs.get("/status").status_code == 200

        admin_of_logs = type(weir.admin)(weir.admin.url)
        churn.add("configurations", change, 0.05)
        churn.add("SIGHUP", reopen, 1)
