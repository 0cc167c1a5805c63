"""The stack as a user runs it: it comes up, and follows what happens to the services."""

import re
import time

from support.compose import FILE, PORTS, ask, docker
from support.load import Load
from support.waiting import eventually


def both(stack, **options):
    """A load on each node."""
    return [Load(stack.proxy_port(node), "/api", connections=3, rate=40, **options)
            for node in (1, 2)]


class Under:
    """Requests through both nodes for as long as the block lasts."""

    def __init__(self, stack):
        self.loads = both(stack)

    def __enter__(self):
        for load in self.loads:
            load.__enter__()
        self.wait(20)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.wait(20)
        for load in self.loads:
            load.stop()

    def wait(self, count):
        for load in self.loads:
            load.wait_for_more(count)

    def failures(self, node):
        load = self.loads[node - 1]
        return load.errors + load.unexpected


class TestUp:
    def test_from_nothing_to_the_first_routed_request(self, fresh):
        began = time.monotonic()
        fresh.up()
        up_s = time.monotonic() - began
        eventually(lambda: fresh.admin(1, "GET", "/status/ready").status == 200, "weir-1 ready")
        fresh.add_service(1, "my-service", "http://my-service", "/api")
        eventually(lambda: fresh.get(2, "/api").status == 200, "a routed request", within=60)
        total_s = time.monotonic() - began
        print(f"docker-compose up: {up_s:.1f} s; first routed request: {total_s:.1f} s after it began")
        fresh.wait_healthy("weir-1", "weir-2", "postgres", "consul")
        assert len(fresh.passing()) == 3

    def test_again_it_changes_nothing(self, stack):
        before = [stack.inspect(node)["Id"] for node in ("weir-1", "weir-2")]
        stack.up()
        assert [stack.inspect(node)["Id"] for node in ("weir-1", "weir-2")] == before
        assert stack.inspect("weir-migrations")["State"]["ExitCode"] == 0

    def test_what_controls_the_gateway_is_on_the_loopback_unless_told_otherwise(self):
        published = re.findall(r"- \$\{(\w+):-([\d.:]+)\}:\d+", FILE.read_text(encoding="utf-8"))
        assert {name for name, _ in published} == set(PORTS)
        for name, default in published:
            assert default.endswith(str(PORTS[name])), name
            assert default.startswith("127.0.0.1:") or "_PROXY_" in name, name

    def test_all_that_is_published_answers(self, stack):
        """Also TLS, with certificates of the nodes' own making."""
        for node in (1, 2):
            for port, path in (("PROXY", "http://{}/api"), ("PROXY_TLS", "https://{}/api"),
                               ("ADMIN", "http://{}/nodes"), ("ADMIN_TLS", "https://{}/nodes")):
                where = f"127.0.0.1:{stack.ports[f'WEIR_{node}_{port}_PORT']}"
                assert ask(path.format(where), verify=False).status == 200, (node, port)

    def test_the_image_is_small_and_asks_for_nothing(self, stack, images):
        size = int(docker("image", "inspect", "-f", "{{.Size}}", images["WEIR_IMAGE"]))
        assert size < 100e6, f"{size / 1e6:.0f} MB"
        inspected = stack.inspect("weir-1")
        assert inspected["HostConfig"]["ReadonlyRootfs"]
        assert inspected["Config"]["User"] not in ("", "0", "root", "0:0")
        assert "ALL" in inspected["HostConfig"]["CapDrop"]
        labels = inspected["Config"]["Labels"]
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"

    def test_the_image_alone_serves_healthily(self, images):
        container = docker("run", "-d", "--rm", "--read-only", "--cap-drop", "ALL",
                           "--health-interval", "1s", images["WEIR_IMAGE"])
        try:
            eventually(lambda: docker("inspect", "-f", "{{.State.Health.Status}}",
                                      container) == "healthy", "its own health check passing")
            assert "healthy" in docker("exec", container, "weir", "health")
        finally:
            docker("rm", "-fv", container)

    def test_orphans_are_reaped(self, stack):
        """As process 1 it gets every orphan; nobody else would take them out of the table."""
        weir = stack.container("weir-1")
        docker("exec", weir, "sh", "-c", "(sleep 0.1 &) ; (sleep 0.2 &)")

        def processes():
            return docker("exec", weir, "ps", "-o", "stat,comm").splitlines()
        eventually(lambda: not any("sleep" in line or line.startswith("Z") for line in processes()),
                   lambda: f"no orphan left: {processes()}")

    def test_a_command_that_waits_heeds_sigterm(self, images):
        # A server at 5432, which is 1538 in hexadecimal, that never says anything.
        container = docker("run", "-d", images["WEIR_IMAGE"], "sh", "-c",
                           "(sleep 600 | nc -l -p 5432 >/dev/null &); "
                           "until grep -q ':1538 0*:0000 0A' /proc/net/tcp /proc/net/tcp6; do sleep 0.1; done; "
                           "exec weir migrations list --database postgres --pg-host 127.0.0.1 --pg-timeout 600000")
        try:
            eventually(lambda: " 0100007F:1538 01 " in docker("exec", container, "cat",
                                                              "/proc/net/tcp"),
                       "weir connected to the server", within=60)
            docker("stop", "-t", "60", container)
            # By itself: 137 would be Docker's kill -9 of a process that is deaf.
            assert docker("inspect", "-f", "{{.State.ExitCode}}", container) == "143"
        finally:
            docker("rm", "-fv", container)


