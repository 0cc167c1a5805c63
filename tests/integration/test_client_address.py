"""Who a request is from, behind load balancers and proxies: trusted headers, the PROXY protocol."""

import socket
import ssl
import struct

import pytest

from support import wire
from support.ports import free_port
from support.waiting import eventually

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n"
V1_V6 = b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n"


def v2(source, command=1, extra=b""):
    body = socket.inet_aton(source) + socket.inet_aton("10.0.0.1") + struct.pack(
        ">HH", 4711, 443) + extra
    return SIGNATURE + bytes([0x20 | command, 0x11]) + struct.pack(">H", len(body)) + body


def seen_by(backend, weir, headers, target="/s"):
    assert weir.get(target, headers).status == 200
    return backend.last.headers


class TestTrustedProxies:
    def test_nobody_is_trusted_unless_named(self, weir, backend):
        weir.serve("s", backend.url)
        seen = seen_by(backend, weir, [
            ("X-Real-IP", "192.0.2.7"), ("X-Forwarded-For", "192.0.2.8"),
            ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Port", "1"), ("X-Forwarded-Path", "/evil"),
            ("X-Forwarded-Prefix", "/evil"), ("Forwarded", "for=192.0.2.9;proto=https"),
            ("forwarded", "for=192.0.2.10")])
        assert seen.get("X-Real-IP") == "127.0.0.1"
        assert seen.get("X-Forwarded-For") == "192.0.2.8, 127.0.0.1"
        assert seen.get("X-Forwarded-Proto") == "http"
        assert seen.get("X-Forwarded-Host") == "localhost"
        assert seen.get("X-Forwarded-Port") == str(weir.proxy_port)
        assert seen.get("X-Forwarded-Path") == "/s"
        assert seen.get("X-Forwarded-Prefix") == "/s"
        assert "Forwarded" not in seen

    def test_what_a_trusted_proxy_says_stands(self, new_weir, backend):
        weir = new_weir(TRUSTED_IPS="10.0.0.0/8,127.0.0.0/8")
        weir.serve("s", backend.url)
        seen = seen_by(backend, weir, [
            ("X-Real-IP", "192.0.2.7"), ("X-Forwarded-For", "192.0.2.8"),
            ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example"),
            ("X-Forwarded-Port", "443"), ("X-Forwarded-Path", "/before"),
            ("X-Forwarded-Prefix", "/pre"), ("Forwarded", "for=192.0.2.7"),
            ("Forwarded", "for=10.0.0.1;proto=https")])
        assert seen.get("X-Real-IP") == "192.0.2.7"
        assert seen.get("X-Forwarded-For") == "192.0.2.8, 127.0.0.1"
        assert seen.get("X-Forwarded-Proto") == "https"
        assert seen.get("X-Forwarded-Host") == "shop.example"
        assert seen.get("X-Forwarded-Port") == "443"
        assert seen.get("X-Forwarded-Path") == "/before"
        assert seen.get("X-Forwarded-Prefix") == "/pre"
        assert seen.all("Forwarded") == ["for=192.0.2.7", "for=10.0.0.1;proto=https"]
        assert eventually(weir.access_log)[-1].startswith("192.0.2.7 - - ")

    def test_what_it_does_not_say_is_ours_to_say(self, new_weir, backend):
        weir = new_weir(TRUSTED_IPS="127.0.0.1")
        weir.serve("s", backend.url)
        seen = seen_by(backend, weir, [("X-Real-IP", "192.0.2.7")])
        assert seen.get("X-Forwarded-For") == "192.0.2.7"
        assert seen.get("X-Forwarded-Proto") == "http"
        assert seen.get("X-Forwarded-Port") == str(weir.proxy_port)
        seen = seen_by(backend, weir, [("X-Real-IP", "not an address")])
        assert seen.get("X-Real-IP") == "127.0.0.1"

    @pytest.mark.parametrize("recursive,client", [("on", "192.0.2.7"), ("off", "10.0.0.2")])
    def test_a_chain_of_proxies_is_followed_if_asked(self, new_weir, backend, recursive, client):
        weir = new_weir(TRUSTED_IPS="127.0.0.0/8,10.0.0.0/8", REAL_IP_HEADER="X-Forwarded-For",
                        REAL_IP_RECURSIVE=recursive)
        weir.serve("s", backend.url)
        seen = seen_by(backend, weir, [("X-Forwarded-For", "203.0.113.1, 192.0.2.7, 10.0.0.2")])
        assert seen.get("X-Real-IP") == client
        assert seen.get("X-Forwarded-For") == "203.0.113.1, 192.0.2.7, 10.0.0.2, 127.0.0.1"

    def test_kongs_settings_are_read(self, new_weir, backend):
        weir = new_weir(KONG_TRUSTED_IPS="0.0.0.0/0,::/0",
                        KONG_REAL_IP_HEADER="CF-Connecting-IP")
        weir.serve("s", backend.url)
        assert seen_by(backend, weir, [("cf-connecting-ip", "2001:db8::7")]).get(
            "X-Real-IP") == "2001:db8::7"

    def test_https_ended_by_a_trusted_proxy_is_https(self, new_weir, backend):
        weir = new_weir(TRUSTED_IPS="127.0.0.1")
        weir.serve("s", backend.url, route={"protocols": ["https"]})
        assert weir.get("/s").status == 426
        assert weir.get("/s", [("X-Forwarded-Proto", "https")]).status == 200

    def test_https_that_anyone_claims_is_not(self, weir, backend):
        weir.serve("s", backend.url, route={"protocols": ["https"]})
        assert weir.get("/s", [("X-Forwarded-Proto", "https")]).status == 426

    def test_clients_behind_a_proxy_are_hashed_apart(self, new_weir, new_backend):
        weir = new_weir(TRUSTED_IPS="127.0.0.1")
        weir.pool("u", [new_backend(name) for name in "abcd"], hash_on="ip",
                  algorithm="consistent-hashing")
        found = {client: {weir.get("/u", [("X-Real-IP", client)]).headers.get("X-Backend")
                          for _ in range(3)}
                 for client in (f"192.0.2.{number}" for number in range(40))}
        assert all(len(names) == 1 for names in found.values())
        assert len(set().union(*found.values())) == 4

    @pytest.mark.parametrize("name,value", [
        ("TRUSTED_IPS", "10.0.0.0/33"), ("TRUSTED_IPS", "proxy.example"),
        ("REAL_IP_HEADER", "X Real"), ("REAL_IP_RECURSIVE", "maybe")])
    def test_a_bad_setting_is_named(self, weir_command, name, value):
        result = weir_command("run", **{f"WEIR_{name}": value})
        assert result.returncode == 1
        assert f"WEIR_{name}: must be " in result.stderr


