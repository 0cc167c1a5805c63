"""The real weir: started by its settings, asked through its Admin API, stopped by SIGTERM."""

import glob
import json
import os
import subprocess

import requests

from . import REPOSITORY
from .ports import free_port
from .process import Process
from .waiting import eventually
from . import wire


def sanitizer_environment(directory):
    """Sanitizers end the process at the first finding and write it to a file in `directory`."""
    log = os.path.join(directory, "sanitizer")
    common = f"log_path={log}:halt_on_error=1"
    suppressions = REPOSITORY / "tests/support"
    return {
        # World is loaded before the sanitizers, which is fine with both.
        "ASAN_OPTIONS": f"{common}:detect_leaks=1:exitcode=99:strict_string_checks=1:"
                        "verify_asan_link_order=0:"
                        "detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": f"{common}:print_stacktrace=1",
        "LSAN_OPTIONS": f"suppressions={suppressions}/lsan.supp:print_suppressions=0",
        "TSAN_OPTIONS": f"{common}:exitcode=99:second_deadlock_stack=1:"
                        f"suppressions={suppressions}/tsan.supp",
    }


def sanitizer_reports(directory):
    reports = []
    for path in glob.glob(os.path.join(directory, "**", "sanitizer.*"), recursive=True):
        with open(path, encoding="utf-8", errors="replace") as report:
            reports.append(report.read())
    return reports


