"""Streams: routes with protocols tcp, tls and tls_passthrough, on WEIR_STREAM_LISTEN."""

import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from support.ports import free_port
from support.streams import StreamServer, dial
from support.tls import Authority, serving, trusting
from support.waiting import PATIENCE_S, eventually
from support.wire import Closed


@pytest.fixture
def new_server():
    servers = []

    def make(*arguments, **options):
        servers.append(StreamServer(*arguments, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificates(authority):
    """By name."""
    return {name: authority.issue(name) for name in ("a.example", "b.example")}


@pytest.fixture
def new_node(new_weir):
    """A node with a stream listener at node.stream_port."""
    def make(flags="", **settings):
        port = free_port()
        node = new_weir(STREAM_LISTEN=f"127.0.0.1:{port}{flags}", **settings)
        node.stream_port = port
        return node
    return make


@pytest.fixture
def new_tls_node(new_weir, certificates):
    """A node with a stream listener of TLS at node.tls_port, that is a.example by default."""
    def make(**settings):
        port, own = free_port(), certificates["a.example"]
        node = new_weir(STREAM_LISTEN=f"127.0.0.1:{port} ssl", SSL_CERT=own.path,
                        SSL_CERT_KEY=own.key_path, **settings)
        node.tls_port = port
        return node
    return make


def serve(node, name, address, route, **service):
    """A service and its route; `route` defaults to tcp at the node's stream listener."""
    host, _, port = address.rpartition(":") if ":" in address else (address, "", "80")
    node.admin.create("/services", {"name": name, "protocol": "tcp", "host": host,
                                    "port": int(port), **service})
    return node.admin.create(f"/services/{name}/routes", {"name": name, **route})


def tcp(node, **route):
    return {"protocols": ["tcp"], "destinations": [{"port": node.stream_port}], **route}


def pool(node, servers, upstream=None, **service):
    node.admin.create("/upstreams", {"name": "pool", **(upstream or {})})
    for server in servers:
        node.admin.create("/upstreams/pool/targets", {"target": server.address})
    serve(node, "s", "pool", tcp(node), **service)


def greeting(node, **options):
    with dial(node.stream_port, **options) as client:
        return client.line()


def is_refused(node):
    """A connection that is taken, and ends without a byte."""
    try:
        with dial(node.stream_port) as client:
            return client.sock.recv(1) == b""
    except ConnectionError:
        return True


def passive(**unhealthy):
    return {"healthchecks": {"passive": {"type": "tcp", "unhealthy": unhealthy}}}


def cannot_send(connection, data=b"more"):
    """Whether the connection is found reset when it is written to."""
    try:
        connection.send(data)
    except ConnectionError:
        return True
    return False


def fill(connection):
    """Sends until the peer, and all between, has taken nothing for a while."""
    idle = 0
    while idle < 20:
        try:
            connection.sock.send(bytes(65536))
            idle = 0
        except BlockingIOError:
            idle += 1
            time.sleep(0.02)


def metric(node, family, *labels):
    return sum(float(line.rsplit(" ", 1)[1]) for line in node.admin.get("/metrics").text.split("\n")
               if line.startswith(family) and all(label in line for label in labels))


@pytest.mark.threads
class TestTcp:
    def test_a_server_may_speak_first_and_bytes_go_both_ways(self, new_node, new_server):
        node = new_node()
        serve(node, "s", new_server("one").address, tcp(node))
        with dial(node.stream_port) as client:
            assert client.line() == b"one"
            assert client.ask(b"hello") == b"hello"
            client.end()
            assert client.rest() == b""
        eventually(lambda: node.access_log())
        line = node.access_log()[0].split()
        assert line[0] == "127.0.0.1" and line[3:7] == ["TCP", "200", "10", "6"], line
        assert metric(node, "kong_stream_sessions_total", 'route="s"', 'code="200"') == 1
        assert metric(node, "kong_bandwidth_bytes", 'route="s"', 'direction="ingress"') == 6
        assert metric(node, "kong_session_duration_ms_count", 'route="s"') == 1
        assert metric(node, "kong_nginx_connections_total", 'subsystem="stream"',
                      'state="accepted"') == 1

    def test_a_lot_goes_through_a_slow_reader_whole_and_in_order(self, new_node, new_server):
        data = bytes(range(256)) * 12_000

        def script(connection):
            received = connection.exactly(len(data))
            connection.send(received[::-1])
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node))
        with dial(node.stream_port) as client:
            threading.Thread(target=client.send, args=(data,), daemon=True).start()
            assert client.exactly(len(data)) == data[::-1]
            assert client.rest() == b""

    def test_who_is_not_read_is_not_read_from(self, new_node, new_server):
        is_done = threading.Event()
        sent = []

        def script(connection):
            connection.sock.setblocking(False)
            while not is_done.is_set():
                try:
                    sent.append(connection.sock.send(bytes(65536)))
                except BlockingIOError:
                    sent.append(0)
                    is_done.wait(0.05)
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node))
        with dial(node.stream_port) as client:
            eventually(lambda: sent[-20:] == [0] * 20)
            assert sum(sent) < 64 << 20  # what the sockets' buffers hold
            assert len(client.exactly(100_000)) == 100_000
            is_done.set()

    def test_an_end_of_either_side_is_passed_on_alone(self, new_node, new_server):
        got = []

        def script(connection):
            connection.end()
            got.append(connection.rest())
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node))
        with dial(node.stream_port) as client:
            assert client.rest() == b""
            client.send(b"after your end")
            client.end()
            eventually(lambda: got == [b"after your end"])

    def test_a_reset_of_either_side_is_passed_on_as_one(self, new_node, new_server):
        ends = []

        def script(connection):
            connection.send(b"one\n")
            try:
                ends.append(connection.line())
                connection.reset()
            except ConnectionError:
                ends.append("reset")
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node))
        with dial(node.stream_port) as client:
            assert client.ask(b"reset me") == b"one"
            assert client.is_reset()
        client = dial(node.stream_port)
        assert client.line() == b"one"
        client.send(b"half a line")
        client.reset()
        eventually(lambda: ends == [b"reset me", "reset"])

    def test_a_reset_right_behind_the_last_bytes_is_no_end(self, new_node, new_server):
        def script(connection):
            connection.line()
            connection.send(b"half of it")
            connection.reset()
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node))
        for _ in range(20):
            with dial(node.stream_port) as client:
                client.send(b"go\n")
                with pytest.raises(ConnectionError):
                    client.rest()

    def test_who_writes_on_to_a_target_that_has_ended_and_left_is_reset(self, new_node, new_server):
        may_leave = threading.Event()

        def script(connection):
            connection.end()
            may_leave.wait(PATIENCE_S)
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node))
        with dial(node.stream_port) as client:
            assert client.rest() == b""
            may_leave.set()
            eventually(lambda: cannot_send(client))

    def test_a_target_that_writes_on_to_a_client_that_has_left_is_reset(self, new_node, new_server):
        ends = []

        def script(connection):
            connection.send(b"one\n")
            assert connection.rest() == b""
            eventually(lambda: cannot_send(connection))
            ends.append("reset")
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node))
        with dial(node.stream_port) as client:
            assert client.line() == b"one"
        eventually(lambda: ends == ["reset"])

    def test_who_writes_on_and_does_not_read_is_reset_when_the_target_has_left(self, new_node,
                                                                               new_server):
        ends = []

        def script(connection):
            connection.sock.setblocking(False)
            fill(connection)
            connection.reset()
            ends.append("reset")
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node))
        with dial(node.stream_port) as client:
            eventually(lambda: ends == ["reset"])
            eventually(lambda: cannot_send(client))

    def test_idle_for_the_read_timeout_is_the_end(self, new_node, new_server):
        node = new_node()
        serve(node, "s", new_server().address, tcp(node), read_timeout=300)
        with dial(node.stream_port) as client:
            assert client.line() == b"one"
            assert client.rest() == b""


