"""Targets that are away, slow or many; and bodies that are larger than memory should be."""

import random
import socket
import threading
import time

import pytest

from support import wire
from support.backends import response
from support.load import Load
from support.ports import free_port
from support.waiting import eventually


class TestBalancing:
    def test_requests_are_spread_evenly(self, weir, new_backend):
        weir.pool("u", [new_backend(name) for name in ("a", "b", "c", "d")])
        with weir.client() as client:
            names = [client.get("/u").headers.get("X-Backend") for _ in range(400)]
        assert {name: names.count(name) for name in "abcd"} == dict.fromkeys("abcd", 100)

    def test_weights_are_obeyed(self, weir, new_backend):
        weir.pool("u", [])
        for name, weight in (("light", 1), ("heavy", 9), ("idle", 0)):
            weir.admin.create("/upstreams/u/targets", {
                "target": new_backend(name).address, "weight": weight})
        with weir.client() as client:
            names = [client.get("/u").headers.get("X-Backend") for _ in range(500)]
        assert "idle" not in names
        assert 40 <= names.count("light") <= 60

    def test_a_target_may_be_a_host_name(self, weir, backend):
        weir.pool("u", [])
        weir.admin.create("/upstreams/u/targets", {"target": f"localhost:{backend.port}"})
        weir.wait_until_answers("/u")


class TestAwayTargets:
    def test_a_refused_connection_is_tried_on_another_target(self, weir, new_backend):
        up, down = new_backend("up"), new_backend("down")
        weir.pool("u", [up, down])
        down.stop()
        with weir.client() as client:
            for number in range(20):
                # A POST too: it was never sent.
                answer = client.request("POST" if number % 2 else "GET", "/u", body=b"x" * number)
                assert answer.headers.get("X-Backend") == "up"
        assert sum(len(request.body) for request in up.requests) == sum(range(20))

    def test_all_refused_is_502(self, weir, backend):
        weir.pool("u", [backend])
        backend.stop()
        answer = weir.get("/u")
        assert answer.status == 502
        assert "An invalid response was received from the upstream server" in answer.text
        backend.start()
        assert weir.get("/u").status == 200

    def test_a_get_is_repeated_when_a_kept_connection_turns_out_closed(self, weir, new_backend):
        backend = new_backend()
        weir.serve("s", backend.url)
        with weir.client() as client:
            for _ in range(20):
                assert client.get("/s").status == 200
                backend.stop()
                backend.start()

    @pytest.mark.threads
    def test_a_target_that_dies_and_comes_back_under_load_fails_no_get(self, weir,
                                                                       new_fast_backend):
        """Requests under way on its kept connections are repeated on the others."""
        backends = [new_fast_backend(name, delay=0.005) for name in ("one", "two", "three")]
        weir.pool("u", backends)
        with Load(weir.proxy_port, "/u", connections=8, rate=800) as load:
            for round in range(6):
                load.wait_for_more(100)
                backends[round % 3].stop()
                load.wait_for_more(100)
                backends[round % 3].start()
        load.assert_all_fine(at_least=1000)

    def test_a_post_that_may_have_been_carried_out_is_not_repeated(self, weir, new_backend):
        def take_and_close(_request, connection):
            connection.close()
        ones = [new_backend("one", take_and_close), new_backend("two", take_and_close)]
        weir.pool("u", ones)
        assert weir.request("POST", "/u", body=b"pay").status == 502
        assert sum(len(backend.requests) for backend in ones) == 1


