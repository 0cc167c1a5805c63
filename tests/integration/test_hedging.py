"""Hedging: a second try beside a slow first one, and only one of the two is heard."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.backends import TlsBackend, response
from support.waiting import eventually

SOON = {"delay": 0.05}


class Slow:
    """Answers after the test has let it go on, with `status`; or resets."""

    def __init__(self, name="slow", status=200):
        self.name, self.status = name, status
        self.go_on = threading.Event()
        self.is_slow = True

    def __call__(self, _request, connection):
        if self.is_slow:
            self.go_on.wait(60)
        if self.status is None:
            connection.reset()
            return None
        return response(self.status, [("X-Backend", self.name)], b"late")


@pytest.fixture
def slow(new_backend):
    answer = Slow()
    yield new_backend("slow", answer)
    answer.go_on.set()


@pytest.fixture
def one_worker(new_weir):
    """Its turns can be foretold."""
    return new_weir(WORKERS=1)


def ask_until_slow_is_asked(weir, slow, method="GET", body=b""):
    """The answer to a request that went to the slow one first."""
    while True:
        before = len(slow.requests)
        answer = weir.request(method, "/u", body=body)
        if len(slow.requests) > before:
            return answer


def test_who_answers_first_is_heard_and_the_other_is_cancelled(one_worker, slow, new_backend):
    fast = new_backend("fast")
    one_worker.pool("u", [slow, fast], hedging=SOON)
    answer = ask_until_slow_is_asked(one_worker, slow)
    assert (answer.status, answer.headers.get("X-Backend")) == (200, "fast")
    slow.answer.go_on.set()  # it finds that nobody listens
    eventually(lambda: slow.open_connections == 0)
    assert not one_worker.log("upstream failed")


def test_bodies_are_sent_again(one_worker, slow, new_backend):
    fast = new_backend("fast")
    one_worker.pool("u", [slow, fast], hedging=SOON)
    body = b"0123456789" * 5000
    assert ask_until_slow_is_asked(one_worker, slow, "PUT", body).status == 200
    assert slow.last.body == fast.last.body == body


def test_what_may_not_be_repeated_is_not_hedged(one_worker, slow, new_backend):
    fast = new_backend("fast")
    one_worker.pool("u", [slow, fast], hedging=SOON)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask_until_slow_is_asked, one_worker, slow, "POST", b"x")
        eventually(lambda: slow.requests)
        before = len(fast.requests)
        for _ in range(6):  # hedges of these show that time for one has passed
            ask_until_slow_is_asked(one_worker, slow)
        assert not asked.done()
        slow.answer.go_on.set()
        assert asked.result().headers.get("X-Backend") == "slow"
    assert not [one for one in fast.requests[before:] if one.method == "POST"]


def test_where_all_are_slow_the_budget_holds(one_worker, new_backend):
    answers = [Slow(name) for name in "abc"]
    backends = [new_backend(answer.name, answer) for answer in answers]
    one_worker.pool("u", backends, hedging=SOON)
    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(one_worker.get, "/u") for _ in range(60)]
        eventually(lambda: sum(len(backend.requests) for backend in backends) >= 65)
        eventually(lambda: len(one_worker.admin.get("/status").text) > 0)
        for answer in answers:
            answer.go_on.set()
        assert {one.result().status for one in asked} == {200}
    # 20 % of 60, and 10 a second of a time that a busy machine makes longer.
    assert sum(len(backend.requests) for backend in backends) < 110


def test_the_delay_can_be_measured(one_worker, slow, new_backend):
    one_worker.pool("u", [slow, new_backend("fast")], hedging={})
    assert one_worker.admin.get("/upstreams/u").json()["hedging"] == {"percentile": 95}
    for _ in range(3):
        answer = ask_until_slow_is_asked(one_worker, slow)
        assert answer.headers.get("X-Backend") == "fast"


def test_the_second_goes_on_where_the_first_fails(one_worker, new_backend):
    first, second = Slow("first", status=None), Slow("second")
    backends = [new_backend("first", first), new_backend("second", second)]
    one_worker.pool("u", backends, hedging=SOON)
    second.is_slow = False
    with ThreadPoolExecutor(1) as pool:
        while not backends[0].requests:  # its turn comes
            second.is_slow = True
            asked = pool.submit(one_worker.get, "/u")
            eventually(lambda: all(backend.requests for backend in backends) or asked.done(),
                       "both asked")
            if backends[0].requests:
                break
        first.go_on.set()
        eventually(lambda: one_worker.log("upstream failed"))
        assert one_worker.log("upstream failed")[0]["next"] == \
            "the second try, which is under way"
        second.go_on.set()
        assert asked.result().headers.get("X-Backend") == "second"
    assert len(backends[0].requests) == len(backends[1].requests) == 1


def test_a_second_that_fails_does_no_harm(one_worker, new_backend, slow):
    bad = new_backend("bad", response(503, [("X-Backend", "bad")]))
    one_worker.pool("u", [slow, bad], hedging=SOON)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask_until_slow_is_asked, one_worker, slow)
        eventually(lambda: slow.requests)
        seen = len(bad.requests)
        eventually(lambda: len(bad.requests) > seen - 1 and bad.requests)
        slow.answer.go_on.set()
        assert asked.result().headers.get("X-Backend") == "slow"


def test_a_second_that_is_refused_does_no_harm(one_worker, new_backend, slow):
    gone = new_backend("gone")
    one_worker.pool("u", [slow, gone], hedging=SOON)
    gone.stop()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(one_worker.get, "/u")
        eventually(lambda: slow.requests)
        slow.answer.go_on.set()
        assert asked.result().headers.get("X-Backend") == "slow"


def test_who_leaves_ends_both(one_worker, new_backend):
    answers = [Slow(name) for name in "ab"]
    backends = [new_backend(answer.name, answer) for answer in answers]
    one_worker.pool("u", backends, hedging=SOON)
    client = one_worker.client()
    client.send_request("GET", "/u")
    eventually(lambda: all(backend.requests for backend in backends))
    client.close()
    eventually(lambda: any(" 499 " in line for line in one_worker.access_log()))
    for answer in answers:
        answer.go_on.set()
    eventually(lambda: not any(backend.open_connections for backend in backends))
    assert one_worker.get("/u").status == 200


def test_many_at_once_with_several_workers(new_weir, new_fast_backend):
    weir = new_weir(WORKERS=2)
    backends = [new_fast_backend("slower", delay=0.03), new_fast_backend("faster")]
    weir.pool("u", backends, hedging={"delay": 0.01})

    def ask(_):
        with weir.client() as client:
            return {client.get("/u").status for _ in range(30)}
    with ThreadPoolExecutor(8) as pool:
        assert set().union(*pool.map(ask, range(8))) == {200}


def test_the_field_is_absent_unless_set(weir):
    weir.admin.create("/upstreams", {"name": "u"})
    assert "hedging" not in weir.admin.get("/upstreams/u").json()
    body = weir.admin.patch("/upstreams/u", {"hedging": {"delay": 0.2}}).json()
    assert body["hedging"] == {"delay": 0.2, "percentile": 95}
    assert "hedging" not in weir.admin.patch("/upstreams/u", {"hedging": None}).json()


def test_a_second_try_over_tls(one_worker, tmp_path):
    class Tls(TlsBackend):
        """Answers by name, the slow one when the test lets it."""

        def __init__(self, directory, name, gate):
            self.gate, self.count = gate, 0
            super().__init__(directory)
            self.name = name

        def _serve(self, sock):
            try:
                with self._context.wrap_socket(sock, server_side=True) as tls:
                    tls.recv(65536)
                    self.count += 1
                    self.gate.wait(60)
                    tls.sendall(response(200, [("X-Backend", self.name), ("Connection", "close")]))
            except OSError:
                pass

    shut, is_open = threading.Event(), threading.Event()
    is_open.set()
    backends = [Tls(str(tmp_path), "slow", shut), Tls(str(tmp_path), "fast", is_open)]
    try:
        one_worker.admin.create("/upstreams", {"name": "u", "hedging": SOON})
        for backend in backends:
            one_worker.admin.create("/upstreams/u/targets", {"target": backend.address})
        one_worker.serve("u", host="u", protocol="https")
        while not backends[0].count:
            answer = one_worker.get("/u")
            assert (answer.status, answer.headers.get("X-Backend")) == (200, "fast")
    finally:
        shut.set()
        for backend in backends:
            backend.stop()