class TestRoutes:
    def test_the_narrower_route_wins_and_none_is_the_end(self, new_node, new_server):
        node = new_node()
        assert is_refused(node)
        assert node.log("stream failed", reason="no Route matched with those values", status=404)
        serve(node, "all", new_server("all").address, {"protocols": ["tcp"],
                                                       "sources": [{"ip": "0.0.0.0/0"}]})
        assert greeting(node) == b"all"
        serve(node, "own", new_server("own").address, {"protocols": ["tcp"],
                                                       "sources": [{"ip": "127.0.0.0/8"}]})
        assert greeting(node) == b"own"
        serve(node, "port", new_server("port").address,
              {"protocols": ["tcp"], "sources": [{"ip": "127.0.0.1"}],
               "destinations": [{"ip": "127.0.0.1", "port": node.stream_port}]})
        assert greeting(node) == b"port"
        node.admin.patch("/routes/port", {"destinations": [{"port": 1}]})
        assert greeting(node) == b"own"
        node.admin.patch("/services/own", {"enabled": False})
        assert greeting(node) == b"all"

    def test_a_service_that_is_none_for_streams_is_named_and_not_used(self, new_node, backend):
        node = new_node()
        node.admin.create("/services", {"name": "web", "url": backend.url})
        node.admin.create("/services/web/routes", {"name": "r", **tcp(node)})
        assert is_refused(node)
        assert node.log("stream failed", route="r", status=502)
        assert not backend.requests

    def test_what_is_for_streams_serves_no_requests(self, new_node, new_server):
        node = new_node()
        serve(node, "s", new_server().address, tcp(node))
        node.admin.create("/services/s/routes", {"name": "web", "paths": ["/web"]})
        assert node.get("/other").status == 404
        assert node.get("/web").status == 502

    def test_an_address_may_be_denied_by_a_plugin(self, new_node, new_server):
        node = new_node()
        serve(node, "s", new_server().address, tcp(node))
        assert greeting(node) == b"one"
        node.admin.create("/routes/s/plugins",
                          {"name": "ip-restriction", "config": {"deny": ["127.0.0.1"]}})
        assert is_refused(node)
        assert metric(node, "kong_stream_sessions_total", 'code="403"') == 1

    @pytest.mark.parametrize("listen, why", [
        ("127.0.0.1:0 udp", '"udp" in'),
        ("127.0.0.1:0 deferred", "deferred is not for streams"),
        ("127.0.0.1:0 ssl http2", "http2 is not for streams"),
        ("127.0.0.1", "must be off or a comma list"),
    ])
    def test_what_a_listener_cannot_be_is_said_at_start(self, weir_command, listen, why):
        result = weir_command("run", WEIR_STREAM_LISTEN=listen, WEIR_DATABASE="off")
        assert result.returncode == 1
        assert "WEIR_STREAM_LISTEN" in result.stderr and why in result.stderr

    def test_the_node_tells_of_its_stream_listeners(self, new_weir):
        port = free_port()
        node = new_weir(KONG_STREAM_LISTEN=f"127.0.0.1:{port} proxy_protocol backlog=100")
        configuration = node.admin.get("/").json()["configuration"]
        assert configuration["stream_listen"] == [f"127.0.0.1:{port} proxy_protocol backlog=100"]
        listener = configuration["stream_listeners"][0]
        assert (listener["port"], listener["proxy_protocol"], listener["ssl"]) == (port, True, False)


