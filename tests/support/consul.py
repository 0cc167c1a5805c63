"""A real Consul agent, and one that lies."""

import json
import os
import shutil
import threading

import requests

from . import REPOSITORY
from .backends import Backend, response
from .ports import free_port
from .process import Process
from .waiting import eventually


class Consul:
    """One Consul server with ports and data of its own."""

    def __init__(self, binary, directory, hcl="", token=None, directories=()):
        """`hcl`: more configuration; `token`: what requests of the test carry; `directories`: of
        more configuration, which a reload reads again."""
        self.hcl = ["-hcl", hcl] if hcl else []
        for more in directories:
            self.hcl += ["-config-dir", more]
        self.binary = binary
        self.directory = directory
        self.data_directory = os.path.join(directory, "data")
        self.port = free_port()
        self.dns_port = free_port()
        self._other_ports = [free_port() for _ in range(2)]
        self._http = requests.Session()
        self._http.trust_env = False
        if token:
            self._http.headers["X-Consul-Token"] = token
        self._process = None
        os.makedirs(directory, exist_ok=True)
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        server_port, serf_port = self._other_ports
        self._process = Process(
            [self.binary, "agent", "-config-file", REPOSITORY / "deploy/consul/agent.hcl",
             "-data-dir", self.data_directory, "-node", "test-node",
             "-http-port", self.port, "-dns-port", self.dns_port, "-server-port", server_port,
             "-serf-lan-port", serf_port, "-log-level", "warn", *self.hcl],
            os.path.join(self.directory, "consul.log"))
        self._process.wait_until(self._is_ready, "Consul having a leader and its node registered")

    def _is_ready(self):
        try:
            return self.get("/v1/health/node/test-node")
        except requests.RequestException:
            return False

    def stop(self):
        """Kills it: what it wrote stays, nothing is deregistered, connections break."""
        if self._process.is_running:
            self._process.kill()
        self._http.close()

    def restart(self, keep_data=True):
        self.stop()
        if not keep_data:
            shutil.rmtree(self.data_directory)
        self.start()

    def get(self, path):
        answer = self._http.get(f"http://{self.address}{path}", timeout=60)
        answer.raise_for_status()
        return answer.json()

    def put(self, path, body=None, data=None):
        answer = self._http.put(f"http://{self.address}{path}", json=body, data=data, timeout=60)
        assert answer.status_code == 200, f"PUT {path}: {answer.status_code} {answer.text}"
        return answer

    def delete(self, path):
        answer = self._http.delete(f"http://{self.address}{path}", timeout=60)
        assert answer.status_code == 200, f"DELETE {path}: {answer.status_code} {answer.text}"

    def snapshot(self):
        answer = self._http.get(f"http://{self.address}/v1/snapshot", timeout=60)
        answer.raise_for_status()
        return answer.content

    def restore(self, snapshot):
        self.put("/v1/snapshot", data=snapshot)

    def register(self, service, port, id=None, address="127.0.0.1", ttl_check=False, **more):
        """Registers an instance with the agent; returns its ID.

        `ttl_check`: gives it a TTL check, critical until set_check() says otherwise."""
        id = id or f"{service}-{port}"
        body = {"Name": service, "ID": id, "Address": address, "Port": port, **more}
        if ttl_check:
            body["Check"] = {"CheckID": f"ttl:{id}", "TTL": "1h"}
        self.put("/v1/agent/service/register", body)
        return id

    def deregister(self, id):
        self.put(f"/v1/agent/service/deregister/{id}")

    def set_check(self, id, status):
        """`status` of the TTL check that register() made: passing, warning or critical."""
        self.put(f"/v1/agent/check/update/ttl:{id}", {"Status": status, "Output": "set by a test"})

    def maintenance(self, id, enable):
        self.put(f"/v1/agent/service/maintenance/{id}?enable={str(enable).lower()}&reason=test")

    def register_in_catalog(self, service, port, id=None, node="other-node",
                            node_address="127.0.0.1", address="", **more):
        """Registers an instance on a node that has no agent, straight in the catalog."""
        self.put("/v1/catalog/register", {
            "Node": node, "Address": node_address,
            "Service": {"Service": service, "ID": id or service, "Address": address, "Port": port,
                        **more}})

    def set_in_catalog(self, service, addresses, gone=(), port=80):
        """Registers an instance of `service` at each address, on a node of its own, and removes those
        that are `gone`; 64 changes a transaction."""
        def operation(verb, address):
            node = {"Node": f"node-{address}", "Address": address}
            if verb == "delete":
                return [{"Node": {"Verb": "delete", "Node": node}}]
            return [{"Node": {"Verb": "set", "Node": node}},
                    {"Service": {"Verb": "set", "Node": node["Node"], "Service": {
                        "ID": f"{service}-{address}", "Service": service, "Address": address,
                        "Port": port, "Weights": {"Passing": 1, "Warning": 1}}}}]
        operations = [part for address in addresses for part in operation("set", address)]
        operations += [part for address in gone for part in operation("delete", address)]
        for at in range(0, len(operations), 64):
            self.put("/v1/txn", operations[at:at + 64])

    def instances(self, service):
        return self.get(f"/v1/health/service/{service}")


