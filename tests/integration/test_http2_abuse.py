"""What HTTP/2 lets a client do wrong, or too much of: the error it gets, and that no backend sees it."""

import array
import fcntl
import struct
import termios
import threading
import time

import pytest

from support import http2
from support.backends import Backend, response
from support.http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED,
                           PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, Client, Ended)
from support.waiting import eventually
from support.weir import Weir


@pytest.fixture(scope="module")
def shared(binary, tmp_path_factory):
    """A node and a backend for all tests of this file that only send something bad."""
    node = Weir(binary, tmp_path_factory.mktemp("node"), WORKERS=1)
    node.settings["WEIR_PROXY_LISTEN"] += " http2"
    backend = Backend()
    node.start()
    node.serve("all", backend.url, paths=["/"])
    yield node, backend
    node.stop()
    node.log()
    backend.stop()


@pytest.fixture
def node(shared):
    return shared[0]


@pytest.fixture
def backend(shared):
    shared[1].requests.clear()
    return shared[1]


@pytest.fixture
def new_node(new_weir):
    """A node of its own, for what needs settings."""
    def make(**settings):
        made = new_weir(start=False, WORKERS=1, **settings)
        made.settings["WEIR_PROXY_LISTEN"] += " http2"
        return made.start()
    return make


GOOD = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]


def changed(**values):
    """GOOD with pseudo fields of other values; None leaves one out."""
    fields = [(name, values.get(name[1:], value)) for name, value in GOOD]
    return [(name, value) for name, value in fields if value is not None]


# Requests that are malformed (RFC 9113, section 8.1.1): the code of the reset, or the status of an
# answer, which may come in place of it.
MALFORMED = {
    "an upper-case name": (GOOD + [("X-Upper", "1")], http2.PROTOCOL_ERROR),
    "connection": (GOOD + [("connection", "close")], http2.PROTOCOL_ERROR),
    "keep-alive": (GOOD + [("keep-alive", "5")], http2.PROTOCOL_ERROR),
    "proxy-connection": (GOOD + [("proxy-connection", "close")], http2.PROTOCOL_ERROR),
    "transfer-encoding": (GOOD + [("transfer-encoding", "chunked")], http2.PROTOCOL_ERROR),
    "upgrade": (GOOD + [("upgrade", "websocket")], http2.PROTOCOL_ERROR),
    "te": (GOOD + [("te", "gzip")], http2.PROTOCOL_ERROR),
    "no :method": (changed(method=None), http2.PROTOCOL_ERROR),
    "no :scheme": (changed(scheme=None), http2.PROTOCOL_ERROR),
    "no :path": (changed(path=None), http2.PROTOCOL_ERROR),
    "an empty :path": (changed(path=""), http2.PROTOCOL_ERROR),
    "no host at all": (changed(authority=None), http2.PROTOCOL_ERROR),
    "a pseudo field twice": (GOOD + [(":path", "/b")], http2.PROTOCOL_ERROR),
    "a pseudo field that is unknown": ([(":new", "1")] + GOOD, http2.PROTOCOL_ERROR),
    "a pseudo field of responses": ([(":status", "200")] + GOOD, http2.PROTOCOL_ERROR),
    "a pseudo field behind others": (GOOD[:3] + [("a", "b"), GOOD[3]], http2.PROTOCOL_ERROR),
    ":protocol": ([(":protocol", "websocket")] + GOOD, http2.PROTOCOL_ERROR),
    "a length that is none": (GOOD + [("content-length", "+1")], http2.PROTOCOL_ERROR),
    "two lengths": (GOOD + [("content-length", "0"), ("content-length", "0")],
                    http2.PROTOCOL_ERROR),
    "a length without content": (GOOD + [("content-length", "5")], http2.PROTOCOL_ERROR),
    "a line end in a value": (GOOD + [("a", "b\r\nc: d")], 400),
    "a null byte in a value": (GOOD + [("a", "b\0c")], 400),
    "a line end in a name": (GOOD + [("a\r\nb", "c")], 400),
    "a colon in a name": (GOOD + [("a:b", "c")], 400),
    "a space in a name": (GOOD + [("a b", "c")], 400),
    "an empty name": (GOOD + [("", "c")], 400),
    "a line end in :path": (changed(path="/ HTTP/1.1\r\na: b"), http2.PROTOCOL_ERROR),
    "a space in :path": (changed(path="/a b"), http2.PROTOCOL_ERROR),
    "a fragment in :path": (changed(path="/a#b"), 400),
    "an absolute :path": (changed(path="http://b/"), http2.PROTOCOL_ERROR),
    "* with GET": (changed(path="*"), http2.PROTOCOL_ERROR),
    "a :method that is none": (changed(method="GE T"), http2.PROTOCOL_ERROR),
    "an unknown :method": (changed(method="NONE"), 501),
    "CONNECT": ([(":method", "CONNECT"), (":authority", "a:1")], 405),
    "TRACE": (changed(method="TRACE"), 405),
    "a :scheme that isn't ours": (changed(scheme="ftp"), 400),
    "a user in :authority": (changed(authority="me@a"), 400),
    "a space in :authority": (changed(authority="a b"), http2.PROTOCOL_ERROR),
    "a Host that differs": (GOOD + [("host", "b")], 400),
    "two Host fields": (changed(authority=None) + [("host", "a"), ("host", "a")],
                        http2.PROTOCOL_ERROR),
    "a head that is too long": (GOOD + [("a", "b" * 15000)] * 3, 431),
    "a path that is too long": (changed(path="/" + "a" * 40000), 414),
    "too many fields": (GOOD + [("a", "b")] * 200, 431),
}


