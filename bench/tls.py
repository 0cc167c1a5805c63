"""weir beside nginx and HAProxy over TLS: handshakes, small requests, idle connections."""

import argparse
import json
import pathlib
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager

import load
from gateways import (BENCH, BUILD, Backend, Haproxy, Nginx, Weir, build_programs, find_program)
from machine import (BenchError, cpu_seconds, description, exit_on_signals, free_port,
                     lift_file_limit, two_cores)

KEYS = {"ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "rsa": ["-newkey", "rsa:2048"]}
IDLE_CONNECTIONS = 1000


def make_certificate(directory, kind):
    """The path without its ending: .crt, .key, and .pem with both."""
    stem = directory / kind
    subprocess.run(["openssl", "req", "-x509", *KEYS[kind], "-nodes", "-days", "30", "-subj",
                    "/CN=bench.example", "-keyout", f"{stem}.key", "-out", f"{stem}.crt"],
                   check=True, capture_output=True)
    pathlib.Path(f"{stem}.pem").write_text(
        pathlib.Path(f"{stem}.crt").read_text() + pathlib.Path(f"{stem}.key").read_text())
    return stem


class OverTls:
    """Beside its plain port, where it is tried out, the gateway listens on tls_port."""

    certificate = None

    def launch(self):
        self.tls_port = free_port()
        super().launch()


class TlsWeir(OverTls, Weir):
    def clean_environment(self):
        return {**Weir.clean_environment(), "WEIR_SSL_CERT": f"{self.certificate}.crt",
                "WEIR_SSL_CERT_KEY": f"{self.certificate}.key"}

    def run(self, command, environment=None):
        environment["WEIR_PROXY_LISTEN"] += f", 127.0.0.1:{self.tls_port} ssl"
        super().run(command, environment)


class TlsNginx(OverTls, Nginx):
    def write_config(self, template):
        path = super().write_config(template)
        plain = f"listen 127.0.0.1:{self.port} backlog=4096;"
        path.write_text(path.read_text().replace(plain, f"""{plain}
        listen 127.0.0.1:{self.tls_port} ssl backlog=4096;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {self.certificate}.crt;
        ssl_certificate_key {self.certificate}.key;"""))
        return path


class TlsHaproxy(OverTls, Haproxy):
    def write_config(self, template):
        path = super().write_config(template)
        plain = f"bind 127.0.0.1:{self.port} backlog 4096"
        path.write_text(path.read_text().replace(plain, f"""{plain}
    bind 127.0.0.1:{self.tls_port} backlog 4096 ssl crt {self.certificate}.pem alpn http/1.1"""))
        return path


GATEWAYS = {"weir": TlsWeir, "nginx": TlsNginx, "haproxy": TlsHaproxy}


def build_handshakes():
    program, source = BUILD / "handshakes", BENCH / "handshakes.c"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o",
                        program, source, "-lssl", "-lcrypto"], check=True)
    return program


def run_load(command, core):
    output = subprocess.run(["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *command],
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=120).stdout
    for line in output.splitlines():
        if line.startswith("bench "):
            return json.loads(line[len("bench "):])
    raise BenchError(f"{command[0]} reported nothing: {output}")


def measure_handshakes(gateway, mode, seconds, core):
    """Handshakes a second of one client, and CPU microseconds of the gateway for each."""
    pids = gateway.process.pids()
    before = cpu_seconds(pids)
    result = run_load([BUILD / "handshakes", str(gateway.tls_port), str(seconds), mode], core)
    spent = cpu_seconds(pids) - before
    if result["resumed"] != (result["handshakes"] if mode == "resumed" else 0):
        raise BenchError(f"{gateway.name}: {result['resumed']} of {result['handshakes']} resumed")
    return result["handshakes"] / result["seconds"], spent * 1e6 / result["handshakes"]


def measure_requests(gateway, path, connections, seconds, core):
    pids = gateway.process.pids()
    before = cpu_seconds(pids)
    result = run_load([find_program("wrk"), "--latency", "--threads", "1", "--connections",
                       str(connections), "--duration", f"{seconds}s", "--script",
                       str(load.WRK_SCRIPT), f"https://127.0.0.1:{gateway.tls_port}{path}"], core)
    spent = cpu_seconds(pids) - before
    if result["errors"] or not result["requests"]:
        raise BenchError(f"{gateway.name}: {result}")
    return result["requests"] / result["seconds"], spent * 1e6 / result["requests"]


def measure_idle(gateway, count):
    """KiB for each idle connection that made one request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connections = []

    def connect(how_many):
        for _ in range(how_many):
            raw = socket.create_connection(("127.0.0.1", gateway.tls_port), timeout=10)
            connections.append(context.wrap_socket(raw))
            load.request_once(connections[-1])
    try:
        connect(10)
        pids = gateway.process.pids()
        before = load.settled_memory_kib(pids)
        connect(count)
        return (load.settled_memory_kib(pids) - before) / count
    finally:
        for connection in connections:
            connection.close()


@contextmanager
def started(name, backend, core, directory):
    gateway = GATEWAYS[name](backend.port, core, directory)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


def measure_all(names, backend, cores, directory, options):
    """{case: {gateway: [figures]}} of all rounds."""
    figures = {}
    for kind in KEYS:
        OverTls.certificate = make_certificate(directory, kind)
        for number in range(options.rounds):
            for name in names[number % len(names):] + names[:number % len(names)]:
                def note(case, value, name=name):
                    figures.setdefault(case, {}).setdefault(name, []).append(value)
                    print(f"bench: {case}: {name}: {value}", file=sys.stderr)

                place = directory / f"{kind}-{number}"
                with started(name, backend, cores[0], place) as gateway:
                    for mode in ("full", "resumed"):
                        note(f"{mode} handshake, {kind.upper()}", measure_handshakes(
                            gateway, mode, options.seconds, cores[1]))
                    if kind != "ecdsa":
                        continue
                    for path, what in (("/128", "128-byte"), ("/16k", "16-KiB")):
                        note(f"request, {what} body, 64 connections", measure_requests(
                            gateway, path, 64, options.seconds, cores[1]))
                with started(name, backend, cores[0], place / "idle") as gateway:  # a fresh one
                    note("KiB for an idle connection", (0, measure_idle(gateway, options.idle)))
    return figures


def print_table(figures, names):
    print("| case | " + " | ".join(names) + " |")
    print("| --- |" + " ---: |" * len(names))
    for case, by_name in figures.items():
        cells = []
        for name in names:
            rates, costs = zip(*by_name[name])
            rate = statistics.median(rates)
            cells.append(f"{statistics.median(costs):.1f}" + (f" ({rate:,.0f}/s)" if rate else ""))
        print(f"| {case} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(prog="bench/tls", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--idle", type=int, default=IDLE_CONNECTIONS)
    parser.add_argument("--only", default=",".join(GATEWAYS))
    parser.add_argument("--weir", type=pathlib.Path, default=Weir.binary)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.idle = 1, 1, 100
    names = [name for name in GATEWAYS if name in options.only.split(",")]
    Weir.binary = options.weir.resolve()
    exit_on_signals()
    cores = two_cores()
    build_programs()
    build_handshakes()
    lift_file_limit()
    with ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = Backend(cores[1], directory)
        stack.callback(backend.stop)
        figures = measure_all(names, backend, cores, directory, options)
    print(f"CPU µs of the gateway (and how many a second); {description()}\n")
    print_table(figures, names)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench/tls: {error}")
