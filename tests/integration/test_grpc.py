"""gRPC through the gateway: clients and services of grpcio."""

import queue
import random
import threading
import time

import grpc
import h2.errors
import pytest
from h2.settings import SettingCodes

from support import http2
from support.backends import Backend, response
from support.grpc_service import GrpcClient, GrpcService, status_of
from support.http2_backend import OK, Http2Backend
from support.ports import free_port
from support.tls import Authority
from support.waiting import eventually

PATIENCE_S = 60
MAX_CONCURRENT_STREAMS = SettingCodes.MAX_CONCURRENT_STREAMS


@pytest.fixture
def new_service():
    services = []

    def make(*arguments, **options):
        services.append(GrpcService(*arguments, **options))
        return services[-1]
    yield make
    for service in services:
        service.stop()


@pytest.fixture
def new_grpc_weir(new_weir):
    def make(**settings):
        port, tls_port = free_port(), free_port()
        node = new_weir(start=False, **{
            "PROXY_LISTEN": f"127.0.0.1:{port} http2, 127.0.0.1:{tls_port} http2 ssl",
            **settings})
        node.proxy_port, node.tls_port = port, tls_port
        return node.start()
    return make


def serve(node, service, paths=("/",), protocols=("grpc", "grpcs"), route=None, **more):
    return node.serve("s", service.url, paths=list(paths),
                      route={"protocols": list(protocols), "strip_path": False, **(route or {})}, **more)


def call(client, name="Unary", message=b"x", headers=(), **options):
    """By hand: the answer of a call whose client needs not be gRPC's."""
    stream = client.request(f"/test.Service/{name}", "POST",
                            [("content-type", "application/grpc"), ("te", "trailers"), *headers],
                            b"\0" + len(message).to_bytes(4, "big") + message, **options)
    return client.answer(stream)


@pytest.fixture
def pair(new_grpc_weir, new_service):
    service = new_service()
    node = new_grpc_weir()
    serve(node, service)
    with GrpcClient(node.proxy_port) as client:
        yield client, service, node


def test_a_unary_call_has_its_answer_and_both_metadata(pair):
    client, service, _node = pair
    answer, call = client.unary.with_call(b"hello", timeout=PATIENCE_S, metadata=(("x-mine", "1"),))
    assert answer == b"hello"
    assert ("x-initial", "Unary") in call.initial_metadata()
    assert ("x-binary-bin", b"\0\xff") in call.trailing_metadata()
    name, metadata, remaining = service.calls[0]
    assert name == "Unary" and metadata["x-mine"] == "1" and remaining <= PATIENCE_S


def test_calls_share_a_connection(pair):
    client, service, _node = pair
    for _ in range(5):
        client.unary(b"x", timeout=PATIENCE_S)
    assert len(set(service.peers)) == 1


class TestShapes:
    def test_a_client_streams(self, pair):
        client, _service, _node = pair
        parts = [b"%d," % number for number in range(500)]
        assert client.collect(iter(parts), timeout=PATIENCE_S) == b"".join(parts)

    def test_a_server_streams(self, pair):
        client, _service, _node = pair
        answers = list(client.repeat(b"300 10", timeout=PATIENCE_S))
        assert answers == [b"%d:" % number + b"x" * 10 for number in range(300)]

    def test_both_take_turns_message_by_message(self, pair):
        client, _service, _node = pair
        mine = queue.Queue()
        call = client.echo(iter(mine.get, None), timeout=PATIENCE_S)
        for number in range(20):
            mine.put(b"message %d" % number)
            assert next(call) == b"message %d" % number  # none waits for another
        mine.put(None)
        assert list(call) == []
        assert call.code() == grpc.StatusCode.OK

    def test_the_head_of_an_answer_comes_before_any_message(self, pair):
        client, _service, _node = pair
        mine = queue.Queue()
        call = client.echo(iter(mine.get, None), timeout=PATIENCE_S)
        assert ("x-initial", "Echo") in call.initial_metadata()
        mine.put(None)
        assert list(call) == []

    def test_messages_of_many_windows_pass_both_ways(self, pair):
        client, _service, _node = pair
        message = random.Random(1).randbytes(5_000_000)
        assert client.unary(message, timeout=PATIENCE_S) == message

    def test_a_client_that_takes_nothing_holds_its_service_back(self, pair):
        client, _service, node = pair
        call = client.repeat(b"2000 50000", timeout=PATIENCE_S)
        next(call)
        assert client.unary(b"beside it", timeout=PATIENCE_S) == b"beside it"
        assert node.rss_kib() < 400_000
        assert sum(len(message) for message in call) > 1999 * 50000

    def test_many_calls_at_a_time_use_a_few_connections(self, pair):
        client, service, _node = pair
        calls = [client.unary.future(b"%d" % number, timeout=PATIENCE_S) for number in range(300)]
        assert [call.result() for call in calls] == [b"%d" % number for number in range(300)]
        assert len(set(service.peers)) <= 8


