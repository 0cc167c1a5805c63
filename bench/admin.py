"""What the Admin API does beside 10,000 services and routes, how soon a write is in force, and what
finding a route and keeping it costs.

One node on SQLite and a program around the proxy's router. bench/README.md says what is measured.
"""

import argparse
import json
import os
import pathlib
import re
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from cluster import Poller, milliseconds, percentile, report, until_in_force  # noqa: E402
from machine import description, exit_on_signals  # noqa: E402
from support.backends import FastBackend  # noqa: E402
from support.weir import Weir, clean_environment  # noqa: E402

CONNECTIONS = 8
LOOKUP_ROUNDS = 200


class Client:
    """A connection to the Admin API: one request at a time, as little Python as possible."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in = b""

    def send(self, method, path, body=None):
        text = json.dumps(body).encode() if body is not None else b""
        fields = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n" if text else ""
        self.sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode() + text)

    def receive(self):
        """Status and body, or None while it is on its way."""
        self._in += self.sock.recv(1 << 20)
        head, separator, rest = self._in.partition(b"\r\n\r\n")
        if not separator:
            return None
        status = int(head[9:12])
        length = 0 if status == 204 else int(
            re.search(rb"content-length: (\d+)", head, re.IGNORECASE).group(1))
        if len(rest) < length:
            return None
        self._in = rest[length:]
        return status, rest[:length]

    def ask(self, method, path, body=None):
        self.send(method, path, body)
        while True:
            answer = self.receive()
            if answer:
                assert 200 <= answer[0] < 300, (method, path, answer)
                return answer[1]


def seconds_of(function):
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


def in_parallel(port, requests):
    """Carries the requests out on some connections at once; seconds."""
    clients = [Client(port) for _ in range(CONNECTIONS)]
    waiting = {}
    left = iter(requests)
    began = time.perf_counter()

    def send(client):
        request = next(left, None)
        if request:
            client.send(*request)
            waiting[client.sock] = client

    for client in clients:
        send(client)
    while waiting:
        for sock in select.select(list(waiting), [], [], 120)[0]:
            answer = waiting[sock].receive()
            if answer:
                assert 200 <= answer[0] < 300, answer
                send(waiting.pop(sock))
    took = time.perf_counter() - began
    for client in clients:
        client.sock.close()
    return took


def run_weir(node, *arguments):
    subprocess.run([str(node.binary), *arguments], check=True, cwd=node.directory,
                   env=clean_environment(node.directory, node.settings), stdout=subprocess.DEVNULL)


def multiply(file, count, of_one_service):
    """Routes of an export, `count` times: each leads to a service of its own, or all to one."""
    service, = file["services"]
    route, = service["routes"]
    for number in range(count):
        own = {**route, "id": str(uuid.uuid4()), "name": f"route-{number}",
               "paths": [f"/api/v1/service-{number}/items"]}
        if of_one_service:
            service["routes"].append(own)
            continue
        file["services"].append({**service, "id": str(uuid.uuid4()), "name": f"service-{number}",
                                 "routes": [own]})
    return file


def fill(node, folder, count, of_one_service=False):
    """Puts the services and routes into the stopped node's database."""
    export, filled = os.path.join(folder, "export.json"), os.path.join(folder, "filled.json")
    run_weir(node, "config", "export", export)
    with open(export, encoding="utf-8") as file:
        whole = multiply(json.load(file), count, of_one_service)
    with open(filled, "w", encoding="utf-8") as file:
        json.dump(whole, file)
    run_weir(node, "config", "import", filled)


