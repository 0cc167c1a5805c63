"""SIGTERM and SIGINT: listeners close, requests under way end, exit code 0."""

import signal
import threading
import time

import pytest

from support import wire
from support.backends import response
from support.waiting import eventually


def refuses(weir):
    try:
        weir.client(timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


class Gate:
    """A backend's script that answers when told to."""

    def __init__(self):
        self.is_reached = threading.Event()
        self.is_open = threading.Event()

    def __call__(self, _request, _connection):
        self.is_reached.set()
        assert self.is_open.wait(120)
        return response(200, body=b"at last")


class TestStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_an_idle_node_ends_at_once(self, weir, number):
        weir.signal(number)
        assert weir.wait() == 0

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_request_under_way_is_answered(self, weir, new_backend, number):
        gate = Gate()
        weir.serve("s", new_backend("gate", gate).url)
        with weir.client() as client:
            client.send_request("GET", "/s")
            assert gate.is_reached.wait(30)
            weir.signal(number)
            eventually(lambda: refuses(weir))
            assert weir.is_running
            gate.is_open.set()
            answer = client.read()
            assert (answer.status, answer.body) == (200, b"at last")
            assert answer.headers.get("Connection") == "close"
        assert weir.wait() == 0

    def test_a_body_under_way_arrives_whole(self, weir, new_backend):
        gate = Gate()

        def slow_body(request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"a" * 1000000)
            gate(request, connection)
            connection.send(b"b" * 1000000)
        weir.serve("s", new_backend("slow", slow_body).url)
        with weir.client() as client:
            client.send_request("GET", "/s")
            assert gate.is_reached.wait(30)
            weir.signal(signal.SIGTERM)
            eventually(lambda: refuses(weir))
            gate.is_open.set()
            assert client.read().body == b"a" * 1000000 + b"b" * 1000000
        assert weir.wait() == 0

    def test_an_upload_under_way_is_taken_whole(self, weir, backend):
        weir.serve("s", backend.url)
        with weir.client() as client:
            client.send(b"POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfirst")
            eventually(lambda: backend.connections)
            weir.signal(signal.SIGTERM)
            eventually(lambda: refuses(weir))
            client.send(b"later")
            assert client.read().json()["body_bytes"] == 10
        assert weir.wait() == 0

    def test_idle_connections_do_not_hold_it_up(self, weir, backend):
        weir.serve("s", backend.url)
        clients = [weir.client() for _ in range(50)]
        for client in clients[:25]:
            assert client.get("/s").status == 200
        weir.signal(signal.SIGTERM)
        assert weir.wait() == 0
        for client in clients:
            client.close()

    def test_the_stop_timeout_bounds_it(self, new_weir, new_backend):
        weir = new_weir(STOP_TIMEOUT=1)
        gate = Gate()
        weir.serve("s", new_backend("gate", gate).url)
        with weir.client() as client:
            client.send_request("GET", "/s")
            assert gate.is_reached.wait(30)
            weir.signal(signal.SIGTERM)
            assert weir.wait() == 0
            with pytest.raises(wire.Closed):
                client.read()
        gate.is_open.set()

    @pytest.mark.threads
    def test_under_load_no_request_fails(self, weir, new_fast_backend):
        """Until the listeners are closed every request is answered; afterwards none is accepted."""
        weir.serve("s", new_fast_backend(delay=0.01).url)
        answered, failures = [], []
        lock = threading.Lock()

        def run():
            client = None
            while True:
                is_fresh = client is None
                try:
                    client = client or weir.client()
                    received = client.reader.received_bytes
                    client.send_request("GET", "/s")
                    answer = client.read()
                except ConnectionRefusedError:
                    return  # the door is closed, which is how this ends
                except (OSError, wire.Closed) as error:
                    # Only an idle connection may be closed without an answer.
                    if is_fresh or client.reader.received_bytes > received:
                        with lock:
                            failures.append(repr(error))
                    client = None
                    continue
                with lock:
                    (answered if answer.status == 200 else failures).append(answer.status)
                if answer.headers.get("Connection") == "close":
                    client.close()
                    client = None

        clients = [threading.Thread(target=run, daemon=True) for _ in range(8)]
        for thread in clients:
            thread.start()
        eventually(lambda: len(answered) > 200)
        weir.signal(signal.SIGTERM)
        assert weir.wait() == 0
        for thread in clients:
            thread.join(30)
        assert failures == []

    @pytest.mark.threads
    def test_an_admin_write_under_way_is_answered_or_not_done(self, weir):
        import requests
        names, number = [], 0
        is_over = threading.Event()

        def write():
            nonlocal number
            while not is_over.is_set():
                try:
                    name = f"s{number}"
                    if weir.admin.post("/services", {"name": name, "host": "h"}).status_code == 201:
                        names.append(name)
                    number += 1
                except requests.RequestException:
                    return
        writer = threading.Thread(target=write)
        writer.start()
        eventually(lambda: len(names) > 20)
        weir.signal(signal.SIGTERM)
        assert weir.wait() == 0
        is_over.set()
        writer.join(30)
        weir.start()
        found = {e["name"] for e in weir.admin.get("/services?size=1000").json()["data"]}
        assert set(names) <= found

    def test_many_starts_and_stops_leave_nothing(self, weir):
        for _ in range(5):
            weir.restart()
            began = time.monotonic()
            assert weir.get("/").status == 404
            assert time.monotonic() - began < 30
