"""Every field of every entity, as the node describes it: what is not of its kind is refused with
Kong's words, at every depth, and what its schema allows is taken."""

import subprocess
import uuid

import pytest

from support.schemas import at, bad_values, error_at, fields_of, good_values, merged

ID = str(uuid.uuid4())
PLUGIN_FREE = {"services": {"host": "h", "protocol": "https"}, "routes": {"paths": ["/"]},
               "upstreams": {"name": "u"}, "targets": {"target": "h:1", "upstream": {"id": ID}},
               "consumers": {"username": "u", "custom_id": "c"},
               "snis": {"name": "a.com", "certificate": {"id": ID}},
               "plugins": {"name": "rate-limiting", "config": {"minute": 1}},
               "vaults": {"name": "env", "prefix": "my-env"},
               "key_sets": {"name": "s"},
               "keys": {"kid": "k", "jwk": '{"kid":"k","kty":"oct","k":"x"}'},
               "keyauth_credentials": {"consumer": {"id": ID}},
               "basicauth_credentials": {"consumer": {"id": ID}, "username": "u", "password": "p"},
               "jwt_secrets": {"consumer": {"id": ID}},
               "hmacauth_credentials": {"consumer": {"id": ID}, "username": "u"},
               "acls": {"consumer": {"id": ID}, "group": "g"},
               "oauth2_credentials": {"consumer": {"id": ID}, "name": "n"}}
# A rule of the entity speaks first: of a route's family of protocols, of what to hash on.
OVERRULED = {("routes", "protocols"), ("routes", "sources"), ("routes", "destinations"),
             ("upstreams", "hash_fallback")}
ENTITIES = [*PLUGIN_FREE, "certificates", "ca_certificates"]


@pytest.fixture(scope="module")
def admin(node):
    return node.admin


@pytest.fixture(scope="module")
def minimal(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key", "-out", "cert", "-days",
                    "10", "-subj", "/CN=x"], check=True, capture_output=True, cwd=directory)
    cert, key = (directory / "cert").read_text(), (directory / "key").read_text()
    return {**PLUGIN_FREE, "certificates": {"cert": cert, "key": key},
            "ca_certificates": {"cert": cert}}


def validate(admin, entity, body):
    return admin.post(f"/schemas/{entity}/validate", body)


@pytest.mark.parametrize("entity", ENTITIES)
def test_the_least_is_taken(admin, minimal, entity):
    answer = validate(admin, entity, minimal[entity])
    assert (answer.status_code, answer.json()) == (
        200, {"message": "schema validation successful"}), answer.text


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_field_refuses_what_is_not_of_its_kind(admin, minimal, entity):
    count = 0
    for path, field in fields_of(admin.get(f"/schemas/{entity}").json()):
        if entity in ("plugins", "vaults") and path == ("name",):
            continue  # it says what the other fields are; it has tests of its own
        if path == ("updated_at",):
            continue  # is now, whatever a client says
        for bad, message in bad_values(field):
            answer = validate(admin, entity, merged(minimal[entity], at(path, bad)))
            assert answer.status_code == 400, (path, bad)
            said = answer.json()["fields"]
            if (entity, path[0]) in OVERRULED:
                assert path[0] in said
            elif bad is None and path[0] not in said:
                assert "@entity" in said, (path, answer.text)
            else:
                assert error_at(said, path) == message, (path, bad, answer.text)
            count += 1
    assert count >= len(minimal[entity])


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_field_takes_what_its_schema_allows(admin, minimal, entity):
    for path, field in fields_of(admin.get(f"/schemas/{entity}").json()):
        for good in good_values(field):
            answer = validate(admin, entity, merged(minimal[entity], at(path, good)))
            if answer.status_code == 400:  # a rule between fields may speak, not the field's own
                said = error_at(answer.json()["fields"], path)
                assert "@entity" in answer.json()["fields"] or not str(said).startswith(
                    ("expected", "value should be", "length")), (path, good, answer.text)


@pytest.mark.parametrize("entity", ENTITIES)
def test_unknown_fields_are_named_with_all_that_is_wrong(admin, minimal, entity):
    answer = validate(admin, entity, {**minimal[entity], "surprise": 1, "zzz": None, "tags": 5})
    assert answer.status_code == 400
    assert answer.json()["fields"] == {"surprise": "unknown field", "zzz": "unknown field",
                                       "tags": "expected a set"}
    assert answer.json()["message"] == (
        "3 schema violations (surprise: unknown field; tags: expected a set; zzz: unknown field)")


@pytest.mark.parametrize("entity", ENTITIES)
def test_timestamps_and_ids_may_be_brought(admin, minimal, entity):
    assert validate(admin, entity, {**minimal[entity], "id": ID.upper(), "created_at": 1,
                                    }).status_code == 200
    for bad in (0, -1):
        answer = validate(admin, entity, {**minimal[entity], "created_at": bad})
        assert answer.json()["fields"] == {"created_at": "expected a valid timestamp"}
