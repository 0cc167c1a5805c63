"""How soon weir follows Consul, under load: from a change's commit to the first request that reaches a
new instance, and to the last that reaches a removed one. bench/README.md says how it is measured.
"""

import argparse
import http.client
import itertools
import json
import mmap
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import ExitStack, contextmanager

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from gateways import find_program  # noqa: E402
from machine import BenchError, description, exit_on_signals  # noqa: E402
from support.certificates import certify  # noqa: E402
from support.consul import Consul  # noqa: E402
from support.ports import free_port  # noqa: E402
from support.waiting import eventually  # noqa: E402
from support.weir import Weir  # noqa: E402

BENCH = pathlib.Path(__file__).resolve().parent
BUILD = BENCH / ".work"
STAMPS = 65536
RATE = 1000          # requests/s
QUIET_MS = 60        # after a removal: what comes later than this is counted as late
CHURN = 100          # changes/s elsewhere
ROUNDS_MAX = 3       # of load, to see all changes of a case
LOST_TIMES = 5       # so often state is lost, in a full run
PARTS = ("changes", "cpu", "lost", "rolling", "idle", "sockets")


def build_programs():
    BUILD.mkdir(exist_ok=True)
    for name in ("stamper", "watcher", "openloop", "instance"):
        subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o",
                        BUILD / name, BENCH / f"{name}.c", BENCH / "loopback.c"], check=True)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]


def line_of(values):
    if not values:
        return "    none"
    return (f"{percentile(values, 50):8.2f} {percentile(values, 99):8.2f} {max(values):8.2f}"
            f"   ({len(values)})")


class Results:
    """What has been measured so far, for tables, and which cases could not be measured."""

    def __init__(self):
        self.changes = []  # (pool and elsewhere, kind, values)
        self.cpu = []      # (pool and elsewhere, gateway, share, failed)
        self.others = []   # (case, figure, what is wanted)
        self.broken = []

    def run(self, name, measure, *arguments):
        """A case that breaks is tried once more, then named, and the next one goes on."""
        for is_last in (False, True):
            try:
                measure(*arguments)
                return
            except Exception as error:  # pylint: disable=broad-except
                traceback.print_exc()
                print(f"{name}: {'not measured' if is_last else 'once more'}: {error!r}",
                      flush=True)
        self.broken.append(name)

    def print_tables(self):
        if self.changes:
            print("\n| pool, elsewhere | ms from the commit | p50 | p99 | max | of |\n"
                  "| --- | --- | ---: | ---: | ---: | ---: |")
            for case, kind, values in self.changes:
                figures = [f"{percentile(values, 50):.1f}", f"{percentile(values, 99):.1f}",
                           f"{max(values):.1f}"] if values else ["", "", ""]
                print(f"| {case} | {kind} | {' | '.join(figures)} | {len(values)} |")
        if self.cpu:
            print("\n| pool, elsewhere | gateway | CPU | failed |\n| --- | --- | ---: | ---: |")
            for case, gateway, share, failed in self.cpu:
                print(f"| {case} | {gateway} | {share * 100:.1f} % | {failed} |")
        if self.others:
            print("\n| case | measured | wanted |\n| --- | --- | --- |")
            for row in self.others:
                print(f"| {' | '.join(row)} |")
        for name in self.broken:
            print(f"\nNot measured: {name}")
        sys.stdout.flush()


@contextmanager
def program(*command):
    """Runs until the block ends; its first line says that it is ready, if it says anything."""
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@contextmanager
def mapped(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), size) as memory:
        yield memory


class Catalog:
    """Consul's catalog over one connection: PUT, and when it was sent."""

    def __init__(self, port):
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def put(self, path, body):
        text = json.dumps(body)
        began = time.monotonic_ns()
        self._http.request("PUT", path, text)
        answer = self._http.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"PUT {path}: {answer.status}")
        return began

    def add(self, service, address, port, weight=1):
        return self.put("/v1/catalog/register", {
            "Node": f"node-{address}", "Address": address, "Service": {
                "ID": f"{service}-{address}", "Service": service, "Address": address, "Port": port,
                "Weights": {"Passing": weight, "Warning": weight}}})

    def remove(self, service, address):
        return self.put("/v1/catalog/deregister", {
            "Node": f"node-{address}", "ServiceID": f"{service}-{address}"})


