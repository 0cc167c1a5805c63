"""What can go wrong with DNS, each fault by its number in the list of faults: targets stay."""

import random

import pytest

from support.answers import all_who_answer, wait_until_only
from support.dns import (A, AAAA, NXDOMAIN, REFUSED, SERVFAIL, SRV, FakeDns, Query, a, addr, cname,
                         srv)
from support.load import Load
from support.ports import free_port
from support.tcp_proxy import TcpProxy
from support.waiting import always, eventually
from support.world import World

NAME = "web.service.consul"


@pytest.fixture
def dns():
    server = FakeDns()
    yield server
    server.stop()


@pytest.fixture
def pool(new_backend):
    """Three backends by name."""
    return {name: new_backend(name) for name in ("a", "b", "c")}


def ports(pool, *names):
    return [pool[name].port for name in names or pool]


def serve_srv(weir, name=NAME, upstream="web"):
    weir.admin.create("/upstreams", {"name": upstream,
                                     "discovery": {"type": "dns-srv", "name": name}})
    weir.serve(upstream, f"http://{upstream}")


def longest_stall_s(weir):
    """How much time has passed at once for weir, which is how it hears that a test moves it."""
    return weir.admin.get("/status").json()["weir"]["discovery"]["longest_stall_ms"] / 1000


def asked_again(dns, kind=SRV, name=NAME, times=2):
    """Waits until so many more questions have come."""
    before = len(dns.asked(name, kind))
    eventually(lambda: len(dns.asked(name, kind)) >= before + times,
               f"{times} more questions for {name}")


