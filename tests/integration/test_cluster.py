"""Nodes that share a PostgreSQL: each sees what the others write, and none depends on it to serve."""

import collections
import http.client
import json
import signal
import subprocess
import threading

import pytest
import requests

from support.backends import response
from support.load import Load
from support.tcp_proxy import TcpProxy
from support.waiting import eventually, is_readable
from support.wire import Closed


@pytest.fixture
def new_node(new_weir, postgres):
    """Makes nodes of one cluster: new_node(SNAPSHOT="on"). `port`: another way to the database."""
    def make(port=None, start=True, **settings):
        shared = dict(postgres.settings)
        if port:
            shared["PG_PORT"] = port
        return new_weir(start=start, **{**shared, "MIGRATE": "auto", **settings})
    return make


@pytest.fixture
def wire(postgres):
    """A wire to the database, to be cut."""
    proxy = TcpProxy(postgres.port)
    yield proxy
    proxy.stop()


def configuration(node):
    return node.admin.get("/status").json()["weir"]["configuration"]


def readiness(node):
    answer = node.admin.get("/status/ready")
    return answer.status_code, answer.json()["message"]


def names(node, kind="/services"):
    found, path = set(), f"{kind}?size=1000"
    while path:
        body = node.admin.get(path).json()
        found |= {entry["name"] for entry in body["data"]}
        path = body["next"]
    return found


def everything(node):
    return {kind: sorted(map(str, node.admin.get(f"{kind}?size=1000").json()["data"]))
            for kind in ("/services", "/routes", "/upstreams")}


def are_same(nodes):
    first, *others = map(everything, nodes)
    return all(other == first for other in others)


def until_same(*nodes):
    # All are asked each time: any of them may be the one that has still to hear.
    eventually(lambda: are_same(nodes), "the nodes agreeing")


