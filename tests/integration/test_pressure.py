"""What others do to weir: readers of its logs that stall, clients that hold on, targets that flood."""

import os
import socket
import subprocess
import threading

import pytest

from support import wire
from support.backends import response
from support.ports import free_port
from support.waiting import eventually
from support.weir import clean_environment


class TestStart:
    def test_the_first_request_after_a_start_is_routed(self, weir, backend):
        """No worker listens before it knows what is configured."""
        weir.serve("s", backend.url)
        for i in range(200):
            weir.admin.create("/services/s/routes", {"paths": [f"/more-{i}"]})
        statuses = []

        def ask():
            while not statuses or statuses[-1] is None:
                try:
                    with wire.Client(weir.proxy_port) as client:
                        client.send_request("GET", "/s")
                        statuses.append(client.read().status)
                except OSError:
                    pass

        for _ in range(5):
            weir.stop()
            statuses.clear()
            asking = threading.Thread(target=ask)
            asking.start()
            weir.start()
            asking.join(60)
            assert statuses == [200]


class TestStalledReaders:
    @pytest.fixture
    def stalled(self, binary, tmp_path):
        """A node whose output goes to pipes that are full from the start."""
        started = []

        def start(**settings):
            proxy, admin = free_port(), free_port()
            environment = clean_environment(str(tmp_path), {
                "WEIR_PROXY_LISTEN": f"127.0.0.1:{proxy}", "WEIR_STOP_TIMEOUT": 2,
                "WEIR_ADMIN_LISTEN": f"127.0.0.1:{admin}", "WEIR_CONSUL_ADDR": "off",
                "WEIR_DATA_DIR": str(tmp_path / "data"), "WEIR_WORKERS": 6, **settings})
            out = os.pipe()
            os.set_blocking(out[1], False)
            try:
                while True:
                    os.write(out[1], b"x" * 4096)
            except BlockingIOError:
                os.set_blocking(out[1], True)
            process = subprocess.Popen([binary, "run"], env=environment, cwd=tmp_path,
                                       stdin=subprocess.DEVNULL, stdout=out[1], stderr=out[1])
            os.close(out[1])
            started.append((process, out[0]))
            return process, proxy, admin

        yield start
        for process, reader in started:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(reader)

    def test_nobody_reads_the_logs_and_all_goes_on(self, stalled, backend):
        from support.weir import Admin
        process, proxy, admin_port = stalled()
        admin = Admin(f"http://127.0.0.1:{admin_port}")

        def is_up():
            try:
                return admin.get("/status").status_code == 200
            except OSError:
                return False
        eventually(is_up)
        admin.create("/services", {"name": "s", "url": backend.url})
        admin.create("/services/s/routes", {"paths": ["/s"]})
        for _ in range(30):
            with wire.Client(proxy) as client:
                for _ in range(100):
                    client.send_request("GET", "/s?" + "x" * 1000)
                    assert client.read().status == 200
        admin.create("/services", {"name": "t", "url": "http://unknown.invalid"})
        admin.close()
        process.terminate()
        assert process.wait(60) == 0


class TestHoldingOn:
    def test_unfinished_requests_do_not_lock_the_admin_api(self, weir):
        held = []
        try:
            for _ in range(600):
                held.append(socket.create_connection(("127.0.0.1", weir.admin_port), timeout=30))
                held[-1].sendall(b"GET /status HT")
            # On a connection of its own: the one that was kept has given way, too.
            with wire.Client(weir.admin_port) as client:
                client.send_request("GET", "/status")
                assert client.read().status == 200
        finally:
            for connection in held:
                connection.close()


class TestFloods:
    def test_endless_interim_responses_are_given_up(self, weir, new_backend):
        def flood(_request, connection):
            for _ in range(2000):
                connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            return response(200)
        weir.serve("s", new_backend("flood", flood).url, retries=0)
        with weir.client() as client:
            client.send_request("GET", "/s")
            answer = client.read()
            assert answer.status == 502
            assert 0 < len(answer.interim) < 100


class TestEncryption:
    def test_what_was_to_be_encrypted_is_never_sent_in_clear(self, weir, backend):
        """A target that speaks no TLS, by either protocol that wants it."""
        weir.serve("s", f"https://{backend.address}")
        assert weir.get("/s").status == 502
        weir.admin.create("/services", {"name": "g", "protocol": "grpcs",
                                        "host": "127.0.0.1", "port": backend.port})
        weir.admin.create("/services/g/routes", {"paths": ["/g"]})
        assert weir.get("/g").status == 502
        eventually(lambda: weir.log("request failed", service="g", status=502))
        assert not backend.requests
