"""What can go wrong with Consul, each fault by its number in the list of faults: targets stay."""

import gzip
import json
import shutil
import threading

import pytest

from support.answers import all_who_answer, wait_until_only
from support.backends import response
from support.certificates import certify
from support.consul import Consul
from support.load import Load
from support.ports import free_port
from support.waiting import always, eventually
from support.world import World

pytestmark = pytest.mark.consul

MANAGEMENT = "11111111-2222-3333-4444-555555555555"


def discovery(weir):
    return weir.admin.get("/status").json()["weir"]["discovery"]


@pytest.fixture
def world(tmp_path):
    return World(str(tmp_path))


@pytest.fixture
def new_weir_in(new_weir, world):
    """In a world whose time the test moves."""
    def make(**settings):
        weir = new_weir(start=False, **settings)
        weir.settings.update(world.environment)
        return weir.start()
    return make


class TestAgent:
    """Against a real Consul."""

    @pytest.fixture
    def weir(self, new_weir, consul):
        weir = new_weir(CONSUL_ADDR=consul.address)
        weir.serve("web", "http://web")
        return weir

    @pytest.fixture
    def pool(self, weir, consul, new_backend):
        """Three instances that take traffic."""
        backends = {name: new_backend(name) for name in ("a", "b", "c")}
        for name, backend in backends.items():
            consul.register("web", backend.port, id=name)
        wait_until_only(weir, backends)
        return backends

    def test_fault_1_a_restarted_agent_fails_no_request(self, weir, consul, pool, new_backend):
        with Load(weir.proxy_port, "/web", rate=100) as load:
            load.wait_for_more(20)
            consul.stop()
            eventually(lambda: weir.log("consul unreachable"))
            always(lambda: weir.targets_in_use() and discovery(weir)["state"] == "degraded",
                   during=2, every=0.1)
            consul.start()
            consul.register("web", new_backend("d").port, id="d")
            wait_until_only(weir, ["a", "b", "c", "d"])
        load.assert_all_fine()
        eventually(lambda: discovery(weir)["state"] == "ready")

    def test_fault_2_an_agent_that_comes_back_with_other_data_is_followed(self, new_weir_in, world,
                                                                          consul, new_backend):
        weir = new_weir_in(CONSUL_ADDR=consul.address)
        weir.admin.create("/upstreams", {
            "name": "pool", "discovery": {"type": "consul", "service": "web"},
            "healthchecks": {"active": {"type": "tcp", "healthy": {"interval": 1, "successes": 1},
                                        "unhealthy": {"interval": 1, "tcp_failures": 2}}}})
        weir.serve("web", "http://pool")
        backends = {name: new_backend(name) for name in ("a", "b", "c")}
        for name, backend in backends.items():
            consul.register("web", backend.port, id=name)
        wait_until_only(weir, backends)
        consul.stop()
        eventually(lambda: weir.log("consul unreachable"))
        world.pass_time(3600)
        eventually(lambda: weir.log("control was blocked"))  # it has found that an hour is over
        assert all_who_answer(weir) == {"a", "b", "c"}
        backends["c"].stop()  # probes find out what Consul can't tell
        eventually(lambda: weir.log("target is unhealthy") or
                   weir.targets_in_use() == {backends["a"].address, backends["b"].address})
        wait_until_only(weir, ["a", "b"])
        consul.restart(keep_data=False)
        consul.register("web", new_backend("d").port, id="d")
        eventually(lambda: "d" in all_who_answer(weir))
        # Its state went back: what it no longer knows stays, in doubt.
        assert all_who_answer(weir) == {"a", "b", "d"}
        assert discovery(weir)["consul"]["held"] == 1
        assert discovery(weir)["state"] == "degraded"

    def test_fault_3_lost_state_empties_no_pool_until_services_are_back(self, weir, consul, pool):
        consul.restart(keep_data=False)
        eventually(lambda: weir.log("consul answer held"))
        always(lambda: weir.get("/web").status == 200, during=1)
        for name, backend in pool.items():
            consul.register("web", backend.port, id=name)
        eventually(lambda: discovery(weir)["state"] == "ready")
        consul.deregister("a")
        wait_until_only(weir, ["b", "c"])

    def test_fault_6_an_older_snapshot_is_followed(self, weir, consul, pool, new_backend):
        snapshot = consul.snapshot()
        consul.register("web", new_backend("d").port, id="d")
        wait_until_only(weir, ["a", "b", "c", "d"])
        consul.restore(snapshot)
        always(lambda: weir.get("/web").status == 200, during=0.5)
        # The agent knows of d and registers it again, or not: either is Consul's word.
        # Mostly at once; a query that Consul is just setting up may hear of it at its end.
        eventually(lambda: {i["Service"]["ID"] for i in consul.instances("web")} ==
                   all_who_answer(weir), within=120)
        # Its indexes went back; the next change is seen without waiting for the query's end.
        consul.register("web", new_backend("e").port, id="e")
        eventually(lambda: "e" in all_who_answer(weir))

    def test_fault_17b_a_bad_filter_or_datacenter_disturbs_nobody_else(self, weir, consul, pool):
        weir.admin.create("/upstreams", {"name": "bad-filter", "discovery": {
            "type": "consul", "service": "web", "filter": "no such expression"}})
        weir.admin.create("/upstreams", {"name": "bad-dc", "discovery": {
            "type": "consul", "service": "web", "datacenter": "nowhere"}})
        for name in ("bad-filter", "bad-dc"):
            weir.serve(name, f"http://{name}")
        eventually(lambda: len(weir.log("consul query fails")) == 2)
        reasons = " ".join(entry["why"] for entry in weir.log("consul query fails"))
        assert "No path to datacenter" in reasons and "expression" in reasons
        assert all_who_answer(weir) == {"a", "b", "c"}
        consul.deregister("a")
        wait_until_only(weir, ["b", "c"])

    def test_fault_23_a_service_removed_as_a_whole_is_gone_and_comes_back(self, weir, consul, pool):
        for name in pool:
            consul.deregister(name)
        weir.wait_until_answers("/web", 503)
        assert not weir.log("consul answer held")
        consul.register("web", pool["a"].port, id="a")
        wait_until_only(weir, ["a"])

    def test_fault_24_a_renamed_service_has_no_targets_under_its_old_name(self, weir, consul, pool):
        weir.serve("new", "http://new")
        for name, backend in pool.items():
            consul.register("new", backend.port, id=name)
        wait_until_only(weir, pool, "/new")
        weir.wait_until_answers("/web", 503)

    def test_fault_26_a_pool_in_maintenance_is_out(self, weir, consul, pool):
        for name in pool:
            consul.maintenance(name, True)
        weir.wait_until_answers("/web", 503)
        consul.maintenance("b", False)
        wait_until_only(weir, ["b"])

    def test_fault_28_a_flapping_instance_is_out_at_once_and_back_later(self, weir, consul, pool,
                                                                        new_backend):
        consul.register("web", new_backend("shaky").port, id="shaky", ttl_check=True)
        for _ in range(4):
            consul.set_check("shaky", "passing")
            eventually(lambda: "shaky" in all_who_answer(weir))
            consul.set_check("shaky", "critical")
            wait_until_only(weir, ["a", "b", "c"])
        consul.set_check("shaky", "passing")
        always(lambda: all_who_answer(weir, requests=4) <= {"a", "b", "c"}, during=0.3)
        eventually(lambda: "shaky" in all_who_answer(weir))

    def test_fault_30_an_instance_without_a_check_can_be_kept_out(self, weir, consul, new_backend):
        weir.admin.create("/upstreams", {"name": "checked", "discovery": {
            "type": "consul", "service": "web", "require_service_check": True}})
        weir.serve("checked", "http://checked")
        consul.register("web", new_backend("bare").port, id="bare")
        wait_until_only(weir, ["bare"])
        assert weir.get("/checked").status == 503
        consul.register("web", new_backend("sure").port, id="sure", ttl_check=True)
        consul.set_check("sure", "passing")
        wait_until_only(weir, ["sure"], "/checked")

    def test_fault_31_the_same_id_at_a_new_port_is_a_new_target(self, weir, consul, pool,
                                                                new_backend):
        with Load(weir.proxy_port, "/web", rate=100) as load:
            consul.register("web", new_backend("moved").port, id="a")
            wait_until_only(weir, ["moved", "b", "c"])
        load.assert_all_fine()

    def test_fault_32_the_same_id_on_two_nodes_is_two_targets(self, weir, consul, new_backend):
        for node in ("one", "two"):
            consul.register_in_catalog("web", new_backend(node).port, id="same", node=node)
        wait_until_only(weir, ["one", "two"])

    def test_fault_33_one_address_registered_twice_is_as_good_as_its_best(self, weir, consul,
                                                                          backend):
        consul.register("web", backend.port, id="dead", ttl_check=True)
        consul.register("web", backend.port, id="alive")
        weir.wait_until_answers("/web")
        always(lambda: weir.get("/web").status == 200, during=0.3)
        assert len(weir.targets_in_use()) == 1

    def test_fault_35_addresses_come_from_where_they_are(self, weir, consul, new_backend,
                                                         new_fast_backend):
        consul.register_in_catalog("web", new_backend("by-node").port, id="1", node="n1")
        consul.register_in_catalog("web", new_backend("by-name").port, id="2", node="n2",
                                   address="localhost")
        wait_until_only(weir, ["by-node", "by-name"])
        weir.admin.create("/upstreams", {"name": "wan", "discovery": {
            "type": "consul", "service": "far", "tagged_address": "wan"}})
        weir.serve("far", "http://wan")
        consul.register_in_catalog(
            "far", 1, id="3", node="n3", address="127.0.0.9",
            TaggedAddresses={"wan": {"Address": "127.0.0.1", "Port": new_backend("wan").port}})
        wait_until_only(weir, ["wan"], "/far")
        # IPv6; and an address of the asked kind without a port of its own.
        six = new_fast_backend("six", host="::1")
        consul.register_in_catalog("web", six.port, id="4", node="n4", address="::1")
        wait_until_only(weir, ["by-node", "by-name", "six"])
        consul.register_in_catalog(
            "far", new_backend("lan").port, id="5", node="n5", address="127.0.0.9",
            TaggedAddresses={"wan": {"Address": "127.0.0.1"}})
        wait_until_only(weir, ["wan", "lan"], "/far")

    def test_fault_36_an_instance_without_port_is_left_out_with_a_reason(self, weir, consul, pool):
        weir.admin.create("/upstreams", {"name": "portless", "discovery": {
            "type": "consul", "service": "portless"}})
        weir.serve("portless", "http://portless")
        consul.register("portless", 0)
        entry = eventually(lambda: weir.log("instances left out"))[0]
        assert entry["why"] == "they have no port"
        assert weir.get("/portless").status == 503

    def test_fault_37_weights_change_without_losing_the_target(self, weir, consul, new_backend):
        backends = {name: new_backend(name) for name in ("heavy", "light")}
        for name, backend in backends.items():
            consul.register("web", backend.port, id=name)
        wait_until_only(weir, backends)

        def weights():
            rows = weir.admin.get("/services/web/targets/explain").json()["data"]
            return {row["instance"]: row["weight"] for row in rows}

        def register(name, passing, warning, **more):
            weights = {"Passing": passing, "Warning": warning} if passing else None
            consul.register("web", backends[name].port, id=name, Weights=weights, **more)

        def share_of_heavy():
            with weir.client() as client:
                names = [client.get("/web").headers.get("X-Backend") for _ in range(500)]
            return names.count("heavy") / len(names)
        with Load(weir.proxy_port, "/web", rate=50) as load:
            for passing, share in ((4, 0.8), (65535, 1), (None, 0.5), (3, 0.75)):
                register("heavy", passing, 1)
                eventually(lambda p=passing or 1: weights() == {"heavy": p, "light": 1})
                assert abs(share_of_heavy() - share) <= 0.02
        load.assert_all_fine()
        # With a warning its weight is the other one: 0 takes nothing while somebody else can.
        register("heavy", 1, 0, ttl_check=True)
        consul.set_check("heavy", "warning")
        eventually(lambda: weights() == {"heavy": 0, "light": 1})
        assert share_of_heavy() == 0
        consul.set_check("heavy", "passing")
        eventually(lambda: weights() == {"heavy": 1, "light": 1})
        assert not weir.log("target left")

    def test_fault_38_huge_and_strange_tags_and_meta_harm_nothing(self, weir, consul, backend):
        consul.register_in_catalog(
            "web", backend.port, Tags=["x" * 4096, "\U0001f600", '"\n\r\x01', *["t" * 500] * 2000],
            Meta={f"key-{n}": "\"\\\n" * 100 for n in range(60)})
        weir.wait_until_answers("/web")
        weir.log()  # each line is JSON

    def test_tags_filters_and_status_choose_instances(self, weir, consul, new_backend):
        for name, discovery in {
                "none-of": {"exclude_tags": ["canary"]},
                "filter": {"filter": 'Service.Meta.tier == "gold"'},
                "any": {"status": "any"}, "strict": {"status": "passing"}}.items():
            weir.admin.create("/upstreams", {"name": name, "discovery": {
                "type": "consul", "service": "web", **discovery}})
            weir.serve(name, f"http://{name}")
        consul.register("web", new_backend("plain").port, id="plain", Meta={"tier": "gold"})
        consul.register("web", new_backend("canary").port, id="canary", Tags=["canary"])
        consul.register("web", new_backend("warning").port, id="warning", ttl_check=True)
        consul.set_check("warning", "warning")
        consul.register("web", new_backend("critical").port, id="critical", ttl_check=True)
        wait_until_only(weir, ["plain", "canary", "warning"])
        wait_until_only(weir, ["plain", "warning"], "/none-of")
        wait_until_only(weir, ["plain"], "/filter")
        wait_until_only(weir, ["plain", "canary", "warning", "critical"], "/any")
        wait_until_only(weir, ["plain", "canary"], "/strict")


