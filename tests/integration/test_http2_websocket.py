"""WebSocket for clients of HTTP/2 (RFC 8441): CONNECT there, Upgrade at the backend."""

import base64
import hashlib
import signal
import threading
import time

import pytest

from support import http2
from support.backends import response
from support.http2 import Client, tls_context
from support.ports import free_port
from support.waiting import eventually
from support.websocket import Socket, WebSocketServer


@pytest.fixture
def http2_weir(new_weir):
    """Makes nodes with a plain listener and one of TLS."""
    def make(**settings):
        port, tls_port = free_port(), free_port()
        node = new_weir(start=False, **{
            "PROXY_LISTEN": f"127.0.0.1:{port} http2, 127.0.0.1:{tls_port} http2 ssl", **settings})
        node.proxy_port, node.tls_port = port, tls_port
        return node.start()
    return make


@pytest.fixture
def weir(http2_weir):
    return http2_weir()


@pytest.fixture
def websocket_server():
    server = WebSocketServer()
    yield server
    server.stop()


def accept(request):
    key = request.headers.get("Sec-WebSocket-Key").encode()
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def switch(request, more=b""):
    return (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept(request) + b"\r\n" + more + b"\r\n")


class Echo:
    """Switches, sends `greeting` with it, and sends back what comes."""

    def __init__(self, greeting=b"", more=b""):
        self.greeting, self.more = greeting, more
        self.received = 0
        self.has_ended = threading.Event()
        self.may_switch, self.may_read = threading.Event(), threading.Event()
        self.may_switch.set()
        self.may_read.set()

    def __call__(self, request, connection):
        assert self.may_switch.wait(60)
        connection.send(switch(request, self.more) + self.greeting)
        try:
            while True:
                assert self.may_read.wait(60)
                data = connection.reader.some()
                self.received += len(data)
                connection.send(data)
        finally:
            self.has_ended.set()


def serve(weir, new_backend, script, **service):
    backend = new_backend("script", script)
    weir.serve("ws", backend.url, **service)
    return backend


class TestMessages:
    @pytest.mark.threads
    @pytest.mark.parametrize("has_tls", [True, False])
    def test_messages_of_all_sizes_come_back_on_many_streams_of_a_connection(
            self, weir, websocket_server, has_tls):
        weir.serve("ws", f"http://127.0.0.1:{websocket_server.port}")
        tls = tls_context("h2") if has_tls else None
        with Client(weir.tls_port if has_tls else weir.proxy_port, tls) as client:
            headers = [("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")]
            sockets = [Socket(client, headers=headers) for _ in range(8)]
            for socket in sockets:
                assert socket.answer.status == 200
                assert socket.answer.get("sec-websocket-protocol") == "chat"
            for size in (0, 1, 125, 126, 65536, 1_000_000):
                for number, socket in enumerate(sockets):
                    socket.send_message(bytes([number]) * size)
                for number, socket in enumerate(sockets):
                    assert socket.message() == bytes([number]) * size
            assert client.get("/none").status == 404

    def test_the_client_is_told_that_it_may(self, weir):
        with Client(weir.proxy_port) as client:
            client.round_trip()
            assert client.settings[http2.ENABLE_CONNECT_PROTOCOL] == 1