class TestMalformedRequests:
    @pytest.mark.parametrize("name", MALFORMED)
    def test_it_is_refused_and_the_next_is_served(self, node, backend, name):
        fields, expected = MALFORMED[name]
        with Client(node.proxy_port) as client:
            stream = send_head(client, fields)
            answer = client.answer(stream)
            assert answer.reset == expected or answer.status == expected, answer
            assert not backend.requests
            assert client.get(fields=GOOD).status == 200

    @pytest.mark.parametrize("length", [4, 6])
    def test_content_of_another_length_than_told(self, node, backend, length):
        with Client(node.proxy_port) as client:
            stream = client.request(method="POST", headers=[("content-length", str(length))],
                                    body=b"12345")
            assert client.answer(stream).reset == http2.PROTOCOL_ERROR
            assert not backend.requests  # not as a whole one
            assert client.get().status == 200

    def test_trailers_with_a_pseudo_field(self, node, backend):
        with Client(node.proxy_port) as client:
            stream = client.request(method="POST", body=b"1", ends=False)
            client.send_frame(HEADERS, END_HEADERS | END_STREAM, stream,
                              client.block([(":path", "/")]))
            assert client.answer(stream).reset == http2.PROTOCOL_ERROR
            assert not backend.requests

    def test_it_is_counted_and_logged(self, node, backend):
        with Client(node.proxy_port) as client:
            client.get(fields=GOOD + [("connection", "close")])
        assert 'reason="malformed head"' in node.admin.get("/metrics").text
        eventually(lambda: "malformed head" in node.log_text())


def send_head(client, fields):
    """A head of any size, in as many frames as it takes."""
    block = client.block(fields)
    stream = client.next_stream
    client.next_stream += 2
    parts = [block[at:at + 16384] for at in range(0, len(block), 16384)]
    for number, part in enumerate(parts):
        flags = END_HEADERS if number == len(parts) - 1 else 0
        client.send_frame(CONTINUATION if number else HEADERS,
                          flags | (0 if number else END_STREAM), stream, part)
    return stream


def setting(number, value):
    return struct.pack(">HI", number, value)


def open_stream(client):
    """A request whose content is still to come."""
    return client.request(method="POST", ends=False)


def opens(send):
    """A case that needs a stream: send(client, its number)."""
    return lambda client: send(client, open_stream(client))