class TestTargets:
    def test_streams_are_balanced_over_targets(self, new_node, new_server):
        node = new_node(WORKERS=1)
        pool(node, [new_server(name) for name in ("a", "b", "c")])
        assert sorted(greeting(node) for _ in range(6)) == [b"a", b"a", b"b", b"b", b"c", b"c"]

    def test_one_that_refuses_is_tried_no_longer_than_its_row_of_failures(self, new_node, new_server):
        node = new_node(WORKERS=1)
        servers = [new_server("a"), new_server("b")]
        pool(node, servers, passive(tcp_failures=2))
        servers[0].stop()
        for _ in range(6):
            assert greeting(node) == b"b"
        assert len(node.log("upstream failed", target=servers[0].address)) == 2
        health = node.admin.get("/upstreams/pool/health").json()["data"]
        assert {entry["target"]: entry["health"] for entry in health} == {
            servers[0].address: "UNHEALTHY", servers[1].address: "HEALTHY"}

    def test_a_success_ends_the_row_of_failures(self, new_node, new_server):
        node = new_node(WORKERS=1)
        server = new_server("a")
        pool(node, [server], passive(tcp_failures=2), retries=0)
        for _ in range(3):
            server.stop()
            assert is_refused(node)
            server.start()
            assert greeting(node) == b"a"

    def test_without_retries_the_first_failure_is_the_end(self, new_node, new_server):
        node = new_node(WORKERS=1)
        server = new_server("a")
        server.stop()
        pool(node, [server], retries=0)
        assert is_refused(node)
        assert len(node.log("upstream failed")) == 1
        assert metric(node, "kong_stream_sessions_total", 'code="502"', 'source="kong"') == 1

    def test_active_checks_bring_it_back(self, new_node, new_server):
        node = new_node(WORKERS=1)
        server = new_server("a")
        server.stop()
        checks = {"healthchecks": {"active": {
            "type": "tcp", "healthy": {"interval": 0.1, "successes": 1},
            "unhealthy": {"interval": 0.1, "tcp_failures": 1}}}}
        pool(node, [server], checks, retries=0)
        eventually(lambda: node.admin.get("/upstreams/pool/health").json()["data"][0]["health"] ==
                   "UNHEALTHY")
        assert is_refused(node)
        assert not node.log("upstream failed")
        server.start()
        eventually(lambda: greeting(node) == b"a")

    def test_all_at_their_limit_refuse_the_next(self, new_node, new_server):
        node = new_node(WORKERS=1)
        pool(node, [new_server("a")], {"limits": {"max_connections": 2}})
        with dial(node.stream_port) as one, dial(node.stream_port) as two:
            assert (one.line(), two.line()) == (b"a", b"a")
            assert is_refused(node)
            assert node.log("stream failed", reason="all targets are at their limit", status=503)
        eventually(lambda: greeting(node) == b"a")

    @staticmethod
    def one_at_a_time(node, server, **limits):
        pool(node, [server], {"limits": {"max_connections": 1, "max_pending": 2,
                                         "pending_timeout": 60, **limits}})

    @staticmethod
    def waiting(node):
        return metric(node, "weir_upstream_pending{")

    @pytest.mark.parametrize("workers", [1, 2])
    def test_one_that_finds_all_at_their_limit_waits_its_turn(self, new_node, new_server, workers):
        node = new_node(WORKERS=workers)
        self.one_at_a_time(node, new_server("a"))
        with dial(node.stream_port) as first:
            assert first.line() == b"a"
            with dial(node.stream_port) as second:
                second.send(b"early")
                eventually(lambda: self.waiting(node) == 1)
                first.close()
                assert second.line() == b"a"
                assert second.ask(b"") == b"early"
        eventually(lambda: greeting(node) == b"a")
        assert self.waiting(node) == 0 and not node.log("stream failed")

    def test_who_came_first_is_first(self, new_node, new_server):
        node = new_node(WORKERS=1)
        self.one_at_a_time(node, new_server("a"))
        with dial(node.stream_port) as first:
            assert first.line() == b"a"
            with dial(node.stream_port) as second:
                eventually(lambda: self.waiting(node) == 1)
                with dial(node.stream_port) as third:
                    eventually(lambda: self.waiting(node) == 2)
                    assert is_refused(node)
                    assert node.log("stream failed", reason="too many wait for a target")
                    first.close()
                    assert second.line() == b"a"
                    eventually(lambda: self.waiting(node) == 1)
                    second.close()
                    assert third.line() == b"a"

    def test_one_that_waits_in_vain_is_refused(self, new_node, new_server):
        node = new_node(WORKERS=1)
        self.one_at_a_time(node, new_server("a"), pending_timeout=0.3)
        with dial(node.stream_port) as first:
            assert first.line() == b"a"
            assert is_refused(node)
            assert node.log("stream failed", reason="no target became free in time", status=503)
            assert first.ask(b"still") == b"still"
        eventually(lambda: greeting(node) == b"a")

    def test_a_target_that_comes_is_taken_by_who_waits(self, new_node, new_server):
        node = new_node(WORKERS=1)
        self.one_at_a_time(node, new_server("a"))
        with dial(node.stream_port) as first, dial(node.stream_port) as second:
            assert first.line() == b"a"
            eventually(lambda: self.waiting(node) == 1)
            node.admin.create("/upstreams/pool/targets", {"target": new_server("b").address})
            assert second.line() == b"b"

    def test_hashing_keeps_a_client_at_its_target(self, new_node, new_server):
        node = new_node()
        pool(node, [new_server(name) for name in "abcd"],
             {"algorithm": "consistent-hashing", "hash_on": "ip"})
        assert len({greeting(node) for _ in range(8)}) == 1

    def test_instances_come_from_consul(self, new_node, new_server, consul):
        node = new_node(CONSUL_ADDR=consul.address)
        servers = [new_server("a"), new_server("b")]
        serve(node, "s", "db", tcp(node), connect_timeout=30000)
        node.admin.create("/upstreams", {"name": "db", "discovery": {"type": "consul",
                                                                     "service": "db"}})
        consul.register("db", servers[0].port, id="a")
        eventually(lambda: greeting(node) == b"a")
        with dial(node.stream_port) as client:
            assert client.line() == b"a"
            consul.register("db", servers[1].port, id="b")
            consul.deregister("a")
            eventually(lambda: greeting(node) == b"b")
            assert greeting(node) == b"b"
            assert client.ask(b"still here") == b"still here"