class TestTwoNodes:
    def test_what_one_writes_the_other_routes(self, new_node, backend):
        a, b = new_node(), new_node()
        a.serve("s", backend.url)
        b.wait_until_answers("/s")
        b.admin.patch("/routes/s", {"paths": ["/moved"]})
        a.wait_until_answers("/moved")
        a.wait_until_answers("/s", 404)
        a.admin.remove("/routes/s")
        b.wait_until_answers("/moved", 404)

    def test_targets_and_cascades_are_seen_too(self, new_node, new_backend):
        a, b = new_node(), new_node()
        one, two = new_backend("one"), new_backend("two")
        a.pool("u", [one])
        b.wait_until_answers("/u")
        b.admin.create("/upstreams/u/targets", {"target": two.address})
        eventually(lambda: len(a.admin.get("/upstreams/u/targets").json()["data"]) == 2)
        eventually(lambda: a.get("/u").status == 200 and two.requests)
        a.admin.remove("/services/u/routes/u")
        a.admin.remove("/services/u")
        a.admin.remove("/upstreams/u")
        eventually(lambda: b.admin.get("/upstreams").json()["data"] == [])
        assert b.admin.get("/upstreams/u/targets").status_code == 404

    def test_names_may_be_swapped_and_reused(self, new_node):
        a, b = new_node(), new_node()
        a.admin.create("/services", {"name": "x", "host": "h1"})
        eventually(lambda: names(b) == {"x"})
        b.admin.remove("/services/x")
        b.admin.create("/services", {"name": "x", "host": "h2"})
        eventually(lambda: a.admin.get("/services/x").json().get("host") == "h2")

    def test_a_node_that_comes_later_has_it_all(self, new_node, backend):
        a = new_node()
        a.serve("s", backend.url)
        b = new_node()
        assert b.get("/s").status == 200
        assert everything(b) == everything(a)

    def test_the_same_name_at_once_is_given_to_one(self, new_node):
        a, b = new_node(), new_node()
        count, answers = 60, collections.defaultdict(list)
        start = threading.Barrier(2)

        def write(node):
            with requests.Session() as session:
                session.trust_env = False
                for number in range(count):
                    start.wait(30)
                    answer = session.post(f"{node.admin.url}/services", timeout=30,
                                          json={"name": f"s{number}", "host": "h"})
                    answers[number].append(answer)
        threads = [threading.Thread(target=write, args=(node,)) for node in (a, b)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for number in range(count):
            statuses = sorted(answer.status_code for answer in answers[number])
            assert statuses == [201, 409], [answer.text for answer in answers[number]]
            refused = next(a for a in answers[number] if a.status_code == 409).json()
            assert (refused["code"], refused["name"]) == (5, "unique constraint violation")
            assert refused["fields"] == {"name": f"s{number}"}  # though it learnt of it just now
        assert len(names(a)) == count
        until_same(a, b)

    def test_both_may_change_one_row_and_agree_in_the_end(self, new_node):
        a, b = new_node(), new_node()
        a.admin.create("/services", {"name": "s", "host": "h"})
        eventually(lambda: names(b) == {"s"})

        def write(node, tag):
            with requests.Session() as session:
                session.trust_env = False
                for number in range(100):
                    answer = session.patch(f"{node.admin.url}/services/s", timeout=30,
                                           json={"tags": [f"{tag}{number}"]})
                    assert answer.status_code == 200
                    # In force here, unless the other wrote after.
                    assert session.get(f"{node.admin.url}/services/s", timeout=30).json()["tags"]
        threads = [threading.Thread(target=write, args=pair) for pair in ((a, "a"), (b, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        until_same(a, b)

    def test_different_fields_of_one_row_at_once_are_both_kept(self, new_node, postgres):
        nodes = [new_node(), new_node(), new_node()]
        nodes[0].admin.create("/services", {"name": "s", "host": "h"})
        for node in nodes[1:]:
            eventually(lambda node=node: names(node) == {"s"})
        rounds, wrong = 40, []
        written = threading.Barrier(len(nodes))
        changes = [lambda n: {"host": f"h{n}"}, lambda n: {"path": f"/p{n}"},
                   lambda n: {"tags": [f"t{n}"]}]

        def write(node, change_of):
            with requests.Session() as session:
                session.trust_env = False
                for number in range(rounds):
                    change = change_of(number)
                    written.wait(30)
                    answer = session.patch(f"{node.admin.url}/services/s", json=change, timeout=30)
                    if answer.status_code != 200 or answer.json() != {**answer.json(), **change}:
                        wrong.append(answer.text)
                    written.wait(30)
                    if node is nodes[0]:
                        row = postgres.query("SELECT concat_ws(' ', body->>'host', body->>'path',"
                                             " body->'tags'->>0) FROM rows")
                        if row != f"h{number} /p{number} t{number}":
                            wrong.append(f"{number}: {row}")
        threads = [threading.Thread(target=write, args=pair) for pair in zip(nodes, changes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert wrong == []
        until_same(*nodes)

    def test_what_another_node_was_first_to_do_is_answered_as_if_known(self, new_node, postgres):
        # With the lock held, a write of each node waits in the database; the second one to get it
        # is planned again on what the first did.
        a, b = new_node(), new_node()
        a.admin.create("/upstreams", {"name": "u"})
        eventually(lambda: names(b, "/upstreams") == {"u"})
        with postgres.writes_held():
            answers = {}

            def send(key, node, method, path, body=None):
                answers[key] = getattr(node.admin, method)(path, *([body] if body else []))
            threads = []
            for count, arguments in enumerate((
                    ("first", a, "post", "/upstreams/u/targets", {"target": "127.0.0.1:80"}),
                    ("second", b, "delete", "/upstreams/u"))):
                threads.append(threading.Thread(target=send, args=arguments))
                threads[-1].start()
                eventually(lambda count=count: postgres.waiting_writes() == count + 1)
        for thread in threads:
            thread.join(30)
        assert answers["first"].status_code == 201
        assert answers["second"].status_code == 204  # and the target went with it
        until_same(a, b)
        assert postgres.query("SELECT count(*) FROM rows") == "0"

    @pytest.mark.parametrize("method, path, body, status", [
        ("DELETE", "/services/new", None, 204),
        ("PATCH", "/services/new", {"path": "/x"}, 200),
        ("POST", "/services/new/routes", {"name": "r", "paths": ["/r"]}, 201),
        ("POST", "/services", {"name": "old", "host": "b"}, 201),
    ])
    def test_what_a_node_has_not_heard_of_yet_is_asked_for(self, new_node, wire, method, path, body,
                                                           status):
        # What A answered with 2xx is so for B, too, though nothing of it has reached B.
        a, b = new_node(), new_node(port=wire.port)
        a.admin.create("/services", {"name": "old", "host": "a"})
        eventually(lambda: names(b) == {"old"})
        wire.freeze()
        a.admin.remove("/services/old")
        a.admin.create("/services", {"name": "new", "host": "a"})
        client = http.client.HTTPConnection("127.0.0.1", b.admin_port, timeout=60)
        client.request(method, path, body and json.dumps(body),
                       {"Content-Type": "application/json"})
        for _ in range(3):  # by then it has been read
            assert names(b) == {"old"}
        assert not is_readable(client.sock, 0)
        wire.mend()
        assert client.getresponse().status == status
        client.close()
        until_same(a, b)
        there = set() if method == "DELETE" else {"new"}
        assert names(a) == there | ({"old"} if path == "/services" else set())

    def test_a_route_of_a_service_that_the_other_removes_is_refused_or_gone(self, new_node):
        a, b = new_node(), new_node()
        for number in range(20):
            a.admin.create("/services", {"name": f"s{number}", "host": "h"})
        eventually(lambda: len(names(b)) == 20)
        statuses = []

        def add():
            for number in range(20):
                statuses.append(b.admin.post(f"/services/s{number}/routes",
                                             {"paths": [f"/{number}"]}).status_code)
        thread = threading.Thread(target=add)
        thread.start()
        removed = [a.admin.delete(f"/services/s{number}").status_code for number in range(20)]
        thread.join(60)
        assert set(statuses) <= {201, 400, 404}
        assert set(removed) <= {204, 400}
        until_same(a, b)
        alive = {entry["id"] for entry in a.admin.get("/services?size=1000").json()["data"]}
        for route in a.admin.get("/routes?size=1000").json()["data"]:
            assert route["service"]["id"] in alive


class TestWaitForAll:
    def test_a_write_that_waited_is_everywhere(self, new_node, backend):
        a, b, c = new_node(), new_node(), new_node()
        eventually(lambda: len(a.admin.get("/nodes").json()["data"]) == 3)
        a.admin.create("/services", {"name": "s", "url": backend.url})
        for number in range(20):
            answer = a.admin.post("/services/s/routes?wait=all", {"paths": [f"/r{number}"]})
            assert answer.status_code == 201
            assert "X-Weir-Behind" not in answer.headers
            assert (b.get(f"/r{number}").status, c.get(f"/r{number}").status) == (200, 200)

    def test_a_node_that_does_not_follow_is_named(self, new_node, wire):
        a, b = new_node(), new_node(port=wire.port)
        eventually(lambda: len(a.admin.get("/nodes").json()["data"]) == 2)
        wire.cut()
        answer = a.admin.post("/services?wait=all&wait_ms=100", {"name": "s", "host": "h"})
        assert answer.status_code == 201
        assert b.admin.get("/").json()["node_id"] in answer.headers["X-Weir-Behind"]


class TestNodes:
    def test_each_is_listed_with_what_is_in_force(self, new_node):
        a, b = new_node(), new_node()
        a.admin.create("/services", {"name": "s", "host": "h"})
        ids = {node.admin.get("/").json()["node_id"] for node in (a, b)}

        def in_step():
            data = a.admin.get("/nodes").json()["data"]
            return ({node["id"] for node in data} == ids and
                    all(node["lag"] == 0 and node["is_live"] for node in data) and data)
        data = eventually(in_step)
        assert [node["is_self"] for node in data].count(True) == 1
        for node in data:
            assert node["state"] == "ready" and node["host"] and node["version"]
            assert node["sequence"] == configuration(a)["sequence"]
            assert node["started_at"] > 1.7e9

    def test_one_that_stops_leaves_and_one_that_dies_is_not_live(self, new_node):
        a, b, c = new_node(), new_node(), new_node()
        eventually(lambda: len(a.admin.get("/nodes").json()["data"]) == 3)
        b.stop()
        eventually(lambda: len(a.admin.get("/nodes").json()["data"]) == 2)
        c.kill()
        eventually(lambda: [node["is_live"] for node in a.admin.get("/nodes").json()["data"]
                            if not node["is_self"]] == [False])

    def test_a_node_is_drained_by_request(self, new_node, backend):
        a, b = new_node(), new_node()
        a.serve("s", backend.url)
        assert readiness(a) == (200, "ready")
        assert a.admin.post("/status", {"status": "draining"}).status_code == 200
        assert readiness(a) == (503, "draining")
        assert a.get("/s").status == 200  # traffic goes on until load balancers have turned away
        eventually(lambda: "draining" in {n["state"] for n in b.admin.get("/nodes").json()["data"]})
        a.admin.post("/status", data="status=ready",
                     headers={"Content-Type": "application/x-www-form-urlencoded"})
        assert readiness(a) == (200, "ready")

    def test_sigterm_makes_it_unready_first(self, new_node, backend):
        node = new_node(DRAIN_DELAY=60)
        node.serve("s", backend.url)
        node.signal(signal.SIGTERM)
        eventually(lambda: readiness(node) == (503, "draining"))
        assert node.get("/s").status == 200
        node.admin.close()
        node.signal(signal.SIGTERM)  # the second one ends the wait
        assert node.wait() == 0


class TestIdentity:
    def node_id(self, node):
        return node.admin.get("/").json()["node_id"]

    def ids_listed(self, node):
        return sorted(entry["id"] for entry in node.admin.get("/nodes").json()["data"])

    def test_a_node_is_the_same_after_a_restart_and_after_kill_9(self, new_node):
        a, b = new_node(), new_node()
        first = self.node_id(a)
        a.restart()
        assert self.node_id(a) == first
        a.kill()
        a.start()
        assert self.node_id(a) == first
        eventually(lambda: self.ids_listed(b) == sorted([first, self.node_id(b)]))

    def test_two_nodes_on_one_data_folder_are_two(self, new_node, tmp_path):
        a = new_node(DATA_DIR=tmp_path / "shared")
        b = new_node(DATA_DIR=tmp_path / "shared")
        first = self.node_id(a)
        assert self.node_id(b) != first
        eventually(lambda: self.ids_listed(a) == sorted([first, self.node_id(b)]))
        a.stop()
        eventually(lambda: self.node_id(b) == first, "the one that is left taking the kept id")
        eventually(lambda: self.ids_listed(b) == [first])

    def test_without_a_folder_that_can_be_written_to_it_still_runs(self, new_node):
        node = new_node(DATA_DIR="/dev/null/weir")
        assert len(self.node_id(node)) == 36
        assert node.log("the node's id is not kept: the next start has another")


PASSIVE = {"passive": {"unhealthy": {"tcp_failures": 1, "http_failures": 1}}}
HEALING = {**PASSIVE, "active": {"healthy": {"interval": 0, "successes": 1},
                                 "unhealthy": {"interval": 0.1}}}


def word_of(node, address, upstream="u"):
    data = node.admin.get(f"/upstreams/{upstream}/health").json().get("data", [])  # not there yet
    return next((entry["health"] for entry in data if entry["target"] == address), None)


def order(node, address, word, **arguments):
    answer = node.admin.put(f"/upstreams/u/targets/{address}/{word}?wait=all", **arguments)
    assert answer.status_code == 204, answer.text
    assert "X-Weir-Behind" not in answer.headers


class TestOrders:
    """Health verdicts that are given by hand."""

    def pool(self, node, backends, checks):
        node.pool("u", backends, healthchecks=checks)
        eventually(lambda: node.get("/u").status == 200)

    def test_they_are_in_force_everywhere_with_the_answer(self, new_node, new_backend):
        a, b = new_node(), new_node()
        one, two = new_backend("one"), new_backend("two")
        self.pool(a, [one, two], PASSIVE)
        b.wait_until_answers("/u")
        eventually(lambda: len(a.admin.get("/nodes").json()["data"]) == 2)
        for giver, hearer in ((a, b), (b, a)):
            for path in (one.address, f"{one.address}/{one.address}"):
                order(giver, path, "unhealthy")
                assert (word_of(a, one.address), word_of(b, one.address)) == ("UNHEALTHY",) * 2
                seen = len(one.requests)
                assert {hearer.get("/u").status for _ in range(6)} == {200}
                assert len(one.requests) == seen
                order(hearer, one.address, "healthy")
                assert (word_of(a, one.address), word_of(b, one.address)) == ("HEALTHY",) * 2

    def test_healthy_forgets_what_each_node_found_itself(self, new_node, new_backend):
        a, b = new_node(), new_node()
        statuses = [500]
        bad = new_backend("bad", lambda request, connection: response(statuses[0]))
        a.pool("u", [bad], healthchecks=PASSIVE)
        for node in (a, b):
            node.wait_until_answers("/u", 503)
        statuses[0] = 200
        order(a, bad.address, "healthy")
        for node in (a, b):
            node.wait_until_answers("/u", 200)

    def test_who_starts_later_obeys_where_nothing_else_would_end_it(self, new_node, new_backend):
        a = new_node()
        one, two = new_backend("one"), new_backend("two")
        self.pool(a, [one, two], PASSIVE)
        order(a, one.address, "unhealthy")
        b = new_node()
        a.restart()
        for node in (a, b):
            assert word_of(node, one.address) == "UNHEALTHY"
            assert word_of(node, two.address) == "HEALTHY"
        order(b, one.address, "healthy")
        a.restart()
        assert word_of(a, one.address) == "HEALTHY"

    def test_where_probes_bring_targets_back_they_do(self, new_node, new_backend):
        a = new_node()
        one, two = new_backend("one"), new_backend("two")
        self.pool(a, [one, two], HEALING)
        a.admin.put(f"/upstreams/u/targets/{one.address}/unhealthy")
        eventually(lambda: a.log("target changed", target=one.address, takes_traffic=False))
        eventually(lambda: word_of(a, one.address) == "HEALTHY")
        a.restart()
        assert word_of(a, one.address) == "HEALTHY"
        a.admin.patch("/upstreams/u", {"healthchecks": {"active": {"unhealthy": {"interval": 0}}}})
        assert word_of(a, one.address) == "HEALTHY"  # what probes have ended is over

    def test_a_node_that_was_away_hears_of_them(self, new_node, wire, new_backend):
        a, b = new_node(), new_node(port=wire.port)
        one, two = new_backend("one"), new_backend("two")
        self.pool(a, [one, two], PASSIVE)
        b.wait_until_answers("/u")
        order(a, two.address, "unhealthy")
        wire.cut()
        eventually(lambda: readiness(b) == (200, "degraded"))
        refused = b.admin.put(f"/upstreams/u/targets/{one.address}/unhealthy")
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1
        assert word_of(b, one.address) == "HEALTHY"
        assert a.admin.put(f"/upstreams/u/targets/{one.address}/unhealthy").status_code == 204
        assert a.admin.put(f"/upstreams/u/targets/{two.address}/healthy").status_code == 204
        assert (word_of(b, one.address), word_of(b, two.address)) == ("HEALTHY", "UNHEALTHY")
        wire.mend()
        eventually(lambda: (word_of(b, one.address), word_of(b, two.address)) ==
                   ("UNHEALTHY", "HEALTHY"))

    def test_they_go_with_their_target_and_its_checks(self, new_node, postgres, new_backend):
        a, b = new_node(), new_node()
        one, two = new_backend("one"), new_backend("two")
        self.pool(a, [one, two], PASSIVE)
        b.wait_until_answers("/u")
        order(a, one.address, "unhealthy")
        none = {"passive": {"unhealthy": {"tcp_failures": 0, "http_failures": 0}}}
        for checks, word in ((none, "HEALTHCHECKS_OFF"), (PASSIVE, "UNHEALTHY")):
            a.admin.patch("/upstreams/u", {"healthchecks": checks})
            for node in (a, b):
                eventually(lambda node=node, word=word: word_of(node, one.address) == word)
        count = "SELECT count(*) FROM rows WHERE kind = 'health_orders'"
        assert postgres.query(count) == "1"
        a.admin.remove(f"/upstreams/u/targets/{one.address}")
        assert postgres.query(count) == "0"
        order(a, two.address, "unhealthy")
        order(a, f"{two.address}/{two.address}", "unhealthy")
        assert postgres.query(count) == "2"
        order(b, two.address, "healthy")  # the whole target, so that its addresses need none
        assert postgres.query(count) == "1"
        a.admin.remove("/services/u/routes/u")
        a.admin.remove("/services/u")
        a.admin.remove("/upstreams/u")
        assert postgres.query("SELECT count(*) FROM rows") == "0"

    @pytest.mark.consul
    def test_of_a_discovered_instance_they_hold_for_that_instance(self, new_node, consul,
                                                                  new_backend):
        a, b = (new_node(CONSUL_ADDR=consul.address) for _ in range(2))
        one, two = new_backend("one"), new_backend("two")
        instance = consul.register("web", one.port)
        consul.register("web", two.port)
        a.admin.create("/upstreams", {"name": "u", "healthchecks": PASSIVE,
                                      "discovery": {"type": "consul", "service": "web"}})
        a.serve("u", host="u")
        for node in (a, b):
            for backend in (one, two):
                eventually(lambda node=node, backend=backend:
                           word_of(node, backend.address) == "HEALTHY")
        order(b, one.address, "unhealthy")
        a.restart()
        for node in (a, b):
            eventually(lambda node=node: word_of(node, one.address) == "UNHEALTHY")
            assert word_of(node, two.address) == "HEALTHY"
        consul.deregister(instance)
        for node in (a, b):
            eventually(lambda node=node: word_of(node, one.address) is None)
        consul.register("web", one.port, id="next")  # another instance in the same place
        for node in (a, b):
            eventually(lambda node=node: word_of(node, one.address) == "HEALTHY")

    def test_they_are_no_noun_of_the_admin_api(self, new_node, new_backend):
        a = new_node()
        one = new_backend("one")
        self.pool(a, [one], PASSIVE)
        order(a, one.address, "unhealthy")
        for path in ("/health_orders", "/upstreams/u/health_orders", "/schemas/health_orders",
                     f"/upstreams/u/targets/{one.address}/health_orders"):
            assert a.admin.get(path).status_code == 404


class TestStop:
    def test_a_node_stops_in_order_while_others_write(self, new_node):
        a, b = new_node(), new_node()
        is_over = threading.Event()

        def write():
            number = 0
            while not is_over.is_set():
                a.admin.create("/services", {"name": f"s{number}", "host": "h"})
                number += 1
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(5):
                eventually(lambda: len(names(b)) > 3)
                b.restart()  # which checks the exit code
        finally:
            is_over.set()
            writer.join(30)
        until_same(a, b)

    def test_a_rolling_upgrade_under_load_loses_nothing(self, new_node, new_fast_backend):
        nodes = [new_node(DRAIN_DELAY=0.5), new_node(DRAIN_DELAY=0.5)]
        nodes[0].serve("s", new_fast_backend().url)
        nodes[1].wait_until_answers("/s")
        ready, is_over = set(nodes), threading.Event()
        statuses, failures, written = collections.Counter(), [], []

        def balance():  # as a load balancer: asks each node often whether it is ready
            while not is_over.is_set():
                for node in nodes:
                    try:
                        url = f"{node.admin.url}/status/ready"
                        is_ready = requests.get(url, timeout=5).status_code == 200
                    except requests.RequestException:
                        is_ready = False
                    (ready.add if is_ready else ready.discard)(node)
                is_over.wait(0.02)

        def load():
            number = 0
            while not is_over.is_set():
                choice = sorted(ready, key=id)
                number += 1
                try:
                    statuses[choice[number % len(choice)].get("/s").status] += 1
                except (OSError, IndexError, AssertionError) as error:
                    failures.append(repr(error))
                is_over.wait(0.002)

        def write():  # as somebody who goes by readiness, too, and asks again when a node stops
            number = 0
            while not is_over.is_set():
                for node in sorted(ready, key=id)[:1]:
                    try:
                        answer = requests.put(f"{node.admin.url}/services/n{number}", timeout=30,
                                              json={"host": "h"})
                    except requests.ConnectionError:
                        continue
                    if answer.status_code == 200:
                        written.append(f"n{number}")
                        number += 1
                    elif answer.status_code != 503:
                        failures.append(answer.text)
                is_over.wait(0.01)
        threads = [threading.Thread(target=run) for run in (balance, load, load, write)]
        for thread in threads:
            thread.start()
        try:
            for node in nodes:
                goal = sum(statuses.values()) + 50
                eventually(lambda goal=goal: sum(statuses.values()) > goal)
                node.restart()
                eventually(lambda: len(ready) == 2)
        finally:
            is_over.set()
            for thread in threads:
                thread.join(30)
        assert failures == []
        assert set(statuses) == {200}
        assert len(written) > 10
        for node in nodes:
            eventually(lambda node=node: set(written) <= names(node))


class TestFailover:
    def test_the_standby_that_becomes_the_primary_is_found(self, new_postgres, new_weir, backend):
        primary = new_postgres()
        settings = {**primary.settings, "MIGRATE": "auto"}
        a = new_weir(**settings)
        standby = new_postgres(standby_of=primary)
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        a.stop()
        a.settings["WEIR_PG_HOST"] = hosts
        a.start()
        b = new_weir(**{**settings, "PG_HOST": hosts})
        a.serve("before", backend.url)
        b.wait_until_answers("/before")
        eventually(lambda: standby.query("SELECT count(*) FROM rows") == "2")
        primary.kill()
        for node in (a, b):
            eventually(lambda node=node: readiness(node) == (200, "degraded"))
            assert node.get("/before").status == 200
        standby.promote()
        for node in (a, b):
            eventually(lambda node=node: readiness(node) == (200, "ready"))
        a.serve("after", backend.url)
        b.wait_until_answers("/after")
        until_same(a, b)


class TestCutOff:
    def test_one_of_three_is_cut_off_and_returns(self, new_node, wire, backend):
        a, b, c = new_node(), new_node(), new_node(port=wire.port)
        a.serve("before", backend.url)
        for node in (b, c):
            node.wait_until_answers("/before")
        wire.cut()
        eventually(lambda: readiness(c) == (200, "degraded"))
        b.serve("during", backend.url)
        a.wait_until_answers("/during")
        a.admin.remove("/routes/before")
        assert c.get("/before").status == 200
        assert c.get("/during").status == 404
        refused = c.admin.post("/services", {"name": "x", "host": "h"})
        assert refused.status_code == 503 and int(refused.headers["Retry-After"]) >= 1
        assert names(c) == {"before"}
        wire.mend()
        c.wait_until_answers("/during")
        c.wait_until_answers("/before", 404)
        eventually(lambda: readiness(c) == (200, "ready"))
        c.serve("after", backend.url)
        a.wait_until_answers("/after")
        until_same(a, b, c)

    def test_more_changes_than_the_log_holds(self, new_node, wire, postgres, backend):
        a, b = new_node(), new_node(port=wire.port)
        a.serve("gone", backend.url)
        kept = a.admin.create("/services", {"name": "kept", "host": "h"})
        eventually(lambda: names(b) == {"gone", "kept"})
        wire.cut()
        a.admin.remove("/routes/gone")
        a.admin.remove("/services/gone")
        postgres.query("DO $$ BEGIN FOR n IN 1..21000 LOOP UPDATE weir.rows SET body = "
                       "jsonb_set(body::jsonb, '{host}', to_jsonb('h' || n))::json "
                       f"WHERE id = '{kept['id']}'; END LOOP; END $$")
        a.serve("new", backend.url)  # a commit, which trims the log
        wire.mend()
        b.wait_until_answers("/new")
        until_same(a, b)
        assert b.admin.get("/services/kept").json()["host"] == "h21000"
        assert b.log("configuration loaded anew")

    def test_a_wire_on_which_nothing_moves_is_noticed(self, new_node, wire, backend):
        a, b = new_node(), new_node(port=wire.port, PG_TIMEOUT=1000)
        a.serve("s", backend.url)
        b.wait_until_answers("/s")
        wire.freeze()
        eventually(lambda: readiness(b) == (200, "degraded"), within=60)
        assert b.get("/s").status == 200
        a.admin.remove("/routes/s")
        wire.cut()
        wire.mend()
        b.wait_until_answers("/s", 404)


class TestDatabaseAway:
    def test_traffic_goes_on_and_writes_are_refused_until_it_is_back(self, new_node, postgres,
                                                                      backend):
        a, b = new_node(), new_node()
        a.serve("s", backend.url)
        b.wait_until_answers("/s")
        with Load(b.proxy_port, "/s") as load:
            load.wait_for_more(20)
            postgres.stop()
            for node in (a, b):
                eventually(lambda node=node: readiness(node) == (200, "degraded"))
                status = node.admin.get("/status").json()
                assert status["database"]["reachable"] is False
                assert status["weir"]["configuration"]["database_away"]
                assert node.admin.get("/services/s").json()["name"] == "s"
                refused = node.admin.post("/services", {"name": "x", "host": "h"})
                assert refused.status_code == 503
                assert int(refused.headers["Retry-After"]) >= 1
                assert "database" in refused.json()["message"]
                # Another node may have made it meanwhile.
                assert node.admin.delete("/services/unknown").status_code == 503
                assert node.admin.patch("/services/unknown", {}).status_code == 404
            load.wait_for_more(100)
            postgres.start()
            for node in (a, b):
                eventually(lambda node=node: readiness(node) == (200, "ready"))
            a.serve("back", backend.url)
            b.wait_until_answers("/back")
            load.wait_for_more(20)
        assert not load.errors and set(load.statuses) == {200}
        assert names(a) == {"s", "back"}

    def test_a_node_starts_from_its_last_snapshot(self, new_node, postgres, backend):
        a = new_node(SNAPSHOT="on")
        a.serve("s", backend.url)
        a.stop()
        postgres.stop()
        a.start()
        assert a.get("/s").status == 200
        assert readiness(a) == (200, "degraded")
        assert configuration(a)["source"] == "snapshot"
        assert a.admin.post("/services", {"name": "x", "host": "h"}).status_code == 503
        postgres.start()
        eventually(lambda: readiness(a) == (200, "ready"))
        assert configuration(a)["source"] == "database"
        a.serve("back", backend.url)
        assert a.get("/back").status == 200

    def test_what_changed_meanwhile_replaces_the_snapshot(self, new_node, wire, backend):
        a, b = new_node(port=wire.port, SNAPSHOT="on"), new_node()
        a.serve("old", backend.url)
        eventually(lambda: names(b) == {"old"})
        a.stop()
        wire.cut()
        b.admin.remove("/routes/old")
        b.admin.remove("/services/old")
        b.serve("new", backend.url)
        a.start()
        assert a.get("/old").status == 200
        wire.mend()
        a.wait_until_answers("/new")
        a.wait_until_answers("/old", 404)
        until_same(a, b)

    def test_without_a_snapshot_it_does_not_start(self, new_node, postgres, weir_command):
        node = new_node(start=False)
        postgres.stop()
        for snapshot in ("off", "on"):  # on, but there is none yet
            result = weir_command("run", **{**node.settings, "WEIR_SNAPSHOT": snapshot})
            assert result.returncode == 1
            errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
            assert len(errors) == 1, result.stderr


class TestRowsEditedByHand:
    def test_a_row_that_is_not_valid_is_left_out_and_named(self, new_node, postgres, backend):
        a = new_node()
        a.serve("good", backend.url)
        bad = a.serve("bad", backend.url)
        postgres.query("UPDATE rows SET body = json_build_object('host', 5, 'name', 'bad') "
                         f"WHERE kind = 'services' AND id = '{bad['id']}'")
        a.wait_until_answers("/bad", 404)  # as it takes effect without a restart
        assert a.get("/good").status == 200
        for node in (a, new_node()):
            skipped = configuration(node)["skipped_rows"]
            assert [(row["kind"], row["id"]) for row in skipped] == [("services", bad["id"])]
            assert "host" in skipped[0]["why"]
            assert node.log("a stored row is left out", id=bad["id"])
            assert node.get("/good").status == 200
        assert a.admin.put(f"/services/{bad['id']}",
                           {"name": "bad", "url": backend.url}).status_code == 200
        a.wait_until_answers("/bad")
        assert configuration(a)["skipped_rows"] == []


class TestBackup:
    def test_a_restored_backup_takes_effect_while_nodes_run(self, new_node, postgres, backend):
        a, b = new_node(), new_node()
        a.serve("old", backend.url)
        b.wait_until_answers("/old")
        backup = postgres.dump()
        a.admin.remove("/routes/old")
        for number in range(20):
            a.serve(f"new{number}", backend.url)
        b.wait_until_answers("/new19")
        postgres.restore(backup)
        for node in (a, b):
            node.wait_until_answers("/old")
            node.wait_until_answers("/new19", 404)
        b.serve("after", backend.url)
        a.wait_until_answers("/after")
        until_same(a, b)


class TestHandover:
    def pid(self, node):
        return node.admin.get("/").json()["pids"]["master"]

    def test_a_new_process_takes_over_and_nothing_is_lost(self, new_node, backend,
                                                          new_fast_backend):
        import os
        node = new_node(WORKERS=2)
        node.serve("s", new_fast_backend().url)
        first, node_id = node.pid, node.admin.get("/").json()["node_id"]
        fresh, failures, is_over = collections.Counter(), [], threading.Event()

        def connect_anew():
            while not is_over.is_set():
                try:
                    fresh[node.get("/s").status] += 1
                except (OSError, AssertionError, Closed) as error:
                    failures.append(repr(error))
        thread = threading.Thread(target=connect_anew)
        thread.start()
        with Load(node.proxy_port, "/s", connections=8, rate=400) as load:
            load.wait_for_more(50)
            node.signal(signal.SIGUSR2)
            assert node.wait() == 0
            node.admin.close()
            second = eventually(lambda: self.pid(node))
            assert second != first
            try:
                load.wait_for_more(100)
                is_over.set()
                thread.join(30)
                eventually(lambda: node.admin.get("/").json()["node_id"] == node_id,
                           "the new process being the same node")
                eventually(lambda: [entry["id"] for entry in
                                    node.admin.get("/nodes").json()["data"]] == [node_id])
                node.admin.remove("/routes/s")
                node.wait_until_answers("/s", 404)
            finally:
                is_over.set()
                load.stop()
                os.kill(second, signal.SIGTERM)
        assert (load.errors, failures) == ([], [])
        assert set(load.statuses) <= {200, 404} and set(fresh) == {200}
        eventually(lambda: not os.path.exists(f"/proc/{second}") or
                   open(f"/proc/{second}/stat", encoding="ascii").read().split(")")[1][1] == "Z")

    def test_an_embedded_database_is_not_handed_over(self, weir):
        weir.signal(signal.SIGUSR2)
        eventually(lambda: weir.log("SIGUSR2 ignored: two processes cannot share an embedded "
                                    "database"))
        assert weir.admin.get("/status").status_code == 200


class TestALostDatabase:
    """Its data are gone, and a new, empty one answers in its place."""

    def lose(self, postgres):
        postgres.sql("DROP SCHEMA weir CASCADE", "weir")
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'weir'")

    def row_count(self, postgres):
        try:
            return postgres.query("SELECT count(*) FROM rows")
        except subprocess.CalledProcessError:
            return None  # there is no such table yet

    def test_nodes_that_may_migrate_put_their_configuration_back(self, new_node, postgres, backend):
        one, two = new_node(), new_node()
        one.serve("kept", backend.url)
        eventually(lambda: two.get("/kept").status == 200, "both serving")
        before = {node: node.admin.get("/services").json() for node in (one, two)}
        with Load(one.proxy_port, "/kept", rate=100) as load:
            self.lose(postgres)
            eventually(lambda: self.row_count(postgres) == "2",
                       "the service and its route back in the database", within=60)
            for node in (one, two):
                eventually(lambda: readiness(node) == (200, "ready"), "ready again", within=60)
        load.assert_all_fine()
        for node in (one, two):
            assert node.admin.get("/services").json() == before[node]
        # Written and followed as ever; but a node that loads everything anew asks for another try.
        eventually(lambda: one.admin.create("/services", {"name": "new", "url": backend.url}))
        one.admin.create("/services/new/routes", {"paths": ["/new"]})
        eventually(lambda: two.get("/new").status == 200, "the other following")
        later = new_node()
        assert names(later) == {"kept", "new"}

    def test_nodes_that_may_not_serve_on_and_say_what_to_do(self, new_node, postgres, backend,
                                                            weir_command):
        new_node().stop()  # makes the tables
        node = new_node(MIGRATE="off")
        node.serve("kept", backend.url)
        self.lose(postgres)
        eventually(lambda: "weir migrations bootstrap" in (configuration(node)["database_away"] or ""),
                   "the status naming the command")
        assert node.get("/kept").status == 200
        settings = {f"WEIR_{name}": value for name, value in postgres.settings.items()}
        assert weir_command("migrations", "bootstrap", **settings).returncode == 0
        eventually(lambda: names(node) == set(), "what the database says", within=60)