class TestFollowing:
    def test_a_route_added_on_node_1_is_served_by_node_2(self, stack):
        stack.add_service(1, "second", "http://my-service", "/second")
        eventually(lambda: stack.get(2, "/second").status == 200, "node 2 serving the new route")
        assert stack.admin(2, "DELETE", "/services/second/routes/second").status == 204
        eventually(lambda: stack.get(1, "/second").status == 404, "node 1 forgetting it")
        assert stack.admin(1, "DELETE", "/services/second").status == 204

    def test_scaling_up_and_down_costs_no_request(self, stack):
        with Under(stack) as under:
            for count in (6, 1):
                stack.up("--no-deps", "--scale", f"my-service={count}", "my-service")
                stack.wait_instances(count)
                assert len(stack.passing()) == count
                under.wait(20)
        for load in under.loads:
            load.assert_all_fine(at_least=60)

    def test_dns_knows_the_instances_too(self, stack):
        """Consul's own DNS, published beside its API."""
        import socket
        import struct
        name = b"".join(bytes([len(part)]) + part for part in b"my-service.service.consul".split(b"."))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + name + b"\0" +
                          struct.pack(">2H", 1, 1),
                          ("127.0.0.1", stack.ports["CONSUL_DNS_PORT"]))
            answer = client.recv(4096)
        assert struct.unpack(">H", answer[6:8])[0] == 3


class TestCrashes:
    """kill -9, under requests through both nodes; how many of them failed is asserted."""

    def test_an_instance(self, stack):
        with Under(stack) as under:
            victim = stack.containers("my-service")[0]
            started = stack.kill_9(victim)
            eventually(lambda: docker("inspect", "-f", "{{.State.StartedAt}}", victim) != started,
                       "Docker restarting it", within=60)
            stack.wait_instances(3)
        assert under.failures(1) == [] and under.failures(2) == []

    def test_a_gateway(self, stack):
        with Under(stack) as under:
            stack.kill_9(stack.container("weir-2"))
            eventually(lambda: under.failures(2), "requests through node 2 failing")
            eventually(lambda: stack.get(2, "/api").status == 200, "node 2 back", within=60)
            under.wait(20)
            until_back = len(under.failures(2))
            under.wait(20)
        assert under.failures(1) == []  # the other carries on
        assert len(under.failures(2)) == until_back  # and nothing fails once it is back
        assert all("Refused" in error or "Closed" in error or "Reset" in error
                   for error in under.loads[1].errors), under.loads[1].errors[:3]
        assert under.loads[1].unexpected == []  # it never served without its routes

    def test_postgres(self, stack):
        with Under(stack) as under:
            stack.kill_9(stack.container("postgres"))
            eventually(lambda: not stack.admin(1, "GET", "/status").json["database"]["reachable"],
                       "node 1 noticing", every=0.002)
            eventually(lambda: stack.admin(1, "POST", "/services", json={
                "name": "after", "url": "http://my-service"}).status == 201, "writes again",
                       within=60)
            eventually(lambda: stack.admin(2, "GET", "/services/after").status == 200,
                       "node 2 having it")
            eventually(lambda: stack.admin(2, "DELETE", "/services/after").status == 204,
                       "node 2 writing")  # its two connections come back one after the other
        assert under.failures(1) == [] and under.failures(2) == []

    def test_consul(self, stack):
        with Under(stack) as under:
            stack.kill_9(stack.container("consul"))
            under.wait(40)
            eventually(lambda: len(stack.passing()) == 3, "Consul back with its instances",
                       within=60)
            stack.wait_instances(3)
        assert under.failures(1) == [] and under.failures(2) == []
