"""The Debian package in a clean Debian with systemd: installed, started, upgraded, purged."""

import re
import subprocess

import pytest

from support import REPOSITORY
from support.compose import docker
from support.waiting import eventually


@pytest.fixture(scope="module")
def build(tmp_path_factory, pytestconfig):
    """Makes packages of the release binary: build("0.1.0")."""
    folder = tmp_path_factory.mktemp("packages")

    def make(version):
        out = folder / version
        subprocess.run(["cpack", "--config", REPOSITORY / "build/release/CPackConfig.cmake", "-B",
                        out, "-D", f"CPACK_PACKAGE_VERSION={version}"], check=True,
                       stdout=subprocess.PIPE, cwd=REPOSITORY)
        return next(out.glob("*.deb"))
    return make


@pytest.fixture(scope="module")
def machine(images):
    """A clean Debian 12 that has booted. Each test leaves it as it was."""
    image = "weir-local/systemd:latest"
    docker("build", "-t", image, "--build-arg", f"BASE_IMAGE={images['BASE_IMAGE']}",
           REPOSITORY / "tests/e2e/systemd", within=600)
    container = docker("run", "-d", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined",
                       "--security-opt", "apparmor=unconfined", "--cgroupns", "host", "-v",
                       "/sys/fs/cgroup:/sys/fs/cgroup", "--tmpfs", "/run", "--tmpfs", "/tmp", image)
    try:
        eventually(lambda: docker("exec", container, "systemctl", "is-system-running", "--wait",
                                  check=False) in ("running", "degraded"),
                   lambda: f"systemd up: {docker('logs', container)}", within=60)

        def run(*command, check=True):
            return docker("exec", container, *command, check=check, within=300)

        def install(package):
            docker("cp", package, f"{container}:/root/{package.name}")
            return run("sh", "-c", "DEBIAN_FRONTEND=noninteractive apt-get install -q -y "
                       f"--no-install-recommends /root/{package.name}")

        def admin(method, path, body=""):
            """A request to the Admin API, without a client: nothing else must be installed."""
            head = (f"{method} {path} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
                    "Content-Type: application/json\\r\\n"
                    f"Content-Length: {len(body)}\\r\\n\\r\\n")
            return run("bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/8001; printf '{head}' >&3; "
                       f"printf %s '{body}' >&3; cat <&3")
        run.install = install
        run.admin = admin
        yield run
    finally:
        docker("rm", "-fv", container)


def main_pid(run):
    return int(run("systemctl", "show", "-P", "MainPID", "weir"))


def purge(run):
    run("apt-get", "purge", "-q", "-y", "weir")
    run("apt-get", "autoremove", "-q", "-y", "--purge")


def test_it_installs_starts_upgrades_and_purges_cleanly(machine, build):
    run = machine
    before = run("sh", "-c", "ls / /etc /var/lib /usr/bin; cat /etc/passwd /etc/group")
    run.install(build("0.1.0"))
    assert run("systemctl", "is-active", "weir") == "active"  # Type=notify: it said so itself
    assert run("systemctl", "is-enabled", "weir") == "enabled"
    assert "weir is healthy" in run("weir", "health")
    assert run("stat", "-c", "%U:%G %a", "/var/lib/weir") == "weir:weir 750"
    assert run("ps", "-o", "user=", "-p", str(main_pid(run))) == "weir"
    assert run("systemctl", "show", "-P", "LimitNOFILE", "weir") == "1048576"
    limits = run("cat", f"/proc/{main_pid(run)}/limits")  # as far as this machine lets it
    assert re.search(r"Max open files +(\d+) +\1 ", limits), limits
    exposure = run("systemd-analyze", "security", "--no-pager", "weir")
    assert float(re.search(r"exposure level for weir.service: ([\d.]+)", exposure)[1]) < 3, exposure

    assert " 201 " in run.admin("POST", "/services", '{"name":"kept","url":"http://kept"}')
    run("sh", "-c", "echo 'log_level = notice' >>/etc/weir/weir.conf")

    first = main_pid(run)
    run.install(build("0.1.1"))
    assert run("dpkg-query", "-W", "-f", "${Version}", "weir") == "0.1.1"
    assert run("systemctl", "is-active", "weir") == "active"
    assert main_pid(run) != first  # the new program
    assert "log_level = notice" in run("cat", "/etc/weir/weir.conf")
    assert '"kept"' in run.admin("GET", "/services")

    run("systemctl", "stop", "weir")
    assert run("systemctl", "show", "-P", "Result", "weir") == "success"
    run("systemctl", "start", "weir")

    run("apt-get", "remove", "-q", "-y", "weir")
    assert run("systemctl", "is-active", "weir", check=False) != "active"
    assert run("test", "-f", "/var/lib/weir/weir.db") == ""  # data stays until it is purged
    assert run("test", "-f", "/etc/weir/weir.conf") == ""
    purge(run)
    assert run("sh", "-c", "find / -xdev -path /proc -prune -o -name '*weir*' -print | "
               "grep -v '^/root\\|^/var/log\\|^/tmp\\|^/var/cache' || true") == ""
    after = run("sh", "-c", "ls / /etc /var/lib /usr/bin; cat /etc/passwd /etc/group")
    assert after == before


def test_what_an_administrator_has_decided_is_kept(machine, build):
    run = machine
    run.install(build("0.1.0"))

    run("sh", "-c", "echo 'workers = many' >>/etc/weir/weir.conf")
    run("systemctl", "restart", "weir", check=False)
    assert "workers: must be 1 to 64 or auto" in run("journalctl", "-u", "weir", "--no-pager")

    run("systemctl", "disable", "--now", "weir")
    run.install(build("0.1.1"))
    assert run("systemctl", "is-enabled", "weir", check=False) == "disabled"
    assert run("systemctl", "is-active", "weir", check=False) == "inactive"
    assert "workers = many" in run("cat", "/etc/weir/weir.conf")
    purge(run)


def test_a_reload_is_another_process_and_the_same_service(machine, build, images):
    run = machine
    database = docker("run", "-d", "-e", "POSTGRES_USER=weir", "-e", "POSTGRES_PASSWORD=secret",
                      images["POSTGRES_IMAGE"])
    try:
        host = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", database)
        run.install(build("0.1.0"))
        run("sh", "-c", "echo WEIR_PG_PASSWORD=secret >>/etc/default/weir")
        run("sh", "-c", f"printf 'database = postgres\\npg_host = {host}\\nmigrate = auto\\n'"
            " >>/etc/weir/weir.conf")
        run("systemctl", "restart", "--no-block", "weir")  # may find the database still starting
        eventually(lambda: '"message":"ready"' in run.admin("GET", "/status/ready"), "weir ready",
                   within=60)
        first = main_pid(run)
        run("systemctl", "reload", "weir")
        eventually(lambda: main_pid(run) not in (0, first), "systemd knowing the new process")
        eventually(lambda: run("ps", "-p", str(first), check=False).count("\n") == 0,
                   "the old process gone")
        assert run("systemctl", "is-active", "weir") == "active"
        assert '"message":"ready"' in run.admin("GET", "/status/ready")
        run("systemctl", "stop", "weir")
        assert run("pgrep", "-x", "weir", check=False) == ""  # the new one heard it
    finally:
        docker("rm", "-fv", database)
        purge(run)
