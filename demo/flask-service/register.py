#!/usr/bin/python3
"""Registers an instance of a service with Consul, with an HTTP check, and removes it again.

app.py uses it as a module. It works from a shell too, for a service that can't do it by itself:

    register.py add    --consul http://127.0.0.1:8500 --service users --name users-1 --port 5001
    register.py remove --consul http://127.0.0.1:8500 --service users --name users-1 --port 5001
    register.py hold   …     adds it, and removes it when stopped by SIGTERM or Ctrl-C
"""

import argparse
import os
import signal
import sys
import threading
import urllib.parse

import consul
from consul.base import CB

CHECK_EVERY = "1s"    # Consul asks /health this often
CHECK_TIMEOUT = "1s"
FORGET_AFTER = "5m"   # an instance that died without deregistering is removed after this time
LOOK_EVERY_S = 2      # ... whether Consul still knows the instance


def find_token():
    """As Consul's own tools find it; None where Consul asks for none."""
    path = os.environ.get("CONSUL_HTTP_TOKEN_FILE")
    if path:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    return os.environ.get("CONSUL_HTTP_TOKEN") or None


class Registration:
    """One instance of a service, as Consul knows it."""

    def __init__(self, agent_url, service, name, address, port):
        agent = urllib.parse.urlsplit(agent_url)
        self._consul = consul.Consul(host=agent.hostname, port=agent.port or 8500,
                                     scheme=agent.scheme or "http")
        self._consul.token = find_token()  # its own way takes an empty variable for a token
        self._token = [("token", self._consul.token)] if self._consul.token else None
        self._service = service
        self._name = name
        self._address = address
        self._port = port
        self._lock = threading.Lock()  # between keep() and remove()
        self._is_over = threading.Event()

    def add(self):
        """The instance takes traffic once its first check has passed."""
        # With the name: after a crash the address may be another instance's, or another service's.
        name = urllib.parse.quote(self._name, safe="")
        check = consul.Check.http(f"http://{self._address}:{self._port}/health?instance={name}",
                                  interval=CHECK_EVERY, timeout=CHECK_TIMEOUT,
                                  deregister=FORGET_AFTER)
        done = self._consul.agent.service.register(
            self._service, service_id=self._name, address=self._address, port=self._port,
            check=check)
        if not done:
            raise RuntimeError(f"Consul did not register {self._name}")

    def is_known(self):
        name = urllib.parse.quote(self._name, safe="")
        # Not agent.services(), which brings all of them.
        return self._consul.http.get(lambda answer: answer.code == 200,
                                     f"/v1/agent/service/{name}", params=self._token)

    def keep(self):
        """Adds the instance, in a thread of its own, as soon as there is a Consul to add it to, and
        again whenever Consul has come back without it. Ends with remove()."""
        threading.Thread(target=self._keep, daemon=True).start()

    def _keep(self):
        trouble = None
        is_first = True  # what Consul knows may be of an earlier process, at another address
        while not self._is_over.is_set():
            try:
                with self._lock:
                    if not self._is_over.is_set() and (is_first or not self.is_known()):
                        self.add()
                        is_first = False
                        print(f"{self._name}: registered with Consul", file=sys.stderr, flush=True)
                trouble = None
            except Exception as error:  # of whatever kind: it is tried again
                if trouble is None:
                    print(f"{self._name}: not registered, Consul says: {error}", file=sys.stderr,
                          flush=True)
                trouble = error
            self._is_over.wait(LOOK_EVERY_S)

    def remove(self):
        """From now on it is sent no new request."""
        # Not agent.service.deregister(): in Debian's python3-consul that is a GET, which Consul
        # has refused since 1.0.
        self._is_over.set()
        name = urllib.parse.quote(self._name, safe="")
        with self._lock:
            done = self._consul.http.put(CB.bool(), f"/v1/agent/service/deregister/{name}",
                                         params=self._token)
        if not done:
            raise RuntimeError(f"Consul did not deregister {self._name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["add", "remove", "hold"])
    parser.add_argument("--consul", default="http://127.0.0.1:8500")
    parser.add_argument("--service", required=True)
    parser.add_argument("--name", required=True, help="the instance's ID in Consul")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()

    registration = Registration(options.consul, options.service, options.name, options.address,
                                options.port)
    if options.action in ("add", "hold"):
        registration.add()
    if options.action == "hold":
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    if options.action in ("remove", "hold"):
        registration.remove()


if __name__ == "__main__":
    main()
