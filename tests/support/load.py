"""A steady, bounded load that remembers every answer."""

import collections
import threading
import time

from .waiting import eventually
from .wire import Client, Closed, Malformed


class Load:
    """`connections` keep-alive clients that together send about `rate` requests a second.

    A request fails when it gets no whole answer. One case is forgiven, as every HTTP client does: a
    connection that was used before and is closed without one byte of an answer; the request is then
    sent once more, on a new connection. It only comes up for methods that may be repeated.
    """

    def __init__(self, port, target="/", method="GET", body=b"", connections=4, rate=200):
        self.port = port
        self.target = target
        self.method = method
        self.body = body
        self.statuses = collections.Counter()
        self.bodies = collections.Counter()
        self.errors = []
        self.unexpected = []  # (status, body) of what isn't 2xx
        self.repeated = 0  # requests sent again because a kept connection was closed
        self._pause = connections / rate
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True)
                         for _ in range(connections)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a request of the load got no answer within 60 s"

    @property
    def answered(self):
        with self._lock:
            return sum(self.statuses.values())

    def wait_for_more(self, count):
        """Waits until `count` more requests have been answered (or failed)."""
        def total():
            with self._lock:
                return sum(self.statuses.values()) + len(self.errors)
        goal = total() + count
        eventually(lambda: total() >= goal, f"{count} more answers under load")

    def assert_all_fine(self, at_least=1):
        assert not self.errors, f"{len(self.errors)} failed requests, first: {self.errors[0]}"
        assert not self.unexpected, (f"{len(self.unexpected)} of {self.answered} answers not 2xx, "
                                     f"first: {self.unexpected[0]}; {dict(self.statuses)}")
        assert self.answered >= at_least, f"only {self.answered} answers"

    def _run(self):
        client = None
        while not self._is_over.is_set():
            began = time.monotonic()
            client = self._one(client)
            self._is_over.wait(max(0, self._pause - (time.monotonic() - began)))
        if client:
            client.close()

    def _one(self, client):
        """One request; returns the connection for the next, or None."""
        is_reused = client is not None
        try:
            if not client:
                client = Client(self.port)
            received = client.reader.received_bytes
            client.send_request(self.method, self.target, body=self.body)
            answer = client.read(self.method)
        except (OSError, Closed, Malformed) as error:
            if client:
                is_untouched = client.reader.received_bytes == received
                client.close()
                is_stale = isinstance(error, (Closed, ConnectionError))
                if is_reused and is_untouched and is_stale and self.method != "POST":
                    with self._lock:
                        self.repeated += 1
                    return self._one(None)
            with self._lock:
                self.errors.append(repr(error))
            return None
        with self._lock:
            self.statuses[answer.status] += 1
            self.bodies[answer.body[:300]] += 1
            if not 200 <= answer.status < 300:
                self.unexpected.append((answer.status, answer.body[:300]))
        if (answer.headers.get("Connection") or "").lower() == "close":
            client.close()
            return None
        return client
