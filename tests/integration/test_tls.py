"""TLS towards clients: by curl, openssl s_client and a client of our own."""

import base64
import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import threading

import pytest

from support.backends import response
from support.ports import free_port
from support.tls import Authority, TlsClient, trusting
from support.waiting import eventually, is_readable
from support.wire import Client, Closed

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def tls_weir(new_tls_weir):
    return new_tls_weir()


def s_client(port, *options, stdin=""):
    """What openssl s_client says, and its exit code."""
    result = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *options],
                            input=stdin, capture_output=True, text=True, check=False, timeout=60)
    return result.stdout + result.stderr, result.returncode


class TestRequests:
    def test_a_request_over_tls_is_proxied(self, tls_weir, backend):
        tls_weir.serve("echo", backend.url)
        with TlsClient(tls_weir.tls_port) as client:
            assert client.get("/echo/a").json()["target"] == "/a"

    def test_the_upstream_learns_scheme_and_port(self, tls_weir, backend):
        tls_weir.serve("echo", backend.url)
        with TlsClient(tls_weir.tls_port) as client:
            headers = dict(client.get("/echo").json()["headers"])
        assert headers["X-Forwarded-Proto"] == "https"
        assert headers["X-Forwarded-Port"] == str(tls_weir.tls_port)
        assert dict(tls_weir.get("/echo").json()["headers"])["X-Forwarded-Proto"] == "http"

    def test_curl_agrees(self, tls_weir, backend):
        tls_weir.serve("echo", backend.url)
        shown = subprocess.run(
            ["curl", "-sk", "-w", "%{http_version} %{http_code}", "-o", "/dev/null",
             f"https://127.0.0.1:{tls_weir.tls_port}/echo"],
            capture_output=True, text=True, check=True, timeout=60).stdout
        assert shown == "1.1 200"

    @pytest.mark.parametrize("version", [V12, V13])
    def test_a_connection_carries_many_requests(self, tls_weir, backend, version):
        tls_weir.serve("echo", backend.url)
        with TlsClient(tls_weir.tls_port, context=trusting(version=version)) as client:
            for number in range(200):
                assert client.get(f"/echo/{number}").json()["target"] == f"/{number}"
        # Counted when it is over, which is a moment after its last byte.
        eventually(lambda: tls_weir.admin.get("/status").json()["server"]["total_requests"] == 200)

    def test_requests_may_come_together(self, tls_weir, backend):
        tls_weir.serve("echo", backend.url)
        with TlsClient(tls_weir.tls_port) as client:
            client.send(b"".join(b"GET /echo/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number
                                 for number in range(50)))
            for number in range(50):
                assert client.read().json()["target"] == f"/{number}"

    @pytest.mark.parametrize("version", [V12, V13])
    def test_large_bodies_arrive_whole_both_ways(self, tls_weir, new_backend, version):
        data = os.urandom(3 << 20)
        new = new_backend(answer=lambda request, _: response(200, body=request.body))
        tls_weir.serve("mirror", new.url)
        with TlsClient(tls_weir.tls_port, context=trusting(version=version)) as client:
            # The backend answers when it has all. (Python's TLS can't read and write at one time.)
            assert client.request("POST", "/mirror", body=data).body == data

    def test_a_reader_that_is_slow_gets_all(self, tls_weir, new_backend):
        """What the kernel doesn't take is queued as ciphertext, in its order."""
        data = os.urandom(24 << 20)  # more than all buffers on the way
        new = new_backend(answer=response(200, body=data))
        tls_weir.serve("big", new.url)
        with TlsClient(tls_weir.tls_port) as client:
            client.send_request("GET", "/big")
            eventually(lambda: new.requests, "the request")
            assert is_readable(client.sock, 30)
            assert client.read().body == data

    def test_a_body_that_ends_with_the_connection_ends_with_a_close_notify(
            self, tls_weir, new_backend):
        def until_close(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            connection.close()
        tls_weir.serve("old", new_backend(answer=until_close).url)
        with TlsClient(tls_weir.tls_port) as client:
            client.send(b"GET /old HTTP/1.0\r\nHost: localhost\r\n\r\n")
            # Python's ssl raises where the end isn't announced.
            client.sock.suppress_ragged_eofs = False
            text = b""
            while data := client.sock.recv(65536):
                text += data
        assert text.endswith(b"all of it")

    def test_a_request_cut_off_without_a_close_notify_is_not_sent_on(self, tls_weir, new_backend):
        new = new_backend()
        tls_weir.serve("echo", new.url)
        client = TlsClient(tls_weir.tls_port)
        client.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
        os.close(client.sock.detach())
        eventually(lambda: any(" 499 " in line for line in tls_weir.access_log()), "its end")
        assert not new.requests

    def test_a_stop_lets_a_request_end_and_says_goodbye(self, tls_weir, new_backend):
        may_answer = threading.Event()

        def answer(_request, _connection):
            may_answer.wait(30)
            return response(200, body=b"late")
        new = new_backend(answer=answer)
        tls_weir.serve("slow", new.url)
        idle = TlsClient(tls_weir.tls_port)
        assert idle.get("/nowhere").status == 404
        with TlsClient(tls_weir.tls_port) as client:
            client.send_request("GET", "/slow")
            eventually(lambda: new.requests, "the request")
            tls_weir.signal(15)
            assert idle.sock.recv(1) == b""
            may_answer.set()
            assert client.read().body == b"late"
        assert tls_weir.wait() == 0


class TestRoutes:
    def test_a_route_for_https_alone_is_served_on_tls_and_redirects_without(self, tls_weir, backend):
        tls_weir.serve("safe", backend.url,
                       route={"protocols": ["https"], "https_redirect_status_code": 301})
        with TlsClient(tls_weir.tls_port) as client:
            assert client.get("/safe").status == 200
        answer = tls_weir.get("/safe?a=b")
        assert answer.status == 301
        assert answer.headers.get("Location") == "https://localhost/safe?a=b"

    def test_a_route_may_ask_for_a_server_name(self, tls_weir, new_backend):
        one, other = new_backend("one"), new_backend("other")
        tls_weir.serve("one", one.url, paths=["/"],
                       route={"protocols": ["https"], "snis": ["a.example", "*.b.example"]})
        tls_weir.serve("other", other.url, paths=["/"], route={"protocols": ["https"]})
        for name, expected in [("a.example", "one"), ("A.Example", "one"), ("x.b.example", "one"),
                               ("c.example", "other"), (None, "other")]:
            with TlsClient(tls_weir.tls_port, name=name) as client:
                assert client.get("/").json()["backend"] == expected, name


class TestHost:
    @pytest.mark.parametrize("settings, expected", [
        ({}, 200), ({"SSL_CHECK_HOST": "on"}, 421), ({"SSL_VERIFY_CLIENT": "optional"}, 421),
        ({"SSL_VERIFY_CLIENT": "optional", "SSL_CHECK_HOST": "off"}, 200)])
    def test_a_host_that_the_handshake_did_not_name_is_misdirected(
            self, new_tls_weir, backend, authority, settings, expected):
        node = new_tls_weir(SSL_CLIENT_CERTIFICATE=authority.path, **settings)
        node.serve("echo", backend.url)
        with TlsClient(node.tls_port, name="a.example") as client:
            assert client.get("/echo", host="A.example:8443").status == 200
            assert client.get("/echo", host="b.example").status == expected
            assert client.get("/echo", host="a.example").status == 200
        with TlsClient(node.tls_port, name=None) as client:
            assert client.get("/echo", host="b.example").status == 200


class TestHandshakes:
    def test_plain_http_on_the_port_of_tls_is_told_so(self, tls_weir):
        with Client(tls_weir.tls_port) as client:
            client.send_request("GET", "/")
            answer = client.read()
            assert answer.status == 400
            assert "The plain HTTP request was sent to HTTPS port" in answer.text
            assert client.is_closed_by_peer()

    def test_what_is_neither_http_nor_tls_is_refused(self, tls_weir):
        for garbage in [b"\x00\x01\x02\x03\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                        b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02" + b"\0" * 60]:
            with Client(tls_weir.tls_port) as client:
                with contextlib.suppress(OSError):  # it may have been closed by then
                    client.send(garbage)
                    client.half_close()
                client.reader.rest()  # an alert or a 400, and then the end
        assert tls_weir.is_running

    def test_a_client_that_is_silent_is_not_waited_for(self, new_tls_weir):
        node = new_tls_weir(SSL_HANDSHAKE_TIMEOUT="0.3")
        with socket.create_connection(("127.0.0.1", node.tls_port), 30) as silent:
            assert silent.recv(1) == b""
        # Half a handshake is no better.
        with socket.create_connection(("127.0.0.1", node.tls_port), 30) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
            assert half.recv(1) == b""

    def test_alpn_is_answered_with_http_1_1_and_nothing_else_is_taken(self, tls_weir):
        shown, _ = s_client(tls_weir.tls_port, "-alpn", "h2,http/1.1")
        assert "ALPN protocol: http/1.1" in shown
        shown, code = s_client(tls_weir.tls_port, "-alpn", "spdy/3")
        assert code != 0 and "no application protocol" in shown

    def test_renegotiation_is_refused(self, tls_weir):
        shown, _ = s_client(tls_weir.tls_port, "-tls1_2", stdin="R\n")
        assert "no renegotiation" in shown or "RENEGOTIATING" in shown
        assert "Secure Renegotiation IS supported" in shown

    @pytest.mark.parametrize("version", [V12, V13])
    def test_a_session_is_resumed_at_any_worker(self, new_tls_weir, version):
        node = new_tls_weir(WORKERS=4)
        context = trusting(version=version)
        session = None
        for number in range(24):
            with TlsClient(node.tls_port, context=context, session=session) as client:
                assert client.get("/").status == 404
                assert client.sock.session_reused == (number > 0)
                session = client.sock.session

    def test_a_resumed_session_gets_a_ticket_for_the_next_time(self, tls_weir, tmp_path):
        """Clients use a ticket of TLS 1.3 only once."""
        session = str(tmp_path / "session")
        arrived = "Post-Handshake New Session Ticket arrived"
        request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ask = ["-tls1_3", "-ign_eof", "-crlf"]
        first, _ = s_client(tls_weir.tls_port, *ask, "-sess_out", session, stdin=request)
        assert arrived in first and "Reused" not in first
        second, _ = s_client(tls_weir.tls_port, *ask, "-sess_in", session, stdin=request)
        assert arrived in second and "Reused, TLSv1.3" in second

    def test_keys_of_tickets_change_and_old_tickets_end(self, new_tls_weir):
        """Of three periods of a second each a ticket may live through two."""
        node = new_tls_weir(SSL_SESSION_TIMEOUT="2s")
        context = trusting(version=V12)
        with TlsClient(node.tls_port, context=context) as client:
            session = client.sock.session

        def is_refused():
            with TlsClient(node.tls_port, context=context, session=session) as again:
                return not again.sock.session_reused
        eventually(is_refused, "the ticket's end", every=0.2)

    def test_nodes_with_one_secret_resume_each_others_sessions(self, new_tls_weir, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("0123456789abcdef0123456789abcdef", encoding="ascii")
        nodes = [new_tls_weir(SSL_TICKET_SECRET_FILE=secret) for _ in range(2)]
        stranger = new_tls_weir()
        context = trusting(version=V12)
        with TlsClient(nodes[0].tls_port, context=context) as client:
            session = client.sock.session
        for node, expected in [(nodes[1], True), (stranger, False)]:
            with TlsClient(node.tls_port, context=context, session=session) as client:
                assert client.sock.session_reused is expected


def offered(port, version, names):
    """Which of these ciphers the server takes."""
    taken = set()
    for name in names:
        flag = ["-ciphersuites", name] if name.startswith("TLS_") else [
            "-cipher", f"{name}:@SECLEVEL=0"]
        shown, _ = s_client(port, f"-{version}", *flag)
        if re.search(r"Cipher is (?!\(NONE\))", shown):
            taken.add(name)
    return taken


SUITES_13 = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
FORWARD_SECRET = {f"{kx}-{cipher}" for kx in ("ECDHE-ECDSA", "ECDHE-RSA") for cipher in (
    "AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")} | {
        "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384"}
CBC = {"ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA",
       "AES128-GCM-SHA256", "AES256-SHA", "AES128-SHA256"}
NEVER = {"NULL-SHA256", "AECDH-AES128-SHA", "CAMELLIA256-SHA"}


class TestLevels:
    @pytest.mark.parametrize("level, versions, ciphers", [
        ("modern", {"tls1_3"}, set()),
        ("intermediate", {"tls1_2", "tls1_3"}, FORWARD_SECRET),
        ("old", {"tls1", "tls1_1", "tls1_2", "tls1_3"}, FORWARD_SECRET | CBC),
    ])
    def test_a_level_is_what_the_docs_say(self, new_tls_weir, level, versions, ciphers):
        node = new_tls_weir(SSL_CIPHER_SUITE=level)
        for version in ("tls1", "tls1_1", "tls1_2", "tls1_3"):
            old = [] if version == "tls1_3" else ["-cipher", "ALL:@SECLEVEL=0"]
            shown, _ = s_client(node.tls_port, f"-{version}", *old)
            is_taken = re.search(r"Cipher is (?!\(NONE\))", shown) is not None
            assert is_taken == (version in versions), (version, shown)
        assert offered(node.tls_port, "tls1_3", SUITES_13) == SUITES_13
        assert offered(node.tls_port, "tls1_2", FORWARD_SECRET | CBC | NEVER) == ciphers

    def test_a_level_of_ones_own(self, new_tls_weir):
        node = new_tls_weir(SSL_CIPHER_SUITE="custom", SSL_PROTOCOLS="TLSv1.2 TLSv1.3",
                            SSL_CIPHERS="ECDHE-RSA-AES256-GCM-SHA384:TLS_CHACHA20_POLY1305_SHA256")
        assert offered(node.tls_port, "tls1_3", SUITES_13) == {"TLS_CHACHA20_POLY1305_SHA256"}
        assert offered(node.tls_port, "tls1_2", FORWARD_SECRET) == {"ECDHE-RSA-AES256-GCM-SHA384"}

    def test_a_version_may_be_left_out_in_the_middle(self, new_tls_weir):
        node = new_tls_weir(SSL_CIPHER_SUITE="custom", SSL_PROTOCOLS="TLSv1.3")
        assert "Cipher is (NONE)" in s_client(node.tls_port, "-tls1_2")[0]


class TestDefaultCertificate:
    def test_one_is_made_of_each_kind_and_kept(self, new_tls_weir):
        tls_weir = new_tls_weir(SSL_CERT=None, SSL_CERT_KEY=None)

        def shown(ciphers):
            context = trusting(version=V12, ciphers=ciphers)
            with TlsClient(tls_weir.tls_port, context=context) as client:
                return client.certificate
        before = shown("ECDHE-RSA-AES128-GCM-SHA256"), shown("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert before[0] != before[1]
        folder = os.path.join(tls_weir.directory, "data", "ssl")
        for name in ("weir-default.key", "weir-default-ecdsa.key"):
            assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600
        tls_weir.restart()
        assert (shown("ECDHE-RSA-AES128-GCM-SHA256"),
                shown("ECDHE-ECDSA-AES128-GCM-SHA256")) == before

    @pytest.mark.parametrize("form", ["paths", "pem", "base64", "kong"])
    def test_given_certificates_are_used(self, new_tls_weir, authority, pair, form):
        rsa, ec = pair
        texts = {
            "paths": (f"{rsa.path}, {ec.path}", f"{rsa.key_path}, {ec.key_path}"),
            "pem": (f"{rsa.pem},{ec.pem}", f"{rsa.key_pem},{ec.key_pem}"),
            "base64": tuple(",".join(base64.b64encode(text.encode()).decode() for text in pair)
                            for pair in [(rsa.pem, ec.pem), (rsa.key_pem, ec.key_pem)]),
        }
        texts["kong"] = texts["paths"]
        prefix = "KONG_" if form == "kong" else ""
        node = new_tls_weir(**{"SSL_CERT": None, "SSL_CERT_KEY": None,
                               f"{prefix}SSL_CERT": texts[form][0],
                               f"{prefix}SSL_CERT_KEY": texts[form][1]})
        for ciphers, expected in [("ECDHE-RSA-AES128-GCM-SHA256", rsa),
                                  ("ECDHE-ECDSA-AES128-GCM-SHA256", ec)]:
            context = trusting(authority, version=V12, ciphers=ciphers)
            with TlsClient(node.tls_port, name="gateway.example", context=context) as client:
                assert client.certificate == expected.der
        # Keys are secrets.
        assert node.admin.get("/").json()["configuration"]["ssl_cert_key"] == "******"

    def test_a_chain_is_sent_with_its_certificate(self, new_tls_weir, tmp_path):
        root = Authority(tmp_path, "root")
        middle = Authority(tmp_path, "middle", parent=root)
        leaf = middle.issue("gateway.example")
        chain = tmp_path / "chain.crt"
        chain.write_text(leaf.pem + middle.pem, encoding="ascii")
        node = new_tls_weir(SSL_CERT=chain, SSL_CERT_KEY=leaf.key_path)
        with TlsClient(node.tls_port, name="gateway.example", context=trusting(root)) as client:
            assert client.get("/").status == 404


class TestBadSettings:
    @pytest.fixture
    def line(self, weir_command, tmp_path):
        def run(**settings):
            base = {"WEIR_PROXY_LISTEN": f"127.0.0.1:{free_port()} ssl",
                    "WEIR_ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
                    "WEIR_DATA_DIR": str(tmp_path / "data"), "WEIR_CONSUL_ADDR": "off"}
            result = weir_command("run", **{**base, **settings})
            assert result.returncode == 1, result.stderr
            lines = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
            assert len(lines) == 1, result.stderr
            return lines[0]
        return run

    def test_certificates_and_keys(self, line, authority, tmp_path):
        one, other = authority.issue("one.example"), authority.issue("other.example")
        junk = tmp_path / "junk"
        junk.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n",
                        encoding="ascii")
        cases = [
            ({"WEIR_SSL_CERT": "/no/such/file", "WEIR_SSL_CERT_KEY": one.key_path},
             "WEIR_SSL_CERT: can't read /no/such/file"),
            ({"WEIR_SSL_CERT": one.path}, "WEIR_SSL_CERT_KEY: must have as many keys"),
            ({"WEIR_SSL_CERT": one.path, "WEIR_SSL_CERT_KEY": other.key_path},
             "WEIR_SSL_CERT_KEY: certificate does not match key"),
            ({"WEIR_SSL_CERT": junk, "WEIR_SSL_CERT_KEY": one.key_path},
             "WEIR_SSL_CERT: invalid certificate"),
            ({"WEIR_SSL_CERT": one.path, "WEIR_SSL_CERT_KEY": one.path},
             "WEIR_SSL_CERT_KEY: invalid key"),
            ({"WEIR_SSL_CERT": f"{one.path},{other.path}",
              "WEIR_SSL_CERT_KEY": f"{one.key_path},{other.key_path}"},
             "WEIR_SSL_CERT: certificates of one name must have keys of different types"),
        ]
        for settings, expected in cases:
            assert expected in line(**settings)

    def test_a_key_with_a_password_is_not_asked_for(self, line, authority, tmp_path):
        one = authority.issue("one.example")
        locked = tmp_path / "locked.key"
        subprocess.run(["openssl", "ec", "-in", one.key_path, "-aes128", "-passout", "pass:x",
                        "-out", locked], check=True, capture_output=True)
        assert "WEIR_SSL_CERT_KEY: invalid key" in line(WEIR_SSL_CERT=one.path,
                                                        WEIR_SSL_CERT_KEY=locked)

    @pytest.mark.parametrize("settings, expected", [
        ({"WEIR_SSL_CIPHER_SUITE": "best"}, "WEIR_SSL_CIPHER_SUITE: must be modern,"),
        ({"WEIR_SSL_CIPHER_SUITE": "custom", "WEIR_SSL_CIPHERS": "ROT13"}, "WEIR_SSL_CIPHERS"),
        ({"WEIR_SSL_CIPHER_SUITE": "custom", "WEIR_SSL_PROTOCOLS": "SSLv3"}, "WEIR_SSL_PROTOCOLS"),
        ({"WEIR_SSL_SESSION_TIMEOUT": "1y"}, "WEIR_SSL_SESSION_TIMEOUT"),
        ({"WEIR_SSL_VERIFY_CLIENT": "maybe"}, "WEIR_SSL_VERIFY_CLIENT"),
        ({"WEIR_SSL_CHECK_HOST": "1"}, "WEIR_SSL_CHECK_HOST"),
        ({"WEIR_SSL_VERIFY_CLIENT": "on"}, "WEIR_SSL_CLIENT_CERTIFICATE"),
        ({"WEIR_CLIENT_SSL": "on"}, "WEIR_CLIENT_SSL_CERT: must be set"),
        ({"WEIR_CLIENT_SSL": "on", "WEIR_CLIENT_SSL_CERT": "/no/such"}, "WEIR_CLIENT_SSL_CERT"),
        ({"WEIR_SSL_HANDSHAKE_RATE": "1000001"}, "WEIR_SSL_HANDSHAKE_RATE"),
        ({"WEIR_SSL_TICKET_SECRET_FILE": "/dev/null"}, "WEIR_SSL_TICKET_SECRET_FILE"),
    ])
    def test_others(self, line, settings, expected):
        assert expected in line(**settings)


class TestClientCertificates:
    def test_one_is_required(self, new_tls_weir, authority, tmp_path):
        node = new_tls_weir(SSL_VERIFY_CLIENT="on", SSL_CLIENT_CERTIFICATE=authority.path)
        good = authority.issue("client.example")
        bad = Authority(tmp_path, "other").issue("client.example")
        with TlsClient(node.tls_port, context=trusting(certificate=good)) as client:
            assert client.get("/").status == 404
        for certificate in (None, bad):
            with pytest.raises((OSError, Closed)), TlsClient(
                    node.tls_port, context=trusting(certificate=certificate)) as client:
                client.get("/")

    def test_one_is_optional_but_must_be_good(self, new_tls_weir, authority, tmp_path):
        node = new_tls_weir(SSL_VERIFY_CLIENT="optional", SSL_CLIENT_CERTIFICATE=authority.path)
        with TlsClient(node.tls_port) as client:
            assert client.get("/").status == 404
        bad = Authority(tmp_path, "other").issue("client.example")
        with pytest.raises((OSError, Closed)), TlsClient(
                node.tls_port, context=trusting(certificate=bad)) as client:
            client.get("/")


class TestClientCertificatesOfAListener:
    @pytest.fixture
    def node(self, new_tls_weir, authority, tmp_path):
        """Three ports: node.tls_port asks nobody, node.strict clients of node.others, node.open
        those of `authority`, if they like."""
        (tmp_path / "others").mkdir()
        others = Authority(tmp_path / "others", "others")
        strict, optional = free_port(), free_port()
        node = new_tls_weir(
            f", 127.0.0.1:{strict} ssl http2 verify_client=on client_certificate={others.path}"
            f", 127.0.0.1:{optional} ssl verify_client=optional",
            SSL_CLIENT_CERTIFICATE=authority.path)
        node.others, node.strict, node.open = others, strict, optional
        return node

    @staticmethod
    def status(port, certificate=None, session=None, **more):
        context = session.context if session else trusting(certificate=certificate)
        try:
            with TlsClient(port, context=context, session=session) as client:
                return client.get("/", **more).status
        except (OSError, Closed):
            return None

    def test_each_asks_for_its_own(self, node, authority):
        ours, theirs = authority.issue("client.example"), node.others.issue("client.example")
        expected = {node.tls_port: (404, 404, 404), node.strict: (None, None, 404),
                    node.open: (404, 404, None)}
        for port, statuses in expected.items():
            assert tuple(self.status(port, shown) for shown in (None, ours, theirs)) == statuses

    def test_openssl_is_asked_by_its_authoritys_name(self, node):
        asked = {port: "Acceptable client certificate CA names" in s_client(port)[0]
                 for port in (node.tls_port, node.strict, node.open)}
        assert asked == {node.tls_port: False, node.strict: True, node.open: True}

    def test_a_host_that_the_handshake_did_not_name_is_misdirected_where_clients_are_asked(self,
                                                                                          node):
        assert self.status(node.tls_port, host="b.example") == 404
        assert self.status(node.open, host="b.example") == 421

    @pytest.mark.parametrize("version", [V12, V13])
    def test_a_session_is_no_way_around(self, node, version):
        """One that began where nobody is asked is not resumed where a certificate is needed."""
        context = trusting(version=version)
        with TlsClient(node.tls_port, context=context) as client:
            assert client.get("/").status == 404
            session = client.sock.session
        with TlsClient(node.tls_port, context=context, session=session) as client:
            assert client.get("/").status == 404
            assert client.sock.session_reused
            session = client.sock.session
        with pytest.raises((OSError, Closed)), TlsClient(
                node.strict, context=context, session=session) as client:
            client.get("/")
        with TlsClient(node.open, context=context, session=session) as client:
            assert client.get("/").status == 404
            assert not client.sock.session_reused

    def test_a_chain_may_be_as_long_as_the_listener_says(self, new_tls_weir, authority, tmp_path):
        (tmp_path / "between").mkdir()
        between = Authority(tmp_path / "between", "between", parent=authority)
        mine = between.issue("client.example")
        with open(mine.path, "a", encoding="ascii") as chain:
            chain.write(between.pem)
        deep = free_port()
        node = new_tls_weir(
            f" verify_client=on verify_depth=0, 127.0.0.1:{deep} ssl verify_client=on",
            SSL_CLIENT_CERTIFICATE=authority.path, SSL_VERIFY_DEPTH="5")
        assert self.status(node.tls_port, mine) is None
        assert self.status(deep, mine) == 404

    @pytest.mark.parametrize("flags, expected", [
        ("verify_client=on", "WEIR_PROXY_LISTEN: 127.0.0.1:0: client_certificate must be set"),
        ("ssl verify_client=on client_certificate=/no/such",
         "WEIR_PROXY_LISTEN: 127.0.0.1:0: client_certificate can't read"),
        ("ssl client_certificate=/no/such", "need verify_client"),
        ("verify_client=maybe", "is none of these")])
    def test_what_would_check_nobody_is_refused(self, weir_command, tmp_path, flags, expected):
        flags = flags if flags.startswith("ssl") else f"ssl {flags}"
        ran = weir_command("run", WEIR_PROXY_LISTEN=f"127.0.0.1:0 {flags}", WEIR_DATABASE="off",
                           WEIR_ADMIN_LISTEN="127.0.0.1:0", WEIR_DATA_DIR=tmp_path / "data",
                           WEIR_CONSUL_ADDR="off")
        assert ran.returncode == 1 and expected in ran.stderr, ran.stderr


class TestCertificates:
    """What the Admin API says of certificates and names."""

    @staticmethod
    def put(node, certificate, *names, **fields):
        return node.admin.create("/certificates", {
            "cert": certificate.pem, "key": certificate.key_pem, "snis": list(names), **fields})

    @staticmethod
    def shown(node, name, **options):
        with TlsClient(node.tls_port, name=name, context=trusting(**options)) as client:
            return client.certificate

    def test_a_name_gets_its_certificate(self, tls_weir, authority, pair):
        default = pair[1].der
        exact, left, right = (authority.issue(f"{name}.example") for name in ("one", "two", "three"))
        assert self.shown(tls_weir, "a.one.example") == default
        self.put(tls_weir, exact, "a.one.example")
        self.put(tls_weir, left, "*.one.example")
        self.put(tls_weir, right, "b.two.*")
        for name, expected in [("a.one.example", exact.der), ("A.ONE.example", exact.der),
                               ("b.one.example", left.der), ("x.b.one.example", default),
                               ("b.two.example", right.der), ("c.two.example", default),
                               (None, default)]:
            assert self.shown(tls_weir, name) == expected, name

    def test_a_name_may_have_a_key_of_each_kind(self, tls_weir, authority):
        rsa, ec = (authority.issue("both.example", key) for key in ("rsa", "ec"))
        self.put(tls_weir, rsa, "both.example", cert_alt=ec.pem, key_alt=ec.key_pem)
        for ciphers, expected in [("ECDHE-RSA-AES128-GCM-SHA256", rsa),
                                  ("ECDHE-ECDSA-AES128-GCM-SHA256", ec)]:
            assert self.shown(tls_weir, "both.example", version=V12,
                              ciphers=ciphers) == expected.der

    def test_an_rsa_name_is_not_shown_the_defaults_ecdsa_certificate(self, tls_weir, authority):
        rsa = authority.issue("rsa.example", "rsa")
        self.put(tls_weir, rsa, "rsa.example")
        assert self.shown(tls_weir, "rsa.example") == rsa.der

    def test_changes_are_in_force_with_their_answer_and_leave_connections_alone(
            self, tls_weir, authority, pair):
        old, new = (authority.issue("name.example", file=file) for file in ("old", "new"))
        created = self.put(tls_weir, old, "name.example")
        context = trusting()
        with TlsClient(tls_weir.tls_port, name="name.example", context=context) as before:
            assert before.get("/").status == 404
            assert before.certificate == old.der
            path = f"/certificates/{created['id']}"
            assert tls_weir.admin.patch(path, {"cert": new.pem, "key": new.key_pem}).status_code \
                == 200
            assert self.shown(tls_weir, "name.example") == new.der
            tls_weir.admin.remove(path)
            assert self.shown(tls_weir, "name.example") == pair[1].der
            assert before.get("/").status == 404

    def test_they_are_there_after_a_restart(self, tls_weir, authority):
        certificate = authority.issue("kept.example")
        self.put(tls_weir, certificate, "kept.example")
        tls_weir.restart()
        assert self.shown(tls_weir, "kept.example") == certificate.der

    @pytest.mark.threads
    def test_a_change_under_handshakes_loses_none(self, tls_weir, authority):
        versions = [authority.issue("busy.example", file=f"busy{number}") for number in range(2)]
        created = self.put(tls_weir, versions[0], "busy.example")
        known = {certificate.der for certificate in versions}
        failures, seen, is_over = [], set(), threading.Event()

        def shake_hands():
            context = trusting(authority)
            while not is_over.is_set():
                try:
                    with TlsClient(tls_weir.tls_port, name="busy.example", context=context) as one:
                        assert one.get("/").status == 404
                        seen.add(one.certificate)
                except (OSError, AssertionError, Closed) as error:
                    failures.append(error)
        threads = [threading.Thread(target=shake_hands) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(40):
            certificate = versions[(number + 1) % 2]
            answer = tls_weir.admin.patch(f"/certificates/{created['id']}", {
                "cert": certificate.pem, "key": certificate.key_pem})
            assert answer.status_code == 200, answer.text
        is_over.set()
        for thread in threads:
            thread.join()
        assert not failures and seen == known


class TestAdminApi:
    @pytest.fixture
    def node(self, new_weir, pair):
        def make(**settings):
            port, tls_port = free_port(), free_port()
            node = new_weir(start=False, **{
                "ADMIN_LISTEN": f"127.0.0.1:{port}, 127.0.0.1:{tls_port} ssl",
                "SSL_CERT": pair[0].path, "SSL_CERT_KEY": pair[0].key_path, **settings})
            node.admin.url = f"http://127.0.0.1:{port}"
            node.admin_tls_port = tls_port
            return node.start()
        return make

    @pytest.mark.parametrize("version", [V12, V13])
    def test_it_answers_over_tls(self, node, version, pair):
        one = node()
        with TlsClient(one.admin_tls_port, context=trusting(version=version)) as client:
            for number in range(20):
                body = f'{{"name": "service-{number}", "host": "a.example"}}'.encode()
                answer = client.request("POST", "/services", {"Content-Type": "application/json"},
                                        body)
                assert answer.status == 201
            assert len(client.get("/services").json()["data"]) == 20
            assert client.certificate == pair[0].der

    def test_large_answers_and_requests_arrive_whole(self, node, authority):
        one = node()
        for number in range(150):
            one.admin.create("/services", {"name": f"{'x' * 100}{number}", "host": "a.example"})
        with TlsClient(one.admin_tls_port) as client:
            assert len(client.get("/services?size=1000").json()["data"]) == 150
            tags = [f"{'t' * 100}{number}" for number in range(2000)]
            body = json.dumps({"name": "big", "host": "a.example", "tags": tags}).encode()
            answer = client.request("POST", "/services", {"Content-Type": "application/json"}, body)
            assert answer.status == 201 and len(answer.json()["tags"]) == 2000

    def test_requests_may_come_together(self, node):
        one = node()
        with TlsClient(one.admin_tls_port) as client:
            client.send(100 * b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            for _ in range(100):
                assert client.read().status == 200

    def test_it_has_certificates_of_its_own_where_they_are_set(self, node, authority):
        own = authority.issue("admin.example")
        one = node(ADMIN_SSL_CERT=own.path, ADMIN_SSL_CERT_KEY=own.key_path)
        with TlsClient(one.admin_tls_port, name="admin.example",
                       context=trusting(authority)) as client:
            assert client.get("/status").status == 200
            assert client.certificate == own.der

    def test_so_have_the_listeners_for_its_status(self, node, authority, pair):
        own = authority.issue("status.example")
        settings = {}
        for expected in (pair[0], own):
            port = free_port()
            node(STATUS_LISTEN=f"127.0.0.1:{port} ssl", **settings)
            with TlsClient(port) as client:
                assert client.get("/status").status == 200
                assert client.certificate == expected.der
            settings = {"KONG_STATUS_SSL_CERT": own.path, "KONG_STATUS_SSL_CERT_KEY": own.key_path}

    def test_plain_http_on_its_port_of_tls_is_told_so(self, node):
        one = node()
        with Client(one.admin_tls_port) as client:
            answer = client.get("/status")
            assert answer.status == 400
            assert "The plain HTTP request was sent to HTTPS port" in answer.text

    def test_events_come_over_tls(self, node, backend):
        one = node()
        with TlsClient(one.admin_tls_port) as client:
            client.send_request("GET", "/events?after=0")
            assert client.reader.response_head().status == 200
            one.serve("echo", backend.url)
            text = b""
            while b"data: " not in text:
                text += client.reader.some()
