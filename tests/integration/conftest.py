"""Fixtures: every test has a directory, ports and processes of its own."""

import os
import pathlib
import subprocess

import pytest

from support import REPOSITORY
from support.backends import Backend, FastBackend, TlsBackend
from support.consul import Consul, FakeConsul
from support.flask_service import FlaskService
from support.ports import free_port
from support.postgres import Postgres, find_binaries
from support.tls import Authority
from support.weir import Weir, run_once, sanitizer_reports


def pytest_addoption(parser):
    parser.addoption("--binary", default=str(REPOSITORY / "build/release/weir"),
                     help="the weir to test (default: build/release/weir)")
    parser.addoption("--consul", default=None,
                     help="the consul to test with (default: what scripts/consul finds or builds)")


def pytest_report_header(config):
    return f"weir: {config.getoption('--binary')}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows what the servers said with every failure."""
    outcome = yield
    report = outcome.get_result()
    directory = item.funcargs.get("tmp_path") if hasattr(item, "funcargs") else None
    if not report.failed or not directory:
        return
    for log in sorted(directory.rglob("*.log")) + sorted(directory.rglob("sanitizer.*")):
        text = log.read_text(encoding="utf-8", errors="replace")
        if text:
            report.sections.append((f"{log.relative_to(directory)} (its end)", text[-6000:]))


@pytest.fixture(scope="session")
def binary(pytestconfig):
    path = pathlib.Path(pytestconfig.getoption("--binary")).resolve()
    assert path.exists(), f"{path} isn't built"
    return path


@pytest.fixture(scope="session")
def is_sanitized(binary):
    """Whether this is a slow, memory-hungry binary of which no figures should be asked."""
    symbols = subprocess.run(["grep", "-c", "__asan_init\\|__tsan_init", str(binary)],
                             capture_output=True, text=True, check=False)
    return int(symbols.stdout or 0) > 0


@pytest.fixture
def new_weir(binary, tmp_path):
    """Makes nodes: new_weir(MAX_BODY=100). Every one still up at the end must stop with code 0."""
    nodes = []

    def make(start=True, directory=None, **settings):
        node = Weir(binary, directory or tmp_path / f"weir-{len(nodes) + 1}", **settings)
        nodes.append(node)
        return node.start() if start else node

    yield make

    try:
        for node in nodes:
            if node.is_running:
                node.stop()
            node.log()  # all of it is JSON
    finally:
        for node in nodes:
            if node.is_running:
                node.kill()
    reports = sanitizer_reports(tmp_path)
    assert not reports, f"sanitizer: {reports[0][:6000]}"


@pytest.fixture(scope="module")
def node(binary, tmp_path_factory):
    """One node for all tests of a file: for the many that only ask its Admin API."""
    directory = tmp_path_factory.mktemp("node")
    weir = Weir(binary, directory / "weir", WORKERS=1)
    weir.start()
    yield weir
    weir.stop()
    weir.log()
    assert not sanitizer_reports(directory)


@pytest.fixture
def weir(new_weir):
    """A node without Consul."""
    return new_weir()


@pytest.fixture
def weir_command(binary, tmp_path):
    """Runs weir to its end: weir_command("version") or weir_command("run", WEIR_WORKERS=0)."""
    def run(*arguments, within=60, **settings):
        result = run_once(binary, arguments, str(tmp_path), settings, within)
        reports = sanitizer_reports(tmp_path)
        assert not reports, f"sanitizer: {reports[0][:6000]}"
        return result
    return run


@pytest.fixture(scope="session")
def consul_binary(pytestconfig):
    given = pytestconfig.getoption("--consul")
    if given:
        return given
    return subprocess.run([REPOSITORY / "scripts/consul"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


@pytest.fixture
def consul(consul_binary, tmp_path):
    """A real Consul server."""
    agent = Consul(consul_binary, str(tmp_path / "consul"))
    yield agent
    agent.stop()


@pytest.fixture
def new_postgres(tmp_path):
    """Makes PostgreSQL servers: new_postgres(), new_postgres(standby_of=server)."""
    if not find_binaries() and not os.environ.get("CI"):
        pytest.skip("PostgreSQL is not installed")
    servers = []

    def make(**options):
        servers.append(Postgres(tmp_path, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
def postgres(new_postgres):
    """A server with an empty database for weir."""
    return new_postgres()


@pytest.fixture
def fake_consul():
    agent = FakeConsul()
    yield agent
    agent.misbehave = b""
    agent.stop()


@pytest.fixture
def new_backend():
    """Makes scripted backends: new_backend("name", answer=…)."""
    backends = []

    def make(name="backend", answer=None, **options):
        backend = Backend(name, answer, **options)
        backends.append(backend)
        return backend

    yield make
    for backend in backends:
        backend.stop()


@pytest.fixture
def new_tls_backend(tmp_path):
    """Makes backends that speak TLS."""
    backends = []

    def make(**options):
        backends.append(TlsBackend(str(tmp_path), **options))
        return backends[-1]

    yield make
    for backend in backends:
        backend.stop()


@pytest.fixture
def backend(new_backend):
    return new_backend()


@pytest.fixture
def new_fast_backend():
    """Makes backends for load."""
    backends = []

    def make(name="fast", **options):
        backend = FastBackend(name, **options)
        backends.append(backend)
        return backend

    yield make
    for backend in backends:
        backend.stop()


@pytest.fixture
def new_flask(tmp_path):
    """Starts instances of the demo's Flask service: new_flask("one", consul)."""
    instances = []

    def make(name, consul=None, **options):
        instance = FlaskService(str(tmp_path / "flask"), name, consul, **options)
        instances.append(instance)
        return instance

    yield make
    for instance in instances:
        instance.kill()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(authority):
    """Certificates of both kinds: an RSA key for each node would take its time."""
    return authority.issue("gateway.example", "rsa"), authority.issue("gateway.example", "ec")


@pytest.fixture
def new_tls_weir(new_weir, pair):
    """Makes nodes that listen with and without TLS: node.tls_port."""
    def make(flags="", **settings):
        port, tls_port = free_port(), free_port()
        rsa, ec = pair
        settings = {"SSL_CERT": f"{rsa.path},{ec.path}",
                    "SSL_CERT_KEY": f"{rsa.key_path},{ec.key_path}", **settings}
        node = new_weir(start=False, **{
            "PROXY_LISTEN": f"127.0.0.1:{port}, 127.0.0.1:{tls_port} ssl{flags}", **settings})
        node.proxy_port, node.tls_port = port, tls_port
        return node.start()
    return make