class TestTimeouts:
    def test_a_target_that_does_not_answer_in_time_is_504(self, weir, new_backend):
        is_over = threading.Event()
        backend = new_backend("slow", lambda *_: is_over.wait(60) and None)
        weir.serve("s", backend.url, read_timeout=200, retries=0)
        try:
            with weir.client() as client:
                answer = client.get("/s")
                assert answer.status == 504
                assert "The upstream server is timing out" in answer.text
                backend.answer = response(200, body=b"quick")
                assert client.get("/s").body == b"quick"
        finally:
            is_over.set()

    def test_an_answer_that_stalls_is_ended(self, weir, backend):
        is_over = threading.Event()

        def stall(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
            is_over.wait(60)
        backend.answer = stall
        weir.serve("s", backend.url, read_timeout=200)
        try:
            with weir.client() as client, pytest.raises(wire.Closed):
                client.get("/s")
        finally:
            is_over.set()

    def test_an_answer_that_trickles_is_not_ended(self, weir, backend):
        def trickle(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            for _ in range(10):
                time.sleep(0.1)  # the trickle itself, not a wait for something
                connection.send(b".")
        backend.answer = trickle
        weir.serve("s", backend.url, read_timeout=500)
        assert weir.get("/s").body == b"." * 10

    def test_a_target_that_cannot_be_connected_to_in_time_is_504(self, weir):
        """A full backlog: the kernel drops the handshake."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", free_port()))
            full.listen(0)
            port = full.getsockname()[1]
            fillers = [socket.socket() for _ in range(8)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            weir.serve("s", f"http://127.0.0.1:{port}", connect_timeout=200, retries=0)
            assert weir.get("/s").status == 504
            for filler in fillers:
                filler.close()

    def test_a_target_that_leaves_before_it_is_reached_is_not_waited_for(self, weir, backend):
        with socket.socket() as full:
            full.bind(("127.0.0.1", free_port()))
            full.listen(0)
            address = "127.0.0.1:%d" % full.getsockname()[1]
            fillers = [socket.socket() for _ in range(8)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            weir.pool("u", [backend])
            weir.admin.create("/upstreams/u/targets", {"target": address, "weight": 1000})
            clients = [weir.client() for _ in range(20)]
            for client in clients:
                client.send_request("POST", "/u", body=b"x")
            eventually(lambda: weir.admin.get("/upstreams/u/targets/explain").json()["data"] and
                       self.in_flight(weir, address) >= 15)
            weir.admin.remove(f"/upstreams/u/targets/{address}")
            for client in clients:
                assert client.read().status == 200
                client.close()
            for filler in fillers:
                filler.close()

    @staticmethod
    def in_flight(weir, address):
        rows = weir.admin.get("/upstreams/u/targets/explain").json()["data"]
        return next(row for row in rows if row["target"] == address)["in_flight"]

    def test_a_client_that_does_not_finish_its_head_is_let_go(self, new_weir):
        weir = new_weir(CLIENT_HEADER_TIMEOUT=1)
        with weir.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost:")
            received = client.reader.rest()
        assert received == b"" or received.startswith(b"HTTP/1.1 408 ")

    def test_a_client_that_trickles_its_head_is_let_go(self, new_weir):
        weir = new_weir(CLIENT_HEADER_TIMEOUT=1)
        with weir.client() as client:
            deadline = time.monotonic() + 30
            try:
                client.send(b"GET / HTTP/1.1\r\n")
                while time.monotonic() < deadline:
                    client.send(b"X: y\r\n")
                    time.sleep(0.05)  # the trickle itself
            except ConnectionError:
                return
        pytest.fail("after 30 s it was still listened to")

    def test_a_client_that_sends_nothing_more_is_let_go(self, new_weir, backend):
        weir = new_weir(CLIENT_IDLE_TIMEOUT=1)
        weir.serve("s", backend.url)
        with weir.client() as client:
            assert client.get("/s").status == 200
            assert client.is_closed_by_peer()

    def test_a_client_that_stalls_in_its_body_is_let_go(self, new_weir, backend):
        weir = new_weir(CLIENT_BODY_TIMEOUT=1)
        weir.serve("s", backend.url)
        with weir.client() as client:
            client.send(b"POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\npart")
            received = client.reader.rest()
        assert received == b"" or received.startswith(b"HTTP/1.1 408 ")
        assert weir.get("/s").status == 200


class TestMovedBodies:
    """Of a body whose length is known, what doesn't come with the head goes on inside the kernel."""
    MIB = 1024 * 1024

    @pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 131072, 200_000, 5 * MIB + 7])
    def test_each_byte_arrives_and_the_connections_go_on(self, weir, new_backend, size):
        bodies = [random.Random(seed).randbytes(size) for seed in range(3)]
        backend = new_backend(answer=lambda request, _: response(
            200, body=bodies[int(request.target[-1])]))
        weir.serve("s", backend.url)
        with weir.client() as client:
            for turn in (0, 1, 2, 0):
                assert client.get(f"/s/{turn}").body == bodies[turn]
            client.send_request("GET", "/s/1")
            client.send_request("GET", "/s/2")  # right behind it
            assert [client.read().body, client.read().body] == bodies[1:]
        assert backend.connections == 1
        assert eventually(lambda: weir.access_log())[0].split('" ')[1].split()[:2] == ["200", str(size)]

    @pytest.mark.threads
    def test_clients_that_read_now_and_then_get_their_own_bodies_whole(self, weir, new_backend):
        size, count = 10 * self.MIB, 6
        bodies = [random.Random(seed).randbytes(size) for seed in range(count)]
        weir.serve("s", new_backend(answer=lambda request, _: response(
            200, body=bodies[int(request.target[-1])])).url)
        got = [None] * count

        def read_slowly(number):
            with weir.client(receive_buffer=8192 if number % 2 else None) as client:
                client.send_request("GET", f"/s/{number}")
                head = client.reader.response_head()
                assert head.status == 200
                received = bytearray()
                while len(received) < size:
                    received += client.reader.some(min(size - len(received), 300_000))
                got[number] = received

        readers = [threading.Thread(target=read_slowly, args=(i,)) for i in range(count)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(120)
        assert [body == own for body, own in zip(got, bodies)] == [True] * count

    def test_what_comes_behind_a_body_answers_no_other_request(self, weir, new_backend):
        body, begun = random.Random(1).randbytes(100_000), threading.Event()

        def answer(request, connection):
            if request.target == "/small":
                return response(200, body=b"good")
            whole = response(200, body=body) + response(200, body=b"evil")
            connection.send(whole[:1000])
            begun.wait(60)
            return whole[1000:]  # in one piece, for the pipe
        backend = new_backend(answer=answer)
        weir.serve("s", backend.url)
        with weir.client() as client:
            client.send_request("GET", "/s/large")
            client.send_request("GET", "/s/small")  # right behind it
            assert client.reader.response_head().status == 200
            begun.set()
            received = b""
            while len(received) < len(body):
                received += client.reader.some(len(body) - len(received))
            assert received == body
            assert client.read().body == b"good"
        assert backend.connections == 2

    def test_a_target_that_dies_in_the_middle_is_no_end(self, weir, new_backend):
        def part(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * self.MIB))
            connection.send(bytes(3 * self.MIB))
            connection.close()
        weir.serve("s", new_backend("part", part).url, retries=0)
        with weir.client() as client, pytest.raises(wire.Closed):
            client.get("/s")
        assert eventually(lambda: weir.log("upstream failed"))[0]["reason"] == "closed within its response"

    def test_a_client_that_leaves_in_the_middle_costs_nobody_else(self, weir, new_backend):
        body = bytes(20 * self.MIB)
        backend = new_backend(answer=response(200, body=body))
        weir.serve("s", backend.url)
        for leave in ("close", "reset"):
            client = weir.client(receive_buffer=65536)
            client.send_request("GET", "/s")
            client.reader.exactly(self.MIB)
            getattr(client, leave)()
        assert len(weir.get("/s").body) == len(body)
        eventually(lambda: backend.open_connections == 1)


