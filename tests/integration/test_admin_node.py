"""Vaults, keys and key sets, and what the node says about itself besides."""

import json
import uuid

import pytest

from support.waiting import eventually

PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


@pytest.fixture
def admin(node):
    yield node.admin
    for path in ("keys", "key-sets", "vaults"):
        for row in node.admin.get(f"/{path}?size=1000").json()["data"]:
            node.admin.remove(f"/{path}/{row['id']}")


def refused(answer, fields):
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == 2
    assert answer.json()["fields"] == fields


def without_stamps(row):
    uuid.UUID(row["id"])
    assert isinstance(row["created_at"], int) and isinstance(row["updated_at"], int)
    return {name: row[name] for name in row if name not in ("id", "created_at", "updated_at")}


class TestVaults:
    def test_a_row_has_every_field(self, admin):
        row = admin.create("/vaults", {"name": "env", "prefix": "my-env"})
        assert without_stamps(row) == {"name": "env", "prefix": "my-env", "description": None,
                                       "config": {"prefix": None}, "tags": None}
        assert admin.get("/vaults/my-env").json() == row
        changed = admin.patch("/vaults/my-env", {"config": {"prefix": "SECRET_"},
                                                 "description": "d"}).json()
        assert (changed["config"], changed["description"]) == ({"prefix": "SECRET_"}, "d")
        replaced = admin.put("/vaults/other", {"name": "env"}).json()
        assert (replaced["prefix"], replaced["config"]) == ("other", {"prefix": None})

    @pytest.mark.parametrize("body, fields", [
        ({}, {"name": "required field missing"}),
        ({"name": "hcv", "prefix": "x1"}, {"name": "vault 'hcv' is not installed"}),
        ({"name": "env"}, {"prefix": "required field missing"}),
        ({"name": "env", "prefix": "env"}, {"prefix": "must not be one of: env"}),
        ({"name": "env", "prefix": "A1"}, {"prefix": "invalid value: A1"}),
        ({"name": "env", "prefix": "a-"}, {"prefix": "invalid value: a-"}),
        ({"name": "env", "prefix": "ab", "config": {"x": 1}}, {"config": {"x": "unknown field"}}),
        ({"name": "env", "prefix": "ab", "config": {"prefix": "1"}},
         {"config": {"prefix": "invalid value: 1"}}),
        ({"name": "env", "prefix": "ab", "description": 1}, {"description": "expected a string"}),
    ])
    def test_a_bad_body_is_refused(self, admin, body, fields):
        refused(admin.post("/vaults", body), fields)
        refused(admin.post("/schemas/vaults/validate", body), fields)

    def test_its_kinds_are_described(self, admin):
        schema = admin.get("/schemas/vaults/env").json()
        assert schema["fields"][0]["config"]["fields"] == [{"prefix": {"type": "string"}}]
        missing = admin.get("/schemas/vaults/hcv")
        assert (missing.status_code, missing.json()) == (404, {"message": "No vault named 'hcv'"})


class TestKeys:
    JWK = json.dumps({"kty": "oct", "kid": "k1", "k": "c2VjcmV0"})

    def test_a_row_has_every_field(self, admin):
        row = admin.create("/keys", {"kid": "k1", "name": "n", "jwk": self.JWK})
        assert without_stamps(row) == {"kid": "k1", "name": "n", "jwk": self.JWK, "pem": None,
                                       "set": None, "tags": None}
        row = admin.create("/keys", {"kid": "k2", "pem": {"public_key": PUBLIC_KEY}})
        assert row["pem"] == {"public_key": PUBLIC_KEY, "private_key": None}

    @pytest.mark.parametrize("body, fields", [
        ({}, {"kid": "required field missing",
              "@entity": ["at least one of these fields must be non-empty: 'jwk', 'pem'"]}),
        ({"kid": "k", "jwk": "x", "pem": {"public_key": PUBLIC_KEY}},
         {"@entity": ["only one or none of these fields must be set: 'jwk', 'pem'",
                      "could not json decode jwk string"]}),
        ({"kid": "k", "jwk": "{"}, {"@entity": ["could not json decode jwk string"]}),
        ({"kid": "other", "jwk": JWK}, {"@entity": ["kid in jwk.kid must be equal to keys.kid"]}),
        ({"kid": "k", "jwk": '{"kid":"k","kty":"RSA","n":"x"}'},
         {"@entity": ["could not load JWK, likely not a valid key"]}),
        ({"kid": "k", "pem": {"public_key": "x"}},
         {"pem": {"public_key": "could not load public key"}}),
        ({"kid": "k", "pem": {"private_key": "x"}},
         {"pem": {"private_key": "could not load private key"}}),
        ({"kid": "k", "jwk": JWK, "x": 1}, None),
    ])
    def test_a_bad_body_is_refused(self, admin, body, fields):
        answer = admin.post("/keys", body)
        if fields:
            refused(answer, fields)
        else:
            assert answer.json()["fields"]["x"] == "unknown field"

    def test_sets_have_keys_and_take_them_along(self, admin):
        key_set = admin.create("/key-sets", {"name": "s"})
        assert without_stamps(key_set) == {"name": "s", "tags": None}
        row = admin.create("/key-sets/s/keys", {"kid": "k1", "jwk": self.JWK})
        assert row["set"] == {"id": key_set["id"]}
        assert admin.get(f"/keys/{row['id']}/set").json() == key_set
        assert admin.get("/key-sets/s/keys").json()["data"] == [row]
        again = admin.post("/keys", {"kid": "k1", "jwk": self.JWK, "set": {"name": "s"}})
        assert (again.status_code, again.json()["fields"]) == (
            409, {"kid": "k1", "set": {"id": key_set["id"]}})
        admin.create("/keys", {"kid": "k1", "jwk": self.JWK})
        assert admin.post("/keys", {"kid": "k1", "jwk": self.JWK}).status_code == 409
        assert admin.post("/key-sets", {"name": "s"}).status_code == 409
        admin.remove("/key-sets/s")
        assert admin.get(f"/keys/{row['id']}").status_code == 404


