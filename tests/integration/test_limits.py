"""What targets are spared: limits of requests and connections, and the queue before them."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.backends import response
from support.waiting import always, eventually

ENOUGH_S = 60  # nobody's time is over before the test is


class Gate:
    """Answers when the test opens it, and knows how many are under way."""

    def __init__(self, name="gated"):
        self.name = name
        self.is_open = threading.Event()
        self.under_way = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, _request, _connection):
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.is_open.wait(60)
        with self._lock:
            self.under_way -= 1
        return response(200, [("X-Backend", self.name)], b"late")


@pytest.fixture
def gated(new_backend):
    gate = Gate()
    yield new_backend("gated", gate)
    gate.is_open.set()


def queue(max_pending=10, seconds=ENOUGH_S, **limits):
    return {"max_pending": max_pending, "pending_timeout": seconds,
            **(limits or {"max_in_flight": 1})}


def eventually_waiting(weir, number):
    """`number` requests wait in the queue of the upstream `u`."""
    line = f'weir_upstream_pending{{upstream="u"}} {number}'
    eventually(lambda: line in weir.admin.get("/metrics").text.splitlines(), line)


def fill(pool, weir, gated):
    """One request under way at the one target."""
    first = pool.submit(weir.get, "/u")
    eventually(lambda: len(gated.requests) == 1, "a request under way")
    return first


class TestQueue:
    def test_requests_wait_their_turn(self, new_weir, gated):
        weir = new_weir(WORKERS=1)
        weir.pool("u", [gated], limits=queue())
        with ThreadPoolExecutor(8) as pool:
            first = fill(pool, weir, gated)
            waiting = [pool.submit(weir.request, "POST", f"/u/{number}", body=b"x" * 1000)
                       for number in range(5)]
            eventually_waiting(weir, 5)
            assert len(gated.requests) == 1
            gated.answer.is_open.set()
            assert [one.result().status for one in [first, *waiting]] == [200] * 6
        assert gated.answer.most == 1
        assert all(len(request.body) == 1000 for request in gated.requests[1:])

    @pytest.mark.threads
    def test_a_place_that_another_worker_leaves_is_found(self, new_weir, new_fast_backend):
        weir = new_weir(WORKERS=3)
        backend = new_fast_backend(delay=0.002)
        weir.pool("u", [backend], limits=queue(100))

        def ask_often(_):
            return {weir.get("/u").status for _ in range(20)}
        with ThreadPoolExecutor(12) as pool:
            assert set().union(*pool.map(ask_often, range(12))) == {200}

    def test_who_waits_in_vain_is_told_so(self, weir, gated):
        weir.pool("u", [gated], limits=queue(seconds=0.2))
        with ThreadPoolExecutor(1) as pool:
            first = fill(pool, weir, gated)
            answer = weir.get("/u")
            assert (answer.status, answer.headers.get("Retry-After")) == (503, "1")
            assert "no target became free in time" in answer.text
            gated.answer.is_open.set()
            assert first.result().status == 200
        assert len(gated.requests) == 1
        assert weir.get("/u").status == 200

    def test_the_queue_is_bounded_over_all_workers(self, weir, gated):
        weir.pool("u", [gated], limits=queue(3))
        with ThreadPoolExecutor(20) as pool:
            first = fill(pool, weir, gated)
            rest = [pool.submit(weir.get, "/u") for _ in range(10)]
            eventually(lambda: sum(one.done() for one in rest) == 7, "seven refused")
            refused = [one.result() for one in rest if one.done()]
            assert {answer.status for answer in refused} == {503}
            assert {answer.headers.get("Retry-After") for answer in refused} == {"1"}
            assert all("too many requests wait" in answer.text for answer in refused)
            gated.answer.is_open.set()
            assert sorted(one.result().status for one in rest) == [200] * 3 + [503] * 7
            assert first.result().status == 200

    def test_who_leaves_while_it_waits_asks_nobody(self, weir, gated):
        weir.pool("u", [gated], limits=queue(1))
        with ThreadPoolExecutor(2) as pool:
            first = fill(pool, weir, gated)
            client = weir.client()
            client.send_request("GET", "/u/gone")
            eventually_waiting(weir, 1)
            assert "too many" in weir.get("/u").text
            client.close()
            eventually_waiting(weir, 0)
            last = pool.submit(weir.get, "/u/next")  # its place is given to the next
            eventually_waiting(weir, 1)
            gated.answer.is_open.set()
            assert [first.result().status, last.result().status] == [200, 200]
        assert [request.target for request in gated.requests] == ["/", "/next"]

    def test_a_target_that_appears_serves_those_that_wait(self, weir, gated, new_backend):
        weir.pool("u", [gated], limits=queue())
        with ThreadPoolExecutor(4) as pool:
            first = fill(pool, weir, gated)
            waiting = [pool.submit(weir.get, "/u") for _ in range(3)]
            eventually_waiting(weir, 3)
            weir.admin.create("/upstreams/u/targets", {"target": new_backend("new").address})
            assert {one.result().headers.get("X-Backend") for one in waiting} == {"new"}
            gated.answer.is_open.set()
            first.result()

    def test_limits_that_go_let_all_in(self, weir, gated):
        weir.pool("u", [gated], limits=queue())
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(weir.get, "/u") for _ in range(4)]
            eventually_waiting(weir, 3)
            weir.admin.patch("/upstreams/u", {"limits": None})
            eventually(lambda: len(gated.requests) == 4)
            gated.answer.is_open.set()
            assert {one.result().status for one in waiting} == {200}

    def test_targets_that_all_go_leave_nobody_waiting(self, weir, gated):
        weir.pool("u", [gated], limits=queue())
        with ThreadPoolExecutor(4) as pool:
            first = fill(pool, weir, gated)
            waiting = [pool.submit(weir.get, "/u") for _ in range(2)]
            eventually_waiting(weir, 2)
            row = weir.admin.get("/upstreams/u/targets").json()["data"][0]
            weir.admin.remove(f"/upstreams/u/targets/{row['id']}")
            assert {one.result().status for one in waiting} == {503}
            gated.answer.is_open.set()
            assert first.result().status == 200

    def test_a_stop_waits_for_those_that_wait(self, weir, gated):
        weir.pool("u", [gated], limits=queue())
        with ThreadPoolExecutor(4) as pool:
            first = fill(pool, weir, gated)
            client = weir.client()
            client.send_request("GET", "/u/queued")
            eventually_waiting(weir, 1)
            weir.signal(signal.SIGTERM)
            gated.answer.is_open.set()
            assert first.result().status == 200
            assert client.read("GET").status == 200
            assert weir.wait() == 0


class TestConnections:
    @pytest.mark.threads
    def test_a_connection_that_is_idle_elsewhere_keeps_nobody_waiting(self, new_weir, backend):
        weir = new_weir(WORKERS=3)
        weir.pool("u", [backend], limits=queue(max_connections=1))
        for _ in range(60):  # each on a connection of its own, at any worker
            assert weir.get("/u").status == 200
        eventually(lambda: backend.open_connections <= 1)

    def test_no_more_connections_than_allowed(self, new_weir, gated):
        weir = new_weir(WORKERS=1)
        weir.pool("u", [gated], limits=queue(max_connections=2))
        with ThreadPoolExecutor(6) as pool:
            asked = [pool.submit(weir.get, "/u") for _ in range(6)]
            eventually(lambda: len(gated.requests) == 2)
            always(lambda: gated.open_connections == 2, during=0.3)
            gated.answer.is_open.set()
            assert {one.result().status for one in asked} == {200}
        assert gated.connections == 2

    def test_an_idle_one_that_does_not_fit_makes_way(self, new_weir, backend):
        weir = new_weir(WORKERS=1)
        weir.pool("u", [backend], limits={"max_connections": 1})
        weir.serve("tls", host="u", protocol="https")
        assert weir.get("/u").status == 200
        assert backend.open_connections == 1
        assert weir.get("/tls").status == 502  # it speaks no TLS, but was asked
        eventually(lambda: backend.open_connections == 0)
        assert backend.connections == 2

    def test_without_a_queue_it_is_503_at_once(self, new_weir, gated):
        weir = new_weir(WORKERS=1)
        weir.pool("u", [gated], limits={"max_connections": 1})
        with ThreadPoolExecutor(1) as pool:
            first = fill(pool, weir, gated)
            answer = weir.get("/u")
            assert (answer.status, answer.headers.get("Retry-After")) == (503, "1")
            assert "at their limit" in answer.text
            gated.answer.is_open.set()
            assert first.result().status == 200
