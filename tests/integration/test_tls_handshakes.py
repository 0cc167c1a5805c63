"""TLS handshakes with clients: limits of their rate, time-outs, and what is counted of them."""

import contextlib
import re
import socket

import pytest

from support.tls import TlsClient
from support.waiting import eventually
from support.wire import Closed

CROWD = 40  # of connections at once: far more than a limit of 1 lets through while they are opened


def count(node, result):
    """Handshakes by result, or, of those that failed, by reason."""
    text = node.admin.get("/metrics").text
    found = re.search(r'^weir_tls_handshakes(?:_failed)?_total\{(?:result|reason)="'
                      rf'{re.escape(result)}"\}} (\d+)$', text, re.M)
    return int(found[1]) if found else 0


def rush(port, preface=b""):
    """Opens connections without a word and closes them."""
    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 30))
            with contextlib.suppress(OSError):
                sock.sendall(preface)


def get(node, **options):
    with TlsClient(node.tls_port, **options) as client:
        return client.get("/").status


class TestRates:
    @pytest.mark.parametrize("setting, reason", [
        ("SSL_HANDSHAKE_RATE", "too many a second"),
        ("SSL_CLIENT_HANDSHAKE_RATE", "too many of the client")])
    def test_more_than_may_come_are_refused_until_there_is_room_again(
            self, new_tls_weir, setting, reason):
        node = new_tls_weir(**{setting: 1})
        rush(node.tls_port)
        eventually(lambda: count(node, reason) > 0, "a refusal")
        line = eventually(lambda: node.log("TLS handshake refused", why=reason), "a line")[0]
        assert line["client"] == "127.0.0.1" and line["port"] == node.tls_port

        def is_served():
            with contextlib.suppress(Closed):
                return get(node) == 404
        eventually(is_served, "room")
        assert count(node, "failed") >= count(node, reason)
        # Lines are few, whatever comes: one a second.
        assert len(node.log("TLS handshake refused")) < CROWD

    def test_a_limit_that_is_not_reached_refuses_nobody(self, new_tls_weir):
        node = new_tls_weir(SSL_HANDSHAKE_RATE=1000, SSL_CLIENT_HANDSHAKE_RATE=1000)
        for _ in range(20):
            assert get(node) == 404
        assert node.get("/").status == 404
        assert count(node, "failed") == 0

    def test_the_client_is_whom_the_proxy_protocol_names(self, new_tls_weir):
        node = new_tls_weir(" proxy_protocol", SSL_CLIENT_HANDSHAKE_RATE=1)
        rush(node.tls_port, b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n")
        line = eventually(lambda: node.log("TLS handshake refused"), "a refusal")[0]
        assert line["client"] == "192.0.2.7"

    def test_a_trusted_balancer_is_many_clients(self, new_tls_weir):
        node = new_tls_weir(SSL_CLIENT_HANDSHAKE_RATE=1, TRUSTED_IPS="127.0.0.0/8")
        for _ in range(20):
            assert get(node) == 404
        assert count(node, "failed") == 0


class TestFailures:
    def test_one_that_takes_too_long_ends_and_is_counted(self, new_tls_weir):
        node = new_tls_weir(SSL_HANDSHAKE_TIMEOUT="0.3")
        with socket.create_connection(("127.0.0.1", node.tls_port), 30) as silent:
            assert silent.recv(1) == b""
        eventually(lambda: count(node, "timed out") == 1)
        # Half a handshake, and more of it now and then, is no better.
        with socket.create_connection(("127.0.0.1", node.tls_port), 30) as slow:
            slow.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")

            def is_ended():
                with contextlib.suppress(BlockingIOError):
                    return slow.recv(1, socket.MSG_DONTWAIT) == b""
                slow.sendall(b"\x03")
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                eventually(is_ended, "the end", every=0.1)
        eventually(lambda: count(node, "timed out") == 2)

    def test_a_client_that_leaves_is_counted_too(self, new_tls_weir):
        node = new_tls_weir()
        with socket.create_connection(("127.0.0.1", node.tls_port), 30) as client:
            client.sendall(b"\x16\x03\x01")
        eventually(lambda: count(node, "the peer has closed the connection") == 1)
        assert count(node, "failed") == 1
        assert get(node) == 404 and count(node, "full") == 1


class TestCertificatesThatEnd:
    @staticmethod
    def seconds_left(node, certificate):
        found = re.search(r'^weir_certificate_expires_in_seconds\{certificate="'
                          rf'{certificate}",name="([^"]*)"\}} (\S+)$',
                          node.admin.get("/metrics").text, re.M)
        return found and (found[1], float(found[2]))

    def test_they_are_warned_of_and_measured(self, new_tls_weir, authority):
        soon = authority.issue("soon.example", days=5)
        node = new_tls_weir(ADMIN_SSL_CERT=soon.path, ADMIN_SSL_CERT_KEY=soon.key_path)
        line = node.log("a certificate expires soon", certificate="admin")[0]
        assert line["days"] in (4, 5) and line["name"] == "soon.example"
        created = {}
        for days in (-1, 2, 30):
            one = authority.issue(f"days{days}.example", days=days)
            created[days] = node.admin.create("/certificates", {
                "cert": one.pem, "key": one.key_pem, "snis": [f"days{days}.example"]})["id"]
        assert len(node.log("a certificate has expired", certificate=created[-1])) == 1
        assert len(node.log("a certificate expires soon", certificate=created[2])) == 1
        assert not node.log(certificate=created[30])
        for certificate, days, name in [("default", 30, "gateway.example"),
                                        ("admin", 5, "soon.example"),
                                        *((id, days, f"days{days}.example")
                                          for days, id in created.items())]:
            shown, left = self.seconds_left(node, certificate)
            assert shown == name and (days - 1) * 86400 < left <= days * 86400
        # One that has expired goes on being shown: that is the client's to judge.
        assert get(node, name="days-1.example") == 404
        node.admin.remove(f"/certificates/{created[-1]}")
        assert not self.seconds_left(node, created[-1])
        assert len(node.log("a certificate has expired")) == 1
