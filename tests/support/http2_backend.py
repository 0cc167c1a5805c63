"""A backend of HTTP/2 whose every frame a test can choose, by the h2 library."""

import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .ports import free_port

OK = [(":status", "200"), ("content-type", "application/grpc")]
FINE = [("grpc-status", "0")]


class Connection:
    """One of a client's. `taken`: the streams of it that the backend got."""

    def __init__(self, backend, sock):
        self.backend = backend
        self.sock = sock
        self.taken = []
        self.ended = set()  # streams whose requests have ended
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8",
                                      validate_outbound_headers=False,
                                      normalize_outbound_headers=False))
        self.lock = threading.RLock()
        self.has_ended = False

    def flush(self):
        with self.lock:
            data = self.h2.data_to_send()
            if data:
                self.sock.sendall(data)

    def send(self, data):
        """Bytes as they are."""
        with self.lock:
            self.flush()
            self.sock.sendall(data)

    def send_together(self, data):
        """Bytes, and behind them what the library has to send."""
        with self.lock:
            self.sock.sendall(data + self.h2.data_to_send())

    def respond(self, stream, body=b"", headers=None, trailers=FINE):
        with self.lock:
            self.h2.send_headers(stream, headers or OK)
            if body:
                self.h2.send_data(stream, body)
            if trailers:
                self.h2.send_headers(stream, trailers, end_stream=True)
            else:
                self.h2.end_stream(stream)
            self.flush()

    def end_with(self, stream, status, headers=()):
        """All in the head."""
        with self.lock:
            self.h2.send_headers(stream, OK + [("grpc-status", str(status)), *headers],
                                 end_stream=True)
            self.flush()

    def reset(self, stream, code):
        with self.lock:
            self.h2.reset_stream(stream, code)
            self.flush()

    def goaway(self, last, code=0):
        self.send(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + code.to_bytes(4, "big"))

    def is_over(self):
        """The client has closed it."""
        return self.has_ended

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class Http2Backend:
    """`answer(connection, stream, headers)` runs when a request's head has come; `resets` are the
    codes of streams that the client has reset, `connections` all there ever were."""

    def __init__(self, certificate=None, alpn=("h2",), settings=None):
        self.port = free_port()
        self.connections = []
        self.requests = []
        self.bodies = {}
        self.resets = []
        self.settings = settings or {}
        self.answer = lambda connection, stream, headers: connection.respond(stream)
        self.has_tls = certificate is not None
        self._context = None
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.path, certificate.key_path)
            self._context.set_alpn_protocols(list(alpn))
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{'grpcs' if self.has_tls else 'grpc'}://{self.address}"

    def stop(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            connection = Connection(self, sock)
            self.connections.append(connection)
            if self.settings:
                connection.h2.local_settings = h2.settings.Settings(
                    client=False, initial_values=self.settings)
            connection.h2.initiate_connection()
            connection.flush()
            while data := sock.recv(65536):
                with connection.lock:
                    for event in connection.h2.receive_data(data):
                        self._take(connection, event)
                    connection.flush()
            connection.has_ended = True
        except (OSError, h2.exceptions.ProtocolError):
            pass

    def _take(self, connection, event):
        if isinstance(event, h2.events.RequestReceived):
            connection.taken.append(event.stream_id)
            self.requests.append(event.headers)
            self.answer(connection, event.stream_id, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
            if event.flow_controlled_length:
                connection.h2.acknowledge_received_data(event.flow_controlled_length,
                                                        event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            connection.ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.resets.append(event.error_code)
