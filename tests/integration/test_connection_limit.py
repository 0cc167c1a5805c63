"""More clients than may be connected: some wait, none is lost, and descriptors never run out."""

import threading
import time

from support import http2, wire
from support.waiting import eventually

LINGER_S = 5  # how long a client whose connection ends may go on sending


def active(weir):
    return weir.admin.get("/status").json()["server"]["connections_active"]


def hold(weir, count):
    """Clients in the middle of a request."""
    clients = [weir.client() for _ in range(count)]
    for client in clients:
        client.send(b"GET /s HTTP/1.1\r\nHost: h\r\n")
    return clients


class TestLimit:
    def test_the_next_client_waits_until_one_leaves(self, new_weir, backend):
        weir = new_weir(WORKERS=1, MAX_CONNECTIONS=5)
        weir.serve("s", backend.url)
        held = hold(weir, 5)
        eventually(lambda: active(weir) == 5)
        waiting = weir.client()
        waiting.send_request("GET", "/s")
        eventually(lambda: weir.log("connections are at their limit: new clients wait"))
        assert active(weir) == 5
        assert backend.requests == []
        held.pop().close()
        assert waiting.read().status == 200
        for client in held:
            client.send(b"\r\n")
            assert client.read().status == 200
            client.close()
        waiting.close()
        eventually(lambda: weir.log("connections are below their limit again"))
        assert weir.get("/s").status == 200

    def test_idle_connections_make_room(self, new_weir, backend):
        weir = new_weir(WORKERS=1, MAX_CONNECTIONS=5)
        weir.serve("s", backend.url)
        idle = [weir.client() for _ in range(5)]
        for client in idle:
            assert client.get("/s").status == 200
        for _ in range(20):
            assert weir.get("/s").status == 200
        assert any(client.is_closed_by_peer() for client in idle)

    def test_idle_connections_of_http_2_make_room_at_once(self, new_weir, backend):
        """Also when their clients don't close what weir has taken leave of."""
        weir = new_weir(start=False, WORKERS=1, MAX_CONNECTIONS=5)
        weir.settings["WEIR_PROXY_LISTEN"] += " http2"
        weir.start()
        weir.serve("s", backend.url)
        idle = [http2.Client(weir.proxy_port) for _ in range(5)]
        for client in idle:
            assert client.get("/s").status == 200
            client.round_trip()  # nothing of its is still to be read
        began = time.monotonic()
        assert weir.get("/s").status == 200
        assert time.monotonic() - began < LINGER_S / 2
        assert idle[0].end() == http2.NO_ERROR
        for client in idle:
            client.sock.close()

    def test_who_waits_when_weir_stops_is_served(self, new_weir, backend):
        weir = new_weir(WORKERS=1, MAX_CONNECTIONS=3, STOP_TIMEOUT=20)
        weir.serve("s", backend.url)
        held = hold(weir, 3)
        eventually(lambda: active(weir) == 3)
        waiting = [weir.client() for _ in range(3)]
        for client in waiting:
            client.send_request("GET", "/s")
        eventually(lambda: weir.log("connections are at their limit: new clients wait"))
        weir.signal(15)
        for client in waiting:
            assert client.read().status == 200
        for client in held:
            client.send(b"\r\n")
            assert client.read().status == 200
        assert weir.wait() == 0


class TestDescriptors:
    def test_a_flood_leaves_the_admin_api_and_targets_reachable(self, new_weir, backend):
        """A process that may open 256 files, and 1,000 clients that want in."""
        weir = new_weir(start=False, WORKERS=2)
        weir.wrapper = ["prlimit", "--nofile=256:256"]
        weir.start()
        assert weir.log("the limit of open files allows few clients: raise it "
                        "(ulimit -n, LimitNOFILE)")
        weir.serve("s", backend.url)
        statuses = []

        def ask(_):
            for _ in range(5):
                with wire.Client(weir.proxy_port) as client:
                    statuses.append(client.get("/s").status)

        clients = hold(weir, 60)
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(200)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            assert weir.admin.get("/services/s").status_code == 200
        for client in clients:
            client.close()
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 1000
        assert not weir.log("a connection could not be accepted")
        assert not weir.log("upstream failed")
