"""Instances of the sample service that the demo shows, as processes that can be killed."""

import os

import requests

from . import PYTHON, REPOSITORY
from .ports import free_port
from .process import Process


class FlaskService:
    """One instance; registers itself when a Consul is given, and deregisters on SIGTERM."""

    def __init__(self, directory, name, consul=None, service="flask-service", port=None):
        self.name = name
        self.port = port or free_port()
        command = [PYTHON, REPOSITORY / "demo/flask-service/app.py", "--name", name,
                   "--port", self.port, "--service", service]
        if consul:
            command += ["--consul", f"http://{consul.address}"]
        os.makedirs(directory, exist_ok=True)
        self._process = Process(command, os.path.join(directory, f"{name}.log"))
        self._process.wait_until(self._answers, f"{name} answering /health")

    def _answers(self):
        try:
            session = requests.Session()
            session.trust_env = False
            return session.get(f"{self.url}/health", timeout=5).ok
        except requests.RequestException:
            return False

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.address}"

    def stop(self):
        if self._process.is_running:
            return self._process.stop()
        return self._process.exit_code

    def kill(self):
        self._process.kill()

    def signal(self, number):
        self._process.signal(number)
