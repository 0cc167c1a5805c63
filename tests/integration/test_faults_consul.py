"""Faults of Consul and of the way to it that need more than one agent and its answers, each by its
number in the list of faults: many services, much change, silence, clocks, and the life of weir."""

import copy
import ctypes
import json
import os
import signal
import socket
import threading

import pytest
import requests

from support.answers import all_who_answer, wait_until_only
from support.backends import FastBackend, response
from support.certificates import certify
from support.consul import Consul
from support.load import Load
from support.ports import free_port
from support.tcp_proxy import TcpProxy
from support.waiting import always, eventually
from support.world import World

pytestmark = pytest.mark.consul


def discovery(weir):
    return weir.admin.get("/status").json()["weir"]["discovery"]


def sockets_to(port, weir):
    """How many connections weir has established to 127.0.0.1:`port`."""
    remote, count, own = f"0100007F:{port:04X}", 0, set()
    for name in os.listdir(f"/proc/{weir.pid}/fd"):
        try:
            own.add(os.readlink(f"/proc/{weir.pid}/fd/{name}"))
        except OSError:
            pass  # closed meanwhile
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            count += fields[2] == remote and f"socket:[{fields[9]}]" in own
    return count


class TestManyServices:
    def serve_many(self, weir, names):
        """An upstream each, so that each is watched, and routes to the first and the last."""
        for name in names:
            weir.admin.create("/upstreams", {
                "name": name, "discovery": {"type": "consul", "service": name}})
        for name in (names[0], names[-1]):
            weir.serve(name, f"http://{name}")

    def test_fault_21_many_services_share_few_sockets_over_tls(self, new_weir, consul_binary,
                                                               tmp_path, new_backend):
        authority = certify(tmp_path, "authority")
        server = certify(tmp_path, "server.dc1.consul", authority)
        port = free_port()
        agent = Consul(consul_binary, str(tmp_path / "consul"), hcl=f'''
            ports {{ https = {port} }}
            tls {{ https {{ cert_file = "{server[0]}" key_file = "{server[1]}" }} }}''')
        try:
            names = [f"s{number}" for number in range(250)]
            weir = new_weir(CONSUL_ADDR=f"https://127.0.0.1:{port}", CONSUL_CACERT=authority[0],
                            CONSUL_SERVER_NAME="server.dc1.consul")
            self.serve_many(weir, names)
            for name in (names[0], names[-1]):
                agent.register(name, new_backend(name).port)
                wait_until_only(weir, [name], f"/{name}")
            assert discovery(weir)["consul"]["watches"] == 250
            # A hundred queries a connection, and a few that broke off meanwhile.
            assert 0 < sockets_to(port, weir) <= 16
            agent.register(names[-1], new_backend("other").port)
            wait_until_only(weir, [names[-1], "other"], f"/{names[-1]}")
        finally:
            agent.stop()

    def test_fault_21_many_services_take_turns_where_sockets_are_few(self, new_weir, consul,
                                                                     new_backend):
        names = [f"s{number}" for number in range(160)]
        weir = new_weir(CONSUL_ADDR=consul.address)
        self.serve_many(weir, names)
        for name in (names[0], names[-1]):
            consul.register(name, new_backend(name).port)
            wait_until_only(weir, [name], f"/{name}")
        always(lambda: sockets_to(consul.port, weir) <= 128, during=1)
        consul.register(names[-1], new_backend("other").port)
        wait_until_only(weir, [names[-1], "other"], f"/{names[-1]}")
        assert not weir.log("consul unreachable")

    def test_fault_21_two_thousand_services_are_all_followed(self, new_weir, consul, tmp_path,
                                                             is_sanitized):
        names = [f"s{number:04}" for number in range(400 if is_sanitized else 2000)]
        self.set_all(consul, names, "passing")
        file = tmp_path / "many.yml"
        file.write_text("_format_version: '3.0'\nupstreams:\n" + "".join(
            f"- {{name: {name}, discovery: {{type: consul, service: {name}}}}}\n"
            for name in names), encoding="ascii")
        weir = new_weir(CONSUL_ADDR=consul.address, DATABASE="off", DECLARATIVE_CONFIG=str(file))

        def watches():
            return weir.admin.get("/discovery?size=1000").json()["data"]
        eventually(lambda: sum(watch["targets"] for watch in watches()) == len(names), within=90,
                   every=0.2)
        eventually(lambda: sum(watch["phase"] == "listening" for watch in watches()) >=
                   len(names) - 96, within=90, every=0.2)
        chosen = names[::len(names) // 20]
        for status in ("critical", "passing"):
            self.set_all(consul, chosen, status)
            usable = 0 if status == "critical" else 1
            eventually(lambda u=usable: all(watch["usable"] == u for watch in watches()
                                            if watch["name"] in chosen))
            assert sockets_to(consul.port, weir) <= 128
        assert not weir.log("consul change missed") and discovery(weir)["state"] == "ready"

    @staticmethod
    def set_all(consul, names, status):
        operations = [{"Node": {"Verb": "set", "Node": {"Node": "far", "Address": "127.0.0.1"}}}]
        for name in names:
            operations += [
                {"Service": {"Verb": "set", "Node": "far", "Service": {
                    "ID": name, "Service": name, "Address": "127.0.0.1", "Port": 9}}},
                {"Check": {"Verb": "set", "Check": {
                    "Node": "far", "CheckID": name, "Name": "c", "Status": status,
                    "ServiceID": name}}}]
        for at in range(0, len(operations), 64):
            consul.put("/v1/txn", operations[at:at + 64])

    def test_fault_14_an_agent_with_few_connections_serves_all(self, new_weir, consul_binary,
                                                               tmp_path, new_backend):
        agent = Consul(consul_binary, str(tmp_path / "consul"),
                       hcl="limits { http_max_conns_per_client = 40 }")
        try:
            names = [f"s{number}" for number in range(60)]
            weir = new_weir(CONSUL_ADDR=agent.address)
            self.serve_many(weir, names)
            for name in (names[0], names[-1]):
                agent.register(name, new_backend(name).port)
                wait_until_only(weir, [name], f"/{name}")
            agent.register(names[-1], new_backend("other").port)
            wait_until_only(weir, [names[-1], "other"], f"/{names[-1]}")
        finally:
            agent.stop()

    def test_fault_20_a_huge_service_stalls_nothing(self, new_weir, consul, is_sanitized):
        count = 1500 if is_sanitized else 10000
        backend = FastBackend("huge", host="0.0.0.0")
        try:
            weir = new_weir(CONSUL_ADDR=consul.address)
            weir.serve("web", "http://web")
            addresses = [f"127.{2 + n // 40000}.{n // 200 % 200 + 1}.{n % 200 + 1}"
                         for n in range(count)]
            consul.set_in_catalog("web", addresses[:1], port=backend.port)
            weir.wait_until_answers("/web")
            before_kib = weir.rss_kib()
            with Load(weir.proxy_port, "/web", rate=100) as load:
                consul.set_in_catalog("web", addresses, port=backend.port)
                eventually(lambda: len(weir.targets_in_use()) == count, within=90, every=0.2)
                load.wait_for_more(20)
                consul.set_in_catalog("web", [], gone=addresses[:1], port=backend.port)
                eventually(lambda: len(weir.targets_in_use()) == count - 1, within=60, every=0.2)
            load.assert_all_fine()
            assert not weir.log("control was blocked")
            if not is_sanitized:
                # Measured: 1.8 KiB each, with what allocators keep of a few turns, and a worker.
                assert weir.rss_kib() - before_kib < count * 3
        finally:
            backend.stop()

    def test_fault_22_a_quiet_service_is_followed_while_others_change(self, new_weir, consul,
                                                                      new_backend, is_sanitized):
        weir = new_weir(CONSUL_ADDR=consul.address)
        for name in ("web", "busy"):
            weir.serve(name, f"http://{name}")
        consul.register("web", new_backend("a").port)
        wait_until_only(weir, ["a"])
        is_over = threading.Event()
        changes = 0

        def churn():
            """Ten minutes of a hundred changes a second are no other than this minute's: what could
            pile up does so by changes. Each transaction has eight of the one that is followed, and
            as many of others."""
            nonlocal changes
            while not is_over.wait(0.005):
                turn = changes // 16
                for name in ("busy", f"other-{turn % 50}"):
                    consul_two.set_in_catalog(
                        name, [f"127.0.9.{(turn * 4 + n) % 240 + 1}" for n in range(4)],
                        gone=[f"127.0.9.{(turn * 4 + n + 120) % 240 + 1}" for n in range(4)])
                changes += 16
        consul_two = copy.copy(consul)  # a session of its own for the other thread
        consul_two._http = requests.Session()
        consul_two._http.trust_env = False
        churner = threading.Thread(target=churn)
        churner.start()
        try:
            eventually(lambda: changes > 1000, within=60)
            before_kib, before_changes = weir.rss_kib(), changes
            with Load(weir.proxy_port, "/web", rate=100) as load:
                for turn in range(10):
                    other = new_backend(f"b{turn}")
                    consul.register("web", other.port, id=f"b{turn}")
                    wait_until_only(weir, ["a", f"b{turn}"])
                    consul.deregister(f"b{turn}")
                    wait_until_only(weir, ["a"])
            load.assert_all_fine()
        finally:
            is_over.set()
            churner.join()
        assert changes - before_changes > 200
        eventually(lambda: discovery(weir)["state"] == "ready")
        if not is_sanitized:
            assert weir.rss_kib() - before_kib < 16384
        # Answers that nobody has read would be waiting; but there is one question at a time.
        row = next(row for row in weir.admin.get("/discovery").json()["data"]
                   if row["name"] == "busy" and row["source"] == "consul")
        assert row["reads"] - row["wake_ups"] <= 1 + row["errors"]

    def test_fault_55_a_pool_grows_to_a_hundred_and_shrinks_without_an_error(self, new_weir,
                                                                             consul):
        backend = FastBackend("web", host="0.0.0.0")
        try:
            weir = new_weir(CONSUL_ADDR=consul.address)
            weir.serve("web", "http://web")
            addresses = [f"127.0.3.{n + 1}" for n in range(100)]
            consul.set_in_catalog("web", addresses[:1], port=backend.port)
            weir.wait_until_answers("/web")
            with Load(weir.proxy_port, "/web", rate=200) as load:
                consul.set_in_catalog("web", addresses[1:], port=backend.port)
                eventually(lambda: len(weir.targets_in_use()) == 100)
                load.wait_for_more(50)
                consul.set_in_catalog("web", [], gone=addresses[1:], port=backend.port)
                eventually(lambda: len(weir.targets_in_use()) == 1)
                load.wait_for_more(50)
            load.assert_all_fine()
            consul.set_in_catalog("web", [], gone=addresses[:1])
            weir.wait_until_answers("/web", 503)
            consul.set_in_catalog("web", addresses[:20], port=backend.port)
            eventually(lambda: len(weir.targets_in_use()) == 20)
            weir.wait_until_answers("/web")
        finally:
            backend.stop()


class TestServers:
    @pytest.fixture
    def servers(self, consul_binary, tmp_path):
        """Three that elect a leader among them."""
        agents = []
        serf = [free_port() for _ in range(3)]
        join = json.dumps([f"127.0.0.1:{port}" for port in serf])

        class Server(Consul):
            def __init__(self, number):
                self.number = number
                super().__init__(consul_binary, str(tmp_path / f"consul-{number}"),
                                 hcl=f"bootstrap_expect = 3 retry_join = {join} "
                                     f"retry_interval = \"1s\" node_name = \"n{number}\"")

            def start(self):
                self._other_ports[1] = serf[self.number]
                super().start()

            def _is_ready(self):
                return True  # the leader comes with the third

        try:
            for number in range(3):
                agents.append(Server(number))
            eventually(lambda: self.leader(agents), within=90, every=0.2)
            yield agents
        finally:
            for agent in agents:
                agent.stop()

    @staticmethod
    def leader(agents):
        """The one that leads, as the first that runs tells it."""
        for agent in agents:
            try:
                address = agent.get("/v1/status/leader")
            except requests.RequestException:
                continue
            for one in agents:
                if address == f"127.0.0.1:{one._other_ports[0]}":
                    return one
        return None

    def test_fault_4_a_killed_leader_costs_nothing(self, servers, new_weir, new_backend):
        leader = self.leader(servers)
        follower = next(agent for agent in servers if agent is not leader)
        third = next(agent for agent in servers if agent not in (leader, follower))
        weir = new_weir(CONSUL_ADDR=follower.address)
        weir.serve("web", "http://web")
        for name in ("a", "b", "c"):
            follower.register_in_catalog("web", new_backend(name).port, id=name, node=name)
        wait_until_only(weir, ["a", "b", "c"])
        with Load(weir.proxy_port, "/web", rate=50) as load:
            leader.stop()
            always(lambda: all_who_answer(weir, requests=3) <= {"a", "b", "c"}, during=1)
            eventually(lambda: self.leader([follower, third]), within=90, every=0.2)
            backend = new_backend("d")
            eventually(lambda: follower.register_in_catalog(
                "web", backend.port, id="d", node="d") is None, within=60, every=0.5)
            wait_until_only(weir, ["a", "b", "c", "d"])
        load.assert_all_fine()
        assert not weir.log("target left")


class TestSilence:
    def test_fault_9_an_agent_that_falls_silent_is_left(self, new_weir, consul, new_backend):
        """A query may be silent for its wait; then the next address is asked, without index."""
        wire = TcpProxy(consul.port)
        try:
            weir = new_weir(CONSUL_ADDR=f"127.0.0.1:{wire.port},{consul.address}", CONSUL_WAIT=1)
            weir.serve("web", "http://web")
            consul.register("web", new_backend("a").port, id="a")
            wait_until_only(weir, ["a"])
            wire.freeze()
            consul.register("web", new_backend("b").port, id="b")
            eventually(lambda: weir.log("consul address changed"), within=60)
            wait_until_only(weir, ["a", "b"])
            assert weir.log("consul unreachable")
        finally:
            wire.stop()

    def test_fault_59_a_node_that_is_cut_off_keeps_what_it_knows(self, new_weir, consul,
                                                                 new_backend):
        wire = TcpProxy(consul.port)
        try:
            cut, whole = (new_weir(CONSUL_ADDR=address)
                          for address in (f"127.0.0.1:{wire.port}", consul.address))
            a, b = new_backend("a"), new_backend("b")
            for weir in (cut, whole):
                weir.serve("web", "http://web")
            consul.register("web", a.port, id="a")
            consul.register("web", b.port, id="b")
            for weir in (cut, whole):
                wait_until_only(weir, ["a", "b"])
            wire.cut()
            consul.deregister("b")
            wait_until_only(whole, ["a"])
            eventually(lambda: discovery(cut)["state"] == "degraded")
            assert not discovery(cut)["consul"]["reachable"]
            assert all_who_answer(cut) == {"a", "b"}
            b.stop()  # and dead: live traffic tells
            always(lambda: cut.get("/web").status == 200, during=0.5)
            wire.mend()
            eventually(lambda: discovery(cut)["state"] == "ready")
            wait_until_only(cut, ["a"])
        finally:
            wire.stop()


class TestWorld:
    """With clocks and names that the test moves."""

    @pytest.fixture
    def world(self, tmp_path):
        return World(str(tmp_path))

    @pytest.fixture
    def new_weir_in(self, new_weir, world):
        def make(**settings):
            weir = new_weir(start=False, **settings)
            weir.settings.update(world.environment)
            return weir.start()
        return make

    def test_fault_40_clocks_that_jump_and_a_machine_that_sleeps(self, new_weir_in, world,
                                                                 fake_consul, new_backend):
        a, b = new_backend("a"), new_backend("b")
        fake_consul.set("web", [a.port, b.port])
        weir = new_weir_in(CONSUL_ADDR=fake_consul.address)
        weir.serve("web", "http://web")
        wait_until_only(weir, ["a", "b"])
        for jump in (86400, -86400, 0):
            world.move_wall_clock(jump)
            always(lambda: all_who_answer(weir, requests=4) <= {"a", "b"}, during=0.2)
        fake_consul.set("web", [a.port])
        wait_until_only(weir, ["a"])

        eventually(lambda: "index=" in fake_consul.last.target)
        asked = len(fake_consul.requests)
        world.sleep(600)
        slept = eventually(lambda: weir.log("the machine was suspended"))[0]["seconds"]
        assert slept in (599, 600)  # whole ones, of clocks read one after the other
        # All is asked anew, without index, and nothing is lost.
        eventually(lambda: len(fake_consul.requests) >= asked + 2)
        assert "index=" not in fake_consul.requests[asked].target
        assert all_who_answer(weir) == {"a"}

    def test_fault_19_a_name_of_consuls_that_fails_or_moves(self, new_weir_in, world, fake_consul,
                                                            consul, new_backend):
        a, b, c = (new_backend(name) for name in "abc")
        world.resolve_to("127.0.0.1")
        fake_consul.set("web", [a.port])
        weir = new_weir_in(CONSUL_ADDR=f"consul.test:{fake_consul.port}")
        weir.serve("web", "http://web")
        wait_until_only(weir, ["a"])
        # The name fails, and the connection breaks: the agent is where it was.
        world.resolve_to(None)
        fake_consul.drop_connections()
        fake_consul.set("web", [a.port, b.port])
        wait_until_only(weir, ["a", "b"])
        # It moves: there it is found.
        world.resolve_to("127.0.0.2")
        fake_consul.misbehave = b""
        fake_consul.stop()
        moved = Moved(fake_consul.port, fake_consul.entry("web", c.port))
        try:
            eventually(lambda: "c" in all_who_answer(weir), within=60)
        finally:
            moved.stop()


class Moved:
    """Answers one health query for ever, at 127.0.0.2."""

    def __init__(self, port, entry):
        self._listener = socket.create_server(("127.0.0.2", port))
        self._answer = response(200, [("X-Consul-Index", 500)], json.dumps([entry]))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock:
            while True:
                try:
                    head = sock.recv(65536)
                    if not head:
                        return
                    if b"index=" not in head:
                        sock.sendall(self._answer)
                except OSError:
                    return

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class TestLife:
    """Of weir itself."""

    def test_fault_41_reloads_and_configuration_changes_disturb_no_watch(self, new_weir,
                                                                         fake_consul, new_backend):
        a, b = new_backend("a"), new_backend("b")
        fake_consul.set("web", [a.port, b.port])
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        weir.serve("web", "http://web")
        wait_until_only(weir, ["a", "b"])
        eventually(lambda: len(fake_consul.health_queries("web")) == 2)
        with Load(weir.proxy_port, "/web", rate=100) as load:
            for turn in range(8):
                weir.signal(signal.SIGHUP)
                weir.serve(f"other-{turn}", "http://127.0.0.1:1")
                load.wait_for_more(4)
        load.assert_all_fine()
        assert len(fake_consul.health_queries("web")) == 2  # the first read, and the one that waits
        assert not weir.log("target left")
        fake_consul.set("web", [a.port])
        wait_until_only(weir, ["a"])

    def test_fault_43_a_crash_forgets_no_target(self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        weir.serve("web", "http://web")
        for name in ("a", "b"):
            consul.register("web", new_backend(name).port, id=name)
        wait_until_only(weir, ["a", "b"])
        saved = os.path.join(weir.directory, "data/discovery.json")

        def targets():
            with open(saved, encoding="utf-8") as file:
                return [target for source in json.load(file)["sources"].values()
                        for target in source["targets"]]
        eventually(lambda: len(targets()) == 2)
        consul.stop()
        weir.kill()
        weir.start()
        wait_until_only(weir, ["a", "b"])

    def test_what_is_removed_and_put_back_while_consul_is_away_has_its_targets(
            self, new_weir, consul, new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        weir.serve("web", "http://web")
        consul.register("web", new_backend("a").port, id="a")
        wait_until_only(weir, ["a"])
        consul.stop()
        eventually(lambda: weir.log("consul unreachable"))
        for _ in range(2):  # the second time its targets are such as were kept already
            weir.admin.delete("/routes/web")
            weir.admin.delete("/services/web")
            eventually(lambda: not weir.admin.get("/discovery").json()["data"])
            weir.serve("web", "http://web")
            wait_until_only(weir, ["a"])

    @pytest.mark.skipif(os.uname().machine != "x86_64", reason="ptrace's numbers")
    def test_fault_60_a_control_thread_that_stands_still_stops_no_traffic(self, new_weir, consul,
                                                                          new_backend, tmp_path):
        world = World(str(tmp_path))
        weir = new_weir(start=False, CONSUL_ADDR=consul.address)
        weir.settings.update(world.environment)
        weir.start()
        weir.serve("web", "http://web")
        consul.register("web", new_backend("a").port, id="a")
        wait_until_only(weir, ["a"])
        with Load(weir.proxy_port, "/web", rate=100) as load:
            with Stopped(weir.pid):
                consul.register("web", new_backend("b").port, id="b")
                load.wait_for_more(100)
                world.pass_time(9)  # a second has really passed, and these besides
                load.wait_for_more(50)
            wait_until_only(weir, ["a", "b"])
        load.assert_all_fine()
        eventually(lambda: weir.log("control was blocked"))
        assert discovery(weir)["stalls"] >= 1
        assert discovery(weir)["longest_stall_ms"] >= 9000


class Stopped:
    """One thread of a child stands still, as under a debugger; the others run."""

    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17

    def __init__(self, thread):
        self._thread = thread
        self._libc = ctypes.CDLL(None, use_errno=True)

    def _ptrace(self, request):
        arguments = [ctypes.c_long(number) for number in (request, self._thread, 0, 0)]
        if self._libc.ptrace(*arguments) < 0:
            error = ctypes.get_errno()
            if request == self.SEIZE and error == 1:
                pytest.skip("ptrace is not allowed here")
            raise OSError(error, os.strerror(error))

    def __enter__(self):
        self._ptrace(self.SEIZE)
        self._ptrace(self.INTERRUPT)
        eventually(lambda: os.waitpid(self._thread, 0x40000000 | os.WNOHANG)[0] == self._thread)

    def __exit__(self, *_):
        self._ptrace(self.DETACH)


class TestInstances:
    @pytest.fixture
    def weir(self, new_weir, consul):
        weir = new_weir(CONSUL_ADDR=consul.address)
        weir.serve("web", "http://web")
        return weir

    def test_fault_29_a_network_split_takes_nothing_that_answers(self, weir, consul, new_backend):
        backends = {f"n{number}": new_backend(f"n{number}") for number in range(6)}

        def register(name, status):
            consul.put("/v1/catalog/register", {
                "Node": name, "Address": "127.0.0.1",
                "Service": {"Service": "web", "ID": "web", "Port": backends[name].port},
                "Check": {"Node": name, "CheckID": "serfHealth", "Name": "Serf",
                          "Status": status}})
        for name in backends:
            register(name, "passing")
        wait_until_only(weir, backends)
        with Load(weir.proxy_port, "/web", rate=100) as load:
            for name in list(backends)[:4]:
                register(name, "critical")
            load.wait_for_more(100)
            assert len(all_who_answer(weir, requests=40)) >= 4
            for name in backends:
                register(name, "passing")
            wait_until_only(weir, backends)
        load.assert_all_fine()

    def test_fault_34_an_address_that_now_is_another_services(self, weir, consul, new_backend):
        def answer_of(path):
            def answer(request, _connection):
                known = request.target in (path, "/")
                return response(200 if known else 404, [("X-Backend", path)], "")
            return answer
        right = new_backend("right", answer_of("/health-web"))
        wrong = new_backend("wrong", answer_of("/health-other"))
        weir.admin.create("/upstreams", {
            "name": "checked", "discovery": {"type": "consul", "service": "web"},
            "healthchecks": {"active": {
                "type": "http", "http_path": "/health-web",
                "healthy": {"interval": 1, "successes": 1},
                "unhealthy": {"interval": 1, "http_failures": 1, "http_statuses": [404]}}}})
        weir.serve("checked", "http://checked")
        consul.register_in_catalog("web", right.port, id="web", node="alive")
        consul.register_in_catalog("web", wrong.port, id="web", node="stale")
        eventually(lambda: all_who_answer(weir, "/checked") == {"/health-web"})

    def test_fault_56_a_rolling_restart_without_any_grace_fails_no_get(self, weir, consul,
                                                                       new_fast_backend):
        ports = {}
        for number in range(4):
            backend = ports[number] = new_fast_backend(f"old-{number}")
            consul.register("web", backend.port, id=f"web-{number}")
        wait_until_only(weir, [f"old-{number}" for number in range(4)])
        with Load(weir.proxy_port, "/web", rate=300, connections=6) as load:
            for number in range(4):
                consul.deregister(f"web-{number}")
                ports[number].stop()
                backend = new_fast_backend(f"new-{number}", port=ports[number].port)
                consul.register("web", backend.port, id=f"web-{number}")
                eventually(lambda n=number: f"new-{n}" in all_who_answer(weir))
        load.assert_all_fine()

    def test_a_service_followed_through_the_agents_cache(self, weir, consul, new_backend):
        weir.admin.create("/upstreams", {"name": "cached", "discovery": {
            "type": "consul", "service": "web", "cached": True}})
        weir.serve("cached", "http://cached")
        for name in ("a", "b", "c"):
            consul.register("web", new_backend(name).port, id=name)
            eventually(lambda n=name: n in all_who_answer(weir, "/cached"))
        consul.deregister("a")
        wait_until_only(weir, ["b", "c"], "/cached")


class TestQueries:
    def test_where_to_look_is_asked_of_consul(self, new_weir, fake_consul, backend):
        fake_consul.set("web", [backend.port])
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        weir.admin.create("/upstreams", {"name": "by-record", "discovery": {
            "type": "consul", "service": "web", "namespace": "east", "partition": "blue",
            "datacenter": "dc2"}})
        weir.admin.create("/upstreams", {"name": "by-peer", "discovery": {
            "type": "consul", "service": "web", "peer": "other"}})
        hosts = {"record": "by-record", "peer": "by-peer",
                 "name": "web.service.north.ns.green.ap.dc3.dc.consul",
                 "old": "web.service.south.dc4.consul", "tag": "_web._v2.service.consul"}
        for name, host in hosts.items():
            weir.serve(name, f"http://{host}")
            weir.wait_until_answers(f"/{name}")

        def asked(*parts):
            return any(all(part in f"{request.target}&" for part in parts)
                       for request in fake_consul.requests)
        assert asked("ns=east&", "partition=blue&", "dc=dc2&")
        assert asked("peer=other&")
        assert asked("ns=north&", "partition=green&", "dc=dc3&")
        assert asked("ns=south&", "dc=dc4&")
        assert asked("tag=v2&")

    def test_bad_entries_are_named(self, new_weir, fake_consul, backend):
        good = fake_consul.entry("web", backend.port)
        bad = fake_consul.entry("web", -1)
        bad["Service"]["ID"] = "the-bad-one"
        fake_consul.misbehave = response(200, [("X-Consul-Index", 99)],
                                         json.dumps([good, bad]))
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        weir.serve("web", "http://web")
        weir.wait_until_answers("/web")
        entry = eventually(lambda: weir.log("consul instances left out"))[0]
        assert entry["entry"] == "fake-node/the-bad-one"


class TestNear:
    """Instances of weir's own zone or node first."""

    @pytest.fixture
    def register(self, consul, new_backend):
        def make(name, zone, node=None):
            backend = new_backend(name)
            consul.put("/v1/catalog/register", {
                "Node": node or f"node-{name}", "Address": "127.0.0.1", "NodeMeta": {"zone": zone},
                "Service": {"Service": "web", "ID": name, "Port": backend.port}})
            return backend
        return make

    def test_the_own_zone_takes_all_while_enough_of_it_can(self, new_weir, consul, register):
        near = {name: register(name, "east") for name in ("e1", "e2", "e3", "e4")}
        far = {name: register(name, "west") for name in ("w1", "w2")}
        weir = new_weir(CONSUL_ADDR=consul.address, ZONE="east")
        weir.admin.create("/upstreams", {"name": "near", "discovery": {
            "type": "consul", "service": "web", "near": "zone"}})
        weir.serve("near", "http://near")
        wait_until_only(weir, near, "/near")
        # One of four may be missing; with two less the other zone helps out.
        consul.put("/v1/catalog/register", {
            "Node": "node-e1", "Address": "127.0.0.1", "SkipNodeUpdate": True,
            "Check": {"CheckID": "c", "Name": "c", "ServiceID": "e1", "Status": "critical"}})
        wait_until_only(weir, ["e2", "e3", "e4"], "/near")
        consul.put("/v1/catalog/register", {
            "Node": "node-e2", "Address": "127.0.0.1", "SkipNodeUpdate": True,
            "Check": {"CheckID": "c", "Name": "c", "ServiceID": "e2", "Status": "critical"}})
        wait_until_only(weir, ["e3", "e4", *far], "/near")

    def test_a_zone_that_dies_at_once_fails_no_request(self, new_weir, consul, register):
        near = [register(name, "east") for name in ("e1", "e2")]
        far = ["w1", "w2"]
        for name in far:
            register(name, "west")
        weir = new_weir(CONSUL_ADDR=consul.address, ZONE="east")
        weir.admin.create("/upstreams", {
            "name": "near",
            "discovery": {"type": "consul", "service": "web", "near": "zone"},
            "healthchecks": {"passive": {"unhealthy": {"tcp_failures": 1}}}})
        weir.serve("near", "http://near")
        wait_until_only(weir, ["e1", "e2"], "/near")
        with Load(weir.proxy_port, "/near", rate=200) as load:
            load.wait_for_more(20)
            for backend in near:
                backend.stop()
            wait_until_only(weir, far, "/near")
        load.assert_all_fine()

    def test_the_own_node_comes_before_the_own_zone(self, new_weir, consul, register):
        register("here", "east", node="mine")
        register("zone", "east")
        register("far", "west")
        weir = new_weir(CONSUL_ADDR=consul.address, ZONE="east", CONSUL_NODE="mine")
        weir.admin.create("/upstreams", {"name": "near", "discovery": {
            "type": "consul", "service": "web", "near": "node"}})
        weir.serve("near", "http://near")
        wait_until_only(weir, ["here"], "/near")
        consul.put("/v1/catalog/deregister", {"Node": "mine", "ServiceID": "here"})
        wait_until_only(weir, ["zone"], "/near")
