"""Every entity and every plugin, with as little as each takes: into a file and out of it, and through
the Admin API, whose bodies are what a client computes from the schemas."""

import json
import subprocess

import pytest

from support.defaults import body_of
from test_admin_plugins import MADE, MINIMAL

GLOBAL_ONLY = {"acme"}
MADE_BY_SERVER = {"key", "secret", "client_id", "client_secret", "cert_digest", "password"}


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key", "-out", "cert", "-days",
                    "10", "-subj", "/CN=x"], check=True, capture_output=True, cwd=directory)
    return (directory / "cert").read_text(), (directory / "key").read_text()


@pytest.fixture(scope="module")
def everything(pem):
    cert, key = pem
    plugins = [{"name": name, "config": config, "tags": ["p"]}
               for name, config in sorted(MINIMAL.items())]
    return {
        "_format_version": "3.0", "_comment": "all of it", "_ignore": ["this"],
        "certificates": [{"cert": cert, "key": key, "snis": [{"name": "a.example"},
                                                             {"name": "*.b.example"}]}],
        "ca_certificates": [{"cert": cert}],
        "services": [
            {"name": "s", "url": "http://h.example:81/p",
             "routes": [{"name": "r", "paths": ["/a", "~/b$"],
                         "plugins": [plugin for plugin in plugins
                                     if plugin["name"] not in GLOBAL_ONLY]},
                        {"hosts": ["nameless.example"]}],
             "plugins": [{"name": "rate-limiting", "config": {"minute": 1}}]}],
        "routes": [{"name": "alone", "methods": ["GET"], "headers": {"x": ["y"]}},
                   {"name": "of-s", "service": {"name": "s"}, "hosts": ["of-s.example"]}],
        "upstreams": [{"name": "u.example", "algorithm": "least-connections",
                       "targets": [{"target": "10.0.0.1:80"}, {"target": "10.0.0.2"}]},
                      {"name": "v.example", "hash_on": "header", "hash_on_header": "x"}],
        "consumers": [{"username": "ann", "keyauth_credentials": [{}, {"key": "k"}],
                       "basicauth_credentials": [{"username": "ann", "password": "p"}],
                       "jwt_secrets": [{}], "hmacauth_credentials": [{"username": "ann"}],
                       "acls": [{"group": "g"}],
                       "oauth2_credentials": [{"name": "app"},
                                              {"name": "hashed", "client_id": "h",
                                               "client_secret": "x", "hash_secret": True}],
                       "plugins": [{"name": "rate-limiting", "config": {"hour": 1}}]},
                      {"custom_id": "c"}],
        "plugins": [plugin for plugin in plugins] +
                   [{"name": "key-auth", "instance_name": "named", "service": "s"}],
        "vaults": [{"name": "env", "prefix": "my-env", "config": {"prefix": "X"}}],
        "key_sets": [{"name": "ks", "keys": [{"name": "k", "kid": "1", "jwk": json.dumps(
            {"kid": "1", "kty": "oct", "k": "eA"})}]}],
    }


def count(node):
    """How many entities a file holds."""
    if isinstance(node, list):
        return sum(count(item) for item in node)
    if not isinstance(node, dict):
        return 0
    kinds = {"certificates", "snis", "ca_certificates", "services", "routes", "upstreams",
             "targets", "consumers", "plugins", "vaults", "key_sets", "keys",
             "keyauth_credentials", "basicauth_credentials", "jwt_secrets",
             "hmacauth_credentials", "acls", "oauth2_credentials"}
    return sum(len(items) + count(items) for name, items in node.items()
               if name in kinds and isinstance(items, list) and all(
                   isinstance(item, dict) for item in items))


class TestFiles:
    @pytest.mark.parametrize("ending", ["yml", "json"])
    def test_in_out_and_in_again_makes_no_difference(self, weir_command, new_weir, tmp_path,
                                                     everything, ending):
        def config(*arguments, data="one"):
            result = weir_command("config", *arguments, WEIR_DATA_DIR=str(tmp_path / data))
            assert result.returncode == 0, result.stderr
            return result.stdout.splitlines()[-1] if result.stdout else ""
        (tmp_path / "in.json").write_text(json.dumps(everything))
        total = count(everything)
        assert config("validate", "in.json") == f"parse successful: {total} entities"
        assert config("import", "in.json") == f"imported: {total} created, 0 changed, 0 unchanged"
        config("export", f"out.{ending}")
        same = f"imported: 0 created, 0 changed, {total} unchanged"
        assert config("import", f"out.{ending}") == same
        # Into another database, and out of that: the same file.
        assert config("import", f"out.{ending}", data="two") == (
            f"imported: {total} created, 0 changed, 0 unchanged")
        config("export", f"again.{ending}", data="two")
        assert (tmp_path / f"again.{ending}").read_text() == (
            tmp_path / f"out.{ending}").read_text()
        # What the first file made up is kept when it is imported once more.
        assert config("import", "in.json") == same
        # A node without a database takes it, too, and says the same.
        node = new_weir(DATABASE="off", DECLARATIVE_CONFIG=str(tmp_path / f"out.{ending}"))
        (tmp_path / "off.yml").write_text(node.admin.get("/config").json()["config"])
        assert config("import", "off.yml") == same