class TestScripted:
    """Against a DNS server of our own."""

    @pytest.fixture
    def weir(self, new_weir, dns):
        return new_weir(DNS_RESOLVER=dns.address)

    @pytest.fixture
    def served(self, weir, dns, pool):
        """SRV records of three backends that take traffic."""
        dns.set_services(NAME, ports(pool))
        serve_srv(weir)
        wait_until_only(weir, pool)
        return weir

    @pytest.fixture
    def world(self, tmp_path):
        return World(str(tmp_path))

    @pytest.fixture
    def served_in(self, new_weir, world, dns, pool):
        """As `served`, where the test moves the time."""
        weir = new_weir(start=False, DNS_RESOLVER=dns.address)
        weir.settings.update(world.environment)
        weir.start()
        dns.set_services(NAME, ports(pool))
        serve_srv(weir)
        wait_until_only(weir, pool)
        return weir

    @pytest.mark.parametrize("trouble", ["silence", SERVFAIL, REFUSED, "nobody"])
    def test_fault_44_a_server_that_cannot_say_takes_nothing_away(self, served_in, world, dns, pool,
                                                                  trouble):
        served = served_in
        if trouble == "nobody":
            dns.stop()
            eventually(lambda: served.log("dns fails"))
        else:
            dns.misbehave = lambda query: trouble
            asked_again(dns, times=4)
        for minutes in (1, 10, 60):
            world.pass_time(minutes * 60)
            eventually(lambda n=minutes: longest_stall_s(served) >= {1: 55, 10: 535, 60: 2990}[n])
            assert all_who_answer(served) == set(pool)
        if trouble != "nobody":
            asked_again(dns, times=1)
        always(lambda: all_who_answer(served, requests=6) <= set(pool), during=0.5)
        assert not served.log("target left")
        if trouble != "nobody":
            dns.set_services(NAME, ports(pool, "a", "b"))
            dns.misbehave = lambda query: None
            wait_until_only(served, ["a", "b"])
        assert served.log("dns fails")[0]["effect"] == "the last known addresses stay"

    def test_fault_45_a_single_nxdomain_takes_nothing_away(self, served, dns, pool):
        told = []

        def once(query):
            if told:
                return None
            told.append(query)
            return NXDOMAIN

        with Load(served.proxy_port, "/web", rate=100) as load:
            dns.misbehave = once
            eventually(lambda: told)
            asked_again(dns, times=3)
        load.assert_all_fine()
        assert not served.log("target left")

    def test_an_nxdomain_that_stays_is_believed(self, served, dns, pool):
        dns.remove(NAME)
        served.wait_until_answers("/web", 503)
        dns.set_services(NAME, ports(pool, "b"))
        wait_until_only(served, ["b"])

    def test_fault_46_all_of_fifty_are_seen_over_tcp(self, weir, dns, new_backend):
        fifty = [new_backend(f"b{i}") for i in range(50)]
        dns.udp_records, dns.shuffle = 3, True
        dns.set_services(NAME, [backend.port for backend in fifty])
        serve_srv(weir)
        eventually(lambda: len(weir.targets_in_use()) == 50)
        asked_again(dns, times=3)
        assert all(query.is_tcp for query in dns.asked(NAME, SRV))
        assert not weir.log("target left") and not weir.log("target changed")
        assert not weir.log("dns answers may be cut")

    def test_fault_46_cut_answers_over_udp_are_put_together(self, weir, dns, new_backend):
        ten = [new_backend(f"b{i}") for i in range(10)]
        dns.udp_records, dns.shuffle, dns.speaks_tcp = 3, True, False
        dns.set_services(NAME, [backend.port for backend in ten])
        serve_srv(weir)
        eventually(lambda: len(weir.targets_in_use()) == 10, within=120)
        assert not weir.log("target left")
        assert len(weir.log("dns answers may be cut")) == 1

    def test_fault_47_a_thousand_and_a_half_are_put_together(self, weir, dns, pool):
        """As Consul does: no more than fits into 64 KiB, others each time, and no word of it."""
        everyone = [addr(20000 + i, NAME, address=f"127.0.{1 + i // 250}.{1 + i % 250}")
                    for i in range(1500)]
        dns.set(NAME, *everyone)
        dns.misbehave = lambda query: query.answer(random.sample(everyone, 1024)) \
            if query.type == SRV else None
        serve_srv(weir)
        eventually(lambda: len(weir.targets_in_use()) == 1500, within=120)
        assert not weir.log("target left")
        assert len(weir.log("dns answers may be cut")) == 1

    @pytest.mark.parametrize("ttl", [0, 2**31, 2**32 - 1])
    def test_fault_48_ttls_have_bounds(self, weir, dns, pool, ttl):
        dns.set_services(NAME, ports(pool, "a"), ttl=ttl)
        serve_srv(weir)
        wait_until_only(weir, ["a"])
        before = len(dns.asked(NAME, SRV))
        for _ in range(100):
            weir.get("/web")
        assert len(dns.asked(NAME, SRV)) <= before + 3, "a question for a request"
        dns.set_services(NAME, ports(pool, "a", "b"), ttl=ttl)
        wait_until_only(weir, ["a", "b"])

    def test_fault_48_aliases_in_a_circle_take_nothing_away(self, served, dns, pool):
        dns.set(NAME, cname(NAME, "other.test"), cname("other.test", NAME))
        asked_again(dns)
        always(lambda: all_who_answer(served, requests=4) <= set(pool), during=0.5)
        assert not served.log("target left")
        dns.set_services(NAME, ports(pool, "a", "c"))
        wait_until_only(served, ["a", "c"])

    def test_fault_48_aliases_and_targets_by_name_are_followed(self, weir, dns, pool):
        """No additional section: addresses are asked for, through an alias too."""
        dns.set(NAME, cname(NAME, "real.test"), srv("real.test", pool["a"].port, "one.test"),
                srv("real.test", pool["b"].port, "two.test"))
        dns.set("one.test", a("one.test", "127.0.0.1"))
        dns.set("two.test", cname("two.test", "one.test"), a("one.test", "127.0.0.1"))
        serve_srv(weir)
        wait_until_only(weir, ["a", "b"])
        dns.misbehave = lambda query: SERVFAIL if query.type in (A, AAAA) else None
        asked_again(dns)
        always(lambda: all_who_answer(weir, requests=4) == {"a", "b"}, during=1)

    def test_fault_48_a_dot_is_no_service(self, served, dns):
        dns.set(NAME, srv(NAME, 0, "", priority=0, weight=0))
        served.wait_until_answers("/web", 503)

    def test_fault_36_a_record_without_port_needs_one_that_is_given(self, weir, dns, pool):
        dns.set(NAME, addr(0, NAME))
        weir.admin.create("/upstreams", {"name": "given", "discovery": {
            "type": "dns-srv", "name": NAME, "port": pool["a"].port}})
        weir.serve("given", "http://given")
        serve_srv(weir)
        wait_until_only(weir, ["a"], "/given")
        assert weir.get("/web").status == 503
        assert weir.log("instances left out")[0]["why"] == "they have no port"

    def test_fault_49_answers_to_other_questions_are_ignored(self, served, dns, pool, new_backend):
        evil = new_backend("evil").port

        def forge(query):
            if query.type != SRV or query.name != NAME:
                return None
            forged = [addr(evil, NAME)]
            other = Query(b"\0" * 12 + b"\x04evil\x04test\0\0\x21\0\x01", query.is_tcp).question
            return [query.answer(forged, id=query.id ^ 1), query.answer(forged, question=other)]

        dns.misbehave = forge
        asked_again(dns)
        always(lambda: all_who_answer(served, requests=4) <= set(pool), during=1)
        # An answer to the question, about somebody else.
        dns.misbehave = lambda query: query.answer([addr(evil, "evil.test")]) \
            if query.type == SRV else None
        asked_again(dns, times=1)
        dns.misbehave = lambda query: None
        dns.set_services(NAME, ports(pool, "a", "b"))
        wait_until_only(served, ["a", "b"])
        assert not [entry for entry in served.log("target joined") if str(evil) in str(entry)]

    def test_fault_49_garbage_takes_nothing_away(self, served, dns, pool):
        dice = random.Random(49)

        def garble(query):
            whole = bytearray(query.answer([addr(pool["a"].port, NAME)]))
            kind = dice.randrange(5)
            if kind == 0:
                return bytes(whole[:dice.randrange(13, len(whole))])
            if kind == 1:
                return query.answer([b"\xc0\xff" + bytes(whole[-20:])])  # a pointer ahead
            if kind == 2:
                return query.answer([addr(1, NAME)], count=65535)
            if kind == 3:
                loop = len(query.answer())
                return query.answer([bytes([0xc0, loop]) + b"\0\x21\0\1\0\0\0\0\0\0"])
            return bytes([query.id >> 8, query.id & 255]) + dice.randbytes(60)

        dns.misbehave = garble
        asked_again(dns, times=8)
        always(lambda: all_who_answer(served, requests=4) <= set(pool), during=1)
        assert not served.log("target left")
        dns.misbehave = lambda query: None
        dns.set_services(NAME, ports(pool, "b", "c"))
        wait_until_only(served, ["b", "c"])

    def test_one_question_is_under_way_for_a_name(self, weir, dns):
        dns.misbehave = lambda query: "silence"
        for name in ("one", "two", "three"):
            serve_srv(weir, upstream=name)
        asked_again(dns, times=4)
        # c-ares asks again over the same connection, with the same number, when it has waited.
        numbers = [query.id for query in dns.asked(NAME, SRV)]
        assert all(numbers.index(n) + numbers.count(n) - 1 == len(numbers) - 1 -
                   numbers[::-1].index(n) for n in numbers), "questions side by side"
        assert weir.admin.get("/status").json()["weir"]["discovery"]["dns"]["names"] == 1

    def test_addresses_of_both_families_are_used(self, weir, dns, new_backend):
        backend = new_backend("a")
        dns.set("both.test", a("both.test", "127.0.0.1"), a("both.test", "::1"))
        weir.serve("web", f"http://both.test:{backend.port}")
        eventually(lambda: weir.targets_in_use() == {backend.address, f"[::1]:{backend.port}"})
        dns.misbehave = lambda query: SERVFAIL if query.type == AAAA else None
        dns.set("both.test", a("both.test", "127.0.0.1"), a("both.test", "127.0.0.2"))
        eventually(lambda: weir.targets_in_use() ==
                   {backend.address, f"127.0.0.2:{backend.port}", f"[::1]:{backend.port}"})

    def test_weights_are_the_records(self, weir, dns, pool):
        dns.set(NAME, addr(pool["a"].port, NAME, weight=3), addr(pool["b"].port, NAME, weight=1))
        serve_srv(weir)
        wait_until_only(weir, ["a", "b"])
        with weir.client() as client:
            names = [client.get("/web").headers.get("X-Backend") for _ in range(200)]
        assert 145 <= names.count("a") <= 155

    def test_a_higher_priority_helps_out_when_the_lower_fails(self, weir, dns, pool):
        dns.set(NAME, addr(pool["a"].port, NAME, priority=1),
                addr(pool["b"].port, NAME, priority=2), addr(pool["c"].port, NAME, priority=3))
        weir.admin.create("/upstreams", {
            "name": "web", "discovery": {"type": "dns-srv", "name": NAME},
            "healthchecks": {"passive": {"unhealthy": {"tcp_failures": 1}}}})
        weir.serve("web", "http://web")
        wait_until_only(weir, ["a"])
        pool["a"].stop()
        wait_until_only(weir, ["b"])

    def test_a_start_without_dns_waits_for_it(self, new_weir, pool):
        port = free_port()
        weir = new_weir(DNS_RESOLVER=f"127.0.0.1:{port}")
        serve_srv(weir)
        eventually(lambda: weir.get("/web").status == 503)


