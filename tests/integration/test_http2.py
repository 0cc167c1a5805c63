"""HTTP/2 towards clients: by ALPN and by prior knowledge, and what it must be to the backend."""

import shutil
import signal
import subprocess
import threading

import pytest

from support import http2, wire
from support.backends import Backend, chunked, response
from support.http2 import END_HEADERS, END_STREAM, HEADERS, Client, tls_context
from support.ports import free_port
from support.waiting import eventually
from support.weir import Weir


@pytest.fixture
def new_http2_weir(new_weir):
    """Makes nodes with a plain listener and one of TLS: node.proxy_port, node.tls_port."""
    def make(flags="http2", **settings):
        port, tls_port = free_port(), free_port()
        node = new_weir(start=False, **{
            "PROXY_LISTEN": f"127.0.0.1:{port} {flags}, 127.0.0.1:{tls_port} {flags} ssl",
            **settings})
        node.proxy_port, node.tls_port = port, tls_port
        return node.start()
    return make


@pytest.fixture(scope="module")
def shared(binary, tmp_path_factory):
    """A node, and a backend at every path, unchanged, for most tests of this file."""
    node = Weir(binary, tmp_path_factory.mktemp("node"))
    node.tls_port = free_port()
    node.settings["WEIR_PROXY_LISTEN"] = (f"127.0.0.1:{node.proxy_port} http2, "
                                          f"127.0.0.1:{node.tls_port} http2 ssl")
    backend = Backend()
    backend.usual = backend.answer
    node.start()
    node.serve("all", backend.url, paths=["/"], route={"strip_path": False})
    yield node, backend
    node.stop()
    node.log()
    backend.stop()


@pytest.fixture
def backend(shared):
    backend = shared[1]
    backend.answer = backend.usual
    backend.requests.clear()
    return backend


@pytest.fixture
def weir(shared, backend):
    """The shared node; its backend answers as usual, whatever the test before told it to."""
    return shared[0]


@pytest.fixture
def own_weir(new_http2_weir, backend):
    """A node of one's own, to stop."""
    node = new_http2_weir(WORKERS=1)
    node.serve("all", backend.url, paths=["/"], route={"strip_path": False})
    return node


def test_a_long_answer_of_a_plugin_arrives_whole(new_http2_weir):
    node = new_http2_weir()
    body = "0123456789abcdef" * 20000
    node.admin.create("/routes", {"paths": ["/"]})
    node.admin.create("/plugins", {"name": "request-termination",
                                   "config": {"body": body, "content_type": "text/plain"}})
    assert node.get("/").text == body
    with Client(node.proxy_port) as client:
        assert client.get("/").body == body.encode()


def upstream_headers(answer):
    return wire.Headers(tuple(pair) for pair in answer.json()["headers"])