# Frames that break the connection (RFC 9113, sections 4 to 6): the code of the GOAWAY.
BROKEN = {
    "DATA on stream 0": (lambda c: c.send_frame(DATA, 0, 0, b"a"), http2.PROTOCOL_ERROR),
    "DATA on an idle stream": (lambda c: c.send_frame(DATA, 0, 9, b"a"), http2.PROTOCOL_ERROR),
    "DATA with more padding than content": (
        opens(lambda c, s: c.send_frame(DATA, PADDED, s, b"\x05abc")), http2.PROTOCOL_ERROR),
    "HEADERS on stream 0": (
        lambda c: c.send_frame(HEADERS, END_HEADERS, 0, c.block(GOOD)), http2.PROTOCOL_ERROR),
    "HEADERS on an even stream": (
        lambda c: c.send_frame(HEADERS, END_HEADERS, 2, c.block(GOOD)), http2.PROTOCOL_ERROR),
    "a field block that can't be decoded": (
        lambda c: c.send_frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"),
        http2.COMPRESSION_ERROR),
    "CONTINUATION without HEADERS": (
        lambda c: c.send_frame(CONTINUATION, END_HEADERS, 1, c.block(GOOD)), http2.PROTOCOL_ERROR),
    "another frame within a head": (
        lambda c: (c.send_frame(HEADERS, END_STREAM, 1, c.block(GOOD)), c.send_frame(PING, 0, 0, b"12345678")),
        http2.PROTOCOL_ERROR),
    "CONTINUATION of another stream": (
        lambda c: (c.send_frame(HEADERS, END_STREAM, 1, c.block(GOOD)),
                   c.send_frame(CONTINUATION, END_HEADERS, 3)), http2.PROTOCOL_ERROR),
    "PUSH_PROMISE": (
        opens(lambda c, s: c.send_frame(PUSH_PROMISE, END_HEADERS, s, struct.pack(">I", 2))),
        http2.PROTOCOL_ERROR),
    "RST_STREAM of an idle stream": (lambda c: c.reset(9), http2.PROTOCOL_ERROR),
    "RST_STREAM on stream 0": (lambda c: c.reset(0), http2.PROTOCOL_ERROR),
    "RST_STREAM of another size": (
        opens(lambda c, s: c.send_frame(RST_STREAM, 0, s, b"abc")), http2.FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (lambda c: c.send_frame(SETTINGS, 0, 1), http2.PROTOCOL_ERROR),
    "SETTINGS of a broken size": (lambda c: c.send_frame(SETTINGS, 0, 0, b"abc"),
                                  http2.FRAME_SIZE_ERROR),
    "SETTINGS ACK with content": (lambda c: c.send_frame(SETTINGS, ACK, 0, setting(3, 1)),
                                  http2.FRAME_SIZE_ERROR),
    "a window above the largest": (
        lambda c: c.send_frame(SETTINGS, 0, 0, setting(http2.INITIAL_WINDOW_SIZE, 2 ** 31)),
        http2.FLOW_CONTROL_ERROR),
    "frames below the smallest size": (
        lambda c: c.send_frame(SETTINGS, 0, 0, setting(5, 100)), http2.PROTOCOL_ERROR),
    "a push setting that is neither": (
        lambda c: c.send_frame(SETTINGS, 0, 0, setting(2, 2)), http2.PROTOCOL_ERROR),
    "PING on a stream": (lambda c: c.send_frame(PING, 0, 1, b"12345678"), http2.PROTOCOL_ERROR),
    "PING of another size": (lambda c: c.send_frame(PING, 0, 0, b"1234"), http2.FRAME_SIZE_ERROR),
    "GOAWAY on a stream": (lambda c: c.send_frame(GOAWAY, 0, 1, b"\0" * 8), http2.PROTOCOL_ERROR),
    "WINDOW_UPDATE by nothing": (lambda c: c.open_window(0, 0), http2.PROTOCOL_ERROR),
    "WINDOW_UPDATE of a stream by nothing": (opens(lambda c, s: c.open_window(s, 0)),
                                             http2.PROTOCOL_ERROR),
    "WINDOW_UPDATE of an idle stream": (lambda c: c.open_window(9, 1), http2.PROTOCOL_ERROR),
    "WINDOW_UPDATE of another size": (lambda c: c.send_frame(WINDOW_UPDATE, 0, 0, b"abc"),
                                      http2.FRAME_SIZE_ERROR),
    "a window that overflows": (
        lambda c: (c.open_window(0, 2 ** 31 - 1), c.open_window(0, 2 ** 31 - 1)),
        http2.FLOW_CONTROL_ERROR),
    "a frame that is too large": (
        opens(lambda c, s: c.send_frame(DATA, 0, s, b"a" * 16385)), http2.FRAME_SIZE_ERROR),
}

# Frames that break one stream: the code of its reset.
BROKEN_STREAMS = {
    "a window that overflows": (
        lambda c, s: (c.open_window(s, 2 ** 31 - 1), c.open_window(s, 2 ** 31 - 1)),
        http2.FLOW_CONTROL_ERROR),
    "trailers that don't end it": (
        lambda c, s: c.send_frame(HEADERS, END_HEADERS, s, c.block([("a", "b")])),
        http2.PROTOCOL_ERROR),
}


class TestBrokenFrames:
    @pytest.mark.parametrize("name", BROKEN)
    def test_they_end_the_connection(self, node, backend, name):
        send, expected = BROKEN[name]
        with Client(node.proxy_port, windows=None) as client:
            send(client)
            code = client.end()
            assert code in (expected if isinstance(expected, set) else {expected})
            assert not [one for one in backend.requests if one.method == "POST"]

    @pytest.mark.parametrize("name", BROKEN_STREAMS)
    def test_they_end_the_stream(self, node, backend, name):
        send, expected = BROKEN_STREAMS[name]
        with Client(node.proxy_port) as client:
            stream = open_stream(client)
            send(client, stream)
            assert client.answer(stream).reset == expected
            assert not backend.requests
            assert client.get().status == 200

    def test_frames_after_the_end_of_a_request(self, node):
        with Client(node.proxy_port) as client:
            client.round_trip()
            client.send(http2.frame(HEADERS, END_HEADERS | END_STREAM, 1, client.block(GOOD)) +
                        http2.frame(DATA, END_STREAM, 1, b"more"))  # before an answer is there
            try:
                code = client.answer(1).reset
            except Ended as ended:
                code = ended.code
            assert code == http2.STREAM_CLOSED

    def test_a_preface_that_goes_on_otherwise(self, node):
        with Client(node.proxy_port, greets=False) as client:
            client.send(http2.PREFACE)
            client.send_frame(PING, 0, 0, b"12345678")
            assert client.end() == http2.PROTOCOL_ERROR

    def test_bytes_that_are_no_frames(self, node):
        with Client(node.proxy_port) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.end() in (http2.FRAME_SIZE_ERROR, http2.PROTOCOL_ERROR)

    def test_unknown_frames_and_settings_are_left_alone(self, node, backend):
        with Client(node.proxy_port) as client:
            client.send_frame(0x77, 0xff, 0, b"anything")
            client.send_frame(SETTINGS, 0, 0, setting(0x7777, 5))
            stream = open_stream(client)
            client.send_frame(0x77, 0xff, stream, b"anything")
            client.data(stream, b"abc")
            assert client.answer(stream).json()["body_bytes"] == 3


def reset_rapidly(client):
    client.reset(client.request())


def force_resets(client):
    """Whoever waits for our resets may have more streams than we count."""
    stream = open_stream(client)
    client.open_window(stream, 2 ** 31 - 1)
    client.round_trip()


def await_full_socket(client):
    """What came and nobody reads has stopped growing."""
    seen = [0]

    def has_stopped():
        waiting = array.array("i", [0])
        fcntl.ioctl(client.sock, termios.FIONREAD, waiting)
        before, seen[0] = seen[0], waiting[0]
        return 0 < before == waiting[0]
    eventually(has_stopped, every=0.3)


# What may be sent, but not for ever: each until the connection ends.
FLOODS = {
    "resets": reset_rapidly,
    "resets that are forced": force_resets,
    "malformed requests": lambda c: (c.request(fields=GOOD + [("connection", "close")]),
                                     c.round_trip()),
    "settings": lambda c: c.send_frame(SETTINGS, 0, 0, setting(0x7777, 1)),
    "pings": lambda c: c.send_frame(PING, 0, 0, b"12345678"),
    "priorities": lambda c: c.send_frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 15)),
    "window updates": lambda c: c.open_window(0, 1),
    "heads for streams that are over": lambda c: c.send_frame(
        HEADERS, END_HEADERS | END_STREAM, 1, c.block([("a", "b")])),
    "empty DATA": lambda c: c.data(1, ends=False),
    "padding alone": lambda c: c.send_frame(DATA, PADDED, 1, b"\x03\0\0\0"),
}
MOST_OF_A_FLOOD = 5000


