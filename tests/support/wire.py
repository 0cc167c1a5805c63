"""HTTP/1.1 as bytes: a client that sends what it is told, and reads answers strictly.

Ordinary clients tidy requests up and hide what went over the wire; these tests need both.
"""

import re
import socket
from dataclasses import dataclass, field

from .waiting import PATIENCE_S


class Closed(Exception):
    """The peer closed (or reset) the connection where more bytes were due."""

    def __init__(self, received=b""):
        super().__init__(f"closed after {received[-200:]!r}")
        self.received = received


class Malformed(Exception):
    """What came is not HTTP/1.1."""


class Headers(list):
    """(name, value) pairs as on the wire; looked up without regard to case."""

    def all(self, name):
        return [value for key, value in self if key.lower() == name.lower()]

    def get(self, name, default=None):
        """The only value of `name`; fails when there are several."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else default

    def __contains__(self, name):
        return bool(self.all(name))


@dataclass
class Message:
    """A request or response as read."""
    start_line: str
    headers: Headers
    body: bytes = b""
    trailers: Headers = field(default_factory=Headers)
    interim: list = field(default_factory=list)  # 1xx responses that came before
    chunk_sizes: list = field(default_factory=list)

    # Of a request.
    @property
    def method(self):
        return self.start_line.split(" ")[0]

    @property
    def target(self):
        return self.start_line.split(" ")[1]

    # Of a response.
    @property
    def status(self):
        return int(self.start_line.split(" ")[1])

    def json(self):
        import json
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()


class Reader:
    """Reads messages from a socket."""

    def __init__(self, sock):
        self._sock = sock
        self._buffer = bytearray()
        self.received_bytes = 0

    def _fill(self):
        try:
            data = self._sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise Closed(bytes(self._buffer))
        self.received_bytes += len(data)
        self._buffer += data

    def line(self):
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill()
        line = bytes(self._buffer[:end + 1])
        if not line.endswith(b"\r\n"):
            raise Malformed(f"a line that ends without CR: {line!r}")
        del self._buffer[:end + 1]
        return line[:-2]

    def exactly(self, size):
        while len(self._buffer) < size:
            self._fill()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def some(self, most=65536):
        """What is there, at least one byte."""
        if not self._buffer:
            self._fill()
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    def rest(self):
        """All until the peer closes."""
        try:
            while True:
                self._fill()
        except Closed:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data

    def headers(self):
        headers = Headers()
        while line := self.line():
            name, colon, value = line.partition(b":")
            if not colon or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise Malformed(f"header line {line!r}")
            headers.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
        return headers

    def head(self):
        start_line = self.line().decode("latin-1")
        return Message(start_line, self.headers())

    def chunk(self):
        """One chunk's data; b"" is the last one, whose trailers are still to be read."""
        size_line = self.line().split(b";")[0]
        if not re.fullmatch(rb"[0-9A-Fa-f]+", size_line):
            raise Malformed(f"chunk size {size_line!r}")
        data = self.exactly(int(size_line, 16))
        if data and self.line() != b"":
            raise Malformed("no CRLF after a chunk")
        return data

    def chunked_body(self, message):
        parts = []
        while data := self.chunk():
            parts.append(data)
            message.chunk_sizes.append(len(data))
        message.trailers = self.headers()
        message.body = b"".join(parts)

    def request(self, before_body=None):
        """`before_body(message)` is called between head and body, for Expect: 100-continue."""
        message = self.head()
        if before_body:
            before_body(message)
        if message.headers.get("Transfer-Encoding"):
            self.chunked_body(message)
        elif length := message.headers.get("Content-Length"):
            message.body = self.exactly(int(length))
        return message

    def response_head(self):
        """The head of the final response; those of interim ones are in its `interim`."""
        interim = []
        while True:
            message = self.head()
            if not re.match(r"HTTP/1\.[01] [1-5]\d\d( |$)", message.start_line):
                raise Malformed(f"status line {message.start_line!r}")
            if message.status >= 200 or message.status == 101:
                message.interim = interim
                return message
            interim.append(message)

    def response_body(self, message, method="GET"):
        encoding, length = message.headers.get("Transfer-Encoding"), message.headers.get(
            "Content-Length")
        if encoding and length:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if method == "HEAD" or message.status in (101, 204, 304):
            pass
        elif encoding:
            if encoding.lower() != "chunked":
                raise Malformed(f"Transfer-Encoding {encoding!r}")
            self.chunked_body(message)
        elif length is not None:
            message.body = self.exactly(int(length))
        else:
            message.body = self.rest()
        return message

    def response(self, method="GET"):
        return self.response_body(self.response_head(), method)


class Client:
    """One connection to a server on this machine."""

    def __init__(self, port, timeout=PATIENCE_S, receive_buffer=None):
        if receive_buffer:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.sock.settimeout(timeout)
            self.sock.connect(("127.0.0.1", port))
        else:
            self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def local_port(self):
        return self.sock.getsockname()[1]

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def send_request(self, method, target, headers=(), body=b"", host="localhost"):
        lines = [f"{method} {target} HTTP/1.1"]
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        if host is not None:
            pairs.insert(0, ("Host", host))
        names = [name.lower() for name, _ in pairs]
        if (body or method in ("POST", "PUT", "PATCH")) and not {
                "content-length", "transfer-encoding"} & set(names):
            pairs.append(("Content-Length", str(len(body))))
        lines += [f"{name}: {value}" for name, value in pairs]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def read(self, method="GET"):
        return self.reader.response(method)

    def request(self, method, target, headers=(), body=b"", host="localhost"):
        self.send_request(method, target, headers, body, host)
        return self.read(method)

    def get(self, target, headers=(), host="localhost"):
        return self.request("GET", target, headers, host=host)

    def is_closed_by_peer(self):
        """Waits for the peer to close; False when it sends something instead."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with a reset instead of a FIN."""
        import struct
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def exchange(port, data, timeout=PATIENCE_S):
    """Sends bytes on a connection of their own, and returns all that comes until it is closed."""
    with Client(port, timeout) as client:
        client.send(data)
        return client.reader.rest()


def one(port, method, target, headers=(), body=b"", host="localhost"):
    """One request on a connection of its own."""
    with Client(port) as client:
        return client.request(method, target, headers, body, host)