def churn(port):
    """Until it is killed: CHURN changes/s in fifty services nobody asked about, and one that weir
    follows."""
    catalog = Catalog(port)
    began = time.monotonic()
    for turn in itertools.count():
        address = f"127.9.{turn % 250}.1"
        if turn // 250 % 2:
            catalog.remove(f"other-{turn % 50}", address)
        else:
            catalog.add(f"other-{turn % 50}", address, 9)
        time.sleep(max(0, began + (turn + 1) / CHURN - time.monotonic()))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def count_sockets(pid, port):
    """Each once: the kernel's table repeats itself when it changes under the reader."""
    own, found = set(), set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            own.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[2].endswith(f":{port:04X}"):
                found.add(f"socket:[{fields[9]}]")
    return len(own & found)


class Rig:
    """A Consul, instances that stamp, and weir with everything at its default (or nobody, who is to
    start a gateway at `proxy_port`)."""

    def __init__(self, arguments, stack, consul_hcl="", is_weir=True, **settings):
        self.directory = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix="weir-bench-")))
        self.consul = Consul(arguments.consul, str(self.directory / "consul"), hcl=consul_hcl)
        stack.callback(self.consul.stop)
        self.catalog = Catalog(self.consul.port)
        self.port = free_port()
        self.stamps = stack.enter_context(mapped(self.directory / "stamps", STAMPS * 24))
        stamper = stack.enter_context(program(BUILD / "stamper", self.port,
                                              self.directory / "stamps"))
        stamper.stdout.readline()
        self.fresh = itertools.count(1)
        self.proxy_port = free_port()
        if is_weir:
            self._start_weir(arguments, stack, settings)

    def _start_weir(self, arguments, stack, settings):
        self.weir = Weir(arguments.weir, self.directory / "weir", ACCESS_LOG="off",
                         CONSUL_ADDR=settings.pop("CONSUL_ADDR", self.consul.address), **settings)
        self.weir.settings.pop("WEIR_WORKERS")
        self.weir.start()
        stack.callback(self.weir.kill)
        self.proxy_port = self.weir.proxy_port

    def stamp(self, address):
        """First and last in nanoseconds, and the number of requests."""
        a, b = (int(part) for part in address.split(".")[2:])
        return struct.unpack_from("QQQ", self.stamps, ((a << 8) | b) * 24)

    def fill(self, count):
        """`count` instances that stay."""
        addresses = [f"127.1.{200 + number // 250}.{number % 250 + 1}" for number in range(count)]
        for address in addresses:
            self.catalog.add("bench", address, self.port)
        return addresses

    def next_address(self):
        """One that was never used: a known one that comes again is damped."""
        number = next(self.fresh)
        return f"127.2.{number // 250}.{number % 250 + 1}"

    @contextmanager
    def load(self, seconds, failures):
        """RATE requests/s for so long; `failures` gets what did not succeed."""
        with program(BUILD / "openloop", self.proxy_port, RATE, seconds, 2000) as loop:
            loop.stdout.readline()
            answers = []
            reader = threading.Thread(target=lambda: answers.extend(loop.stdout))
            reader.start()
            yield
            reader.join()
            failures.extend(line for line in answers if line.split()[2] != "200")


class Changes:
    """What a case of changes has measured so far."""

    def __init__(self):
        self.adds, self.removes, self.floor = [], [], []
        self.missed = self.late = 0
        self.failures = []

    def one(self, rig, seen, weight):
        """An instance comes, and goes."""
        address = rig.next_address()
        at = rig.catalog.add("bench", address, rig.port, weight)
        deadline = time.monotonic() + 2
        while not rig.stamp(address)[0] and time.monotonic() < deadline:
            time.sleep(0.001)
        first = rig.stamp(address)[0]
        if not first:
            self.missed += 1
        else:
            self.adds.append((first - at) / 1e6)
        time.sleep(0.02)
        while struct.unpack_from("Q", seen)[0] <= at and time.monotonic() < deadline:
            time.sleep(0.001)
        stamp = struct.unpack_from("Q", seen)[0]
        if stamp > at:
            self.floor.append((stamp - at) / 1e6)
        at = rig.catalog.remove("bench", address)
        time.sleep(QUIET_MS / 1000)
        _, last, requests = rig.stamp(address)
        self.removes.append(max(0, (last - at) / 1e6))
        time.sleep(0.005)
        self.late += rig.stamp(address)[2] - requests


