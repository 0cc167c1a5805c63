"""Health checks on a service, set by one curl command, before a Flask mock that fails at random."""

import subprocess

import pytest

from support import PYTHON
from support.ports import free_port
from support.process import Process
from support.waiting import eventually

MOCK = """
import pathlib, random, sys
from flask import Flask
app = Flask("mock-api")
rate_file = pathlib.Path(sys.argv[2])

@app.route("/hello")
@app.route("/health")
def answer():
    if random.random() < float(rate_file.read_text()):
        return "error", 500
    return "fine", 200

app.run(port=int(sys.argv[1]), threaded=True)
"""


@pytest.fixture
def mock_api(tmp_path):
    """Its process, and a function that sets its ERROR_RATE."""
    script, rate = tmp_path / "mock.py", tmp_path / "error-rate"
    script.write_text(MOCK)
    rate.write_text("0")
    port = free_port()
    process = Process([PYTHON, script, port, rate], str(tmp_path / "mock.log"))
    import socket
    eventually(lambda: socket.create_connection(("127.0.0.1", port)).close() is None)
    yield port, lambda value: rate.write_text(str(value))
    process.kill()


def patch(weir):
    """As users type it, but for the port."""
    command = f"""
    curl -sS -i -X PATCH --url {weir.admin.url}/services/mock-api
      --data healthchecks.active.https_path=/health
      --data healthchecks.active.https_verify_certificate=false
      --data healthchecks.active.unhealthy.http_statuses[]=500
      --data healthchecks.active.timeout=2
      --data healthchecks.active.interval=5 --data healthchecks.active.healthy.successes=3
      --data healthchecks.active.unhealthy.failures=3
      --data healthchecks.passive.unhealthy.http_statuses[]=500
      --data healthchecks.passive.healthy.http_statuses[]=200
      --data healthchecks.passive.unhealthy.timeouts=3
      --data healthchecks.passive.unhealthy.tcp_failures=3
      --data healthchecks.passive.unhealthy.http_failures=3
      --data healthchecks.passive.healthy.interval=5
    """
    return subprocess.run(command.split(), capture_output=True, text=True, check=True,
                          timeout=60).stdout


def test_three_failures_in_a_row_are_503_until_the_mock_recovers(weir, mock_api):
    port, set_error_rate = mock_api
    weir.admin.create("/services", {"name": "mock-api", "url": f"http://127.0.0.1:{port}"})
    weir.admin.create("/services/mock-api/routes", {"paths": ["/hello"], "strip_path": False})
    assert patch(weir).startswith("HTTP/1.1 200 OK")
    eventually(lambda: weir.get("/hello").status == 200)

    set_error_rate(0.9)
    statuses = []
    eventually(lambda: statuses.append(weir.get("/hello").status) or statuses[-1] == 503)
    # Either its requests failed three times in a row, or its probes did.
    before = statuses[:-1]
    runs = "".join("F" if status == 500 else "s" for status in before).split("s")
    assert max(len(run) for run in runs[:-1] or [""]) < 3
    reason = weir.get("/hello").headers.get("X-Weir-Reason")
    assert reason.startswith("no target is in use: ")
    if reason.endswith(": passive"):
        assert len(runs[-1]) == 3

    set_error_rate(0)
    eventually(lambda: weir.get("/hello").status == 200, within=90)
    assert {weir.get("/hello").status for _ in range(20)} == {200}
