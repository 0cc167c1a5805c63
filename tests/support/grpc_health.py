"""A gRPC server that knows only the health service, and says what the test tells it to."""

import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.events

from .backends import make_certificate
from .ports import free_port

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


def message(status):
    """A HealthCheckResponse, framed."""
    body = b"\x08" + bytes([status]) if status else b""
    return b"\0" + len(body).to_bytes(4, "big") + body


class GrpcHealth:
    """Answers Check calls. `statuses` maps service names to a status, or to a function that gets
    the connection and the stream and answers by itself; other names get NOT_FOUND, as the protocol
    says. `asked` are the names that were asked for, `headers` the last request's.
    """

    def __init__(self, directory=None, alpn=("h2",)):
        self.port = free_port()
        self.statuses = {"": SERVING}
        self.asked = []
        self.headers = {}
        self.server_names = []
        self._context = None
        if directory:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*make_certificate(directory))
            self._context.set_alpn_protocols(list(alpn))
            self._context.sni_callback = lambda _tls, name, _context: self.server_names.append(name)
        self._listener = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        if self._listener:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._listener.close()
            self._listener = None

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self._context:
                sock = self._context.wrap_socket(sock, server_side=True)
            connection = h2.connection.H2Connection(
                h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            connection.initiate_connection()
            sock.sendall(connection.data_to_send())
            requests = {}
            while data := sock.recv(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self.headers = dict(event.headers)
                        requests[event.stream_id] = b""
                    elif isinstance(event, h2.events.DataReceived):
                        requests[event.stream_id] += event.data
                    elif isinstance(event, h2.events.StreamEnded):
                        self._answer(connection, event.stream_id, requests[event.stream_id])
                sock.sendall(connection.data_to_send())
        except (OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            sock.close()

    def _answer(self, connection, stream, request):
        assert request[:1] == b"\0" and int.from_bytes(request[1:5], "big") == len(request) - 5
        name = request[6:]  # after the prefix and the tag: its length, in one byte or two
        service = name[2 if name[:1] > b"\x7f" else 1:].decode()
        self.asked.append(service)
        status = self.statuses.get(service)
        if callable(status):
            status(connection, stream)
        elif self.headers.get(":path") != "/grpc.health.v1.Health/Check" or status is None:
            self.end(connection, stream, 5 if status is None else 12)
        else:
            self.say(connection, stream, message(status))

    @staticmethod
    def say(connection, stream, data, grpc_status=0):
        connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        connection.send_data(stream, data)
        connection.send_headers(stream, [("grpc-status", str(grpc_status))], end_stream=True)

    @staticmethod
    def end(connection, stream, grpc_status, http_status=200):
        """Without a message."""
        connection.send_headers(stream, [
            (":status", str(http_status)), ("content-type", "application/grpc"),
            *([("grpc-status", str(grpc_status))] if grpc_status is not None else [])],
            end_stream=True)