def measure_changes(arguments, results, pool, is_churning):
    with ExitStack() as stack:
        rig = Rig(arguments, stack)
        rig.fill(pool)
        rig.weir.serve("bench", "http://bench:80", paths=["/"], route={"strip_path": False})
        if is_churning:
            rig.weir.serve("other", "http://other-1:80", paths=["/other"])
            stack.enter_context(program(sys.executable, __file__, "--churn", rig.consul.port))
        eventually(lambda: len([t for t in rig.weir.targets_in_use()]) >= pool, within=60)
        seen = stack.enter_context(mapped(rig.directory / "seen", 4096))
        stack.enter_context(program(BUILD / "watcher", rig.consul.port, "bench",
                                    rig.directory / "seen"))
        time.sleep(0.5)
        # In a pool of ten a newcomer gets its share; in a larger one that would be a request every
        # tenth of a second or second, so there its weight makes it four of five.
        weight = 1 if pool <= 10 else min(pool * 4, 65535)
        changes, done, requests = Changes(), 0, 0
        cpu, began = cpu_seconds(rig.weir.pid), time.monotonic()
        for _ in range(ROUNDS_MAX):  # a busy machine needs more of them
            seconds = int((arguments.changes - done) * (0.14 if pool <= 100 else 0.2)) + 3
            round_began, requests = time.monotonic(), requests + seconds * RATE
            with rig.load(seconds, changes.failures):
                while done < arguments.changes and time.monotonic() < round_began + seconds - 1:
                    changes.one(rig, seen, weight)
                    done += 1
            if done == arguments.changes:
                break
        cpu = (cpu_seconds(rig.weir.pid) - cpu) / (time.monotonic() - began)
        elsewhere = f"{CHURN} changes/s" if is_churning else "quiet"
        name = f"{pool:>5} {'churn' if is_churning else 'quiet':>6}"
        for kind, values in (("add", changes.adds), ("remove", changes.removes),
                             ("watcher", changes.floor)):
            print(f"{name}  {kind:<8} {line_of(values)}", flush=True)
            results.changes.append((f"{pool}, {elsewhere}", kind, values))
        print(f"{name}  failed {len(changes.failures)} of {requests}, missed {changes.missed}, "
              f"late {changes.late}, CPU {cpu * 100:.1f} %", flush=True)
        results.others.append((
            f"pool of {pool}, {elsewhere}: {done} instances came and went",
            f"{len(changes.failures)} of {requests:,} failed, {changes.missed} missed, "
            f"{changes.late} late, CPU {cpu * 100:.1f} %", "none failed"))


@contextmanager
def haproxy(rig, slots):
    """It follows the same Consul by SRV records; yields its process id."""
    template = (BENCH / "configs/freshness-haproxy.cfg").read_text(encoding="utf-8")
    config = rig.directory / "haproxy.cfg"
    for word, value in (("DNS", rig.consul.dns_port), ("PORT", rig.proxy_port), ("SLOTS", slots)):
        template = template.replace(f"@{word}@", str(value))
    config.write_text(template, encoding="utf-8")
    with program(find_program("haproxy"), "-db", "-q", "-f", config) as child:
        yield child.pid


def has_haproxy():
    try:
        return bool(find_program("haproxy"))
    except BenchError as why:
        print(f"haproxy is left out: {why}", flush=True)
        return False


def wait_for_all(rig, addresses):
    """Until each instance has had a request."""
    deadline = time.monotonic() + 60
    while not all(rig.stamp(address)[0] for address in addresses):
        if time.monotonic() > deadline:
            raise RuntimeError("not all instances get requests")
        time.sleep(0.1)


