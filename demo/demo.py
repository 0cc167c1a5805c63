#!/usr/bin/python3
"""The demo itself; demo/run prepares what it needs and calls it.

It shows nothing that it doesn't check: when a step does not do what the text says, the demo says so
and exits with 1.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import requests

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PATIENCE_S = 60  # far more than any step takes
SERVICE = "my-service"
REQUESTS_PER_S = 60


class DemoFailed(Exception):
    """Something did not happen as announced."""


def say(text=""):
    print(text, flush=True)


def step(number, title):
    say()
    say(f"{number}. {title}")


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited {PATIENCE_S} s for {what}")
        time.sleep(0.01)


class Ports:
    """Hands out the usual ports; one that is taken is named, and the next free one taken."""

    def __init__(self):
        self._given = set()

    def pick(self, preferred, whose):
        port = self.next_free(preferred)
        if port != preferred:
            say(f"   port {preferred} ({whose}) is taken: using {port}")
        self._given.add(port)
        return port

    def next_free(self, port):
        while port in self._given or not self._is_free(port):
            port += 1
        return port

    @staticmethod
    def _is_free(port):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):  # Consul uses some of both
            with socket.socket(socket.AF_INET, kind) as probe:
                try:
                    if kind == socket.SOCK_STREAM:
                        # Connections that ended a moment ago do not count, listeners do.
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind(("0.0.0.0", port))
                        probe.listen(1)
                    else:
                        probe.bind(("0.0.0.0", port))
                except OSError:
                    return False
        return True


class Server:
    """A process with its log in a file."""

    def __init__(self, name, command, log, environment=None):
        self.name = name
        self.log = log
        with open(log, "wb") as output:
            # A session of its own: Ctrl-C reaches the demo alone, which stops all in good order.
            self._process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
                env={**os.environ, **(environment or {})})

    @property
    def is_running(self):
        return self._process.poll() is None

    def wait_until(self, is_ready, what):
        def ready():
            if not self.is_running:
                tail = self.log.read_text(errors="replace").strip().splitlines()[-10:]
                raise DemoFailed(f"{self.name} ended by itself:\n" + "\n".join(tail))
            try:
                return is_ready()
            except requests.RequestException:
                return False
        wait_for(ready, what)

    def stop(self, force=False):
        if self.is_running:
            self._process.send_signal(signal.SIGKILL if force else signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise DemoFailed(f"{self.name} did not stop within {PATIENCE_S} s") from None


class WeirLog:
    """weir's log, of which the demo shows the lines about targets and Consul as they come."""

    ABOUT = ("target ", "consul ")

    def __init__(self, path):
        self._path = path
        self._shown = 0

    def entries(self):
        found = []
        for line in self._path.read_text(errors="replace").splitlines(keepends=True):
            if line.endswith("\n"):  # else it is still being written
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if entry.get("msg", "").startswith(self.ABOUT):
                    found.append(entry)
        return found

    def takes_traffic(self, address):
        """What the last line about the target `address` says."""
        last = [entry for entry in self.entries() if entry.get("target") == address][-1:]
        return any(entry["msg"] != "target left" and entry.get("takes_traffic") for entry in last)

    def show(self):
        entries = self.entries()
        for entry in entries[self._shown:]:
            rest = "  ".join(f"{name}={self._word(value)}" for name, value in entry.items()
                             if name not in ("level", "time", "msg") and value not in ("", None))
            say(f"   weir's log | {self._clock(entry.get('time'))} {entry['msg']}  {rest}")
        self._shown = len(entries)

    @staticmethod
    def _word(value):
        if isinstance(value, bool):
            return "yes" if value else "no"
        return value

    @staticmethod
    def _clock(when):
        try:
            if isinstance(when, (int, float)):
                moment = datetime.datetime.fromtimestamp(when)
            else:
                moment = datetime.datetime.fromisoformat(when.replace("Z", "+00:00")).astimezone()
            return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03}"
        except (ValueError, AttributeError):
            return str(when)