def control_cpu(node):
    """Seconds that control's thread, the process's first, has run."""
    with open(f"/proc/{node.pid}/task/{node.pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


def build_figures(admin):
    """Builds of the configuration so far, and their seconds."""
    text = admin.ask("GET", "/metrics").decode()
    return [float(re.search(rf"^weir_config_build_seconds_{name} (\S+)$", text, re.MULTILINE)[1])
            for name in ("count", "sum")]


def measure_writes(node, count, total):
    admin = Client(node.admin_port)
    rows, times = [], []
    before = control_cpu(node)
    for number in range(count):
        body = {"read_timeout": 1000 + number}
        took, _ = seconds_of(lambda: admin.ask("PATCH", f"/services/service-{number % total}", body))
        times.append(took)
    rows.append(("PATCH of a service, one after the other: p50, p99",
                 f"{milliseconds(statistics.median(times))}, {milliseconds(percentile(times, 99))}"))
    rows.append(("the same: CPU of control for each",
                 milliseconds((control_cpu(node) - before) / count)))
    rows.append(("the same, a second", f"{count / sum(times):,.0f}"))
    creates = [("POST", "/services/s/routes", {"paths": [f"/parallel/{number}"]})
               for number in range(count)]
    took = in_parallel(node.admin_port, creates)
    rows.append((f"POST of a route on {CONNECTIONS} connections, a second", f"{count / took:,.0f}"))
    return rows


def measure_lists(node, total, seconds):
    admin = Client(node.admin_port)

    def pages():
        path, seen = "/routes?size=1000", 0
        while path:
            page = json.loads(admin.ask("GET", path))
            seen += len(page["data"])
            path = page["next"]
        return seen

    rows = []
    took, seen = min(seconds_of(pages) for _ in range(3))
    assert seen > total
    rows.append((f"all {seen:,} routes by pages of 1,000", milliseconds(took)))
    for name, path in (("list of 100", "/routes?size=100"), ("list of 1,000", "/routes?size=1000"),
                       ("service by its name", f"/services/service-{total // 2}")):
        done, began, before = 0, time.perf_counter(), control_cpu(node)
        while time.perf_counter() - began < seconds:
            admin.ask("GET", path)
            done += 1
        rows.append((f"{name}: a second; CPU of control for each",
                     f"{done / (time.perf_counter() - began):,.0f}; "
                     f"{milliseconds((control_cpu(node) - before) / done)}"))
    return rows


def measure_in_force(node, count):
    """The first request after a 2xx tells; those that were asked again have been too early."""
    admin, poller = Client(node.admin_port), Poller(node.proxy_port)
    writes, delays, early = [], [], 0
    for number in range(count):
        path = f"/fresh-{number}"
        body = {"paths": [path]}
        took, _ = seconds_of(lambda: admin.ask("POST", "/services/s/routes", body))
        writes.append(took)
        answered = time.perf_counter()
        poller.ask(path)
        while (is_there := poller.read()) is None:
            pass
        if is_there:
            delays.append(time.perf_counter() - answered)
        else:
            early += 1
            delays += until_in_force([poller], path, answered)
    return [("POST of a route, to its 2xx: p50, p99",
             f"{milliseconds(statistics.median(writes))}, {milliseconds(percentile(writes, 99))}"),
            ("from that 2xx to the first 200 through the proxy: p50, p99",
             f"{milliseconds(statistics.median(delays))}, {milliseconds(percentile(delays, 99))}"),
            (f"of {count} writes, not in force with their 2xx", early)]


def measure_routes_alone(arguments, folder):
    """What a route takes that has no service of its own."""
    node = Weir(arguments.weir, f"{folder}/routes", WORKERS=1, ACCESS_LOG="off", LOG_LEVEL="warn",
                WEIR_ADMIN_AUDIT="off")
    try:
        node.start()
        node.serve("s", "http://127.0.0.1:9")
        node.restart()
        empty = node.rss_kib()
        node.stop()
        fill(node, node.directory, arguments.routes, of_one_service=True)
        node.start()
        full = node.rss_kib()
    finally:
        if node.is_running:
            node.stop()
    return [("memory, empty and full: a route by itself",
             f"{empty / 1024:.1f} MiB, {full / 1024:.1f} MiB: "
             f"{(full - empty) / arguments.routes:.2f} KiB")]


def add_consumers(node, count):
    """Imports so many consumers with a key each into the stopped node's database."""
    path = os.path.join(node.directory, "consumers.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"_format_version": "3.0", "consumers": [
            {"username": f"user-{number}", "keyauth_credentials": [{"key": f"key-{number}"}]}
            for number in range(count)]}, file)
    run_weir(node, "config", "import", path)


def measure_consumers(arguments, folder):
    """What one more key costs control beside many consumers."""
    node = Weir(arguments.weir, f"{folder}/consumers", WORKERS=1, ACCESS_LOG="off",
                LOG_LEVEL="warn", WEIR_ADMIN_AUDIT="off")
    total = arguments.routes * 2
    try:
        add_consumers(node, total)
        node.start()
        admin = Client(node.admin_port)
        before = control_cpu(node)
        for number in range(arguments.writes):
            admin.ask("POST", f"/consumers/user-{number % total}/key-auth",
                      {"key": f"another-{number}"})
        spent = (control_cpu(node) - before) / arguments.writes
    finally:
        if node.is_running:
            node.stop()
    return [(f"POST of a key beside {total:,} consumers: CPU of control for each",
             milliseconds(spent))]