class TestNode:
    @pytest.mark.parametrize("method, path, status, message", [
        ("GET", "/config", 400, "this endpoint is only available when Kong is configured to not "
                                "use a database"),
        ("POST", "/config", 400, "this endpoint is only available when Kong is configured to not "
                                 "use a database"),
        ("GET", "/filter-chains", 400, "this endpoint is only available when wasm is enabled"),
        ("GET", "/clustering/status", 400, None), ("GET", "/clustering/data-planes", 400, None),
        ("GET", "/status/dns", 501, "not implemented with the legacy DNS client"),
        ("GET", "/cache/some", 404, "Not found"),
        ("GET", "/cluster", 404, "Not found"), ("GET", "/apis", 404, "Not found"),
        ("PUT", "/tags", 405, "Method not allowed"),
        ("PUT", "/debug/node/log-level/loud", 400, "unknown log level: loud"),
        ("PUT", "/debug/node/log-level/debug?timeout=x", 400, None),
    ])
    def test_what_it_has_not_it_says_in_kongs_words(self, admin, method, path, status, message):
        answer = admin.request(method, path)
        assert answer.status_code == status, answer.text
        if message:
            assert answer.json() == {"message": message}

    def test_robots_are_sent_away(self, admin):
        answer = admin.get("/robots.txt")
        assert answer.text == "User-agent: *\nDisallow: /"
        assert answer.headers["Content-Type"].startswith("text/plain")

    def test_there_is_nothing_to_forget(self, admin):
        assert admin.delete("/cache").status_code == 204
        assert admin.delete("/cache/some").status_code == 204
        assert admin.get("/timers").json()["worker"]["count"] == 1

    def test_the_log_level_changes_for_a_while(self, node, admin):
        def level():
            return admin.get("/debug/node/log-level").json()["message"]

        assert level() == "log level: info"
        changed = admin.put("/debug/node/log-level/debug?timeout=1")
        assert (changed.status_code, changed.json()) == (200, {"message": "log level changed"})
        assert level() == "log level: debug"
        same = admin.put("/debug/node/log-level/debug")
        assert same.json() == {"message": "log level is already debug"}
        eventually(lambda: level() == "log level: info", "the usual level")
        assert node.log("log level is the usual one again", level="notice")
        assert admin.put("/debug/cluster/log-level/notice?timeout=0").status_code == 200
        assert level() == "log level: notice"
        admin.put("/debug/node/log-level/info?timeout=0")

    def test_all_paths_are_listed(self, admin):
        paths = admin.get("/endpoints").json()["data"]
        assert paths == sorted(paths)
        for path in ("/acls/{acls}", "/consumers/{consumers}/key-auth/{keyauth_credentials}",
                     "/certificates/{certificates}/snis", "/key-sets/{key_sets}/keys",
                     "/plugins/enabled", "/plugins/{plugins}/route", "/tags/{tags}",
                     "/routes/{routes}/plugins", "/schemas/plugins/{name}",
                     "/services/{services}/client_certificate"):
            assert path in paths, path
        assert "/snis/{snis}/certificate" not in paths

    @pytest.mark.parametrize("entity", [
        "services", "routes", "upstreams", "targets", "consumers", "plugins", "certificates",
        "snis", "ca_certificates", "vaults", "keys", "key_sets", "keyauth_credentials",
        "basicauth_credentials", "jwt_secrets", "hmacauth_credentials", "acls",
        "oauth2_credentials"])
    def test_every_entity_is_described(self, admin, entity):
        schema = admin.get(f"/schemas/{entity}").json()
        names = [name for field in schema["fields"] for name in field]
        assert len(names) == len(set(names)) and {"id", "tags", "created_at"} <= set(names)
        for field in schema["fields"]:
            for name, attributes in field.items():
                assert attributes["type"] in ("string", "integer", "number", "boolean", "array",
                                              "set", "map", "record", "foreign"), name
                if attributes["type"] in ("array", "set"):
                    assert "type" in attributes["elements"], name
        assert isinstance(schema["entity_checks"], list)
