"""What the store has a part in, with SQLite and with PostgreSQL: cascades, unique values, ends."""

import uuid

import pytest

from support.waiting import eventually

CREDENTIALS = {"key-auth": {"key": "k"}, "basic-auth": {"username": "u", "password": "p"},
               "jwt": {"key": "j"}, "hmac-auth": {"username": "h"}, "acls": {"group": "g"},
               "oauth2": {"name": "app"}}
LISTS = ["/key-auths", "/basic-auths", "/jwts", "/hmac-auths", "/acls", "/oauth2", "/plugins"]


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request):
    if request.param == "sqlite":
        return {}
    return {"MIGRATE": "auto", **request.getfixturevalue("postgres").settings}


def everything(admin):
    """All rows, to compare one moment with another."""
    lists = [*LISTS, "/consumers", "/services", "/routes", "/certificates", "/keys", "/key-sets",
             "/vaults"]
    return {path: admin.get(f"{path}?size=1000").json()["data"] for path in lists}


def fill(admin):
    admin.create("/consumers", {"username": "c"})
    for path, body in CREDENTIALS.items():
        admin.create(f"/consumers/c/{path}", {**body, "tags": ["t"]})
    admin.create("/consumers/c/plugins", {"name": "rate-limiting", "config": {"minute": 1}})
    admin.create("/services", {"name": "s", "host": "h"})
    admin.create("/services/s/routes", {"name": "r", "paths": ["/"]})
    admin.create("/services/s/plugins", {"name": "cors"})
    admin.create("/routes/r/plugins", {"name": "cors"})
    admin.create("/plugins", {"name": "cors"})
    admin.create("/key-sets", {"name": "ks"})
    admin.create("/key-sets/ks/keys", {"kid": "k", "jwk": '{"kid":"k","kty":"oct","k":"x"}'})
    admin.create("/vaults", {"name": "env", "prefix": "my-env"})


def test_rows_are_there_after_a_restart_and_cascades_are_whole(new_weir, settings):
    node = new_weir(**settings)
    fill(node.admin)
    before = everything(node.admin)
    node.restart()
    assert everything(node.admin) == before
    warned = node.log("a plugin is configured that does nothing yet", plugin="cors", count=3)
    implemented = node.admin.get("/").json()["plugins"]["available_on_server"]["cors"]["implemented"]
    assert implemented or warned

    node.admin.remove("/consumers/c")
    node.admin.remove("/routes/r")
    node.admin.remove("/key-sets/ks")
    node.restart()
    after = everything(node.admin)
    assert [path for path in LISTS if after[path]] == ["/plugins"]
    assert [(row["name"], row["service"] is not None) for row in
            sorted(after["/plugins"], key=lambda row: row["service"] is not None)] == [
        ("cors", False), ("cors", True)]
    assert after["/keys"] == []


def test_a_refused_removal_leaves_all_as_it_was(new_weir, settings):
    node = new_weir(**settings)
    fill(node.admin)
    before = everything(node.admin)
    answer = node.admin.delete("/services/s")  # its plugin would go along, its route forbids it
    assert (answer.status_code, answer.json()["code"]) == (400, 4)
    assert everything(node.admin) == before


def test_unique_values_may_be_long(new_weir, settings):
    node = new_weir(**settings)
    node.admin.create("/consumers", {"username": "c"})
    key = "".join(uuid.uuid4().hex for _ in range(200))  # nothing that a database could compress
    row = node.admin.create("/consumers/c/key-auth", {"key": key})
    assert node.admin.post("/consumers/c/key-auth", {"key": key}).status_code == 409
    other = node.admin.create("/consumers/c/key-auth", {"key": key + "x"})
    node.restart()
    assert node.admin.get(f"/key-auths/{key}").json() == row
    assert node.admin.get(f"/key-auths/{other['id']}").json() == other


def test_a_key_ends_whether_or_not_the_node_was_up(new_weir, settings):
    node = new_weir(**settings)
    node.admin.create("/consumers", {"username": "c"})
    row = node.admin.create("/consumers/c/key-auth", {"key": "k", "ttl": 1})
    node.restart()
    eventually(lambda: node.admin.get(f"/key-auths/{row['id']}").status_code == 404, "its end")
    assert node.admin.create("/consumers/c/key-auth", {"key": "k"})["ttl"] is None
    node.restart()
    assert [row["key"] for row in node.admin.get("/key-auths").json()["data"]] == ["k"]


def test_a_file_carries_everything_from_one_node_to_another(new_weir, weir_command, settings,
                                                            tmp_path):
    """Hashes, and when keys end, among it."""
    first = new_weir(**settings)
    fill(first.admin)
    first.admin.create("/consumers/c/key-auth", {"key": "k2", "ttl": 100000})
    before = everything(first.admin)
    first.stop()
    def setting(node):
        return {name: value for name, value in node.settings.items()
                if name.startswith(("WEIR_DATA", "WEIR_PG", "WEIR_MIGRATE"))}
    file = tmp_path / "all.json"
    exported = weir_command("config", "export", str(file), **setting(first))
    assert exported.returncode == 0, exported.stderr
    second = new_weir(start=False)
    imported = weir_command("config", "import", str(file), **setting(second))
    assert imported.returncode == 0, imported.stderr
    second.start()
    after = everything(second.admin)
    for rows in (before, after):
        for row in rows["/key-auths"]:
            assert row["ttl"] is None or 99000 < row.pop("ttl") <= 100000
    assert after == before


def test_another_node_has_them_too(new_weir, postgres):
    first, second = (new_weir(MIGRATE="auto", **postgres.settings) for _ in range(2))
    fill(first.admin)
    eventually(lambda: everything(second.admin) == everything(first.admin), "the same rows")
    assert second.admin.post("/plugins", {"name": "cors"}).status_code == 409
    second.admin.remove("/consumers/c")
    eventually(lambda: first.admin.get("/key-auths").json()["data"] == [], "the removal")
    eventually(lambda: everything(second.admin) == everything(first.admin), "the same rows")