@pytest.mark.threads
class TestEnd:
    def test_a_stop_waits_for_streams_and_takes_no_new_ones(self, new_node, new_server):
        node = new_node(STOP_TIMEOUT=60)
        serve(node, "s", new_server().address, tcp(node))
        client = dial(node.stream_port)
        assert client.line() == b"one"
        node.signal(15)

        def is_closed():
            try:
                dial(node.stream_port).close()
            except ConnectionError:
                return True
            return False
        eventually(is_closed)
        assert client.ask(b"go on") == b"go on"
        client.end()
        assert client.rest() == b""
        assert node.wait() == 0

    def test_a_stop_that_takes_too_long_cuts_them(self, new_node, new_server):
        node = new_node(STOP_TIMEOUT=0.2)
        serve(node, "s", new_server().address, tcp(node))
        with dial(node.stream_port) as client:
            assert client.line() == b"one"
            node.signal(15)
            assert client.is_reset()
        assert node.wait() == 0

    def test_streams_count_towards_the_limit_of_connections(self, new_node, new_server):
        node = new_node(WORKERS=1, MAX_CONNECTIONS=2)
        serve(node, "s", new_server().address, tcp(node))
        with dial(node.stream_port) as one, dial(node.stream_port) as two:
            assert (one.line(), two.line()) == (b"one", b"one")
            with dial(node.stream_port) as waiting:
                eventually(lambda: node.log("connections are at their limit: new clients wait"))
                one.close()
                assert waiting.line() == b"one"

    def test_a_handover_takes_the_listener_over_and_lets_streams_end(self, new_node, new_server,
                                                                     tmp_path):
        file = tmp_path / "weir.yml"
        server = new_server()
        file.write_text(f"""
_format_version: "3.0"
services:
- name: s
  url: tcp://{server.address}
  routes:
  - name: s
    protocols: [tcp]
    sources: [{{ip: 127.0.0.1}}]
""", encoding="utf-8")
        node = new_node(DATABASE="off", DECLARATIVE_CONFIG=file, STOP_TIMEOUT=60)
        client = dial(node.stream_port)
        assert client.line() == b"one"
        node.signal(12)  # SIGUSR2
        eventually(lambda: node.log("the new process serves; this one stops"))
        for _ in range(10):
            assert greeting(node) == b"one"
        assert client.ask(b"still here") == b"still here"
        client.close()
        assert node.wait() == 0
        eventually(lambda: greeting(node) == b"one")
        new_pid = node.log("new process started")[0]["pid"]
        subprocess.run(["kill", str(new_pid)], check=True)
        eventually(lambda: len(node.log("stopped")) == 2)