class TestLargeBodies:
    MIB = 1024 * 1024
    SIZE = 200 * MIB
    # What buffers may take, far from what the body has. Sanitizers keep freed memory for a while.
    ROOM_KIB = 16 * 1024
    SANITIZED_ROOM_KIB = 100 * 1024

    @pytest.fixture
    def room_kib(self, is_sanitized):
        return self.SANITIZED_ROOM_KIB if is_sanitized else self.ROOM_KIB

    @staticmethod
    def send_zeros(send, size):
        block = bytes(1024 * 1024)
        for _ in range(size // len(block)):
            send(block)

    def test_a_large_upload_streams_through(self, weir, new_backend, room_kib):
        received = []

        def count(request, connection):
            left = size = int(request.headers.get("Content-Length"))
            while left:
                left -= len(connection.reader.some(min(left, self.MIB)))
            received.append(size)
            return response(200, body=b"thanks")
        weir.serve("s", new_backend("sink", count, reads_body=False).url)
        before = weir.rss_kib()
        with weir.client() as client:
            client.send(b"PUT /s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % self.SIZE)
            self.send_zeros(client.send, self.SIZE)
            assert client.read().body == b"thanks"
        assert received == [self.SIZE]
        assert weir.rss_kib() - before < room_kib

    @pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
    def test_a_large_download_streams_through(self, weir, new_backend, room_kib, is_chunked):
        def large(_request, connection):
            if is_chunked:
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                self.send_zeros(lambda block: connection.send(
                    b"%x\r\n" % len(block) + block + b"\r\n"), self.SIZE)
                connection.send(b"0\r\n\r\n")
            else:
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.SIZE)
                self.send_zeros(connection.send, self.SIZE)
        weir.serve("s", new_backend("source", large).url)
        before = weir.rss_kib()
        with weir.client() as client:
            client.send_request("GET", "/s")
            head = client.reader.response_head()
            assert head.status == 200
            received = 0
            if is_chunked:
                while chunk := client.reader.chunk():
                    received += len(chunk)
            else:
                while received < self.SIZE:
                    received += len(client.reader.some(self.MIB))
        assert received == self.SIZE
        assert weir.rss_kib() - before < room_kib

    def test_a_slow_reader_slows_its_target_down_instead_of_filling_memory(self, weir, new_backend,
                                                                           room_kib):
        sent = [0]

        def large(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.SIZE)
            block = bytes(64 * 1024)
            for _ in range(self.SIZE // len(block)):
                connection.send(block)
                sent[0] += len(block)
        weir.serve("s", new_backend("source", large).url)
        before = weir.rss_kib()
        with weir.client(receive_buffer=65536) as client:
            client.send_request("GET", "/s")
            assert client.reader.response_head().status == 200

            def has_stopped():
                amount = sent[0]
                time.sleep(0.3)  # long enough to see whether it still moves
                return amount > 0 and sent[0] == amount
            eventually(has_stopped, "the target being held up")
            assert sent[0] < 50 * self.MIB
            assert weir.rss_kib() - before < room_kib
            received = len(client.reader.exactly(10 * self.MIB))
            assert received == 10 * self.MIB  # it goes on where it is read

    def test_a_slow_target_slows_its_client_down_instead_of_filling_memory(self, weir, new_backend,
                                                                           room_kib):
        goes_on = threading.Event()

        def slow(request, connection):
            assert goes_on.wait(60)
            connection.reader.exactly(int(request.headers.get("Content-Length")))
            return response(200, body=b"thanks")
        weir.serve("s", new_backend("slow", slow, reads_body=False, receive_buffer=65536).url)
        before = weir.rss_kib()
        size = 50 * self.MIB
        sent = [0]
        with weir.client() as client:
            client.send(b"PUT /s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)

            def upload():
                for _ in range(size // 65536):
                    client.send(bytes(65536))
                    sent[0] += 65536
            sender = threading.Thread(target=upload, daemon=True)
            sender.start()

            def has_stopped():
                amount = sent[0]
                time.sleep(0.3)  # long enough to see whether it still moves
                return amount > 0 and sent[0] == amount
            eventually(has_stopped, "the client being held up")
            assert sent[0] < 30 * self.MIB
            assert weir.rss_kib() - before < room_kib
            goes_on.set()
            assert client.read().body == b"thanks"
            sender.join(60)

    def test_a_client_that_leaves_in_the_middle_frees_the_target(self, weir, new_backend):
        has_failed = threading.Event()

        def endless(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                while True:
                    connection.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            except OSError:
                has_failed.set()
        weir.serve("s", new_backend("endless", endless).url)
        with weir.client() as client:
            client.send_request("GET", "/s")
            client.reader.response_head()
            client.reset()
        assert has_failed.wait(30)

    @pytest.mark.threads
    def test_many_bodies_at_once_do_not_mix(self, weir, backend):
        weir.serve("s", backend.url)
        backend.answer = lambda request, _: response(200, body=request.body)
        wrong = []

        def run(letter):
            with weir.client() as client:
                for size in (1, 100, 70000, 3, 300000):
                    body = letter * size
                    if client.request("POST", "/s", body=body).body != body:
                        wrong.append((letter, size))
        threads = [threading.Thread(target=run, args=(bytes([65 + n]),)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert wrong == []


class TestSlowClients:
    """What moves a little now and then is let go like what has stopped."""

    def test_one_that_trickles_its_body_is_let_go_and_a_steady_one_is_not(self, new_weir, backend):
        weir = new_weir(CLIENT_BODY_TIMEOUT=1, CLIENT_MIN_RATE=1000)
        weir.serve("s", backend.url)
        is_steady_done = threading.Event()

        def steady():
            with weir.client() as client:
                client.send(b"POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 6000\r\n\r\n")
                for _ in range(30):
                    client.send(b"x" * 200)
                    time.sleep(0.05)  # 4,000 bytes a second
                assert client.read().status == 200
                is_steady_done.set()
        threading.Thread(target=steady, daemon=True).start()
        with weir.client() as client:
            client.send(b"POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 6000\r\n\r\n")
            received = None
            client.sock.setblocking(False)
            for _ in range(1000):
                try:
                    client.sock.send(b"x")
                    received = client.sock.recv(1000)
                    break
                except BlockingIOError:
                    time.sleep(0.03)  # 33 bytes a second
            assert b" 408 " in received
        assert is_steady_done.wait(30)

    def test_one_that_hardly_reads_is_let_go(self, new_weir, new_backend):
        weir = new_weir(CLIENT_BODY_TIMEOUT=1, CLIENT_MIN_RATE=100000)
        weir.serve("s", new_backend("large", response(200, body=b"y" * 20_000_000)).url)
        with weir.client(receive_buffer=4096) as client:
            client.send_request("GET", "/s")
            eventually(lambda: weir.admin.get("/status").json()["server"][
                "connections_active"] == 1)
            read = 0
            try:
                while data := client.sock.recv(512):
                    read += len(data)
                    time.sleep(0.05)  # 10,000 bytes a second
            except ConnectionError:
                pass
            assert read < 20_000_000
        line = eventually(lambda: weir.log("client let go"))[0]
        assert line["reason"] == "the response was not taken in time" and line["route"] == "s"
        assert 'code="408",reason="the response was not taken in time"} 1' in \
            weir.admin.get("/metrics").text


class TestRequestTimeout:
    def test_a_target_that_trickles_too_long_is_504_or_cut(self, new_weir, new_backend):
        def trickle(request, connection):
            if request.target == "/body":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"z" * 20000)
            try:
                while True:
                    connection.send(b"z" if request.target == "/body"
                                    else b"HTTP/1.1 103 Early Hints\r\n\r\n")
                    time.sleep(0.1)
            except OSError:
                pass
        weir = new_weir(REQUEST_TIMEOUT=1)
        weir.serve("s", new_backend("slow", trickle).url)
        answer = weir.get("/s/head")
        assert answer.status == 504
        with weir.client() as client:
            client.send_request("GET", "/s/body")
            assert client.reader.response_head().status == 200
            assert len(client.reader.rest()) < 100000

    def test_a_client_that_is_still_sending_gets_408(self, new_weir, backend):
        weir = new_weir(REQUEST_TIMEOUT=1)
        weir.serve("s", backend.url)
        with weir.client() as client:
            client.send(b"POST /s HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\npart")
            assert client.read().status == 408

    def test_quick_ones_on_one_connection_are_not_counted_together(self, new_weir, backend):
        weir = new_weir(REQUEST_TIMEOUT=1)
        weir.serve("s", backend.url)
        with weir.client() as client:
            deadline = time.monotonic() + 2.5
            while time.monotonic() < deadline:
                assert client.get("/s").status == 200
                time.sleep(0.02)
