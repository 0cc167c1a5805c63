"""WebSocket and other protocols that a connection is upgraded to (RFC 9110, section 7.8; RFC 6455)."""

import asyncio
import signal
import threading
import time

import pytest
import websockets

from support.backends import response
from support.waiting import eventually
from support.websocket import WebSocketServer

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n"
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "echo")]


def refuses(weir):
    try:
        weir.client().close()
    except ConnectionRefusedError:
        return True
    return False


class Echo:
    """A script that switches when asked to, sends `greeting` with it, and sends back what comes."""

    def __init__(self, greeting=b""):
        self.greeting = greeting
        self.received = bytearray()
        self.has_ended = threading.Event()
        self.is_reading = threading.Event()
        self.is_reading.set()

    def __call__(self, request, connection):
        upgrade = request.headers.get("Upgrade")
        if not upgrade:
            return response(200, body=b"no upgrade")
        connection.send(SWITCH % upgrade.encode() + self.greeting)
        try:
            while True:
                self.is_reading.wait(60)
                data = connection.reader.some()
                self.received += data
                connection.send(data)
        finally:
            self.has_ended.set()


def tunnel(weir, target="/s", headers=UPGRADE):
    client = weir.client()
    client.send_request("GET", target, headers)
    head = client.reader.response_head()
    assert head.status == 101, head
    return client, head


@pytest.fixture
def websocket_server():
    server = WebSocketServer()
    yield server
    server.stop()


@pytest.mark.threads
class TestWebSocket:
    def test_messages_of_all_sizes_come_back_on_many_sockets(self, weir, websocket_server):
        weir.serve("ws", f"http://127.0.0.1:{websocket_server.port}")

        async def one(number):
            url = f"ws://127.0.0.1:{weir.proxy_port}/ws"
            async with websockets.connect(url, max_size=None) as socket:
                for size in (0, 1, 125, 126, 65536, 3_000_000):
                    message = bytes([number]) * size
                    await socket.send(message)
                    assert await socket.recv() == message

        async def all_of_them():
            await asyncio.gather(*(one(number) for number in range(8)))
        asyncio.run(all_of_them())


