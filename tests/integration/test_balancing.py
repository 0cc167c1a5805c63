"""Every algorithm, set up as users do: an upstream by the Admin API, real targets, real requests."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.backends import response
from support.waiting import eventually

NAMES = tuple("abcde")


@pytest.fixture
def five(new_backend):
    return [new_backend(name) for name in NAMES]


def who(client, target="/u", **options):
    return client.get(target, **options).headers.get("X-Backend")


class Hanging:
    """An answer that comes only when the test says so."""

    def __init__(self, name):
        self.name, self.is_over = name, threading.Event()

    def __call__(self, _request, _connection):
        self.is_over.wait(60)
        return response(200, [("X-Backend", self.name)], b"late")


@pytest.fixture
def hanging(new_backend):
    """A backend that takes requests and answers none before the test is over."""
    answer = Hanging("hanging")
    yield new_backend("hanging", answer)
    answer.is_over.set()


class TestLeastConnections:
    def test_an_idle_pool_is_used_in_turns(self, weir, five):
        weir.pool("u", five, algorithm="least-connections")
        with weir.client() as client:
            counts = Counter(who(client) for _ in range(100))
        assert counts == dict.fromkeys(NAMES, 20)

    def test_a_busy_target_gets_no_more(self, new_weir, new_backend, hanging):
        weir = new_weir(WORKERS=1)
        weir.pool("u", [hanging, new_backend("a"), new_backend("b")],
                  algorithm="least-connections")
        with ThreadPoolExecutor(1) as pool, weir.client() as client:
            waiting = []
            while not hanging.requests:  # until it has one
                waiting = waiting or [pool.submit(weir.get, "/u")]
                if waiting[0].done():
                    waiting = []
            counts = Counter(who(client) for _ in range(60))
            assert set(counts) == {"a", "b"}
            assert min(counts.values()) > 15
            hanging.answer.is_over.set()
            assert waiting[0].result().status == 200


class TestLatency:
    def test_all_targets_are_used(self, weir, five):
        weir.pool("u", five, algorithm="latency")
        with weir.client() as client:
            counts = Counter(who(client) for _ in range(500))
        assert set(counts) == set(NAMES)
        assert max(counts.values()) < 300  # a busy machine makes some slower than others

    def test_a_target_that_fails_fast_draws_no_traffic(self, weir, new_backend):
        good = [new_backend(name) for name in "ab"]
        bad = new_backend("bad", lambda *_: response(500, [("X-Backend", "bad")]))
        weir.pool("u", [bad, *good], algorithm="latency")
        with weir.client() as client:
            counts = Counter(who(client) for _ in range(200))
        assert counts["bad"] <= 8  # a few for each worker


class TestConsistentHashing:
    """By each of Kong's inputs: the same value, the same target; many values, many targets."""

    @staticmethod
    def expect_sticky(ask):
        first = {key: ask(key) for key in range(40)}
        assert len(set(first.values())) == len(NAMES)
        for _ in range(3):
            assert {key: ask(key) for key in range(40)} == first

    def test_header(self, weir, five):
        weir.pool("u", five, hash_on="header", hash_on_header="X-User")
        with weir.client() as client:
            self.expect_sticky(lambda key: who(client, headers=[("x-user", f"user-{key}")]))

    def test_query_argument(self, weir, five):
        weir.pool("u", five, hash_on="query_arg", hash_on_query_arg="user")
        with weir.client() as client:
            self.expect_sticky(lambda key: who(client, f"/u?a=b&user={key}&c"))

    def test_path(self, weir, five):
        weir.pool("u", five, hash_on="path")
        with weir.client() as client:
            self.expect_sticky(lambda key: who(client, f"/u/{key}"))

    def test_a_part_of_the_path(self, weir, five):
        weir.pool("u", five, hash_on="uri_capture", hash_on_uri_capture="user")
        service = weir.admin.get("/services/u").json()
        weir.admin.create("/routes", {"paths": ["~/users/(?<user>\\d+)/"], "name": "by-user",
                                      "service": {"id": service["id"]}})
        weir.wait_until_answers("/users/1/x")
        with weir.client() as client:
            self.expect_sticky(lambda key: who(client, f"/users/{key}/{client.local_port % 7}"))

    def test_address_of_the_client(self, weir, five):
        weir.pool("u", five, hash_on="ip")
        seen = set()
        for _ in range(5):
            with weir.client() as client:
                seen |= {who(client) for _ in range(5)}
        assert len(seen) == 1

    def test_a_cookie_that_is_there(self, weir, five):
        weir.pool("u", five, hash_on="cookie", hash_on_cookie="session")
        with weir.client() as client:
            self.expect_sticky(
                lambda key: who(client, headers=[("Cookie", f"a=b; session=s{key}; c=d")]))
            answer = client.get("/u", headers=[("Cookie", "session=mine")])
            assert "Set-Cookie" not in answer.headers

    def test_a_cookie_is_given_to_who_has_none(self, weir, five):
        weir.pool("u", five, hash_on="cookie", hash_on_cookie="session",
                  hash_on_cookie_path="/u")
        homes = set()

        def ask():
            with weir.client() as client:
                answer = client.get("/u")
                cookie, *attributes = answer.headers.get("Set-Cookie").split("; ")
                assert cookie.startswith("session=") and len(cookie) == len("session=") + 36
                assert attributes == ["Path=/u", "SameSite=Lax", "HttpOnly"]
                home = answer.headers.get("X-Backend")
                assert {who(client, headers=[("Cookie", cookie)]) for _ in range(5)} == {home}
                homes.add(home)
            return homes == set(NAMES)
        eventually(ask, "a cookie of each target")  # cookies are random

    def test_the_fallback_is_used_where_the_first_is_missing(self, weir, five):
        weir.pool("u", five, hash_on="consumer", hash_fallback="header",
                  hash_fallback_header="X-User")
        with weir.client() as client:
            self.expect_sticky(lambda key: who(client, headers=[("X-User", f"user-{key}")]))

    def test_requests_without_any_of_both_are_spread(self, weir, five):
        weir.pool("u", five, hash_on="header", hash_on_header="X-User")
        with weir.client() as client:
            assert Counter(who(client) for _ in range(50)) == dict.fromkeys(NAMES, 10)

    def test_only_the_keys_of_a_target_that_left_move(self, weir, five):
        weir.pool("u", five, hash_on="query_arg", hash_on_query_arg="user")
        with weir.client() as client:
            def homes():
                return {key: who(client, f"/u?user={key}") for key in range(200)}
            before = homes()
            gone = five[2]
            weir.admin.remove(f"/upstreams/u/targets/{gone.address}")
            eventually(lambda: gone.name not in homes().values(), "the target's leaving")
            after = homes()
        for key, home in before.items():
            assert after[key] == home or home == gone.name

    def test_another_algorithm_takes_over_at_once(self, weir, five):
        weir.pool("u", five, hash_on="header", hash_on_header="X-User")
        with weir.client() as client:
            assert len({who(client, headers=[("X-User", "me")]) for _ in range(10)}) == 1
            answer = weir.admin.patch("/upstreams/u", {"algorithm": "round-robin",
                                                       "hash_on": "none"})
            assert answer.status_code == 200
            eventually(lambda: len({who(client, headers=[("X-User", "me")])
                                    for _ in range(10)}) == 5, "turns")