V2 = b"\r\n\r\n\0\r\nQUIT\n"


class TestProxyProtocol:
    def test_the_client_of_a_balancer_is_the_source(self, new_node, new_server):
        node = new_node(" proxy_protocol")
        serve(node, "s", new_server().address,
              {"protocols": ["tcp"], "sources": [{"ip": "192.0.2.7", "port": 4711}]})
        with dial(node.stream_port) as client:
            client.send(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 ")
            client.send(b"443\r\nfirst\n")
            assert (client.line(), client.line()) == (b"one", b"first")
        with dial(node.stream_port) as client:
            client.send(b"PROXY TCP4 192.0.2.8 10.0.0.1 4711 443\r\n")
            assert client.is_reset() or client.rest() == b""
        with dial(node.stream_port) as client:
            client.send(b"SSH-2.0-client\r\n")
            assert client.is_reset() or client.rest() == b""
        assert node.log("stream failed", reason="bad PROXY protocol header", status=400)
        eventually(lambda: any(line.startswith("192.0.2.8 ") for line in node.access_log()))

    def test_a_balancer_that_is_not_trusted_is_not_believed(self, new_node, new_server):
        node = new_node(" proxy_protocol", TRUSTED_IPS="192.0.2.0/24")
        serve(node, "s", new_server().address, {"protocols": ["tcp"],
                                                "sources": [{"ip": "127.0.0.1"}]})
        with dial(node.stream_port) as client:
            client.send(b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n")
            assert client.line() == b"one"

    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_a_target_is_told_of_the_client(self, new_node, new_server, version):
        def script(connection):
            if version == "v1":
                header = connection.line() + b"\n"
            else:
                header = connection.exactly(28)
            connection.send(header.hex().encode() + b"\n" + connection.line() + b"\n")
        node = new_node()
        serve(node, "s", new_server(script=script).address, tcp(node), proxy_protocol=version)
        with dial(node.stream_port) as client:
            client.send(b"hello\n")
            port = client.sock.getsockname()[1]
            header = bytes.fromhex(client.line().decode())
            assert client.line() == b"hello"
        if version == "v1":
            assert header == f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {node.stream_port}\r\n".encode()
        else:
            assert header == (V2 + b"\x21\x11\0\x0c" + socket.inet_aton("127.0.0.1") * 2 +
                              struct.pack(">HH", port, node.stream_port))

    def test_the_field_is_for_streams_and_hidden_from_others(self, node):
        plain = node.admin.create("/services", {"name": "plain", "url": "http://h"})
        assert "proxy_protocol" not in plain
        answer = node.admin.post("/services", {"url": "http://h", "proxy_protocol": "v1"})
        assert answer.status_code == 400
        assert answer.json()["fields"]["proxy_protocol"] == "value must be null"
        answer = node.admin.post("/services", {"url": "tcp://h:1", "proxy_protocol": "v3"})
        assert answer.json()["fields"]["proxy_protocol"] == "expected one of: v1, v2"
        made = node.admin.create("/services", {"url": "tcp://h:1", "proxy_protocol": "v2"})
        assert made["proxy_protocol"] == "v2"
        assert "proxy_protocol" not in node.admin.patch(
            f"/services/{made['id']}", {"proxy_protocol": None}).json()


class Handshake:
    """A TLS client whose messages a test may cut and put together."""

    def __init__(self, port, name):
        self.connection = dial(port)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trusting().wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def start(self, piece=None):
        """Sends the ClientHello, in records of at most `piece` bytes and segments of another size."""
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        records = self._outgoing.read()
        if piece:
            message = records[5:]
            parts = [message[at:at + piece] for at in range(0, len(message), piece)]
            records = b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part
                               for part in parts)
        for at in range(0, len(records), 97):
            self.connection.send(records[at:at + 97])

    def _until_done(self, act):
        while True:
            try:
                return act()
            except ssl.SSLWantReadError:
                data = self.connection.sock.recv(65536)
                assert data, "closed"
                self._incoming.write(data)

    def finish(self, data=b""):
        """The end of the handshake, and `data` right behind it."""
        self._until_done(self._tls.do_handshake)
        if data:
            self._tls.write(data)
        self.connection.send(self._outgoing.read())

    def read(self, size):
        data = b""
        while len(data) < size:
            data += self._until_done(lambda: self._tls.read(size - len(data)))
        return data


def tls_route(*names, protocol="tls"):
    return {"protocols": [protocol], "snis": list(names)}


@pytest.mark.threads
class TestTls:
    def test_certificate_and_route_are_chosen_by_name(self, new_tls_node, new_server, authority,
                                                      certificates):
        node = new_tls_node()
        for name, certificate in certificates.items():
            node.admin.create("/certificates", {"cert": certificate.pem, "key": certificate.key_pem,
                                                "snis": [name]})
            short = name.split(".", maxsplit=1)[0]
            serve(node, short, new_server(short).address, tls_route(name))
        for name in certificates:
            context = trusting(authority)
            context.set_alpn_protocols(["mqtt"])  # which isn't ours to choose or refuse
            with dial(node.tls_port, name, context) as client:
                assert client.line() == name[:1].encode()
                assert client.ask(b"in secret") == b"in secret"
                client.sock.unwrap().close()
        assert metric(node, "weir_tls_handshakes_total") == 2

    @pytest.mark.parametrize("ours, offered, chosen", [
        (None, ["mqtt"], None), ("mqtt,other", ["other", "mqtt"], "mqtt"),
        ("mqtt, other", ["other"], "other"), ("mqtt", [], None)])
    def test_a_protocol_is_chosen_where_the_setting_names_some(self, new_tls_node, new_server, ours,
                                                               offered, chosen):
        node = new_tls_node(**({"STREAM_SSL_ALPN": ours} if ours else {}))
        serve(node, "s", new_server().address, tls_route("a.example"))
        context = trusting()
        if offered:
            context.set_alpn_protocols(offered)
        with dial(node.tls_port, "a.example", context) as client:
            assert client.line() == b"one"
            assert client.sock.selected_alpn_protocol() == chosen

    def test_a_client_of_other_protocols_is_refused(self, new_tls_node, new_server):
        node = new_tls_node(STREAM_SSL_ALPN="mqtt")
        serve(node, "s", new_server().address, tls_route("a.example"))
        context = trusting()
        context.set_alpn_protocols(["h2", "imap"])
        with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
            dial(node.tls_port, "a.example", context)

    @pytest.mark.parametrize("alpn", [",mqtt", "mqtt,", "a b", "x" * 256, "\u00e9"])
    def test_what_is_no_list_of_protocols_is_refused(self, weir_command, alpn):
        result = weir_command("run", WEIR_STREAM_SSL_ALPN=alpn, WEIR_DATABASE="off")
        assert result.returncode == 1 and "WEIR_STREAM_SSL_ALPN" in result.stderr

    def test_a_listener_asks_for_a_certificate_of_its_own(self, new_weir, new_server, certificates,
                                                           authority):
        open_port, strict_port, own = free_port(), free_port(), certificates["a.example"]
        node = new_weir(
            STREAM_LISTEN=f"127.0.0.1:{open_port} ssl, 127.0.0.1:{strict_port} ssl "
                          f"verify_client=on client_certificate={authority.path}",
            SSL_CERT=own.path, SSL_CERT_KEY=own.key_path)
        serve(node, "s", new_server().address, tls_route("a.example"))
        mine = authority.issue("client.example")
        for port, certificate in ((open_port, None), (strict_port, mine)):
            with dial(port, "a.example", trusting(certificate=certificate)) as client:
                assert client.line() == b"one"
        with pytest.raises((OSError, Closed)), dial(strict_port, "a.example", trusting()) as client:
            client.line()

    def test_what_the_client_sends_with_its_handshake_comes_after_it(self, new_tls_node, new_server):
        node = new_tls_node()
        serve(node, "s", new_server().address, tls_route("a.example"))
        with Handshake(node.tls_port, "a.example") as client:
            client.start()
            client.finish(b"early\n")
            assert client.read(10) == b"one\nearly\n"

    def test_a_client_of_openssl_is_served(self, new_tls_node, new_server):
        node = new_tls_node()

        def script(connection):
            connection.send(b"got " + connection.line())
        serve(node, "s", new_server(script=script).address, tls_route("a.example"))
        client = subprocess.run(
            ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{node.tls_port}",
             "-servername", "a.example"],
            input=b"it\n", capture_output=True, timeout=60, check=False)
        assert client.stdout == b"got it", client

    def test_the_target_may_speak_tls_too(self, new_node, new_server, authority, certificates):
        server = new_server(context=serving(certificates["b.example"]))
        node = new_node()
        ca = node.admin.create("/ca_certificates", {"cert": authority.pem})
        node.admin.create("/upstreams", {"name": "pool", "host_header": "b.example"})
        node.admin.create("/upstreams/pool/targets", {"target": server.address})
        serve(node, "s", "pool", tcp(node), protocol="tls", tls_verify=True,
              ca_certificates=[ca["id"]], retries=0)
        assert greeting(node) == b"one"
        assert server.connections[0].sock.asked_name == "b.example"
        node.admin.patch("/upstreams/pool", {"host_header": "a.example"})
        assert is_refused(node)
        assert node.log("upstream failed", reason="hostname mismatch")

    def test_a_name_without_a_route_gets_the_alert_for_it(self, new_tls_node, new_server):
        node = new_tls_node()
        serve(node, "s", new_server().address, tls_route("a.example", "*.wild.example"))
        for name in ("a.example", "x.wild.example", "x.y.wild.example"):
            with dial(node.tls_port, name, trusting()) as client:
                assert client.line() == b"one"
        for name in ("other.example", "wild.example", None):
            with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
                dial(node.tls_port, name, trusting())

    def test_what_is_no_tls_is_refused_and_counted(self, new_tls_node, new_server):
        node = new_tls_node()
        serve(node, "s", new_server().address, tls_route("a.example"))
        with dial(node.tls_port) as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert client.is_reset() or client.rest() == b""
        eventually(lambda: metric(node, "weir_streams_failed_total", 'reason="not TLS"') == 1)
        dial(node.tls_port).close()  # as a port scan does
        eventually(lambda: len(node.access_log()) == 2)
        assert metric(node, "weir_streams_failed_total") == 1

    def test_silence_is_the_end(self, new_tls_node):
        node = new_tls_node(SSL_HANDSHAKE_TIMEOUT=0.3)
        with dial(node.tls_port) as client:
            assert client.is_reset() or client.rest() == b""
        eventually(lambda: metric(node, "weir_streams_failed_total", 'code="408"') == 1)

    def test_a_client_cut_off_is_not_taken_for_one_that_has_ended(self, new_tls_node, new_server):
        results = []

        def script(connection):
            try:
                results.append(connection.rest())
            except ConnectionError:
                results.append("reset")
        node = new_tls_node()
        serve(node, "s", new_server(script=script).address, tls_route("a.example"))
        client = dial(node.tls_port, "a.example", trusting())
        client.send(b"half")
        client.sock.close()  # without a close_notify
        eventually(lambda: results == ["reset"])