class TestEnds:
    def test_a_status_of_the_service_arrives_with_its_text(self, pair):
        client, _service, _node = pair
        for status, name in ((3, "INVALID_ARGUMENT"), (5, "NOT_FOUND"), (14, "UNAVAILABLE")):
            assert status_of(lambda: client.unary(b"fail %d so it is: 5%%" % status,
                                                  timeout=PATIENCE_S)) == (name, "so it is: 5%")

    def test_a_status_follows_messages_too(self, pair):
        client, _service, _node = pair
        call = client.echo(iter([b"one", b"fail 9 enough"]), timeout=PATIENCE_S)
        assert next(call) == b"one"
        assert status_of(lambda: next(call)) == ("FAILED_PRECONDITION", "enough")

    def test_a_call_that_the_client_cancels_is_cancelled_at_the_service(self, pair):
        client, service, _node = pair
        call = client.unary.future(b"wait")
        eventually(lambda: service.calls)
        call.cancel()
        eventually(lambda: service.over == ["Unary"])

    def test_a_client_that_leaves_cancels_its_calls(self, new_grpc_weir, new_service):
        service, node = new_service(), new_grpc_weir()
        serve(node, service)
        with GrpcClient(node.proxy_port) as client:
            call = client.repeat(b"1 1 wait")
            next(call)
        eventually(lambda: service.over == ["Repeat"])



@pytest.fixture
def scripted(new_grpc_weir):
    """A node before a backend that does what the test says: node, backend."""
    backend = Http2Backend()
    backend.node = new_grpc_weir(WORKERS=1)
    serve(backend.node, backend)
    yield backend.node, backend
    backend.stop()


def ask(node, *arguments, **options):
    with http2.Client(node.proxy_port) as client:
        return call(client, *arguments, **options)


def grpc_status(answer):
    fields = dict(answer.headers + (answer.trailers or []))
    return int(fields["grpc-status"])


