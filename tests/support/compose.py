"""Docker containers: the images under test, and stacks that docker-compose brings up."""

import fcntl
import json
import os
import re
import shutil
import subprocess

import requests

from . import REPOSITORY
from .ports import free_port
from .waiting import eventually

FILE = REPOSITORY / "deploy/compose/docker-compose.yml"
PORTS = {  # the variable of docker-compose.yml: the port that it has without it
    "CONSUL_HTTP_PORT": 8500, "CONSUL_DNS_PORT": 8600,
    "WEIR_1_PROXY_PORT": 8000, "WEIR_1_PROXY_TLS_PORT": 8443,
    "WEIR_1_ADMIN_PORT": 8001, "WEIR_1_ADMIN_TLS_PORT": 8444,
    "WEIR_2_PROXY_PORT": 9000, "WEIR_2_PROXY_TLS_PORT": 9443,
    "WEIR_2_ADMIN_PORT": 9001, "WEIR_2_ADMIN_TLS_PORT": 9444,
    "PROMETHEUS_PORT": 9090,
}


def why_no_engine():
    """What is missing to run containers; None when nothing is."""
    for program in ("docker", "docker-compose", "mmdebstrap"):
        if not shutil.which(program):
            return f"{program} isn't installed"
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if answer.returncode == 0:
        return None
    return "no Docker engine answers: " + (answer.stderr.strip().splitlines() or ["?"])[-1]


def docker(*arguments, check=True, within=120):
    """Runs docker; returns what it printed, on both streams, without the end of line."""
    done = subprocess.run(["docker", *[str(word) for word in arguments]], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=within, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(map(str, arguments))}: {done.stdout.strip()}")
    return done.stdout.strip()


def local_images(*names):
    """Makes images where they are not there or have changed; returns the variables to set. Tests that
    run side by side wait for each other here."""
    os.makedirs(REPOSITORY / "build", exist_ok=True)
    with open(REPOSITORY / "build/local-images.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run([REPOSITORY / "deploy/compose/local-images.sh", *names],
                              stdout=subprocess.PIPE, text=True, check=True)
    return dict(re.findall(r"^export (\w+)=(\S+)$", made.stdout, re.MULTILINE))


class Answer:
    """What came for a request, as an object that compares easily."""

    def __init__(self, answer):
        self.status = answer.status_code
        self.headers = answer.headers
        self.text = answer.text

    @property
    def json(self):
        return json.loads(self.text)


def ask(url, method="GET", within=30, **more):
    """One request on a connection of its own."""
    with requests.Session() as session:
        session.trust_env = False
        return Answer(session.request(method, url, timeout=within, **more))


class Stack:
    """One project of docker-compose, on ports and volumes of its own."""

    def __init__(self, name, images, files=(FILE,), **settings):
        self.name = name
        self.ports = {variable: free_port() for variable in PORTS}
        self.environment = {
            **os.environ, **images, "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_FILE": ":".join(str(file) for file in files),
            **{variable: f"127.0.0.1:{port}" for variable, port in self.ports.items()}, **settings}

    def compose(self, *arguments, check=True, within=300, **settings):
        done = subprocess.run(["docker-compose", *arguments], capture_output=True, text=True,
                              env={**self.environment, **settings}, timeout=within, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"docker-compose {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self, *arguments, **settings):
        self.compose("up", "-d", "--no-build", *arguments, **settings)

    def down(self):
        self.compose("kill", check=False)
        self.compose("down", "-v", "--remove-orphans", "-t", "1")

    def remove_volume(self, name):
        docker("volume", "rm", "-f", f"{self.name}_{name}")

    # --- its containers ---

    def containers(self, service):
        return docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.name}",
                      "--filter", f"label=com.docker.compose.service={service}").split()

    def container(self, service):
        found = self.containers(service)
        assert len(found) == 1, f"{service}: {len(found)} containers"
        return found[0]

    def inspect(self, service):
        return json.loads(docker("inspect", self.container(service)))[0]

    def health(self, service):
        return self.inspect(service)["State"].get("Health", {}).get("Status")

    def wait_healthy(self, *services, within=60):
        for service in services:
            eventually(lambda: self.health(service) == "healthy",
                       lambda: f"{service} being healthy; it is {self.health(service)}:\n"
                               f"{self.logs(service)[-3000:]}", within=within)

    def kill_9(self, container):
        """kill -9 of its first process, from outside: to Docker it crashed, and is restarted as the
        restart policy has it (not so after `docker kill`)."""
        state = json.loads(docker("inspect", container))[0]["State"]
        os.kill(state["Pid"], 9)
        return state["StartedAt"]

    def logs(self, service):
        """Both streams of its only container, in order, without access log lines."""
        return "".join(line for line in
                       docker("logs", self.container(service)).splitlines(keepends=True)
                       if " HTTP/1.1\" " not in line)

    def last_line(self, service):
        """Its last line that is more than news."""
        lines = [line for line in self.logs(service).splitlines()
                 if '"level":"info"' not in line and '"level":"notice"' not in line]
        return lines[-1] if lines else ""

    # --- its gateways and Consul ---

    def proxy_port(self, node):
        return self.ports[f"WEIR_{node}_PROXY_PORT"]

    def admin_url(self, node):
        return f"http://127.0.0.1:{self.ports[f'WEIR_{node}_ADMIN_PORT']}"

    def get(self, node, path):
        return ask(f"http://127.0.0.1:{self.proxy_port(node)}{path}")

    def admin(self, node, method, path, **more):
        return ask(self.admin_url(node) + path, method, **more)

    def add_service(self, node, name, url, path, **fields):
        made = self.admin(node, "POST", "/services", json={"name": name, "url": url, **fields})
        assert made.status == 201, made.text
        made = self.admin(node, "POST", f"/services/{name}/routes",
                          json={"name": name, "paths": [path]})
        assert made.status == 201, made.text

    def consul(self, path):
        return ask(f"http://127.0.0.1:{self.ports['CONSUL_HTTP_PORT']}{path}")

    def passing(self, service="my-service"):
        """The IDs of its instances that Consul calls passing."""
        answer = self.consul(f"/v1/health/service/{service}?passing")
        assert answer.status == 200, answer.text
        return {entry["Service"]["ID"] for entry in answer.json}

    def instances(self, node, path, count=1):
        """Who answers at `path`, from as many requests as show everybody."""
        answers = [self.get(node, path) for _ in range(4 * count)]
        assert all(answer.status == 200 for answer in answers), \
            [(answer.status, answer.text) for answer in answers if answer.status != 200][:3]
        return {answer.json["instance"] for answer in answers}

    def wait_instances(self, count, path="/api", nodes=(1, 2)):
        for node in nodes:
            eventually(lambda: len(self.instances(node, path, count)) == count,
                       f"{count} instances answering through node {node}", within=60)