class FakeConsul(Backend):
    """Answers health queries by the rules, blocking ones too, until told to misbehave.

    `misbehave` is bytes to send instead of an answer, or "hang" to send nothing, or None. Setting
    it ends the blocking queries that are waiting, so that it shows at once.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._index = 10
        self._services = {}
        self._misbehave = None
        super().__init__("consul", self._respond)

    def set(self, service, ports):
        with self._changed:
            self._services[service] = list(ports)
            self._index += 1
            self._changed.notify_all()

    @property
    def misbehave(self):
        return self._misbehave

    @misbehave.setter
    def misbehave(self, what):
        with self._changed:
            self._misbehave = what
            self._changed.notify_all()

    def health_queries(self, service):
        return [r for r in self.requests if r.target.startswith(f"/v1/health/service/{service}")]

    def entry(self, service, port):
        return {
            "Node": {"ID": "", "Node": "fake-node", "Address": "127.0.0.1", "Datacenter": "dc1"},
            "Service": {"ID": f"{service}-{port}", "Service": service, "Tags": [], "Meta": {},
                        "Address": "127.0.0.1", "Port": port,
                        "Weights": {"Passing": 1, "Warning": 1}},
            "Checks": [{"Node": "fake-node", "CheckID": "serfHealth", "Status": "passing"}],
        }

    def _respond(self, request, connection):
        path, _, query = request.target.partition("?")
        arguments = dict(part.partition("=")[::2] for part in query.split("&") if part)
        with self._changed:
            asked = int(arguments.get("index", 0) or 0)
            if not self._misbehave and asked >= self._index:
                wait = arguments.get("wait", "60s")
                seconds = float(wait.rstrip("ms")) * (60 if wait.endswith("m") else 1)
                self._changed.wait_for(lambda: self._misbehave or self._index > asked, seconds)
            misbehave = self._misbehave
            headers = [("Content-Type", "application/json"), ("X-Consul-Index", self._index),
                       ("X-Consul-KnownLeader", "true"), ("X-Consul-LastContact", "0")]
            if path.startswith("/v1/health/service/"):
                service = path.rsplit("/", 1)[1]
                body = [self.entry(service, port) for port in self._services.get(service, [])]
            elif path == "/v1/catalog/services":
                body = {name: [] for name in self._services}
            elif path == "/v1/status/leader":
                body = "127.0.0.1:8300"
            else:
                body = {}
        if misbehave == "hang":
            eventually(lambda: self.misbehave != "hang" or not self._listener, within=600,
                       every=0.05)
            connection.close()
            return None
        return misbehave or response(200, headers, json.dumps(body))
