"""How soon a write on one node is in force on the others, and what 10,000 routes cost a node.

Three nodes and a PostgreSQL of their own, all on loopback. bench/README.md says what is measured.
"""

import argparse
import json
import pathlib
import select
import socket
import statistics
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from support.backends import FastBackend  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.waiting import eventually  # noqa: E402
from support.weir import Weir  # noqa: E402


class Poller:
    """A keep-alive connection that asks for one path until it is there."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in = b""

    def ask(self, path):
        self.sock.sendall(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode())

    def read(self):
        """True, False: the answer to ask(); None: it is still on its way."""
        self._in += self.sock.recv(65536)
        head, separator, rest = self._in.partition(b"\r\n\r\n")
        if not separator:
            return None
        lower = head.lower()
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(rest) < length:
            return None
        self._in = rest[length:]
        return b" 200 " in head.split(b"\r\n")[0]


def until_in_force(pollers, path, began):
    """Seconds since `began` until each of them has answered `path` with 200."""
    delays = {}
    waiting = {poller.sock: poller for poller in pollers}
    for poller in pollers:
        poller.ask(path)
    while waiting:
        for sock in select.select(list(waiting), [], [], 30)[0]:
            is_there = waiting[sock].read()
            if is_there:
                delays[waiting.pop(sock)] = time.perf_counter() - began
            elif is_there is False:
                waiting[sock].ask(path)
    return [delays[poller] for poller in pollers]


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def measure_propagation(nodes, count, name):
    """From the 2xx on the first node to 200 on each other one."""
    a, *others = nodes
    pollers = [Poller(node.proxy_port) for node in others]
    delays = [[] for _ in others]
    writes = []
    for number in range(count):
        path = f"/{name}-{number}"
        began = time.perf_counter()
        answer = a.admin.post("/services/s/routes", {"paths": [path]})
        answered = time.perf_counter()
        assert answer.status_code == 201, answer.text
        writes.append(answered - began)
        for found, delay in zip(delays, until_in_force(pollers, path, answered)):
            found.append(delay)
    return writes, delays


def add_routes(postgres, count):
    """Straight into the database, as a restored backup or a script would."""
    postgres.query(f"""
        WITH one AS (SELECT body::jsonb AS body, id FROM rows WHERE kind = 'routes' LIMIT 1),
             ref AS (SELECT ref_kind, ref_id FROM refs, one
                     WHERE kind = 'routes' AND refs.id = one.id),
             made AS (INSERT INTO rows (kind, id, body)
                      SELECT 'routes', new_id, jsonb_set(jsonb_set(jsonb_set(body,
                             '{{paths}}', jsonb_build_array('/many/' || n)),
                             '{{name}}', to_jsonb('many-' || n)),
                             '{{id}}', to_jsonb(new_id::text))::json
                      FROM one, (SELECT n, gen_random_uuid() AS new_id
                                 FROM generate_series(1, {count}) AS n) AS numbers
                      RETURNING id, body),
             named AS (INSERT INTO unique_keys (kind, field, value, id)
                       SELECT 'routes', 'name', body ->> 'name', id FROM made)
        INSERT INTO refs (kind, id, field, ref_kind, ref_id)
        SELECT 'routes', made.id, 'service', ref_kind, ref_id FROM made, ref""")


def start_seconds(node, path):
    began = time.perf_counter()
    node.start()
    until_in_force([Poller(node.proxy_port)], path, began)
    return time.perf_counter() - began


def milliseconds(seconds):
    return f"{seconds * 1000:,.1f} ms"


def report(rows, is_markdown):
    width = max(len(name) for name, _ in rows)
    if is_markdown:
        print(f"| {'figure':<{width}} | value |\n| {'-' * width} | ----: |")
    for name, value in rows:
        print(f"| {name:<{width}} | {value} |" if is_markdown else f"{name:<{width}}  {value}")


def run(arguments):
    rows = []
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        postgres = Postgres(folder)
        backend = FastBackend("backend")
        nodes = [Weir(arguments.weir, f"{folder}/{name}", WORKERS=1, ACCESS_LOG="off",
                      MIGRATE="auto", SNAPSHOT="on", **postgres.settings)
                 for name in ("a", "b", "c")]
        try:
            for node in nodes:
                node.start()
            a, b, _ = nodes
            rows.append(("memory of a node without configuration", f"{a.rss_kib() / 1024:.1f} MiB"))
            a.serve("s", backend.url)

            writes, delays = measure_propagation(nodes, arguments.writes, "write")
            rows.append((f"write on A, 2xx (of {arguments.writes}): p50, p99",
                         f"{milliseconds(statistics.median(writes))}, "
                         f"{milliseconds(percentile(writes, 99))}"))
            for name, found in zip(("B", "C"), delays):
                rows.append((f"from that 2xx to in force on {name}: p50, p99, max",
                             f"{milliseconds(statistics.median(found))}, "
                             f"{milliseconds(percentile(found, 99))}, "
                             f"{milliseconds(max(found))}"))

            last = f"/many/{arguments.routes}"
            began = time.perf_counter()
            add_routes(postgres, arguments.routes)
            committed = time.perf_counter()
            slowest = max(until_in_force([Poller(node.proxy_port) for node in nodes], last,
                                         committed))
            rows.append((f"{arguments.routes:,} routes in one transaction, to COMMIT",
                         milliseconds(committed - began)))
            rows.append(("from there to in force on all three", milliseconds(slowest)))
            total = arguments.routes + arguments.writes + 1
            rows.append((f"memory of a node with {total:,} routes, which saw them come",
                         f"{b.rss_kib() / 1024:.1f} MiB"))
            writes, delays = measure_propagation(nodes, arguments.again, "again")
            found = [delay for each in delays for delay in each]
            rows.append((f"write on A among {total:,} routes, 2xx: p50, max",
                         f"{milliseconds(statistics.median(writes))}, "
                         f"{milliseconds(max(writes))}"))
            rows.append(("from that 2xx to in force on B and C: p50, max",
                         f"{milliseconds(statistics.median(found))}, {milliseconds(max(found))}"))

            b.stop()
            rows.append((f"start with {total:,} routes, to the first 200",
                         milliseconds(start_seconds(b, last))))
            rows.append(("memory after that start", f"{b.rss_kib() / 1024:.1f} MiB"))
            snapshot = pathlib.Path(b.settings["WEIR_DATA_DIR"], "snapshot")
            eventually(lambda: snapshot.exists() and last in snapshot.read_text())
            b.stop()
            postgres.stop()
            rows.append(("the same without the database, from the snapshot",
                         milliseconds(start_seconds(b, last))))
        finally:
            for node in nodes:
                if node.is_running:
                    node.kill()
            backend.stop()
            postgres.remove()
    report(rows, arguments.markdown)
    if arguments.json:
        print(json.dumps(dict(rows), indent=2))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", default=str(REPOSITORY / "build/release/weir"))
    parser.add_argument("--writes", type=int, default=1000)
    parser.add_argument("--routes", type=int, default=10000)
    parser.add_argument("--again", type=int, default=50, help="writes beside the many routes")
    parser.add_argument("--quick", action="store_true", help="proves that it works")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.writes, arguments.routes, arguments.again = 50, 500, 10
    run(arguments)


if __name__ == "__main__":
    main()