class TestTime:
    def test_a_deadline_ends_a_call_that_has_no_answer(self, scripted):
        node, backend = scripted
        backend.answer = lambda *_: None
        answer = ask(node, headers=[("grpc-timeout", "300m")])
        assert (answer.status, grpc_status(answer)) == (200, 4)
        assert answer.get("content-type") == "application/grpc"
        assert answer.get("grpc-message") == "The upstream server is timing out"
        eventually(lambda: backend.resets == [h2.errors.ErrorCodes.CANCEL])

    def test_a_deadline_ends_an_answer_that_has_begun(self, scripted):
        node, backend = scripted

        def begin(connection, stream, _headers):
            connection.h2.send_headers(stream, OK)
            connection.h2.send_data(stream, b"\0\0\0\0\1x")
        backend.answer = begin
        answer = ask(node, headers=[("grpc-timeout", "300m")])
        assert answer.body == b"\0\0\0\0\1x"
        assert answer.trailers == [("grpc-status", "4"), ("grpc-message", "deadline exceeded")]
        eventually(lambda: backend.resets == [h2.errors.ErrorCodes.CANCEL])

    def test_the_services_read_timeout_is_one(self, scripted):
        node, backend = scripted
        backend.answer = lambda *_: None
        node.admin.patch("/services/s", {"read_timeout": 300, "retries": 0})
        assert grpc_status(ask(node)) == 4

    def test_a_stream_whose_client_is_silent_goes_on(self, new_grpc_weir, new_service):
        service, node = new_service(), new_grpc_weir(CLIENT_BODY_TIMEOUT=0.3)
        serve(node, service)
        with GrpcClient(node.proxy_port) as client:
            mine = queue.Queue()
            call = client.echo(iter(mine.get, None), timeout=PATIENCE_S)
            mine.put(b"one")
            assert next(call) == b"one"
            time.sleep(1)  # more than a client has for its body
            mine.put(b"two")
            assert next(call) == b"two"
            mine.put(None)
            assert list(call) == []


    def test_where_nothing_is_of_grpc_a_client_has_the_time_for_its_body(self, new_grpc_weir, new_backend):
        node = new_grpc_weir(CLIENT_BODY_TIMEOUT=0.3)
        node.serve("s", f"http://{new_backend().address}", paths=["/"])
        with http2.Client(node.proxy_port) as client:
            stream = client.request("/", "POST", [("content-type", "application/grpc")],
                                    ends=False)
            answer = client.answer(stream)
        assert grpc_status(answer) == 4
        assert " 408 " in eventually(node.access_log)[0]


class TestOwnAnswers:
    def test_no_route_is_unimplemented(self, new_grpc_weir):
        node = new_grpc_weir()
        answer = ask(node)
        assert (answer.status, grpc_status(answer), answer.body) == (200, 12, b"")
        assert answer.get("grpc-message") == "no Route matched with those values"
        assert ' 404 ' in eventually(node.access_log)[0]

    def test_no_target_is_unavailable(self, new_grpc_weir):
        node = new_grpc_weir()
        node.serve("s", f"grpc://127.0.0.1:{free_port()}", paths=["/"], retries=0,
                   route={"protocols": ["grpc"]})
        assert grpc_status(ask(node)) == 14

    def test_a_plugins_answer_is_a_status_too(self, pair):
        client, _service, node = pair
        node.admin.create("/services/s/plugins", {"name": "key-auth"})
        assert status_of(lambda: client.unary(b"x", timeout=PATIENCE_S)) == (
            "UNAUTHENTICATED", "No API key found in request")

    def test_others_get_what_http_has(self, new_grpc_weir):
        node = new_grpc_weir()
        with http2.Client(node.proxy_port) as client:
            answer = client.get("/")
        assert answer.status == 404
        assert answer.json()["message"] == "no Route matched with those values"


class TestRoutes:
    def test_what_is_no_grpc_is_415(self, pair):
        _client, _service, node = pair
        answer = node.get("/")
        assert answer.status == 415
        assert answer.json()["message"] == "Non-gRPC request matched gRPC route"

    def test_grpc_by_http_1_is_426(self, pair):
        _client, _service, node = pair
        answer = node.get("/", headers=[("Content-Type", "application/grpc")])
        assert (answer.status, answer.headers.get("Upgrade")) == (426, "HTTP/2")
        assert answer.json()["message"] == "Please use HTTP2 protocol"

    def test_a_route_of_grpcs_wants_tls(self, new_grpc_weir, new_service):
        service, node = new_service(), new_grpc_weir()
        serve(node, service, protocols=["grpcs"])
        answer = ask(node)
        assert (answer.status, grpc_status(answer)) == (200, 1)
        assert answer.get("grpc-message") == "gRPC request matched gRPCs route"

    def test_a_route_of_http_may_lead_to_a_service_of_grpc(self, new_grpc_weir, new_service):
        service, node = new_service(), new_grpc_weir()
        serve(node, service, protocols=["http", "https"])
        with GrpcClient(node.proxy_port) as client:
            assert client.unary(b"x", timeout=PATIENCE_S) == b"x"