class TestHandshake:
    def test_the_target_is_asked_as_in_http_1_and_the_client_answered_as_in_http_2(
            self, weir, new_backend):
        backend = serve(weir, new_backend, Echo(more=b"Sec-WebSocket-Extensions: x\r\nX: 1\r\n"))
        with Client(weir.proxy_port) as client:
            answer = Socket(client, "/ws/a?b", [
                ("sec-websocket-version", "13"), ("sec-websocket-extensions", "x; y"),
                ("origin", "http://o"), ("sec-websocket-key", "own")]).answer
        seen = backend.last
        assert (seen.method, seen.target) == ("GET", "/a?b")
        assert seen.headers.get("Upgrade") == "websocket"
        assert seen.headers.get("Connection") == "Upgrade"
        assert seen.headers.get("Sec-WebSocket-Version") == "13"
        assert seen.headers.get("Sec-WebSocket-Extensions") == "x; y"
        assert seen.headers.get("Origin") == "http://o"
        assert len(base64.b64decode(seen.headers.get("Sec-WebSocket-Key"), validate=True)) == 16
        assert "Content-Length" not in seen.headers and "Transfer-Encoding" not in seen.headers
        assert answer.status == 200
        assert answer.get("sec-websocket-extensions") == "x" and answer.get("x") == "1"
        for name in ("sec-websocket-accept", "upgrade", "connection", "content-length"):
            assert answer.get(name) is None

    def test_each_has_a_key_of_its_own(self, weir, new_backend):
        backend = serve(weir, new_backend, Echo())
        with Client(weir.proxy_port) as client:
            for _ in range(3):
                assert Socket(client).answer.status == 200
        assert len({seen.headers.get("Sec-WebSocket-Key") for seen in backend.requests}) == 3

    def test_what_the_client_sends_before_the_switch_comes_after_it(self, weir, new_backend):
        echo = Echo(b"hello ")
        echo.may_switch.clear()
        serve(weir, new_backend, echo)
        with Client(weir.proxy_port) as client:
            socket = Socket(client)
            client.data(socket.stream, b"early", ends=False)
            client.round_trip()
            echo.may_switch.set()
            assert socket.exactly(11) == b"hello early"
            socket.send(b" late")
            assert socket.exactly(5) == b" late"

    @pytest.mark.parametrize("change", [
        lambda switch: switch.replace(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"),
        lambda switch: switch.replace(b"Sec-WebSocket-Accept", b"X"),
        lambda switch: switch.replace(b"Upgrade: websocket\r\n", b""),
    ])
    def test_a_switch_that_was_not_asked_for_is_502(self, weir, new_backend, change):
        serve(weir, new_backend, lambda request, _: change(switch(request)), retries=0)
        with Client(weir.proxy_port) as client:
            assert Socket(client).answer.status == 502

    def test_a_target_that_does_not_switch_says_so_in_its_words_but_not_that_all_is_well(
            self, weir, new_backend):
        backend = serve(weir, new_backend, response(404, body=b"no such room"))
        with Client(weir.proxy_port) as client:
            socket = Socket(client)
            assert socket.answer.status == 404 and socket.rest() == b"no such room"
            for status in (200, 204):
                backend.answer = response(status)
                assert Socket(client).answer.status == 502
                as_grpc = [("content-type", "application/grpc"), ("te", "trailers")]
                assert Socket(client, headers=as_grpc).answer.status == 502
            backend.answer = Echo()
            assert Socket(client).answer.status == 200

    def test_a_plugin_does_not_say_that_all_is_well_either(self, weir, new_backend):
        serve(weir, new_backend, Echo())
        weir.admin.create("/plugins", {"name": "request-termination",
                                       "config": {"status_code": 200, "message": "fine"}})
        with Client(weir.proxy_port) as client:
            assert Socket(client).answer.status == 400

    @pytest.mark.parametrize("status, fields", [
        (501, [(":method", "CONNECT"), (":protocol", "connect-udp"), (":scheme", "http"),
               (":authority", "a"), (":path", "/ws")]),
        (405, [(":method", "CONNECT"), (":authority", "a:80")]),
    ])
    def test_other_tunnels_are_refused(self, weir, new_backend, status, fields):
        backend = serve(weir, new_backend, Echo())
        with Client(weir.proxy_port) as client:
            stream = client.request(fields=fields, ends=False)
            client.until(lambda: stream in client.answers and client.answers[stream].headers)
            assert client.answers[stream].status == status
            assert Socket(client).answer.status == 200
        assert len(backend.requests) == 1

    def test_one_that_ends_with_its_head_is_refused(self, weir, new_backend):
        serve(weir, new_backend, Echo())
        with Client(weir.proxy_port) as client:
            assert client.get(fields=[
                (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                (":authority", "a"), (":path", "/ws")]).status == 400


class TestEnd:
    def test_a_clients_end_is_passed_on_and_the_rest_still_comes(self, weir, new_backend):
        def count(request, connection):
            connection.send(switch(request))
            data = connection.reader.rest()
            connection.send(b"%d bytes" % len(data))
            connection.close()
        serve(weir, new_backend, count)
        with Client(weir.proxy_port) as client:
            socket = Socket(client)
            socket.send(b"x" * 1_000_000)
            socket.end()
            assert socket.rest() == b"1000000 bytes"
            assert client.answers[socket.stream].reset is None

    def test_an_end_before_the_switch_is_passed_on_too(self, weir, new_backend):
        may_switch = threading.Event()

        def count(request, connection):
            assert may_switch.wait(60)
            connection.send(switch(request))
            connection.send(b"%d bytes" % len(connection.reader.rest()))
            connection.close()
        serve(weir, new_backend, count)
        with Client(weir.proxy_port) as client:
            socket = Socket(client)
            client.data(socket.stream, b"early")
            client.round_trip()
            may_switch.set()
            assert socket.rest() == b"5 bytes"

    def test_the_targets_end_reaches_the_client_after_all_it_sent(self, weir, new_backend):
        def burst(request, connection):
            connection.send(switch(request) + b"y" * 1_000_000)
            connection.close()
        serve(weir, new_backend, burst)
        with Client(weir.proxy_port) as client:
            socket = Socket(client)
            assert socket.rest() == b"y" * 1_000_000
            assert client.answers[socket.stream].is_whole
            assert client.get("/none").status == 404  # its connection goes on
        assert any('"GET /ws HTTP/2.0" 200 1000000 ' in line
                   for line in eventually(lambda: len(weir.access_log()) > 1 and weir.access_log()))

    def test_a_client_may_end_its_side_while_it_takes_the_rest(self, weir, new_backend):
        def burst(request, connection):
            connection.send(switch(request) + b"y" * 80_000)
            connection.close()
        backend = serve(weir, new_backend, burst)
        with Client(weir.proxy_port, windows=None) as client:
            socket = Socket(client)
            assert socket.exactly(65535) == b"y" * 65535
            eventually(lambda: backend.open_connections == 0)
            socket.end()
            client.round_trip()
            client.open_window(0, 100_000)
            client.open_window(socket.stream, 100_000)
            assert socket.rest() == b"y" * (80_000 - 65535)

    def test_a_reset_is_passed_on_both_ways(self, weir, new_backend):
        echo = Echo()
        backend = serve(weir, new_backend, echo)
        with Client(weir.proxy_port) as client:
            socket = Socket(client)
            socket.send(b"x")
            assert socket.exactly(1) == b"x"
            socket.reset()
            assert echo.has_ended.wait(60)

            def reset(request, connection):
                connection.send(switch(request))
                connection.reader.exactly(1)
                connection.reset()
            backend.answer = reset
            socket = Socket(client)
            assert socket.answer.status == 200
            socket.send(b"x")
            assert client.answer(socket.stream).reset == http2.CANCEL

    def test_one_in_which_nothing_moves_is_closed_and_one_that_moves_is_not(self, weir,
                                                                             new_backend):
        serve(weir, new_backend, Echo(), read_timeout=1000)
        with Client(weir.proxy_port) as client:
            busy, idle = Socket(client), Socket(client)
            assert busy.answer.status == idle.answer.status == 200
            while not client.answers[idle.stream].is_whole:
                busy.send(b"tick")
                assert busy.exactly(4) == b"tick"
                time.sleep(0.05)
            busy.send(b"still here")
            assert busy.exactly(10) == b"still here"


class TestPressure:
    def test_a_target_that_does_not_read_closes_the_window(self, weir, new_backend):
        echo = Echo()
        serve(weir, new_backend, echo)
        with Client(weir.proxy_port) as client:
            socket = Socket(client)
            assert socket.answer.status == 200
            before = weir.rss_kib()
            echo.may_read.clear()
            client.sock.settimeout(2)
            with pytest.raises(TimeoutError):
                socket.send(b"z" * 100_000_000)
            assert client.sent[socket.stream] < 50_000_000
            assert weir.rss_kib() - before < 16384
            echo.may_read.set()

    def test_a_client_that_opens_no_window_stops_the_target(self, weir, new_backend):
        sent = []

        def pour(request, connection):
            connection.send(switch(request))
            while len(sent) < 2000:
                connection.send(b"w" * 65536)
                sent.append(1)
        serve(weir, new_backend, pour)
        with Client(weir.proxy_port, windows=None) as client:
            socket = Socket(client)
            assert socket.exactly(65535) == b"w" * 65535
            client.round_trip()
            assert len(sent) < 1000
            assert len(client.answers[socket.stream].body) == 65535

    def test_a_stop_waits_for_tunnels_but_not_for_ever(self, http2_weir, new_backend):
        weir = http2_weir(STOP_TIMEOUT=3)
        serve(weir, new_backend, Echo())
        with Client(weir.proxy_port) as client:
            socket = Socket(client)
            assert socket.answer.status == 200
            weir.signal(signal.SIGTERM)
            client.until(lambda: client.goaway is not None)
            socket.send(b"still")
            assert socket.exactly(5) == b"still"
            assert client.answer(socket.stream).reset == http2.CANCEL
        assert weir.wait() == 0

    def test_many_come_and_go_and_leave_nothing(self, weir, new_backend):
        backend = serve(weir, new_backend, Echo())
        with Client(weir.proxy_port) as client:
            for _ in range(3):
                sockets = [Socket(client) for _ in range(100)]
                assert all(socket.answer.status == 200 for socket in sockets)
                for number, socket in enumerate(sockets):
                    socket.end() if number % 2 else socket.reset()
                client.until(lambda: all(client.answers[socket.stream].is_whole
                                         for socket in sockets[1::2]))
        eventually(lambda: backend.open_connections == 0)
        eventually(lambda: weir.admin.get("/status").json()["server"]["connections_active"] == 0)