class TestHowItBegins:
    def test_a_client_that_knows_gets_it_without_tls(self, weir):
        with Client(weir.proxy_port) as client:
            answer = client.get("/a?b=c")
        assert answer.status == 200
        assert answer.json()["target"] == "/a?b=c"

    def test_the_same_listener_still_speaks_http_1(self, weir):
        assert weir.get("/a").status == 200
        with weir.client() as client:
            for byte in b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc":
                client.send(bytes([byte]))
            assert client.read().json()["body_bytes"] == 3

    def test_a_preface_that_comes_byte_by_byte_is_known(self, weir):
        with Client(weir.proxy_port, greets=False) as client:
            for byte in http2.PREFACE + http2.frame(http2.SETTINGS):
                client.send(bytes([byte]))
            assert client.get("/").status == 200

    def test_alpn_chooses_it(self, weir):
        with Client(weir.tls_port, tls_context("h2", "http/1.1")) as client:
            assert client.sock.selected_alpn_protocol() == "h2"
            answer = client.get("/", fields=client.fields(scheme="https"))
        assert answer.status == 200
        assert upstream_headers(answer).get("X-Forwarded-Proto") == "https"

    @pytest.mark.parametrize("offers_http2", [True, False])
    def test_alpn_leaves_http_1_to_who_wants_that(self, new_http2_weir, offers_http2):
        node = new_http2_weir("http2" if offers_http2 else "")
        wanted = ("http/1.1",) if offers_http2 else ("h2", "http/1.1")
        with Client(node.tls_port, tls_context(*wanted), greets=False) as client:
            assert client.sock.selected_alpn_protocol() == "http/1.1"
            client.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.sock.recv(100).startswith(b"HTTP/1.1 404")

    def test_alpn_leaves_ciphers_that_http_2_forbids_to_http_1(self, new_http2_weir):
        node = new_http2_weir(SSL_CIPHER_SUITE="custom", SSL_PROTOCOLS="TLSv1.2",
                              SSL_CIPHERS="ECDHE-RSA-AES128-SHA")
        with Client(node.tls_port, tls_context("h2", "http/1.1"), greets=False) as client:
            assert client.sock.selected_alpn_protocol() == "http/1.1"

    def test_a_listener_without_the_flag_doesnt_speak_it(self, new_http2_weir):
        node = new_http2_weir("")
        with node.client() as client:
            client.send(http2.PREFACE + http2.frame(http2.SETTINGS))
            assert client.read().status == 505

    def test_kongs_default_line_is_taken(self, new_weir):
        port, tls_port = free_port(), free_port()
        node = new_weir(start=False, PROXY_LISTEN=f"0.0.0.0:{port} reuseport backlog=16384, "
                                                  f"0.0.0.0:{tls_port} http2 ssl reuseport backlog=16384")
        node.proxy_port = port
        node.start()
        with Client(tls_port, tls_context("h2")) as client:
            assert client.get("/").status == 404
        listeners = node.admin.get("/").json()["configuration"]["proxy_listeners"]
        assert [one["http2"] for one in listeners] == [False, True]