class TestAdminApi:
    """Each body as answered is what a client that knows the schemas makes of what it sent."""

    def compare(self, admin, entity, sent, answered):
        wanted = body_of(admin.get(f"/schemas/{entity}").json(), sent)
        for name, value in wanted.items():
            if name in MADE_BY_SERVER and sent.get(name) is None:
                assert answered[name], (entity, name)
            elif name == "password":
                assert len(answered[name]) == 40
            elif isinstance(value, dict) and "id" in value:
                assert answered[name] == {"id": value["id"]}
            elif name == "config":
                continue  # a plugin's, a vault's: by a schema of its own
            elif entity == "targets" and name == "target":
                assert answered[name].startswith(value)
            elif name not in answered:
                assert entity in ("services", "routes", "upstreams", "targets")  # weir's own, where set
            else:
                assert _told(answered[name]) == _told(value), (entity, name)
        assert set(answered) <= set(wanted) | {"id", "created_at", "updated_at", "snis"}

    def test_entities(self, weir, pem):
        admin = weir.admin
        cert, key = pem

        def create(path, entity, sent):
            answered = admin.create(path, sent)
            self.compare(admin, entity, sent, answered)
            again = admin.put(f"{path}/{answered['id']}", {**sent, **{
                name: value for name, value in answered.items() if name in ("created_at",)}})
            assert again.status_code in (200, 404), again.text
            return answered
        certificate = create("/certificates", "certificates", {"cert": cert, "key": key})
        create("/snis", "snis", {"name": "a.example", "certificate": {"id": certificate["id"]}})
        create("/ca_certificates", "ca_certificates", {"cert": cert})
        service = create("/services", "services", {"name": "s", "host": "h"})
        create("/routes", "routes", {"paths": ["/"], "service": {"id": service["id"]}})
        create("/upstreams", "upstreams", {"name": "u"})
        answered = admin.create("/upstreams/u/targets", {"target": "10.0.0.1"})
        self.compare(admin, "targets", {"target": "10.0.0.1", "upstream": answered["upstream"]},
                     answered)
        consumer = create("/consumers", "consumers", {"username": "ann"})
        owner = {"consumer": {"id": consumer["id"]}}
        create("/key-auths", "keyauth_credentials", owner)
        create("/basic-auths", "basicauth_credentials",
               {**owner, "username": "u", "password": "p"})
        create("/jwts", "jwt_secrets", owner)
        create("/hmac-auths", "hmacauth_credentials", {**owner, "username": "u"})
        create("/acls", "acls", {**owner, "group": "g"})
        create("/oauth2", "oauth2_credentials", {**owner, "name": "app"})
        create("/vaults", "vaults", {"name": "env", "prefix": "my-env"})
        create("/key-sets", "key_sets", {"name": "ks"})
        create("/keys", "keys", {"kid": "1", "jwk": '{"kid":"1","kty":"oct","k":"eA"}'})

    @pytest.mark.parametrize("name", sorted(MINIMAL))
    def test_plugins(self, shared_weir, name):
        admin = shared_weir.admin
        sent = {"name": name, "config": MINIMAL[name]}
        answered = admin.create("/plugins", sent)
        schema = admin.get(f"/schemas/plugins/{name}").json()
        wanted = body_of(schema, sent)
        for field in [field for plugin, field in MADE if plugin == name]:
            assert answered["config"].pop(field) and wanted["config"].pop(field, None) is None
        assert _plain(answered["config"]) == _plain(wanted["config"])
        assert sorted(answered["protocols"]) == sorted(wanted["protocols"])

    @pytest.fixture(scope="class")
    def shared_weir(self, binary, tmp_path_factory):
        from support.weir import Weir, sanitizer_reports
        directory = tmp_path_factory.mktemp("shared")
        node = Weir(binary, directory / "weir", WORKERS=1).start()
        yield node
        node.stop()
        assert not sanitizer_reports(directory)


def _told(value):
    """Without what is unset: fields of weir's own within records show only where they are set."""
    value = _plain(value)
    if isinstance(value, dict):
        return {key: _told(inner) for key, inner in value.items() if inner is not None}
    return value


def _plain(value):
    """Lua knows one kind of empty table; a record of which nothing is set may be null as well."""
    if isinstance(value, (list, dict)) and not value:
        return []
    if isinstance(value, dict):
        plain = {key: _plain(inner) for key, inner in value.items()}
        return plain if any(inner is not None for inner in plain.values()) else None
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value