def measure_cpu(arguments, results, name, pool, is_churning, seconds):
    """What following Consul costs beside the same traffic: one instance comes and one goes a
    second."""
    with ExitStack() as stack:
        rig = Rig(arguments, stack, is_weir=name == "weir")
        addresses = rig.fill(pool)
        if name == "weir":
            rig.weir.serve("bench", "http://bench:80", paths=["/"], route={"strip_path": False})
            pid = rig.weir.pid
        else:
            pid = stack.enter_context(haproxy(rig, pool + 8))
        if is_churning:
            stack.enter_context(program(sys.executable, __file__, "--churn", rig.consul.port))
        failures = []
        time.sleep(3)  # HAProxy asks each second
        with rig.load(5, []):
            wait_for_all(rig, addresses)
        with rig.load(seconds + 1, failures):
            cpu, began = cpu_seconds(pid), time.monotonic()
            for turn in range(seconds):
                address = rig.next_address()
                rig.catalog.add("bench", address, rig.port)
                time.sleep(max(0, began + turn + 0.5 - time.monotonic()))
                rig.catalog.remove("bench", address)
                time.sleep(max(0, began + turn + 1 - time.monotonic()))
            cpu = (cpu_seconds(pid) - cpu) / (time.monotonic() - began)
        print(f"{pool:>5} {'churn' if is_churning else 'quiet':>6}  {name:<8} CPU "
              f"{cpu * 100:5.1f} %, failed {len(failures)} of {(seconds + 1) * RATE}", flush=True)
        results.cpu.append((f"{pool}, {f'{CHURN} changes/s' if is_churning else 'quiet'}", name, cpu,
                            len(failures)))


def measure_lost_state(arguments, results):
    """Consul loses its state, and services register again eight seconds later."""
    with ExitStack() as stack:
        rig = Rig(arguments, stack)
        addresses = rig.fill(10)
        rig.weir.serve("bench", "http://bench:80", paths=["/"], route={"strip_path": False})
        eventually(lambda: len(rig.weir.targets_in_use()) == 10)
        failures = []
        with rig.load(20, failures):
            time.sleep(1)
            rig.consul.restart(keep_data=False)
            time.sleep(8)
            rig.catalog = Catalog(rig.consul.port)
            for address in addresses:
                rig.catalog.add("bench", address, rig.port)
            time.sleep(2)
            address = rig.next_address()
            at = rig.catalog.add("bench", address, rig.port)
            eventually(lambda: rig.stamp(address)[0])
            took = (rig.stamp(address)[0] - at) / 1e6
        print(f"state lost, back after 8 s: failed {len(failures)}, next change routed after "
              f"{took:.1f} ms", flush=True)
        results.others.append((
            "state lost and registered again 8 s later",
            f"{len(failures)} of {20 * RATE:,} failed; the next change routed after {took:.1f} ms",
            "none failed, 50 ms"))


def measure_rolling_restart(arguments, results):
    """Each of ten instances is deregistered and killed at once, and replaced at its own address."""
    with ExitStack() as stack:
        rig = Rig(arguments, stack)
        port, children = free_port(), {}

        def start(number):
            children[number] = subprocess.Popen(
                [BUILD / "instance", f"127.0.8.{number}", str(port), str(number)],
                stdout=subprocess.PIPE)
            children[number].stdout.readline()
            rig.catalog.add("bench", f"127.0.8.{number}", port)

        def kill(number):
            children[number].kill()
            children[number].wait()
            children[number].stdout.close()
        for number in range(1, 11):
            start(number)
        stack.callback(lambda: [kill(number) for number in children])
        rig.weir.serve("bench", "http://bench:80", paths=["/"], route={"strip_path": False})
        eventually(lambda: len(rig.weir.targets_in_use()) == 10)
        failures = []
        with rig.load(8, failures):
            time.sleep(0.5)
            for number in range(1, 11):
                rig.catalog.remove("bench", f"127.0.8.{number}")
                kill(number)
                start(number)
                time.sleep(0.5)
        print(f"rolling restart of ten, no grace: failed {len(failures)} of {8 * RATE}", flush=True)
        results.others.append(("rolling restart of ten, deregistered and killed at once",
                               f"{len(failures)} of {8 * RATE:,} failed", "none failed"))


