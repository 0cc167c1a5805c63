"""Whatever starts late, dies, or comes back empty: the stack heals by itself, and says what it
waits for."""

import subprocess

from support import REPOSITORY
from support.compose import FILE
from support.load import Load
from support.waiting import eventually


class TestAnyOrder:
    def test_gateways_first(self, fresh):
        fresh.up("--no-deps", "weir-1", "weir-2", "my-service")
        eventually(lambda: "WEIR_PG_HOST" in fresh.last_line("weir-1"),
                   lambda: f"it saying what it waits for; it says {fresh.last_line('weir-1')}")
        fresh.up("--no-deps", "postgres")
        # They make the tables themselves, as soon as Docker starts them again: it waits up to a minute.
        fresh.wait_healthy("postgres", "weir-1", "weir-2", within=150)
        fresh.add_service(1, "my-service", "http://my-service", "/api")
        fresh.up("--no-deps", "consul")
        fresh.wait_instances(3)

    def test_migrations_before_their_database(self, fresh):
        fresh.up("--no-deps", "weir-migrations")
        eventually(lambda: fresh.inspect("weir-migrations")["RestartCount"] > 0,
                   "the migrations being tried again")
        assert "WEIR_PG_HOST" in fresh.last_line("weir-migrations")
        fresh.up("--no-deps", "postgres")
        eventually(lambda: fresh.inspect("weir-migrations")["State"]["Status"] == "exited" and
                   fresh.inspect("weir-migrations")["State"]["ExitCode"] == 0,
                   lambda: fresh.logs("weir-migrations"), within=120)


class TestComingBackEmpty:
    def test_consul(self, stack):
        """Instances register anew; until then the last known ones serve."""
        with Load(stack.proxy_port(1), "/api", connections=3, rate=40) as load:
            load.wait_for_more(20)
            stack.compose("rm", "-sfv", "consul")
            stack.remove_volume("consul-data")
            load.wait_for_more(20)
            stack.up("--no-deps", "consul")
            eventually(lambda: len(stack.passing()) == 3, "all instances registered again",
                       within=60)
            stack.wait_instances(3)
            load.wait_for_more(20)
        load.assert_all_fine()

    def test_postgres(self, stack):
        """The nodes make its tables anew and put back what they know."""
        before = stack.admin(1, "GET", "/services").json
        with Load(stack.proxy_port(1), "/api", connections=3, rate=40) as load:
            stack.compose("rm", "-sfv", "postgres")
            stack.remove_volume("postgres-data")
            load.wait_for_more(20)
            stack.up()
            for node in (1, 2):
                eventually(lambda: stack.admin(node, "GET", "/status/ready").json["message"] ==
                           "ready", f"node {node} ready", within=90)
            load.wait_for_more(20)
        load.assert_all_fine()
        stack.add_service(2, "after", "http://my-service", "/after")
        eventually(lambda: stack.get(1, "/after").status == 200, "a new route, on the other node")
        assert stack.admin(2, "DELETE", "/services/after/routes/after").status == 204
        assert stack.admin(2, "DELETE", "/services/after").status == 204
        for node in (1, 2):
            eventually(lambda: stack.admin(node, "GET", "/services").json == before, "all there")


class TestWrongSecrets:
    def test_a_wrong_password(self, fresh):
        """The last line names the setting; that mended, all is well."""
        fresh.up("--no-deps", "postgres")
        fresh.wait_healthy("postgres")
        for service in ("weir-migrations", "weir-1"):
            fresh.up("--no-deps", service, POSTGRES_PASSWORD="mistaken")
            eventually(lambda: "WEIR_PG_PASSWORD" in fresh.last_line(service),
                       lambda: f"{service} naming it: {fresh.last_line(service)}")
            print(fresh.last_line(service))
            assert "mistaken" not in fresh.logs(service)
        fresh.up("--no-deps", "weir-1")
        fresh.wait_healthy("weir-1")


class TestLockedConsul:
    """Access control, TLS and encrypted gossip: docker-compose.secure.yml on top."""

    def test_with_tokens_and_without(self, new_stack, tmp_path):
        subprocess.run([REPOSITORY / "deploy/consul/make-secrets", tmp_path / "secrets"], check=True,
                       stdout=subprocess.PIPE)
        stack = new_stack("locked", files=[FILE, FILE.with_name("docker-compose.secure.yml")],
                          SECRETS=str(tmp_path / "secrets"))
        try:
            stack.up()
            stack.wait_healthy("weir-1", "weir-2", within=90)
            stack.add_service(1, "my-service", "http://my-service", "/api")
            stack.wait_instances(3)

            # A node without its token, from nothing.
            stack.compose("rm", "-sfv", "weir-1")
            stack.remove_volume("weir-1-data")
            stack.up("--no-deps", "weir-1", WEIR_CONSUL_TOKEN_FILE="")
            eventually(lambda: "WEIR_CONSUL_TOKEN" in stack.last_line("weir-1"),
                       lambda: f"it naming the token: {stack.last_line('weir-1')}", within=60)
            print(stack.last_line("weir-1"))
            assert "without a token" in stack.last_line("weir-1")

            # One that Consul doesn't know.
            (tmp_path / "secrets/weir-token").write_text("1" * 36, encoding="ascii")
            stack.up("--no-deps", "--force-recreate", "weir-1")
            eventually(lambda: "WEIR_CONSUL_TOKEN_FILE" in stack.last_line("weir-1") and
                       "403" in stack.last_line("weir-1"),
                       lambda: f"it naming the token: {stack.last_line('weir-1')}", within=60)
            print(stack.last_line("weir-1"))
        finally:
            stack.down()