class TestToken:
    """Against a real Consul with access control."""

    @pytest.fixture
    def consul(self, consul_binary, tmp_path):
        agent = Consul(consul_binary, str(tmp_path / "consul"), token=MANAGEMENT, hcl=f'''
            acl {{
              enabled = true
              default_policy = "deny"
              tokens {{ initial_management = "{MANAGEMENT}" agent = "{MANAGEMENT}"
                       default = "" }}
            }}''')
        yield agent
        agent.stop()

    RULES = 'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'

    @pytest.fixture
    def policy(self, consul):
        return consul.put("/v1/acl/policy", {"Name": "read", "Rules": self.RULES}).json()

    def new_token(self, consul):
        return consul.put("/v1/acl/token", {"Policies": [{"Name": "read"}]}).json()

    @pytest.fixture
    def token(self, consul, policy):
        return self.new_token(consul)

    @pytest.fixture
    def token_file(self, tmp_path, token):
        path = tmp_path / "token"
        path.write_text(token["SecretID"] + "\n", encoding="ascii")
        return path

    @pytest.fixture
    def weir(self, new_weir, consul, token_file, new_backend):
        for name in ("a", "b", "c"):
            consul.register("web", new_backend(name).port, id=name)
        # A query that Consul holds hears nothing of rights that change: it ends with its wait.
        weir = new_weir(CONSUL_ADDR=consul.address, CONSUL_TOKEN_FILE=token_file, CONSUL_WAIT=1)
        weir.serve("web", "http://web")
        wait_until_only(weir, ["a", "b", "c"])
        return weir

    def test_fault_16_a_revoked_token_costs_nothing_and_a_new_one_is_read(self, weir, consul, token,
                                                                          token_file, new_backend):
        consul.delete(f"/v1/acl/token/{token['AccessorID']}")
        # Mostly at once; a query that Consul is just setting up may hear of it at its end.
        eventually(lambda: discovery(weir)["consul"]["refused"] == 1, within=120)
        assert all_who_answer(weir) == {"a", "b", "c"}
        new = self.new_token(consul)["SecretID"]
        token_file.write_text(new, encoding="ascii")
        consul.register("web", new_backend("d").port, id="d")
        wait_until_only(weir, ["a", "b", "c", "d"])
        assert discovery(weir)["consul"]["refused"] == 0
        assert new not in weir.log_text() and token["SecretID"] not in weir.log_text()

    def test_fault_17_a_weakened_policy_takes_nothing_away(self, weir, consul, policy):
        consul.put(f"/v1/acl/policy/{policy['ID']}",
                   {**policy, "Rules": 'node_prefix "" { policy = "read" }'})
        eventually(lambda: discovery(weir)["consul"]["refused"] == 1, within=60)
        always(lambda: all_who_answer(weir, requests=6) >= {"a", "b", "c"}, during=0.5)
        assert discovery(weir)["state"] == "degraded"
        # What may be seen again counts again.
        consul.put(f"/v1/acl/policy/{policy['ID']}", policy)
        consul.deregister("a")
        wait_until_only(weir, ["b", "c"])
        assert discovery(weir)["consul"]["refused"] == 0

    def test_fault_17_nor_does_that_of_who_has_no_token(self, new_weir_in, world, consul, policy,
                                                        new_backend):
        """Nothing in the answer says that it hides something, but that the default is to deny. The
        query that follows the service does not even show it; the next audit does."""
        anonymous = "00000000-0000-0000-0000-000000000002"
        consul.put(f"/v1/acl/token/{anonymous}", {"AccessorID": anonymous,
                                                   "Policies": [{"Name": "read"}]})
        for name in ("a", "b", "c", "d"):
            consul.register("web", new_backend(name).port, id=name)
        weir = new_weir_in(CONSUL_ADDR=consul.address, CONSUL_WAIT=1)
        weir.serve("web", "http://web")
        wait_until_only(weir, ["a", "b", "c", "d"])
        consul.deregister("d")
        wait_until_only(weir, ["a", "b", "c"])
        consul.put(f"/v1/acl/policy/{policy['ID']}", {
            **policy, "Rules": 'node_prefix "" { policy = "read" }'})
        world.pass_time(600)
        eventually(lambda: discovery(weir)["consul"]["held"] == 1, within=60)
        world.pass_time(630)  # the grace after the jump itself is over
        always(lambda: all_who_answer(weir, requests=6) >= {"a", "b", "c"}, during=1)
        assert discovery(weir)["consul"]["held"] == 1

    def test_a_token_that_may_not_read_some_nodes_is_believed_as_far_as_it_goes(
            self, new_weir, consul, policy, token_file, new_backend):
        consul.put(f"/v1/acl/policy/{policy['ID']}", {
            **policy,
            "Rules": 'service_prefix "" { policy = "read" } node "seen" { policy = "read" }'})
        for name in ("a", "b", "c", "d"):
            consul.register_in_catalog("web", new_backend(name).port, id=name,
                                       node="hidden" if name == "d" else "seen")
        weir = new_weir(CONSUL_ADDR=consul.address, CONSUL_TOKEN_FILE=token_file)
        weir.serve("web", "http://web")
        wait_until_only(weir, ["a", "b", "c"])
        consul.put("/v1/catalog/deregister", {"Node": "seen", "ServiceID": "a"})
        wait_until_only(weir, ["b", "c"])
        for name in "bc":
            consul.put("/v1/catalog/deregister", {"Node": "seen", "ServiceID": name})
        eventually(lambda: discovery(weir)["consul"]["held"] == 1)
        assert discovery(weir)["consul"]["refused"] == 0