class TestLimits:
    def test_a_target_at_its_limit_is_left_out_then_503_with_retry_after(self, weir, hanging):
        weir.pool("u", [hanging], limits={"max_in_flight": 2})
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(weir.get, "/u") for _ in range(2)]
            eventually(lambda: len(hanging.requests) == 2, "two requests under way")
            answer = weir.get("/u")
            assert answer.status == 503
            assert answer.headers.get("Retry-After") == "1"
            hanging.answer.is_over.set()
            assert [one.result().status for one in waiting] == [200, 200]
        assert weir.get("/u").status == 200

    def test_our_own_fields_are_absent_unless_set(self, weir, five):
        weir.pool("u", five)
        body = weir.admin.get("/upstreams/u").json()
        assert "limits" not in body and "slow_start" not in body
        body = weir.admin.patch("/upstreams/u", {"slow_start": 30,
                                                 "limits": {"max_in_flight": 7}}).json()
        assert body["slow_start"] == 30
        assert body["limits"] == {"max_in_flight": 7}


class TestSlowStart:
    def test_a_new_target_gets_a_small_share_at_first(self, weir, new_backend):
        old = [new_backend(name) for name in "abcd"]
        weir.pool("u", old)
        weir.admin.patch("/upstreams/u", {"slow_start": 3600})
        weir.admin.create("/upstreams/u/targets", {"target": new_backend("new").address})
        with weir.client() as client:
            eventually(lambda: who(client) == "new", "the first request at the new one")
            counts = Counter(who(client) for _ in range(500))
        assert counts["new"] < 50  # a tenth of its fifth is 10


class TestDefaultPools:
    """A service whose host is a name in Consul: no upstream, no setting."""

    pytestmark = pytest.mark.consul

    def test_one_instance_that_hangs_holds_up_a_few_requests(self, new_weir, consul, new_backend,
                                                             hanging):
        weir = new_weir(WORKERS=1, CONSUL_ADDR=consul.address)
        for name in "abc":
            consul.register("users", new_backend(name).port)
        weir.serve("s", "http://users:80")
        weir.wait_until_answers("/s")
        consul.register("users", hanging.port)
        eventually(lambda: len(weir.targets_in_use()) == 4, "all four in use")

        def ask(_):
            try:
                with weir.client(timeout=0.5) as client:
                    return client.get("/s").status
            except OSError:
                return 0
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(ask, range(400)))
        assert set(statuses) <= {200, 0}
        assert statuses.count(0) < 25  # turns alone would give 100