def measure_many(arguments, results, count, over_tls):
    """Sockets, and CPU while nothing happens."""
    with ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hcl, settings, port = "", {}, None
        if over_tls:
            authority = certify(directory, "authority")
            server = certify(directory, "server.dc1.consul", authority)
            port = free_port()
            hcl = (f'ports {{ https = {port} }} tls {{ https {{ cert_file = "{server[0]}" '
                   f'key_file = "{server[1]}" }} }}')
            settings = {"CONSUL_ADDR": f"https://127.0.0.1:{port}", "CONSUL_CACERT": authority[0],
                        "CONSUL_SERVER_NAME": "server.dc1.consul"}
        rig = Rig(arguments, stack, hcl, DATABASE="off", **settings)
        for number in range(count):
            rig.catalog.add(f"s{number}", f"127.1.{number // 250}.{number % 250 + 1}", rig.port)
        # All at once: one by one each would compile the whole configuration anew.
        answer = rig.weir.admin.post("/config", {"_format_version": "3.0", "upstreams": [
            {"name": f"s{number}", "discovery": {"type": "consul", "service": f"s{number}"}}
            for number in range(count)]})
        if answer.status_code not in (200, 201):
            raise RuntimeError(f"POST /config: {answer.status_code} {answer.text[:200]}")
        eventually(lambda: len(rig.weir.targets_in_use()) == count, within=120, every=0.5)
        time.sleep(10)
        cpu, most = cpu_seconds(rig.weir.pid), 0
        for _ in range(40):
            most = max(most, count_sockets(rig.weir.pid, port or rig.consul.port))
            time.sleep(0.5)
        cpu = (cpu_seconds(rig.weir.pid) - cpu) / 20
        name = f"{count} services idle, {'https' if over_tls else 'http'}"
        print(f"{name}: {most} sockets at most, CPU {cpu * 100:.2f} %", flush=True)
        results.others.append((name, f"{most} sockets at most, CPU {cpu * 100:.2f} %",
                               "128 sockets, 1 %"))


def main():
    if sys.argv[1:2] == ["--churn"]:
        churn(int(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", default=str(REPOSITORY / "build/release/weir"))
    parser.add_argument("--consul", help="default: what scripts/consul finds or builds")
    parser.add_argument("--quick", action="store_true", help="a tenth, for a machine that tests")
    parser.add_argument("--full", action="store_true",
                        help="all of it, and tables to paste when it ends, however it does")
    parser.add_argument("--pools", default="10,100,1000", help="their sizes")
    parser.add_argument("--changes", type=int, default=500, help="of each kind a case")
    parser.add_argument("--only", default=",".join(PARTS), help="some of these, with commas")
    arguments = parser.parse_args()
    arguments.weir = os.path.abspath(arguments.weir)
    if not os.access(arguments.weir, os.X_OK):
        parser.error(f"there is no weir at {arguments.weir}: build it (cmake --preset release && "
                     "cmake --build --preset release), or name another with --weir")
    exit_on_signals()
    build_programs()
    arguments.consul = arguments.consul or subprocess.run(
        [REPOSITORY / "scripts/consul"], check=True, stdout=subprocess.PIPE,
        text=True).stdout.strip()
    parts = arguments.only.split(",")
    if set(parts) - set(PARTS):
        parser.error(f"--only takes some of {', '.join(PARTS)}")
    if arguments.quick:
        arguments.pools, arguments.changes = "10,100", min(arguments.changes, 40)
    print(f"{description()}. {RATE} requests/s.\n\n pool            "
          f"ms from the commit:  p50      p99      max", flush=True)
    results, began = Results(), time.monotonic()
    try:
        run_parts(arguments, results, parts)
    finally:  # also of a run that was interrupted
        if arguments.full:
            results.print_tables()
        print(f"\n{(time.monotonic() - began) / 60:.1f} minutes.", flush=True)
    sys.exit(1 if results.broken else 0)


def run_parts(arguments, results, parts):
    pools = [int(pool) for pool in arguments.pools.split(",")]
    if "changes" in parts:
        for pool in pools:
            for is_churning in (False, True):
                results.run(f"changes, {pool}", measure_changes, arguments, results, pool,
                            is_churning)
    if "lost" in parts:
        for _ in range(LOST_TIMES if arguments.full and not arguments.quick else 1):
            results.run("state lost", measure_lost_state, arguments, results)
    if "rolling" in parts:
        results.run("rolling restart", measure_rolling_restart, arguments, results)
    if "idle" in parts:
        count = 100 if arguments.quick else 500
        results.run(f"{count} idle, http", measure_many, arguments, results, count, False)
    if "sockets" in parts:
        count = 200 if arguments.quick else 2000
        for over_tls in (True, False):
            results.run(f"{count} idle", measure_many, arguments, results, count, over_tls)
    if "cpu" in parts:
        names = ("weir", "haproxy") if has_haproxy() else ("weir",)
        for pool in [pool for pool in pools if pool <= 100]:
            for is_churning in (False, True):
                for name in names:
                    results.run(f"cpu, {pool}, {name}", measure_cpu, arguments, results, name, pool,
                                is_churning, 5 if arguments.quick else 30)


if __name__ == "__main__":
    main()