class TestFloods:
    @pytest.mark.parametrize("name", FLOODS)
    def test_who_does_it_too_much_is_told_to_calm_down(self, node, name):
        with Client(node.proxy_port, windows=None) as client:
            if "DATA" in name or "padding" in name:
                open_stream(client)
            if "over" in name:
                client.get()
            try:
                for _ in range(MOST_OF_A_FLOOD):
                    FLOODS[name](client)
            except (OSError, Ended):
                pass
            assert client.end() == http2.ENHANCE_YOUR_CALM

    def test_what_browsers_do_is_no_flood(self, node, backend):
        """A hundred requests, all left; and pings and updates in between."""
        with Client(node.proxy_port, windows=None) as client:
            for _ in range(100):
                stream = client.request()
                client.reset(stream)
                client.open_window(0, 1)
            for _ in range(50):
                client.send_frame(PING, 0, 0, b"12345678")
            assert client.get().status == 200

    def test_more_streams_than_allowed(self, node, backend):
        with Client(node.proxy_port) as client:
            client.round_trip()
            most = client.settings[http2.MAX_CONCURRENT_STREAMS]
            streams = [open_stream(client) for _ in range(most)]
            client.data(streams[0], b"abc")
            assert client.answer(streams[0]).json()["body_bytes"] == 3
            for _ in range(2):
                open_stream(client)
            assert client.end() == http2.PROTOCOL_ERROR
            assert len(backend.requests) <= most

    def test_streams_that_are_too_many_before_the_client_knows(self, node):
        with Client(node.proxy_port) as client:
            client.is_polite = False  # it has not seen the setting
            streams = [open_stream(client) for _ in range(129)]
            assert client.answer(streams[-1]).reset == http2.REFUSED_STREAM

    def test_a_head_in_ever_more_frames(self, node, backend):
        with Client(node.proxy_port) as client:
            client.round_trip()
            client.send_frame(HEADERS, END_STREAM, 1, client.block(GOOD))
            try:
                for _ in range(1000):
                    client.send_frame(CONTINUATION, 0, 1, client.block([("a", "b")]))
            except OSError:
                pass
            assert client.end() == http2.ENHANCE_YOUR_CALM
            assert not backend.requests

    def test_a_small_head_that_unpacks_to_a_large_one(self, node, backend):
        with Client(node.proxy_port) as client:
            assert client.get(fields=GOOD + [("a", "b" * 3900)]).status == 200
            bomb = client.block(GOOD) + client.block([("a", "b" * 3900)]) * 16000
            assert len(bomb) < 20000
            backend.requests.clear()
            client.send_frame(HEADERS, END_STREAM, 3, bomb[:16384])
            client.send_frame(CONTINUATION, END_HEADERS, 3, bomb[16384:])
            assert client.end() == http2.ENHANCE_YOUR_CALM
            assert not backend.requests

    def test_fields_that_are_left_out_are_counted_too(self, node, backend):
        with Client(node.proxy_port) as client:
            client.round_trip()
            bad = [("a", "b" * 3899 + "\x01")]
            bomb = client.block(GOOD) + client.block(bad) + client.block(bad) * 16000
            assert len(bomb) < 25000
            client.send_frame(HEADERS, END_STREAM, 1, bomb[:16384])
            client.send_frame(CONTINUATION, END_HEADERS, 1, bomb[16384:])
            assert client.end() == http2.ENHANCE_YOUR_CALM
            assert not backend.requests

    def test_a_client_that_asks_and_asks_and_never_reads(self, new_node, new_backend):
        """Each request beyond its streams wants a reset, which waits."""
        node = new_node()
        node.serve("large", new_backend("large", response(200, body=b"x" * 50_000_000)).url)
        with Client(node.proxy_port) as client:
            client.is_polite = False
            client.request("/large")
            await_full_socket(client)
            before = node.rss_kib()
            block = b"\x82\x86\x84\x41\x01a"  # GOOD, always the same
            with pytest.raises(OSError):
                for number in range(3, 3_000_000, 1000):
                    client.send(b"".join(
                        http2.frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
                        for stream in range(number, number + 1000, 2)))
            assert node.rss_kib() - before < 50_000


