"""Probes by gRPC's health protocol, against a server that says what the test wants."""

import pytest

from support.grpc_health import NOT_SERVING, SERVING, GrpcHealth, message
from support.waiting import eventually

FAST = 0.1  # seconds between probes


@pytest.fixture
def new_server(tmp_path):
    servers = []

    def make(has_tls=False, **options):
        servers.append(GrpcHealth(str(tmp_path) if has_tls else None, **options))
        return servers[-1]
    yield make
    for server in servers:
        server.stop()


def pool(weir, server, kind="grpc", failures=1, **more):
    return weir.pool("u", [server], healthchecks={"active": {
        "type": kind, "timeout": 1, "healthy": {"interval": FAST, "successes": 1},
        "unhealthy": {"interval": FAST, "http_failures": failures, "tcp_failures": failures,
                      "timeouts": failures}, **more}})


def wait_for(weir, word):
    def health():
        return [row["health"] for row in weir.admin.get("/upstreams/u/health").json()["data"]]
    eventually(lambda: health() == [word], lambda: f"{word}: {health()}")


def why(weir):
    return weir.log("target changed", takes_traffic=False)[-1]["why"]


def test_what_serves_takes_traffic_and_what_does_not_takes_none(weir, new_server):
    server = new_server()
    pool(weir, server)
    eventually(lambda: len(server.asked) >= 3)
    wait_for(weir, "HEALTHY")
    assert set(server.asked) == {""}
    assert server.headers[":method"] == "POST"
    assert server.headers["content-type"] == "application/grpc"
    assert server.headers["te"] == "trailers"

    server.statuses[""] = NOT_SERVING
    wait_for(weir, "UNHEALTHY")
    assert why(weir) == "1 probes in a row failed, the last said NOT_SERVING"
    server.statuses[""] = SERVING
    wait_for(weir, "HEALTHY")
    server.stop()
    wait_for(weir, "UNHEALTHY")
    server.start()
    wait_for(weir, "HEALTHY")


def test_one_service_of_a_server_is_asked_for(weir, new_server):
    server = new_server()
    name = "shop.Orders" + "x" * 200  # its length takes two bytes
    server.statuses = {"": SERVING, name: NOT_SERVING}
    pool(weir, server, grpc_service=name)
    wait_for(weir, "UNHEALTHY")
    assert set(server.asked) == {name}
    server.statuses[name] = SERVING
    wait_for(weir, "HEALTHY")
    del server.statuses[name]
    wait_for(weir, "UNHEALTHY")
    assert why(weir).endswith("the last ended with gRPC status 5")


def test_a_server_without_the_health_service_is_taken_for_well(weir, new_server):
    server = new_server()
    server.statuses[""] = lambda connection, stream: server.end(connection, stream, 12)
    pool(weir, server)
    eventually(lambda: len(server.asked) >= 3)
    wait_for(weir, "HEALTHY")


@pytest.mark.parametrize("what, reason", [
    ("http status", "answered HTTP status 503"),
    ("no grpc status", "no gRPC status"),
    ("no message", "no message of gRPC's health protocol"),
    ("compressed", "no message of gRPC's health protocol"),
    ("too long", "got no sane answer"),
    ("unheard of", "said what is no status of gRPC's"),
    ("reset", "got no sane answer"),
    ("silent", "timed out"),
])
def test_an_answer_that_makes_no_sense_is_a_failure(weir, new_server, what, reason):
    server = new_server()

    def answer(connection, stream):
        if what == "http status":
            server.end(connection, stream, None, 503)
        elif what == "no grpc status":
            server.end(connection, stream, None)
        elif what == "no message":
            server.say(connection, stream, b"")
        elif what == "compressed":
            server.say(connection, stream, b"\1" + message(SERVING)[1:])
        elif what == "too long":
            server.say(connection, stream, b"\0" + b"x" * 10000)
        elif what == "unheard of":
            server.say(connection, stream, message(77))
        elif what == "reset":
            connection.reset_stream(stream)
    server.statuses[""] = answer
    pool(weir, server)
    wait_for(weir, "UNHEALTHY")
    assert reason in why(weir)


def test_with_tls_certificates_are_verified_unless_told_otherwise(weir, new_server):
    server = new_server(has_tls=True)
    pool(weir, server, "grpcs")
    wait_for(weir, "UNHEALTHY")
    assert not server.asked
    weir.admin.patch("/upstreams/u", {"healthchecks": {"active": {
        "https_verify_certificate": False, "https_sni": "api.example"}}})
    wait_for(weir, "HEALTHY")
    assert server.server_names[-1] == "api.example"
    server.statuses[""] = NOT_SERVING
    wait_for(weir, "UNHEALTHY")


def test_what_speaks_http_1_is_not_grpc(weir, new_backend):
    pool(weir, new_backend("plain", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    wait_for(weir, "UNHEALTHY")


def test_the_probes_of_a_service_may_be_grpc_too(weir, new_server):
    server = new_server()
    server.statuses = {"a": NOT_SERVING}
    answer = weir.admin.post("/services", {
        "name": "s", "protocol": "grpc", "host": "127.0.0.1", "port": server.port,
        "healthchecks": {"active": {
            "type": "grpc", "grpc_service": "a", "interval": FAST,
            "healthy": {"successes": 1}, "unhealthy": {"failures": 1}}}})
    assert answer.status_code == 201, answer.text
    assert answer.json()["healthchecks"]["active"]["grpc_service"] == "a"

    def health():
        return [row["health"] for row in weir.admin.get("/services/s/health").json()["data"]]
    eventually(lambda: health() == ["UNHEALTHY"])
    server.statuses["a"] = SERVING
    eventually(lambda: health() == ["HEALTHY"])


def test_the_field_is_absent_unless_set_and_has_its_limit(weir):
    weir.admin.create("/upstreams", {"name": "u"})
    assert "grpc_service" not in weir.admin.get("/upstreams/u").json()["healthchecks"]["active"]
    answer = weir.admin.patch("/upstreams/u", {
        "healthchecks": {"active": {"grpc_service": "x" * 256}}})
    assert answer.status_code == 400
    assert answer.json()["fields"]["healthchecks"]["active"] == {
        "grpc_service": "length must be at most 255"}
