"""Nodes, their database and the wire between them, killed and cut in the middle of 1,000 writes.

Whatever happens: each write is in the database as it was answered, whole or not at all, and in the
end every node knows the same."""

import collections
import json
import threading

import pytest
import requests

from support.load import Load
from support.tcp_proxy import TcpProxy
from support.waiting import eventually

WRITES = 1000


@pytest.fixture
def new_node(new_weir, postgres):
    """Makes nodes of one cluster. `port`: another way to the database."""
    def make(port=None, server=postgres, **settings):
        way = {"PG_PORT": port} if port else {}
        return new_weir(**{**server.settings, **way, "MIGRATE": "auto", "PG_TIMEOUT": 2000,
                           **settings})
    return make


def names(node, kind="services"):
    found, path = set(), f"/{kind}?size=1000"
    while path:
        body = node.admin.get(path).json()
        found |= {entry["name"] for entry in body["data"]}
        path = body["next"]
    return found


def readiness(node):
    return node.admin.get("/status/ready").json()["message"]


class Writers:
    """Write through nodes, several at once, until told to stop; remember what was answered.

    In turn a route without a service, and then its service: that one request (PUT
    /routes/…/service) writes two rows, the new service and the route that refers to it."""

    def __init__(self, nodes, threads=4):
        self.nodes = nodes
        self.answers = {}  # (route, whether with its service): status; None: nobody knows
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                         for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _send(self, session, node, method, path, body):
        try:
            answer = session.request(method, node.admin.url + path, json=body, timeout=30)
        except requests.RequestException:
            return None
        return answer.status_code if "before it said" not in answer.text else None

    def _run(self, thread):
        with requests.Session() as session:
            session.trust_env = False
            number = 0
            while not self._is_over.is_set():
                node = self.nodes[(thread + number) % len(self.nodes)]
                name = f"w{thread}-{number}"
                number += 1
                made = self._send(session, node, "PUT", f"/routes/{name}", {"paths": [f"/{name}"]})
                self.answers[name, False] = made
                if made == 200:
                    self.answers[name, True] = self._send(
                        session, node, "PUT", f"/routes/{name}/service",
                        {"name": name, "host": "h"})
                else:
                    self._is_over.wait(0.02)  # the node or its database is away

    def count(self, status=200):
        return list(self.answers.values()).count(status)

    def wait_for(self, count, status=200):
        eventually(lambda: self.count(status) >= count,
                   lambda: f"{count} answers of {status}, not {self.summary()}", within=90)

    def summary(self):
        return collections.Counter(self.answers.values())

    def finish(self):
        self._is_over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def check(server, writers):
    """All that was acknowledged is there, nothing that was refused is, and nothing by halves."""
    rows = json.loads(server.query(
        "SELECT coalesce(json_object_agg(r.body->>'name', s.body->>'name'), '{}') FROM rows r"
        " LEFT JOIN rows s ON s.kind = 'services' AND s.id::text = r.body->'service'->>'id'"
        " WHERE r.kind = 'routes'"))
    services = set(server.query("SELECT body->>'name' FROM rows WHERE kind = 'services'").split())
    assert services == {service for service in rows.values() if service}  # each has its route
    for (name, has_service), status in writers.answers.items():
        is_there = rows.get(name) == name if has_service else name in rows
        # One whose end nobody told may be there or not; a refused one may not.
        assert status is None or is_there == (status == 200), f"{name} {has_service}: {status}"
        assert status in (200, 503, None)
    for table, reference in (("unique_keys", ""), ("refs", "")):
        assert server.query(f"SELECT count(*) FROM {table} x WHERE NOT EXISTS (SELECT FROM rows r"
                            f" WHERE (r.kind, r.id) = (x.kind, x.id)){reference}") == "0"
    # Every route and service has a name, and every route with a service a reference.
    assert server.query("SELECT (SELECT count(*) FROM rows) - (SELECT count(*) FROM unique_keys)"
                        " || ' ' || (SELECT count(*) FROM rows WHERE body->'service'->>'id' <> '')"
                        " - (SELECT count(*) FROM refs)") == "0 0"
    return rows


def until_known(nodes, server):
    for kind in ("services", "routes"):
        there = set(server.query(
            f"SELECT body->>'name' FROM rows WHERE kind = '{kind}'").split())
        for node in nodes:
            eventually(lambda node=node, kind=kind, there=there: names(node, kind) == there)