class TestRestart:
    def test_fault_42_a_start_without_consul_uses_what_was_known(self, new_weir, consul,
                                                                 new_backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        weir.serve("web", "http://web")
        for name in ("a", "b"):
            consul.register("web", new_backend(name).port, id=name)
        wait_until_only(weir, ["a", "b"])
        weir.stop()
        consul.stop()
        weir.start()
        wait_until_only(weir, ["a", "b"])
        status = discovery(weir)
        assert status["state"] == "degraded" and status["saved_in_use"] == 1

        consul.start()
        consul.register("web", new_backend("c").port, id="c")
        wait_until_only(weir, ["a", "b", "c"])
        assert discovery(weir)["state"] == "ready"
        assert discovery(weir)["saved_in_use"] == 0

    @pytest.mark.parametrize("damage", ["", "{", "[]", '{"format":1,"sources":7}',
                                        '{"format":1,"sources":{"consul\\nweb\\n":{"targets":[7]}}}'])
    def test_a_damaged_file_of_targets_stops_nothing(self, new_weir, consul, backend, damage,
                                                     tmp_path):
        (tmp_path / "node/data").mkdir(parents=True)
        (tmp_path / "node/data/discovery.json").write_text(damage, encoding="ascii")
        weir = new_weir(CONSUL_ADDR=consul.address, directory=tmp_path / "node")
        weir.serve("web", "http://web")
        consul.register("web", backend.port)
        weir.wait_until_answers("/web")


def answer(body="[]", index="99", status=200, **headers):
    fields = [("Content-Type", "application/json")]
    if index is not None:
        fields.append(("X-Consul-Index", index))
    fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
    return response(status, fields, body)


class TestAnswers:
    """Against an agent that lies."""

    @pytest.fixture
    def pool(self, new_backend):
        return {name: new_backend(name) for name in ("a", "b", "c")}

    @pytest.fixture
    def weir(self, new_weir, fake_consul, pool):
        fake_consul.set("web", [backend.port for backend in pool.values()])
        weir = new_weir(CONSUL_ADDR=fake_consul.address)
        weir.serve("web", "http://web")
        wait_until_only(weir, pool)
        return weir

    def expect_kept_and_cured(self, weir, fake_consul, pool, bad):
        asked = len(fake_consul.requests)
        fake_consul.misbehave = bad
        eventually(lambda: len(fake_consul.requests) >= asked + 2)
        always(lambda: all_who_answer(weir, requests=6) == set(pool), during=0.3)
        fake_consul.set("web", [pool["a"].port, pool["b"].port])
        fake_consul.misbehave = None
        wait_until_only(weir, ["a", "b"])

    def test_fault_4_no_leader(self, weir, fake_consul, pool):
        self.expect_kept_and_cured(weir, fake_consul, pool,
                                   answer("No cluster leader", status=500, index=None))

    def test_fault_5_an_empty_answer_of_a_fresh_follower(self, weir, fake_consul, pool):
        self.expect_kept_and_cured(weir, fake_consul, pool,
                                   answer("[]", X_Consul_KnownLeader="false",
                                          X_Consul_Query_Backend="blocking-query"))

    @pytest.mark.parametrize("index", ["0", None, "abc", str(2 ** 64), "-1"])
    def test_fault_7_an_index_that_is_none(self, weir, fake_consul, pool, index):
        body = json.dumps([fake_consul.entry("web", backend.port) for backend in pool.values()])
        asked = len(fake_consul.requests)
        fake_consul.misbehave = answer(body, index=index)
        always(lambda: len(fake_consul.requests) - asked < 20, during=1.5)
        assert all_who_answer(weir) == set(pool)

    @pytest.mark.parametrize("index", [None, "0", "abc"])
    def test_fault_7_an_empty_answer_without_index_is_not_believed(self, weir, fake_consul, pool,
                                                                   index):
        self.expect_kept_and_cured(weir, fake_consul, pool, answer("[]", index=index))

    def test_fault_10_an_answer_that_drips(self, weir, fake_consul, pool):
        is_over = threading.Event()

        def drip(_request, connection):
            try:
                connection.send(b"HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\n"
                                b"Content-Length: 100000\r\n\r\n[")
                while not is_over.wait(0.5):
                    connection.send(b" ")
            except OSError:
                pass
            connection.close()
        fake_consul.answer = drip
        fake_consul.drop_connections()
        eventually(lambda: weir.log("consul unreachable"), within=45)
        assert all_who_answer(weir) == set(pool)
        is_over.set()

    def test_fault_10_an_answer_that_stalls(self, weir, fake_consul, pool):
        """A query may block for a minute; its answer, once begun, may not."""
        fake_consul.misbehave = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 b"X-Consul-Index: 99\r\nContent-Length: 1000\r\n\r\n[")
        eventually(lambda: weir.log("consul unreachable"), within=45)
        assert all_who_answer(weir) == set(pool)
        fake_consul.set("web", [pool["a"].port])
        fake_consul.misbehave = None
        wait_until_only(weir, ["a"])

    def test_fault_8_answers_at_once_without_news(self, weir, fake_consul, pool):
        body = json.dumps([fake_consul.entry("web", backend.port) for backend in pool.values()])
        asked = len(fake_consul.requests)
        fake_consul.misbehave = answer(body, index="50")
        always(lambda: len(fake_consul.requests) - asked < 20, during=1.5)
        assert all_who_answer(weir) == set(pool)
        assert not weir.log("target left")

    GARBAGE = {
        "html": "<html><body>Welcome</body></html>",
        "cut": '[{"Node": {"Node": "n1"',
        "deep": "[" * 10000 + "]" * 10000,
        "nan": '[{"Service": {"ID": "x", "Port": NaN}}]',
        "utf-8": b'[{"Service": {"ID": "\xff\xfe", "Port": 80}}]'.decode("latin-1"),
        "number": "17",
        "keys-twice": '[{"Service": {"ID": "x", "Port": 80}, "Service": null}]',
        "nothing": "",
    }

    def test_fault_12_a_bomb_and_a_flood(self, weir, fake_consul, pool):
        """Nothing is unpacked that was not asked for; of a flood no more than 64 MiB is read."""
        before_kib = weir.rss_kib()
        self.expect_kept_and_cured(weir, fake_consul, pool, response(
            200, [("X-Consul-Index", 99), ("Content-Encoding", "gzip")],
            gzip.compress(b"[" + b" " * 50_000_000 + b"]")))
        flood = (json.dumps(fake_consul.entry("web", pool["a"].port)) + ",").encode() * 1000

        def pour(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\n"
                            b"Content-Length: 1000000000\r\n\r\n[")
            for _ in range(1000000000 // len(flood)):
                try:
                    connection.send(flood)
                except OSError:
                    return
        fake_consul.answer = pour
        fake_consul.drop_connections()
        eventually(lambda: [entry for entry in weir.log("consul query fails")
                            if entry["why"] == "the answer is too large"])
        assert all_who_answer(weir) == {"a", "b"}
        assert weir.rss_kib() - before_kib < 400 * 1024

    @pytest.mark.parametrize("kind", GARBAGE)
    def test_fault_12_garbage(self, weir, fake_consul, pool, kind):
        body = self.GARBAGE[kind]
        raw = body.encode("latin-1")
        head = (f"HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\n"
                f"Content-Length: {len(raw)}\r\n\r\n").encode()
        self.expect_kept_and_cured(weir, fake_consul, pool, head + raw)

    def test_fault_11_a_body_cut_short(self, weir, fake_consul, pool):
        bad = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 99\r\nContent-Length: 900\r\n\r\n["

        def cut(_request, connection):
            connection.send(bad)
            connection.close()
        asked = len(fake_consul.requests)
        fake_consul.answer = cut
        fake_consul.drop_connections()
        eventually(lambda: len(fake_consul.requests) >= asked + 2)
        always(lambda: all_who_answer(weir, requests=6) == set(pool), during=0.3)

    def test_fault_13_entries_that_make_no_sense_spoil_only_themselves(self, weir, fake_consul,
                                                                       pool, new_backend):
        good = [fake_consul.entry("web", port) for port in
                [backend.port for backend in pool.values()] + [new_backend("d").port]]
        odd = dict(good[3], Service=dict(good[3]["Service"], Tags=None, Meta=None, Weights=None))
        text = dict(good[0], Service=dict(good[0]["Service"], ID="text", Port="80"))
        fake_consul.misbehave = answer(json.dumps(
            [{**good[0], "Service": None}, text, *good[:3], odd]), index="98")
        wait_until_only(weir, [*pool, "d"])
        assert weir.log("consul instances left out")[0]["count"] == 2

    @pytest.mark.parametrize("number, bad", [
        (14, answer("", status=429, index=None)),
        (15, answer("retry later", status=503, index=None, Retry_After="1")),
        (15, answer("<html>bad gateway</html>", status=502, index=None)),
    ])
    def test_fault_14_15_servers_that_say_not_now(self, weir, fake_consul, pool, number, bad):
        asked = len(fake_consul.requests)
        self.expect_kept_and_cured(weir, fake_consul, pool, bad)
        assert len(fake_consul.requests) - asked < 40

    @pytest.mark.parametrize("port", [-1, 65536])
    def test_fault_36_ports_out_of_range(self, weir, fake_consul, pool, port):
        good = [fake_consul.entry("web", backend.port) for backend in pool.values()]
        fake_consul.misbehave = answer(json.dumps([*good, fake_consul.entry("web", port)]))
        entry = eventually(lambda: weir.log("consul instances left out"))[0]
        assert entry["why"] == "a port is out of range"
        assert all_who_answer(weir) == set(pool)

    def test_fault_39_another_order_is_no_change(self, weir, fake_consul, pool):
        before = len(weir.log("target joined"))
        ports = [backend.port for backend in pool.values()]
        for turn in range(4):
            asked = len(fake_consul.requests)
            fake_consul.set("web", ports[turn % 3:] + ports[:turn % 3])
            eventually(lambda at=asked: len(fake_consul.requests) > at)
        assert len(weir.log("target joined")) == before
        assert not weir.log("target left") and not weir.log("target changed")


class TestAddresses:
    def test_the_next_address_is_asked_when_the_first_is_gone(self, new_weir, consul, fake_consul,
                                                              new_backend):
        first, second = new_backend("first"), new_backend("second")
        fake_consul.set("web", [first.port])
        consul.register("web", second.port)
        weir = new_weir(CONSUL_ADDR=f"{fake_consul.address},{consul.address}")
        weir.serve("web", "http://web")
        wait_until_only(weir, ["first"])
        fake_consul.misbehave = b""
        fake_consul.stop()
        eventually(lambda: weir.log("consul address changed"))
        eventually(lambda: "second" in all_who_answer(weir))
        assert discovery(weir)["consul"]["address"] == f"http://{consul.address}"

    def test_a_unix_socket_will_do(self, new_weir, consul_binary, tmp_path, backend):
        path = tmp_path / "c.sock"
        agent = Consul(consul_binary, str(tmp_path / "consul"),
                       hcl=f'addresses {{ http = "127.0.0.1 unix://{path}" }}')
        try:
            agent.register("web", backend.port)
            weir = new_weir(CONSUL_ADDR=f"unix://{path}")
            weir.serve("web", "http://web")
            weir.wait_until_answers("/web")
        finally:
            agent.stop()


class TestTls:
    """Against a real Consul that speaks https and wants certificates."""

    def test_fault_18_certificates_are_checked_and_can_be_corrected(self, new_weir, consul_binary,
                                                                    tmp_path, backend):
        authority = certify(tmp_path, "authority")
        stranger = certify(tmp_path, "stranger")
        server = certify(tmp_path, "server.dc1.consul", authority)
        client = certify(tmp_path, "client", authority)
        port = free_port()
        agent = Consul(consul_binary, str(tmp_path / "consul"), hcl=f'''
            ports {{ https = {port} }}
            tls {{ https {{ ca_file = "{authority[0]}" cert_file = "{server[0]}"
                          key_file = "{server[1]}" verify_incoming = true }} }}''')
        try:
            agent.register("web", backend.port)
            trusted = tmp_path / "trusted.pem"
            shutil.copy(stranger[0], trusted)
            settings = {"CONSUL_ADDR": f"https://127.0.0.1:{port}", "CONSUL_CACERT": trusted,
                        "CONSUL_CLIENT_CERT": client[0], "CONSUL_CLIENT_KEY": client[1]}
            weir = new_weir(**settings, CONSUL_SERVER_NAME="server.dc1.consul")
            weir.serve("web", "http://web")
            eventually(lambda: any("certificate" in entry["why"]
                                   for entry in weir.log("consul unreachable")))
            assert weir.get("/web").status == 503
            shutil.copy(authority[0], trusted)
            weir.wait_until_answers("/web")

            other = new_weir(**settings)  # the certificate is not for 127.0.0.1
            other.serve("web", "http://web")
            eventually(lambda: any("127.0.0.1" in entry["why"]
                                   for entry in other.log("consul unreachable")))
            assert other.get("/web").status == 503
        finally:
            agent.stop()
