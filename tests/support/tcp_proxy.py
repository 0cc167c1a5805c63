"""A wire between two programs that a test can cut."""

import selectors
import socket
import threading

from .ports import free_port


class TcpProxy:
    """Listens on `port` and passes bytes on to 127.0.0.1:`target_port`.

    cut() breaks every connection and refuses new ones; mend() takes them again. freeze() leaves the
    connections open and moves nothing, as when packets are lost on the way.
    """

    def __init__(self, target_port):
        self.target_port = target_port
        self.port = free_port()
        self._lock = threading.Lock()
        self._pairs = []
        self._listener = None
        self._is_frozen = threading.Event()
        self.mend()

    def mend(self):
        self._is_frozen.clear()
        if self._listener:
            return
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def freeze(self):
        self._is_frozen.set()

    def cut(self):
        with self._lock:
            listener, self._listener = self._listener, None
            pairs, self._pairs = self._pairs, []
        if listener:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            listener.close()
        for pair in pairs:
            for sock in pair:
                self._shut(sock)

    stop = cut

    @staticmethod
    def _shut(sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=10)
            except OSError:
                client.close()
                continue
            with self._lock:
                if self._listener is not listener:
                    client.close()
                    server.close()
                    return
                self._pairs.append((client, server))
            threading.Thread(target=self._relay, args=(client, server), daemon=True).start()

    def _relay(self, client, server):
        other = {client: server, server: client}
        with selectors.DefaultSelector() as selector:
            for sock in other:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(10)
                selector.register(sock, selectors.EVENT_READ)
            try:
                while True:
                    for key, _ in selector.select(1):
                        while self._is_frozen.wait(0) and self._listener:
                            threading.Event().wait(0.01)
                        data = key.fileobj.recv(65536)
                        if not data:
                            return
                        other[key.fileobj].sendall(data)
            except OSError:
                pass
            finally:
                for sock in other:
                    self._shut(sock)
                    sock.close()
