"""HTTP/2 as frames: a client that sends what it is told, right or wrong, and shows what came.

Field blocks are made and read by hpack; all else is done by hand, so that nothing is tidied up.
"""

import socket
import ssl
import struct
from dataclasses import dataclass, field

from hpack import Decoder, Encoder

from .waiting import PATIENCE_S

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED = 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, \
    FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, \
    ENHANCE_YOUR_CALM = range(12)
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, ENABLE_CONNECT_PROTOCOL = 3, 4, 8
LARGEST_WINDOW = 2 ** 31 - 1


@dataclass
class Frame:
    type: int
    flags: int
    stream: int
    payload: bytes
    headers: list = None

    @property
    def code(self):
        """Of RST_STREAM and GOAWAY."""
        return struct.unpack(">I", self.payload[-4:] if self.type == RST_STREAM
                             else self.payload[4:8])[0]


@dataclass
class Answer:
    """What came on one stream."""
    headers: list = None
    trailers: list = None
    interim: list = field(default_factory=list)
    body: bytes = b""
    reset: int = None  # the code, if it was
    is_whole: bool = False

    def get(self, name, default=None):
        return dict(self.headers).get(name, default)

    @property
    def status(self):
        return int(self.get(":status")) if self.headers else None

    def json(self):
        import json
        return json.loads(self.body)


class Ended(Exception):
    """The server closed the connection; `code` is its GOAWAY's, or None."""

    def __init__(self, code):
        super().__init__(f"the connection ended, GOAWAY {code}")
        self.code = code


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def tls_context(*protocols):
    """That takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    return context


class Client:
    """One connection. `windows`: by how much to open those of the connection and of each stream at
    once, as clients do; None: 65,535 each, and nothing is opened by itself."""

    def __init__(self, port, tls=None, name="localhost", windows=LARGEST_WINDOW, greets=True):
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.buffer = bytearray()
        self.answers = {}
        self.next_stream = 1
        self.goaway = None
        self.settings = {}
        self.windows = {}  # by how much they were opened: by stream, 0 the connection's
        self.sent = {}  # bytes of content: by stream, 0 all of them
        self.data_frames = []  # (stream, length) in the order they came
        self.pongs = 0
        self.is_polite = True  # answers pings and settings
        if greets:
            self.greet(windows)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def greet(self, windows=LARGEST_WINDOW):
        self.send(PREFACE)
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, windows) if windows else b""
        self.send_frame(SETTINGS, payload=settings)
        if windows:
            self.open_window(0, windows - 65535)

    # Sending.

    def send(self, data):
        self.sock.sendall(data)

    def send_frame(self, kind, flags=0, stream=0, payload=b""):
        self.send(frame(kind, flags, stream, payload))

    def fields(self, method="GET", path="/", headers=(), authority="localhost", scheme="http"):
        return [(":method", method), (":scheme", scheme), (":authority", authority),
                (":path", path), *headers]

    def block(self, fields):
        return self.encoder.encode(fields, huffman=False)

    def request(self, path="/", method="GET", headers=(), body=None, fields=None, ends=True):
        """Sends a request and returns its stream's number. `fields` are all of them, as they are."""
        stream = self.next_stream
        self.next_stream += 2
        block = self.block(fields or self.fields(method, path, headers))
        is_last = ends and not body
        self.send_frame(HEADERS, END_HEADERS | (END_STREAM if is_last else 0), stream, block)
        if body:
            self.data(stream, body, ends)
        return stream

    def data(self, stream, body=b"", ends=True):
        """Within 16-KiB frames; takes no notice of windows."""
        parts = [body[at:at + 16384] for at in range(0, len(body), 16384)] or [b""]
        for number, part in enumerate(parts):
            is_last = ends and number == len(parts) - 1
            self.send_frame(DATA, END_STREAM if is_last else 0, stream, part)
            for which in (0, stream):
                self.sent[which] = self.sent.get(which, 0) + len(part)

    def room(self, stream):
        """How much content the server's windows let us send now."""
        initial = {0: 65535, stream: self.settings.get(INITIAL_WINDOW_SIZE, 65535)}
        return max(0, min(initial[which] + self.windows.get(which, 0) - self.sent.get(which, 0)
                          for which in (0, stream)))

    def open_window(self, stream, by):
        self.send_frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", by))

    def reset(self, stream, code=CANCEL):
        self.send_frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    # Receiving.

    def _exactly(self, size):
        while len(self.buffer) < size:
            try:
                data = self.sock.recv(65536)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                raise Ended(self.goaway)
            self.buffer += data
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def read(self):
        """One frame, whose news is in `answers` and so on; what wants an answer gets it."""
        head = self._exactly(9)
        got = Frame(head[3], head[4], struct.unpack(">I", head[5:])[0],
                    self._exactly(int.from_bytes(head[:3], "big")))
        answer = self.answers.setdefault(got.stream, Answer()) if got.stream else None
        if got.type == HEADERS:
            assert got.flags & END_HEADERS, "weir sends no CONTINUATION in these tests"
            got.headers = self.decoder.decode(got.payload)
            if answer.headers:
                answer.trailers = got.headers
            elif dict(got.headers)[":status"].startswith("1"):
                answer.interim.append(got.headers)
            else:
                answer.headers = got.headers
        elif got.type == DATA:
            answer.body += got.payload
            self.data_frames.append((got.stream, len(got.payload)))
        elif got.type == RST_STREAM:
            answer.reset = got.code
        elif got.type == GOAWAY:
            self.goaway = got.code
        elif got.type == SETTINGS and not got.flags & ACK:
            self.settings.update(struct.iter_unpack(">HI", got.payload))
            if self.is_polite:
                self.send_frame(SETTINGS, ACK)
        elif got.type == PING and not got.flags & ACK:
            if self.is_polite:
                self.send_frame(PING, ACK, 0, got.payload)
        elif got.type == PING:
            self.pongs += 1
        elif got.type == WINDOW_UPDATE:
            by = struct.unpack(">I", got.payload)[0]
            self.windows[got.stream] = self.windows.get(got.stream, 0) + by
        if got.type in (HEADERS, DATA) and got.flags & END_STREAM:
            answer.is_whole = True
        return got

    def until(self, condition):
        while not (result := condition()):
            self.read()
        return result

    def answer(self, stream):
        """Reads until the stream's answer is whole, or reset."""
        def is_over():
            answer = self.answers.get(stream)
            return answer and (answer.is_whole or answer.reset is not None)
        self.until(is_over)
        return self.answers[stream]

    def get(self, path="/", **options):
        return self.answer(self.request(path, **options))

    def round_trip(self):
        """All that was sent before has been looked at by now."""
        pongs = self.pongs
        self.send_frame(PING, 0, 0, b"12345678")
        self.until(lambda: self.pongs > pongs)

    def end(self):
        """Reads to the connection's end; returns the code of the GOAWAY, or None."""
        try:
            while True:
                self.read()
        except Ended as ended:
            return ended.code
