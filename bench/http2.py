"""weir beside nginx and HAProxy with HTTP/2 over TLS: small and large bodies, gRPC."""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from gateways import (BENCH, Backend, Haproxy, Nginx, Weir, build_program, build_programs,
                      find_program, start_with_port)
from machine import (BenchError, cpu_seconds, description, exit_on_signals, free_port,
                     lift_file_limit, two_cores)
from report import table
from tls import OverTls, make_certificate

GRPC_PATH = "/bench.Greeter/Greet"
CALL = b"\0\0\0\0\5\12\3bench"  # a message of gRPC: not compressed, five bytes
FEW_REQUESTS = 2000


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    connections: int
    streams: int  # a connection's at a time
    is_http1: bool = False

    @property
    def is_grpc(self):
        return self.path == GRPC_PATH

    def __str__(self):
        return (f"{self.name}, {self.connections} connections"
                + ("" if self.is_http1 else f" of {self.streams}"))


CASES = [Case("128-byte body", "/128", 64, 1), Case("128-byte body", "/128", 16, 10),
         Case("128-byte body", "/128", 4, 100),
         Case("1-MiB body, HTTP/1.1", "/1m", 16, 1, is_http1=True),
         Case("1-MiB body, HTTP/2", "/1m", 16, 1), Case("1-MiB body, HTTP/2", "/1m", 2, 8),
         Case("gRPC, unary", GRPC_PATH, 64, 1), Case("gRPC, unary", GRPC_PATH, 4, 100)]


class Http2Weir(OverTls, Weir):
    def clean_environment(self):
        return {**Weir.clean_environment(), "WEIR_SSL_CERT": f"{self.certificate}.crt",
                "WEIR_SSL_CERT_KEY": f"{self.certificate}.key"}

    def run(self, command, environment=None):
        environment["WEIR_PROXY_LISTEN"] += f", 127.0.0.1:{self.tls_port} http2 ssl"
        super().run(command, environment)

    def add_services(self, admin_port):
        super().add_services(admin_port)
        self.create(admin_port, "/services",
                    [("name", "grpc"), ("url", f"grpc://127.0.0.1:{self.grpc_port}")])
        self.create(admin_port, "/services/grpc/routes",
                    [("protocols[]", "grpc"), ("protocols[]", "grpcs"), ("paths[]", GRPC_PATH)])


class Http2Nginx(OverTls, Nginx):
    def write_config(self, template):
        path = super().write_config(template)
        plain = f"listen 127.0.0.1:{self.port} backlog=4096;"
        path.write_text(path.read_text().replace("server {", f"""upstream grpc {{
        server 127.0.0.1:{self.grpc_port};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}

    server {{""", 1).replace(plain, f"""{plain}
        listen 127.0.0.1:{self.tls_port} ssl http2 backlog=4096;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {self.certificate}.crt;
        ssl_certificate_key {self.certificate}.key;

        location {GRPC_PATH} {{
            grpc_pass grpc://grpc;
            grpc_set_header Host $http_host;
            grpc_set_header X-Real-IP $remote_addr;
            grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            grpc_set_header X-Forwarded-Proto $scheme;
            grpc_set_header X-Forwarded-Host $host;
            grpc_set_header X-Forwarded-Port $server_port;
        }}
"""))
        return path


class Http2Haproxy(OverTls, Haproxy):
    def write_config(self, template):
        path = super().write_config(template)
        plain = f"bind 127.0.0.1:{self.port} backlog 4096"
        path.write_text(path.read_text().replace(plain, f"""{plain}
    bind 127.0.0.1:{self.tls_port} backlog 4096 ssl crt {self.certificate}.pem alpn h2,http/1.1
    use_backend grpc if {{ path {GRPC_PATH} }}""") + f"""
backend grpc
    http-reuse always
    server grpc 127.0.0.1:{self.grpc_port} proto h2 pool-max-conn -1 pool-purge-delay 600s
""")
        return path


GATEWAYS = {"weir": Http2Weir, "nginx": Http2Nginx, "haproxy": Http2Haproxy}


@dataclass(frozen=True)
class Sample:
    rate: float    # requests/s
    cpu_us: float  # of the gateway, per request