class Traffic:
    """A client that never stops asking: what each answer's instance was, and what failed."""

    CLIENTS = 2

    def __init__(self, url):
        self._url = url
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._answers = collections.Counter()
        self._failures = []
        self.all_answers = 0
        self.all_failures = 0
        self._threads = [threading.Thread(target=self._run, daemon=True)
                         for _ in range(self.CLIENTS)]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._is_over.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(PATIENCE_S)

    def _run(self):
        session = requests.Session()
        session.trust_env = False
        while not self._is_over.wait(self.CLIENTS / REQUESTS_PER_S):
            try:
                answer = session.get(self._url, timeout=30)
                if answer.status_code != 200:
                    raise ValueError(f"status {answer.status_code}: {answer.text.strip()}")
                instance = answer.json()["instance"]
                with self._lock:
                    self._answers[instance] += 1
                    self.all_answers += 1
            except (requests.RequestException, ValueError, KeyError) as error:
                with self._lock:
                    self._failures.append(str(error))
                    self.all_failures += 1

    def start_counting(self):
        with self._lock:
            self._answers.clear()
            self._failures.clear()

    def counted(self):
        with self._lock:
            return collections.Counter(self._answers)

    def wait_for_answers(self, count):
        wait_for(lambda: sum(self.counted().values()) >= count or self._failures, "answers")

    def show(self, caption):
        """Prints who answered since start_counting(); a failed request fails the demo."""
        with self._lock:
            answers, failures = collections.Counter(self._answers), list(self._failures)
        say(f"   {caption}: {sum(answers.values())} requests answered, {len(failures)} failed")
        most = max(answers.values(), default=1)
        for name in sorted(answers):
            bar = "#" * max(1, round(30 * answers[name] / most))
            say(f"     {name:<10} {bar:<30} {answers[name]}")
        if failures:
            raise DemoFailed(f"a request failed: {failures[0]}")
        return answers


