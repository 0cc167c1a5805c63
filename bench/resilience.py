"""What clients see when one of ten instances goes bad, behind weir, HAProxy and nginx."""

import argparse
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass

from gateways import BENCH, BUILD, Gateway, Weir, fetch, find_program
from machine import (BenchError, Process, description, exit_on_signals, free_port, lift_file_limit,
                     two_cores)

INSTANCES = 10
BAD = 3              # the number of the one that goes bad
GIVE_UP_MS = 1000    # as long as a client waits
FAULT_AFTER = 2      # seconds of good weather at first
SETTLED_AFTER = 2    # seconds after the fault by which it should no longer be felt


def build_programs():
    BUILD.mkdir(exist_ok=True)
    for name in ("instance", "openloop"):
        subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o",
                        BUILD / name, BENCH / f"{name}.c", BENCH / "loopback.c"], check=True)


class Instances:
    """Ten instances with addresses of their own and one port, as containers have them."""

    def __init__(self, core, directory):
        self.port = free_port()
        self.addresses = [f"127.0.7.{number + 1}" for number in range(INSTANCES)]
        self.processes = []
        for number, address in enumerate(self.addresses):
            process = Process([BUILD / "instance", address, str(self.port), str(number)], core,
                              directory / f"instance-{number}.log", stdout=subprocess.PIPE)
            self.processes.append(process)
            if not process.child.stdout.readline():
                raise BenchError(f"an instance did not start: {process.last_words()}")

    def signal(self, number):
        self.processes[BAD].child.send_signal(number)

    def stop(self):
        for process in self.processes:
            if not process.has_ended():
                process.child.kill()  # one may be stopped
            process.child.wait()
            process.stop()


class NameServer:
    """Answers every question with the addresses of the instances."""

    def __init__(self, addresses):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.addresses = addresses
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, peer = self.socket.recvfrom(512)
            except OSError:
                return
            end = query.index(b"\0", 12) + 5
            wants_a = query[end - 4:end - 2] == b"\0\1"
            answers = self.addresses if wants_a else []
            head = query[:2] + b"\x85\x80\0\1" + len(answers).to_bytes(2, "big") + bytes(4)
            self.socket.sendto(head + query[12:end] + b"".join(
                b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address)
                for address in answers), peer)

    def stop(self):
        self.socket.close()


class Subject(Gateway):
    """A gateway in front of all instances."""

    def __init__(self, instances, core, directory):
        super().__init__(instances.port, core, directory)
        self.instances = instances

    def start(self, seconds=10):
        self.launch()
        self.await_answer(self.port, "/hello", seconds)

    def fill_in(self, template, servers):
        text = (BENCH / "configs" / template).read_text()
        for word, value in {"DIR": self.directory, "PORT": self.port,
                            "SERVERS": "\n".join(servers)}.items():
            text = text.replace(f"@{word}@", str(value))
        path = self.directory / template
        path.write_text(text)
        return path


class WeirByDefault(Subject):
    """A service that names a host with ten addresses, and no setting at all."""

    name = "weir"

    def launch(self):
        self.names = NameServer(self.instances.addresses)
        self.port, self.admin_port = free_port(), free_port()
        self.run([Weir.binary, "run"], {
            **Weir.clean_environment(),
            "WEIR_PROXY_LISTEN": f"127.0.0.1:{self.port}",
            "WEIR_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "WEIR_DATABASE": "sqlite",
            "WEIR_DATA_DIR": str(self.directory),
            "WEIR_WORKERS": "1",
            "WEIR_ACCESS_LOG": "off",
            "WEIR_CONSUL_ADDR": "off",
            "WEIR_DNS_RESOLVER": f"127.0.0.1:{self.names.port}",
        })
        self.await_answer(self.admin_port, "/status", 10)
        self.configure()
        self.create("/services", {"name": "s", "host": self.host, "port": self.instances.port})
        self.create("/services/s/routes", {"paths": ["/"], "strip_path": False})

    host = "pool.bench.example"

    def create(self, path, fields):
        status, body = fetch(self.admin_port, "POST", path, json.dumps(fields),
                             {"Content-Type": "application/json"})
        if status != 201:
            raise BenchError(f"weir: POST {path} gave {status}: {body.decode(errors='replace')}")

    def stop(self):
        super().stop()
        self.names.stop()