def run_h2load(port, case, count, core, directory):
    """Makes so many requests; returns the seconds that it took."""
    what = ["--h1"] if case.is_http1 else ["-m", str(case.streams)]
    if case.is_grpc:
        call = directory / "call"
        call.write_bytes(CALL)
        what += ["-d", str(call), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    count = max(count, case.connections * case.streams)
    output = subprocess.run(
        ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), find_program("h2load"),
         "-t", "1", "-c", str(case.connections), "-n", str(count), *what,
         f"https://127.0.0.1:{port}{case.path}"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120).stdout
    took = re.search(r"^finished in ([\d.]+)(us|ms|s|m)", output, re.MULTILINE)
    if not took or f"status codes: {count} 2xx" not in output:
        raise BenchError(f"h2load: {case}: {output[-800:]}")
    return count, float(took[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[took[2]]


def run_for(gateway, case, seconds, core):
    """About so long: a short run tells how many requests that takes. Returns how many it made in
    all, and how many a second."""
    few = FEW_REQUESTS if case.path != "/1m" else FEW_REQUESTS // 20
    few, took = run_h2load(gateway.tls_port, case, few, core, gateway.directory)
    count, took = run_h2load(gateway.tls_port, case, int(few * seconds / took), core,
                             gateway.directory)
    return few + count, count / took


def measure(gateway, case, seconds, core):
    pids = gateway.process.pids()
    before = cpu_seconds(pids)
    count, rate = run_for(gateway, case, seconds, core)
    return Sample(rate=rate, cpu_us=(cpu_seconds(pids) - before) * 1e6 / count)


def start_gateways(names, backend, grpc_port, core, directory, stack):
    OverTls.certificate = make_certificate(directory, "ecdsa")
    gateways = {}
    for name in names:
        gateways[name] = GATEWAYS[name](backend.port, core, directory)
        gateways[name].grpc_port = grpc_port
        stack.callback(gateways[name].stop)
        gateways[name].start()
    return gateways


def start_grpc_backend(core, directory, stack):
    build_program("grpc_backend", libraries=["-lnghttp2"])
    process, port = start_with_port("grpc_backend", [], core, directory / "grpc.log")
    stack.callback(process.stop)
    return port


def measure_all(gateways, cases, core, options):
    """{case: {gateway: [samples]}}, a sample a round."""
    results = {case: {name: [] for name in gateways} for case in cases}
    for number in range(options.rounds):
        order = list(gateways)
        order = order[number % len(order):] + order[:number % len(order)]
        for case in cases:
            print(f"bench: round {number + 1} of {options.rounds}: {case}", file=sys.stderr)
            for name in order:
                results[case][name].append(measure(gateways[name], case, options.seconds, core))
    return results


def ratio(samples):
    """weir's CPU to that of the better of the others, in the same round; the rounds' median."""
    others = [samples[name] for name in samples if name != "weir"]
    if not others or "weir" not in samples:
        return "-"
    ratios = [ours.cpu_us / min(one.cpu_us for one in theirs)
              for ours, *theirs in zip(samples["weir"], *others)]
    return f"{median(ratios):.2f}x"


def results_text(results, markdown):
    names = list(next(iter(results.values())))
    rows = []
    for case, samples in results.items():
        cells = [f"{median(one.cpu_us for one in samples[name]):.1f}"
                 f" ({median(one.rate for one in samples[name]):,.0f}/s)" for name in names]
        rows.append([str(case), *cells, ratio(samples)])
    return table(["case", *names, "weir to the better"], rows, markdown)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="bench/http2", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", default=",".join(GATEWAYS), help="some of these gateways")
    parser.add_argument("--cases", default="", help="only those whose name contains this")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--weir", type=pathlib.Path, default=Weir.binary)
    options = parser.parse_args()
    if options.quick:
        options.rounds = options.seconds = 1
    Weir.binary = options.weir.resolve()
    return options


def main():
    options = parse_arguments()
    names = [name for name in GATEWAYS if name in options.only.split(",")]
    cases = [case for case in CASES if options.cases in str(case)]
    exit_on_signals()
    find_program("h2load")
    cores = two_cores()
    build_programs()
    lift_file_limit()
    with ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = Backend(cores[1], directory)
        stack.callback(backend.stop)
        grpc_port = start_grpc_backend(cores[1], directory, stack)
        gateways = start_gateways(names, backend, grpc_port, cores[0], directory, stack)
        results = measure_all(gateways, cases, cores[1], options)
    print(f"CPU µs of the gateway for a request (and how many a second); {description()}\n")
    print(results_text(results, options.markdown))


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench/http2: {error}")
