"""How each gateway is configured and started, and the backend behind them all."""

import http.client
import os
import pathlib
import resource
import shutil
import subprocess
import urllib.parse

from machine import BenchError, Process, free_port, wait_until

BENCH = pathlib.Path(__file__).resolve().parent
BUILD = BENCH / ".work"
# What every gateway is configured for, where open files allow two a client.
MAX_CLIENTS = max(700, min(12000, (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 1000) // 2))

# What a gateway tells the service about the client; checked at start (see Gateway.start).
FORWARDED_HEADERS = ("x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
                     "x-forwarded-port")


def build_program(name, libraries=()):
    """Compiles one of our C programs where its sources are newer."""
    BUILD.mkdir(exist_ok=True)
    program = BUILD / name
    sources = [BENCH / f"{name}.c", BENCH / "loopback.c", BENCH / "loopback.h"]
    newest = max(source.stat().st_mtime for source in sources)
    if program.exists() and program.stat().st_mtime > newest:
        return
    fresh = BUILD / f"{name}.{os.getpid()}"  # a rename keeps a run at the same time whole
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", fresh,
               *(source for source in sources if source.suffix == ".c"), *libraries]
    if subprocess.run(command).returncode != 0:
        raise BenchError(f"{name} does not compile")
    fresh.rename(program)


def build_programs():
    """The backend, the forwarder and the open load."""
    for name in ("backend", "forwarder", "openloop"):
        build_program(name)


def fetch(port, method, path, body=None, headers=None):
    """One request to 127.0.0.1; returns the status and body, or (0, b"") when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def start_with_port(program, arguments, core, log_path):
    """Starts one of our C programs, which print the port that they listen on."""
    process = Process([BUILD / program, *arguments], core, log_path, stdout=subprocess.PIPE)
    line = process.child.stdout.readline().strip()
    if not line:
        process.stop()
        raise BenchError(f"{program} did not start:\n{process.last_words()}")
    return process, int(line)


class Backend:
    def __init__(self, core, directory):
        self.process, self.port = start_with_port("backend", [], core, directory / "backend.log")

    def stop(self):
        self.process.stop()


class Gateway:
    """One gateway in front of the backend, pinned to one core, with a directory of its own.

    `wrapper` is a command to run it under (a profiler). A subclass says how it is launched."""

    name = ""
    adds_headers = True

    def __init__(self, backend_port, core, directory, wrapper=()):
        self.backend_port, self.core, self.wrapper = backend_port, core, list(wrapper)
        self.directory = pathlib.Path(directory) / self.name
        self.directory.mkdir(parents=True)
        self.port, self.process = 0, None

    def launch(self):
        """Starts the process and sets self.port and self.process."""
        raise NotImplementedError

    def configure(self):
        """What is left to do once the process runs."""

    def start(self, seconds=10):
        """Starts the gateway and proves that it works; stop() is due also when this fails."""
        self.launch()
        self.await_answer(self.port, "/128", seconds)
        for path, size in (("/128", 128), ("/16k", 16384), ("/1m", 1 << 20)):
            status, body = fetch(self.port, "GET", path)
            if status != 200 or len(body) != size:
                raise BenchError(f"{self.name}: GET {path} gave {status}, {len(body)} bytes")
        _, head = fetch(self.port, "GET", "/head")
        lacking = [name for name in FORWARDED_HEADERS
                   if self.adds_headers and f"\n{name}:" not in head.decode().lower()]
        if lacking:
            raise BenchError(f"{self.name} does not add {', '.join(lacking)} to:\n{head.decode()}")

    def await_answer(self, port, path, seconds):
        def answers():
            if self.process.has_ended():
                raise BenchError("it ended")
            return fetch(port, "GET", path)[0] == 200

        try:
            wait_until(answers, f"no 200 to GET {path}", seconds)
        except BenchError as error:
            raise BenchError(f"{self.name} did not start: {error}; its last words:\n"
                             f"{self.process.last_words()}") from None

    def run(self, command, environment=None):
        self.process = Process([*self.wrapper, *command], self.core, self.directory / "log",
                               environment)

    def write_config(self, template):
        """Fills in bench/configs/<template>; returns the path of the result."""
        text = (BENCH / "configs" / template).read_text()
        words = {"DIR": self.directory, "PORT": self.port, "BACKEND": self.backend_port,
                 "CLIENTS": MAX_CLIENTS, "CONNECTIONS": 2 * MAX_CLIENTS,
                 "FILES": 2 * MAX_CLIENTS + 1000}
        for word, value in words.items():
            text = text.replace(f"@{word}@", str(value))
        path = self.directory / template
        path.write_text(text)
        return path

    def stop(self):
        if self.process:
            self.process.stop()


class Weir(Gateway):
    """Configured as a user would: environment for the process, Admin API for the route."""

    name = "weir"
    workers = 1
    binary = BENCH.parent / "build" / "release" / "weir"

    def launch(self):
        self.port, admin_port = free_port(), free_port()
        self.run([self.binary, "run"], {
            **self.clean_environment(),
            "WEIR_PROXY_LISTEN": f"127.0.0.1:{self.port}",
            "WEIR_ADMIN_LISTEN": f"127.0.0.1:{admin_port}",
            "WEIR_DATABASE": "sqlite",
            "WEIR_DATA_DIR": str(self.directory),
            "WEIR_WORKERS": str(self.workers),
            "WEIR_MAX_CONNECTIONS": str(MAX_CLIENTS),
            "WEIR_ACCESS_LOG": "off",
            "WEIR_CONSUL_ADDR": "off",
        })
        self.await_answer(admin_port, "/status", seconds=60 if self.wrapper else 10)
        self.add_services(admin_port)

    def add_services(self, admin_port):
        self.create(admin_port, "/services",
                    [("name", "s"), ("url", f"http://127.0.0.1:{self.backend_port}")])
        self.create(admin_port, "/services/s/routes", [("paths[]", "/"), ("strip_path", "false")])

    @staticmethod
    def clean_environment():
        """Ours without settings that weir would read."""
        return {name: value for name, value in os.environ.items()
                if not name.startswith(("WEIR_", "KONG_", "CONSUL_"))}

    @staticmethod
    def create(admin_port, path, fields):
        status, body = fetch(admin_port, "POST", path, urllib.parse.urlencode(fields),
                             {"Content-Type": "application/x-www-form-urlencoded"})
        if status != 201:
            raise BenchError(f"weir: POST {path} gave {status}: {body.decode(errors='replace')}")


class TwoWorkers(Weir):
    """The same with a second worker."""

    name = "weir-two-workers"
    workers = 2


class Nginx(Gateway):
    name = "nginx"

    def launch(self):
        self.port = free_port()
        config = self.write_config("nginx.conf")
        self.run([find_program("nginx"), "-e", "stderr", "-p", self.directory, "-c", config])


class Haproxy(Gateway):
    name = "haproxy"

    def launch(self):
        self.port = free_port()
        config = self.write_config("haproxy.cfg")
        self.run([find_program("haproxy"), "-db", "-f", config])


class Forwarder(Gateway):
    name = "forwarder"
    adds_headers = False

    def launch(self):
        if self.wrapper:
            raise BenchError("the forwarder runs under no wrapper: attach to it instead")
        self.process, self.port = start_with_port(
            "forwarder", [str(self.backend_port)], self.core, self.directory / "log")


GATEWAYS = {each.name: each for each in (Weir, Haproxy, Nginx, Forwarder)}

PACKAGES = {"nginx": "nginx", "haproxy": "haproxy", "wrk": "wrk", "gcc": "gcc", "h2load": "nghttp2-client",
            "perf": "linux-perf", "valgrind": "valgrind", "strace": "strace"}


def find_program(name):
    """Debian keeps servers in /usr/sbin, which is not on everyone's PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise BenchError(f"{name} is missing: apt-get install {PACKAGES[name]}")
    return path


def check_programs(names):
    """Fails, naming the remedy, unless everything that the run needs is installed."""
    for name in ("gcc", "wrk", *(each for each in names if each in PACKAGES)):
        find_program(name)
    if "weir" in names and not os.access(Weir.binary, os.X_OK):
        raise BenchError(
            f"there is no weir at {Weir.binary}: build it (cmake --preset release && cmake --build "
            "--preset release), name another with --weir, or leave it out with --only")