class TestMessages:
    def test_a_backend_sees_a_request_of_http_1(self, weir, backend):
        with Client(weir.proxy_port) as client:
            client.get("/a?b", headers=[("cookie", "a=1"), ("x-own", "yes"), ("cookie", "b=2"),
                                        ("te", "trailers")])
        got = backend.last
        assert got.start_line == "GET /a?b HTTP/1.1"
        assert got.headers.get("cookie") == "a=1; b=2"
        assert got.headers.get("x-own") == "yes"
        assert got.headers.get("TE") == "trailers"
        assert got.headers.get("X-Forwarded-Host") == "localhost"
        assert got.headers.get("Via") == "2.0 weir"
        assert got.headers.get("Host") == backend.address

    def test_the_authority_is_the_host(self, weir, new_backend):
        other = new_backend("other")
        weir.serve("o", other.url, paths=["/"], route={"hosts": ["other.example"],
                                                       "preserve_host": True})
        with Client(weir.proxy_port) as client:
            fields = client.fields(authority="other.example:81")
            assert client.get(fields=fields).json()["backend"] == "other"
            assert other.last.headers.get("Host") == "other.example:81"
            fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"),
                      ("host", "other.example")]
            assert client.get(fields=fields).json()["backend"] == "other"
            fields = client.fields(authority="other.example", headers=[("host", "Other.Example")])
            assert client.get(fields=fields).json()["backend"] == "other"
        assert len(other.last.headers.all("Host")) == 1

    @pytest.mark.parametrize("has_length", [True, False])
    def test_a_body_arrives(self, weir, backend, has_length):
        body = b"0123456789" * 10000
        headers = [("content-length", str(len(body)))] if has_length else []
        with Client(weir.proxy_port) as client:
            client.round_trip()  # until then windows are smaller
            answer = client.get(method="POST", headers=headers, body=body)
        assert answer.json()["body_bytes"] == len(body)
        assert backend.last.body == body
        assert ("Transfer-Encoding" in backend.last.headers) == (not has_length)

    def test_many_requests_share_a_connection(self, weir, backend):
        with Client(weir.proxy_port) as client:
            streams = [client.request(f"/{number}") for number in range(100)]
            targets = [client.answer(stream).json()["target"] for stream in streams]
        assert targets == [f"/{number}" for number in range(100)]

    def test_answers_come_as_they_are_ready(self, weir, backend):
        gate = threading.Event()
        echo = backend.answer

        def answer(request, connection):
            if request.target == "/slow":
                assert gate.wait(60)
            return echo(request, connection)
        backend.answer = answer
        with Client(weir.proxy_port) as client:
            slow = client.request("/slow")
            assert client.get("/fast").status == 200
            assert slow not in client.answers
            gate.set()
            assert client.answer(slow).status == 200

    def test_trailers_go_both_ways(self, weir, backend):
        backend.answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\n"
                          b"X-Hop: 1\r\nKeep-Alive: 5\r\n\r\n" +
                          chunked(b"hello", trailers=[("Grpc-Status", "0"), ("X-Sum", "5")]))
        with Client(weir.proxy_port) as client:
            stream = client.request(method="POST", body=b"abc", ends=False)
            client.send_frame(HEADERS, END_HEADERS | END_STREAM, stream,
                              client.block([("x-check", "abc"), ("authorization", "9")]))
            answer = client.answer(stream)
        assert backend.last.trailers == [("x-check", "abc")]
        assert (answer.body, answer.is_whole) == (b"hello", True)
        assert dict(answer.trailers) == {"grpc-status": "0", "x-sum": "5"}
        names = {name for name, _ in answer.headers}
        assert not names & {"connection", "keep-alive", "transfer-encoding", "x-hop"}

    @pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204), ("GET", 304)])
    def test_an_answer_without_a_body(self, weir, backend, method, status):
        backend.answer = response(status)
        with Client(weir.proxy_port) as client:
            answer = client.get(method=method)
            assert (answer.status, answer.body, answer.is_whole) == (status, b"", True)
            assert client.get(method=method).status == status

    @pytest.mark.parametrize("fault", [[("host", "other")], [("x", "a\x01")]])
    def test_an_answer_to_a_head_request_that_is_refused(self, weir, fault):
        with Client(weir.proxy_port) as client:
            stream = client.request(fields=client.fields("HEAD", headers=fault))
            answer = client.answer(stream)
            assert answer.status == 400
            assert int(answer.get("content-length")) > 0
            assert answer.body == b""

    def test_interim_answers_are_passed_on(self, weir, new_backend):
        interim = new_backend("interim")
        interim.before_body = lambda _head, connection: connection.send(
            b"HTTP/1.1 100 Continue\r\n\r\n")
        weir.serve("interim", interim.url)
        with Client(weir.proxy_port) as client:
            stream = client.request("/interim", method="POST",
                                    headers=[("expect", "100-continue")], ends=False)
            client.until(lambda: stream in client.answers and client.answers[stream].interim)
            client.data(stream, b"now")
            assert client.answer(stream).json()["body_bytes"] == 3

    def test_weirs_own_answers_are_answers_too(self, weir):
        weir.serve("dead", f"http://127.0.0.1:{free_port()}", retries=0)
        with Client(weir.proxy_port) as client:
            answer = client.get("/dead")
            assert answer.status == 502
            assert "request_id" in answer.body.decode()

    def test_a_large_answer_arrives(self, weir, backend):
        body = b"0123456789abcdef" * 131072
        backend.answer = response(200, body=body)
        with Client(weir.tls_port, tls_context("h2")) as client:
            assert client.get("/").body == body

    def test_a_response_that_breaks_off_is_reset(self, weir, backend):
        def break_off(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nsome")
            connection.close()
        backend.answer = break_off
        with Client(weir.proxy_port) as client:
            answer = client.get("/")
            assert (answer.status, answer.reset) == (200, http2.INTERNAL_ERROR)
            backend.answer = response(200)
            assert client.get("/").status == 200

    def test_an_answer_before_the_end_of_its_request_tells_to_stop(self, weir, new_backend):
        early = new_backend("early", response(413), reads_body=False)
        weir.serve("early", early.url)
        with Client(weir.proxy_port) as client:
            stream = client.request("/early", method="POST", body=b"part", ends=False)
            client.until(lambda: stream in client.answers and client.answers[stream].is_whole)
            client.until(lambda: client.answers[stream].reset is not None)
            assert client.answers[stream].status == 413
            assert client.answers[stream].reset == http2.NO_ERROR

    def test_a_client_that_resets_ends_its_request(self, weir, backend):
        gate = threading.Event()
        backend.answer = lambda *_: gate.wait(60) and None
        with Client(weir.proxy_port) as client:
            stream = client.request("/left")
            eventually(lambda: backend.requests)
            client.reset(stream)
            client.round_trip()
            eventually(lambda: any("/left HTTP/2.0\" 499 " in line for line in weir.access_log()))
        gate.set()


class TestWhatIsSeen:
    def test_the_access_log_names_the_protocol(self, new_http2_weir, backend):
        node = new_http2_weir(ACCESS_LOG_FORMAT="$request|$server_protocol|$status")
        node.serve("s", backend.url)
        with Client(node.proxy_port) as client:
            client.get("/s/a")
        eventually(lambda: node.access_log() == ["GET /s/a HTTP/2.0|HTTP/2.0|200"])

    def test_connections_are_counted(self, weir):
        def count(name):
            text = weir.admin.get("/metrics").text
            return int(next(line.split()[1] for line in text.splitlines()
                            if line.startswith(name + " ")))
        with Client(weir.proxy_port) as client:
            client.get("/")
            assert count("weir_http2_connections_total") >= 1


class TestStop:
    def test_what_is_under_way_is_answered(self, own_weir, backend):
        gate = threading.Event()
        backend.answer = lambda *_: gate.wait(60) and response(200, body=b"at last")
        with Client(own_weir.proxy_port) as client:
            stream = client.request("/")
            eventually(lambda: backend.requests)
            own_weir.signal(signal.SIGTERM)
            client.until(lambda: client.goaway is not None)
            assert client.goaway == http2.NO_ERROR
            gate.set()
            assert client.answer(stream).body == b"at last"
            assert client.end() == http2.NO_ERROR
        assert own_weir.wait() == 0

    def test_an_idle_client_is_told(self, own_weir):
        with Client(own_weir.proxy_port) as client:
            client.get("/")
            own_weir.signal(signal.SIGTERM)
            assert client.end() == http2.NO_ERROR
        assert own_weir.wait() == 0

    def test_who_doesnt_end_is_cut(self, new_http2_weir, new_backend):
        gate = threading.Event()
        node = new_http2_weir(STOP_TIMEOUT=1)
        silent = new_backend("silent", lambda *_: gate.wait(60) and None)
        node.serve("s", silent.url)
        with Client(node.proxy_port) as client:
            stream = client.request("/s")
            eventually(lambda: silent.requests)
            node.signal(signal.SIGTERM)
            assert client.end() == http2.NO_ERROR
            assert client.answers[stream].reset == http2.CANCEL
        assert node.wait() == 0
        gate.set()


class TestOtherClients:
    def run(self, *command):
        if not shutil.which(command[0]):
            pytest.skip(f"{command[0]} is not installed")
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert result.returncode == 0, result.stderr
        return result.stdout

    @pytest.mark.parametrize("has_tls", [True, False])
    def test_curl(self, weir, backend, tmp_path, has_tls):
        body = tmp_path / "body"
        body.write_bytes(b"x" * 1000000)
        url = f"https://127.0.0.1:{weir.tls_port}" if has_tls else f"http://127.0.0.1:{weir.proxy_port}"
        said = self.run("curl", "-sSk", "--http2" if has_tls else "--http2-prior-knowledge",
                        "--data-binary", f"@{body}", "-w", "%{http_version} %{http_code}", url)
        assert said.endswith("2 200")
        assert len(backend.last.body) == 1000000

    def test_nghttp(self, weir):
        said = self.run("nghttp", "-v", "--no-dep", f"https://127.0.0.1:{weir.tls_port}/a")
        assert ":status: 200" in said

    @pytest.mark.parametrize("streams", ["1", "100"])
    def test_h2load(self, weir, streams):
        said = self.run("h2load", "-n", "500", "-c", "2", "-m", streams,
                        f"https://127.0.0.1:{weir.tls_port}/")
        assert "500 succeeded" in said and "status codes: 500 2xx" in said