def measure_node(arguments, folder):
    backend = FastBackend("backend")
    node = Weir(arguments.weir, f"{folder}/node", WORKERS=1, ACCESS_LOG="off", LOG_LEVEL="warn",
                WEIR_ADMIN_AUDIT="off")
    total = arguments.routes
    rows = []
    try:
        node.start()
        node.serve("s", backend.url)
        node.restart()
        empty = node.rss_kib()
        node.stop()
        fill(node, node.directory, total)
        took, _ = seconds_of(lambda: (node.start(), until_in_force(
            [Poller(node.proxy_port)], f"/api/v1/service-{total - 1}/items", 0)))
        rows.append((f"start with {total:,} services and routes, to the first 200",
                     milliseconds(took)))
        full = node.rss_kib()
        rows.append((f"memory, empty and full: a service and its route",
                     f"{empty / 1024:.1f} MiB, {full / 1024:.1f} MiB: "
                     f"{(full - empty) / total:.2f} KiB"))
        admin = Client(node.admin_port)
        before = build_figures(admin)
        rows += measure_in_force(node, arguments.writes)
        rows += measure_writes(node, arguments.writes, total)
        after = build_figures(admin)
        builds = after[0] - before[0]
        rows.append((f"compiling the configuration, on average of {builds:,.0f} times",
                     milliseconds((after[1] - before[1]) / max(builds, 1))))
        rows += measure_lists(node, total, arguments.seconds)
        rows.append(("memory after all that", f"{node.rss_kib() / 1024:.1f} MiB"))
    finally:
        if node.is_running:
            node.stop()
        backend.stop()
    return rows


# The router by itself.

def build_matching(weir):
    tree = pathlib.Path(weir).resolve().parent
    subprocess.run(["cmake", "--build", str(tree), "--target", "bench_matching"], check=True,
                   stdout=subprocess.DEVNULL)
    return tree / "bench_matching"


def measure_router(program, cases, rounds):
    rows = []
    for routes, regexes, *kind in cases:
        few = rounds // 20 + 1 if kind else rounds
        ran = subprocess.run([program, str(routes), str(regexes), str(few), *kind], check=True,
                             stdout=subprocess.PIPE, text=True)
        figures = json.loads(ran.stdout)

        def pair(name, found=figures):
            return "-" if not found[name] else "{:,} / {:,} ns".format(*found[name])
        total = routes + regexes
        rows.append((f"{routes:,} routes" + (f" and {regexes:,} {' '.join([*kind, 'regexes'])}" if regexes else ""),
                     pair("literal_ns"), pair("regex_ns"), pair("none_ns"),
                     f"{figures['build_ms']:,.1f} ms",
                     f"{figures['router_bytes'] / total:,.0f} + "
                     f"{figures['route_bytes'] / total:,.0f} B"))
    return rows


def print_router(rows, is_markdown):
    head = ("router of", "literal path", "path of a regex", "no route", "to build",
            "router + route, each")
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for number, row in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        print("| " + " | ".join(cells) + " |" if is_markdown else "  ".join(cells))
        if is_markdown and number == 0:
            print("| " + " | ".join("-" * width for width in widths) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", default=str(REPOSITORY / "build/release/weir"))
    parser.add_argument("--routes", type=int, default=10000)
    parser.add_argument("--writes", type=int, default=200, help="of each kind")
    parser.add_argument("--seconds", type=float, default=3, help="of each list")
    parser.add_argument("--only", choices=("node", "router"))
    parser.add_argument("--quick", action="store_true", help="proves that it works")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    cases = [(1, 0), (100, 0), (10000, 0), (100000, 0),
             (1, 1000), (100, 1000), (10000, 1000), (100000, 1000),
             (10000, 1000, "blind")]
    rounds = LOOKUP_ROUNDS
    arguments.weir = os.path.abspath(arguments.weir)
    if arguments.quick:
        arguments.routes, arguments.writes, arguments.seconds = 200, 20, 0.2
        cases, rounds = [(1, 0), (100, 10), (10, 10, "blind")], 3
    exit_on_signals()
    print(f"{description()}\n", flush=True)
    if arguments.only != "router":
        with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
            report(measure_node(arguments, folder) + measure_routes_alone(arguments, folder) +
                   measure_consumers(arguments, folder), arguments.markdown)
        print()
    if arguments.only != "node":
        program = build_matching(arguments.weir)
        print_router(measure_router(program, cases, rounds), arguments.markdown)


if __name__ == "__main__":
    main()