def clean_environment(directory, settings):
    """Nothing of the caller's that weir would read, `settings`, and the sanitizers' options."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("WEIR_", "KONG_", "CONSUL_"))}
    environment.update(sanitizer_environment(directory))
    environment.update({name: str(value) for name, value in settings.items()
                        if value is not None})
    return environment


def run_once(binary, arguments, directory, settings=None, within=60):
    """Runs weir to its end; returns what subprocess.run returns, output as text."""
    return subprocess.run([str(binary), *arguments], stdin=subprocess.DEVNULL, text=True,
                          env=clean_environment(directory, settings or {}), cwd=directory,
                          capture_output=True, timeout=within, check=False)


class Admin:
    """The Admin API. The verbs return the response; create() checks it and returns the entity."""

    def __init__(self, url):
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def request(self, method, path, **arguments):
        return self._session.request(method, self.url + path, timeout=60, **arguments)

    def get(self, path, **arguments):
        return self.request("GET", path, **arguments)

    def post(self, path, body=None, **arguments):
        return self.request("POST", path, json=body, **arguments)

    def put(self, path, body=None, **arguments):
        return self.request("PUT", path, json=body, **arguments)

    def patch(self, path, body=None, **arguments):
        return self.request("PATCH", path, json=body, **arguments)

    def delete(self, path, **arguments):
        return self.request("DELETE", path, **arguments)

    def create(self, path, body):
        answer = self.post(path, body)
        assert answer.status_code == 201, f"POST {path} {body}: {answer.status_code} {answer.text}"
        return answer.json()

    def remove(self, path):
        answer = self.delete(path)
        assert answer.status_code == 204, f"DELETE {path}: {answer.status_code} {answer.text}"

    def close(self):
        self._session.close()


class Weir:
    """One node. Settings are given without their WEIR_ prefix: Weir(…, MAX_BODY=100)."""

    def __init__(self, binary, directory, **settings):
        self.binary = binary
        self.directory = str(directory)
        self.proxy_port = free_port()
        self.admin_port = free_port()
        self.log_path = os.path.join(self.directory, "weir.log")
        self.access_log_path = os.path.join(self.directory, "access.log")
        self.settings = {
            "WEIR_PROXY_LISTEN": f"127.0.0.1:{self.proxy_port}",
            "WEIR_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
            "WEIR_DATABASE": "sqlite",
            "WEIR_DATA_DIR": os.path.join(self.directory, "data"),
            "WEIR_CONSUL_ADDR": "off",
            "WEIR_WORKERS": 2,
            "WEIR_LOG_LEVEL": "info",
            "WEIR_ACCESS_LOG": self.access_log_path,
        }
        for name, value in settings.items():
            has_prefix = name.startswith(("WEIR_", "KONG_", "CONSUL_HTTP_"))
            self.settings[name if has_prefix else f"WEIR_{name}"] = value
        self.admin = Admin(f"http://127.0.0.1:{self.admin_port}")
        self.wrapper = []  # a command that runs it, such as prlimit
        self._process = None
        os.makedirs(self.directory, exist_ok=True)

    # Its life.

    def start(self):
        self._process = Process([*self.wrapper, self.binary, "run"], self.log_path, cwd=self.directory,
                                env=clean_environment(self.directory, self.settings))
        self._process.wait_until(self._is_ready, "weir answering on both ports")
        return self

    def _is_ready(self):
        try:
            if self.admin.get("/status").status_code != 200:
                return False
            wire.Client(self.proxy_port).close()
            return True
        except (requests.RequestException, OSError):
            return False

    @property
    def pid(self):
        return self._process.pid

    @property
    def is_running(self):
        return self._process is not None and self._process.is_running

    def signal(self, number):
        self._process.signal(number)

    def wait(self, within=60):
        return self._process.wait(within)

    def stop(self):
        """SIGTERM; what it must answer with is exit code 0."""
        self.admin.close()
        code = self._process.stop()
        assert code == 0, f"weir ended with {code}:\n{self.log_text()[-4000:]}"

    def kill(self):
        """kill -9."""
        self.admin.close()
        self._process.kill()

    def restart(self):
        self.stop()
        return self.start()

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise RuntimeError("no VmRSS")

    # What it says.

    def log_text(self):
        return self._process.log_text() if self._process else ""

    def log(self, msg=None, **fields):
        """The log's lines as dictionaries: those with this `msg` and these fields, or all."""
        found = []
        for line in self.log_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue  # still being written
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise AssertionError(f"a log line that is not JSON: {line!r}") from error
            if (msg is None or entry.get("msg") == msg) and all(
                    entry.get(name) == value for name, value in fields.items()):
                found.append(entry)
        return found

    def targets_in_use(self):
        """The addresses that take traffic, as the log tells it."""
        in_use = set()
        for entry in self.log():
            if entry["msg"] in ("target joined", "target changed") and entry["takes_traffic"]:
                in_use.add(entry["target"])
            elif entry["msg"] in ("target joined", "target changed", "target left"):
                in_use.discard(entry["target"])
        return in_use

    def access_log(self):
        with open(self.access_log_path, encoding="utf-8") as log:
            return log.read().splitlines()

    # How it is set up and used.

    def serve(self, name, url=None, paths=None, route=None, **service):
        """Creates a service called `name` and a route to it: for /<name> unless told otherwise."""
        body = {"name": name, **({"url": url} if url else {}), **service}
        created = self.admin.create("/services", body)
        self.admin.create(f"/services/{name}/routes",
                          {"name": name, "paths": paths or [f"/{name}"], **(route or {})})
        return created

    def pool(self, name, backends, **upstream):
        """Creates an upstream called `name` with these backends as targets, and serves it."""
        self.admin.create("/upstreams", {"name": name, **upstream})
        for backend in backends:
            self.admin.create(f"/upstreams/{name}/targets", {"target": backend.address})
        return self.serve(name, host=name)

    def get(self, target, headers=(), host="localhost"):
        return wire.one(self.proxy_port, "GET", target, headers, host=host)

    def request(self, method, target, headers=(), body=b"", host="localhost"):
        return wire.one(self.proxy_port, method, target, headers, body, host)

    def client(self, **options):
        return wire.Client(self.proxy_port, **options)

    def wait_until_answers(self, target, status=200):
        eventually(lambda: self.get(target).status == status, f"{target} answering {status}")