@pytest.mark.threads
class TestPassthrough:
    def test_the_target_ends_tls_and_is_chosen_by_name(self, new_tls_node, new_server, authority,
                                                       certificates):
        node = new_tls_node()
        for name, certificate in certificates.items():
            short = name.split(".", maxsplit=1)[0]
            serve(node, short, new_server(short, context=serving(certificate)).address,
                  tls_route(name, protocol="tls_passthrough"))
        for name in certificates:
            with dial(node.tls_port, name, trusting(authority)) as client:
                assert client.line() == name[:1].encode()
                assert client.ask(b"in secret") == b"in secret"
        assert metric(node, "weir_tls_handshakes_total") == 0

    def test_passed_through_and_ended_names_share_a_listener(self, new_tls_node, new_server, authority,
                                                            certificates):
        node = new_tls_node()
        serve(node, "through", new_server("a", context=serving(certificates["a.example"])).address,
              tls_route("a.example", protocol="tls_passthrough"))
        serve(node, "ended", new_server("plain").address, tls_route("b.example"))
        with dial(node.tls_port, "a.example", trusting(authority)) as client:
            assert client.line() == b"a"
        with dial(node.tls_port, "b.example", trusting()) as client:
            assert client.line() == b"plain"

    @pytest.mark.parametrize("piece", [1, 7, 100])
    def test_a_hello_may_come_in_any_pieces(self, new_tls_node, new_server, piece, certificates):
        """Cut into records of that many bytes, and these into segments."""
        node = new_tls_node()
        server = new_server(context=serving(certificates["a.example"]))
        serve(node, "s", server.address, tls_route("a.example", protocol="tls_passthrough"))
        with Handshake(node.tls_port, "a.example") as client:
            client.start(piece)
            client.finish()
            assert client.read(4) == b"one\n"

    def test_the_name_goes_with_version_2_of_the_proxy_protocol(self, new_tls_node, new_server):
        seen = []

        def script(connection):
            header = connection.exactly(16)
            seen.append(connection.exactly(struct.unpack(">H", header[14:])[0]))
        server = new_server(script=script)
        node = new_tls_node()
        serve(node, "s", server.address, tls_route("a.example", protocol="tls_passthrough"),
              proxy_protocol="v2")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            dial(node.tls_port, "a.example", trusting())
        assert seen[0][12:] == b"\x02\0\x09a.example"

    def test_one_that_refuses_is_followed_by_another_with_the_same_hello(self, new_tls_node, new_server,
                                                                        certificates):
        node = new_tls_node(WORKERS=1)
        dead = new_server("dead")
        dead.stop()
        live = new_server("live", context=serving(certificates["a.example"]))
        node.admin.create("/upstreams", {"name": "pool"})
        for server in (dead, live):
            node.admin.create("/upstreams/pool/targets", {"target": server.address})
        serve(node, "s", "pool", tls_route("a.example", protocol="tls_passthrough"))
        for _ in range(4):
            with dial(node.tls_port, "a.example", trusting()) as client:
                assert client.line() == b"live"
        assert node.log("upstream failed", target=dead.address)
