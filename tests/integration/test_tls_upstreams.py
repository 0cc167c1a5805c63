"""TLS towards upstreams: services by https."""

import os
import socket
import ssl
import threading

import pytest

from support.backends import response
from support.ports import free_port
from support.tls import Authority, TlsClient, serving
from support.waiting import eventually
from support.wire import Closed

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def local(authority):
    """A certificate for where the backends are."""
    return authority.issue("127.0.0.1", names=["127.0.0.1", "localhost"], file="local")


def trust(node, authority):
    return node.admin.create("/ca_certificates", {"cert": authority.pem})["id"]


class TestRequests:
    @pytest.mark.parametrize("version", [V12, V13])
    def test_a_service_by_https_is_served_and_its_connection_kept(
            self, weir, new_backend, local, version):
        backend = new_backend(tls=serving(local, version=version))
        weir.serve("safe", backend.url)
        for _ in range(20):
            assert weir.get("/safe").status == 200
        assert backend.connections <= 2  # one a worker
        assert {request.headers.get("Host") for request in backend.requests} == {backend.address}

    def test_bodies_arrive_whole_both_ways(self, weir, new_backend, local):
        data = os.urandom(3 << 20)
        backend = new_backend(tls=serving(local),
                              answer=lambda request, _: response(200, body=request.body))
        weir.serve("mirror", backend.url)
        with weir.client() as client:
            sender = threading.Thread(target=client.send_request, args=("POST", "/mirror"),
                                      kwargs={"body": data})
            sender.start()
            assert client.read("POST").body == data
            sender.join()

    def test_the_host_without_its_port_is_the_name_asked_for(self, weir, new_backend, local):
        backend = new_backend(tls=serving(local))
        weir.admin.create("/upstreams", {"name": "pool", "host_header": "pool.example:8443"})
        weir.admin.create("/upstreams/pool/targets", {"target": backend.address})
        weir.serve("pool", host="pool", protocol="https", port=443)
        weir.serve("kept", host="pool", protocol="https", port=443,
                   route={"preserve_host": True})
        weir.serve("named", f"https://localhost:{backend.port}")
        weir.serve("address", backend.url)
        for path, host, expected in [("/pool", "x", "pool.example"), ("/kept", "a.b:80", "a.b"),
                                     ("/kept", "c.d", "c.d"), ("/named", "x", "localhost"),
                                     ("/address", "x", None)]:
            assert weir.get(path, host=host).status == 200
            assert backend.last.tls_name == expected, path

    def test_a_session_is_resumed_where_connections_are_not_kept(self, new_weir, new_backend, local):
        weir = new_weir(WORKERS=1)
        for version in (V12, V13):
            backend = new_backend(tls=serving(local, version=version), answer=response(
                200, [("Connection", "close")]))
            weir.serve(version.name, backend.url)
            for _ in range(4):
                assert weir.get(f"/{version.name}").status == 200
            assert [request.tls_reused for request in backend.requests] == [False] + 3 * [True]

    def test_a_body_that_is_cut_off_is_not_taken_for_the_whole(self, weir, new_backend, local):
        def answer(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nthe first part")
            # Without close_notify, as somebody in between would end it.
            socket.socket(fileno=os.dup(connection.sock.fileno())).shutdown(socket.SHUT_RDWR)
        weir.serve("cut", new_backend(tls=serving(local), answer=answer).url)
        with pytest.raises(Closed):
            weir.get("/cut")

    def test_a_body_that_ends_with_a_close_notify_is_whole(self, weir, new_backend, local):
        def answer(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            try:
                connection.sock.unwrap()
            except OSError:
                pass
        weir.serve("old", new_backend(tls=serving(local), answer=answer).url)
        assert weir.get("/old").text == "all of it"


class TestTunnels:
    def test_an_upgraded_connection_goes_both_ways_over_tls_until_each_side_has_ended(
            self, new_weir, new_backend, local):
        def answer(_request, connection):
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                            b"Upgrade: echo\r\n\r\n")
            while data := connection.sock.recv(65536):
                connection.send(data)
            connection.send(b"the last word")
            connection.close()
        tls_port = free_port()
        node = new_weir(start=False, SSL_CERT=local.path, SSL_CERT_KEY=local.key_path)
        node.settings["WEIR_PROXY_LISTEN"] += f", 127.0.0.1:{tls_port} ssl"
        node.start()
        node.serve("echo", new_backend(tls=serving(local), answer=answer).url)
        for client in (node.client(), TlsClient(tls_port)):
            with client:
                client.send_request("GET", "/echo", {"Connection": "Upgrade", "Upgrade": "echo"})
                assert client.reader.response_head().status == 101
                for _ in range(20):
                    data = os.urandom(20000)
                    client.send(data)
                    assert client.reader.exactly(len(data)) == data
                if not isinstance(client, TlsClient):  # Python's TLS can't end one side
                    client.half_close()
                    assert client.reader.rest() == b"the last word"


class TestVerification:
    def test_without_a_word_nothing_is_verified(self, weir, new_backend, authority):
        weir.serve("any", new_backend(tls=serving(authority.issue("other.example"))).url)
        assert weir.get("/any").status == 200

    def test_a_certificate_must_be_vouched_for_and_have_the_name(
            self, weir, new_backend, authority, local, tmp_path):
        known = trust(weir, authority)
        cases = [
            ("good", local, [known], 200),
            ("name", authority.issue("other.example"), [known], 502),
            ("stranger", Authority(tmp_path, "stranger").issue("127.0.0.1", file="s"), [known], 502),
            ("nobody", local, [], 502),
            ("system", local, None, 502),
        ]
        for name, certificate, authorities, expected in cases:
            weir.serve(name, new_backend(tls=serving(certificate)).url, retries=0, tls_verify=True,
                       ca_certificates=authorities)
            assert weir.get(f"/{name}").status == expected, name
        weir.admin.patch("/services/name", {"tls_verify": False})
        assert weir.get("/name").status == 200

    def test_an_expired_certificate_is_refused_and_the_log_says_why(
            self, weir, new_backend, authority):
        old = authority.issue("127.0.0.1", days=-1, file="expired")
        weir.serve("old", new_backend(tls=serving(old)).url, retries=0, tls_verify=True,
                   ca_certificates=[trust(weir, authority)])
        assert weir.get("/old").status == 502
        assert any("expired" in str(entry.get("reason")) for entry in weir.log()), weir.log_text()

    def test_the_depth_counts_certificates_between(self, weir, new_backend, tmp_path):
        root = Authority(tmp_path, "root")
        one = Authority(tmp_path, "one", parent=root)
        two = Authority(tmp_path, "two", parent=one)
        leaf = two.issue("127.0.0.1", file="deep")
        with open(leaf.path, "a", encoding="ascii") as chain:
            chain.write(two.pem + one.pem)
        backend = new_backend(tls=serving(leaf))
        known = trust(weir, root)
        for depth, expected in [(1, 502), (2, 200), (None, 502)]:
            name = f"depth-{depth}"
            weir.serve(name, backend.url, retries=0, tls_verify=True, tls_verify_depth=depth,
                       ca_certificates=[known])
            assert weir.get(f"/{name}").status == expected, depth

    @pytest.mark.parametrize("prefix", ["WEIR_", "KONG_"])
    def test_settings_say_what_services_leave_open(self, new_weir, new_backend, authority, local,
                                                   prefix):
        verify = "WEIR_UPSTREAM_TLS_VERIFY" if prefix == "WEIR_" else \
            "KONG_NGINX_PROXY_PROXY_SSL_VERIFY"
        weir = new_weir(**{f"{prefix}LUA_SSL_TRUSTED_CERTIFICATE": f"system,{authority.path}",
                           verify: "on"})
        weir.serve("good", new_backend(tls=serving(local)).url, retries=0)
        weir.serve("bad", new_backend(tls=serving(authority.issue("x.example"))).url, retries=0)
        weir.serve("open", new_backend(tls=serving(authority.issue("x.example"))).url,
                   tls_verify=False)
        assert [weir.get(f"/{name}").status for name in ("good", "bad", "open")] == [200, 502, 200]

    def test_certificates_to_trust_that_cant_be_read_end_the_start(self, weir_command, tmp_path):
        result = weir_command(
            "run", WEIR_LUA_SSL_TRUSTED_CERTIFICATE="/no/such", WEIR_CONSUL_ADDR="off",
            WEIR_PROXY_LISTEN=f"127.0.0.1:{free_port()}", WEIR_DATA_DIR=str(tmp_path / "data"),
            WEIR_ADMIN_LISTEN=f"127.0.0.1:{free_port()}")
        assert result.returncode == 1
        assert "WEIR_LUA_SSL_TRUSTED_CERTIFICATE" in result.stderr and "/no/such" in result.stderr


class TestClientCertificate:
    def test_one_of_the_settings_is_shown_where_the_service_has_none(
            self, new_weir, new_backend, local, authority):
        backend = new_backend(tls=serving(local, clients_of=authority))
        default, own = (authority.issue(name) for name in ("default.example", "own.example"))
        for prefix, state in [("WEIR_", "on"), ("KONG_", "on"), ("WEIR_", "off")]:
            weir = new_weir(**{f"{prefix}CLIENT_SSL": state,
                               f"{prefix}CLIENT_SSL_CERT": default.path,
                               f"{prefix}CLIENT_SSL_CERT_KEY": default.key_path})
            weir.serve("partner", backend.url, retries=0)
            assert weir.get("/partner").status == (200 if state == "on" else 502)
            assert state == "off" or backend.last.tls_certificate == default.der
            # The service's own goes first, and is no cure where it is not good enough.
            stranger = Authority(weir.directory, "stranger").issue("stranger.example")
            for certificate, expected in [(own, 200), (stranger, 502)]:
                created = weir.admin.create("/certificates", {"cert": certificate.pem,
                                                              "key": certificate.key_pem})
                weir.admin.patch("/services/partner",
                                 {"client_certificate": {"id": created["id"]}})
                assert weir.get("/partner").status == expected
            assert weir.admin.get("/").json()["configuration"]["client_ssl_cert_key"] == "******"

    def test_it_is_shown_and_changes_with_its_entity(self, weir, new_backend, authority, local):
        one, two = (authority.issue(f"{name}.example") for name in ("one", "two"))
        backend = new_backend(tls=serving(local, clients_of=authority))
        weir.serve("partner", backend.url, retries=0)
        assert weir.get("/partner").status == 502
        created = weir.admin.create("/certificates", {"cert": one.pem, "key": one.key_pem})
        weir.admin.patch("/services/partner", {"client_certificate": {"id": created["id"]}})
        assert weir.get("/partner").status == 200
        assert backend.last.tls_certificate == one.der
        weir.admin.patch(f"/certificates/{created['id']}", {"cert": two.pem, "key": two.key_pem})
        assert weir.get("/partner").status == 200
        assert backend.last.tls_certificate == two.der


class TestPools:
    def test_services_that_speak_tls_differently_do_not_share_connections(
            self, new_weir, new_backend, authority, local):
        weir = new_weir(WORKERS=1)
        backend = new_backend(tls=serving(local))
        known = trust(weir, authority)
        weir.serve("one", backend.url)
        weir.serve("alike", backend.url)
        weir.serve("verified", backend.url, tls_verify=True, ca_certificates=[known])
        used = {}
        for _ in range(2):
            for name in ("one", "alike", "verified"):
                assert weir.get(f"/{name}").status == 200
                used.setdefault(name, set()).add(backend.last.connection)
        assert used["one"] == used["alike"] and len(used["one"]) == 1
        assert len(used["verified"]) == 1 and used["verified"] != used["one"]

    def test_an_unverified_connection_is_not_used_once_verification_is_on(
            self, new_weir, new_backend, authority):
        weir = new_weir(WORKERS=1)
        backend = new_backend(tls=serving(authority.issue("other.example")))
        weir.serve("safe", backend.url, retries=0)
        assert weir.get("/safe").status == 200
        weir.admin.patch("/services/safe", {"tls_verify": True})
        assert weir.get("/safe").status == 502

    def test_a_change_elsewhere_leaves_connections_in_use(self, new_weir, new_backend, local):
        weir = new_weir(WORKERS=1)
        backend = new_backend(tls=serving(local))
        weir.serve("safe", backend.url)
        for number in range(5):
            assert weir.get("/safe").status == 200
            weir.serve(f"other-{number}", "http://127.0.0.1:9")
        assert backend.connections == 1


class TestTrouble:
    def test_a_backend_that_speaks_no_tls_is_a_502(self, weir):
        with socket.create_server(("127.0.0.1", 0)) as plain:
            weir.serve("plain", f"https://127.0.0.1:{plain.getsockname()[1]}", retries=0)
            with weir.client() as client:
                client.send_request("GET", "/plain")
                taken, _ = plain.accept()
                with taken:
                    taken.recv(65536)
                    taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    assert client.read().status == 502
        assert any("wrong version" in str(entry.get("reason")) for entry in weir.log()), \
            weir.log_text()

    def test_a_handshake_that_does_not_end_is_a_504(self, weir):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            weir.serve("silent", f"https://127.0.0.1:{silent.getsockname()[1]}", retries=0,
                       connect_timeout=300)
            assert weir.get("/silent").status == 504

    def test_another_target_is_asked_when_a_handshake_fails(self, weir, new_backend, authority,
                                                            local):
        good = new_backend("good", tls=serving(local))
        bad = new_backend("bad", tls=serving(authority.issue("other.example")))
        weir.admin.create("/upstreams", {"name": "pool", "host_header": "localhost"})
        for backend in (good, bad):
            weir.admin.create("/upstreams/pool/targets", {"target": backend.address})
        weir.serve("pool", host="pool", protocol="https", tls_verify=True,
                   ca_certificates=[trust(weir, authority)])
        for _ in range(8):
            assert weir.get("/pool").json()["backend"] == "good"

    def test_a_backend_that_goes_away_between_requests_costs_none(self, weir, new_backend, local):
        backend = new_backend(tls=serving(local))
        weir.serve("safe", backend.url)
        for _ in range(5):
            assert weir.get("/safe").status == 200
            backend.drop_connections()
            eventually(lambda: backend.open_connections == 0, "the end of its connections")
