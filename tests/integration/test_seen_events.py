"""GET /events carries all that happens, and `weir watch` shows it."""

import json
import os
import pty
import signal
import subprocess
import threading

import pytest
import requests

from support.backends import response
from support.ports import free_port
from support.waiting import eventually
from support.weir import clean_environment


class Listener:
    """Reads a node's events in the background."""

    def __init__(self, weir, after=None):
        query = "" if after is None else f"?after={after}"
        self.events = []
        self._answer = requests.get(f"{weir.admin.url}/events{query}", stream=True, timeout=60)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            for line in self._answer.iter_lines(chunk_size=1):
                if line.startswith(b"data: "):
                    self.events.append(json.loads(line[6:]))
        except (requests.RequestException, AttributeError):
            pass

    def find(self, type, **fields):
        return [event for event in list(self.events) if event["type"] == type and
                all(event.get(name) == value for name, value in fields.items())]

    def wait_for(self, type, **fields):
        return eventually(lambda: self.find(type, **fields),
                          lambda: f"{type} {fields} among {self.events}")[0]


class TestEvents:
    def test_changes_of_the_configuration_are_told(self, weir):
        listener = Listener(weir)
        service = weir.admin.create("/services", {"name": "web", "url": "http://127.0.0.1:1"})
        event = listener.wait_for("config.changed", entity="services", op="put", name="web")
        assert event["id"] == service["id"] and event["by"] == "this node"
        published = listener.wait_for("config.published", services=1)
        assert published["build_ms"] >= 0 and published["time"] >= event["time"]
        weir.admin.remove("/services/web")
        listener.wait_for("config.changed", entity="services", op="remove")
        listener.wait_for("config.published", services=0)
        told = [event for event in listener.events if event["type"] == "config.changed"]
        assert "127.0.0.1" not in json.dumps(told), "no values are told"

    def test_changes_of_other_nodes_are_told(self, new_weir, postgres):
        one = new_weir(**postgres.settings, MIGRATE="auto")
        two = new_weir(**postgres.settings)
        listener = Listener(two)
        one.admin.create("/services", {"name": "web", "url": "http://127.0.0.1:1"})
        event = listener.wait_for("config.changed", entity="services", op="put")
        assert event["name"] == "web" and event["by"] == "another node"
        listener.wait_for("config.published", services=1)
        postgres.stop()
        listener.wait_for("node.state", state="degraded")
        postgres.start()
        listener.wait_for("node.state", state="ready")

    def test_a_node_that_drains_says_so(self, weir):
        listener = Listener(weir)
        weir.admin.post("/status", {"status": "draining"})
        listener.wait_for("node.state", state="draining")
        weir.admin.post("/status", {"status": "ready"})
        listener.wait_for("node.state", state="ready")

    @pytest.mark.consul
    def test_discovery_is_told(self, new_weir, consul, backend):
        weir = new_weir(CONSUL_ADDR=consul.address)
        listener = Listener(weir)
        id = consul.register("web", backend.port)
        weir.serve("web", "http://web.service.consul")
        listener.wait_for("consul.reachable", address=f"http://{consul.address}")
        listener.wait_for("target.joined", instance=id)
        consul.deregister(id)
        listener.wait_for("target.left", instance=id)
        listener.wait_for("upstream.available", available=False)
        consul.register("web", backend.port)
        listener.wait_for("upstream.available", available=True)
        consul.stop()
        assert listener.wait_for("consul.unreachable")["why"]

    def test_a_watch_that_fails_is_told_once_and_its_recovery(self, new_weir, fake_consul):
        weir = new_weir(CONSUL_ADDR=f"127.0.0.1:{fake_consul.port}")
        fake_consul.set("web", [5001])
        weir.serve("web", "http://web.service.consul")
        listener = Listener(weir, after=0)
        listener.wait_for("target.joined")
        fake_consul.misbehave = response(403, [], b"Permission denied")
        event = listener.wait_for("watch.failing", source="consul", name="web")
        assert "Permission denied" in event["why"]
        fake_consul.misbehave = None
        listener.wait_for("watch.recovered", name="web")
        assert len(listener.find("watch.failing")) == 1

    def test_a_number_of_another_life_begins_with_all_that_is_kept(self, weir):
        weir.serve("web", "http://127.0.0.1:1")
        listener = Listener(weir, after=123456)
        listener.wait_for("config.changed", entity="services")