@pytest.mark.consul
class TestConsul:
    """Against a real Consul's DNS port; its HTTP API is not used."""

    @pytest.fixture
    def weir(self, new_weir, consul):
        return new_weir(DNS_RESOLVER=f"127.0.0.1:{free_port()}",
                        DNS_FORWARD=f"consul=127.0.0.1:{consul.dns_port}")

    def test_a_host_of_consuls_brings_its_ports(self, weir, consul, pool):
        weir.serve("web", f"http://{NAME}")
        for name, backend in pool.items():
            consul.register("web", backend.port, id=name)
        wait_until_only(weir, pool)
        consul.deregister("a")
        wait_until_only(weir, ["b", "c"])

    def test_nodes_weights_and_critical_instances_are_as_consul_says(self, weir, consul, pool):
        serve_srv(weir)
        consul.register_in_catalog("web", pool["a"].port, id="a", node="by-node")
        consul.register("web", pool["b"].port, id="b", Weights={"Passing": 3, "Warning": 1})
        consul.register("web", pool["c"].port, id="c", ttl_check=True)
        wait_until_only(weir, ["a", "b"])
        with weir.client() as client:
            names = [client.get("/web").headers.get("X-Backend") for _ in range(200)]
        assert 145 <= names.count("b") <= 155
        consul.set_check("c", "passing")
        wait_until_only(weir, pool)

    def test_fault_1_a_restarted_agent_fails_no_request(self, weir, consul, pool, new_backend):
        serve_srv(weir)
        for name, backend in pool.items():
            consul.register("web", backend.port, id=name)
        wait_until_only(weir, pool)
        with Load(weir.proxy_port, "/web", rate=100) as load:
            consul.restart()
            consul.register("web", new_backend("d").port, id="d")
            wait_until_only(weir, ["a", "b", "c", "d"])
        load.assert_all_fine()

    def test_fault_46_all_of_fifty_are_seen(self, weir, consul):
        for i in range(50):
            consul.register_in_catalog("web", 20000 + i, id=f"{i}", node=f"n{i}",
                                       address=f"127.0.1.{i + 1}")
        serve_srv(weir)
        eventually(lambda: len(weir.targets_in_use()) == 50)
        always(lambda: not weir.log("target left"), during=3, every=0.2)

    def test_fault_47_more_than_an_answer_holds_are_put_together(self, weir, consul):
        for i in range(1200):
            consul.register_in_catalog("web", 20000 + i, id=f"{i}", node="many",
                                       address=f"127.0.{1 + i // 250}.{1 + i % 250}")
        serve_srv(weir)
        eventually(lambda: len(weir.targets_in_use()) == 1200, within=120, every=0.2)
        assert weir.log("dns answers may be cut") and not weir.log("target left")

    def test_dns_helps_when_http_has_been_away_for_half_a_minute(self, new_weir, consul, pool,
                                                                 tmp_path):
        world, way = World(str(tmp_path)), TcpProxy(consul.port)
        try:
            weir = new_weir(start=False, CONSUL_ADDR=f"127.0.0.1:{way.port}",
                            DNS_FORWARD=f"consul=127.0.0.1:{consul.dns_port}")
            weir.settings.update(world.environment)
            weir.start()
            for name in "ab":
                consul.register("web", pool[name].port, id=name)
            weir.serve("web", f"http://{NAME}")
            wait_until_only(weir, ["a", "b"])
            way.cut()
            consul.deregister("a")
            consul.register("web", pool["c"].port, id="c")
            eventually(lambda: weir.log("consul unreachable"))
            world.pass_time(20)
            always(lambda: all_who_answer(weir, requests=4) == {"a", "b"}, during=1.2)
            world.pass_time(31)
            wait_until_only(weir, ["b", "c"])
            assert weir.log("consul is silent")
            assert not [e for e in weir.log("target left") if e["instance"] == "b"]
            # It answers again: HTTP wins, at once, and DNS is not asked any more.
            way.mend()
            consul.deregister("c")
            wait_until_only(weir, ["b"])
            eventually(lambda: {row["source"] for row in
                                weir.admin.get("/discovery").json()["data"]} == {"consul"})
            # The next silence is told like the first.
            way.cut()
            eventually(lambda: len(weir.log("consul unreachable")) == 2)
            world.pass_time(31 + 31)
            eventually(lambda: len(weir.log("consul is silent")) == 2)
        finally:
            way.stop()

    def test_http_wins_and_dns_helps_while_it_never_answered(self, new_weir, consul, pool):
        http_port = free_port()
        weir = new_weir(CONSUL_ADDR=f"127.0.0.1:{http_port}",
                        DNS_FORWARD=f"consul=127.0.0.1:{consul.dns_port}")
        consul.register("web", pool["a"].port, id="a")
        weir.serve("web", f"http://{NAME}")
        wait_until_only(weir, ["a"])
        assert weir.targets_in_use()