class Demo:
    def __init__(self, weir, consul):
        self.weir_binary = weir
        self.consul_binary = consul
        work = REPOSITORY / "demo/.work"
        work.mkdir(exist_ok=True)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=work))
        self.ports = Ports()
        self.servers = []  # in the order they were started
        self.instances = {}
        self.addresses = {}
        self.traffic = None
        self.log = None
        self.http = requests.Session()
        self.http.trust_env = False

    # The parts.

    def start_server(self, name, command, environment=None):
        server = Server(name, command, self.directory / f"{name}.log", environment)
        self.servers.append(server)
        return server

    def start_consul(self):
        port = self.ports.pick(8500, "Consul's HTTP API")
        self.consul_url = f"http://127.0.0.1:{port}"
        server = self.start_server("consul", [
            self.consul_binary, "agent", "-config-file", REPOSITORY / "deploy/consul/agent.hcl",
            "-ui", "-node", "demo-node", "-data-dir", self.directory / "consul",
            "-http-port", port,
            "-dns-port", self.ports.pick(8600, "Consul's DNS"),
            "-server-port", self.ports.pick(8300, "Consul's servers"),
            "-serf-lan-port", self.ports.pick(8301, "Consul's gossip")])
        server.wait_until(
            lambda: self.http.get(f"{self.consul_url}/v1/health/node/demo-node", timeout=5).json(),
            "Consul to elect a leader")

    def start_weir(self):
        proxy = self.ports.pick(8000, "weir's proxy")
        admin = self.ports.pick(8001, "weir's Admin API")
        self.proxy_url = f"http://localhost:{proxy}"
        self.admin_url = f"http://localhost:{admin}"
        server = self.start_server("weir", [self.weir_binary, "run"], {
            "WEIR_PROXY_LISTEN": f"127.0.0.1:{proxy}",
            "WEIR_ADMIN_LISTEN": f"127.0.0.1:{admin}",
            "WEIR_CONSUL_ADDR": self.consul_url.removeprefix("http://"),
            "WEIR_DATABASE": "sqlite",
            "WEIR_DATA_DIR": str(self.directory / "data"),
            "WEIR_ACCESS_LOG": str(self.directory / "access.log"),
        })
        server.wait_until(lambda: self.http.get(f"http://127.0.0.1:{admin}/status",
                                                timeout=5).ok, "weir's Admin API")
        self.log = WeirLog(server.log)
        return server

    def start_instance(self, name):
        port = self.ports.pick(5000 + len(self.addresses) + 1, f"the Flask instance {name}")
        self.addresses[name] = f"127.0.0.1:{port}"
        server = self.start_server(name, [
            "/usr/bin/python3", "-B", REPOSITORY / "demo/flask-service/app.py",
            "--service", SERVICE, "--name", name, "--port", port, "--consul", self.consul_url])
        self.instances[name] = server
        return server

    def passing(self):
        """The instances that Consul calls healthy."""
        entries = self.http.get(f"{self.consul_url}/v1/health/service/{SERVICE}?passing=1",
                                timeout=5).json()
        return {entry["Service"]["ID"] for entry in entries}

    def curl(self, *arguments):
        """Shows a command as one would type it, runs it, and shows what came."""
        quoted = " ".join(f"'{word}'" if "[" in word else word for word in arguments)
        say(f"   $ curl {quoted}")
        result = subprocess.run(["curl", "-sS", "--noproxy", "*", "-w", "\n%{http_code}",
                                 *arguments], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise DemoFailed(f"curl: {result.stderr.strip()}")
        body, _, status = result.stdout.rpartition("\n")
        say(f"     {status} {body.strip()[:150]}{'…' if len(body.strip()) > 150 else ''}")
        return int(status)

    # The story.

    def run(self):
        version = subprocess.run([self.weir_binary, "version"], capture_output=True, text=True,
                                 check=True).stdout.strip().removeprefix("weir ")
        step(1, f"Start Consul, weir {version} and three instances of a small Flask service")
        self.start_consul()
        self.start_weir()
        for name in ("flask-1", "flask-2", "flask-3"):
            self.start_instance(name)
        wait_for(lambda: len(self.passing()) == 3, "Consul to call the three instances healthy")
        say(f"   Consul    {self.consul_url}")
        say(f"   weir      proxy {self.proxy_url}, Admin API {self.admin_url}")
        for name in self.instances:
            say(f"   {name}   at {self.addresses[name]}, registered itself in Consul as an "
                f"instance of {SERVICE}")

        step(2, "Create a service and a route through the Admin API")
        say(f"   The service's host, {SERVICE}, is a name that Consul knows: weir takes its "
            "instances from there.")
        created = [
            self.curl("-X", "POST", f"{self.admin_url}/services/", "--data", f"name={SERVICE}",
                      "--data", f"url=http://{SERVICE}:80"),
            self.curl("-X", "POST", f"{self.admin_url}/services/{SERVICE}/routes", "--data",
                      "paths[]=/api", "--data", "name=api"),
        ]
        if created != [201, 201]:
            raise DemoFailed("the Admin API did not create them")
        wait_for(lambda: all(map(self.log.takes_traffic, self.addresses.values())),
                 "weir to find the three instances")
        self.log.show()

        step(3, "Send requests: they spread over the three")
        if self.curl(f"{self.proxy_url}/api") != 200:
            raise DemoFailed("the request was not answered with 200")
        self.traffic = Traffic(f"http://127.0.0.1:{self.proxy_url.rsplit(':', 1)[1]}/api")
        self.traffic.start()
        say(f"   A client now asks about {REQUESTS_PER_S} times a second, and goes on through all "
            "that follows.")
        self.traffic.wait_for_answers(90)
        answers = self.traffic.show("In the first moments")
        if set(answers) != {"flask-1", "flask-2", "flask-3"}:
            raise DemoFailed("not every instance took traffic")

        step(4, "A fourth instance registers: it takes traffic as soon as its check has passed")
        self.traffic.start_counting()
        self.start_instance("flask-4")
        wait_for(lambda: self.traffic.counted()["flask-4"] > 0, "the new instance to take traffic")
        self.log.show()
        self.traffic.show("While it came")
        self.traffic.start_counting()
        self.traffic.wait_for_answers(120)
        answers = self.traffic.show("Since then")
        if len(answers) != 4:
            raise DemoFailed("not every one of the four instances took traffic")

        step(5, "flask-1 is stopped in good order: it deregisters, serves on for a moment, ends")
        self.traffic.start_counting()
        self.instances.pop("flask-1").stop()
        wait_for(lambda: not self.log.takes_traffic(self.addresses["flask-1"]),
                 "weir to let go of flask-1")
        self.log.show()
        self.traffic.show("While it went")
        self.see_that_it_is_gone("flask-1")

        step(6, "flask-2 is killed with kill -9: nobody says goodbye")
        self.traffic.start_counting()
        self.instances.pop("flask-2").stop(force=True)
        say("   Until Consul's next check finds out, weir tries another instance where a "
            "connection is refused.")
        wait_for(lambda: not self.log.takes_traffic(self.addresses["flask-2"]),
                 "weir to hear that flask-2 is dead")
        self.log.show()
        self.traffic.show("While it was found out")
        self.see_that_it_is_gone("flask-2")

    def see_that_it_is_gone(self, name):
        self.traffic.start_counting()
        self.traffic.wait_for_answers(90)
        answers = self.traffic.show("Since then")
        if answers[name]:
            raise DemoFailed(f"{name} still takes traffic")

    def finish(self):
        self.traffic.stop()
        say()
        say(f"That's it: {self.traffic.all_answers} requests, {self.traffic.all_failures} failed.")

    def keep(self):
        say()
        say("Everything stays up. Try:")
        for command, what in (
                (f"curl -i {self.proxy_url}/api", "a request through weir, to some instance"),
                (f"curl -s {self.admin_url}/services", "what weir is set up to do"),
                (f"tail -f {self.directory / 'weir.log'}", "what weir does"),
                (f"demo/flask-service/app.py --service {SERVICE} --name mine --port "
                 f"{self.ports.next_free(5010)} --consul {self.consul_url}", "one more instance")):
            say(f"   {what}:")
            say(f"     {command}")
        say("   what Consul knows, in a browser:")
        say(f"     {self.consul_url}/ui")
        say("Ctrl-C stops it all.")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
        say()

    def stop_all(self):
        """In reverse order, so that what depends goes first; weir before Consul."""
        if self.traffic:
            self.traffic.stop()
        for server in reversed(self.servers):
            if server.is_running:
                code = server.stop()
                if server.name == "weir" and code != 0:
                    raise DemoFailed(f"weir ended with {code} when asked to stop")


def main():
    parser = argparse.ArgumentParser(description="Run demo/run instead.")
    parser.add_argument("--weir", required=True)
    parser.add_argument("--consul", required=True)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()

    # Both end the story early, in good order.
    def interrupt(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)

    demo = Demo(options.weir, options.consul)
    failure, code = None, 0
    try:
        demo.run()
        demo.finish()
        if options.keep:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
            demo.keep()
        say("Stopping everything.")
    except KeyboardInterrupt:
        say("\nStopping everything.")
        code = 130
    except (DemoFailed, requests.RequestException, subprocess.SubprocessError) as error:
        failure = error
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        try:
            demo.stop_all()
        except DemoFailed as error:
            failure = failure or error
    if failure:
        print(f"\nThe demo failed: {failure}\nThe logs are in {demo.directory}", file=sys.stderr)
        return 1
    shutil.rmtree(demo.directory)
    return code


if __name__ == "__main__":
    sys.exit(main())
