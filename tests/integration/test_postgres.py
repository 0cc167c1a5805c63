"""PostgreSQL as the engine: set up, refused, killed, failed over, and edited by hand."""

import json
import os
import subprocess
import threading

import pytest

from support.ports import free_port
from support.waiting import eventually


@pytest.fixture
def migrations(weir_command, postgres):
    """Runs `weir migrations …` against the server."""
    settings = {f"WEIR_{name}": value for name, value in postgres.settings.items()}

    def run(*arguments, **more):
        return weir_command("migrations", *arguments, **{**settings, **more})
    return run


class TestMigrations:
    def test_the_way_of_a_database(self, migrations, postgres):
        listed = migrations("list")
        assert (listed.returncode, "needs bootstrapping" in listed.stdout) == (3, True)
        assert migrations("up").returncode == 1
        status = migrations("status")
        assert status.returncode == 0
        assert json.loads(status.stdout)["state"] == "needs_bootstrap"

        first = migrations("bootstrap")
        assert (first.returncode, first.stdout) == (0, "Database is up-to-date\n")
        again = migrations("bootstrap")
        assert (again.returncode, again.stdout) == (0, "Database already bootstrapped\n")
        up = migrations("up")
        assert (up.returncode, up.stdout) == (0, "Database is already up-to-date\n")
        assert migrations("list").returncode == 0
        assert json.loads(migrations("status").stdout)["state"] == "up_to_date"

        postgres.query("INSERT INTO weir_migrations VALUES (99, 'x', now())")
        ahead = migrations("list")
        assert ahead.returncode == 1 and "is ahead" in ahead.stderr
        assert migrations("up").returncode == 1
        postgres.query("DELETE FROM weir_migrations WHERE version = 99")

        refused = migrations("reset")
        assert refused.returncode == 1 and "-y" in refused.stderr
        assert migrations("list").returncode == 0  # nothing was removed
        assert migrations("reset", "-y").returncode == 0
        assert migrations("list").returncode == 3

    def test_what_kong_s_variables_say(self, weir_command, postgres):
        result = weir_command("migrations", "bootstrap", "-q", KONG_DATABASE="postgres",
                              KONG_PG_HOST="127.0.0.1", KONG_PG_PORT=postgres.port,
                              KONG_PG_USER="weir", KONG_PG_PASSWORD="secret",
                              KONG_PG_DATABASE="weir", KONG_PG_SCHEMA="kong")
        assert (result.returncode, result.stdout) == (0, "")
        assert postgres.sql("SELECT count(*) FROM kong.weir_migrations", "weir") == "1"

    def test_the_same_commands_for_sqlite(self, weir_command, tmp_path):
        settings = {"WEIR_DATABASE": "sqlite", "WEIR_DATA_DIR": str(tmp_path / "data")}
        assert weir_command("migrations", "list", **settings).returncode == 3
        assert not (tmp_path / "data").exists()
        assert weir_command("migrations", "bootstrap", **settings).returncode == 0
        assert weir_command("migrations", "list", **settings).returncode == 0
        assert weir_command("migrations", "reset", "-y", **settings).returncode == 0
        assert weir_command("migrations", "list", **settings).returncode == 3