class TestUpstream:
    def test_it_gets_what_a_gateway_adds_and_te(self, scripted):
        node, backend = scripted
        with http2.Client(node.proxy_port) as client:
            client.answer(client.request("/a.B/C", "POST", [("content-type", "application/grpc")],
                                         b"x"))
        headers = backend.requests[0]
        names = [name for name, _ in headers]
        assert names[:4] == [":method", ":scheme", ":path", ":authority"]
        assert dict(headers)[":scheme"] == "http"
        assert dict(headers)[":authority"] == backend.address
        assert dict(headers)["te"] == "trailers"
        assert dict(headers)["via"] == "2.0 weir"
        assert not {"connection", "host", "transfer-encoding"} & set(names)

    def test_its_limit_of_streams_is_respected(self, new_grpc_weir):
        backend = Http2Backend(settings={MAX_CONCURRENT_STREAMS: 2})
        node = new_grpc_weir(WORKERS=1)
        serve(node, backend)
        assert grpc_status(ask(node)) == 0  # its settings are known
        backend.answer = lambda *_: None
        with http2.Client(node.proxy_port) as client:
            for _ in range(5):
                client.request("/a", "POST", [("content-type", "application/grpc")], b"x")
            eventually(lambda: len(backend.requests) == 6)
            assert sorted(len(one.taken) for one in backend.connections) == [1, 2, 3]
        backend.stop()

    def test_a_stream_that_it_refuses_is_sent_again(self, scripted):
        node, backend = scripted

        def refuse_once(connection, stream, _headers):
            if len(backend.requests) == 1:
                connection.reset(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
            else:
                connection.respond(stream, b"\0\0\0\0\0")
        backend.answer = refuse_once
        answer = ask(node, message=b"m" * 1000)
        assert grpc_status(answer) == 0
        assert len(backend.requests) == 2

    def test_a_stream_that_it_always_refuses_is_given_up(self, scripted):
        node, backend = scripted
        backend.answer = lambda connection, stream, _: connection.reset(
            stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        assert grpc_status(ask(node)) == 14
        assert len(backend.requests) == 2

    def test_a_goodbye_loses_no_call(self, scripted):
        node, backend = scripted
        waiting = []

        def leave_at_third(connection, stream, _headers):
            if connection is not backend.connections[0]:
                connection.respond(stream, b"\0\0\0\0\1b")
                return
            waiting.append(stream)
            if len(waiting) == 3:  # the first two are taken, the third was not looked at
                connection.goaway(waiting[1])
        backend.answer = leave_at_third
        with http2.Client(node.proxy_port) as client:
            streams = [client.request("/a", "POST", [("content-type", "application/grpc")], b"x")
                       for _ in range(3)]
            third = client.answer(streams[2])
            assert (third.body, grpc_status(third)) == (b"\0\0\0\0\1b", 0)
            for number in (0, 1):
                backend.connections[0].respond(waiting[number], b"\0\0\0\0\1a")
                answer = client.answer(streams[number])
                assert (answer.body, grpc_status(answer)) == (b"\0\0\0\0\1a", 0)
            assert grpc_status(client.answer(client.request(
                "/a", "POST", [("content-type", "application/grpc")], b"x"))) == 0
        assert len(backend.connections) == 2

    def test_a_connection_that_is_lost_ends_calls_as_unavailable(self, scripted):
        node, backend = scripted
        backend.answer = lambda connection, *_: connection.close()
        assert grpc_status(ask(node)) == 14
        assert len(backend.requests) == 1  # it may have been carried out

    def test_an_answer_that_is_cut_ends_in_trailers(self, scripted):
        node, backend = scripted

        def cut(connection, stream, _headers):
            connection.h2.send_headers(stream, OK)
            connection.h2.send_data(stream, b"\0\0\0\0\1x")
            connection.flush()
            connection.reset(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        backend.answer = cut
        answer = ask(node)
        assert answer.body in (b"\0\0\0\0\1x", b"")
        assert grpc_status(answer) == 14

    def test_what_is_no_http_2_is_unavailable(self, new_grpc_weir):
        backend = Backend(answer=lambda _request, _connection: response(400))
        node = new_grpc_weir()
        node.serve("s", f"grpc://{backend.address}", paths=["/"], retries=0,
                   route={"protocols": ["grpc"]})
        assert grpc_status(ask(node)) == 14
        backend.stop()

    def test_an_idle_connection_is_closed_after_a_while(self, new_grpc_weir, new_service):
        backend = Http2Backend()
        node = new_grpc_weir(WORKERS=1, UPSTREAM_KEEPALIVE_IDLE_TIMEOUT=0.3)
        serve(node, backend)
        assert grpc_status(ask(node)) == 0
        eventually(backend.connections[0].is_over)
        assert grpc_status(ask(node)) == 0
        assert len(backend.connections) == 2
        backend.stop()

    def test_one_that_it_has_ended_is_not_used_again(self, scripted):
        node, backend = scripted
        for end in (lambda one: one.close(), lambda one: one.goaway(1)):
            assert grpc_status(ask(node)) == 0
            before = len(backend.connections)
            end(backend.connections[-1])
            eventually(lambda: 'weir_upstream_connections{state="idle"} 0'
                       in node.admin.get("/metrics").text)
            assert grpc_status(ask(node)) == 0
            assert len(backend.connections) == before + 1

    def test_connections_go_with_their_target(self, new_grpc_weir):
        backend = Http2Backend()
        node = new_grpc_weir(WORKERS=1)
        node.admin.create("/upstreams", {"name": "u"})
        node.admin.create("/upstreams/u/targets", {"target": backend.address})
        node.serve("s", host="u", protocol="grpc", paths=["/"], route={"protocols": ["grpc"]})
        assert grpc_status(ask(node)) == 0
        node.admin.remove(f"/upstreams/u/targets/{backend.address}")
        eventually(backend.connections[0].is_over)
        backend.stop()

    def test_what_had_not_left_when_it_was_lost_is_sent_again(self, new_grpc_weir):
        backend = Http2Backend(settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        node = new_grpc_weir(WORKERS=1)
        serve(node, backend, protocols=["http"])
        go_on = threading.Event()

        def read_no_more(connection, stream, _headers):
            if connection is not backend.connections[0]:
                connection.respond(stream)
                return
            connection.send(b"\0\0\x04\x08\0\0\0\0\0" + (2**30).to_bytes(4, "big"))
            go_on.wait(PATIENCE_S)
            connection.close()
        backend.answer = read_no_more
        large = node.client()
        large.send(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % 2**29)
        large.sock.settimeout(1)
        with pytest.raises(TimeoutError):  # nothing leaves for the target any more
            for _ in range(2**29 // 65536):
                large.send(b"x" * 65536)
        large.sock.settimeout(PATIENCE_S)
        small = node.client()
        small.send(b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
        eventually(lambda: node.admin.get("/status").json()["server"]["connections_active"] == 2)
        go_on.set()
        assert small.read().status == 200
        assert large.read().status == 502
        backend.stop()

    def test_a_malformed_answer_harms_no_other_stream(self, scripted):
        node, backend = scripted
        ping = b"\0\0\x08\x06\0\0\0\0\0" + b"12345678"
        waiting = []

        def answer(connection, stream, _headers):
            if not waiting:
                waiting.append(stream)
                return
            # In one segment: the ping's answer is made in front of the reset.
            connection.h2.send_headers(stream, [(":status", "200"), ("connection", "close")])
            connection.send_together(ping)
        backend.answer = answer
        with http2.Client(node.proxy_port) as client:
            fields = [("content-type", "application/grpc")]
            first = client.request("/a", "POST", fields, b"x")
            eventually(lambda: waiting)
            for _ in range(3):
                assert grpc_status(client.answer(client.request("/a", "POST", fields, b"x"))) == 14
            backend.connections[0].respond(waiting[0], b"\0\0\0\0\1a")
            assert grpc_status(client.answer(first)) == 0
        assert len(backend.connections) == 1
        eventually(lambda: backend.resets.count(h2.errors.ErrorCodes.PROTOCOL_ERROR) == 3)

    def test_who_waits_at_another_worker_gets_the_place_of_an_idle_connection(self, new_grpc_weir):
        backend = Http2Backend()
        backend.answer = lambda connection, stream, _: threading.Timer(
            0.3, connection.respond, (stream,)).start()
        node = new_grpc_weir(WORKERS=2)
        node.admin.create("/upstreams", {"name": "u", "limits": {
            "max_connections": 1, "max_pending": 100, "pending_timeout": PATIENCE_S}})
        node.admin.create("/upstreams/u/targets", {"target": backend.address})
        node.serve("s", host="u", protocol="grpc", paths=["/"], route={"protocols": ["http"]})
        clients = [node.client() for _ in range(16)]  # of both workers, all but surely
        began = time.monotonic()
        for client in clients:
            client.send_request("GET", "/")
        assert [client.read().status for client in clients] == [200] * 16
        assert time.monotonic() - began < PATIENCE_S / 2  # nobody waited until the time-out
        backend.stop()

    def test_long_trailers_arrive(self, scripted):
        node, backend = scripted
        details = "x" * 9000
        backend.answer = lambda connection, stream, _: connection.respond(
            stream, b"\0\0\0\0\0", trailers=[("grpc-status", "9"),
                                              ("grpc-status-details-bin", details)])
        answer = ask(node)
        assert dict(answer.trailers) == {"grpc-status": "9", "grpc-status-details-bin": details}

    def test_floods_end_its_connection(self, scripted):
        node, backend = scripted

        def flood(connection, _stream, _headers):
            connection.send(b"\0\0\x08\x06\0\0\0\0\0" b"12345678" * 1 * 5000)
        backend.answer = flood
        assert grpc_status(ask(node)) == 14
        assert node.log("bad HTTP/2 from a target")[0]["reason"] == "too many pings"


class TestHealth:
    def test_unavailable_counts_as_a_failure_and_other_statuses_do_not(self, new_grpc_weir):
        backend = Http2Backend()
        node = new_grpc_weir(WORKERS=1)
        node.admin.create("/upstreams", {"name": "u", "healthchecks": {"passive": {
            "unhealthy": {"http_failures": 2}}}})
        node.admin.create("/upstreams/u/targets", {"target": backend.address})
        node.serve("s", host="u", protocol="grpc", paths=["/"], route={"protocols": ["grpc"]})
        backend.answer = lambda connection, stream, _: connection.end_with(stream, 13)
        for _ in range(4):
            assert grpc_status(ask(node)) == 13
        backend.answer = lambda connection, stream, _: connection.end_with(stream, 14)
        assert grpc_status(ask(node)) == 14
        backend.answer = lambda connection, stream, _: connection.respond(
            stream, b"\0\0\0\0\0", trailers=[("grpc-status", "14")])
        assert grpc_status(ask(node)) == 14
        eventually(lambda: node.admin.get("/upstreams/u/health").json()["data"][0]["health"]
                   == "UNHEALTHY")
        backend.stop()


    @pytest.fixture
    def watched(self, new_grpc_weir):
        """A node and its only target, which is out after three failures of any kind."""
        backend = Http2Backend()
        node = new_grpc_weir(WORKERS=1)
        node.admin.create("/upstreams", {"name": "u", "healthchecks": {"passive": {
            "unhealthy": {"http_failures": 3, "tcp_failures": 3, "timeouts": 3}}}})
        node.admin.create("/upstreams/u/targets", {"target": backend.address})
        node.serve("s", host="u", protocol="grpc", paths=["/"], route={"protocols": ["http"]},
                   retries=0)
        yield node, backend
        backend.stop()

    @staticmethod
    def is_out(node):
        return node.admin.get("/upstreams/u/health").json()["data"][0]["health"] == "UNHEALTHY"

    def test_streams_that_are_reset_count_though_their_connection_lives(self, watched):
        node, backend = watched
        assert grpc_status(ask(node)) == 0
        backend.answer = lambda connection, stream, _: connection.reset(
            stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        for _ in range(3):
            assert grpc_status(ask(node)) == 14
        eventually(lambda: self.is_out(node))
        assert len(backend.connections) == 1

    def test_a_reset_of_what_may_be_repeated_is_a_try(self, watched):
        node, backend = watched
        assert grpc_status(ask(node)) == 0
        backend.answer = lambda connection, stream, _: connection.reset(
            stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        with http2.Client(node.proxy_port) as client:
            assert client.get("/").status == 502
        assert (len(backend.requests), len(backend.connections)) == (2, 1)

    def test_an_answer_that_breaks_the_rules_is_a_bad_one(self, watched):
        node, backend = watched
        backend.answer = lambda connection, stream, _: connection.h2.send_headers(
            stream, [*OK, ("Upper-Case", "x")])
        assert grpc_status(ask(node)) == 14
        assert node.log("upstream failed")[0]["failure"] == "bad response"


    def test_calls_whose_time_is_up_count_and_leave_their_connection(self, watched):
        node, backend = watched
        backend.answer = lambda *_: None
        for _ in range(3):
            assert grpc_status(ask(node, headers=[("grpc-timeout", "300m")])) == 4
        eventually(lambda: self.is_out(node))
        assert len(backend.connections) >= 2  # what it said of its settings may have come after the first

    def test_a_silent_connection_is_left_when_clients_cancel(self, watched):
        node, backend = watched
        backend.answer = lambda *_: None
        with http2.Client(node.proxy_port) as client:
            def has_left():
                before = len(backend.requests)
                stream = client.request("/a", "POST", [("content-type", "application/grpc")], b"x")
                eventually(lambda: len(backend.requests) > before)
                client.reset(stream)
                return len(backend.connections) > 1
            eventually(has_left, every=0.2)
        assert not self.is_out(node)

    def test_cancels_are_spread_over_connections(self, watched):
        node, backend = watched
        backend.answer = lambda connection, stream, _: (
            connection.h2.send_headers(stream, OK), connection.flush())
        with http2.Client(node.proxy_port) as client:
            for number in range(200):
                stream = client.request("/a", "POST", [("content-type", "application/grpc")], b"x")
                eventually(lambda: len(backend.requests) > number)
                client.reset(stream)
        assert len(backend.connections) >= 3
        assert max(len(one.taken) for one in backend.connections) < 100

    def test_a_half_open_trial_is_over_when_its_stream_has_begun(self, watched):
        node, backend = watched
        node.admin.patch("/upstreams/u", {"healthchecks": {"passive": {
            "healthy": {"interval": 0.2}, "unhealthy": {"http_failures": 1}}}})
        backend.answer = lambda connection, stream, _: connection.end_with(stream, 14)

        def is_taken_out():
            ask(node)
            return self.is_out(node)
        eventually(is_taken_out)

        def begin(connection, stream, _headers):
            connection.h2.send_headers(stream, OK)
            connection.h2.send_data(stream, b"\0\0\0\0\1x")
        backend.answer = begin
        with http2.Client(node.proxy_port) as client:
            def has_begun():
                stream = client.request("/a", "POST", [("content-type", "application/grpc")], b"x")
                client.until(lambda: stream in client.answers and client.answers[stream].headers)
                return client.answers[stream].get("grpc-status") is None
            eventually(has_begun)
            backend.answer = lambda connection, stream, _: connection.respond(stream)
            eventually(lambda: grpc_status(ask(node)) == 0)


class TestTls:
    def test_grpcs_on_both_sides(self, new_grpc_weir, new_service, tmp_path):
        authority = Authority(tmp_path)
        service = new_service(certificate=authority.issue("localhost"))
        node = new_grpc_weir()
        serve(node, service)
        front = authority.issue("front.example")
        node.admin.create("/certificates", {"cert": front.pem, "key": front.key_pem,
                                            "snis": ["front.example"]})
        credentials = grpc.ssl_channel_credentials(authority.pem.encode())
        with GrpcClient(node.tls_port, credentials, name="front.example") as client:
            assert list(client.echo(iter([b"a", b"b"]), timeout=PATIENCE_S)) == [b"a", b"b"]
        assert len(set(service.peers)) == 1

    def test_a_target_that_does_not_choose_http_2_is_unavailable(self, new_grpc_weir, tmp_path):
        backend = Http2Backend(Authority(tmp_path).issue("localhost"), alpn=("http/1.1",))
        node = new_grpc_weir()
        serve(node, backend, retries=0)
        assert grpc_status(ask(node)) == 14
        assert "ALPN" in node.log("upstream failed")[0]["reason"]
        backend.stop()


class TestHttpsByHttp2:
    @pytest.fixture
    def https(self, new_grpc_weir, tmp_path):
        def make(alpn, **settings):
            backend = Http2Backend(Authority(tmp_path).issue("localhost"), alpn=alpn)
            backend.answer = lambda connection, stream, _: connection.respond(
                stream, b"hello", [(":status", "200"), ("content-length", "5"), ("x-a", "b")], None)
            node = new_grpc_weir(WORKERS=1, **settings)
            node.serve("s", f"https://{backend.address}", paths=["/"])
            backends.append(backend)
            return node, backend
        backends = []
        yield make
        for backend in backends:
            backend.stop()

    def test_clients_of_http_1_share_a_connection(self, https):
        node, backend = https(("h2",), UPSTREAM_HTTP2="on")
        for _ in range(3):
            answer = node.get("/a?b=c")
            assert (answer.status, answer.body) == (200, b"hello")
            assert answer.headers.get("X-A") == "b"
            assert answer.headers.get("Content-Length") == "5"
        assert len(backend.connections) == 1
        assert dict(backend.requests[0])[":path"] == "/a?b=c"
        assert dict(backend.requests[0])[":scheme"] == "https"

    def test_an_answer_of_unknown_length_is_chunked(self, https):
        node, backend = https(("h2",), UPSTREAM_HTTP2="on")
        backend.answer = lambda connection, stream, _: connection.respond(
            stream, b"hello", [(":status", "200")], [("x-sum", "1")])
        answer = node.get("/")
        assert answer.body == b"hello"
        assert answer.headers.get("Transfer-Encoding") == "chunked"

    def test_an_answer_that_is_all_head_has_a_length_for_http_1(self, https):
        node, backend = https(("h2",), UPSTREAM_HTTP2="on")

        def answer(connection, stream, _headers):
            connection.h2.send_headers(stream, [(":status", "404")], end_stream=True)
        backend.answer = answer
        answer = node.get("/")
        assert (answer.status, answer.body) == (404, b"")
        assert answer.headers.get("Content-Length") == "0"
        with http2.Client(node.proxy_port) as client:
            assert client.get("/").get("content-length") is None

    def test_a_body_of_another_length_than_told_is_no_answer(self, https):
        node, backend = https(("h2",), UPSTREAM_HTTP2="on")
        backend.answer = lambda connection, stream, _: connection.respond(
            stream, b"hello", [(":status", "200"), ("content-length", "7")], None)
        with node.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            with pytest.raises(Exception):
                client.read()

    def test_a_target_that_chooses_http_1_is_spoken_to_by_it(self, new_grpc_weir, new_tls_backend):
        backend = new_tls_backend()
        node = new_grpc_weir(UPSTREAM_HTTP2="on")
        node.serve("s", f"https://{backend.address}", paths=["/"])
        for _ in range(3):
            assert node.get("/").status == 200