class TestKill:
    def test_the_server_is_killed_in_the_middle_of_writes(self, new_node, postgres):
        nodes = [new_node(), new_node()]
        writers = Writers(nodes)
        for part in (1, 2):
            writers.wait_for(WRITES * part // 3)
            refused = writers.count(503)
            postgres.kill()
            writers.wait_for(refused + 4, status=503)
            postgres.start()
        writers.wait_for(WRITES)
        writers.finish()
        check(postgres, writers)
        until_known(nodes, postgres)

    def test_nodes_are_killed_in_the_middle_of_writes(self, new_node, postgres):
        nodes = [new_node(), new_node(), new_node()]
        writers = Writers(nodes)
        for part, node in enumerate(nodes, 1):
            writers.wait_for(WRITES * part // 4)
            node.kill()
            unknown = writers.count(None)
            writers.wait_for(unknown + 2, status=None)
            node.start()
        writers.wait_for(WRITES)
        writers.finish()
        assert len(check(postgres, writers)) > WRITES // 3
        until_known(nodes, postgres)

    def test_one_of_three_is_cut_off_in_the_middle_of_writes(self, new_node, postgres, backend):
        wire = TcpProxy(postgres.port)
        try:
            nodes = [new_node(), new_node(), new_node(port=wire.port)]
            nodes[0].serve("s", backend.url)
            nodes[2].wait_until_answers("/s")
            with Load(nodes[2].proxy_port, "/s", rate=100) as load:
                writers = Writers(nodes)
                writers.wait_for(WRITES // 3)
                wire.cut()
                writers.wait_for(4, status=503)
                written = writers.count()
                writers.wait_for(written + WRITES // 3)  # by the two others
                assert readiness(nodes[2]) == "degraded"
                load.wait_for_more(20)
                wire.mend()
                eventually(lambda: readiness(nodes[2]) == "ready")
                writers.wait_for(written + WRITES * 2 // 3)
                writers.finish()
            assert not load.errors and set(load.statuses) == {200}
            nodes[0].admin.remove("/routes/s")
            nodes[0].admin.remove("/services/s")
            check(postgres, writers)
            until_known(nodes, postgres)
        finally:
            wire.stop()

    def test_failover_to_a_second_server_in_the_middle_of_writes(self, new_node, new_postgres):
        primary = new_postgres()
        standby = new_postgres(standby_of=primary)
        # What is acknowledged is on both.
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        eventually(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync",
                   "the standby following")
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        nodes = [new_node(server=primary, PG_HOST=hosts) for _ in range(2)]
        writers = Writers(nodes)
        writers.wait_for(WRITES // 2)
        primary.kill()
        writers.wait_for(4, status=503)
        standby.promote()
        writers.wait_for(WRITES)
        writers.finish()
        check(standby, writers)
        until_known(nodes, standby)


class TestOrder:
    def test_who_took_a_number_first_and_commits_last_is_not_missed(self, new_node, postgres):
        nodes = [new_node(), new_node()]
        for way, expected in (("COMMIT", {"human", "node"}), ("ROLLBACK", {"node"})):
            with postgres.session() as human:
                human.run("BEGIN; INSERT INTO weir.rows VALUES ('services', gen_random_uuid(),"
                          """ '{"name":"human","host":"h"}')""")
                answers = []
                writer = threading.Thread(target=lambda: answers.append(
                    nodes[0].admin.put("/services/node", {"host": "h"}).status_code))
                writer.start()
                eventually(lambda: postgres.waiting_writes() == 1)
                assert names(nodes[1]) == set()
                human.run(way)
                writer.join(30)
            assert answers == [200]
            for node in nodes:
                eventually(lambda node=node: names(node) == expected)
            postgres.query("DELETE FROM unique_keys; DELETE FROM rows")
            for node in nodes:
                eventually(lambda node=node: names(node) == set())


class TestAway:
    def test_10000_changes_while_a_node_is_away(self, new_node, postgres, weir_command, tmp_path):
        wire = TcpProxy(postgres.port)
        try:
            a, b = new_node(), new_node(port=wire.port)
            for number in range(20):
                a.admin.create("/services", {"name": f"s{number}", "host": "h"})
            eventually(lambda: len(names(b)) == 20)
            first = int(postgres.query("SELECT max(seq) FROM changes"))
            wire.cut()
            eventually(lambda: readiness(b) == "degraded")
            for number in range(1000):  # by a node, one after the other
                answer = a.admin.patch(f"/services/s{number % 20}", {"path": f"/{number}"})
                assert answer.status_code == 200
            postgres.sql("DO $$ BEGIN FOR n IN 1..4000 LOOP"  # by a human, each on its own
                         " UPDATE weir.rows SET body = jsonb_set(body::jsonb, '{host}',"
                         " to_jsonb('h' || n))::json WHERE body->>'name' = 's' || (n % 19);"
                         " COMMIT; END LOOP; END $$", postgres.database)
            file = tmp_path / "many.json"  # all at once
            file.write_text(json.dumps({"_format_version": "3.0", "services": [
                {"id": f"00000000-0000-4000-8000-{number:012d}", "name": f"n{number}", "host": "h"}
                for number in range(5000)]}))
            settings = {f"WEIR_{name}": value for name, value in postgres.settings.items()}
            assert weir_command("config", "import", file, **settings).returncode == 0
            a.admin.remove("/services/s19")
            assert int(postgres.query("SELECT count(*) FROM changes"
                                      f" WHERE seq > {first}")) >= 10000
            wire.mend()
            eventually(lambda: readiness(b) == "ready")

            def everything(node):
                found, path = {}, "/services?size=1000"
                while path:
                    body = node.admin.get(path).json()
                    found |= {row["name"]: (row["host"], row["path"]) for row in body["data"]}
                    path = body["next"]
                return found
            expected = dict(json.loads(postgres.query(
                "SELECT json_agg(json_build_array(body->>'name', json_build_array(body->>'host',"
                " body->>'path'))) FROM rows")))
            expected = {name: tuple(pair) for name, pair in expected.items()}
            assert len(expected) == 5019
            for node in (a, b):
                eventually(lambda node=node: everything(node) == expected)
            assert not b.log("configuration loaded anew")  # it followed, change by change
        finally:
            wire.stop()