class TestSwitch:
    def test_the_target_sees_what_was_asked_and_the_client_what_was_answered(self, weir,
                                                                              new_backend):
        echo = new_backend("echo", Echo(b"hello "))
        weir.serve("s", echo.url)
        client, head = tunnel(weir, headers=UPGRADE + [("Sec-WebSocket-Key", "x")])
        with client:
            assert head.headers.get("Upgrade") == "echo"
            assert head.headers.get("Connection") == "Upgrade"
            assert "Content-Length" not in head.headers
            assert "Transfer-Encoding" not in head.headers
            client.send(b"there")
            assert client.reader.exactly(11) == b"hello there"
        seen = echo.last.headers
        assert (seen.get("Upgrade"), seen.get("Connection")) == ("echo", "Upgrade")
        assert seen.get("Sec-WebSocket-Key") == "x"

    def test_what_the_client_sends_before_the_switch_comes_after_it(self, weir, new_backend):
        weir.serve("s", new_backend("echo", Echo()).url)
        with weir.client() as client:
            client.send(b"GET /s HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
                        b"\r\nearly")
            assert client.reader.response_head().status == 101
            client.send(b" late")
            assert client.reader.exactly(10) == b"early late"

    def test_a_target_that_does_not_switch_is_a_target_like_any_other(self, weir, backend):
        weir.serve("s", backend.url)
        with weir.client() as client:
            for _ in range(3):
                assert client.get("/s", UPGRADE).status == 200
            client.send(b"GET /s HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
                        b"\r\nGET /s?next HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.read().json()["target"] == "/"
            assert client.read().json()["target"] == "/?next"

    @pytest.mark.parametrize("headers", [
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMA")],
        [("Connection", "Upgrade"), ("Upgrade", "websocket, h2c")],
        [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Upgrade", " H2C")],
        [("Connection", "Upgrade"), ("Upgrade", "TLS/1.2")],
        [("Connection", "Upgrade"), ("Upgrade", "HTTP/2.0")],
        [("Upgrade", "websocket")],
        [("Connection", "Upgrade")],
    ])
    def test_an_upgrade_that_would_pass_by_our_checks_is_not_asked_for(self, weir, backend, headers):
        weir.serve("s", backend.url)
        assert weir.get("/s", headers).status == 200
        seen = backend.last.headers
        assert "Upgrade" not in seen and "HTTP2-Settings" not in seen
        assert seen.get("Connection") == "keep-alive"

    def test_a_request_with_content_is_not_upgraded(self, weir, backend):
        weir.serve("s", backend.url)
        assert weir.request("POST", "/s", UPGRADE, b"content").status == 200
        assert "Upgrade" not in backend.last.headers
        assert backend.last.body == b"content"

    @pytest.mark.parametrize("answer", [
        SWITCH.replace(b"Upgrade: %s\r\n", b""),
        SWITCH.replace(b"Connection: Upgrade\r\n", b"") % b"echo",
    ])
    def test_a_switch_that_does_not_say_to_what_is_502(self, weir, new_backend, answer):
        weir.serve("s", new_backend("bad", answer).url)
        assert weir.get("/s", UPGRADE).status == 502

    def test_a_client_of_http_1_0_is_not_upgraded(self, weir, backend):
        weir.serve("s", backend.url)
        with weir.client() as client:
            client.send(b"GET /s HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            assert client.read().status == 200
        assert "Upgrade" not in backend.last.headers


class TestEnd:
    def test_a_clients_end_is_passed_on_and_the_rest_still_comes(self, weir, new_backend):
        def count(request, connection):
            connection.send(SWITCH % b"echo")
            data = connection.reader.rest()
            connection.send(b"%d bytes" % len(data))
            connection.close()
        weir.serve("s", new_backend("count", count).url)
        client, _ = tunnel(weir)
        with client:
            client.send(b"x" * 1_000_000)
            client.half_close()
            assert client.reader.rest() == b"1000000 bytes"

    def test_the_targets_end_reaches_the_client_after_all_it_sent(self, weir, new_backend):
        def burst(request, connection):
            connection.send(SWITCH % b"echo" + b"y" * 1_000_000)
            connection.close()
        weir.serve("s", new_backend("burst", burst).url)
        client, _ = tunnel(weir)
        with client:
            assert client.reader.rest() == b"y" * 1_000_000
        assert '" 101 1000000 ' in eventually(weir.access_log)[-1]

    def test_a_reset_is_passed_on_both_ways(self, weir, new_backend):
        echo = Echo()
        weir.serve("s", new_backend("echo", echo).url)
        client, _ = tunnel(weir)
        client.reset()
        assert echo.has_ended.wait(30)

        def reset(_request, connection):
            connection.send(SWITCH % b"echo")
            connection.reader.exactly(1)
            connection.reset()
        weir.serve("r", new_backend("reset", reset).url)
        client, _ = tunnel(weir, "/r")
        with client:
            client.send(b"x")
            assert client.is_closed_by_peer()

    def test_one_in_which_nothing_moves_is_closed_and_one_that_moves_is_not(self, weir, new_backend):
        echo = Echo()
        weir.serve("s", new_backend("echo", echo).url, read_timeout=1000)
        busy, _ = tunnel(weir)
        idle, _ = tunnel(weir)
        with busy, idle:
            is_closed = threading.Event()
            threading.Thread(target=lambda: idle.is_closed_by_peer() and is_closed.set()).start()
            while not is_closed.is_set():
                busy.send(b"tick")
                assert busy.reader.exactly(4) == b"tick"
                time.sleep(0.05)
            busy.send(b"still here")
            assert busy.reader.exactly(10) == b"still here"


class TestPressure:
    def test_a_target_that_does_not_read_stops_the_client(self, weir, new_backend):
        echo = Echo()
        weir.serve("s", new_backend("echo", echo).url)
        client, _ = tunnel(weir)
        before = weir.rss_kib()
        echo.is_reading.clear()
        client.sock.settimeout(2)
        sent = 0
        with client, pytest.raises(TimeoutError):
            while sent < 200_000_000:
                sent += client.sock.send(b"z" * 65536)
        assert sent < 50_000_000
        assert weir.rss_kib() - before < 16384
        echo.is_reading.set()

    def test_a_stop_waits_for_tunnels_but_not_for_ever(self, new_weir, new_backend):
        weir = new_weir(STOP_TIMEOUT=2)
        weir.serve("s", new_backend("echo", Echo()).url)
        client, _ = tunnel(weir)
        with client:
            weir.signal(signal.SIGTERM)
            eventually(lambda: refuses(weir))
            client.send(b"still")
            assert client.reader.exactly(5) == b"still"
            assert client.is_closed_by_peer()
        assert weir.wait() == 0

    def test_many_come_and_go_and_leave_nothing(self, weir, new_backend, backend):
        echo = new_backend("echo", Echo())
        weir.serve("ws", echo.url)
        weir.serve("s", backend.url)
        for _ in range(3):
            tunnels = [tunnel(weir, "/ws")[0] for _ in range(100)]
            assert weir.get("/s").status == 200
            for client in tunnels:
                client.close()
        eventually(lambda: echo.open_connections == 0)
        eventually(lambda: weir.admin.get("/status").json()["server"]["connections_active"] == 0)