class TestStart:
    def refusal(self, weir_command, postgres, **changes):
        settings = {f"WEIR_{name}": value for name, value in postgres.settings.items()}
        settings.update(WEIR_PROXY_LISTEN="off", WEIR_ADMIN_LISTEN="off")
        settings.update({f"WEIR_{name}": value for name, value in changes.items()})
        result = weir_command("run", **settings)
        assert result.returncode == 1
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, result.stderr
        return errors[0]

    def test_what_is_wrong_is_one_line(self, weir_command, postgres, tmp_path):
        wrong = tmp_path / "password"
        wrong.write_text("wrong\n")
        refusal = self.refusal(weir_command, postgres)
        assert "WEIR_PG_SCHEMA" in refusal and "weir migrations bootstrap" in refusal
        refusal = self.refusal(weir_command, postgres, PG_PASSWORD=None, PG_PASSWORD_FILE=wrong)
        assert "WEIR_PG_PASSWORD" in refusal and "wrong" not in refusal
        refusal = self.refusal(weir_command, postgres, PG_DATABASE="nothing")
        assert "WEIR_PG_DATABASE" in refusal
        nobody = f"127.0.0.1:{free_port()}"
        refusal = self.refusal(weir_command, postgres, PG_HOST=nobody)
        assert "WEIR_PG_HOST" in refusal and nobody in refusal
        refusal = self.refusal(weir_command, postgres, PG_SSL="on")
        assert "WEIR_PG_SSL" in refusal

    def test_the_password_from_a_file_is_shown_nowhere(self, new_weir, postgres, tmp_path):
        (tmp_path / "password").write_text("secret\n")
        weir = new_weir(**{**postgres.settings, "PG_PASSWORD": None, "MIGRATE": "auto",
                           "PG_PASSWORD_FILE": tmp_path / "password"})
        assert '"secret"' not in weir.admin.get("/").text  # other settings have it in their name
        assert "secret" not in weir.log_text()

    def test_several_nodes_that_migrate_at_once(self, new_weir, postgres):
        nodes = [new_weir(start=False, MIGRATE="auto", **postgres.settings) for _ in range(3)]
        threads = [threading.Thread(target=node.start) for node in nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(node.admin.get("/status").status_code == 200 for node in nodes)
        assert postgres.query("SELECT count(*) FROM weir_migrations") == "1"


    def test_kong_s_settings_for_reads_are_not_ignored_silently(self, weir_command, new_weir,
                                                                postgres):
        node = new_weir(MIGRATE="auto", KONG_PG_RO_HOST="replica.example", **postgres.settings)
        warning = node.log("KONG_PG_RO_HOST and its like have no effect: nodes read from memory, "
                           "and follow the primary")
        assert warning and warning[0]["pg_ro_host"] == "replica.example"
        assert "primary" in self.refusal(weir_command, postgres, PG_RO_HOST="replica.example")

    def test_verifying_without_tls_is_warned_of(self, new_weir, postgres):
        settings = {"MIGRATE": "auto", **postgres.settings}
        warning = ("pg_ssl_verify has no effect without pg_ssl: the way to the database is not "
                   "encrypted")
        node = new_weir(PG_SSL_VERIFY="on", **settings)
        assert node.log(warning)
        assert not new_weir(**settings).log(warning)


class TestMoving:
    def test_from_one_engine_into_the_other_and_back(self, new_weir, weir_command, postgres,
                                                     backend, tmp_path):
        first = new_weir()
        first.pool("u", [backend], tags=["a", "b"])
        first.serve("s", backend.url)
        kinds = ("/services", "/routes", "/upstreams", "/upstreams/u/targets")

        def all_of(node):
            return {kind: sorted(node.admin.get(kind).json()["data"], key=lambda row: row["id"])
                    for kind in kinds}
        before = all_of(first)
        first.stop()

        def config(*arguments, **settings):
            return weir_command("config", *arguments, **{
                f"WEIR_{name}": value for name, value in settings.items()})
        sqlite = {"DATABASE": "sqlite", "DATA_DIR": first.settings["WEIR_DATA_DIR"]}
        shared = {**postgres.settings, "MIGRATE": "auto"}
        file = tmp_path / "all.json"
        exported = config("export", file, **sqlite)
        assert exported.returncode == 0, exported.stderr
        assert config("export", file, **sqlite).returncode == 1  # it is there already
        running = new_weir(**shared)
        imported = config("import", file, **shared)
        assert imported.returncode == 0, imported.stderr
        eventually(lambda: all_of(running) == before, "the running node having it")
        assert running.get("/u").status == 200
        assert config("import", file, **shared).returncode == 0  # again changes nothing
        assert all_of(running) == before

        again = tmp_path / "again.json"
        assert config("export", again, **shared).returncode == 0
        assert json.loads(again.read_text()) == json.loads(file.read_text())
        other = {"DATABASE": "sqlite", "DATA_DIR": str(tmp_path / "other")}
        assert config("import", again, **other).returncode == 0
        assert all_of(new_weir(**other)) == before

    def test_a_bad_file_is_named_and_nothing_is_written(self, weir_command, postgres, tmp_path):
        settings = {f"WEIR_{name}": value for name, value in postgres.settings.items()}
        settings["WEIR_MIGRATE"] = "auto"
        service = {"id": "5c80def6-d59c-4e17-8935-ada113bd5448", "name": "s", "host": "h"}
        other = {**service, "id": "6c80def6-d59c-4e17-8935-ada113bd5448"}
        file = tmp_path / "bad.json"
        for content, words in (("{", "can't be read"), ("[]", "not an object"),
                               ({"pluginz": []}, "pluginz: unknown field"),
                               ({"services": [{"name": "s"}]}, "host: required field missing"),
                               ({"services": [service, {**other, "port": 99999}]}, "port"),
                               ({"services": [service, other]}, "UNIQUE violation"),
                               ({"services": [service], "routes": [
                                   {"id": other["id"], "paths": ["/"],
                                    "service": {"id": other["id"]}}]}, "invalid reference")):
            file.write_text(content if isinstance(content, str) else
                            json.dumps({"_format_version": "3.0", **content}))
            result = weir_command("config", "import", file, **settings)
            errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
            assert result.returncode == 1 and len(errors) == 1 and words in errors[0], result
        assert postgres.query("SELECT count(*) FROM rows") == "0"


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path, postgres):
        """A certificate for localhost that is its own authority; the server uses it."""
        key, certificate = tmp_path / "server.key", tmp_path / "server.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key,
                        "-out", certificate], check=True, capture_output=True)
        owner = os.stat(postgres.data)
        for source, name in ((key, "server.key"), (certificate, "server.crt")):
            target = os.path.join(postgres.data, name)
            with open(target, "wb") as file:
                file.write(source.read_bytes())
            os.chmod(target, 0o600)
            if os.geteuid() == 0:
                os.chown(target, owner.st_uid, owner.st_gid)
        postgres.sql("ALTER SYSTEM SET ssl = on")
        postgres.stop()
        postgres.start()
        return certificate

    def test_the_server_s_certificate_and_name_are_verified(self, weir_command, new_weir, postgres,
                                                            certificate):
        settings = {**postgres.settings, "PG_HOST": "localhost", "PG_SSL": "on"}

        def bootstrap(**changes):
            named = {f"WEIR_{name}": value for name, value in {**settings, **changes}.items()}
            return weir_command("migrations", "bootstrap", **named)
        assert bootstrap().returncode == 0  # encrypted, not verified
        unknown = bootstrap(PG_SSL_VERIFY="on")
        assert unknown.returncode == 1 and "WEIR_PG_SSL" in unknown.stderr
        assert bootstrap(PG_SSL_VERIFY="on", PG_SSL_CA=certificate).returncode == 0
        wrong_name = bootstrap(PG_SSL_VERIFY="on", PG_SSL_CA=certificate, PG_HOST="127.0.0.1")
        assert wrong_name.returncode == 1 and "WEIR_PG_SSL" in wrong_name.stderr
        new_weir(PG_SSL_VERIFY="on", PG_SSL_CA=certificate, **settings)
        eventually(lambda: int(postgres.sql(
            "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE ssl AND application_name = 'weir'")) >= 2, "encrypted connections")