class WeirWithChecks(WeirByDefault):
    """An upstream with active and passive checks, as HAProxy here has them."""

    name = "weir, checks"
    host = "pool"
    algorithm = "round-robin"

    def configure(self):
        self.create("/upstreams", {"name": "pool", "algorithm": self.algorithm, "healthchecks": {
            "active": {"http_path": "/health", "timeout": 1,
                       "healthy": {"interval": 1, "successes": 2},
                       "unhealthy": {"interval": 1, "tcp_failures": 2, "timeouts": 2,
                                     "http_failures": 2}},
            "passive": {"unhealthy": {"tcp_failures": 3, "timeouts": 3, "http_failures": 3}}}})
        for address in self.instances.addresses:
            self.create("/upstreams/pool/targets", {"target": f"{address}:{self.instances.port}"})


class WeirByLatency(WeirByDefault):
    """An upstream with the algorithm latency and no checks."""

    name = "weir, latency"
    host = "pool"

    def configure(self):
        self.create("/upstreams", {"name": "pool", "algorithm": "latency"})
        for address in self.instances.addresses:
            self.create("/upstreams/pool/targets", {"target": f"{address}:{self.instances.port}"})


class Haproxy(Subject):
    name = "haproxy"

    def launch(self):
        self.port = free_port()
        config = self.fill_in("resilience-haproxy.cfg", [
            f"    server i{number} {address}:{self.instances.port}"
            for number, address in enumerate(self.instances.addresses)])
        self.run([find_program("haproxy"), "-db", "-f", config])


class Nginx(Subject):
    name = "nginx"

    def launch(self):
        self.port = free_port()
        config = self.fill_in("resilience-nginx.conf", [
            f"        server {address}:{self.instances.port} max_fails=3 fail_timeout=10s;"
            for address in self.instances.addresses])
        self.run([find_program("nginx"), "-e", "stderr", "-p", self.directory, "-c", config])


SUBJECTS = {each.name: each for each in (WeirByDefault, WeirWithChecks, WeirByLatency, Haproxy,
                                         Nginx)}
FAULTS = {"none": None, "killed": signal.SIGKILL, "stopped": signal.SIGSTOP,
          "slow": signal.SIGUSR1, "failing": signal.SIGUSR2}


@dataclass
class Answer:
    due_s: float    # after the fault
    took_ms: float
    status: int     # 0: broken; -1: the client gave up
    instance: int

    @property
    def failed(self):
        return not 200 <= self.status < 400


@dataclass
class Outcome:
    requests: int
    failures: int
    late_share: float   # of the bad one and of failures, once it should be settled
    settled_s: float    # when the last second began in which that share was above 1 %
    p50_ms: float
    p99_ms: float


def percentile(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)]


def is_felt(answer):
    return answer.failed or answer.instance == BAD


def settled_at(answers):
    """The end of the last tenth of a second whose following second has a share above 1 %."""
    settled = 0.0
    last = answers[-1].due_s
    for tenth in range(int((last - 1) * 10)):
        window = [each for each in answers if tenth / 10 <= each.due_s < tenth / 10 + 1]
        if window and sum(map(is_felt, window)) > len(window) / 100:
            settled = tenth / 10 + 0.1
    return settled


def judge(answers):
    after = [each for each in answers if each.due_s >= 0]
    late = [each for each in after if each.due_s >= SETTLED_AFTER]
    return Outcome(len(after), sum(each.failed for each in after),
                   sum(map(is_felt, late)) / len(late), settled_at(after),
                   percentile([each.took_ms for each in after], 50),
                   percentile([each.took_ms for each in after], 99))


