"""Servers and clients that exchange bytes, not requests: for routes with protocols tcp and tls."""

import socket
import ssl
import struct
import threading

from .ports import free_port
from .waiting import PATIENCE_S


class StreamConnection:
    """One end of a connection; what is awaited comes within PATIENCE_S or fails."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(PATIENCE_S)
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def line(self):
        """Up to the next newline, without it; None at the end."""
        while b"\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def exactly(self, size):
        data = bytearray(self._buffer)
        while len(data) < size:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(f"{len(data)} bytes of {size}")
            data += more
        self._buffer = bytes(data[size:])
        return bytes(data[:size])

    def rest(self):
        """All until the peer ends its side."""
        data, self._buffer = self._buffer, b""
        while more := self.sock.recv(65536):
            data += more
        return data

    def ask(self, line):
        self.send(line + b"\n")
        return self.line()

    def end(self):
        """FIN; the other direction stays open."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    def is_reset(self):
        """Whether what comes next is a reset."""
        try:
            return self.sock.recv(1) is None
        except ConnectionError:
            return True


def dial(port, name=None, context=None, host="127.0.0.1"):
    """A client of 127.0.0.1:`port`; with a context it speaks TLS and asks for `name`."""
    sock = socket.create_connection((host, port), PATIENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context:
        try:
            sock = context.wrap_socket(sock, server_hostname=name)
        except BaseException:
            sock.close()
            raise
    return StreamConnection(sock)


class StreamServer:
    """Greets with its name, then sends each line back; or runs `script(connection)`."""

    def __init__(self, name="one", script=None, context=None, port=None):
        self.name = name
        self.port = port or free_port()
        self.script = script or self._echo
        self.context = context  # of TLS
        self.connections = []
        self._listener = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        """Refuses new connections; those there are stay."""
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
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            connection = StreamConnection(sock)
            self.connections.append(connection)
            self.script(connection)
        except (OSError, EOFError, ssl.SSLError):
            pass
        finally:
            sock.close()

    def _echo(self, connection):
        connection.send(self.name.encode() + b"\n")
        while (line := connection.line()) is not None:
            connection.send(line + b"\n")
