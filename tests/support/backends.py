"""Servers to put behind weir: one that follows a script, and a fast one for load."""

import asyncio
import json
import socket
import threading

from .ports import free_port
from .waiting import PATIENCE_S
from .wire import Closed, Malformed, Reader


def response(status=200, headers=(), body=b"", reason="Whatever"):
    """The bytes of a response with a Content-Length."""
    body = body if isinstance(body, bytes) else body.encode()
    pairs = list(headers.items() if isinstance(headers, dict) else headers)
    if status >= 200 and status not in (204, 304):
        pairs.append(("Content-Length", str(len(body))))
    lines = [f"HTTP/1.1 {status} {reason}"] + [f"{name}: {value}" for name, value in pairs]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*parts, trailers=()):
    """The bytes of a chunked body."""
    data = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return data + b"0\r\n" + b"".join(
        f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n"


class Connection:
    """One accepted connection, as a script sees it."""

    def __init__(self, sock, number):
        self.sock = sock
        self.number = number  # the how-manieth of this backend
        self.reader = Reader(sock)

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def reset(self):
        import struct
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Backend:
    """Answers each request by its script, and records it.

    The script `answer` is what to send, as bytes, or a function (request, connection) that returns
    the bytes, or None when it has sent (or closed) by itself. Set it anew at any time.

    With `reads_body=False` the function is called after the head; the rest is its own business.
    With `tls`, an ssl.SSLContext, it speaks TLS; each request then has `tls_name`, `tls_reused` and
    `tls_certificate` (the client's, as DER).
    """

    def __init__(self, name="backend", answer=None, port=None, reads_body=True,
                 receive_buffer=None, tls=None):
        self.tls = tls
        self.name = name
        self.port = port or free_port()
        self.answer = answer or self._echo
        self.before_body = None
        self.reads_body = reads_body
        self.receive_buffer = receive_buffer
        self.requests = []
        self.connections = 0
        self._open = set()
        self._listener = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.address}"

    @property
    def last(self):
        return self.requests[-1]

    @property
    def open_connections(self):
        return len(self._open)

    def start(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(512)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self):
        """Further connections are refused, open ones closed. start() brings it back."""
        if not self._listener:
            return
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accept
        except OSError:
            pass
        self._listener.close()
        self._listener = None
        self.drop_connections()

    def drop_connections(self):
        for connection in list(self._open):
            connection.close()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            connection = Connection(sock, self.connections)
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _shake_hands(self, connection):
        """False when the client doesn't want to."""
        try:
            connection.sock = self.tls.wrap_socket(connection.sock, server_side=True)
        except OSError:
            connection.close()
            return False
        connection.reader = Reader(connection.sock)
        return True

    def _serve(self, connection):
        if self.tls and not self._shake_hands(connection):
            self._open.discard(connection)
            return
        try:
            while True:
                reader = connection.reader
                if self.reads_body:
                    request = reader.request(
                        self.before_body and (lambda head: self.before_body(head, connection)))
                else:
                    request = reader.head()
                request.connection = connection.number
                if self.tls:
                    request.tls_name = getattr(connection.sock, "asked_name", None)
                    request.tls_reused = connection.sock.session_reused
                    request.tls_certificate = connection.sock.getpeercert(binary_form=True)
                self.requests.append(request)
                answer = self.answer
                if callable(answer):
                    answer = answer(request, connection)
                if answer is not None:
                    connection.send(answer)
        except (Closed, Malformed, OSError, ValueError):
            pass
        finally:
            connection.close()
            self._open.discard(connection)

    def _echo(self, request, _connection):
        body = json.dumps({
            "backend": self.name,
            "method": request.method,
            "target": request.target,
            "headers": [list(pair) for pair in request.headers],
            "body_bytes": len(request.body),
        }) + "\n"
        return response(200, [("Content-Type", "application/json"), ("X-Backend", self.name)],
                        b"" if request.method == "HEAD" else body.encode())


def make_certificate(directory):
    """Files with a certificate that nobody knows, and its key."""
    import subprocess
    certificate, key = f"{directory}/backend.crt", f"{directory}/backend.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
                    "-subj", "/CN=backend.example", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


class TlsBackend:
    """Answers everything with 200 over TLS, by a certificate that nobody knows; `names` are those
    that clients asked for. With `wants_certificate` clients must show that certificate too."""

    def __init__(self, directory, wants_certificate=False):
        import ssl
        certificate, key = self.files = make_certificate(directory)
        self.name = "tls"
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.names = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        if wants_certificate:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(certificate)
        self._context.sni_callback = lambda _sock, name, _context: self.names.append(name)
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            with self._context.wrap_socket(sock, server_side=True) as tls:
                tls.recv(65536)
                tls.sendall(response(200))
        except OSError:
            pass


class FastBackend:
    """Answers everything with its name (or `body`), on an event loop of its own thread: for load."""

    def __init__(self, name="fast", port=None, delay=0.0, host="127.0.0.1", body=None):
        """`host` "0.0.0.0": all of 127.0.0.0/8 is this backend, as many instances as one likes."""
        self.name = name
        self.body = body or name
        self.host = host
        self.port = port or free_port()
        self.delay = delay  # seconds from request to answer
        self.served = 0
        self._loop = asyncio.new_event_loop()
        self._server = None
        self._protocols = set()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE_S)

    def start(self):
        async def serve():
            self._server = await self._loop.create_server(
                lambda: _FastProtocol(self), self.host, self.port, backlog=512)
        self._run(serve())

    def stop(self):
        async def close():
            if self._server:
                self._server.close()
                self._server = None
            for protocol in list(self._protocols):
                protocol.transport.abort()
        self._run(close())


class _FastProtocol(asyncio.Protocol):
    def __init__(self, backend):
        self.backend = backend
        self.transport = None
        self.pending = b""
        self.answer = response(200, [("X-Backend", backend.name)], backend.body)

    def connection_made(self, transport):
        self.transport = transport
        self.backend._protocols.add(self)

    def connection_lost(self, _error):
        self.backend._protocols.discard(self)

    def data_received(self, data):
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head = self.pending[:end].lower()
            size = 0
            if (at := head.find(b"\r\ncontent-length:")) >= 0:
                size = int(head[at + 17:].split(b"\r\n")[0])
            if len(self.pending) < end + 4 + size:
                return
            self.pending = self.pending[end + 4 + size:]
            if self.backend.delay:
                self.backend._loop.call_later(self.backend.delay, self._answer)
            else:
                self._answer()

    def _answer(self):
        self.backend.served += 1
        if not self.transport.is_closing():
            self.transport.write(self.answer)
