"""Tries that fail: what is repeated, where, and how often at most."""

import time

from support.backends import response


def close(_request, connection):
    connection.close()


class TestBudget:
    def test_where_all_targets_fail_they_see_little_more_than_the_requests(self, new_weir,
                                                                           new_backend):
        weir = new_weir(WORKERS=1)
        backends = [new_backend(name, close) for name in "abcdef"]
        weir.pool("u", backends)
        began = time.monotonic()
        with weir.client() as client:
            assert {client.get("/u").status for _ in range(300)} == {502}
        seconds = time.monotonic() - began
        tries = sum(len(backend.requests) for backend in backends)
        assert 300 * 1.15 < tries <= 300 * 1.2 + 10 * (seconds + 1) + 1

    def test_refused_connections_are_repeated_freely(self, new_weir, new_backend):
        weir = new_weir(WORKERS=1)
        gone = [new_backend(name) for name in "abcd"]
        weir.pool("u", [*gone, new_backend("up")])
        for backend in gone:
            backend.stop()
        with weir.client() as client:
            assert {client.get("/u").status for _ in range(200)} == {200}


class TestElsewhere:
    def test_a_request_that_was_lost_is_repeated_at_another_target(self, new_weir, new_backend):
        weir = new_weir(WORKERS=1)
        weir.pool("u", [new_backend("lost", close), new_backend("a"), new_backend("b")])
        with weir.client() as client:
            names = [client.get("/u").headers.get("X-Backend") for _ in range(20)]
        assert set(names) == {"a", "b"}

    def test_by_hash_too_and_then_always_at_the_same_one(self, new_weir, new_backend):
        weir = new_weir(WORKERS=1)
        backends = [new_backend(name) for name in "abcd"]
        weir.pool("u", backends, hash_on="header", hash_on_header="X-User")
        headers = [("X-User", "me")]
        with weir.client() as client:
            home = client.get("/u", headers=headers).headers.get("X-Backend")
            next(each for each in backends if each.name == home).answer = close
            others = {client.get("/u", headers=headers).headers.get("X-Backend")
                      for _ in range(5)}
        assert len(others) == 1
        assert home not in others

    def test_a_status_is_never_repeated(self, weir, new_backend):
        backends = [new_backend(name, lambda *_: response(503)) for name in "ab"]
        weir.pool("u", backends)
        assert weir.get("/u").status == 503
        assert sum(len(backend.requests) for backend in backends) == 1