@pytest.fixture
def behind_balancer(new_weir, backend):
    """A node whose proxy port expects the PROXY protocol."""
    weir = new_weir(start=False)
    weir.balanced_port = free_port()
    weir.secure_port = free_port()
    weir.settings["WEIR_PROXY_LISTEN"] += (
        f", 127.0.0.1:{weir.balanced_port} proxy_protocol"
        f", 127.0.0.1:{weir.secure_port} ssl proxy_protocol")
    weir.start()
    weir.serve("s", backend.url)
    return weir


REQUEST = b"GET /s HTTP/1.1\r\nHost: h\r\n\r\n"


class TestProxyProtocol:
    @pytest.mark.parametrize("header,client", [
        (V1, "192.0.2.7"), (V1_V6, "2001:db8::7"), (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2("192.0.2.7"), "192.0.2.7"), (v2("192.0.2.7", 0), "127.0.0.1"),
        (v2("192.0.2.7", extra=b"\x04\0\x03abc"), "192.0.2.7")])
    def test_the_header_names_the_client(self, behind_balancer, backend, header, client):
        with wire.Client(behind_balancer.balanced_port) as connection:
            connection.send(header + REQUEST)
            assert connection.read().status == 200
            assert backend.last.headers.get("X-Real-IP") == client
            assert connection.get("/s").status == 200  # it stands once a connection
            assert backend.last.headers.get("X-Real-IP") == client

    @pytest.mark.parametrize("header", [V1, v2("192.0.2.7")])
    def test_it_may_come_byte_by_byte(self, behind_balancer, backend, header):
        with wire.Client(behind_balancer.balanced_port) as connection:
            for byte in header + REQUEST:
                connection.send(bytes([byte]))
            assert connection.read().status == 200
        assert backend.last.headers.get("X-Real-IP") == "192.0.2.7"

    @pytest.mark.parametrize("start", [
        REQUEST, V1.replace(b"TCP4", b"TCP6") + REQUEST, b"PROXY " + b"x" * 200 + b"\r\n" + REQUEST,
        SIGNATURE + b"\x31\x11\0\0" + REQUEST, SIGNATURE + b"\x21\x11\xff\xff" + b"x" * 70000])
    def test_a_connection_without_a_good_one_is_closed(self, behind_balancer, backend, start):
        with wire.Client(behind_balancer.balanced_port) as connection:
            connection.send(start)
            assert connection.reader.rest() == b""
        assert backend.requests == []
        assert 'reason="bad PROXY protocol header"} 1' in \
            behind_balancer.admin.get("/metrics").text
        assert eventually(lambda: behind_balancer.log("bad PROXY protocol header"))

    @pytest.mark.parametrize("is_apart", [False, True])
    def test_it_comes_before_the_handshake_of_tls(self, behind_balancer, backend, is_apart):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="h")
        with socket.create_connection(("127.0.0.1", behind_balancer.secure_port), 30) as sock:
            first = V1
            if is_apart:
                sock.sendall(V1)
                first = b""

            def step(call, *arguments):
                nonlocal first
                while True:
                    try:
                        result = call(*arguments)
                        sock.sendall(outgoing.read())
                        return result
                    except ssl.SSLWantReadError:
                        sock.sendall(first + outgoing.read())
                        first = b""
                        data = sock.recv(65536)
                        assert data, "closed"
                        incoming.write(data)
            step(tls.do_handshake)
            step(tls.write, REQUEST)
            assert step(tls.read, 65536).startswith(b"HTTP/1.1 200 ")
        assert backend.last.headers.get("X-Real-IP") == "192.0.2.7"
        assert backend.last.headers.get("X-Forwarded-Proto") == "https"

    def test_elsewhere_it_is_a_bad_request(self, behind_balancer, backend):
        with behind_balancer.client() as connection:
            connection.send(V1 + REQUEST)
            assert connection.read().status in (400, 501)
        assert backend.requests == []

    def test_one_who_is_not_among_the_trusted_is_not_believed(self, new_weir, backend):
        weir = new_weir(start=False, TRUSTED_IPS="10.0.0.1")
        weir.settings["WEIR_PROXY_LISTEN"] += " proxy_protocol"
        weir.start()
        weir.serve("s", backend.url)
        with weir.client() as connection:
            connection.send(V1 + REQUEST)
            assert connection.read().status == 200
        assert backend.last.headers.get("X-Real-IP") == "127.0.0.1"

    def test_the_admin_api_has_none(self, weir_command):
        result = weir_command("run", WEIR_ADMIN_LISTEN="127.0.0.1:0 proxy_protocol")
        assert result.returncode == 1
        assert ("WEIR_ADMIN_LISTEN: proxy_protocol is for proxy_listen and stream_listen only"
                in result.stderr)