def run_load(subject, fault, options, core, instances):
    seconds = FAULT_AFTER + options.seconds
    load = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), BUILD / "openloop",
         str(subject.port), str(options.rate), str(seconds), str(GIVE_UP_MS)],
        stdout=subprocess.PIPE, text=True)
    try:
        load.stdout.readline()
        time.sleep(FAULT_AFTER)
        if fault:
            instances.signal(fault)
        output, _ = load.communicate(timeout=seconds + 30)
    finally:
        load.kill()
        load.wait()
    rows = [line.split() for line in output.splitlines()]
    return [Answer(int(due) / 1e6 - FAULT_AFTER, int(took) / 1e3, int(status), int(instance))
            for due, took, status, instance in rows]


def measure(name, fault, options, directory):
    gateway_core, load_core = two_cores()
    with ExitStack() as stack:
        instances = Instances(load_core, directory)
        stack.callback(instances.stop)
        subject = SUBJECTS[name](instances, gateway_core, directory)
        stack.callback(subject.stop)
        subject.start()
        return judge(run_load(subject, FAULTS[fault], options, load_core, instances))


def cells(fault, name, outcome):
    is_bad = fault != "none"
    return [fault, name, f"{outcome.failures:,}",
            f"{100 - 100 * outcome.failures / outcome.requests:.2f} %",
            f"{100 * outcome.late_share:.2f} %" if is_bad else "",
            f"{outcome.settled_s:.1f} s" if is_bad else "",
            f"{outcome.p50_ms:.2f}", f"{outcome.p99_ms:.2f}"]


HEAD = ["one of ten is", "gateway", "failures", "answered", f"felt after {SETTLED_AFTER} s",
        "settled after", "p50 ms", "p99 ms"]


def table(rows):
    widths = [max(len(row[i]) for row in [HEAD, *rows]) for i in range(len(HEAD))]
    rule = ["-" * width if i < 2 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join("| " + " | ".join(
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths))) + " |" for row in [HEAD, rule, *rows])


def some_of(known):
    def parse(text):
        names = [name.strip() for name in text.split(";" if ";" in text else "+")]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {'; '.join(known)}")
        return names
    return parse


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench/resilience", description="One of ten instances goes bad under steady load.")
    parser.add_argument("--rate", type=int, default=1000, metavar="N",
                        help="requests a second, sent whether or not earlier ones are answered")
    parser.add_argument("--seconds", type=int, default=8, metavar="S",
                        help="how long each fault lasts (default 8)")
    parser.add_argument("--only", type=some_of(SUBJECTS), default=list(SUBJECTS), metavar="NAMES",
                        help=f"some of {'; '.join(SUBJECTS)}, with a semicolon between them")
    parser.add_argument("--faults", type=some_of(FAULTS), default=list(FAULTS), metavar="NAMES",
                        help=f"some of {'; '.join(FAULTS)}")
    parser.add_argument("--weir", type=pathlib.Path, default=Weir.binary, metavar="PATH",
                        help="the weir to measure (default build/release/weir)")
    options = parser.parse_args()
    Weir.binary = options.weir.resolve()
    return options


def main():
    options = parse_arguments()
    lift_file_limit()
    build_programs()
    rows = []
    for fault in options.faults:
        for name in options.only:
            print(f"resilience: {fault}: {name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="weir-resilience-") as directory:
                rows.append(cells(fault, name,
                                  measure(name, fault, options, pathlib.Path(directory))))
    print(f"{description()}\n{options.rate:,} requests/s for {options.seconds} s a case; clients "
          f"give up after {GIVE_UP_MS / 1000:g} s\n\n{table(rows)}")


if __name__ == "__main__":
    exit_on_signals()
    try:
        main()
    except BenchError as error:
        sys.exit(f"resilience: {error}")
