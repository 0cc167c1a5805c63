"""Good requests among thousands of slow clients, and what a second worker costs."""

import socket
import subprocess
import threading
from dataclasses import dataclass

from gateways import BUILD
from machine import BenchError

RATE = 1000  # good requests/s
GIVE_UP_MS = 2000
PAUSE_S = 2  # between two bytes of a slow client


@dataclass(frozen=True)
class Crowd:
    """Good requests to one gateway, without slow clients and beside them."""

    slow: int
    quiet_p50_ms: float
    quiet_p99_ms: float
    p50_ms: float
    p99_ms: float
    failures: int  # beside slow clients: broken, given up, or no 200


class SlowClients:
    """Clients that send the head of a request byte by byte and never end it."""

    def __init__(self, port, count):
        self._sockets = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._dribble)
        try:
            for _ in range(count):
                self._sockets.append(socket.create_connection(("127.0.0.1", port), timeout=10))
                self._sockets[-1].sendall(b"GET /hello HTTP/1.1\r\nHost: bench\r\nX-Slow: ")
        except OSError as error:
            self._close()
            raise BenchError(f"{len(self._sockets)} of {count} slow clients: {error}") from None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        self._close()

    def _close(self):
        for each in self._sockets:
            each.close()

    def _dribble(self):
        """A hundredth of them at a time, so that it is no burst."""
        step = max(1, len(self._sockets) // 100)
        while True:
            for first in range(0, len(self._sockets), step):
                if self._is_over.wait(PAUSE_S / 100):
                    return
                for each in self._sockets[first:first + step]:
                    try:
                        each.send(b"x")
                    except OSError:
                        pass  # the gateway has let it go


def good_requests(port, seconds, core):
    """Sends them at a steady rate; returns how long each took in ms, and how many failed."""
    command = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), BUILD / "openloop",
               str(port), str(RATE), str(seconds), str(GIVE_UP_MS)]
    try:
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                                timeout=seconds + 30).stdout
    except subprocess.TimeoutExpired:
        raise BenchError("openloop did not end") from None
    answers = [line.split() for line in output.splitlines()[1:]]
    if not answers:
        raise BenchError("openloop reported nothing")
    return (sorted(int(took) / 1e3 for _, took, _, _ in answers),
            sum(status != "200" for _, _, status, _ in answers))


def measure_crowd(gateway, count, seconds, load_core):
    good_requests(gateway.port, 1, load_core)  # warms pools and caches
    quiet, _ = good_requests(gateway.port, seconds, load_core)
    with SlowClients(gateway.port, count):
        crowded, failures = good_requests(gateway.port, seconds, load_core)
    return Crowd(count, at(quiet, 0.50), at(quiet, 0.99), at(crowded, 0.50), at(crowded, 0.99),
                 failures)


def at(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