class Watch:
    """A `weir watch` beside a node."""

    def __init__(self, weir, *arguments, stdout=subprocess.PIPE, **settings):
        environment = {"WEIR_ADMIN_LISTEN": weir.settings["WEIR_ADMIN_LISTEN"], **settings}
        self.process = subprocess.Popen(
            [str(weir.binary), "watch", *arguments], stdin=subprocess.DEVNULL, stdout=stdout,
            stderr=subprocess.PIPE, env=clean_environment(weir.directory, environment))
        self.text, self.errors = "", ""
        self._readers = [threading.Thread(target=self._read, daemon=True)]
        if stdout == subprocess.PIPE:
            self._readers.append(threading.Thread(target=self._read_out, daemon=True))
        for reader in self._readers:
            reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.errors += line.decode()

    def _read_out(self):
        for line in self.process.stdout:
            self.text += line.decode()

    def lines(self, part):
        return [line for line in self.text.splitlines() if part in line]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        for reader in self._readers:
            reader.join(60)


@pytest.fixture
def watch():
    watches = []

    def make(*arguments, **options):
        watches.append(Watch(*arguments, **options))
        return watches[-1]
    yield make
    for process in watches:
        process.stop()


class TestWatch:
    def test_it_prints_a_line_an_event(self, weir, watch):
        shown = watch(weir, "--after", "0")
        weir.serve("web", "http://127.0.0.1:1")
        line = eventually(lambda: shown.lines("entity=services"))[0]
        assert "config.changed  entity=services" in line and "name=web" in line
        assert line[2] == ":" and line[8] == "."
        assert "\033" not in shown.text

    def test_json_is_as_it_came(self, weir, watch):
        shown = watch(weir, "--json", "--after", "0")
        weir.serve("web", "http://127.0.0.1:1")
        eventually(lambda: shown.lines('"services"'))
        for line in shown.text.splitlines():
            assert json.loads(line)["type"]

    def test_a_terminal_gets_colours_unless_they_are_not_wanted(self, weir, watch):
        for settings, has_colours in ({}, True), ({"NO_COLOR": "1"}, False):
            master, slave = pty.openpty()
            shown = watch(weir, "--after", "0", stdout=slave, **settings)
            os.close(slave)
            weir.admin.create("/services", {"url": "http://127.0.0.1:1"})
            text = b""
            while b"config.published" not in text:
                text += os.read(master, 4096)
            assert (b"\033[34mconfig.published\033[0m" in text) == has_colours, text
            shown.stop()
            os.close(master)

    def test_it_follows_the_node_over_a_restart(self, weir, watch):
        shown = watch(weir, "--after", "0")
        weir.serve("web", "http://127.0.0.1:1")
        eventually(lambda: shown.lines("name=web"))
        weir.restart()
        weir.serve("again", "http://127.0.0.1:1")
        eventually(lambda: shown.lines("name=again"))
        assert "is lost" in shown.errors
        assert len(shown.lines("entity=services")) == 2, "each is told once"

    def test_nobody_there_is_an_error(self, weir_command):
        result = weir_command("watch", WEIR_ADMIN_LISTEN=f"127.0.0.1:{free_port()}")
        assert result.returncode == 1
        assert "weir cannot be reached at 127.0.0.1:" in result.stderr

    def test_an_admin_api_that_is_off_is_an_error(self, weir_command):
        result = weir_command("watch", WEIR_ADMIN_LISTEN="off")
        assert result.returncode == 1 and "WEIR_ADMIN_LISTEN" in result.stderr

    def test_wrong_flags_are_refused(self, weir_command):
        for arguments in ["--after", "x"], ["--jsn"]:
            result = weir_command("watch", *arguments)
            assert result.returncode == 1 and arguments[0] in result.stderr

    def test_it_explains_itself(self, weir_command):
        result = weir_command("watch", "--help")
        assert result.returncode == 0 and "--json" in result.stdout