class TestFlowControl:
    def test_no_more_is_sent_than_the_window_takes(self, node, backend):
        with Client(node.proxy_port, windows=None) as client:
            node.serve("large", (large := Backend("large", response(200, body=b"x" * 200000))).url)
            stream = client.request("/large")
            client.until(lambda: stream in client.answers and len(client.answers[stream].body) == 65535)
            client.round_trip()
            assert len(client.answers[stream].body) == 65535
            client.open_window(stream, 10)
            client.round_trip()
            assert len(client.answers[stream].body) == 65535  # the connection's is closed
            client.open_window(0, 200000)
            client.until(lambda: len(client.answers[stream].body) == 65545)
            client.open_window(stream, 200000)
            assert len(client.answer(stream).body) == 200000
            large.stop()

    def test_a_stream_that_nobody_reads_holds_up_its_backend_alone(self, new_node, new_backend):
        node = new_node()
        sent = []

        def endless(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                connection.send(b"x" * 65536)
                sent.append(65536)
        node.serve("endless", new_backend("endless", endless).url)
        node.serve("other", new_backend("other").url)
        with Client(node.proxy_port, windows=None) as client:
            client.open_window(0, 2 ** 30)
            stuck = client.request("/endless")
            client.until(lambda: stuck in client.answers and len(client.answers[stuck].body) == 65535)
            for _ in range(20):
                assert client.get("/other").status == 200
            assert sum(sent) < 100_000_000
            assert node.rss_kib() < 500_000

    def test_streams_take_turns(self, node, new_backend):
        large = new_backend("large", response(200, body=b"x" * 1_000_000))
        node.serve("turns", large.url)
        with Client(node.proxy_port, windows=None) as client:
            first, second = client.request("/turns"), client.request("/turns")
            for stream in first, second:
                client.open_window(stream, 10_000_000)
            client.until(lambda: sum(length for _, length in client.data_frames) == 65535)
            client.until(lambda: second in client.answers)  # its head: some content waits too
            client.open_window(0, 10_000_000)
            client.answer(first)
            client.answer(second)
        switches = sum(1 for one, other in zip(client.data_frames, client.data_frames[1:])
                       if one[0] != other[0])
        assert switches > 5, client.data_frames

    def test_content_waits_for_a_backend_that_doesnt_read(self, new_node, new_backend):
        node = new_node()
        gate = threading.Event()

        def read_late(_request, connection):
            assert gate.wait(60)
            while b"0\r\n\r\n" not in connection.reader.some():
                pass
            return response(200, body=b"all")
        slow = new_backend("slow", read_late, reads_body=False, receive_buffer=4096)
        node.serve("slow", slow.url)
        node.serve("other", new_backend("other").url)
        with Client(node.proxy_port) as client:
            client.round_trip()
            stream = client.request("/slow", method="POST", ends=False)
            window = client.settings[http2.INITIAL_WINDOW_SIZE]
            sent = 0
            while sent < 100_000_000:  # far beyond what kernels keep
                left = window + client.windows.get(stream, 0) - sent
                if left == 0:
                    break
                client.data(stream, b"x" * left, ends=False)
                sent += left
                for _ in range(10):
                    client.round_trip()
            assert sent < 100_000_000
            assert client.get("/other", method="POST", body=b"y" * 1000).status == 200
            gate.set()
            client.until(lambda: window + client.windows.get(stream, 0) - sent >= 1000)
            client.data(stream, b"z" * 1000)
            assert client.answer(stream).body == b"all"


class TestTimeouts:
    def test_a_client_that_doesnt_take_its_answer(self, new_node, new_backend):
        node = new_node(CLIENT_BODY_TIMEOUT=1)
        node.serve("large", new_backend("large", response(200, body=b"x" * 200000)).url)
        node.serve("other", new_backend("other").url)
        with Client(node.proxy_port, windows=None) as client:
            client.open_window(0, 10 ** 9)
            stream = client.request("/large")
            assert client.answer(stream).reset == http2.CANCEL
            assert client.get("/other").status == 200

    def test_a_client_that_doesnt_send_its_request(self, new_node, new_backend):
        node = new_node(CLIENT_BODY_TIMEOUT=1)
        node.serve("s", new_backend("s").url)
        with Client(node.proxy_port) as client:
            stream = client.request("/s", method="POST", body=b"part", ends=False)
            assert client.answer(stream).status == 408

    def test_a_client_that_doesnt_read_its_socket(self, new_node, new_backend):
        node = new_node(CLIENT_BODY_TIMEOUT=1)
        node.serve("large", new_backend("large", response(200, body=b"x" * 50_000_000)).url)
        with Client(node.proxy_port) as client:
            client.request("/large")
            eventually(lambda: "the response was not taken in time" in node.log_text())

    def test_a_client_that_doesnt_read_its_socket_and_asks_again(self, new_node, new_backend):
        node = new_node(CLIENT_BODY_TIMEOUT=2)
        node.serve("large", new_backend("large", response(200, body=b"x" * 50_000_000)).url)
        with Client(node.proxy_port) as client:
            client.request("/large")

            def is_let_go():
                try:
                    client.request("/none")
                    return False
                except OSError:
                    return True
            eventually(is_let_go, within=20, every=0.2)  # before its streams are used up

    def test_a_request_may_take_longer_than_the_rest_of_an_idle_time(self, new_node, new_backend):
        node = new_node(CLIENT_IDLE_TIMEOUT=4)
        gate = threading.Event()
        slow = new_backend("slow", lambda *_: gate.wait(60) and response(200))
        node.serve("slow", slow.url)
        with Client(node.proxy_port) as client:
            assert client.get("/none").status == 404
            time.sleep(2)
            stream = client.request("/slow")
            eventually(lambda: slow.requests)
            time.sleep(3.5)
            gate.set()
            assert client.answer(stream).status == 200

    def test_a_first_request_may_take_longer_than_its_head(self, new_node, new_backend):
        node = new_node(CLIENT_HEADER_TIMEOUT=2)
        gate = threading.Event()
        slow = new_backend("slow", lambda *_: gate.wait(60) and response(200))
        node.serve("slow", slow.url)
        with Client(node.proxy_port, greets=False) as client:
            block = client.block(client.fields(path="/slow"))
            client.send(http2.PREFACE + http2.frame(SETTINGS) +
                        http2.frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
            eventually(lambda: slow.requests)
            time.sleep(4)
            gate.set()
            assert client.answer(1).status == 200

    def test_a_head_that_doesnt_end(self, new_node):
        node = new_node(CLIENT_HEADER_TIMEOUT=1)
        with Client(node.proxy_port) as client:
            client.round_trip()
            client.send_frame(HEADERS, END_STREAM, 1, client.block(GOOD))
            assert client.end() == http2.NO_ERROR

    def test_a_greeting_that_doesnt_end(self, new_node):
        node = new_node(CLIENT_HEADER_TIMEOUT=1)
        with Client(node.proxy_port, greets=False) as client:
            client.is_polite = False
            client.send(http2.PREFACE)
            assert client.end() == http2.NO_ERROR

    def test_an_idle_connection(self, new_node):
        node = new_node(CLIENT_IDLE_TIMEOUT=1)
        with Client(node.proxy_port) as client:
            assert client.get().status == 404
            assert client.end() == http2.NO_ERROR
